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

/* ---- for jit/ ---- */

/* From now on calls of the function run its machine code, by the tier's call_compiled. */
void interp_use_compiled(struct rt_func *func);

/* The code of one instruction: what compiled code has no machine code for.
 * in     the instruction at byte `at` of the function; kinds[n_args]: enum bc_kind of its operands
 * out    owned by the caller; NULL when out of memory */
struct interp_snippet;
struct interp_snippet *interp_snippet_new(const struct rt_module *module, uint32_t func, uint32_t at,
                                          uint32_t n_args, const uint8_t *kinds);
void interp_snippet_free(const struct rt_module *module, struct interp_snippet *snippet);
/* Runs it on operands in slots[0 ..), which its results replace. A trap's frames are the caller's to record.
 */
enum rt_trap interp_snippet_run(struct rt_instance *instance, const struct interp_snippet *snippet,
                                union rt_slot *slots);

#endif
