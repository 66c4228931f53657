/* bytecode/text/asm_instr.c: instruction sequences, flat and folded, with an explicit stack of what is open.
 *
 * A folded instruction (op imm operand*) stands before its operands in the text and behind them in the code:
 * its bytes wait in `held` until its parenthesis closes. */
#include "bytecode/text/asm.h"

static struct asm_frame *push_frame(struct assembler *a, enum asm_frame_kind kind, enum bc_op op) {
    void *p = a->frames;
    if (atoll_grow(a->alloc, &p, &a->frames_capacity, a->n_frames + 1, sizeof *a->frames)) {
        asm_nomem(a);
        return NULL;
    }
    a->frames = p;
    struct asm_frame *f = &a->frames[a->n_frames++];
    *f = (struct asm_frame){
        .kind = kind, .op = op, .token = a->i ? a->i - 1 : 0, .held = (uint32_t)a->held.size};
    return f;
}

/* ---- labels ---- */

static void push_label(struct assembler *a, struct asm_id id) {
    void *p = a->labels;
    if (atoll_grow(a->alloc, &p, &a->labels_capacity, a->n_labels + 1, sizeof *a->labels)) {
        asm_nomem(a);
        return;
    }
    a->labels = p;
    struct asm_label *l = &a->labels[a->n_labels];
    *l = (struct asm_label){.id = id, .shadowed = BC_NONE};
    struct asm_entry *e = id.bytes ? asm_entry_of(a, SPACE_LABEL, a->func, id) : NULL;
    if (e) {
        l->shadowed = e->value;
        e->value = (uint32_t)a->n_labels;
        asm_add_name(a, SPACE_LABEL, a->func, a->n_func_labels, id);
    }
    a->n_labels++;
    a->n_func_labels++;
}

static void pop_label(struct assembler *a) {
    struct asm_label *l = &a->labels[--a->n_labels];
    struct asm_entry *e = l->id.bytes ? asm_entry_of(a, SPACE_LABEL, a->func, l->id) : NULL;
    if (e) e->value = l->shadowed;
}

/* `end $l`, `else $l`: the identifier, when there, is the block's. */
static void check_label(struct assembler *a, struct asm_id expected) {
    const struct text_token *t = asm_peek(a);
    struct asm_id id;
    if (!asm_take_id(a, &id)) return;
    if (id.size != expected.size || !expected.bytes || memcmp(id.bytes, expected.bytes, id.size))
        asm_fail(a, t, "mismatching label");
}

static void mark(struct assembler *a, uint32_t token) {
    void *p = a->marks;
    if (!a->map || asm_failed(a)) return;
    if (atoll_grow(a->alloc, &p, &a->marks_capacity, a->n_marks + 1, sizeof *a->marks)) {
        asm_nomem(a);
        return;
    }
    a->marks = p;
    a->marks[a->n_marks++] = (struct asm_mark){(uint32_t)a->code->size, token};
}

/* ---- blocks ---- */

static bool is_block(enum bc_op op) {
    return op == BC_BLOCK || op == BC_LOOP || op == BC_IF || op == BC_TRY || op == BC_TRY_TABLE;
}

/* Behind the keyword: label, type, catches; the head goes to *out and the label is not yet there. */
static struct asm_id block_head(struct assembler *a, enum bc_op op, struct bc_buf *out) {
    struct asm_id id;
    asm_take_id(a, &id);
    bc_put_op(out, op);
    asm_put_blocktype(a, out);
    if (op == BC_TRY_TABLE) asm_put_catches(a, out);
    return id;
}

static void flat_block(struct assembler *a, enum bc_op op) {
    mark(a, a->i - 1);
    struct asm_frame *f = push_frame(a, FRAME_FLAT, op);
    if (!f) return;
    f->label = block_head(a, op, a->code);
    push_label(a, a->frames[a->n_frames - 1].label);
}

static void end_block(struct assembler *a, const struct asm_frame *f, bool emit) {
    (void)f;
    if (emit) bc_put_op(a->code, BC_END);
    pop_label(a);
    a->n_frames--;
}

