/* jit/emit.c: the frame of a function's machine code: prologue, blocks, moves between them, stubs. */
#include <stddef.h>
#include <string.h>
#include "jit/code.h"
#include "jit/emit.h"

#define SMALL_FRAME                                                                                          \
    2048 /* leaf functions with no more need no look at the stack's end: it leaves them room */

/* ---- labels, stubs, places ---- */

uint32_t emit_label(struct emit *e) {
    if (e->n_labels == e->cap_labels &&
        atoll_grow(e->f->alloc, (void **)&e->labels, &e->cap_labels, e->n_labels + 1, sizeof *e->labels)) {
        e->a.failed = true;
        return 0;
    }
    return (uint32_t)e->n_labels++;
}

void emit_bind(struct emit *e, uint32_t label) {
    e->flags.at = SIZE_MAX; /* others come here, with other flags */
    if (label < e->n_labels) e->labels[label] = (uint32_t)e->a.size;
}

static uint32_t call_of(const struct ir_func *f, uint32_t where) {
    return f->n_places && where & JIT_INLINED ? f->places[where & JIT_PLACE].outer : IR_NONE;
}

/* As struct jit_pc has it: of places in inlined functions the code lists those that it needs. Callers come first. */
static uint32_t place_in_code(struct emit *e, uint32_t where) {
    struct jit_code *out = e->out;
    const struct ir_func *f = e->f;
    if (call_of(f, where) == IR_NONE) return where;
    uint32_t *number = e->inlined + (where & JIT_PLACE);
    if (!*number) {
        uint32_t outer = place_in_code(e, call_of(f, where));
        if (out->n_inlined == out->cap_inlined &&
            atoll_grow(f->alloc, (void **)&out->inlined, &out->cap_inlined, out->n_inlined + 1,
                       sizeof *out->inlined)) {
            e->a.failed = true;
            return 0;
        }
        out->inlined[out->n_inlined++] = (struct jit_inlined){ir_byte(f, where), outer};
        *number = out->n_inlined;
    }
    return (where & ~JIT_PLACE) | (*number - 1);
}

void emit_pc(struct emit *e, uint32_t where) {
    struct jit_code *out = e->out;
    e->call = call_of(e->f, where);
    where = place_in_code(e, e->framed ? where : where | JIT_NO_FRAME);
    if (out->n_pcs == e->cap_pcs &&
        atoll_grow(e->f->alloc, (void **)&out->pcs, &e->cap_pcs, out->n_pcs + 1, sizeof *out->pcs)) {
        e->a.failed = true;
        return;
    }
    out->pcs[out->n_pcs++] = (struct jit_pc){(uint32_t)e->a.size, where};
}

void emit_landings(struct emit *e, uint32_t v) {
    const struct ir_func *f = e->f;
    const struct ir_block *b = f->blocks + f->ins[v].block;
    struct jit_code *out = e->out;
    if (!b->throws || b->last != v) return;
    for (uint32_t s = ir_first_landing(f, b); s < b->n_succs; s++) {
        const struct ir_block *to = f->blocks + b->succs[s];
        if (out->n_landings == out->cap_landings &&
            atoll_grow(f->alloc, (void **)&out->landings, &out->cap_landings, out->n_landings + 1,
                       sizeof *out->landings)) {
            e->a.failed = true;
            return;
        }
        out->landings[out->n_landings++] =
            (struct jit_landing){(uint32_t)e->a.size, b->succs[s], to->tag, to->with_ref};
    }
}

void emit_note(struct emit *e, enum emit_note_kind kind, uint32_t number) {
    if (!e->f->dump) return;
    if (e->n_notes == e->cap_notes &&
        atoll_grow(e->f->alloc, (void **)&e->notes, &e->cap_notes, e->n_notes + 1, sizeof *e->notes)) {
        e->a.failed = true;
        return;
    }
    e->notes[e->n_notes++] = (struct emit_note){(uint32_t)e->a.size, number, (uint8_t)kind};
}

