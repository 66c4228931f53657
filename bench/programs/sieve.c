/* Primes by sieving bytes: strided stores, one long loop in one call. */
#include "bench.h"

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 40000000);
    unsigned char *composite = calloc((size_t)n + 1, 1);
    uint64_t count = 0, last = 0;
    if (!composite) return 1;
    for (long i = 2; i <= n; i++) {
        if (composite[i]) continue;
        count++;
        last = (uint64_t)i;
        if (i > n / i) continue;
        for (long k = i * i; k <= n; k += i) composite[k] = 1;
    }
    return bench_done(count << 32 ^ last);
}
