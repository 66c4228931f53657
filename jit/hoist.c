/* jit/hoist.c: what a loop computes in every turn, and always the same, is computed once in front of it. Three things move:
 *
 *   values that depend on operands alone, or on what nothing in the loop changes, and that cannot trap: from anywhere in
 *       the loop, where that pays
 *   what may trap: from the start of the header, while nothing with an effect stays in front of it, so that traps and
 *       what they have seen stay in order. Fuel stays, and all behind it; the look for an interruption does not matter
 *   in inner loops: constants that an instruction wants in a register (HELD), and what it would load from the instance:
 *       base and size of a memory whose accesses are checked (MEMORY_PART), the store with its word for interruptions
 *
 *        before:  ... value                     the loop has one way in, and the block there leads nowhere else
 *          |
 *        header: ...  <-+                       through as many loops as it is the same in
 *          |            |
 *        ... value -----+
 *
 * Whether it pays: a value that moves lives through the whole loop and takes a register there, so loops are measured
 * (loops.c), and one that is full gives away only what is dearer than to read it from memory. What becomes part of the
 * instruction that uses it costs nothing where it is (select.c). What some turns go round stays, unless it is dear.
 *
 * Where code is entered inside of a loop (build_osr.c), that loop is none here, and the block in front of another dominates
 * what moves to it, however it was reached. */
#include <stddef.h>
#include "jit/internal.h"
#include "jit/loops.h"

#define DEAR      3 /* worth a register though some turns do without */
#define VERY_DEAR 5 /* worth being kept in memory */

#define MOST_LEVELS 32 /* of loops that one value leaves */
#define MOST_PARTS  4
struct parts { /* of a memory, in front of a loop; IR_NONE */
    uint32_t loop, memory, base, bytes;
};
struct hoist {
    struct ir_func *f;
    struct loops loops;
    struct parts parts[MOST_PARTS];
    unsigned n_parts;
};

/* ---- what may move ---- */

enum kind { STAYS, FROM_ANYWHERE, FROM_FRONT };

static bool cannot_fault(const struct ir_func *f, const struct ir_ins *load) {
    if (load->index) return load->a != IR_NONE && f->ins[load->a].op == IR_TABLE;
    const struct bc_limits *limits = &f->bc->memories[0].limits;
    uint64_t end = load->imm + bc_op_infos[load->sub].access;
    return load->a == IR_NONE && end <= UINT32_MAX && (end - 1) >> limits->page_size_log2 < limits->min;
}

static enum kind kind_of(const struct ir_func *f, const struct ir_ins *i) {
    if (ir_pure(i)) return FROM_ANYWHERE;
    switch (i->op) {
    case IR_GLOBAL_GET:
    case IR_MEMORY_SIZE: return FROM_ANYWHERE;
    case IR_LOAD: return cannot_fault(f, i) ? FROM_ANYWHERE : FROM_FRONT;
    case IR_ADDRESS:
    case IR_NON_NULL:
    case IR_TRAP_IF: return FROM_FRONT;
    default: return i->op < BC_OP_COUNT ? FROM_FRONT : STAYS; /* arithmetic that may trap */
    }
}

/* The memory that is read: of a checked address, its own. */
static bool is_shared(const struct ir_func *f, const struct ir_ins *load) {
    uint32_t memory = load->index ? f->ins[load->a].index : 0;
    return f->bc->memories[memory].limits.shared;
}

static bool load_stays_the_same(const struct ir_func *f, const struct loop *loop, const struct ir_ins *i) {
    if (loops_is_memory(f, i)) return !loop->calls && !loop->stores && !is_shared(f, i);
    if (i->b == IR_NONE && i->lane) return true;
    if (i->a != IR_NONE && f->ins[i->a].op == IR_TABLE) return !loop->calls; /* its size, its elements */
    return !loop->calls && !loop->objects;
}

/* Whether it gives the same in every turn, its operands being the same. Memories never shrink: an address that was
 * good stays good. */
static bool stays_the_same(const struct ir_func *f, const struct loop *loop, const struct ir_ins *i) {
    switch (i->op) {
    case IR_LOAD: return load_stays_the_same(f, loop, i);
    case IR_MEMORY_SIZE: return !loop->calls && !f->bc->memories[i->index].limits.shared;
    case IR_MEMORY_PART: /* the base stays where it is */
        return i->imm == offsetof(struct rt_memory, base) ||
               (!loop->calls && !f->bc->memories[i->index].limits.shared);
    case IR_GLOBAL_GET:
        if (!f->bc->globals[i->imm].mutable) return true;
        if (loop->calls) return false;
        return i->imm < f->bc->n_imported_globals ? !loop->sets_imported : !(loop->sets >> i->imm % 64 & 1);
    default: return true;
    }
}

