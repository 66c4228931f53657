/* interp/lower_stack.c: emitting instructions, and where each operand is (lower.h). */
#include "interp/lower.h"

#include <string.h>

/* ---- code ---- */

static bool room_for(struct lower *l, uint32_t n_words) {
    struct interp_code *code = l->code;
    void *p = code->words;
    size_t want = (size_t)code->n_words + n_words;
    if (want > INT32_MAX || atoll_grow(l->alloc, &p, &code->cap_words, want, sizeof *code->words)) {
        l->failed = true;
        return false;
    }
    code->words = p;
    return true;
}

#define SPARE_WORDS 8 /* behind the end: a handler may read one word too many */
uint32_t lower_emit(struct lower *l, enum interp_op op, uint32_t n_words) {
    if (!room_for(l, n_words + SPARE_WORDS)) {
        l->code->n_words = 0;
        return 0;
    }
    uint32_t at = l->code->n_words;
    l->code->words[at] = (uint64_t)(uintptr_t)interp_handlers[op];
    memset(l->code->words + at + 1, 0, (n_words - 1) * sizeof *l->code->words);
    l->code->n_words += n_words;
    l->before = l->accs[ACC_INT];
    l->last = at;
    l->last_op = (uint16_t)op;
    return at;
}

uint32_t lower_emit_trapping(struct lower *l, enum interp_op op, uint32_t n_words) {
    struct interp_code *code = l->code;
    uint32_t at = lower_emit(l, op, n_words);
    if (code->n_pcs && code->pcs[code->n_pcs - 1].offset == l->instr_offset) return at;
    void *p = code->pcs;
    if (atoll_grow(l->alloc, &p, &code->cap_pcs, (size_t)code->n_pcs + 1, sizeof *code->pcs)) {
        l->failed = true;
        return at;
    }
    code->pcs = p;
    code->pcs[code->n_pcs++] = (struct interp_pc){at, l->instr_offset};
    return at;
}

void lower_operand(struct lower *l, uint32_t at, uint32_t n, int32_t value) {
    if (!l->failed) ((int32_t *)(void *)(l->code->words + at))[2 + n] = value;
}

void lower_word(struct lower *l, uint32_t at, uint32_t n, uint64_t value) {
    if (!l->failed) l->code->words[at + n] = value;
}

void lower_set_op(struct lower *l, uint32_t at, enum interp_op op) {
    lower_word(l, at, 0, (uint64_t)(uintptr_t)interp_handlers[op]);
}

void lower_unemit(struct lower *l) {
    struct interp_code *code = l->code;
    if (l->failed) return;
    code->n_words = l->last;
    while (code->n_pcs && code->pcs[code->n_pcs - 1].at >= l->last) code->n_pcs--;
    l->accs[ACC_INT] = l->before;
    l->last = NOTHING;
}

void lower_forget(struct lower *l) {
    for (int i = 0; i < N_ACCS; i++) l->accs[i] = (struct acc_state){.value = NOTHING, .slot = NO_SLOT};
    l->last = NOTHING;
}

/* ---- the stack ---- */

void lower_push(struct lower *l, enum where where, uint8_t kind, uint64_t bits) {
    void *p = l->stack;
    if (atoll_grow(l->alloc, &p, &l->cap_stack, l->n_stack + 1, sizeof *l->stack)) {
        l->failed = true;
        return;
    }
    l->stack = p;
    struct value *v = &l->stack[l->n_stack];
    *v = (struct value){.where = (uint8_t)where, .kind = kind, .slot = l->next_slot, .bits = bits};
    if (where == IN_LOCAL) {
        v->lower_lazy = l->locals[bits].lazy;
        l->locals[bits].lazy = (uint32_t)l->n_stack;
    }
    l->n_stack++;
    l->next_slot += kind == BC_KIND_V128 ? 2 : 1;
    if (l->next_slot > l->max_slot) l->max_slot = l->next_slot;
}

