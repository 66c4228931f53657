/* jit/build_osr.c: a function that is entered at the head of one of its loops, while the interpreter runs it
 * (on-stack replacement). Its one parameter points to where the interpreter's frame begins; locals and operands are
 * read from there.
 *
 * The loop may lie in others. What stands in front of the outermost of them is never run again and not built; the
 * rest is, since its back edge leads there:
 *
 *        entry: values from the frame
 *          |            \ (never taken; a loop has an entry, and its phis a value from there)
 *          |             outer loop's head ...
 *          |                                  \
 *          +-----------------------------------> the loop's head
 *
 * So each loop around the loop is entered in two places: at its head and by its back edge, which those reach that came
 * in at the loop's head and never passed what stands in front of it. These heads are marked, and nothing but the entry
 * dominates them (opt.c). Whoever moves code out of a loop has to see that the head dominates it; values are only as
 * equal as dominance says. */
#include <string.h>
#include "jit/build.h"

static unsigned type_of_kind(uint8_t kind) {
    switch (kind) {
    case BC_KIND_I32: return IR_I32;
    case BC_KIND_F32: return IR_F32;
    case BC_KIND_F64: return IR_F64;
    case BC_KIND_V128: return IR_V128;
    default: return IR_I64;
    }
}

static uint32_t value_in_frame(struct build *b, const struct interp_operand *from, uint32_t frame) {
    static const uint16_t loads[] = {0, BC_I32_LOAD, BC_I64_LOAD, BC_F32_LOAD, BC_F64_LOAD, BC_V128_LOAD};
    struct ir_func *f = b->f;
    unsigned type = type_of_kind(from->kind);
    if (!from->in_frame && type == IR_V128) f->declined = "a vector constant below the loop";
    if (!from->in_frame) return ir_const(f, type, from->bits);
    uint32_t v = build_new(b, IR_LOAD, type);
    if (f->failed) return 0;
    f->ins[v].sub = loads[type];
    f->ins[v].a = frame;
    f->ins[v].imm = (uint64_t)from->slot * sizeof(union rt_slot);
    f->ins[v].index = 1; /* a host address */
    f->ins[v].effect = false;
    return v;
}

void build_osr_frame(struct build *b) {
    struct ir_func *f = b->f;
    const struct interp_loop *loop = f->loop;
    uint32_t n = loop->n_locals + loop->n_operands;
    b->n_locals = loop->n_locals;
    b->locals = atoll_new(f->alloc, b->n_locals + 1u, sizeof *b->locals);
    b->local_types = atoll_new(f->alloc, b->n_locals + 1u, 1);
    b->osr_values = bc_arena_new(&f->arena, n + 1u, sizeof *b->osr_values);
    if (!b->locals || !b->local_types || !b->osr_values) {
        f->failed = true;
        return;
    }
    f->where = f->loop_offset;
    uint32_t frame = build_new(b, IR_PARAM, IR_I64);
    if (!f->failed) f->ins[frame].imm = 0;
    for (uint32_t i = 0; i < n && !f->failed; i++)
        b->osr_values[i] = value_in_frame(b, loop->values + i, frame);
    for (uint32_t i = 0; i < b->n_locals; i++) {
        b->locals[i] = b->osr_values[i];
        b->local_types[i] = (uint8_t)type_of_kind(loop->values[i].kind);
    }
    b->osr_frame = frame;
}

/* ---- on the way to the loop ---- */

struct step {
    uint32_t at, loop; /* byte offset; number of the loop, IR_NONE for other blocks */
    uint32_t handlers; /* of a try: those that have begun; we are in the last of them */
};
struct way {
    struct step *blocks; /* around the loop, outermost first, then its own */
    size_t n_blocks, cap_blocks;
};

static bool opens(const struct bc_instr *in) {
    return in->op == BC_BLOCK || in->op == BC_LOOP || in->op == BC_IF || in->op == BC_TRY ||
           in->op == BC_TRY_TABLE;
}

static void find_way(struct build *b, struct way *way) {
    struct ir_func *f = b->f;
    const struct bc_func *func = &f->bc->funcs[f->func];
    uint32_t at = func->code_offset, end = func->body.offset + func->body.size, n_loops = 0;
    struct bc_instr in;
    for (; at <= f->loop_offset && !f->failed; at = in.next) {
        if (bc_decode_instr(f->bc, at, end, &in, NULL)) f->failed = true;
        if ((in.op == BC_END || in.op == BC_DELEGATE) && way->n_blocks) way->n_blocks--;
        if ((in.op == BC_CATCH || in.op == BC_CATCH_ALL) && way->n_blocks)
            way->blocks[way->n_blocks - 1].handlers++;
        if (!opens(&in)) continue;
        if (way->n_blocks == way->cap_blocks && atoll_grow(f->alloc, (void **)&way->blocks, &way->cap_blocks,
                                                           way->n_blocks + 1, sizeof *way->blocks)) {
            f->failed = true;
            return;
        }
        way->blocks[way->n_blocks++] = (struct step){at, in.op == BC_LOOP ? n_loops++ : IR_NONE, 0};
    }
    if (way->n_blocks != f->loop->n_blocks) f->declined = "the loop was not found";
}

