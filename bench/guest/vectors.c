/* bench/guest/vectors.c: packed arithmetic, written with intrinsics so that every compiler makes the same of it. AVX2
 * and FMA run where the processor says that it has them; elsewhere the checksum is 0, and the comparison of checksums
 * tells. */
#include <cpuid.h>
#include <immintrin.h>
#include "guest.h"

enum { N = 4096 };
static _Alignas(32) float a[N], b[N], c[N];
static _Alignas(32) uint32_t u[N], v[N];

static void fill(void) {
    uint64_t seed = 7;
    for (int i = 0; i < N; i++) {
        a[i] = (float)(bench_random(&seed) >> 44) / 1048576;
        b[i] = (float)(bench_random(&seed) >> 44) / 1048576;
        c[i] = 0;
        u[i] = (uint32_t)bench_random(&seed);
        v[i] = (uint32_t)bench_random(&seed);
    }
}

int bench_sse2_float(int argc, char **argv) {
    fill();
    for (long rounds = bench_size(argc, argv, 3000); rounds > 0; rounds--)
        for (int i = 0; i < N; i += 4) {
            __m128 x = _mm_load_ps(a + i), y = _mm_load_ps(b + i), z = _mm_load_ps(c + i);
            z = _mm_add_ps(_mm_mul_ps(z, _mm_set1_ps(0.5f)), _mm_mul_ps(x, y));
            z = _mm_max_ps(z, _mm_sub_ps(x, y));
            _mm_store_ps(c + i, _mm_add_ps(z, _mm_and_ps(_mm_cmplt_ps(x, y), y)));
        }
    return bench_done(guest_hash(c, sizeof c));
}

int bench_sse2_integer(int argc, char **argv) {
    fill();
    for (long rounds = bench_size(argc, argv, 3000); rounds > 0; rounds--)
        for (int i = 0; i < N; i += 4) {
            __m128i x = _mm_load_si128((__m128i *)(u + i)), y = _mm_load_si128((__m128i *)(v + i));
            x = _mm_add_epi32(x, _mm_xor_si128(y, _mm_srli_epi32(x, 13)));
            y = _mm_or_si128(_mm_slli_epi32(y, 7), _mm_srli_epi32(y, 25));
            y = _mm_sub_epi16(y, _mm_shuffle_epi32(x, 0x4E));
            _mm_store_si128((__m128i *)(u + i), x);
            _mm_store_si128((__m128i *)(v + i), _mm_unpacklo_epi8(y, x));
        }
    return bench_done(guest_hash(u, sizeof u) ^ guest_hash(v, sizeof v));
}

/* FMA, OSXSAVE and AVX, the system's consent, AVX2 */
static int has_avx2_and_fma(void) {
    unsigned eax, ebx, ecx, edx, low, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    if ((ecx & (1u << 12 | 1u << 27 | 1u << 28)) != (1u << 12 | 1u << 27 | 1u << 28)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6 && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & 1u << 5);
}

__attribute__((target("avx2,fma"))) static void fma_round(void) {
    for (int i = 0; i < N; i += 8) {
        __m256 x = _mm256_load_ps(a + i), y = _mm256_load_ps(b + i), z = _mm256_load_ps(c + i);
        z = _mm256_fmadd_ps(x, y, _mm256_mul_ps(z, _mm256_set1_ps(0.5f)));
        z = _mm256_fnmadd_ps(z, _mm256_set1_ps(0.25f), x);
        _mm256_store_ps(c + i, _mm256_blendv_ps(z, y, _mm256_cmp_ps(z, y, _CMP_LT_OQ)));
    }
}

int bench_avx2_fma(int argc, char **argv) {
    if (!has_avx2_and_fma()) return bench_done(0);
    fill();
    for (long rounds = bench_size(argc, argv, 3000); rounds > 0; rounds--) fma_round();
    return bench_done(guest_hash(c, sizeof c));
}

__attribute__((target("avx2"))) static void integer_round(void) {
    for (int i = 0; i < N; i += 8) {
        __m256i x = _mm256_load_si256((__m256i *)(u + i)), y = _mm256_load_si256((__m256i *)(v + i));
        x = _mm256_add_epi32(_mm256_mullo_epi32(x, _mm256_set1_epi32(0x9E3779B1)), _mm256_srli_epi32(y, 15));
        y = _mm256_xor_si256(_mm256_permutevar8x32_epi32(y, _mm256_srli_epi32(x, 29)), x);
        _mm256_store_si256((__m256i *)(u + i), x);
        _mm256_store_si256((__m256i *)(v + i), _mm256_sllv_epi32(y, _mm256_set1_epi32(1)));
    }
}

int bench_avx2_integer(int argc, char **argv) {
    if (!has_avx2_and_fma()) return bench_done(0);
    fill();
    for (long rounds = bench_size(argc, argv, 3000); rounds > 0; rounds--) integer_round();
    return bench_done(guest_hash(u, sizeof u) ^ guest_hash(v, sizeof v));
}
