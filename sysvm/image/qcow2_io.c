/* sysvm/image/qcow2_io.c: reading and writing the guest's bytes. */
#include "sysvm/image/qcow2.h"

/* ---- data on its way ---- */

void qc_moving_begin(struct qcow2 *q) {
    pthread_mutex_lock(&q->moving_lock);
    q->n_moving++;
    pthread_mutex_unlock(&q->moving_lock);
}

void qc_moving_end(struct qcow2 *q) {
    pthread_mutex_lock(&q->moving_lock);
    if (!--q->n_moving) pthread_cond_broadcast(&q->moving_none);
    pthread_mutex_unlock(&q->moving_lock);
}

void qc_moving_wait(struct qcow2 *q) {
    pthread_mutex_lock(&q->moving_lock);
    while (q->n_moving) pthread_cond_wait(&q->moving_none, &q->moving_lock);
    pthread_mutex_unlock(&q->moving_lock);
}

/* ---- a request, piece by piece ---- */

struct piece {
    const struct iovec *iov; /* the whole request's */
    int n_iov;
    size_t skip;      /* bytes of it that are done */
    uint64_t at;      /* guest offset of the next one */
    uint64_t n_bytes; /* that are left */
};

static uint64_t cluster_room(const struct qcow2 *q, uint64_t at) {
    return q->cluster_size - (at & (q->cluster_size - 1));
}
static uint64_t clusters_of(const struct qcow2 *q, const struct piece *p) {
    return ((p->at & (q->cluster_size - 1)) + p->n_bytes + q->cluster_size - 1) >> q->cluster_bits;
}
/* Bytes of the piece in its first n clusters. */
static uint64_t bytes_in(const struct qcow2 *q, const struct piece *p, uint64_t n_clusters) {
    uint64_t n = cluster_room(q, p->at) + ((n_clusters - 1) << q->cluster_bits);
    return n < p->n_bytes ? n : p->n_bytes;
}

static int move_data(struct qcow2 *q, bool write, const struct piece *p, uint64_t offset, uint64_t n) {
    struct iovec part[IMG_MAX_IOV];
    int n_part = img_iov_slice(p->iov, p->n_iov, p->skip, n, part);
    return (write ? q->file->ops->write : q->file->ops->read)(q->file, part, n_part, offset);
}

/* ---- reading ---- */

/* What the backing file has at a place that this image says nothing about. */
static int read_backing(struct img *img, const struct iovec *part, int n_part, uint64_t at, uint64_t n) {
    uint64_t has = img->backing && at < img->backing->size ? img->backing->size - at : 0;
    struct iovec slice[IMG_MAX_IOV];
    if (has < n) {
        int n_slice = img_iov_slice(part, n_part, has, n - has, slice);
        img_iov_zero(slice, n_slice);
    }
    if (!has) return 0;
    int n_slice = img_iov_slice(part, n_part, 0, has < n ? has : n, slice);
    return img_readv(img->backing, slice, n_slice, at);
}

/* How many entries from i on are of the same kind without data. */
static uint64_t same_run(const struct qcow2 *q, const struct qc_slot *slot, uint64_t i, uint64_t max) {
    enum qc_kind kind = qc_kind_of(q, qc_entry(slot, i));
    uint64_t n = 1, end = UINT64_C(1) << q->l2_bits;
    while (n < max && i + n < end && qc_kind_of(q, qc_entry(slot, i + n)) == kind) n++;
    return n;
}

/* What to do for the first bytes of a piece. */
struct plan {
    enum qc_kind kind;
    uint64_t n_bytes, offset; /* offset: in the file, of QC_DATA */
};

static int plan_read(struct qcow2 *q, const struct piece *p, struct plan *out) {
    struct qc_slot *slot;
    uint64_t i = qc_l2_index(q, p->at), max = clusters_of(q, p);
    int error = qc_l2_get(q, p->at, false, &slot);
    if (error) return error;
    *out = (struct plan){.kind = QC_NONE};
    if (!slot) {
        uint64_t left = (UINT64_C(1) << q->l2_bits) - i;
        out->n_bytes = bytes_in(q, p, left < max ? left : max);
        return 0;
    }
    uint64_t entry = qc_entry(slot, i), n = 1;
    out->kind = qc_kind_of(q, entry);
    if (out->kind == QC_DATA) {
        if ((error = qc_check_entry(q, p->at, entry))) return error;
        n = qc_data_run(q, slot, i, max, false);
        out->offset = (entry & QC_OFFSET) + (p->at & (q->cluster_size - 1));
    } else if (out->kind == QC_PACKED) {
        error = qc_unpack(q, entry);
    } else {
        n = same_run(q, slot, i, max);
    }
    out->n_bytes = bytes_in(q, p, n);
    return error;
}

