/* jit/module.c: a module's machine code, shared by all instances, gone with it; and the tier that makes all of it
 * before the first instance runs. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "jit/engine.h"

#define LEAST_MEMORY_BYTES ((size_t)64 << 20)

/* ---- the engine ---- */

/* As much as the process may have: limits of addresses and of the size of files count for it. */
static enum atoll_status open_memory(struct jit_memory *memory, const struct atoll_alloc *alloc) {
    enum atoll_status status = ATOLL_E_NOMEM;
    for (size_t size = JIT_MEMORY_BYTES; status && size >= LEAST_MEMORY_BYTES; size /= 4)
        status = jit_memory_open(memory, alloc, size);
    return status;
}

static enum atoll_status engine_new(struct rt_engine *engine) {
    struct jit_engine *jit = atoll_new(engine->alloc, 1, sizeof *jit);
    if (!jit) return ATOLL_E_NOMEM;
    jit->alloc = engine->alloc;
    pthread_mutex_init(&jit->lock, NULL);
    enum atoll_status status = open_memory(&jit->memory, engine->alloc);
    jit->memory.unit = JIT_FUNCTION_ALIGNMENT;
    if (!status && engine->config.breakable_code) status = jit_memory_make_breakable(&jit->memory);
    if (!status) status = jit_thunks_make(jit, &engine->config);
    if (status) {
        jit_memory_close(&jit->memory);
        pthread_mutex_destroy(&jit->lock);
        atoll_free(engine->alloc, jit, sizeof *jit);
        return status;
    }
    engine->jit_data = jit;
    engine->bridge = jit->bridge;
    return ATOLL_OK;
}

/* Where there is no memory for code all stays interpreted. */
static enum atoll_status auto_engine_new(struct rt_engine *engine) {
    if (!engine_new(engine)) return jit_hot_new(engine);
    engine->config.tier = &interp_tier;
    return ATOLL_OK;
}

static void engine_free(struct rt_engine *engine) {
    struct jit_engine *jit = engine->jit_data;
    jit_hot_free(jit);
    jit_disassembler_close(jit);
    jit_memory_close(&jit->memory);
    jit_index_fini(jit);
    pthread_mutex_destroy(&jit->lock);
    atoll_free(engine->alloc, jit, sizeof *jit);
}

/* ---- entries ---- */

static jit_entry *make_entry(const struct rt_config *config, struct jit_engine *engine,
                             const struct rt_type *type, bool at_loop, uint32_t *bytes) {
    struct x86 a;
    struct jit_unwind unwind = {0};
    union {
        uint8_t *code;
        jit_entry *entry;
    } at = {NULL};
    x86_init(&a, engine->alloc);
    if (jit_entry_emit(engine->alloc, type, at_loop, &a, &unwind)) {
        pthread_mutex_lock(&engine->lock);
        at.code = jit_memory_take(&engine->memory, a.size);
        if (at.code && jit_memory_write(&engine->memory, at.code, a.bytes, a.size)) {
            jit_memory_give_back(&engine->memory, at.code, a.size);
            at.code = NULL;
        }
        pthread_mutex_unlock(&engine->lock);
        *bytes = (uint32_t)a.size;
        if (at.code) jit_tell_thunk(config, "entry", at.code, a.size, &unwind);
    }
    x86_fini(&a);
    return at.entry;
}

jit_entry *jit_entry_of(struct rt_func *func, bool at_loop) {
    struct rt_module *module = func->instance->module;
    struct jit_module *jit = module->jit_data;
    struct jit_entries *entries = at_loop ? &jit->loop_entries : &jit->entries;
    uint32_t type = module->bc->funcs[func->index].type;
    jit_entry *entry = __atomic_load_n(&entries->code[type], __ATOMIC_ACQUIRE);
    if (entry) return entry;
    pthread_mutex_lock(&jit->lock);
    entry = entries->code[type];
    if (!entry) {
        entry = make_entry(&module->engine->config, module->engine->jit_data, func->type, at_loop,
                           &entries->bytes[type]);
        __atomic_store_n(&entries->code[type], entry, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&jit->lock);
    return entry;
}

static bool entries_init(const struct rt_module *module, struct jit_entries *entries) {
    size_t n = module->bc->n_types + 1u;
    entries->code = atoll_new(module->engine->alloc, n, sizeof *entries->code);
    entries->bytes = atoll_new(module->engine->alloc, n, sizeof *entries->bytes);
    return entries->code && entries->bytes;
}

/* The caller holds the engine's lock. */
static void entries_fini(const struct rt_module *module, struct jit_entries *entries) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_engine *engine = module->engine->jit_data;
    size_t n = module->bc->n_types;
    for (size_t i = 0; entries->code && entries->bytes && i < n; i++)
        if (entries->code[i])
            jit_memory_give_back(&engine->memory, (const uint8_t *)(uintptr_t)entries->code[i],
                                 entries->bytes[i]);
    atoll_free(alloc, entries->code, (n + 1) * sizeof *entries->code);
    atoll_free(alloc, entries->bytes, (n + 1) * sizeof *entries->bytes);
}

