/* jit/build_control.c: blocks, branches, calls. All branches to a forward label are seen before the label is,
 * so a phi stands only where values differ; a loop gets one for each local that is written in it. */
#include <string.h>
#include "jit/alloc.h"
#include "jit/build.h"

/* ---- edges ---- */

static struct frame *frame_at(struct build *b, uint32_t depth) { return b->frames + b->n_frames - 1 - depth; }

static uint32_t new_phi(struct build *b, uint32_t block, unsigned type) {
    return ir_new(b->f, block, IR_PHI, type);
}

/* Lists of growing phis have room for a power of two. */
void build_phi_append(struct build *b, uint32_t phi, uint32_t v) {
    struct ir_func *f = b->f;
    uint32_t n = f->ins[phi].b == IR_NONE ? 0 : f->ins[phi].b;
    if (!(n & (n - 1))) {
        uint32_t at = ir_items(f, n ? 2 * n : 1);
        if (f->failed) return;
        if (n) memcpy(f->items + at, f->items + f->ins[phi].a, n * sizeof *f->items);
        f->ins[phi].a = at;
    }
    f->items[f->ins[phi].a + n] = v;
    f->ins[phi].b = n + 1;
}

static void merge_value(struct build *b, struct merge *m, uint32_t i, uint32_t v, uint32_t n_before) {
    struct ir_func *f = b->f;
    uint32_t known = m->values[i];
    bool own_phi = f->ins[known].op == IR_PHI && f->ins[known].block == m->block;
    if (!own_phi) {
        if (known == v) return;
        if (f->ins[known].op == IR_CONST && f->ins[v].op == IR_CONST && f->ins[known].type != IR_V128 &&
            f->ins[known].imm == f->ins[v].imm && f->ins[known].type == f->ins[v].type)
            return;
        uint32_t phi = new_phi(b, m->block, f->ins[known].type);
        for (uint32_t k = 0; k < n_before && !f->failed; k++) build_phi_append(b, phi, known);
        m->values[i] = known = phi;
    }
    if (!f->failed) build_phi_append(b, known, v);
}

/* The topmost n operands; NULL when n is 0, since there may be no stack then. */
static const uint32_t *topmost(const struct build *b, uint32_t n) {
    return n ? b->stack + b->n_stack - n : NULL;
}

void build_merge(struct build *b, struct merge *m, uint32_t n) {
    struct ir_func *f = b->f;
    uint32_t total = b->n_locals + n;
    const uint32_t *top = topmost(b, n);
    bool first = m->block == IR_NONE;
    b->work += total;
    if (first) {
        m->block = ir_new_block(f);
        m->values = bc_arena_new(&f->arena, total + 1u, sizeof *m->values);
        if (!m->values) f->failed = true;
    }
    if (f->failed) return;
    uint32_t n_before = f->blocks[m->block].n_preds;
    for (uint32_t i = 0; i < total && !f->failed; i++) {
        uint32_t v = i < b->n_locals ? b->locals[i] : top[i - b->n_locals];
        if (first)
            m->values[i] = v;
        else
            merge_value(b, m, i, v, n_before);
    }
    ir_add_pred(f, m->block, b->block);
}

/* The state goes to the label; returns its block. */
static uint32_t edge_to(struct build *b, struct frame *frame) {
    if (frame->op == BC_LOOP) return build_loop_edge(b, frame);
    build_merge(b, &frame->end, frame->sig.n_results);
    return frame->end.block;
}

void build_jump(struct build *b, uint32_t target) {
    build_new(b, IR_JUMP, IR_VOID);
    ir_set_succs(b->f, b->block, 1, &target);
    build_dead(b);
}

static void emit_return(struct build *b) {
    if (b->outer) { /* inlined: to the end of the function's body */
        build_jump(b, edge_to(b, b->frames));
        return;
    }
    uint32_t n = b->f->type->n_results;
    uint32_t ret = build_new(b, IR_RETURN, IR_VOID), at = build_pop_list(b, n);
    if (b->f->failed) return;
    b->f->ins[ret].a = at;
    b->f->ins[ret].b = n;
    build_dead(b);
}

static void branch(struct build *b, struct frame *frame) {
    if (frame->op == BC_CALL)
        emit_return(b);
    else
        build_jump(b, edge_to(b, frame));
}

void build_branch(struct build *b, uint32_t depth) { branch(b, frame_at(b, depth)); }

/* ---- conditions ---- */

