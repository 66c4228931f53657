/* bytecode/decode_sections.c: imports, declarations of functions, tables, memories, tags and globals,
 * exports. Source: core spec, "Binary Format / Modules". */
#include "bytecode/decode.h"

bool bc_decode_mutability(struct decoder *d) {
    uint32_t at = d->r.at;
    uint8_t byte = bc_reader_u8(&d->r);
    if (byte > 1) bc_reader_fail(&d->r, ATOLL_E_MALFORMED, at, "malformed mutability");
    return byte == 1;
}

/* ---- descriptions, shared by imports and declarations ---- */

static uint32_t read_func_type_index(struct decoder *d) {
    uint32_t at = d->r.at, index = bc_reader_u32(&d->r);
    if (d->r.status) return 0;
    if (index >= d->m->n_types)
        bc_reader_fail(&d->r, ATOLL_E_INVALID, at, "unknown type %u", index);
    else if (d->m->types[index].form != BC_TYPE_FUNC)
        bc_reader_fail(&d->r, ATOLL_E_INVALID, at, "type mismatch: type %u is not a function type", index);
    return index;
}

static struct bc_table read_table(struct decoder *d) {
    uint32_t at = d->r.at;
    struct bc_table t = {.type = bc_reader_reftype(&d->r), .at = at};
    t.limits = bc_decode_limits(d, false);
    return t;
}

static struct bc_memory read_memory(struct decoder *d) {
    uint32_t at = d->r.at;
    return (struct bc_memory){bc_decode_limits(d, true), at};
}

static struct bc_global read_global(struct decoder *d) {
    struct bc_global g = {.type = bc_reader_valtype(&d->r)};
    g.mutable = bc_decode_mutability(d);
    return g;
}

static struct bc_tag read_tag(struct decoder *d) {
    uint32_t at = d->r.at;
    bc_reader_need(&d->r, BC_FEATURE_EXCEPTIONS, at, "a tag");
    if (bc_reader_u8(&d->r)) bc_reader_fail(&d->r, ATOLL_E_MALFORMED, at, "malformed tag attribute");
    return (struct bc_tag){read_func_type_index(d), at};
}

/* ---- imports ---- */

/* The space an import of each kind goes to, while the section is read a second time. */
static void store_import(struct decoder *d, enum bc_extern kind) {
    struct bc_module *m = d->m;
    switch (kind) {
    case BC_EXTERN_FUNC: m->funcs[m->n_funcs++].type = read_func_type_index(d); break;
    case BC_EXTERN_TABLE: m->tables[m->n_tables++] = read_table(d); break;
    case BC_EXTERN_MEMORY: m->memories[m->n_memories++] = read_memory(d); break;
    case BC_EXTERN_GLOBAL: m->globals[m->n_globals++] = read_global(d); break;
    case BC_EXTERN_TAG: m->tags[m->n_tags++] = read_tag(d); break;
    }
}

static void skip_import(struct decoder *d, enum bc_extern kind) {
    switch (kind) {
    case BC_EXTERN_FUNC: read_func_type_index(d); break;
    case BC_EXTERN_TABLE: read_table(d); break;
    case BC_EXTERN_MEMORY: bc_decode_limits(d, true); break;
    case BC_EXTERN_GLOBAL: read_global(d); break;
    case BC_EXTERN_TAG: read_tag(d); break;
    }
}

static enum bc_extern read_kind(struct decoder *d, const char *malformed) {
    uint32_t at = d->r.at;
    uint8_t kind = bc_reader_u8(&d->r);
    if (kind >= BC_EXTERN_COUNT) {
        bc_reader_fail(&d->r, ATOLL_E_MALFORMED, at, "%s %u", malformed, kind);
        return BC_EXTERN_FUNC;
    }
    return (enum bc_extern)kind;
}

static void read_import(struct decoder *d, struct bc_import *import) {
    import->offset = d->r.at;
    import->module = bc_reader_name(&d->r);
    import->name = bc_reader_name(&d->r);
    import->kind = read_kind(d, "malformed import kind");
}

/* First reading: names, and how many of each kind there are. */
static void count_imports(struct decoder *d, uint32_t counts[BC_EXTERN_COUNT]) {
    for (uint32_t i = 0; i < d->m->n_imports && !d->r.status; i++) {
        struct bc_import *import = &d->m->imports[i];
        read_import(d, import);
        if (d->r.status) return;
        import->index = counts[import->kind]++;
        skip_import(d, import->kind);
    }
}

static void store_imports(struct decoder *d, const uint32_t counts[BC_EXTERN_COUNT]) {
    struct bc_module *m = d->m;
    m->funcs = bc_decode_new(d, counts[BC_EXTERN_FUNC], sizeof *m->funcs);
    m->tables = bc_decode_new(d, counts[BC_EXTERN_TABLE], sizeof *m->tables);
    m->memories = bc_decode_new(d, counts[BC_EXTERN_MEMORY], sizeof *m->memories);
    m->globals = bc_decode_new(d, counts[BC_EXTERN_GLOBAL], sizeof *m->globals);
    m->tags = bc_decode_new(d, counts[BC_EXTERN_TAG], sizeof *m->tags);
    for (uint32_t i = 0; i < m->n_imports && !d->r.status; i++) {
        struct bc_import again;
        read_import(d, &again);
        store_import(d, m->imports[i].kind);
    }
    m->n_imported_funcs = m->n_funcs;
    m->n_imported_tables = m->n_tables;
    m->n_imported_memories = m->n_memories;
    m->n_imported_globals = m->n_globals;
    m->n_imported_tags = m->n_tags;
}

