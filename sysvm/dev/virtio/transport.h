/* sysvm/dev/virtio/transport.h: the half of a virtio device that all transports share: status, features, the
 * queues' registers. For transports (sysvm/dev/pci/virtio_pci.c) and for tests; devices need virtio.h only.
 *
 * What a register may become is decided here: what comes at a wrong time or says nonsense changes nothing.
 * Under the machine lock, as virtio.h. */
#ifndef ATOLL_SYSVM_VIRTIO_TRANSPORT_H
#define ATOLL_SYSVM_VIRTIO_TRANSPORT_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/memory.h"

enum virtio_status {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128
};

struct virtio_transport_ops {
    void (*queue_interrupt)(void *transport, unsigned queue);
    void (*config_interrupt)(void *transport);
    /* A notification that came before DRIVER_OK is due: call virtio_notify soon, on the loop thread. */
    void (*notify_later)(void *transport, unsigned queue);
};

/* Takes `dev` over, on failure too.
 * fails  E_NOMEM, E_USAGE (the table promises more than virtio.h allows) */
enum atoll_status virtio_device_new(const struct atoll_alloc *alloc, const struct vm_memory *memory,
                                    const struct virtio_ops *ops, void *dev,
                                    const struct virtio_transport_ops *transport_ops, void *transport,
                                    struct virtio_device **out, struct atoll_error *err);
/* Resets and frees the device, too. NULL is allowed. */
void virtio_device_free(struct virtio_device *vdev);

const struct virtio_ops *virtio_device_ops(const struct virtio_device *vdev);
/* Back to power-on, as when the driver writes status 0. */
void virtio_device_reset(struct virtio_device *vdev);

uint8_t virtio_status(const struct virtio_device *vdev);
/* 0 resets. Else bits are added, never taken: FEATURES_OK stays off for features that were not offered or lack
 * VERSION_1, DRIVER_OK without FEATURES_OK too. */
void virtio_set_status(struct virtio_device *vdev, uint8_t status);

uint64_t virtio_offered_features(const struct virtio_device *vdev);
uint64_t virtio_driver_features(const struct virtio_device *vdev);
/* `word` 0: bits 0 to 31, 1: 32 to 63, others do not exist. Not after FEATURES_OK. */
void virtio_set_driver_features(struct virtio_device *vdev, uint32_t word, uint32_t features);

/* Counts changes of the device's configuration. */
uint8_t virtio_config_generation(const struct virtio_device *vdev);
/* Any offset and n up to 8; what lies outside reads as 0 and ignores writes. */
void virtio_config_read(struct virtio_device *vdev, uint64_t offset, void *data, unsigned n);
void virtio_config_write(struct virtio_device *vdev, uint64_t offset, const void *data, unsigned n);

struct vq_registers {
    uint16_t size;
    bool enabled;
    uint64_t descriptors, driver,
        device; /* guest addresses; driver: the available ring, device: the used ring */
};
/* index < n_queues */
struct vq_registers virtio_queue_registers(const struct virtio_device *vdev, unsigned index);
/* Sets size and addresses; nothing changes while the queue is enabled or the device runs, and a size that is no
 * power of two or above the device's is not taken. */
void virtio_set_queue_registers(struct virtio_device *vdev, unsigned index, const struct vq_registers *to);
/* Enables the queue where its registers say; after FEATURES_OK only. A ring that is not in RAM or not aligned
 * makes the device NEEDS_RESET, and leaves the queue off. An enabled queue stays so until reset. */
void virtio_enable_queue(struct virtio_device *vdev, unsigned index);
/* The driver's notification, on the loop thread. Any index; one that comes before DRIVER_OK is kept until then. */
void virtio_notify(struct virtio_device *vdev, unsigned index);

#endif
