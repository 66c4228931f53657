/* runtime/object.c: what programs do with managed objects: make, fill, copy, test, convert. Source: core
 * spec, "Execution / Instructions", "Reference" and "Aggregate Reference Instructions". */
#include "runtime/internal.h"
#include "bytecode/stress.h"

/* Of a bulk operation between two looks at the stop flag. */
#define CHUNK_BYTES ATOLL_LIMIT((size_t)1 << 19, (size_t)64)

/* ---- types ---- */

bool rt_valtype_managed(const struct rt_valtype *type) {
    if (type->kind != BC_KIND_REF) return false;
    if (type->type) return type->type->form != BC_TYPE_FUNC;
    return type->heap != BC_HEAP_FUNC && type->heap != BC_HEAP_NOFUNC;
}

static bool any_matches(const void *ref, enum bc_heap_kind heap) {
    if (heap == BC_HEAP_ANY) return true;
    if (rt_ref_is_i31(ref)) return heap == BC_HEAP_I31 || heap == BC_HEAP_EQ;
    switch (rt_ref_layout(ref)->form) {
    case RT_OBJECT_STRUCT: return heap == BC_HEAP_STRUCT || heap == BC_HEAP_EQ;
    case RT_OBJECT_ARRAY: return heap == BC_HEAP_ARRAY || heap == BC_HEAP_EQ;
    default: return false;
    }
}

bool rt_ref_matches(const void *ref, const struct rt_valtype *type) {
    if (!ref) return type->nullable;
    if (type->type)
        return type->type->form == BC_TYPE_FUNC
                   ? rt_type_matches(((const struct rt_func *)ref)->type, type->type)
                   : rt_ref_is_a(ref, type->type);
    switch (type->heap) {
    case BC_HEAP_ANY:
    case BC_HEAP_EQ:
    case BC_HEAP_I31:
    case BC_HEAP_STRUCT:
    case BC_HEAP_ARRAY: return any_matches(ref, (enum bc_heap_kind)type->heap);
    case BC_HEAP_FUNC:
    case BC_HEAP_EXTERN:
    case BC_HEAP_EXN: return true;
    default: return false; /* the bottoms hold null alone */
    }
}

void *rt_ref_externalize(void *any) {
    if (!any || rt_ref_is_i31(any)) return any;
    if (rt_ref_layout(any)->form == RT_OBJECT_HOST) return ((struct rt_host_box *)any)->host;
    return (void *)((uintptr_t)any | RT_EXTERN_TAG);
}

void *rt_ref_internalize(struct rt_store *store, void *external) {
    uintptr_t bits = (uintptr_t)external;
    if (!external || rt_ref_is_i31(external)) return external;
    if (bits & RT_EXTERN_TAG) return (void *)(bits & ~RT_EXTERN_TAG);
    const struct rt_layout *layout = rt_heap_start(store, NULL) ? NULL : rt_host_layout_of(store->engine);
    struct rt_host_box *box = layout ? rt_object_new(store, layout, sizeof *box) : NULL;
    if (box) box->host = external;
    return box;
}

/* ---- structs ---- */

void *rt_struct_new(struct rt_store *store, const struct rt_layout *layout, const union rt_slot *values) {
    uint8_t *object = rt_object_new(store, layout, layout->size_bytes);
    if (!object) return NULL;
    if (!values) {
        memset(object + 8, 0, layout->size_bytes - 8);
        return object;
    }
    for (uint32_t i = 0; i < layout->n_fields; i++) {
        struct rt_slot_place place = layout->fields[i];
        rt_field_put(object + place.offset, place.size_log2, values);
        values += place.size_log2 == 4 ? 2 : 1;
    }
    return object;
}

/* ---- arrays ---- */

static uint64_t bytes_of(const struct rt_array *array, uint64_t n) { return n << array->layout->elem_log2; }

/* What an array of n elements takes of the heap. */
static uint64_t object_bytes(const struct rt_layout *layout, uint64_t n) {
    return ((n << layout->elem_log2) + sizeof(struct rt_array) + 15) & ~UINT64_C(15);
}

/* An array whose elements have no value yet: what they hold is for no program to see. */
static enum rt_trap array_of(struct rt_store *store, const struct rt_layout *layout, uint32_t n,
                             struct rt_array **out) {
    *out = rt_object_new(store, layout, object_bytes(layout, n));
    if (!*out) return RT_TRAP_OUT_OF_MEMORY;
    (*out)->length = n;
    return RT_TRAP_NONE;
}

static bool is_zero(const union rt_slot *value, uint8_t log2) {
    static const uint8_t zeros[16];
    return !value || !memcmp(value, zeros, (size_t)1 << log2);
}

