/* api/instance.c: instances. Imports are given by position. */
#include "api/internal.h"

static const uint8_t extern_kinds[] = {BC_EXTERN_FUNC, BC_EXTERN_GLOBAL, BC_EXTERN_TABLE, BC_EXTERN_MEMORY,
                                       BC_EXTERN_TAG};
static const uint8_t api_kinds[] = {API_FUNC, API_TABLE, API_MEMORY, API_GLOBAL, API_TAG}; /* by bc_extern */

bool api_import_by_position(void *context, const struct rt_module *module, const struct bc_import *import,
                            struct rt_extern *out) {
    const struct api_imports *given = context;
    const wasm_extern_vec_t *externs = given->externs;
    size_t i = (size_t)(import - module->bc->imports);
    if (!externs || i >= externs->size || !externs->data[i]) return false;
    if (externs->data[i]->ref.store != given->store) return false;
    out->kind = (enum bc_extern)extern_kinds[externs->data[i]->ref.kind];
    out->any = externs->data[i]->ref.entity;
    return true;
}

wasm_instance_t *api_instantiate(wasm_store_t *store, const wasm_module_t *module, rt_resolver *resolve,
                                 void *context, wasm_trap_t **trap) {
    struct rt_instance *rt;
    struct atoll_error err = {0};
    if (trap) *trap = NULL;
    api_enter(store);
    enum atoll_status status = rt_instantiate(store->rt, module->ref.entity, resolve, context, &rt, &err);
    wasm_instance_t *instance = status ? NULL : (wasm_instance_t *)api_ref(store, API_INSTANCE, rt, 0);
    if (!instance) api_trap_give(status ? api_trap(store, status, &err) : api_trap_memory(store), trap);
    api_leave(store);
    return instance;
}

wasm_instance_t *wasm_instance_new(wasm_store_t *store, const wasm_module_t *module,
                                   const wasm_extern_vec_t *imports, wasm_trap_t **trap) {
    struct api_imports given = {store, imports};
    return api_instantiate(store, module, api_import_by_position, &given, trap);
}

void wasm_instance_exports(const wasm_instance_t *instance, wasm_extern_vec_t *out) {
    const struct rt_instance *rt = instance->ref.entity;
    const struct bc_module *bc = rt->module->bc;
    bool ok = true;
    api_extern_vec(api_alloc(instance->ref.store), out, bc->n_exports);
    for (size_t i = 0; i < out->size; i++) {
        uint32_t index = bc->exports[i].index;
        enum bc_extern kind = bc->exports[i].kind;
        void *entity = kind == BC_EXTERN_FUNC     ? (void *)rt->funcs[index]
                       : kind == BC_EXTERN_GLOBAL ? (void *)rt->globals[index]
                       : kind == BC_EXTERN_TABLE  ? (void *)rt->tables[index]
                       : kind == BC_EXTERN_MEMORY ? (void *)rt->memories[index]
                                                  : (void *)rt->tags[index];
        struct wasm_ref_t *ref = api_ref(instance->ref.store, (enum api_kind)api_kinds[kind], entity, 0);
        out->data[i] = (wasm_extern_t *)ref;
        ok &= ref != NULL;
    }
    if (!ok) wasm_extern_vec_delete(out);
}
