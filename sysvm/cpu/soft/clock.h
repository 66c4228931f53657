/* sysvm/cpu/soft/clock.h: making the clock of chips.h. */
#ifndef ATOLL_SYSVM_CPU_SOFT_CLOCK_H
#define ATOLL_SYSVM_CPU_SOFT_CLOCK_H

#include "sysvm/cpu/soft/chips.h"

/* fails E_IO: no thread; as config->thread_starts; soft_clock_fini is due all the same */
enum atoll_status soft_clock_init(struct soft_chips *chips, const struct soft_chips_config *config,
                                  struct atoll_error *err);
void soft_clock_fini(struct soft_chips *chips);

#endif
