/* sysvm/image/spec.c: the text of --disk. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "sysvm/image/internal.h"

/* ---- parsing ---- */

static bool copy_text(char *out, size_t room, const char *text, size_t size) {
    if (!size || size >= room) return false;
    memcpy(out, text, size);
    out[size] = 0;
    return true;
}

static bool is_word(const char *text, size_t size, const char *word) {
    return strlen(word) == size && memcmp(text, word, size) == 0;
}
/* "NAME=VALUE": the value, or NULL. */
static const char *value_of(const char *text, size_t size, const char *name) {
    size_t n = strlen(name);
    return size > n && memcmp(text, name, n) == 0 && text[n] == '=' ? text + n + 1 : NULL;
}

enum option { NOT_ONE, TAKEN, BAD_VALUE, CONTRADICTS };

static enum option take_format(struct img_spec *s, enum img_format format) {
    if (s->format != IMG_BY_NAME && s->format != format) return CONTRADICTS;
    s->format = format;
    return TAKEN;
}
static enum option take_overlay(struct img_spec *s, enum img_overlay overlay) {
    if (s->overlay && s->overlay != overlay) return CONTRADICTS;
    s->overlay = overlay;
    return TAKEN;
}

static enum option take_value(struct img_spec *s, const char *text, size_t size) {
    const char *value;
    if ((value = value_of(text, size, "overlay"))) {
        if (take_overlay(s, IMG_OVERLAY) != TAKEN) return CONTRADICTS;
        size -= (size_t)(value - text);
        return copy_text(s->overlay_path, sizeof s->overlay_path, value, size) ? TAKEN : BAD_VALUE;
    }
    if ((value = value_of(text, size, "serial"))) {
        size -= (size_t)(value - text);
        return copy_text(s->serial, sizeof s->serial, value, size) ? TAKEN : BAD_VALUE;
    }
    if ((value = value_of(text, size, "backing"))) {
        size -= (size_t)(value - text);
        if (s->n_backing == IMG_SPEC_BACKING_MAX) return BAD_VALUE;
        return copy_text(s->backing[s->n_backing++], sizeof s->backing[0], value, size) ? TAKEN : BAD_VALUE;
    }
    return NOT_ONE;
}

static enum option take_option(struct img_spec *s, const char *text, size_t size, bool *out_rw) {
    if (is_word(text, size, "ro"))
        s->readonly = true;
    else if (is_word(text, size, "rw"))
        *out_rw = true;
    else if (is_word(text, size, "raw"))
        return take_format(s, IMG_RAW);
    else if (is_word(text, size, "qcow2"))
        return take_format(s, IMG_QCOW2);
    else if (is_word(text, size, "direct"))
        s->direct = true;
    else if (is_word(text, size, "cached"))
        s->direct = false;
    else if (is_word(text, size, "nolock"))
        s->no_lock = true;
    else if (is_word(text, size, "snapshot"))
        return take_overlay(s, IMG_SNAPSHOT);
    else if (is_word(text, size, "overlay"))
        return take_overlay(s, IMG_OVERLAY);
    else
        return take_value(s, text, size);
    return TAKEN;
}

enum atoll_status img_spec_parse(const char *text, struct img_spec *out, struct atoll_error *err) {
    size_t size = strlen(text);
    bool rw = false;
    *out = (struct img_spec){0};
    for (;;) {
        const char *colon = memrchr(text, ':', size);
        if (!colon) break;
        const char *word = colon + 1;
        enum option taken = take_option(out, word, (size_t)(text + size - word), &rw);
        if (taken == BAD_VALUE)
            return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s': '%.*s' has no good value", text,
                              (int)(text + size - word), word);
        if (taken == CONTRADICTS)
            return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s': '%.*s' contradicts what follows it",
                              text, (int)(text + size - word), word);
        if (taken == NOT_ONE) break;
        size = (size_t)(colon - text);
    }
    if (!copy_text(out->path, sizeof out->path, text, size))
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' names no disk image", text);
    if (out->readonly && (rw || out->overlay))
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' shall be read only and written to",
                          text);
    if (out->format == IMG_BY_NAME) out->format = img_format_of_name(out->path);
    if (out->overlay != IMG_OVERLAY || out->overlay_path[0]) return ATOLL_OK;
    int n = snprintf(out->overlay_path, sizeof out->overlay_path, "%s.overlay.qcow2", out->path);
    if (n < 0 || (size_t)n >= sizeof out->overlay_path)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' is too long a name", text);
    return ATOLL_OK;
}

