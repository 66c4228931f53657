/* sysvm/cpu/soft/flags.c: RFLAGS as a whole, interrupts on and off, hlt.
 * Source: Intel SDM volume 2, CLI, STI, PUSHF, POPF, HLT, STAC; volume 3, "Masking Maskable Hardware Interrupts". */
#include "sysvm/cpu/soft/system_internal.h"

static bool may_change_if(const struct soft_cpu *cpu) {
    if (cpu->mode == SOFT_V86) return soft_iopl(cpu) == 3;
    return cpu->cpl <= soft_iopl(cpu);
}

enum soft_step soft_cli(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (!may_change_if(cpu)) return soft_raise_gp(cpu, 0);
    cpu->rflags &= ~(uint64_t)SOFT_IF;
    return SOFT_NEXT;
}

enum soft_step soft_sti(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    if (!may_change_if(cpu)) return soft_raise_gp(cpu, 0);
    if (!(cpu->rflags & SOFT_IF)) cpu->interrupt_shadow = true;
    cpu->rflags |= SOFT_IF;
    return SOFT_END;
}

enum soft_step soft_hlt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return cpu->cpl ? soft_raise_gp(cpu, 0) : SOFT_HALT;
}

enum soft_step soft_pushf(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (cpu->mode == SOFT_V86 && soft_iopl(cpu) < 3) return soft_raise_gp(cpu, 0);
    struct soft_stack stack = soft_stack_now(cpu);
    uint64_t image = cpu->rflags & ~(uint64_t)(SOFT_VM | SOFT_RF);
    if (!soft_stack_push(&stack, image, insn->operand_bytes)) return SOFT_FAULT;
    soft_stack_commit(&stack);
    return SOFT_NEXT;
}

enum soft_step soft_popf(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t value, mask = SOFT_ARITHMETIC | SOFT_TF | SOFT_DF | SOFT_NT | SOFT_AC | SOFT_ID;
    if (cpu->mode == SOFT_V86 && soft_iopl(cpu) < 3) return soft_raise_gp(cpu, 0);
    struct soft_stack stack = soft_stack_now(cpu);
    if (!soft_stack_pop(&stack, &value, insn->operand_bytes)) return SOFT_FAULT;
    soft_stack_commit(&stack);
    if (may_change_if(cpu)) mask |= SOFT_IF;
    if (cpu->cpl == 0) mask |= SOFT_IOPL | SOFT_VIF | SOFT_VIP;
    if (insn->operand_bytes == 2) mask &= 0xFFFF;
    value &= ~(uint64_t)(SOFT_VIF | SOFT_VIP);
    cpu->rflags = (cpu->rflags & ~mask) | (value & mask);
    soft_view_changed(cpu);
    return SOFT_END;
}

static enum soft_step set_ac(struct soft_cpu *cpu, bool on) {
    if (cpu->cpl || cpu->mode == SOFT_V86) return soft_raise_ud(cpu);
    cpu->rflags = on ? cpu->rflags | SOFT_AC : cpu->rflags & ~(uint64_t)SOFT_AC;
    soft_view_changed(cpu);
    return SOFT_NEXT;
}

enum soft_step soft_stac(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return set_ac(cpu, true);
}

enum soft_step soft_clac(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return set_ac(cpu, false);
}
