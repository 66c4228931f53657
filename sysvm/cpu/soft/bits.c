/* sysvm/cpu/soft/bits.c: bit tests, scans, counts. */
#include "sysvm/cpu/soft/operand.h"

/* ---- bt, bts, btr, btc ---- */

#define TEST_WIDTH(name, width)                                                                              \
    __asm__(name " %" width "[src], %" width "[dst]\n\t" SOFT_FLAGS_OUT                                      \
            : [dst] "+r"(old), "+&a"(ax)                                                                     \
            : [src] "r"(bit)                                                                                 \
            : "cc")
#define BIT_OPERATION(id)                                                                                    \
    SOFT_INLINE uint64_t op_##id(uint64_t old, uint64_t bit, unsigned n_bytes, uint64_t *flags) {            \
        uint32_t ax = 0;                                                                                     \
        switch (n_bytes) {                                                                                   \
        case 2: TEST_WIDTH(#id "w", "w"); break;                                                             \
        case 4: TEST_WIDTH(#id "l", "k"); break;                                                             \
        default: TEST_WIDTH(#id "q", "q"); break;                                                            \
        }                                                                                                    \
        *flags = (*flags & ~(uint64_t)SOFT_CF) | (ax >> 8 & SOFT_CF);                                        \
        return soft_cut(old, n_bytes);                                                                       \
    }
BIT_OPERATION(bt)
BIT_OPERATION(bts)
BIT_OPERATION(btr)
BIT_OPERATION(btc)

/* A bit number in a register reaches beyond a memory operand, both ways. */
static bool bit_address(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t bit, bool write,
                        uint64_t *out_linear) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    if (insn->operands[1].kind == SOFT_IMM) return soft_linear(cpu, insn, out_linear, n_bytes, write);
    int64_t words = soft_sign_extend(bit, n_bytes) >> (n_bytes == 8 ? 6 : n_bytes == 4 ? 5 : 4);
    uint64_t offset = soft_cut(soft_effective(cpu, insn) + (uint64_t)words * n_bytes, insn->address_bytes);
    return soft_linear_at(cpu, insn->segment, offset, n_bytes, write, out_linear);
}

SOFT_INLINE enum soft_step bit_test(struct soft_cpu *cpu, const struct soft_insn *insn,
                                    soft_operation *operation, bool writes) {
    unsigned n_bytes = insn->operands[0].n_bytes;
    uint64_t flags = cpu->rflags, linear, old = 0, bit;
    if (!soft_get(cpu, insn, 1, n_bytes, &bit)) return SOFT_FAULT;
    if (insn->operands[0].kind != SOFT_MEM) {
        uint64_t value =
            operation(soft_register_get(cpu, insn->operands), bit & (n_bytes * 8 - 1), n_bytes, &flags);
        if (writes) soft_register_set(cpu, insn->operands, value);
    } else {
        if (!bit_address(cpu, insn, bit, writes, &linear)) return SOFT_FAULT;
        bit &= n_bytes * 8 - 1;
        if (writes) {
            if (!soft_modify_at(cpu, linear, n_bytes, insn->lock, operation, bit, &flags, &old))
                return SOFT_FAULT;
        } else {
            if (!soft_read(cpu, linear, &old, n_bytes)) return SOFT_FAULT;
            operation(old, bit, n_bytes, &flags);
        }
    }
    cpu->rflags = flags;
    return SOFT_NEXT;
}
enum soft_step soft_bt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return bit_test(cpu, insn, op_bt, false);
}
enum soft_step soft_bts(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return bit_test(cpu, insn, op_bts, true);
}
enum soft_step soft_btr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return bit_test(cpu, insn, op_btr, true);
}
enum soft_step soft_btc(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return bit_test(cpu, insn, op_btc, true);
}

/* ---- scans and counts: destination register from a source ---- */

/* The old destination goes in: bsf and bsr of zero leave it. */
#define SCAN_WIDTH(name, width)                                                                              \
    __asm__(name " %" width "[src], %" width "[dst]\n\t" SOFT_FLAGS_OUT                                      \
            : [dst] "+r"(old), "+&a"(ax)                                                                     \
            : [src] "r"(source)                                                                              \
            : "cc")
#define SCAN(id)                                                                                             \
    enum soft_step soft_##id(struct soft_cpu *cpu, const struct soft_insn *insn) {                           \
        unsigned n_bytes = insn->operands[0].n_bytes;                                                        \
        uint64_t source, old = cpu->gpr[insn->operands[0].reg];                                              \
        uint32_t ax = 0;                                                                                     \
        if (!soft_get(cpu, insn, 1, n_bytes, &source)) return SOFT_FAULT;                                    \
        switch (n_bytes) {                                                                                   \
        case 2: SCAN_WIDTH(#id "w", "w"); break;                                                             \
        case 4: SCAN_WIDTH(#id "l", "k"); break;                                                             \
        default: SCAN_WIDTH(#id "q", "q"); break;                                                            \
        }                                                                                                    \
        cpu->gpr[insn->operands[0].reg] = old;                                                               \
        cpu->rflags = soft_flags_from(cpu->rflags, ax);                                                      \
        return SOFT_NEXT;                                                                                    \
    }
SCAN(bsf)
SCAN(bsr)
SCAN(popcnt)
SCAN(lzcnt)
