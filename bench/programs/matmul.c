/* Dense matrices of doubles, multiplied in blocks: loads, multiply and add, address arithmetic. */
#include "bench.h"

#define BLOCK 32
static double *new_matrix(long n, uint64_t seed) {
    double *m = malloc((size_t)(n * n) * sizeof *m);
    for (long i = 0; m && i < n * n; i++) m[i] = (double)(bench_random(&seed) >> 40) / (1 << 24);
    return m;
}

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 1056) / BLOCK * BLOCK;
    double *a = new_matrix(n, 1), *b = new_matrix(n, 2), *c = calloc((size_t)(n * n), sizeof *c), trace = 0;
    if (!a || !b || !c) return 1;
    for (long i0 = 0; i0 < n; i0 += BLOCK)
        for (long k0 = 0; k0 < n; k0 += BLOCK)
            for (long j0 = 0; j0 < n; j0 += BLOCK)
                for (long i = i0; i < i0 + BLOCK; i++)
                    for (long k = k0; k < k0 + BLOCK; k++) {
                        double x = a[i * n + k];
                        for (long j = j0; j < j0 + BLOCK; j++) c[i * n + j] += x * b[k * n + j];
                    }
    for (long i = 0; i < n; i++) trace += c[i * n + i];
    return bench_done(bench_digits(trace));
}
