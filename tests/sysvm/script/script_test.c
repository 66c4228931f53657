/* tests/sysvm/script/script_test.c: scripts against a console in memory; time is a number. */
#include <stdio.h>
#include <stdlib.h>
#include "tests/sysvm/suite.h"
#include "sysvm/script/script.h"

#define SECOND UINT64_C(1000000000)

struct console {
    struct vm_script *script;
    uint64_t now;
    char sent[4096];
    size_t n_sent, room; /* room: how much more the guest takes */
    unsigned n_buttons, n_kills, n_done;
    bool failed;
    struct atoll_error err;
};

static size_t take(void *context, const uint8_t *bytes, size_t n) {
    struct console *c = context;
    if (n > c->room) n = c->room;
    assert_in_range(c->n_sent + n, 0, sizeof c->sent - 1);
    memcpy(c->sent + c->n_sent, bytes, n);
    c->n_sent += n;
    c->room -= n;
    c->sent[c->n_sent] = 0;
    return n;
}
static void act(void *context, enum vm_script_act act) {
    struct console *c = context;
    *(act == VM_SCRIPT_KILL ? &c->n_kills : &c->n_buttons) += 1;
}
static bool save(void *context, size_t i, const uint8_t *bytes, size_t n) {
    (void)context, (void)i, (void)bytes, (void)n;
    return true;
}
static void done(void *context, const struct atoll_error *err) {
    struct console *c = context;
    c->n_done++;
    c->failed = err != NULL;
    if (err) c->err = *err;
}

/* Seconds, with a unit or not. */
static bool duration(const char *text, uint64_t *out_ns) {
    char *end;
    double n = strtod(text, &end);
    *out_ns = (uint64_t)(n * (strcmp(end, "ms") ? 1e9 : 1e6));
    return end > text && (!*end || !strcmp(end, "s") || !strcmp(end, "ms"));
}

static enum atoll_status parse(const char *text, struct vm_script **out, struct atoll_error *err) {
    size_t n = strlen(text);
    char *exact = malloc(n ? n : 1); /* without a zero byte behind it */
    memcpy(exact, text, n);
    struct vm_script_text t = {exact, n, 1};
    enum atoll_status status = vm_script_parse(&atoll_default_alloc, &t, duration, out, err);
    free(exact);
    return status;
}

static void start(struct console *c, const char *text) {
    struct atoll_error err = {0};
    memset(c, 0, sizeof *c);
    c->room = SIZE_MAX / 2;
    c->now = 1000 * SECOND;
    enum atoll_status status = parse(text, &c->script, &err);
    if (status != ATOLL_OK) print_error("%u:%u: %s\n", err.line, err.column, err.text);
    assert_int_equal(status, ATOLL_OK);
    vm_script_begin(c->script, &(struct vm_script_host){take, act, save, done, c, "\r"}, c->now);
}
static void stop(struct console *c) { vm_script_free(c->script); }
static void output(struct console *c, const char *text) {
    vm_script_output(c->script, (const uint8_t *)text, strlen(text), c->now);
}
static void wait(struct console *c, double seconds) {
    c->now += (uint64_t)(seconds * 1e9);
    vm_script_tick(c->script, c->now);
}
#define SENT(c, text) assert_string_equal((c)->sent, text)

static void assert_failed(struct console *c, unsigned line, const char *text) {
    assert_int_equal(c->n_done, 1);
    assert_true(c->failed);
    if (!strstr(c->err.text, text)) print_error("%u: %s\n", c->err.line, c->err.text);
    assert_int_equal(c->err.line, line);
    assert_non_null(strstr(c->err.text, text));
}
static void assert_done(struct console *c) {
    if (c->failed) print_error("%u: %s\n", c->err.line, c->err.text);
    assert_int_equal(c->n_done, 1);
    assert_false(c->failed);
    assert_true(vm_script_deadline(c->script) == UINT64_MAX);
}

static void it_waits_and_answers(void **state) {
    struct console c;
    (void)state;
    start(&c, "# log in\nexpect \"login: \"\ntype \"root\"\n\n  expect /[#$] /i 5s # the shell\nsend "
              "\"a\\x01\\\"\\e\"\n");
    output(&c, "Debian\r\nlog");
    SENT(&c, "");
    output(&c, "in: ");
    SENT(&c, "root\r");
    output(&c, "root\r\nroot@debian:~# ");
    SENT(&c, "root\ra\x01\"\x1b");
    assert_done(&c);
    stop(&c);
}

