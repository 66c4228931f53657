/* tests/sysvm/cpu/soft/soft_run.c: an instruction on the software CPU: a processor in 64-bit user mode, page tables that
 * map a case's code and data where they stand on this machine. */
#include <string.h>
#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/vector.h"
#include "sysvm/cpu/translate/translate.h"
#include "tests/sysvm/cpu/soft/native_case.h"

extern const struct vm_engine_ops vm_engine_soft;
enum { MEMORY_BYTES = 2 << 20, TABLES = 0x1000, CODE = 0x10000, DATA = 0x20000 };
enum { PRESENT = 1, WRITE = 2, USER = 4, ACCESSED = 32, DIRTY = 64 };
#define NO_EXECUTE (UINT64_C(1) << 63)

struct soft_guest {
    struct vm_memory *memory;
    struct soft_engine *engine;
    struct soft_cpu *cpu;
    uint8_t *code, *data;
};
static struct soft_guest guest_room;

static void map_page(struct soft_guest *g, uint64_t linear, uint64_t gpa, uint64_t bits) {
    /* One table a level is enough: level 2 has an entry for each of both. */
    uint64_t *tables = vm_memory_at(g->memory, TABLES, 5 * CASE_PAGE);
    unsigned last = linear < CASE_DATA ? 3 : 4;
    uint64_t up = PRESENT | WRITE | USER | ACCESSED;
    tables[0] = (TABLES + CASE_PAGE) | up;
    tables[512 + (linear >> 30 & 511)] = (TABLES + 2 * CASE_PAGE) | up;
    tables[1024 + (linear >> 21 & 511)] = (TABLES + last * CASE_PAGE) | up;
    tables[512 * last + (linear >> 12 & 511)] = gpa | bits | PRESENT | USER | ACCESSED;
}

static void map_case(struct soft_guest *g) {
    map_page(g, CASE_CODE, CODE, 0);
    for (unsigned at = 0; at < CASE_DATA_BYTES; at += CASE_PAGE)
        map_page(g, CASE_DATA + at, DATA + at, NO_EXECUTE | (at < CASE_WRITABLE ? WRITE | DIRTY : 0));
    g->code = vm_memory_at(g->memory, CODE, CASE_PAGE);
    g->data = vm_memory_at(g->memory, DATA, CASE_DATA_BYTES);
    memset(g->code, 0xCC, CASE_PAGE);
}

static void set_user_mode(struct soft_cpu *cpu) {
    const struct vm_segment code = {.limit = UINT32_MAX, .selector = 0x33, .access = 0xA0FB};
    const struct vm_segment data = {.limit = UINT32_MAX, .selector = 0x2B, .access = 0xC0F3};
    for (unsigned i = VM_ES; i <= VM_GS; i++) cpu->segments[i] = i == VM_CS ? code : data;
    cpu->segments[VM_TR] = (struct vm_segment){.limit = 0, .selector = 0x40, .access = 0x8B}; /* no ports */
    cpu->cr0 =
        SOFT_CR0_PG | SOFT_CR0_WP | SOFT_CR0_NE | SOFT_CR0_MP | SOFT_CR0_ET | SOFT_CR0_PE | SOFT_CR0_AM;
    cpu->cr3 = TABLES;
    cpu->cr4 = SOFT_CR4_PAE | SOFT_CR4_OSFXSR | SOFT_CR4_OSXMMEXCPT | SOFT_CR4_OSXSAVE | SOFT_CR4_FSGSBASE;
    cpu->efer = SOFT_EFER_LME | SOFT_EFER_LMA | SOFT_EFER_SCE | SOFT_EFER_NXE;
    cpu->xcr0 = 7;
    cpu->cpl = 3;
    soft_mode_changed(cpu);
    soft_tlb_flush(cpu, true);
}

struct soft_guest *soft_guest_new(void) {
    struct soft_guest *g = &guest_room;
    struct atoll_error err;
    void *engine, *cpu;
    if (vm_memory_new(&atoll_default_alloc, MEMORY_BYTES, &g->memory, &err)) return NULL;
    struct vm_engine_config config = {.alloc = &atoll_default_alloc, .memory = g->memory, .n_cpus = 1};
    if (vm_engine_soft.create(&config, &engine, &err)) return NULL;
    if (vm_engine_soft.vcpu_new(engine, 0, &cpu, &err)) return NULL;
    g->engine = engine;
    g->cpu = cpu;
    map_case(g);
    set_user_mode(g->cpu);
    return g;
}

void soft_guest_set_width(struct soft_guest *g, unsigned bits) {
    struct vm_segment *code = g->cpu->segments + VM_CS;
    code->selector = bits == 64 ? 0x33 : 0x23;
    code->access = bits == 64 ? 0xA0FB : 0xC0FB;
    soft_mode_changed(g->cpu);
}