/* source  Intel: "Mitigations for Jump Conditional Code Erratum", 2019 */
void emit_keep_together(struct emit *e, size_t from) {
    size_t end = e->a.size;
    if (!e->in_loop || !jit_cpu()->jumps_want_place || from >= end || end - from > 24) return;
    if (from / 32 == end / 32) return; /* neither across a boundary nor up to it */
    unsigned n = (unsigned)(32 - from % 32);
    if (n == 32) return;
    x86_nops_before(&e->a, from, n);
    for (uint32_t k = e->out->n_pcs; k-- > 0 && e->out->pcs[k].at >= from && k + 1 != e->return_pc;)
        e->out->pcs[k].at += n;
    for (uint32_t k = e->out->n_relocs; k-- > 0 && e->out->relocs[k].at >= from;) e->out->relocs[k].at += n;
    for (size_t k = e->n_notes; k-- > 0 && e->notes[k].at > from;) e->notes[k].at += n;
    e->flags.at = SIZE_MAX;
}

void emit_return_pc(struct emit *e, uint32_t where) {
    emit_pc(e, where);
    e->return_pc = e->out->n_pcs;
}

void emit_reloc(struct emit *e, unsigned kind, uint32_t target) {
    struct jit_code *out = e->out;
    if (out->n_relocs == e->cap_relocs && atoll_grow(e->f->alloc, (void **)&out->relocs, &e->cap_relocs,
                                                     out->n_relocs + 1, sizeof *out->relocs)) {
        e->a.failed = true;
        return;
    }
    out->relocs[out->n_relocs++] = (struct jit_reloc){(uint32_t)e->a.size, target, (uint8_t)kind};
    x86_bytes(&e->a, 0, 4);
}

void emit_address_of(struct emit *e, int reg, unsigned kind, uint32_t target) {
    x86_bytes(&e->a, (reg >= 8 ? 0x49u : 0x48u) | (0xB8u | (reg & 7u)) << 8, 2); /* mov reg, imm64 */
    emit_reloc(e, kind, target);
    x86_bytes(&e->a, 0, 4);
}

struct stub *emit_stub(struct emit *e, unsigned kind, uint32_t where) {
    if (e->n_stubs == e->cap_stubs &&
        atoll_grow(e->f->alloc, (void **)&e->stubs, &e->cap_stubs, e->n_stubs + 1, sizeof *e->stubs)) {
        e->a.failed = true;
        return &e->no_stub;
    }
    struct stub *s = e->stubs + e->n_stubs++;
    if (!e->framed) where |= JIT_NO_FRAME;
    *s = (struct stub){.kind = (uint8_t)kind, .label = emit_label(e), .where = where};
    return s;
}

void emit_trap_if(struct emit *e, unsigned cc, enum rt_trap trap, uint32_t where) {
    struct stub *s = emit_stub(e, STUB_TRAP, where);
    s->trap = (uint8_t)trap;
    size_t from = e->flags.at == e->a.size ? e->flags.from : e->ins_start;
    x86_branch(&e->a, cc, s->label);
    emit_keep_together(e, from);
}

/* ---- operands ---- */

static struct x86_rm slot(const struct emit *e, uint32_t v) {
    return x86_mem(RSP, (int32_t)(e->spills_at + e->al->slots[v]));
}

struct x86_rm emit_operand(struct emit *e, uint32_t v, uint8_t loc) {
    const struct ir_ins *i = e->f->ins + v;
    if (i->folded) {
        emit_pc(e, i->where);
        return emit_address(e, i);
    }
    if (i->op == IR_CONST) {
        if (i->type == IR_V128) return x86_literal(&e->a, e->f->pool[i->imm], 16);
        return x86_literal(&e->a, &i->imm, i->type == IR_I32 || i->type == IR_F32 ? 4 : 8);
    }
    return loc == LOC_SPILL ? slot(e, v) : x86_reg(loc);
}

bool emit_imm32(const struct emit *e, uint32_t v, int32_t *imm) {
    const struct ir_ins *i = e->f->ins + v;
    if (i->op != IR_CONST || ir_is_float(i->type)) return false;
    if (i->type == IR_I64 && (int64_t)i->imm != (int32_t)i->imm) return false;
    *imm = (int32_t)i->imm;
    return true;
}

