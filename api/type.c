/* api/type.c: types as values: made, copied, taken apart. A type is owned by whoever made it and owns its
 * parts. */
#include <stdlib.h>
#include "api/internal.h"

struct wasm_valtype_t {
    wasm_valkind_t kind;
};
struct wasm_externtype_t { /* in front of the four concrete ones */
    wasm_externkind_t kind;
};
struct wasm_functype_t {
    wasm_externtype_t base;
    wasm_valtype_vec_t params, results;
};
struct wasm_globaltype_t {
    wasm_externtype_t base;
    wasm_valtype_t *content;
    wasm_mutability_t mutability;
};
struct wasm_tabletype_t {
    wasm_externtype_t base;
    wasm_valtype_t *element;
    wasm_limits_t limits;
};
struct wasm_memorytype_t {
    wasm_externtype_t base;
    wasm_limits_t limits;
};
struct wasm_importtype_t {
    wasm_name_t module, name;
    wasm_externtype_t *type;
};
struct wasm_exporttype_t {
    wasm_name_t name;
    wasm_externtype_t *type;
};

/* ---- value types ---- */

wasm_valtype_t *wasm_valtype_new(wasm_valkind_t kind) {
    wasm_valtype_t *t = calloc(1, sizeof *t);
    if (t) t->kind = kind;
    return t;
}
void wasm_valtype_delete(wasm_valtype_t *t) { free(t); }
wasm_valtype_t *wasm_valtype_copy(const wasm_valtype_t *t) { return wasm_valtype_new(t->kind); }
wasm_valkind_t wasm_valtype_kind(const wasm_valtype_t *t) { return t->kind; }

wasm_valkind_t api_kind_of(const struct rt_valtype *type) {
    switch (type->kind) {
    case BC_KIND_I32: return WASM_I32;
    case BC_KIND_I64: return WASM_I64;
    case BC_KIND_F32: return WASM_F32;
    case BC_KIND_F64: return WASM_F64;
    case BC_KIND_V128: return ATOLL_V128;
    default: return rt_valtype_managed(type) ? WASM_EXTERNREF : WASM_FUNCREF;
    }
}

struct rt_valtype api_valtype(const wasm_valtype_t *type) {
    static const uint8_t kinds[] = {BC_KIND_I32, BC_KIND_I64, BC_KIND_F32, BC_KIND_F64, BC_KIND_V128};
    if (type->kind < sizeof kinds) return (struct rt_valtype){.kind = kinds[type->kind]};
    return (struct rt_valtype){.kind = BC_KIND_REF,
                               .nullable = true,
                               .heap = type->kind == WASM_FUNCREF ? BC_HEAP_FUNC : BC_HEAP_EXTERN};
}

/* ---- functions ---- */

wasm_functype_t *wasm_functype_new(wasm_valtype_vec_t *params, wasm_valtype_vec_t *results) {
    wasm_functype_t *t = calloc(1, sizeof *t);
    if (!t) {
        wasm_valtype_vec_delete(params);
        wasm_valtype_vec_delete(results);
        return NULL;
    }
    *t = (wasm_functype_t){{WASM_EXTERN_FUNC}, *params, *results};
    return t;
}
void wasm_functype_delete(wasm_functype_t *t) {
    if (!t) return;
    wasm_valtype_vec_delete(&t->params);
    wasm_valtype_vec_delete(&t->results);
    free(t);
}
wasm_functype_t *wasm_functype_copy(const wasm_functype_t *t) {
    wasm_valtype_vec_t params, results;
    wasm_valtype_vec_copy(&params, &t->params);
    wasm_valtype_vec_copy(&results, &t->results);
    return wasm_functype_new(&params, &results);
}
const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *t) { return &t->params; }
const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *t) { return &t->results; }

static bool put_types(wasm_valtype_vec_t *out, const struct rt_valtype *types, uint32_t n) {
    wasm_valtype_vec_new_uninitialized(out, n);
    bool ok = out->size == n;
    for (size_t i = 0; i < out->size; i++)
        ok &= (out->data[i] = wasm_valtype_new(api_kind_of(&types[i]))) != NULL;
    return ok;
}

wasm_functype_t *api_functype(const struct rt_type *type) {
    wasm_valtype_vec_t params, results;
    bool ok = put_types(&params, type->params, type->n_params);
    ok &= put_types(&results, type->results, type->n_results);
    wasm_functype_t *t = wasm_functype_new(&params, &results);
    if (ok) return t;
    wasm_functype_delete(t);
    return NULL;
}

/* ---- globals, tables, memories ---- */

