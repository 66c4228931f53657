/* Horspool search and UTF-8 decoding over text: bytes and table look-ups. */
#include "bench.h"

static char text[1 << 20];

static long find(const char *needle, long from) {
    long n = (long)strlen(needle), skip[256];
    for (int i = 0; i < 256; i++) skip[i] = n;
    for (long i = 0; i < n - 1; i++) skip[(unsigned char)needle[i]] = n - 1 - i;
    for (long at = from; at + n <= (long)sizeof text; at += skip[(unsigned char)text[at + n - 1]]) {
        long k = n - 1;
        while (k >= 0 && text[at + k] == needle[k]) k--;
        if (k < 0) return at;
    }
    return -1;
}

static uint64_t code_points(void) {
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof text;) {
        unsigned char c = (unsigned char)text[i++];
        uint32_t point = c;
        int more = c < 0xC0 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        if (more) point = c & (0x3Fu >> more);
        for (; more && i < sizeof text; more--) point = point << 6 | (text[i++] & 0x3F);
        sum = sum * 17 + point;
    }
    return sum;
}

int main(int argc, char **argv) {
    static const char *const words[] = {"the ",  "quick ",       "brown ", "f\xC3\xB6x ", "jumps ",
                                        "over ", "\xE2\x82\xAC", "lazy ",  "dog. "};
    static const char *const needles[] = {"lazy dog. quick", "brown brown the", "over the lazy f\xC3\xB6x"};
    uint64_t seed = 9, sum = 0;
    for (size_t at = 0; at < sizeof text;) {
        const char *w = words[bench_random(&seed) % 9];
        for (; *w && at < sizeof text; w++) text[at++] = *w;
    }
    for (long r = bench_size(argc, argv, 150); r > 0; r--) {
        for (int k = 0; k < 3; k++)
            for (long at = find(needles[k], 0); at >= 0; at = find(needles[k], at + 1)) sum += (uint64_t)at;
        sum ^= code_points();
        text[r & 1023] ^= 1;
    }
    return bench_done(sum);
}
