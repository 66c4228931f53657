/* runtime/exception.c: exceptions. One is in flight in a store at most: from its throw, while tiers and host
 * functions unwind, to the landing at its handler. It becomes an object only where a program asks for a
 * reference to it: in the managed heap if the store has one, else in a pool of its own (exception_pool.c). */
#include <inttypes.h>
#include <stdio.h>
#include "runtime/internal.h"

static bool make_room(struct rt_store *store, size_t n) {
    void *p = store->thrown_values;
    if (n <= store->n_thrown_values) return true;
    bool paused = rt_heap_pause(store);
    bool ok = !atoll_grow(rt_alloc(store), &p, &store->n_thrown_values, n, sizeof *store->thrown_values);
    store->thrown_values = p;
    rt_heap_resume(paused);
    return ok;
}

enum rt_trap rt_throw(struct rt_store *store, struct rt_tag *tag, const union rt_slot *values) {
    uint32_t n = tag->type->param_slots;
    if (n && !make_room(store, n)) return RT_TRAP_OUT_OF_MEMORY;
    if (n) memcpy(store->thrown_values, values, n * sizeof *values);
    store->thrown_tag = tag;
    store->thrown = NULL;
    return RT_TRAP_UNCAUGHT_EXCEPTION;
}

enum rt_trap rt_throw_ref(struct rt_store *store, void *exception) {
    if (!exception) return RT_TRAP_NULL_EXCEPTION;
    store->thrown = exception;
    store->thrown_tag = store->thrown->tag;
    return RT_TRAP_UNCAUGHT_EXCEPTION;
}

static struct rt_exception *in_heap(struct rt_store *store, const struct rt_type *type) {
    const struct rt_layout *layout = rt_heap_start(store, NULL) ? NULL : rt_layout_of(store->engine, type);
    return layout ? rt_object_new(store, layout, layout->size_bytes) : NULL;
}

void *rt_exception_ref(struct rt_store *store) {
    struct rt_tag *tag = store->thrown_tag;
    const struct rt_type *type = tag->type;
    if (store->thrown) return store->thrown;
    struct rt_exception *e = store->heap ? in_heap(store, type) : rt_exception_keep(store, tag);
    if (!e) return NULL;
    e->tag = tag;
    if (type->param_slots) memcpy(e->values, store->thrown_values, type->param_slots * sizeof *e->values);
    store->thrown = e;
    return e;
}

/* ---- description ---- */

static struct bc_name name_in(const struct rt_instance *instance, uint32_t index) {
    const struct bc_module *bc = instance->module->bc;
    struct bc_name name = rt_module_name(instance->module, BC_NAMES_TAG, index);
    for (uint32_t i = 0; !name.size && i < bc->n_exports; i++)
        if (bc->exports[i].kind == BC_EXTERN_TAG && bc->exports[i].index == index) name = bc->exports[i].name;
    for (uint32_t i = 0; !name.size && i < bc->n_imports; i++)
        if (bc->imports[i].kind == BC_EXTERN_TAG && bc->imports[i].index == index) name = bc->imports[i].name;
    return name;
}

/* The first instance that has a name for the tag names it. */
static struct bc_name name_of(const struct rt_store *store, const struct rt_tag *tag) {
    for (size_t i = 0; i < store->n_instances; i++) {
        const struct rt_instance *instance = store->instances[i];
        for (uint32_t k = 0; k < instance->module->bc->n_tags; k++) {
            struct bc_name name = {NULL, 0};
            if (instance->tags[k] == tag) name = name_in(instance, k);
            if (name.size) return name;
        }
    }
    return (struct bc_name){NULL, 0};
}

static size_t put_value(char *out, size_t size, const struct rt_valtype *type, const union rt_slot *value) {
    int n;
    switch (type->kind) {
    case BC_KIND_I32: n = snprintf(out, size, "%" PRIi32, value->i32); break;
    case BC_KIND_I64: n = snprintf(out, size, "%" PRIi64, value->i64); break;
    case BC_KIND_F32: n = snprintf(out, size, "%.9g", (double)value->f32); break;
    case BC_KIND_F64: n = snprintf(out, size, "%.17g", value->f64); break;
    case BC_KIND_V128:
        n = snprintf(out, size, "0x%016" PRIx64 "%016" PRIx64, value[1].u64, value[0].u64);
        break;
    default: n = snprintf(out, size, "%s", value->ref ? "reference" : "null"); /* never an address */
    }
    return n < 0 ? 0 : (size_t)n;
}

void rt_exception_describe(struct rt_store *store) {
    const struct rt_tag *tag = store->thrown_tag;
    char *out = store->trap_text, *end = out + sizeof store->trap_text;
    if (!tag) return;
    struct bc_name name = name_of(store, tag);
    uint32_t size = name.size < 80 ? name.size : 80;
    out += snprintf(out, (size_t)(end - out), "uncaught exception: %s", size ? "" : "no tag");
    for (uint32_t i = 0; i < size; i++) { /* names come from the file */
        unsigned char c = (unsigned char)name.bytes[i];
        out += snprintf(out, (size_t)(end - out), c < 0x20 || c == 0x7F ? "\\%02x" : "%c", c);
    }
    *out++ = '(';
    const union rt_slot *value = rt_exception_values(store);
    for (uint32_t i = 0; i < tag->type->n_params && end - out > 60; i++) {
        if (i) out += snprintf(out, (size_t)(end - out), ", ");
        out += put_value(out, (size_t)(end - out), tag->type->params + i, value);
        value += tag->type->params[i].kind == BC_KIND_V128 ? 2 : 1;
    }
    snprintf(out, (size_t)(end - out), ")");
}
