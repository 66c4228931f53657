/* interp/numeric.h: what every scalar numeric instruction computes, one inline function op_<row of
 * opcodes.def> each.
 *
 *   i32 = uint32_t   i64 = uint64_t   f32 = float   f64 = double
 *   operands in stack order, comparisons give 0 or 1
 *   instructions that can trap return the trap or RT_TRAP_NONE; after a trap *out holds nothing of use
 *
 * Signed arithmetic is done on unsigned types, so nothing here overflows. NaNs: operations that move bits
 * (abs, neg, copysign, reinterpret) use integers and keep every payload; arithmetic is left to SSE, which
 * quiets a NaN operand or makes the default NaN, both allowed. Compile with SSE4.2 (-march=x86-64-v2) and
 * without -ffast-math.
 *
 * source  core spec, Execution, "Numerics" */
#ifndef ATOLL_INTERP_NUMERIC_H
#define ATOLL_INTERP_NUMERIC_H

#include <nmmintrin.h>
#include "runtime/runtime.h"

#define OP_LIKELY(x)   __builtin_expect(!!(x), 1)
#define OP_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* One expression of the operands a and b. */
#define OP_UNARY(name, result, type, expression)                                                             \
    static inline result op_##name(type a) { return (result)(expression); }
#define OP_BINARY(name, result, type, expression)                                                            \
    static inline result op_##name(type a, type b) { return (result)(expression); }

/* ---- integers ---- */

