/* interp/simd.h: what every vector instruction computes, one inline function op_<row of opcodes.def> each.
 *
 *   v128 = v128_t (aligned to 8, as slots are), the others as in interp/numeric.h
 *   operands in stack order, then the lane, which has to be in range
 *   instructions with a memory operand get the bytes that were loaded, as an integer, in its place
 *
 * A relaxed instruction has two functions: op_x is its deterministic profile, op_x_native what x86 does
 * fastest. Both are within the results the specification allows, and the native ones hold on to one of its
 * parameters: R_swizzle = R_trunc_s = R_iq15mulr = R_idot = R_laneselect = 1, R_fmin = R_fmax = 2, others 0.
 *
 * source  core spec, Execution, "Numerics": "Vector Operations", "Relaxed Operations" */
#ifndef ATOLL_INTERP_SIMD_H
#define ATOLL_INTERP_SIMD_H

#include "interp/numeric.h"

/* The types intrinsics know, but for the alignment. */
typedef long long v128_t __attribute__((vector_size(16), aligned(8), may_alias));

/* Lanes. Arithmetic that may wrap is done on the unsigned ones. */
typedef int8_t op_lanes_i8 __attribute__((vector_size(16)));
typedef uint8_t op_lanes_u8 __attribute__((vector_size(16)));
typedef int16_t op_lanes_i16 __attribute__((vector_size(16)));
typedef uint16_t op_lanes_u16 __attribute__((vector_size(16)));
typedef int32_t op_lanes_i32 __attribute__((vector_size(16)));
typedef uint32_t op_lanes_u32 __attribute__((vector_size(16)));
typedef int64_t op_lanes_i64 __attribute__((vector_size(16)));
typedef uint64_t op_lanes_u64 __attribute__((vector_size(16)));
typedef float op_lanes_f32 __attribute__((vector_size(16)));
typedef double op_lanes_f64 __attribute__((vector_size(16)));

#define OP_V1(name, expression)                                                                              \
    static inline v128_t op_##name(v128_t a) { return (v128_t)(expression); }
#define OP_V2(name, expression)                                                                              \
    static inline v128_t op_##name(v128_t a, v128_t b) { return (v128_t)(expression); }
#define OP_V3(name, expression)                                                                              \
    static inline v128_t op_##name(v128_t a, v128_t b, v128_t c) { return (v128_t)(expression); }
/* A vector and a number, or a number alone. */
#define OP_VS(name, type, expression)                                                                        \
    static inline v128_t op_##name(v128_t a, type b) { return (v128_t)(expression); }
#define OP_FROM(name, type, expression)                                                                      \
    static inline v128_t op_##name(type a) { return (v128_t)(expression); }
#define OP_TEST(name, expression)                                                                            \
    static inline uint32_t op_##name(v128_t a) { return (uint32_t)(expression); }

#define OP_F32(a) ((__m128)(a))
#define OP_F64(a) ((__m128d)(a))

/* ---- bytes in and out ---- */

static inline v128_t op_v128_load(const void *bytes) { return _mm_loadu_si128(bytes); }
static inline void op_v128_store(void *bytes, v128_t a) { _mm_storeu_si128(bytes, a); }
static inline v128_t op_v128_const(const uint8_t bytes[16]) { return op_v128_load(bytes); }

OP_FROM(v128_load8x8_s, uint64_t, _mm_cvtepi8_epi16(_mm_cvtsi64_si128((int64_t)a)))
OP_FROM(v128_load8x8_u, uint64_t, _mm_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)a)))
OP_FROM(v128_load16x4_s, uint64_t, _mm_cvtepi16_epi32(_mm_cvtsi64_si128((int64_t)a)))
OP_FROM(v128_load16x4_u, uint64_t, _mm_cvtepu16_epi32(_mm_cvtsi64_si128((int64_t)a)))
OP_FROM(v128_load32x2_s, uint64_t, _mm_cvtepi32_epi64(_mm_cvtsi64_si128((int64_t)a)))
OP_FROM(v128_load32x2_u, uint64_t, _mm_cvtepu32_epi64(_mm_cvtsi64_si128((int64_t)a)))
OP_FROM(v128_load8_splat, uint8_t, _mm_set1_epi8((char)a))
OP_FROM(v128_load16_splat, uint16_t, _mm_set1_epi16((int16_t)a))
OP_FROM(v128_load32_splat, uint32_t, _mm_set1_epi32((int32_t)a))
OP_FROM(v128_load64_splat, uint64_t, _mm_set1_epi64x((int64_t)a))
OP_FROM(v128_load32_zero, uint32_t, _mm_cvtsi32_si128((int32_t)a))
OP_FROM(v128_load64_zero, uint64_t, _mm_cvtsi64_si128((int64_t)a))

