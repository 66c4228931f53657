/* sandbox/path.c: what is done to the thing a path names. The last component goes to an *at call that does
 * not follow it, on the handle of the directory above (sb_parent_open); where the thing itself is wanted,
 * sb_resolve opens it. */
#include <stdio.h>
#include "sandbox/internal.h"

/* A descriptor of the thing itself (O_PATH) or -errno. */
static int open_thing(struct sb_file *dir, struct sb_path path, bool follow) {
    char text[PATH_MAX];
    int error = sb_path_copy(path, text);
    return error ? -error : sb_resolve(dir->sb, dir->fd, text, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
}

int sb_path_stat(struct sb_file *dir, struct sb_path path, bool follow, struct stat *out) {
    struct sb_request request = sb_request_path(SB_FS_STAT, dir, path);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    int fd = open_thing(dir, path, follow);
    if (fd < 0) return sb_answer(dir->sb, &request, -fd, SB_ABSENT);
    error = fstat(fd, out) ? errno : 0;
    close(fd);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

/* utimensat of the thing behind an O_PATH descriptor; older kernels only know the way through /proc. */
int sb_set_times_of(int fd, const struct timespec times[2]) {
    if (!utimensat(fd, "", times, AT_EMPTY_PATH)) return 0;
    if (errno != EINVAL && errno != ENOENT) return errno;
    char proc[40];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    return utimensat(AT_FDCWD, proc, times, 0) ? errno : 0;
}

int sb_path_set_times(struct sb_file *dir, struct sb_path path, bool follow, const struct timespec times[2]) {
    struct sb_request request = sb_request_path(SB_FS_SET_TIMES, dir, path);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    int fd = open_thing(dir, path, follow);
    if (fd < 0) return sb_answer(dir->sb, &request, -fd, SB_ABSENT);
    error = sb_set_times_of(fd, times);
    close(fd);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

int sb_path_readlink(struct sb_file *dir, struct sb_path path, char *buffer, size_t size, size_t *out_n) {
    struct sb_request request = sb_request_path(SB_FS_READLINK, dir, path);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    *out_n = 0;
    int fd = open_thing(dir, path, false);
    if (fd < 0) return sb_answer(dir->sb, &request, -fd, SB_ABSENT);
    char target[PATH_MAX]; /* readlinkat refuses an empty buffer */
    ssize_t n = readlinkat(fd, "", target, sizeof target);
    error = n >= 0 ? 0 : errno == ENOENT ? EINVAL : errno; /* ENOENT: not a link */
    close(fd);
    *out_n = n < 0 ? 0 : (size_t)n < size ? (size_t)n : size;
    if (*out_n) memcpy(buffer, target, *out_n);
    return sb_answer(dir->sb, &request, error, *out_n);
}

/* ---- on the directory above ---- */

static int do_mkdir(const struct sb_parent *p) { return mkdirat(p->fd, p->name, 0777); }
static int do_rmdir(const struct sb_parent *p) { return unlinkat(p->fd, p->name, AT_REMOVEDIR); }
static int do_unlink(const struct sb_parent *p) { return unlinkat(p->fd, p->name, 0); }

static int on_parent(enum sb_kind kind, struct sb_file *dir, struct sb_path path,
                     int (*act)(const struct sb_parent *)) {
    struct sb_parent parent;
    struct sb_request request = sb_request_path(kind, dir, path);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_parent_open(dir, path, &parent);
    if (error) return sb_answer(dir->sb, &request, error, SB_ABSENT);
    error = act(&parent) ? errno : 0;
    sb_parent_close(&parent);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

int sb_path_mkdir(struct sb_file *dir, struct sb_path path) {
    return on_parent(SB_FS_MKDIR, dir, path, do_mkdir);
}
int sb_path_rmdir(struct sb_file *dir, struct sb_path path) {
    return on_parent(SB_FS_RMDIR, dir, path, do_rmdir);
}
int sb_path_unlink(struct sb_file *dir, struct sb_path path) {
    return on_parent(SB_FS_UNLINK, dir, path, do_unlink);
}

static int do_rename(const struct sb_parent *from, const struct sb_parent *to) {
    return renameat(from->fd, from->name, to->fd, to->name);
}
static int do_link(const struct sb_parent *from, const struct sb_parent *to) {
    return linkat(from->fd, from->name, to->fd, to->name, 0);
}

static struct sb_request request_two(enum sb_kind kind, struct sb_file *dir, struct sb_path path,
                                     struct sb_file *new_dir, struct sb_path new_path) {
    struct sb_request request = sb_request_path(kind, dir, path);
    request.file2 = new_dir;
    request.name2 = new_path.bytes;
    request.name2_size = new_path.size;
    return request;
}

static int on_parents(enum sb_kind kind, struct sb_file *dir, struct sb_path path, struct sb_file *new_dir,
                      struct sb_path new_path,
                      int (*act)(const struct sb_parent *, const struct sb_parent *)) {
    struct sb_parent from, to;
    struct sb_request request = request_two(kind, dir, path, new_dir, new_path);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_parent_open(dir, path, &from);
    if (error) return sb_answer(dir->sb, &request, error, SB_ABSENT);
    error = sb_parent_open(new_dir, new_path, &to);
    if (!error) {
        error = act(&from, &to) ? errno : 0;
        sb_parent_close(&to);
    }
    sb_parent_close(&from);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

int sb_path_rename(struct sb_file *dir, struct sb_path path, struct sb_file *new_dir,
                   struct sb_path new_path) {
    return on_parents(SB_FS_RENAME, dir, path, new_dir, new_path, do_rename);
}

/* "x/" makes linkat follow x, maybe out of the grant. It can only name a directory, which has no hard links:
 * so the kernel is asked for nothing but whether it is one. */
static int link_with_slash(struct sb_file *dir, struct sb_path path) {
    int fd = open_thing(dir, path, true);
    if (fd < 0) return -fd;
    close(fd);
    return EPERM;
}

int sb_path_link(struct sb_file *dir, struct sb_path path, struct sb_file *new_dir, struct sb_path new_path) {
    if (path.size == 0 || path.bytes[path.size - 1] != '/')
        return on_parents(SB_FS_LINK, dir, path, new_dir, new_path, do_link);
    struct sb_request request = request_two(SB_FS_LINK, dir, path, new_dir, new_path);
    int error = sb_ask(dir->sb, &request);
    return error ? error : sb_answer(dir->sb, &request, link_with_slash(dir, path), SB_ABSENT);
}

int sb_path_symlink(struct sb_path target, struct sb_file *dir, struct sb_path path) {
    char text[PATH_MAX];
    struct sb_parent parent;
    struct sb_request request = sb_request_path(SB_FS_SYMLINK, dir, path);
    request.name2 = target.bytes;
    request.name2_size = target.size;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_path_copy(target, text);
    if (!error) error = sb_parent_open(dir, path, &parent);
    if (error) return sb_answer(dir->sb, &request, error, SB_ABSENT);
    error = symlinkat(text, parent.fd, parent.name) ? errno : 0;
    sb_parent_close(&parent);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}
