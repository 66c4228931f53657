/* api/atoll.c: configuration and stores beyond the standard, and WASI. */
#include <stdio.h>
#include <stdlib.h>
#include "api/internal.h"
#include "stdlib/stdlib.h"

/* ---- configuration ---- */

bool atoll_config_feature(wasm_config_t *c, const char *name, bool on) {
    static const char *const words[] = {
#define X(id, word) word,
        BC_FEATURE_LIST(X)
#undef X
    };
    for (unsigned i = 0; i < BC_FEATURE_COUNT; i++) {
        uint64_t bit = UINT64_C(1) << i;
        if (strcmp(words[i], name)) continue;
        c->config.features = on ? c->config.features | bit : c->config.features & ~bit;
        return true;
    }
    return false;
}
void atoll_config_fuel(wasm_config_t *c, bool on) { c->config.fuel = on; }
void atoll_config_deterministic(wasm_config_t *c, bool on) { c->config.relaxed_deterministic = on; }
void atoll_config_sizes(wasm_config_t *c, size_t stack_bytes, uint64_t max_gc_heap_bytes) {
    c->config.stack_bytes = stack_bytes;
    c->config.max_gc_heap_bytes = max_gc_heap_bytes;
}
void atoll_config_allocator(wasm_config_t *c, const struct atoll_alloc *alloc) { c->config.alloc = alloc; }

/* ---- stores ---- */

void atoll_store_limits(wasm_store_t *s, uint64_t max_memory_bytes, uint64_t max_table_elems,
                        uint32_t max_instances) {
    struct rt_limits *limits = &s->rt->budget->limits;
    limits->max_memory_bytes = max_memory_bytes;
    limits->max_table_elems = max_table_elems;
    limits->max_instances = max_instances;
}
void atoll_store_set_fuel(wasm_store_t *s, int64_t fuel) { s->rt->fuel = fuel; }
int64_t atoll_store_fuel(const wasm_store_t *s) { return s->rt->fuel; }
void atoll_store_interrupt(wasm_store_t *s) { rt_store_interrupt(s->rt, RT_INTERRUPT_CANCEL); }

/* ---- WASI ---- */

struct strings {
    char **items;
    size_t n, capacity;
};
struct atoll_wasi_t {
    struct sandbox *sandbox;
    struct strings args, env;
    int stdio[3];
    struct wasi *wasi; /* once instantiated */
};

static bool add_string(struct strings *s, const char *text) {
    void *p = s->items;
    if (atoll_grow(&atoll_default_alloc, &p, &s->capacity, s->n + 1, sizeof *s->items)) return false;
    s->items = p;
    s->items[s->n] = strdup(text);
    return s->items[s->n] && ++s->n;
}
static void free_strings(struct strings *s) {
    for (size_t i = 0; i < s->n; i++) free(s->items[i]);
    atoll_free(&atoll_default_alloc, s->items, s->capacity * sizeof *s->items);
}

atoll_wasi_t *atoll_wasi_new(void) {
    atoll_wasi_t *w = calloc(1, sizeof *w);
    struct sb_config config = {0};
    if (!w || sb_new(&config, &w->sandbox, NULL)) {
        free(w);
        return NULL;
    }
    for (int i = 0; i < 3; i++) w->stdio[i] = -1;
    return w;
}
void atoll_wasi_delete(atoll_wasi_t *w) {
    if (!w) return;
    wasi_free(w->wasi);
    sb_free(w->sandbox);
    free_strings(&w->args);
    free_strings(&w->env);
    free(w);
}
bool atoll_wasi_arg(atoll_wasi_t *w, const char *arg) { return add_string(&w->args, arg); }
bool atoll_wasi_env(atoll_wasi_t *w, const char *name_and_value) {
    return add_string(&w->env, name_and_value);
}
bool atoll_wasi_dir(atoll_wasi_t *w, const char *grant, char *error, size_t error_size) {
    struct atoll_error err = {0};
    if (!sb_grant_dir_text(w->sandbox, grant, &err)) return true;
    if (error && error_size) snprintf(error, error_size, "%s", err.text);
    return false;
}
void atoll_wasi_inherit_stdio(atoll_wasi_t *w) {
    for (int i = 0; i < 3; i++) w->stdio[i] = i;
}

static void end_wasi(void *w) { atoll_wasi_delete(w); }

/* The world ends with its store: a handle of its own sees to that. */
static bool keep_wasi(wasm_store_t *store, atoll_wasi_t *w) {
    struct wasm_ref_t *keeper = api_ref(store, API_FOREIGN, NULL, 0);
    if (!keeper) return false;
    wasm_ref_set_host_info_with_finalizer(keeper, w, end_wasi);
    api_ref_delete(keeper);
    return true;
}

wasm_instance_t *atoll_wasi_instantiate(wasm_store_t *store, const wasm_module_t *module, atoll_wasi_t *w,
                                        wasm_trap_t **trap) {
    struct atoll_error err = {0};
    struct rt_instance *rt;
    struct wasi_config config = {.argv = (const char *const *)w->args.items,
                                 .n_argv = w->args.n,
                                 .env = (const char *const *)w->env.items,
                                 .n_env = w->env.n};
    if (trap) *trap = NULL;
    memcpy(config.stdio, w->stdio, sizeof w->stdio);
    if (!keep_wasi(store, w)) {
        atoll_wasi_delete(w);
        return NULL;
    }
    enum atoll_status status = wasi_new(store->rt, w->sandbox, &config, &w->wasi, &err);
    if (!status) status = rt_instantiate(store->rt, module->ref.entity, wasi_resolve, w->wasi, &rt, &err);
    if (!status) return (wasm_instance_t *)api_ref(store, API_INSTANCE, rt, 0);
    wasm_trap_t *t = api_trap(store, status, &err);
    if (trap)
        *trap = t;
    else
        wasm_trap_delete(t);
    return NULL;
}
