/* bytecode/validate.c: a whole module: bodies, constant expressions, entities, segments, exports. Source:
 * core spec, "Validation". Instructions are driven by the opcode table; the SPECIAL rows go to
 * validate_{control,object,special}.c. */
#include "bytecode/validate.h"
#include "bytecode/stress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- table-driven instructions ---- */

/* The memory an instruction with an `a` in its signature addresses; memory.init names it second. */
static const struct bc_memory *memory_of(struct validator *v) { return bc_v_memory(v, v->in.index); }

static bool check_memarg(struct validator *v, const struct bc_op_info *info, const struct bc_memory *memory) {
    bool atomic = info->prefix == 0xFE;
    if (v->in.align >= 32 || 1u << v->in.align > info->access)
        bc_v_fail(v, "alignment must not be larger than natural");
    else if (atomic && 1u << v->in.align != info->access)
        bc_v_fail(v, "atomic alignment must be natural");
    else if (!memory->limits.is64 && v->in.memarg_offset > UINT32_MAX)
        bc_v_fail(v, "offset out of range");
    return !v->r.status;
}

static void check_lane(struct validator *v, unsigned n_lanes) {
    if (v->in.lane >= n_lanes) bc_v_fail(v, "invalid lane index %u", v->in.lane);
}

/* Immediates whose range depends on more than their encoding. */
static bool check_immediates(struct validator *v, const struct bc_op_info *info,
                             const struct bc_memory *memory) {
    switch ((enum bc_imm)info->immediates) {
    case BC_IMM_MEMARG: return check_memarg(v, info, memory);
    case BC_IMM_MEMARG_LANE:
        if (check_memarg(v, info, memory)) check_lane(v, 16u / info->access);
        break;
    case BC_IMM_LANE: /* the shape's lanes are in the keyword: i8x16.extract_lane_s */
        check_lane(v, (unsigned)strtoul(strchr(info->text, 'x') + 1, NULL, 10));
        break;
    case BC_IMM_SHUFFLE:
        for (int i = 0; i < 16; i++)
            if (v->in.v128[i] >= 32) {
                bc_v_fail(v, "invalid lane index %u", v->in.v128[i]);
                break;
            }
        break;
    default: break;
    }
    return !v->r.status;
}

static bc_valtype type_of_letter(char letter, const struct bc_memory *memory) {
    static const bc_valtype types[] = {
        ['i'] = BC_I32, ['I'] = BC_I64, ['f'] = BC_F32, ['F'] = BC_F64, ['v'] = BC_V128};
    return letter == 'a' ? bc_v_address(&memory->limits) : types[(unsigned char)letter];
}

static void by_signature(struct validator *v, const struct bc_op_info *info) {
    const char *colon = info->signature;
    const struct bc_memory *memory = NULL;
    while (*colon != ':') colon++; /* a few bytes: less than a call */
    if (info->immediates == BC_IMM_MEMARG || info->immediates == BC_IMM_MEMARG_LANE ||
        info->immediates == BC_IMM_MEMORY) {
        memory = memory_of(v);
        if (!memory) return;
    }
    if (!check_immediates(v, info, memory)) return;
    for (const char *p = colon; p-- > info->signature;) bc_v_pop(v, type_of_letter(*p, memory));
    for (const char *p = colon + 1; *p; p++) bc_v_push(v, type_of_letter(*p, memory));
}

void bc_v_instruction(struct validator *v, bc_features features) {
    const struct bc_op_info *info = &bc_op_infos[v->in.op];
    if (!(features >> info->feature & 1))
        bc_reader_need(&v->r, (enum bc_feature)info->feature, v->in.offset, info->text);
    else if (v->in.op == BC_LOCAL_GET || v->in.op == BC_LOCAL_SET || v->in.op == BC_LOCAL_TEE)
        bc_v_special(v);
    else if (info->immediates == BC_IMM_MEMARG || (info->signature && v->in.op != BC_MEMORY_INIT &&
                                                   v->in.op != BC_DATA_DROP && v->in.op != BC_ELEM_DROP))
        by_signature(v, info);
    else
        bc_v_control(v);
}

/* ---- constant expressions ---- */

