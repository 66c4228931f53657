/* jit/live.c: lifetimes of values and where they are used, in one walk backwards over the code. */
#include <string.h>
#include "jit/alloc.h"
#include "jit/internal.h"
#include "jit/x86.h"

#define MAX_LIVE_BYTES ((uint64_t)64 << 20)

const uint8_t jit_saved_registers[JIT_N_SAVED] = {RBX, RBP, R12, R13};
const uint8_t jit_int_args[JIT_N_INT_ARGS] = {RDI, RSI, RDX, RCX, R8, R9};

static bool is_float(const struct rt_valtype *type) {
    return type->kind >= BC_KIND_F32 && type->kind <= BC_KIND_V128;
}

uint32_t jit_place_args(const struct rt_valtype *types, uint32_t n, struct jit_arg *out) {
    uint32_t n_int = 0, n_float = 0, bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (is_float(types + i) ? n_float < JIT_N_FLOAT_ARGS : n_int < JIT_N_INT_ARGS) {
            out[i] = (struct jit_arg){
                is_float(types + i) ? (uint8_t)(XMM0 + n_float++) : jit_int_args[n_int++], 0};
        } else {
            out[i] = (struct jit_arg){LOC_SPILL, bytes};
            bytes += 16;
        }
    }
    return bytes;
}

static uint32_t bytes_of_args(const struct rt_type *type) {
    uint32_t n_int = 0, n_float = 0;
    for (uint32_t i = 0; i < type->n_params; i++) (*(is_float(type->params + i) ? &n_float : &n_int))++;
    return 16 * ((n_int > JIT_N_INT_ARGS ? n_int - JIT_N_INT_ARGS : 0) +
                 (n_float > JIT_N_FLOAT_ARGS ? n_float - JIT_N_FLOAT_ARGS : 0));
}

struct jit_tail jit_tail_of(const struct rt_type *own, const struct rt_type *callee, bool within) {
    struct jit_tail t = {.area = bytes_of_args(callee),
                         .results = callee->n_results ? 16 * (callee->n_results - 1) : 0};
    uint32_t room = bytes_of_args(own), wanted = t.area > t.results ? t.area : t.results;
    if (room < t.results) room = t.results; /* our caller wants those, too */
    while (jit_tail_room(t.tail_class) < wanted) t.tail_class++;
    t.thunk = t.area && (!within || t.area > room);
    return t;
}

bool alloc_new_piece(struct alloc *a, uint32_t *out) {
    if (a->n_pieces == a->cap_pieces &&
        atoll_grow(a->f->alloc, (void **)&a->pieces, &a->cap_pieces, a->n_pieces + 1, sizeof *a->pieces)) {
        a->f->failed = true;
        return false;
    }
    *out = (uint32_t)a->n_pieces++;
    a->pieces[*out] = (struct piece){.ranges = IR_NONE,
                                     .uses = IR_NONE,
                                     .next = IR_NONE,
                                     .range = IR_NONE,
                                     .use = IR_NONE,
                                     .hint = IR_NONE,
                                     .reg = LOC_NONE,
                                     .wish = LOC_NONE};
    return true;
}

/* ---- positions and numbers ---- */

static void number_positions(struct ir_func *f) {
    uint32_t pos = 0;
    for (uint32_t k = 0; k < f->n_order; k++) {
        struct ir_block *b = f->blocks + f->order[k];
        b->from = pos;
        pos += 4;
        for (uint32_t v = b->first; v != IR_NONE; v = f->ins[v].next) {
            f->ins[v].block = f->order[k];
            if (f->ins[v].op == IR_PHI || f->ins[v].op == IR_PARAM) {
                f->ins[v].pos = b->from;
                continue;
            }
            f->ins[v].pos = pos;
            if (!f->ins[v].folded) pos += 4;
        }
        b->to = pos;
    }
}

static void mark_global(struct alloc *a, uint32_t v, uint32_t block) {
    struct ir_func *f = a->f;
    if (f->ins[v].op == IR_CONST || f->ins[v].block == block || a->global[v] != IR_NONE) return;
    a->global[v] = a->n_globals;
    a->global_values[a->n_globals++] = v;
}

