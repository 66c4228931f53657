/* jit/opt.c: passes over finished IR:
 *
 *   number    a value equal to one that dominates it is that one (and a phi of one value is that value)
 *   sweep     values that nobody needs go; uses are counted
 *   hoist     what a loop computes anew moves in front of it (hoist.c)
 *   split     an edge from a fork to a join gets a block of its own, for the allocator's moves
 *   loops     where loops end, how deep blocks are
 *
 * source  Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm", 2001 */
#include <string.h>
#include "jit/ir.h"

struct opt {
    struct ir_func *f;
    uint32_t *same;            /* by value: the value it is replaced by, or itself */
    uint32_t *buckets, *chain; /* value numbering: hash -> newest value -> next */
    uint32_t mask;
};

static uint32_t resolve(const struct opt *o, uint32_t v) {
    while (o->same[v] != v) v = o->same[v];
    return v;
}

/* ---- dominators ---- */

static void number_blocks(struct ir_func *f) {
    for (uint32_t i = 0; i < f->n_order; i++) f->blocks[f->order[i]].order = i;
}

uint32_t ir_common_dominator(const struct ir_func *f, uint32_t a, uint32_t b) {
    while (a != b) {
        while (f->blocks[a].order > f->blocks[b].order) a = f->blocks[a].idom;
        while (f->blocks[b].order > f->blocks[a].order) b = f->blocks[b].idom;
    }
    return a;
}

/* The order of code is a reverse postorder of the forward edges, so loops need no second round: a back edge's
 * source is dominated by its header. Only where a loop is entered behind its header, too, its back edges bring
 * those who never passed what stands in front of it: of that, nothing but the entry is sure. */
static void find_dominators(struct ir_func *f) {
    f->blocks[f->order[0]].idom = f->order[0];
    for (uint32_t i = 1; i < f->n_order; i++) {
        struct ir_block *b = f->blocks + f->order[i];
        uint32_t dom = IR_NONE;
        for (uint32_t k = 0; k < b->n_preds && !b->entered_inside; k++) {
            if (f->blocks[b->preds[k]].order >= i) continue;
            dom = dom == IR_NONE ? b->preds[k] : ir_common_dominator(f, dom, b->preds[k]);
        }
        b->idom = dom == IR_NONE ? f->order[0] : dom;
    }
    /* preorder intervals of the tree: sizes from the leaves, then places from the root */
    for (uint32_t i = 0; i < f->n_order; i++) f->blocks[f->order[i]].dom_out = 1;
    for (uint32_t i = f->n_order; i-- > 1;) {
        struct ir_block *b = f->blocks + f->order[i];
        f->blocks[b->idom].dom_out += b->dom_out;
    }
    f->blocks[f->order[0]].dom_in = 0;
    f->blocks[f->order[0]].dom_out = 1; /* from here on: next free place below it */
    for (uint32_t i = 1; i < f->n_order; i++) {
        struct ir_block *b = f->blocks + f->order[i], *parent = f->blocks + b->idom;
        uint32_t subtree = b->dom_out;
        b->dom_in = parent->dom_out;
        parent->dom_out += subtree;
        b->dom_out = b->dom_in + 1;
    }
    /* each block's dom_out has come to the end of its subtree */
}

/* ---- value numbering ---- */

bool ir_pure(const struct ir_ins *i) {
    if (i->op < BC_OP_COUNT) return !i->effect;
    return i->op == IR_CAST || i->op == IR_BSWAP || i->op == IR_MUL_HIGH || i->op == IR_MUL_EVEN ||
           i->op == IR_SELECT || i->op == IR_REF_FUNC || i->op == IR_TABLE || i->op == IR_REF_IS ||
           i->op == IR_HELD || i->op == IR_OWN_STORE;
}

static bool equal(const struct ir_ins *x, const struct ir_ins *y) {
    return x->op == y->op && x->type == y->type && x->a == y->a && x->b == y->b && x->c == y->c &&
           x->imm == y->imm && x->lane == y->lane;
}

static uint32_t hash_of(const struct ir_ins *i) {
    uint64_t h = i->op * UINT64_C(0x9E3779B97F4A7C15) ^ i->a;
    h = (h ^ h >> 29) * UINT64_C(0xBF58476D1CE4E5B9) ^ i->b;
    h = (h ^ h >> 29) * UINT64_C(0xBF58476D1CE4E5B9) ^ i->imm ^ (uint64_t)i->c << 32 ^ i->type;
    h = (h ^ h >> 29) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(h >> 32);
}

#define LONGEST_CHAIN 32

static uint32_t known(struct opt *o, uint32_t v) {
    struct ir_func *f = o->f;
    uint32_t bucket = hash_of(f->ins + v) & o->mask, looked = 0;
    for (uint32_t w = o->buckets[bucket]; w && looked < LONGEST_CHAIN; w = o->chain[w], looked++) {
        if (!equal(f->ins + w, f->ins + v)) continue;
        if (f->ins[v].block == IR_NONE || ir_dominates(f, f->ins[w].block, f->ins[v].block)) return w;
    }
    o->chain[v] = o->buckets[bucket];
    o->buckets[bucket] = v;
    return v;
}

