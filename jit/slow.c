/* jit/slow.c: instructions that have no machine code run by the interpreter's, one at a time. */
#include "jit/engine.h"

struct jit_slow {
    struct jit_slow *next; /* of the module */
    struct interp_snippet *snippet;
};

const struct jit_slow *jit_slow_new(struct rt_module *module, uint32_t func, uint32_t at, uint32_t n_args,
                                    const uint8_t *types) {
    static const uint8_t kinds[] = {BC_KIND_BOTTOM, BC_KIND_I32, BC_KIND_I64,
                                    BC_KIND_F32,    BC_KIND_F64, BC_KIND_V128};
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = module->jit_data;
    uint8_t *operand_kinds = atoll_new(alloc, n_args + 1u, 1);
    struct jit_slow *slow = atoll_new(alloc, 1, sizeof *slow);
    if (operand_kinds && slow) {
        for (uint32_t i = 0; i < n_args; i++) operand_kinds[i] = kinds[types[i]];
        slow->snippet = interp_snippet_new(module, func, at, n_args, operand_kinds);
    }
    atoll_free(alloc, operand_kinds, n_args + 1u);
    if (!slow || !slow->snippet) {
        atoll_free(alloc, slow, sizeof *slow);
        return NULL;
    }
    slow->next = jit->slows;
    jit->slows = slow;
    return slow;
}

void jit_slows_free(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    for (struct jit_slow *s = jit->slows, *next; s; s = next) {
        next = s->next;
        interp_snippet_free(module, s->snippet);
        atoll_free(module->engine->alloc, s, sizeof *s);
    }
    jit->slows = NULL;
}

enum rt_trap jit_slow_run(struct rt_instance *instance, union rt_slot *slots, const struct jit_slow *slow) {
    struct rt_store *store = instance->store;
    jit_run_stands(store, instance);
    store->n_frames = 0;
    enum rt_trap trap = interp_snippet_run(instance, slow->snippet, slots);
    if (trap) rt_store_capture(store); /* the snippet's own frame is none of the program's */
    return trap;
}