static void number_globals(struct alloc *a) {
    struct ir_func *f = a->f;
    for (uint32_t k = 0; k < f->n_order; k++) {
        uint32_t block = f->order[k];
        for (uint32_t v = f->blocks[block].first; v != IR_NONE; v = f->ins[v].next) {
            const struct ir_ins *i = f->ins + v;
            if (i->op == IR_PHI) {
                for (uint32_t p = 0; p < i->b; p++)
                    mark_global(a, f->items[i->a + p], f->blocks[block].preds[p]);
            } else {
                IR_EACH_OPERAND(f, v, p, { mark_global(a, *p, block); });
            }
        }
    }
    a->live_words = (a->n_globals + 63) / 64;
}

/* ---- ranges and uses ---- */

static void add_range(struct alloc *a, uint32_t v, uint32_t from, uint32_t to) {
    struct piece *p = a->pieces + v;
    if (p->ranges != IR_NONE && to >= a->ranges[p->ranges].from) {
        struct alloc_range *first = a->ranges + p->ranges;
        if (from < first->from) first->from = from;
        if (to > first->to) first->to = to;
        while (first->next != IR_NONE && a->ranges[first->next].from <= first->to) {
            const struct alloc_range *next = a->ranges + first->next;
            if (next->to > first->to) first->to = next->to;
            first->next = next->next;
        }
        return;
    }
    if (a->n_ranges == a->cap_ranges &&
        atoll_grow(a->f->alloc, (void **)&a->ranges, &a->cap_ranges, a->n_ranges + 1, sizeof *a->ranges)) {
        a->f->failed = true;
        return;
    }
    a->ranges[a->n_ranges] = (struct alloc_range){from, to, p->ranges};
    p->ranges = (uint32_t)a->n_ranges++;
}

/* Uses come from the last to the first, but for those at the ends of loops. */
static void add_use(struct alloc *a, uint32_t v, uint32_t pos, bool must, uint8_t *cell) {
    if (a->n_uses == a->cap_uses &&
        atoll_grow(a->f->alloc, (void **)&a->uses, &a->cap_uses, a->n_uses + 1, sizeof *a->uses)) {
        a->f->failed = true;
        return;
    }
    uint32_t *link = &a->pieces[v].uses;
    for (; *link != IR_NONE && a->uses[*link].pos < pos; a->work++) link = &a->uses[*link].next;
    a->uses[a->n_uses] = (struct alloc_use){pos, must, cell, *link};
    *link = (uint32_t)a->n_uses++;
}

/* How an operand of an instruction may be given. */
enum { MUST = 1, LATE = 2, FOLDED_LATE = 4 };

static bool is_rotation(uint16_t op) {
    return op == BC_I32_ROTL || op == BC_I32_ROTR || op == BC_I64_ROTL || op == BC_I64_ROTR;
}
static bool is_shift(uint16_t op) {
    return (op >= BC_I32_SHL && op <= BC_I32_ROTR) || (op >= BC_I64_SHL && op <= BC_I64_ROTR);
}

/* Whether all operands are read before the result's register is written, so that one may have it. Of these there are
 * single instructions, and such as put the result together in scratch. */
static bool reads_first(const struct ir_ins *i) {
    unsigned type;
    if (i->op == IR_LOAD) return i->b == IR_NONE; /* a lane's load moves the vector first */
    if (ir_is_compare(i->op, &type) || (i->op >= BC_F32_EQ && i->op <= BC_F64_GE)) return true;
    if (is_shift(i->op)) return jit_cpu()->bmi2 && !is_rotation(i->op); /* those take their count in cl */
    switch (i->op) {
    case IR_BSWAP:
    case BC_I32_EQZ:
    case BC_I64_EQZ:
    case BC_I32_CLZ:
    case BC_I32_CTZ:
    case BC_I32_POPCNT:
    case BC_I64_CLZ:
    case BC_I64_CTZ:
    case BC_I64_POPCNT:
    case BC_I32_WRAP_I64:
    case BC_I64_EXTEND_I32_S:
    case BC_I32_EXTEND8_S:
    case BC_I32_EXTEND16_S:
    case BC_I64_EXTEND8_S:
    case BC_I64_EXTEND16_S:
    case BC_I64_EXTEND32_S:
    case BC_F32_ABS:
    case BC_F32_NEG:
    case BC_F32_CEIL:
    case BC_F32_FLOOR:
    case BC_F32_TRUNC:
    case BC_F32_NEAREST:
    case BC_F32_SQRT:
    case BC_F64_ABS:
    case BC_F64_NEG:
    case BC_F64_CEIL:
    case BC_F64_FLOOR:
    case BC_F64_TRUNC:
    case BC_F64_NEAREST:
    case BC_F64_SQRT:
    case BC_F32_DEMOTE_F64:
    case BC_F64_PROMOTE_F32: return true;
    default: return i->op < BC_OP_COUNT && jit_cpu()->avx && jit_simd_reads_first(i->op);
    }
}

