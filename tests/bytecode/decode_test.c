/* tests/bytecode/decode_test.c: hostile modules: counts, numbers, limits, and what the messages say. */
#include "tests/bytecode/module_builder.h"

/* ---- counts ---- */

static void a_count_alone_allocates_nothing(void **state) {
    (void)state;
    static const uint8_t sections[] = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13};
    for (size_t i = 0; i < sizeof sections; i++) {
        struct bc_buf b;
        struct counting count;
        struct atoll_error err;
        module_begin(&b);
        SECTION(&b, sections[i], "\377\377\377\377\17");
        assert_int_equal(module_check(&b, &count, &err), ATOLL_E_MALFORMED);
        assert_true(count.n_bytes < 65536);
        assert_int_equal(err.offset, 10);
    }
}

static void a_section_longer_than_the_file_ends_unexpectedly(void **state) {
    (void)state;
    struct bc_buf b;
    module_begin(&b);
    PUT(&b, "\1\377\377\377\377\17");
    module_fails(&b, ATOLL_E_MALFORMED, 14, "length out of bounds");
}

/* ---- numbers ---- */

static void leb128_is_checked_to_the_last_bit(void **state) {
    (void)state;
    struct bc_buf b;
    module_begin(&b);
    SECTION(&b, 1, "\200\200\200\200\200\0");
    module_fails(&b, ATOLL_E_MALFORMED, 10, "integer representation too long");
    module_begin(&b);
    SECTION(&b, 1, "\200\200\200\200\20");
    module_fails(&b, ATOLL_E_MALFORMED, 10, "integer too large");
    module_begin(&b);
    SECTION(&b, 1, "\200\200\200\200");
    module_fails(&b, ATOLL_E_MALFORMED, 14, "unexpected end");
    module_begin(&b);
    SECTION(&b, 1, "\200\200\200\200\0");
    module_passes(&b);
}

static void local_counts_may_not_overflow_together(void **state) {
    (void)state;
    struct bc_buf b;
    struct counting count;
    struct atoll_error err;
    for (int overflow = 0; overflow < 2; overflow++) {
        module_begin(&b);
        SECTION(&b, 1, "\1\140\0\0");
        SECTION(&b, 3, "\1\0");
        if (overflow)
            SECTION(&b, 10, "\1\12\2\377\377\377\377\17\177\1\176\13");
        else
            SECTION(&b, 10, "\1\10\1\377\377\377\377\17\177\13");
        assert_int_not_equal(module_check(&b, &count, &err), ATOLL_OK);
        assert_non_null(strstr(err.text, "too many locals"));
        assert_true(count.n_bytes < 65536);
    }
}

/* ---- limits, each at its value and one above ---- */

static void body_of_locals(struct bc_buf *b, uint32_t n) {
    struct bc_buf code, body;
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_init(&body, &atoll_default_alloc);
    bc_buf_u8(&body, 1);
    bc_buf_u32(&body, n);
    PUT(&body, "\177\13");
    bc_buf_u8(&code, 1);
    bc_buf_u32(&code, (uint32_t)body.size);
    bc_buf_bytes(&code, body.data, body.size);
    bc_buf_fini(&body);
    SECTION(b, 1, "\1\140\0\0");
    SECTION(b, 3, "\1\0");
    section(b, 10, &code);
}

static void type_of_params(struct bc_buf *b, uint32_t n_params, uint32_t n_results) {
    struct bc_buf type;
    bc_buf_init(&type, &atoll_default_alloc);
    PUT(&type, "\1\140");
    bc_buf_u32(&type, n_params);
    for (uint32_t i = 0; i < n_params; i++) bc_buf_u8(&type, 0x7F);
    bc_buf_u32(&type, n_results);
    for (uint32_t i = 0; i < n_results; i++) bc_buf_u8(&type, 0x7E);
    section(b, 1, &type);
}

