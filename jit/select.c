/* jit/select.c: which values become part of the one instruction that uses them: comparisons of branches,
 * shifts and additions of addresses, loads of arithmetic. A load moves to its user only over instructions
 * without effects, so that traps and what they have seen stay in order. */
#include "jit/internal.h"

struct select {
    struct ir_func *f;
    size_t cap;      /* values there is room for in the arrays */
    uint32_t *epoch; /* by value: instructions with effects in front of it in its block, itself included */
    uint32_t *conditions; /* by value: how many instructions of its block have it as their condition */
    uint32_t *addresses;  /* by value: of how many loads and stores it is the address */
};

static bool alone(const struct select *s, uint32_t v, uint32_t user) {
    const struct ir_ins *i = s->f->ins + v, *u = s->f->ins + user;
    return i->n_uses == 1 && !i->folded && i->block == u->block;
}

static bool small_const(const struct ir_func *f, uint32_t v) {
    return f->ins[v].op == IR_CONST && !ir_is_float(f->ins[v].type) &&
           (f->ins[v].type == IR_I32 || (int64_t)f->ins[v].imm == (int32_t)f->ins[v].imm);
}

/* A load of the whole of its type, wanted by `user` alone, with no effect between them. */
static bool foldable_load(const struct select *s, uint32_t v, uint32_t user) {
    const struct ir_ins *i = s->f->ins + v;
    if (i->op != IR_LOAD || !alone(s, v, user)) return false;
    bool user_effect = s->f->ins[user].effect;
    if (s->epoch[user] - user_effect != s->epoch[v]) return false;
    switch (i->sub) {
    case BC_I32_LOAD:
    case BC_I64_LOAD:
    case BC_F32_LOAD:
    case BC_F64_LOAD: return true;
    default: return false;
    }
}

static void fold(struct select *s, uint32_t v) { s->f->ins[v].folded = true; }

/* ---- conditions ---- */

static bool is_float_compare(uint16_t op) { return op >= BC_F32_EQ && op <= BC_F64_GE; }

static void fold_compare_operands(struct select *s, uint32_t compare, uint32_t user) {
    struct ir_ins *c = s->f->ins + compare;
    unsigned type;
    if (!ir_is_compare(c->op, &type)) return;
    /* the load has to be alone with the comparison, and no effect between it and the user of the comparison
     */
    if (foldable_load(s, c->b, compare) && s->epoch[user] - s->f->ins[user].effect == s->epoch[c->b])
        fold(s, c->b);
    else if (small_const(s->f, c->b) && foldable_load(s, c->a, compare) &&
             s->epoch[user] - s->f->ins[user].effect == s->epoch[c->a])
        fold(s, c->a);
}

/* A comparison that only decides, several times, is made again for each: its flags need no register. Returns the one
 * for this user. */
static uint32_t own_comparison(struct select *s, uint32_t v, uint32_t user) {
    struct ir_func *f = s->f;
    unsigned type;
    if (f->ins[v].n_uses < 2 || s->conditions[v] != f->ins[v].n_uses || f->ins[v].block != f->ins[user].block)
        return v;
    if ((!ir_is_compare(f->ins[v].op, &type) && !is_float_compare(f->ins[v].op)) || f->n_ins == s->cap)
        return v;
    uint32_t copy = ir_new(f, IR_NONE, f->ins[v].op, f->ins[v].type);
    if (f->failed) return v;
    struct ir_ins *i = f->ins + copy, *of = f->ins + v;
    i->a = of->a;
    i->b = of->b;
    i->where = of->where;
    i->block = of->block;
    i->n_uses = 1;
    of->n_uses--;
    s->conditions[v]--;
    s->epoch[copy] = s->epoch[v];
    f->ins[i->a].n_uses++;
    f->ins[i->b].n_uses++;
    return copy;
}

static bool is_and(uint16_t op) { return op == BC_I32_AND || op == BC_I64_AND; }

static bool is_one(const struct ir_func *f, uint32_t v) { return ir_is_const(f, v) && f->ins[v].imm == 1; }

/* 1 << n, where n is in a register: a constant may have come late. */
static bool is_bit(const struct ir_func *f, uint32_t v) {
    const struct ir_ins *i = f->ins + v;
    return (i->op == BC_I32_SHL || i->op == BC_I64_SHL) && is_one(f, i->a) && !ir_is_const(f, i->b);
}