void build_branch_on(struct build *b, uint32_t condition, uint32_t taken, uint32_t other) {
    uint32_t i = build_new(b, IR_BRANCH, IR_VOID);
    if (b->f->failed) return;
    b->f->ins[i].a = condition;
    ir_set_succs(b->f, b->block, 2, (uint32_t[]){taken, other});
}

uint32_t build_block_after(struct build *b) {
    uint32_t block = ir_new_block(b->f);
    if (!b->f->failed) ir_add_pred(b->f, block, b->block);
    return block;
}

/* Returns in a block of its own; the operands stay for the code that goes on. */
static void return_from(struct build *b, uint32_t block) {
    size_t height = b->n_stack;
    build_start(b, block);
    emit_return(b);
    b->n_stack = height;
}

void build_branch_if(struct build *b, uint32_t condition, uint32_t depth) {
    struct ir_func *f = b->f;
    struct frame *frame = frame_at(b, depth);
    if (ir_is_const(f, condition)) {
        if (f->ins[condition].imm) branch(b, frame);
        return;
    }
    uint32_t next;
    if (frame->op == BC_CALL) {
        uint32_t leave = build_block_after(b);
        next = build_block_after(b);
        build_branch_on(b, condition, leave, next);
        return_from(b, leave);
    } else {
        next = build_block_after(b);
        uint32_t target = edge_to(b, frame);
        build_branch_on(b, condition, target, next);
    }
    build_start(b, next);
}

static void br_table(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    uint32_t index = build_pop(b), n = in->count + 1, at = in->at;
    if (!f->failed && (!in->count || ir_is_const(f, index))) { /* one way to go */
        uint32_t depth = 0, wanted = ir_is_const(f, index) && f->ins[index].imm < in->count
                                         ? (uint32_t)f->ins[index].imm
                                         : in->count;
        for (uint32_t i = 0; i <= wanted; i++) depth = bc_read_u32(f->bc, &at);
        branch(b, frame_at(b, depth));
        return;
    }
    uint32_t *targets = atoll_new(f->alloc, n, sizeof *targets);
    uint32_t *seen = atoll_new(f->alloc, b->n_frames, sizeof *seen); /* block of each label, once */
    uint32_t from = b->block;
    if (!targets || !seen) f->failed = true;
    uint32_t op = f->failed ? 0 : build_new(b, IR_SWITCH, IR_I64);
    for (uint32_t i = 0; i < n && !f->failed; i++) {
        uint32_t depth = bc_read_u32(f->bc, &at);
        if (!seen[depth]) {
            struct frame *frame = frame_at(b, depth);
            if (frame->op == BC_CALL) {
                uint32_t leave = build_block_after(b);
                return_from(b, leave);
                b->block = from;
                seen[depth] = leave;
            } else {
                seen[depth] = edge_to(b, frame);
            }
        }
        targets[i] = seen[depth];
    }
    if (!f->failed) {
        f->ins[op].a = index;
        ir_set_succs(f, from, n, targets);
    }
    atoll_free(f->alloc, targets, n * sizeof *targets);
    atoll_free(f->alloc, seen, b->n_frames * sizeof *seen);
    build_dead(b);
}

/* ---- blocks ---- */

struct frame *build_open_block(struct build *b, uint16_t op, uint32_t block_type) {
    struct ir_func *f = b->f;
    if (b->n_frames == b->cap_frames &&
        atoll_grow(f->alloc, (void **)&b->frames, &b->cap_frames, b->n_frames + 1, sizeof *b->frames)) {
        f->failed = true;
        return NULL;
    }
    struct frame *frame = b->frames + b->n_frames++;
    *frame = (struct frame){.op = op, .end.block = IR_NONE, .again.block = IR_NONE, .else_block = IR_NONE};
    bc_block_signature(f->bc, block_type, &frame->sig);
    frame->height = (uint32_t)b->n_stack - frame->sig.n_params;
    return frame;
}

void build_enter_function(struct build *b) {
    struct frame *frame = build_open_block(b, b->outer ? BC_BLOCK : BC_CALL, BC_BLOCK_EMPTY);
    if (!frame) return;
    const struct bc_type *type = &b->f->bc->types[b->f->bc->funcs[b->func].type];
    frame->sig.n_results = type->n_results;
    frame->sig.results = type->results;
}

