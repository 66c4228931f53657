/* sysvm/image/file.h: the bytes an image is made of: a host file, or what a test puts in its place. */
#ifndef ATOLL_IMAGE_FILE_H
#define ATOLL_IMAGE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* All return 0 or an errno, move all bytes or fail, and may be called by many threads at once. */
struct img_file;
struct img_file_ops {
    int (*read)(struct img_file *file, const struct iovec *iov, int n_iov,
                uint64_t offset); /* 0 behind the end */
    int (*write)(struct img_file *file, const struct iovec *iov, int n_iov, uint64_t offset);
    int (*sync)(struct img_file *file);
    int (*discard)(struct img_file *file, uint64_t offset, uint64_t n_bytes);
    int (*zero)(struct img_file *file, uint64_t offset, uint64_t n_bytes, bool unmap);
    int (*resize)(struct img_file *file, uint64_t n_bytes);
    int (*extent)(struct img_file *file, uint64_t offset, uint64_t *out_n_bytes, bool *out_hole);
    uint64_t (*allocated)(struct img_file *file); /* bytes taken on the host */
    void (*close)(struct img_file *file);
};
struct img_file {
    const struct img_file_ops *ops;
    uint64_t size;      /* when it was opened */
    bool device;        /* a block device: has a size of its own and may hold anything */
    bool throw_away;    /* nothing has to be there after a crash */
    int fd;             /* for io_uring; -1 = none */
    unsigned alignment; /* of memory, offsets and sizes that `fd` takes; 1 = any */
};

/* One piece of memory. */
static inline int img_file_read(struct img_file *file, void *bytes, size_t n, uint64_t offset) {
    return file->ops->read(file, &(struct iovec){bytes, n}, 1, offset);
}
static inline int img_file_write(struct img_file *file, const void *bytes, size_t n, uint64_t offset) {
    return file->ops->write(file, &(struct iovec){(void *)(uintptr_t)bytes, n}, 1, offset);
}

#endif
