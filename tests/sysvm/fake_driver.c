#include "tests/sysvm/fake_driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct fake_descriptor {
    uint64_t gpa;
    uint32_t n_bytes;
    uint16_t flags, next;
};

static void queue_interrupt(void *transport, unsigned queue) {
    ((struct fake_driver *)transport)->interrupts[queue]++;
}
static void config_interrupt(void *transport) { ((struct fake_driver *)transport)->config_interrupts++; }
static void notify_later(void *transport, unsigned queue) { fake_kick(transport, queue); }

static const struct virtio_transport_ops transport_ops = {queue_interrupt, config_interrupt, notify_later};

struct fake_driver *fake_driver_with(struct vm_memory *memory, const struct virtio_ops *ops, void *dev) {
    struct fake_driver *d = calloc(1, sizeof *d);
    MUST(d);
    d->memory = memory;
    d->next_free = 0x1000;
    d->queue_size = 64;
    MUST(!virtio_device_new(&atoll_default_alloc, d->memory, ops, dev, &transport_ops, d, &d->vdev, NULL));
    return d;
}

struct fake_driver *fake_driver_new(uint64_t ram_bytes, const struct virtio_ops *ops, void *dev) {
    struct vm_memory *memory;
    MUST(!vm_memory_new(&atoll_default_alloc, ram_bytes, &memory, NULL));
    return fake_driver_with(memory, ops, dev);
}

void fake_driver_free(struct fake_driver *d) {
    virtio_device_free(d->vdev);
    vm_memory_free(d->memory);
    free(d);
}

/* ---- RAM ---- */

void *fake_at(struct fake_driver *d, uint64_t gpa, size_t n_bytes) {
    void *p = vm_memory_at(d->memory, gpa, n_bytes);
    MUST(p);
    return p;
}

uint64_t fake_put(struct fake_driver *d, const void *bytes, size_t n_bytes) {
    uint64_t gpa = d->next_free;
    d->next_free += (n_bytes + 15) / 16 * 16;
    void *p = fake_at(d, gpa, n_bytes);
    if (bytes && n_bytes) memcpy(p, bytes, n_bytes);
    if (!bytes) memset(p, 0, n_bytes);
    return gpa;
}

static uint16_t *u16_at(struct fake_driver *d, uint64_t gpa) { return fake_at(d, gpa, 2); }

/* ---- negotiation ---- */