wasm_globaltype_t *wasm_globaltype_new(wasm_valtype_t *content, wasm_mutability_t mutability) {
    wasm_globaltype_t *t = content ? calloc(1, sizeof *t) : NULL;
    if (t)
        *t = (wasm_globaltype_t){{WASM_EXTERN_GLOBAL}, content, mutability};
    else
        wasm_valtype_delete(content);
    return t;
}
void wasm_globaltype_delete(wasm_globaltype_t *t) {
    if (t) wasm_valtype_delete(t->content);
    free(t);
}
wasm_globaltype_t *wasm_globaltype_copy(const wasm_globaltype_t *t) {
    return wasm_globaltype_new(wasm_valtype_copy(t->content), t->mutability);
}
const wasm_valtype_t *wasm_globaltype_content(const wasm_globaltype_t *t) { return t->content; }
wasm_mutability_t wasm_globaltype_mutability(const wasm_globaltype_t *t) { return t->mutability; }
wasm_globaltype_t *api_globaltype(const struct rt_valtype *type, bool mutable) {
    return wasm_globaltype_new(wasm_valtype_new(api_kind_of(type)), mutable ? WASM_VAR : WASM_CONST);
}

wasm_tabletype_t *wasm_tabletype_new(wasm_valtype_t *element, const wasm_limits_t *limits) {
    wasm_tabletype_t *t = element ? calloc(1, sizeof *t) : NULL;
    if (t)
        *t = (wasm_tabletype_t){{WASM_EXTERN_TABLE}, element, *limits};
    else
        wasm_valtype_delete(element);
    return t;
}
void wasm_tabletype_delete(wasm_tabletype_t *t) {
    if (t) wasm_valtype_delete(t->element);
    free(t);
}
wasm_tabletype_t *wasm_tabletype_copy(const wasm_tabletype_t *t) {
    return wasm_tabletype_new(wasm_valtype_copy(t->element), &t->limits);
}
const wasm_valtype_t *wasm_tabletype_element(const wasm_tabletype_t *t) { return t->element; }
const wasm_limits_t *wasm_tabletype_limits(const wasm_tabletype_t *t) { return &t->limits; }

/* 64-bit limits do not fit this interface: they read as its largest. */
static wasm_limits_t limits_of(const struct bc_limits *l) {
    return (wasm_limits_t){l->min > UINT32_MAX ? UINT32_MAX : (uint32_t)l->min,
                           !l->has_max || l->max > UINT32_MAX ? wasm_limits_max_default : (uint32_t)l->max};
}
wasm_tabletype_t *api_tabletype(const struct rt_valtype *type, const struct bc_limits *limits) {
    wasm_limits_t l = limits_of(limits);
    return wasm_tabletype_new(wasm_valtype_new(api_kind_of(type)), &l);
}

wasm_memorytype_t *wasm_memorytype_new(const wasm_limits_t *limits) {
    wasm_memorytype_t *t = calloc(1, sizeof *t);
    if (t) *t = (wasm_memorytype_t){{WASM_EXTERN_MEMORY}, *limits};
    return t;
}
void wasm_memorytype_delete(wasm_memorytype_t *t) { free(t); }
wasm_memorytype_t *wasm_memorytype_copy(const wasm_memorytype_t *t) {
    return wasm_memorytype_new(&t->limits);
}
const wasm_limits_t *wasm_memorytype_limits(const wasm_memorytype_t *t) { return &t->limits; }
wasm_memorytype_t *api_memorytype(const struct bc_limits *limits) {
    wasm_limits_t l = limits_of(limits);
    return wasm_memorytype_new(&l);
}

/* ---- externs ---- */

wasm_externkind_t wasm_externtype_kind(const wasm_externtype_t *t) { return t->kind; }

#define EXTERNTYPE(name, KIND)                                                                               \
    wasm_externtype_t *wasm_##name##_as_externtype(wasm_##name##_t *t) { return &t->base; }                  \
    const wasm_externtype_t *wasm_##name##_as_externtype_const(const wasm_##name##_t *t) {                   \
        return &t->base;                                                                                     \
    }                                                                                                        \
    wasm_##name##_t *wasm_externtype_as_##name(wasm_externtype_t *t) {                                       \
        return t->kind == KIND ? (wasm_##name##_t *)t : NULL;                                                \
    }                                                                                                        \
    const wasm_##name##_t *wasm_externtype_as_##name##_const(const wasm_externtype_t *t) {                   \
        return t->kind == KIND ? (const wasm_##name##_t *)t : NULL;                                          \
    }
EXTERNTYPE(functype, WASM_EXTERN_FUNC)
EXTERNTYPE(globaltype, WASM_EXTERN_GLOBAL)
EXTERNTYPE(tabletype, WASM_EXTERN_TABLE)
EXTERNTYPE(memorytype, WASM_EXTERN_MEMORY)

