/* sysvm/dev/virtio/balloon.h: virtio-balloon: memory the guest does not need goes back to the host, by asking for
 * it (the balloon) and by itself (free page reporting). It comes back as zeros when the guest
 * touches it again.
 *
 * source  virtio 1.2, "Traditional Memory Balloon Device" */
#ifndef ATOLL_SYSVM_VIRTIO_BALLOON_H
#define ATOLL_SYSVM_VIRTIO_BALLOON_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/loop.h"
#include "sysvm/memory.h"

#define VBALLOON_PAGE UINT64_C(4096)

struct vballoon;

struct vballoon_config {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop; /* both outlive the device */
    struct vm_memory *memory;
};

/* The device is *out with *out_ops; it lives as long as its transport. fails E_NOMEM */
enum atoll_status vballoon_new(const struct vballoon_config *config, const struct virtio_ops **out_ops,
                               struct vballoon **out, struct atoll_error *err);
/* How many pages the guest shall give up; it does what it can. Under the machine lock, like the next. */
void vballoon_set_target(struct vballoon *balloon, uint32_t n_pages);
/* How many it says it has given up; the guest's word, for information. */
uint32_t vballoon_actual(const struct vballoon *balloon);
/* Bytes given back to the host so far, by both ways. */
uint64_t vballoon_returned_bytes(const struct vballoon *balloon);

#endif
