/* sysvm/cpu/soft/operand.h: reading, writing and modifying the operands of general-purpose instructions. Inlined into
 * each handler, so that what is known there (a width, an operation) is known here. */
#ifndef ATOLL_SYSVM_SOFT_OPERAND_H
#define ATOLL_SYSVM_SOFT_OPERAND_H

#include <Zydis/Mnemonic.h>
#include <string.h>
#include "sysvm/cpu/soft/insn.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"

#define SOFT_INLINE static inline __attribute__((always_inline))

SOFT_INLINE uint64_t soft_cut(uint64_t value, unsigned n_bytes) {
    return n_bytes == 8 ? value : value & ((UINT64_C(1) << n_bytes * 8) - 1);
}
SOFT_INLINE int64_t soft_sign_extend(uint64_t value, unsigned n_bytes) {
    unsigned shift = 64 - n_bytes * 8;
    return (int64_t)(value << shift) >> shift;
}

/* ---- registers and immediates ---- */

SOFT_INLINE uint64_t soft_register_get(const struct soft_cpu *cpu, const struct soft_operand *operand) {
    if (operand->kind == SOFT_GPR_HIGH) return cpu->gpr[operand->reg] >> 8 & 0xFF;
    return soft_cut(cpu->gpr[operand->reg], operand->n_bytes);
}
SOFT_INLINE void soft_register_set(struct soft_cpu *cpu, const struct soft_operand *operand, uint64_t value) {
    if (operand->kind == SOFT_GPR_HIGH)
        cpu->gpr[operand->reg] = (cpu->gpr[operand->reg] & ~UINT64_C(0xFF00)) | (value & 0xFF) << 8;
    else
        soft_gpr_set(cpu, operand->reg, operand->n_bytes, value);
}

/* ---- memory operands ---- */

SOFT_INLINE bool soft_memory_get(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes,
                                 uint64_t *out) {
    uint64_t linear, value = 0;
    if (!soft_linear(cpu, insn, &linear, n_bytes, false) || !soft_read(cpu, linear, &value, n_bytes))
        return false;
    *out = value;
    return true;
}
SOFT_INLINE bool soft_memory_set(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes,
                                 uint64_t value) {
    uint64_t linear;
    return soft_linear(cpu, insn, &linear, n_bytes, true) && soft_write(cpu, linear, &value, n_bytes);
}

/* Operand `i`, cut to n_bytes; false: cpu->fault. */
SOFT_INLINE bool soft_get(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i, unsigned n_bytes,
                          uint64_t *out) {
    const struct soft_operand *operand = insn->operands + i;
    if (operand->kind == SOFT_MEM) return soft_memory_get(cpu, insn, n_bytes, out);
    if (operand->kind == SOFT_IMM)
        *out = soft_cut(insn->immediate, n_bytes);
    else
        *out = soft_register_get(cpu, operand);
    return true;
}
SOFT_INLINE bool soft_put(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i, unsigned n_bytes,
                          uint64_t value) {
    const struct soft_operand *operand = insn->operands + i;
    if (operand->kind == SOFT_MEM) return soft_memory_set(cpu, insn, n_bytes, value);
    soft_register_set(cpu, operand, value);
    return true;
}

/* ---- host memory: guest RAM that other threads use at the same time ---- */

SOFT_INLINE uint64_t soft_host_load(const void *host, unsigned n_bytes) {
    uint64_t value = 0;
    switch (n_bytes) {
    case 1: memcpy(&value, host, 1); break;
    case 2: memcpy(&value, host, 2); break;
    case 4: memcpy(&value, host, 4); break;
    default: memcpy(&value, host, 8); break;
    }
    return value;
}
SOFT_INLINE void soft_host_store(void *host, unsigned n_bytes, uint64_t value) {
    switch (n_bytes) {
    case 1: memcpy(host, &value, 1); break;
    case 2: memcpy(host, &value, 2); break;
    case 4: memcpy(host, &value, 4); break;
    default: memcpy(host, &value, 8); break;
    }
}

