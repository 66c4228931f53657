/* bytecode/text/print_body.c: function bodies and constant expressions.
 *
 * Flat: one instruction a line. Folded: an instruction is written in front of the instructions that compute
 * its operands, in parentheses around them, when these stand right before it and each gives just what it
 * takes. Pass 1 walks the body with a stack of {where the operand's code starts, values it gives} and notes
 * for every instruction where its operands start; pass 2 opens at each place the instructions whose operands
 * start there, outermost first. Whatever does not fit is written flat in between, which the text format
 * allows anywhere. */
#include "bytecode/text/print.h"

#define MAX_INDENT 64
#define NONE       UINT32_MAX

void print_newline(struct printer *p, size_t depth) {
    static const char spaces[2 * MAX_INDENT + 1] =
        "                                                                "
        "                                                                ";
    bc_buf_u8(p->out, '\n');
    bc_buf_bytes(p->out, spaces, 2 * (depth < MAX_INDENT ? depth : MAX_INDENT));
}

/* ---- labels ---- */

static void push_label(struct printer *p, struct print_label label) {
    void *list = p->labels;
    if (atoll_grow(p->out->alloc, &list, &p->cap_labels, p->n_labels + 1, sizeof *p->labels)) {
        print_nomem(p);
        return;
    }
    p->labels = list;
    p->labels[p->n_labels++] = label;
}

static struct print_label label_of(struct printer *p, uint32_t number) {
    struct print_label label = {.number = number};
    struct bc_name_map map = {0};
    if (p->names && p->func != BC_NONE) map = bc_name_groups_find(&p->names->labels, p->func);
    const struct bc_name_entry *e = bc_name_map_find(&map, number);
    if (e) label.name = (struct bc_name){e->bytes, e->size};
    return label;
}

static bool opens_block(enum bc_op op) {
    return op == BC_BLOCK || op == BC_LOOP || op == BC_IF || op == BC_TRY || op == BC_TRY_TABLE;
}
static bool divides_block(enum bc_op op) { return op == BC_ELSE || op == BC_CATCH || op == BC_CATCH_ALL; }
static bool ends_block(enum bc_op op) { return op == BC_END || op == BC_DELEGATE; }

static void comment_label(struct printer *p) {
    if (!p->labels[p->n_labels - 1].name.size) bc_buf_text(p->out, " (;@%zu;)", p->n_labels);
}

static void comment_offset(struct printer *p, const struct bc_instr *in) {
    if (p->o.offsets) bc_buf_text(p->out, "(;0x%06x;) ", in->offset);
}

/* ---- flat ---- */

static void flat_instr(struct printer *p, const struct bc_instr *in, size_t base) {
    bool ends = ends_block(in->op) && p->n_labels;
    if (ends) p->n_labels--;
    size_t depth = base + p->n_labels - (divides_block(in->op) && p->n_labels ? 1 : 0);
    print_newline(p, depth);
    comment_offset(p, in);
    if (!opens_block(in->op)) {
        print_instr(p, in, NULL);
        return;
    }
    struct print_label label = label_of(p, p->next_label++);
    print_instr(p, in, &label);
    push_label(p, label);
    if (print_ok(p)) comment_label(p);
}

static void flat_body(struct printer *p, uint32_t at, uint32_t end, size_t base) {
    while (at < end && print_ok(p)) {
        struct bc_instr in;
        p->status = bc_decode_instr(p->m, at, end, &in, p->err);
        if (p->status) return;
        at = in.next;
        if (at < end || in.op != BC_END) flat_instr(p, &in, base);
    }
}

/* ---- folded, pass 1 ---- */

struct operand {
    uint32_t start, n;
};
struct open_block {
    uint32_t node, base, n_results, n_params, arity;
    bool folded;
};
struct folder {
    struct printer *p;
    struct operand *stack;
    size_t n, cap;
    struct open_block *blocks;
    size_t n_blocks, cap_blocks;
    uint32_t n_labels;
};

static const struct bc_type *func_type(const struct bc_module *m, uint32_t type) {
    return type < m->n_types && m->types[type].form == BC_TYPE_FUNC ? &m->types[type] : NULL;
}

static const struct open_block *target(const struct folder *f, uint32_t depth) {
    return depth < f->n_blocks ? &f->blocks[f->n_blocks - 1 - depth] : NULL;
}