static int read_piece(struct qcow2 *q, const struct piece *p, uint64_t *out_n) {
    struct iovec part[IMG_MAX_IOV];
    struct plan plan;
    pthread_mutex_lock(&q->lock);
    int error = plan_read(q, p, &plan);
    int n_part = error ? 0 : img_iov_slice(p->iov, p->n_iov, p->skip, plan.n_bytes, part);
    if (!error && plan.kind == QC_PACKED)
        img_iov_fill(part, n_part, q->plain + (p->at & (q->cluster_size - 1)));
    if (!error && plan.kind == QC_DATA) qc_moving_begin(q);
    pthread_mutex_unlock(&q->lock);
    if (error) return error;
    *out_n = plan.n_bytes;
    if (plan.kind == QC_ZEROES) img_iov_zero(part, n_part);
    if (plan.kind == QC_NONE) error = read_backing(q->img, part, n_part, p->at, plan.n_bytes);
    if (plan.kind != QC_DATA) return error;
    error = q->file->ops->read(q->file, part, n_part, plan.offset);
    qc_moving_end(q);
    return error;
}

int qc_read(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes) {
    struct piece p = {.iov = iov, .n_iov = n_iov, .at = offset, .n_bytes = n_bytes};
    int error = 0;
    for (uint64_t n; !error && p.n_bytes; p.skip += n, p.at += n, p.n_bytes -= n)
        if ((error = read_piece(img->state, &p, &n))) break;
    return error;
}

/* ---- writing ---- */

/* The n bytes at guest offset `at`, in one cluster, as the disk has them now. */
static int read_old(struct qcow2 *q, uint64_t entry, uint64_t at, uint8_t *bytes, uint64_t n) {
    uint64_t in_cluster = at & (q->cluster_size - 1);
    struct iovec part = {bytes, n};
    int error;
    switch (qc_kind_of(q, entry)) {
    case QC_ZEROES: memset(bytes, 0, n); return 0;
    case QC_NONE: return read_backing(q->img, &part, 1, at, n);
    case QC_PACKED:
        if (!(error = qc_unpack(q, entry))) memcpy(bytes, q->plain + in_cluster, n);
        return error;
    default:
        if ((error = qc_check_entry(q, at, entry))) return error;
        return img_file_read(q->file, bytes, n, (entry & QC_OFFSET) + in_cluster);
    }
}

/* New clusters for what a piece begins with. */
struct fresh {
    uint64_t i, n;    /* their entries */
    uint64_t offset;  /* in the file */
    bool own;         /* entry i keeps its cluster */
    bool reads_zero;  /* nothing was there before */
    uint64_t n_bytes; /* of the piece that go there */
};

static int need_edges(struct qcow2 *q) {
    for (int k = 0; k < 2; k++)
        if (!q->edges[k] && !(q->edges[k] = atoll_new(q->alloc, 1, q->cluster_size))) return ENOMEM;
    return 0;
}

/* The bytes of the first and the last cluster around what the guest writes come from before. Of a place that
 * reads as zeroes zeroes need not be written. */
static int write_fresh(struct qcow2 *q, const struct piece *p, const struct qc_slot *slot,
                       const struct fresh *f) {
    uint64_t head = p->at & (q->cluster_size - 1), end = p->at + f->n_bytes;
    uint64_t tail = (q->cluster_size - (end & (q->cluster_size - 1))) & (q->cluster_size - 1);
    int error = head || tail ? need_edges(q) : 0;
    if (!error && head) error = read_old(q, qc_entry(slot, f->i), p->at - head, q->edges[0], head);
    if (!error && tail) error = read_old(q, qc_entry(slot, f->i + f->n - 1), end, q->edges[1], tail);
    if (error) return error;
    if (head && f->reads_zero && img_is_zero(q->edges[0], head)) head = 0;
    if (tail && f->reads_zero && img_is_zero(q->edges[1], tail)) tail = 0;
    uint64_t offset = f->offset + (p->at & (q->cluster_size - 1));
    if (head) error = img_file_write(q->file, q->edges[0], head, f->offset);
    if (!error) error = move_data(q, true, p, offset, f->n_bytes);
    if (!error && tail) error = img_file_write(q->file, q->edges[1], tail, offset + f->n_bytes);
    return error;
}

