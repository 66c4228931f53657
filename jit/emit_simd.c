/* jit/emit_simd.c: vector instructions. Rows of one machine instruction stand in a table; the rest has code.
 * What is neither here nor there the interpreter's code runs. */
#include "jit/emit.h"

enum form {
    FORM_NONE,
    FORM_BINARY,  /* dst = a op b */
    FORM_SWAPPED, /* dst = b op a */
    FORM_NOT,     /* dst = ~(a op b) */
    FORM_NOT_SWAPPED,
    FORM_COMPARE, /* dst = a op b with an immediate */
    FORM_COMPARE_SWAPPED,
    FORM_UNARY,
    FORM_HIGH,  /* of the upper half of a */
    FORM_ROUND, /* unary with an immediate */
    FORM_SAME,  /* (a op b) == a, lanes of 8 << imm bits: unsigned >= and <= by max and min */
    FORM_DIFFERENT,
    FORM_SHIFT /* by a scalar; imm = mask of the count */
};
static const struct row {
    uint32_t op;
    uint8_t form, imm;
} rows[BC_OP_COUNT] = {
#define P66(byte) X86_CODE(1, 1, byte)
#define P38(byte) X86_CODE(1, 2, byte)
    [BC_I8X16_ADD] = {P66(0xFC), FORM_BINARY, 0},
    [BC_I8X16_ADD_SAT_S] = {P66(0xEC), FORM_BINARY, 0},
    [BC_I8X16_ADD_SAT_U] = {P66(0xDC), FORM_BINARY, 0},
    [BC_I8X16_SUB] = {P66(0xF8), FORM_BINARY, 0},
    [BC_I8X16_SUB_SAT_S] = {P66(0xE8), FORM_BINARY, 0},
    [BC_I8X16_SUB_SAT_U] = {P66(0xD8), FORM_BINARY, 0},
    [BC_I8X16_MIN_S] = {P38(0x38), FORM_BINARY, 0},
    [BC_I8X16_MIN_U] = {P66(0xDA), FORM_BINARY, 0},
    [BC_I8X16_MAX_S] = {P38(0x3C), FORM_BINARY, 0},
    [BC_I8X16_MAX_U] = {P66(0xDE), FORM_BINARY, 0},
    [BC_I8X16_AVGR_U] = {P66(0xE0), FORM_BINARY, 0},
    [BC_I8X16_EQ] = {P66(0x74), FORM_BINARY, 0},
    [BC_I8X16_NE] = {P66(0x74), FORM_NOT, 0},
    [BC_I8X16_GT_S] = {P66(0x64), FORM_BINARY, 0},
    [BC_I8X16_LT_S] = {P66(0x64), FORM_SWAPPED, 0},
    [BC_I8X16_LE_S] = {P66(0x64), FORM_NOT, 0},
    [BC_I8X16_GE_S] = {P66(0x64), FORM_NOT_SWAPPED, 0},
    [BC_I8X16_GE_U] = {P66(0xDE), FORM_SAME, 0},
    [BC_I8X16_LE_U] = {P66(0xDA), FORM_SAME, 0},
    [BC_I8X16_LT_U] = {P66(0xDE), FORM_DIFFERENT, 0},
    [BC_I8X16_GT_U] = {P66(0xDA), FORM_DIFFERENT, 0},
    [BC_I8X16_ABS] = {P38(0x1C), FORM_UNARY, 0},
    [BC_I8X16_NARROW_I16X8_S] = {P66(0x63), FORM_BINARY, 0},
    [BC_I8X16_NARROW_I16X8_U] = {P66(0x67), FORM_BINARY, 0},
    [BC_I16X8_ADD] = {P66(0xFD), FORM_BINARY, 0},
    [BC_I16X8_ADD_SAT_S] = {P66(0xED), FORM_BINARY, 0},
    [BC_I16X8_ADD_SAT_U] = {P66(0xDD), FORM_BINARY, 0},
    [BC_I16X8_SUB] = {P66(0xF9), FORM_BINARY, 0},
    [BC_I16X8_SUB_SAT_S] = {P66(0xE9), FORM_BINARY, 0},
    [BC_I16X8_SUB_SAT_U] = {P66(0xD9), FORM_BINARY, 0},
    [BC_I16X8_MUL] = {P66(0xD5), FORM_BINARY, 0},
    [BC_I16X8_MIN_S] = {P66(0xEA), FORM_BINARY, 0},
    [BC_I16X8_MIN_U] = {P38(0x3A), FORM_BINARY, 0},
    [BC_I16X8_MAX_S] = {P66(0xEE), FORM_BINARY, 0},
    [BC_I16X8_MAX_U] = {P38(0x3E), FORM_BINARY, 0},
    [BC_I16X8_AVGR_U] = {P66(0xE3), FORM_BINARY, 0},
    [BC_I16X8_EQ] = {P66(0x75), FORM_BINARY, 0},
    [BC_I16X8_NE] = {P66(0x75), FORM_NOT, 0},
    [BC_I16X8_GT_S] = {P66(0x65), FORM_BINARY, 0},
    [BC_I16X8_LT_S] = {P66(0x65), FORM_SWAPPED, 0},
    [BC_I16X8_LE_S] = {P66(0x65), FORM_NOT, 0},
    [BC_I16X8_GE_S] = {P66(0x65), FORM_NOT_SWAPPED, 0},
    [BC_I16X8_GE_U] = {P38(0x3E), FORM_SAME, 1},
    [BC_I16X8_LE_U] = {P38(0x3A), FORM_SAME, 1},
    [BC_I16X8_LT_U] = {P38(0x3E), FORM_DIFFERENT, 1},
    [BC_I16X8_GT_U] = {P38(0x3A), FORM_DIFFERENT, 1},
    [BC_I16X8_ABS] = {P38(0x1D), FORM_UNARY, 0},
    [BC_I16X8_NARROW_I32X4_S] = {P66(0x6B), FORM_BINARY, 0},
    [BC_I16X8_NARROW_I32X4_U] = {P38(0x2B), FORM_BINARY, 0},
    [BC_I16X8_EXTEND_LOW_I8X16_S] = {P38(0x20), FORM_UNARY, 0},
    [BC_I16X8_EXTEND_HIGH_I8X16_S] = {P38(0x20), FORM_HIGH, 0},
    [BC_I16X8_EXTEND_LOW_I8X16_U] = {P38(0x30), FORM_UNARY, 0},
    [BC_I16X8_EXTEND_HIGH_I8X16_U] = {P38(0x30), FORM_HIGH, 0},
    [BC_I32X4_ADD] = {P66(0xFE), FORM_BINARY, 0},
    [BC_I32X4_SUB] = {P66(0xFA), FORM_BINARY, 0},
    [BC_I32X4_MUL] = {P38(0x40), FORM_BINARY, 0},
    [BC_I32X4_MIN_S] = {P38(0x39), FORM_BINARY, 0},
    [BC_I32X4_MIN_U] = {P38(0x3B), FORM_BINARY, 0},
    [BC_I32X4_MAX_S] = {P38(0x3D), FORM_BINARY, 0},
    [BC_I32X4_MAX_U] = {P38(0x3F), FORM_BINARY, 0},
    [BC_I32X4_DOT_I16X8_S] = {P66(0xF5), FORM_BINARY, 0},
    [BC_I32X4_EQ] = {P66(0x76), FORM_BINARY, 0},
    [BC_I32X4_NE] = {P66(0x76), FORM_NOT, 0},
    [BC_I32X4_GT_S] = {P66(0x66), FORM_BINARY, 0},
    [BC_I32X4_LT_S] = {P66(0x66), FORM_SWAPPED, 0},
    [BC_I32X4_LE_S] = {P66(0x66), FORM_NOT, 0},
    [BC_I32X4_GE_S] = {P66(0x66), FORM_NOT_SWAPPED, 0},
    [BC_I32X4_GE_U] = {P38(0x3F), FORM_SAME, 2},
    [BC_I32X4_LE_U] = {P38(0x3B), FORM_SAME, 2},
    [BC_I32X4_LT_U] = {P38(0x3F), FORM_DIFFERENT, 2},
    [BC_I32X4_GT_U] = {P38(0x3B), FORM_DIFFERENT, 2},
    [BC_I32X4_ABS] = {P38(0x1E), FORM_UNARY, 0},
    [BC_I32X4_EXTEND_LOW_I16X8_S] = {P38(0x23), FORM_UNARY, 0},
    [BC_I32X4_EXTEND_HIGH_I16X8_S] = {P38(0x23), FORM_HIGH, 0},
    [BC_I32X4_EXTEND_LOW_I16X8_U] = {P38(0x33), FORM_UNARY, 0},
    [BC_I32X4_EXTEND_HIGH_I16X8_U] = {P38(0x33), FORM_HIGH, 0},
    [BC_I64X2_ADD] = {P66(0xD4), FORM_BINARY, 0},
    [BC_I64X2_SUB] = {P66(0xFB), FORM_BINARY, 0},
    [BC_I64X2_EQ] = {P38(0x29), FORM_BINARY, 0},
    [BC_I64X2_NE] = {P38(0x29), FORM_NOT, 0},
    [BC_I64X2_GT_S] = {P38(0x37), FORM_BINARY, 0},
    [BC_I64X2_LT_S] = {P38(0x37), FORM_SWAPPED, 0},
    [BC_I64X2_LE_S] = {P38(0x37), FORM_NOT, 0},
    [BC_I64X2_GE_S] = {P38(0x37), FORM_NOT_SWAPPED, 0},
    [BC_I64X2_EXTEND_LOW_I32X4_S] = {P38(0x25), FORM_UNARY, 0},
    [BC_I64X2_EXTEND_HIGH_I32X4_S] = {P38(0x25), FORM_HIGH, 0},
    [BC_I64X2_EXTEND_LOW_I32X4_U] = {P38(0x35), FORM_UNARY, 0},
    [BC_I64X2_EXTEND_HIGH_I32X4_U] = {P38(0x35), FORM_HIGH, 0},
    [BC_V128_AND] = {P66(0xDB), FORM_BINARY, 0},
    [BC_V128_OR] = {P66(0xEB), FORM_BINARY, 0},
    [BC_V128_XOR] = {P66(0xEF), FORM_BINARY, 0},
    [BC_V128_ANDNOT] = {P66(0xDF), FORM_SWAPPED, 0},
    [BC_F32X4_ADD] = {X86_CODE(0, 1, 0x58), FORM_BINARY, 0},
    [BC_F32X4_SUB] = {X86_CODE(0, 1, 0x5C), FORM_BINARY, 0},
    [BC_F32X4_MUL] = {X86_CODE(0, 1, 0x59), FORM_BINARY, 0},
    [BC_F32X4_DIV] = {X86_CODE(0, 1, 0x5E), FORM_BINARY, 0},
    [BC_F32X4_SQRT] = {X86_CODE(0, 1, 0x51), FORM_UNARY, 0},
    [BC_F32X4_PMIN] = {X86_CODE(0, 1, 0x5D), FORM_SWAPPED, 0},
    [BC_F32X4_PMAX] = {X86_CODE(0, 1, 0x5F), FORM_SWAPPED, 0},
    [BC_F32X4_EQ] = {X86_CODE(0, 1, 0xC2), FORM_COMPARE, 0},
    [BC_F32X4_NE] = {X86_CODE(0, 1, 0xC2), FORM_COMPARE, 4},
    [BC_F32X4_LT] = {X86_CODE(0, 1, 0xC2), FORM_COMPARE, 1},
    [BC_F32X4_LE] = {X86_CODE(0, 1, 0xC2), FORM_COMPARE, 2},
    [BC_F32X4_GT] = {X86_CODE(0, 1, 0xC2), FORM_COMPARE_SWAPPED, 1},
    [BC_F32X4_GE] = {X86_CODE(0, 1, 0xC2), FORM_COMPARE_SWAPPED, 2},
    [BC_F32X4_CEIL] = {X86_CODE(1, 3, 0x08), FORM_ROUND, 2},
    [BC_F32X4_FLOOR] = {X86_CODE(1, 3, 0x08), FORM_ROUND, 1},
    [BC_F32X4_TRUNC] = {X86_CODE(1, 3, 0x08), FORM_ROUND, 3},
    [BC_F32X4_NEAREST] = {X86_CODE(1, 3, 0x08), FORM_ROUND, 0},
    [BC_F32X4_CONVERT_I32X4_S] = {X86_CODE(0, 1, 0x5B), FORM_UNARY, 0},
    [BC_F32X4_DEMOTE_F64X2_ZERO] = {P66(0x5A), FORM_UNARY, 0},
    [BC_F64X2_PROMOTE_LOW_F32X4] = {X86_CODE(0, 1, 0x5A), FORM_UNARY, 0},
    [BC_F64X2_CONVERT_LOW_I32X4_S] = {X86_CODE(2, 1, 0xE6), FORM_UNARY, 0},
    [BC_F64X2_ADD] = {P66(0x58), FORM_BINARY, 0},
    [BC_F64X2_SUB] = {P66(0x5C), FORM_BINARY, 0},
    [BC_F64X2_MUL] = {P66(0x59), FORM_BINARY, 0},
    [BC_F64X2_DIV] = {P66(0x5E), FORM_BINARY, 0},
    [BC_F64X2_SQRT] = {P66(0x51), FORM_UNARY, 0},
    [BC_F64X2_PMIN] = {P66(0x5D), FORM_SWAPPED, 0},
    [BC_F64X2_PMAX] = {P66(0x5F), FORM_SWAPPED, 0},
    [BC_F64X2_EQ] = {P66(0xC2), FORM_COMPARE, 0},
    [BC_F64X2_NE] = {P66(0xC2), FORM_COMPARE, 4},
    [BC_F64X2_LT] = {P66(0xC2), FORM_COMPARE, 1},
    [BC_F64X2_LE] = {P66(0xC2), FORM_COMPARE, 2},
    [BC_F64X2_GT] = {P66(0xC2), FORM_COMPARE_SWAPPED, 1},
    [BC_F64X2_GE] = {P66(0xC2), FORM_COMPARE_SWAPPED, 2},
    [BC_F64X2_CEIL] = {X86_CODE(1, 3, 0x09), FORM_ROUND, 2},
    [BC_F64X2_FLOOR] = {X86_CODE(1, 3, 0x09), FORM_ROUND, 1},
    [BC_F64X2_TRUNC] = {X86_CODE(1, 3, 0x09), FORM_ROUND, 3},
    [BC_F64X2_NEAREST] = {X86_CODE(1, 3, 0x09), FORM_ROUND, 0},
    /* the relaxed ones as x86 has them */
    [BC_I8X16_RELAXED_SWIZZLE] = {P38(0x00), FORM_BINARY, 0},
    [BC_I32X4_RELAXED_TRUNC_F32X4_S] = {X86_CODE(2, 1, 0x5B), FORM_UNARY, 0},
    [BC_I32X4_RELAXED_TRUNC_F64X2_S_ZERO] = {P66(0xE6), FORM_UNARY, 0},
    [BC_F32X4_RELAXED_MIN] = {X86_CODE(0, 1, 0x5D), FORM_BINARY, 0},
    [BC_F32X4_RELAXED_MAX] = {X86_CODE(0, 1, 0x5F), FORM_BINARY, 0},
    [BC_F64X2_RELAXED_MIN] = {P66(0x5D), FORM_BINARY, 0},
    [BC_F64X2_RELAXED_MAX] = {P66(0x5F), FORM_BINARY, 0},
    [BC_I16X8_RELAXED_Q15MULR_S] = {P38(0x0B), FORM_BINARY, 0},
    [BC_I16X8_RELAXED_DOT_I8X16_I7X16_S] = {P38(0x04), FORM_SWAPPED, 0},
    [BC_I16X8_SHL] = {P66(0xF1), FORM_SHIFT, 15},
    [BC_I16X8_SHR_U] = {P66(0xD1), FORM_SHIFT, 15},
    [BC_I16X8_SHR_S] = {P66(0xE1), FORM_SHIFT, 15},
    [BC_I32X4_SHL] = {P66(0xF2), FORM_SHIFT, 31},
    [BC_I32X4_SHR_U] = {P66(0xD2), FORM_SHIFT, 31},
    [BC_I32X4_SHR_S] = {P66(0xE2), FORM_SHIFT, 31},
    [BC_I64X2_SHL] = {P66(0xF3), FORM_SHIFT, 63},
    [BC_I64X2_SHR_U] = {P66(0xD3), FORM_SHIFT, 63},
};