static void output_that_came_before_the_wait_counts(void **state) {
    struct console c;
    (void)state;
    start(&c, "expect \"one\"\npause 3s\nexpect \"two\"\nexpect \"three\"\nexpect \"two\" 1s");
    output(&c, "one two three "); /* both are there before anybody waits for them */
    assert_int_equal(c.n_done, 0);
    assert_true(vm_script_deadline(c.script) == c.now + 3 * SECOND);
    wait(&c, 3);
    wait(&c, 0.5);
    assert_int_equal(c.n_done, 0); /* what was matched is gone: the second "two" has not come */
    output(&c, "two");
    assert_done(&c);
    stop(&c);
}

static void a_match_begins_where_the_last_one_ended(void **state) {
    struct console c;
    (void)state;
    start(&c, "expect \"aa\"\nexpect \"aa\"\ntype \"x\"");
    output(&c, "aaa");
    SENT(&c, "");
    output(&c, "a");
    SENT(&c, "x\r");
    stop(&c);
}

static void each_wait_has_its_own_time(void **state) {
    struct console c;
    (void)state;
    start(&c, "timeout 10s\nexpect \"a\"\nexpect /b/ 500ms\n");
    wait(&c, 9.9);
    output(&c, "a");
    assert_true(vm_script_deadline(c.script) == c.now + SECOND / 2);
    wait(&c, 0.4);
    assert_int_equal(c.n_done, 0);
    wait(&c, 0.1);
    assert_failed(&c, 3, "/b/ did not come within 0.5 s");
    assert_int_equal(c.err.column, 1);
    output(&c, "b");
    assert_int_equal(c.n_done, 1);
    stop(&c);
}

static void a_guest_that_takes_little_gets_all(void **state) {
    struct console c;
    (void)state;
    start(&c, "expect \"x\"\nsend \"0123456789\" 4s\ntype \"b\"");
    c.room = 3;
    output(&c, "x");
    SENT(&c, "012");
    c.room = 4;
    vm_script_room(c.script, c.now);
    SENT(&c, "0123456");
    wait(&c, 3);
    c.room = 100;
    vm_script_room(c.script, c.now);
    SENT(&c, "0123456789b\r");
    assert_done(&c);
    stop(&c);
    start(&c, "expect \"x\"\nsend \"0123456789\" 4s");
    c.room = 3;
    output(&c, "x");
    wait(&c, 4);
    assert_failed(&c, 2, "did not take the input within 4 s");
    stop(&c);
}

static void a_message_when_something_comes_ends_it(void **state) {
    struct console c;
    (void)state;
    start(&c, "expect \"booting\"\nfail \"no root\" when /panic|VFS: cannot/\nexpect \"login:\"");
    output(&c, "panic? booting ... VFS: ");
    assert_int_equal(c.n_done, 0); /* what came before the line does not count */
    output(&c, "cannot mount login:");
    assert_failed(&c, 2, "no root");
    stop(&c);
    start(&c, "pause 1s\nfail \"no root\" when \"panic\"");
    output(&c, "panic");
    wait(&c, 1);
    assert_failed(&c, 2, "no root"); /* what nobody has read yet does */
    stop(&c);
    start(&c, "fail \"so\"");
    assert_failed(&c, 1, "so");
    stop(&c);
}

static void the_guest_is_switched_off(void **state) {
    struct console c;
    (void)state;
    start(&c, "expect \"up\"\npower off 20s\n");
    output(&c, "up");
    assert_int_equal(c.n_buttons, 1);
    assert_int_equal(c.n_done, 0);
    vm_script_guest_gone(c.script, true, "powered off");
    assert_done(&c);
    stop(&c);
    start(&c, "power off 20s\n");
    wait(&c, 20);
    assert_failed(&c, 1, "not off within 20 s");
    stop(&c);
    start(&c, "wait off\nexpect \"x\"");
    vm_script_guest_gone(c.script, true, "powered off");
    assert_failed(&c, 2, "the guest powered off before");
    stop(&c);
    start(&c, "wait off");
    vm_script_guest_gone(c.script, false, "crashed");
    assert_failed(&c, 1, "the guest crashed before");
    stop(&c);
    start(&c, "kill");
    assert_int_equal(c.n_kills, 1);
    assert_done(&c);
    vm_script_guest_gone(c.script, true, "powered off");
    assert_done(&c);
    stop(&c);
}