void fake_negotiate(struct fake_driver *d, uint64_t features) {
    features = (features & virtio_offered_features(d->vdev)) | VIRTIO_F_VERSION_1;
    virtio_set_status(d->vdev, 0);
    virtio_set_status(d->vdev, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    virtio_set_driver_features(d->vdev, 0, (uint32_t)features);
    virtio_set_driver_features(d->vdev, 1, (uint32_t)(features >> 32));
    virtio_set_status(d->vdev, VIRTIO_FEATURES_OK);
    MUST(virtio_status(d->vdev) & VIRTIO_FEATURES_OK);
}

void fake_set_up_queue(struct fake_driver *d, unsigned queue, uint16_t size) {
    struct fake_queue *q = &d->queues[queue];
    *q = (struct fake_queue){.size = size,
                             .descriptors = fake_put(d, NULL, 16 * (size_t)size),
                             .driver = fake_put(d, NULL, 6 + 2 * (size_t)size),
                             .device = fake_put(d, NULL, 6 + 8 * (size_t)size)};
    struct vq_registers registers = {
        .size = size, .descriptors = q->descriptors, .driver = q->driver, .device = q->device};
    virtio_set_queue_registers(d->vdev, queue, &registers);
    virtio_enable_queue(d->vdev, queue);
    MUST(virtio_queue_registers(d->vdev, queue).enabled);
}

void fake_start(struct fake_driver *d, uint64_t features) {
    const struct virtio_ops *ops = virtio_device_ops(d->vdev);
    fake_negotiate(d, features);
    unsigned size = d->queue_size < ops->queue_size_max ? d->queue_size : ops->queue_size_max;
    for (unsigned i = 0; i < ops->n_queues; i++) fake_set_up_queue(d, i, (uint16_t)size);
    virtio_set_status(d->vdev, VIRTIO_DRIVER_OK);
    MUST(virtio_status(d->vdev) & VIRTIO_DRIVER_OK);
}

bool fake_is_broken(const struct fake_driver *d) { return virtio_status(d->vdev) & VIRTIO_NEEDS_RESET; }

/* ---- rings ---- */

void fake_set_descriptor(struct fake_driver *d, unsigned queue, uint16_t index, uint64_t gpa,
                         uint32_t n_bytes, uint16_t flags, uint16_t next) {
    struct fake_descriptor *descriptors =
        fake_at(d, d->queues[queue].descriptors, 16 * (size_t)d->queues[queue].size);
    descriptors[index] = (struct fake_descriptor){gpa, n_bytes, flags, next};
}

void fake_make_available(struct fake_driver *d, unsigned queue, uint16_t head) {
    struct fake_queue *q = &d->queues[queue];
    *u16_at(d, q->driver + 4 + 2 * (uint64_t)(q->next_available % q->size)) = head;
    __atomic_store_n(u16_at(d, q->driver + 2), ++q->next_available, __ATOMIC_SEQ_CST);
}

static uint16_t take_descriptor(struct fake_queue *q) { return q->next_descriptor++ % q->size; }

uint16_t fake_offer(struct fake_driver *d, unsigned queue, const struct fake_segment *segments, unsigned n) {
    struct fake_queue *q = &d->queues[queue];
    MUST(n && n <= q->size);
    uint16_t head = take_descriptor(q), index = head;
    for (unsigned i = 0; i < n; i++) {
        bool last = i + 1 == n;
        uint16_t flags = (uint16_t)((segments[i].in ? FAKE_WRITE : 0) | (last ? 0 : FAKE_NEXT));
        uint16_t next = last ? 0 : take_descriptor(q);
        fake_set_descriptor(d, queue, index, segments[i].gpa, segments[i].n_bytes, flags, next);
        index = next;
    }
    fake_make_available(d, queue, head);
    return head;
}

uint16_t fake_offer_indirect(struct fake_driver *d, unsigned queue, const struct fake_segment *segments,
                             unsigned n) {
    uint64_t table = fake_put(d, NULL, n * sizeof(struct fake_descriptor));
    struct fake_descriptor *descriptors = fake_at(d, table, n * sizeof *descriptors);
    for (unsigned i = 0; i < n; i++)
        descriptors[i] = (struct fake_descriptor){
            segments[i].gpa, segments[i].n_bytes,
            (uint16_t)((segments[i].in ? FAKE_WRITE : 0) | (i + 1 < n ? FAKE_NEXT : 0)), (uint16_t)(i + 1)};
    uint16_t head = take_descriptor(&d->queues[queue]);
    fake_set_descriptor(d, queue, head, table, n * (uint32_t)sizeof *descriptors, FAKE_INDIRECT, 0);
    fake_make_available(d, queue, head);
    return head;
}

void fake_kick(struct fake_driver *d, unsigned queue) { virtio_notify(d->vdev, queue); }

bool fake_take_used(struct fake_driver *d, unsigned queue, struct fake_used *out) {
    struct fake_queue *q = &d->queues[queue];
    if (__atomic_load_n(u16_at(d, q->device + 2), __ATOMIC_SEQ_CST) == q->next_used) return false;
    memcpy(out, fake_at(d, q->device + 4 + 8 * (uint64_t)(q->next_used % q->size), 8), sizeof *out);
    q->next_used++;
    return true;
}

void fake_set_used_event(struct fake_driver *d, unsigned queue, uint16_t event) {
    struct fake_queue *q = &d->queues[queue];
    *u16_at(d, q->driver + 4 + 2 * (uint64_t)q->size) = event;
}

uint16_t fake_available_event(struct fake_driver *d, unsigned queue) {
    struct fake_queue *q = &d->queues[queue];
    return *u16_at(d, q->device + 4 + 8 * (uint64_t)q->size);
}
