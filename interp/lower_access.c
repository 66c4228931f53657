/* interp/lower_access.c: loads, stores and atomics (lower.h). */
#include "interp/lower.h"

#include <string.h>

/* In the order of handlers.def. */
enum load_form { LOAD_S, LOAD_A, LOAD_SS, LOAD_AS, LOAD_SI, LOAD_I, LOAD_X };
enum store_form { STORE_SS, STORE_SA, STORE_AS, STORE_AA, STORE_SI, STORE_AI, STORE_IS, STORE_IA, STORE_X };

static bool plain(const struct lower *l, const struct bc_instr *in) {
    return l->guarded && in->index == 0 && in->memarg_offset <= UINT32_MAX;
}

/* ---- loads ---- */

struct address {
    enum load_form form;
    int32_t a, b;
    uint64_t whole; /* LOAD_I */
};

/* The address is a sum just made and used for nothing else: the load makes it. */
static bool take_sum(struct lower *l, struct address *out) {
    const struct value *v = lower_top(l, 0);
    if (v->where != IN_ACC || l->last == NOTHING || l->accs[ACC_INT].producer != l->last || l->failed)
        return false;
    const int32_t *operands = (const int32_t *)(const void *)(l->code->words + l->last) + 2;
    switch (l->last_op) {
    case H_I32_ADD_SS: *out = (struct address){.form = LOAD_SS, .a = operands[1], .b = operands[2]}; break;
    case H_I32_ADD_AS: *out = (struct address){.form = LOAD_AS, .b = operands[1]}; break;
    case H_I32_ADD_SI: *out = (struct address){.form = LOAD_SI, .a = operands[1], .b = operands[2]}; break;
    default: return false;
    }
    lower_pop(l);
    lower_unemit(l);
    return true;
}

static struct address take_address(struct lower *l, uint64_t offset) {
    struct address out;
    if (take_sum(l, &out)) return out;
    struct value v = lower_pop(l);
    out = (struct address){0};
    switch (lower_place(l, &v, &out.a)) {
    case 'A': out.form = LOAD_A; break;
    case 'I':
        out.form = LOAD_I;
        out.whole = (uint32_t)v.bits + offset;
        break;
    default: out.form = LOAD_S; break;
    }
    return out;
}

static void checked_operands(struct lower *l, uint32_t at, const struct bc_instr *in, int32_t address) {
    lower_word(l, at, 2, in->memarg_offset);
    lower_word(l, at, 3, in->index);
    lower_operand(l, at, 1, address);
}

void lower_load(struct lower *l, const struct bc_instr *in, uint16_t base, uint8_t kind) {
    uint32_t at;
    enum interp_op op;
    if (plain(l, in)) {
        struct address a = take_address(l, in->memarg_offset);
        op = (enum interp_op)(base + 2 * a.form);
        lower_clobber(l, acc_of(kind));
        at = lower_emit_trapping(l, op, 3);
        lower_operand(l, at, 1, a.a);
        lower_operand(l, at, 2, (int32_t)(uint32_t)in->memarg_offset);
        lower_operand(l, at, 3, a.b);
        if (a.form == LOAD_I) lower_word(l, at, 2, a.whole);
    } else {
        lower_want_slot(l, 0);
        struct value v = lower_pop(l);
        op = (enum interp_op)(base + 2 * LOAD_X);
        lower_clobber(l, acc_of(kind));
        at = lower_emit_trapping(l, op, 4);
        checked_operands(l, at, in, lower_slot_of(l, &v));
    }
    lower_push_acc(l, kind, at, op);
}

/* ---- stores ---- */

/* The stored constant as the handler's 32-bit operand, where it can be one. */
static bool store_constant(const struct value *v, int32_t *out) {
    *out = (int32_t)(uint32_t)v->bits;
    if (v->kind == BC_KIND_I64) return (uint64_t)(int64_t)*out == v->bits;
    if (v->kind != BC_KIND_F64) return true;
    double wide, back;
    memcpy(&wide, &v->bits, sizeof wide);
    if (wide != wide || wide > 3e38 || wide < -3e38) return false;
    float narrow = (float)wide;
    back = narrow;
    memcpy(out, &narrow, sizeof narrow);
    return memcmp(&back, &wide, sizeof back) == 0;
}

