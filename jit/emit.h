/* jit/emit.h: the state of one function's machine code, and what the files emit*.c share.
 *
 *   r14 instance   r15 memory 0's base   r11, xmm15 scratch   rsp fixed between prologue and epilogue
 *
 *   | caller's outgoing area | return address | saved registers | spill slots | outgoing area |
 *                                                                              ^ rsp */
#ifndef ATOLL_JIT_EMIT_H
#define ATOLL_JIT_EMIT_H

#include "jit/alloc.h"
#include "jit/code.h"
#include "jit/x86.h"
#include "jit/internal.h"

#define SCRATCH   R11
#define SCRATCH_X XMM15
#define INSTANCE  R14
#define MEMORY    R15

struct stub { /* code behind the function, for what seldom happens */
    uint8_t kind;
    uint8_t reg;  /* TABLE_TYPE: the function */
    uint8_t trap; /* enum rt_trap */
    uint32_t label, back;
    uint32_t where;
    uint64_t imm;
};
enum {
    STUB_TRAP,
    STUB_LEAVE,
    STUB_FAR_CALL,
    STUB_OTHER_KIN,
    STUB_TYPE,
    STUB_TRUNC,
    STUB_TRUNC_64,
    STUB_FUEL
};

/* What the machine code from `at` on is, for who looks at it (dump_code.c). */
enum emit_note_kind { NOTE_ENTRY, NOTE_BLOCK, NOTE_INS, NOTE_STUBS, NOTE_TABLE, NOTE_LITERALS };
struct emit_note {
    uint32_t at, number; /* of the block, or of the value; STUBS: where its instruction is */
    uint8_t kind;
};

struct emit {
    struct ir_func *f;
    struct alloc *al;
    struct x86 a;
    struct jit_code *out;
    const struct jit_layout *layout;
    uint32_t *labels; /* offset by label; blocks come first */
    size_t n_labels, cap_labels;
    struct stub *stubs;
    size_t n_stubs, cap_stubs;
    struct emit_note *notes;
    size_t n_notes, cap_notes;
    struct stub no_stub; /* written to when memory is out */
    size_t cap_pcs, cap_relocs;
    uint32_t return_pc; /* number of the last call's pc, + 1 */
    uint32_t *inlined;  /* by number of ir_func.places: the number in the code's list, + 1 */
    uint32_t call; /* where the function is called that the last pc is in; IR_NONE: it is no inlined one */
    uint32_t frame_bytes, n_saved;
    bool framed;                 /* the code that is made now has the frame */
    uint32_t spills_at, self_at; /* from rsp: spill slots; where the instance is kept over a call elsewhere */
    size_t next_move;
    uint32_t next_block; /* the block whose code follows, or IR_NONE */
    uint32_t *alias;     /* by block: the block whose code is reached by a jump to it */
    uint32_t *code;      /* blocks in the order of their code */
    uint32_t n_code;
    uint8_t *alignment; /* by block: of its code, in bytes; 0: any will do */
    struct moves *moves;
    bool in_loop;             /* the code that is made now */
    size_t ins_start;         /* of the instruction that is made now */
    struct emit_flags_of {    /* what the flags tell, as long as the code ends at `at` */
        size_t at, from;      /* from: where the instruction that sets them begins */
        uint32_t a, b;        /* they come from comparing these values; IR_NONE */
        uint8_t reg_a, reg_b; /* in these places */
        uint32_t width;
        uint8_t result; /* or from an operation with its result in this register: ZF and SF; LOC_NONE */
    } flags;
};

/* ---- emit.c ---- */

