/* tests/fuzz/translate/runs.c: the two runs of a guest, and what has to be alike behind them. */
#include <Zydis/Zydis.h>
#include "sysvm/cpu/soft/blocks.h"
#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/soft/system.h"
#include "sysvm/cpu/translate/translate.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/translate/internal.h"

/* A run that is compared ends within so many instructions; the other one turns up fewer times between blocks. */
enum { STEPS_MAX = 10000, TURNS_MAX = 20000, TURNS_WITHOUT_END = 300, HEAT_MAX = 64 };

/* ---- from and to a processor ---- */

void guest_take_state(const struct soft_cpu *cpu, struct guest_state *out) {
    memset(out, 0, sizeof *out);
    memcpy(out->gpr, cpu->gpr, sizeof out->gpr);
    memcpy(out->segments, cpu->segments, sizeof out->segments);
    memcpy(out->dr, cpu->dr, sizeof out->dr);
    memcpy(out->fp, cpu->fp, sizeof out->fp);
    out->rip = cpu->rip, out->rflags = cpu->rflags;
    out->gdt_base = cpu->gdt.base, out->gdt_limit = cpu->gdt.limit;
    out->idt_base = cpu->idt.base, out->idt_limit = cpu->idt.limit;
    out->cr0 = cpu->cr0, out->cr2 = cpu->cr2, out->cr3 = cpu->cr3, out->cr4 = cpu->cr4;
    out->efer = cpu->efer, out->xcr0 = cpu->xcr0;
    out->msrs = cpu->msrs;
    out->cpl = cpu->cpl, out->halted = cpu->halted;
    out->interrupt_shadow = cpu->interrupt_shadow, out->nmi_blocked = cpu->nmi_blocked;
}

static void put_state(struct soft_cpu *cpu, const struct guest_state *s) {
    memcpy(cpu->gpr, s->gpr, sizeof cpu->gpr);
    memcpy(cpu->segments, s->segments, sizeof cpu->segments);
    memcpy(cpu->dr, s->dr, sizeof cpu->dr);
    memcpy(cpu->fp, s->fp, sizeof cpu->fp);
    cpu->rip = s->rip, cpu->rflags = s->rflags;
    cpu->gdt.base = s->gdt_base, cpu->gdt.limit = s->gdt_limit;
    cpu->idt.base = s->idt_base, cpu->idt.limit = s->idt_limit;
    cpu->cr0 = s->cr0, cpu->cr2 = s->cr2, cpu->cr3 = s->cr3, cpu->cr4 = s->cr4;
    cpu->efer = s->efer, cpu->xcr0 = s->xcr0;
    cpu->msrs = s->msrs;
    cpu->cpl = s->cpl, cpu->halted = s->halted;
    cpu->interrupt_shadow = s->interrupt_shadow, cpu->nmi_blocked = s->nmi_blocked;
    cpu->interrupt_waits = false;
    cpu->leave = (struct soft_leave){0};
    cpu->fault = (struct soft_fault){0};
    cpu->debug = (struct soft_debug){0};
    soft_debug_changed(cpu);
    soft_mode_changed(cpu);
    soft_tlb_flush(cpu, true);
}

static void begin(struct guest *g) {
    memcpy(vm_memory_at(g->memory, 0, GUEST_BYTES), g->first_memory, GUEST_BYTES);
    soft_code_written(g->engine, 0, GUEST_BYTES);
    soft_translations_check(g->cpu);
    put_state(g->cpu, &g->first);
    atomic_store(&g->cpu->requests, 0);
    g->devices = 0;
    if (!(g->header.mode & GUEST_WARM)) return;
    for (unsigned i = 0; i < GUEST_PAGES; i++)
        if (i != GUEST_CLEAN)
            soft_probe(g->cpu, CASE_DATA + i * (uint64_t)VM_PAGE, 1, true, g->cpu->cpl == 3);
}

static void take_outcome(struct guest *g, enum guest_end end, struct guest_outcome *out) {
    out->end = end;
    guest_take_state(g->cpu, &out->state);
    out->fault = end == GUEST_FAULTED ? g->cpu->fault : (struct soft_fault){0};
    out->devices = g->devices;
    memcpy(out->memory, vm_memory_at(g->memory, 0, GUEST_BYTES), GUEST_BYTES);
}

/* ---- one step ---- */

/* Clocks, random numbers, chips that go on by themselves; and what leads out of the memory that is compared. */
static bool is_repeatable(const struct soft_insn *insn) {
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
    case ZYDIS_MNEMONIC_RDMSR:
    case ZYDIS_MNEMONIC_WRMSR: return false;
    default: break;
    }
    return insn->operands[0].kind != SOFT_CR && insn->operands[1].kind != SOFT_CR;
}

/* What an instruction leaves in flags that the manual leaves open is the host's business where it runs there. */
static uint64_t left_open(const struct soft_insn *insn) {
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV: return SOFT_ARITHMETIC;
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR: return SOFT_OF | SOFT_AF;
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS: return SOFT_ARITHMETIC & ~(SOFT_CF | SOFT_ZF);
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD: return SOFT_ARITHMETIC;
    default: return 0;
    }
}

