/* sysvm/cpu/soft/ports.h: the ports of the chips, a byte each; lock held. False: not of this chip. */
#ifndef ATOLL_SYSVM_CPU_SOFT_PORTS_H
#define ATOLL_SYSVM_CPU_SOFT_PORTS_H

#include "sysvm/cpu/soft/chips.h"

bool soft_pic_port(struct soft_chips *chips, uint16_t port, bool is_write, uint8_t *value);
bool soft_pit_port(struct soft_chips *chips, uint16_t port, bool is_write, uint8_t *value);

#endif
