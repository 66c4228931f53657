/* api/type.c: types as values: made, copied, taken apart. A type is owned by whoever made it and owns its
 * parts. Types made by users come from the C library's memory, those of modules and entities from the
 * engine's, copies from where the original came. */
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

static wasm_valtype_t *new_valtype(const struct atoll_alloc *alloc, wasm_valkind_t kind) {
    wasm_valtype_t *t = api_new(alloc, 1, sizeof *t);
    if (t) t->kind = kind;
    return t;
}
wasm_valtype_t *wasm_valtype_new(wasm_valkind_t kind) { return new_valtype(&atoll_default_alloc, kind); }
void wasm_valtype_delete(wasm_valtype_t *t) { api_free(t); }
wasm_valtype_t *wasm_valtype_copy(const wasm_valtype_t *t) { return new_valtype(api_alloc_of(t), t->kind); }
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

static wasm_functype_t *new_functype(const struct atoll_alloc *alloc, wasm_valtype_vec_t *params,
                                     wasm_valtype_vec_t *results) {
    wasm_functype_t *t = api_new(alloc, 1, sizeof *t);
    if (!t) {
        wasm_valtype_vec_delete(params);
        wasm_valtype_vec_delete(results);
        return NULL;
    }
    *t = (wasm_functype_t){{WASM_EXTERN_FUNC}, *params, *results};
    return t;
}
wasm_functype_t *wasm_functype_new(wasm_valtype_vec_t *params, wasm_valtype_vec_t *results) {
    return new_functype(&atoll_default_alloc, params, results);
}
void wasm_functype_delete(wasm_functype_t *t) {
    if (!t) return;
    wasm_valtype_vec_delete(&t->params);
    wasm_valtype_vec_delete(&t->results);
    api_free(t);
}
/* Of parts that were made whole, or NULL. */
static wasm_functype_t *functype_if(bool whole, const struct atoll_alloc *alloc, wasm_valtype_vec_t *params,
                                    wasm_valtype_vec_t *results) {
    wasm_functype_t *t = new_functype(alloc, params, results);
    if (whole) return t;
    wasm_functype_delete(t);
    return NULL;
}
wasm_functype_t *wasm_functype_copy(const wasm_functype_t *t) {
    const struct atoll_alloc *alloc = api_alloc_of(t);
    wasm_valtype_vec_t params, results;
    bool whole = api_valtype_vec_copy(alloc, &params, &t->params);
    whole &= api_valtype_vec_copy(alloc, &results, &t->results);
    wasm_functype_t *copy = functype_if(whole, alloc, &params, &results);
    if (copy) copy->base = t->base;
    return copy;
}
const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *t) { return &t->params; }
const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *t) { return &t->results; }

static bool put_types(const struct atoll_alloc *alloc, wasm_valtype_vec_t *out,
                      const struct rt_valtype *types, uint32_t n) {
    api_valtype_vec(alloc, out, n);
    bool ok = out->size == n;
    for (size_t i = 0; i < out->size; i++)
        ok &= (out->data[i] = new_valtype(alloc, api_kind_of(&types[i]))) != NULL;
    return ok;
}

wasm_functype_t *api_functype(const struct atoll_alloc *alloc, const struct rt_type *type,
                              wasm_externkind_t kind) {
    wasm_valtype_vec_t params, results;
    bool whole = put_types(alloc, &params, type->params, type->n_params);
    whole &= put_types(alloc, &results, type->results, type->n_results);
    wasm_functype_t *t = functype_if(whole, alloc, &params, &results);
    if (t) t->base.kind = kind;
    return t;
}

/* ---- globals, tables, memories ---- */

static wasm_globaltype_t *new_globaltype(const struct atoll_alloc *alloc, wasm_valtype_t *content,
                                         wasm_mutability_t mutability) {
    wasm_globaltype_t *t = content ? api_new(alloc, 1, sizeof *t) : NULL;
    if (t)
        *t = (wasm_globaltype_t){{WASM_EXTERN_GLOBAL}, content, mutability};
    else
        wasm_valtype_delete(content);
    return t;
}
wasm_globaltype_t *wasm_globaltype_new(wasm_valtype_t *content, wasm_mutability_t mutability) {
    return new_globaltype(&atoll_default_alloc, content, mutability);
}
void wasm_globaltype_delete(wasm_globaltype_t *t) {
    if (t) wasm_valtype_delete(t->content);
    api_free(t);
}
wasm_globaltype_t *wasm_globaltype_copy(const wasm_globaltype_t *t) {
    return new_globaltype(api_alloc_of(t), wasm_valtype_copy(t->content), t->mutability);
}
const wasm_valtype_t *wasm_globaltype_content(const wasm_globaltype_t *t) { return t->content; }
wasm_mutability_t wasm_globaltype_mutability(const wasm_globaltype_t *t) { return t->mutability; }
wasm_globaltype_t *api_globaltype(const struct atoll_alloc *alloc, const struct rt_valtype *type,
                                  bool mutable) {
    return new_globaltype(alloc, new_valtype(alloc, api_kind_of(type)), mutable ? WASM_VAR : WASM_CONST);
}

