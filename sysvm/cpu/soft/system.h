/* sysvm/cpu/soft/system.h: exceptions, interrupts, segments and privileged state.
 *
 *   segment.c   descriptors, segment registers, limits     selector.c  instructions on them
 *   deliver.c   into a handler: faults, interrupts, int n   iret.c      and back
 *   transfer.c  far jumps, calls and returns, gates         fastcall.c  syscall, sysenter, swapgs, bases of FS, GS
 *   msr.c       model-specific registers, reset             cpuid.c     what the processor says about itself
 *   flags.c     IF, IOPL, hlt, pushf                        port.c      in, out, the door to devices
 *   control_registers.c  CR, DR, XCR, GDTR, IDTR; what forgets translations
 *
 * Guest state is hostile: selectors, descriptors, TSS and stacks are read through the mmu alone, copied once, and the
 * copy is checked. Hardware task switches are left out: where one would begin there is #GP of the selector. */
#ifndef ATOLL_SYSVM_SOFT_SYSTEM_H
#define ATOLL_SYSVM_SOFT_SYSTEM_H

#include "sysvm/cpu/soft/insn.h"

/* Fills cpu->fault and returns SOFT_FAULT. */
enum soft_step soft_raise(struct soft_cpu *cpu, unsigned vector, bool has_error, uint32_t error);
static inline enum soft_step soft_raise_ud(struct soft_cpu *cpu) {
    return soft_raise(cpu, SOFT_UD, false, 0);
}
static inline enum soft_step soft_raise_gp(struct soft_cpu *cpu, uint32_t error) {
    return soft_raise(cpu, SOFT_GP, true, error);
}

/* What is delivered; rip pushed is cpu->rip at the time of the call. */
enum soft_event {
    SOFT_EVENT_FAULT,    /* cpu->fault: an exception; its vector, error code, CR2, DR6 */
    SOFT_EVENT_EXTERNAL, /* an interrupt of the APIC */
    SOFT_EVENT_NMI
};
/* Takes the processor into the handler of `vector` (of a fault: cpu->fault.vector); faults on the way become double
 * faults as the manual's table says. Clears the interrupt shadow and `halted`.
 * False: shutdown (a triple fault). Where exceptions of exceptions go on and requests wait, cpu->redelivers: true, too. */
bool soft_deliver(struct soft_cpu *cpu, enum soft_event event, unsigned vector);

bool soft_load_segment(struct soft_cpu *cpu, unsigned segment, uint16_t selector); /* false: cpu->fault */

/* The state after power-up or INIT; neither touches memory or the APIC, INIT leaves MSRs, XCR0 and the FPU as they
 * are. */
void soft_reset(struct soft_cpu *cpu, bool is_init);
/* A new code segment of a privilege level; derives mode and view. */
void soft_set_code(struct soft_cpu *cpu, const struct vm_segment *code, unsigned cpl);

/* The leaf as this guest's CPUID says it. */
struct soft_cpuid {
    uint32_t eax, ebx, ecx, edx;
};
struct soft_cpuid soft_cpuid(struct soft_cpu *cpu, uint32_t leaf, uint32_t subleaf);

/* False: there is no such register, or it does not take the value: #GP. */
bool soft_msr_read(struct soft_cpu *cpu, uint32_t msr, uint64_t *out_value);
bool soft_msr_write(struct soft_cpu *cpu, uint32_t msr, uint64_t value);

/* ---- doors to the rest of the machine (port.c) ---- */

/* One access of 1 to 8 bytes at a physical address where no RAM is. False: cpu->fault, see soft_serve. */
bool soft_device(struct soft_cpu *cpu, uint64_t gpa, void *data, unsigned n_bytes, bool write);
/* Whether the page at gpa is the processor's own APIC. */
bool soft_apic_covers(const struct soft_cpu *cpu, uint64_t gpa);

/* ---- handlers that the table does not name: forms of mov, push, pop, call, jmp, ret ---- */

soft_handler soft_move_segment, soft_push_segment, soft_pop_segment;
soft_handler soft_move_control, soft_move_debug;
soft_handler soft_far_jump, soft_far_call, soft_far_return;

#endif
