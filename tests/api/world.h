/* tests/api/world.h: what the tests of the C API share: an engine and a store, modules from text, an
 * allocator that counts and fails. */
#ifndef ATOLL_TESTS_API_WORLD_H
#define ATOLL_TESTS_API_WORLD_H

#include <stdatomic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "atoll/atoll.h"

struct world {
    wasm_engine_t *engine;
    wasm_store_t *store;
};

static inline void open_world(struct world *w) {
    const char *tier = getenv("ATOLL_TEST_TIER"); /* jit: the same tests in compiled code */
    wasm_config_t *config = wasm_config_new();
    assert_true(atoll_config_tier(config, tier ? tier : "interp"));
    assert_false(atoll_config_tier(config, "fast"));
    w->engine = wasm_engine_new_with_config(config);
    w->store = wasm_store_new(w->engine);
    assert_non_null(w->store);
}
static inline void close_world(struct world *w) {
    wasm_store_delete(w->store);
    wasm_engine_delete(w->engine);
}

static inline wasm_module_t *module_of(struct world *w, const char *text) {
    wasm_byte_vec_t bytes;
    struct atoll_error error;
    wasm_byte_vec_new(&bytes, strlen(text), text);
    wasm_module_t *m = atoll_module_load(w->store, &bytes, "test", &error);
    wasm_byte_vec_delete(&bytes);
    if (!m) fail_msg("%s", error.text);
    return m;
}
static inline wasm_instance_t *instance_of(struct world *w, const char *text, wasm_extern_vec_t *imports,
                                           wasm_trap_t **trap) {
    wasm_extern_vec_t none = WASM_EMPTY_VEC;
    wasm_module_t *m = module_of(w, text);
    wasm_instance_t *i = wasm_instance_new(w->store, m, imports ? imports : &none, trap);
    wasm_module_delete(m);
    return i;
}
static inline void assert_message(wasm_trap_t *trap, const char *text) {
    wasm_message_t message;
    assert_non_null(trap);
    wasm_trap_message(trap, &message);
    assert_non_null(strstr(message.data, text));
    wasm_byte_vec_delete(&message);
}

/* Consumes the vector. */
static inline void assert_bytes(wasm_byte_vec_t *bytes, const char *text) {
    if (bytes->size != strlen(text) || memcmp(bytes->data, text, bytes->size))
        fail_msg("\"%.*s\" is not \"%s\"", (int)bytes->size, bytes->data, text);
    wasm_byte_vec_delete(bytes);
}

/* ---- an allocator that counts blocks, and fails once ---- */

struct counting {                        /* programs are compiled on a thread of the engine's own */
    _Atomic unsigned long until_failure; /* 0 = never */
    atomic_bool failed;
    atomic_long live;
};
static inline void *count_resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct counting *c = context;
    (void)old_size;
    unsigned long left = new_size ? atomic_load(&c->until_failure) : 0;
    while (left && !atomic_compare_exchange_weak(&c->until_failure, &left, left - 1)) continue;
    if (left == 1) {
        c->failed = true;
        return NULL;
    }
    c->live += (new_size != 0) - (p != NULL);
    if (new_size) return realloc(p, new_size);
    free(p);
    return NULL;
}

#endif
