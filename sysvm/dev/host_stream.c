/* sysvm/dev/host_stream.c: see host_stream.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sysvm/dev/host_stream.h"

#define INPUT_BYTES   1024
#define CAREFUL_BYTES 512 /* what a pipe that polls as writable takes for certain */

enum out_kind {
    OUT_NONE,
    OUT_FILE,   /* a write ends soon */
    OUT_OWN,    /* a description of our own that does not wait */
    OUT_SOCKET, /* asks for not waiting at each call */
    OUT_SHARED  /* neither: polled before each small write */
};

struct vm_host_stream {
    struct vm_host_stream_config config;
    struct vm_stream_device device;
    enum out_kind out_kind;
    int out; /* ours to close when OUT_OWN */
    int out_error;
    struct vm_watch *in_watch, *out_watch;
    bool in_is_file; /* cannot be waited for: always ready */
    bool in_ended, pumping;
    uint8_t input[INPUT_BYTES];
    size_t input_from, input_end; /* read and not taken by the device */
};

/* ---- output ---- */

static void open_output(struct vm_host_stream *s) {
    struct stat st;
    s->out = s->config.out;
    if (s->out < 0 || fstat(s->out, &st)) return;
    s->out_kind = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? OUT_FILE
                  : S_ISSOCK(st.st_mode)                     ? OUT_SOCKET
                                                             : OUT_SHARED;
    /* what cannot be written shall say so, and is not opened to be written */
    if (s->out_kind != OUT_SHARED || (fcntl(s->out, F_GETFL) & O_ACCMODE) == O_RDONLY) return;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", s->out);
    int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0) return;
    s->out = own;
    s->out_kind = OUT_OWN;
}

static ssize_t try_write(const struct vm_host_stream *s, const uint8_t *bytes, size_t n) {
    if (s->out_kind == OUT_SOCKET) return send(s->out, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s->out_kind == OUT_SHARED) {
        struct pollfd fd = {.fd = s->out, .events = POLLOUT};
        if (poll(&fd, 1, 0) == 0) return errno = EAGAIN, -1;
        if (n > CAREFUL_BYTES) n = CAREFUL_BYTES;
    }
    return write(s->out, bytes, n);
}

static void close_output(struct vm_host_stream *s) {
    vm_watch_free(s->out_watch);
    s->out_watch = NULL;
    if (s->out_kind == OUT_OWN) close(s->out);
    s->out_kind = OUT_NONE;
}

static void out_ready(void *context, uint32_t events) {
    struct vm_host_stream *s = context;
    (void)events;
    vm_watch_free(s->out_watch);
    s->out_watch = NULL;
    if (s->device.ops) s->device.ops->writable(s->device.device);
}

/* False when that cannot be waited for. */
static bool wait_for_room(struct vm_host_stream *s) {
    if (s->out_watch) return true;
    return !vm_loop_watch(s->config.loop, s->out, EPOLLOUT, out_ready, s, &s->out_watch);
}

static size_t stream_write(void *end, const uint8_t *bytes, size_t n) {
    struct vm_host_stream *s = end;
    size_t done = 0;
    while (done < n && s->out_kind != OUT_NONE) {
        ssize_t wrote = try_write(s, bytes + done, n - done);
        if (wrote > 0)
            done += (size_t)wrote;
        else if (wrote < 0 && errno == EINTR)
            continue;
        else if (wrote < 0 && errno == EAGAIN && wait_for_room(s))
            return done;
        else {
            bool gone = wrote < 0 && (errno == EPIPE || errno == ECONNRESET);
            s->out_error = gone ? 0 : wrote < 0 ? errno : ENOSPC;
            close_output(s);
        }
    }
    return n;
}

/* ---- input ---- */

static void end_input(struct vm_host_stream *s) {
    vm_watch_free(s->in_watch);
    s->in_watch = NULL;
    s->in_ended = true;
}

static void fill(struct vm_host_stream *s) {
    ssize_t n = read(s->config.in, s->input, sizeof s->input);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
        end_input(s);
        if (s->config.ended) s->config.ended(s->config.context);
        return;
    }
    s->input_from = 0;
    s->input_end = s->config.filter ? s->config.filter(s->config.context, s->input, (size_t)n) : (size_t)n;
}

/* Hands over what was read; true when the device took all. */
static bool hand_over(struct vm_host_stream *s) {
    size_t n = s->input_end - s->input_from;
    if (n) s->input_from += s->device.ops->receive(s->device.device, s->input + s->input_from, n);
    return s->input_from == s->input_end;
}

static void pump_file(void *context);

static void pump_again(struct vm_host_stream *s) {
    if (s->in_ended || s->pumping) return;
    s->pumping = !vm_loop_post(s->config.loop, pump_file, s);
}

static void pump_file(void *context) {
    struct vm_host_stream *s = context;
    s->pumping = false;
    if (s->input_from == s->input_end) fill(s);
    if (hand_over(s)) pump_again(s);
}

static void in_ready(void *context, uint32_t events) {
    struct vm_host_stream *s = context;
    (void)events;
    if (s->input_from == s->input_end) fill(s);
    if (!hand_over(s) && s->in_watch) {
        vm_watch_free(s->in_watch); /* not only masked: a hang-up is told always */
        s->in_watch = NULL;
    }
}

static void start_input(struct vm_host_stream *s) {
    if (s->in_ended || s->config.in < 0 || s->in_watch) return;
    int error =
        s->in_is_file ? 0 : vm_loop_watch(s->config.loop, s->config.in, EPOLLIN, in_ready, s, &s->in_watch);
    if (error == EPERM) s->in_is_file = true;
    if (s->in_is_file) pump_again(s);
}

/* The rest of what was refused goes first. */
static void input_wanted(void *end) {
    struct vm_host_stream *s = end;
    if (s->device.ops && hand_over(s)) start_input(s);
}

static const struct vm_stream_ops stream_ops = {stream_write, input_wanted, NULL};

/* ---- a stream ---- */

enum atoll_status vm_host_stream_new(const struct vm_host_stream_config *config, struct vm_host_stream **out,
                                     struct atoll_error *err) {
    struct vm_host_stream *s = atoll_new(config->alloc, 1, sizeof *s);
    if (!s) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    s->config = *config;
    open_output(s);
    *out = s;
    return ATOLL_OK;
}

void vm_host_stream_free(struct vm_host_stream *s) {
    if (!s) return;
    end_input(s);
    close_output(s);
    vm_loop_forget(s->config.loop, s);
    atoll_free(s->config.alloc, s, sizeof *s);
}

struct vm_stream_end vm_host_stream_end(struct vm_host_stream *s) {
    return (struct vm_stream_end){&stream_ops, s};
}

bool vm_host_stream_is_closed(const struct vm_host_stream *s) { return s->out_kind == OUT_NONE; }

int vm_host_stream_error(const struct vm_host_stream *s) { return s->out_error; }

void vm_host_stream_join_output(struct vm_host_stream *s, struct vm_stream_device device) {
    s->device = device;
}

void vm_host_stream_join(struct vm_host_stream *s, struct vm_stream_device device) {
    s->device = device;
    start_input(s);
}
