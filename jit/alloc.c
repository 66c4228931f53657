/* jit/alloc.c: linear scan over lifetimes (alloc.h). */
#include "jit/alloc.h"

#include <stdlib.h>
#include <string.h>
#include "jit/x86.h"

#define FOREVER              UINT32_MAX
#define MAX_PIECES_PER_VALUE 16

/* rsp, r11 (scratch), r14 (instance) and r15 (memory) are not for values, nor is xmm15. */
static const uint8_t int_registers[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, RBX, RBP, R12, R13};
#define SAVED_REGISTERS (1u << RBX | 1u << RBP | 1u << R12 | 1u << R13)
#define N_INT           (sizeof int_registers)
#define N_FLOAT         15

struct scan {
    struct alloc *a;
    uint32_t *heap; /* pieces to be placed, by their start */
    size_t n_heap, cap_heap;
    uint32_t active[32];   /* by register, or IR_NONE */
    uint32_t inactive[32]; /* by register: newest first, linked by `waiting` */
    uint32_t *waiting;     /* by piece */
    size_t cap_waiting;
};

/* ---- the heap ---- */

static bool before(const struct alloc *a, uint32_t x, uint32_t y) {
    return a->pieces[x].from != a->pieces[y].from ? a->pieces[x].from < a->pieces[y].from : x < y;
}

static void put_off(struct scan *s, uint32_t piece) {
    struct alloc *a = s->a;
    if (s->n_heap == s->cap_heap &&
        atoll_grow(a->f->alloc, (void **)&s->heap, &s->cap_heap, s->n_heap + 1, sizeof *s->heap)) {
        a->f->failed = true;
        return;
    }
    size_t at = s->n_heap++;
    for (; at && before(a, piece, s->heap[(at - 1) / 2]); at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = piece;
}

static uint32_t take_next(struct scan *s) {
    struct alloc *a = s->a;
    uint32_t top = s->heap[0], last = s->heap[--s->n_heap];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= s->n_heap) break;
        if (child + 1 < s->n_heap && before(a, s->heap[child + 1], s->heap[child])) child++;
        if (!before(a, s->heap[child], last)) break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return top;
}

/* ---- pieces ---- */

static bool is_float(const struct alloc *a, uint32_t piece) {
    return ir_is_float(a->f->ins[a->pieces[piece].value].type);
}

/* Whether the piece lives at pos; moves its current range on. */
static bool covers(struct alloc *a, uint32_t piece, uint32_t pos) {
    struct piece *p = a->pieces + piece;
    while (p->range != IR_NONE && a->ranges[p->range].to <= pos) p->range = a->ranges[p->range].next;
    return p->range != IR_NONE && a->ranges[p->range].from <= pos;
}

/* First position at which both live, from x's current range on; FOREVER when never. */
static uint32_t meeting(struct alloc *a, uint32_t x, uint32_t y) {
    uint32_t i = a->pieces[x].range, k = a->pieces[y].ranges;
    while (i != IR_NONE && k != IR_NONE) {
        a->work++;
        const struct alloc_range *r = a->ranges + i, *q = a->ranges + k;
        if (r->from < q->to && q->from < r->to) return r->from > q->from ? r->from : q->from;
        if (r->to <= q->to)
            i = r->next;
        else
            k = q->next;
    }
    return FOREVER;
}

static uint32_t first_at_or_behind(const uint32_t *list, uint32_t n, uint32_t pos) {
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (list[middle] < pos)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* First of the positions inside the piece's ranges. */
static uint32_t first_inside(struct alloc *a, uint32_t piece, const uint32_t *list, uint32_t n) {
    for (uint32_t r = a->pieces[piece].ranges; r != IR_NONE && n; r = a->ranges[r].next) {
        a->work++;
        uint32_t at = first_at_or_behind(list, n, a->ranges[r].from);
        if (at == n) return FOREVER;
        if (list[at] < a->ranges[r].to) return list[at];
    }
    return FOREVER;
}

/* The scan only goes forward, so uses it has passed are not looked at again. */
static uint32_t next_use(struct alloc *a, uint32_t piece, uint32_t pos, bool must) {
    struct piece *p = a->pieces + piece;
    while (p->use != IR_NONE && a->uses[p->use].pos < pos) p->use = a->uses[p->use].next;
    for (uint32_t u = p->use; u != IR_NONE; u = a->uses[u].next, a->work++)
        if (!must || a->uses[u].must) return a->uses[u].pos;
    return FOREVER;
}

uint32_t alloc_block_at(const struct alloc *a, uint32_t pos) {
    const struct ir_func *f = a->f;
    uint32_t low = 0, high = f->n_order;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (f->blocks[f->order[middle]].from <= pos)
            low = middle;
        else
            high = middle;
    }
    return low; /* place in the order */
}