void emit_function(struct emit *e);
void emit_leave_frame(struct emit *e);
/* The caller's registers come back; the frame stays. */
void emit_restore_saved(struct emit *e);
uint32_t emit_caller_area(const struct emit *e); /* from rsp: the caller's outgoing area */
uint32_t emit_slot_offset(const struct emit *e, uint32_t v);
uint32_t emit_label(struct emit *e);
void emit_bind(struct emit *e, uint32_t label);
/* The code from here on belongs to the wasm instruction: for a fault at it, or a return to it. */
void emit_pc(struct emit *e, uint32_t where);
/* The same, of a call: for its return address, which stays where it is whatever code goes behind it. */
void emit_return_pc(struct emit *e, uint32_t where);
/* The code stands behind the call v: where exceptions out of it go on. */
void emit_landings(struct emit *e, uint32_t v);
/* Notes what comes next, when somebody looks. */
void emit_note(struct emit *e, enum emit_note_kind kind, uint32_t number);
/* A jump that ends the code, and what sets its flags from `from` on: in loops they stand where no boundary of 32 bytes
 * takes them out of the CPU's cache of decoded instructions. */
void emit_keep_together(struct emit *e, size_t from);
/* Jumps to a trap when the condition holds. */
void emit_trap_if(struct emit *e, unsigned cc, enum rt_trap trap, uint32_t where);
struct stub *emit_stub(struct emit *e, unsigned kind, uint32_t where);
/* reg <- an address that is known when the code gets its place (JIT_RELOC_TYPE and what follows it). */
void emit_address_of(struct emit *e, int reg, unsigned kind, uint32_t target);
void emit_reloc(struct emit *e, unsigned kind, uint32_t target);
/* An operand: register, spill slot, constant in the literals (floats), or the load that is part of the user.
 */
struct x86_rm emit_operand(struct emit *e, uint32_t v, uint8_t loc);
/* An operand in a register: its own, or scratch after a move. */
int emit_in_register(struct emit *e, uint32_t v, uint8_t loc, int scratch);
/* The instruction that moves a value of the type between a register and memory. */
uint32_t emit_load_op(unsigned type);
uint32_t emit_store_op(unsigned type);
void emit_move(struct emit *e, unsigned type, int dst, int src);
/* dst <- any operand */
void emit_load_value(struct emit *e, int dst, uint32_t v, uint8_t loc);
bool emit_imm32(const struct emit *e, uint32_t v, int32_t *imm);
static inline uint32_t emit_width(unsigned type) { return type == IR_I64 ? X86_W : 0; }

/* ---- emit_layout.c ---- */

/* Fills e->code and e->alignment, from what e->alias tells. */
void emit_lay_out(struct emit *e);

/* ---- emit_moves.c: parallel moves ---- */

struct moves;
struct moves *emit_moves_new(const struct atoll_alloc *alloc);
void emit_moves_free(const struct atoll_alloc *alloc, struct moves *moves);
void moves_add(struct emit *e, uint32_t v, uint8_t from, uint32_t from_slot, uint8_t to, uint32_t to_slot,
               unsigned type);
void moves_flush(struct emit *e);

/* ---- emit_int.c, emit_float.c, emit_memory.c, emit_simd.c, emit_call.c, emit_object.c, emit_atomic.c ---- */

bool emit_int(struct emit *e, struct ir_ins *i);
bool emit_float(struct emit *e, struct ir_ins *i);
bool emit_memory(struct emit *e, struct ir_ins *i);
bool emit_simd(struct emit *e, struct ir_ins *i);
bool emit_call(struct emit *e, struct ir_ins *i);
void emit_ref_is(struct emit *e, const struct ir_ins *i);
void emit_atomic(struct emit *e, const struct ir_ins *i);
/* Stubs of emit_call.c and emit_float.c. */
void emit_other_stub(struct emit *e, const struct stub *s);
void emit_trunc_stub(struct emit *e, const struct stub *s);
struct x86_rm emit_address(struct emit *e, const struct ir_ins *i);
/* Jumps to `yes` or to `no` by a condition; the one that is `next` by falling through. */
void emit_branch_on(struct emit *e, uint32_t condition, uint8_t loc, uint32_t yes, uint32_t no,
                    uint32_t next);
/* Sets flags; the condition code that is true then. A float equality has two (*parity: unordered decides). */
unsigned emit_flags(struct emit *e, uint32_t condition, uint8_t loc, int *parity);

#endif
