/* interp/exec_vector.c: handlers of vector instructions; operands and results are in slots. */
#include "interp/access.h"
#include "interp/numeric.h"
#include "interp/simd.h"

static inline v128_t vector_at(const union rt_slot *slot) {
    v128_t v;
    memcpy(&v, slot, sizeof v);
    return v;
}
static inline void vector_put(union rt_slot *slot, v128_t v) { memcpy(slot, &v, sizeof v); }
#define V_SLOT(n) vector_at(&SLOT(n))

#define PURE(name, words, ...)                                                                               \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        vector_put(&SLOT(0), (__VA_ARGS__));                                                                 \
        NEXT(words);                                                                                         \
    }
#define PUT_i(x) (SLOT(0).u64 = (uint32_t)(x))
#define PUT_I(x) (SLOT(0).u64 = (x))
#define PUT_f(x) (SLOT(0).f32 = (x))
#define PUT_F(x) (SLOT(0).f64 = (x))
#define LANE()   ((unsigned)OPD(3))

#define VV(ID, id)         PURE(ID, 3, op_##id(V_SLOT(1), V_SLOT(2)))
#define V(ID, id)          PURE(ID, 2, op_##id(V_SLOT(1)))
#define VVV(ID, id)        PURE(ID, 3, op_##id(V_SLOT(1), V_SLOT(2), V_SLOT(3)))
#define VI(ID, id)         PURE(ID, 3, op_##id(V_SLOT(1), SLOT(2).u32))
#define SPLAT(ID, id, T)   PURE(ID, 2, op_##id(AT_##T(SLOT(1))))
#define REPLACE(ID, id, T) PURE(ID, 3, op_##id(V_SLOT(1), AT_##T(SLOT(2)), LANE()))
#define REDUCE(ID, id)                                                                                       \
    HANDLER(ID)                                                                                              \
    {                                                                                                        \
        PUT_i(op_##id(V_SLOT(1)));                                                                           \
        NEXT(2);                                                                                             \
    }
#define EXTRACT(ID, id, T)                                                                                   \
    HANDLER(ID)                                                                                              \
    {                                                                                                        \
        PUT_##T(op_##id(V_SLOT(1), LANE()));                                                                 \
        NEXT(3);                                                                                             \
    }
#define RELAXED_V(ID, id)                                                                                    \
    PURE(ID, 2, op_##id(V_SLOT(1)))                                                                          \
    PURE(ID##_NATIVE, 2, op_##id##_native(V_SLOT(1)))
#define RELAXED_VV(ID, id)                                                                                   \
    PURE(ID, 3, op_##id(V_SLOT(1), V_SLOT(2)))                                                               \
    PURE(ID##_NATIVE, 3, op_##id##_native(V_SLOT(1), V_SLOT(2)))
#define RELAXED_VVV(ID, id)                                                                                  \
    PURE(ID, 3, op_##id(V_SLOT(1), V_SLOT(2), V_SLOT(3)))                                                    \
    PURE(ID##_NATIVE, 3, op_##id##_native(V_SLOT(1), V_SLOT(2), V_SLOT(3)))

/* ---- memory ---- */

#define FROM_v128_t(id, x)   (x)
#define FROM_uint8_t(id, x)  op_##id((uint8_t)(x))
#define FROM_uint16_t(id, x) op_##id((uint16_t)(x))
#define FROM_uint32_t(id, x) op_##id((uint32_t)(x))
#define FROM_uint64_t(id, x) op_##id(x)
#define VEC_LOAD(ID, id, C)                                                                                  \
    HANDLER(ID)                                                                                              \
    {                                                                                                        \
        uint64_t at = (uint64_t)SLOT(1).u32 + (uint32_t)OPD(2);                                              \
        WIDE_##C value;                                                                                      \
        READ_##C(value, mem, at);                                                                            \
        vector_put(&SLOT(0), FROM_##C(id, value));                                                           \
        NEXT(3);                                                                                             \
    }                                                                                                        \
    HANDLER(ID##_X)                                                                                          \
    {                                                                                                        \
        const uint8_t *base;                                                                                 \
        uint64_t at;                                                                                         \
        WIDE_##C value;                                                                                      \
        CHECKED(base, at, SLOT(1), sizeof(C));                                                               \
        READ_##C(value, base, at);                                                                           \
        vector_put(&SLOT(0), FROM_##C(id, value));                                                           \
        NEXT(4);                                                                                             \
    }
#define VEC_STORE(ID, id, C)                                                                                 \
    HANDLER(ID)                                                                                              \
    {                                                                                                        \
        uint64_t at = (uint64_t)SLOT(0).u32 + (uint32_t)OPD(2);                                              \
        C value = V_SLOT(1);                                                                                 \
        WRITE_##C(value, mem, at);                                                                           \
        NEXT(3);                                                                                             \
    }                                                                                                        \
    HANDLER(ID##_X)                                                                                          \
    {                                                                                                        \
        uint8_t *base;                                                                                       \
        uint64_t at;                                                                                         \
        C value = V_SLOT(1);                                                                                 \
        CHECKED(base, at, SLOT(0), sizeof(C));                                                               \
        WRITE_##C(value, base, at);                                                                          \
        NEXT(4);                                                                                             \
    }
/* operand 6: vector, 7: lane */
#define VEC_LOAD_LANE(ID, id, C)                                                                             \
    HANDLER(ID##_X)                                                                                          \
    {                                                                                                        \
        const uint8_t *base;                                                                                 \
        uint64_t at;                                                                                         \
        WIDE_##C value;                                                                                      \
        CHECKED(base, at, SLOT(1), sizeof(C));                                                               \
        READ_##C(value, base, at);                                                                           \
        vector_put(&SLOT(0), op_##id(V_SLOT(6), (C)value, (unsigned)OPD(7)));                                \
        NEXT(5);                                                                                             \
    }
#define VEC_STORE_LANE(ID, id, C)                                                                            \
    HANDLER(ID##_X)                                                                                          \
    {                                                                                                        \
        uint8_t *base;                                                                                       \
        uint64_t at;                                                                                         \
        C value = op_##id(V_SLOT(6), (unsigned)OPD(7));                                                      \
        CHECKED(base, at, SLOT(1), sizeof value);                                                            \
        WRITE_##C(value, base, at);                                                                          \
        NEXT(5);                                                                                             \
    }
#include "interp/ops.def"

HANDLER(V128_CONST)
{
    memcpy(&SLOT(0), &WORD(2), 16);
    NEXT(4);
}
PURE(I8X16_SHUFFLE, 5, op_i8x16_shuffle(V_SLOT(1), V_SLOT(2), vector_at((const union rt_slot *)&WORD(3))))
