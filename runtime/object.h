/* runtime/object.h: managed objects, part of runtime.h (include that).
 *
 *   reference, in the any hierarchy      0         null
 *                                        ...xxx1   i31: the value in bits 1 .. 31
 *                                        ...xx00   object: its first word is its layout
 *   in the extern hierarchy              ...xx10   an object of the any hierarchy, externalized
 *                                        ...xx00   the host's own: any word whose two low bits are zero;
 *                                                  bit 63 tells words that are no addresses (native handles)
 *                                        ...xxx1   i31
 *   in the exn hierarchy                           object (struct rt_exception)
 *
 *   object   | layout | fields, each at its natural alignment                          |  struct
 *            | layout | length (32 bits) | - | elements from byte 16                    |  array
 *            | layout | tag              | the tag's values in slots                    |  exception
 *            | layout | the host's word                                                |  host reference in any
 *
 * The heap is Boehm GC (heap.c); it starts with the first module that declares a managed type. Exceptions that
 * become references in a store without a heap live in a pool of the store's (exception_pool.c). */
#ifndef ATOLL_RUNTIME_OBJECT_H
#define ATOLL_RUNTIME_OBJECT_H

#include <string.h>

enum rt_object_form { RT_OBJECT_STRUCT, RT_OBJECT_ARRAY, RT_OBJECT_EXCEPTION, RT_OBJECT_HOST };
/* What the collector reads in an object: nothing, every word, or what the layout says. */
enum rt_space { RT_SPACE_PLAIN, RT_SPACE_REFS, RT_SPACE_MIXED, RT_SPACES };

struct rt_slot_place { /* of a field */
    uint32_t offset;   /* bytes from the object's start */
    uint8_t size_log2; /* 4 = v128, which takes two slots */
};
/* How objects of one type lie in memory. Lives in the managed heap, since objects outlive their engine until
 * they are collected. */
struct rt_layout {
    const struct rt_type *type; /* STRUCT, ARRAY; of an EXCEPTION: its tag's */
    uintptr_t gc_descriptor;    /* the second word: where the collector looks for it */
    struct rt_layout *next;     /* of the engine */
    uint8_t form;               /* enum rt_object_form */
    uint8_t space;              /* enum rt_space */
    uint8_t elem_log2;          /* ARRAY: bytes of an element */
    bool uniform;        /* STRUCT, EXCEPTION: fields are the object's words from the second (third) on */
    uint32_t size_bytes; /* not ARRAY: of an object, a multiple of 16 */
    uint32_t n_fields;
    const struct rt_slot_place *fields; /* STRUCT */
    const uint64_t *ref_words;          /* more words than a descriptor has bits: bit set of references */
};
struct rt_object {
    const struct rt_layout *layout;
};
struct rt_array {
    const struct rt_layout *layout;
    uint32_t length;
    _Alignas(16) uint8_t elems[];
};
struct rt_exception {
    const struct rt_layout *layout;
    struct rt_tag *tag;
    union rt_slot values[];
};
struct rt_host_box {
    const struct rt_layout *layout;
    void *host;
};

/* ---- references ---- */

#define RT_EXTERN_TAG ((uintptr_t)2)
static inline bool rt_ref_is_i31(const void *ref) { return (uintptr_t)ref & 1; }
static inline void *rt_i31_new(uint32_t value) { return (void *)(uintptr_t)(value << 1 | 1); }
static inline uint32_t rt_i31_get_u(const void *ref) { return (uint32_t)(uintptr_t)ref >> 1; }
static inline int32_t rt_i31_get_s(const void *ref) { return (int32_t)(uint32_t)(uintptr_t)ref >> 1; }
static inline const struct rt_layout *rt_ref_layout(const void *object) {
    return ((const struct rt_object *)object)->layout;
}
/* Whether a value is of a reference type: ref.test. `ref` is of the same hierarchy as `type`. */
bool rt_ref_matches(const void *ref, const struct rt_valtype *type);
/* The same for a concrete struct or array type and a reference that is not null. */
static inline bool rt_ref_is_a(const void *ref, const struct rt_type *type) {
    if (rt_ref_is_i31(ref)) return false;
    const struct rt_layout *layout = rt_ref_layout(ref);
    return layout->form <= RT_OBJECT_ARRAY && rt_type_matches(layout->type, type);
}
/* extern.convert_any and any.convert_extern. The latter boxes a host reference: NULL for one that is not null
 * = out of memory. */
void *rt_ref_externalize(void *any);
void *rt_ref_internalize(struct rt_store *store, void *external);
/* A global or table of this type holds what the collector has to see. */
bool rt_valtype_managed(const struct rt_valtype *type);

/* ---- allocation ---- */

#define RT_SMALL_BYTES   256 /* objects up to here come from the store's free lists */
#define RT_SMALL_CLASSES (RT_SMALL_BYTES / 16 + 1)
/* A store's part of the managed heap: lists of free objects by space and size / 16, linked by their first
 * words, taken from the collector in batches. */
struct rt_heap {
    void *free[RT_SPACES * RT_SMALL_CLASSES];
    struct rt_store *store;
    struct rt_heap *next, **link; /* all heaps of the process */
};
static inline uint32_t rt_free_list(const struct rt_layout *layout, uint32_t size_bytes) {
    return layout->space * RT_SMALL_CLASSES + size_bytes / 16;
}
/* The first object of a list, which has one. Another thread's collection may stop this one anywhere, and then
 * follows the lists: the object has to be off its list before its first word is written. */
