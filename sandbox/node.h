/* sandbox/node.h: files as a guest's kernel holds them (virtio-fs): handles of things that are not opened, and
 * what a Linux file system needs and a WASI program has not.
 *
 * A node is a struct sb_file with an O_PATH descriptor: it can be asked and changed, and opened when the guest
 * opens it. Everything starts at a granted directory and goes down by one component at a time, never through a
 * link: the guest's kernel follows links itself. So "..", links and renames meanwhile cannot lead out of a grant.
 * Only regular files and directories are ever opened; a device, FIFO or socket lives in the guest's kernel.
 *
 * A name is one component as the guest gave it. Refused: empty ENOENT, longer than NAME_MAX ENAMETOOLONG; ".",
 * "..", a slash or a NUL in it EINVAL. All else as sandbox.h: 0 or an errno, each act asked for at the door. */
#ifndef ATOLL_SANDBOX_NODE_H
#define ATOLL_SANDBOX_NODE_H

#include <sys/statvfs.h>
#include "sandbox/sandbox.h"

/* out: a new reference, and what it is. It counts as an open file (max_fds). */
int sb_node_lookup(struct sb_file *dir, struct sb_path name, struct sb_file **out, struct stat *out_stat);
/* Opens a regular file or, to be read, a directory; anything else ENXIO, a link ELOOP.
 * flags  SB_OPEN_READ, WRITE, TRUNCATE, DIRECTORY and status flags */
int sb_node_open(struct sb_file *node, unsigned flags, struct sb_file **out);

/* What a new thing shall be. uid, gid: SB_KEEP_ID = as the host makes it. */
struct sb_new {
    mode_t mode; /* permissions; no set-user-ID or set-group-ID but the latter on directories: EPERM */
    uid_t uid;
    gid_t gid; /* not used below a set-group-ID directory, which decides itself */
};
#define SB_KEEP_ID UINT32_MAX

/* These make `name` in `dir`; the result is as of sb_node_lookup. The host's umask does not count. When the mode
 * or the owner cannot be set, nothing is left behind. */
int sb_node_mkdir(struct sb_file *dir, struct sb_path name, const struct sb_new *as, struct sb_file **out,
                  struct stat *out_stat);
/* Regular files, FIFOs, sockets, and the device 0:0 (an overlay's whiteout); other devices EPERM. */
int sb_node_mknod(struct sb_file *dir, struct sb_path name, const struct sb_new *as, dev_t device,
                  struct sb_file **out, struct stat *out_stat);
/* Any target of 1 to PATH_MAX - 1 bytes without NUL. */
int sb_node_symlink(struct sb_path target, struct sb_file *dir, struct sb_path name, const struct sb_new *as,
                    struct sb_file **out, struct stat *out_stat);
/* Makes and opens a regular file; one that is there is opened unless SB_OPEN_EXCLUSIVE. */
int sb_node_create(struct sb_file *dir, struct sb_path name, const struct sb_new *as, unsigned flags,
                   struct sb_file **out_node, struct stat *out_stat, struct sb_file **out_file);

int sb_node_link(struct sb_file *node, struct sb_file *new_dir, struct sb_path new_name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE; others EINVAL */
int sb_node_rename(struct sb_file *dir, struct sb_path name, struct sb_file *new_dir, struct sb_path new_name,
                   unsigned flags);
int sb_node_unlink(struct sb_file *dir, struct sb_path name);
int sb_node_rmdir(struct sb_file *dir, struct sb_path name);

/* Up to `size` bytes of a link's target; EINVAL when it is none. */
int sb_node_readlink(struct sb_file *node, char *buffer, size_t size, size_t *out_n);
/* Set-user-ID and set-group-ID (but on directories) may stay as they are or go, never come: EPERM. A link has no
 * mode: EOPNOTSUPP. */
int sb_node_set_mode(struct sb_file *node, mode_t mode);
int sb_node_set_owner(struct sb_file *node, uid_t uid, gid_t gid); /* SB_KEEP_ID: leaves it */
int sb_node_set_times(struct sb_file *node, const struct timespec times[2]);
int sb_node_statfs(struct sb_file *node, struct statvfs *out);

/* Extended attributes. Seen are "user.*" and "security.capability", changed only the former: file capabilities
 * would be rights on the host. Others: EOPNOTSUPP, changes of security.capability EPERM. `name` is any bytes. */
int sb_node_get_xattr(struct sb_file *node, struct sb_path name, void *buffer, size_t size, size_t *out_n);
/* flags: XATTR_CREATE, XATTR_REPLACE */
int sb_node_set_xattr(struct sb_file *node, struct sb_path name, const void *value, size_t size, int flags);
int sb_node_remove_xattr(struct sb_file *node, struct sb_path name);
/* NUL-terminated names. For both: size 0 asks how many bytes there are; too small a buffer ERANGE. */
int sb_node_list_xattr(struct sb_file *node, char *buffer, size_t size, size_t *out_n);

/* Copies between open files in the host's kernel. Counts as output. */
int sb_file_copy(struct sb_file *from, uint64_t from_offset, struct sb_file *to, uint64_t to_offset,
                 uint64_t n_bytes, uint64_t *out_n);
/* All of the file system that an open file is on: syncfs. */
int sb_file_sync_all(struct sb_file *file);

#endif
