/* interp/lower_object.c: managed objects: fields, elements, allocation, casts (lower.h). */
#include "interp/lower.h"

/* ---- which handler ---- */

enum { FIELD_GET, FIELD_GET_S, FIELD_GET_U };

struct field_ops {
    uint16_t struct_get, array_get, struct_set, array_set;
    uint8_t kind; /* of the value on the stack */
};

static struct field_ops ops_of(const struct rt_valtype *t, bool as_signed) {
#define OPS(get, set, k)                                                                                     \
    (struct field_ops) {                                                                                     \
        H_STRUCT_GET_##get##_S, H_ARRAY_GET_##get##_SS, H_STRUCT_SET_##set##_SS, H_ARRAY_SET_##set##_SSS, k  \
    }
    switch (t->kind) {
    case BC_KIND_PACKED:
        if (t->heap == 8) return as_signed ? OPS(I8_S, I8, BC_KIND_I32) : OPS(I8_U, I8, BC_KIND_I32);
        return as_signed ? OPS(I16_S, I16, BC_KIND_I32) : OPS(I16_U, I16, BC_KIND_I32);
    case BC_KIND_I32: return OPS(I32, I32, BC_KIND_I32);
    case BC_KIND_F32: return OPS(F32, F32, BC_KIND_F32);
    case BC_KIND_F64: return OPS(F64, F64, BC_KIND_F64);
    case BC_KIND_V128:
        return (struct field_ops){H_STRUCT_GET_V128, H_ARRAY_GET_V128, H_STRUCT_SET_V128, H_ARRAY_SET_V128,
                                  BC_KIND_V128};
    default: return OPS(I64, I64, t->kind);
    }
#undef OPS
}

static const struct rt_layout *layout_of(struct lower *l, uint32_t type) {
    const struct rt_layout *layout = rt_layout_of(l->module->engine, l->module->types[type]);
    if (!layout) l->failed = true;
    return layout;
}

/* ---- structs ---- */

static void struct_get(struct lower *l, const struct bc_instr *in, const struct rt_layout *layout) {
    struct field_ops ops = ops_of(&layout->type->fields[in->index2].type, in->op == BC_STRUCT_GET_S);
    bool vector = ops.kind == BC_KIND_V128;
    if (vector || lower_top(l, 0)->where == IN_CONST) lower_want_slot(l, 0);
    struct value ref = lower_pop(l);
    int32_t slot = 0;
    bool in_acc = !vector && lower_place(l, &ref, &slot) == 'A';
    if (vector) slot = lower_slot_of(l, &ref);
    uint32_t op = ops.struct_get + (in_acc ? 2u : 0u);
    lower_clobber(l, acc_of(ops.kind));
    uint32_t at = lower_emit_trapping(l, (enum interp_op)op, 3);
    lower_operand(l, at, 1, slot);
    lower_operand(l, at, 2, (int32_t)layout->fields[in->index2].offset);
    if (!vector) {
        lower_push_acc(l, ops.kind, at, (enum interp_op)op);
        return;
    }
    lower_operand(l, at, 0, ref.slot);
    lower_wrote(l, ref.slot);
    lower_wrote(l, ref.slot + 1);
    lower_push(l, IN_SLOT, BC_KIND_V128, 0);
}

/* The value to write: in its accumulator, or its slot. Returns what is added to the handler. */
static uint32_t take_value(struct lower *l, const struct field_ops *ops, int32_t *slot) {
    if (lower_top(l, 0)->where == IN_CONST || ops->kind == BC_KIND_V128) lower_want_slot(l, 0);
    struct value v = lower_pop(l);
    if (ops->kind != BC_KIND_V128 && lower_place(l, &v, slot) == 'A') return 1;
    *slot = lower_slot_of(l, &v);
    return 0;
}

static void struct_set(struct lower *l, const struct bc_instr *in, const struct rt_layout *layout) {
    struct field_ops ops = ops_of(&layout->type->fields[in->index2].type, false);
    lower_want_slot(l, 1);
    int32_t value = 0;
    uint32_t form = take_value(l, &ops, &value);
    struct value ref = lower_pop(l);
    int32_t object = lower_slot_of(l, &ref);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)(ops.struct_set + form), 3);
    lower_operand(l, at, 0, object);
    lower_operand(l, at, 1, value);
    lower_operand(l, at, 2, (int32_t)layout->fields[in->index2].offset);
}

