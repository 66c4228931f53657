/* cli/link.c: what a program's imports find (link.h). */
#include <stdlib.h>
#include <string.h>
#include "cli/saved.h"
#include "cli/link.h"

/* ---- files ---- */

static enum atoll_status no_memory(struct atoll_error *err) {
    return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

enum atoll_status link_files_init(struct link_files *files, const char *const *preloads, size_t n_preloads,
                                  const char *const *natives, size_t n_natives, struct atoll_error *err) {
    files->preloads = atoll_new(&atoll_default_alloc, n_preloads, sizeof *files->preloads);
    files->natives = atoll_new(&atoll_default_alloc, n_natives, sizeof *files->natives);
    if (files->preloads) files->n_preloads = n_preloads;
    if (files->natives) files->n_natives = n_natives;
    if (!files->preloads || !files->natives) return no_memory(err);
    for (size_t i = 0; i < n_preloads; i++) {
        const char *equals = strchr(preloads[i], '=');
        files->preloads[i] = (struct link_preload){
            .name = preloads[i], .name_size = (size_t)(equals - preloads[i]), .path = equals + 1};
    }
    for (size_t i = 0; i < n_natives; i++) {
        const char *equals = strchr(natives[i], '=');
        files->natives[i].path = equals ? equals + 1 : natives[i];
        if (equals && !(files->natives[i].name = strndup(natives[i], (size_t)(equals - natives[i]))))
            return no_memory(err);
    }
    return ATOLL_OK;
}

void link_files_fini(struct link_files *files) {
    for (size_t i = 0; i < files->n_preloads; i++) {
        rt_module_unref(files->preloads[i].module);
        cli_file_close(&files->preloads[i].file);
    }
    for (size_t i = 0; i < files->n_natives; i++) {
        free(files->natives[i].name);
        cli_file_close(&files->natives[i].file);
    }
    atoll_free(&atoll_default_alloc, files->preloads, files->n_preloads * sizeof *files->preloads);
    atoll_free(&atoll_default_alloc, files->natives, files->n_natives * sizeof *files->natives);
    *files = (struct link_files){0};
}

/* ---- names ---- */

static size_t preload_named(const struct link_files *files, struct bc_name name) {
    size_t i = 0;
    while (i < files->n_preloads && (files->preloads[i].name_size != name.size ||
                                     memcmp(files->preloads[i].name, name.bytes, name.size) != 0))
        i++;
    return i;
}

/* NULL: there is none, or not yet. */
static struct rt_instance *instance_named(const struct links *links, struct bc_name name) {
    size_t i = preload_named(links->files, name);
    return i < links->files->n_preloads && links->instances ? links->instances[i] : NULL;
}

static enum rt_trap unknown_import(struct rt_store *store, struct rt_instance *caller, void *context,
                                   union rt_slot *args_results) {
    (void)store, (void)caller, (void)context, (void)args_results;
    return RT_TRAP_UNKNOWN_IMPORT;
}

bool links_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                   struct rt_extern *out) {
    struct links *l = context;
    struct rt_instance *instance = instance_named(l, import->module);
    if (instance) return rt_instance_export(instance, import->name.bytes, import->name.size, out);
    if (wasi_resolve(l->files->wasi, module, import, out)) return true;
    if (l->threads && wasi_threads_resolve(l->threads, module, import, out)) return true;
    for (size_t i = 0; l->natives && i < l->files->n_natives; i++)
        if (native_resolve(l->natives[i], module, import, out)) return true;
    if (!l->files->trap_unknown || import->kind != BC_EXTERN_FUNC) return false;
    const struct rt_type *type = module->types[module->bc->funcs[import->index].type];
    out->kind = BC_EXTERN_FUNC;
    return rt_host_func_new(l->store, type, unknown_import, NULL, "unknown import", &out->func) == ATOLL_OK;
}

/* ---- starting ---- */

