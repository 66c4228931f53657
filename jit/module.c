/* jit/module.c: a module's machine code: made before its first instance runs, shared by all, gone with it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "jit/engine.h"

/* ---- the engine ---- */

static enum atoll_status engine_new(struct rt_engine *engine) {
    struct jit_engine *jit = atoll_new(engine->alloc, 1, sizeof *jit);
    if (!jit) return ATOLL_E_NOMEM;
    jit->alloc = engine->alloc;
    pthread_mutex_init(&jit->lock, NULL);
    enum atoll_status status = jit_memory_open(jit);
    if (!status) status = jit_thunks_make(jit);
    if (status) {
        jit_memory_close(jit);
        pthread_mutex_destroy(&jit->lock);
        atoll_free(engine->alloc, jit, sizeof *jit);
        return status;
    }
    engine->jit_data = jit;
    engine->bridge = jit->bridge;
    return ATOLL_OK;
}

static void engine_free(struct rt_engine *engine) {
    struct jit_engine *jit = engine->jit_data;
    jit_memory_close(jit);
    pthread_mutex_destroy(&jit->lock);
    atoll_free(engine->alloc, jit, sizeof *jit);
}

/* ---- entries ---- */

static jit_entry *make_entry(struct jit_engine *engine, const struct rt_type *type, uint32_t *bytes) {
    struct x86 a;
    union {
        uint8_t *code;
        jit_entry *entry;
    } at = {NULL};
    x86_init(&a, engine->alloc);
    if (jit_entry_emit(engine->alloc, type, &a)) {
        pthread_mutex_lock(&engine->lock);
        at.code = jit_memory_take(engine, a.size);
        if (at.code && jit_memory_write(engine, at.code, a.bytes, a.size)) {
            jit_memory_give_back(engine, at.code, a.size);
            at.code = NULL;
        }
        pthread_mutex_unlock(&engine->lock);
        *bytes = (uint32_t)a.size;
    }
    x86_fini(&a);
    return at.entry;
}

jit_entry *jit_entry_of(struct rt_func *func) {
    struct rt_module *module = func->instance->module;
    struct jit_module *jit = module->jit_data;
    uint32_t type = module->bc->funcs[func->index].type;
    jit_entry *entry = __atomic_load_n(&jit->entries[type], __ATOMIC_ACQUIRE);
    if (entry) return entry;
    pthread_mutex_lock(&jit->lock);
    entry = jit->entries[type];
    if (!entry) {
        entry = make_entry(module->engine->jit_data, func->type, &jit->entry_bytes[type]);
        __atomic_store_n(&jit->entries[type], entry, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&jit->lock);
    return entry;
}

/* ---- compiling ---- */

static uint32_t n_own(const struct rt_module *module) {
    return module->bc->n_funcs - module->bc->n_imported_funcs;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct build_region { /* all code of a module, before it has its place */
    uint8_t *bytes;
    size_t size, capacity;
    bool failed;
};

static void append(struct build_region *r, const struct atoll_alloc *alloc, const uint8_t *bytes, size_t n) {
    size_t at = (r->size + 15) & ~(size_t)15;
    if (r->failed ||
        (at + n > r->capacity && atoll_grow(alloc, (void **)&r->bytes, &r->capacity, at + n, 1))) {
        r->failed = true;
        return;
    }
    memset(r->bytes + r->size, 0xCC, at - r->size);
    memcpy(r->bytes + at, bytes, n);
    r->size = at + n;
}

/* What a direct call of a function without code goes to: rax = the function, then the bridge. */
static void append_stub(struct build_region *r, const struct atoll_alloc *alloc, int32_t func_at) {
    uint8_t stub[12] = {0x49, 0x8D, 0x86, 0, 0, 0, 0, 0xE9}; /* lea rax, [r14 + func]; jmp bridge */
    memcpy(stub + 3, &func_at, 4);
    append(r, alloc, stub, sizeof stub);
}

static enum atoll_status compile_functions(struct rt_module *module, struct jit_module *jit,
                                           const _Atomic uint32_t *stop, struct build_region *r) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    for (uint32_t i = 0; i < n_own(module) && !r->failed; i++) {
        uint8_t *bytes;
        size_t capacity;
        struct jit_code *code = jit->codes + i;
        jit_code_fini(alloc, code); /* of an earlier try */
        enum atoll_status status = jit_compile(module, module->bc->n_imported_funcs + i, &jit->layout, stop,
                                               code, &bytes, &capacity, NULL);
        if (status == ATOLL_E_NOMEM) return status;
        if (atomic_load_explicit(stop, memory_order_relaxed)) {
            if (!status) atoll_free(alloc, bytes, capacity);
            return ATOLL_E_INTERRUPTED;
        }
        size_t at = (r->size + 15) & ~(size_t)15;
        if (status) {
            append_stub(r, alloc, jit->layout.own_funcs + (int32_t)(i * sizeof(struct rt_func)));
            jit->stats.n_declined++;
        } else {
            append(r, alloc, bytes, code->size);
            atoll_free(alloc, bytes, capacity);
            jit->stats.n_compiled++;
        }
        code->start = (uint8_t *)at; /* until the region has its place */
        jit->stats.wasm_bytes += module->bc->funcs[module->bc->n_imported_funcs + i].body.size;
    }
    jit->stats.code_bytes = r->size;
    return r->failed ? ATOLL_E_NOMEM : ATOLL_OK;
}

static void set_distance(struct build_region *r, size_t at, const uint8_t *region, const uint8_t *target) {
    int32_t distance = (int32_t)(target - (region + at + 4));
    memcpy(r->bytes + at, &distance, 4);
}

static void link_function(struct build_region *r, const struct jit_module *jit,
                          const struct jit_engine *engine, const struct jit_code *code, uint32_t n_imported) {
    for (uint32_t k = 0; k < code->n_relocs; k++) {
        const struct jit_reloc *reloc = code->relocs + k;
        const uint8_t *target = NULL;
        switch ((enum jit_reloc_kind)reloc->kind) {
        case JIT_RELOC_FUNC: target = jit->codes[reloc->target - n_imported].start; break;
        case JIT_RELOC_TRAP: target = engine->traps + 16 * (size_t)reloc->target; break;
        case JIT_RELOC_LEAVE: target = engine->leave; break;
        case JIT_RELOC_FAR_TAIL: target = engine->far_tail; break;
        }
        set_distance(r, (size_t)(code->start - jit->region) + reloc->at, jit->region, target);
    }
}

/* Gives the region its place, links, and makes it run. */
static enum atoll_status publish(struct rt_module *module, struct jit_module *jit, struct build_region *r) {
    struct jit_engine *engine = module->engine->jit_data;
    uint32_t n_imported = module->bc->n_imported_funcs;
    pthread_mutex_lock(&engine->lock);
    uint8_t *region = jit_memory_take(engine, r->size);
    enum atoll_status status = region ? ATOLL_OK : ATOLL_E_NOMEM;
    if (region) {
        jit->region = region;
        jit->region_bytes = r->size;
        for (uint32_t i = 0; i < n_own(module); i++)
            jit->codes[i].start = region + (uintptr_t)jit->codes[i].start;
        for (uint32_t i = 0; i < n_own(module); i++) {
            const struct jit_code *code = jit->codes + i;
            if (code->size)
                link_function(r, jit, engine, code, n_imported);
            else
                set_distance(r, (size_t)(code->start - region) + 8, region, engine->bridge);
        }
        status = jit_memory_write(engine, region, r->bytes, r->size);
        for (uint32_t i = 0; i < n_own(module) && !status; i++)
            if (jit->codes[i].size) status = jit_index_add(engine, jit->codes + i);
    }
    pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < n_own(module); i++) {
        struct jit_code *code = jit->codes + i;
        atoll_free(module->engine->alloc, code->relocs, code->cap_relocs * sizeof *code->relocs);
        code->relocs = NULL;
        code->cap_relocs = 0;
    }
    return status;
}