/* Those with code of their own. */
static bool has_code(uint16_t op) {
    switch (op) {
    case BC_V128_NOT:
    case BC_V128_BITSELECT:
    case BC_V128_ANY_TRUE:
    case BC_I8X16_ALL_TRUE:
    case BC_I16X8_ALL_TRUE:
    case BC_I32X4_ALL_TRUE:
    case BC_I64X2_ALL_TRUE:
    case BC_I8X16_BITMASK:
    case BC_I32X4_BITMASK:
    case BC_I64X2_BITMASK:
    case BC_I8X16_SPLAT:
    case BC_I16X8_SPLAT:
    case BC_I32X4_SPLAT:
    case BC_I64X2_SPLAT:
    case BC_F32X4_SPLAT:
    case BC_F64X2_SPLAT:
    case BC_I8X16_EXTRACT_LANE_S:
    case BC_I8X16_EXTRACT_LANE_U:
    case BC_I16X8_EXTRACT_LANE_S:
    case BC_I16X8_EXTRACT_LANE_U:
    case BC_I32X4_EXTRACT_LANE:
    case BC_I64X2_EXTRACT_LANE:
    case BC_F32X4_EXTRACT_LANE:
    case BC_F64X2_EXTRACT_LANE:
    case BC_I8X16_REPLACE_LANE:
    case BC_I16X8_REPLACE_LANE:
    case BC_I32X4_REPLACE_LANE:
    case BC_I64X2_REPLACE_LANE:
    case BC_F32X4_REPLACE_LANE:
    case BC_F64X2_REPLACE_LANE:
    case BC_F32X4_ABS:
    case BC_F32X4_NEG:
    case BC_F64X2_ABS:
    case BC_F64X2_NEG:
    case BC_I8X16_NEG:
    case BC_I16X8_NEG:
    case BC_I32X4_NEG:
    case BC_I64X2_NEG:
    case BC_I8X16_SHUFFLE:
    case BC_I8X16_SWIZZLE: return true;
    default: return false;
    }
}