/* ---- opening ---- */

static enum atoll_status grant(const struct img_spec *s, struct sandbox *sb, struct atoll_error *err) {
    enum atoll_status status = sb_grant_disk(sb, s->path, s->readonly || s->overlay, err);
    for (unsigned i = 0; !status && i < s->n_backing; i++)
        status = sb_grant_disk(sb, s->backing[i], true, err);
    if (!status && s->overlay == IMG_OVERLAY) status = sb_grant_disk(sb, s->overlay_path, false, err);
    return status;
}

static size_t folder_size(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* A base in the overlay's folder is named as such, so that both can move; any other absolutely. */
static enum atoll_status make_overlay(const struct img_spec *s, const struct img_options *o,
                                      struct atoll_error *err) {
    size_t n = folder_size(s->path);
    bool beside = n == folder_size(s->overlay_path) && memcmp(s->path, s->overlay_path, n) == 0;
    char *base = beside ? strdup(s->path + n) : realpath(s->path, NULL);
    if (!base) return img_fail_io(NULL, errno, "cannot open", err);
    struct img_create how = {
        .format = IMG_QCOW2, .size = UINT64_MAX, .backing = base, .backing_format = s->format};
    enum atoll_status status = img_create(s->overlay_path, &how, o, err);
    free(base);
    return status;
}

static bool is_file(const struct img *img, const char *path) {
    struct stat of_image, of_path;
    return img && !fstat(img->file->fd, &of_image) && !stat(path, &of_path) &&
           of_image.st_dev == of_path.st_dev && of_image.st_ino == of_path.st_ino;
}

static enum atoll_status open_overlay(const struct img_spec *s, struct img_options *o, struct img **out,
                                      struct atoll_error *err) {
    struct stat st;
    enum atoll_status status = stat(s->overlay_path, &st) == 0 ? ATOLL_OK : make_overlay(s, o, err);
    o->format = IMG_QCOW2;
    if (!status) status = img_open(s->overlay_path, o, out, err);
    if (!status && !is_file((*out)->backing, s->path)) {
        img_close(*out);
        *out = NULL;
        status = atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "it is not an overlay of '%.300s'", s->path);
    }
    if (!status || !err) return status;
    struct atoll_error inner = *err;
    atoll_fail(err, inner.code, inner.offset, "overlay '%.300s': %s", s->overlay_path, inner.text);
    err->system_errno = inner.system_errno;
    return status;
}

const char *img_scratch_folder(void) {
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/var/tmp";
}

static enum atoll_status open_snapshot(const struct img_spec *s, struct img_options *o, struct img **out,
                                       struct atoll_error *err) {
    struct img *base;
    o->readonly = true;
    enum atoll_status status = img_open(s->path, o, &base, err);
    if (status) return status;
    status = img_open_snapshot(base, o->sb, img_scratch_folder(), out, err);
    if (status) img_close(base);
    return status;
}

enum atoll_status img_spec_open(const struct img_spec *spec, struct sandbox *sb,
                                const struct atoll_alloc *alloc, struct img **out, struct atoll_error *err) {
    struct img_options o = {.alloc = alloc,
                            .sb = sb,
                            .format = spec->format,
                            .readonly = spec->readonly,
                            .direct = spec->direct,
                            .no_lock = spec->no_lock};
    enum atoll_status status = grant(spec, sb, err);
    if (status) return status;
    if (spec->overlay == IMG_SNAPSHOT) return open_snapshot(spec, &o, out, err);
    if (spec->overlay == IMG_OVERLAY) return open_overlay(spec, &o, out, err);
    return img_open(spec->path, &o, out, err);
}
