/* bytecode/text/dump.c: the listing of `atoll objdump`: sections, what is in them, instructions beside their
 * bytes. */
#include "bytecode/text/print.h"

#include <inttypes.h>

struct dumper {
    struct printer p; /* its output is the listing */
    const struct bc_dump_options *o;
    size_t depth; /* of open blocks */
};

static struct bc_buf *out(struct dumper *d) { return d->p.out; }

struct section {
    uint8_t id;
    uint32_t at;                    /* of the id */
    struct bc_range content;        /* behind the size */
    const struct bc_custom *custom; /* of a custom section: as decoded */
};

/* Where a walk over the sections stands. */
struct walk {
    uint32_t at, n_customs; /* custom sections passed */
};
static const struct walk first_section = {.at = 8};

/* The next section; false at the end. The module decoded, so nothing is out of range. */
static bool next_section(const struct bc_module *m, struct walk *w, struct section *s) {
    struct bc_reader r = {.bytes = m->bytes, .at = w->at, .end = (uint32_t)m->n_bytes};
    if (w->at >= m->n_bytes) return false;
    s->at = w->at;
    s->id = bc_reader_u8(&r);
    s->content = bc_reader_range(&r);
    s->custom = s->id ? NULL : &m->customs[w->n_customs++];
    w->at = s->content.offset + s->content.size;
    return !r.status;
}

static bool is_called(const struct section *s, const char *name) {
    if (s->id) return !strcmp(name, bc_section_words[s->id]);
    size_t size = strlen(name);
    return !strcmp(name, "custom") ||
           (s->custom->name.size == size && !memcmp(s->custom->name.bytes, name, size));
}

static bool wanted(const struct dumper *d, const struct section *s) {
    return !d->o->section || is_called(s, d->o->section);
}

bool bc_module_has_section(const struct bc_module *m, const char *name) {
    struct section s;
    for (struct walk w = first_section; next_section(m, &w, &s);)
        if (is_called(&s, name)) return true;
    return false;
}

static uint32_t items_in(const struct bc_module *m, uint8_t id) {
    switch (id) {
    case 1: return m->n_types;
    case 2: return m->n_imports;
    case 3:
    case 10: return m->n_funcs - m->n_imported_funcs;
    case 4: return m->n_tables - m->n_imported_tables;
    case 5: return m->n_memories - m->n_imported_memories;
    case 6: return m->n_globals - m->n_imported_globals;
    case 7: return m->n_exports;
    case 8: return 1;
    case 9: return m->n_elems;
    case 11:
    case 12: return m->n_datas;
    case 13: return m->n_tags - m->n_imported_tags;
    default: return 0;
    }
}

/* ---- headers ---- */

static void section_name(struct dumper *d, const struct section *s) {
    bc_buf_text(out(d), "%s", s->id ? bc_section_words[s->id] : "custom ");
    if (s->custom) print_string(out(d), s->custom->name.bytes, s->custom->name.size, true);
}

static void dump_headers(struct dumper *d) {
    struct walk w = first_section;
    struct section s;
    bc_buf_text(out(d), "\nsections:\n");
    while (next_section(d->p.m, &w, &s) && print_ok(&d->p)) {
        if (!wanted(d, &s)) continue;
        bc_buf_text(out(d), "  0x%08x .. 0x%08x %10u bytes  ", s.content.offset, w.at, s.content.size);
        section_name(d, &s);
        if (s.id) bc_buf_text(out(d), ", %u", items_in(d->p.m, s.id));
        bc_buf_u8(out(d), '\n');
    }
}

/* ---- details ---- */

/* The line is what the printer would write, without its indentation. */
static void line(struct dumper *d, const char *what, uint32_t index) {
    bc_buf_text(out(d), "  %s[%u]", what, index);
}

static void named(struct dumper *d, enum bc_name_space space, uint32_t index) {
    struct bc_name name = print_name(&d->p, space, index);
    if (!name.size) return;
    bc_buf_u8(out(d), ' ');
    print_id(out(d), name);
}

