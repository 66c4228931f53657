/* bytecode/validate.h: the validator's state, shared by its files.
 *
 * One validator serves a whole module and keeps its buffers from body to body. It follows the algorithm of
 * the core spec's appendix "Validation Algorithm": a stack of operand types, a stack of control frames, and
 * here an undo list of locals that became initialised. Faults are sticky in r.status, as in the reader. */
#ifndef ATOLL_BYTECODE_VALIDATE_H
#define ATOLL_BYTECODE_VALIDATE_H

#include "bytecode/internal.h"
#include "bytecode/reader.h"
#include "bytecode/stress.h"

struct control {
    enum bc_op op; /* BLOCK, LOOP, IF, ELSE, TRY, CATCH, CATCH_ALL, TRY_TABLE; BLOCK for the body itself */
    bool unreachable;
    uint32_t block_type;
    uint32_t height;      /* operands below it */
    uint32_t init_height; /* entries of the undo list below it */
    uint32_t stamp;       /* br_table that checked this label last */
};

#define BC_V_MATCHED ATOLL_LIMIT(512u, 2u)
struct matched {
    bc_valtype sub, super;
};

struct validator {
    const struct bc_module *m;
    const struct atoll_alloc *alloc;
    struct bc_reader r; /* at the next instruction */
    struct bc_instr in; /* the current one */

    bc_valtype *stack;
    size_t n_stack, stack_capacity;
    size_t stack_room; /* of the capacity what the limit allows */
    struct control *controls;
    size_t n_controls, controls_capacity;

    const struct bc_func *func;  /* NULL while a constant expression is checked */
    bc_valtype body_result;      /* of a constant expression */
    uint32_t n_params, n_locals; /* locals: parameters included */
    bc_valtype *locals; /* types of the first n_flat, all parameters among them; the rest by search */
    uint32_t n_flat;
    size_t locals_capacity;
    bool tracks_init;  /* the function has locals without a default value */
    uint64_t *is_init; /* bit a local */
    size_t init_capacity;
    uint32_t *undo; /* locals initialised, in order */
    size_t n_undo, undo_capacity;
    uint32_t n_visible_globals;           /* in a constant expression */
    struct matched matched[BC_V_MATCHED]; /* pairs found to be subtypes, by their hash */
};

/* Records a fault at the current instruction. */
void bc_v_fail(struct validator *v, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
void bc_v_nomem(struct validator *v) __attribute__((cold));
void bc_v_mismatch(struct validator *v, bc_valtype expected, bc_valtype found) __attribute__((cold));
/* Makes room for n operands more; false = a fault. */
bool bc_v_reserve(struct validator *v, uint32_t n);
void bc_v_push_slow(struct validator *v, bc_valtype type);
bc_valtype bc_v_pop_empty(struct validator *v, bc_valtype expected);

static inline struct control *bc_v_top(struct validator *v) { return &v->controls[v->n_controls - 1]; }

static inline void bc_v_push(struct validator *v, bc_valtype type) {
    if (__builtin_expect(v->n_stack < v->stack_room, 1))
        v->stack[v->n_stack++] = type;
    else
        bc_v_push_slow(v, type);
}

/* Nothing is left but what unreachable code may be thought to hold: any operand can be had of it. */
static inline bool bc_v_hides(struct validator *v) {
    return v->n_stack == bc_v_top(v)->height && bc_v_top(v)->unreachable;
}

/* Pops a value of any type; BC_BOTTOM in unreachable code. */
static inline bc_valtype bc_v_pop_any(struct validator *v) {
    if (__builtin_expect(v->n_stack > bc_v_top(v)->height, 1)) return v->stack[--v->n_stack];
    return bc_v_pop_empty(v, BC_BOTTOM);
}

static inline bc_valtype bc_v_pop(struct validator *v, bc_valtype expected) {
    if (__builtin_expect(v->n_stack <= bc_v_top(v)->height, 0)) return bc_v_pop_empty(v, expected);
    bc_valtype found = v->stack[--v->n_stack];
    if (found != expected && !bc_valtype_matches(v->m, found, expected)) bc_v_mismatch(v, expected, found);
    return found;
}

void bc_v_push_many(struct validator *v, const bc_valtype *types, uint32_t n);
void bc_v_pop_many(struct validator *v, const bc_valtype *types, uint32_t n);
/* The top n operands match `types`, which may be what an unreachable stack still hides; nothing is popped. */
void bc_v_check_top(struct validator *v, const bc_valtype *types, uint32_t n);
/* Each of n types is a subtype of its like. */
bool bc_v_all_match(struct validator *v, const bc_valtype *subs, const bc_valtype *supers, uint32_t n);
/* Everything behind is unreachable: the frame's operands go. */
void bc_v_unreachable(struct validator *v);
void bc_v_enter(struct validator *v, enum bc_op op, uint32_t block_type);
/* The label `depth` frames out, or NULL ("unknown label"). */
struct control *bc_v_label(struct validator *v, uint32_t depth);
/* Operand types a branch to `c` takes: points into the module or *scratch. */
const bc_valtype *bc_v_label_types(struct validator *v, const struct control *c, struct bc_block_sig *scratch,
                                   uint32_t *out_n);

bc_valtype bc_v_local_type(struct validator *v, uint32_t index);
/* The type `index` when it is of the form, else NULL and a fault ("unknown type", "type mismatch"). */
const struct bc_type *bc_v_type(struct validator *v, uint32_t index, enum bc_type_form form);
bc_valtype bc_v_address(const struct bc_limits *limits);
/* Memory or table `index`, NULL and a fault when there is none. */
const struct bc_memory *bc_v_memory(struct validator *v, uint32_t index);
const struct bc_table *bc_v_table(struct validator *v, uint32_t index);

/* validate.c: the instruction v->in, by the table. */
void bc_v_instruction(struct validator *v, bc_features features);
/* validate_bodies.c: all bodies of the module; on several threads when it is large. */
enum atoll_status bc_v_bodies(struct bc_module *m, const struct bc_config *config, struct atoll_error *err);
void bc_v_fini(struct validator *v);
/* validate_quick.c: goes over what is common and certainly valid, from v->r.at on; the next instruction is for
 * bc_v_instruction. Nothing may have to be done at all. Faults are never found here. */
void bc_v_quick(struct validator *v);

/* One instruction each; the opcode is v->in.op. */
void bc_v_control(struct validator *v);
void bc_v_object(struct validator *v);
void bc_v_special(struct validator *v);

#endif
