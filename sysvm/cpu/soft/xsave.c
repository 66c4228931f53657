/* sysvm/cpu/soft/xsave.c: fxsave, fxrstor, xsave, xsaveopt, xrstor in the standard format; components x87, SSE, AVX.
 * The image is made, or checked, in a buffer: a fault leaves registers and memory as they were.
 * source  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapters 10.5 and 13 */
#include <string.h>
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/soft/system.h"

enum { COMPONENT_X87 = 1, COMPONENT_SSE = 2, COMPONENT_AVX = 4, COMPONENTS = 7 };
enum { FXSAVE_WRITTEN = 416, YMM_BYTES = 256, HEADER_BYTES = 64 };

uint32_t soft_xsave_bytes(uint64_t mask) {
    if (mask & ~(uint64_t)COMPONENTS) return 0;
    return mask & COMPONENT_AVX ? SOFT_FP_YMM_HIGH + YMM_BYTES : SOFT_FP_YMM_HIGH;
}

static bool has_rex_w(const struct soft_cpu *cpu, const struct soft_insn *insn) {
    return cpu->mode == SOFT_LONG64 && insn->operand_bytes == 8;
}

/* Registers behind the eighth exist in 64-bit mode only. */
static unsigned xmm_bytes(const struct soft_cpu *cpu) { return cpu->mode == SOFT_LONG64 ? 256 : 128; }

/* ---- parts of the image ---- */

/* x87 state: 24 bytes in front of MXCSR, the stack behind it. Without REX.W pointers are 32 bits and a selector, 0. */
static void put_x87(const struct soft_cpu *cpu, bool wide, uint8_t *out) {
    memcpy(out, cpu->fp, FP_MXCSR);
    out[FP_FTW + 1] = 0;
    if (!wide) memset(out + FP_FIP + 4, 0, 4), memset(out + FP_FDP + 4, 0, 4);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(out + FP_ST + i * 16, cpu->fp + FP_ST + i * 16, 10);
        memset(out + FP_ST + i * 16 + 10, 0, 6);
    }
}

static void take_x87(struct soft_cpu *cpu, bool wide, const uint8_t *from) {
    enum { SUMMARY = 0x80, BUSY = 0x8000, FLAGS = 0x3F };
    memcpy(cpu->fp, from, FP_MXCSR);
    fp_set16(cpu, FP_FCW, (uint16_t)((fp_get16(cpu, FP_FCW) & 0x1F3F) | 0x40));
    fp_set16(cpu, FP_FOP, fp_get16(cpu, FP_FOP) & 0x7FF);
    cpu->fp[FP_FTW + 1] = 0;
    unsigned status = fp_get16(cpu, FP_FSW) & ~(unsigned)(SUMMARY | BUSY);
    if (status & ~(unsigned)fp_get16(cpu, FP_FCW) & FLAGS) status |= SUMMARY | BUSY;
    fp_set16(cpu, FP_FSW, (uint16_t)status);
    if (!wide) memset(cpu->fp + FP_FIP + 4, 0, 4), memset(cpu->fp + FP_FDP + 4, 0, 4);
    for (unsigned i = 0; i < 8; i++) memcpy(cpu->fp + FP_ST + i * 16, from + FP_ST + i * 16, 10);
}

static void init_x87(struct soft_cpu *cpu) {
    memset(cpu->fp, 0, FP_MXCSR);
    fp_set16(cpu, FP_FCW, 0x37F);
    memset(cpu->fp + FP_ST, 0, 128);
}

static bool is_zero(const uint8_t *bytes, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (bytes[i]) return false;
    return true;
}

/* The components that are not in their initial state. */
static unsigned in_use(const struct soft_cpu *cpu) {
    unsigned used = 0;
    bool x87 = fp_get16(cpu, FP_FCW) != 0x37F || !is_zero(cpu->fp + 2, FP_MXCSR - 2);
    for (unsigned i = 0; i < 8 && !x87; i++) x87 = !is_zero(cpu->fp + FP_ST + i * 16, 10);
    if (x87) used |= COMPONENT_X87;
    if (!is_zero(cpu->fp + FP_XMM, 256)) used |= COMPONENT_SSE;
    if (!is_zero(cpu->fp + SOFT_FP_YMM_HIGH, YMM_BYTES)) used |= COMPONENT_AVX;
    return used;
}

/* ---- fxsave, fxrstor ---- */

static bool fx_address(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n_bytes,
                       unsigned alignment, bool write, uint64_t *out) {
    if (!soft_linear(cpu, insn, out, n_bytes, write)) return false;
    if (!(*out % alignment)) return true;
    soft_raise_gp(cpu, 0);
    return false;
}

