/* jit/emit_moves.c: several values change places at once. A move is done when nobody still has to read its
 * target; what is left then are cycles, which a scratch register opens. */
#include "jit/emit.h"

struct move {
    uint32_t value;              /* of a constant */
    uint8_t from, to, type;      /* registers, LOC_SPILL = at slot, LOC_NONE = constant */
    uint32_t from_slot, to_slot; /* byte offsets from rsp */
    bool done;
};
struct moves {
    struct move *list;
    size_t n, cap;
};

struct moves *emit_moves_new(const struct atoll_alloc *alloc) {
    return atoll_new(alloc, 1, sizeof(struct moves));
}

void emit_moves_free(const struct atoll_alloc *alloc, struct moves *moves) {
    if (!moves) return;
    atoll_free(alloc, moves->list, moves->cap * sizeof *moves->list);
    atoll_free(alloc, moves, sizeof *moves);
}

void moves_add(struct emit *e, uint32_t v, uint8_t from, uint32_t from_slot, uint8_t to, uint32_t to_slot,
               unsigned type) {
    if (from == to && (from != LOC_SPILL || from_slot == to_slot)) return;
    struct moves *m = e->moves;
    if (m->n == m->cap && atoll_grow(e->f->alloc, (void **)&m->list, &m->cap, m->n + 1, sizeof *m->list)) {
        e->a.failed = true;
        return;
    }
    m->list[m->n++] = (struct move){v, from, to, (uint8_t)type, from_slot, to_slot, false};
}

static bool same_place(uint8_t reg, uint32_t slot, uint8_t other, uint32_t other_slot) {
    return reg == other && (reg != LOC_SPILL || slot == other_slot);
}

static bool still_read(const struct moves *m, const struct move *target) {
    for (size_t i = 0; i < m->n; i++)
        if (!m->list[i].done && m->list + i != target &&
            same_place(m->list[i].from, m->list[i].from_slot, target->to, target->to_slot))
            return true;
    return false;
}

static void constant_to_memory(struct emit *e, const struct move *m) {
    const struct ir_ins *c = e->f->ins + m->value;
    struct x86_rm to = x86_mem(RSP, (int32_t)m->to_slot);
    if (c->type == IR_V128) {
        x86_op(&e->a, X86_MOVUPS_LOAD, SCRATCH_X, x86_literal(&e->a, e->f->pool[c->imm], 16));
        x86_op(&e->a, X86_MOVUPS_STORE, SCRATCH_X, to);
    } else if ((int64_t)c->imm == (int32_t)c->imm) {
        x86_op_imm(&e->a, X86_CODE(0, 0, 0xC7) | X86_W, 0, to, (int32_t)c->imm, 4);
    } else {
        x86_const(&e->a, SCRATCH, c->imm);
        x86_op(&e->a, X86_MOV_STORE | X86_W, SCRATCH, to);
    }
}

static void do_move(struct emit *e, const struct move *m) {
    struct x86_rm from = x86_mem(RSP, (int32_t)m->from_slot), to = x86_mem(RSP, (int32_t)m->to_slot);
    if (m->from == LOC_NONE) {
        if (m->to == LOC_SPILL)
            constant_to_memory(e, m);
        else
            emit_load_value(e, m->to, m->value, LOC_NONE);
    } else if (m->to == LOC_SPILL && m->from == LOC_SPILL) {
        if (m->type == IR_V128) {
            x86_op(&e->a, X86_MOVUPS_LOAD, SCRATCH_X, from);
            x86_op(&e->a, X86_MOVUPS_STORE, SCRATCH_X, to);
        } else {
            x86_op(&e->a, m->type == IR_F32 ? X86_MOV_LOAD : X86_MOV_LOAD | X86_W, SCRATCH, from);
            x86_op(&e->a, X86_MOV_STORE | X86_W, SCRATCH, to);
        }
    } else if (m->to == LOC_SPILL) {
        x86_op(&e->a, emit_store_op(m->type), m->from, to);
    } else if (m->from == LOC_SPILL) {
        x86_op(&e->a, emit_load_op(m->type), m->to, from);
    } else {
        emit_move(e, m->type, m->to, m->from);
    }
}

static void redirect(struct moves *m, const struct move *opened, uint8_t to, uint32_t to_slot) {
    uint8_t from = opened->from;
    uint32_t slot = opened->from_slot;
    for (size_t i = 0; i < m->n; i++)
        if (!m->list[i].done && same_place(m->list[i].from, m->list[i].from_slot, from, slot)) {
            m->list[i].from = to;
            m->list[i].from_slot = to_slot;
        }
}

/* Whether a move that is still to be done goes through the scratch registers. */
static bool scratch_wanted(const struct moves *m) {
    for (size_t i = 0; i < m->n; i++)
        if (!m->list[i].done && m->list[i].to == LOC_SPILL &&
            (m->list[i].from == LOC_SPILL || m->list[i].from == LOC_NONE))
            return true;
    return false;
}

/* One value of a cycle goes to scratch, for moves between registers cost next to nothing; else registers swap, and a
 * cycle through memory (spilled phis) goes by the red zone below rsp. */
static void open_cycle(struct emit *e, struct moves *m, struct move *first) {
    bool free = !scratch_wanted(m);
    if (first->from < 32 && free) {
        int scratch = first->from < 16 ? SCRATCH : SCRATCH_X;
        emit_move(e, first->from < 16 ? IR_I64 : IR_V128, scratch, first->from);
        redirect(m, first, (uint8_t)scratch, 0);
        return;
    }
    if (first->from < 16 && first->to < 16) {
        x86_op(&e->a, X86_XCHG | X86_W, first->from, x86_reg(first->to));
        first->done = true;
        uint8_t x = first->from, y = first->to;
        for (size_t i = 0; i < m->n; i++) {
            struct move *other = m->list + i;
            if (other->done) continue;
            other->from = other->from == x ? y : other->from == y ? x : other->from;
            if (other->from == other->to && other->from < 16) other->done = true;
        }
        return;
    }
    struct move save = *first;
    save.to = LOC_SPILL;
    save.to_slot = (uint32_t)-32;
    do_move(e, &save);
    redirect(m, first, LOC_SPILL, (uint32_t)-32);
}

void moves_flush(struct emit *e) {
    struct moves *m = e->moves;
    size_t left = m->n;
    while (left && !e->a.failed) {
        bool progress = false;
        left = 0;
        for (size_t i = 0; i < m->n; i++) {
            struct move *move = m->list + i;
            if (move->done) continue;
            if (still_read(m, move)) {
                left++;
                continue;
            }
            do_move(e, move);
            move->done = progress = true;
        }
        if (left && !progress) {
            size_t i = 0;
            while (m->list[i].done) i++;
            open_cycle(e, m, m->list + i);
        }
    }
    m->n = 0;
}
