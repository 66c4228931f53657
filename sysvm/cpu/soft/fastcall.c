/* sysvm/cpu/soft/fastcall.c: system calls without gates, and the bases of FS and GS. As Intel's processors do it:
 * syscall and sysret are of 64-bit mode, sysenter and sysexit of protected mode too.
 * Source: Intel SDM volume 2, SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, RDFSBASE, WRFSBASE. */
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system_internal.h"

/* access words of flat segments, privilege 0 */
enum { FLAT_CODE64 = 0xA09B, FLAT_CODE32 = 0xC09B, FLAT_DATA = 0xC093 };

static struct vm_segment flat(uint64_t selector, unsigned access, unsigned cpl) {
    return (struct vm_segment){0, UINT32_MAX, (uint16_t)((selector & 0xFFFC) | cpl),
                               (uint16_t)(access | cpl << 5)};
}

static void set_flat(struct soft_cpu *cpu, uint64_t code, uint64_t stack, unsigned code_access,
                     unsigned cpl) {
    struct vm_segment cs = flat(code, code_access, cpl);
    cpu->segments[VM_SS] = flat(stack, FLAT_DATA, cpl);
    soft_set_code(cpu, &cs, cpl);
}

/* ---- syscall ---- */

enum soft_step soft_syscall(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (cpu->mode != SOFT_LONG64 || !(cpu->efer & SOFT_EFER_SCE)) return soft_raise_ud(cpu);
    const struct soft_msrs *msrs = &cpu->msrs;
    uint64_t selector = msrs->star >> 32 & 0xFFFF;
    cpu->gpr[VM_RCX] = cpu->rip + insn->length;
    cpu->gpr[11] = cpu->rflags;
    cpu->rip = msrs->lstar;
    cpu->rflags &= ~(msrs->sfmask | SOFT_RF);
    cpu->rflags |= SOFT_FLAG_ONE;
    set_flat(cpu, selector, selector + 8, FLAT_CODE64, 0);
    return SOFT_JUMPED;
}

enum soft_step soft_sysret(struct soft_cpu *cpu, const struct soft_insn *insn) {
    enum { RFLAGS_KEPT = 0x3C7FD7 & ~SOFT_RF };
    if (cpu->mode != SOFT_LONG64 || !(cpu->efer & SOFT_EFER_SCE)) return soft_raise_ud(cpu);
    bool to_64 = insn->operand_bytes == 8;
    if (cpu->cpl || (to_64 && !soft_is_canonical(cpu->gpr[VM_RCX]))) return soft_raise_gp(cpu, 0);
    uint64_t selector = cpu->msrs.star >> 48;
    cpu->rip = to_64 ? cpu->gpr[VM_RCX] : (uint32_t)cpu->gpr[VM_RCX];
    cpu->rflags = (cpu->gpr[11] & RFLAGS_KEPT & ~(uint64_t)SOFT_VM) | SOFT_FLAG_ONE;
    set_flat(cpu, to_64 ? selector + 16 : selector, selector + 8, to_64 ? FLAT_CODE64 : FLAT_CODE32, 3);
    return SOFT_JUMPED;
}

/* ---- sysenter ---- */

enum soft_step soft_sysenter(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    const struct soft_msrs *msrs = &cpu->msrs;
    if (cpu->mode == SOFT_REAL || !(msrs->sysenter_cs & 0xFFFC)) return soft_raise_gp(cpu, 0);
    bool is_long = soft_is_long(cpu);
    cpu->rflags &= ~(uint64_t)(SOFT_VM | SOFT_IF | SOFT_RF);
    cpu->gpr[VM_RSP] = is_long ? msrs->sysenter_esp : (uint32_t)msrs->sysenter_esp;
    cpu->rip = is_long ? msrs->sysenter_eip : (uint32_t)msrs->sysenter_eip;
    set_flat(cpu, msrs->sysenter_cs, msrs->sysenter_cs + 8, is_long ? FLAT_CODE64 : FLAT_CODE32, 0);
    return SOFT_JUMPED;
}

enum soft_step soft_sysexit(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t cs = cpu->msrs.sysenter_cs, rip = cpu->gpr[VM_RDX], rsp = cpu->gpr[VM_RCX];
    bool to_64 = cpu->mode == SOFT_LONG64 && insn->operand_bytes == 8;
    if (!soft_is_protected(cpu) || cpu->cpl || !(cs & 0xFFFC)) return soft_raise_gp(cpu, 0);
    if (to_64 && (!soft_is_canonical(rip) || !soft_is_canonical(rsp))) return soft_raise_gp(cpu, 0);
    cpu->rip = to_64 ? rip : (uint32_t)rip;
    cpu->gpr[VM_RSP] = to_64 ? rsp : (uint32_t)rsp;
    set_flat(cpu, to_64 ? cs + 32 : cs + 16, to_64 ? cs + 40 : cs + 24, to_64 ? FLAT_CODE64 : FLAT_CODE32, 3);
    return SOFT_JUMPED;
}

/* ---- bases ---- */

enum soft_step soft_swapgs(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (cpu->mode != SOFT_LONG64) return soft_raise_ud(cpu);
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    uint64_t base = cpu->segments[VM_GS].base;
    cpu->segments[VM_GS].base = cpu->msrs.kernel_gs_base;
    cpu->msrs.kernel_gs_base = base;
    return SOFT_NEXT;
}

static enum soft_step read_base(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment) {
    if (cpu->mode != SOFT_LONG64 || !(cpu->cr4 & SOFT_CR4_FSGSBASE)) return soft_raise_ud(cpu);
    soft_gpr_set(cpu, insn->operands[0].reg, insn->operands[0].n_bytes, cpu->segments[segment].base);
    return SOFT_NEXT;
}

static enum soft_step write_base(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment) {
    if (cpu->mode != SOFT_LONG64 || !(cpu->cr4 & SOFT_CR4_FSGSBASE)) return soft_raise_ud(cpu);
    uint64_t base = soft_gpr_get(cpu, insn->operands[0].reg, insn->operands[0].n_bytes);
    if (!soft_is_canonical(base)) return soft_raise_gp(cpu, 0);
    cpu->segments[segment].base = base;
    return SOFT_NEXT;
}

enum soft_step soft_rdfsbase(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return read_base(cpu, insn, VM_FS);
}
enum soft_step soft_rdgsbase(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return read_base(cpu, insn, VM_GS);
}
enum soft_step soft_wrfsbase(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return write_base(cpu, insn, VM_FS);
}
enum soft_step soft_wrgsbase(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return write_base(cpu, insn, VM_GS);
}
