/* bytecode/text/asm_type.c: value types, defined types, type uses. Source: core spec, "Text Format / Types"
 * and "Modules / Type Uses". */
#include "bytecode/text/asm.h"

uint32_t asm_heaptype(struct assembler *a) {
    for (uint32_t k = 0; k < BC_N_HEAPS; k++)
        if (asm_accept(a, bc_heap_infos[k].heap)) return BC_HEAP_ABSTRACT + k;
    if (!asm_at_index(a)) {
        asm_unexpected(a);
        return 0;
    }
    const struct text_token *t = asm_peek(a);
    uint32_t type = asm_index(a, SPACE_TYPE, 0);
    if (type < BC_HEAP_ABSTRACT) return type;
    asm_fail(a, t, "unknown type %u", type); /* a packed value type has no room for it */
    return 0;
}

static int short_reftype(const struct text_token *t) {
    for (int k = 0; t->kind == TEXT_KEYWORD && k < (int)BC_N_HEAPS; k++)
        if (asm_is(t, bc_heap_infos[k].nullable)) return k;
    return -1;
}

bool asm_at_reftype(const struct assembler *a) {
    return short_reftype(asm_peek(a)) >= 0 || asm_at_open(a, "ref");
}

bc_valtype asm_reftype(struct assembler *a) {
    int k = short_reftype(asm_peek(a));
    if (k >= 0) {
        a->i++;
        return bc_ref_abstract(true, (enum bc_heap_kind)k);
    }
    if (!asm_open(a, "ref")) {
        asm_unexpected(a);
        return BC_FUNCREF;
    }
    bool nullable = asm_accept(a, "null");
    uint32_t heap = asm_heaptype(a);
    asm_expect_close(a);
    return bc_ref(nullable, heap);
}

bc_valtype asm_valtype(struct assembler *a) {
    static const char *const words[] = {"i32", "i64", "f32", "f64", "v128"};
    for (unsigned i = 0; i < 5; i++)
        if (asm_accept(a, words[i])) return BC_KIND_I32 + i;
    return asm_reftype(a);
}

/* ---- type uses ---- */

static void sig_push(struct assembler *a, struct asm_sig *sig, bc_valtype t) {
    void *p = sig->types;
    if (atoll_grow(a->alloc, &p, &sig->capacity, (size_t)sig->n_params + sig->n_results + 1, sizeof t)) {
        asm_nomem(a);
        return;
    }
    sig->types = p;
    sig->types[sig->n_params + sig->n_results] = t;
}

static void read_params(struct assembler *a, struct asm_sig *sig, bool bind, bool ids) {
    struct asm_id id;
    const struct text_token *t = asm_peek(a);
    if (t->kind == TEXT_ID && !ids) {
        asm_unexpected(a);
    } else if (asm_take_id(a, &id)) {
        if (bind) asm_define(a, SPACE_LOCAL, a->func, id, sig->n_params);
        sig_push(a, sig, asm_valtype(a));
        sig->n_params++;
    } else {
        while (!asm_failed(a) && asm_peek(a)->kind != TEXT_RPAREN) {
            sig_push(a, sig, asm_valtype(a));
            sig->n_params++;
        }
    }
    asm_expect_close(a);
}

void asm_sig_read(struct assembler *a, struct asm_sig *sig, bool bind, bool ids) {
    *sig = (struct asm_sig){.type = BC_NONE};
    if (asm_open(a, "type")) {
        sig->type = asm_index(a, SPACE_TYPE, 0);
        if (sig->type == BC_NONE) sig->type--; /* as unknown as the number itself */
        asm_expect_close(a);
    }
    while (!asm_failed(a) && asm_open(a, "param")) read_params(a, sig, bind, ids);
    while (!asm_failed(a) && asm_open(a, "result")) {
        while (!asm_failed(a) && asm_peek(a)->kind != TEXT_RPAREN) {
            sig_push(a, sig, asm_valtype(a));
            sig->n_results++;
        }
        asm_expect_close(a);
    }
    if (asm_at_open(a, "param") || asm_at_open(a, "type")) asm_unexpected(a);
}

static bool same_sig(const struct asm_type *t, const bc_valtype *types, uint32_t n_params,
                     uint32_t n_results) {
    return t->form == BC_TYPE_FUNC && t->n_params == n_params && t->n_results == n_results &&
           (!n_params || !memcmp(t->params, types, n_params * sizeof *types)) &&
           (!n_results || !memcmp(t->results, types + n_params, n_results * sizeof *types));
}

