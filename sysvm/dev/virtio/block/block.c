/* sysvm/dev/virtio/block/block.c: see block.h.
 *
 *   out: u32 type, u32 reserved, u64 sector | data to write, or ranges to discard
 *   in:                                       data to read, or the serial number | u8 status */
#include <errno.h>
#include <string.h>
#include "sysvm/dev/virtio/block/block.h"
#include "sysvm/image/queue.h"

enum { SECTOR = 512, HEADER_BYTES = 16, RANGE_BYTES = 16, SERIAL_BYTES = 20, CONFIG_BYTES = 60 };
enum type { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum status { S_OK, S_IOERR, S_UNSUPP };

#define F_SEG_MAX      (UINT64_C(1) << 2)
#define F_RO           (UINT64_C(1) << 5)
#define F_BLK_SIZE     (UINT64_C(1) << 6)
#define F_FLUSH        (UINT64_C(1) << 9)
#define F_DISCARD      (UINT64_C(1) << 13)
#define F_WRITE_ZEROES (UINT64_C(1) << 14)

/* One request names at most 2 GiB to clear: what it costs the host has a bound. */
#define CLEAR_SECTORS_MAX (UINT32_C(1) << 22)
#define SEGMENTS_MAX      (VQ_MAX_SEGMENTS - 2) /* without header and status */

struct vblk;
struct request {
    struct img_request img; /* first: `done` gets this one */
    struct vblk *dev;
    struct request *next; /* while free */
    enum type type;
    uint8_t *status; /* in guest memory */
    uint32_t written;
    unsigned n_ranges, at_range;
    uint8_t ranges[VBLK_RANGES_MAX * RANGE_BYTES]; /* the copy that was checked */
    struct vq_chain chain;
};

struct vblk {
    struct vblk_config config;
    struct img_queue *queue;
    struct virtio_device *vdev; /* while the driver runs */
    uint64_t accepted;
    uint64_t n_sectors;
    char serial[SERIAL_BYTES];
    struct request *unused;
    unsigned n_requests; /* made so far */
    bool resetting;      /* what ends now is told to nobody */
};

static uint32_t get32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}
static uint64_t get64(const uint8_t *at) { return get32(at) | (uint64_t)get32(at + 4) << 32; }
static void put32(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(v >> 8 * i);
}

/* ---- a request's end ---- */

static void recycle(struct vblk *d, struct request *r) {
    r->next = d->unused;
    d->unused = r;
}

static void end(struct request *r, enum status status) {
    struct vblk *d = r->dev;
    if (!d->resetting) {
        *r->status = (uint8_t)status;
        vq_push(virtio_queue(d->vdev, 0), &r->chain, r->written);
    }
    recycle(d, r);
}

static enum status status_of(int error) { return !error ? S_OK : error == EOPNOTSUPP ? S_UNSUPP : S_IOERR; }

/* ---- clearing: one range after the other ---- */

static bool range_ok(const struct vblk *d, const struct request *r, unsigned i, enum status *out) {
    const uint8_t *range = r->ranges + i * RANGE_BYTES;
    uint64_t sector = get64(range), n = get32(range + 8), flags = get32(range + 12);
    *out = S_UNSUPP; /* flags that mean nothing here */
    if (flags & ~UINT64_C(1) || (r->type == T_DISCARD && flags)) return false;
    *out = S_IOERR;
    return n <= CLEAR_SECTORS_MAX && sector <= d->n_sectors && n <= d->n_sectors - sector;
}

static void clear_next(struct request *r) {
    const uint8_t *range = r->ranges + r->at_range++ * RANGE_BYTES;
    r->img.op = r->type == T_DISCARD ? IMG_DISCARD : get32(range + 12) & 1 ? IMG_ZERO_UNMAP : IMG_ZERO;
    r->img.offset = get64(range) * SECTOR;
    r->img.n_bytes = (uint64_t)get32(range + 8) * SECTOR;
    img_submit(r->dev->queue, &r->img);
}

/* ---- the image's answer ---- */

static bool is_change(enum type type) { return type == T_OUT || type == T_DISCARD || type == T_WRITE_ZEROES; }

static void on_done(struct img_request *img, int error) {
    struct request *r = (struct request *)img;
    struct vblk *d = r->dev;
    if (!error && r->at_range < r->n_ranges && !d->resetting) {
        clear_next(r);
        return;
    }
    /* A driver that knows no flush takes a write's end for the bytes being safe. */
    if (!error && is_change(r->type) && r->img.op != IMG_FLUSH && !(d->accepted & F_FLUSH) && !d->resetting) {
        r->img.op = IMG_FLUSH;
        img_submit(d->queue, img);
        return;
    }
    if (r->type == T_IN && !error) r->written = (uint32_t)(r->img.n_bytes + 1);
    end(r, status_of(error));
}

