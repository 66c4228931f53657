/* jit/build_parts.c: instructions that become several simpler ones: vectors that x86 has no instruction for, relaxed
 * ones under the deterministic profile, arithmetic of 128 bits. The results are the interpreter's (interp/simd.h). */
#include <string.h>
#include "jit/build.h"

/* ---- values ---- */

static uint32_t one(struct build *b, uint16_t op, uint32_t x) {
    return ir_unary(b->f, b->block, op, IR_V128, x);
}
static uint32_t two(struct build *b, uint16_t op, uint32_t x, uint32_t y) {
    return ir_binary(b->f, b->block, op, IR_V128, x, y);
}
static uint32_t shift(struct build *b, uint16_t op, uint32_t x, uint32_t count) {
    return two(b, op, x, ir_const(b->f, IR_I32, count));
}
static uint32_t three(struct build *b, uint16_t op, uint32_t x, uint32_t y, uint32_t z) {
    uint32_t v = build_new(b, op, IR_V128);
    if (b->f->failed) return 0;
    b->f->ins[v].a = x;
    b->f->ins[v].b = y;
    b->f->ins[v].c = z;
    return v;
}

static uint32_t halves(struct build *b, uint64_t low, uint64_t high) {
    uint64_t both[2] = {low, high};
    return build_vector_const(b, (const uint8_t *)both);
}
static uint32_t lanes8(struct build *b, uint8_t x) {
    return halves(b, x * UINT64_C(0x0101010101010101), x * UINT64_C(0x0101010101010101));
}
static uint32_t lanes16(struct build *b, uint16_t x) {
    return halves(b, x * UINT64_C(0x0001000100010001), x * UINT64_C(0x0001000100010001));
}
static uint32_t lanes32(struct build *b, uint32_t x) {
    return halves(b, (uint64_t)x << 32 | x, (uint64_t)x << 32 | x);
}
static uint32_t floats(struct build *b, float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return lanes32(b, bits);
}
static uint32_t doubles(struct build *b, double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return halves(b, bits, bits);
}
static uint32_t zero(struct build *b) { return ir_const(b->f, IR_V128, 0); }

/* ---- shifts of lanes that x86 does not shift ---- */

static uint32_t count_of(struct build *b, uint32_t count, unsigned mask) {
    return ir_binary(b->f, b->block, BC_I32_AND, IR_I32, count, ir_const(b->f, IR_I32, mask));
}

/* A constant byte shifted by the count, in all lanes. */
static uint32_t shifted_bytes(struct build *b, uint16_t op, uint8_t byte, uint32_t count) {
    uint32_t shifted = ir_binary(b->f, b->block, op, IR_I32, ir_const(b->f, IR_I32, byte), count);
    if (ir_is_const(b->f, shifted)) return lanes8(b, (uint8_t)b->f->ins[shifted].imm);
    return one(b, BC_I8X16_SPLAT, shifted);
}

/* Bytes are shifted as words; what came from the neighbour is masked. */
static uint32_t shift_bytes(struct build *b, uint16_t op, uint32_t x, uint32_t count) {
    count = count_of(b, count, 7);
    if (op == BC_I8X16_SHL)
        return two(b, BC_V128_AND, two(b, BC_I16X8_SHL, x, count), shifted_bytes(b, BC_I32_SHL, 0xFF, count));
    uint32_t shifted =
        two(b, BC_V128_AND, two(b, BC_I16X8_SHR_U, x, count), shifted_bytes(b, BC_I32_SHR_U, 0xFF, count));
    if (op == BC_I8X16_SHR_U) return shifted;
    uint32_t sign = shifted_bytes(b, BC_I32_SHR_U, 0x80, count);
    return two(b, BC_I8X16_SUB, two(b, BC_V128_XOR, shifted, sign), sign);
}

static uint32_t shift_quads_signed(struct build *b, uint32_t x, uint32_t count) {
    count = count_of(b, count, 63);
    uint32_t top = halves(b, UINT64_C(1) << 63, UINT64_C(1) << 63);
    uint32_t sign = two(b, BC_I64X2_SHR_U, top, count);
    return two(b, BC_I64X2_SUB, two(b, BC_V128_XOR, two(b, BC_I64X2_SHR_U, x, count), sign), sign);
}

/* ---- integers ---- */

