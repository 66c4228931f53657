/* sysvm/image/qcow2_refs.c: which clusters of the file are in use. */
#include "sysvm/image/qcow2.h"

/* ---- a count ---- */

uint64_t qc_ref_at(const struct qcow2 *q, const uint8_t *block, uint64_t i) {
    switch (q->header.refcount_order) {
    case 3: return block[i];
    case 4: return qc_get16(block + i * 2);
    case 5: return qc_get32(block + i * 4);
    case 6: return qc_get64(block + i * 8);
    default: { /* 1, 2 or 4 bits, the first in the lowest */
        unsigned bits = 1u << q->header.refcount_order, per_byte = 8 / bits;
        return block[i / per_byte] >> (i % per_byte) * bits & ((1u << bits) - 1);
    }
    }
}

void qc_ref_put(const struct qcow2 *q, uint8_t *block, uint64_t i, uint64_t count) {
    switch (q->header.refcount_order) {
    case 3: block[i] = (uint8_t)count; break;
    case 4: qc_put16(block + i * 2, (uint16_t)count); break;
    case 5: qc_put32(block + i * 4, (uint32_t)count); break;
    case 6: qc_put64(block + i * 8, count); break;
    default: {
        unsigned bits = 1u << q->header.refcount_order, per_byte = 8 / bits;
        unsigned shift = (unsigned)(i % per_byte) * bits, mask = ((1u << bits) - 1) << shift;
        block[i / per_byte] = (uint8_t)((block[i / per_byte] & ~mask) | (unsigned)count << shift);
    }
    }
}

static uint64_t block_mask(const struct qcow2 *q) { return (UINT64_C(1) << q->block_bits) - 1; }

/* The block that counts `cluster`; *out NULL when there is none: all are free. */
static int get_block(struct qcow2 *q, uint64_t cluster, struct qc_slot **out) {
    uint64_t t = cluster >> q->block_bits;
    *out = NULL;
    if (t >= q->n_reftable || !q->reftable[t]) return 0;
    return qc_cache_get(q, &q->blocks, q->reftable[t], false, out);
}

/* ---- more counts ---- */

static int put_table_entry(struct qcow2 *q, uint64_t t) {
    uint8_t bytes[8];
    qc_put64(bytes, q->reftable[t]);
    return img_file_write(q->file, bytes, sizeof bytes, q->header.reftable_offset + t * 8);
}

static bool is_past_device(const struct qcow2 *q, uint64_t end_cluster) {
    return q->file->device && end_cluster > q->file->size >> q->cluster_bits;
}

static void file_reaches(struct qcow2 *q, uint64_t end_cluster) {
    if (end_cluster << q->cluster_bits > q->file_end) q->file_end = end_cluster << q->cluster_bits;
}

/* A block for clusters that have none yet stands at the first of them. It is on the disk before the table
 * points at it. */
static int add_block(struct qcow2 *q, uint64_t t) {
    uint64_t cluster = t << q->block_bits, offset = cluster << q->cluster_bits;
    struct qc_slot *slot;
    if (is_past_device(q, cluster + 1)) return ENOSPC;
    int error = qc_set_add(q, &q->tables, cluster);
    if (error == EEXIST)
        return img_corrupt(q->img, offset, "a table is at this place, which is counted as free");
    if (!error) error = qc_cache_get(q, &q->blocks, offset, true, &slot);
    if (error) return error;
    qc_ref_put(q, slot->bytes, 0, 1);
    error = img_file_write(q->file, slot->bytes, q->cluster_size, offset);
    if (!error) error = q->file->ops->sync(q->file);
    if (!error) {
        q->reftable[t] = offset;
        file_reaches(q, cluster + 1);
        error = put_table_entry(q, t);
    }
    if (!error) return 0;
    q->reftable[t] = 0;
    qc_cache_drop(&q->blocks, offset);
    qc_set_remove(&q->tables, cluster);
    return error;
}

/* Where a larger table goes: behind everything, with the blocks that count it in front.
 *   first -> [blocks for themselves and the table] [table] */
struct move {
    uint64_t t, first, n_blocks, n_clusters; /* n_clusters: of the table */
    uint64_t n_entries;
};

