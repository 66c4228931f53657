/* sysvm/cpu/soft/msrs.h: model-specific registers that are the processor's own (EFER stands in struct soft_cpu, the
 * bases of FS and GS in its segments). Source: Intel SDM volume 4; AMD APM volume 2. */
#ifndef ATOLL_SYSVM_SOFT_MSRS_H
#define ATOLL_SYSVM_SOFT_MSRS_H

#include <stdint.h>

enum { SOFT_N_MTRRS = 8, SOFT_N_FIXED_MTRRS = 11 };

struct soft_msrs {
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, misc_enable;
    uint64_t tsc_offset; /* soft_tsc adds it: the guest writes its counter */
    uint64_t tsc_aux, microcode;
    uint64_t mtrr_default, mtrr_fixed[SOFT_N_FIXED_MTRRS],
        mtrr[2 * SOFT_N_MTRRS]; /* base, mask, base, mask, ... */
};

#endif
