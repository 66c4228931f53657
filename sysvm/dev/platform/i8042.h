/* sysvm/dev/platform/i8042.h: as much of a keyboard controller as firmware and kernels need to find it there, with
 * nothing plugged in, and to reset the machine by it.
 * source  the IBM PC AT technical reference's "Keyboard Controller" */
#ifndef ATOLL_SYSVM_I8042_H
#define ATOLL_SYSVM_I8042_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/bus.h"
#include "sysvm/dev/platform/power.h"

struct vm_i8042;

/* fails  E_NOMEM, E_USAGE (ports taken) */
enum atoll_status vm_i8042_new(const struct atoll_alloc *alloc, struct vm_bus *ports,
                               const struct vm_power *power, struct vm_i8042 **out, struct atoll_error *err);
void vm_i8042_free(struct vm_i8042 *controller); /* NULL is allowed */

#endif
