/* A B-tree: inserts, look-ups and scans; memmove, binary search, pointers. */
#include "bench.h"

#define KEYS 31
struct page {
    int n, leaf;
    uint32_t keys[KEYS], values[KEYS];
    struct page *below[KEYS + 1];
};
static struct page *root;

static struct page *new_page(int leaf) {
    struct page *p = calloc(1, sizeof *p);
    if (!p) exit(1);
    p->leaf = leaf;
    return p;
}

static int position(const struct page *p, uint32_t key) {
    int low = 0, high = p->n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (p->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Splits the full page below `p` at i. */
static void split(struct page *p, int i) {
    struct page *left = p->below[i], *right = new_page(left->leaf);
    int half = KEYS / 2;
    right->n = KEYS - half - 1;
    memcpy(right->keys, left->keys + half + 1, (size_t)right->n * 4);
    memcpy(right->values, left->values + half + 1, (size_t)right->n * 4);
    if (!left->leaf)
        memcpy(right->below, left->below + half + 1, (size_t)(right->n + 1) * sizeof *right->below);
    left->n = half;
    memmove(p->keys + i + 1, p->keys + i, (size_t)(p->n - i) * 4);
    memmove(p->values + i + 1, p->values + i, (size_t)(p->n - i) * 4);
    memmove(p->below + i + 2, p->below + i + 1, (size_t)(p->n - i) * sizeof *p->below);
    p->keys[i] = left->keys[half];
    p->values[i] = left->values[half];
    p->below[i + 1] = right;
    p->n++;
}

static void insert(uint32_t key, uint32_t value) {
    if (root->n == KEYS) {
        struct page *top = new_page(0);
        top->below[0] = root;
        root = top;
        split(root, 0);
    }
    for (struct page *p = root;;) {
        int i = position(p, key);
        if (i < p->n && p->keys[i] == key) {
            p->values[i] += value;
            return;
        }
        if (p->leaf) {
            memmove(p->keys + i + 1, p->keys + i, (size_t)(p->n - i) * 4);
            memmove(p->values + i + 1, p->values + i, (size_t)(p->n - i) * 4);
            p->keys[i] = key;
            p->values[i] = value;
            p->n++;
            return;
        }
        if (p->below[i]->n == KEYS) {
            split(p, i);
            continue;
        }
        p = p->below[i];
    }
}

static uint64_t scan(const struct page *p, uint64_t sum) {
    for (int i = 0; i < p->n; i++) {
        if (!p->leaf) sum = scan(p->below[i], sum);
        sum = sum * 31 + p->keys[i] + p->values[i];
    }
    return p->leaf ? sum : scan(p->below[p->n], sum);
}

int main(int argc, char **argv) {
    uint64_t seed = 31, sum = 0;
    root = new_page(1);
    for (long n = bench_size(argc, argv, 1200000); n > 0; n--) {
        insert((uint32_t)(bench_random(&seed) >> 44), (uint32_t)n);
        if (n % 100000 == 0) sum = scan(root, sum);
    }
    return bench_done(sum);
}
