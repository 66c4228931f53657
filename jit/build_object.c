/* jit/build_object.c: managed objects: fields, elements, i31, tests and casts, as loads, stores and checks.
 * What allocates is left to emit_call.c and the interpreter's code. */
#include <stddef.h>
#include "jit/build.h"

/* How a field or element is read and written. */
static void field_ops(bc_valtype type, bool is_signed, uint16_t *load, uint16_t *store, uint8_t *ir_type) {
    uint32_t bits = bc_valtype_heap(type);
    switch (bc_valtype_kind(type)) {
    case BC_KIND_PACKED:
        *load = bits == 8 ? (is_signed ? BC_I32_LOAD8_S : BC_I32_LOAD8_U)
                          : (is_signed ? BC_I32_LOAD16_S : BC_I32_LOAD16_U);
        *store = bits == 8 ? BC_I32_STORE8 : BC_I32_STORE16;
        *ir_type = IR_I32;
        break;
    case BC_KIND_I32: *load = BC_I32_LOAD, *store = BC_I32_STORE, *ir_type = IR_I32; break;
    case BC_KIND_F32: *load = BC_F32_LOAD, *store = BC_F32_STORE, *ir_type = IR_F32; break;
    case BC_KIND_F64: *load = BC_F64_LOAD, *store = BC_F64_STORE, *ir_type = IR_F64; break;
    case BC_KIND_V128: *load = BC_V128_LOAD, *store = BC_V128_STORE, *ir_type = IR_V128; break;
    default: *load = BC_I64_LOAD, *store = BC_I64_STORE, *ir_type = IR_I64; break;
    }
}

uint32_t build_host_access(struct build *b, uint16_t op, uint8_t type, uint32_t address, int32_t at,
                           uint32_t value) {
    struct ir_func *f = b->f;
    uint32_t v = build_new(b, value == IR_NONE ? IR_LOAD : IR_STORE, value == IR_NONE ? type : IR_VOID);
    if (f->failed) return 0;
    f->ins[v].sub = op;
    f->ins[v].a = address;
    f->ins[v].b = value;
    f->ins[v].imm = (uint64_t)(int64_t)at;
    f->ins[v].index = 1; /* a host address */
    return v;
}

static const struct rt_layout *layout_of(struct build *b, uint32_t type) {
    struct rt_module *module = b->f->module;
    return module->engine->heap ? rt_layout_of(module->engine, module->types[type]) : NULL;
}

/* A load of what never changes once there is a reference to the object. */
static uint32_t constant_part(struct build *b, uint16_t op, uint8_t type, uint32_t object, int32_t at) {
    uint32_t v = build_host_access(b, op, type, object, at, IR_NONE);
    if (!b->f->failed) b->f->ins[v].lane = 1;
    return v;
}

static bool struct_access(struct build *b, const struct bc_instr *in) {
    const struct rt_layout *layout = layout_of(b, in->index);
    if (!layout) return false;
    uint16_t load, store;
    uint8_t type;
    int32_t at = (int32_t)layout->fields[in->index2].offset;
    const struct bc_field *field = b->f->bc->types[in->index].fields + in->index2;
    bool changes = field->mutable;
    field_ops(field->type, in->op == BC_STRUCT_GET_S, &load, &store, &type);
    if (in->op == BC_STRUCT_SET) {
        uint32_t value = build_pop(b);
        build_host_access(b, store, type, build_pop_non_null(b, RT_TRAP_NULL_STRUCTURE), at, value);
    } else {
        uint32_t object = build_pop_non_null(b, RT_TRAP_NULL_STRUCTURE);
        build_push(b, changes ? build_host_access(b, load, type, object, at, IR_NONE)
                              : constant_part(b, load, type, object, at));
    }
    return true;
}

static uint32_t array_length(struct build *b, uint32_t array) {
    return constant_part(b, BC_I32_LOAD, IR_I32, array, offsetof(struct rt_array, length));
}

static void array_access(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    uint16_t load, store;
    uint8_t type;
    bc_valtype elem = f->bc->types[in->index].fields[0].type;
    field_ops(elem, in->op == BC_ARRAY_GET_S, &load, &store, &type);
    unsigned log2 = (unsigned)__builtin_ctz(bc_op_infos[load].access);
    uint32_t value = in->op == BC_ARRAY_SET ? build_pop(b) : IR_NONE, index = build_pop(b);
    uint32_t array = build_pop_non_null(b, RT_TRAP_NULL_ARRAY);
    uint32_t outside = ir_binary(f, b->block, BC_I32_GE_U, IR_I32, index, array_length(b, array));
    build_trap_if(b, outside, RT_TRAP_ARRAY_BOUNDS);
    uint32_t offset = ir_unary(f, b->block, BC_I64_EXTEND_I32_U, IR_I64, index);
    offset = ir_binary(f, b->block, BC_I64_SHL, IR_I64, offset, ir_const(f, IR_I64, log2));
    uint32_t address = ir_binary(f, b->block, BC_I64_ADD, IR_I64, array, offset);
    uint32_t v = build_host_access(b, value == IR_NONE ? load : store, type, address,
                                   offsetof(struct rt_array, elems), value);
    if (value == IR_NONE) build_push(b, v);
}

