/* jit/emit_float.c: float instructions and conversions. NaN payloads are as SSE makes them, which is what the
 * specification allows and the interpreter does. */
#include "jit/emit.h"

static const uint64_t sign32[2] = {UINT64_C(0x8000000080000000), UINT64_C(0x8000000080000000)};
static const uint64_t sign64[2] = {UINT64_C(0x8000000000000000), UINT64_C(0x8000000000000000)};
static const uint64_t rest32[2] = {UINT64_C(0x7FFFFFFF7FFFFFFF), UINT64_C(0x7FFFFFFF7FFFFFFF)};
static const uint64_t rest64[2] = {UINT64_C(0x7FFFFFFFFFFFFFFF), UINT64_C(0x7FFFFFFFFFFFFFFF)};

static void binary(struct emit *e, const struct ir_ins *i, uint32_t op) {
    int left = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    if (!e->a.avx &&
        left != i->reg) { /* before the operand is looked up: a fault belongs to the instruction itself */
        emit_move(e, i->type, i->reg, left);
        left = i->reg;
    }
    x86_op3(&e->a, op, i->reg, left, emit_operand(e, i->b, i->reg_b));
}

static void with_mask(struct emit *e, const struct ir_ins *i, uint32_t op, const uint64_t *mask) {
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    x86_op3(&e->a, op, i->reg, src, x86_literal(&e->a, mask, 16));
}

static void copy_sign(struct emit *e, const struct ir_ins *i, const uint64_t *sign, const uint64_t *rest) {
    struct x86 *a = &e->a;
    emit_load_value(e, SCRATCH_X, i->b, i->reg_b);
    x86_op(a, X86_ANDPS, SCRATCH_X, x86_literal(a, sign, 16));
    emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_op(a, X86_ANDPS, i->reg, x86_literal(a, rest, 16));
    x86_op(a, X86_ORPS, i->reg, x86_reg(SCRATCH_X));
}

/* Unordered: the sum, a NaN. Equal: -0 below +0. Else what the instruction says. */
static void extreme(struct emit *e, const struct ir_ins *i, bool wide, bool max) {
    struct x86 *a = &e->a;
    uint32_t unequal = emit_label(e), done = emit_label(e), nan = emit_label(e);
    int right = emit_in_register(e, i->b, i->reg_b, SCRATCH_X);
    emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_op(a, wide ? X86_UCOMISD : X86_UCOMISS, i->reg, x86_reg(right));
    x86_branch(a, CC_NE, unequal);
    x86_branch(a, CC_P, nan);
    x86_op(a, max ? X86_ANDPS : X86_ORPS, i->reg, x86_reg(right));
    x86_jump(a, done);
    emit_bind(e, nan);
    x86_op(a, wide ? X86_ADDSD : X86_ADDSS, i->reg, x86_reg(right));
    x86_jump(a, done);
    emit_bind(e, unequal);
    x86_op(a, max ? (wide ? X86_MAXSD : X86_MAXSS) : (wide ? X86_MINSD : X86_MINSS), i->reg, x86_reg(right));
    emit_bind(e, done);
}

static void round_to(struct emit *e, const struct ir_ins *i, bool wide, int mode) {
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    uint32_t op = wide ? X86_ROUNDSD : X86_ROUNDSS;
    if (e->a.avx)
        x86_vex_imm(&e->a, op, i->reg, src & 15, x86_reg(src), mode | 8);
    else
        x86_op_imm(&e->a, op, i->reg, x86_reg(src), mode | 8, 1);
}

/* Instructions that keep the upper half of their target: with AVX it comes from the source, else it is
 * cleared, so that they wait for nobody. */
static void unary(struct emit *e, const struct ir_ins *i, uint32_t op) {
    bool folded = e->f->ins[i->a].folded;
    if (folded || !e->a.avx) {
        int src = folded ? X86_NO_REG : emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
        if (src != i->reg) x86_op(&e->a, X86_XORPS, i->reg, x86_reg(i->reg));
        x86_op(&e->a, op, i->reg, folded ? emit_operand(e, i->a, i->reg_a) : x86_reg(src));
        return;
    }
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    x86_vex(&e->a, op, i->reg, src & 15, x86_reg(src));
}

static void from_int(struct emit *e, const struct ir_ins *i, uint32_t op, bool unsigned_32) {
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    x86_op(&e->a, X86_XORPS, i->reg, x86_reg(i->reg));
    x86_op(&e->a, op | (unsigned_32 ? X86_W : 0), i->reg, x86_reg(src));
}

