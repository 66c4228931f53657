/* tests/fuzz/translate/program.h: inputs of fuzz_translate that do more than raise #UD: instructions as programs
 * have them. */
#ifndef ATOLL_TESTS_FUZZ_TRANSLATE_PROGRAM_H
#define ATOLL_TESTS_FUZZ_TRANSLATE_PROGRAM_H

#include <stddef.h>
#include "tests/sysvm/cpu/soft/native_case.h"

/* Makes an input at out[0 .. max), max at least PROGRAM_MIN; returns its size. It follows from `random` alone. */
enum { PROGRAM_MIN = 256 };
size_t program_make(struct case_random *random, uint8_t *out, size_t max);
/* Makes one instruction, or a few that belong together, at out[0 .. max); 0: there is no room. */
size_t program_insn(struct case_random *random, bool is_32, uint8_t *out, size_t max);

#endif