static struct move plan_move(const struct qcow2 *q, uint64_t t) {
    struct move m = {.t = t, .first = t << q->block_bits, .n_blocks = 1};
    uint64_t per_cluster = q->cluster_size / 8;
    for (;; m.n_blocks++) {
        uint64_t wanted = t + m.n_blocks + (t >> 1);
        m.n_clusters = (wanted + per_cluster - 1) / per_cluster;
        if (m.n_blocks + m.n_clusters <= m.n_blocks << q->block_bits) break;
    }
    m.n_entries = m.n_clusters * per_cluster;
    return m;
}

static int write_moved_blocks(struct qcow2 *q, const struct move *m) {
    uint64_t left = m->n_blocks + m->n_clusters;
    for (uint64_t k = 0; k < m->n_blocks; k++) {
        struct qc_slot *slot;
        uint64_t offset = (m->first + k) << q->cluster_bits;
        int error = qc_cache_get(q, &q->blocks, offset, true, &slot);
        if (error) return error;
        for (uint64_t i = 0; left && i <= block_mask(q); i++, left--) qc_ref_put(q, slot->bytes, i, 1);
        if ((error = img_file_write(q->file, slot->bytes, q->cluster_size, offset))) return error;
    }
    return 0;
}

static int write_moved_table(struct qcow2 *q, const struct move *m, const uint64_t *table) {
    uint64_t at = (m->first + m->n_blocks) << q->cluster_bits;
    uint8_t bytes[512];
    for (uint64_t i = 0; i < m->n_entries; i += 64, at += sizeof bytes) {
        for (unsigned k = 0; k < 64; k++) qc_put64(bytes + k * 8, table[i + k]);
        int error = img_file_write(q->file, bytes, sizeof bytes, at);
        if (error) return error;
    }
    return q->file->ops->sync(q->file);
}

static int write_table_place(struct qcow2 *q, uint64_t offset, uint64_t n_clusters) {
    uint8_t bytes[12];
    qc_put64(bytes, offset);
    qc_put32(bytes + 8, (uint32_t)n_clusters);
    int error = img_file_write(q->file, bytes, sizeof bytes, 48);
    return error ? error : q->file->ops->sync(q->file);
}

static int add_tables(struct qcow2 *q, uint64_t first, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        int error = qc_set_add(q, &q->tables, first + i);
        if (!error) continue;
        while (i--) qc_set_remove(&q->tables, first + i);
        if (error == EEXIST)
            return img_corrupt(q->img, first << q->cluster_bits,
                               "a table is at this place, which is counted as free");
        return error;
    }
    return 0;
}

/* The table gets room for block t, and that block. */
static int grow_table(struct qcow2 *q, uint64_t t) {
    struct move m = plan_move(q, t);
    uint64_t old_first = q->header.reftable_offset >> q->cluster_bits, n_old = q->header.reftable_clusters;
    uint64_t end = m.first + m.n_blocks + m.n_clusters;
    if (m.n_entries > QC_REFTABLE_MAX) return EFBIG;
    if (is_past_device(q, end)) return ENOSPC;
    uint64_t *table = atoll_new(q->alloc, m.n_entries, sizeof *table);
    if (!table) return ENOMEM;
    memcpy(table, q->reftable, q->n_reftable * sizeof *table);
    for (uint64_t k = 0; k < m.n_blocks; k++) table[t + k] = (m.first + k) << q->cluster_bits;
    int error = add_tables(q, m.first, end - m.first);
    if (error) {
        atoll_free(q->alloc, table, m.n_entries * sizeof *table);
        return error;
    }
    file_reaches(q, end);
    error = write_moved_blocks(q, &m);
    if (!error) error = write_moved_table(q, &m, table);
    if (!error) {
        error = write_table_place(q, (m.first + m.n_blocks) << q->cluster_bits, m.n_clusters);
        q->failed = error != 0; /* which table the header names is not known */
    }
    if (error) {
        for (uint64_t k = 0; k < m.n_blocks; k++) qc_cache_drop(&q->blocks, (m.first + k) << q->cluster_bits);
        for (uint64_t i = m.first; i < end; i++) qc_set_remove(&q->tables, i);
        atoll_free(q->alloc, table, m.n_entries * sizeof *table);
        return error;
    }
    atoll_free(q->alloc, q->reftable, q->n_reftable * sizeof *table);
    q->reftable = table;
    q->n_reftable = m.n_entries;
    q->header.reftable_offset = (m.first + m.n_blocks) << q->cluster_bits;
    q->header.reftable_clusters = (uint32_t)m.n_clusters;
    for (uint64_t i = 0; i < n_old; i++) qc_set_remove(&q->tables, old_first + i);
    return qc_release(q, old_first, n_old);
}