static void struct_new(struct lower *l, const struct bc_instr *in, const struct rt_layout *layout) {
    bool given = in->op == BC_STRUCT_NEW;
    uint32_t n = given ? layout->n_fields : 0;
    bool fast = given && layout->size_bytes <= RT_SMALL_BYTES;
    enum interp_op op = !given            ? H_STRUCT_NEW_DEFAULT
                        : !fast           ? H_STRUCT_NEW_ANY
                        : layout->uniform ? H_STRUCT_NEW
                                          : H_STRUCT_NEW_PACKED;
    int32_t first = lower_args(l, n);
    lower_drop(l, n);
    lower_clobber(l, ACC_INT);
    uint32_t at = lower_emit_trapping(l, op, 4);
    lower_operand(l, at, 1, first);
    if (fast) {
        lower_operand(l, at, 2, (int32_t)rt_free_list(layout, layout->size_bytes));
        lower_operand(l, at, 3, (int32_t)n);
    }
    lower_word(l, at, 3, (uintptr_t)layout);
    lower_push_acc(l, BC_KIND_REF, at, op);
}

/* ---- arrays ---- */

static void array_get(struct lower *l, const struct bc_instr *in, const struct rt_layout *layout) {
    struct field_ops ops = ops_of(&layout->type->fields[0].type, in->op == BC_ARRAY_GET_S);
    bool vector = ops.kind == BC_KIND_V128;
    if (vector || lower_top(l, 0)->where == IN_CONST) lower_want_slot(l, 0);
    lower_want_slot(l, 1);
    struct value index = lower_pop(l), ref = lower_pop(l);
    int32_t array = lower_slot_of(l, &ref), slot = 0;
    bool in_acc = !vector && lower_place(l, &index, &slot) == 'A';
    if (vector) slot = lower_slot_of(l, &index);
    uint32_t op = ops.array_get + (in_acc ? 2u : 0u);
    lower_clobber(l, acc_of(ops.kind));
    uint32_t at = lower_emit_trapping(l, (enum interp_op)op, 3);
    lower_operand(l, at, 1, array);
    lower_operand(l, at, 2, slot);
    if (!vector) {
        lower_push_acc(l, ops.kind, at, (enum interp_op)op);
        return;
    }
    lower_operand(l, at, 0, ref.slot);
    lower_wrote(l, ref.slot);
    lower_wrote(l, ref.slot + 1);
    lower_push(l, IN_SLOT, BC_KIND_V128, 0);
}

static void array_set(struct lower *l, const struct rt_layout *layout) {
    struct field_ops ops = ops_of(&layout->type->fields[0].type, false);
    lower_want_slot(l, 1);
    lower_want_slot(l, 2);
    int32_t value = 0;
    uint32_t form = take_value(l, &ops, &value);
    struct value index = lower_pop(l), ref = lower_pop(l);
    int32_t at_slot = lower_slot_of(l, &index), array = lower_slot_of(l, &ref);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)(ops.array_set + form), 3);
    lower_operand(l, at, 0, array);
    lower_operand(l, at, 1, at_slot);
    lower_operand(l, at, 2, value);
}

static void array_len(struct lower *l) {
    if (lower_top(l, 0)->where == IN_CONST) lower_want_slot(l, 0);
    struct value ref = lower_pop(l);
    int32_t slot = 0;
    uint32_t op = H_ARRAY_LEN_S + (lower_place(l, &ref, &slot) == 'A' ? 2u : 0u);
    lower_clobber(l, ACC_INT);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)op, 2);
    lower_operand(l, at, 1, slot);
    lower_push_acc(l, BC_KIND_I32, at, (enum interp_op)op);
}

/* Operands in a row; the result, if any, where the first one was. */
static void bulk(struct lower *l, enum interp_op op, uint32_t n, bool result, uint32_t what, uint64_t word) {
    int32_t first = lower_args(l, n);
    if (first + (int32_t)result > l->max_slot) l->max_slot = first + (int32_t)result;
    uint32_t at = lower_emit_trapping(l, op, interp_op_infos[op].words);
    lower_operand(l, at, 0, first);
    if (interp_op_infos[op].words > 2) {
        lower_operand(l, at, 1, (int32_t)what);
        lower_word(l, at, 2, word);
    }
    lower_drop(l, n);
    lower_wrote(l, first);
    if (result) lower_push(l, IN_SLOT, BC_KIND_REF, 0);
}

/* ---- tests and casts ---- */

/* What a cast looks at: operand 3 and word 3. */
static void put_heap_type(struct lower *l, uint32_t at, uint32_t heap) {
    if (heap < BC_HEAP_ABSTRACT)
        lower_word(l, at, 3, (uintptr_t)l->module->types[heap]);
    else
        lower_operand(l, at, 3, (int32_t)(heap - BC_HEAP_ABSTRACT));
}

/* The handler for concrete objects, or the general one, which is some numbers on. */
static bool concrete(const struct lower *l, uint32_t heap) {
    return heap < BC_HEAP_ABSTRACT && l->bc->types[heap].form != BC_TYPE_FUNC;
}

