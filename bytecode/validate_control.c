/* bytecode/validate_control.c: blocks, branches, calls and exceptions. Source: core spec, "Validation /
 * Instructions / Control Instructions"; legacy exceptions: the exception-handling proposal's legacy document.
 */
#include "bytecode/validate.h"

/* Forgets which locals were initialised since the frame began. */
static void roll_back_init(struct validator *v, uint32_t height) {
    while (v->n_undo > height) {
        uint32_t local = v->undo[--v->n_undo];
        v->is_init[local / 64] &= ~(UINT64_C(1) << local % 64);
    }
}

static void begin(struct validator *v) {
    struct bc_block_sig sig;
    if (v->in.op == BC_IF) bc_v_pop(v, BC_I32);
    if (v->in.block_type & BC_BLOCK_TYPE_INDEX && v->in.block_type != BC_BLOCK_EMPTY &&
        !bc_v_type(v, v->in.block_type & ~BC_BLOCK_TYPE_INDEX, BC_TYPE_FUNC))
        return;
    bc_block_signature(v->m, v->in.block_type, &sig);
    bc_v_pop_many(v, sig.params, sig.n_params);
    if (v->r.status) return;
    bc_v_enter(v, v->in.op, v->in.block_type);
    if (!v->r.status) bc_v_push_many(v, sig.params, sig.n_params);
}

/* The results of the innermost frame are there and nothing else; they are popped. */
static void finish(struct validator *v, struct bc_block_sig *sig) {
    struct control *c = bc_v_top(v);
    bc_block_signature(v->m, c->block_type, sig);
    bc_v_pop_many(v, sig->results, sig->n_results);
    if (!v->r.status && v->n_stack != c->height)
        bc_v_fail(v, "type mismatch: values remaining on stack at end of block");
    roll_back_init(v, c->init_height);
}

static void else_(struct validator *v) {
    struct bc_block_sig sig;
    if (bc_v_top(v)->op != BC_IF) {
        bc_v_fail(v, "else without if");
        return;
    }
    finish(v, &sig);
    struct control *c = bc_v_top(v);
    c->op = BC_ELSE;
    c->unreachable = false;
    if (!v->r.status) bc_v_push_many(v, sig.params, sig.n_params);
}

static bool same_types(struct validator *v, const struct bc_block_sig *sig) {
    return sig->n_params == sig->n_results && bc_v_all_match(v, sig->params, sig->results, sig->n_params);
}

static void end(struct validator *v) {
    struct bc_block_sig sig;
    finish(v, &sig);
    if (v->r.status) return;
    if (bc_v_top(v)->op == BC_IF && !same_types(v, &sig)) {
        bc_v_fail(v, "type mismatch: if without else changes the stack");
        return;
    }
    v->n_controls--;
    if (v->n_controls) bc_v_push_many(v, sig.results, sig.n_results);
}

static void branch(struct validator *v) {
    struct bc_block_sig sig;
    uint32_t n;
    if (v->in.op == BC_BR_IF) bc_v_pop(v, BC_I32);
    const struct control *c = bc_v_label(v, v->in.index);
    if (!c) return;
    const bc_valtype *types = bc_v_label_types(v, c, &sig, &n);
    bc_v_pop_many(v, types, n);
    if (v->in.op == BC_BR)
        bc_v_unreachable(v);
    else
        bc_v_push_many(v, types, n);
}

static void br_table(struct validator *v) {
    struct bc_block_sig sig;
    uint32_t arity, n, at = v->in.at;
    bc_v_pop(v, BC_I32);
    struct control *c = bc_v_label(v, v->in.index);
    if (!c) return;
    bc_v_label_types(v, c, &sig, &arity);
    for (uint32_t i = 0; i <= v->in.count && !v->r.status; i++) {
        uint32_t depth = i < v->in.count ? bc_read_u32(v->m, &at) : v->in.index;
        if (!(c = bc_v_label(v, depth))) return;
        if (c->stamp == v->in.offset) continue; /* checked: keeps repeated labels linear */
        c->stamp = v->in.offset;
        const bc_valtype *types = bc_v_label_types(v, c, &sig, &n);
        if (n != arity)
            bc_v_fail(v, "type mismatch: br_table labels take %u and %u values", arity, n);
        else
            bc_v_check_top(v, types, n);
    }
    bc_v_unreachable(v);
}

static void return_values(struct validator *v) {
    struct bc_block_sig sig;
    bc_block_signature(v->m, v->controls[0].block_type, &sig);
    bc_v_pop_many(v, sig.results, sig.n_results);
    bc_v_unreachable(v);
}