static bool call_arity(const struct bc_type *t, uint32_t more, bool tail, uint32_t *n_in, uint32_t *n_out) {
    if (!t) return false;
    *n_in = t->n_params + more;
    *n_out = tail ? 0 : t->n_results;
    return true;
}

static bool branch_arity(const struct open_block *b, uint32_t more_in, uint32_t less_out, bool ends,
                         uint32_t *n_in, uint32_t *n_out) {
    if (!b || b->arity < less_out) return false;
    *n_in = b->arity + more_in;
    *n_out = ends ? 0 : b->arity - less_out;
    return true;
}

/* Operands and results of instructions whose signature the table does not hold. False: not to be folded. */
static bool special_arity(const struct folder *f, const struct bc_instr *in, uint32_t *n_in,
                          uint32_t *n_out) {
    const struct bc_module *m = f->p->m;
    const struct bc_type *type = in->index < m->n_types ? &m->types[in->index] : NULL;
    const struct bc_type *func = in->index < m->n_funcs ? func_type(m, m->funcs[in->index].type) : NULL;
    const struct bc_type *tag = in->index < m->n_tags ? func_type(m, m->tags[in->index].type) : NULL;
    const struct bc_type *call = type ? func_type(m, in->index) : NULL;
    uint32_t in_out = 0; /* operands * 16 + results of what has fixed ones */
    switch (in->op) {
    case BC_DROP: in_out = 0x10; break;
    case BC_SELECT:
    case BC_SELECT_T: in_out = 0x31; break;
    case BC_LOCAL_GET:
    case BC_GLOBAL_GET:
    case BC_REF_NULL:
    case BC_REF_FUNC:
    case BC_STRUCT_NEW_DEFAULT:
    case BC_MEMORY_SIZE:
    case BC_TABLE_SIZE: in_out = 0x01; break;
    case BC_LOCAL_SET:
    case BC_GLOBAL_SET: in_out = 0x10; break;
    case BC_LOCAL_TEE:
    case BC_TABLE_GET:
    case BC_REF_IS_NULL:
    case BC_REF_AS_NON_NULL:
    case BC_STRUCT_GET:
    case BC_STRUCT_GET_S:
    case BC_STRUCT_GET_U:
    case BC_ARRAY_NEW_DEFAULT:
    case BC_ARRAY_LEN:
    case BC_REF_TEST:
    case BC_REF_TEST_NULL:
    case BC_REF_CAST:
    case BC_REF_CAST_NULL:
    case BC_ANY_CONVERT_EXTERN:
    case BC_EXTERN_CONVERT_ANY:
    case BC_REF_I31:
    case BC_I31_GET_S:
    case BC_I31_GET_U:
    case BC_MEMORY_GROW: in_out = 0x11; break;
    case BC_TABLE_SET:
    case BC_STRUCT_SET: in_out = 0x20; break;
    case BC_REF_EQ:
    case BC_TABLE_GROW:
    case BC_ARRAY_NEW:
    case BC_ARRAY_NEW_DATA:
    case BC_ARRAY_NEW_ELEM:
    case BC_ARRAY_GET:
    case BC_ARRAY_GET_S:
    case BC_ARRAY_GET_U: in_out = 0x21; break;
    case BC_ARRAY_SET:
    case BC_TABLE_FILL:
    case BC_TABLE_COPY:
    case BC_TABLE_INIT:
    case BC_MEMORY_FILL:
    case BC_MEMORY_COPY:
    case BC_MEMORY_INIT: in_out = 0x30; break;
    case BC_ARRAY_FILL:
    case BC_ARRAY_INIT_DATA:
    case BC_ARRAY_INIT_ELEM: in_out = 0x40; break;
    case BC_ARRAY_COPY: in_out = 0x50; break;
    case BC_CALL: return call_arity(func, 0, false, n_in, n_out);
    case BC_RETURN_CALL: return call_arity(func, 0, true, n_in, n_out);
    case BC_CALL_INDIRECT:
    case BC_CALL_REF: return call_arity(call, 1, false, n_in, n_out);
    case BC_RETURN_CALL_INDIRECT:
    case BC_RETURN_CALL_REF: return call_arity(call, 1, true, n_in, n_out);
    case BC_THROW: return call_arity(tag, 0, true, n_in, n_out);
    case BC_THROW_REF: in_out = 0x10; break;
    case BC_STRUCT_NEW:
        if (!type || type->form != BC_TYPE_STRUCT) return false;
        *n_in = type->n_fields;
        *n_out = 1;
        return true;
    case BC_ARRAY_NEW_FIXED:
        *n_in = in->index2;
        *n_out = 1;
        return true;
    case BC_BR: return branch_arity(target(f, in->index), 0, 0, true, n_in, n_out);
    case BC_BR_IF:
    case BC_BR_ON_NULL: return branch_arity(target(f, in->index), 1, 0, false, n_in, n_out);
    case BC_BR_ON_NON_NULL: return branch_arity(target(f, in->index), 0, 1, false, n_in, n_out);
    case BC_BR_ON_CAST:
    case BC_BR_ON_CAST_FAIL: return branch_arity(target(f, in->index), 0, 0, false, n_in, n_out);
    case BC_BR_TABLE: return branch_arity(target(f, in->index), 1, 0, true, n_in, n_out);
    case BC_RETURN: return branch_arity(&f->blocks[0], 0, 0, true, n_in, n_out);
    case BC_NOP:
    case BC_UNREACHABLE:
    case BC_ELEM_DROP:
    case BC_DATA_DROP: break;
    default: return false;
    }
    *n_in = in_out >> 4;
    *n_out = in_out & 15;
    return true;
}

