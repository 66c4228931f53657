/* jit/emit_layout.c: where the code of blocks stands. Passes have them in an order in which each comes behind what
 * dominates it, and a loop's header first. Code may stand otherwise, so that the turns of loops take fewer jumps:
 *
 *   what leaves an inner loop stands behind it        a loop whose end jumps to its start is turned around
 *
 *   header: branch body       header: branch leave    header: branch out      jump header
 *   leave:  moves, jump out   body:   ...             body:   ...             body:   ...
 *   body:   ...                 branch header           jump header           header: branch body
 *     branch header           leave:  moves           out:                    out:
 *   out:                      out:
 *
 * All that depends on an order was found by that of the passes: where values live, and which moves an edge takes. */
#include <string.h>
#include "jit/emit.h"

#define MOST_PARTINGS 64 /* places looked at, at which a loop might be turned around */
#define MOST_IN_LINE  14 /* instructions: more take two lines anyway */
#define MOST_WORK     16 /* steps a block: beyond, loops around others stay as they are */

struct layout {
    struct emit *e;
    uint32_t *place;  /* by block: of its code */
    uint32_t *starts; /* by place in the passes' order: blocks with code in front of it */
    uint32_t *spare;
    bool *glued,
        *stays; /* by place: belongs to a loop with the one before; some way leads from it to the header */
    uint64_t work;
};

static uint32_t target_of(const struct layout *l, uint32_t block) { return l->e->alias[block]; }

static const struct ir_block *block_at(const struct layout *l, uint32_t place) {
    return l->e->f->blocks + l->e->code[place];
}

/* The block's code comes to stand at the place. */
static void put(struct layout *l, uint32_t place, uint32_t block) {
    l->e->code[place] = block;
    l->place[block] = place;
}

/* ---- what leaves a loop ---- */

static bool leads_back(const struct layout *l, uint32_t from, uint32_t to, uint32_t place) {
    const struct ir_block *b = block_at(l, place);
    for (uint32_t s = 0; s < b->n_succs; s++) {
        uint32_t at = l->place[target_of(l, b->succs[s])];
        if (at == from || (at > place && at < to && l->stays[at])) return true;
    }
    return false;
}

/* Puts what never comes back to the header behind the rest of an inner loop. Returns where that ends. */
static uint32_t put_behind(struct layout *l, uint32_t from, uint32_t to) {
    uint32_t n_out = 0, end = from;
    for (uint32_t k = to; k-- > from;) l->stays[k] = k == from || leads_back(l, from, to, k);
    for (uint32_t k = from; k < to; k++)
        if (!l->stays[k]) l->spare[n_out++] = l->e->code[k];
    for (uint32_t k = from; k < to && n_out; k++)
        if (l->stays[k]) put(l, end++, l->e->code[k]);
    for (uint32_t i = 0; i < n_out; i++) put(l, end + i, l->spare[i]);
    return to - n_out;
}

/* ---- turning around ---- */

enum parting { NONE, AT_NO_COST, AT_EXIT };

/* Whether what stands at the place can stand elsewhere than behind what is in front of it, and no turn pays for it. */
static enum parting parting_at(const struct layout *l, uint32_t from, uint32_t to, uint32_t place) {
    const struct ir_block *b = block_at(l, place - 1);
    uint32_t here = l->e->code[place];
    if (l->glued[place]) return NONE;
    switch (l->e->f->ins[b->last].op) {
    case IR_RETURN:
    case IR_TRAP:
    case IR_TAIL_CALL:
    case IR_TAIL_INDIRECT:
    case IR_THROW:
    case IR_THROW_REF: return AT_NO_COST;
    case IR_JUMP: return target_of(l, b->succs[0]) != here ? AT_NO_COST : NONE;
    case IR_BRANCH: { /* its jump out becomes one back here */
        uint32_t yes = target_of(l, b->succs[0]), no = target_of(l, b->succs[1]);
        uint32_t other = l->place[yes == here ? no : yes];
        if (yes != here && no != here) return AT_NO_COST;
        return other < from || other >= to ? AT_EXIT : NONE;
    }
    default: return NONE;
    }
}