void emit_move(struct emit *e, unsigned type, int dst, int src) {
    if (dst == src) return;
    if (type == IR_I32 || type == IR_I64)
        x86_op(&e->a, X86_MOV_LOAD | emit_width(type), dst, x86_reg(src));
    else
        x86_op(&e->a, X86_MOVAPS, dst, x86_reg(src));
}

uint32_t emit_load_op(unsigned type) {
    switch (type) {
    case IR_I32: return X86_MOV_LOAD;
    case IR_I64: return X86_MOV_LOAD | X86_W;
    case IR_F32: return X86_MOVSS_LOAD;
    case IR_F64: return X86_MOVSD_LOAD;
    default: return X86_MOVUPS_LOAD;
    }
}
uint32_t emit_store_op(unsigned type) {
    switch (type) {
    case IR_I32: /* all eight bytes: slots are read as such */
    case IR_I64: return X86_MOV_STORE | X86_W;
    case IR_F32: return X86_MOVSS_STORE;
    case IR_F64: return X86_MOVSD_STORE;
    default: return X86_MOVUPS_STORE;
    }
}

void emit_load_value(struct emit *e, int dst, uint32_t v, uint8_t loc) {
    const struct ir_ins *i = e->f->ins + v;
    if (i->op == IR_CONST && !ir_is_float(i->type)) {
        x86_const(&e->a, dst, i->imm);
    } else if (i->op == IR_CONST && i->imm == 0) {
        x86_op(&e->a, X86_XORPS, dst, x86_reg(dst)); /* the pool's first vector is zero, too */
    } else if (loc < 32 && !i->folded) {
        emit_move(e, i->type, dst, loc);
    } else {
        struct x86_rm from = emit_operand(e, v, loc);
        x86_op(&e->a, emit_load_op(i->type), dst, from);
    }
}

int emit_in_register(struct emit *e, uint32_t v, uint8_t loc, int scratch) {
    if (e->f->ins[v].op != IR_CONST && !e->f->ins[v].folded && loc < 32) return loc;
    emit_load_value(e, scratch, v, loc);
    return scratch;
}

/* ---- moves of the allocator ---- */

static void store_if_spilled(struct emit *e, uint32_t v) {
    const struct ir_ins *i = e->f->ins + v;
    if (e->al->slots[v] == IR_NONE || i->reg == LOC_SPILL || e->al->late[v]) return;
    bool flags = e->flags.at == e->a.size;
    x86_op(&e->a, emit_store_op(i->type), i->reg, slot(e, v));
    if (flags) e->flags.at = e->a.size;
}

static uint32_t slot_offset(const struct emit *e, uint32_t v) {
    return e->al->slots[v] == IR_NONE ? 0 : e->spills_at + e->al->slots[v];
}

static void moves_before(struct emit *e, uint32_t pos) {
    struct alloc *al = e->al;
    bool any = false;
    for (; e->next_move < al->n_moves && al->moves[e->next_move].pos <= pos; e->next_move++) {
        const struct alloc_move *m = al->moves + e->next_move;
        uint32_t at = slot_offset(e, m->value);
        moves_add(e, m->value, m->from, at, m->to, at, e->f->ins[m->value].type);
        any = true;
    }
    if (any) moves_flush(e);
}

/* Whether a value changes places from a to b. Most are in memory anyway. */
static bool changes(const struct emit *e, uint32_t v, uint8_t a, uint8_t b) {
    return a != b && (b < 32 || (b == LOC_SPILL && e->al->late[v]));
}