/* Cost of the way into a block: a loop's header is entered from outside. */
static uint32_t entry_depth(const struct ir_block *b) { return b->loop_depth - (b->loop_end != IR_NONE); }

/* Where to cut between `low` (excluded) and `high`: in front of an instruction, as late as can be, but
 * outside loops. */
static uint32_t best_cut(const struct alloc *a, uint32_t low, uint32_t high) {
    const struct ir_func *f = a->f;
    uint32_t best = high & ~3u, first = alloc_block_at(a, low), last = alloc_block_at(a, high);
    if (first == last) return best;
    uint32_t best_depth = f->blocks[f->order[last]].loop_depth;
    for (uint32_t k = last; k > first && last - k < 256; k--) {
        const struct ir_block *b = f->blocks + f->order[k];
        if (entry_depth(b) < best_depth && b->from > low) {
            best_depth = entry_depth(b);
            best = b->from;
        }
    }
    return best;
}

/* Cuts the piece at pos, from < pos < to; returns the new piece, or IR_NONE when out of memory. */
static uint32_t cut(struct alloc *a, uint32_t piece, uint32_t pos) {
    uint32_t rest;
    if (!alloc_new_piece(a, &rest)) return IR_NONE;
    struct piece *p = a->pieces + piece, *q = a->pieces + rest;
    q->value = p->value;
    q->split = true;
    q->hint = p->hint;
    q->next = p->next;
    p->next = rest;
    uint32_t *link = &p->ranges;
    while (*link != IR_NONE && a->ranges[*link].to <= pos) link = &a->ranges[*link].next;
    if (*link != IR_NONE && a->ranges[*link].from < pos) { /* the range goes to both */
        if (a->n_ranges == a->cap_ranges && atoll_grow(a->f->alloc, (void **)&a->ranges, &a->cap_ranges,
                                                       a->n_ranges + 1, sizeof *a->ranges)) {
            a->f->failed = true;
            return IR_NONE;
        }
        uint32_t r = p->ranges; /* the array may have moved: find the place again */
        while (a->ranges[r].to <= pos) r = a->ranges[r].next;
        a->ranges[a->n_ranges] = (struct alloc_range){pos, a->ranges[r].to, a->ranges[r].next};
        a->ranges[r].to = pos;
        a->ranges[r].next = IR_NONE;
        q->ranges = (uint32_t)a->n_ranges++;
    } else {
        q->ranges = *link;
        *link = IR_NONE;
    }
    link = &p->uses;
    while (*link != IR_NONE && a->uses[*link].pos < pos) link = &a->uses[*link].next;
    q->uses = q->use = *link;
    *link = IR_NONE;
    if (p->use != IR_NONE && a->uses[p->use].pos >= pos) p->use = IR_NONE;
    q->from = q->ranges != IR_NONE ? a->ranges[q->ranges].from : pos;
    q->to = p->to;
    q->range = q->ranges;
    uint32_t r = p->ranges;
    while (r != IR_NONE && a->ranges[r].next != IR_NONE) r = a->ranges[r].next;
    p->to = r != IR_NONE ? a->ranges[r].to : pos;
    return rest;
}

static void spill_slot(struct alloc *a, uint32_t value) {
    if (a->slots[value] != IR_NONE) return;
    bool wide = a->f->ins[value].type == IR_V128;
    if (wide) a->spill_bytes = (a->spill_bytes + 15) & ~15u;
    a->slots[value] = a->spill_bytes;
    a->spill_bytes += wide ? 16 : 8;
}

/* The piece lives in memory up to where it has to be in a register; that is behind `now`, where the scan stands. */
static void to_memory(struct scan *s, uint32_t piece, uint32_t now) {
    struct alloc *a = s->a;
    struct piece *p = a->pieces + piece;
    uint32_t must = next_use(a, piece, p->from, true);
    p->reg = LOC_SPILL;
    spill_slot(a, p->value);
    if (must == FOREVER) return;
    uint32_t pos = best_cut(a, now, must);
    if (pos <= now) pos = must & ~3u;
    if (pos <= p->from) { /* its first instruction wants it in a register: impossible, the caller saw to it */
        a->f->declined = "registers";
        return;
    }
    uint32_t rest = cut(a, piece, pos);
    if (rest != IR_NONE) put_off(s, rest);
}

