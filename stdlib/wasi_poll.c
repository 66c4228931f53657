/* stdlib/wasi_poll.c: waiting for clocks and descriptors. */
#include "stdlib/wasi.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>

/* More subscriptions than descriptors and timers make sense for: the host's share of a call stays bounded. */
#define MAX_SUBSCRIPTIONS 16384u

enum { TAG_CLOCK, TAG_READ, TAG_WRITE };
enum { CLOCK_ABSOLUTE = 1 };
#define EVENT_BYTES 32u
#define NEVER       UINT64_MAX

struct subscription {
    uint64_t userdata;
    uint64_t deadline_ns; /* CLOCK: of CLOCK_MONOTONIC */
    uint32_t error;
    uint8_t tag;
    uint32_t poll; /* READ, WRITE: index among the polled files */
};

static uint64_t now_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t add_saturated(uint64_t a, uint64_t b) { return a + b < a ? NEVER : a + b; }

/* Turns a clock subscription into a deadline of the monotonic clock. Returns an errno. */
static uint32_t clock_deadline(uint32_t id, uint64_t timeout, uint16_t flags, uint64_t *out) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    if (id > 1) return id > 3 ? WASI_EINVAL : WASI_ENOTSUP;
    if (flags & CLOCK_ABSOLUTE) {
        uint64_t now = now_ns(clocks[id]);
        timeout = timeout > now ? timeout - now : 0;
    }
    *out = add_saturated(now_ns(CLOCK_MONOTONIC), timeout);
    return WASI_OK;
}

/* `at`: a copy. The file polled is referenced. */
static void read_subscription(const struct wasi_call *c, const uint8_t *at, struct subscription *s,
                              struct sb_poll *polls, uint32_t *n_polls) {
    uint32_t id;
    struct wasi_fd f;
    memcpy(&s->userdata, at, 8);
    s->tag = at[8];
    if (s->tag == TAG_CLOCK) {
        uint64_t timeout;
        uint16_t flags;
        const uint8_t *clock = at + (c->unstable ? 24 : 16); /* wasi_unstable has an identifier before it */
        memcpy(&id, clock, 4);
        memcpy(&timeout, clock + 8, 8);
        memcpy(&flags, clock + 24, 2);
        s->error = clock_deadline(id, timeout, flags, &s->deadline_ns);
        return;
    }
    memcpy(&id, at + 16, 4);
    if (s->tag > TAG_WRITE) {
        s->error = WASI_EINVAL;
        return;
    }
    s->error = wasi_fd_take(c->wasi, id, RIGHT(POLL_FD_READWRITE), &f);
    if (s->error) return;
    s->poll = *n_polls;
    polls[(*n_polls)++] = (struct sb_poll){.file = f.file, .events = s->tag == TAG_READ ? POLLIN : POLLOUT};
}

static void put_event(const struct wasi_call *c, uint32_t at, const struct subscription *s,
                      const struct sb_poll *polls) {
    uint8_t out[EVENT_BYTES] = {0};
    uint16_t error = (uint16_t)s->error, flags = 0;
    uint64_t n_bytes = 0;
    if (!s->error && s->tag != TAG_CLOCK) {
        const struct sb_poll *p = &polls[s->poll];
        int available = 0;
        if (p->revents & POLLHUP) flags = 1;
        if (p->revents & POLLNVAL) error = WASI_EBADF;
        if (p->revents & POLLERR) error = 29; /* EIO */
        if (s->tag == TAG_READ && !ioctl(sb_file_fd(p->file), FIONREAD, &available) && available > 0)
            n_bytes = (uint64_t)available;
    }
    memcpy(out, &s->userdata, 8);
    memcpy(out + 8, &error, 2);
    out[10] = s->tag;
    memcpy(out + 16, &n_bytes, 8);
    memcpy(out + 24, &flags, 2);
    wasi_put(c, at, out, sizeof out);
}

static bool is_due(const struct subscription *s, const struct sb_poll *polls, uint64_t now) {
    if (s->error) return true;
    return s->tag == TAG_CLOCK ? s->deadline_ns <= now : polls[s->poll].revents != 0;
}

static uint32_t wait_and_report(struct wasi_call *c, const struct subscription *subs, uint32_t n,
                                struct sb_poll *polls, uint32_t n_polls) {
    uint64_t deadline = NEVER;
    uint32_t n_events = 0;
    size_t ready;
    for (uint32_t i = 0; i < n; i++) {
        if (subs[i].error) deadline = 0;
        if (!subs[i].error && subs[i].tag == TAG_CLOCK && subs[i].deadline_ns < deadline)
            deadline = subs[i].deadline_ns;
    }
    uint32_t error = wasi_errno(sb_poll(c->wasi->sandbox, polls, n_polls, deadline, &ready));
    if (error) return error;
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < n; i++)
        if (is_due(&subs[i], polls, now))
            put_event(c, wasi_u32(c, 1) + EVENT_BYTES * n_events++, &subs[i], polls);
    wasi_put_u32(c, wasi_u32(c, 3), n_events);
    return WASI_OK;
}

static uint32_t poll_all(struct wasi_call *c, struct subscription *subs, uint32_t n, struct sb_poll *polls) {
    enum { RECORD = 48, RECORD_UNSTABLE = 56 };
    uint8_t record[RECORD_UNSTABLE];
    uint32_t stride = c->unstable ? RECORD_UNSTABLE : RECORD, in = wasi_u32(c, 0), n_polls = 0;
    if (!wasi_at(c, in, (uint64_t)n * stride) || !wasi_at(c, wasi_u32(c, 1), (uint64_t)n * EVENT_BYTES) ||
        !wasi_at(c, wasi_u32(c, 3), 4))
        return WASI_EFAULT;
    for (uint32_t i = 0; i < n; i++) {
        wasi_take(c, in + i * stride, record, stride);
        read_subscription(c, record, &subs[i], polls, &n_polls);
    }
    uint32_t error = wait_and_report(c, subs, n, polls, n_polls);
    for (uint32_t i = 0; i < n_polls; i++) sb_file_unref(polls[i].file);
    return error;
}

uint32_t wasi_fn_poll_oneoff(struct wasi_call *c) {
    uint32_t n = wasi_u32(c, 2);
    if (!n || n > MAX_SUBSCRIPTIONS) return WASI_EINVAL;
    const struct atoll_alloc *alloc = c->wasi->alloc;
    struct subscription *subs = atoll_new(alloc, n, sizeof *subs);
    struct sb_poll *polls = atoll_new(alloc, n, sizeof *polls);
    uint32_t error = subs && polls ? poll_all(c, subs, n, polls) : WASI_ENOMEM;
    atoll_free(alloc, subs, n * sizeof *subs);
    atoll_free(alloc, polls, n * sizeof *polls);
    return error;
}