static bool is_shift_down(const struct ir_func *f, uint32_t v) {
    uint16_t op = f->ins[v].op;
    bool down = op == BC_I32_SHR_U || op == BC_I32_SHR_S || op == BC_I64_SHR_U || op == BC_I64_SHR_S;
    return down && !ir_is_const(f, f->ins[v].b);
}

/* x >> n & 1, x & 1 << n: a test of one bit. */
static void fold_bits(struct select *s, uint32_t v) {
    struct ir_func *f = s->f;
    struct ir_ins *i = f->ins + v;
    fold(s, v);
    if (is_one(f, i->b)) {
        if (is_shift_down(f, i->a) && alone(s, i->a, v)) fold(s, i->a);
    } else if (is_bit(f, i->a) && alone(s, i->a, v)) {
        fold(s, i->a);
    } else if (is_bit(f, i->b) && alone(s, i->b, v)) {
        fold(s, i->b);
    }
}

/* Whether what decides, v, asks for bits & mask being zero, or not. */
static bool is_test(const struct select *s, uint32_t v) {
    const struct ir_func *f = s->f;
    const struct ir_ins *i = f->ins + v;
    switch (i->op) {
    case BC_I32_EQZ:
    case BC_I64_EQZ: break;
    case BC_I32_NE:
    case BC_I64_NE:
        if (!ir_is_const(f, i->b) || f->ins[i->b].imm) return false;
        break;
    case BC_I32_WRAP_I64:
        if (ir_possible_bits(f, i->a, 1) > UINT32_MAX) return false;
        break;
    default: return false;
    }
    return is_and(f->ins[i->a].op) && alone(s, i->a, v);
}

static void fold_condition(struct select *s, uint32_t v, uint32_t user) {
    struct ir_func *f = s->f;
    unsigned type;
    if (!alone(s, v, user)) return;
    const struct ir_ins *i = f->ins + v;
    if (i->op == BC_I32_AND) {
        fold_bits(s, v);
        return;
    }
    bool eqz = i->op == BC_I32_EQZ || i->op == BC_I64_EQZ, test = is_test(s, v);
    if (!ir_is_compare(i->op, &type) && !is_float_compare(i->op) && !test && !eqz) return;
    fold(s, v);
    if (test)
        fold_bits(s, i->a);
    else
        fold_compare_operands(s, v, user);
}

/* x | 1 << n, x ^ 1 << n, x & ~(1 << n), which programs also spell with -2 rotated. */
static void fold_bit(struct select *s, uint32_t v) {
    struct ir_func *f = s->f;
    struct ir_ins *i = f->ins + v;
    for (unsigned side = 0; side < 2; side++) {
        uint32_t bit = side ? i->a : i->b, x = side ? i->b : i->a;
        const struct ir_ins *n = f->ins + bit;
        bool hole = (n->op == BC_I32_ROTL || n->op == BC_I64_ROTL) && ir_is_const(f, n->a) &&
                    f->ins[n->a].imm == (n->type == IR_I64 ? UINT64_MAX - 1 : UINT32_MAX - 1);
        if (!(is_and(i->op) ? hole : is_bit(f, bit)) || ir_is_const(f, n->b)) continue;
        if (!alone(s, bit, v) || ir_is_const(f, x) || f->ins[x].folded) continue;
        i->a = x;
        i->b = bit;
        fold(s, bit);
        return;
    }
}

/* ---- addresses ---- */

/* One use less; without any the value is not made. */
static void drop_use(struct select *s, uint32_t v) {
    struct ir_ins *i = s->f->ins + v;
    if (i->op == IR_CONST || --i->n_uses || i->effect) return;
    i->folded = true;
    IR_EACH_OPERAND(s->f, v, p, { drop_use(s, *p); });
}

/* v's operand takes its place in an address. */
static void use_instead(struct select *s, uint32_t *place, uint32_t by) {
    uint32_t v = *place;
    *place = by;
    s->f->ins[by].n_uses++;
    drop_use(s, v);
}

