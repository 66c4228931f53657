/* sysvm/dev/virtio/fs/fs.h: a granted directory as a virtio-fs device.
 *
 *   driver -> queue 0 (forgets), queue 1 (requests) -> worker threads: fuse_serve -> machine's loop: pushed back
 *
 * A request is popped when there is a worker's place for it and stays in the ring until then, so a guest decides
 * nothing about the memory it takes here. What is under way at a reset ends on its own and is dropped.
 *
 * source  virtio 1.2, "File System Device" */
#ifndef ATOLL_SYSVM_FS_H
#define ATOLL_SYSVM_FS_H

#include "sysvm/dev/virtio/fs/fuse.h"
#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/loop.h"

struct vfs_config {
    const struct atoll_alloc *alloc; /* NULL = default; called by the workers, too */
    struct vm_loop *loop;            /* lives longer than the device */
    const char *tag;                 /* what a guest mounts it by: 1 to 36 bytes */
    struct fuse_config fuse;         /* its alloc is set from the one here */
};

/* out    ops and what belongs to them, for the transport, which calls its free (it waits for the workers)
 * fails  E_USAGE (tag), E_NOMEM, E_IO (no thread, no eventfd) */
enum atoll_status vfs_new(const struct vfs_config *config, const struct virtio_ops **out_ops, void **out_dev,
                          struct atoll_error *err);

#endif
