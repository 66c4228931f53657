/* jit/frame.c: where a function makes its frame. Blocks that call nobody, and from which it returns early, come in front
 * of it: they keep to registers that nobody has to give back, so such a return is only that.
 *
 *        before:  entry: x < 2                            entry: x < 2
 *                   |       \                               |       \
 *                 rest       \                            rest       return x + 0     no frame up to here
 *                  ...        |                            frame is made, ...
 *                   +-> phi, phi, sum, return               +-> phi, phi, sum, return
 *
 * Programs come with one return at their end, so that is copied to where the early ways part. All other blocks are
 * reached by one way, into `rest`, and never lead back. Nothing in front of the frame can be seen from outside, as the
 * end of the stack is looked for when the frame is made.
 *
 * source  Chow: "Minimizing Register Usage Penalty at Procedure Calls", 1988 (shrink-wrapping) */
#include "jit/ir.h"

#define MOST_BLOCKS 12 /* in front of the frame */
#define MOST_INS    48
#define MOST_PHIS   8 /* of a return that is copied */
#define MOST_COPIED 4

/* ---- what may stand in front ---- */

static bool is_plain(const struct ir_ins *i) {
    if (!i->effect) return i->op != IR_RESULT;
    switch (i->op) {
    case IR_LOAD:
    case IR_ADDRESS:
    case IR_NON_NULL:
    case IR_TRAP_IF:
    case IR_TRAP:
    case IR_RETURN:
    case IR_JUMP:
    case IR_BRANCH:
    case IR_SWITCH: return true;
    default: return i->op < BC_OP_COUNT; /* arithmetic that may trap */
    }
}

static bool is_plain_block(const struct ir_func *f, const struct ir_block *b, unsigned *n_ins) {
    if (b->loop_end != IR_NONE || b->throws || b->landing) return false;
    for (uint32_t v = b->first; v != IR_NONE; v = f->ins[v].next)
        if (!is_plain(f->ins + v) || ++*n_ins > MOST_INS) return false;
    return true;
}

/* ---- copies of returns ---- */

/* Whether the block is phis, a few values of them, and a return. */
static bool is_short_return(const struct ir_func *f, uint32_t block) {
    unsigned n_phis = 0, n_others = 0;
    const struct ir_block *b = f->blocks + block;
    if (f->ins[b->last].op != IR_RETURN || b->n_preds < 2 || b->landing) return false;
    for (uint32_t v = b->first; v != b->last; v = f->ins[v].next) {
        bool phi = f->ins[v].op == IR_PHI;
        if (phi ? ++n_phis > MOST_PHIS : ++n_others > MOST_COPIED) return false;
        if (!phi && (!ir_pure(f->ins + v) || ir_has_list(f->ins[v].op))) return false;
    }
    return true;
}

static bool jumps_to(const struct ir_func *f, uint32_t block, uint32_t to) {
    const struct ir_block *b = f->blocks + block;
    return f->ins[b->last].op == IR_JUMP && b->succs[0] == to;
}

/* Of the n-th block. One way into the return stays. */
static bool jumps_to_return(const struct ir_func *f, uint32_t n) {
    const struct ir_block *b = f->blocks + f->order[n];
    uint32_t n_others = 0;
    if (f->ins[b->last].op != IR_JUMP || !is_short_return(f, b->succs[0])) return false;
    for (uint32_t k = 0; k < n; k++) n_others += jumps_to(f, f->order[k], b->succs[0]);
    return n_others + 1 < f->blocks[b->succs[0]].n_preds;
}

struct copies {
    uint32_t from[MOST_PHIS + MOST_COPIED], to[MOST_PHIS + MOST_COPIED];
    unsigned n;
};

static uint32_t copy_of(const struct copies *c, uint32_t v) {
    for (unsigned i = 0; i < c->n; i++)
        if (c->from[i] == v) return c->to[i];
    return v;
}

