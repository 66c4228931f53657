/* interp/interp.h: runs a program without compiling it. The one header of this folder for the others. */
#ifndef ATOLL_INTERP_H
#define ATOLL_INTERP_H

#include "runtime/runtime.h"

/* The tier for struct rt_config. Functions are lowered at their first call; lowered code belongs to the
 * rt_module and is shared by its instances and by threads. */
extern const struct rt_tier interp_tier;

/* Appends a listing of function `func`'s lowered code (lowered now if it was not) to *out: for --dump and
 * tests. */
enum atoll_status interp_dump(struct rt_module *module, uint32_t func, struct bc_buf *out,
                              struct atoll_error *err);

#endif
