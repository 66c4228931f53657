/* jit/build.c: a function's bytes become IR, in one pass behind a look ahead for what each loop writes. The
 * operand stack exists only here. */
#include "jit/build.h"

/* Values copied at branches: locals times branches. Beyond, the function stays interpreted. */
#define MAX_WORK      (UINT64_C(1) << 24)
#define MAX_VALUES    (1u << 19)
#define MAX_ROW_BYTES ((size_t)8 << 20)

static bool is_write(const struct bc_instr *in) { return in->op == BC_LOCAL_SET || in->op == BC_LOCAL_TEE; }

static void decline(struct ir_func *f, const char *why) {
    if (!f->declined) f->declined = why;
}

struct opened { /* number of the loop, of the attempt, of the loop whose test ends with this if; or IR_NONE */
    uint32_t loop, attempt, tested;
};
struct scan {
    struct build *b;
    struct opened *open; /* innermost last */
    size_t n_open, cap_open;
};

static void open_block(struct scan *s, uint32_t loop, uint32_t attempt) {
    if (s->n_open == s->cap_open &&
        atoll_grow(s->b->f->alloc, (void **)&s->open, &s->cap_open, s->n_open + 1, sizeof *s->open)) {
        s->b->f->failed = true;
        return;
    }
    s->open[s->n_open++] = (struct opened){loop, attempt, IR_NONE};
}

static void mark(struct scan *s, uint32_t local) {
    for (size_t i = s->n_open; i-- > 0;) {
        uint32_t loop = s->open[i].loop;
        if (loop == IR_NONE) continue;
        uint64_t *word = s->b->written + loop * s->b->written_words + local / 64, bit = UINT64_C(1)
                                                                                        << local % 64;
        if (*word & bit) return; /* then in all loops around it, too */
        *word |= bit;
    }
}

/* What the handlers are is known before the code that they are for. */
static void scan_attempt(struct scan *s, const struct bc_instr *in, bool first_time) {
    struct build *b = s->b;
    struct opened *top = s->n_open ? s->open + s->n_open - 1 : NULL;
    if (in->op == BC_TRY || in->op == BC_TRY_TABLE) {
        if (first_time && !build_new_attempt(b, in)) b->f->failed = true;
        open_block(s, IR_NONE, (uint32_t)b->n_attempts - 1);
    } else if (first_time && top && in->op != BC_RETHROW) {
        uint32_t tag = in->op == BC_CATCH ? in->index : IR_ANY_TAG;
        if (in->op == BC_DELEGATE)
            b->attempts[top->attempt].delegate = in->index;
        else if (!build_new_clause(b, top->attempt, (struct clause){.tag = tag}))
            b->f->failed = true;
    } else if (first_time && in->index < s->n_open) {
        b->attempts[s->open[s->n_open - 1 - in->index].attempt].rethrown = true;
    }
    if (in->op == BC_DELEGATE && top) s->n_open--;
}

static void scan_instr(struct scan *s, const struct bc_instr *in, bool marking, size_t *n_loops) {
    switch (in->op) {
    case BC_LOOP: open_block(s, (uint32_t)(*n_loops)++, IR_NONE); break;
    case BC_BLOCK:
    case BC_IF: open_block(s, IR_NONE, IR_NONE); break;
    case BC_TRY:
    case BC_TRY_TABLE:
    case BC_CATCH:
    case BC_CATCH_ALL:
    case BC_DELEGATE:
    case BC_RETHROW: scan_attempt(s, in, !marking); break;
    case BC_END:
        if (s->n_open) s->n_open--;
        break;
    default:
        if (marking && is_write(in)) mark(s, in->index);
    }
}

/* ---- tests of loops ---- */

static void note_branch(struct scan *s, uint32_t depth, bool always) {
    uint32_t loop = depth < s->n_open ? s->open[s->n_open - 1 - depth].loop : IR_NONE;
    if (loop != IR_NONE) s->b->turns[loop].back = always;
}

static void note_table(struct scan *s, const struct bc_instr *in) {
    uint32_t at = in->at;
    for (uint32_t i = 0; i <= in->count; i++) note_branch(s, bc_read_u32(s->b->f->bc, &at), false);
}

/* A block ends. The if of a test stands alone in its loop. */
static void close_test(struct scan *s, const struct bc_instr *in) {
    const struct opened *top = s->open + s->n_open - 1;
    struct turn *turns = s->b->turns;
    if (top->tested != IR_NONE) turns[top->tested].if_end = in->next;
    if (top->loop == IR_NONE) return;
    struct turn *t = turns + top->loop;
    if (t->test != IR_NONE && t->if_end == in->offset) t->kind = TURN_IF;
    if (!t->back) t->kind = TURN_PLAIN;
}