/* Of operand `which` (0 to 2). Late: still read after the result's register has been written. */
static unsigned operand_kind(const struct ir_ins *i, unsigned which) {
    switch (i->op) {
    case BC_I32_ADD:
    case BC_I64_ADD: return MUST; /* lea where registers differ */
    case BC_I32_AND:
    case BC_I32_OR:
    case BC_I32_XOR:
    case BC_I32_MUL:
    case BC_I64_AND:
    case BC_I64_OR:
    case BC_I64_XOR:
    case BC_I64_MUL: return which ? 0 : MUST; /* exchanged when b has the result's register */
    case BC_I32_SUB:
    case BC_I64_SUB: return which ? LATE : MUST;
    case BC_F32_ADD:
    case BC_F32_SUB:
    case BC_F32_MUL:
    case BC_F32_DIV:
    case BC_F64_ADD:
    case BC_F64_SUB:
    case BC_F64_MUL:
    case BC_F64_DIV: return which ? (jit_cpu()->avx ? 0 : LATE) : MUST;
    case IR_SELECT: return which == 1 ? MUST : MUST | LATE;
    case IR_POLL: return 0;
    case IR_ADDRESS: return which ? LATE : MUST | LATE;
    case IR_NON_NULL:
    case IR_BSWAP:
    case IR_CAST: return MUST;
    case IR_SWITCH: return MUST;
    default: break;
    }
    unsigned type, late = reads_first(i) ? 0 : LATE;
    if (ir_is_compare(i->op, &type)) return which ? 0 : MUST;
    if (ir_divides(i->op)) return which ? MUST | LATE : 0;
    if (is_shift(i->op) && !which) return MUST;
    return MUST | late;
}

static void use_operand(struct alloc *a, uint64_t *live, uint32_t block, uint32_t v, uint32_t pos,
                        unsigned kind, uint8_t *cell);

/* The operands of an instruction that is part of the one at pos. */
static void use_folded(struct alloc *a, uint64_t *live, uint32_t block, uint32_t v, uint32_t pos,
                       unsigned late) {
    struct ir_ins *i = a->f->ins + v;
    uint32_t *const operands[3] = {&i->a, &i->b, &i->c};
    uint8_t *const cells[3] = {&i->reg_a, &i->reg_b, &i->reg_c};
    for (unsigned k = 0; k < 3; k++)
        if (*operands[k] != IR_NONE) use_operand(a, live, block, *operands[k], pos, MUST | late, cells[k]);
}

static void use_operand(struct alloc *a, uint64_t *live, uint32_t block, uint32_t v, uint32_t pos,
                        unsigned kind, uint8_t *cell) {
    struct ir_func *f = a->f;
    *cell = LOC_NONE;
    if (f->ins[v].op == IR_CONST) return;
    if (f->ins[v].folded) {
        use_folded(a, live, block, v, pos, kind & FOLDED_LATE ? LATE : 0);
        return;
    }
    add_range(a, v, f->blocks[block].from, pos + (kind & LATE ? 4 : 2));
    add_use(a, v, pos + (kind & LATE ? 3 : 1), kind & MUST, cell);
    if (a->global[v] != IR_NONE) live[a->global[v] / 64] |= UINT64_C(1) << a->global[v] % 64;
}

