/* jit/build.h: the state of wasm -> IR. */
#ifndef ATOLL_JIT_BUILD_H
#define ATOLL_JIT_BUILD_H

#include "jit/ir.h"
#include "jit/internal.h"

struct merge {        /* what reaches a label: locals, then the label's values */
    uint32_t block;   /* IR_NONE before the first branch to it */
    uint32_t *values; /* each the one value of all branches so far, or a phi of the block */
};
struct clause {        /* of a try: one kind of exception that it handles */
    uint32_t tag;      /* IR_ANY_TAG */
    uint32_t label;    /* of a try_table: where it goes on, counted from outside */
    uint32_t next;     /* of the try, or IR_NONE */
    bool with_ref;     /* the exception itself is wanted */
    struct merge here; /* what reaches it */
};
struct attempt {          /* a try or try_table */
    uint32_t first, last; /* clauses, or IR_NONE */
    uint32_t delegate;    /* what is thrown in it is as thrown at this label; IR_NONE */
    bool rethrown;        /* a handler of it throws its exception again */
};
enum turn_kind { TURN_PLAIN, TURN_BRANCH, TURN_IF };
struct turn { /* of a loop: what the look ahead found */
    uint32_t from,
        test; /* bytes: what it begins with; the branch or if that ends its test, IR_NONE: it has none */
    uint32_t if_end;   /* the byte behind that if */
    uint32_t n_blocks; /* that open in front of the test */
    int height;        /* while it is read: of operands */
    uint8_t n_instrs;
    bool reading, back; /* the test is being read; the last branch to the loop, so far, goes there always */
    uint8_t kind;       /* of the test */
};
struct frame { /* of a wasm block */
    /* BC_BLOCK, BC_LOOP, BC_IF, BC_ELSE, BC_TRY, BC_CATCH, BC_TRY_TABLE, or BC_CALL for the function */
    uint16_t op;
    /* TRY, CATCH, TRY_TABLE: number; next clause; CATCH: the exception or IR_NONE */
    uint32_t attempt, clause, caught;
    struct bc_block_sig sig;
    uint32_t height; /* of the operand stack below its parameters */
    struct merge end;
    uint32_t header, *phis; /* LOOP: phis by local (IR_NONE = never written in it), then of its parameters */
    uint32_t loop, where;   /* LOOP: its number; its byte as struct ir_ins.where */
    struct merge again;     /* LOOP that is turned: what goes round, in front of the test */
    uint32_t else_block, *else_values; /* IF: locals and parameters as they were */
};
struct build {
    struct ir_func *f;
    struct build
        *outer;     /* of an inlined function: who calls it; its locals, operands and blocks are its own */
    uint32_t func;  /* whose body is built */
    uint32_t call;  /* inlined: where it is called, as struct ir_ins.where */
    uint32_t block; /* code goes here; IR_NONE: not reachable */
    uint32_t dead_depth;
    uint32_t n_locals;
    uint32_t *locals;
    uint8_t *local_types; /* enum ir_type */
    uint32_t *stack;
    size_t n_stack, cap_stack;
    struct frame *frames;
    size_t n_frames, cap_frames;
    uint64_t *written; /* a row of bits a loop, in the order of the loops: locals written in it */
    size_t written_words, n_loops, next_loop;
    struct turn *turns; /* by loop */
    size_t n_turns, cap_turns;
    size_t testing;           /* the frame of the loop whose test is being built, + 1 */
    struct attempt *attempts; /* in the order of their instructions */
    struct clause *clauses;
    size_t n_attempts, cap_attempts, next_attempt, n_clauses, cap_clauses;
    uint32_t n_open; /* attempts whose body is being built */
    /* entered at a loop (build_osr.c) */
    uint32_t *osr_values; /* locals, then operands, as they are there */
    uint32_t osr_frame,
        osr_block; /* the parameter; the block that leads to the loop from outside, IR_NONE: none */
    struct interp_fuels fuels; /* where it is taken, when it is counted */
    size_t next_fuel;
    uint64_t work; /* values copied; bounds the cost of functions with many locals and many branches */
};

static inline void build_push(struct build *b, uint32_t v) {
    if (b->n_stack == b->cap_stack &&
        atoll_grow(b->f->alloc, (void **)&b->stack, &b->cap_stack, b->n_stack + 1, sizeof *b->stack)) {
        b->f->failed = true;
        return;
    }
    b->stack[b->n_stack++] = v;
}
static inline uint32_t build_pop(struct build *b) {
    return b->f->failed || !b->n_stack ? 0 : b->stack[--b->n_stack];
}
/* A new instruction at the end of the current block. */
static inline uint32_t build_new(struct build *b, unsigned op, unsigned type) {
    return ir_new(b->f, b->block, op, type);
}
/* Moves the topmost n operands into an item list; returns its start. */
uint32_t build_pop_list(struct build *b, uint32_t n);
/* Code goes to `block` from here on; the order of starts is the order of code. */
void build_start(struct build *b, uint32_t block);
/* Code behind this point is not reached. */
static inline void build_dead(struct build *b) { b->block = IR_NONE; }

/* ---- build_control.c ---- */

void build_control(struct build *b, const struct bc_instr *in);
void build_unreachable_code(struct build *b, const struct bc_instr *in);
void build_enter_function(struct build *b);

