/* jit/ir.c: making and printing intermediate code. */
#include "jit/ir.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;
    bool effect;
} own_ops[] = {
#define X(id, effect, ends) {#id, effect},
    IR_OP_LIST(X)
#undef X
};

void ir_init(struct ir_func *f, struct rt_module *module, uint32_t func) {
    *f = (struct ir_func){.module = module, .bc = module->bc, .func = func, .alloc = module->engine->alloc};
    f->type = module->types[f->bc->funcs[func].type];
    bc_arena_init(&f->arena, f->alloc);
    /* the first of each exists, so that a number is always one of something */
    if (atoll_grow(f->alloc, (void **)&f->ins, &f->cap_ins, 64, sizeof *f->ins) ||
        atoll_grow(f->alloc, (void **)&f->blocks, &f->cap_blocks, 16, sizeof *f->blocks) ||
        atoll_grow(f->alloc, (void **)&f->items, &f->cap_items, 16, sizeof *f->items))
        f->failed = true;
}

void ir_fini(struct ir_func *f) {
    atoll_free(f->alloc, f->ins, f->cap_ins * sizeof *f->ins);
    atoll_free(f->alloc, f->blocks, f->cap_blocks * sizeof *f->blocks);
    atoll_free(f->alloc, f->order, f->cap_order * sizeof *f->order);
    atoll_free(f->alloc, f->items, f->cap_items * sizeof *f->items);
    atoll_free(f->alloc, f->pool, f->cap_pool * sizeof *f->pool);
    atoll_free(f->alloc, f->places, f->cap_places * sizeof *f->places);
    bc_arena_fini(&f->arena);
}

uint32_t ir_new_block(struct ir_func *f) {
    if (f->n_blocks == f->cap_blocks &&
        atoll_grow(f->alloc, (void **)&f->blocks, &f->cap_blocks, f->n_blocks + 1, sizeof *f->blocks)) {
        f->failed = true;
        return 0;
    }
    f->blocks[f->n_blocks] = (struct ir_block){.first = IR_NONE, .last = IR_NONE, .loop_end = IR_NONE};
    return (uint32_t)f->n_blocks++;
}

uint32_t ir_new(struct ir_func *f, uint32_t block, unsigned op, unsigned type) {
    if (f->n_ins == f->cap_ins &&
        atoll_grow(f->alloc, (void **)&f->ins, &f->cap_ins, f->n_ins + 1, sizeof *f->ins)) {
        f->failed = true;
        return 0;
    }
    uint32_t i = (uint32_t)f->n_ins++;
    f->ins[i] = (struct ir_ins){.op = (uint16_t)op,
                                .type = (uint8_t)type,
                                .effect = op > IR_FIRST_ && own_ops[op - IR_FIRST_ - 1].effect,
                                .a = IR_NONE,
                                .b = IR_NONE,
                                .c = IR_NONE,
                                .where = f->where,
                                .block = block,
                                .next = IR_NONE};
    if (block == IR_NONE) return i;
    struct ir_block *b = f->blocks + block;
    if (b->last == IR_NONE)
        b->first = i;
    else
        f->ins[b->last].next = i;
    b->last = i;
    return i;
}

uint32_t ir_const(struct ir_func *f, unsigned type, uint64_t bits) {
    uint32_t i = ir_new(f, IR_NONE, IR_CONST, type);
    if (!f->failed) f->ins[i].imm = type == IR_I32 || type == IR_F32 ? (uint32_t)bits : bits;
    return i;
}

uint32_t ir_items(struct ir_func *f, uint32_t n) {
    if (f->n_items + n > f->cap_items &&
        atoll_grow(f->alloc, (void **)&f->items, &f->cap_items, f->n_items + n, sizeof *f->items)) {
        f->failed = true;
        return 0;
    }
    uint32_t at = (uint32_t)f->n_items;
    f->n_items += n;
    return at;
}

void ir_add_pred(struct ir_func *f, uint32_t block, uint32_t pred) {
    struct ir_block *b = f->blocks + block;
    if (b->n_preds == b->cap_preds) {
        uint32_t cap = b->cap_preds ? 2 * b->cap_preds : 2;
        uint32_t *preds = bc_arena_new(&f->arena, cap, sizeof *preds);
        if (!preds) {
            f->failed = true;
            return;
        }
        if (b->n_preds) memcpy(preds, b->preds, b->n_preds * sizeof *preds);
        b->preds = preds;
        b->cap_preds = cap;
    }
    b->preds[b->n_preds++] = pred;
}

