/* sysvm/cpu/soft/tlb.h: cached translations of one processor (mmu.h fills and reads them). */
#ifndef ATOLL_SYSVM_SOFT_TLB_H
#define ATOLL_SYSVM_SOFT_TLB_H

#include <stdint.h>

enum { SOFT_TLB_ENTRIES = 1024 };

/* A tag is the linear page with all checks of that access passed for the current privilege, or SOFT_TLB_NONE. A page
 * that holds decoded code, or is not dirty yet, or is no RAM has no write tag: the slow path sees such writes. */
#define SOFT_TLB_NONE UINT64_MAX
struct soft_tlb_entry {
    uint64_t read, write, fetch; /* linear addresses of pages */
    uint64_t gpa;                /* of the page */
    uint8_t *host;               /* of the page, where it is RAM */
};

struct soft_tlb {
    /* Grows with every flush, of one page too, and with every change of what an access may do (CPL, CR0, CR3, CR4,
     * EFER, AC under SMAP): who keeps something derived from translations compares it. */
    uint64_t version;
    struct soft_tlb_entry entries[SOFT_TLB_ENTRIES];
};

#endif
