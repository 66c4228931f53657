/* sysvm/image/qcow2_check.c: do the counts say what the tables do?
 *
 * All tables are walked and every cluster they point at is counted anew. More than the image says: data would
 * be given to somebody else, a corruption. Less: a leak. Memory grows with what is pointed at. */
#include <stdio.h>
#include "sysvm/image/qcow2.h"

enum { PAGE = 4096, CLUSTERS_BITS_MAX = 34 };

struct check {
    struct qcow2 *q;
    struct img_check *out;
    void (*each)(void *context, const char *line);
    void *context;
    bool repair;
    unsigned n_lines;
    uint32_t **pages;             /* counts, PAGE of them each; NULL = all 0 */
    uint64_t n_pages, n_clusters; /* clusters of the file */
    struct atoll_error *err;
};

/* ---- telling ---- */

static void tell(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct check *c, const char *format, ...) {
    char line[256];
    va_list args;
    if (!c->each || c->n_lines++ >= IMG_CHECK_LINES) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->each(c->context, line);
}

/* ---- counting ---- */

static uint32_t counted(const struct check *c, uint64_t cluster) {
    const uint32_t *page = cluster < c->n_clusters ? c->pages[cluster / PAGE] : NULL;
    return page ? page[cluster % PAGE] : 0;
}

/* Counts the clusters that [offset, offset + n) touches. */
static enum atoll_status count(struct check *c, uint64_t offset, uint64_t n_bytes, const char *what) {
    struct qcow2 *q = c->q;
    uint64_t first = offset >> q->cluster_bits, last = (offset + n_bytes - 1) >> q->cluster_bits;
    if (!n_bytes) return ATOLL_OK;
    if (offset + n_bytes < offset || last >= c->n_clusters) {
        tell(c, "%s at 0x%llx lies behind the end of the file", what, (unsigned long long)offset);
        c->out->n_corruptions++;
        return ATOLL_OK;
    }
    for (uint64_t i = first; i <= last; i++) {
        uint32_t **page = &c->pages[i / PAGE];
        if (!*page) *page = atoll_new(q->alloc, PAGE, sizeof **page);
        if (!*page) return img_fail_nomem(c->err);
        if ((*page)[i % PAGE] < UINT32_MAX) (*page)[i % PAGE]++;
    }
    return ATOLL_OK;
}

static enum atoll_status count_table(struct check *c, uint64_t offset, uint64_t n_bytes, const char *what) {
    if (offset & (c->q->cluster_size - 1)) {
        tell(c, "%s at 0x%llx does not begin at a cluster", what, (unsigned long long)offset);
        c->out->n_corruptions++;
        return ATOLL_OK;
    }
    return count(c, offset, n_bytes, what);
}

/* ---- what points ---- */

static enum atoll_status count_entry(struct check *c, uint64_t entry, bool active) {
    struct qcow2 *q = c->q;
    uint64_t offset, n_bytes;
    enum qc_kind kind = qc_kind_of(q, entry);
    if (active && kind != QC_NONE) c->out->n_allocated++;
    if (kind == QC_PACKED) {
        qc_packed_run(q, entry, &offset, &n_bytes);
        if (active) c->out->n_compressed++;
        /* The last sector may lie behind the end: what was packed ended before. */
        if (offset < q->file_end && n_bytes > q->file_end - offset) n_bytes = q->file_end - offset;
        return count(c, offset, n_bytes, "a compressed cluster");
    }
    return entry & QC_OFFSET ? count_table(c, entry & QC_OFFSET, q->cluster_size, "a data cluster")
                             : ATOLL_OK;
}

static enum atoll_status read_bytes(struct check *c, void *bytes, size_t n, uint64_t offset) {
    int error = img_file_read(c->q->file, bytes, n, offset);
    return error ? img_fail_io(c->q->img, error, "cannot read a table", c->err) : ATOLL_OK;
}