/* Follows which flags are open; who reads one takes the run out of the comparison. */
static void follow_flags(struct guest *g, const struct soft_insn *insn) {
    ZydisDecoder decoder;
    ZydisDecodedInstruction d;
    if (g->open_flags) {
        if (g->header.step & GUEST_32)
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
        else
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, insn->bytes, insn->length, &d)))
            return;
        const bool tells =
            d.meta.category == ZYDIS_CATEGORY_SYSCALL || d.meta.category == ZYDIS_CATEGORY_INTERRUPT;
        if (tells || (d.cpu_flags && d.cpu_flags->tested & g->open_flags)) g->is_told = true;
        const bool may_keep =
            d.meta.category == ZYDIS_CATEGORY_SHIFT || d.meta.category == ZYDIS_CATEGORY_ROTATE;
        if (d.cpu_flags && !may_keep)
            g->open_flags &= ~(uint64_t)(d.cpu_flags->modified | d.cpu_flags->set_0 | d.cpu_flags->set_1);
    }
    g->open_flags |= left_open(insn);
}

/* A repeated instruction that overwrites its own bytes: after how many turns that shows is nobody's promise. */
static bool replaces_itself(struct guest *g, const struct soft_insn *insn, uint64_t rip) {
    uint8_t bytes[SOFT_INSN_MAX];
    unsigned n = insn->length;
    if (!insn->rep && !insn->repne) return false;
    return !soft_fetch(g->cpu, rip, bytes, &n) || n < insn->length || memcmp(bytes, insn->bytes, n) != 0;
}

static enum soft_step interpret_one(struct guest *g) {
    struct soft_insn insn;
    if (!soft_fetch_insn(g->cpu, &insn)) return SOFT_FAULT;
    const uint64_t rip = g->cpu->rip;
    g->n_instructions++;
    const enum soft_step end = soft_retire(g->cpu, &insn, insn.run(g->cpu, &insn));
    if (end == SOFT_FAULT) return end;
    if (!is_repeatable(&insn)) g->is_repeatable = false;
    if (replaces_itself(g, &insn, rip)) g->is_told = true;
    follow_flags(g, &insn);
    return end;
}

/* As the processor's loop does it, but that blocks are hot at once. */
static enum soft_step run_hot(struct guest *g, unsigned turn) {
    struct soft_cpu *cpu = g->cpu;
    const bool is_lukewarm = g->header.mode & GUEST_LUKEWARM && (turn ^ turn >> 3 ^ g->seed) % 4 == 1;
    struct soft_block *block = is_lukewarm ? NULL : soft_block_here(cpu);
    for (unsigned i = 0; block && i < HEAT_MAX; i++)
        if (soft_translated_ready(cpu, block)) return soft_translated_run(cpu, block);
    return soft_step_one(cpu);
}

static void take_requests(struct soft_cpu *cpu) {
    const uint32_t requests = atomic_exchange(&cpu->requests, 0);
    if (requests & SOFT_REQUEST_TLB) soft_tlb_flush(cpu, true);
    if (requests & SOFT_REQUEST_CODE) soft_translations_check(cpu);
}

static enum soft_step step(struct guest *g, bool translated, unsigned turn) {
    struct soft_cpu *cpu = g->cpu;
    take_requests(cpu);
    if (translated && g->header.mode & GUEST_POLLS) atomic_store(&cpu->requests, SOFT_REQUEST_KICK);
    if (cpu->debugged || cpu->rflags & SOFT_TF || cpu->debug.is_held) {
        g->n_instructions++;
        return soft_run_debugged(cpu);
    }
    const bool in_shadow = cpu->interrupt_shadow;
    const enum soft_step end = !translated ? interpret_one(g)
                               : in_shadow ? soft_step_one(cpu)
                                           : run_hot(g, turn);
    if (in_shadow && end != SOFT_AGAIN && end != SOFT_FAULT) cpu->interrupt_shadow = false;
    return end;
}

static enum guest_end run(struct guest *g, bool translated, unsigned limit) {
    struct soft_cpu *cpu = g->cpu;
    for (unsigned turn = 0; turn < limit; turn++) {
        if (cpu->halted) return GUEST_HALTED;
        if (step(g, translated, turn) != SOFT_FAULT) continue;
        if (!(g->header.mode & GUEST_DELIVERS)) return GUEST_FAULTED;
        if (g->open_flags) g->is_told = true;
        if (!soft_deliver(cpu, SOFT_EVENT_FAULT, cpu->fault.vector)) return GUEST_SHUT_DOWN;
    }
    return GUEST_WENT_ON;
}

/* ---- what has to hold ---- */

/* Whatever translated code may reach lies in the guest's memory. */
static void check_tlb(const struct guest *g) {
    const uint64_t first = (uintptr_t)vm_memory_at(g->memory, 0, GUEST_BYTES);
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        const struct soft_tlb_view *view = &g->cpu->tlb.views[v];
        for (unsigned i = 0; i < SOFT_TLB_ENTRIES; i++) {
            const struct soft_tlb_entry *entry = view->entries + i;
            if (entry->read == SOFT_TLB_NONE(i) && entry->write == SOFT_TLB_NONE(i)) continue;
            FUZZ_CHECK(entry->host - first <= VM_MEMORY_MIN - VM_PAGE &&
                       entry->host % VM_PAGE == first % VM_PAGE);
        }
    }
}

