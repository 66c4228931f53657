/* jit/build_table.c: table.get, table.set, table.size. An element is a slot of 64 bits. */
#include <stddef.h>
#include "jit/build.h"

static uint32_t field(struct build *b, uint32_t table, size_t at) {
    return build_host_access(b, BC_I64_LOAD, IR_I64, table, (int32_t)at, IR_NONE);
}

static uint32_t table_of(struct build *b, uint32_t index) {
    uint32_t v = build_new(b, IR_TABLE, IR_I64);
    if (!b->f->failed) b->f->ins[v].imm = index;
    return v;
}

/* Where the element is; its index is checked. */
static uint32_t element(struct build *b, const struct bc_instr *in, uint32_t index) {
    struct ir_func *f = b->f;
    uint32_t table = table_of(b, in->index);
    if (!f->bc->tables[in->index].limits.is64)
        index = ir_unary(f, b->block, BC_I64_EXTEND_I32_U, IR_I64, index);
    uint32_t size = field(b, table, offsetof(struct rt_table, size));
    build_trap_if(b, ir_binary(f, b->block, BC_I64_GE_U, IR_I32, index, size), RT_TRAP_TABLE_BOUNDS);
    uint32_t offset = ir_binary(f, b->block, BC_I64_SHL, IR_I64, index, ir_const(f, IR_I64, 3));
    uint32_t elems = field(b, table, offsetof(struct rt_table, elems));
    return ir_binary(f, b->block, BC_I64_ADD, IR_I64, elems, offset);
}

bool build_table(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    uint32_t value;
    switch (in->op) {
    case BC_TABLE_GET:
        build_push(b, build_host_access(b, BC_I64_LOAD, IR_I64, element(b, in, build_pop(b)), 0, IR_NONE));
        return true;
    case BC_TABLE_SET:
        value = build_pop(b);
        build_host_access(b, BC_I64_STORE, IR_I64, element(b, in, build_pop(b)), 0, value);
        return true;
    case BC_TABLE_SIZE:
        value = field(b, table_of(b, in->index), offsetof(struct rt_table, size));
        if (!f->bc->tables[in->index].limits.is64)
            value = ir_unary(f, b->block, BC_I32_WRAP_I64, IR_I32, value);
        build_push(b, value);
        return true;
    default: return false;
    }
}
