/* bench/programs/bench.h: what every benchmark program does the same way: takes its size as argument 1,
 * prints one line, its checksum. The programs use the C library only for this. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline long bench_size(int argc, char **argv, long standard) {
    return argc > 1 ? atol(argv[1]) : standard;
}
static inline int bench_done(uint64_t checksum) {
    printf("%016llx\n", (unsigned long long)checksum);
    return 0;
}
/* A floating-point result, to 12 digits: compilers may contract and reassociate nothing, but libm is not the
 * same everywhere. */
static inline uint64_t bench_digits(double value) {
    char text[40];
    uint64_t hash = 1469598103934665603u;
    snprintf(text, sizeof text, "%.11e", value);
    for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return hash;
}
/* xorshift64*: the same numbers everywhere. */
static inline uint64_t bench_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 2685821657736338717u;
}

#endif
