/* jit/ir.h: a function in static single assignment form, and what the passes tell each other.
 *
 *   build*.c   wasm -> values in blocks (constants folded on the way)
 *   opt.c      trivial phis, dead values, equal values, edges split, blocks in their final order
 *   select.c   which values become part of the instruction that uses them
 *   alloc*.c   every other value gets registers or a spill slot
 *   emit*.c    machine code
 *
 * A value is the number of the instruction that makes it. Pure wasm instructions keep their number of
 * opcodes.def; others have IR_ ones behind them. */
#ifndef ATOLL_JIT_IR_H
#define ATOLL_JIT_IR_H

#include "jit/code.h"
#include "jit/jit.h"

#define IR_NONE    UINT32_MAX
#define IR_ANY_TAG UINT32_MAX

/* op, has effects (is kept when unused), ends a block */
#define IR_OP_LIST(X)                                                                                        \
    X(CONST, 0, 0)    /* imm; v128: imm = index in `pool`; in no block */                                    \
    X(PARAM, 0, 0)    /* imm = parameter */                                                                  \
    X(PHI, 0, 0)      /* list: a value a predecessor; lane: of a loop's header */                            \
    X(CAST, 0, 0)     /* a; the same bits as another integer type: i64.extend_i32_u */                       \
    X(MUL_HIGH, 0, 0) /* a, b; the upper half of the product, lane: signed */                                \
    X(BSWAP, 0, 0)    /* a; its bytes in reverse order */                                                    \
    X(MUL_EVEN, 0, 0) /* a, b; lanes 0 and 2 of 32 bits to 64, lane: signed */                               \
    X(ADDRESS, 1,                                                                                            \
      0)          /* a index, imm offset, memory, size: checked host address + size; b, c or IR_NONE: its  \
                           size_bytes, its base */ \
    X(LOAD, 1, 0) /* a address, c more of it, imm displacement; sub = wasm op; index: IR_ABSOLUTE .. */      \
    X(STORE, 1, 0)      /* the same, b value */                                                              \
    X(ATOMIC, 1, 0)     /* a, imm as LOAD, b value, c replacement; sub = wasm op: store, change, exchange */ \
    X(GLOBAL_GET, 0, 0) /* imm = index; not pure: ordered by `epoch` */                                      \
    X(GLOBAL_SET, 1, 0) /* a value */                                                                        \
    X(MEMORY_SIZE, 0, 0)                                                                                     \
    X(MEMORY_PART, 0, 0) /* imm = byte offset in the struct rt_memory */                                     \
    X(OWN_STORE, 0, 0)   /* the instance's struct rt_store */                                                \
    X(HELD, 0, 0)        /* a constant, in a register */                                                     \
    X(TABLE, 0, 0)       /* imm = index: its struct rt_table */                                              \
    X(REF_FUNC, 0, 0)                                                                                        \
    X(SELECT, 0, 0)        /* a if true, b if false, c condition */                                          \
    X(CALL, 1, 0)          /* list: arguments; imm = function */                                             \
    X(CALL_INDIRECT, 1, 0) /* list: arguments, then the function; imm = type */                              \
    X(CALL_TABLE, 1, 0)    /* list: arguments, then the index; imm = type, index = table */                  \
    X(TABLE_FUNC, 1, 0)    /* a index; imm = type, index = table: the checked function */                    \
    X(NON_NULL, 1, 0)      /* a reference; imm = trap */                                                     \
    X(TRAP_IF, 1, 0)       /* a condition; imm = trap */                                                     \
    X(REF_IS, 0, 0)        /* a reference; imm = heap type, no top or bottom; lane: null is one, too */      \
    X(SLOW, 1, 0)          /* list: operands; imm = index in the module's slow instructions */               \
    X(RESULT, 0, 0) /* the result behind the first of the call or slow instruction before it;         \
                              imm = byte offset in the outgoing area */      \
    X(FUEL, 1, 0)   /* takes imm of it */                                                                    \
    X(POLL, 1, 0)   /* a: the store, or IR_NONE */                                                           \
    X(JUMP, 1, 1)                                                                                            \
    X(BRANCH, 1, 1)    /* a: nonzero goes to succ[0], else succ[1] */                                        \
    X(SWITCH, 1, 1)    /* a index; successors are the targets, the last the default; result: a register */   \
    X(RETURN, 1, 1)    /* list: results */                                                                   \
    X(TAIL_CALL, 1, 1) /* list: arguments; imm = function */                                                 \
    X(TAIL_INDIRECT, 1, 1) /* list: arguments, then the function; imm = type */                              \
    X(THROW, 1, 1)         /* list: the tag's values; imm = tag */                                           \
    X(THROW_REF, 1, 1)     /* a exception */                                                                 \
    X(TRAP, 1, 1)          /* imm = trap */
