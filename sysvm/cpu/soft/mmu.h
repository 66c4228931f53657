/* sysvm/cpu/soft/mmu.h: memory as instructions see it: segments, paging, RAM, devices.
 *
 *   insn + registers -> linear address (segment.c's checks) -> TLB (tlb.h) -> host address
 *                                                         miss -> walk.c: page tables -> access.c: fill, RAM or device
 *
 * Functions that return bool: false = the access faults, cpu->fault is filled and nothing has changed.
 * Where no RAM is: the processor's own APIC page, else what the engine makes of it (soft_device). */
#ifndef ATOLL_SYSVM_SOFT_MMU_H
#define ATOLL_SYSVM_SOFT_MMU_H

#include <string.h>
#include "sysvm/cpu/soft/insn.h"
#include "sysvm/layout.h"

#define SOFT_PAGE_MASK UINT64_C(0xFFFFFFFFFFFFF000)
/* What addresses are made of; CPUID 0x80000008 says so. */
enum { SOFT_PHYSICAL_BITS = 46, SOFT_LINEAR_BITS = 48 };

/* ---- addresses ---- */

/* The offset of the memory operand in its segment, cut to the address size: what lea gives. */
static inline uint64_t soft_effective(const struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t offset = (uint64_t)insn->displacement;
    if (insn->base == SOFT_RIP)
        offset += cpu->rip + insn->length;
    else if (insn->base != SOFT_NO_REG)
        offset += cpu->gpr[insn->base];
    if (insn->index != SOFT_NO_REG) offset += cpu->gpr[insn->index] * insn->scale;
    if (insn->address_bytes == 8) return offset;
    return insn->address_bytes == 4 ? (uint32_t)offset : (uint16_t)offset;
}

static inline bool soft_is_canonical(uint64_t linear) {
    return (uint64_t)((int64_t)(linear << (64 - SOFT_LINEAR_BITS)) >> (64 - SOFT_LINEAR_BITS)) == linear;
}

/* As soft_linear_at outside 64-bit mode, and for what is not canonical. */
bool soft_linear_slow(struct soft_cpu *cpu, unsigned segment, uint64_t offset, unsigned n_bytes, bool write,
                      uint64_t *out_linear);

/* Linear address of n_bytes at an offset: limits and rights of the segment outside 64-bit mode, canonical form inside.
 * False: #GP(0), or #SS(0) of the stack segment. */
static inline bool soft_linear_at(struct soft_cpu *cpu, unsigned segment, uint64_t offset, unsigned n_bytes,
                                  bool write, uint64_t *out_linear) {
    if (cpu->mode != SOFT_LONG64) return soft_linear_slow(cpu, segment, offset, n_bytes, write, out_linear);
    uint64_t linear = segment == VM_FS || segment == VM_GS ? cpu->segments[segment].base + offset : offset;
    *out_linear = linear;
    if (soft_is_canonical(linear) && soft_is_canonical(linear + n_bytes - 1)) return true;
    return soft_linear_slow(cpu, segment, offset, n_bytes, write, out_linear);
}

/* The same of the memory operand. */
static inline bool soft_linear(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t *out_linear,
                               unsigned n_bytes, bool write) {
    return soft_linear_at(cpu, insn->segment, soft_effective(cpu, insn), n_bytes, write, out_linear);
}

/* ---- accesses; linear addresses come from the functions above ---- */

bool soft_read_slow(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, void *out, unsigned n_bytes);
bool soft_write_slow(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, const void *bytes,
                     unsigned n_bytes);

static inline struct soft_tlb_entry *soft_tlb_entry(struct soft_cpu *cpu, enum soft_view view,
                                                    uint64_t linear) {
    return &cpu->tlb.views[view].entries[linear / VM_PAGE % SOFT_TLB_ENTRIES];
}

/* The byte at `linear` of the page that the entry is for. */
static inline void *soft_tlb_host(const struct soft_tlb_entry *entry, uint64_t linear) {
    return (void *)(uintptr_t)(entry->host + linear % VM_PAGE);
}

/* One access where the host has one of that width: what another processor sees is never half of it. */
static inline void soft_copy(void *to, const void *from, unsigned n_bytes) {
    switch (n_bytes) {
    case 1: memcpy(to, from, 1); return;
    case 2: memcpy(to, from, 2); return;
    case 4: memcpy(to, from, 4); return;
    case 8: memcpy(to, from, 8); return;
    default: memcpy(to, from, n_bytes);
    }
}

static inline bool soft_read_view(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, void *out,
                                  unsigned n_bytes) {
    const struct soft_tlb_entry *entry = soft_tlb_entry(cpu, view, linear);
    if (((linear + n_bytes - 1) & SOFT_PAGE_MASK) != entry->read)
        return soft_read_slow(cpu, view, linear, out, n_bytes);
    soft_copy(out, soft_tlb_host(entry, linear), n_bytes);
    return true;
}

