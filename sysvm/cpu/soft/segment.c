/* sysvm/cpu/soft/segment.c: descriptors, segment registers, limits, stacks.
 * Source: Intel SDM volume 3, "Protected-Mode Memory Management", "Protection", "Task Management"; volume 2, MOV, LAR,
 * LSL, VERR, LTR, LLDT. */
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system_internal.h"

/* ---- limits ---- */

bool soft_within(const struct vm_segment *segment, uint64_t offset, unsigned n_bytes) {
    uint64_t last = offset + n_bytes - 1;
    bool expands_down = (segment->access & (SOFT_NOT_SYSTEM | SOFT_TYPE_CODE | SOFT_TYPE_DOWN)) ==
                        (SOFT_NOT_SYSTEM | SOFT_TYPE_DOWN);
    if (!expands_down) return last >= offset && last <= segment->limit;
    return offset > segment->limit && last >= offset &&
           last <= (segment->access & SOFT_BIG ? UINT32_MAX : UINT16_MAX);
}

static bool may_access(const struct vm_segment *segment, bool write) {
    if (!(segment->access & SOFT_PRESENT)) return false; /* it was loaded with a null selector */
    if (write) return soft_is_writable_data(segment->access);
    return !soft_is_code(segment->access) || (segment->access & SOFT_TYPE_WRITE);
}

bool soft_linear_slow(struct soft_cpu *cpu, unsigned segment, uint64_t offset, unsigned n_bytes, bool write,
                      uint64_t *out_linear) {
    const struct vm_segment *s = &cpu->segments[segment];
    bool ok = cpu->mode != SOFT_LONG64 && soft_within(s, offset, n_bytes) &&
              (!soft_is_protected(cpu) || may_access(s, write));
    if (!ok) return soft_fail(cpu, segment == VM_SS ? SOFT_STACK : SOFT_GP, 0);
    *out_linear = (uint32_t)(s->base + offset);
    return true;
}

/* ---- descriptors ---- */

static bool descriptor_address(const struct soft_cpu *cpu, uint16_t selector, unsigned n_bytes,
                               uint64_t *out) {
    const struct vm_segment *ldt = &cpu->segments[VM_LDT];
    uint64_t base = cpu->gdt.base, limit = cpu->gdt.limit;
    if (selector & 4) {
        if (!(ldt->access & SOFT_PRESENT)) return false;
        base = ldt->base;
        limit = ldt->limit;
    }
    if ((selector & ~7u) + n_bytes - 1 > limit) return false;
    *out = base + (selector & ~7u);
    if (!soft_is_long(cpu)) *out = (uint32_t)*out;
    return true;
}

bool soft_descriptor_read(struct soft_cpu *cpu, uint16_t selector, unsigned n_bytes,
                          struct soft_descriptor *out, unsigned vector, unsigned external) {
    uint64_t address;
    *out = (struct soft_descriptor){0};
    if (!descriptor_address(cpu, selector, n_bytes, &address))
        return soft_fail(cpu, vector, (selector & ~3u) | external);
    return soft_read_system(cpu, address, out, n_bytes);
}

bool soft_descriptor_touch(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *d) {
    uint64_t address;
    if (d->low >> 40 & SOFT_ACCESSED) return true;
    d->low |= (uint64_t)SOFT_ACCESSED << 40;
    uint8_t access = (uint8_t)(d->low >> 40);
    return descriptor_address(cpu, selector, 8, &address) && soft_write_system(cpu, address + 5, &access, 1);
}

struct vm_segment soft_descriptor_segment(const struct soft_descriptor *d, uint16_t selector) {
    uint32_t limit = (d->low & 0xFFFF) | (d->low >> 32 & 0xF0000);
    uint16_t access = d->low >> 40 & 0xF0FF;
    return (struct vm_segment){
        .base = (d->low >> 16 & 0xFFFFFF) | (d->low >> 32 & 0xFF000000) | d->high << 32,
        .limit = access & SOFT_GRANULAR ? limit << 12 | 0xFFF : limit,
        .selector = selector,
        .access = access,
    };
}

/* ---- loading ---- */

