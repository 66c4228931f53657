/* jit/fold.c: operations simplified as they are made: constants computed, constants moved to the right,
 * chains of additions joined, tests of tests taken off. */
#include "jit/ir.h"

static bool constant(const struct ir_func *f, uint32_t v, uint64_t *bits) {
    if (f->ins[v].op != IR_CONST) return false;
    *bits = f->ins[v].imm;
    return true;
}

bool ir_is_compare(uint16_t op, unsigned *operands) {
    if (op >= BC_I32_EQ && op <= BC_I32_GE_U) return *operands = IR_I32, true;
    if (op >= BC_I64_EQ && op <= BC_I64_GE_U) return *operands = IR_I64, true;
    return false;
}

uint16_t ir_negated(uint16_t op) {
    static const uint8_t opposite[] = {1, 0, 8, 9, 6,
                                       7, 4, 5, 2, 3}; /* eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u */
    unsigned type;
    if (!ir_is_compare(op, &type)) return 0;
    unsigned first = type == IR_I32 ? BC_I32_EQ : BC_I64_EQ;
    return (uint16_t)(first + opposite[op - first]);
}

static bool fold_integers(uint16_t op, uint64_t a, uint64_t b, bool wide, uint64_t *out) {
    unsigned bits = wide ? 64 : 32;
    uint64_t mask = wide ? UINT64_MAX : UINT32_MAX;
    int64_t sa = wide ? (int64_t)a : (int32_t)a, sb = wide ? (int64_t)b : (int32_t)b;
    unsigned count = (unsigned)b & (bits - 1);
    unsigned back = (bits - count) & (bits - 1);
    switch (wide ? op - BC_I64_ADD + BC_I32_ADD : op) {
    case BC_I32_ADD: *out = a + b; break;
    case BC_I32_SUB: *out = a - b; break;
    case BC_I32_MUL: *out = a * b; break;
    case BC_I32_AND: *out = a & b; break;
    case BC_I32_OR: *out = a | b; break;
    case BC_I32_XOR: *out = a ^ b; break;
    case BC_I32_SHL: *out = a << count; break;
    case BC_I32_SHR_S: *out = (uint64_t)(sa >> count); break;
    case BC_I32_SHR_U: *out = a >> count; break;
    case BC_I32_ROTL: *out = a << count | (count ? a >> back : 0); break;
    case BC_I32_ROTR: *out = a >> count | (count ? a << back : 0); break;
    default:
        switch (wide ? op - BC_I64_EQ + BC_I32_EQ : op) {
        case BC_I32_EQ: *out = a == b; break;
        case BC_I32_NE: *out = a != b; break;
        case BC_I32_LT_S: *out = sa < sb; break;
        case BC_I32_LT_U: *out = a < b; break;
        case BC_I32_GT_S: *out = sa > sb; break;
        case BC_I32_GT_U: *out = a > b; break;
        case BC_I32_LE_S: *out = sa <= sb; break;
        case BC_I32_LE_U: *out = a <= b; break;
        case BC_I32_GE_S: *out = sa >= sb; break;
        case BC_I32_GE_U: *out = a >= b; break;
        default: return false;
        }
    }
    *out &= mask;
    return true;
}

static bool integer_op(uint16_t op, bool *wide) {
    if ((op >= BC_I32_EQ && op <= BC_I32_GE_U) || (op >= BC_I32_ADD && op <= BC_I32_ROTR))
        return *wide = false, true;
    if ((op >= BC_I64_EQ && op <= BC_I64_GE_U) || (op >= BC_I64_ADD && op <= BC_I64_ROTR))
        return *wide = true, true;
    return false;
}

bool ir_commutes(uint16_t op) {
    switch (op) {
    case BC_I32_ADD:
    case BC_I32_MUL:
    case BC_I32_AND:
    case BC_I32_OR:
    case BC_I32_XOR:
    case BC_I32_EQ:
    case BC_I32_NE:
    case BC_I64_ADD:
    case BC_I64_MUL:
    case BC_I64_AND:
    case BC_I64_OR:
    case BC_I64_XOR:
    case BC_I64_EQ:
    case BC_I64_NE:
    case BC_F32_ADD:
    case BC_F32_MUL:
    case BC_F64_ADD:
    case BC_F64_MUL: return true;
    default: return false;
    }
}

