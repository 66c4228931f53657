/* sandbox/node.c: handles of things that are not opened: found, opened, asked, changed. What makes and removes
 * names is entry.c's. */
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include "sandbox/internal.h"
#include "sandbox/node.h"

#define NAME_KEPT_MAX 160 /* of the directory's name: guests hold many nodes, and a trace shows no more */

int sb_name_copy(struct sb_path name, char out[NAME_MAX + 1]) {
    if (name.size == 0) return ENOENT;
    if (name.size > NAME_MAX) return ENAMETOOLONG;
    memcpy(out, name.bytes, name.size); /* once: it may be the guest's memory */
    out[name.size] = 0;
    if (strlen(out) != name.size || strchr(out, '/')) return EINVAL;
    return !strcmp(out, ".") || !strcmp(out, "..") ? EINVAL : 0;
}

/* ---- the way through /proc ---- */

static int open_proc(void) {
    struct statfs fs;
    int fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    if (!fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC) return fd;
    close(fd);
    return -ENOENT;
}

int sb_proc_fd(struct sandbox *sb) {
    int known = sb->proc_fd;
    if (known >= 0) return known;
    int fd = open_proc(), none = -1;
    if (fd < 0) return fd;
    if (atomic_compare_exchange_strong(&sb->proc_fd, &none, fd)) return fd;
    close(fd); /* another thread was faster */
    return none;
}

/* A new descriptor of what stands behind an O_PATH one. Its magic link is ours, not the guest's, and leads to
 * this very file whatever happened to its names. Returns it or -errno. */
static int reopen(struct sandbox *sb, int fd, int flags) {
    char number[16];
    int proc = sb_proc_fd(sb);
    if (proc < 0) return proc;
    snprintf(number, sizeof number, "%d", fd);
    int out = openat(proc, number, flags | O_CLOEXEC);
    return out < 0 ? -errno : out;
}

/* ---- finding and opening ---- */

int sb_node_new(struct sb_file *dir, int fd, const char *name, struct sb_file **out, struct stat *out_stat) {
    if (fstat(fd, out_stat)) {
        int error = errno;
        close(fd);
        return error;
    }
    const char *base = dir->name_size > NAME_KEPT_MAX ? "..." : dir->name;
    int error = sb_file_new(dir->sb, fd, true, base, name, 0, out);
    if (!error) (*out)->readonly = dir->readonly;
    return error;
}

int sb_node_find(struct sb_file *dir, const char *name, struct sb_file **out, struct stat *out_stat) {
    int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno;
    if (!sb_leads_into_procfs(dir->fd, fd)) return sb_node_new(dir, fd, name, out, out_stat);
    close(fd);
    return EPERM;
}

