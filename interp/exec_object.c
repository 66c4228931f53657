/* interp/exec_object.c: handlers of managed objects. What allocates tells the collector first how far the
 * wasm stack is in use. */
#include "interp/dispatch.h"

#define OBJECT(slot_or_acc) ((uint8_t *)(uintptr_t)(slot_or_acc))
#define ALLOCATING()        (store->scan_top = interp_frame_end(fp))
#define ALLOCATED()         (store->scan_top = NULL)
#define LAYOUT(word)        ((const struct rt_layout *)(uintptr_t)WORD(word))
#define WIDEN_int8_t        (uint32_t)(int32_t)
#define WIDEN_int16_t       (uint32_t)(int32_t)
#define WIDEN_uint8_t
#define WIDEN_uint16_t
#define WIDEN_uint32_t
#define WIDEN_uint64_t
#define WIDEN_float
#define WIDEN_double

/* ---- fields and elements ---- */

#define STRUCT_GET(name, T, C, object, keep)                                                                 \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        const uint8_t *object_ = OBJECT(object);                                                             \
        if (UNLIKELY(!object_)) TRAP(RT_TRAP_NULL_STRUCTURE);                                                \
        SET_ACC_##T(WIDEN_##C *(const C *)(const void *)(object_ + OPD(2)));                                 \
        keep;                                                                                                \
        NEXT(3);                                                                                             \
    }
#define ARRAY_GET(name, T, C, index, keep)                                                                   \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        const struct rt_array *array = SLOT(1).ref;                                                          \
        uint32_t index_ = (index);                                                                           \
        if (UNLIKELY(!array)) TRAP(RT_TRAP_NULL_ARRAY);                                                      \
        if (UNLIKELY(index_ >= array->length)) TRAP(RT_TRAP_ARRAY_BOUNDS);                                   \
        SET_ACC_##T(WIDEN_##C((const C *)(const void *)array->elems)[index_]);                               \
        keep;                                                                                                \
        NEXT(3);                                                                                             \
    }
