/* sandbox/resolve.c: from a directory handle and a program's path to a descriptor, never outside the
 * directory.
 *
 * Two ways with one meaning: openat2 with RESOLVE_BENEATH, atomic in the kernel; and a walk, one component at
 * a time, for kernels without it, for seccomp filters that refuse it, and for paths under constant renaming.
 * Rules the walk keeps:
 *   - each component is opened O_PATH | O_NOFOLLOW from the handle of the directory before it, so what was
 *     checked is what is used: a swap in between changes an object, never the place of the next step;
 *   - ".." pops a stack of handles: it cannot rise above the start whatever was moved meanwhile;
 *   - links are read from the handle and their text put before the rest; absolute ones are refused.
 *
 * Neither way ends on a proc file system: /proc/self/mem is the memory of this process, and the files beside it
 * those of every other of the same user. No grant starts there (grant.c), so no path ends there. Opening
 * what is refused afterwards changes nothing there, and the calls on names are all refused by the kernel. */
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include "sandbox/internal.h"

#define LINKS_MAX     40 /* as the kernel's */
#define RETRIES_MAX   16 /* openat2 says EAGAIN when a rename elsewhere disturbed its check of ".." */
#define RESOLVE_FLAGS (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)

int sb_path_copy(struct sb_path path, char out[PATH_MAX]) {
    if (path.size == 0) return ENOENT;
    if (path.size >= PATH_MAX) return ENAMETOOLONG;
    if (memchr(path.bytes, 0, path.size)) return EINVAL;
    if (path.bytes[0] == '/') return EPERM;
    memcpy(out, path.bytes, path.size);
    out[path.size] = 0;
    return 0;
}

/* ---- /proc ---- */

bool sb_is_procfs(int fd) {
    struct statfs fs;
    int failed;
    while ((failed = fstatfs(fd, &fs)) && errno == EINTR) continue;
    return failed || fs.f_type == PROC_SUPER_MAGIC;
}

bool sb_leads_into_procfs(int dir_fd, int fd) {
    struct stat found, start;
    if (fstat(fd, &found) || fstat(dir_fd, &start)) return true;
    if (major(found.st_dev) != 0 || found.st_dev == start.st_dev) return false;
    return sb_is_procfs(fd);
}

/* ---- openat2 ---- */

