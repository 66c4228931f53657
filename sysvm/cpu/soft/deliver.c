/* sysvm/cpu/soft/deliver.c: into the handler of an exception or interrupt: the interrupt table of real mode, gates of
 * 16, 32 and 64 bits, stacks of the TSS, and what happens when that faults.
 *
 * A handler is entered as a whole or not at all: registers change after the last access that may fault.
 * Source: Intel SDM volume 3, "Interrupt and Exception Handling"; volume 2, "INT n/INTO/INT3/INT1". */
#include "sysvm/cpu/soft/system_internal.h"

enum soft_step soft_raise(struct soft_cpu *cpu, unsigned vector, bool has_error, uint32_t error) {
    cpu->fault =
        (struct soft_fault){.vector = (uint8_t)vector, .has_error_code = has_error, .error_code = error};
    return SOFT_FAULT;
}

/* ---- real mode ---- */

static bool enter_real(struct soft_cpu *cpu, const struct soft_arrival *event) {
    uint16_t target[2]; /* ip, cs */
    if (event->vector * 4 + 3 > cpu->idt.limit) return soft_fail(cpu, SOFT_GP, 0);
    if (!soft_read_system(cpu, (uint32_t)(cpu->idt.base + event->vector * 4), target, sizeof target))
        return false;
    struct soft_stack stack = soft_stack_now(cpu);
    if (!soft_stack_push(&stack, event->rflags, 2) ||
        !soft_stack_push(&stack, cpu->segments[VM_CS].selector, 2) || !soft_stack_push(&stack, cpu->rip, 2))
        return false;
    soft_stack_commit(&stack);
    cpu->rflags &= ~(uint64_t)(SOFT_IF | SOFT_TF | SOFT_AC | SOFT_RF);
    cpu->segments[VM_CS].selector = target[1];
    cpu->segments[VM_CS].base = (uint32_t)target[1] << 4;
    cpu->rip = target[0];
    soft_view_changed(cpu);
    return true;
}

/* ---- gates ---- */

struct gate {
    uint64_t offset;
    uint16_t selector;
    unsigned type, ist, width; /* width: bytes of what is pushed */
};

static bool read_gate(struct soft_cpu *cpu, const struct soft_arrival *event, struct gate *out) {
    bool is_long = soft_is_long(cpu);
    uint32_t n_bytes = is_long ? 16 : 8, error = (event->vector * 8 + 2) | event->is_external;
    struct soft_descriptor d = {0};
    if (event->vector * n_bytes + n_bytes - 1 > cpu->idt.limit) return soft_fail(cpu, SOFT_GP, error);
    uint64_t address = cpu->idt.base + event->vector * n_bytes;
    if (!soft_read_system(cpu, is_long ? address : (uint32_t)address, &d, n_bytes)) return false;
    unsigned access = soft_descriptor_access(&d), type = access & 0x1F;
    bool is_gate = type == SOFT_INTERRUPT_GATE || type == SOFT_TRAP_GATE ||
                   (!is_long && (type == SOFT_INTERRUPT_GATE16 || type == SOFT_TRAP_GATE16));
    if (!is_gate || (event->is_software && soft_dpl(access) < cpu->cpl))
        return soft_fail(cpu, SOFT_GP, error);
    if (!(access & SOFT_PRESENT)) return soft_fail(cpu, SOFT_NP, error);
    *out = (struct gate){
        .offset = (d.low & 0xFFFF) | (d.low >> 32 & 0xFFFF0000) | d.high << 32,
        .selector = (uint16_t)(d.low >> 16),
        .type = type,
        .ist = is_long ? d.low >> 32 & 7 : 0,
        .width = is_long    ? 8
                 : type & 8 ? 4
                            : 2,
    };
    if (out->width == 2) out->offset &= 0xFFFF;
    return true;
}

