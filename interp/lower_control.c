/* interp/lower_control.c: blocks, branches, returns (lower.h). */
#include "interp/lower.h"

#include <string.h>

/* ---- labels ---- */

static void add_fixup(struct lower *l, uint32_t *list, uint32_t at, uint32_t n) {
    void *p = l->fixups;
    if (atoll_grow(l->alloc, &p, &l->cap_fixups, l->n_fixups + 1, sizeof *l->fixups)) {
        l->failed = true;
        return;
    }
    l->fixups = p;
    l->fixups[l->n_fixups] = (struct fixup){.at = at * 2 + 2 + n, .from = at, .next = *list};
    *list = (uint32_t)l->n_fixups++;
}

void lower_clause_to_label(struct lower *l, uint32_t *list, uint32_t clause) {
    add_fixup(l, list, 0, 0);
    if (!l->failed) l->fixups[*list].at = FIXUP_CLAUSE | clause;
}

/* Every branch in the list comes here. */
static void place_label(struct lower *l, uint32_t *list) {
    for (uint32_t i = *list; i != NOTHING && !l->failed; i = l->fixups[i].next) {
        const struct fixup *f = &l->fixups[i];
        if (f->at & FIXUP_CLAUSE) {
            l->code->clauses[f->at & ~FIXUP_CLAUSE].target = l->code->n_words;
            continue;
        }
        ((int32_t *)(void *)l->code->words)[f->at] = (int32_t)(l->code->n_words - f->from);
    }
    *list = NOTHING;
    lower_forget(l);
}

static void target(struct lower *l, struct frame *f, uint32_t at, uint32_t n) {
    if (f->op == BC_LOOP) {
        lower_operand(l, at, n, (int32_t)f->start - (int32_t)at);
    } else {
        add_fixup(l, &f->fixups, at, n);
        f->merged = true;
    }
}

static void signature(const struct lower *l, const struct frame *f, struct bc_block_sig *out) {
    if (f->op != BC_CALL) {
        bc_block_signature(l->bc, f->sig, out);
        return;
    }
    const struct bc_type *type = &l->bc->types[l->bc->funcs[l->func].type];
    *out = (struct bc_block_sig){.n_results = type->n_results, .results = type->results};
}

static uint32_t label_arity(const struct lower *l, const struct frame *f) {
    struct bc_block_sig sig;
    signature(l, f, &sig);
    return f->op == BC_LOOP ? sig.n_params : sig.n_results;
}

void lower_fuel_segment(struct lower *l) {
    if (!l->count_fuel) return;
    l->fuel_at = lower_emit_trapping(l, H_FUEL, 2);
    l->fuel = 0;
    struct interp_fuels *list = l->fuels;
    if (!list) return;
    if (atoll_grow(l->alloc, (void **)&list->items, &list->capacity, list->n + 1, sizeof *list->items))
        l->failed = true;
    else
        list->items[list->n++] = (struct interp_fuel){l->instr_offset, 0};
}

/* ---- values on their way to a label ---- */

#define FEW 4 /* more values than this are moved as a range */

/* The topmost n values to dst and up; they stay on the stack. `again`: the code behind is reached without
 * this. */
static void move_values(struct lower *l, uint32_t n, int32_t dst) {
    if (n > FEW) {
        int32_t src = lower_args(l, n);
        if (src == dst) return;
        uint32_t at = lower_emit(l, H_MOV_RANGE, 3);
        lower_operand(l, at, 0, dst);
        lower_operand(l, at, 1, src);
        lower_operand(l, at, 2, l->next_slot - src);
        for (int i = 0; i < N_ACCS; i++) /* only what was below can have been known there */
            if (l->accs[i].slot >= dst || l->accs[i].slot < 0) l->accs[i].slot = NO_SLOT;
        return;
    }
    /* ascending: a value's own slot is never below its destination, so none is overwritten before it moved */
    int32_t shift = dst - (n ? lower_top(l, n - 1)->slot : 0);
    for (uint32_t i = n; i-- > 0;) {
        const struct value *v = lower_top(l, i);
        lower_move(l, v->slot + shift, v);
    }
}