static int openat2_call(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve) {
    struct open_how how = {.flags = (uint64_t)(unsigned)flags, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

/* A filter may refuse the call with any errno that an open can have too, so it is asked about something that
 * cannot fail otherwise. */
static bool openat2_works(struct sandbox *sb) {
    if (sb->openat2 == OPENAT2_UNTRIED) {
        int fd = openat2_call(AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS);
        sb->openat2 = fd >= 0 ? OPENAT2_WORKS : OPENAT2_REFUSED;
        if (fd >= 0) close(fd);
    }
    return sb->openat2 == OPENAT2_WORKS;
}

/* ---- the walk ---- */

struct walk {
    struct sandbox *sb;
    int start;
    int *handles; /* directories below the start, innermost last */
    size_t depth, capacity;
    unsigned n_links;
    size_t at;               /* rest of the path: text[at ..], NUL at the end */
    char text[4 * PATH_MAX]; /* filled from the end, so that a link's target is put before the rest */
};

static int walk_top(const struct walk *w) { return w->depth ? w->handles[w->depth - 1] : w->start; }

static int walk_prepend(struct walk *w, const char *text, size_t size) {
    if (size > w->at) return -ENAMETOOLONG;
    w->at -= size;
    memcpy(w->text + w->at, text, size);
    return 0;
}

/* Takes the next component; false at the end. *out_last: nothing but slashes follows; *out_slash: some do. */
static bool walk_next(struct walk *w, char out[NAME_MAX + 2], bool *out_last, bool *out_slash) {
    const char *rest = w->text + w->at;
    size_t skip = strspn(rest, "/"), size = strcspn(rest + skip, "/");
    if (size == 0) return false;
    size_t kept = size > NAME_MAX + 1 ? NAME_MAX + 1 : size; /* one too long stays too long */
    memcpy(out, rest + skip, kept);
    out[kept] = 0;
    w->at += skip + size;
    rest = w->text + w->at;
    *out_slash = rest[0] == '/';
    *out_last = rest[strspn(rest, "/")] == 0;
    return true;
}

static int walk_push(struct walk *w, int fd) {
    if (atoll_grow(w->sb->alloc, (void **)&w->handles, &w->capacity, w->depth + 1, sizeof *w->handles)) {
        close(fd);
        return -ENOMEM;
    }
    w->handles[w->depth++] = fd;
    return 0;
}

static int walk_up(struct walk *w) {
    if (w->depth == 0) return -EPERM;
    close(w->handles[--w->depth]);
    return 0;
}

/* Puts the target of the link `name` in `dir` before the rest; name "" = the link is `dir` itself. */
static int walk_follow(struct walk *w, int dir, const char *name) {
    char target[PATH_MAX];
    ssize_t size = readlinkat(dir, name, target, sizeof target);
    if (size < 0) return -errno;
    if (++w->n_links > LINKS_MAX) return -ELOOP;
    if (size == 0) return -ENOENT;
    if (size == sizeof target) return -ENAMETOOLONG;
    if (target[0] == '/') return -EPERM;
    /* The rest begins with its slash, or is empty. */
    return walk_prepend(w, target, (size_t)size);
}

static int walk_into(struct walk *w, const char *name) {
    int fd = openat(walk_top(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat st;
    int error = fstat(fd, &st) ? -errno : 0;
    if (!error && S_ISDIR(st.st_mode)) return walk_push(w, fd);
    if (!error) error = S_ISLNK(st.st_mode) ? walk_follow(w, fd, "") : -ENOTDIR;
    close(fd);
    return error;
}

#define WALK_ON INT_MIN /* a link was followed: go on */

static int open_link_itself(struct walk *w, int fd, bool follow) {
    struct stat st;
    if (!follow || fstat(fd, &st) || !S_ISLNK(st.st_mode)) return fd;
    int error = walk_follow(w, fd, "");
    close(fd);
    return error ? error : WALK_ON;
}

/* Opens the last component. Returns a descriptor, -errno or WALK_ON. */
static int walk_last(struct walk *w, const char *name, bool slash, int flags, mode_t mode) {
    if (slash && (flags & O_CREAT)) return -EISDIR;
    if (slash) flags = (flags | O_DIRECTORY) & ~O_NOFOLLOW;
    bool follow = !(flags & O_NOFOLLOW);
    int fd = openat(walk_top(w), name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd >= 0) return flags & O_PATH ? open_link_itself(w, fd, follow) : fd;
    int refused = errno;
    if (!follow || (refused != ELOOP && refused != ENOTDIR)) return -refused;
    int error = walk_follow(w, walk_top(w), name);
    if (error == -EINVAL) return -refused; /* no link (any more) */
    return error ? error : WALK_ON;
}

static int walk_run(struct walk *w, int flags, mode_t mode) {
    char name[NAME_MAX + 2];
    bool last, slash;
    while (walk_next(w, name, &last, &slash)) {
        int result = 0;
        if (strcmp(name, "..") == 0) {
            result = walk_up(w);
        } else if (strcmp(name, ".") != 0) {
            if (last) {
                result = walk_last(w, name, slash, flags, mode);
                if (result != WALK_ON) return result;
                result = 0;
            } else {
                result = walk_into(w, name);
            }
        }
        if (result) return result;
    }
    int fd = openat(walk_top(w), ".", flags | O_CLOEXEC, mode);
    return fd >= 0 ? fd : -errno;
}

static int walk(struct sandbox *sb, int dir_fd, const char *path, int flags, mode_t mode) {
    struct walk w;
    w.sb = sb;
    w.start = dir_fd;
    w.handles = NULL;
    w.depth = w.capacity = 0;
    w.n_links = 0;
    w.at = sizeof w.text - 1;
    w.text[w.at] = 0;
    int result = walk_prepend(&w, path, strlen(path));
    if (result == 0) result = walk_run(&w, flags, mode);
    while (w.depth) close(w.handles[--w.depth]);
    atoll_free(sb->alloc, w.handles, w.capacity * sizeof *w.handles);
    return result;
}

static int resolve(struct sandbox *sb, int dir_fd, const char *path, int flags, mode_t mode) {
    if (!openat2_works(sb)) return walk(sb, dir_fd, path, flags, mode);
    mode_t how_mode = flags & O_CREAT ? mode : 0;
    for (unsigned i = 0; i < RETRIES_MAX; i++) {
        int fd = openat2_call(dir_fd, path, flags | O_CLOEXEC, how_mode, RESOLVE_FLAGS);
        if (fd >= 0) return fd;
        if (errno == EXDEV) return -EPERM;
        if (errno != EAGAIN && errno != EINTR) return -errno;
    }
    return walk(sb, dir_fd, path, flags, mode);
}

int sb_resolve(struct sandbox *sb, int dir_fd, const char *path, int flags, mode_t mode) {
    int fd = resolve(sb, dir_fd, path, flags, mode);
    if (fd < 0 || !sb_leads_into_procfs(dir_fd, fd)) return fd;
    close(fd);
    return -EPERM;
}

/* ---- the directory above the last component ---- */

/* Opening "x/.." only to learn whether it stays inside: the *at calls refuse ".." themselves, each in its
 * way. */
static int check_inside(struct sb_file *dir, const char *path) {
    int fd = sb_resolve(dir->sb, dir->fd, path, O_PATH, 0);
    if (fd < 0) return -fd;
    close(fd);
    return 0;
}

int sb_parent_open(struct sb_file *dir, struct sb_path path, struct sb_parent *out) {
    char text[PATH_MAX];
    int error = sb_path_copy(path, text);
    if (error) return error;
    size_t size = strlen(text), end = size;
    while (end > 1 && text[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && text[begin - 1] != '/') begin--;
    memcpy(out->name, text + begin, end - begin);
    out->name[end - begin] = 0;
    if (strcmp(out->name, "..") == 0 && (error = check_inside(dir, text))) return error;
    if (end < size) strcpy(out->name + (end - begin), "/");
    out->own = begin > 0;
    out->fd = dir->fd;
    if (!out->own) return 0;
    text[begin] = 0;
    int fd = sb_resolve(dir->sb, dir->fd, text, O_PATH | O_DIRECTORY, 0);
    if (fd < 0) return -fd;
    out->fd = fd;
    return 0;
}

void sb_parent_close(struct sb_parent *parent) {
    if (parent->own) close(parent->fd);
}
