/* jit/build_try.c: exceptions. A call or throw inside a try ends its block; the handlers around it are successors of the
 * block, each with the locals of all who may come. Entering a try is no code at all: the ways to handlers stand beside the
 * code (struct jit_landing), and only a throw looks for them (run.c).
 *
 *        call f          values of the exception: RESULTs at the head of the handler's block
 *        |     \
 *        next   handler of tag 0, handler of tag 1, ... */
#include <string.h>
#include "jit/build.h"

/* ---- what there is, found by the look ahead ---- */

bool build_new_clause(struct build *b, uint32_t attempt, struct clause clause) {
    if (b->n_clauses == b->cap_clauses &&
        atoll_grow(b->f->alloc, (void **)&b->clauses, &b->cap_clauses, b->n_clauses + 1, sizeof *b->clauses))
        return false;
    struct attempt *a = b->attempts + attempt;
    uint32_t n = (uint32_t)b->n_clauses++;
    clause.next = IR_NONE;
    clause.here = (struct merge){.block = IR_NONE};
    b->clauses[n] = clause;
    if (a->first == IR_NONE)
        a->first = n;
    else
        b->clauses[a->last].next = n;
    a->last = n;
    return true;
}

bool build_new_attempt(struct build *b, const struct bc_instr *in) {
    if (b->n_attempts == b->cap_attempts && atoll_grow(b->f->alloc, (void **)&b->attempts, &b->cap_attempts,
                                                       b->n_attempts + 1, sizeof *b->attempts))
        return false;
    uint32_t n = (uint32_t)b->n_attempts++, at = in->at;
    b->attempts[n] = (struct attempt){IR_NONE, IR_NONE, IR_NONE, false};
    for (uint32_t i = 0; in->op == BC_TRY_TABLE && i < in->count; i++) {
        struct bc_catch c = bc_read_catch(b->f->bc, &at);
        struct clause clause = {
            .tag = c.kind < 2 ? c.tag : IR_ANY_TAG, .label = c.label, .with_ref = c.kind & 1};
        if (!build_new_clause(b, n, clause)) return false;
    }
    return true;
}

/* ---- from a throw to the handlers around it ---- */

struct target {
    struct build *at; /* whose clause it is: the function's that throws, or of one that it is inlined into */
    struct clause *clause;
};
struct targets {
    struct target *items;
    size_t n, capacity;
};

static bool has_tag(struct build *b, const struct targets *t, uint32_t tag) {
    b->work += t->n;
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].clause->tag == tag) return true;
    return false;
}

/* False: the clauses further out handle nothing any more. */
static bool add_clauses(struct build *b, struct targets *t, uint32_t first) {
    for (uint32_t c = first; c != IR_NONE; c = b->clauses[c].next) {
        if (has_tag(b, t, b->clauses[c].tag)) continue;
        if (t->n == t->capacity &&
            atoll_grow(b->f->alloc, (void **)&t->items, &t->capacity, t->n + 1, sizeof *t->items)) {
            b->f->failed = true;
            return false;
        }
        t->items[t->n++] = (struct target){b, b->clauses + c};
        if (b->clauses[c].tag == IR_ANY_TAG) return false;
    }
    return true;
}

/* False: nothing further out is reached. */
static bool find_targets(struct build *b, struct targets *t) {
    for (size_t i = b->n_frames; i-- > 0;) {
        const struct frame *frame = b->frames + i;
        b->work++;
        if (frame->op != BC_TRY && frame->op != BC_TRY_TABLE) continue;
        const struct attempt *a = b->attempts + frame->attempt;
        if (a->delegate != IR_NONE)
            i -= a->delegate; /* counted from the frame around */
        else if (!add_clauses(b, t, a->first))
            return false;
    }
    return true;
}

static void link_targets(struct build *b, const struct targets *t, bool goes_on) {
    struct ir_func *f = b->f;
    uint32_t from = b->block, n = 0;
    uint32_t *succs = bc_arena_new(&f->arena, t->n + 1, sizeof *succs);
    if (!succs) {
        f->failed = true;
        return;
    }
    if (goes_on) succs[n++] = build_block_after(b);
    for (size_t i = 0; i < t->n && !f->failed; i++) {
        struct clause *c = t->items[i].clause;
        t->items[i].at->block = from;
        build_merge(t->items[i].at, &c->here, 0);
        if (f->failed) return;
        struct ir_block *block = f->blocks + c->here.block;
        block->landing = true;
        block->tag = c->tag;
        block->with_ref = c->with_ref;
        succs[n++] = c->here.block;
    }
    if (f->failed) return;
    ir_set_succs(f, from, n, succs);
    f->blocks[from].throws = true;
    if (goes_on) build_start(b, succs[0]);
}

void build_landings(struct build *b, bool goes_on) {
    struct targets t = {0};
    for (struct build *at = b; at && !b->f->failed; at = at->outer)
        if (at->n_open && !find_targets(at, &t)) break;
    if (t.n && !b->f->failed) link_targets(b, &t, goes_on);
    atoll_free(b->f->alloc, t.items, t.capacity * sizeof *t.items);
    if (!goes_on) build_dead(b);
}

/* ---- throws ---- */