static inline void *rt_free_list_take(struct rt_heap *heap, uint32_t list) {
    void *object = heap->free[list];
    heap->free[list] = *(void **)object;
    atomic_signal_fence(memory_order_seq_cst);
    return object;
}
/* Makes sure that the engine's modules with managed types can be compiled before there is a store: layouts belong to the
 * heap. fails E_NOMEM */
enum atoll_status rt_heap_start_engine(struct rt_engine *engine);
/* Makes sure that the store has a heap and that this thread may use it. fails E_NOMEM */
enum atoll_status rt_heap_start(struct rt_store *store, struct atoll_error *err);
/* The calling thread may run code of a store that has a heap: registers it with the collector. */
void rt_heap_enter_thread(void);
/* While paused nothing is collected: for moments when references are where the collector does not look. Gives what
 * rt_heap_resume takes: the heap may start in between. */
bool rt_heap_pause(const struct rt_store *store);
void rt_heap_resume(bool paused);
/* Fills an empty free list and takes from it; NULL = out of memory. */
void *rt_heap_refill(struct rt_store *store, uint32_t list);
/* From this size on only pointers to an object's first page keep it, and references are not cleared. */
#define RT_UNCLEARED_BYTES ((size_t)100 << 10)
/* `size_bytes` of the layout's space, with the layout set and the rest zero, unless the space is PLAIN or the size at
 * least RT_UNCLEARED_BYTES: then the caller writes all of it. */
void *rt_object_new(struct rt_store *store, const struct rt_layout *layout, size_t size_bytes);
/* Live heap, free or not, and all that was ever allocated: bytes, of the process. Zero before the start. */
void rt_heap_usage(uint64_t *out_heap, uint64_t *out_allocated);
bool rt_heap_started(void);
/* Collects now: tests. */
void rt_heap_collect(void);

/* A host's reference that keeps an object of the store's alive. */
struct rt_root {
    void *ref;
    struct rt_root *next, **link;
};
void rt_root_add(struct rt_store *store, struct rt_root *root);
void rt_root_remove(struct rt_root *root);

/* The layout of a struct or array, or of exceptions whose tag has this function type, made at first use: once
 * the engine's heap has started. NULL = out of memory. */
const struct rt_layout *rt_layout_of(struct rt_engine *engine, const struct rt_type *type);

/* The value in its slot, two for v128, to a field or element. A switch, because memcpy of a size known at run
 * time only is a call. */
static inline void rt_field_put(uint8_t *at, uint8_t size_log2, const union rt_slot *value) {
    switch (size_log2) {
    case 0: *at = (uint8_t)value->u32; break;
    case 1: memcpy(at, value, 2); break;
    case 2: memcpy(at, value, 4); break;
    case 3: memcpy(at, value, 8); break;
    default: memcpy(at, value, 16); break;
    }
}

/* ---- operations: values in slots; NULL or OUT_OF_MEMORY when the heap is full ---- */

/* `values` NULL = every field its default */
void *rt_struct_new(struct rt_store *store, const struct rt_layout *layout, const union rt_slot *values);
/* n elements equal to *value (NULL: default) */
enum rt_trap rt_array_new(struct rt_store *store, const struct rt_layout *layout, const union rt_slot *value,
                          uint32_t n, void **out);
enum rt_trap rt_array_new_fixed(struct rt_store *store, const struct rt_layout *layout,
                                const union rt_slot *values, uint32_t n, void **out);
enum rt_trap rt_array_new_data(struct rt_instance *instance, const struct rt_layout *layout, uint32_t segment,
                               uint32_t at, uint32_t n, void **out);
enum rt_trap rt_array_new_elem(struct rt_instance *instance, const struct rt_layout *layout, uint32_t segment,
                               uint32_t at, uint32_t n, void **out);
enum rt_trap rt_array_fill(struct rt_store *store, struct rt_array *array, uint32_t at,
                           const union rt_slot *value, uint32_t n);
enum rt_trap rt_array_copy(struct rt_store *store, struct rt_array *dst, uint32_t dst_at,
                           const struct rt_array *src, uint32_t src_at, uint32_t n);
enum rt_trap rt_array_init_data(struct rt_instance *instance, struct rt_array *dst, uint32_t segment,
                                uint32_t dst_at, uint32_t src_at, uint32_t n);
enum rt_trap rt_array_init_elem(struct rt_instance *instance, struct rt_array *dst, uint32_t segment,
                                uint32_t dst_at, uint32_t src_at, uint32_t n);
static inline void *rt_array_at(const struct rt_array *array, uint32_t i) {
    return (void *)(uintptr_t)(array->elems + ((size_t)i << array->layout->elem_log2));
}

/* ---- exceptions ---- */

/* Throws: records the exception as the one in flight, with a copy of its values, and returns
 * RT_TRAP_UNCAUGHT_EXCEPTION, or OUT_OF_MEMORY. Host functions throw by returning what this returns. */
enum rt_trap rt_throw(struct rt_store *store, struct rt_tag *tag, const union rt_slot *values);
/* Throws an exception caught before; NULL_EXCEPTION for null. */
enum rt_trap rt_throw_ref(struct rt_store *store, void *exception);
/* The exception in flight as a reference; NULL = out of memory. */
void *rt_exception_ref(struct rt_store *store);
/* Its values: slots of the tag's parameters. */
static inline const union rt_slot *rt_exception_values(const struct rt_store *store) {
    return store->thrown ? store->thrown->values : store->thrown_values;
}
/* Nothing is in flight any more: it was caught. */
static inline void rt_exception_caught(struct rt_store *store) {
    store->thrown_tag = NULL;
    store->thrown = NULL;
}

#endif
