/* Quicksort with a comparison function, then heapsort in line: swaps, branches, indirect calls. */
#include "bench.h"

static int by_value(const uint32_t *a, const uint32_t *b) { return *a < *b ? -1 : *a > *b; }
static int by_low_bits(const uint32_t *a, const uint32_t *b) {
    uint32_t x = *a & 0xFFFF, y = *b & 0xFFFF;
    return x != y ? (x < y ? -1 : 1) : by_value(a, b);
}
static int (*volatile order)(const uint32_t *, const uint32_t *) = by_value;

static void swap(uint32_t *a, uint32_t *b) {
    uint32_t t = *a;
    *a = *b, *b = t;
}

static void quick(uint32_t *v, long n, int (*compare)(const uint32_t *, const uint32_t *)) {
    while (n > 12) {
        uint32_t pivot = v[n / 2];
        long i = 0, j = n - 1;
        for (;;) {
            while (compare(&v[i], &pivot) < 0) i++;
            while (compare(&pivot, &v[j]) < 0) j--;
            if (i >= j) break;
            swap(&v[i++], &v[j--]);
        }
        long left = j + 1;
        if (left < n - left) {
            quick(v, left, compare);
            v += left, n -= left;
        } else {
            quick(v + left, n - left, compare);
            n = left;
        }
    }
    for (long i = 1; i < n; i++)
        for (long k = i; k > 0 && compare(&v[k], &v[k - 1]) < 0; k--) swap(&v[k], &v[k - 1]);
}

static void sift(uint32_t *v, long root, long n) {
    for (long child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child] < v[child + 1]) child++;
        if (v[root] >= v[child]) return;
        swap(&v[root], &v[child]);
    }
}

static void heap(uint32_t *v, long n) {
    for (long i = n / 2; i-- > 0;) sift(v, i, n);
    for (long i = n; i-- > 1;) {
        swap(&v[0], &v[i]);
        sift(v, 0, i);
    }
}

int main(int argc, char **argv) {
    long n = bench_size(argc, argv, 1300000);
    uint32_t *v = malloc((size_t)n * sizeof *v);
    uint64_t seed = 29, sum = 0;
    if (!v) return 1;
    for (int round = 0; round < 3; round++) {
        for (long i = 0; i < n; i++) v[i] = (uint32_t)(bench_random(&seed) >> 32);
        if (round == 2)
            heap(v, n);
        else
            quick(v, n, round ? by_low_bits : order);
        for (long i = 0; i < n; i += 997) sum = sum * 31 + v[i];
    }
    return bench_done(sum);
}
