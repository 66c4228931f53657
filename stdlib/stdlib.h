/* stdlib/stdlib.h: what a program can import. The one header of this folder for the others.
 *
 * WASI preview1 ("wasi_snapshot_preview1") and its predecessor ("wasi_unstable"). The functions translate
 * between the program's memory and sandbox/, which decides and acts; nothing here opens, reads or writes on
 * its own. */
#ifndef ATOLL_STDLIB_H
#define ATOLL_STDLIB_H

#include "runtime/runtime.h"
#include "sandbox/sandbox.h"

/* ---- WASI ---- */

struct wasi;

struct wasi_config {
    const char *const *argv; /* what args_get gives; all below is copied */
    size_t n_argv;
    const char *const *env; /* "NAME=VALUE": the variables granted, none by default */
    size_t n_env;
    int stdio[3]; /* host descriptors for 0, 1, 2; -1 = the program has none. Borrowed: never closed */
    struct sb_file *streams[3]; /* in their place, where not NULL */
};

/* The state of one program: its descriptor table over the sandbox's grants (3, 4, ... in the order granted).
 * The sandbox and the store have to outlive it; store->wake and sb_set_stop are set, so that
 * rt_store_interrupt ends blocking calls.
 * fails   E_NOMEM, E_LIMIT (more descriptors than max_fds), E_IO (a stdio descriptor is not open) */
enum atoll_status wasi_new(struct rt_store *store, struct sandbox *sandbox, const struct wasi_config *config,
                           struct wasi **out, struct atoll_error *err);
/* Closes the program's descriptors. Not while the program runs. NULL is allowed. */
void wasi_free(struct wasi *wasi);

/* rt_resolver with the struct wasi * as context: knows the functions of both modules. A name it knows
 * imported with another type is found too, so that linking reports the type. */
bool wasi_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                  struct rt_extern *out);

/* Ends a blocking call when the store's interrupt flag is set; rt_store_interrupt does it by itself. Any
 * thread, any signal handler. */
void wasi_wake(struct wasi *wasi);

/* ---- threads: the wasi-threads proposal ("wasi" "thread-spawn") ---- */

struct wasi_threads;
#define WASI_THREADS_DEFAULT 128

/* Whether the module starts threads: it imports wasi.thread-spawn. */
bool wasi_threads_wanted(const struct rt_module *module);
/* Whether threads can have this in common: functions of the host but those of native libraries, which have to
 * be safe to call on any thread; constant numbers; shared memories. Everything else belongs to a store. */
bool wasi_thread_shares(const struct rt_extern *e);
/* What an instance got for an import of its module. */
struct rt_extern wasi_thread_import(const struct rt_instance *instance, const struct bc_import *import);

/* How a thread gets what it cannot have in common with the first. */
struct wasi_thread_linker {
    void *context;
    /* NULL when each thread can have one of its own for `found`, which the first has; else why not. */
    const char *(*refuses)(void *context, const struct bc_import *import, const struct rt_extern *found);
    /* First on a new thread: makes in its store what the program imports, where it does (`needed`).
     * *out_links is set also on failure, or NULL. */
    enum atoll_status (*open)(void *context, struct rt_store *store, bool needed, void **out_links,
                              struct atoll_error *err);
    rt_resolver *resolve; /* with *out_links as context */
    void (*close)(void *links);
};

/* The threads of a program: each is another instance of `module` in a store of its own, beside wasi's. Called
 * before the first instance is made. What a thread imports is what the first instance imports where that can
 * be shared, and comes from `linker` where it cannot. `resolve` gives the first instance's imports without
 * these threads; shared memories that it does not know are made here.
 * linker  NULL: programs that need one are refused
 * max     threads alive at once, the program's first not counted
 * fails   E_LINK (an import that threads cannot have, a missing wasi_thread_start), E_LIMIT, E_NOMEM */
enum atoll_status wasi_threads_new(struct wasi *wasi, struct rt_module *module, rt_resolver *resolve,
                                   void *context, const struct wasi_thread_linker *linker, uint32_t max,
                                   struct wasi_threads **out, struct atoll_error *err);
/* rt_resolver with the struct wasi_threads * as context: thread-spawn, and the memories made here. */
bool wasi_threads_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                          struct rt_extern *out);
/* The program is over: its first thread ended with `status` and *err, or could not start. Stops and joins all
 * threads. Returns how the program ended, which is how the first of its threads did that trapped, exited or
 * was the first: then *err is that thread's, and *out_store the store that knows the trap, the exit code and
 * the backtrace; it lives as long as `threads`. *out_tid is its number, 0 for the first. */
enum atoll_status wasi_threads_end(struct wasi_threads *threads, enum atoll_status status,
                                   struct atoll_error *err, struct rt_store **out_store, uint32_t *out_tid);
/* Behind wasi_threads_end; before wasi and the store go. NULL is allowed. */
void wasi_threads_free(struct wasi_threads *threads);

/* Listing of what can be imported, for `atoll features` and tests: i from 0; false behind the last.
 * *out_signature has parameters, a colon, results: i = i32, I = i64. */
bool wasi_import_at(size_t i, const char **out_module, const char **out_name, const char **out_signature);

/* ---- native libraries (docs/native.md) ---- */

struct native;

/* Grants a shared library: reads its prototypes, opens it, looks every function up.
 * module  the import module's name; NULL = as the file says
 * text    the prototypes file; not kept
 * Store and sandbox have to outlive it; instances that import from it must not run behind native_free.
 * fails   E_SYNTAX (line, column), E_LINK (no such library or function), E_DENIED, E_UNSUPPORTED, E_USAGE,
 * E_NOMEM */
enum atoll_status native_new(struct rt_store *store, struct sandbox *sandbox, const char *module,
                             const char *text, size_t size, struct native **out, struct atoll_error *err);
/* Closes the library. Handles still alive are the library's own business. NULL is allowed. */
void native_free(struct native *native);
/* The library that a function belongs to, or NULL. */
struct native *native_of(const struct rt_func *func);
/* Whether the file says that the library may be called by several threads at once ("threads;"). Each needs a
 * struct native of its own, since handles and callbacks belong to a store. */
bool native_threads(const struct native *native);
/* rt_resolver with the struct native * as context. */
bool native_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out);

#endif
