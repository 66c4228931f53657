/* sysvm/image/host.c: an image's bytes in a host file or block device.
 *
 * Without the host's cache (direct) the kernel takes aligned requests only. Others go through a buffer of our
 * own; a write that is not whole blocks reads the blocks first, alone, so that no neighbour's write is lost. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sysvm/image/internal.h"

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000U
#endif

enum { BOUNCE_BYTES = 1 << 18, ALIGNMENT_MAX = 1 << 16, ALIGNMENT_GUESS = 4096 };

struct host {
    struct img_file file;
    const struct atoll_alloc *alloc;
    pthread_rwlock_t edges; /* direct: shared by whole blocks, alone for parts of blocks */
};

static struct host *host_of(struct img_file *file) { return (struct host *)file; }

/* ---- the kernel's calls, whole ---- */

/* Drops the first n bytes. */
static void advance(struct iovec **iov, int *n_iov, size_t n) {
    while (*n_iov && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        ++*iov;
        --*n_iov;
    }
    if (!*n_iov) return;
    (*iov)->iov_base = (char *)(*iov)->iov_base + n;
    (*iov)->iov_len -= n;
}

static int transfer(int fd, bool write, const struct iovec *iov, int n_iov, uint64_t offset) {
    struct iovec left[IMG_MAX_IOV + 2], *at = left;
    memcpy(left, iov, (size_t)n_iov * sizeof *iov);
    advance(&at, &n_iov, 0); /* empty pieces */
    while (n_iov) {
        ssize_t n = write ? pwritev(fd, at, n_iov, (off_t)offset) : preadv(fd, at, n_iov, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0 && write) return ENOSPC;
        if (n == 0) {
            img_iov_zero(at, n_iov);
            return 0;
        }
        offset += (uint64_t)n;
        advance(&at, &n_iov, (size_t)n);
    }
    return 0;
}

/* ---- direct: what is not aligned ---- */

static bool is_aligned(const struct host *h, const struct iovec *iov, int n_iov, uint64_t offset) {
    uint64_t bits = offset;
    for (int i = 0; i < n_iov; i++) bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
    return bits % h->file.alignment == 0;
}

struct bounce {
    void *memory;
    uint8_t *bytes; /* aligned */
    size_t size;
};

static bool bounce_init(const struct host *h, struct bounce *b) {
    b->size = BOUNCE_BYTES + ALIGNMENT_MAX;
    b->memory = atoll_new(h->alloc, b->size, 1);
    uintptr_t mask = h->file.alignment - 1;
    b->bytes = (uint8_t *)(((uintptr_t)b->memory + mask) & ~mask);
    return b->memory != NULL;
}

static void bounce_fini(const struct host *h, struct bounce *b) { atoll_free(h->alloc, b->memory, b->size); }

/* The next piece of [offset, end): the blocks around it, and what of them is asked for. */
struct step {
    uint64_t from;
    size_t size, skip, n;
};
static struct step next_step(const struct host *h, uint64_t offset, uint64_t end) {
    struct step s = {.from = offset - offset % h->file.alignment};
    s.skip = (size_t)(offset - s.from);
    uint64_t n = end - offset;
    if (n > BOUNCE_BYTES - s.skip) n = BOUNCE_BYTES - s.skip;
    s.n = (size_t)n;
    size_t used = s.skip + s.n;
    s.size = used + (h->file.alignment - used % h->file.alignment) % h->file.alignment;
    return s;
}

static int step_through(struct host *h, bool write, const struct step *s, const struct iovec *part,
                        int n_part, uint8_t *bytes) {
    struct iovec whole = {bytes, s->size};
    int error = 0;
    if (!write || s->skip || s->n < s->size) error = transfer(h->file.fd, false, &whole, 1, s->from);
    if (error) return error;
    if (!write) return img_iov_fill(part, n_part, bytes + s->skip), 0;
    img_iov_gather(part, n_part, bytes + s->skip);
    return transfer(h->file.fd, true, &whole, 1, s->from);
}

static int bounced(struct host *h, bool write, const struct iovec *iov, int n_iov, uint64_t offset) {
    struct bounce b;
    if (!bounce_init(h, &b)) return ENOMEM;
    uint64_t begin = offset, end = offset + img_iov_bytes(iov, n_iov);
    int error = 0;
    while (!error && offset < end) {
        struct iovec part[IMG_MAX_IOV];
        struct step s = next_step(h, offset, end);
        int n_part = img_iov_slice(iov, n_iov, (size_t)(offset - begin), s.n, part);
        error = step_through(h, write, &s, part, n_part, b.bytes);
        offset += s.n;
    }
    bounce_fini(h, &b);
    return error;
}

/* ---- the operations ---- */

static int host_read(struct img_file *file, const struct iovec *iov, int n_iov, uint64_t offset) {
    struct host *h = host_of(file);
    if (file->alignment == 1 || is_aligned(h, iov, n_iov, offset))
        return transfer(file->fd, false, iov, n_iov, offset);
    return bounced(h, false, iov, n_iov, offset);
}

static int host_write(struct img_file *file, const struct iovec *iov, int n_iov, uint64_t offset) {
    struct host *h = host_of(file);
    if (file->alignment == 1) return transfer(file->fd, true, iov, n_iov, offset);
    if (is_aligned(h, iov, n_iov, offset)) {
        pthread_rwlock_rdlock(&h->edges);
        int error = transfer(file->fd, true, iov, n_iov, offset);
        pthread_rwlock_unlock(&h->edges);
        return error;
    }
    pthread_rwlock_wrlock(&h->edges);
    int error = bounced(h, true, iov, n_iov, offset);
    pthread_rwlock_unlock(&h->edges);
    return error;
}

