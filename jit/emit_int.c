/* jit/emit_int.c: integer instructions, conditions and branches. */
#include <string.h>
#include "jit/emit.h"

/* ---- conditions ---- */

static unsigned compare_condition(uint16_t op) {
    static const uint8_t codes[] = {CC_E, CC_NE, CC_L, CC_B, CC_G, CC_A, CC_LE, CC_BE, CC_GE, CC_AE};
    return codes[op >= BC_I64_EQ ? op - BC_I64_EQ : op - BC_I32_EQ];
}

static void make_flags(struct emit *e, const struct ir_ins *i, uint32_t w) {
    int32_t imm;
    if (emit_imm32(e, i->b, &imm)) {
        struct x86_rm left = e->f->ins[i->a].op == IR_CONST
                                 ? x86_reg(emit_in_register(e, i->a, i->reg_a, SCRATCH))
                                 : emit_operand(e, i->a, i->reg_a);
        if (imm == 0 && !left.memory)
            x86_op(&e->a, X86_TEST | w, left.base, left);
        else
            x86_alu_imm(&e->a, 7, w, left, imm);
        return;
    }
    int left = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    if (e->f->ins[i->b].op == IR_CONST && left != SCRATCH) { /* 64 bits wide */
        x86_const(&e->a, SCRATCH, e->f->ins[i->b].imm);
        x86_op(&e->a, X86_CMP | w, left, x86_reg(SCRATCH));
        return;
    }
    x86_op(&e->a, X86_CMP | w, left, emit_operand(e, i->b, i->reg_b));
}

/* The flags are those of an operation that has just put its result into the register. */
static void flags_of_result(struct emit *e, int reg, uint32_t w) {
    e->flags = (struct emit_flags_of){.at = e->a.size,
                                      .from = e->ins_start,
                                      .a = IR_NONE,
                                      .b = IR_NONE,
                                      .width = w,
                                      .result = (uint8_t)reg};
}

/* Whether ZF of a test of the register is there already. */
static bool zero_flag_known(const struct emit *e, int reg, uint32_t w) {
    return e->flags.at == e->a.size && e->flags.result == reg && e->flags.width == w;
}

static bool compared_already(const struct emit *e, const struct ir_ins *i, uint32_t w) {
    const struct emit_flags_of *f = &e->flags;
    return f->at == e->a.size && f->result == LOC_NONE && f->a == i->a && f->b == i->b && f->width == w &&
           f->reg_a == i->reg_a && f->reg_b == i->reg_b;
}

static void compare(struct emit *e, const struct ir_ins *i, uint32_t w) {
    int32_t imm;
    if (compared_already(e, i, w)) return;
    bool equality = i->op == BC_I32_EQ || i->op == BC_I32_NE || i->op == BC_I64_EQ || i->op == BC_I64_NE;
    bool zero = emit_imm32(e, i->b, &imm) && imm == 0;
    if (zero && equality && i->reg_a < 32 && !e->f->ins[i->a].folded && zero_flag_known(e, i->reg_a, w))
        return;
    size_t from = e->a.size;
    make_flags(e, i, w);
    bool places = !e->f->ins[i->a].folded && !e->f->ins[i->b].folded;
    e->flags = (struct emit_flags_of){.at = places ? e->a.size : SIZE_MAX,
                                      .from = from,
                                      .a = i->a,
                                      .b = i->b,
                                      .reg_a = i->reg_a,
                                      .reg_b = i->reg_b,
                                      .width = w,
                                      .result = LOC_NONE};
}

static void test(struct emit *e, const struct ir_ins *i, uint32_t w) {
    int32_t imm;
    int left = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    if (emit_imm32(e, i->b, &imm)) {
        if (imm >= 0 && imm < 256 && left < 4)
            x86_op_imm(&e->a, X86_CODE(0, 0, 0xF6), 0, x86_reg(left), imm, 1);
        else
            x86_op_imm(&e->a, X86_CODE(0, 0, 0xF7) | w, 0, x86_reg(left), imm, 4);
    } else if (e->f->ins[i->b].op == IR_CONST && left != SCRATCH) {
        x86_const(&e->a, SCRATCH, e->f->ins[i->b].imm);
        x86_op(&e->a, X86_TEST | w, left, x86_reg(SCRATCH));
    } else {
        x86_op(&e->a, X86_TEST | w, left, emit_operand(e, i->b, i->reg_b));
    }
}