OP_FROM(i8x16_splat, uint32_t, _mm_set1_epi8((char)a))
OP_FROM(i16x8_splat, uint32_t, _mm_set1_epi16((int16_t)a))
OP_FROM(i32x4_splat, uint32_t, _mm_set1_epi32((int32_t)a))
OP_FROM(i64x2_splat, uint64_t, _mm_set1_epi64x((int64_t)a))
OP_FROM(f32x4_splat, float, ((op_lanes_f32){a, a, a, a}))
OP_FROM(f64x2_splat, double, ((op_lanes_f64){a, a}))

/* ---- lanes ---- */

#define OP_EXTRACT(name, result, lanes)                                                                      \
    static inline result op_##name(v128_t a, unsigned lane) { return (result)((lanes)a)[lane]; }
#define OP_REPLACE(name, type, lanes, lane_type)                                                             \
    static inline v128_t op_##name(v128_t a, type x, unsigned lane) {                                        \
        lanes v = (lanes)a;                                                                                  \
        v[lane] = (lane_type)x;                                                                              \
        return (v128_t)v;                                                                                    \
    }
OP_EXTRACT(i8x16_extract_lane_s, uint32_t, op_lanes_i8)
OP_EXTRACT(i8x16_extract_lane_u, uint32_t, op_lanes_u8)
OP_EXTRACT(i16x8_extract_lane_s, uint32_t, op_lanes_i16)
OP_EXTRACT(i16x8_extract_lane_u, uint32_t, op_lanes_u16)
OP_EXTRACT(i32x4_extract_lane, uint32_t, op_lanes_u32)
OP_EXTRACT(i64x2_extract_lane, uint64_t, op_lanes_u64)
OP_EXTRACT(f32x4_extract_lane, float, op_lanes_f32)
OP_EXTRACT(f64x2_extract_lane, double, op_lanes_f64)
OP_REPLACE(i8x16_replace_lane, uint32_t, op_lanes_u8, uint8_t)
OP_REPLACE(i16x8_replace_lane, uint32_t, op_lanes_u16, uint16_t)
OP_REPLACE(i32x4_replace_lane, uint32_t, op_lanes_u32, uint32_t)
OP_REPLACE(i64x2_replace_lane, uint64_t, op_lanes_u64, uint64_t)
OP_REPLACE(f32x4_replace_lane, float, op_lanes_f32, float)
OP_REPLACE(f64x2_replace_lane, double, op_lanes_f64, double)
OP_REPLACE(v128_load8_lane, uint8_t, op_lanes_u8, uint8_t)
OP_REPLACE(v128_load16_lane, uint16_t, op_lanes_u16, uint16_t)
OP_REPLACE(v128_load32_lane, uint32_t, op_lanes_u32, uint32_t)
OP_REPLACE(v128_load64_lane, uint64_t, op_lanes_u64, uint64_t)
OP_EXTRACT(v128_store8_lane, uint8_t, op_lanes_u8)
OP_EXTRACT(v128_store16_lane, uint16_t, op_lanes_u16)
OP_EXTRACT(v128_store32_lane, uint32_t, op_lanes_u32)
OP_EXTRACT(v128_store64_lane, uint64_t, op_lanes_u64)
#undef OP_EXTRACT
#undef OP_REPLACE

/* pshufb gives 0 where an index has its top bit: the saturating sum sets it for every index above 15. For the
 * second operand of a shuffle the indices below 16 wrap to negative ones. */
OP_V2(i8x16_swizzle, _mm_shuffle_epi8(a, _mm_adds_epu8(b, _mm_set1_epi8(0x70))))
OP_V3(i8x16_shuffle, _mm_or_si128(_mm_shuffle_epi8(a, _mm_adds_epu8(c, _mm_set1_epi8(0x70))),
                                  _mm_shuffle_epi8(b, _mm_sub_epi8(c, _mm_set1_epi8(16)))))

/* ---- bits ---- */