static wasm_tabletype_t *new_tabletype(const struct atoll_alloc *alloc, wasm_valtype_t *element,
                                       const wasm_limits_t *limits) {
    wasm_tabletype_t *t = element ? api_new(alloc, 1, sizeof *t) : NULL;
    if (t)
        *t = (wasm_tabletype_t){{WASM_EXTERN_TABLE}, element, *limits};
    else
        wasm_valtype_delete(element);
    return t;
}
wasm_tabletype_t *wasm_tabletype_new(wasm_valtype_t *element, const wasm_limits_t *limits) {
    return new_tabletype(&atoll_default_alloc, element, limits);
}
void wasm_tabletype_delete(wasm_tabletype_t *t) {
    if (t) wasm_valtype_delete(t->element);
    api_free(t);
}
wasm_tabletype_t *wasm_tabletype_copy(const wasm_tabletype_t *t) {
    return new_tabletype(api_alloc_of(t), wasm_valtype_copy(t->element), &t->limits);
}
const wasm_valtype_t *wasm_tabletype_element(const wasm_tabletype_t *t) { return t->element; }
const wasm_limits_t *wasm_tabletype_limits(const wasm_tabletype_t *t) { return &t->limits; }

/* 64-bit limits do not fit this interface: they read as its largest. */
static wasm_limits_t limits_of(const struct bc_limits *l) {
    return (wasm_limits_t){l->min > UINT32_MAX ? UINT32_MAX : (uint32_t)l->min,
                           !l->has_max || l->max > UINT32_MAX ? wasm_limits_max_default : (uint32_t)l->max};
}
wasm_tabletype_t *api_tabletype(const struct atoll_alloc *alloc, const struct rt_valtype *type,
                                const struct bc_limits *limits) {
    wasm_limits_t l = limits_of(limits);
    return new_tabletype(alloc, new_valtype(alloc, api_kind_of(type)), &l);
}

static wasm_memorytype_t *new_memorytype(const struct atoll_alloc *alloc, const wasm_limits_t *limits) {
    wasm_memorytype_t *t = api_new(alloc, 1, sizeof *t);
    if (t) *t = (wasm_memorytype_t){{WASM_EXTERN_MEMORY}, *limits};
    return t;
}
wasm_memorytype_t *wasm_memorytype_new(const wasm_limits_t *limits) {
    return new_memorytype(&atoll_default_alloc, limits);
}
void wasm_memorytype_delete(wasm_memorytype_t *t) { api_free(t); }
wasm_memorytype_t *wasm_memorytype_copy(const wasm_memorytype_t *t) {
    return new_memorytype(api_alloc_of(t), &t->limits);
}
const wasm_limits_t *wasm_memorytype_limits(const wasm_memorytype_t *t) { return &t->limits; }
wasm_memorytype_t *api_memorytype(const struct atoll_alloc *alloc, const struct bc_limits *limits) {
    wasm_limits_t l = limits_of(limits);
    return new_memorytype(alloc, &l);
}

/* ---- externs ---- */

wasm_externkind_t wasm_externtype_kind(const wasm_externtype_t *t) { return t->kind; }

#define EXTERNTYPE(name, KIND)                                                                               \
    wasm_externtype_t *wasm_##name##_as_externtype(wasm_##name##_t *t) { return (wasm_externtype_t *)t; }    \
    const wasm_externtype_t *wasm_##name##_as_externtype_const(const wasm_##name##_t *t) {                   \
        return (const wasm_externtype_t *)t;                                                                 \
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
const wasm_functype_t *atoll_externtype_as_tagtype(const wasm_externtype_t *t) {
    return t && t->kind == ATOLL_EXTERN_TAG ? (const wasm_functype_t *)t : NULL;
}

void wasm_externtype_delete(wasm_externtype_t *t) {
    if (!t) return;
    switch (t->kind) {
    case WASM_EXTERN_GLOBAL: wasm_globaltype_delete((wasm_globaltype_t *)t); break;
    case WASM_EXTERN_TABLE: wasm_tabletype_delete((wasm_tabletype_t *)t); break;
    case WASM_EXTERN_MEMORY: wasm_memorytype_delete((wasm_memorytype_t *)t); break;
    default: wasm_functype_delete((wasm_functype_t *)t); /* functions and tags */
    }
}

wasm_externtype_t *wasm_externtype_copy(const wasm_externtype_t *t) {
    switch (t->kind) {
    case WASM_EXTERN_GLOBAL: return (wasm_externtype_t *)wasm_globaltype_copy((const wasm_globaltype_t *)t);
    case WASM_EXTERN_TABLE: return (wasm_externtype_t *)wasm_tabletype_copy((const wasm_tabletype_t *)t);
    case WASM_EXTERN_MEMORY: return (wasm_externtype_t *)wasm_memorytype_copy((const wasm_memorytype_t *)t);
    default: return (wasm_externtype_t *)wasm_functype_copy((const wasm_functype_t *)t);
    }
}