/* Once we are inside, a local that the outermost loop writes may be another than what the loops between had in front
 * of them: each of those needs a phi for it. Operands below any of the blocks between may be others, too, for those who
 * come by a way around our loop, and blocks' ends know nothing of what is below them. */
static void share_writes(struct build *b, const struct way *way) {
    struct ir_func *f = b->f;
    size_t outer = 0;
    while (way->blocks[outer].loop == IR_NONE) outer++;
    const uint64_t *all = b->written + way->blocks[outer].loop * b->written_words;
    for (size_t k = outer + 1; k + 1 < way->n_blocks; k++) {
        if (f->loop->heights[k] > f->loop->heights[outer])
            f->declined = "operands wait between the loops around";
        if (way->blocks[k].loop == IR_NONE) continue;
        memcpy(b->written + way->blocks[k].loop * b->written_words, all, b->written_words * sizeof *all);
    }
}

/* Operands as they are below the parameters of block k of the way; its parameters are zero: on this edge nobody
 * comes. */
static void set_operands(struct build *b, uint32_t k, const struct bc_block_sig *sig) {
    b->n_stack = 0;
    for (uint32_t i = 0; i < b->f->loop->heights[k]; i++) build_push(b, b->osr_values[b->n_locals + i]);
    for (uint32_t i = 0; i < sig->n_params; i++) build_push(b, ir_const(b->f, ir_type_of(sig->params[i]), 0));
}

/* The outermost loop begins at another place than we do: a branch that is never taken leads there. */
static void fork_entry(struct build *b) {
    struct ir_func *f = b->f;
    uint32_t entry = b->block, side = ir_new_block(f), way = ir_new_block(f);
    uint32_t never = ir_unary(f, entry, BC_I64_EQZ, IR_I32, b->osr_frame);
    uint32_t branch = build_new(b, IR_BRANCH, IR_VOID);
    if (f->failed) return;
    f->ins[branch].a = never;
    ir_set_succs(f, entry, 2, (uint32_t[]){way, side});
    ir_add_pred(f, way, entry);
    ir_add_pred(f, side, entry);
    build_start(b, side);
    b->osr_block = side;
    build_start(b, way);
}

/* Passes what is never run: returns where code begins, at the outermost loop. */
static uint32_t pass_to_loop(struct build *b, const struct way *way) {
    struct ir_func *f = b->f;
    uint32_t end = f->bc->funcs[f->func].body.offset + f->bc->funcs[f->func].body.size;
    uint32_t at = f->bc->funcs[f->func].code_offset, next = 0;
    struct bc_instr in;
    for (; !f->failed; at = in.next) {
        if (bc_decode_instr(f->bc, at, end, &in, NULL)) f->failed = true;
        if (f->failed) continue;
        if (at != way->blocks[next].at) { /* those that are over are counted */
            if (in.op == BC_LOOP) b->next_loop++;
            if (in.op == BC_TRY || in.op == BC_TRY_TABLE) b->next_attempt++;
            continue;
        }
        struct bc_block_sig sig;
        bc_block_signature(f->bc, in.block_type, &sig);
        set_operands(b, next, &sig);
        if (in.op == BC_LOOP) return at;
        if (in.op == BC_TRY || in.op == BC_TRY_TABLE)
            build_open_attempt(b, &in, way->blocks[next].handlers);
        else
            build_open_block(b, BC_BLOCK, in.block_type);
        next++;
    }
    return at;
}

uint32_t build_osr_start(struct build *b) {
    struct ir_func *f = b->f;
    struct way way = {0};
    find_way(b, &way);
    if (!f->failed && !f->declined) share_writes(b, &way);
    uint32_t at = f->failed || f->declined ? 0 : pass_to_loop(b, &way);
    atoll_free(f->alloc, way.blocks, way.cap_blocks * sizeof *way.blocks);
    if (f->failed || f->declined) return at;
    if (at != f->loop_offset) {
        fork_entry(b);
        return at;
    }
    b->n_stack = 0;
    for (uint32_t i = 0; i < f->loop->n_operands; i++) build_push(b, b->osr_values[b->n_locals + i]);
    return at;
}