static void a_reset_drops_what_was_not_taken(void **state) {
    struct console c;
    (void)state;
    start(&c, "send \"abc\"\nexpect \"again\"");
    output(&c, "x");
    stop(&c);
    start(&c, "expect \"x\"\nsend \"abc\"\nexpect \"again\"");
    c.room = 1;
    output(&c, "x");
    vm_script_reset(c.script);
    c.room = 100;
    output(&c, "again");
    SENT(&c, "a");
    assert_done(&c);
    stop(&c);
}

/* What is kept has a bound; what is behind it is found, what fell out is told. */
static void a_flood_is_kept_in_part(void **state) {
    struct console c;
    char line[1025];
    (void)state;
    memset(line, '.', 1024);
    line[1024] = 0;
    start(&c, "pause 1s\nexpect \"last\"\nexpect \"first\" 2s");
    output(&c, "first");
    for (int i = 0; i < 1000; i++) output(&c, line);
    output(&c, "last");
    wait(&c, 1);
    wait(&c, 2);
    assert_failed(&c, 3, "some of it went unread");
    stop(&c);
    size_t n = 3 * VM_SCRIPT_KEPT_MAX;
    char *once = malloc(n + 6);
    memset(once, '.', n);
    memcpy(once + n, "last!", 6);
    start(&c, "pause 1s\nexpect \"last\"");
    output(&c, once);
    wait(&c, 1);
    assert_done(&c);
    free(once);
    stop(&c);
}

/* As a shell would answer: with the number that was asked for. */
static void answer(struct console *c, const char *status) {
    char text[64];
    const char *at = strstr(c->sent, "%d:\\n' ");
    assert_non_null(at);
    snprintf(text, sizeof text, "\r\natoll:%d:%s:\r\n# ", atoi(at + 7), status);
    c->n_sent = 0;
    output(c, text);
}

static void a_command_has_a_status(void **state) {
    struct console c;
    (void)state;
    start(&c, "run \"make 'all'\" 60s\nexpect \"# \"\nrun \"false\"");
    SENT(&c, "{ make 'all'\r} </dev/null\rprintf '\\natoll:%s:%d:\\n' 1 $?\r");
    output(&c, c.sent); /* the echo is no answer */
    output(&c, "atoll:7:0: atoll:1:x: atoll:1:1234: ");
    assert_int_equal(c.n_done, 0);
    answer(&c, "0");
    SENT(&c, "{ false\r} </dev/null\rprintf '\\natoll:%s:%d:\\n' 2 $?\r");
    answer(&c, "17");
    assert_failed(&c, 3, "\"false\" ended with status 17");
    stop(&c);
    start(&c, "run \"sleep 100\" 5s");
    wait(&c, 5);
    assert_failed(&c, 1, "\"sleep 100\" did not end within 5 s");
    stop(&c);
}