/* x & mask, or x >> n & 1, or x & 1 << n, which is part of what decides: the condition under which it is not zero. */
static unsigned bits_flags(struct emit *e, const struct ir_ins *i, uint32_t w) {
    const struct ir_ins *left = e->f->ins + i->a, *right = e->f->ins + i->b;
    const struct ir_ins *shift = left->folded ? left : right->folded ? right : NULL;
    if (!shift) {
        test(e, i, w);
        return CC_NE;
    }
    bool down = shift->op != BC_I32_SHL && shift->op != BC_I64_SHL;
    uint32_t v = down ? shift->a : shift == left ? i->b : i->a;
    uint8_t loc = down ? shift->reg_a : shift == left ? i->reg_b : i->reg_a;
    x86_op(&e->a, X86_BT | w, shift->reg_b, x86_reg(emit_in_register(e, v, loc, SCRATCH)));
    return CC_B;
}

static unsigned float_flags(struct emit *e, const struct ir_ins *i, int *parity) {
    bool wide = i->op >= BC_F64_EQ;
    uint32_t op = wide ? X86_UCOMISD : X86_UCOMISS;
    unsigned kind = wide ? i->op - BC_F64_EQ : i->op - BC_F32_EQ; /* eq ne lt gt le ge */
    uint32_t a = i->a, b = i->b;
    uint8_t loc_a = i->reg_a, loc_b = i->reg_b;
    if (kind == 2 || kind == 4) { /* a < b is b > a, which is false when unordered */
        a = i->b, b = i->a;
        loc_a = i->reg_b, loc_b = i->reg_a;
    }
    int left = emit_in_register(e, a, loc_a, SCRATCH_X);
    x86_op(&e->a, op, left, emit_operand(e, b, loc_b));
    *parity = kind == 0 ? 0 : kind == 1 ? 1 : -1;
    static const uint8_t codes[] = {CC_E, CC_NE, CC_A, CC_A, CC_AE, CC_AE};
    return codes[kind];
}

unsigned emit_flags(struct emit *e, uint32_t condition, uint8_t loc, int *parity) {
    const struct ir_ins *i = e->f->ins + condition;
    unsigned type;
    *parity = -1;
    if (i->folded) {
        const struct ir_ins *inner = e->f->ins + i->a;
        bool of_bits = inner->folded && (inner->op == BC_I32_AND || inner->op == BC_I64_AND);
        if (i->op == BC_I32_WRAP_I64 || i->op == BC_I32_NE || i->op == BC_I64_NE)
            if (of_bits) return bits_flags(e, inner, emit_width(inner->type));
        if (ir_is_compare(i->op, &type)) {
            compare(e, i, emit_width(type));
            return compare_condition(i->op);
        }
        if (i->op == BC_I32_AND) return bits_flags(e, i, 0);
        if (i->op == BC_I32_EQZ || i->op == BC_I64_EQZ) {
            uint32_t w = i->op == BC_I64_EQZ ? X86_W : 0;
            if (of_bits) return bits_flags(e, inner, w) ^ 1;
            int reg = emit_in_register(e, i->a, i->reg_a, SCRATCH);
            if (!zero_flag_known(e, reg, w)) x86_op(&e->a, X86_TEST | w, reg, x86_reg(reg));
            return CC_E;
        }
        return float_flags(e, i, parity);
    }
    int reg = emit_in_register(e, condition, loc, SCRATCH);
    if (!zero_flag_known(e, reg, 0)) x86_op(&e->a, X86_TEST, reg, x86_reg(reg));
    return CC_NE;
}

void emit_branch_on(struct emit *e, uint32_t condition, uint8_t loc, uint32_t yes, uint32_t no,
                    uint32_t next) {
    int parity;
    size_t start = e->a.size;
    unsigned cc = emit_flags(e, condition, loc, &parity);
    size_t from = e->flags.at == e->a.size ? e->flags.from : start;
    if (parity == 0) { /* equal and ordered */
        x86_branch(&e->a, CC_P, no);
        from = e->a.size;
    } else if (parity == 1) {
        x86_branch(&e->a, CC_P, yes);
        from = e->a.size;
    }
    const struct ir_block *blocks = e->f->blocks;
    bool other = yes == next || (no != next && blocks[no].loop_depth > blocks[yes].loop_depth);
    uint32_t rest = other ? yes : no;
    x86_branch(&e->a, other ? cc ^ 1 : cc, other ? no : yes);
    emit_keep_together(e, from);
    if (rest == next) return;
    from = e->a.size;
    x86_jump(&e->a, rest);
    emit_keep_together(e, from);
}

