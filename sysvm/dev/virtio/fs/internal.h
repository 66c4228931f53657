/* sysvm/dev/virtio/fs/internal.h: what this folder's files share. */
#ifndef ATOLL_SYSVM_FUSE_INTERNAL_H
#define ATOLL_SYSVM_FUSE_INTERNAL_H

#include <errno.h>
#include <linux/fuse.h>
#include <linux/limits.h>
#include <pthread.h>
#include <string.h>
#include "sysvm/dev/virtio/fs/fuse.h"

#define FUSE_VALID_S     1 /* how long the guest may believe a name or attributes; others change files, too */
#define FUSE_MAX_PAGES_N 128 /* of data in one message: 512 KiB */
#define FUSE_DATA_MAX    (FUSE_MAX_PAGES_N * 4096U)
#define FUSE_ARGS_MAX    (XATTR_SIZE_MAX + 1024)
#define FUSE_ANSWER_MAX  XATTR_SIZE_MAX

/* ---- tables.c ---- */

/* A file as it was when the guest opened it last: when nothing has changed since, its cache is still good. */
struct fuse_stamp {
    struct timespec changed, modified;
    off_t size;
};

struct fuse_node {
    struct sb_file *file; /* NULL: the slot is free */
    dev_t dev;
    ino_t ino;
    uint64_t n_lookups; /* how often the guest was told of it and has not forgotten */
    uint32_t serial;
    uint32_t next; /* slot: in its chain, or of the free ones; 0 = end */
    bool stamped;
    struct fuse_stamp stamp;
};

struct fuse_handle {
    struct sb_file *file;
    uint32_t serial, next;
};

struct fuse_session {
    const struct atoll_alloc *alloc;
    struct fuse_config config;
    struct sb_file *root;
    dev_t root_dev;
    atomic_bool ready;       /* INIT was there */
    pthread_mutex_t lock;    /* the tables; no host call under it */
    struct fuse_node *nodes; /* slot 0 and 1 (the root) are not used */
    size_t cap_nodes;
    uint32_t n_node_slots, n_nodes, free_node;
    uint32_t *buckets; /* slot by device and inode */
    size_t n_buckets;
    struct fuse_handle *handles; /* slot 0 is not used */
    size_t cap_handles;
    uint32_t n_handle_slots, n_handles, free_handle;
};

void fuse_tables_clear(struct fuse_session *s); /* all that the guest holds */
/* The file of a node: a new reference, or NULL. */
struct sb_file *fuse_node_get(struct fuse_session *s, uint64_t id);
/* Tells the guest of a file once more, found anew or known by its inode. Takes the reference to `file` over.
 * Returns 0, ENFILE or ENOMEM. */
int fuse_node_add(struct fuse_session *s, struct sb_file *file, const struct stat *st, uint64_t *out_id);
/* The same for one that is known by its number. False: it is not. */
bool fuse_node_again(struct fuse_session *s, uint64_t id);
void fuse_node_forget(struct fuse_session *s, uint64_t id, uint64_t n_lookups);
/* Remembers how a file is at its opening; true if it was the same at the one before. */
bool fuse_node_unchanged(struct fuse_session *s, uint64_t id, const struct stat *st);
dev_t fuse_node_dev(struct fuse_session *s, uint64_t id);
bool fuse_nodes_are_scarce(struct fuse_session *s);

/* Takes the reference over. Returns 0, ENFILE or ENOMEM. */
int fuse_handle_add(struct fuse_session *s, struct sb_file *file, uint64_t *out_handle);
struct sb_file *fuse_handle_get(struct fuse_session *s, uint64_t handle); /* a new reference, or NULL */
bool fuse_handle_close(struct fuse_session *s, uint64_t handle);

/* ---- dispatch.c ---- */

struct fuse_scratch {
    uint8_t args[FUSE_ARGS_MAX];
    uint8_t answer[FUSE_ANSWER_MAX];
    uint8_t listing[32768];
};

