/* sysvm/cpu/soft/run.c: what a processor does all the time.
 *
 *   requests of others -> an interrupt that may come now -> a block of instructions -> its fault delivered -> ...
 *
 * Requests and interrupts are looked at between blocks. */
#include <sched.h>
#include <string.h>
#include "sysvm/cpu/soft/blocks.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"
#include "sysvm/cpu/soft/vector.h"
#include "sysvm/cpu/translate/translate.h"

/* ---- writers of code ---- */

/* Between blocks: this processor writes to no page of code in its fast path from here on. */
static void forget_writes(struct soft_cpu *cpu) {
    soft_tlb_flush(cpu, true);
    atomic_fetch_and(&cpu->requests, ~(uint32_t)SOFT_REQUEST_TLB);
}

static bool may_write(struct soft_cpu *other) {
    return atomic_load(&other->requests) & SOFT_REQUEST_TLB && atomic_load(&other->runs) &&
           !atomic_load(&other->sleeps);
}

/* Waits until no processor has the page open for writing: each has forgotten, or will before its next instruction.
 * Two that wait for each other answer each other here. */
void soft_stop_writers(struct soft_cpu *cpu, uint64_t gpa) {
    struct soft_engine *engine = cpu->engine;
    soft_tlb_forget_writes(cpu, gpa);
    for (unsigned i = 0; i < engine->config.n_cpus; i++)
        if (engine->cpus[i] && i != cpu->index) soft_wake(engine->cpus[i], SOFT_REQUEST_TLB);
    for (unsigned i = 0; i < engine->config.n_cpus; i++)
        while (engine->cpus[i] && i != cpu->index && may_write(engine->cpus[i])) {
            if (atomic_load(&cpu->requests) & SOFT_REQUEST_TLB) forget_writes(cpu);
            sched_yield();
        }
}

/* ---- one instruction ---- */

uint64_t soft_code_at(const struct soft_cpu *cpu) {
    return cpu->mode == SOFT_LONG64 ? cpu->rip : (uint32_t)(cpu->segments[VM_CS].base + cpu->rip);
}

static bool is_within_limit(const struct soft_cpu *cpu, unsigned n_bytes) {
    return cpu->mode == SOFT_LONG64 || cpu->rip + n_bytes - 1 <= cpu->segments[VM_CS].limit;
}

static void advance(struct soft_cpu *cpu, unsigned n_bytes) {
    cpu->rip += n_bytes;
    if (cpu->mode != SOFT_LONG64) cpu->rip = (uint32_t)cpu->rip;
}

/* As soft_decode, of bytes that may be known. */
static enum soft_decoded decode(struct soft_cpu *cpu, uint64_t linear, const uint8_t *bytes, unsigned n,
                                struct soft_insn *out) {
    struct soft_single *single = cpu->blocks->singles + (linear ^ linear >> 8) % SOFT_SINGLES;
    const struct soft_insn *known = &single->insn;
    if (known->length && single->mode == cpu->mode && known->length <= n &&
        !memcmp(known->bytes, bytes, known->length)) {
        *out = *known;
        return SOFT_DECODED;
    }
    enum soft_decoded decoded = soft_decode(cpu->mode, bytes, n, out);
    if (decoded != SOFT_DECODED) return decoded;
    soft_native_prepare(cpu, out);
    *single = (struct soft_single){(uint8_t)cpu->mode, *out};
    return SOFT_DECODED;
}

bool soft_fetch_insn(struct soft_cpu *cpu, struct soft_insn *out) {
    uint8_t bytes[SOFT_INSN_MAX];
    unsigned n = sizeof bytes;
    uint64_t linear = soft_code_at(cpu), unused;
    if (!is_within_limit(cpu, 1)) {
        soft_raise_gp(cpu, 0);
        return false;
    }
    if (!soft_fetch(cpu, linear, bytes, &n)) return false;
    switch (decode(cpu, linear, bytes, n, out)) {
    case SOFT_DECODED: break;
    case SOFT_DECODE_MORE: /* the next page cannot be fetched: that is the fault */
        if (soft_code_address(cpu, linear + n, &unused)) soft_raise_gp(cpu, 0);
        return false;
    case SOFT_DECODE_UD: soft_raise_ud(cpu); return false;
    case SOFT_DECODE_LONG: soft_raise_gp(cpu, 0); return false;
    }
    if (is_within_limit(cpu, out->length)) return true;
    soft_raise_gp(cpu, 0);
    return false;
}

