/* sysvm/dev/virtio/console.c: see console.h. What the guest sends is copied before the other end sees it. A turn
 * moves a bounded number of bytes and chains, then others have theirs: a guest's lengths cost no more than that. */
#include <string.h>
#include "sysvm/dev/virtio/console.h"

enum { RECEIVE, TRANSMIT, CONTROL_RECEIVE, CONTROL_TRANSMIT, N_QUEUES };
#define F_SIZE      (UINT64_C(1) << 0)
#define F_MULTIPORT (UINT64_C(1) << 1)
#define F_EMERGENCY (UINT64_C(1) << 2)

#define PIECE_BYTES 4096 /* copied at once */
#define TURN_PIECES 8    /* of output */
#define TURN_CHAINS 128  /* of the other queues */

struct console_config {
    uint16_t columns, rows;
    uint32_t max_ports, emergency;
};

/* "Multiport Device Operation" */
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6, PORT_NAME = 7 };
struct control {
    uint32_t port;
    uint16_t event, value;
};
/* What the driver is to be told, in this order. */
enum { TELL_ADD = 1, TELL_NAME = 2, TELL_OPEN = 4 };

struct vcon {
    struct vcon_config config;
    char name[VCON_NAME_MAX];
    size_t name_bytes;
    struct console_config shown;
    struct virtio_device *vdev; /* while the driver runs */
    bool input_refused, turn_posted;
    bool is_open;  /* somebody in the guest reads */
    unsigned tell; /* TELL_* */
    bool sending;  /* `out` is a chain the other end has not taken all of */
    size_t sent;
    struct vq_chain out;
};

/* ---- what the guest writes ---- */

static size_t put(struct vcon *c, const uint8_t *bytes, size_t n) {
    const struct vm_stream_end *end = &c->config.end;
    return end->ops ? end->ops->write(end->end, bytes, n) : n;
}

/* One piece of the chain at hand; false when the other end has no room. */
static bool send_piece(struct vcon *c) {
    uint8_t piece[PIECE_BYTES];
    size_t n = vq_chain_read(&c->out, c->sent, piece, sizeof piece), taken = n ? put(c, piece, n) : 0;
    c->sent += taken;
    if (taken < n) return false;
    if (c->sent < c->out.out_bytes) return true;
    c->sending = false;
    vq_push(virtio_queue(c->vdev, TRANSMIT), &c->out, 0);
    return true;
}

/* Returns false when there may be more. */
static bool send(struct vcon *c) {
    struct vq *q = virtio_queue(c->vdev, TRANSMIT);
    unsigned left = TURN_PIECES;
    for (; left; left--) {
        if (!c->sending && vq_pop(q, &c->out) != VQ_CHAIN) break;
        if (!c->sending) c->sent = 0;
        c->sending = true;
        if (!send_piece(c)) break;
    }
    vq_interrupt(q);
    return left;
}

/* ---- what it reads ---- */

static void post_turn(struct vcon *c);

static size_t receive(void *device, const uint8_t *bytes, size_t n) {
    struct vcon *c = device;
    struct vq_chain chain;
    size_t taken = 0;
    if (!c->vdev || !c->is_open) {
        c->input_refused = true;
        return 0;
    }
    struct vq *q = virtio_queue(c->vdev, RECEIVE);
    unsigned left = TURN_CHAINS;
    for (; left && taken < n && vq_pop(q, &chain) == VQ_CHAIN; left--) {
        size_t part = vq_chain_write(&chain, 0, bytes + taken, n - taken);
        vq_push(q, &chain, (uint32_t)part);
        taken += part;
    }
    vq_interrupt(q);
    c->input_refused |= taken < n;
    if (!left) post_turn(c); /* nobody will notify: there may be more buffers */
    return taken;
}

static void want_input(struct vcon *c) {
    if (!c->input_refused || !c->is_open) return;
    c->input_refused = false;
    if (c->config.end.ops) c->config.end.ops->input_wanted(c->config.end.end);
}

/* ---- control messages, of a plain port ---- */

static void tell(struct vcon *c) {
    struct vq *q = virtio_queue(c->vdev, CONTROL_RECEIVE);
    struct vq_chain chain;
    while (c->tell && vq_pop(q, &chain) == VQ_CHAIN) {
        unsigned what = c->tell & -c->tell;
        struct control m = {.event = what == TELL_ADD    ? PORT_ADD
                                     : what == TELL_NAME ? PORT_NAME
                                                         : PORT_OPEN,
                            .value = 1};
        size_t n = vq_chain_write(&chain, 0, &m, sizeof m);
        if (what == TELL_NAME) n += vq_chain_write(&chain, sizeof m, c->name, c->name_bytes);
        vq_push(q, &chain, (uint32_t)n);
        c->tell &= ~what;
    }
    vq_interrupt(q);
}