/* The one value of a phi, or IR_NONE. */
static uint32_t only_value(const struct opt *o, uint32_t phi) {
    const struct ir_func *f = o->f;
    const struct ir_ins *i = f->ins + phi;
    uint32_t one = IR_NONE;
    for (uint32_t k = 0; k < i->b; k++) {
        uint32_t v = resolve(o, f->items[i->a + k]);
        if (v == phi || v == one) continue;
        if (one != IR_NONE) return IR_NONE;
        one = v;
    }
    return one;
}

static void number_value(struct opt *o, uint32_t v) {
    struct ir_func *f = o->f;
    IR_EACH_OPERAND(f, v, p, { *p = resolve(o, *p); });
    if (f->ins[v].op == IR_PHI) {
        uint32_t one = only_value(o, v);
        if (one != IR_NONE) o->same[v] = one;
    } else if (ir_pure(f->ins + v)) {
        o->same[v] = known(o, v);
    }
}

static void number_values(struct opt *o) {
    struct ir_func *f = o->f;
    for (uint32_t v = 1; v < f->n_ins; v++)
        if (f->ins[v].op == IR_CONST) o->same[v] = known(o, v);
    for (uint32_t k = 0; k < f->n_order; k++)
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) number_value(o, v);
}

/* What became of a loop's phis is only known behind the loop: operands once more, phis until none falls. */
static void settle_phis(struct opt *o) {
    struct ir_func *f = o->f;
    bool changed = true;
    for (unsigned round = 0; changed && round < 8; round++) {
        changed = false;
        for (uint32_t k = 0; k < f->n_order; k++)
            for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE && f->ins[v].op == IR_PHI;
                 v = f->ins[v].next) {
                if (o->same[v] != v) continue;
                uint32_t one = only_value(o, v);
                if (one == IR_NONE) continue;
                o->same[v] = one;
                changed = true;
            }
    }
    for (uint32_t k = 0; k < f->n_order; k++)
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next)
            IR_EACH_OPERAND(f, v, p, { *p = resolve(o, *p); });
}

/* ---- dead values ---- */

static void need(struct ir_func *f, uint32_t v, uint32_t *work, size_t *n) {
    if (f->ins[v].n_uses++ == 0 && f->ins[v].op != IR_CONST) work[(*n)++] = v;
}

static void sweep(struct opt *o) {
    struct ir_func *f = o->f;
    uint32_t *work = o->chain; /* no longer needed as such */
    size_t n = 0;
    for (uint32_t k = 0; k < f->n_order; k++)
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next)
            if (f->ins[v].effect) IR_EACH_OPERAND(f, v, p, { need(f, *p, work, &n); });
    while (n) {
        uint32_t v = work[--n];
        if (f->ins[v].effect) continue; /* seen above */
        IR_EACH_OPERAND(f, v, p, { need(f, *p, work, &n); });
    }
    for (uint32_t k = 0; k < f->n_order; k++) {
        struct ir_block *b = f->blocks + f->order[k];
        uint32_t *link = &b->first;
        b->last = IR_NONE;
        for (uint32_t v = b->first; v != IR_NONE; v = f->ins[v].next) {
            if (!f->ins[v].effect && (!f->ins[v].n_uses || o->same[v] != v)) continue;
            *link = v;
            link = &f->ins[v].next;
            b->last = v;
        }
        *link = IR_NONE;
    }
}

/* ---- edges ---- */

static uint32_t split_edge(struct ir_func *f, uint32_t from, uint32_t to) {
    uint32_t block = ir_new_block(f);
    if (f->failed) return to;
    ir_new(f, block, IR_JUMP, IR_VOID);
    ir_set_succs(f, block, 1, &to);
    ir_add_pred(f, block, from);
    for (uint32_t k = 0; k < f->blocks[to].n_preds; k++)
        if (f->blocks[to].preds[k] == from) {
            f->blocks[to].preds[k] = block;
            break;
        }
    return block;
}

/* The ways to a handler stand in front of it, out of the way of those who do not throw. Returns how many. */
static uint32_t split_landings(struct ir_func *f, uint32_t to) {
    uint32_t n = f->blocks[to].landing && f->blocks[to].n_preds > 1 ? f->blocks[to].n_preds : 0;
    for (uint32_t k = 0; k < n && !f->failed; k++) {
        uint32_t from = f->blocks[to].preds[k], s = 0, block = split_edge(f, from, to);
        if (f->failed) return 0;
        while (f->blocks[from].succs[s] != to) s++;
        f->blocks[from].succs[s] = block;
        f->blocks[block].tag = f->blocks[to].tag;
        f->blocks[block].with_ref = f->blocks[to].with_ref;
    }
    return n;
}

