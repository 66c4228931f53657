/* sysvm/image/copy.c: one image's bytes into another; zeroes stay holes. */
#include "sysvm/image/internal.h"

enum { CHUNK = 2 << 20, GRAIN = 1 << 16 }; /* a run of zeroes shorter than a grain is written */

struct copy {
    struct img *from, *to;
    bool blank; /* `to` reads as zeroes where nothing was written */
    uint8_t *bytes;
    struct atoll_error *err;
};

static enum atoll_status fail(struct copy *c, struct img *img, int error, const char *what) {
    struct atoll_error inner;
    enum atoll_status status = img_fail_io(img, error, what, &inner);
    if (c->err) *c->err = inner;
    if (img == c->from) atoll_fail(c->err, status, inner.offset, "%.300s: %s", img->name, inner.text);
    if (c->err) c->err->system_errno = inner.system_errno;
    return status;
}

static int write_run(struct copy *c, uint64_t at, size_t from, size_t to) {
    struct iovec iov = {c->bytes + from, to - from};
    return from < to ? img_writev(c->to, &iov, 1, at + from) : 0;
}

static int write_zeroes(struct copy *c, uint64_t at, uint64_t n) {
    return c->blank ? 0 : img_write_zeroes(c->to, at, n, true);
}

/* Writes what is not zero of n bytes for `at`. */
static int write_data(struct copy *c, uint64_t at, size_t n) {
    size_t run = 0; /* where what has to be written begins */
    int error = 0;
    for (size_t i = 0; !error && i < n; i += GRAIN) {
        size_t size = n - i < GRAIN ? n - i : GRAIN;
        if (!img_is_zero(c->bytes + i, size)) continue;
        error = write_run(c, at, run, i);
        if (!error) error = write_zeroes(c, at + i, size);
        run = i + size;
    }
    return error ? error : write_run(c, at, run, n);
}

static enum atoll_status copy_chunk(struct copy *c, uint64_t at, size_t n) {
    struct iovec iov = {c->bytes, n};
    int error = img_readv(c->from, &iov, 1, at);
    if (error) return fail(c, c->from, error, "cannot read");
    error = write_data(c, at, n);
    return error ? fail(c, c->to, error, "cannot write") : ATOLL_OK;
}

static enum atoll_status
copy_all(struct copy *c, bool (*progress)(void *context, uint64_t done, uint64_t total), void *context) {
    enum atoll_status status = ATOLL_OK;
    uint64_t total = img_size(c->from);
    for (uint64_t at = 0, n; !status && at < total; at += n) {
        struct img_extent extent;
        int error = img_extent_at(c->from, at, &extent);
        if (error) return fail(c, c->from, error, "cannot read");
        n = extent.n_bytes;
        if (!extent.zero) {
            uint64_t room = CHUNK - at % CHUNK; /* grains and clusters are met at their beginning */
            if (n > room) n = room;
            status = copy_chunk(c, at, (size_t)n);
        } else if ((error = write_zeroes(c, at, n))) {
            status = fail(c, c->to, error, "cannot write");
        }
        if (!status && progress && !progress(context, at + n, total))
            status = atoll_fail(c->err, ATOLL_E_INTERRUPTED, ATOLL_NO_OFFSET, "stopped");
    }
    return status;
}

enum atoll_status img_copy(struct img *from, struct img *to,
                           bool (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                           struct atoll_error *err) {
    struct img_info info;
    img_info(to, &info);
    struct copy c = {.from = from, .to = to, .err = err};
    c.blank = info.format != IMG_RAW || !to->file->device;
    if (img_size(to) < img_size(from))
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "the image to write is smaller than the one to read");
    c.bytes = atoll_new(from->alloc, 1, CHUNK);
    if (!c.bytes) return img_fail_nomem(err);
    enum atoll_status status = copy_all(&c, progress, context);
    int error = status ? 0 : img_flush(to);
    if (error) status = fail(&c, to, error, "cannot write");
    atoll_free(from->alloc, c.bytes, CHUNK);
    return status;
}
