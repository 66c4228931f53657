/* The text format's tokens: kinds, annotations, official wording of faults; and the source map's look-up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "bytecode/text/text.h"

static enum text_token_kind only_kind(const char *text) {
    struct text_lexer x;
    text_lexer_init(&x, text, strlen(text), NULL);
    struct text_token first = text_lexer_next(&x);
    assert_int_equal(text_lexer_next(&x).kind, TEXT_EOF);
    assert_int_equal(x.status, ATOLL_OK);
    return first.kind;
}

static void numbers_with_misplaced_underscores_are_no_numbers(void **state) {
    (void)state;
    assert_int_equal(only_kind("1_000"), TEXT_NAT);
    assert_int_equal(only_kind("-0xf_f"), TEXT_INT);
    assert_int_equal(only_kind("0x1.8p+3"), TEXT_FLOAT);
    assert_int_equal(only_kind("1."), TEXT_FLOAT);
    assert_int_equal(only_kind("nan:0x7f_ff"), TEXT_FLOAT);
    const char *broken[] = {"1__0", "_1",   "1_",   "0x",   "0xg", ".0",
                            "0e",   "1._0", "0x0p", "1e_1", "0$x", "\"a\"b"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(only_kind(broken[i]), TEXT_RESERVED);
}

static void unread_annotations_and_comments_are_white_space(void **state) {
    (void)state;
    assert_int_equal(only_kind("(@a ((x) \")\") [;] (;);) (@)) func ;; end"), TEXT_KEYWORD);
    assert_int_equal(only_kind("(; (; ;) ;) $\"quoted id\""), TEXT_ID);
}

static void faults_have_the_official_wording_and_a_place(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\n (@)", "empty annotation id"}, {"\n (@x (y)", "unclosed annotation"},
        {"\n \"a", "unclosed string"},     {"\n \x01", "illegal character"},
        {"\n $(", "empty identifier"},     {"\n (; (;", "unclosed comment"},
        {"\n \"\\q\"", "illegal escape"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text_lexer x;
        struct atoll_error err = {0};
        text_lexer_init(&x, cases[i][0], strlen(cases[i][0]), &err);
        while (text_lexer_next(&x).kind != TEXT_EOF) {}
        assert_int_equal(x.status, ATOLL_E_SYNTAX);
        assert_string_equal(err.text, cases[i][1]);
        assert_int_equal(err.line, 2);
    }
}

static void string_escapes_become_bytes(void **state) {
    (void)state;
    static const char quoted[] = "\"a\\00\\ff\\t\\u{20_AC}\\\\\"";
    struct bc_buf out;
    bc_buf_init(&out, &atoll_default_alloc);
    text_string_bytes(quoted, sizeof quoted - 1, &out);
    assert_int_equal(out.size, 8);
    assert_memory_equal(out.data, "a\0\xff\t\xe2\x82\xac\\", 8);
    bc_buf_fini(&out);
}

static void source_map_finds_the_entry_that_covers_an_offset(void **state) {
    (void)state;
    struct bc_source_map_entry entries[] = {{10, 1, 1}, {20, 2, 1}, {30, 3, 1}};
    struct bc_source_map map = {.entries = entries, .n_entries = 3};
    assert_null(bc_source_map_find(&map, 9));
    assert_int_equal(bc_source_map_find(&map, 29)->line, 2);
    assert_int_equal(bc_source_map_find(&map, 999)->line, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_with_misplaced_underscores_are_no_numbers),
        cmocka_unit_test(unread_annotations_and_comments_are_white_space),
        cmocka_unit_test(faults_have_the_official_wording_and_a_place),
        cmocka_unit_test(string_escapes_become_bytes),
        cmocka_unit_test(source_map_finds_the_entry_that_covers_an_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
