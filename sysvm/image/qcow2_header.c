/* sysvm/image/qcow2_header.c: what a header may say, and the first tables of a new image.
 *
 *   0 magic  4 version  8 backing file's name: offset  16 its size  20 cluster bits  24 disk size  32 encryption
 *   36 L1 entries  40 L1 offset  48 refcount table offset  56 its clusters  60 snapshots  64 their offset
 *   version 3: 72 incompatible  80 compatible  88 autoclear features  96 log2 of refcount bits  100 header size
 *   104 compression
 *   then extensions: u32 type, u32 size, bytes, padded to 8 */
#include <stdio.h>
#include "sysvm/image/qcow2.h"

static const uint8_t magic[4] = {'Q', 'F', 'I', 0xfb};
enum { EXTENSION_BACKING_FORMAT = (int)0xE2792ACA, EXTENSIONS_BYTES_MAX = 65536 };

uint64_t qc_l1_entries(uint64_t size, uint32_t cluster_bits) {
    uint32_t shift = 2 * cluster_bits - 3;
    return (size >> shift) + ((size & ((UINT64_C(1) << shift) - 1)) != 0);
}

bool qc_place_ok(const struct qcow2 *q, uint64_t offset, uint64_t n_bytes) {
    return offset && !(offset & (q->cluster_size - 1)) && offset < q->file_end &&
           n_bytes <= q->file_end - offset;
}

static void parse(const uint8_t *b, struct qc_header *h) {
    *h = (struct qc_header){.version = qc_get32(b + 4),
                            .backing_offset = qc_get64(b + 8),
                            .backing_size = qc_get32(b + 16),
                            .cluster_bits = qc_get32(b + 20),
                            .size = qc_get64(b + 24),
                            .crypt_method = qc_get32(b + 32),
                            .l1_size = qc_get32(b + 36),
                            .l1_offset = qc_get64(b + 40),
                            .reftable_offset = qc_get64(b + 48),
                            .reftable_clusters = qc_get32(b + 56),
                            .n_snapshots = qc_get32(b + 60),
                            .snapshots_offset = qc_get64(b + 64),
                            .refcount_order = 4,
                            .header_bytes = QC_HEADER_BYTES_V2};
    if (h->version < 3) return;
    h->incompatible = qc_get64(b + 72);
    h->compatible = qc_get64(b + 80);
    h->autoclear = qc_get64(b + 88);
    h->refcount_order = qc_get32(b + 96);
    h->header_bytes = qc_get32(b + 100);
    if (h->header_bytes > 104 && h->incompatible & QC_COMPRESSION_TYPE) h->compression = b[104];
}

static enum atoll_status bad(struct atoll_error *err, uint64_t offset, const char *text) {
    return atoll_fail(err, ATOLL_E_MALFORMED, offset, "%s", text);
}
static enum atoll_status lacks(struct atoll_error *err, uint64_t offset, const char *text) {
    return atoll_fail(err, ATOLL_E_UNSUPPORTED, offset, "%s", text);
}

static enum atoll_status check_features(const struct qcow2 *q, const struct img_qcow2_open *how,
                                        struct atoll_error *err) {
    const struct qc_header *h = &q->header;
    const uint64_t known = QC_DIRTY | QC_CORRUPT | QC_DATA_FILE | QC_COMPRESSION_TYPE | QC_EXTENDED_L2;
    if (h->crypt_method) return lacks(err, 32, "the image is encrypted");
    if (h->incompatible & QC_DATA_FILE)
        return lacks(err, 72, "the image keeps its data in another file (data-file), which is not opened");
    if (h->incompatible & QC_EXTENDED_L2) return lacks(err, 72, "the image has subclusters (extended L2)");
    if (h->incompatible & ~known) return lacks(err, 72, "the image has features that are not known here");
    if (h->compression > 1) return lacks(err, 104, "the image is compressed in a way that is not known here");
    if (h->incompatible & QC_CORRUPT && !q->img->readonly && !how->check)
        return bad(err, 72,
                   "the image is marked as corrupt; it can be read, or mended with "
                   "\"atoll disk check --repair\"");
    return ATOLL_OK;
}

