/* sysvm/dev/virtio/fs/fuse.h: a file server that speaks FUSE, as Linux guests do over virtio-fs, for one granted
 * directory. Messages come in and answers go out; queues and threads are device.c's.
 *
 *   message -> fuse_serve (dispatch.c) -> names.c, attributes.c, data.c, listing.c -> sandbox/node.h
 *                                              tables.c: the guest's numbers -> sandbox files
 *
 * The guest gets numbers for what it looked up (nodes) and opened (handles). Both tables are bounded; a number
 * carries a serial, so one that was given back is not taken for its successor. A request holds its own reference
 * on the files it works with: another may forget them meanwhile.
 *
 * Every byte of a message is the guest's and may change at any moment: what steers is copied once; only the bytes
 * to be written to a file, and those read from one, are moved in place.
 *
 * source  Linux include/uapi/linux/fuse.h, protocol 7.31; virtio 1.2, "File System Device" */
#ifndef ATOLL_SYSVM_FUSE_H
#define ATOLL_SYSVM_FUSE_H

#include <sys/uio.h>
#include "sandbox/node.h"

struct fuse_config {
    const struct atoll_alloc *alloc; /* NULL = default; called by all threads that serve */
    struct sb_file *root;            /* the granted directory; its sandbox has to live longer */
    uint32_t max_nodes,
        max_handles; /* 0 = FUSE_MAX_NODES, FUSE_MAX_HANDLES; the sandbox's max_fds counts both */
    /* Ownership as the guest sees it. Mapped: the host user's own files are root's (0:0), all others keep their
     * numbers, new files are the host user's whoever makes them, and a change of owner that is none succeeds. Else
     * numbers are the same on both sides and new files are the guest user's; that takes a host user who may chown. */
    bool map_owner;
    uid_t uid; /* the host user, when mapped */
    gid_t gid;
};
#define FUSE_MAX_NODES   (1U << 18)
#define FUSE_MAX_HANDLES (1U << 14)

struct fuse_session; /* what one guest has looked up and opened */
struct fuse_scratch; /* room for one message at a time */

/* fails  E_NOMEM */
enum atoll_status fuse_session_new(const struct fuse_config *config, struct fuse_session **out,
                                   struct atoll_error *err);
/* Nobody may serve from it any more. NULL is allowed. */
void fuse_session_free(struct fuse_session *session);

struct fuse_scratch *fuse_scratch_new(const struct atoll_alloc *alloc); /* NULL when out of memory */
void fuse_scratch_free(const struct atoll_alloc *alloc, struct fuse_scratch *scratch);

/* Answers the message in `out` into `in`: how many bytes were written there, 0 = no answer is due. May take as long
 * as the host's file system does. Many threads may serve one session, each with its own scratch.
 * in  n_out, n_in: at most FUSE_MAX_IOV; the ranges may be shared with the guest and overlap */
size_t fuse_serve(struct fuse_session *session, struct fuse_scratch *scratch, const struct iovec *out,
                  unsigned n_out, const struct iovec *in, unsigned n_in);
#define FUSE_MAX_IOV 256

/* Counts for tests and information: what the guest holds, the root not counted. */
uint32_t fuse_session_nodes(struct fuse_session *session);
uint32_t fuse_session_handles(struct fuse_session *session);

#endif
