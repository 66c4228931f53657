/* jit/x86.h: x86-64 machine code, an instruction a call. Knows encodings, nothing of WebAssembly.
 *
 *   x86_op(a, X86_ADD | X86_W, RAX, x86_reg(RBX))          add rax, rbx
 *   x86_op(a, X86_MOV_LOAD, RCX, x86_mem(RSP, 8))          mov ecx, [rsp + 8]
 *   x86_op3(a, X86_ADDSD, XMM0, XMM1, x86_reg(XMM2))       vaddsd xmm0, xmm1, xmm2
 *
 * source  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapters 2 to 5 */
#ifndef ATOLL_JIT_X86_H
#define ATOLL_JIT_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, XMM0 = 16, XMM15 = 31 };
#define X86_RIP    (-2) /* base: rip-relative, disp = the literal's offset */
#define X86_NO_REG (-1)

struct x86_fixup {     /* a 32-bit distance to be filled in */
    uint32_t at;       /* of the four bytes */
    uint32_t to;       /* label, or byte offset in the literals */
    uint32_t trailing; /* bytes of the instruction behind the four */
};
struct x86 {
    const struct atoll_alloc *alloc;
    uint8_t *bytes; /* owned */
    size_t size, capacity;
    bool failed;       /* out of memory; sticky */
    bool avx;          /* x86_op3 may use three-operand forms */
    uint8_t *literals; /* constants behind the code, aligned to 16 */
    size_t n_literals, cap_literals;
    struct x86_fixup *fixups, *literal_fixups;
    size_t n_fixups, cap_fixups, n_literal_fixups, cap_literal_fixups;
};
struct x86_rm {         /* the r/m operand */
    int8_t base, index; /* base a register, X86_RIP or X86_NO_REG */
    uint8_t scale;      /* log2 */
    bool memory;
    int32_t disp;
};
static inline struct x86_rm x86_reg(int reg) {
    return (struct x86_rm){.base = (int8_t)reg, .index = X86_NO_REG};
}
static inline struct x86_rm x86_mem(int base, int32_t disp) {
    return (struct x86_rm){.base = (int8_t)base, .index = X86_NO_REG, .memory = true, .disp = disp};
}
static inline struct x86_rm x86_mem_index(int base, int index, unsigned scale, int32_t disp) {
    return (struct x86_rm){(int8_t)base, (int8_t)index, (uint8_t)scale, true, disp};
}

/* An opcode: byte | map << 8 (0F, 0F38, 0F3A = 1, 2, 3) | prefix << 10 (66, F3, F2 = 1, 2, 3) | flags. */
#define X86_CODE(prefix, map, byte) ((uint32_t)(byte) | (uint32_t)(map) << 8 | (uint32_t)(prefix) << 10)
#define X86_W                       (1u << 12) /* 64-bit operands */
#define X86_BYTE                    (1u << 13) /* 8-bit register in reg: sil, dil ... need a REX */
#define X86_VEX                     (1u << 14)
#define X86_BYTE_RM                 (1u << 15) /* the same for a register in r/m */
#define X86_L                       (1u << 16) /* VEX: 256 bits */

