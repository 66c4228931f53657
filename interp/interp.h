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
/* They are interpreted after all; none has been, nor has the machine code been entered. */
void interp_use_lowered(struct rt_func *func);

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

/* With rt_config.fuel: where fuel is taken, for all instructions up to the next place at once. */
struct interp_fuel {
    uint32_t behind; /* byte offset of the instruction in front; of the first: where the function begins */
    uint32_t count;
};
struct interp_fuels {
    struct interp_fuel *items; /* in the order of the code */
    size_t n, capacity;
};
/* *out is owned by the caller (interp_fuels_fini). fails E_NOMEM */
enum atoll_status interp_fuels_of(const struct rt_module *module, uint32_t func, struct interp_fuels *out);
void interp_fuels_fini(const struct atoll_alloc *alloc, struct interp_fuels *fuels);

struct interp_operand {
    uint8_t kind;         /* enum bc_kind */
    bool in_frame, known; /* in slot `slot`; known and not in the frame: the constant `bits` */
    int32_t slot;
    uint64_t bits;
};
/* What a loop's head finds in the frame of a function that runs. Slots count from the function's first parameter. */
struct interp_loop {
    struct interp_operand *values; /* locals, parameters first; then operands from the bottom of the stack */
    uint32_t n_locals, n_operands;
    uint32_t *
        heights; /* operands below the parameters of each block around the loop, outermost first; then of the loop */
    uint32_t n_blocks;
};
/* For the `loop` at byte `offset`, in instances whose memory 0 has guard pages or has none. *out is owned by the caller
 * (interp_loop_fini). fails E_NOMEM */
enum atoll_status interp_loop_at(const struct rt_module *module, uint32_t func, bool guarded, uint32_t offset,
                                 struct interp_loop *out);
void interp_loop_fini(const struct atoll_alloc *alloc, struct interp_loop *loop);

/* ---- a run that stands still: for a struct rt_observer, or while a host function runs ---- */

struct interp_frame {
    struct rt_frame at;
    uint32_t index;     /* 0 = innermost */
    const uint64_t *ip; /* this tier's own, as fp */
    const union rt_slot *fp;
    bool calls; /* it waits for a call */
};
/* False ends the walk. */
typedef bool interp_visitor(void *context, const struct interp_frame *frame);
/* Visits the frames of all runs of the store on this thread, innermost first. A frame is valid until the run
 * goes on. */
void interp_each_frame(struct rt_store *store, interp_visitor *visit, void *context);

struct interp_value {
    uint8_t kind; /* enum bc_kind */
    bool known;   /* false: it is in a register, or nowhere any more */
    uint64_t bits[2];
};
struct interp_values {
    struct interp_value *items; /* locals, parameters first; then operands from the bottom of the stack */
    uint32_t n_locals, n_operands;
    size_t capacity;
};
/* Fills *values, whose memory is used again from call to call (start with zeroes) and comes from the engine's
 * allocator. Operands that a call has taken are not among them. `operands` false: locals only; operands take
 * time linear in the function's size. fails ATOLL_E_NOMEM */
enum atoll_status interp_frame_values(const struct interp_frame *frame, bool operands,
                                      struct interp_values *values);
void interp_values_fini(struct interp_values *values, const struct atoll_alloc *alloc);

#endif
