/* sysvm/cpu/translate/run.c: translated code is entered, and what it leaves for is done. */
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/soft/operand.h"
#include "sysvm/cpu/soft/system_internal.h"
#include "sysvm/cpu/translate/internal.h"

enum { HOT = 24 };

static void flags_in(struct soft_cpu *cpu) {
    const uint64_t flags = cpu->rflags;
    cpu->flags = (uint16_t)((flags & 0xFF) << 8 | (flags >> 11 & 1));
}
static void flags_out(struct soft_cpu *cpu) { cpu->rflags = soft_flags_from(cpu->rflags, cpu->flags); }

/* Exceptions that the guest does not mask are found by native.c alone. */
uint8_t dbt_vectors(struct soft_cpu *cpu) {
    const uint32_t mxcsr = fp_get32(cpu, FP_MXCSR);
    if (cpu->cr0 & (SOFT_CR0_EM | SOFT_CR0_TS) || !(cpu->cr4 & SOFT_CR4_OSFXSR)) return 0;
    if ((mxcsr & MXCSR_MASKS) != MXCSR_MASKS) return 0;
    cpu->mxcsr = mxcsr;
    uint64_t upper[32], any = 0;
    memcpy(upper, cpu->fp + SOFT_FP_YMM_HIGH, sizeof upper);
    for (unsigned i = 0; i < 32; i++) any |= upper[i];
    cpu->wide = any != 0;
    return cpu->translator->has_avx && cpu->cr4 & SOFT_CR4_OSXSAVE && (cpu->xcr0 & 6) == 6 ? 2 : 1;
}

uint8_t dbt_x87_unit(const struct soft_cpu *cpu) {
    const bool is_ready = !(cpu->cr0 & (SOFT_CR0_EM | SOFT_CR0_TS)) && !(fp_get16(cpu, FP_FSW) & FSW_SUMMARY);
    return is_ready && (fp_get16(cpu, FP_FCW) & X87_FLAGS) == X87_FLAGS;
}

static bool is_flat(const struct vm_segment *segment) {
    const unsigned kept = SOFT_PRESENT | SOFT_TYPE_DOWN;
    return segment->limit == UINT32_MAX && (segment->access & kept) == SOFT_PRESENT &&
           soft_is_writable_data(segment->access);
}

uint8_t dbt_flat(const struct soft_cpu *cpu) {
    const struct vm_segment *s = cpu->segments;
    const bool is_32 = cpu->mode == SOFT_COMPAT32 || cpu->mode == SOFT_PROTECTED32;
    if (!is_32 || s[VM_CS].base || s[VM_CS].limit != UINT32_MAX || s[VM_SS].base || s[VM_DS].base) return 0;
    if (!is_flat(s + VM_SS) || !(s[VM_SS].access & SOFT_BIG) || !is_flat(s + VM_DS)) return 0;
    return (uint8_t)(SOFT_FLAT | (is_flat(s + VM_FS) ? SOFT_FLAT_FS : 0) |
                     (is_flat(s + VM_GS) ? SOFT_FLAT_GS : 0));
}

/* Whether code in the mode that the processor is in may be translated. */
static bool is_mode(const struct soft_cpu *cpu) { return cpu->mode == SOFT_LONG64 || dbt_flat(cpu); }

static bool has_segments(const struct soft_cpu *cpu, const struct soft_block *block) {
    if (block->mode == SOFT_LONG64) return true;
    const unsigned needed = SOFT_FLAT | block->segments;
    return (dbt_flat(cpu) & needed) == needed;
}

static bool has_registers(struct soft_cpu *cpu, const struct soft_block *block) {
    return block->vectors <= (block->vectors ? dbt_vectors(cpu) : 0) && (!block->x87 || dbt_x87_unit(cpu));
}

bool soft_translated_ready(struct soft_cpu *cpu, struct soft_block *block) {
    if (!has_segments(cpu, block)) return false;
    if (block->code) return has_registers(cpu, block);
    if (!cpu->translator || block->heat > HOT) return false;
    if (block->view == SOFT_VIEW_ALIGNED) return false;
    if (++block->heat <= HOT) return false;
    dbt_block(cpu->translator, block);
    return block->code && has_segments(cpu, block) && has_registers(cpu, block);
}

/* ---- an instruction by its handler ---- */

uint32_t dbt_step(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const enum soft_view view = cpu->tlb.view;
    cpu->rip = cpu->page_base + insn->offset;
    flags_out(cpu);
    enum soft_step step = insn->run(cpu, insn);
    cpu->translated.outcome = step;
    soft_retire(cpu, insn, step);
    if (step != SOFT_NEXT) return 1;
    flags_in(cpu);
    const bool keeps_vectors =
        (!cpu->vectors || dbt_vectors(cpu) >= cpu->vectors) && (!cpu->x87 || dbt_x87_unit(cpu));
    const bool pending =
        soft_apic_is_pending(cpu->apic); /* the end of another interrupt may have let it through */
    cpu->interrupt_waits = pending && !(cpu->rflags & SOFT_IF);
    /* Code that it wrote may be this block's; rights that it changed are not those the block was made for. */
    const bool keeps_segments = cpu->mode == SOFT_LONG64 || dbt_flat(cpu) == cpu->flat;
    if (cpu->tlb.view == view && keeps_vectors && keeps_segments && pending == cpu->interrupt_waits &&
        !(atomic_load_explicit(&cpu->requests, memory_order_relaxed) & SOFT_REQUEST_CODE))
        return 0;
    return 1;
}

