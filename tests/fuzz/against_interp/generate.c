/* tests/fuzz/against_interp/generate.c: a module around the functions: what they import, declare and export. */
#include "tests/fuzz/against_interp/generate.h"

static void vec_type(struct bc_buf *out, const char *types) {
    bc_buf_u32(out, (uint32_t)strlen(types));
    for (; *types; types++) bc_buf_u8(out, gen_valtype(*types));
}

static void section(struct bc_buf *out, uint8_t id, struct bc_buf *body) {
    bc_buf_u8(out, id);
    bc_buf_u32(out, (uint32_t)body->size);
    bc_buf_bytes(out, body->data, body->size);
    body->size = 0;
}

static void name(struct bc_buf *out, char letter, uint32_t n) {
    char text[16];
    int size = snprintf(text, sizeof text, "%c%u", letter, n);
    bc_buf_u32(out, (uint32_t)size);
    bc_buf_bytes(out, text, (size_t)size);
}

/* ---- what there is ---- */

static void random_types(struct gen *g, char *out, uint32_t most) {
    uint32_t n = gen_below(g, most + 1), i = 0;
    for (; i < n; i++) out[i] = "iiIIfFv"[gen_below(g, 7)];
    out[i] = 0;
}

static void choose_types(struct gen *g) {
    g->n_types = 6 + gen_below(g, 6);
    memset(g->types, 0, sizeof g->types);
    for (uint32_t i = 1; i < g->n_types; i++) { /* 0 is () -> () */
        random_types(g, g->types[i].params, gen_rarely(g, 5) ? 8 : 3);
        random_types(g, g->types[i].results, gen_rarely(g, 5) ? 5 : 1);
    }
    strcpy(g->types[1].params, "i"); /* of tags */
    g->types[1].results[0] = 0;
    strcpy(g->types[2].params, "IfvF");
    g->types[2].results[0] = 0;
    g->types[3].params[0] = 0; /* of the blocks where they are caught */
    strcpy(g->types[3].results, "IfvF");
}

static void choose_funcs(struct gen *g) {
    g->n_imports = gen_below(g, 3);
    g->n_funcs = g->n_imports + 4 + gen_below(g, 16);
    for (uint32_t i = 0; i < g->n_funcs; i++) {
        g->funcs[i] = gen_below(g, g->n_types);
        g->guarded[i] = i >= g->n_imports && gen_rarely(g, 3);
    }
}

static void choose_memories(struct gen *g) {
    g->n_memories = gen_rarely(g, 12) ? 0 : gen_rarely(g, 4) ? 1 + gen_below(g, 3) : 1;
    for (uint32_t i = 0; i < g->n_memories; i++) {
        struct gen_memory *m = g->memories + i;
        m->is64 = gen_rarely(g, i ? 2 : 6);
        m->pages = gen_rarely(g, 20) ? 0 : 1 + gen_below(g, 2);
        m->max_pages = m->pages + gen_below(g, 3);
    }
}

static void choose_tables(struct gen *g) {
    g->n_tables = gen_below(g, 3);
    for (uint32_t i = 0; i < g->n_tables; i++) {
        struct gen_table *t = g->tables + i;
        t->is64 = gen_rarely(g, 6);
        t->n_funcs = 4 + gen_below(g, 13);
        t->size = t->n_funcs + gen_below(g, 4);
        for (uint32_t k = 0; k < t->n_funcs; k++) t->funcs[k] = gen_below(g, g->n_funcs);
    }
}

static void choose_globals(struct gen *g) {
    g->n_globals = 1 + gen_below(g, 15);
    g->calls_left = gen_below(g, g->n_globals);
    for (uint32_t i = 0; i < g->n_globals; i++)
        g->globals[i] = (struct gen_global){"iiIIfFv"[gen_below(g, 7)], !gen_rarely(g, 5)};
    g->globals[g->calls_left] = (struct gen_global){'i', true};
}

/* ---- sections ---- */

static void types(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    bc_buf_u32(s, g->n_types);
    for (uint32_t i = 0; i < g->n_types; i++) {
        bc_buf_u8(s, 0x60);
        vec_type(s, g->types[i].params);
        vec_type(s, g->types[i].results);
    }
    section(out, 1, s);
}

static void functions(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    bc_buf_u32(s, g->n_imports);
    for (uint32_t i = 0; i < g->n_imports; i++) {
        name(s, 'h', 0);
        name(s, 'f', i);
        bc_buf_u8(s, 0);
        bc_buf_u32(s, g->funcs[i]);
    }
    section(out, 2, s);
    bc_buf_u32(s, g->n_funcs - g->n_imports);
    for (uint32_t i = g->n_imports; i < g->n_funcs; i++) bc_buf_u32(s, g->funcs[i]);
    section(out, 3, s);
}

static void tables(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    bc_buf_u32(s, g->n_tables);
    for (uint32_t i = 0; i < g->n_tables; i++) {
        bc_buf_u8(s, 0x70);
        bc_buf_u8(s, g->tables[i].is64 ? 5 : 1);
        bc_buf_u32(s, g->tables[i].size);
        bc_buf_u32(s, g->tables[i].size + 3);
    }
    section(out, 4, s);
}

