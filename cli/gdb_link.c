/* cli/gdb_link.c: packets of the remote protocol over a socket, which is waited for. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cli/gdb.h"

enum atoll_status gdb_link_listen(struct gdb_link *l, uint16_t *port, struct atoll_error *err) {
    l->listener = gdb_listen(port, err);
    return l->listener < 0 ? ATOLL_E_IO : ATOLL_OK;
}

#define STOP_LOOK_MS 200

/* Signals come to the program's first thread, and another may be here; or one comes just before the wait. */
static void await(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (!cli_stopped() && poll(&p, 1, STOP_LOOK_MS) == 0) {}
}

enum atoll_status gdb_link_accept(struct gdb_link *l, struct atoll_error *err) {
    int on = 1;
    do {
        await(l->listener);
        if (!cli_stopped()) l->fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
    } while (l->fd < 0 && errno == EINTR && !cli_stopped());
    if (l->fd < 0 && cli_stopped())
        return atoll_fail(err, ATOLL_E_INTERRUPTED, ATOLL_NO_OFFSET, "interrupted");
    if (l->fd < 0) {
        int error = errno;
        atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "--gdb: accept: %s", strerror(error));
        err->system_errno = error;
        return ATOLL_E_IO;
    }
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(l->listener);
    l->listener = -1;
    return ATOLL_OK;
}

void gdb_link_close(struct gdb_link *l) {
    if (l->listener >= 0) close(l->listener);
    if (l->fd >= 0) close(l->fd);
    l->listener = l->fd = -1;
    bc_buf_fini(&l->last);
}

/* ---- out ---- */

static void send_bytes(struct gdb_link *l, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    while (size && l->fd >= 0) {
        ssize_t n = send(l->fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR && !cli_stopped()) continue;
        if (n < 0) return; /* the next receive finds out */
        at += n;
        size -= (size_t)n;
    }
}

void gdb_link_send(struct gdb_link *l, const char *payload, size_t size) {
    l->last.size = 0;
    gdb_frame_put(&l->last, payload, size);
    if (!l->last.failed) send_bytes(l, l->last.data, l->last.size);
}

/* ---- the end ---- */

#define GOODBYE_ROUNDS 8
#define GOODBYE_MS     250

/* A socket closed while bytes wait in it is reset, and what was sent last may be lost. */
void gdb_link_finish(struct gdb_link *l) {
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    if (l->fd < 0) return;
    shutdown(l->fd, SHUT_WR);
    for (int i = 0; i < GOODBYE_ROUNDS && !cli_stopped(); i++)
        if (poll(&p, 1, GOODBYE_MS) <= 0 || recv(l->fd, l->in, sizeof l->in, 0) <= 0) break;
    close(l->fd);
    l->fd = -1;
}

/* ---- in ---- */

/* The next byte, or -GDB_CLOSED, -GDB_STOPPED. */
static int next_byte(struct gdb_link *l) {
    while (l->at == l->n) {
        if (l->fd >= 0) await(l->fd);
        if (cli_stopped()) return -GDB_STOPPED;
        ssize_t n = l->fd < 0 ? 0 : recv(l->fd, l->in, sizeof l->in, 0);
        if (n < 0 && errno == EINTR && cli_stopped()) return -GDB_STOPPED;
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -GDB_CLOSED;
        l->at = 0;
        l->n = (size_t)n;
    }
    return l->in[l->at++];
}

enum gdb_event gdb_link_receive(struct gdb_link *l) {
    for (;;) {
        int c = next_byte(l);
        if (c < 0) return (enum gdb_event) - c;
        enum gdb_framed what = gdb_frame_take(&l->frame, (uint8_t)c);
        bool is_frame = what == GDB_FRAME_PACKET || what == GDB_FRAME_LONG || what == GDB_FRAME_BROKEN;
        if (is_frame && !l->no_acks) send_bytes(l, what == GDB_FRAME_BROKEN ? "-" : "+", 1);
        if (what == GDB_FRAME_PACKET) return GDB_PACKET;
        if (what == GDB_FRAME_INTERRUPT) return GDB_INTERRUPT;
        if (what == GDB_FRAME_AGAIN && !l->no_acks) send_bytes(l, l->last.data, l->last.size);
        if (what == GDB_FRAME_LONG) gdb_link_send(l, "E07", 3);
    }
}

bool gdb_link_ready(struct gdb_link *l) {
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return l->at < l->n || poll(&p, 1, 0) > 0;
}
