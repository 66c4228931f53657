/* tests/sysvm/script/script_shell_test.c: run and copy with true shells: on a terminal that echoes, and on pipes. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
#include "sysvm/script/script.h"

struct shell {
    int fd;
    pid_t pid;
    bool over, failed;
    struct atoll_error err;
    uint8_t *saved; /* the last copy that came */
    size_t n_saved;
};

static size_t take(void *context, const uint8_t *bytes, size_t n) {
    ssize_t wrote = write(((struct shell *)context)->fd, bytes, n);
    return wrote > 0 ? (size_t)wrote : 0;
}
static void act(void *context, enum vm_script_act act) { (void)context, (void)act; }
static bool save(void *context, size_t i, const uint8_t *bytes, size_t n) {
    struct shell *s = context;
    (void)i;
    free(s->saved);
    s->saved = malloc(n ? n : 1);
    if (n) memcpy(s->saved, bytes, n);
    s->n_saved = n;
    return true;
}
static void done(void *context, const struct atoll_error *err) {
    struct shell *s = context;
    s->over = true;
    s->failed = err != NULL;
    if (err) s->err = *err;
}
static bool minutes(const char *text, uint64_t *out_ns) {
    *out_ns = (uint64_t)atoi(text) * 60 * UINT64_C(1000000000);
    return *out_ns > 0;
}

static void begin_shell(struct shell *s, const char *program, bool terminal) {
    int ends[2];
    memset(s, 0, sizeof *s);
    if (terminal) {
        s->pid = forkpty(&s->fd, NULL, NULL, NULL);
    } else {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        s->fd = ends[0];
        s->pid = fork();
        if (s->pid == 0) dup2(ends[1], 0), dup2(ends[1], 1), dup2(ends[1], 2), close(ends[0]), close(ends[1]);
        if (s->pid) close(ends[1]);
    }
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        setenv("PS1", "guest# ", 1);
        setenv("TERM", "vt100", 1);
        if (terminal && strstr(program, "bash")) execl(program, program, "--norc", "-i", NULL);
        execl(program, program, terminal ? "-i" : NULL, NULL);
        _exit(99);
    }
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
}

/* Until the script is over or the shell has gone. */
static void run(struct shell *s, const char *text, const uint8_t *bytes, size_t n, const char *line_end) {
    struct vm_script *script;
    struct vm_script_text t = {text, strlen(text), 1};
    assert_int_equal(vm_script_parse(&atoll_default_alloc, &t, minutes, &script, NULL), ATOLL_OK);
    if (bytes) vm_script_copy_bytes(script, 0, bytes, n);
    vm_script_begin(script, &(struct vm_script_host){take, act, save, done, s, line_end}, 0);
    while (!s->over) {
        uint8_t piece[777];
        struct pollfd fd = {s->fd, POLLIN, 0};
        assert_int_equal(poll(&fd, 1, 60000), 1);
        ssize_t got = read(s->fd, piece, sizeof piece);
        assert_true(got > 0);
        vm_script_output(script, piece, (size_t)got, 0);
        vm_script_room(script, 0);
    }
    vm_script_free(script);
}

static void end_shell(struct shell *s) {
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    close(s->fd);
    free(s->saved);
}

static const struct {
    const char *program;
    bool terminal;
    const char *line_end;
} kinds[] = {{"/bin/sh", true, "\r"}, {"/bin/bash", true, "\r"}, {"/bin/sh", false, "\n"}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static void commands_are_run_one_after_the_other(void **state) {
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        struct shell s;
        if (access(kinds[i].program, X_OK)) continue;
        begin_shell(&s, kinds[i].program, kinds[i].terminal);
        run(&s,
            "run \"cd /; x=5\"\nrun \"cat\"\nrun \"test $PWD$x = /5 # a comment\"\nrun \"sleep 0.1 &\"\n"
            "run \"echo hello\"\n",
            NULL, 0, kinds[i].line_end);
        if (s.failed) print_error("%s: %s\n", kinds[i].program, s.err.text);
        assert_false(s.failed);
        end_shell(&s);
    }
}

static void a_mistake_is_a_status(void **state) {
    (void)state;
    for (size_t i = 0; i < N_KINDS - 1; i++) {
        struct shell s;
        if (access(kinds[i].program, X_OK)) continue;
        begin_shell(&s, kinds[i].program, kinds[i].terminal);
        run(&s, "run \"if then )\"", NULL, 0, kinds[i].line_end);
        assert_true(s.failed);
        assert_non_null(strstr(s.err.text, "\"if then )\" ended with status"));
        s.over = false;
        run(&s, "run \"exit 42 | exit 43\"", NULL, 0, kinds[i].line_end);
        assert_non_null(strstr(s.err.text, "ended with status 43"));
        end_shell(&s);
    }
}

static void files_go_there_and_come_back_as_they_are(void **state) {
    static const size_t sizes[] = {0, 1, 2, 3, 359, 360, 361, 20000};
    char name[] = "/tmp/atoll-script-XXXXXX", text[256];
    int fd = mkstemp(name);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(text, sizeof text, "copy-in \"x\" \"%s\"\ncopy-out \"%s\" \"y\"\nrun \"true\"", name, name);
    for (size_t i = 0; i < N_KINDS; i++) {
        struct shell s;
        if (access(kinds[i].program, X_OK)) continue;
        begin_shell(&s, kinds[i].program, kinds[i].terminal);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            uint8_t *bytes = malloc(sizes[k] ? sizes[k] : 1);
            for (size_t j = 0; j < sizes[k]; j++) bytes[j] = (uint8_t)(j * 7 + j / 251);
            s.over = false;
            run(&s, text, bytes, sizes[k], kinds[i].line_end);
            if (s.failed) print_error("%s, %zu bytes: %s\n", kinds[i].program, sizes[k], s.err.text);
            assert_false(s.failed);
            assert_int_equal(s.n_saved, sizes[k]);
            assert_memory_equal(s.saved, bytes, sizes[k]);
            free(bytes);
        }
        end_shell(&s);
    }
    unlink(name);
}

static void a_file_that_is_not_there_and_one_that_cannot_be_made(void **state) {
    struct shell s;
    (void)state;
    begin_shell(&s, "/bin/sh", true);
    run(&s, "copy-out \"/nonexistent\" \"y\"", NULL, 0, "\r");
    assert_non_null(strstr(s.err.text, "/nonexistent cannot be read in the guest"));
    s.over = false;
    run(&s, "copy-in \"x\" \"/nonexistent/y\"", (const uint8_t *)"x", 1, "\r");
    assert_non_null(strstr(s.err.text, "the guest cannot take the copy"));
    end_shell(&s);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_run_one_after_the_other),
        cmocka_unit_test(a_mistake_is_a_status),
        cmocka_unit_test(files_go_there_and_come_back_as_they_are),
        cmocka_unit_test(a_file_that_is_not_there_and_one_that_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
