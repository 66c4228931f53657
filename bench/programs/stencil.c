/* Heat spreading on a plane: single precision, neighbours in memory; vectorizes. */
#include "bench.h"

int main(int argc, char **argv) {
    long steps = bench_size(argc, argv, 1800), n = 512;
    float *a = calloc((size_t)(n * n), sizeof *a), *b = calloc((size_t)(n * n), sizeof *b);
    if (!a || !b) return 1;
    for (long i = 0; i < n; i++) a[i * n + i] = b[i * n + i] = 1000.0f;
    for (long s = 0; s < steps; s++) {
        for (long y = 1; y < n - 1; y++)
            for (long x = 1; x < n - 1; x++) {
                const float *p = a + y * n + x;
                b[y * n + x] = 0.5f * p[0] + 0.125f * (p[-1] + p[1] + p[-n] + p[n]);
            }
        float *t = a;
        a = b, b = t;
    }
    double sum = 0;
    for (long i = 0; i < n * n; i++) sum += (double)a[i];
    return bench_done(bench_digits(sum));
}
