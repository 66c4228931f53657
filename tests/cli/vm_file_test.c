/* tests/cli/vm_file_test.c: which flags a machine's file sets to what, and what is no flag. Language: ucl_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/vm_file.h"

static const struct cli_flag flags[] = {
    {1, "kernel", 0, "FILE", ""},  {2, "memory", 0, "SIZE", ""}, {3, "cpus", 0, "N", ""},
    {4, "stats", 0, NULL, ""},     {5, "disk", 0, "FILE", ""},   {6, "net", 0, "NET", ""},
    {7, "dir", 0, "DIR", ""},      {8, "env", 0, "NAME", ""},    {9, "append", 0, "TEXT", ""},
    {10, "rootfs", 0, "DIR", ""},  {11, "gdb", 0, "PORT", ""},   {12, "vsock", 0, "PATH", ""},
    {13, "script", 0, "FILE", ""}, {14, "no-jail", 0, NULL, ""}, {0}};

/* What `text` sets, one behind the other: `before` each flag, `between` it and its value. */
static char *settings_of(const char *text, const char *before, const char *between, const char *behind) {
    struct cli_vm_file file;
    struct atoll_error err = {0};
    char *all = NULL;
    size_t n;
    if (cli_vm_file_parse("a.vm", text, strlen(text), NULL, flags, &file, &err) != ATOLL_OK)
        fail_msg("%s: %u:%u: %s", text, err.line, err.column, err.text);
    FILE *out = open_memstream(&all, &n);
    for (size_t i = 0; i < file.n_settings; i++) {
        const struct cli_vm_setting *setting = file.settings + i;
        fprintf(out, "%s%s%s%s%s", i ? behind : "", before, setting->flag->name,
                setting->value ? between : "", setting->value ? setting->value : "");
    }
    fclose(out);
    cli_vm_file_free(&file);
    return all;
}

/* settings: "flag=value" or "flag", a line each. */
static void expect(const char *text, const char *settings) {
    char *all = settings_of(text, "", "=", "\n");
    assert_string_equal(all, settings);
    free(all);
}

static void keys_are_flags_in_their_order(void **state) {
    (void)state;
    expect("", "");
    expect("memory = 512M\ncpus = 0x2; kernel /boot/vmlinuz", "memory=512M\ncpus=0x2\nkernel=/boot/vmlinuz");
    expect("{ \"cpus\": 2, \"append\": \"a, b\" }", "cpus=2\nappend=a, b");
    expect("append = yes; kernel = 1e3", "append=yes\nkernel=1e3"); /* as written, whatever it is */
}

static void several_of_a_kind_are_one_behind_the_other(void **state) {
    (void)state;
    expect("disk = [ a, \"b\" ]; cpus = 1; disk = c", "disk=a\ndisk=b\ndisk=c\ncpus=1");
    expect("memory = 1G; memory = 2G", "memory=1G\nmemory=2G"); /* the last counts, as with flags */
    expect("disk = []", "");
}

static void flags_without_a_value_are_true_or_false(void **state) {
    (void)state;
    expect("stats = true; no-jail = off", "stats");
    expect("{ \"stats\": \"yes\" }", "stats");
    expect("stats = On", "stats");
}

static void null_says_nothing(void **state) {
    (void)state;
    expect("kernel = null; stats = null; cpus = [ null, 2 ]", "cpus=2");
    expect("kernel = \"null\"", "kernel=null");
}

static void lines_are_marked_as_such(void **state) {
    (void)state;
    static const char text[] = "\nscript = <<END\nwait off\nEND\nappend = x";
    struct cli_vm_file file;
    assert_int_equal(cli_vm_file_parse("a.vm", text, strlen(text), NULL, flags, &file, NULL), ATOLL_OK);
    assert_int_equal(file.n_settings, 2);
    assert_true(file.settings[0].from->is_lines);
    assert_int_equal(file.settings[0].from->line, 2);
    assert_string_equal(file.settings[0].value, "wait off");
    assert_false(file.settings[1].from->is_lines);
    cli_vm_file_free(&file);
}

