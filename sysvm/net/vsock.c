/* sysvm/net/vsock.c: the packets of virtio-vsock. A packet's header is copied once and then checked; its length
 * counts only as far as the chain goes, and bytes only as far as the guest was given credit. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "sysvm/net/vsock_internal.h"

enum { RX, TX, EVENT, N_QUEUES };
enum { QUEUE_SIZE = 256, CHAINS_A_TURN = 256, F_STREAM = 0 };

struct packet { /* little-endian on the wire; here as the host has it */
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));
_Static_assert(sizeof(struct packet) == VSOCK_HEADER_BYTES, "as on the wire");

static void swap(struct packet *p) {
    p->src_cid = le64toh(p->src_cid), p->dst_cid = le64toh(p->dst_cid);
    p->src_port = le32toh(p->src_port), p->dst_port = le32toh(p->dst_port), p->len = le32toh(p->len);
    p->type = le16toh(p->type), p->op = le16toh(p->op);
    p->flags = le32toh(p->flags), p->buf_alloc = le32toh(p->buf_alloc), p->fwd_cnt = le32toh(p->fwd_cnt);
}

/* The part of a chain's pieces from `skip` on, at most `n_bytes`, in v->iov. */
static int pieces(struct vsock *v, const struct iovec *iov, unsigned n_iov, size_t skip, size_t n_bytes) {
    int n = 0;
    for (unsigned i = 0; i < n_iov && n_bytes > 0; i++) {
        size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len, left = iov[i].iov_len - cut;
        skip -= cut;
        if (left == 0) continue;
        if (left > n_bytes) left = n_bytes;
        v->iov[n++] = (struct iovec){(uint8_t *)iov[i].iov_base + cut, left};
        n_bytes -= left;
    }
    return n;
}

/* ---- to the guest ---- */

static void put_packet(struct vsock *v, const struct packet *packet) {
    struct packet p = *packet;
    swap(&p);
    vq_chain_write(&v->chain, 0, &p, sizeof p);
    vq_push(virtio_queue(v->vdev, RX), &v->chain, VSOCK_HEADER_BYTES + packet->len);
}

static struct packet packet_of(struct vsock_connection *c, enum vsock_op op) {
    c->passed_on_told = c->passed_on;
    c->pending &= ~(1u << op | 1u << VSOCK_CREDIT_UPDATE); /* each packet tells of credit */
    return (struct packet){.src_cid = VSOCK_CID_HOST,
                           .dst_cid = c->vsock->cid,
                           .src_port = c->host_port,
                           .dst_port = c->guest_port,
                           .type = VSOCK_STREAM,
                           .op = (uint16_t)op,
                           .flags = op == VSOCK_SHUTDOWN ? c->told_down : 0,
                           .buf_alloc = VSOCK_BUFFER,
                           .fwd_cnt = c->passed_on};
}

static void put_reset(struct vsock *v) {
    struct packet p = {.src_cid = VSOCK_CID_HOST,
                       .dst_cid = v->cid,
                       .src_port = v->resets[0].host_port,
                       .dst_port = v->resets[0].guest_port,
                       .type = v->resets[0].type,
                       .op = VSOCK_RST};
    memmove(v->resets, v->resets + 1, --v->n_resets * sizeof *v->resets);
    put_packet(v, &p);
}

static bool has_something(const struct vsock_connection *c) {
    if (c->state == VSOCK_FREE || c->state == VSOCK_GREETING) return false;
    return c->pending || (c->readable && vsock_credit(c) > 0);
}

/* The host's end has no more to say. */
static void end_of_input(struct vsock_connection *c) {
    c->readable = false;
    c->told_down |= VSOCK_NO_SEND;
    vsock_tell(c, VSOCK_SHUTDOWN);
}

/* Reads into the chain in hand; false: nothing came after all. */
static bool put_data(struct vsock_connection *c) {
    struct vsock *v = c->vsock;
    size_t room = v->chain.in_bytes - VSOCK_HEADER_BYTES;
    if (room > vsock_credit(c)) room = vsock_credit(c);
    int n_iov = pieces(v, v->chain.iov + v->chain.n_out, v->chain.n_in, VSOCK_HEADER_BYTES, room);
    struct msghdr message = {.msg_iov = v->iov, .msg_iovlen = (size_t)n_iov};
    if (n_iov == 0) { /* no driver gives buffers for the header alone */
        vsock_fail(c);
        return false;
    }
    ssize_t n = recvmsg(c->fd, &message, MSG_DONTWAIT);
    if (n > 0) {
        struct packet p = packet_of(c, VSOCK_RW);
        p.len = (uint32_t)n;
        c->sent += (uint32_t)n;
        put_packet(v, &p);
        return true;
    }
    if (n == 0)
        end_of_input(c);
    else if (errno == EAGAIN || errno == EINTR)
        c->readable = false;
    else
        vsock_fail(c);
    vsock_watch(c);
    return false;
}

