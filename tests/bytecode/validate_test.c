/* tests/bytecode/validate_test.c: hostile bodies: nesting, size, unreachable code, and places of faults. */
#include "tests/bytecode/module_builder.h"

/* A module of one function without parameters and results whose body is `code`, freed. */
static void module_of(struct bc_buf *b, struct bc_buf *code) {
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    module_begin(b);
    SECTION(b, 1, "\1\140\0\0");
    SECTION(b, 3, "\1\0");
    bc_buf_u8(&payload, 1);
    bc_buf_u32(&payload, (uint32_t)code->size);
    bc_buf_bytes(&payload, code->data, code->size);
    bc_buf_fini(code);
    section(b, 10, &payload);
}

static void repeat(struct bc_buf *code, uint32_t n, const char *bytes, size_t size) {
    for (uint32_t i = 0; i < n; i++) bc_buf_bytes(code, bytes, size);
}
#define REPEAT(code, n, literal) repeat(code, n, literal, sizeof(literal) - 1)

static void nested_blocks(struct bc_buf *b, uint32_t depth) {
    struct bc_buf code;
    bc_buf_init(&code, &atoll_default_alloc);
    PUT(&code, "\0");
    REPEAT(&code, depth, "\2\100");
    REPEAT(&code, depth, "\13");
    PUT(&code, "\13");
    module_of(b, &code);
}

static void a_million_nested_blocks_need_no_native_stack(void **state) {
    (void)state;
    struct bc_buf b;
    nested_blocks(&b, 1000000);
    module_passes(&b);
}

static void a_million_open_blocks_end_unexpectedly(void **state) {
    (void)state;
    struct bc_buf b, code;
    struct atoll_error err;
    bc_buf_init(&code, &atoll_default_alloc);
    PUT(&code, "\0");
    REPEAT(&code, 1000000, "\3\100");
    module_of(&b, &code);
    uint64_t size = b.size;
    assert_int_equal(module_check(&b, NULL, &err), ATOLL_E_MALFORMED);
    assert_true(err.offset <= size && err.offset > 1000000);
}

/* Branches from deep inside to the outermost label: each has to cost the same. */
static void branches_from_depth(struct bc_buf *b, uint32_t n) {
    struct bc_buf code;
    bc_buf_init(&code, &atoll_default_alloc);
    PUT(&code, "\0");
    REPEAT(&code, n, "\2\100");
    for (uint32_t i = 0; i < n; i++) {
        PUT(&code, "\101\0\15");
        bc_buf_u32(&code, n);
    }
    REPEAT(&code, n, "\13");
    PUT(&code, "\13");
    module_of(b, &code);
}

static void dead_code(struct bc_buf *b, uint32_t n) {
    struct bc_buf code;
    bc_buf_init(&code, &atoll_default_alloc);
    PUT(&code, "\0\0");
    REPEAT(&code, n, "\152\32");
    PUT(&code, "\13");
    module_of(b, &code);
}

static void deep_operands(struct bc_buf *b, uint32_t n) {
    struct bc_buf code;
    bc_buf_init(&code, &atoll_default_alloc);
    PUT(&code, "\0");
    REPEAT(&code, n, "\101\0");
    REPEAT(&code, n, "\32");
    PUT(&code, "\13");
    module_of(b, &code);
}

static void branch_table(struct bc_buf *b, uint32_t n) {
    struct bc_buf code;
    bc_buf_init(&code, &atoll_default_alloc);
    PUT(&code, "\0\101\0\16");
    bc_buf_u32(&code, n);
    REPEAT(&code, n + 1, "\0");
    PUT(&code, "\13");
    module_of(b, &code);
}

static void memory_grows_with_the_body_only(void **state) {
    (void)state;
    static void (*const makers[])(struct bc_buf * b, uint32_t n) = {nested_blocks, branches_from_depth,
                                                                    dead_code, deep_operands};
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        struct counting small, large;
        struct atoll_error err;
        struct bc_buf b;
        makers[i](&b, 50000);
        assert_int_equal(module_check(&b, &small, &err), ATOLL_OK);
        makers[i](&b, 200000);
        assert_int_equal(module_check(&b, &large, &err), ATOLL_OK);
        assert_true(large.n_bytes <= 8 * small.n_bytes);
    }
}

static void a_branch_table_has_a_limit(void **state) {
    (void)state;
    struct bc_buf b;
    struct atoll_error err;
    branch_table(&b, BC_MAX_BR_TABLE);
    module_passes(&b);
    branch_table(&b, BC_MAX_BR_TABLE + 1);
    assert_int_not_equal(module_check(&b, NULL, &err), ATOLL_OK);
}

static void a_body_has_a_limit(void **state) {
    (void)state;
    struct bc_buf b, code;
    struct atoll_error err;
    for (uint32_t more = 0; more < 2; more++) {
        bc_buf_init(&code, &atoll_default_alloc);
        PUT(&code, "\0");
        REPEAT(&code, BC_MAX_FUNC_BYTES - 2 + more, "\1");
        PUT(&code, "\13");
        module_of(&b, &code);
        assert_int_equal(module_check(&b, NULL, &err), more ? ATOLL_E_LIMIT : ATOLL_OK);
    }
}

/* Offsets of the first instruction byte: 8 header, 6 types, 4 functions, 5 code section and body sizes. */
#define BODY_AT 23
static void fails_at(const char *bytes, size_t n, enum atoll_status status, uint64_t offset,
                     const char *text) {
    struct bc_buf b, code;
    bc_buf_init(&code, &atoll_default_alloc);
    put(&code, bytes, n);
    module_of(&b, &code);
    module_fails(&b, status, BODY_AT + offset, text);
}
#define FAILS_AT(literal, status, offset, text) fails_at(literal, sizeof(literal) - 1, status, offset, text)

static void faults_name_their_instruction(void **state) {
    (void)state;
    FAILS_AT("\0\1\152\13", ATOLL_E_INVALID, 1, "type mismatch");
    FAILS_AT("\0\40\0\32\13", ATOLL_E_INVALID, 0, "unknown local");
    FAILS_AT("\0\1\14\1\13", ATOLL_E_INVALID, 1, "unknown label");
    FAILS_AT("\0\20\1\13", ATOLL_E_INVALID, 0, "unknown function");
    FAILS_AT("\0\43\0\32\13", ATOLL_E_INVALID, 0, "unknown global");
    FAILS_AT("\0\101\0\13", ATOLL_E_INVALID, 2, "type mismatch");
    FAILS_AT("\0\77\0\32\13", ATOLL_E_INVALID, 0, "unknown memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_nested_blocks_need_no_native_stack),
        cmocka_unit_test(a_million_open_blocks_end_unexpectedly),
        cmocka_unit_test(memory_grows_with_the_body_only),
        cmocka_unit_test(a_branch_table_has_a_limit),
        cmocka_unit_test(a_body_has_a_limit),
        cmocka_unit_test(faults_name_their_instruction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
