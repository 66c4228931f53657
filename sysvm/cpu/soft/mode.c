/* sysvm/cpu/soft/mode.c: how a processor reads instructions, from the bits that say so.
 * Source: Intel SDM volume 3, sections 2.2 and 9.9. */
#include "sysvm/cpu/soft/cpu.h"

void soft_mode_changed(struct soft_cpu *cpu) {
    enum { CODE_LONG = 0x2000, CODE_32 = 0x4000 };
    unsigned code = cpu->segments[VM_CS].access;
    if (!(cpu->cr0 & SOFT_CR0_PE))
        cpu->mode = SOFT_REAL;
    else if (cpu->efer & SOFT_EFER_LMA)
        cpu->mode = code & CODE_LONG ? SOFT_LONG64 : code & CODE_32 ? SOFT_COMPAT32 : SOFT_COMPAT16;
    else if (cpu->rflags & SOFT_VM)
        cpu->mode = SOFT_V86;
    else
        cpu->mode = code & CODE_32 ? SOFT_PROTECTED32 : SOFT_PROTECTED16;
}
