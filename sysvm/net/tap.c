/* sysvm/net/tap.c: a guest on a tap interface of the host. Who names one has granted all that it reaches.
 *
 * Frames come and go with the kernel's virtio header in front, so that sums and segments are left to it or to
 * the guest. A frame that the guest has no room for stays in `buffer`, and the rest in the kernel's queue. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "sysvm/net/internal.h"

#define FRAMES_A_TURN 64 /* read before others get their turn */

struct tap {
    struct vnet *net;
    int fd;
    struct vm_watch *watch;
    uint32_t events;
    size_t n_held; /* bytes of `buffer` the guest had no room for */
    struct virtio_net_hdr_v1 header;
    uint8_t buffer[VNET_FRAME_MAX];
};

static void watch_for(struct tap *tap, uint32_t events) {
    if (tap->events != events) vm_watch_set(tap->watch, events);
    tap->events = events;
}

/* ---- to the guest ---- */

/* False: held. */
static bool hand_over(struct tap *tap) {
    const struct virtio_net_hdr_v1 *h = &tap->header;
    struct vnet_header header = {.flags = h->flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID),
                                 .gso_type = h->gso_type,
                                 .hdr_len = h->hdr_len,
                                 .gso_size = h->gso_size,
                                 .csum_start = h->csum_start,
                                 .csum_offset = h->csum_offset};
    if (!tap->net->config.receive(tap->net->config.context, &header, tap->buffer, tap->n_held)) return false;
    tap->n_held = 0;
    return true;
}

static void read_frames(struct tap *tap) {
    for (int i = 0; i < FRAMES_A_TURN; i++) {
        struct iovec iov[] = {{&tap->header, sizeof tap->header}, {tap->buffer, sizeof tap->buffer}};
        ssize_t n = readv(tap->fd, iov, 2);
        if (n < 0) return; /* nothing there; or the interface is down or gone, which is a cable pulled */
        if ((size_t)n < sizeof tap->header + VNET_FRAME_MIN) continue;
        tap->n_held = (size_t)n - sizeof tap->header;
        if (!hand_over(tap)) {
            watch_for(tap, tap->events & ~(uint32_t)EPOLLIN);
            return;
        }
    }
}

static void tap_ready(void *context, uint32_t events) {
    struct tap *tap = context;
    /* An interface that was deleted says so for ever. */
    if (events & (EPOLLERR | EPOLLHUP)) {
        vm_watch_free(tap->watch);
        tap->watch = NULL;
        return;
    }
    if ((events & EPOLLIN) && !tap->n_held) {
        read_frames(tap);
        vnet_received(tap->net);
    }
    if (!(events & EPOLLOUT)) return;
    watch_for(tap, tap->events & ~(uint32_t)EPOLLOUT);
    tap->net->config.writable(tap->net->config.context);
}

static void tap_receive_ready(void *backend) {
    struct tap *tap = backend;
    if (!tap->n_held || !hand_over(tap)) return;
    vnet_received(tap->net);
    if (tap->watch) watch_for(tap, tap->events | EPOLLIN);
}

/* ---- from the guest ---- */

static int tap_send(void *backend, const struct vnet_header *header, const struct iovec *iov, int n_iov) {
    struct tap *tap = backend;
    struct virtio_net_hdr_v1 h = {.flags = header->flags & VNET_NEEDS_CSUM,
                                  .gso_type = header->gso_type,
                                  .hdr_len = header->hdr_len,
                                  .gso_size = header->gso_size,
                                  .csum_start = header->csum_start,
                                  .csum_offset = header->csum_offset};
    struct iovec all[1024];
    if (!tap->watch || n_iov > 1023) return 0;
    all[0] = (struct iovec){&h, sizeof h};
    memcpy(all + 1, iov, (size_t)n_iov * sizeof *iov);
    if (writev(tap->fd, all, n_iov + 1) >= 0 || errno != EAGAIN) return 0; /* refused by the kernel: lost */
    watch_for(tap, tap->events | EPOLLOUT);
    return EAGAIN;
}

/* ---- life ---- */

static void tap_set_offloads(void *backend, uint32_t offloads) {
    struct tap *tap = backend;
    unsigned flags = 0;
    if (offloads & VNET_RX_CSUM) {
        flags |= TUN_F_CSUM;
        if (offloads & VNET_RX_TSO4) flags |= TUN_F_TSO4;
        if (offloads & VNET_RX_TSO6) flags |= TUN_F_TSO6;
        if ((flags & (TUN_F_TSO4 | TUN_F_TSO6)) && (offloads & VNET_RX_ECN)) flags |= TUN_F_TSO_ECN;
    }
    ioctl(tap->fd, TUNSETOFFLOAD, flags); /* where it fails the kernel segments and sums itself */
}

static void tap_close(void *backend) {
    struct tap *tap = backend;
    if (tap->watch) vm_watch_free(tap->watch);
    if (tap->fd >= 0) close(tap->fd);
    atoll_free(tap->net->config.alloc, tap, sizeof *tap);
}

static const struct vnet_ops tap_ops = {.name = "tap",
                                        .offloads = VNET_TX_CSUM | VNET_TX_TSO4 | VNET_TX_TSO6 | VNET_TX_ECN |
                                                    VNET_RX_CSUM | VNET_RX_TSO4 | VNET_RX_TSO6 | VNET_RX_ECN,
                                        .send = tap_send,
                                        .set_offloads = tap_set_offloads,
                                        .receive_ready = tap_receive_ready,
                                        .close = tap_close};

static enum atoll_status fail_io(struct atoll_error *err, const char *what, const char *name) {
    int system_errno = errno;
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "tap '%s': %s: %s", name, what, strerror(system_errno));
    if (err) err->system_errno = system_errno;
    return ATOLL_E_IO;
}

static enum atoll_status attach(struct tap *tap, const char *interface, struct atoll_error *err) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int header_bytes = sizeof tap->header;
    memcpy(request.ifr_name, interface, strlen(interface));
    tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tap->fd < 0) return fail_io(err, "cannot open /dev/net/tun", interface);
    if (ioctl(tap->fd, TUNSETIFF, &request)) return fail_io(err, "cannot attach", interface);
    if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header_bytes)) return fail_io(err, "no virtio header", interface);
    tap_set_offloads(tap, 0);
    tap->events = EPOLLIN;
    errno = vm_loop_watch(tap->net->config.loop, tap->fd, tap->events, tap_ready, tap, &tap->watch);
    return errno ? fail_io(err, "cannot be waited for", interface) : ATOLL_OK;
}

enum atoll_status vnet_tap_open(struct vnet *net, const char *interface, struct atoll_error *err) {
    size_t n = strlen(interface);
    if (n == 0 || n >= IFNAMSIZ || strpbrk(interface, "/% \t"))
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' is no name of an interface", interface);
    struct tap *tap = atoll_new(net->config.alloc, 1, sizeof *tap);
    if (!tap) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    tap->net = net;
    tap->fd = -1;
    enum atoll_status status = attach(tap, interface, err);
    if (status) return tap_close(tap), status;
    net->ops = &tap_ops;
    net->backend = tap;
    return ATOLL_OK;
}
