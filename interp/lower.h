/* interp/lower.h: the state of one function's lowering (lower*.c).
 *
 * The operand stack exists only here. A value is where it is cheapest: still in the local or the constant it
 * came from, in an accumulator, or in its own slot of the frame. Rules that keep this true:
 *   - a value in an accumulator has a producer whose destination is still free: spilling it patches the
 *     producer to its _D form, which costs no instruction
 *   - before a local is written, values that still stand for it move to their slots
 *   - at block entries and merges every value is in its slot, constants below a block excepted
 *   - at labels nothing is known of the accumulators */
#ifndef ATOLL_INTERP_LOWER_H
#define ATOLL_INTERP_LOWER_H

#include "interp/internal.h"

enum where { IN_SLOT, IN_LOCAL, IN_CONST, IN_ACC };
enum acc { ACC_INT, ACC_F64, ACC_F32, N_ACCS, ACC_NO = N_ACCS };
#define NOTHING UINT32_MAX
#define NO_SLOT INT32_MIN

struct value {
    uint8_t where;       /* enum where */
    uint8_t kind;        /* enum bc_kind */
    int32_t slot;        /* its own */
    uint32_t lower_lazy; /* IN_LOCAL: the next value down the stack that stands for the same local */
    uint64_t bits;       /* IN_LOCAL: index; IN_CONST: value */
};
struct acc_state {
    uint32_t value;    /* stack index of the value that is only here, or NOTHING */
    int32_t slot;      /* a slot known to hold the same, or NO_SLOT */
    uint32_t producer; /* word of the instruction that made it */
    uint16_t op;       /* its handler, not _D */
};
struct frame {         /* of a block */
    uint8_t op;        /* BC_BLOCK, BC_LOOP, BC_IF, BC_TRY, BC_TRY_TABLE, or BC_CALL for the function */
    bool merged;       /* some branch ends at its end */
    int32_t base_slot; /* where its parameters and its results begin */
    uint32_t height;   /* values below its parameters */
    uint32_t sig;      /* block type */
    uint32_t start;    /* LOOP: word */
    uint32_t fixups;   /* branches to its end */
    uint32_t else_fixup;
    uint32_t stub, stub_of; /* br_table: entries that need moves first; the table's word they belong to */
    /* TRY, TRY_TABLE */
    bool closed;                        /* the body is over: TRY behind its first catch */
    uint32_t first_clause, last_clause; /* or NOTHING */
};
struct fixup {
    uint32_t at;   /* which 32-bit half word; with FIXUP_CLAUSE, which clause's target */
    uint32_t from; /* word the distance counts from */
    uint32_t next;
};

#define FIXUP_CLAUSE 0x80000000u

struct lower {
    const bc_stop *stop; /* of the store that calls, or NULL */
    const struct rt_module *module;
    const struct bc_module *bc;
    const struct atoll_alloc *alloc;
    const struct rt_type *type;
    uint32_t func;
    bool guarded, count_fuel, relaxed_native, probes, failed, dead;
    uint32_t stop_at;    /* byte offset of an instruction that ends the lowering; 0: none */
    uint32_t dead_depth; /* blocks opened inside dead code */
    struct interp_code *code;
    uint32_t last; /* word of the newest instruction, NOTHING behind a label */
    uint16_t last_op;
    struct acc_state before; /* ACC_INT before the newest instruction */
    uint32_t fuel_at, fuel;
    struct interp_fuels *fuels; /* they are wanted as a list; or NULL */
    uint32_t instr_offset;      /* byte offset of the wasm instruction being lowered */
    struct acc_state accs[N_ACCS];
    struct value *stack;
    size_t n_stack, cap_stack;
    size_t n_flushed; /* values known to be in slots or constant, from the bottom */
    int32_t next_slot, max_slot;
    struct frame *frames;
    size_t n_frames, cap_frames;
    struct fixup *fixups;
    size_t n_fixups, cap_fixups;
    uint32_t n_locals, window;
    struct local {
        int32_t slot;
        uint32_t lazy; /* topmost value that stands for it, or NOTHING */
        uint8_t kind;
    } * locals;
};

static inline enum acc acc_of(uint8_t kind) {
    switch (kind) {
    case BC_KIND_F64: return ACC_F64;
    case BC_KIND_F32: return ACC_F32;
    case BC_KIND_V128: return ACC_NO;
    default: return ACC_INT;
    }
}

/* ---- lower_stack.c ---- */

/* Appends an instruction; returns its word. */
uint32_t lower_emit(struct lower *l, enum interp_op op, uint32_t n_words);
/* The same for one that may trap or call: remembers the wasm instruction. */
uint32_t lower_emit_trapping(struct lower *l, enum interp_op op, uint32_t n_words);
void lower_operand(struct lower *l, uint32_t at, uint32_t n, int32_t value);
void lower_word(struct lower *l, uint32_t at, uint32_t n, uint64_t value);
/* Takes back the newest instruction, which computed an integer. */
void lower_unemit(struct lower *l);
void lower_set_op(struct lower *l, uint32_t at, enum interp_op op);
/* Nothing is known of the accumulators from here on: a label. */
void lower_forget(struct lower *l);

void lower_push(struct lower *l, enum where where, uint8_t kind, uint64_t bits);
struct value lower_pop(struct lower *l);
static inline struct value *lower_top(struct lower *l, size_t down) {
    return &l->stack[l->n_stack - 1 - down];
}
/* The value in its own slot afterwards. */
void lower_to_slot(struct lower *l, size_t index);
/* All values in slots or constant; constants too for the topmost n. */
void lower_flush(struct lower *l, size_t n_topmost);
/* Every value in its slot, and nothing known of the accumulators: between two instructions under a debugger.
 */
