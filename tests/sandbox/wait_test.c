/* tests/sandbox/wait_test.c: grants from flags, sockets and waiting. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "tests/sandbox/fixture.h"

static int set_up(void **state) {
    *state = fixture_new((struct sb_config){0});
    return 0;
}

static int tear_down(void **state) {
    fixture_free(*state);
    return 0;
}

/* ---- grants ---- */

static const struct sb_grant *grant_text(struct fixture *f, const char *suffix) {
    char text[PATH_MAX];
    snprintf(text, sizeof text, "%s%s", host_path(f, "in/sub"), suffix);
    assert_int_equal(sb_grant_dir_text(f->sb, text, NULL), ATOLL_OK);
    return sb_grant_at(f->sb, sb_grant_count(f->sb) - 1);
}

static void a_flag_names_host_guest_and_mode(void **state) {
    struct fixture *f = *state;
    const struct sb_grant *grant = grant_text(f, "");
    assert_string_equal(grant->guest, host_path(f, "in/sub"));
    assert_false(sb_file_readonly(grant->file));
    grant = grant_text(f, "::/data");
    assert_string_equal(grant->guest, "/data");
    assert_int_equal(try_open(grant->file, "inner", SB_OPEN_WRITE), 0);
    grant = grant_text(f, "::/data:ro");
    assert_string_equal(grant->guest, "/data");
    assert_int_equal(try_open(grant->file, "inner", SB_OPEN_WRITE), EROFS);
    grant = grant_text(f, ":ro");
    assert_true(sb_file_readonly(grant->file));
}

static void broken_grants_are_refused(void **state) {
    struct fixture *f = *state;
    struct atoll_error err = {0};
    assert_int_equal(sb_grant_dir_text(f->sb, "", NULL), ATOLL_E_USAGE);
    assert_int_equal(sb_grant_dir_text(f->sb, "::/guest", NULL), ATOLL_E_USAGE);
    assert_int_equal(sb_grant_dir_text(f->sb, "/tmp::", NULL), ATOLL_E_USAGE);
    assert_int_equal(sb_grant_dir(f->sb, host_path(f, "missing"), "/m", false, &err), ATOLL_E_IO);
    assert_int_equal(err.system_errno, ENOENT);
    assert_non_null(strstr(err.text, "missing"));
    assert_int_equal(sb_grant_dir(f->sb, host_path(f, "secret"), "/m", false, NULL), ATOLL_E_IO);
    assert_int_equal(sb_grant_listen(f->sb, "localhost:", NULL), ATOLL_E_USAGE);
    assert_int_equal(sb_grant_listen(f->sb, "port", NULL), ATOLL_E_USAGE);
    assert_int_equal(sb_grant_listen_fd(f->sb, 0, "stdin", NULL), ATOLL_E_IO);
    assert_int_equal(sb_grant_count(f->sb), 2);
}

/* ---- sockets ---- */

static int connect_to(struct sb_file *listener) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    assert_int_equal(getsockname(sb_file_fd(listener), (struct sockaddr *)&address, &size), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
    return fd;
}

static void a_listening_grant_accepts_and_talks(void **state) {
    struct fixture *f = *state;
    char buffer[8] = "";
    uint64_t n;
    bool truncated;
    struct iovec iov = {buffer, sizeof buffer - 1};
    assert_int_equal(sb_grant_listen(f->sb, "127.0.0.1:0", NULL), ATOLL_OK);
    struct sb_file *listener = sb_grant_at(f->sb, 2)->file, *connection = NULL;
    int peer = connect_to(listener);
    assert_int_equal(sb_net_accept(listener, SB_OPEN_NONBLOCK, &connection), 0);
    assert_int_equal(sb_file_flags(connection), SB_OPEN_READ | SB_OPEN_WRITE | SB_OPEN_NONBLOCK);
    assert_int_equal(sb_net_recv(connection, &iov, 1, 0, &n, &truncated), EAGAIN);
    assert_int_equal(send(peer, "ping", 4, 0), 4);
    assert_int_equal(sb_file_set_flags(connection, 0), 0);
    assert_int_equal(sb_net_recv(connection, &iov, 1, MSG_PEEK, &n, &truncated), 0);
    reads(connection, SB_ABSENT, "ping");
    assert_int_equal(sb_net_send(connection, &(struct iovec){"pong", 4}, 1, &n), 0);
    assert_int_equal(recv(peer, buffer, 4, MSG_WAITALL), 4);
    assert_string_equal(buffer, "pong");
    assert_int_equal(sb_net_shutdown(connection, SHUT_WR), 0);
    assert_int_equal(recv(peer, buffer, 1, 0), 0);
    close(peer);
    sb_file_unref(connection);
}

