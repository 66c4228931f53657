/* tests/stdlib/native_host.h: what the tests of native libraries share: a store with a library and a guest.
 */
#ifndef ATOLL_TESTS_STDLIB_NATIVE_HOST_H
#define ATOLL_TESTS_STDLIB_NATIVE_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "interp/interp.h"
#include "stdlib/stdlib.h"

struct host {
    struct rt_engine *engine;
    struct rt_store *store;
    struct sandbox *sandbox;
    struct native *native;
    struct rt_instance *instance;
    struct atoll_error err;
};

static inline void open_store(struct host *h) {
    struct rt_config config = {.tier = &interp_tier};
    *h = (struct host){0};
    assert_int_equal(rt_engine_new(&config, &h->engine, &h->err), 0);
    assert_int_equal(rt_store_new(h->engine, &(struct rt_limits){0}, &h->store, &h->err), 0);
    assert_int_equal(sb_new(&(struct sb_config){0}, &h->sandbox, &h->err), 0);
}

static inline void close_store(struct host *h) {
    native_free(h->native);
    rt_store_free(h->store);
    rt_engine_unref(h->engine);
    sb_free(h->sandbox);
}

/* A guest in text format and the prototypes it needs. */
static inline void open_guest(struct host *h, const char *prototypes, const char *guest) {
    struct rt_module *module;
    open_store(h);
    if (native_new(h->store, h->sandbox, NULL, prototypes, strlen(prototypes), &h->native, &h->err))
        fail_msg("%s", h->err.text);
    if (rt_module_load(h->engine, (const uint8_t *)guest, strlen(guest), false, "guest", &module, &h->err) ||
        rt_instantiate(h->store, module, native_resolve, h->native, &h->instance, &h->err))
        fail_msg("%u:%u: %s", h->err.line, h->err.column, h->err.text);
    rt_module_unref(module);
}

static inline enum atoll_status call(struct host *h, const char *name, uint64_t a, uint64_t b,
                                     uint64_t *out) {
    struct rt_extern found;
    union rt_slot slots[4] = {{.u64 = a}, {.u64 = b}};
    assert_true(rt_instance_export(h->instance, name, strlen(name), &found));
    enum atoll_status status = rt_call(h->store, found.func, slots, &h->err);
    *out = slots[0].u64;
    return status;
}

static inline void gives(struct host *h, const char *name, uint64_t a, uint64_t b, uint64_t expected) {
    uint64_t got;
    if (call(h, name, a, b, &got)) fail_msg("%s: %s %s", name, h->err.text, h->store->trap_text);
    if (got != expected) fail_msg("%s: %llx is not %llx", name, (long long)got, (long long)expected);
}

static inline void traps(struct host *h, const char *name, uint64_t a, uint64_t b, const char *text) {
    uint64_t got;
    assert_int_equal(call(h, name, a, b, &got), ATOLL_E_TRAP);
    if (!strstr(h->store->trap_text, text)) fail_msg("%s: %s", name, h->store->trap_text);
}

#endif