bool jit_simd_reads_first(uint16_t op) {
    switch (rows[op].form) {
    case FORM_BINARY:
    case FORM_SWAPPED:
    case FORM_NOT:
    case FORM_NOT_SWAPPED:
    case FORM_COMPARE:
    case FORM_COMPARE_SWAPPED:
    case FORM_UNARY:
    case FORM_HIGH:
    case FORM_ROUND:
    case FORM_SHIFT: return true;
    case FORM_NONE: break;
    default: return false;
    }
    switch (op) {
    case BC_V128_NOT:
    case BC_F32X4_ABS:
    case BC_F32X4_NEG:
    case BC_F64X2_ABS:
    case BC_F64X2_NEG:
    case BC_F32X4_SPLAT:
    case BC_F64X2_SPLAT:
    case BC_F32X4_EXTRACT_LANE:
    case BC_F64X2_EXTRACT_LANE:
    case BC_I8X16_SHUFFLE:
    case BC_I8X16_SWIZZLE: return true;
    default: return false;
    }
}

bool jit_native_simd(uint16_t op) { return rows[op].form != FORM_NONE || has_code(op); }

static void ones(struct emit *e, int reg) { x86_op(&e->a, P66(0x76), reg, x86_reg(reg)); }

static void two(struct emit *e, uint32_t op, int dst, uint32_t a, uint8_t loc_a, uint32_t b, uint8_t loc_b) {
    int left = emit_in_register(e, a, loc_a, SCRATCH_X);
    struct x86_rm right = emit_operand(e, b, loc_b);
    x86_op3(&e->a, op, dst, left, right);
}

