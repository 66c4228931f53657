/* runtime/const.c: constant expressions: initial values of globals and tables, offsets, segment items. */
#include <string.h>
#include "runtime/internal.h"
#include "bytecode/stress.h"

#define SMALL_STACK ATOLL_LIMIT(16, 2) /* slots; deeper expressions take heap memory */

struct evaluation {
    struct rt_instance *instance;
    union rt_slot *stack;
    size_t n, capacity; /* slots */
    union rt_slot small[SMALL_STACK];
};

static bool grow_stack(struct evaluation *e) {
    const struct atoll_alloc *alloc = rt_alloc(e->instance->store);
    union rt_slot *bigger = atoll_new(alloc, e->capacity * 2, sizeof *bigger);
    if (!bigger) return false;
    memcpy(bigger, e->stack, e->n * sizeof *bigger);
    if (e->stack != e->small) atoll_free(alloc, e->stack, e->capacity * sizeof *bigger);
    e->stack = bigger;
    e->capacity *= 2;
    return true;
}

/* Room for the widest value, a v128. */
static bool room(struct evaluation *e) { return e->n + 2 <= e->capacity || grow_stack(e); }

static void push(struct evaluation *e, uint64_t bits) { e->stack[e->n++].u64 = bits; }

static void push_global(struct evaluation *e, uint32_t index) {
    const struct rt_global *global = e->instance->globals[index];
    e->stack[e->n++] = global->value[0];
    if (global->type.kind == BC_KIND_V128) e->stack[e->n++] = global->value[1];
}

static void push_v128(struct evaluation *e, const uint8_t bytes[16]) {
    memcpy(e->stack + e->n, bytes, 16);
    e->n += 2;
}

/* The integer instructions of extended constant expressions; wrapping. */
static enum rt_trap binary(struct evaluation *e, enum bc_op op) {
    uint64_t right = e->stack[--e->n].u64, *left = &e->stack[e->n - 1].u64;
    switch (op) {
    case BC_I32_ADD: *left = (uint32_t)(*left + right); break;
    case BC_I32_SUB: *left = (uint32_t)(*left - right); break;
    case BC_I32_MUL: *left = (uint32_t)(*left * right); break;
    case BC_I64_ADD: *left += right; break;
    case BC_I64_SUB: *left -= right; break;
    case BC_I64_MUL: *left *= right; break;
    default: return RT_TRAP_UNSUPPORTED;
    }
    return RT_TRAP_NONE;
}

/* ---- objects ---- */

static uint32_t slots_of(const struct rt_field *field) { return field->type.kind == BC_KIND_V128 ? 2 : 1; }

static uint32_t field_slots(const struct rt_type *type) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < type->n_fields; i++) n += slots_of(type->fields + i);
    return n;
}

/* `n` operand slots become the object. */
static enum rt_trap made(struct evaluation *e, uint32_t n, void *object) {
    e->n -= n;
    push(e, (uintptr_t)object);
    return object ? RT_TRAP_NONE : RT_TRAP_OUT_OF_MEMORY;
}

static enum rt_trap new_array(struct evaluation *e, const struct bc_instr *instr,
                              const struct rt_layout *layout) {
    struct rt_store *store = e->instance->store;
    uint32_t elem_slots = slots_of(layout->type->fields), n = instr->index2;
    union rt_slot *top = e->stack + e->n;
    void *array = NULL;
    enum rt_trap trap;
    if (instr->op == BC_ARRAY_NEW_FIXED) {
        n *= elem_slots;
        trap = rt_array_new_fixed(store, layout, top - n, instr->index2, &array);
    } else {
        bool filled = instr->op == BC_ARRAY_NEW;
        n = filled ? 1 + elem_slots : 1;
        trap = rt_array_new(store, layout, filled ? top - n : NULL, top[-1].u32, &array);
    }
    return trap ? trap : made(e, n, array);
}

