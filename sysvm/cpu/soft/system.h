/* sysvm/cpu/soft/system.h: exceptions, interrupts, segments and privileged state. */
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
    SOFT_EVENT_NMI,
    SOFT_EVENT_SOFTWARE /* int n, int3, into: gate privilege is checked; rip is behind the instruction already */
};
/* Takes the processor into the handler of `vector`; faults on the way become double faults as the manual's table says
 * (those of software interrupts: of their own). Clears the interrupt shadow and `halted`.
 * False: shutdown (a triple fault). */
bool soft_deliver(struct soft_cpu *cpu, enum soft_event event, unsigned vector);

bool soft_load_segment(struct soft_cpu *cpu, unsigned segment, uint16_t selector); /* false: cpu->fault */

/* The state after INIT or power-up; leaves memory, MTRRs and the FPU alone where INIT does. */
void soft_reset(struct soft_cpu *cpu, bool is_init);

/* The leaf as this guest's CPUID says it. */
struct soft_cpuid {
    uint32_t eax, ebx, ecx, edx;
};
struct soft_cpuid soft_cpuid(struct soft_cpu *cpu, uint32_t leaf, uint32_t subleaf);

#endif
