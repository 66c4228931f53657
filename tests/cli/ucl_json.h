/* tests/cli/ucl_json.h: a tree as JSON, for tests to compare. */
#ifndef ATOLL_TESTS_UCL_JSON_H
#define ATOLL_TESTS_UCL_JSON_H

#include <stdio.h>
#include "cli/ucl/ucl.h"

/* Without blanks; several values of a key are an array. Times are seconds; nan and inf stand as they are. */
void ucl_json_print(FILE *out, const struct ucl_value *value);

#endif
