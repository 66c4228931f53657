/* sysvm/cpu/soft/debug.h: breakpoints and watchpoints of one processor: those of the guest's debug registers, and
 * those of a debugger outside.
 *
 *   DR0 .. 3, DR7 -------.
 *   the debugger's list -+-> cpu->debugged: the run loop calls soft_run_debugged instead of anything faster
 *   time by instructions -'`-> pages with watched data have no tags in the TLB: accesses come by soft_debug_access
 *
 * An instruction is checked before it runs (execution: a fault) and behind it (data, steps: traps); what the guest
 * armed becomes #DB, what the debugger armed makes soft_run come back with VM_EXIT_DEBUG.
 * Source: Intel SDM volume 3, "Debug, Branch Profile, TSC, and Intel Resource Director Technology Features". */
#ifndef ATOLL_SYSVM_SOFT_DEBUG_H
#define ATOLL_SYSVM_SOFT_DEBUG_H

#include <stdbool.h>
#include <stdint.h>
#include "sysvm/cpu/engine.h"

struct soft_cpu;

struct soft_debug {
    struct vm_debug_spec spec; /* the debugger's */
    uint64_t code_filter; /* bit (address ^ address >> 6) % 64 is set for each of its breakpoints of code */
    bool watches;         /* somebody watches data */
    uint8_t codes, data;  /* debug registers (bits 0 .. 3) that are on for execution, for data */
    uint8_t hits;         /* of the latter, those that the instruction under way has met */
    bool is_held;         /* mov ss, pop ss: traps wait for the end of the next instruction */
    bool has_stop;        /* `stop` is due before the next instruction */
    struct vm_exit stop;
};

/* After a change of a debug register or the debugger's list: derives the fields above and cpu->debugged. */
void soft_debug_changed(struct soft_cpu *cpu);
/* Whether data on the page of `linear` is watched. */
bool soft_debug_watches(const struct soft_cpu *cpu, uint64_t linear);
/* An access that the TLB did not answer, with `debugged` set. */
void soft_debug_access(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes, bool write);
/* With `debugged` or RFLAGS.TF set: an instruction, or a block of them one by one, as run.c runs them otherwise. */
enum soft_step soft_run_debugged(struct soft_cpu *cpu);
/* Whether each element of a repeated instruction is looked at. */
static inline bool soft_debug_by_element(const struct soft_debug *debug) {
    return debug->watches || debug->spec.is_stepping;
}
/* Whether a step is under way: interrupts wait, unless the processor waits for one. */
static inline bool soft_debug_steps(const struct soft_debug *debug) { return debug->spec.is_stepping; }

#endif
