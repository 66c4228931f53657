/* sysvm/cpu/states.c: the states a loader leaves a processor in. */
#include <string.h>
#include "sysvm/cpu/engine.h"
#include "sysvm/layout.h"

/* access words, see struct vm_segment */
enum {
    CODE16 = 0x009B,
    DATA16 = 0x0093,
    CODE32 = 0xC09B,
    DATA32 = 0xC093,
    CODE64 = 0xA09B,
    TSS = 0x008B,
    LDT = 0x0082
};
enum { CR0_PE = 1 << 0, CR0_ET = 1 << 4, CR0_NE = 1 << 5, CR4_PAE = 1 << 5 };
#define CR0_PG     (UINT64_C(1) << 31)
#define EFER_LME   (UINT64_C(1) << 8)
#define EFER_LMA   (UINT64_C(1) << 10)
#define RFLAGS_ONE 2

/* Of the loader's GDT; the first two as Linux' boot protocol asks (__BOOT_CS, __BOOT_DS). */
enum { SELECTOR_CODE = 0x10, SELECTOR_DATA = 0x18, SELECTOR_TSS = 0x20 };

static void set_segments(struct vm_cpu_state *state, struct vm_segment code, struct vm_segment data) {
    for (int i = 0; i < VM_LDT; i++) state->segments[i] = i == VM_CS ? code : data;
    state->segments[VM_LDT] = (struct vm_segment){.limit = 0xFFFF, .access = LDT};
    state->segments[VM_TR] = (struct vm_segment){.limit = 0xFFFF, .access = TSS};
}

void vm_state_real(struct vm_cpu_state *out, uint16_t cs, uint16_t ip) {
    *out = (struct vm_cpu_state){.rip = ip, .rflags = RFLAGS_ONE, .cr0 = CR0_ET};
    out->gdt.limit = out->idt.limit = 0xFFFF;
    set_segments(out, (struct vm_segment){(uint64_t)cs << 4, 0xFFFF, cs, CODE16},
                 (struct vm_segment){0, 0xFFFF, 0, DATA16});
}

void vm_state_flat32(struct vm_cpu_state *out, uint32_t entry) {
    *out = (struct vm_cpu_state){.rip = entry, .rflags = RFLAGS_ONE, .cr0 = CR0_PE | CR0_ET};
    set_segments(out, (struct vm_segment){0, UINT32_MAX, SELECTOR_CODE, CODE32},
                 (struct vm_segment){0, UINT32_MAX, SELECTOR_DATA, DATA32});
    out->segments[VM_TR].limit = 0x67;
}

/* A descriptor: limit 15..0, base 23..0, access, limit 19..16 and flags, base 31..24. */
static uint64_t descriptor(const struct vm_segment *segment) {
    uint64_t limit = segment->access & 0x8000 ? segment->limit >> 12 : segment->limit;
    return (limit & 0xFFFF) | (segment->base & 0xFFFFFF) << 16 | (uint64_t)segment->access << 40 |
           (limit >> 16 & 0xF) << 48 | (segment->base >> 24 & 0xFF) << 56;
}

static bool write_gdt(struct vm_cpu_state *state, const struct vm_memory *memory) {
    uint64_t gdt[6] = {[SELECTOR_CODE / 8] = descriptor(&state->segments[VM_CS]),
                       [SELECTOR_DATA / 8] = descriptor(&state->segments[VM_DS]),
                       [SELECTOR_TSS / 8] = descriptor(&state->segments[VM_TR])};
    state->gdt.base = VM_BOOT_GDT;
    state->gdt.limit = sizeof gdt - 1;
    return vm_memory_write(memory, VM_BOOT_GDT, gdt, sizeof gdt);
}

/* One table of each upper level and four directories of 2 MiB pages: 4 GiB onto themselves. */
static bool write_page_tables(const struct vm_memory *memory) {
    enum { PRESENT_WRITABLE = 3, LARGE = 0x80, N_TABLES = 6, N_ENTRIES = 512 };
    uint64_t *tables = vm_memory_at(memory, VM_BOOT_TABLES, N_TABLES * VM_PAGE);
    if (!tables) return false;
    memset(tables, 0, N_TABLES * VM_PAGE);
    tables[0] = (VM_BOOT_TABLES + VM_PAGE) | PRESENT_WRITABLE;
    for (uint64_t i = 0; i < 4; i++)
        tables[N_ENTRIES + i] = (VM_BOOT_TABLES + (2 + i) * VM_PAGE) | PRESENT_WRITABLE;
    for (uint64_t i = 0; i < 4 * N_ENTRIES; i++)
        tables[2 * N_ENTRIES + i] = i << 21 | LARGE | PRESENT_WRITABLE;
    return true;
}

bool vm_state_long(struct vm_cpu_state *out, const struct vm_memory *memory, uint64_t entry) {
    vm_state_flat32(out, 0);
    out->rip = entry;
    out->segments[VM_CS].access = CODE64;
    out->cr0 |= CR0_PG | CR0_NE;
    out->cr3 = VM_BOOT_TABLES;
    out->cr4 = CR4_PAE;
    out->efer = EFER_LME | EFER_LMA;
    out->segments[VM_TR].selector = SELECTOR_TSS;
    return write_gdt(out, memory) && write_page_tables(memory);
}
