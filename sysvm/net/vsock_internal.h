/* sysvm/net/vsock_internal.h: what vsock.c (packets, queues) and vsock_host.c (sockets) share. */
#ifndef ATOLL_SYSVM_VSOCK_INTERNAL_H
#define ATOLL_SYSVM_VSOCK_INTERNAL_H

#include <sys/un.h>
#include "sandbox/sandbox.h"
#include "sysvm/loop.h"
#include "sysvm/net/vsock.h"

#define VSOCK_CONNECTIONS 256
#define VSOCK_BUFFER      (64u << 10) /* of a connection: what a slow host program has not read yet */
#define VSOCK_RESETS      64          /* answers to packets of no connection; then sending waits */

enum { VSOCK_HEADER_BYTES = 44, VSOCK_STREAM = 1, VSOCK_NO_RECEIVE = 1, VSOCK_NO_SEND = 2 };
enum vsock_op {
    VSOCK_REQUEST = 1,
    VSOCK_RESPONSE,
    VSOCK_RST,
    VSOCK_SHUTDOWN,
    VSOCK_RW,
    VSOCK_CREDIT_UPDATE,
    VSOCK_CREDIT_REQUEST
};

enum vsock_state {
    VSOCK_FREE,
    VSOCK_GREETING,  /* a host program has connected and says where to */
    VSOCK_ASKED,     /* the guest was asked */
    VSOCK_CONNECTED, /* both ways, but for what was shut down */
    VSOCK_ENDING     /* the host's end is gone; the guest was told, or will be */
};

struct vsock;

struct vsock_connection {
    struct vsock *vsock;
    enum vsock_state state;
    int fd; /* -1: closed */
    struct vm_watch *watch;
    uint32_t events; /* of the watch */
    uint32_t host_port, guest_port;
    /* Counters of bytes wrap, as the specification has them. */
    uint32_t guest_space, guest_taken; /* what the guest has told: its buffer, bytes it has taken of sent */
    uint32_t sent;                     /* bytes to the guest */
    uint32_t received, passed_on;      /* bytes from the guest, of which the host has taken */
    uint32_t passed_on_told;
    unsigned pending;    /* 1 << op: to be told to the guest */
    uint32_t told_down;  /* VSOCK_NO_*: that we shut down */
    uint32_t guest_down; /* that the guest shut down */
    bool readable;       /* the host's end has something, as far as is known */
    uint8_t *buffer;     /* ring of VSOCK_BUFFER bytes; NULL until needed */
    uint32_t first, n_buffered;
    char greeting[24]; /* "CONNECT 4294967295\n" */
    unsigned n_greeting;
};

struct vsock {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop;
    struct sandbox *sandbox;
    struct virtio_device *vdev; /* NULL: not started */
    uint64_t cid;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    int listener;
    struct vm_watch *listener_watch; /* NULL: no room for another connection */
    struct vsock_connection connections[VSOCK_CONNECTIONS];
    unsigned n_connections, turn; /* whose turn it is to be told to the guest */
    uint32_t next_port;
    struct {
        uint32_t guest_port, host_port;
        uint16_t type;
    } resets[VSOCK_RESETS];
    unsigned n_resets;
    bool posted;
    struct vq_chain chain;
    struct iovec iov[VQ_MAX_SEGMENTS];
};

/* ---- vsock.c ---- */

/* Tells the guest what is to be told, and gives it data, as far as it has buffers. */
void vsock_serve(struct vsock *vsock);

/* ---- vsock_host.c ---- */

enum atoll_status vsock_listen(struct vsock *vsock, struct atoll_error *err);
void vsock_unlisten(struct vsock *vsock);
/* A connection to the socket of `port`; NULL: none there, or no room for one. */
struct vsock_connection *vsock_connect(struct vsock *vsock, uint32_t port);
void vsock_free(struct vsock_connection *c);
/* The guest has accepted: the host program is told so. */
void vsock_accepted(struct vsock_connection *c);
/* Bytes of the guest, which fit into the buffer's space: to the host's end, or kept. */
void vsock_pass_on(struct vsock_connection *c, const struct iovec *iov, int n_iov, uint32_t n_bytes);
/* What the guest shut down is shut down once its bytes are through. */
void vsock_shut_down(struct vsock_connection *c);
/* The host's end failed: the guest will be told. */
void vsock_fail(struct vsock_connection *c);
/* How much the guest has room for. */
uint32_t vsock_credit(const struct vsock_connection *c);
/* Watches for what can be used now. */
void vsock_watch(struct vsock_connection *c);

static inline void vsock_tell(struct vsock_connection *c, enum vsock_op op) { c->pending |= 1u << op; }

#endif
