/* sysvm/image/image.h: disk images of guests. The one header of this folder for the others.
 *
 *   "base.img:overlay" -> img_spec -> img_open -> raw | qcow2 -> img_file -> host (through the sandbox's door)
 *                                       ^
 *         virtio-blk -> img_queue ------+  io_uring where the bytes lie in one piece, else worker threads
 *         atoll disk -> img_read ... ---+
 *
 * An image is raw unless its name ends in ".qcow2" or the caller says so: contents never decide, because a
 * guest writes them. All offsets and sizes are bytes of the guest's disk, of any alignment. Functions that
 * move data return 0 or an errno and may be called by many threads at once; what opens, makes, checks or
 * resizes an image is for one thread and fills an error.
 *
 * What was flushed survives a kill -9 and a power failure at any later moment: a qcow2's tables are written
 * only behind what they point at. Memory is bounded: caches of tables have a fixed size, and the tables that
 * are held as a whole have a limit. */
#ifndef ATOLL_IMAGE_H
#define ATOLL_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sandbox/sandbox.h"

struct img;

enum img_format { IMG_BY_NAME, IMG_RAW, IMG_QCOW2 };
const char *img_format_word(enum img_format format); /* "raw", "qcow2" */
/* By the name alone: qcow2 for "*.qcow2", else raw. */
enum img_format img_format_of_name(const char *path);

/* ---- what a user writes: PATH[:OPTION...] ---- */

enum img_overlay {
    IMG_PLAIN,
    IMG_SNAPSHOT, /* writes go to a file without a name and are gone at the end */
    IMG_OVERLAY   /* writes go to a qcow2 image, made when it is not there, and are kept */
};

enum { IMG_SPEC_BACKING_MAX = 8 };
struct img_spec {
    char path[4096];
    char overlay_path[4096]; /* of IMG_OVERLAY; PATH.overlay.qcow2 unless told */
    enum img_format format;
    enum img_overlay overlay;
    bool readonly, direct, no_lock;
    char serial[21];                          /* what the guest reads as the disk's name; "" = none */
    char backing[IMG_SPEC_BACKING_MAX][4096]; /* files that may be backing files */
    unsigned n_backing;
};
/* PATH[:ro|rw|raw|qcow2|snapshot|overlay[=FILE]|direct|cached|nolock|serial=TEXT|backing=FILE]...; options
 * are taken from the end, so a path may have colons. fails E_USAGE */
enum atoll_status img_spec_parse(const char *text, struct img_spec *out, struct atoll_error *err);
/* Grants what the text names and opens it. `sb` has to outlive the image. fails as img_open */
enum atoll_status img_spec_open(const struct img_spec *spec, struct sandbox *sb,
                                const struct atoll_alloc *alloc, struct img **out, struct atoll_error *err);

/* ---- opening and making ---- */

enum { IMG_CHAIN_MAX = 32 }; /* images in a chain of backing files */

struct img_options {
    const struct atoll_alloc *alloc; /* NULL = default */
    struct sandbox *sb;              /* outlives the image; `path` is granted there */
    enum img_format format;
    bool readonly;
    bool direct;     /* not through the host's cache */
    bool no_lock;    /* for file systems without locks: nobody else is kept out */
    bool no_backing; /* leave the backing file alone: for looking at an image, not for its data */
    bool check;      /* for img_check: open although marked dirty or corrupt */
};
/* Opens an image and its backing files, which are read only and shared with other readers; a writer has an
 * image for itself (locks that QEMU's tools understand).
 * fails  E_IO, E_DENIED (not granted; locked by another), E_MALFORMED (offset in the file), E_UNSUPPORTED,
 *        E_LIMIT, E_NOMEM. The text begins with the file's name where it is not `path`. */
enum atoll_status img_open(const char *path, const struct img_options *options, struct img **out,
                           struct atoll_error *err);
/* Flushes and closes. Returns 0 or the errno of what could not be flushed; the image is gone in any case.
 * NULL is allowed. */
int img_close(struct img *img);