/* The host's own locked compare-and-exchange: any alignment, as the guest's. *expected becomes what was there. */
SOFT_INLINE bool soft_host_exchange(void *host, unsigned n_bytes, uint64_t *expected, uint64_t value) {
    bool done;
    switch (n_bytes) {
#define CASE(size, suffix, reg)                                                                              \
    case size:                                                                                               \
        __asm__ volatile("lock cmpxchg" suffix " %" reg "[value], (%[host])"                                 \
                         : "=@ccz"(done), "+a"(*expected)                                                    \
                         : [host] "r"(host), [value] "r"(value)                                              \
                         : "memory");                                                                        \
        break;
        CASE(1, "b", "b")
        CASE(2, "w", "w")
        CASE(4, "l", "k")
    default:
        __asm__ volatile("lock cmpxchgq %[value], (%[host])"
                         : "=@ccz"(done), "+a"(*expected)
                         : [host] "r"(host), [value] "r"(value)
                         : "memory");
#undef CASE
    }
    *expected = soft_cut(*expected, n_bytes);
    return done;
}

/* ---- read, modify, write ---- */

/* What an instruction computes: the new value of its destination from the old one and its source; the arithmetic flags
 * in *flags are replaced. */
typedef uint64_t soft_operation(uint64_t old, uint64_t source, unsigned n_bytes, uint64_t *flags);

/* The slow path of memory that is no RAM, or crosses pages. */
SOFT_INLINE void soft_split_lock(struct soft_cpu *cpu) { pthread_mutex_lock(&cpu->engine->split_lock); }
SOFT_INLINE void soft_split_unlock(struct soft_cpu *cpu) { pthread_mutex_unlock(&cpu->engine->split_lock); }

/* Applies `operation` to n_bytes at `linear`, atomically where asked; *flags is in and out, *out_old what was there.
 * False: cpu->fault, nothing changed. */
SOFT_INLINE bool soft_modify_at(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes, bool atomically,
                                soft_operation *operation, uint64_t source, uint64_t *flags,
                                uint64_t *out_old) {
    const uint64_t flags_before = *flags;
    void *host = soft_writable(cpu, linear, n_bytes);
    if (host) {
        uint64_t old = soft_host_load(host, n_bytes);
        if (!atomically) {
            soft_host_store(host, n_bytes, operation(old, source, n_bytes, flags));
        } else {
            uint64_t value;
            do {
                *flags = flags_before;
                value = operation(old, source, n_bytes, flags);
            } while (!soft_host_exchange(host, n_bytes, &old, value));
        }
        *out_old = old;
        return true;
    }
    if (cpu->fault.vector != SOFT_NO_FAULT) return false;
    if (atomically) soft_split_lock(cpu);
    uint64_t old = 0;
    bool done = soft_read(cpu, linear, &old, n_bytes);
    if (done) {
        uint64_t value = operation(old, source, n_bytes, flags);
        done = soft_write(cpu, linear, &value, n_bytes);
    }
    if (atomically) soft_split_unlock(cpu);
    *out_old = old;
    return done;
}

/* The destination (operand 0) through `operation`; flags are committed with it. */
SOFT_INLINE enum soft_step soft_modify(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes,
                                       soft_operation *operation, uint64_t source) {
    uint64_t flags = cpu->rflags;
    const struct soft_operand *to = insn->operands;
    if (to->kind != SOFT_MEM) {
        soft_register_set(cpu, to, operation(soft_register_get(cpu, to), source, n_bytes, &flags));
    } else {
        uint64_t linear, old;
        if (!soft_linear(cpu, insn, &linear, n_bytes, true)) return SOFT_FAULT;
        if (!soft_modify_at(cpu, linear, n_bytes, insn->lock, operation, source, &flags, &old))
            return SOFT_FAULT;
    }
    cpu->rflags = flags;
    return SOFT_NEXT;
}

/* ---- flags ---- */

