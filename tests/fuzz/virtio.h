/* tests/fuzz/virtio.h: an input as the deeds of a hostile driver. Every device's target shares these:
 *
 *   0 q n { kind length bytes... }   a chain of 1 to 8 segments; bytes for those the device reads
 *   1 q                              a notification
 *   2 q index gpa length flags next  a descriptor written as it comes
 *   3 q head                         made available
 *   4 features                       reset, and a new start with some of the features
 *   5 q                              what was used is taken
 *   6 q value                        the available index jumps
 * and further ones are the target's own. Input that has ended gives zeros. */
#ifndef ATOLL_TESTS_FUZZ_VIRTIO_H
#define ATOLL_TESTS_FUZZ_VIRTIO_H

#include "tests/fuzz/fuzz.h"
#include "tests/sysvm/fake_driver.h"

enum { VFUZZ_RAM = 1 << 20, VFUZZ_DEEDS = 200, VFUZZ_OWN = 7 };

struct vfuzz {
    const uint8_t *at, *end;
    struct fake_driver *d;
    unsigned n_queues;
    uint64_t rewind; /* where RAM for segments starts */
};

static inline uint64_t vfuzz_take(struct vfuzz *v, unsigned n_bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < n_bytes; i++) value |= (uint64_t)(v->at < v->end ? *v->at++ : 0) << 8 * i;
    return value;
}

static inline uint64_t vfuzz_put(struct vfuzz *v, size_t n, bool filled) {
    if (v->d->next_free + n + 16 > VFUZZ_RAM) v->d->next_free = v->rewind; /* old segments are written over */
    uint64_t gpa = fake_put(v->d, NULL, n ? n : 1);
    uint8_t *p = fake_at(v->d, gpa, n ? n : 1);
    for (size_t i = 0; filled && i < n && v->at < v->end; i++) p[i] = *v->at++;
    return gpa;
}

static inline void vfuzz_chain(struct vfuzz *v, unsigned q) {
    struct fake_segment segments[8];
    unsigned n = 1 + (unsigned)vfuzz_take(v, 1) % 8;
    if (n > v->d->queues[q].size) n = v->d->queues[q].size;
    for (unsigned i = 0; i < n; i++) {
        unsigned kind = (unsigned)vfuzz_take(v, 1);
        uint32_t length = (uint32_t)vfuzz_take(v, 2) % (kind & 2 ? 70000 : 128);
        bool in = kind & 1;
        segments[i] = (struct fake_segment){vfuzz_put(v, length, !in), length, in};
        if ((kind & 0xF0) == 0xF0) segments[i].gpa = UINT64_MAX - length / 2;
    }
    fake_offer(v->d, q, segments, n);
}

static inline void vfuzz_start(struct vfuzz *v, uint64_t features) {
    v->d->next_free = 0x1000;
    v->d->queue_size = 16;
    fake_start(v->d, features);
    v->rewind = v->d->next_free;
}

static inline void vfuzz_begin(struct vfuzz *v, const uint8_t *data, size_t size,
                               const struct virtio_ops *ops, void *dev) {
    *v = (struct vfuzz){.at = data, .end = data + size, .n_queues = ops->n_queues};
    v->d = fake_driver_new(VFUZZ_RAM, ops, dev);
    vfuzz_start(v, UINT64_MAX);
}

/* One deed of those above; false: the target's own, whose number is *out_deed. */
static inline bool vfuzz_step(struct vfuzz *v, unsigned n_own, unsigned *out_deed) {
    unsigned deed = (unsigned)vfuzz_take(v, 1) % (VFUZZ_OWN + n_own);
    *out_deed = deed - VFUZZ_OWN;
    if (deed >= VFUZZ_OWN) return false;
    if (deed == 4) return vfuzz_start(v, ~vfuzz_take(v, 4)), true;
    unsigned q = (unsigned)vfuzz_take(v, 1) % v->n_queues;
    struct fake_queue *queue = &v->d->queues[q];
    struct fake_used used;
    uint16_t index, flags, next;
    uint32_t length;
    uint64_t gpa;
    switch (deed) {
    case 0: vfuzz_chain(v, q); break;
    case 1: fake_kick(v->d, q); break;
    case 2:
        index = (uint16_t)(vfuzz_take(v, 1) % queue->size), gpa = vfuzz_take(v, 4),
        length = (uint32_t)vfuzz_take(v, 4);
        flags = (uint16_t)vfuzz_take(v, 1), next = (uint16_t)vfuzz_take(v, 2);
        fake_set_descriptor(v->d, q, index, gpa, length, flags, next);
        break;
    case 3: fake_make_available(v->d, q, (uint16_t)vfuzz_take(v, 2)); break;
    case 5:
        while (fake_take_used(v->d, q, &used)) FUZZ_CHECK(used.head < queue->size);
        break;
    default: queue->next_available = (uint16_t)(queue->next_available + vfuzz_take(v, 2)); break;
    }
    return true;
}

#endif
