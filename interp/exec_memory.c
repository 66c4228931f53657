/* interp/exec_memory.c: handlers of scalar loads and stores.
 *
 * The plain forms use memory 0 behind its guard pages without a check (access.h); the _X forms check, and
 * serve every other memory. */
#include "interp/access.h"

#define OFFSET ((uint64_t)(uint32_t)OPD(2))

#define LOAD_FORM(name, T, C, address) LOAD_AT(name, T, C, (uint64_t)(uint32_t)(address) + OFFSET)
#define LOAD_AT(name, T, C, effective)                                                                       \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        uint64_t at = effective;                                                                             \
        WIDE_##C value;                                                                                      \
        READ_##C(value, mem, at);                                                                            \
        SET_ACC_##T(value);                                                                                  \
        NEXT(3);                                                                                             \
    }                                                                                                        \
    HANDLER(name##_D)                                                                                        \
    {                                                                                                        \
        uint64_t at = effective;                                                                             \
        WIDE_##C value;                                                                                      \
        READ_##C(value, mem, at);                                                                            \
        SET_ACC_##T(value);                                                                                  \
        KEEP_##T();                                                                                          \
        NEXT(3);                                                                                             \
    }

#define LOAD_CHECKED(name, T, C, keep)                                                                       \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        const uint8_t *base;                                                                                 \
        uint64_t at;                                                                                         \
        WIDE_##C value;                                                                                      \
        CHECKED(base, at, SLOT(1), sizeof(C));                                                               \
        READ_##C(value, base, at);                                                                           \
        SET_ACC_##T(value);                                                                                  \
        keep;                                                                                                \
        NEXT(4);                                                                                             \
    }

#define LOAD(ID, T, C)                                                                                       \
    LOAD_FORM(ID##_S, T, C, SLOT(1).u32)                                                                     \
    LOAD_FORM(ID##_A, T, C, r0)                                                                              \
    LOAD_FORM(ID##_SS, T, C, SLOT(1).u32 + SLOT(3).u32)                                                      \
    LOAD_FORM(ID##_AS, T, C, (uint32_t)r0 + SLOT(3).u32)                                                     \
    LOAD_FORM(ID##_SI, T, C, SLOT(1).u32 + (uint32_t)OPD(3))                                                 \
    LOAD_AT(ID##_I, T, C, WORD(2))                                                                           \
    LOAD_CHECKED(ID##_X, T, C, (void)0)                                                                      \
    LOAD_CHECKED(ID##_X_D, T, C, KEEP_##T())

#define STORE_FORM(name, C, address, value) STORE_AT(name, C, (uint64_t)(uint32_t)(address) + OFFSET, value)
#define STORE_AT(name, C, effective, value)                                                                  \
    HANDLER(name)                                                                                            \
    {                                                                                                        \
        uint64_t at = effective;                                                                             \
        WRITE_##C(value, mem, at);                                                                           \
        NEXT(3);                                                                                             \
    }
static inline float half_as_float(const int32_t *half) { /* its address is not a slot's */
    float value;
    memcpy(&value, half, sizeof value);
    return value;
}
#define STORE_I_i(C) ((uint32_t)OPD(3))
#define STORE_I_I(C) ((uint64_t)(int64_t)OPD(3))
#define STORE_I_f(C) half_as_float((const int32_t *)ip + 5)
#define STORE_I_F(C) ((double)STORE_I_f(C)) /* only constants that a float holds exactly */
#define STORE(ID, T, C)                                                                                      \
    STORE_FORM(ID##_SS, C, SLOT(0).u32, AT_##T(SLOT(1)))                                                     \
    STORE_FORM(ID##_SA, C, SLOT(0).u32, ACC_##T)                                                             \
    STORE_FORM(ID##_AS, C, r0, AT_##T(SLOT(1)))                                                              \
    STORE_FORM(ID##_AA, C, r0, ACC_##T)                                                                      \
    STORE_FORM(ID##_SI, C, SLOT(0).u32, STORE_I_##T(C))                                                      \
    STORE_FORM(ID##_AI, C, r0, STORE_I_##T(C))                                                               \
    STORE_AT(ID##_IS, C, WORD(2), AT_##T(SLOT(1)))                                                           \
    STORE_AT(ID##_IA, C, WORD(2), ACC_##T)                                                                   \
    HANDLER(ID##_X)                                                                                          \
    {                                                                                                        \
        uint8_t *base;                                                                                       \
        uint64_t at;                                                                                         \
        C value = (C)AT_##T(SLOT(1));                                                                        \
        CHECKED(base, at, SLOT(0), sizeof value);                                                            \
        WRITE_##C(value, base, at);                                                                          \
        NEXT(4);                                                                                             \
    }
#include "interp/ops.def"
