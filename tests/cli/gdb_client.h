/* tests/cli/gdb_client.h: a debugger as a script: starts atoll, speaks the remote protocol of gdb with it, and looks at the
 * answers. */
#ifndef ATOLL_TESTS_CLI_GDB_CLIENT_H
#define ATOLL_TESTS_CLI_GDB_CLIENT_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PATIENCE 60 /* seconds until a silent atoll counts as hung */

static const char *command;

/* ---- a session ---- */

struct session {
    pid_t pid;
    int fd;
    bool no_acks;
    struct program *program; /* the test's own */
    char reply[16384];
};

/* Starts atoll with these arguments; its standard error is *out_errors. */
static inline pid_t spawn(char *const *arguments, FILE **out_errors) {
    int errors[2];
    assert_int_equal(pipe(errors), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(errors[1], 2);
        close(errors[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        execv(command, arguments);
        _exit(99);
    }
    close(errors[1]);
    *out_errors = fdopen(errors[0], "r");
    return pid;
}

static inline void connect_to(struct session *s, int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE};
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(s->fd, (struct sockaddr *)&address, sizeof address), 0);
    int at_once = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static inline int announced_port(FILE *errors, const char *verb) {
    char line[300] = "";
    int port = 0;
    assert_non_null(fgets(line, sizeof line, errors));
    const char *colon = strrchr(line, ':');
    if (strncmp(line, verb, strlen(verb)) != 0 || sscanf(colon, ":%d", &port) != 1) fail_msg("%s", line);
    return port;
}

static inline int status_of(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
/* ---- packets ---- */

static inline void put(struct session *s, const void *bytes, size_t n) {
    assert_int_equal(send(s->fd, bytes, n, MSG_NOSIGNAL), n);
}
static inline void put_packet(struct session *s, const char *payload) {
    char packet[9000];
    unsigned sum = 0;
    for (const char *c = payload; *c; c++) sum += (unsigned char)*c;
    int n = snprintf(packet, sizeof packet, "$%s#%02x", payload, sum & 255);
    put(s, packet, (size_t)n);
}
static inline int get(struct session *s) {
    unsigned char c;
    if (recv(s->fd, &c, 1, 0) != 1) fail_msg("atoll is silent");
    return c;
}
/* The next packet, checked and acknowledged. */
static inline const char *get_packet(struct session *s) {
    size_t n = 0;
    unsigned sum = 0, told;
    char digits[3] = "";
    int c;
    while ((c = get(s)) != '$') assert_int_equal(c, '+');
    while ((c = get(s)) != '#') {
        assert_true(n + 1 < sizeof s->reply);
        s->reply[n++] = (char)c;
        sum += (unsigned)c;
    }
    digits[0] = (char)get(s);
    digits[1] = (char)get(s);
    assert_int_equal(sscanf(digits, "%2x", &told), 1);
    assert_int_equal(sum & 255, told);
    s->reply[n] = 0;
    if (!s->no_acks) put(s, "+", 1);
    return s->reply;
}
static inline const char *ask(struct session *s, const char *packet) {
    put_packet(s, packet);
    return get_packet(s);
}
static inline void answers(struct session *s, const char *packet, const char *reply) {
    const char *got = ask(s, packet);
    if (strcmp(got, reply)) fail_msg("%s: '%s' instead of '%s'", packet, got, reply);
}
static inline void mentions(const char *reply, const char *part) {
    if (!strstr(reply, part)) fail_msg("'%s' says nothing of '%s'", reply, part);
}
static inline const char *format(const char *f, ...) {
    static char text[4][400];
    static int turn;
    va_list args;
    turn = (turn + 1) & 3;
    va_start(args, f);
    vsnprintf(text[turn], sizeof text[turn], f, args);
    va_end(args);
    return text[turn];
}
static inline const char *little_endian(uint64_t value) {
    static char text[2][17];
    static int turn;
    turn ^= 1;
    for (int i = 0; i < 8; i++) snprintf(text[turn] + 2 * i, 3, "%02x", (unsigned)(value >> 8 * i & 255));
    return text[turn];
}

#endif
