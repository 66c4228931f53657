/* bytecode/write.c: a decoded module back to the binary format: every number in its shortest form, empty
 * sections left out. What came in that form goes out as the same bytes. Source: core spec, "Binary Format /
 * Modules". */
#include "bytecode/decode.h"
#include "bytecode/encode.h"

struct writer {
    const struct bc_module *m;
    struct bc_buf *out, section, item; /* item: of the section, where its size stands in front */
    enum atoll_status status;
    struct atoll_error *err;
};

/* ---- parts ---- */

static void put_expr(struct writer *w, struct bc_buf *out, struct bc_range range) {
    uint32_t at = range.offset, end = range.offset + range.size;
    while (at < end && !w->status) {
        struct bc_instr in;
        w->status = bc_decode_instr(w->m, at, end, &in, w->err);
        if (w->status) return;
        bc_put_instr(out, w->m, &in);
        at = in.next;
    }
}

static void put_table_type(struct bc_buf *out, const struct bc_table *t) {
    bc_put_valtype(out, t->type);
    bc_put_limits(out, &t->limits, false);
}

static void put_global_type(struct bc_buf *out, const struct bc_global *g) {
    bc_put_valtype(out, g->type);
    bc_buf_u8(out, g->mutable);
}

static void put_tag_type(struct bc_buf *out, const struct bc_tag *tag) {
    bc_buf_u8(out, 0);
    bc_buf_u32(out, tag->type);
}

/* ---- sections: each appends to w->section and returns the number of its items ---- */

static uint32_t put_types(struct writer *w) {
    const struct bc_module *m = w->m;
    uint32_t n_groups = 0;
    for (uint32_t i = 0; i < m->n_types; n_groups++) {
        uint32_t count = m->types[i].rec_count;
        if (m->types[i].grouped) {
            bc_buf_u8(&w->section, 0x4E);
            bc_buf_u32(&w->section, count);
        }
        for (uint32_t end = i + count; i < end; i++) bc_put_type(&w->section, m->types + i);
    }
    return n_groups;
}

static uint32_t put_imports(struct writer *w) {
    const struct bc_module *m = w->m;
    for (uint32_t i = 0; i < m->n_imports; i++) {
        const struct bc_import *import = m->imports + i;
        bc_put_name(&w->section, import->module);
        bc_put_name(&w->section, import->name);
        bc_buf_u8(&w->section, (uint8_t)import->kind);
        switch (import->kind) {
        case BC_EXTERN_FUNC: bc_buf_u32(&w->section, m->funcs[import->index].type); break;
        case BC_EXTERN_TABLE: put_table_type(&w->section, m->tables + import->index); break;
        case BC_EXTERN_MEMORY: bc_put_limits(&w->section, &m->memories[import->index].limits, true); break;
        case BC_EXTERN_GLOBAL: put_global_type(&w->section, m->globals + import->index); break;
        case BC_EXTERN_TAG: put_tag_type(&w->section, m->tags + import->index); break;
        }
    }
    return m->n_imports;
}

static uint32_t put_funcs(struct writer *w) {
    for (uint32_t i = w->m->n_imported_funcs; i < w->m->n_funcs; i++)
        bc_buf_u32(&w->section, w->m->funcs[i].type);
    return w->m->n_funcs - w->m->n_imported_funcs;
}

static uint32_t put_tables(struct writer *w) {
    for (uint32_t i = w->m->n_imported_tables; i < w->m->n_tables; i++) {
        const struct bc_table *t = w->m->tables + i;
        if (t->init.size) bc_buf_fixed(&w->section, 0x0040, 2);
        put_table_type(&w->section, t);
        put_expr(w, &w->section, t->init);
    }
    return w->m->n_tables - w->m->n_imported_tables;
}

static uint32_t put_memories(struct writer *w) {
    for (uint32_t i = w->m->n_imported_memories; i < w->m->n_memories; i++)
        bc_put_limits(&w->section, &w->m->memories[i].limits, true);
    return w->m->n_memories - w->m->n_imported_memories;
}

static uint32_t put_tags(struct writer *w) {
    for (uint32_t i = w->m->n_imported_tags; i < w->m->n_tags; i++) put_tag_type(&w->section, w->m->tags + i);
    return w->m->n_tags - w->m->n_imported_tags;
}

static uint32_t put_globals(struct writer *w) {
    for (uint32_t i = w->m->n_imported_globals; i < w->m->n_globals; i++) {
        put_global_type(&w->section, w->m->globals + i);
        put_expr(w, &w->section, w->m->globals[i].init);
    }
    return w->m->n_globals - w->m->n_imported_globals;
}

static uint32_t put_exports(struct writer *w) {
    for (uint32_t i = 0; i < w->m->n_exports; i++) {
        bc_put_name(&w->section, w->m->exports[i].name);
        bc_buf_u8(&w->section, (uint8_t)w->m->exports[i].kind);
        bc_buf_u32(&w->section, w->m->exports[i].index);
    }
    return w->m->n_exports;
}

static uint32_t put_elems(struct writer *w) {
    for (uint32_t i = 0; i < w->m->n_elems; i++) {
        const struct bc_elem *e = w->m->elems + i;
        bc_buf_u32(&w->section, e->flags);
        if ((e->flags & 3) == 2) bc_buf_u32(&w->section, e->table);
        if (!(e->flags & 1)) put_expr(w, &w->section, e->offset);
        if (e->flags & 3) {
            if (e->flags & 4)
                bc_put_valtype(&w->section, e->type);
            else
                bc_buf_u8(&w->section, 0);
        }
        bc_buf_u32(&w->section, e->n_items);
        for (uint32_t k = 0; k < e->n_items; k++) {
            if (e->funcs)
                bc_buf_u32(&w->section, e->funcs[k]);
            else
                put_expr(w, &w->section, e->exprs[k]);
        }
    }
    return w->m->n_elems;
}

