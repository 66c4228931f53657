/* tests/runtime/fixture.h: an engine and a store for a test, programs as text, calls by name. */
#ifndef ATOLL_TESTS_RUNTIME_FIXTURE_H
#define ATOLL_TESTS_RUNTIME_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "interp/interp.h"
#include "jit/jit.h"

struct world {
    struct rt_engine *engine;
    struct rt_store *store;
    struct atoll_error err;
};

/* cmocka puts its own handlers in front of the runtime's for each test: theirs have to go on handling faults.
 */
static struct sigaction fault_handlers[2];
static inline void keep_fault_handlers(bool restore) {
    static const int numbers[] = {SIGSEGV, SIGBUS};
    for (int i = 0; i < 2; i++) {
        if (restore)
            sigaction(numbers[i], &fault_handlers[i], NULL);
        else
            sigaction(numbers[i], NULL, &fault_handlers[i]);
    }
}

/* ATOLL_TEST_TIER=jit runs the same tests in compiled code; auto: in code that is compiled where they come by. */
static inline const struct rt_tier *test_tier(void) {
    const char *name = getenv("ATOLL_TEST_TIER");
    if (!name) return &interp_tier;
    return strcmp(name, "auto") ? &jit_tier : &auto_tier;
}

static inline void open_world(struct world *w, const struct rt_config *config,
                              const struct rt_limits *limits) {
    struct rt_config with_tier = config ? *config : (struct rt_config){0};
    if (!with_tier.tier) with_tier.tier = test_tier();
    if (with_tier.tier == &auto_tier) with_tier.hot_at_once = true;
    *w = (struct world){0};
    assert_int_equal(rt_engine_new(&with_tier, &w->engine, &w->err), ATOLL_OK);
    assert_int_equal(rt_store_new(w->engine, limits, &w->store, &w->err), ATOLL_OK);
    keep_fault_handlers(true);
}
static inline void close_world(struct world *w) {
    rt_store_free(w->store);
    rt_engine_unref(w->engine);
}
/* Run once before the tests: the runtime's handlers as they were installed. */
static inline void install_fault_handlers(void) {
    struct rt_engine *engine;
    if (rt_engine_new(NULL, &engine, NULL)) abort();
    keep_fault_handlers(false);
    rt_engine_unref(engine);
}

static inline struct rt_module *load(struct world *w, const char *text) {
    struct rt_module *module;
    if (rt_module_load(w->engine, (const uint8_t *)text, strlen(text), false, "test", &module, &w->err))
        fail_msg("%s (line %u)", w->err.text, w->err.line);
    return module;
}

/* Imports come from one instance, whatever their module's name. */
static inline bool from_instance(void *context, const struct rt_module *module,
                                 const struct bc_import *import, struct rt_extern *out) {
    (void)module;
    return context && rt_instance_export(context, import->name.bytes, import->name.size, out);
}

static inline enum atoll_status try_start(struct world *w, const char *text, struct rt_instance *imports,
                                          struct rt_instance **out) {
    struct rt_module *module = load(w, text);
    enum atoll_status status = rt_instantiate(w->store, module, from_instance, imports, out, &w->err);
    rt_module_unref(module);
    return status;
}
static inline struct rt_instance *start(struct world *w, const char *text, struct rt_instance *imports) {
    struct rt_instance *instance = NULL;
    if (try_start(w, text, imports, &instance)) fail_msg("%s", w->err.text);
    return instance;
}

static inline struct rt_func *func(struct rt_instance *instance, const char *name) {
    struct rt_extern e;
    assert_true(rt_instance_export(instance, name, strlen(name), &e));
    assert_int_equal(e.kind, BC_EXTERN_FUNC);
    return e.func;
}
/* Up to three integer arguments; the first result. */
static inline enum atoll_status try_call(struct world *w, struct rt_instance *instance, const char *name,
                                         uint64_t a, uint64_t b, uint64_t c, uint64_t *out) {
    union rt_slot slots[8] = {{.u64 = a}, {.u64 = b}, {.u64 = c}};
    enum atoll_status status = rt_call(w->store, func(instance, name), slots, &w->err);
    if (out) *out = slots[0].u64;
    return status;
}
static inline uint64_t call(struct world *w, struct rt_instance *instance, const char *name, uint64_t a,
                            uint64_t b) {
    uint64_t result = 0;
    if (try_call(w, instance, name, a, b, 0, &result)) fail_msg("%s: %s", name, w->err.text);
    return result;
}
static inline void assert_traps(struct world *w, struct rt_instance *instance, const char *name, uint64_t a,
                                uint64_t b, uint64_t c, enum rt_trap trap) {
    assert_int_not_equal(try_call(w, instance, name, a, b, c, NULL), ATOLL_OK);
    assert_int_equal(w->store->trap, trap);
}

#endif