void wasm_externtype_delete(wasm_externtype_t *t) {
    if (!t) return;
    switch (t->kind) {
    case WASM_EXTERN_GLOBAL: wasm_globaltype_delete((wasm_globaltype_t *)t); break;
    case WASM_EXTERN_TABLE: wasm_tabletype_delete((wasm_tabletype_t *)t); break;
    case WASM_EXTERN_MEMORY: wasm_memorytype_delete((wasm_memorytype_t *)t); break;
    default: wasm_functype_delete((wasm_functype_t *)t); /* functions and tags */
    }
}

static wasm_externtype_t *of_func(wasm_functype_t *t, wasm_externkind_t kind) {
    if (t) t->base.kind = kind;
    return (wasm_externtype_t *)t;
}

wasm_externtype_t *wasm_externtype_copy(const wasm_externtype_t *t) {
    switch (t->kind) {
    case WASM_EXTERN_GLOBAL: return (wasm_externtype_t *)wasm_globaltype_copy((const wasm_globaltype_t *)t);
    case WASM_EXTERN_TABLE: return (wasm_externtype_t *)wasm_tabletype_copy((const wasm_tabletype_t *)t);
    case WASM_EXTERN_MEMORY: return (wasm_externtype_t *)wasm_memorytype_copy((const wasm_memorytype_t *)t);
    default: return of_func(wasm_functype_copy((const wasm_functype_t *)t), t->kind);
    }
}

wasm_externtype_t *api_externtype_of(const struct rt_module *module, enum bc_extern kind, uint32_t index) {
    const struct bc_module *bc = module->bc;
    struct rt_valtype type;
    switch (kind) {
    case BC_EXTERN_FUNC: return (wasm_externtype_t *)api_functype(module->types[bc->funcs[index].type]);
    case BC_EXTERN_GLOBAL:
        type = rt_valtype_of(module, bc->globals[index].type);
        return (wasm_externtype_t *)api_globaltype(&type, bc->globals[index].mutable);
    case BC_EXTERN_TABLE:
        type = rt_valtype_of(module, bc->tables[index].type);
        return (wasm_externtype_t *)api_tabletype(&type, &bc->tables[index].limits);
    case BC_EXTERN_MEMORY: return (wasm_externtype_t *)api_memorytype(&bc->memories[index].limits);
    default: return of_func(api_functype(module->types[bc->tags[index].type]), ATOLL_EXTERN_TAG);
    }
}
wasm_externtype_t *api_externtype_of_import(const struct rt_module *module, const struct bc_import *import) {
    return api_externtype_of(module, import->kind, import->index);
}

/* ---- imports and exports ---- */

wasm_importtype_t *wasm_importtype_new(wasm_name_t *module, wasm_name_t *name, wasm_externtype_t *type) {
    wasm_importtype_t *t = type ? calloc(1, sizeof *t) : NULL;
    if (t) {
        *t = (wasm_importtype_t){*module, *name, type};
        return t;
    }
    wasm_name_delete(module);
    wasm_name_delete(name);
    wasm_externtype_delete(type);
    return NULL;
}
void wasm_importtype_delete(wasm_importtype_t *t) {
    if (!t) return;
    wasm_name_delete(&t->module);
    wasm_name_delete(&t->name);
    wasm_externtype_delete(t->type);
    free(t);
}
wasm_importtype_t *wasm_importtype_copy(const wasm_importtype_t *t) {
    wasm_name_t module, name;
    wasm_name_copy(&module, &t->module);
    wasm_name_copy(&name, &t->name);
    return wasm_importtype_new(&module, &name, wasm_externtype_copy(t->type));
}
const wasm_name_t *wasm_importtype_module(const wasm_importtype_t *t) { return &t->module; }
const wasm_name_t *wasm_importtype_name(const wasm_importtype_t *t) { return &t->name; }
const wasm_externtype_t *wasm_importtype_type(const wasm_importtype_t *t) { return t->type; }

wasm_exporttype_t *wasm_exporttype_new(wasm_name_t *name, wasm_externtype_t *type) {
    wasm_exporttype_t *t = type ? calloc(1, sizeof *t) : NULL;
    if (t) {
        *t = (wasm_exporttype_t){*name, type};
        return t;
    }
    wasm_name_delete(name);
    wasm_externtype_delete(type);
    return NULL;
}
void wasm_exporttype_delete(wasm_exporttype_t *t) {
    if (!t) return;
    wasm_name_delete(&t->name);
    wasm_externtype_delete(t->type);
    free(t);
}
wasm_exporttype_t *wasm_exporttype_copy(const wasm_exporttype_t *t) {
    wasm_name_t name;
    wasm_name_copy(&name, &t->name);
    return wasm_exporttype_new(&name, wasm_externtype_copy(t->type));
}
const wasm_name_t *wasm_exporttype_name(const wasm_exporttype_t *t) { return &t->name; }
const wasm_externtype_t *wasm_exporttype_type(const wasm_exporttype_t *t) { return t->type; }