/* The comparison with its operands exchanged. */
static uint16_t exchanged(uint16_t op) {
    static const uint8_t other[] = {0, 1, 4, 5, 2, 3, 8, 9, 6, 7};
    unsigned type;
    if (!ir_is_compare(op, &type)) return 0;
    unsigned first = type == IR_I32 ? BC_I32_EQ : BC_I64_EQ;
    return (uint16_t)(first + other[op - first]);
}

/* x op c for constants that make it x, or another constant; IR_NONE when they do not. */
static uint32_t neutral(struct ir_func *f, uint16_t op, unsigned type, uint32_t a, uint64_t c, bool wide) {
    uint64_t all = wide ? UINT64_MAX : UINT32_MAX;
    switch (wide ? op - BC_I64_ADD + BC_I32_ADD : op) {
    case BC_I32_ADD:
    case BC_I32_SUB:
    case BC_I32_OR:
    case BC_I32_XOR:
        if (c == 0) return a;
        return IR_NONE;
    case BC_I32_SHL:
    case BC_I32_SHR_S:
    case BC_I32_SHR_U:
    case BC_I32_ROTL:
    case BC_I32_ROTR:
        if ((c & (wide ? 63 : 31)) == 0) return a;
        return IR_NONE;
    case BC_I32_MUL:
        if (c == 1) return a;
        if (c == 0) return ir_const(f, type, 0);
        return IR_NONE;
    case BC_I32_AND:
        if (c == all) return a;
        if (c == 0) return ir_const(f, type, 0);
        return IR_NONE;
    case BC_I32_DIV_S:
    case BC_I32_DIV_U: return c == 1 ? a : IR_NONE;
    default: return IR_NONE;
    }
}

static uint32_t new_binary(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a,
                           uint32_t b) {
    uint32_t i = ir_new(f, block, op, type);
    if (f->failed) return 0;
    f->ins[i].a = a;
    f->ins[i].b = b;
    return i;
}

static unsigned log2_of(uint64_t c) { return (unsigned)__builtin_ctzll(c); }
static bool power_of_two(uint64_t c) { return c && !(c & (c - 1)); }

/* All bits up to the highest that a value of at most `most` may have. */
static uint64_t bits_up_to(uint64_t most) { return most ? UINT64_MAX >> __builtin_clzll(most) : 0; }

/* A loop's phi does not know all it gets yet. */
uint64_t ir_possible_bits(const struct ir_func *f, uint32_t v, unsigned depth) {
    const struct ir_ins *i = f->ins + v;
    uint64_t all = i->type == IR_I32 ? UINT32_MAX : UINT64_MAX, c, bits = 0;
    unsigned type;
    if (i->op == IR_CONST) return i->imm;
    if (ir_is_compare(i->op, &type) || i->op == BC_I32_EQZ || i->op == BC_I64_EQZ) return 1;
    if (!depth) return all;
    switch (i->op) {
    case IR_LOAD:
        switch (i->sub) {
        case BC_I32_LOAD8_U:
        case BC_I64_LOAD8_U: return UINT8_MAX;
        case BC_I32_LOAD16_U:
        case BC_I64_LOAD16_U: return UINT16_MAX;
        case BC_I64_LOAD32_U: return UINT32_MAX;
        default: return all;
        }
    case IR_CAST: return ir_possible_bits(f, i->a, depth - 1) & UINT32_MAX;
    case BC_I32_AND:
    case BC_I64_AND: return ir_possible_bits(f, i->a, depth - 1) & ir_possible_bits(f, i->b, depth - 1);
    case BC_I32_OR:
    case BC_I32_XOR:
    case BC_I64_OR:
    case BC_I64_XOR: return ir_possible_bits(f, i->a, depth - 1) | ir_possible_bits(f, i->b, depth - 1);
    case BC_I32_ADD:
    case BC_I64_ADD:
        bits = ir_possible_bits(f, i->a, depth - 1);
        if (__builtin_add_overflow(bits, ir_possible_bits(f, i->b, depth - 1), &c)) return all;
        return bits_up_to(c) & all;
    case BC_I32_SHL:
        return constant(f, i->b, &c) ? ir_possible_bits(f, i->a, depth - 1) << (c & 31) & all : all;
    case BC_I64_SHL: return constant(f, i->b, &c) ? ir_possible_bits(f, i->a, depth - 1) << (c & 63) : all;
    case BC_I32_CLZ:
    case BC_I32_CTZ:
    case BC_I32_POPCNT:
    case BC_I64_CLZ:
    case BC_I64_CTZ:
    case BC_I64_POPCNT: return 127;
    case BC_I32_WRAP_I64: return ir_possible_bits(f, i->a, depth - 1) & all;
    case BC_I32_SHR_U: return constant(f, i->b, &c) ? ir_possible_bits(f, i->a, depth - 1) >> (c & 31) : all;
    case BC_I64_SHR_U: return constant(f, i->b, &c) ? ir_possible_bits(f, i->a, depth - 1) >> (c & 63) : all;
    case IR_SELECT: return ir_possible_bits(f, i->a, depth - 1) | ir_possible_bits(f, i->b, depth - 1);
    case IR_PHI:
        if (i->lane || i->b > 4) return all;
        for (uint32_t k = 0; k < i->b; k++) bits |= ir_possible_bits(f, f->items[i->a + k], depth - 1);
        return bits;
    default: return all;
    }
}

