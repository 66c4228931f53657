/* stdlib/wasi_threads.c: threads by wasi-threads: thread-spawn(arg) makes another instance of the program's
 * module in a store of its own on a thread of its own, which calls wasi_thread_start(tid, arg).
 *
 *   first store   --spawn-->  thread { store, instance }  --spawn--> ...      all: one budget, one struct
 * wasi
 *
 * The program ends as a whole, with whatever ended first: a trap or an exit on any thread, or the first
 * thread's return. Whoever notices stops the stores of all others; the first thread joins them. A thread that
 * ended otherwise is joined when the next one starts. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include "stdlib/wasi.h"

#define TID_MAX            0x1FFFFFFFu
#define NATIVE_STACK_BYTES ((size_t)1 << 20) /* beside the program's compiled code */

struct thread {
    struct thread *next;
    struct wasi_threads *program;
    struct rt_store *store; /* NULL when over */
    struct rt_extern *imports;
    void *links; /* of the program's linker, or NULL */
    uint32_t tid, arg;
    bool over;
    pthread_t handle;
};

struct wasi_threads {
    const struct atoll_alloc *alloc;
    struct wasi *wasi;
    struct rt_module *module;    /* referenced */
    struct rt_memory **memories; /* made here, by index of the imported memory; the first store's */
    struct wasi_thread_linker linker;
    bool *own;        /* by import: each thread has one of its own */
    bool needs_links; /* there are such imports */
    struct rt_func *spawn;
    uint32_t max;
    pthread_mutex_t lock; /* guards the rest; below it: nothing of wasi or sandbox */
    uint32_t n_alive, last_tid;
    struct thread *threads; /* newest first */
    bool ending;
    struct thread *ender; /* NULL: the first thread */
    enum atoll_status status;
    struct atoll_error err;
};

static bool name_is(struct bc_name name, const char *text) {
    return name.size == strlen(text) && !memcmp(name.bytes, text, name.size);
}

static bool is_spawn(const struct bc_import *import) {
    return import->kind == BC_EXTERN_FUNC && name_is(import->module, "wasi") &&
           name_is(import->name, "thread-spawn");
}

bool wasi_threads_wanted(const struct rt_module *module) {
    for (uint32_t i = 0; i < module->bc->n_imports; i++)
        if (is_spawn(module->bc->imports + i)) return true;
    return false;
}

/* ---- the end ---- */

/* The program ends with `status`, unless it does already. Under the lock. */
static void end_program(struct wasi_threads *t, struct thread *ender, enum atoll_status status,
                        const struct atoll_error *err) {
    if (t->ending) return;
    t->ending = true;
    t->ender = ender;
    t->status = status;
    if (err) t->err = *err;
    if (ender) rt_store_interrupt(t->wasi->store, RT_INTERRUPT_CANCEL);
    for (struct thread *th = t->threads; th; th = th->next)
        if (th != ender && th->store) rt_store_interrupt(th->store, RT_INTERRUPT_CANCEL);
    wasi_wake_store(t->wasi->store);
}

static void free_store(struct wasi_threads *t, struct rt_store *store, void *links) {
    if (links) t->linker.close(links);
    rt_store_free(store);
}

static void free_thread(struct thread *th) {
    struct wasi_threads *t = th->program;
    free_store(t, th->store, th->links);
    atoll_free(t->alloc, th->imports, t->module->bc->n_imports * sizeof *th->imports);
    atoll_free(t->alloc, th, sizeof *th);
}

/* Takes out the first thread that is over, or any; NULL = there is none. *out_ender: it ended the program,
 * which no other can do later. */
static struct thread *take_thread(struct wasi_threads *t, bool any, bool *out_ender) {
    pthread_mutex_lock(&t->lock);
    struct thread **link = &t->threads, *th;
    while ((th = *link) && !th->over && !any) link = &th->next;
    if (th) *link = th->next;
    *out_ender = th && th == t->ender;
    pthread_mutex_unlock(&t->lock);
    return th;
}

/* Joins those that are over, or all. The one that ended the program is kept for what it has to tell. */
static void join_threads(struct wasi_threads *t, bool all) {
    struct thread *th;
    bool ender;
    while ((th = take_thread(t, all, &ender))) {
        pthread_join(th->handle, NULL);
        if (!ender) free_thread(th);
    }
}

