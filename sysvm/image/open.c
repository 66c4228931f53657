/* sysvm/image/open.c: an image, its lock and the images below it; new images. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sysvm/image/internal.h"

const char *img_format_word(enum img_format format) { return format == IMG_QCOW2 ? "qcow2" : "raw"; }

enum img_format img_format_of_name(const char *path) {
    static const char suffix[] = ".qcow2";
    size_t size = strlen(path), n = sizeof suffix - 1;
    return size > n && strcmp(path + size - n, suffix) == 0 ? IMG_QCOW2 : IMG_RAW;
}

/* ---- errors ---- */

static enum atoll_status fail_open(int error, const char *verb, struct atoll_error *err) {
    switch (error) {
    case ENOMEM: return img_fail_nomem(err);
    case EPERM: return atoll_fail(err, ATOLL_E_DENIED, ATOLL_NO_OFFSET, "not granted as a disk");
    case EROFS: return atoll_fail(err, ATOLL_E_DENIED, ATOLL_NO_OFFSET, "granted to be read only");
    case ENOTBLK:
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "neither a file nor a block device");
    default: return img_fail_io(NULL, error, verb, err);
    }
}

/* Puts whose fault it is in front. */
static enum atoll_status of_backing(enum atoll_status status, const char *name, struct atoll_error *err) {
    if (!status || !err) return status;
    struct atoll_error inner = *err;
    atoll_fail(err, inner.code, inner.offset, "backing file '%.200s': %s", name, inner.text);
    err->system_errno = inner.system_errno;
    return status;
}

/* ---- one image ---- */

static enum atoll_status lock(int fd, bool write, struct atoll_error *err) {
    int error = img_lock(fd, write);
    if (!error) return ATOLL_OK;
    if (error == EAGAIN)
        return atoll_fail(err, ATOLL_E_DENIED, ATOLL_NO_OFFSET,
                          write ? "in use by somebody else, so it cannot be written"
                                : "somebody else is writing to it");
    return img_fail_io(NULL, error, "cannot be locked (\":nolock\" does without)", err);
}

/* *img owns what it has, also when this fails. */
static enum atoll_status attach(struct img *img, const struct img_options *o, enum img_format format,
                                enum img_host_mode mode, struct atoll_error *err) {
    enum atoll_status status =
        o->no_lock || mode == IMG_THROW_AWAY ? ATOLL_OK : lock(img->disk.fd, !o->readonly, err);
    if (status) return status;
    int fd = img->disk.fd;
    img->disk.fd = -1;
    int error = img_host_file(img->alloc, fd, mode, &img->file);
    if (error == EINVAL && mode == IMG_DIRECT)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                          "the file system has no direct access (\":cached\" does without)");
    if (error) return img_fail_io(NULL, error, "cannot open", err);
    img->readonly = o->readonly;
    img->can_discard = true;
    if (format == IMG_RAW) return img_raw_open(img, mode == IMG_DIRECT, err);
    return img_qcow2_open(img, &(struct img_qcow2_open){.check = o->check}, err);
}

static void discard_half(struct img *img) {
    if (img->disk.fd >= 0) close(img->disk.fd);
    img_close(img);
}

/* ---- the chain ---- */

/* An image that is open, and those above it. */
struct chain {
    const struct img *img;
    const struct chain *above;
    dev_t dev;
    ino_t ino;
    unsigned depth;
};

static bool is_above(const struct chain *chain, int fd) {
    struct stat st;
    if (fstat(fd, &st)) return false;
    for (; chain; chain = chain->above)
        if (chain->dev == st.st_dev && chain->ino == st.st_ino) return true;
    return false;
}

static enum atoll_status open_backing(struct img *img, const struct img_options *o, const struct chain *above,
                                      struct atoll_error *err);

