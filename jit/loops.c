/* jit/loops.c: finding and measuring loops. */
#include "jit/loops.h"

#include <string.h>

/* Of the allocator's registers; one is left for what the estimate does not see. */
#define N_INT        12
#define N_SAVED      4 /* of them: those that live over calls */
#define N_FLOAT      15
#define MARGIN       1
#define MOST_LATCHES 64 /* beyond, only the header is sure to be passed */
#define MOST_WORK    16 /* steps of measuring a value of the function: beyond, loops are taken for full */

/* ---- finding ---- */

static bool is_back_edge(const struct ir_func *f, uint32_t from, uint32_t header) {
    return f->blocks[from].order >= f->blocks[header].order;
}

/* Headers that dominate the ends of all turns. */
static bool is_header(const struct ir_func *f, uint32_t block) {
    const struct ir_block *b = f->blocks + block;
    bool any = false;
    for (uint32_t k = 0; k < b->n_preds; k++) {
        if (!is_back_edge(f, b->preds[k], block)) continue;
        if (!ir_dominates(f, block, b->preds[k])) return false;
        any = true;
    }
    return any && !b->entered_inside;
}

/* What takes in the loop, as far as that is known. */
static uint32_t outermost(struct loops *l, uint32_t loop) {
    while (l->top[loop] != loop) loop = l->top[loop] = l->top[l->top[loop]];
    return loop;
}

/* The block belongs to the loop: itself, or with the loop around it that was found before. */
static void claim(struct loops *l, uint32_t loop, uint32_t block, uint32_t *work, uint32_t *n) {
    if (l->of[block] == IR_NONE) {
        l->of[block] = loop;
        work[(*n)++] = block;
        return;
    }
    uint32_t known = outermost(l, l->of[block]);
    if (known == loop) return;
    l->top[known] = l->items[known].parent = loop;
    l->items[loop].inner = false;
    work[(*n)++] = l->items[known].header; /* its ways in come from this loop */
}

/* `work` has room for all blocks and loops. */
static void add_loop(struct loops *l, uint32_t header, uint32_t *work) {
    struct ir_func *f = l->f;
    const struct ir_block *b = f->blocks + header;
    uint32_t number = l->n++, n = 0, n_before = 0, n_latches = 0;
    struct loop *loop = l->items + number;
    *loop = (struct loop){.header = header,
                          .before = IR_NONE,
                          .turn = IR_NONE,
                          .last = b->order,
                          .parent = IR_NONE,
                          .tail = IR_NONE,
                          .inner = true};
    l->top[number] = l->of[header] = number;
    for (uint32_t k = 0; k < b->n_preds; k++) {
        uint32_t from = b->preds[k];
        if (!is_back_edge(f, from, header)) {
            loop->before = from;
            n_before++;
            continue;
        }
        if (f->blocks[from].order > loop->last) loop->last = f->blocks[from].order;
        if (n_latches++ < MOST_LATCHES)
            loop->turn = loop->turn == IR_NONE ? from : ir_common_dominator(f, loop->turn, from);
        claim(l, number, from, work, &n);
    }
    if (n_latches > MOST_LATCHES) loop->turn = header;
    if (n_before != 1 || f->blocks[loop->before].n_succs != 1 ||
        f->ins[f->blocks[loop->before].last].op != IR_JUMP)
        loop->before = IR_NONE;
    while (n) {
        const struct ir_block *in = f->blocks + work[--n];
        for (uint32_t k = 0; k < in->n_preds; k++) claim(l, number, in->preds[k], work, &n);
    }
}

/* ---- what happens ---- */

static void note(const struct ir_func *f, struct loop *loop, const struct ir_ins *i) {
    switch (i->op) {
    case IR_CALL:
    case IR_CALL_INDIRECT:
    case IR_CALL_TABLE:
    case IR_SLOW:
    case IR_THROW:
    case IR_THROW_REF: loop->calls = true; break;
    case IR_ATOMIC: loop->stores = true; break;
    case IR_STORE: *(loops_is_memory(f, i) ? &loop->stores : &loop->objects) = true; break;
    case IR_GLOBAL_SET:
        if (i->imm < f->bc->n_imported_globals)
            loop->sets_imported = true;
        else
            loop->sets |= UINT64_C(1) << i->imm % 64;
        break;
    default: loop->divides |= ir_divides(i->op); break;
    }
}

static void note_all(struct loops *l) {
    struct ir_func *f = l->f;
    for (uint32_t k = 0; k < f->n_order; k++) {
        uint32_t loop = l->of[f->order[k]];
        if (loop == IR_NONE) continue;
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next)
            note(f, l->items + loop, f->ins + v);
    }
    for (uint32_t i = 0; i < l->n; i++) { /* inner ones first */
        const struct loop *in = l->items + i;
        if (in->parent == IR_NONE) continue;
        struct loop *around = l->items + in->parent;
        around->calls |= in->calls;
        around->stores |= in->stores;
        around->objects |= in->objects;
        around->divides |= in->divides;
        around->sets_imported |= in->sets_imported;
        around->sets |= in->sets;
    }
}

