/* sysvm/dev/virtio/rng.c: see rng.h. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "sysvm/dev/virtio/rng.h"

#define TURN_CHAINS 32 /* then others have their turn */

struct vrng {
    struct vrng_config config;
    struct virtio_device *vdev; /* while the driver runs */
    bool turn_posted;
};

/* 0 or an errno */
static int fill(struct vrng *r, uint8_t *bytes, size_t n) {
    struct sb_request request = {.kind = SB_RANDOM, .numbers = {n, SB_ABSENT}};
    int error = sb_ask(r->config.sandbox, &request);
    if (error) return error;
    for (size_t done = 0; !error && done < n;) {
        ssize_t got = getrandom(bytes + done, n - done, 0);
        if (got > 0) done += (size_t)got;
        if (got < 0 && errno != EINTR) error = errno;
    }
    return sb_answer(r->config.sandbox, &request, error, n);
}

static void serve(struct vrng *r, struct vq *q, const struct vq_chain *chain) {
    uint8_t bytes[VRNG_MAX_BYTES];
    size_t n = chain->in_bytes < sizeof bytes ? (size_t)chain->in_bytes : sizeof bytes;
    if (n && fill(r, bytes, n)) n = 0;
    vq_push(q, chain, (uint32_t)vq_chain_write(chain, 0, bytes, n));
}

static void turn(void *context) {
    struct vrng *r = context;
    struct vq_chain chain;
    r->turn_posted = false;
    if (!r->vdev) return;
    struct vq *q = virtio_queue(r->vdev, 0);
    unsigned left = TURN_CHAINS;
    for (; left && vq_pop(q, &chain) == VQ_CHAIN; left--) serve(r, q, &chain);
    vq_interrupt(q);
    if (!left) r->turn_posted = !vm_loop_post(r->config.loop, turn, r);
}

static uint64_t features(void *dev) {
    (void)dev;
    return 0;
}

static void start(void *dev, struct virtio_device *vdev, uint64_t accepted) {
    (void)accepted;
    ((struct vrng *)dev)->vdev = vdev;
}

static void notify(void *dev, unsigned queue) {
    struct vrng *r = dev;
    (void)queue;
    if (!r->turn_posted) turn(r);
}

static void reset(void *dev) { ((struct vrng *)dev)->vdev = NULL; }

static void rng_free(void *dev) {
    struct vrng *r = dev;
    vm_loop_forget(r->config.loop, r);
    atoll_free(r->config.alloc, r, sizeof *r);
}

static const struct virtio_ops ops = {.name = "virtio-rng",
                                      .id = VIRTIO_RNG,
                                      .n_queues = 1,
                                      .queue_size_max = 64,
                                      .features = features,
                                      .start = start,
                                      .notify = notify,
                                      .reset = reset,
                                      .free = rng_free};

enum atoll_status vrng_new(const struct vrng_config *config, const struct virtio_ops **out_ops,
                           void **out_dev, struct atoll_error *err) {
    struct vrng *r = atoll_new(config->alloc, 1, sizeof *r);
    if (!r) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "virtio-rng: out of memory");
    r->config = *config;
    *out_ops = &ops;
    *out_dev = r;
    return ATOLL_OK;
}
