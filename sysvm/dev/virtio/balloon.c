/* sysvm/dev/virtio/balloon.c: see balloon.h. A guest can take no memory but its own from itself. A chain is looked
 * at up to a limit and a turn has few chains, so that lengths cost no more than that. */
#include <string.h>
#include "sysvm/dev/virtio/balloon.h"

/* Optional queues that are not offered have no number: reporting follows deflate. */
enum { INFLATE, DEFLATE, REPORTING, N_QUEUES };
#define F_DEFLATE_ON_OOM (UINT64_C(1) << 2)
#define F_REPORTING      (UINT64_C(1) << 5)

#define MAX_PAGES   1024 /* of a chain; Linux sends 256 */
#define TURN_CHAINS 8

struct balloon_config {
    uint32_t n_pages, actual;
};

struct vballoon {
    struct vballoon_config config;
    struct balloon_config shown;
    struct virtio_device *vdev; /* while the driver runs */
    bool turn_posted;
    uint64_t returned_bytes;
};

/* ---- giving back ---- */

/* The whole pages of a piece of RAM. */
static void give_back(struct vballoon *b, const uint8_t *host, uint64_t n_bytes) {
    const struct vm_ram *ranges;
    size_t n = vm_memory_ranges(b->config.memory, &ranges);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *base = ranges[i].host;
        if (host < base || host >= base + ranges[i].size_bytes) continue;
        uint64_t first = (uint64_t)(host - base), end = first + n_bytes;
        first = (first + VBALLOON_PAGE - 1) & ~(VBALLOON_PAGE - 1);
        end &= ~(VBALLOON_PAGE - 1);
        if (end > first && vm_memory_give_back(b->config.memory, ranges[i].offset + first, end - first))
            b->returned_bytes += end - first;
        return;
    }
}

/* Page numbers are 32 bits; neighbours go together. */
static void inflate(struct vballoon *b, const struct vq_chain *chain) {
    uint32_t pages[256];
    for (size_t from = 0; from < MAX_PAGES * sizeof *pages; from += sizeof pages) {
        size_t n = vq_chain_read(chain, from, pages, sizeof pages) / sizeof *pages;
        for (size_t i = 0, run; i < n; i += run) {
            for (run = 1; i + run < n && pages[i + run] == (uint64_t)pages[i] + run; run++) continue;
            uint64_t n_bytes = run * VBALLOON_PAGE;
            const uint8_t *host = vm_memory_at(b->config.memory, pages[i] * VBALLOON_PAGE, n_bytes);
            if (host) give_back(b, host, n_bytes);
        }
        if (n < sizeof pages / sizeof *pages) return;
    }
}

/* The buffers are the pages: what the device "writes" is that they are gone. */
static void report(struct vballoon *b, const struct vq_chain *chain) {
    for (unsigned i = 0; i < chain->n_in; i++) {
        const struct iovec *pages = &chain->iov[chain->n_out + i];
        give_back(b, pages->iov_base, pages->iov_len);
    }
}

/* Returns false when there may be more. */
static bool serve(struct vballoon *b, unsigned queue) {
    struct vq *q = virtio_queue(b->vdev, queue);
    struct vq_chain chain;
    unsigned left = TURN_CHAINS;
    for (; left && vq_pop(q, &chain) == VQ_CHAIN; left--) {
        if (queue == INFLATE) inflate(b, &chain);
        if (queue == REPORTING) report(b, &chain);
        vq_push(q, &chain, 0);
    }
    vq_interrupt(q);
    return left;
}

static void turn(void *context) {
    struct vballoon *b = context;
    bool done = true;
    b->turn_posted = false;
    if (!b->vdev) return;
    for (unsigned queue = 0; queue < N_QUEUES; queue++) done &= serve(b, queue);
    if (!done) b->turn_posted = !vm_loop_post(b->config.loop, turn, b);
}

/* ---- the device ---- */

static uint64_t features(void *dev) {
    (void)dev;
    return F_DEFLATE_ON_OOM | F_REPORTING;
}

static void config_read(void *dev, uint32_t offset, void *data, unsigned n) {
    memcpy(data, (uint8_t *)&((struct vballoon *)dev)->shown + offset, n);
}

static void config_write(void *dev, uint32_t offset, const void *data, unsigned n) {
    struct vballoon *b = dev;
    if (offset == offsetof(struct balloon_config, actual) && n == sizeof b->shown.actual)
        memcpy(&b->shown.actual, data, n);
}

static void start(void *dev, struct virtio_device *vdev, uint64_t accepted) {
    (void)accepted;
    ((struct vballoon *)dev)->vdev = vdev;
}

static void notify(void *dev, unsigned queue) {
    struct vballoon *b = dev;
    (void)queue;
    if (!b->turn_posted) turn(b);
}

static void reset(void *dev) {
    struct vballoon *b = dev;
    b->vdev = NULL;
    b->shown.actual = 0;
}

static void balloon_free(void *dev) {
    struct vballoon *b = dev;
    vm_loop_forget(b->config.loop, b);
    atoll_free(b->config.alloc, b, sizeof *b);
}

static const struct virtio_ops ops = {.name = "virtio-balloon",
                                      .id = VIRTIO_BALLOON,
                                      .n_queues = N_QUEUES,
                                      .queue_size_max = 128,
                                      .config_bytes = sizeof(struct balloon_config),
                                      .features = features,
                                      .config_read = config_read,
                                      .config_write = config_write,
                                      .start = start,
                                      .notify = notify,
                                      .reset = reset,
                                      .free = balloon_free};

enum atoll_status vballoon_new(const struct vballoon_config *config, const struct virtio_ops **out_ops,
                               struct vballoon **out, struct atoll_error *err) {
    struct vballoon *b = atoll_new(config->alloc, 1, sizeof *b);
    if (!b) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "virtio-balloon: out of memory");
    b->config = *config;
    *out_ops = &ops;
    *out = b;
    return ATOLL_OK;
}

void vballoon_set_target(struct vballoon *b, uint32_t n_pages) {
    b->shown.n_pages = n_pages;
    if (b->vdev) virtio_config_changed(b->vdev);
}

uint32_t vballoon_actual(const struct vballoon *b) { return b->shown.actual; }
uint64_t vballoon_returned_bytes(const struct vballoon *b) { return b->returned_bytes; }