/* ---- choosing ---- */

static const uint8_t *class_of(const struct alloc *a, uint32_t piece, unsigned *n) {
    static const uint8_t floats[N_FLOAT] = {16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30};
    *n = is_float(a, piece) ? N_FLOAT : N_INT;
    return is_float(a, piece) ? floats : int_registers;
}

static bool saved(uint8_t reg) { return reg < 16 && SAVED_REGISTERS >> reg & 1; }

/* When the instructions destroy the register within the piece. */
static uint32_t destroyed(uint8_t reg, uint32_t call, uint32_t division) {
    uint32_t at = saved(reg) ? FOREVER : call;
    if ((reg == RAX || reg == RDX) && division < at) at = division;
    return at;
}

static uint8_t wished(struct alloc *a, const struct piece *p) {
    if (p->wish != LOC_NONE) return p->wish;
    if (p->hint == IR_NONE) return LOC_NONE;
    uint32_t h = p->hint;
    uint8_t reg = a->pieces[h].reg;
    for (uint32_t next = a->pieces[h].next; next != IR_NONE && a->pieces[next].from <= p->from;
         next = a->pieces[next].next, a->work++)
        if (a->pieces[next].reg < 32) reg = a->pieces[next].reg;
    return reg < 32 ? reg : LOC_NONE;
}

static void occupy(struct scan *s, uint32_t piece, uint8_t reg) {
    s->a->pieces[piece].reg = reg;
    s->active[reg] = piece;
    if (saved(reg)) s->a->used_saved |= 1u << reg;
}

/* The registers that a piece may have, and where within it they are first destroyed. */
struct candidates {
    const uint8_t *class;
    unsigned n;
    uint32_t call, division;
};

static struct candidates candidates_for(struct alloc *a, uint32_t piece) {
    struct candidates c = {.call = first_inside(a, piece, a->calls, a->n_calls),
                           .division = first_inside(a, piece, a->divisions, a->n_divisions)};
    c.class = class_of(a, piece, &c.n);
    return c;
}

/* Whether the piece, which has its value from another place, would lose its register at pos without a use of it, in a
 * loop that begins meanwhile: each turn would bring it back. */
static bool is_for_nothing(const struct alloc *a, uint32_t piece, uint32_t pos) {
    const struct ir_func *f = a->f;
    const struct piece *p = a->pieces + piece;
    if (!p->split || (p->uses != IR_NONE && a->uses[p->uses].pos < pos)) return false;
    const struct ir_block *b = f->blocks + f->order[alloc_block_at(a, p->from)];
    uint32_t depth = b->from == p->from ? entry_depth(b) : b->loop_depth;
    return f->blocks[f->order[alloc_block_at(a, pos)]].loop_depth > depth;
}

static bool take_free(struct scan *s, uint32_t piece, const struct candidates *c) {
    struct alloc *a = s->a;
    struct piece *p = a->pieces + piece;
    uint8_t best = LOC_NONE, wish = wished(a, p);
    uint32_t best_until = 0;
    for (unsigned i = 0; i < c->n; i++) {
        uint8_t reg = c->class[i];
        if (s->active[reg] != IR_NONE || (saved(reg) && p->from < a->framed)) continue;
        uint32_t until = destroyed(reg, c->call, c->division);
        for (uint32_t w = s->inactive[reg]; w != IR_NONE; w = s->waiting[w]) {
            uint32_t at = meeting(a, w, piece);
            if (at < until) until = at;
        }
        if (until > p->to) until = p->to; /* as good as forever */
        if (until > best_until || (reg == wish && until == best_until)) {
            best = reg;
            best_until = until;
        }
    }
    if (best == LOC_NONE || best_until <= (p->from | 3)) return false;
    if (best_until < p->to) {
        uint32_t pos =
            p->from < a->framed && a->framed < best_until ? a->framed : best_cut(a, p->from, best_until);
        if (pos <= p->from || is_for_nothing(a, piece, pos)) return false;
        uint32_t rest = cut(a, piece, pos);
        if (rest == IR_NONE) return true;
        put_off(s, rest);
    }
    occupy(s, piece, best);
    return true;
}