/* ---- uses that cost nothing ---- */

static bool decides(uint16_t op) {
    unsigned type;
    return ir_is_compare(op, &type) || (op >= BC_F32_EQ && op <= BC_F64_GE) || op == BC_I32_EQZ ||
           op == BC_I64_EQZ || op == BC_I32_AND;
}

static void use_for_nothing(struct loops *l, uint32_t v, uint32_t user) {
    if (l->f->ins[v].block == l->f->ins[user].block) l->uses[v].free++;
}

/* As select.c will have it. */
static void look_at_uses(struct loops *l, uint32_t v) {
    const struct ir_func *f = l->f;
    const struct ir_ins *i = f->ins + v;
    bool wide = i->op == BC_I64_ADD;
    if (i->op == IR_BRANCH || i->op == IR_TRAP_IF || i->op == IR_SELECT) {
        uint32_t condition = i->op == IR_SELECT ? i->c : i->a;
        if (decides(f->ins[condition].op)) use_for_nothing(l, condition, v);
        l->uses[condition].guards = i->op == IR_TRAP_IF && f->ins[condition].n_uses == 1;
    } else if (i->op == BC_I32_EQZ || i->op == BC_I64_EQZ) {
        const struct ir_ins *n = f->ins + i->a;
        if ((n->op == BC_I32_AND || n->op == BC_I64_AND) && n->n_uses == 1) use_for_nothing(l, i->a, v);
    } else if (i->op == BC_I32_ADD || wide) {
        for (unsigned side = 0; side < 2; side++) {
            uint32_t shifted = side ? i->a : i->b;
            const struct ir_ins *n = f->ins + shifted;
            if (n->op == (wide ? BC_I64_SHL : BC_I32_SHL) && n->n_uses == 1 && ir_is_const(f, n->b) &&
                f->ins[n->b].imm <= 3)
                use_for_nothing(l, shifted, v);
        }
    }
}

/* ---- the whole ---- */

static uint32_t count_headers(const struct ir_func *f) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < f->n_order; k++) n += is_header(f, f->order[k]);
    return n;
}

bool loops_find(struct loops *l, struct ir_func *f) {
    *l = (struct loops){.f = f};
    uint32_t n = count_headers(f);
    if (!n) return false;
    l->n_values = f->n_ins + f->n_ins / 8 + 64;
    l->items = bc_arena_new(&f->arena, n, sizeof *l->items);
    l->of = bc_arena_new(&f->arena, f->n_blocks, sizeof *l->of);
    l->top = bc_arena_new(&f->arena, n, sizeof *l->top);
    uint32_t *work = bc_arena_new(&f->arena, f->n_blocks + n, sizeof *work);
    l->uses = atoll_new(f->alloc, l->n_values, sizeof *l->uses);
    if (!l->items || !l->of || !l->top || !work || !l->uses) {
        f->failed = true;
        return false;
    }
    memset(l->of, 0xFF, f->n_blocks * sizeof *l->of);
    for (uint32_t k = f->n_order; k-- > 0;)
        if (is_header(f, f->order[k])) add_loop(l, f->order[k], work);
    note_all(l);
    for (uint32_t k = 0; k < f->n_order; k++)
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) look_at_uses(l, v);
    return true;
}

void loops_free(struct loops *l) {
    atoll_free(l->f->alloc, l->uses, l->n_values * sizeof *l->uses);
    for (unsigned c = 0; c < LOOP_CLASSES; c++)
        atoll_free(l->f->alloc, l->ends[c], (l->n_values + 2) * sizeof *l->ends[c]);
}

bool loops_known_before(const struct loops *l, uint32_t loop, uint32_t value) {
    const struct ir_func *f = l->f;
    return ir_is_const(f, value) || ir_dominates(f, f->ins[value].block, l->items[loop].before);
}

/* Headers inside come behind it in the order, so their loops have smaller numbers. */
bool loops_has(const struct loops *l, uint32_t loop, uint32_t block) {
    uint32_t at = l->f->blocks[block].order;
    return l->of[block] <= loop && at >= l->f->blocks[l->items[loop].header].order &&
           at <= l->items[loop].last;
}

/* ---- registers ---- */

struct measure {
    struct loops *l;
    const struct loop *loop;
    uint32_t number, place;    /* of the loop; of the instruction in it, counted from 1 */
    int outside[LOOP_CLASSES]; /* values from in front that are used in the loop */
    int live[LOOP_CLASSES], most[LOOP_CLASSES];
};

