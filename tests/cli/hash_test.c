/* tests/cli/hash_test.c: the hash of programs is BLAKE2b of 256 bits, and beyond a megabyte its tree; digests by another
 * implementation (Python's hashlib: fanout 0, depth 2, leaves of a megabyte). */
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
    expect_digest(MEGABYTE + 1, "669d77b688cf4567a5324ce633804d87587d039ec2a78b9daef9db5dcfb9e504");
    expect_digest(3 * MEGABYTE, "dff4849f0ad3c3b09e1c2bd481deff3a0724da8a316ce8ac75fd3a954348d52f");
    expect_digest(3 * MEGABYTE + 77, "dfd29aee07070ef9b5a15c3eb5b34c0490046328f58a4f2653fbec89153a62e8");
}

static void each_byte_of_many_counts(void **state) {
    (void)state;
    size_t n = 3 * MEGABYTE + 77;
    uint8_t *bytes = make_bytes(n), before[SAVED_HASH_BYTES], after[SAVED_HASH_BYTES];
    const size_t places[] = {0, MEGABYTE - 1, MEGABYTE, 2 * MEGABYTE + 5, n - 1};
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