static uint32_t *snapshot(struct build *b, uint32_t n) {
    uint32_t *values = bc_arena_new(&b->f->arena, b->n_locals + n + 1u, sizeof *values);
    if (!values) {
        b->f->failed = true;
        return NULL;
    }
    b->work += b->n_locals;
    memcpy(values, b->locals, b->n_locals * sizeof *values);
    if (n) memcpy(values + b->n_locals, b->stack + b->n_stack - n, n * sizeof *values);
    return values;
}

void build_restore(struct build *b, const struct frame *frame, const uint32_t *values, uint32_t n) {
    b->work += b->n_locals;
    memcpy(b->locals, values, b->n_locals * sizeof *values);
    b->n_stack = frame->height;
    for (uint32_t i = 0; i < n; i++) build_push(b, values[b->n_locals + i]);
}

/* The loops around this place have a second entry here, for those who do not have what a handler around it throws on. */
static void mark_loops_around(struct build *b) {
    for (size_t i = 0; i < b->n_frames; i++) {
        if (b->frames[i].op == BC_LOOP) b->f->blocks[b->frames[i].header].entered_inside = true;
        if (b->frames[i].op == BC_CATCH && b->frames[i].caught != IR_NONE)
            b->f->declined = "a loop in a handler that throws on";
    }
}

/* The loop at which the code is entered: those who come from outside join here. */
static void join_osr(struct build *b) {
    struct ir_func *f = b->f;
    uint32_t n = f->loop->n_operands, side = b->osr_block;
    struct merge m = {.block = IR_NONE};
    if (b->n_stack != n) {
        f->declined = "the loop's operands are not those of the frame";
        return;
    }
    b->osr_block = IR_NONE;
    mark_loops_around(b);
    if (f->declined) return;
    build_merge(b, &m, n);
    if (f->failed) return;
    build_jump(b, m.block);
    b->block = side;
    memcpy(b->locals, b->osr_values, b->n_locals * sizeof *b->locals);
    memcpy(b->stack, b->osr_values + b->n_locals, n * sizeof *b->stack);
    build_merge(b, &m, n);
    if (f->failed) return;
    build_jump(b, m.block);
    memcpy(b->locals, m.values, b->n_locals * sizeof *b->locals);
    memcpy(b->stack, m.values + b->n_locals, n * sizeof *b->stack);
    build_start(b, m.block);
}

static void enter_if(struct build *b, uint32_t block_type) {
    uint32_t condition = build_pop(b);
    struct frame *frame = build_open_block(b, BC_IF, block_type);
    if (!frame) return;
    uint32_t then = build_block_after(b);
    frame->else_block = build_block_after(b);
    frame->else_values = snapshot(b, frame->sig.n_params);
    build_branch_on(b, condition, then, frame->else_block);
    build_start(b, then);
}

static void enter_else(struct build *b) {
    struct frame *frame = frame_at(b, 0);
    if (b->block != IR_NONE) build_jump(b, edge_to(b, frame));
    if (b->f->failed || frame->else_block == IR_NONE) return; /* its start was passed: nobody comes here */
    build_restore(b, frame, frame->else_values, frame->sig.n_params);
    build_start(b, frame->else_block);
    frame->op = BC_ELSE;
}

static void leave(struct build *b) {
    struct ir_func *f = b->f;
    struct frame *frame = frame_at(b, 0);
    if (frame->op == BC_CALL) {
        if (b->block != IR_NONE) emit_return(b);
        b->n_frames--;
        return;
    }
    if (frame->op == BC_IF) enter_else(b);
    if (frame->op == BC_LOOP) build_leave_loop(b);
    if (frame->op == BC_TRY || frame->op == BC_TRY_TABLE) build_close_attempt(b, frame);
    bool falls = b->block != IR_NONE;
    if (frame->end.block == IR_NONE) { /* nobody branches here: the code goes on */
        b->n_frames--;
        return;
    }
    if (falls) {
        uint16_t op = frame->op;
        frame->op = BC_BLOCK; /* a loop's end is not its label */
        build_jump(b, edge_to(b, frame));
        frame->op = op;
    }
    if (f->failed) return;
    build_restore(b, frame, frame->end.values, frame->sig.n_results);
    build_start(b, frame->end.block);
    b->n_frames--;
}