static enum atoll_status walk_l2(struct check *c, uint64_t offset, uint8_t *table, bool active) {
    struct qcow2 *q = c->q;
    enum atoll_status status = count_table(c, offset, q->cluster_size, "an L2 table");
    if (status || offset & (q->cluster_size - 1) || offset >> q->cluster_bits >= c->n_clusters) return status;
    status = read_bytes(c, table, q->cluster_size, offset);
    for (uint64_t i = 0; !status && i < q->cluster_size / 8; i++) {
        uint64_t entry = qc_get64(table + i * 8);
        if (entry) status = count_entry(c, entry, active);
    }
    return status;
}

static enum atoll_status walk_l1(struct check *c, const uint64_t *l1, uint64_t n, bool active) {
    uint8_t *table = atoll_new(c->q->alloc, 1, c->q->cluster_size);
    if (!table) return img_fail_nomem(c->err);
    enum atoll_status status = ATOLL_OK;
    for (uint64_t i = 0; !status && i < n; i++)
        if (l1[i] & QC_OFFSET) status = walk_l2(c, l1[i] & QC_OFFSET, table, active);
    atoll_free(c->q->alloc, table, c->q->cluster_size);
    return status;
}

/* ---- internal snapshots ---- */

static enum atoll_status walk_snapshot_l1(struct check *c, uint64_t offset, uint64_t n) {
    struct qcow2 *q = c->q;
    if (n > QC_L1_MAX) {
        tell(c, "a snapshot's L1 table is too large");
        c->out->n_corruptions++;
        return ATOLL_OK;
    }
    enum atoll_status status = count_table(c, offset, n * 8, "a snapshot's L1 table");
    if (status || !n || !qc_place_ok(q, offset, n * 8)) return status;
    uint64_t *l1 = atoll_new(q->alloc, n, sizeof *l1);
    if (!l1) return img_fail_nomem(c->err);
    status = read_bytes(c, l1, n * 8, offset);
    for (uint64_t i = 0; i < n; i++) l1[i] = __builtin_bswap64(l1[i]);
    if (!status) status = walk_l1(c, l1, n, false);
    atoll_free(q->alloc, l1, n * sizeof *l1);
    return status;
}

/* An entry: u64 L1 offset, u32 its entries, u16 id size, u16 name size, 20 bytes, u32 extra size at 36, extra,
 * id, name; padded to 8. */
static enum atoll_status walk_snapshots(struct check *c) {
    struct qcow2 *q = c->q;
    uint64_t at = q->header.snapshots_offset;
    enum atoll_status status = ATOLL_OK;
    for (uint32_t i = 0; !status && i < q->header.n_snapshots; i++) {
        uint8_t b[40];
        status = read_bytes(c, b, sizeof b, at);
        if (status) break;
        at += sizeof b + (uint64_t)qc_get32(b + 36) + qc_get16(b + 12) + qc_get16(b + 14);
        at = (at + 7) & ~UINT64_C(7);
        if (at - q->header.snapshots_offset > QC_SNAPSHOT_BYTES_MAX)
            return atoll_fail(c->err, ATOLL_E_LIMIT, q->header.snapshots_offset,
                              "the snapshots' table is too large");
        status = walk_snapshot_l1(c, qc_get64(b), qc_get32(b + 8));
    }
    if (status || !q->header.n_snapshots) return status;
    return count_table(c, q->header.snapshots_offset, at - q->header.snapshots_offset,
                       "the snapshots' table");
}

static enum atoll_status count_all(struct check *c) {
    struct qcow2 *q = c->q;
    const struct qc_header *h = &q->header;
    enum atoll_status status = count(c, 0, q->cluster_size, "the header");
    if (!status) status = count_table(c, h->l1_offset, (uint64_t)h->l1_size * 8, "the L1 table");
    if (!status) status = walk_l1(c, q->l1, h->l1_size, true);
    if (!status) status = walk_snapshots(c);
    if (!status)
        status = count_table(c, h->reftable_offset, (uint64_t)h->reftable_clusters << q->cluster_bits,
                             "the refcount table");
    for (uint64_t t = 0; !status && t < q->n_reftable; t++)
        if (q->reftable[t]) status = count_table(c, q->reftable[t], q->cluster_size, "a refcount block");
    return status;
}