enum soft_step soft_retire(struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_step step) {
    if (step == SOFT_FAULT) return step;
    if (cpu->leave.n_done) soft_leave_forget(cpu);
    if (step == SOFT_AGAIN) return step;
    if (step != SOFT_JUMPED) advance(cpu, insn->length);
    if (step == SOFT_HALT) cpu->halted = true;
    cpu->n_instructions++;
    return step;
}

enum soft_step soft_step_one(struct soft_cpu *cpu) {
    struct soft_insn insn;
    if (!soft_fetch_insn(cpu, &insn)) return SOFT_FAULT;
    return soft_retire(cpu, &insn, insn.run(cpu, &insn));
}

/* ---- blocks ---- */

static enum soft_step run_block(struct soft_cpu *cpu, const struct soft_block *block) {
    const struct soft_insn *insn = block->insns, *end = insn + block->n_insns;
    for (; insn < end; insn++) {
        enum soft_step step = insn->run(cpu, insn);
        if (step != SOFT_NEXT) {
            cpu->n_instructions += (uint64_t)(insn - block->insns);
            return soft_retire(cpu, insn, step);
        }
        cpu->rip += insn->length;
        if (cpu->leave.n_done) soft_leave_forget(cpu);
        /* It wrote to itself, or made an interrupt that may come behind it. */
        if (!soft_block_lives(block) || atomic_load_explicit(&cpu->requests, memory_order_relaxed)) {
            insn++;
            break;
        }
    }
    cpu->n_instructions += (uint64_t)(insn - block->insns);
    if (cpu->mode != SOFT_LONG64) cpu->rip = (uint32_t)cpu->rip;
    return SOFT_NEXT;
}

static struct soft_block *find_block(struct soft_cpu *cpu, uint64_t linear) {
    uint64_t gpa;
    if (!soft_code_address(cpu, linear, &gpa)) return NULL;
    struct soft_block *block = soft_blocks_get(cpu, gpa);
    if (block) soft_jump_keep(cpu, linear, block);
    return block;
}

struct soft_block *soft_block_here(struct soft_cpu *cpu) {
    const uint64_t linear = soft_code_at(cpu);
    struct soft_block *block = soft_jump_find(cpu, linear);
    if (!block) block = find_block(cpu, linear);
    return block && is_within_limit(cpu, block->n_bytes) ? block : NULL;
}

static enum soft_step run_some(struct soft_cpu *cpu) {
    struct soft_block *block = soft_block_here(cpu);
    if (!block) return soft_step_one(cpu);
    if (soft_translated_ready(cpu, block)) return soft_translated_run(cpu, block);
    return run_block(cpu, block);
}

/* ---- requests, interrupts ---- */

/* One is delivered, and one more kept, which during the first one's handler is the one that the processor latches. */
static bool takes_nmi(struct soft_cpu *cpu, uint32_t requests) {
    if (!(requests & SOFT_REQUEST_NMI)) return false;
    uint32_t two = 2;
    if (cpu->nmi_blocked) atomic_compare_exchange_strong(&cpu->nmis, &two, 1);
    return !cpu->nmi_blocked && !cpu->interrupt_shadow && !cpu->waits_for_sipi && !cpu->redelivers;
}

/* False: the run ends, *out says how. */
static bool take_requests(struct soft_cpu *cpu, struct vm_exit *out) {
    uint32_t requests = atomic_load(&cpu->requests);
    if (requests & SOFT_REQUEST_TLB) forget_writes(cpu);
    /* The flag only wakes: the APIC knows what waits. */
    uint32_t taken = requests & ~(uint32_t)(SOFT_REQUEST_NMI | SOFT_REQUEST_TLB);
    bool nmi = takes_nmi(cpu, requests);
    if (nmi) taken |= SOFT_REQUEST_NMI;
    atomic_fetch_and(&cpu->requests, ~taken);
    if (nmi && !atomic_load(&cpu->nmis)) nmi = false; /* it was taken with the one before */
    if (nmi && atomic_fetch_sub(&cpu->nmis, 1) > 1) atomic_fetch_or(&cpu->requests, SOFT_REQUEST_NMI);
    if (requests & SOFT_REQUEST_CODE) soft_translations_check(cpu);
    if (requests & SOFT_REQUEST_INIT) soft_take_init(cpu);
    if (requests & SOFT_REQUEST_SIPI) soft_take_sipi(cpu);
    if (nmi && !soft_deliver(cpu, SOFT_EVENT_NMI, SOFT_NMI)) {
        out->kind = VM_EXIT_RESET;
        return false;
    }
    return !(requests & SOFT_REQUEST_KICK);
}

