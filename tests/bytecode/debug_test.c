/* tests/bytecode/debug_test.c: debugging sections of compiled programs: every version tells the same places,
 * what is absent or broken only stays unknown, and no section can ask for endless work. The programs of
 * tests/fuzz/corpus/dwarf come from this C text by clang 14 -O1 -g -gdwarf-N (split: -gsplit-dwarf):
 *
 *    1 static inline __attribute__((always_inline)) int divide(int a, int b) {
 *    2     return a / b;
 *    3 }
 *    5 static inline __attribute__((always_inline)) int ratio(int a, int b) {
 *    6     return 100 * divide(a, b);
 *    7 }
 *    9 int percent(int part, int whole) {
 *   10     return ratio(part, whole) + 1;
 *   11 } */
#include "tests/bytecode/module_builder.h"

struct program {
    struct bc_buf bytes;
    struct bc_module *m;
    uint32_t divide, multiply; /* byte offsets of i32.div_s and i32.mul */
};

static void decode(struct program *p) {
    assert_int_equal(bc_module_decode(p->bytes.data, p->bytes.size, NULL, &p->m, NULL), ATOLL_OK);
    uint32_t at = p->m->funcs[0].code_offset;
    p->divide = at + 4;
    p->multiply = at + 8;
    assert_int_equal(p->m->bytes[p->divide], 0x6D);
    assert_int_equal(p->m->bytes[p->multiply], 0x6C);
}

static void open_program(struct program *p, const char *name) {
    char path[1000], text[8192];
    snprintf(path, sizeof path, "%s/%s.wat", ATOLL_DEBUG_CORPUS, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    bc_buf_init(&p->bytes, &atoll_default_alloc);
    assert_int_equal(bc_text_assemble(text, n, NULL, &p->bytes, NULL, NULL), ATOLL_OK);
    decode(p);
}
static void close_program(struct program *p) {
    bc_module_free(p->m);
    bc_buf_fini(&p->bytes);
}

static void is(struct bc_name name, const char *text) {
    assert_int_equal(name.size, strlen(text));
    if (name.size) assert_memory_equal(name.bytes, text, name.size);
}
static void is_place(const struct bc_source *s, const char *function, uint32_t line, uint32_t column) {
    is(s->function, function);
    is(s->directory, "");
    is(s->file, "ratio.c");
    assert_int_equal(s->line, line);
    assert_int_equal(s->column, column);
}
static uint32_t find(const struct program *p, uint32_t offset, struct bc_source out[4]) {
    struct bc_debug *d = bc_debug_new(p->m, &atoll_default_alloc);
    uint32_t n = bc_debug_find(d, offset, out, 4);
    bc_debug_free(d);
    return n;
}

static void every_version_tells_lines_and_inlined_functions(void **state) {
    static const char *const names[] = {"version2", "version3", "version4", "version5"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct program p;
        struct bc_source s[4];
        open_program(&p, names[i]);
        assert_int_equal(find(&p, p.divide, s), 3);
        is_place(&s[0], "divide", 2, 14);
        is_place(&s[1], "ratio", 6, 18);
        is_place(&s[2], "percent", 10, 12);
        assert_int_equal(find(&p, p.multiply, s), 2);
        is_place(&s[0], "ratio", 6, 16);
        is_place(&s[1], "percent", 10, 12);
        close_program(&p);
    }
}

static void split_programs_tell_lines(void **state) {
    static const char *const names[] = {"split4", "split5"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct program p;
        struct bc_source s[4];
        open_program(&p, names[i]);
        assert_int_equal(find(&p, p.divide, s), 1);
        is_place(&s[0], "", 2, 14);
        close_program(&p);
    }
}

static void places_outside_code_are_unknown(void **state) {
    struct program p;
    struct bc_source s[4];
    (void)state;
    open_program(&p, "version5");
    assert_int_equal(find(&p, 0, s), 0);
    assert_int_equal(find(&p, 8, s), 0);
    assert_int_equal(find(&p, (uint32_t)p.m->n_bytes - 1, s), 0);
    assert_int_equal(find(&p, UINT32_MAX, s), 0);
    close_program(&p);
}

/* Renames the section, which is as good as taking it away. */
static void hide(struct program *p, const char *section) {
    for (uint32_t i = 0; i < p->m->n_customs; i++)
        if (p->m->customs[i].name.size == strlen(section) &&
            !memcmp(p->m->customs[i].name.bytes, section, strlen(section)))
            p->bytes.data[(const uint8_t *)p->m->customs[i].name.bytes - p->bytes.data] = '_';
    bc_module_free(p->m);
    decode(p);
}

static void what_is_absent_is_unknown(void **state) {
    struct program p;
    struct bc_source s[4];
    (void)state;
    open_program(&p, "version5");
    hide(&p, ".debug_str");
    assert_int_equal(find(&p, p.divide, s), 3);
    is_place(&s[0], "", 2, 14);
    hide(&p, ".debug_line_str");
    assert_int_equal(find(&p, p.divide, s), 3);
    is(s[0].file, "");
    assert_int_equal(s[0].line, 2);
    hide(&p, ".debug_addr"); /* tells where the unit is: all of it is asked */
    find(&p, p.divide, s);
    hide(&p, ".debug_info"); /* line programs alone */
    assert_int_equal(find(&p, p.divide, s), 1);
    assert_int_equal(s[0].line, 2);
    assert_int_equal(s[0].column, 14);
    hide(&p, ".debug_line");
    assert_null(bc_debug_new(p.m, &atoll_default_alloc));
    close_program(&p);
}

/* Strings lie in the module and end with a zero byte. */
static void check(const struct program *p, struct bc_name name) {
    if (!name.bytes) return;
    const uint8_t *start = (const uint8_t *)name.bytes;
    assert_true(start >= p->bytes.data && start + name.size < p->bytes.data + p->bytes.size);
    assert_int_equal(start[name.size], 0);
}
static void check_all(const struct program *p) {
    uint32_t start = p->m->funcs[0].code_offset;
    struct bc_debug *d = bc_debug_new(p->m, &atoll_default_alloc);
    for (uint32_t at = start; at < start + 13; at += 2) {
        struct bc_source s[4];
        uint32_t n = bc_debug_find(d, at, s, 4);
        for (uint32_t i = 0; i < n; i++) {
            check(p, s[i].function);
            check(p, s[i].directory);
            check(p, s[i].file);
        }
    }
    bc_debug_free(d);
}

static void no_mutilated_byte_does_harm(void **state) {
    static const char *const names[] = {"version2", "version4", "version5", "split5"};
    static const uint8_t values[] = {0, 1, 0x7F, 0x80, 0xFF};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct program p;
        open_program(&p, names[i]);
        for (uint32_t c = 0; c < p.m->n_customs; c++)
            for (uint32_t at = 0; at < p.m->customs[c].payload.size; at++) {
                uint8_t *byte = &p.bytes.data[p.m->customs[c].payload.offset + at], old = *byte;
                for (size_t v = 0; v < sizeof values; v++) {
                    *byte = values[v];
                    check_all(&p);
                }
                *byte = old;
            }
        close_program(&p);
    }
}

