/* bytecode/text/print.c: a module as text that assembles to the same bytes (the contract stands above "text
 * format" in bytecode.h). Source: core spec, "Text Format / Modules" and "Appendix / Custom Sections". */
#include "bytecode/text/print.h"

#include <inttypes.h>

#define BYTES_A_LINE 64

void print_nomem(struct printer *p) {
    if (!p->status) p->status = atoll_fail(p->err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

/* ---- types ---- */

static void print_storage(struct printer *p, const struct bc_field *f) {
    if (f->mutable) bc_buf_text(p->out, "(mut ");
    print_valtype(p, f->type);
    if (f->mutable) bc_buf_u8(p->out, ')');
}

static void print_fields(struct printer *p, uint32_t type) {
    const struct bc_type *t = p->m->types + type;
    struct bc_name_map map = {0};
    if (p->names) map = bc_name_groups_find(&p->names->fields, type);
    for (uint32_t i = 0; i < t->n_fields; i++) {
        const struct bc_name_entry *e = bc_name_map_find(&map, i);
        bc_buf_text(p->out, " (field ");
        if (e) {
            print_id(p->out, (struct bc_name){e->bytes, e->size});
            bc_buf_u8(p->out, ' ');
        }
        print_storage(p, &t->fields[i]);
        bc_buf_u8(p->out, ')');
    }
}

static void print_composite(struct printer *p, uint32_t index) {
    const struct bc_type *t = p->m->types + index;
    switch (t->form) {
    case BC_TYPE_FUNC:
        bc_buf_text(p->out, "(func");
        print_types(p, "param", t->params, t->n_params);
        print_types(p, "result", t->results, t->n_results);
        break;
    case BC_TYPE_STRUCT:
        bc_buf_text(p->out, "(struct");
        print_fields(p, index);
        break;
    case BC_TYPE_ARRAY:
        bc_buf_text(p->out, "(array ");
        print_storage(p, &t->fields[0]);
        break;
    }
    bc_buf_u8(p->out, ')');
}

void print_type_text(struct printer *p, uint32_t index) {
    const struct bc_type *t = p->m->types + index;
    bool sub = !t->final || t->super != BC_NONE;
    if (sub) bc_buf_text(p->out, "(sub %s", t->final ? "final " : "");
    if (t->super != BC_NONE) {
        print_index(p, BC_NAMES_TYPE, t->super);
        bc_buf_u8(p->out, ' ');
    }
    print_composite(p, index);
    if (sub) bc_buf_u8(p->out, ')');
}

static void print_type(struct printer *p, uint32_t index, size_t depth) {
    print_newline(p, depth);
    bc_buf_text(p->out, "(type");
    print_definition(p, print_name(p, BC_NAMES_TYPE, index), index);
    bc_buf_u8(p->out, ' ');
    print_type_text(p, index);
    bc_buf_u8(p->out, ')');
}

static void print_type_section(struct printer *p) {
    for (uint32_t i = 0; i < p->m->n_types && print_ok(p);) {
        bool grouped = p->m->types[i].grouped;
        uint32_t end = i + p->m->types[i].rec_count;
        if (grouped) {
            print_newline(p, 1);
            bc_buf_text(p->out, "(rec");
        }
        for (; i < end; i++) print_type(p, i, grouped ? 2 : 1);
        if (grouped) bc_buf_u8(p->out, ')');
    }
}

static void print_type_use(struct printer *p, uint32_t type) {
    bc_buf_text(p->out, " (type ");
    print_index(p, BC_NAMES_TYPE, type);
    bc_buf_u8(p->out, ')');
}

/* ---- what is defined or imported ---- */

static void print_limits(struct printer *p, const struct bc_limits *l) {
    bc_buf_text(p->out, " %s%" PRIu64, l->is64 ? "i64 " : "", l->min);
    if (l->has_max) bc_buf_text(p->out, " %" PRIu64, l->max);
}

static void print_memory_type(struct printer *p, const struct bc_limits *l) {
    print_limits(p, l);
    if (l->shared) bc_buf_text(p->out, " shared");
    if (l->page_size_log2 != 16)
        bc_buf_text(p->out, " (pagesize %" PRIu64 ")", UINT64_C(1) << l->page_size_log2);
}

static void print_table_type(struct printer *p, const struct bc_table *t) {
    print_limits(p, &t->limits);
    bc_buf_u8(p->out, ' ');
    print_valtype(p, t->type);
}

static void print_global_type(struct printer *p, const struct bc_global *g) {
    bc_buf_text(p->out, g->mutable ? " (mut " : " ");
    print_valtype(p, g->type);
    if (g->mutable) bc_buf_u8(p->out, ')');
}

static const char *const kind_words[] = {"func", "table", "memory", "global", "tag"};
static const uint8_t kind_names[] = {BC_NAMES_FUNC, BC_NAMES_TABLE, BC_NAMES_MEMORY, BC_NAMES_GLOBAL,
                                     BC_NAMES_TAG};

/* "(func $f (;0;) type" without the closing parenthesis */
static void print_entity(struct printer *p, enum bc_extern kind, uint32_t index) {
    bc_buf_text(p->out, "(%s", kind_words[kind]);
    print_definition(p, print_name(p, (enum bc_name_space)kind_names[kind], index), index);
    switch (kind) {
    case BC_EXTERN_FUNC: print_type_use(p, p->m->funcs[index].type); break;
    case BC_EXTERN_TABLE: print_table_type(p, p->m->tables + index); break;
    case BC_EXTERN_MEMORY: print_memory_type(p, &p->m->memories[index].limits); break;
    case BC_EXTERN_GLOBAL: print_global_type(p, p->m->globals + index); break;
    case BC_EXTERN_TAG: print_type_use(p, p->m->tags[index].type); break;
    }
}

static void print_imports(struct printer *p) {
    for (uint32_t i = 0; i < p->m->n_imports && print_ok(p); i++) {
        const struct bc_import *import = p->m->imports + i;
        print_newline(p, 1);
        bc_buf_text(p->out, "(import ");
        print_string(p->out, import->module.bytes, import->module.size, true);
        bc_buf_u8(p->out, ' ');
        print_string(p->out, import->name.bytes, import->name.size, true);
        bc_buf_u8(p->out, ' ');
        print_entity(p, import->kind, import->index);
        bc_buf_text(p->out, "))");
    }
}

/* ---- functions ---- */

/* Values of a signature or locals: those with a name stand alone, others share their parentheses. */
struct variables {
    struct bc_name_map names;
    const char *word;
    bool open;
    bc_valtype type;
};

static void close_variables(struct printer *p, struct variables *v) {
    if (v->open) bc_buf_u8(p->out, ')');
    v->open = false;
}

static void print_variable(struct printer *p, struct variables *v, uint32_t index, bc_valtype type) {
    const struct bc_name_entry *e = bc_name_map_find(&v->names, index);
    if (e) {
        close_variables(p, v);
        bc_buf_text(p->out, " (%s ", v->word);
        print_id(p->out, (struct bc_name){e->bytes, e->size});
        bc_buf_u8(p->out, ' ');
        print_valtype(p, type);
        bc_buf_u8(p->out, ')');
        return;
    }
    if (!v->open) bc_buf_text(p->out, " (%s", v->word);
    v->open = true;
    bc_buf_u8(p->out, ' ');
    print_valtype(p, type);
}

static void print_locals(struct printer *p, const struct bc_func *f, struct variables *v, uint32_t n_params) {
    uint32_t index = n_params;
    v->word = "local";
    if (f->n_locals) print_newline(p, 1);
    if (f->n_locals) bc_buf_u8(p->out, ' ');
    for (uint32_t run = 0; run < f->n_local_runs; run++)
        for (uint32_t i = 0; i < f->local_runs[run].count && print_ok(p); i++)
            print_variable(p, v, index++, f->local_runs[run].type);
    close_variables(p, v);
}

static void print_func(struct printer *p, uint32_t index) {
    const struct bc_func *f = p->m->funcs + index;
    const struct bc_type *t = p->m->types + f->type;
    struct variables v = {.word = "param"};
    if (p->names) v.names = bc_name_groups_find(&p->names->locals, index);
    print_newline(p, 1);
    print_entity(p, BC_EXTERN_FUNC, index);
    if (v.names.n_entries || print_repeats(t->n_params, t->n_results)) {
        for (uint32_t i = 0; i < t->n_params; i++) print_variable(p, &v, i, t->params[i]);
        close_variables(p, &v);
        print_types(p, "result", t->results, t->n_results);
    }
    print_locals(p, f, &v, t->n_params);
    p->func = index;
    print_body(p);
    bc_buf_u8(p->out, ')');
}

/* ---- the other definitions ---- */

static void print_tables(struct printer *p) {
    for (uint32_t i = p->m->n_imported_tables; i < p->m->n_tables && print_ok(p); i++) {
        print_newline(p, 1);
        print_entity(p, BC_EXTERN_TABLE, i);
        if (p->m->tables[i].init.size) print_expr(p, p->m->tables[i].init, "");
        bc_buf_u8(p->out, ')');
    }
}

static void print_plain(struct printer *p, enum bc_extern kind, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end && print_ok(p); i++) {
        print_newline(p, 1);
        print_entity(p, kind, i);
        bc_buf_u8(p->out, ')');
    }
}

static void print_globals(struct printer *p) {
    for (uint32_t i = p->m->n_imported_globals; i < p->m->n_globals && print_ok(p); i++) {
        print_newline(p, 1);
        print_entity(p, BC_EXTERN_GLOBAL, i);
        print_expr(p, p->m->globals[i].init, "");
        bc_buf_u8(p->out, ')');
    }
}

static void print_exports(struct printer *p) {
    for (uint32_t i = 0; i < p->m->n_exports && print_ok(p); i++) {
        const struct bc_export *e = p->m->exports + i;
        print_newline(p, 1);
        bc_buf_text(p->out, "(export ");
        print_string(p->out, e->name.bytes, e->name.size, true);
        bc_buf_text(p->out, " (%s ", kind_words[e->kind]);
        print_index(p, (enum bc_name_space)kind_names[e->kind], e->index);
        bc_buf_text(p->out, "))");
    }
}

/* ---- segments ---- */

static void print_elem(struct printer *p, uint32_t index) {
    const struct bc_elem *e = p->m->elems + index;
    print_newline(p, 1);
    bc_buf_text(p->out, "(elem");
    print_definition(p, print_name(p, BC_NAMES_ELEM, index), index);
    if (e->mode == BC_SEGMENT_DECLARED) bc_buf_text(p->out, " declare");
    if ((e->flags & 3) == 2) {
        bc_buf_text(p->out, " (table ");
        print_index(p, BC_NAMES_TABLE, e->table);
        bc_buf_u8(p->out, ')');
    }
    if (e->mode == BC_SEGMENT_ACTIVE) print_expr(p, e->offset, "offset");
    bc_buf_u8(p->out, ' ');
    if (e->flags & 4)
        print_valtype(p, e->type);
    else
        bc_buf_text(p->out, "func");
    for (uint32_t i = 0; i < e->n_items && print_ok(p); i++) {
        if (e->funcs) {
            bc_buf_u8(p->out, ' ');
            print_index(p, BC_NAMES_FUNC, e->funcs[i]);
        } else {
            print_expr(p, e->exprs[i], "item");
        }
    }
    bc_buf_u8(p->out, ')');
}

static void print_bytes(struct printer *p, struct bc_range range) {
    const uint8_t *bytes = p->m->bytes + range.offset;
    if (range.size <= BYTES_A_LINE) {
        bc_buf_u8(p->out, ' ');
        print_string(p->out, bytes, range.size, false);
        return;
    }
    for (uint32_t i = 0; i < range.size && print_ok(p); i += BYTES_A_LINE) {
        print_newline(p, 2);
        print_string(p->out, bytes + i, range.size - i < BYTES_A_LINE ? range.size - i : BYTES_A_LINE, false);
    }
}

static void print_data(struct printer *p, uint32_t index) {
    const struct bc_data *d = p->m->datas + index;
    print_newline(p, 1);
    bc_buf_text(p->out, "(data");
    print_definition(p, print_name(p, BC_NAMES_DATA, index), index);
    if (d->flags == 2) {
        bc_buf_text(p->out, " (memory ");
        print_index(p, BC_NAMES_MEMORY, d->memory);
        bc_buf_u8(p->out, ')');
    }
    if (d->mode == BC_SEGMENT_ACTIVE) print_expr(p, d->offset, "offset");
    print_bytes(p, d->bytes);
    bc_buf_u8(p->out, ')');
}

/* ---- custom sections ---- */

static void print_custom(struct printer *p, const struct bc_custom *c) {
    bool behind_names = p->makes_names && c > p->names->custom;
    print_newline(p, 1);
    bc_buf_text(p->out, "(@custom ");
    print_string(p->out, c->name.bytes, c->name.size, true);
    if (behind_names)
        bc_buf_text(p->out, " (after last)");
    else if (!c->after)
        bc_buf_text(p->out, " (before first)");
    else
        bc_buf_text(p->out, " (after %s)", bc_section_words[c->after]);
    print_bytes(p, c->payload);
    bc_buf_u8(p->out, ')');
}

static void print_customs(struct printer *p) {
    for (uint32_t i = 0; i < p->m->n_customs && print_ok(p); i++) {
        const struct bc_custom *c = p->m->customs + i;
        bool names = c->name.size == 4 && !memcmp(c->name.bytes, "name", 4);
        if (names && (p->o.no_names || p->makes_names)) continue;
        print_custom(p, c);
    }
}

/* ---- the module ---- */

static void print_module(struct printer *p) {
    const struct bc_module *m = p->m;
    bc_buf_text(p->out, "(module");
    if (p->names && p->names->module.size) {
        bc_buf_u8(p->out, ' ');
        print_id(p->out, p->names->module);
    }
    print_type_section(p);
    print_imports(p);
    print_plain(p, BC_EXTERN_TAG, m->n_imported_tags, m->n_tags);
    print_tables(p);
    print_plain(p, BC_EXTERN_MEMORY, m->n_imported_memories, m->n_memories);
    print_globals(p);
    print_exports(p);
    if (m->start != BC_NONE) {
        print_newline(p, 1);
        bc_buf_text(p->out, "(start ");
        print_index(p, BC_NAMES_FUNC, m->start);
        bc_buf_u8(p->out, ')');
    }
    for (uint32_t i = 0; i < m->n_elems && print_ok(p); i++) print_elem(p, i);
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs && print_ok(p); i++) print_func(p, i);
    for (uint32_t i = 0; i < m->n_datas && print_ok(p); i++) print_data(p, i);
    if (m->has_data_count && !p->uses_data) {
        print_newline(p, 1);
        bc_buf_text(p->out, "(@datacount)");
    }
    print_customs(p);
    bc_buf_text(p->out, ")\n");
}

enum atoll_status bc_text_print(const struct bc_module *m, const struct bc_print_options *options,
                                struct bc_buf *out, struct atoll_error *err) {
    struct printer p = {.m = m, .out = out, .func = BC_NONE, .err = err};
    if (options) p.o = *options;
    bc_arena_init(&p.arena, out->alloc);
    print_names_init(&p);
    if (print_ok(&p)) print_module(&p);
    bc_buf_flush(out);
    if (out->failed) print_nomem(&p);
    atoll_free(out->alloc, p.labels, p.cap_labels * sizeof *p.labels);
    atoll_free(out->alloc, p.nodes, p.cap_nodes * sizeof *p.nodes);
    bc_arena_fini(&p.arena);
    return p.status;
}