static bool differs(const char *what, unsigned i, uint64_t x, uint64_t y, bool print) {
    if (x != y && print)
        fprintf(stderr, "    %s %x: interpreted %llx, translated %llx\n", what, i, (unsigned long long)x,
                (unsigned long long)y);
    return x != y;
}

static bool states_differ(const struct guest_state *x, const struct guest_state *y, uint64_t open_flags,
                          bool print) {
    static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr"};
    bool bad = false;
    for (unsigned i = 0; i < 16; i++) bad |= differs("gpr", i, x->gpr[i], y->gpr[i], print);
    for (unsigned i = 0; i < 8; i++) bad |= differs("dr", i, x->dr[i], y->dr[i], print);
    for (unsigned i = 0; i < VM_N_SEGMENTS; i++) {
        bad |= differs(segments[i], 0, x->segments[i].base, y->segments[i].base, print);
        bad |= differs(segments[i], 1, x->segments[i].selector, y->segments[i].selector, print);
        bad |= differs(segments[i], 2, x->segments[i].access, y->segments[i].access, print);
        bad |= differs(segments[i], 3, x->segments[i].limit, y->segments[i].limit, print);
    }
    bad |= differs("rip", 0, x->rip, y->rip, print);
    bad |= differs("rflags", 0, x->rflags & ~open_flags, y->rflags & ~open_flags, print);
    bad |= differs("cr", 0, x->cr0, y->cr0, print);
    bad |= differs("cr", 2, x->cr2, y->cr2, print);
    bad |= differs("cr", 3, x->cr3, y->cr3, print);
    bad |= differs("cr", 4, x->cr4, y->cr4, print);
    bad |= differs("efer", 0, x->efer, y->efer, print);
    bad |= differs("xcr", 0, x->xcr0, y->xcr0, print);
    bad |= differs("gdt", 0, x->gdt_base, y->gdt_base, print);
    bad |= differs("idt", 0, x->idt_base, y->idt_base, print);
    bad |= differs("gdt", 1, x->gdt_limit, y->gdt_limit, print);
    bad |= differs("idt", 1, x->idt_limit, y->idt_limit, print);
    bad |= differs("cpl", 0, x->cpl, y->cpl, print);
    bad |= differs("halted", 0, x->halted, y->halted, print);
    bad |= differs("nmi", 0, x->nmi_blocked, y->nmi_blocked, print);
    bad |= differs("msrs", 0, 0, memcmp(&x->msrs, &y->msrs, sizeof x->msrs) != 0, print);
    for (unsigned i = 0; i < SOFT_FP_BYTES; i++) /* the mask is the host's where its x87 unit was asked */
        if (i / 4 != FP_MXCSR_MASK / 4) bad |= differs("fp", i, x->fp[i], y->fp[i], print);
    return bad;
}

static bool outcomes_differ(const struct guest *g, bool print) {
    const struct guest_outcome *x = &g->interpreted, *y = &g->translated;
    bool bad = states_differ(&x->state, &y->state, g->open_flags, print);
    if (x->end != GUEST_FAULTED) /* its delivery ends the shadow */
        bad |= differs("shadow", 0, x->state.interrupt_shadow, y->state.interrupt_shadow, print);
    bad |= differs("end", 0, x->end, y->end, print);
    bad |= differs("devices", 0, x->devices, y->devices, print);
    bad |= differs("vector", 0, x->fault.vector, y->fault.vector, print);
    bad |= differs("error", 0, x->fault.error_code, y->fault.error_code, print);
    if (x->fault.vector == SOFT_PAGE) bad |= differs("fault cr", 2, x->fault.cr2, y->fault.cr2, print);
    if (!memcmp(x->memory, y->memory, GUEST_BYTES)) return bad;
    for (unsigned i = 0, n = 0; i < GUEST_BYTES && n < 64; i++)
        n += differs("memory", i, x->memory[i], y->memory[i], print);
    return true;
}

bool guest_agrees(bool print) {
    struct guest *g = guest_get();
    g->is_repeatable = true;
    g->is_told = false;
    g->open_flags = 0;
    g->n_instructions = 0;
    begin(g);
    take_outcome(g, run(g, false, STEPS_MAX), &g->interpreted);
    if (!g->is_repeatable) g->is_spoilt = true;
    /* One that does not end would go on without a look at anything. */
    if (!guest_compared()) g->header.mode |= GUEST_POLLS;
    begin(g);
    take_outcome(g, run(g, true, guest_compared() ? TURNS_MAX : TURNS_WITHOUT_END), &g->translated);
    check_tlb(g);
    return !guest_compared() || !outcomes_differ(g, print);
}

unsigned guest_instructions(void) { return guest_get()->n_instructions; }
bool guest_compared(void) {
    const struct guest *g = guest_get();
    return g->is_repeatable && !g->is_told && g->interpreted.end != GUEST_WENT_ON;
}
