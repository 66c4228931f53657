/* An open-addressing hash table: insert, find, remove; random access. */
#include "bench.h"

struct entry {
    uint64_t key; /* 0 = free */
    uint64_t value;
};
static struct entry *table;
static size_t mask;

static struct entry *slot(uint64_t key) {
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (table[i].key && table[i].key != key) i = (i + 1) & mask;
    return &table[i];
}

static void erase(struct entry *e) {
    size_t hole = (size_t)(e - table), i = hole;
    for (;;) {
        i = (i + 1) & mask;
        if (!table[i].key) break;
        size_t home = (size_t)(table[i].key * 0x9E3779B97F4A7C15u >> 20) & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        table[hole] = table[i];
        hole = i;
    }
    table[hole].key = 0;
}

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 8000000);
    uint64_t seed = 11, sum = 0;
    mask = ((size_t)1 << 19) - 1;
    table = calloc(mask + 1, sizeof *table);
    if (!table) return 1;
    for (long i = 0; i < n; i++) {
        uint64_t key = bench_random(&seed) % 400000 + 1;
        struct entry *e = slot(key);
        if (!e->key)
            *e = (struct entry){key, (uint64_t)i};
        else if (i % 3 == 0)
            erase(e);
        else
            sum += e->value++;
    }
    return bench_done(sum);
}
