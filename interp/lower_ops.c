/* interp/lower_ops.c: which instruction is lowered how, and all that is neither control nor memory access. */
#include "interp/lower.h"

#include <string.h>

/* ---- the rows ---- */

/* clang-format off */
/* Rows that need more than their shape; each is a case of lower_special or of lower_control. */
#define CONTROL_ROWS(X)                                                                                      \
    X(UNREACHABLE) X(BLOCK) X(LOOP) X(IF) X(ELSE) X(TRY) X(CATCH) X(THROW) X(RETHROW) X(THROW_REF) X(END)    \
    X(BR) X(BR_IF) X(BR_TABLE) X(RETURN) X(CALL) X(CALL_INDIRECT) X(RETURN_CALL) X(RETURN_CALL_INDIRECT)     \
    X(CALL_REF) X(RETURN_CALL_REF) X(DELEGATE) X(CATCH_ALL) X(TRY_TABLE) X(BR_ON_NULL) X(BR_ON_NON_NULL)     \
    X(BR_ON_CAST) X(BR_ON_CAST_FAIL)
#define SPECIAL_ROWS(X)                                                                                      \
    X(NOP) X(DROP) X(SELECT) X(SELECT_T) X(LOCAL_GET) X(LOCAL_SET) X(LOCAL_TEE) X(GLOBAL_GET)                \
    X(GLOBAL_SET) X(TABLE_GET) X(I32_CONST) X(I64_CONST) X(F32_CONST) X(F64_CONST) X(REF_NULL)               \
    X(REF_IS_NULL) X(REF_FUNC) X(REF_EQ) X(REF_AS_NON_NULL) X(V128_CONST) X(I8X16_SHUFFLE) X(ATOMIC_FENCE)
/* Objects: lower_object.c */
#define OBJECT_ROWS(X)                                                                                       \
    X(STRUCT_NEW) X(STRUCT_NEW_DEFAULT) X(STRUCT_GET) X(STRUCT_GET_S) X(STRUCT_GET_U) X(STRUCT_SET)          \
    X(ARRAY_NEW) X(ARRAY_NEW_DEFAULT) X(ARRAY_NEW_FIXED) X(ARRAY_NEW_DATA) X(ARRAY_NEW_ELEM) X(ARRAY_GET)    \
    X(ARRAY_GET_S) X(ARRAY_GET_U) X(ARRAY_SET) X(ARRAY_LEN) X(ARRAY_FILL) X(ARRAY_COPY) X(ARRAY_INIT_DATA)   \
    X(ARRAY_INIT_ELEM) X(REF_TEST) X(REF_TEST_NULL) X(REF_CAST) X(REF_CAST_NULL) X(ANY_CONVERT_EXTERN)       \
    X(EXTERN_CONVERT_ANY)
/* Operands in consecutive slots, handler of the same name with index, index2: operands, index type of the result. */
#define SLOW_ROWS(X)                                                                                         \
    X(TABLE_SET, 2, 0) X(TABLE_GROW, 2, 't') X(TABLE_SIZE, 0, 't') X(TABLE_FILL, 3, 0) X(TABLE_COPY, 3, 0)   \
    X(TABLE_INIT, 3, 0) X(ELEM_DROP, 0, 0) X(MEMORY_SIZE, 0, 'm') X(MEMORY_GROW, 1, 'm')                     \
    X(MEMORY_FILL, 3, 0) X(MEMORY_COPY, 3, 0) X(MEMORY_INIT, 3, 0) X(DATA_DROP, 0, 0)
/* clang-format on */
/* Two results; operands in consecutive slots. */
#define WIDE_ROWS(X) X(I64_ADD128, 4) X(I64_SUB128, 4) X(I64_MUL_WIDE_S, 2) X(I64_MUL_WIDE_U, 2)
#define WAIT_ROWS(X) X(MEMORY_ATOMIC_NOTIFY, 2) X(MEMORY_ATOMIC_WAIT32, 3) X(MEMORY_ATOMIC_WAIT64, 3)

