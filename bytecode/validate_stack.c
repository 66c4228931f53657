/* bytecode/validate_stack.c: the validator's operand and control stacks. */
#include "bytecode/validate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void bc_v_fail(struct validator *v, const char *format, ...) {
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bc_reader_fail(&v->r, ATOLL_E_INVALID, v->in.offset, "%s", text);
}

void bc_v_nomem(struct validator *v) { bc_reader_fail(&v->r, ATOLL_E_NOMEM, BC_NO_OFFSET, "out of memory"); }

void bc_v_mismatch(struct validator *v, bc_valtype expected, bc_valtype found) {
    char a[48], b[48];
    bc_v_fail(v, "type mismatch: %s expects %s, found %s", bc_op_infos[v->in.op].text,
              bc_valtype_text(expected, a, sizeof a), bc_valtype_text(found, b, sizeof b));
}

/* Makes room for n operands more. A thousand come with a call of two bytes: without a limit here a small
 * module would take all memory, in the validator and again where it is made code. */
bool bc_v_reserve(struct validator *v, uint32_t n) {
    void *p = v->stack;
    if (v->n_stack + n > BC_MAX_OPERANDS)
        bc_reader_fail(&v->r, ATOLL_E_LIMIT, v->in.offset,
                       "too many operands on the stack: %zu, the limit is %u", v->n_stack + n,
                       BC_MAX_OPERANDS);
    else if (atoll_grow(v->alloc, &p, &v->stack_capacity, v->n_stack + n, sizeof *v->stack))
        bc_v_nomem(v);
    v->stack = p;
    v->stack_room = v->stack_capacity < BC_MAX_OPERANDS ? v->stack_capacity : BC_MAX_OPERANDS;
    return !v->r.status;
}

void bc_v_push_slow(struct validator *v, bc_valtype type) {
    if (bc_v_reserve(v, 1)) v->stack[v->n_stack++] = type;
}

bc_valtype bc_v_pop_empty(struct validator *v, bc_valtype expected) {
    if (!bc_v_top(v)->unreachable) {
        char text[48];
        if (expected == BC_BOTTOM)
            bc_v_fail(v, "type mismatch: %s expects a value, found none", bc_op_infos[v->in.op].text);
        else
            bc_v_fail(v, "type mismatch: %s expects %s, found nothing", bc_op_infos[v->in.op].text,
                      bc_valtype_text(expected, text, sizeof text));
    }
    return BC_BOTTOM;
}

/* ---- vectors of types: a few bytes of an instruction stand for a thousand operands, so they are compared
 * and copied as memory where they are equal, and one by one only where subtypes come in or something is wrong
 * ---- */

void bc_v_push_many(struct validator *v, const bc_valtype *types, uint32_t n) {
    if (!n || !bc_v_reserve(v, n)) return;
    memcpy(v->stack + v->n_stack, types, n * sizeof *types);
    v->n_stack += n;
}

/* bc_valtype_matches, which may climb many supertypes, once for each pair that keeps coming. */
static bool matches(struct validator *v, bc_valtype sub, bc_valtype super) {
    struct matched *m = &v->matched[(sub * 31 + super) / 8 % BC_V_MATCHED];
    if (sub == super || (m->sub == sub && m->super == super)) return true;
    if (!bc_valtype_matches(v->m, sub, super)) return false;
    *m = (struct matched){sub, super};
    return true;
}

bool bc_v_all_match(struct validator *v, const bc_valtype *subs, const bc_valtype *supers, uint32_t n) {
    if (!n || memcmp(subs, supers, n * sizeof *subs) == 0) return true;
    for (uint32_t i = 0; i < n; i++)
        if (!matches(v, subs[i], supers[i])) return false;
    return true;
}

void bc_v_pop_many(struct validator *v, const bc_valtype *types, uint32_t n) {
    const struct control *c = bc_v_top(v);
    size_t there = v->n_stack - c->height;
    if (n > there && c->unreachable) { /* which hides the lower ones */
        types += n - there;
        n = (uint32_t)there;
    }
    if (!n) return;
    if (n <= there && bc_v_all_match(v, v->stack + v->n_stack - n, types, n))
        v->n_stack -= n;
    else /* says what is wrong */
        while (n && !v->r.status) bc_v_pop(v, types[--n]);
}

void bc_v_check_top(struct validator *v, const bc_valtype *types, uint32_t n) {
    size_t n_stack = v->n_stack;
    bc_v_pop_many(v, types, n); /* writes nothing: what was popped is still there */
    v->n_stack = n_stack;
}

void bc_v_unreachable(struct validator *v) {
    struct control *c = bc_v_top(v);
    v->n_stack = c->height;
    c->unreachable = true;
}

void bc_v_enter(struct validator *v, enum bc_op op, uint32_t block_type) {
    void *p = v->controls;
    if (atoll_grow(v->alloc, &p, &v->controls_capacity, v->n_controls + 1, sizeof *v->controls)) {
        bc_v_nomem(v);
        return;
    }
    v->controls = p;
    v->controls[v->n_controls++] = (struct control){.op = op,
                                                    .block_type = block_type,
                                                    .height = (uint32_t)v->n_stack,
                                                    .init_height = (uint32_t)v->n_undo,
                                                    .stamp = BC_NONE};
}

struct control *bc_v_label(struct validator *v, uint32_t depth) {
    if (depth < v->n_controls) return &v->controls[v->n_controls - 1 - depth];
    bc_v_fail(v, "unknown label %u", depth);
    return NULL;
}

const bc_valtype *bc_v_label_types(struct validator *v, const struct control *c, struct bc_block_sig *scratch,
                                   uint32_t *out_n) {
    bc_block_signature(v->m, c->block_type, scratch);
    bool loop = c->op == BC_LOOP;
    *out_n = loop ? scratch->n_params : scratch->n_results;
    return loop ? scratch->params : scratch->results;
}

bc_valtype bc_v_local_type(struct validator *v, uint32_t index) {
    return index < v->n_flat ? v->locals[index] : bc_run_type(v->func, index - v->n_params);
}

const struct bc_type *bc_v_type(struct validator *v, uint32_t index, enum bc_type_form form) {
    static const char *const forms[] = {"function", "structure", "array"};
    if (index >= v->m->n_types) {
        bc_v_fail(v, "unknown type %u", index);
        return NULL;
    }
    const struct bc_type *t = &v->m->types[index];
    if (t->form == form) return t;
    bc_v_fail(v, "type mismatch: type %u is not a%s %s type", index, form == BC_TYPE_ARRAY ? "n" : "",
              forms[form]);
    return NULL;
}

bc_valtype bc_v_address(const struct bc_limits *limits) { return limits->is64 ? BC_I64 : BC_I32; }

const struct bc_memory *bc_v_memory(struct validator *v, uint32_t index) {
    if (index < v->m->n_memories) return &v->m->memories[index];
    bc_v_fail(v, "unknown memory %u", index);
    return NULL;
}

const struct bc_table *bc_v_table(struct validator *v, uint32_t index) {
    if (index < v->m->n_tables) return &v->m->tables[index];
    bc_v_fail(v, "unknown table %u", index);
    return NULL;
}