static void a_guest_cannot_send_a_copy_of_any_size_or_kind(void **state) {
    static const struct {
        const char *answer, *text;
    } hostile[] = {
        {"\natoll=1=AQAAAAEAEAA=:\n", "has 1048577 bytes"},
        {"\natoll=1=AQAAAP////8=:\n", "has 4294967295 bytes"},
        {"\natoll=1=AAAA:\n", "cannot be read in the guest"},
        {"\natoll=1=AAAAAAAA=AAA:\n", "cannot be read in the guest"},
        {"\natoll=1=:\n", "cannot be read in the guest"},
        {"\natoll=1=AQAAAAMAAAA=:\r\nAAAA\r\n", "(checksum)"},
        {"\natoll=1=AQAAAAMAAAA=:\r\n[ 12.3] oops\r\n", "something else"},
        {"\natoll=1=AQAAAAMAAAA=:\r\nAAAAAAAAAAA\r\n", "something else"},
        {"\natoll=1=AAAAAAAAAAAAAAAA:\n atoll=1=AAAAAAAAAAA=:\r\nAAAA\r\n", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct console c;
        start(&c, "copy-out \"/etc/it's\" \"x\" 5s");
        assert_non_null(strstr(c.sent, "gzip -c < '/etc/it'\\''s' |"));
        output(&c, hostile[i].answer);
        if (hostile[i].text)
            assert_failed(&c, 1, hostile[i].text);
        else
            assert_done(&c); /* an empty file */
        stop(&c);
    }
}

static void what_is_no_script_is_refused_with_its_place(void **state) {
    static const struct {
        const char *text;
        unsigned line, column;
        const char *what;
    } wrong[] = {
        {"", 1, 1, "no step"},
        {"# nothing\n", 2, 1, "no step"},
        {"expect \"a\"\nexpct \"b\"", 2, 1, "no step begins so"},
        {"expect a", 1, 8, "string\" is expected"},
        {"expect \"a", 1, 8, "no end on its line"},
        {"expect \"a\\q\"", 1, 11, "escape"},
        {"expect \"a\\x4\"", 1, 11, "escape"},
        {"expect \"\"", 1, 8, "nothing"},
        {"expect /a", 1, 8, "no \"/\""},
        {"expect /a(/", 1, 11, "\")\" is missing"},
        {"expect \"a\" soon", 1, 12, "a time"},
        {"expect \"a\" 0s", 1, 12, "a time"},
        {"expect \"a\" 1s 2s", 1, 15, "end of the line"},
        {"  power on", 1, 9, "\"off\""},
        {"pause", 1, 6, "a time"},
        {"timeout\nkill", 1, 8, "a time"},
        {"run \"a\\nb\"", 1, 5, "control"},
        {"run \"\"", 1, 5, "empty"},
        {"type \"\\x00\"", 1, 6, "zero"},
        {"copy-in \"a\"", 1, 12, "string"},
        {"fail", 1, 5, "string"},
        {"fail \"a\" when", 1, 14, "string"},
        {"kill now", 1, 6, "end of the line"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct vm_script *script;
        struct atoll_error err = {0};
        assert_int_not_equal(parse(wrong[i].text, &script, &err), ATOLL_OK);
        if (err.line != wrong[i].line || err.column != wrong[i].column || !strstr(err.text, wrong[i].what))
            print_error("%s: %u:%u: %s\n", wrong[i].text, err.line, err.column, err.text);
        assert_int_equal(err.line, wrong[i].line);
        assert_int_equal(err.column, wrong[i].column);
        assert_non_null(strstr(err.text, wrong[i].what));
    }
}

static void there_are_bounds(void **state) {
    struct vm_script *script;
    char text[32 * 5000] = "";
    (void)state;
    for (int i = 0; i < 17; i++) strcat(text, "fail \"a\" when \"b\"\n");
    assert_int_equal(parse(text, &script, NULL), ATOLL_E_LIMIT);
    text[0] = 0;
    for (int i = 0; i < 4097; i++) memcpy(text + 5L * i, "kill\n", 6);
    assert_int_equal(parse(text, &script, NULL), ATOLL_E_LIMIT);
    memset(text, 'a', 1000);
    memcpy(text, "run \"", 5);
    strcpy(text + 1000, "\"");
    assert_int_equal(parse(text, &script, NULL), ATOLL_E_LIMIT);
    struct vm_script_text large = {text, VM_SCRIPT_BYTES_MAX + 1, 1};
    assert_int_equal(vm_script_parse(&atoll_default_alloc, &large, duration, &script, NULL), ATOLL_E_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_and_answers),
        cmocka_unit_test(output_that_came_before_the_wait_counts),
        cmocka_unit_test(a_match_begins_where_the_last_one_ended),
        cmocka_unit_test(each_wait_has_its_own_time),
        cmocka_unit_test(a_guest_that_takes_little_gets_all),
        cmocka_unit_test(a_message_when_something_comes_ends_it),
        cmocka_unit_test(the_guest_is_switched_off),
        cmocka_unit_test(a_reset_drops_what_was_not_taken),
        cmocka_unit_test(a_flood_is_kept_in_part),
        cmocka_unit_test(a_command_has_a_status),
        cmocka_unit_test(a_guest_cannot_send_a_copy_of_any_size_or_kind),
        cmocka_unit_test(what_is_no_script_is_refused_with_its_place),
        cmocka_unit_test(there_are_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
