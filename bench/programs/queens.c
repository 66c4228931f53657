/* Queens on a board by bit sets: recursion and logic on integers. */
#include "bench.h"

static uint32_t __attribute__((noinline))
place(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t count = 0;
    if (columns == all) return 1;
    for (uint32_t free = all & ~(columns | left | right); free; free &= free - 1) {
        uint32_t bit = free & -free;
        count += place(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

int main(int argc, char **argv) {
    uint32_t n = (uint32_t)bench_size(argc, argv, 14);
    return bench_done(place((1u << n) - 1, 0, 0, 0));
}