static enum atoll_status check_numbers(const struct qcow2 *q, struct atoll_error *err) {
    const struct qc_header *h = &q->header;
    if (h->refcount_order > 6) return bad(err, 96, "refcounts wider than 64 bits");
    if (h->header_bytes < (h->version < 3 ? QC_HEADER_BYTES_V2 : 104) || h->header_bytes & 7 ||
        h->header_bytes > q->cluster_size)
        return bad(err, 100, "the header's size is wrong");
    if (h->size > INT64_MAX) return bad(err, 24, "the disk is larger than any can be");
    if (h->l1_size > QC_L1_MAX) return atoll_fail(err, ATOLL_E_LIMIT, 36, "the L1 table is too large");
    if (h->l1_size < qc_l1_entries(h->size, h->cluster_bits))
        return bad(err, 36, "the L1 table is too small for the disk");
    if (h->l1_size && !qc_place_ok(q, h->l1_offset, (uint64_t)h->l1_size * 8))
        return bad(err, 40, "the L1 table does not lie within the file");
    if (!h->reftable_clusters) return bad(err, 56, "the refcount table is empty");
    if (((uint64_t)h->reftable_clusters << h->cluster_bits) / 8 > QC_REFTABLE_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, 56, "the refcount table is too large");
    /* Its last clusters may not have been written yet. */
    if (!qc_place_ok(q, h->reftable_offset, 1)) return bad(err, 48, "the refcount table is not in the file");
    if (h->n_snapshots > QC_SNAPSHOTS_MAX) return atoll_fail(err, ATOLL_E_LIMIT, 60, "too many snapshots");
    if (h->n_snapshots && !qc_place_ok(q, h->snapshots_offset, 1))
        return bad(err, 64, "the table of snapshots is not in the file");
    return ATOLL_OK;
}

/* ---- names in the header's cluster ---- */

static enum atoll_status read_extensions(struct qcow2 *q, const uint8_t *b, size_t n,
                                         struct atoll_error *err) {
    const struct qc_header *h = &q->header;
    size_t end = h->backing_offset && h->backing_offset < n ? h->backing_offset : n;
    for (size_t at = h->header_bytes; at + 8 <= end;) {
        uint32_t type = qc_get32(b + at), size = qc_get32(b + at + 4);
        if (!type) break;
        if (size > end - at - 8) return bad(err, at, "a header extension does not end in the header");
        if (type == (uint32_t)EXTENSION_BACKING_FORMAT) {
            if (size >= sizeof q->backing_format)
                return bad(err, at, "the backing file's format is too long");
            memcpy(q->backing_format, b + at + 8, size);
            q->backing_format[size] = 0;
        }
        at += 8 + (((size_t)size + 7) & ~(size_t)7);
    }
    return ATOLL_OK;
}

static enum atoll_status read_backing_name(struct qcow2 *q, const uint8_t *b, size_t n,
                                           struct atoll_error *err) {
    const struct qc_header *h = &q->header;
    if (!h->backing_offset && !h->backing_size) return ATOLL_OK;
    if (!h->backing_size) return ATOLL_OK;
    if (h->backing_size > QC_NAME_MAX) return bad(err, 16, "the backing file's name is too long");
    if (h->backing_offset < h->header_bytes || h->backing_offset > n ||
        h->backing_size > n - h->backing_offset)
        return bad(err, 8, "the backing file's name does not lie in the header's cluster");
    memcpy(q->backing, b + h->backing_offset, h->backing_size);
    if (memchr(q->backing, 0, h->backing_size)) return bad(err, h->backing_offset, "a name with a zero byte");
    return ATOLL_OK;
}

/* A format we open without a guess, or a refusal. */
static enum atoll_status check_backing_format(const struct qcow2 *q, struct atoll_error *err) {
    const char *f = q->backing_format;
    if (!q->header.backing_size || !*f || strcmp(f, "raw") == 0 || strcmp(f, "qcow2") == 0) return ATOLL_OK;
    return atoll_fail(err, ATOLL_E_UNSUPPORTED, 8, "the backing file's format is \"%s\", not raw or qcow2",
                      f);
}

static enum atoll_status read_names(struct qcow2 *q, struct atoll_error *err) {
    size_t n = q->cluster_size < EXTENSIONS_BYTES_MAX ? (size_t)q->cluster_size : EXTENSIONS_BYTES_MAX;
    uint8_t *b = atoll_new(q->alloc, 1, n);
    if (!b) return img_fail_nomem(err);
    int error = img_file_read(q->file, b, n, 0);
    enum atoll_status status = error ? img_fail_io(q->img, error, "cannot read the header", err) : ATOLL_OK;
    if (!status) status = read_backing_name(q, b, n, err);
    if (!status) status = read_extensions(q, b, n, err);
    atoll_free(q->alloc, b, n);
    return status ? status : check_backing_format(q, err);
}

