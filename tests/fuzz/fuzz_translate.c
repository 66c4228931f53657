/* tests/fuzz/fuzz_translate.c: any bytes as code of a small guest, interpreted and translated: both end in the same
 * state, faults and writes to the code itself included, and nothing reaches outside of guest memory.
 * input: translate/guest.h */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/translate/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!guest_load(data, size) || guest_agrees(false)) return 0;
    guest_print();
    guest_agrees(true);
    abort();
}
