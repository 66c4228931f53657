/* sysvm/dev/platform/cmos.h: the battery-backed clock of a PC and its bytes of memory, ports 70 and 71.
 *
 * The clock is the host's, in UTC, plus what the guest set it forward or back. Alarm and update interrupts come;
 * the periodic one does not (kernels use better timers).
 *
 * source  MC146818 data sheet */
#ifndef ATOLL_SYSVM_CMOS_H
#define ATOLL_SYSVM_CMOS_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/bus.h"
#include "sysvm/irq.h"
#include "sysvm/loop.h"

struct vm_cmos;

struct vm_cmos_config {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop; /* these three outlive it */
    struct vm_bus *ports;
    const struct vm_irq *irq;
    /* Nanoseconds since 1970; NULL: CLOCK_REALTIME. */
    int64_t (*now_ns)(void *context);
    void *context;
};

#define VM_CMOS_CENTURY 0x32 /* the byte, for the FADT */

/* fails  E_NOMEM, E_USAGE (ports taken) */
enum atoll_status vm_cmos_new(const struct vm_cmos_config *config, struct vm_cmos **out,
                              struct atoll_error *err);
void vm_cmos_free(struct vm_cmos *cmos); /* NULL is allowed */

#endif