static struct asm_type *push_type(struct assembler *a) {
    void *p = a->types;
    if (atoll_grow(a->alloc, &p, &a->types_capacity, a->n_types + 1, sizeof *a->types)) {
        asm_nomem(a);
        return NULL;
    }
    a->types = p;
    a->types[a->n_types] = (struct asm_type){.super = BC_NONE, .final = true};
    return &a->types[a->n_types++];
}

static uint64_t hash_sig(const struct assembler *a, const bc_valtype *types, uint32_t n_params,
                         uint32_t n_results) {
    uint64_t h = bc_hash_step(bc_hash_seed(a), (uint64_t)n_params << 32 | n_results);
    return bc_hash_bytes(h, types, (n_params + n_results) * sizeof *types);
}

/* Slot of the function type in the table of those a type use may take: final, without a supertype, alone in
 * its group. */
static uint32_t *implicit_slot(struct assembler *a, const bc_valtype *types, uint32_t n_params,
                               uint32_t n_results) {
    for (uint64_t h = hash_sig(a, types, n_params, n_results);; h++) {
        uint32_t *slot = &a->implicit_slots[h & (a->n_implicit_slots - 1)];
        if (!*slot || same_sig(&a->types[*slot - 1], types, n_params, n_results)) return slot;
    }
}

static bool implicit_room(struct assembler *a) {
    if (a->n_implicit_slots && 2 * (a->n_implicit + 1) <= a->n_implicit_slots) return true;
    uint32_t *old = a->implicit_slots, n_old = a->n_implicit_slots;
    a->n_implicit_slots = n_old ? 2 * n_old : 64;
    a->implicit_slots = asm_new(a, a->n_implicit_slots, sizeof *a->implicit_slots);
    if (!a->implicit_slots) return false;
    for (uint32_t i = 0; i < n_old; i++) {
        if (!old[i]) continue;
        uint64_t h = 0;
        const struct asm_type *t = &a->types[old[i] - 1];
        h = hash_sig(a, t->params, t->n_params, t->n_results);
        while (a->implicit_slots[h & (a->n_implicit_slots - 1)]) h++;
        a->implicit_slots[h & (a->n_implicit_slots - 1)] = old[i];
    }
    return true;
}

/* The types of a signature as one arena array: parameters, results behind them. */
static void set_sig(struct assembler *a, struct asm_type *t, const struct asm_sig *sig) {
    uint32_t n = sig->n_params + sig->n_results;
    t->form = BC_TYPE_FUNC;
    t->params = asm_new(a, n, sizeof *t->params);
    if (!t->params) return;
    if (n) memcpy(t->params, sig->types, n * sizeof *t->params);
    t->results = t->params + sig->n_params;
    t->n_params = sig->n_params;
    t->n_results = sig->n_results;
}

uint32_t asm_sig_type(struct assembler *a, struct asm_sig *sig, const struct text_token *at) {
    uint32_t index = sig->type;
    if (asm_failed(a)) {
        index = 0;
    } else if (index != BC_NONE) {
        bool given = sig->n_params || sig->n_results;
        if (given &&
            (index >= a->n_types || !same_sig(&a->types[index], sig->types, sig->n_params, sig->n_results)))
            asm_fail(a, at, index < a->n_types ? "inline function type" : "unknown type");
    } else if (implicit_room(a)) {
        uint32_t *slot = implicit_slot(a, sig->types, sig->n_params, sig->n_results);
        if (!*slot) {
            struct asm_type *t = push_type(a);
            if (t) {
                set_sig(a, t, sig);
                t->alone = true;
                *slot = (uint32_t)a->n_types;
                a->n_implicit++;
            }
        }
        index = *slot - 1;
    }
    atoll_free(a->alloc, sig->types, sig->capacity * sizeof *sig->types);
    sig->types = NULL;
    return index;
}

/* ---- defined types ---- */

static bc_valtype storage_type(struct assembler *a) {
    return asm_accept(a, "i8") ? BC_I8 : asm_accept(a, "i16") ? BC_I16 : asm_valtype(a);
}

static struct bc_field field_type(struct assembler *a) {
    struct bc_field f = {.mutable = asm_open(a, "mut")};
    f.type = storage_type(a);
    if (f.mutable) asm_expect_close(a);
    return f;
}