OP_V1(v128_not, ~a)
OP_V2(v128_and, a &b)
OP_V2(v128_andnot, a & ~b)
OP_V2(v128_or, a | b)
OP_V2(v128_xor, a ^ b)
OP_V3(v128_bitselect, (a & c) | (b & ~c))
OP_TEST(v128_any_true, !_mm_testz_si128(a, a))
OP_TEST(i8x16_all_true, _mm_testz_si128(_mm_cmpeq_epi8(a, _mm_setzero_si128()), _mm_set1_epi8(-1)))
OP_TEST(i16x8_all_true, _mm_testz_si128(_mm_cmpeq_epi16(a, _mm_setzero_si128()), _mm_set1_epi8(-1)))
OP_TEST(i32x4_all_true, _mm_testz_si128(_mm_cmpeq_epi32(a, _mm_setzero_si128()), _mm_set1_epi8(-1)))
OP_TEST(i64x2_all_true, _mm_testz_si128(_mm_cmpeq_epi64(a, _mm_setzero_si128()), _mm_set1_epi8(-1)))
OP_TEST(i8x16_bitmask, _mm_movemask_epi8(a))
OP_TEST(i16x8_bitmask, _mm_movemask_epi8(_mm_packs_epi16(a, _mm_setzero_si128())))
OP_TEST(i32x4_bitmask, _mm_movemask_ps(OP_F32(a)))
OP_TEST(i64x2_bitmask, _mm_movemask_pd(OP_F64(a)))

/* ---- comparisons ---- */

