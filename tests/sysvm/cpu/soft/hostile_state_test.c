/* tests/sysvm/cpu/soft/hostile_state_test.c: a guest kernel that means harm: random descriptors, tables, page tables,
 * segments and registers, and code made mostly of privileged instructions. Nothing it does may reach the host: run
 * with the sanitizers this is a search, without them a check that all of it ends. Half of the guests are translated.
 *
 *   hostile_state_test [ROUNDS [SEED]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sysvm/cpu/engine.h"
#include "sysvm/cpu/soft/blocks.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"
#include "sysvm/cpu/translate/translate.h"
#include "sysvm/layout.h"

enum { HEAT_MAX = 64 };
enum { MEMORY = 2 << 20, ROUNDS = 6000, STEPS = 60, TABLES_BYTES = 6 * 4096, LOW_BYTES = 0x40000 };

struct search {
    uint64_t random;
    struct vm_memory *memory;
    uint8_t *bytes; /* of the guest */
    struct soft_cpu *cpu;
    bool translates;
    uint64_t n_steps, n_faults, n_ends, n_translated;
};

static uint64_t next(struct search *s) {
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

/* A value of a kind that finds borders. */
static uint64_t value(struct search *s) {
    uint64_t x = next(s);
    switch (next(s) % 8) {
    case 0: return x;
    case 1: return x & 0xFFFF;
    case 2: return (uint32_t)x;
    case 3: return 0;
    case 4: return x % MEMORY;
    case 5: return ~(x & 0xFFF);
    case 6: return UINT64_C(0x800000000000) - (x & 15);
    default: return x & 0xFF;
    }
}

/* ---- what it starts with ---- */

static void put_low_memory(struct search *s) {
    for (unsigned at = 0; at < LOW_BYTES; at += 8) {
        uint64_t x = value(s);
        memcpy(s->bytes + at, &x, 8);
    }
}

/* Over tables that map everything, entries that are odd in all ways. */
static void spoil_tables(struct search *s) {
    unsigned n = next(s) % 3 ? 4 : 400;
    for (unsigned i = 0; i < n; i++) {
        uint64_t plausible =
            (next(s) % MEMORY & ~UINT64_C(0xFFF)) | (next(s) & 0xFFF) | (next(s) % 4 ? 7 : 0);
        uint64_t entry = next(s) % 16 ? plausible : next(s);
        memcpy(s->bytes + VM_BOOT_TABLES + (next(s) % TABLES_BYTES & ~7u), &entry, 8);
    }
}

static void put_code(struct search *s, uint64_t at) {
    static const uint8_t opcodes[][3] = {
        {1, 0xCF},       {2, 0x48, 0xCF}, {1, 0xEA},       {1, 0x9A},       {1, 0xFF},       {2, 0x48, 0xFF},
        {1, 0xCB},       {1, 0xCA},       {2, 0x48, 0xCB}, {2, 0x0F, 0x00}, {2, 0x0F, 0x01}, {2, 0x0F, 0x02},
        {2, 0x0F, 0x03}, {2, 0x0F, 0x05}, {2, 0x0F, 0x07}, {2, 0x0F, 0x20}, {2, 0x0F, 0x22}, {2, 0x0F, 0x23},
        {2, 0x0F, 0x30}, {2, 0x0F, 0x32}, {2, 0x0F, 0x34}, {2, 0x0F, 0x35}, {1, 0x8E},       {1, 0x8C},
        {1, 0xCD},       {1, 0xCC},       {1, 0xF1},       {1, 0x9D},       {1, 0x9C},       {1, 0x6C},
        {1, 0x6F},       {1, 0xEC},       {1, 0xEF},       {2, 0x0F, 0xA1}, {2, 0x0F, 0xA9}, {2, 0x0F, 0xB2},
        {2, 0x0F, 0xA2}, {2, 0x0F, 0xAE}, {1, 0x63},       {1, 0x17},       {1, 0x1F},       {2, 0xF3, 0x6C},
        {2, 0xF3, 0x6F}, {2, 0x66, 0xCF}, {2, 0x0F, 0x31}, {1, 0xC8},       {1, 0xC9},       {1, 0xA5},
        {1, 0xDD},       {1, 0xD9},       {2, 0x0F, 0xC7}};
    static const uint8_t prefixes[] = {0x66, 0x67, 0x2E, 0x64, 0xF0, 0x48, 0xF3, 0xF2};
    uint8_t *code = s->bytes + at;
    for (unsigned i = 0; i < 64; i++) code[i] = (uint8_t)next(s);
    for (unsigned i = 0, n = 0; i < 12; i++) {
        const uint8_t *opcode = opcodes[next(s) % (sizeof opcodes / sizeof *opcodes)];
        if (next(s) % 8 == 0) code[n++] = prefixes[next(s) % sizeof prefixes];
        memcpy(code + n, opcode + 1, opcode[0]);
        n += opcode[0] + (unsigned)(next(s) % 2);
    }
}

static void choose_mode(struct search *s, struct vm_cpu_state *state) {
    enum { CODE16 = 0x9B, CODE32 = 0xC09B, CODE64 = 0xA09B };
    struct vm_segment *code = &state->segments[VM_CS];
    code->base = 0;
    code->limit = UINT32_MAX;
    code->access = CODE64;
    switch (next(s) % 6) {
    case 0:
        state->cr0 = SOFT_CR0_ET;
        state->efer = state->cr4 = 0;
        code->access = CODE16;
        return;
    case 1:
        state->cr0 = SOFT_CR0_ET | SOFT_CR0_PE;
        state->efer = 0;
        code->access = CODE32;
        if (next(s) % 4 == 0) state->rflags |= SOFT_VM;
        return;
    case 2:
        state->cr0 = SOFT_CR0_PG | SOFT_CR0_ET | SOFT_CR0_PE | (next(s) & SOFT_CR0_WP);
        state->efer = 0;
        state->cr4 = next(s) & (SOFT_CR4_PSE | SOFT_CR4_PAE);
        code->access = CODE32;
        return;
    case 3: code->access = CODE32; return;
    default: return;
    }
}

static void make_state(struct search *s, struct vm_cpu_state *state) {
    vm_state_long(state, s->memory, VM_KERNEL_BASE);
    for (unsigned i = 0; i < 16; i++) state->gpr[i] = value(s);
    for (unsigned i = 0; i < VM_N_SEGMENTS; i++)
        if (next(s) % 2)
            state->segments[i] =
                (struct vm_segment){value(s), (uint32_t)value(s), (uint16_t)value(s),
                                    (uint16_t)((next(s) & 0xF0FF) | (next(s) % 2 ? 0x80 : 0))};
    state->rip = VM_KERNEL_BASE + (next(s) % 4 ? 0 : 0xFF0 + next(s) % 16);
    state->rflags = (next(s) & 0x257FD7) | 2;
    state->gdt.base = next(s) % 4 ? next(s) % LOW_BYTES : value(s);
    state->idt.base = next(s) % 4 ? next(s) % LOW_BYTES : value(s);
    state->gdt.limit = (uint16_t)value(s);
    state->idt.limit = (uint16_t)value(s);
    choose_mode(s, state);
    state->cr4 |= next(s) & (SOFT_CR4_OSFXSR | SOFT_CR4_PGE | SOFT_CR4_UMIP | SOFT_CR4_FSGSBASE |
                             SOFT_CR4_SMEP | SOFT_CR4_SMAP);
    if (next(s) % 2) state->efer |= SOFT_EFER_SCE | SOFT_EFER_NXE;
}

/* ---- running it ---- */

/* As the processor's loop has them; a request that waits makes translated code leave wherever it may. */
static void take_requests(struct soft_cpu *cpu) {
    const uint32_t requests = atomic_exchange(&cpu->requests, 0);
    if (requests & SOFT_REQUEST_TLB) soft_tlb_flush(cpu, true);
    if (requests & SOFT_REQUEST_CODE) soft_translations_check(cpu);
    atomic_store(&cpu->requests, SOFT_REQUEST_KICK);
}

static enum soft_step step_on(struct search *s) {
    struct soft_cpu *cpu = s->cpu;
    take_requests(cpu);
    struct soft_block *block = s->translates && !cpu->interrupt_shadow ? soft_block_here(cpu) : NULL;
    for (unsigned i = 0; block && i < HEAT_MAX; i++) {
        if (!soft_translated_ready(cpu, block)) continue;
        s->n_translated++;
        return soft_translated_run(cpu, block);
    }
    cpu->interrupt_shadow = false;
    return soft_step_one(cpu);
}

static void run(struct search *s) {
    struct soft_cpu *cpu = s->cpu;
    for (unsigned i = 0; i < STEPS; i++, s->n_steps++) {
        enum soft_step step = step_on(s);
        bool goes_on = true;
        if (step == SOFT_FAULT) {
            s->n_faults++;
            goes_on = soft_deliver(cpu, SOFT_EVENT_FAULT, cpu->fault.vector);
        } else if (step == SOFT_HALT) {
            goes_on = soft_deliver(cpu, SOFT_EVENT_EXTERNAL, next(s) & 0xFF);
        }
        if (goes_on) continue;
        s->n_ends++;
        return;
    }
}

static void serve(void *context, const struct vm_exit *access) {
    struct search *s = context;
    if (!access->is_write) memset(access->data, (int)next(s), access->n_bytes);
}

static int search(struct search *s, uint64_t rounds) {
    struct vm_engine_config config = {
        .alloc = &atoll_default_alloc, .memory = s->memory, .n_cpus = 1, .serve = serve, .context = s};
    void *engine, *vcpu;
    if (vm_engine_soft.create(&config, &engine, NULL) != ATOLL_OK) return 1;
    if (vm_engine_soft.vcpu_new(engine, 0, &vcpu, NULL) != ATOLL_OK) return 1;
    s->cpu = vcpu;
    int status = 0;
    for (uint64_t i = 0; !status && i < rounds; i++) {
        struct vm_cpu_state state;
        if (i % 64 == 0) put_low_memory(s);
        make_state(s, &state);
        s->translates = i % 2;
        spoil_tables(s);
        put_code(s, VM_KERNEL_BASE);
        put_code(s, VM_KERNEL_BASE + 0xFE0);
        status = vm_engine_soft.set_state(vcpu, &state);
        run(s);
    }
    vm_engine_soft.vcpu_free(vcpu);
    vm_engine_soft.destroy(engine);
    return status;
}

int main(int argc, char **argv) {
    struct search s = {.random = argc > 2 ? strtoull(argv[2], NULL, 0) : UINT64_C(88172645463325252)};
    if (vm_memory_new(&atoll_default_alloc, MEMORY, &s.memory, NULL) != ATOLL_OK) return 1;
    s.bytes = vm_memory_at(s.memory, 0, MEMORY);
    int status = search(&s, argc > 1 ? strtoull(argv[1], NULL, 0) : ROUNDS);
    vm_memory_free(s.memory);
    printf("%llu instructions, %llu faults, %llu shutdowns, %llu times translated code\n",
           (unsigned long long)s.n_steps, (unsigned long long)s.n_faults, (unsigned long long)s.n_ends,
           (unsigned long long)s.n_translated);
    /* A search in which nothing runs, or nothing faults, is none. */
    return status || s.n_steps < s.n_ends || !s.n_translated || !s.n_faults || !s.n_ends ||
           s.n_faults == s.n_steps;
}