enum { /* register <- register op r/m, unless told otherwise */
       X86_ADD = X86_CODE(0, 0, 0x03),
       X86_OR = X86_CODE(0, 0, 0x0B),
       X86_ADC = X86_CODE(0, 0, 0x13),
       X86_SBB = X86_CODE(0, 0, 0x1B),
       X86_AND = X86_CODE(0, 0, 0x23),
       X86_SUB = X86_CODE(0, 0, 0x2B),
       X86_XOR = X86_CODE(0, 0, 0x33),
       X86_CMP = X86_CODE(0, 0, 0x3B),
       X86_TEST = X86_CODE(0, 0, 0x85),
       X86_XCHG = X86_CODE(0, 0, 0x87),
       X86_IMUL = X86_CODE(0, 1, 0xAF),
       X86_MOV_LOAD = X86_CODE(0, 0, 0x8B),
       X86_MOV_STORE = X86_CODE(0, 0, 0x89), /* r/m <- register */
       X86_MOV_STORE8 = X86_CODE(0, 0, 0x88) | X86_BYTE,
       X86_MOV_STORE16 = X86_CODE(1, 0, 0x89),
       X86_MOVZX8 = X86_CODE(0, 1, 0xB6),
       X86_MOVZX16 = X86_CODE(0, 1, 0xB7),
       X86_MOVSX8 = X86_CODE(0, 1, 0xBE),
       X86_MOVSX16 = X86_CODE(0, 1, 0xBF),
       X86_MOVSXD = X86_CODE(0, 0, 0x63) | X86_W,
       X86_LEA = X86_CODE(0, 0, 0x8D),
       X86_LZCNT = X86_CODE(2, 1, 0xBD),
       X86_TZCNT = X86_CODE(2, 1, 0xBC),
       X86_BSR = X86_CODE(0, 1, 0xBD),
       X86_BSF = X86_CODE(0, 1, 0xBC),
       X86_POPCNT = X86_CODE(2, 1, 0xB8),
       X86_BT = X86_CODE(
           0, 1, 0xA3), /* of r/m the bit whose number is in the register: CF; then to be set, cleared, */
       X86_BTS = X86_CODE(0, 1, 0xAB), /* changed */
       X86_BTR = X86_CODE(0, 1, 0xB3),
       X86_BTC = X86_CODE(0, 1, 0xBB),
       X86_CMOV = X86_CODE(0, 1, 0x40), /* + condition */
       X86_SETCC = X86_CODE(0, 1, 0x90) | X86_BYTE_RM,
       X86_SHLX = X86_CODE(1, 2, 0xF7) | X86_VEX, /* x86_vex: reg <- r/m shifted by vvvv */
       X86_SARX = X86_CODE(2, 2, 0xF7) | X86_VEX,
       X86_SHRX = X86_CODE(3, 2, 0xF7) | X86_VEX,
       X86_RORX = X86_CODE(3, 3, 0xF0) | X86_VEX,
       X86_MOVSS_LOAD = X86_CODE(2, 1, 0x10),
       X86_MOVSD_LOAD = X86_CODE(3, 1, 0x10),
       X86_MOVSS_STORE = X86_CODE(2, 1, 0x11),
       X86_MOVSD_STORE = X86_CODE(3, 1, 0x11),
       X86_MOVAPS = X86_CODE(0, 1, 0x28),
       X86_MOVUPS_LOAD = X86_CODE(0, 1, 0x10),
       X86_MOVUPS_STORE = X86_CODE(0, 1, 0x11),
       X86_MOVD_TO_XMM = X86_CODE(1, 1, 0x6E),
       X86_MOVD_FROM_XMM = X86_CODE(1, 1, 0x7E), /* r/m <- xmm */
       X86_UCOMISS = X86_CODE(0, 1, 0x2E),
       X86_UCOMISD = X86_CODE(1, 1, 0x2E),
       X86_SQRTSS = X86_CODE(2, 1, 0x51),
       X86_SQRTSD = X86_CODE(3, 1, 0x51),
       X86_ADDSS = X86_CODE(2, 1, 0x58),
       X86_ADDSD = X86_CODE(3, 1, 0x58),
       X86_MULSS = X86_CODE(2, 1, 0x59),
       X86_MULSD = X86_CODE(3, 1, 0x59),
       X86_SUBSS = X86_CODE(2, 1, 0x5C),
       X86_SUBSD = X86_CODE(3, 1, 0x5C),
       X86_MINSS = X86_CODE(2, 1, 0x5D),
       X86_MINSD = X86_CODE(3, 1, 0x5D),
       X86_DIVSS = X86_CODE(2, 1, 0x5E),
       X86_DIVSD = X86_CODE(3, 1, 0x5E),
       X86_MAXSS = X86_CODE(2, 1, 0x5F),
       X86_MAXSD = X86_CODE(3, 1, 0x5F),
       X86_ROUNDSS = X86_CODE(1, 3, 0x0A),
       X86_ROUNDSD = X86_CODE(1, 3, 0x0B),
       X86_CVTSI2SS = X86_CODE(2, 1, 0x2A),
       X86_CVTSI2SD = X86_CODE(3, 1, 0x2A),
       X86_CVTTSS2SI = X86_CODE(2, 1, 0x2C),
       X86_CVTTSD2SI = X86_CODE(3, 1, 0x2C),
       X86_CVTSS2SD = X86_CODE(2, 1, 0x5A),
       X86_CVTSD2SS = X86_CODE(3, 1, 0x5A),
       X86_ANDPS = X86_CODE(0, 1, 0x54),
       X86_ANDNPS = X86_CODE(0, 1, 0x55),
       X86_ORPS = X86_CODE(0, 1, 0x56),
       X86_XORPS = X86_CODE(0, 1, 0x57)
};
enum { /* condition codes */
       CC_O,
       CC_NO,
       CC_B,
       CC_AE,
       CC_E,
       CC_NE,
       CC_BE,
       CC_A,
       CC_S,
       CC_NS,
       CC_P,
       CC_NP,
       CC_L,
       CC_GE,
       CC_LE,
       CC_G
};