static enum atoll_status initialize(struct links *l, struct rt_instance *instance, struct atoll_error *err) {
    struct rt_extern found;
    if (!rt_instance_export(instance, "_initialize", 11, &found) || found.kind != BC_EXTERN_FUNC ||
        found.func->type->n_params || found.func->type->n_results)
        return ATOLL_OK;
    return rt_call(l->store, found.func, (union rt_slot[1]){{0}}, err);
}

enum atoll_status links_start(struct links *l, struct rt_module *module, struct rt_instance **out,
                              struct atoll_error *err) {
    enum atoll_status status = rt_link_check(module, links_resolve, l, err);
    if (!status && l->starts) l->starts(l->starts_context);
    if (!status) status = rt_instantiate(l->store, module, links_resolve, l, out, err);
    return status ? status : initialize(l, *out, err);
}

static enum atoll_status start_preload(struct links *l, size_t i, struct atoll_error *err) {
    struct link_preload *p = &l->files->preloads[i];
    struct rt_instance *instance;
    enum atoll_status status = cli_program_read(p->path, &p->file, err);
    struct saved program = {.program = p->file.bytes, .program_bytes = p->file.size};
    if (!status) saved_parse(p->file.bytes, p->file.size, -1, &program);
    if (!status)
        status = rt_module_load(l->store->engine, program.program, program.program_bytes, true, p->path,
                                &p->module, err);
    if (!status) status = links_start(l, p->module, &instance, err);
    if (!status) l->instances[i] = instance;
    return status;
}

static enum atoll_status open_native(struct links *l, size_t i, struct atoll_error *err) {
    struct link_native *n = &l->files->natives[i];
    enum atoll_status status = ATOLL_OK;
    if (!l->first) status = cli_file_read(n->path, 1 << 20, NULL, &n->file, err);
    if (!status)
        status = native_new(l->store, l->files->sandbox, n->name, (const char *)n->file.bytes, n->file.size,
                            &l->natives[i], err);
    if (status) err->line = 0; /* the text begins with the place */
    return status;
}

static enum atoll_status make_room(struct links *l, struct atoll_error *err) {
    l->instances = atoll_new(&atoll_default_alloc, l->files->n_preloads, sizeof(struct rt_instance *));
    l->natives = atoll_new(&atoll_default_alloc, l->files->n_natives, sizeof(struct native *));
    return l->instances && l->natives ? ATOLL_OK : no_memory(err);
}

enum atoll_status links_open(struct links *l, const char **blame, struct atoll_error *err) {
    enum atoll_status status = make_room(l, err);
    for (size_t i = 0; !status && i < l->files->n_natives; i++) {
        *blame = l->files->natives[i].path;
        status = open_native(l, i, err);
    }
    for (size_t i = 0; !status && i < l->files->n_preloads; i++) {
        *blame = l->files->preloads[i].path;
        status = start_preload(l, i, err);
    }
    return status;
}

void links_close(struct links *l) {
    const struct link_files *files = l->files;
    if (!files) return;
    for (size_t i = 0; l->natives && i < files->n_natives; i++) native_free(l->natives[i]);
    atoll_free(&atoll_default_alloc, l->natives, files->n_natives * sizeof(struct native *));
    atoll_free(&atoll_default_alloc, l->instances, files->n_preloads * sizeof(struct rt_instance *));
    gdb_thread_end(l->debugged);
    coredump_free(l->coredump);
    l->natives = NULL;
    l->instances = NULL;
    l->coredump = NULL;
    l->debugged = NULL;
}

/* ---- threads ----
 *
 * A thread's links hold instances of the same preloads and the same libraries, opened for its store. They
 * share what wasi_thread_shares says, which comes from the first thread's. A preload that makes a shared
 * memory is not made again: nobody else would see the new one. */

static bool makes_shared_memory(const struct rt_module *module) {
    const struct bc_module *bc = module->bc;
    for (uint32_t i = bc->n_imported_memories; i < bc->n_memories; i++)
        if (bc->memories[i].limits.shared) return true;
    return false;
}