static void put_code(struct soft_guest *g, const uint8_t *bytes, unsigned n) {
    memcpy(g->code + (CASE_RIP - CASE_CODE), bytes, n);
    soft_code_written(g->engine, CODE + (CASE_RIP - CASE_CODE), n);
}

static void put_state(struct soft_guest *g, const struct case_state *in) {
    struct soft_cpu *cpu = g->cpu;
    memcpy(cpu->gpr, in->gpr, sizeof cpu->gpr);
    cpu->rip = in->rip;
    cpu->rflags = in->rflags;
    memcpy(cpu->fp, in->fp, sizeof cpu->fp);
    memcpy(g->data, in->data, CASE_DATA_BYTES);
    soft_view_changed(cpu);
}

static void take_state(struct soft_guest *g, enum soft_step step, struct case_state *out) {
    const struct soft_cpu *cpu = g->cpu;
    memcpy(out->gpr, cpu->gpr, sizeof out->gpr);
    out->rip = cpu->rip;
    out->rflags = cpu->rflags & ~(uint64_t)SOFT_RF;
    memcpy(out->fp, cpu->fp, sizeof out->fp);
    memcpy(out->data, g->data, CASE_DATA_BYTES);
    bool faulted = step == SOFT_FAULT;
    out->vector = faulted ? cpu->fault.vector : CASE_RAN;
    out->error_code = faulted && cpu->fault.has_error_code ? cpu->fault.error_code : 0;
    out->cr2 = faulted && cpu->fault.vector == SOFT_PAGE ? cpu->fault.cr2 : 0;
}

/* A block of the one instruction, made hot: until the code that it became leaves. What has no block is interpreted. */
static enum soft_step run_translated(struct soft_cpu *cpu) {
    struct soft_block *block = soft_blocks_get(cpu, CODE + (cpu->rip - CASE_CODE));
    if (!block) return soft_step_one(cpu);
    block->n_insns = 1;
    block->n_bytes = block->insns[0].length;
    for (unsigned i = 0; i < 1000; i++)
        if (soft_translated_ready(cpu, block)) return soft_translated_run(cpu, block);
    return soft_step_one(cpu);
}

/* Until an exception, which the int3 behind the code is, or for as long as it takes to know that there is none. */
static enum soft_step run_on(struct soft_cpu *cpu, bool translated) {
    enum { TURNS_MAX = 1000, HOT = 100 };
    enum soft_step step = SOFT_NEXT;
    for (unsigned turn = 0; turn < TURNS_MAX && step != SOFT_FAULT; turn++) {
        const uint64_t offset = cpu->rip - CASE_CODE;
        struct soft_block *block =
            translated && offset < CASE_PAGE ? soft_blocks_get(cpu, CODE + offset) : NULL;
        bool ready = false;
        for (unsigned i = 0; block && i < HOT && !ready; i++) ready = soft_translated_ready(cpu, block);
        step = ready ? soft_translated_run(cpu, block) : soft_step_one(cpu);
        if (cpu->requests) soft_translations_check(cpu);
        cpu->requests = 0;
    }
    return step;
}

bool soft_guest_run_block(struct soft_guest *g, bool translated, bool is_cold, const uint8_t *bytes,
                          unsigned n, const struct case_state *in, struct case_state *out) {
    put_code(g, bytes, n);
    put_state(g, in);
    if (is_cold) soft_tlb_flush(g->cpu, true);
    enum soft_step step = run_on(g->cpu, translated);
    take_state(g, step, out);
    memset(g->code + (CASE_RIP - CASE_CODE), 0xCC, n);
    soft_code_written(g->engine, CODE + (CASE_RIP - CASE_CODE), n);
    soft_translations_check(g->cpu);
    return step == SOFT_FAULT;
}

bool soft_guest_run(struct soft_guest *g, bool translated, const uint8_t *bytes, unsigned n,
                    const struct case_state *in, struct case_state *out) {
    enum { STEPS_MAX = 1 << 20 };
    soft_guest_set_width(g, in->bits);
    put_code(g, bytes, n);
    put_state(g, in);
    enum soft_step step = SOFT_AGAIN;
    for (unsigned i = 0; i < STEPS_MAX && step == SOFT_AGAIN; i++)
        step = translated ? run_translated(g->cpu) : soft_step_one(g->cpu);
    g->cpu->requests = 0;
    soft_translations_check(g->cpu);
    take_state(g, step, out);
    memset(g->code + (CASE_RIP - CASE_CODE), 0xCC, n);
    soft_code_written(g->engine, CODE + (CASE_RIP - CASE_CODE), n);
    return step != SOFT_AGAIN;
}