static void sections_are_put_together(void **state) {
    (void)state;
    expect("disk { file = a.img }", "disk=a.img");
    expect("disk { overlay = true; file = a.img; serial = D1, ro = false, raw = null }",
           "disk=a.img:overlay:serial=D1");
    expect("disk { file = a.img; overlay = over.qcow2 }", "disk=a.img:overlay=over.qcow2");
    expect("disk root { file = a.img }\ndisk data { file = b.img; ro = true }\ndisk = c.img",
           "disk=a.img\ndisk=b.img:ro\ndisk=c.img");
    expect("disk = [ a.img, { file = b.img } ]", "disk=a.img\ndisk=b.img");
    expect("{ \"disk\": { \"one\": { \"file\": \"a\" }, \"two\": { \"file\": \"b\" } } }", "disk=a\ndisk=b");
    expect("memory { size = 1G; shared = true }", "memory=1G,shared");
    expect("vsock { path = /run/v; cid = 7 }", "vsock=/run/v,cid=7");
    expect("gdb { port = 1234; run = true }", "gdb=1234,run");
}

static void networks_have_kinds(void **state) {
    (void)state;
    expect("net = user", "net=user");
    expect("net user { }", "net=user");
    expect("net user { hostfwd = [ \"tcp::2222-:22\", \"tcp::80-:80\" ]; allow = public; allow = dns; ipv6 = "
           "true }",
           "net=user:hostfwd=tcp::2222-:22,hostfwd=tcp::80-:80,allow=public,allow=dns,ipv6=on");
    expect("net { kind = user; ipv6 = on }", "net=user:ipv6=on");
    expect("net { tap = tap0 }", "net=tap=tap0");
}

static void folders_have_two_ends(void **state) {
    (void)state;
    expect("dir { host = /srv }", "dir=/srv");
    expect("dir { ro = true; guest = /mnt; host = /srv }", "dir=/srv::/mnt:ro");
    expect("dir /mnt { host = /srv; ro = true }\ndir \"/src\" { host = . }",
           "dir=/srv::/mnt:ro\ndir=.::/src");
}

static void variables_are_a_section(void **state) {
    (void)state;
    expect("env { LANG = C; A = \"b c\"; N = 0x10; T = true; HOME = null; E = \"\" }",
           "env=LANG=C\nenv=A=b c\nenv=N=0x10\nenv=T=true\nenv=HOME\nenv=E=");
    expect("env = [ A=1, B ]; env { C = 2 }", "env=A=1\nenv=B\nenv=C=2");
}

static void groups_only_group(void **state) {
    (void)state;
    expect("machine { memory = 1G; cpus = 2 }\nguest { rootfs = /r; env { A = b } }\nstats = true",
           "memory=1G\ncpus=2\nrootfs=/r\nenv=A=b\nstats");
    expect("machine { cpus = 1 }\nmachine { cpus = 2 }", "cpus=1\ncpus=2");
}

/* ---- docs/machine-files.md ---- */

/* The text between two marks of code at or behind *at, which goes behind it; NULL: there is none. */
static char *take_code(char **at) {
    char *start = strchr(*at, '`'), *end = start ? strchr(start + 1, '`') : NULL;
    if (!end) return NULL;
    *end = 0;
    *at = end + 1;
    return start + 1;
}

/* A row "| `section`, `another` | `--flag text` |": each section is that flag. Returns whether it is one. */
static bool check_row(char *row) {
    char *flag = strstr(row, "| `--"), *at = row, *section, *wanted;
    if (strncmp(row, "| `", 3) || !flag) return false;
    *flag++ = 0;
    assert_non_null(wanted = take_code(&flag));
    while ((section = take_code(&at))) {
        char *all = settings_of(section, "--", " ", " ");
        assert_string_equal(all, wanted);
        free(all);
    }
    return true;
}