/* What the instance of a preload got for an import when it was made. */
static bool first_import(const struct links *first, const struct rt_module *module,
                         const struct bc_import *import, struct rt_extern *out) {
    for (size_t i = 0; i < first->files->n_preloads; i++)
        if (first->files->preloads[i].module == module && first->instances[i])
            return *out = wasi_thread_import(first->instances[i], import), true;
    return false;
}

static const char *refuses_import(const struct links *first, const struct bc_import *import,
                                  const struct rt_extern *found) {
    if (wasi_thread_shares(found)) return NULL;
    if (found->kind == BC_EXTERN_FUNC && native_of(found->func))
        return native_threads(native_of(found->func)) ? NULL : "its library serves one thread";
    size_t i = preload_named(first->files, import->module);
    if (i < first->files->n_preloads && makes_shared_memory(first->files->preloads[i].module))
        return "its module makes a shared memory, which threads would not have in common; let it import that";
    return NULL;
}

/* The program's imports, and those of all preloads that a thread makes. */
static const char *refuses(void *context, const struct bc_import *import, const struct rt_extern *found) {
    const struct links *first = context;
    const char *why = refuses_import(first, import, found);
    for (size_t i = 0; !why && i < first->files->n_preloads; i++) {
        const struct rt_module *module = first->files->preloads[i].module;
        if (makes_shared_memory(module)) continue;
        for (uint32_t k = 0; !why && k < module->bc->n_imports; k++) {
            struct rt_extern inner = wasi_thread_import(first->instances[i], module->bc->imports + k);
            why = refuses_import(first, module->bc->imports + k, &inner);
        }
    }
    return why;
}

static bool resolve_for_thread(void *context, const struct rt_module *module, const struct bc_import *import,
                               struct rt_extern *out) {
    struct links *l = context;
    if (first_import(l->first, module, import, out) && wasi_thread_shares(out)) return true;
    struct rt_instance *instance = instance_named(l, import->module);
    if (instance) return rt_instance_export(instance, import->name.bytes, import->name.size, out);
    for (size_t i = 0; i < l->files->n_natives; i++)
        if (native_resolve(l->natives[i], module, import, out)) return true;
    return false;
}

static void close_for_thread(void *links) {
    links_close(links);
    atoll_free(&atoll_default_alloc, links, sizeof(struct links));
}

static enum atoll_status open_all(struct links *l, struct atoll_error *err) {
    enum atoll_status status = make_room(l, err);
    for (size_t i = 0; !status && i < l->files->n_natives; i++)
        if (native_threads(l->first->natives[i])) status = open_native(l, i, err);
    for (size_t i = 0; !status && i < l->files->n_preloads; i++) {
        struct rt_module *module = l->files->preloads[i].module;
        struct rt_instance *instance;
        if (makes_shared_memory(module)) continue;
        status = rt_instantiate(l->store, module, resolve_for_thread, l, &instance, err);
        if (!status) l->instances[i] = instance;
        if (!status) status = initialize(l, instance, err);
    }
    return status;
}

static enum atoll_status open_for_thread(void *context, struct rt_store *store, bool needed, void **out,
                                         struct atoll_error *err) {
    struct links *first = context, *l = atoll_new(&atoll_default_alloc, 1, sizeof *l);
    if (!l) return no_memory(err);
    *l = (struct links){.files = first->files, .store = store, .first = first};
    *out = l; /* closed behind the store's last use, also when this fails */
    if (l->files->coredumps && !(l->coredump = coredump_new(store))) return no_memory(err);
    if (l->files->gdb && !(l->debugged = gdb_thread_new(l->files->gdb, store))) return no_memory(err);
    return needed ? open_all(l, err) : ATOLL_OK;
}

struct wasi_thread_linker links_for_threads(struct links *links) {
    return (struct wasi_thread_linker){.context = links,
                                       .refuses = refuses,
                                       .open = open_for_thread,
                                       .resolve = resolve_for_thread,
                                       .close = close_for_thread};
}
