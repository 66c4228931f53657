/* sysvm/image/internal.h: what this folder's files share. */
#ifndef ATOLL_IMAGE_INTERNAL_H
#define ATOLL_IMAGE_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include "sysvm/image/file.h"
#include "sysvm/image/image.h"

/* A piece of the host file that holds guest bytes as they are. */
struct img_piece {
    struct img_file *file;
    uint64_t offset;
};

struct img_driver {
    const char *name;
    int (*read)(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes);
    int (*write)(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes);
    int (*flush)(struct img *img);
    int (*discard)(struct img *img, uint64_t offset, uint64_t n_bytes);
    int (*zero)(struct img *img, uint64_t offset, uint64_t n_bytes, bool unmap);
    int (*extent)(struct img *img, uint64_t offset, struct img_extent *out);
    /* Whether the bytes lie in one piece of the file and may be read (written: in place) there, told without
     * waiting for anything. The piece keeps its meaning until `release`, also called on any thread. */
    bool (*borrow)(struct img *img, bool write, uint64_t offset, uint64_t n_bytes, struct img_piece *out);
    void (*release)(struct img *img);
    /* Flushing needs no more than a sync of this file. */
    bool (*flush_is_sync)(struct img *img, struct img_file **out);
    void (*info)(struct img *img, struct img_info *out);
    enum atoll_status (*resize)(struct img *img, uint64_t size, struct atoll_error *err);
    void (*free)(struct img *img);
};

struct img {
    const struct img_driver *driver;
    const struct atoll_alloc *alloc;
    struct img_file *file; /* owned */
    struct img *backing;   /* owned, read-only; NULL = none */
    struct sb_disk disk;   /* where it was found; the descriptor is the file's */
    void *state;           /* the driver's */
    uint64_t size;
    bool readonly, can_discard;
    unsigned discard_bytes; /* pieces worth discarding */
    pthread_mutex_t fault_lock;
    bool has_fault;
    struct atoll_error fault;
    size_t name_size;
    char name[];
};

/* ---- image.c ---- */

/* An image without a driver yet, owning nothing; NULL = out of memory. */
struct img *img_new(const struct atoll_alloc *alloc, const char *name);
/* Remembers a fault in the image's tables; returns EUCLEAN. */
int img_corrupt(struct img *img, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "cannot read NAME: ..." with system_errno; E_NOMEM for ENOMEM; the image's fault for EUCLEAN. */
enum atoll_status img_fail_io(struct img *img, int error, const char *what, struct atoll_error *err);
enum atoll_status img_fail_nomem(struct atoll_error *err);

/* The part [skip, skip + n) of the bytes of iov, as pieces; returns how many. */
int img_iov_slice(const struct iovec *iov, int n_iov, size_t skip, size_t n, struct iovec out[IMG_MAX_IOV]);
size_t img_iov_bytes(const struct iovec *iov, int n_iov);
void img_iov_zero(const struct iovec *iov, int n_iov);
void img_iov_fill(const struct iovec *iov, int n_iov, const void *bytes); /* bytes -> iov */
void img_iov_gather(const struct iovec *iov, int n_iov, void *bytes);     /* iov -> bytes */
bool img_is_zero(const void *bytes, size_t n);
/* Writes zeroes where the file cannot be told to have some. */
int img_file_write_zeroes(struct img_file *file, uint64_t offset, uint64_t n_bytes);

/* ---- open.c ---- */

/* An image over `base` whose writes go to a file without a name in `folder`. Owns base on success. */
enum atoll_status img_open_snapshot(struct img *base, struct sandbox *sb, const char *folder,
                                    struct img **out, struct atoll_error *err);

/* ---- host.c, lock.c ---- */

enum img_host_mode { IMG_CACHED, IMG_DIRECT, IMG_THROW_AWAY /* nothing has to be there after a crash */ };
/* Makes a file of `fd`, which it owns (also when it fails).
 * fails  errno: EINVAL when IMG_DIRECT is not to be had */
int img_host_file(const struct atoll_alloc *alloc, int fd, enum img_host_mode mode, struct img_file **out);
/* Locks a file for one writer or many readers, in the way of QEMU's tools. 0, EAGAIN: somebody else has it,
 * or an errno. The lock goes with the open file. */
int img_lock(int fd, bool write);

/* ---- raw.c, qcow2*.c ---- */

enum atoll_status img_raw_open(struct img *img, bool direct, struct atoll_error *err);

struct img_qcow2_open {
    bool check;
};
/* Reads header and tables of img->file; img->backing is left to the caller, who asks img_info. */
enum atoll_status img_qcow2_open(struct img *img, const struct img_qcow2_open *how, struct atoll_error *err);
/* Writes header and first tables to an empty file, and syncs it. */
enum atoll_status img_qcow2_format(struct img_file *file, const struct img_create *how,
                                   struct atoll_error *err);
enum atoll_status img_qcow2_check(struct img *img, bool repair, void (*each)(void *context, const char *line),
                                  void *context, struct img_check *out, struct atoll_error *err);

#endif
