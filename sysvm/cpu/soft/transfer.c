/* sysvm/cpu/soft/transfer.c: far jumps, calls and returns; call gates.
 * Source: Intel SDM volume 2, CALL, JMP, RET; volume 3, "Privilege Checking When Transferring Program Control". */
#include "sysvm/cpu/soft/system_internal.h"

struct target {
    uint64_t offset;
    uint16_t selector;
};

/* ---- operands ---- */

static bool read_target(struct soft_cpu *cpu, const struct soft_insn *insn, struct target *out) {
    unsigned width = insn->operand_bytes;
    if (insn->operands[0].kind == SOFT_FAR) {
        *out = (struct target){(uint32_t)insn->immediate, (uint16_t)(insn->immediate >> 32)};
    } else {
        uint64_t linear;
        uint8_t bytes[10];
        *out = (struct target){0};
        if (!soft_linear(cpu, insn, &linear, width + 2, false) || !soft_read(cpu, linear, bytes, width + 2))
            return false;
        memcpy(&out->offset, bytes, width);
        memcpy(&out->selector, bytes + width, 2);
    }
    if (width == 2) out->offset &= 0xFFFF;
    return true;
}

static uint64_t next_rip(const struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t next = cpu->rip + insn->length;
    return cpu->mode == SOFT_LONG64 ? next : cpu->mode == SOFT_REAL ? next & 0xFFFF : (uint32_t)next;
}

/* Whether an offset is within a code segment that has not been loaded yet: #GP(0). */
static bool check_offset(struct soft_cpu *cpu, const struct vm_segment *code, uint64_t offset) {
    bool is_64 = soft_is_long(cpu) && (code->access & SOFT_LONG);
    bool ok = is_64 ? soft_is_canonical(offset) : offset <= code->limit;
    return ok || soft_fail(cpu, SOFT_GP, 0);
}

/* Type, presence, and L with D: what every new code segment is checked for; privilege is the caller's. */
static bool check_code(struct soft_cpu *cpu, uint16_t selector, const struct soft_descriptor *d) {
    unsigned access = soft_descriptor_access(d);
    if (!soft_is_code(access)) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    if (soft_is_long(cpu) && (d->low >> 53 & 3) == 3) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    return (access & SOFT_PRESENT) || soft_fail(cpu, SOFT_NP, selector & ~3u);
}

/* ---- without descriptors ---- */

static enum soft_step real_transfer(struct soft_cpu *cpu, const struct soft_insn *insn,
                                    const struct target *target, bool is_call) {
    struct soft_stack stack = soft_stack_now(cpu);
    if (target->offset > cpu->segments[VM_CS].limit) return soft_raise_gp(cpu, 0);
    if (is_call && (!soft_stack_push(&stack, cpu->segments[VM_CS].selector, insn->operand_bytes) ||
                    !soft_stack_push(&stack, next_rip(cpu, insn), insn->operand_bytes)))
        return SOFT_FAULT;
    soft_stack_commit(&stack);
    soft_load_segment(cpu, VM_CS, target->selector);
    cpu->rip = target->offset;
    return SOFT_JUMPED;
}

/* ---- direct ---- */

static bool check_direct(struct soft_cpu *cpu, uint16_t selector, const struct soft_descriptor *d) {
    unsigned access = soft_descriptor_access(d), rpl = selector & 3;
    bool ok = soft_is_conforming(access) ? soft_dpl(access) <= cpu->cpl
                                         : rpl <= cpu->cpl && soft_dpl(access) == cpu->cpl;
    return ok || soft_fail(cpu, SOFT_GP, selector & ~3u);
}

static enum soft_step direct(struct soft_cpu *cpu, const struct soft_insn *insn, const struct target *target,
                             struct soft_descriptor *d, bool is_call) {
    struct soft_stack stack = soft_stack_now(cpu);
    struct vm_segment code = soft_descriptor_segment(d, target->selector);
    if (!check_direct(cpu, target->selector, d) || !check_code(cpu, target->selector, d) ||
        !check_offset(cpu, &code, target->offset))
        return SOFT_FAULT;
    if (is_call && (!soft_stack_push(&stack, cpu->segments[VM_CS].selector, insn->operand_bytes) ||
                    !soft_stack_push(&stack, next_rip(cpu, insn), insn->operand_bytes)))
        return SOFT_FAULT;
    if (!soft_descriptor_touch(cpu, target->selector, d)) return SOFT_FAULT;
    code.access |= SOFT_ACCESSED;
    soft_stack_commit(&stack);
    cpu->rip = target->offset;
    soft_set_code(cpu, &code, cpu->cpl);
    return SOFT_JUMPED;
}

/* ---- gates ---- */

struct call {
    struct target target;
    struct soft_descriptor code;
    unsigned cpl, width, n_parameters;
};

