/* tests/sysvm/suite.h: what every test of sysvm/ includes. */
#ifndef ATOLL_TESTS_SYSVM_SUITE_H
#define ATOLL_TESTS_SYSVM_SUITE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

#endif