static const uint16_t return_ops[N_ACCS] = {H_RET_r0_S, H_RET_d0_S, H_RET_s0_S};

static void emit_return_one(struct lower *l, int32_t dst) {
    struct value *v = lower_top(l, 0);
    enum acc acc = acc_of(v->kind);
    int32_t src = 0;
    if (v->where == IN_CONST && acc == ACC_INT) {
        uint32_t at = lower_emit(l, H_RET_I, 3);
        lower_operand(l, at, 0, dst);
        lower_word(l, at, 2, v->bits);
        return;
    }
    if (v->where == IN_CONST) lower_want_slot(l, 0);
    bool in_acc = lower_place(l, v, &src) == 'A';
    uint32_t at = lower_emit(l, (enum interp_op)(return_ops[acc] + in_acc), 2);
    lower_operand(l, at, 0, dst);
    lower_operand(l, at, 1, src);
}

/* Returns with the results where the caller wants them. A caller expects a single one in its accumulator,
 * too. */
static void emit_return_in_place(struct lower *l) {
    uint8_t kind = l->type->n_results == 1 ? l->type->results[0].kind : BC_KIND_V128;
    if (acc_of(kind) == ACC_NO) {
        lower_emit(l, H_RET, 1);
        return;
    }
    uint32_t at = lower_emit(l, (enum interp_op)return_ops[acc_of(kind)], 2);
    lower_operand(l, at, 0, lower_result_slot(l));
    lower_operand(l, at, 1, lower_result_slot(l));
}

static void emit_return(struct lower *l) {
    uint32_t n = l->type->n_results;
    int32_t dst = lower_result_slot(l);
    if (n == 1 && lower_top(l, 0)->kind != BC_KIND_V128) {
        emit_return_one(l, dst);
        return;
    }
    /* results go where parameters are: those still to be read are saved */
    for (uint32_t i = 0; i < n; i++) {
        const struct value *v = lower_top(l, i);
        if (v->where == IN_LOCAL && l->locals[v->bits].slot < 0) lower_to_slot(l, l->n_stack - 1 - i);
    }
    move_values(l, n, dst);
    lower_emit(l, H_RET, 1);
}

void lower_emit_branch(struct lower *l, struct frame *f) {
    if (f->op == BC_CALL) {
        emit_return(l);
        return;
    }
    move_values(l, label_arity(l, f), f->base_slot);
    bool backward = f->op == BC_LOOP;
    uint32_t at = backward ? lower_emit_trapping(l, H_LOOP, 2) : lower_emit(l, H_BR, 2);
    target(l, f, at, 0);
}

/* Values for the label already stand where it wants them. */
static bool in_place(struct lower *l, const struct frame *f, uint32_t n) {
    if (f->op == BC_CALL) return n == 0;
    return n == 0 || lower_top(l, n - 1)->slot == f->base_slot;
}

/* What takes the values to the label, and the branch `at` around it, behind which all accumulators are what
 * they were before. */
static void branch_around(struct lower *l, struct frame *f, uint32_t at) {
    uint32_t skip = NOTHING;
    struct acc_state accs[N_ACCS];
    add_fixup(l, &skip, at, 0);
    memcpy(accs, l->accs, sizeof accs);
    lower_emit_branch(l, f);
    place_label(l, &skip);
    memcpy(l->accs, accs, sizeof accs);
}

static void branch_if(struct lower *l, uint32_t depth, const struct condition *c, uint32_t n) {
    struct frame *f = lower_frame_at(l, depth);
    lower_args(l, n);
    if (in_place(l, f, n)) {
        uint32_t at = lower_branch_if(l, c, true, f->op == BC_LOOP);
        target(l, f, at, 0);
        return;
    }
    branch_around(l, f, lower_branch_if(l, c, false, false));
}

