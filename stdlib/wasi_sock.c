/* stdlib/wasi_sock.c: sockets that were granted: accepting, receiving, sending. */
#include "stdlib/wasi.h"

#include <sys/socket.h>

uint32_t wasi_fn_sock_accept(struct wasi_call *c) {
    struct sb_file *socket;
    uint32_t error, fd;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(SOCK_ACCEPT), &error);
    if (!f) return error;
    if (wasi_u32(c, 1) & ~31u) return WASI_EINVAL;
    if (!wasi_at(c, wasi_u32(c, 2), 4)) return WASI_EFAULT;
    uint64_t inheriting = f->inheriting;
    error = wasi_errno(sb_net_accept(f->file, wasi_status_flags(wasi_u32(c, 1)), &socket));
    if (error) return error;
    error = wasi_fd_add(c->wasi, socket, inheriting & ~RIGHT(SOCK_ACCEPT), 0, NULL, &fd);
    if (error)
        sb_file_unref(socket);
    else
        wasi_put_u32(c, wasi_u32(c, 2), fd);
    return error;
}

uint32_t wasi_fn_sock_recv(struct wasi_call *c) {
    enum { PEEK = 1, WAITALL = 2 };
    struct iovec iov[SB_MAX_IOV];
    uint64_t done = 0;
    bool truncated = false;
    int n;
    uint32_t error, flags = wasi_u32(c, 3);
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_READ), &error);
    if (!f) return error;
    if (flags & ~3u) return WASI_EINVAL;
    if (!wasi_at(c, wasi_u32(c, 4), 4) || !wasi_at(c, wasi_u32(c, 5), 2)) return WASI_EFAULT;
    error = wasi_iovecs(c, wasi_u32(c, 1), wasi_u32(c, 2), iov, &n);
    if (error) return error;
    int host = (flags & PEEK ? MSG_PEEK : 0) | (flags & WAITALL ? MSG_WAITALL : 0);
    error = wasi_errno(sb_net_recv(f->file, iov, n, host, &done, &truncated));
    if (error) return error;
    uint16_t out_flags = truncated;
    wasi_put_u32(c, wasi_u32(c, 4), (uint32_t)done);
    wasi_put(c, wasi_u32(c, 5), &out_flags, 2);
    return WASI_OK;
}

uint32_t wasi_fn_sock_send(struct wasi_call *c) {
    struct iovec iov[SB_MAX_IOV];
    uint64_t done = 0;
    uint32_t error;
    int n;
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(FD_WRITE), &error);
    if (!f) return error;
    if (wasi_u32(c, 3)) return WASI_EINVAL; /* no flags are defined */
    if (!wasi_at(c, wasi_u32(c, 4), 4)) return WASI_EFAULT;
    error = wasi_iovecs(c, wasi_u32(c, 1), wasi_u32(c, 2), iov, &n);
    if (!error) error = wasi_errno(sb_net_send(f->file, iov, n, &done));
    if (!error) wasi_put_u32(c, wasi_u32(c, 4), (uint32_t)done);
    return error;
}

uint32_t wasi_fn_sock_shutdown(struct wasi_call *c) {
    static const int hows[] = {-1, SHUT_RD, SHUT_WR, SHUT_RDWR};
    uint32_t error, how = wasi_u32(c, 1);
    const struct wasi_fd *f = wasi_fd_get(c, wasi_u32(c, 0), RIGHT(SOCK_SHUTDOWN), &error);
    if (!f) return error;
    return how < 1 || how > 3 ? WASI_EINVAL : wasi_errno(sb_net_shutdown(f->file, hows[how]));
}
