/* runtime/instance.c: instantiation, in the order of the core spec's "Modules / Instantiation":
 *
 *   imports resolved and matched -> functions, tags, globals, tables, memories, passive elements made
 *     -> (from here on the instance stays: its functions may be reachable from others)
 *     -> active elements -> active data -> start function
 *
 * An instance and all its index spaces are one allocation, so that starting a small program is cheap. */
#include <inttypes.h>
#include <string.h>
#include "runtime/internal.h"

/* An address in the kernel's half of the address space: with any 32-bit index and offset added it faults, and
 * no memory's reservation contains it, so the fault is a crash and not a trap. A module without memory has no
 * instruction that uses it. */
#define NO_MEMORY_BASE ((uint8_t *)UINT64_C(0xFFFF900000000000))

/* ---- allocation ---- */

/* Lays out the arrays behind the instance; with base NULL it only measures. */
struct layout {
    char *base;
    size_t size;
    bool overflow;
};

static void *place(struct layout *layout, size_t n_items, size_t item_size) {
    size_t bytes, at = (layout->size + 15) & ~(size_t)15;
    if (__builtin_mul_overflow(n_items, item_size, &bytes) ||
        __builtin_add_overflow(at, bytes, &layout->size))
        layout->overflow = true;
    return layout->base ? layout->base + at : NULL;
}

static void lay_out(struct layout *layout, const struct bc_module *bc, struct rt_instance *i) {
    place(layout, 1, sizeof *i);
    i->funcs = place(layout, bc->n_funcs, sizeof *i->funcs);
    i->globals = place(layout, bc->n_globals, sizeof *i->globals);
    i->tables = place(layout, bc->n_tables, sizeof *i->tables);
    i->table_elems = place(layout, bc->n_tables, sizeof *i->table_elems);
    i->memories = place(layout, bc->n_memories, sizeof *i->memories);
    i->tags = place(layout, bc->n_tags, sizeof *i->tags);
    i->elem_items = place(layout, bc->n_elems, sizeof *i->elem_items);
    i->own_funcs = place(layout, bc->n_funcs - bc->n_imported_funcs, sizeof *i->own_funcs);
    i->own_globals = place(layout, bc->n_globals - bc->n_imported_globals, sizeof *i->own_globals);
    i->own_tags = place(layout, bc->n_tags - bc->n_imported_tags, sizeof *i->own_tags);
    i->dropped_elems = place(layout, bc->n_elems, 1);
    i->dropped_datas = place(layout, bc->n_datas, 1);
}

static struct rt_instance *new_instance(struct rt_store *store, struct rt_module *module) {
    struct rt_instance measured;
    struct layout layout = {0};
    lay_out(&layout, module->bc, &measured);
    if (layout.overflow) return NULL;
    size_t block_bytes = layout.size;
    struct rt_instance *instance = atoll_new(rt_alloc(store), 1, block_bytes);
    if (!instance) return NULL;
    layout = (struct layout){.base = (char *)instance};
    lay_out(&layout, module->bc, instance);
    instance->block_bytes = block_bytes;
    instance->store = store;
    instance->module = module;
    instance->memory0_base = NO_MEMORY_BASE;
    rt_module_ref(module);
    return instance;
}

bool rt_instance_measure(const struct rt_module *module, struct rt_instance *out) {
    struct layout layout = {.base = (char *)out}; /* nothing stands there; only distances are of use */
    lay_out(&layout, module->bc, out);
    return !layout.overflow;
}

static void free_items(struct rt_instance *instance) {
    const struct bc_module *bc = instance->module->bc;
    for (uint32_t i = 0; i < bc->n_elems; i++)
        if (instance->elem_items[i]) rt_elem_drop(instance, i);
}

void rt_instance_free(struct rt_instance *instance) {
    const struct atoll_alloc *alloc = rt_alloc(instance->store);
    if (instance->tier_data) instance->store->engine->config.tier->instance_free(instance);
    free_items(instance);
    if (instance->name) atoll_free(alloc, instance->name, strlen(instance->name) + 1);
    struct rt_module *module = instance->module;
    atoll_free(alloc, instance, instance->block_bytes);
    rt_module_unref(module);
}