/* A debugger's step goes on where the user looks, unless the processor waits for an interrupt. */
static bool takes_interrupts(const struct soft_cpu *cpu) {
    if (cpu->debugged && soft_debug_steps(&cpu->debug) && !cpu->halted) return false;
    return cpu->rflags & SOFT_IF && !cpu->interrupt_shadow && soft_apic_is_pending(cpu->apic);
}

/* False: a triple fault. */
static bool interrupt(struct soft_cpu *cpu) {
    int vector = soft_apic_acknowledge(cpu->apic);
    return vector < 0 || soft_deliver(cpu, SOFT_EVENT_EXTERNAL, (unsigned)vector);
}

/* ---- the loop ---- */

/* A request that cannot be taken yet (an NMI in an NMI) keeps nobody awake. */
static void wait_for_request(struct soft_cpu *cpu) {
    uint32_t held = atomic_load(&cpu->requests) & SOFT_REQUEST_NMI;
    if (held) atomic_fetch_and(&cpu->requests, ~held);
    soft_sleep(cpu);
    if (held) atomic_fetch_or(&cpu->requests, held);
}

/* False: the run ends, *out says how. */
static bool fault(struct soft_cpu *cpu, struct vm_exit *out) {
    if (cpu->fault.vector == SOFT_LEAVE) {
        cpu->leave.is_out = true;
        *out = cpu->leave.exit;
        return false;
    }
    if (cpu->fault.vector == SOFT_STOP) {
        cpu->debug.has_stop = false;
        *out = cpu->debug.stop;
        return false;
    }
    cpu->leave.n_done = cpu->leave.n_used = 0;
    if (soft_deliver(cpu, SOFT_EVENT_FAULT, cpu->fault.vector)) return true;
    out->kind = VM_EXIT_RESET;
    return false;
}

static bool run_once(struct soft_cpu *cpu, struct vm_exit *out) {
    if (atomic_load_explicit(&cpu->requests, memory_order_acquire) && !take_requests(cpu, out)) return false;
    if (cpu->waits_for_sipi) {
        wait_for_request(cpu);
        return true;
    }
    if (cpu->redelivers) {
        cpu->redelivers = false;
        return fault(cpu, out);
    }
    if (cpu->engine->counts) soft_count_run(cpu);
    cpu->interrupt_waits = !(cpu->rflags & SOFT_IF) && soft_apic_is_pending(cpu->apic);
    if (takes_interrupts(cpu) && !interrupt(cpu)) {
        out->kind = VM_EXIT_RESET;
        return false;
    }
    if (cpu->halted) {
        if (!cpu->engine->counts || !soft_count_skip(cpu)) wait_for_request(cpu);
        return true;
    }
    bool in_shadow = cpu->interrupt_shadow;
    if (cpu->debugged || cpu->rflags & SOFT_TF)
        return soft_run_debugged(cpu) != SOFT_FAULT || fault(cpu, out);
    enum soft_step step = in_shadow ? soft_step_one(cpu) : run_some(cpu);
    if (in_shadow && step != SOFT_AGAIN && step != SOFT_FAULT) cpu->interrupt_shadow = false;
    return step != SOFT_FAULT || fault(cpu, out);
}

void soft_run(struct soft_cpu *cpu, struct vm_exit *out_exit) {
    *out_exit = (struct vm_exit){.kind = VM_EXIT_NONE};
    soft_leave_return(cpu);
    atomic_store(&cpu->runs, 1);
    while (run_once(cpu, out_exit)) {}
    atomic_store(&cpu->runs, 0);
}