/* ---- br_table ---- */

static void table_entry(struct lower *l, uint32_t at, uint32_t i, uint32_t depth) {
    struct frame *f = lower_frame_at(l, depth);
    uint32_t n = label_arity(l, f);
    if (in_place(l, f, n)) {
        target(l, f, at, i);
        return;
    }
    if (f->stub_of != at) f->stub = NOTHING;
    f->stub_of = at;
    add_fixup(l, &f->stub, at, i);
}

static void lower_br_table(struct lower *l, const struct bc_instr *in) {
    lower_want_slot(l, 0);
    struct value index = lower_pop(l);
    int32_t slot = 0;
    bool in_acc = lower_place(l, &index, &slot) == 'A';
    uint32_t pos = in->at;
    for (uint32_t i = 0; i < in->count; i++) bc_read_u32(l->bc, &pos);
    uint32_t default_pos = pos, n = label_arity(l, lower_frame_at(l, bc_read_u32(l->bc, &pos)));
    lower_args(l, n);
    /* operands: count, index, targets; a target's operand is 2 + i */
    uint32_t at = lower_emit_trapping(l, in_acc ? H_BR_TABLE_A : H_BR_TABLE_S, 2 + (in->count + 2) / 2);
    lower_operand(l, at, 0, (int32_t)in->count);
    lower_operand(l, at, 1, slot);
    (void)default_pos;
    pos = in->at;
    for (uint32_t i = 0; i <= in->count && !l->failed; i++)
        table_entry(l, at, 2 + i, bc_read_u32(l->bc, &pos));
    pos = in->at;
    for (uint32_t i = 0; i <= in->count && !l->failed; i++) {
        struct frame *f = lower_frame_at(l, bc_read_u32(l->bc, &pos));
        if (f->stub_of != at) continue;
        f->stub_of = NOTHING;
        place_label(l, &f->stub);
        lower_emit_branch(l, f);
    }
}

/* ---- blocks ---- */

void lower_push_frame(struct lower *l, enum bc_op op, uint32_t block_type, uint32_t else_fixup) {
    void *p = l->frames;
    if (atoll_grow(l->alloc, &p, &l->cap_frames, l->n_frames + 1, sizeof *l->frames)) {
        l->failed = true;
        return;
    }
    l->frames = p;
    struct frame *f = &l->frames[l->n_frames++];
    *f = (struct frame){.op = (uint8_t)op,
                        .sig = block_type,
                        .start = l->code->n_words,
                        .fixups = NOTHING,
                        .else_fixup = else_fixup,
                        .stub = NOTHING,
                        .stub_of = NOTHING,
                        .first_clause = NOTHING,
                        .last_clause = NOTHING};
    struct bc_block_sig sig;
    signature(l, f, &sig);
    f->height = (uint32_t)(l->n_stack - sig.n_params);
    f->base_slot = sig.n_params ? l->stack[f->height].slot : l->next_slot;
}

/* A loop's head is here. */
static void note_loop(struct lower *l) {
    struct interp_code *code = l->code;
    void *p = code->loops;
    lower_forget(l);
    if (atoll_grow(l->alloc, &p, &code->cap_loops, (size_t)code->n_loops + 1, sizeof *code->loops)) {
        l->failed = true;
        return;
    }
    code->loops = p;
    code->loops[code->n_loops++] = (struct interp_pc){code->n_words, l->instr_offset};
}

static void open_block(struct lower *l, const struct bc_instr *in) {
    struct condition c = {0};
    struct bc_block_sig sig;
    uint32_t else_fixup = NOTHING;
    bc_block_signature(l->bc, in->block_type, &sig);
    if (in->op == BC_IF) c = lower_take_condition(l);
    lower_flush(l, sig.n_params);
    if (in->op == BC_IF) add_fixup(l, &else_fixup, lower_branch_if(l, &c, false, false), 0);
    if (in->op == BC_LOOP) note_loop(l);
    lower_push_frame(l, in->op, in->block_type, else_fixup);
    if (in->op != BC_BLOCK) lower_fuel_segment(l);
}

