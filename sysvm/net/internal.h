/* sysvm/net/internal.h: what this folder's files share. */
#ifndef ATOLL_SYSVM_NET_INTERNAL_H
#define ATOLL_SYSVM_NET_INTERNAL_H

#include <netinet/in.h>
#include "sandbox/sandbox.h"
#include "sysvm/loop.h"
#include "sysvm/net/net.h"

/* A back end: how it does what net.h promises. */
struct vnet_ops {
    const char *name;
    uint32_t offloads;
    int (*send)(void *backend, const struct vnet_header *header, const struct iovec *iov, int n_iov);
    void (*set_offloads)(void *backend, uint32_t offloads); /* NULL: nothing to do */
    void (*receive_ready)(void *backend);
    void (*close)(void *backend);
};

struct vnet {
    struct vnet_config config; /* alloc is never NULL */
    const struct vnet_ops *ops;
    void *backend;
};

static inline void vnet_received(const struct vnet *net) {
    if (net->config.received) net->config.received(net->config.context);
}

/* ---- spec.c ---- */

#define VNET_FORWARDS_MAX 64
#define VNET_RULES_MAX    256
#define VNET_RULE_BYTES   320

struct vnet_forward {
    bool udp;
    struct in_addr host, guest;
    uint16_t host_port, guest_port;
};

/* Options of `user`. */
struct vnet_user_spec {
    struct vnet_forward forwards[VNET_FORWARDS_MAX];
    size_t n_forwards;
    bool ipv6, any_allow;
    /* Tells each rule in its order; NULL: only looks. */
    enum atoll_status (*rule)(void *context, bool allow, const char *text, struct atoll_error *err);
    void *rule_context;
};
/* Reads what stands behind "user". fails E_USAGE, or what `rule` said */
enum atoll_status vnet_user_spec_parse(const char *text, struct vnet_user_spec *out, struct atoll_error *err);

/* ---- tap.c, user.c ---- */

enum atoll_status vnet_tap_open(struct vnet *net, const char *interface, struct atoll_error *err);
enum atoll_status vnet_user_open(struct vnet *net, const char *options, struct atoll_error *err);

/* ---- filter.c: what of a guest's frames libslirp gets to see ---- */

/* The network that `user` shows its guest. */
#define VNET_NET4        0x0A000200u /* 10.0.2.0/24 */
#define VNET_MASK4       0xFFFFFF00u
#define VNET_HOST4       0x0A000202u
#define VNET_NAMESERVER4 0x0A000203u
#define VNET_GUEST4      0x0A00020Fu
#define VNET_PREFIX6     "fd61:746f:6c6c::" /* /64 */
#define VNET_HOST6       "fd61:746f:6c6c::2"
#define VNET_NAMESERVER6 "fd61:746f:6c6c::3"

#define VNET_FLOWS 256

/* A flow that has no start in its frames (UDP, ICMP), and what the sandbox said of it. */
struct vnet_flow {
    uint8_t protocol; /* IPPROTO_*; 0: unused */
    bool allowed;
    uint16_t guest_port, far_port;
    uint8_t guest[16], far[16];
};

struct vnet_filter {
    struct sandbox *sandbox;
    const struct vnet_forward *forwards; /* of user's spec */
    size_t n_forwards;
    bool ipv6, no_ping;                 /* no_ping: the host has no socket for it */
    bool full;                          /* there are as many sockets as there may be */
    struct vnet_flow flows[VNET_FLOWS]; /* by hash; a newcomer takes its place */
    uint8_t answer[128];                /* to a refused frame */
};

enum vnet_verdict {
    VNET_PASS,
    VNET_DROP,
    VNET_REFUSE /* and `answer` of n_answer bytes tells the guest so */
};
enum vnet_verdict vnet_filter_out(struct vnet_filter *filter, const uint8_t *frame, size_t n_bytes,
                                  size_t *n_answer);
/* A frame on its way to the guest: who writes to a forwarded UDP port may be answered. */
void vnet_filter_in(struct vnet_filter *filter, const uint8_t *frame, size_t n_bytes);

/* ---- header.c ---- */

/* The Internet checksum's sum, not folded, going on from `sum`; pieces of even length but the last. */
uint64_t vnet_sum(uint64_t sum, const void *bytes, size_t n_bytes);
uint16_t vnet_sum_fold(uint64_t sum); /* its complement, in the byte order it was summed in */

static inline uint16_t vnet_get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t vnet_get32(const uint8_t *p) {
    return (uint32_t)vnet_get16(p) << 16 | vnet_get16(p + 2);
}
static inline void vnet_put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static inline void vnet_put32(uint8_t *p, uint32_t v) { vnet_put16(p, v >> 16), vnet_put16(p + 2, v); }

#endif