static void plain_store(struct lower *l, const struct bc_instr *in, uint16_t base) {
    struct value *value = lower_top(l, 0), *address = lower_top(l, 1);
    int32_t constant = 0, a = 0, v = 0;
    bool fits = value->where == IN_CONST && store_constant(value, &constant);
    if (value->where == IN_CONST && (!fits || address->where == IN_CONST)) lower_want_slot(l, 0);
    struct value popped = lower_pop(l), at_value = lower_pop(l);
    char pv = lower_place(l, &popped, &v), pa = lower_place(l, &at_value, &a);
    if (pv == 'A' && pa == 'A' && acc_of(popped.kind) == ACC_INT) { /* one of them also has a slot */
        if (popped.where != IN_ACC)
            pv = 'S';
        else
            pa = 'S';
    }
    enum store_form form = pv == 'I'   ? (pa == 'A' ? STORE_AI : STORE_SI)
                           : pa == 'I' ? (pv == 'A' ? STORE_IA : STORE_IS)
                           : pa == 'A' ? (pv == 'A' ? STORE_AA : STORE_AS)
                                       : (pv == 'A' ? STORE_SA : STORE_SS);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)(base + form), 3);
    lower_operand(l, at, 0, a);
    lower_operand(l, at, 1, v);
    lower_operand(l, at, 2, (int32_t)(uint32_t)in->memarg_offset);
    lower_operand(l, at, 3, constant);
    if (pa == 'I') lower_word(l, at, 2, (uint32_t)at_value.bits + in->memarg_offset);
}

static void checked_store(struct lower *l, const struct bc_instr *in, enum interp_op op) {
    lower_want_slot(l, 0);
    lower_want_slot(l, 1);
    struct value v = lower_pop(l), a = lower_pop(l);
    uint32_t at = lower_emit_trapping(l, op, 4);
    checked_operands(l, at, in, lower_slot_of(l, &v));
    lower_operand(l, at, 0, lower_slot_of(l, &a));
}

void lower_store(struct lower *l, const struct bc_instr *in, uint16_t base, uint8_t kind) {
    (void)kind;
    if (plain(l, in))
        plain_store(l, in, base);
    else
        checked_store(l, in, (enum interp_op)(base + STORE_X));
}

/* ---- vectors ---- */

void lower_vector_load(struct lower *l, const struct bc_instr *in, uint16_t base) {
    bool fast = plain(l, in);
    lower_want_slot(l, 0);
    struct value v = lower_pop(l);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)(base + !fast), fast ? 3 : 4);
    lower_operand(l, at, 0, v.slot);
    if (fast) {
        lower_operand(l, at, 1, lower_slot_of(l, &v));
        lower_operand(l, at, 2, (int32_t)(uint32_t)in->memarg_offset);
    } else {
        checked_operands(l, at, in, lower_slot_of(l, &v));
    }
    lower_wrote(l, v.slot);
    lower_wrote(l, v.slot + 1);
    lower_push(l, IN_SLOT, BC_KIND_V128, 0);
}

void lower_vector_store(struct lower *l, const struct bc_instr *in, uint16_t base) {
    if (!plain(l, in)) {
        checked_store(l, in, (enum interp_op)(base + 1));
        return;
    }
    lower_want_slot(l, 0);
    lower_want_slot(l, 1);
    struct value v = lower_pop(l), a = lower_pop(l);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)base, 3);
    lower_operand(l, at, 0, lower_slot_of(l, &a));
    lower_operand(l, at, 1, lower_slot_of(l, &v));
    lower_operand(l, at, 2, (int32_t)(uint32_t)in->memarg_offset);
}

/* address, vector -> vector or nothing: d or -, address, offset, memory, vector | lane */
void lower_lane_access(struct lower *l, const struct bc_instr *in, uint16_t base, bool load) {
    lower_want_slot(l, 0);
    lower_want_slot(l, 1);
    struct value v = lower_pop(l), a = lower_pop(l);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)base, 5);
    lower_operand(l, at, 0, a.slot);
    checked_operands(l, at, in, lower_slot_of(l, &a));
    lower_operand(l, at, 6, lower_slot_of(l, &v));
    lower_operand(l, at, 7, in->lane);
    if (!load) return;
    lower_wrote(l, a.slot);
    lower_wrote(l, a.slot + 1);
    lower_push(l, IN_SLOT, BC_KIND_V128, 0);
}

/* ---- atomics ---- */

void lower_atomic(struct lower *l, const struct bc_instr *in, uint16_t base, uint8_t n_args, uint8_t result) {
    int32_t first = lower_args(l, n_args);
    uint32_t at = lower_emit_trapping(l, (enum interp_op)base, 4);
    lower_operand(l, at, 0, first);
    lower_word(l, at, 2, in->memarg_offset);
    lower_word(l, at, 3, in->index);
    lower_drop(l, n_args);
    lower_wrote(l, first);
    if (result) lower_push(l, IN_SLOT, result, 0);
}