/* ---- a request's begin ---- */

/* The data of a read or write: the chain without header and status, in place. */
static void set_data(struct request *r) {
    struct vq_chain *c = &r->chain;
    struct iovec *iov = c->iov;
    unsigned first = 0, n = c->n_out;
    if (r->type == T_IN) {
        iov = c->iov + c->n_out;
        n = c->n_in;
        iov[n - 1].iov_len--; /* the status */
        if (!iov[n - 1].iov_len) n--;
    } else {
        size_t skip = HEADER_BYTES;
        for (; first < n && skip >= iov[first].iov_len; first++) skip -= iov[first].iov_len;
        if (first < n) {
            iov[first].iov_base = (char *)iov[first].iov_base + skip;
            iov[first].iov_len -= skip;
        }
    }
    r->img.iov = iov + first;
    r->img.n_iov = (int)(n - first);
}

static void begin_data(struct request *r, uint64_t sector) {
    struct vblk *d = r->dev;
    uint64_t n = r->type == T_IN ? r->chain.in_bytes - 1 : r->chain.out_bytes - HEADER_BYTES;
    bool fits = sector <= d->n_sectors && n / SECTOR <= d->n_sectors - sector;
    /* written bytes are told in 32 bits */
    if (n % SECTOR || !fits || n >= UINT32_MAX || (r->type == T_OUT && img_readonly(d->config.img))) {
        end(r, S_IOERR);
        return;
    }
    set_data(r);
    r->img.op = r->type == T_IN ? IMG_READ : IMG_WRITE;
    r->img.offset = sector * SECTOR;
    r->img.n_bytes = n;
    img_submit(d->queue, &r->img);
}

static void begin_clear(struct request *r) {
    struct vblk *d = r->dev;
    uint64_t n = r->chain.out_bytes - HEADER_BYTES;
    enum status why = S_IOERR;
    bool ok = n && n % RANGE_BYTES == 0 && n <= sizeof r->ranges && !img_readonly(d->config.img);
    if (ok) ok = vq_chain_read(&r->chain, HEADER_BYTES, r->ranges, (size_t)n) == n;
    r->n_ranges = ok ? (unsigned)(n / RANGE_BYTES) : 0;
    for (unsigned i = 0; ok && i < r->n_ranges; i++) ok = range_ok(d, r, i, &why);
    if (ok && r->type == T_DISCARD && !img_can_discard(d->config.img)) ok = false, why = S_UNSUPP;
    if (!ok) {
        r->n_ranges = 0;
        end(r, why);
        return;
    }
    clear_next(r);
}

static void begin_flush(struct request *r) {
    r->img.op = IMG_FLUSH;
    r->img.offset = r->img.n_bytes = 0;
    img_submit(r->dev->queue, &r->img);
}

static void get_id(struct request *r) {
    uint64_t room = r->chain.in_bytes - 1;
    size_t n = room < SERIAL_BYTES ? (size_t)room : SERIAL_BYTES;
    r->written = (uint32_t)vq_chain_write(&r->chain, 0, r->dev->serial, n) + 1;
    end(r, S_OK);
}

static void begin(struct request *r) {
    uint8_t header[HEADER_BYTES];
    if (vq_chain_read(&r->chain, 0, header, sizeof header) < sizeof header) {
        end(r, S_IOERR);
        return;
    }
    r->type = (enum type)get32(header);
    switch (get32(header)) {
    case T_IN:
    case T_OUT: begin_data(r, get64(header + 8)); break;
    case T_FLUSH: begin_flush(r); break;
    case T_GET_ID: get_id(r); break;
    case T_DISCARD:
    case T_WRITE_ZEROES: begin_clear(r); break;
    default: end(r, S_UNSUPP);
    }
}

/* ---- the queue ---- */

/* NULL: as many are under way as may be, or there is no memory; ends make room. */
static struct request *get_request(struct vblk *d) {
    struct request *r = d->unused;
    if (r) {
        d->unused = r->next;
        return r;
    }
    if (d->n_requests == VBLK_REQUESTS_MAX) return NULL;
    if ((r = atoll_new(d->config.alloc, 1, sizeof *r))) d->n_requests++;
    return r;
}