static void memories(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    bc_buf_u32(s, g->n_memories);
    for (uint32_t i = 0; i < g->n_memories; i++) {
        bc_buf_u8(s, g->memories[i].is64 ? 5 : 1);
        bc_buf_u32(s, g->memories[i].pages);
        bc_buf_u32(s, g->memories[i].max_pages);
    }
    section(out, 5, s);
}

static void globals(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    if (g->n_tags) { /* the section of tags stands in front */
        bc_buf_u32(s, g->n_tags);
        for (uint32_t i = 0; i < g->n_tags; i++) {
            bc_buf_u8(s, 0);
            bc_buf_u32(s, g->tags[i]);
        }
        section(out, 13, s);
    }
    bc_buf_u32(s, g->n_globals);
    for (uint32_t i = 0; i < g->n_globals; i++) {
        bc_buf_u8(s, gen_valtype(g->globals[i].type));
        bc_buf_u8(s, g->globals[i].mutable);
        g->code = s;
        if (i == g->calls_left)
            gen_const(g, 'i', 20 + gen_below(g, 100));
        else
            gen_any_const(g, g->globals[i].type);
        bc_buf_u8(s, 0x0B);
    }
    section(out, 6, s);
}

static void exports(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    bc_buf_u32(s, g->n_funcs - g->n_imports + g->n_globals);
    for (uint32_t i = g->n_imports; i < g->n_funcs; i++) {
        name(s, 'f', i);
        bc_buf_u8(s, 0);
        bc_buf_u32(s, i);
    }
    for (uint32_t i = 0; i < g->n_globals; i++) {
        name(s, 'g', i);
        bc_buf_u8(s, 3);
        bc_buf_u32(s, i);
    }
    section(out, 7, s);
}

static void elements(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    g->n_elems = g->n_tables + 1; /* one fills each table; one is passive; it makes functions declared, too */
    bc_buf_u32(s, g->n_elems);
    for (uint32_t i = 0; i < g->n_tables; i++) {
        bc_buf_u32(s, 2);
        bc_buf_u32(s, i);
        bc_buf_u8(s, g->tables[i].is64 ? 0x42 : 0x41); /* offset 0 */
        bc_buf_u8(s, 0);
        bc_buf_u8(s, 0x0B);
        bc_buf_u8(s, 0);
        bc_buf_u32(s, g->tables[i].n_funcs);
        for (uint32_t k = 0; k < g->tables[i].n_funcs; k++) bc_buf_u32(s, g->tables[i].funcs[k]);
    }
    bc_buf_u32(s, 1);
    bc_buf_u8(s, 0);
    bc_buf_u32(s, g->n_funcs);
    for (uint32_t i = 0; i < g->n_funcs; i++) bc_buf_u32(s, i);
    section(out, 9, s);
}

static void count_data(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    g->n_datas = g->n_memories + gen_below(g, 2);
    bc_buf_u32(s, g->n_datas);
    section(out, 12, s);
}

static void data(struct gen *g, struct bc_buf *out, struct bc_buf *s) {
    bc_buf_u32(s, g->n_datas);
    for (uint32_t i = 0; i < g->n_datas; i++) {
        bool active = i < g->n_memories && g->memories[i].pages;
        bc_buf_u32(s, active ? 2 : 1);
        if (active) {
            bc_buf_u32(s, i);
            bc_buf_u8(s, g->memories[i].is64 ? 0x42 : 0x41);
            bc_buf_s64(s, gen_below(g, 64));
            bc_buf_u8(s, 0x0B);
        }
        uint32_t size = active ? 1024 : 64;
        bc_buf_u32(s, size);
        for (uint32_t k = 0; k < size; k += 8)
            bc_buf_fixed(s, gen_rarely(g, 3) ? gen_below(g, 200) : gen_bits(g), 8);
    }
    section(out, 11, s);
}

uint32_t gen_module(uint64_t seed, struct bc_buf *out) {
    static const uint8_t header[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct gen g = {.state = seed};
    struct bc_buf s;
    bc_buf_init(&s, &atoll_default_alloc);
    choose_types(&g);
    choose_funcs(&g);
    choose_memories(&g);
    choose_tables(&g);
    choose_globals(&g);
    g.n_tags = gen_rarely(&g, 2) ? 3 : 0;
    for (uint32_t i = 0; i < 3; i++) g.tags[i] = i;
    bc_buf_bytes(out, header, sizeof header);
    types(&g, out, &s);
    functions(&g, out, &s);
    tables(&g, out, &s);
    memories(&g, out, &s);
    globals(&g, out, &s);
    exports(&g, out, &s);
    elements(&g, out, &s);
    count_data(&g, out, &s);
    bc_buf_u32(&s, g.n_funcs - g.n_imports);
    for (uint32_t i = g.n_imports; i < g.n_funcs; i++) gen_function(&g, i, &s);
    section(out, 10, &s);
    data(&g, out, &s);
    FUZZ_CHECK(!s.failed && !out->failed);
    bc_buf_fini(&s);
    return g.n_funcs - g.n_imports;
}