void lower_push_types(struct lower *l, uint32_t n, const bc_valtype *types) {
    for (uint32_t i = 0; i < n; i++) lower_push(l, IN_SLOT, (uint8_t)bc_valtype_kind(types[i]), 0);
}

/* The values of the block are dropped, those of its start or end are in their slots. */
static void reset_stack(struct lower *l, const struct frame *f, bool results) {
    struct bc_block_sig sig;
    signature(l, f, &sig);
    if (l->n_stack > f->height) lower_drop(l, l->n_stack - f->height);
    l->next_slot = f->base_slot;
    lower_push_types(l, results ? sig.n_results : sig.n_params, results ? sig.results : sig.params);
    l->n_flushed = l->n_stack;
}

/* ---- ends ---- */

static void lower_else(struct lower *l) {
    struct frame *f = lower_frame_at(l, 0);
    if (!l->dead) lower_emit_branch(l, f);
    place_label(l, &f->else_fixup);
    reset_stack(l, f, false);
    l->dead = false;
    lower_fuel_segment(l);
}

static void end_function(struct lower *l, struct frame *f) {
    if (!l->dead) emit_return(l);
    if (f->merged) {
        place_label(l, &f->fixups);
        emit_return_in_place(l);
    }
    l->n_frames--;
}

void lower_end(struct lower *l) {
    struct frame *f = lower_frame_at(l, 0);
    if (f->op == BC_CALL) {
        end_function(l, f);
        return;
    }
    /* the results of a TRY are in no case where its body or its handlers left them */
    bool merged = f->merged || f->else_fixup != NOTHING || (f->op == BC_TRY && !l->dead);
    if (merged && !l->dead) {
        struct bc_block_sig sig;
        signature(l, f, &sig);
        lower_args(l, sig.n_results);
        if (f->op == BC_TRY) move_values(l, sig.n_results, f->base_slot);
    }
    if (f->op == BC_TRY_TABLE) lower_close_try(l, f, INTERP_NONE);
    if (merged) {
        place_label(l, &f->else_fixup);
        place_label(l, &f->fixups);
        reset_stack(l, f, true);
        l->dead = false;
        lower_fuel_segment(l);
    }
    l->n_frames--;
}

/* ---- references that decide ---- */

/* br_on_null (when = true): the reference is dropped on the branch; br_on_non_null: it is the label's last
 * value. */
static void lower_br_on_null(struct lower *l, const struct bc_instr *in) {
    bool when_null = in->op == BC_BR_ON_NULL;
    lower_want_slot(l, 0);
    struct frame *f = lower_frame_at(l, in->index);
    uint32_t n = label_arity(l, f);
    struct value ref = *lower_top(l, 0);
    int32_t slot = lower_slot_of(l, &ref);
    uint8_t where = ref.where;
    uint64_t bits = ref.bits;
    if (when_null) lower_pop(l);
    lower_args(l, n);
    if (in_place(l, f, n)) {
        bool backward = f->op == BC_LOOP;
        enum interp_op op =
            when_null ? (backward ? H_LOOP_NULL : H_BR_NULL) : (backward ? H_LOOP_NONNULL : H_BR_NONNULL);
        uint32_t at = lower_emit_trapping(l, op, 2);
        lower_operand(l, at, 1, slot);
        target(l, f, at, 0);
    } else {
        uint32_t at = lower_emit(l, when_null ? H_BR_NONNULL : H_BR_NULL, 2);
        lower_operand(l, at, 1, slot);
        branch_around(l, f, at);
    }
    if (when_null)
        lower_push(l, (enum where)where, BC_KIND_REF, bits);
    else
        lower_pop(l);
    lower_fuel_segment(l);
}

/* ---- the rest ---- */