static bool operands_are_known(const struct hoist *h, uint32_t loop, uint32_t v) {
    if (ir_has_list(h->f->ins[v].op)) return false;
    IR_EACH_OPERAND(h->f, v, p, {
        if (!loops_known_before(&h->loops, loop, *p)) return false;
    });
    return true;
}

static bool same_in(const struct hoist *h, uint32_t loop, uint32_t v) {
    const struct loop *l = h->loops.items + loop;
    return l->before != IR_NONE && operands_are_known(h, loop, v) && stays_the_same(h->f, l, h->f->ins + v);
}

/* ---- what pays ---- */

/* In simple instructions, or what else the processor could do meanwhile. */
static unsigned cost_of(const struct ir_func *f, const struct ir_ins *i) {
    if (ir_is_division(i->op)) return 10;
    switch (i->op) {
    case IR_SELECT:
    case IR_NON_NULL:
    case IR_TRAP_IF: return 2;
    case IR_MEMORY_SIZE:
    case IR_MUL_HIGH: return 3;
    case IR_REF_IS:
    case IR_ADDRESS: return 4;
    case IR_GLOBAL_GET: return i->imm < f->bc->n_imported_globals ? 2 : 1;
    case BC_F32_DIV:
    case BC_F64_DIV:
    case BC_F32_SQRT:
    case BC_F64_SQRT:
    case BC_F32X4_DIV:
    case BC_F64X2_DIV:
    case BC_F32X4_SQRT:
    case BC_F64X2_SQRT: return 10;
    default: return i->op >= BC_I32_TRUNC_F32_S && i->op <= BC_F64_PROMOTE_F32 ? 2 : 1;
    }
}

/* Registers that operands leave free when this, their only user, moves. */
static int freed_by(const struct ir_func *f, uint32_t v, unsigned reg_class) {
    int n = 0;
    IR_EACH_OPERAND(f, v, p, {
        const struct ir_ins *o = f->ins + *p;
        n += o->op != IR_CONST && o->n_uses == 1 && loops_class(o) == reg_class;
    });
    return n;
}

/* front: a check that only wants this value can follow it. */
static bool pays(struct hoist *h, uint32_t loop, uint32_t v, uint32_t block, bool front) {
    const struct ir_func *f = h->f;
    const struct ir_ins *i = f->ins + v;
    if (i->type == IR_VOID || (front && h->loops.uses[v].guards)) return true;
    if (h->loops.uses[v].free && h->loops.uses[v].free >= i->n_uses) return false;
    unsigned cost = cost_of(f, i), reg_class = loops_class(i);
    bool always = ir_dominates(f, block, h->loops.items[loop].turn);
    if (!always && cost < DEAR) return false;
    return (always && cost >= VERY_DEAR) ||
           loops_room(&h->loops, loop, reg_class) + freed_by(f, v, reg_class) > 0;
}

/* ---- moving ---- */

/* Behind what was put there before, in front of the jump into the loop. */
static void put_before(struct hoist *h, uint32_t loop, uint32_t v) {
    struct ir_func *f = h->f;
    struct loop *l = h->loops.items + loop;
    struct ir_block *b = f->blocks + l->before;
    if (l->tail == IR_NONE)
        for (uint32_t at = b->first; at != b->last; at = f->ins[at].next) l->tail = at;
    uint32_t *link = l->tail == IR_NONE ? &b->first : &f->ins[l->tail].next;
    f->ins[v].next = *link;
    *link = v;
    l->tail = v;
    f->ins[v].block = l->before;
}

/* The value lives through the loop now. */
static void take_room(struct hoist *h, uint32_t loop, uint32_t v) {
    const struct ir_ins *i = h->f->ins + v;
    struct loop *l = h->loops.items + loop;
    if (i->type == IR_VOID || !l->measured) return;
    for (unsigned c = 0; c < LOOP_CLASSES; c++) l->room[c] += freed_by(h->f, v, c);
    l->room[loops_class(i)]--;
}

/* The outermost loop around the block that the value can and should leave, or IR_NONE. */
static uint32_t leaves(struct hoist *h, uint32_t v, uint32_t block, bool front) {
    uint32_t best = IR_NONE, loop = h->loops.of[block];
    for (unsigned n = 0; n < MOST_LEVELS && loop != IR_NONE; n++, loop = h->loops.of[block]) {
        if (!same_in(h, loop, v) || !pays(h, loop, v, block, front)) break;
        take_room(h, loop, v);
        best = loop;
        front = false;
        block = h->loops.items[loop].before;
    }
    return best;
}

