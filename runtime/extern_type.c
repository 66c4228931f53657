/* runtime/extern_type.c: types of imports and exports: whether one fits the other, and how messages spell
 * them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "runtime/internal.h"

struct rt_extern_type rt_extern_type_wanted(const struct rt_module *module, const struct bc_import *import) {
    const struct bc_module *bc = module->bc;
    struct rt_extern_type t = {.kind = import->kind};
    uint32_t i = import->index;
    switch (import->kind) {
    case BC_EXTERN_FUNC: t.type = module->types[bc->funcs[i].type]; break;
    case BC_EXTERN_TABLE:
        t.valtype = rt_valtype_of(module, bc->tables[i].type);
        t.limits = bc->tables[i].limits;
        break;
    case BC_EXTERN_MEMORY: t.limits = bc->memories[i].limits; break;
    case BC_EXTERN_GLOBAL:
        t.valtype = rt_valtype_of(module, bc->globals[i].type);
        t.mutable = bc->globals[i].mutable;
        break;
    case BC_EXTERN_TAG: t.type = module->types[bc->tags[i].type]; break;
    }
    return t;
}

/* Limits as they are now: growth has raised the minimum. */
static struct bc_limits limits_now(const struct bc_limits *declared, uint64_t size) {
    struct bc_limits now = *declared;
    now.min = size;
    return now;
}

struct rt_extern_type rt_extern_type_found(const struct rt_extern *found) {
    struct rt_extern_type t = {.kind = found->kind};
    switch (found->kind) {
    case BC_EXTERN_FUNC: t.type = found->func->type; break;
    case BC_EXTERN_TABLE:
        t.valtype = found->table->elem_type;
        t.limits = limits_now(&found->table->type, found->table->size);
        break;
    case BC_EXTERN_MEMORY: {
        const struct rt_memory *m = found->memory;
        t.limits = limits_now(&m->type, atomic_load(&m->size_bytes) >> m->type.page_size_log2);
        break;
    }
    case BC_EXTERN_GLOBAL:
        t.valtype = found->global->type;
        t.mutable = found->global->mutable;
        break;
    case BC_EXTERN_TAG: t.type = found->tag->type; break;
    }
    return t;
}

static bool limits_match(const struct bc_limits *found, const struct bc_limits *wanted) {
    if (found->is64 != wanted->is64 || found->shared != wanted->shared) return false;
    if (found->page_size_log2 != wanted->page_size_log2) return false;
    if (found->min < wanted->min) return false;
    return !wanted->has_max || (found->has_max && found->max <= wanted->max);
}

bool rt_extern_type_matches(const struct rt_extern_type *found, const struct rt_extern_type *wanted) {
    if (found->kind != wanted->kind) return false;
    switch (wanted->kind) {
    case BC_EXTERN_FUNC: return rt_type_matches(found->type, wanted->type);
    case BC_EXTERN_TAG: return found->type == wanted->type;
    case BC_EXTERN_MEMORY: return limits_match(&found->limits, &wanted->limits);
    case BC_EXTERN_TABLE:
        return limits_match(&found->limits, &wanted->limits) &&
               rt_valtype_equal(&found->valtype, &wanted->valtype);
    case BC_EXTERN_GLOBAL:
        if (found->mutable != wanted->mutable) return false;
        return wanted->mutable ? rt_valtype_equal(&found->valtype, &wanted->valtype)
                               : rt_valtype_matches(&found->valtype, &wanted->valtype);
    }
    return false;
}

/* ---- text ---- */

struct text {
    char *out;
    size_t size, used; /* used < size; what does not fit is cut */
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->out + t->used, t->size - t->used, format, args);
    va_end(args);
    if (n < 0) return;
    t->used = (size_t)n < t->size - t->used ? t->used + (size_t)n : t->size - 1;
}

static bool full(const struct text *t) { return t->used + 1 >= t->size; }

/* A concrete type has no index outside its module: its form has to do. */
static void put_heap(struct text *t, const struct rt_valtype *type) {
    static const char *const forms[] = {"<func type>", "<struct type>", "<array type>"};
    static const char *const heaps[] = {"any",    "eq",     "i31",      "struct", "array", "none",  "func",
                                        "nofunc", "extern", "noextern", "exn",    "noexn", "bottom"};
    put(t, "%s", type->type ? forms[type->type->form] : heaps[type->heap]);
}

static void put_valtype(struct text *t, const struct rt_valtype *type) {
    static const char *const kinds[] = {"bottom", "i32", "i64", "f32", "f64", "v128", "ref", "packed"};
    if (type->kind == BC_KIND_PACKED) {
        put(t, "i%u", type->heap);
    } else if (type->kind != BC_KIND_REF) {
        put(t, "%s", kinds[type->kind]);
    } else if (!type->type && type->nullable && type->heap < BC_HEAP_NONE) {
        put_heap(t, type);
        put(t, "ref");
    } else if (!type->type && type->nullable &&
               (type->heap == BC_HEAP_FUNC || type->heap == BC_HEAP_EXTERN)) {
        put_heap(t, type);
        put(t, "ref");
    } else {
        put(t, type->nullable ? "(ref null " : "(ref ");
        put_heap(t, type);
        put(t, ")");
    }
}

static void put_valtypes(struct text *t, const char *word, const struct rt_valtype *list, uint32_t n) {
    if (!n) return;
    put(t, " (%s", word);
    for (uint32_t i = 0; i < n && !full(t); i++) {
        put(t, " ");
        put_valtype(t, list + i);
    }
    put(t, ")");
}

static void put_signature(struct text *t, const char *word, const struct rt_type *type) {
    put(t, "(%s", word);
    put_valtypes(t, "param", type->params, type->n_params);
    put_valtypes(t, "result", type->results, type->n_results);
    put(t, ")");
}

static void put_limits(struct text *t, const struct bc_limits *limits) {
    put(t, "%s %" PRIu64, limits->is64 ? " i64" : "", limits->min);
    if (limits->has_max) put(t, " %" PRIu64, limits->max);
    if (limits->shared) put(t, " shared");
}

const char *rt_extern_type_text(const struct rt_extern_type *type, char *out, size_t size) {
    struct text t = {out, size, 0};
    switch (type->kind) {
    case BC_EXTERN_FUNC: put_signature(&t, "func", type->type); break;
    case BC_EXTERN_TAG: put_signature(&t, "tag", type->type); break;
    case BC_EXTERN_MEMORY:
        put(&t, "(memory");
        put_limits(&t, &type->limits);
        if (type->limits.page_size_log2 != 16)
            put(&t, " (pagesize %u)", 1u << (type->limits.page_size_log2 & 31));
        put(&t, ")");
        break;
    case BC_EXTERN_TABLE:
        put(&t, "(table");
        put_limits(&t, &type->limits);
        put(&t, " ");
        put_valtype(&t, &type->valtype);
        put(&t, ")");
        break;
    case BC_EXTERN_GLOBAL:
        put(&t, type->mutable ? "(global (mut " : "(global ");
        put_valtype(&t, &type->valtype);
        put(&t, type->mutable ? "))" : ")");
        break;
    }
    return out;
}