static void with_immediate(struct emit *e, uint32_t op, int dst, int left, struct x86_rm right, int32_t imm) {
    if (e->a.avx) {
        x86_vex_imm(&e->a, op, dst, left & 15, right, imm);
        return;
    }
    emit_move(e, IR_V128, dst, left);
    x86_op_imm(&e->a, op, dst, right, imm, 1);
}

static void shift(struct emit *e, const struct ir_ins *i, const struct row *row) {
    struct x86 *a = &e->a;
    const struct ir_ins *count = e->f->ins + i->b;
    if (count->op == IR_CONST) {
        uint64_t n[2] = {count->imm & row->imm, 0};
        x86_op3(a, row->op, i->reg, emit_in_register(e, i->a, i->reg_a, SCRATCH_X), x86_literal(a, n, 16));
        return;
    }
    x86_op(a, X86_MOV_LOAD, SCRATCH, x86_reg(i->reg_b));
    x86_alu_imm(a, 4, 0, x86_reg(SCRATCH), row->imm);
    if (e->f->ins[i->a].op == IR_CONST) emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_op(a, X86_MOVD_TO_XMM, SCRATCH_X, x86_reg(SCRATCH));
    x86_op3(a, row->op, i->reg, e->f->ins[i->a].op == IR_CONST ? i->reg : i->reg_a, x86_reg(SCRATCH_X));
}

