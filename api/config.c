/* api/config.c: configuration and stores beyond the standard; errors as lines. */
#include "api/internal.h"
#include "jit/jit.h"

const char *atoll_version(void) { return ATOLL_VERSION; }

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
bool atoll_config_tier(wasm_config_t *c, const char *name) {
    static const struct rt_tier *const tiers[] = {&interp_tier, &jit_tier, &auto_tier};
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++)
        if (strcmp(name, tiers[i]->name) == 0) {
            c->config.tier = tiers[i];
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