static void limits(struct dumper *d, const struct bc_limits *l) {
    bc_buf_text(out(d), " %s%" PRIu64, l->is64 ? "i64 " : "", l->min);
    if (l->has_max) bc_buf_text(out(d), " .. %" PRIu64, l->max);
    if (l->shared) bc_buf_text(out(d), " shared");
}

static void entity(struct dumper *d, enum bc_extern kind, uint32_t index) {
    static const char *const words[] = {"func", "table", "memory", "global", "tag"};
    static const uint8_t spaces[] = {BC_NAMES_FUNC, BC_NAMES_TABLE, BC_NAMES_MEMORY, BC_NAMES_GLOBAL,
                                     BC_NAMES_TAG};
    const struct bc_module *m = d->p.m;
    line(d, words[kind], index);
    named(d, (enum bc_name_space)spaces[kind], index);
    switch (kind) {
    case BC_EXTERN_FUNC: bc_buf_text(out(d), " type %u", m->funcs[index].type); break;
    case BC_EXTERN_TAG: bc_buf_text(out(d), " type %u", m->tags[index].type); break;
    case BC_EXTERN_TABLE:
        limits(d, &m->tables[index].limits);
        bc_buf_u8(out(d), ' ');
        print_valtype(&d->p, m->tables[index].type);
        break;
    case BC_EXTERN_MEMORY: limits(d, &m->memories[index].limits); break;
    case BC_EXTERN_GLOBAL:
        bc_buf_text(out(d), m->globals[index].mutable ? " mutable " : " ");
        print_valtype(&d->p, m->globals[index].type);
        break;
    }
}

static void expr(struct dumper *d, struct bc_range range, const char *word) {
    if (range.size) print_expr(&d->p, range, word);
}

static void types(struct dumper *d) {
    const struct bc_module *m = d->p.m;
    for (uint32_t i = 0; i < m->n_types && print_ok(&d->p); i++) {
        line(d, "type", i);
        named(d, BC_NAMES_TYPE, i);
        bc_buf_u8(out(d), ' ');
        print_type_text(&d->p, i);
        bc_buf_u8(out(d), '\n');
    }
}

static void imports(struct dumper *d) {
    const struct bc_module *m = d->p.m;
    for (uint32_t i = 0; i < m->n_imports && print_ok(&d->p); i++) {
        const struct bc_import *import = m->imports + i;
        entity(d, import->kind, import->index);
        bc_buf_text(out(d), " <- ");
        print_string(out(d), import->module.bytes, import->module.size, true);
        bc_buf_u8(out(d), '.');
        print_string(out(d), import->name.bytes, import->name.size, true);
        bc_buf_u8(out(d), '\n');
    }
}

static void own(struct dumper *d, enum bc_extern kind, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to && print_ok(&d->p); i++) {
        entity(d, kind, i);
        if (kind == BC_EXTERN_GLOBAL) expr(d, d->p.m->globals[i].init, "=");
        if (kind == BC_EXTERN_TABLE) expr(d, d->p.m->tables[i].init, "=");
        bc_buf_u8(out(d), '\n');
    }
}

static void exports(struct dumper *d) {
    const struct bc_module *m = d->p.m;
    for (uint32_t i = 0; i < m->n_exports && print_ok(&d->p); i++) {
        entity(d, m->exports[i].kind, m->exports[i].index);
        bc_buf_text(out(d), " -> ");
        print_string(out(d), m->exports[i].name.bytes, m->exports[i].name.size, true);
        bc_buf_u8(out(d), '\n');
    }
}

static const char *mode_word(enum bc_segment_mode mode) {
    return mode == BC_SEGMENT_ACTIVE ? "active" : mode == BC_SEGMENT_PASSIVE ? "passive" : "declared";
}

