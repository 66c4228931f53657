/* tests/fuzz/against_interp/compare.h: one module run by the interpreter, and as machine code made before it starts
 * and while it runs, in one process. */
#ifndef ATOLL_TESTS_FUZZ_COMPARE_H
#define ATOLL_TESTS_FUZZ_COMPARE_H

#include "tests/fuzz/fuzz.h"

struct compare;
enum compare_result {
    COMPARE_SAME,
    COMPARE_DIFFERENT,
    COMPARE_INVALID /* it cannot be loaded or linked */
};
struct compare_counts {
    uint64_t modules, functions, compiled, calls, traps;
    uint64_t loops; /* entered while they ran */
    uint64_t cut;   /* modules whose calls were not all made */
};

struct compare *compare_new(void);
void compare_free(struct compare *c);
/* Calls every exported function, twice, and compares what could be seen: results, what was imported and called, traps
 * with their places, and in the end memories, tables and globals. `report` (may be NULL) gets the first line that
 * differs. */
enum compare_result compare_module(struct compare *c, const uint8_t *bytes, size_t n_bytes,
                                   struct bc_buf *report);
const struct compare_counts *compare_counted(const struct compare *c);

#endif
