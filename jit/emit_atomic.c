/* jit/emit_atomic.c: atomic stores, and instructions that read and write at once. The result's register is none of the
 * operands', which are read until the end (live.c). Where an instruction works on rax, what was there waits in r11. */
#include "jit/code.h"
#include "jit/emit.h"

/* By size: 1, 2, 4, 8 bytes. */
static const uint32_t exchange[] = {X86_CODE(0, 0, 0x86) | X86_BYTE, X86_CODE(1, 0, 0x87), X86_XCHG,
                                    X86_XCHG | X86_W};
static const uint32_t exchange_add[] = {X86_CODE(0, 1, 0xC0) | X86_BYTE, X86_CODE(1, 1, 0xC1),
                                        X86_CODE(0, 1, 0xC1), X86_CODE(0, 1, 0xC1) | X86_W};
static const uint32_t compare_exchange[] = {X86_CODE(0, 1, 0xB0) | X86_BYTE, X86_CODE(1, 1, 0xB1),
                                            X86_CODE(0, 1, 0xB1), X86_CODE(0, 1, 0xB1) | X86_W};
static const uint32_t load_zero_extended[] = {X86_MOVZX8, X86_MOVZX16, X86_MOV_LOAD, X86_MOV_LOAD | X86_W};

static unsigned log2_of(const struct ir_ins *i) {
    return (unsigned)__builtin_ctz(bc_op_infos[i->sub].access);
}

static void lock(struct emit *e) { x86_bytes(&e->a, 0xF0, 1); }

/* A constant address: what the builder took for one that may change, too. */
static bool is_fixed(const struct emit *e, const struct ir_ins *i, uint64_t *at) {
    *at = i->imm;
    if (i->a == IR_NONE) return true;
    if (e->f->ins[i->a].op != IR_CONST) return false;
    *at += e->f->ins[i->a].imm;
    return true;
}

/* There is no register to spare for one that no displacement reaches: that of the memory goes there and comes back. */
static bool is_far(const struct emit *e, const struct ir_ins *i, uint64_t *at) {
    return is_fixed(e, i, at) && *at > INT32_MAX;
}

static void move_memory(struct emit *e, int64_t distance) {
    while (distance) {
        int32_t step = (int32_t)(distance > INT32_MAX    ? INT32_MAX
                                 : distance < -INT32_MAX ? -INT32_MAX
                                                         : distance);
        x86_op(&e->a, X86_LEA | X86_W, MEMORY, x86_mem(MEMORY, step));
        distance -= step;
    }
}

/* The address is in that register, or fixed. */
static struct x86_rm place(struct emit *e, const struct ir_ins *i, int reg) {
    uint64_t at;
    if (is_far(e, i, &at)) return x86_mem(MEMORY, 0);
    if (is_fixed(e, i, &at)) return x86_mem(MEMORY, (int32_t)at);
    return i->index ? x86_mem(reg, (int32_t)i->imm) : x86_mem_index(MEMORY, reg, 0, (int32_t)i->imm);
}

static void zero_extend(struct emit *e, int dst, int src, unsigned log2) {
    uint32_t op = load_zero_extended[log2] | (log2 == 0 ? X86_BYTE_RM : 0);
    if (log2 < 2 || dst != src) x86_op(&e->a, op, dst, x86_reg(src));
}

static void store(struct emit *e, const struct ir_ins *i) {
    emit_load_value(e, SCRATCH, i->b, i->reg_b);
    emit_pc(e, i->where);
    x86_op(&e->a, exchange[log2_of(i)], SCRATCH, place(e, i, i->reg_a)); /* which is locked */
}

static void add_or_exchange(struct emit *e, const struct ir_ins *i, enum jit_atomic change) {
    unsigned log2 = log2_of(i);
    emit_load_value(e, i->reg, i->b, i->reg_b);
    if (change == JIT_SUB) x86_op(&e->a, X86_CODE(0, 0, 0xF7) | X86_W, 3, x86_reg(i->reg)); /* neg */
    emit_pc(e, i->where);
    if (change != JIT_XCHG) lock(e);
    x86_op(&e->a, (change == JIT_XCHG ? exchange : exchange_add)[log2], i->reg, place(e, i, i->reg_a));
    zero_extend(e, i->reg, i->reg, log2);
}

struct rax { /* an instruction that works on it */
    bool saved;
    int address, b, c; /* registers of the operands meanwhile */
};

static struct rax take_rax(struct emit *e, const struct ir_ins *i) {
    struct rax r = {i->reg != RAX, i->reg_a, i->reg_b, i->reg_c};
    if (!r.saved) return r;
    x86_op(&e->a, X86_MOV_LOAD | X86_W, SCRATCH, x86_reg(RAX));
    if (r.address == RAX) r.address = SCRATCH;
    if (r.b == RAX) r.b = SCRATCH;
    if (r.c == RAX) r.c = SCRATCH;
    return r;
}

