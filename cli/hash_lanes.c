/* cli/hash_lanes.c: BLAKE2b of four messages at a time, one in each 64-bit lane of a 256-bit vector: the leaves of
 * a tree are hashed so in a third of the time. Source: RFC 7693, "Mixing Function G", "Compression Function F",
 * "Message Schedule SIGMA". */
#include <string.h>
#include "cli/hash.h"

#define BLOCK_BYTES 128u
typedef uint64_t lanes __attribute__((vector_size(32)));
typedef uint8_t lane_bytes __attribute__((vector_size(32)));

static const uint8_t sigma[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                      {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                      {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                      {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                      {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                      {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static const uint64_t start[8] = {0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B,
                                  0xA54FF53A5F1D36F1, 0x510E527FADE682D1, 0x9B05688C2B3E6C1F,
                                  0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179};

/* Rotations to the right by whole bytes are shuffles. */
#define BYTES_OF_LANE(at, n)                                                                                 \
    (at) + (0 + (n)) % 8, (at) + (1 + (n)) % 8, (at) + (2 + (n)) % 8, (at) + (3 + (n)) % 8,                  \
        (at) + (4 + (n)) % 8, (at) + (5 + (n)) % 8, (at) + (6 + (n)) % 8, (at) + (7 + (n)) % 8
#define TURN_BYTES(x, n)                                                                                     \
    ((lanes)__builtin_shufflevector((lane_bytes)(x), (lane_bytes)(x), BYTES_OF_LANE(0, n),                   \
                                    BYTES_OF_LANE(8, n), BYTES_OF_LANE(16, n), BYTES_OF_LANE(24, n)))
#define MIX(a, b, c, d, x, y)                                                                                \
    do {                                                                                                     \
        v[a] = v[a] + v[b] + (x);                                                                            \
        v[d] = TURN_BYTES(v[d] ^ v[a], 4);                                                                   \
        v[c] = v[c] + v[d];                                                                                  \
        v[b] = TURN_BYTES(v[b] ^ v[c], 3);                                                                   \
        v[a] = v[a] + v[b] + (y);                                                                            \
        v[d] = TURN_BYTES(v[d] ^ v[a], 2);                                                                   \
        v[c] = v[c] + v[d];                                                                                  \
        v[b] = ((v[b] ^ v[c]) + (v[b] ^ v[c])) | ((v[b] ^ v[c]) >> 63);                                      \
    } while (0)
#define ROUND(r)                                                                                             \
    do {                                                                                                     \
        MIX(0, 4, 8, 12, m[sigma[r][0]], m[sigma[r][1]]);                                                    \
        MIX(1, 5, 9, 13, m[sigma[r][2]], m[sigma[r][3]]);                                                    \
        MIX(2, 6, 10, 14, m[sigma[r][4]], m[sigma[r][5]]);                                                   \
        MIX(3, 7, 11, 15, m[sigma[r][6]], m[sigma[r][7]]);                                                   \
        MIX(0, 5, 10, 15, m[sigma[r][8]], m[sigma[r][9]]);                                                   \
        MIX(1, 6, 11, 12, m[sigma[r][10]], m[sigma[r][11]]);                                                 \
        MIX(2, 7, 8, 13, m[sigma[r][12]], m[sigma[r][13]]);                                                  \
        MIX(3, 4, 9, 14, m[sigma[r][14]], m[sigma[r][15]]);                                                  \
    } while (0)

/* One block of each message into its state; `done` bytes of it, with this block. */
__attribute__((target("avx2"))) static void compress(lanes h[8], const uint8_t *const at[HASH_LANES],
                                                     uint64_t done, bool last) {
    lanes m[16], v[16];
    uint64_t w[HASH_LANES];
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < HASH_LANES; k++) memcpy(w + k, at[k] + 8 * (size_t)i, 8);
        m[i] = (lanes){w[0], w[1], w[2], w[3]};
    }
    for (unsigned i = 0; i < 8; i++) {
        v[i] = h[i];
        v[i + 8] = (lanes){0} + start[i];
    }
    v[12] ^= (lanes){0} + done;
    if (last) v[14] = ~v[14];
    ROUND(0);
    ROUND(1);
    ROUND(2);
    ROUND(3);
    ROUND(4);
    ROUND(5);
    ROUND(6);
    ROUND(7);
    ROUND(8);
    ROUND(9);
    ROUND(0);
    ROUND(1);
    for (unsigned i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
}

bool hash_has_lanes(void) { return __builtin_cpu_supports("avx2"); }

__attribute__((target("avx2"))) void hash_in_lanes(const uint8_t params[HASH_LANES][HASH_PARAM_BYTES],
                                                   const uint8_t *const messages[HASH_LANES], size_t n_bytes,
                                                   uint8_t *const out[HASH_LANES]) {
    lanes h[8];
    uint64_t words[HASH_LANES];
    const uint8_t *at[HASH_LANES];
    memcpy(at, messages, sizeof at);
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned k = 0; k < HASH_LANES; k++) memcpy(words + k, params[k] + 8 * (size_t)i, 8);
        h[i] = (lanes){words[0], words[1], words[2], words[3]} ^ start[i];
    }
    for (uint64_t done = BLOCK_BYTES; done <= n_bytes; done += BLOCK_BYTES) {
        compress(h, at, done, done == n_bytes);
        for (unsigned k = 0; k < HASH_LANES; k++) at[k] += BLOCK_BYTES;
    }
    for (unsigned i = 0; i < SAVED_HASH_BYTES / 8; i++) {
        memcpy(words, h + i, sizeof words);
        for (unsigned k = 0; k < HASH_LANES; k++) memcpy(out[k] + 8 * (size_t)i, words + k, 8);
    }
}