/* ---- the header ---- */

static enum atoll_status read_header(struct qcow2 *q, const struct img_qcow2_open *how,
                                     struct atoll_error *err) {
    uint8_t b[QC_HEADER_BYTES_V3];
    int error = img_file_read(q->file, b, sizeof b, 0);
    if (error) return img_fail_io(q->img, error, "cannot read the header", err);
    if (q->file->size < QC_HEADER_BYTES_V2 || memcmp(b, magic, sizeof magic) != 0)
        return bad(err, 0, "this is no qcow2 image");
    parse(b, &q->header);
    struct qc_header *h = &q->header;
    if (h->version != 2 && h->version != 3)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, 4, "qcow2 version %u, not 2 or 3", h->version);
    if (h->cluster_bits < QC_CLUSTER_BITS_MIN || h->cluster_bits > QC_CLUSTER_BITS_MAX)
        return atoll_fail(err, ATOLL_E_MALFORMED, 20, "clusters of 2^%u bytes, not 2^%d to 2^%d",
                          h->cluster_bits, QC_CLUSTER_BITS_MIN, QC_CLUSTER_BITS_MAX);
    q->cluster_bits = h->cluster_bits;
    q->cluster_size = UINT64_C(1) << q->cluster_bits;
    q->l2_bits = q->cluster_bits - 3;
    q->file_end = (q->file->size + q->cluster_size - 1) & ~(q->cluster_size - 1);
    enum atoll_status status = check_features(q, how, err);
    if (!status) status = check_numbers(q, err);
    if (status) return status;
    q->block_bits = q->cluster_bits + 3 - h->refcount_order;
    return read_names(q, err);
}

int qc_write_incompatible(struct qcow2 *q) {
    uint8_t b[8];
    if (q->header.version < 3) return 0;
    qc_put64(b, q->header.incompatible);
    int error = img_file_write(q->file, b, sizeof b, 72);
    return error ? error : q->file->ops->sync(q->file);
}

/* ---- tables that are held as a whole ---- */

static enum atoll_status read_table(struct qcow2 *q, uint64_t offset, uint64_t n, const char *what,
                                    uint64_t **out, struct atoll_error *err) {
    *out = atoll_new(q->alloc, n, 8);
    if (!*out && n) return img_fail_nomem(err);
    int error = n ? img_file_read(q->file, *out, n * 8, offset) : 0;
    if (error) return img_fail_io(q->img, error, what, err);
    for (uint64_t i = 0; i < n; i++) (*out)[i] = __builtin_bswap64((*out)[i]);
    return ATOLL_OK;
}

static enum atoll_status add_table(struct qcow2 *q, uint64_t offset, uint64_t at, const char *what,
                                   uint64_t i, struct atoll_error *err) {
    if (!qc_place_ok(q, offset, 1))
        return atoll_fail(err, ATOLL_E_MALFORMED, at, "%s %llu points at 0x%llx, where no table can be", what,
                          (unsigned long long)i, (unsigned long long)offset);
    int error = qc_set_add(q, &q->tables, offset >> q->cluster_bits);
    if (error == ENOMEM) return img_fail_nomem(err);
    if (error)
        return atoll_fail(err, ATOLL_E_MALFORMED, at, "%s %llu points at 0x%llx, where another table is",
                          what, (unsigned long long)i, (unsigned long long)offset);
    return ATOLL_OK;
}

static enum atoll_status add_range(struct qcow2 *q, uint64_t offset, uint64_t n_bytes, const char *what,
                                   struct atoll_error *err) {
    enum atoll_status status = ATOLL_OK;
    for (uint64_t at = 0; !status && at < n_bytes; at += q->cluster_size)
        status = offset + at < q->file_end ? add_table(q, offset + at, offset, what, 0, err) : ATOLL_OK;
    return status;
}