void x86_init(struct x86 *a, const struct atoll_alloc *alloc);
void x86_fini(struct x86 *a);
/* Register numbers may carry XMM0's offset. `reg` of one-operand instructions is the opcode's extension. */
void x86_op(struct x86 *a, uint32_t op, int reg, struct x86_rm rm);
/* The same with an immediate of imm_bytes (1, 2, 4) behind. */
void x86_op_imm(struct x86 *a, uint32_t op, int reg, struct x86_rm rm, int32_t imm, unsigned imm_bytes);
/* VEX form: reg, vvvv, r/m. */
void x86_vex(struct x86 *a, uint32_t op, int reg, int vvvv, struct x86_rm rm);
void x86_vex_imm(struct x86 *a, uint32_t op, int reg, int vvvv, struct x86_rm rm, int32_t imm);
/* dst <- a op b of an SSE instruction: its AVX form, or a move and the two-operand form, for which b's
 * register is not dst unless it is a too. */
void x86_op3(struct x86 *a, uint32_t op, int dst, int left, struct x86_rm right);
/* add, or, adc, sbb, and, sub, xor, cmp (operation 0 to 7) of r/m and an immediate; w = X86_W or 0 */
void x86_alu_imm(struct x86 *a, unsigned operation, uint32_t w, struct x86_rm rm, int32_t imm);
/* rol, ror, shl, shr, sar (0, 1, 4, 5, 7) by a constant, or by cl */
void x86_shift_imm(struct x86 *a, unsigned operation, uint32_t w, int reg, unsigned count);
void x86_shift_cl(struct x86 *a, unsigned operation, uint32_t w, int reg);
/* Bytes in reverse order. */
void x86_bswap(struct x86 *a, uint32_t w, int reg);
/* reg <- constant, in the shortest form that leaves flags alone. */
void x86_const(struct x86 *a, int reg, uint64_t value);
/* Bytes as they are, at most 8, low first. */
void x86_bytes(struct x86 *a, uint64_t bytes, unsigned n);
/* n bytes of instructions that do nothing. */
void x86_nops(struct x86 *a, unsigned n);
/* Puts n bytes that do nothing in front of the code from `at` on, which holds no label. */
void x86_nops_before(struct x86 *a, size_t at, unsigned n);
/* jmp or jcc to a label, resolved by x86_resolve. */
void x86_jump(struct x86 *a, uint32_t label);
void x86_branch(struct x86 *a, unsigned condition, uint32_t label);
/* An operand that is a constant of 4, 8 or 16 bytes behind the code. Equal ones are shared. */
struct x86_rm x86_literal(struct x86 *a, const void *bytes, unsigned n_bytes);
/* Fills in jumps (labels[i] = offset of label i) and appends the literals. False: out of memory. */
bool x86_finish(struct x86 *a, const uint32_t *labels);

#endif
