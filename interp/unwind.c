/* interp/unwind.c: from a throw to its handler. Entering and leaving a try costs nothing; a throw looks
 * through the tries of each function on the stack, innermost first. */
#include <string.h>
#include "interp/dispatch.h"

static const struct interp_clause *matching(const struct interp_code *code, const struct interp_try *t,
                                            const struct rt_instance *instance, const struct rt_tag *tag) {
    for (uint32_t i = t->first_clause; i != INTERP_NONE; i = code->clauses[i].next) {
        const struct interp_clause *c = code->clauses + i;
        if (c->tag == INTERP_NONE || instance->tags[c->tag] == tag) return c;
    }
    return NULL;
}

/* The handler of the function for an exception at word `at` of its code. */
static const struct interp_clause *handler_in(const struct interp_code *code, uint32_t at,
                                              const struct rt_instance *instance, const struct rt_tag *tag) {
    uint32_t level = INTERP_NONE;
    for (uint32_t i = 0; i < code->n_tries; i++) {
        const struct interp_try *t = code->tries + i;
        if (at < t->start || at >= t->end || t->level > level) continue;
        if (t->delegate != INTERP_NONE) level = t->delegate;
        const struct interp_clause *c = matching(code, t, instance, tag);
        if (c) return c;
    }
    return NULL;
}

static enum rt_trap land(struct rt_store *store, const struct interp_clause *c, union rt_slot *fp) {
    if (c->ref_slot != INTERP_NO_SLOT) {
        void *exception = rt_exception_ref(store);
        if (!exception) return RT_TRAP_OUT_OF_MEMORY;
        fp[c->ref_slot].ref = exception;
    }
    uint32_t n = c->tag == INTERP_NONE ? 0 : store->thrown_tag->type->param_slots;
    if (n) memcpy(fp + c->slot, rt_exception_values(store), n * sizeof *fp);
    rt_exception_caught(store);
    return RT_TRAP_NONE;
}

enum rt_trap interp_unwind(struct rt_store *store, const uint64_t **ip, union rt_slot **fp) {
    const uint64_t *at = *ip;
    uint32_t returning = 0; /* a return address stands behind its call */
    for (union rt_slot *frame = *fp; frame; frame = frame[-2].ref) {
        const struct rt_func *func = frame[-1].ref;
        const struct interp_code *code = interp_code_running(func);
        const struct interp_clause *c = code && code->n_tries
                                            ? handler_in(code, (uint32_t)(at - code->words) - returning,
                                                         func->instance, store->thrown_tag)
                                            : NULL;
        if (c) {
            *ip = code->words + c->target;
            *fp = frame;
            return land(store, c, frame);
        }
        at = frame[-3].ref;
        returning = 1;
    }
    return RT_TRAP_UNCAUGHT_EXCEPTION;
}

HANDLER(UNWIND)
{
    const uint64_t *at = ip;
    union rt_slot *frame = fp;
    store->scan_top = interp_frame_end(fp);
    enum rt_trap trap = interp_unwind(store, &at, &frame);
    store->scan_top = NULL;
    TRAP_IF(trap);
    ip = at;
    fp = frame;
    inst = ((const struct rt_func *)fp[-1].ref)->instance;
    mem = inst->memory0_base;
    store->n_frames = 0; /* of a nested run that it came from */
    POLL();
    DISPATCH();
}

HANDLER(THROW)
{
    enum rt_trap trap = rt_throw(store, inst->tags[OPD(1)], &SLOT(0));
    if (UNLIKELY(trap != RT_TRAP_UNCAUGHT_EXCEPTION)) TRAP(trap);
    GOTO_HANDLER(UNWIND);
}

HANDLER(THROW_REF)
{
    enum rt_trap trap = rt_throw_ref(store, SLOT(0).ref);
    if (UNLIKELY(trap != RT_TRAP_UNCAUGHT_EXCEPTION)) TRAP(trap);
    GOTO_HANDLER(UNWIND);
}