enum shape {
    SHAPE_CONTROL = 1,
    SHAPE_SPECIAL,
    SHAPE_OBJECT,
    SHAPE_SLOW,
    SHAPE_WIDE,
    SHAPE_BIN_C,
    SHAPE_BIN_N,
    SHAPE_BIN_X,
    SHAPE_CMP,
    SHAPE_UN,
    SHAPE_UN_X,
    SHAPE_LOAD,
    SHAPE_STORE,
    SHAPE_VEC_LOAD,
    SHAPE_VEC_STORE,
    SHAPE_LANE_LOAD,
    SHAPE_LANE_STORE,
    SHAPE_VECTOR,
    SHAPE_RELAXED,
    SHAPE_ATOMIC
};
#define KIND_i BC_KIND_I32
#define KIND_I BC_KIND_I64
#define KIND_f BC_KIND_F32
#define KIND_F BC_KIND_F64

struct row {
    uint8_t shape, n_operands;
    uint8_t result; /* enum bc_kind, 0 = none */
    uint8_t lane;   /* has a lane operand */
    uint16_t op, swapped;
};
static const struct row rows[BC_OP_COUNT] = {
#define X(ID) [BC_##ID] = {.shape = SHAPE_CONTROL},
    CONTROL_ROWS(X)
#undef X
#define X(ID) [BC_##ID] = {.shape = SHAPE_SPECIAL},
        SPECIAL_ROWS(X)
#undef X
#define X(ID) [BC_##ID] = {.shape = SHAPE_OBJECT},
            OBJECT_ROWS(X)
#undef X
#define X(ID, N, R) [BC_##ID] = {.shape = SHAPE_SLOW, .n_operands = N, .result = R, .op = H_##ID},
                SLOW_ROWS(X)
#undef X
#define X(ID, N) [BC_##ID] = {.shape = SHAPE_WIDE, .n_operands = N, .op = H_##ID},
                    WIDE_ROWS(X)
#undef X
#define X(ID, N) [BC_##ID] = {.shape = SHAPE_ATOMIC, .n_operands = N, .result = BC_KIND_I32, .op = H_##ID},
                        WAIT_ROWS(X)
#undef X
#define ROW(ID, SHAPE, N, R, OP, ...)                                                                        \
    [BC_##ID] = {.shape = SHAPE, .n_operands = N, .result = R, .op = OP, __VA_ARGS__},
#define BIN_C(ID, id, T, R)       ROW(ID, SHAPE_BIN_C, 2, KIND_##R, H_##ID##_SS, )
#define BIN_N(ID, id, T, R)       ROW(ID, SHAPE_BIN_N, 2, KIND_##R, H_##ID##_SS, )
#define BIN_X(ID, id, T)          ROW(ID, SHAPE_BIN_X, 2, KIND_##T, H_##ID##_SS, )
#define CMP(ID, id, T, NOT, SWAP) ROW(ID, SHAPE_CMP, 2, BC_KIND_I32, H_##ID##_SS, .swapped = H_##SWAP##_SS)
#define UN(ID, id, T, R)          ROW(ID, SHAPE_UN, 1, KIND_##R, H_##ID##_S, )
#define UN_X(ID, id, T, R)        ROW(ID, SHAPE_UN_X, 1, KIND_##R, H_##ID##_S, )
#define LOAD(ID, T, C)            ROW(ID, SHAPE_LOAD, 1, KIND_##T, H_##ID##_S, )
#define STORE(ID, T, C)           ROW(ID, SHAPE_STORE, 2, KIND_##T, H_##ID##_SS, )
#define VEC_LOAD(ID, id, N)       ROW(ID, SHAPE_VEC_LOAD, 1, BC_KIND_V128, H_##ID, )
#define VEC_STORE(ID, id, N)      ROW(ID, SHAPE_VEC_STORE, 2, 0, H_##ID, )
#define VEC_LOAD_LANE(ID, id, N)  ROW(ID, SHAPE_LANE_LOAD, 2, BC_KIND_V128, H_##ID##_X, )
#define VEC_STORE_LANE(ID, id, N) ROW(ID, SHAPE_LANE_STORE, 2, 0, H_##ID##_X, )
#define VV(ID, id)                ROW(ID, SHAPE_VECTOR, 2, BC_KIND_V128, H_##ID, )
#define V(ID, id)                 ROW(ID, SHAPE_VECTOR, 1, BC_KIND_V128, H_##ID, )
#define VVV(ID, id)               ROW(ID, SHAPE_VECTOR, 3, BC_KIND_V128, H_##ID, )
#define VI(ID, id)                ROW(ID, SHAPE_VECTOR, 2, BC_KIND_V128, H_##ID, )
#define SPLAT(ID, id, T)          ROW(ID, SHAPE_VECTOR, 1, BC_KIND_V128, H_##ID, )
#define REDUCE(ID, id)            ROW(ID, SHAPE_VECTOR, 1, BC_KIND_I32, H_##ID, )
#define EXTRACT(ID, id, T)        ROW(ID, SHAPE_VECTOR, 1, KIND_##T, H_##ID, .lane = 1)
#define REPLACE(ID, id, T)        ROW(ID, SHAPE_VECTOR, 2, BC_KIND_V128, H_##ID, .lane = 1)
#define RELAXED_V(ID, id)         ROW(ID, SHAPE_RELAXED, 1, BC_KIND_V128, H_##ID, )
#define RELAXED_VV(ID, id)        ROW(ID, SHAPE_RELAXED, 2, BC_KIND_V128, H_##ID, )
#define RELAXED_VVV(ID, id)       ROW(ID, SHAPE_RELAXED, 3, BC_KIND_V128, H_##ID, )
#define ATOMIC_LOAD(ID, T, C)     ROW(ID, SHAPE_ATOMIC, 1, KIND_##T, H_##ID, )
#define ATOMIC_STORE(ID, T, C)    ROW(ID, SHAPE_ATOMIC, 2, 0, H_##ID, )
#define ATOMIC_RMW(ID, T, C, F)   ROW(ID, SHAPE_ATOMIC, 2, KIND_##T, H_##ID, )
#define ATOMIC_CMPXCHG(ID, T, C)  ROW(ID, SHAPE_ATOMIC, 3, KIND_##T, H_##ID, )
#include "interp/ops.def"
};

/* A row of the opcode table without a lowering does not compile: it has no LOWERED_ constant here. */
enum {
#define X(ID, ...) LOWERED_##ID,
    CONTROL_ROWS(X) SPECIAL_ROWS(X) OBJECT_ROWS(X) SLOW_ROWS(X) WIDE_ROWS(X) WAIT_ROWS(X)
#define BIN_C(ID, ...)          X(ID)
#define BIN_N(ID, ...)          X(ID)
#define BIN_X(ID, ...)          X(ID)
#define CMP(ID, ...)            X(ID)
#define UN(ID, ...)             X(ID)
#define UN_X(ID, ...)           X(ID)
#define LOAD(ID, ...)           X(ID)
#define STORE(ID, ...)          X(ID)
#define VEC_LOAD(ID, ...)       X(ID)
#define VEC_STORE(ID, ...)      X(ID)
#define VEC_LOAD_LANE(ID, ...)  X(ID)
#define VEC_STORE_LANE(ID, ...) X(ID)
#define VV(ID, ...)             X(ID)
#define V(ID, ...)              X(ID)
#define VVV(ID, ...)            X(ID)
#define VI(ID, ...)             X(ID)
#define SPLAT(ID, ...)          X(ID)
#define REDUCE(ID, ...)         X(ID)
#define EXTRACT(ID, ...)        X(ID)
#define REPLACE(ID, ...)        X(ID)
#define RELAXED_V(ID, ...)      X(ID)
#define RELAXED_VV(ID, ...)     X(ID)
#define RELAXED_VVV(ID, ...)    X(ID)
#define ATOMIC_LOAD(ID, ...)    X(ID)
#define ATOMIC_STORE(ID, ...)   X(ID)
#define ATOMIC_RMW(ID, ...)     X(ID)
#define ATOMIC_CMPXCHG(ID, ...) X(ID)
#include "interp/ops.def"
#undef X
        N_LOWERED
};
#define OP(ID, ...) +(LOWERED_##ID >= 0)
_Static_assert((0
#include "bytecode/opcodes.def"
                ) == N_LOWERED,
               "each row once");
#undef OP

/* ---- arithmetic ---- */

enum form { FORM_SS, FORM_AS, FORM_SI, FORM_AI, FORM_SA, FORM_IS, FORM_IA };
static const uint8_t form_words[] = {3, 2, 3, 3, 2, 3, 3};

/* The constant can be an operand of 32 bits, or, for floats, has a place of its own. */
static bool constant_fits(const struct value *v) {
    return v->kind != BC_KIND_I64 || (uint64_t)(int64_t)(int32_t)(uint32_t)v->bits == v->bits;
}

static enum form form_of(char a, char b) {
    if (a == 'S') return b == 'S' ? FORM_SS : b == 'A' ? FORM_SA : FORM_SI;
    if (a == 'A') return b == 'I' ? FORM_AI : FORM_AS;
    return b == 'A' ? FORM_IA : FORM_IS;
}

static void emit_binary_operands(struct lower *l, uint32_t at, enum form form, const struct value *constant,
                                 int32_t a, int32_t b) {
    lower_operand(l, at, 1, form == FORM_AS || form == FORM_IS ? b : a);
    if (form == FORM_SS) lower_operand(l, at, 2, b);
    if (!constant) return;
    if (constant->kind == BC_KIND_F64)
        lower_word(l, at, 2, constant->bits);
    else
        lower_operand(l, at, 2, (int32_t)(uint32_t)constant->bits);
}

static void binary(struct lower *l, const struct row *row) {
    struct value *top = lower_top(l, 0), *below = lower_top(l, 1);
    if (top->where == IN_CONST && !constant_fits(top)) lower_want_slot(l, 0);
    if (below->where == IN_CONST && (top->where == IN_CONST || !constant_fits(below))) lower_want_slot(l, 1);
    struct value b = lower_pop(l), a = lower_pop(l);
    uint16_t op = row->op;
    int32_t slot_a = 0, slot_b = 0;
    char place_a = lower_place(l, &a, &slot_a), place_b = lower_place(l, &b, &slot_b);
    if (place_a == 'A' && place_b == 'A') place_b = 'S'; /* the same slot's value twice */
    enum form form = form_of(place_a, place_b);
    if (form >= FORM_SA && (row->shape == SHAPE_BIN_C || row->shape == SHAPE_CMP)) {
        struct value v = a;
        int32_t slot = slot_a;
        a = b, slot_a = slot_b;
        b = v, slot_b = slot;
        form = form_of(place_b, place_a);
        if (row->shape == SHAPE_CMP) op = row->swapped;
    }
    op = (uint16_t)(op + 2 * form);
    lower_clobber(l, acc_of(row->result));
    uint32_t at = row->shape == SHAPE_BIN_X ? lower_emit_trapping(l, (enum interp_op)op, form_words[form])
                                            : lower_emit(l, (enum interp_op)op, form_words[form]);
    const struct value *constant = b.where == IN_CONST ? &b : a.where == IN_CONST ? &a : NULL;
    emit_binary_operands(l, at, form, constant, slot_a, slot_b);
    lower_push_acc(l, row->result, at, (enum interp_op)op);
}

static void unary(struct lower *l, const struct row *row) {
    if (lower_top(l, 0)->where == IN_CONST) lower_want_slot(l, 0);
    struct value v = lower_pop(l);
    int32_t slot = 0;
    enum interp_op op = (enum interp_op)(row->op + 2 * (lower_place(l, &v, &slot) == 'A'));
    lower_clobber(l, acc_of(row->result));
    uint32_t at = row->shape == SHAPE_UN_X ? lower_emit_trapping(l, op, 2) : lower_emit(l, op, 2);
    lower_operand(l, at, 1, slot);
    lower_push_acc(l, row->result, at, op);
}

static void eqz(struct lower *l, enum bc_op compare, uint8_t kind) {
    if (kind == BC_KIND_I32 && lower_negate(l)) return;
    lower_push(l, IN_CONST, kind, 0);
    binary(l, &rows[compare]);
}

/* Upper halves of 32-bit values are zero wherever they are: the value only changes its type. */
static void extend_unsigned(struct lower *l) { lower_top(l, 0)->kind = BC_KIND_I64; }

/* ---- vectors: d, a, b, c or lane ---- */

static void vector(struct lower *l, const struct bc_instr *in, const struct row *row) {
    uint32_t n = row->n_operands;
    int32_t slots[3] = {0};
    for (uint32_t i = 0; i < n; i++) lower_want_slot(l, i);
    int32_t dst = lower_top(l, n - 1)->slot;
    for (uint32_t i = n; i-- > 0;) {
        struct value v = lower_pop(l);
        slots[i] = lower_slot_of(l, &v);
    }
    bool native = row->shape == SHAPE_RELAXED && l->relaxed_native;
    uint32_t op = row->op + native;
    uint32_t at = lower_emit(l, (enum interp_op)op, interp_op_infos[op].words);
    lower_operand(l, at, 0, dst);
    for (uint32_t i = 0; i < n; i++) lower_operand(l, at, 1 + i, slots[i]);
    if (row->lane) lower_operand(l, at, 3, in->lane);
    lower_wrote(l, dst);
    lower_wrote(l, dst + 1);
    lower_push(l, IN_SLOT, row->result, 0);
}

static void vector_constant(struct lower *l, const struct bc_instr *in) {
    uint64_t halves[2];
    memcpy(halves, in->v128, sizeof halves);
    int32_t dst = l->next_slot, a = 0, b = 0;
    bool shuffle = in->op == BC_I8X16_SHUFFLE;
    if (shuffle) {
        struct value vb = lower_pop(l), va = lower_pop(l);
        a = lower_slot_of(l, &va);
        b = lower_slot_of(l, &vb);
        dst = va.slot;
    }
    uint32_t at = lower_emit(l, shuffle ? H_I8X16_SHUFFLE : H_V128_CONST, shuffle ? 5 : 4),
             first = shuffle ? 3 : 2;
    lower_operand(l, at, 0, dst);
    if (shuffle) {
        lower_operand(l, at, 1, a);
        lower_operand(l, at, 2, b);
    }
    lower_word(l, at, first, halves[0]);
    lower_word(l, at, first + 1, halves[1]);
    lower_wrote(l, dst);
    lower_wrote(l, dst + 1);
    lower_push(l, IN_SLOT, BC_KIND_V128, 0);
}

/* ---- globals, tables, references ---- */

static void global_get(struct lower *l, uint32_t index) {
    static const uint16_t gets[N_ACCS] = {H_GLOBAL_GET_r0, H_GLOBAL_GET_d0, H_GLOBAL_GET_s0};
    uint8_t kind = (uint8_t)bc_valtype_kind(l->bc->globals[index].type);
    enum acc acc = acc_of(kind);
    if (acc == ACC_NO) {
        uint32_t at = lower_emit(l, H_GLOBAL_GET_v, 2);
        lower_operand(l, at, 0, l->next_slot);
        lower_operand(l, at, 1, (int32_t)index);
        lower_wrote(l, l->next_slot);
        lower_wrote(l, l->next_slot + 1);
        lower_push(l, IN_SLOT, kind, 0);
        return;
    }
    lower_clobber(l, acc);
    uint32_t at = lower_emit(l, (enum interp_op)gets[acc], 2);
    lower_operand(l, at, 1, (int32_t)index);
    lower_push_acc(l, kind, at, (enum interp_op)gets[acc]);
}

static void global_set(struct lower *l, uint32_t index) {
    uint8_t kind = (uint8_t)bc_valtype_kind(l->bc->globals[index].type);
    if (lower_top(l, 0)->where == IN_CONST || acc_of(kind) != ACC_INT) lower_want_slot(l, 0);
    struct value v = lower_pop(l);
    int32_t slot = 0;
    bool in_acc = acc_of(kind) == ACC_INT && lower_place(l, &v, &slot) == 'A';
    if (!in_acc) slot = lower_slot_of(l, &v);
    uint32_t at = lower_emit(l,
                             kind == BC_KIND_V128  ? H_GLOBAL_SET_v
                             : in_acc              ? H_GLOBAL_SET_A
                             : kind == BC_KIND_F32 ? H_GLOBAL_SET_f
                                                   : H_GLOBAL_SET_S,
                             2);
    lower_operand(l, at, 0, slot);
    lower_operand(l, at, 1, (int32_t)index);
}

static void table_get(struct lower *l, uint32_t table) {
    lower_want_slot(l, 0);
    struct value v = lower_pop(l);
    lower_clobber(l, ACC_INT);
    uint32_t at = lower_emit_trapping(l, H_TABLE_GET, 3);
    lower_operand(l, at, 1, lower_slot_of(l, &v));
    lower_operand(l, at, 2, (int32_t)table);
    lower_push_acc(l, BC_KIND_REF, at, H_TABLE_GET);
}

static void ref_func(struct lower *l, uint32_t index) {
    lower_clobber(l, ACC_INT);
    uint32_t at = lower_emit(l, H_REF_FUNC, 2);
    lower_operand(l, at, 1, (int32_t)index);
    lower_push_acc(l, BC_KIND_REF, at, H_REF_FUNC);
}

static void ref_as_non_null(struct lower *l) {
    lower_want_slot(l, 0);
    struct value v = *lower_top(l, 0);
    uint32_t at = lower_emit_trapping(l, H_REF_AS_NON_NULL, 2);
    lower_operand(l, at, 1, lower_slot_of(l, &v));
}

/* References compare as the 64-bit words they are. */
static void ref_compare(struct lower *l, bool with_null) {
    if (with_null) lower_push(l, IN_CONST, BC_KIND_REF, 0);
    binary(l, &rows[BC_I64_EQ]);
}

static uint8_t index_kind(const struct lower *l, uint8_t of, uint32_t index) {
    bool is64 = of == 'm' ? l->bc->memories[index].limits.is64 : l->bc->tables[index].limits.is64;
    return is64 ? BC_KIND_I64 : BC_KIND_I32;
}

static void slow(struct lower *l, const struct bc_instr *in, const struct row *row) {
    int32_t first = lower_args(l, row->n_operands);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)row->op, 3);
    lower_operand(l, at, 0, first);
    lower_operand(l, at, 1, (int32_t)in->index);
    lower_operand(l, at, 2, (int32_t)in->index2);
    lower_drop(l, row->n_operands);
    lower_wrote(l, first);
    if (row->result) lower_push(l, IN_SLOT, index_kind(l, row->result, in->index), 0);
}

