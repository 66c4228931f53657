/* sysvm/image/image.c: what all formats have in common: bounds, permissions, faults. */
#include <stdio.h>
#include <unistd.h>
#include "sysvm/image/internal.h"

/* ---- pieces of memory ---- */

int img_iov_slice(const struct iovec *iov, int n_iov, size_t skip, size_t n, struct iovec out[IMG_MAX_IOV]) {
    int n_out = 0;
    for (int i = 0; i < n_iov && n; i++) {
        size_t size = iov[i].iov_len;
        if (skip >= size) {
            skip -= size;
            continue;
        }
        size_t part = size - skip < n ? size - skip : n;
        out[n_out++] = (struct iovec){(char *)iov[i].iov_base + skip, part};
        skip = 0;
        n -= part;
    }
    return n_out;
}

size_t img_iov_bytes(const struct iovec *iov, int n_iov) {
    size_t n = 0;
    for (int i = 0; i < n_iov; i++) n += iov[i].iov_len;
    return n;
}

void img_iov_zero(const struct iovec *iov, int n_iov) {
    for (int i = 0; i < n_iov; i++)
        if (iov[i].iov_len) memset(iov[i].iov_base, 0, iov[i].iov_len);
}

void img_iov_fill(const struct iovec *iov, int n_iov, const void *bytes) {
    const uint8_t *at = bytes;
    for (int i = 0; i < n_iov; at += iov[i].iov_len, i++)
        if (iov[i].iov_len) memcpy(iov[i].iov_base, at, iov[i].iov_len);
}

void img_iov_gather(const struct iovec *iov, int n_iov, void *bytes) {
    uint8_t *at = bytes;
    for (int i = 0; i < n_iov; at += iov[i].iov_len, i++)
        if (iov[i].iov_len) memcpy(at, iov[i].iov_base, iov[i].iov_len);
}

bool img_is_zero(const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    size_t head = n < 16 ? n : 16;
    for (size_t i = 0; i < head; i++)
        if (at[i]) return false;
    return memcmp(at, at + head, n - head) == 0; /* each byte is the one 16 before */
}

static const uint8_t zeroes[1 << 16];

int img_file_write_zeroes(struct img_file *file, uint64_t offset, uint64_t n_bytes) {
    while (n_bytes) {
        size_t n = n_bytes < sizeof zeroes ? (size_t)n_bytes : sizeof zeroes;
        int error = img_file_write(file, zeroes, n, offset);
        if (error) return error;
        offset += n;
        n_bytes -= n;
    }
    return 0;
}

/* ---- faults ---- */

