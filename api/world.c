/* api/world.c: a program's world: WASI, native libraries and the sandbox they stand behind. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "api/internal.h"
#include "stdlib/stdlib.h"

struct strings {
    char **items;
    size_t n, capacity;
};

struct stream { /* 0, 1 or 2: a descriptor, or a callback where there is one */
    int fd;
    bool own_fd;
    sb_stream *callback;
    void *context;
    /* bytes to read, or kept from writes: behind `callback` and with the stream as its context */
    const struct atoll_alloc *alloc;
    char *bytes; /* owned */
    size_t size, capacity, at, max;
    struct sb_file *file;
};

struct library {
    struct library *next;
    char *module, *text;
    size_t size;
    struct native *native; /* once instantiated */
};

struct atoll_wasi_t {
    struct atoll_wasi_t *next; /* of the store */
    const struct atoll_alloc *alloc;
    struct sandbox *sandbox;
    struct strings args, env;
    struct stream streams[3];
    struct library *libraries;
    struct wasi *wasi; /* once instantiated */
};

/* ---- life ---- */

atoll_wasi_t *atoll_wasi_new(wasm_engine_t *engine, const struct atoll_wasi_config *config) {
    const struct atoll_alloc *alloc = engine->rt->alloc;
    struct sb_config sandbox = {.alloc = alloc};
    if (config) {
        sandbox.max_fds = config->max_fds;
        sandbox.max_output_bytes = config->max_output_bytes;
        sandbox.trace = config->trace;
        sandbox.trace_context = config->trace_context;
    }
    atoll_wasi_t *w = api_new(alloc, 1, sizeof *w);
    if (!w || sb_new(&sandbox, &w->sandbox, NULL)) {
        api_free(w);
        return NULL;
    }
    w->alloc = alloc;
    for (int i = 0; i < 3; i++) w->streams[i] = (struct stream){.fd = -1, .alloc = alloc};
    return w;
}

static void free_strings(struct strings *s) {
    for (size_t i = 0; i < s->n; i++) api_free(s->items[i]);
    api_free(s->items);
}

/* Back to a closed one. */
static void reset_stream(struct stream *s) {
    if (s->file) sb_file_unref(s->file);
    if (s->own_fd) close(s->fd);
    atoll_free(s->alloc, s->bytes, s->capacity);
    *s = (struct stream){.fd = -1, .alloc = s->alloc};
}

void atoll_wasi_delete(atoll_wasi_t *w) {
    if (!w) return;
    for (struct library *l = w->libraries, *next; l; l = next) {
        next = l->next;
        native_free(l->native);
        api_free(l->module);
        api_free(l->text);
        api_free(l);
    }
    wasi_free(w->wasi);
    for (int i = 0; i < 3; i++) reset_stream(&w->streams[i]);
    sb_free(w->sandbox);
    free_strings(&w->args);
    free_strings(&w->env);
    api_free(w);
}

void api_worlds_free(wasm_store_t *store) {
    for (atoll_wasi_t *w = store->worlds, *next; w; w = next) {
        next = w->next;
        atoll_wasi_delete(w);
    }
}

/* ---- arguments, variables, grants ---- */

static bool add_string(const struct atoll_alloc *alloc, struct strings *s, const char *text) {
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 8;
        char **items = api_new(alloc, capacity, sizeof *items);
        if (!items) return false;
        if (s->n) memcpy(items, s->items, s->n * sizeof *items);
        api_free(s->items);
        s->items = items;
        s->capacity = capacity;
    }
    s->items[s->n] = api_strdup(alloc, text);
    return s->items[s->n] && ++s->n;
}
bool atoll_wasi_arg(atoll_wasi_t *w, const char *arg) { return add_string(w->alloc, &w->args, arg); }
bool atoll_wasi_env(atoll_wasi_t *w, const char *name_and_value) {
    return strchr(name_and_value, '=') && add_string(w->alloc, &w->env, name_and_value);
}

