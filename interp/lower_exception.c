/* interp/lower_exception.c: try, catch, throw (lower.h). */
#include "interp/lower.h"

/* A clause whose values go to the slots from `slot` on; appended to the list [*first, *last]. */
static uint32_t add_clause(struct lower *l, uint32_t *first, uint32_t *last, uint32_t tag, int32_t slot) {
    struct interp_code *code = l->code;
    void *p = code->clauses;
    if (code->n_clauses >= FIXUP_CLAUSE - 1 ||
        atoll_grow(l->alloc, &p, &code->cap_clauses, (size_t)code->n_clauses + 1, sizeof *code->clauses)) {
        l->failed = true;
        return 0;
    }
    code->clauses = p;
    uint32_t i = code->n_clauses++;
    code->clauses[i] = (struct interp_clause){
        .tag = tag, .target = code->n_words, .slot = slot, .ref_slot = INTERP_NO_SLOT, .next = INTERP_NONE};
    if (*last != NOTHING)
        code->clauses[*last].next = i;
    else
        *first = i;
    *last = i;
    return i;
}

/* One `catch` of a try_table: the label's values come straight from the exception. */
static void table_clause(struct lower *l, struct bc_catch c, uint32_t *first, uint32_t *last) {
    struct frame *f = lower_frame_at(l, c.label);
    int32_t slot = f->op == BC_CALL ? lower_result_slot(l) : f->base_slot;
    bool tagged = c.kind < 2, with_ref = c.kind & 1;
    uint32_t i = add_clause(l, first, last, tagged ? c.tag : INTERP_NONE, slot);
    if (l->failed) return;
    uint32_t n = tagged ? l->bc->types[l->bc->tags[c.tag].type].param_slots : 0;
    if (with_ref) l->code->clauses[i].ref_slot = slot + (int32_t)n;
    if (slot >= 0 && slot + (int32_t)n + with_ref > l->max_slot) l->max_slot = slot + (int32_t)n + with_ref;
    if (f->op == BC_LOOP) {
        l->code->clauses[i].target = f->start;
    } else {
        lower_clause_to_label(l, &f->fixups, i);
        f->merged = true;
    }
}

void lower_try_table(struct lower *l, const struct bc_instr *in) {
    struct bc_block_sig sig;
    uint32_t at = in->at, first = NOTHING, last = NOTHING;
    bc_block_signature(l->bc, in->block_type, &sig);
    lower_flush(l, sig.n_params);
    for (uint32_t i = 0; i < in->count && !l->failed; i++)
        table_clause(l, bc_read_catch(l->bc, &at), &first, &last);
    lower_push_frame(l, BC_TRY_TABLE, in->block_type, NOTHING);
    lower_frame_at(l, 0)->first_clause = first;
}

/* The frame of a legacy try has a slot of its own below its operands, where a caught exception waits for a
 * rethrow. The block's results begin there, so that no gap is left. */
void lower_try(struct lower *l, const struct bc_instr *in) {
    struct bc_block_sig sig;
    bc_block_signature(l->bc, in->block_type, &sig);
    lower_flush(l, sig.n_params);
    lower_push_frame(l, BC_TRY, in->block_type, NOTHING);
    if (l->failed) return;
    int32_t n_slots = l->next_slot - lower_frame_at(l, 0)->base_slot;
    if (n_slots) {
        uint32_t at = lower_emit(l, H_MOV_RANGE, 3);
        lower_operand(l, at, 0, lower_frame_at(l, 0)->base_slot + 1);
        lower_operand(l, at, 1, lower_frame_at(l, 0)->base_slot);
        lower_operand(l, at, 2, n_slots);
        for (uint32_t i = 0; i < sig.n_params; i++) lower_top(l, i)->slot++;
        lower_forget(l);
    }
    if (++l->next_slot > l->max_slot) l->max_slot = l->next_slot;
}

/* The words from the frame's start to here are its body. */
void lower_close_try(struct lower *l, struct frame *f, uint32_t delegate) {
    struct interp_code *code = l->code;
    void *p = code->tries;
    if (f->closed || l->failed) return;
    f->closed = true;
    if (atoll_grow(l->alloc, &p, &code->cap_tries, (size_t)code->n_tries + 1, sizeof *code->tries)) {
        l->failed = true;
        return;
    }
    code->tries = p;
    code->tries[code->n_tries++] = (struct interp_try){.start = f->start,
                                                       .end = code->n_words,
                                                       .first_clause = f->first_clause,
                                                       .level = (uint32_t)(f - l->frames),
                                                       .delegate = delegate};
}

void lower_catch(struct lower *l, const struct bc_instr *in) {
    struct frame *f = lower_frame_at(l, 0);
    bool tagged = in->op == BC_CATCH, first = f->first_clause == NOTHING;
    if (!l->dead) lower_emit_branch(l, f);
    uint32_t i =
        add_clause(l, &f->first_clause, &f->last_clause, tagged ? in->index : INTERP_NONE, f->base_slot + 1);
    if (first) lower_close_try(l, f, INTERP_NONE);
    if (l->failed) return;
    l->code->clauses[i].target = l->code->n_words;
    lower_forget(l);
    if (l->n_stack > f->height) lower_drop(l, l->n_stack - f->height);
    l->next_slot = f->base_slot + 1;
    const struct bc_type *type = tagged ? &l->bc->types[l->bc->tags[in->index].type] : NULL;
    if (type) lower_push_types(l, type->n_params, type->params);
    l->n_flushed = l->n_stack;
    l->dead = false;
    lower_fuel_segment(l);
}

void lower_throw(struct lower *l, const struct bc_instr *in) {
    int32_t first = lower_args(l, l->bc->types[l->bc->tags[in->index].type].n_params);
    uint32_t at = lower_emit_trapping(l, H_THROW, 2);
    lower_operand(l, at, 0, first);
    lower_operand(l, at, 1, (int32_t)in->index);
    l->dead = true;
}

void lower_throw_ref(struct lower *l, const struct bc_instr *in) {
    int32_t slot;
    if (in->op == BC_RETHROW) {
        /* now the exception has to be kept */
        const struct frame *f = lower_frame_at(l, in->index);
        slot = f->base_slot;
        for (uint32_t i = f->first_clause; i != NOTHING && !l->failed; i = l->code->clauses[i].next)
            l->code->clauses[i].ref_slot = slot;
    } else {
        lower_want_slot(l, 0);
        struct value ref = lower_pop(l);
        slot = lower_slot_of(l, &ref);
    }
    uint32_t at = lower_emit_trapping(l, H_THROW_REF, 2);
    lower_operand(l, at, 0, slot);
    l->dead = true;
}

/* An exception of the body goes on as if it were thrown at the label. */
void lower_delegate(struct lower *l, const struct bc_instr *in) {
    struct frame *f = lower_frame_at(l, 0);
    lower_close_try(l, f, (uint32_t)(f - l->frames) - 1 - in->index);
    lower_end(l);
}