/* x << k as an address, whose sum is one of 64 bits: where nothing is shifted out. */
static unsigned scale_of(const struct select *s, uint32_t v, unsigned type) {
    const struct ir_func *f = s->f;
    const struct ir_ins *i = f->ins + v;
    if (i->folded || i->op != (type == IR_I64 ? BC_I64_SHL : BC_I32_SHL) || !ir_is_const(f, i->b)) return 0;
    if (ir_is_const(f, i->a) || f->ins[i->b].imm > 3) return 0;
    unsigned k = (unsigned)f->ins[i->b].imm;
    return type == IR_I64 || ir_possible_bits(f, i->a, 4) << k <= UINT32_MAX ? k : 0;
}

static void fold_plain_address(struct select *s, uint32_t v) {
    struct ir_func *f = s->f;
    struct ir_ins *i = f->ins + v;
    unsigned scale = scale_of(s, i->a, IR_I32);
    if (!scale || s->addresses[i->a] != f->ins[i->a].n_uses) return;
    s->addresses[i->a]--;
    i->index |= scale << IR_SCALE;
    use_instead(s, &i->a, f->ins[i->a].a);
}

/* An address of the host's that is a sum, for accesses alone: of an array's element. */
static void fold_host_address(struct select *s, uint32_t v) {
    struct ir_func *f = s->f;
    struct ir_ins *i = f->ins + v;
    const struct ir_ins *sum = f->ins + i->a;
    if (i->c != IR_NONE || sum->op != BC_I64_ADD || sum->folded || s->addresses[i->a] != sum->n_uses) return;
    if (ir_is_const(f, sum->a)) return;
    uint32_t index = sum->b;
    unsigned scale = 0;
    if (ir_is_const(f, index)) {
        int64_t at = (int64_t)(i->imm + f->ins[index].imm);
        if (at != (int32_t)at) return;
        i->imm = (uint64_t)at;
        index = IR_NONE;
    } else if (f->ins[index].n_uses == 1) { /* by the sum */
        scale = scale_of(s, index, IR_I64);
        if (scale) index = f->ins[index].a;
        if (f->ins[index].op == IR_CAST && f->ins[index].n_uses == 1) index = f->ins[index].a;
        if (ir_is_const(f, index)) return;
    }
    i->c = index;
    i->index |= scale << IR_SCALE;
    if (index != IR_NONE) f->ins[index].n_uses++;
    s->addresses[i->a]--;
    use_instead(s, &i->a, sum->a);
}

static void fold_address(struct select *s, uint32_t v) {
    const struct ir_ins *i = s->f->ins + v;
    if (i->a == IR_NONE || ir_is_const(s->f, i->a) || (i->folded && !i->n_uses)) return;
    if (i->index & IR_ABSOLUTE)
        fold_host_address(s, v);
    else
        fold_plain_address(s, v);
}

/* ---- arithmetic ---- */

static void fold_addition(struct select *s, uint32_t v) {
    struct ir_func *f = s->f;
    struct ir_ins *i = f->ins + v;
    uint16_t add = i->op, shl = i->op == BC_I32_ADD ? BC_I32_SHL : BC_I64_SHL;
    /* x + y << k, and (x + y) + c: one lea */
    for (unsigned side = 0; side < 2; side++) {
        uint32_t inner = side ? i->a : i->b;
        const struct ir_ins *n = f->ins + inner;
        if (n->op == shl && alone(s, inner, v) && ir_is_const(f, n->b) && f->ins[n->b].imm <= 3 &&
            !ir_is_const(f, side ? i->b : i->a)) {
            if (side) { /* the shifted one is b */
                uint32_t other = i->b;
                i->b = i->a;
                i->a = other;
            }
            fold(s, inner);
            return;
        }
    }
    const struct ir_ins *left = f->ins + i->a;
    if (!small_const(f, i->b) || left->op != add || !alone(s, i->a, v)) return;
    if (ir_is_const(f, left->a) || ir_is_const(f, left->b)) return; /* since values were numbered */
    /* a sum that becomes a lea of its own is better left one: three parts take a slow lea */
    if (f->ins[left->b].folded || f->ins[left->a].op == shl || f->ins[left->b].op == shl) return;
    fold(s, i->a);
}

