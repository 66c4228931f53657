/* sysvm/dev/virtio/device.c: status, features and queue registers of a virtio device, whatever transport shows
 * them: the state machine of "Device Initialization", with everything out of order ignored. */
#include "sysvm/dev/virtio/internal.h"

#define TRANSPORT_FEATURES (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)
#define DRIVER_BITS        (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FAILED)

static size_t device_bytes(const struct virtio_ops *ops) {
    return sizeof(struct virtio_device) + ops->n_queues * sizeof(struct vq);
}

static bool is_power_of_two(uint16_t n) { return n && !(n & (n - 1)); }

enum atoll_status virtio_device_new(const struct atoll_alloc *alloc, const struct vm_memory *memory,
                                    const struct virtio_ops *ops, void *dev,
                                    const struct virtio_transport_ops *transport_ops, void *transport,
                                    struct virtio_device **out, struct atoll_error *err) {
    enum atoll_status status = ATOLL_E_USAGE;
    struct virtio_device *vdev = NULL;
    if (!ops->n_queues || ops->n_queues > VIRTIO_MAX_QUEUES || !is_power_of_two(ops->queue_size_max) ||
        ops->queue_size_max > VQ_MAX_SIZE)
        atoll_fail(err, status, ATOLL_NO_OFFSET, "%s: %u queues of %u entries", ops->name, ops->n_queues,
                   ops->queue_size_max);
    else if (!(vdev = atoll_new(alloc, 1, device_bytes(ops))))
        status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "%s: out of memory", ops->name);
    if (!vdev) {
        ops->free(dev);
        return status;
    }
    *vdev = (struct virtio_device){.alloc = alloc,
                                   .memory = memory,
                                   .ops = ops,
                                   .dev = dev,
                                   .transport_ops = transport_ops,
                                   .transport = transport};
    for (unsigned i = 0; i < ops->n_queues; i++) {
        vdev->queues[i] = (struct vq){.vdev = vdev, .index = i};
        vq_reset(&vdev->queues[i]);
    }
    *out = vdev;
    return ATOLL_OK;
}

void virtio_device_free(struct virtio_device *vdev) {
    if (!vdev) return;
    virtio_device_reset(vdev);
    vdev->ops->free(vdev->dev);
    atoll_free(vdev->alloc, vdev, device_bytes(vdev->ops));
}

const struct virtio_ops *virtio_device_ops(const struct virtio_device *vdev) { return vdev->ops; }

struct vq *virtio_queue(struct virtio_device *vdev, unsigned index) {
    return &vdev->queues[index];
}

/* ---- status ---- */

void virtio_device_reset(struct virtio_device *vdev) {
    vdev->status = 0;
    vdev->driver_features = 0;
    for (unsigned i = 0; i < vdev->ops->n_queues; i++) vq_reset(&vdev->queues[i]);
    vdev->ops->reset(vdev->dev);
}

uint8_t virtio_status(const struct virtio_device *vdev) { return vdev->status; }

void virtio_needs_reset(struct virtio_device *vdev) {
    if (vdev->status & VIRTIO_NEEDS_RESET) return;
    vdev->status |= VIRTIO_NEEDS_RESET;
    if (vdev->status & VIRTIO_DRIVER_OK) vdev->transport_ops->config_interrupt(vdev->transport);
}

static bool features_are_acceptable(const struct virtio_device *vdev) {
    uint64_t wanted = vdev->driver_features;
    return wanted & VIRTIO_F_VERSION_1 && !(wanted & ~virtio_offered_features(vdev));
}

static void start(struct virtio_device *vdev) {
    vdev->ops->start(vdev->dev, vdev, vdev->driver_features);
    for (unsigned i = 0; i < vdev->ops->n_queues; i++)
        if (vdev->queues[i].kicked) vdev->transport_ops->notify_later(vdev->transport, i);
}