/* ---- imports ---- */

#define NAME_MAX_BYTES 180 /* of each of an import's two names in a message: mangled ones are long */

/* The name with bytes that would end the message, or steer a terminal, as \xx; cut with "...". */
static const char *name_text(struct bc_name name, char out[NAME_MAX_BYTES + 8]) {
    static const char hex[] = "0123456789abcdef";
    size_t n = 0, i = 0;
    for (; i < name.size && n < NAME_MAX_BYTES; i++) {
        uint8_t c = (uint8_t)name.bytes[i];
        if (c < 0x20 || c == 0x7F || c == '\\')
            out[n++] = '\\', out[n++] = hex[c >> 4], out[n++] = hex[c & 15];
        else
            out[n++] = (char)c;
    }
    while (i < name.size && n && (name.bytes[i] & 0xC0) == 0x80) i--, n--; /* no half characters */
    strcpy(out + n, i < name.size ? "..." : "");
    return out;
}

static enum atoll_status link_error(const struct bc_import *import, const struct rt_extern_type *wanted,
                                    const struct rt_extern_type *found, struct atoll_error *err) {
    char wanted_text[160], found_text[160], module[NAME_MAX_BYTES + 8], name[NAME_MAX_BYTES + 8];
    rt_extern_type_text(wanted, wanted_text, sizeof wanted_text);
    name_text(import->module, module);
    name_text(import->name, name);
    if (!found)
        return atoll_fail(err, ATOLL_E_LINK, import->offset, "unknown import: %s.%s, expected %s", module,
                          name, wanted_text);
    rt_extern_type_text(found, found_text, sizeof found_text);
    return atoll_fail(err, ATOLL_E_LINK, import->offset,
                      "incompatible import type: %s.%s, expected %s, found %s", module, name, wanted_text,
                      found_text);
}

static void set_import(struct rt_instance *instance, uint32_t index, const struct rt_extern *found) {
    switch (found->kind) {
    case BC_EXTERN_FUNC: instance->funcs[index] = found->func; break;
    case BC_EXTERN_TABLE: instance->tables[index] = found->table; break;
    case BC_EXTERN_MEMORY: instance->memories[index] = found->memory; break;
    case BC_EXTERN_GLOBAL: instance->globals[index] = found->global; break;
    case BC_EXTERN_TAG: instance->tags[index] = found->tag; break;
    }
}

static enum atoll_status find_import(const struct rt_module *module, const struct bc_import *import,
                                     rt_resolver *resolve, void *context, struct rt_extern *out,
                                     struct atoll_error *err) {
    struct rt_extern_type wanted = rt_extern_type_wanted(module, import);
    *out = (struct rt_extern){0};
    bool there = resolve && resolve(context, module, import, out);
    struct rt_extern_type found = there ? rt_extern_type_found(out) : wanted;
    if (there && rt_extern_type_matches(&found, &wanted)) return ATOLL_OK;
    enum atoll_status status = link_error(import, &wanted, there ? &found : NULL, err);
    bc_source_map_place(module->source_map, err);
    return status;
}

enum atoll_status rt_link_check(const struct rt_module *module, rt_resolver *resolve, void *context,
                                struct atoll_error *err) {
    enum atoll_status status = ATOLL_OK;
    struct rt_extern found;
    for (uint32_t i = 0; i < module->bc->n_imports && !status; i++)
        status = find_import(module, module->bc->imports + i, resolve, context, &found, err);
    return status;
}

static enum atoll_status resolve_imports(struct rt_instance *instance, rt_resolver *resolve, void *context,
                                         struct atoll_error *err) {
    const struct rt_module *module = instance->module;
    for (uint32_t i = 0; i < module->bc->n_imports; i++) {
        struct rt_extern found;
        enum atoll_status status =
            find_import(module, module->bc->imports + i, resolve, context, &found, err);
        if (!status && found.kind == BC_EXTERN_MEMORY)
            status = rt_memory_attach(instance->store, found.memory, err);
        if (status) return status;
        set_import(instance, module->bc->imports[i].index, &found);
    }
    return ATOLL_OK;
}

