/* tests/cli/vm_file_test.c: what a machine's file says, and where one that is wrong is wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/vm_file.h"

static enum atoll_status parse(const char *text, struct cli_vm_file *out, struct atoll_error *err) {
    size_t n = strlen(text);
    char *exact = malloc(n + 1); /* without a zero byte behind it */
    memcpy(exact, text, n);
    enum atoll_status status = cli_vm_file_parse(exact, n, out, err);
    free(exact);
    return status;
}

/* pairs: name, value, name, value, NULL */
static void assert_entries(const char *text, const char *const *pairs) {
    struct cli_vm_file file;
    struct atoll_error err = {0};
    assert_int_equal(parse(text, &file, &err), ATOLL_OK);
    size_t n = 0;
    for (; pairs[2 * n]; n++) {
        assert_in_range(n, 0, file.n_entries - 1);
        assert_string_equal(file.entries[n].name, pairs[2 * n]);
        assert_string_equal(file.entries[n].value, pairs[2 * n + 1]);
    }
    assert_int_equal(file.n_entries, n);
    cli_vm_file_free(&file);
}
#define ENTRIES(text, ...) assert_entries(text, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void words_go_to_the_end_of_their_line(void **state) {
    (void)state;
    ENTRIES("memory = 512M\ncpus=2\n", "memory", "512M", "cpus", "2");
    ENTRIES("append = console=ttyS0 quiet  \n", "append", "console=ttyS0 quiet");
    ENTRIES("append = a#b # said\n", "append", "a#b");
    ENTRIES("append = a/*b /* said */ ; cpus = 2", "append", "a/*b", "cpus", "2");
    ENTRIES("a = 1; b : 2, c = 3", "a", "1", "b", "2", "c", "3");
    ENTRIES("kernel = /boot/vmlinuz\r\n", "kernel", "/boot/vmlinuz");
    ENTRIES("memory 512M;\ncpus\t2 # two\nappend \"a b\"\ndisk [ a ]", "memory", "512M", "cpus", "2",
            "append", "a b", "disk", "a");
}

static void strings_are_jsons(void **state) {
    (void)state;
    ENTRIES("\"append\": \"a;b, \\\"c\\\" \\\\ \\n \\u00e9\\u20AC\"", "append",
            "a;b, \"c\" \\ \n \xC3\xA9\xE2\x82\xAC");
    ENTRIES("{ \"memory\": \"1G\", \"disk\": [ \"a\", \"b\" ] }\n", "memory", "1G", "disk", "a", "disk", "b");
    ENTRIES("a = \"\"", "a", "");
    ENTRIES("a = 'b\\n \"c\", \\'d\\''; b = ''", "a", "b\\n \"c\", 'd'", "b", "");
    ENTRIES("disk = [ 'a', 'b' ]", "disk", "a", "disk", "b");
}

static void text_is_lines_up_to_its_word(void **state) {
    (void)state;
    ENTRIES("script = <<END\n  a = \"1\" # x\r\n\nEND \ncpus = 1", "script", "  a = \"1\" # x\r\n\n", "cpus",
            "1");
    ENTRIES("script = <<EOD # why\nENDS\nEO\nEOD", "script", "ENDS\nEO\n");
    ENTRIES("a = <<E\nE", "a", "");
    ENTRIES("a = \"<<E\"; b = <", "a", "<<E", "b", "<");
}

static void lists_are_several_entries(void **state) {
    (void)state;
    ENTRIES("disk = [ one, \"two\",\n  three, # the last\n ]\ncpus = 1", "disk", "one", "disk", "two", "disk",
            "three", "cpus", "1");
    ENTRIES("disk = []");
}

static void what_is_included_is_an_entry(void **state) {
    (void)state;
    ENTRIES(".include \"a.vm\"\n.include(try=true) b.vm; cpus = 1", CLI_VM_INCLUDE, "a.vm",
            CLI_VM_TRY_INCLUDE, "b.vm", "cpus", "1");
}

static void comments_and_empty_files_say_nothing(void **state) {
    (void)state;
    ENTRIES("");
    ENTRIES("#!/usr/bin/env -S atoll boot\n\n# nothing\n");
    ENTRIES("/* not\n * this */ cpus = \"4\" /* nor this */ ; # end", "cpus", "4");
    ENTRIES("/* out /* of */ use */ cpus = 4", "cpus", "4");
    ENTRIES("cpus /* how many */ = /* so many */ 4", "cpus", "4");
    ENTRIES("{}");
}

