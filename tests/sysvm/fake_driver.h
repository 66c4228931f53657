/* tests/sysvm/fake_driver.h: a driver without a guest: RAM, a virtio device and its queues, filled by hand. For
 * the tests and fuzz targets of every device; whatever fails here that is not the device's fault aborts.
 *
 *   struct fake_driver *d = fake_driver_new(1 << 20, ops, dev);       takes dev over
 *   fake_start(d, UINT64_MAX);                                        all features the device offers
 *   uint64_t header = fake_put(d, &request, sizeof request), status = fake_put(d, NULL, 1);
 *   fake_offer(d, 0, (struct fake_segment[]){{header, sizeof request, false}, {status, 1, true}}, 2);
 *   fake_kick(d, 0);                                                  the device's notify
 *   fake_take_used(d, 0, &used);                                      false: nothing done yet
 *
 * Hostile drivers write rings directly: fake_set_descriptor, fake_make_available, fake_at. */
#ifndef ATOLL_TESTS_FAKE_DRIVER_H
#define ATOLL_TESTS_FAKE_DRIVER_H

#include "sysvm/dev/virtio/transport.h"

#define FAKE_NEXT     1 /* flags of a descriptor */
#define FAKE_WRITE    2
#define FAKE_INDIRECT 4

struct fake_queue {
    uint16_t size;
    uint64_t descriptors, driver, device; /* where the rings are */
    uint16_t next_descriptor, next_available, next_used;
};

struct fake_driver {
    struct vm_memory *memory;
    struct virtio_device *vdev;
    uint64_t next_free; /* guest address */
    struct fake_queue queues[VIRTIO_MAX_QUEUES];
    unsigned interrupts[VIRTIO_MAX_QUEUES], config_interrupts;
    unsigned queue_size; /* what fake_start asks for, where the device allows it; 64 unless changed */
};

struct fake_segment {
    uint64_t gpa;
    uint32_t n_bytes;
    bool in; /* the device writes */
};

struct fake_used {
    uint32_t head, n_bytes;
};

struct fake_driver *fake_driver_new(uint64_t ram_bytes, const struct virtio_ops *ops, void *dev);
/* The same over memory that the device knows already; takes that over, too. */
struct fake_driver *fake_driver_with(struct vm_memory *memory, const struct virtio_ops *ops, void *dev);
void fake_driver_free(struct fake_driver *d);

/* Reset, negotiation of those `features` that the device offers (VERSION_1 always), all queues enabled, DRIVER_OK.
 * RAM that was handed out stays so; rings get new places. */
void fake_start(struct fake_driver *d, uint64_t features);
/* The same in two halves, for tests that spoil what lies between. */
void fake_negotiate(struct fake_driver *d, uint64_t features);
void fake_set_up_queue(struct fake_driver *d, unsigned queue, uint16_t size);

/* RAM never handed out before, aligned to 16, filled from `bytes` or with zeros; its guest address. */
uint64_t fake_put(struct fake_driver *d, const void *bytes, size_t n_bytes);
/* Guest RAM as the host sees it. */
void *fake_at(struct fake_driver *d, uint64_t gpa, size_t n_bytes);

/* Chains the segments over the next descriptors of the ring and makes them available. Returns the head. */
uint16_t fake_offer(struct fake_driver *d, unsigned queue, const struct fake_segment *segments, unsigned n);
/* The same by one indirect descriptor. */
uint16_t fake_offer_indirect(struct fake_driver *d, unsigned queue, const struct fake_segment *segments,
                             unsigned n);
void fake_kick(struct fake_driver *d, unsigned queue);
/* The next entry of the used ring. */
bool fake_take_used(struct fake_driver *d, unsigned queue, struct fake_used *out);

void fake_set_descriptor(struct fake_driver *d, unsigned queue, uint16_t index, uint64_t gpa,
                         uint32_t n_bytes, uint16_t flags, uint16_t next);
void fake_make_available(struct fake_driver *d, unsigned queue, uint16_t head);
/* The driver wants an interrupt when the used index passes `event` (with VIRTIO_F_EVENT_IDX). */
void fake_set_used_event(struct fake_driver *d, unsigned queue, uint16_t event);
/* The device wants a notification when the available index passes this. */
uint16_t fake_available_event(struct fake_driver *d, unsigned queue);
bool fake_is_broken(const struct fake_driver *d); /* NEEDS_RESET */

#endif
