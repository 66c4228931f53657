/* sysvm/cpu/soft/native_x87.c: instructions on the x87 stack, by their forms: the whole image is loaded, so stack
 * faults, precision, rounding and pending exceptions are the host's own. */
#include <string.h>
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/native.h"

enum { X87_PRECISION = 0x20 };
enum { KEPT_BYTES = FP_XMM }; /* control, status, tags, pointers, MXCSR, stack */

/* With an exception that is not masked, other than precision, a store to memory does not happen, nor does its fault. */
static bool is_stored(const struct soft_cpu *cpu) {
    unsigned raised = fp_get16(cpu, FP_FSW) & ~fp_get16(cpu, FP_FCW) & X87_FLAGS;
    return !(raised & ~(unsigned)X87_PRECISION);
}

/* Where the host's pointers would show what the guest must not see: its own are as they were, or this instruction's. */
static void set_pointers(struct soft_cpu *cpu, const struct soft_insn *insn, const struct native_form *form,
                         const uint8_t *before) {
    memcpy(cpu->fp + FP_FOP, before + FP_FOP, FP_MXCSR - FP_FOP);
    if (!form->control) fp_set_last(cpu, insn);
}

static bool store(struct soft_cpu *cpu, const struct soft_insn *insn, const struct native_frame *frame,
                  unsigned n) {
    uint64_t linear;
    return soft_linear(cpu, insn, &linear, n, true) && soft_write(cpu, linear, frame->memory, n);
}

enum soft_step native_run_x87(struct soft_cpu *cpu, const struct soft_insn *insn,
                              const struct native_form *form) {
    struct native_frame frame;
    uint8_t before[KEPT_BYTES];
    uint64_t linear = 0;
    if (!fp_check_x87(cpu, form->waits)) return SOFT_FAULT;
    if (form->memory_in && (!soft_linear(cpu, insn, &linear, form->memory_bytes, false) ||
                            !soft_read(cpu, linear, frame.memory, form->memory_bytes)))
        return SOFT_FAULT;
    memcpy(before, cpu->fp, sizeof before);
    frame.fp = cpu->fp;
    frame.flags_in = (cpu->rflags & SOFT_ARITHMETIC) | SOFT_FLAG_ONE;
    if (!native_form_call(cpu, form, &frame)) return SOFT_FAULT;
    set_pointers(cpu, insn, form, before);
    if (form->memory_out && (form->control || is_stored(cpu)) &&
        !store(cpu, insn, &frame, form->memory_bytes)) {
        memcpy(cpu->fp, before, sizeof before);
        return SOFT_FAULT;
    }
    if (form->flags)
        cpu->rflags = (cpu->rflags & ~(uint64_t)SOFT_ARITHMETIC) | (frame.flags_out & SOFT_ARITHMETIC);
    return SOFT_NEXT;
}
