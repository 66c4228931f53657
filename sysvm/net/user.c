/* sysvm/net/user.c: a guest's network made of the host's sockets, by libslirp.
 *
 *   vnet_send -> checksum -> filter -> libslirp -> sockets
 *   receive  <- queue (bounded) <- filter <-/
 *
 * libslirp wants to be asked before each sleep which sockets to watch, and be told after it which are ready.
 * The loop has no such moments; so whatever happens arms one timer, `pump`, which fires at the loop's next
 * turn: it tells what became ready, asks anew, and changes only those watches that differ. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "sysvm/net/internal.h"
#include "sysvm/net/slirp.h"

#define SOCKETS_MAX 512         /* at once; each holds up to 256 KiB in libslirp and as much in the kernel */
#define QUEUE_BYTES (512 << 10) /* of frames a guest has no room for; beyond, they are lost as on a wire */
#define IDLE_MS     1000        /* what libslirp says when nothing is pending */
#define NS_PER_MS   INT64_C(1000000)

/* A socket of libslirp's. */
struct slot {
    struct user *user;
    int fd;
    struct vm_watch *watch; /* NULL: not watched */
    uint32_t events;        /* of the watch */
    bool ready;             /* something of them came, not told yet */
    uint32_t round;         /* in which it was last asked for */
    bool counted;           /* among n_sockets */
    bool listens, looked;   /* known after the first look */
};

struct queued {
    struct queued *next;
    size_t n_bytes;
    uint8_t bytes[];
};

struct user {
    struct vnet *net;
    struct vnet_slirp library;
    Slirp *slirp;
    SlirpCb callbacks;
    struct vnet_user_spec spec;
    struct vnet_filter filter;
    struct slot **slots; /* by descriptor; NULL = never seen */
    size_t cap_slots;
    uint32_t round, n_sockets;
    struct vm_timer *pump, *timers[SLIRP_TIMER_NUM];
    void *timer_opaque[SLIRP_TIMER_NUM];
    bool pumping; /* the pump is due */
    struct queued *queue, **queue_end;
    size_t queue_bytes;
    uint32_t offloads;
    uint8_t frame[VNET_FRAME_MAX];
};

static void schedule(struct user *u) {
    if (u->pumping) return;
    u->pumping = true;
    vm_timer_set(u->pump, 0);
}

static int64_t clock_ns(void *context) {
    (void)context;
    return (int64_t)vm_now_ns();
}

/* ---- sockets ---- */

static const struct {
    int slirp;
    uint32_t epoll;
} event_names[] = {{SLIRP_POLL_IN, EPOLLIN},
                   {SLIRP_POLL_OUT, EPOLLOUT},
                   {SLIRP_POLL_PRI, EPOLLPRI},
                   {SLIRP_POLL_ERR, EPOLLERR},
                   {SLIRP_POLL_HUP, EPOLLHUP}};
#define N_EVENTS (sizeof event_names / sizeof *event_names)

static struct slot *slot_at(struct user *u, int fd) {
    const struct atoll_alloc *alloc = u->net->config.alloc;
    size_t i = (size_t)fd;
    if (atoll_grow(alloc, (void **)&u->slots, &u->cap_slots, i + 1, sizeof *u->slots)) return NULL;
    if (!u->slots[i] && (u->slots[i] = atoll_new(alloc, 1, sizeof *u->slots[i])))
        u->slots[i]->user = u, u->slots[i]->fd = fd;
    return u->slots[i];
}

static void unwatch(struct slot *slot) {
    if (slot->watch) vm_watch_free(slot->watch);
    slot->watch = NULL;
    slot->ready = false;
}

static void socket_made(int fd, void *context) {
    struct user *u = context;
    struct slot *slot = slot_at(u, fd);
    if (!slot) return; /* never watched: this connection stands still and times out */
    unwatch(slot);
    slot->looked = slot->listens = false;
    if (!slot->counted) u->n_sockets++;
    slot->counted = true;
    u->filter.full = u->n_sockets >= SOCKETS_MAX;
}