/* Calls visit for each instruction of the loop, with its place. */
static void each_instruction(struct measure *m, void (*visit)(struct measure *m, uint32_t v)) {
    const struct ir_func *f = m->l->f;
    m->place = 0;
    for (uint32_t k = f->blocks[m->loop->header].order; k <= m->loop->last; k++) {
        m->l->work++;
        if (!loops_has(m->l, m->number, f->order[k])) continue;
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) {
            m->l->work++;
            m->place++;
            visit(m, v);
        }
    }
}

/* Where v uses its operand k: a phi at the end of the block that it comes from. */
static uint32_t place_of_use(const struct measure *m, uint32_t v, uint32_t k) {
    const struct ir_func *f = m->l->f;
    const struct ir_ins *i = f->ins + v;
    if (i->op != IR_PHI) return m->place;
    const struct ir_block *b = f->blocks + i->block, *from = f->blocks + b->preds[k];
    return from->order < b->order ? m->l->uses[from->last].last : m->place;
}

static void visit_uses(struct measure *m, uint32_t v) {
    struct ir_func *f = m->l->f;
    struct value_use *uses = m->l->uses;
    uint32_t k = 0;
    uses[v].last = m->place;
    if (f->ins[v].op == IR_PHI && f->ins[v].block == m->loop->header) return;
    IR_EACH_OPERAND(f, v, p, {
        uint32_t place = place_of_use(m, v, k++);
        if (ir_is_const(f, *p)) continue;
        if (!loops_known_before(m->l, m->number, *p)) {
            if (place > uses[*p].last) uses[*p].last = place;
        } else if (uses[*p].seen != m->number + 1) {
            uses[*p].seen = m->number + 1;
            m->outside[loops_class(f->ins + *p)]++;
        }
    });
}

/* What goes round lives up to the end. */
static void visit_phis(struct measure *m) {
    struct ir_func *f = m->l->f;
    for (uint32_t v = f->blocks[m->loop->header].first; v != IR_NONE && f->ins[v].op == IR_PHI;
         v = f->ins[v].next)
        for (uint32_t k = 0; k < f->ins[v].b; k++) {
            uint32_t o = f->items[f->ins[v].a + k];
            if (!loops_known_before(m->l, m->number, o)) m->l->uses[o].last = m->place + 1;
        }
}

static bool takes_register(const struct measure *m, uint32_t v) {
    const struct ir_ins *i = m->l->f->ins + v;
    const struct value_use *use = m->l->uses + v;
    return i->type != IR_VOID && i->n_uses > use->free && use->last > m->place;
}

static void visit_ends(struct measure *m, uint32_t v) {
    if (takes_register(m, v)) m->l->ends[loops_class(m->l->f->ins + v)][m->l->uses[v].last]++;
}

static void visit_lives(struct measure *m, uint32_t v) {
    for (unsigned c = 0; c < LOOP_CLASSES; c++) {
        m->live[c] -= (int)m->l->ends[c][m->place];
        m->l->ends[c][m->place] = 0;
    }
    if (!takes_register(m, v)) return;
    unsigned c = loops_class(m->l->f->ins + v);
    if (++m->live[c] > m->most[c]) m->most[c] = m->live[c];
}

/* Lifetimes are taken for intervals of the order. */
static void measure(struct loops *l, uint32_t number) {
    struct loop *loop = l->items + number;
    struct measure m = {.l = l, .loop = loop, .number = number};
    each_instruction(&m, visit_uses);
    visit_phis(&m);
    each_instruction(&m, visit_ends);
    each_instruction(&m, visit_lives);
    for (unsigned c = 0; c < LOOP_CLASSES; c++) l->ends[c][m.place + 1] = 0;
    int n_int = MARGIN + m.outside[LOOP_INT] + m.most[LOOP_INT] + (loop->divides && !loop->calls ? 2 : 0);
    int n_float = MARGIN + m.outside[LOOP_FLOAT] + m.most[LOOP_FLOAT];
    /* the first to take one that has to be given back as it was found would pay for that at each call */
    bool at_cost = !l->f->has_calls && n_int <= N_INT - N_SAVED;
    loop->room[LOOP_INT] = (loop->calls ? N_SAVED : at_cost ? N_INT - N_SAVED : N_INT) - n_int;
    loop->room[LOOP_FLOAT] = (loop->calls ? 0 : N_FLOAT) - n_float;
}

bool loops_go_on(const struct loops *l) { return l->work <= MOST_WORK * l->n_values; }

int loops_room(struct loops *l, uint32_t loop, unsigned reg_class) {
    struct loop *of = l->items + loop;
    if (of->measured) return of->room[reg_class];
    of->measured = true;
    for (unsigned c = 0; c < LOOP_CLASSES && !l->ends[c]; c++) {
        l->ends[c] = atoll_new(l->f->alloc, l->n_values + 2, sizeof *l->ends[c]);
        if (!l->ends[c]) l->f->failed = true;
    }
    if (loops_go_on(l) && !l->f->failed) measure(l, loop);
    return of->room[reg_class];
}