static inline bool soft_write_view(struct soft_cpu *cpu, enum soft_view view, uint64_t linear,
                                   const void *bytes, unsigned n_bytes) {
    const struct soft_tlb_entry *entry = soft_tlb_entry(cpu, view, linear);
    if (((linear + n_bytes - 1) & SOFT_PAGE_MASK) != entry->write)
        return soft_write_slow(cpu, view, linear, bytes, n_bytes);
    soft_copy(soft_tlb_host(entry, linear), bytes, n_bytes);
    return true;
}

/* Any alignment, 1 to 4096 bytes, across pages; a fault leaves memory and *out as they were. */
static inline bool soft_read(struct soft_cpu *cpu, uint64_t linear, void *out, unsigned n_bytes) {
    return soft_read_view(cpu, cpu->tlb.view, linear, out, n_bytes);
}
static inline bool soft_write(struct soft_cpu *cpu, uint64_t linear, const void *bytes, unsigned n_bytes) {
    return soft_write_view(cpu, cpu->tlb.view, linear, bytes, n_bytes);
}
/* Supervisor accesses whatever the privilege is: descriptors, TSS, IDT. */
static inline bool soft_read_system(struct soft_cpu *cpu, uint64_t linear, void *out, unsigned n_bytes) {
    return soft_read_view(cpu, SOFT_VIEW_KERNEL, linear, out, n_bytes);
}
static inline bool soft_write_system(struct soft_cpu *cpu, uint64_t linear, const void *bytes,
                                     unsigned n_bytes) {
    return soft_write_view(cpu, SOFT_VIEW_KERNEL, linear, bytes, n_bytes);
}

/* The host address for an atomic read-modify-write within one page of RAM. NULL with cpu->fault set; or NULL with
 * fault.vector == SOFT_NO_FAULT: not RAM, or it crosses pages: soft_read and soft_write under the engine's split lock.
 * Code decoded from those bytes is forgotten before this returns. */
void *soft_writable(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes);
/* Whether an access would succeed, as soft_read and soft_write do it; A and D bits are set. user: with the rights of
 * CPL 3, else those of the instruction that runs. */
bool soft_probe(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes, bool write, bool user);

/* ---- code ---- */

/* Up to *in_out_n bytes of code at a linear address; stops short at a page that cannot be fetched. False (page fault
 * with the I bit, or #GP of an address that is not canonical) when not even the first byte can. Where no RAM is, bytes
 * are 0xFF. */
bool soft_fetch(struct soft_cpu *cpu, uint64_t linear, uint8_t *out, unsigned *in_out_n);
/* The physical address of code at `linear`, checked for execution. */
bool soft_code_address(struct soft_cpu *cpu, uint64_t linear, uint64_t *out_gpa);
/* No entry of this processor may write to the page in its fast path any more: code was found in it. */
void soft_tlb_forget_writes(struct soft_cpu *cpu, uint64_t gpa);

/* ---- translations ---- */

void soft_tlb_init(struct soft_cpu *cpu); /* of zeroed memory: no entry is valid */
void soft_tlb_flush(struct soft_cpu *cpu, bool global_too);
/* invlpg: of the current address space, and global. */
void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t linear);
/* The process-context identifier. */
static inline uint16_t soft_pcid(const struct soft_cpu *cpu) {
    return cpu->cr4 & SOFT_CR4_PCIDE ? cpu->cr3 & 0xFFF : 0;
}
/* CR3 was loaded: translations are of this process-context identifier from here on (0 without CR4.PCIDE). keeps: those
 * that are kept of it count; else only global ones do. */
void soft_tlb_enter_space(struct soft_cpu *cpu, uint16_t pcid, bool keeps);
/* All that is not global of an identifier, which may be another than the current one; a page of it. */
void soft_tlb_flush_space(struct soft_cpu *cpu, uint16_t pcid);
void soft_tlb_flush_page_of(struct soft_cpu *cpu, uint16_t pcid, uint64_t linear);
/* A translation of the current view for code at `linear`, which is in the TLB, is kept elsewhere by the version of its
 * scope. */
void soft_scope_note(struct soft_cpu *cpu, uint64_t linear);
/* To be called after every change of CPL and RFLAGS.AC: whose rights instructions have. */
void soft_view_changed(struct soft_cpu *cpu);

/* ---- walk.c ---- */

struct soft_translation {
    uint64_t gpa;  /* of the byte */
    unsigned size; /* log2 of the page */
    bool is_user, is_writable, is_executable, is_dirty, is_global;
};
enum soft_access { SOFT_ACCESS_READ, SOFT_ACCESS_WRITE, SOFT_ACCESS_FETCH };

/* Walks the page tables for an access with the rights of a view; sets A bits, and the D bit of a write, in memory.
 * False: a page fault in cpu->fault. Without paging every address is its own. */
bool soft_walk(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, enum soft_access access,
               struct soft_translation *out);
/* What a view may do with a page. */
bool soft_may(const struct soft_cpu *cpu, enum soft_view view, enum soft_access access,
              const struct soft_translation *page);
/* Whether the page-directory pointers of PAE paging at cr3 have no reserved bits set. */
bool soft_pae_is_valid(const struct soft_cpu *cpu, uint64_t cr3);

#endif
