/* tests/sysvm/script/pattern_test.c: where a pattern is found in a stream, and which are refused. */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/sysvm/suite.h"
#include "sysvm/script/pattern.h"

/* Bytes up to the end of the first match, or -1. */
static int find(const char *pattern, bool literal, bool fold, const char *text) {
    struct pattern *p;
    struct atoll_error err = {0};
    enum atoll_status status =
        pattern_new(&atoll_default_alloc, pattern, strlen(pattern), literal, fold, &p, &err);
    if (status != ATOLL_OK) print_error("%s: %s\n", pattern, err.text);
    assert_int_equal(status, ATOLL_OK);
    int end = -1;
    pattern_start(p, true);
    for (int i = 0; text[i] && end < 0; i++)
        if (pattern_step(p, (uint8_t)text[i])) end = i + 1;
    pattern_free(p);
    return end;
}
#define FOUND(pattern, text, end) assert_int_equal(find(pattern, false, false, text), end)

static void a_text_is_found_wherever_it_begins(void **state) {
    (void)state;
    assert_int_equal(find("login: ", true, false, "lologin: x"), 9);
    assert_int_equal(find("aab", true, false, "aaab"), 4);
    assert_int_equal(find("a.b*", true, false, "axbb a.b*"), 9);
    assert_int_equal(find("login", true, false, "Login"), -1);
}

static void an_expression_ends_as_soon_as_it_can(void **state) {
    (void)state;
    FOUND("ab+", "xabbb", 3);
    FOUND("a(bc|d)e", "abde ade", 8);
    FOUND("a(bc|d|e)*f", "abcdeef", 7);
    FOUND("(a|b|)c", "c", 1);
    FOUND("[a-c]{2}x", "ax abx", 6);
    FOUND("a{0,2}b", "aaab", 4);
    FOUND("xa{2,3}b", "xab xaab", 8);
    FOUND("xa{2,3}b", "xaaaab", -1);
    FOUND("xa{2,}b", "xab xaaaaab", 11);
    FOUND("xa{0,}b", "xb", 2);
    FOUND("x(ab){2}{2}y", "xababy xababababy", 17);
    FOUND("x()*()+y", "xy", 2);
    FOUND("x(a*)*y", "xaaay", 5);
    FOUND("x.y", "x\ny xzy", 7);
    FOUND("[^0-9]x", "1x\nx", 4);
    FOUND("[]a]\\]", "]]", 2);
    FOUND("[a-]-x", "--x", 3);
    FOUND("\\d+ \\w\\s\\x41\\.", "12 b\tA.", 7);
}

static void lines_begin_and_end(void **state) {
    (void)state;
    FOUND("^# ", "x# \n# ", 6);
    FOUND("^a", "a", 1);
    FOUND("ok$", "ok? ok\r\r\n", 9);
    FOUND("ok$^b", "ok\nb", 4);
    FOUND("(^|x)y", "ay\nxy", 5);
}

static void letters_of_both_sizes_are_one_where_asked(void **state) {
    (void)state;
    assert_int_equal(find("kernel [P-Q]anic", false, true, "KERNEL PANIC"), 12);
    assert_int_equal(find("[^a]b", false, true, "AB cB"), 5);
}

static void what_is_no_pattern_is_refused_with_its_place(void **state) {
    static const struct {
        const char *text;
        unsigned column;
    } wrong[] = {{"a(b", 4},   {"a)", 2},   {"*a", 1},      {"a|+", 3},    {"[ab", 4},
                 {"[b-a]", 5}, {"a{2", 4},  {"a{3,2}", 7},  {"a{256}", 5}, {"a\\", 3},
                 {"a\\q", 3},  {"\\x4", 4}, {"[\\d-z]", 6}, {"a{0}", 5},   {"a{}", 3},
                 {"", 1},      {"a*", 3},   {"^", 2},       {"(a|)", 5},   {"[\xC3\xA9]", 2}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct pattern *p;
        struct atoll_error err = {0};
        assert_int_not_equal(
            pattern_new(&atoll_default_alloc, wrong[i].text, strlen(wrong[i].text), false, false, &p, &err),
            ATOLL_OK);
        if (err.column != wrong[i].column) print_error("%s: %u: %s\n", wrong[i].text, err.column, err.text);
        assert_int_equal(err.column, wrong[i].column);
    }
}