static void type_of_fields(struct bc_buf *b, uint32_t n) {
    struct bc_buf type;
    bc_buf_init(&type, &atoll_default_alloc);
    PUT(&type, "\1\137");
    bc_buf_u32(&type, n);
    for (uint32_t i = 0; i < n; i++) PUT(&type, "\177\0");
    section(b, 1, &type);
}

static void data_segments(struct bc_buf *b, uint32_t n) { REPEATED(b, 11, n, "\1\0"); }
static void functions(struct bc_buf *b, uint32_t n) {
    SECTION(b, 1, "\1\140\0\0");
    REPEATED(b, 3, n, "\0");
    REPEATED(b, 10, n, "\2\0\13");
}
static void types(struct bc_buf *b, uint32_t n) { REPEATED(b, 1, n, "\140\0\0"); }
static void globals(struct bc_buf *b, uint32_t n) { REPEATED(b, 6, n, "\177\0\101\0\13"); }
static void tables(struct bc_buf *b, uint32_t n) { REPEATED(b, 4, n, "\160\0\0"); }
static void memories(struct bc_buf *b, uint32_t n) { REPEATED(b, 5, n, "\0\0"); }
static void imports(struct bc_buf *b, uint32_t n) { REPEATED(b, 2, n, "\0\0\3\177\0"); }
static void tags(struct bc_buf *b, uint32_t n) {
    SECTION(b, 1, "\1\140\0\0");
    REPEATED(b, 13, n, "\0\0");
}
static void params(struct bc_buf *b, uint32_t n) { type_of_params(b, n, 0); }
static void results(struct bc_buf *b, uint32_t n) { type_of_params(b, 0, n); }

static void groups(struct bc_buf *b, uint32_t n) { REPEATED(b, 1, n, "\116\0"); }
static void group_of(struct bc_buf *b, uint32_t n) {
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    PUT(&payload, "\1\116");
    bc_buf_u32(&payload, n);
    for (uint32_t i = 0; i < n; i++) PUT(&payload, "\140\0\0");
    section(b, 1, &payload);
}
/* A type with n supertypes above it. */
static void subtypes(struct bc_buf *b, uint32_t n) {
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    bc_buf_u32(&payload, n + 1);
    PUT(&payload, "\120\0\137\0");
    for (uint32_t i = 0; i < n; i++) {
        PUT(&payload, "\120\1");
        bc_buf_u32(&payload, i);
        PUT(&payload, "\137\0");
    }
    section(b, 1, &payload);
}
static void exports(struct bc_buf *b, uint32_t n) {
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    bc_buf_u32(&payload, n);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "%07x", i);
        PUT(&payload, "\7");
        put(&payload, name, 7);
        PUT(&payload, "\2\0");
    }
    SECTION(b, 5, "\1\0\0");
    section(b, 7, &payload);
}
static void elem_segments(struct bc_buf *b, uint32_t n) { REPEATED(b, 9, n, "\1\0\0"); }
static void elements(struct bc_buf *b, uint32_t n) {
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    PUT(&payload, "\1\1\0");
    bc_buf_u32(&payload, n);
    for (uint32_t i = 0; i < n; i++) PUT(&payload, "\0");
    SECTION(b, 1, "\1\140\0\0");
    SECTION(b, 3, "\1\0");
    section(b, 9, &payload);
    SECTION(b, 10, "\1\2\0\13");
}
static void array_operands(struct bc_buf *b, uint32_t n) {
    struct bc_buf code, body;
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_init(&body, &atoll_default_alloc);
    PUT(&body, "\0");
    for (uint32_t i = 0; i < n; i++) PUT(&body, "\101\0");
    PUT(&body, "\373\10\1");
    bc_buf_u32(&body, n);
    PUT(&body, "\32\13");
    bc_buf_u8(&code, 1);
    bc_buf_u32(&code, (uint32_t)body.size);
    bc_buf_bytes(&code, body.data, body.size);
    bc_buf_fini(&body);
    SECTION(b, 1, "\2\140\0\0\136\177\0");
    SECTION(b, 3, "\1\0");
    section(b, 10, &code);
}

