/* sysvm/cpu/soft/clock.h: making the clock of chips.h. */
#ifndef ATOLL_SYSVM_CPU_SOFT_CLOCK_H
#define ATOLL_SYSVM_CPU_SOFT_CLOCK_H

#include "sysvm/cpu/soft/chips.h"

/* fails E_IO: no thread; soft_clock_fini is due all the same */
enum atoll_status soft_clock_init(struct soft_chips *chips, uint64_t *manual_ns, struct atoll_error *err);
void soft_clock_fini(struct soft_chips *chips);

#endif