/* else, catch, catch_all, delegate, end of a flat block. Returns false when the keyword is none of them. */
static bool flat_separator(struct assembler *a, enum bc_op op) {
    if (op != BC_ELSE && op != BC_CATCH && op != BC_CATCH_ALL && op != BC_DELEGATE && op != BC_END)
        return false;
    struct asm_frame *f = a->n_frames ? &a->frames[a->n_frames - 1] : NULL;
    bool try_ = f && (f->op == BC_TRY || f->op == BC_CATCH);
    bool fits = f && f->kind == FRAME_FLAT &&
                (op == BC_END || (op == BC_ELSE       ? f->op == BC_IF
                                  : op == BC_DELEGATE ? f->op == BC_TRY
                                                      : try_));
    if (!fits) {
        a->i--;
        asm_unexpected(a);
        return true;
    }
    mark(a, a->i - 1);
    if (op == BC_DELEGATE) {
        end_block(a, f, false);
        bc_put_op(a->code, op);
        bc_buf_u32(a->code, asm_label_index(a));
        return true;
    }
    if (op != BC_CATCH) check_label(a, f->label);
    if (op == BC_END) {
        end_block(a, f, true);
        return true;
    }
    f->op = op;
    bc_put_op(a->code, op);
    if (op == BC_CATCH) bc_buf_u32(a->code, asm_index(a, SPACE_TAG, 0));
    return true;
}

static void flat(struct assembler *a) {
    const struct text_token *t = asm_peek(a);
    int op = asm_op(a, t);
    if (op < 0) {
        a->i = (uint32_t)(t - a->t);
        asm_unexpected(a);
        return;
    }
    a->i++;
    if (is_block((enum bc_op)op)) {
        flat_block(a, (enum bc_op)op);
    } else if (!flat_separator(a, (enum bc_op)op)) {
        mark(a, a->i - 1);
        asm_plain(a, (enum bc_op)op, a->code);
    }
}

/* ---- folded ---- */

/* Inside (if ...): (then ...) and (else ...), in that order, behind the folded condition. */
static bool if_arm(struct assembler *a, struct asm_frame *f) {
    if (f->arms == 0 && asm_open(a, "then")) {
        struct asm_id label = f->label;
        f->arms = 1;
        mark(a, f->token);
        if (a->held.size > f->held) bc_buf_bytes(a->code, a->held.data + f->held, a->held.size - f->held);
        a->held.size = f->held;
        push_label(a, label);
    } else if (f->arms == 1 && asm_open(a, "else")) {
        f->arms = 2;
        bc_put_op(a->code, BC_ELSE);
    } else {
        return false;
    }
    push_frame(a, FRAME_ARM, BC_IF);
    return true;
}

/* Inside (try ...): (do ...), then (catch x ...)* (catch_all ...)? or (delegate l). */
static bool try_arm(struct assembler *a, struct asm_frame *f) {
    if (f->arms == 0 && asm_open(a, "do")) {
        f->arms = 1;
    } else if ((f->arms == 1 || f->arms == 4) && asm_open(a, "catch")) {
        f->arms = 4;
        bc_put_op(a->code, BC_CATCH);
        bc_buf_u32(a->code, asm_index(a, SPACE_TAG, 0));
    } else if ((f->arms == 1 || f->arms == 4) && asm_open(a, "catch_all")) {
        bc_put_op(a->code, BC_CATCH_ALL);
        f->arms = 2;
    } else if (f->arms == 1 && asm_open(a, "delegate")) {
        f->arms = 3;
        pop_label(a);
        bc_put_op(a->code, BC_DELEGATE);
        bc_buf_u32(a->code, asm_label_index(a));
        push_label(a, (struct asm_id){0}); /* for the closing parenthesis to pop */
        a->n_func_labels--;
    } else {
        return false;
    }
    push_frame(a, FRAME_ARM, BC_TRY);
    return true;
}