/* ---- comparing ---- */

static void differs(struct check *c, uint64_t cluster, uint64_t said, uint64_t found) {
    unsigned long long at = cluster << c->q->cluster_bits;
    if (said > found) {
        tell(c, "leaked: the cluster at 0x%llx is counted %llu times and used %llu times", at,
             (unsigned long long)said, (unsigned long long)found);
        c->out->n_leaks++;
    } else {
        tell(c, "corrupt: the cluster at 0x%llx is counted %llu times and used %llu times", at,
             (unsigned long long)said, (unsigned long long)found);
        c->out->n_corruptions++;
    }
}

/* A count that cannot be held, or has no block, is not mended here. */
static void mend(struct check *c, struct qc_slot *slot, uint64_t i, uint64_t found) {
    struct qcow2 *q = c->q;
    unsigned bits = 1u << q->header.refcount_order;
    if (!c->repair || !slot || (bits < 64 && found >> bits)) return;
    qc_ref_put(q, slot->bytes, i, found);
    qc_cache_dirty(&q->blocks, slot);
    c->out->n_fixed++;
}

static enum atoll_status compare_block(struct check *c, uint64_t t) {
    struct qcow2 *q = c->q;
    struct qc_slot *slot = NULL;
    uint64_t first = t << q->block_bits, n = UINT64_C(1) << q->block_bits;
    int error = 0;
    if (t < q->n_reftable && q->reftable[t])
        error = qc_cache_get(q, &q->blocks, q->reftable[t], false, &slot);
    if (error) return img_fail_io(q->img, error, "cannot read a refcount block", c->err);
    for (uint64_t i = 0; i < n && (slot || first + i < c->n_clusters); i++) {
        uint64_t said = slot ? qc_ref_at(q, slot->bytes, i) : 0, found = counted(c, first + i);
        if (said == found) continue;
        differs(c, first + i, said, found);
        mend(c, slot, i, found);
    }
    return ATOLL_OK;
}

static enum atoll_status compare(struct check *c) {
    struct qcow2 *q = c->q;
    uint64_t n_blocks = (c->n_clusters + (UINT64_C(1) << q->block_bits) - 1) >> q->block_bits;
    enum atoll_status status = ATOLL_OK;
    if (n_blocks < q->n_reftable) n_blocks = q->n_reftable;
    for (uint64_t t = 0; !status && t < n_blocks; t++) {
        bool has = t < q->n_reftable && q->reftable[t];
        /* A gap without a block and without pointers has nothing to compare. */
        uint64_t page = (t << q->block_bits) / PAGE, end = ((t + 1) << q->block_bits) / PAGE;
        bool used = false;
        for (; !used && page <= end && page < c->n_pages; page++) used = c->pages[page] != NULL;
        if (has || used) status = compare_block(c, t);
    }
    return status;
}

/* COPIED promises that nobody else points there. */
static enum atoll_status check_copied_table(struct check *c, struct qc_slot *slot) {
    struct qcow2 *q = c->q;
    for (uint64_t i = 0; i < q->cluster_size / 8; i++) {
        uint64_t entry = qc_entry(slot, i), offset = entry & QC_OFFSET;
        if (qc_kind_of(q, entry) == QC_PACKED || !offset || offset & (q->cluster_size - 1)) continue;
        bool alone = counted(c, offset >> q->cluster_bits) == 1;
        if (alone == (entry >> 63)) continue;
        tell(c, "corrupt: the entry for the cluster at 0x%llx says that it has %s user",
             (unsigned long long)offset, alone ? "more than one" : "one");
        c->out->n_corruptions++;
        if (!c->repair) continue;
        qc_entry_set(q, slot, i, alone ? entry | QC_COPIED : entry & ~QC_COPIED);
        c->out->n_fixed++;
    }
    return ATOLL_OK;
}