static void set_condition(struct emit *e, const struct ir_ins *i, unsigned cc, int parity) {
    x86_op(&e->a, X86_SETCC + cc, 0, x86_reg(SCRATCH));
    x86_op(&e->a, X86_MOVZX8 | X86_BYTE_RM, i->reg, x86_reg(SCRATCH));
    if (parity < 0) return;
    x86_op(&e->a, X86_SETCC + (parity ? CC_P : CC_NP), 0, x86_reg(SCRATCH));
    x86_op(&e->a, X86_MOVZX8 | X86_BYTE_RM, SCRATCH, x86_reg(SCRATCH));
    x86_op(&e->a, parity ? X86_OR : X86_AND, i->reg, x86_reg(SCRATCH));
}

/* The comparison as a value. */
static void materialize(struct emit *e, struct ir_ins *i) {
    bool folded = i->folded;
    int parity;
    i->folded = true; /* its own flags, not a test of its result */
    unsigned cc = emit_flags(e, (uint32_t)(i - e->f->ins), LOC_NONE, &parity);
    i->folded = folded;
    set_condition(e, i, cc, parity);
}

static void select(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    int parity;
    unsigned cc = emit_flags(e, i->c, i->reg_c, &parity);
    if (!ir_is_float(i->type) && parity < 0) {
        bool known = e->flags.at == a->size; /* mov and cmov leave the flags */
        emit_load_value(e, i->reg, i->b, i->reg_b);
        int yes = emit_in_register(e, i->a, i->reg_a, SCRATCH);
        x86_op(a, (X86_CMOV + cc) | emit_width(i->type), i->reg, x86_reg(yes));
        bool kept = e->flags.result != i->reg && e->flags.reg_a != i->reg && e->flags.reg_b != i->reg;
        if (known && kept) e->flags.at = a->size;
        return;
    }
    uint32_t take = emit_label(e), done = emit_label(e);
    emit_load_value(e, i->reg, i->b, i->reg_b);
    if (parity == 0) x86_branch(a, CC_P, done);
    if (parity == 1) x86_branch(a, CC_P, take);
    x86_branch(a, cc ^ 1, done);
    emit_bind(e, take);
    emit_load_value(e, i->reg, i->a, i->reg_a);
    emit_bind(e, done);
}

/* ---- arithmetic ---- */

static const struct {
    uint32_t op;
    uint8_t imm; /* operation number of the immediate form */
    bool commutes;
} alu_ops[] = {
    [BC_I32_ADD - BC_I32_ADD] = {X86_ADD, 0, true},  [BC_I32_SUB - BC_I32_ADD] = {X86_SUB, 5, false},
    [BC_I32_MUL - BC_I32_ADD] = {X86_IMUL, 0, true}, [BC_I32_AND - BC_I32_ADD] = {X86_AND, 4, true},
    [BC_I32_OR - BC_I32_ADD] = {X86_OR, 1, true},    [BC_I32_XOR - BC_I32_ADD] = {X86_XOR, 6, true}};

/* x | 1 << n, x ^ 1 << n, x & ~(1 << n): the shift is part of it. */
static void change_bit(struct emit *e, const struct ir_ins *i, unsigned base, uint32_t w) {
    uint32_t op = base == BC_I32_OR - BC_I32_ADD    ? X86_BTS
                  : base == BC_I32_XOR - BC_I32_ADD ? X86_BTC
                                                    : X86_BTR;
    emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_op(&e->a, op | w, e->f->ins[i->b].reg_b, x86_reg(i->reg));
}

