/* jit/slow.c: instructions that have no machine code run by the interpreter's, one at a time. */
#include <string.h>
#include "jit/engine.h"

struct jit_slow {
    struct interp_snippet *snippet;
    uint32_t func, at, n_args;
    uint8_t types[]; /* of the arguments */
};

uint32_t jit_slow_new(struct rt_module *module, uint32_t func, uint32_t at, uint32_t n_args,
                      const uint8_t *types) {
    static const uint8_t kinds[] = {BC_KIND_BOTTOM, BC_KIND_I32, BC_KIND_I64,
                                    BC_KIND_F32,    BC_KIND_F64, BC_KIND_V128};
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = module->jit_data;
    uint8_t *operand_kinds = atoll_new(alloc, n_args + 1u, 1);
    struct jit_slow *slow = atoll_new(alloc, 1, sizeof *slow + n_args);
    bool room = !atoll_grow(alloc, (void **)&jit->slows, &jit->cap_slows, jit->n_slows + 1,
                            sizeof(struct jit_slow *));
    if (operand_kinds && slow && room) {
        for (uint32_t i = 0; i < n_args; i++) operand_kinds[i] = kinds[types[i]];
        slow->snippet = interp_snippet_new(module, func, at, n_args, operand_kinds);
    }
    atoll_free(alloc, operand_kinds, n_args + 1u);
    if (!slow || !slow->snippet) {
        atoll_free(alloc, slow, sizeof *slow + n_args);
        return UINT32_MAX;
    }
    slow->func = func;
    slow->at = at;
    slow->n_args = n_args;
    if (n_args) memcpy(slow->types, types, n_args);
    jit->slows[jit->n_slows] = slow;
    return (uint32_t)jit->n_slows++;
}

const struct jit_slow *jit_slow_of(const struct jit_module *jit, uint32_t number) {
    return jit->slows[number];
}

void jit_slows_free(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    for (size_t i = 0; i < jit->n_slows; i++) {
        interp_snippet_free(module, jit->slows[i]->snippet);
        atoll_free(module->engine->alloc, jit->slows[i], sizeof *jit->slows[i] + jit->slows[i]->n_args);
    }
    atoll_free(module->engine->alloc, jit->slows, jit->cap_slows * sizeof *jit->slows);
    jit->slows = NULL;
    jit->n_slows = jit->cap_slows = 0;
}

enum rt_trap jit_slow_run(struct rt_instance *instance, union rt_slot *slots, const struct jit_slow *slow) {
    struct rt_store *store = instance->store;
    jit_seen(store);
    jit_run_stands(store, instance);
    store->n_frames = 0;
    enum rt_trap trap = interp_snippet_run(instance, slow->snippet, slots);
    if (trap) rt_store_capture(store); /* the snippet's own frame is none of the program's */
    return trap;
}

void jit_slow_put(const struct jit_slow *slow, struct bc_buf *out) {
    bc_buf_fixed(out, slow->func, 4);
    bc_buf_fixed(out, slow->at, 4);
    bc_buf_fixed(out, slow->n_args, 4);
    bc_buf_bytes(out, slow->types, slow->n_args);
}