/* EM and TS: #NM here, also for EM. */
static bool check_fx(struct soft_cpu *cpu) {
    if (!(cpu->cr0 & (SOFT_CR0_EM | SOFT_CR0_TS))) return true;
    soft_raise(cpu, SOFT_NM, false, 0);
    return false;
}

enum soft_step soft_fxsave(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t image[FXSAVE_WRITTEN];
    uint64_t linear;
    if (!check_fx(cpu) || !fx_address(cpu, insn, FP_LEGACY_BYTES, 16, true, &linear)) return SOFT_FAULT;
    if (!soft_probe(cpu, linear, FP_LEGACY_BYTES, true, cpu->cpl == 3))
        return SOFT_FAULT; /* also of what stays */
    bool sse = cpu->cr4 & SOFT_CR4_OSFXSR;
    put_x87(cpu, has_rex_w(cpu, insn), image);
    memcpy(image + FP_MXCSR, cpu->fp + FP_MXCSR, 4);
    uint32_t mask = MXCSR_VALID;
    memcpy(image + FP_MXCSR_MASK, &mask, 4);
    unsigned n = FP_XMM;
    if (sse) {
        memcpy(image + FP_XMM, cpu->fp + FP_XMM, xmm_bytes(cpu));
        n += xmm_bytes(cpu);
    }
    return soft_write(cpu, linear, image, n) ? SOFT_NEXT : SOFT_FAULT;
}

enum soft_step soft_fxrstor(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t image[FP_LEGACY_BYTES];
    uint32_t mxcsr;
    uint64_t linear;
    if (!check_fx(cpu) || !fx_address(cpu, insn, FP_LEGACY_BYTES, 16, false, &linear)) return SOFT_FAULT;
    if (!soft_read(cpu, linear, image, sizeof image)) return SOFT_FAULT;
    memcpy(&mxcsr, image + FP_MXCSR, sizeof mxcsr);
    bool sse = cpu->cr4 & SOFT_CR4_OSFXSR;
    if (mxcsr & ~MXCSR_VALID) return soft_raise_gp(cpu, 0);
    take_x87(cpu, has_rex_w(cpu, insn), image);
    if (sse) {
        fp_set32(cpu, FP_MXCSR, mxcsr);
        memcpy(cpu->fp + FP_XMM, image + FP_XMM, xmm_bytes(cpu));
    }
    return SOFT_NEXT;
}

/* ---- xsave, xsaveopt, xrstor ---- */

static bool check_xsave(struct soft_cpu *cpu) {
    bool defined = cpu->cr4 & SOFT_CR4_OSXSAVE;
    if (defined && !(cpu->cr0 & SOFT_CR0_TS)) return true;
    soft_raise(cpu, defined ? SOFT_NM : SOFT_UD, false, 0);
    return false;
}

static unsigned asked_for(const struct soft_cpu *cpu) {
    return (unsigned)(cpu->xcr0 & cpu->gpr[VM_RAX] & COMPONENTS);
}

/* Each part by itself, behind a check that all of them can be written: parts not asked for stay as they are. */
static bool write_parts(struct soft_cpu *cpu, uint64_t linear, unsigned asked, unsigned saved,
                        const uint8_t image[SOFT_FP_BYTES]) {
    const struct {
        unsigned components, at, n;
    } parts[] = {{COMPONENT_X87, 0, FP_MXCSR},
                 {COMPONENT_SSE | COMPONENT_AVX, FP_MXCSR, 8},
                 {COMPONENT_X87, FP_ST, 128},
                 {COMPONENT_SSE, FP_XMM, xmm_bytes(cpu)},
                 {COMPONENT_AVX, SOFT_FP_YMM_HIGH, xmm_bytes(cpu)}};
    enum { N = sizeof parts / sizeof *parts };
    for (unsigned i = 0; i < N; i++) {
        bool is_mxcsr = parts[i].at == FP_MXCSR;
        if (!((is_mxcsr ? asked : saved) & parts[i].components)) continue;
        if (!soft_write(cpu, linear + parts[i].at, image + parts[i].at, parts[i].n)) return false;
    }
    return soft_write(cpu, linear + SOFT_FP_HEADER, image + SOFT_FP_HEADER, 8);
}

