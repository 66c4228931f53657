/* interp/access.h: how handlers reach linear memory.
 *
 * An access to memory 0 behind its guard pages is not checked. Its fault becomes a trap, which needs ip and
 * fp: the access is an assembly instruction that demands them in their registers, rdi and rsi. Being one
 * instruction it is also what other threads may race with: the compiler can neither tear nor repeat it. */
#ifndef ATOLL_INTERP_ACCESS_H
#define ATOLL_INTERP_ACCESS_H

#include "interp/dispatch.h"

/* mov from or to base + at */
#define LOAD_u(text, out, base, at)                                                                          \
    __asm__ volatile(text : "=r"(out) : "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")

#define READ_uint8_t(out, base, at)  LOAD_u("movzbl (%1,%2), %k0", out, base, at)
#define READ_uint16_t(out, base, at) LOAD_u("movzwl (%1,%2), %k0", out, base, at)
#define READ_uint32_t(out, base, at) LOAD_u("movl (%1,%2), %k0", out, base, at)
#define READ_uint64_t(out, base, at) LOAD_u("movq (%1,%2), %q0", out, base, at)
#define READ_int8_t(out, base, at)   LOAD_u("movsbq (%1,%2), %q0", out, base, at)
#define READ_int16_t(out, base, at)  LOAD_u("movswq (%1,%2), %q0", out, base, at)
#define READ_int32_t(out, base, at)  LOAD_u("movslq (%1,%2), %q0", out, base, at)
#define READ_float(out, base, at)                                                                            \
    __asm__ volatile("movss (%1,%2), %0" : "=x"(out) : "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")
#define READ_double(out, base, at)                                                                           \
    __asm__ volatile("movsd (%1,%2), %0" : "=x"(out) : "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WIDE_uint8_t  uint64_t
#define WIDE_uint16_t uint64_t
#define WIDE_uint32_t uint64_t
#define WIDE_uint64_t uint64_t
#define WIDE_int8_t   uint64_t
#define WIDE_int16_t  uint64_t
#define WIDE_int32_t  uint64_t
#define WIDE_float    float
#define WIDE_double   double

#define WRITE_u(text, value, base, at)                                                                       \
    __asm__ volatile(text : : "r"(value), "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WRITE_uint8_t(value, base, at)  WRITE_u("movb %b0, (%1,%2)", (uint64_t)(value), base, at)
#define WRITE_uint16_t(value, base, at) WRITE_u("movw %w0, (%1,%2)", (uint64_t)(value), base, at)
#define WRITE_uint32_t(value, base, at) WRITE_u("movl %k0, (%1,%2)", (uint64_t)(value), base, at)
#define WRITE_uint64_t(value, base, at) WRITE_u("movq %q0, (%1,%2)", (uint64_t)(value), base, at)
#define WRITE_float(value, base, at)                                                                         \
    __asm__ volatile("movss %0, (%1,%2)" : : "x"(value), "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WRITE_double(value, base, at)                                                                        \
    __asm__ volatile("movsd %0, (%1,%2)" : : "x"(value), "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")

#define READ_v128_t(out, base, at)                                                                           \
    __asm__ volatile("movdqu (%1,%2), %0" : "=x"(out) : "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WRITE_v128_t(value, base, at)                                                                        \
    __asm__ volatile("movdqu %0, (%1,%2)" : : "x"(value), "r"(base), "r"(at), "D"(ip), "S"(fp) : "memory")
#define WIDE_v128_t v128_t

/* The base of any memory and `at`, its `size` bytes at slot + offset, or a trap. */
#define CHECKED(base, at, address_slot, size)                                                                \
    do {                                                                                                     \
        struct rt_memory *memory = inst->memories[WORD(3)];                                                  \
        uint64_t limit = atomic_load_explicit(&memory->size_bytes, memory_order_relaxed);                    \
        if (UNLIKELY(__builtin_add_overflow((address_slot).u64, WORD(2), &(at)) || (at) > limit ||           \
                     limit - (at) < (size)))                                                                 \
            TRAP(RT_TRAP_MEMORY_BOUNDS);                                                                     \
        (base) = memory->base;                                                                               \
    } while (0)

#endif
