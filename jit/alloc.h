/* jit/alloc.h: registers for values.
 *
 * Positions: a block's start and each of its instructions take four, counted through the order of code.
 *
 *   4i   moves in front of the instruction      4i + 2  registers it destroys
 *   4i+1 operands are read                      4i + 3  the result is written; operands marked late end
 * behind it
 *
 * A value's lifetime is a list of ranges; the allocator cuts it into pieces, each in one register or in
 * memory. A value that is ever in memory is stored where it is made, so a cut never costs a store; but for those that
 * spill.c finds.
 *
 * source  Wimmer, Franz: "Linear Scan Register Allocation on SSA Form", 2010 */
#ifndef ATOLL_JIT_ALLOC_H
#define ATOLL_JIT_ALLOC_H

#include "jit/ir.h"

struct alloc_range {
    uint32_t from, to; /* half open */
    uint32_t next;
};
struct alloc_use {
    uint32_t pos;
    bool must;     /* in a register; others may be read from memory */
    uint8_t *cell; /* where the location goes; NULL: only a reason to keep the register */
    uint32_t next;
};
struct piece {
    uint32_t value;
    uint32_t ranges, uses; /* first of each, IR_NONE */
    uint32_t from, to;
    uint32_t next;  /* the value's next piece */
    uint32_t range; /* while active: the range that is current */
    uint32_t use;   /* the first use that the scan has not passed */
    uint32_t hint;  /* a value whose register would be good, or IR_NONE */
    uint8_t reg;    /* or LOC_SPILL */
    uint8_t wish;   /* a register that would be good, or LOC_NONE */
    bool split;     /* not the value's first */
};
struct alloc_move { /* between two pieces of a value, in front of the instruction at pos */
    uint32_t pos, value;
    uint8_t from, to;
};
/* Steps over ranges, uses and pieces, of one function: beyond, it stays interpreted. */
#define ALLOC_MAX_WORK (UINT64_C(1) << 26)

struct alloc {
    uint64_t work;
    struct ir_func *f;
    struct piece *pieces; /* the first n_ins are the values' first pieces */
    size_t n_pieces, cap_pieces;
    struct alloc_range *ranges;
    size_t n_ranges, cap_ranges;
    struct alloc_use *uses;
    size_t n_uses, cap_uses;
    uint32_t *global; /* by value: number among those that live across blocks, or IR_NONE */
    uint32_t *global_values;
    uint32_t n_globals, live_words;
    uint64_t *live_in;           /* a row a block */
    uint32_t *calls, *divisions; /* positions of what destroys registers, ascending */
    uint32_t n_calls, n_divisions;
    uint32_t *slots; /* by value: byte offset of the spill slot, or IR_NONE */
    uint32_t spill_bytes;
    bool *late; /* by value: it is stored on its ways to memory, not where it is made (spill.c) */
    struct alloc_move *moves; /* by position */
    size_t n_moves, cap_moves;
    uint32_t
        framed; /* position from which on there is a frame: values may be in memory, and in registers of the
                            caller's */
    uint32_t used_saved; /* registers of the caller's that the function uses: bit a register */
};

/* Allocates. Afterwards the operands' reg fields are set. f->failed when out of memory. */
void alloc_run(struct alloc *a, struct ir_func *f);
void alloc_fini(struct alloc *a);
/* Where the value is at a position at which it lives; for constants LOC_NONE. */
uint8_t alloc_at(struct alloc *a, uint32_t value, uint32_t pos);
/* The block at a position, as its place in the order. */
uint32_t alloc_block_at(const struct alloc *a, uint32_t pos);
static inline bool alloc_lives_into(const struct alloc *a, uint32_t block, uint32_t global) {
    return a->live_in[(size_t)block * a->live_words + global / 64] >> global % 64 & 1;
}

/* ---- the calling convention ---- */

#define JIT_N_INT_ARGS   6
#define JIT_N_FLOAT_ARGS 8
extern const uint8_t jit_int_args[JIT_N_INT_ARGS];
/* Registers that a function gives back as it found them, in the order in which it pushes those that it uses. */
#define JIT_N_SAVED 4
extern const uint8_t jit_saved_registers[JIT_N_SAVED];
/* Where parameters go: a register each, or LOC_SPILL with a byte offset in the outgoing area. */
struct jit_arg {
    uint8_t reg;
    uint32_t offset;
};
/* Fills out[n]; returns the bytes of the outgoing area. */
uint32_t jit_place_args(const struct rt_valtype *types, uint32_t n, struct jit_arg *out);

/* A tail call whose arguments do not fit where the function's own stand, or that may lead into another instance with
 * values on the stack, goes through a thunk, which puts a frame between the callee and the function's caller (thunk.c
 * draws it). Its room for arguments is one of a few sizes, its class, so that the address of what the callee returns to
 * tells it. Where the function itself was called from such a frame, that one is used again, or a larger one put in its
 * place: chains of tail calls need no stack. */
#define JIT_TAIL_CLASSES 5
static inline uint32_t jit_tail_room(unsigned tail_class) {
    static const uint32_t rooms[JIT_TAIL_CLASSES] = {0, 64, 512, 4096, 16384};
    return rooms[tail_class];
}
#define JIT_TAIL_BYTES 48 /* besides the room: what the frame takes, and the thunk for itself */
struct jit_tail {
    uint32_t area, results; /* bytes of arguments, of results behind the first */
    unsigned tail_class;    /* of the frame, if it takes one */
    bool thunk;             /* it does, and the arguments are put into our own outgoing area */
};
/* `own` is called by its caller, and ends with a call of `callee`. within: that is of the same instance, certainly. */
struct jit_tail jit_tail_of(const struct rt_type *own, const struct rt_type *callee, bool within);

/* ---- spill.c ---- */

/* Fills a->late, once all pieces have their places. */
void alloc_place_stores(struct alloc *a);

/* ---- live.c ---- */

void alloc_lifetimes(struct alloc *a);
bool alloc_new_piece(struct alloc *a, uint32_t *out);

#endif