/* Accesses of one group in two pages, where the TLB has the first of them: a stack frame, say, that lies so. Code that
 * meets such a place again and again is made anew, without groups; what runs along memory meets ever new ones. */
static void note_crossing(struct soft_cpu *cpu, const struct soft_insn *insn, struct soft_block *block) {
    enum { OFTEN = 128 };
    const struct soft_operand *o = insn->operands;
    const bool has_memory = o[0].kind == SOFT_MEM || o[1].kind == SOFT_MEM || o[2].kind == SOFT_MEM;
    uint64_t linear = has_memory ? soft_effective(cpu, insn) : cpu->gpr[VM_RSP];
    if (has_memory && (insn->segment == VM_FS || insn->segment == VM_GS))
        linear += cpu->segments[insn->segment].base;
    if (cpu->mode != SOFT_LONG64) linear = (uint32_t)linear;
    linear &= SOFT_PAGE_MASK;
    if (soft_tlb_entry(cpu, cpu->tlb.view, linear)->read != linear) return;
    if (block->crossed != linear) block->n_crossed = 0;
    block->crossed = linear;
    if (++block->n_crossed < OFTEN || block->goes_alone) return;
    block->goes_alone = true;
    dbt_close(cpu->translator, block);
}

void dbt_rest(struct soft_cpu *cpu, const struct soft_insn *insn, struct soft_block *block) {
    const struct soft_insn *end = block->insns + block->n_insns;
    enum soft_step step = SOFT_NEXT;
    cpu->rip = cpu->page_base + insn->offset;
    flags_out(cpu);
    note_crossing(cpu, insn, block);
    const enum soft_view view = cpu->tlb.view;
    for (; insn < end && step == SOFT_NEXT; insn++) {
        step = soft_retire(cpu, insn, insn->run(cpu, insn));
        if (!soft_block_lives(block) || cpu->tlb.view != view) break;
    }
    cpu->translated.outcome = step;
}

/* ---- runs ---- */

static uint32_t enter(struct soft_cpu *cpu, const struct soft_block *block) {
    union {
        const void *address;
        enter_code *code;
    } thunk = {cpu->translator->enter[block->x87 ? 2 : block->vectors != 0]};
    cpu->vectors = block->vectors || block->x87 ? dbt_vectors(cpu) : 0;
    cpu->x87 = block->x87;
    cpu->flat = block->mode == SOFT_LONG64 ? 0 : dbt_flat(cpu);
    cpu->page_base = cpu->rip & SOFT_PAGE_MASK;
    return thunk.code(cpu, block->code);
}

/* Where the code left, it may be joined with what comes now. */
static void arrive(struct soft_cpu *cpu, struct soft_block *block) {
    struct soft_translator *translator = cpu->translator;
    dbt_take_mode(translator, block);
    const bool joins = translator->pending && translator->pending_rip == cpu->rip &&
                       translator->pending_epoch == cpu->translated.epochs[block->view];
    if (joins) dbt_join(translator, translator->pending, block);
    if (!joins || block->view == SOFT_VIEW_USER) dbt_remember(translator, cpu->rip, block);
    translator->pending = 0;
}

/* After an instruction that ended a run: whether nothing has to happen before the next one, as soft_run would look for. */
static bool goes_on(struct soft_cpu *cpu) {
    const enum soft_step step = cpu->translated.outcome;
    if (step == SOFT_FAULT || step == SOFT_AGAIN || step == SOFT_HALT || !is_mode(cpu)) return false;
    if (cpu->interrupt_shadow || cpu->debugged || cpu->rflags & SOFT_TF || cpu->engine->counts) return false;
    const bool pending = soft_apic_is_pending(cpu->apic);
    cpu->interrupt_waits = pending && !(cpu->rflags & SOFT_IF);
    return pending == cpu->interrupt_waits;
}

/* False: the run ends. */
static bool leave(struct soft_cpu *cpu, uint32_t left) {
    struct soft_translator *translator = cpu->translator;
    const uint32_t argument = left & (LEFT_INDIRECT - 1);
    switch (left & ~(uint32_t)(LEFT_INDIRECT - 1)) {
    case LEFT_LINK: {
        const struct link *link = translator->links + argument;
        cpu->rip = cpu->page_base + (uint64_t)link->target;
        if (link->from->mode != SOFT_LONG64) cpu->rip = (uint32_t)cpu->rip;
        translator->pending = argument;
        translator->pending_rip = cpu->rip;
        translator->pending_epoch = cpu->translated.epochs[link->from->view];
        return true;
    }
    case LEFT_INDIRECT: return true;
    case LEFT_VECTORS: cpu->rip = cpu->page_base + argument; return true;
    case LEFT_BEFORE: cpu->rip = cpu->page_base + argument; return false;
    default: return goes_on(cpu);
    }
}

enum soft_step soft_translated_run(struct soft_cpu *cpu, struct soft_block *block) {
    for (;;) {
        arrive(cpu, block);
        cpu->translated.outcome = SOFT_JUMPED;
        flags_in(cpu);
        uint32_t left = enter(cpu, block);
        if (left != LEFT_STEP) flags_out(cpu);
        if (!leave(cpu, left) || atomic_load_explicit(&cpu->requests, memory_order_acquire)) break;
        block = soft_jump_find(cpu, cpu->rip);
        if (!block || !soft_translated_ready(cpu, block)) break;
    }
    return cpu->translated.outcome;
}