/* A trap outside of any function: no frame belongs to it. Out of memory is none, seen from outside. */
static enum atoll_status fail_trap(struct rt_store *store, enum rt_trap trap, struct atoll_error *err) {
    if (trap == RT_TRAP_OUT_OF_MEMORY)
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    store->n_frames = 0;
    return rt_trap_report(store, trap, err);
}

/* ---- own entities ---- */

static void make_funcs_and_tags(struct rt_instance *instance) {
    const struct rt_module *module = instance->module;
    const struct bc_module *bc = module->bc;
    for (uint32_t i = bc->n_imported_funcs; i < bc->n_funcs; i++) {
        struct rt_func *func = instance->own_funcs + (i - bc->n_imported_funcs);
        func->type = module->types[bc->funcs[i].type];
        func->instance = instance;
        func->index = i;
        func->kin = instance->own_funcs + module->first_funcs[bc->funcs[i].type];
        instance->funcs[i] = func;
    }
    for (uint32_t i = bc->n_imported_tags; i < bc->n_tags; i++) {
        instance->tags[i] = instance->own_tags + (i - bc->n_imported_tags);
        instance->tags[i]->type = module->types[bc->tags[i].type];
    }
}

static enum rt_trap make_globals(struct rt_instance *instance) {
    const struct bc_module *bc = instance->module->bc;
    enum rt_trap trap = RT_TRAP_NONE;
    for (uint32_t i = bc->n_imported_globals; i < bc->n_globals && !trap; i++) {
        struct rt_global *global = instance->own_globals + (i - bc->n_imported_globals);
        global->type = rt_valtype_of(instance->module, bc->globals[i].type);
        global->mutable = bc->globals[i].mutable;
        instance->globals[i] = global;
        trap = rt_const_eval(instance, bc->globals[i].init, global->value);
    }
    return trap;
}

static enum atoll_status make_tables(struct rt_instance *instance, struct atoll_error *err) {
    const struct bc_module *bc = instance->module->bc;
    for (uint32_t i = bc->n_imported_tables; i < bc->n_tables; i++) {
        const struct bc_table *table = bc->tables + i;
        union rt_slot init[2] = {{0}};
        enum rt_trap trap = table->init.size ? rt_const_eval(instance, table->init, init) : RT_TRAP_NONE;
        if (trap) return fail_trap(instance->store, trap, err);
        struct rt_valtype elem = rt_valtype_of(instance->module, table->type);
        enum atoll_status status =
            rt_table_new(instance->store, elem, &table->limits, init[0], instance->tables + i, err);
        if (status) return status;
    }
    return ATOLL_OK;
}

static enum atoll_status make_memories(struct rt_instance *instance, struct atoll_error *err) {
    const struct bc_module *bc = instance->module->bc;
    for (uint32_t i = bc->n_imported_memories; i < bc->n_memories; i++) {
        enum atoll_status status =
            rt_memory_new(instance->store, &bc->memories[i].limits, instance->memories + i, err);
        if (status) return status;
    }
    if (bc->n_memories) instance->memory0_base = instance->memories[0]->base;
    return ATOLL_OK;
}

static enum atoll_status make_entities(struct rt_instance *instance, struct atoll_error *err) {
    struct rt_store *store = instance->store;
    make_funcs_and_tags(instance);
    enum rt_trap trap = make_globals(instance);
    if (trap) return fail_trap(store, trap, err);
    enum atoll_status status = make_tables(instance, err);
    if (!status) status = make_memories(instance, err);
    if (status) return status;
    for (uint32_t i = 0; i < instance->module->bc->n_tables; i++)
        instance->table_elems[i] = instance->tables[i]->elems;
    trap = rt_elems_evaluate(instance);
    if (trap) return fail_trap(store, trap, err);
    const struct rt_tier *tier = store->engine->config.tier;
    enum atoll_status prepared = tier && tier->prepare ? tier->prepare(instance, err) : ATOLL_OK;
    return prepared == ATOLL_E_INTERRUPTED ? fail_trap(store, rt_poll(store), err) : prepared;
}

