/* sysvm/dev/virtio/console.c: see console.h. What the guest sends is copied before the other end sees it. A turn
 * moves a bounded number of bytes and chains, then others have theirs: a guest's lengths cost no more than that. */
#include <errno.h>
#include <string.h>
#include "sysvm/dev/virtio/console.h"

enum { RECEIVE, TRANSMIT, N_QUEUES };
#define F_SIZE      (UINT64_C(1) << 0)
#define F_EMERGENCY (UINT64_C(1) << 2)

#define PIECE_BYTES 4096 /* copied at once */
#define TURN_PIECES 8    /* pieces or chains of a turn */

struct console_config {
    uint16_t columns, rows;
    uint32_t max_ports, emergency;
};

struct vcon {
    struct vcon_config config;
    struct console_config shown;
    struct virtio_device *vdev; /* while the driver runs */
    bool input_refused, turn_posted;
    bool sending; /* `out` is a chain the other end has not taken all of */
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

static void send(void *context) {
    struct vcon *c = context;
    c->turn_posted = false;
    if (!c->vdev) return;
    struct vq *q = virtio_queue(c->vdev, TRANSMIT);
    unsigned left = TURN_PIECES;
    for (; left; left--) {
        if (!c->sending && vq_pop(q, &c->out) != VQ_CHAIN) break;
        if (!c->sending) c->sent = 0;
        c->sending = true;
        if (!send_piece(c)) break;
    }
    vq_interrupt(q);
    if (!left && !c->turn_posted) c->turn_posted = !vm_loop_post(c->config.loop, send, c);
}

static void writable(void *device) {
    struct vcon *c = device;
    if (!c->turn_posted) send(c);
}

/* ---- what it reads ---- */

static size_t receive(void *device, const uint8_t *bytes, size_t n) {
    struct vcon *c = device;
    struct vq_chain chain;
    size_t taken = 0;
    if (!c->vdev) {
        c->input_refused = true;
        return 0;
    }
    struct vq *q = virtio_queue(c->vdev, RECEIVE);
    for (unsigned left = TURN_PIECES; left && taken < n && vq_pop(q, &chain) == VQ_CHAIN; left--) {
        size_t part = vq_chain_write(&chain, 0, bytes + taken, n - taken);
        vq_push(q, &chain, (uint32_t)part);
        taken += part;
    }
    vq_interrupt(q);
    if (taken < n) c->input_refused = true;
    return taken;
}

static void want_input(struct vcon *c) {
    if (!c->input_refused) return;
    c->input_refused = false;
    if (c->config.end.ops) c->config.end.ops->input_wanted(c->config.end.end);
}

/* ---- the device ---- */

static uint64_t features(void *dev) {
    (void)dev;
    return F_SIZE | F_EMERGENCY;
}

static void config_read(void *dev, uint32_t offset, void *data, unsigned n) {
    memcpy(data, (uint8_t *)&((struct vcon *)dev)->shown + offset, n);
}

/* A character before the driver has queues; the field is only ever written. */
static void config_write(void *dev, uint32_t offset, const void *data, unsigned n) {
    if (offset == offsetof(struct console_config, emergency) && n) put(dev, data, 1);
}

static void start(void *dev, struct virtio_device *vdev, uint64_t accepted) {
    (void)accepted;
    ((struct vcon *)dev)->vdev = vdev;
}

static void notify(void *dev, unsigned queue) {
    if (queue == RECEIVE)
        want_input(dev);
    else
        writable(dev);
}

static void reset(void *dev) {
    struct vcon *c = dev;
    c->vdev = NULL;
    c->sending = false;
}

static void console_free(void *dev) {
    struct vcon *c = dev;
    vm_loop_forget(c->config.loop, c);
    atoll_free(c->config.alloc, c, sizeof *c);
}

static const struct virtio_ops ops = {.name = "virtio-console",
                                      .id = VIRTIO_CONSOLE,
                                      .n_queues = N_QUEUES,
                                      .queue_size_max = 128,
                                      .config_bytes = sizeof(struct console_config),
                                      .features = features,
                                      .config_read = config_read,
                                      .config_write = config_write,
                                      .start = start,
                                      .notify = notify,
                                      .reset = reset,
                                      .free = console_free};

enum atoll_status vcon_new(const struct vcon_config *config, const struct virtio_ops **out_ops,
                           struct vcon **out, struct atoll_error *err) {
    struct vcon *c = atoll_new(config->alloc, 1, sizeof *c);
    if (!c) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "virtio-console: out of memory");
    c->config = *config;
    c->shown = (struct console_config){config->columns, config->rows, 1, 0};
    *out_ops = &ops;
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
