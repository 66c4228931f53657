/* bytecode/text/asm.h: the assembler's state, shared by its files.
 *
 *   tokens (all, with matching parentheses) -> pass 1: fields get indices and ids -> pass 2: types
 *     -> pass 3: fields in text order, each into the buffer of its section -> sections behind one another
 *
 * Implicit types are appended as they occur, which is why sections have buffers. Faults are sticky in
 * x.status. */
#ifndef ATOLL_BYTECODE_TEXT_ASM_H
#define ATOLL_BYTECODE_TEXT_ASM_H

#include "bytecode/encode.h"
#include "bytecode/text/text.h"

#include <string.h>

enum asm_space {
    SPACE_TYPE,
    SPACE_FUNC,
    SPACE_TABLE,
    SPACE_MEMORY,
    SPACE_GLOBAL,
    SPACE_TAG,
    SPACE_ELEM,
    SPACE_DATA,
    N_INDEX_SPACES,
    SPACE_LOCAL = N_INDEX_SPACES, /* scope: function index */
    SPACE_LABEL,                  /* scope: function index; value: height in the label stack */
    SPACE_FIELD,                  /* scope: type index */
    N_SPACES
};

struct asm_id { /* identifier without its dollar sign, escapes resolved */
    const char *bytes;
    uint32_t size;
};
struct asm_entry {
    uint64_t scope; /* space << 32 | function or type */
    struct asm_id id;
    uint32_t value;
    bool used;
};
struct asm_name { /* a line of the name section */
    uint32_t outer, index;
    struct asm_id id;
};
struct asm_names {
    struct asm_name *items;
    size_t n, capacity;
};
struct asm_type {
    enum bc_type_form form;
    bool final, alone, explicit_sub; /* alone: sole member of its group */
    uint32_t super;
    uint32_t n_params, n_results, n_fields;
    bc_valtype *params, *results;
    struct bc_field *fields;
    uint32_t token; /* its keyword; 0: made from a type use */
};
struct asm_sig {       /* a type use read from the text */
    bc_valtype *types; /* parameters, then results */
    uint32_t n_params, n_results;
    size_t capacity;
    uint32_t type; /* (type x), or BC_NONE */
};
enum asm_frame_kind {
    FRAME_FLAT,
    FRAME_FOLDED_BLOCK,
    FRAME_FOLDED,
    FRAME_IF,
    FRAME_THEN,
    FRAME_TRY,
    FRAME_ARM
};
struct asm_frame {
    enum asm_frame_kind kind;
    enum bc_op op;
    uint32_t token; /* of its keyword */
    uint32_t held;  /* FOLDED, IF: where its bytes begin in `held` */
    uint8_t arms;   /* IF: 1 then, 2 else; TRY: 1 do, 4 catch, 2 catch_all, 3 delegate: the last one seen */
    struct asm_id label;
};
struct asm_label {
    struct asm_id id;
    uint32_t shadowed; /* what the map held before, or BC_NONE */
};

struct assembler {
    const struct atoll_alloc *alloc;
    struct bc_arena arena;
    struct text_lexer x; /* for faults */
    struct text_token *t;
    uint32_t *close; /* of each opening parenthesis: the token that closes it */
    size_t token_capacity, close_capacity;
    uint32_t n_tokens, i, limit; /* limit: behind the last token that may be read */

    uint16_t *op_slots; /* hash of instruction keywords: op + 1 */
    struct asm_entry *ids;
    uint32_t n_ids, id_slots;
    uint32_t counts[N_INDEX_SPACES];
    struct asm_names names[N_SPACES];
    struct asm_id module_name;

    struct asm_type *types;
    size_t n_types, types_capacity;
    struct bc_buf groups; /* explicit recursion groups, encoded */
    uint32_t n_groups;
    uint32_t *implicit_slots; /* hash of function types that a type use may take: index + 1 */
    uint32_t n_implicit_slots, n_implicit;

    struct bc_buf section[14];
    uint32_t items[14];
    bool has_start, needs_data_count;
    const char *first_definition; /* what the first definition in the text defines */

    struct bc_buf *code; /* instructions go here */
    struct bc_buf body, held;
    struct asm_frame *frames;
    size_t n_frames, frames_capacity;
    struct asm_label *labels;
    size_t n_labels, labels_capacity;
    uint32_t func, n_func_labels;
    struct asm_annotated { /* (@name "..."), in the order of the text */
        uint32_t token;    /* it stands behind */
        struct text_token string;
    } * annotated;
    size_t n_annotated, annotated_capacity;
    struct bc_source_map *map, places[14]; /* places: by section, not yet in the map (asm_place.c) */
    struct asm_mark {                      /* source positions of the current body or expression */
        uint32_t at, token;
    } * marks;
    size_t n_marks, marks_capacity;
};

/* ---- tokens ---- */

/* Only the tokens of a text, for scripts, whose literals are read with the functions below. asm_fini in any
 * case. */
