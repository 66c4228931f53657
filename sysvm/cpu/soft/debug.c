/* sysvm/cpu/soft/debug.c: see debug.h. */
#include <Zydis/Zydis.h>
#include "sysvm/cpu/soft/blocks.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"

enum { N_REGISTERS = 4, ON_EXECUTION = 0, ON_WRITE = 1, ON_PORT = 2, DR6_STEP = 1 << 14 };

/* ---- what is armed ---- */

static unsigned condition_of(const struct soft_cpu *cpu, unsigned i) {
    return cpu->dr[7] >> (16 + 4 * i) & 3;
}

/* LEN: 1, 2, 8, 4 bytes. */
static unsigned length_of(const struct soft_cpu *cpu, unsigned i) {
    static const uint8_t lengths[] = {1, 2, 8, 4};
    return lengths[cpu->dr[7] >> (18 + 4 * i) & 3];
}

static uint64_t start_of(const struct soft_cpu *cpu, unsigned i) {
    return cpu->dr[i] & ~(uint64_t)(length_of(cpu, i) - 1);
}

static uint64_t filter_bit(uint64_t linear) { return UINT64_C(1) << (linear ^ linear >> 6) % 64; }

static void derive_registers(struct soft_cpu *cpu) {
    struct soft_debug *debug = &cpu->debug;
    debug->codes = debug->data = 0;
    for (unsigned i = 0; i < N_REGISTERS; i++) {
        unsigned condition = condition_of(cpu, i);
        if (!(cpu->dr[7] >> 2 * i & 3) || condition == ON_PORT) continue;
        if (condition == ON_EXECUTION)
            debug->codes |= (uint8_t)(1 << i);
        else
            debug->data |= (uint8_t)(1 << i);
    }
}

static void derive_list(struct soft_debug *debug) {
    debug->watches = debug->data != 0;
    debug->code_filter = 0;
    for (size_t i = 0; i < debug->spec.n; i++) {
        const struct vm_breakpoint *b = debug->spec.breakpoints + i;
        if (b->kind == VM_BREAK_CODE)
            debug->code_filter |= filter_bit(b->address);
        else
            debug->watches = true;
    }
}

void soft_debug_changed(struct soft_cpu *cpu) {
    struct soft_debug *debug = &cpu->debug;
    bool watched = debug->watches;
    derive_registers(cpu);
    derive_list(debug);
    debug->hits &= debug->data;
    cpu->debugged = cpu->engine->counts || debug->codes || debug->watches || debug->code_filter ||
                    debug->spec.is_stepping;
    if (watched || debug->watches) soft_tlb_flush(cpu, true); /* which pages have no tags */
}

static bool overlaps(uint64_t start, uint64_t n, uint64_t other, uint64_t n_other) {
    return other - start < n || start - other < n_other;
}

bool soft_debug_watches(const struct soft_cpu *cpu, uint64_t linear) {
    const struct soft_debug *debug = &cpu->debug;
    linear &= SOFT_PAGE_MASK;
    for (unsigned i = 0; i < N_REGISTERS; i++)
        if (debug->data >> i & 1 && (cpu->dr[i] & SOFT_PAGE_MASK) == linear) return true;
    for (size_t i = 0; i < debug->spec.n; i++) {
        const struct vm_breakpoint *b = debug->spec.breakpoints + i;
        if (b->kind != VM_BREAK_CODE && overlaps(linear, VM_PAGE, b->address, b->n_bytes)) return true;
    }
    return false;
}

/* ---- data ---- */

static void stop_soon(struct soft_debug *debug, enum vm_stop why, const struct vm_breakpoint *b) {
    if (debug->has_stop && debug->stop.stop != VM_STOP_STEP) return; /* the first tells */
    debug->has_stop = true;
    debug->stop = (struct vm_exit){.kind = VM_EXIT_DEBUG, .stop = why};
    if (!b) return;
    debug->stop.address = b->address;
    debug->stop.data_kind = b->kind;
}

void soft_debug_access(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes, bool write) {
    struct soft_debug *debug = &cpu->debug;
    for (unsigned i = 0; i < N_REGISTERS; i++)
        if (debug->data >> i & 1 && (write || condition_of(cpu, i) != ON_WRITE) &&
            overlaps(start_of(cpu, i), length_of(cpu, i), linear, n_bytes))
            debug->hits |= (uint8_t)(1 << i);
    for (size_t i = 0; i < debug->spec.n; i++) {
        const struct vm_breakpoint *b = debug->spec.breakpoints + i;
        bool told = b->kind == VM_BREAK_ACCESS || b->kind == (write ? VM_BREAK_WRITE : VM_BREAK_READ);
        if (told && overlaps(b->address, b->n_bytes, linear, n_bytes)) stop_soon(debug, VM_STOP_DATA, b);
    }
}

/* ---- before an instruction ---- */

static enum soft_step leave(struct soft_cpu *cpu) {
    cpu->fault = (struct soft_fault){.vector = SOFT_STOP};
    return SOFT_FAULT;
}

static enum soft_step trap(struct soft_cpu *cpu, uint64_t dr6) {
    cpu->fault = (struct soft_fault){.vector = SOFT_DB, .is_trap = true, .dr6 = dr6 | cpu->debug.hits};
    cpu->debug.hits = 0;
    return SOFT_FAULT;
}