/* Behind the callee's identity: arguments, then results or, for a tail call, the caller's results. */
static void call_type(struct validator *v, const struct bc_type *t, bool tail) {
    if (!t) return;
    bc_v_pop_many(v, t->params, t->n_params);
    if (v->r.status) return;
    if (!tail) {
        bc_v_push_many(v, t->results, t->n_results);
        return;
    }
    struct bc_block_sig sig;
    bc_block_signature(v->m, v->controls[0].block_type, &sig);
    if (t->n_results != sig.n_results || !bc_v_all_match(v, t->results, sig.results, t->n_results))
        bc_v_fail(v, "type mismatch: tail call's results are not the function's");
    bc_v_unreachable(v);
}

static void call_direct(struct validator *v) {
    if (v->in.index >= v->m->n_funcs)
        bc_v_fail(v, "unknown function %u", v->in.index);
    else
        call_type(v, &v->m->types[v->m->funcs[v->in.index].type], v->in.op == BC_RETURN_CALL);
}

static void call_indirect(struct validator *v) {
    const struct bc_table *t = bc_v_table(v, v->in.index2);
    if (!t) return;
    if (!bc_valtype_matches(v->m, t->type, BC_FUNCREF)) {
        bc_v_fail(v, "type mismatch: table %u does not hold functions", v->in.index2);
        return;
    }
    bc_v_pop(v, bc_v_address(&t->limits));
    call_type(v, bc_v_type(v, v->in.index, BC_TYPE_FUNC), v->in.op == BC_RETURN_CALL_INDIRECT);
}

static void call_ref(struct validator *v) {
    const struct bc_type *t = bc_v_type(v, v->in.index, BC_TYPE_FUNC);
    if (!t) return;
    bc_v_pop(v, bc_ref(true, v->in.index));
    call_type(v, t, v->in.op == BC_RETURN_CALL_REF);
}

/* ---- exceptions ---- */

static const struct bc_type *tag_type(struct validator *v, uint32_t index) {
    if (index < v->m->n_tags) return &v->m->types[v->m->tags[index].type];
    bc_v_fail(v, "unknown tag %u", index);
    return NULL;
}

static void throw_(struct validator *v) {
    const struct bc_type *t = tag_type(v, v->in.index);
    if (!t) return;
    bc_v_pop_many(v, t->params, t->n_params);
    bc_v_unreachable(v);
}

/* A catch clause hands the tag's values, and for the _ref kinds the exception, to its label. */
static void catch_clause(struct validator *v, struct bc_catch clause) {
    struct bc_block_sig sig;
    uint32_t n, given = 0;
    const struct bc_type *t = NULL;
    if (clause.kind < 2 && !(t = tag_type(v, clause.tag))) return;
    const struct control *c = bc_v_label(v, clause.label);
    if (!c) return;
    const bc_valtype *types = bc_v_label_types(v, c, &sig, &n);
    uint32_t n_tag = t ? t->n_params : 0;
    given = n_tag + (clause.kind & 1);
    bool fits = given == n && (!n_tag || bc_v_all_match(v, t->params, types, n_tag));
    if (fits && clause.kind & 1)
        fits = bc_valtype_matches(v->m, bc_ref_abstract(false, BC_HEAP_EXN), types[n - 1]);
    if (!fits) bc_v_fail(v, "type mismatch: catch clause and its label");
}

static void try_table(struct validator *v) {
    uint32_t at = v->in.at;
    for (uint32_t i = 0; i < v->in.count && !v->r.status; i++) catch_clause(v, bc_read_catch(v->m, &at));
    if (!v->r.status) begin(v);
}

static void legacy_catch(struct validator *v) {
    struct bc_block_sig sig;
    struct control *c = bc_v_top(v);
    if (c->op != BC_TRY && c->op != BC_CATCH) {
        bc_v_fail(v, "%s outside of a try", bc_op_infos[v->in.op].text);
        return;
    }
    finish(v, &sig);
    c->op = v->in.op;
    c->unreachable = false;
    if (v->in.op == BC_CATCH_ALL || v->r.status) return;
    const struct bc_type *t = tag_type(v, v->in.index);
    if (t) bc_v_push_many(v, t->params, t->n_params);
}

static void rethrow(struct validator *v) {
    const struct control *c = bc_v_label(v, v->in.index);
    if (!c) return;
    if (c->op != BC_CATCH && c->op != BC_CATCH_ALL) bc_v_fail(v, "invalid rethrow label");
    bc_v_unreachable(v);
}