static void what_is_wrong_has_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, column;
        const char *message;
    } rows[] = {
        {"cpus", 1, 5, "\"=\" is expected"},
        {"cpus \n4", 1, 6, "\"=\" is expected"},
        {"cpus\"4\"", 1, 5, "\"=\" is expected"},
        {"memory = 64M,shared\n", 1, 20, "value with commas stands in quotes"},
        {"a = 'b", 1, 5, "string has no end"},
        {"a = 1 /* /* */", 1, 15, "comment has no end"},
        {"/* /* */ a", 1, 11, "comment has no end"},
        {".load \"x\"", 1, 1, "only macro"},
        {".include\n", 1, 9, "\"=\" is expected"},
        {"disk { file = a }", 1, 6, "text or a list"},
        {"\n  = 4", 2, 3, "name of a flag"},
        {"a = 1\nb =\nc = 2", 2, 4, "value is missing"},
        {"a = \"b", 1, 5, "string has no end"},
        {"a = \"b\nc\"", 1, 5, "string has no end"},
        {"a = \"\\x\"", 1, 7, "escape"},
        {"a = \"\\u12\"", 1, 10, "hexadecimal"},
        {"a = \"\\ud800\"", 1, 12, "no character"},
        {"a = \"\\u0000\"", 1, 12, "no character"},
        {"a = [ 1, 2", 1, 11, "\",\" or \"]\" is expected"},
        {"a = [ [ 1 ] ]", 1, 7, "list in a list"},
        {"a = { b = 1 }", 1, 5, "text or a list"},
        {"{ a = 1", 1, 8, "\"}\" is missing"},
        {"{ a = 1 } b = 2", 1, 11, "behind the last brace"},
        {"a = \"b\" c", 1, 9, "end of the line"},
        {"a = 1\n/* b", 2, 5, "comment has no end"},
        {"A = 1", 1, 1, "name of a flag"},
        {"a = <<b\nb\n", 1, 5, "word in capitals"},
        {"a = <<E b\nE\n", 1, 9, "end of the line"},
        {"b = 1\na = <<E\nc\nE e\n", 2, 5, "have no end"},
        {"a = <<E\nb\nE\nc", 4, 2, "\"=\" is expected"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cli_vm_file file;
        struct atoll_error err = {0};
        assert_int_equal(parse(rows[i].text, &file, &err), ATOLL_E_SYNTAX);
        if (!strstr(err.text, rows[i].message) || err.line != rows[i].line || err.column != rows[i].column)
            print_error("%s: %u:%u: %s\n", rows[i].text, err.line, err.column, err.text);
        assert_non_null(strstr(err.text, rows[i].message));
        assert_int_equal(err.line, rows[i].line);
        assert_int_equal(err.column, rows[i].column);
        assert_null(file.entries);
    }
}

static void zero_bytes_and_endless_files_are_refused(void **state) {
    (void)state;
    struct cli_vm_file file;
    struct atoll_error err = {0};
    assert_int_equal(cli_vm_file_parse("a = b\0c", 7, &file, &err), ATOLL_E_SYNTAX);
    assert_int_equal(cli_vm_file_parse("a = \"b\0c\"", 9, &file, &err), ATOLL_E_SYNTAX);
    char *blanks = calloc(1, CLI_VM_FILE_MAX + 1);
    memset(blanks, ' ', CLI_VM_FILE_MAX + 1);
    assert_int_equal(cli_vm_file_parse(blanks, CLI_VM_FILE_MAX, &file, &err), ATOLL_OK);
    cli_vm_file_free(&file);
    assert_int_equal(cli_vm_file_parse(blanks, CLI_VM_FILE_MAX + 1, &file, &err), ATOLL_E_LIMIT);
    free(blanks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_go_to_the_end_of_their_line),
        cmocka_unit_test(strings_are_jsons),
        cmocka_unit_test(text_is_lines_up_to_its_word),
        cmocka_unit_test(lists_are_several_entries),
        cmocka_unit_test(what_is_included_is_an_entry),
        cmocka_unit_test(comments_and_empty_files_say_nothing),
        cmocka_unit_test(what_is_wrong_has_its_place),
        cmocka_unit_test(zero_bytes_and_endless_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
