/* tests/interp/simd_test.c: every vector operation against a loop over its lanes. */
#include "tests/interp/numeric_reference.h"
#include "interp/simd.h"

union vec {
    uint8_t u8[16];
    int8_t s8[16];
    uint16_t u16[8];
    int16_t s16[8];
    uint32_t u32[4];
    int32_t s32[4];
    uint64_t u64[2];
    int64_t s64[2];
    float f32[4];
    double f64[2];
};

static union vec get(v128_t v) {
    union vec r;
    memcpy(&r, &v, sizeof r);
    return r;
}
static v128_t put(const union vec *v) {
    v128_t r;
    memcpy(&r, v, sizeof r);
    return r;
}

/* ---- operands: lanes at the edges of each width, and random bits ---- */

#define N_VECTORS 260
static union vec vectors[N_VECTORS];

static int make_vectors(void **state) {
    (void)state;
    for (unsigned i = 0; i < N_VECTORS; i++) {
        union vec *v = &vectors[i];
        for (unsigned k = 0; k < 2; k++) v->u64[k] = ref_random();
        for (unsigned k = 0; k < 16 && i % 6 == 0; k++)
            v->u8[k] = (uint8_t)ref_ints[ref_random() % COUNT(ref_ints)];
        for (unsigned k = 0; k < 8 && i % 6 == 1; k++)
            v->u16[k] = (uint16_t)ref_ints[ref_random() % COUNT(ref_ints)];
        for (unsigned k = 0; k < 4 && i % 6 == 2; k++)
            v->u32[k] = (uint32_t)ref_ints[ref_random() % COUNT(ref_ints)];
        for (unsigned k = 0; k < 2 && i % 6 == 3; k++)
            v->u64[k] = ref_ints[(i / 6 * 2 + k) % COUNT(ref_ints)];
        for (unsigned k = 0; k < 4 && i % 6 == 4; k++)
            v->u32[k] = ref_f32_bits[(i / 6 * 4 + k) % COUNT(ref_f32_bits)];
        for (unsigned k = 0; k < 2 && i % 6 == 5; k++)
            v->u64[k] = ref_f64_bits[(i / 6 * 2 + k) % COUNT(ref_f64_bits)];
    }
    memset(&vectors[6], 0, 16);
    memset(&vectors[7], 0xFF, 16);
    memset(&vectors[8], 0x80, 16);
    return 0;
}

static void same(const char *name, const union vec *want, v128_t got, const union vec *a,
                 const union vec *b) {
    union vec g = get(got);
    if (memcmp(want, &g, sizeof g))
        fail_msg("%s: %016llx%016llx, %016llx%016llx: got %016llx%016llx, want %016llx%016llx", name,
                 (unsigned long long)a->u64[1], (unsigned long long)a->u64[0], (unsigned long long)b->u64[1],
                 (unsigned long long)b->u64[0], (unsigned long long)g.u64[1], (unsigned long long)g.u64[0],
                 (unsigned long long)want->u64[1], (unsigned long long)want->u64[0]);
}

#define EACH(x)   for (const union vec *x = vectors; x < vectors + N_VECTORS; x++)
#define EACH_PAIR EACH(a) EACH(b)
#define LANES(n)  for (unsigned i = 0; i < (n); i++)