static void alu(struct emit *e, const struct ir_ins *i, unsigned base, uint32_t w) {
    struct x86 *a = &e->a;
    uint32_t op = alu_ops[base].op, left = i->a, right = i->b;
    uint8_t loc_a = i->reg_a, loc_b = i->reg_b;
    int32_t imm;
    if (e->f->ins[right].folded && e->f->ins[right].op != IR_LOAD) {
        change_bit(e, i, base, w);
        return;
    }
    if (emit_imm32(e, right, &imm)) {
        bool is_mul = op == X86_IMUL;
        if (base == BC_I32_AND - BC_I32_ADD && (imm == 0xFF || imm == 0xFFFF)) {
            int src = emit_in_register(e, left, loc_a, SCRATCH);
            x86_op(a, imm == 0xFF ? X86_MOVZX8 | X86_BYTE_RM : X86_MOVZX16, i->reg, x86_reg(src));
        } else if (is_mul) {
            struct x86_rm from = emit_operand(e, left, loc_a);
            if (e->f->ins[left].op == IR_CONST) from = x86_reg(emit_in_register(e, left, loc_a, SCRATCH));
            bool small = imm >= -128 && imm < 128;
            x86_op_imm(a, X86_CODE(0, 0, small ? 0x6B : 0x69) | w, i->reg, from, imm, small ? 1 : 4);
        } else if (base == BC_I32_XOR - BC_I32_ADD && imm == -1) {
            emit_load_value(e, i->reg, left, loc_a);
            x86_op(a, X86_CODE(0, 0, 0xF7) | w, 2, x86_reg(i->reg)); /* not: leaves the flags */
        } else {
            emit_load_value(e, i->reg, left, loc_a);
            x86_alu_imm(a, alu_ops[base].imm, w, x86_reg(i->reg), imm);
            flags_of_result(e, i->reg, w);
        }
        return;
    }
    if (base == BC_I32_SUB - BC_I32_ADD && e->f->ins[left].op == IR_CONST && e->f->ins[left].imm == 0 &&
        e->f->ins[right].op != IR_CONST) {
        emit_load_value(e, i->reg, right, loc_b);
        x86_op(a, X86_CODE(0, 0, 0xF7) | w, 3, x86_reg(i->reg)); /* neg */
        flags_of_result(e, i->reg, w);
        return;
    }
    if (e->f->ins[right].op == IR_CONST) {
        x86_const(a, SCRATCH, e->f->ins[right].imm);
        emit_load_value(e, i->reg, left, loc_a);
        x86_op(a, op | w, i->reg, x86_reg(SCRATCH));
    } else if (!e->f->ins[right].folded && loc_b == i->reg &&
               loc_a != i->reg) { /* commutes: SUB's b is late */
        x86_op(a, op | w, i->reg, emit_operand(e, left, loc_a));
    } else {
        emit_load_value(e, i->reg, left, loc_a);
        x86_op(a, op | w, i->reg, emit_operand(e, right, loc_b));
    }
    if (op != X86_IMUL) flags_of_result(e, i->reg, w);
}

/* Sums in one lea where a mov would be needed. */
static void add(struct emit *e, const struct ir_ins *i, uint32_t w) {
    struct x86 *a = &e->a;
    const struct ir_ins *left = e->f->ins + i->a, *right = e->f->ins + i->b;
    int32_t imm = 0;
    bool has_imm = emit_imm32(e, i->b, &imm);
    if (left->folded) { /* (x + y) + c */
        int y = emit_in_register(e, left->b, left->reg_b, SCRATCH);
        x86_op(a, X86_LEA | w, i->reg, x86_mem_index(left->reg_a, y, 0, imm));
    } else if (right->folded && right->op != IR_LOAD) { /* x + (y << k) */
        int y = emit_in_register(e, right->a, right->reg_a, SCRATCH);
        x86_op(a, X86_LEA | w, i->reg, x86_mem_index(i->reg_a, y, (unsigned)e->f->ins[right->b].imm, 0));
    } else if (has_imm && left->op != IR_CONST && i->reg_a < 32 && i->reg_a != i->reg) {
        x86_op(a, X86_LEA | w, i->reg, x86_mem(i->reg_a, imm));
    } else if (!has_imm && right->op != IR_CONST && !right->folded && i->reg_a < 32 && i->reg_b < 32 &&
               i->reg != i->reg_a && i->reg != i->reg_b) {
        x86_op(a, X86_LEA | w, i->reg, x86_mem_index(i->reg_a, i->reg_b, 0, 0));
    } else {
        alu(e, i, 0, w);
    }
}

