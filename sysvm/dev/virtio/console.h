/* sysvm/dev/virtio/console.h: virtio-console with one port. Without a name it is a console, hvc0 to a Linux guest:
 * it knows the size of the terminal's window, but Linux sends 16 bytes at a time. With a name it is a plain port,
 * /dev/vport0p0 to Linux (and /dev/virtio-ports/NAME where udev is): no terminal in between, up to 32 KiB at a time,
 * and input waits until somebody in the guest has opened it.
 *
 * source  virtio 1.2, "Console Device" */
#ifndef ATOLL_SYSVM_VIRTIO_CONSOLE_H
#define ATOLL_SYSVM_VIRTIO_CONSOLE_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/dev/stream.h"
#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/loop.h"

#define VCON_NAME_MAX 64

struct vcon;

struct vcon_config {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop;     /* outlives the device */
    struct vm_stream_end end; /* likewise, or its write swallows */
    uint16_t columns, rows;   /* of a console; 0: not known */
    const char *name;         /* of a plain port, at most VCON_NAME_MAX bytes count; NULL: a console */
};

/* The device is `*out_dev` with `*out_ops`, and the same as *out for vcon_stream; it lives as long as its transport.
 * fails  E_NOMEM */
enum atoll_status vcon_new(const struct vcon_config *config, const struct virtio_ops **out_ops,
                           struct vcon **out, struct atoll_error *err);
/* The port's own end of the stream. */
struct vm_stream_device vcon_stream(struct vcon *console);

#endif