static void load_real(struct soft_cpu *cpu, unsigned segment, uint16_t selector) {
    struct vm_segment *s = &cpu->segments[segment];
    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    if (cpu->mode != SOFT_V86) return; /* limit and rights stay: a real mode of 4 GiB is known to exist */
    s->limit = 0xFFFF;
    s->access = 0xF3;
}

bool soft_stack_segment(struct soft_cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector,
                        unsigned external, struct vm_segment *out) {
    struct soft_descriptor d;
    uint32_t error = (selector & ~3u) | external;
    if (soft_is_null(selector)) return soft_fail(cpu, vector, external);
    if (!soft_descriptor_read(cpu, selector, 8, &d, vector, external)) return false;
    unsigned access = soft_descriptor_access(&d);
    if ((selector & 3) != cpl || soft_dpl(access) != cpl || !soft_is_writable_data(access))
        return soft_fail(cpu, vector, error);
    if (!(access & SOFT_PRESENT)) return soft_fail(cpu, SOFT_STACK, error);
    if (!soft_descriptor_touch(cpu, selector, &d)) return false;
    *out = soft_descriptor_segment(&d, selector);
    return true;
}

static bool load_data(struct soft_cpu *cpu, unsigned segment, uint16_t selector) {
    struct soft_descriptor d;
    if (!soft_descriptor_read(cpu, selector, 8, &d, SOFT_GP, 0)) return false;
    unsigned access = soft_descriptor_access(&d), rpl = selector & 3;
    bool is_readable = (access & SOFT_NOT_SYSTEM) && (!soft_is_code(access) || (access & SOFT_TYPE_WRITE));
    bool is_open = soft_is_conforming(access) || (rpl <= soft_dpl(access) && cpu->cpl <= soft_dpl(access));
    if (!is_readable || !is_open) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    if (!(access & SOFT_PRESENT)) return soft_fail(cpu, SOFT_NP, selector & ~3u);
    if (!soft_descriptor_touch(cpu, selector, &d)) return false;
    cpu->segments[segment] = soft_descriptor_segment(&d, selector);
    return true;
}

bool soft_load_segment(struct soft_cpu *cpu, unsigned segment, uint16_t selector) {
    if (!soft_is_protected(cpu)) {
        load_real(cpu, segment, selector);
        return true;
    }
    if (segment == VM_SS) {
        bool null_is_fine = cpu->mode == SOFT_LONG64 && cpu->cpl < 3 && selector == cpu->cpl;
        if (!null_is_fine)
            return soft_stack_segment(cpu, selector, cpu->cpl, SOFT_GP, 0, &cpu->segments[VM_SS]);
        cpu->segments[VM_SS] = (struct vm_segment){.selector = selector, .access = (uint16_t)(cpu->cpl << 5)};
        return true;
    }
    if (!soft_is_null(selector)) return load_data(cpu, segment, selector);
    cpu->segments[segment] = (struct vm_segment){.selector = selector};
    return true;
}

void soft_drop_segments(struct soft_cpu *cpu) {
    static const uint8_t names[] = {VM_ES, VM_DS, VM_FS, VM_GS};
    for (unsigned i = 0; i < sizeof names; i++) {
        struct vm_segment *s = &cpu->segments[names[i]];
        if (soft_is_null(s->selector) || soft_dpl(s->access) >= cpu->cpl || soft_is_conforming(s->access))
            continue;
        *s = (struct vm_segment){.base = s->base}; /* as processors do it, and kernels' GS relies on it */
    }
}

void soft_set_code(struct soft_cpu *cpu, const struct vm_segment *code, unsigned cpl) {
    cpu->segments[VM_CS] = *code;
    cpu->segments[VM_CS].selector = (uint16_t)((code->selector & ~3u) | cpl);
    cpu->cpl = (uint8_t)cpl;
    soft_mode_changed(cpu);
    soft_view_changed(cpu);
}

/* ---- stacks ---- */