static bool in_place(const struct qcow2 *q, uint64_t entry) {
    return qc_kind_of(q, entry) == QC_DATA && entry & QC_COPIED;
}

/* Entries from i on that need a cluster. */
static uint64_t wanting_run(const struct qcow2 *q, const struct qc_slot *slot, uint64_t i, uint64_t max) {
    uint64_t n = 1, end = UINT64_C(1) << q->l2_bits;
    for (; n < max && i + n < end; n++) {
        uint64_t entry = qc_entry(slot, i + n);
        if (in_place(q, entry) || entry & QC_COPIED) break;
    }
    return n;
}

static int choose_fresh(struct qcow2 *q, const struct piece *p, const struct qc_slot *slot, struct fresh *f) {
    uint64_t entry = qc_entry(slot, f->i), cluster, end = q->file_end;
    int error = 0;
    if (qc_kind_of(q, entry) == QC_ZEROES && entry & QC_COPIED && entry & QC_OFFSET) {
        error = qc_check_entry(q, p->at, entry);
        f->own = true;
        f->n = 1;
        f->offset = entry & QC_OFFSET;
    } else {
        error = qc_alloc(q, wanting_run(q, slot, f->i, clusters_of(q, p)), &cluster, &f->n);
        f->offset = error ? 0 : cluster << q->cluster_bits;
        f->reads_zero = f->offset >= end && !q->file->device;
    }
    if (!error) f->n_bytes = bytes_in(q, p, f->n);
    return error;
}

static int write_new(struct qcow2 *q, const struct piece *p, struct qc_slot *slot, uint64_t *out_n) {
    struct fresh f = {.i = qc_l2_index(q, p->at)};
    int error = choose_fresh(q, p, slot, &f);
    if (error) return error;
    error = write_fresh(q, p, slot, &f);
    if (error) {
        if (!f.own) qc_unalloc(q, f.offset >> q->cluster_bits, f.n);
        return error;
    }
    for (uint64_t k = 0; k < f.n; k++) {
        uint64_t old = qc_entry(slot, f.i + k);
        qc_entry_set(q, slot, f.i + k, (f.offset + (k << q->cluster_bits)) | QC_COPIED);
        if (!f.own && !error) error = qc_release_entry(q, old);
    }
    *out_n = f.n_bytes;
    return error;
}

static int write_piece(struct qcow2 *q, const struct piece *p, uint64_t *out_n) {
    struct qc_slot *slot;
    pthread_mutex_lock(&q->lock);
    int error = q->failed ? EIO : qc_l2_get(q, p->at, true, &slot);
    uint64_t i = qc_l2_index(q, p->at), entry = error ? 0 : qc_entry(slot, i);
    if (error || !in_place(q, entry)) {
        if (!error) error = write_new(q, p, slot, out_n);
        pthread_mutex_unlock(&q->lock);
        return error;
    }
    error = qc_check_entry(q, p->at, entry);
    if (!error) *out_n = bytes_in(q, p, qc_data_run(q, slot, i, clusters_of(q, p), true));
    if (!error) qc_moving_begin(q);
    pthread_mutex_unlock(&q->lock);
    if (error) return error;
    error = move_data(q, true, p, (entry & QC_OFFSET) + (p->at & (q->cluster_size - 1)), *out_n);
    qc_moving_end(q);
    return error;
}

int qc_write(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes) {
    struct piece p = {.iov = iov, .n_iov = n_iov, .at = offset, .n_bytes = n_bytes};
    int error = 0;
    for (uint64_t n; p.n_bytes; p.skip += n, p.at += n, p.n_bytes -= n)
        if ((error = write_piece(img->state, &p, &n))) break;
    return error;
}