static enum atoll_status compile_module(struct rt_module *module, struct jit_module *jit,
                                        const _Atomic uint32_t *stop) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct build_region r = {0};
    double start = now();
    jit->stats = (struct jit_stats){0};
    enum atoll_status status = compile_functions(module, jit, stop, &r);
    if (!status && r.size) status = publish(module, jit, &r);
    jit->stats.seconds = now() - start;
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
    jit->codes = atoll_new(alloc, n_own(module) + 1u, sizeof *jit->codes);
    jit->entries = atoll_new(alloc, module->bc->n_types + 1u, sizeof *jit->entries);
    jit->entry_bytes = atoll_new(alloc, module->bc->n_types + 1u, sizeof *jit->entry_bytes);
    return jit->codes && jit->entries && jit->entry_bytes ? ATOLL_OK : ATOLL_E_NOMEM;
}

static void module_free(struct rt_module *module) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = module->jit_data;
    struct jit_engine *engine = module->engine->jit_data;
    if (jit) {
        pthread_mutex_lock(&engine->lock);
        if (jit->region) {
            jit_index_remove(engine, jit->region, jit->region_bytes);
            jit_memory_give_back(engine, jit->region, jit->region_bytes);
        }
        for (uint32_t i = 0; jit->entries && i < module->bc->n_types; i++)
            if (jit->entries[i])
                jit_memory_give_back(engine, (const uint8_t *)(uintptr_t)jit->entries[i],
                                     jit->entry_bytes[i]);
        pthread_mutex_unlock(&engine->lock);
        jit_slows_free(module);
        for (uint32_t i = 0; jit->codes && i < n_own(module); i++) jit_code_fini(alloc, jit->codes + i);
        atoll_free(alloc, jit->codes, (n_own(module) + 1u) * sizeof *jit->codes);
        atoll_free(alloc, jit->entries, (module->bc->n_types + 1u) * sizeof *jit->entries);
        atoll_free(alloc, jit->entry_bytes, (module->bc->n_types + 1u) * sizeof *jit->entry_bytes);
        pthread_mutex_destroy(&jit->lock);
        atoll_free(alloc, jit, sizeof *jit);
        module->jit_data = NULL;
    }
    interp_tier.module_free(module);
}

