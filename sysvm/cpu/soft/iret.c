/* sysvm/cpu/soft/iret.c: back from a handler: real mode, V86, protected and 64-bit mode.
 * Source: Intel SDM volume 2, IRET/IRETD/IRETQ. */
#include "sysvm/cpu/soft/system_internal.h"

enum {
    FLAGS_ALWAYS = SOFT_ARITHMETIC | SOFT_TF | SOFT_DF | SOFT_NT | SOFT_AC | SOFT_ID,
    FLAGS_LEVEL0 = SOFT_IOPL | SOFT_VIF | SOFT_VIP
};

/* RF is kept where something breaks on instructions: nobody else looks at it, or would clear it. */
static void set_flags(struct soft_cpu *cpu, uint64_t value, unsigned width, bool is_level0, bool may_if) {
    uint64_t mask = FLAGS_ALWAYS | (is_level0 ? FLAGS_LEVEL0 : 0) | (may_if ? SOFT_IF : 0);
    if (cpu->debugged) mask |= SOFT_RF;
    if (width == 2) mask &= 0xFFFF;
    cpu->rflags = (cpu->rflags & ~(mask | SOFT_RF)) | (value & mask) | SOFT_FLAG_ONE;
    soft_view_changed(cpu);
}

struct frame {
    uint64_t rip, cs, flags;
};

static bool pop_frame(struct soft_stack *stack, unsigned width, struct frame *out) {
    bool ok = soft_stack_pop(stack, &out->rip, width) && soft_stack_pop(stack, &out->cs, width) &&
              soft_stack_pop(stack, &out->flags, width);
    out->cs &= 0xFFFF;
    return ok;
}

static enum soft_step finish(struct soft_cpu *cpu) {
    cpu->nmi_blocked = false;
    return SOFT_JUMPED;
}

static enum soft_step to_real(struct soft_cpu *cpu, const struct soft_stack *stack, const struct frame *frame,
                              unsigned width) {
    bool is_v86 = cpu->mode == SOFT_V86;
    if (is_v86 && soft_iopl(cpu) < 3) return soft_raise_gp(cpu, 0);
    if (frame->rip > cpu->segments[VM_CS].limit) return soft_raise_gp(cpu, 0);
    uint64_t iopl = cpu->rflags & SOFT_IOPL;
    soft_stack_commit(stack);
    soft_load_segment(cpu, VM_CS, (uint16_t)frame->cs);
    cpu->rip = frame->rip;
    set_flags(cpu, frame->flags, width, !is_v86, true);
    if (is_v86) cpu->rflags = (cpu->rflags & ~(uint64_t)SOFT_IOPL) | iopl;
    return finish(cpu);
}

static enum soft_step to_v86(struct soft_cpu *cpu, struct soft_stack *stack, const struct frame *frame) {
    static const uint8_t order[] = {VM_SS, VM_ES, VM_DS, VM_FS, VM_GS};
    uint64_t pointer, selectors[sizeof order];
    if (!soft_stack_pop(stack, &pointer, 4)) return SOFT_FAULT;
    for (unsigned i = 0; i < sizeof order; i++)
        if (!soft_stack_pop(stack, &selectors[i], 4)) return SOFT_FAULT;
    set_flags(cpu, frame->flags, 4, true, true);
    cpu->rflags |= SOFT_VM;
    cpu->mode = SOFT_V86; /* as soft_set_code will find it; segments are loaded as this mode does */
    for (unsigned i = 0; i < sizeof order; i++) soft_load_segment(cpu, order[i], (uint16_t)selectors[i]);
    soft_load_segment(cpu, VM_CS, (uint16_t)frame->cs);
    struct vm_segment code = cpu->segments[VM_CS];
    soft_set_code(cpu, &code, 3);
    cpu->segments[VM_CS].selector = (uint16_t)frame->cs; /* all of it: there is no privilege in it */
    cpu->gpr[VM_RSP] = (uint32_t)pointer;
    cpu->rip = frame->rip & 0xFFFF;
    return finish(cpu);
}

static enum soft_step to_protected(struct soft_cpu *cpu, struct soft_stack *stack, const struct frame *frame,
                                   unsigned width) {
    struct soft_descriptor d;
    struct vm_segment code, ss = cpu->segments[VM_SS];
    uint64_t pointer = 0, ss_selector = 0;
    uint16_t selector = (uint16_t)frame->cs;
    unsigned cpl = selector & 3, old = cpu->cpl;
    if (!soft_return_code(cpu, selector, frame->rip, &d, &code)) return SOFT_FAULT;
    bool to_64 = soft_is_long(cpu) && (code.access & SOFT_LONG);
    bool with_stack = cpl > old || cpu->mode == SOFT_LONG64;
    if (with_stack &&
        (!soft_stack_pop(stack, &pointer, width) || !soft_stack_pop(stack, &ss_selector, width) ||
         !soft_return_stack(cpu, (uint16_t)ss_selector, cpl, to_64, &ss)))
        return SOFT_FAULT;
    bool may_if = old <= soft_iopl(cpu);
    soft_stack_commit(stack);
    if (with_stack) {
        bool is_wide = to_64 || (ss.access & SOFT_BIG);
        uint64_t kept = cpu->gpr[VM_RSP] & ~UINT64_C(0xFFFF);
        cpu->segments[VM_SS] = ss;
        cpu->gpr[VM_RSP] = to_64 ? pointer : is_wide ? (uint32_t)pointer : kept | (pointer & 0xFFFF);
    }
    cpu->rip = frame->rip;
    set_flags(cpu, frame->flags, width, old == 0, may_if);
    soft_set_code(cpu, &code, cpl);
    if (cpl > old) soft_drop_segments(cpu);
    return finish(cpu);
}

enum soft_step soft_iret(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned width = insn->operand_bytes;
    struct soft_stack stack = soft_stack_now(cpu);
    struct frame frame;
    if (soft_is_protected(cpu) && (cpu->rflags & SOFT_NT)) /* to another task, which long mode has not */
        return soft_raise(cpu, soft_is_long(cpu) ? SOFT_GP : SOFT_TS, true, 0);
    if (!pop_frame(&stack, width, &frame)) return SOFT_FAULT;
    if (!soft_is_protected(cpu)) return to_real(cpu, &stack, &frame, width);
    if (width == 4 && (frame.flags & SOFT_VM) && cpu->cpl == 0 && !soft_is_long(cpu))
        return to_v86(cpu, &stack, &frame);
    return to_protected(cpu, &stack, &frame, width);
}