static bool takes_memory(uint16_t op) {
    switch (op) {
    case BC_I32_ADD:
    case BC_I32_SUB:
    case BC_I32_AND:
    case BC_I32_OR:
    case BC_I32_XOR:
    case BC_I32_MUL:
    case BC_I64_ADD:
    case BC_I64_SUB:
    case BC_I64_AND:
    case BC_I64_OR:
    case BC_I64_XOR:
    case BC_I64_MUL:
    case BC_F32_ADD:
    case BC_F32_SUB:
    case BC_F32_MUL:
    case BC_F32_DIV:
    case BC_F64_ADD:
    case BC_F64_SUB:
    case BC_F64_MUL:
    case BC_F64_DIV: return true;
    default: return false;
    }
}

/* Where an operand may be a single bit. */
static bool is_changeable(uint16_t op) {
    return is_and(op) || op == BC_I32_OR || op == BC_I64_OR || op == BC_I32_XOR || op == BC_I64_XOR;
}

static void select_ins(struct select *s, uint32_t v) {
    struct ir_func *f = s->f;
    struct ir_ins *i = f->ins + v;
    if (i->op == IR_LOAD || i->op == IR_STORE) fold_address(s, v);
    if (i->folded) return;
    if (i->op == IR_BRANCH || i->op == IR_TRAP_IF || i->op == IR_SELECT) {
        bool select = i->op == IR_SELECT;
        uint32_t condition = own_comparison(s, select ? i->c : i->a, v);
        i = f->ins + v; /* the array may have moved */
        *(select ? &i->c : &i->a) = condition;
        fold_condition(s, condition, v);
    } else if (i->op == BC_I32_ADD || i->op == BC_I64_ADD) {
        fold_addition(s, v);
    } else if (is_changeable(i->op)) {
        fold_bit(s, v);
    }
    if (takes_memory(i->op) && !f->ins[i->a].folded && !f->ins[i->b].folded) {
        bool left = ir_commutes(i->op) && !ir_is_const(f, i->b) && !foldable_load(s, i->b, v) &&
                    foldable_load(s, i->a, v);
        if (left) {
            uint32_t other = i->a;
            i->a = i->b;
            i->b = other;
        }
        if (!ir_is_const(f, i->a) && foldable_load(s, i->b, v)) fold(s, i->b);
    } else if ((i->op == BC_I64_EXTEND_I32_S || i->op == BC_F64_PROMOTE_F32) && foldable_load(s, i->a, v)) {
        fold(s, i->a);
    }
}

static void look_at_blocks(struct select *s) {
    struct ir_func *f = s->f;
    uint32_t effects = 0;
    for (uint32_t k = 0; k < f->n_order; k++)
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) {
            const struct ir_ins *i = f->ins + v;
            s->epoch[v] = effects += i->effect;
            if ((i->op == IR_LOAD || i->op == IR_STORE) && i->a != IR_NONE) s->addresses[i->a]++;
            if (i->op != IR_BRANCH && i->op != IR_TRAP_IF && i->op != IR_SELECT) continue;
            uint32_t condition = i->op == IR_SELECT ? i->c : i->a;
            if (f->ins[condition].block == i->block) s->conditions[condition]++;
        }
}

void ir_select(struct ir_func *f) {
    size_t n_before = f->n_ins + 1, cap = f->n_ins + f->n_ins / 4 + 16;
    struct select s = {.f = f, .cap = cap};
    s.epoch = atoll_new(f->alloc, cap, sizeof *s.epoch);
    s.conditions = atoll_new(f->alloc, cap, sizeof *s.conditions);
    s.addresses = atoll_new(f->alloc, cap, sizeof *s.addresses);
    uint32_t *line = atoll_new(f->alloc, n_before, sizeof *line);
    if (!s.epoch || !s.conditions || !s.addresses || !line) f->failed = true;
    if (!f->failed) look_at_blocks(&s);
    /* users before what they use, so that a value joins the last of a chain */
    for (uint32_t k = f->n_order; k-- > 0 && !f->failed;) {
        size_t n = 0;
        for (uint32_t v = f->blocks[f->order[k]].first; v != IR_NONE; v = f->ins[v].next) line[n++] = v;
        while (n) select_ins(&s, line[--n]);
    }
    atoll_free(f->alloc, line, n_before * sizeof *line);
    atoll_free(f->alloc, s.epoch, cap * sizeof *s.epoch);
    atoll_free(f->alloc, s.conditions, cap * sizeof *s.conditions);
    atoll_free(f->alloc, s.addresses, cap * sizeof *s.addresses);
}
