/* tests/sysvm/net/wire.h: a network back end with its loop on a thread, and a guest's end of the wire in hand. */
#ifndef ATOLL_TESTS_NET_WIRE_H
#define ATOLL_TESTS_NET_WIRE_H

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "tests/sysvm/net/packets.h"

#define WIRE_SECONDS 30 /* nothing here takes a tenth of it; a test that waits so long has failed */

struct wire_frame {
    struct wire_frame *next;
    struct vnet_header header;
    size_t n;
    uint8_t bytes[];
};

struct wire {
    struct sandbox *sb;
    struct vm_loop *loop;
    struct vnet *net;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct wire_frame *first, **last; /* that came for the guest */
    size_t n_frames;
    bool full; /* the guest has no room */
};

static inline bool wire_receive(void *context, const struct vnet_header *header, const uint8_t *bytes,
                                size_t n) {
    struct wire *w = context;
    pthread_mutex_lock(&w->lock);
    bool room = !w->full;
    if (room) {
        struct wire_frame *f = calloc(1, sizeof *f + n);
        f->header = *header;
        f->n = n;
        memcpy(f->bytes, bytes, n);
        *w->last = f, w->last = &f->next;
        w->n_frames++;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

static inline void wire_writable(void *context) { (void)context; }

static inline void *wire_run(void *loop) { return (void *)(intptr_t)vm_loop_run(loop); }

static inline enum atoll_status wire_try(struct wire *w, const char *spec, struct atoll_error *err) {
    struct vnet_config config = {.loop = w->loop,
                                 .sandbox = w->sb,
                                 .spec = spec,
                                 .receive = wire_receive,
                                 .writable = wire_writable,
                                 .context = w};
    enum atoll_status status = vnet_grant(w->sb, spec, err);
    return status ? status : vnet_open(&config, &w->net, err);
}

static inline struct wire *wire_new(void) {
    struct wire *w = calloc(1, sizeof *w);
    struct sb_config config = {.alloc = NULL};
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    assert_int_equal(sb_new(&config, &w->sb, NULL), 0);
    assert_int_equal(vm_loop_new(&atoll_default_alloc, &w->loop, NULL), 0);
    return w;
}

static inline void wire_start(struct wire *w) {
    assert_int_equal(pthread_create(&w->thread, NULL, wire_run, w->loop), 0);
}

static inline struct wire *wire_open(const char *spec) {
    struct wire *w = wire_new();
    struct atoll_error err = {.text = ""};
    if (wire_try(w, spec, &err)) fail_msg("%s", err.text);
    wire_start(w);
    return w;
}

static inline void wire_close(struct wire *w) {
    if (w->thread) {
        void *result;
        vm_loop_stop(w->loop);
        pthread_join(w->thread, &result);
        assert_null(result);
    }
    vnet_close(w->net);
    vm_loop_free(w->loop);
    sb_free(w->sb);
    for (struct wire_frame *f = w->first, *next; f; f = next) next = f->next, free(f);
    free(w);
}

static inline int wire_send(struct wire *w, const struct vnet_header *header, const void *bytes, size_t n) {
    static const struct vnet_header plain = {.flags = 0};
    struct iovec iov[2] = {{(void *)(uintptr_t)bytes, n / 2},
                           {(uint8_t *)(uintptr_t)bytes + n / 2, n - n / 2}};
    vm_loop_lock(w->loop);
    int error = vnet_send(w->net, header ? header : &plain, iov, 2);
    vm_loop_unlock(w->loop);
    return error;
}
static inline void wire_put(struct wire *w, struct frame f) {
    assert_int_equal(wire_send(w, NULL, f.bytes, f.n), 0);
}

/* The next frame that came, to be freed; fails the test when none does. */
static inline struct wire_frame *wire_take(struct wire *w) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WIRE_SECONDS;
    pthread_mutex_lock(&w->lock);
    int error = 0;
    while (!w->first && !error) error = pthread_cond_timedwait(&w->changed, &w->lock, &end);
    struct wire_frame *f = w->first;
    if (f) {
        w->first = f->next;
        if (!w->first) w->last = &w->first;
    }
    pthread_mutex_unlock(&w->lock);
    if (!f) fail_msg("no frame came");
    return f;
}

/* The next IPv4 packet of a protocol; what else comes is thrown away. */
static inline struct wire_frame *wire_take_ip4(struct wire *w, unsigned protocol) {
    for (;;) {
        struct wire_frame *f = wire_take(w);
        if (vnet_get16(f->bytes + 12) == 0x0800 && f->bytes[ETH + 9] == protocol) return f;
        free(f);
    }
}

/* A socket bound to a port of the loopback that was free. */
static inline int host_socket(int type, uint16_t *out_port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    *out_port = ntohs(a.sin_port);
    if (type == SOCK_STREAM) assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static inline void host_wait(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WIRE_SECONDS * 1000), 1);
}

#endif
