/* stdlib/wasi.c: the state of a WASI program and the table of its functions. */
#include "stdlib/wasi.h"

#include <errno.h>
#include <fcntl.h>

/* ---- the functions ---- */

enum { P1 = 1, BOTH = 3 };
static const struct row {
    const char *name, *parameters;
    uint32_t (*fn)(struct wasi_call *c);
    uint8_t modules;
} rows[] = {
#define FN(name, parameters, modules) {#name, parameters, wasi_fn_##name, modules},
#include "stdlib/wasi.def"
#undef FN
};
#define N_ROWS (sizeof rows / sizeof *rows)
static const char *const module_names[2] = {"wasi_snapshot_preview1", "wasi_unstable"};

static bool returns_errno(const struct row *row) { return row->fn != wasi_fn_proc_exit; }

static struct rt_memory *memory_of(struct rt_instance *caller) {
    return caller && caller->module->bc->n_memories ? caller->memories[0] : NULL;
}

/* What wasm calls: looks the memory up, runs the row, and turns a stop that arrived meanwhile into a trap. */
static enum rt_trap call_row(struct rt_store *store, struct rt_instance *caller, void *context,
                             union rt_slot *args_results) {
    const struct wasi_binding *b = context;
    const struct row *row = &rows[b->row];
    struct wasi_call c;
    c.wasi = b->wasi;
    c.store = store;
    c.memory = memory_of(caller);
    c.args = args_results;
    c.unstable = b->unstable;
    c.trap = RT_TRAP_NONE;
    c.n_held = 0;
    if (!c.memory) return rt_store_trap_text(store, "%s called by a module without a memory", row->name);
    uint32_t result = row->fn(&c);
    while (c.n_held) sb_file_unref(c.held[--c.n_held].file);
    if (c.trap) return c.trap;
    if (wasi_stopped(&c))
        return atomic_load(&store->interrupt) == RT_INTERRUPT_TIMEOUT ? RT_TRAP_TIMEOUT : RT_TRAP_INTERRUPTED;
    if (returns_errno(row)) args_results[0].u64 = result;
    return RT_TRAP_NONE;
}

static enum atoll_status bind(struct wasi_binding *b) {
    struct rt_valtype params[16] = {{0}}, result = {.kind = BC_KIND_I32};
    const struct row *row = &rows[b->row];
    uint32_t n = 0;
    for (const char *p = row->parameters; *p; p++) params[n++].kind = *p == 'I' ? BC_KIND_I64 : BC_KIND_I32;
    struct rt_store *store = b->wasi->store;
    const struct rt_type *type = rt_func_type(store->engine, params, n, &result, returns_errno(row));
    if (!type) return ATOLL_E_NOMEM;
    return rt_host_func_new(store, type, call_row, b, row->name, &b->func);
}

static bool name_is(struct bc_name name, const char *text) {
    return name.size == strlen(text) && !memcmp(name.bytes, text, name.size);
}

bool wasi_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                  struct rt_extern *out) {
    struct wasi *w = context;
    (void)module;
    if (import->kind != BC_EXTERN_FUNC) return false;
    for (unsigned m = 0; m < 2; m++) {
        if (!name_is(import->module, module_names[m])) continue;
        for (unsigned i = 0; i < N_ROWS; i++) {
            if (!(rows[i].modules >> m & 1) || !name_is(import->name, rows[i].name)) continue;
            struct wasi_binding *b = &w->bindings[m * N_ROWS + i];
            if (!b->func && bind(b)) return false;
            *out = (struct rt_extern){.kind = BC_EXTERN_FUNC, .func = b->func};
            return true;
        }
    }
    return false;
}

static const char *signature_of(unsigned row) {
    static const char *const signatures[] = {
#define FN(name, parameters, modules) parameters ":i",
#include "stdlib/wasi.def"
#undef FN
    };
    return strcmp(rows[row].name, "proc_exit") ? signatures[row] : "i:";
}

bool wasi_import_at(size_t i, const char **out_module, const char **out_name, const char **out_signature) {
    for (unsigned m = 0; m < 2; m++) {
        for (unsigned r = 0; r < N_ROWS; r++) {
            if (!(rows[r].modules >> m & 1) || i--) continue;
            *out_module = module_names[m];
            *out_name = rows[r].name;
            *out_signature = signature_of(r);
            return true;
        }
    }
    *out_module = "wasi";
    *out_name = "thread-spawn";
    *out_signature = "i:i";
    return !i;
}

/* ---- errors ---- */