void virtio_set_status(struct virtio_device *vdev, uint8_t status) {
    if (!status) {
        virtio_device_reset(vdev);
        return;
    }
    vdev->status |= status & DRIVER_BITS;
    if (status & VIRTIO_FEATURES_OK && features_are_acceptable(vdev)) vdev->status |= VIRTIO_FEATURES_OK;
    bool was_running = vdev->status & VIRTIO_DRIVER_OK;
    if (was_running || !(status & VIRTIO_DRIVER_OK) || !(vdev->status & VIRTIO_FEATURES_OK)) return;
    vdev->status |= VIRTIO_DRIVER_OK;
    start(vdev);
}

/* ---- features, configuration ---- */

uint64_t virtio_offered_features(const struct virtio_device *vdev) {
    return vdev->ops->features(vdev->dev) | TRANSPORT_FEATURES;
}

uint64_t virtio_driver_features(const struct virtio_device *vdev) { return vdev->driver_features; }

void virtio_set_driver_features(struct virtio_device *vdev, uint32_t word, uint32_t features) {
    if (word > 1 || vdev->status & VIRTIO_FEATURES_OK) return;
    unsigned shift = 32 * word;
    vdev->driver_features &= ~(UINT64_C(0xFFFFFFFF) << shift);
    vdev->driver_features |= (uint64_t)features << shift;
}

uint8_t virtio_config_generation(const struct virtio_device *vdev) { return vdev->config_generation; }

/* How many of n bytes at `offset` lie in the configuration. */
static unsigned config_part(const struct virtio_device *vdev, uint64_t offset, unsigned n) {
    uint32_t size = vdev->ops->config_bytes;
    if (offset >= size) return 0;
    return size - offset < n ? (unsigned)(size - offset) : n;
}

void virtio_config_read(struct virtio_device *vdev, uint64_t offset, void *data, unsigned n) {
    memset(data, 0, n);
    unsigned part = config_part(vdev, offset, n);
    if (part) vdev->ops->config_read(vdev->dev, (uint32_t)offset, data, part);
}

void virtio_config_write(struct virtio_device *vdev, uint64_t offset, const void *data, unsigned n) {
    unsigned part = config_part(vdev, offset, n);
    if (part && vdev->ops->config_write) vdev->ops->config_write(vdev->dev, (uint32_t)offset, data, part);
}

void virtio_config_changed(struct virtio_device *vdev) {
    vdev->config_generation++;
    if (vdev->status & VIRTIO_DRIVER_OK) vdev->transport_ops->config_interrupt(vdev->transport);
}

/* ---- queues ---- */

struct vq_registers virtio_queue_registers(const struct virtio_device *vdev, unsigned index) {
    return vdev->queues[index].registers;
}

void virtio_set_queue_registers(struct virtio_device *vdev, unsigned index, const struct vq_registers *to) {
    struct vq_registers *r = &vdev->queues[index].registers;
    if (r->enabled || vdev->status & VIRTIO_DRIVER_OK) return;
    bool size_is_taken = is_power_of_two(to->size) && to->size <= vdev->ops->queue_size_max;
    *r = (struct vq_registers){.size = size_is_taken ? to->size : r->size,
                               .descriptors = to->descriptors,
                               .driver = to->driver,
                               .device = to->device};
}

void virtio_enable_queue(struct virtio_device *vdev, unsigned index) {
    struct vq *q = &vdev->queues[index];
    if (q->registers.enabled || !(vdev->status & VIRTIO_FEATURES_OK) || vdev->status & VIRTIO_DRIVER_OK)
        return;
    if (!vq_enable(q)) virtio_needs_reset(vdev);
}

void virtio_notify(struct virtio_device *vdev, unsigned index) {
    if (index >= vdev->ops->n_queues) return;
    struct vq *q = &vdev->queues[index];
    q->kicked = !(vdev->status & VIRTIO_DRIVER_OK);
    if (virtio_runs(vdev) && q->registers.enabled) vdev->ops->notify(vdev->dev, index);
}