static void reinterpret(struct emit *e, const struct ir_ins *i, uint32_t w, bool to_int) {
    if (to_int) {
        int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
        x86_op(&e->a, X86_MOVD_FROM_XMM | w, src, x86_reg(i->reg));
    } else {
        int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
        x86_op(&e->a, X86_MOVD_TO_XMM | w, i->reg, x86_reg(src));
    }
}

/* float -> i32: by way of 64 bits; what does not come back the same does not fit. */
static void to_int32(struct emit *e, const struct ir_ins *i, bool wide, bool is_signed) {
    struct x86 *a = &e->a;
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    x86_op(a, (wide ? X86_CVTTSD2SI : X86_CVTTSS2SI) | X86_W, SCRATCH, x86_reg(src));
    x86_op(a, is_signed ? X86_MOVSXD : X86_MOV_LOAD, i->reg, x86_reg(SCRATCH));
    x86_op(a, X86_CMP | X86_W, SCRATCH, x86_reg(i->reg));
    struct stub *s = emit_stub(e, STUB_TRUNC, i->where);
    s->reg = (uint8_t)src;
    s->imm = wide;
    x86_branch(a, CC_NE, s->label);
    if (is_signed) x86_op(a, X86_MOV_LOAD, i->reg, x86_reg(SCRATCH));
}

static void to_int64(struct emit *e, const struct ir_ins *i, bool wide) {
    struct x86 *a = &e->a;
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    x86_op(a, (wide ? X86_CVTTSD2SI : X86_CVTTSS2SI) | X86_W, i->reg, x86_reg(src));
    x86_alu_imm(a, 7, X86_W, x86_reg(i->reg), 1);
    struct stub *s = emit_stub(e, STUB_TRUNC_64, i->where);
    s->reg = (uint8_t)src;
    s->imm = wide;
    x86_branch(a, CC_O,
               s->label); /* only the least integer has no less than itself: it stands for all failures */
    uint32_t back = emit_label(e);
    e->stubs[e->n_stubs - 1].back = back;
    emit_bind(e, back);
}

/* Of 2^63 and above half is converted and doubled; the bit that halving loses is kept, since it may decide
 * rounding. */
static void from_uint64(struct emit *e, const struct ir_ins *i, uint32_t op, uint32_t add) {
    struct x86 *a = &e->a;
    uint32_t large = emit_label(e), even = emit_label(e), done = emit_label(e);
    emit_load_value(e, SCRATCH, i->a, i->reg_a);
    x86_op(a, X86_XORPS, i->reg, x86_reg(i->reg));
    x86_op(a, X86_TEST | X86_W, SCRATCH, x86_reg(SCRATCH));
    x86_branch(a, CC_S, large);
    x86_op(a, op | X86_W, i->reg, x86_reg(SCRATCH));
    x86_jump(a, done);
    emit_bind(e, large);
    x86_shift_imm(a, 5, X86_W, SCRATCH, 1);
    x86_branch(a, CC_AE, even);
    x86_alu_imm(a, 1, X86_W, x86_reg(SCRATCH), 1);
    emit_bind(e, even);
    x86_op(a, op | X86_W, i->reg, x86_reg(SCRATCH));
    x86_op(a, add, i->reg, x86_reg(i->reg));
    emit_bind(e, done);
}

static const uint64_t two63_double = UINT64_C(0x43E0000000000000);
static const uint32_t two63_single = 0x5F000000;

static struct x86_rm two63(struct emit *e, bool wide) {
    return wide ? x86_literal(&e->a, &two63_double, 8) : x86_literal(&e->a, &two63_single, 4);
}

/* dst <- src as an unsigned integer of 64 bits; negative means that it does not fit. Goes to `bad` then, with
 * src still there. */
static void convert_uint64(struct emit *e, const struct ir_ins *i, int src, bool wide, uint32_t bad) {
    struct x86 *a = &e->a;
    uint32_t large = emit_label(e), done = emit_label(e);
    uint32_t convert = (wide ? X86_CVTTSD2SI : X86_CVTTSS2SI) | X86_W;
    x86_op(a, wide ? X86_UCOMISD : X86_UCOMISS, src, two63(e, wide));
    x86_branch(a, CC_AE, large); /* unordered is below */
    x86_op(a, convert, i->reg, x86_reg(src));
    x86_op(a, X86_TEST | X86_W, i->reg, x86_reg(i->reg));
    x86_branch(a, CC_S, bad);
    x86_jump(a, done);
    emit_bind(e, large);
    emit_move(e, IR_F64, SCRATCH_X, src);
    x86_op(a, wide ? X86_SUBSD : X86_SUBSS, SCRATCH_X, two63(e, wide));
    x86_op(a, convert, i->reg, x86_reg(SCRATCH_X));
    x86_op(a, X86_TEST | X86_W, i->reg, x86_reg(i->reg));
    x86_branch(a, CC_S, bad);
    x86_const(a, SCRATCH, UINT64_C(1) << 63);
    x86_op(a, X86_XOR | X86_W, i->reg, x86_reg(SCRATCH));
    emit_bind(e, done);
}