/* ---- compiling ---- */

double jit_cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void append(struct jit_region *r, const struct atoll_alloc *alloc, const uint8_t *bytes, size_t n) {
    size_t at = jit_region_next(r);
    if (r->failed ||
        (at + n > r->capacity && atoll_grow(alloc, (void **)&r->bytes, &r->capacity, at + n, 1))) {
        r->failed = true;
        return;
    }
    memset(r->bytes + r->size, 0xCC, at - r->size);
    memcpy(r->bytes + at, bytes, n);
    r->size = at + n;
}

void jit_region_append_function(struct jit_region *r, const struct rt_module *module,
                                const struct jit_code *code, const uint8_t *bytes) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    uint8_t stub[JIT_STUB_BYTES] = {0x49, 0x8D, 0x86, 0,
                                    0,    0,    0,    0xE9}; /* lea rax, [r14 + func]; jmp bridge */
    uint32_t own = code->func - module->bc->n_imported_funcs;
    int32_t func_at = ((const struct jit_module *)module->jit_data)->layout.own_funcs +
                      (int32_t)(own * sizeof(struct rt_func));
    memcpy(stub + 3, &func_at, 4);
    if (code->size)
        append(r, alloc, bytes, code->size);
    else
        append(r, alloc, stub, sizeof stub);
}

static enum atoll_status compile_functions(struct rt_module *module, struct jit_module *jit,
                                           const _Atomic uint32_t *stop, struct jit_region *r) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    for (uint32_t i = 0; i < jit_n_own(module) && !r->failed; i++) {
        uint8_t *bytes;
        size_t capacity;
        struct jit_code *code = jit->codes + i;
        jit_code_fini(alloc, code); /* of an earlier try */
        enum atoll_status status = jit_compile(module, module->bc->n_imported_funcs + i, JIT_WHOLE,
                                               &jit->layout, stop, code, &bytes, &capacity);
        if (status == ATOLL_E_NOMEM) return status;
        if (atomic_load_explicit(stop, memory_order_relaxed)) {
            if (!status) atoll_free(alloc, bytes, capacity);
            return ATOLL_E_INTERRUPTED;
        }
        size_t at = jit_region_next(r);
        jit_region_append_function(r, module, code, bytes);
        if (!status) atoll_free(alloc, bytes, capacity);
        (*(status ? &jit->stats.n_declined : &jit->stats.n_compiled))++;
        code->start = (uint8_t *)at; /* until the region has its place */
        jit->stats.wasm_bytes += module->bc->funcs[module->bc->n_imported_funcs + i].body.size;
    }
    jit->stats.code_bytes = r->size;
    return r->failed ? ATOLL_E_NOMEM : ATOLL_OK;
}

static void set_distance(uint8_t *bytes, const uint8_t *place, const uint8_t *target) {
    int32_t distance = (int32_t)(target - (place + 4));
    memcpy(bytes, &distance, 4);
}

static uint64_t address_of(const struct rt_module *module, const struct jit_reloc *reloc) {
    switch ((enum jit_reloc_kind)reloc->kind) {
    case JIT_RELOC_TYPE: return (uintptr_t)module->types[reloc->target];
    case JIT_RELOC_LAYOUT: return (uintptr_t)rt_layout_of(module->engine, module->types[reloc->target]);
    case JIT_RELOC_SLOW: return (uintptr_t)jit_slow_of(module->jit_data, reloc->target);
    default: return (uintptr_t)jit_slow_run;
    }
}

/* Where a direct call leads. */
static const uint8_t *function_at(const struct jit_module *jit, uint32_t own) {
    const uint8_t *start = jit->codes[own].start;
    return start ? start : jit_saved_stub(jit, own);
}