static void from_row(struct emit *e, const struct ir_ins *i, const struct row *row) {
    static const uint32_t equal[] = {P66(0x74), P66(0x75), P66(0x76)};
    struct x86 *a = &e->a;
    bool swapped =
        row->form == FORM_SWAPPED || row->form == FORM_NOT_SWAPPED || row->form == FORM_COMPARE_SWAPPED;
    uint32_t left = swapped ? i->b : i->a, right = swapped ? i->a : i->b;
    uint8_t loc_left = swapped ? i->reg_b : i->reg_a, loc_right = swapped ? i->reg_a : i->reg_b;
    switch (row->form) {
    case FORM_BINARY:
    case FORM_SWAPPED: two(e, row->op, i->reg, left, loc_left, right, loc_right); break;
    case FORM_NOT:
    case FORM_NOT_SWAPPED:
        two(e, row->op, i->reg, left, loc_left, right, loc_right);
        ones(e, SCRATCH_X);
        x86_op(a, P66(0xEF), i->reg, x86_reg(SCRATCH_X));
        break;
    case FORM_COMPARE:
    case FORM_COMPARE_SWAPPED: {
        int reg = emit_in_register(e, left, loc_left, SCRATCH_X);
        with_immediate(e, row->op, i->reg, reg, emit_operand(e, right, loc_right), row->imm);
        break;
    }
    case FORM_UNARY:
        x86_op(a, row->op, i->reg, x86_reg(emit_in_register(e, left, loc_left, SCRATCH_X)));
        break;
    case FORM_HIGH:
        x86_op_imm(a, P66(0x70), i->reg, x86_reg(emit_in_register(e, left, loc_left, SCRATCH_X)), 0xEE, 1);
        x86_op(a, row->op, i->reg, x86_reg(i->reg));
        break;
    case FORM_ROUND:
        x86_op_imm(a, row->op, i->reg, x86_reg(emit_in_register(e, left, loc_left, SCRATCH_X)), row->imm | 8,
                   1);
        break;
    case FORM_SAME:
    case FORM_DIFFERENT:
        emit_load_value(e, SCRATCH_X, i->a, i->reg_a);
        x86_op(a, row->op, SCRATCH_X, emit_operand(e, i->b, i->reg_b));
        if (e->f->ins[i->a].op == IR_CONST) {
            emit_move(e, IR_V128, i->reg, SCRATCH_X);
            x86_op(a, equal[row->imm], i->reg, emit_operand(e, i->a, i->reg_a));
        } else {
            x86_op3(a, equal[row->imm], i->reg, i->reg_a, x86_reg(SCRATCH_X));
        }
        if (row->form == FORM_SAME) break;
        ones(e, SCRATCH_X);
        x86_op(a, P66(0xEF), i->reg, x86_reg(SCRATCH_X));
        break;
    default: shift(e, i, row); break;
    }
}

