/* sysvm/net/net.h: where a guest's Ethernet frames go and come from. The one header of this folder.
 *
 *   virtio-net -> vnet_send -> back end (user, tap, none) -> host
 *   virtio-net <- receive   <- back end
 *
 * Everything here runs on the event-loop thread under the machine lock and never waits. What a guest sends is
 * hostile: vnet_header_fits has to have taken a header before it comes here, frames are checked here. */
#ifndef ATOLL_SYSVM_NET_H
#define ATOLL_SYSVM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct sandbox;
struct vm_loop;
struct vnet;

/* The frame's longest: Ethernet header, a VLAN tag, the largest packet that IP knows. */
#define VNET_FRAME_MAX (14 + 4 + 65535)
#define VNET_FRAME_MIN 14

/* What is left to do with a frame. source  virtio 1.2, "Device Operation" of the network device */
struct vnet_header {
    uint8_t flags;    /* VNET_NEEDS_CSUM, VNET_DATA_VALID */
    uint8_t gso_type; /* VNET_GSO_*, with VNET_GSO_ECN */
    uint16_t hdr_len, gso_size;
    uint16_t csum_start, csum_offset; /* the sum of all from csum_start goes to csum_start + csum_offset */
};
enum { VNET_NEEDS_CSUM = 1, VNET_DATA_VALID = 2 };
enum { VNET_GSO_NONE = 0, VNET_GSO_TCPV4 = 1, VNET_GSO_TCPV6 = 4, VNET_GSO_ECN = 0x80 };

/* What may be left to do: TX for the back end, RX for the guest. */
enum vnet_offloads {
    VNET_TX_CSUM = 1 << 0,
    VNET_TX_TSO4 = 1 << 1,
    VNET_TX_TSO6 = 1 << 2,
    VNET_TX_ECN = 1 << 3,
    VNET_RX_CSUM = 1 << 4,
    VNET_RX_TSO4 = 1 << 5,
    VNET_RX_TSO6 = 1 << 6,
    VNET_RX_ECN = 1 << 7
};

/* Whether a frame of n_bytes with this header may be sent under these TX offloads: every offset lies in the
 * frame, segments have a size, nothing is asked for that was not agreed on. */
bool vnet_header_fits(const struct vnet_header *header, uint32_t offloads, size_t n_bytes);
/* Does what VNET_NEEDS_CSUM asks for; the header fits. */
void vnet_checksum(const struct vnet_header *header, uint8_t *frame, size_t n_bytes);

struct vnet_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    struct vm_loop *loop;
    struct sandbox *sandbox; /* asked by `user` for each new connection; see vnet_grant */
    /* none | tap=INTERFACE | user[:OPTION[,OPTION]...], where OPTION is
     *   hostfwd=[tcp:|udp:][HOST]:PORT-[GUEST]:PORT   HOST defaults to 127.0.0.1, GUEST to 10.0.2.15
     *   allow=RULE, deny=RULE                         as sb_rule_connect; no allow: allow=public,allow=dns
     *   ipv6=on|off                                   off unless asked for */
    const char *spec;
    /* A frame for the guest. False: no room for it; the back end keeps it, or drops it where it has no room
     * either, and goes on after vnet_receive_ready. Must not call back. */
    bool (*receive)(void *context, const struct vnet_header *header, const uint8_t *frame, size_t n_bytes);
    /* No more frames for now: time to interrupt the guest. NULL is allowed. */
    void (*received)(void *context);
    /* vnet_send may be tried again. */
    void (*writable)(void *context);
    void *context;
};

/* fails  E_USAGE (spec), E_IO (tap, a port), E_UNSUPPORTED (no libslirp here), E_NOMEM */
enum atoll_status vnet_open(const struct vnet_config *config, struct vnet **out, struct atoll_error *err);
/* Whether `spec` could be opened as far as its text tells. fails E_USAGE */
enum atoll_status vnet_spec_check(const char *spec, struct atoll_error *err);
/* Gives the sandbox the rules that `spec` has, once, before the first back end is opened, and loads what it needs,
 * while libraries and name servers can still be reached. fails  E_USAGE (spec), E_UNSUPPORTED, E_NOMEM */
enum atoll_status vnet_grant(struct sandbox *sandbox, const char *spec, struct atoll_error *err);
/* What the back end can do. */
uint32_t vnet_offloads(const struct vnet *net);
/* What guest and device agreed on. */
void vnet_set_offloads(struct vnet *net, uint32_t offloads);
/* Sends one frame, gathered from `iov`. 0 = sent, or dropped as a wire may; EAGAIN: not now, `writable` is
 * called when. */
int vnet_send(struct vnet *net, const struct vnet_header *header, const struct iovec *iov, int n_iov);
/* The guest has room again. */
void vnet_receive_ready(struct vnet *net);
/* No callback comes after it. NULL is allowed. */
void vnet_close(struct vnet *net);

#endif