/* bytes: of the function, which is to run at `start`. */
static void link_function(uint8_t *bytes, const struct jit_code *code, const uint8_t *start) {
    const struct jit_module *jit = code->module->jit_data;
    const struct jit_engine *engine = code->module->engine->jit_data;
    uint32_t n_imported = code->module->bc->n_imported_funcs;
    for (uint32_t k = 0; k < code->n_relocs; k++) {
        const struct jit_reloc *reloc = code->relocs + k;
        const uint8_t *target = NULL;
        uint64_t address;
        switch ((enum jit_reloc_kind)reloc->kind) {
        case JIT_RELOC_FUNC: target = function_at(jit, reloc->target - n_imported); break;
        case JIT_RELOC_SELF: target = start; break;
        case JIT_RELOC_TRAP: target = engine->traps + 16 * (size_t)reloc->target; break;
        case JIT_RELOC_LEAVE: target = engine->leave; break;
        case JIT_RELOC_TAIL: target = engine->tails[reloc->target]; break;
        case JIT_RELOC_THROW: target = engine->throw; break;
        case JIT_RELOC_THROW_REF: target = engine->throw_ref; break;
        case JIT_RELOC_REFUEL: target = engine->refuel; break;
        default:
            address = address_of(code->module, reloc);
            memcpy(bytes + reloc->at, &address, sizeof address);
            continue;
        }
        set_distance(bytes + reloc->at, start + reloc->at, target);
    }
}

/* They are kept where code may be saved. */
static void drop_relocs(const struct rt_engine *engine, struct jit_code *code) {
    const struct atoll_alloc *alloc = engine->alloc;
    if (engine->config.keep_code) return;
    atoll_free(alloc, code->relocs, code->cap_relocs * sizeof *code->relocs);
    code->relocs = NULL;
    code->cap_relocs = 0;
}

/* Code to be told of: many pieces at a time, since a debugger stops for each time. */
enum { MOST_TOLD = 32 };
struct told {
    const struct rt_config *config;
    uint32_t n;
    struct rt_placed_code codes[MOST_TOLD];
    struct jit_unwind unwinds[MOST_TOLD];
};

static void tell_rest(struct told *t) {
    if (t->n) t->config->code_placed(t->codes, t->n);
    t->n = 0;
}

static void tell(struct told *t, const struct jit_code *code) {
    struct rt_module *module = (struct rt_module *)(uintptr_t)code->module;
    const struct jit_module *jit = module->jit_data;
    struct jit_unwind *unwind = t->unwinds + t->n;
    if (!t->config->code_placed) return;
    jit_unwind_function(unwind, code);
    t->codes[t->n++] = (struct rt_placed_code){
        .module = module,
        .func = code->func,
        .loop = code != jit->codes + (code->func - module->bc->n_imported_funcs),
        .code = code->start,
        .n_bytes = code->size,
        .unwind = unwind->bytes,
        .unwind_bytes = unwind->n,
    };
    if (t->n == MOST_TOLD) tell_rest(t);
}

enum atoll_status jit_place_code(struct rt_module *module, struct jit_code *code, uint8_t *bytes) {
    struct jit_engine *engine = module->engine->jit_data;
    pthread_mutex_lock(&engine->lock);
    uint8_t *start = jit_memory_take(&engine->memory, code->size);
    enum atoll_status status = start ? ATOLL_OK : ATOLL_E_NOMEM;
    if (!status) {
        link_function(bytes, code, start);
        status = jit_memory_write(&engine->memory, start, bytes, code->size);
        __atomic_store_n(&code->start, start, __ATOMIC_RELEASE); /* it is whole: others may call it */
        if (!status) status = jit_index_add(engine, code);
        if (status) {
            __atomic_store_n(&code->start, NULL, __ATOMIC_RELEASE);
            jit_memory_give_back(&engine->memory, start, code->size);
        }
    }
    pthread_mutex_unlock(&engine->lock);
    drop_relocs(module->engine, code);
    struct told told = {.config = &module->engine->config};
    if (!status) tell(&told, code);
    tell_rest(&told);
    return status;
}

