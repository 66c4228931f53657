/* sysvm/cpu/soft/insn.h: a decoded instruction, and the functions that make and run one. */
#ifndef ATOLL_SYSVM_SOFT_INSN_H
#define ATOLL_SYSVM_SOFT_INSN_H

#include "sysvm/cpu/soft/cpu.h"

enum soft_operand_kind {
    SOFT_NONE,
    SOFT_GPR,      /* reg 0..15 */
    SOFT_GPR_HIGH, /* ah, ch, dh, bh: reg 0..3 */
    SOFT_MEM,      /* segment, base, index ... of the instruction; also what lea computes */
    SOFT_IMM,      /* `immediate`, sign-extended where the instruction does; relative targets too */
    SOFT_FAR,      /* ptr16:16, ptr16:32: immediate = offset | selector << 32 */
    SOFT_XMM,
    SOFT_YMM,
    SOFT_MM,
    SOFT_ST,
    SOFT_SEGMENT, /* reg: enum vm_segment_name */
    SOFT_CR,
    SOFT_DR,
    SOFT_MASK_NONE
};

enum { SOFT_NO_REG = 0xFF, SOFT_RIP = 0xFE, SOFT_INSN_MAX = 15, SOFT_OPERANDS_MAX = 4 };

struct soft_operand {
    uint8_t kind; /* enum soft_operand_kind */
    uint8_t reg;
    uint16_t n_bytes;
};

typedef enum soft_step soft_handler(struct soft_cpu *cpu, const struct soft_insn *insn);

/* Operands are those an assembler shows, in its order (the explicit ones, and implicit ones such as cl, 1, al, dx).
 * What is not shown (rax:rdx of mul, rsi and rdi of movs) the handler knows. `enter`: immediate = size | level << 16.
 * No pointer into guest memory; everything is derived from `bytes` and the mode. */
struct soft_insn {
    soft_handler *run;
    const void *native; /* of a NATIVE row: what vector.h made for it, or NULL */
    int64_t displacement;
    uint64_t immediate;
    struct soft_operand operands[SOFT_OPERANDS_MAX];
    uint16_t mnemonic; /* ZydisMnemonic */
    uint16_t offset;   /* in its page; of an instruction in a block */
    uint8_t length;
    uint8_t operand_bytes; /* effective operand size: 1 (byte forms), 2, 4, 8 */
    uint8_t address_bytes; /* 2, 4, 8 */
    uint8_t n_operands;
    bool lock, rep, repne; /* rep: F3, repne: F2, where the instruction takes them as such */
    uint8_t
        segment; /* of the memory operand, or of the source of a string instruction: default or override */
    uint8_t base, index; /* gpr number, SOFT_RIP (base) or SOFT_NO_REG */
    uint8_t scale;       /* 1, 2, 4, 8 */
    uint8_t bytes[SOFT_INSN_MAX];
};

/* Modes in which operands and addresses have 32 bits at least, if nothing else is said. */
static inline bool soft_is_wide(enum soft_mode mode) {
    return mode == SOFT_LONG64 || mode == SOFT_COMPAT32 || mode == SOFT_PROTECTED32;
}

/* Decodes the instruction at bytes[0 .. n_bytes) as `mode` reads it.
 * out     *out: complete, `run` set; a row that nobody handles has soft_undefined there
 * returns SOFT_DECODED; SOFT_DECODE_MORE: the bytes end before the instruction does (n_bytes < 15);
 *         SOFT_DECODE_UD: no instruction (also lock where there is none): #UD;
 *         SOFT_DECODE_LONG: more than 15 bytes: #GP(0). Any bytes are allowed. */
enum soft_decoded { SOFT_DECODED, SOFT_DECODE_MORE, SOFT_DECODE_UD, SOFT_DECODE_LONG };
enum soft_decoded soft_decode(enum soft_mode mode, const uint8_t *bytes, unsigned n_bytes,
                              struct soft_insn *out);

enum soft_variant {
    SOFT_PLAIN,
    SOFT_VARIANT_FAR,
    SOFT_VARIANT_SEGMENT,
    SOFT_VARIANT_CR,
    SOFT_VARIANT_DR,
    SOFT_VARIANT_STRING
};
/* The row of a mnemonic: NULL where semantics.def has none. */
soft_handler *soft_handler_of(unsigned mnemonic, enum soft_variant variant);

/* The handler of the very form of a decoded instruction, where there is one; else insn->run. */
soft_handler *soft_alu_form(const struct soft_insn *insn);
soft_handler *soft_move_form(const struct soft_insn *insn);

/* Every handler named in the table; the same prototype twice is no harm. */
#define INSN(mnemonic, handler)          soft_handler handler;
#define VARIANT(mnemonic, what, handler) soft_handler handler;
#define NATIVE(mnemonic, form)
#include "sysvm/cpu/soft/semantics.def"
#undef INSN
#undef VARIANT
#undef NATIVE
soft_handler soft_undefined; /* #UD */

#endif
