/* sysvm/cpu/soft/soft.h: the engine: what the processors of one machine share. */
#ifndef ATOLL_SYSVM_SOFT_H
#define ATOLL_SYSVM_SOFT_H

#include <pthread.h>
#include "sysvm/cpu/soft/cpu.h"
#include "sysvm/layout.h"

struct soft_code;

struct soft_engine {
    struct vm_engine_config config;
    struct soft_cpu *cpus[VM_CPUS_MAX]; /* NULL where none was made yet */
    struct soft_code *code;             /* code.h: pages that hold decoded code */
    pthread_mutex_t split_lock;         /* held by locked accesses that cross pages or are no RAM */
};

/* ---- run.c ---- */

/* Runs until something has to leave: a kick, a reset, a failure. While halted it waits for a request or a timer. */
void soft_run(struct soft_cpu *cpu, struct vm_exit *out_exit);
/* One instruction, no interrupts looked at; SOFT_FAULT: cpu->fault, not delivered. For tests, and a debugger. */
enum soft_step soft_step_one(struct soft_cpu *cpu);

/* ---- apic.c ---- */

bool soft_apic_pending(struct soft_cpu *cpu);    /* something of a priority that the TPR lets through */
int soft_apic_acknowledge(struct soft_cpu *cpu); /* its vector, now in service */
bool soft_apic_read(struct soft_cpu *cpu, uint32_t offset, uint32_t *out_value);
bool soft_apic_write(struct soft_cpu *cpu, uint32_t offset, uint32_t value);
uint64_t soft_apic_base(const struct soft_cpu *cpu);

/* ---- clock.c ---- */

/* The one clock: TSC, APIC timer, PIT, HPET, PM timer and kvmclock derive from it. */
uint64_t soft_tsc(struct soft_cpu *cpu);

#endif