/* ---- taking clusters ---- */

static int need_block(struct qcow2 *q, uint64_t t) {
    return t < q->n_reftable ? add_block(q, t) : grow_table(q, t);
}

/* Free clusters of a block from index i on, at most `want`; 0 = none. *i is where they begin. */
static uint64_t find_free(const struct qcow2 *q, const uint8_t *block, uint64_t *i, uint64_t want) {
    uint64_t n = 0;
    while (*i <= block_mask(q) && qc_ref_at(q, block, *i)) ++*i;
    while (n < want && *i + n <= block_mask(q) && !qc_ref_at(q, block, *i + n)) n++;
    return n;
}

static int take(struct qcow2 *q, struct qc_slot *slot, uint64_t first, uint64_t i, uint64_t n) {
    for (uint64_t k = 0; k < n; k++)
        if (qc_set_has(&q->tables, first + k))
            return img_corrupt(q->img, (first + k) << q->cluster_bits,
                               "a table is at this place, which is counted as free");
    for (uint64_t k = 0; k < n; k++) qc_ref_put(q, slot->bytes, i + k, 1);
    qc_cache_dirty(&q->blocks, slot);
    file_reaches(q, first + n);
    return 0;
}

int qc_alloc(struct qcow2 *q, uint64_t want, uint64_t *out_cluster, uint64_t *out_n) {
    for (uint64_t at = q->free_hint;;) {
        struct qc_slot *slot;
        if (at >= QC_OFFSET >> q->cluster_bits) return EFBIG;
        int error = get_block(q, at, &slot);
        if (!error && !slot) {
            error = need_block(q, at >> q->block_bits);
            if (!error) continue;
        }
        if (error) return error;
        uint64_t i = at & block_mask(q), base = at - i;
        uint64_t n = find_free(q, slot->bytes, &i, want);
        at = q->free_hint = base + i;
        if (!n) continue; /* at: the first of the next block */
        if (is_past_device(q, at + n)) return ENOSPC;
        if ((error = take(q, slot, at, i, n))) return error;
        *out_cluster = at;
        *out_n = n;
        q->free_hint = at + n;
        return 0;
    }
}

/* The first block behind the file's end that does not exist, nor does any behind it. */
static uint64_t first_unused_block(const struct qcow2 *q) {
    uint64_t t = ((q->file_end >> q->cluster_bits) + block_mask(q)) >> q->block_bits;
    for (uint64_t i = t; i < q->n_reftable; i++)
        if (q->reftable[i]) t = i + 1;
    return t;
}

/* More clusters in a row than lie between two blocks: behind everything, with all blocks that count them in front.
 *   first -> [blocks for themselves and the n] [n] */
static int alloc_behind(struct qcow2 *q, uint64_t n, uint64_t *out_cluster) {
    struct move m = {.t = first_unused_block(q), .n_blocks = 1, .n_clusters = n};
    while (m.n_blocks + n > m.n_blocks << q->block_bits) m.n_blocks++;
    int error = m.t + m.n_blocks > q->n_reftable ? grow_table(q, m.t + m.n_blocks) : 0;
    if (error) return error;
    m.first = m.t << q->block_bits;
    uint64_t end = m.first + m.n_blocks + n;
    if (end >= QC_OFFSET >> q->cluster_bits) return EFBIG;
    if (is_past_device(q, end)) return ENOSPC;
    if ((error = add_tables(q, m.first, m.n_blocks))) return error;
    error = write_moved_blocks(q, &m);
    if (!error) error = q->file->ops->sync(q->file);
    for (uint64_t k = 0; !error && k < m.n_blocks; k++) {
        q->reftable[m.t + k] = (m.first + k) << q->cluster_bits;
        error = put_table_entry(q, m.t + k);
    }
    if (error) { /* which entries are on the disk is not known; what they count is no more than leaked */
        q->failed = true;
        return error;
    }
    file_reaches(q, end);
    *out_cluster = m.first + m.n_blocks;
    return 0;
}