/* The even lanes of 32 bits, multiplied to 64. */
static uint32_t multiply_even(struct build *b, uint32_t x, uint32_t y, bool is_signed) {
    uint32_t v = build_new(b, IR_MUL_EVEN, IR_V128);
    if (b->f->failed) return 0;
    b->f->ins[v].a = x;
    b->f->ins[v].b = y;
    b->f->ins[v].lane = is_signed;
    return v;
}

static uint32_t multiply_quads(struct build *b, uint32_t x, uint32_t y) {
    uint32_t high_x = shift(b, BC_I64X2_SHR_U, x, 32), high_y = shift(b, BC_I64X2_SHR_U, y, 32);
    uint32_t middle =
        two(b, BC_I64X2_ADD, multiply_even(b, high_x, y, false), multiply_even(b, x, high_y, false));
    return two(b, BC_I64X2_ADD, multiply_even(b, x, y, false), shift(b, BC_I64X2_SHL, middle, 32));
}

static uint32_t multiply_extended(struct build *b, uint16_t extend, uint16_t multiply, uint32_t x,
                                  uint32_t y) {
    uint32_t left = one(b, extend, x), right = one(b, extend, y);
    if (multiply) return two(b, multiply, left, right);
    return multiply_even(b, left, right,
                         extend == BC_I64X2_EXTEND_LOW_I32X4_S || extend == BC_I64X2_EXTEND_HIGH_I32X4_S);
}

static uint32_t add_pairs(struct build *b, uint16_t op, uint32_t x) {
    switch (op) {
    case BC_I16X8_EXTADD_PAIRWISE_I8X16_S:
        return two(b, BC_I16X8_ADD, shift(b, BC_I16X8_SHR_S, shift(b, BC_I16X8_SHL, x, 8), 8),
                   shift(b, BC_I16X8_SHR_S, x, 8));
    case BC_I16X8_EXTADD_PAIRWISE_I8X16_U:
        return two(b, BC_I16X8_ADD, two(b, BC_V128_AND, x, lanes16(b, 0xFF)), shift(b, BC_I16X8_SHR_U, x, 8));
    case BC_I32X4_EXTADD_PAIRWISE_I16X8_S: return two(b, BC_I32X4_DOT_I16X8_S, x, lanes16(b, 1));
    default:
        return two(b, BC_I32X4_ADD, two(b, BC_V128_AND, x, lanes32(b, 0xFFFF)),
                   shift(b, BC_I32X4_SHR_U, x, 16));
    }
}

/* Bits of a byte by its two halves. */
static uint32_t count_bits(struct build *b, uint32_t x) {
    uint32_t counts = halves(b, UINT64_C(0x0302020102010100), UINT64_C(0x0403030203020201)),
             half = lanes8(b, 15);
    uint32_t low = two(b, BC_I8X16_RELAXED_SWIZZLE, counts, two(b, BC_V128_AND, x, half));
    uint32_t high =
        two(b, BC_I8X16_RELAXED_SWIZZLE, counts, two(b, BC_V128_AND, shift(b, BC_I16X8_SHR_U, x, 4), half));
    return two(b, BC_I8X16_ADD, low, high);
}

static uint32_t multiply_q15(struct build *b, uint32_t x, uint32_t y) {
    uint32_t product = two(b, BC_I16X8_RELAXED_Q15MULR_S, x, y);
    return two(b, BC_V128_XOR, product, two(b, BC_I16X8_EQ, product, lanes16(b, 0x8000)));
}

static uint32_t dot_signed(struct build *b, uint32_t x, uint32_t y) {
    uint32_t even_x = shift(b, BC_I16X8_SHR_S, shift(b, BC_I16X8_SHL, x, 8), 8);
    uint32_t even_y = shift(b, BC_I16X8_SHR_S, shift(b, BC_I16X8_SHL, y, 8), 8);
    uint32_t odd_x = shift(b, BC_I16X8_SHR_S, x, 8), odd_y = shift(b, BC_I16X8_SHR_S, y, 8);
    return two(b, BC_I16X8_ADD_SAT_S, two(b, BC_I16X8_MUL, even_x, even_y),
               two(b, BC_I16X8_MUL, odd_x, odd_y));
}

/* ---- floats ---- */