/* Calls of a thousand results, then single ones. */
static void operands(struct bc_buf *b, uint32_t n) {
    struct bc_buf type, body, code;
    bc_buf_init(&type, &atoll_default_alloc);
    PUT(&type, "\2\140\0\0\140\0");
    bc_buf_u32(&type, BC_MAX_RESULTS);
    for (uint32_t i = 0; i < BC_MAX_RESULTS; i++) PUT(&type, "\177");
    section(b, 1, &type);
    SECTION(b, 3, "\2\0\1");
    bc_buf_init(&body, &atoll_default_alloc);
    PUT(&body, "\0");
    uint32_t n_calls = n / BC_MAX_RESULTS - 1;
    for (uint32_t i = 0; i < n_calls; i++) PUT(&body, "\20\1");
    for (uint32_t i = n_calls * BC_MAX_RESULTS; i < n; i++) PUT(&body, "\101\0");
    PUT(&body, "\0\13");
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_u8(&code, 2);
    bc_buf_u32(&code, (uint32_t)body.size);
    bc_buf_bytes(&code, body.data, body.size);
    bc_buf_fini(&body);
    PUT(&code, "\3\0\0\13");
    section(b, 10, &code);
}

static void every_limit_holds_at_its_value_and_not_above(void **state) {
    (void)state;
    static const struct {
        void (*make)(struct bc_buf *b, uint32_t n);
        uint32_t limit;
        const char *text; /* of what is one above */
    } limits[] = {
        {types, BC_MAX_TYPES, "too many recursion groups: 1000001, the limit is 1000000"},
        {groups, BC_MAX_REC_GROUPS, "too many recursion groups: 1000001, the limit is 1000000"},
        {group_of, BC_MAX_REC_GROUP_SIZE, "too many types of a recursion group: 1000001, the limit"},
        {subtypes, BC_MAX_SUBTYPE_DEPTH, "sub type 64 is more than 63 deep"},
        {functions, BC_MAX_FUNCS, "too many functions: 1000001, the limit is 1000000"},
        {exports, BC_MAX_EXPORTS, "too many exports: 1000001, the limit is 1000000"},
        {elem_segments, BC_MAX_ELEM_SEGMENTS, "too many element segments: 10000001, the limit"},
        {elements, BC_MAX_TABLE_ELEMS, "too many elements: 10000001, the limit is 10000000"},
        {array_operands, BC_MAX_ARRAY_NEW_FIXED, "too many operands of array.new_fixed: 10001"},
        {globals, BC_MAX_GLOBALS, "too many globals: 1000001, the limit is 1000000"},
        {tables, BC_MAX_TABLES, "too many tables: 100001, the limit is 100000"},
        {memories, BC_MAX_MEMORIES, "too many memories: 101, the limit is 100"},
        {imports, BC_MAX_IMPORTS, "too many imports: 1000001, the limit is 1000000"},
        {tags, BC_MAX_TAGS, "too many tags: 1000001, the limit is 1000000"},
        {data_segments, BC_MAX_DATA_SEGMENTS, "too many data segments: 100001, the limit is 100000"},
        {params, BC_MAX_PARAMS, "too many parameters: 1001, the limit is 1000"},
        {results, BC_MAX_RESULTS, "too many results: 1001, the limit is 1000"},
        {type_of_fields, BC_MAX_STRUCT_FIELDS, "too many fields: 10001, the limit is 10000"},
        {operands, BC_MAX_OPERANDS, "too many operands on the stack: 1000001, the limit is 1000000"},
        {body_of_locals, BC_MAX_LOCALS, "too many locals: 50001, the limit is 50000"}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct atoll_error err;
        struct bc_buf b;
        module_begin(&b);
        limits[i].make(&b, limits[i].limit);
        if (module_check(&b, NULL, &err)) fail_msg("below \"%s\": %s", limits[i].text, err.text);
        module_begin(&b);
        limits[i].make(&b, limits[i].limit + 1);
        assert_int_equal(module_check(&b, NULL, &err), ATOLL_E_LIMIT);
        if (strncmp(err.text, limits[i].text, strlen(limits[i].text)))
            fail_msg("want \"%s\", got \"%s\"", limits[i].text, err.text);
    }
}

