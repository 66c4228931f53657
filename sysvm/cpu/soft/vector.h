/* sysvm/cpu/soft/vector.h: x87, MMX, SSE, AVX and what else works on their registers: guest and host are the same
 * instruction set, so most of it runs as it is on the host's registers. */
#ifndef ATOLL_SYSVM_SOFT_VECTOR_H
#define ATOLL_SYSVM_SOFT_VECTOR_H

#include "sysvm/cpu/soft/insn.h"

/* Runs insn->native, a thunk made once for the form of the instruction. */
soft_handler soft_native;

#endif