static void socket_gone(int fd, void *context) {
    struct user *u = context;
    if (fd < 0 || (size_t)fd >= u->cap_slots || !u->slots[fd]) return;
    struct slot *slot = u->slots[fd];
    unwatch(slot);
    slot->looked = false;
    if (slot->counted) u->n_sockets--;
    slot->counted = false;
    u->filter.full = u->n_sockets >= SOCKETS_MAX;
}

static void socket_ready(void *context, uint32_t events) {
    struct slot *slot = context;
    (void)events; /* asked for again when they are told */
    slot->ready = true;
    schedule(slot->user);
}

/* Some of libslirp's sockets would block, and so would the machine. */
static void look_at(struct slot *slot) {
    int listens = 0, flags = fcntl(slot->fd, F_GETFL);
    socklen_t size = sizeof listens;
    if (slot->looked) return;
    slot->looked = true;
    slot->listens = !getsockopt(slot->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) && listens;
    if (flags >= 0) fcntl(slot->fd, F_SETFL, flags | O_NONBLOCK);
}

/* libslirp wants to know of `fd`. Forwarded ports are not accepted from while there are sockets enough. */
static int add_poll(int fd, int wanted, void *context) {
    struct user *u = context;
    struct slot *slot = slot_at(u, fd);
    if (!slot) return -1;
    look_at(slot);
    if (u->filter.full && slot->listens) return -1;
    uint32_t events = 0;
    for (size_t i = 0; i < N_EVENTS; i++)
        if (wanted & event_names[i].slirp) events |= event_names[i].epoll;
    if (!slot->watch) {
        if (vm_loop_watch(u->net->config.loop, fd, events, socket_ready, slot, &slot->watch)) return -1;
    } else if (slot->events != events) {
        vm_watch_set(slot->watch, events);
    }
    slot->events = events;
    slot->round = u->round;
    return fd;
}

/* What is there now: the loop may have told of what has been taken since, and libslirp reads a socket that has
 * nothing as one that failed. */
static int take_revents(int fd, void *context) {
    struct user *u = context;
    struct slot *slot = fd >= 0 && (size_t)fd < u->cap_slots ? u->slots[fd] : NULL;
    if (!slot || !slot->ready) return 0;
    struct pollfd p = {.fd = fd, .events = (short)slot->events};
    int revents = 0;
    slot->ready = false;
    if (poll(&p, 1, 0) <= 0) return 0;
    for (size_t i = 0; i < N_EVENTS; i++)
        if ((uint32_t)p.revents & event_names[i].epoll) revents |= event_names[i].slirp;
    return revents;
}

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLPRI == POLLPRI && EPOLLERR == POLLERR &&
                   EPOLLHUP == POLLHUP,
               "the events of epoll are those of poll");

/* ---- the pump ---- */

static void ask_anew(struct user *u) {
    uint32_t timeout_ms = UINT32_MAX;
    u->round++;
    u->library.pollfds_fill(u->slirp, &timeout_ms, add_poll, u);
    for (size_t i = 0; i < u->cap_slots; i++)
        if (u->slots[i] && u->slots[i]->watch && u->slots[i]->round != u->round) unwatch(u->slots[i]);
    bool idle = timeout_ms >= IDLE_MS;
    vm_timer_set(u->pump, idle ? UINT64_MAX : vm_now_ns() + timeout_ms * (uint64_t)NS_PER_MS);
}

static void pump(void *context) {
    struct user *u = context;
    u->pumping = false;
    u->library.pollfds_poll(u->slirp, 0, take_revents, u);
    ask_anew(u);
    vnet_received(u->net);
}

static void notified(void *context) { schedule(context); }

static void fire_timer(void *context) {
    struct user *u = context;
    u->library.handle_timer(u->slirp, SLIRP_TIMER_RA, u->timer_opaque[SLIRP_TIMER_RA]);
    schedule(u);
}

static void *timer_new(SlirpTimerId id, void *opaque, void *context) {
    struct user *u = context;
    if (id != SLIRP_TIMER_RA || vm_timer_new(u->net->config.loop, fire_timer, u, &u->timers[id])) return NULL;
    u->timer_opaque[id] = opaque;
    return &u->timers[id];
}

