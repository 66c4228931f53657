/* Power iteration with a matrix that is computed on the fly: integer and floating division. */
#include <math.h>
#include "bench.h"

static double element(long i, long j) { return 1.0 / (double)((i + j) * (i + j + 1) / 2 + i + 1); }

static void multiply(long n, const double *v, double *out, int transposed) {
    for (long i = 0; i < n; i++) {
        double sum = 0;
        for (long j = 0; j < n; j++) sum += (transposed ? element(j, i) : element(i, j)) * v[j];
        out[i] = sum;
    }
}

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 3200);
    double *u = malloc((size_t)n * 8), *v = malloc((size_t)n * 8), *t = malloc((size_t)n * 8), uv = 0, vv = 0;
    if (!u || !v || !t) return 1;
    for (long i = 0; i < n; i++) u[i] = 1;
    for (int k = 0; k < 10; k++) {
        multiply(n, u, t, 0);
        multiply(n, t, v, 1);
        multiply(n, v, t, 0);
        multiply(n, t, u, 1);
    }
    for (long i = 0; i < n; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    return bench_done(bench_digits(sqrt(uv / vv)));
}
