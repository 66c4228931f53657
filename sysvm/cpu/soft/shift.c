/* sysvm/cpu/soft/shift.c: shifts and rotates, by the host's own. */
#include "sysvm/cpu/soft/operand.h"

/* A count of zero leaves flags and, but for the upper half of a 32-bit register, the destination alone. */
#define SHIFT_WIDTH(before, name, width, old, count, ax, carry)                                              \
    __asm__(before name " %%cl, %" width "[dst]\n\t" SOFT_FLAGS_OUT                                          \
            : [dst] "+q"(old), "+&a"(ax)                                                                     \
            : "c"(count), [carry] "q"(carry)                                                                 \
            : "cc")
#define SHIFT(id, before, name, changed)                                                                     \
    SOFT_INLINE uint64_t op_##id(uint64_t old, uint64_t count, unsigned n_bytes, uint64_t *flags) {          \
        uint32_t ax = 0;                                                                                     \
        const uint8_t carry = (uint8_t)(*flags & SOFT_CF);                                                   \
        if (!count) return old;                                                                              \
        switch (n_bytes) {                                                                                   \
        case 1: SHIFT_WIDTH(before, name "b", "b", old, count, ax, carry); break;                            \
        case 2: SHIFT_WIDTH(before, name "w", "w", old, count, ax, carry); break;                            \
        case 4: SHIFT_WIDTH(before, name "l", "k", old, count, ax, carry); break;                            \
        default: SHIFT_WIDTH(before, name "q", "q", old, count, ax, carry); break;                           \
        }                                                                                                    \
        const uint64_t mask = (changed);                                                                     \
        *flags = (*flags & ~mask) | (soft_flags_from(0, ax) & mask);                                         \
        return soft_cut(old, n_bytes);                                                                       \
    }
#define ROTATED (SOFT_CF | SOFT_OF)
SHIFT(shl, "", "shl", SOFT_ARITHMETIC)
SHIFT(shr, "", "shr", SOFT_ARITHMETIC)
SHIFT(sar, "", "sar", SOFT_ARITHMETIC)
SHIFT(rol, "", "rol", ROTATED)
SHIFT(ror, "", "ror", ROTATED)
/* A whole turn of 9 or 17 bits moves nothing and leaves CF; what OF is then, the host says. */
SHIFT(rcl, SOFT_CARRY_IN, "rcl", ROTATED)
SHIFT(rcr, SOFT_CARRY_IN, "rcr", ROTATED)

SOFT_INLINE uint64_t count_of(const struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i,
                              unsigned n_bytes) {
    const struct soft_operand *operand = insn->operands + i;
    uint64_t count = operand->kind == SOFT_IMM ? insn->immediate : cpu->gpr[VM_RCX];
    return count & (n_bytes == 8 ? 63 : 31);
}

#define HANDLER(id)                                                                                          \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        unsigned n_bytes = insn->operands[0].n_bytes;                                                        \
        return soft_modify(cpu, insn, n_bytes, op_##id, count_of(cpu, insn, 1, n_bytes));                    \
    }
HANDLER(shl)
HANDLER(shr)
HANDLER(sar)
HANDLER(rol)
HANDLER(ror)
HANDLER(rcl)
HANDLER(rcr)

/* ---- double shifts ---- */

/* The filler travels in the instruction's second operand; `count` beyond 16 with 16-bit operands is what the host does
 * with it. */
#define DOUBLE_WIDTH(name, width)                                                                            \
    __asm__(name " %%cl, %" width "[fill], %" width "[dst]\n\t" SOFT_FLAGS_OUT                               \
            : [dst] "+r"(old), "+&a"(ax)                                                                     \
            : "c"(count), [fill] "r"(fill)                                                                   \
            : "cc")
#define DOUBLE(id)                                                                                           \
    static uint64_t double_##id(uint64_t old, uint64_t fill, uint64_t count, unsigned n_bytes,               \
                                uint64_t *flags) {                                                           \
        uint32_t ax = 0;                                                                                     \
        if (!count) return old;                                                                              \
        switch (n_bytes) {                                                                                   \
        case 2: DOUBLE_WIDTH(#id "w", "w"); break;                                                           \
        case 4: DOUBLE_WIDTH(#id "l", "k"); break;                                                           \
        default: DOUBLE_WIDTH(#id "q", "q"); break;                                                          \
        }                                                                                                    \
        *flags = soft_flags_from(*flags, ax);                                                                \
        return soft_cut(old, n_bytes);                                                                       \
    }
DOUBLE(shld)
DOUBLE(shrd)

SOFT_INLINE enum soft_step double_shift(struct soft_cpu *cpu, const struct soft_insn *insn,
                                        uint64_t (*shift)(uint64_t, uint64_t, uint64_t, unsigned,
                                                          uint64_t *)) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint64_t old, flags = cpu->rflags, fill = soft_register_get(cpu, insn->operands + 1);
    uint64_t count = count_of(cpu, insn, 2, n_bytes), linear;
    const struct soft_operand *to = insn->operands;
    if (to->kind != SOFT_MEM) {
        soft_register_set(cpu, to, shift(soft_register_get(cpu, to), fill, count, n_bytes, &flags));
    } else {
        /* Asked for as a write first, so that a fault says write. */
        if (!soft_linear(cpu, insn, &linear, n_bytes, true)) return SOFT_FAULT;
        if (!soft_writable(cpu, linear, n_bytes) && cpu->fault.vector != SOFT_NO_FAULT) return SOFT_FAULT;
        old = 0;
        if (!soft_read(cpu, linear, &old, n_bytes)) return SOFT_FAULT;
        old = shift(old, fill, count, n_bytes, &flags);
        if (!soft_write(cpu, linear, &old, n_bytes)) return SOFT_FAULT;
    }
    cpu->rflags = flags;
    return SOFT_NEXT;
}
enum soft_step soft_shld(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return double_shift(cpu, insn, double_shld);
}
enum soft_step soft_shrd(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return double_shift(cpu, insn, double_shrd);
}