/* Of everything in its hierarchy, or of nothing but null. */
static bool is_top(uint32_t heap) {
    heap -= BC_HEAP_ABSTRACT;
    return heap == BC_HEAP_ANY || heap == BC_HEAP_FUNC || heap == BC_HEAP_EXTERN || heap == BC_HEAP_EXN;
}
static bool is_bottom(uint32_t heap) {
    heap -= BC_HEAP_ABSTRACT;
    return heap == BC_HEAP_NONE || heap == BC_HEAP_NOFUNC || heap == BC_HEAP_NOEXTERN ||
           heap == BC_HEAP_NOEXN;
}

/* Whether the reference is of the type: an i32. */
static uint32_t is_of(struct build *b, uint32_t ref, uint32_t heap, bool nullable) {
    struct ir_func *f = b->f;
    if (is_top(heap) && nullable) return ir_const(f, IR_I32, 1);
    if (is_bottom(heap) && !nullable) return ir_const(f, IR_I32, 0);
    if (is_top(heap)) return ir_binary(f, b->block, BC_I64_NE, IR_I32, ref, ir_const(f, IR_I64, 0));
    if (is_bottom(heap)) return ir_unary(f, b->block, BC_I64_EQZ, IR_I32, ref);
    uint32_t v = build_new(b, IR_REF_IS, IR_I32);
    if (f->failed) return 0;
    f->ins[v].a = ref;
    f->ins[v].imm = heap;
    f->ins[v].lane = nullable;
    return v;
}

static void test_or_cast(struct build *b, const struct bc_instr *in) {
    uint32_t ref = b->n_stack ? b->stack[b->n_stack - 1] : 0;
    bool nullable = in->op == BC_REF_TEST_NULL || in->op == BC_REF_CAST_NULL;
    uint32_t is = is_of(b, ref, in->heap_type, nullable);
    if (in->op == BC_REF_CAST || in->op == BC_REF_CAST_NULL) {
        build_trap_if(b, ir_unary(b->f, b->block, BC_I32_EQZ, IR_I32, is), RT_TRAP_CAST_FAILURE);
    } else {
        build_pop(b);
        build_push(b, is);
    }
}

/* lane: bit 1 = the type that is tested for is nullable */
void build_branch_on_cast(struct build *b, const struct bc_instr *in) {
    uint32_t ref = b->n_stack ? b->stack[b->n_stack - 1] : 0;
    uint32_t is = is_of(b, ref, in->heap_type2, in->lane >> 1 & 1);
    if (in->op == BC_BR_ON_CAST_FAIL) is = ir_unary(b->f, b->block, BC_I32_EQZ, IR_I32, is);
    build_branch_if(b, is, in->index);
}

static void i31(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    if (in->op == BC_REF_I31) {
        uint32_t shifted = ir_binary(f, b->block, BC_I32_SHL, IR_I32, build_pop(b), ir_const(f, IR_I32, 1));
        uint32_t tagged = ir_binary(f, b->block, BC_I32_OR, IR_I32, shifted, ir_const(f, IR_I32, 1));
        build_push(b, ir_unary(f, b->block, BC_I64_EXTEND_I32_U, IR_I64, tagged));
        return;
    }
    uint32_t ref = build_pop_non_null(b, RT_TRAP_NULL_I31);
    uint32_t low = ir_unary(f, b->block, BC_I32_WRAP_I64, IR_I32, ref);
    uint16_t op = in->op == BC_I31_GET_S ? BC_I32_SHR_S : BC_I32_SHR_U;
    build_push(b, ir_binary(f, b->block, op, IR_I32, low, ir_const(f, IR_I32, 1)));
}

bool build_object(struct build *b, const struct bc_instr *in) {
    switch (in->op) {
    case BC_STRUCT_GET:
    case BC_STRUCT_GET_S:
    case BC_STRUCT_GET_U:
    case BC_STRUCT_SET: return struct_access(b, in);
    case BC_ARRAY_GET:
    case BC_ARRAY_GET_S:
    case BC_ARRAY_GET_U:
    case BC_ARRAY_SET: array_access(b, in); return true;
    case BC_ARRAY_LEN: build_push(b, array_length(b, build_pop_non_null(b, RT_TRAP_NULL_ARRAY))); return true;
    case BC_REF_TEST:
    case BC_REF_TEST_NULL:
    case BC_REF_CAST:
    case BC_REF_CAST_NULL: test_or_cast(b, in); return true;
    case BC_REF_I31:
    case BC_I31_GET_S:
    case BC_I31_GET_U: i31(b, in); return true;
    default: return false;
    }
}