int qc_alloc_exactly(struct qcow2 *q, uint64_t n, uint64_t *out_cluster) {
    if (n > block_mask(q))
        return alloc_behind(q, n, out_cluster); /* a block stands in front of what it counts */
    uint64_t first, got, have = 0;
    uint64_t hint = q->free_hint;
    while (have < n) {
        int error = qc_alloc(q, n - have, &first, &got);
        if (error) {
            if (have) qc_unalloc(q, *out_cluster, have);
            return error;
        }
        if (have && first != *out_cluster + have) { /* the row was broken: begin anew behind */
            qc_unalloc(q, *out_cluster, have);
            q->free_hint = first + got;
            have = 0;
        }
        if (!have) *out_cluster = first;
        have += got;
    }
    q->free_hint = hint; /* what was passed over is free still */
    return 0;
}

void qc_unalloc(struct qcow2 *q, uint64_t cluster, uint64_t n) {
    for (uint64_t i = cluster; i < cluster + n; i++) {
        struct qc_slot *slot;
        if (get_block(q, i, &slot) || !slot) continue; /* leaked */
        qc_ref_put(q, slot->bytes, i & block_mask(q), 0);
        qc_cache_dirty(&q->blocks, slot);
    }
    if (cluster < q->free_hint) q->free_hint = cluster;
}

/* ---- giving clusters back ---- */

int qc_release(struct qcow2 *q, uint64_t cluster, uint64_t n) {
    struct qc_run *last = q->n_pending ? &q->pending[q->n_pending - 1] : NULL;
    if (last && last->cluster + last->n == cluster) {
        last->n += n;
        return 0;
    }
    int error = q->n_pending == QC_PENDING_MAX ? qc_sync(q) : 0;
    if (error) return error;
    q->pending[q->n_pending++] = (struct qc_run){cluster, n};
    return 0;
}

/* *out_free: nobody points at it any more. */
static int drop(struct qcow2 *q, uint64_t cluster, bool *out_free) {
    struct qc_slot *slot;
    int error = get_block(q, cluster, &slot);
    if (error) return error;
    uint64_t count = slot ? qc_ref_at(q, slot->bytes, cluster & block_mask(q)) : 0;
    if (!count)
        return img_corrupt(q->img, cluster << q->cluster_bits, "this cluster is used but counted as free");
    qc_ref_put(q, slot->bytes, cluster & block_mask(q), count - 1);
    qc_cache_dirty(&q->blocks, slot);
    *out_free = count == 1;
    if (!*out_free) return 0;
    qc_set_remove(&q->tables, cluster);
    qc_cache_drop(&q->l2, cluster << q->cluster_bits);
    if (cluster < q->free_hint) q->free_hint = cluster;
    return 0;
}

/* The host may have the space of [from, to); it is no matter when it does not want it. */
static void give_to_host(struct qcow2 *q, uint64_t from, uint64_t to) {
    if (from < to) q->file->ops->discard(q->file, from << q->cluster_bits, (to - from) << q->cluster_bits);
}

static int apply_run(struct qcow2 *q, struct qc_run run) {
    uint64_t from = run.cluster, end = run.cluster + run.n; /* from: the first of those that are free */
    int result = 0;
    for (uint64_t i = run.cluster; i < end; i++) {
        bool is_free = false;
        int error = drop(q, i, &is_free);
        if (error && error != EUCLEAN) result = error;
        if (is_free) continue;
        give_to_host(q, from, i);
        from = i + 1;
    }
    give_to_host(q, from, end);
    return result;
}

/* A cluster that cannot be counted down now is leaked, not kept for later: its pointer is gone. A wrong count
 * is remembered as the image's fault and harms nobody here. */
int qc_apply_released(struct qcow2 *q) {
    if (!q->n_pending) return 0;
    qc_moving_wait(q);
    int result = 0;
    unsigned n = q->n_pending;
    for (unsigned i = 0; i < n; i++) {
        int error = apply_run(q, q->pending[i]);
        if (error) result = error;
    }
    q->n_pending = 0;
    return result;
}