int sb_node_lookup(struct sb_file *dir, struct sb_path name, struct sb_file **out, struct stat *out_stat) {
    char text[NAME_MAX + 1];
    struct sb_request request = sb_request_path(SB_FS_LOOKUP, dir, name);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_name_copy(name, text);
    if (!error) error = sb_node_find(dir, text, out, out_stat);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

static int open_node(struct sb_file *node, unsigned flags, struct sb_file **out) {
    bool directory = node->type == SB_TYPE_DIRECTORY;
    unsigned kept = flags & (SB_OPEN_READ | SB_OPEN_WRITE | SB_STATUS_FLAGS);
    if (node->type == SB_TYPE_SYMLINK) return ELOOP;
    if (!directory && (flags & SB_OPEN_DIRECTORY)) return ENOTDIR;
    if (!directory && node->type != SB_TYPE_REGULAR) return ENXIO;
    if (directory && (flags & (SB_OPEN_WRITE | SB_OPEN_TRUNCATE))) return EISDIR;
    if (node->sb->n_files >= node->sb->config.max_fds) return EMFILE;
    int host = sb_host_flags(flags & ~(SB_OPEN_CREATE | SB_OPEN_EXCLUSIVE | SB_OPEN_NOFOLLOW));
    int fd = directory ? openat(node->fd, ".", host | O_DIRECTORY) : reopen(node->sb, node->fd, host);
    if (fd < 0) return directory ? errno : -fd;
    int error = sb_file_new(node->sb, fd, true, node->name, NULL, kept, out);
    if (!error) (*out)->readonly = node->readonly;
    return error;
}

int sb_node_open(struct sb_file *node, unsigned flags, struct sb_file **out) {
    struct sb_request request = sb_request_file(SB_FS_OPEN, node, flags, SB_ABSENT);
    int error = sb_ask(node->sb, &request);
    return error ? error : sb_answer(node->sb, &request, open_node(node, flags, out), SB_ABSENT);
}

/* ---- asking ---- */

int sb_node_readlink(struct sb_file *node, char *buffer, size_t size, size_t *out_n) {
    struct sb_request request = sb_request_file(SB_FS_READLINK, node, SB_ABSENT, SB_ABSENT);
    *out_n = 0;
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    ssize_t n = node->type == SB_TYPE_SYMLINK ? readlinkat(node->fd, "", buffer, size) : -1;
    if (n < 0) error = node->type == SB_TYPE_SYMLINK ? errno : EINVAL;
    *out_n = n < 0 ? 0 : (size_t)n;
    return sb_answer(node->sb, &request, error, *out_n);
}

int sb_node_statfs(struct sb_file *node, struct statvfs *out) {
    struct sb_request request = sb_request_file(SB_FS_STATFS, node, SB_ABSENT, SB_ABSENT);
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    return sb_answer(node->sb, &request, fstatvfs(node->fd, out) ? errno : 0, SB_ABSENT);
}

/* ---- changing ---- */

int sb_mode_check(mode_t mode, bool directory, mode_t had) {
    mode_t rights = directory ? S_ISUID : S_ISUID | S_ISGID;
    return mode & rights & ~had ? EPERM : 0;
}

int sb_chmod_of(struct sandbox *sb, int fd, mode_t mode) {
    char number[16];
    int proc = sb_proc_fd(sb);
    if (proc < 0) return -proc;
    snprintf(number, sizeof number, "%d", fd);
    return fchmodat(proc, number, mode & 07777, 0) ? errno : 0;
}

static int set_mode(struct sb_file *node, mode_t mode) {
    struct stat st;
    if (node->type == SB_TYPE_SYMLINK) return EOPNOTSUPP;
    if (fstat(node->fd, &st)) return errno;
    int error = sb_mode_check(mode, node->type == SB_TYPE_DIRECTORY, st.st_mode);
    return error ? error : sb_chmod_of(node->sb, node->fd, mode);
}

int sb_node_set_mode(struct sb_file *node, mode_t mode) {
    struct sb_request request = sb_request_file(SB_FS_SET_MODE, node, mode, SB_ABSENT);
    int error = sb_ask(node->sb, &request);
    return error ? error : sb_answer(node->sb, &request, set_mode(node, mode), SB_ABSENT);
}

int sb_node_set_owner(struct sb_file *node, uid_t uid, gid_t gid) {
    struct sb_request request = sb_request_file(SB_FS_SET_OWNER, node, uid == SB_KEEP_ID ? SB_ABSENT : uid,
                                                gid == SB_KEEP_ID ? SB_ABSENT : gid);
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    error = fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH) ? errno : 0;
    return sb_answer(node->sb, &request, error, SB_ABSENT);
}

int sb_node_set_times(struct sb_file *node, const struct timespec times[2]) {
    struct sb_request request = sb_request_file(SB_FS_SET_TIMES, node, SB_ABSENT, SB_ABSENT);
    int error = sb_ask(node->sb, &request);
    return error ? error : sb_answer(node->sb, &request, sb_set_times_of(node->fd, times), SB_ABSENT);
}

/* ---- open files ---- */

static int copy(struct sb_file *from, uint64_t from_offset, struct sb_file *to, uint64_t to_offset,
                uint64_t n_bytes, uint64_t *out_n) {
    loff_t in = (loff_t)from_offset, out = (loff_t)to_offset;
    if (!(from->flags & SB_OPEN_READ) || !(to->flags & SB_OPEN_WRITE)) return EBADF;
    if (from_offset > INT64_MAX || to_offset > INT64_MAX) return EINVAL;
    if (n_bytes > INT32_MAX) n_bytes = INT32_MAX; /* a piece that ends; the guest asks for the rest */
    uint64_t room = sb_output_take(from->sb, n_bytes);
    if (n_bytes && !room) return ENOSPC;
    ssize_t n = copy_file_range(from->fd, &in, to->fd, &out, room, 0);
    sb_output_give(from->sb, room - (n > 0 ? (uint64_t)n : 0));
    *out_n = n > 0 ? (uint64_t)n : 0;
    return n < 0 ? errno : 0;
}

int sb_file_copy(struct sb_file *from, uint64_t from_offset, struct sb_file *to, uint64_t to_offset,
                 uint64_t n_bytes, uint64_t *out_n) {
    /* One request, and the door looks at both files: only `to` is changed. */
    struct sb_request request = sb_request_file(SB_FS_COPY, from, n_bytes, SB_ABSENT);
    request.file2 = to;
    *out_n = 0;
    int error = sb_ask(from->sb, &request);
    if (error) return error;
    error = copy(from, from_offset, to, to_offset, n_bytes, out_n);
    return sb_answer(from->sb, &request, error, *out_n);
}

int sb_file_sync_all(struct sb_file *file) {
    struct sb_request request = sb_request_file(SB_FS_SYNC, file, SB_ABSENT, SB_ABSENT);
    int error = sb_ask(file->sb, &request);
    return error ? error : sb_answer(file->sb, &request, syncfs(file->fd) ? errno : 0, SB_ABSENT);
}