/* A block opens; NULL: out of memory. */
struct frame *build_open_block(struct build *b, uint16_t op, uint32_t block_type);
/* Goes to the label, or returns. */
void build_branch(struct build *b, uint32_t depth);
/* The current state, with the topmost n operands, goes to m->block, which is made for the first. */
void build_merge(struct build *b, struct merge *m, uint32_t n);
/* A block that follows the current one. */
uint32_t build_block_after(struct build *b);
/* Branches with what the label wants on the stack, or returns, when the value is not zero. */
void build_branch_if(struct build *b, uint32_t condition, uint32_t depth);
void build_jump(struct build *b, uint32_t target);
void build_branch_on(struct build *b, uint32_t condition, uint32_t taken, uint32_t other);
void build_phi_append(struct build *b, uint32_t phi, uint32_t v);
/* Locals become the first of the values, the operands of the frame the n behind them. */
void build_restore(struct build *b, const struct frame *frame, const uint32_t *values, uint32_t n);
void build_trap_if(struct build *b, uint32_t condition, enum rt_trap trap);
/* Pops a reference that must not be null. */
uint32_t build_pop_non_null(struct build *b, enum rt_trap trap);

/* ---- build_loop.c ---- */

/* The body was read ahead: a loop opens (false: out of memory); in its test comes the instruction, n_open blocks being
 * open, the loop and those in it among them. */
bool build_new_turn(struct build *b, const struct bc_instr *in);
void build_read_test(struct build *b, uint32_t loop, const struct bc_instr *in, uint32_t n_open);
void build_enter_loop(struct build *b, uint32_t block_type);
/* The current state goes to the loop's label; returns the block. */
uint32_t build_loop_edge(struct build *b, struct frame *frame);
/* Whether the instruction, br_if or if, ended the test of a loop: then it is built. */
bool build_test(struct build *b, const struct bc_instr *in);
/* In front of the end of the loop, which is the innermost block. */
void build_leave_loop(struct build *b);

/* ---- build_try.c ---- */

/* Exceptions: throw, throw_ref, rethrow; try, try_table, catch, catch_all. */
void build_exception(struct build *b, const struct bc_instr *in);
/* The body was read ahead: an attempt opens; a clause of it, or what it delegates to, is met; it is thrown again. False:
 * out of memory. */
bool build_new_attempt(struct build *b, const struct bc_instr *in);
bool build_new_clause(struct build *b, uint32_t attempt, struct clause clause);
/* The current block ends with a call, which goes on, or with a throw: the handlers around follow. */
void build_landings(struct build *b, bool goes_on);
/* The frame of a try or try_table opens, n_begun of its handlers having begun; at the end of a try_table its clauses go
 * to their labels. */
void build_open_attempt(struct build *b, const struct bc_instr *in, uint32_t n_begun);
void build_close_attempt(struct build *b, struct frame *frame);

/* ---- build_inline.c ---- */

/* What a function may grow by, from how large it is; 0: nothing is inlined. */
uint32_t build_inline_room(const struct ir_func *f);
/* The call becomes the function's body, where it is small enough: false when it does not. */
bool build_inline(struct build *b, uint32_t func);

/* ---- build.c ---- */

/* The body of b->func, from its locals on, with what has to be freed then. */
void build_function(struct build *b);
/* The byte of it as struct ir_ins.where. */
uint32_t build_where(struct build *b, uint32_t at);

/* ---- build_osr.c ---- */

/* Locals and operands from the interpreter's frame. */
void build_osr_frame(struct build *b);
/* Goes past the code that is never run; returns where code begins: at the loop, or at the outermost around it. */
uint32_t build_osr_start(struct build *b);

/* ---- build_parts.c ---- */

/* Instructions that become several others: false when this is none. */
bool build_parts(struct build *b, const struct bc_instr *in);

/* ---- build_object.c ---- */

/* Managed objects: false when the instruction has no machine code. */
bool build_object(struct build *b, const struct bc_instr *in);
void build_branch_on_cast(struct build *b, const struct bc_instr *in);
/* A load (value IR_NONE) or store by a wasm instruction of that kind, at an address of the host's. */
uint32_t build_host_access(struct build *b, uint16_t op, uint8_t type, uint32_t address, int32_t at,
                           uint32_t value);

/* ---- build_table.c ---- */

/* Tables: false when the instruction has no machine code. */
bool build_table(struct build *b, const struct bc_instr *in);

/* ---- build_atomic.c ---- */

/* Atomic accesses: false when the instruction is none, or has no machine code. */
bool build_atomic(struct build *b, const struct bc_instr *in);

/* ---- build_ops.c ---- */

void build_instr(struct build *b, const struct bc_instr *in);
/* 16 bytes as a value. */
uint32_t build_vector_const(struct build *b, const uint8_t *bytes);
/* Memory 0 behind whose end are guard pages. */
bool build_plain_memory(const struct build *b, uint32_t memory);
/* Address operands of an access of `size` bytes at v: returns `a`, gives the displacement and whether that is one of the
 * host's (index of IR_LOAD; else it counts from memory 0's base). */
uint32_t build_address(struct build *b, const struct bc_instr *in, unsigned size, uint32_t v,
                       uint64_t *displacement, uint32_t *absolute);
/* The instruction runs by the interpreter's code: its operands are popped by the types given. */
void build_slow(struct build *b, const struct bc_instr *in, uint32_t n_args, unsigned n_results,
                const uint8_t *results);

#endif