static void hear(struct vcon *c, const struct control *m) {
    if (m->event == DEVICE_READY && m->value) c->tell |= TELL_ADD;
    if (m->port != 0) return;
    if (m->event == PORT_READY && m->value) c->tell |= TELL_NAME | TELL_OPEN;
    if (m->event == PORT_OPEN) c->is_open = m->value;
}

/* Returns false when there may be more. */
static bool hear_all(struct vcon *c) {
    struct vq *q = virtio_queue(c->vdev, CONTROL_TRANSMIT);
    struct vq_chain chain;
    struct control m;
    unsigned left = TURN_CHAINS;
    for (; left && vq_pop(q, &chain) == VQ_CHAIN; left--) {
        if (vq_chain_read(&chain, 0, &m, sizeof m) == sizeof m) hear(c, &m);
        vq_push(q, &chain, 0);
    }
    vq_interrupt(q);
    return left;
}

/* ---- turns ---- */

static void turn(void *context) {
    struct vcon *c = context;
    bool has_control = c->config.name, done = true;
    c->turn_posted = false;
    if (!c->vdev) return;
    if (has_control) done &= hear_all(c);
    if (has_control) tell(c);
    done &= send(c);
    want_input(c);
    if (!done) post_turn(c);
}

static void post_turn(struct vcon *c) {
    if (!c->turn_posted) c->turn_posted = !vm_loop_post(c->config.loop, turn, c);
}

static void turn_now(struct vcon *c) {
    if (!c->turn_posted) turn(c);
}

static void writable(void *device) { turn_now(device); }

/* ---- the device ---- */

static uint64_t features(void *dev) {
    return ((struct vcon *)dev)->config.name ? F_MULTIPORT : F_SIZE | F_EMERGENCY;
}

static void config_read(void *dev, uint32_t offset, void *data, unsigned n) {
    memcpy(data, (uint8_t *)&((struct vcon *)dev)->shown + offset, n);
}

/* A character before the driver has queues; the field is only ever written. */
static void config_write(void *dev, uint32_t offset, const void *data, unsigned n) {
    if (offset == offsetof(struct console_config, emergency) && n) put(dev, data, 1);
}

/* A driver that knows no ports takes a plain one for a console, which is always open. */
static void start(void *dev, struct virtio_device *vdev, uint64_t accepted) {
    struct vcon *c = dev;
    c->vdev = vdev;
    c->is_open = !(accepted & F_MULTIPORT);
}

static void notify(void *dev, unsigned queue) {
    struct vcon *c = dev;
    if (queue == RECEIVE)
        want_input(c);
    else
        turn_now(c);
}

static void reset(void *dev) {
    struct vcon *c = dev;
    c->vdev = NULL;
    c->sending = c->is_open = false;
    c->tell = 0;
}

static void console_free(void *dev) {
    struct vcon *c = dev;
    vm_loop_forget(c->config.loop, c);
    atoll_free(c->config.alloc, c, sizeof *c);
}

#define OPS(queues)                                                                                          \
    {                                                                                                        \
        .name = "virtio-console", .id = VIRTIO_CONSOLE, .n_queues = (queues), .queue_size_max = 128,         \
        .config_bytes = sizeof(struct console_config), .features = features, .config_read = config_read,     \
        .config_write = config_write, .start = start, .notify = notify, .reset = reset, .free = console_free \
    }
static const struct virtio_ops console_ops = OPS(CONTROL_RECEIVE), port_ops = OPS(N_QUEUES);

enum atoll_status vcon_new(const struct vcon_config *config, const struct virtio_ops **out_ops,
                           struct vcon **out, struct atoll_error *err) {
    struct vcon *c = atoll_new(config->alloc, 1, sizeof *c);
    if (!c) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "virtio-console: out of memory");
    c->config = *config;
    c->shown = (struct console_config){config->columns, config->rows, 1, 0};
    if (config->name) c->name_bytes = strnlen(config->name, sizeof c->name);
    if (config->name) memcpy(c->name, config->name, c->name_bytes);
    *out_ops = config->name ? &port_ops : &console_ops;
    *out = c;
    return ATOLL_OK;
}

static void resize(void *device, uint16_t columns, uint16_t rows) {
    struct vcon *c = device;
    c->shown.columns = columns;
    c->shown.rows = rows;
    if (c->vdev) virtio_config_changed(c->vdev);
}

static const struct vm_stream_device_ops stream_ops = {receive, writable, resize};

struct vm_stream_device vcon_stream(struct vcon *c) {
    return (struct vm_stream_device){&stream_ops, c};
}