/* The order with the new blocks right behind the forks they come from. */
static void split_edges(struct ir_func *f) {
    uint32_t *order = NULL, n = 0;
    size_t cap = 0;
    for (uint32_t k = 0; k < f->n_order && !f->failed; k++) {
        uint32_t from = f->order[k], n_new = 0;
        uint32_t first_new = (uint32_t)f->n_blocks;
        for (uint32_t s = 0; f->blocks[from].n_succs > 1 && s < f->blocks[from].n_succs && !f->failed; s++) {
            uint32_t to = f->blocks[from].succs[s];
            if (to >= first_new || f->blocks[to].n_preds < 2 || f->blocks[to].landing) continue;
            uint32_t block = split_edge(f, from, to);
            for (uint32_t t = s; t < f->blocks[from].n_succs; t++) /* entries of a switch share it */
                if (f->blocks[from].succs[t] == to) f->blocks[from].succs[t] = block;
            n_new++;
        }
        uint32_t n_landings = f->failed ? 0 : split_landings(f, from);
        if (atoll_grow(f->alloc, (void **)&order, &cap, n + 1u + n_new + n_landings, sizeof *order))
            f->failed = true;
        if (f->failed) break;
        for (uint32_t i = 0; i < n_landings; i++) order[n++] = first_new + n_new + i;
        order[n++] = from;
        for (uint32_t i = 0; i < n_new; i++) order[n++] = first_new + i;
    }
    if (f->failed) {
        atoll_free(f->alloc, order, cap * sizeof *order);
        return;
    }
    atoll_free(f->alloc, f->order, f->cap_order * sizeof *f->order);
    f->order = order;
    f->cap_order = cap;
    f->n_order = n;
    number_blocks(f);
}

/* ---- loops ---- */

/* A loop ends with the last block that leads back to its header, and not before one that begins in it: the way back may
 * come out of the middle of that. `open` has room for all. */
static void find_ends(struct ir_func *f, uint32_t *open) {
    uint32_t n = 0; /* headers behind, that are in no other's loop */
    for (uint32_t k = f->n_order; k-- > 0;) {
        struct ir_block *b = f->blocks + f->order[k];
        for (uint32_t i = 0; i < b->n_preds; i++) {
            uint32_t from = f->blocks[b->preds[i]].order;
            if (from >= k && (b->loop_end == IR_NONE || from > b->loop_end)) b->loop_end = from;
        }
        if (b->loop_end == IR_NONE) continue;
        for (; n && open[n - 1] <= b->loop_end; n--) {
            uint32_t end = f->blocks[f->order[open[n - 1]]].loop_end;
            if (end > b->loop_end) b->loop_end = end;
        }
        open[n++] = k;
    }
}

static void find_loops(struct ir_func *f) {
    uint32_t *ends = bc_arena_new(&f->arena, f->n_order + 1u, sizeof *ends), n = 0;
    if (!ends) {
        f->failed = true;
        return;
    }
    find_ends(f, ends);
    /* by nesting: loops are intervals of the order */
    for (uint32_t k = 0; k < f->n_order; k++) {
        struct ir_block *b = f->blocks + f->order[k];
        while (n && ends[n - 1] < k) n--;
        if (b->loop_end != IR_NONE) ends[n++] = b->loop_end;
        b->loop_depth = n;
    }
}

void ir_optimize(struct ir_func *f) {
    struct opt o = {.f = f, .mask = 255};
    while (o.mask < f->n_ins) o.mask = 2 * o.mask + 1;
    size_t n = f->n_ins + 1;
    o.same = atoll_new(f->alloc, n, sizeof *o.same);
    o.chain = atoll_new(f->alloc, n, sizeof *o.chain);
    o.buckets = atoll_new(f->alloc, o.mask + 1u, sizeof *o.buckets);
    if (!o.same || !o.chain || !o.buckets) f->failed = true;
    if (!f->failed) {
        for (uint32_t v = 0; v < f->n_ins; v++) o.same[v] = v;
        number_blocks(f);
        find_dominators(f);
        number_values(&o);
        settle_phis(&o);
        ir_show(f, JIT_STAGE_NUMBER);
        sweep(&o);
        ir_show(f, JIT_STAGE_SWEEP);
        ir_hoist(f);
        ir_show(f, JIT_STAGE_HOIST);
        if (!f->failed) split_edges(f);
    }
    if (!f->failed) find_loops(f);
    if (!f->failed) ir_place_frame(f);
    ir_show(f, JIT_STAGE_SPLIT);
    atoll_free(f->alloc, o.same, n * sizeof *o.same);
    atoll_free(f->alloc, o.chain, n * sizeof *o.chain);
    atoll_free(f->alloc, o.buckets, (o.mask + 1u) * sizeof *o.buckets);
}