struct value lower_pop(struct lower *l) {
    if (!l->n_stack) return (struct value){.where = IN_CONST, .kind = BC_KIND_I32}; /* after a failure only */
    struct value v = l->stack[--l->n_stack];
    if (v.where == IN_LOCAL) l->locals[v.bits].lazy = v.lower_lazy;
    if (v.where == IN_ACC) l->accs[acc_of(v.kind)].value = NOTHING;
    l->next_slot = v.slot;
    if (l->n_flushed > l->n_stack) l->n_flushed = l->n_stack;
    return v;
}

void lower_drop(struct lower *l, size_t n) {
    while (n--) lower_pop(l);
}

void lower_wrote(struct lower *l, int32_t slot) {
    for (int i = 0; i < N_ACCS; i++)
        if (l->accs[i].slot == slot) l->accs[i].slot = NO_SLOT;
}

/* Gives the producer of the accumulator's value a destination. */
static void keep_in(struct lower *l, enum acc acc, int32_t slot) {
    struct acc_state *a = &l->accs[acc];
    lower_set_op(l, a->producer, a->op + 1u);
    lower_operand(l, a->producer, 0, slot);
    lower_wrote(l, slot);
    if (l->last == a->producer) l->last_op = (uint16_t)(a->op + 1u);
    a->slot = slot;
    a->value = NOTHING;
}

char lower_place(const struct lower *l, const struct value *v, int32_t *slot) {
    if (v->where == IN_CONST) return 'I';
    if (v->where == IN_ACC) return 'A';
    *slot = v->where == IN_LOCAL ? l->locals[v->bits].slot : v->slot;
    enum acc acc = acc_of(v->kind);
    return acc != ACC_NO && l->accs[acc].slot == *slot ? 'A' : 'S';
}

/* Moves come in rows: the move just emitted makes a second one, too. */
static void second_move(struct lower *l, int32_t dst, int32_t src) {
    uint32_t first = l->last;
    lower_emit(l, H_MOV2, 1);
    if (l->failed) return;
    l->last = first;
    lower_set_op(l, first, H_MOV2);
    lower_operand(l, first, 2, dst);
    lower_operand(l, first, 3, src);
}

void lower_move(struct lower *l, int32_t dst, const struct value *v) {
    static const uint16_t stores[N_ACCS] = {H_ST_r0, H_ST_d0, H_ST_s0};
    enum acc acc = acc_of(v->kind);
    int32_t src = 0;
    char place = lower_place(l, v, &src);
    if (place != 'I' && v->where != IN_ACC && src == dst) return;
    if (place == 'I') {
        uint32_t at = lower_emit(l, H_SLOT_CONST, 3);
        lower_operand(l, at, 0, dst);
        lower_word(l, at, 2, v->bits);
    } else if (place == 'A') {
        uint32_t at = lower_emit(l, stores[acc], 2);
        lower_operand(l, at, 0, dst);
    } else if (l->last != NOTHING && l->last_op == H_MOV && v->kind != BC_KIND_F32 &&
               v->kind != BC_KIND_V128) {
        second_move(l, dst, src);
    } else {
        enum interp_op op = v->kind == BC_KIND_F32 ? H_MOV32 : v->kind == BC_KIND_V128 ? H_MOV128 : H_MOV;
        uint32_t at = lower_emit(l, op, 2);
        lower_operand(l, at, 0, dst);
        lower_operand(l, at, 1, src);
    }
    lower_wrote(l, dst);
}

void lower_to_slot(struct lower *l, size_t index) {
    struct value *v = &l->stack[index];
    if (v->where == IN_SLOT) return;
    if (v->where == IN_ACC) {
        keep_in(l, acc_of(v->kind), v->slot);
    } else {
        if (v->where == IN_LOCAL) {
            /* the list is in stack order: unlink, mostly at its head */
            uint32_t *link = &l->locals[v->bits].lazy;
            while (*link != index) link = &l->stack[*link].lower_lazy;
            *link = v->lower_lazy;
        }
        lower_move(l, v->slot, v);
    }
    v->where = IN_SLOT;
}