static void shift(struct emit *e, const struct ir_ins *i, unsigned base, uint32_t w) {
    static const uint8_t operations[] = {4, 7, 5, 0, 1}; /* shl sar shr rol ror */
    static const uint32_t vex[] = {X86_SHLX, X86_SARX, X86_SHRX};
    struct x86 *a = &e->a;
    const struct ir_ins *count = e->f->ins + i->b;
    unsigned bits = w ? 63 : 31, operation = operations[base];
    if (count->op == IR_CONST) {
        unsigned n = (unsigned)count->imm & bits;
        if (base >= 3 && jit_cpu()->bmi2) {
            int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
            unsigned right = base == 4 ? n : (bits + 1 - n) & bits;
            x86_vex_imm(a, X86_RORX | w, i->reg, 0, x86_reg(src), (int32_t)right);
            return;
        }
        emit_load_value(e, i->reg, i->a, i->reg_a);
        x86_shift_imm(a, operation, w, i->reg, n);
        if (n && base < 3) flags_of_result(e, i->reg, w);
        return;
    }
    if (base < 3 && jit_cpu()->bmi2) {
        int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
        x86_vex(a, vex[base] | w, i->reg, i->reg_b, x86_reg(src));
        return;
    }
    /* the count has to be in cl: the result is computed in scratch, rcx is put aside in it or in the result's
     * register */
    if (i->reg_b == RCX) {
        emit_load_value(e, SCRATCH, i->a, i->reg_a);
        x86_shift_cl(a, operation, w, SCRATCH);
        emit_move(e, w ? IR_I64 : IR_I32, i->reg, SCRATCH);
    } else if (i->reg == RCX) {
        emit_load_value(e, SCRATCH, i->a, i->reg_a);
        emit_move(e, IR_I32, RCX, i->reg_b);
        x86_shift_cl(a, operation, w, SCRATCH);
        emit_move(e, w ? IR_I64 : IR_I32, RCX, SCRATCH);
    } else {
        emit_load_value(e, i->reg, i->a, i->reg_a);
        emit_move(e, IR_I64, SCRATCH, RCX);
        emit_move(e, IR_I32, RCX, i->reg_b);
        x86_shift_cl(a, operation, w, i->reg);
        emit_move(e, IR_I64, RCX, SCRATCH);
    }
}

/* ---- division ---- */

static void mul_high(struct emit *e, const struct ir_ins *i) {
    int by = emit_in_register(e, i->b, i->reg_b, SCRATCH);
    emit_load_value(e, RAX, i->a, i->reg_a);
    x86_op(&e->a, X86_CODE(0, 0, 0xF7) | X86_W, i->lane ? 5 : 4, x86_reg(by)); /* imul, mul */
    emit_move(e, IR_I64, i->reg, RDX);
}

static void divide(struct emit *e, const struct ir_ins *i, unsigned kind,
                   uint32_t w) { /* div_s div_u rem_s rem_u */
    struct x86 *a = &e->a;
    const struct ir_ins *divisor = e->f->ins + i->b;
    bool is_signed = kind == 0 || kind == 2, rest = kind >= 2, known = divisor->op == IR_CONST;
    uint64_t d = divisor->imm, minus_one = w ? UINT64_MAX : UINT32_MAX;
    unsigned type = w ? IR_I64 : IR_I32;
    int by = emit_in_register(e, i->b, i->reg_b, SCRATCH);
    if (!known || d == 0) {
        x86_op(a, X86_TEST | w, by, x86_reg(by));
        emit_trap_if(e, CC_E, RT_TRAP_DIVIDE_BY_ZERO, i->where);
    }
    emit_load_value(e, RAX, i->a, i->reg_a);
    uint32_t done = emit_label(e);
    if (is_signed && (!known || d == minus_one)) {
        uint32_t divide_label = emit_label(e);
        x86_alu_imm(a, 7, w, x86_reg(by), -1);
        x86_branch(a, CC_NE, divide_label);
        if (rest) {
            x86_op(a, X86_XOR, RDX, x86_reg(RDX));
        } else {
            x86_op(a, X86_CODE(0, 0, 0xF7) | w, 3, x86_reg(RAX)); /* neg */
            emit_trap_if(e, CC_O, RT_TRAP_INTEGER_OVERFLOW, i->where);
        }
        x86_jump(a, done);
        emit_bind(e, divide_label);
    }
    if (is_signed)
        x86_bytes(a, w ? 0x9948 : 0x99, w ? 2 : 1); /* cdq, cqo */
    else
        x86_op(a, X86_XOR, RDX, x86_reg(RDX));
    x86_op(a, X86_CODE(0, 0, 0xF7) | w, is_signed ? 7 : 6, x86_reg(by));
    emit_bind(e, done);
    emit_move(e, type, i->reg, rest ? RDX : RAX);
}

