/* bench/guest/machine.c: what programs do to a processor beside arithmetic: long doubles, copies, string instructions,
 * memory at random, code that changes. */
#include <sys/mman.h>
#include "guest.h"

/* A chaotic sequence in 80 bits, its roots, and a sum of quotients. */
int bench_x87(int argc, char **argv) {
    long double x = 0.3L, y = 2, sum = 0;
    for (long i = bench_size(argc, argv, 2000000); i > 0; i--) {
        x = 3.9L * x * (1 - x);
        __asm__("fsqrt" : "+t"(y));
        y = y + x;
        sum += x / y - (long double)(int)(x * 2) / 7;
    }
    return bench_done(bench_digits((double)sum));
}

enum { N_BLOCK = 1 << 16 };

static unsigned char *blocks(void) {
    unsigned char *p = malloc(2 * N_BLOCK);
    if (!p) exit(1);
    uint64_t seed = 11;
    for (int i = 0; i < 2 * N_BLOCK; i++) p[i] = (unsigned char)(bench_random(&seed) >> 32);
    return p;
}

/* Sizes from 16 bytes to 64 KiB, most of them small ones. */
static size_t next_size(uint64_t *seed) {
    uint64_t r = bench_random(seed) >> 20;
    return 16 + (r & ((64u << (r >> 40) % 11) - 1)) % (N_BLOCK - 80);
}

int bench_memcpy(int argc, char **argv) {
    unsigned char *p = blocks();
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    uint64_t seed = 3;
    for (long i = 64 * bench_size(argc, argv, 1500); i > 0; i--) {
        size_t n = next_size(&seed);
        copy(p + N_BLOCK + (i & 63), p + (i >> 6 & 63), n);
    }
    return bench_done(guest_hash(p, 2 * N_BLOCK));
}

int bench_memset(int argc, char **argv) {
    unsigned char *p = blocks();
    void *(*volatile set)(void *, int, size_t) = memset;
    uint64_t seed = 3;
    for (long i = 64 * bench_size(argc, argv, 3000); i > 0; i--) set(p + (i & 63), (int)i, next_size(&seed));
    return bench_done(guest_hash(p, 2 * N_BLOCK));
}

int bench_movsb(int argc, char **argv) {
    unsigned char *p = blocks();
    uint64_t seed = 3;
    for (long i = 64 * bench_size(argc, argv, 600); i > 0; i--) {
        unsigned char *to = p + N_BLOCK + (i & 63), *from = p + (i >> 6 & 63);
        size_t n = next_size(&seed);
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    }
    return bench_done(guest_hash(p, 2 * N_BLOCK));
}

int bench_stosb(int argc, char **argv) {
    unsigned char *p = blocks();
    uint64_t seed = 3;
    for (long i = 64 * bench_size(argc, argv, 600); i > 0; i--) {
        unsigned char *to = p + (i & 63);
        size_t n = next_size(&seed);
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(i) : "memory");
    }
    return bench_done(guest_hash(p, 2 * N_BLOCK));
}

/* 16 MiB: more than the translations that a processor keeps. */
int bench_updates(int argc, char **argv) {
    enum { N = 16 << 20 >> 3 };
    uint64_t *table = calloc(N, sizeof *table), seed = 9, sum = 0;
    if (!table) return 1;
    for (long i = bench_size(argc, argv, 4000000); i > 0; i--) {
        uint64_t r = bench_random(&seed);
        table[r >> 40 & (N - 1)] ^= r;
    }
    for (long i = 0; i < N; i++) sum = sum * 31 + table[i];
    return bench_done(sum);
}

/* A function whose constant is written before each of its calls: mov $constant, %eax; lea (%rax,%rdi,2), %eax; ret */
int bench_selfmod(int argc, char **argv) {
    static const unsigned char code[] = {0xB8, 0, 0, 0, 0, 0x8D, 0x04, 0x78, 0xC3};
    unsigned char *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return 1;
    memcpy(page, code, sizeof code);
    uint32_t sum = 0;
    for (long i = bench_size(argc, argv, 20000); i > 0; i--) {
        uint32_t constant = sum ^ (uint32_t)i;
        memcpy(page + 1, &constant, sizeof constant);
        for (int k = 0; k < 10; k++) sum += ((uint32_t(*)(uint32_t))(uintptr_t)page)(sum);
    }
    return bench_done(sum);
}