static void define(struct alloc *a, uint64_t *live, uint32_t v, uint32_t pos, bool must) {
    struct ir_func *f = a->f;
    struct piece *p = a->pieces + v;
    f->ins[v].reg = LOC_NONE;
    if (p->ranges == IR_NONE)
        add_range(a, v, pos, pos + 1);
    else
        a->ranges[p->ranges].from = pos;
    add_use(a, v, pos, must, &f->ins[v].reg);
    if (a->global[v] != IR_NONE) live[a->global[v] / 64] &= ~(UINT64_C(1) << a->global[v] % 64);
}

/* ---- the walk ---- */

static bool destroys_registers(uint16_t op) {
    switch (op) {
    case IR_CALL:
    case IR_CALL_INDIRECT:
    case IR_CALL_TABLE:
    case IR_SLOW:
    case IR_THROW:
    case IR_THROW_REF: return true;
    default: return false;
    }
}

/* What is part of an instruction is read late, too, unless all is read first; a sum of registers is one lea. */
static unsigned folded_kind(const struct ir_func *f, const struct ir_ins *i, uint32_t operand) {
    bool sum = (i->op == BC_I32_ADD || i->op == BC_I64_ADD) && f->ins[operand].op != IR_LOAD;
    return sum || reads_first(i) ? 0 : FOLDED_LATE;
}

static void live_instruction(struct alloc *a, uint64_t *live, uint32_t block, uint32_t v) {
    struct ir_func *f = a->f;
    struct ir_ins *i = f->ins + v;
    if (i->folded) return;
    if (i->type != IR_VOID) define(a, live, v, i->pos + 3, true);
    if (ir_has_list(i->op)) {
        for (uint32_t k = i->b; k-- > 0;)
            use_operand(a, live, block, f->items[i->a + k], i->pos, 0, f->item_regs + i->a + k);
        return;
    }
    if (i->c != IR_NONE)
        use_operand(a, live, block, i->c, i->pos, operand_kind(i, 2) | folded_kind(f, i, i->c), &i->reg_c);
    if (i->b != IR_NONE)
        use_operand(a, live, block, i->b, i->pos, operand_kind(i, 1) | folded_kind(f, i, i->b), &i->reg_b);
    if (i->a != IR_NONE)
        use_operand(a, live, block, i->a, i->pos, operand_kind(i, 0) | folded_kind(f, i, i->a), &i->reg_a);
}

static void live_out(struct alloc *a, uint32_t block, uint64_t *live) {
    struct ir_func *f = a->f;
    const struct ir_block *b = f->blocks + block;
    for (uint32_t s = 0; s < b->n_succs; s++) {
        const struct ir_block *succ = f->blocks + b->succs[s];
        const uint64_t *row = a->live_in + (size_t)b->succs[s] * a->live_words;
        for (uint32_t w = 0; w < a->live_words; w++) live[w] |= row[w];
        if (f->ins[succ->first].op != IR_PHI) continue;
        uint32_t from = 0;
        while (succ->preds[from] != block) from++;
        for (uint32_t v = succ->first; v != IR_NONE && f->ins[v].op == IR_PHI; v = f->ins[v].next) {
            uint32_t operand = f->items[f->ins[v].a + from];
            if (f->ins[operand].op == IR_CONST) continue;
            add_range(a, operand, b->from, b->to);
            add_use(a, operand, b->to - 1, false, NULL);
            if (a->pieces[operand].hint == IR_NONE) a->pieces[operand].hint = v;
            if (a->pieces[v].hint == IR_NONE) a->pieces[v].hint = operand;
            if (a->global[operand] != IR_NONE)
                live[a->global[operand] / 64] |= UINT64_C(1) << a->global[operand] % 64;
        }
    }
}

#define EACH_LIVE(a, live, v, body)                                                                          \
    for (uint32_t w_ = 0; w_ < (a)->live_words; w_++)                                                        \
        for (uint64_t bits_ = (live)[w_]; bits_; bits_ &= bits_ - 1) {                                       \
            uint32_t v = (a)->global_values[w_ * 64 + (uint32_t)__builtin_ctzll(bits_)];                     \
            body                                                                                             \
        }

/* What lives into a loop lives through all of it; one that is used in it wants its register at its end, too.
 */