/* In front of what opens or closes a block. */
static void scan_test(struct scan *s, const struct bc_instr *in) {
    struct build *b = s->b;
    size_t n = s->n_open;
    if (b->n_turns && b->turns[b->n_turns - 1].reading)
        build_read_test(b, (uint32_t)b->n_turns - 1, in, (uint32_t)n);
    switch (in->op) {
    case BC_LOOP:
        if (!build_new_turn(b, in)) b->f->failed = true;
        break;
    case BC_END:
        if (n) close_test(s, in);
        break;
    case BC_ELSE:
        if (n) s->open[n - 1].tested = IR_NONE;
        break;
    case BC_BR: note_branch(s, in->index, true); break;
    case BC_BR_IF:
    case BC_BR_ON_NULL:
    case BC_BR_ON_NON_NULL:
    case BC_BR_ON_CAST:
    case BC_BR_ON_CAST_FAIL: note_branch(s, in->index, false); break;
    case BC_BR_TABLE: note_table(s, in); break;
    default: break;
    }
}

/* The if that ends the test of the newest loop is open. */
static void open_test(struct scan *s, const struct bc_instr *in) {
    const struct build *b = s->b;
    if (b->n_turns && b->turns[b->n_turns - 1].test == in->offset)
        s->open[s->n_open - 1].tested = (uint32_t)b->n_turns - 1;
}

/* Walks the body once: counts loops and finds handlers, or marks what loops write. */
static void scan_body(struct build *b, bool marking) {
    struct ir_func *f = b->f;
    const struct bc_func *func = &f->bc->funcs[b->func];
    uint32_t end = func->body.offset + func->body.size;
    struct scan s = {.b = b};
    size_t n_loops = 0;
    struct bc_instr in;
    for (uint32_t at = func->code_offset; at < end && !f->failed && !f->declined; at = in.next) {
        if (bc_decode_instr(f->bc, at, end, &in, NULL)) f->failed = true;
        if (!marking && !f->failed) scan_test(&s, &in);
        scan_instr(&s, &in, marking, &n_loops);
        if (!marking && in.op == BC_IF && !f->failed) open_test(&s, &in);
        if (ir_stopped(f)) decline(f, "the program was stopped");
    }
    b->n_loops = n_loops;
    atoll_free(f->alloc, s.open, s.cap_open * sizeof *s.open);
}

static void find_loop_writes(struct build *b) {
    struct ir_func *f = b->f;
    scan_body(b, false);
    if (f->failed || f->declined || !b->n_loops) return;
    b->written_words = (b->n_locals + 63) / 64;
    if (b->n_loops * b->written_words * 8 > MAX_ROW_BYTES) {
        decline(f, "too many loops and locals");
        return;
    }
    b->written = atoll_new(f->alloc, b->n_loops * b->written_words + 1, sizeof *b->written);
    if (b->written)
        scan_body(b, true);
    else
        f->failed = true;
}

uint32_t build_where(struct build *b, uint32_t at) {
    struct ir_func *f = b->f;
    if (!b->outer) return at;
    if (f->n_places == f->cap_places &&
        atoll_grow(f->alloc, (void **)&f->places, &f->cap_places, f->n_places + 1, sizeof *f->places)) {
        f->failed = true;
        return b->call;
    }
    f->places[f->n_places] = (struct jit_inlined){at, b->call};
    return JIT_INLINED | (uint32_t)f->n_places++;
}

/* The parameter comes with the call, or is what the caller has on its stack. */
static uint32_t parameter(struct build *b, uint32_t n, uint32_t n_params) {
    if (b->outer) return b->outer->stack[b->outer->n_stack - n_params + n];
    uint32_t v = build_new(b, IR_PARAM, b->local_types[n]);
    if (!b->f->failed) b->f->ins[v].imm = n;
    return v;
}

static void place_locals(struct build *b) {
    struct ir_func *f = b->f;
    const struct bc_func *func = &f->bc->funcs[b->func];
    const struct bc_type *type = &f->bc->types[func->type];
    b->n_locals = type->n_params + func->n_locals;
    b->locals = atoll_new(f->alloc, b->n_locals + 1u, sizeof *b->locals);
    b->local_types = atoll_new(f->alloc, b->n_locals + 1u, 1);
    if (!b->locals || !b->local_types) {
        f->failed = true;
        return;
    }
    uint32_t n = 0, zeros[6] = {0};
    f->where = build_where(b, func->code_offset);
    for (; n < type->n_params; n++) {
        b->local_types[n] = (uint8_t)ir_type_of(type->params[n]);
        b->locals[n] = parameter(b, n, type->n_params);
    }
    for (uint32_t run = 0; run < func->n_local_runs; run++)
        for (uint32_t i = 0; i < func->local_runs[run].count; i++, n++) {
            unsigned t = ir_type_of(func->local_runs[run].type);
            if (!zeros[t]) zeros[t] = ir_const(f, t, 0);
            b->local_types[n] = (uint8_t)t;
            b->locals[n] = zeros[t];
        }
}

