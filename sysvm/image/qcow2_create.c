/* sysvm/image/qcow2_create.c: the tables of a new image.
 *
 *   header | refcount table | refcount blocks | L1 table */
#include "sysvm/image/qcow2.h"

struct layout {
    uint64_t cluster_size, n_l1, n_reftable, n_blocks, n_total; /* clusters; n_l1 of the L1 table */
    uint64_t l1_entries, per_block;
};

static uint64_t clusters(uint64_t n_bytes, uint64_t cluster_size) {
    return (n_bytes + cluster_size - 1) / cluster_size;
}

static struct layout lay_out(uint64_t size, unsigned bits) {
    struct layout l = {.cluster_size = UINT64_C(1) << bits, .l1_entries = qc_l1_entries(size, bits)};
    if (!l.l1_entries) l.l1_entries = 1; /* a table whose entries are none would be counted and not used */
    l.n_l1 = clusters(l.l1_entries * 8, l.cluster_size);
    l.per_block = l.cluster_size / 2;
    for (l.n_blocks = 1;; l.n_blocks++) {
        l.n_reftable = clusters(l.n_blocks * 8, l.cluster_size);
        l.n_total = 1 + l.n_reftable + l.n_blocks + l.n_l1;
        if (l.n_total <= l.n_blocks * l.per_block) return l;
    }
}

static size_t put_extension(uint8_t *b, size_t at, uint32_t type, const char *text) {
    size_t size = strlen(text);
    qc_put32(b + at, type);
    qc_put32(b + at + 4, (uint32_t)size);
    memcpy(b + at + 8, text, size);
    return at + 8 + ((size + 7) & ~(size_t)7);
}

static void put_header(uint8_t *b, const struct img_create *how, unsigned bits, const struct layout *l) {
    static const uint8_t magic[4] = {'Q', 'F', 'I', 0xfb};
    size_t at = QC_HEADER_BYTES_V3;
    memcpy(b, magic, sizeof magic);
    qc_put32(b + 4, 3);
    qc_put32(b + 20, bits);
    qc_put64(b + 24, how->size);
    qc_put32(b + 36, (uint32_t)l->l1_entries);
    qc_put64(b + 40, (1 + l->n_reftable + l->n_blocks) * l->cluster_size);
    qc_put64(b + 48, l->cluster_size);
    qc_put32(b + 56, (uint32_t)l->n_reftable);
    qc_put32(b + 96, 4); /* refcounts of 16 bits */
    qc_put32(b + 100, QC_HEADER_BYTES_V3);
    if (!how->backing) return;
    at =
        put_extension(b, at, 0xE2792ACA, img_format_word(how->backing_format)) + 8; /* and the end's zeroes */
    qc_put64(b + 8, at);
    qc_put32(b + 16, (uint32_t)strlen(how->backing));
    memcpy(b + at, how->backing, strlen(how->backing));
}

static int write_refcounts(struct img_file *file, const struct layout *l, uint8_t *b) {
    uint64_t left = l->n_total, block = 0;
    for (uint64_t c = 0; c < l->n_reftable; c++) {
        memset(b, 0, l->cluster_size);
        for (uint64_t i = 0; i < l->cluster_size / 8 && block < l->n_blocks; i++, block++)
            qc_put64(b + i * 8, (1 + l->n_reftable + block) * l->cluster_size);
        int error = img_file_write(file, b, l->cluster_size, (1 + c) * l->cluster_size);
        if (error) return error;
    }
    for (block = 0; block < l->n_blocks; block++) {
        memset(b, 0, l->cluster_size);
        for (uint64_t i = 0; i < l->per_block && left; i++, left--) qc_put16(b + i * 2, 1);
        int error = img_file_write(file, b, l->cluster_size, (1 + l->n_reftable + block) * l->cluster_size);
        if (error) return error;
    }
    return 0;
}

/* The header comes last: what ends before is no image. */
static int write_all(struct img_file *file, const struct img_create *how, unsigned bits,
                     const struct layout *l, uint8_t *b) {
    int error = write_refcounts(file, l, b);
    uint64_t l1 = (1 + l->n_reftable + l->n_blocks) * l->cluster_size;
    if (!error) error = file->device ? 0 : file->ops->resize(file, l->n_total * l->cluster_size);
    if (!error && file->device) error = img_file_write_zeroes(file, l1, l->n_l1 * l->cluster_size);
    if (!error) error = file->ops->sync(file);
    if (error) return error;
    memset(b, 0, l->cluster_size);
    put_header(b, how, bits, l);
    error = img_file_write(file, b, l->cluster_size, 0);
    return error ? error : file->ops->sync(file);
}

enum atoll_status img_qcow2_format(struct img_file *file, const struct img_create *how,
                                   struct atoll_error *err) {
    unsigned bits = how->cluster_bits ? how->cluster_bits : 16;
    if (bits < QC_CLUSTER_BITS_MIN || bits > QC_CLUSTER_BITS_MAX)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "clusters have 512 bytes to 2 MiB");
    if (how->size > INT64_MAX || qc_l1_entries(how->size, bits) > QC_L1_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          "a disk of %llu bytes is too large for clusters of %u bytes",
                          (unsigned long long)how->size, 1u << bits);
    size_t name_size = how->backing ? strlen(how->backing) : 0;
    if (name_size > QC_NAME_MAX || QC_HEADER_BYTES_V3 + 24 + name_size > UINT64_C(1) << bits)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "the backing file's name is too long");
    struct layout l = lay_out(how->size, bits);
    if (file->device && l.n_total > file->size >> bits)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "the device is too small");
    uint8_t *b = atoll_new(&atoll_default_alloc, 1, l.cluster_size);
    if (!b) return img_fail_nomem(err);
    int error = write_all(file, how, bits, &l, b);
    atoll_free(&atoll_default_alloc, b, l.cluster_size);
    return error ? img_fail_io(NULL, error, "cannot write the image", err) : ATOLL_OK;
}
