/* sysvm/image/qcow2.h: what the qcow2*.c files share.
 *
 *   guest offset   | L1 index | L2 index (cluster_bits - 3) | in cluster (cluster_bits) |
 *
 *   header -> L1 table [u64] -> L2 tables [u64], a cluster each -> data clusters
 *          -> refcount table [u64] -> refcount blocks, a cluster each: how often each cluster is pointed at
 *
 *   L1 entry   63 COPIED   55..9 offset of the L2 table; 0 = none
 *   L2 entry   63 COPIED   62 COMPRESSED   55..9 offset of the cluster   0 ZERO (version 3)
 *              compressed: x = 70 - cluster_bits; 61..x sectors behind the first   x-1..0 byte offset
 *   COPIED: nobody else points there, it may be written in place. All numbers are big-endian.
 *   source  QEMU, docs/interop/qcow2.txt
 *
 * Order on the disk, so that power may fail anywhere: data and refcounts, sync, L2 and L1, sync; only then
 * are clusters given back that nobody points at any more. What is lost is at most the knowledge that a
 * cluster is free.
 *
 * `lock` guards the tables. Data that is written in place or read moves outside of it; `n_moving` counts
 * that, and clusters are given back only while it is 0. */
#ifndef ATOLL_IMAGE_QCOW2_H
#define ATOLL_IMAGE_QCOW2_H

#include "sysvm/image/internal.h"

enum {
    QC_CLUSTER_BITS_MIN = 9,
    QC_CLUSTER_BITS_MAX = 21,
    QC_L1_MAX = (32 << 20) / 8,      /* entries */
    QC_REFTABLE_MAX = (8 << 20) / 8, /* entries */
    QC_SNAPSHOTS_MAX = 65536,
    QC_SNAPSHOT_BYTES_MAX = 16 << 20, /* of their table */
    QC_PENDING_MAX = 1024,            /* runs of clusters that wait to be given back */
    QC_NAME_MAX = 1023
};
#define QC_COPIED     (UINT64_C(1) << 63)
#define QC_COMPRESSED (UINT64_C(1) << 62)
#define QC_ZERO       UINT64_C(1)
#define QC_OFFSET     UINT64_C(0x00fffffffffffe00)

/* header.incompatible */
#define QC_DIRTY            UINT64_C(1)
#define QC_CORRUPT          UINT64_C(2)
#define QC_DATA_FILE        UINT64_C(4)
#define QC_COMPRESSION_TYPE UINT64_C(8)
#define QC_EXTENDED_L2      UINT64_C(16)
#define QC_LAZY_REFCOUNTS   UINT64_C(1) /* header.compatible */

struct qc_header {
    uint32_t version, cluster_bits, crypt_method, l1_size, reftable_clusters, n_snapshots;
    uint64_t backing_offset, size, l1_offset, reftable_offset, snapshots_offset;
    uint32_t backing_size;
    uint64_t incompatible, compatible, autoclear;
    uint32_t refcount_order, header_bytes;
    uint8_t compression; /* 0 zlib, 1 zstd */
};

struct qc_slot {
    uint64_t offset; /* of the cluster that is held; 0 = none */
    uint64_t used;
    bool dirty;
    uint8_t *bytes;
};
struct qc_cache {
    struct qc_slot *slots;
    unsigned n_slots, n_dirty;
    uint64_t clock;
};

/* Clusters that hold tables: no data may be written there. */
struct qc_set {
    uint64_t *keys; /* index of the cluster + 1 */
    size_t capacity, n;
};

struct qc_run {
    uint64_t cluster, n;
};

struct qcow2 {
    struct img *img;
    const struct atoll_alloc *alloc;
    struct img_file *file;
    struct qc_header header;
    char backing[QC_NAME_MAX + 1];
    char backing_format[16];
    uint32_t cluster_bits, l2_bits, block_bits; /* block_bits: clusters a refcount block counts */
    uint64_t cluster_size;
    bool counts; /* refcounts are held: for writing */
    bool failed; /* the order on the disk could not be kept: no more writes */
    pthread_mutex_t lock;
    uint64_t *l1;
    uint64_t l1_dirty_from, l1_dirty_to; /* entries not on the disk yet */
    uint64_t *reftable;
    uint64_t n_reftable;
    struct qc_set tables;
    struct qc_cache l2, blocks;
    uint64_t file_end;  /* nothing is at or behind it; a whole number of clusters */
    uint64_t free_hint; /* no free cluster before it */
    struct qc_run pending[QC_PENDING_MAX];
    unsigned n_pending;
    uint8_t *edges[2];       /* a cluster each: what surrounds a write */
    uint8_t *plain, *packed; /* a compressed cluster, and what it was read into */
    uint64_t plain_entry;    /* L2 entry of what `plain` holds; 0 = none */
    pthread_mutex_t moving_lock;
    pthread_cond_t moving_none;
    uint64_t n_moving;
};

static inline uint64_t qc_get64(const void *at) {
    uint64_t v;
    memcpy(&v, at, 8);
    return __builtin_bswap64(v);
}
static inline uint32_t qc_get32(const void *at) {
    uint32_t v;
    memcpy(&v, at, 4);
    return __builtin_bswap32(v);
}
static inline uint16_t qc_get16(const void *at) {
    uint16_t v;
    memcpy(&v, at, 2);
    return __builtin_bswap16(v);
}
static inline void qc_put64(void *at, uint64_t v) { memcpy(at, &(uint64_t){__builtin_bswap64(v)}, 8); }
static inline void qc_put32(void *at, uint32_t v) { memcpy(at, &(uint32_t){__builtin_bswap32(v)}, 4); }
static inline void qc_put16(void *at, uint16_t v) { memcpy(at, &(uint16_t){__builtin_bswap16(v)}, 2); }

