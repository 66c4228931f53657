/* stdlib/native.c: a granted library becomes an import module. */
#include "stdlib/native.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

/* ---- types for libffi and for linking ---- */

static ffi_type *ffi_of(const struct native_param *p) {
    switch (p->kind) {
    case NATIVE_VOID: return &ffi_type_void;
    case NATIVE_SCALAR: return p->scalar->ffi;
    case NATIVE_STRUCT: return &p->st->ffi;
    default: return &ffi_type_pointer;
    }
}

static struct rt_valtype of_scalar(const struct native_scalar *s, bool wide) {
    bool eight = s->guest_size[wide] == 8;
    return (struct rt_valtype){.kind = s->is_float ? eight ? BC_KIND_F64 : BC_KIND_F32
                                       : eight     ? BC_KIND_I64
                                                   : BC_KIND_I32};
}

static struct rt_valtype wasm_of(const struct native_param *p, bool wide) {
    if (p->kind == NATIVE_HANDLE || p->kind == NATIVE_HANDLE_OUT)
        return (struct rt_valtype){.kind = BC_KIND_REF, .nullable = true, .heap = BC_HEAP_EXTERN};
    if (p->kind == NATIVE_CALLBACK)
        return (struct rt_valtype){.kind = BC_KIND_REF, .nullable = true, .heap = BC_HEAP_FUNC};
    const struct native_scalar *single = p->kind == NATIVE_STRUCT ? native_struct_single(p->st) : NULL;
    if (p->kind == NATIVE_SCALAR || single) return of_scalar(single ? single : p->scalar, wide);
    return (struct rt_valtype){.kind = wide ? BC_KIND_I64 : BC_KIND_I32};
}

static const struct rt_type *wasm_type(struct native_func *f, bool wide) {
    struct rt_valtype params[NATIVE_PARAMS + 3], results[NATIVE_PARAMS + 2];
    struct rt_valtype address = {.kind = wide ? BC_KIND_I64 : BC_KIND_I32}, i32 = {.kind = BC_KIND_I32};
    uint32_t n_params = 0, n_results = 0;
    if (f->result.kind == NATIVE_STRUCT && !native_struct_single(f->result.st))
        params[n_params++] = address;
    else if (f->result.kind != NATIVE_VOID)
        results[n_results++] = wasm_of(&f->result, wide);
    for (uint32_t i = 0; i < f->n_params; i++) {
        if (f->params[i].kind == NATIVE_HANDLE_OUT)
            results[n_results++] = wasm_of(&f->params[i], wide);
        else if (f->params[i].kind != NATIVE_NULL)
            params[n_params++] = wasm_of(&f->params[i], wide);
    }
    if (f->result.kind == NATIVE_STRING) params[n_params++] = address, params[n_params++] = address;
    if (f->gives_errno) results[n_results++] = i32;
    return rt_func_type(f->native->store->engine, params, n_params, results, n_results);
}

/* Where the copies of a call lie: the result first. False when they are too many. */
static bool plan_scratch(struct native_func *f) {
    uint32_t at = f->result.kind == NATIVE_STRUCT ? (f->result.st->host_size + 15) / 16 * 16 : 16;
    for (uint32_t i = 0; i < f->n_params; i++) {
        struct native_param *p = &f->params[i];
        bool is_struct = p->kind == NATIVE_STRUCT || p->kind == NATIVE_STRUCT_PTR;
        p->scratch_at = at;
        if (is_struct || p->kind == NATIVE_CELL || p->kind == NATIVE_HANDLE_OUT)
            at += is_struct ? (p->st->host_size + 15) / 16 * 16 : 16;
    }
    f->scratch_bytes = at;
    return at <= NATIVE_SCRATCH;
}

static enum atoll_status prepare(struct native_func *f, struct atoll_error *err) {
    for (uint32_t i = 0; i < f->n_params; i++) f->ffi_params[i] = ffi_of(&f->params[i]);
    ffi_type *result = ffi_of(&f->result);
    if (!plan_scratch(f))
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "%u:%u: the structs of %s are too large",
                          f->line, f->column, f->name);
    ffi_status status =
        f->variadic
            ? ffi_prep_cif_var(&f->cif, FFI_DEFAULT_ABI, f->n_fixed, f->n_params, result, f->ffi_params)
            : ffi_prep_cif(&f->cif, FFI_DEFAULT_ABI, f->n_params, result, f->ffi_params);
    if (status != FFI_OK)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "%u:%u: %s cannot be called", f->line,
                          f->column, f->name);
    for (int w = 0; w < 2; w++) {
        f->bindings[w] = (struct native_binding){.of = f, .wide = w, .type = wasm_type(f, w)};
        if (!f->bindings[w].type) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    return ATOLL_OK;
}