enum atoll_status wasi_threads_end(struct wasi_threads *t, enum atoll_status status, struct atoll_error *err,
                                   struct rt_store **out_store, uint32_t *out_tid) {
    pthread_mutex_lock(&t->lock);
    end_program(t, NULL, status, err);
    pthread_mutex_unlock(&t->lock);
    join_threads(t, true);
    *out_store = t->wasi->store;
    *out_tid = 0;
    if (!t->ender) return status;
    rt_store_interrupt(t->wasi->store, RT_INTERRUPT_NONE);
    *out_store = t->ender->store;
    *out_tid = t->ender->tid;
    if (err) *err = t->err;
    return t->status;
}

/* ---- the life of a thread ---- */

static bool give_import(void *context, const struct rt_module *module, const struct bc_import *import,
                        struct rt_extern *out) {
    const struct thread *th = context;
    size_t i = (size_t)(import - module->bc->imports);
    if (th->program->own[i]) return th->program->linker.resolve(th->links, module, import, out);
    *out = th->imports[i];
    return true;
}

static enum atoll_status live(struct thread *th, struct atoll_error *err) {
    struct rt_store *store = th->store;
    struct rt_instance *instance;
    struct rt_extern start;
    union rt_slot args[2] = {{.u64 = th->tid}, {.u64 = th->arg}};
    struct wasi_threads *t = th->program;
    const struct wasi_thread_linker *linker = &t->linker;
    enum atoll_status status = ATOLL_OK;
    if (linker->open) status = linker->open(linker->context, store, t->needs_links, &th->links, err);
    if (!status) status = rt_instantiate(store, t->module, give_import, th, &instance, err);
    if (status == ATOLL_E_TRAP || status == ATOLL_E_EXIT || status == ATOLL_E_INTERRUPTED) return status;
    if (status) { /* no room for another: seen from the program, a trap */
        rt_store_trap_text(store, "thread cannot start: %s", err->text);
        store->trap = RT_TRAP_HOST;
        store->n_frames = 0;
        return ATOLL_E_TRAP;
    }
    rt_instance_export(instance, "wasi_thread_start", 17, &start);
    return rt_call(store, start.func, args, err);
}

/* A stop is the program's, which its first thread hears of too. */
static bool was_stopped(const struct thread *th, enum atoll_status status) {
    return status == ATOLL_E_INTERRUPTED && th->store->trap != RT_TRAP_OUT_OF_FUEL;
}

static void *run(void *p) {
    struct thread *th = p;
    struct wasi_threads *t = th->program;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = live(th, &err);
    pthread_mutex_lock(&t->lock);
    if (status && !was_stopped(th, status)) end_program(t, th, status, &err);
    struct rt_store *done = t->ender == th ? NULL : th->store;
    void *links = done ? th->links : NULL;
    if (done) th->store = NULL, th->links = NULL; /* out of reach for stops */
    pthread_mutex_unlock(&t->lock);
    free_store(t, done, links);
    pthread_mutex_lock(&t->lock);
    th->over = true;
    t->n_alive--;
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- the beginning of a thread ---- */

/* Signals to the process are for threads that know what to do about them; faults and the collector's stay. */
static int create(struct thread *th) {
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPWR, SIGXCPU};
    sigset_t blocked, before;
    pthread_attr_t attr;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) sigdelset(&blocked, kept[i]);
    if (pthread_attr_init(&attr)) return ENOMEM;
    pthread_attr_setstacksize(&attr, NATIVE_STACK_BYTES + th->program->module->engine->config.stack_bytes);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(&th->handle, &attr, run, th);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return error;
}

