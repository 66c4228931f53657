/* SHA-256 over a buffer: rotations and additions of 32 bits in a long loop body. */
#include "bench.h"

static uint32_t k[64], h[8];

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* The first 32 bits of the fractional parts of roots of primes, by integer search. */
static void constants(void) {
    int n = 0;
    for (uint32_t p = 2; n < 64; p++) {
        int prime = 1;
        for (uint32_t d = 2; d * d <= p; d++) prime &= p % d != 0;
        if (!prime) continue;
        uint64_t root = 0;
        for (int bit = 35; bit >= 0; bit--) { /* cube root of p * 2^96 */
            uint64_t t = root | (uint64_t)1 << bit;
            unsigned __int128 cube = (unsigned __int128)t * t * t;
            if (cube <= (unsigned __int128)p << 96) root = t;
        }
        k[n] = (uint32_t)root;
        if (n < 8) {
            root = 0;
            for (int bit = 35; bit >= 0; bit--) {
                uint64_t t = root | (uint64_t)1 << bit;
                if ((unsigned __int128)t * t <= (unsigned __int128)p << 64) root = t;
            }
            h[n] = (uint32_t)root;
        }
        n++;
    }
}

static void block(const unsigned char *p) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
               p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t t = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t u = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t;
        s[0] = t + u;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

int main(int argc, char **argv) {
    static unsigned char message[1 << 16];
    uint64_t seed = 17;
    for (size_t i = 0; i < sizeof message; i++) message[i] = (unsigned char)(bench_random(&seed) >> 48);
    constants();
    for (long r = bench_size(argc, argv, 800); r > 0; r--)
        for (size_t i = 0; i < sizeof message; i += 64) block(message + i);
    return bench_done((uint64_t)h[0] << 32 | h[7]);
}
