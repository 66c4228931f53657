/* tests/bytecode/names_test.c: the name section, whole and broken: what was read before a fault stays. */
#include "tests/bytecode/module_builder.h"

/* A module whose name section holds `bytes`; names loaded. The bytes stay in *b. */
static struct bc_module *module_with(struct bc_buf *b, const char *bytes, size_t n) {
    struct bc_buf payload;
    struct bc_module *m = NULL;
    bc_buf_init(&payload, &atoll_default_alloc);
    module_begin(b);
    PUT(&payload, "\4name");
    put(&payload, bytes, n);
    section(b, 0, &payload);
    assert_int_equal(bc_module_decode(b->data, b->size, NULL, &m, NULL), ATOLL_OK);
    assert_int_equal(bc_names_load(m), ATOLL_OK);
    return m;
}
#define MODULE_WITH(b, literal) module_with(b, literal, sizeof(literal) - 1)

static void is(struct bc_name name, const char *text) {
    assert_int_equal(name.size, strlen(text));
    if (name.size) assert_memory_equal(name.bytes, text, name.size);
}
static void done(struct bc_module *m, struct bc_buf *b) {
    bc_module_free(m);
    bc_buf_fini(b);
}

static void every_subsection_is_read(void **state) {
    (void)state;
    struct bc_buf b;
    struct bc_module *m = MODULE_WITH(&b, "\0\2\1m"
                                          "\1\7\2\0\1f\3\1g"
                                          "\2\6\1\0\1\2\1x"
                                          "\3\6\1\0\1\0\1b"
                                          "\4\4\1\5\1t"
                                          "\5\4\1\0\1T"
                                          "\6\4\1\0\1M"
                                          "\7\4\1\0\1G"
                                          "\10\4\1\0\1e"
                                          "\11\4\1\0\1d"
                                          "\12\6\1\2\1\3\1F"
                                          "\13\4\1\0\1X");
    is(bc_name_module(m), "m");
    is(bc_name_of(m, BC_NAMES_FUNC, 0), "f");
    is(bc_name_of(m, BC_NAMES_FUNC, 3), "g");
    is(bc_name_of(m, BC_NAMES_FUNC, 1), "");
    is(bc_name_local(m, 0, 2), "x");
    is(bc_name_local(m, 1, 2), "");
    is(bc_name_label(m, 0, 0), "b");
    is(bc_name_of(m, BC_NAMES_TYPE, 5), "t");
    is(bc_name_of(m, BC_NAMES_TABLE, 0), "T");
    is(bc_name_of(m, BC_NAMES_MEMORY, 0), "M");
    is(bc_name_of(m, BC_NAMES_GLOBAL, 0), "G");
    is(bc_name_of(m, BC_NAMES_ELEM, 0), "e");
    is(bc_name_of(m, BC_NAMES_DATA, 0), "d");
    is(bc_name_field(m, 2, 3), "F");
    is(bc_name_of(m, BC_NAMES_TAG, 0), "X");
    done(m, &b);
}

static void a_broken_subsection_ends_the_reading(void **state) {
    (void)state;
    struct bc_buf b;
    struct bc_module *m = MODULE_WITH(&b, "\0\2\1m\1\10\3\0\1f\1\1g\2\2\4\1\0\1T");
    is(bc_name_module(m), "m");
    is(bc_name_of(m, BC_NAMES_FUNC, 0), "f");
    is(bc_name_of(m, BC_NAMES_FUNC, 1), "g");
    is(bc_name_of(m, BC_NAMES_TABLE, 0), "");
    done(m, &b);
}

static void hostile_counts_and_bytes_are_no_error(void **state) {
    (void)state;
    static const char *const payloads[] = {"\1\5\377\377\377\377\17",
                                           "\1\377\377\377\377\17",
                                           "\2\6\377\377\377\377\17\0",
                                           "\1\4\1\1\1\377",
                                           "\377",
                                           "\1",
                                           "\176\1x\1\4\1\1\1f"};
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        struct bc_buf b;
        struct bc_module *m = module_with(&b, payloads[i], strlen(payloads[i]));
        is(bc_name_of(m, BC_NAMES_FUNC, 1), i == 6 ? "f" : ""); /* an unknown subsection is passed over */
        assert_true(bc_name_of(m, BC_NAMES_FUNC, UINT32_MAX).size == 0);
        done(m, &b);
    }
}

static void maps_out_of_order_are_found_and_the_first_name_wins(void **state) {
    (void)state;
    struct bc_buf b;
    struct bc_module *m = MODULE_WITH(&b, "\1\15\4\5\1e\2\1b\5\1E\0\1a");
    is(bc_name_of(m, BC_NAMES_FUNC, 0), "a");
    is(bc_name_of(m, BC_NAMES_FUNC, 2), "b");
    is(bc_name_of(m, BC_NAMES_FUNC, 5), "e");
    done(m, &b);
}

static void a_module_without_names_answers_with_empty_ones(void **state) {
    (void)state;
    struct bc_buf b;
    struct bc_module *m = NULL;
    module_begin(&b);
    assert_int_equal(bc_module_decode(b.data, b.size, NULL, &m, NULL), ATOLL_OK);
    is(bc_name_of(m, BC_NAMES_FUNC, 0), ""); /* not loaded */
    assert_int_equal(bc_names_load(m), ATOLL_OK);
    assert_int_equal(bc_names_load(m), ATOLL_OK);
    is(bc_name_module(m), "");
    is(bc_name_local(m, 0, 0), "");
    is(bc_name_field(m, 0, 0), "");
    done(m, &b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_subsection_is_read),
        cmocka_unit_test(a_broken_subsection_ends_the_reading),
        cmocka_unit_test(hostile_counts_and_bytes_are_no_error),
        cmocka_unit_test(maps_out_of_order_are_found_and_the_first_name_wins),
        cmocka_unit_test(a_module_without_names_answers_with_empty_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