void bc_decode_imports(struct decoder *d) {
    uint32_t n = bc_reader_count(&d->r, 3, BC_MAX_IMPORTS, "imports"), first = d->r.at;
    uint32_t counts[BC_EXTERN_COUNT] = {0};
    if (d->r.status || !n) return;
    d->m->imports = bc_decode_new(d, n, sizeof *d->m->imports);
    if (!d->m->imports) return;
    d->m->n_imports = n;
    count_imports(d, counts);
    if (d->r.status) return;
    d->r.at = first;
    store_imports(d, counts);
}

/* ---- declarations ---- */

/* The count of own items; checks the limit of the whole index space. */
static uint32_t own_count(struct decoder *d, uint32_t n_imported, uint32_t limit, const char *what) {
    return bc_reader_count(&d->r, 1, n_imported < limit ? limit - n_imported : 0, what);
}

void bc_decode_funcs(struct decoder *d) {
    struct bc_module *m = d->m;
    uint32_t n = own_count(d, m->n_funcs, BC_MAX_FUNCS, "functions");
    struct bc_func *funcs = bc_decode_extend(d, m->funcs, m->n_funcs, m->n_funcs + n, sizeof *funcs);
    if (!funcs) return;
    m->funcs = funcs;
    for (uint32_t i = 0; i < n && !d->r.status; i++) funcs[m->n_funcs++].type = read_func_type_index(d);
}

static struct bc_table read_own_table(struct decoder *d) {
    struct bc_reader *r = &d->r;
    bool has_init = bc_reader_left(r) && r->bytes[r->at] == 0x40;
    if (!has_init) return read_table(d);
    uint32_t at = r->at++;
    bc_reader_need(r, BC_FEATURE_FUNCTION_REFERENCES, at, "a table with an initialiser");
    if (bc_reader_u8(r)) bc_reader_fail(r, ATOLL_E_MALFORMED, at, "malformed table");
    struct bc_table t = read_table(d);
    t.init = bc_decode_expr(d);
    return t;
}

void bc_decode_tables(struct decoder *d) {
    struct bc_module *m = d->m;
    uint32_t n = own_count(d, m->n_tables, BC_MAX_TABLES, "tables");
    struct bc_table *tables = bc_decode_extend(d, m->tables, m->n_tables, m->n_tables + n, sizeof *tables);
    if (!tables) return;
    m->tables = tables;
    for (uint32_t i = 0; i < n && !d->r.status; i++) tables[m->n_tables++] = read_own_table(d);
}

void bc_decode_memories(struct decoder *d) {
    struct bc_module *m = d->m;
    uint32_t n = own_count(d, m->n_memories, BC_MAX_MEMORIES, "memories");
    struct bc_memory *memories =
        bc_decode_extend(d, m->memories, m->n_memories, m->n_memories + n, sizeof *memories);
    if (!memories) return;
    m->memories = memories;
    for (uint32_t i = 0; i < n && !d->r.status; i++) memories[m->n_memories++] = read_memory(d);
}

void bc_decode_tags(struct decoder *d) {
    struct bc_module *m = d->m;
    uint32_t n = own_count(d, m->n_tags, BC_MAX_TAGS, "tags");
    struct bc_tag *tags = bc_decode_extend(d, m->tags, m->n_tags, m->n_tags + n, sizeof *tags);
    if (!tags) return;
    m->tags = tags;
    for (uint32_t i = 0; i < n && !d->r.status; i++) tags[m->n_tags++] = read_tag(d);
}

void bc_decode_globals(struct decoder *d) {
    struct bc_module *m = d->m;
    uint32_t n = own_count(d, m->n_globals, BC_MAX_GLOBALS, "globals");
    struct bc_global *globals =
        bc_decode_extend(d, m->globals, m->n_globals, m->n_globals + n, sizeof *globals);
    if (!globals) return;
    m->globals = globals;
    for (uint32_t i = 0; i < n && !d->r.status; i++) {
        struct bc_global *g = &globals[m->n_globals++];
        *g = read_global(d);
        g->init = bc_decode_expr(d);
    }
}

void bc_decode_exports(struct decoder *d) {
    uint32_t n = bc_reader_count(&d->r, 3, BC_MAX_EXPORTS, "exports");
    struct bc_export *exports = bc_decode_new(d, n, sizeof *exports);
    if (!exports) return;
    d->m->exports = exports;
    for (uint32_t i = 0; i < n && !d->r.status; i++) {
        struct bc_export *e = &exports[d->m->n_exports++];
        e->offset = d->r.at;
        e->name = bc_reader_name(&d->r);
        e->kind = read_kind(d, "malformed export kind");
        e->index = bc_reader_u32(&d->r);
        if (e->kind == BC_EXTERN_FUNC && !d->r.status) bc_decode_declare(d, e->index);
    }
}