void build_unreachable_code(struct build *b, const struct bc_instr *in) {
    switch (in->op) {
    case BC_BLOCK:
    case BC_LOOP:
    case BC_IF:
    case BC_TRY:
    case BC_TRY_TABLE:
        if (in->op == BC_LOOP) b->next_loop++;
        if (in->op == BC_TRY || in->op == BC_TRY_TABLE) b->next_attempt++;
        b->dead_depth++;
        break;
    case BC_CATCH:
    case BC_CATCH_ALL:
        if (!b->dead_depth) build_exception(b, in);
        break;
    case BC_ELSE:
        if (!b->dead_depth) enter_else(b);
        break;
    case BC_END:
    case BC_DELEGATE:
        if (b->dead_depth)
            b->dead_depth--;
        else
            leave(b);
        break;
    default: break;
    }
}

/* ---- calls ---- */

static void push_results(struct build *b, uint32_t call, const struct bc_type *type) {
    struct ir_func *f = b->f;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < type->n_results && !f->failed; i++) {
        unsigned t = ir_type_of(type->results[i]);
        if (i == 0) {
            f->ins[call].type = (uint8_t)t;
            build_push(b, call);
            continue;
        }
        uint32_t v = build_new(b, IR_RESULT, t);
        if (f->failed) return;
        f->ins[v].imm = offset;
        offset += 16;
        build_push(b, v);
    }
    if (offset > f->out_bytes) f->out_bytes = offset;
}

/* Arguments that find no register stand in the outgoing area. */
static void reserve_arguments(struct build *b, const struct rt_type *type) {
    struct ir_func *f = b->f;
    struct jit_arg *args = bc_arena_new(&f->arena, type->n_params + 1u, sizeof *args);
    if (!args) {
        f->failed = true;
        return;
    }
    uint32_t bytes = jit_place_args(type->params, type->n_params, args);
    if (bytes > f->out_bytes) f->out_bytes = bytes;
}

/* Of a tail call they stand there until the thunk takes them. */
static void reserve_tail(struct build *b, const struct rt_type *type, bool within) {
    struct ir_func *f = b->f;
    struct jit_tail tail = jit_tail_of(f->type, type, within);
    uint32_t bytes = jit_tail_room(tail.tail_class) + JIT_TAIL_BYTES;
    if (tail.thunk && bytes > f->out_bytes) f->out_bytes = bytes;
}

static uint32_t new_call(struct build *b, unsigned op, uint32_t at, uint32_t n, uint64_t imm) {
    uint32_t call = build_new(b, op, IR_VOID);
    if (b->f->failed) return 0;
    b->f->ins[call].a = at;
    b->f->ins[call].b = n;
    b->f->ins[call].imm = imm;
    b->f->has_calls = true;
    b->f->has_far_calls |= op != IR_CALL || imm < b->f->bc->n_imported_funcs;
    return call;
}

static void call_function(struct build *b, uint32_t func, bool tail) {
    if (!tail && build_inline(b, func)) return;
    const struct bc_type *type = &b->f->bc->types[b->f->bc->funcs[func].type];
    uint32_t at = build_pop_list(b, type->n_params);
    uint32_t call = new_call(b, tail ? IR_TAIL_CALL : IR_CALL, at, type->n_params, func);
    const struct rt_type *callee = b->f->module->types[b->f->bc->funcs[func].type];
    if (tail)
        reserve_tail(b, callee, func >= b->f->bc->n_imported_funcs);
    else
        reserve_arguments(b, callee);
    if (!tail) build_landings(b, true);
    if (tail)
        build_dead(b);
    else
        push_results(b, call, type);
}

/* The function, or its place in the table, is on top of the stack. */
static void call_reference(struct build *b, uint16_t op, uint32_t type_index, uint32_t table) {
    const struct bc_type *type = &b->f->bc->types[type_index];
    uint32_t at = build_pop_list(b, type->n_params + 1);
    uint32_t call = new_call(b, op, at, type->n_params + 1, type_index);
    if (b->f->failed) return;
    b->f->ins[call].index = table;
    if (op == IR_TAIL_INDIRECT) {
        reserve_tail(b, b->f->module->types[type_index], false);
        build_dead(b);
        return;
    }
    reserve_arguments(b, b->f->module->types[type_index]);
    build_landings(b, true);
    push_results(b, call, type);
}

/* Tail calls. An inlined function has no frame that could go before the call: that is made where the function itself was
 * called, out of reach of its handlers, and the function returns what comes back. */