/* A constant operand is kept out of the scratch register that the conversion needs. */
static int source(struct emit *e, const struct ir_ins *i) {
    if (e->f->ins[i->a].op != IR_CONST) return i->reg_a;
    emit_load_value(e, SCRATCH_X, i->a, i->reg_a);
    return SCRATCH_X;
}

static void to_uint64(struct emit *e, const struct ir_ins *i, bool wide) {
    struct stub *s = emit_stub(e, STUB_TRUNC, i->where);
    int src = source(e, i);
    s->reg = (uint8_t)src;
    s->imm = wide;
    convert_uint64(e, i, src, wide, s->label);
}

/* What does not fit becomes the nearest that does, a NaN zero. */
static void saturate(struct emit *e, const struct ir_ins *i, bool wide, bool is_signed, bool to64) {
    struct x86 *a = &e->a;
    uint32_t bad = emit_label(e), done = emit_label(e), below = emit_label(e), zero = emit_label(e);
    int src = source(e, i);
    static const uint64_t nothing;
    if (to64 && !is_signed) {
        convert_uint64(e, i, src, wide, bad);
    } else {
        x86_op(a, (wide ? X86_CVTTSD2SI : X86_CVTTSS2SI) | X86_W, SCRATCH, x86_reg(src));
        if (to64) {
            x86_op(a, X86_MOV_LOAD | X86_W, i->reg, x86_reg(SCRATCH));
            x86_alu_imm(a, 7, X86_W, x86_reg(SCRATCH), 1);
            x86_branch(a, CC_O, bad);
        } else {
            x86_op(a, is_signed ? X86_MOVSXD : X86_MOV_LOAD, i->reg, x86_reg(SCRATCH));
            x86_op(a, X86_CMP | X86_W, SCRATCH, x86_reg(i->reg));
            x86_branch(a, CC_NE, bad);
            if (is_signed) x86_op(a, X86_MOV_LOAD, i->reg, x86_reg(SCRATCH));
        }
    }
    x86_jump(a, done);
    emit_bind(e, bad);
    x86_op(a, wide ? X86_UCOMISD : X86_UCOMISS, src, x86_literal(a, &nothing, wide ? 8 : 4));
    x86_branch(a, CC_P, zero);
    x86_branch(a, CC_B, below);
    x86_const(a, i->reg, to64 ? UINT64_MAX >> is_signed : UINT32_MAX >> is_signed);
    x86_jump(a, done);
    emit_bind(e, below);
    x86_const(a, i->reg, is_signed ? (to64 ? UINT64_C(1) << 63 : UINT64_C(1) << 31) : 0);
    x86_jump(a, done);
    emit_bind(e, zero);
    x86_const(a, i->reg, 0);
    emit_bind(e, done);
}

static void call_trap(struct emit *e, enum rt_trap trap, uint32_t where) {
    x86_bytes(&e->a, 0xE8, 1);
    emit_reloc(e, JIT_RELOC_TRAP, trap);
    emit_return_pc(e, where);
}

void emit_trunc_stub(struct emit *e, const struct stub *s) {
    struct x86 *a = &e->a;
    uint32_t ucomis = s->imm ? X86_UCOMISD : X86_UCOMISS;
    static const uint64_t least64 = UINT64_C(0xC3E0000000000000);
    static const uint32_t least32 = 0xDF000000;
    uint32_t number = emit_label(e);
    if (s->kind == STUB_TRUNC_64) {
        uint32_t other = emit_label(e);
        x86_op(a, ucomis, s->reg, s->imm ? x86_literal(a, &least64, 8) : x86_literal(a, &least32, 4));
        x86_branch(a, CC_P, other);
        x86_branch(a, CC_E, s->back);
        emit_bind(e, other);
    }
    x86_op(a, ucomis, s->reg, x86_reg(s->reg));
    x86_branch(a, CC_NP, number);
    call_trap(e, RT_TRAP_INVALID_CONVERSION, s->where);
    emit_bind(e, number);
    call_trap(e, RT_TRAP_INTEGER_OVERFLOW, s->where);
}

