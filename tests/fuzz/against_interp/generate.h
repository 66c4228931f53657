/* tests/fuzz/against_interp/generate.h: valid modules out of a number, for running them interpreted and compiled.
 *
 *   generate.c   module: types, memories, tables, globals, segments, exports
 *   rows.c       single instructions, by the opcode table
 *   code.c       function bodies: values, blocks, calls, statements
 *   tries.c      exceptions: throws, try_table, and the old try with catch, delegate and rethrow
 *   shapes.c     what compilers write: loops over arrays, rotates, comparisons, loads that are changed and stored
 *
 * A module depends on its seed alone. Loops and recursion end by counters. Bits of NaNs are never looked at: where
 * a float becomes visible as bits it is made canonical first, since two engines may choose different ones. */
#ifndef ATOLL_TESTS_FUZZ_GENERATE_H
#define ATOLL_TESTS_FUZZ_GENERATE_H

#include "tests/fuzz/fuzz.h"

#define GEN_MAX_FUNCS  24
#define GEN_MAX_TYPES  12
#define GEN_MAX_VALUES 8
#define GEN_MAX_LOCALS 60

/* A value type is its letter of the opcode table: i I f F v, and c for a function reference. */
struct gen_type {
    char params[GEN_MAX_VALUES + 1], results[GEN_MAX_VALUES + 1];
};
struct gen_memory {
    bool is64;
    uint32_t pages, max_pages;
};
struct gen_table {
    bool is64;
    uint32_t size, n_funcs; /* elements; those that hold funcs[i] at the start, the rest is null */
    uint32_t funcs[16];
};
struct gen_global {
    char type;
    bool mutable;
};
struct gen_label {
    const char *types; /* what a branch to it carries */
    bool open;         /* branches may go there */
};

struct gen {
    uint64_t state;
    struct gen_type types[GEN_MAX_TYPES];
    uint32_t n_types;
    uint32_t funcs[GEN_MAX_FUNCS]; /* type; imports first */
    bool guarded[GEN_MAX_FUNCS];   /* counts its calls, so that it may be part of a cycle */
    uint32_t n_funcs, n_imports;
    struct gen_memory memories[3];
    uint32_t n_memories;
    struct gen_table tables[2];
    uint32_t n_tables;
    struct gen_global globals[16];
    uint32_t n_globals, calls_left; /* a global that counts calls down */
    uint32_t n_datas, n_elems, n_tags;
    uint32_t tags[3]; /* type */
    /* of the function at hand */
    struct bc_buf *code;
    uint32_t func;
    const struct gen_type *type;
    char locals[GEN_MAX_LOCALS + 1];
    uint32_t n_locals;
    struct gen_label labels[64];
    uint32_t n_labels;
    int32_t budget; /* instructions left */
    uint32_t loops, calls, depth;
    uint8_t weights[5]; /* of i I f F v among new values */
};

/* Writes module `seed` to *out, which is empty. Returns the number of its own functions. */
uint32_t gen_module(uint64_t seed, struct bc_buf *out);

/* ---- chance ---- */

static inline uint64_t gen_bits(struct gen *g) {
    uint64_t z = g->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}
static inline uint32_t gen_below(struct gen *g, uint32_t n) {
    return n ? (uint32_t)(gen_bits(g) >> 32) % n : 0;
}
/* True once in n times. */
static inline bool gen_rarely(struct gen *g, uint32_t n) { return gen_below(g, n) == 0; }

/* ---- rows.c ---- */

void gen_op(struct gen *g, enum bc_op op);
/* An instruction with one index behind it. */
void gen_op_index(struct gen *g, enum bc_op op, uint32_t index);
void gen_const(struct gen *g, char type, uint64_t bits);
void gen_any_const(struct gen *g, char type);
/* A local of the type: one that is there, or a new one. */
uint32_t gen_local(struct gen *g, char type);
uint32_t gen_new_local(struct gen *g, char type);
char gen_any_type(struct gen *g);
#define GEN_COUNTER32 'x' /* a local of a loop's own: others read it only */
#define GEN_COUNTER64 'y'
/* Reads one; false: there is none. */
bool gen_get_counter(struct gen *g, char type);
bool gen_any_global(struct gen *g, char type, bool to_set, uint32_t *out);
/* A value up to the mask, nearly always. */
void gen_small(struct gen *g, char type, uint32_t mask);
/* Rows that gen_row can write, by their first result; '-' for none. */
struct gen_rows {
    uint16_t ops[BC_OP_COUNT];
    uint32_t n;
};
const struct gen_rows *gen_rows(char result);
/* An instruction by its row; its results stay on the stack. False: nothing was written. */
bool gen_row(struct gen *g, enum bc_op op, char result);
/* Some instruction that leaves a value of the type. False: nothing was written. */
bool gen_value_by_row(struct gen *g, char type);
/* ---- code.c ---- */

/* Code that pushes one value of the type. */
void gen_value(struct gen *g, char type);
void gen_values(struct gen *g, const char *types);
/* Code that pushes nothing. */
void gen_statement(struct gen *g);
void gen_statements(struct gen *g, uint32_t n);
/* The float on top of the stack becomes one whose bits may be looked at. */
void gen_settle_nan(struct gen *g, char type);
/* Immediates of an access; the address in bounds is masked to `room` bytes less. */
void gen_memarg(struct gen *g, uint32_t access_log2, uint32_t memory, uint64_t offset);
/* An enclosing label that branches may go to, as a depth; BC_NONE: none. `types`: NULL = any. */
uint32_t gen_some_label(struct gen *g, const char *types);
/* Begins a block, loop or if; gen_end ends it. `types`: of its results. */
void gen_open(struct gen *g, enum bc_op op, const char *types, bool open);
void gen_close(struct gen *g);
uint8_t gen_valtype(char type);
void gen_function(struct gen *g, uint32_t func, struct bc_buf *out);

/* ---- shapes.c ---- */

/* False: there is none for the type. */
bool gen_shape(struct gen *g, char type);
bool gen_shape_statement(struct gen *g);

/* ---- tries.c ---- */

/* Throws, now and then; or handles what is thrown in statements. */
void gen_exception_statement(struct gen *g);

#endif