#define GET(name, T, C)                                                                                      \
    STRUCT_GET(STRUCT_GET_##name##_S, T, C, SLOT(1).u64, (void)0)                                            \
    STRUCT_GET(STRUCT_GET_##name##_S_D, T, C, SLOT(1).u64, KEEP_##T())                                       \
    STRUCT_GET(STRUCT_GET_##name##_A, T, C, r0, (void)0)                                                     \
    STRUCT_GET(STRUCT_GET_##name##_A_D, T, C, r0, KEEP_##T())                                                \
    ARRAY_GET(ARRAY_GET_##name##_SS, T, C, SLOT(2).u32, (void)0)                                             \
    ARRAY_GET(ARRAY_GET_##name##_SS_D, T, C, SLOT(2).u32, KEEP_##T())                                        \
    ARRAY_GET(ARRAY_GET_##name##_SA, T, C, (uint32_t)r0, (void)0)                                            \
    ARRAY_GET(ARRAY_GET_##name##_SA_D, T, C, (uint32_t)r0, KEEP_##T())

#define STRUCT_SET(name, C, value)                                                                           \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        uint8_t *object = SLOT(0).ref;                                                                       \
        if (UNLIKELY(!object)) TRAP(RT_TRAP_NULL_STRUCTURE);                                                 \
        *(C *)(void *)(object + OPD(2)) = (C)(value);                                                        \
        NEXT(3);                                                                                             \
    }
#define ARRAY_SET(name, C, value)                                                                            \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        struct rt_array *array = SLOT(0).ref;                                                                \
        uint32_t index = SLOT(1).u32;                                                                        \
        if (UNLIKELY(!array)) TRAP(RT_TRAP_NULL_ARRAY);                                                      \
        if (UNLIKELY(index >= array->length)) TRAP(RT_TRAP_ARRAY_BOUNDS);                                    \
        ((C *)(void *)array->elems)[index] = (C)(value);                                                     \
        NEXT(3);                                                                                             \
    }
#define SET(name, T, C)                                                                                      \
    STRUCT_SET(STRUCT_SET_##name##_SS, C, AT_##T(SLOT(1)))                                                   \
    STRUCT_SET(STRUCT_SET_##name##_SA, C, ACC_##T)                                                           \
    ARRAY_SET(ARRAY_SET_##name##_SSS, C, AT_##T(SLOT(2)))                                                    \
    ARRAY_SET(ARRAY_SET_##name##_SSA, C, ACC_##T)
#include "interp/objects.def"

HANDLER(STRUCT_GET_V128)
{
    const uint8_t *object = SLOT(1).ref;
    if (UNLIKELY(!object)) TRAP(RT_TRAP_NULL_STRUCTURE);
    memcpy(&SLOT(0), object + OPD(2), 16);
    NEXT(3);
}
HANDLER(STRUCT_SET_V128)
{
    uint8_t *object = SLOT(0).ref;
    if (UNLIKELY(!object)) TRAP(RT_TRAP_NULL_STRUCTURE);
    memcpy(object + OPD(2), &SLOT(1), 16);
    NEXT(3);
}
HANDLER(ARRAY_GET_V128)
{
    const struct rt_array *array = SLOT(1).ref;
    uint32_t index = SLOT(2).u32;
    if (UNLIKELY(!array)) TRAP(RT_TRAP_NULL_ARRAY);
    if (UNLIKELY(index >= array->length)) TRAP(RT_TRAP_ARRAY_BOUNDS);
    memcpy(&SLOT(0), array->elems + (size_t)index * 16, 16);
    NEXT(3);
}
HANDLER(ARRAY_SET_V128)
{
    struct rt_array *array = SLOT(0).ref;
    uint32_t index = SLOT(1).u32;
    if (UNLIKELY(!array)) TRAP(RT_TRAP_NULL_ARRAY);
    if (UNLIKELY(index >= array->length)) TRAP(RT_TRAP_ARRAY_BOUNDS);
    memcpy(array->elems + (size_t)index * 16, &SLOT(2), 16);
    NEXT(3);
}
#define ARRAY_LEN(name, array, keep)                                                                         \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        const struct rt_array *array_ = (const struct rt_array *)(uintptr_t)(array);                         \
        if (UNLIKELY(!array_)) TRAP(RT_TRAP_NULL_ARRAY);                                                     \
        r0 = array_->length;                                                                                 \
        keep;                                                                                                \
        NEXT(2);                                                                                             \
    }
ARRAY_LEN(ARRAY_LEN_S, SLOT(1).u64, (void)0)
ARRAY_LEN(ARRAY_LEN_S_D, SLOT(1).u64, KEEP_I())
ARRAY_LEN(ARRAY_LEN_A, r0, (void)0)
ARRAY_LEN(ARRAY_LEN_A_D, r0, KEEP_I())

/* ---- new structs ---- */

/* Fields of a word each, small: from the free list in line. The slow path ends where the fast one goes on. */
#define STRUCT_NEW(name, slow, keep)                                                                         \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        uint32_t list = (uint32_t)OPD(2);                                                                    \
        if (UNLIKELY(!store->heap->free[list])) GOTO_HANDLER(slow);                                          \
        union rt_slot *object = rt_free_list_take(store->heap, list);                                        \
        const union rt_slot *from = &SLOT(1);                                                                \
        object[0].u64 = WORD(3);                                                                             \
        for (uint32_t i = 0, n = (uint32_t)OPD(3); i < n; i++) {                                             \
            object[1 + i] = from[i];                                                                         \
            __asm__(""); /* not a memcpy: that would be a call */                                            \
        }                                                                                                    \
        r0 = (uintptr_t)object;                                                                              \
        keep;                                                                                                \
        NEXT(4);                                                                                             \
    }
STRUCT_NEW(STRUCT_NEW, STRUCT_NEW_ANY, (void)0)
STRUCT_NEW(STRUCT_NEW_D, STRUCT_NEW_ANY_D, KEEP_I())
/* Fields of any size. */
#define STRUCT_NEW_PACKED(name, slow, keep)                                                                  \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        uint32_t list = (uint32_t)OPD(2);                                                                    \
        if (UNLIKELY(!store->heap->free[list])) GOTO_HANDLER(slow);                                          \
        uint8_t *object = rt_free_list_take(store->heap, list);                                              \
        const union rt_slot *from = &SLOT(1);                                                                \
        const struct rt_slot_place *place = LAYOUT(3)->fields;                                               \
        ((struct rt_object *)(void *)object)->layout = LAYOUT(3);                                            \
        for (uint32_t i = 0, n = (uint32_t)OPD(3); i < n; i++, place++) {                                    \
            rt_field_put(object + place->offset, place->size_log2, from);                                    \
            from += place->size_log2 == 4 ? 2 : 1;                                                           \
        }                                                                                                    \
        r0 = (uintptr_t)object;                                                                              \
        keep;                                                                                                \
        NEXT(4);                                                                                             \
    }
STRUCT_NEW_PACKED(STRUCT_NEW_PACKED, STRUCT_NEW_ANY, (void)0)
STRUCT_NEW_PACKED(STRUCT_NEW_PACKED_D, STRUCT_NEW_ANY_D, KEEP_I())
#define NEW(name, values, keep)                                                                              \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        ALLOCATING();                                                                                        \
        void *object = rt_struct_new(store, LAYOUT(3), values);                                              \
        ALLOCATED();                                                                                         \
        if (UNLIKELY(!object)) TRAP(RT_TRAP_OUT_OF_MEMORY);                                                  \
        r0 = (uintptr_t)object;                                                                              \
        keep;                                                                                                \
        NEXT(4);                                                                                             \
    }
NEW(STRUCT_NEW_ANY, &SLOT(1), (void)0)
NEW(STRUCT_NEW_ANY_D, &SLOT(1), KEEP_I())
NEW(STRUCT_NEW_DEFAULT, NULL, (void)0)
NEW(STRUCT_NEW_DEFAULT_D, NULL, KEEP_I())

/* ---- arrays: operands in a row from slot 0 ---- */

static inline uint32_t elem_slots(const struct rt_layout *layout) { return layout->elem_log2 == 4 ? 2 : 1; }

#define ARRAY_OP(name, ...)                                                                                  \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        union rt_slot *args = &SLOT(0);                                                                      \
        const struct rt_layout *layout = LAYOUT(2);                                                          \
        (void)layout;                                                                                        \
        ALLOCATING();                                                                                        \
        enum rt_trap trap = (__VA_ARGS__);                                                                   \
        ALLOCATED();                                                                                         \
        TRAP_IF(trap);                                                                                       \
        NEXT(3);                                                                                             \
    }
#define NOT_NULL(ref, operation) ((ref) ? (operation) : RT_TRAP_NULL_ARRAY)
ARRAY_OP(ARRAY_NEW, rt_array_new(store, layout, args, args[elem_slots(layout)].u32, &args[0].ref))
ARRAY_OP(ARRAY_NEW_DEFAULT, rt_array_new(store, layout, NULL, args[0].u32, &args[0].ref))
ARRAY_OP(ARRAY_NEW_FIXED, rt_array_new_fixed(store, layout, args, (uint32_t)OPD(1), &args[0].ref))
ARRAY_OP(ARRAY_NEW_DATA,
         rt_array_new_data(inst, layout, (uint32_t)OPD(1), args[0].u32, args[1].u32, &args[0].ref))
ARRAY_OP(ARRAY_NEW_ELEM,
         rt_array_new_elem(inst, layout, (uint32_t)OPD(1), args[0].u32, args[1].u32, &args[0].ref))
ARRAY_OP(ARRAY_FILL, NOT_NULL(args[0].ref, rt_array_fill(store, args[0].ref, args[1].u32, args + 2,
                                                         args[2 + elem_slots(layout)].u32)))
ARRAY_OP(ARRAY_COPY,
         NOT_NULL(args[0].ref &&args[2].ref,
                  rt_array_copy(store, args[0].ref, args[1].u32, args[2].ref, args[3].u32, args[4].u32)))
ARRAY_OP(ARRAY_INIT_DATA, NOT_NULL(args[0].ref, rt_array_init_data(inst, args[0].ref, (uint32_t)OPD(1),
                                                                   args[1].u32, args[2].u32, args[3].u32)))
ARRAY_OP(ARRAY_INIT_ELEM, NOT_NULL(args[0].ref, rt_array_init_elem(inst, args[0].ref, (uint32_t)OPD(1),
                                                                   args[1].u32, args[2].u32, args[3].u32)))

/* ---- tests and casts ---- */

#define TYPE3 ((const struct rt_type *)(uintptr_t)WORD(3))
static bool is_any(const uint64_t *ip, const void *ref, bool nullable) {
    struct rt_valtype type = {
        .kind = BC_KIND_REF, .nullable = nullable, .heap = (uint8_t)OPD(3), .type = TYPE3};
    return rt_ref_matches(ref, &type);
}
#define IS_TYPE(ref, nullable) ((ref) ? rt_ref_is_a((ref), TYPE3) : (nullable))
#define IS_ANY(ref, nullable)  is_any(ip, (ref), (nullable))
#define TEST(name, is, keep)                                                                                 \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        const void *ref = SLOT(1).ref;                                                                       \
        r0 = is(ref, (bool)OPD(2));                                                                          \
        keep;                                                                                                \
        NEXT(4);                                                                                             \
    }
TEST(REF_TEST_TYPE, IS_TYPE, (void)0)
TEST(REF_TEST_TYPE_D, IS_TYPE, KEEP_I())
TEST(REF_TEST_ANY, IS_ANY, (void)0)
TEST(REF_TEST_ANY_D, IS_ANY, KEEP_I())
#define CAST(name, is)                                                                                       \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        const void *ref = SLOT(1).ref;                                                                       \
        if (UNLIKELY(!is(ref, (bool)OPD(2)))) TRAP(RT_TRAP_CAST_FAILURE);                                    \
        NEXT(4);                                                                                             \
    }
CAST(REF_CAST_TYPE, IS_TYPE)
CAST(REF_CAST_ANY, IS_ANY)
#define BR_ON_CAST(name, is)                                                                                 \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        const void *ref = SLOT(1).ref;                                                                       \
        uint32_t flags = (uint32_t)OPD(2);                                                                   \
        if (is(ref, (flags & INTERP_CAST_NULLABLE) != 0) == ((flags & INTERP_CAST_WHEN) != 0)) {             \
            if (flags & INTERP_CAST_BACKWARD) POLL();                                                        \
            JUMP(0);                                                                                         \
        }                                                                                                    \
        NEXT(4);                                                                                             \
    }
BR_ON_CAST(BR_ON_CAST_TYPE, IS_TYPE)
BR_ON_CAST(BR_ON_CAST_ANY, IS_ANY)

/* ---- conversions ---- */

HANDLER(EXTERN_CONVERT_ANY)
{
    SLOT(0).ref = rt_ref_externalize(SLOT(0).ref);
    NEXT(2);
}
HANDLER(ANY_CONVERT_EXTERN)
{
    void *external = SLOT(0).ref;
    ALLOCATING();
    void *any = rt_ref_internalize(store, external);
    ALLOCATED();
    if (UNLIKELY(external && !any)) TRAP(RT_TRAP_OUT_OF_MEMORY);
    SLOT(0).ref = any;
    NEXT(2);
}