/* What changes places on the way from one block to the next. */
static void edge_moves(struct emit *e, uint32_t from, uint32_t to) {
    struct ir_func *f = e->f;
    const struct ir_block *succ = f->blocks + to;
    uint32_t end = f->blocks[from].to - 1;
    const uint64_t *live = e->al->live_in + (size_t)to * e->al->live_words;
    for (uint32_t w = 0; w < e->al->live_words; w++)
        for (uint64_t bits = live[w]; bits; bits &= bits - 1) {
            uint32_t v = e->al->global_values[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            uint8_t a = alloc_at(e->al, v, end), b = alloc_at(e->al, v, succ->from);
            if (!changes(e, v, a, b)) continue;
            moves_add(e, v, a, slot_offset(e, v), b, b == LOC_SPILL ? slot_offset(e, v) : 0, f->ins[v].type);
        }
    uint32_t number = 0;
    while (succ->preds[number] != from) number++;
    for (uint32_t v = succ->first; v != IR_NONE && f->ins[v].op == IR_PHI; v = f->ins[v].next) {
        uint32_t operand = f->items[f->ins[v].a + number];
        uint8_t a = alloc_at(e->al, operand, end);
        moves_add(e, operand, a, a == LOC_SPILL ? slot_offset(e, operand) : 0, f->ins[v].reg,
                  f->ins[v].reg == LOC_SPILL ? slot_offset(e, v) : 0, f->ins[v].type);
    }
    moves_flush(e);
}

/* ---- entry and return ---- */

static uint32_t caller_area(const struct emit *e) {
    return (e->framed ? e->frame_bytes + 8 * e->n_saved : 0) + 8;
}

static void lay_out_frame(struct emit *e) {
    const struct ir_func *f = e->f;
    uint32_t out = (f->out_bytes + 15) & ~15u;
    e->spills_at = out;
    e->self_at = out + ((e->al->spill_bytes + 15) & ~15u);
    e->n_saved = (uint32_t)__builtin_popcount(e->al->used_saved);
    uint32_t bytes = e->self_at + (f->has_far_calls ? 16 : 0);
    /* the return address and the pushes before us: rsp is a multiple of 16 behind the frame, if anybody looks */
    if ((bytes || f->has_calls) && (bytes + 8 * e->n_saved + 8) & 15) bytes += 8;
    e->frame_bytes = bytes;
    if (bytes > SMALL_FRAME)
        e->f->frame_place = 0; /* to look at the stack's end takes a register that may be in use */
}

static void prologue(struct emit *e) {
    struct x86 *a = &e->a;
    const struct ir_func *f = e->f;
    if (f->has_calls || e->frame_bytes > SMALL_FRAME) {
        int limit = RSP;
        x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(INSTANCE, offsetof(struct rt_instance, store)));
        if (e->frame_bytes > SMALL_FRAME) {
            x86_op(a, X86_LEA | X86_W, R10, x86_mem(RSP, -(int32_t)e->frame_bytes));
            limit = R10;
        }
        x86_op(a, X86_CMP | X86_W, limit, x86_mem(SCRATCH, offsetof(struct rt_store, native_limit)));
        struct stub *s = emit_stub(e, STUB_TRAP, f->bc->funcs[f->func].code_offset | JIT_NO_FRAME);
        s->trap = RT_TRAP_STACK_EXHAUSTED;
        x86_branch(a, CC_B, s->label);
    }
    e->out->pushes_at = (uint32_t)a->size;
    for (size_t i = 0; i < JIT_N_SAVED; i++)
        if (e->al->used_saved >> jit_saved_registers[i] & 1) {
            if (jit_saved_registers[i] >= 8) x86_bytes(a, 0x41, 1);
            x86_bytes(a, 0x50u | (jit_saved_registers[i] & 7), 1);
        }
    if (e->frame_bytes) x86_alu_imm(a, 5, X86_W, x86_reg(RSP), (int32_t)e->frame_bytes);
    e->framed = true;
}

static void leave_frame(struct emit *e) {
    struct x86 *a = &e->a;
    if (!e->framed) return;
    if (e->frame_bytes) x86_alu_imm(a, 0, X86_W, x86_reg(RSP), (int32_t)e->frame_bytes);
    for (size_t i = JIT_N_SAVED; i-- > 0;)
        if (e->al->used_saved >> jit_saved_registers[i] & 1) {
            if (jit_saved_registers[i] >= 8) x86_bytes(a, 0x41, 1);
            x86_bytes(a, 0x58u | (jit_saved_registers[i] & 7), 1);
        }
}

