/* sysvm/cpu/soft/soft.h: the engine: what the processors of one machine share. */
#ifndef ATOLL_SYSVM_SOFT_H
#define ATOLL_SYSVM_SOFT_H

#include <pthread.h>
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/cpu/soft/cpu.h"
#include "sysvm/cpu/soft/doorbell.h"
#include "sysvm/layout.h"

struct soft_block;
struct soft_code;
struct soft_natives;

/* What the host's processor has, of leaves 1 and 7. Asked once: where the host is a guest itself each cpuid is an exit,
 * and each program that starts asks its processor some fifty times. */
struct soft_host {
    uint32_t ecx_1, edx_1, ebx_7, ecx_7;
};

struct soft_engine {
    struct vm_engine_config config;
    struct soft_host host;
    struct soft_cpu *cpus[VM_CPUS_MAX]; /* NULL where none was made yet */
    struct soft_code *code;             /* code.h: pages that hold decoded code */
    struct soft_natives *natives;       /* vector.h: what runs on the host's vector registers */
    struct soft_chips chips;
    bool has_chips; /* they were begun */
    struct soft_doorbells doorbells;
    bool counts;                              /* icount.c: time is instructions */
    uint64_t counted_ns, skipped_ns, randoms; /* counted_ns: the time; skipped_ns: what of it was waiting */
    pthread_mutex_t split_lock;               /* held by locked accesses that cross pages or are no RAM */
};

/* ---- run.c ---- */

/* Runs until something has to leave: a kick, a reset, a failure. While halted it waits for a request or a timer. */
void soft_run(struct soft_cpu *cpu, struct vm_exit *out_exit);
/* One instruction, no interrupts looked at; SOFT_FAULT: cpu->fault, not delivered. For tests, and a debugger. */
enum soft_step soft_step_one(struct soft_cpu *cpu);
/* Parts of a run, for debug.c. soft_block_here: NULL where there is no block to keep; then soft_fetch_insn tells. */
uint64_t soft_code_at(const struct soft_cpu *cpu);                 /* the linear address of rip */
bool soft_fetch_insn(struct soft_cpu *cpu, struct soft_insn *out); /* false: cpu->fault */
struct soft_block *soft_block_here(struct soft_cpu *cpu);
enum soft_step soft_retire(struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_step step);
/* No processor writes to the page at gpa any more without soft_code_written being called: code was found in it. */
void soft_stop_writers(struct soft_cpu *cpu, uint64_t gpa);

/* ---- engine.c: what a processor needs from outside; from its own thread ---- */

/* An access that neither RAM nor a chip of the engine answers: at a port (VM_EXIT_PORT, n_bytes 1, 2, 4) or where no
 * RAM is (VM_EXIT_MEMORY, 1 to 8). Reads put their bytes into *data. The I/O APIC and the ports of chips.h are answered
 * here; the processor's own APIC page is mmu.c's (soft_apic_read, soft_apic_write).
 * False: nobody is there to serve it at once, and the processor has to come back with it first: cpu->fault.vector is
 * SOFT_LEAVE. A handler that gets this returns SOFT_FAULT with nothing changed, as for a fault; soft_run returns
 * cpu->leave.exit, and the instruction runs again, with the access answered. */
bool soft_serve(struct soft_cpu *cpu, enum vm_exit_kind kind, uint64_t address, void *data, unsigned n_bytes,
                bool is_write);
/* soft_run calls it after each instruction that retired while leave.n_done is not 0. */
static inline void soft_leave_forget(struct soft_cpu *cpu) { cpu->leave.n_done = cpu->leave.n_used = 0; }
/* soft_run calls it first: what the exit before brought becomes the answer of its access. */
void soft_leave_return(struct soft_cpu *cpu);

/* Waits until cpu->requests is not 0: a halted processor. */
void soft_sleep(struct soft_cpu *cpu);
/* Sets requests of a processor and wakes it. Any thread. */
void soft_wake(struct soft_cpu *cpu, uint32_t requests);
/* What SOFT_REQUEST_INIT and _SIPI ask: soft_reset, then waiting (cpu->waits_for_sipi) for the start; the first
 * processor starts over at its reset vector, where no firmware is. */
void soft_take_init(struct soft_cpu *cpu);
void soft_take_sipi(struct soft_cpu *cpu);

/* ---- the clock: nanoseconds, SOFT_TSC_HZ ---- */

static inline uint64_t soft_tsc(const struct soft_cpu *cpu) {
    return soft_clock_now(&cpu->engine->chips.clock) + cpu->msrs.tsc_offset;
}

/* ---- icount.c: time that is a function of instructions; by the one processor's thread ---- */

void soft_count(struct soft_cpu *cpu);     /* an instruction has retired */
bool soft_count_due(struct soft_cpu *cpu); /* a timer, or an interrupt that may come now */
void soft_count_run(struct soft_cpu *cpu); /* fires timers that are due */
/* Halted: the time becomes that of the next timer, which fires. False: there is none. */
bool soft_count_skip(struct soft_cpu *cpu);
/* False: the host has none to give. */
bool soft_random(struct soft_cpu *cpu, uint64_t *out);

/* ---- kvmclock.c: time for guests that know KVM's paravirtual clock ---- */

/* The leaves 0x40000000 and 0x40000001 of soft_cpuid: the signature, the features that are here. */
struct soft_cpuid;
/* cpuid.c */
void soft_host_ask(struct soft_host *out);
void soft_kvmclock_cpuid(uint32_t leaf, struct soft_cpuid *out);
/* MSRs 0x11, 0x12, 0x4B564D00, 0x4B564D01. False: none of these, or a value it refuses: #GP. */
bool soft_kvmclock_read(struct soft_cpu *cpu, uint32_t msr, uint64_t *out_value);
bool soft_kvmclock_write(struct soft_cpu *cpu, uint32_t msr, uint64_t value);

#endif
