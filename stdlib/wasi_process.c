/* stdlib/wasi_process.c: arguments, environment, clocks, randomness, the program's end. */
#include "stdlib/wasi.h"

#include <errno.h>
#include <sched.h>
#include <sys/random.h>
#include <time.h>

/* Asks the door about a request without a file; 0 or a WASI errno. */
static uint32_t ask(const struct wasi_call *c, struct sb_request *request) {
    return wasi_errno(sb_ask(c->wasi->sandbox, request));
}
static uint32_t answer(const struct wasi_call *c, const struct sb_request *request, uint32_t result,
                       uint64_t value) {
    sb_answer(c->wasi->sandbox, request, result == WASI_EFAULT ? EFAULT : 0, value);
    return result;
}
static struct sb_request request_of(enum sb_kind kind, uint64_t number) {
    return (struct sb_request){.kind = kind, .numbers = {number, SB_ABSENT}};
}

/* ---- arguments and environment: an array of pointers, and the strings behind one another ---- */

static uint32_t put_strings(struct wasi_call *c, char *const *strings, uint32_t n) {
    uint32_t at = wasi_u32(c, 0), buffer = wasi_u32(c, 1);
    for (uint32_t i = 0; i < n; i++) {
        size_t size = strlen(strings[i]) + 1;
        if (!wasi_put_u32(c, at, buffer) || !wasi_put(c, buffer, strings[i], size)) return WASI_EFAULT;
        at += 4;
        buffer += (uint32_t)size;
    }
    return WASI_OK;
}

static uint32_t put_sizes(struct wasi_call *c, char *const *strings, uint32_t n) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) bytes += strlen(strings[i]) + 1;
    if (bytes > UINT32_MAX) return WASI_EOVERFLOW;
    return wasi_put_u32(c, wasi_u32(c, 0), n) && wasi_put_u32(c, wasi_u32(c, 1), (uint32_t)bytes)
               ? WASI_OK
               : WASI_EFAULT;
}

typedef uint32_t put_fn(struct wasi_call *c, char *const *strings, uint32_t n);
static uint32_t strings(struct wasi_call *c, enum sb_kind kind, put_fn *put, char *const *list, uint32_t n) {
    struct sb_request request = request_of(kind, SB_ABSENT);
    uint32_t error = ask(c, &request);
    return error ? error : answer(c, &request, put(c, list, n), n);
}

uint32_t wasi_fn_args_get(struct wasi_call *c) {
    return strings(c, SB_ARGS, put_strings, c->wasi->args, c->wasi->n_args);
}
uint32_t wasi_fn_args_sizes_get(struct wasi_call *c) {
    return strings(c, SB_ARGS, put_sizes, c->wasi->args, c->wasi->n_args);
}
uint32_t wasi_fn_environ_get(struct wasi_call *c) {
    return strings(c, SB_ENV, put_strings, c->wasi->env, c->wasi->n_env);
}
uint32_t wasi_fn_environ_sizes_get(struct wasi_call *c) {
    return strings(c, SB_ENV, put_sizes, c->wasi->env, c->wasi->n_env);
}

/* ---- clocks ---- */

typedef int clock_fn(clockid_t id, struct timespec *out);
static uint32_t read_clock(struct wasi_call *c, clock_fn *read, uint32_t out) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                       CLOCK_THREAD_CPUTIME_ID};
    uint32_t id = wasi_u32(c, 0);
    struct timespec t;
    if (id >= sizeof clocks / sizeof *clocks) return WASI_EINVAL;
    struct sb_request request = request_of(SB_CLOCK, id);
    uint32_t error = ask(c, &request);
    if (error) return error;
    if (read(clocks[id], &t)) return answer(c, &request, WASI_EINVAL, 0);
    uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return answer(c, &request, wasi_put_u64(c, out, ns) ? WASI_OK : WASI_EFAULT, ns);
}
uint32_t wasi_fn_clock_res_get(struct wasi_call *c) { return read_clock(c, clock_getres, wasi_u32(c, 1)); }
uint32_t wasi_fn_clock_time_get(struct wasi_call *c) { return read_clock(c, clock_gettime, wasi_u32(c, 2)); }

/* ---- the rest ---- */

uint32_t wasi_fn_random_get(struct wasi_call *c) {
    uint32_t at = wasi_u32(c, 0), n = wasi_u32(c, 1);
    uint8_t *p = wasi_at(c, at, n);
    if (!p) return WASI_EFAULT;
    struct sb_request request = request_of(SB_RANDOM, n);
    uint32_t error = ask(c, &request);
    for (uint32_t done = 0; !error && done < n;) {
        /* in pieces, so that a stop does not wait for gigabytes */
        size_t piece = n - done < (1u << 18) ? n - done : 1u << 18;
        ssize_t got = getrandom(p + done, piece, 0);
        if (got < 0 && errno != EINTR) return answer(c, &request, wasi_errno(errno), 0);
        if (got > 0) done += (uint32_t)got;
        if (wasi_stopped(c)) return WASI_EINTR;
    }
    return error ? error : answer(c, &request, WASI_OK, n);
}

uint32_t wasi_fn_sched_yield(struct wasi_call *c) {
    struct sb_request request = request_of(SB_YIELD, SB_ABSENT);
    uint32_t error = ask(c, &request);
    if (error) return error;
    sched_yield();
    return answer(c, &request, WASI_OK, 0);
}

static uint32_t leave(struct wasi_call *c, int status) {
    struct sb_request request = request_of(SB_EXIT, (uint64_t)(uint32_t)status);
    if (!ask(c, &request)) answer(c, &request, WASI_OK, 0);
    c->store->exit_code = status;
    c->trap = RT_TRAP_EXIT;
    return WASI_OK;
}

uint32_t wasi_fn_proc_exit(struct wasi_call *c) { return leave(c, (int)wasi_u32(c, 0)); }

/* A program has no handlers: signals whose default is to be ignored do nothing, all others end it as a shell
 * tells it. */
uint32_t wasi_fn_proc_raise(struct wasi_call *c) {
    enum { NONE = 0, CHLD = 16, CONT = 17, URG = 22, WINCH = 27, SYS = 30 };
    uint32_t signal = wasi_u32(c, 0);
    if (signal > SYS) return WASI_EINVAL;
    if (signal == NONE || signal == CHLD || signal == CONT || signal == URG || signal == WINCH)
        return WASI_OK;
    return leave(c, 128 + (int)signal);
}