#define OP_INTEGER(N, type, signed_type, bits)                                                               \
    OP_UNARY(N##_eqz, uint32_t, type, a == 0)                                                                \
    OP_BINARY(N##_eq, uint32_t, type, a == b)                                                                \
    OP_BINARY(N##_ne, uint32_t, type, a != b)                                                                \
    OP_BINARY(N##_lt_s, uint32_t, type, (signed_type)a < (signed_type)b)                                     \
    OP_BINARY(N##_lt_u, uint32_t, type, a < b)                                                               \
    OP_BINARY(N##_gt_s, uint32_t, type, (signed_type)a > (signed_type)b)                                     \
    OP_BINARY(N##_gt_u, uint32_t, type, a > b)                                                               \
    OP_BINARY(N##_le_s, uint32_t, type, (signed_type)a <= (signed_type)b)                                    \
    OP_BINARY(N##_le_u, uint32_t, type, a <= b)                                                              \
    OP_BINARY(N##_ge_s, uint32_t, type, (signed_type)a >= (signed_type)b)                                    \
    OP_BINARY(N##_ge_u, uint32_t, type, a >= b)                                                              \
    OP_BINARY(N##_add, type, type, a + b)                                                                    \
    OP_BINARY(N##_sub, type, type, a - b)                                                                    \
    OP_BINARY(N##_mul, type, type, a *b)                                                                     \
    OP_BINARY(N##_and, type, type, a &b)                                                                     \
    OP_BINARY(N##_or, type, type, a | b)                                                                     \
    OP_BINARY(N##_xor, type, type, a ^ b)                                                                    \
    OP_BINARY(N##_shl, type, type, a << (b & (bits - 1)))                                                    \
    OP_BINARY(N##_shr_s, type, type, (signed_type)a >> (b & (bits - 1)))                                     \
    OP_BINARY(N##_shr_u, type, type, a >> (b & (bits - 1)))                                                  \
    OP_BINARY(N##_rotl, type, type, a << (b & (bits - 1)) | a >> (-b & (bits - 1)))                          \
    OP_BINARY(N##_rotr, type, type, a >> (b & (bits - 1)) | a << (-b & (bits - 1)))                          \
    static inline enum rt_trap op_##N##_div_s(type a, type b, type *out) {                                   \
        if (OP_UNLIKELY(b == 0)) return RT_TRAP_DIVIDE_BY_ZERO;                                              \
        if (OP_UNLIKELY(b == (type)-1)) { /* the one overflow; negation needs no division */                 \
            if (a == (type)1 << (bits - 1)) return RT_TRAP_INTEGER_OVERFLOW;                                 \
            *out = -a;                                                                                       \
            return RT_TRAP_NONE;                                                                             \
        }                                                                                                    \
        *out = (type)((signed_type)a / (signed_type)b);                                                      \
        return RT_TRAP_NONE;                                                                                 \
    }                                                                                                        \
    static inline enum rt_trap op_##N##_div_u(type a, type b, type *out) {                                   \
        if (OP_UNLIKELY(b == 0)) return RT_TRAP_DIVIDE_BY_ZERO;                                              \
        *out = a / b;                                                                                        \
        return RT_TRAP_NONE;                                                                                 \
    }                                                                                                        \
    static inline enum rt_trap op_##N##_rem_s(type a, type b, type *out) {                                   \
        if (OP_UNLIKELY(b == 0)) return RT_TRAP_DIVIDE_BY_ZERO;                                              \
        *out = b == (type)-1 ? 0 : (type)((signed_type)a % (signed_type)b);                                  \
        return RT_TRAP_NONE;                                                                                 \
    }                                                                                                        \
    static inline enum rt_trap op_##N##_rem_u(type a, type b, type *out) {                                   \
        if (OP_UNLIKELY(b == 0)) return RT_TRAP_DIVIDE_BY_ZERO;                                              \
        *out = a % b;                                                                                        \
        return RT_TRAP_NONE;                                                                                 \
    }
OP_INTEGER(i32, uint32_t, int32_t, 32)
OP_INTEGER(i64, uint64_t, int64_t, 64)
#undef OP_INTEGER

OP_UNARY(i32_clz, uint32_t, uint32_t, a ? __builtin_clz(a) : 32)
OP_UNARY(i32_ctz, uint32_t, uint32_t, a ? __builtin_ctz(a) : 32)
OP_UNARY(i32_popcnt, uint32_t, uint32_t, __builtin_popcount(a))
OP_UNARY(i64_clz, uint64_t, uint64_t, a ? __builtin_clzll(a) : 64)
OP_UNARY(i64_ctz, uint64_t, uint64_t, a ? __builtin_ctzll(a) : 64)
OP_UNARY(i64_popcnt, uint64_t, uint64_t, __builtin_popcountll(a))

OP_UNARY(i32_wrap_i64, uint32_t, uint64_t, a)
OP_UNARY(i64_extend_i32_s, uint64_t, uint32_t, (int32_t)a)
OP_UNARY(i64_extend_i32_u, uint64_t, uint32_t, a)
OP_UNARY(i32_extend8_s, uint32_t, uint32_t, (int8_t)a)
OP_UNARY(i32_extend16_s, uint32_t, uint32_t, (int16_t)a)
OP_UNARY(i64_extend8_s, uint64_t, uint64_t, (int8_t)a)
OP_UNARY(i64_extend16_s, uint64_t, uint64_t, (int16_t)a)
OP_UNARY(i64_extend32_s, uint64_t, uint64_t, (int32_t)a)

/* ---- bits of floats ---- */

static inline uint32_t op_i32_reinterpret_f32(float a) {
    uint32_t bits;
    __builtin_memcpy(&bits, &a, sizeof bits);
    return bits;
}
static inline uint64_t op_i64_reinterpret_f64(double a) {
    uint64_t bits;
    __builtin_memcpy(&bits, &a, sizeof bits);
    return bits;
}
static inline float op_f32_reinterpret_i32(uint32_t bits) {
    float a;
    __builtin_memcpy(&a, &bits, sizeof a);
    return a;
}
static inline double op_f64_reinterpret_i64(uint64_t bits) {
    double a;
    __builtin_memcpy(&a, &bits, sizeof a);
    return a;
}

/* ---- floats ---- */

/* SQRT and ROUND are intrinsics: the C library's functions set errno and are calls at -O0. min and max: SSE's
 * minss answers its second operand for NaNs and for zeros of either sign, hence the two rare branches; the
 * sum of unordered operands is a quiet NaN. */
#define OP_FLOAT(N, I, type, bits_type, sign, SQRT, ROUND)                                                   \
    OP_BINARY(N##_eq, uint32_t, type, a == b)                                                                \
    OP_BINARY(N##_ne, uint32_t, type, a != b)                                                                \
    OP_BINARY(N##_lt, uint32_t, type, a < b)                                                                 \
    OP_BINARY(N##_gt, uint32_t, type, a > b)                                                                 \
    OP_BINARY(N##_le, uint32_t, type, a <= b)                                                                \
    OP_BINARY(N##_ge, uint32_t, type, a >= b)                                                                \
    OP_BINARY(N##_add, type, type, a + b)                                                                    \
    OP_BINARY(N##_sub, type, type, a - b)                                                                    \
    OP_BINARY(N##_mul, type, type, a *b)                                                                     \
    OP_BINARY(N##_div, type, type, a / b)                                                                    \
    OP_UNARY(N##_ceil, type, type, ROUND(a, _MM_FROUND_TO_POS_INF))                                          \
    OP_UNARY(N##_floor, type, type, ROUND(a, _MM_FROUND_TO_NEG_INF))                                         \
    OP_UNARY(N##_trunc, type, type, ROUND(a, _MM_FROUND_TO_ZERO))                                            \
    OP_UNARY(N##_nearest, type, type, ROUND(a, _MM_FROUND_TO_NEAREST_INT))                                   \
    OP_UNARY(N##_sqrt, type, type, SQRT(a))                                                                  \
    static inline type op_##N##_abs(type a) {                                                                \
        return op_##N##_reinterpret_##I(op_##I##_reinterpret_##N(a) & ~(sign));                              \
    }                                                                                                        \
    static inline type op_##N##_neg(type a) {                                                                \
        return op_##N##_reinterpret_##I(op_##I##_reinterpret_##N(a) ^ (sign));                               \
    }                                                                                                        \
    static inline type op_##N##_copysign(type a, type b) {                                                   \
        bits_type magnitude = op_##I##_reinterpret_##N(a) & ~(sign);                                         \
        return op_##N##_reinterpret_##I(magnitude | (op_##I##_reinterpret_##N(b) & (sign)));                 \
    }                                                                                                        \
    static inline type op_##N##_min(type a, type b) {                                                        \
        if (OP_UNLIKELY(__builtin_isunordered(a, b))) return a + b;                                          \
        if (OP_UNLIKELY(a == b))                                                                             \
            return op_##N##_reinterpret_##I(op_##I##_reinterpret_##N(a) | op_##I##_reinterpret_##N(b));      \
        return a < b ? a : b;                                                                                \
    }                                                                                                        \
    static inline type op_##N##_max(type a, type b) {                                                        \
        if (OP_UNLIKELY(__builtin_isunordered(a, b))) return a + b;                                          \
        if (OP_UNLIKELY(a == b))                                                                             \
            return op_##N##_reinterpret_##I(op_##I##_reinterpret_##N(a) & op_##I##_reinterpret_##N(b));      \
        return a > b ? a : b;                                                                                \
    }
#define OP_SQRT_F32(a) _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a)))
#define OP_SQRT_F64(a) _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(a)))
#define OP_ROUND_F32(a, mode)                                                                                \
    _mm_cvtss_f32(_mm_round_ss(_mm_setzero_ps(), _mm_set_ss(a), (mode) | _MM_FROUND_NO_EXC))
#define OP_ROUND_F64(a, mode)                                                                                \
    _mm_cvtsd_f64(_mm_round_sd(_mm_setzero_pd(), _mm_set_sd(a), (mode) | _MM_FROUND_NO_EXC))
OP_FLOAT(f32, i32, float, uint32_t, UINT32_C(1) << 31, OP_SQRT_F32, OP_ROUND_F32)
OP_FLOAT(f64, i64, double, uint64_t, UINT64_C(1) << 63, OP_SQRT_F64, OP_ROUND_F64)
#undef OP_FLOAT
#undef OP_SQRT_F32
#undef OP_SQRT_F64
#undef OP_ROUND_F32
#undef OP_ROUND_F64

OP_UNARY(f32_demote_f64, float, double, a)
OP_UNARY(f64_promote_f32, double, float, a)
OP_UNARY(f32_convert_i32_s, float, uint32_t, (int32_t)a)
OP_UNARY(f32_convert_i32_u, float, uint32_t, a)
OP_UNARY(f32_convert_i64_s, float, uint64_t, (int64_t)a)
OP_UNARY(f32_convert_i64_u, float, uint64_t, a)
OP_UNARY(f64_convert_i32_s, double, uint32_t, (int32_t)a)
OP_UNARY(f64_convert_i32_u, double, uint32_t, a)
OP_UNARY(f64_convert_i64_s, double, uint64_t, (int64_t)a)
OP_UNARY(f64_convert_i64_u, double, uint64_t, a)

/* ---- floats to integers ---- */

/* cvttss2si and its kin: truncate, or the smallest integer when the result does not fit or the operand is a
 * NaN. That answer is also the only one to look at twice. */
static inline int32_t op_cvtt32_f32(float a) { return _mm_cvttss_si32(_mm_set_ss(a)); }
static inline int32_t op_cvtt32_f64(double a) { return _mm_cvttsd_si32(_mm_set_sd(a)); }
static inline int64_t op_cvtt64_f32(float a) { return _mm_cvttss_si64(_mm_set_ss(a)); }
static inline int64_t op_cvtt64_f64(double a) { return _mm_cvttsd_si64(_mm_set_sd(a)); }

#define OP_TWO_31 2147483648.0
#define OP_TWO_63 9223372036854775808.0

/* min_fits(a): a truncates to the smallest integer properly. */
#define OP_TRUNC_SIGNED(I, F, type, int_type, bits, min, min_fits)                                           \
    static inline enum rt_trap op_##I##_trunc_##F##_s(type a, uint##bits##_t *out) {                         \
        int_type r = op_cvtt##bits##_##F(a);                                                                 \
        *out = (uint##bits##_t)r;                                                                            \
        if (OP_LIKELY(r != (min)) || (min_fits)) return RT_TRAP_NONE;                                        \
        return a != a ? RT_TRAP_INVALID_CONVERSION : RT_TRAP_INTEGER_OVERFLOW;                               \
    }                                                                                                        \
    static inline uint##bits##_t op_##I##_trunc_sat_##F##_s(type a) {                                        \
        int_type r = op_cvtt##bits##_##F(a);                                                                 \
        if (OP_LIKELY(r != (min)) || a < 0) return (uint##bits##_t)r;                                        \
        return a != a ? 0 : ~(uint##bits##_t)(min);                                                          \
    }
OP_TRUNC_SIGNED(i32, f32, float, int32_t, 32, INT32_MIN, a == (float)-OP_TWO_31)
OP_TRUNC_SIGNED(i32, f64, double, int32_t, 32, INT32_MIN, a <= -OP_TWO_31 && a > -OP_TWO_31 - 1)
OP_TRUNC_SIGNED(i64, f32, float, int64_t, 64, INT64_MIN, a == (float)-OP_TWO_63)
OP_TRUNC_SIGNED(i64, f64, double, int64_t, 64, INT64_MIN, a == -OP_TWO_63)
#undef OP_TRUNC_SIGNED

/* Through 64 bits every good result has an empty upper half, and nothing else has. */
#define OP_TRUNC_U32(F, type)                                                                                \
    static inline enum rt_trap op_i32_trunc_##F##_u(type a, uint32_t *out) {                                 \
        uint64_t r = (uint64_t)op_cvtt64_##F(a);                                                             \
        *out = (uint32_t)r;                                                                                  \
        if (OP_LIKELY(r >> 32 == 0)) return RT_TRAP_NONE;                                                    \
        return a != a ? RT_TRAP_INVALID_CONVERSION : RT_TRAP_INTEGER_OVERFLOW;                               \
    }                                                                                                        \
    static inline uint32_t op_i32_trunc_sat_##F##_u(type a) {                                                \
        uint64_t r = (uint64_t)op_cvtt64_##F(a);                                                             \
        if (OP_LIKELY(r >> 32 == 0)) return (uint32_t)r;                                                     \
        return a > 0 ? UINT32_MAX : 0;                                                                       \
    }
OP_TRUNC_U32(f32, float)
OP_TRUNC_U32(f64, double)
#undef OP_TRUNC_U32

/* The upper half of the range is converted 2^63 lower, which is exact there. */
#define OP_TRUNC_U64(F, type)                                                                                \
    static inline enum rt_trap op_i64_trunc_##F##_u(type a, uint64_t *out) {                                 \
        int64_t r = op_cvtt64_##F(a);                                                                        \
        if (OP_UNLIKELY(r < 0)) {                                                                            \
            r = op_cvtt64_##F(a - (type)OP_TWO_63);                                                          \
            if (a != a) return RT_TRAP_INVALID_CONVERSION;                                                   \
            if (r < 0) return RT_TRAP_INTEGER_OVERFLOW;                                                      \
            r = (int64_t)((uint64_t)r | UINT64_C(1) << 63);                                                  \
        }                                                                                                    \
        *out = (uint64_t)r;                                                                                  \
        return RT_TRAP_NONE;                                                                                 \
    }                                                                                                        \
    static inline uint64_t op_i64_trunc_sat_##F##_u(type a) {                                                \
        int64_t r = op_cvtt64_##F(a);                                                                        \
        if (OP_LIKELY(r >= 0)) return (uint64_t)r;                                                           \
        if (!(a > 0)) return 0;                                                                              \
        r = op_cvtt64_##F(a - (type)OP_TWO_63);                                                              \
        return r < 0 ? UINT64_MAX : (uint64_t)r | UINT64_C(1) << 63;                                         \
    }
OP_TRUNC_U64(f32, float)
OP_TRUNC_U64(f64, double)
#undef OP_TRUNC_U64

/* ---- i31 references, as the words they are ---- */

OP_UNARY(ref_i31, uint64_t, uint32_t, (uintptr_t)rt_i31_new(a))
#define OP_I31_GET(name, value)                                                                              \
    static inline enum rt_trap op_i31_get_##name(uint64_t a, uint32_t *out) {                                \
        *out = (uint32_t)(value);                                                                            \
        return OP_LIKELY(a) ? RT_TRAP_NONE : RT_TRAP_NULL_I31;                                               \
    }
OP_I31_GET(s, (int32_t)(uint32_t)a >> 1)
OP_I31_GET(u, (uint32_t)a >> 1)
#undef OP_I31_GET

#endif