/* Where a value that loses its register at pos may go to memory: behind its last use, in front of the loops that do
 * not use it, so that their ends need not bring it back. */
static uint32_t leaves_at(struct alloc *a, uint32_t victim, uint32_t pos) {
    const struct piece *p = a->pieces + victim;
    uint32_t low = p->from;
    for (uint32_t u = p->uses; u != IR_NONE && a->uses[u].pos < pos; u = a->uses[u].next, a->work++)
        low = a->uses[u].pos;
    uint32_t at = best_cut(a, low, pos);
    return at == (pos & ~3u) || at <= low ? pos : at;
}

/* Frees the register of what is in it from the piece's start on. */
static void evict(struct scan *s, uint32_t victim, uint32_t pos) {
    struct alloc *a = s->a;
    /* it starts here, too, or might as well: back to the queue in memory */
    bool all = a->pieces[victim].from >= pos ||
               (next_use(a, victim, pos, true) > (pos | 3) && is_for_nothing(a, victim, pos));
    if (all) {
        to_memory(s, victim, pos);
        return;
    }
    uint32_t rest = cut(a, victim, leaves_at(a, victim, pos));
    if (rest != IR_NONE) to_memory(s, rest, pos);
}

static void evict_inactive(struct scan *s, uint8_t reg, uint32_t piece) {
    struct alloc *a = s->a;
    uint32_t *link = &s->inactive[reg];
    while (*link != IR_NONE) {
        uint32_t w = *link, at = meeting(a, w, piece);
        if (at == FOREVER) {
            link = &s->waiting[w];
            continue;
        }
        uint32_t pos = a->pieces[piece].from; /* it has a hole here */
        *link = s->waiting[w];
        uint32_t rest = a->pieces[w].to > pos ? cut(a, w, pos) : IR_NONE;
        if (rest != IR_NONE) put_off(s, rest);
        if (a->f->failed) return;
    }
}

static void take_another(struct scan *s, uint32_t piece, const struct candidates *c) {
    struct alloc *a = s->a;
    struct piece *p = a->pieces + piece;
    uint32_t first_must = next_use(a, piece, p->from, true), first_any = next_use(a, piece, p->from, false);
    uint8_t best = LOC_NONE;
    uint32_t best_use = 0;
    for (unsigned i = 0; i < c->n; i++) {
        uint8_t reg = c->class[i];
        if (saved(reg) && p->from < a->framed) continue;
        uint32_t use = FOREVER, blocked = destroyed(reg, c->call, c->division);
        if (s->active[reg] != IR_NONE) use = next_use(a, s->active[reg], p->from, false);
        for (uint32_t w = s->inactive[reg]; w != IR_NONE; w = s->waiting[w]) {
            if (meeting(a, w, piece) == FOREVER) continue;
            uint32_t other = next_use(a, w, p->from, false);
            if (other < use) use = other;
        }
        if (blocked < use) use = blocked;
        if (blocked <= (p->from | 3)) continue; /* by this very instruction */
        if (best == LOC_NONE || use > best_use) {
            best = reg;
            best_use = use;
        }
    }
    if (best == LOC_NONE || (best_use <= first_any && first_must > (p->from | 3))) {
        to_memory(s, piece, p->from);
        return;
    }
    uint32_t blocked = destroyed(best, c->call, c->division), victim = s->active[best];
    if (blocked < p->to) {
        uint32_t pos = best_cut(a, p->from, blocked);
        if (pos <= p->from) {
            to_memory(s, piece, p->from);
            return;
        }
        uint32_t rest = cut(a, piece, pos);
        if (rest == IR_NONE) return;
        put_off(s, rest);
    }
    uint32_t from = a->pieces[piece].from;
    if (victim != IR_NONE) evict(s, victim, from);
    if (!a->f->failed) evict_inactive(s, best, piece);
    occupy(s, piece, best);
}

/* ---- the scan ---- */

