/* jit/emit_object.c: of which type a reference is: ref.test, ref.cast, br_on_cast. */
#include <stddef.h>
#include "jit/code.h"
#include "jit/emit.h"

/* What the result is for an i31 stands in its register. */
static void skip_i31(struct emit *e, int ref, uint32_t done) {
    x86_op_imm(&e->a, X86_CODE(0, 0, 0xF6) | X86_BYTE_RM, 0, x86_reg(ref), 1, 1); /* test */
    x86_branch(&e->a, CC_NE, done);
}

/* reg <- whether the condition holds. */
static void set(struct emit *e, int reg, unsigned condition) {
    x86_const(&e->a, reg, 0); /* which leaves the flags */
    x86_op(&e->a, X86_SETCC + condition, 0, x86_reg(reg));
}

static void is_i31(struct emit *e, const struct ir_ins *i, int ref) {
    struct x86 *a = &e->a;
    uint32_t done = emit_label(e);
    x86_op(a, X86_MOV_LOAD, i->reg, x86_reg(ref));
    x86_alu_imm(a, 4, 0, x86_reg(i->reg), 1); /* null has no low bit */
    if (!i->lane) return;
    x86_op(a, X86_TEST | X86_W, ref, x86_reg(ref));
    x86_branch(a, CC_NE, done);
    x86_const(a, i->reg, 1);
    emit_bind(e, done);
}

/* eq, struct, array */
static void is_of_form(struct emit *e, const struct ir_ins *i, int ref, uint32_t heap, uint32_t done) {
    struct x86 *a = &e->a;
    x86_const(a, i->reg, heap == BC_HEAP_EQ);
    skip_i31(e, ref, done);
    x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(ref, offsetof(struct rt_object, layout)));
    x86_op_imm(a, X86_CODE(0, 0, 0x80), 7, x86_mem(SCRATCH, offsetof(struct rt_layout, form)),
               heap == BC_HEAP_STRUCT ? RT_OBJECT_STRUCT : RT_OBJECT_ARRAY, 1);
    set(e, i->reg, heap == BC_HEAP_EQ ? CC_BE : CC_E);
}

/* Objects know their layout, layouts and functions their type, types what is above them. */
static void is_of_type(struct emit *e, const struct ir_ins *i, int ref, uint32_t done) {
    struct x86 *a = &e->a;
    const struct rt_type *type = e->f->module->types[i->imm];
    x86_const(a, i->reg, 0);
    if (type->form == BC_TYPE_FUNC) {
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(ref, offsetof(struct rt_func, type)));
    } else {
        skip_i31(e, ref, done);
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(ref, offsetof(struct rt_object, layout)));
        x86_op_imm(a, X86_CODE(0, 0, 0x80), 7, x86_mem(SCRATCH, offsetof(struct rt_layout, form)),
                   RT_OBJECT_ARRAY, 1);
        x86_branch(a, CC_A, done);
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(SCRATCH, offsetof(struct rt_layout, type)));
    }
    if (!type->final) {
        x86_alu_imm(a, 7, 0, x86_mem(SCRATCH, offsetof(struct rt_type, depth)), (int32_t)type->depth);
        x86_branch(a, CC_B, done);
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(SCRATCH, offsetof(struct rt_type, display)));
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(SCRATCH, 8 * (int32_t)type->depth));
    }
    emit_address_of(e, i->reg, JIT_RELOC_TYPE, (uint32_t)i->imm);
    x86_op(a, X86_CMP | X86_W, SCRATCH, x86_reg(i->reg));
    set(e, i->reg, CC_E);
}

void emit_ref_is(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    int ref = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    if (i->imm == BC_HEAP_ABSTRACT + BC_HEAP_I31) {
        is_i31(e, i, ref);
        return;
    }
    uint32_t done = emit_label(e);
    x86_const(a, i->reg, i->lane);
    x86_op(a, X86_TEST | X86_W, ref, x86_reg(ref));
    x86_branch(a, CC_E, done);
    if (i->imm < BC_HEAP_ABSTRACT)
        is_of_type(e, i, ref, done);
    else
        is_of_form(e, i, ref, (uint32_t)i->imm - BC_HEAP_ABSTRACT, done);
    emit_bind(e, done);
}
