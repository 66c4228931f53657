/* runtime/call.c: from the host into a function, and back with a status. */
#include "runtime/internal.h"

/* Nested host -> wasm calls; the native stack is also measured, since host functions differ in their needs.
 */
#define MAX_HOST_DEPTH 200

static bool may_nest(const struct rt_store *store) {
    return store->host_depth == 0 || (store->host_depth < MAX_HOST_DEPTH && rt_native_stack_left());
}

static enum rt_trap enter(struct rt_store *store, struct rt_func *func, union rt_slot *args_results) {
    if (func->host) return func->host(store, NULL, func->context, args_results);
    const struct rt_tier *tier = store->engine->config.tier;
    return tier ? tier->call(store, func, args_results) : RT_TRAP_UNSUPPORTED;
}

enum atoll_status rt_call(struct rt_store *store, struct rt_func *func, union rt_slot *args_results,
                          struct atoll_error *err) {
    union rt_slot *stack_top = store->stack_top;
    enum rt_trap trap = RT_TRAP_STACK_EXHAUSTED;
    store->trap = RT_TRAP_NONE;
    store->trap_text[0] = 0;
    store->n_frames = 0;
    if (may_nest(store)) {
        if (store->heap) rt_heap_enter_thread();
        store->host_depth++;
        trap = enter(store, func, args_results);
        store->host_depth--;
        store->stack_top = stack_top;
    }
    return trap ? rt_trap_report(store, trap, err) : ATOLL_OK;
}