static void ref_test(struct lower *l, const struct bc_instr *in) {
    enum interp_op op = concrete(l, in->heap_type) ? H_REF_TEST_TYPE : H_REF_TEST_ANY;
    lower_want_slot(l, 0);
    struct value ref = lower_pop(l);
    int32_t slot = lower_slot_of(l, &ref);
    lower_clobber(l, ACC_INT);
    uint32_t at = lower_emit(l, op, 4);
    lower_operand(l, at, 1, slot);
    lower_operand(l, at, 2, in->op == BC_REF_TEST_NULL);
    put_heap_type(l, at, in->heap_type);
    lower_push_acc(l, BC_KIND_I32, at, op);
}

static void ref_cast(struct lower *l, const struct bc_instr *in) {
    lower_want_slot(l, 0);
    struct value ref = *lower_top(l, 0);
    uint32_t at = lower_emit_trapping(l, concrete(l, in->heap_type) ? H_REF_CAST_TYPE : H_REF_CAST_ANY, 4);
    lower_operand(l, at, 1, lower_slot_of(l, &ref));
    lower_operand(l, at, 2, in->op == BC_REF_CAST_NULL);
    put_heap_type(l, at, in->heap_type);
}

uint32_t lower_cast_branch(struct lower *l, const struct bc_instr *in, int32_t slot, bool when,
                           bool backward) {
    uint32_t at =
        lower_emit_trapping(l, concrete(l, in->heap_type2) ? H_BR_ON_CAST_TYPE : H_BR_ON_CAST_ANY, 4);
    lower_operand(l, at, 1, slot);
    lower_operand(l, at, 2,
                  (in->lane >> 1 ? INTERP_CAST_NULLABLE : 0) | (when ? INTERP_CAST_WHEN : 0) |
                      (backward ? INTERP_CAST_BACKWARD : 0));
    put_heap_type(l, at, in->heap_type2);
    return at;
}

/* ---- dispatch ---- */

void lower_object(struct lower *l, const struct bc_instr *in) {
    const struct rt_layout *layout = NULL;
    if (in->op >= BC_STRUCT_NEW && in->op <= BC_ARRAY_INIT_ELEM && in->op != BC_ARRAY_LEN) {
        layout = layout_of(l, in->index);
        if (!layout) return;
    }
    uintptr_t word = (uintptr_t)layout;
    switch (in->op) {
    case BC_STRUCT_NEW:
    case BC_STRUCT_NEW_DEFAULT: struct_new(l, in, layout); break;
    case BC_STRUCT_GET:
    case BC_STRUCT_GET_S:
    case BC_STRUCT_GET_U: struct_get(l, in, layout); break;
    case BC_STRUCT_SET: struct_set(l, in, layout); break;
    case BC_ARRAY_NEW: bulk(l, H_ARRAY_NEW, 2, true, 0, word); break;
    case BC_ARRAY_NEW_DEFAULT: bulk(l, H_ARRAY_NEW_DEFAULT, 1, true, 0, word); break;
    case BC_ARRAY_NEW_FIXED: bulk(l, H_ARRAY_NEW_FIXED, in->index2, true, in->index2, word); break;
    case BC_ARRAY_NEW_DATA: bulk(l, H_ARRAY_NEW_DATA, 2, true, in->index2, word); break;
    case BC_ARRAY_NEW_ELEM: bulk(l, H_ARRAY_NEW_ELEM, 2, true, in->index2, word); break;
    case BC_ARRAY_GET:
    case BC_ARRAY_GET_S:
    case BC_ARRAY_GET_U: array_get(l, in, layout); break;
    case BC_ARRAY_SET: array_set(l, layout); break;
    case BC_ARRAY_LEN: array_len(l); break;
    case BC_ARRAY_FILL: bulk(l, H_ARRAY_FILL, 4, false, 0, word); break;
    case BC_ARRAY_COPY: bulk(l, H_ARRAY_COPY, 5, false, 0, word); break;
    case BC_ARRAY_INIT_DATA: bulk(l, H_ARRAY_INIT_DATA, 4, false, in->index2, word); break;
    case BC_ARRAY_INIT_ELEM: bulk(l, H_ARRAY_INIT_ELEM, 4, false, in->index2, word); break;
    case BC_REF_TEST:
    case BC_REF_TEST_NULL: ref_test(l, in); break;
    case BC_REF_CAST:
    case BC_REF_CAST_NULL: ref_cast(l, in); break;
    case BC_ANY_CONVERT_EXTERN: bulk(l, H_ANY_CONVERT_EXTERN, 1, true, 0, 0); break;
    default: bulk(l, H_EXTERN_CONVERT_ANY, 1, true, 0, 0); break;
    }
}
