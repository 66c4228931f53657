/* sandbox/poll.c: the only places where a program's request sleeps. Each sleeps on the wake descriptor too,
 * and looks at the stop flag before: whoever sets the flag and then wakes is seen at one of the two. */
#include <poll.h>
#include "sandbox/internal.h"

#define POLLS_INLINE 16

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A wake-up without a stop was for something that is over. One that came meanwhile may be for others too. */
static void drain_wake(struct sandbox *sb) {
    uint64_t count;
    ssize_t ignored = read(sb->wake_fd, &count, sizeof count);
    (void)ignored;
    if (sb_stopped(sb)) sb_wake(sb);
}

/* fds[n - 1] is the wake descriptor. 0 when another is ready or the deadline has come, with revents set. */
static int poll_until(struct sandbox *sb, struct pollfd *fds, size_t n, uint64_t deadline_ns) {
    for (;;) {
        if (sb_stopped(sb)) return EINTR;
        struct timespec timeout = {0}, *limit = NULL;
        if (deadline_ns != UINT64_MAX) {
            uint64_t now = deadline_ns ? monotonic_ns() : 0;
            uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
            timeout = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
            limit = &timeout;
        }
        int ready = ppoll(fds, n, limit, NULL);
        if (ready < 0 && errno != EINTR) return errno;
        if (ready < 0) continue;
        bool woken = fds[n - 1].revents != 0;
        if (woken && !sb_stopped(sb)) drain_wake(sb);
        if (ready > woken || ready == 0) return sb_stopped(sb) ? EINTR : 0;
    }
}

int sb_wait_ms(struct sandbox *sb, int fd, short events, int timeout_ms) {
    struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = sb->wake_fd, .events = POLLIN}};
    uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
    return poll_until(sb, fds, 2, deadline);
}

int sb_wait(struct sb_file *file, short events) {
    if (!(file->flags & SB_OPEN_NONBLOCK)) return sb_wait_ms(file->sb, file->fd, events, -1);
    struct pollfd fd = {.fd = file->fd, .events = events};
    return poll(&fd, 1, 0) == 0 ? EAGAIN : 0;
}

static int poll_files(struct sandbox *sb, struct pollfd *fds, struct sb_poll *polls, size_t n,
                      uint64_t deadline_ns, size_t *out_ready) {
    for (size_t i = 0; i < n; i++) fds[i] = (struct pollfd){polls[i].file->fd, polls[i].events, 0};
    fds[n] = (struct pollfd){sb->wake_fd, POLLIN, 0};
    int error = poll_until(sb, fds, n + 1, deadline_ns);
    if (error) return error;
    for (size_t i = 0; i < n; i++) {
        polls[i].revents = fds[i].revents;
        *out_ready += fds[i].revents != 0;
    }
    return 0;
}

int sb_poll(struct sandbox *sb, struct sb_poll *polls, size_t n_polls, uint64_t deadline_ns,
            size_t *out_ready) {
    struct sb_request request = {.kind = SB_POLL, .numbers = {n_polls, SB_ABSENT}};
    int error = sb_ask(sb, &request);
    if (error) return error;
    struct pollfd few[POLLS_INLINE + 1], *fds = few;
    if (n_polls > POLLS_INLINE) fds = atoll_new(sb->alloc, n_polls + 1, sizeof *fds);
    *out_ready = 0;
    error = fds ? poll_files(sb, fds, polls, n_polls, deadline_ns, out_ready) : ENOMEM;
    if (fds != few) atoll_free(sb->alloc, fds, (n_polls + 1) * sizeof *fds);
    return sb_answer(sb, &request, error, *out_ready);
}
