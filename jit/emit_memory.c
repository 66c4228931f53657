/* jit/emit_memory.c: memories, globals, references to functions. A plain access to memory 0 is one
 * instruction; behind its end stand guard pages. */
#include <stddef.h>
#include "jit/code.h"
#include "jit/emit.h"

struct x86_rm emit_address(struct emit *e, const struct ir_ins *i) {
    bool absolute = i->index & IR_ABSOLUTE;
    unsigned scale = i->index >> IR_SCALE;
    int base = absolute ? X86_NO_REG : MEMORY;
    int32_t displacement = (int32_t)i->imm;
    if (i->a == IR_NONE) return x86_mem(base, displacement);
    int index = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    if (!absolute) return x86_mem_index(base, index, scale, displacement);
    return i->c == IR_NONE ? x86_mem(index, displacement)
                           : x86_mem_index(index, i->reg_c, scale, displacement);
}

static void simple_load(struct emit *e, const struct ir_ins *i, uint32_t op) {
    struct x86_rm from = emit_address(e, i);
    emit_pc(e, i->where);
    x86_op(&e->a, op, i->reg, from);
}

static const uint32_t insert_ops[] = {[1] = X86_CODE(1, 3, 0x20),
                                      [2] = X86_CODE(1, 1, 0xC4),
                                      [4] = X86_CODE(1, 3, 0x22),
                                      [8] = X86_CODE(1, 3, 0x22) | X86_W};
static const uint32_t extract_ops[] = {[1] = X86_CODE(1, 3, 0x14),
                                       [2] = X86_CODE(1, 3, 0x15),
                                       [4] = X86_CODE(1, 3, 0x16),
                                       [8] = X86_CODE(1, 3, 0x16) | X86_W};

/* The operands are late: the address is still there when the vector is in the result's register. */
static void lane_load(struct emit *e, const struct ir_ins *i) {
    emit_load_value(e, i->reg, i->b, i->reg_b);
    struct x86_rm from = emit_address(e, i);
    emit_pc(e, i->where);
    x86_op_imm(&e->a, insert_ops[bc_op_infos[i->sub].access], i->reg, from, i->lane, 1);
}

static void lane_store(struct emit *e, const struct ir_ins *i) {
    int src = emit_in_register(e, i->b, i->reg_b, SCRATCH_X);
    struct x86_rm to = emit_address(e, i);
    emit_pc(e, i->where);
    x86_op_imm(&e->a, extract_ops[bc_op_infos[i->sub].access], src, to, i->lane, 1);
}

static void splat_load(struct emit *e, const struct ir_ins *i, unsigned size) {
    static const uint64_t lanes[] = {0, UINT64_C(0x0100010001000100)};
    uint64_t both[2] = {lanes[size - 1], lanes[size - 1]};
    struct x86_rm from = emit_address(e, i);
    emit_pc(e, i->where);
    x86_op_imm(&e->a, insert_ops[size], i->reg, from, 0, 1);
    x86_op(&e->a, X86_CODE(1, 2, 0x00), i->reg, x86_literal(&e->a, both, 16)); /* pshufb */
}

/* Vectors from memory that the plain instruction does not make in one. */
static bool vector_load(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    switch (i->sub) {
    case BC_V128_LOAD: simple_load(e, i, X86_MOVUPS_LOAD); break;
    case BC_V128_LOAD8X8_S: simple_load(e, i, X86_CODE(1, 2, 0x20)); break;
    case BC_V128_LOAD8X8_U: simple_load(e, i, X86_CODE(1, 2, 0x30)); break;
    case BC_V128_LOAD16X4_S: simple_load(e, i, X86_CODE(1, 2, 0x23)); break;
    case BC_V128_LOAD16X4_U: simple_load(e, i, X86_CODE(1, 2, 0x33)); break;
    case BC_V128_LOAD32X2_S: simple_load(e, i, X86_CODE(1, 2, 0x25)); break;
    case BC_V128_LOAD32X2_U: simple_load(e, i, X86_CODE(1, 2, 0x35)); break;
    case BC_V128_LOAD64_SPLAT: simple_load(e, i, X86_CODE(3, 1, 0x12)); break; /* movddup */
    case BC_V128_LOAD32_SPLAT:
        simple_load(e, i, X86_MOVSS_LOAD);
        x86_op_imm(a, X86_CODE(0, 1, 0xC6), i->reg, x86_reg(i->reg), 0, 1); /* shufps */
        break;
    case BC_V128_LOAD8_SPLAT: splat_load(e, i, 1); break;
    case BC_V128_LOAD16_SPLAT: splat_load(e, i, 2); break;
    case BC_V128_LOAD8_LANE:
    case BC_V128_LOAD16_LANE:
    case BC_V128_LOAD32_LANE:
    case BC_V128_LOAD64_LANE: lane_load(e, i); break;
    case BC_V128_LOAD32_ZERO: simple_load(e, i, X86_MOVSS_LOAD); break;
    case BC_V128_LOAD64_ZERO: simple_load(e, i, X86_MOVSD_LOAD); break;
    default: return false;
    }
    return true;
}

