/* cli/boot_gdb.c: a debugger at a machine: the connection, on the machine's loop.
 *
 *   listens -> accepts one -> the machine stands still -> packets and answers -> it runs -> it stops -> ...
 *
 * Packets are answered while all processors stand still, one after the other, and the next is looked at when the answer
 * has gone: who sends without reading fills his own buffers. When the connection ends the machine goes on. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cli/boot_gdb.h"

/* ---- the end of a connection ---- */

static void forget_connection(struct boot_gdb *g) {
    vm_watch_free(g->watch);
    if (g->fd >= 0) close(g->fd);
    g->fd = -1;
    g->watch = NULL;
    g->no_acks = g->has_packet = g->owes_stop = g->is_ending = g->tells_kinds = false;
    g->at = g->n = g->sent = 0;
    g->frame = (struct gdb_frame){0};
    g->out.size = g->last.size = g->reply.size = 0;
}

/* What it armed is taken away when all stand still. */
static void close_connection(struct boot_gdb *g) {
    forget_connection(g);
    if (!g->debug) return;
    g->is_leaving = !vm_debug_is_still(g->debug);
    if (g->is_leaving)
        vm_debug_interrupt(g->debug);
    else
        vm_debug_release(g->debug);
}

/* ---- out ---- */

static void put_packet(struct boot_gdb *g) {
    g->last.size = 0;
    gdb_frame_put(&g->last, g->reply.data, g->reply.size);
    bc_buf_bytes(&g->out, g->last.data, g->last.size);
}

