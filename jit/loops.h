/* jit/loops.h: the loops of a function as the way of its blocks shows them, what happens in each, and how many registers
 * it leaves. Dominators are known (opt.c), edges are not split yet.
 *
 * A loop is entered at its header alone, by the one block in front of it, which leads nowhere else (build_control.c makes
 * it so). A header behind which code is entered, too (build_osr.c), makes no loop here: its blocks belong to none, or
 * to one around it.
 *
 * source  Havlak: "Nesting of Reducible and Irreducible Loops", 1997 */
#ifndef ATOLL_JIT_LOOPS_H
#define ATOLL_JIT_LOOPS_H

#include "jit/ir.h"

enum { LOOP_INT, LOOP_FLOAT, LOOP_CLASSES }; /* of registers */

struct loop {
    uint32_t header, before; /* before: the block in front; IR_NONE: nothing can be put there */
    uint32_t turn;           /* the last block that every turn passes */
    uint32_t last;           /* place in the order of its last block */
    uint32_t parent;         /* the loop around it, or IR_NONE; has a greater number */
    uint32_t tail;           /* what was put last in front of the loop, or IR_NONE */
    bool inner;              /* has no loops in it */
    bool measured;           /* `room` is known */
    /* what happens in it: */
    bool calls;           /* of anybody who may do anything */
    bool stores, objects; /* to memories; to managed objects and tables */
    bool divides;         /* rax and rdx are in use */
    bool sets_imported;   /* a global that may be any of the imported ones */
    uint64_t sets;        /* own globals, by the number's last six bits */
    int room[LOOP_CLASSES];
};
struct value_use { /* by value */
    uint32_t free; /* how many of its uses make it part of the user, so that it costs nothing (select.c) */
    bool guards;   /* its one use is TRAP_IF */
    uint32_t seen,
        last; /* of the loop that is measured: known to be used in it, + 1; place of the last use */
};
struct loops {
    struct ir_func *f;
    struct loop *items; /* inner ones first */
    uint32_t n;
    uint32_t *of;  /* by block: the innermost loop around it, or IR_NONE */
    uint32_t *top; /* by loop: one around it; itself: none is known */
    struct value_use *uses;
    size_t n_values;              /* there is room for in `uses` */
    uint32_t *ends[LOOP_CLASSES]; /* by place in the loop that is measured: values that end there */
    uint64_t work;                /* steps over blocks and instructions, of one loop after the other */
};

/* False: there are none, or f->failed. Free it in any case. */
bool loops_find(struct loops *l, struct ir_func *f);
void loops_free(struct loops *l);
/* Registers of the class that are free in all of the loop; less than 0: too few for what is there. May err. */
int loops_room(struct loops *l, uint32_t loop, unsigned reg_class);
/* Whether there was not too much work yet. */
bool loops_go_on(const struct loops *l);
/* Whether the value, or constant, is there when the loop begins. */
bool loops_known_before(const struct loops *l, uint32_t loop, uint32_t value);
/* Whether the block is in the loop, or in one that begins between its blocks. */
bool loops_has(const struct loops *l, uint32_t loop, uint32_t block);
static inline unsigned loops_class(const struct ir_ins *i) {
    return ir_is_float(i->type) ? LOOP_FLOAT : LOOP_INT;
}
/* Whether the access is one to a memory, not to an object of the host's or a table. */
static inline bool loops_is_memory(const struct ir_func *f, const struct ir_ins *access) {
    return !access->index || (access->a != IR_NONE && f->ins[access->a].op == IR_ADDRESS);
}

#endif