/* What the lanes that are NaN (`nan` = ones) get: the canonical one, of either sign. */
static uint32_t canonical(struct build *b, uint32_t x, uint32_t nan, bool wide) {
    uint32_t payload = shift(b, wide ? BC_I64X2_SHR_U : BC_I32X4_SHR_U, nan, wide ? 13 : 10);
    return two(b, BC_V128_ANDNOT, x, payload);
}

/* x86's minimum answers its second operand for NaNs and for zeros of either sign: both ways, joined. */
static uint32_t minimum(struct build *b, uint32_t x, uint32_t y, bool wide) {
    uint16_t pmin = wide ? BC_F64X2_PMIN : BC_F32X4_PMIN;
    uint32_t least = two(b, BC_V128_OR, two(b, pmin, x, y), two(b, pmin, y, x));
    uint32_t nan = two(b, wide ? BC_F64X2_NE : BC_F32X4_NE, least, least);
    return canonical(b, two(b, BC_V128_OR, least, nan), nan, wide);
}

/* Where both ways differ they are zeros, or one is NaN: +0 - -0 is the +0 that is wanted. */
static uint32_t maximum(struct build *b, uint32_t x, uint32_t y, bool wide) {
    uint16_t pmax = wide ? BC_F64X2_PMAX : BC_F32X4_PMAX;
    uint32_t first = two(b, pmax, x, y), differ = two(b, BC_V128_XOR, first, two(b, pmax, y, x));
    uint32_t most = two(b, wide ? BC_F64X2_SUB : BC_F32X4_SUB, two(b, BC_V128_OR, first, differ), differ);
    uint32_t nan = two(b, wide ? BC_F64X2_NE : BC_F32X4_NE, most, most);
    return canonical(b, most, nan, wide);
}

static uint32_t floats_to_signed(struct build *b, uint32_t x) {
    x = two(b, BC_V128_AND, x, two(b, BC_F32X4_EQ, x, x));
    uint32_t above = two(b, BC_F32X4_GE, x, floats(b, 2147483648.0f));
    return two(b, BC_V128_XOR, one(b, BC_I32X4_RELAXED_TRUNC_F32X4_S, x), above);
}

/* The upper half of the range is converted 2^31 lower, which is exact there. */
static uint32_t floats_to_unsigned(struct build *b, uint32_t x) {
    uint32_t half = floats(b, 2147483648.0f);
    x = two(b, BC_F32X4_PMAX, zero(b), x); /* NaN: 0 */
    uint32_t upper = two(b, BC_F32X4_GE, x, half);
    uint32_t above = two(b, BC_F32X4_GE, x, floats(b, 4294967296.0f));
    uint32_t lowered = two(b, BC_F32X4_SUB, x, two(b, BC_V128_AND, upper, half));
    uint32_t r = one(b, BC_I32X4_RELAXED_TRUNC_F32X4_S, lowered);
    r = two(b, BC_V128_XOR, r, shift(b, BC_I32X4_SHL, upper, 31));
    return two(b, BC_V128_OR, r, above);
}

static uint32_t doubles_to_signed(struct build *b, uint32_t x) {
    x = two(b, BC_V128_AND, x, two(b, BC_F64X2_EQ, x, x));
    return one(b, BC_I32X4_RELAXED_TRUNC_F64X2_S_ZERO, two(b, BC_F64X2_PMIN, doubles(b, INT32_MAX), x));
}

#define TWO_52 4503599627370496.0 /* in doubles from here on the lowest mantissa bits are the integer */

static uint32_t shuffled(struct build *b, uint32_t x, uint32_t y, const uint8_t *lanes) {
    uint32_t pool = build_vector_const(b, lanes), v = build_new(b, BC_I8X16_SHUFFLE, IR_V128);
    if (b->f->failed) return 0;
    b->f->ins[v].a = x;
    b->f->ins[v].b = y;
    b->f->ins[v].imm = b->f->ins[pool].imm;
    return v;
}

static uint32_t doubles_to_unsigned(struct build *b, uint32_t x) {
    static const uint8_t low_words[16] = {0, 1, 2, 3, 8, 9, 10, 11, 16, 16, 16, 16, 16, 16, 16, 16};
    x = two(b, BC_F64X2_PMAX, zero(b), x);
    x = two(b, BC_F64X2_PMIN, doubles(b, UINT32_MAX), x);
    x = two(b, BC_F64X2_ADD, one(b, BC_F64X2_TRUNC, x), doubles(b, TWO_52));
    return shuffled(b, x, zero(b), low_words);
}