bool atoll_wasi_dir(atoll_wasi_t *w, const char *grant, struct atoll_error *error) {
    return !sb_grant_dir_text(w->sandbox, grant, error);
}
bool atoll_wasi_listen(atoll_wasi_t *w, const char *address, struct atoll_error *error) {
    return !sb_grant_listen(w->sandbox, address, error);
}
bool atoll_wasi_listen_fd(atoll_wasi_t *w, int fd, const char *name, struct atoll_error *error) {
    return !sb_grant_listen_fd(w->sandbox, fd, name, error);
}

bool atoll_wasi_native(atoll_wasi_t *w, const char *module, const char *text, size_t size) {
    struct library *l = api_new(w->alloc, 1, sizeof *l);
    if (!l) return false;
    *l = (struct library){.module = module ? api_strdup(w->alloc, module) : NULL,
                          .text = api_new(w->alloc, size, 1),
                          .size = size};
    if (!l->text || (module && !l->module)) {
        api_free(l->text);
        api_free(l->module);
        api_free(l);
        return false;
    }
    memcpy(l->text, text, size);
    struct library **last = &w->libraries;
    while (*last) last = &(*last)->next;
    *last = l;
    return true;
}

/* ---- standard streams ---- */

static struct stream *fresh_stream(atoll_wasi_t *w, int stream) {
    if (stream < 0 || stream > 2) return NULL;
    reset_stream(&w->streams[stream]);
    return &w->streams[stream];
}

bool atoll_wasi_stdio_fd(atoll_wasi_t *w, int stream, int fd) {
    struct stream *s = fcntl(fd, F_GETFD) < 0 ? NULL : fresh_stream(w, stream);
    if (s) s->fd = fd;
    return s != NULL;
}
/* A host without one of them gives its program none. */
void atoll_wasi_inherit_stdio(atoll_wasi_t *w) {
    for (int i = 0; i < 3; i++)
        if (!atoll_wasi_stdio_fd(w, i, i)) fresh_stream(w, i);
}