static bool is_constant(const struct validator *v, bc_features features) {
    switch (v->in.op) {
    case BC_I32_CONST:
    case BC_I64_CONST:
    case BC_F32_CONST:
    case BC_F64_CONST:
    case BC_V128_CONST:
    case BC_REF_NULL:
    case BC_REF_FUNC:
    case BC_END:
    case BC_STRUCT_NEW:
    case BC_STRUCT_NEW_DEFAULT:
    case BC_ARRAY_NEW:
    case BC_ARRAY_NEW_DEFAULT:
    case BC_ARRAY_NEW_FIXED:
    case BC_REF_I31:
    case BC_ANY_CONVERT_EXTERN:
    case BC_EXTERN_CONVERT_ANY: return true;
    case BC_GLOBAL_GET: return v->in.index >= v->n_visible_globals || !v->m->globals[v->in.index].mutable;
    case BC_I32_ADD:
    case BC_I32_SUB:
    case BC_I32_MUL:
    case BC_I64_ADD:
    case BC_I64_SUB:
    case BC_I64_MUL: return features >> BC_FEATURE_EXTENDED_CONST & 1;
    default: return false;
    }
}

/* `expr` is constant and leaves one value of `type`; it sees the globals below n_globals. */
static void constant(struct validator *v, struct bc_range expr, bc_valtype type, uint32_t n_globals,
                     bc_features features) {
    if (v->r.status) return;
    v->func = NULL;
    v->n_visible_globals = n_globals;
    v->n_controls = 0;
    v->n_stack = 0;
    v->n_undo = 0;
    v->r.at = expr.offset;
    v->r.end = expr.offset + expr.size;
    bc_v_enter(v, BC_BLOCK, type);
    while (!bc_reader_stopped(&v->r) && v->n_controls) {
        if (!bc_reader_instr(&v->r, &v->in)) return;
        if (!is_constant(v, features))
            bc_v_fail(v, "constant expression required");
        else
            bc_v_instruction(v, features);
    }
}

/* ---- entities ---- */

static void at_offset(struct validator *v, uint32_t offset) { v->in.offset = offset; }

/* `bound`: the most pages or elements that an address of the type reaches. */
static void check_limits(struct validator *v, const struct bc_limits *l, uint64_t bound, const char *what) {
    if (l->min > bound || (l->has_max && l->max > bound))
        bc_v_fail(v, "%s", what);
    else if (l->has_max && l->max < l->min)
        bc_v_fail(v, "size minimum must not be greater than maximum");
}

static void check_sizes(struct validator *v) {
    for (uint32_t i = 0; i < v->m->n_memories && !v->r.status; i++) {
        const struct bc_limits *l = &v->m->memories[i].limits;
        at_offset(v, v->m->memories[i].at);
        unsigned address_bits = l->is64 ? 64 : 32, log2 = l->page_size_log2;
        if (log2 && log2 != 16) {
            bc_v_fail(v, "invalid custom page size");
            return;
        }
        /* with pages of a byte, the size itself has to be an address */
        uint64_t pages = address_bits - log2 >= 64 ? UINT64_MAX : UINT64_C(1) << (address_bits - log2);
        if (!log2 && pages != UINT64_MAX) pages--;
        char text[80];
        snprintf(text, sizeof text, "memory size must be at most %llu pages", (unsigned long long)pages);
        check_limits(v, l, pages, text);
        if (l->shared && !l->has_max) bc_v_fail(v, "shared memory must have maximum");
    }
    for (uint32_t i = 0; i < v->m->n_tables && !v->r.status; i++) {
        const struct bc_limits *l = &v->m->tables[i].limits;
        at_offset(v, v->m->tables[i].at);
        check_limits(v, l, l->is64 ? UINT64_MAX : UINT32_MAX, "table size must be at most 2^32-1");
    }
}

static void check_tags(struct validator *v) {
    for (uint32_t i = 0; i < v->m->n_tags && !v->r.status; i++) {
        at_offset(v, v->m->tags[i].at);
        if (v->m->types[v->m->tags[i].type].n_results) bc_v_fail(v, "non-empty tag result type");
    }
}

static void check_globals(struct validator *v, bc_features features) {
    for (uint32_t i = v->m->n_imported_globals; i < v->m->n_globals && !v->r.status; i++)
        constant(v, v->m->globals[i].init, v->m->globals[i].type, i, features);
}

static void check_tables(struct validator *v, bc_features features) {
    for (uint32_t i = v->m->n_imported_tables; i < v->m->n_tables && !v->r.status; i++) {
        const struct bc_table *t = &v->m->tables[i];
        at_offset(v, t->at);
        if (t->init.size)
            constant(v, t->init, t->type, v->m->n_imported_globals, features);
        else if (!bc_valtype_defaultable(t->type))
            bc_v_fail(v, "type mismatch: table %u has no initial value for its type", i);
    }
}

