/* sysvm/cpu/soft/native.h: instructions executed as they are on the host's registers (shared by native*.c and what
 * handles the same registers in C). */
#ifndef ATOLL_SYSVM_SOFT_NATIVE_H
#define ATOLL_SYSVM_SOFT_NATIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include "jit/memory.h"
#include "sysvm/cpu/soft/vector.h"

/* ---- what stands between a processor's state and the host's registers ---- */

enum { NATIVE_VECTORS = 5, NATIVE_GPRS = 6, NATIVE_VECTOR_BYTES = 32 };

/* Which host register stands for an operand: by where the instruction encodes it. Vectors: xmm0 .. xmm4 (mm1, mm2).
 * General registers: implicit ones as they are (rax, rcx, rdx), the others r9, r10, r11. Memory: [rdi]. r8: the frame. */
enum native_slot { SLOT_IMPLICIT, SLOT_REG, SLOT_RM, SLOT_VVVV, SLOT_IS4 };
enum native_gpr { GPR_RAX, GPR_RCX, GPR_RDX, GPR_REG, GPR_RM, GPR_VVVV };

struct native_frame {
    _Alignas(64) uint8_t in[NATIVE_VECTORS][NATIVE_VECTOR_BYTES];
    uint8_t out[NATIVE_VECTORS][NATIVE_VECTOR_BYTES];
    uint8_t memory[64];
    uint64_t gpr_in[NATIVE_GPRS], gpr_out[NATIVE_GPRS];
    uint64_t flags_in, flags_out; /* arithmetic ones */
    uint8_t *fp;                  /* x87 forms: the guest's FXSAVE image */
    uint32_t mxcsr_in, mxcsr_out, host_mxcsr;
};

/* ---- forms ---- */

enum { NATIVE_KEY_MAX = 15, NATIVE_OPERANDS_MAX = 8 };

struct native_operand {
    uint8_t kind;  /* enum soft_operand_kind: a register */
    uint8_t slot;  /* enum native_slot, or enum native_gpr */
    uint8_t index; /* in insn->operands, or NATIVE_HIDDEN: the instruction does not show it, it is `reg` */
    uint8_t reg;
    uint8_t n_bytes;
    bool is_out;
};
#define NATIVE_HIDDEN 0xFF

typedef void native_code(struct native_frame *frame);

/* Everything about an instruction but which registers and which address. */
struct native_form {
    native_code *code; /* NULL: runs from the scratch place */
    uint8_t key[NATIVE_KEY_MAX], n_key;
    uint8_t n_operands;
    uint8_t memory_bytes; /* 0: no memory operand */
    bool memory_in, memory_out, aligned;
    bool vex, wide;                 /* wide: VEX.256 */
    bool is_vector, is_mmx, is_x87; /* whose registers, by which checks follow */
    bool mxcsr;                     /* may raise floating-point exceptions of MXCSR */
    bool halves;                    /* vcvtps2ph: results of half precision */
    bool flags;                     /* reads or writes RFLAGS */
    bool control;                   /* x87: leaves FIP, FDP, FOP */
    bool waits;                     /* x87: a pending exception comes first */
    struct native_operand operands[NATIVE_OPERANDS_MAX];
};

/* Fills *out (but code) for an instruction of a NATIVE row. False: this host does not have it, or not in this mode. */
bool native_form_of(const struct soft_cpu *cpu, const struct soft_insn *insn, struct native_form *out);
/* The host code of a form; returns its size, at most NATIVE_CODE_MAX. */
enum { NATIVE_CODE_MAX = 256 };
unsigned native_emit(const struct native_form *form, uint8_t out[NATIVE_CODE_MAX]);

/* Whether this host has AVX, and its system lets it be used. */
bool native_host_has_avx(void);

/* ---- running ---- */

/* Calls the form's code, from the scratch place where it has none of its own. False: cpu is told to stop. */
bool native_form_call(struct soft_cpu *cpu, const struct native_form *form, struct native_frame *frame);
enum soft_step native_run_x87(struct soft_cpu *cpu, const struct soft_insn *insn,
                              const struct native_form *form);

/* ---- checks, in the order they have; false: cpu->fault ---- */

bool fp_check_x87(struct soft_cpu *cpu, bool waits);
bool fp_check_mmx(struct soft_cpu *cpu);
bool fp_check_sse(struct soft_cpu *cpu);
bool fp_check_avx(struct soft_cpu *cpu);

/* ---- registers in cpu->fp: the FXSAVE image, and behind it what XSAVE adds ---- */

enum fp_image {
    FP_FCW = 0,
    FP_FSW = 2,
    FP_FTW = 4, /* abridged: a bit a register, 1: not empty */
    FP_FOP = 6,
    FP_FIP = 8,
    FP_FDP = 16,
    FP_MXCSR = 24,
    FP_MXCSR_MASK = 28,
    FP_ST = 32,
    FP_XMM = 160,
    FP_LEGACY_BYTES = 512
};
enum { FSW_SUMMARY = 0x80, FSW_BUSY = 0x8000, X87_FLAGS = 0x3F }; /* the flags also are the masks of FCW */
enum { MXCSR_RESET = 0x1F80, MXCSR_MASKS = 0x1F80, MXCSR_FLAGS = 0x3F, MXCSR_FTZ = 0x8000 };
#define MXCSR_VALID UINT32_C(0xFFFF)

uint16_t fp_get16(const struct soft_cpu *cpu, unsigned at);
uint32_t fp_get32(const struct soft_cpu *cpu, unsigned at);
void fp_set16(struct soft_cpu *cpu, unsigned at, uint16_t value);
void fp_set32(struct soft_cpu *cpu, unsigned at, uint32_t value);
/* xmm or ymm register `reg`, n_bytes 16 or 32. */
void fp_read_vector(const struct soft_cpu *cpu, unsigned reg, unsigned n_bytes, void *out);
void fp_write_vector(struct soft_cpu *cpu, unsigned reg, unsigned n_bytes, const void *from);
void fp_clear_upper(struct soft_cpu *cpu, unsigned reg);
/* Where MMX register `reg` is kept: the image has the x87 registers in the order of the stack. */
uint8_t *fp_mmx(struct soft_cpu *cpu, unsigned reg);
/* Register `physical` becomes the first of the stack; the registers keep what they hold. */
void fp_set_top(struct soft_cpu *cpu, unsigned physical);
/* As every MMX instruction leaves the x87 unit: top of stack 0, all registers in use. */
void fp_enter_mmx(struct soft_cpu *cpu);
/* The opcode of an x87 instruction as FOP has it. */
uint16_t fp_opcode(const struct soft_insn *insn);
/* FIP, FDP and FOP of an x87 instruction that is no control instruction. */
void fp_set_last(struct soft_cpu *cpu, const struct soft_insn *insn);

#endif