static enum rt_trap new_object(struct evaluation *e, const struct bc_instr *instr) {
    struct rt_store *store = e->instance->store;
    const struct rt_layout *layout = rt_layout_of(store->engine, e->instance->module->types[instr->index]);
    if (!layout) return RT_TRAP_OUT_OF_MEMORY;
    if (layout->form == RT_OBJECT_ARRAY) return new_array(e, instr, layout);
    uint32_t n = instr->op == BC_STRUCT_NEW ? field_slots(layout->type) : 0;
    return made(e, n, rt_struct_new(store, layout, n ? e->stack + e->n - n : NULL));
}

static enum rt_trap convert(struct evaluation *e, enum bc_op op) {
    union rt_slot *top = e->stack + e->n - 1;
    void *before = top->ref;
    if (op == BC_REF_I31) top->ref = rt_i31_new(top->u32);
    if (op == BC_EXTERN_CONVERT_ANY) top->ref = rt_ref_externalize(before);
    if (op == BC_ANY_CONVERT_EXTERN) top->ref = rt_ref_internalize(e->instance->store, before);
    return before && !top->ref ? RT_TRAP_OUT_OF_MEMORY : RT_TRAP_NONE;
}

static enum rt_trap step(struct evaluation *e, const struct bc_instr *instr) {
    if (!room(e)) return RT_TRAP_OUT_OF_MEMORY;
    switch (instr->op) {
    case BC_I32_CONST: push(e, (uint32_t)instr->i32); break;
    case BC_I64_CONST: push(e, (uint64_t)instr->i64); break;
    case BC_F32_CONST: push(e, instr->f32_bits); break;
    case BC_F64_CONST: push(e, instr->f64_bits); break;
    case BC_V128_CONST: push_v128(e, instr->v128); break;
    case BC_REF_NULL: push(e, 0); break;
    case BC_REF_FUNC: push(e, (uintptr_t)e->instance->funcs[instr->index]); break;
    case BC_GLOBAL_GET: push_global(e, instr->index); break;
    case BC_STRUCT_NEW:
    case BC_STRUCT_NEW_DEFAULT:
    case BC_ARRAY_NEW:
    case BC_ARRAY_NEW_DEFAULT:
    case BC_ARRAY_NEW_FIXED: return new_object(e, instr);
    case BC_REF_I31:
    case BC_EXTERN_CONVERT_ANY:
    case BC_ANY_CONVERT_EXTERN: return convert(e, instr->op);
    default: return e->n >= 2 ? binary(e, instr->op) : RT_TRAP_UNSUPPORTED;
    }
    return RT_TRAP_NONE;
}

static enum rt_trap run(struct evaluation *e, struct bc_range expr) {
    const struct bc_module *bc = e->instance->module->bc;
    uint32_t at = expr.offset, end = expr.offset + expr.size;
    struct bc_instr instr;
    while (at < end) {
        if (bc_decode_instr(bc, at, end, &instr, NULL)) return RT_TRAP_UNSUPPORTED;
        if (instr.op == BC_END) break;
        enum rt_trap trap = step(e, &instr);
        if (trap) return trap;
        at = instr.next;
    }
    return RT_TRAP_NONE;
}

enum rt_trap rt_const_eval(struct rt_instance *instance, struct bc_range expr, union rt_slot out[2]) {
    struct evaluation e = {.instance = instance, .capacity = SMALL_STACK};
    e.stack = e.small;
    bool paused = rt_heap_pause(instance->store); /* the stack of values is not where the collector looks */
    enum rt_trap trap = run(&e, expr);
    rt_heap_resume(paused);
    out[0].u64 = e.n > 0 ? e.stack[0].u64 : 0;
    out[1].u64 = e.n > 1 ? e.stack[1].u64 : 0;
    if (e.stack != e.small) atoll_free(rt_alloc(instance->store), e.stack, e.capacity * sizeof *e.stack);
    return trap;
}
