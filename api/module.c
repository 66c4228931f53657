/* api/module.c: modules: loaded, described, shared, written. */
#include <stdio.h>
#include <stdlib.h>
#include "api/internal.h"

struct wasm_shared_module_t {
    struct rt_module *rt;
};

static wasm_module_t *handle(wasm_store_t *store, struct rt_module *rt) {
    bool known = api_ref_known(store, API_MODULE, rt) != NULL; /* and counts the module already */
    wasm_module_t *m = (wasm_module_t *)api_ref(store, API_MODULE, rt, 0);
    if (!m || known) rt_module_unref(rt);
    return m;
}

static void tell(char *error, size_t size, const struct atoll_error *err) {
    if (!error || !size) return;
    if (err->line)
        snprintf(error, size, "%u:%u: %s", err->line, err->column, err->text);
    else if (err->offset != ATOLL_NO_OFFSET)
        snprintf(error, size, "0x%llx: %s", (unsigned long long)err->offset, err->text);
    else
        snprintf(error, size, "%s", err->text);
}

wasm_module_t *atoll_module_load(wasm_store_t *store, const wasm_byte_vec_t *bytes, const char *name,
                                 char *error, size_t error_size) {
    struct rt_module *rt;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    if (!rt_module_load(store->rt->engine, (const uint8_t *)bytes->data, bytes->size, false, name, &rt, &err))
        return handle(store, rt);
    tell(error, error_size, &err);
    return NULL;
}

bool atoll_assemble(const char *text, size_t size, wasm_byte_vec_t *out, char *error, size_t error_size) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct bc_buf bytes;
    bc_buf_init(&bytes, &atoll_default_alloc);
    enum atoll_status status = bc_text_assemble(text, size, NULL, &bytes, NULL, &err);
    wasm_byte_vec_new_empty(out);
    if (status)
        tell(error, error_size, &err);
    else
        wasm_byte_vec_new(out, bytes.size, (const char *)bytes.data);
    bc_buf_fini(&bytes);
    return !status && out->size;
}

static bool is_binary(const wasm_byte_vec_t *bytes) {
    return bytes->size >= 4 && !memcmp(bytes->data, "\0asm", 4);
}

wasm_module_t *wasm_module_new(wasm_store_t *store, const wasm_byte_vec_t *binary) {
    return is_binary(binary) ? atoll_module_load(store, binary, NULL, NULL, 0) : NULL;
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

static void put_name(wasm_name_t *out, struct bc_name name) { wasm_name_new(out, name.size, name.bytes); }

void wasm_module_imports(const wasm_module_t *module, wasm_importtype_vec_t *out) {
    const struct rt_module *rt = module->ref.entity;
    wasm_importtype_vec_new_uninitialized(out, rt->bc->n_imports);
    for (size_t i = 0; i < out->size; i++) {
        wasm_name_t from, name;
        put_name(&from, rt->bc->imports[i].module);
        put_name(&name, rt->bc->imports[i].name);
        out->data[i] = wasm_importtype_new(&from, &name, api_externtype_of_import(rt, &rt->bc->imports[i]));
    }
}

void wasm_module_exports(const wasm_module_t *module, wasm_exporttype_vec_t *out) {
    const struct rt_module *rt = module->ref.entity;
    wasm_exporttype_vec_new_uninitialized(out, rt->bc->n_exports);
    for (size_t i = 0; i < out->size; i++) {
        const struct bc_export *e = &rt->bc->exports[i];
        wasm_name_t name;
        put_name(&name, e->name);
        out->data[i] = wasm_exporttype_new(&name, api_externtype_of(rt, e->kind, e->index));
    }
}

/* The module's own bytes: reading them back checks them again, so nothing foreign is trusted. */
void wasm_module_serialize(const wasm_module_t *module, wasm_byte_vec_t *out) {
    const struct bc_module *bc = ((const struct rt_module *)module->ref.entity)->bc;
    wasm_byte_vec_new(out, bc->n_bytes, (const char *)bc->bytes);
}
wasm_module_t *wasm_module_deserialize(wasm_store_t *store, const wasm_byte_vec_t *bytes) {
    return wasm_module_new(store, bytes);
}

wasm_shared_module_t *wasm_module_share(const wasm_module_t *module) {
    wasm_shared_module_t *shared = malloc(sizeof *shared);
    if (!shared) return NULL;
    shared->rt = module->ref.entity;
    rt_module_ref(shared->rt);
    return shared;
}
void wasm_shared_module_delete(wasm_shared_module_t *shared) {
    if (!shared) return;
    rt_module_unref(shared->rt);
    free(shared);
}
/* NULL in a store of another engine. */
wasm_module_t *wasm_module_obtain(wasm_store_t *store, const wasm_shared_module_t *shared) {
    if (shared->rt->engine != store->rt->engine) return NULL;
    rt_module_ref(shared->rt);
    return handle(store, shared->rt);
}