/* After an instruction in inline assembly: `lahf; seto %al` leaves SF ZF AF PF CF in ah and OF in al. */
#define SOFT_FLAGS_OUT "lahf\n\tseto %%al"
SOFT_INLINE uint64_t soft_flags_from(uint64_t flags, uint32_t ax) {
    return (flags & ~(uint64_t)SOFT_ARITHMETIC) |
           (ax >> 8 & (SOFT_SF | SOFT_ZF | SOFT_AF | SOFT_PF | SOFT_CF)) | (ax & 1) << 11;
}
/* An instruction `name` of two operands, old and source, for each width. `before` may load CF from %[carry]. */
#define SOFT_WIDTHS(before, name, old, source, flags)                                                        \
    do {                                                                                                     \
        uint32_t ax = 0;                                                                                     \
        const uint8_t carry = (uint8_t)(*(flags)&SOFT_CF);                                                   \
        switch (n_bytes) {                                                                                   \
        case 1: SOFT_ONE_WIDTH(before, name "b", "b", old, source, ax, carry); break;                        \
        case 2: SOFT_ONE_WIDTH(before, name "w", "w", old, source, ax, carry); break;                        \
        case 4: SOFT_ONE_WIDTH(before, name "l", "k", old, source, ax, carry); break;                        \
        default: SOFT_ONE_WIDTH(before, name "q", "q", old, source, ax, carry); break;                       \
        }                                                                                                    \
        *(flags) = soft_flags_from(*(flags), ax);                                                            \
        (old) = soft_cut(old, n_bytes);                                                                      \
    } while (0)
#define SOFT_ONE_WIDTH(before, name, width, old, source, ax, carry)                                          \
    __asm__(before name " %" width "[src], %" width "[dst]\n\t" SOFT_FLAGS_OUT                               \
            : [dst] "+q"(old), "+&a"(ax)                                                                     \
            : [src] "q"(source), [carry] "q"(carry)                                                          \
            : "cc")
#define SOFT_CARRY_IN "cmpb $1, %b[carry]\n\tcmc\n\t" /* CF = carry */

/* ---- conditions ---- */

/* Condition 0..15 as jcc, setcc and cmovcc encode it. */
SOFT_INLINE bool soft_condition(uint64_t flags, unsigned code) {
    bool value;
    switch (code >> 1) {
    case 0: value = flags & SOFT_OF; break;
    case 1: value = flags & SOFT_CF; break;
    case 2: value = flags & SOFT_ZF; break;
    case 3: value = flags & (SOFT_CF | SOFT_ZF); break;
    case 4: value = flags & SOFT_SF; break;
    case 5: value = flags & SOFT_PF; break;
    case 6: value = !(flags & SOFT_SF) != !(flags & SOFT_OF); break;
    default: value = (flags & SOFT_ZF) || !(flags & SOFT_SF) != !(flags & SOFT_OF); break;
    }
    return value != (code & 1);
}

/* X(name, code) for each, as the decoder spells them. */
#define SOFT_CONDITIONS(X)                                                                                   \
    X(o, 0)                                                                                                  \
    X(no, 1)                                                                                                 \
    X(b, 2)                                                                                                  \
    X(nb, 3)                                                                                                 \
    X(z, 4)                                                                                                  \
    X(nz, 5) X(be, 6) X(nbe, 7) X(s, 8) X(ns, 9) X(p, 10) X(np, 11) X(l, 12) X(nl, 13) X(le, 14) X(nle, 15)

/* ---- the stack ---- */

/* Pushes n_bytes below the stack pointer / reads them at it; the stack pointer changes only where it worked. */
bool soft_push(struct soft_cpu *cpu, unsigned n_bytes, uint64_t value);
bool soft_pop(struct soft_cpu *cpu, unsigned n_bytes, uint64_t *out);
/* The stack pointer as SS uses it, and with `delta` added in that width. */
static inline uint64_t soft_stack_pointer(const struct soft_cpu *cpu, int64_t delta) {
    return soft_cut(cpu->gpr[VM_RSP] + (uint64_t)delta, soft_stack_bytes(cpu));
}
static inline void soft_stack_set(struct soft_cpu *cpu, uint64_t value) {
    soft_gpr_set(cpu, VM_RSP, soft_stack_bytes(cpu), value);
}

#endif
