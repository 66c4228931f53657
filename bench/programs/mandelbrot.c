/* Escape times over a grid: a tight loop of double multiplications with an unpredictable end. */
#include "bench.h"

int main(int argc, char **argv) {
    long size = bench_size(argc, argv, 1600);
    uint64_t sum = 0;
    for (long row = 0; row < size; row++)
        for (long column = 0; column < size; column++) {
            double cr = 3.0 * (double)column / (double)size - 2.1,
                   ci = 2.4 * (double)row / (double)size - 1.2;
            double zr = 0, zi = 0, rr = 0, ii = 0;
            int n = 0;
            for (; n < 200 && rr + ii < 4; n++) {
                zi = 2 * zr * zi + ci;
                zr = rr - ii + cr;
                rr = zr * zr;
                ii = zi * zi;
            }
            sum = sum * 31 + (uint64_t)n;
        }
    return bench_done(sum);
}