/* Gives the region its place, links, and makes it run. */
enum atoll_status jit_region_publish(struct rt_module *module, struct jit_region *r) {
    struct jit_module *jit = module->jit_data;
    struct jit_engine *engine = module->engine->jit_data;
    pthread_mutex_lock(&engine->lock);
    uint8_t *region = jit_memory_take(&engine->memory, r->size);
    enum atoll_status status = region ? ATOLL_OK : ATOLL_E_NOMEM;
    if (region) {
        if (!engine->hot) { /* there each function is given back for itself */
            jit->region = region;
            jit->region_bytes = r->size;
        }
        for (uint32_t i = 0; i < jit_n_own(module); i++)
            if (jit->codes[i].module) jit->codes[i].start = region + (uintptr_t)jit->codes[i].start;
        for (uint32_t i = 0; i < jit_n_own(module); i++) {
            const struct jit_code *code = jit->codes + i;
            if (!code->module) continue;
            uint8_t *bytes = r->bytes + (code->start - region);
            if (code->size)
                link_function(bytes, code, code->start);
            else
                set_distance(bytes + 8, code->start + 8, engine->bridge);
        }
        status = jit_memory_write(&engine->memory, region, r->bytes, r->size);
        for (uint32_t i = 0; i < jit_n_own(module) && !status; i++)
            if (jit->codes[i].size) status = jit_index_add(engine, jit->codes + i);
        if (status) {
            jit_index_remove(engine, module);
            jit_memory_give_back(&engine->memory, region, r->size);
            jit->region = NULL;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    struct told told = {.config = &module->engine->config};
    for (uint32_t i = 0; i < jit_n_own(module); i++) {
        drop_relocs(module->engine, jit->codes + i);
        if (!status && jit->codes[i].size) tell(&told, jit->codes + i);
    }
    tell_rest(&told);
    return status;
}

static enum atoll_status compile_module(struct rt_module *module, struct jit_module *jit,
                                        const _Atomic uint32_t *stop) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_region r = {0};
    double start = jit_cpu_seconds();
    jit->stats = (struct jit_stats){0};
    enum atoll_status status = compile_functions(module, jit, stop, &r);
    if (!status && r.size) status = jit_region_publish(module, &r);
    for (uint32_t i = 0; i < jit_n_own(module); i++) {
        jit->stats.table_bytes += jit_code_table_bytes(jit->codes + i);
        jit->stats.n_inlined += jit->codes[i].n_inlined_calls;
    }
    jit->stats.seconds = jit_cpu_seconds() - start;
    atoll_free(alloc, r.bytes, r.capacity);
    return status;
}

/* ---- modules ---- */

static enum atoll_status module_open(struct rt_module *module) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = atoll_new(alloc, 1, sizeof *jit);
    if (!jit) return ATOLL_E_NOMEM;
    module->jit_data = jit;
    pthread_mutex_init(&jit->lock, NULL);
    pthread_mutex_init(&jit->slow_lock, NULL);
    jit->codes = atoll_new(alloc, jit_n_own(module) + 1u, sizeof *jit->codes);
    bool ready =
        jit->codes && entries_init(module, &jit->entries) && entries_init(module, &jit->loop_entries);
    return ready ? ATOLL_OK : ATOLL_E_NOMEM;
}

/* Functions that lie side by side in one piece. */
void jit_give_back_functions(struct jit_engine *engine, const struct rt_module *module) {
    const struct jit_module *jit = module->jit_data;
    const uint8_t *start = NULL;
    size_t n = 0;
    for (uint32_t i = 0; jit->codes && i < jit_n_own(module); i++) {
        const struct jit_code *code = jit->codes + i;
        if (!code->start || !code->size) continue;
        if (start && code->start != start + n) {
            jit_memory_give_back(&engine->memory, start, n);
            start = NULL;
        }
        if (!start) start = code->start;
        n = (size_t)(code->start - start) +
            ((code->size + JIT_FUNCTION_ALIGNMENT - 1) & ~(JIT_FUNCTION_ALIGNMENT - 1));
    }
    if (start) jit_memory_give_back(&engine->memory, start, n);
}

static void module_free(struct rt_module *module) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = module->jit_data;
    struct jit_engine *engine = module->engine->jit_data;
    if (jit) {
        jit_hot_forget(module);
        pthread_mutex_lock(&engine->lock);
        jit_index_remove(engine, module);
        if (jit->region)
            jit_memory_give_back(&engine->memory, jit->region, jit->region_bytes);
        else
            jit_give_back_functions(engine, module);
        jit_saved_fini(module);
        entries_fini(module, &jit->entries);
        entries_fini(module, &jit->loop_entries);
        pthread_mutex_unlock(&engine->lock);
        jit_slows_free(module);
        for (uint32_t i = 0; jit->codes && i < jit_n_own(module); i++) jit_code_fini(alloc, jit->codes + i);
        atoll_free(alloc, jit->codes, (jit_n_own(module) + 1u) * sizeof *jit->codes);
        pthread_mutex_destroy(&jit->slow_lock);
        pthread_mutex_destroy(&jit->lock);
        atoll_free(alloc, jit, sizeof *jit);
        module->jit_data = NULL;
    }
    interp_tier.module_free(module);
}

