/* sandbox/entry.c: names in a directory that a guest's kernel holds: made, moved, removed (node.h).
 *
 * What is made gets its mode and owner afterwards, by its handle: the host's umask and the user that Atoll runs
 * as shall not show. A guest that swaps the name meanwhile changes what it may change anyway. */
#include <stdio.h>
#include <sys/sysmacros.h>
#include "sandbox/internal.h"
#include "sandbox/node.h"

/* ---- making ---- */

static bool ids_kept(const struct sb_new *as) { return as->uid == SB_KEEP_ID && as->gid == SB_KEEP_ID; }

/* Gives the new thing its owner and mode; `st` is told what became of them. */
static int dress(struct sandbox *sb, struct sb_file *dir, int fd, const struct sb_new *as, struct stat *st) {
    struct stat parent;
    int error;
    if (fstat(dir->fd, &parent)) return errno;
    /* Such a directory hands its group on, and the bit to directories. */
    bool inherits = parent.st_mode & S_ISGID;
    mode_t mode = as->mode & 07777;
    if (inherits && S_ISDIR(st->st_mode)) mode |= S_ISGID;
    gid_t gid = inherits ? SB_KEEP_ID : as->gid;
    if (!ids_kept(as) && fchownat(fd, "", as->uid, gid, AT_EMPTY_PATH)) return errno;
    if (!S_ISLNK(st->st_mode) && (st->st_mode & 07777) != mode && (error = sb_chmod_of(sb, fd, mode)))
        return error;
    return fstat(fd, st) ? errno : 0;
}

/* Takes a thing just made into hand; when that fails it is removed again. */
static int finish(struct sb_file *dir, const char *name, mode_t type, const struct sb_new *as,
                  struct sb_file **out, struct stat *out_stat) {
    int error = sb_node_find(dir, name, out, out_stat);
    if (!error) {
        /* ESTALE: another has put something of its own there meanwhile */
        error = (out_stat->st_mode & S_IFMT) != type ? ESTALE : dress(dir->sb, dir, (*out)->fd, as, out_stat);
        if (error) sb_file_unref(*out);
    }
    if (error && error != ESTALE) unlinkat(dir->fd, name, type == S_IFDIR ? AT_REMOVEDIR : 0);
    return error;
}

/* Room for one more handle, before something is made that could not be handed out. */
static int has_room(const struct sb_file *dir) {
    return dir->sb->n_files >= dir->sb->config.max_fds ? EMFILE : 0;
}