static const struct vm_breakpoint *find_code(const struct soft_debug *debug, uint64_t linear) {
    for (size_t i = 0; i < debug->spec.n; i++)
        if (debug->spec.breakpoints[i].kind == VM_BREAK_CODE && debug->spec.breakpoints[i].address == linear)
            return debug->spec.breakpoints + i;
    return NULL;
}

/* True: the instruction at `linear` does not run, cpu->fault says what comes instead. */
static bool breaks_at(struct soft_cpu *cpu, uint64_t linear) {
    struct soft_debug *debug = &cpu->debug;
    if (cpu->rflags & SOFT_RF) return false;
    const struct vm_breakpoint *b = debug->code_filter & filter_bit(linear) ? find_code(debug, linear) : NULL;
    if (b) {
        stop_soon(debug, VM_STOP_CODE, b);
        leave(cpu);
        return true;
    }
    uint64_t dr6 = 0;
    for (unsigned i = 0; i < N_REGISTERS; i++)
        if (debug->codes >> i & 1 && cpu->dr[i] == linear) dr6 |= UINT64_C(1) << i;
    if (dr6) cpu->fault = (struct soft_fault){.vector = SOFT_DB, .dr6 = dr6};
    return dr6;
}

/* What an exception or interrupt left behind on its way into the handler. */
static bool is_due(struct soft_cpu *cpu) {
    if (cpu->debug.hits && !cpu->debug.is_held) {
        trap(cpu, 0);
        return true;
    }
    if (cpu->debug.has_stop) leave(cpu);
    return cpu->debug.has_stop;
}

/* ---- behind an instruction ---- */

static bool loads_ss(const struct soft_insn *insn) {
    return (insn->mnemonic == ZYDIS_MNEMONIC_MOV || insn->mnemonic == ZYDIS_MNEMONIC_POP) &&
           insn->operands[0].kind == SOFT_SEGMENT && insn->operands[0].reg == VM_SS;
}

/* One that did not run to its end has met nothing; its fault's handler is where a step arrives. */
static enum soft_step faulted(struct soft_cpu *cpu, uint64_t flags) {
    struct soft_debug *debug = &cpu->debug;
    debug->hits = 0;
    debug->has_stop = false;
    if (cpu->fault.vector == SOFT_LEAVE)
        cpu->rflags |= flags & SOFT_RF; /* it runs again from its beginning */
    else if (debug->spec.is_stepping)
        stop_soon(debug, VM_STOP_STEP, NULL);
    return SOFT_FAULT;
}

/* RF is for one instruction, or for all turns of a repeated one; iret sets it for the next. */
static enum soft_step run_one(struct soft_cpu *cpu, const struct soft_insn *insn) {
    struct soft_debug *debug = &cpu->debug;
    const uint64_t flags = cpu->rflags;
    const bool was_shadow = cpu->interrupt_shadow, was_held = debug->is_held;
    cpu->rflags &= ~(uint64_t)SOFT_RF;
    enum soft_step step = soft_retire(cpu, insn, insn->run(cpu, insn));
    if (cpu->engine->counts) soft_count(cpu);
    if (step == SOFT_FAULT) return faulted(cpu, flags);
    if (step == SOFT_AGAIN) cpu->rflags |= SOFT_RF;
    if (was_shadow && step != SOFT_AGAIN) cpu->interrupt_shadow = false;
    debug->is_held = !was_held && loads_ss(insn);
    if (debug->spec.is_stepping) stop_soon(debug, VM_STOP_STEP, NULL);
    if (debug->is_held && !debug->has_stop) return step;
    if (!debug->is_held && (debug->hits || flags & SOFT_TF)) return trap(cpu, flags & SOFT_TF ? DR6_STEP : 0);
    return debug->has_stop ? leave(cpu) : step;
}

static enum soft_step run_alone(struct soft_cpu *cpu) {
    struct soft_insn insn;
    if (!cpu->debug.is_held && breaks_at(cpu, soft_code_at(cpu))) return SOFT_FAULT;
    if (!soft_fetch_insn(cpu, &insn)) return faulted(cpu, cpu->rflags);
    return run_one(cpu, &insn);
}

static enum soft_step run_block(struct soft_cpu *cpu, const struct soft_block *block) {
    const struct soft_insn *insn = block->insns, *end = insn + block->n_insns;
    for (; insn < end && soft_block_lives(block); insn++) {
        if (breaks_at(cpu, soft_code_at(cpu))) return SOFT_FAULT;
        enum soft_step step = run_one(cpu, insn);
        if (step != SOFT_NEXT) return step;
        if (cpu->interrupt_shadow || cpu->rflags & SOFT_TF) break;
        if (cpu->engine->counts && soft_count_due(cpu)) break;
    }
    return SOFT_NEXT;
}

enum soft_step soft_run_debugged(struct soft_cpu *cpu) {
    if (is_due(cpu)) return SOFT_FAULT;
    if (cpu->rflags & SOFT_TF || cpu->debug.spec.is_stepping || cpu->interrupt_shadow || cpu->debug.is_held)
        return run_alone(cpu);
    const struct soft_block *block = soft_block_here(cpu);
    return block ? run_block(cpu, block) : run_alone(cpu);
}