static void wide(struct lower *l, const struct row *row) {
    int32_t first = lower_args(l, row->n_operands);
    uint32_t at = lower_emit(l, (enum interp_op)row->op, 2);
    lower_operand(l, at, 0, first);
    lower_drop(l, row->n_operands);
    lower_wrote(l, first);
    lower_wrote(l, first + 1);
    lower_push(l, IN_SLOT, BC_KIND_I64, 0);
    lower_push(l, IN_SLOT, BC_KIND_I64, 0);
}

/* ---- dispatch ---- */

static void special(struct lower *l, const struct bc_instr *in) {
    switch (in->op) {
    case BC_DROP: lower_pop(l); break;
    case BC_SELECT:
    case BC_SELECT_T: lower_select(l); break;
    case BC_LOCAL_GET: lower_push(l, IN_LOCAL, l->locals[in->index].kind, in->index); break;
    case BC_LOCAL_SET: lower_local_set(l, in->index, false); break;
    case BC_LOCAL_TEE: lower_local_set(l, in->index, true); break;
    case BC_GLOBAL_GET: global_get(l, in->index); break;
    case BC_GLOBAL_SET: global_set(l, in->index); break;
    case BC_TABLE_GET: table_get(l, in->index); break;
    case BC_I32_CONST: lower_push(l, IN_CONST, BC_KIND_I32, (uint32_t)in->i32); break;
    case BC_I64_CONST: lower_push(l, IN_CONST, BC_KIND_I64, (uint64_t)in->i64); break;
    case BC_F32_CONST: lower_push(l, IN_CONST, BC_KIND_F32, in->f32_bits); break;
    case BC_F64_CONST: lower_push(l, IN_CONST, BC_KIND_F64, in->f64_bits); break;
    case BC_REF_NULL: lower_push(l, IN_CONST, BC_KIND_REF, 0); break;
    case BC_REF_IS_NULL: ref_compare(l, true); break;
    case BC_REF_EQ: ref_compare(l, false); break;
    case BC_REF_FUNC: ref_func(l, in->index); break;
    case BC_REF_AS_NON_NULL: ref_as_non_null(l); break;
    case BC_V128_CONST:
    case BC_I8X16_SHUFFLE: vector_constant(l, in); break;
    case BC_ATOMIC_FENCE: lower_emit(l, H_ATOMIC_FENCE, 1); break;
    default: break; /* nop */
    }
}