struct img_create {
    enum img_format format;
    uint64_t size;         /* UINT64_MAX: the backing file's */
    unsigned cluster_bits; /* qcow2: 9 to 21; 0 = 16 */
    const char *backing;   /* as the header will have it, or NULL */
    enum img_format backing_format;
    bool replace; /* the file is there and is made anew; else it must not be there. Devices always are */
};
/* Makes an image. Where this fails nothing is left of a file that was not there. fails as img_open, E_USAGE */
enum atoll_status img_create(const char *path, const struct img_create *how,
                             const struct img_options *options, struct atoll_error *err);

/* ---- the disk's bytes ---- */

enum { IMG_MAX_IOV = 256 };
uint64_t img_size(const struct img *img);
bool img_readonly(const struct img *img);
bool img_can_discard(const struct img *img);
unsigned img_block_bytes(const struct img *img); /* the smallest piece that is written as it is: 512 to 64k */
unsigned img_discard_bytes(const struct img *img); /* pieces worth discarding: 512 or more */
const char *img_name(const struct img *img);       /* path, as opened */
/* Each fails with EINVAL beyond the end, EROFS, EUCLEAN when the image's tables are broken (img_fault tells),
 * ENOSPC, or what the host says. A request that fails may have been done in part. n_iov <= IMG_MAX_IOV. */
int img_readv(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset);
int img_writev(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset);
/* What was written before is on the host's disk when it returns 0. */
int img_flush(struct img *img);
/* The guest needs these bytes no more; what they read as is not said. EOPNOTSUPP: the host cannot. */
int img_discard(struct img *img, uint64_t offset, uint64_t n_bytes);
/* They read as zeroes; unmap: their space may be given back. */
int img_write_zeroes(struct img *img, uint64_t offset, uint64_t n_bytes, bool unmap);

struct img_extent {
    uint64_t n_bytes; /* how far what is said holds, at least 1 */
    bool zero;        /* known to read as zeroes */
};
int img_extent_at(struct img *img, uint64_t offset, struct img_extent *out);

/* Where snapshots keep their writes: TMPDIR, or /var/tmp. */
const char *img_scratch_folder(void);
/* Each file of the chain, the image's first; `fd` stays the image's. Changed: the guest's writes go there. A file
 * without a name is not told. */
void img_each_file(const struct img *img, void (*each)(void *context, int fd, bool changed), void *context);

/* Where a fault of the image's tables was found last; false when there was none. */
bool img_fault(struct img *img, struct atoll_error *out);

/* ---- looking and mending ---- */

struct img_info {
    enum img_format format;
    uint64_t size, file_bytes; /* the disk's; what the file takes on the host */
    uint64_t cluster_bytes;    /* 0 for raw, and the next ones */
    unsigned version, n_snapshots;
    const char *compression; /* "zlib", "zstd" or NULL */
    const char *backing;     /* NULL = none */
    enum img_format backing_format;
    bool dirty, corrupt, lazy_refcounts;
};
/* Pointers last as long as the image. */
void img_info(struct img *img, struct img_info *out);

struct img_check {
    uint64_t n_corruptions, n_leaks, n_fixed;
    uint64_t n_clusters, n_allocated, n_compressed; /* of the disk */
};
/* Reads all tables and counts what points where. A leaked cluster is space that nobody uses; a corruption is
 * data in danger.
 * repair  make the counts what they should be (the image is open for writing)
 * each    told one line for each of the first IMG_CHECK_LINES faults; NULL allowed
 * fails   E_IO, E_MALFORMED (tables that cannot be read at all), E_LIMIT, E_NOMEM; faults that are counted
 *         are no failure */
enum { IMG_CHECK_LINES = 100 };
enum atoll_status img_check(struct img *img, bool repair, void (*each)(void *context, const char *line),
                            void *context, struct img_check *out, struct atoll_error *err);
/* fails  E_USAGE (smaller without `shrink`), E_UNSUPPORTED (a block device; internal snapshots), E_IO */
enum atoll_status img_resize(struct img *img, uint64_t size, bool shrink, struct atoll_error *err);

/* Copies the bytes of `from` to `to`, which is new, and flushes it. Zeroes are written to devices only.
 * progress  called now and then; false ends the copy with E_INTERRUPTED; NULL allowed
 * fails     E_IO (text names the image), E_MALFORMED, E_NOMEM */
enum atoll_status img_copy(struct img *from, struct img *to,
                           bool (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                           struct atoll_error *err);

#endif