/* ---- lanes ---- */

static void splat(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    bool is_float = i->op == BC_F32X4_SPLAT || i->op == BC_F64X2_SPLAT;
    int src = emit_in_register(e, i->a, i->reg_a, is_float ? SCRATCH_X : SCRATCH);
    if (!is_float) x86_op(a, X86_MOVD_TO_XMM | (i->op == BC_I64X2_SPLAT ? X86_W : 0), i->reg, x86_reg(src));
    switch (i->op) {
    case BC_I8X16_SPLAT:
        x86_op(a, X86_XORPS, SCRATCH_X, x86_reg(SCRATCH_X));
        x86_op(a, P38(0x00), i->reg, x86_reg(SCRATCH_X));
        break;
    case BC_I16X8_SPLAT:
        x86_op_imm(a, X86_CODE(3, 1, 0x70), i->reg, x86_reg(i->reg), 0, 1);
        x86_op(a, P66(0x6C), i->reg, x86_reg(i->reg));
        break;
    case BC_I32X4_SPLAT: x86_op_imm(a, P66(0x70), i->reg, x86_reg(i->reg), 0, 1); break;
    case BC_I64X2_SPLAT: x86_op(a, P66(0x6C), i->reg, x86_reg(i->reg)); break;
    case BC_F32X4_SPLAT: x86_op_imm(a, P66(0x70), i->reg, x86_reg(src), 0, 1); break;
    default: x86_op(a, X86_CODE(3, 1, 0x12), i->reg, x86_reg(src)); break;
    }
}

static void extract(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X), lane = i->lane;
    switch (i->op) {
    case BC_I8X16_EXTRACT_LANE_S:
    case BC_I8X16_EXTRACT_LANE_U:
        x86_op_imm(a, X86_CODE(1, 3, 0x14), src, x86_reg(i->reg), lane, 1);
        if (i->op == BC_I8X16_EXTRACT_LANE_S) x86_op(a, X86_MOVSX8 | X86_BYTE_RM, i->reg, x86_reg(i->reg));
        break;
    case BC_I16X8_EXTRACT_LANE_S:
    case BC_I16X8_EXTRACT_LANE_U:
        x86_op_imm(a, P66(0xC5), i->reg, x86_reg(src), lane, 1);
        if (i->op == BC_I16X8_EXTRACT_LANE_S) x86_op(a, X86_MOVSX16, i->reg, x86_reg(i->reg));
        break;
    case BC_I32X4_EXTRACT_LANE: x86_op_imm(a, X86_CODE(1, 3, 0x16), src, x86_reg(i->reg), lane, 1); break;
    case BC_I64X2_EXTRACT_LANE:
        x86_op_imm(a, X86_CODE(1, 3, 0x16) | X86_W, src, x86_reg(i->reg), lane, 1);
        break;
    case BC_F32X4_EXTRACT_LANE: x86_op_imm(a, P66(0x70), i->reg, x86_reg(src), lane, 1); break;
    default: x86_op_imm(a, P66(0x70), i->reg, x86_reg(src), lane ? 0xEE : 0x44, 1); break;
    }
}

