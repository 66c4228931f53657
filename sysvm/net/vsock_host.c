/* sysvm/net/vsock_host.c: the host's ends of a guest's stream sockets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sysvm/net/vsock_internal.h"

static struct sockaddr_un address_of(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path));
    return a;
}

static int new_socket(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

static int connect_to(const char *path) {
    struct sockaddr_un a = address_of(path);
    int fd = new_socket();
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* ---- connections ---- */

static void host_ready(void *context, uint32_t events);
static void listener_ready(void *context, uint32_t events);

static void watch_listener(struct vsock *v) {
    bool wanted = v->n_connections < VSOCK_CONNECTIONS;
    if (wanted && !v->listener_watch)
        vm_loop_watch(v->loop, v->listener, EPOLLIN, listener_ready, v, &v->listener_watch);
    if (!wanted && v->listener_watch) {
        vm_watch_free(v->listener_watch);
        v->listener_watch = NULL;
    }
}

/* Takes `fd` over; NULL: no room, and it is closed. */
static struct vsock_connection *add(struct vsock *v, int fd, enum vsock_state state) {
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        struct vsock_connection *c = &v->connections[i];
        if (c->state != VSOCK_FREE) continue;
        *c = (struct vsock_connection){.vsock = v, .state = state, .fd = fd};
        v->n_connections++;
        watch_listener(v);
        return c;
    }
    close(fd);
    return NULL;
}

static void close_host_end(struct vsock_connection *c) {
    vm_watch_free(c->watch);
    c->watch = NULL;
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->readable = false;
    if (c->buffer) atoll_free(c->vsock->alloc, c->buffer, VSOCK_BUFFER);
    c->buffer = NULL;
    c->n_buffered = 0;
}

void vsock_free(struct vsock_connection *c) {
    struct vsock *v = c->vsock;
    close_host_end(c);
    c->state = VSOCK_FREE;
    v->n_connections--;
    watch_listener(v);
}

void vsock_fail(struct vsock_connection *c) {
    bool known = c->state != VSOCK_GREETING; /* to the guest */
    close_host_end(c);
    c->state = VSOCK_ENDING;
    c->pending = known ? 1u << VSOCK_RST : 0;
    if (!known) vsock_free(c);
}

uint32_t vsock_credit(const struct vsock_connection *c) {
    uint32_t under_way = c->sent - c->guest_taken;
    return under_way < c->guest_space ? c->guest_space - under_way : 0;
}

void vsock_watch(struct vsock_connection *c) {
    bool reads = c->state == VSOCK_GREETING ||
                 (c->state == VSOCK_CONNECTED && !c->readable && !(c->told_down & VSOCK_NO_SEND) &&
                  !(c->guest_down & VSOCK_NO_RECEIVE) && vsock_credit(c) > 0);
    uint32_t events = (reads ? EPOLLIN : 0u) | (c->n_buffered ? EPOLLOUT : 0u);
    if (events == 0 || c->fd < 0) { /* a hang-up would be told for ever */
        vm_watch_free(c->watch);
        c->watch = NULL;
    } else if (!c->watch) {
        if (vm_loop_watch(c->vsock->loop, c->fd, events, host_ready, c, &c->watch)) vsock_fail(c);
    } else if (events != c->events) {
        vm_watch_set(c->watch, events);
    }
    c->events = events;
}

/* ---- bytes from the guest ---- */

static void count_passed_on(struct vsock_connection *c, uint32_t n) {
    c->passed_on += n;
    if (c->passed_on - c->passed_on_told >= VSOCK_BUFFER / 2) vsock_tell(c, VSOCK_CREDIT_UPDATE);
}

/* Bytes sent, 0 when the host's end takes none now, -1 when it takes none any more. */
static ssize_t send_pieces(struct vsock_connection *c, const struct iovec *iov, int n_iov) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov};
    ssize_t n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

static void keep(struct vsock_connection *c, const uint8_t *bytes, size_t n) {
    while (n > 0) {
        uint32_t at = (c->first + c->n_buffered) % VSOCK_BUFFER;
        size_t part = VSOCK_BUFFER - at < n ? VSOCK_BUFFER - at : n;
        memcpy(c->buffer + at, bytes, part);
        c->n_buffered += (uint32_t)part;
        bytes += part, n -= part;
    }
}

void vsock_pass_on(struct vsock_connection *c, const struct iovec *iov, int n_iov, uint32_t n_bytes) {
    ssize_t sent = c->n_buffered || n_iov == 0 ? 0 : send_pieces(c, iov, n_iov);
    if (sent < 0) {
        vsock_fail(c);
        return;
    }
    c->received += n_bytes;
    count_passed_on(c, (uint32_t)sent);
    if ((uint32_t)sent < n_bytes && !c->buffer &&
        !(c->buffer = atoll_new(c->vsock->alloc, 1, VSOCK_BUFFER))) {
        vsock_fail(c);
        return;
    }
    size_t skip = (size_t)sent;
    for (int i = 0; i < n_iov; i++) {
        size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= cut;
        keep(c, (const uint8_t *)iov[i].iov_base + cut, iov[i].iov_len - cut);
    }
    vsock_watch(c);
}

static void flush(struct vsock_connection *c) {
    uint32_t part = VSOCK_BUFFER - c->first < c->n_buffered ? VSOCK_BUFFER - c->first : c->n_buffered;
    struct iovec iov[2] = {{c->buffer + c->first, part}, {c->buffer, c->n_buffered - part}};
    ssize_t n = send_pieces(c, iov, 2);
    if (n < 0) {
        vsock_fail(c);
        return;
    }
    c->first = (c->first + (uint32_t)n) % VSOCK_BUFFER;
    c->n_buffered -= (uint32_t)n;
    count_passed_on(c, (uint32_t)n);
    if (c->n_buffered == 0) vsock_shut_down(c);
}

