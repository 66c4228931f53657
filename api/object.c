/* api/object.c: managed objects seen by the host: made, read, written. A handle roots its object. */
#include "api/internal.h"

enum atoll_ref_kind atoll_ref_kind(const wasm_ref_t *ref) {
    if (ref->kind == API_FUNC) return ATOLL_REF_FUNC;
    if (ref->kind != API_VALUE) return ATOLL_REF_HOST;
    if (rt_ref_is_i31(ref->entity)) return ATOLL_REF_I31;
    switch (rt_ref_layout(ref->entity)->form) {
    case RT_OBJECT_STRUCT: return ATOLL_REF_STRUCT;
    case RT_OBJECT_ARRAY: return ATOLL_REF_ARRAY;
    default: return ATOLL_REF_EXCEPTION;
    }
}

static bool is_aggregate(const wasm_ref_t *ref) {
    enum atoll_ref_kind kind = atoll_ref_kind(ref);
    return kind == ATOLL_REF_STRUCT || kind == ATOLL_REF_ARRAY;
}

static const struct rt_type *rt_of(const atoll_heaptype_t *type) { return (const struct rt_type *)type; }

const atoll_heaptype_t *atoll_ref_heaptype(const wasm_ref_t *ref) {
    return is_aggregate(ref) ? (const atoll_heaptype_t *)rt_ref_layout(ref->entity)->type : NULL;
}
bool atoll_ref_is_a(const wasm_ref_t *ref, const atoll_heaptype_t *type) {
    return type && is_aggregate(ref) && rt_ref_is_a(ref->entity, rt_of(type));
}

/* ---- i31 ---- */

wasm_ref_t *atoll_i31_new(wasm_store_t *store, int32_t value) {
    return api_ref_of_object(store, rt_i31_new((uint32_t)value));
}
bool atoll_i31_get(const wasm_ref_t *ref, int32_t *out) {
    if (atoll_ref_kind(ref) != ATOLL_REF_I31) return false;
    *out = rt_i31_get_s(ref->entity);
    return true;
}

/* ---- fields and elements ---- */

static const struct rt_valtype i32 = {.kind = BC_KIND_I32};

/* The type under which a field's value passes the interface. */
static const struct rt_valtype *value_type(const struct rt_field *field) {
    return field->type.kind == BC_KIND_PACKED ? &i32 : &field->type;
}
static bool has_default(const struct rt_field *field) {
    return field->type.kind != BC_KIND_REF || field->type.nullable;
}
static bool value_in(wasm_store_t *store, const wasm_val_t *v, const struct rt_field *field,
                     union rt_slot *out) {
    return api_to_slot(store, v, value_type(field), out);
}

struct place {
    const struct rt_field *field;
    uint8_t *at;
    size_t size; /* bytes */
};

static bool find_place(const wasm_ref_t *ref, uint32_t index, struct place *out) {
    if (index >= atoll_object_size(ref)) return false;
    const struct rt_layout *layout = rt_ref_layout(ref->entity);
    bool array = layout->form == RT_OBJECT_ARRAY;
    uint8_t *at =
        array ? rt_array_at(ref->entity, index) : (uint8_t *)ref->entity + layout->fields[index].offset;
    *out = (struct place){&layout->type->fields[array ? 0 : index], at,
                          (size_t)1 << (array ? layout->elem_log2 : layout->fields[index].size_log2)};
    return true;
}

uint32_t atoll_object_size(const wasm_ref_t *ref) {
    if (!is_aggregate(ref)) return 0;
    const struct rt_layout *layout = rt_ref_layout(ref->entity);
    return layout->form == RT_OBJECT_ARRAY ? ((const struct rt_array *)ref->entity)->length
                                           : layout->n_fields;
}

bool atoll_object_get(const wasm_ref_t *ref, uint32_t index, wasm_val_t *out) {
    struct place place;
    union rt_slot slot[2] = {{0}};
    if (!find_place(ref, index, &place)) return false;
    memcpy(slot, place.at, place.size);
    return api_from_slot(ref->store, slot, value_type(place.field), out);
}

bool atoll_object_set(const wasm_ref_t *ref, uint32_t index, const wasm_val_t *value) {
    struct place place;
    union rt_slot slot[2];
    if (!find_place(ref, index, &place) || !place.field->mutable) return false;
    if (!value_in(ref->store, value, place.field, slot)) return false;
    memcpy(place.at, slot, place.size);
    return true;
}

/* ---- making: what has no handle yet is in locals, where the collector looks ---- */

static const struct rt_layout *layout_of(wasm_store_t *store, const atoll_heaptype_t *type,
                                         enum bc_type_form form) {
    if (!type || rt_of(type)->form != form || rt_heap_start(store->rt, NULL)) return NULL;
    return rt_layout_of(store->rt->engine, rt_of(type));
}

static bool all_default(const struct rt_layout *layout) {
    for (uint32_t i = 0; i < layout->n_fields; i++)
        if (!has_default(&layout->type->fields[i])) return false;
    return true;
}

static bool fill(wasm_ref_t *ref, const struct rt_layout *layout, const wasm_val_vec_t *values) {
    for (uint32_t i = 0; i < layout->n_fields; i++) {
        struct place place;
        union rt_slot slot[2];
        if (!find_place(ref, i, &place) || !value_in(ref->store, &values->data[i], place.field, slot))
            return false;
        memcpy(place.at, slot, place.size);
    }
    return true;
}

wasm_ref_t *atoll_struct_new(wasm_store_t *store, const atoll_heaptype_t *type,
                             const wasm_val_vec_t *fields) {
    const struct rt_layout *layout = layout_of(store, type, BC_TYPE_STRUCT);
    if (!layout || (fields ? fields->size != layout->n_fields : !all_default(layout))) return NULL;
    void *object = rt_struct_new(store->rt, layout, NULL);
    wasm_ref_t *ref = object ? api_ref_of_object(store, object) : NULL;
    if (!ref || !fields || fill(ref, layout, fields)) return ref;
    wasm_ref_delete(ref);
    return NULL;
}

wasm_ref_t *atoll_array_new(wasm_store_t *store, const atoll_heaptype_t *type, const wasm_val_t *value,
                            uint32_t n) {
    const struct rt_layout *layout = layout_of(store, type, BC_TYPE_ARRAY);
    union rt_slot slot[2] = {{0}}; /* a default of 128 bits takes two */
    void *object;
    if (!layout) return NULL;
    const struct rt_field *field = layout->type->fields;
    if (value ? !value_in(store, value, field, slot) : !has_default(field)) return NULL;
    return rt_array_new(store->rt, layout, slot, n, &object) ? NULL : api_ref_of_object(store, object);
}