static void elems(struct dumper *d) {
    const struct bc_module *m = d->p.m;
    for (uint32_t i = 0; i < m->n_elems && print_ok(&d->p); i++) {
        const struct bc_elem *e = m->elems + i;
        line(d, "elem", i);
        named(d, BC_NAMES_ELEM, i);
        bc_buf_text(out(d), " %s, %u items of ", mode_word(e->mode), e->n_items);
        print_valtype(&d->p, e->type);
        if (e->mode == BC_SEGMENT_ACTIVE) {
            bc_buf_text(out(d), ", table[%u] at", e->table);
            expr(d, e->offset, "=");
        }
        bc_buf_u8(out(d), '\n');
        for (uint32_t k = 0; k < e->n_items && print_ok(&d->p); k++) {
            bc_buf_text(out(d), "   [%u]", k);
            if (e->funcs) {
                bc_buf_text(out(d), " func[%u]", e->funcs[k]);
                named(d, BC_NAMES_FUNC, e->funcs[k]);
            } else {
                expr(d, e->exprs[k], "=");
            }
            bc_buf_u8(out(d), '\n');
        }
    }
}

static void datas(struct dumper *d) {
    const struct bc_module *m = d->p.m;
    for (uint32_t i = 0; i < m->n_datas && print_ok(&d->p); i++) {
        const struct bc_data *data = m->datas + i;
        line(d, "data", i);
        named(d, BC_NAMES_DATA, i);
        bc_buf_text(out(d), " %s, %u bytes at 0x%x", mode_word(data->mode), data->bytes.size,
                    data->bytes.offset);
        if (data->mode == BC_SEGMENT_ACTIVE) {
            bc_buf_text(out(d), ", memory[%u] at", data->memory);
            expr(d, data->offset, "=");
        }
        bc_buf_u8(out(d), '\n');
    }
}

static void bodies(struct dumper *d) {
    const struct bc_module *m = d->p.m;
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs && print_ok(&d->p); i++) {
        line(d, "func", i);
        named(d, BC_NAMES_FUNC, i);
        bc_buf_text(out(d), " 0x%08x, %u bytes, %u locals\n", m->funcs[i].body.offset, m->funcs[i].body.size,
                    m->funcs[i].n_locals);
    }
}

static void details(struct dumper *d, const struct section *s) {
    const struct bc_module *m = d->p.m;
    switch (s->id) {
    case 0: dump_core_section(out(d), m, s->custom); break;
    case 1: types(d); break;
    case 2: imports(d); break;
    case 3: own(d, BC_EXTERN_FUNC, m->n_imported_funcs, m->n_funcs); break;
    case 4: own(d, BC_EXTERN_TABLE, m->n_imported_tables, m->n_tables); break;
    case 5: own(d, BC_EXTERN_MEMORY, m->n_imported_memories, m->n_memories); break;
    case 6: own(d, BC_EXTERN_GLOBAL, m->n_imported_globals, m->n_globals); break;
    case 7: exports(d); break;
    case 8:
        line(d, "func", m->start);
        named(d, BC_NAMES_FUNC, m->start);
        bc_buf_u8(out(d), '\n');
        break;
    case 9: elems(d); break;
    case 10: bodies(d); break;
    case 11: datas(d); break;
    case 13: own(d, BC_EXTERN_TAG, m->n_imported_tags, m->n_tags); break;
    default: break;
    }
}

/* ---- contents ---- */

static void hex_line(struct dumper *d, uint32_t at, uint32_t n) {
    const uint8_t *bytes = d->p.m->bytes + at;
    bc_buf_text(out(d), "  %08x:", at);
    for (uint32_t i = 0; i < 16; i++) {
        if (i < n)
            bc_buf_text(out(d), i % 2 ? "%02x" : " %02x", bytes[i]);
        else
            bc_buf_text(out(d), i % 2 ? "  " : "   ");
    }
    bc_buf_text(out(d), "  ");
    for (uint32_t i = 0; i < n; i++) bc_buf_u8(out(d), bytes[i] >= 0x20 && bytes[i] < 0x7F ? bytes[i] : '.');
    bc_buf_u8(out(d), '\n');
}

