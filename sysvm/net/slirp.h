/* sysvm/net/slirp.h: the functions of libslirp that user.c calls. */
#ifndef ATOLL_SYSVM_NET_SLIRP_H
#define ATOLL_SYSVM_NET_SLIRP_H

#include <slirp/libslirp.h>
#include "atoll/error.h"

struct vnet_slirp {
    Slirp *(*create)(const SlirpConfig *config, const SlirpCb *callbacks, void *opaque);
    void (*cleanup)(Slirp *slirp);
    void (*pollfds_fill)(Slirp *slirp, uint32_t *timeout, SlirpAddPollCb add_poll, void *opaque);
    void (*pollfds_poll)(Slirp *slirp, int select_error, SlirpGetREventsCb get_revents, void *opaque);
    void (*input)(Slirp *slirp, const uint8_t *packet, int n_bytes);
    void (*handle_timer)(Slirp *slirp, SlirpTimerId id, void *opaque);
    int (*add_hostfwd)(Slirp *slirp, int is_udp, struct in_addr host, int host_port, struct in_addr guest,
                       int guest_port);
};

/* fails  E_UNSUPPORTED (not installed, or too old) */
enum atoll_status vnet_slirp_load(struct vnet_slirp *out, struct atoll_error *err);

#endif