static void no_shortened_section_does_harm(void **state) {
    (void)state;
    struct program p;
    open_program(&p, "version5");
    for (uint32_t c = 0; c < p.m->n_customs; c++) {
        uint32_t whole = p.m->customs[c].payload.size;
        for (uint32_t size = 0; size < whole; size++) {
            p.m->customs[c].payload.size = size;
            check_all(&p);
        }
        p.m->customs[c].payload.size = whole;
    }
    close_program(&p);
}

/* A module with a .debug_info of many units that all share one line program without end in sight. */
static void shared_sections_cannot_multiply_work(void **state) {
    enum { N_UNITS = 20000, N_LINES = 1000000 };
    struct bc_buf b, info, abbrev, line, code;
    struct bc_module *m = NULL;
    struct bc_source s[4];
    (void)state;
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_init(&info, &atoll_default_alloc);
    bc_buf_init(&abbrev, &atoll_default_alloc);
    bc_buf_init(&line, &atoll_default_alloc);
    PUT(&abbrev, "\x0D.debug_abbrev\1\x11\0\x10\x06\0\0\0");
    PUT(&info, "\x0B.debug_info");
    for (int i = 0; i < N_UNITS; i++) PUT(&info, "\x0C\0\0\0\2\0\0\0\0\0\4\1\0\0\0\0");
    PUT(&line, "\x0B.debug_line");
    bc_buf_fixed(&line, 2 + 4 + 6 + N_LINES, 4);
    PUT(&line, "\2\0\7\0\0\0\1\1\0\1\2\0\0");
    for (int i = 1; i < N_LINES; i++) bc_buf_u8(&line, 1);
    module_begin(&b);
    PUT(&code, "\1\x60\0\0");
    section(&b, 1, &code);
    PUT(&code, "\1\0");
    section(&b, 3, &code);
    PUT(&code, "\1\3\0\1\x0B");
    section(&b, 10, &code);
    section(&b, 0, &info);
    section(&b, 0, &abbrev);
    section(&b, 0, &line);
    assert_int_equal(bc_module_decode(b.data, b.size, NULL, &m, NULL), ATOLL_OK);
    struct bc_debug *d = bc_debug_new(m, &atoll_default_alloc);
    assert_non_null(d);
    for (int i = 0; i < 64; i++) assert_int_equal(bc_debug_find(d, m->funcs[0].code_offset, s, 4), 0);
    bc_debug_free(d);
    bc_module_free(m);
    bc_buf_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_tells_lines_and_inlined_functions),
        cmocka_unit_test(split_programs_tell_lines),
        cmocka_unit_test(places_outside_code_are_unknown),
        cmocka_unit_test(what_is_absent_is_unknown),
        cmocka_unit_test(no_mutilated_byte_does_harm),
        cmocka_unit_test(no_shortened_section_does_harm),
        cmocka_unit_test(shared_sections_cannot_multiply_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
