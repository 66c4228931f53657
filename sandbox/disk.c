/* sandbox/disk.c: the files and block devices that hold a guest's disks.
 *
 * Two ways to one, and no third:
 *   - the user named it (sb_grant_disk), and the name is asked for as it was granted;
 *   - an image that is open names it as its backing file. An image's header is not the user's word: the file
 *     has to lie below the image's own folder, or be the same file as one that the user granted.
 * What is opened is a regular file or a block device, and a backing file is never opened to be written. */
#include <stdio.h>
#include <sys/random.h>
#include "sandbox/internal.h"

struct sb_disk_grant {
    bool readonly;
    size_t size;
    char path[];
};

/* ---- grants ---- */

enum atoll_status sb_grant_disk(struct sandbox *sb, const char *path, bool readonly,
                                struct atoll_error *err) {
    size_t size = strlen(path);
    if (size == 0 || size >= PATH_MAX)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' is no name of a disk image", path);
    struct sb_disk_grant *grant = atoll_new(sb->alloc, 1, sizeof *grant + size + 1);
    if (!grant || atoll_grow(sb->alloc, (void **)&sb->disks, &sb->cap_disks, sb->n_disks + 1, sizeof grant)) {
        atoll_free(sb->alloc, grant, sizeof *grant + size + 1);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    grant->readonly = readonly;
    grant->size = size;
    memcpy(grant->path, path, size + 1);
    sb->disks[sb->n_disks++] = grant;
    return ATOLL_OK;
}

void sb_disks_free(struct sandbox *sb) {
    for (size_t i = 0; i < sb->n_disks; i++)
        atoll_free(sb->alloc, sb->disks[i], sizeof *sb->disks[i] + sb->disks[i]->size + 1);
    atoll_free(sb->alloc, sb->disks, sb->cap_disks * sizeof *sb->disks);
}

/* A name may be granted more than once: what one grant allows is allowed. */
int sb_disk_decide(const struct sandbox *sb, const struct sb_request *r) {
    bool writes =
        r->kind == SB_DISK_REMOVE || r->numbers[0] & (SB_OPEN_WRITE | SB_OPEN_CREATE | SB_OPEN_TRUNCATE);
    int error = EPERM;
    for (size_t i = 0; error && i < sb->n_disks; i++) {
        const struct sb_disk_grant *grant = sb->disks[i];
        if (grant->size != r->name_size || memcmp(grant->path, r->name, r->name_size) != 0) continue;
        error = writes && grant->readonly ? EROFS : 0;
    }
    return error;
}

/* ---- opening ---- */

static int open_flags(unsigned flags) {
    int out = O_CLOEXEC | O_NOCTTY | O_NONBLOCK; /* a fifo must not hang before it is refused */
    out |= flags & SB_OPEN_WRITE ? O_RDWR : O_RDONLY;
    if (flags & SB_OPEN_CREATE) out |= O_CREAT;
    if (flags & SB_OPEN_EXCLUSIVE) out |= O_EXCL;
    if (flags & SB_OPEN_TRUNCATE) out |= O_TRUNC;
    if (flags & SB_OPEN_DIRECT) out |= O_DIRECT;
    return out;
}

/* 0, or why the object is no disk. */
static int check_type(int fd, bool allow_device) {
    struct stat st;
    if (fstat(fd, &st)) return errno;
    if (S_ISDIR(st.st_mode)) return EISDIR;
    if (S_ISREG(st.st_mode) || (S_ISBLK(st.st_mode) && allow_device)) return 0;
    return ENOTBLK;
}

static int finish(int fd, bool allow_device) {
    if (fd < 0) return fd;
    int error = check_type(fd, allow_device);
    int flags = fcntl(fd, F_GETFL);
    if (!error && (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))) error = errno;
    if (!error) return fd;
    close(fd);
    return -error;
}

/* What the user named: as any command would open it, but looked at first, since opening some devices acts. */
static int open_named(const char *path, unsigned flags) {
    int probe = open(path, O_PATH | O_CLOEXEC);
    if (probe < 0 && (errno != ENOENT || !(flags & SB_OPEN_CREATE))) return -errno;
    struct stat st;
    int error = probe < 0 ? 0 : check_type(probe, true);
    bool device = probe >= 0 && !fstat(probe, &st) && S_ISBLK(st.st_mode);
    if (probe >= 0) close(probe);
    if (error) return -error;
    int how = open_flags(flags);
    if (device && flags & SB_OPEN_WRITE) how |= O_EXCL; /* not one that is mounted */
    int fd = open(path, how, 0666);
    return finish(fd < 0 ? -errno : fd, true);
}