enum ir_op {
    IR_FIRST_ = BC_OP_COUNT - 1,
#define X(id, effect, ends) IR_##id,
    IR_OP_LIST(X)
#undef X
        IR_OP_COUNT
};

enum ir_type { IR_VOID, IR_I32, IR_I64, IR_F32, IR_F64, IR_V128 };

/* `index` of LOAD, STORE and ATOMIC: a is an address of the host's, not of memory 0. Of the first two, by select.c: c, or a
 * where there is none, times 2 to the power of the bits from IR_SCALE on. */
#define IR_ABSOLUTE 1u
#define IR_SCALE    1

/* Where an operand is read: filled by the allocator. Below 32 a register. */
#define LOC_SPILL 0xFE /* in the value's spill slot */
#define LOC_NONE  0xFF /* a constant, or part of the using instruction */

struct ir_ins {
    uint16_t op;
    uint16_t sub;     /* LOAD, STORE: the wasm instruction */
    uint8_t type;     /* enum ir_type of the result */
    bool folded;      /* becomes part of its one user (select.c) */
    bool effect;      /* stays when unused */
    uint8_t lane;     /* lane, or size of ADDRESS; LOAD of a host's object: 1 = what is there never changes */
    uint32_t a, b, c; /* operands, IR_NONE; a = first item of `list`, b = how many, for list instructions */
    uint32_t index;   /* memory, table; of accesses see IR_ABSOLUTE */
    uint64_t imm;
    uint32_t where; /* byte offset of the wasm instruction, or JIT_INLINED and a number in `places` */
    uint32_t block;
    uint32_t next; /* in its block */
    uint32_t n_uses;
    uint32_t pos;                     /* alloc.c: its position */
    uint8_t reg, reg_a, reg_b, reg_c; /* locations: result, operands */
};

struct ir_block {
    uint32_t first, last; /* instructions; phis first */
    uint32_t *preds;      /* in the order of the phis' lists */
    uint32_t n_preds, cap_preds;
    uint32_t *succs;
    uint32_t n_succs;
    bool
        throws; /* its last instruction, a call or a throw, has ways to handlers: the last of its successors */
    bool landing;        /* begins at a handler, with the values of `tag` in the outgoing area, */
    bool with_ref;       /* then the exception itself */
    uint32_t tag;        /* IR_ANY_TAG: any exception, none of its values */
    bool entered_inside; /* a loop header: the loop is entered behind it, too (build_osr.c) */
    uint32_t loop_depth;
    uint32_t loop_end;    /* of a loop header: last block of the loop in the order; IR_NONE else */
    uint32_t idom, order; /* dominator; place in `order` */
    uint32_t dom_in, dom_out;
    uint32_t from, to; /* alloc.c: positions */
};