static enum atoll_status read_tables(struct qcow2 *q, struct atoll_error *err) {
    const struct qc_header *h = &q->header;
    uint64_t reftable_bytes = (uint64_t)h->reftable_clusters << q->cluster_bits;
    if (qc_set_add(q, &q->tables, 0)) return img_fail_nomem(err);
    enum atoll_status status =
        read_table(q, h->l1_offset, h->l1_size, "cannot read the L1 table", &q->l1, err);
    if (!status) status = add_range(q, h->l1_offset, (uint64_t)h->l1_size * 8, "L1 table", err);
    if (!status) status = add_range(q, h->reftable_offset, reftable_bytes, "refcount table", err);
    for (uint64_t i = 0; !status && i < h->l1_size; i++)
        if (q->l1[i] & QC_OFFSET)
            status = add_table(q, q->l1[i] & QC_OFFSET, h->l1_offset + i * 8, "L1 entry", i, err);
    if (status || !q->counts) return status;
    q->n_reftable = reftable_bytes / 8;
    status =
        read_table(q, h->reftable_offset, q->n_reftable, "cannot read the refcount table", &q->reftable, err);
    for (uint64_t i = 0; !status && i < q->n_reftable; i++)
        if (q->reftable[i]) /* bits 8..0 are reserved and make it a place where no table can be */
            status = add_table(q, q->reftable[i], h->reftable_offset + i * 8, "refcount table entry", i, err);
    return status;
}

/* ---- the driver ---- */

static int flush(struct img *img) {
    struct qcow2 *q = img->state;
    pthread_mutex_lock(&q->lock);
    bool tables = q->blocks.n_dirty || q->l2.n_dirty || q->l1_dirty_to || q->n_pending;
    int error = q->failed ? EIO : tables ? qc_sync(q) : 0;
    pthread_mutex_unlock(&q->lock);
    return error || tables ? error : q->file->ops->sync(q->file);
}

static bool flush_is_sync(struct img *img, struct img_file **out) {
    struct qcow2 *q = img->state;
    if (pthread_mutex_trylock(&q->lock)) return false;
    bool tables = q->failed || q->blocks.n_dirty || q->l2.n_dirty || q->l1_dirty_to || q->n_pending;
    pthread_mutex_unlock(&q->lock);
    *out = q->file;
    return !tables;
}

static int extent(struct img *img, uint64_t offset, struct img_extent *out) {
    struct qcow2 *q = img->state;
    struct qc_slot *slot;
    pthread_mutex_lock(&q->lock);
    int error = qc_l2_get(q, offset, false, &slot);
    uint64_t i = qc_l2_index(q, offset), n = 0, end = UINT64_C(1) << q->l2_bits;
    enum qc_kind kind = error || !slot ? QC_NONE : qc_kind_of(q, qc_entry(slot, i));
    while (!error && i + n < end && (!slot || qc_kind_of(q, qc_entry(slot, i + n)) == kind)) n++;
    pthread_mutex_unlock(&q->lock);
    if (error) return error;
    out->zero = kind == QC_ZEROES || kind == QC_NONE;
    out->n_bytes = (n << q->cluster_bits) - (offset & (q->cluster_size - 1));
    if (kind != QC_NONE || !img->backing || offset >= img->backing->size) return 0;
    struct img_extent below;
    error = img_extent_at(img->backing, offset, &below);
    if (below.n_bytes < out->n_bytes) out->n_bytes = below.n_bytes;
    out->zero = below.zero;
    return error;
}