static bool load(struct emit *e, const struct ir_ins *i) {
    switch (i->sub) {
    case BC_I32_LOAD:
    case BC_I64_LOAD32_U: simple_load(e, i, X86_MOV_LOAD); break;
    case BC_I64_LOAD: simple_load(e, i, X86_MOV_LOAD | X86_W); break;
    case BC_F32_LOAD: simple_load(e, i, X86_MOVSS_LOAD); break;
    case BC_F64_LOAD: simple_load(e, i, X86_MOVSD_LOAD); break;
    case BC_I32_LOAD8_S: simple_load(e, i, X86_MOVSX8); break;
    case BC_I64_LOAD8_S: simple_load(e, i, X86_MOVSX8 | X86_W); break;
    case BC_I32_LOAD8_U:
    case BC_I64_LOAD8_U: simple_load(e, i, X86_MOVZX8); break;
    case BC_I32_LOAD16_S: simple_load(e, i, X86_MOVSX16); break;
    case BC_I64_LOAD16_S: simple_load(e, i, X86_MOVSX16 | X86_W); break;
    case BC_I32_LOAD16_U:
    case BC_I64_LOAD16_U: simple_load(e, i, X86_MOVZX16); break;
    case BC_I64_LOAD32_S: simple_load(e, i, X86_MOVSXD); break;
    default: return vector_load(e, i);
    }
    return true;
}

static void store_const(struct emit *e, const struct ir_ins *i, struct x86_rm to, unsigned size,
                        int32_t value) {
    static const uint32_t ops[] = {[1] = X86_CODE(0, 0, 0xC6),
                                   [2] = X86_CODE(1, 0, 0xC7),
                                   [4] = X86_CODE(0, 0, 0xC7),
                                   [8] = X86_CODE(0, 0, 0xC7) | X86_W};
    emit_pc(e, i->where);
    x86_op_imm(&e->a, ops[size], 0, to, value, size < 4 ? size : 4);
}

static bool store(struct emit *e, const struct ir_ins *i) {
    const struct ir_ins *value = e->f->ins + i->b;
    unsigned size = bc_op_infos[i->sub].access;
    uint32_t op;
    switch (i->sub) {
    case BC_I32_STORE:
    case BC_I64_STORE32: op = X86_MOV_STORE; break;
    case BC_I64_STORE: op = X86_MOV_STORE | X86_W; break;
    case BC_I32_STORE8:
    case BC_I64_STORE8: op = X86_MOV_STORE8; break;
    case BC_I32_STORE16:
    case BC_I64_STORE16: op = X86_MOV_STORE16; break;
    case BC_F32_STORE: op = X86_MOVSS_STORE; break;
    case BC_F64_STORE: op = X86_MOVSD_STORE; break;
    case BC_V128_STORE: op = X86_MOVUPS_STORE; break;
    case BC_V128_STORE8_LANE:
    case BC_V128_STORE16_LANE:
    case BC_V128_STORE32_LANE:
    case BC_V128_STORE64_LANE: return lane_store(e, i), true;
    default: return false;
    }
    bool fits = value->op == IR_CONST && value->type != IR_V128 &&
                (size < 8 || (int64_t)value->imm == (int32_t)value->imm);
    if (fits) {
        store_const(e, i, emit_address(e, i), size, (int32_t)value->imm);
        return true;
    }
    struct x86_rm to;
    int src;
    if (value->op == IR_CONST &&
        !ir_is_float(value->type)) { /* by scratch, which an address of 64 bits also wants */
        if (i->a != IR_NONE && e->f->ins[i->a].op == IR_CONST) {
            x86_const(&e->a, SCRATCH, value->imm);
            x86_op(&e->a, X86_MOVD_TO_XMM | X86_W, SCRATCH_X, x86_reg(SCRATCH));
            op = X86_MOVSD_STORE;
            to = emit_address(e, i);
            src = SCRATCH_X;
        } else {
            to = emit_address(e, i);
            src = emit_in_register(e, i->b, i->reg_b, SCRATCH);
        }
    } else {
        src = emit_in_register(e, i->b, i->reg_b, SCRATCH_X);
        to = emit_address(e, i);
    }
    emit_pc(e, i->where);
    x86_op(&e->a, op, src, to);
    return true;
}