/* The reference stays on both ways. */
static void lower_br_on_cast(struct lower *l, const struct bc_instr *in) {
    bool when = in->op == BC_BR_ON_CAST;
    lower_want_slot(l, 0);
    struct frame *f = lower_frame_at(l, in->index);
    uint32_t n = label_arity(l, f);
    struct value ref = *lower_top(l, 0);
    int32_t slot = lower_slot_of(l, &ref);
    lower_args(l, n);
    if (in_place(l, f, n)) {
        target(l, f, lower_cast_branch(l, in, slot, when, f->op == BC_LOOP), 0);
    } else {
        branch_around(l, f, lower_cast_branch(l, in, slot, !when, false));
    }
    lower_fuel_segment(l);
}

void lower_enter_function(struct lower *l) {
    lower_push_frame(l, BC_CALL, BC_BLOCK_EMPTY, NOTHING);
    if (!l->failed) l->frames[0].base_slot = l->next_slot;
}

static void lower_br_if(struct lower *l, const struct bc_instr *in) {
    struct condition c = lower_take_condition(l);
    branch_if(l, in->index, &c, label_arity(l, lower_frame_at(l, in->index)));
    lower_fuel_segment(l);
}

void lower_control(struct lower *l, const struct bc_instr *in) {
    switch (in->op) {
    case BC_BLOCK:
    case BC_LOOP:
    case BC_IF: open_block(l, in); break;
    case BC_ELSE: lower_else(l); break;
    case BC_END: lower_end(l); break;
    case BC_BR:
        lower_emit_branch(l, lower_frame_at(l, in->index));
        l->dead = true;
        break;
    case BC_BR_IF: lower_br_if(l, in); break;
    case BC_BR_TABLE:
        lower_br_table(l, in);
        l->dead = true;
        break;
    case BC_RETURN:
        emit_return(l);
        l->dead = true;
        break;
    case BC_CALL: lower_call(l, in); break;
    case BC_CALL_INDIRECT: lower_call_indirect(l, in); break;
    case BC_CALL_REF: lower_call_ref(l, in); break;
    case BC_RETURN_CALL:
    case BC_RETURN_CALL_INDIRECT:
    case BC_RETURN_CALL_REF: lower_tail_call(l, in); break;
    case BC_BR_ON_NULL:
    case BC_BR_ON_NON_NULL: lower_br_on_null(l, in); break;
    case BC_UNREACHABLE: {
        uint32_t at = lower_emit_trapping(l, H_TRAP, 2);
        lower_operand(l, at, 0, RT_TRAP_UNREACHABLE);
        l->dead = true;
        break;
    }
    case BC_TRY: lower_try(l, in); break;
    case BC_TRY_TABLE: lower_try_table(l, in); break;
    case BC_CATCH:
    case BC_CATCH_ALL: lower_catch(l, in); break;
    case BC_DELEGATE: lower_delegate(l, in); break;
    case BC_THROW: lower_throw(l, in); break;
    case BC_THROW_REF:
    case BC_RETHROW: lower_throw_ref(l, in); break;
    case BC_BR_ON_CAST:
    case BC_BR_ON_CAST_FAIL: lower_br_on_cast(l, in); break;
    default: break; /* none: each control row is above */
    }
}

void lower_dead(struct lower *l, const struct bc_instr *in) {
    switch (in->op) {
    case BC_BLOCK:
    case BC_LOOP:
    case BC_IF:
    case BC_TRY:
    case BC_TRY_TABLE: l->dead_depth++; break;
    case BC_DELEGATE:
        if (l->dead_depth)
            l->dead_depth--;
        else
            lower_delegate(l, in);
        break;
    case BC_CATCH:
    case BC_CATCH_ALL:
        if (!l->dead_depth) lower_catch(l, in);
        break;
    case BC_END:
        if (l->dead_depth)
            l->dead_depth--;
        else
            lower_end(l);
        break;
    case BC_ELSE:
        if (!l->dead_depth) lower_else(l);
        break;
    default: break;
    }
}