uint32_t wasi_errno(int host_errno) {
    /* clang-format off */
    static const uint8_t map[] = {
        [E2BIG] = 1, [EACCES] = 2, [EADDRINUSE] = 3, [EADDRNOTAVAIL] = 4, [EAFNOSUPPORT] = 5, [EAGAIN] = 6,
        [EALREADY] = 7, [EBADF] = 8, [EBADMSG] = 9, [EBUSY] = 10, [ECANCELED] = 11, [ECHILD] = 12,
        [ECONNABORTED] = 13, [ECONNREFUSED] = 14, [ECONNRESET] = 15, [EDEADLK] = 16, [EDESTADDRREQ] = 17,
        [EDOM] = 18, [EDQUOT] = 19, [EEXIST] = 20, [EFAULT] = 21, [EFBIG] = 22, [EHOSTUNREACH] = 23, [EIDRM] = 24,
        [EILSEQ] = 25, [EINPROGRESS] = 26, [EINTR] = 27, [EINVAL] = 28, [EIO] = 29, [EISCONN] = 30, [EISDIR] = 31,
        [ELOOP] = 32, [EMFILE] = 33, [EMLINK] = 34, [EMSGSIZE] = 35, [EMULTIHOP] = 36, [ENAMETOOLONG] = 37,
        [ENETDOWN] = 38, [ENETRESET] = 39, [ENETUNREACH] = 40, [ENFILE] = 41, [ENOBUFS] = 42, [ENODEV] = 43,
        [ENOENT] = 44, [ENOEXEC] = 45, [ENOLCK] = 46, [ENOLINK] = 47, [ENOMEM] = 48, [ENOMSG] = 49,
        [ENOPROTOOPT] = 50, [ENOSPC] = 51, [ENOSYS] = 52, [ENOTCONN] = 53, [ENOTDIR] = 54, [ENOTEMPTY] = 55,
        [ENOTRECOVERABLE] = 56, [ENOTSOCK] = 57, [EOPNOTSUPP] = 58, [ENOTTY] = 59, [ENXIO] = 60, [EOVERFLOW] = 61,
        [EOWNERDEAD] = 62, [EPERM] = 63, [EPIPE] = 64, [EPROTO] = 65, [EPROTONOSUPPORT] = 66, [EPROTOTYPE] = 67,
        [ERANGE] = 68, [EROFS] = 69, [ESPIPE] = 70, [ESRCH] = 71, [ESTALE] = 72, [ETIMEDOUT] = 73, [ETXTBSY] = 74,
        [EXDEV] = 75,
    };
    /* clang-format on */
    if (!host_errno) return 0;
    uint32_t code = (unsigned)host_errno < sizeof map ? map[host_errno] : 0;
    return code ? code : 29; /* EIO */
}

uint8_t wasi_filetype(enum sb_type type) {
    static const uint8_t map[] = {
        [SB_TYPE_UNKNOWN] = 0, [SB_TYPE_REGULAR] = 4,       [SB_TYPE_DIRECTORY] = 3,
        [SB_TYPE_SYMLINK] = 7, [SB_TYPE_CHARACTER] = 2,     [SB_TYPE_BLOCK] = 1,
        [SB_TYPE_FIFO] = 0,    [SB_TYPE_SOCKET_STREAM] = 6, [SB_TYPE_SOCKET_DATAGRAM] = 5};
    return map[type];
}

/* ---- life ---- */

static void free_strings(const struct atoll_alloc *alloc, char **strings, uint32_t n) {
    for (uint32_t i = 0; strings && i < n; i++)
        if (strings[i]) atoll_free(alloc, strings[i], strlen(strings[i]) + 1);
    atoll_free(alloc, strings, n * sizeof *strings);
}

static char **copy_strings(const struct atoll_alloc *alloc, const char *const *strings, uint32_t n) {
    char **copy = atoll_new(alloc, n, sizeof *copy);
    for (uint32_t i = 0; copy && i < n; i++) {
        size_t size = strlen(strings[i]) + 1;
        copy[i] = atoll_new(alloc, size, 1);
        if (!copy[i]) {
            free_strings(alloc, copy, n);
            return NULL;
        }
        memcpy(copy[i], strings[i], size);
    }
    return copy;
}

void wasi_wake_store(struct rt_store *store) {
    struct wasi *w = store->host_data;
    if (w->stop == &w->ending) atomic_store(&w->ending, 1);
    sb_wake(w->sandbox);
}
void wasi_wake(struct wasi *wasi) { sb_wake(wasi->sandbox); }

/* A terminal cannot seek; programs tell a terminal by that. */
static uint64_t stream_rights(const struct sb_file *file) {
    uint64_t rights = WASI_RIGHTS_FILE;
    unsigned flags = sb_file_flags(file);
    if (sb_file_type(file) != SB_TYPE_REGULAR) rights &= ~(RIGHT(FD_SEEK) | RIGHT(FD_TELL));
    if (!(flags & SB_OPEN_READ)) rights &= ~RIGHT(FD_READ);
    if (!(flags & SB_OPEN_WRITE))
        rights &= ~(RIGHT(FD_WRITE) | RIGHT(FD_ALLOCATE) | RIGHT(FD_FILESTAT_SET_SIZE));
    return rights;
}

