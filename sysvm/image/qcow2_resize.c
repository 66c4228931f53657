/* sysvm/image/qcow2_resize.c: a larger or smaller disk in the same image. */
#include "sysvm/image/qcow2.h"

/* Size and L1 table change with one write: [24 size .. 36 L1 entries .. 40 L1 offset .. 48). */
static int write_header(struct qcow2 *q, uint64_t size, uint32_t l1_size, uint64_t l1_offset) {
    uint8_t b[24];
    qc_put64(b, size);
    qc_put32(b + 8, q->header.crypt_method);
    qc_put32(b + 12, l1_size);
    qc_put64(b + 16, l1_offset);
    int error = img_file_write(q->file, b, sizeof b, 24);
    return error ? error : q->file->ops->sync(q->file);
}

static int write_l1_copy(struct qcow2 *q, uint64_t offset, uint64_t n_bytes) {
    int error = img_file_write_zeroes(q->file, offset, n_bytes);
    for (uint64_t i = 0; !error && i < q->header.l1_size; i++) {
        uint8_t b[8];
        if (!q->l1[i]) continue;
        qc_put64(b, q->l1[i]);
        error = img_file_write(q->file, b, sizeof b, offset + i * 8);
    }
    return error ? error : q->file->ops->sync(q->file);
}

/* The L1 table moves to a place with room for `entries`. All of the old one is on the disk. */
static int move_l1(struct qcow2 *q, uint64_t size, uint64_t entries) {
    uint64_t n = ((entries * 8 - 1) >> q->cluster_bits) + 1, cluster, old_n;
    uint64_t *l1 = atoll_new(q->alloc, entries, sizeof *l1);
    if (!l1) return ENOMEM;
    int error = qc_alloc_exactly(q, n, &cluster);
    if (!error) error = qc_sync(q); /* its counts */
    if (!error) error = write_l1_copy(q, cluster << q->cluster_bits, n << q->cluster_bits);
    if (!error) error = write_header(q, size, (uint32_t)entries, cluster << q->cluster_bits);
    if (error) {
        atoll_free(q->alloc, l1, entries * sizeof *l1);
        q->failed = true; /* which L1 table the header names is not known */
        return error;
    }
    old_n = ((uint64_t)q->header.l1_size * 8 + q->cluster_size - 1) >> q->cluster_bits;
    uint64_t old = q->header.l1_offset >> q->cluster_bits;
    if (q->header.l1_size) memcpy(l1, q->l1, q->header.l1_size * sizeof *l1);
    atoll_free(q->alloc, q->l1, q->header.l1_size * sizeof *l1);
    q->l1 = l1;
    q->header.l1_size = (uint32_t)entries;
    q->header.l1_offset = cluster << q->cluster_bits;
    for (uint64_t i = 0; i < old_n; i++) qc_set_remove(&q->tables, old + i);
    for (uint64_t i = 0; !error && i < n; i++) error = qc_set_add(q, &q->tables, cluster + i);
    if (!error && old_n) error = qc_release(q, old, old_n);
    return error ? error : qc_sync(q);
}

/* What the backing file has behind the old end must not come to light, nor before the new size is written. */
static int hide_backing(struct img *img, uint64_t old) {
    uint64_t end = img->backing ? img->backing->size : 0;
    if (end > img->size) end = img->size;
    if (end <= old) return 0;
    int error = qc_zero(img, old, end - old, true);
    return error ? error : img_flush(img);
}

static int grow(struct img *img, uint64_t size) {
    struct qcow2 *q = img->state;
    uint64_t entries = qc_l1_entries(size, q->cluster_bits), old = img->size;
    pthread_mutex_lock(&q->lock);
    int error = qc_sync(q);
    if (!error && entries > q->header.l1_size) error = move_l1(q, old, entries);
    pthread_mutex_unlock(&q->lock);
    img->size = size;
    if (!error) error = hide_backing(img, old);
    if (!error) error = write_header(q, size, q->header.l1_size, q->header.l1_offset);
    if (error) img->size = old;
    return error;
}

/* What is cut off reads as zeroes when the disk grows again. */
static int shrink(struct img *img, uint64_t size) {
    struct qcow2 *q = img->state;
    int error = qc_zero(img, size, img->size - size, true);
    if (!error) error = img_flush(img);
    if (!error) error = write_header(q, size, q->header.l1_size, q->header.l1_offset);
    if (!error) img->size = size;
    return error;
}

enum atoll_status qc_resize(struct img *img, uint64_t size, struct atoll_error *err) {
    struct qcow2 *q = img->state;
    if (q->header.n_snapshots)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, 60, "an image with internal snapshots keeps its size");
    if (size > INT64_MAX || qc_l1_entries(size, q->cluster_bits) > QC_L1_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          "a disk of %llu bytes is too large for clusters of %llu bytes",
                          (unsigned long long)size, (unsigned long long)q->cluster_size);
    int error = size < img->size ? shrink(img, size) : grow(img, size);
    if (error) return img_fail_io(img, error, "cannot resize", err);
    q->header.size = size;
    return ATOLL_OK;
}