/* only_used: a component in its initial state is not written (xsaveopt). */
static enum soft_step xsave(struct soft_cpu *cpu, const struct soft_insn *insn, bool only_used) {
    uint8_t image[SOFT_FP_BYTES];
    uint64_t linear, header, old;
    unsigned asked = asked_for(cpu), used = in_use(cpu) & asked;
    if (!check_xsave(cpu)) return SOFT_FAULT;
    unsigned n = soft_xsave_bytes(asked);
    if (!fx_address(cpu, insn, n, 64, true, &linear)) return SOFT_FAULT;
    /* All of it is written or none: a page that faults does so before. */
    if (!soft_probe(cpu, linear, n, true, cpu->cpl == 3)) return SOFT_FAULT;
    if (!soft_read(cpu, linear + SOFT_FP_HEADER, &old, sizeof old)) return SOFT_FAULT;
    memcpy(image, cpu->fp, sizeof image);
    put_x87(cpu, has_rex_w(cpu, insn), image);
    uint32_t mask = MXCSR_VALID;
    memcpy(image + FP_MXCSR_MASK, &mask, sizeof mask);
    header = (old & ~(uint64_t)asked) | used;
    memcpy(image + SOFT_FP_HEADER, &header, sizeof header);
    return write_parts(cpu, linear, asked, only_used ? used : asked, image) ? SOFT_NEXT : SOFT_FAULT;
}

enum soft_step soft_xsave(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return xsave(cpu, insn, false);
}
enum soft_step soft_xsaveopt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return xsave(cpu, insn, true);
}

static bool header_is_valid(const struct soft_cpu *cpu, const uint8_t *image) {
    uint64_t present;
    memcpy(&present, image + SOFT_FP_HEADER, sizeof present);
    return !(present & ~cpu->xcr0) && is_zero(image + SOFT_FP_HEADER + 8, 16); /* XCOMP_BV, and reserved */
}

static void restore(struct soft_cpu *cpu, bool wide, unsigned asked, unsigned present, const uint8_t *image) {
    unsigned n = xmm_bytes(cpu);
    if (asked & present & COMPONENT_X87)
        take_x87(cpu, wide, image);
    else if (asked & COMPONENT_X87)
        init_x87(cpu);
    if (asked & (COMPONENT_SSE | COMPONENT_AVX)) memcpy(cpu->fp + FP_MXCSR, image + FP_MXCSR, 4);
    if (asked & present & COMPONENT_SSE)
        memcpy(cpu->fp + FP_XMM, image + FP_XMM, n);
    else if (asked & COMPONENT_SSE)
        memset(cpu->fp + FP_XMM, 0, n);
    if (asked & present & COMPONENT_AVX)
        memcpy(cpu->fp + SOFT_FP_YMM_HIGH, image + SOFT_FP_YMM_HIGH, n);
    else if (asked & COMPONENT_AVX)
        memset(cpu->fp + SOFT_FP_YMM_HIGH, 0, n);
}

enum soft_step soft_xrstor(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t image[SOFT_FP_BYTES] = {0};
    uint64_t linear, present;
    uint32_t mxcsr;
    if (!check_xsave(cpu)) return SOFT_FAULT;
    unsigned asked = asked_for(cpu), n = soft_xsave_bytes(asked);
    if (!fx_address(cpu, insn, n, 64, false, &linear) || !soft_read(cpu, linear, image, n)) return SOFT_FAULT;
    if (!header_is_valid(cpu, image)) return soft_raise_gp(cpu, 0);
    memcpy(&present, image + SOFT_FP_HEADER, sizeof present);
    memcpy(&mxcsr, image + FP_MXCSR, sizeof mxcsr);
    if ((asked & (COMPONENT_SSE | COMPONENT_AVX)) && mxcsr & ~MXCSR_VALID) return soft_raise_gp(cpu, 0);
    restore(cpu, has_rex_w(cpu, insn), asked, (unsigned)present, image);
    return SOFT_NEXT;
}

/* ---- for a debugger ---- */

void soft_fp_get(const struct soft_cpu *cpu, struct vm_fp_state *out) {
    const uint64_t present = COMPONENTS;
    memset(out, 0, sizeof *out);
    put_x87(cpu, true, out->bytes);
    memcpy(out->bytes + FP_MXCSR, cpu->fp + FP_MXCSR, 4);
    memcpy(out->bytes + FP_XMM, cpu->fp + FP_XMM, 256);
    memcpy(out->bytes + SOFT_FP_HEADER, &present, sizeof present);
    memcpy(out->bytes + SOFT_FP_YMM_HIGH, cpu->fp + SOFT_FP_YMM_HIGH, YMM_BYTES);
}

bool soft_fp_set(struct soft_cpu *cpu, const struct vm_fp_state *state) {
    uint32_t mxcsr;
    memcpy(&mxcsr, state->bytes + FP_MXCSR, sizeof mxcsr);
    if (mxcsr & ~MXCSR_VALID) return false;
    take_x87(cpu, true, state->bytes);
    fp_set32(cpu, FP_MXCSR, mxcsr);
    memcpy(cpu->fp + FP_XMM, state->bytes + FP_XMM, 256);
    memcpy(cpu->fp + SOFT_FP_YMM_HIGH, state->bytes + SOFT_FP_YMM_HIGH, YMM_BYTES);
    return true;
}
