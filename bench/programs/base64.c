/* Encoding and decoding base64: bit fields, byte stores, tables. */
#include "bench.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static unsigned char data[3 << 14], back[3 << 14], decoded[256];
static char encoded[4 << 14];

int main(int argc, char **argv) {
    uint64_t seed = 13, sum = 0;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(bench_random(&seed) >> 56);
    for (int i = 0; i < 64; i++) decoded[(unsigned char)alphabet[i]] = (unsigned char)i;
    for (long r = bench_size(argc, argv, 6000); r > 0; r--) {
        for (size_t i = 0, o = 0; i < sizeof data; i += 3) {
            uint32_t w = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];
            for (int k = 18; k >= 0; k -= 6) encoded[o++] = alphabet[w >> k & 63];
        }
        for (size_t i = 0, o = 0; i < sizeof encoded; i += 4) {
            uint32_t w = 0;
            for (int k = 0; k < 4; k++) w = w << 6 | decoded[(unsigned char)encoded[i + k]];
            back[o++] = (unsigned char)(w >> 16);
            back[o++] = (unsigned char)(w >> 8);
            back[o++] = (unsigned char)w;
        }
        data[(size_t)r % sizeof data] ^= back[(size_t)(r * 7) % sizeof back];
        sum = sum * 31 + back[(size_t)r % sizeof back];
    }
    return bench_done(sum);
}
