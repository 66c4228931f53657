/* runtime/engine.c: what all modules and stores of one configuration share. */
#include "runtime/internal.h"

enum atoll_status rt_engine_new(const struct rt_config *config, struct rt_engine **out,
                                struct atoll_error *err) {
    static const struct rt_config defaults;
    if (!config) config = &defaults;
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                          "this CPU lacks SSE4.2 or POPCNT (x86-64-v2), which Atoll is built for");
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    if (rt_faults_install())
        return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "cannot install the fault handler");
    struct rt_engine *engine = atoll_new(alloc, 1, sizeof *engine);
    struct rt_types *types = rt_types_new(alloc);
    if (!engine || !types) {
        rt_types_free(types);
        atoll_free(alloc, engine, sizeof *engine);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    *engine = (struct rt_engine){.alloc = alloc, .config = *config, .types = types, .refs = 1};
    engine->config.alloc = alloc;
    if (!engine->config.features) engine->config.features = BC_FEATURES_DEFAULT;
    if (!engine->config.stack_bytes) engine->config.stack_bytes = (size_t)8 << 20;
    const struct rt_tier *tier = config->tier;
    if (tier && tier->engine_new && tier->engine_new(engine)) {
        rt_engine_unref(engine);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "cannot reserve memory for code");
    }
    *out = engine;
    return ATOLL_OK;
}

void rt_engine_ref(struct rt_engine *engine) { atomic_fetch_add(&engine->refs, 1); }

void rt_engine_unref(struct rt_engine *engine) {
    if (!engine || atomic_fetch_sub(&engine->refs, 1) != 1) return;
    if (engine->jit_data) engine->config.tier->engine_free(engine);
    rt_heap_engine_free(engine);
    rt_types_free(engine->types);
    atoll_free(engine->alloc, engine, sizeof *engine);
}