static bool read_gate(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor gate,
                      struct call *out) {
    unsigned access = soft_descriptor_access(&gate), type = access & 0xF;
    bool is_long = soft_is_long(cpu);
    bool is_gate = type == SOFT_CALL_GATE || (!is_long && type == SOFT_CALL_GATE16);
    if (!is_gate || soft_dpl(access) < cpu->cpl || soft_dpl(access) < (selector & 3u))
        return soft_fail(cpu, SOFT_GP, selector & ~3u);
    if (is_long && !soft_descriptor_read(cpu, selector, 16, &gate, SOFT_GP, 0)) return false;
    if (is_long && (gate.high >> 40 & 0x1F)) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    if (!(access & SOFT_PRESENT)) return soft_fail(cpu, SOFT_NP, selector & ~3u);
    out->target.selector = (uint16_t)(gate.low >> 16);
    out->target.offset = (gate.low & 0xFFFF) | (gate.low >> 32 & 0xFFFF0000) | gate.high << 32;
    if (!is_long) out->target.offset = (uint32_t)out->target.offset;
    if (type == SOFT_CALL_GATE16) out->target.offset &= 0xFFFF;
    out->width = is_long ? 8 : type == SOFT_CALL_GATE ? 4 : 2;
    out->n_parameters = is_long ? 0 : gate.low >> 32 & 0x1F;
    return true;
}

static bool read_gate_target(struct soft_cpu *cpu, struct call *call, bool is_call) {
    uint16_t selector = call->target.selector;
    if (soft_is_null(selector)) return soft_fail(cpu, SOFT_GP, 0);
    if (!soft_descriptor_read(cpu, selector, 8, &call->code, SOFT_GP, 0)) return false;
    unsigned access = soft_descriptor_access(&call->code), dpl = soft_dpl(access);
    bool may = soft_is_conforming(access) || is_call ? dpl <= cpu->cpl : dpl == cpu->cpl;
    bool wrong_width = soft_is_long(cpu) && (call->code.low >> 53 & 3) != 1;
    if (!soft_is_code(access) || !may || wrong_width) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    call->cpl = soft_is_conforming(access) || !is_call ? cpu->cpl : dpl;
    return check_code(cpu, selector, &call->code);
}

/* The caller's SS, RSP and parameters, on a stack of an inner level. */
static bool push_outer(struct soft_cpu *cpu, const struct call *call, struct soft_stack *stack) {
    struct soft_stack from = soft_stack_now(cpu);
    uint64_t parameters[31];
    if (!soft_tss_stack(cpu, call->cpl, 0, &stack->ss, &stack->pointer)) return false;
    stack->is_flat = soft_is_long(cpu);
    stack->mask = stack->is_flat ? UINT64_MAX : stack->ss.access & SOFT_BIG ? UINT32_MAX : UINT16_MAX;
    stack->view = SOFT_VIEW_KERNEL;
    stack->error = stack->ss.selector & ~3u;
    for (unsigned i = 0; i < call->n_parameters; i++)
        if (!soft_stack_pop(&from, &parameters[i], call->width)) return false;
    if (!soft_stack_push(stack, cpu->segments[VM_SS].selector, call->width) ||
        !soft_stack_push(stack, cpu->gpr[VM_RSP], call->width))
        return false;
    for (unsigned i = call->n_parameters; i-- > 0;)
        if (!soft_stack_push(stack, parameters[i], call->width)) return false;
    return true;
}

static enum soft_step through_gate(struct soft_cpu *cpu, const struct soft_insn *insn, uint16_t selector,
                                   const struct soft_descriptor *gate, bool is_call) {
    struct call call = {0};
    if (!read_gate(cpu, selector, *gate, &call) || !read_gate_target(cpu, &call, is_call)) return SOFT_FAULT;
    struct vm_segment code = soft_descriptor_segment(&call.code, call.target.selector);
    struct soft_stack stack = soft_stack_now(cpu);
    bool inner = call.cpl < cpu->cpl;
    if (!check_offset(cpu, &code, call.target.offset)) return SOFT_FAULT;
    if (inner && !push_outer(cpu, &call, &stack)) return SOFT_FAULT;
    if (soft_is_long(cpu)) {
        stack.is_flat = true;
        stack.mask = UINT64_MAX;
    }
    if (is_call && (!soft_stack_push(&stack, cpu->segments[VM_CS].selector, call.width) ||
                    !soft_stack_push(&stack, next_rip(cpu, insn), call.width)))
        return SOFT_FAULT;
    if (!soft_descriptor_touch(cpu, call.target.selector, &call.code)) return SOFT_FAULT;
    code.access |= SOFT_ACCESSED;
    if (inner) cpu->segments[VM_SS] = stack.ss;
    soft_stack_commit(&stack);
    cpu->rip = call.target.offset;
    soft_set_code(cpu, &code, call.cpl);
    return SOFT_JUMPED;
}