int sb_node_mkdir(struct sb_file *dir, struct sb_path name, const struct sb_new *as, struct sb_file **out,
                  struct stat *out_stat) {
    char text[NAME_MAX + 1];
    struct sb_request request = sb_request_path(SB_FS_MKDIR, dir, name);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_name_copy(name, text);
    if (!error) error = sb_mode_check(as->mode, true, 0);
    if (!error) error = has_room(dir);
    if (!error && mkdirat(dir->fd, text, as->mode & 0777)) error = errno;
    if (!error) error = finish(dir, text, S_IFDIR, as, out, out_stat);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

/* A device node is a key to the host's hardware for whoever else finds it; 0:0 opens nothing. */
static int check_type(mode_t mode, dev_t device) {
    switch (mode & S_IFMT) {
    case 0:
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK: return 0;
    case S_IFCHR: return device == makedev(0, 0) ? 0 : EPERM;
    case S_IFBLK: return EPERM;
    default: return EINVAL;
    }
}

int sb_node_mknod(struct sb_file *dir, struct sb_path name, const struct sb_new *as, dev_t device,
                  struct sb_file **out, struct stat *out_stat) {
    char text[NAME_MAX + 1];
    struct sb_request request = sb_request_path(SB_FS_MKNOD, dir, name);
    request.numbers[0] = as->mode;
    request.numbers[1] = device;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    mode_t type = as->mode & S_IFMT ? as->mode & S_IFMT : S_IFREG;
    error = sb_name_copy(name, text);
    if (!error) error = check_type(as->mode, device);
    if (!error) error = sb_mode_check(as->mode, false, 0);
    if (!error) error = has_room(dir);
    if (!error && mknodat(dir->fd, text, type | (as->mode & 0777), type == S_IFCHR ? makedev(0, 0) : 0))
        error = errno;
    if (!error) error = finish(dir, text, type, as, out, out_stat);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

static int copy_target(struct sb_path target, char out[PATH_MAX]) {
    if (target.size == 0) return ENOENT;
    if (target.size >= PATH_MAX) return ENAMETOOLONG;
    memcpy(out, target.bytes, target.size);
    out[target.size] = 0;
    return strlen(out) != target.size ? EINVAL : 0;
}

int sb_node_symlink(struct sb_path target, struct sb_file *dir, struct sb_path name, const struct sb_new *as,
                    struct sb_file **out, struct stat *out_stat) {
    char text[NAME_MAX + 1], to[PATH_MAX];
    struct sb_request request = sb_request_path(SB_FS_SYMLINK, dir, name);
    request.name2 = target.bytes;
    request.name2_size = target.size;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_name_copy(name, text);
    if (!error) error = copy_target(target, to);
    if (!error) error = has_room(dir);
    if (!error && symlinkat(to, dir->fd, text)) error = errno;
    if (!error) error = finish(dir, text, S_IFLNK, as, out, out_stat);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

/* ---- making and opening ---- */

/* The node of a file just made, by its descriptor: the name may be another's by now. */
static int node_of_new(struct sb_file *dir, int fd, const char *name, struct sb_file **out,
                       struct stat *out_stat) {
    char number[16];
    int proc = sb_proc_fd(dir->sb);
    if (proc < 0) return -proc;
    snprintf(number, sizeof number, "%d", fd);
    int node_fd = openat(proc, number, O_PATH | O_CLOEXEC);
    return node_fd < 0 ? errno : sb_node_new(dir, node_fd, name, out, out_stat);
}

static int make_file(struct sb_file *dir, const char *name, const struct sb_new *as, unsigned flags,
                     struct sb_file **out_node, struct stat *out_stat, struct sb_file **out_file) {
    unsigned kept = flags & (SB_OPEN_READ | SB_OPEN_WRITE | SB_STATUS_FLAGS);
    int fd = openat(dir->fd, name, sb_host_flags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW, as->mode & 0777);
    if (fd < 0) return errno;
    int error = node_of_new(dir, fd, name, out_node, out_stat);
    if (error) {
        close(fd);
    } else {
        error = dress(dir->sb, dir, fd, as, out_stat);
        if (error)
            close(fd);
        else
            error = sb_file_new(dir->sb, fd, true, (*out_node)->name, NULL, kept, out_file);
        if (error) sb_file_unref(*out_node);
    }
    if (error) unlinkat(dir->fd, name, 0);
    return error == EEXIST ? EIO : error;
}

static int create(struct sb_file *dir, const char *name, const struct sb_new *as, unsigned flags,
                  struct sb_file **out_node, struct stat *out_stat, struct sb_file **out_file) {
    if (dir->sb->config.max_fds - dir->sb->n_files < 2) return EMFILE;
    int error = make_file(dir, name, as, flags, out_node, out_stat, out_file);
    if (error != EEXIST || (flags & SB_OPEN_EXCLUSIVE)) return error;
    /* It is there. Opened by its handle, so that what it is gets looked at first. */
    error = sb_node_find(dir, name, out_node, out_stat);
    if (error) return error;
    error = sb_node_open(*out_node, flags, out_file);
    if (!error && fstat((*out_file)->fd, out_stat)) error = errno, sb_file_unref(*out_file);
    if (error) sb_file_unref(*out_node);
    return error;
}

int sb_node_create(struct sb_file *dir, struct sb_path name, const struct sb_new *as, unsigned flags,
                   struct sb_file **out_node, struct stat *out_stat, struct sb_file **out_file) {
    char text[NAME_MAX + 1];
    struct sb_request request = sb_request_path(SB_FS_OPEN, dir, name);
    request.numbers[0] = flags | SB_OPEN_CREATE;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_name_copy(name, text);
    if (!error) error = sb_mode_check(as->mode, false, 0);
    if (!error) error = create(dir, text, as, flags, out_node, out_stat, out_file);
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

/* ---- moving and removing ---- */

static int link_node(struct sb_file *node, struct sb_file *dir, const char *name) {
    char number[16];
    int proc = sb_proc_fd(node->sb);
    if (proc < 0) return -proc;
    snprintf(number, sizeof number, "%d", node->fd);
    /* AT_SYMLINK_FOLLOW follows the magic link alone: a symbolic link behind it is linked itself. */
    return linkat(proc, number, dir->fd, name, AT_SYMLINK_FOLLOW) ? errno : 0;
}

int sb_node_link(struct sb_file *node, struct sb_file *new_dir, struct sb_path new_name) {
    char text[NAME_MAX + 1];
    struct sb_request request = sb_request_file(SB_FS_LINK, node, SB_ABSENT, SB_ABSENT);
    request.file2 = new_dir;
    request.name2 = new_name.bytes;
    request.name2_size = new_name.size;
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    error = sb_name_copy(new_name, text);
    if (!error) error = link_node(node, new_dir, text);
    return sb_answer(node->sb, &request, error, SB_ABSENT);
}

int sb_node_rename(struct sb_file *dir, struct sb_path name, struct sb_file *new_dir, struct sb_path new_name,
                   unsigned flags) {
    char from[NAME_MAX + 1], to[NAME_MAX + 1];
    struct sb_request request = sb_request_path(SB_FS_RENAME, dir, name);
    request.file2 = new_dir;
    request.name2 = new_name.bytes;
    request.name2_size = new_name.size;
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_name_copy(name, from);
    if (!error) error = sb_name_copy(new_name, to);
    if (!error && (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))) error = EINVAL;
    if (!error && renameat2(dir->fd, from, new_dir->fd, to, flags)) error = errno;
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

static int remove_entry(enum sb_kind kind, struct sb_file *dir, struct sb_path name, int flags) {
    char text[NAME_MAX + 1];
    struct sb_request request = sb_request_path(kind, dir, name);
    int error = sb_ask(dir->sb, &request);
    if (error) return error;
    error = sb_name_copy(name, text);
    if (!error && unlinkat(dir->fd, text, flags)) error = errno;
    return sb_answer(dir->sb, &request, error, SB_ABSENT);
}

int sb_node_unlink(struct sb_file *dir, struct sb_path name) {
    return remove_entry(SB_FS_UNLINK, dir, name, 0);
}
int sb_node_rmdir(struct sb_file *dir, struct sb_path name) {
    return remove_entry(SB_FS_RMDIR, dir, name, AT_REMOVEDIR);
}