static uint32_t unsigned_to_floats(struct build *b, uint32_t x) {
    uint32_t high = one(b, BC_F32X4_CONVERT_I32X4_S, shift(b, BC_I32X4_SHR_U, x, 16));
    uint32_t low = one(b, BC_F32X4_CONVERT_I32X4_S, two(b, BC_V128_AND, x, lanes32(b, 0xFFFF)));
    return two(b, BC_F32X4_ADD, two(b, BC_F32X4_MUL, high, floats(b, 65536.0f)), low);
}

static uint32_t unsigned_to_doubles(struct build *b, uint32_t x) {
    uint32_t biased = two(b, BC_V128_OR, one(b, BC_I64X2_EXTEND_LOW_I32X4_U, x), doubles(b, TWO_52));
    return two(b, BC_F64X2_SUB, biased, doubles(b, TWO_52));
}

/* ---- by instruction ---- */

static bool unary(struct build *b, uint16_t op, uint32_t x, uint32_t *out) {
    switch (op) {
    case BC_I8X16_POPCNT: *out = count_bits(b, x); return true;
    case BC_I16X8_EXTADD_PAIRWISE_I8X16_S:
    case BC_I16X8_EXTADD_PAIRWISE_I8X16_U:
    case BC_I32X4_EXTADD_PAIRWISE_I16X8_S:
    case BC_I32X4_EXTADD_PAIRWISE_I16X8_U: *out = add_pairs(b, op, x); return true;
    case BC_I64X2_ABS: {
        uint32_t negative = two(b, BC_I64X2_LT_S, x, zero(b));
        *out = two(b, BC_I64X2_SUB, two(b, BC_V128_XOR, x, negative), negative);
        return true;
    }
    case BC_I16X8_BITMASK: /* the signs, narrowed */
        *out =
            ir_unary(b->f, b->block, BC_I8X16_BITMASK, IR_I32, two(b, BC_I8X16_NARROW_I16X8_S, x, zero(b)));
        return true;
    case BC_I32X4_TRUNC_SAT_F32X4_S: *out = floats_to_signed(b, x); return true;
    case BC_I32X4_TRUNC_SAT_F32X4_U: *out = floats_to_unsigned(b, x); return true;
    case BC_I32X4_TRUNC_SAT_F64X2_S_ZERO: *out = doubles_to_signed(b, x); return true;
    case BC_I32X4_TRUNC_SAT_F64X2_U_ZERO: *out = doubles_to_unsigned(b, x); return true;
    case BC_F32X4_CONVERT_I32X4_U: *out = unsigned_to_floats(b, x); return true;
    case BC_F64X2_CONVERT_LOW_I32X4_U: *out = unsigned_to_doubles(b, x); return true;
    default: return false;
    }
}