static enum atoll_status check_copied(struct check *c) {
    struct qcow2 *q = c->q;
    for (uint64_t i = 0; i < q->header.l1_size; i++) {
        struct qc_slot *slot;
        uint64_t offset = q->l1[i] & QC_OFFSET;
        if (!offset) continue;
        int error = qc_cache_get(q, &q->l2, offset, false, &slot);
        if (error) return img_fail_io(q->img, error, "cannot read an L2 table", c->err);
        bool alone = counted(c, offset >> q->cluster_bits) == 1;
        if (alone != (q->l1[i] >> 63)) {
            tell(c, "corrupt: the entry for the L2 table at 0x%llx says that it has %s user",
                 (unsigned long long)offset, alone ? "more than one" : "one");
            c->out->n_corruptions++;
            if (c->repair) {
                q->l1[i] = alone ? q->l1[i] | QC_COPIED : q->l1[i] & ~QC_COPIED;
                qc_l1_dirty(q, i);
                c->out->n_fixed++;
            }
        }
        enum atoll_status status = check_copied_table(c, slot);
        if (status) return status;
    }
    return ATOLL_OK;
}

/* ---- all of it ---- */

static enum atoll_status finish_repair(struct check *c) {
    struct qcow2 *q = c->q;
    int error = qc_sync(q);
    if (!error && c->out->n_fixed == c->out->n_corruptions + c->out->n_leaks &&
        q->header.incompatible & (QC_DIRTY | QC_CORRUPT)) {
        q->header.incompatible &= ~(QC_DIRTY | QC_CORRUPT);
        error = qc_write_incompatible(q);
    }
    q->free_hint = 0;
    return error ? img_fail_io(q->img, error, "cannot write what was mended", c->err) : ATOLL_OK;
}

static enum atoll_status check_locked(struct check *c) {
    struct qcow2 *q = c->q;
    int error = q->img->readonly ? 0 : qc_sync(q);
    if (error) return img_fail_io(q->img, error, "cannot write the tables", c->err);
    enum atoll_status status = count_all(c);
    if (!status) status = compare(c);
    if (!status) status = check_copied(c);
    if (!status && c->repair) status = finish_repair(c);
    return status;
}

enum atoll_status img_qcow2_check(struct img *img, bool repair, void (*each)(void *context, const char *line),
                                  void *context, struct img_check *out, struct atoll_error *err) {
    struct qcow2 *q = img->state;
    struct check c = {.q = q, .out = out, .each = each, .context = context, .repair = repair, .err = err};
    if (!q->counts || (repair && img->readonly))
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the image is open to be read");
    if (q->header.autoclear)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, 88, "the image has bitmaps, which are not checked here");
    pthread_mutex_lock(&q->lock);
    c.n_clusters = q->file_end >> q->cluster_bits;
    c.n_pages = (c.n_clusters + PAGE - 1) / PAGE;
    out->n_clusters = (img->size + q->cluster_size - 1) >> q->cluster_bits;
    enum atoll_status status;
    if (c.n_clusters >> CLUSTERS_BITS_MAX)
        status = atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "the file is too large to be checked");
    else if (!(c.pages = atoll_new(q->alloc, c.n_pages, sizeof *c.pages)))
        status = img_fail_nomem(err);
    else
        status = check_locked(&c);
    for (uint64_t i = 0; c.pages && i < c.n_pages; i++)
        atoll_free(q->alloc, c.pages[i], PAGE * sizeof **c.pages);
    atoll_free(q->alloc, c.pages, c.n_pages * sizeof *c.pages);
    pthread_mutex_unlock(&q->lock);
    return status;
}
