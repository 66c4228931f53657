/* bytecode/validate_object.c: references and objects. Source: core spec, "Validation / Instructions",
 * "Reference Instructions" and "Aggregate Reference Instructions". */
#include "bytecode/validate.h"

static bc_valtype unpacked(bc_valtype storage) {
    return bc_valtype_kind(storage) == BC_KIND_PACKED ? BC_I32 : storage;
}

/* Packed fields are read with a sign, others without. */
static void check_sign(struct validator *v, const struct bc_field *f, bool signed_get) {
    bool packed = bc_valtype_kind(f->type) == BC_KIND_PACKED;
    if (packed != signed_get) bc_v_fail(v, "field is %spacked", packed ? "" : "not ");
}

static bool check_mutable(struct validator *v, const struct bc_field *f, const char *what) {
    if (!f->mutable) bc_v_fail(v, "immutable %s", what);
    return f->mutable;
}

static void need_defaults(struct validator *v, const struct bc_type *t) {
    for (uint32_t i = t->n_fields; !t->defaultable && i-- > 0 && !v->r.status;)
        if (!bc_valtype_defaultable(t->fields[i].type))
            bc_v_fail(v, "field %u has no default value: field type is not defaultable", i);
}

static void struct_new(struct validator *v) {
    const struct bc_type *t = bc_v_type(v, v->in.index, BC_TYPE_STRUCT);
    if (!t) return;
    if (v->in.op == BC_STRUCT_NEW_DEFAULT)
        need_defaults(v, t);
    else
        for (uint32_t i = t->n_fields; i-- > 0 && !v->r.status && !bc_v_hides(v);)
            bc_v_pop(v, unpacked(t->fields[i].type));
    bc_v_push(v, bc_ref(false, v->in.index));
}

static void struct_access(struct validator *v) {
    const struct bc_type *t = bc_v_type(v, v->in.index, BC_TYPE_STRUCT);
    if (!t) return;
    if (v->in.index2 >= t->n_fields) {
        bc_v_fail(v, "unknown field %u", v->in.index2);
        return;
    }
    const struct bc_field *f = &t->fields[v->in.index2];
    if (v->in.op == BC_STRUCT_SET) {
        if (!check_mutable(v, f, "field")) return;
        bc_v_pop(v, unpacked(f->type));
        bc_v_pop(v, bc_ref(true, v->in.index));
        return;
    }
    check_sign(v, f, v->in.op != BC_STRUCT_GET);
    bc_v_pop(v, bc_ref(true, v->in.index));
    bc_v_push(v, unpacked(f->type));
}

static void array_new(struct validator *v, const struct bc_field *f) {
    bc_valtype element = unpacked(f->type);
    switch (v->in.op) {
    case BC_ARRAY_NEW:
        bc_v_pop(v, BC_I32);
        bc_v_pop(v, element);
        break;
    case BC_ARRAY_NEW_DEFAULT:
        if (!bc_valtype_defaultable(f->type)) bc_v_fail(v, "array type is not defaultable");
        bc_v_pop(v, BC_I32);
        break;
    default: /* ARRAY_NEW_FIXED */
        if (v->in.index2 > BC_MAX_ARRAY_NEW_FIXED) {
            bc_reader_fail(&v->r, ATOLL_E_LIMIT, v->in.offset,
                           "too many operands of array.new_fixed: %u, the limit is %u", v->in.index2,
                           BC_MAX_ARRAY_NEW_FIXED);
            return;
        }
        for (uint32_t i = v->in.index2; i > 0 && !v->r.status && !bc_v_hides(v); i--) bc_v_pop(v, element);
    }
    bc_v_push(v, bc_ref(false, v->in.index));
}

/* array.new_data, array.init_data: numbers only, a data segment. */
static bool check_data(struct validator *v, const struct bc_field *f) {
    if (bc_valtype_is_ref(f->type)) {
        bc_v_fail(v, "array type is not numeric or vector");
        return false;
    }
    if (!v->m->has_data_count)
        bc_reader_fail(&v->r, ATOLL_E_MALFORMED, v->in.offset, "data count section required");
    else if (v->in.index2 >= v->m->n_datas)
        bc_v_fail(v, "unknown data segment %u", v->in.index2);
    return !v->r.status;
}

