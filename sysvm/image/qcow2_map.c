/* sysvm/image/qcow2_map.c: from a guest offset to what the tables say about it. */
#include "sysvm/image/qcow2.h"

enum qc_kind qc_kind_of(const struct qcow2 *q, uint64_t entry) {
    if (entry & QC_COMPRESSED) return QC_PACKED;
    if (entry & QC_ZERO && q->header.version >= 3) return QC_ZEROES;
    return entry & QC_OFFSET ? QC_DATA : QC_NONE;
}

struct qc_run qc_packed_run(const struct qcow2 *q, uint64_t entry, uint64_t *out_offset,
                            uint64_t *out_bytes) {
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t offset = entry & ((UINT64_C(1) << x) - 1);
    uint64_t n_sectors = (entry >> x & ((UINT64_C(1) << (62 - x)) - 1)) + 1;
    *out_offset = offset;
    *out_bytes = n_sectors * 512 - offset % 512;
    uint64_t first = offset >> q->cluster_bits, last = (offset + *out_bytes - 1) >> q->cluster_bits;
    return (struct qc_run){first, last - first + 1};
}

static int bad_entry(struct qcow2 *q, uint64_t at, uint64_t entry, const char *why) {
    return img_corrupt(q->img, entry & QC_OFFSET, "the cluster of guest offset 0x%llx %s",
                       (unsigned long long)at, why);
}

int qc_check_entry(struct qcow2 *q, uint64_t at, uint64_t entry) {
    uint64_t offset = entry & QC_OFFSET;
    if (offset & (q->cluster_size - 1)) return bad_entry(q, at, entry, "does not begin at a cluster");
    if (offset >= q->file_end) return bad_entry(q, at, entry, "lies behind the end of the file");
    if (qc_set_has(&q->tables, offset >> q->cluster_bits))
        return bad_entry(q, at, entry, "lies in the image's own tables");
    return 0;
}

uint64_t qc_data_run(struct qcow2 *q, const struct qc_slot *slot, uint64_t i, uint64_t max, bool write) {
    uint64_t first = qc_entry(slot, i) & QC_OFFSET, n = 1;
    uint64_t end = UINT64_C(1) << q->l2_bits;
    for (; n < max && i + n < end; n++) {
        uint64_t entry = qc_entry(slot, i + n), offset = entry & QC_OFFSET;
        if (qc_kind_of(q, entry) != QC_DATA || offset != first + (n << q->cluster_bits)) break;
        if (write && !(entry & QC_COPIED)) break;
        if (offset >= q->file_end || qc_set_has(&q->tables, offset >> q->cluster_bits)) break;
    }
    return n;
}

void qc_entry_set(struct qcow2 *q, struct qc_slot *slot, uint64_t i, uint64_t entry) {
    qc_put64(slot->bytes + i * 8, entry);
    qc_cache_dirty(&q->l2, slot);
}

void qc_l1_dirty(struct qcow2 *q, uint64_t i) {
    if (!q->l1_dirty_to) q->l1_dirty_from = i;
    if (i < q->l1_dirty_from) q->l1_dirty_from = i;
    if (i >= q->l1_dirty_to) q->l1_dirty_to = i + 1;
}

/* A new L2 table for entry i of the L1: empty, or a copy of one that somebody else points at, too. Zeroes
 * stand at its place before the L1 points there, whatever is written first. */
static int new_table(struct qcow2 *q, uint64_t i, struct qc_slot **out) {
    uint64_t cluster, got, old = q->l1[i] & QC_OFFSET;
    struct qc_slot *slot;
    int error = qc_alloc(q, 1, &cluster, &got);
    if (error) return error;
    uint64_t offset = cluster << q->cluster_bits;
    error = img_file_write_zeroes(q->file, offset, q->cluster_size);
    if (!error) error = qc_set_add(q, &q->tables, cluster);
    if (error) {
        qc_unalloc(q, cluster, 1);
        return error;
    }
    error = qc_cache_get(q, &q->l2, offset, true, &slot);
    if (!error && old) error = img_file_read(q->file, slot->bytes, q->cluster_size, old);
    if (error) {
        qc_cache_drop(&q->l2, offset);
        qc_set_remove(&q->tables, cluster);
        qc_unalloc(q, cluster, 1);
        return error;
    }
    qc_cache_dirty(&q->l2, slot);
    q->l1[i] = offset | QC_COPIED;
    qc_l1_dirty(q, i);
    *out = slot;
    /* The old one stays known as a table as long as a snapshot points at it. */
    return old ? qc_release(q, old >> q->cluster_bits, 1) : 0;
}

int qc_l2_get(struct qcow2 *q, uint64_t at, bool write, struct qc_slot **out) {
    uint64_t i = at >> q->cluster_bits >> q->l2_bits, offset = q->l1[i] & QC_OFFSET;
    *out = NULL;
    if (write && (!offset || !(q->l1[i] & QC_COPIED))) return new_table(q, i, out);
    return offset ? qc_cache_get(q, &q->l2, offset, false, out) : 0;
}

int qc_release_entry(struct qcow2 *q, uint64_t entry) {
    uint64_t offset, n_bytes;
    if (qc_kind_of(q, entry) == QC_PACKED) {
        struct qc_run run = qc_packed_run(q, entry, &offset, &n_bytes);
        for (uint64_t k = 0; k < run.n; k++)
            if (qc_set_has(&q->tables, run.cluster + k)) return 0; /* a lie: the table stays */
        return qc_release(q, run.cluster, run.n);
    }
    offset = entry & QC_OFFSET;
    if (!offset || offset & (q->cluster_size - 1)) return 0;
    if (qc_set_has(&q->tables, offset >> q->cluster_bits)) return 0;
    return qc_release(q, offset >> q->cluster_bits, 1);
}