void ir_set_succs(struct ir_func *f, uint32_t block, uint32_t n, const uint32_t *succs) {
    uint32_t *copy = bc_arena_new(&f->arena, n, sizeof *copy);
    if (!copy) {
        f->failed = true;
        return;
    }
    memcpy(copy, succs, n * sizeof *copy);
    f->blocks[block].succs = copy;
    f->blocks[block].n_succs = n;
}

/* ---- printing ---- */

static const char *const type_names[] = {"", "i32", "i64", "f32", "f64", "v128"};

static void print_location(struct bc_buf *out, uint8_t reg) {
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    if (reg < 16)
        bc_buf_text(out, ":%s", names[reg]);
    else if (reg < 32)
        bc_buf_text(out, ":xmm%d", reg - 16);
    else if (reg == LOC_SPILL)
        bc_buf_text(out, ":spill");
}

static void print_operand(const struct ir_func *f, struct bc_buf *out, uint32_t v, uint8_t reg) {
    const struct ir_ins *i = f->ins + v;
    if (i->op == IR_CONST && i->type != IR_V128)
        bc_buf_text(out, " %s:%" PRId64, type_names[i->type],
                    i->type == IR_I32 ? (int64_t)(int32_t)i->imm : (int64_t)i->imm);
    else
        bc_buf_text(out, " v%" PRIu32, v);
    if (f->item_regs) print_location(out, reg);
}

/* Of an inlined function, then its calls outwards. */
static void print_where(const struct ir_func *f, struct bc_buf *out, uint32_t where) {
    const char *before = "  @";
    for (; f->n_places && where & JIT_INLINED; where = f->places[where & JIT_PLACE].outer) {
        bc_buf_text(out, "%s%" PRIx32, before, f->places[where & JIT_PLACE].at);
        before = "<";
    }
    bc_buf_text(out, "%s%" PRIx32, before, where);
}

static void print_ins(const struct ir_func *f, struct bc_buf *out, uint32_t v) {
    const struct ir_ins *i = f->ins + v;
    bc_buf_text(out, "    ");
    if (i->type) {
        bc_buf_text(out, "v%" PRIu32, v);
        if (f->item_regs) print_location(out, i->reg);
        bc_buf_text(out, " %s = ", type_names[i->type]);
    }
    bc_buf_text(out, "%s", i->op > IR_FIRST_ ? own_ops[i->op - IR_FIRST_ - 1].name : bc_op_infos[i->op].text);
    struct bc_instr in;
    if (i->op == IR_SLOW &&
        !bc_decode_instr(f->bc, ir_byte(f, i->where), (uint32_t)f->bc->n_bytes, &in, NULL))
        bc_buf_text(out, ".%s", bc_op_infos[in.op].text);
    bool access = i->op == IR_LOAD || i->op == IR_STORE || i->op == IR_ATOMIC;
    if (access) bc_buf_text(out, ".%s", bc_op_infos[i->sub].text);
    if (ir_has_list(i->op)) {
        for (uint32_t k = 0; k < i->b; k++)
            print_operand(f, out, f->items[i->a + k], f->item_regs ? f->item_regs[i->a + k] : 0);
    } else {
        if (i->a != IR_NONE) print_operand(f, out, i->a, i->reg_a);
        if (i->b != IR_NONE) print_operand(f, out, i->b, i->reg_b);
        if (i->c != IR_NONE) print_operand(f, out, i->c, i->reg_c);
    }
    if (i->imm && i->op != IR_SLOW) bc_buf_text(out, " #%" PRIu64, i->imm);
    print_where(f, out, i->where);
    bc_buf_text(out, "%s\n", i->folded ? " (folded)" : "");
}

void ir_print(const struct ir_func *f, struct bc_buf *out) {
    for (uint32_t k = 0; k < (f->n_order ? f->n_order : f->n_blocks); k++) {
        uint32_t number = f->n_order ? f->order[k] : k;
        const struct ir_block *b = f->blocks + number;
        bc_buf_text(out, "  block %" PRIu32 " (depth %" PRIu32 ", from", number, b->loop_depth);
        for (uint32_t i = 0; i < b->n_preds; i++) bc_buf_text(out, " %" PRIu32, b->preds[i]);
        bc_buf_text(out, ")");
        if (b->landing)
            bc_buf_text(out, b->tag == IR_ANY_TAG ? " catches all" : " catches tag %" PRIu32, b->tag);
        bc_buf_text(out, "\n");
        for (uint32_t i = b->first; i != IR_NONE; i = f->ins[i].next) print_ins(f, out, i);
        bc_buf_text(out, "    ->");
        for (uint32_t i = 0; i < b->n_succs; i++) bc_buf_text(out, " %" PRIu32, b->succs[i]);
        bc_buf_text(out, "\n");
    }
}
