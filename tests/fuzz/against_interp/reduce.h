/* tests/fuzz/against_interp/reduce.h: a smaller module that still fails. */
#ifndef ATOLL_TESTS_FUZZ_REDUCE_H
#define ATOLL_TESTS_FUZZ_REDUCE_H

#include "tests/fuzz/fuzz.h"

/* Whether the module, which is valid, still shows the fault. */
typedef bool reduce_test(void *context, const uint8_t *bytes, size_t n_bytes);

/* Makes the module in *module (binary) smaller as long as `fails` says that it still does: functions lose their code,
 * ranges of instructions go or become constants, exports and sections go. What is tried is valid. */
void reduce_module(struct bc_buf *module, reduce_test *fails, void *context);

#endif
