/* Fast Fourier transform, in place, radix 2: strided memory, doubles. */
#include "bench.h"

#define MAX_LOG2 16
static double re[1 << MAX_LOG2], im[1 << MAX_LOG2], cosine[1 << MAX_LOG2], sine[1 << MAX_LOG2];

/* Roots of unity by repeated halving, so that no library function decides the digits. */
static void make_roots(int log2) {
    double c = 1, s = 0, wc = -1, ws = 0; /* e^(i pi) and its square roots */
    int n = 1 << log2;
    for (int k = 1; k < log2; k++) {
        double half = __builtin_sqrt((1 + wc) / 2);
        ws = k == 1 ? 1 : ws / (2 * half);
        wc = half;
    }
    for (int i = 0; i < n / 2; i++) {
        cosine[i] = c;
        sine[i] = s;
        double next = c * wc - s * ws;
        s = c * ws + s * wc;
        c = next;
    }
}

static void reverse_bits(int log2) {
    for (int i = 0, j = 0; i < 1 << log2; i++) {
        if (i < j) {
            double t = re[i];
            re[i] = re[j], re[j] = t;
            t = im[i], im[i] = im[j], im[j] = t;
        }
        int bit = 1 << (log2 - 1);
        for (; bit && j & bit; bit >>= 1) j ^= bit;
        j |= bit;
    }
}

static void transform(int log2) {
    int n = 1 << log2;
    reverse_bits(log2);
    for (int half = 1; half < n; half *= 2)
        for (int base = 0; base < n; base += 2 * half)
            for (int k = 0; k < half; k++) {
                int a = base + k, b = a + half, w = k * (n / 2 / half);
                double tr = re[b] * cosine[w] - im[b] * sine[w], ti = re[b] * sine[w] + im[b] * cosine[w];
                re[b] = re[a] - tr, im[b] = im[a] - ti;
                re[a] += tr, im[a] += ti;
            }
}

int main(int argc, char **argv) {
    uint64_t seed = 7;
    double sum = 0;
    int log2 = 14;
    make_roots(log2);
    for (long n = bench_size(argc, argv, 900); n > 0; n--) {
        for (int i = 0; i < 1 << log2; i++) {
            re[i] = (double)(bench_random(&seed) >> 54);
            im[i] = 0;
        }
        transform(log2);
        sum += re[1] + im[5];
    }
    return bench_done(bench_digits(__builtin_floor(sum)));
}
