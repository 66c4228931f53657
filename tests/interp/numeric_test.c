/* tests/interp/numeric_test.c: every scalar numeric operation against its plain meaning, at all edges. */
#include "tests/interp/numeric_reference.h"
#include "interp/numeric.h"

#define CHECK(condition, name, a, b)                                                                         \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail_msg("%s(%#llx, %#llx)", name, (unsigned long long)(a), (unsigned long long)(b));            \
    } while (0)

/* Edges, then random numbers. */
#define EACH_INT(U, x)                                                                                       \
    for (size_t x##_at = 0; x##_at < COUNT(ref_ints) + 64; x##_at++)                                         \
        for (U x = (U)(x##_at < COUNT(ref_ints) ? ref_ints[x##_at] : ref_random()), x##_once = 1; x##_once;  \
             x##_once = 0)
#define EACH_F32(x)                                                                                          \
    for (size_t x##_at = 0; x##_at < COUNT(ref_f32_bits) + 100; x##_at++)                                    \
        for (uint32_t x = x##_at < COUNT(ref_f32_bits) ? ref_f32_bits[x##_at] : (uint32_t)ref_random(),      \
                      x##_once = 1;                                                                          \
             x##_once; x##_once = 0)
#define EACH_F64(x)                                                                                          \
    for (size_t x##_at = 0; x##_at < COUNT(ref_f64_bits) + 100; x##_at++)                                    \
        for (uint64_t x = x##_at < COUNT(ref_f64_bits) ? ref_f64_bits[x##_at] : ref_random(), x##_once = 1;  \
             x##_once; x##_once = 0)

/* ---- integers ---- */

static uint64_t rotate_by_steps(uint64_t a, unsigned n, unsigned bits) {
    for (; n; n--) a = (a << 1 | a >> (bits - 1)) & (bits == 64 ? UINT64_MAX : UINT32_MAX);
    return a;
}

#define INT2(N, op, expression) CHECK(op_##N##_##op(a, b) == (expression), #N "." #op, a, b)
#define DIVISION(N, U, op, overflow, expression)                                                             \
    do {                                                                                                     \
        U out = 0;                                                                                           \
        enum rt_trap want = b == 0       ? RT_TRAP_DIVIDE_BY_ZERO                                            \
                            : (overflow) ? RT_TRAP_INTEGER_OVERFLOW                                          \
                                         : RT_TRAP_NONE;                                                     \
        CHECK(op_##N##_##op(a, b, &out) == want, #N "." #op " trap", a, b);                                  \
        if (!want) CHECK(out == (U)(expression), #N "." #op, a, b);                                          \
    } while (0)
#define INTEGERS(N, U, S, bits, MIN)                                                                         \
    static void N##_operations_are_those_of_wide_integers(void **state) {                                    \
        (void)state;                                                                                         \
        EACH_INT(U, a) EACH_INT(U, b) {                                                                      \
            const ref_int sa = (S)a, sb = (S)b, ua = a, ub = b;                                              \
            const unsigned n = (unsigned)(b % bits);                                                         \
            INT2(N, add, (U)(ua + ub));                                                                      \
            INT2(N, sub, (U)(ua - ub));                                                                      \
            INT2(N, mul, (U)((unsigned __int128)ua * (unsigned __int128)ub));                                \
            INT2(N, and, (U)(ua & ub));                                                                      \
            INT2(N, or, (U)(ua | ub));                                                                       \
            INT2(N, xor, (U)(ua ^ ub));                                                                      \
            INT2(N, shl, (U)((unsigned __int128)ua << n));                                                   \
            INT2(N, shr_u, (U)(ua >> n));                                                                    \
            INT2(N, shr_s, (U)(sa >> n));                                                                    \
            INT2(N, rotl, rotate_by_steps(a, n, bits));                                                      \
            INT2(N, rotr, rotate_by_steps(a, (bits - n) % bits, bits));                                      \
            INT2(N, eq, ua == ub);                                                                           \
            INT2(N, ne, ua != ub);                                                                           \
            INT2(N, lt_s, sa < sb);                                                                          \
            INT2(N, lt_u, ua < ub);                                                                          \
            INT2(N, gt_s, sa > sb);                                                                          \
            INT2(N, gt_u, ua > ub);                                                                          \
            INT2(N, le_s, sa <= sb);                                                                         \
            INT2(N, le_u, ua <= ub);                                                                         \
            INT2(N, ge_s, sa >= sb);                                                                         \
            INT2(N, ge_u, ua >= ub);                                                                         \
            DIVISION(N, U, div_s, sa == (MIN) && sb == -1, sa / sb);                                         \
            DIVISION(N, U, div_u, false, ua / ub);                                                           \
            DIVISION(N, U, rem_s, false, sa % sb);                                                           \
            DIVISION(N, U, rem_u, false, ua % ub);                                                           \
        }                                                                                                    \
        EACH_INT(U, c) {                                                                                     \
            unsigned ones = 0, leading = 0, trailing = 0;                                                    \
            for (unsigned i = 0; i < bits; i++) ones += (unsigned)(c >> i & 1);                              \
            while (leading < bits && !(c >> (bits - 1 - leading) & 1)) leading++;                            \
            while (trailing < bits && !(c >> trailing & 1)) trailing++;                                      \
            CHECK(op_##N##_popcnt(c) == ones, #N ".popcnt", c, 0);                                           \
            CHECK(op_##N##_clz(c) == leading, #N ".clz", c, 0);                                              \
            CHECK(op_##N##_ctz(c) == trailing, #N ".ctz", c, 0);                                             \
            CHECK(op_##N##_eqz(c) == (c == 0), #N ".eqz", c, 0);                                             \
            CHECK(op_##N##_extend8_s(c) == (U)((S)((c & 0xFF) ^ 0x80) - 0x80), #N ".extend8_s", c, 0);       \
            CHECK(op_##N##_extend16_s(c) == (U)((S)((c & 0xFFFF) ^ 0x8000) - 0x8000), #N ".extend16_s", c,   \
                  0);                                                                                        \
        }                                                                                                    \
    }
INTEGERS(i32, uint32_t, int32_t, 32, INT32_MIN)
INTEGERS(i64, uint64_t, int64_t, 64, INT64_MIN)

static void widths_convert_by_their_low_bits_and_sign(void **state) {
    (void)state;
    EACH_INT(uint64_t, a) {
        uint64_t low = a % (UINT64_C(1) << 32), sign = low >= 0x80000000 ? 0xFFFFFFFF00000000 : 0;
        CHECK(op_i32_wrap_i64(a) == low, "i32.wrap_i64", a, 0);
        CHECK(op_i64_extend_i32_u((uint32_t)a) == low, "i64.extend_i32_u", a, 0);
        CHECK(op_i64_extend_i32_s((uint32_t)a) == (low | sign), "i64.extend_i32_s", a, 0);
        CHECK(op_i64_extend32_s(a) == (low | sign), "i64.extend32_s", a, 0);
    }
}

/* ---- floats ---- */

#define FLOAT2(N, w, op)                                                                                     \
    CHECK(ref_same##w(ref_bits##w(ref_##N##_##op(x, y)), ref_bits##w(op_##N##_##op(x, y)), canonical),       \
          #N "." #op, a, b)
#define FLOAT1(N, w, op, expression)                                                                         \
    CHECK(ref_same##w(ref_bits##w(expression), ref_bits##w(op_##N##_##op(x)), canonical), #N "." #op, a, 0)
#define COMPARES(N)                                                                                          \
    CHECK(op_##N##_eq(x, y) == (ordered && x == y), #N ".eq", a, b);                                         \
    CHECK(op_##N##_ne(x, y) == !(ordered && x == y), #N ".ne", a, b);                                        \
    CHECK(op_##N##_lt(x, y) == (ordered && x < y), #N ".lt", a, b);                                          \
    CHECK(op_##N##_gt(x, y) == (ordered && x > y), #N ".gt", a, b);                                          \
    CHECK(op_##N##_le(x, y) == (ordered && x <= y), #N ".le", a, b);                                         \
    CHECK(op_##N##_ge(x, y) == (ordered && x >= y), #N ".ge", a, b)
#define FLOATS(N, w, F, EACH, REF, SIGN, SQRT)                                                               \
    static void N##_operations_round_once_and_canonicalise_nans(void **state) {                              \
        (void)state;                                                                                         \
        EACH(a) EACH(b) {                                                                                    \
            const F x = REF(a), y = REF(b);                                                                  \
            const bool canonical = ref_nan_free##w(a) && ref_nan_free##w(b);                                 \
            const bool ordered = !REF_NAN##w(a) && !REF_NAN##w(b);                                           \
            FLOAT2(N, w, add);                                                                               \
            FLOAT2(N, w, sub);                                                                               \
            FLOAT2(N, w, mul);                                                                               \
            FLOAT2(N, w, div);                                                                               \
            FLOAT2(N, w, min);                                                                               \
            FLOAT2(N, w, max);                                                                               \
            COMPARES(N);                                                                                     \
            CHECK(ref_bits##w(op_##N##_copysign(x, y)) == ((a & ~(SIGN)) | (b & (SIGN))), #N ".copysign", a, \
                  b);                                                                                        \
        }                                                                                                    \
        EACH(a) {                                                                                            \
            const F x = REF(a);                                                                              \
            const bool canonical = ref_nan_free##w(a);                                                       \
            FLOAT1(N, w, ceil, (F)ref_ceil((double)x));                                                      \
            FLOAT1(N, w, floor, (F)ref_floor((double)x));                                                    \
            FLOAT1(N, w, trunc, (F)ref_trunc((double)x));                                                    \
            FLOAT1(N, w, nearest, (F)ref_nearest((double)x));                                                \
            FLOAT1(N, w, sqrt, SQRT(x));                                                                     \
            CHECK(ref_bits##w(op_##N##_abs(x)) == (a & ~(SIGN)), #N ".abs", a, 0);                           \
            CHECK(ref_bits##w(op_##N##_neg(x)) == (a ^ (SIGN)), #N ".neg", a, 0);                            \
        }                                                                                                    \
    }
FLOATS(f32, 32, float, EACH_F32, ref_f32, UINT32_C(1) << 31, sqrtf)
FLOATS(f64, 64, double, EACH_F64, ref_f64, UINT64_C(1) << 63, sqrt)

static void demotion_and_promotion_keep_value_and_nan(void **state) {
    (void)state;
    EACH_F64(a) {
        float want = REF_NAN64(a) ? NAN : (float)(ref_wide)ref_f64(a);
        CHECK(ref_same32(ref_bits32(want), ref_bits32(op_f32_demote_f64(ref_f64(a))), ref_nan_free64(a)),
              "f32.demote_f64", a, 0);
    }
    EACH_F32(a) {
        double want = REF_NAN32(a) ? NAN : (double)(ref_wide)ref_f32(a);
        CHECK(ref_same64(ref_bits64(want), ref_bits64(op_f64_promote_f32(ref_f32(a))), ref_nan_free32(a)),
              "f64.promote_f32", a, 0);
    }
}

#define CONVERT(F, w, name, operand)                                                                         \
    CHECK(ref_bits##w(op_##name) == ref_bits##w((F)(ref_wide)(operand)), #name, a, 0)
static void integers_convert_to_the_nearest_float(void **state) {
    (void)state;
    EACH_INT(uint64_t, a) {
        const uint32_t b = (uint32_t)a;
        CONVERT(float, 32, f32_convert_i32_s(b), (int32_t)b);
        CONVERT(float, 32, f32_convert_i32_u(b), b);
        CONVERT(float, 32, f32_convert_i64_s(a), (int64_t)a);
        CONVERT(float, 32, f32_convert_i64_u(a), a);
        CONVERT(double, 64, f64_convert_i32_s(b), (int32_t)b);
        CONVERT(double, 64, f64_convert_i32_u(b), b);
        CONVERT(double, 64, f64_convert_i64_s(a), (int64_t)a);
        CONVERT(double, 64, f64_convert_i64_u(a), a);
    }
}

#define TRUNCATE(I, U, F, sign, low, high)                                                                   \
    do {                                                                                                     \
        bool fits;                                                                                           \
        U out = 0, want = (U)ref_truncate((double)x, low, high, &fits);                                      \
        enum rt_trap trap = fits     ? RT_TRAP_NONE                                                          \
                            : x != x ? RT_TRAP_INVALID_CONVERSION                                            \
                                     : RT_TRAP_INTEGER_OVERFLOW;                                             \
        CHECK(op_##I##_trunc_##F##_##sign(x, &out) == trap, #I ".trunc_" #F "_" #sign " trap", a, 0);        \
        if (fits) CHECK(out == want, #I ".trunc_" #F "_" #sign, a, 0);                                       \
        CHECK(op_##I##_trunc_sat_##F##_##sign(x) == want, #I ".trunc_sat_" #F "_" #sign, a, 0);              \
    } while (0)
#define TRUNCATE_ALL(F)                                                                                      \
    TRUNCATE(i32, uint32_t, F, s, INT32_MIN, INT32_MAX);                                                     \
    TRUNCATE(i32, uint32_t, F, u, 0, UINT32_MAX);                                                            \
    TRUNCATE(i64, uint64_t, F, s, INT64_MIN, INT64_MAX);                                                     \
    TRUNCATE(i64, uint64_t, F, u, 0, UINT64_MAX)
static void floats_truncate_trap_or_saturate_at_the_bounds(void **state) {
    (void)state;
    EACH_F32(a) {
        const float x = ref_f32(a);
        TRUNCATE_ALL(f32);
    }
    EACH_F64(a) {
        const double x = ref_f64(a);
        TRUNCATE_ALL(f64);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i32_operations_are_those_of_wide_integers),
        cmocka_unit_test(i64_operations_are_those_of_wide_integers),
        cmocka_unit_test(widths_convert_by_their_low_bits_and_sign),
        cmocka_unit_test(f32_operations_round_once_and_canonicalise_nans),
        cmocka_unit_test(f64_operations_round_once_and_canonicalise_nans),
        cmocka_unit_test(demotion_and_promotion_keep_value_and_nan),
        cmocka_unit_test(integers_convert_to_the_nearest_float),
        cmocka_unit_test(floats_truncate_trap_or_saturate_at_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
