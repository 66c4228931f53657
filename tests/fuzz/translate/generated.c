/* tests/fuzz/translate/generated.c: generated programs, interpreted and translated.
 * usage  fuzz_translate_generated [COUNT [SEED [FILE]]]   programs of SEED .. SEED + COUNT - 1; the last one is
 *        written to FILE */
#include <inttypes.h>
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/translate/guest.h"
#include "tests/fuzz/translate/program.h"

static void write_file(const char *path, const uint8_t *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
}

int main(int argc, char **argv) {
    enum { SIZE = 1500, FAILED_MAX = 8 };
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 3000;
    const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    uint64_t n_compared = 0, n_instructions = 0;
    unsigned n_failed = 0;
    for (uint64_t seed = first; seed < first + count && n_failed < FAILED_MAX; seed++) {
        struct case_random random = {seed};
        uint8_t input[SIZE];
        const size_t size = program_make(&random, input, sizeof input);
        if (argc > 3 && seed + 1 == first + count) write_file(argv[3], input, size);
        FUZZ_CHECK(guest_load(input, size));
        if (!guest_agrees(false)) {
            fprintf(stderr, "program %" PRIu64 ":\n", seed);
            guest_print();
            guest_load(input, size);
            guest_agrees(true);
            n_failed++;
        }
        n_compared += guest_compared();
        n_instructions += guest_instructions();
    }
    printf("%" PRIu64 " programs, %" PRIu64 " compared, %" PRIu64 " instructions: %u differ\n", count,
           n_compared, n_instructions, n_failed);
    return n_failed || n_compared < count / 2;
}
