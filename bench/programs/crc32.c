/* CRC-32 by table: a chain of loads that depend on each other. */
#include "bench.h"

int main(int argc, char **argv) {
    static uint32_t table[256];
    static unsigned char data[1 << 16];
    uint64_t seed = 19;
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
        table[i] = c;
    }
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(bench_random(&seed) >> 40);
    for (long r = bench_size(argc, argv, 3500); r > 0; r--)
        for (size_t i = 0; i < sizeof data; i++) crc = table[(crc ^ data[i]) & 0xFF] ^ crc >> 8;
    return bench_done(~crc);
}
