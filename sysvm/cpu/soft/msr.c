/* sysvm/cpu/soft/msr.c: model-specific registers, the time-stamp counter, the state after a reset. A register that is
 * not here is #GP: kernels try, and go without.
 * Source: Intel SDM volume 4; volume 3, "Memory Type Range Registers", "Processor Management and Initialization". */
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system_internal.h"
#include "sysvm/cpu/soft/vector.h"

enum {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1B,
    MSR_MICROCODE = 0x8B,
    MSR_MTRR_CAP = 0xFE,
    MSR_ARCH_CAPABILITIES = 0x10A,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MISC_ENABLE = 0x1A0,
    MSR_MTRR_BASE0 = 0x200,
    MSR_MTRR_LAST = MSR_MTRR_BASE0 + 2 * SOFT_N_MTRRS - 1,
    MSR_FIXED_64K = 0x250,
    MSR_FIXED_16K = 0x258,
    MSR_FIXED_4K = 0x268,
    MSR_PAT = 0x277,
    MSR_MTRR_DEFAULT = 0x2FF,
    MSR_TSC_DEADLINE = 0x6E0,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_LAST = 0x8FF
};
#define MSR_EFER           0xC0000080u
#define MSR_STAR           0xC0000081u
#define MSR_LSTAR          0xC0000082u
#define MSR_CSTAR          0xC0000083u
#define MSR_SFMASK         0xC0000084u
#define MSR_FS_BASE        0xC0000100u
#define MSR_GS_BASE        0xC0000101u
#define MSR_KERNEL_GS_BASE 0xC0000102u
#define MSR_TSC_AUX        0xC0000103u

/* What these name lets a processor run ahead with what it may not read; here each access of a guest passes the checks
 * of the TLB first: RDCL_NO, SKIP_L1DFL, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO,
 * BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO */
#define BIT(n) (UINT64_C(1) << (n))
#define ARCH_CAPABILITIES                                                                                    \
    (BIT(0) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | BIT(15) | BIT(20) | BIT(24) | \
     BIT(26) | BIT(27) | BIT(62))
#define MTRR_CAPABILITIES                                                                                    \
    (SOFT_N_MTRRS | UINT64_C(1) << 8 | UINT64_C(1) << 10) /* fixed ranges, write combining */
#define MISC_FAST_STRINGS UINT64_C(1)
#define MISC_WRITABLE                                                                                        \
    (MISC_FAST_STRINGS | UINT64_C(1) << 34) /* and the execute-disable switch of old kernels */
#define MISC_NO_BRANCH_SAMPLING (UINT64_C(3) << 11)
#define PAT_RESET               UINT64_C(0x0007040600070406)
#define MTRR_RESET              UINT64_C(0xC06) /* on, write-back: what firmware would leave */
#define PHYSICAL_MASK           ((UINT64_C(1) << SOFT_PHYSICAL_BITS) - 1)

/* ---- those with a place of their own ---- */

static uint64_t *plain(struct soft_cpu *cpu, uint32_t msr) {
    struct soft_msrs *m = &cpu->msrs;
    switch (msr) {
    case MSR_SYSENTER_CS: return &m->sysenter_cs;
    case MSR_SYSENTER_ESP: return &m->sysenter_esp;
    case MSR_SYSENTER_EIP: return &m->sysenter_eip;
    case MSR_PAT: return &m->pat;
    case MSR_MTRR_DEFAULT: return &m->mtrr_default;
    case MSR_FIXED_64K: return &m->mtrr_fixed[0];
    case MSR_FIXED_16K:
    case MSR_FIXED_16K + 1: return &m->mtrr_fixed[1 + msr - MSR_FIXED_16K];
    case MSR_STAR: return &m->star;
    case MSR_LSTAR: return &m->lstar;
    case MSR_CSTAR: return &m->cstar;
    case MSR_SFMASK: return &m->sfmask;
    case MSR_FS_BASE: return &cpu->segments[VM_FS].base;
    case MSR_GS_BASE: return &cpu->segments[VM_GS].base;
    case MSR_KERNEL_GS_BASE: return &m->kernel_gs_base;
    case MSR_TSC_AUX: return &m->tsc_aux;
    default: break;
    }
    if (msr >= MSR_FIXED_4K && msr < MSR_FIXED_4K + 8) return &m->mtrr_fixed[3 + msr - MSR_FIXED_4K];
    if (msr >= MSR_MTRR_BASE0 && msr <= MSR_MTRR_LAST) return &m->mtrr[msr - MSR_MTRR_BASE0];
    return NULL;
}