static void read_struct(struct assembler *a, struct asm_type *t, uint32_t index) {
    size_t capacity = 0;
    struct bc_field *fields = NULL;
    struct asm_id id;
    t->form = BC_TYPE_STRUCT;
    while (!asm_failed(a) && asm_open(a, "field")) {
        bool named = asm_take_id(a, &id);
        for (bool first = true; !asm_failed(a) && (named ? first : asm_peek(a)->kind != TEXT_RPAREN);
             first = false) {
            void *p = fields;
            if (atoll_grow(a->alloc, &p, &capacity, t->n_fields + 1, sizeof *fields)) {
                asm_nomem(a);
                break;
            }
            fields = p;
            if (named) asm_define(a, SPACE_FIELD, index, id, t->n_fields);
            fields[t->n_fields++] = field_type(a);
        }
        asm_expect_close(a);
    }
    t->fields = asm_new(a, t->n_fields, sizeof *fields);
    if (t->fields && t->n_fields) memcpy(t->fields, fields, t->n_fields * sizeof *fields);
    atoll_free(a->alloc, fields, capacity * sizeof *fields);
}

static void read_composite(struct assembler *a, struct asm_type *t, uint32_t index) {
    if (asm_open(a, "func")) {
        struct asm_sig sig;
        asm_sig_read(a, &sig, false, true);
        if (sig.type != BC_NONE) asm_unexpected(a);
        if (!asm_failed(a)) set_sig(a, t, &sig);
        atoll_free(a->alloc, sig.types, sig.capacity * sizeof *sig.types);
    } else if (asm_open(a, "struct")) {
        read_struct(a, t, index);
    } else if (asm_open(a, "array")) {
        t->form = BC_TYPE_ARRAY;
        t->fields = asm_new(a, 1, sizeof *t->fields);
        t->n_fields = 1;
        struct bc_field f = field_type(a);
        if (t->fields) t->fields[0] = f;
    } else {
        asm_unexpected(a);
    }
    asm_expect_close(a);
}

/* (type $id? (sub final? x? composite) | composite) behind "(type". */
static void read_type(struct assembler *a, uint32_t index) {
    struct asm_id id;
    struct asm_type t = {.super = BC_NONE, .final = true, .token = a->i - 1};
    asm_take_id(a, &id); /* defined in pass 1 */
    if (asm_open(a, "sub")) {
        t.explicit_sub = true;
        t.final = asm_accept(a, "final");
        if (asm_at_index(a)) t.super = asm_index(a, SPACE_TYPE, 0);
        read_composite(a, &t, index);
        asm_expect_close(a);
    } else {
        read_composite(a, &t, index);
    }
    asm_expect_close(a);
    struct asm_type *place = push_type(a);
    if (place) *place = t;
}

static void put_type(struct bc_buf *out, const struct asm_type *t) {
    struct bc_type type = {.form = t->form,
                           .final = t->final,
                           .super = t->super,
                           .n_params = t->n_params,
                           .n_results = t->n_results,
                           .params = t->params,
                           .results = t->results,
                           .n_fields = t->n_fields,
                           .fields = t->fields};
    bc_put_type(out, &type);
}

/* A type alone in its group that a type use may take; the first of equal ones counts. */
static void offer_implicit(struct assembler *a, uint32_t index) {
    struct asm_type *t = &a->types[index];
    t->alone = true;
    if (t->form != BC_TYPE_FUNC || !t->final || t->super != BC_NONE || !implicit_room(a)) return;
    uint32_t *slot = implicit_slot(a, t->params, t->n_params, t->n_results);
    if (*slot) return;
    *slot = index + 1;
    a->n_implicit++;
}

void asm_types(struct assembler *a) {
    uint32_t end = a->limit;
    while (a->i < end && !text_lexer_stopped(&a->x)) {
        uint32_t close = a->close[a->i], first = (uint32_t)a->n_types;
        bool group = asm_open(a, "rec");
        if (group) {
            while (!asm_failed(a) && asm_open(a, "type")) read_type(a, (uint32_t)a->n_types);
            asm_expect_close(a);
            bc_buf_u8(&a->groups, 0x4E);
            bc_buf_u32(&a->groups, (uint32_t)a->n_types - first);
        } else if (asm_open(a, "type")) {
            read_type(a, first);
        } else {
            a->i = close + 1;
            continue;
        }
        if (asm_failed(a)) return;
        a->n_groups++;
        for (uint32_t i = first; i < a->n_types; i++) {
            asm_place(a, 1, a->groups.size, a->types[i].token);
            put_type(&a->groups, &a->types[i]);
        }
        if (a->n_types - first == 1) offer_implicit(a, first);
    }
}

size_t asm_put_types(struct assembler *a, struct bc_buf *out) {
    uint32_t n_explicit = a->counts[SPACE_TYPE], n_groups = a->n_groups + (uint32_t)a->n_types - n_explicit;
    if (!n_groups) return 0;
    bc_buf_u32(out, n_groups);
    size_t head = out->size;
    bc_buf_bytes(out, a->groups.data, a->groups.size);
    for (size_t i = n_explicit; i < a->n_types; i++) put_type(out, &a->types[i]);
    return head;
}