static bool arity(const struct folder *f, const struct bc_instr *in, uint32_t *n_in, uint32_t *n_out) {
    const char *signature = bc_op_infos[in->op].signature;
    if (!signature) return special_arity(f, in, n_in, n_out);
    *n_in = (uint32_t)strcspn(signature, ":");
    *n_out = signature[*n_in] ? (uint32_t)strlen(signature + *n_in + 1) : 0;
    return true;
}

static bool push_operand(struct folder *f, uint32_t start, uint32_t n) {
    void *p = f->stack;
    if (atoll_grow(f->p->out->alloc, &p, &f->cap, f->n + 1, sizeof *f->stack)) return false;
    f->stack = p;
    f->stack[f->n++] = (struct operand){start, n};
    return true;
}

static bool push_block(struct folder *f, struct open_block b) {
    void *p = f->blocks;
    if (atoll_grow(f->p->out->alloc, &p, &f->cap_blocks, f->n_blocks + 1, sizeof *f->blocks)) return false;
    f->blocks = p;
    f->blocks[f->n_blocks++] = b;
    return true;
}

static uint32_t stack_base(const struct folder *f) { return f->blocks[f->n_blocks - 1].base; }

/* Takes operands of n values off the stack: where the first one's code starts, or NONE when they do not end
 * there. */
static uint32_t take(struct folder *f, uint32_t n, uint32_t self) {
    uint32_t start = self;
    while (n) {
        if (f->n <= stack_base(f) || f->stack[f->n - 1].n > n) return NONE;
        n -= f->stack[f->n - 1].n;
        start = f->stack[--f->n].start;
    }
    return start;
}

static void set_start(struct printer *p, uint32_t node, uint32_t start) {
    p->nodes[node].start = start;
    if (start == node) return;
    p->nodes[node].inner = p->nodes[start].opens; /* later ones are further out and come first */
    p->nodes[start].opens = node;
}

static bool add_node(struct printer *p, uint32_t offset) {
    void *list = p->nodes;
    if (atoll_grow(p->out->alloc, &list, &p->cap_nodes, p->n_nodes + 1, sizeof *p->nodes)) return false;
    p->nodes = list;
    uint32_t i = (uint32_t)p->n_nodes++;
    p->nodes[i] = (struct print_node){.offset = offset, .start = i, .opens = NONE, .inner = NONE};
    return true;
}

static bool fold_plain(struct folder *f, const struct bc_instr *in, uint32_t node) {
    uint32_t n_in, n_out;
    bool known = arity(f, in, &n_in, &n_out);
    uint32_t start = known ? take(f, n_in, node) : NONE;
    if (start == NONE) { /* flat, and nothing reaches over it */
        f->n = stack_base(f);
        return true;
    }
    f->p->nodes[node].folded = true;
    set_start(f->p, node, start);
    if (!n_out) {
        f->n = stack_base(f);
        return true;
    }
    return push_operand(f, start, n_out);
}