void build_start(struct build *b, uint32_t block) {
    struct ir_func *f = b->f;
    b->block = block;
    if (f->n_order == f->cap_order &&
        atoll_grow(f->alloc, (void **)&f->order, &f->cap_order, f->n_order + 1u, sizeof *f->order))
        f->failed = true;
    else
        f->order[f->n_order++] = block;
}

uint32_t build_pop_list(struct build *b, uint32_t n) {
    uint32_t at = ir_items(b->f, n);
    if (b->f->failed || b->n_stack < n) return 0;
    b->n_stack -= n;
    for (uint32_t i = 0; i < n; i++) b->f->items[at + i] = b->stack[b->n_stack + i];
    return at;
}

/* ---- fuel: as the interpreter counts it ---- */

static void take_fuel(struct build *b, const struct interp_fuel *fuel) {
    uint32_t v = build_new(b, IR_FUEL, IR_VOID);
    if (!b->f->failed) b->f->ins[v].imm = fuel->count;
}

/* At the start of the function, not where it is entered at a loop: then all is paid up to there. */
static void begin_fuel(struct build *b) {
    struct ir_func *f = b->f;
    if (!f->module->engine->config.fuel) return;
    if (interp_fuels_of(f->module, b->func, &b->fuels)) {
        f->failed = true;
        return;
    }
    f->where = build_where(b, f->bc->funcs[b->func].code_offset);
    if (!f->loop || b->outer) take_fuel(b, b->fuels.items);
    b->next_fuel = 1;
}

/* Behind the instruction at the byte. */
static void take_fuel_behind(struct build *b, uint32_t at) {
    while (b->next_fuel < b->fuels.n && b->fuels.items[b->next_fuel].behind < at) b->next_fuel++;
    if (b->next_fuel == b->fuels.n || b->fuels.items[b->next_fuel].behind != at || b->block == IR_NONE)
        return;
    take_fuel(b, b->fuels.items + b->next_fuel);
}

static void build_body(struct build *b) {
    struct ir_func *f = b->f;
    const struct bc_func *func = &f->bc->funcs[b->func];
    uint32_t at = func->code_offset, end = func->body.offset + func->body.size;
    if (f->loop && !b->outer) at = build_osr_start(b);
    while (at < end && !f->failed && !f->declined) {
        struct bc_instr in;
        if (bc_decode_instr(f->bc, at, end, &in, NULL)) f->failed = true;
        uint32_t here = at;
        f->where = build_where(b, here);
        at = in.next;
        if (b->block == IR_NONE)
            build_unreachable_code(b, &in);
        else
            build_instr(b, &in);
        take_fuel_behind(b, here);
        if (ir_stopped(f)) decline(f, "the program was stopped");
        if (f->n_ins > MAX_VALUES || b->work > MAX_WORK) decline(f, "too large");
    }
}

void build_function(struct build *b) {
    struct ir_func *f = b->f;
    if (!f->failed) (f->loop && !b->outer ? build_osr_frame : place_locals)(b);
    if (!f->failed) find_loop_writes(b);
    if (!f->failed && !f->declined) build_enter_function(b);
    if (!f->failed && !f->declined) begin_fuel(b);
    if (!f->failed && !f->declined) build_body(b);
    interp_fuels_fini(f->alloc, &b->fuels);
    atoll_free(f->alloc, b->locals, (b->n_locals + 1u) * sizeof *b->locals);
    atoll_free(f->alloc, b->local_types, b->n_locals + 1u);
    atoll_free(f->alloc, b->attempts, b->cap_attempts * sizeof *b->attempts);
    atoll_free(f->alloc, b->clauses, b->cap_clauses * sizeof *b->clauses);
    atoll_free(f->alloc, b->turns, b->cap_turns * sizeof *b->turns);
    atoll_free(f->alloc, b->frames, b->cap_frames * sizeof *b->frames);
    if (b->written)
        atoll_free(f->alloc, b->written, (b->n_loops * b->written_words + 1) * sizeof *b->written);
}

void ir_build(struct ir_func *f) {
    struct build b = {.f = f, .func = f->func, .osr_block = IR_NONE};
    /* a constant zero for the v128 pool's first entry */
    if (atoll_grow(f->alloc, (void **)&f->pool, &f->cap_pool, 1, sizeof *f->pool)) f->failed = true;
    f->n_pool = 1;
    build_start(&b, ir_new_block(f));
    build_function(&b);
    if (b.osr_block != IR_NONE) decline(f, "the loop is not reached");
    atoll_free(f->alloc, b.stack, b.cap_stack * sizeof *b.stack);
}
