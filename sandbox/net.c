/* sandbox/net.c: sockets a program was handed, and those they accept. */
#include <poll.h>
#include <sys/socket.h>
#include "sandbox/internal.h"

static bool is_socket(const struct sb_file *file) {
    return file->type == SB_TYPE_SOCKET_STREAM || file->type == SB_TYPE_SOCKET_DATAGRAM;
}

/* A connection, or -errno. Another process may take it between the wait and the call: then it waits again. */
static int accept_next(struct sb_file *listener) {
    for (;;) {
        int error = sb_wait(listener, POLLIN);
        if (error) return -error;
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) return fd;
        bool again = errno == EAGAIN && !(listener->flags & SB_OPEN_NONBLOCK);
        if (!again && errno != EINTR && errno != ECONNABORTED) return -errno;
    }
}

int sb_net_accept(struct sb_file *listener, unsigned status_flags, struct sb_file **out) {
    struct sb_request request = sb_request_file(SB_NET_ACCEPT, listener, SB_ABSENT, SB_ABSENT);
    int error = sb_ask(listener->sb, &request);
    if (error) return error;
    if (!is_socket(listener)) return sb_answer(listener->sb, &request, ENOTSOCK, SB_ABSENT);
    int fd = accept_next(listener);
    error = fd < 0 ? -fd : 0;
    if (!error) {
        unsigned flags = SB_OPEN_READ | SB_OPEN_WRITE | (status_flags & SB_OPEN_NONBLOCK);
        error = sb_file_new(listener->sb, fd, true, listener->name, "connection", flags, out);
    }
    return sb_answer(listener->sb, &request, error, SB_ABSENT);
}

/* One receive, waited for. Returns bytes or -errno. */
static ssize_t receive_once(struct sb_file *socket, struct msghdr *message, int flags) {
    for (;;) {
        ssize_t n = recvmsg(socket->fd, message, flags | MSG_DONTWAIT);
        if (n >= 0) return n;
        if (errno != EAGAIN && errno != EINTR) return -errno;
        int error = sb_wait(socket, POLLIN);
        if (error) return -error;
    }
}

/* Drops the first n bytes of the message's pieces, which are the caller's copy. */
static void skip_received(struct msghdr *message, size_t n) {
    for (; message->msg_iovlen > 0 && n >= message->msg_iov->iov_len;
         message->msg_iov++, message->msg_iovlen--)
        n -= message->msg_iov->iov_len;
    if (message->msg_iovlen == 0) return;
    message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + n;
    message->msg_iov->iov_len -= n;
}

/* MSG_WAITALL of a stream, here and not in the kernel, where no stop would end it: until the pieces are full,
 * the peer has closed, or something failed after the first bytes. */
static ssize_t receive_all(struct sb_file *socket, struct msghdr *message) {
    struct iovec rest[SB_MAX_IOV];
    memcpy(rest, message->msg_iov, message->msg_iovlen * sizeof *rest);
    message->msg_iov = rest;
    ssize_t total = 0, n = 1;
    for (skip_received(message, 0); message->msg_iovlen > 0; skip_received(message, (size_t)n)) {
        n = receive_once(socket, message, 0);
        if (n <= 0) break;
        total += n;
    }
    return n < 0 && total == 0 ? n : total;
}

int sb_net_recv(struct sb_file *socket, const struct iovec *iov, int n_iov, int flags, uint64_t *out_n,
                bool *out_truncated) {
    *out_n = 0;
    *out_truncated = false;
    if (n_iov < 0 || n_iov > SB_MAX_IOV) return EINVAL;
    uint64_t total = 0;
    for (int i = 0; i < n_iov; i++) total += iov[i].iov_len;
    struct sb_request request = sb_request_file(SB_NET_RECV, socket, total, SB_ABSENT);
    int error = sb_ask(socket->sb, &request);
    if (error) return error;
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
    /* Peeking takes nothing away, so there is no rest to wait for. */
    bool all = (flags & MSG_WAITALL) && !(flags & MSG_PEEK) && socket->type == SB_TYPE_SOCKET_STREAM;
    ssize_t n = all ? receive_all(socket, &message) : receive_once(socket, &message, flags & MSG_PEEK);
    if (n > 0) *out_n = (uint64_t)n;
    *out_truncated = n >= 0 && (message.msg_flags & MSG_TRUNC);
    return sb_answer(socket->sb, &request, n < 0 ? (int)-n : 0, *out_n);
}

int sb_net_send(struct sb_file *socket, const struct iovec *iov, int n_iov, uint64_t *out_n) {
    return is_socket(socket) ? sb_file_write(socket, iov, n_iov, SB_ABSENT, out_n) : ENOTSOCK;
}

int sb_net_shutdown(struct sb_file *socket, int how) {
    struct sb_request request = sb_request_file(SB_NET_SHUTDOWN, socket, (uint64_t)how, SB_ABSENT);
    int error = sb_ask(socket->sb, &request);
    if (error) return error;
    return sb_answer(socket->sb, &request, shutdown(socket->fd, how) ? errno : 0, SB_ABSENT);
}