enum atoll_status img_fail_nomem(struct atoll_error *err) {
    return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

int img_corrupt(struct img *img, uint64_t offset, const char *format, ...) {
    va_list args;
    pthread_mutex_lock(&img->fault_lock);
    va_start(args, format);
    atoll_vfail(&img->fault, ATOLL_E_MALFORMED, offset, format, args);
    va_end(args);
    img->has_fault = true;
    pthread_mutex_unlock(&img->fault_lock);
    return EUCLEAN;
}

bool img_fault(struct img *img, struct atoll_error *out) {
    for (; img; img = img->backing) {
        pthread_mutex_lock(&img->fault_lock);
        bool found = img->has_fault;
        if (found) *out = img->fault;
        pthread_mutex_unlock(&img->fault_lock);
        if (found) return true;
    }
    return false;
}

enum atoll_status img_fail_io(struct img *img, int error, const char *what, struct atoll_error *err) {
    struct atoll_error fault;
    if (error == ENOMEM) return img_fail_nomem(err);
    if (error == EUCLEAN && img && img_fault(img, &fault)) {
        if (err) *err = fault;
        return fault.code;
    }
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s: %s", what, strerror(error));
    if (err) err->system_errno = error;
    return ATOLL_E_IO;
}

/* ---- an image's life ---- */

struct img *img_new(const struct atoll_alloc *alloc, const char *name) {
    size_t size = strlen(name) + 1;
    struct img *img = atoll_new(alloc, 1, sizeof *img + size);
    if (!img) return NULL;
    if (pthread_mutex_init(&img->fault_lock, NULL)) {
        atoll_free(alloc, img, sizeof *img + size);
        return NULL;
    }
    img->alloc = alloc;
    img->discard_bytes = 512;
    img->disk = (struct sb_disk){-1, -1};
    img->name_size = size;
    memcpy(img->name, name, size);
    return img;
}

int img_close(struct img *img) {
    int error = 0;
    while (img) {
        struct img *backing = img->backing;
        bool kept = !img->readonly && !(img->file && img->file->throw_away);
        if (img->driver && kept) error = img->driver->flush(img);
        if (img->driver) img->driver->free(img);
        if (img->file) img->file->ops->close(img->file);
        if (img->disk.folder_fd >= 0) close(img->disk.folder_fd);
        pthread_mutex_destroy(&img->fault_lock);
        atoll_free(img->alloc, img, sizeof *img + img->name_size);
        img = backing; /* is read only: an error of the first one stays */
    }
    return error;
}

uint64_t img_size(const struct img *img) { return img->size; }
bool img_readonly(const struct img *img) { return img->readonly; }
bool img_can_discard(const struct img *img) { return img->can_discard && !img->readonly; }
unsigned img_block_bytes(const struct img *img) {
    return img->file->alignment < 512 ? 512 : img->file->alignment;
}
unsigned img_discard_bytes(const struct img *img) { return img->discard_bytes; }
const char *img_name(const struct img *img) { return img->name; }

/* ---- requests ---- */

static int check_range(const struct img *img, bool write, uint64_t offset, uint64_t n_bytes) {
    if (write && img->readonly) return EROFS;
    return offset <= img->size && n_bytes <= img->size - offset ? 0 : EINVAL;
}

int img_readv(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset) {
    uint64_t n = img_iov_bytes(iov, n_iov);
    int error = check_range(img, false, offset, n);
    return error || !n ? error : img->driver->read(img, iov, n_iov, offset, n);
}

int img_writev(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset) {
    uint64_t n = img_iov_bytes(iov, n_iov);
    int error = check_range(img, true, offset, n);
    return error || !n ? error : img->driver->write(img, iov, n_iov, offset, n);
}

int img_flush(struct img *img) { return img->readonly ? 0 : img->driver->flush(img); }

int img_discard(struct img *img, uint64_t offset, uint64_t n_bytes) {
    int error = check_range(img, true, offset, n_bytes);
    if (!error && !img->can_discard) error = EOPNOTSUPP;
    return error || !n_bytes ? error : img->driver->discard(img, offset, n_bytes);
}

int img_write_zeroes(struct img *img, uint64_t offset, uint64_t n_bytes, bool unmap) {
    int error = check_range(img, true, offset, n_bytes);
    return error || !n_bytes ? error : img->driver->zero(img, offset, n_bytes, unmap);
}

int img_extent_at(struct img *img, uint64_t offset, struct img_extent *out) {
    if (offset >= img->size) return EINVAL;
    int error = img->driver->extent(img, offset, out);
    if (out->n_bytes > img->size - offset) out->n_bytes = img->size - offset;
    return error;
}

void img_each_file(const struct img *img, void (*each)(void *context, int fd, bool changed), void *context) {
    for (; img; img = img->backing)
        if (img->file->fd >= 0 && !img->file->throw_away) each(context, img->file->fd, !img->readonly);
}

void img_info(struct img *img, struct img_info *out) {
    *out = (struct img_info){.size = img->size};
    img->driver->info(img, out);
}

enum atoll_status img_check(struct img *img, bool repair, void (*each)(void *context, const char *line),
                            void *context, struct img_check *out, struct atoll_error *err) {
    *out = (struct img_check){0};
    struct img_info info;
    img_info(img, &info);
    if (info.format == IMG_QCOW2) return img_qcow2_check(img, repair, each, context, out, err);
    return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "a raw image has nothing to check");
}

enum atoll_status img_resize(struct img *img, uint64_t size, bool shrink, struct atoll_error *err) {
    if (img->readonly) return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the image is open to be read");
    if (size < img->size && !shrink)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "%llu bytes are less than the image's %llu: what is behind would be lost",
                          (unsigned long long)size, (unsigned long long)img->size);
    return img->driver->resize(img, size, err);
}
