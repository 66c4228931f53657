/* api/store.c: configuration, engine, store. */
#include <stdlib.h>
#include "api/internal.h"

wasm_config_t *wasm_config_new(void) {
    wasm_config_t *c = calloc(1, sizeof *c);
    if (c) c->config.features = BC_FEATURES_DEFAULT | BC_FEATURES_GIVEN;
    return c;
}
void wasm_config_delete(wasm_config_t *c) { free(c); }

wasm_engine_t *wasm_engine_new_with_config(wasm_config_t *config) {
    wasm_engine_t *e = calloc(1, sizeof *e);
    struct rt_config given = config ? config->config : (struct rt_config){0};
    wasm_config_delete(config);
    given.tier = &interp_tier;
    if (e && !rt_engine_new(&given, &e->rt, NULL)) return e;
    free(e);
    return NULL;
}
wasm_engine_t *wasm_engine_new(void) { return wasm_engine_new_with_config(NULL); }
void wasm_engine_delete(wasm_engine_t *e) {
    if (!e) return;
    rt_engine_unref(e->rt);
    free(e);
}

wasm_store_t *wasm_store_new(wasm_engine_t *engine) {
    wasm_store_t *s = calloc(1, sizeof *s);
    if (s && !rt_store_new(engine->rt, NULL, &s->rt, NULL)) {
        s->refs = 1;
        return s;
    }
    free(s);
    return NULL;
}

void api_store_ref(wasm_store_t *s) { s->refs++; }

void api_store_unref(wasm_store_t *s) {
    if (--s->refs) return;
    api_refs_end(s);
    rt_store_free(s->rt);
    free(s);
}

void wasm_store_delete(wasm_store_t *s) {
    if (!s) return;
    if (s->pending) wasm_trap_delete(s->pending);
    s->pending = NULL;
    api_store_unref(s);
}
