/* tests/fuzz/fuzz_interp.c: any bytes as a program: load, instantiate, call every export, with little fuel
 * and memory. It runs three times, the second time with checked memory accesses in place of guard pages, the
 * third with a probe before each instruction and somebody who looks at frames: outcome, values, memory and
 * fuel left have to be the same. */
#include "interp/interp.h"
#include "tests/fuzz/fuzz.h"

#define FUEL        20000
#define MAX_EXPORTS 64
#define MAX_SLOTS   2048

/* ---- imports: whatever the program wants, doing nothing ---- */

static enum rt_trap nothing(struct rt_store *store, struct rt_instance *caller, void *context,
                            union rt_slot *slots) {
    const struct rt_type *type = context;
    (void)store, (void)caller;
    for (uint32_t i = 0; i < type->n_results; i++)
        if (type->results[i].kind == BC_KIND_REF && !type->results[i].nullable) return RT_TRAP_UNREACHABLE;
    for (uint32_t i = 0; i < type->result_slots; i++) slots[i].u64 = 0;
    return RT_TRAP_NONE;
}

static bool provide(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out) {
    struct rt_store *store = context;
    const struct bc_module *bc = module->bc;
    const union rt_slot zero[2] = {{0}, {0}};
    out->kind = import->kind;
    switch (import->kind) {
    case BC_EXTERN_FUNC: {
        const struct rt_type *type = module->types[bc->funcs[import->index].type];
        return !rt_host_func_new(store, type, nothing, (void *)(uintptr_t)type, "nothing", &out->func);
    }
    case BC_EXTERN_MEMORY:
        return !rt_memory_new(store, &bc->memories[import->index].limits, &out->memory, NULL);
    case BC_EXTERN_TABLE: {
        const struct bc_table *table = &bc->tables[import->index];
        if (!bc_valtype_defaultable(table->type)) return false;
        return !rt_table_new(store, rt_valtype_of(module, table->type), &table->limits, zero[0], &out->table,
                             NULL);
    }
    case BC_EXTERN_GLOBAL: {
        const struct bc_global *global = &bc->globals[import->index];
        if (!bc_valtype_defaultable(global->type)) return false;
        return !rt_global_new(store, rt_valtype_of(module, global->type), global->mutable, zero,
                              &out->global);
    }
    case BC_EXTERN_TAG: return !rt_tag_new(store, module->types[bc->tags[import->index].type], &out->tag);
    }
    return false;
}

/* ---- a run, as one number ---- */

struct outcome {
    uint64_t hash;
    bool host_full; /* the host's memory decided something */
};

/* References differ from run to run; whether they are null does not. */
static void note_results(struct outcome *o, const struct rt_type *type, const union rt_slot *slots) {
    for (uint32_t i = 0; i < type->n_results; i++) {
        uint8_t kind = type->results[i].kind;
        uint64_t value = kind == BC_KIND_REF ? !slots->ref : slots->u64;
        o->hash = fuzz_hash(o->hash, &value, sizeof value);
        if (kind == BC_KIND_V128) o->hash = fuzz_hash(o->hash, &(++slots)->u64, sizeof value);
        slots++;
    }
}

static void note_end(struct outcome *o, const struct rt_store *store, enum atoll_status status) {
    o->hash = fuzz_hash(o->hash, &status, sizeof status);
    if (status) o->hash = fuzz_hash(o->hash, &store->trap, sizeof store->trap);
    if (status) o->hash = fuzz_hash(o->hash, &store->n_frames, sizeof store->n_frames);
    o->hash = fuzz_hash(o->hash, &store->fuel, sizeof store->fuel);
    o->host_full |=
        status == ATOLL_E_NOMEM || (status == ATOLL_E_TRAP && store->trap == RT_TRAP_OUT_OF_MEMORY);
}

static void note_memories(struct outcome *o, const struct rt_instance *instance) {
    for (uint32_t i = 0; i < instance->module->bc->n_memories; i++) {
        const struct rt_memory *m = instance->memories[i];
        uint64_t size = atomic_load(&m->size_bytes);
        o->hash = fuzz_hash(o->hash, &size, sizeof size);
        for (uint64_t at = 0; at + 8 <= size; at += 8) {
            uint64_t word;
            memcpy(&word, m->base + at, sizeof word);
            if (word) o->hash = (o->hash ^ word ^ at) * UINT64_C(0x9E3779B97F4A7C15);
        }
    }
}

static void fill_arguments(const struct rt_type *type, union rt_slot *slots, uint64_t seed) {
    static const uint64_t edges[] = {0, 1, 0xFFFFFFFF, 0x80000000, 65536, 65535, 0x7FFFFFFF, 3};
    for (uint32_t i = 0; i < type->n_params; i++, slots++) {
        uint64_t edge = edges[(seed >> (i * 3 % 60)) & 7];
        uint8_t kind = type->params[i].kind;
        slots->u64 = kind == BC_KIND_REF ? 0 : edge;
        if (kind == BC_KIND_V128) (++slots)->u64 = ~edge;
    }
}