/* False: something is left, or the connection is over. */
static bool send_all(struct boot_gdb *g) {
    if (g->out.failed || g->last.failed || g->reply.failed) { /* out of memory */
        close_connection(g);
        return false;
    }
    while (g->sent < g->out.size) {
        ssize_t n = send(g->fd, g->out.data + g->sent, g->out.size - g->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return false;
        if (n < 0) {
            close_connection(g);
            return false;
        }
        g->sent += (size_t)n;
    }
    g->out.size = g->sent = 0;
    if (g->is_ending) close_connection(g);
    return !g->is_ending;
}

static void tell_stop(struct boot_gdb *g) {
    g->owes_stop = false;
    g->reply.size = 0;
    boot_gdb_put_stop(g);
    put_packet(g);
}

/* ---- packets ---- */

static void answer(struct boot_gdb *g) {
    g->has_packet = false;
    g->wish = BOOT_GDB_STAY;
    g->reply.size = 0;
    boot_gdb_answer(g);
    if (g->wish == BOOT_GDB_KILL) {
        g->kill(g->context);
        return;
    }
    if (g->wish == BOOT_GDB_RESUME) {
        g->owes_stop = true;
        vm_debug_resume(g->debug, g->actions);
        return;
    }
    put_packet(g);
    g->is_ending = g->wish == BOOT_GDB_DETACH;
}

static void interrupt(struct boot_gdb *g) {
    if (g->owes_stop) vm_debug_interrupt(g->debug);
}

static void take_byte(struct boot_gdb *g, uint8_t byte) {
    enum gdb_framed what = gdb_frame_take(&g->frame, byte);
    bool is_frame = what == GDB_FRAME_PACKET || what == GDB_FRAME_LONG || what == GDB_FRAME_BROKEN;
    if (is_frame && !g->no_acks) bc_buf_u8(&g->out, what == GDB_FRAME_BROKEN ? '-' : '+');
    if (what == GDB_FRAME_INTERRUPT) interrupt(g);
    if (what == GDB_FRAME_AGAIN && !g->no_acks) bc_buf_bytes(&g->out, g->last.data, g->last.size);
    if (what == GDB_FRAME_PACKET) g->has_packet = true;
    if (what != GDB_FRAME_LONG) return;
    g->reply.size = 0;
    boot_gdb_put_error(g, GDB_ERROR_TOO_LONG);
    put_packet(g);
}

/* False: nothing came, or the connection is over. */
static bool receive(struct boot_gdb *g) {
    ssize_t n = recv(g->fd, g->in, sizeof g->in, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) {
        close_connection(g);
        return false;
    }
    g->at = 0;
    g->n = (size_t)n;
    return true;
}

/* As far as it goes now. */
static void work(struct boot_gdb *g) {
    while (g->fd >= 0 && send_all(g)) {
        if (g->has_packet) {
            /* Where it stands still for one who left, another has to wait until it is released. */
            if (g->is_leaving || !vm_debug_is_still(g->debug)) break;
            answer(g);
        } else if (g->at < g->n) {
            take_byte(g, g->in[g->at++]);
        } else if (!receive(g)) {
            break;
        }
    }
    if (g->fd < 0) return;
    uint32_t events = EPOLLRDHUP | (g->sent < g->out.size ? EPOLLOUT : 0) | (g->has_packet ? 0 : EPOLLIN);
    vm_watch_set(g->watch, events);
}

static void on_bytes(void *context, uint32_t events) {
    struct boot_gdb *g = context;
    bool is_over = events & (EPOLLERR | EPOLLHUP) || (events & EPOLLRDHUP && g->has_packet);
    if (is_over)
        close_connection(g);
    else
        work(g);
}

/* All stand still. A debugger that left while they ran has what it armed taken away. */
static void on_stopped(void *context) {
    struct boot_gdb *g = context;
    if (g->is_leaving) {
        g->is_leaving = false;
        vm_debug_release(g->debug);
        if (g->fd >= 0) vm_debug_interrupt(g->debug); /* another one is there already */
        return;
    }
    if (g->fd < 0) return;
    if (g->owes_stop) tell_stop(g);
    work(g);
}

/* ---- who comes ---- */

static void on_connection(void *context, uint32_t events) {
    struct boot_gdb *g = context;
    int on = 1, fd = accept4(g->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    (void)events;
    if (fd < 0) return;
    if (g->fd >= 0) { /* one at a time */
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    g->fd = fd;
    g->was_attached = true;
    g->selected = 0;
    if (vm_loop_watch(g->loop, fd, EPOLLIN, on_bytes, g, &g->watch)) {
        close_connection(g);
        return;
    }
    vm_debug_interrupt(g->debug);
}

/* ---- begin and end ---- */

/* PORT[,run] */
static bool parse(struct boot_gdb *g, const char *spec) {
    char number[8];
    uint64_t port;
    size_t n = strcspn(spec, ",");
    g->runs = strcmp(spec + n, ",run") == 0;
    if (!n || n >= sizeof number || (spec[n] && !g->runs)) return false;
    memcpy(number, spec, n);
    number[n] = 0;
    if (!cli_parse_count(number, &port) || port > UINT16_MAX) return false;
    g->port = (uint16_t)port;
    return true;
}

bool boot_gdb_check(const char *spec) {
    struct boot_gdb g;
    return parse(&g, spec);
}

enum atoll_status boot_gdb_new(const char *spec, void (*kill)(void *context), void *context,
                               struct boot_gdb **out, struct atoll_error *err) {
    struct boot_gdb *g = calloc(1, sizeof *g);
    if (!g) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *out = g;
    g->fd = g->listener = -1;
    g->kill = kill;
    g->context = context;
    bc_buf_init(&g->reply, &atoll_default_alloc);
    bc_buf_init(&g->last, &atoll_default_alloc);
    bc_buf_init(&g->out, &atoll_default_alloc);
    parse(g, spec);
    g->listener = gdb_listen(&g->port, err);
    if (g->listener < 0) return ATOLL_E_IO;
    cli_message(g->runs ? "boot: a debugger can connect to 127.0.0.1:%u"
                        : "boot: waiting for a debugger at 127.0.0.1:%u",
                g->port);
    return ATOLL_OK;
}

/* After a reset a debugger that waits for the machine gets it before its first instruction. */
enum atoll_status boot_gdb_attach(struct boot_gdb *g, struct vm_machine *machine, struct vm_loop *loop,
                                  struct atoll_error *err) {
    bool runs = g->fd < 0 && (g->runs || g->was_attached);
    g->loop = loop;
    g->selected = 0;
    int error = vm_loop_watch(loop, g->listener, EPOLLIN, on_connection, g, &g->accepts);
    if (!error && g->fd >= 0) error = vm_loop_watch(loop, g->fd, EPOLLIN, on_bytes, g, &g->watch);
    if (error) return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "--gdb: %s", strerror(error));
    return vm_debug_new(machine, runs, on_stopped, g, &g->debug, err);
}

void boot_gdb_detach(struct boot_gdb *g) {
    if (!g) return;
    vm_watch_free(g->accepts);
    vm_watch_free(g->watch);
    g->accepts = g->watch = NULL;
    g->is_leaving = false;
    g->loop = NULL;
    g->debug = NULL;
}

/* A socket closed while bytes wait in it is reset, and what was sent last may be lost. */
void boot_gdb_finish(struct boot_gdb *g, int status) {
    if (!g || g->fd < 0) return;
    bool by_signal = status > CLI_SIGNAL && status < CLI_SIGNAL + 65 && status != CLI_TRAP;
    g->reply.size = 0;
    bc_buf_text(&g->reply, by_signal ? "X%02x" : "W%02x", by_signal ? status - CLI_SIGNAL : status & 255);
    put_packet(g);
    send_all(g);
    if (g->fd < 0) return;
    shutdown(g->fd, SHUT_WR);
    while (recv(g->fd, g->in, sizeof g->in, MSG_DONTWAIT) > 0) {}
    forget_connection(g);
}

void boot_gdb_free(struct boot_gdb *g) {
    if (!g) return;
    forget_connection(g);
    if (g->listener >= 0) close(g->listener);
    bc_buf_fini(&g->reply);
    bc_buf_fini(&g->last);
    bc_buf_fini(&g->out);
    free(g);
}