static bool read_target(struct soft_cpu *cpu, const struct gate *gate, unsigned external,
                        struct vm_segment *out) {
    struct soft_descriptor d;
    uint32_t error = (gate->selector & ~3u) | external;
    if (soft_is_null(gate->selector)) return soft_fail(cpu, SOFT_GP, external);
    if (!soft_descriptor_read(cpu, gate->selector, 8, &d, SOFT_GP, external)) return false;
    unsigned access = soft_descriptor_access(&d);
    if (!soft_is_code(access) || soft_dpl(access) > cpu->cpl) return soft_fail(cpu, SOFT_GP, error);
    if (!(access & SOFT_PRESENT)) return soft_fail(cpu, SOFT_NP, error);
    *out = soft_descriptor_segment(&d, gate->selector);
    if (soft_is_long(cpu) && (out->access & (SOFT_LONG | SOFT_BIG)) != SOFT_LONG)
        return soft_fail(cpu, SOFT_GP, error);
    if (cpu->mode == SOFT_V86 && (soft_is_conforming(access) || soft_dpl(access)))
        return soft_fail(cpu, SOFT_GP, error);
    return soft_descriptor_touch(cpu, gate->selector, &d);
}

/* ---- the frame ---- */

static bool choose_stack(struct soft_cpu *cpu, const struct gate *gate, unsigned cpl, unsigned external,
                         struct soft_stack *out) {
    bool is_long = soft_is_long(cpu), inner = cpl < cpu->cpl;
    *out = soft_stack_now(cpu);
    if (inner && !soft_tss_stack(cpu, cpl, external, &out->ss, &out->pointer)) return false;
    if (gate->ist && !soft_tss_pointer(cpu, cpl, gate->ist, external, &out->pointer)) return false;
    if (inner) out->mask = out->ss.access & SOFT_BIG ? UINT32_MAX : UINT16_MAX;
    if (inner) out->view = SOFT_VIEW_KERNEL;
    if (is_long) {
        out->mask = UINT64_MAX;
        out->pointer &= ~UINT64_C(15);
    }
    out->is_flat = is_long;
    out->error = inner && !is_long ? (out->ss.selector & ~3u) | external : external;
    return true;
}

static bool push_frame(struct soft_cpu *cpu, const struct soft_arrival *event, unsigned width,
                       bool with_stack, struct soft_stack *stack) {
    static const uint8_t v86[] = {VM_GS, VM_FS, VM_DS, VM_ES};
    const struct vm_segment *s = cpu->segments;
    if (cpu->mode == SOFT_V86)
        for (unsigned i = 0; i < sizeof v86; i++)
            if (!soft_stack_push(stack, s[v86[i]].selector, width)) return false;
    if (with_stack && (!soft_stack_push(stack, s[VM_SS].selector, width) ||
                       !soft_stack_push(stack, cpu->gpr[VM_RSP], width)))
        return false;
    return soft_stack_push(stack, event->rflags, width) && soft_stack_push(stack, s[VM_CS].selector, width) &&
           soft_stack_push(stack, cpu->rip, width) &&
           (!event->has_error || soft_stack_push(stack, event->error, width));
}

static bool offset_is_in(const struct soft_cpu *cpu, const struct vm_segment *code, uint64_t offset) {
    return soft_is_long(cpu) ? soft_is_canonical(offset) : offset <= code->limit;
}

static bool enter_protected(struct soft_cpu *cpu, const struct soft_arrival *event) {
    struct gate gate;
    struct vm_segment code;
    struct soft_stack stack;
    if (!read_gate(cpu, event, &gate) || !read_target(cpu, &gate, event->is_external, &code)) return false;
    unsigned cpl = soft_is_conforming(code.access) ? cpu->cpl : soft_dpl(code.access);
    bool inner = cpl < cpu->cpl;
    if (!choose_stack(cpu, &gate, cpl, event->is_external, &stack)) return false;
    if (!offset_is_in(cpu, &code, gate.offset)) return soft_fail(cpu, SOFT_GP, event->is_external);
    if (!push_frame(cpu, event, gate.width, inner || soft_is_long(cpu), &stack)) return false;

    if (cpu->mode == SOFT_V86)
        for (unsigned i = VM_ES; i <= VM_GS; i++)
            if (i != VM_CS && i != VM_SS) cpu->segments[i] = (struct vm_segment){.selector = 0};
    cpu->rflags &= ~(uint64_t)(SOFT_TF | SOFT_NT | SOFT_RF | SOFT_VM);
    if (!(gate.type & 1)) cpu->rflags &= ~(uint64_t)SOFT_IF;
    if (inner) cpu->segments[VM_SS] = stack.ss;
    soft_stack_commit(&stack);
    cpu->rip = gate.offset;
    soft_set_code(cpu, &code, cpl);
    return true;
}