static void check_elem(struct validator *v, const struct bc_elem *e, bc_features features) {
    at_offset(v, e->at);
    if (e->mode == BC_SEGMENT_ACTIVE) {
        const struct bc_table *t = bc_v_table(v, e->table);
        if (!t) return;
        if (!bc_valtype_matches(v->m, e->type, t->type)) {
            bc_v_fail(v, "type mismatch: element segment does not fit table %u", e->table);
            return;
        }
        constant(v, e->offset, bc_v_address(&t->limits), v->m->n_globals, features);
    }
    at_offset(v, e->at);
    for (uint32_t i = 0; i < e->n_items && !v->r.status; i++) {
        if (e->exprs)
            constant(v, e->exprs[i], e->type, v->m->n_globals, features);
        else if (e->funcs[i] >= v->m->n_funcs)
            bc_v_fail(v, "unknown function %u", e->funcs[i]);
    }
}

static void check_data(struct validator *v, const struct bc_data *d, bc_features features) {
    at_offset(v, d->at);
    if (d->mode != BC_SEGMENT_ACTIVE) return;
    const struct bc_memory *memory = bc_v_memory(v, d->memory);
    if (memory) constant(v, d->offset, bc_v_address(&memory->limits), v->m->n_globals, features);
}

static void check_start(struct validator *v) {
    if (v->m->start == BC_NONE) return;
    at_offset(v, v->m->start_at);
    if (v->m->start >= v->m->n_funcs) {
        bc_v_fail(v, "unknown function %u", v->m->start);
        return;
    }
    const struct bc_type *t = &v->m->types[v->m->funcs[v->m->start].type];
    if (t->n_params || t->n_results) bc_v_fail(v, "start function has parameters or results");
}

/* ---- exports ---- */

static void check_export_target(struct validator *v, const struct bc_export *e) {
    static const char *const words[] = {"function", "table", "memory", "global", "tag"};
    const uint32_t counts[] = {v->m->n_funcs, v->m->n_tables, v->m->n_memories, v->m->n_globals,
                               v->m->n_tags};
    if (e->index >= counts[e->kind]) bc_v_fail(v, "unknown %s %u", words[e->kind], e->index);
}

static void check_exports(struct validator *v) {
    uint32_t n = v->m->n_exports, n_slots = 16;
    while (n_slots < 2 * n) n_slots *= 2;
    uint32_t *slots = atoll_new(v->alloc, n_slots, sizeof *slots);
    if (!slots) {
        bc_v_nomem(v);
        return;
    }
    for (uint32_t i = 0; i < n && !bc_reader_stopped(&v->r); i++) {
        const struct bc_export *e = &v->m->exports[i];
        at_offset(v, e->offset);
        check_export_target(v, e);
        uint64_t h = bc_hash_bytes(bc_hash_seed(slots), e->name.bytes, e->name.size);
        for (; slots[h & (n_slots - 1)]; h++) {
            const struct bc_name *other = &v->m->exports[slots[h & (n_slots - 1)] - 1].name;
            if (other->size == e->name.size && !memcmp(other->bytes, e->name.bytes, e->name.size))
                bc_v_fail(v, "duplicate export name \"%.*s\"", (int)(e->name.size < 100 ? e->name.size : 100),
                          e->name.bytes);
        }
        slots[h & (n_slots - 1)] = i + 1;
    }
    atoll_free(v->alloc, slots, n_slots * sizeof *slots);
}

enum atoll_status bc_module_validate(struct bc_module *m, const struct bc_config *config,
                                     struct atoll_error *err) {
    bc_features features = bc_config_features(config);
    struct validator v = {
        .m = m,
        .alloc = m->arena.alloc,
        .r = {.bytes = m->bytes,
              .n_types = m->n_types,
              .features = features,
              .err = err,
              .stop = bc_config_stop(config)},
    };
    check_sizes(&v);
    check_tags(&v);
    check_tables(&v, features);
    check_globals(&v, features);
    check_exports(&v);
    check_start(&v);
    for (uint32_t i = 0; i < m->n_elems && !v.r.status; i++) check_elem(&v, &m->elems[i], features);
    if (!v.r.status && !(config && config->bodies_are_valid)) v.r.status = bc_v_bodies(m, config, err);
    for (uint32_t i = 0; i < m->n_datas && !v.r.status; i++) check_data(&v, &m->datas[i], features);
    bc_v_fini(&v);
    m->validated = !v.r.status;
    return v.r.status;
}