/* ---- loading ---- */

static enum atoll_status open_library(struct native *n, struct atoll_error *err) {
    struct sb_request request = {.kind = SB_NATIVE_OPEN,
                                 .name = n->library,
                                 .name_size = strlen(n->library),
                                 .numbers = {SB_ABSENT, SB_ABSENT}};
    if (sb_ask(n->sandbox, &request))
        return atoll_fail(err, ATOLL_E_DENIED, ATOLL_NO_OFFSET, "the sandbox refused library %s", n->library);
    n->dl = dlopen(n->library, RTLD_NOW | RTLD_LOCAL);
    sb_answer(n->sandbox, &request, n->dl ? 0 : ENOENT, 0);
    return n->dl ? ATOLL_OK : atoll_fail(err, ATOLL_E_LINK, ATOLL_NO_OFFSET, "%s", dlerror());
}

static enum atoll_status find_symbol(struct native_func *f, struct atoll_error *err) {
    *(void **)&f->symbol = dlsym(f->native->dl, f->symbol_name);
    if (f->symbol) return ATOLL_OK;
    return atoll_fail(err, ATOLL_E_LINK, ATOLL_NO_OFFSET, "%u:%u: %s has no function %s", f->line, f->column,
                      f->native->library, f->symbol_name);
}

static enum atoll_status load(struct native *n, const char *text, size_t size, struct atoll_error *err) {
    enum atoll_status status = native_parse(n, text, size, err);
    if (!status && !n->module[0]) memcpy(n->module, n->library, sizeof n->module);
    if (!status) status = open_library(n, err);
    for (struct native_func *f = n->callbacks; f && !status; f = f->next) status = prepare(f, err);
    for (struct native_func *f = n->funcs; f && !status; f = f->next) {
        status = find_symbol(f, err);
        if (!status) status = prepare(f, err);
    }
    return status;
}

enum atoll_status native_new(struct rt_store *store, struct sandbox *sandbox, const char *module,
                             const char *text, size_t size, struct native **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = store->engine->alloc;
    struct native *n = atoll_new(alloc, 1, sizeof *n);
    if (!n) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *n = (struct native){.alloc = alloc, .store = store, .sandbox = sandbox};
    enum atoll_status status = load(n, text, size, err);
    if (!status && module && strlen(module) >= NATIVE_NAME)
        status = atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the module name is too long");
    if (status) return native_free(n), status;
    if (module) strcpy(n->module, module);
    *out = n;
    return ATOLL_OK;
}

#define FREE_LIST(n, type, list)                                                                             \
    for (type *at = (list), *following; at; at = following) {                                                \
        following = at->next;                                                                                \
        atoll_free((n)->alloc, at, sizeof *at);                                                              \
    }

/* Whether nobody has the library loaded any more. */
static bool unload(struct native *n) {
    if (n->dl && dlclose(n->dl)) return false;
    void *still = n->dl ? dlopen(n->library, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD) : NULL;
    if (still) dlclose(still);
    return !still;
}

void native_free(struct native *n) {
    if (!n) return;
    native_closures_free(n, unload(n));
    for (struct native_struct *s = n->structs; s; s = s->next) {
        atoll_free(n->alloc, s->fields, s->cap_fields * sizeof *s->fields);
        atoll_free(n->alloc, s->elements, s->cap_elements * sizeof *s->elements);
    }
    FREE_LIST(n, struct native_func, n->funcs);
    FREE_LIST(n, struct native_func, n->callbacks);
    FREE_LIST(n, struct native_struct, n->structs);
    FREE_LIST(n, struct native_handle_type, n->handle_types);
    native_handles_free(n);
    atoll_free(n->alloc, n, sizeof *n);
}

/* ---- linking ---- */

static bool name_is(struct bc_name name, const char *text) {
    return name.size == strlen(text) && !memcmp(name.bytes, text, name.size);
}

struct native *native_of(const struct rt_func *func) {
    const struct native_binding *b = func->host == native_call ? func->context : NULL;
    return b ? b->of->native : NULL;
}

bool native_threads(const struct native *n) { return n->threads; }

bool native_resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out) {
    struct native *n = context;
    if (!n || import->kind != BC_EXTERN_FUNC || !name_is(import->module, n->module)) return false;
    struct native_func *f = n->funcs;
    while (f && !name_is(import->name, f->name)) f = f->next;
    if (!f) return false;
    bool wide = module->bc->n_memories && module->bc->memories[0].limits.is64;
    struct native_binding *b = &f->bindings[wide];
    if (!b->func && rt_host_func_new(n->store, b->type, native_call, b, f->name, &b->func)) return false;
    *out = (struct rt_extern){.kind = BC_EXTERN_FUNC, .func = b->func};
    return true;
}