/* Where the loop begins when it is turned around: behind the first test that leaves it, if there is one. */
static uint32_t find_parting(struct layout *l, uint32_t from, uint32_t to) {
    uint32_t found = from;
    for (uint32_t at = from + 1; at < to && at - from < MOST_PARTINGS; at++) {
        enum parting p = parting_at(l, from, to, at);
        l->work++;
        if (p == AT_EXIT) return at;
        if (p == AT_NO_COST && found == from) found = at;
    }
    return found;
}

static void turn_around(struct layout *l, uint32_t from, uint32_t to) {
    uint32_t *code = l->e->code, header = code[from];
    const struct ir_block *end = block_at(l, to - 1);
    if (l->e->f->ins[end->last].op != IR_JUMP || target_of(l, end->succs[0]) != header) return;
    uint32_t at = find_parting(l, from, to), n = at - from;
    if (!n) return;
    l->work += to - from;
    memcpy(l->spare, code + from, n * sizeof *code);
    for (uint32_t k = at; k < to; k++) put(l, k - n, code[k]);
    for (uint32_t i = 0; i < n; i++) put(l, to - n + i, l->spare[i]);
}

/* ---- alignment ---- */

/* The CPU fetches code by lines of 64 bytes, and decodes and keeps it by halves of them. */
static uint8_t alignment_of(const struct layout *l, uint32_t from, uint32_t to) {
    const struct ir_ins *ins = l->e->f->ins;
    unsigned n = 0;
    for (uint32_t k = from; k < to && n <= MOST_IN_LINE; k++)
        for (uint32_t v = block_at(l, k)->first; v != IR_NONE && n <= MOST_IN_LINE; v = ins[v].next)
            n += !ins[v].folded && ins[v].op != IR_PHI;
    return n <= MOST_IN_LINE ? 64 : 32;
}

/* ---- the whole ---- */

static void lay_out_loop(struct layout *l, const struct ir_block *header) {
    uint32_t from = l->starts[header->order], to = l->starts[header->loop_end + 1];
    bool inner = true;
    l->work += to - from;
    for (uint32_t k = from + 1; k < to && inner; k++)
        inner = !l->glued[k] && block_at(l, k)->loop_end == IR_NONE;
    if (inner) to = put_behind(l, from, to);
    turn_around(l, from, to);
    for (uint32_t k = from + 1; k < to; k++) l->glued[k] = true;
    if (inner && to - from <= MOST_PARTINGS) l->e->alignment[l->e->code[from]] = alignment_of(l, from, to);
}

/* Blocks with code, as they come. */
static void list_blocks(struct layout *l) {
    struct emit *e = l->e;
    for (uint32_t k = 0; k < e->f->n_order; k++) {
        uint32_t block = e->f->order[k];
        l->starts[k] = e->n_code;
        if (e->alias[block] == block) put(l, e->n_code++, block);
    }
    l->starts[e->f->n_order] = e->n_code;
}

void emit_lay_out(struct emit *e) {
    struct ir_func *f = e->f;
    struct layout l = {.e = e};
    size_t n = f->n_blocks + 1;
    e->code = bc_arena_new(&f->arena, n, sizeof *e->code);
    e->alignment = bc_arena_new(&f->arena, n, sizeof *e->alignment);
    l.place = bc_arena_new(&f->arena, n, sizeof *l.place);
    l.starts = bc_arena_new(&f->arena, n, sizeof *l.starts);
    l.spare = bc_arena_new(&f->arena, n, sizeof *l.spare);
    l.glued = bc_arena_new(&f->arena, n, sizeof *l.glued);
    l.stays = bc_arena_new(&f->arena, n, sizeof *l.stays);
    if (!e->code || !e->alignment || !l.place || !l.starts || !l.spare || !l.glued || !l.stays) {
        e->a.failed = true;
        return;
    }
    list_blocks(&l);
    for (uint32_t k = f->n_order; k-- > 0 && l.work <= (uint64_t)MOST_WORK * n;) /* inner loops first */
        if (f->blocks[f->order[k]].loop_end != IR_NONE) lay_out_loop(&l, f->blocks + f->order[k]);
}