static void timer_free(void *timer, void *context) {
    (void)context;
    struct vm_timer **t = timer;
    if (t && *t) vm_timer_free(*t);
    if (t) *t = NULL;
}

static void timer_set(void *timer, int64_t expire_ms, void *context) {
    (void)context;
    struct vm_timer **t = timer;
    if (t && *t) vm_timer_set(*t, (uint64_t)(expire_ms * NS_PER_MS));
}

static void guest_erred(const char *message, void *context) { (void)message, (void)context; }

/* ---- frames for the guest ---- */

static bool hand_over(struct user *u, const uint8_t *frame, size_t n_bytes) {
    /* libslirp has made and checked all sums itself. */
    struct vnet_header header = {.flags = u->offloads & VNET_RX_CSUM ? VNET_DATA_VALID : 0};
    return u->net->config.receive(u->net->config.context, &header, frame, n_bytes);
}

static void deliver(struct user *u, const void *frame, size_t n_bytes) {
    if (!u->queue && hand_over(u, frame, n_bytes)) return;
    struct queued *q = NULL;
    size_t size = sizeof *q + n_bytes;
    if (u->queue_bytes + size <= QUEUE_BYTES) q = atoll_new(u->net->config.alloc, 1, size);
    if (!q) return;
    q->n_bytes = n_bytes;
    memcpy(q->bytes, frame, n_bytes);
    *u->queue_end = q;
    u->queue_end = &q->next;
    u->queue_bytes += size;
}

static void queue_drop_first(struct user *u) {
    struct queued *q = u->queue;
    u->queue = q->next;
    if (!u->queue) u->queue_end = &u->queue;
    u->queue_bytes -= sizeof *q + q->n_bytes;
    atoll_free(u->net->config.alloc, q, sizeof *q + q->n_bytes);
}

static void user_receive_ready(void *backend) {
    struct user *u = backend;
    while (u->queue && hand_over(u, u->queue->bytes, u->queue->n_bytes)) queue_drop_first(u);
    vnet_received(u->net);
}

static ssize_t from_slirp(const void *frame, size_t n_bytes, void *context) {
    struct user *u = context;
    if (n_bytes < VNET_FRAME_MIN || n_bytes > VNET_FRAME_MAX) return (ssize_t)n_bytes;
    vnet_filter_in(&u->filter, frame, n_bytes);
    deliver(u, frame, n_bytes);
    return (ssize_t)n_bytes;
}

/* ---- frames from the guest ---- */

static int user_send(void *backend, const struct vnet_header *header, const struct iovec *iov, int n_iov) {
    struct user *u = backend;
    size_t n = 0, n_answer = 0;
    for (int i = 0; i < n_iov; n += iov[i++].iov_len) {
        if (iov[i].iov_len > sizeof u->frame - n) return 0;
        memcpy(u->frame + n, iov[i].iov_base, iov[i].iov_len);
    }
    /* From here on the guest cannot change it. */
    vnet_checksum(header, u->frame, n);
    enum vnet_verdict verdict = vnet_filter_out(&u->filter, u->frame, n, &n_answer);
    if (verdict == VNET_REFUSE) {
        deliver(u, u->filter.answer, n_answer);
        schedule(u); /* which tells that it was received */
    }
    if (verdict != VNET_PASS) return 0;
    /* libslirp's clock moves only here; a flow that started by a stale one would be over at once. */
    if (!u->pumping) u->library.pollfds_poll(u->slirp, 0, take_revents, u);
    schedule(u);
    u->library.input(u->slirp, u->frame, (int)n);
    return 0;
}

static void user_set_offloads(void *backend, uint32_t offloads) {
    ((struct user *)backend)->offloads = offloads;
}

/* ---- life ---- */

static void user_close(void *backend) {
    struct user *u = backend;
    const struct atoll_alloc *alloc = u->net->config.alloc;
    if (u->slirp) u->library.cleanup(u->slirp);
    while (u->queue) queue_drop_first(u);
    for (size_t i = 0; i < u->cap_slots; i++) {
        if (!u->slots[i]) continue;
        unwatch(u->slots[i]);
        atoll_free(alloc, u->slots[i], sizeof *u->slots[i]);
    }
    atoll_free(alloc, u->slots, u->cap_slots * sizeof *u->slots);
    for (int i = 0; i < SLIRP_TIMER_NUM; i++)
        if (u->timers[i]) vm_timer_free(u->timers[i]);
    if (u->pump) vm_timer_free(u->pump);
    atoll_free(alloc, u, sizeof *u);
}

