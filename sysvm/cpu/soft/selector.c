/* sysvm/cpu/soft/selector.c: instructions on segment registers and selectors.
 * Source: Intel SDM volume 2, MOV, PUSH, POP, LDS, LLDT, LTR, SLDT, STR, LAR, LSL, VERR, ARPL. */
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system_internal.h"

/* ---- operands ---- */

bool soft_operand_read(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i, unsigned n_bytes,
                       uint64_t *out) {
    uint64_t linear;
    *out = 0;
    if (insn->operands[i].kind != SOFT_MEM) {
        *out = soft_gpr_get(cpu, insn->operands[i].reg, n_bytes);
        return true;
    }
    return soft_linear(cpu, insn, &linear, n_bytes, false) && soft_read(cpu, linear, out, n_bytes);
}

bool soft_operand_write(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i, unsigned n_bytes,
                        uint64_t value) {
    uint64_t linear;
    if (insn->operands[i].kind != SOFT_MEM) {
        soft_gpr_set(cpu, insn->operands[i].reg, n_bytes, value);
        return true;
    }
    return soft_linear(cpu, insn, &linear, n_bytes, true) && soft_write(cpu, linear, &value, n_bytes);
}

/* A selector goes to memory as 2 bytes, to a register in the operand's size. */
static enum soft_step store_selector(struct soft_cpu *cpu, const struct soft_insn *insn, uint16_t selector) {
    unsigned n_bytes = insn->operands[0].kind == SOFT_MEM ? 2 : insn->operand_bytes;
    return soft_operand_write(cpu, insn, 0, n_bytes, selector) ? SOFT_NEXT : SOFT_FAULT;
}

/* ---- segment registers ---- */

static enum soft_step loaded(struct soft_cpu *cpu, unsigned segment) {
    if (segment != VM_SS) return SOFT_NEXT;
    cpu->interrupt_shadow = true; /* the stack pointer follows */
    return SOFT_END;
}

enum soft_step soft_move_segment(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const struct soft_operand *to = &insn->operands[0], *from = &insn->operands[1];
    uint64_t selector;
    if (to->kind != SOFT_SEGMENT) return store_selector(cpu, insn, cpu->segments[from->reg].selector);
    if (to->reg == VM_CS || to->reg > VM_GS) return soft_raise_ud(cpu);
    if (!soft_operand_read(cpu, insn, 1, 2, &selector) ||
        !soft_load_segment(cpu, to->reg, (uint16_t)selector))
        return SOFT_FAULT;
    return loaded(cpu, to->reg);
}

/* 16 bits are written, the pointer moves by the operand size. */
enum soft_step soft_push_segment(struct soft_cpu *cpu, const struct soft_insn *insn) {
    struct soft_stack stack = soft_stack_now(cpu);
    if (!soft_stack_push(&stack, cpu->segments[insn->operands[0].reg].selector, insn->operand_bytes))
        return SOFT_FAULT;
    soft_stack_commit(&stack);
    return SOFT_NEXT;
}

enum soft_step soft_pop_segment(struct soft_cpu *cpu, const struct soft_insn *insn) {
    unsigned segment = insn->operands[0].reg;
    struct soft_stack stack = soft_stack_now(cpu);
    uint64_t selector;
    if (segment == VM_CS || segment > VM_GS) return soft_raise_ud(cpu);
    if (!soft_stack_pop(&stack, &selector, insn->operand_bytes) ||
        !soft_load_segment(cpu, segment, (uint16_t)selector))
        return SOFT_FAULT;
    soft_stack_commit(&stack);
    return loaded(cpu, segment);
}

static enum soft_step load_far_pointer(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment) {
    unsigned width = insn->operand_bytes;
    uint8_t bytes[10];
    uint64_t linear, offset = 0;
    uint16_t selector;
    if (insn->operands[1].kind != SOFT_MEM) return soft_raise_ud(cpu);
    if (!soft_linear(cpu, insn, &linear, width + 2, false) || !soft_read(cpu, linear, bytes, width + 2))
        return SOFT_FAULT;
    memcpy(&offset, bytes, width);
    memcpy(&selector, bytes + width, 2);
    if (!soft_load_segment(cpu, segment, selector)) return SOFT_FAULT;
    soft_gpr_set(cpu, insn->operands[0].reg, width, offset);
    return SOFT_NEXT;
}

