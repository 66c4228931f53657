/* bytecode/validate_special.c: variables, parametric instructions, tables, and the bulk instructions whose
 * operands depend on more than one entity. Source: core spec, "Validation / Instructions". */
#include "bytecode/validate.h"

static bool is_numeric(bc_valtype t) { return !bc_valtype_is_ref(t); }

static void select_(struct validator *v) {
    bc_v_pop(v, BC_I32);
    bc_valtype a = bc_v_pop_any(v), b = bc_v_pop_any(v);
    if (!is_numeric(a) || !is_numeric(b) || (a != b && a != BC_BOTTOM && b != BC_BOTTOM))
        bc_v_fail(v, "type mismatch: select needs two numbers or vectors of one type");
    bc_v_push(v, a == BC_BOTTOM ? b : a);
}

static void select_t(struct validator *v) {
    if (v->in.count != 1) {
        bc_v_fail(v, "invalid result arity");
        return;
    }
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, v->in.valtype);
    bc_v_pop(v, v->in.valtype);
    bc_v_push(v, v->in.valtype);
}

/* ---- variables ---- */

static void mark_init(struct validator *v, uint32_t local) {
    uint64_t bit = UINT64_C(1) << local % 64;
    if (!v->tracks_init || v->is_init[local / 64] & bit) return;
    void *p = v->undo;
    if (atoll_grow(v->alloc, &p, &v->undo_capacity, v->n_undo + 1, sizeof *v->undo)) {
        bc_v_nomem(v);
        return;
    }
    v->undo = p;
    v->undo[v->n_undo++] = local;
    v->is_init[local / 64] |= bit;
}

static void local(struct validator *v) {
    uint32_t i = v->in.index;
    if (i >= v->n_locals) {
        bc_v_fail(v, "unknown local %u", i);
        return;
    }
    bc_valtype t = bc_v_local_type(v, i);
    if (v->in.op == BC_LOCAL_GET) {
        if (v->tracks_init && !(v->is_init[i / 64] >> i % 64 & 1)) bc_v_fail(v, "uninitialized local %u", i);
        bc_v_push(v, t);
        return;
    }
    bc_v_pop(v, t);
    mark_init(v, i);
    if (v->in.op == BC_LOCAL_TEE) bc_v_push(v, t);
}

static void global(struct validator *v) {
    uint32_t i = v->in.index;
    if (i >= v->n_visible_globals) {
        bc_v_fail(v, "unknown global %u", i);
        return;
    }
    const struct bc_global *g = &v->m->globals[i];
    if (v->in.op == BC_GLOBAL_GET) {
        bc_v_push(v, g->type);
    } else {
        if (!g->mutable) bc_v_fail(v, "immutable global %u", i);
        bc_v_pop(v, g->type);
    }
}

/* ---- tables ---- */

static void table_access(struct validator *v) {
    const struct bc_table *t = bc_v_table(v, v->in.index);
    if (!t) return;
    bc_valtype address = bc_v_address(&t->limits);
    switch (v->in.op) {
    case BC_TABLE_GET:
        bc_v_pop(v, address);
        bc_v_push(v, t->type);
        break;
    case BC_TABLE_SET:
        bc_v_pop(v, t->type);
        bc_v_pop(v, address);
        break;
    case BC_TABLE_SIZE: bc_v_push(v, address); break;
    case BC_TABLE_GROW:
        bc_v_pop(v, address);
        bc_v_pop(v, t->type);
        bc_v_push(v, address);
        break;
    default: /* TABLE_FILL */
        bc_v_pop(v, address);
        bc_v_pop(v, t->type);
        bc_v_pop(v, address);
    }
}

/* table.copy and memory.copy: the length has the narrower of the two address types. */
static void copy_operands(struct validator *v, const struct bc_limits *to, const struct bc_limits *from) {
    bc_v_pop(v, to->is64 && from->is64 ? BC_I64 : BC_I32);
    bc_v_pop(v, bc_v_address(from));
    bc_v_pop(v, bc_v_address(to));
}

static void table_copy(struct validator *v) {
    const struct bc_table *to = bc_v_table(v, v->in.index), *from = to ? bc_v_table(v, v->in.index2) : NULL;
    if (!from) return;
    if (!bc_valtype_matches(v->m, from->type, to->type)) {
        bc_v_mismatch(v, to->type, from->type);
        return;
    }
    copy_operands(v, &to->limits, &from->limits);
}

static const struct bc_elem *elem(struct validator *v, uint32_t index) {
    if (index < v->m->n_elems) return &v->m->elems[index];
    bc_v_fail(v, "unknown elem segment %u", index);
    return NULL;
}

static void table_init(struct validator *v) {
    const struct bc_table *t = bc_v_table(v, v->in.index2);
    const struct bc_elem *e = t ? elem(v, v->in.index) : NULL;
    if (!e) return;
    if (!bc_valtype_matches(v->m, e->type, t->type)) {
        bc_v_mismatch(v, t->type, e->type);
        return;
    }
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, bc_v_address(&t->limits));
}

/* ---- memories ---- */

static bool check_data(struct validator *v, uint32_t index) {
    if (!v->m->has_data_count)
        bc_reader_fail(&v->r, ATOLL_E_MALFORMED, v->in.offset, "data count section required");
    else if (index >= v->m->n_datas)
        bc_v_fail(v, "unknown data segment %u", index);
    return !v->r.status;
}

static void memory_copy(struct validator *v) {
    const struct bc_memory *to = bc_v_memory(v, v->in.index),
                           *from = to ? bc_v_memory(v, v->in.index2) : NULL;
    if (from) copy_operands(v, &to->limits, &from->limits);
}

static void memory_init(struct validator *v) {
    const struct bc_memory *memory = bc_v_memory(v, v->in.index2);
    if (!memory || !check_data(v, v->in.index)) return;
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, BC_I32);
    bc_v_pop(v, bc_v_address(&memory->limits));
}

void bc_v_special(struct validator *v) {
    switch (v->in.op) {
    case BC_DROP: bc_v_pop_any(v); break;
    case BC_SELECT: select_(v); break;
    case BC_SELECT_T: select_t(v); break;
    case BC_LOCAL_GET:
    case BC_LOCAL_SET:
    case BC_LOCAL_TEE: local(v); break;
    case BC_GLOBAL_GET:
    case BC_GLOBAL_SET: global(v); break;
    case BC_TABLE_GET:
    case BC_TABLE_SET:
    case BC_TABLE_SIZE:
    case BC_TABLE_GROW:
    case BC_TABLE_FILL: table_access(v); break;
    case BC_TABLE_COPY: table_copy(v); break;
    case BC_TABLE_INIT: table_init(v); break;
    case BC_ELEM_DROP: elem(v, v->in.index); break;
    case BC_DATA_DROP: check_data(v, v->in.index); break;
    case BC_MEMORY_COPY: memory_copy(v); break;
    case BC_MEMORY_INIT: memory_init(v); break;
    default: bc_v_fail(v, "%s cannot be validated", bc_op_infos[v->in.op].text);
    }
}
