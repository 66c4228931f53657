/* sysvm/net/virtio_net.h: a network card.
 *
 *   driver -> transmit queue -> header checked -> vnet_send -> back end
 *   driver <- receive queue  <- receive        <- back end
 *
 * source  virtio 1.2, "Network Device" */
#ifndef ATOLL_SYSVM_VIRTIO_NET_H
#define ATOLL_SYSVM_VIRTIO_NET_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/dev/virtio/virtio.h"

struct sandbox;
struct vm_loop;
struct vnet;
struct vnet_config;

struct virtio_net_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    struct vm_loop *loop;
    struct sandbox *sandbox;
    const char *spec;   /* of the back end: struct vnet_config; its rules are with the sandbox already */
    const uint8_t *mac; /* 6 bytes; NULL: random, locally administered */
    /* Makes the back end; NULL = vnet_open. */
    enum atoll_status (*open)(const struct vnet_config *config, struct vnet **out, struct atoll_error *err);
};

/* out    the device, freed by its ops
 * fails  as vnet_open */
enum atoll_status virtio_net_new(const struct virtio_net_config *config, const struct virtio_ops **out_ops,
                                 void **out_dev, struct atoll_error *err);

#endif
