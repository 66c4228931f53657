/* jit/divide.c: division by a constant, as multiplication by its reciprocal.
 *
 * source  Granlund, Montgomery: "Division by Invariant Integers using Multiplication", 1994 */
#include "jit/ir.h"

static uint32_t op2(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a, uint64_t c) {
    return ir_binary(f, block, op, type, a, ir_const(f, type, c));
}

static uint32_t high_product(struct ir_func *f, uint32_t block, uint32_t a, uint64_t c, bool is_signed) {
    uint32_t by = ir_const(f, IR_I64, c), v = ir_new(f, block, IR_MUL_HIGH, IR_I64);
    if (f->failed) return 0;
    f->ins[v].a = a;
    f->ins[v].b = by;
    f->ins[v].lane = is_signed;
    return v;
}

/* ---- unsigned ---- */

/* With N bits: m = 2^(N + s) / d rounded up, s = floor(log2 d), has N bits. It is exact enough when its excess over the
 * quotient, times d, is at most 2^s; else the factor has a bit more, which is added behind the multiplication. */
static bool unsigned_factor(uint64_t d, bool wide, unsigned *s, uint64_t *m) {
    *s = 63 - (unsigned)__builtin_clzll(d);
    unsigned n = wide ? 64 : 32;
    unsigned __int128 power = (unsigned __int128)1 << (n + *s); /* n + s <= 127 */
    *m = (uint64_t)(power / d) + 1;
    unsigned __int128 excess = (unsigned __int128)*m * d - power;
    return excess <= (unsigned __int128)1 << *s;
}

/* The same with a bit more, without that bit: 2^(N + s + 1) / d rounded up, minus 2^N. */
static uint64_t longer_factor(uint64_t d, bool wide, unsigned s) {
    unsigned n = wide ? 64 : 32;
    unsigned __int128 rest = ((unsigned __int128)1 << (s + 1)) - d; /* 2^N times this, by d */
    return (uint64_t)((rest << n) / d) + 1;
}

static uint32_t high_unsigned(struct ir_func *f, uint32_t block, uint32_t a, uint64_t m, unsigned shift,
                              bool wide) {
    if (wide) return op2(f, block, BC_I64_SHR_U, IR_I64, high_product(f, block, a, m, false), shift);
    uint32_t x = ir_unary(f, block, BC_I64_EXTEND_I32_U, IR_I64, a);
    uint32_t product = op2(f, block, BC_I64_MUL, IR_I64, x, m);
    return ir_unary(f, block, BC_I32_WRAP_I64, IR_I32,
                    op2(f, block, BC_I64_SHR_U, IR_I64, product, 32 + shift));
}

static uint32_t quotient_unsigned(struct ir_func *f, uint32_t block, unsigned type, uint32_t a, uint64_t d,
                                  bool wide) {
    uint16_t base = wide ? BC_I64_ADD - BC_I32_ADD : 0;
    unsigned s;
    uint64_t m;
    if (unsigned_factor(d, wide, &s, &m)) return high_unsigned(f, block, a, m, s, wide);
    /* ((a - h) / 2 + h) / 2^s without an overflow */
    uint32_t h = high_unsigned(f, block, a, longer_factor(d, wide, s), 0, wide);
    uint32_t rest = ir_binary(f, block, (uint16_t)(BC_I32_SUB + base), type, a, h);
    uint32_t half = op2(f, block, (uint16_t)(BC_I32_SHR_U + base), type, rest, 1);
    uint32_t sum = ir_binary(f, block, (uint16_t)(BC_I32_ADD + base), type, half, h);
    return op2(f, block, (uint16_t)(BC_I32_SHR_U + base), type, sum, s);
}

/* ---- signed ---- */

/* For 2 <= d < 2^(N - 1), no power of two: m = 2^(N + s) / d rounded up with s = floor(log2 d) has N bits; the product's
 * upper half by 2^s is the quotient rounded down, of negative numbers minus one. */
