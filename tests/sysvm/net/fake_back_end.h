/* tests/sysvm/net/fake_back_end.h: a back end in a test's hand, behind a network card with a fake driver. */
#ifndef ATOLL_TESTS_FAKE_BACK_END_H
#define ATOLL_TESTS_FAKE_BACK_END_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sysvm/loop.h"
#include "sysvm/net/internal.h"
#include "sysvm/net/virtio_net.h"
#include "tests/sysvm/fake_driver.h"

struct fake_back_end {
    struct vnet net;
    bool busy;    /* sends are put off */
    bool answers; /* a frame comes back before a send returns, as libslirp does it */
    unsigned n_sent, n_ready;
    uint32_t offloads;
    struct vnet_header header; /* of the last frame */
    size_t n_bytes;
    uint8_t bytes[VNET_FRAME_MAX];
};

static inline int fake_send(void *backend, const struct vnet_header *header, const struct iovec *iov,
                            int n_iov) {
    struct fake_back_end *b = backend;
    if (b->busy) return EAGAIN;
    b->n_sent++;
    b->header = *header;
    b->n_bytes = 0;
    for (int i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > sizeof b->bytes - b->n_bytes) abort(); /* the card has checked it */
        memcpy(b->bytes + b->n_bytes, iov[i].iov_base, iov[i].iov_len);
        b->n_bytes += iov[i].iov_len;
    }
    if (b->answers)
        b->net.config.receive(b->net.config.context, &(struct vnet_header){0}, b->bytes, b->n_bytes);
    return 0;
}
static inline void fake_set_offloads(void *backend, uint32_t offloads) {
    ((struct fake_back_end *)backend)->offloads = offloads;
}
static inline void fake_receive_ready(void *backend) { ((struct fake_back_end *)backend)->n_ready++; }
static inline void fake_close(void *backend) { (void)backend; }

static const struct vnet_ops fake_back_end_ops = {.name = "fake",
                                                  .offloads = 0xFF,
                                                  .send = fake_send,
                                                  .set_offloads = fake_set_offloads,
                                                  .receive_ready = fake_receive_ready,
                                                  .close = fake_close};

static struct fake_back_end *fake_back_end_made; /* by the last open */

static inline enum atoll_status fake_back_end_open(const struct vnet_config *config, struct vnet **out,
                                                   struct atoll_error *err) {
    (void)err;
    /* vnet_close frees as much as it knows of; the C library knows the rest. */
    struct fake_back_end *b = calloc(1, sizeof *b);
    b->net = (struct vnet){.config = *config, .ops = &fake_back_end_ops, .backend = b};
    *out = &b->net;
    fake_back_end_made = b;
    return ATOLL_OK;
}

/* A frame from outside; false: no room. */
static inline bool fake_back_end_frame(struct fake_back_end *b, const struct vnet_header *header,
                                       const void *frame, size_t n_bytes) {
    bool taken = b->net.config.receive(b->net.config.context, header, frame, n_bytes);
    b->net.config.received(b->net.config.context);
    return taken;
}

#endif
