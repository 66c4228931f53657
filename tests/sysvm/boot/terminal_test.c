/* tests/sysvm/boot/terminal_test.c: `atoll boot` on a terminal: raw while it runs, as it was before after every end,
 * keys. usage: terminal_test ATOLL TINY_KERNEL */
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>
#include "tests/sysvm/suite.h"

static const char *program, *kernel;

struct fixture {
    int master, slave;
    pid_t pid;
    struct termios before;
    char seen[1 << 16];
    size_t n_seen;
};

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    *state = f;
    if (openpty(&f->master, &f->slave, NULL, NULL, NULL)) return -1;
    return tcgetattr(f->slave, &f->before);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    close(f->master);
    close(f->slave);
    test_free(f);
    return 0;
}

static void start_with(struct fixture *f, const char *line, const char *script) {
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid) return;
    login_tty(f->slave);
    close(f->master);
    execl(program, program, "boot", "--engine=auto", "--kernel", kernel, "--append", line, "--timeout=60",
          script ? "--script" : NULL, script, NULL);
    _exit(99);
}
static void start(struct fixture *f, const char *line) { start_with(f, line, NULL); }

static void wait_for(struct fixture *f, const char *text) {
    while (!strstr(f->seen, text)) {
        assert_in_range(f->n_seen, 0, sizeof f->seen - 2);
        ssize_t n = read(f->master, f->seen + f->n_seen, sizeof f->seen - 1 - f->n_seen);
        assert_true(n > 0);
        f->n_seen += (size_t)n;
    }
}

static void type(struct fixture *f, const char *keys, size_t n) {
    assert_int_equal(write(f->master, keys, n), n);
}

static bool is_raw(struct fixture *f) {
    struct termios now;
    assert_int_equal(tcgetattr(f->slave, &now), 0);
    return !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_oflag & OPOST);
}

static void assert_ended(struct fixture *f, int status) {
    int got;
    struct termios now;
    assert_int_equal(waitpid(f->pid, &got, 0), f->pid);
    assert_true(WIFEXITED(got));
    assert_int_equal(WEXITSTATUS(got), status);
    assert_int_equal(tcgetattr(f->slave, &now), 0);
    assert_int_equal(now.c_lflag, f->before.c_lflag);
    assert_int_equal(now.c_iflag, f->before.c_iflag);
    assert_int_equal(now.c_oflag, f->before.c_oflag);
}

static void the_terminal_is_raw_until_the_guest_is_off(void **state) {
    struct fixture *f = *state;
    start(f, "echo");
    wait_for(f, "tiny: echo");
    assert_true(is_raw(f));
    type(f, "hello, \x03q", 9); /* Ctrl-c is the guest's */
    wait_for(f, "hello, \x03q");
    assert_non_null(
        strstr(f->seen, "tiny: echo\n")); /* no \r: programs of the guest move the cursor down so */
    assert_ended(f, 0);
}

static void write_script(char *name, const char *text) {
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Ctrl-c is not the guest's as long as a script talks to it. */
static void a_script_leaves_the_terminal_as_it_is(void **state) {
    struct fixture *f = *state;
    char name[] = "/tmp/atoll-terminal-XXXXXX";
    write_script(name, "expect \"never\" 1h\n");
    start_with(f, "login", name);
    wait_for(f, "login: ");
    assert_false(is_raw(f));
    type(f, "\x03", 1);
    assert_ended(f, 130);
    unlink(name);
}

static void the_terminal_is_the_guests_when_the_script_is_over(void **state) {
    struct fixture *f = *state;
    char name[] = "/tmp/atoll-terminal-XXXXXX";
    write_script(name, "expect \"login: \"\ntype \"me\"\nexpect \"hello, me\"\n");
    start_with(f, "login", name);
    wait_for(f, "hello, me");
    while (!is_raw(f)) usleep(1000);
    type(f, "\x01x", 2);
    assert_ended(f, 0);
    unlink(name);
}

static void a_key_quits(void **state) {
    struct fixture *f = *state;
    start(f, "hang");
    wait_for(f, "tiny: hang");
    type(f, "\x01x", 2);
    assert_ended(f, 0);
}

static void a_key_helps_and_the_escape_itself_can_be_typed(void **state) {
    struct fixture *f = *state;
    start(f, "echo");
    wait_for(f, "tiny: echo");
    type(f, "\x01h", 2);
    wait_for(f, "Ctrl-a x  quit");
    type(f, "a\x01\x01q", 4);
    wait_for(f, "a\x01q");
    assert_ended(f, 0);
}

static void the_terminal_comes_back_after_a_signal(void **state) {
    struct fixture *f = *state;
    start(f, "hang");
    wait_for(f, "tiny: hang");
    kill(f->pid, SIGTERM);
    assert_ended(f, 143);
}

static void the_terminal_comes_back_after_a_fault_of_atoll(void **state) {
    struct fixture *f = *state;
    int got;
    struct termios now;
    start(f, "hang");
    wait_for(f, "tiny: hang");
    kill(f->pid, SIGSEGV);
    assert_int_equal(waitpid(f->pid, &got, 0), f->pid);
    assert_int_equal(tcgetattr(f->slave, &now), 0);
    assert_int_equal(now.c_lflag, f->before.c_lflag);
    assert_false(WIFEXITED(got) && WEXITSTATUS(got) == 0);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    program = argv[1], kernel = argv[2];
    if (access("/dev/kvm", R_OK | W_OK)) {
        puts("skipped: no /dev/kvm here");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_terminal_is_raw_until_the_guest_is_off),
        TEST(a_key_quits),
        TEST(a_key_helps_and_the_escape_itself_can_be_typed),
        TEST(the_terminal_comes_back_after_a_signal),
        TEST(the_terminal_comes_back_after_a_fault_of_atoll),
        TEST(a_script_leaves_the_terminal_as_it_is),
        TEST(the_terminal_is_the_guests_when_the_script_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
