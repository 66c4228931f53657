/* sysvm/dev/virtio/virtio.h: what a virtio device sees: a table of functions to fill, and queues to serve.
 *
 *   driver in the guest -> transport (sysvm/dev/pci, or a test) -> struct virtio_device -> struct virtio_ops
 *                                                                        struct vq  <-> guest memory
 *
 * Every descriptor, length, address and index comes from the guest and may change at any moment: the queue
 * copies each once, checks the copy, and gives a device nothing but host ranges that are guest RAM.
 *
 * All functions are called under the machine lock (sysvm/loop.h). The bytes of a popped chain may be read and
 * written by a worker thread without it, until the chain is pushed: RAM stays mapped as long as the machine
 * lives. What a chain says is the guest's, and may change between two reads: copy once, then check.
 *
 * source  virtio 1.2: "Basic Facilities of a Virtio Device", "Split Virtqueues" */
#ifndef ATOLL_SYSVM_VIRTIO_H
#define ATOLL_SYSVM_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VQ_MAX_SEGMENTS                                                                                      \
    256 /* of one chain; what a device tells as seg_max has to leave room for its header */
#define VQ_MAX_SIZE       1024 /* the most a device may offer as queue_size_max */
#define VIRTIO_MAX_QUEUES 64

/* Feature bits of no particular device. The transport's half offers the three, a device does not. */
#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX     (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1     (UINT64_C(1) << 32)

/* Device ids of the specification. */
enum virtio_id {
    VIRTIO_NET = 1,
    VIRTIO_BLOCK = 2,
    VIRTIO_CONSOLE = 3,
    VIRTIO_RNG = 4,
    VIRTIO_BALLOON = 5,
    VIRTIO_VSOCK = 19,
    VIRTIO_FS = 26
};

struct virtio_device; /* status, features, queues of one device; owned by the transport */
struct vq;            /* one queue: split ring, indirect descriptors, event index */

/* A kind of device. `dev` is what its constructor made. */
struct virtio_ops {
    const char *name;                  /* "virtio-blk": for messages */
    uint16_t id;                       /* enum virtio_id */
    uint16_t n_queues, queue_size_max; /* size: a power of two, at most VQ_MAX_SIZE */
    uint32_t config_bytes;
    /* What the device offers, but for the bits above. Does not change. */
    uint64_t (*features)(void *dev);
    /* The device's configuration; any offset and width, offset + n <= config_bytes. config_write may be NULL:
     * all of it is read-only. */
    void (*config_read)(void *dev, uint32_t offset, void *data, unsigned n);
    void (*config_write)(void *dev, uint32_t offset, const void *data, unsigned n);
    /* The driver is ready (DRIVER_OK) and has accepted `features`. */
    void (*start)(void *dev, struct virtio_device *vdev, uint64_t features);
    /* The driver says that `queue` has something; on the loop thread, never before start. */
    void (*notify)(void *dev, unsigned queue);
    /* Back to the state before start: forget all chains. What is pushed of them later is dropped. Called for
     * devices that never started, too. */
    void (*reset)(void *dev);
    void (*free)(void *dev); /* with the transport; after reset */
};

/* One request: what the driver wants read (out) and written (in), in its order. */
struct vq_chain {
    uint16_t head;
    uint32_t generation;
    uint16_t n_out, n_in; /* segments; empty ones are left out */
    uint64_t out_bytes, in_bytes;
    struct iovec iov[VQ_MAX_SEGMENTS]; /* n_out to read from, then n_in to write to; guest RAM */
};

enum vq_result {
    VQ_CHAIN,
    VQ_EMPTY, /* and the driver will notify when that changes */
    VQ_BROKEN /* the ring is nonsense: the device now says NEEDS_RESET, nothing more comes until it is reset */
};

/* Takes the next chain. A queue that is not enabled, or a device that has not started, is empty. At most as many
 * chains are out as the queue has entries: a driver that offers more is broken. */
enum vq_result vq_pop(struct vq *q, struct vq_chain *out);
/* Gives the chain that the last vq_pop of this queue returned back, to be popped again; then, if need be, the one
 * before it, and so on. */
void vq_unpop(struct vq *q, const struct vq_chain *chain);
/* Tells the driver that a chain is done and how many bytes of its in part, from its start, were written (more
 * than there are counts as all). Any order. Dropped if the device was reset since the pop. Then, when done with
 * a batch: vq_interrupt. */
void vq_push(struct vq *q, const struct vq_chain *chain, uint32_t written_bytes);
/* Interrupts the driver if something was pushed since the last time and the driver wants to know. */
void vq_interrupt(struct vq *q);
/* Something in a request shows that the driver is out of its mind, and the device has no other way to say it:
 * as VQ_BROKEN. */
void vq_broken(struct vq *q);

/* index < n_queues. The queues live as long as the device. */
struct vq *virtio_queue(struct virtio_device *vdev, unsigned index);
/* The configuration the driver sees has changed: new generation, and an interrupt. */
void virtio_config_changed(struct virtio_device *vdev);

/* Copies up to n bytes, from `offset` of the out part; returns how many there were. */
size_t vq_chain_read(const struct vq_chain *chain, size_t offset, void *out, size_t n);
/* Copies up to n bytes to `offset` of the in part; returns how many fitted. */
size_t vq_chain_write(const struct vq_chain *chain, size_t offset, const void *bytes, size_t n);

#endif
