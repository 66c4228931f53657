/* sysvm/debug.h: a machine under a debugger: all of its processors stand still, or those that were told to run do.
 *
 *   vm_debug_resume -> the chosen processors run -> one meets something, or vm_debug_interrupt
 *                   -> the others are kicked -> when the last stands still, `stopped` is called on the loop's thread
 *
 * A processor stands still in its own thread, in front of its next run; meanwhile the loop's thread may look at it. The
 * functions here are called on the loop's thread, or before the machine runs; those marked "still" while all stand. */
#ifndef ATOLL_SYSVM_DEBUG_H
#define ATOLL_SYSVM_DEBUG_H

#include "sysvm/machine.h"

struct vm_debug;

enum vm_debug_action { VM_DEBUG_STAY, VM_DEBUG_RUN, VM_DEBUG_STEP };

/* Why a processor stands. */
enum vm_debug_why {
    VM_DEBUG_OTHER, /* because another does, or nothing has run yet */
    VM_DEBUG_ASKED, /* vm_debug_interrupt; told of one of them */
    VM_DEBUG_STEPPED,
    VM_DEBUG_CODE,   /* in front of the instruction of a breakpoint */
    VM_DEBUG_DATA,   /* behind an access to watched data: address, data_kind */
    VM_DEBUG_CRASHED /* a triple fault, or nothing will ever wake it; when it goes on the machine ends */
};
struct vm_debug_stop {
    enum vm_debug_why why;
    uint64_t address;
    enum vm_break_kind data_kind;
    bool is_hard; /* of VM_DEBUG_CODE: only such a one stands there */
};

/* Once a machine, after vm_machine_load and before it runs; the machine frees it.
 * in      runs: the processors do from the beginning; else they stand still first, and `stopped` is called
 * fails   E_NOMEM */
enum atoll_status vm_debug_new(struct vm_machine *machine, bool runs, void (*stopped)(void *context),
                               void *context, struct vm_debug **out, struct atoll_error *err);
unsigned vm_debug_n_cpus(const struct vm_debug *debug);
bool vm_debug_is_still(struct vm_debug *debug);
/* All are to stand still; `stopped` follows, also when they do already. */
void vm_debug_interrupt(struct vm_debug *debug);
/* still: an action for each processor, VM_DEBUG_STAY not for all of them. What one has met while another was told of
 * comes first: then `stopped` is called again, and nothing has run. */
void vm_debug_resume(struct vm_debug *debug, const enum vm_debug_action *actions);
/* still: the debugger is gone: nothing is armed any more, and all run. */
void vm_debug_release(struct vm_debug *debug);

/* still: the processor that stopped the others, and why any of them stands. */
unsigned vm_debug_stopped(struct vm_debug *debug);
struct vm_debug_stop vm_debug_stop_of(struct vm_debug *debug, unsigned cpu);

/* still; 0 or an errno */
int vm_debug_get_state(struct vm_debug *debug, unsigned cpu, struct vm_cpu_state *out);
int vm_debug_set_state(struct vm_debug *debug, unsigned cpu, const struct vm_cpu_state *state);
int vm_debug_get_fp(struct vm_debug *debug, unsigned cpu, struct vm_fp_state *out);
int vm_debug_set_fp(struct vm_debug *debug, unsigned cpu, const struct vm_fp_state *state);

/* still: RAM at linear addresses as the processor's page tables have them, whoever may use it; devices are left alone.
 * Returns how many bytes there are from `linear` on, at most n_bytes. */
size_t vm_debug_read(struct vm_debug *debug, unsigned cpu, uint64_t linear, void *out, size_t n_bytes);
/* All or nothing. */
bool vm_debug_write(struct vm_debug *debug, unsigned cpu, uint64_t linear, const void *bytes, size_t n_bytes);

/* still: arms a breakpoint on all processors; the same one twice is one. is_hard: memory has to stay as it is, also
 * where the engine would rather put an instruction there. `cpu`: whose page tables lead there.
 * 0, or ENOSPC (no more of them), EINVAL (length or alignment), ENOTSUP (the engine has none of that kind) */
enum { VM_DEBUG_BREAKPOINTS = 256, VM_DEBUG_DATA_MAX = 4096 };
int vm_debug_set(struct vm_debug *debug, unsigned cpu, const struct vm_breakpoint *breakpoint, bool is_hard);
void vm_debug_clear(struct vm_debug *debug, const struct vm_breakpoint *breakpoint, bool is_hard);

#endif