static void memory_of(struct emit *e, int reg, uint32_t memory) {
    x86_op(&e->a, X86_MOV_LOAD | X86_W, reg, x86_mem(INSTANCE, e->layout->memories + 8 * (int32_t)memory));
}

/* A part of the memory that may be at hand in a value; else scratch points to the memory. */
static struct x86_rm memory_part(struct emit *e, uint32_t v, uint8_t loc, size_t at) {
    return v == IR_NONE ? x86_mem(SCRATCH, (int32_t)at) : emit_operand(e, v, loc);
}

/* The host address of an access to any memory, plus its size: compared with the memory's size. */
static void address(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    bool wide = e->f->bc->memories[i->index].limits.is64;
    if (i->b == IR_NONE || i->c == IR_NONE) memory_of(e, SCRATCH, i->index);
    uint64_t sum = i->imm + i->lane;
    bool overflow = sum < i->imm;
    if (overflow)
        x86_op(a, X86_CMP, RAX, x86_reg(RAX)); /* for the jump below: offset and size alone are too much */
    if (overflow) emit_trap_if(e, CC_E, RT_TRAP_MEMORY_BOUNDS, i->where);
    if (sum <= INT32_MAX && !wide && i->reg_a < 32 && e->f->ins[i->a].op != IR_CONST) {
        x86_op(a, X86_LEA | X86_W, i->reg, x86_mem(i->reg_a, (int32_t)sum));
    } else if (sum <= INT32_MAX) {
        emit_load_value(e, i->reg, i->a, i->reg_a);
        x86_alu_imm(a, 0, X86_W, x86_reg(i->reg), (int32_t)sum);
    } else if (e->f->ins[i->a].op == IR_CONST) {
        uint64_t total;
        bool beyond = __builtin_add_overflow(e->f->ins[i->a].imm, sum, &total);
        x86_const(a, i->reg, beyond ? UINT64_MAX : total);
        x86_op(a, X86_TEST | X86_W, i->reg, x86_reg(i->reg)); /* no carry */
    } else {
        x86_const(a, i->reg, sum);
        x86_op(a, X86_ADD | X86_W, i->reg, x86_reg(i->reg_a));
    }
    if (wide) emit_trap_if(e, CC_B, RT_TRAP_MEMORY_BOUNDS, i->where);
    x86_op(a, X86_CMP | X86_W, i->reg,
           memory_part(e, i->b, i->reg_b, offsetof(struct rt_memory, size_bytes)));
    emit_trap_if(e, CC_A, RT_TRAP_MEMORY_BOUNDS, i->where);
    x86_op(a, X86_ADD | X86_W, i->reg, memory_part(e, i->c, i->reg_c, offsetof(struct rt_memory, base)));
}

static void load_memory_part(struct emit *e, const struct ir_ins *i) {
    memory_of(e, i->reg, i->index);
    x86_op(&e->a, X86_MOV_LOAD | X86_W, i->reg, x86_mem(i->reg, (int32_t)i->imm));
}