/* Fills the chain in hand for a connection that has something; false: it was not needed. */
static bool put_something(struct vsock_connection *c) {
    static const enum vsock_op order[] = {VSOCK_RST, VSOCK_REQUEST, VSOCK_RESPONSE, VSOCK_SHUTDOWN,
                                          VSOCK_CREDIT_UPDATE};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!(c->pending & 1u << order[i])) continue;
        struct packet p = packet_of(c, order[i]);
        put_packet(c->vsock, &p);
        if (order[i] == VSOCK_RST) vsock_free(c);
        return true;
    }
    return put_data(c);
}

static struct vsock_connection *next_with_something(struct vsock *v) {
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        struct vsock_connection *c = &v->connections[v->turn++ % VSOCK_CONNECTIONS];
        if (has_something(c)) return c;
    }
    return NULL;
}

static void resume(void *context);

static void go_on_later(struct vsock *v) {
    if (!v->posted) v->posted = vm_loop_post(v->loop, resume, v) == 0;
}

void vsock_serve(struct vsock *v) {
    if (!v->vdev) return;
    struct vq *q = virtio_queue(v->vdev, RX);
    int n = 0;
    for (; n < CHAINS_A_TURN; n++) {
        struct vsock_connection *c = v->n_resets ? NULL : next_with_something(v);
        if (!c && !v->n_resets) break;
        if (vq_pop(q, &v->chain) != VQ_CHAIN) break;
        if (v->chain.in_bytes < VSOCK_HEADER_BYTES)
            vq_push(q, &v->chain, 0);
        else if (v->n_resets)
            put_reset(v);
        else if (!put_something(c))
            vq_unpop(q, &v->chain);
    }
    vq_interrupt(q);
    if (n == CHAINS_A_TURN) go_on_later(v);
}

/* ---- from the guest ---- */

static struct vsock_connection *find(struct vsock *v, const struct packet *p) {
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        struct vsock_connection *c = &v->connections[i];
        if (c->state == VSOCK_FREE || c->state == VSOCK_GREETING) continue;
        if (c->host_port == p->dst_port && c->guest_port == p->src_port) return c;
    }
    return NULL;
}

static void refuse(struct vsock *v, const struct packet *p) {
    if (p->op == VSOCK_RST) return; /* no answer to an answer */
    v->resets[v->n_resets].host_port = p->dst_port;
    v->resets[v->n_resets].guest_port = p->src_port;
    v->resets[v->n_resets++].type = p->type;
}

static void take_credit(struct vsock_connection *c, const struct packet *p) {
    c->guest_space = p->buf_alloc;
    c->guest_taken = p->fwd_cnt;
}

static void request(struct vsock *v, const struct packet *p) {
    struct vsock_connection *c = vsock_connect(v, p->dst_port);
    if (!c) {
        refuse(v, p);
        return;
    }
    c->host_port = p->dst_port;
    c->guest_port = p->src_port;
    take_credit(c, p);
    vsock_tell(c, VSOCK_RESPONSE);
    vsock_watch(c);
}

static void data(struct vsock_connection *c, const struct packet *p) {
    struct vsock *v = c->vsock;
    const struct vq_chain *chain = &v->chain;
    bool in_chain = p->len <= chain->out_bytes - VSOCK_HEADER_BYTES;
    bool in_credit = p->len <= VSOCK_BUFFER - (c->received - c->passed_on);
    if (!in_chain || !in_credit || c->state != VSOCK_CONNECTED || (c->guest_down & VSOCK_NO_SEND)) {
        vsock_fail(c);
        return;
    }
    vsock_pass_on(c, v->iov, pieces(v, chain->iov, chain->n_out, VSOCK_HEADER_BYTES, p->len), p->len);
}

static void take_packet(struct vsock_connection *c, const struct packet *p) {
    take_credit(c, p);
    switch (p->op) {
    case VSOCK_RST: vsock_free(c); return;
    case VSOCK_RESPONSE:
        if (c->state == VSOCK_ASKED)
            vsock_accepted(c);
        else
            vsock_fail(c);
        break;
    case VSOCK_RW: data(c, p); break;
    case VSOCK_SHUTDOWN:
        c->guest_down |= p->flags & (VSOCK_NO_RECEIVE | VSOCK_NO_SEND);
        vsock_shut_down(c);
        break;
    case VSOCK_CREDIT_UPDATE: break;
    case VSOCK_CREDIT_REQUEST: vsock_tell(c, VSOCK_CREDIT_UPDATE); break;
    default: vsock_fail(c); break;
    }
    if (c->state == VSOCK_CONNECTED) vsock_watch(c); /* credit may have come */
}

static void take_chain(struct vsock *v) {
    struct packet p;
    if (vq_chain_read(&v->chain, 0, &p, sizeof p) < sizeof p) return; /* nobody to answer */
    swap(&p);
    if (p.src_cid != v->cid || p.dst_cid != VSOCK_CID_HOST) return;
    struct vsock_connection *c = p.type == VSOCK_STREAM ? find(v, &p) : NULL;
    if (c && c->state == VSOCK_ENDING && p.op != VSOCK_RST) return; /* its reset is under way */
    if (c)
        take_packet(c, &p);
    else if (p.type == VSOCK_STREAM && p.op == VSOCK_REQUEST)
        request(v, &p);
    else
        refuse(v, &p);
}

