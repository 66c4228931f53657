/* tests/sysvm/boot/control_test.c: machines in the background, their control sockets and `atoll vm`, with a kernel of a
 * few lines. Each test has a runtime folder of its own, which has to be empty at its end.
 * usage: control_test ATOLL TINY_KERNEL */
#include <dirent.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>
#include "tests/sysvm/suite.h"

static const char *program, *kernel;

struct fixture {
    char folder[64];
    char out[16384]; /* of the last command, output and messages */
};

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    *state = f;
    strcpy(f->folder, "/tmp/atoll-control-XXXXXX");
    if (!mkdtemp(f->folder)) return -1;
    return setenv("XDG_RUNTIME_DIR", f->folder, 1);
}

/* How many files are in atoll's folder. */
static int n_left(const struct fixture *f) {
    char path[80];
    int n = 0;
    snprintf(path, sizeof path, "%s/atoll", f->folder);
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) n += e->d_name[0] != '.';
    if (dir) closedir(dir);
    return n;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char path[80];
    int left = n_left(f);
    snprintf(path, sizeof path, "%s/atoll", f->folder);
    rmdir(path);
    rmdir(f->folder);
    test_free(f);
    return left ? -1 : 0;
}

/* ---- commands ---- */

/* Returns the exit status; what was printed is in f->out. */
static int call(struct fixture *f, const char *const *words) {
    int ends[2], status;
    size_t n = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        dup2(ends[1], 1), dup2(ends[1], 2);
        close(ends[0]), close(ends[1]);
        close(0), open("/dev/null", O_RDONLY);
        execv(program, (char *const *)(uintptr_t)words);
        _exit(99);
    }
    close(ends[1]);
    /* A pipe that a machine in the background kept would never end. */
    for (ssize_t got; (got = read(ends[0], f->out + n, sizeof f->out - 1 - n)) > 0;) n += (size_t)got;
    f->out[n] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
#define ATOLL(f, ...) call(f, (const char *const[]){program, __VA_ARGS__, NULL})
#define BOOT(f, line, ...)                                                                                   \
    ATOLL(f, "boot", "--engine=kvm", "--kernel", kernel, "--append", line, "--timeout=100", "--detach",      \
          __VA_ARGS__)

static void assert_says(const struct fixture *f, const char *text) {
    if (!strstr(f->out, text)) print_error("no \"%s\" in: %s\n", text, f->out);
    assert_non_null(strstr(f->out, text));
}

/* ---- the socket ---- */