static void memory_size(struct emit *e, const struct ir_ins *i) {
    memory_of(e, SCRATCH, i->index);
    x86_op(&e->a, X86_MOV_LOAD | X86_W, i->reg, x86_mem(SCRATCH, offsetof(struct rt_memory, size_bytes)));
    if (i->imm) x86_shift_imm(&e->a, 5, X86_W, i->reg, (unsigned)i->imm);
}

static struct x86_rm global_place(struct emit *e, uint32_t index) {
    uint32_t n_imported = e->f->bc->n_imported_globals;
    if (index >= n_imported)
        return x86_mem(INSTANCE,
                       e->layout->own_globals + (int32_t)(sizeof(struct rt_global) * (index - n_imported)));
    x86_op(&e->a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(INSTANCE, e->layout->globals + 8 * (int32_t)index));
    return x86_mem(SCRATCH, 0);
}

static void global_get(struct emit *e, const struct ir_ins *i) {
    x86_op(&e->a, emit_load_op(i->type), i->reg, global_place(e, (uint32_t)i->imm));
}

static void global_set(struct emit *e, const struct ir_ins *i) {
    uint8_t type = e->f->ins[i->a].type;
    int32_t imm;
    if (emit_imm32(e, i->a, &imm) && (type == IR_I64 || imm >= 0)) {
        x86_op_imm(&e->a, X86_CODE(0, 0, 0xC7) | X86_W, 0, global_place(e, (uint32_t)i->imm), imm, 4);
        return;
    }
    if (type == IR_F32) { /* the slot's upper half is zero */
        int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
        struct x86_rm to = global_place(e, (uint32_t)i->imm);
        x86_op_imm(&e->a, X86_CODE(0, 0, 0xC7) | X86_W, 0, to, 0, 4);
        x86_op(&e->a, X86_MOVSS_STORE, src, to);
        return;
    }
    if (!ir_is_float(type)) {
        bool constant = e->f->ins[i->a].op == IR_CONST;
        if (constant) { /* scratch may be the global's address */
            x86_const(&e->a, SCRATCH, e->f->ins[i->a].imm);
            x86_op(&e->a, X86_MOVD_TO_XMM | X86_W, SCRATCH_X, x86_reg(SCRATCH));
            x86_op(&e->a, X86_MOVSD_STORE, SCRATCH_X, global_place(e, (uint32_t)i->imm));
            return;
        }
        x86_op(&e->a, X86_MOV_STORE | X86_W, i->reg_a, global_place(e, (uint32_t)i->imm));
        return;
    }
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    x86_op(&e->a, type == IR_F64 ? X86_MOVSD_STORE : X86_MOVUPS_STORE, src,
           global_place(e, (uint32_t)i->imm));
}

static void ref_func(struct emit *e, const struct ir_ins *i) {
    uint32_t n_imported = e->f->bc->n_imported_funcs, index = (uint32_t)i->imm;
    if (index >= n_imported)
        x86_op(&e->a, X86_LEA | X86_W, i->reg,
               x86_mem(INSTANCE,
                       e->layout->own_funcs + (int32_t)(sizeof(struct rt_func) * (index - n_imported))));
    else
        x86_op(&e->a, X86_MOV_LOAD | X86_W, i->reg, x86_mem(INSTANCE, e->layout->funcs + 8 * (int32_t)index));
}

static void table(struct emit *e, const struct ir_ins *i) {
    x86_op(&e->a, X86_MOV_LOAD | X86_W, i->reg, x86_mem(INSTANCE, e->layout->tables + 8 * (int32_t)i->imm));
}

bool emit_memory(struct emit *e, struct ir_ins *i) {
    switch (i->op) {
    case IR_LOAD: return load(e, i);
    case IR_STORE: return store(e, i);
    case IR_ADDRESS: address(e, i); break;
    case IR_MEMORY_SIZE: memory_size(e, i); break;
    case IR_MEMORY_PART: load_memory_part(e, i); break;
    case IR_GLOBAL_GET: global_get(e, i); break;
    case IR_GLOBAL_SET: global_set(e, i); break;
    case IR_REF_FUNC: ref_func(e, i); break;
    case IR_TABLE: table(e, i); break;
    default: return false;
    }
    return true;
}