static bool check_elem(struct validator *v, const struct bc_field *f) {
    if (v->in.index2 >= v->m->n_elems) {
        bc_v_fail(v, "unknown elem segment %u", v->in.index2);
        return false;
    }
    bc_valtype given = v->m->elems[v->in.index2].type;
    if (!bc_valtype_matches(v->m, given, f->type)) bc_v_mismatch(v, f->type, given);
    return !v->r.status;
}

static void array_segment(struct validator *v, const struct bc_field *f) {
    bool data = v->in.op == BC_ARRAY_NEW_DATA || v->in.op == BC_ARRAY_INIT_DATA;
    bool init = v->in.op == BC_ARRAY_INIT_DATA || v->in.op == BC_ARRAY_INIT_ELEM;
    if (init && !check_mutable(v, f, "array")) return;
    if (!(data ? check_data(v, f) : check_elem(v, f))) return;
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, BC_I32);
    if (init) {
        bc_v_pop(v, BC_I32);
        bc_v_pop(v, bc_ref(true, v->in.index));
    } else {
        bc_v_push(v, bc_ref(false, v->in.index));
    }
}

static void array_copy(struct validator *v, const struct bc_field *to) {
    const struct bc_type *t = bc_v_type(v, v->in.index2, BC_TYPE_ARRAY);
    if (!t || !check_mutable(v, to, "array")) return;
    bc_valtype from = t->fields[0].type;
    bool packed = bc_valtype_kind(from) == BC_KIND_PACKED || bc_valtype_kind(to->type) == BC_KIND_PACKED;
    if (packed ? from != to->type : !bc_valtype_matches(v->m, from, to->type)) {
        bc_v_fail(v, "array types do not match");
        return;
    }
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, bc_ref(true, v->in.index2));
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, bc_ref(true, v->in.index));
}

static void array_access(struct validator *v, const struct bc_field *f) {
    switch (v->in.op) {
    case BC_ARRAY_SET:
        if (!check_mutable(v, f, "array")) return;
        bc_v_pop(v, unpacked(f->type));
        bc_v_pop(v, BC_I32);
        bc_v_pop(v, bc_ref(true, v->in.index));
        break;
    case BC_ARRAY_FILL:
        if (!check_mutable(v, f, "array")) return;
        bc_v_pop(v, BC_I32);
        bc_v_pop(v, unpacked(f->type));
        bc_v_pop(v, BC_I32);
        bc_v_pop(v, bc_ref(true, v->in.index));
        break;
    default:
        check_sign(v, f, v->in.op != BC_ARRAY_GET);
        bc_v_pop(v, BC_I32);
        bc_v_pop(v, bc_ref(true, v->in.index));
        bc_v_push(v, unpacked(f->type));
    }
}

static void array(struct validator *v) {
    const struct bc_type *t = bc_v_type(v, v->in.index, BC_TYPE_ARRAY);
    if (!t) return;
    const struct bc_field *f = &t->fields[0];
    switch (v->in.op) {
    case BC_ARRAY_NEW:
    case BC_ARRAY_NEW_DEFAULT:
    case BC_ARRAY_NEW_FIXED: array_new(v, f); break;
    case BC_ARRAY_NEW_DATA:
    case BC_ARRAY_NEW_ELEM:
    case BC_ARRAY_INIT_DATA:
    case BC_ARRAY_INIT_ELEM: array_segment(v, f); break;
    case BC_ARRAY_COPY: array_copy(v, f); break;
    default: array_access(v, f);
    }
}

/* The top of a heap type's hierarchy: what a cast to it accepts. */
static uint32_t top_of(const struct bc_module *m, uint32_t heap) {
    static const uint8_t tops[] = {BC_HEAP_ANY, BC_HEAP_FUNC, BC_HEAP_EXTERN, BC_HEAP_EXN};
    for (unsigned i = 0; i < sizeof tops; i++)
        if (bc_heaptype_matches(m, heap, BC_HEAP_ABSTRACT + tops[i])) return BC_HEAP_ABSTRACT + tops[i];
    return BC_HEAP_ABSTRACT + BC_HEAP_ANY;
}