static int dial(const struct fixture *f, const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/atoll/%s.sock", f->folder, name);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The process behind a socket. */
static pid_t peer_of(const struct fixture *f, const char *name) {
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    int fd = dial(f, name);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
    close(fd);
    return peer.pid;
}

/* Reads until `text` has come; false: the connection ended before. */
static bool hear(int fd, char *seen, size_t size, const char *text) {
    size_t n = strlen(seen);
    while (!strstr(seen, text)) {
        assert_in_range(n, 0, size - 2);
        ssize_t got = recv(fd, seen + n, size - 1 - n, 0);
        if (got <= 0) return false;
        n += (size_t)got;
        seen[n] = 0;
    }
    return true;
}

/* What is answered to a request, up to the end of its line. */
static void assert_answer(const struct fixture *f, const char *name, const char *request, size_t n,
                          const char *want) {
    char seen[8192] = "";
    int fd = dial(f, name);
    assert_int_equal(send(fd, request, n, MSG_NOSIGNAL), n);
    assert_true(hear(fd, seen, sizeof seen, "\n"));
    if (!strstr(seen, want)) print_error("%s: %s\n", request, seen);
    assert_non_null(strstr(seen, want));
    close(fd);
}

/* ---- tests ---- */

static void a_machine_in_the_background_is_found_and_ended(void **state) {
    struct fixture *f = *state;
    struct stat st;
    char path[80];
    assert_int_equal(BOOT(f, "hang", "--name", "one", "--memory", "64M"), 0);
    assert_string_equal(f->out, "one\n");
    snprintf(path, sizeof path, "%s/atoll", f->folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(ATOLL(f, "vm", "list"), 0);
    assert_says(f, "\none ");
    assert_int_equal(ATOLL(f, "vm", "list", "--json"), 0);
    assert_says(f, "[{\"name\":\"one\",\"pid\":");
    assert_says(f, "\"memory_bytes\":67108864,\"cpus\":1,\"engine\":\"kvm\",\"kernel\":\"");
    assert_int_equal(ATOLL(f, "vm", "info", "one"), 0);
    assert_says(f, "name          one\n");
    assert_int_equal(ATOLL(f, "vm", "memory", "one", "32M"), 0);
    assert_int_equal(ATOLL(f, "vm", "memory", "one", "128M"), 125);
    assert_says(f, "\"size\" is from 16M to what the machine has");
    assert_int_equal(ATOLL(f, "vm", "memory", "one"), 2);
    assert_int_equal(ATOLL(f, "vm", "memory", "one", "lots"), 2);
    assert_int_equal(ATOLL(f, "vm", "info", "one"), 0);
    assert_says(f, "balloon_bytes 0\n"); /* this kernel has no driver */
    assert_int_equal(BOOT(f, "hang", "--name", "one"), 125);
    assert_says(f, "a machine \"one\" runs already");
    assert_int_equal(ATOLL(f, "vm", "kill", "one"), 0);
    assert_int_equal(n_left(f), 0);
    assert_int_equal(ATOLL(f, "vm", "kill", "one"), 127);
    assert_says(f, "there is no machine \"one\"");
    assert_int_equal(ATOLL(f, "vm", "list", "--json"), 0);
    assert_string_equal(f->out, "[]\n");
}

static void several_have_names_of_their_own(void **state) {
    struct fixture *f = *state;
    char name[64];
    assert_int_equal(BOOT(f, "hang", "--memory", "64M"), 0);
    assert_int_equal(sscanf(f->out, "%63[^\n]", name), 1);
    assert_int_equal(BOOT(f, "hang", "--memory", "64M", "--name", "b.2"), 0);
    assert_int_equal(ATOLL(f, "vm", "list"), 0);
    assert_says(f, name);
    assert_says(f, "\nb.2 ");
    assert_int_equal(ATOLL(f, "vm", "kill", name), 0);
    assert_int_equal(ATOLL(f, "vm", "kill", "b.2"), 0);
}

static void stop_presses_the_button_and_then_ends_it(void **state) {
    struct fixture *f = *state;
    assert_int_equal(BOOT(f, "button", "--name", "good"), 0);
    assert_int_equal(ATOLL(f, "vm", "stop", "good", "--timeout", "90s"), 0);
    assert_int_equal(n_left(f), 0);
    assert_int_equal(BOOT(f, "hang", "--name", "bad"), 0);
    assert_int_equal(ATOLL(f, "vm", "stop", "bad", "--timeout", "500ms"), 0);
    assert_int_equal(n_left(f), 0);
}

static void a_start_that_fails_is_told(void **state) {
    struct fixture *f = *state;
    assert_int_equal(ATOLL(f, "boot", "--detach", "--kernel", "/nonexistent"), 127);
    assert_says(f, "/nonexistent: No such file");
    assert_int_equal(ATOLL(f, "boot", "--detach", "--engine=kvm", "--kernel", program, "--name", "x"), 126);
    assert_int_equal(ATOLL(f, "boot", "--name", "../x", "--kernel", kernel), 2);
    assert_int_equal(ATOLL(f, "boot", "--name", "", "--kernel", kernel), 2);
    assert_int_equal(n_left(f), 0);
}

/* What is in a file, in f->out. */
static void read_log(struct fixture *f, const char *path) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, f->out, sizeof f->out - 1);
    close(fd);
    f->out[n > 0 ? n : 0] = 0;
}