enum soft_step soft_lds(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return load_far_pointer(cpu, insn, VM_DS);
}
enum soft_step soft_les(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return load_far_pointer(cpu, insn, VM_ES);
}
enum soft_step soft_lfs(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return load_far_pointer(cpu, insn, VM_FS);
}
enum soft_step soft_lgs(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return load_far_pointer(cpu, insn, VM_GS);
}
enum soft_step soft_lss(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return load_far_pointer(cpu, insn, VM_SS);
}

/* ---- LDTR, TR ---- */

/* A system segment of a selector in the GDT: #GP of the selector unless `type` allows it, #NP where it is not there. */
static bool read_system(struct soft_cpu *cpu, uint16_t selector, bool is_tss, struct vm_segment *out) {
    struct soft_descriptor d;
    if (selector & 4) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    if (!soft_descriptor_read(cpu, selector, soft_is_long(cpu) ? 16 : 8, &d, SOFT_GP, 0)) return false;
    unsigned access = soft_descriptor_access(&d), type = access & 0x1F;
    bool ok = is_tss ? type == SOFT_TSS || (type == SOFT_TSS16 && !soft_is_long(cpu)) : type == SOFT_TYPE_LDT;
    if (!ok || (d.high >> 40 & 0x1F)) return soft_fail(cpu, SOFT_GP, selector & ~3u);
    if (!(access & SOFT_PRESENT)) return soft_fail(cpu, SOFT_NP, selector & ~3u);
    *out = soft_descriptor_segment(&d, selector);
    return soft_is_canonical(out->base) || soft_fail(cpu, SOFT_GP, selector & ~3u);
}

enum soft_step soft_lldt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t selector;
    struct vm_segment ldt = {0};
    if (!soft_is_protected(cpu)) return soft_raise_ud(cpu);
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    if (!soft_operand_read(cpu, insn, 0, 2, &selector)) return SOFT_FAULT;
    ldt.selector = (uint16_t)selector;
    if (!soft_is_null(ldt.selector) && !read_system(cpu, ldt.selector, false, &ldt)) return SOFT_FAULT;
    cpu->segments[VM_LDT] = ldt;
    return SOFT_NEXT;
}

enum soft_step soft_ltr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    enum { BUSY = 2 };
    uint64_t selector;
    struct vm_segment tss;
    if (!soft_is_protected(cpu)) return soft_raise_ud(cpu);
    if (cpu->cpl) return soft_raise_gp(cpu, 0);
    if (!soft_operand_read(cpu, insn, 0, 2, &selector)) return SOFT_FAULT;
    if (soft_is_null((uint16_t)selector)) return soft_raise_gp(cpu, 0);
    if (!read_system(cpu, (uint16_t)selector, true, &tss)) return SOFT_FAULT;
    tss.access |= BUSY;
    uint8_t access = (uint8_t)tss.access;
    uint64_t at = cpu->gdt.base + (selector & ~7u) + 5;
    if (!soft_write_system(cpu, soft_is_long(cpu) ? at : (uint32_t)at, &access, 1)) return SOFT_FAULT;
    cpu->segments[VM_TR] = tss;
    return SOFT_NEXT;
}

static enum soft_step store_system(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment) {
    if (!soft_is_protected(cpu)) return soft_raise_ud(cpu);
    if (cpu->cpl && (cpu->cr4 & SOFT_CR4_UMIP)) return soft_raise_gp(cpu, 0);
    return store_selector(cpu, insn, cpu->segments[segment].selector);
}

enum soft_step soft_sldt(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return store_system(cpu, insn, VM_LDT);
}
enum soft_step soft_str(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return store_system(cpu, insn, VM_TR);
}

/* ---- asking about a selector ---- */

/* The descriptor of a selector where it may be looked at; *out_known false where it may not. False: a fault on the way
 * (of memory). */