/* Parameters from where the convention has them to where the allocator wants them. */
static void take_params(struct emit *e) {
    struct ir_func *f = e->f;
    struct jit_arg *args = bc_arena_new(&f->arena, f->type->n_params + 1u, sizeof *args);
    if (!args) {
        e->a.failed = true;
        return;
    }
    jit_place_args(f->type->params, f->type->n_params, args);
    for (uint32_t v = f->blocks[f->order[0]].first; v != IR_NONE && f->ins[v].op == IR_PARAM;
         v = f->ins[v].next) {
        const struct jit_arg *arg = args + f->ins[v].imm;
        moves_add(e, v, arg->reg, arg->reg == LOC_SPILL ? caller_area(e) + arg->offset : 0, f->ins[v].reg,
                  f->ins[v].reg == LOC_SPILL ? slot_offset(e, v) : 0, f->ins[v].type);
    }
    moves_flush(e);
}

static void emit_return(struct emit *e, const struct ir_ins *i) {
    struct ir_func *f = e->f;
    for (uint32_t k = 0; k < i->b; k++) {
        uint32_t v = f->items[i->a + k];
        uint8_t loc = f->item_regs[i->a + k], to = ir_is_float(f->ins[v].type) ? XMM0 : RAX;
        moves_add(e, v, loc, loc == LOC_SPILL ? slot_offset(e, v) : 0, k ? LOC_SPILL : to,
                  k ? caller_area(e) + 16 * (k - 1) : 0, f->ins[v].type);
    }
    moves_flush(e);
    leave_frame(e);
    x86_bytes(&e->a, 0xC3, 1);
}

void emit_leave_frame(struct emit *e) { leave_frame(e); }
void emit_restore_saved(struct emit *e) {
    int32_t at = (int32_t)caller_area(e) - 8;
    for (size_t i = 0; i < JIT_N_SAVED; i++)
        if (e->al->used_saved >> jit_saved_registers[i] & 1)
            x86_op(&e->a, X86_MOV_LOAD | X86_W, jit_saved_registers[i], x86_mem(RSP, at -= 8));
}
uint32_t emit_caller_area(const struct emit *e) { return caller_area(e); }
uint32_t emit_slot_offset(const struct emit *e, uint32_t v) { return slot_offset(e, v); }

/* ---- branches ---- */

/* Where a jump to the block leads: blocks without code are passed. */
static uint32_t target_of(const struct emit *e, uint32_t block) { return e->alias[block]; }

static void jump_to(struct emit *e, uint32_t block) {
    if (target_of(e, block) == e->next_block) return;
    size_t from = e->a.size;
    x86_jump(&e->a, target_of(e, block));
    emit_keep_together(e, from);
}

/* Four bytes that become a label's distance from `from`. */
static void distance(struct emit *e, uint32_t label, uint32_t from) {
    struct x86 *a = &e->a;
    if (a->n_fixups == a->cap_fixups &&
        atoll_grow(a->alloc, (void **)&a->fixups, &a->cap_fixups, a->n_fixups + 1, sizeof *a->fixups)) {
        a->failed = true;
        return;
    }
    a->fixups[a->n_fixups++] = (struct x86_fixup){(uint32_t)a->size, label, from - (uint32_t)a->size - 4};
    x86_bytes(a, 0, 4);
}

/* The instruction's result is a register to compute with. */
static void switch_by_table(struct emit *e, const struct ir_ins *i, const struct ir_block *b, int index) {
    struct x86 *a = &e->a;
    uint32_t n = b->n_succs - 1, table = emit_label(e);
    x86_alu_imm(a, 7, 0, x86_reg(index), (int32_t)n);
    x86_branch(a, CC_AE, target_of(e, b->succs[n]));
    x86_bytes(a, 0x1D8D4C, 3); /* lea r11, [rip + table] */
    distance(e, table, (uint32_t)a->size + 4);
    x86_op(a, X86_MOVSXD, i->reg, x86_mem_index(SCRATCH, index, 2, 0));
    x86_op(a, X86_ADD | X86_W, i->reg, x86_reg(SCRATCH));
    x86_op(a, X86_CODE(0, 0, 0xFF), 4, x86_reg(i->reg));
    emit_bind(e, table);
    emit_note(e, NOTE_TABLE, 0);
    uint32_t start = (uint32_t)a->size;
    for (uint32_t k = 0; k < n; k++) distance(e, target_of(e, b->succs[k]), start);
}

