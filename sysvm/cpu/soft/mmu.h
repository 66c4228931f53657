/* sysvm/cpu/soft/mmu.h: memory as instructions see it: segments, paging, RAM, devices.
 *
 * Functions that return bool: false = the access faults, cpu->fault is filled and nothing has changed.
 * Where no RAM is: the processor's own APIC page, the I/O APIC, else config.serve of the engine. */
#ifndef ATOLL_SYSVM_SOFT_MMU_H
#define ATOLL_SYSVM_SOFT_MMU_H

#include "sysvm/cpu/soft/insn.h"

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

/* Linear address of the memory operand for an access of n_bytes: limits and rights of the segment outside 64-bit mode,
 * canonical form inside. */
bool soft_linear(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t *out_linear, unsigned n_bytes,
                 bool write);
bool soft_linear_at(struct soft_cpu *cpu, unsigned segment, uint64_t offset, unsigned n_bytes, bool write,
                    uint64_t *out_linear);

/* ---- accesses; linear addresses come from the functions above ---- */

/* Any alignment and size; crosses pages; a fault leaves memory and *out as they were. */
bool soft_read(struct soft_cpu *cpu, uint64_t linear, void *out, unsigned n_bytes);
bool soft_write(struct soft_cpu *cpu, uint64_t linear, const void *bytes, unsigned n_bytes);
/* Supervisor accesses whatever the privilege is: descriptors, TSS, IDT. */
bool soft_read_system(struct soft_cpu *cpu, uint64_t linear, void *out, unsigned n_bytes);
bool soft_write_system(struct soft_cpu *cpu, uint64_t linear, const void *bytes, unsigned n_bytes);
/* The host address for an atomic read-modify-write within one page of RAM. NULL with cpu->fault set; or NULL with
 * fault.vector == SOFT_NO_FAULT: not RAM, or it crosses pages: soft_read and soft_write under the engine's split lock. */
void *soft_writable(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes);
/* Whether an access would succeed. user: with the rights of CPL 3. */
bool soft_probe(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes, bool write, bool user);

/* ---- code ---- */

/* Up to *in_out_n bytes of code at a linear address; stops short at a page that cannot be fetched. False (page fault
 * with the I bit) when not even the first byte can. */
bool soft_fetch(struct soft_cpu *cpu, uint64_t linear, uint8_t *out, unsigned *in_out_n);
/* The physical address of code at `linear`, checked for execution. */
bool soft_code_address(struct soft_cpu *cpu, uint64_t linear, uint64_t *out_gpa);
/* No entry of this processor may write to the page in its fast path any more: code was found in it. */
void soft_tlb_forget_writes(struct soft_cpu *cpu, uint64_t gpa);

/* ---- translations ---- */

void soft_tlb_flush(struct soft_cpu *cpu, bool global_too);
void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t linear);

#endif