static void serve(struct vblk *d) {
    struct vq *q = virtio_queue(d->vdev, 0);
    for (struct request *r; (r = get_request(d));) {
        if (vq_pop(q, &r->chain) != VQ_CHAIN) {
            recycle(d, r);
            break;
        }
        if (!r->chain.in_bytes) { /* no place for a status */
            recycle(d, r);
            vq_broken(q);
            break;
        }
        const struct iovec *last = &r->chain.iov[r->chain.n_out + r->chain.n_in - 1];
        r->dev = d;
        r->status = (uint8_t *)last->iov_base + last->iov_len - 1;
        r->written = 1;
        r->n_ranges = r->at_range = 0;
        r->img.done = on_done;
        begin(r);
    }
    img_submit_batch(d->queue);
}

static void batch_done(void *context) {
    struct vblk *d = context;
    if (!d->vdev || d->resetting) return;
    serve(d);
    vq_interrupt(virtio_queue(d->vdev, 0));
}

/* ---- the device ---- */

static uint64_t features(void *dev) {
    const struct img *img = ((struct vblk *)dev)->config.img;
    uint64_t offered = F_SEG_MAX | F_BLK_SIZE | F_FLUSH;
    if (img_readonly(img)) return offered | F_RO;
    return offered | F_WRITE_ZEROES | (img_can_discard(img) ? F_DISCARD : 0);
}

static void config_read(void *dev, uint32_t offset, void *data, unsigned n) {
    const struct vblk *d = dev;
    uint8_t config[CONFIG_BYTES] = {0};
    put32(config, (uint32_t)d->n_sectors);
    put32(config + 4, (uint32_t)(d->n_sectors >> 32));
    put32(config + 12, SEGMENTS_MAX);
    put32(config + 20, img_block_bytes(d->config.img));
    put32(config + 36, CLEAR_SECTORS_MAX);
    put32(config + 40, VBLK_RANGES_MAX);
    put32(config + 44, img_discard_bytes(d->config.img) / SECTOR);
    put32(config + 48, CLEAR_SECTORS_MAX);
    put32(config + 52, VBLK_RANGES_MAX);
    config[56] = 1; /* zeroes may be unmapped */
    memcpy(data, config + offset, n);
}

static void start(void *dev, struct virtio_device *vdev, uint64_t accepted) {
    struct vblk *d = dev;
    d->vdev = vdev;
    d->accepted = accepted;
}

static void notify(void *dev, unsigned queue) {
    struct vblk *d = dev;
    (void)queue;
    if (!d->vdev) return;
    serve(d);
    vq_interrupt(virtio_queue(d->vdev, 0));
}

/* What is under way reads and writes the guest's memory, which the guest uses for something else as soon as
 * this returns. So it is waited for, which is as long as the host's disk takes. */
static void reset(void *dev) {
    struct vblk *d = dev;
    d->resetting = true;
    img_queue_drain(d->queue);
    d->resetting = false;
    d->vdev = NULL;
}

static void blk_free(void *dev) {
    struct vblk *d = dev;
    d->resetting = true;
    img_queue_free(d->queue);
    while (d->unused) {
        struct request *r = d->unused;
        d->unused = r->next;
        atoll_free(d->config.alloc, r, sizeof *r);
    }
    atoll_free(d->config.alloc, d, sizeof *d);
}

static const struct virtio_ops ops = {
    .name = "virtio-blk",
    .id = VIRTIO_BLOCK,
    .n_queues = 1,
    .queue_size_max = 256,
    .config_bytes = CONFIG_BYTES,
    .features = features,
    .config_read = config_read,
    .start = start,
    .notify = notify,
    .reset = reset,
    .free = blk_free,
};

enum atoll_status vblk_new(const struct vblk_config *config, const struct virtio_ops **out_ops,
                           void **out_dev, struct atoll_error *err) {
    struct vblk *d = atoll_new(config->alloc, 1, sizeof *d);
    if (!d) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "virtio-blk: out of memory");
    d->config = *config;
    d->n_sectors = img_size(config->img) / SECTOR;
    if (config->serial) memcpy(d->serial, config->serial, strnlen(config->serial, SERIAL_BYTES));
    struct img_queue_config queue = {.alloc = config->alloc,
                                     .loop = config->loop,
                                     .sandbox = config->sandbox,
                                     .img = config->img,
                                     .name = config->name,
                                     .no_uring = config->no_uring,
                                     .batch_done = batch_done,
                                     .context = d};
    enum atoll_status status = img_queue_new(&queue, &d->queue, err);
    if (status) {
        atoll_free(config->alloc, d, sizeof *d);
        return status;
    }
    *out_ops = &ops;
    *out_dev = d;
    return ATOLL_OK;
}
