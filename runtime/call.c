/* runtime/call.c: from the host into a function, and back with a status. */
#include <string.h>
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

static enum atoll_status call(struct rt_store *store, struct rt_func *func, union rt_slot *args_results,
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
        if (trap) rt_exceptions_trapped(store);
    }
    return trap ? rt_trap_report(store, trap, err) : ATOLL_OK;
}

/* A host function that has a trap to tell may call once more before it returns: a nested call that succeeds
 * leaves what was told before. */
static enum atoll_status call_keeping(struct rt_store *store, struct rt_func *func,
                                      union rt_slot *args_results, struct atoll_error *err) {
    struct {
        enum rt_trap trap;
        char trap_text[sizeof store->trap_text];
        struct rt_frame frames[RT_BACKTRACE_MAX];
        uint32_t n_frames;
    } told = {.trap = store->trap, .n_frames = store->n_frames};
    memcpy(told.trap_text, store->trap_text, sizeof told.trap_text);
    memcpy(told.frames, store->frames, sizeof told.frames);
    enum atoll_status status = call(store, func, args_results, err);
    if (status) return status;
    store->trap = told.trap;
    store->n_frames = told.n_frames;
    memcpy(store->trap_text, told.trap_text, sizeof told.trap_text);
    memcpy(store->frames, told.frames, sizeof told.frames);
    return ATOLL_OK;
}

enum atoll_status rt_call(struct rt_store *store, struct rt_func *func, union rt_slot *args_results,
                          struct atoll_error *err) {
    bool told = store->host_depth && (store->n_frames || store->trap_text[0]);
    return (told ? call_keeping : call)(store, func, args_results, err);
}