static void tail_call(struct build *b, const struct bc_instr *in) {
    uint32_t n_open = b->n_open;
    bool direct = in->op == BC_RETURN_CALL, inlined = b->outer;
    if (inlined) {
        b->f->where = b->call;
        b->n_open = 0;
    }
    if (direct)
        call_function(b, in->index, !inlined);
    else
        call_reference(b, inlined ? IR_CALL_INDIRECT : IR_TAIL_INDIRECT, in->index, 0);
    b->n_open = n_open;
    if (inlined && b->block != IR_NONE && !b->f->failed) emit_return(b);
}

static void table_function(struct build *b, const struct bc_instr *in) {
    uint32_t index = build_pop(b), v = build_new(b, IR_TABLE_FUNC, IR_I64);
    if (b->f->failed) return;
    b->f->ins[v].a = index;
    b->f->ins[v].imm = in->index;
    b->f->ins[v].index = in->index2;
    build_push(b, v);
}

uint32_t build_pop_non_null(struct build *b, enum rt_trap trap) {
    uint32_t a = build_pop(b), v = build_new(b, IR_NON_NULL, IR_I64);
    if (b->f->failed) return 0;
    b->f->ins[v].a = a;
    b->f->ins[v].imm = trap;
    return v;
}

void build_trap_if(struct build *b, uint32_t condition, enum rt_trap trap) {
    if (!b->f->failed && ir_is_const(b->f, condition) && !b->f->ins[condition].imm) return;
    uint32_t v = build_new(b, IR_TRAP_IF, IR_VOID);
    if (b->f->failed) return;
    b->f->ins[v].a = condition;
    b->f->ins[v].imm = trap;
}

static void branch_on_null(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    bool when_null = in->op == BC_BR_ON_NULL;
    uint32_t v = build_pop(b);
    uint32_t test = ir_unary(f, b->block, BC_I64_EQZ, IR_I32, v);
    if (when_null) {
        build_branch_if(b, test, in->index);
        if (b->block != IR_NONE) build_push(b, v);
    } else {
        build_push(b, v);
        build_branch_if(b, ir_unary(f, b->block, BC_I32_EQZ, IR_I32, test), in->index);
        if (b->block != IR_NONE) build_pop(b);
    }
}

static void unreachable(struct build *b) {
    uint32_t v = build_new(b, IR_TRAP, IR_VOID);
    if (b->f->failed) return;
    b->f->ins[v].imm = RT_TRAP_UNREACHABLE;
    build_dead(b);
}

void build_control(struct build *b, const struct bc_instr *in) {
    switch (in->op) {
    case BC_UNREACHABLE: unreachable(b); break;
    case BC_BLOCK: build_open_block(b, BC_BLOCK, in->block_type); break;
    case BC_LOOP:
        if (b->osr_block != IR_NONE && b->f->where == b->f->loop_offset) join_osr(b);
        build_enter_loop(b, in->block_type);
        break;
    case BC_IF:
        if (!build_test(b, in)) enter_if(b, in->block_type);
        break;
    case BC_ELSE: enter_else(b); break;
    case BC_END:
    case BC_DELEGATE: leave(b); break;
    case BC_BR: branch(b, frame_at(b, in->index)); break;
    case BC_BR_IF: {
        if (build_test(b, in)) break;
        uint32_t condition = build_pop(b);
        build_branch_if(b, condition, in->index);
        break;
    }
    case BC_BR_TABLE: br_table(b, in); break;
    case BC_RETURN: emit_return(b); break;
    case BC_CALL: call_function(b, in->index, false); break;
    case BC_RETURN_CALL: tail_call(b, in); break;
    case BC_CALL_INDIRECT: call_reference(b, IR_CALL_TABLE, in->index, in->index2); break;
    case BC_RETURN_CALL_INDIRECT:
        table_function(b, in);
        tail_call(b, in);
        break;
    case BC_CALL_REF:
        build_push(b, build_pop_non_null(b, RT_TRAP_NULL_FUNCTION));
        call_reference(b, IR_CALL_INDIRECT, in->index, 0);
        break;
    case BC_RETURN_CALL_REF:
        build_push(b, build_pop_non_null(b, RT_TRAP_NULL_FUNCTION));
        tail_call(b, in);
        break;
    case BC_BR_ON_NULL:
    case BC_BR_ON_NON_NULL: branch_on_null(b, in); break;
    case BC_BR_ON_CAST:
    case BC_BR_ON_CAST_FAIL: build_branch_on_cast(b, in); break;
    default: build_exception(b, in); break;
    }
}
