/* api/module.c: modules: loaded, described, shared, written. */
#include "api/internal.h"

struct wasm_shared_module_t {
    struct rt_module *rt;
};

/* The store's handle of a module, for the reference given. */
static wasm_module_t *handle(wasm_store_t *store, struct rt_module *rt) {
    wasm_module_t *m = (wasm_module_t *)api_ref(store, API_MODULE, rt, 0);
    rt_module_unref(rt);
    return m;
}

wasm_module_t *atoll_module_load(wasm_store_t *store, const wasm_byte_vec_t *bytes, const char *name,
                                 struct atoll_error *error) {
    struct rt_module *rt;
    if (rt_module_load(store->rt->engine, (const uint8_t *)bytes->data, bytes->size, false, name, &rt, error))
        return NULL;
    wasm_module_t *m = handle(store, rt);
    if (!m) atoll_fail(error, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return m;
}

bool atoll_assemble(const char *text, size_t size, wasm_byte_vec_t *out, struct atoll_error *error) {
    struct bc_buf bytes;
    bc_buf_init(&bytes, &atoll_default_alloc);
    enum atoll_status status = bc_text_assemble(text, size, NULL, &bytes, NULL, error);
    wasm_byte_vec_new_empty(out);
    if (!status && !api_bytes(&atoll_default_alloc, out, bytes.size, bytes.data))
        status = atoll_fail(error, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    bc_buf_fini(&bytes);
    return !status;
}

static bool is_binary(const wasm_byte_vec_t *bytes) {
    return bytes->size >= 4 && !memcmp(bytes->data, "\0asm", 4);
}

wasm_module_t *wasm_module_new(wasm_store_t *store, const wasm_byte_vec_t *binary) {
    return is_binary(binary) ? atoll_module_load(store, binary, NULL, NULL) : NULL;
}

bool wasm_module_validate(wasm_store_t *store, const wasm_byte_vec_t *binary) {
    struct bc_config config = {.alloc = store->rt->engine->alloc,
                               .features = store->rt->engine->config.features};
    struct bc_module *bc = NULL;
    bool valid = is_binary(binary) &&
                 !bc_module_decode((const uint8_t *)binary->data, binary->size, &config, &bc, NULL) &&
                 !bc_module_validate(bc, &config, NULL);
    bc_module_free(bc);
    return valid;
}

void wasm_module_imports(const wasm_module_t *module, wasm_importtype_vec_t *out) {
    const struct rt_module *rt = module->ref.entity;
    bool ok = true;
    api_importtype_vec(rt->engine->alloc, out, rt->bc->n_imports);
    for (size_t i = 0; i < out->size; i++)
        ok &= (out->data[i] = api_importtype(rt, &rt->bc->imports[i])) != NULL;
    if (!ok) wasm_importtype_vec_delete(out);
}

void wasm_module_exports(const wasm_module_t *module, wasm_exporttype_vec_t *out) {
    const struct rt_module *rt = module->ref.entity;
    bool ok = true;
    api_exporttype_vec(rt->engine->alloc, out, rt->bc->n_exports);
    for (size_t i = 0; i < out->size; i++)
        ok &= (out->data[i] = api_exporttype(rt, &rt->bc->exports[i])) != NULL;
    if (!ok) wasm_exporttype_vec_delete(out);
}

/* The module's own bytes: reading them back checks them again, so nothing foreign is trusted. */
void wasm_module_serialize(const wasm_module_t *module, wasm_byte_vec_t *out) {
    const struct bc_module *bc = ((const struct rt_module *)module->ref.entity)->bc;
    api_bytes(api_alloc(module->ref.store), out, bc->n_bytes, bc->bytes);
}
wasm_module_t *wasm_module_deserialize(wasm_store_t *store, const wasm_byte_vec_t *bytes) {
    return wasm_module_new(store, bytes);
}

/* It outlives the store, but not the allocator: the module holds the engine. */
wasm_shared_module_t *wasm_module_share(const wasm_module_t *module) {
    wasm_shared_module_t *shared = api_new(api_alloc(module->ref.store), 1, sizeof *shared);
    if (!shared) return NULL;
    shared->rt = module->ref.entity;
    rt_module_ref(shared->rt);
    return shared;
}
void wasm_shared_module_delete(wasm_shared_module_t *shared) {
    if (!shared) return;
    rt_module_unref(shared->rt);
    api_free(shared);
}
/* NULL in a store of another engine. */
wasm_module_t *wasm_module_obtain(wasm_store_t *store, const wasm_shared_module_t *shared) {
    if (shared->rt->engine != store->rt->engine) return NULL;
    rt_module_ref(shared->rt);
    return handle(store, shared->rt);
}

/* ---- types for managed objects ---- */

const atoll_heaptype_t *atoll_module_heaptype(const wasm_module_t *module, uint32_t index) {
    const struct rt_module *rt = module->ref.entity;
    const struct rt_type *type = index < rt->bc->n_types ? rt->types[index] : NULL;
    return type && type->form != BC_TYPE_FUNC ? (const atoll_heaptype_t *)type : NULL;
}