static void emit_switch(struct emit *e, const struct ir_ins *i, const struct ir_block *b) {
    struct x86 *a = &e->a;
    uint32_t n = b->n_succs - 1;
    int index =
        emit_in_register(e, i->a, i->reg_a, n > 3 ? i->reg : SCRATCH); /* a table's address is in SCRATCH */
    if (n > 3) {
        switch_by_table(e, i, b, index);
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        x86_alu_imm(a, 7, 0, x86_reg(index), (int32_t)k);
        x86_branch(a, CC_E, target_of(e, b->succs[k]));
    }
    jump_to(e, b->succs[n]);
}

/* ---- instructions ---- */

static void emit_cast(struct emit *e, const struct ir_ins *i) { /* 32-bit values have clear upper halves */
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    if (i->reg != src) x86_op(&e->a, X86_MOV_LOAD, i->reg, x86_reg(src));
}

/* An interruption raises the stack's limit above everything. */
static void emit_poll(struct emit *e, const struct ir_ins *i) {
    int store = SCRATCH;
    if (i->a == IR_NONE)
        x86_op(&e->a, X86_MOV_LOAD | X86_W, store, x86_mem(INSTANCE, offsetof(struct rt_instance, store)));
    else
        store = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    x86_op(&e->a, X86_CMP | X86_W, RSP, x86_mem(store, offsetof(struct rt_store, native_limit)));
    emit_trap_if(e, CC_B, RT_TRAP_STACK_EXHAUSTED, i->where);
}

static void emit_own_store(struct emit *e, const struct ir_ins *i) {
    x86_op(&e->a, X86_MOV_LOAD | X86_W, i->reg, x86_mem(INSTANCE, offsetof(struct rt_instance, store)));
}

static void emit_fuel(struct emit *e, const struct ir_ins *i) {
    struct x86 *a = &e->a;
    x86_op(a, X86_MOV_LOAD | X86_W, SCRATCH, x86_mem(INSTANCE, offsetof(struct rt_instance, store)));
    x86_alu_imm(a, 5, X86_W, x86_mem(SCRATCH, offsetof(struct rt_store, fuel)), (int32_t)i->imm);
    struct stub *s = emit_stub(e, STUB_FUEL, i->where);
    x86_branch(a, CC_S, s->label);
    s->back = emit_label(e);
    emit_bind(e, s->back);
}

static void fuel_stub(struct emit *e, const struct stub *s) {
    x86_bytes(&e->a, 0xE8, 1);
    emit_reloc(e, JIT_RELOC_REFUEL, 0);
    emit_return_pc(e, s->where);
    x86_jump(&e->a, s->back);
}

static void emit_non_null(struct emit *e, const struct ir_ins *i) {
    int src = emit_in_register(e, i->a, i->reg_a, SCRATCH);
    x86_op(&e->a, X86_TEST | X86_W, src, x86_reg(src));
    emit_trap_if(e, CC_E, (enum rt_trap)i->imm, i->where);
    emit_move(e, IR_I64, i->reg, src);
}

static void emit_trap_on(struct emit *e, const struct ir_ins *i) {
    int parity;
    unsigned cc = emit_flags(e, i->a, i->reg_a, &parity);
    emit_trap_if(e, cc, (enum rt_trap)i->imm, i->where);
}

/* Who takes samples is told where an inlined function begins and ends. */
static void emit_boundary(struct emit *e, const struct ir_ins *i) {
    if (!e->f->n_places || i->op == IR_PHI || i->op == IR_PARAM) return;
    if (call_of(e->f, i->where) != e->call) emit_pc(e, i->where);
}