/* The folder that holds the last component of `path`. */
static int open_folder(struct sandbox *sb, int dir_fd, const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) + (slash == path) : 1;
    memcpy(folder, slash ? path : ".", size);
    folder[size] = 0;
    if (dir_fd >= 0) return sb_resolve(sb, dir_fd, folder, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int sb_disk_open(struct sandbox *sb, const char *path, unsigned flags, struct sb_disk *out) {
    struct sb_request r = {
        .kind = SB_DISK_OPEN, .name = path, .name_size = strlen(path), .numbers = {flags, SB_ABSENT}};
    int error = sb_ask(sb, &r);
    if (error) return error;
    if (r.name_size >= PATH_MAX) return sb_answer(sb, &r, ENAMETOOLONG, SB_ABSENT);
    out->folder_fd = open_folder(sb, -1, path);
    if (out->folder_fd < 0) return sb_answer(sb, &r, -out->folder_fd, SB_ABSENT);
    out->fd = open_named(path, flags);
    if (out->fd < 0) close(out->folder_fd);
    return sb_answer(sb, &r, out->fd < 0 ? -out->fd : 0, SB_ABSENT);
}

/* ---- making one ---- */

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool has_name(int fd) {
    struct stat st;
    return fstat(fd, &st) || st.st_nlink;
}

/* What it can be named by; false: there is no /proc. */
static bool link_of(int fd, char *out, size_t room) {
    struct stat named, itself;
    snprintf(out, room, "/proc/self/fd/%d", fd);
    return stat(out, &named) == 0 && fstat(fd, &itself) == 0 && named.st_ino == itself.st_ino &&
           named.st_dev == itself.st_dev;
}

/* In a folder; where there are no files without a name, under its own. */
static int make_new(int folder_fd, const char *path, unsigned flags) {
    char link[32];
    struct stat st;
    const char *name = last_name(path);
    if (name[0] && fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) return -EEXIST;
    int fd = name[0] ? openat(folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666) : -1;
    if (fd < 0) return open_named(path, flags);
    if (link_of(fd, link, sizeof link)) return fd;
    close(fd);
    return open_named(path, flags);
}

int sb_disk_create(struct sandbox *sb, const char *path, struct sb_disk *out) {
    unsigned flags = SB_OPEN_READ | SB_OPEN_WRITE | SB_OPEN_CREATE | SB_OPEN_EXCLUSIVE;
    struct sb_request r = {
        .kind = SB_DISK_OPEN, .name = path, .name_size = strlen(path), .numbers = {flags, SB_ABSENT}};
    int error = sb_ask(sb, &r);
    if (error) return error;
    if (r.name_size >= PATH_MAX) return sb_answer(sb, &r, ENAMETOOLONG, SB_ABSENT);
    out->folder_fd = open_folder(sb, -1, path);
    if (out->folder_fd < 0) return sb_answer(sb, &r, -out->folder_fd, SB_ABSENT);
    out->fd = make_new(out->folder_fd, path, flags);
    if (out->fd < 0) close(out->folder_fd);
    return sb_answer(sb, &r, out->fd < 0 ? -out->fd : 0, SB_ABSENT);
}

int sb_disk_finish(struct sandbox *sb, const char *path, const struct sb_disk *disk, bool keep) {
    char link[32];
    if (has_name(disk->fd)) return keep ? 0 : sb_disk_remove(sb, path);
    if (!keep) return 0;
    if (!link_of(disk->fd, link, sizeof link)) return ENOENT;
    return linkat(AT_FDCWD, link, disk->folder_fd, last_name(path), AT_SYMLINK_FOLLOW) ? errno : 0;
}

/* ---- backing files ---- */

static bool same_object(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The granted path of the object that `path`, seen from `dir_fd`, is now; or NULL. Nothing is opened but as
 * a place. */
static const char *granted_as(struct sandbox *sb, int dir_fd, const char *path) {
    struct stat wanted, st;
    int fd = openat(dir_fd, path, O_PATH | O_CLOEXEC);
    if (fd < 0) return NULL;
    int failed = fstat(fd, &wanted);
    close(fd);
    for (size_t i = 0; !failed && i < sb->n_disks; i++)
        if (stat(sb->disks[i]->path, &st) == 0 && same_object(&st, &wanted)) return sb->disks[i]->path;
    return NULL;
}

static int open_below(struct sandbox *sb, int dir_fd, const char *path, struct sb_disk *out) {
    if (path[0] == '/') return EPERM;
    int fd = sb_resolve(sb, dir_fd, path, O_PATH | O_CLOEXEC, 0);
    if (fd < 0) return -fd;
    int error = check_type(fd, false);
    close(fd);
    if (error) return error;
    out->fd = finish(sb_resolve(sb, dir_fd, path, open_flags(SB_OPEN_READ), 0), false);
    if (out->fd < 0) return -out->fd;
    out->folder_fd = open_folder(sb, dir_fd, path);
    if (out->folder_fd >= 0) return 0;
    close(out->fd);
    return -out->folder_fd;
}

static int open_granted(struct sandbox *sb, const char *path, struct sb_disk *out) {
    out->fd = open_named(path, SB_OPEN_READ);
    if (out->fd < 0) return -out->fd;
    out->folder_fd = open_folder(sb, -1, path);
    if (out->folder_fd >= 0) return 0;
    close(out->fd);
    return -out->folder_fd;
}

int sb_disk_open_backing(struct sandbox *sb, const struct sb_disk *image, const char *path,
                         struct sb_disk *out) {
    struct sb_request r = {
        .kind = SB_DISK_BACKING, .name = path, .name_size = strlen(path), .numbers = {SB_ABSENT, SB_ABSENT}};
    int error = sb_ask(sb, &r);
    if (error) return error;
    if (r.name_size == 0 || r.name_size >= PATH_MAX) return sb_answer(sb, &r, ENAMETOOLONG, SB_ABSENT);
    error = open_below(sb, image->folder_fd, path, out);
    if (error == EPERM) {
        const char *granted = granted_as(sb, image->folder_fd, path);
        if (granted) error = open_granted(sb, granted, out);
    }
    return sb_answer(sb, &r, error, SB_ABSENT);
}

/* Where the file system has no files without a name: one with a name for a moment. */
static int open_unlinked(int folder_fd) {
    for (int i = 0; i < 16; i++) {
        char name[40];
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != sizeof random) return -errno;
        snprintf(name, sizeof name, ".atoll-%016llx", (unsigned long long)random);
        int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 && unlinkat(folder_fd, name, 0)) {
            int error = errno;
            close(fd);
            return -error;
        }
        if (fd >= 0 || errno != EEXIST) return fd >= 0 ? fd : -errno;
    }
    return -EEXIST;
}

