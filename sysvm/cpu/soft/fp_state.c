/* sysvm/cpu/soft/fp_state.c: the x87, MMX and SSE registers as a guest loads and stores them: checks, control words,
 * environments, the FXSAVE image.
 * source  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapters 8 to 11 */
#include <string.h>
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/soft/system.h"

enum { FSW_TOP = 7 << 11, FSW_TOP_SHIFT = 11 };

/* ---- fields ---- */

uint16_t fp_get16(const struct soft_cpu *cpu, unsigned at) {
    uint16_t value;
    memcpy(&value, cpu->fp + at, sizeof value);
    return value;
}

uint32_t fp_get32(const struct soft_cpu *cpu, unsigned at) {
    uint32_t value;
    memcpy(&value, cpu->fp + at, sizeof value);
    return value;
}

void fp_set16(struct soft_cpu *cpu, unsigned at, uint16_t value) {
    memcpy(cpu->fp + at, &value, sizeof value);
}
void fp_set32(struct soft_cpu *cpu, unsigned at, uint32_t value) {
    memcpy(cpu->fp + at, &value, sizeof value);
}

static void set64(struct soft_cpu *cpu, unsigned at, uint64_t value) {
    memcpy(cpu->fp + at, &value, sizeof value);
}

void fp_read_vector(const struct soft_cpu *cpu, unsigned reg, unsigned n_bytes, void *out) {
    memcpy(out, cpu->fp + FP_XMM + reg * 16, 16);
    if (n_bytes > 16) memcpy((uint8_t *)out + 16, cpu->fp + SOFT_FP_YMM_HIGH + reg * 16, 16);
}

void fp_write_vector(struct soft_cpu *cpu, unsigned reg, unsigned n_bytes, const void *from) {
    memcpy(cpu->fp + FP_XMM + reg * 16, from, 16);
    if (n_bytes > 16) memcpy(cpu->fp + SOFT_FP_YMM_HIGH + reg * 16, (const uint8_t *)from + 16, 16);
}

void fp_clear_upper(struct soft_cpu *cpu, unsigned reg) {
    memset(cpu->fp + SOFT_FP_YMM_HIGH + reg * 16, 0, 16);
}

static unsigned top_of(const struct soft_cpu *cpu) {
    return (fp_get16(cpu, FP_FSW) & FSW_TOP) >> FSW_TOP_SHIFT;
}

uint8_t *fp_mmx(struct soft_cpu *cpu, unsigned reg) {
    return cpu->fp + FP_ST + ((reg - top_of(cpu)) & 7) * 16;
}

void fp_set_top(struct soft_cpu *cpu, unsigned physical) {
    uint8_t stack[8 * 16];
    unsigned by = (physical - top_of(cpu)) & 7;
    memcpy(stack, cpu->fp + FP_ST, sizeof stack);
    for (unsigned i = 0; by && i < 8; i++) memcpy(cpu->fp + FP_ST + i * 16, stack + ((i + by) & 7) * 16, 16);
    fp_set16(cpu, FP_FSW, (uint16_t)((fp_get16(cpu, FP_FSW) & ~FSW_TOP) | physical << FSW_TOP_SHIFT));
}

void fp_enter_mmx(struct soft_cpu *cpu) {
    fp_set_top(cpu, 0);
    cpu->fp[FP_FTW] = 0xFF;
}

uint16_t fp_opcode(const struct soft_insn *insn) {
    unsigned at = 0;
    while (at + 2 < insn->length && (insn->bytes[at] & 0xF8) != 0xD8) at++;
    return (uint16_t)((insn->bytes[at] & 7) << 8 | insn->bytes[at + 1]);
}

void fp_set_last(struct soft_cpu *cpu, const struct soft_insn *insn) {
    fp_set16(cpu, FP_FOP, fp_opcode(insn));
    set64(cpu, FP_FIP, cpu->mode == SOFT_LONG64 ? cpu->rip : (uint32_t)cpu->rip);
    for (unsigned i = 0; i < insn->n_operands; i++)
        if (insn->operands[i].kind == SOFT_MEM) set64(cpu, FP_FDP, soft_effective(cpu, insn));
}

