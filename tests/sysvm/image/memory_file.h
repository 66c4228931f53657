/* tests/sysvm/image/memory_file.h: a file in memory that forgets at a power failure.
 *
 * What was written since the last sync is kept in a log. `mf_crash` makes the file that a power failure would
 * leave: what was synced, and of the rest any sectors in any order of writes. */
#ifndef ATOLL_TESTS_MEMORY_FILE_H
#define ATOLL_TESTS_MEMORY_FILE_H

#include <stdlib.h>
#include "sysvm/image/internal.h"

enum { MF_SECTOR = 512 };

struct mf_write {
    uint64_t offset;
    size_t n;
    uint8_t *bytes; /* NULL: zeroes */
};
struct memory_file {
    struct img_file file;
    uint8_t *now, *synced;
    size_t size, capacity; /* size: of `now` */
    struct mf_write *log;
    size_t n_log, cap_log;
    bool keeps_log;
    uint64_t n_left; /* writes that succeed before one fails with `error`; UINT64_MAX = all */
    int error;
    void (*moment)(void *context); /* called before each write and sync; NULL = not */
    void *context;
    bool *closed;
};

static inline struct memory_file *mf_of(struct img_file *file) { return (struct memory_file *)file; }

static inline int mf_read(struct img_file *file, const struct iovec *iov, int n_iov, uint64_t offset) {
    struct memory_file *m = mf_of(file);
    for (int i = 0; i < n_iov; i++) {
        size_t n = iov[i].iov_len, has = offset < m->size ? m->size - offset : 0;
        if (has > n) has = n;
        if (has) memcpy(iov[i].iov_base, m->now + offset, has);
        if (n > has) memset((uint8_t *)iov[i].iov_base + has, 0, n - has);
        offset += n;
    }
    return 0;
}

static inline int mf_put(struct memory_file *m, uint64_t offset, const void *bytes, size_t n) {
    if (m->n_left == 0) return m->error;
    if (m->n_left != UINT64_MAX) m->n_left--;
    if (offset + n > m->capacity) return ENOSPC;
    if (m->moment) m->moment(m->context);
    if (m->keeps_log) {
        if (m->n_log == m->cap_log) {
            m->cap_log = m->cap_log ? m->cap_log * 2 : 64;
            m->log = realloc(m->log, m->cap_log * sizeof *m->log);
        }
        uint8_t *copy = bytes ? malloc(n + !n) : NULL;
        if (bytes) memcpy(copy, bytes, n);
        m->log[m->n_log++] = (struct mf_write){offset, n, copy};
    }
    if (bytes)
        memcpy(m->now + offset, bytes, n);
    else
        memset(m->now + offset, 0, n);
    if (offset + n > m->size) m->size = offset + n;
    return 0;
}

static inline int mf_write(struct img_file *file, const struct iovec *iov, int n_iov, uint64_t offset) {
    int error = 0;
    for (int i = 0; !error && i < n_iov; i++) {
        error = mf_put(mf_of(file), offset, iov[i].iov_base, iov[i].iov_len);
        offset += iov[i].iov_len;
    }
    return error;
}

static inline void mf_forget_log(struct memory_file *m) {
    for (size_t i = 0; i < m->n_log; i++) free(m->log[i].bytes);
    m->n_log = 0;
}

static inline int mf_sync(struct img_file *file) {
    struct memory_file *m = mf_of(file);
    if (m->n_left == 0) return m->error;
    if (m->moment) m->moment(m->context);
    if (m->keeps_log) memcpy(m->synced, m->now, m->size);
    mf_forget_log(m);
    return 0;
}

static inline int mf_discard(struct img_file *file, uint64_t offset, uint64_t n) {
    struct memory_file *m = mf_of(file);
    if (offset >= m->size) return 0;
    return mf_put(m, offset, NULL, n < m->size - offset ? n : m->size - offset);
}

static inline int mf_zero(struct img_file *file, uint64_t offset, uint64_t n, bool unmap) {
    (void)unmap;
    return mf_put(mf_of(file), offset, NULL, n);
}

static inline int mf_resize(struct img_file *file, uint64_t n) {
    struct memory_file *m = mf_of(file);
    if (n > m->capacity) return ENOSPC;
    if (n < m->size) memset(m->now + n, 0, m->size - n);
    m->size = n;
    return 0;
}

static inline int mf_extent(struct img_file *file, uint64_t offset, uint64_t *out_n, bool *out_hole) {
    (void)file;
    *out_n = UINT64_MAX - offset;
    *out_hole = false;
    return 0;
}

static inline uint64_t mf_allocated(struct img_file *file) { return mf_of(file)->size; }

static inline void mf_close(struct img_file *file) {
    struct memory_file *m = mf_of(file);
    mf_forget_log(m);
    free(m->log);
    free(m->now);
    free(m->synced);
    free(m);
}

static const struct img_file_ops mf_ops = {
    .read = mf_read,
    .write = mf_write,
    .sync = mf_sync,
    .discard = mf_discard,
    .zero = mf_zero,
    .resize = mf_resize,
    .extent = mf_extent,
    .allocated = mf_allocated,
    .close = mf_close,
};

static inline struct memory_file *mf_new(size_t capacity, bool keeps_log) {
    struct memory_file *m = calloc(1, sizeof *m);
    m->now = calloc(1, capacity);
    m->synced = calloc(1, keeps_log ? capacity : 1);
    m->capacity = capacity;
    m->keeps_log = keeps_log;
    m->n_left = UINT64_MAX;
    m->file = (struct img_file){.ops = &mf_ops, .fd = -1, .alignment = 1};
    return m;
}

static inline uint32_t mf_random(uint32_t *state) {
    *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
    return *state;
}

/* What may be there after a power failure now. */
static inline struct memory_file *mf_crash(const struct memory_file *m, uint32_t *random) {
    struct memory_file *after = mf_new(m->capacity, true);
    memcpy(after->now, m->synced, m->size);
    unsigned odds = mf_random(random) % 5; /* from nothing to everything */
    for (size_t i = 0; i < m->n_log; i++) {
        const struct mf_write *w = &m->log[i];
        for (size_t at = 0, n; at < w->n; at += n) {
            n = MF_SECTOR - (w->offset + at) % MF_SECTOR;
            if (n > w->n - at) n = w->n - at;
            if (mf_random(random) % 4 >= odds) continue;
            if (w->bytes)
                memcpy(after->now + w->offset + at, w->bytes + at, n);
            else
                memset(after->now + w->offset + at, 0, n);
        }
    }
    memcpy(after->synced, after->now, m->size);
    after->size = m->size;
    after->file.size = m->size;
    return after;
}

/* An image over a file, which it owns. The file's size is taken as it is now. */
static inline struct img *mf_image(struct memory_file *m, bool readonly, bool check,
                                   struct atoll_error *err) {
    struct img *img = img_new(&atoll_default_alloc, "memory");
    m->file.size = m->size;
    img->file = &m->file;
    img->readonly = readonly;
    img->can_discard = true;
    if (img_qcow2_open(img, &(struct img_qcow2_open){.check = check}, err) == ATOLL_OK) return img;
    img_close(img);
    return NULL;
}

#endif
