/* api/entity.c: globals, tables, memories, and what they have in common. */
#include "api/internal.h"

/* ---- globals ---- */

wasm_global_t *wasm_global_new(wasm_store_t *store, const wasm_globaltype_t *type, const wasm_val_t *value) {
    struct rt_valtype t = api_valtype(wasm_globaltype_content(type));
    union rt_slot slots[2] = {{0}};
    struct rt_global *rt;
    bool ok = api_to_slot(store, value, &t, slots) &&
              !rt_global_new(store->rt, t, wasm_globaltype_mutability(type) == WASM_VAR, slots, &rt);
    return ok ? (wasm_global_t *)api_ref(store, API_GLOBAL, rt, 0) : NULL;
}
wasm_globaltype_t *wasm_global_type(const wasm_global_t *g) {
    const struct rt_global *rt = g->ref.entity;
    return api_globaltype(api_alloc(g->ref.store), &rt->type, rt->mutable);
}
void wasm_global_get(const wasm_global_t *g, wasm_val_t *out) {
    const struct rt_global *rt = g->ref.entity;
    api_from_slot(g->ref.store, rt->value, &rt->type, out);
}
/* A constant, or a value of another type, is left as it is. */
void wasm_global_set(wasm_global_t *g, const wasm_val_t *value) {
    struct rt_global *rt = g->ref.entity;
    union rt_slot slots[2];
    if (!rt->mutable || !api_to_slot(g->ref.store, value, &rt->type, slots)) return;
    memcpy(rt->value, slots, api_slots_of(&rt->type) * sizeof *slots);
}

/* ---- tables ---- */

static struct bc_limits limits_of(const wasm_limits_t *l, uint8_t page_log2) {
    bool has_max = l->max != wasm_limits_max_default;
    return (struct bc_limits){
        .min = l->min, .max = has_max ? l->max : UINT64_MAX, .has_max = has_max, .page_size_log2 = page_log2};
}

wasm_table_t *wasm_table_new(wasm_store_t *store, const wasm_tabletype_t *type, wasm_ref_t *init) {
    struct rt_valtype t = api_valtype(wasm_tabletype_element(type));
    struct bc_limits limits = limits_of(wasm_tabletype_limits(type), 0);
    union rt_slot slot;
    struct rt_table *rt;
    bool ok = t.kind == BC_KIND_REF && api_ref_to_slot(store, init, &t, &slot) &&
              !rt_table_new(store->rt, t, &limits, slot, &rt, NULL);
    return ok ? (wasm_table_t *)api_ref(store, API_TABLE, rt, 0) : NULL;
}
wasm_tabletype_t *wasm_table_type(const wasm_table_t *t) {
    const struct rt_table *rt = t->ref.entity;
    return api_tabletype(api_alloc(t->ref.store), &rt->elem_type, &rt->type);
}
wasm_ref_t *wasm_table_get(const wasm_table_t *t, wasm_table_size_t index) {
    const struct rt_table *rt = t->ref.entity;
    return index < rt->size ? api_ref_from_slot(t->ref.store, rt->elems[index], &rt->elem_type) : NULL;
}
bool wasm_table_set(wasm_table_t *t, wasm_table_size_t index, wasm_ref_t *ref) {
    struct rt_table *rt = t->ref.entity;
    union rt_slot slot;
    if (index >= rt->size || !api_ref_to_slot(t->ref.store, ref, &rt->elem_type, &slot)) return false;
    rt->elems[index] = slot;
    return true;
}
wasm_table_size_t wasm_table_size(const wasm_table_t *t) {
    return (wasm_table_size_t)((const struct rt_table *)t->ref.entity)->size;
}
bool wasm_table_grow(wasm_table_t *t, wasm_table_size_t delta, wasm_ref_t *init) {
    struct rt_table *rt = t->ref.entity;
    union rt_slot slot;
    uint64_t old;
    if (!api_ref_to_slot(t->ref.store, init, &rt->elem_type, &slot)) return false;
    rt_table_grow(rt, delta, slot, &old);
    return old != UINT64_MAX;
}

