/* tests/cli/hash_test.c: the hash of programs is BLAKE2b of 256 bits, and beyond a megabyte its tree; digests by
 * another implementation (Python's hashlib: fanout 0, depth 2, leaves of 64 KiB). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/saved.h"

#define MEGABYTE ((size_t)1 << 20)

static uint8_t *make_bytes(size_t n) {
    uint32_t x = 1;
    uint8_t *bytes = malloc(n + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        x = x * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(x >> 24);
    }
    return bytes;
}

static void expect_digest(size_t n, const char *expected) {
    uint8_t digest[SAVED_HASH_BYTES], *bytes = make_bytes(n);
    char text[2 * SAVED_HASH_BYTES + 1];
    saved_hash(bytes, n, digest);
    for (unsigned i = 0; i < SAVED_HASH_BYTES; i++) snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
    assert_string_equal(text, expected);
    free(bytes);
}

static void few_bytes_are_hashed_in_one_piece(void **state) {
    (void)state;
    expect_digest(0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    expect_digest(5, "d6df1299f757aa63d4e3745cf42a19552ba2f1d3c50f52fc8be1052fc991a9ec");
    expect_digest(MEGABYTE, "0cc37eae2e7fcbf35eff98d355f5913b854ee365b583a3470fc4440c5091758a");
}

static void many_bytes_are_hashed_as_a_tree(void **state) {
    (void)state;
    expect_digest(MEGABYTE + 1, "2d115b3a5ebb5270bba99faa7d81648a4b41eaf46dc4e57d6d2a37df26b3c07a");
    expect_digest(3 * MEGABYTE, "c9b78c42637e08b55217d57516708b55b2f77357fa1dfca6d3f63a82ee32fdbb");
    expect_digest(3 * MEGABYTE + 77, "48764cab84d2bb1762f18fbfd91c04295c76cc8d76915971eb17708c5f561cdd");
}

static void each_byte_of_many_counts(void **state) {
    (void)state;
    size_t n = 3 * MEGABYTE + 77;
    uint8_t *bytes = make_bytes(n), before[SAVED_HASH_BYTES], after[SAVED_HASH_BYTES];
    const size_t places[] = {0, 65535, 65536, 200000, MEGABYTE, 2 * MEGABYTE + 5, 3 * MEGABYTE - 1, n - 1};
    saved_hash(bytes, n, before);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bytes[places[i]] ^= 1;
        saved_hash(bytes, n, after);
        assert_memory_not_equal(before, after, sizeof before);
        bytes[places[i]] ^= 1;
    }
    saved_hash(bytes, n, after);
    assert_memory_equal(before, after, sizeof before);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(few_bytes_are_hashed_in_one_piece),
                                       cmocka_unit_test(many_bytes_are_hashed_as_a_tree),
                                       cmocka_unit_test(each_byte_of_many_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