static void retire(struct scan *s, uint32_t pos) {
    struct alloc *a = s->a;
    for (unsigned reg = 0; reg < 32; reg++) {
        uint32_t *link = &s->inactive[reg], woken = IR_NONE;
        while (*link != IR_NONE) {
            uint32_t w = *link;
            if (covers(a, w, pos)) {
                *link = s->waiting[w];
                woken = w;
            } else if (a->pieces[w].range == IR_NONE) {
                *link = s->waiting[w];
            } else {
                link = &s->waiting[w];
            }
        }
        uint32_t p = s->active[reg];
        if (p != IR_NONE && !covers(a, p, pos)) {
            s->active[reg] = IR_NONE;
            if (a->pieces[p].range != IR_NONE) {
                s->waiting[p] = s->inactive[reg];
                s->inactive[reg] = p;
            }
        }
        if (woken != IR_NONE) s->active[reg] = woken;
    }
}

static void place(struct scan *s, uint32_t piece) {
    struct alloc *a = s->a;
    if (a->n_pieces > s->cap_waiting &&
        atoll_grow(a->f->alloc, (void **)&s->waiting, &s->cap_waiting, a->n_pieces, sizeof *s->waiting)) {
        a->f->failed = true;
        return;
    }
    retire(s, a->pieces[piece].from);
    struct candidates c = candidates_for(a, piece);
    if (!take_free(s, piece, &c)) take_another(s, piece, &c);
}

/* ---- wishes ---- */

static void wish_args(struct alloc *a, uint32_t first, const struct rt_valtype *types, uint32_t n,
                      bool params) {
    struct ir_func *f = a->f;
    struct jit_arg args[64];
    if (n > 64) return;
    jit_place_args(types, n, args);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = params ? first : f->items[first + i];
        if (args[i].reg < 32 && f->ins[v].op != IR_CONST && a->pieces[v].wish == LOC_NONE)
            a->pieces[v].wish = args[i].reg;
    }
}

static void collect_wishes(struct alloc *a) {
    struct ir_func *f = a->f;
    struct jit_arg params[64];
    if (f->type->n_params <= 64) jit_place_args(f->type->params, f->type->n_params, params);
    for (uint32_t k = 0; k < f->n_order; k++)
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) {
            const struct ir_ins *i = f->ins + v;
            if (i->op == IR_PARAM && f->type->n_params <= 64) {
                if (params[i->imm].reg < 32) a->pieces[v].wish = params[i->imm].reg;
            } else if (i->op == IR_CALL) {
                const struct rt_type *t = f->module->types[f->bc->funcs[i->imm].type];
                wish_args(a, i->a, t->params, t->n_params, false);
                a->pieces[v].wish = ir_is_float(i->type) ? XMM0 : RAX;
            } else if (i->op == IR_CALL_INDIRECT || i->op == IR_CALL_TABLE) {
                const struct rt_type *t = f->module->types[i->imm];
                uint32_t callee = f->items[i->a + i->b - 1]; /* or its index */
                wish_args(a, i->a, t->params, t->n_params, false);
                if (f->ins[callee].op != IR_CONST && a->pieces[callee].wish == LOC_NONE)
                    a->pieces[callee].wish = RAX;
                a->pieces[v].wish = ir_is_float(i->type) ? XMM0 : RAX;
            } else if (i->op == IR_RETURN && i->b) {
                uint32_t r = f->items[i->a];
                if (f->ins[r].op != IR_CONST && a->pieces[r].wish == LOC_NONE)
                    a->pieces[r].wish = ir_is_float(f->ins[r].type) ? XMM0 : RAX;
            } else if (i->op == IR_SELECT) { /* b is moved, a comes over it */
                if (a->pieces[v].hint == IR_NONE && f->ins[i->b].op != IR_CONST) a->pieces[v].hint = i->b;
            } else if (i->type != IR_VOID && i->a != IR_NONE && !ir_has_list(i->op) &&
                       a->pieces[v].hint == IR_NONE && f->ins[i->a].op != IR_CONST &&
                       ir_is_float(f->ins[i->a].type) == ir_is_float(i->type)) {
                a->pieces[v].hint = i->a;
            }
        }
}

/* ---- results ---- */

static void add_move(struct alloc *a, uint32_t pos, uint32_t value, uint8_t from, uint8_t to) {
    if (a->n_moves == a->cap_moves &&
        atoll_grow(a->f->alloc, (void **)&a->moves, &a->cap_moves, a->n_moves + 1, sizeof *a->moves)) {
        a->f->failed = true;
        return;
    }
    a->moves[a->n_moves++] = (struct alloc_move){pos, value, from, to};
}

static int by_pos(const void *x, const void *y) {
    const struct alloc_move *p = x, *q = y;
    return (p->pos > q->pos) - (p->pos < q->pos);
}