void lower_clobber(struct lower *l, enum acc acc) {
    if (acc == ACC_NO) return;
    if (l->accs[acc].value != NOTHING) lower_to_slot(l, l->accs[acc].value);
}

void lower_clobber_all(struct lower *l) {
    for (int i = 0; i < N_ACCS; i++) {
        lower_clobber(l, (enum acc)i);
        l->accs[i].slot = NO_SLOT;
    }
}

void lower_flush(struct lower *l, size_t n_topmost) {
    size_t top = l->n_stack - n_topmost;
    for (size_t i = l->n_stack; i-- > l->n_flushed;) {
        /* from the top, since that is where lists of lazy values begin */
        if (i >= top || l->stack[i].where != IN_CONST) lower_to_slot(l, i);
    }
    for (size_t i = top; i < l->n_flushed; i++) lower_to_slot(l, i);
    l->n_flushed = l->n_stack;
}

/* Called before every instruction or never, so that below n_flushed there is nothing to do, not even a
 * constant. */
void lower_settle(struct lower *l) {
    for (size_t i = l->n_stack; i-- > l->n_flushed;) lower_to_slot(l, i);
    l->n_flushed = l->n_stack;
    lower_forget(l);
}

int32_t lower_args(struct lower *l, size_t n) {
    for (size_t i = 0; i < n; i++) lower_to_slot(l, l->n_stack - 1 - i);
    return n ? l->stack[l->n_stack - n].slot : l->next_slot;
}

void lower_push_acc(struct lower *l, uint8_t kind, uint32_t at, enum interp_op op) {
    lower_push(l, IN_ACC, kind, 0);
    l->accs[acc_of(kind)] = (struct acc_state){
        .value = (uint32_t)l->n_stack - 1, .slot = NO_SLOT, .producer = at, .op = (uint16_t)op};
}

void lower_want_slot(struct lower *l, size_t down) {
    struct value *v = lower_top(l, down);
    if (v->where == IN_ACC || v->where == IN_CONST) lower_to_slot(l, l->n_stack - 1 - down);
}

int32_t lower_slot_of(struct lower *l, struct value *v) {
    int32_t slot = v->slot;
    if (v->where == IN_LOCAL) return l->locals[v->bits].slot;
    if (v->where != IN_SLOT) lower_move(l, slot, v);
    v->where = IN_SLOT;
    return slot;
}

/* ---- locals ---- */

static void settle_lazy(struct lower *l, uint32_t local) {
    while (l->locals[local].lazy != NOTHING) lower_to_slot(l, l->locals[local].lazy);
}

/* The newest instruction's destination can still be chosen, and it made v in its slot. */
static bool last_made(const struct lower *l, const struct value *v) {
    if (l->last == NOTHING || v->where != IN_SLOT || l->failed) return false;
    const struct interp_op_info *info = &interp_op_infos[l->last_op];
    return info->vector && ((const int32_t *)(const void *)(l->code->words + l->last))[2] == v->slot;
}

void lower_local_set(struct lower *l, uint32_t local, bool tee) {
    struct value v = lower_pop(l);
    int32_t slot = l->locals[local].slot;
    enum acc acc = acc_of(v.kind);
    if (!(v.where == IN_LOCAL && v.bits == local)) {
        settle_lazy(l, local);
        struct acc_state *a = acc == ACC_NO ? NULL : &l->accs[acc];
        int32_t src = 0;
        bool in_acc = v.where != IN_CONST && lower_place(l, &v, &src) == 'A';
        if (v.where == IN_ACC && l->last == a->producer) {
            keep_in(l, acc, slot);
        } else if (last_made(l, &v)) {
            lower_operand(l, l->last, 0, slot);
            lower_wrote(l, slot);
        } else {
            lower_move(l, slot, &v);
        }
        if (in_acc) a->slot = slot;
    }
    if (tee) lower_push(l, IN_LOCAL, v.kind, local);
}