void vsock_shut_down(struct vsock_connection *c) {
    enum { BOTH = VSOCK_NO_RECEIVE | VSOCK_NO_SEND };
    if (c->n_buffered || c->fd < 0) return;
    if (c->guest_down == BOTH) {
        vsock_fail(c); /* the reset is what a guest that closes waits for */
        return;
    }
    if (c->guest_down & VSOCK_NO_SEND) shutdown(c->fd, SHUT_WR);
    if (c->guest_down & VSOCK_NO_RECEIVE) shutdown(c->fd, SHUT_RD);
    vsock_watch(c);
}

/* ---- host programs that connect ---- */

void vsock_accepted(struct vsock_connection *c) {
    char text[24];
    struct iovec iov = {text, (size_t)snprintf(text, sizeof text, "OK %u\n", c->host_port)};
    c->state = VSOCK_CONNECTED;
    if (send_pieces(c, &iov, 1) != (ssize_t)iov.iov_len) vsock_fail(c);
}

static bool port_is_free(const struct vsock *v, uint32_t port) {
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++)
        if (v->connections[i].state != VSOCK_FREE && v->connections[i].host_port == port) return false;
    return true;
}

/* "CONNECT PORT" has come. */
static void ask_guest(struct vsock_connection *c) {
    char *end;
    struct vsock *v = c->vsock;
    c->greeting[c->n_greeting] = 0;
    bool well = strncmp(c->greeting, "CONNECT ", 8) == 0 && c->greeting[8] >= '0' && c->greeting[8] <= '9';
    unsigned long long port = well ? strtoull(c->greeting + 8, &end, 10) : 0;
    if (!well || *end || port >= UINT32_MAX || !v->vdev) {
        vsock_free(c);
        return;
    }
    do v->next_port = v->next_port < UINT32_MAX - 1 ? v->next_port + 1 : 1u << 30;
    while (!port_is_free(v, v->next_port));
    c->guest_port = (uint32_t)port;
    c->host_port = v->next_port;
    c->state = VSOCK_ASKED;
    vsock_tell(c, VSOCK_REQUEST);
    vsock_watch(c);
    vsock_serve(v);
}

/* A byte at a time: what follows the line is the guest's. */
static void read_greeting(struct vsock_connection *c) {
    char byte;
    ssize_t n;
    while ((n = recv(c->fd, &byte, 1, MSG_DONTWAIT)) == 1) {
        if (byte == '\n') {
            ask_guest(c);
            return;
        }
        if (c->n_greeting == sizeof c->greeting - 1) break;
        c->greeting[c->n_greeting++] = byte;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    vsock_free(c);
}

static void host_ready(void *context, uint32_t events) {
    struct vsock_connection *c = context;
    struct vsock *v = c->vsock;
    if (c->state == VSOCK_GREETING) {
        read_greeting(c);
        return;
    }
    if (c->n_buffered && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) flush(c);
    if (c->state == VSOCK_CONNECTED && (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) c->readable = true;
    if (c->state != VSOCK_FREE) vsock_watch(c);
    vsock_serve(v);
}

static void listener_ready(void *context, uint32_t events) {
    struct vsock *v = context;
    (void)events;
    while (v->n_connections < VSOCK_CONNECTIONS) {
        int fd = accept4(v->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool later = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
            if (!later) vm_watch_free(v->listener_watch), v->listener_watch = NULL; /* until one is closed */
            return;
        }
        struct vsock_connection *c = add(v, fd, VSOCK_GREETING);
        if (c) vsock_watch(c);
    }
}

struct vsock_connection *vsock_connect(struct vsock *v, uint32_t port) {
    char path[sizeof v->path + 12];
    snprintf(path, sizeof path, "%s_%u", v->path, port);
    if (sb_net_vsock(v->sandbox, port)) return NULL;
    int fd = connect_to(path);
    return fd < 0 ? NULL : add(v, fd, VSOCK_CONNECTED);
}

/* ---- the listener ---- */

static enum atoll_status fail_io(const struct vsock *v, struct atoll_error *err) {
    int system_errno = errno;
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "cannot listen at '%s': %s", v->path,
               strerror(system_errno));
    if (err) err->system_errno = system_errno;
    return ATOLL_E_IO;
}

/* What a process that was killed left behind. */
static void remove_stale(const char *path) {
    struct stat st;
    if (lstat(path, &st) || !S_ISSOCK(st.st_mode)) return;
    int fd = connect_to(path);
    if (fd >= 0)
        close(fd);
    else if (errno == ECONNREFUSED)
        unlink(path);
}

enum atoll_status vsock_listen(struct vsock *v, struct atoll_error *err) {
    struct sockaddr_un a = address_of(v->path);
    remove_stale(v->path);
    v->listener = new_socket();
    if (v->listener < 0 || fchmod(v->listener, 0600))
        return fail_io(v, err); /* the file gets the socket's mode */
    if (bind(v->listener, (struct sockaddr *)&a, sizeof a)) {
        enum atoll_status status = fail_io(v, err);
        close(v->listener);
        v->listener = -1; /* the path is another's */
        return status;
    }
    if (listen(v->listener, 16)) return fail_io(v, err);
    errno = vm_loop_watch(v->loop, v->listener, EPOLLIN, listener_ready, v, &v->listener_watch);
    return errno ? fail_io(v, err) : ATOLL_OK;
}

void vsock_unlisten(struct vsock *v) {
    vm_watch_free(v->listener_watch);
    v->listener_watch = NULL;
    if (v->listener < 0) return;
    close(v->listener);
    unlink(v->path);
    v->listener = -1;
}
