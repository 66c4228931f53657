/* jit/jit.h: runs programs as machine code. The one header of this folder for the others. */
#ifndef ATOLL_JIT_JIT_H
#define ATOLL_JIT_JIT_H

#include "runtime/runtime.h"

/* A tier for struct rt_config: every function is compiled before a module's first instance runs; those that
 * the compiler declines are interpreted. */
extern const struct rt_tier jit_tier;
/* Interprets, and compiles on a thread of its own what it sees running often; running loops go on in compiled code. */
extern const struct rt_tier auto_tier;

/* Appends the stages of function `func`'s way to machine code to *out. fails E_NOMEM */
enum atoll_status jit_dump(struct rt_module *module, uint32_t func, struct bc_buf *out,
                           struct atoll_error *err);

struct jit_stats {
    uint32_t n_compiled, n_declined, n_loops; /* functions; loops entered while they ran */
    uint64_t code_bytes, wasm_bytes;
    double seconds; /* spent compiling */
};
/* Of a module that may be running. */
void jit_module_stats(const struct rt_module *module, struct jit_stats *out);
/* Why the function is interpreted, or NULL. */
const char *jit_declined(const struct rt_module *module, uint32_t func);

#endif