static void folded_block(struct assembler *a, enum bc_op op) {
    struct asm_frame *f = push_frame(a,
                                     op == BC_IF    ? FRAME_IF
                                     : op == BC_TRY ? FRAME_TRY
                                                    : FRAME_FOLDED_BLOCK,
                                     op);
    if (!f) return;
    if (op != BC_IF) mark(a, a->i - 1);
    struct asm_id label = block_head(a, op, op == BC_IF ? &a->held : a->code);
    a->frames[a->n_frames - 1].label = label;
    if (op != BC_IF) push_label(a, label);
}

static void open_paren(struct assembler *a) {
    struct asm_frame *f = a->n_frames ? &a->frames[a->n_frames - 1] : NULL;
    if (f && f->kind == FRAME_IF && if_arm(a, f)) return;
    if (f && f->kind == FRAME_TRY && try_arm(a, f)) return;
    bool operands = f && ((f->kind == FRAME_IF && f->arms) || f->kind == FRAME_TRY);
    const struct text_token *t = &a->t[a->i + 1];
    if (operands || t->kind != TEXT_KEYWORD) {
        a->i += !operands;
        asm_unexpected(a);
        return;
    }
    int op = asm_op(a, t);
    if (op < 0) {
        a->i = (uint32_t)(t - a->t);
        asm_unexpected(a);
        return;
    }
    if (op == BC_ELSE || op == BC_END || op == BC_CATCH || op == BC_CATCH_ALL || op == BC_DELEGATE) {
        a->i++;
        asm_unexpected(a);
        return;
    }
    a->i += 2;
    if (is_block((enum bc_op)op)) {
        folded_block(a, (enum bc_op)op);
    } else if (push_frame(a, FRAME_FOLDED, (enum bc_op)op)) {
        asm_plain(a, (enum bc_op)op, &a->held);
    }
}

static void close_paren(struct assembler *a) {
    struct asm_frame *f = a->n_frames ? &a->frames[a->n_frames - 1] : NULL;
    if (!f || f->kind == FRAME_FLAT || (f->kind == FRAME_IF && !f->arms) ||
        (f->kind == FRAME_TRY && !f->arms)) {
        asm_unexpected(a);
        return;
    }
    a->i++;
    if (f->kind == FRAME_FOLDED) {
        mark(a, f->token);
        if (a->held.size > f->held) bc_buf_bytes(a->code, a->held.data + f->held, a->held.size - f->held);
        a->held.size = f->held;
    }
    if (f->kind == FRAME_FOLDED || f->kind == FRAME_ARM)
        a->n_frames--;
    else
        end_block(a, f, f->kind != FRAME_TRY || f->arms != 3);
}

/* Flat instructions may not stand among the operands of a folded one. */
static bool takes_flat(const struct assembler *a) {
    if (!a->n_frames) return true;
    enum asm_frame_kind kind = a->frames[a->n_frames - 1].kind;
    return kind == FRAME_FLAT || kind == FRAME_FOLDED_BLOCK || kind == FRAME_ARM;
}

void asm_instrs(struct assembler *a, uint32_t end, struct bc_buf *out) {
    uint32_t outer_limit = a->limit;
    a->code = out;
    a->limit = end;
    a->n_frames = 0;
    a->n_labels = 0;
    a->held.size = 0;
    a->n_marks = 0;
    push_label(a, (struct asm_id){0}); /* the body itself */
    a->n_func_labels = 0;
    while (a->i < end && !text_lexer_stopped(&a->x)) {
        const struct text_token *t = asm_peek(a);
        if (t->kind == TEXT_LPAREN)
            open_paren(a);
        else if (t->kind == TEXT_RPAREN)
            close_paren(a);
        else if ((t->kind == TEXT_KEYWORD || t->kind == TEXT_RESERVED) && takes_flat(a))
            flat(a);
        else
            asm_unexpected(a);
    }
    if (!asm_failed(a) && a->n_frames) asm_unexpected(a);
    if (a->held.failed || out->failed) asm_nomem(a);
    a->limit = outer_limit;
}
