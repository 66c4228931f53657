/* tests/bytecode/memory_test.c: the assembler with its first, second, third ... allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/fuzz/fuzz.h"

static const char text[] =
    "(module $m (type $t (func (param $p i32) (result i32))) (import \"a\" \"b\" (func $f (type $t)))"
    " (@custom \"x\" \"y\") (table $tab 1 funcref) (memory $mem 1) (tag $e (param i32))"
    " (global $g (mut i32) (i32.const 1)) (export \"f\" (func $f)) (elem (i32.const 0) $f) (data $d \"z\")"
    " (start $s) (func $s (local $l i64) (block $b (br_table $b $b (i32.const 0)))"
    " (try_table (catch_all 0)) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))))";

static enum atoll_status assemble(struct fuzz_alloc *memory, struct bc_buf *out) {
    struct bc_source_map map = {0};
    struct bc_config config = {.alloc = &memory->alloc};
    bc_buf_init(out, &memory->alloc);
    enum atoll_status status = bc_text_assemble(text, sizeof text - 1, &config, out, &map, NULL);
    bc_source_map_fini(&map, &memory->alloc);
    return status;
}

static void a_text_is_assembled_whole_or_not_at_all(void **state) {
    (void)state;
    struct fuzz_alloc memory;
    struct bc_buf whole, some;
    fuzz_alloc_init(&memory, UINT64_MAX);
    assert_int_equal(assemble(&memory, &whole), ATOLL_OK);
    const uint64_t n_calls = memory.n_calls;
    for (uint64_t left = 0; left < n_calls; left++) {
        struct fuzz_alloc short_memory;
        fuzz_alloc_init(&short_memory, left);
        if (!assemble(&short_memory, &some)) {
            assert_int_equal(some.size, whole.size);
            assert_memory_equal(some.data, whole.data, whole.size);
        }
        bc_buf_fini(&some);
        assert_int_equal(short_memory.n_bytes, 0);
    }
    bc_buf_fini(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_text_is_assembled_whole_or_not_at_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