static bool borrow(struct img *img, bool write, uint64_t offset, uint64_t n_bytes, struct img_piece *out) {
    struct qcow2 *q = img->state;
    if (pthread_mutex_trylock(&q->lock)) return false;
    uint64_t l1 = q->l1[offset >> q->cluster_bits >> q->l2_bits], i = qc_l2_index(q, offset);
    uint64_t in_cluster = offset & (q->cluster_size - 1);
    struct qc_slot *slot = l1 & QC_OFFSET ? qc_cache_find(&q->l2, l1 & QC_OFFSET) : NULL;
    uint64_t entry = slot ? qc_entry(slot, i) : 0;
    uint64_t n = (in_cluster + n_bytes + q->cluster_size - 1) >> q->cluster_bits;
    bool ok = slot && !q->failed && qc_kind_of(q, entry) == QC_DATA &&
              (!write || (entry & QC_COPIED && l1 & QC_COPIED));
    ok = ok && !qc_check_entry(q, offset, entry) && qc_data_run(q, slot, i, n, write) >= n;
    if (ok) {
        *out = (struct img_piece){q->file, (entry & QC_OFFSET) + in_cluster};
        qc_moving_begin(q);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

static void release(struct img *img) { qc_moving_end(img->state); }

static enum img_format backing_format(const struct qcow2 *q) {
    if (strcmp(q->backing_format, "raw") == 0) return IMG_RAW;
    if (strcmp(q->backing_format, "qcow2") == 0) return IMG_QCOW2;
    return img_format_of_name(q->backing);
}

static void info(struct img *img, struct img_info *out) {
    const struct qcow2 *q = img->state;
    const struct qc_header *h = &q->header;
    out->format = IMG_QCOW2;
    out->file_bytes = q->file->ops->allocated(q->file);
    out->cluster_bytes = q->cluster_size;
    out->version = h->version;
    out->n_snapshots = h->n_snapshots;
    out->compression = h->compression ? "zstd" : "zlib";
    if (h->backing_size) out->backing = q->backing;
    if (h->backing_size) out->backing_format = backing_format(q);
    out->dirty = h->incompatible & QC_DIRTY;
    out->corrupt = h->incompatible & QC_CORRUPT;
    out->lazy_refcounts = h->compatible & QC_LAZY_REFCOUNTS;
}

static void free_state(struct img *img) {
    struct qcow2 *q = img->state;
    if (!q) return;
    qc_cache_fini(q, &q->l2);
    qc_cache_fini(q, &q->blocks);
    qc_set_fini(q, &q->tables);
    atoll_free(q->alloc, q->l1, q->header.l1_size * sizeof *q->l1);
    atoll_free(q->alloc, q->reftable, q->n_reftable * sizeof *q->reftable);
    for (int k = 0; k < 2; k++) atoll_free(q->alloc, q->edges[k], q->cluster_size);
    atoll_free(q->alloc, q->plain, q->cluster_size);
    atoll_free(q->alloc, q->packed, 2 * q->cluster_size);
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->moving_lock);
    pthread_cond_destroy(&q->moving_none);
    atoll_free(q->alloc, q, sizeof *q);
    img->state = NULL;
}

static const struct img_driver qcow2_driver = {
    .name = "qcow2",
    .read = qc_read,
    .write = qc_write,
    .flush = flush,
    .discard = qc_discard,
    .zero = qc_zero,
    .extent = extent,
    .borrow = borrow,
    .release = release,
    .flush_is_sync = flush_is_sync,
    .info = info,
    .resize = qc_resize,
    .free = free_state,
};

/* What a writer owes the header: features that describe what it does not keep up go. */
static enum atoll_status start_writing(struct qcow2 *q, struct atoll_error *err) {
    uint8_t b[8] = {0};
    if (q->header.version < 3 || !q->header.autoclear) return ATOLL_OK;
    int error = img_file_write(q->file, b, sizeof b, 88);
    if (error) return img_fail_io(q->img, error, "cannot write the header", err);
    q->header.autoclear = 0;
    return ATOLL_OK;
}

enum atoll_status img_qcow2_open(struct img *img, const struct img_qcow2_open *how, struct atoll_error *err) {
    struct qcow2 *q = atoll_new(img->alloc, 1, sizeof *q);
    if (!q) return img_fail_nomem(err);
    q->img = img;
    q->alloc = img->alloc;
    q->file = img->file;
    q->counts = !img->readonly || how->check;
    pthread_mutex_init(&q->lock, NULL); /* default attributes: cannot fail on Linux */
    pthread_mutex_init(&q->moving_lock, NULL);
    pthread_cond_init(&q->moving_none, NULL);
    img->state = q;
    enum atoll_status status = read_header(q, how, err);
    if (status) q->header.l1_size = 0;
    if (!status && (qc_cache_init(q, &q->l2, 4 << 20) || qc_cache_init(q, &q->blocks, 1 << 20)))
        status = img_fail_nomem(err);
    if (!status) status = read_tables(q, err);
    if (!status && !img->readonly && !how->check) status = start_writing(q, err);
    if (status) {
        free_state(img);
        return status;
    }
    img->driver = &qcow2_driver;
    img->size = q->header.size;
    img->discard_bytes = (unsigned)q->cluster_size;
    return ATOLL_OK;
}
