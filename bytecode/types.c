/* bytecode/types.c: relations between types of one module. Source: core spec, "Validation / Matching". */
#include "bytecode/encode.h"

#include <stdio.h>

static uint32_t canonical_heap(const struct bc_module *m, uint32_t heap) {
    return heap < m->n_types ? m->types[heap].canonical : heap;
}

bool bc_valtype_equal(const struct bc_module *m, bc_valtype a, bc_valtype b) {
    if (a == b) return true;
    if (!bc_valtype_is_ref(a) || !bc_valtype_is_ref(b)) return false;
    return bc_valtype_nullable(a) == bc_valtype_nullable(b) &&
           canonical_heap(m, bc_valtype_heap(a)) == canonical_heap(m, bc_valtype_heap(b));
}

/* Which abstract heap types stand above a kind, itself included. */
#define ABOVE(kind) (1u << BC_HEAP_##kind)
static const uint16_t abstract_supers[] = {
    [BC_HEAP_ANY] = ABOVE(ANY),
    [BC_HEAP_EQ] = ABOVE(EQ) | ABOVE(ANY),
    [BC_HEAP_I31] = ABOVE(I31) | ABOVE(EQ) | ABOVE(ANY),
    [BC_HEAP_STRUCT] = ABOVE(STRUCT) | ABOVE(EQ) | ABOVE(ANY),
    [BC_HEAP_ARRAY] = ABOVE(ARRAY) | ABOVE(EQ) | ABOVE(ANY),
    [BC_HEAP_NONE] = ABOVE(NONE) | ABOVE(I31) | ABOVE(STRUCT) | ABOVE(ARRAY) | ABOVE(EQ) | ABOVE(ANY),
    [BC_HEAP_FUNC] = ABOVE(FUNC),
    [BC_HEAP_NOFUNC] = ABOVE(NOFUNC) | ABOVE(FUNC),
    [BC_HEAP_EXTERN] = ABOVE(EXTERN),
    [BC_HEAP_NOEXTERN] = ABOVE(NOEXTERN) | ABOVE(EXTERN),
    [BC_HEAP_EXN] = ABOVE(EXN),
    [BC_HEAP_NOEXN] = ABOVE(NOEXN) | ABOVE(EXN),
    [BC_HEAP_BOTTOM] = UINT16_MAX,
};

static enum bc_heap_kind form_kind(const struct bc_type *t) {
    return t->form == BC_TYPE_FUNC     ? BC_HEAP_FUNC
           : t->form == BC_TYPE_STRUCT ? BC_HEAP_STRUCT
                                       : BC_HEAP_ARRAY;
}

static bool concrete_matches(const struct bc_module *m, uint32_t sub, uint32_t super) {
    const struct bc_type *above = &m->types[super];
    const struct bc_type *t = &m->types[sub];
    while (t->depth > above->depth) t = &m->types[t->super];
    return t->canonical == above->canonical;
}

bool bc_heaptype_matches(const struct bc_module *m, uint32_t sub, uint32_t super) {
    if (sub == super) return true;
    if (super < BC_HEAP_ABSTRACT) {
        if (super >= m->n_types) return false;
        if (sub < m->n_types) return concrete_matches(m, sub, super);
        if (sub == BC_HEAP_ABSTRACT + BC_HEAP_BOTTOM) return true;
        return sub ==
               BC_HEAP_ABSTRACT + (m->types[super].form == BC_TYPE_FUNC ? BC_HEAP_NOFUNC : BC_HEAP_NONE);
    }
    enum bc_heap_kind kind;
    if (sub < BC_HEAP_ABSTRACT) {
        if (sub >= m->n_types) return false;
        kind = form_kind(&m->types[sub]);
    } else {
        kind = (enum bc_heap_kind)(sub - BC_HEAP_ABSTRACT);
    }
    return abstract_supers[kind] >> (super - BC_HEAP_ABSTRACT) & 1;
}

bool bc_valtype_matches(const struct bc_module *m, bc_valtype sub, bc_valtype super) {
    if (sub == super || sub == BC_BOTTOM) return true;
    if (!bc_valtype_is_ref(sub) || !bc_valtype_is_ref(super)) return false;
    if (bc_valtype_nullable(sub) && !bc_valtype_nullable(super)) return false;
    return bc_heaptype_matches(m, bc_valtype_heap(sub), bc_valtype_heap(super));
}

const char *bc_valtype_text(bc_valtype type, char *out, size_t size) {
    static const char *const plain[] = {"bot", "i32", "i64", "f32", "f64", "v128"};
    uint32_t heap = bc_valtype_heap(type);
    if (bc_valtype_kind(type) == BC_KIND_PACKED)
        snprintf(out, size, "i%u", heap);
    else if (!bc_valtype_is_ref(type))
        snprintf(out, size, "%s", plain[bc_valtype_kind(type)]);
    else if (type == BC_FUNCREF || type == BC_EXTERNREF)
        snprintf(out, size, "%s", bc_heap_infos[heap - BC_HEAP_ABSTRACT].nullable);
    else if (heap < BC_HEAP_ABSTRACT)
        snprintf(out, size, "(ref %s%u)", bc_valtype_nullable(type) ? "null " : "", heap);
    else
        snprintf(out, size, "(ref %s%s)", bc_valtype_nullable(type) ? "null " : "",
                 heap == BC_HEAP_ABSTRACT + BC_HEAP_BOTTOM ? "bot"
                                                           : bc_heap_infos[heap - BC_HEAP_ABSTRACT].heap);
    return out;
}