static bool fold_open(struct folder *f, const struct bc_instr *in, uint32_t node) {
    struct bc_block_sig sig = {0};
    uint32_t index = in->block_type & ~BC_BLOCK_TYPE_INDEX;
    bool indexed = in->block_type != BC_BLOCK_EMPTY && in->block_type & BC_BLOCK_TYPE_INDEX;
    if (!indexed || func_type(f->p->m, index)) bc_block_signature(f->p->m, in->block_type, &sig);
    bool folded = in->op != BC_TRY;
    if (in->op == BC_IF) {
        bool ready = f->n > stack_base(f) && f->stack[f->n - 1].n == 1;
        uint32_t start = ready ? take(f, 1, node) : NONE;
        folded = start != NONE;
        if (folded) set_start(f->p, node, start);
        f->p->nodes[node].block_if = folded;
    }
    f->p->nodes[node].folded = folded;
    f->p->nodes[node].number = f->n_labels++;
    if (sig.n_params || !folded) f->n = stack_base(f);
    return push_block(f, (struct open_block){.node = node,
                                             .base = (uint32_t)f->n,
                                             .n_results = sig.n_results,
                                             .n_params = sig.n_params,
                                             .arity = in->op == BC_LOOP ? sig.n_params : sig.n_results,
                                             .folded = folded});
}

static bool fold_end(struct folder *f) {
    if (f->n_blocks < 2) return true; /* the function's own end, or one too many */
    struct open_block b = f->blocks[--f->n_blocks];
    f->n = b.base;
    if (!b.folded || b.n_params || !b.n_results) {
        f->n = stack_base(f);
        return true;
    }
    return push_operand(f, f->p->nodes[b.node].start, b.n_results);
}

static void fold(struct printer *p, uint32_t at, uint32_t end) {
    struct folder f = {.p = p};
    const struct bc_type *type = func_type(p->m, p->m->funcs[p->func].type);
    p->n_nodes = 0;
    bool ok = push_block(&f, (struct open_block){.arity = type ? type->n_results : 0});
    while (ok && at < end && print_ok(p)) {
        struct bc_instr in;
        p->status = bc_decode_instr(p->m, at, end, &in, p->err);
        if (p->status) break;
        at = in.next;
        if (at >= end && in.op == BC_END) break;
        uint32_t node = (uint32_t)p->n_nodes;
        ok = add_node(p, in.offset);
        if (!ok) break;
        if (opens_block(in.op))
            ok = fold_open(&f, &in, node);
        else if (ends_block(in.op))
            ok = fold_end(&f);
        else if (divides_block(in.op))
            f.n = stack_base(&f);
        else
            ok = fold_plain(&f, &in, node);
    }
    atoll_free(p->out->alloc, f.stack, f.cap * sizeof *f.stack);
    atoll_free(p->out->alloc, f.blocks, f.cap_blocks * sizeof *f.blocks);
    if (!ok) print_nomem(p);
}

/* ---- folded, pass 2 ---- */

struct unfolder {
    struct printer *p;
    size_t depth;
    uint32_t *open; /* nodes of the open blocks; parallel to the labels */
    size_t cap_open;
};

static bool decode_node(struct printer *p, uint32_t node, struct bc_instr *in) {
    p->status = bc_decode_instr(p->m, p->nodes[node].offset, (uint32_t)p->m->n_bytes, in, p->err);
    return print_ok(p);
}

/* "(keyword immediates"; a folded if is opened in front of its condition, whose blocks come first in numbers.
 */
static void open_node(struct unfolder *u, const struct bc_instr *in, uint32_t number) {
    struct printer *p = u->p;
    struct print_label label = label_of(p, number);
    print_newline(p, u->depth++);
    comment_offset(p, in);
    bc_buf_u8(p->out, '(');
    print_instr(p, in, opens_block(in->op) ? &label : NULL);
}

static void close_paren(struct unfolder *u) {
    bc_buf_u8(u->p->out, ')');
    u->depth--;
}

static void open_wrappers(struct unfolder *u, uint32_t node) {
    struct printer *p = u->p;
    for (uint32_t k = p->nodes[node].opens; k != NONE && print_ok(p); k = p->nodes[k].inner) {
        struct bc_instr in;
        if (!decode_node(p, k, &in)) return;
        open_node(u, &in, p->nodes[k].number);
    }
}

static void enter_block(struct unfolder *u, uint32_t node) {
    struct printer *p = u->p;
    void *list = u->open;
    push_label(p, label_of(p, p->next_label++));
    if (!print_ok(p)) return;
    if (atoll_grow(p->out->alloc, &list, &u->cap_open, p->n_labels, sizeof *u->open)) {
        print_nomem(p);
        return;
    }
    u->open = list;
    u->open[p->n_labels - 1] = node;
    if (!p->nodes[node].block_if) comment_label(p);
}