static void a_log_keeps_what_is_said_after_the_start(void **state) {
    struct fixture *f = *state;
    char path[80];
    snprintf(path, sizeof path, "%s/log", f->folder);
    assert_int_equal(BOOT(f, "panic-reset", "--name", "panics", "--log", path), 0);
    assert_string_equal(f->out, "panics\n");
    while (n_left(f)) usleep(1000);
    do read_log(f, path);
    while (!strstr(f->out, "ended with status"));
    assert_says(f, "boot: the guest panicked: ");
    assert_says(f, "boot: machine panics ended with status 255\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(BOOT(f, "hang", "--name", "x", "--log", "/nowhere/log"), 125);
    assert_says(f, "/nowhere/log: No such file");
    assert_int_equal(ATOLL(f, "boot", "--kernel", kernel, "--log", path), 2);
}

static void what_a_killed_process_left_is_removed(void **state) {
    struct fixture *f = *state;
    char byte;
    assert_int_equal(BOOT(f, "hang", "--name", "dead"), 0);
    int fd = dial(f, "dead");
    pid_t pid = peer_of(f, "dead");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    while (!kill(pid, 0)) usleep(1000); /* the lock goes with the process */
    assert_int_equal(n_left(f), 2);
    assert_int_equal(ATOLL(f, "vm", "list", "--json"), 0);
    assert_string_equal(f->out, "[]\n");
    assert_int_equal(n_left(f), 0);
}

static void a_process_that_does_not_answer_is_killed(void **state) {
    struct fixture *f = *state;
    assert_int_equal(BOOT(f, "hang", "--name", "deaf"), 0);
    pid_t pid = peer_of(f, "deaf");
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(ATOLL(f, "vm", "info", "deaf"), 125);
    assert_says(f, "deaf");
    assert_int_equal(ATOLL(f, "vm", "kill", "deaf"), 0);
    assert_int_equal(n_left(f), 0);
    while (!kill(pid, 0)) usleep(1000);
}

/* Whose folder and socket somebody has opened to all: the process looks at who connects. */
static void another_user_is_not_answered(void **state) {
    struct fixture *f = *state;
    char folder[80], path[96];
    int status;
    if (geteuid()) skip();
    assert_int_equal(BOOT(f, "hang", "--name", "mine"), 0);
    snprintf(folder, sizeof folder, "%s/atoll", f->folder);
    snprintf(path, sizeof path, "%s/mine.sock", folder);
    assert_int_equal(chmod(f->folder, 0755) | chmod(folder, 0755) | chmod(path, 0777), 0);
    pid_t pid = fork();
    if (!pid) {
        char byte;
        if (setgid(65534) || setuid(65534)) _exit(2);
        int fd = dial(f, "mine");
        send(fd, "{\"do\":\"info\"}\n", 14, MSG_NOSIGNAL);
        _exit(recv(fd, &byte, 1, 0) > 0); /* closed without a word */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(ATOLL(f, "vm", "list"), 125);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(ATOLL(f, "vm", "kill", "mine"), 0);
}

static void nothing_is_left_after_any_end(void **state) {
    static const struct {
        const char *line, *flag;
    } ends[] = {
        {"off", "--cpus=1"}, {"panic-reset", "--cpus=1"}, {"fault", "--cpus=1"}, {"hang", "--timeout=1"}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        ATOLL(f, "boot", "--engine=kvm", "--kernel", kernel, "--append", ends[i].line, "--timeout=100",
              "--name", "x", ends[i].flag);
        assert_int_equal(n_left(f), 0);
    }
}

static void requests_are_json_and_hostile(void **state) {
    static const struct {
        const char *request, *answer;
    } rows[] = {
        {"{\"do\":\"info\"}\n", "{\"ok\":true,\"name\":\"talk\",\"pid\":"},
        {" {\"do\":\"info\"}\n", "{\"ok\":false,\"error\":\"a request is a JSON object"},
        {"\n", "a request is a JSON object"},
        {"do = info\n", "a request is a JSON object"},
        {"{\"do\":\"info\"\n", "\\\"}\\\" is missing\"}"},
        {"{\"do\":\"info\"} x\n", "\\\"=\\\" is expected"},
        {"{\"do\":\"\\ud800\"}\n", "no character"},
        {"{\"do\":{\"do\":{}}}\n", "a field is text"},
        {"{\"do\":[[[[[[[[[[\n", "\\\"]\\\" is missing"},
        {"{}\n", "\\\"do\\\" is missing"},
        {"{\"do\":\"memory\"}\n", "\\\"size\\\" is missing"},
        {"{\"do\":\"memory\",\"size\":\"lots\"}\n", "\\\"size\\\" is no size"},
        {"{\"do\":\"memory\",\"size\":\"1M\"}\n", "is from 16M to what the machine has"},
        {"{\"do\":\"memory\",\"size\":\"1T\"}\n", "is from 16M to what the machine has"},
        {"{\"do\":\"memory\",\"size\":\"32M\"}\n", "{\"ok\":true}"},
        {"{\"do\":\"reboot\"}\n", "is info, stop, kill, console or memory"},
        {"{\"do\":\"stop\",\"timeout\":\"-1s\"}\n", "is no time"},
        {"{\"do\":\"info\",\"x\":1}\n", "no request has such a field"},
    };
    struct fixture *f = *state;
    char *large = test_malloc(100000);
    assert_int_equal(BOOT(f, "hang", "--name", "talk"), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_answer(f, "talk", rows[i].request, strlen(rows[i].request), rows[i].answer);
    assert_answer(f, "talk", "{\"do\":\"\0\"}\n", 11, "\"ok\":false");
    memset(large, '{', 100000);
    assert_answer(f, "talk", large, 4096, "the line is too long");
    test_free(large);
    /* two in one piece, one in two */
    char seen[8192] = "";
    int fd = dial(f, "talk");
    send(fd, "{\"do\":\"info\"}\n{\"do\":\"in", 23, 0);
    assert_true(hear(fd, seen, sizeof seen, "uptime_ms"));
    send(fd, "fo\"}\n", 5, 0);
    while (!strstr(strstr(seen, "uptime_ms") + 1, "uptime_ms")) {
        size_t n = strlen(seen);
        ssize_t got = recv(fd, seen + n, sizeof seen - 1 - n, 0);
        assert_true(got > 0);
        seen[n + (size_t)got] = 0;
    }
    close(fd);
    /* who says nothing keeps nobody else out, and there is a bound */
    int silent[40];
    for (size_t i = 0; i < 40; i++) silent[i] = dial(f, "talk");
    char byte;
    assert_int_equal(recv(silent[39], &byte, 1, 0), 0);
    for (size_t i = 0; i < 40; i++) close(silent[i]);
    int tries = 0;
    while (ATOLL(f, "vm", "info", "talk") && tries++ < 100) continue;
    assert_int_equal(ATOLL(f, "vm", "kill", "talk"), 0);
}

static void a_console_shows_what_was_written_and_takes_keys(void **state) {
    struct fixture *f = *state;
    char seen[65536] = "", other[65536] = "";
    assert_int_equal(BOOT(f, "login-reset", "--name", "con"), 0);
    int fd = dial(f, "con"), second = dial(f, "con");
    send(fd, "{\"do\":\"console\"}\n", 17, 0);
    send(second, "{\"do\":\"console\"}\n", 17, 0);
    assert_true(hear(fd, seen, sizeof seen, "login: "));
    assert_true(hear(second, other, sizeof other, "login: "));
    send(fd, "me\r", 3, 0);
    assert_true(hear(fd, seen, sizeof seen, "hello, me"));
    assert_true(hear(second, other, sizeof other, "hello, me"));
    /* the guest resets and asks again: the connection stays */
    assert_true(hear(second, other, sizeof other, "# tiny: login-reset"));
    send(second, "you\r", 4, 0);
    assert_true(hear(second, other, sizeof other, "hello, you"));
    close(second);
    assert_int_equal(ATOLL(f, "vm", "kill", "con"), 0);
    assert_false(hear(fd, seen, sizeof seen, "nothing more"));
    close(fd);
}

static void a_reader_that_does_not_read_holds_up_nobody(void **state) {
    struct fixture *f = *state;
    assert_int_equal(BOOT(f, "flood", "--name", "flood"), 0);
    int fd = dial(f, "flood");
    char seen[300000] = "";
    send(fd, "{\"do\":\"console\"}\n", 17, 0);
    assert_false(hear(fd, seen, sizeof seen, "nothing more")); /* the guest switches itself off */
    close(fd);
    while (n_left(f)) usleep(1000);
}

/* `atoll vm console` on a terminal. */
static void the_terminal_is_raw_until_it_is_left(void **state) {
    struct fixture *f = *state;
    struct termios before, now;
    char seen[65536] = "";
    size_t n = 0;
    int master, slave, status;
    assert_int_equal(BOOT(f, "login", "--name", "tty"), 0);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(slave, &before), 0);
    static const struct {
        const char *keys;
        size_t n_keys;
        int signal, want;
    } ways[] = {{"\x01h\x01x", 4, 0, 0}, {"\x03", 1, SIGTERM, 128 + SIGTERM}};
    for (size_t i = 0; i < 2; i++) {
        n = 0, seen[0] = 0;
        pid_t pid = fork();
        if (!pid) {
            login_tty(slave);
            execl(program, program, "vm", "console", "tty", NULL);
            _exit(99);
        }
        while (!strstr(seen, "login: ")) {
            ssize_t got = read(master, seen + n, sizeof seen - 1 - n);
            assert_true(got > 0);
            n += (size_t)got;
            seen[n] = 0;
        }
        assert_int_equal(tcgetattr(slave, &now), 0);
        assert_false(now.c_lflag & (ICANON | ECHO | ISIG));
        assert_int_equal(write(master, ways[i].keys, ways[i].n_keys), ways[i].n_keys);
        if (ways[i].signal) kill(pid, ways[i].signal);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), ways[i].want);
        assert_int_equal(tcgetattr(slave, &now), 0);
        assert_int_equal(now.c_lflag, before.c_lflag);
    }
    close(master), close(slave);
    assert_int_equal(ATOLL(f, "vm", "info", "tty"), 0); /* it goes on */
    assert_int_equal(ATOLL(f, "vm", "stop", "tty"), 0);
}