static bool extended_product(struct build *b, uint16_t op, uint32_t x, uint32_t y, uint32_t *out) {
    static const struct {
        uint16_t op, extend, multiply;
    } rows[] = {{BC_I16X8_EXTMUL_LOW_I8X16_S, BC_I16X8_EXTEND_LOW_I8X16_S, BC_I16X8_MUL},
                {BC_I16X8_EXTMUL_HIGH_I8X16_S, BC_I16X8_EXTEND_HIGH_I8X16_S, BC_I16X8_MUL},
                {BC_I16X8_EXTMUL_LOW_I8X16_U, BC_I16X8_EXTEND_LOW_I8X16_U, BC_I16X8_MUL},
                {BC_I16X8_EXTMUL_HIGH_I8X16_U, BC_I16X8_EXTEND_HIGH_I8X16_U, BC_I16X8_MUL},
                {BC_I32X4_EXTMUL_LOW_I16X8_S, BC_I32X4_EXTEND_LOW_I16X8_S, BC_I32X4_MUL},
                {BC_I32X4_EXTMUL_HIGH_I16X8_S, BC_I32X4_EXTEND_HIGH_I16X8_S, BC_I32X4_MUL},
                {BC_I32X4_EXTMUL_LOW_I16X8_U, BC_I32X4_EXTEND_LOW_I16X8_U, BC_I32X4_MUL},
                {BC_I32X4_EXTMUL_HIGH_I16X8_U, BC_I32X4_EXTEND_HIGH_I16X8_U, BC_I32X4_MUL},
                {BC_I64X2_EXTMUL_LOW_I32X4_S, BC_I64X2_EXTEND_LOW_I32X4_S, 0},
                {BC_I64X2_EXTMUL_HIGH_I32X4_S, BC_I64X2_EXTEND_HIGH_I32X4_S, 0},
                {BC_I64X2_EXTMUL_LOW_I32X4_U, BC_I64X2_EXTEND_LOW_I32X4_U, 0},
                {BC_I64X2_EXTMUL_HIGH_I32X4_U, BC_I64X2_EXTEND_HIGH_I32X4_U, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op == op)
            return *out = multiply_extended(b, rows[i].extend, rows[i].multiply, x, y), true;
    return false;
}

static bool binary(struct build *b, uint16_t op, uint32_t x, uint32_t y, uint32_t *out) {
    switch (op) {
    case BC_I8X16_SHL:
    case BC_I8X16_SHR_S:
    case BC_I8X16_SHR_U: *out = shift_bytes(b, op, x, y); return true;
    case BC_I64X2_SHR_S: *out = shift_quads_signed(b, x, y); return true;
    case BC_I64X2_MUL: *out = multiply_quads(b, x, y); return true;
    case BC_I16X8_Q15MULR_SAT_S: *out = multiply_q15(b, x, y); return true;
    case BC_F32X4_MIN: *out = minimum(b, x, y, false); return true;
    case BC_F32X4_MAX: *out = maximum(b, x, y, false); return true;
    case BC_F64X2_MIN: *out = minimum(b, x, y, true); return true;
    case BC_F64X2_MAX: *out = maximum(b, x, y, true); return true;
    default: return extended_product(b, op, x, y, out);
    }
}

/* Relaxed instructions that are not one of x86's: the top bit of a lane selects it, nothing is fused. */
static bool ternary(struct build *b, uint16_t op, uint32_t x, uint32_t y, uint32_t z, bool native,
                    uint32_t *out) {
    static const uint16_t less[] = {BC_I8X16_LT_S, BC_I16X8_LT_S, BC_I32X4_LT_S, BC_I64X2_LT_S};
    bool wide = op == BC_F64X2_RELAXED_MADD || op == BC_F64X2_RELAXED_NMADD;
    switch (op) {
    case BC_F32X4_RELAXED_NMADD:
    case BC_F64X2_RELAXED_NMADD: x = one(b, wide ? BC_F64X2_NEG : BC_F32X4_NEG, x); /* fall through */
    case BC_F32X4_RELAXED_MADD:
    case BC_F64X2_RELAXED_MADD:
        *out =
            two(b, wide ? BC_F64X2_ADD : BC_F32X4_ADD, two(b, wide ? BC_F64X2_MUL : BC_F32X4_MUL, x, y), z);
        return true;
    case BC_I8X16_RELAXED_LANESELECT:
    case BC_I16X8_RELAXED_LANESELECT:
    case BC_I32X4_RELAXED_LANESELECT:
    case BC_I64X2_RELAXED_LANESELECT:
        if (native) z = two(b, less[op - BC_I8X16_RELAXED_LANESELECT], z, zero(b));
        *out = three(b, BC_V128_BITSELECT, x, y, z);
        return true;
    case BC_I32X4_RELAXED_DOT_I8X16_I7X16_ADD_S: {
        uint32_t dot = native ? two(b, BC_I16X8_RELAXED_DOT_I8X16_I7X16_S, x, y) : dot_signed(b, x, y);
        *out = two(b, BC_I32X4_ADD, add_pairs(b, BC_I32X4_EXTADD_PAIRWISE_I16X8_S, dot), z);
        return true;
    }
    default: return false;
    }
}

/* What a relaxed instruction is under the deterministic profile, or as what x86 has nothing for. */
static uint16_t strict(uint16_t op, bool native) {
    switch (op) {
    case BC_I32X4_RELAXED_TRUNC_F32X4_U: return BC_I32X4_TRUNC_SAT_F32X4_U;
    case BC_I32X4_RELAXED_TRUNC_F64X2_U_ZERO: return BC_I32X4_TRUNC_SAT_F64X2_U_ZERO;
    default: break;
    }
    if (native) return op;
    switch (op) {
    case BC_I8X16_RELAXED_SWIZZLE: return BC_I8X16_SWIZZLE;
    case BC_I32X4_RELAXED_TRUNC_F32X4_S: return BC_I32X4_TRUNC_SAT_F32X4_S;
    case BC_I32X4_RELAXED_TRUNC_F64X2_S_ZERO: return BC_I32X4_TRUNC_SAT_F64X2_S_ZERO;
    case BC_F32X4_RELAXED_MIN: return BC_F32X4_MIN;
    case BC_F32X4_RELAXED_MAX: return BC_F32X4_MAX;
    case BC_F64X2_RELAXED_MIN: return BC_F64X2_MIN;
    case BC_F64X2_RELAXED_MAX: return BC_F64X2_MAX;
    case BC_I16X8_RELAXED_Q15MULR_S: return BC_I16X8_Q15MULR_SAT_S;
    default: return op;
    }
}

static bool vector(struct build *b, const struct bc_instr *in) {
    const char *signature = bc_op_infos[in->op].signature;
    bool native = !b->f->module->engine->config.relaxed_deterministic;
    uint16_t op = strict((uint16_t)in->op, native);
    size_t n = (size_t)(strchr(signature, ':') - signature);
    uint32_t operands[3] = {0}, out;
    if (n > 3 || b->n_stack < n) return false;
    for (size_t i = 0; i < n; i++) operands[i] = b->stack[b->n_stack - n + i];
    bool done = n == 1   ? unary(b, op, operands[0], &out)
                : n == 2 ? binary(b, op, operands[0], operands[1], &out)
                : n == 3 ? ternary(b, op, operands[0], operands[1], operands[2], native, &out)
                         : false;
    if (!done && op == BC_I16X8_RELAXED_DOT_I8X16_I7X16_S && !native) {
        out = dot_signed(b, operands[0], operands[1]);
        done = true;
    }
    if (!done && op != in->op) {
        out = n == 1 ? one(b, op, operands[0]) : two(b, op, operands[0], operands[1]);
        done = true;
    }
    if (!done) return false;
    b->n_stack -= n;
    build_push(b, out);
    return true;
}

static uint32_t quad(struct build *b, uint16_t op, uint32_t x, uint32_t y) {
    return ir_binary(b->f, b->block, op, IR_I64, x, y);
}

/* Low halves first. A carry is a sum below what was added to, a borrow a minuend below what is taken off. */
static void add_or_subtract_128(struct build *b, bool subtract) {
    uint32_t high_y = build_pop(b), y = build_pop(b), high_x = build_pop(b), x = build_pop(b);
    uint16_t op = subtract ? BC_I64_SUB : BC_I64_ADD;
    uint32_t low = quad(b, op, x, y);
    uint32_t carry = ir_binary(b->f, b->block, BC_I64_LT_U, IR_I32, subtract ? x : low, subtract ? y : x);
    carry = ir_unary(b->f, b->block, BC_I64_EXTEND_I32_U, IR_I64, carry);
    build_push(b, low);
    build_push(b, quad(b, op, quad(b, op, high_x, high_y), carry));
}

static void multiply_wide(struct build *b, bool is_signed) {
    uint32_t y = build_pop(b), x = build_pop(b);
    uint32_t high = build_new(b, IR_MUL_HIGH, IR_I64);
    if (b->f->failed) return;
    b->f->ins[high].a = x;
    b->f->ins[high].b = y;
    b->f->ins[high].lane = is_signed;
    build_push(b, quad(b, BC_I64_MUL, x, y));
    build_push(b, high);
}

bool build_parts(struct build *b, const struct bc_instr *in) {
    switch (in->op) {
    case BC_I64_ADD128:
    case BC_I64_SUB128: add_or_subtract_128(b, in->op == BC_I64_SUB128); return true;
    case BC_I64_MUL_WIDE_S:
    case BC_I64_MUL_WIDE_U: multiply_wide(b, in->op == BC_I64_MUL_WIDE_S); return true;
    default: break;
    }
    if (in->op < BC_V128_LOAD || in->op > BC_I32X4_RELAXED_DOT_I8X16_I7X16_ADD_S ||
        bc_op_infos[in->op].access)
        return false;
    if (!bc_op_infos[in->op].signature || bc_op_infos[in->op].immediates != BC_IMM_NONE) return false;
    return vector(b, in);
}