struct ir_func {
    struct rt_module *module;
    const struct bc_module *bc;
    const struct rt_type *type;
    uint32_t func; /* index in the module */
    struct bc_arena arena;
    const struct atoll_alloc *alloc;
    struct ir_ins *ins;
    size_t n_ins, cap_ins;
    struct ir_block *blocks;
    size_t n_blocks, cap_blocks;
    uint32_t *order; /* blocks in the order of their code */
    uint32_t n_order;
    size_t cap_order;
    uint32_t *items;    /* operands of list instructions */
    uint8_t *item_regs; /* alloc.c: their locations */
    size_t n_items, cap_items;
    uint8_t (*pool)[16]; /* v128 constants */
    size_t n_pool, cap_pool;
    uint32_t out_bytes;   /* outgoing area: arguments and results of calls */
    uint32_t frame_place; /* in the order, of the block that makes the frame (frame.c) */
    uint32_t where;       /* of new instructions */
    bool has_calls;
    bool has_far_calls;         /* of them: such as may lead into another instance */
    struct jit_inlined *places; /* of the instructions of inlined functions */
    size_t n_places, cap_places;
    uint32_t inline_bytes; /* of functions' bodies that may still be inlined */
    uint32_t n_inlined;    /* calls that became the function's body */
    const struct interp_loop
        *loop; /* the code is entered at the head of this loop, at byte `loop_offset`; or NULL */
    uint32_t loop_offset;
    struct bc_buf *dump;          /* the stages so far as text; NULL: nobody looks */
    const _Atomic uint32_t *stop; /* not 0: the program is to end, and its compilation with it; may be NULL */
    const char *declined;         /* why this function stays interpreted, or NULL */
    bool failed;                  /* out of memory */
};

static inline bool ir_stopped(const struct ir_func *f) {
    return f->stop && atomic_load_explicit(f->stop, memory_order_relaxed);
}
static inline bool ir_has_list(uint16_t op) {
    switch (op) {
    case IR_PHI:
    case IR_CALL:
    case IR_CALL_INDIRECT:
    case IR_CALL_TABLE:
    case IR_SLOW:
    case IR_RETURN:
    case IR_TAIL_CALL:
    case IR_THROW:
    case IR_TAIL_INDIRECT: return true;
    default: return false;
    }
}
/* The byte offset of the instruction that `where` tells. */
static inline uint32_t ir_byte(const struct ir_func *f, uint32_t where) {
    where &= ~(JIT_NO_FRAME | JIT_FAR);
    return f->n_places && where & JIT_INLINED ? f->places[where & JIT_PLACE].at : where;
}
/* Of a block that throws: the number of the first successor that is a handler. */
static inline uint32_t ir_first_landing(const struct ir_func *f, const struct ir_block *b) {
    return f->ins[b->last].op != IR_THROW && f->ins[b->last].op != IR_THROW_REF;
}
/* Whether what changes places on the ways from the block does so behind it. */
static inline bool ir_forks(const struct ir_block *b) { return b->n_succs > 1 || b->throws; }
static inline bool ir_is_const(const struct ir_func *f, uint32_t v) { return f->ins[v].op == IR_CONST; }
static inline bool ir_is_float(uint8_t type) { return type >= IR_F32; }
/* A quotient or remainder of integers. */
static inline bool ir_is_division(uint16_t op) {
    return (op >= BC_I32_DIV_S && op <= BC_I32_REM_U) || (op >= BC_I64_DIV_S && op <= BC_I64_REM_U);
}
/* Works in rax and rdx. */
static inline bool ir_divides(uint16_t op) { return op == IR_MUL_HIGH || ir_is_division(op); }
static inline unsigned ir_type_of(bc_valtype t) {
    switch (bc_valtype_kind(t)) {
    case BC_KIND_I32: return IR_I32;
    case BC_KIND_F32: return IR_F32;
    case BC_KIND_F64: return IR_F64;
    case BC_KIND_V128: return IR_V128;
    default: return IR_I64;
    }
}

/* Whether every way to b passes a (opt.c; blocks of the numbered order). */
static inline bool ir_dominates(const struct ir_func *f, uint32_t a, uint32_t b) {
    return f->blocks[b].dom_in >= f->blocks[a].dom_in && f->blocks[b].dom_in < f->blocks[a].dom_out;
}

/* ---- ir.c ---- */