static void hoist_block(struct hoist *h, uint32_t block) {
    struct ir_func *f = h->f;
    uint32_t loop = h->loops.of[block], next;
    bool front = block == h->loops.items[loop].header;
    uint32_t *link = &f->blocks[block].first;
    for (uint32_t v = *link; v != IR_NONE && !f->failed; v = next) {
        enum kind kind = kind_of(f, f->ins + v);
        uint32_t to = IR_NONE;
        next = f->ins[v].next;
        if (kind == FROM_ANYWHERE)
            to = leaves(h, v, block, front);
        else if (kind == FROM_FRONT && front && same_in(h, loop, v) && pays(h, loop, v, block, true))
            take_room(h, to = loop, v);
        if (to == IR_NONE) {
            link = &f->ins[v].next;
            front &= kind == FROM_ANYWHERE || !f->ins[v].effect || f->ins[v].op == IR_POLL;
        } else {
            *link = next;
            put_before(h, to, v);
        }
    }
}

/* ---- constants ---- */

static bool is_wide(const struct ir_ins *c) {
    return c->type == IR_I64 && (int64_t)c->imm != (int32_t)c->imm;
}

/* Whether the instruction's operand `which`, the constant c, takes a move to a register each time (emit*.c). */
static bool wants_register(const struct ir_ins *i, unsigned which, const struct ir_ins *c) {
    unsigned type;
    switch (i->op) {
    case BC_I64_ADD:
    case BC_I64_SUB:
    case BC_I64_MUL:
    case BC_I64_AND:
    case BC_I64_OR:
    case BC_I64_XOR:
    case IR_MUL_HIGH: return which == 1 && is_wide(c);
    case BC_I32_SHL:
    case BC_I32_SHR_S:
    case BC_I32_SHR_U:
    case BC_I64_SHL:
    case BC_I64_SHR_S:
    case BC_I64_SHR_U: return which == 0 && jit_cpu()->bmi2;
    case IR_SELECT: return which == 0 && !ir_is_float(c->type);
    case IR_STORE: return which == 1 && is_wide(c);
    case BC_F32_SUB:
    case BC_F32_DIV:
    case BC_F64_SUB:
    case BC_F64_DIV: return which == 0;
    default: return ir_is_compare(i->op, &type) && which == 1 && is_wide(c);
    }
}

/* Whether a register is free in the loop and all around it. What is cheap to get should not be got anew for each of few
 * turns, and in another register than it was on the other ways. */
static bool free_in_all(struct hoist *h, uint32_t loop, unsigned reg_class) {
    for (unsigned n = 0; n < MOST_LEVELS && loop != IR_NONE; n++, loop = h->loops.items[loop].parent)
        if (h->loops.items[loop].before == IR_NONE || loops_room(&h->loops, loop, reg_class) <= 0)
            return false;
    return loop == IR_NONE;
}

/* The constant in a register that lives through the loop; IR_NONE: it does not pay. Of constants `seen` and `last` tell
 * for which loop (+ 1) there is one, and which. */
static uint32_t held_constant(struct hoist *h, uint32_t loop, uint32_t user, uint32_t c) {
    struct ir_func *f = h->f;
    struct loops *l = &h->loops;
    struct value_use *known = l->uses + c;
    uint32_t block = f->ins[user].block;
    if (known->seen == loop + 1) return known->last;
    if (f->n_ins == l->n_values || !ir_dominates(f, block, l->items[loop].turn)) return IR_NONE;
    if (!free_in_all(h, loop, loops_class(f->ins + c))) return IR_NONE;
    uint32_t v = ir_new(f, IR_NONE, IR_HELD, f->ins[c].type);
    if (f->failed) return IR_NONE;
    f->ins[v].a = c;
    f->ins[v].where = f->ins[user].where;
    uint32_t to = leaves(h, v, block, false);
    if (to == IR_NONE) return IR_NONE;
    put_before(h, to, v);
    *known = (struct value_use){.seen = loop + 1, .last = v};
    return v;
}

static void hold_operands(struct hoist *h, uint32_t loop, uint32_t v) {
    struct ir_func *f = h->f;
    for (unsigned which = 0; which < 3 && !f->failed; which++) {
        const struct ir_ins *i = f->ins + v;
        uint32_t c = which == 0 ? i->a : which == 1 ? i->b : i->c;
        if (c == IR_NONE || !ir_is_const(f, c) || !wants_register(i, which, f->ins + c)) continue;
        uint32_t held = held_constant(h, loop, v, c);
        if (held == IR_NONE) continue;
        f->ins[held].n_uses++;
        struct ir_ins *user = f->ins + v; /* the array may have moved */
        *(which == 0 ? &user->a : which == 1 ? &user->b : &user->c) = held;
    }
}

