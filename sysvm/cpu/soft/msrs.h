/* sysvm/cpu/soft/msrs.h: model-specific registers that are the processor's own (EFER stands in struct soft_cpu). */
#ifndef ATOLL_SYSVM_SOFT_MSRS_H
#define ATOLL_SYSVM_SOFT_MSRS_H

#include <stdint.h>

struct soft_msrs {
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, misc_enable, tsc_offset, tsc_aux;
};

#endif
