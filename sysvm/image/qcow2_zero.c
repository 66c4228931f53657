/* sysvm/image/qcow2_zero.c: clusters without data: discarded, zeroed. */
#include "sysvm/image/qcow2.h"

enum how { DISCARD, ZERO_KEEP, ZERO_UNMAP };

/* What the entry becomes; the same as before: leave it. */
static uint64_t entry_without_data(const struct qcow2 *q, uint64_t entry, enum how how) {
    enum qc_kind kind = qc_kind_of(q, entry);
    bool has_backing = q->header.backing_size != 0;
    if (kind == QC_NONE && (how == DISCARD || !has_backing)) return entry;
    if (kind == QC_ZEROES && (how == ZERO_KEEP || !(entry & QC_OFFSET))) return entry;
    if (how == ZERO_KEEP && kind == QC_DATA && entry & QC_COPIED && q->header.version >= 3)
        return entry | QC_ZERO;
    if (!has_backing) return 0;
    return q->header.version >= 3 ? QC_ZERO : entry;
}

/* Whether changing the entry to `now` gives its cluster back. */
static bool gives_back(const struct qcow2 *q, uint64_t before, uint64_t now) {
    return qc_kind_of(q, before) == QC_PACKED || (before & QC_OFFSET) != (now & QC_OFFSET);
}

/* The whole clusters of [at, end) that one L2 table knows. */
static int clear_in_table(struct qcow2 *q, uint64_t at, uint64_t n, enum how how) {
    struct qc_slot *slot;
    bool make = how != DISCARD && q->header.backing_size != 0; /* where there is no table, zeroes need one */
    int error = q->failed ? EIO : qc_l2_get(q, at, false, &slot);
    if (error || (!slot && !make)) return error;
    if ((error = qc_l2_get(q, at, true, &slot))) return error;
    uint64_t i = qc_l2_index(q, at);
    for (uint64_t k = 0; !error && k < n; k++) {
        uint64_t before = qc_entry(slot, i + k), now = entry_without_data(q, before, how);
        if (before == now) continue;
        qc_entry_set(q, slot, i + k, now);
        if (gives_back(q, before, now)) error = qc_release_entry(q, before);
    }
    return error;
}

/* Whole clusters. */
static int clear(struct qcow2 *q, uint64_t at, uint64_t end, enum how how) {
    int error = 0;
    while (!error && at < end) {
        uint64_t n = (UINT64_C(1) << q->l2_bits) - qc_l2_index(q, at), left = (end - at) >> q->cluster_bits;
        if (n > left) n = left;
        pthread_mutex_lock(&q->lock);
        error = clear_in_table(q, at, n, how);
        pthread_mutex_unlock(&q->lock);
        at += n << q->cluster_bits;
    }
    return error;
}

/* The whole clusters in [offset, offset + n); the disk's last one is whole although it may be short. */
static void whole_clusters(const struct qcow2 *q, uint64_t offset, uint64_t n_bytes, uint64_t *out_from,
                           uint64_t *out_to) {
    uint64_t mask = q->cluster_size - 1, end = offset + n_bytes;
    *out_from = (offset + mask) & ~mask;
    *out_to = end == q->img->size ? (end + mask) & ~mask : end & ~mask;
    if (*out_to < *out_from) *out_to = *out_from;
}

int qc_discard(struct img *img, uint64_t offset, uint64_t n_bytes) {
    uint64_t from, to;
    whole_clusters(img->state, offset, n_bytes, &from, &to);
    return clear(img->state, from, to, DISCARD);
}

static int write_zero_bytes(struct img *img, uint64_t from, uint64_t to) {
    static const uint8_t zeroes[4096];
    int error = 0;
    while (!error && from < to) {
        size_t n = to - from < sizeof zeroes ? (size_t)(to - from) : sizeof zeroes;
        struct iovec part = {(void *)(uintptr_t)zeroes, n};
        error = qc_write(img, &part, 1, from, n);
        from += n;
    }
    return error;
}

/* Part of a cluster: nothing to write where zeroes are. */
static int zero_part(struct img *img, uint64_t from, uint64_t to) {
    struct img_extent extent;
    if (from >= to) return 0;
    int error = img_extent_at(img, from, &extent);
    if (error || (extent.zero && extent.n_bytes >= to - from)) return error;
    return write_zero_bytes(img, from, to);
}

int qc_zero(struct img *img, uint64_t offset, uint64_t n_bytes, bool unmap) {
    struct qcow2 *q = img->state;
    uint64_t from, to, end = offset + n_bytes;
    whole_clusters(q, offset, n_bytes, &from, &to);
    if (from == to) { /* within a cluster, or about a border of two */
        uint64_t border = from < end ? from : end;
        int error = zero_part(img, offset, border);
        return error ? error : zero_part(img, border, end);
    }
    int error = zero_part(img, offset, from);
    if (!error && q->header.version < 3 && q->header.backing_size)
        error = write_zero_bytes(img, from, to < end ? to : end); /* version 2 has no zero clusters */
    else if (!error)
        error = clear(q, from, to, unmap ? ZERO_UNMAP : ZERO_KEEP);
    if (!error && to < end) error = zero_part(img, to, end);
    return error;
}