int sb_disk_temporary(struct sandbox *sb, const char *folder, struct sb_disk *out) {
    struct sb_request r = {.kind = SB_DISK_TEMPORARY,
                           .name = folder,
                           .name_size = strlen(folder),
                           .numbers = {SB_ABSENT, SB_ABSENT}};
    int error = sb_ask(sb, &r);
    if (error) return error;
    out->folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->folder_fd < 0) return sb_answer(sb, &r, errno, SB_ABSENT);
    out->fd = openat(out->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    error = out->fd < 0 ? errno : 0;
    if (error == EOPNOTSUPP || error == EISDIR || error == ENOENT) {
        out->fd = open_unlinked(out->folder_fd);
        error = out->fd < 0 ? -out->fd : 0;
    }
    if (error) close(out->folder_fd);
    return sb_answer(sb, &r, error, SB_ABSENT);
}

int sb_disk_remove(struct sandbox *sb, const char *path) {
    struct sb_request r = {
        .kind = SB_DISK_REMOVE, .name = path, .name_size = strlen(path), .numbers = {SB_ABSENT, SB_ABSENT}};
    int error = sb_ask(sb, &r);
    if (error) return error;
    return sb_answer(sb, &r, unlink(path) ? errno : 0, SB_ABSENT);
}

void sb_disk_close(struct sb_disk *disk) {
    if (disk->fd >= 0) close(disk->fd);
    if (disk->folder_fd >= 0) close(disk->folder_fd);
    disk->fd = disk->folder_fd = -1;
}