static void delegate(struct validator *v) {
    struct bc_block_sig sig;
    if (bc_v_top(v)->op != BC_TRY || v->n_controls < 2) {
        bc_v_fail(v, "delegate outside of a try");
        return;
    }
    finish(v, &sig);
    v->n_controls--;
    if (!v->r.status && bc_v_label(v, v->in.index)) bc_v_push_many(v, sig.results, sig.n_results);
}

/* ---- reference branches ---- */

static void br_on_null(struct validator *v) {
    struct bc_block_sig sig;
    uint32_t n;
    bc_valtype ref = bc_v_pop_any(v);
    if (ref != BC_BOTTOM && !bc_valtype_is_ref(ref)) bc_v_mismatch(v, BC_FUNCREF, ref);
    const struct control *c = bc_v_label(v, v->in.index);
    if (!c) return;
    const bc_valtype *types = bc_v_label_types(v, c, &sig, &n);
    bc_v_pop_many(v, types, n);
    bc_v_push_many(v, types, n);
    bc_v_push(v, ref == BC_BOTTOM ? bc_ref_abstract(false, BC_HEAP_BOTTOM) : ref & ~(1u << 3));
}

static void br_on_non_null(struct validator *v) {
    struct bc_block_sig sig;
    uint32_t n;
    const struct control *c = bc_v_label(v, v->in.index);
    if (!c) return;
    const bc_valtype *types = bc_v_label_types(v, c, &sig, &n);
    if (!n || !bc_valtype_is_ref(types[n - 1])) {
        bc_v_fail(v, "type mismatch: label of br_on_non_null takes no reference");
        return;
    }
    bc_v_pop(v, types[n - 1] | 1u << 3);
    bc_v_pop_many(v, types, n - 1);
    bc_v_push_many(v, types, n - 1);
}

/* br_on_cast and br_on_cast_fail: which of the two types the branch takes, and which goes on. */
static void br_on_cast(struct validator *v) {
    struct bc_block_sig sig;
    uint32_t n;
    bc_valtype from = bc_ref(v->in.lane & 1, v->in.heap_type), to = bc_ref(v->in.lane >> 1, v->in.heap_type2);
    const struct control *c = bc_v_label(v, v->in.index);
    if (!c) return;
    if (!bc_valtype_matches(v->m, to, from)) {
        bc_v_mismatch(v, from, to);
        return;
    }
    /* what is left of `from` once `to` is taken out: not null when `to` accepts null */
    bc_valtype rest = bc_valtype_nullable(to) ? from & ~(1u << 3) : from;
    bc_valtype taken = v->in.op == BC_BR_ON_CAST ? to : rest;
    const bc_valtype *types = bc_v_label_types(v, c, &sig, &n);
    if (!n || !bc_valtype_matches(v->m, taken, types[n - 1])) {
        bc_v_fail(v, "type mismatch: label of %s takes another type", bc_op_infos[v->in.op].text);
        return;
    }
    bc_v_pop(v, from);
    bc_v_pop_many(v, types, n - 1);
    bc_v_push_many(v, types, n - 1);
    bc_v_push(v, v->in.op == BC_BR_ON_CAST ? rest : to);
}

void bc_v_control(struct validator *v) {
    switch (v->in.op) {
    case BC_UNREACHABLE: bc_v_unreachable(v); break;
    case BC_BLOCK:
    case BC_LOOP:
    case BC_IF:
    case BC_TRY: begin(v); break;
    case BC_ELSE: else_(v); break;
    case BC_END: end(v); break;
    case BC_BR:
    case BC_BR_IF: branch(v); break;
    case BC_BR_TABLE: br_table(v); break;
    case BC_RETURN: return_values(v); break;
    case BC_CALL:
    case BC_RETURN_CALL: call_direct(v); break;
    case BC_CALL_INDIRECT:
    case BC_RETURN_CALL_INDIRECT: call_indirect(v); break;
    case BC_CALL_REF:
    case BC_RETURN_CALL_REF: call_ref(v); break;
    case BC_THROW: throw_(v); break;
    case BC_THROW_REF:
        bc_v_pop(v, bc_ref_abstract(true, BC_HEAP_EXN));
        bc_v_unreachable(v);
        break;
    case BC_TRY_TABLE: try_table(v); break;
    case BC_CATCH:
    case BC_CATCH_ALL: legacy_catch(v); break;
    case BC_RETHROW: rethrow(v); break;
    case BC_DELEGATE: delegate(v); break;
    case BC_BR_ON_NULL: br_on_null(v); break;
    case BC_BR_ON_NON_NULL: br_on_non_null(v); break;
    case BC_BR_ON_CAST:
    case BC_BR_ON_CAST_FAIL: br_on_cast(v); break;
    default: bc_v_object(v);
    }
}