/* ---- jmp, call ---- */

static enum soft_step transfer(struct soft_cpu *cpu, const struct soft_insn *insn, bool is_call) {
    struct target target;
    struct soft_descriptor d;
    if (!read_target(cpu, insn, &target)) return SOFT_FAULT;
    if (!soft_is_protected(cpu)) return real_transfer(cpu, insn, &target, is_call);
    if (soft_is_null(target.selector)) return soft_raise_gp(cpu, 0);
    if (!soft_descriptor_read(cpu, target.selector, 8, &d, SOFT_GP, 0)) return SOFT_FAULT;
    if (soft_descriptor_access(&d) & SOFT_NOT_SYSTEM) return direct(cpu, insn, &target, &d, is_call);
    return through_gate(cpu, insn, target.selector, &d, is_call);
}

enum soft_step soft_far_jump(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return transfer(cpu, insn, false);
}

enum soft_step soft_far_call(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return transfer(cpu, insn, true);
}

/* ---- ret ---- */

static enum soft_step real_return(struct soft_cpu *cpu, struct soft_stack *stack, uint64_t offset,
                                  uint64_t selector, unsigned release) {
    if (offset > cpu->segments[VM_CS].limit) return soft_raise_gp(cpu, 0);
    stack->pointer += release;
    soft_stack_commit(stack);
    soft_load_segment(cpu, VM_CS, (uint16_t)selector);
    cpu->rip = offset;
    return SOFT_JUMPED;
}

bool soft_return_code(struct soft_cpu *cpu, uint16_t selector, uint64_t offset, struct soft_descriptor *out,
                      struct vm_segment *out_code) {
    unsigned rpl = selector & 3;
    if (soft_is_null(selector)) return soft_fail(cpu, SOFT_GP, 0);
    if (!soft_descriptor_read(cpu, selector, 8, out, SOFT_GP, 0)) return false;
    unsigned access = soft_descriptor_access(out), dpl = soft_dpl(access);
    bool ok =
        rpl >= cpu->cpl && soft_is_code(access) && (soft_is_conforming(access) ? dpl <= rpl : dpl == rpl);
    if (!ok) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    *out_code = soft_descriptor_segment(out, selector);
    return check_code(cpu, selector, out) && check_offset(cpu, out_code, offset) &&
           soft_descriptor_touch(cpu, selector, out);
}

bool soft_return_stack(struct soft_cpu *cpu, uint16_t selector, unsigned cpl, bool to_64,
                       struct vm_segment *out) {
    if (soft_is_null(selector) && to_64 && cpl < 3 && (selector & 3u) == cpl) {
        *out = (struct vm_segment){.selector = selector, .access = (uint16_t)(cpl << 5)};
        return true;
    }
    return soft_stack_segment(cpu, selector, cpl, SOFT_GP, 0, out);
}

static uint64_t outer_pointer(bool to_64, const struct vm_segment *ss, uint64_t old, uint64_t pointer) {
    if (to_64) return pointer;
    return ss->access & SOFT_BIG ? (uint32_t)pointer : (old & ~UINT64_C(0xFFFF)) | (pointer & 0xFFFF);
}

enum soft_step soft_far_return(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned width = insn->operand_bytes, release = insn->n_operands ? insn->immediate & 0xFFFF : 0;
    struct soft_stack stack = soft_stack_now(cpu);
    uint64_t offset, selector, pointer = 0, ss_selector = 0;
    struct soft_descriptor d;
    struct vm_segment code, ss;
    if (!soft_stack_pop(&stack, &offset, width) || !soft_stack_pop(&stack, &selector, width))
        return SOFT_FAULT;
    selector &= 0xFFFF;
    if (!soft_is_protected(cpu)) return real_return(cpu, &stack, offset, selector, release);
    if (!soft_return_code(cpu, (uint16_t)selector, offset, &d, &code)) return SOFT_FAULT;
    unsigned cpl = selector & 3;
    bool to_64 = soft_is_long(cpu) && (code.access & SOFT_LONG), outer = cpl > cpu->cpl;
    stack.pointer = (stack.pointer + release) & stack.mask;
    if (outer && (!soft_stack_pop(&stack, &pointer, width) || !soft_stack_pop(&stack, &ss_selector, width) ||
                  !soft_return_stack(cpu, (uint16_t)ss_selector, cpl, to_64, &ss)))
        return SOFT_FAULT;
    soft_stack_commit(&stack);
    if (outer) {
        cpu->segments[VM_SS] = ss;
        cpu->gpr[VM_RSP] = outer_pointer(to_64, &ss, cpu->gpr[VM_RSP], pointer + release);
    }
    cpu->rip = offset;
    soft_set_code(cpu, &code, cpl);
    if (outer) soft_drop_segments(cpu);
    return SOFT_JUMPED;
}
