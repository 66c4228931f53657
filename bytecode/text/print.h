/* bytecode/text/print.h: what the files of the printer share.
 *
 *   print.c        fields of the module         print_body.c   bodies: flat, or folded in two passes
 *   print_instr.c  an instruction's text        print_names.c  identifiers, and whether they make the name
 * section */
#ifndef ATOLL_BYTECODE_TEXT_PRINT_H
#define ATOLL_BYTECODE_TEXT_PRINT_H

#include "bytecode/encode.h"
#include "bytecode/names.h"
#include "bytecode/reader.h"

struct print_label {
    uint32_t number; /* the nth of its function */
    struct bc_name name;
    uint32_t arity; /* values a branch takes */
};
struct print_node { /* an instruction of a folded body */
    uint32_t offset;
    uint32_t start;  /* node where its operands start; itself: it has none, or they are not folded */
    uint32_t opens;  /* outermost node whose operands start here, or UINT32_MAX */
    uint32_t inner;  /* the next one of those, further in */
    uint32_t number; /* of a block's label */
    bool folded;     /* in parentheses, which a block's end closes */
    bool block_if;   /* `if` with its condition in front, `then` and `else` */
};
struct printer {
    const struct bc_module *m;
    struct bc_buf *out;
    struct bc_print_options o;
    struct bc_arena arena;
    struct bc_names *names;     /* own copy; only names that can be identifiers; NULL = none */
    bool makes_names;           /* identifiers stand for the whole name section */
    bool uses_data;             /* some instruction names a data segment */
    uint32_t func;              /* being printed; BC_NONE in constant expressions */
    struct print_label *labels; /* open blocks, outermost first */
    size_t n_labels, cap_labels;
    uint32_t next_label;
    struct print_node *nodes; /* of the body, when folded */
    size_t n_nodes, cap_nodes;
    enum atoll_status status;
    struct atoll_error *err;
};

void print_nomem(struct printer *p);
static inline bool print_ok(const struct printer *p) { return !p->status && !p->out->failed; }

/* ---- dump_core.c ---- */

/* The details of a section of a core dump; nothing for other custom sections. */
void dump_core_section(struct bc_buf *out, const struct bc_module *m, const struct bc_custom *c);

/* ---- print_names.c ---- */

void print_names_init(struct printer *p);
/* "$name", quoted where it has to be. */
void print_id(struct bc_buf *out, struct bc_name name);
/* " $name (;7;)" or " (;7;)" behind a definition's keyword. */
void print_definition(struct printer *p, struct bc_name name, uint32_t index);
/* A name, or empty. */
struct bc_name print_name(const struct printer *p, enum bc_name_space space, uint32_t index);
/* "$name" or "7" */
void print_index(struct printer *p, enum bc_name_space space, uint32_t index);
void print_string(struct bc_buf *out, const void *bytes, size_t n, bool text);

/* ---- print.c ---- */

/* "(sub ... (struct ...))": a defined type without its name. */
void print_type_text(struct printer *p, uint32_t index);

/* ---- print_instr.c ---- */

void print_valtype(struct printer *p, bc_valtype t);
void print_heaptype(struct printer *p, uint32_t heap);
/* " (param ...)" and " (result ...)" */
void print_types(struct printer *p, const char *word, const bc_valtype *types, uint32_t n);
/* A signature behind its (type x), which it repeats for the reader: left out where it is so long that a few bytes of
 * the program would make kilobytes of text. */
#define PRINT_SIGNATURE_MAX 32
static inline bool print_repeats(uint32_t n_params, uint32_t n_results) {
    return n_params + n_results <= PRINT_SIGNATURE_MAX;
}
/* The keyword and the immediates. Of a block: its label's name, too; `label` is the one it opens. */
void print_instr(struct printer *p, const struct bc_instr *in, const struct print_label *label);

/* ---- print_body.c ---- */

/* The instructions of own function p->func, each on a line of its own. */
void print_body(struct printer *p);
/* A constant expression on one line: one instruction in parentheses, more of them flat, inside (word ...). */
void print_expr(struct printer *p, struct bc_range range, const char *word);
void print_newline(struct printer *p, size_t depth);

#endif