static void block_begin(struct unfolder *u, uint32_t node, const struct bc_instr *in) {
    struct printer *p = u->p;
    if (p->nodes[node].block_if) {
        enter_block(u, node);
        print_newline(p, u->depth++);
        bc_buf_text(p->out, "(then");
        if (print_ok(p)) comment_label(p);
    } else if (p->nodes[node].folded) {
        open_node(u, in, p->next_label);
        enter_block(u, node);
    } else {
        struct print_label label = label_of(p, p->next_label);
        print_newline(p, u->depth++);
        comment_offset(p, in);
        print_instr(p, in, &label);
        enter_block(u, node);
    }
}

static void block_middle(struct unfolder *u, const struct bc_instr *in) {
    struct printer *p = u->p;
    bool folded = p->n_labels && p->nodes[u->open[p->n_labels - 1]].block_if;
    if (folded) {
        bc_buf_u8(p->out, ')');
        print_newline(p, u->depth - 1);
        bc_buf_text(p->out, "(else");
    } else {
        print_newline(p, u->depth ? u->depth - 1 : 0);
        comment_offset(p, in);
        print_instr(p, in, NULL);
    }
}

static void block_end(struct unfolder *u, const struct bc_instr *in) {
    struct printer *p = u->p;
    if (!p->n_labels) { /* an end too many: not valid, but printed */
        print_newline(p, u->depth);
        print_instr(p, in, NULL);
        return;
    }
    const struct print_node *node = &p->nodes[u->open[--p->n_labels]];
    if (node->folded && in->op == BC_END) {
        close_paren(u);
        if (node->block_if) close_paren(u);
        return;
    }
    print_newline(p, --u->depth);
    comment_offset(p, in);
    print_instr(p, in, NULL);
}

static void plain(struct unfolder *u, uint32_t node, const struct bc_instr *in) {
    struct printer *p = u->p;
    if (p->nodes[node].start != node) {
        close_paren(u); /* opened in front of its operands */
    } else if (p->nodes[node].folded) {
        open_node(u, in, 0);
        close_paren(u);
    } else {
        print_newline(p, u->depth);
        comment_offset(p, in);
        print_instr(p, in, NULL);
    }
}

static void folded_body(struct printer *p, uint32_t at, uint32_t end, size_t base) {
    struct unfolder u = {.p = p, .depth = base};
    fold(p, at, end);
    for (uint32_t i = 0; i < p->n_nodes && print_ok(p); i++) {
        struct bc_instr in;
        open_wrappers(&u, i);
        if (!print_ok(p) || !decode_node(p, i, &in)) break;
        if (opens_block(in.op))
            block_begin(&u, i, &in);
        else if (divides_block(in.op))
            block_middle(&u, &in);
        else if (ends_block(in.op))
            block_end(&u, &in);
        else
            plain(&u, i, &in);
    }
    atoll_free(p->out->alloc, u.open, u.cap_open * sizeof *u.open);
}

/* ---- the two entries ---- */

void print_body(struct printer *p) {
    const struct bc_func *f = &p->m->funcs[p->func];
    uint32_t end = f->body.offset + f->body.size;
    p->n_labels = 0;
    p->next_label = 0;
    if (p->o.fold)
        folded_body(p, f->code_offset, end, 2);
    else
        flat_body(p, f->code_offset, end, 2);
    p->n_labels = 0;
}

void print_expr(struct printer *p, struct bc_range range, const char *word) {
    uint32_t at = range.offset, end = range.offset + range.size, n = 0;
    struct bc_instr in;
    for (uint32_t i = at; i < end && !bc_decode_instr(p->m, i, end, &in, NULL); i = in.next) n++;
    p->func = BC_NONE;
    p->n_labels = 0;
    bc_buf_text(p->out, n == 2 ? " (" : *word ? " (%s" : "%s", n == 2 ? "" : word);
    while (at < end && print_ok(p)) {
        p->status = bc_decode_instr(p->m, at, end, &in, p->err);
        at = in.next;
        if (p->status || (at >= end && in.op == BC_END)) break;
        if (n != 2) bc_buf_u8(p->out, ' ');
        print_instr(p, &in, NULL);
    }
    if (n == 2 || *word) bc_buf_u8(p->out, ')');
}