wasm_externtype_t *api_externtype_of(const struct rt_module *module, enum bc_extern kind, uint32_t index) {
    const struct bc_module *bc = module->bc;
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct rt_valtype type;
    switch (kind) {
    case BC_EXTERN_FUNC:
        return (wasm_externtype_t *)api_functype(alloc, module->types[bc->funcs[index].type],
                                                 WASM_EXTERN_FUNC);
    case BC_EXTERN_GLOBAL:
        type = rt_valtype_of(module, bc->globals[index].type);
        return (wasm_externtype_t *)api_globaltype(alloc, &type, bc->globals[index].mutable);
    case BC_EXTERN_TABLE:
        type = rt_valtype_of(module, bc->tables[index].type);
        return (wasm_externtype_t *)api_tabletype(alloc, &type, &bc->tables[index].limits);
    case BC_EXTERN_MEMORY: return (wasm_externtype_t *)api_memorytype(alloc, &bc->memories[index].limits);
    default:
        return (wasm_externtype_t *)api_functype(alloc, module->types[bc->tags[index].type],
                                                 ATOLL_EXTERN_TAG);
    }
}

/* ---- imports and exports ---- */

static wasm_importtype_t *new_importtype(const struct atoll_alloc *alloc, bool whole, wasm_name_t *module,
                                         wasm_name_t *name, wasm_externtype_t *type) {
    wasm_importtype_t *t = whole && type ? api_new(alloc, 1, sizeof *t) : NULL;
    if (t) {
        *t = (wasm_importtype_t){*module, *name, type};
        return t;
    }
    wasm_name_delete(module);
    wasm_name_delete(name);
    wasm_externtype_delete(type);
    return NULL;
}
wasm_importtype_t *wasm_importtype_new(wasm_name_t *module, wasm_name_t *name, wasm_externtype_t *type) {
    return new_importtype(&atoll_default_alloc, true, module, name, type);
}
void wasm_importtype_delete(wasm_importtype_t *t) {
    if (!t) return;
    wasm_name_delete(&t->module);
    wasm_name_delete(&t->name);
    wasm_externtype_delete(t->type);
    api_free(t);
}
wasm_importtype_t *wasm_importtype_copy(const wasm_importtype_t *t) {
    const struct atoll_alloc *alloc = api_alloc_of(t);
    wasm_name_t module, name;
    bool whole = api_bytes(alloc, &module, t->module.size, t->module.data);
    whole &= api_bytes(alloc, &name, t->name.size, t->name.data);
    return new_importtype(alloc, whole, &module, &name, wasm_externtype_copy(t->type));
}
wasm_importtype_t *api_importtype(const struct rt_module *module, const struct bc_import *import) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    wasm_name_t from, name;
    bool whole = api_bytes(alloc, &from, import->module.size, import->module.bytes);
    whole &= api_bytes(alloc, &name, import->name.size, import->name.bytes);
    return new_importtype(alloc, whole, &from, &name, api_externtype_of(module, import->kind, import->index));
}
const wasm_name_t *wasm_importtype_module(const wasm_importtype_t *t) { return &t->module; }
const wasm_name_t *wasm_importtype_name(const wasm_importtype_t *t) { return &t->name; }
const wasm_externtype_t *wasm_importtype_type(const wasm_importtype_t *t) { return t->type; }

static wasm_exporttype_t *new_exporttype(const struct atoll_alloc *alloc, bool whole, wasm_name_t *name,
                                         wasm_externtype_t *type) {
    wasm_exporttype_t *t = whole && type ? api_new(alloc, 1, sizeof *t) : NULL;
    if (t) {
        *t = (wasm_exporttype_t){*name, type};
        return t;
    }
    wasm_name_delete(name);
    wasm_externtype_delete(type);
    return NULL;
}
wasm_exporttype_t *wasm_exporttype_new(wasm_name_t *name, wasm_externtype_t *type) {
    return new_exporttype(&atoll_default_alloc, true, name, type);
}
void wasm_exporttype_delete(wasm_exporttype_t *t) {
    if (!t) return;
    wasm_name_delete(&t->name);
    wasm_externtype_delete(t->type);
    api_free(t);
}
wasm_exporttype_t *wasm_exporttype_copy(const wasm_exporttype_t *t) {
    const struct atoll_alloc *alloc = api_alloc_of(t);
    wasm_name_t name;
    bool whole = api_bytes(alloc, &name, t->name.size, t->name.data);
    return new_exporttype(alloc, whole, &name, wasm_externtype_copy(t->type));
}
wasm_exporttype_t *api_exporttype(const struct rt_module *module, const struct bc_export *export) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    wasm_name_t name;
    bool whole = api_bytes(alloc, &name, export->name.size, export->name.bytes);
    return new_exporttype(alloc, whole, &name, api_externtype_of(module, export->kind, export->index));
}
const wasm_name_t *wasm_exporttype_name(const wasm_exporttype_t *t) { return &t->name; }
const wasm_externtype_t *wasm_exporttype_type(const wasm_exporttype_t *t) { return t->type; }