/* ---- memories ---- */

wasm_memory_t *wasm_memory_new(wasm_store_t *store, const wasm_memorytype_t *type) {
    struct bc_limits limits = limits_of(wasm_memorytype_limits(type), 16);
    struct rt_memory *rt;
    if (limits.min > BC_MAX_PAGES32 || (limits.has_max && limits.max < limits.min)) return NULL;
    return rt_memory_new(store->rt, &limits, &rt, NULL) ? NULL
                                                        : (wasm_memory_t *)api_ref(store, API_MEMORY, rt, 0);
}
wasm_memorytype_t *wasm_memory_type(const wasm_memory_t *m) {
    return api_memorytype(api_alloc(m->ref.store), &((const struct rt_memory *)m->ref.entity)->type);
}
byte_t *wasm_memory_data(wasm_memory_t *m) { return (byte_t *)((struct rt_memory *)m->ref.entity)->base; }
size_t wasm_memory_data_size(const wasm_memory_t *m) {
    return atomic_load(&((const struct rt_memory *)m->ref.entity)->size_bytes);
}
wasm_memory_pages_t wasm_memory_size(const wasm_memory_t *m) {
    return (wasm_memory_pages_t)(wasm_memory_data_size(m) / MEMORY_PAGE_SIZE);
}
bool wasm_memory_grow(wasm_memory_t *m, wasm_memory_pages_t delta) {
    uint64_t old;
    rt_memory_grow(m->ref.entity, delta, &old);
    return old != UINT64_MAX;
}

/* ---- externs ---- */

wasm_externkind_t wasm_extern_kind(const wasm_extern_t *e) {
    static const wasm_externkind_t kinds[] = {WASM_EXTERN_FUNC, WASM_EXTERN_GLOBAL, WASM_EXTERN_TABLE,
                                              WASM_EXTERN_MEMORY, ATOLL_EXTERN_TAG};
    return kinds[e->ref.kind];
}
wasm_externtype_t *wasm_extern_type(const wasm_extern_t *e) {
    switch (e->ref.kind) {
    case API_FUNC: return (wasm_externtype_t *)wasm_func_type((const wasm_func_t *)e);
    case API_GLOBAL: return (wasm_externtype_t *)wasm_global_type((const wasm_global_t *)e);
    case API_TABLE: return (wasm_externtype_t *)wasm_table_type((const wasm_table_t *)e);
    case API_MEMORY: return (wasm_externtype_t *)wasm_memory_type((const wasm_memory_t *)e);
    default:
        return (wasm_externtype_t *)api_functype(
            api_alloc(e->ref.store), ((const struct rt_tag *)e->ref.entity)->type, ATOLL_EXTERN_TAG);
    }
}

#define EXTERN(name, KIND)                                                                                   \
    wasm_extern_t *wasm_##name##_as_extern(wasm_##name##_t *x) { return (wasm_extern_t *)x; }                \
    const wasm_extern_t *wasm_##name##_as_extern_const(const wasm_##name##_t *x) {                           \
        return (const wasm_extern_t *)x;                                                                     \
    }                                                                                                        \
    wasm_##name##_t *wasm_extern_as_##name(wasm_extern_t *e) {                                               \
        return e && e->ref.kind == KIND ? (wasm_##name##_t *)e : NULL;                                       \
    }                                                                                                        \
    const wasm_##name##_t *wasm_extern_as_##name##_const(const wasm_extern_t *e) {                           \
        return e && e->ref.kind == KIND ? (const wasm_##name##_t *)e : NULL;                                 \
    }
EXTERN(func, API_FUNC)
EXTERN(global, API_GLOBAL)
EXTERN(table, API_TABLE)
EXTERN(memory, API_MEMORY)