/* ---- growth ---- */

/* Twice the module, about twice the work. */
static void decoding_takes_memory_in_proportion_to_the_module(void **state) {
    (void)state;
    static void (*const makers[])(struct bc_buf * b, uint32_t n) = {types, functions, globals, imports, tags};
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        struct counting small, large;
        struct atoll_error err;
        struct bc_buf b;
        module_begin(&b);
        makers[i](&b, 20000);
        assert_int_equal(module_check(&b, &small, &err), ATOLL_OK);
        module_begin(&b);
        makers[i](&b, 80000);
        assert_int_equal(module_check(&b, &large, &err), ATOLL_OK);
        assert_true(large.n_bytes <= 8 * small.n_bytes);
    }
}

/* ---- places and words ---- */

static void faults_name_the_byte_and_the_official_words(void **state) {
    (void)state;
    struct bc_buf b;
    bc_buf_init(&b, &atoll_default_alloc);
    PUT(&b, "\0as");
    module_fails(&b, ATOLL_E_MALFORMED, 3, "unexpected end");
    bc_buf_init(&b, &atoll_default_alloc);
    PUT(&b, "\0asn\1\0\0\0");
    module_fails(&b, ATOLL_E_MALFORMED, 0, "magic header not detected");
    bc_buf_init(&b, &atoll_default_alloc);
    PUT(&b, "\0asm\2\0\0\0");
    module_fails(&b, ATOLL_E_MALFORMED, 4, "unknown binary version");
    module_begin(&b);
    PUT(&b, "\16\0");
    module_fails(&b, ATOLL_E_MALFORMED, 8, "malformed section id");
    module_begin(&b);
    SECTION(&b, 3, "\0");
    SECTION(&b, 1, "\0");
    module_fails(&b, ATOLL_E_MALFORMED, 11, "unexpected content after last section");
    module_begin(&b);
    SECTION(&b, 1, "\0\0");
    module_fails(&b, ATOLL_E_MALFORMED, 11, "section size mismatch");
    module_begin(&b);
    SECTION(&b, 1, "\1\140\0\0");
    SECTION(&b, 3, "\1\0");
    module_fails(&b, ATOLL_E_MALFORMED, 18, "function and code section have inconsistent lengths");
    module_begin(&b);
    SECTION(&b, 0, "\1\377");
    module_fails(&b, ATOLL_E_MALFORMED, 11, "malformed UTF-8 encoding");
}

static void every_prefix_of_a_module_fails_within_it(void **state) {
    (void)state;
    static const char bytes[] = "\0asm\1\0\0\0\1\7\1\140\2\177\176\1\174\3\2\1\0\7\5\1\1f\0\0"
                                "\12\15\1\13\0\104\0\0\0\0\0\0\360\77\13";
    for (size_t n = 0; n < sizeof bytes - 1; n++) {
        struct atoll_error err;
        struct bc_buf b;
        bc_buf_init(&b, &atoll_default_alloc);
        put(&b, bytes, n);
        if (n == 8) { /* the empty module */
            bc_buf_fini(&b);
            continue;
        }
        if (module_check(&b, NULL, &err)) assert_true(err.offset <= n);
    }
    struct bc_buf b;
    bc_buf_init(&b, &atoll_default_alloc);
    put(&b, bytes, sizeof bytes - 1);
    module_passes(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_alone_allocates_nothing),
        cmocka_unit_test(a_section_longer_than_the_file_ends_unexpectedly),
        cmocka_unit_test(leb128_is_checked_to_the_last_bit),
        cmocka_unit_test(local_counts_may_not_overflow_together),
        cmocka_unit_test(every_limit_holds_at_its_value_and_not_above),
        cmocka_unit_test(decoding_takes_memory_in_proportion_to_the_module),
        cmocka_unit_test(faults_name_the_byte_and_the_official_words),
        cmocka_unit_test(every_prefix_of_a_module_fails_within_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
