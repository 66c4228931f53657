/* jit/emit_moves.c: several values change places at once. A move is done when nobody still has to read its
 * target; what is left then are cycles, which a scratch register opens. All of it takes time linear in the number of
 * moves: a loop may pass thousands of values on. */
#include "jit/emit.h"

struct move {
    uint32_t value;              /* of a constant */
    uint8_t from, to, type;      /* registers, LOC_SPILL = at slot, LOC_NONE = constant */
    uint32_t from_slot, to_slot; /* byte offsets from rsp */
    bool done;
    bool aside; /* its value was put aside: `from` is nobody's target */
};
struct place {
    uint32_t readers; /* moves from here that are to be done */
    uint32_t writer;  /* number of the move to here, counted from 1 */
};
struct moves {
    struct move *list;
    size_t n, cap;
    struct place *places; /* registers, then slots of 8 bytes; all zero between two flushes */
    size_t cap_places;
    uint32_t *ready; /* moves whose target nobody has to read any more */
    size_t n_ready, cap_ready;
};

struct moves *emit_moves_new(const struct atoll_alloc *alloc) {
    return atoll_new(alloc, 1, sizeof(struct moves));
}

void emit_moves_free(const struct atoll_alloc *alloc, struct moves *moves) {
    if (!moves) return;
    atoll_free(alloc, moves->list, moves->cap * sizeof *moves->list);
    atoll_free(alloc, moves->places, moves->cap_places * sizeof *moves->places);
    atoll_free(alloc, moves->ready, moves->cap_ready * sizeof *moves->ready);
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
    m->list[m->n++] = (struct move){v, from, to, (uint8_t)type, from_slot, to_slot, false, false};
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

static size_t place_at(uint8_t reg, uint32_t slot) { return reg < 32 ? reg : 32 + slot / 8; }
static struct place *target(const struct moves *m, const struct move *move) {
    return m->places + place_at(move->to, move->to_slot);
}
/* NULL: nowhere that a move goes to. */
static struct place *source(const struct moves *m, const struct move *move) {
    if (move->from == LOC_NONE || move->aside) return NULL;
    return m->places + place_at(move->from, move->from_slot);
}

static bool make_room(struct emit *e, struct moves *m) {
    size_t n_places = 0;
    for (size_t i = 0; i < m->n; i++) {
        size_t to = place_at(m->list[i].to, m->list[i].to_slot),
               from = m->list[i].from == LOC_NONE ? 0 : place_at(m->list[i].from, m->list[i].from_slot);
        if (to >= n_places) n_places = to + 1;
        if (from >= n_places) n_places = from + 1;
    }
    const struct atoll_alloc *alloc = e->f->alloc;
    bool failed = atoll_grow(alloc, (void **)&m->places, &m->cap_places, n_places, sizeof *m->places) ||
                  atoll_grow(alloc, (void **)&m->ready, &m->cap_ready, m->n, sizeof *m->ready);
    e->a.failed |= failed;
    return !failed;
}

static void look_at_places(struct moves *m) {
    for (size_t i = 0; i < m->n; i++) {
        struct place *from = source(m, m->list + i);
        if (from) from->readers++;
        target(m, m->list + i)->writer = (uint32_t)i + 1;
    }
    for (size_t i = m->n; i-- > 0;) /* the first of the list is done first */
        if (!target(m, m->list + i)->readers) m->ready[m->n_ready++] = (uint32_t)i;
}

static void forget_places(struct moves *m) {
    for (size_t i = 0; i < m->n; i++) {
        struct place *from = source(m, m->list + i);
        if (from) *from = (struct place){0, 0};
        *target(m, m->list + i) = (struct place){0, 0};
    }
}

/* One move less reads the place. */
static void was_read(struct moves *m, struct place *place) {
    if (place && !--place->readers && place->writer) m->ready[m->n_ready++] = place->writer - 1;
}

static void do_ready(struct emit *e, struct moves *m) {
    while (m->n_ready) {
        struct move *move = m->list + m->ready[--m->n_ready];
        do_move(e, move);
        move->done = true;
        was_read(m, source(m, move));
    }
}

/* Nothing is ready: all that is left stands in cycles, where each place is read once. One value of this one's goes to a
 * scratch register; where the others need that, below rsp, into the red zone. */
static void open_cycle(struct emit *e, struct moves *m, struct move *cycle) {
    struct move *first = cycle, *move = cycle;
    bool through_scratch = false;
    do {
        if (move->from < 32) first = move;
        through_scratch |= move->from == LOC_SPILL && move->to == LOC_SPILL;
        move = m->list + source(m, move)->writer - 1;
    } while (move != cycle);
    struct place *from = source(m, first);
    if (!through_scratch) {
        int scratch = first->from < 16 ? SCRATCH : SCRATCH_X;
        emit_move(e, first->from < 16 ? IR_I64 : IR_V128, scratch, first->from);
        first->from = (uint8_t)scratch;
    } else {
        struct move save = *first;
        save.to = LOC_SPILL;
        save.to_slot = (uint32_t)-32;
        do_move(e, &save);
        first->from = LOC_SPILL;
        first->from_slot = (uint32_t)-32;
    }
    first->aside = true;
    was_read(m, from);
}

void moves_flush(struct emit *e) {
    struct moves *m = e->moves;
    if (m->n && !e->a.failed && make_room(e, m)) {
        look_at_places(m);
        do_ready(e, m);
        for (size_t i = 0; i < m->n && !e->a.failed; i++) {
            if (m->list[i].done) continue;
            open_cycle(e, m, m->list + i);
            do_ready(e, m);
        }
        forget_places(m);
    }
    m->n = 0;
}
