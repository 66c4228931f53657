/* sysvm/dev/virtio/rng.h: virtio-rng: random bytes of the host, asked of the sandbox like a program's.
 * source  virtio 1.2, "Entropy Device" */
#ifndef ATOLL_SYSVM_VIRTIO_RNG_H
#define ATOLL_SYSVM_VIRTIO_RNG_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sandbox/sandbox.h"
#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/loop.h"

#define VRNG_MAX_BYTES 4096 /* of one request; a guest that wants more asks again */

struct vrng_config {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop; /* both outlive the device */
    struct sandbox *sandbox;
};

/* Where the policy refuses, requests come back empty. fails E_NOMEM */
enum atoll_status vrng_new(const struct vrng_config *config, const struct virtio_ops **out_ops,
                           void **out_dev, struct atoll_error *err);

#endif