void ir_init(struct ir_func *f, struct rt_module *module, uint32_t func);
void ir_fini(struct ir_func *f);
uint32_t ir_new_block(struct ir_func *f);
/* A new instruction at the end of `block`, or in none. */
uint32_t ir_new(struct ir_func *f, uint32_t block, unsigned op, unsigned type);
uint32_t ir_const(struct ir_func *f, unsigned type, uint64_t bits);
/* Room for n operands; returns the first's index. */
uint32_t ir_items(struct ir_func *f, uint32_t n);
void ir_add_pred(struct ir_func *f, uint32_t block, uint32_t pred);
void ir_set_succs(struct ir_func *f, uint32_t block, uint32_t n, const uint32_t *succs);
/* Calls visit for the place of every operand. */
#define IR_EACH_OPERAND(f, i, p, body)                                                                       \
    do {                                                                                                     \
        struct ir_ins *each_ = (f)->ins + (i);                                                               \
        if (ir_has_list(each_->op)) {                                                                        \
            for (uint32_t k_ = 0; k_ < each_->b; k_++) {                                                     \
                uint32_t *p = (f)->items + each_->a + k_;                                                    \
                body                                                                                         \
            }                                                                                                \
        } else {                                                                                             \
            uint32_t *const places_[3] = {&each_->a, &each_->b, &each_->c};                                  \
            for (uint32_t k_ = 0; k_ < 3; k_++) {                                                            \
                uint32_t *p = places_[k_];                                                                   \
                if (*p != IR_NONE) body                                                                      \
            }                                                                                                \
        }                                                                                                    \
    } while (0)
/* The blocks as text. Behind the allocator, with registers. */
void ir_print(const struct ir_func *f, struct bc_buf *out);

/* ---- dump.c ---- */

/* Adds the function, as it is now, to f->dump where the stage is wanted. */
void ir_show(const struct ir_func *f, enum jit_stage stage);

/* ---- verify.c ---- */

/* Whether, from the entry that this code has, no way leads to a use that does not pass the value's definition, and phis
 * have a value for each way to them. Knows nothing of dominators, so it finds wrong ones. What takes too long to look
 * at, or finds no memory, is held to be sound. */
bool ir_sound(const struct ir_func *f);

/* ---- fold.c: the value of an operation, simplified where its operands allow ---- */

uint32_t ir_unary(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a);
uint32_t ir_binary(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a, uint32_t b);
/* The comparison that is true when this one is not; 0 when there is none (floats). */
uint16_t ir_negated(uint16_t op);
bool ir_commutes(uint16_t op);
/* Whether the comparison gives an i32 of two integers of type *operands. */
bool ir_is_compare(uint16_t op, unsigned *operands);

/* The bits that may be set in an integer; looks at most `depth` operations back. */
uint64_t ir_possible_bits(const struct ir_func *f, uint32_t v, unsigned depth);

/* ---- idiom.c: what programs spell with shifts and masks; IR_NONE: it is no such thing ---- */

/* a | b */
uint32_t ir_union_idiom(struct ir_func *f, uint32_t block, unsigned type, uint32_t a, uint32_t b);
/* a & bits */
uint32_t ir_mask_idiom(struct ir_func *f, uint32_t block, unsigned type, uint32_t a, uint64_t bits);

/* ---- divide.c ---- */

/* a / d or its rest without a division, op telling which; IR_NONE: d is 0, 1 or, taken as signed, negative. */
uint32_t ir_divide(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a, uint64_t d,
                   bool wide);

/* ---- opt.c: for its passes and hoist.c ---- */

/* The last block that every way to either passes. */
uint32_t ir_common_dominator(const struct ir_func *f, uint32_t a, uint32_t b);
/* Whether the value depends on its operands alone, and computing it does nothing else. */
bool ir_pure(const struct ir_ins *i);

/* ---- passes ---- */

/* Wasm -> IR. f->declined tells why not. */
void ir_build(struct ir_func *f);
void ir_optimize(struct ir_func *f);
void ir_hoist(struct ir_func *f);
void ir_place_frame(struct ir_func *f);
void ir_select(struct ir_func *f);

#endif