/* Adds the thread to the program and lets it run. Returns its number, or 0. */
static uint32_t admit(struct wasi_threads *t, struct thread *th) {
    uint32_t tid = 0;
    pthread_mutex_lock(&t->lock);
    if (!t->ending && t->n_alive < t->max) {
        for (const struct thread *other = t->threads;; other = t->threads) { /* one nobody has */
            t->last_tid = t->last_tid < TID_MAX ? t->last_tid + 1 : 1;
            while (other && other->tid != t->last_tid) other = other->next;
            if (!other) break;
        }
        th->tid = t->last_tid;
        if (!create(th)) {
            tid = th->tid;
            th->next = t->threads;
            t->threads = th;
            t->n_alive++;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return tid;
}

struct rt_extern wasi_thread_import(const struct rt_instance *instance, const struct bc_import *import) {
    struct rt_extern e = {.kind = import->kind};
    switch (import->kind) {
    case BC_EXTERN_FUNC: e.func = instance->funcs[import->index]; break;
    case BC_EXTERN_TABLE: e.table = instance->tables[import->index]; break;
    case BC_EXTERN_MEMORY: e.memory = instance->memories[import->index]; break;
    case BC_EXTERN_GLOBAL: e.global = instance->globals[import->index]; break;
    case BC_EXTERN_TAG: e.tag = instance->tags[import->index]; break;
    }
    return e;
}

/* `parent`: an instance of the program, whose imports the new one gets. NULL = out of memory. */
static struct thread *new_thread(struct wasi_threads *t, struct rt_store *sibling,
                                 const struct rt_instance *parent, uint32_t arg) {
    const struct bc_module *bc = t->module->bc;
    struct thread *th = atoll_new(t->alloc, 1, sizeof *th);
    if (!th) return NULL;
    *th = (struct thread){.program = t, .arg = arg};
    th->imports = atoll_new(t->alloc, bc->n_imports, sizeof *th->imports);
    if (!th->imports || rt_store_new_sibling(sibling, &th->store, NULL)) {
        free_thread(th);
        return NULL;
    }
    for (uint32_t i = 0; i < bc->n_imports; i++) th->imports[i] = wasi_thread_import(parent, bc->imports + i);
    th->store->host_data = t->wasi;
    atomic_store(&th->store->wake, wasi_wake_store);
    return th;
}

/* Parameter: what wasi_thread_start gets. Result: the thread's number, or a negative errno. */
static enum rt_trap spawn(struct rt_store *store, struct rt_instance *caller, void *context,
                          union rt_slot *args_results) {
    struct wasi_threads *t = context;
    struct sb_request request = {.kind = SB_THREAD, .numbers = {t->max, SB_ABSENT}};
    if (!caller || caller->module != t->module)
        return rt_store_trap_text(store, "thread-spawn called from outside of the program");
    int error = sb_ask(t->wasi->sandbox, &request);
    uint32_t tid = 0, arg = args_results[0].u32;
    if (!error) {
        join_threads(t, false);
        struct thread *th = new_thread(t, store, caller, arg);
        tid = th ? admit(t, th) : 0;
        if (th && !tid) free_thread(th);
        sb_answer(t->wasi->sandbox, &request, tid ? 0 : EAGAIN, tid);
    }
    args_results[0].u64 = tid ? tid : (uint32_t)-WASI_EAGAIN;
    return RT_TRAP_NONE;
}

/* ---- linking ---- */

static bool exports_start(const struct rt_module *module) {
    const struct bc_module *bc = module->bc;
    for (uint32_t i = 0; i < bc->n_exports; i++) {
        const struct bc_export *e = bc->exports + i;
        if (e->kind != BC_EXTERN_FUNC || !name_is(e->name, "wasi_thread_start")) continue;
        const struct rt_type *type = module->types[bc->funcs[e->index].type];
        return type->n_params == 2 && type->n_results == 0 && type->params[0].kind == BC_KIND_I32 &&
               type->params[1].kind == BC_KIND_I32;
    }
    return false;
}

static enum atoll_status refuse(const struct bc_import *import, const char *why, struct atoll_error *err) {
    char name[120];
    int n = snprintf(name, sizeof name, "%.*s.%.*s",
                     (int)(import->module.size < 50 ? import->module.size : 50), import->module.bytes,
                     (int)(import->name.size < 60 ? import->name.size : 60), import->name.bytes);
    for (int i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F) name[i] = '?';
    return atoll_fail(err, ATOLL_E_LINK, import->offset, "a program with threads cannot import %s: %s", name,
                      why);
}

bool wasi_thread_shares(const struct rt_extern *e) {
    switch (e->kind) {
    case BC_EXTERN_FUNC: return e->func->host && !native_of(e->func);
    case BC_EXTERN_MEMORY: return e->memory->type.shared;
    case BC_EXTERN_GLOBAL: return !e->global->mutable && e->global->type.kind != BC_KIND_REF;
    default: return false;
    }
}

/* Whether every thread can have what the first instance imports, or one of its own. */
static enum atoll_status check_import(struct wasi_threads *t, const struct bc_import *import,
                                      const struct rt_extern *found, struct atoll_error *err) {
    if (wasi_thread_shares(found)) return ATOLL_OK;
    const char *why =
        t->linker.refuses ? t->linker.refuses(t->linker.context, import, found) : "it belongs to one thread";
    if (why) return refuse(import, why, err);
    t->own[import - t->module->bc->imports] = t->needs_links = true;
    return ATOLL_OK;
}

static enum atoll_status link_import(struct wasi_threads *t, const struct bc_import *import,
                                     rt_resolver *resolve, void *context, struct atoll_error *err) {
    struct rt_extern found;
    if (is_spawn(import)) return ATOLL_OK;
    if (resolve(context, t->module, import, &found)) return check_import(t, import, &found, err);
    if (import->kind != BC_EXTERN_MEMORY) return ATOLL_OK; /* unknown: whoever links says so */
    const struct bc_limits *type = &t->module->bc->memories[import->index].limits;
    if (!type->shared) return refuse(import, "a memory that is not shared", err);
    return rt_memory_new(t->wasi->store, type, &t->memories[import->index], err);
}

static enum atoll_status link_program(struct wasi_threads *t, rt_resolver *resolve, void *context,
                                      struct atoll_error *err) {
    const struct bc_module *bc = t->module->bc;
    struct rt_valtype i32 = {.kind = BC_KIND_I32};
    enum atoll_status status = ATOLL_OK;
    if (!exports_start(t->module))
        return atoll_fail(err, ATOLL_E_LINK, ATOLL_NO_OFFSET,
                          "it imports wasi.thread-spawn, but does not export wasi_thread_start (i32, i32)");
    if (bc->n_memories && !bc->n_imported_memories)
        return atoll_fail(err, ATOLL_E_LINK, ATOLL_NO_OFFSET,
                          "a program with threads has to import its memory, shared");
    for (uint32_t i = 0; i < bc->n_imports && !status; i++)
        status = link_import(t, bc->imports + i, resolve, context, err);
    if (status) return status;
    const struct rt_type *type = rt_func_type(t->wasi->store->engine, &i32, 1, &i32, 1);
    if (!type || rt_host_func_new(t->wasi->store, type, spawn, t, "thread-spawn", &t->spawn))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return ATOLL_OK;
}

bool wasi_threads_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                          struct rt_extern *out) {
    struct wasi_threads *t = context;
    if (module != t->module) return false;
    out->kind = import->kind;
    if (is_spawn(import)) return out->func = t->spawn, true;
    if (import->kind != BC_EXTERN_MEMORY) return false;
    out->memory = t->memories[import->index];
    return out->memory != NULL;
}

enum atoll_status wasi_threads_new(struct wasi *wasi, struct rt_module *module, rt_resolver *resolve,
                                   void *context, const struct wasi_thread_linker *linker, uint32_t max,
                                   struct wasi_threads **out, struct atoll_error *err) {
    struct wasi_threads *t = atoll_new(wasi->alloc, 1, sizeof *t);
    if (!t) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *t = (struct wasi_threads){.alloc = wasi->alloc, .wasi = wasi, .module = module, .max = max};
    if (linker) t->linker = *linker;
    rt_module_ref(module);
    pthread_mutex_init(&t->lock, NULL);
    t->memories = atoll_new(t->alloc, module->bc->n_imported_memories, sizeof *t->memories);
    t->own = atoll_new(t->alloc, module->bc->n_imports, sizeof *t->own);
    enum atoll_status status = t->memories && t->own
                                   ? link_program(t, resolve, context, err)
                                   : atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (status) {
        wasi_threads_free(t);
        return status;
    }
    wasi->stop = &wasi->ending;
    sb_set_stop(wasi->sandbox, &wasi->ending);
    *out = t;
    return ATOLL_OK;
}

void wasi_threads_free(struct wasi_threads *t) {
    if (!t) return;
    if (t->ender) free_thread(t->ender);
    atoll_free(t->alloc, t->memories, t->module->bc->n_imported_memories * sizeof *t->memories);
    atoll_free(t->alloc, t->own, t->module->bc->n_imports * sizeof *t->own);
    pthread_mutex_destroy(&t->lock);
    rt_module_unref(t->module);
    atoll_free(t->alloc, t, sizeof *t);
}
