/* jit/build_loop.c: loops. One whose first instructions are a test that leaves it, and whose last is a branch back, is
 * turned into a loop with the test at its end, and once more in front:
 *
 *        header: test, branch out        test, branch out
 *                body                    header: body
 *                branch header                   test, branch out or to the header
 *        out:                            out:
 *
 * So a turn jumps once, what the body begins with is what each turn begins with (hoist.c), and a test that is known in
 * front of the loop goes. The test is read from the program twice: branches to the loop meet in front of its second
 * copy. Found is such a test by the look ahead of build.c:
 *
 *        loop  test  br_if beyond the loop  ...  br to the loop ...  end         blocks may open in front of the test
 *        loop  test  if  ...  br to the loop ... end  end */
#include <string.h>
#include "jit/build.h"

#define MOST_INSTRS 20 /* of a test */
#define MOST_BLOCKS 4  /* that open in it */

/* ---- the look ahead ---- */

bool build_new_turn(struct build *b, const struct bc_instr *in) {
    struct bc_block_sig sig;
    if (b->n_turns == b->cap_turns &&
        atoll_grow(b->f->alloc, (void **)&b->turns, &b->cap_turns, b->n_turns + 1, sizeof *b->turns))
        return false;
    bc_block_signature(b->f->bc, in->block_type, &sig);
    /* fuel is counted by the place in the program */
    bool ready = !sig.n_params && !b->f->module->engine->config.fuel;
    b->turns[b->n_turns++] = (struct turn){
        .from = in->next, .test = IR_NONE, .if_end = IR_NONE, .reading = ready, .kind = TURN_PLAIN};
    return true;
}

/* How many operands more there are behind the instruction. False: it is none for a test. */
static bool pushes(const struct bc_instr *in, int *height) {
    const char *signature = bc_op_infos[in->op].signature;
    switch (in->op) {
    case BC_LOCAL_GET:
    case BC_GLOBAL_GET: ++*height; return true;
    case BC_LOCAL_TEE: return *height > 0;
    case BC_LOCAL_SET: return (*height)-- > 0;
    default: break;
    }
    if (!signature || !(in->op <= BC_F64_CONST || jit_native((uint16_t)in->op)) || in->op == BC_UNREACHABLE)
        return false;
    for (; *signature != ':'; signature++)
        if ((*height)-- <= 0) return false;
    *height += (int)strlen(signature + 1);
    return true;
}

void build_read_test(struct build *b, uint32_t loop, const struct bc_instr *in, uint32_t n_open) {
    struct turn *t = b->turns + loop;
    struct bc_block_sig sig;
    t->reading = false;
    if (t->n_instrs++ == MOST_INSTRS) return;
    if (in->op == BC_BLOCK && !t->height && t->n_blocks < MOST_BLOCKS) {
        bc_block_signature(b->f->bc, in->block_type, &sig);
        t->n_blocks++;
        t->reading = !sig.n_params && !sig.n_results;
    } else if (in->op == BC_BR_IF) {
        bool leaves = t->height == 1 && in->index > t->n_blocks && in->index <= n_open;
        if (leaves) t->test = in->offset;
        if (leaves) t->kind = TURN_BRANCH;
    } else if (in->op == BC_IF) {
        if (t->height == 1 && !t->n_blocks && in->block_type == BC_BLOCK_EMPTY) t->test = in->offset;
    } else {
        t->reading = pushes(in, &t->height);
    }
}

/* ---- where loops begin ---- */

static uint32_t loop_edge(struct build *b, struct frame *frame) {
    struct ir_func *f = b->f;
    uint32_t n = frame->sig.n_params;
    const uint32_t *top = n ? b->stack + b->n_stack - n : NULL;
    b->work += b->n_locals;
    for (uint32_t i = 0; i < b->n_locals + n && !f->failed; i++)
        if (frame->phis[i] != IR_NONE)
            build_phi_append(b, frame->phis[i], i < b->n_locals ? b->locals[i] : top[i - b->n_locals]);
    ir_add_pred(f, frame->header, b->block);
    return frame->header;
}

uint32_t build_loop_edge(struct build *b, struct frame *frame) {
    if (b->turns[frame->loop].kind == TURN_PLAIN) return loop_edge(b, frame);
    build_merge(b, &frame->again, 0);
    return frame->again.block;
}