static void waiting_for_all_fills_every_piece(void **state) {
    struct fixture *f = *state;
    int ends[2];
    char first[4] = "", second[4] = "";
    uint64_t n;
    bool truncated;
    struct sb_file *in = NULL;
    struct iovec pieces[3] = {{first, 3}, {NULL, 0}, {second, 3}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(sb_file_adopt(f->sb, ends[0], "in", SB_OPEN_READ, true, &in), 0);
    pid_t child = fork(); /* a second sender, so that the bytes come in parts */
    assert_true(child >= 0);
    if (child == 0) {
        for (const char *byte = "abcdef"; *byte; byte++) (void)!write(ends[1], byte, 1);
        _exit(0);
    }
    assert_int_equal(sb_net_recv(in, pieces, 3, MSG_WAITALL, &n, &truncated), 0);
    assert_int_equal(n, 6);
    assert_string_equal(first, "abc");
    assert_string_equal(second, "def");
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(write(ends[1], "xy", 2), 2);
    close(ends[1]);
    assert_int_equal(sb_net_recv(in, pieces, 3, MSG_WAITALL, &n, &truncated), 0);
    assert_int_equal(n, 2); /* the peer closed */
    sb_file_unref(in);
}

static void files_are_no_sockets(void **state) {
    struct fixture *f = *state;
    uint64_t n;
    struct sb_file *file = must_open(f->dir, "file", SB_OPEN_READ | SB_OPEN_WRITE), *out;
    assert_int_equal(sb_net_accept(file, 0, &out), ENOTSOCK);
    assert_int_equal(sb_net_send(file, &(struct iovec){"x", 1}, 1, &n), ENOTSOCK);
    assert_int_equal(sb_net_shutdown(file, SHUT_RD), ENOTSOCK);
    sb_file_unref(file);
}

/* ---- waiting ---- */

static void poll_reports_what_is_ready(void **state) {
    struct fixture *f = *state;
    int ends[2];
    size_t n_ready;
    struct sb_file *in, *out;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(sb_file_adopt(f->sb, ends[0], "in", SB_OPEN_READ, true, &in), 0);
    assert_int_equal(sb_file_adopt(f->sb, ends[1], "out", SB_OPEN_WRITE, true, &out), 0);
    struct sb_poll polls[2] = {{in, POLLIN, 0}, {out, POLLOUT, 0}};
    assert_int_equal(sb_poll(f->sb, polls, 1, 0, &n_ready), 0);
    assert_int_equal(n_ready, 0);
    assert_int_equal(sb_poll(f->sb, polls, 1, 1, &n_ready), 0); /* long past */
    assert_int_equal(n_ready, 0);
    assert_int_equal(sb_poll(f->sb, polls, 2, UINT64_MAX, &n_ready), 0);
    assert_int_equal(n_ready, 1);
    assert_int_equal(polls[1].revents, POLLOUT);
    sb_file_unref(out);
    assert_int_equal(sb_poll(f->sb, polls, 1, UINT64_MAX, &n_ready), 0);
    assert_int_equal(polls[0].revents, POLLHUP);
    sb_file_unref(in);
}

static void poll_ends_when_stopped(void **state) {
    struct fixture *f = *state;
    static _Atomic uint32_t stop;
    size_t n_ready;
    stop = 1;
    sb_set_stop(f->sb, &stop);
    sb_wake(f->sb);
    assert_int_equal(sb_poll(f->sb, NULL, 0, UINT64_MAX, &n_ready), EINTR);
    stop = 0; /* a wake-up that is over does not end the next wait */
    assert_int_equal(sb_poll(f->sb, NULL, 0, 1, &n_ready), 0);
    assert_int_equal(n_ready, 0);
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FIXTURE(a_flag_names_host_guest_and_mode),
        IN_FIXTURE(broken_grants_are_refused),
        IN_FIXTURE(a_listening_grant_accepts_and_talks),
        IN_FIXTURE(files_are_no_sockets),
        IN_FIXTURE(waiting_for_all_fills_every_piece),
        IN_FIXTURE(poll_reports_what_is_ready),
        IN_FIXTURE(poll_ends_when_stopped),
    };
    return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
