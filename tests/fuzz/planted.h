/* tests/fuzz/planted.h: a directory `in` that is granted, with links that lead out of it, and around it what nobody may
 * reach: secret, outside/treasure. Made once in memory, and emptied of what an input left there before the next. */
#ifndef ATOLL_TESTS_FUZZ_PLANTED_H
#define ATOLL_TESTS_FUZZ_PLANTED_H

#include <sys/stat.h>
#include "tests/fuzz/fuzz.h"

/* Where a name is below the directory around `in`; the last four stay valid. */
const char *planted_at(const char *name);
/* The first time makes everything; true then. */
bool planted_make(void);
/* `in` as it was at the first time: file, sub/inner, and n links {target, name}. */
void planted_renew(const char *const (*links)[2], size_t n);
/* What is around `in` has stayed as it was when it was made. */
void planted_check_outside(void);
void planted_check_inside(ino_t inode); /* is none of those outside */

#endif