/* False: stopped, because the guest takes no resets; so it is not listened to either. */
static bool transmit(struct vsock *v) {
    struct vq *q = virtio_queue(v->vdev, TX);
    int n = 0;
    for (; n < CHAINS_A_TURN && v->n_resets < VSOCK_RESETS && vq_pop(q, &v->chain) == VQ_CHAIN; n++) {
        take_chain(v);
        vq_push(q, &v->chain, 0);
    }
    vq_interrupt(q);
    if (n == CHAINS_A_TURN) go_on_later(v);
    return v->n_resets < VSOCK_RESETS;
}

static void exchange(struct vsock *v) {
    vsock_serve(v);
    bool through = transmit(v);
    vsock_serve(v);
    if (!through && v->n_resets < VSOCK_RESETS) go_on_later(v);
}

static void resume(void *context) {
    struct vsock *v = context;
    v->posted = false;
    if (v->vdev) exchange(v);
}

/* ---- the device ---- */

static uint64_t vsock_features(void *dev) {
    (void)dev;
    return UINT64_C(1) << F_STREAM;
}

static void vsock_config_read(void *dev, uint32_t offset, void *data_out, unsigned n) {
    uint64_t cid = htole64(((const struct vsock *)dev)->cid);
    memcpy(data_out, (const uint8_t *)&cid + offset, n);
}

static void vsock_start(void *dev, struct virtio_device *vdev, uint64_t features) {
    (void)features;
    ((struct vsock *)dev)->vdev = vdev;
}

static void vsock_notify(void *dev, unsigned queue) {
    struct vsock *v = dev;
    if (v->vdev && queue != EVENT) exchange(v);
}

static void vsock_reset(void *dev) {
    struct vsock *v = dev;
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++)
        if (v->connections[i].state != VSOCK_FREE) vsock_free(&v->connections[i]);
    v->n_resets = 0;
    vm_loop_forget(v->loop, v);
    v->posted = false;
    v->vdev = NULL;
}

static void vsock_destroy(void *dev) {
    struct vsock *v = dev;
    vsock_reset(v);
    vsock_unlisten(v);
    atoll_free(v->alloc, v, sizeof *v);
}

static const struct virtio_ops vsock_ops = {.name = "virtio-vsock",
                                            .id = VIRTIO_VSOCK,
                                            .n_queues = N_QUEUES,
                                            .queue_size_max = QUEUE_SIZE,
                                            .config_bytes = sizeof(uint64_t),
                                            .features = vsock_features,
                                            .config_read = vsock_config_read,
                                            .start = vsock_start,
                                            .notify = vsock_notify,
                                            .reset = vsock_reset,
                                            .free = vsock_destroy};

/* ---- PATH[,cid=N] ---- */

static enum atoll_status parse(const char *spec, char *path, size_t path_size, uint64_t *out_cid,
                               struct atoll_error *err) {
    enum { PORT_BYTES = 11 }; /* "_4294967295" */
    const char *comma = strchr(spec, ',');
    size_t n = comma ? (size_t)(comma - spec) : strlen(spec);
    *out_cid = VSOCK_CID_DEFAULT;
    if (n == 0 || n + PORT_BYTES >= path_size)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s': a path of 1 to %zu bytes is wanted",
                          spec, path_size - PORT_BYTES - 1);
    memcpy(path, spec, n), path[n] = 0;
    if (!comma) return ATOLL_OK;
    const char *digits = comma + 5;
    bool well = strncmp(comma, ",cid=", 5) == 0 && *digits && strlen(digits) <= 10;
    if (well && digits[strspn(digits, "0123456789")] == 0) *out_cid = strtoull(digits, NULL, 10);
    if (well && digits[strspn(digits, "0123456789")] == 0 && *out_cid > VSOCK_CID_HOST &&
        *out_cid < UINT32_MAX)
        return ATOLL_OK;
    return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                      "'%s' is not PATH[,cid=N] with N from 3 to 4294967294", spec);
}

enum atoll_status virtio_vsock_check(const char *spec, struct atoll_error *err) {
    char path[sizeof((struct vsock *)0)->path];
    uint64_t cid;
    return parse(spec, path, sizeof path, &cid, err);
}

enum atoll_status virtio_vsock_new(const struct virtio_vsock_config *config,
                                   const struct virtio_ops **out_ops, void **out_dev,
                                   struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    struct vsock *v = atoll_new(alloc, 1, sizeof *v);
    if (!v) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    v->alloc = alloc;
    v->loop = config->loop;
    v->sandbox = config->sandbox;
    v->listener = -1;
    v->next_port = 1u << 30;
    enum atoll_status status = parse(config->spec, v->path, sizeof v->path, &v->cid, err);
    if (!status) status = vsock_listen(v, err);
    if (status) return vsock_destroy(v), status;
    *out_ops = &vsock_ops;
    *out_dev = v;
    return ATOLL_OK;
}
