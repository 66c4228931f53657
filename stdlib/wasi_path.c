/* stdlib/wasi_path.c: functions on paths below a directory descriptor. */
#include "stdlib/wasi.h"

#include <errno.h>
#include <limits.h>

enum { FOLLOW = 1 }; /* lookupflags */

/* A path of the program in memory of the host's. */
struct path {
    struct sb_path path;
    char bytes[PATH_MAX];
};

/* The one at argument `at`. A path that is too long is cut to what is still too long. Returns an errno. */
static uint32_t take_path(const struct wasi_call *c, unsigned at, struct path *out) {
    uint32_t size = wasi_u32(c, at + 1);
    if (!wasi_at(c, wasi_u32(c, at), size)) return WASI_EFAULT;
    out->path = (struct sb_path){out->bytes, size < PATH_MAX ? size : PATH_MAX};
    wasi_take(c, wasi_u32(c, at), out->bytes, out->path.size);
    return WASI_OK;
}

/* The directory of argument `fd` and the path of the two behind it at `at`. Returns an errno. */
static uint32_t place(struct wasi_call *c, unsigned fd, unsigned at, uint64_t rights,
                      const struct wasi_fd **out_dir, struct path *out_path) {
    uint32_t error;
    *out_dir = wasi_fd_get(c, wasi_u32(c, fd), 0, &error);
    if (!*out_dir) return error;
    if (sb_file_type((*out_dir)->file) != SB_TYPE_DIRECTORY) return WASI_ENOTDIR;
    if (((*out_dir)->base & rights) != rights) return WASI_ENOTCAPABLE;
    return take_path(c, at, out_path);
}

typedef int path_fn(struct sb_file *dir, struct sb_path path);
static uint32_t simple(struct wasi_call *c, uint64_t right, path_fn *fn) {
    const struct wasi_fd *dir;
    struct path path;
    uint32_t error = place(c, 0, 1, right, &dir, &path);
    return error ? error : wasi_errno(fn(dir->file, path.path));
}
uint32_t wasi_fn_path_create_directory(struct wasi_call *c) {
    return simple(c, RIGHT(PATH_CREATE_DIRECTORY), sb_path_mkdir);
}
uint32_t wasi_fn_path_remove_directory(struct wasi_call *c) {
    return simple(c, RIGHT(PATH_REMOVE_DIRECTORY), sb_path_rmdir);
}
uint32_t wasi_fn_path_unlink_file(struct wasi_call *c) {
    return simple(c, RIGHT(PATH_UNLINK_FILE), sb_path_unlink);
}

uint32_t wasi_fn_path_filestat_get(struct wasi_call *c) {
    const struct wasi_fd *dir;
    struct path path;
    struct stat st;
    uint32_t error = place(c, 0, 2, RIGHT(PATH_FILESTAT_GET), &dir, &path);
    if (!error) error = wasi_errno(sb_path_stat(dir->file, path.path, wasi_u32(c, 1) & FOLLOW, &st));
    return error ? error : wasi_put_filestat(c, wasi_u32(c, 4), &st) ? WASI_OK : WASI_EFAULT;
}

uint32_t wasi_fn_path_filestat_set_times(struct wasi_call *c) {
    const struct wasi_fd *dir;
    struct path path;
    struct timespec times[2];
    uint32_t error = place(c, 0, 2, RIGHT(PATH_FILESTAT_SET_TIMES), &dir, &path);
    if (error) return error;
    if (!wasi_times(wasi_u64(c, 4), wasi_u64(c, 5), wasi_u32(c, 6), times)) return WASI_EINVAL;
    return wasi_errno(sb_path_set_times(dir->file, path.path, wasi_u32(c, 1) & FOLLOW, times));
}

/* Of two directories: arguments (fd, path) and (fd, path). */
typedef int pair_fn(struct sb_file *dir, struct sb_path path, struct sb_file *new_dir,
                    struct sb_path new_path);
static uint32_t pair(struct wasi_call *c, unsigned fd, unsigned new_fd, uint64_t right, uint64_t new_right,
                     pair_fn *fn) {
    const struct wasi_fd *dir, *new_dir;
    struct path path, new_path;
    uint32_t error = place(c, 0, fd, right, &dir, &path);
    if (!error) error = place(c, new_fd, new_fd + 1, new_right, &new_dir, &new_path);
    return error ? error : wasi_errno(fn(dir->file, path.path, new_dir->file, new_path.path));
}

