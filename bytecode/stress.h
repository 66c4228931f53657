/* bytecode/stress.h: what the stress preset (ATOLL_STRESS) changes, so that the rare becomes common.
 *
 * ATOLL_LIMIT(usual, stressed) is for numbers that only decide when another path is taken (a buffer moves, a
 * chunk ends, an index is built), never for what a program can observe. ATOLL_ASSERT is checked under stress
 * only and holds for every input: it states an invariant, it does not handle an error. */
#ifndef ATOLL_BYTECODE_STRESS_H
#define ATOLL_BYTECODE_STRESS_H

#ifdef ATOLL_STRESS
#define ATOLL_LIMIT(usual, stressed) (stressed)
#define ATOLL_ASSERT(condition)      ((condition) ? (void)0 : __builtin_trap())
#else
#define ATOLL_LIMIT(usual, stressed) (usual)
#define ATOLL_ASSERT(condition)      ((void)sizeof(!(condition)))
#endif

#endif
