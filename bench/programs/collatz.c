/* Longest Collatz chain: 64-bit integers, branches that cannot be predicted. */
#include "bench.h"

int main(int argc, char **argv) {
    uint64_t n = (uint64_t)bench_size(argc, argv, 2600000), best = 0, best_length = 0;
    for (uint64_t start = 1; start < n; start++) {
        uint64_t x = start, length = 1;
        while (x != 1) {
            x = x & 1 ? 3 * x + 1 : x >> 1;
            length++;
        }
        if (length > best_length) best_length = length, best = start;
    }
    return bench_done(best << 16 | best_length);
}