void lower_instr(struct lower *l, const struct bc_instr *in) {
    const struct row *row = &rows[in->op];
    if (in->op == BC_I32_EQZ || in->op == BC_I64_EQZ) {
        eqz(l, in->op == BC_I32_EQZ ? BC_I32_EQ : BC_I64_EQ,
            in->op == BC_I32_EQZ ? BC_KIND_I32 : BC_KIND_I64);
        return;
    }
    if (in->op == BC_I64_EXTEND_I32_U) {
        extend_unsigned(l);
        return;
    }
    switch ((enum shape)row->shape) {
    case SHAPE_CONTROL: lower_control(l, in); break;
    case SHAPE_SPECIAL: special(l, in); break;
    case SHAPE_OBJECT: lower_object(l, in); break;
    case SHAPE_SLOW: slow(l, in, row); break;
    case SHAPE_WIDE: wide(l, row); break;
    case SHAPE_BIN_C:
    case SHAPE_BIN_N:
    case SHAPE_BIN_X:
    case SHAPE_CMP: binary(l, row); break;
    case SHAPE_UN:
    case SHAPE_UN_X: unary(l, row); break;
    case SHAPE_LOAD: lower_load(l, in, row->op, row->result); break;
    case SHAPE_STORE: lower_store(l, in, row->op, row->result); break;
    case SHAPE_VEC_LOAD: lower_vector_load(l, in, row->op); break;
    case SHAPE_VEC_STORE: lower_vector_store(l, in, row->op); break;
    case SHAPE_LANE_LOAD: lower_lane_access(l, in, row->op, true); break;
    case SHAPE_LANE_STORE: lower_lane_access(l, in, row->op, false); break;
    case SHAPE_VECTOR:
    case SHAPE_RELAXED: vector(l, in, row); break;
    case SHAPE_ATOMIC: lower_atomic(l, in, row->op, row->n_operands, row->result); break;
    }
}
