/* tests/fuzz/translate/mutate.c: libFuzzer's mutations, and instructions put among those that are there. */
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/translate/guest.h"
#include "tests/fuzz/translate/program.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Somewhere behind the header: in front of what is there, or in its place. */
static size_t put_insn(struct case_random *random, uint8_t *data, size_t size, size_t max_size) {
    uint8_t bytes[128];
    if (size < sizeof(struct guest_header)) return 0;
    const bool is_32 = data[offsetof(struct guest_header, step)] & GUEST_32;
    const size_t n = program_insn(random, is_32, bytes, sizeof bytes);
    if (size + n > max_size) return 0;
    const size_t at =
        sizeof(struct guest_header) + case_random(random) % (size - sizeof(struct guest_header) + 1);
    const size_t replaced = case_random(random) % 2 && at + n <= size ? n : 0;
    memmove(data + at + n, data + at + replaced, size - at - replaced);
    memcpy(data + at, bytes, n);
    return size + n - replaced;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    struct case_random random = {seed};
    const unsigned what = case_random(&random) % 8;
    size_t n = 0;
    if (what == 0 && max_size >= PROGRAM_MIN)
        n = program_make(&random, data, max_size < 1500 ? max_size : 1500);
    if (what < 5 && !n) n = put_insn(&random, data, size, max_size);
    return n ? n : LLVMFuzzerMutate(data, size, max_size);
}