uint32_t wasi_fn_path_link(struct wasi_call *c) {
    if (wasi_u32(c, 1) & FOLLOW)
        return WASI_EINVAL; /* a link to what a link names could leave the grant's view */
    return pair(c, 2, 4, RIGHT(PATH_LINK_SOURCE), RIGHT(PATH_LINK_TARGET), sb_path_link);
}
uint32_t wasi_fn_path_rename(struct wasi_call *c) {
    return pair(c, 1, 3, RIGHT(PATH_RENAME_SOURCE), RIGHT(PATH_RENAME_TARGET), sb_path_rename);
}

uint32_t wasi_fn_path_symlink(struct wasi_call *c) {
    const struct wasi_fd *dir;
    struct path path;
    struct path target;
    uint32_t error = place(c, 2, 3, RIGHT(PATH_SYMLINK), &dir, &path);
    if (!error) error = take_path(c, 0, &target);
    return error ? error : wasi_errno(sb_path_symlink(target.path, dir->file, path.path));
}

uint32_t wasi_fn_path_readlink(struct wasi_call *c) {
    const struct wasi_fd *dir;
    struct path path;
    size_t n = 0;
    uint32_t size = wasi_u32(c, 4), error = place(c, 0, 1, RIGHT(PATH_READLINK), &dir, &path);
    if (error) return error;
    char *buffer = wasi_at(c, wasi_u32(c, 3), size);
    if (!buffer || !wasi_at(c, wasi_u32(c, 5), 4)) return WASI_EFAULT;
    error = wasi_errno(sb_path_readlink(dir->file, path.path, buffer, size, &n));
    return error ? error : wasi_put_u32(c, wasi_u32(c, 5), (uint32_t)n) ? WASI_OK : WASI_EFAULT;
}

/* ---- opening ---- */

enum { O_CREATE = 1, O_DIR = 2, O_EXCLUSIVE = 4, O_TRUNCATE = 8 }; /* oflags */

static unsigned open_flags(const struct wasi_call *c, uint64_t base) {
    uint32_t oflags = wasi_u32(c, 4);
    unsigned flags = wasi_status_flags(wasi_u32(c, 7));
    bool write =
        base & (RIGHT(FD_WRITE) | RIGHT(FD_ALLOCATE) | RIGHT(FD_FILESTAT_SET_SIZE)) && !(oflags & O_DIR);
    if (write) flags |= SB_OPEN_WRITE;
    if (!write || base & (RIGHT(FD_READ) | RIGHT(FD_READDIR))) flags |= SB_OPEN_READ;
    if (oflags & O_CREATE) flags |= SB_OPEN_CREATE;
    if (oflags & O_DIR) flags |= SB_OPEN_DIRECTORY;
    if (oflags & O_EXCLUSIVE) flags |= SB_OPEN_EXCLUSIVE;
    if (oflags & O_TRUNCATE) flags |= SB_OPEN_TRUNCATE;
    if (!(wasi_u32(c, 1) & FOLLOW)) flags |= SB_OPEN_NOFOLLOW;
    return flags;
}

static uint64_t rights_to_open(uint32_t oflags) {
    uint64_t rights = RIGHT(PATH_OPEN);
    if (oflags & O_CREATE) rights |= RIGHT(PATH_CREATE_FILE);
    if (oflags & O_TRUNCATE) rights |= RIGHT(PATH_FILESTAT_SET_SIZE);
    return rights;
}

uint32_t wasi_fn_path_open(struct wasi_call *c) {
    const struct wasi_fd *dir;
    struct path path;
    struct sb_file *file;
    uint32_t oflags = wasi_u32(c, 4), fd, error = place(c, 0, 2, rights_to_open(oflags), &dir, &path);
    uint64_t base = wasi_u64(c, 5), inheriting = wasi_u64(c, 6);
    if (error) return error;
    if (oflags & ~15u || wasi_u32(c, 7) & ~31u) return WASI_EINVAL;
    if ((base | inheriting) & ~dir->inheriting) return WASI_ENOTCAPABLE;
    if (!wasi_at(c, wasi_u32(c, 8), 4)) return WASI_EFAULT;
    error = wasi_errno(sb_file_open(dir->file, path.path, open_flags(c, base), &file));
    if (error) return error;
    bool directory = sb_file_type(file) == SB_TYPE_DIRECTORY;
    base &= directory ? WASI_RIGHTS_DIRECTORY : WASI_RIGHTS_FILE;
    if (!directory) inheriting = 0;
    error = wasi_fd_add(c->wasi, file, base, inheriting, NULL, &fd);
    if (error) {
        sb_file_unref(file);
        return error;
    }
    wasi_put_u32(c, wasi_u32(c, 8), fd);
    return WASI_OK;
}