/* ---- parts of instructions ---- */

/* A value that an instruction of the loop takes part by part, or IR_NONE. */
static uint32_t part_of(struct hoist *h, uint32_t loop, uint32_t user, unsigned op, uint32_t memory,
                        size_t at) {
    struct ir_func *f = h->f;
    if (f->n_ins == h->loops.n_values || loops_room(&h->loops, loop, LOOP_INT) <= 0) return IR_NONE;
    uint32_t v = ir_new(f, IR_NONE, op, IR_I64);
    if (f->failed) return IR_NONE;
    f->ins[v].where = f->ins[user].where;
    f->ins[v].index = memory;
    f->ins[v].imm = at;
    uint32_t to = leaves(h, v, f->ins[user].block, false);
    if (to != IR_NONE) put_before(h, to, v);
    return to == IR_NONE ? IR_NONE : v;
}

static struct parts *parts_of(struct hoist *h, uint32_t loop, uint32_t memory) {
    for (unsigned i = 0; i < h->n_parts; i++)
        if (h->parts[i].loop == loop && h->parts[i].memory == memory) return h->parts + i;
    if (h->n_parts == MOST_PARTS) return NULL;
    h->parts[h->n_parts] = (struct parts){loop, memory, IR_NONE, IR_NONE};
    return h->parts + h->n_parts++;
}

/* The memory's base and size, of an address that is checked. */
static void give_parts(struct hoist *h, uint32_t loop, uint32_t v) {
    struct ir_func *f = h->f;
    uint32_t memory = f->ins[v].index;
    struct parts *parts = parts_of(h, loop, memory);
    if (!parts) return;
    bool certain = ir_dominates(f, f->ins[v].block, h->loops.items[loop].turn);
    if (certain && parts->base == IR_NONE)
        parts->base = part_of(h, loop, v, IR_MEMORY_PART, memory, offsetof(struct rt_memory, base));
    bool grows = f->bc->memories[memory].limits.shared; /* by others */
    if (certain && !grows && parts->base != IR_NONE && parts->bytes == IR_NONE)
        parts->bytes = part_of(h, loop, v, IR_MEMORY_PART, memory, offsetof(struct rt_memory, size_bytes));
    struct ir_ins *i = f->ins + v;
    i->b = parts->bytes;
    i->c = parts->base;
    if (i->b != IR_NONE) f->ins[i->b].n_uses++;
    if (i->c != IR_NONE) f->ins[i->c].n_uses++;
}

static void give_store(struct hoist *h, uint32_t loop, uint32_t poll) {
    struct ir_func *f = h->f;
    if (!free_in_all(h, loop, LOOP_INT)) return;
    uint32_t store = part_of(h, loop, poll, IR_OWN_STORE, 0, 0);
    if (store == IR_NONE) return;
    f->ins[poll].a = store;
    f->ins[store].n_uses++;
}

static void give(struct hoist *h, uint32_t loop, uint32_t v) {
    if (h->f->ins[v].op == IR_ADDRESS)
        give_parts(h, loop, v);
    else if (!ir_has_list(h->f->ins[v].op))
        hold_operands(h, loop, v);
}

/* To instructions of inner loops; calls would take most registers. */
static void give_registers(struct hoist *h, uint32_t loop) {
    struct ir_func *f = h->f;
    const struct loop *l = h->loops.items + loop;
    uint32_t poll = IR_NONE;
    if (!l->inner || l->calls || l->before == IR_NONE) return;
    for (uint32_t k = f->blocks[l->header].order; k <= l->last && loops_go_on(&h->loops); k++) {
        h->loops.work++;
        if (h->loops.of[f->order[k]] != loop) continue;
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE && !f->failed; v = f->ins[v].next) {
            if (f->ins[v].op == IR_POLL) poll = v;
            give(h, loop, v);
        }
    }
    if (poll != IR_NONE && !f->failed) give_store(h, loop, poll);
    h->n_parts = 0;
}

void ir_hoist(struct ir_func *f) {
    struct hoist h = {.f = f};
    bool any = loops_find(&h.loops, f);
    for (uint32_t k = 0; k < f->n_order && any && !f->failed; k++)
        if (h.loops.of[f->order[k]] != IR_NONE) hoist_block(&h, f->order[k]);
    for (uint32_t i = 0; i < h.loops.n && any && !f->failed; i++) give_registers(&h, i);
    loops_free(&h.loops);
}