static void replace(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    bool is_float = i->op == BC_F32X4_REPLACE_LANE || i->op == BC_F64X2_REPLACE_LANE;
    emit_load_value(e, i->reg, i->a, i->reg_a); /* the new lane is late: not in the result's register */
    int src = emit_in_register(e, i->b, i->reg_b, is_float ? SCRATCH_X : SCRATCH), lane = i->lane;
    switch (i->op) {
    case BC_I8X16_REPLACE_LANE: x86_op_imm(a, X86_CODE(1, 3, 0x20), i->reg, x86_reg(src), lane, 1); break;
    case BC_I16X8_REPLACE_LANE: x86_op_imm(a, P66(0xC4), i->reg, x86_reg(src), lane, 1); break;
    case BC_I32X4_REPLACE_LANE: x86_op_imm(a, X86_CODE(1, 3, 0x22), i->reg, x86_reg(src), lane, 1); break;
    case BC_I64X2_REPLACE_LANE:
        x86_op_imm(a, X86_CODE(1, 3, 0x22) | X86_W, i->reg, x86_reg(src), lane, 1);
        break;
    case BC_F32X4_REPLACE_LANE:
        x86_op_imm(a, X86_CODE(1, 3, 0x21), i->reg, x86_reg(src), lane << 4, 1);
        break;
    default:
        if (lane)
            x86_op(a, X86_CODE(0, 1, 0x16), i->reg, x86_reg(src)); /* movlhps */
        else
            x86_op(a, X86_MOVSD_LOAD, i->reg, x86_reg(src));
        break;
    }
}

/* ---- the rest ---- */

static void masked(struct emit *e, const struct ir_ins *i, uint32_t op, uint64_t mask) {
    uint64_t both[2] = {mask, mask};
    x86_op3(&e->a, op, i->reg, emit_in_register(e, i->a, i->reg_a, SCRATCH_X), x86_literal(&e->a, both, 16));
}

static void negate(struct emit *e, const struct ir_ins *i, uint32_t subtract) {
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    x86_op(&e->a, X86_XORPS, i->reg, x86_reg(i->reg)); /* the operand is late: not in the result's register */
    x86_op(&e->a, subtract, i->reg, x86_reg(src));
}

static void truth(struct emit *e, const struct ir_ins *i, unsigned cc) {
    x86_op(&e->a, X86_SETCC + cc, 0, x86_reg(SCRATCH));
    x86_op(&e->a, X86_MOVZX8 | X86_BYTE_RM, i->reg, x86_reg(SCRATCH));
}

static void any_true(struct emit *e, const struct ir_ins *i) {
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH_X);
    x86_op(&e->a, P38(0x17), src, x86_reg(src)); /* ptest */
    truth(e, i, CC_NE);
}

static void all_true(struct emit *e, const struct ir_ins *i, uint32_t equal) {
    static const uint64_t zero[2];
    emit_load_value(e, SCRATCH_X, i->a, i->reg_a);
    x86_op(&e->a, equal, SCRATCH_X, x86_literal(&e->a, zero, 16));
    x86_op(&e->a, P38(0x17), SCRATCH_X, x86_reg(SCRATCH_X));
    truth(e, i, CC_E);
}

static void bitselect(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    /* ((a ^ b) & c) ^ b */
    emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_op(a, P66(0xEF), i->reg, emit_operand(e, i->b, i->reg_b));
    x86_op(a, P66(0xDB), i->reg, emit_operand(e, i->c, i->reg_c));
    x86_op(a, P66(0xEF), i->reg, emit_operand(e, i->b, i->reg_b));
}

/* Lanes of the left and of the right, each by one shuffle that gives zero for the other's. */
static void shuffle(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    const uint8_t *lanes = e->f->pool[i->imm];
    uint8_t left[16], right[16];
    bool uses_left = false, uses_right = false;
    for (unsigned k = 0; k < 16; k++) {
        left[k] = lanes[k] < 16 ? lanes[k] : 0x80;
        right[k] = lanes[k] < 16 ? 0x80 : lanes[k] - 16;
        uses_left |= lanes[k] < 16;
        uses_right |= lanes[k] >= 16;
    }
    if (!uses_right || !uses_left || i->a == i->b) {
        uint8_t one[16];
        for (unsigned k = 0; k < 16; k++) one[k] = lanes[k] & 15;
        emit_load_value(e, i->reg, uses_left ? i->a : i->b, uses_left ? i->reg_a : i->reg_b);
        x86_op(a, P38(0x00), i->reg, x86_literal(a, one, 16));
        return;
    }
    emit_load_value(e, SCRATCH_X, i->b, i->reg_b);
    x86_op(a, P38(0x00), SCRATCH_X, x86_literal(a, right, 16));
    emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_op(a, P38(0x00), i->reg, x86_literal(a, left, 16));
    x86_op(a, P66(0xEB), i->reg, x86_reg(SCRATCH_X));
}