static void throw(struct build * b, uint32_t tag) {
    struct ir_func *f = b->f;
    const struct bc_type *type = &f->bc->types[f->bc->tags[tag].type];
    uint32_t at = build_pop_list(b, type->n_params), bytes = 0, v = build_new(b, IR_THROW, IR_VOID);
    if (f->failed) return;
    f->ins[v].a = at;
    f->ins[v].b = type->n_params;
    f->ins[v].imm = tag;
    for (uint32_t i = 0; i < type->n_params; i++) bytes += ir_type_of(type->params[i]) == IR_V128 ? 16 : 8;
    if (bytes > f->out_bytes) f->out_bytes = bytes;
    f->has_calls = true;
    build_landings(b, false);
}

static void throw_ref(struct build *b, uint32_t exception) {
    uint32_t v = build_new(b, IR_THROW_REF, IR_VOID);
    if (b->f->failed) return;
    b->f->ins[v].a = exception;
    b->f->has_calls = true;
    build_landings(b, false);
}

static void rethrow(struct build *b, uint32_t depth) {
    uint32_t caught = b->frames[b->n_frames - 1 - depth].caught;
    if (caught == IR_NONE)
        b->f->declined =
            "a loop in a handler that throws on"; /* entered there, where the exception is not at hand */
    else
        throw_ref(b, caught);
}

/* ---- handlers ---- */

static void take_value(struct build *b, unsigned type, uint32_t *offset) {
    uint32_t v = build_new(b, IR_RESULT, type);
    if (b->f->failed) return;
    b->f->ins[v].imm = *offset;
    *offset += type == IR_V128 ? 16 : 8;
    build_push(b, v);
}

/* Code goes on at the clause, with the values of its tag above `height` operands, then the exception where it is wanted.
 * False: nobody throws there. */
static bool land(struct build *b, const struct clause *c, uint32_t height) {
    struct ir_func *f = b->f;
    uint32_t offset = 0;
    b->n_stack = height;
    build_dead(b);
    if (c->here.block == IR_NONE || f->failed) return false;
    b->work += b->n_locals;
    memcpy(b->locals, c->here.values, b->n_locals * sizeof *b->locals);
    build_start(b, c->here.block);
    if (c->tag != IR_ANY_TAG) {
        const struct bc_type *type = &f->bc->types[f->bc->tags[c->tag].type];
        for (uint32_t i = 0; i < type->n_params; i++) take_value(b, ir_type_of(type->params[i]), &offset);
    }
    if (c->with_ref) take_value(b, IR_I64, &offset);
    if (offset > f->out_bytes) f->out_bytes = offset;
    return !f->failed;
}

void build_open_attempt(struct build *b, const struct bc_instr *in, uint32_t n_begun) {
    uint32_t n = (uint32_t)b->next_attempt++;
    struct frame *frame = build_open_block(b, (uint16_t)in->op, in->block_type);
    if (!frame) return;
    frame->attempt = n;
    frame->clause = b->attempts[n].first;
    frame->caught = IR_NONE;
    for (uint32_t c = frame->clause; c != IR_NONE && in->op == BC_TRY; c = b->clauses[c].next)
        b->clauses[c].with_ref = b->attempts[n].rethrown;
    if (n_begun) frame->op = BC_CATCH;
    while (n_begun-- && frame->clause != IR_NONE) frame->clause = b->clauses[frame->clause].next;
    b->n_open += frame->op != BC_CATCH;
}

void build_close_attempt(struct build *b, struct frame *frame) {
    b->n_open--;
    if (frame->op == BC_TRY) return; /* without handlers of its own */
    bool thrown = false;
    uint32_t first = b->attempts[frame->attempt].first, height = frame->height;
    for (uint32_t c = first; c != IR_NONE; c = b->clauses[c].next)
        thrown |= b->clauses[c].here.block != IR_NONE;
    frame->op = BC_BLOCK;
    if (thrown && b->block != IR_NONE) build_branch(b, 0);
    for (uint32_t c = first; c != IR_NONE && !b->f->failed && thrown; c = b->clauses[c].next)
        if (land(b, b->clauses + c, height)) build_branch(b, b->clauses[c].label + 1);
}

static void enter_catch(struct build *b) {
    struct frame *frame = b->frames + b->n_frames - 1;
    if (b->block != IR_NONE) build_branch(b, 0);
    if (frame->op == BC_TRY) b->n_open--;
    frame->op = BC_CATCH;
    frame->caught = IR_NONE;
    if (b->f->failed || frame->clause == IR_NONE) return;
    const struct clause *c = b->clauses + frame->clause;
    frame->clause = c->next;
    if (land(b, c, frame->height) && c->with_ref) frame->caught = build_pop(b);
}

void build_exception(struct build *b, const struct bc_instr *in) {
    switch (in->op) {
    case BC_TRY:
    case BC_TRY_TABLE: build_open_attempt(b, in, 0); break;
    case BC_CATCH:
    case BC_CATCH_ALL: enter_catch(b); break;
    case BC_THROW: throw(b, in->index); break;
    case BC_RETHROW: rethrow(b, in->index); break;
    default: throw_ref(b, build_pop(b)); break;
    }
}
