/* sysvm/dev/virtio/block/block.h: virtio-blk: a disk image as a guest's disk.
 *
 * Reads, writes, flushes, discards, zeroes and the serial number; one queue. A driver that cannot flush gets
 * every write flushed before it ends. A reset waits for what is under way, because its memory is the guest's
 * again afterwards.
 * source  virtio 1.2, "Block Device" */
#ifndef ATOLL_SYSVM_VIRTIO_BLOCK_H
#define ATOLL_SYSVM_VIRTIO_BLOCK_H

#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/image/image.h"
#include "sysvm/loop.h"

enum { VBLK_REQUESTS_MAX = 64, VBLK_RANGES_MAX = 16 }; /* under way at once; of one discard */

struct vblk_config {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop; /* these outlive the device */
    struct sandbox *sandbox;
    struct img *img;
    const char *name;   /* in trace lines; NULL = the image's */
    const char *serial; /* up to 20 bytes; NULL = none. Copied */
    bool no_uring;
};

/* fails E_NOMEM, E_IO */
enum atoll_status vblk_new(const struct vblk_config *config, const struct virtio_ops **out_ops,
                           void **out_dev, struct atoll_error *err);

#endif