static int32_t distance(const void *array, const void *base) {
    return (int32_t)((intptr_t)array - (intptr_t)base);
}

/* Code is the same for all instances; the first one tells where things are in them. */
static void lay_out(struct jit_module *jit, const struct rt_instance *instance, const void *base) {
    if (jit->laid_out) return;
    jit->layout = (struct jit_layout){.funcs = distance(instance->funcs, base),
                                      .globals = distance(instance->globals, base),
                                      .tables = distance(instance->tables, base),
                                      .table_elems = distance(instance->table_elems, base),
                                      .memories = distance(instance->memories, base),
                                      .own_funcs = distance(instance->own_funcs, base),
                                      .own_globals = distance(instance->own_globals, base)};
    jit->laid_out = true;
}

bool jit_is_checked(const struct rt_module *module) {
    const struct jit_module *jit = module->jit_data;
    return jit && jit->checked;
}

/* Plain accesses to memory 0 rely on its guard pages. */
static bool is_guarded(const struct rt_instance *instance) {
    const struct bc_module *bc = instance->module->bc;
    if (!bc->n_memories) return true;
    const struct bc_limits *limits = &bc->memories[0].limits;
    return limits->is64 || limits->page_size_log2 != 16 || instance->memories[0]->guarded;
}

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

enum atoll_status jit_module_data(struct rt_module *module) {
    pthread_mutex_lock(&opening);
    enum atoll_status status = module->jit_data ? ATOLL_OK : module_open(module);
    pthread_mutex_unlock(&opening);
    return status;
}

enum atoll_status jit_module_open(struct rt_instance *instance) {
    struct rt_module *module = instance->module;
    enum atoll_status status = jit_module_data(module);
    pthread_mutex_lock(&opening);
    struct jit_module *jit = module->jit_data;
    if (!status && !jit->laid_out) jit->checked = !is_guarded(instance);
    if (!status) lay_out(jit, instance, instance);
    pthread_mutex_unlock(&opening);
    return status;
}

enum atoll_status jit_compile_module(struct rt_module *module, const bc_stop *stop, struct atoll_error *err) {
    struct rt_instance measured;
    enum atoll_status status = jit_module_data(module);
    struct jit_module *jit = module->jit_data;
    if (!status && module->bc->uses_gc) status = rt_heap_start_engine(module->engine);
    if (!status && !rt_instance_measure(module, &measured)) status = ATOLL_E_LIMIT;
    if (!status) {
        lay_out(jit, &measured, &measured);
        pthread_mutex_lock(&jit->lock);
        if (!jit->compiled) status = compile_module(module, jit, stop);
        jit->compiled = !status;
        pthread_mutex_unlock(&jit->lock);
    }
    if (!status) return ATOLL_OK;
    return atoll_fail(err, status, ATOLL_NO_OFFSET,
                      status == ATOLL_E_INTERRUPTED ? "stopped"
                      : status == ATOLL_E_LIMIT     ? "its instances would be too large"
                                                    : "out of memory");
}

static enum atoll_status module_prepare(struct rt_instance *instance) {
    enum atoll_status status = jit_module_open(instance);
    if (status) return status;
    struct jit_module *jit = instance->module->jit_data;
    pthread_mutex_lock(&jit->lock);
    if (!jit->compiled) jit->compiled = jit_restore_saved(instance->module);
    if (!jit->compiled) {
        status = compile_module(instance->module, jit, &instance->store->interrupt);
        jit->compiled = !status;
    }
    pthread_mutex_unlock(&jit->lock);
    return status;
}

void jit_use(struct rt_func *func, const struct jit_code *code) {
    __atomic_store_n(&func->jit_code, (const void *)code->start, __ATOMIC_RELEASE);
    interp_use_compiled(func);
}

static void use_saved(struct rt_func *func) {
    const void *first = ((const struct jit_engine *)func->instance->module->engine->jit_data)->first;
    __atomic_store_n(&func->jit_code, first, __ATOMIC_RELEASE);
    interp_use_compiled(func);
}

