/* interp/lower_condition.c: comparisons fused into what they decide. */
#include "interp/lower.h"

struct comparison {
    uint16_t value, branch, negated_value, negated_branch, select;
};
static const struct comparison comparisons[] = {
#define CMP(ID, id, T, NEGATED, SWAPPED)                                                                     \
    {H_##ID##_SS, H_BR_##ID##_SS, H_##NEGATED##_SS, H_BR_##NEGATED##_SS, H_SELECT_##ID##_SS},
#include "interp/ops.def"
    {H_I32_AND_SS, H_BR_TEST_SS, 0, H_BR_TESTZ_SS, 0},
};
#define N_COMPARISONS (sizeof comparisons / sizeof comparisons[0])

/* The comparison whose value the newest instruction left in the accumulator only. */
static const struct comparison *newest(const struct lower *l, const struct value *v) {
    if (v->where != IN_ACC || l->last == NOTHING || l->accs[ACC_INT].producer != l->last) return NULL;
    for (size_t i = 0; i < N_COMPARISONS; i++)
        if (l->last_op >= comparisons[i].value && l->last_op < comparisons[i].value + 8)
            return &comparisons[i];
    return NULL;
}

bool lower_negate(struct lower *l) {
    struct acc_state *a = &l->accs[ACC_INT];
    const struct comparison *c = newest(l, lower_top(l, 0));
    if (!c || !c->negated_value) return false;
    a->op = (uint16_t)(l->last_op - c->value + c->negated_value);
    lower_set_op(l, l->last, a->op);
    l->last_op = a->op;
    return true;
}

static void take_comparison(struct lower *l, const struct comparison *c, struct condition *out) {
    const int32_t *operands = (const int32_t *)(const void *)(l->code->words + l->last) + 2;
    *out = (struct condition){.branch = c->branch,
                              .negated = c->negated_branch,
                              .select = c->select,
                              .form = (uint8_t)((l->last_op - c->value) / 2),
                              .a = operands[1],
                              .b = operands[2]};
    bool with_zero = out->form >= 2 && out->b == 0;
    if (with_zero && (c->branch == H_BR_I32_NE_SS || c->branch == H_BR_I32_EQ_SS)) {
        bool equal = c->branch == H_BR_I32_EQ_SS;
        out->branch = equal ? H_BR_Z_S : H_BR_NZ_S;
        out->negated = equal ? H_BR_NZ_S : H_BR_Z_S;
        out->select = 0;
        out->form = (uint8_t)(out->form - 2);
    }
    lower_pop(l);
    lower_unemit(l);
}

struct condition lower_take_condition(struct lower *l) {
    struct condition c = {.branch = H_BR_NZ_S, .negated = H_BR_Z_S};
    const struct comparison *comparison = newest(l, lower_top(l, 0));
    if (comparison && !l->failed) {
        take_comparison(l, comparison, &c);
        return c;
    }
    if (lower_top(l, 0)->where == IN_CONST) lower_want_slot(l, 0);
    struct value v = lower_pop(l);
    c.form = lower_place(l, &v, &c.a) == 'A';
    return c;
}

#define LOOP_DISTANCE (H_LOOP_I32_EQ_SS - H_BR_I32_EQ_SS)
static uint32_t backward_of(uint32_t op) {
    if (op >= H_BR_TEST_SS && op <= H_BR_TESTZ_AI) return op + (H_LOOP_TEST_SS - H_BR_TEST_SS);
    if (op >= H_BR_NZ_S && op <= H_BR_Z_A) return op + (H_LOOP_NZ_S - H_BR_NZ_S);
    return op + LOOP_DISTANCE;
}

uint32_t lower_branch_if(struct lower *l, const struct condition *c, bool when, bool backward) {
    bool unary = c->branch == H_BR_NZ_S || c->branch == H_BR_Z_S;
    uint32_t op = (when ? c->branch : c->negated) + (uint32_t)c->form;
    if (backward) op = backward_of(op);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)op, unary || c->form == 1 ? 2 : 3);
    lower_operand(l, at, 1, c->a);
    if (!unary && c->form != 1) lower_operand(l, at, 2, c->b);
    return at;
}

/* ---- select ---- */

/* f32 and vectors: rare, through slots. */
static void select_slots(struct lower *l, enum interp_op op) {
    lower_want_slot(l, 0);
    struct value c = lower_pop(l);
    lower_want_slot(l, 0);
    lower_want_slot(l, 1);
    struct value b = lower_pop(l), a = lower_pop(l);
    uint32_t at = lower_emit(l, op, 3);
    lower_operand(l, at, 0, a.slot);
    lower_operand(l, at, 1, lower_slot_of(l, &c));
    lower_operand(l, at, 2, lower_slot_of(l, &a));
    lower_operand(l, at, 3, lower_slot_of(l, &b));
    lower_wrote(l, a.slot);
    lower_push(l, IN_SLOT, a.kind, 0);
}

void lower_select(struct lower *l) {
    uint8_t kind = lower_top(l, 1)->kind;
    if (kind == BC_KIND_F32 || kind == BC_KIND_V128) {
        select_slots(l, kind == BC_KIND_F32 ? H_SELECT32_S : H_SELECT128_S);
        return;
    }
    struct condition c = lower_take_condition(l);
    lower_want_slot(l, 0);
    lower_want_slot(l, 1);
    struct value b = lower_pop(l), a = lower_pop(l);
    bool swapped = !c.select && c.branch == H_BR_Z_S;
    bool test = !c.select && c.branch == H_BR_TEST_SS; /* the conjunction has to be made after all */
    lower_clobber(l, ACC_INT);
    uint32_t op = H_SELECT_S + 2u * c.form, at, first = 2;
    if (test) {
        at = lower_emit(l, (enum interp_op)(H_I32_AND_SS + 2 * c.form), c.form == 1 ? 2 : 3);
        lower_operand(l, at, 1, c.a);
        if (c.form != 1) lower_operand(l, at, 2, c.b);
        op = H_SELECT_A;
    } else if (c.select) {
        op = c.select + 2u * c.form;
        first = 3;
    }
    at = lower_emit(l, (enum interp_op)op, c.select ? 4 : 3);
    lower_operand(l, at, 1, c.a);
    if (c.select && c.form != 1) lower_operand(l, at, 2, c.b);
    lower_operand(l, at, first, lower_slot_of(l, swapped ? &b : &a));
    lower_operand(l, at, first + 1, lower_slot_of(l, swapped ? &a : &b));
    if (acc_of(kind) == ACC_INT) {
        lower_push_acc(l, kind, at, (enum interp_op)op);
        return;
    }
    lower_set_op(l, at, (enum interp_op)(op + 1));
    lower_operand(l, at, 0, a.slot);
    lower_wrote(l, a.slot);
    l->accs[ACC_INT].slot = NO_SLOT;
    l->last = NOTHING;
    lower_push(l, IN_SLOT, kind, 0);
}