static bool takes_null_only(const struct rt_type *type) {
    for (uint32_t i = 0; i < type->n_params; i++)
        if (type->params[i].kind == BC_KIND_REF && !type->params[i].nullable) return false;
    return type->param_slots <= MAX_SLOTS && type->result_slots <= MAX_SLOTS;
}

static void call_exports(struct outcome *o, struct rt_store *store, struct rt_instance *instance) {
    static union rt_slot slots[MAX_SLOTS];
    const struct bc_module *bc = instance->module->bc;
    for (uint32_t i = 0; i < bc->n_exports && i < MAX_EXPORTS && !o->host_full; i++) {
        if (bc->exports[i].kind != BC_EXTERN_FUNC) continue;
        struct rt_func *func = instance->funcs[bc->exports[i].index];
        if (!takes_null_only(func->type)) continue;
        fill_arguments(func->type, slots, (i + 1) * UINT64_C(0x9E3779B97F4A7C15));
        store->fuel = FUEL;
        enum atoll_status status = rt_call(store, func, slots, NULL);
        note_end(o, store, status);
        if (!status) note_results(o, func->type, slots);
    }
}

/* ---- looking ---- */

static bool look(void *context, const struct interp_frame *frame) {
    static struct interp_values values;
    FUZZ_CHECK(!interp_frame_values(frame, true, &values));
    for (uint32_t i = 0; *(bool *)context && i < values.n_locals + values.n_operands; i++)
        FUZZ_CHECK(values.items[i].known);
    interp_values_fini(&values, &atoll_default_alloc);
    return frame->index < 4;
}

static enum rt_trap probe(struct rt_observer *observer, struct rt_store *store, struct rt_instance *instance,
                          uint32_t offset) {
    bool at_probe = true;
    (void)instance, (void)offset;
    observer->quiet = 211;
    interp_each_frame(store, look, &at_probe);
    return RT_TRAP_NONE;
}

static void trapped(struct rt_observer *observer, struct rt_store *store) {
    bool at_probe = false;
    (void)observer;
    interp_each_frame(store, look, &at_probe);
}

static struct outcome run(struct rt_engine *engine, struct rt_module *module, bool checked) {
    struct rt_observer observer = {.trapped = trapped, .probe = probe};
    static const struct rt_limits limits = {.max_memory_bytes = 4 << 20,
                                            .max_table_elems = 100000,
                                            .max_instances = 4,
                                            .max_memories = 8,
                                            .max_tables = 16};
    struct outcome o = {FUZZ_HASH_START, false};
    struct rt_store *store;
    struct rt_instance *instance;
    FUZZ_CHECK(!rt_store_new(engine, &limits, &store, NULL));
    store->fuel = FUEL;
    store->observer = &observer;
    enum atoll_status status = rt_instantiate(store, module, provide, store, &instance, NULL);
    note_end(&o, store, status);
    if (!status) {
        /* Code of the start function was made for guard pages; the choice is one for an instance's life. */
        if (checked && module->bc->n_memories && module->bc->start == BC_NONE)
            instance->memories[0]->guarded = false;
        call_exports(&o, store, instance);
        note_memories(&o, instance);
    }
    rt_store_free(store);
    return o;
}

static bool load(const uint8_t *data, size_t size, bool probes, struct rt_engine **engine,
                 struct rt_module **module) {
    struct rt_config config = {.tier = &interp_tier,
                               .fuel = true,
                               .probes = probes,
                               .stack_bytes = 256 << 10,
                               .max_gc_heap_bytes = 256 << 20};
    FUZZ_CHECK(!rt_engine_new(&config, engine, NULL));
    if (!rt_module_load(*engine, data, size, true, "fuzz", module, NULL)) return true;
    rt_engine_unref(*engine);
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rt_engine *engine;
    struct rt_module *module;
    if (size < 4 || memcmp(data, "\0asm", 4) || !load(data, size, false, &engine, &module)) return 0;
    struct outcome first = run(engine, module, false), second = run(engine, module, true);
    rt_module_unref(module);
    rt_engine_unref(engine);
    FUZZ_CHECK(first.host_full || second.host_full || first.hash == second.hash);
    FUZZ_CHECK(load(data, size, true, &engine, &module));
    struct outcome third = run(engine, module, false);
    rt_module_unref(module);
    rt_engine_unref(engine);
    FUZZ_CHECK(first.host_full || third.host_full || first.hash == third.hash);
    return 0;
}