/* One lane of the result from lanes of the operands, all of them named in the expression. */
#define UNARY(op, n, out, expression)                                                                        \
    EACH(a) {                                                                                                \
        union vec want;                                                                                      \
        LANES(n) want.out[i] = (__typeof__(want.out[0]))(expression);                                        \
        same(#op, &want, op_##op(put(a)), a, a);                                                             \
    }
#define BINARY(op, n, out, expression)                                                                       \
    EACH_PAIR {                                                                                              \
        union vec want;                                                                                      \
        LANES(n) want.out[i] = (__typeof__(want.out[0]))(expression);                                        \
        same(#op, &want, op_##op(put(a), put(b)), a, b);                                                     \
    }
#define SHIFT(op, n, out, expression)                                                                        \
    EACH(a) for (uint32_t c = 0; c < 130; c += c < 66 ? 1 : 63) {                                            \
        union vec want;                                                                                      \
        const unsigned s = c % (128 / (n));                                                                  \
        LANES(n) want.out[i] = (__typeof__(want.out[0]))(expression);                                        \
        same(#op, &want, op_##op(put(a), c), a, a);                                                          \
    }
#define TEST(op, expression)                                                                                 \
    EACH(a) {                                                                                                \
        uint32_t want = (uint32_t)(expression);                                                              \
        if (op_##op(put(a)) != want) fail_msg(#op);                                                          \
    }

static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

/* ---- integers ---- */

#define MASK(condition) (-(int64_t)(condition))
#define COMPARE_SIGNED(shape, n, u, s)                                                                       \
    BINARY(shape##_eq, n, u, MASK(a->u[i] == b->u[i]))                                                       \
    BINARY(shape##_ne, n, u, MASK(a->u[i] != b->u[i]))                                                       \
    BINARY(shape##_lt_s, n, u, MASK(a->s[i] < b->s[i]))                                                      \
    BINARY(shape##_gt_s, n, u, MASK(a->s[i] > b->s[i]))                                                      \
    BINARY(shape##_le_s, n, u, MASK(a->s[i] <= b->s[i]))                                                     \
    BINARY(shape##_ge_s, n, u, MASK(a->s[i] >= b->s[i]))
#define COMPARE_UNSIGNED(shape, n, u)                                                                        \
    BINARY(shape##_lt_u, n, u, MASK(a->u[i] < b->u[i]))                                                      \
    BINARY(shape##_gt_u, n, u, MASK(a->u[i] > b->u[i]))                                                      \
    BINARY(shape##_le_u, n, u, MASK(a->u[i] <= b->u[i]))                                                     \
    BINARY(shape##_ge_u, n, u, MASK(a->u[i] >= b->u[i]))
static void integer_lanes_compare_to_masks(void **state) {
    (void)state;
    COMPARE_SIGNED(i8x16, 16, u8, s8)
    COMPARE_SIGNED(i16x8, 8, u16, s16)
    COMPARE_SIGNED(i32x4, 4, u32, s32)
    COMPARE_SIGNED(i64x2, 2, u64, s64)
    COMPARE_UNSIGNED(i8x16, 16, u8)
    COMPARE_UNSIGNED(i16x8, 8, u16)
    COMPARE_UNSIGNED(i32x4, 4, u32)
}

static void integer_lanes_wrap_and_shift_modulo_their_width(void **state) {
    (void)state;
#define WRAP(shape, n, u, signed_)                                                                           \
    UNARY(shape##_neg, n, u, 0 - (uint64_t)a->u[i])                                                          \
    UNARY(shape##_abs, n, u, a->signed_[i] < 0 ? 0 - (uint64_t)a->u[i] : a->u[i])                            \
    BINARY(shape##_add, n, u, (uint64_t)a->u[i] + b->u[i])                                                   \
    BINARY(shape##_sub, n, u, (uint64_t)a->u[i] - b->u[i])                                                   \
    SHIFT(shape##_shl, n, u, (uint64_t)a->u[i] << s)                                                         \
    SHIFT(shape##_shr_u, n, u, a->u[i] >> s)                                                                 \
    SHIFT(shape##_shr_s, n, u, a->signed_[i] >> s)
    WRAP(i8x16, 16, u8, s8)
    WRAP(i16x8, 8, u16, s16)
    WRAP(i32x4, 4, u32, s32)
    WRAP(i64x2, 2, u64, s64)
    BINARY(i16x8_mul, 8, u16, (uint32_t)a->u16[i] * b->u16[i])
    BINARY(i32x4_mul, 4, u32, (uint64_t)a->u32[i] * b->u32[i])
    BINARY(i64x2_mul, 2, u64, (unsigned __int128)a->u64[i] * b->u64[i])
}

#define MIN(x, y) ((x) < (y) ? (x) : (y))
#define MAX(x, y) ((x) > (y) ? (x) : (y))
#define BOUNDED(shape, n, u, s)                                                                              \
    BINARY(shape##_min_s, n, s, MIN(a->s[i], b->s[i]))                                                       \
    BINARY(shape##_min_u, n, u, MIN(a->u[i], b->u[i]))                                                       \
    BINARY(shape##_max_s, n, s, MAX(a->s[i], b->s[i]))                                                       \
    BINARY(shape##_max_u, n, u, MAX(a->u[i], b->u[i]))
#define SATURATING(shape, n, u, s, low, high, top)                                                           \
    BINARY(shape##_add_sat_s, n, s, clamp(a->s[i] + b->s[i], low, high))                                     \
    BINARY(shape##_sub_sat_s, n, s, clamp(a->s[i] - b->s[i], low, high))                                     \
    BINARY(shape##_add_sat_u, n, u, clamp(a->u[i] + b->u[i], 0, top))                                        \
    BINARY(shape##_sub_sat_u, n, u, clamp(a->u[i] - b->u[i], 0, top))                                        \
    BINARY(shape##_avgr_u, n, u, (a->u[i] + b->u[i] + 1) / 2)
static void bounded_arithmetic_clamps_and_rounds(void **state) {
    (void)state;
    BOUNDED(i8x16, 16, u8, s8)
    BOUNDED(i16x8, 8, u16, s16)
    BOUNDED(i32x4, 4, u32, s32)
    SATURATING(i8x16, 16, u8, s8, INT8_MIN, INT8_MAX, UINT8_MAX)
    SATURATING(i16x8, 8, u16, s16, INT16_MIN, INT16_MAX, UINT16_MAX)
#define Q15 clamp((a->s16[i] * b->s16[i] + 0x4000) >> 15, INT16_MIN, INT16_MAX)
    BINARY(i16x8_q15mulr_sat_s, 8, s16, Q15)
    BINARY(i16x8_relaxed_q15mulr_s, 8, s16, Q15)
    BINARY(i16x8_relaxed_q15mulr_s_native, 8, s16, (a->s16[i] * b->s16[i] + 0x4000) >> 15)
    UNARY(i8x16_popcnt, 16, u8, __builtin_popcount(a->u8[i]))
#define DOT_16(x, y, k)                                                                                      \
    ((int64_t)(x)->s16[2 * (k)] * (y)->s16[2 * (k)] + (int64_t)(x)->s16[2 * (k) + 1] * (y)->s16[2 * (k) + 1])
    BINARY(i32x4_dot_i16x8_s, 4, u32, DOT_16(a, b, i))
}

/* ---- lanes ---- */

#define EXTEND(wide, narrow, n, w, nr, sign)                                                                 \
    UNARY(wide##_extend_low_##narrow##_##sign, n, w, a->nr[i])                                               \
    UNARY(wide##_extend_high_##narrow##_##sign, n, w, a->nr[(n) + i])
#define EXTMUL(wide, narrow, n, w, nr, sign)                                                                 \
    BINARY(wide##_extmul_low_##narrow##_##sign, n, w, (__typeof__(a->w[0]))a->nr[i] * b->nr[i])              \
    BINARY(wide##_extmul_high_##narrow##_##sign, n, w, (__typeof__(a->w[0]))a->nr[(n) + i] * b->nr[(n) + i])
#define HALF(v, n, k, lane) ((k) < (n) ? a->lane[(k) % (n)] : b->lane[(k) % (n)])
static void lanes_widen_and_narrow(void **state) {
    (void)state;
    EXTEND(i16x8, i8x16, 8, s16, s8, s)
    EXTEND(i16x8, i8x16, 8, u16, u8, u)
    EXTEND(i32x4, i16x8, 4, s32, s16, s)
    EXTEND(i32x4, i16x8, 4, u32, u16, u)
    EXTEND(i64x2, i32x4, 2, s64, s32, s)
    EXTEND(i64x2, i32x4, 2, u64, u32, u)
    EXTMUL(i16x8, i8x16, 8, s16, s8, s)
    EXTMUL(i16x8, i8x16, 8, u16, u8, u)
    EXTMUL(i32x4, i16x8, 4, s32, s16, s)
    EXTMUL(i32x4, i16x8, 4, u32, u16, u)
    EXTMUL(i64x2, i32x4, 2, s64, s32, s)
    EXTMUL(i64x2, i32x4, 2, u64, u32, u)
    UNARY(i16x8_extadd_pairwise_i8x16_s, 8, s16, a->s8[2 * i] + a->s8[2 * i + 1])
    UNARY(i16x8_extadd_pairwise_i8x16_u, 8, u16, a->u8[2 * i] + a->u8[2 * i + 1])
    UNARY(i32x4_extadd_pairwise_i16x8_s, 4, s32, a->s16[2 * i] + a->s16[2 * i + 1])
    UNARY(i32x4_extadd_pairwise_i16x8_u, 4, u32, a->u16[2 * i] + a->u16[2 * i + 1])
    BINARY(i8x16_narrow_i16x8_s, 16, s8, clamp(HALF(x, 8, i, s16), INT8_MIN, INT8_MAX))
    BINARY(i8x16_narrow_i16x8_u, 16, u8, clamp(HALF(x, 8, i, s16), 0, UINT8_MAX))
    BINARY(i16x8_narrow_i32x4_s, 8, s16, clamp(HALF(x, 4, i, s32), INT16_MIN, INT16_MAX))
    BINARY(i16x8_narrow_i32x4_u, 8, u16, clamp(HALF(x, 4, i, s32), 0, UINT16_MAX))
}

#define TERNARY(op, n, out, expression)                                                                      \
    EACH_PAIR {                                                                                              \
        union vec want;                                                                                      \
        const union vec *c = &vectors[(unsigned)(a - vectors + 3 * (b - vectors)) % N_VECTORS];              \
        LANES(n) want.out[i] = (__typeof__(want.out[0]))(expression);                                        \
        same(#op, &want, op_##op(put(a), put(b), put(c)), a, b);                                             \
    }
#define BITSELECT ((a->u64[i] & c->u64[i]) | (b->u64[i] & ~c->u64[i]))
static void bits_and_bytes_are_selected(void **state) {
    (void)state;
    UNARY(v128_not, 2, u64, ~a->u64[i])
    BINARY(v128_and, 2, u64, a->u64[i] & b->u64[i])
    BINARY(v128_andnot, 2, u64, a->u64[i] & ~b->u64[i])
    BINARY(v128_or, 2, u64, a->u64[i] | b->u64[i])
    BINARY(v128_xor, 2, u64, a->u64[i] ^ b->u64[i])
    TERNARY(v128_bitselect, 2, u64, BITSELECT)
    TERNARY(i8x16_relaxed_laneselect, 2, u64, BITSELECT)
    TERNARY(i64x2_relaxed_laneselect, 2, u64, BITSELECT)
    TERNARY(i8x16_relaxed_laneselect_native, 16, u8, c->u8[i] >> 7 ? a->u8[i] : b->u8[i])
    TERNARY(i16x8_relaxed_laneselect_native, 8, u16, c->u16[i] >> 15 ? a->u16[i] : b->u16[i])
    TERNARY(i32x4_relaxed_laneselect_native, 4, u32, c->u32[i] >> 31 ? a->u32[i] : b->u32[i])
    TERNARY(i64x2_relaxed_laneselect_native, 2, u64, c->u64[i] >> 63 ? a->u64[i] : b->u64[i])
    BINARY(i8x16_swizzle, 16, u8, b->u8[i] < 16 ? a->u8[b->u8[i]] : 0)
    BINARY(i8x16_relaxed_swizzle, 16, u8, b->u8[i] < 16 ? a->u8[b->u8[i]] : 0)
    BINARY(i8x16_relaxed_swizzle_native, 16, u8, b->u8[i] < 128 ? a->u8[b->u8[i] % 16] : 0)
    EACH_PAIR {
        union vec want, c;
        LANES(16) c.u8[i] = (uint8_t)(ref_random() % 32);
        LANES(16) want.u8[i] = c.u8[i] < 16 ? a->u8[c.u8[i]] : b->u8[c.u8[i] - 16];
        same("i8x16_shuffle", &want, op_i8x16_shuffle(put(a), put(b), put(&c)), a, b);
    }
}

static bool all_true(const uint8_t *bytes, unsigned width) {
    for (unsigned lane = 0; lane < 16; lane += width) {
        uint8_t any = 0;
        for (unsigned i = 0; i < width; i++) any |= bytes[lane + i];
        if (!any) return false;
    }
    return true;
}
static uint32_t top_bits(const uint8_t *bytes, unsigned width) {
    uint32_t mask = 0;
    for (unsigned lane = 0; lane < 16 / width; lane++)
        mask |= (uint32_t)(bytes[lane * width + width - 1] >> 7) << lane;
    return mask;
}
static void vectors_reduce_to_one_number(void **state) {
    (void)state;
    TEST(v128_any_true, (a->u64[0] | a->u64[1]) != 0)
    TEST(i8x16_all_true, all_true(a->u8, 1))
    TEST(i16x8_all_true, all_true(a->u8, 2))
    TEST(i32x4_all_true, all_true(a->u8, 4))
    TEST(i64x2_all_true, all_true(a->u8, 8))
    TEST(i8x16_bitmask, top_bits(a->u8, 1))
    TEST(i16x8_bitmask, top_bits(a->u8, 2))
    TEST(i32x4_bitmask, top_bits(a->u8, 4))
    TEST(i64x2_bitmask, top_bits(a->u8, 8))
}

#define LANE_GET(op, n, T, expression)                                                                       \
    EACH(a) LANES(n) if ((T)op_##op(put(a), i) != (T)(expression)) fail_msg(#op " lane %u", i);
#define LANE_SET(op, n, lane, x)                                                                             \
    EACH(a) LANES(n) {                                                                                       \
        union vec want = *a;                                                                                 \
        want.lane[i] = (__typeof__(want.lane[0]))(x);                                                        \
        same(#op, &want, op_##op(put(a), x, i), a, a);                                                       \
    }
#define SPLAT(op, n, lane, x)                                                                                \
    do {                                                                                                     \
        union vec want;                                                                                      \
        LANES(n) want.lane[i] = (__typeof__(want.lane[0]))(x);                                               \
        same(#op, &want, op_##op(x), &want, &want);                                                          \
    } while (0)
static void lanes_are_read_written_and_spread(void **state) {
    (void)state;
    const uint64_t x = 0x8182838485868788;
    LANE_GET(i8x16_extract_lane_s, 16, uint32_t, (int32_t)a->s8[i])
    LANE_GET(i8x16_extract_lane_u, 16, uint32_t, a->u8[i])
    LANE_GET(i16x8_extract_lane_s, 8, uint32_t, (int32_t)a->s16[i])
    LANE_GET(i16x8_extract_lane_u, 8, uint32_t, a->u16[i])
    LANE_GET(i32x4_extract_lane, 4, uint32_t, a->u32[i])
    LANE_GET(i64x2_extract_lane, 2, uint64_t, a->u64[i])
    EACH(a) LANES(4) assert_int_equal(ref_bits32(op_f32x4_extract_lane(put(a), i)), a->u32[i]);
    EACH(a) LANES(2) assert_int_equal(ref_bits64(op_f64x2_extract_lane(put(a), i)), a->u64[i]);
    LANE_SET(i8x16_replace_lane, 16, u8, (uint32_t)x)
    LANE_SET(i16x8_replace_lane, 8, u16, (uint32_t)x)
    LANE_SET(i32x4_replace_lane, 4, u32, (uint32_t)x)
    LANE_SET(i64x2_replace_lane, 2, u64, x)
    LANE_SET(f32x4_replace_lane, 4, f32, 1.5f)
    LANE_SET(f64x2_replace_lane, 2, f64, -2.5)
    LANE_SET(v128_load8_lane, 16, u8, (uint8_t)x)
    LANE_SET(v128_load16_lane, 8, u16, (uint16_t)x)
    LANE_SET(v128_load32_lane, 4, u32, (uint32_t)x)
    LANE_SET(v128_load64_lane, 2, u64, x)
    LANE_GET(v128_store8_lane, 16, uint8_t, a->u8[i])
    LANE_GET(v128_store16_lane, 8, uint16_t, a->u16[i])
    LANE_GET(v128_store32_lane, 4, uint32_t, a->u32[i])
    LANE_GET(v128_store64_lane, 2, uint64_t, a->u64[i])
    SPLAT(i8x16_splat, 16, u8, (uint32_t)x);
    SPLAT(i16x8_splat, 8, u16, (uint32_t)x);
    SPLAT(i32x4_splat, 4, u32, (uint32_t)x);
    SPLAT(i64x2_splat, 2, u64, x);
    SPLAT(f32x4_splat, 4, f32, 1.25f);
    SPLAT(f64x2_splat, 2, f64, -1e300);
    SPLAT(v128_load8_splat, 16, u8, (uint8_t)x);
    SPLAT(v128_load16_splat, 8, u16, (uint16_t)x);
    SPLAT(v128_load32_splat, 4, u32, (uint32_t)x);
    SPLAT(v128_load64_splat, 2, u64, x);
}

#define LOAD(op, T, n, out, expression)                                                                      \
    EACH(a) {                                                                                                \
        union vec want = {{0}};                                                                              \
        LANES(n) want.out[i] = (__typeof__(want.out[0]))(expression);                                        \
        same(#op, &want, op_##op((T)a->u64[0]), a, a);                                                       \
    }
static void loads_widen_or_leave_zeros(void **state) {
    (void)state;
    LOAD(v128_load8x8_s, uint64_t, 8, s16, a->s8[i])
    LOAD(v128_load8x8_u, uint64_t, 8, u16, a->u8[i])
    LOAD(v128_load16x4_s, uint64_t, 4, s32, a->s16[i])
    LOAD(v128_load16x4_u, uint64_t, 4, u32, a->u16[i])
    LOAD(v128_load32x2_s, uint64_t, 2, s64, a->s32[i])
    LOAD(v128_load32x2_u, uint64_t, 2, u64, a->u32[i])
    LOAD(v128_load32_zero, uint32_t, 1, u32, a->u32[i])
    LOAD(v128_load64_zero, uint64_t, 1, u64, a->u64[i])
}

/* ---- floats ---- */

#define FLOAT_LANES(op, n, w, want_expression, got, canonical_expression)                                    \
    do {                                                                                                     \
        const union vec g = get(got);                                                                        \
        LANES(n) {                                                                                           \
            const bool canonical = (canonical_expression);                                                   \
            if (!ref_same##w(ref_bits##w(want_expression), g.u##w[i], canonical))                            \
                fail_msg(#op " lane %u: %#llx, %#llx: got %#llx", i, (unsigned long long)a->u##w[i],         \
                         (unsigned long long)b->u##w[i], (unsigned long long)g.u##w[i]);                     \
        }                                                                                                    \
    } while (0)
#define FLOAT2(shape, op, n, N, w, canonical)                                                                \
    EACH_PAIR {                                                                                              \
        FLOAT_LANES(shape##_##op, n, w, ref_##N##_##op(a->N[i], b->N[i]), op_##shape##_##op(put(a), put(b)), \
                    canonical);                                                                              \
    }
#define FLOAT1(shape, op, n, N, w, expression)                                                               \
    EACH(a) {                                                                                                \
        const union vec *b = a;                                                                              \
        FLOAT_LANES(shape##_##op, n, w, expression, op_##shape##_##op(put(a)), ref_nan_free##w(a->u##w[i])); \
    }
#define BOTH_FREE(w) (ref_nan_free##w(a->u##w[i]) && ref_nan_free##w(b->u##w[i]))
#define ORDERED(w)   (!REF_NAN##w(a->u##w[i]) && !REF_NAN##w(b->u##w[i]))
#define FLOATS(shape, n, N, w, F, U, SIGN, SQRT)                                                             \
    static void shape##_lanes_do_what_##N##_does(void **state) {                                             \
        (void)state;                                                                                         \
        FLOAT2(shape, add, n, N, w, BOTH_FREE(w))                                                            \
        FLOAT2(shape, sub, n, N, w, BOTH_FREE(w))                                                            \
        FLOAT2(shape, mul, n, N, w, BOTH_FREE(w))                                                            \
        FLOAT2(shape, div, n, N, w, BOTH_FREE(w))                                                            \
        FLOAT2(shape, min, n, N, w, BOTH_FREE(w))                                                            \
        FLOAT2(shape, max, n, N, w, BOTH_FREE(w))                                                            \
        FLOAT2(shape, relaxed_min, n, N, w, BOTH_FREE(w))                                                    \
        FLOAT2(shape, relaxed_max, n, N, w, BOTH_FREE(w))                                                    \
        BINARY(shape##_pmin, n, U, ORDERED(w) && b->N[i] < a->N[i] ? b->U[i] : a->U[i])                      \
        BINARY(shape##_pmax, n, U, ORDERED(w) && a->N[i] < b->N[i] ? b->U[i] : a->U[i])                      \
        FLOAT1(shape, ceil, n, N, w, (F)ref_ceil((double)a->N[i]))                                           \
        FLOAT1(shape, floor, n, N, w, (F)ref_floor((double)a->N[i]))                                         \
        FLOAT1(shape, trunc, n, N, w, (F)ref_trunc((double)a->N[i]))                                         \
        FLOAT1(shape, nearest, n, N, w, (F)ref_nearest((double)a->N[i]))                                     \
        FLOAT1(shape, sqrt, n, N, w, SQRT(a->N[i]))                                                          \
        UNARY(shape##_abs, n, U, a->U[i] & ~(SIGN))                                                          \
        UNARY(shape##_neg, n, U, a->U[i] ^ (SIGN))                                                           \
        BINARY(shape##_eq, n, U, MASK(ORDERED(w) && a->N[i] == b->N[i]))                                     \
        BINARY(shape##_ne, n, U, MASK(!ORDERED(w) || a->N[i] != b->N[i]))                                    \
        BINARY(shape##_lt, n, U, MASK(ORDERED(w) && a->N[i] < b->N[i]))                                      \
        BINARY(shape##_gt, n, U, MASK(ORDERED(w) && a->N[i] > b->N[i]))                                      \
        BINARY(shape##_le, n, U, MASK(ORDERED(w) && a->N[i] <= b->N[i]))                                     \
        BINARY(shape##_ge, n, U, MASK(ORDERED(w) && a->N[i] >= b->N[i]))                                     \
    }
#define ref_f32_relaxed_min ref_f32_min
#define ref_f32_relaxed_max ref_f32_max
#define ref_f64_relaxed_min ref_f64_min
#define ref_f64_relaxed_max ref_f64_max
FLOATS(f32x4, 4, f32, 32, float, u32, UINT32_C(1) << 31, sqrtf)
FLOATS(f64x2, 2, f64, 64, double, u64, UINT64_C(1) << 63, sqrt)

#define SAT(N, k, low, high) ref_saturate((double)a->N[k], low, high)
static void lanes_convert_between_floats_and_integers(void **state) {
    (void)state;
    UNARY(f32x4_convert_i32x4_s, 4, f32, (ref_wide)a->s32[i])
    UNARY(f32x4_convert_i32x4_u, 4, f32, (ref_wide)a->u32[i])
    UNARY(f64x2_convert_low_i32x4_s, 2, f64, (ref_wide)a->s32[i])
    UNARY(f64x2_convert_low_i32x4_u, 2, f64, (ref_wide)a->u32[i])
    UNARY(i32x4_trunc_sat_f32x4_s, 4, s32, SAT(f32, i, INT32_MIN, INT32_MAX))
    UNARY(i32x4_trunc_sat_f32x4_u, 4, u32, SAT(f32, i, 0, UINT32_MAX))
    UNARY(i32x4_trunc_sat_f64x2_s_zero, 4, s32, i < 2 ? SAT(f64, i % 2, INT32_MIN, INT32_MAX) : 0)
    UNARY(i32x4_trunc_sat_f64x2_u_zero, 4, u32, i < 2 ? SAT(f64, i % 2, 0, UINT32_MAX) : 0)
    UNARY(i32x4_relaxed_trunc_f32x4_s, 4, s32, SAT(f32, i, INT32_MIN, INT32_MAX))
    UNARY(i32x4_relaxed_trunc_f32x4_u, 4, u32, SAT(f32, i, 0, UINT32_MAX))
    UNARY(i32x4_relaxed_trunc_f64x2_s_zero, 4, s32, i < 2 ? SAT(f64, i % 2, INT32_MIN, INT32_MAX) : 0)
    UNARY(i32x4_relaxed_trunc_f64x2_u_zero, 4, u32, i < 2 ? SAT(f64, i % 2, 0, UINT32_MAX) : 0)
    EACH(a) {
        const union vec *b = a, low = get(op_f32x4_demote_f64x2_zero(put(a)));
        LANES(2)
        assert_true(
            ref_same32(ref_bits32((float)(ref_wide)a->f64[i]), low.u32[i], ref_nan_free64(a->u64[i])));
        assert_int_equal(low.u64[1], 0);
        FLOAT_LANES(f64x2_promote_low_f32x4, 2, 64, (double)(ref_wide)a->f32[i],
                    op_f64x2_promote_low_f32x4(put(a)), ref_nan_free32(a->u32[i]));
    }
}

/* ---- relaxed ---- */

#define MADD(shape, op, n, N, w, expression)                                                                 \
    EACH_PAIR {                                                                                              \
        const union vec *c = &vectors[(unsigned)(a - vectors + 3 * (b - vectors)) % N_VECTORS];              \
        FLOAT_LANES(shape##_##op, n, w, expression, op_##shape##_##op(put(a), put(b), put(c)), false);       \
    }
#define DOT_8(k)                                                                                             \
    clamp(a->s8[2 * (k)] * b->s8[2 * (k)] + a->s8[2 * (k) + 1] * b->s8[2 * (k) + 1], INT16_MIN, INT16_MAX)
static void relaxed_operations_follow_the_deterministic_profile(void **state) {
    (void)state;
    MADD(f32x4, relaxed_madd, 4, f32, 32, ref_f32_add(ref_f32_mul(a->f32[i], b->f32[i]), c->f32[i]))
    MADD(f32x4, relaxed_nmadd, 4, f32, 32, ref_f32_add(ref_f32_mul(-a->f32[i], b->f32[i]), c->f32[i]))
    MADD(f64x2, relaxed_madd, 2, f64, 64, ref_f64_add(ref_f64_mul(a->f64[i], b->f64[i]), c->f64[i]))
    MADD(f64x2, relaxed_nmadd, 2, f64, 64, ref_f64_add(ref_f64_mul(-a->f64[i], b->f64[i]), c->f64[i]))
    BINARY(i16x8_relaxed_dot_i8x16_i7x16_s, 8, s16, DOT_8(i))
    TERNARY(i32x4_relaxed_dot_i8x16_i7x16_add_s, 4, u32,
            (uint32_t)(DOT_8(2 * i) + DOT_8(2 * i + 1)) + c->u32[i])
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_lanes_compare_to_masks),
        cmocka_unit_test(integer_lanes_wrap_and_shift_modulo_their_width),
        cmocka_unit_test(bounded_arithmetic_clamps_and_rounds),
        cmocka_unit_test(lanes_widen_and_narrow),
        cmocka_unit_test(bits_and_bytes_are_selected),
        cmocka_unit_test(vectors_reduce_to_one_number),
        cmocka_unit_test(lanes_are_read_written_and_spread),
        cmocka_unit_test(loads_widen_or_leave_zeros),
        cmocka_unit_test(f32x4_lanes_do_what_f32_does),
        cmocka_unit_test(f64x2_lanes_do_what_f64_does),
        cmocka_unit_test(lanes_convert_between_floats_and_integers),
        cmocka_unit_test(relaxed_operations_follow_the_deterministic_profile),
    };
    return cmocka_run_group_tests(tests, make_vectors, NULL);
}