static void swizzle(struct emit *e, const struct ir_ins *i) {
    static const uint64_t beyond[2] = {UINT64_C(0x7070707070707070), UINT64_C(0x7070707070707070)};
    emit_load_value(e, SCRATCH_X, i->b, i->reg_b);
    x86_op(&e->a, P66(0xDC), SCRATCH_X,
           x86_literal(&e->a, beyond, 16)); /* indices from 16 on get their top bit */
    emit_load_value(e, i->reg, i->a, i->reg_a);
    x86_op(&e->a, P38(0x00), i->reg, x86_reg(SCRATCH_X));
}

static void bitmask(struct emit *e, const struct ir_ins *i, uint32_t op) {
    x86_op(&e->a, op, i->reg, x86_reg(emit_in_register(e, i->a, i->reg_a, SCRATCH_X)));
}

bool emit_simd(struct emit *e, struct ir_ins *i) {
    if (i->op == IR_MUL_EVEN)
        return two(e, i->lane ? P38(0x28) : P66(0xF4), i->reg, i->a, i->reg_a, i->b, i->reg_b), true;
    if (i->op >= BC_OP_COUNT) return false;
    if (rows[i->op].form) return from_row(e, i, rows + i->op), true;
    switch (i->op) {
    case BC_V128_NOT: masked(e, i, P66(0xEF), UINT64_MAX); break;
    case BC_F32X4_ABS: masked(e, i, X86_ANDPS, UINT64_C(0x7FFFFFFF7FFFFFFF)); break;
    case BC_F32X4_NEG: masked(e, i, X86_XORPS, UINT64_C(0x8000000080000000)); break;
    case BC_F64X2_ABS: masked(e, i, X86_ANDPS, UINT64_C(0x7FFFFFFFFFFFFFFF)); break;
    case BC_F64X2_NEG: masked(e, i, X86_XORPS, UINT64_C(0x8000000000000000)); break;
    case BC_I8X16_NEG: negate(e, i, P66(0xF8)); break;
    case BC_I16X8_NEG: negate(e, i, P66(0xF9)); break;
    case BC_I32X4_NEG: negate(e, i, P66(0xFA)); break;
    case BC_I64X2_NEG: negate(e, i, P66(0xFB)); break;
    case BC_V128_ANY_TRUE: any_true(e, i); break;
    case BC_I8X16_ALL_TRUE: all_true(e, i, P66(0x74)); break;
    case BC_I16X8_ALL_TRUE: all_true(e, i, P66(0x75)); break;
    case BC_I32X4_ALL_TRUE: all_true(e, i, P66(0x76)); break;
    case BC_I64X2_ALL_TRUE: all_true(e, i, P38(0x29)); break;
    case BC_I8X16_BITMASK: bitmask(e, i, P66(0xD7)); break;
    case BC_I32X4_BITMASK: bitmask(e, i, X86_CODE(0, 1, 0x50)); break;
    case BC_I64X2_BITMASK: bitmask(e, i, P66(0x50)); break;
    case BC_V128_BITSELECT: bitselect(e, i); break;
    case BC_I8X16_SPLAT:
    case BC_I16X8_SPLAT:
    case BC_I32X4_SPLAT:
    case BC_I64X2_SPLAT:
    case BC_F32X4_SPLAT:
    case BC_F64X2_SPLAT: splat(e, i); break;
    case BC_I8X16_EXTRACT_LANE_S:
    case BC_I8X16_EXTRACT_LANE_U:
    case BC_I16X8_EXTRACT_LANE_S:
    case BC_I16X8_EXTRACT_LANE_U:
    case BC_I32X4_EXTRACT_LANE:
    case BC_I64X2_EXTRACT_LANE:
    case BC_F32X4_EXTRACT_LANE:
    case BC_F64X2_EXTRACT_LANE: extract(e, i); break;
    case BC_I8X16_REPLACE_LANE:
    case BC_I16X8_REPLACE_LANE:
    case BC_I32X4_REPLACE_LANE:
    case BC_I64X2_REPLACE_LANE:
    case BC_F32X4_REPLACE_LANE:
    case BC_F64X2_REPLACE_LANE: replace(e, i); break;
    case BC_I8X16_SHUFFLE: shuffle(e, i); break;
    case BC_I8X16_SWIZZLE: swizzle(e, i); break;
    default: return false;
    }
    return true;
}