/* The run that begins at `k`, with its neighbours of the same type; *k moves behind them. */
static struct bc_local_run whole_run(const struct bc_func *f, uint32_t *k) {
    while (*k + 1 < f->n_local_runs && !f->local_runs[*k].count) ++*k;
    struct bc_local_run run = f->local_runs[(*k)++];
    while (*k < f->n_local_runs && (!f->local_runs[*k].count || f->local_runs[*k].type == run.type))
        run.count += f->local_runs[(*k)++].count;
    return run;
}

static void put_locals(struct bc_buf *out, const struct bc_func *f) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < f->n_local_runs;) n += whole_run(f, &k).count != 0;
    bc_buf_u32(out, n);
    for (uint32_t k = 0; k < f->n_local_runs;) {
        struct bc_local_run run = whole_run(f, &k);
        if (!run.count) continue;
        bc_buf_u32(out, run.count);
        bc_put_valtype(out, run.type);
    }
}

static uint32_t put_code(struct writer *w) {
    for (uint32_t i = w->m->n_imported_funcs; i < w->m->n_funcs && !w->status; i++) {
        const struct bc_func *f = w->m->funcs + i;
        w->item.size = 0;
        put_locals(&w->item, f);
        put_expr(w, &w->item,
                 (struct bc_range){f->code_offset, f->body.offset + f->body.size - f->code_offset});
        bc_buf_u32(&w->section, (uint32_t)w->item.size);
        bc_buf_bytes(&w->section, w->item.data, w->item.size);
    }
    return w->m->n_funcs - w->m->n_imported_funcs;
}

static uint32_t put_datas(struct writer *w) {
    for (uint32_t i = 0; i < w->m->n_datas; i++) {
        const struct bc_data *d = w->m->datas + i;
        bc_buf_u32(&w->section, d->flags);
        if (d->flags == 2) bc_buf_u32(&w->section, d->memory);
        if (d->flags != 1) put_expr(w, &w->section, d->offset);
        bc_buf_u32(&w->section, d->bytes.size);
        bc_buf_bytes(&w->section, w->m->bytes + d->bytes.offset, d->bytes.size);
    }
    return w->m->n_datas;
}

/* ---- the module ---- */

static void put_section(struct writer *w, uint8_t id, bool counted, uint32_t n) {
    if (n) {
        struct bc_buf count;
        bc_buf_init(&count, w->section.alloc);
        if (counted) bc_buf_u32(&count, n);
        bc_buf_u8(w->out, id);
        bc_buf_u32(w->out, (uint32_t)(count.size + w->section.size));
        bc_buf_bytes(w->out, count.data, count.size);
        bc_buf_bytes(w->out, w->section.data, w->section.size);
        w->out->failed |= count.failed;
        bc_buf_fini(&count);
    }
    w->section.size = 0;
}

static void put_customs(struct writer *w, uint8_t after) {
    for (uint32_t i = 0; i < w->m->n_customs; i++) {
        const struct bc_custom *c = w->m->customs + i;
        if (c->after != after) continue;
        bc_put_name(&w->section, c->name);
        bc_buf_bytes(&w->section, w->m->bytes + c->payload.offset, c->payload.size);
        put_section(w, BC_SECTION_CUSTOM, false, 1);
    }
}

static void put_known(struct writer *w, uint8_t id) {
    static uint32_t (*const put[])(struct writer *) = {
        [BC_SECTION_TYPE] = put_types,      [BC_SECTION_IMPORT] = put_imports,
        [BC_SECTION_FUNCTION] = put_funcs,  [BC_SECTION_TABLE] = put_tables,
        [BC_SECTION_MEMORY] = put_memories, [BC_SECTION_GLOBAL] = put_globals,
        [BC_SECTION_EXPORT] = put_exports,  [BC_SECTION_ELEMENT] = put_elems,
        [BC_SECTION_CODE] = put_code,       [BC_SECTION_DATA] = put_datas,
        [BC_SECTION_TAG] = put_tags};
    if (id == BC_SECTION_START) {
        if (w->m->start != BC_NONE) bc_buf_u32(&w->section, w->m->start);
        put_section(w, id, false, w->m->start != BC_NONE);
    } else if (id == BC_SECTION_DATA_COUNT) {
        if (w->m->has_data_count) bc_buf_u32(&w->section, w->m->n_datas);
        put_section(w, id, false, w->m->has_data_count);
    } else {
        uint32_t n = put[id](w);
        put_section(w, id, true, n);
    }
}

enum atoll_status bc_module_write(const struct bc_module *m, struct bc_buf *out, struct atoll_error *err) {
    static const uint8_t order[] = {1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11};
    struct writer w = {.m = m, .out = out, .err = err};
    bc_buf_init(&w.section, out->alloc);
    bc_buf_init(&w.item, out->alloc);
    bc_buf_bytes(out, "\0asm\1\0\0\0", 8);
    put_customs(&w, 0);
    for (size_t i = 0; i < sizeof order && !w.status; i++) {
        put_known(&w, order[i]);
        put_customs(&w, order[i]);
    }
    out->failed |= w.section.failed | w.item.failed;
    bc_buf_fini(&w.section);
    bc_buf_fini(&w.item);
    if (!w.status && out->failed) w.status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return w.status;
}
