/* sysvm/dev/virtio/internal.h: what queue.c and device.c share. */
#ifndef ATOLL_SYSVM_VIRTIO_INTERNAL_H
#define ATOLL_SYSVM_VIRTIO_INTERNAL_H

#include <string.h>
#include "sysvm/dev/virtio/transport.h"

struct vq {
    struct virtio_device *vdev;
    unsigned index;
    struct vq_registers registers;
    /* Where the rings are, translated when the queue was enabled; they cannot move before a reset. */
    const uint8_t *descriptors;
    uint8_t *available, *used;
    uint16_t next_available, next_used; /* ours: the driver's copy of an index is never believed */
    uint16_t last_interrupt;            /* next_used when the driver was told last */
    uint16_t in_flight;                 /* popped and not pushed */
    uint32_t generation;                /* counts resets */
    bool kicked;                        /* notified before DRIVER_OK */
};

struct virtio_device {
    const struct atoll_alloc *alloc;
    const struct vm_memory *memory;
    const struct virtio_ops *ops;
    void *dev;
    const struct virtio_transport_ops *transport_ops;
    void *transport;
    uint8_t status, config_generation;
    uint64_t driver_features;
    struct vq queues[];
};

/* Pops may happen: DRIVER_OK, and the device is not broken. */
static inline bool virtio_runs(const struct virtio_device *vdev) {
    return (vdev->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK;
}

/* Off, with a new generation. */
void vq_reset(struct vq *q);
/* Translates the rings; false when one is not RAM or not aligned. */
bool vq_enable(struct vq *q);
/* The driver has to reset the device before anything else happens. */
void virtio_needs_reset(struct virtio_device *vdev);

#endif