/* ---- one operand ---- */

static void count_zeros(struct emit *e, const struct ir_ins *i, bool leading, uint32_t w) {
    struct x86 *a = &e->a;
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    if (leading ? jit_cpu()->lzcnt : jit_cpu()->bmi1) {
        x86_op(a, (leading ? X86_LZCNT : X86_TZCNT) | w, i->reg, x86_reg(src));
        return;
    }
    int32_t bits = w ? 64 : 32;
    x86_op(a, (leading ? X86_BSR : X86_BSF) | w, i->reg, x86_reg(src));
    x86_const(a, SCRATCH, (uint64_t)(leading ? 2 * bits - 1 : bits));
    x86_op(a, X86_CMOV + CC_E, i->reg, x86_reg(SCRATCH));
    if (leading) x86_alu_imm(a, 6, 0, x86_reg(i->reg), bits - 1);
}

static void unary(struct emit *e, const struct ir_ins *i, uint32_t op) {
    if (e->f->ins[i->a].folded) {
        x86_op(&e->a, op, i->reg, emit_operand(e, i->a, i->reg_a));
        return;
    }
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    x86_op(&e->a, op, i->reg, x86_reg(src));
}

static bool is_int_test(uint16_t op) {
    unsigned type;
    return ir_is_compare(op, &type) || op == BC_I32_EQZ || op == BC_I64_EQZ ||
           (op >= BC_F32_EQ && op <= BC_F64_GE);
}

static void reverse_bytes(struct emit *e, const struct ir_ins *i) {
    emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_bswap(&e->a, emit_width(i->type), i->reg);
}

bool emit_int(struct emit *e, struct ir_ins *i) {
    if (i->op == IR_SELECT) return select(e, i), true;
    if (i->op == IR_BSWAP) return reverse_bytes(e, i), true;
    if (i->op == IR_MUL_HIGH) return mul_high(e, i), true;
    if (is_int_test(i->op)) return materialize(e, i), true;
    bool wide = i->op >= BC_I64_CLZ && i->op <= BC_I64_ROTR;
    uint32_t w = wide ? X86_W : 0;
    switch (wide ? i->op - BC_I64_CLZ + BC_I32_CLZ : i->op) {
    case BC_I32_CLZ: count_zeros(e, i, true, w); break;
    case BC_I32_CTZ: count_zeros(e, i, false, w); break;
    case BC_I32_POPCNT: unary(e, i, X86_POPCNT | w); break;
    case BC_I32_ADD: add(e, i, w); break;
    case BC_I32_SUB:
    case BC_I32_MUL:
    case BC_I32_AND:
    case BC_I32_OR:
    case BC_I32_XOR: alu(e, i, (wide ? i->op - BC_I64_ADD : i->op - BC_I32_ADD), w); break;
    case BC_I32_DIV_S:
    case BC_I32_DIV_U:
    case BC_I32_REM_S:
    case BC_I32_REM_U: divide(e, i, (wide ? i->op - BC_I64_DIV_S : i->op - BC_I32_DIV_S), w); break;
    case BC_I32_SHL:
    case BC_I32_SHR_S:
    case BC_I32_SHR_U:
    case BC_I32_ROTL:
    case BC_I32_ROTR: shift(e, i, (wide ? i->op - BC_I64_SHL : i->op - BC_I32_SHL), w); break;
    case BC_I32_WRAP_I64: unary(e, i, X86_MOV_LOAD); break;
    case BC_I64_EXTEND_I32_S: unary(e, i, X86_MOVSXD); break;
    case BC_I32_EXTEND8_S: unary(e, i, X86_MOVSX8 | X86_BYTE_RM); break;
    case BC_I32_EXTEND16_S: unary(e, i, X86_MOVSX16); break;
    case BC_I64_EXTEND8_S: unary(e, i, X86_MOVSX8 | X86_BYTE_RM | X86_W); break;
    case BC_I64_EXTEND16_S: unary(e, i, X86_MOVSX16 | X86_W); break;
    case BC_I64_EXTEND32_S: unary(e, i, X86_MOVSXD); break;
    default: return false;
    }
    return true;
}
