/* sysvm/dev/virtio/queue.c: the queue walker. The only code that reads rings and descriptors.
 *
 *   descriptors  size * { u64 address, u32 bytes, u16 flags, u16 next }
 *   available    u16 flags, u16 index, u16 head[size], u16 used_event         the driver writes
 *   used         u16 flags, u16 index, { u32 head, u32 bytes }[size], u16 available_event      we write
 *
 * The driver may write all of it at any moment, so a field is loaded once into a local and only that is checked
 * and used. Indexes that we write are kept here and never read back. A chain is bounded by VQ_MAX_SEGMENTS steps,
 * which ends loops; the rings' place is checked when the queue is enabled and cannot change after. */
#include <stdatomic.h>
#include "sysvm/dev/virtio/internal.h"

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4
#define NO_INTERRUPT  1 /* flag of the available ring */

struct descriptor {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags, next;
};

/* A table of descriptors: the ring's, or an indirect one. */
struct table {
    const uint8_t *entries;
    uint32_t n;
};

static uint16_t load_u16(const uint8_t *p) {
    return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store_u16(uint8_t *p, uint16_t value) {
    __atomic_store_n((uint16_t *)(void *)p, value, __ATOMIC_RELEASE);
}

static struct descriptor load_descriptor(const struct table *table, uint32_t index) {
    struct descriptor d;
    memcpy(&d, table->entries + (size_t)index * sizeof d, sizeof d);
    atomic_signal_fence(memory_order_seq_cst); /* d is a copy from here on: no second load */
    return d;
}

static uint8_t *available_event(const struct vq *q) { return q->used + 4 + 8 * (size_t)q->registers.size; }
static const uint8_t *used_event(const struct vq *q) {
    return q->available + 4 + 2 * (size_t)q->registers.size;
}

static bool has(const struct vq *q, uint64_t feature) { return (q->vdev->driver_features & feature) != 0; }

/* ---- enable, reset ---- */

static uint8_t *ring_at(const struct vq *q, uint64_t gpa, uint64_t n_bytes, uint64_t alignment) {
    return gpa % alignment ? NULL : vm_memory_at(q->vdev->memory, gpa, n_bytes);
}

bool vq_enable(struct vq *q) {
    const struct vq_registers *r = &q->registers;
    uint64_t n = r->size;
    q->descriptors = ring_at(q, r->descriptors, sizeof(struct descriptor) * n, 16);
    q->available = ring_at(q, r->driver, 6 + 2 * n, 2);
    q->used = ring_at(q, r->device, 6 + 8 * n, 4);
    q->registers.enabled = q->descriptors && q->available && q->used;
    return q->registers.enabled;
}

void vq_reset(struct vq *q) {
    *q = (struct vq){.vdev = q->vdev,
                     .index = q->index,
                     .generation = q->generation + 1,
                     .registers = {.size = q->vdev->ops->queue_size_max}};
}

/* ---- pop ---- */

static bool add_segment(const struct vq *q, struct vq_chain *chain, const struct descriptor *d) {
    bool in = d->flags & DESC_WRITE;
    if (!in && chain->n_in) return false; /* what is read comes first */
    if (!d->bytes) return true;
    unsigned n = (unsigned)chain->n_out + chain->n_in;
    void *bytes = vm_memory_at(q->vdev->memory, d->address, d->bytes);
    if (!bytes || n >= VQ_MAX_SEGMENTS) return false;
    chain->iov[n] = (struct iovec){bytes, d->bytes};
    *(in ? &chain->n_in : &chain->n_out) += 1;
    *(in ? &chain->in_bytes : &chain->out_bytes) += d->bytes;
    return true;
}

/* The table an indirect descriptor names; false when it may not stand here. */
static bool enter_indirect(const struct vq *q, const struct descriptor *d, struct table *out) {
    if (!has(q, VIRTIO_F_INDIRECT_DESC) || d->flags & DESC_NEXT) return false;
    if (!d->bytes || d->bytes % sizeof *d) return false;
    *out = (struct table){vm_memory_at(q->vdev->memory, d->address, d->bytes), d->bytes / sizeof *d};
    return out->entries != NULL;
}

static bool walk(const struct vq *q, struct vq_chain *chain) {
    struct table table = {q->descriptors, q->registers.size};
    bool indirect = false;
    uint32_t next = chain->head;
    for (unsigned steps = 0; steps <= VQ_MAX_SEGMENTS; steps++) {
        if (next >= table.n) return false;
        struct descriptor d = load_descriptor(&table, next);
        if (d.flags & DESC_INDIRECT) {
            if (indirect || !enter_indirect(q, &d, &table)) return false;
            indirect = true;
            next = 0;
            continue;
        }
        if (!add_segment(q, chain, &d)) return false;
        if (!(d.flags & DESC_NEXT)) return true;
        next = d.next;
    }
    return false;
}

/* How many heads wait. 0: the driver was asked to notify, and nothing came meanwhile. */
static uint16_t n_waiting(const struct vq *q) {
    uint16_t n = (uint16_t)(load_u16(q->available + 2) - q->next_available);
    if (n || !has(q, VIRTIO_F_EVENT_IDX)) return n;
    store_u16(available_event(q), q->next_available);
    atomic_thread_fence(memory_order_seq_cst); /* our event before their index: one of us sees the other's */
    return (uint16_t)(load_u16(q->available + 2) - q->next_available);
}

enum vq_result vq_pop(struct vq *q, struct vq_chain *out) {
    if (q->vdev->status & VIRTIO_NEEDS_RESET) return VQ_BROKEN;
    if (!virtio_runs(q->vdev) || !q->registers.enabled) return VQ_EMPTY;
    uint16_t n = n_waiting(q), size = q->registers.size;
    if (!n) return VQ_EMPTY;
    uint16_t head = load_u16(q->available + 4 + 2 * (size_t)(q->next_available % size));
    out->head = head;
    out->generation = q->generation;
    out->n_out = out->n_in = 0;
    out->out_bytes = out->in_bytes = 0;
    if (n > size || q->in_flight >= size || !walk(q, out)) {
        vq_broken(q);
        return VQ_BROKEN;
    }
    q->next_available++;
    q->in_flight++;
    return VQ_CHAIN;
}

void vq_unpop(struct vq *q, const struct vq_chain *chain) {
    if (chain->generation != q->generation || !q->in_flight) return;
    q->next_available--;
    q->in_flight--;
}

void vq_broken(struct vq *q) { virtio_needs_reset(q->vdev); }

/* ---- push ---- */

void vq_push(struct vq *q, const struct vq_chain *chain, uint32_t written_bytes) {
    /* Also of a chain from before a reset, and all that could be written: the device may have written more than it says. */
    for (unsigned i = 0; i < chain->n_in; i++)
        vm_memory_wrote(q->vdev->memory, chain->iov[chain->n_out + i].iov_base,
                        chain->iov[chain->n_out + i].iov_len);
    if (chain->generation != q->generation || !q->in_flight) return;
    uint32_t entry[2] = {chain->head, written_bytes};
    if (written_bytes > chain->in_bytes) entry[1] = (uint32_t)chain->in_bytes;
    memcpy(q->used + 4 + sizeof entry * (q->next_used % q->registers.size), entry, sizeof entry);
    store_u16(q->used + 2, ++q->next_used);
    q->in_flight--;
}

/* Whether the entry the driver waits for lies in (from, to]: "Used Buffer Notification Suppression". */
static bool wants_interrupt(const struct vq *q, uint16_t from, uint16_t to) {
    if (!has(q, VIRTIO_F_EVENT_IDX)) return !(load_u16(q->available) & NO_INTERRUPT);
    uint16_t event = load_u16(used_event(q));
    return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

void vq_interrupt(struct vq *q) {
    uint16_t from = q->last_interrupt, to = q->next_used;
    if (from == to || !q->registers.enabled) return;
    atomic_thread_fence(memory_order_seq_cst); /* our index before their event or flag */
    q->last_interrupt = to;
    if (wants_interrupt(q, from, to)) q->vdev->transport_ops->queue_interrupt(q->vdev->transport, q->index);
}

/* ---- bytes of a chain ---- */

enum direction { GATHER, SCATTER };

static size_t copy(const struct iovec *iov, size_t n_iov, size_t offset, uint8_t *bytes, size_t n,
                   enum direction to) {
    size_t done = 0;
    for (size_t i = 0; i < n_iov && done < n; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        uint8_t *guest = (uint8_t *)iov[i].iov_base + offset;
        size_t piece = iov[i].iov_len - offset;
        if (piece > n - done) piece = n - done;
        if (to == GATHER)
            memcpy(bytes + done, guest, piece);
        else
            memcpy(guest, bytes + done, piece);
        done += piece;
        offset = 0;
    }
    atomic_signal_fence(memory_order_seq_cst); /* a copy: checks look at nothing else */
    return done;
}

size_t vq_chain_read(const struct vq_chain *chain, size_t offset, void *out, size_t n) {
    return copy(chain->iov, chain->n_out, offset, out, n, GATHER);
}

size_t vq_chain_write(const struct vq_chain *chain, size_t offset, const void *bytes, size_t n) {
    return copy(chain->iov + chain->n_out, chain->n_in, offset, (uint8_t *)(uintptr_t)bytes, n, SCATTER);
}