/* Takes back what make_entities made: the newest of the store down to the marks. */
static void unmake(struct rt_instance *instance, const struct rt_memory_link *memories,
                   const struct rt_table *tables) {
    struct rt_store *store = instance->store;
    while (store->memories != memories) rt_memory_drop(store);
    while (store->tables != tables) rt_table_free(store->tables);
    rt_instance_free(instance);
}

/* ---- instantiation ---- */

static enum atoll_status admit(struct rt_store *store, struct atoll_error *err) {
    uint32_t limit = store->budget->limits.max_instances;
    if (!rt_budget_take(&store->budget->n_instances, 1, limit))
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "more than %" PRIu32 " instances", limit);
    void *p = store->instances;
    bool paused = rt_heap_pause(store);
    bool grown = !atoll_grow(rt_alloc(store), &p, &store->cap_instances, store->n_instances + 1,
                             sizeof *store->instances);
    store->instances = p;
    rt_heap_resume(paused);
    if (grown) return ATOLL_OK;
    rt_budget_give(&store->budget->n_instances, 1);
    return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

/* What can be seen from outside: segments, then the start function. */
static enum atoll_status bring_to_life(struct rt_instance *instance, struct atoll_error *err) {
    struct rt_module *module = instance->module;
    struct rt_store *store = instance->store;
    bool again = atomic_fetch_add(&module->n_instantiations, 1) > 0;
    enum rt_trap trap = rt_elems_apply(instance);
    if (!trap) trap = rt_datas_apply(instance, again ? rt_image_of(module) : NULL);
    if (trap) return fail_trap(store, trap, err);
    if (module->bc->start == BC_NONE) return ATOLL_OK;
    return rt_call(store, instance->funcs[module->bc->start], store->stack_top, err);
}

enum atoll_status rt_instantiate(struct rt_store *store, struct rt_module *module, rt_resolver *resolve,
                                 void *context, struct rt_instance **out, struct atoll_error *err) {
    if (module->engine != store->engine)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "module and store belong to different engines");
    struct rt_instance *instance = new_instance(store, module);
    if (!instance) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    enum atoll_status status = resolve_imports(instance, resolve, context, err);
    /* marks are set behind the resolver, which may have made entities of the host's */
    const struct rt_memory_link *memories = store->memories;
    const struct rt_table *tables = store->tables;
    if (!status) status = admit(store, err);
    bool admitted = !status;
    if (!status && module->bc->uses_gc) status = rt_heap_start(store, err);
    store->instantiating = instance;
    if (!status) status = make_entities(instance, err);
    if (status) {
        store->instantiating = NULL;
        unmake(instance, memories, tables);
        if (admitted) rt_budget_give(&store->budget->n_instances, 1);
        return status;
    }
    instance->id = (uint32_t)store->n_instances;
    bool paused = rt_heap_pause(store); /* the collector of another thread walks this list */
    store->instances[store->n_instances++] = instance;
    store->instantiating = NULL;
    rt_heap_resume(paused);
    status = bring_to_life(instance, err);
    if (!status) *out = instance;
    return status;
}

bool rt_instance_export(const struct rt_instance *instance, const char *name, size_t size,
                        struct rt_extern *out) {
    const struct bc_export *export = rt_module_export(instance->module, name, size);
    if (!export) return false;
    out->kind = export->kind;
    switch (export->kind) {
    case BC_EXTERN_FUNC: out->func = instance->funcs[export->index]; break;
    case BC_EXTERN_TABLE: out->table = instance->tables[export->index]; break;
    case BC_EXTERN_MEMORY: out->memory = instance->memories[export->index]; break;
    case BC_EXTERN_GLOBAL: out->global = instance->globals[export->index]; break;
    case BC_EXTERN_TAG: out->tag = instance->tags[export->index]; break;
    }
    return true;
}