/* The kernel comes by a pipe, so that there is time to go. */
static void a_machine_ends_when_nobody_waits_for_its_start(void **state) {
    struct fixture *f = *state;
    char pipe_path[80], log[80], bytes[4096];
    snprintf(pipe_path, sizeof pipe_path, "%s/kernel", f->folder);
    snprintf(log, sizeof log, "%s/log", f->folder);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    pid_t pid = fork();
    if (!pid) {
        execl(program, program, "boot", "--engine=kvm", "--detach", "--name", "gone", "--kernel", pipe_path,
              "--append", "hang", "--timeout=100", "--log", log, NULL);
        _exit(99);
    }
    int to = open(pipe_path, O_WRONLY),
        from = open(kernel, O_RDONLY); /* `to` waits for the machine's process */
    assert_true(to >= 0 && from >= 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
        assert_int_equal(write(to, bytes, (size_t)n), n);
    close(to), close(from);
    do read_log(f, log);
    while (!strstr(f->out, "ended with status"));
    assert_says(f, "machine gone ended with status 0\n");
    while (n_left(f)) usleep(1000);
    unlink(pipe_path), unlink(log);
}

static int wait_status(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_kernel_that_does_not_come_is_not_waited_for(void **state) {
    struct fixture *f = *state;
    char path[80];
    snprintf(path, sizeof path, "%s/kernel", f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(ATOLL(f, "boot", "--engine=kvm", "--kernel", path, "--timeout=100ms"), 124);
    pid_t pid = fork();
    if (!pid) {
        execl(program, program, "boot", "--engine=kvm", "--name", "waits", "--kernel", path, NULL);
        _exit(99);
    }
    int to = open(path, O_WRONLY); /* waits for the machine's process */
    assert_true(to >= 0);
    kill(pid, SIGTERM);
    close(to);
    assert_int_equal(wait_status(pid), 128 + SIGTERM);
    unlink(path);
    assert_int_equal(n_left(f), 0);
}

static void a_folder_of_somebody_else_is_not_used(void **state) {
    struct fixture *f = *state;
    char path[80];
    snprintf(path, sizeof path, "%s/atoll", f->folder);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(ATOLL(f, "vm", "list"), 125);
    assert_says(f, "not this user's own folder with mode 0700");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(ATOLL(f, "vm", "list"), 125);
    unlink(path);
}

static void wrong_usage_is_told(void **state) {
    struct fixture *f = *state;
    assert_int_equal(ATOLL(f, "vm"), 2);
    assert_int_equal(ATOLL(f, "vm", "restart", "x"), 2);
    assert_int_equal(ATOLL(f, "vm", "stop"), 2);
    assert_int_equal(ATOLL(f, "vm", "list", "x"), 2);
    assert_int_equal(ATOLL(f, "vm", "info", "../x"), 2);
    assert_int_equal(ATOLL(f, "vm", "kill", "x", "--json"), 2);
    assert_int_equal(ATOLL(f, "vm", "stop", "x", "--timeout", "soon"), 2);
    assert_int_equal(ATOLL(f, "vm", "info", "x"), 127);
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
        TEST(a_machine_in_the_background_is_found_and_ended),
        TEST(several_have_names_of_their_own),
        TEST(stop_presses_the_button_and_then_ends_it),
        TEST(a_start_that_fails_is_told),
        TEST(a_log_keeps_what_is_said_after_the_start),
        TEST(what_a_killed_process_left_is_removed),
        TEST(a_machine_ends_when_nobody_waits_for_its_start),
        TEST(a_kernel_that_does_not_come_is_not_waited_for),
        TEST(a_process_that_does_not_answer_is_killed),
        TEST(another_user_is_not_answered),
        TEST(nothing_is_left_after_any_end),
        TEST(requests_are_json_and_hostile),
        TEST(a_console_shows_what_was_written_and_takes_keys),
        TEST(a_reader_that_does_not_read_holds_up_nobody),
        TEST(the_terminal_is_raw_until_it_is_left),
        TEST(a_folder_of_somebody_else_is_not_used),
        TEST(wrong_usage_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