bool atoll_wasi_stdio_file(atoll_wasi_t *w, int stream, const char *path, struct atoll_error *error) {
    struct stream *s = fresh_stream(w, stream);
    if (!s) {
        atoll_fail(error, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "there is no standard stream %d", stream);
        return false;
    }
    int fd = open(path, (stream ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY) | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0) {
        int system_errno = errno;
        atoll_fail(error, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s: %s", path, strerror(system_errno));
        if (error) error->system_errno = system_errno;
        return false;
    }
    s->fd = fd;
    s->own_fd = true;
    return true;
}

bool atoll_wasi_stdio_callback(atoll_wasi_t *w, int stream, atoll_stream_callback_t *callback,
                               void *context) {
    struct stream *s = fresh_stream(w, stream);
    if (!s) return false;
    s->callback = callback;
    s->context = context;
    return true;
}

static int64_t read_nothing(void *context, void *bytes, size_t size) {
    (void)context, (void)bytes, (void)size;
    return 0;
}
static int64_t write_nowhere(void *context, void *bytes, size_t size) {
    (void)context, (void)bytes;
    return (int64_t)size;
}
bool atoll_wasi_stdio_null(atoll_wasi_t *w, int stream) {
    return atoll_wasi_stdio_callback(w, stream, stream ? write_nowhere : read_nothing, NULL);
}

static int64_t read_kept(void *context, void *bytes, size_t size) {
    struct stream *s = context;
    size_t n = s->size - s->at < size ? s->size - s->at : size;
    if (n) memcpy(bytes, s->bytes + s->at, n);
    s->at += n;
    return (int64_t)n;
}
static int64_t write_kept(void *context, void *bytes, size_t size) {
    struct stream *s = context;
    void *p = s->bytes;
    size_t n = s->max - s->size < size ? s->max - s->size : size;
    if (!n) return -ENOSPC;
    if (atoll_grow(s->alloc, &p, &s->capacity, s->size + n, 1)) return -ENOMEM;
    s->bytes = p;
    memcpy(s->bytes + s->size, bytes, n);
    s->size += n;
    return (int64_t)n;
}

bool atoll_wasi_stdin_bytes(atoll_wasi_t *w, const void *bytes, size_t size) {
    struct stream *s = fresh_stream(w, 0);
    void *p = NULL;
    if (size && atoll_grow(s->alloc, &p, &s->capacity, size, 1)) return false;
    s->bytes = p;
    if (size) memcpy(s->bytes, bytes, size);
    s->size = size;
    s->callback = read_kept;
    s->context = s;
    return true;
}
bool atoll_wasi_stdout_bytes(atoll_wasi_t *w, int stream, size_t max_bytes) {
    struct stream *s = stream == 0 ? NULL : fresh_stream(w, stream);
    if (!s) return false;
    s->max = max_bytes;
    s->callback = write_kept;
    s->context = s;
    return true;
}
bool atoll_wasi_output(const atoll_wasi_t *w, int stream, wasm_byte_vec_t *out) {
    wasm_byte_vec_new_empty(out);
    if (stream < 1 || stream > 2 || w->streams[stream].callback != write_kept) return false;
    return api_bytes(w->alloc, out, w->streams[stream].size, w->streams[stream].bytes);
}

/* ---- instantiation ---- */

static enum atoll_status open_streams(atoll_wasi_t *w, struct wasi_config *config, struct atoll_error *err) {
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    for (int i = 0; i < 3; i++) {
        struct stream *s = &w->streams[i];
        config->stdio[i] = s->fd;
        if (!s->callback) continue;
        int error = sb_file_stream(w->sandbox, names[i], i ? SB_OPEN_WRITE : SB_OPEN_READ, s->callback,
                                   s->context, &s->file);
        if (error == EMFILE)
            return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "more descriptors than the limit allows");
        if (error == ENOMEM) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
        if (error) return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s: %s", names[i], strerror(error));
        config->streams[i] = s->file;
    }
    return ATOLL_OK;
}

static enum atoll_status open_world(atoll_wasi_t *w, struct rt_store *rt, struct atoll_error *err) {
    struct wasi_config config = {.argv = (const char *const *)w->args.items,
                                 .n_argv = w->args.n,
                                 .env = (const char *const *)w->env.items,
                                 .n_env = w->env.n};
    enum atoll_status status = open_streams(w, &config, err);
    if (!status) status = wasi_new(rt, w->sandbox, &config, &w->wasi, err);
    for (struct library *l = w->libraries; l && !status; l = l->next)
        status = native_new(rt, w->sandbox, l->module, l->text, l->size, &l->native, err);
    return status;
}

struct resolver {
    struct api_imports given;
    atoll_wasi_t *world;
};
static bool resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out) {
    struct resolver *r = context;
    if (api_import_by_position(&r->given, module, import, out)) return true;
    if (wasi_resolve(r->world->wasi, module, import, out)) return true;
    for (struct library *l = r->world->libraries; l; l = l->next)
        if (native_resolve(l->native, module, import, out)) return true;
    return false;
}

wasm_instance_t *atoll_wasi_instantiate(wasm_store_t *store, const wasm_module_t *module, atoll_wasi_t *w,
                                        const wasm_extern_vec_t *imports, wasm_trap_t **trap) {
    struct atoll_error err = {0};
    struct resolver resolver = {{store, imports}, w};
    if (trap) *trap = NULL;
    w->next = store->worlds;
    store->worlds = w;
    enum atoll_status status = open_world(w, store->rt, &err);
    if (!status) return api_instantiate(store, module, resolve, &resolver, trap);
    api_trap_give(api_trap(store, status, &err), trap);
    return NULL;
}