static int host_sync(struct img_file *file) {
    int failed;
    if (file->throw_away) return 0;
    do failed = fdatasync(file->fd);
    while (failed && errno == EINTR);
    return failed ? errno : 0;
}

static int allocate(struct img_file *file, int mode, uint64_t offset, uint64_t n_bytes) {
    int failed;
    do failed = fallocate(file->fd, mode, (off_t)offset, (off_t)n_bytes);
    while (failed && errno == EINTR);
    return failed ? errno : 0;
}

static int host_discard(struct img_file *file, uint64_t offset, uint64_t n_bytes) {
    if (!n_bytes) return 0;
    if (file->device) {
        uint64_t range[2] = {offset, n_bytes};
        return ioctl(file->fd, BLKDISCARD, range) ? errno : 0;
    }
    return allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, n_bytes);
}

static int host_zero(struct img_file *file, uint64_t offset, uint64_t n_bytes, bool unmap) {
    if (!n_bytes) return 0;
    int mode =
        unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    int error = allocate(file, mode, offset, n_bytes);
    /* A device's blocks, a file system: both may lack one or the other, or want whole sectors. */
    if (error == EOPNOTSUPP || error == EINVAL || error == ENODEV)
        error = img_file_write_zeroes(file, offset, n_bytes);
    return error;
}

static int host_resize(struct img_file *file, uint64_t n_bytes) {
    if (file->device) return n_bytes <= file->size ? 0 : ENOSPC;
    if (n_bytes > INT64_MAX) return EFBIG;
    int failed;
    do failed = ftruncate(file->fd, (off_t)n_bytes);
    while (failed && errno == EINTR);
    return failed ? errno : 0;
}

static int host_extent(struct img_file *file, uint64_t offset, uint64_t *out_n_bytes, bool *out_hole) {
    *out_n_bytes = UINT64_MAX - offset;
    *out_hole = false;
    if (file->device) return 0;
    off_t data = lseek(file->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return 0; /* a file system that cannot tell */
    *out_hole = data < 0 || (uint64_t)data > offset;
    if (data < 0) return 0; /* a hole to the end */
    off_t end = *out_hole ? data : lseek(file->fd, (off_t)offset, SEEK_HOLE);
    if (end > (off_t)offset) *out_n_bytes = (uint64_t)end - offset;
    return 0;
}

static uint64_t host_allocated(struct img_file *file) {
    struct stat st;
    if (file->device || fstat(file->fd, &st)) return file->size;
    return (uint64_t)st.st_blocks * 512;
}

static void host_close(struct img_file *file) {
    struct host *h = host_of(file);
    close(file->fd);
    pthread_rwlock_destroy(&h->edges);
    atoll_free(h->alloc, h, sizeof *h);
}

static const struct img_file_ops host_ops = {
    .read = host_read,
    .write = host_write,
    .sync = host_sync,
    .discard = host_discard,
    .zero = host_zero,
    .resize = host_resize,
    .extent = host_extent,
    .allocated = host_allocated,
    .close = host_close,
};

/* ---- opening ---- */

/* What O_DIRECT wants of this file; 0 = it is not to be had. Kernels before 6.1 do not say. */
static unsigned direct_alignment(int fd, bool device) {
    struct {
        struct statx known;
        uint8_t room[256]; /* a newer kernel's is not larger */
    } st = {0};
    int logical;
    if (device && ioctl(fd, BLKSSZGET, &logical) == 0) return (unsigned)logical;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st.known) || !(st.known.stx_mask & STATX_DIOALIGN))
        return ALIGNMENT_GUESS;
    uint32_t found[2]; /* memory, offsets: behind stx_mnt_id, which older headers have */
    memcpy(found, (const uint8_t *)&st.known + 0x98, sizeof found);
    unsigned most = found[0] > found[1] ? found[0] : found[1];
    return found[1] == 0 || most & (most - 1) || most > ALIGNMENT_MAX ? 0 : most;
}

int img_host_file(const struct atoll_alloc *alloc, int fd, enum img_host_mode mode, struct img_file **out) {
    struct stat st;
    struct host *h = NULL;
    int error = fstat(fd, &st) ? errno : 0;
    off_t end = error ? 0 : lseek(fd, 0, SEEK_END);
    if (!error && end < 0) error = errno;
    bool device = S_ISBLK(st.st_mode);
    unsigned alignment = mode == IMG_DIRECT && !error ? direct_alignment(fd, device) : 1;
    if (!error && !alignment) error = EINVAL;
    if (!error && !(h = atoll_new(alloc, 1, sizeof *h))) error = ENOMEM;
    if (!error && pthread_rwlock_init(&h->edges, NULL)) error = ENOMEM;
    if (error) {
        if (h) atoll_free(alloc, h, sizeof *h);
        close(fd);
        return error;
    }
    h->alloc = alloc;
    h->file = (struct img_file){.ops = &host_ops,
                                .size = (uint64_t)end,
                                .device = device,
                                .throw_away = mode == IMG_THROW_AWAY,
                                .fd = fd,
                                .alignment = alignment};
    *out = &h->file;
    return 0;
}