enum atoll_status asm_tokens(struct assembler *a, const struct atoll_alloc *alloc, const char *text,
                             size_t n_bytes, struct atoll_error *err);
void asm_fini(struct assembler *a);

static inline const struct text_token *asm_peek(const struct assembler *a) { return &a->t[a->i]; }
static inline bool asm_failed(const struct assembler *a) { return a->x.status != ATOLL_OK; }
bool asm_is(const struct text_token *t, const char *keyword);
/* "(" keyword at the cursor? */
bool asm_at_open(const struct assembler *a, const char *keyword);
/* The same, and the cursor moves behind both. */
bool asm_open(struct assembler *a, const char *keyword);
bool asm_accept(struct assembler *a, const char *keyword);
void asm_expect_close(struct assembler *a);
void asm_unexpected(struct assembler *a);
void asm_nomem(struct assembler *a);
#define asm_fail(a, token, ...) text_lexer_fail(&(a)->x, token, __VA_ARGS__)
void *asm_new(struct assembler *a, size_t n, size_t size);
bool asm_string(struct assembler *a, struct bc_buf *out);      /* a string's bytes, without length */
void asm_string_name(struct assembler *a, struct bc_buf *out); /* with length, UTF-8 checked */

/* ---- identifiers (asm_names.c) ---- */

bool asm_take_id(struct assembler *a, struct asm_id *out); /* optional */
/* The name of an annotation right before the cursor replaces *name. */
void asm_annotated_name(struct assembler *a, struct asm_id *name);
void asm_define(struct assembler *a, enum asm_space space, uint32_t scope, struct asm_id id, uint32_t value);
uint32_t asm_find(const struct assembler *a, enum asm_space space, uint32_t scope, struct asm_id id);
struct asm_entry *asm_entry_of(struct assembler *a, enum asm_space space, uint32_t scope, struct asm_id id);
void asm_add_name(struct assembler *a, enum asm_space space, uint32_t outer, uint32_t index,
                  struct asm_id id);
bool asm_at_index(const struct assembler *a);
uint32_t asm_index(struct assembler *a, enum asm_space space, uint32_t scope);
void asm_write_names(struct assembler *a, struct bc_buf *out);

/* ---- numbers (asm_number.c) ---- */

uint64_t asm_int(struct assembler *a, unsigned bits); /* two's complement, signed or unsigned notation */
uint64_t asm_nat(struct assembler *a, unsigned bits, const char *what);
bool asm_parse_nat(const char *p, const char *end, uint64_t *out); /* digits with underscores, checked */
uint32_t asm_f32(struct assembler *a);
uint64_t asm_f64(struct assembler *a);

/* ---- types (asm_type.c) ---- */

void asm_types(struct assembler *a); /* pass 2 */
bool asm_at_reftype(const struct assembler *a);
bc_valtype asm_valtype(struct assembler *a);
bc_valtype asm_reftype(struct assembler *a);
uint32_t asm_heaptype(struct assembler *a);
/* (type x)? (param ...)* (result ...)*. bind: parameters are locals of the current function; ids: may have
 * ids. */
void asm_sig_read(struct assembler *a, struct asm_sig *sig, bool bind, bool ids);
uint32_t asm_sig_type(struct assembler *a, struct asm_sig *sig, const struct text_token *at);
/* The type section; returns the size of its count. */
size_t asm_put_types(struct assembler *a, struct bc_buf *out);

/* ---- instructions (asm_instr.c, asm_immediate.c) ---- */

void asm_init_ops(struct assembler *a);
/* The instruction a keyword names (its first row), or -1. */
int asm_op(const struct assembler *a, const struct text_token *t);
/* Instructions up to token `end` into *out, without the final end. */
void asm_instrs(struct assembler *a, uint32_t end, struct bc_buf *out);
void asm_put_blocktype(struct assembler *a, struct bc_buf *out);
/* Immediates of a plain instruction behind its keyword; writes opcode and immediates. */
void asm_plain(struct assembler *a, enum bc_op op, struct bc_buf *out);
uint32_t asm_label_index(struct assembler *a);
void asm_put_catches(struct assembler *a, struct bc_buf *out);

/* ---- places in the text (asm_place.c) ---- */

/* Byte `at` of the section's buffer comes from the token. */
void asm_place(struct assembler *a, unsigned section, size_t at, uint32_t token);
/* What is appended next to the section comes from the keyword before the cursor. */
void asm_place_item(struct assembler *a, unsigned section);
/* The instructions just assembled stand at byte `at`. */
void asm_place_instrs(struct assembler *a, unsigned section, size_t at);
/* Places [from, to) of a section move: their bytes were appended to it only now. */
void asm_move_places(struct assembler *a, unsigned section, size_t from, size_t to, size_t by);
/* The section's buffer stands at byte `at` of the module: its places go to the map, sections in their order. */
void asm_map_section(struct assembler *a, unsigned section, size_t at);

#endif
