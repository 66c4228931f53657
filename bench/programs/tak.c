/* Takeuchi's function: calls with three arguments, deeper. */
#include "bench.h"

static int __attribute__((noinline)) tak(int x, int y, int z) {
    return y < x ? tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y)) : z;
}

int main(int argc, char **argv) {
    int n = (int)bench_size(argc, argv, 32);
    return bench_done((uint64_t)tak(n, 2 * n / 3, n / 3));
}
