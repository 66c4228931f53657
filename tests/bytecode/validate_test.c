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

/* ---- a thousand operands for one instruction ---- */

enum { WIDE = 1000 };

/* Types: 0 none; 1 a thousand anyref to as many i31ref; 2 a thousand anyref to as many. Function 0 is `code`,
 * freed; function 1 of type 1 is what it calls. */
static void wide_module(struct bc_buf *b, struct bc_buf *code) {
    struct bc_buf types, bodies, callee;
    bc_buf_init(&types, &atoll_default_alloc);
    bc_buf_init(&bodies, &atoll_default_alloc);
    bc_buf_init(&callee, &atoll_default_alloc);
    PUT(&types, "\3\140\0\0");
    for (int type = 1; type < 3; type++) {
        PUT(&types, "\140\350\7");
        REPEAT(&types, WIDE, "\156");
        PUT(&types, "\350\7");
        if (type == 1)
            REPEAT(&types, WIDE, "\154");
        else
            REPEAT(&types, WIDE, "\156");
    }
    PUT(&callee, "\0\0\13");
    PUT(&bodies, "\2");
    bc_buf_u32(&bodies, (uint32_t)code->size);
    bc_buf_bytes(&bodies, code->data, code->size);
    bc_buf_u32(&bodies, (uint32_t)callee.size);
    bc_buf_bytes(&bodies, callee.data, callee.size);
    bc_buf_fini(code);
    bc_buf_fini(&callee);
    module_begin(b);
    section(b, 1, &types);
    SECTION(b, 3, "\2\0\1");
    section(b, 10, &bodies);
}

/* A thousand nulls of i31, with the kth (counted from the top) of another type; BC_NONE: all alike. */
static void put_wide(struct bc_buf *code, uint32_t k) {
    bc_buf_init(code, &atoll_default_alloc);
    PUT(code, "\0");
    for (uint32_t i = WIDE; i-- > 0;) {
        if (i == k)
            PUT(code, "\320\157"); /* externref */
        else
            PUT(code, "\320\154");
    }
}

static void wide_operands_pass(const char *instructions, size_t n) {
    struct bc_buf b, code;
    put_wide(&code, BC_NONE);
    put(&code, instructions, n);
    REPEAT(&code, WIDE, "\32");
    PUT(&code, "\13");
    wide_module(&b, &code);
    module_passes(&b);
}

static void wide_operands_are_checked_to_the_last_one(void **state) {
    (void)state;
    struct bc_buf b, code;
    struct atoll_error err;
    static const uint32_t wrong[] = {0, 1, WIDE / 2, WIDE - 1};
    wide_operands_pass("\20\1\20\1", 4);                          /* call, as subtypes */
    wide_operands_pass("\2\2\13", 3);                             /* block */
    wide_operands_pass("\2\2\101\0\15\0\13", 7);                  /* br_if */
    wide_operands_pass("\2\2\101\0\16\1\0\0\13", 9);              /* br_table */
    wide_operands_pass("\101\0\4\2\5\13", 6);                     /* if else */
    wide_operands_pass("\2\2\0\101\0\15\0\32\101\0\15\0\13", 13); /* unreachable, some operands hidden */
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_wide(&code, wrong[i]);
        size_t at = code.size;
        PUT(&code, "\20\1\0\13");
        wide_module(&b, &code);
        uint64_t body = b.size - 4 - at - 4;
        assert_int_equal(module_check(&b, NULL, &err), ATOLL_E_INVALID);
        assert_int_equal(err.offset, body + at);
        assert_string_equal(err.text, "type mismatch: call expects (ref null any), found externref");
    }
}

static void wide_operands_that_are_missing_are_told(void **state) {
    (void)state;
    struct bc_buf b, code;
    struct atoll_error err;
    put_wide(&code, BC_NONE);
    PUT(&code, "\32\20\1\0\13");
    wide_module(&b, &code);
    assert_int_equal(module_check(&b, NULL, &err), ATOLL_E_INVALID);
    assert_string_equal(err.text, "type mismatch: call expects (ref null any), found nothing");
}