static int32_t offset_in(const struct rt_instance *instance, const void *array) {
    return (int32_t)((const char *)array - (const char *)instance);
}

/* Code is the same for all instances; the first one tells where things are in them. */
static enum atoll_status module_prepare(struct rt_instance *instance) {
    static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
    struct rt_module *module = instance->module;
    pthread_mutex_lock(&opening);
    enum atoll_status status = module->jit_data ? ATOLL_OK : module_open(module);
    pthread_mutex_unlock(&opening);
    if (status) return status;
    struct jit_module *jit = module->jit_data;
    pthread_mutex_lock(&jit->lock);
    if (!jit->compiled) {
        jit->layout = (struct jit_layout){
            offset_in(instance, instance->funcs),     offset_in(instance, instance->globals),
            offset_in(instance, instance->tables),    offset_in(instance, instance->memories),
            offset_in(instance, instance->own_funcs), offset_in(instance, instance->own_globals)};
        status = compile_module(module, jit, &instance->store->interrupt);
        jit->compiled = !status;
    }
    pthread_mutex_unlock(&jit->lock);
    return status;
}

/* Plain accesses to memory 0 rely on its guard pages. */
static bool may_run(const struct rt_instance *instance) {
    const struct bc_module *bc = instance->module->bc;
    if (!bc->n_memories) return true;
    const struct bc_limits *limits = &bc->memories[0].limits;
    return limits->is64 || limits->page_size_log2 != 16 || instance->memories[0]->guarded;
}

static enum atoll_status prepare(struct rt_instance *instance, struct atoll_error *err) {
    struct jit_engine *engine = instance->store->engine->jit_data;
    enum atoll_status status = interp_tier.prepare(instance, err);
    if (status) return status;
    bool compiled = may_run(instance) && !instance->store->engine->config.fuel;
    if (compiled) status = module_prepare(instance);
    if (status)
        return atoll_fail(err, status, ATOLL_NO_OFFSET,
                          status == ATOLL_E_INTERRUPTED ? "stopped" : "out of memory");
    const struct jit_module *jit = instance->module->jit_data;
    for (uint32_t i = 0; i < n_own(instance->module); i++) {
        struct rt_func *func = instance->own_funcs + i;
        func->jit_code = (void *)(uintptr_t)engine->bridge;
        if (!compiled || !jit->codes[i].size) continue;
        func->jit_code = jit->codes[i].start;
        interp_use_compiled(func);
    }
    return ATOLL_OK;
}

static enum rt_trap call(struct rt_store *store, struct rt_func *func, union rt_slot *args_results) {
    bool compiled = func->jit_code != store->engine->bridge;
    return compiled ? jit_enter(store, func, args_results) : interp_tier.call(store, func, args_results);
}

const struct rt_tier jit_tier = {.name = "jit",
                                 .prepare = prepare,
                                 .call = call,
                                 .module_free = module_free,
                                 .engine_new = engine_new,
                                 .engine_free = engine_free,
                                 .call_compiled = jit_enter};

/* ---- looking inside ---- */

enum atoll_status jit_dump(struct rt_module *module, uint32_t func, struct bc_buf *out,
                           struct atoll_error *err) {
    struct jit_code code;
    uint8_t *bytes = NULL;
    size_t capacity = 0;
    struct jit_module *jit = module->jit_data;
    static const struct jit_layout nowhere;
    enum atoll_status status = jit ? ATOLL_OK : module_open(module);
    if (!status) {
        jit = module->jit_data;
        status = jit_compile(module, func, jit->compiled ? &jit->layout : &nowhere, NULL, &code, &bytes,
                             &capacity, out);
        if (status == ATOLL_E_UNSUPPORTED) {
            bc_buf_text(out, "function %u stays interpreted: %s\n", func, code.declined);
            status = ATOLL_OK;
        } else if (!status) {
            bc_buf_text(out, "code:");
            for (uint32_t i = 0; i < code.size; i++)
                bc_buf_text(out, "%s%02x", i % 32 ? " " : "\n  ", bytes[i]);
            bc_buf_text(out, "\n");
            jit_code_fini(module->engine->alloc, &code);
        }
        atoll_free(module->engine->alloc, bytes, capacity);
    }
    return status ? atoll_fail(err, status, ATOLL_NO_OFFSET, "out of memory") : ATOLL_OK;
}

void jit_module_stats(const struct rt_module *module, struct jit_stats *out) {
    const struct jit_module *jit = module->jit_data;
    *out = jit ? jit->stats : (struct jit_stats){0};
}

const char *jit_declined(const struct rt_module *module, uint32_t func) {
    const struct jit_module *jit = module->jit_data;
    return jit && func >= module->bc->n_imported_funcs
               ? jit->codes[func - module->bc->n_imported_funcs].declined
               : NULL;
}