void soft_fp_reset(struct soft_cpu *cpu) {
    memset(cpu->fp, 0, sizeof cpu->fp);
    fp_set16(cpu, FP_FCW, 0x40);
    cpu->fp[FP_FTW] = 0xFF; /* every register holds +0.0 */
    fp_set32(cpu, FP_MXCSR, MXCSR_RESET);
    fp_set32(cpu, FP_MXCSR_MASK, MXCSR_VALID);
}

/* ---- checks ---- */

static bool fails(struct soft_cpu *cpu, unsigned vector) {
    soft_raise(cpu, vector, false, 0);
    return false;
}

/* Whatever CR0.NE says: with NE clear hardware would ask for an external interrupt, which this machine does not wire.
 * To go on is no choice: the host's unit would meet what is pending in the image. */
static bool check_pending(struct soft_cpu *cpu) {
    return !(fp_get16(cpu, FP_FSW) & FSW_SUMMARY) || fails(cpu, SOFT_MF);
}

bool fp_check_x87(struct soft_cpu *cpu, bool waits) {
    if (cpu->cr0 & (SOFT_CR0_EM | SOFT_CR0_TS)) return fails(cpu, SOFT_NM);
    return !waits || check_pending(cpu);
}

bool fp_check_mmx(struct soft_cpu *cpu) {
    if (cpu->cr0 & SOFT_CR0_EM) return fails(cpu, SOFT_UD);
    if (cpu->cr0 & SOFT_CR0_TS) return fails(cpu, SOFT_NM);
    return check_pending(cpu);
}

bool fp_check_sse(struct soft_cpu *cpu) {
    if (cpu->cr0 & SOFT_CR0_EM || !(cpu->cr4 & SOFT_CR4_OSFXSR)) return fails(cpu, SOFT_UD);
    return !(cpu->cr0 & SOFT_CR0_TS) || fails(cpu, SOFT_NM);
}

bool fp_check_avx(struct soft_cpu *cpu) {
    if (cpu->mode == SOFT_REAL || cpu->mode == SOFT_V86) return fails(cpu, SOFT_UD);
    if (!(cpu->cr4 & SOFT_CR4_OSXSAVE) || (cpu->xcr0 & 6) != 6) return fails(cpu, SOFT_UD);
    return !(cpu->cr0 & SOFT_CR0_TS) || fails(cpu, SOFT_NM);
}

/* ---- single words ---- */

enum soft_step soft_fwait(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if ((cpu->cr0 & (SOFT_CR0_MP | SOFT_CR0_TS)) == (SOFT_CR0_MP | SOFT_CR0_TS))
        return soft_raise(cpu, SOFT_NM, false, 0);
    return check_pending(cpu) ? SOFT_NEXT : SOFT_FAULT;
}

static void init_x87(struct soft_cpu *cpu) {
    fp_set_top(cpu, 0);
    memset(cpu->fp, 0, FP_MXCSR);
    fp_set16(cpu, FP_FCW, 0x37F);
}

enum soft_step soft_fninit(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (!fp_check_x87(cpu, false)) return SOFT_FAULT;
    init_x87(cpu);
    return SOFT_NEXT;
}

/* To memory or ax. */
enum soft_step soft_fnstsw(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t linear;
    uint16_t status = fp_get16(cpu, FP_FSW);
    if (!fp_check_x87(cpu, false)) return SOFT_FAULT;
    if (insn->operands[0].kind == SOFT_GPR) {
        soft_gpr_set(cpu, VM_RAX, 2, status);
        return SOFT_NEXT;
    }
    if (!soft_linear(cpu, insn, &linear, 2, true)) return SOFT_FAULT;
    return soft_write(cpu, linear, &status, 2) ? SOFT_NEXT : SOFT_FAULT;
}

enum soft_step soft_emms(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (!fp_check_mmx(cpu)) return SOFT_FAULT;
    fp_set_top(cpu, 0);
    cpu->fp[FP_FTW] = 0;
    return SOFT_NEXT;
}

static bool check_mxcsr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return insn->bytes[0] == 0xC5 || insn->bytes[0] == 0xC4 ? fp_check_avx(cpu) : fp_check_sse(cpu);
}