static void live_loop(struct alloc *a, uint32_t block, const uint64_t *live) {
    struct ir_func *f = a->f;
    const struct ir_block *b = f->blocks + block;
    uint32_t end = f->blocks[f->order[b->loop_end]].to;
    EACH_LIVE(a, live, v, {
        add_range(a, v, b->from, end);
        uint32_t use = a->pieces[v].uses;
        if (use != IR_NONE && a->uses[use].pos < end) add_use(a, v, end - 1, false, NULL);
    });
    for (uint32_t k = b->order + 1; k <= b->loop_end; k++) {
        uint64_t *row = a->live_in + (size_t)f->order[k] * a->live_words;
        for (uint32_t w = 0; w < a->live_words; w++) row[w] |= live[w];
    }
}

static void live_block(struct alloc *a, uint32_t block, uint32_t *line) {
    struct ir_func *f = a->f;
    struct ir_block *b = f->blocks + block;
    uint64_t *live = a->live_in + (size_t)block * a->live_words;
    live_out(a, block, live);
    EACH_LIVE(a, live, v, { add_range(a, v, b->from, b->to); });
    size_t n = 0;
    for (uint32_t v = b->first; v != IR_NONE; v = f->ins[v].next) line[n++] = v;
    while (n) {
        uint32_t v = line[--n];
        if (f->ins[v].op == IR_PHI || f->ins[v].op == IR_PARAM)
            define(a, live, v, b->from, false);
        else
            live_instruction(a, live, block, v);
    }
    if (b->loop_end != IR_NONE) live_loop(a, block, live);
}

static void list_destroyers(struct alloc *a) {
    struct ir_func *f = a->f;
    uint32_t n_calls = 0, n_divisions = 0;
    for (int round = 0; round < 2; round++) {
        n_calls = n_divisions = 0;
        for (uint32_t k = 0; k < f->n_order; k++)
            for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) {
                const struct ir_ins *i = f->ins + v;
                if (destroys_registers(i->op)) {
                    if (round) a->calls[n_calls] = i->pos + 2;
                    n_calls++;
                } else if (ir_divides(i->op)) {
                    if (round) a->divisions[n_divisions] = i->pos + 2;
                    n_divisions++;
                }
            }
        if (round) break;
        a->calls = bc_arena_new(&f->arena, n_calls + 1u, sizeof *a->calls);
        a->divisions = bc_arena_new(&f->arena, n_divisions + 1u, sizeof *a->divisions);
        if (!a->calls || !a->divisions) {
            f->failed = true;
            return;
        }
    }
    a->n_calls = n_calls;
    a->n_divisions = n_divisions;
}

void alloc_lifetimes(struct alloc *a) {
    struct ir_func *f = a->f;
    size_t n = f->n_ins + 1;
    a->global = bc_arena_new(&f->arena, n, sizeof *a->global);
    a->global_values = bc_arena_new(&f->arena, n, sizeof *a->global_values);
    uint32_t *line = bc_arena_new(&f->arena, n, sizeof *line);
    f->item_regs = bc_arena_new(&f->arena, f->n_items + 1, 1);
    if (!a->global || !a->global_values || !line || !f->item_regs) {
        f->failed = true;
        return;
    }
    memset(a->global, 0xFF, n * sizeof *a->global);
    memset(f->item_regs, LOC_NONE, f->n_items + 1);
    number_positions(f);
    number_globals(a);
    if ((uint64_t)a->live_words * 8 * f->n_blocks > MAX_LIVE_BYTES) {
        f->declined = "too many values live across blocks";
        return;
    }
    a->live_in = bc_arena_new(&f->arena, (size_t)a->live_words * f->n_blocks + 1, sizeof *a->live_in);
    if (!a->live_in) f->failed = true;
    for (uint32_t v = 0, piece; v < f->n_ins && !f->failed; v++)
        if (alloc_new_piece(a, &piece)) a->pieces[piece].value = v;
    if (!f->failed) list_destroyers(a);
    for (uint32_t k = f->n_order; k-- > 0 && !f->failed && !f->declined;) {
        live_block(a, f->order[k], line);
        if (a->work > ALLOC_MAX_WORK || ir_stopped(f)) f->declined = "too much to find lifetimes of";
    }
}