static void dump_sections(struct dumper *d) {
    struct walk w = first_section;
    struct section s;
    while (next_section(d->p.m, &w, &s) && print_ok(&d->p)) {
        if (!wanted(d, &s)) continue;
        bc_buf_u8(out(d), '\n');
        section_name(d, &s);
        bc_buf_text(out(d), ":\n");
        if (d->o->details) details(d, &s);
        for (uint32_t i = 0; d->o->full_contents && i < s.content.size && print_ok(&d->p); i += 16)
            hex_line(d, s.content.offset + i, s.content.size - i < 16 ? s.content.size - i : 16);
    }
}

/* ---- disassembly ---- */

#define BYTES_SHOWN 9

static bool opens(enum bc_op op) {
    return op == BC_BLOCK || op == BC_LOOP || op == BC_IF || op == BC_TRY || op == BC_TRY_TABLE;
}

static void dump_instr(struct dumper *d, const struct bc_instr *in) {
    uint32_t n = in->next - in->offset;
    bc_buf_text(out(d), "  %06x:", in->offset);
    for (uint32_t i = 0; i < BYTES_SHOWN; i++) {
        if (i < n)
            bc_buf_text(out(d), " %02x", d->p.m->bytes[in->offset + i]);
        else
            bc_buf_text(out(d), "   ");
    }
    bc_buf_text(out(d), n > BYTES_SHOWN ? " ... | " : "     | ");
    bool ends = in->op == BC_END || in->op == BC_DELEGATE;
    if (ends && d->depth) d->depth--;
    size_t depth =
        d->depth - (d->depth && (in->op == BC_ELSE || in->op == BC_CATCH || in->op == BC_CATCH_ALL));
    for (size_t i = 0; i < depth && i < 32; i++) bc_buf_text(out(d), "  ");
    print_instr(&d->p, in, NULL);
    bc_buf_u8(out(d), '\n');
    d->depth += opens(in->op);
}

static void dump_code(struct dumper *d) {
    const struct bc_module *m = d->p.m;
    bc_buf_text(out(d), "\ncode:\n");
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs && print_ok(&d->p); i++) {
        const struct bc_func *f = m->funcs + i;
        bc_buf_text(out(d), "\n%06x func[%u]", f->body.offset, i);
        named(d, BC_NAMES_FUNC, i);
        const struct bc_type *t = &m->types[f->type];
        if (print_repeats(t->n_params, t->n_results)) {
            print_types(&d->p, "param", t->params, t->n_params);
            print_types(&d->p, "result", t->results, t->n_results);
        } else {
            bc_buf_text(out(d), " type %u", f->type);
        }
        bc_buf_text(out(d), ":\n");
        d->depth = 0;
        d->p.func = i;
        for (uint32_t at = f->code_offset, end = f->body.offset + f->body.size;
             at < end && print_ok(&d->p);) {
            struct bc_instr in;
            d->p.status = bc_decode_instr(m, at, end, &in, d->p.err);
            if (d->p.status) break;
            dump_instr(d, &in);
            at = in.next;
        }
    }
    d->p.func = BC_NONE;
}

enum atoll_status bc_module_dump(const struct bc_module *m, const struct bc_dump_options *options,
                                 struct bc_buf *out_text, struct atoll_error *err) {
    struct dumper d = {.p = {.m = m, .out = out_text, .func = BC_NONE, .err = err}, .o = options};
    bc_arena_init(&d.p.arena, out_text->alloc);
    print_names_init(&d.p);
    if (options->headers && print_ok(&d.p)) dump_headers(&d);
    if ((options->details || options->full_contents) && print_ok(&d.p)) dump_sections(&d);
    if (options->disassemble && wanted(&d, &(struct section){.id = 10}) && print_ok(&d.p)) dump_code(&d);
    bc_buf_flush(out_text);
    if (out_text->failed) print_nomem(&d.p);
    bc_arena_fini(&d.p.arena);
    return d.p.status;
}