/* 60 numbers, 70 references that are never null, 5 numbers: the references share words of the bit set with both. */
static void only_locals_without_a_default_start_uninitialised(void **state) {
    (void)state;
    for (uint32_t local = 0; local < 135; local++) {
        struct bc_buf b, code;
        struct atoll_error err;
        bc_buf_init(&code, &atoll_default_alloc);
        PUT(&code, "\3\74\177\106\144\160\5\177\40");
        bc_buf_u32(&code, local);
        PUT(&code, "\32\13");
        module_of(&b, &code);
        enum atoll_status status = module_check(&b, NULL, &err);
        if (local < 60 || local >= 130) {
            assert_int_equal(status, ATOLL_OK);
        } else {
            assert_int_equal(status, ATOLL_E_INVALID);
            assert_non_null(strstr(err.text, "uninitialized local"));
        }
    }
}

/* Bodies of a large module are checked by several threads; which fault is told does not depend on them. */
static void the_first_fault_of_a_large_module_is_told(void **state) {
    enum { FUNCS = 40, BYTES = 100000 };
    (void)state;
    for (uint32_t first = 0; first < FUNCS; first += 13) {
        struct bc_buf b, code;
        bc_buf_init(&code, &atoll_default_alloc);
        module_begin(&b);
        SECTION(&b, 1, "\1\140\0\0");
        REPEATED(&b, 3, FUNCS, "\0");
        bc_buf_u32(&code, FUNCS);
        uint64_t fault = 0;
        for (uint32_t i = 0; i < FUNCS; i++) {
            bc_buf_u32(&code, BYTES + 3);
            PUT(&code, "\0");
            if (i == first) fault = code.size + BYTES;
            REPEAT(&code, BYTES, "\1");
            if (i >= first) /* a drop of nothing, here and in all that follow */
                PUT(&code, "\32\13");
            else
                PUT(&code, "\1\13");
        }
        fault += b.size + 1 + 4; /* the section's id and size */
        section(&b, 10, &code);
        module_fails(&b, ATOLL_E_INVALID, fault, "type mismatch: drop expects a value, found none");
    }
}

/* One function "i32.add", one export of function `exported`; decoded, then validated with the word that bodies are valid. */
static enum atoll_status check_with_word(const char *exported, bool bodies_are_valid) {
    struct bc_buf b, payload;
    struct bc_module *m = NULL;
    struct bc_config config = {.bodies_are_valid = bodies_are_valid};
    bc_buf_init(&payload, &atoll_default_alloc);
    module_begin(&b);
    SECTION(&b, 1, "\1\140\0\0");
    SECTION(&b, 3, "\1\0");
    bc_buf_bytes(&payload, "\1\1f\0", 4);
    bc_buf_bytes(&payload, exported, 1);
    section(&b, 7, &payload);
    SECTION(&b, 10, "\1\3\0\152\13");
    assert_int_equal(bc_module_decode(b.data, b.size, &config, &m, NULL), ATOLL_OK);
    enum atoll_status status = bc_module_validate(m, &config, NULL);
    assert_int_equal(m->validated, !status);
    bc_module_free(m);
    bc_buf_fini(&b);
    return status;
}

static void bodies_known_to_be_valid_are_not_looked_at_but_all_else_is(void **state) {
    (void)state;
    assert_int_equal(check_with_word("\0", false), ATOLL_E_INVALID);
    assert_int_equal(check_with_word("\0", true), ATOLL_OK);
    assert_int_equal(check_with_word("\1", true), ATOLL_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_nested_blocks_need_no_native_stack),
        cmocka_unit_test(a_million_open_blocks_end_unexpectedly),
        cmocka_unit_test(memory_grows_with_the_body_only),
        cmocka_unit_test(a_branch_table_has_a_limit),
        cmocka_unit_test(a_body_has_a_limit),
        cmocka_unit_test(faults_name_their_instruction),
        cmocka_unit_test(the_first_fault_of_a_large_module_is_told),
        cmocka_unit_test(only_locals_without_a_default_start_uninitialised),
        cmocka_unit_test(wide_operands_are_checked_to_the_last_one),
        cmocka_unit_test(wide_operands_that_are_missing_are_told),
        cmocka_unit_test(bodies_known_to_be_valid_are_not_looked_at_but_all_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