static const struct vnet_ops user_ops = {.name = "user",
                                         .offloads = VNET_TX_CSUM | VNET_TX_TSO4 | VNET_RX_CSUM,
                                         .send = user_send,
                                         .set_offloads = user_set_offloads,
                                         .receive_ready = user_receive_ready,
                                         .close = user_close};

static enum atoll_status add_forwards(struct user *u, struct atoll_error *err) {
    for (size_t i = 0; i < u->spec.n_forwards; i++) {
        const struct vnet_forward *f = &u->spec.forwards[i];
        if (!u->library.add_hostfwd(u->slirp, f->udp, f->host, f->host_port, f->guest, f->guest_port))
            continue;
        int system_errno = errno;
        char host[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &f->host, host, sizeof host);
        atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "cannot forward %s port %s:%u: %s",
                   f->udp ? "udp" : "tcp", host, f->host_port, strerror(system_errno));
        if (err) err->system_errno = system_errno;
        return ATOLL_E_IO;
    }
    return ATOLL_OK;
}

/* Without an unprivileged ping socket libslirp would take a raw one, or knock at the echo port instead. */
static bool can_ping(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static void create(struct user *u) {
    SlirpConfig config = {.version = 4,
                          .in_enabled = true,
                          .vnetwork.s_addr = htonl(VNET_NET4),
                          .vnetmask.s_addr = htonl(VNET_MASK4),
                          .vhost.s_addr = htonl(VNET_HOST4),
                          .vdhcp_start.s_addr = htonl(VNET_GUEST4),
                          .vnameserver.s_addr = htonl(VNET_NAMESERVER4),
                          .in6_enabled = u->spec.ipv6,
                          .vprefix_len = 64,
                          .disable_host_loopback = !sb_rules_reach_host(u->net->config.sandbox)};
    inet_pton(AF_INET6, VNET_PREFIX6, &config.vprefix_addr6);
    inet_pton(AF_INET6, VNET_HOST6, &config.vhost6);
    inet_pton(AF_INET6, VNET_NAMESERVER6, &config.vnameserver6);
    u->callbacks = (SlirpCb){.send_packet = from_slirp,
                             .guest_error = guest_erred,
                             .clock_get_ns = clock_ns,
                             .timer_free = timer_free,
                             .timer_mod = timer_set,
                             .register_poll_fd = socket_made,
                             .unregister_poll_fd = socket_gone,
                             .notify = notified,
                             .timer_new_opaque = timer_new};
    u->slirp = u->library.create(&config, &u->callbacks, u);
}

static enum atoll_status set_up(struct user *u, const char *options, struct atoll_error *err) {
    enum atoll_status status = vnet_user_spec_parse(options, &u->spec, err);
    if (!status) status = vnet_slirp_load(&u->library, err);
    if (status) return status;
    if (vm_timer_new(u->net->config.loop, pump, u, &u->pump))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    u->filter = (struct vnet_filter){.sandbox = u->net->config.sandbox,
                                     .forwards = u->spec.forwards,
                                     .n_forwards = u->spec.n_forwards,
                                     .ipv6 = u->spec.ipv6,
                                     .no_ping = !can_ping()};
    create(u);
    if (!u->slirp) return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "libslirp does not start");
    status = add_forwards(u, err);
    if (!status) pump(u);
    return status;
}

enum atoll_status vnet_user_open(struct vnet *net, const char *options, struct atoll_error *err) {
    struct user *u = atoll_new(net->config.alloc, 1, sizeof *u);
    if (!u) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    u->net = net;
    u->queue_end = &u->queue;
    enum atoll_status status = set_up(u, options, err);
    if (status) return user_close(u), status;
    net->ops = &user_ops;
    net->backend = u;
    return ATOLL_OK;
}