static void write_back(struct alloc *a) {
    struct ir_func *f = a->f;
    for (uint32_t i = 0; i < a->n_pieces; i++) {
        struct piece *p = a->pieces + i;
        for (uint32_t u = p->uses; u != IR_NONE; u = a->uses[u].next)
            if (a->uses[u].cell) *a->uses[u].cell = p->reg;
        if (p->next == IR_NONE) continue;
        const struct piece *q = a->pieces + p->next;
        bool edge =
            f->blocks[f->order[alloc_block_at(a, q->from)]].from == q->from; /* the edges' moves do it */
        bool store = q->reg == LOC_SPILL && p->reg < 32 && a->late[p->value];
        if ((q->reg < 32 || store) && q->reg != p->reg && p->to == q->from && !edge)
            add_move(a, store ? q->from & ~3u : q->from, p->value, p->reg, q->reg);
    }
    if (a->n_moves) qsort(a->moves, a->n_moves, sizeof *a->moves, by_pos);
}

/* Whether something wants memory in front of the frame. */
static bool wants_frame_early(const struct alloc *a) {
    for (uint32_t i = 0; i < a->n_pieces && a->framed; i++) {
        const struct piece *p = a->pieces + i;
        if (p->ranges == IR_NONE || p->from >= a->framed) continue;
        if (p->reg == LOC_SPILL || (i < a->f->n_ins && a->slots[i] != IR_NONE && !a->late[i])) return true;
    }
    return false;
}

uint8_t alloc_at(struct alloc *a, uint32_t value, uint32_t pos) {
    if (a->f->ins[value].op == IR_CONST) return LOC_NONE;
    uint8_t reg = a->pieces[value].reg;
    for (uint32_t p = value; p != IR_NONE && a->pieces[p].from <= pos; p = a->pieces[p].next, a->work++)
        if (a->pieces[p].reg != LOC_NONE) reg = a->pieces[p].reg;
    return reg;
}

void alloc_run(struct alloc *a, struct ir_func *f) {
    *a = (struct alloc){.f = f};
    alloc_lifetimes(a);
    if (f->failed || f->declined) return;
    struct scan s = {.a = a};
    a->framed = f->frame_place ? f->blocks[f->order[f->frame_place]].from : 0;
    memset(s.active, 0xFF, sizeof s.active);
    memset(s.inactive, 0xFF, sizeof s.inactive);
    a->slots = bc_arena_new(&f->arena, f->n_ins + 1, sizeof *a->slots);
    if (!a->slots) f->failed = true;
    if (!f->failed) memset(a->slots, 0xFF, (f->n_ins + 1) * sizeof *a->slots);
    if (!f->failed) collect_wishes(a);
    for (uint32_t v = 0; v < f->n_ins && !f->failed; v++) {
        struct piece *p = a->pieces + v;
        if (p->ranges == IR_NONE) continue;
        p->from = a->ranges[p->ranges].from;
        p->range = p->ranges;
        p->use = p->uses;
        uint32_t r = p->ranges;
        while (a->ranges[r].next != IR_NONE) r = a->ranges[r].next;
        p->to = a->ranges[r].to;
        put_off(&s, v);
    }
    while (s.n_heap && !f->failed && !f->declined) {
        place(&s, take_next(&s));
        if (a->work > ALLOC_MAX_WORK || ir_stopped(f)) f->declined = "too much to find registers for";
    }
    if (!f->failed && !f->declined) alloc_place_stores(a);
    bool again = !f->failed && !f->declined && wants_frame_early(a);
    if (!f->failed && !f->declined && !again) write_back(a);
    atoll_free(f->alloc, s.heap, s.cap_heap * sizeof *s.heap);
    atoll_free(f->alloc, s.waiting, s.cap_waiting * sizeof *s.waiting);
    if (!again) return;
    alloc_fini(a);
    f->frame_place = 0; /* then the frame is there from the start */
    alloc_run(a, f);
}

void alloc_fini(struct alloc *a) {
    const struct atoll_alloc *alloc = a->f->alloc;
    atoll_free(alloc, a->pieces, a->cap_pieces * sizeof *a->pieces);
    atoll_free(alloc, a->ranges, a->cap_ranges * sizeof *a->ranges);
    atoll_free(alloc, a->uses, a->cap_uses * sizeof *a->uses);
    atoll_free(alloc, a->moves, a->cap_moves * sizeof *a->moves);
}