static bool look_at(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *out, bool *out_known) {
    *out_known = false;
    if (soft_is_null(selector)) return true;
    if (!soft_descriptor_read(cpu, selector, 8, out, SOFT_GP, 0)) return cpu->fault.vector == SOFT_GP;
    unsigned access = soft_descriptor_access(out), dpl = soft_dpl(access);
    *out_known = soft_is_conforming(access) || (dpl >= cpu->cpl && dpl >= (selector & 3u));
    return true;
}

static void set_zf(struct soft_cpu *cpu, bool on) {
    cpu->rflags = on ? cpu->rflags | SOFT_ZF : cpu->rflags & ~(uint64_t)SOFT_ZF;
}

/* Types that lar and lsl tell, a bit each: system types by what they are, in and outside long mode. */
static bool is_told(const struct soft_cpu *cpu, unsigned access, bool limit) {
    enum {
        SEGMENTS = 1 << SOFT_TYPE_LDT | 1 << SOFT_TSS | 1 << SOFT_TSS_BUSY,
        SEGMENTS16 = 1 << SOFT_TSS16 | 1 << SOFT_TSS16_BUSY,
        GATES = 1 << SOFT_CALL_GATE,
        GATES16 = 1 << SOFT_CALL_GATE16 | 1 << SOFT_TASK_GATE
    };
    if (access & SOFT_NOT_SYSTEM) return true;
    unsigned told = SEGMENTS | (limit ? 0 : GATES);
    if (!soft_is_long(cpu)) told |= SEGMENTS16 | (limit ? 0 : GATES16);
    return told >> (access & 0xF) & 1;
}

static enum soft_step tell(struct soft_cpu *cpu, const struct soft_insn *insn, bool limit) {
    uint64_t selector;
    struct soft_descriptor d;
    bool known;
    if (!soft_is_protected(cpu)) return soft_raise_ud(cpu);
    if (!soft_operand_read(cpu, insn, 1, 2, &selector) || !look_at(cpu, (uint16_t)selector, &d, &known))
        return SOFT_FAULT;
    known = known && is_told(cpu, soft_descriptor_access(&d), limit);
    set_zf(cpu, known);
    if (!known) return SOFT_NEXT;
    uint64_t value = limit ? soft_descriptor_segment(&d, 0).limit : d.low >> 32 & 0xF0FF00;
    if (!limit && insn->operand_bytes == 2) value &= 0xFF00;
    soft_gpr_set(cpu, insn->operands[0].reg, insn->operand_bytes, value);
    return SOFT_NEXT;
}

enum soft_step soft_lar(struct soft_cpu *cpu, const struct soft_insn *insn) { return tell(cpu, insn, false); }
enum soft_step soft_lsl(struct soft_cpu *cpu, const struct soft_insn *insn) { return tell(cpu, insn, true); }

static enum soft_step verify(struct soft_cpu *cpu, const struct soft_insn *insn, bool write) {
    uint64_t selector;
    struct soft_descriptor d;
    bool known;
    if (!soft_is_protected(cpu)) return soft_raise_ud(cpu);
    if (!soft_operand_read(cpu, insn, 0, 2, &selector) || !look_at(cpu, (uint16_t)selector, &d, &known))
        return SOFT_FAULT;
    unsigned access = known ? soft_descriptor_access(&d) : 0;
    bool readable = (access & SOFT_NOT_SYSTEM) && (!soft_is_code(access) || (access & SOFT_TYPE_WRITE));
    set_zf(cpu, write ? soft_is_writable_data(access) : readable);
    return SOFT_NEXT;
}

enum soft_step soft_verr(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return verify(cpu, insn, false);
}
enum soft_step soft_verw(struct soft_cpu *cpu, const struct soft_insn *insn) {
    return verify(cpu, insn, true);
}

enum soft_step soft_arpl(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t to, from;
    if (!soft_is_protected(cpu)) return soft_raise_ud(cpu);
    if (!soft_operand_read(cpu, insn, 0, 2, &to)) return SOFT_FAULT;
    from = cpu->gpr[insn->operands[1].reg];
    bool raises = (to & 3) < (from & 3);
    if (raises && !soft_operand_write(cpu, insn, 0, 2, (to & ~UINT64_C(3)) | (from & 3))) return SOFT_FAULT;
    set_zf(cpu, raises);
    return SOFT_NEXT;
}