enum soft_step soft_ldmxcsr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t linear;
    uint32_t value;
    if (!check_mxcsr(cpu, insn)) return SOFT_FAULT;
    if (!soft_linear(cpu, insn, &linear, 4, false) || !soft_read(cpu, linear, &value, 4)) return SOFT_FAULT;
    if (value & ~MXCSR_VALID) return soft_raise_gp(cpu, 0);
    fp_set32(cpu, FP_MXCSR, value);
    return SOFT_NEXT;
}

enum soft_step soft_stmxcsr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t linear;
    if (!check_mxcsr(cpu, insn) || !soft_linear(cpu, insn, &linear, 4, true)) return SOFT_FAULT;
    return soft_write(cpu, linear, cpu->fp + FP_MXCSR, 4) ? SOFT_NEXT : SOFT_FAULT;
}

/* ---- environments ---- */

enum { ENV_WORDS = 7, ST_BYTES = 10 };

/* Two bits a register: 0 valid, 1 zero, 2 special, 3 empty; by register, not by stack. */
static unsigned tag_of(const uint8_t *st) {
    uint64_t fraction;
    memcpy(&fraction, st, sizeof fraction);
    unsigned exponent = (st[8] | (unsigned)st[9] << 8) & 0x7FFF;
    if (!exponent && !fraction) return 1;
    return !exponent || exponent == 0x7FFF || !(fraction >> 63) ? 2 : 0;
}

static uint16_t full_tags(const struct soft_cpu *cpu) {
    unsigned top = top_of(cpu), tags = 0;
    for (unsigned i = 0; i < 8; i++) {
        bool in_use = cpu->fp[FP_FTW] >> i & 1;
        unsigned tag = in_use ? tag_of(cpu->fp + FP_ST + ((i - top) & 7) * 16) : 3;
        tags |= tag << 2 * i;
    }
    return (uint16_t)tags;
}

static bool is_real_format(const struct soft_cpu *cpu) {
    return cpu->mode == SOFT_REAL || cpu->mode == SOFT_V86;
}

/* The seven words of the environment, each 16 or 32 bits wide in memory. In real mode the pointers are linear and share
 * a word with the opcode; selectors are not kept, and read as zero. */
static void get_env(const struct soft_cpu *cpu, bool is_32, uint32_t words[ENV_WORDS]) {
    uint32_t fip = fp_get32(cpu, FP_FIP), fdp = fp_get32(cpu, FP_FDP), fop = fp_get16(cpu, FP_FOP) & 0x7FFu;
    uint32_t reserved = is_32 ? 0xFFFF0000u : 0;
    words[0] = fp_get16(cpu, FP_FCW) | reserved;
    words[1] = fp_get16(cpu, FP_FSW) | reserved;
    words[2] = full_tags(cpu) | reserved;
    if (is_real_format(cpu)) {
        words[3] = fip & 0xFFFF;
        words[4] = is_32 ? (fip >> 16 << 12) | fop : (fip >> 16 & 0xF) << 12 | fop;
        words[5] = fdp & 0xFFFF;
        words[6] = is_32 ? fdp >> 16 << 12 : (fdp >> 16 & 0xF) << 12;
    } else {
        words[3] = fip;
        words[4] = is_32 ? fop << 16 : 0;
        words[5] = fdp;
        words[6] = is_32 ? reserved : 0;
    }
}

static void set_env(struct soft_cpu *cpu, bool is_32, const uint32_t words[ENV_WORDS]) {
    uint16_t fcw = (uint16_t)((words[0] & 0x1F3F) | 0x40);
    uint16_t fsw = (uint16_t)(words[1] & ~(unsigned)(FSW_SUMMARY | FSW_BUSY));
    if (fsw & ~fcw & X87_FLAGS) fsw |= FSW_SUMMARY | FSW_BUSY;
    fp_set_top(cpu, (fsw & FSW_TOP) >> FSW_TOP_SHIFT);
    fp_set16(cpu, FP_FCW, fcw);
    fp_set16(cpu, FP_FSW, fsw);
    cpu->fp[FP_FTW] = 0;
    for (unsigned i = 0; i < 8; i++)
        if ((words[2] >> 2 * i & 3) != 3) cpu->fp[FP_FTW] |= (uint8_t)(1u << i);
    uint32_t fip = words[3], fdp = words[5], fop = is_32 ? words[4] >> 16 : fp_get16(cpu, FP_FOP);
    if (is_real_format(cpu)) {
        fip = (fip & 0xFFFF) | words[4] >> 12 << 16;
        fdp = (fdp & 0xFFFF) | words[6] >> 12 << 16;
        fop = words[4];
    }
    fp_set16(cpu, FP_FOP, (uint16_t)(fop & 0x7FF));
    set64(cpu, FP_FIP, fip);
    set64(cpu, FP_FDP, fdp);
}