/* x << k >> k with the sign: an extension of 8 or 16 bits, or none. */
static uint32_t sign_extension(struct ir_func *f, uint32_t block, unsigned type, const struct ir_ins *shifted,
                               uint64_t k, bool wide) {
    uint64_t inner;
    if (shifted->op != (wide ? BC_I64_SHL : BC_I32_SHL) || !constant(f, shifted->b, &inner) || inner != k)
        return IR_NONE;
    switch ((wide ? 64 : 32) - k) {
    case 8: return ir_unary(f, block, wide ? BC_I64_EXTEND8_S : BC_I32_EXTEND8_S, type, shifted->a);
    case 16: return ir_unary(f, block, wide ? BC_I64_EXTEND16_S : BC_I32_EXTEND16_S, type, shifted->a);
    case 32: return wide ? ir_unary(f, block, BC_I64_EXTEND32_S, type, shifted->a) : IR_NONE;
    default: return IR_NONE;
    }
}

/* x op c as a cheaper operation. */
static uint32_t with_constant(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a,
                              uint64_t c, bool wide) {
    uint16_t base = (uint16_t)(wide ? BC_I64_ADD : BC_I32_ADD), plain = (uint16_t)(op - base + BC_I32_ADD);
    const struct ir_ins left = f->ins[a]; /* a copy: a new constant may move the array */
    uint64_t inner;
    if (plain == BC_I32_SUB) /* so that additions of constants meet */
        return ir_binary(f, block, base, type, a, ir_const(f, type, 0 - c));
    if (plain == BC_I32_ADD && left.op == op && constant(f, left.b, &inner))
        return ir_binary(f, block, op, type, left.a, ir_const(f, type, inner + c));
    if (plain == BC_I32_AND && left.op == op && constant(f, left.b, &inner))
        return ir_binary(f, block, op, type, left.a, ir_const(f, type, inner & c));
    if (plain == BC_I32_AND && !(ir_possible_bits(f, a, 3) & ~c)) return a;
    if (plain == BC_I32_AND) return ir_mask_idiom(f, block, type, a, c);
    if (plain == BC_I32_SHR_S) return sign_extension(f, block, type, &left, c, wide);
    if (plain == BC_I32_MUL && (c == 3 || c == 5 || c == 9)) /* lea */
        return ir_binary(f, block, base, type, a,
                         ir_binary(f, block, (uint16_t)(base + BC_I32_SHL - BC_I32_ADD), type, a,
                                   ir_const(f, type, log2_of(c - 1))));
    if (plain == BC_I32_MUL && power_of_two(c))
        return ir_binary(f, block, (uint16_t)(base + BC_I32_SHL - BC_I32_ADD), type, a,
                         ir_const(f, type, log2_of(c)));
    if (plain >= BC_I32_DIV_S && plain <= BC_I32_REM_U) return ir_divide(f, block, op, type, a, c, wide);
    return IR_NONE;
}