static void give_rax_back(struct emit *e, const struct ir_ins *i, const struct rax *r) {
    if (!r->saved) return;
    x86_op(&e->a, X86_MOV_LOAD | X86_W, i->reg, x86_reg(RAX));
    x86_op(&e->a, X86_MOV_LOAD | X86_W, RAX, x86_reg(SCRATCH));
}

static void logic(struct emit *e, const struct ir_ins *i, enum jit_atomic change) {
    static const uint32_t ops[] = {[JIT_AND] = X86_AND, [JIT_OR] = X86_OR, [JIT_XOR] = X86_XOR};
    static const unsigned with_imm[] = {[JIT_AND] = 4, [JIT_OR] = 1, [JIT_XOR] = 6};
    struct x86 *a = &e->a;
    unsigned log2 = log2_of(i);
    const struct ir_ins *value = e->f->ins + i->b;
    struct rax r = take_rax(e, i);
    int changed = r.saved ? i->reg : SCRATCH;
    emit_pc(e, i->where);
    x86_op(a, load_zero_extended[log2], RAX, place(e, i, r.address));
    uint32_t again = emit_label(e);
    emit_bind(e, again);
    x86_op(a, X86_MOV_LOAD | X86_W, changed, x86_reg(RAX));
    if (value->op == IR_CONST && log2 == 3 && (int64_t)value->imm != (int32_t)value->imm)
        x86_op(a, ops[change] | X86_W, changed, x86_literal(a, &value->imm, 8));
    else if (value->op == IR_CONST)
        x86_alu_imm(a, with_imm[change], X86_W, x86_reg(changed), (int32_t)value->imm);
    else
        x86_op(a, ops[change] | X86_W, changed, x86_reg(r.b));
    lock(e);
    x86_op(a, compare_exchange[log2], changed, place(e, i, r.address));
    x86_branch(a, CC_NE, again);
    give_rax_back(e, i, &r);
}

/* rax <- the expected value, where it may match at all; with one that is wider than what lies in memory only that is
 * read, and the code goes on at `never`. */
static void expect(struct emit *e, const struct ir_ins *i, const struct rax *r, uint32_t never) {
    struct x86 *a = &e->a;
    unsigned log2 = log2_of(i);
    const struct ir_ins *expected = e->f->ins + i->b;
    bool narrow = (1u << log2) < (i->type == IR_I64 ? 8u : 4u);
    if (expected->op == IR_CONST) {
        uint64_t bits = expected->imm, wider = narrow ? bits >> (8u << log2) : 0;
        x86_const(a, RAX, bits);
        if (wider) x86_jump(a, never);
        return;
    }
    if (!narrow) {
        if (r->b != RAX) x86_op(a, X86_MOV_LOAD | X86_W, RAX, x86_reg(r->b));
        return;
    }
    zero_extend(e, RAX, r->b, log2);
    x86_op(a, X86_CMP | emit_width(i->type), RAX, x86_reg(r->b));
    x86_branch(a, CC_NE, never);
}

static void compare_and_exchange(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    unsigned log2 = log2_of(i);
    const struct ir_ins *replacement = e->f->ins + i->c;
    uint32_t never = emit_label(e), done = emit_label(e);
    struct rax r = take_rax(e, i);
    if (replacement->op == IR_CONST) { /* r11 is free unless rax waits there */
        r.c = r.saved ? i->reg : SCRATCH;
        x86_const(a, r.c, replacement->imm);
    }
    expect(e, i, &r, never);
    emit_pc(e, i->where);
    lock(e);
    x86_op(a, compare_exchange[log2], r.c, place(e, i, r.address));
    x86_jump(a, done);
    emit_bind(e, never);
    x86_op(a, load_zero_extended[log2], RAX, place(e, i, r.address));
    emit_bind(e, done);
    give_rax_back(e, i, &r);
}

static void access(struct emit *e, const struct ir_ins *i) {
    if (i->type == IR_VOID) {
        store(e, i);
        return;
    }
    enum jit_atomic change = jit_atomic_of(i->sub);
    if (change == JIT_CMPXCHG)
        compare_and_exchange(e, i);
    else if (change >= JIT_AND && change <= JIT_XOR)
        logic(e, i, change);
    else
        add_or_exchange(e, i, change);
}

void emit_atomic(struct emit *e, const struct ir_ins *i) {
    uint64_t at;
    bool far = is_far(e, i, &at);
    if (far) move_memory(e, (int64_t)at);
    access(e, i);
    if (far) move_memory(e, -(int64_t)at);
}
