/* cli/gdb_link.c: packets of the remote protocol over a socket: $payload#checksum, acknowledged by + or -
 * until the debugger asks for silence. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cli/gdb.h"

static enum atoll_status fail(struct atoll_error *err, const char *what) {
    int error = errno;
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "--gdb: %s: %s", what, strerror(error));
    err->system_errno = error;
    return ATOLL_E_IO;
}

enum atoll_status gdb_link_listen(struct gdb_link *l, uint16_t *port, struct atoll_error *err) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1;
    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->listener < 0) return fail(err, "socket");
    setsockopt(l->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(l->listener, (struct sockaddr *)&address, size) || listen(l->listener, 1) ||
        getsockname(l->listener, (struct sockaddr *)&address, &size))
        return fail(err, "cannot listen");
    *port = ntohs(address.sin_port);
    return ATOLL_OK;
}

enum atoll_status gdb_link_accept(struct gdb_link *l, struct atoll_error *err) {
    int on = 1;
    do l->fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
    while (l->fd < 0 && errno == EINTR && !cli_stopped());
    if (l->fd < 0 && cli_stopped())
        return atoll_fail(err, ATOLL_E_INTERRUPTED, ATOLL_NO_OFFSET, "interrupted");
    if (l->fd < 0) return fail(err, "accept");
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
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) sum = (uint8_t)(sum + (uint8_t)payload[i]);
    l->last.size = 0;
    bc_buf_u8(&l->last, '$');
    bc_buf_bytes(&l->last, payload, size);
    bc_buf_text(&l->last, "#%02x", sum);
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

#define STOP_LOOK_MS 200

/* Signals come to the program's first thread, and another may be here. */
static void await_bytes(const struct gdb_link *l) {
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    while (!cli_stopped() && poll(&p, 1, STOP_LOOK_MS) == 0) {}
}

/* The next byte, or -GDB_CLOSED, -GDB_STOPPED. */
static int next_byte(struct gdb_link *l) {
    while (l->at == l->n) {
        if (l->fd >= 0) await_bytes(l);
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

static int digit(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum frame { FRAME_WHOLE, FRAME_BROKEN, FRAME_LONG };

/* The packet behind its $: negative as next_byte. */
static int read_frame(struct gdb_link *l) {
    uint8_t sum = 0;
    size_t n = 0;
    int c;
    while ((c = next_byte(l)) != '#') {
        if (c < 0) return c;
        bool again = c == '$'; /* that one never ended */
        sum = again ? 0 : (uint8_t)(sum + c);
        if (n < GDB_PACKET_MAX) l->packet[n] = (char)c;
        n = again ? 0 : n + 1;
    }
    int high = next_byte(l), low = high < 0 ? high : next_byte(l);
    if (low < 0) return low;
    l->packet[n < GDB_PACKET_MAX ? n : GDB_PACKET_MAX] = 0;
    if (digit(high) < 0 || digit(low) < 0 || digit(high) * 16 + digit(low) != sum) return FRAME_BROKEN;
    return n > GDB_PACKET_MAX ? FRAME_LONG : FRAME_WHOLE;
}

enum gdb_event gdb_link_receive(struct gdb_link *l) {
    for (;;) {
        int c = next_byte(l);
        if (c < 0) return (enum gdb_event) - c;
        if (c == 3) return GDB_INTERRUPT;
        if (c == '-' && !l->no_acks) send_bytes(l, l->last.data, l->last.size);
        if (c != '$') continue;
        int frame = read_frame(l);
        if (frame < 0) return (enum gdb_event) - frame;
        if (!l->no_acks) send_bytes(l, frame == FRAME_BROKEN ? "-" : "+", 1);
        if (frame == FRAME_WHOLE) return GDB_PACKET;
        if (frame == FRAME_LONG) gdb_link_send(l, "E07", 3);
    }
}

bool gdb_link_ready(struct gdb_link *l) {
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return l->at < l->n || poll(&p, 1, 0) > 0;
}
