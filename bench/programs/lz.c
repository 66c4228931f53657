/* LZ77 with hash chains, then the way back: byte copies, comparisons, unpredictable branches. */
#include "bench.h"

#define SIZE   (1 << 18)
#define WINDOW 32768
static unsigned char in[SIZE], out[SIZE + SIZE / 8 + 64], back[SIZE];
static int32_t head[1 << 15], chain[SIZE];

static uint32_t hash_of(const unsigned char *p) {
    return ((uint32_t)p[0] << 10 ^ (uint32_t)p[1] << 5 ^ p[2]) * 2654435761u >> 17;
}

static int longest(int at, int *distance) {
    int best = 2;
    int32_t candidate = head[hash_of(in + at)];
    for (int tries = 24; tries && candidate >= 0 && at - candidate < WINDOW;
         tries--, candidate = chain[candidate]) {
        int n = 0, limit = SIZE - at < 258 ? SIZE - at : 258;
        while (n < limit && in[candidate + n] == in[at + n]) n++;
        if (n > best) best = n, *distance = at - candidate;
    }
    return best;
}

static void note(int at) {
    if (at + 3 > SIZE) return;
    uint32_t h = hash_of(in + at);
    chain[at] = head[h];
    head[h] = at;
}

static size_t compress(void) {
    size_t o = 0;
    memset(head, -1, sizeof head);
    for (int at = 0; at < SIZE;) {
        int distance = 0, n = at + 3 <= SIZE ? longest(at, &distance) : 0;
        if (distance) {
            out[o++] = 0;
            out[o++] = (unsigned char)(n - 3);
            out[o++] = (unsigned char)distance;
            out[o++] = (unsigned char)(distance >> 8);
            while (n--) note(at++);
        } else {
            if (!in[at])
                out[o++] = 0, out[o++] = 255, out[o++] = 0, out[o++] = 0;
            else
                out[o++] = in[at];
            note(at++);
        }
    }
    return o;
}

static void expand(size_t size) {
    size_t at = 0;
    for (size_t i = 0; i < size;) {
        if (out[i]) {
            back[at++] = out[i++];
            continue;
        }
        size_t n = out[i + 1] + 3u, distance = out[i + 2] | (size_t)out[i + 3] << 8;
        i += 4;
        if (!distance) {
            back[at++] = 0;
            continue;
        }
        for (; n; n--, at++) back[at] = back[at - distance];
    }
}

int main(int argc, char **argv) {
    uint64_t seed = 23, sum = 0;
    for (int i = 0; i < SIZE; i++) {
        uint64_t r = bench_random(&seed);
        in[i] = i > 600 && r % 8 ? in[i - 1 - (int)(r >> 8) % 3 - (int)(r >> 20) % 2 * 500]
                                 : (unsigned char)(r >> 56);
    }
    for (long r = bench_size(argc, argv, 50); r > 0; r--) {
        size_t n = compress();
        expand(n);
        if (memcmp(in, back, SIZE)) return 1;
        sum = sum * 131 + n;
        in[(size_t)r * 4099 % SIZE] ^= 0x55;
    }
    return bench_done(sum);
}
