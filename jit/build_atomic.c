/* jit/build_atomic.c: atomic loads, stores, and what reads and writes at once. On x86 an aligned load is one that others'
 * writes are ordered with; stores and changes are instructions of their own (emit_atomic.c). */
#include "jit/build.h"

_Static_assert(BC_I64_ATOMIC_STORE32 == BC_I32_ATOMIC_LOAD + 13, "rows of the opcode table");
_Static_assert(BC_I64_ATOMIC_RMW32_CMPXCHG_U + 1 ==
                   BC_I32_ATOMIC_RMW_ADD + (JIT_CMPXCHG + 1) * JIT_ATOMIC_WIDTHS,
               "rows of the opcode table");

static uint16_t plain_load(uint16_t op) {
    switch (op) {
    case BC_I32_ATOMIC_LOAD: return BC_I32_LOAD;
    case BC_I64_ATOMIC_LOAD: return BC_I64_LOAD;
    case BC_I32_ATOMIC_LOAD8_U: return BC_I32_LOAD8_U;
    case BC_I32_ATOMIC_LOAD16_U: return BC_I32_LOAD16_U;
    case BC_I64_ATOMIC_LOAD8_U: return BC_I64_LOAD8_U;
    case BC_I64_ATOMIC_LOAD16_U: return BC_I64_LOAD16_U;
    case BC_I64_ATOMIC_LOAD32_U: return BC_I64_LOAD32_U;
    default: return 0;
    }
}

/* A sum that is too large for an address is out of bounds, aligned or not. */
static void trap_wrapped(struct build *b, const struct bc_instr *in, uint32_t address) {
    struct ir_func *f = b->f;
    if (!f->bc->memories[in->index].limits.is64 || !in->memarg_offset) return;
    uint32_t last = ir_const(f, IR_I64, UINT64_MAX - in->memarg_offset);
    build_trap_if(b, ir_binary(f, b->block, BC_I64_GT_U, IR_I32, address, last), RT_TRAP_MEMORY_BOUNDS);
}

static void trap_unaligned(struct build *b, const struct bc_instr *in, uint32_t address, unsigned size) {
    struct ir_func *f = b->f;
    if (size == 1) return;
    bool wide = f->bc->memories[in->index].limits.is64;
    unsigned type = wide ? IR_I64 : IR_I32;
    uint32_t low = address, mask = ir_const(f, type, size - 1);
    if (in->memarg_offset % size)
        low = ir_binary(f, b->block, wide ? BC_I64_ADD : BC_I32_ADD, type, low,
                        ir_const(f, type, in->memarg_offset % size));
    low = ir_binary(f, b->block, wide ? BC_I64_AND : BC_I32_AND, type, low, mask);
    if (wide) low = ir_binary(f, b->block, BC_I64_NE, IR_I32, low, ir_const(f, IR_I64, 0));
    build_trap_if(b, low, RT_TRAP_UNALIGNED_ATOMIC);
}

bool build_atomic(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    uint16_t op = (uint16_t)in->op;
    if (op < BC_I32_ATOMIC_LOAD || op > BC_I64_ATOMIC_RMW32_CMPXCHG_U) return false;
    bool stores = op >= BC_I32_ATOMIC_STORE && op <= BC_I64_ATOMIC_STORE32;
    bool loads = op < BC_I32_ATOMIC_STORE;
    enum jit_atomic change = loads || stores ? JIT_XCHG : jit_atomic_of(op);
    uint32_t n = loads ? 1 : change == JIT_CMPXCHG ? 3 : 2;
    if (f->failed || b->n_stack < n) return true;
    const uint32_t *args = b->stack + b->n_stack - n;
    uint32_t at = args[0], value = loads ? IR_NONE : args[1],
             replacement = change == JIT_CMPXCHG ? args[2] : IR_NONE;
    unsigned size = bc_op_infos[op].access;
    b->n_stack -= n;
    trap_wrapped(b, in, at);
    trap_unaligned(b, in, at, size);
    uint64_t displacement;
    uint32_t absolute, a = build_address(b, in, size, at, &displacement, &absolute);
    bool wide = bc_op_infos[op].text[1] == '6'; /* i64. */
    uint32_t v = build_new(b, loads ? IR_LOAD : IR_ATOMIC, stores ? IR_VOID : wide ? IR_I64 : IR_I32);
    if (f->failed) return true;
    f->ins[v].sub = loads ? plain_load(op) : op;
    f->ins[v].a = a;
    f->ins[v].b = value;
    f->ins[v].c = replacement;
    f->ins[v].imm = displacement;
    f->ins[v].index = absolute;
    if (!stores) build_push(b, v);
    return true;
}
