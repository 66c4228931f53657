/* cli/link.h: what the imports of `atoll run` find: exports of --preload, functions of --native, WASI.
 *
 *   struct link_files   what the flags name, read once
 *   struct links        what that became in one store: instances, libraries. The first thread of a program has
 *                       one; another has one of its own where the program imports what belongs to a store */
#ifndef ATOLL_CLI_LINK_H
#define ATOLL_CLI_LINK_H

#include "cli/run.h"
#include "stdlib/stdlib.h"

struct link_preload {
    const char *name, *path; /* borrowed; the name ends before its '=' */
    size_t name_size;
    struct cli_file file;
    struct rt_module *module; /* referenced; NULL: not loaded yet */
};
struct link_native {
    const char *path;
    char *name; /* owned; NULL: what the file says */
    struct cli_file file;
};
struct link_files {
    struct link_preload *preloads;
    struct link_native *natives;
    size_t n_preloads, n_natives;
    bool trap_unknown; /* functions that nobody has trap when they are called */
    bool coredumps;    /* threads' stores are watched for core dumps */
    struct gdb *gdb;   /* threads' stores are watched for a debugger; or NULL */
    struct wasi *wasi;
    struct sandbox *sandbox;
};

struct links {
    struct link_files *files;
    struct rt_store *store;
    struct links *first;            /* NULL: this is the first thread's */
    struct wasi_threads *threads;   /* of the first; NULL: the program starts none */
    struct rt_instance **instances; /* by preload; NULL: not made */
    struct native **natives;
    struct coredump *coredump;   /* of a thread, or NULL */
    struct gdb_thread *debugged; /* the same */
    /* Called once all is found, before anything of a program runs. */
    void (*starts)(void *context);
    void *starts_context;
};

/* Takes the flags' texts: NAME=FILE, [NAME=]FILE; they have to outlive *files. fails E_NOMEM */
enum atoll_status link_files_init(struct link_files *files, const char *const *preloads, size_t n_preloads,
                                  const char *const *natives, size_t n_natives, struct atoll_error *err);
void link_files_fini(struct link_files *files);

/* Opens the libraries and starts the preloads in links->store, which `links` has to name beside files and
 * `starts`. *blame becomes the file at hand. fails as native_new, cli_program_read, rt_instantiate, rt_call */
enum atoll_status links_open(struct links *links, const char **blame, struct atoll_error *err);
/* Before the store goes. What was never opened may be closed. */
void links_close(struct links *links);

/* rt_resolver with the struct links * as context. */
bool links_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                   struct rt_extern *out);
/* Checks, instantiates and initializes a module (`_initialize`). */
enum atoll_status links_start(struct links *links, struct rt_module *module, struct rt_instance **out,
                              struct atoll_error *err);
/* How threads get links of their own: links is the first thread's. */
struct wasi_thread_linker links_for_threads(struct links *links);

#endif