bool soft_enter_handler(struct soft_cpu *cpu, const struct soft_arrival *event) {
    return cpu->mode == SOFT_REAL ? enter_real(cpu, event) : enter_protected(cpu, event);
}

/* ---- exceptions of exceptions ---- */

static bool is_contributory(unsigned vector) {
    return vector == SOFT_DE || (vector >= SOFT_TS && vector <= SOFT_GP);
}

static bool makes_double(unsigned first, unsigned second) {
    if (is_contributory(first)) return is_contributory(second);
    return first == SOFT_PAGE && (is_contributory(second) || second == SOFT_PAGE);
}

/* What an exception changes before its handler runs; RF is set in the image of those that run the instruction again. */
static struct soft_arrival arrival_of_fault(struct soft_cpu *cpu) {
    const struct soft_fault *fault = &cpu->fault;
    if (fault->vector == SOFT_PAGE) cpu->cr2 = fault->cr2;
    if (fault->vector == SOFT_DB) {
        if (fault->dr6 & 0xF)
            cpu->dr[6] &= ~UINT64_C(0xF); /* of the breakpoints before; the rest is the handler's */
        cpu->dr[6] |= fault->dr6;
        cpu->dr[7] &= ~UINT64_C(0x2000); /* general detect: the handler may use the registers */
    }
    bool general_detect = fault->vector == SOFT_DB && fault->dr6 & 0x2000;
    bool is_trap =
        fault->is_trap || (fault->vector == SOFT_DB && !general_detect) || fault->vector == SOFT_DOUBLE;
    return (struct soft_arrival){
        .vector = fault->vector,
        .has_error = fault->has_error_code,
        .is_external = true,
        .error = fault->error_code,
        .rflags = cpu->rflags | (is_trap || cpu->mode == SOFT_REAL ? 0 : SOFT_RF),
    };
}

bool soft_deliver(struct soft_cpu *cpu, enum soft_event event, unsigned vector) {
    struct soft_arrival arrival = {.vector = vector, .is_external = true, .rflags = cpu->rflags};
    bool is_fault = event == SOFT_EVENT_FAULT;
    if (is_fault) arrival = arrival_of_fault(cpu);
    cpu->interrupt_shadow = cpu->halted = false;
    if (event == SOFT_EVENT_NMI) cpu->nmi_blocked = true;
    for (unsigned n = 0; !soft_enter_handler(cpu, &arrival); n++) {
        unsigned first = arrival.vector, second = cpu->fault.vector;
        if ((is_fault && first == SOFT_DOUBLE) || second == SOFT_LEAVE)
            return false; /* or a stack that is a device */
        if (is_fault && makes_double(first, second)) {
            if (second == SOFT_PAGE) cpu->cr2 = cpu->fault.cr2;
            soft_raise(cpu, SOFT_DOUBLE, true, 0);
        }
        /* Some follow each other for ever (#AC on a stack of ring 3 that is not aligned): others come between. */
        if (n > 16 && atomic_load_explicit(&cpu->requests, memory_order_relaxed)) {
            cpu->redelivers = true;
            return true;
        }
        is_fault = true;
        arrival = arrival_of_fault(cpu);
    }
    return true;
}

/* ---- int n ---- */

static enum soft_step software(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned vector,
                               bool is_software) {
    struct soft_arrival event = {
        .vector = vector, .is_software = is_software, .is_external = !is_software, .rflags = cpu->rflags};
    uint64_t rip = cpu->rip;
    cpu->rip += insn->length;
    if (cpu->mode != SOFT_LONG64) cpu->rip = (uint32_t)cpu->rip;
    if (soft_enter_handler(cpu, &event)) return SOFT_JUMPED;
    cpu->rip = rip;
    return SOFT_FAULT;
}

enum soft_step soft_int(struct soft_cpu *cpu, const struct soft_insn *insn) {
    if (cpu->mode == SOFT_V86 && soft_iopl(cpu) < 3) return soft_raise_gp(cpu, 0);
    return software(cpu, insn, insn->immediate & 0xFF, true);
}

enum soft_step soft_int1(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return software(cpu, insn, SOFT_DB, false);
}

enum soft_step soft_int3(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return software(cpu, insn, SOFT_BP, true);
}

enum soft_step soft_into(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return cpu->rflags & SOFT_OF ? software(cpu, insn, SOFT_OF_TRAP, true) : SOFT_NEXT;
}