/* x op y as a cheaper operation. */
static uint32_t with_variable(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a,
                              uint32_t b, bool wide) {
    uint16_t plain = (uint16_t)(wide ? op - BC_I64_ADD + BC_I32_ADD : op);
    uint64_t mask, all = wide ? 63 : 31;
    if (plain == BC_I32_OR) return ir_union_idiom(f, block, type, a, b);
    bool shift = plain >= BC_I32_SHL && plain <= BC_I32_ROTR; /* takes no more of its count anyway */
    const struct ir_ins *count = f->ins + b;
    bool masked = count->op == (wide ? BC_I64_AND : BC_I32_AND) && constant(f, count->b, &mask);
    if (shift && masked && (mask & all) == all) return ir_binary(f, block, op, type, a, count->a);
    return IR_NONE;
}

uint32_t ir_binary(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a, uint32_t b) {
    uint64_t ca, cb, folded;
    bool wide;
    if (f->failed) return 0;
    if (integer_op(op, &wide)) {
        bool a_const = constant(f, a, &ca), b_const = constant(f, b, &cb);
        if (a_const && b_const && fold_integers(op, ca, cb, wide, &folded)) return ir_const(f, type, folded);
        if (a_const && !b_const && (ir_commutes(op) || exchanged(op))) {
            if (!ir_commutes(op)) op = exchanged(op);
            return ir_binary(f, block, op, type, b, a);
        }
        if (b_const && op != BC_I32_NE && op != BC_I64_NE) {
            unsigned compare;
            if (!ir_is_compare(op, &compare)) {
                uint32_t same = neutral(f, op, type, a, cb, wide);
                if (same == IR_NONE) same = with_constant(f, block, op, type, a, cb, wide);
                if (same != IR_NONE) return same;
            } else if (op == BC_I32_EQ && cb == 0) {
                return ir_unary(f, block, BC_I32_EQZ, IR_I32, a);
            } else if (op == BC_I64_EQ && cb == 0) {
                return ir_unary(f, block, BC_I64_EQZ, IR_I32, a);
            }
        } else if (!b_const) {
            uint32_t same = with_variable(f, block, op, type, a, b, wide);
            if (same != IR_NONE) return same;
        }
    }
    return new_binary(f, block, op, type, a, b);
}

static uint32_t cast(struct ir_func *f, uint32_t block, unsigned type, uint32_t a) {
    uint32_t i = ir_new(f, block, IR_CAST, type);
    if (!f->failed) f->ins[i].a = a;
    return i;
}

uint32_t ir_unary(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a) {
    uint64_t c;
    if (f->failed) return 0;
    bool known = constant(f, a, &c);
    const struct ir_ins in = f->ins[a];
    switch (op) {
    case BC_I32_EQZ:
        if (known) return ir_const(f, type, c == 0);
        if (ir_negated(in.op)) return new_binary(f, block, ir_negated(in.op), type, in.a, in.b);
        if (in.op == BC_I64_EQZ) return new_binary(f, block, BC_I64_NE, type, in.a, ir_const(f, IR_I64, 0));
        if (in.op == BC_I32_EQZ) return new_binary(f, block, BC_I32_NE, type, in.a, ir_const(f, IR_I32, 0));
        break;
    case BC_I64_EQZ:
        if (known) return ir_const(f, type, c == 0);
        break;
    case BC_I64_EXTEND_I32_U:
        if (known) return ir_const(f, type, c);
        return cast(f, block, type, a);
    case BC_I64_EXTEND_I32_S:
        if (known) return ir_const(f, type, (uint64_t)(int64_t)(int32_t)c);
        if (!(ir_possible_bits(f, a, 3) >> 31)) return cast(f, block, type, a);
        break;
    case BC_F32_CONVERT_I64_U:
    case BC_F64_CONVERT_I64_U: /* which x86 has no instruction for */
        if (!(ir_possible_bits(f, a, 3) >> 63))
            op = op == BC_F64_CONVERT_I64_U ? BC_F64_CONVERT_I64_S : BC_F32_CONVERT_I64_S;
        break;
    case BC_I32_WRAP_I64:
        if (known) return ir_const(f, type, c);
        if (in.op == IR_CAST || in.op == BC_I64_EXTEND_I32_S) return in.a;
        break;
    case BC_I32_REINTERPRET_F32:
    case BC_I64_REINTERPRET_F64:
    case BC_F32_REINTERPRET_I32:
    case BC_F64_REINTERPRET_I64:
        if (known) return ir_const(f, type, c);
        break;
    default: break;
    }
    uint32_t i = ir_new(f, block, op, type);
    if (f->failed) return 0;
    f->ins[i].a = a;
    return i;
}