static void cast(struct validator *v) {
    bool nullable = v->in.op == BC_REF_TEST_NULL || v->in.op == BC_REF_CAST_NULL;
    bool test = v->in.op == BC_REF_TEST || v->in.op == BC_REF_TEST_NULL;
    bc_v_pop(v, bc_ref(true, top_of(v->m, v->in.heap_type)));
    bc_v_push(v, test ? BC_I32 : bc_ref(nullable, v->in.heap_type));
}

/* any.convert_extern and its opposite keep nullability. */
static void convert(struct validator *v, enum bc_heap_kind from, enum bc_heap_kind to) {
    bc_valtype found = bc_v_pop(v, bc_ref_abstract(true, from));
    bc_v_push(v, bc_ref_abstract(found != BC_BOTTOM && bc_valtype_nullable(found), to));
}

static bc_valtype pop_ref(struct validator *v) {
    bc_valtype t = bc_v_pop_any(v);
    if (t == BC_BOTTOM) return bc_ref_abstract(false, BC_HEAP_BOTTOM);
    if (!bc_valtype_is_ref(t))
        bc_v_fail(v, "type mismatch: %s expects a reference", bc_op_infos[v->in.op].text);
    return t;
}

static void ref_func(struct validator *v) {
    if (v->in.index >= v->m->n_funcs) {
        bc_v_fail(v, "unknown function %u", v->in.index);
        return;
    }
    const struct bc_func *f = &v->m->funcs[v->in.index];
    if (v->func && !f->declared) bc_v_fail(v, "undeclared function reference %u", v->in.index);
    bc_v_push(v, bc_ref(false, f->type));
}

void bc_v_object(struct validator *v) {
    switch (v->in.op) {
    case BC_REF_NULL: bc_v_push(v, bc_ref(true, v->in.heap_type)); break;
    case BC_REF_IS_NULL:
        pop_ref(v);
        bc_v_push(v, BC_I32);
        break;
    case BC_REF_FUNC: ref_func(v); break;
    case BC_REF_EQ:
        bc_v_pop(v, bc_ref_abstract(true, BC_HEAP_EQ));
        bc_v_pop(v, bc_ref_abstract(true, BC_HEAP_EQ));
        bc_v_push(v, BC_I32);
        break;
    case BC_REF_AS_NON_NULL: bc_v_push(v, pop_ref(v) & ~(1u << 3)); break;
    case BC_STRUCT_NEW:
    case BC_STRUCT_NEW_DEFAULT: struct_new(v); break;
    case BC_STRUCT_GET:
    case BC_STRUCT_GET_S:
    case BC_STRUCT_GET_U:
    case BC_STRUCT_SET: struct_access(v); break;
    case BC_ARRAY_NEW:
    case BC_ARRAY_NEW_DEFAULT:
    case BC_ARRAY_NEW_FIXED:
    case BC_ARRAY_NEW_DATA:
    case BC_ARRAY_NEW_ELEM:
    case BC_ARRAY_GET:
    case BC_ARRAY_GET_S:
    case BC_ARRAY_GET_U:
    case BC_ARRAY_SET:
    case BC_ARRAY_FILL:
    case BC_ARRAY_COPY:
    case BC_ARRAY_INIT_DATA:
    case BC_ARRAY_INIT_ELEM: array(v); break;
    case BC_ARRAY_LEN:
        bc_v_pop(v, bc_ref_abstract(true, BC_HEAP_ARRAY));
        bc_v_push(v, BC_I32);
        break;
    case BC_REF_TEST:
    case BC_REF_TEST_NULL:
    case BC_REF_CAST:
    case BC_REF_CAST_NULL: cast(v); break;
    case BC_ANY_CONVERT_EXTERN: convert(v, BC_HEAP_EXTERN, BC_HEAP_ANY); break;
    case BC_EXTERN_CONVERT_ANY: convert(v, BC_HEAP_ANY, BC_HEAP_EXTERN); break;
    case BC_REF_I31:
        bc_v_pop(v, BC_I32);
        bc_v_push(v, bc_ref_abstract(false, BC_HEAP_I31));
        break;
    case BC_I31_GET_S:
    case BC_I31_GET_U:
        bc_v_pop(v, bc_ref_abstract(true, BC_HEAP_I31));
        bc_v_push(v, BC_I32);
        break;
    default: bc_v_special(v);
    }
}