static void emit_ins(struct emit *e, struct ir_ins *i, const struct ir_block *b) {
    switch (i->op) {
    case IR_PHI:
    case IR_PARAM: break;
    case IR_CAST: emit_cast(e, i); break;
    case IR_OWN_STORE: emit_own_store(e, i); break;
    case IR_HELD: emit_load_value(e, i->reg, i->a, LOC_NONE); break;
    case IR_POLL: emit_poll(e, i); break;
    case IR_FUEL: emit_fuel(e, i); break;
    case IR_NON_NULL: emit_non_null(e, i); break;
    case IR_TRAP_IF: emit_trap_on(e, i); break;
    case IR_REF_IS: emit_ref_is(e, i); break;
    case IR_ATOMIC: emit_atomic(e, i); break;
    case IR_JUMP:
        edge_moves(e, i->block, b->succs[0]);
        jump_to(e, b->succs[0]);
        break;
    case IR_BRANCH:
        emit_branch_on(e, i->a, i->reg_a, target_of(e, b->succs[0]), target_of(e, b->succs[1]),
                       e->next_block);
        break;
    case IR_SWITCH: emit_switch(e, i, b); break;
    case IR_RETURN: emit_return(e, i); break;
    case IR_TRAP: {
        struct stub *s = emit_stub(e, STUB_TRAP, i->where);
        s->trap = (uint8_t)i->imm;
        x86_jump(&e->a, s->label);
        break;
    }
    default:
        if (!emit_int(e, i) && !emit_float(e, i) && !emit_memory(e, i) && !emit_call(e, i) &&
            !emit_simd(e, i))
            e->f->declined = i->op < BC_OP_COUNT ? bc_op_infos[i->op].text : "an operation without code";
    }
}

/* Whether the way from one block to the next moves nothing. */
static bool edge_is_free(struct emit *e, uint32_t from, uint32_t to) {
    struct ir_func *f = e->f;
    const struct ir_block *succ = f->blocks + to;
    uint32_t end = f->blocks[from].to - 1, number = 0;
    const uint64_t *live = e->al->live_in + (size_t)to * e->al->live_words;
    for (uint32_t w = 0; w < e->al->live_words; w++)
        for (uint64_t bits = live[w]; bits; bits &= bits - 1) {
            uint32_t v = e->al->global_values[w * 64 + (uint32_t)__builtin_ctzll(bits)];
            uint8_t a = alloc_at(e->al, v, end), b = alloc_at(e->al, v, succ->from);
            if (changes(e, v, a, b)) return false;
        }
    while (succ->preds[number] != from) number++;
    for (uint32_t v = succ->first; v != IR_NONE && f->ins[v].op == IR_PHI; v = f->ins[v].next) {
        uint32_t operand = f->items[f->ins[v].a + number];
        uint8_t a = alloc_at(e->al, operand, end);
        if (a != f->ins[v].reg || a >= 32) return false;
    }
    return true;
}

/* An edge's block without moves is no code: jumps to it go on to where it leads. */
static void find_aliases(struct emit *e) {
    struct ir_func *f = e->f;
    size_t move = 0;
    for (uint32_t b = 0; b < f->n_blocks; b++) e->alias[b] = b;
    for (uint32_t k = 1; k < f->n_order && e->al->work <= ALLOC_MAX_WORK; k++) {
        uint32_t block = f->order[k];
        const struct ir_block *b = f->blocks + block;
        while (move < e->al->n_moves && e->al->moves[move].pos < b->from) move++;
        bool moves = move < e->al->n_moves && e->al->moves[move].pos < b->to;
        if (f->ins[b->first].op != IR_JUMP || b->n_preds != 1 || moves || b->succs[0] == block) continue;
        if (!ir_forks(f->blocks + b->preds[0]) || k == f->frame_place) continue;
        if (edge_is_free(e, b->preds[0], block) && edge_is_free(e, block, b->succs[0]))
            e->alias[block] = b->succs[0];
    }
}