static void documented_examples_are_what_they_say(void **state) {
    (void)state;
    FILE *doc = fopen(MACHINE_FILES_MD, "r");
    char *line = NULL, *example = NULL;
    size_t room = 0, n, n_rows = 0;
    assert_non_null(doc);
    FILE *out = open_memstream(&example, &n);
    while (getline(&line, &room, doc) > 0) {
        if (strncmp(line, "    ", 4) == 0) fputs(line + 4, out);
        n_rows += check_row(line);
    }
    fclose(out), fclose(doc);
    assert_in_range(n_rows, 7, 20);
    char *all = settings_of(example, "", "=", "\n");
    assert_non_null(
        strstr(all, "\ndisk=debian.qcow2:overlay\ndisk=data.img:serial=D1:direct\nnet=user:hostfwd="));
    free(all), free(example), free(line);
}

static void what_is_wrong_has_its_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t line;
        const char *message;
    } rows[] = {
        {"\nmemry = 1", 2, "there is no flag \"memry\"; perhaps memory"},
        {"gest { }", 1, "perhaps guest"},
        {"qqqqqqqq = 1", 1, "there is no flag \"qqqqqqqq\""},
        {"net = user,hostfwd=x", 1, "(a value with commas stands in quotes)"},
        {"stats = maybe", 1, "stats is true or false, not \"maybe\""},
        {"stats = \"x\"", 1, "stats is true or false"},
        {"stats { }", 1, "stats is true or false"},
        {"\n\nstats = [\n1 ]", 4, "stats is true or false"},
        {"disk = [ [ a ] ]", 1, "disk: a list in a list"},
        {"kernel { file = a }", 1, "kernel is a value, no section"},
        {"disk {\n ro = true }", 1, "disk: its \"file\" is missing"},
        {"disk { }", 1, "its \"file\" is missing"},
        {"disk {\n file = [ a, b ] }", 2, "disk: \"file\" is one value"},
        {"disk { file = a; file = b }", 1, "disk: \"file\" is one value"},
        {"disk { file = a; serial { x = 1 } }", 1, "disk: \"serial\" is a value"},
        {"disk { file = a; serial = [ [ 1 ] ] }", 1, "disk: \"serial\" is a value"},
        {"disk { file = a\nserial = <<E\nx\nE\n}", 2, "disk: \"serial\" is one line"},
        {"disk a { file = x }\ndisk = { a { file = x }; b = 1 }", 2, "its \"file\" is missing"},
        {"net { }", 1, "net: an empty section"},
        {"env { A { } }", 1, "env: \"A\" is one value"},
        {"env { A = 1; A = 2 }", 1, "env: \"A\" is one value"},
        {"machine = x", 1, "machine is a section: machine { }"},
        {"machine { guest { cpus = 1 } }", 1, "there is no flag \"guest\""},
        {"[ 1 ]", 1, "a machine is flags, no list"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cli_vm_file file;
        struct atoll_error err = {0};
        enum atoll_status status =
            cli_vm_file_parse("a.vm", rows[i].text, strlen(rows[i].text), NULL, flags, &file, &err);
        if (status != ATOLL_E_USAGE || !strstr(err.text, rows[i].message) || err.line != rows[i].line)
            fail_msg("%s: %d, %u: %s", rows[i].text, (int)status, err.line, err.text);
        assert_string_equal(file.failed->name, "a.vm");
        cli_vm_file_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_flags_in_their_order),
        cmocka_unit_test(several_of_a_kind_are_one_behind_the_other),
        cmocka_unit_test(flags_without_a_value_are_true_or_false),
        cmocka_unit_test(null_says_nothing),
        cmocka_unit_test(lines_are_marked_as_such),
        cmocka_unit_test(sections_are_put_together),
        cmocka_unit_test(networks_have_kinds),
        cmocka_unit_test(folders_have_two_ends),
        cmocka_unit_test(variables_are_a_section),
        cmocka_unit_test(groups_only_group),
        cmocka_unit_test(documented_examples_are_what_they_say),
        cmocka_unit_test(what_is_wrong_has_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
