/* tests/interp/numeric_reference.h: what numbers are by the specification, computed the slow and plain way:
 * in 113-bit floats, which round once for every operation tested here, and in 128-bit integers. Nothing here
 * uses the instructions under test. */
#ifndef ATOLL_TESTS_NUMERIC_REFERENCE_H
#define ATOLL_TESTS_NUMERIC_REFERENCE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

__extension__ typedef __float128 ref_wide;
__extension__ typedef __int128 ref_int;

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const uint64_t ref_ints[] = {0,
                                    1,
                                    2,
                                    7,
                                    31,
                                    32,
                                    33,
                                    63,
                                    64,
                                    0x7F,
                                    0x80,
                                    0xFF,
                                    0x7FFF,
                                    0x8000,
                                    0xFFFF,
                                    0xFFFFFF,
                                    0x1000001,
                                    0x1000003,
                                    0x7FFFFF80,
                                    0x7FFFFFFF,
                                    0x80000000,
                                    0x80000001,
                                    0xFFFFFF80,
                                    0xFFFFFFFE,
                                    0xFFFFFFFF,
                                    0x100000000,
                                    0x123456789ABCDEF0,
                                    0x20000000000001,
                                    0x20000020000001,
                                    0x7FFFFFBFFFFFFFFF,
                                    0x7FFFFFC000000000,
                                    0x7FFFFFFFFFFFFBFF,
                                    0x7FFFFFFFFFFFFC00,
                                    0x7FFFFFFFFFFFFFFF,
                                    0x8000000000000000,
                                    0x8000000000000001,
                                    0x8000000000000400,
                                    0x8000008000000001,
                                    0xFFFFFFFFFFFFFBFF,
                                    0xFFFFFFFFFFFFFC00,
                                    0xFFFFFFFF00000000,
                                    0xFFFFFFFFFFFFFFFE,
                                    UINT64_MAX};

static const uint32_t ref_f32_bits[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x3EFFFFFF, 0x3F000000,
    0x3F000001, 0x3F7FFFFF, 0x3F800000, 0xBF800000, 0x3F800001, 0x3FC00000, 0xBFC00000, 0x40200000,
    0xC0200000, 0x40490FDB, 0x4AFFFFFF, 0x4B000001, 0x4B800001, 0x4EFFFFFF, 0x4F000000, 0xCF000000,
    0xCF000001, 0x4F7FFFFF, 0x4F800000, 0x5EFFFFFF, 0x5F000000, 0xDF000000, 0xDF000001, 0x5F7FFFFF,
    0x5F800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001,
    0x7FA5A5A5, 0xFFFFFFFF, 0xBF7FFFFF, 0xBF000000, 0xBEFFFFFF};

static const uint64_t ref_f64_bits[] = {
    0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001, 0x000FFFFFFFFFFFFF,
    0x0010000000000000, 0x3FDFFFFFFFFFFFFF, 0x3FE0000000000000, 0xBFE0000000000000, 0x3FEFFFFFFFFFFFFF,
    0xBFEFFFFFFFFFFFFF, 0x3FF0000000000000, 0xBFF0000000000000, 0x3FF0000000000001, 0x3FF8000000000000,
    0xBFF8000000000000, 0x4004000000000000, 0xC004000000000000, 0x400921FB54442D18, 0x41DFFFFFFFC00000,
    0x41DFFFFFFFFFFFFF, 0x41E0000000000000, 0xC1E0000000000000, 0xC1E00000001FFFFF, 0xC1E0000000200000,
    0x41EFFFFFFFE00000, 0x41EFFFFFFFFFFFFF, 0x41F0000000000000, 0x432FFFFFFFFFFFFF, 0x4330000000000001,
    0x43DFFFFFFFFFFFFF, 0x43E0000000000000, 0xC3E0000000000000, 0xC3E0000000000001, 0x43EFFFFFFFFFFFFF,
    0x43F0000000000000, 0x36A0000000000000, 0x36A0000000000001, 0x3690000000000000, 0x380FFFFFE0000000,
    0x380FFFFFF0000000, 0x47EFFFFFE0000000, 0x47EFFFFFEFFFFFFF, 0x47EFFFFFF0000000, 0x3FF0000010000000,
    0x3FF0000030000000, 0x3FF0000010000001, 0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x7FF0000000000000,
    0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FF5A5A5A5A5A5A5,
    0xFFFFFFFFFFFFFFFF};