static uint32_t quotient_signed(struct ir_func *f, uint32_t block, unsigned type, uint32_t a, uint64_t d,
                                bool wide) {
    unsigned s = 63 - (unsigned)__builtin_clzll(d), n = wide ? 64 : 32;
    uint64_t m = (uint64_t)(((unsigned __int128)1 << (n + s)) / d) + 1;
    uint32_t down;
    if (wide) { /* m's top bit is set, so that as a signed factor it is m - 2^64 */
        uint32_t high = high_product(f, block, a, m, true);
        high = ir_binary(f, block, BC_I64_ADD, IR_I64, high, a);
        down = op2(f, block, BC_I64_SHR_S, IR_I64, high, s);
    } else {
        uint32_t x = ir_unary(f, block, BC_I64_EXTEND_I32_S, IR_I64, a);
        uint32_t product = op2(f, block, BC_I64_MUL, IR_I64, x, m);
        down =
            ir_unary(f, block, BC_I32_WRAP_I64, IR_I32, op2(f, block, BC_I64_SHR_S, IR_I64, product, 32 + s));
    }
    uint32_t sign = op2(f, block, wide ? BC_I64_SHR_U : BC_I32_SHR_U, type, a, n - 1);
    return ir_binary(f, block, wide ? BC_I64_ADD : BC_I32_ADD, type, down, sign);
}

/* Negative numbers are rounded up, to zero, by adding 2^k - 1 first. */
static uint32_t sum_for_shift(struct ir_func *f, uint32_t block, unsigned type, uint32_t a, unsigned k,
                              bool wide) {
    uint16_t base = wide ? BC_I64_ADD - BC_I32_ADD : 0;
    unsigned n = wide ? 64 : 32;
    uint32_t sign = k == 1 ? a : op2(f, block, (uint16_t)(BC_I32_SHR_S + base), type, a, n - 1);
    uint32_t bias = op2(f, block, (uint16_t)(BC_I32_SHR_U + base), type, sign, n - k);
    return ir_binary(f, block, (uint16_t)(BC_I32_ADD + base), type, a, bias);
}

uint32_t ir_divide(struct ir_func *f, uint32_t block, uint16_t op, unsigned type, uint32_t a, uint64_t d,
                   bool wide) {
    uint16_t base = wide ? BC_I64_ADD - BC_I32_ADD : 0, plain = (uint16_t)(op - base);
    bool is_signed = plain == BC_I32_DIV_S || plain == BC_I32_REM_S;
    bool rest = plain == BC_I32_REM_S || plain == BC_I32_REM_U;
    bool power = !(d & (d - 1));
    unsigned k = d ? 63 - (unsigned)__builtin_clzll(d) : 0;
    uint16_t subtract = (uint16_t)(BC_I32_SUB + base);
    if (d < 2 || (is_signed && d >> (wide ? 63 : 31))) return IR_NONE;
    if (power && !is_signed)
        return rest ? op2(f, block, (uint16_t)(BC_I32_AND + base), type, a, d - 1)
                    : op2(f, block, (uint16_t)(BC_I32_SHR_U + base), type, a, k);
    if (power) {
        uint32_t sum = sum_for_shift(f, block, type, a, k, wide);
        if (!rest) return op2(f, block, (uint16_t)(BC_I32_SHR_S + base), type, sum, k);
        uint32_t whole = op2(f, block, (uint16_t)(BC_I32_AND + base), type, sum, ~(d - 1));
        return ir_binary(f, block, subtract, type, a, whole);
    }
    uint32_t q = is_signed ? quotient_signed(f, block, type, a, d, wide)
                           : quotient_unsigned(f, block, type, a, d, wide);
    if (!rest) return q;
    uint32_t whole = op2(f, block, (uint16_t)(BC_I32_MUL + base), type, q, d);
    return ir_binary(f, block, subtract, type, a, whole);
}