static enum atoll_status open_from(struct sb_disk disk, const char *name, const struct img_options *o,
                                   const struct chain *above, struct img **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = o->alloc ? o->alloc : &atoll_default_alloc;
    struct img *img = img_new(alloc, name);
    if (!img) {
        sb_disk_close(&disk);
        return img_fail_nomem(err);
    }
    img->disk = disk;
    struct stat st = {0};
    fstat(disk.fd, &st);
    struct chain here = {.img = img,
                         .above = above,
                         .dev = st.st_dev,
                         .ino = st.st_ino,
                         .depth = above ? above->depth + 1 : 1};
    enum img_format format = o->format == IMG_BY_NAME ? img_format_of_name(name) : o->format;
    enum atoll_status status = attach(img, o, format, o->direct ? IMG_DIRECT : IMG_CACHED, err);
    if (!status && !o->no_backing) status = open_backing(img, o, &here, err);
    if (status) {
        img->readonly = true; /* nothing was written */
        discard_half(img);
        return status;
    }
    *out = img;
    return ATOLL_OK;
}

static enum atoll_status open_backing(struct img *img, const struct img_options *o, const struct chain *above,
                                      struct atoll_error *err) {
    struct img_info info;
    struct sb_disk disk;
    img_info(img, &info);
    if (!info.backing) return ATOLL_OK;
    if (above->depth >= IMG_CHAIN_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "more than %d images in a chain",
                          IMG_CHAIN_MAX);
    int error = sb_disk_open_backing(o->sb, &img->disk, info.backing, &disk);
    if (error == EPERM)
        return atoll_fail(err, ATOLL_E_DENIED, ATOLL_NO_OFFSET,
                          "backing file '%.200s' is not below the image's folder; \"backing=FILE\" allows it",
                          info.backing);
    if (error) return of_backing(fail_open(error, "cannot open", err), info.backing, err);
    if (is_above(above, disk.fd)) {
        sb_disk_close(&disk);
        return atoll_fail(err, ATOLL_E_MALFORMED, 8, "the chain of backing files comes back to '%.200s'",
                          info.backing);
    }
    struct img_options below = *o;
    below.format = info.backing_format;
    below.readonly = true;
    below.check = false;
    return of_backing(open_from(disk, info.backing, &below, above, &img->backing, err), info.backing, err);
}

/* A writer that was killed while it put off its counts left an image whose counts are old. */
static enum atoll_status mend_dirty(struct img *img, struct atoll_error *err) {
    struct img_info info;
    struct img_check found;
    img_info(img, &info);
    if (img->readonly || !info.dirty) return ATOLL_OK;
    enum atoll_status status = img_check(img, true, NULL, NULL, &found, err);
    img_info(img, &info);
    if (status || !info.dirty) return status;
    return atoll_fail(err, ATOLL_E_MALFORMED, 72, "the image was not closed and cannot be mended");
}

enum atoll_status img_open(const char *path, const struct img_options *options, struct img **out,
                           struct atoll_error *err) {
    struct sb_disk disk;
    unsigned flags = SB_OPEN_READ;
    if (!options->readonly) flags |= SB_OPEN_WRITE;
    if (options->direct) flags |= SB_OPEN_DIRECT;
    int error = sb_disk_open(options->sb, path, flags, &disk);
    if (error == EINVAL && options->direct)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                          "the file system has no direct access (\":cached\" does without)");
    if (error) return fail_open(error, "cannot open", err);
    enum atoll_status status = open_from(disk, path, options, NULL, out, err);
    if (status || options->check) return status;
    if ((status = mend_dirty(*out, err))) {
        img_close(*out);
        *out = NULL;
    }
    return status;
}

/* ---- new images ---- */

static enum atoll_status find_size(const struct sb_disk *disk, const struct img_options *o,
                                   struct img_create *how, struct atoll_error *err) {
    struct sb_disk below;
    struct img *img = NULL;
    if (!how->backing) return ATOLL_OK;
    int error = sb_disk_open_backing(o->sb, disk, how->backing, &below);
    if (error) return of_backing(fail_open(error, "cannot open", err), how->backing, err);
    struct img_options options = {.alloc = o->alloc,
                                  .sb = o->sb,
                                  .format = how->backing_format,
                                  .readonly = true,
                                  .no_lock = o->no_lock};
    enum atoll_status status = open_from(below, how->backing, &options, NULL, &img, err);
    if (status) return of_backing(status, how->backing, err);
    if (how->size == UINT64_MAX) how->size = img_size(img);
    img_close(img);
    return ATOLL_OK;
}

