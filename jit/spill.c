/* jit/spill.c: where values that are in memory for a part of their lifetime are stored. Usually that is where they are
 * made: then no cut of a lifetime costs a store, however many ways lead to it. One that is made in a loop, and goes to
 * memory only behind it, or further out, is stored there instead: on all ways from a register to memory. So is one that
 * is made in front of the function's frame. */
#include "bytecode/stress.h"
#include "jit/alloc.h"

#define MOST_WAYS 128 /* into blocks, looked at for a value; beyond, it is stored where it is made */
#define DEEPEST   8u

/* How often code at this depth of loops runs, more or less. */
static uint64_t weight(uint32_t depth) { return UINT64_C(1) << 3 * (depth < DEEPEST ? depth : DEEPEST); }

static uint32_t depth_of(const struct ir_func *f, uint32_t place) {
    return f->blocks[f->order[place]].loop_depth;
}

/* Of the ways from a register into the block, which the value lives into in memory. */
static uint64_t cost_of_entries(struct alloc *a, uint32_t v, const struct ir_block *b) {
    const struct ir_func *f = a->f;
    uint64_t cost = 0;
    for (uint32_t i = 0; i < b->n_preds; i++) {
        const struct ir_block *pred = f->blocks + b->preds[i];
        uint32_t depth = pred->loop_depth < b->loop_depth ? pred->loop_depth : b->loop_depth;
        if (alloc_at(a, v, pred->to - 1) < 32) cost += weight(depth);
    }
    return cost;
}

/* Whether the register still has the value in front of the instruction at which it goes to memory: that is where it is
 * stored, since the instruction may write the register. */
static bool can_be_stored(const struct piece *before, const struct piece *in_memory) {
    return before->from < (in_memory->from & ~3u);
}

/* Of the ways from a register to memory; UINT64_MAX: too many to look at, or none where it could be stored. */
static uint64_t cost_behind(struct alloc *a, uint32_t v) {
    const struct ir_func *f = a->f;
    uint64_t cost = 0;
    uint32_t n_ways = 0;
    for (const struct piece *p = a->pieces + v; p->next != IR_NONE; p = a->pieces + p->next) {
        const struct piece *q = a->pieces + p->next;
        if (q->reg != LOC_SPILL) continue;
        uint32_t place = alloc_block_at(a, q->from);
        if (f->blocks[f->order[place]].from < q->from) {
            if (p->reg < 32 && !can_be_stored(p, q)) return UINT64_MAX;
            cost += weight(depth_of(f, place++));
        }
        for (; place < f->n_order && f->blocks[f->order[place]].from < q->to; place++) {
            uint32_t block = f->order[place];
            n_ways += 1 + f->blocks[block].n_preds;
            if (n_ways > MOST_WAYS) return UINT64_MAX;
            if (alloc_lives_into(a, block, a->global[v])) cost += cost_of_entries(a, v, f->blocks + block);
        }
    }
    return cost;
}

void alloc_place_stores(struct alloc *a) {
    struct ir_func *f = a->f;
    a->late = bc_arena_new(&f->arena, f->n_ins + 1, sizeof *a->late);
    if (!a->late) {
        f->failed = true;
        return;
    }
    for (uint32_t v = 0; v < f->n_ins; v++) {
        if (a->slots[v] == IR_NONE || a->global[v] == IR_NONE || a->pieces[v].reg >= 32) continue;
        uint32_t depth = f->blocks[f->ins[v].block].loop_depth;
        uint64_t most = ATOLL_LIMIT(depth ? weight(depth) : 0, UINT64_MAX);
        if (f->ins[v].pos < a->framed) most = UINT64_MAX; /* where it is made there is no memory yet */
        a->late[v] = cost_behind(a, v) < most;
    }
}