/* The first of the allocator's moves in the block. */
static size_t first_move(const struct alloc *al, const struct ir_block *b) {
    size_t low = 0, high = al->n_moves;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (al->moves[middle].pos < b->from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void emit_block(struct emit *e, uint32_t place) {
    struct ir_func *f = e->f;
    uint32_t block = e->code[place];
    const struct ir_block *b = f->blocks + block;
    e->in_loop = b->loop_depth > 0;
    e->next_move = first_move(e->al, b);
    emit_note(e, NOTE_BLOCK, block);
    if (e->alignment[block]) x86_nops(&e->a, -(unsigned)e->a.size % e->alignment[block]);
    emit_bind(e, block);
    e->framed = !f->frame_place || b->order > f->frame_place;
    if (!e->framed && b->order == f->frame_place) prologue(e);
    if (place == 0) {
        take_params(e);
    } else if (b->n_preds == 1 && ir_forks(f->blocks + b->preds[0])) {
        edge_moves(e, b->preds[0], block); /* a fork's moves stand in its arms */
    }
    for (uint32_t v = b->first; v != IR_NONE && (f->ins[v].op == IR_PHI || f->ins[v].op == IR_PARAM);
         v = f->ins[v].next)
        store_if_spilled(e, v);
    e->next_block = place + 1 < e->n_code ? e->code[place + 1] : IR_NONE;
    for (uint32_t v = b->first; v != IR_NONE && !e->a.failed && !f->declined; v = f->ins[v].next) {
        struct ir_ins *i = f->ins + v;
        if (i->folded) continue;
        emit_note(e, NOTE_INS, v);
        moves_before(e, i->pos);
        e->ins_start = e->a.size;
        emit_boundary(e, i);
        emit_ins(e, i, b);
        if (i->type != IR_VOID && i->op != IR_PHI && i->op != IR_PARAM) store_if_spilled(e, v);
    }
    if (b->throws && ir_first_landing(f, b)) jump_to(e, b->succs[0]);
}

/* ---- stubs ---- */

static void call_trap(struct emit *e, const struct stub *s) {
    x86_bytes(&e->a, 0xE8, 1);
    emit_reloc(e, JIT_RELOC_TRAP, s->trap);
    emit_return_pc(e, s->where);
}

static void emit_stubs(struct emit *e) {
    for (size_t k = 0; k < e->n_stubs && !e->a.failed; k++) {
        struct stub s = e->stubs[k];
        emit_bind(e, s.label);
        emit_note(e, NOTE_STUBS, s.where);
        if (s.kind == STUB_TRAP) {
            call_trap(e, &s);
        } else if (s.kind == STUB_FUEL) {
            fuel_stub(e, &s);
        } else {
            emit_other_stub(e, &s);
        }
    }
}

void emit_function(struct emit *e) {
    struct ir_func *f = e->f;
    lay_out_frame(e);
    for (size_t i = 0; i < f->n_blocks; i++) emit_label(e);
    e->alias = bc_arena_new(&f->arena, f->n_blocks, sizeof *e->alias);
    e->inlined = bc_arena_new(&f->arena, f->n_places + 1, sizeof *e->inlined);
    e->call = IR_NONE;
    if (!e->alias || !e->inlined) e->a.failed = true;
    if (e->a.failed) return;
    find_aliases(e);
    emit_lay_out(e);
    if (e->a.failed) return;
    emit_note(e, NOTE_ENTRY, 0);
    if (!f->frame_place) prologue(e);
    for (uint32_t k = 0; k < e->n_code && !e->a.failed && !f->declined; k++) {
        emit_block(e, k);
        if (e->al->work > ALLOC_MAX_WORK || ir_stopped(f)) f->declined = "too many moves between blocks";
    }
    e->in_loop = false;
    e->framed = true;
    emit_stubs(e);
    emit_note(e, NOTE_LITERALS, 0);
    e->out->size = (uint32_t)e->a.size;
    e->out->frame_bytes = e->frame_bytes + 8 * e->n_saved;
    e->out->self_at = e->self_at;
    e->out->used_saved = e->al->used_saved;
    if (!e->a.failed && !x86_finish(&e->a, e->labels)) e->a.failed = true;
    for (uint32_t k = 0; k < e->out->n_landings; k++)
        e->out->landings[k].target = e->labels[target_of(e, e->out->landings[k].target)];
}
