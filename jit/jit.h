/* jit/jit.h: runs programs as machine code. The one header of this folder for the others. */
#ifndef ATOLL_JIT_JIT_H
#define ATOLL_JIT_JIT_H

#include "runtime/runtime.h"

/* A tier for struct rt_config: every function is compiled before a module's first instance runs; those that
 * the compiler declines are interpreted. */
extern const struct rt_tier jit_tier;
/* Interprets, and compiles on a thread of its own what it sees running often; running loops go on in compiled
 * code. */
extern const struct rt_tier auto_tier;

/* What struct rt_code_viewer can be shown, in the order of the compiler's passes (compile.c draws them). */
#define JIT_STAGE_LIST(X)                                                                                    \
    X(IR, "ir")         /* as it was built */                                                                \
    X(NUMBER, "number") /* values numbered */                                                                \
    X(SWEEP, "sweep")   /* dead values gone */                                                               \
    X(HOIST, "hoist")   /* what loops compute anew moved in front of them */                                 \
    X(SPLIT, "split")   /* edges split, loops found */                                                       \
    X(SELECT, "select") /* values that become part of the instruction that uses them */                      \
    X(ALLOC, "alloc")   /* registers given */                                                                \
    X(CODE, "code")     /* machine code beside the wasm it came from */
enum jit_stage {
#define X(id, name) JIT_STAGE_##id,
    JIT_STAGE_LIST(X)
#undef X
        JIT_STAGES
};
extern const char *const jit_stage_names[JIT_STAGES];

struct jit_stats {
    uint32_t n_restored;                      /* of n_compiled: they were, by another process */
    uint32_t n_compiled, n_declined, n_loops; /* functions; loops entered while they ran */
    uint32_t n_inlined;                       /* calls that became the function's body */
    uint64_t code_bytes, wasm_bytes;
    uint64_t table_bytes;         /* kept beside the code */
    uint64_t restored_wasm_bytes; /* of wasm_bytes */
    double seconds;               /* spent compiling */
};
/* Of a module that may be running. */
void jit_module_stats(const struct rt_module *module, struct jit_stats *out);
/* ---- samples of a run ---- */

struct jit_sampled {
    const struct rt_module *module;
    uint32_t func;
};
/* In a signal handler, of the thread that runs the store: the compiled functions on its stack, innermost first, at
 * most `max`. *in_host: the innermost one waits for the host or the interpreter. Takes no lock for long and allocates
 * nothing; 0 = there is none, or it cannot be told now. */
uint32_t jit_sample(const struct rt_store *store, const void *ucontext, struct jit_sampled *out, uint32_t max,
                    bool *in_host);

/* ---- compiled code as bytes (save.c) ---- */

/* Compiles all functions, for jit_save, of a module that no instance needs: its engine's tier is jit_tier. fails
 * E_INTERRUPTED, E_LIMIT, E_NOMEM */
enum atoll_status jit_compile_module(struct rt_module *module, const bc_stop *stop, struct atoll_error *err);
/* Appends all code that the module has so far, of an engine with rt_config.keep_code: a head, and a body of which
 * only pieces will be wanted. fails E_UNSUPPORTED (nothing to save; a build without an id), E_NOMEM */
enum atoll_status jit_save(const struct rt_module *module, struct bc_buf *head, struct bc_buf *body,
                           struct atoll_error *err);
struct jit_saved {
    const uint8_t *head;
    size_t head_bytes;
    /* Bytes [at, at + n) of the body to `out`; false: they cannot be had, or are not what was saved. Any thread
     * that runs the module or saves it may ask, one at a time. */
    bool (*read)(void *context, uint64_t at, size_t n, uint8_t *out);
    void *context;
};
/* Takes saved code over, before the module's first instance. What does not fit this module, build or CPU, or is
 * broken, is as if it were not there; that it was not made by an enemy is the caller's to know: it will be run.
 * *saved is copied, what it points to is borrowed until the module goes. fails E_NOMEM, E_USAGE */
enum atoll_status jit_restore(struct rt_module *module, const struct jit_saved *saved,
                              struct atoll_error *err);
/* Appends what saved code depends on beside its module: the build and the CPU. False: nothing can be saved. */
bool jit_identity(struct bc_buf *out);
/* Whether saved code whose head this is was made by this very build, for this CPU. */
bool jit_is_of_this_build(const uint8_t *head, size_t head_bytes);
/* Which setting of the configuration such code was not made for, as a reason not to use it; NULL: none. */
const char *jit_saved_misfit(const uint8_t *head, size_t head_bytes, const struct rt_config *config);

/* Why the function is interpreted, or NULL. */
const char *jit_declined(const struct rt_module *module, uint32_t func);

#endif