void jit_use_none(struct rt_func *func) {
    interp_use_lowered(func);
    __atomic_store_n(&func->jit_code, func->instance->module->engine->bridge, __ATOMIC_RELEASE);
}

void jit_use_all(struct rt_instance *instance) {
    const struct jit_module *jit = instance->module->jit_data;
    for (uint32_t i = 0; i < jit_n_own(instance->module); i++)
        if (jit_saved_waits(jit, i))
            use_saved(instance->own_funcs + i);
        else if (jit->heat ? jit_is_ready(jit, i) : jit->codes[i].size != 0)
            jit_use(instance->own_funcs + i, jit->codes + i);
}

static void use_bridge(struct rt_instance *instance) {
    for (uint32_t i = 0; i < jit_n_own(instance->module); i++)
        instance->own_funcs[i].jit_code = instance->store->engine->bridge;
}

static enum atoll_status fail_prepare(enum atoll_status status, struct atoll_error *err) {
    const char *why = status == ATOLL_E_INTERRUPTED ? "stopped" : "out of memory";
    return status ? atoll_fail(err, status, ATOLL_NO_OFFSET, "%s", why) : ATOLL_OK;
}

/* All is interpreted so far. *out: the instance may run compiled code. */
static enum atoll_status prepare_interpreted(struct rt_instance *instance, bool *out,
                                             struct atoll_error *err) {
    enum atoll_status status = interp_tier.prepare(instance, err);
    *out = false;
    if (status) return status;
    use_bridge(instance);
    if (instance->store->engine->config.probes) return ATOLL_OK;
    status = jit_module_open(instance);
    *out = !status && (is_guarded(instance) || jit_is_checked(instance->module));
    return fail_prepare(status, err);
}

static enum atoll_status prepare(struct rt_instance *instance, struct atoll_error *err) {
    bool compiles;
    enum atoll_status status = prepare_interpreted(instance, &compiles, err);
    if (status || !compiles) return status;
    status = module_prepare(instance);
    if (status) return fail_prepare(status, err);
    struct jit_module *jit = instance->module->jit_data;
    pthread_mutex_lock(&jit->lock);
    jit_use_all(instance);
    pthread_mutex_unlock(&jit->lock);
    return ATOLL_OK;
}

static enum atoll_status auto_prepare(struct rt_instance *instance, struct atoll_error *err) {
    bool compiles;
    enum atoll_status status = prepare_interpreted(instance, &compiles, err);
    return status || !compiles ? status : fail_prepare(jit_hot_prepare(instance), err);
}

static enum rt_trap call(struct rt_store *store, struct rt_func *func, union rt_slot *args_results) {
    bool compiled = __atomic_load_n(&func->jit_code, __ATOMIC_ACQUIRE) != store->engine->bridge;
    return compiled ? jit_enter(store, func, args_results) : interp_tier.call(store, func, args_results);
}

const struct rt_tier jit_tier = {.name = "jit",
                                 .prepare = prepare,
                                 .call = call,
                                 .module_free = module_free,
                                 .engine_new = engine_new,
                                 .engine_free = engine_free,
                                 .call_compiled = jit_enter_from_interpreter};

const struct rt_tier auto_tier = {.name = "auto",
                                  .prepare = auto_prepare,
                                  .call = call,
                                  .module_free = module_free,
                                  .engine_new = auto_engine_new,
                                  .engine_free = engine_free,
                                  .call_compiled = jit_enter_from_interpreter,
                                  .hot = jit_hot,
                                  .call_loop = jit_enter_loop,
                                  .instance_free = jit_hot_instance_free};

/* ---- looking inside ---- */

void jit_module_stats(const struct rt_module *module, struct jit_stats *out) {
    const struct jit_module *jit = module->jit_data;
    *out = (struct jit_stats){0};
    if (!jit) return;
    jit_hot_lock(module->engine->jit_data);
    *out = jit->stats;
    jit_hot_unlock(module->engine->jit_data);
}

const char *jit_declined(const struct rt_module *module, uint32_t func) {
    struct jit_module *jit = module->jit_data;
    if (!jit || func < module->bc->n_imported_funcs) return NULL;
    uint32_t own = func - module->bc->n_imported_funcs;
    pthread_mutex_lock(&jit->lock);
    jit_hot_lock(module->engine->jit_data);
    const char *why = jit_is_decided(jit, own) ? jit->codes[own].declined : NULL;
    jit_hot_unlock(module->engine->jit_data);
    pthread_mutex_unlock(&jit->lock);
    return why;
}