static void patterns_that_would_become_large_are_refused(void **state) {
    static const char *const large[] = {"((a{255}){255}){255}", "((((){255}){255}){255}){255}",
                                        "(a{0,255}){255}"};
    struct pattern *p;
    char deep[100] = "";
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        assert_int_equal(
            pattern_new(&atoll_default_alloc, large[i], strlen(large[i]), false, false, &p, NULL),
            ATOLL_E_LIMIT);
    memset(deep, '(', 99);
    assert_int_equal(pattern_new(&atoll_default_alloc, deep, 99, false, false, &p, NULL), ATOLL_E_LIMIT);
}

/* A backtracking matcher would take 2^n steps for each of these. */
static void a_hostile_stream_costs_the_same_for_each_byte(void **state) {
    struct pattern *p;
    (void)state;
    assert_int_equal(pattern_new(&atoll_default_alloc, "(a*)*(a|aa)+(a?){40}b", 21, false, false, &p, NULL),
                     ATOLL_OK);
    pattern_start(p, true);
    for (int i = 0; i < 100000; i++) assert_false(pattern_step(p, 'a'));
    assert_true(pattern_step(p, 'b'));
    pattern_free(p);
}

/* The C library's matcher says whether there is a match in a text; where ours ends, none may end before. */
static void the_c_library_agrees(void **state) {
    static const char *const atoms[] = {"a", "b", "[ab]", ".", "(a|b)", "(ab|)", "(b*a)"};
    static const char *const repeats[] = {"", "", "*", "+", "?", "{2}", "{1,3}"};
    unsigned seed = 1;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        char pattern[128] = "a", text[24];
        for (int k = 0; k < 3; k++) {
            seed = seed * 1103515245 + 12345;
            snprintf(pattern + strlen(pattern), sizeof pattern - strlen(pattern), "%s%s%s",
                     k == 2 && seed & 1 << 30 ? "|b" : "", atoms[(seed >> 16) % 7],
                     repeats[(seed >> 24) % 7]);
        }
        for (size_t k = 0; k < sizeof text - 1; k++) {
            seed = seed * 1103515245 + 12345;
            text[k] = "abbc"[seed >> 16 & 3];
        }
        text[sizeof text - 1] = 0;
        regex_t theirs;
        assert_int_equal(regcomp(&theirs, pattern, REG_EXTENDED | REG_NOSUB), 0);
        int end = find(pattern, false, false, text), want = -1;
        for (int n = 1; n < (int)sizeof text && want < 0; n++) {
            char begin[sizeof text];
            memcpy(begin, text, (size_t)n);
            begin[n] = 0;
            if (!regexec(&theirs, begin, 0, NULL, 0)) want = n;
        }
        if (end != want) print_error("%s in %s\n", pattern, text);
        assert_int_equal(end, want);
        regfree(&theirs);
    }
}

/* Fails the nth allocation, then the next. */
struct failing {
    int left;
};
static void *resize(void *context, void *p, size_t old, size_t new) {
    struct failing *f = context;
    if (new && f->left-- == 0) return NULL;
    return atoll_default_alloc.resize(atoll_default_alloc.context, p, old, new);
}

static void memory_may_run_out(void **state) {
    (void)state;
    for (int n = 0;; n++) {
        struct failing f = {n};
        struct atoll_alloc alloc = {resize, &f};
        struct pattern *p;
        enum atoll_status status = pattern_new(&alloc, "(ab|c){3}[x-z]+", 15, false, false, &p, NULL);
        if (status == ATOLL_OK) {
            pattern_free(p);
            assert_true(n > 2);
            return;
        }
        assert_int_equal(status, ATOLL_E_NOMEM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_found_wherever_it_begins),
        cmocka_unit_test(an_expression_ends_as_soon_as_it_can),
        cmocka_unit_test(lines_begin_and_end),
        cmocka_unit_test(letters_of_both_sizes_are_one_where_asked),
        cmocka_unit_test(what_is_no_pattern_is_refused_with_its_place),
        cmocka_unit_test(patterns_that_would_become_large_are_refused),
        cmocka_unit_test(a_hostile_stream_costs_the_same_for_each_byte),
        cmocka_unit_test(the_c_library_agrees),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