bool emit_float(struct emit *e, struct ir_ins *i) {
    bool wide = i->op >= BC_F64_ABS && i->op <= BC_F64_COPYSIGN;
    switch (wide ? i->op - BC_F64_ABS + BC_F32_ABS : i->op) {
    case BC_F32_ABS: with_mask(e, i, X86_ANDPS, wide ? rest64 : rest32); break;
    case BC_F32_NEG: with_mask(e, i, X86_XORPS, wide ? sign64 : sign32); break;
    case BC_F32_CEIL: round_to(e, i, wide, 2); break;
    case BC_F32_FLOOR: round_to(e, i, wide, 1); break;
    case BC_F32_TRUNC: round_to(e, i, wide, 3); break;
    case BC_F32_NEAREST: round_to(e, i, wide, 0); break;
    case BC_F32_SQRT: unary(e, i, wide ? X86_SQRTSD : X86_SQRTSS); break;
    case BC_F32_ADD: binary(e, i, wide ? X86_ADDSD : X86_ADDSS); break;
    case BC_F32_SUB: binary(e, i, wide ? X86_SUBSD : X86_SUBSS); break;
    case BC_F32_MUL: binary(e, i, wide ? X86_MULSD : X86_MULSS); break;
    case BC_F32_DIV: binary(e, i, wide ? X86_DIVSD : X86_DIVSS); break;
    case BC_F32_MIN: extreme(e, i, wide, false); break;
    case BC_F32_MAX: extreme(e, i, wide, true); break;
    case BC_F32_COPYSIGN: copy_sign(e, i, wide ? sign64 : sign32, wide ? rest64 : rest32); break;
    case BC_I32_TRUNC_F32_S: to_int32(e, i, false, true); break;
    case BC_I32_TRUNC_F32_U: to_int32(e, i, false, false); break;
    case BC_I32_TRUNC_F64_S: to_int32(e, i, true, true); break;
    case BC_I32_TRUNC_F64_U: to_int32(e, i, true, false); break;
    case BC_I64_TRUNC_F32_S: to_int64(e, i, false); break;
    case BC_I64_TRUNC_F64_S: to_int64(e, i, true); break;
    case BC_I64_TRUNC_F32_U: to_uint64(e, i, false); break;
    case BC_I64_TRUNC_F64_U: to_uint64(e, i, true); break;
    case BC_I32_TRUNC_SAT_F32_S: saturate(e, i, false, true, false); break;
    case BC_I32_TRUNC_SAT_F32_U: saturate(e, i, false, false, false); break;
    case BC_I32_TRUNC_SAT_F64_S: saturate(e, i, true, true, false); break;
    case BC_I32_TRUNC_SAT_F64_U: saturate(e, i, true, false, false); break;
    case BC_I64_TRUNC_SAT_F32_S: saturate(e, i, false, true, true); break;
    case BC_I64_TRUNC_SAT_F32_U: saturate(e, i, false, false, true); break;
    case BC_I64_TRUNC_SAT_F64_S: saturate(e, i, true, true, true); break;
    case BC_I64_TRUNC_SAT_F64_U: saturate(e, i, true, false, true); break;
    case BC_F32_CONVERT_I64_U: from_uint64(e, i, X86_CVTSI2SS, X86_ADDSS); break;
    case BC_F64_CONVERT_I64_U: from_uint64(e, i, X86_CVTSI2SD, X86_ADDSD); break;
    case BC_F32_CONVERT_I32_S: from_int(e, i, X86_CVTSI2SS, false); break;
    case BC_F32_CONVERT_I32_U: from_int(e, i, X86_CVTSI2SS, true); break;
    case BC_F32_CONVERT_I64_S: from_int(e, i, X86_CVTSI2SS | X86_W, false); break;
    case BC_F64_CONVERT_I32_S: from_int(e, i, X86_CVTSI2SD, false); break;
    case BC_F64_CONVERT_I32_U: from_int(e, i, X86_CVTSI2SD, true); break;
    case BC_F64_CONVERT_I64_S: from_int(e, i, X86_CVTSI2SD | X86_W, false); break;
    case BC_F32_DEMOTE_F64: unary(e, i, X86_CVTSD2SS); break;
    case BC_F64_PROMOTE_F32: unary(e, i, X86_CVTSS2SD); break;
    case BC_I32_REINTERPRET_F32: reinterpret(e, i, 0, true); break;
    case BC_I64_REINTERPRET_F64: reinterpret(e, i, X86_W, true); break;
    case BC_F32_REINTERPRET_I32: reinterpret(e, i, 0, false); break;
    case BC_F64_REINTERPRET_I64: reinterpret(e, i, X86_W, false); break;
    default: return false;
    }
    return true;
}