static void use_copies(struct ir_func *f, uint32_t v, const struct copies *c) {
    IR_EACH_OPERAND(f, v, p, {
        *p = copy_of(c, *p);
        f->ins[*p].n_uses++;
    });
}

/* The block is no way into `to` any more. */
static void cut_edge(struct ir_func *f, uint32_t block, uint32_t to) {
    struct ir_block *b = f->blocks + to;
    uint32_t number = 0;
    while (b->preds[number] != block) number++;
    b->n_preds--;
    for (uint32_t k = number; k < b->n_preds; k++) b->preds[k] = b->preds[k + 1];
    for (uint32_t v = b->first; v != IR_NONE && f->ins[v].op == IR_PHI; v = f->ins[v].next) {
        uint32_t *items = f->items + f->ins[v].a;
        f->ins[items[number]].n_uses--;
        f->ins[v].b--;
        for (uint32_t k = number; k < f->ins[v].b; k++) items[k] = items[k + 1];
    }
}

static uint32_t copy_ins(struct ir_func *f, uint32_t block, uint32_t v) {
    uint32_t copy = ir_new(f, IR_NONE, f->ins[v].op, f->ins[v].type);
    if (f->failed) return 0;
    f->ins[copy] = f->ins[v];
    f->ins[copy].block = block;
    f->ins[copy].next = IR_NONE;
    f->ins[copy].n_uses = 0;
    if (!ir_has_list(f->ins[v].op)) return copy;
    uint32_t at = ir_items(f, f->ins[v].b);
    for (uint32_t k = 0; k < f->ins[v].b && !f->failed; k++) f->items[at + k] = f->items[f->ins[v].a + k];
    f->ins[copy].a = at;
    return copy;
}

/* The block's jump becomes a copy of what it leads to. */
static void copy_return(struct ir_func *f, uint32_t block) {
    struct copies c = {.n = 0};
    uint32_t to = f->blocks[block].succs[0], number = 0, last = IR_NONE;
    while (f->blocks[to].preds[number] != block) number++;
    for (uint32_t v = f->blocks[block].first; v != f->blocks[block].last; v = f->ins[v].next) last = v;
    for (uint32_t v = f->blocks[to].first; v != IR_NONE; v = f->ins[v].next) {
        uint32_t copy;
        if (f->ins[v].op == IR_PHI) {
            copy = f->items[f->ins[v].a + number];
        } else {
            copy = copy_ins(f, block, v);
            if (f->failed) return;
            use_copies(f, copy, &c);
            *(last == IR_NONE ? &f->blocks[block].first : &f->ins[last].next) = copy;
            last = copy;
        }
        if (f->ins[v].op == IR_RETURN) break;
        c.from[c.n] = v;
        c.to[c.n++] = copy;
    }
    f->blocks[block].last = last;
    f->blocks[block].n_succs = 0;
    cut_edge(f, block, to);
}

/* ---- the whole ---- */

void ir_place_frame(struct ir_func *f) {
    unsigned n_ins = 0;
    uint32_t furthest = 0, place = 0;
    bool returns = false;
    if (!f->has_calls || f->loop) return;
    for (uint32_t k = 1; k < f->n_order && k <= MOST_BLOCKS; k++) {
        uint32_t block = f->order[k - 1];
        const struct ir_block *b = f->blocks + block, *next = f->blocks + f->order[k];
        if (!is_plain_block(f, b, &n_ins)) break;
        bool early = f->ins[b->last].op == IR_RETURN || jumps_to_return(f, k - 1);
        returns |= early;
        for (uint32_t s = 0; s < b->n_succs && !early; s++)
            if (f->blocks[b->succs[s]].order > furthest) furthest = f->blocks[b->succs[s]].order;
        if (returns && furthest == k && next->n_preds == 1 && ir_forks(f->blocks + next->preds[0]) &&
            next->loop_end == IR_NONE && !next->landing)
            place = k;
    }
    for (uint32_t k = 0; k < place && !f->failed; k++)
        if (jumps_to_return(f, k)) copy_return(f, f->order[k]);
    f->frame_place = place;
}
