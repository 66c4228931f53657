/* sysvm/net/vsock.h: stream sockets between guest and host without a network (virtio-vsock). The host's end is
 * UNIX sockets, so that nothing of the host's kernel has to be configured and file modes say who may connect:
 *
 *   host to guest   connect to PATH, write "CONNECT PORT\n", read "OK HOSTPORT\n": then a stream to the guest's PORT
 *   guest to host   the guest connects to CID 2, port P: the device connects to PATH_P
 *
 * A guest reaches only sockets somebody has put beside PATH.
 * source  virtio 1.2, "Socket Device" */
#ifndef ATOLL_SYSVM_VSOCK_H
#define ATOLL_SYSVM_VSOCK_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/dev/virtio/virtio.h"

struct sandbox;
struct vm_loop;

#define VSOCK_CID_HOST    2
#define VSOCK_CID_DEFAULT 3

struct virtio_vsock_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    struct vm_loop *loop;
    struct sandbox *sandbox; /* told of each connection the guest asks for */
    const char *spec;        /* PATH[,cid=N], N from 3 to 2^32 - 2 */
};

/* Makes and listens at PATH; a socket nobody listens at any more is replaced.
 * out    the device, freed by its ops, which removes PATH
 * fails  E_USAGE (spec), E_IO, E_NOMEM */
enum atoll_status virtio_vsock_new(const struct virtio_vsock_config *config,
                                   const struct virtio_ops **out_ops, void **out_dev,
                                   struct atoll_error *err);
/* Whether `spec` is one as far as its text tells. fails E_USAGE */
enum atoll_status virtio_vsock_check(const char *spec, struct atoll_error *err);

#endif
