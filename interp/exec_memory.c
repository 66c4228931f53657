/* interp/exec_memory.c: handlers of scalar loads and stores.
 *
 * The plain forms use memory 0 behind its guard pages without a check. A fault is turned into a trap, which
 * needs ip and fp: the access is an assembly instruction that demands them in their registers. The _X forms
 * check, and serve every other memory. */
#include "interp/dispatch.h"

/* mov from or to mem + at, where at < 2^33 */
#define LOAD_u(suffix, C, out, at)                                                                           \
    __asm__ volatile(suffix : "=r"(out) : "r"(mem), "r"(at), "D"(ip), "S"(fp) : "memory")

#define READ_uint8_t(out, at)  LOAD_u("movzbl (%1,%2), %k0", uint8_t, out, at)
#define READ_uint16_t(out, at) LOAD_u("movzwl (%1,%2), %k0", uint16_t, out, at)
#define READ_uint32_t(out, at) LOAD_u("movl (%1,%2), %k0", uint32_t, out, at)
#define READ_uint64_t(out, at) LOAD_u("movq (%1,%2), %q0", uint64_t, out, at)
#define READ_int8_t(out, at)   LOAD_u("movsbq (%1,%2), %q0", int8_t, out, at)
#define READ_int16_t(out, at)  LOAD_u("movswq (%1,%2), %q0", int16_t, out, at)
#define READ_int32_t(out, at)  LOAD_u("movslq (%1,%2), %q0", int32_t, out, at)
#define READ_float(out, at)                                                                                  \
    __asm__ volatile("movss (%1,%2), %0" : "=x"(out) : "r"(mem), "r"(at), "D"(ip), "S"(fp) : "memory")
#define READ_double(out, at)                                                                                 \
    __asm__ volatile("movsd (%1,%2), %0" : "=x"(out) : "r"(mem), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WIDE_uint8_t  uint64_t
#define WIDE_uint16_t uint64_t
#define WIDE_uint32_t uint64_t
#define WIDE_uint64_t uint64_t
#define WIDE_int8_t   uint64_t
#define WIDE_int16_t  uint64_t
#define WIDE_int32_t  uint64_t
#define WIDE_float    float
#define WIDE_double   double

#define WRITE_u(text, value, at)                                                                             \
    __asm__ volatile(text : : "r"(value), "r"(mem), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WRITE_uint8_t(value, at)  WRITE_u("movb %b0, (%1,%2)", (uint64_t)(value), at)
#define WRITE_uint16_t(value, at) WRITE_u("movw %w0, (%1,%2)", (uint64_t)(value), at)
#define WRITE_uint32_t(value, at) WRITE_u("movl %k0, (%1,%2)", (uint64_t)(value), at)
#define WRITE_uint64_t(value, at) WRITE_u("movq %q0, (%1,%2)", (uint64_t)(value), at)
#define WRITE_float(value, at)                                                                               \
    __asm__ volatile("movss %0, (%1,%2)" : : "x"(value), "r"(mem), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WRITE_double(value, at)                                                                              \
    __asm__ volatile("movsd %0, (%1,%2)" : : "x"(value), "r"(mem), "r"(at), "D"(ip), "S"(fp) : "memory")

#define OFFSET ((uint64_t)(uint32_t)OPD(2))

#define LOAD_FORM(name, T, C, address) LOAD_AT(name, T, C, (uint64_t)(uint32_t)(address) + OFFSET)
#define LOAD_AT(name, T, C, effective)                                                                       \
    HANDLER(name) {                                                                                          \
        uint64_t at = effective;                                                                             \
        WIDE_##C value;                                                                                      \
        READ_##C(value, at);                                                                                 \
        SET_ACC_##T(value);                                                                                  \
        NEXT(3);                                                                                             \
    }                                                                                                        \
    HANDLER(name##_D) {                                                                                      \
        uint64_t at = effective;                                                                             \
        WIDE_##C value;                                                                                      \
        READ_##C(value, at);                                                                                 \
        SET_ACC_##T(value);                                                                                  \
        KEEP_##T();                                                                                          \
        NEXT(3);                                                                                             \
    }

/* The host address of `size` bytes at slot 1 + offset of any memory, or a trap. */
#define CHECKED(host, address_slot, size)                                                                    \
    do {                                                                                                     \
        struct rt_memory *memory = inst->memories[WORD(3)];                                                  \
        uint64_t effective;                                                                                  \
        uint64_t limit = atomic_load_explicit(&memory->size_bytes, memory_order_relaxed);                    \
        if (UNLIKELY(__builtin_add_overflow((address_slot).u64, WORD(2), &effective) ||                      \
                     effective > limit || limit - effective < (size)))                                       \
            TRAP(RT_TRAP_MEMORY_BOUNDS);                                                                     \
        (host) = memory->base + effective;                                                                   \
    } while (0)

#define LOAD_CHECKED(name, T, C, keep)                                                                       \
    HANDLER(name) {                                                                                          \
        const uint8_t *host;                                                                                 \
        C value;                                                                                             \
        CHECKED(host, SLOT(1), sizeof value);                                                                \
        memcpy(&value, host, sizeof value);                                                                  \
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
    HANDLER(name) {                                                                                          \
        uint64_t at = effective;                                                                             \
        WRITE_##C(value, at);                                                                                \
        NEXT(3);                                                                                             \
    }
#define STORE_I_i(C) ((uint32_t)OPD(3))
#define STORE_I_I(C) ((uint64_t)(int64_t)OPD(3))
#define STORE_I_f(C) (((const union rt_slot *)(const void *)((const int32_t *)ip + 5))->f32)
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
    HANDLER(ID##_X) {                                                                                        \
        uint8_t *host;                                                                                       \
        C value = (C)AT_##T(SLOT(1));                                                                        \
        CHECKED(host, SLOT(0), sizeof value);                                                                \
        memcpy(host, &value, sizeof value);                                                                  \
        NEXT(4);                                                                                             \
    }
#include "interp/ops.def"