static inline float ref_f32(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline double ref_f64(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}
static inline uint32_t ref_bits32(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}
static inline uint64_t ref_bits64(double d) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

/* ---- NaNs ---- */

#define REF_NAN32(bits) (((bits)&0x7FFFFFFF) > 0x7F800000)
#define REF_NAN64(bits) (((bits)&INT64_MAX) > 0x7FF0000000000000)
/* Propagation: canonical when every NaN that went in was canonical (or none did), else any arithmetic NaN. */
static inline bool ref_nan_free32(uint32_t bits) { return !REF_NAN32(bits) || (bits << 1) == 0xFF800000; }
static inline bool ref_nan_free64(uint64_t bits) {
    return !REF_NAN64(bits) || (bits << 1) == 0xFFF0000000000000;
}
static inline bool ref_same32(uint32_t want, uint32_t got, bool canonical) {
    if (!REF_NAN32(want)) return want == got;
    return canonical ? (got << 1) == 0xFF800000 : (got & 0x7FC00000) == 0x7FC00000;
}
static inline bool ref_same64(uint64_t want, uint64_t got, bool canonical) {
    if (!REF_NAN64(want)) return want == got;
    return canonical ? (got << 1) == 0xFFF0000000000000 : (got & 0x7FF8000000000000) == 0x7FF8000000000000;
}

/* ---- float operations, in ref_wide, rounded to F at the end ---- */

#define REF_FLOATS(N, F, is_zero_negative)                                                                   \
    static inline F ref_##N##_add(F a, F b) { return (F)((ref_wide)a + (ref_wide)b); }                       \
    static inline F ref_##N##_sub(F a, F b) { return (F)((ref_wide)a - (ref_wide)b); }                       \
    static inline F ref_##N##_mul(F a, F b) { return (F)((ref_wide)a * (ref_wide)b); }                       \
    static inline F ref_##N##_div(F a, F b) { return (F)((ref_wide)a / (ref_wide)b); }                       \
    static inline F ref_##N##_min(F a, F b) {                                                                \
        if (a != a || b != b) return (F)NAN;                                                                 \
        if (a == 0 && b == 0) return is_zero_negative(a) ? a : b;                                            \
        return a < b ? a : b;                                                                                \
    }                                                                                                        \
    static inline F ref_##N##_max(F a, F b) {                                                                \
        if (a != a || b != b) return (F)NAN;                                                                 \
        if (a == 0 && b == 0) return is_zero_negative(a) ? b : a;                                            \
        return a > b ? a : b;                                                                                \
    }                                                                                                        \
    static inline F ref_##N##_pmin(F a, F b) { return b < a ? b : a; }                                       \
    static inline F ref_##N##_pmax(F a, F b) { return a < b ? b : a; }
#define REF_NEGATIVE32(x) (ref_bits32(x) >> 31)
#define REF_NEGATIVE64(x) (ref_bits64(x) >> 63)
REF_FLOATS(f32, float, REF_NEGATIVE32)
REF_FLOATS(f64, double, REF_NEGATIVE64)

/* To the nearest integer, ties to even, from the truncation alone. */
static inline double ref_nearest(double a) {
    if (a != a || fabs(a) >= 0x1p52) return a;
    double whole = (double)(int64_t)a, rest = fabs(a - whole);
    if (rest > 0.5 || (rest == 0.5 && (int64_t)whole % 2)) whole += a < 0 ? -1 : 1;
    return copysign(whole, a);
}
static inline double ref_floor(double a) {
    if (a != a || fabs(a) >= 0x1p52) return a;
    double whole = (double)(int64_t)a;
    return copysign(whole > a ? whole - 1 : whole, a);
}
static inline double ref_ceil(double a) { return -ref_floor(-a); }
static inline double ref_trunc(double a) { return a < 0 || ref_bits64(a) >> 63 ? ref_ceil(a) : ref_floor(a); }

/* ---- between floats and integers ---- */

/* The integer a float truncates to; false in *fits when outside [low, high] or a NaN. */
static inline ref_int ref_truncate(double a, ref_int low, ref_int high, bool *fits) {
    *fits = false;
    if (a != a) return 0;
    if (fabs(a) >= 0x1p100) return a < 0 ? low : high;
    ref_int whole = (ref_int)a;
    *fits = whole >= low && whole <= high;
    return whole < low ? low : whole > high ? high : whole;
}
static inline ref_int ref_saturate(double a, ref_int low, ref_int high) {
    bool fits;
    return ref_truncate(a, low, high, &fits);
}

/* ---- random bits, the same in every run ---- */

static inline uint64_t ref_random(void) {
    static uint64_t x = 88172645463325252;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

#endif
