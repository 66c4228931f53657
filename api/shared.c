/* api/shared.c: memories that several stores use at once. The handle of one outside of any store is the
 * runtime's object, with a reference of its own. */
#include "api/internal.h"

wasm_memory_t *atoll_memory_new_shared(wasm_store_t *store, const wasm_limits_t *limits) {
    struct bc_limits type = {
        .min = limits->min, .max = limits->max, .has_max = true, .shared = true, .page_size_log2 = 16};
    struct rt_memory *rt;
    if (limits->max > BC_MAX_PAGES32 || limits->max < limits->min) return NULL;
    return rt_memory_new(store->rt, &type, &rt, NULL) ? NULL
                                                      : (wasm_memory_t *)api_ref(store, API_MEMORY, rt, 0);
}

atoll_shared_memory_t *atoll_memory_share(const wasm_memory_t *memory) {
    struct rt_memory *rt = memory->ref.entity;
    if (!rt->type.shared) return NULL;
    rt_memory_ref(rt);
    return (atoll_shared_memory_t *)rt;
}

wasm_memory_t *atoll_memory_obtain(wasm_store_t *store, const atoll_shared_memory_t *shared) {
    struct rt_memory *rt = (struct rt_memory *)(uintptr_t)shared;
    return rt_memory_attach(store->rt, rt, NULL) ? NULL : (wasm_memory_t *)api_ref(store, API_MEMORY, rt, 0);
}

void atoll_shared_memory_delete(atoll_shared_memory_t *shared) {
    rt_memory_unref((struct rt_memory *)shared);
}