static unsigned put_env(const struct soft_cpu *cpu, bool is_32, uint8_t *out) {
    uint32_t words[ENV_WORDS];
    unsigned width = is_32 ? 4 : 2;
    get_env(cpu, is_32, words);
    for (unsigned i = 0; i < ENV_WORDS; i++) memcpy(out + i * width, words + i, width);
    return ENV_WORDS * width;
}

static unsigned take_env(struct soft_cpu *cpu, bool is_32, const uint8_t *from) {
    uint32_t words[ENV_WORDS] = {0};
    unsigned width = is_32 ? 4 : 2;
    for (unsigned i = 0; i < ENV_WORDS; i++) memcpy(words + i, from + i * width, width);
    set_env(cpu, is_32, words);
    return ENV_WORDS * width;
}

/* 32-bit formats unless the operand size says 16. */
static bool env_is_32(const struct soft_insn *insn) { return insn->operand_bytes != 2; }

enum soft_step soft_fnstenv(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t bytes[ENV_WORDS * 4];
    uint64_t linear;
    if (!fp_check_x87(cpu, false)) return SOFT_FAULT;
    unsigned n = put_env(cpu, env_is_32(insn), bytes);
    if (!soft_linear(cpu, insn, &linear, n, true) || !soft_write(cpu, linear, bytes, n)) return SOFT_FAULT;
    fp_set16(cpu, FP_FCW, (uint16_t)(fp_get16(cpu, FP_FCW) | X87_FLAGS)); /* all exceptions masked */
    fp_set16(cpu, FP_FSW, (uint16_t)(fp_get16(cpu, FP_FSW) & ~(FSW_SUMMARY | FSW_BUSY)));
    return SOFT_NEXT;
}

enum soft_step soft_fldenv(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t bytes[ENV_WORDS * 4];
    uint64_t linear;
    unsigned n = ENV_WORDS * (env_is_32(insn) ? 4 : 2);
    if (!fp_check_x87(cpu, true)) return SOFT_FAULT;
    if (!soft_linear(cpu, insn, &linear, n, false) || !soft_read(cpu, linear, bytes, n)) return SOFT_FAULT;
    take_env(cpu, env_is_32(insn), bytes);
    return SOFT_NEXT;
}

enum soft_step soft_fnsave(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t bytes[ENV_WORDS * 4 + 8 * ST_BYTES];
    uint64_t linear;
    if (!fp_check_x87(cpu, false)) return SOFT_FAULT;
    unsigned n = put_env(cpu, env_is_32(insn), bytes);
    for (unsigned i = 0; i < 8; i++, n += ST_BYTES) memcpy(bytes + n, cpu->fp + FP_ST + i * 16, ST_BYTES);
    if (!soft_linear(cpu, insn, &linear, n, true) || !soft_write(cpu, linear, bytes, n)) return SOFT_FAULT;
    init_x87(cpu);
    return SOFT_NEXT;
}

enum soft_step soft_frstor(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t bytes[ENV_WORDS * 4 + 8 * ST_BYTES];
    uint64_t linear;
    unsigned n = ENV_WORDS * (env_is_32(insn) ? 4 : 2) + 8 * ST_BYTES;
    if (!fp_check_x87(cpu, true)) return SOFT_FAULT;
    if (!soft_linear(cpu, insn, &linear, n, false) || !soft_read(cpu, linear, bytes, n)) return SOFT_FAULT;
    unsigned at = take_env(cpu, env_is_32(insn), bytes);
    for (unsigned i = 0; i < 8; i++, at += ST_BYTES) memcpy(cpu->fp + FP_ST + i * 16, bytes + at, ST_BYTES);
    return SOFT_NEXT;
}