/* Memory types 0, 1, 4, 5, 6 exist, and 7 in the PAT: a byte each. */
static bool are_types(uint64_t value, bool is_pat) {
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = value >> 8 * i & 0xFF;
        if (type > 7 || type == 2 || type == 3 || (type == 7 && !is_pat)) return false;
    }
    return true;
}

static bool takes(uint32_t msr, uint64_t value) {
    switch (msr) {
    case MSR_SYSENTER_ESP:
    case MSR_SYSENTER_EIP:
    case MSR_LSTAR:
    case MSR_CSTAR:
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_KERNEL_GS_BASE: return soft_is_canonical(value);
    case MSR_SFMASK:
    case MSR_TSC_AUX: return !(value >> 32);
    case MSR_PAT: return are_types(value, true);
    case MSR_MTRR_DEFAULT: return !(value & ~UINT64_C(0xCFF)) && are_types(value & 0xFF, false);
    default: break;
    }
    if (msr >= MSR_FIXED_64K && msr < MSR_FIXED_4K + 8) return are_types(value, false);
    if (msr < MSR_MTRR_BASE0 || msr > MSR_MTRR_LAST) return true;
    if (value & ~PHYSICAL_MASK) return false;
    return msr % 2 ? !(value & 0x7FF) : !(value & 0xF00) && are_types(value & 0xFF, false);
}

/* ---- the others ---- */

static bool is_of_apic(const struct soft_cpu *cpu, uint32_t msr) {
    return cpu->apic &&
           (msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE || (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST));
}

bool soft_msr_read(struct soft_cpu *cpu, uint32_t msr, uint64_t *out_value) {
    const uint64_t *place = plain(cpu, msr);
    if (is_of_apic(cpu, msr)) return soft_apic_msr_read(cpu->apic, msr, out_value);
    if (soft_kvmclock_read(cpu, msr, out_value)) return true;
    switch (msr) {
    case MSR_TSC: *out_value = soft_tsc(cpu); return true;
    case MSR_EFER: *out_value = cpu->efer; return true;
    case MSR_PLATFORM_ID: *out_value = 0; return true;
    case MSR_MICROCODE: *out_value = cpu->msrs.microcode; return true;
    case MSR_MTRR_CAP: *out_value = MTRR_CAPABILITIES; return true;
    case MSR_ARCH_CAPABILITIES: *out_value = ARCH_CAPABILITIES; return true;
    case MSR_MISC_ENABLE: *out_value = cpu->msrs.misc_enable; return true;
    default: break;
    }
    if (!place) return false;
    *out_value = *place;
    return true;
}

static bool write_apic(struct soft_cpu *cpu, uint32_t msr, uint64_t value) {
    if (!soft_apic_msr_write(cpu->apic, msr, value)) return false;
    if (msr == MSR_APIC_BASE) soft_tlb_flush(cpu, true); /* another page is no RAM now */
    return true;
}

bool soft_msr_write(struct soft_cpu *cpu, uint32_t msr, uint64_t value) {
    uint64_t *place = plain(cpu, msr);
    if (is_of_apic(cpu, msr)) return write_apic(cpu, msr, value);
    switch (msr) {
    case MSR_TSC: cpu->msrs.tsc_offset += value - soft_tsc(cpu); return true;
    case MSR_EFER: return soft_set_efer(cpu, value);
    case MSR_MICROCODE: return true; /* written 0 before cpuid reads the revision */
    case MSR_MISC_ENABLE:
        cpu->msrs.misc_enable = (cpu->msrs.misc_enable & ~MISC_WRITABLE) | (value & MISC_WRITABLE);
        return true;
    default: break;
    }
    if (!place) return soft_kvmclock_write(cpu, msr, value);
    if (!takes(msr, value)) return false;
    *place = value;
    return true;
}

/* ---- instructions ---- */

enum soft_step soft_rdmsr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    uint64_t value;
    if (cpu->cpl || !soft_msr_read(cpu, (uint32_t)cpu->gpr[VM_RCX], &value)) return soft_raise_gp(cpu, 0);
    cpu->gpr[VM_RAX] = (uint32_t)value;
    cpu->gpr[VM_RDX] = value >> 32;
    return SOFT_NEXT;
}