static enum atoll_status format(struct img_file *file, const struct img_create *how,
                                struct atoll_error *err) {
    if (how->format == IMG_QCOW2) return img_qcow2_format(file, how, err);
    int error = file->device ? 0 : file->ops->resize(file, how->size);
    if (!error && file->device && how->size > file->size) error = ENOSPC;
    if (!error) error = file->ops->sync(file);
    return error ? img_fail_io(NULL, error, "cannot write the image", err) : ATOLL_OK;
}

static enum atoll_status create_in(struct sb_disk *disk, const struct img_create *wanted,
                                   const struct img_options *o, struct atoll_error *err) {
    struct img_create how = *wanted;
    struct img_file *file;
    if (how.backing && how.backing_format == IMG_BY_NAME)
        how.backing_format = img_format_of_name(how.backing);
    enum atoll_status status = o->no_lock ? ATOLL_OK : lock(disk->fd, true, err);
    if (!status) status = find_size(disk, o, &how, err);
    if (!status && how.size > INT64_MAX)
        status = atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the image's size is missing or too large");
    if (status) return status;
    int fd = fcntl(disk->fd, F_DUPFD_CLOEXEC, 0); /* formatting closes its own */
    int error =
        fd < 0 ? errno : img_host_file(o->alloc ? o->alloc : &atoll_default_alloc, fd, IMG_CACHED, &file);
    if (error) return img_fail_io(NULL, error, "cannot open", err);
    status = format(file, &how, err);
    file->ops->close(file);
    return status;
}

enum atoll_status img_create(const char *path, const struct img_create *how,
                             const struct img_options *options, struct atoll_error *err) {
    struct img_create wanted = *how;
    struct sb_disk disk;
    struct stat st;
    if (wanted.format == IMG_BY_NAME) wanted.format = img_format_of_name(path);
    if (wanted.backing && wanted.format != IMG_QCOW2)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "a raw image has no backing file");
    bool device = stat(path, &st) == 0 && S_ISBLK(st.st_mode), is_new = !device && !how->replace;
    unsigned flags = SB_OPEN_READ | SB_OPEN_WRITE | (device ? 0 : SB_OPEN_TRUNCATE);
    int error =
        is_new ? sb_disk_create(options->sb, path, &disk) : sb_disk_open(options->sb, path, flags, &disk);
    if (error) return fail_open(error, "cannot create", err);
    enum atoll_status status = create_in(&disk, &wanted, options, err);
    error = is_new ? sb_disk_finish(options->sb, path, &disk, !status) : 0;
    if (error && !status) status = fail_open(error, "cannot create", err);
    sb_disk_close(&disk);
    return status;
}

/* ---- throw-away ---- */

enum atoll_status img_open_snapshot(struct img *base, struct sandbox *sb, const char *folder,
                                    struct img **out, struct atoll_error *err) {
    const struct img_create how = {
        .format = IMG_QCOW2, .size = base->size, .backing = "below", .backing_format = IMG_RAW};
    const struct img_options o = {.alloc = base->alloc, .sb = sb};
    struct sb_disk disk;
    int error = sb_disk_temporary(sb, folder, &disk);
    if (error) {
        char what[320];
        snprintf(what, sizeof what, "cannot make a throw-away file in '%.250s'", folder);
        return img_fail_io(NULL, error, what, err);
    }
    struct img *img = img_new(base->alloc, base->name);
    int copy = img ? fcntl(disk.fd, F_DUPFD_CLOEXEC, 0) : -1; /* formatting closes its own */
    enum atoll_status status = ATOLL_OK;
    struct img_file *file;
    if (!img || copy < 0)
        status = img_fail_nomem(err);
    else if ((error = img_host_file(base->alloc, copy, IMG_THROW_AWAY, &file)))
        status = img_fail_io(NULL, error, "cannot open", err);
    if (!status) {
        status = img_qcow2_format(file, &how, err);
        file->ops->close(file);
    }
    if (!img) {
        sb_disk_close(&disk);
        return status;
    }
    img->disk = disk;
    if (!status) status = attach(img, &o, IMG_QCOW2, IMG_THROW_AWAY, err);
    if (status) {
        img->readonly = true;
        discard_half(img);
        return status;
    }
    img->backing = base;
    *out = img;
    return ATOLL_OK;
}
