/* sysvm/image/raw.c: the guest's bytes are the file's bytes, whatever they are. */
#include "sysvm/image/internal.h"

static int raw_read(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes) {
    (void)n_bytes;
    return img->file->ops->read(img->file, iov, n_iov, offset);
}

static int raw_write(struct img *img, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t n_bytes) {
    (void)n_bytes;
    return img->file->ops->write(img->file, iov, n_iov, offset);
}

static int raw_flush(struct img *img) { return img->file->ops->sync(img->file); }

static int raw_discard(struct img *img, uint64_t offset, uint64_t n_bytes) {
    return img->file->ops->discard(img->file, offset, n_bytes);
}

static int raw_zero(struct img *img, uint64_t offset, uint64_t n_bytes, bool unmap) {
    return img->file->ops->zero(img->file, offset, n_bytes, unmap);
}

static int raw_extent(struct img *img, uint64_t offset, struct img_extent *out) {
    return img->file->ops->extent(img->file, offset, &out->n_bytes, &out->zero);
}

static bool raw_borrow(struct img *img, bool write, uint64_t offset, uint64_t n_bytes,
                       struct img_piece *out) {
    (void)write, (void)n_bytes;
    *out = (struct img_piece){img->file, offset};
    return true;
}

static void raw_release(struct img *img) { (void)img; }

static bool raw_flush_is_sync(struct img *img, struct img_file **out) {
    *out = img->file;
    return true;
}

static void raw_info(struct img *img, struct img_info *out) {
    out->format = IMG_RAW;
    out->file_bytes = img->file->ops->allocated(img->file);
}

static enum atoll_status raw_resize(struct img *img, uint64_t size, struct atoll_error *err) {
    if (img->file->device)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "a block device keeps its size");
    int error = img->file->ops->resize(img->file, size);
    if (!error) error = img->file->ops->sync(img->file);
    if (error) return img_fail_io(img, error, "cannot resize", err);
    img->size = size;
    return ATOLL_OK;
}

static void raw_free(struct img *img) { (void)img; }

static const struct img_driver raw_driver = {
    .name = "raw",
    .read = raw_read,
    .write = raw_write,
    .flush = raw_flush,
    .discard = raw_discard,
    .zero = raw_zero,
    .extent = raw_extent,
    .borrow = raw_borrow,
    .release = raw_release,
    .flush_is_sync = raw_flush_is_sync,
    .info = raw_info,
    .resize = raw_resize,
    .free = raw_free,
};

enum atoll_status img_raw_open(struct img *img, bool direct, struct atoll_error *err) {
    if (direct && img->file->size % img->file->alignment && !img->readonly)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                          "direct access needs a size in whole blocks of %u bytes; this has %llu",
                          img->file->alignment, (unsigned long long)img->file->size);
    img->driver = &raw_driver;
    img->size = img->file->size;
    return ATOLL_OK;
}