#define OP_COMPARE_SIGNED(shape, lanes)                                                                      \
    OP_V2(shape##_eq, (lanes)a == (lanes)b)                                                                  \
    OP_V2(shape##_ne, (lanes)a != (lanes)b)                                                                  \
    OP_V2(shape##_lt_s, (lanes)a < (lanes)b)                                                                 \
    OP_V2(shape##_gt_s, (lanes)a > (lanes)b)                                                                 \
    OP_V2(shape##_le_s, (lanes)a <= (lanes)b)                                                                \
    OP_V2(shape##_ge_s, (lanes)a >= (lanes)b)
/* a <= b as min(a, b) == a: SSE compares signed lanes only. */
#define OP_COMPARE_UNSIGNED(shape, bits)                                                                     \
    OP_V2(shape##_lt_u, ~_mm_cmpeq_epi##bits(_mm_max_epu##bits(a, b), a))                                    \
    OP_V2(shape##_gt_u, ~_mm_cmpeq_epi##bits(_mm_min_epu##bits(a, b), a))                                    \
    OP_V2(shape##_le_u, _mm_cmpeq_epi##bits(_mm_min_epu##bits(a, b), a))                                     \
    OP_V2(shape##_ge_u, _mm_cmpeq_epi##bits(_mm_max_epu##bits(a, b), a))
#define OP_COMPARE_FLOAT(shape, lanes)                                                                       \
    OP_V2(shape##_eq, (lanes)a == (lanes)b)                                                                  \
    OP_V2(shape##_ne, (lanes)a != (lanes)b)                                                                  \
    OP_V2(shape##_lt, (lanes)a < (lanes)b)                                                                   \
    OP_V2(shape##_gt, (lanes)a > (lanes)b)                                                                   \
    OP_V2(shape##_le, (lanes)a <= (lanes)b)                                                                  \
    OP_V2(shape##_ge, (lanes)a >= (lanes)b)
OP_COMPARE_SIGNED(i8x16, op_lanes_i8)
OP_COMPARE_SIGNED(i16x8, op_lanes_i16)
OP_COMPARE_SIGNED(i32x4, op_lanes_i32)
OP_COMPARE_SIGNED(i64x2, op_lanes_i64)
OP_COMPARE_UNSIGNED(i8x16, 8)
OP_COMPARE_UNSIGNED(i16x8, 16)
OP_COMPARE_UNSIGNED(i32x4, 32)
OP_COMPARE_FLOAT(f32x4, op_lanes_f32)
OP_COMPARE_FLOAT(f64x2, op_lanes_f64)
#undef OP_COMPARE_SIGNED
#undef OP_COMPARE_UNSIGNED
#undef OP_COMPARE_FLOAT

/* ---- integer arithmetic ---- */

#define OP_WRAPPING(shape, lanes)                                                                            \
    OP_V1(shape##_neg, -(lanes)a)                                                                            \
    OP_V2(shape##_add, (lanes)a + (lanes)b)                                                                  \
    OP_V2(shape##_sub, (lanes)a - (lanes)b)
OP_WRAPPING(i8x16, op_lanes_u8)
OP_WRAPPING(i16x8, op_lanes_u16)
OP_WRAPPING(i32x4, op_lanes_u32)
OP_WRAPPING(i64x2, op_lanes_u64)
#undef OP_WRAPPING
OP_V2(i16x8_mul, _mm_mullo_epi16(a, b))
OP_V2(i32x4_mul, _mm_mullo_epi32(a, b))
OP_V2(i64x2_mul, (op_lanes_u64)a *(op_lanes_u64)b)

#define OP_SATURATING(shape, bits)                                                                           \
    OP_V2(shape##_add_sat_s, _mm_adds_epi##bits(a, b))                                                       \
    OP_V2(shape##_add_sat_u, _mm_adds_epu##bits(a, b))                                                       \
    OP_V2(shape##_sub_sat_s, _mm_subs_epi##bits(a, b))                                                       \
    OP_V2(shape##_sub_sat_u, _mm_subs_epu##bits(a, b))                                                       \
    OP_V2(shape##_avgr_u, _mm_avg_epu##bits(a, b))
OP_SATURATING(i8x16, 8)
OP_SATURATING(i16x8, 16)
#undef OP_SATURATING

#define OP_MINMAX(shape, bits)                                                                               \
    OP_V1(shape##_abs, _mm_abs_epi##bits(a))                                                                 \
    OP_V2(shape##_min_s, _mm_min_epi##bits(a, b))                                                            \
    OP_V2(shape##_min_u, _mm_min_epu##bits(a, b))                                                            \
    OP_V2(shape##_max_s, _mm_max_epi##bits(a, b))                                                            \
    OP_V2(shape##_max_u, _mm_max_epu##bits(a, b))
OP_MINMAX(i8x16, 8)
OP_MINMAX(i16x8, 16)
OP_MINMAX(i32x4, 32)
#undef OP_MINMAX
static inline v128_t op_i64x2_abs(v128_t a) {
    v128_t negative = (v128_t)_mm_cmpgt_epi64(_mm_setzero_si128(), a);
    return (v128_t)((op_lanes_u64)(a ^ negative) - (op_lanes_u64)negative);
}

/* Bits of a byte by its two halves. */
static inline v128_t op_i8x16_popcnt(v128_t a) {
    const __m128i counts = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m128i half = _mm_set1_epi8(15);
    __m128i low = _mm_shuffle_epi8(counts, _mm_and_si128(a, half));
    __m128i high = _mm_shuffle_epi8(counts, _mm_and_si128(_mm_srli_epi16(a, 4), half));
    return (v128_t)_mm_add_epi8(low, high);
}

/* The one product that does not fit, -1 * -1 in Q15, comes out as -1 and is turned into the largest. */
static inline v128_t op_i16x8_q15mulr_sat_s(v128_t a, v128_t b) {
    __m128i r = _mm_mulhrs_epi16(a, b);
    return (v128_t)_mm_xor_si128(r, _mm_cmpeq_epi16(r, _mm_set1_epi16(INT16_MIN)));
}
OP_V2(i32x4_dot_i16x8_s, _mm_madd_epi16(a, b))

/* ---- shifts ---- */

/* Shift counts are taken modulo the lane width. */
#define OP_COUNT(bits) _mm_cvtsi32_si128((int32_t)(b & ((bits)-1)))
OP_VS(i16x8_shl, uint32_t, _mm_sll_epi16(a, OP_COUNT(16)))
OP_VS(i16x8_shr_s, uint32_t, _mm_sra_epi16(a, OP_COUNT(16)))
OP_VS(i16x8_shr_u, uint32_t, _mm_srl_epi16(a, OP_COUNT(16)))
OP_VS(i32x4_shl, uint32_t, _mm_sll_epi32(a, OP_COUNT(32)))
OP_VS(i32x4_shr_s, uint32_t, _mm_sra_epi32(a, OP_COUNT(32)))
OP_VS(i32x4_shr_u, uint32_t, _mm_srl_epi32(a, OP_COUNT(32)))
OP_VS(i64x2_shl, uint32_t, _mm_sll_epi64(a, OP_COUNT(64)))
OP_VS(i64x2_shr_u, uint32_t, _mm_srl_epi64(a, OP_COUNT(64)))
/* Shifts in zeros, then spreads the sign from where it has come to. */
static inline v128_t op_i64x2_shr_s(v128_t a, uint32_t b) {
    __m128i sign = _mm_srl_epi64(_mm_set1_epi64x(INT64_MIN), OP_COUNT(64));
    __m128i r = _mm_srl_epi64(a, OP_COUNT(64));
    return (v128_t)_mm_sub_epi64(_mm_xor_si128(r, sign), sign);
}
/* Bytes shift as words, with the neighbour's bits cut off. */
OP_VS(i8x16_shl, uint32_t,
      _mm_and_si128(_mm_sll_epi16(a, OP_COUNT(8)), _mm_set1_epi8((char)(0xFF << (b & 7)))))
OP_VS(i8x16_shr_u, uint32_t,
      _mm_and_si128(_mm_srl_epi16(a, OP_COUNT(8)), _mm_set1_epi8((char)(0xFF >> (b & 7)))))
static inline v128_t op_i8x16_shr_s(v128_t a, uint32_t b) {
    __m128i count = _mm_cvtsi32_si128((int32_t)(b & 7) + 8);
    __m128i low = _mm_sra_epi16(_mm_unpacklo_epi8(a, a), count);
    __m128i high = _mm_sra_epi16(_mm_unpackhi_epi8(a, a), count);
    return (v128_t)_mm_packs_epi16(low, high);
}
#undef OP_COUNT

/* ---- between widths ---- */

OP_V2(i8x16_narrow_i16x8_s, _mm_packs_epi16(a, b))
OP_V2(i8x16_narrow_i16x8_u, _mm_packus_epi16(a, b))
OP_V2(i16x8_narrow_i32x4_s, _mm_packs_epi32(a, b))
OP_V2(i16x8_narrow_i32x4_u, _mm_packus_epi32(a, b))

#define OP_HIGH(a) _mm_unpackhi_epi64(a, a)
#define OP_EXTEND(wide, narrow, wide_bits, bits)                                                             \
    OP_V1(wide##_extend_low_##narrow##_s, _mm_cvtepi##bits##_epi##wide_bits(a))                              \
    OP_V1(wide##_extend_low_##narrow##_u, _mm_cvtepu##bits##_epi##wide_bits(a))                              \
    OP_V1(wide##_extend_high_##narrow##_s, _mm_cvtepi##bits##_epi##wide_bits(OP_HIGH(a)))                    \
    OP_V1(wide##_extend_high_##narrow##_u, _mm_cvtepu##bits##_epi##wide_bits(OP_HIGH(a)))
OP_EXTEND(i16x8, i8x16, 16, 8)
OP_EXTEND(i32x4, i16x8, 32, 16)
OP_EXTEND(i64x2, i32x4, 64, 32)
#undef OP_EXTEND
#undef OP_HIGH

OP_V1(i16x8_extadd_pairwise_i8x16_s, _mm_maddubs_epi16(_mm_set1_epi8(1), a))
OP_V1(i16x8_extadd_pairwise_i8x16_u, _mm_maddubs_epi16(a, _mm_set1_epi8(1)))
OP_V1(i32x4_extadd_pairwise_i16x8_s, _mm_madd_epi16(a, _mm_set1_epi16(1)))
OP_V1(i32x4_extadd_pairwise_i16x8_u,
      _mm_add_epi32(_mm_srli_epi32(a, 16), _mm_and_si128(a, _mm_set1_epi32(0xFFFF))))

#define OP_EXTMUL_I16X8(half, sign)                                                                          \
    OP_V2(i16x8_extmul_##half##_i8x16_##sign, _mm_mullo_epi16(op_i16x8_extend_##half##_i8x16_##sign(a),      \
                                                              op_i16x8_extend_##half##_i8x16_##sign(b)))
OP_EXTMUL_I16X8(low, s)
OP_EXTMUL_I16X8(high, s)
OP_EXTMUL_I16X8(low, u)
OP_EXTMUL_I16X8(high, u)
#undef OP_EXTMUL_I16X8
/* Lower and upper halves of the products, put together. */
OP_V2(i32x4_extmul_low_i16x8_s, _mm_unpacklo_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epi16(a, b)))
OP_V2(i32x4_extmul_high_i16x8_s, _mm_unpackhi_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epi16(a, b)))
OP_V2(i32x4_extmul_low_i16x8_u, _mm_unpacklo_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epu16(a, b)))
OP_V2(i32x4_extmul_high_i16x8_u, _mm_unpackhi_epi16(_mm_mullo_epi16(a, b), _mm_mulhi_epu16(a, b)))
/* The multiplications read lanes 0 and 2. */
#define OP_LOW_PAIR(a)  _mm_shuffle_epi32(a, _MM_SHUFFLE(1, 1, 0, 0))
#define OP_HIGH_PAIR(a) _mm_shuffle_epi32(a, _MM_SHUFFLE(3, 3, 2, 2))
OP_V2(i64x2_extmul_low_i32x4_s, _mm_mul_epi32(OP_LOW_PAIR(a), OP_LOW_PAIR(b)))
OP_V2(i64x2_extmul_high_i32x4_s, _mm_mul_epi32(OP_HIGH_PAIR(a), OP_HIGH_PAIR(b)))
OP_V2(i64x2_extmul_low_i32x4_u, _mm_mul_epu32(OP_LOW_PAIR(a), OP_LOW_PAIR(b)))
OP_V2(i64x2_extmul_high_i32x4_u, _mm_mul_epu32(OP_HIGH_PAIR(a), OP_HIGH_PAIR(b)))
#undef OP_LOW_PAIR
#undef OP_HIGH_PAIR

/* ---- floats ---- */

/* min and max: SSE answers its second operand for NaNs and zeros, so both orders are asked; the two answers
 * differ in the sign of a zero only, or one operand is a NaN and the lane gets the canonical one. pmin(a, b)
 * is b < a ? b : a, which is what minps(b, a) does. */
#define OP_FLOATS(shape, ps, lanes, cast, sign, nan)                                                         \
    OP_V1(shape##_abs, a & ~(sign))                                                                          \
    OP_V1(shape##_neg, a ^ (sign))                                                                           \
    OP_V1(shape##_sqrt, _mm_sqrt_##ps(cast(a)))                                                              \
    OP_V1(shape##_ceil, _mm_round_##ps(cast(a), _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC))                  \
    OP_V1(shape##_floor, _mm_round_##ps(cast(a), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC))                 \
    OP_V1(shape##_trunc, _mm_round_##ps(cast(a), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC))                    \
    OP_V1(shape##_nearest, _mm_round_##ps(cast(a), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))           \
    OP_V2(shape##_add, (lanes)a + (lanes)b)                                                                  \
    OP_V2(shape##_sub, (lanes)a - (lanes)b)                                                                  \
    OP_V2(shape##_mul, (lanes)a *(lanes)b)                                                                   \
    OP_V2(shape##_div, (lanes)a / (lanes)b)                                                                  \
    OP_V2(shape##_pmin, _mm_min_##ps(cast(b), cast(a)))                                                      \
    OP_V2(shape##_pmax, _mm_max_##ps(cast(b), cast(a)))                                                      \
    static inline v128_t op_##shape##_min(v128_t a, v128_t b) {                                              \
        v128_t one = (v128_t)_mm_min_##ps(cast(a), cast(b)), other = (v128_t)_mm_min_##ps(cast(b), cast(a)); \
        v128_t unordered = (v128_t)_mm_cmpunord_##ps(cast(a), cast(b));                                      \
        return ((one | other) & ~unordered) | (unordered & (nan));                                           \
    }                                                                                                        \
    static inline v128_t op_##shape##_max(v128_t a, v128_t b) {                                              \
        v128_t one = (v128_t)_mm_max_##ps(cast(a), cast(b)), other = (v128_t)_mm_max_##ps(cast(b), cast(a)); \
        v128_t unordered = (v128_t)_mm_cmpunord_##ps(cast(a), cast(b));                                      \
        return ((one & other) & ~unordered) | (unordered & (nan));                                           \
    }
OP_FLOATS(f32x4, ps, op_lanes_f32, OP_F32, (v128_t)_mm_set1_epi32(INT32_MIN),
          (v128_t)_mm_set1_epi32(0x7FC00000))
OP_FLOATS(f64x2, pd, op_lanes_f64, OP_F64, (v128_t)_mm_set1_epi64x(INT64_MIN),
          (v128_t)_mm_set1_epi64x(0x7FF8000000000000))
#undef OP_FLOATS

OP_V1(f32x4_demote_f64x2_zero, _mm_cvtpd_ps(OP_F64(a)))
OP_V1(f64x2_promote_low_f32x4, _mm_cvtps_pd(OP_F32(a)))
OP_V1(f32x4_convert_i32x4_s, _mm_cvtepi32_ps(a))
OP_V1(f64x2_convert_low_i32x4_s, _mm_cvtepi32_pd(a))
/* Both halves are exact as floats, so that the sum rounds once. */
static inline v128_t op_f32x4_convert_i32x4_u(v128_t a) {
    __m128 high = _mm_cvtepi32_ps(_mm_srli_epi32(a, 16));
    __m128 low = _mm_cvtepi32_ps(_mm_and_si128(a, _mm_set1_epi32(0xFFFF)));
    return (v128_t)_mm_add_ps(_mm_mul_ps(high, _mm_set1_ps(65536.0f)), low);
}
/* In doubles from 2^52 on the lowest mantissa bits are the integer. */
#define OP_TWO_52 4503599627370496.0
static inline v128_t op_f64x2_convert_low_i32x4_u(v128_t a) {
    __m128d biased = _mm_or_pd(OP_F64(_mm_cvtepu32_epi64(a)), _mm_set1_pd(OP_TWO_52));
    return (v128_t)_mm_sub_pd(biased, _mm_set1_pd(OP_TWO_52));
}

/* ---- floats to integers ---- */

/* cvttps2dq answers 0x80000000 for what does not fit: right below, inverted above, NaNs are made 0 before. */
static inline v128_t op_i32x4_trunc_sat_f32x4_s(v128_t a) {
    __m128 x = _mm_and_ps(OP_F32(a), _mm_cmpord_ps(OP_F32(a), OP_F32(a)));
    __m128 above = _mm_cmpge_ps(x, _mm_set1_ps((float)OP_TWO_31));
    return (v128_t)_mm_xor_si128(_mm_cvttps_epi32(x), (__m128i)above);
}
/* The upper half of the range is converted 2^31 lower, which is exact there. */
static inline v128_t op_i32x4_trunc_sat_f32x4_u(v128_t a) {
    const __m128 half = _mm_set1_ps((float)OP_TWO_31);
    __m128 x = _mm_max_ps(OP_F32(a), _mm_setzero_ps()); /* NaN: the second operand */
    __m128 upper = _mm_cmpge_ps(x, half);
    __m128i above = (__m128i)_mm_cmpge_ps(x, _mm_set1_ps((float)(2 * OP_TWO_31)));
    __m128i r = _mm_cvttps_epi32(_mm_sub_ps(x, _mm_and_ps(upper, half)));
    r = _mm_xor_si128(r, _mm_slli_epi32((__m128i)upper, 31));
    return (v128_t)_mm_or_si128(r, above);
}
static inline v128_t op_i32x4_trunc_sat_f64x2_s_zero(v128_t a) {
    __m128d x = _mm_and_pd(OP_F64(a), _mm_cmpord_pd(OP_F64(a), OP_F64(a)));
    return (v128_t)_mm_cvttpd_epi32(_mm_min_pd(x, _mm_set1_pd(INT32_MAX)));
}
static inline v128_t op_i32x4_trunc_sat_f64x2_u_zero(v128_t a) {
    __m128d x = _mm_min_pd(_mm_max_pd(OP_F64(a), _mm_setzero_pd()), _mm_set1_pd(UINT32_MAX));
    x = _mm_add_pd(_mm_round_pd(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC), _mm_set1_pd(OP_TWO_52));
    return (v128_t)_mm_shuffle_ps((__m128)x, _mm_setzero_ps(), _MM_SHUFFLE(2, 0, 2, 0));
}

/* ---- relaxed ---- */

OP_V2(i8x16_relaxed_swizzle, op_i8x16_swizzle(a, b))
OP_V2(i8x16_relaxed_swizzle_native, _mm_shuffle_epi8(a, b))

OP_V1(i32x4_relaxed_trunc_f32x4_s, op_i32x4_trunc_sat_f32x4_s(a))
OP_V1(i32x4_relaxed_trunc_f32x4_u, op_i32x4_trunc_sat_f32x4_u(a))
OP_V1(i32x4_relaxed_trunc_f64x2_s_zero, op_i32x4_trunc_sat_f64x2_s_zero(a))
OP_V1(i32x4_relaxed_trunc_f64x2_u_zero, op_i32x4_trunc_sat_f64x2_u_zero(a))
OP_V1(i32x4_relaxed_trunc_f32x4_s_native, _mm_cvttps_epi32(OP_F32(a)))
OP_V1(i32x4_relaxed_trunc_f32x4_u_native, op_i32x4_trunc_sat_f32x4_u(a))
OP_V1(i32x4_relaxed_trunc_f64x2_s_zero_native, _mm_cvttpd_epi32(OP_F64(a)))
OP_V1(i32x4_relaxed_trunc_f64x2_u_zero_native, op_i32x4_trunc_sat_f64x2_u_zero(a))

/* Two roundings in either profile: there is no fused multiply-add in x86-64-v2. */
OP_V3(f32x4_relaxed_madd, op_f32x4_add(op_f32x4_mul(a, b), c))
OP_V3(f32x4_relaxed_nmadd, op_f32x4_add(op_f32x4_mul(op_f32x4_neg(a), b), c))
OP_V3(f64x2_relaxed_madd, op_f64x2_add(op_f64x2_mul(a, b), c))
OP_V3(f64x2_relaxed_nmadd, op_f64x2_add(op_f64x2_mul(op_f64x2_neg(a), b), c))
OP_V3(f32x4_relaxed_madd_native, op_f32x4_relaxed_madd(a, b, c))
OP_V3(f32x4_relaxed_nmadd_native, op_f32x4_relaxed_nmadd(a, b, c))
OP_V3(f64x2_relaxed_madd_native, op_f64x2_relaxed_madd(a, b, c))
OP_V3(f64x2_relaxed_nmadd_native, op_f64x2_relaxed_nmadd(a, b, c))

/* Native: the top bit of the lane selects. */
OP_V3(i8x16_relaxed_laneselect, op_v128_bitselect(a, b, c))
OP_V3(i16x8_relaxed_laneselect, op_v128_bitselect(a, b, c))
OP_V3(i32x4_relaxed_laneselect, op_v128_bitselect(a, b, c))
OP_V3(i64x2_relaxed_laneselect, op_v128_bitselect(a, b, c))
OP_V3(i8x16_relaxed_laneselect_native, _mm_blendv_epi8(b, a, c))
OP_V3(i16x8_relaxed_laneselect_native, _mm_blendv_epi8(b, a, _mm_srai_epi16(c, 15)))
OP_V3(i32x4_relaxed_laneselect_native, _mm_blendv_ps(OP_F32(b), OP_F32(a), OP_F32(c)))
OP_V3(i64x2_relaxed_laneselect_native, _mm_blendv_pd(OP_F64(b), OP_F64(a), OP_F64(c)))

OP_V2(f32x4_relaxed_min, op_f32x4_min(a, b))
OP_V2(f32x4_relaxed_max, op_f32x4_max(a, b))
OP_V2(f64x2_relaxed_min, op_f64x2_min(a, b))
OP_V2(f64x2_relaxed_max, op_f64x2_max(a, b))
OP_V2(f32x4_relaxed_min_native, _mm_min_ps(OP_F32(a), OP_F32(b)))
OP_V2(f32x4_relaxed_max_native, _mm_max_ps(OP_F32(a), OP_F32(b)))
OP_V2(f64x2_relaxed_min_native, _mm_min_pd(OP_F64(a), OP_F64(b)))
OP_V2(f64x2_relaxed_max_native, _mm_max_pd(OP_F64(a), OP_F64(b)))

OP_V2(i16x8_relaxed_q15mulr_s, op_i16x8_q15mulr_sat_s(a, b))
OP_V2(i16x8_relaxed_q15mulr_s_native, _mm_mulhrs_epi16(a, b))

/* Signed bytes times signed bytes, neighbouring products added with saturation. A product fits a word. */
static inline v128_t op_i16x8_relaxed_dot_i8x16_i7x16_s(v128_t a, v128_t b) {
    __m128i even_a = _mm_srai_epi16(_mm_slli_epi16(a, 8), 8), odd_a = _mm_srai_epi16(a, 8);
    __m128i even_b = _mm_srai_epi16(_mm_slli_epi16(b, 8), 8), odd_b = _mm_srai_epi16(b, 8);
    return (v128_t)_mm_adds_epi16(_mm_mullo_epi16(even_a, even_b), _mm_mullo_epi16(odd_a, odd_b));
}
OP_V2(i16x8_relaxed_dot_i8x16_i7x16_s_native, _mm_maddubs_epi16(b, a))
OP_V3(i32x4_relaxed_dot_i8x16_i7x16_add_s,
      op_i32x4_add(op_i32x4_extadd_pairwise_i16x8_s(op_i16x8_relaxed_dot_i8x16_i7x16_s(a, b)), c))
OP_V3(i32x4_relaxed_dot_i8x16_i7x16_add_s_native,
      op_i32x4_add(op_i32x4_extadd_pairwise_i16x8_s(op_i16x8_relaxed_dot_i8x16_i7x16_s_native(a, b)), c))

#undef OP_F32
#undef OP_F64

#endif