void lower_settle(struct lower *l);
/* Makes the topmost n values start at a slot in a row: returns the first. */
int32_t lower_args(struct lower *l, size_t n);
void lower_drop(struct lower *l, size_t n);
/* Saves what lives only in the accumulator: it is going to be overwritten. */
void lower_clobber(struct lower *l, enum acc acc);
void lower_clobber_all(struct lower *l);
/* Pushes the result of the instruction at `at`, whose handler is `op` and which left it in the accumulator.
 */
void lower_push_acc(struct lower *l, uint8_t kind, uint32_t at, enum interp_op op);
/* Slot s gets another value: no accumulator equals it any more. */
void lower_wrote(struct lower *l, int32_t slot);
/* `dst` <- value (popped). */
void lower_move(struct lower *l, int32_t dst, const struct value *v);
void lower_local_set(struct lower *l, uint32_t local, bool tee);
/* Where an operand is read: 'S' with *slot, 'A', or 'I'. */
char lower_place(const struct lower *l, const struct value *v, int32_t *slot);
/* A slot that holds a value just popped; it is written there if need be. */
int32_t lower_slot_of(struct lower *l, struct value *v);
/* Before popping: so that the value `down` from the top can be read from a slot. */
void lower_want_slot(struct lower *l, size_t down);

/* ---- lower_condition.c ---- */

/* A condition taken off the stack: a comparison not yet made, or a value. */
struct condition {
    uint16_t branch;          /* H_BR_..._SS of the comparison, or 0: value is not zero */
    uint16_t negated, select; /* the same for the opposite; H_SELECT_..._SS, 0 = none */
    uint8_t form;             /* SS AS SI AI as 0..3; without comparison: S A as 0..1 */
    int32_t a, b;             /* operands 1 and 2 */
};
struct condition lower_take_condition(struct lower *l);
/* Emits the branch; operand 0 is the target. */
uint32_t lower_branch_if(struct lower *l, const struct condition *c, bool when, bool backward);
void lower_select(struct lower *l);
/* Turns a comparison just made into its opposite: i32.eqz. False when the newest instruction is none. */
bool lower_negate(struct lower *l);

/* ---- lower_control.c ---- */

void lower_control(struct lower *l, const struct bc_instr *in);
void lower_enter_function(struct lower *l);
/* In dead code: only block structure counts. */
void lower_dead(struct lower *l, const struct bc_instr *in);
void lower_fuel_segment(struct lower *l);
static inline struct frame *lower_frame_at(struct lower *l, uint32_t depth) {
    return &l->frames[l->n_frames - 1 - depth];
}
/* A block begins; `else_fixup`: the branch to its else, or NOTHING. */
void lower_push_frame(struct lower *l, enum bc_op op, uint32_t block_type, uint32_t else_fixup);
void lower_end(struct lower *l);
/* Pushes n values, each in its slot. */
void lower_push_types(struct lower *l, uint32_t n, const bc_valtype *types);
/* The label's values on their way, and the branch. */
void lower_emit_branch(struct lower *l, struct frame *f);
/* The clause goes to the label whose branches are in the list. */
void lower_clause_to_label(struct lower *l, uint32_t *list, uint32_t clause);
/* Where the function's results begin in the caller's window. */
static inline int32_t lower_result_slot(const struct lower *l) {
    return -INTERP_HEADER_SLOTS - (int32_t)l->window;
}

/* ---- lower_call.c ---- */

void lower_call(struct lower *l, const struct bc_instr *in);
void lower_call_indirect(struct lower *l, const struct bc_instr *in);
void lower_call_ref(struct lower *l, const struct bc_instr *in);
/* The three kinds of return_call. */
void lower_tail_call(struct lower *l, const struct bc_instr *in);

/* ---- lower_exception.c ---- */

void lower_try_table(struct lower *l, const struct bc_instr *in);
void lower_try(struct lower *l, const struct bc_instr *in);
/* The words from the frame's start to here are its body. `delegate`: the level that gets what it throws, or
 * INTERP_NONE */
void lower_close_try(struct lower *l, struct frame *f, uint32_t delegate);
/* catch and catch_all of a legacy try */
void lower_catch(struct lower *l, const struct bc_instr *in);
void lower_delegate(struct lower *l, const struct bc_instr *in);
void lower_throw(struct lower *l, const struct bc_instr *in);
/* throw_ref and rethrow */
void lower_throw_ref(struct lower *l, const struct bc_instr *in);

/* ---- lower_access.c ---- */

/* `base`: the handler's first form (handlers.def) */
void lower_load(struct lower *l, const struct bc_instr *in, uint16_t base, uint8_t kind);
void lower_store(struct lower *l, const struct bc_instr *in, uint16_t base, uint8_t kind);
void lower_vector_load(struct lower *l, const struct bc_instr *in, uint16_t base);
void lower_vector_store(struct lower *l, const struct bc_instr *in, uint16_t base);
void lower_lane_access(struct lower *l, const struct bc_instr *in, uint16_t base, bool load);
void lower_atomic(struct lower *l, const struct bc_instr *in, uint16_t base, uint8_t n_args, uint8_t result);

/* ---- lower_object.c ---- */

void lower_object(struct lower *l, const struct bc_instr *in);
/* The branch of br_on_cast on the reference in `slot`, taken when the cast succeeds or when it fails; operand
 * 0 is the target. */
uint32_t lower_cast_branch(struct lower *l, const struct bc_instr *in, int32_t slot, bool when,
                           bool backward);

/* ---- lower_ops.c ---- */

void lower_instr(struct lower *l, const struct bc_instr *in);

#endif
