/* Fibonacci by recursion: nothing but calls. */
#include "bench.h"

static uint32_t __attribute__((noinline)) fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(int argc, char **argv) { return bench_done(fib((uint32_t)bench_size(argc, argv, 41))); }