struct fuse_request {
    struct fuse_session *session;
    struct fuse_scratch *scratch;
    struct fuse_in_header header;
    const struct iovec *out, *in; /* the whole message and the room for the answer, headers included */
    unsigned n_out, n_in;
    size_t out_bytes, in_bytes;
    const uint8_t *args; /* the copy of what follows the header */
    size_t n_args, at;
    size_t n_answer; /* bytes put behind the answer's header */
};

/* The next n bytes of arguments; false when there are fewer. */
bool fuse_take(struct fuse_request *r, void *out, size_t n);
/* The next NUL-terminated argument. */
bool fuse_take_name(struct fuse_request *r, struct sb_path *out);
/* Room for bytes of an answer, after its header. */
static inline size_t fuse_room(const struct fuse_request *r) {
    return r->in_bytes - sizeof(struct fuse_out_header);
}
/* Puts bytes behind what was answered so far. EINVAL: the guest has left no room. */
int fuse_put(struct fuse_request *r, const void *bytes, size_t n);
/* The part of a vector behind `skip` bytes, at most `size` of them. Returns how many pieces. */
unsigned fuse_slice(const struct iovec *iov, unsigned n, size_t skip, size_t size,
                    struct iovec out[FUSE_MAX_IOV]);

/* ---- the operations: 0 or the errno to answer ---- */

int fuse_do_lookup(struct fuse_request *r);
int fuse_do_mkdir(struct fuse_request *r);
int fuse_do_mknod(struct fuse_request *r);
int fuse_do_symlink(struct fuse_request *r);
int fuse_do_create(struct fuse_request *r);
int fuse_do_link(struct fuse_request *r);
int fuse_do_rename(struct fuse_request *r);
int fuse_do_rename2(struct fuse_request *r);
int fuse_do_unlink(struct fuse_request *r);
int fuse_do_rmdir(struct fuse_request *r);
int fuse_do_forget(struct fuse_request *r);
int fuse_do_batch_forget(struct fuse_request *r);

int fuse_do_getattr(struct fuse_request *r);
int fuse_do_setattr(struct fuse_request *r);
int fuse_do_readlink(struct fuse_request *r);
int fuse_do_statfs(struct fuse_request *r);
int fuse_do_setxattr(struct fuse_request *r);
int fuse_do_getxattr(struct fuse_request *r);
int fuse_do_listxattr(struct fuse_request *r);
int fuse_do_removexattr(struct fuse_request *r);

int fuse_do_open(struct fuse_request *r);
int fuse_do_opendir(struct fuse_request *r);
int fuse_do_release(struct fuse_request *r);
int fuse_do_read(struct fuse_request *r);
int fuse_do_write(struct fuse_request *r);
int fuse_do_fsync(struct fuse_request *r);
int fuse_do_syncfs(struct fuse_request *r);
int fuse_do_fallocate(struct fuse_request *r);
int fuse_do_lseek(struct fuse_request *r);
int fuse_do_copy_file_range(struct fuse_request *r);

int fuse_do_readdir(struct fuse_request *r);
int fuse_do_readdirplus(struct fuse_request *r);

/* ---- attributes.c ---- */

void fuse_fill_attr(const struct fuse_session *s, const struct stat *st, struct fuse_attr *out);
/* An inode number as the guest sees it: those of other file systems below the root must not look like its own. */
uint64_t fuse_ino(const struct fuse_session *s, dev_t dev, uint64_t ino);
/* Adds a node that was found and fills what the guest is told of it. Takes the reference to `file` over. */
int fuse_fill_entry(struct fuse_request *r, struct sb_file *file, const struct stat *st,
                    struct fuse_entry_out *out);

/* ---- data.c ---- */

unsigned fuse_open_flags(uint32_t flags); /* SB_OPEN_* of a Linux guest's O_* */
/* What the guest is told of a file it has opened. Takes the reference to `file` over. */
int fuse_fill_open(struct fuse_request *r, uint64_t node, struct sb_file *file, const struct stat *st,
                   struct fuse_open_out *out);

#endif