enum soft_step soft_wrmsr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    uint64_t value = (uint32_t)cpu->gpr[VM_RAX] | cpu->gpr[VM_RDX] << 32;
    if (cpu->cpl || !soft_msr_write(cpu, (uint32_t)cpu->gpr[VM_RCX], value)) return soft_raise_gp(cpu, 0);
    return SOFT_END;
}

static bool tsc_is_open(struct soft_cpu *cpu) {
    if (!cpu->cpl || !(cpu->cr4 & SOFT_CR4_TSD)) return true;
    return soft_fail(cpu, SOFT_GP, 0);
}

enum soft_step soft_rdtsc(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (!tsc_is_open(cpu)) return SOFT_FAULT;
    uint64_t now = soft_tsc(cpu);
    cpu->gpr[VM_RAX] = (uint32_t)now;
    cpu->gpr[VM_RDX] = now >> 32;
    return SOFT_NEXT;
}

enum soft_step soft_rdtscp(struct soft_cpu *cpu, const struct soft_insn *insn) {
    enum soft_step step = soft_rdtsc(cpu, insn);
    if (step == SOFT_NEXT) cpu->gpr[VM_RCX] = (uint32_t)cpu->msrs.tsc_aux;
    return step;
}

enum soft_step soft_rdpid(struct soft_cpu *cpu, const struct soft_insn *insn) {
    soft_gpr_set(cpu, insn->operands[0].reg, cpu->mode == SOFT_LONG64 ? 8 : 4, (uint32_t)cpu->msrs.tsc_aux);
    return SOFT_NEXT;
}

/* There are no performance counters. */
enum soft_step soft_rdpmc(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return soft_raise_gp(cpu, 0);
}

/* ---- resets ---- */

static void reset_msrs(struct soft_cpu *cpu) {
    cpu->msrs = (struct soft_msrs){.pat = PAT_RESET,
                                   .misc_enable = MISC_FAST_STRINGS | MISC_NO_BRANCH_SAMPLING,
                                   .microcode = UINT64_C(1) << 32,
                                   .mtrr_default = MTRR_RESET};
    for (unsigned i = 0; i < SOFT_N_FIXED_MTRRS; i++) cpu->msrs.mtrr_fixed[i] = UINT64_C(0x0606060606060606);
}

void soft_reset(struct soft_cpu *cpu, bool is_init) {
    enum { CODE16 = 0x9B, DATA16 = 0x93, LDT = 0x82, TSS16_BUSY = 0x8B };
    memset(cpu->gpr, 0, sizeof cpu->gpr);
    cpu->gpr[VM_RDX] = soft_cpuid(cpu, 1, 0).eax;
    cpu->rip = 0xFFF0;
    cpu->rflags = SOFT_FLAG_ONE;
    for (unsigned i = 0; i < VM_LDT; i++)
        cpu->segments[i] = (struct vm_segment){.limit = 0xFFFF, .access = DATA16};
    cpu->segments[VM_CS] = (struct vm_segment){0xFFFF0000, 0xFFFF, 0xF000, CODE16};
    cpu->segments[VM_LDT] = (struct vm_segment){.limit = 0xFFFF, .access = LDT};
    cpu->segments[VM_TR] = (struct vm_segment){.limit = 0xFFFF, .access = TSS16_BUSY};
    cpu->gdt.base = cpu->idt.base = 0;
    cpu->gdt.limit = cpu->idt.limit = 0xFFFF;
    uint64_t caches = is_init ? cpu->cr0 & (SOFT_CR0_CD | SOFT_CR0_NW) : 0; /* INIT keeps them */
    cpu->cr0 = SOFT_CR0_ET | caches;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->efer = 0;
    memset(cpu->dr, 0, sizeof cpu->dr);
    cpu->dr[6] = SOFT_DR6_ONES;
    cpu->dr[7] = SOFT_DR7_ONES;
    cpu->cpl = 0;
    cpu->interrupt_shadow = cpu->nmi_blocked = cpu->halted = cpu->redelivers = false;
    if (!is_init) {
        soft_fp_reset(cpu);
        cpu->xcr0 = 1;
        reset_msrs(cpu);
        soft_tlb_init(cpu);
    }
    soft_mode_changed(cpu);
    soft_view_changed(cpu);
    soft_tlb_flush(cpu, true);
    soft_tlb_enter_space(cpu, soft_pcid(cpu), true);
}