/* ---- qcow2_header.c ---- */

enum { QC_HEADER_BYTES_V2 = 72, QC_HEADER_BYTES_V3 = 112 };
/* Entries an L1 table needs for `size` bytes. */
uint64_t qc_l1_entries(uint64_t size, uint32_t cluster_bits);
/* Whether [offset, offset + n) are whole clusters' beginning within the file, not the header's. */
bool qc_place_ok(const struct qcow2 *q, uint64_t offset, uint64_t n_bytes);
/* Writes the incompatible features that the header has now, and syncs. */
int qc_write_incompatible(struct qcow2 *q);

/* ---- qcow2_cache.c: each returns 0 or an errno ---- */

int qc_cache_init(struct qcow2 *q, struct qc_cache *cache, uint64_t bytes);
void qc_cache_fini(struct qcow2 *q, struct qc_cache *cache);
struct qc_slot *qc_cache_find(struct qc_cache *cache, uint64_t offset);
/* The cluster at `offset`, read unless `fresh` (then zeroes). The slot stays until the next call for this
 * cache. */
int qc_cache_get(struct qcow2 *q, struct qc_cache *cache, uint64_t offset, bool fresh, struct qc_slot **out);
void qc_cache_dirty(struct qc_cache *cache, struct qc_slot *slot);
void qc_cache_drop(struct qc_cache *cache, uint64_t offset); /* forgets a cluster that is no table any more */
int qc_cache_write(struct qcow2 *q, struct qc_cache *cache); /* all that is dirty */
/* Puts everything on the disk in its order. */
int qc_sync(struct qcow2 *q);

bool qc_set_has(const struct qc_set *set, uint64_t cluster);
int qc_set_add(struct qcow2 *q, struct qc_set *set, uint64_t cluster); /* EEXIST, ENOMEM */
void qc_set_remove(struct qc_set *set, uint64_t cluster);
void qc_set_fini(struct qcow2 *q, struct qc_set *set);

/* ---- qcow2_refs.c ---- */

uint64_t qc_ref_at(const struct qcow2 *q, const uint8_t *block, uint64_t i);
void qc_ref_put(const struct qcow2 *q, uint8_t *block, uint64_t i, uint64_t count);
/* 1 to `want` free clusters in a row, counted once each now. ENOSPC, EFBIG */
int qc_alloc(struct qcow2 *q, uint64_t want, uint64_t *out_cluster, uint64_t *out_n);
/* `n` in a row, or an errno. */
int qc_alloc_exactly(struct qcow2 *q, uint64_t n, uint64_t *out_cluster);
/* Takes back what was allocated and never pointed at. */
void qc_unalloc(struct qcow2 *q, uint64_t cluster, uint64_t n);
/* One pointer less to each of n clusters, as soon as that is on the disk. May sync. */
int qc_release(struct qcow2 *q, uint64_t cluster, uint64_t n);
/* What was released and may go now. */
int qc_apply_released(struct qcow2 *q);

/* ---- qcow2_map.c ---- */

enum qc_kind { QC_NONE, QC_ZEROES, QC_DATA, QC_PACKED };
enum qc_kind qc_kind_of(const struct qcow2 *q, uint64_t entry);
/* The clusters a compressed entry touches. */
struct qc_run qc_packed_run(const struct qcow2 *q, uint64_t entry, uint64_t *out_offset, uint64_t *out_bytes);
/* The L2 table for guest offset `at`; *out NULL when there is none and not `write`. */
int qc_l2_get(struct qcow2 *q, uint64_t at, bool write, struct qc_slot **out);
static inline uint64_t qc_l2_index(const struct qcow2 *q, uint64_t at) {
    return at >> q->cluster_bits & ((UINT64_C(1) << q->l2_bits) - 1);
}
static inline uint64_t qc_entry(const struct qc_slot *slot, uint64_t i) {
    return qc_get64(slot->bytes + i * 8);
}
void qc_entry_set(struct qcow2 *q, struct qc_slot *slot, uint64_t i, uint64_t entry);
/* EUCLEAN unless a data cluster's entry points at a place where data may be. */
int qc_check_entry(struct qcow2 *q, uint64_t at, uint64_t entry);
/* Entries from i on that are data in a row of the file, at most `max`; 1 at least. */
uint64_t qc_data_run(struct qcow2 *q, const struct qc_slot *slot, uint64_t i, uint64_t max, bool write);
/* Gives back what an entry pointed at. */
int qc_release_entry(struct qcow2 *q, uint64_t entry);
void qc_l1_dirty(struct qcow2 *q, uint64_t i);

/* ---- qcow2_packed.c ---- */

/* The cluster of a compressed entry, in q->plain. */
int qc_unpack(struct qcow2 *q, uint64_t entry);

/* ---- qcow2_write.c, qcow2_zero.c, qcow2_resize.c ---- */

void qc_moving_begin(struct qcow2 *q);
void qc_moving_end(struct qcow2 *q);
void qc_moving_wait(struct qcow2 *q);
int qc_read(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes);
int qc_write(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes);
int qc_discard(struct img *img, uint64_t offset, uint64_t n_bytes);
int qc_zero(struct img *img, uint64_t offset, uint64_t n_bytes, bool unmap);
enum atoll_status qc_resize(struct img *img, uint64_t size, struct atoll_error *err);

#endif
