/* sysvm/cpu/soft/muldiv.c: multiplication and division, decimal adjustment. */
#include "sysvm/cpu/soft/operand.h"

/* ---- multiplication ---- */

/* rdx:rax (dx:ax, ax) = accumulator * operand, and the host's flags. */
#define WIDE_WIDTH(name, width)                                                                              \
    __asm__(name " %" width "[src]\n\t"                                                                      \
                 "movq %%rax, %[low]\n\t" SOFT_FLAGS_OUT                                                     \
            : "+&a"(ax), "+&d"(high), [low] "=&r"(low)                                                       \
            : [src] "r"(source)                                                                              \
            : "cc")
#define WIDE(id)                                                                                             \
    static enum soft_step wide_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                    \
        unsigned n_bytes = insn->operands[0].n_bytes;                                                        \
        uint64_t source, ax = cpu->gpr[VM_RAX], high = cpu->gpr[VM_RDX], low;                                \
        if (!soft_get(cpu, insn, 0, n_bytes, &source)) return SOFT_FAULT;                                    \
        switch (n_bytes) {                                                                                   \
        case 1: WIDE_WIDTH(#id "b", "b"); break;                                                             \
        case 2: WIDE_WIDTH(#id "w", "w"); break;                                                             \
        case 4: WIDE_WIDTH(#id "l", "k"); break;                                                             \
        default: WIDE_WIDTH(#id "q", "q"); break;                                                            \
        }                                                                                                    \
        soft_gpr_set(cpu, VM_RAX, n_bytes == 1 ? 2 : n_bytes, low);                                          \
        if (n_bytes > 1) soft_gpr_set(cpu, VM_RDX, n_bytes, high);                                           \
        cpu->rflags = soft_flags_from(cpu->rflags, (uint32_t)ax);                                            \
        return SOFT_NEXT;                                                                                    \
    }
WIDE(mul)
WIDE(imul)

enum soft_step soft_mul(struct soft_cpu *cpu, const struct soft_insn *insn) { return wide_mul(cpu, insn); }

/* Two operands: the first is a factor too; three: the last is an immediate. */
enum soft_step soft_imul(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (insn->n_operands == 1) return wide_imul(cpu, insn);
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint64_t value, factor, flags = cpu->rflags;
    if (!soft_get(cpu, insn, 1, n_bytes, &value)) return SOFT_FAULT;
    factor = insn->n_operands == 3 ? insn->immediate : soft_register_get(cpu, insn->operands);
    uint32_t ax = 0;
    const uint8_t carry = 0;
    switch (n_bytes) {
    case 2: SOFT_ONE_WIDTH("", "imulw", "w", value, factor, ax, carry); break;
    case 4: SOFT_ONE_WIDTH("", "imull", "k", value, factor, ax, carry); break;
    default: SOFT_ONE_WIDTH("", "imulq", "q", value, factor, ax, carry); break;
    }
    soft_register_set(cpu, insn->operands, value);
    cpu->rflags = soft_flags_from(flags, ax);
    return SOFT_NEXT;
}

/* ---- division: flags are undefined and stay ---- */

static enum soft_step divide_error(struct soft_cpu *cpu) { return soft_raise(cpu, SOFT_DE, false, 0); }

static unsigned __int128 dividend(const struct soft_cpu *cpu, unsigned n_bytes) {
    if (n_bytes == 1) return soft_gpr_get(cpu, VM_RAX, 2);
    return (unsigned __int128)soft_gpr_get(cpu, VM_RDX, n_bytes) << n_bytes * 8 |
           soft_gpr_get(cpu, VM_RAX, n_bytes);
}

static enum soft_step put_quotient(struct soft_cpu *cpu, unsigned n_bytes, uint64_t quotient, uint64_t rest) {
    if (n_bytes == 1) {
        soft_gpr_set(cpu, VM_RAX, 2, (quotient & 0xFF) | (rest & 0xFF) << 8);
        return SOFT_NEXT;
    }
    soft_gpr_set(cpu, VM_RAX, n_bytes, quotient);
    soft_gpr_set(cpu, VM_RDX, n_bytes, rest);
    return SOFT_NEXT;
}

enum soft_step soft_div(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint64_t by;
    if (!soft_get(cpu, insn, 0, n_bytes, &by)) return SOFT_FAULT;
    unsigned __int128 what = dividend(cpu, n_bytes);
    if (!by || what >> n_bytes * 8 >= by) return divide_error(cpu);
    if (!(what >> 64)) return put_quotient(cpu, n_bytes, (uint64_t)what / by, (uint64_t)what % by);
    return put_quotient(cpu, n_bytes, (uint64_t)(what / by), (uint64_t)(what % by));
}

enum soft_step soft_idiv(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned n_bytes = insn->operands[0].n_bytes, bits = n_bytes * 8;
    uint64_t raw;
    if (!soft_get(cpu, insn, 0, n_bytes, &raw)) return SOFT_FAULT;
    __int128 by = soft_sign_extend(raw, n_bytes), limit = (__int128)1 << (bits - 1);
    /* Sign-extended from twice the width. */
    __int128 what = (__int128)(dividend(cpu, n_bytes) << (128 - 2 * bits)) >> (128 - 2 * bits);
    if (!by || (by == -1 && what < -limit)) return divide_error(cpu);
    __int128 quotient = what / by;
    if (quotient < -limit || quotient >= limit) return divide_error(cpu);
    return put_quotient(cpu, n_bytes, (uint64_t)quotient, (uint64_t)(what % by));
}

/* ---- decimal adjustment, outside 64-bit mode ---- */

static void set_result_flags(struct soft_cpu *cpu, uint8_t al, uint64_t carry_and_adjust) {
    uint64_t flags = carry_and_adjust;
    if (!al) flags |= SOFT_ZF;
    if (al & 0x80) flags |= SOFT_SF;
    if (!__builtin_parity(al)) flags |= SOFT_PF;
    cpu->rflags = (cpu->rflags & ~(uint64_t)SOFT_ARITHMETIC) | flags;
}

SOFT_INLINE enum soft_step decimal(struct soft_cpu *cpu, int sign) {
    uint8_t al = (uint8_t)cpu->gpr[VM_RAX], before = al;
    bool carry = cpu->rflags & SOFT_CF, adjust = (al & 0xF) > 9 || (cpu->rflags & SOFT_AF);
    bool high = before > 0x99 || carry;
    uint64_t flags = 0;
    if (adjust) {
        /* das: a borrow of the lower digit is one of the whole */
        if (sign < 0 && al < 6) flags |= SOFT_CF;
        al = (uint8_t)(al + sign * 6);
        flags |= SOFT_AF;
    }
    if (high) {
        al = (uint8_t)(al + sign * 0x60);
        flags |= SOFT_CF;
    }
    soft_gpr_set(cpu, VM_RAX, 1, al);
    set_result_flags(cpu, al, flags);
    return SOFT_NEXT;
}
enum soft_step soft_daa(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return decimal(cpu, 1);
}
enum soft_step soft_das(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return decimal(cpu, -1);
}

SOFT_INLINE enum soft_step ascii(struct soft_cpu *cpu, int sign) {
    uint16_t ax = (uint16_t)cpu->gpr[VM_RAX];
    bool adjust = (ax & 0xF) > 9 || (cpu->rflags & SOFT_AF);
    if (adjust) ax = (uint16_t)(ax + sign * 0x106);
    ax &= 0xFF0F;
    soft_gpr_set(cpu, VM_RAX, 2, ax);
    set_result_flags(cpu, (uint8_t)ax, adjust ? SOFT_CF | SOFT_AF : 0);
    return SOFT_NEXT;
}
enum soft_step soft_aaa(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return ascii(cpu, 1);
}
enum soft_step soft_aas(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return ascii(cpu, -1);
}

enum soft_step soft_aam(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t al = (uint8_t)cpu->gpr[VM_RAX], by = (uint8_t)insn->immediate;
    if (!by) return divide_error(cpu);
    soft_gpr_set(cpu, VM_RAX, 2, (uint64_t)(al / by) << 8 | al % by);
    set_result_flags(cpu, al % by, 0);
    return SOFT_NEXT;
}
enum soft_step soft_aad(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint16_t ax = (uint16_t)cpu->gpr[VM_RAX];
    uint8_t al = (uint8_t)((ax & 0xFF) + (ax >> 8) * (uint8_t)insn->immediate);
    soft_gpr_set(cpu, VM_RAX, 2, al);
    set_result_flags(cpu, al, 0);
    return SOFT_NEXT;
}
