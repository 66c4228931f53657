/* interp/lower_call.c: calls (lower.h). */
#include "interp/lower.h"

static const struct rt_type *push_call(struct lower *l, uint32_t type, int32_t *args, int32_t *delta) {
    const struct rt_type *t = l->module->types[type];
    int32_t window = (int32_t)interp_window(t->param_slots, t->result_slots);
    *args = lower_args(l, t->n_params);
    lower_clobber_all(l);
    *delta = *args + window + INTERP_HEADER_SLOTS;
    if (*delta > l->max_slot) l->max_slot = *delta;
    return t;
}

static void finish_call(struct lower *l, uint32_t type, uint32_t at, uint32_t n_words, int32_t args) {
    const struct bc_type *t = &l->bc->types[type];
    lower_word(l, at, n_words - 1, (uint64_t)(uintptr_t)interp_handlers[H_RELOAD]);
    lower_drop(l, t->n_params);
    lower_forget(l);
    lower_push_types(l, t->n_results, t->results);
    if (t->n_results != 1) return;
    enum acc acc = acc_of((uint8_t)bc_valtype_kind(t->results[0]));
    if (acc != ACC_NO) l->accs[acc].slot = args;
}

void lower_call(struct lower *l, const struct bc_instr *in) {
    uint32_t type = l->bc->funcs[in->index].type;
    bool own = in->index >= l->bc->n_imported_funcs;
    int32_t args, delta;
    push_call(l, type, &args, &delta);
    uint32_t at = lower_emit_trapping(l, own ? H_CALL : H_CALL_IMPORT, 3);
    lower_operand(l, at, 0, delta);
    lower_operand(l, at, 1, (int32_t)(own ? in->index - l->bc->n_imported_funcs : in->index));
    finish_call(l, type, at, 3, args);
}

void lower_call_indirect(struct lower *l, const struct bc_instr *in) {
    if (lower_top(l, 0)->where == IN_CONST) lower_want_slot(l, 0);
    struct value index = lower_pop(l);
    int32_t slot = 0, args, delta;
    bool in_acc = lower_place(l, &index, &slot) == 'A';
    const struct rt_type *type = push_call(l, in->index, &args, &delta);
    uint32_t at = lower_emit_trapping(l, in_acc ? H_CALL_INDIRECT_A : H_CALL_INDIRECT_S, 5);
    lower_operand(l, at, 0, delta);
    lower_operand(l, at, 1, slot);
    lower_word(l, at, 2, (uint64_t)(uintptr_t)type);
    lower_word(l, at, 3, in->index2);
    finish_call(l, in->index, at, 5, args);
}

void lower_call_ref(struct lower *l, const struct bc_instr *in) {
    lower_want_slot(l, 0);
    struct value ref = lower_pop(l);
    int32_t slot = lower_slot_of(l, &ref), args, delta;
    push_call(l, in->index, &args, &delta);
    uint32_t at = lower_emit_trapping(l, H_CALL_REF, 3);
    lower_operand(l, at, 0, delta);
    lower_operand(l, at, 1, slot);
    finish_call(l, in->index, at, 3, args);
}

/* `what`: operand 1. The words behind the operands are the caller's. */
static uint32_t emit_tail_call(struct lower *l, enum interp_op op, uint32_t n_words, uint32_t type,
                               int32_t what) {
    int32_t args, delta;
    const struct rt_type *t = push_call(l, type, &args, &delta);
    uint32_t at = lower_emit_trapping(l, op, n_words);
    lower_operand(l, at, 0, args);
    lower_operand(l, at, 1, what);
    lower_operand(l, at, 2, (int32_t)l->window);
    lower_operand(l, at, 3, (int32_t)interp_window(t->param_slots, t->result_slots));
    lower_operand(l, at, 4, (int32_t)t->param_slots);
    l->dead = true;
    return at;
}

void lower_tail_call(struct lower *l, const struct bc_instr *in) {
    if (in->op == BC_RETURN_CALL) {
        emit_tail_call(l, H_TAIL_CALL, 4, l->bc->funcs[in->index].type, (int32_t)in->index);
        return;
    }
    lower_want_slot(l, 0);
    struct value v = lower_pop(l);
    int32_t slot = lower_slot_of(l, &v);
    if (in->op == BC_RETURN_CALL_REF) {
        emit_tail_call(l, H_TAIL_CALL_REF, 4, in->index, slot);
        return;
    }
    uint32_t at = emit_tail_call(l, H_TAIL_CALL_INDIRECT, 6, in->index, slot);
    lower_word(l, at, 4, (uint64_t)(uintptr_t)l->module->types[in->index]);
    lower_word(l, at, 5, in->index2);
}
