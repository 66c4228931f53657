/* tests/fuzz/against_interp/tries.c: exceptions. Whatever is thrown is thrown seldom, so that the code around it runs. */
#include "tests/fuzz/against_interp/generate.h"

static const char *tag_types(const struct gen *g, uint32_t tag) { return g->types[g->tags[tag]].params; }

static void take(struct gen *g, const char *types) {
    for (size_t k = strlen(types); k-- > 0;) gen_op_index(g, BC_LOCAL_SET, gen_local(g, types[k]));
}

/* An `if` that is entered once in 16 times, about. */
static void sometimes(struct gen *g) {
    gen_value(g, 'i');
    gen_const(g, 'i', 15);
    gen_op(g, BC_I32_AND);
    gen_op(g, BC_I32_EQZ);
    gen_open(g, BC_IF, "", true);
}

static void throw_sometimes(struct gen *g) {
    uint32_t tag = gen_below(g, g->n_tags);
    bool always = g->n_labels > 2 && gen_rarely(g, 20);
    if (!always) sometimes(g);
    gen_values(g, tag_types(g, tag));
    gen_op_index(g, BC_THROW, tag);
    if (!always) gen_close(g);
}

/* ---- try_table ---- */

struct catcher {
    const char *types; /* that its label takes, beside the exception */
    uint32_t tag;      /* BC_NONE: all */
    bool with_ref;
};

static struct catcher some_catcher(struct gen *g) {
    struct catcher c = {.tag = gen_rarely(g, 3) ? BC_NONE : gen_below(g, g->n_tags)};
    c.types = c.tag == BC_NONE ? "" : tag_types(g, c.tag);
    c.with_ref = !c.types[0] && gen_rarely(g, 3); /* alone: blocks have no type for more */
    return c;
}

static void open_label(struct gen *g, const struct catcher *c) {
    if (!c->with_ref) {
        gen_open(g, BC_BLOCK, c->types, true);
        return;
    }
    gen_op(g, BC_BLOCK);
    bc_buf_u8(g->code, 0x69); /* exnref */
    g->labels[g->n_labels++] = (struct gen_label){"e", false};
}

static void try_table(struct gen *g) {
    struct catcher catchers[3];
    uint32_t n = 1 + gen_below(g, 3);
    gen_open(g, BC_BLOCK, "", true);
    for (uint32_t k = n; k-- > 0;) {
        catchers[k] = some_catcher(g);
        open_label(g, catchers + k);
    }
    gen_op(g, BC_TRY_TABLE);
    bc_buf_u8(g->code, 0x40);
    bc_buf_u32(g->code, n);
    for (uint32_t k = 0; k < n; k++) {
        bc_buf_u8(g->code, (uint8_t)((catchers[k].tag == BC_NONE ? 2 : 0) + catchers[k].with_ref));
        if (catchers[k].tag != BC_NONE) bc_buf_u32(g->code, catchers[k].tag);
        bc_buf_u32(g->code, k);
    }
    g->labels[g->n_labels++] = (struct gen_label){"", true};
    gen_statements(g, 2 + gen_below(g, 4));
    gen_close(g);
    for (uint32_t k = 0; k < n; k++) {
        gen_op_index(g, BC_BR, n - k);
        gen_close(g);
        if (catchers[k].with_ref)
            gen_op(g, BC_DROP);
        else
            take(g, catchers[k].types);
        gen_statements(g, gen_below(g, 2));
    }
    gen_close(g);
}

/* Caught as a reference, then thrown again or forgotten. */
static void throw_again(struct gen *g) {
    gen_open(g, BC_BLOCK, "", true);
    struct catcher all = {.types = "", .tag = BC_NONE, .with_ref = true};
    open_label(g, &all);
    gen_op(g, BC_TRY_TABLE);
    bc_buf_u8(g->code, 0x40);
    bc_buf_u32(g->code, 1);
    bc_buf_u8(g->code, 3);
    bc_buf_u32(g->code, 0);
    g->labels[g->n_labels++] = (struct gen_label){"", true};
    gen_statements(g, 1 + gen_below(g, 3));
    gen_close(g);
    gen_op_index(g, BC_BR, 1);
    gen_close(g);
    gen_op(g, BC_THROW_REF);
    gen_close(g);
}

/* ---- try ---- */

static void handler(struct gen *g, uint32_t tag, const char *types) {
    if (tag == BC_NONE) {
        gen_op(g, BC_CATCH_ALL);
    } else {
        gen_op_index(g, BC_CATCH, tag);
        take(g, tag_types(g, tag));
    }
    gen_statements(g, gen_below(g, 3));
    if (gen_rarely(g, 3)) {
        sometimes(g);
        gen_op_index(g, BC_RETHROW, 1);
        gen_close(g);
    }
    gen_values(g, types);
}

static void old_try(struct gen *g) {
    static const char *const kinds[] = {"", "i", "F", "v", "I"};
    const char *types = kinds[gen_below(g, 5)];
    uint32_t n = gen_below(g, 4);
    gen_open(g, BC_TRY, types, true);
    gen_statements(g, 1 + gen_below(g, 4));
    gen_values(g, types);
    if (!n) {
        gen_op_index(g, BC_DELEGATE, gen_below(g, g->n_labels - 1));
        g->n_labels--;
    } else {
        for (uint32_t k = 1; k < n; k++) handler(g, gen_below(g, g->n_tags), types);
        handler(g, gen_rarely(g, 2) ? BC_NONE : gen_below(g, g->n_tags), types);
        gen_close(g);
    }
    take(g, types);
}

void gen_exception_statement(struct gen *g) {
    switch (gen_below(g, 8)) {
    case 0:
    case 1: try_table(g); break;
    case 2:
    case 3: old_try(g); break;
    case 4: throw_again(g); break;
    default: throw_sometimes(g);
    }
}
