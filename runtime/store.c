/* runtime/store.c: a store and what the host puts into it. */
#include <stdarg.h>
#include <stdio.h>
#include "runtime/internal.h"

struct rt_owned { /* in front of every entity made by the host */
    struct rt_owned *next;
    size_t size;
    _Alignas(16) char payload[];
};

/* Takes the reference to `budget` over, also when it fails. */
static enum atoll_status new_store(struct rt_engine *engine, struct rt_budget *budget, struct rt_store **out,
                                   struct atoll_error *err) {
    struct rt_store *store = budget ? atoll_new(engine->alloc, 1, sizeof *store) : NULL;
    enum atoll_status status = store ? rt_stack_new(store, engine->config.stack_bytes, err)
                                     : atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (status) {
        atoll_free(engine->alloc, store, sizeof *store);
        rt_budget_unref(budget);
        return status;
    }
    store->budget = budget;
    store->engine = engine;
    store->attention = engine->config.hot_at_once;
    rt_engine_ref(engine);
    *out = store;
    return ATOLL_OK;
}

enum atoll_status rt_store_new(struct rt_engine *engine, const struct rt_limits *limits,
                               struct rt_store **out, struct atoll_error *err) {
    return new_store(engine, rt_budget_new(engine->alloc, limits), out, err);
}

enum atoll_status rt_store_new_sibling(struct rt_store *sibling, struct rt_store **out,
                                       struct atoll_error *err) {
    rt_budget_ref(sibling->budget);
    enum atoll_status status = new_store(sibling->engine, sibling->budget, out, err);
    if (!status) rt_fuel_give(sibling);
    return status;
}

void rt_store_free(struct rt_store *store) {
    if (!store) return;
    struct rt_engine *engine = store->engine;
    rt_heap_free(store);
    rt_exceptions_free(store);
    atoll_free(engine->alloc, store->thrown_values, store->n_thrown_values * sizeof *store->thrown_values);
    while (store->memories) rt_memory_drop(store);
    while (store->tables) rt_table_free(store->tables);
    for (size_t i = store->n_instances; i-- > 0;) rt_instance_free(store->instances[i]);
    rt_budget_give(&store->budget->n_instances, store->n_instances);
    atoll_free(engine->alloc, store->instances, store->cap_instances * sizeof *store->instances);
    for (struct rt_owned *o = store->owned, *next; o; o = next) {
        next = o->next;
        atoll_free(engine->alloc, o, o->size);
    }
    rt_stack_free(store);
    rt_fuel_give(store);
    rt_budget_unref(store->budget);
    atoll_free(engine->alloc, store, sizeof *store);
    rt_engine_unref(engine);
}

void rt_store_interrupt(struct rt_store *store, enum rt_interrupt why) {
    atomic_store(&store->interrupt, why);
    if (!why) return;
    atomic_store(&store->attention, 1);
    atomic_store(&store->native_limit, UINTPTR_MAX); /* compiled functions look here as they are entered */
    rt_unpark(store);
    void (*wake)(struct rt_store *) = atomic_load(&store->wake);
    if (wake) wake(store);
}

bool rt_store_attend(struct rt_store *store) {
    atomic_store(&store->attention, store->engine->config.hot_at_once);
    bool stop = atomic_load(&store->interrupt); /* in this order: one that comes meanwhile sets both again */
    if (stop) atomic_store(&store->attention, 1);
    return stop;
}

enum rt_trap rt_store_trap_text(struct rt_store *store, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(store->trap_text, sizeof store->trap_text, format, args);
    va_end(args);
    return RT_TRAP_HOST;
}

/* ---- entities made by the host ---- */

static void *new_owned(struct rt_store *store, size_t size) {
    struct rt_owned *o = atoll_new(rt_alloc(store), 1, sizeof *o + size);
    if (!o) return NULL;
    o->size = sizeof *o + size;
    o->next = store->owned;
    store->owned = o;
    return o->payload;
}

enum atoll_status rt_host_func_new(struct rt_store *store, const struct rt_type *type, rt_host_fn *fn,
                                   void *context, const char *name, struct rt_func **out) {
    struct rt_func *func = new_owned(store, sizeof *func);
    if (!func) return ATOLL_E_NOMEM;
    *func = (struct rt_func){.type = type,
                             .index = BC_NONE,
                             .host = fn,
                             .context = context,
                             .jit_code = store->engine->bridge,
                             .host_name = name};
    *out = func;
    return ATOLL_OK;
}

struct rt_host_global {
    struct rt_global global; /* first */
    struct rt_host_global *next;
};

void rt_store_each_host_global(const struct rt_store *store, rt_visit_words *visit, void *context) {
    for (struct rt_host_global *g = store->host_globals; g; g = g->next)
        if (rt_valtype_managed(&g->global.type)) visit(context, g->global.value, g->global.value + 1);
}

enum atoll_status rt_global_new(struct rt_store *store, struct rt_valtype type, bool mutable,
                                const union rt_slot value[2], struct rt_global **out) {
    struct rt_host_global *owned = new_owned(store, sizeof *owned);
    if (!owned) return ATOLL_E_NOMEM;
    owned->global = (struct rt_global){.value = {value[0]}, .type = type, .mutable = mutable};
    if (type.kind == BC_KIND_V128) owned->global.value[1] = value[1];
    owned->next = store->host_globals;
    store->host_globals = owned;
    *out = &owned->global;
    return ATOLL_OK;
}

enum atoll_status rt_tag_new(struct rt_store *store, const struct rt_type *type, struct rt_tag **out) {
    struct rt_tag *tag = new_owned(store, sizeof *tag);
    if (!tag) return ATOLL_E_NOMEM;
    tag->type = type;
    *out = tag;
    return ATOLL_OK;
}