/* The header, with a phi for each local that the loop writes. */
static void begin_turns(struct build *b, struct frame *frame) {
    struct ir_func *f = b->f;
    uint32_t header = ir_new_block(f), n = frame->sig.n_params, where = f->where;
    frame->phis = bc_arena_new(&f->arena, b->n_locals + n + 1u, sizeof *frame->phis);
    if (!frame->phis) f->failed = true;
    if (f->failed) return;
    frame->header = header;
    f->where = frame->where;
    const uint64_t *written = b->written + frame->loop * b->written_words;
    for (uint32_t i = 0; i < b->n_locals + n && !f->failed; i++) {
        bool param = i >= b->n_locals;
        uint32_t v = param ? b->stack[frame->height + i - b->n_locals] : b->locals[i];
        frame->phis[i] = IR_NONE;
        if (!param && !(written[i / 64] >> i % 64 & 1)) continue;
        frame->phis[i] = ir_new(f, header, IR_PHI, f->ins[v].type);
        if (!f->failed) f->ins[frame->phis[i]].lane = 1;
    }
    build_jump(b, loop_edge(b, frame));
    build_start(b, header);
    for (uint32_t i = 0; i < b->n_locals + n && !f->failed; i++) {
        if (frame->phis[i] == IR_NONE) continue;
        if (i < b->n_locals)
            b->locals[i] = frame->phis[i];
        else
            b->stack[frame->height + i - b->n_locals] = frame->phis[i];
    }
    build_new(b, IR_POLL, IR_VOID);
    f->where = where;
}

void build_enter_loop(struct build *b, uint32_t block_type) {
    uint32_t loop = (uint32_t)b->next_loop++;
    struct frame *frame = build_open_block(b, BC_LOOP, block_type);
    if (!frame) return;
    frame->loop = loop;
    frame->where = b->f->where;
    if (b->turns[loop].kind == TURN_PLAIN)
        begin_turns(b, frame);
    else
        b->testing = b->n_frames;
}

/* ---- tests ---- */

/* Goes to the end of the loop when the value is zero. */
static void leave_unless(struct build *b, uint32_t condition, struct frame *frame) {
    struct ir_func *f = b->f;
    bool known = ir_is_const(f, condition);
    if (known && f->ins[condition].imm) return;
    uint32_t next = known ? IR_NONE : build_block_after(b);
    build_merge(b, &frame->end, 0);
    if (known) {
        build_jump(b, frame->end.block);
    } else {
        build_branch_on(b, condition, next, frame->end.block);
        build_start(b, next);
    }
}

bool build_test(struct build *b, const struct bc_instr *in) {
    if (!b->testing || b->turns[b->frames[b->testing - 1].loop].test != in->offset) return false;
    size_t at = b->testing - 1;
    uint32_t condition = build_pop(b);
    b->testing = 0;
    if (in->op == BC_BR_IF)
        build_branch_if(b, condition, in->index);
    else
        leave_unless(b, condition, b->frames + at);
    if (in->op == BC_IF && !build_open_block(b, BC_BLOCK, in->block_type)) return true;
    if (b->block != IR_NONE && !b->f->failed) begin_turns(b, b->frames + at);
    return true;
}

/* What ends the test, as the blocks are at the end of the loop, which is the innermost. */
static void decide_again(struct build *b, const struct turn *t, const struct bc_instr *in) {
    uint32_t condition = build_pop(b);
    if (in->op == BC_BR_IF)
        build_branch_if(b, condition, in->index - t->n_blocks);
    else
        leave_unless(b, condition, b->frames + b->n_frames - 1);
}

/* The test once more, in front of the way back. */
static void test_again(struct build *b, const struct turn *t) {
    struct ir_func *f = b->f;
    uint32_t where = f->where;
    struct bc_instr in;
    for (uint32_t at = t->from; at <= t->test && !f->failed && b->block != IR_NONE; at = in.next) {
        if (bc_decode_instr(f->bc, at, (uint32_t)f->bc->n_bytes, &in, NULL)) f->failed = true;
        f->where = build_where(b, at);
        if (f->failed) return;
        if (at == t->test)
            decide_again(b, t, &in);
        else if (in.op != BC_BLOCK)
            build_instr(b, &in);
    }
    f->where = where;
}

void build_leave_loop(struct build *b) {
    struct frame *frame = b->frames + b->n_frames - 1;
    const struct turn *t = b->turns + frame->loop;
    if (frame->again.block == IR_NONE) return;
    if (b->block != IR_NONE) {
        build_merge(b, &frame->end, frame->sig.n_results);
        if (!b->f->failed) build_jump(b, frame->end.block);
    }
    if (b->f->failed) return;
    build_restore(b, frame, frame->again.values, 0);
    build_start(b, frame->again.block);
    test_again(b, t);
    if (b->block != IR_NONE && !b->f->failed) build_jump(b, loop_edge(b, frame));
}
