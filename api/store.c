/* api/store.c: configuration, engine, store. */
#include "api/internal.h"
#include "jit/jit.h"

wasm_config_t *wasm_config_new(void) {
    wasm_config_t *c = api_new(&atoll_default_alloc, 1, sizeof *c);
    if (c) c->config.features = BC_FEATURES_DEFAULT | BC_FEATURES_GIVEN;
    return c;
}
void wasm_config_delete(wasm_config_t *c) { api_free(c); }

wasm_engine_t *wasm_engine_new_with_config(wasm_config_t *config) {
    struct rt_config given = config ? config->config : (struct rt_config){0};
    wasm_engine_t *e = api_new(given.alloc ? given.alloc : &atoll_default_alloc, 1, sizeof *e);
    wasm_config_delete(config);
    if (!given.tier) given.tier = &auto_tier;
    if (e && !rt_engine_new(&given, &e->rt, NULL)) return e;
    api_free(e);
    return NULL;
}
wasm_engine_t *wasm_engine_new(void) { return wasm_engine_new_with_config(NULL); }
void wasm_engine_delete(wasm_engine_t *e) {
    if (!e) return;
    rt_engine_unref(e->rt);
    api_free(e);
}

wasm_store_t *wasm_store_new(wasm_engine_t *engine) {
    wasm_store_t *s = api_new(engine->rt->alloc, 1, sizeof *s);
    if (!s) return NULL;
    s->refs = 1;
    if (!rt_store_new(engine->rt, NULL, &s->rt, NULL) && (s->spare = api_trap_spare(s))) return s;
    api_refs_free(s);
    rt_store_free(s->rt);
    api_free(s);
    return NULL;
}

void api_store_ref(wasm_store_t *s) { s->refs++; }

static void end(wasm_store_t *s) {
    s->refs = 1; /* what ends now lets go of nothing twice */
    api_worlds_free(s);
    api_refs_free(s);
    api_callbacks_free(s);
    rt_store_free(s->rt);
    api_free(s);
}

void api_store_unref(wasm_store_t *s) {
    if (!--s->refs) end(s);
}

/* The owner is gone: all that may own a handle of this very store lets go of it. Not while code of the host's
 * is under way, which may use what a finalizer frees. */
static void close_if_idle(wasm_store_t *s) {
    if (!s->closed || s->rt->host_depth) return;
    if (s->pending) wasm_trap_delete(s->pending);
    s->pending = NULL;
    api_callbacks_close(s);
    api_refs_close(s);
}

void api_enter(wasm_store_t *s) { api_store_ref(s); }
void api_leave(wasm_store_t *s) {
    close_if_idle(s);
    api_store_unref(s);
}

void wasm_store_delete(wasm_store_t *s) {
    if (!s) return;
    s->closed = true;
    close_if_idle(s);
    api_store_unref(s);
}