/* Doubles what is filled, a chunk at most. */
static enum rt_trap repeat(const struct rt_store *store, uint8_t *at, const union rt_slot *value,
                           uint8_t log2, uint64_t bytes) {
    uint64_t done = (uint64_t)1 << log2;
    if (!bytes) return RT_TRAP_NONE;
    memcpy(at, value, done);
    while (done < bytes) {
        uint64_t chunk = done < CHUNK_BYTES ? done : CHUNK_BYTES;
        if (chunk > bytes - done) chunk = bytes - done;
        memcpy(at + done, at, chunk);
        done += chunk;
        enum rt_trap trap = chunk < CHUNK_BYTES ? RT_TRAP_NONE : rt_poll(store);
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}

static enum rt_trap clear(const struct rt_store *store, uint8_t *at, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
        uint64_t chunk = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
        memset(at + done, 0, chunk);
        done += chunk;
        enum rt_trap trap = done < bytes ? rt_poll(store) : RT_TRAP_NONE;
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}

enum rt_trap rt_array_new(struct rt_store *store, const struct rt_layout *layout, const union rt_slot *value,
                          uint32_t n, void **out) {
    struct rt_array *array;
    enum rt_trap trap = array_of(store, layout, n, &array);
    if (trap) return trap;
    uint64_t bytes = bytes_of(array, n);
    if (!is_zero(value, layout->elem_log2))
        trap = repeat(store, array->elems, value, layout->elem_log2, bytes);
    else if (layout->space == RT_SPACE_PLAIN || object_bytes(layout, n) >= RT_UNCLEARED_BYTES)
        trap = clear(store, array->elems, bytes);
    *out = array;
    return trap;
}

enum rt_trap rt_array_new_fixed(struct rt_store *store, const struct rt_layout *layout,
                                const union rt_slot *values, uint32_t n, void **out) {
    struct rt_array *array;
    enum rt_trap trap = array_of(store, layout, n, &array);
    if (trap) return trap;
    size_t size = (size_t)1 << layout->elem_log2;
    for (uint32_t i = 0; i < n; i++) {
        rt_field_put(array->elems + i * size, layout->elem_log2, values);
        values += size == 16 ? 2 : 1;
    }
    *out = array;
    return RT_TRAP_NONE;
}

static bool inside(uint64_t at, uint64_t n, uint64_t size) { return at <= size && n <= size - at; }

/* ---- from segments ---- */

/* Bytes of a data segment that `n` elements take, or NULL when they are not all there. */
static const uint8_t *segment_bytes(const struct rt_instance *instance, uint32_t segment, uint32_t at,
                                    uint64_t bytes) {
    const struct bc_module *bc = instance->module->bc;
    uint32_t size = instance->dropped_datas[segment] ? 0 : bc->datas[segment].bytes.size;
    return inside(at, bytes, size) ? bc->bytes + bc->datas[segment].bytes.offset + at : NULL;
}

static const union rt_slot *segment_items(const struct rt_instance *instance, uint32_t segment, uint32_t at,
                                          uint32_t n) {
    static const union rt_slot none;
    uint32_t size = instance->dropped_elems[segment] ? 0 : instance->module->bc->elems[segment].n_items;
    if (!inside(at, n, size)) return NULL;
    return n ? instance->elem_items[segment] + at : &none;
}

enum rt_trap rt_array_new_data(struct rt_instance *instance, const struct rt_layout *layout, uint32_t segment,
                               uint32_t at, uint32_t n, void **out) {
    const uint8_t *bytes = segment_bytes(instance, segment, at, (uint64_t)n << layout->elem_log2);
    if (!bytes) return RT_TRAP_MEMORY_BOUNDS;
    struct rt_array *array;
    enum rt_trap trap = array_of(instance->store, layout, n, &array);
    if (trap) return trap;
    memcpy(array->elems, bytes, bytes_of(array, n));
    *out = array;
    return RT_TRAP_NONE;
}

enum rt_trap rt_array_new_elem(struct rt_instance *instance, const struct rt_layout *layout, uint32_t segment,
                               uint32_t at, uint32_t n, void **out) {
    const union rt_slot *items = segment_items(instance, segment, at, n);
    if (!items) return RT_TRAP_TABLE_BOUNDS;
    return rt_array_new_fixed(instance->store, layout, items, n, out);
}

enum rt_trap rt_array_init_data(struct rt_instance *instance, struct rt_array *dst, uint32_t segment,
                                uint32_t dst_at, uint32_t src_at, uint32_t n) {
    if (!inside(dst_at, n, dst->length)) return RT_TRAP_ARRAY_BOUNDS;
    const uint8_t *bytes = segment_bytes(instance, segment, src_at, bytes_of(dst, n));
    if (!bytes) return RT_TRAP_MEMORY_BOUNDS;
    memcpy(rt_array_at(dst, dst_at), bytes, bytes_of(dst, n));
    return RT_TRAP_NONE;
}

enum rt_trap rt_array_init_elem(struct rt_instance *instance, struct rt_array *dst, uint32_t segment,
                                uint32_t dst_at, uint32_t src_at, uint32_t n) {
    if (!inside(dst_at, n, dst->length)) return RT_TRAP_ARRAY_BOUNDS;
    const union rt_slot *items = segment_items(instance, segment, src_at, n);
    if (!items) return RT_TRAP_TABLE_BOUNDS;
    memcpy(rt_array_at(dst, dst_at), items, bytes_of(dst, n));
    return RT_TRAP_NONE;
}

/* ---- bulk ---- */

enum rt_trap rt_array_fill(struct rt_store *store, struct rt_array *array, uint32_t at,
                           const union rt_slot *value, uint32_t n) {
    if (!inside(at, n, array->length)) return RT_TRAP_ARRAY_BOUNDS;
    return repeat(store, rt_array_at(array, at), value, array->layout->elem_log2, bytes_of(array, n));
}

enum rt_trap rt_array_copy(struct rt_store *store, struct rt_array *dst, uint32_t dst_at,
                           const struct rt_array *src, uint32_t src_at, uint32_t n) {
    if (!inside(dst_at, n, dst->length) || !inside(src_at, n, src->length)) return RT_TRAP_ARRAY_BOUNDS;
    uint8_t *to = rt_array_at(dst, dst_at);
    const uint8_t *from = rt_array_at(src, src_at);
    uint64_t bytes = bytes_of(dst, n);
    bool backwards = to > from && to < from + bytes;
    for (uint64_t done = 0; done < bytes;) {
        uint64_t chunk = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
        uint64_t i = backwards ? bytes - done - chunk : done;
        memmove(to + i, from + i, chunk);
        done += chunk;
        enum rt_trap trap = done < bytes ? rt_poll(store) : RT_TRAP_NONE;
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}
