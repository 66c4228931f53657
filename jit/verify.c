/* jit/verify.c: whether IR is what passes rely on: each use has its value on every way from the entry. Asserted under
 * stress behind each pass (compile.c); a use that is not dominated reads whatever its register holds. */
#include "jit/ir.h"

#define MOST_STEPS ((uint64_t)1 << 26)

struct use {
    uint32_t block; /* where the value is wanted; of a phi's operand: where it comes from */
    uint32_t next;  /* of the same value, IR_NONE: none */
};
struct verify {
    const struct ir_func *f;
    uint32_t *home, *place; /* by value: its block, IR_NONE: none; its place in the order of code */
    uint32_t *first_use;    /* by value, into `uses` */
    struct use *uses;
    size_t n_uses, cap_uses;
    uint32_t *seen, *work; /* by block: the value that was wanted in it last; blocks to look at */
    uint64_t steps;
    bool failed; /* no memory */
};

static void find_homes(struct verify *y) {
    const struct ir_func *f = y->f;
    uint32_t place = 0;
    for (size_t v = 0; v < f->n_ins; v++) y->home[v] = y->first_use[v] = IR_NONE;
    for (size_t b = 0; b < f->n_blocks; b++) y->seen[b] = IR_NONE;
    for (uint32_t k = 0; k < f->n_order; k++)
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) {
            y->home[v] = f->order[k];
            y->place[v] = place++;
        }
}

static void add_use(struct verify *y, uint32_t v, uint32_t block) {
    if (y->n_uses == y->cap_uses &&
        atoll_grow(y->f->alloc, (void **)&y->uses, &y->cap_uses, y->n_uses + 1, sizeof *y->uses)) {
        y->failed = true;
        return;
    }
    y->uses[y->n_uses] = (struct use){block, y->first_use[v]};
    y->first_use[v] = (uint32_t)y->n_uses++;
}

/* Notes a use in the block, or at its end for a phi behind it (user IR_NONE). Returns whether it has a definition, in
 * its own block one in front of it. What is part of its user may stand in no block: its operands are wanted there. */
static bool note_use(struct verify *y, uint32_t v, uint32_t block, uint32_t user) {
    if (v >= y->f->n_ins) return false;
    if (y->f->ins[v].op == IR_CONST) return true;
    if (y->f->ins[v].folded) {
        IR_EACH_OPERAND(y->f, v, p, {
            if (!note_use(y, *p, block, user)) return false;
        });
        return true;
    }
    if (y->home[v] == block) return user == IR_NONE || y->place[v] < y->place[user];
    if (y->home[v] != IR_NONE) add_use(y, v, block);
    return y->home[v] != IR_NONE;
}

static bool note_uses(struct verify *y, uint32_t block) {
    const struct ir_func *f = y->f;
    const struct ir_block *b = f->blocks + block;
    for (uint32_t v = b->first; v != IR_NONE; v = f->ins[v].next) {
        const struct ir_ins *i = f->ins + v;
        if (i->op == IR_PHI) {
            if (i->b != b->n_preds) return false;
            for (uint32_t k = 0; k < i->b; k++)
                if (!note_use(y, f->items[i->a + k], b->preds[k], IR_NONE)) return false;
        } else {
            IR_EACH_OPERAND(f, v, p, {
                if (!note_use(y, *p, block, v)) return false;
            });
        }
    }
    return true;
}

/* Whether the value is wanted at the start of the block for the first time; then that is looked at. */
static void want(struct verify *y, uint32_t v, uint32_t block, uint32_t *n) {
    y->steps++;
    if (block == y->home[v] || y->seen[block] == v) return;
    y->seen[block] = v;
    y->work[(*n)++] = block;
}

/* Backwards from the uses: the definition is met before the entry. */
static bool defined_in_front(struct verify *y, uint32_t v) {
    const struct ir_func *f = y->f;
    uint32_t n = 0;
    for (uint32_t u = y->first_use[v]; u != IR_NONE; u = y->uses[u].next) want(y, v, y->uses[u].block, &n);
    while (n) {
        uint32_t block = y->work[--n];
        if (block == f->order[0]) return false;
        for (uint32_t k = 0; k < f->blocks[block].n_preds; k++) want(y, v, f->blocks[block].preds[k], &n);
    }
    return true;
}

static bool sound(struct verify *y) {
    const struct ir_func *f = y->f;
    find_homes(y);
    for (uint32_t k = 0; k < f->n_order && !y->failed; k++)
        if (!note_uses(y, f->order[k])) return false;
    for (uint32_t v = 0; v < f->n_ins && !y->failed && y->steps < MOST_STEPS; v++)
        if (!defined_in_front(y, v)) return false;
    return true;
}

bool ir_sound(const struct ir_func *f) {
    size_t n = f->n_ins + 1, n_blocks = f->n_blocks + 1;
    struct verify y = {.f = f};
    y.home = atoll_new(f->alloc, n, sizeof *y.home);
    y.place = atoll_new(f->alloc, n, sizeof *y.place);
    y.first_use = atoll_new(f->alloc, n, sizeof *y.first_use);
    y.seen = atoll_new(f->alloc, n_blocks, sizeof *y.seen);
    y.work = atoll_new(f->alloc, n_blocks, sizeof *y.work);
    bool result = !y.home || !y.place || !y.first_use || !y.seen || !y.work || sound(&y);
    atoll_free(f->alloc, y.home, n * sizeof *y.home);
    atoll_free(f->alloc, y.place, n * sizeof *y.place);
    atoll_free(f->alloc, y.first_use, n * sizeof *y.first_use);
    atoll_free(f->alloc, y.seen, n_blocks * sizeof *y.seen);
    atoll_free(f->alloc, y.work, n_blocks * sizeof *y.work);
    atoll_free(f->alloc, y.uses, y.cap_uses * sizeof *y.uses);
    return result;
}