static enum atoll_status fail_nomem(struct atoll_error *err) {
    return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

/* The program's 0, 1 or 2. Without a file the number is kept, so that a later file does not become the
 * program's stdout. Takes the reference over. */
static enum atoll_status add_file(struct wasi *w, struct sb_file *file, struct atoll_error *err) {
    struct wasi_fd entry = {.file = file, .base = file ? stream_rights(file) : 0};
    if (wasi_fd_append(w, entry)) return ATOLL_OK;
    if (file) sb_file_unref(file);
    return fail_nomem(err);
}

static enum atoll_status add_stream(struct wasi *w, int number, const struct wasi_config *config,
                                    struct atoll_error *err) {
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    struct sb_file *file = config->streams[number];
    int fd = config->stdio[number];
    if (file) sb_file_ref(file);
    if (file || fd < 0) return add_file(w, file, err);
    int status = fcntl(fd, F_GETFL);
    unsigned flags = number ? SB_OPEN_WRITE : SB_OPEN_READ;
    if (status >= 0 && (status & O_ACCMODE) == O_RDWR) flags = SB_OPEN_READ | SB_OPEN_WRITE;
    if (status >= 0 && status & O_APPEND) flags |= SB_OPEN_APPEND;
    if (status >= 0 && status & O_NONBLOCK) flags |= SB_OPEN_NONBLOCK;
    int error = sb_file_adopt(w->sandbox, fd, names[number], flags, false, &file);
    if (error == EMFILE)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "more descriptors than the limit allows");
    if (error == ENOMEM) return fail_nomem(err);
    return add_file(w, error ? NULL : file, err); /* closed by our caller's caller: the program has none */
}

static enum atoll_status add_grants(struct wasi *w, struct atoll_error *err) {
    for (size_t i = 0; i < sb_grant_count(w->sandbox); i++) {
        const struct sb_grant *g = sb_grant_at(w->sandbox, i);
        bool directory = sb_file_type(g->file) == SB_TYPE_DIRECTORY;
        struct wasi_fd entry = {.file = g->file,
                                .base = directory ? WASI_RIGHTS_DIRECTORY : WASI_RIGHTS_SOCKET,
                                .inheriting =
                                    directory ? WASI_RIGHTS_DIRECTORY | WASI_RIGHTS_FILE : WASI_RIGHTS_SOCKET,
                                .preopen = directory ? g->guest : NULL};
        if (!wasi_fd_append(w, entry)) return fail_nomem(err);
        sb_file_ref(g->file);
    }
    return ATOLL_OK;
}

enum atoll_status wasi_new(struct rt_store *store, struct sandbox *sandbox, const struct wasi_config *config,
                           struct wasi **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = store->engine->alloc;
    struct wasi *w = atoll_new(alloc, 1, sizeof *w);
    if (!w) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *w = (struct wasi){.alloc = alloc, .store = store, .sandbox = sandbox, .stop = &store->interrupt};
    pthread_mutex_init(&w->lock, NULL);
    w->n_args = (uint32_t)config->n_argv;
    w->n_env = (uint32_t)config->n_env;
    w->args = copy_strings(alloc, config->argv, w->n_args);
    w->env = copy_strings(alloc, config->env, w->n_env);
    w->bindings = atoll_new(alloc, 2 * N_ROWS, sizeof *w->bindings);
    enum atoll_status status = ATOLL_OK;
    if (!w->args || !w->env || !w->bindings)
        status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    for (unsigned i = 0; !status && i < 2 * N_ROWS; i++)
        w->bindings[i] =
            (struct wasi_binding){.wasi = w, .row = (uint8_t)(i % N_ROWS), .unstable = i >= N_ROWS};
    for (int i = 0; !status && i < 3; i++) status = add_stream(w, i, config, err);
    if (!status) status = add_grants(w, err);
    if (status) {
        wasi_free(w);
        return status;
    }
    store->host_data = w;
    atomic_store(&store->wake, wasi_wake_store);
    sb_set_stop(sandbox, &store->interrupt);
    *out = w;
    return ATOLL_OK;
}

void wasi_free(struct wasi *w) {
    if (!w) return;
    if (w->store->host_data == w) {
        atomic_store(&w->store->wake, NULL);
        w->store->host_data = NULL;
        sb_set_stop(w->sandbox, NULL);
    }
    wasi_fds_free(w);
    pthread_mutex_destroy(&w->lock);
    free_strings(w->alloc, w->args, w->n_args);
    free_strings(w->alloc, w->env, w->n_env);
    atoll_free(w->alloc, w->bindings, 2 * N_ROWS * sizeof *w->bindings);
    atoll_free(w->alloc, w, sizeof *w);
}