struct soft_stack soft_stack_now(struct soft_cpu *cpu) {
    unsigned n_bytes = soft_stack_bytes(cpu);
    return (struct soft_stack){
        .cpu = cpu,
        .ss = cpu->segments[VM_SS],
        .pointer = cpu->gpr[VM_RSP],
        .mask = n_bytes == 8   ? UINT64_MAX
                : n_bytes == 4 ? UINT32_MAX
                               : UINT16_MAX,
        .view = cpu->tlb.view,
        .is_flat = n_bytes == 8,
    };
}

static bool stack_linear(const struct soft_stack *stack, uint64_t offset, unsigned n_bytes, uint64_t *out) {
    *out = stack->is_flat ? offset : (uint32_t)(stack->ss.base + offset);
    bool ok = stack->is_flat ? soft_is_canonical(offset) && soft_is_canonical(offset + n_bytes - 1)
                             : soft_within(&stack->ss, offset, n_bytes);
    return ok || soft_fail(stack->cpu, SOFT_STACK, stack->error);
}

bool soft_stack_push(struct soft_stack *stack, uint64_t value, unsigned n_bytes) {
    uint64_t linear, offset = (stack->pointer - n_bytes) & stack->mask;
    if (!stack_linear(stack, offset, n_bytes, &linear)) return false;
    if (!soft_write_view(stack->cpu, stack->view, linear, &value, n_bytes)) return false;
    stack->pointer = offset;
    return true;
}

bool soft_stack_pop(struct soft_stack *stack, uint64_t *out_value, unsigned n_bytes) {
    uint64_t linear, offset = stack->pointer & stack->mask;
    *out_value = 0;
    if (!stack_linear(stack, offset, n_bytes, &linear)) return false;
    if (!soft_read_view(stack->cpu, stack->view, linear, out_value, n_bytes)) return false;
    stack->pointer = (offset + n_bytes) & stack->mask;
    return true;
}

void soft_stack_commit(const struct soft_stack *stack) {
    uint64_t *rsp = &stack->cpu->gpr[VM_RSP];
    *rsp = stack->mask == UINT16_MAX ? (*rsp & ~UINT64_C(0xFFFF)) | (stack->pointer & 0xFFFF)
                                     : stack->pointer & stack->mask;
}

/* ---- the task state ---- */

static bool tss_read(struct soft_cpu *cpu, unsigned offset, void *out, unsigned n_bytes, unsigned external) {
    const struct vm_segment *tss = &cpu->segments[VM_TR];
    if (!(tss->access & SOFT_PRESENT) || offset + n_bytes - 1 > tss->limit)
        return soft_fail(cpu, SOFT_TS, (tss->selector & ~3u) | external);
    uint64_t linear = tss->base + offset;
    return soft_read_system(cpu, soft_is_long(cpu) ? linear : (uint32_t)linear, out, n_bytes);
}

bool soft_tss_pointer(struct soft_cpu *cpu, unsigned cpl, unsigned ist, unsigned external,
                      uint64_t *out_pointer) {
    unsigned offset = ist ? 0x24 + 8 * (ist - 1) : 4 + 8 * cpl;
    if (!tss_read(cpu, offset, out_pointer, 8, external)) return false;
    return soft_is_canonical(*out_pointer) || soft_fail(cpu, SOFT_STACK, external);
}

bool soft_tss_stack(struct soft_cpu *cpu, unsigned cpl, unsigned external, struct vm_segment *out_ss,
                    uint64_t *out_pointer) {
    if (soft_is_long(cpu)) {
        *out_ss = (struct vm_segment){.selector = (uint16_t)cpl, .access = (uint16_t)(cpl << 5)};
        return soft_tss_pointer(cpu, cpl, 0, external, out_pointer);
    }
    uint32_t pointer = 0;
    uint16_t selector = 0;
    bool is_wide = cpu->segments[VM_TR].access & 8;
    unsigned at = is_wide ? 4 + 8 * cpl : 2 + 4 * cpl, n_bytes = is_wide ? 4 : 2;
    if (!tss_read(cpu, at, &pointer, n_bytes, external) ||
        !tss_read(cpu, at + n_bytes, &selector, 2, external))
        return false;
    *out_pointer = pointer;
    return soft_stack_segment(cpu, selector, cpl, SOFT_TS, external, out_ss);
}
