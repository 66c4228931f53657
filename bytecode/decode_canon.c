/* bytecode/decode_canon.c: which types are equal, and whether declared supertypes are supertypes.
 *
 * Two recursion groups are equal when their members are, with references inside the group taken relative to
 * its start and references outside by canonical index. Groups are visited in order, so the canonical indices
 * outside are known: a hash of that normal form finds the candidate, one comparison confirms it. Linear time.
 * Source: core spec, "Validation / Types", "Defined Types" and "Matching / Composite Types". */
#include "bytecode/decode.h"

/* ---- normal form of a group ---- */

/* A type index, as seen from a type whose group starts at `first` and has `count` members. */
static uint64_t normal_index(const struct bc_module *m, uint32_t index, uint32_t first, uint32_t count) {
    if (index == BC_NONE) return index;
    if (index - first < count) return (index - first) | UINT64_C(1) << 32;
    return m->types[index].canonical;
}

static uint64_t normal_type(const struct bc_module *m, bc_valtype t, uint32_t first, uint32_t count) {
    uint32_t heap = bc_valtype_heap(t);
    if (!bc_valtype_is_ref(t) || heap >= BC_HEAP_ABSTRACT) return t;
    return normal_index(m, heap, first, count) << 4 | (t & 15) | UINT64_C(1) << 62;
}

static uint64_t hash_type(const struct bc_module *m, uint64_t hash, const struct bc_type *t) {
    uint32_t first = t->rec_first, count = t->rec_count;
    hash = bc_hash_step(hash, (uint64_t)t->form << 1 | t->final);
    hash = bc_hash_step(hash, normal_index(m, t->super, first, count));
    hash = bc_hash_step(hash, (uint64_t)t->n_params << 32 | t->n_results);
    hash = bc_hash_step(hash, t->n_fields);
    for (uint32_t i = 0; i < t->n_params; i++)
        hash = bc_hash_step(hash, normal_type(m, t->params[i], first, count));
    for (uint32_t i = 0; i < t->n_results; i++)
        hash = bc_hash_step(hash, normal_type(m, t->results[i], first, count));
    for (uint32_t i = 0; i < t->n_fields; i++)
        hash =
            bc_hash_step(hash, normal_type(m, t->fields[i].type, first, count) << 1 | t->fields[i].mutable);
    return hash;
}

static uint64_t hash_group(const struct bc_module *m, uint32_t first) {
    uint32_t count = m->types[first].rec_count;
    uint64_t hash = bc_hash_step(bc_hash_seed(m), count);
    for (uint32_t i = 0; i < count; i++) hash = hash_type(m, hash, &m->types[first + i]);
    return hash;
}

static bool equal_valtypes(const struct bc_module *m, const struct bc_type *a, const bc_valtype *va,
                           const struct bc_type *b, const bc_valtype *vb, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (normal_type(m, va[i], a->rec_first, a->rec_count) !=
            normal_type(m, vb[i], b->rec_first, b->rec_count))
            return false;
    return true;
}

static bool equal_types(const struct bc_module *m, const struct bc_type *a, const struct bc_type *b) {
    if (a->form != b->form || a->final != b->final || a->n_params != b->n_params ||
        a->n_results != b->n_results || a->n_fields != b->n_fields)
        return false;
    if (normal_index(m, a->super, a->rec_first, a->rec_count) !=
        normal_index(m, b->super, b->rec_first, b->rec_count))
        return false;
    for (uint32_t i = 0; i < a->n_fields; i++)
        if (a->fields[i].mutable != b->fields[i].mutable ||
            !equal_valtypes(m, a, &a->fields[i].type, b, &b->fields[i].type, 1))
            return false;
    return equal_valtypes(m, a, a->params, b, b->params, a->n_params) &&
           equal_valtypes(m, a, a->results, b, b->results, a->n_results);
}

static bool equal_groups(const struct bc_module *m, uint32_t a, uint32_t b) {
    uint32_t count = m->types[a].rec_count;
    if (m->types[b].rec_count != count) return false;
    for (uint32_t i = 0; i < count; i++)
        if (!equal_types(m, &m->types[a + i], &m->types[b + i])) return false;
    return true;
}

/* ---- the table of groups seen ---- */

struct group_slot {
    uint64_t hash;
    uint32_t first_plus_1; /* 0 = free */
};

/* The first group equal to the one at `first`, which is entered when it is the first of its kind. */
static uint32_t intern_group(const struct bc_module *m, struct group_slot *slots, size_t mask,
                             uint32_t first) {
    uint64_t hash = hash_group(m, first);
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct group_slot *slot = &slots[i];
        if (!slot->first_plus_1) {
            *slot = (struct group_slot){hash, first + 1};
            return first;
        }
        if (slot->hash == hash && equal_groups(m, slot->first_plus_1 - 1, first))
            return slot->first_plus_1 - 1;
    }
}

/* ---- supertypes ---- */

static bool results_match(const struct bc_module *m, const struct bc_type *sub, const struct bc_type *super) {
    if (sub->n_params != super->n_params || sub->n_results != super->n_results) return false;
    for (uint32_t i = 0; i < sub->n_params; i++)
        if (!bc_valtype_matches(m, super->params[i], sub->params[i])) return false;
    for (uint32_t i = 0; i < sub->n_results; i++)
        if (!bc_valtype_matches(m, sub->results[i], super->results[i])) return false;
    return true;
}

static bool fields_match(const struct bc_module *m, const struct bc_type *sub, const struct bc_type *super) {
    if (sub->n_fields < super->n_fields) return false;
    for (uint32_t i = 0; i < super->n_fields; i++) {
        const struct bc_field *a = &sub->fields[i], *b = &super->fields[i];
        if (a->mutable != b->mutable) return false;
        if (a->mutable ? !bc_valtype_equal(m, a->type, b->type) : !bc_valtype_matches(m, a->type, b->type))
            return false;
    }
    return true;
}

static void check_super(struct decoder *d, uint32_t index, uint32_t offset) {
    const struct bc_module *m = d->m;
    const struct bc_type *t = &m->types[index], *super = &m->types[t->super];
    bool fits = t->form == super->form && !super->final &&
                (t->form == BC_TYPE_FUNC ? results_match(m, t, super) : fields_match(m, t, super));
    if (!fits)
        bc_reader_fail(&d->r, ATOLL_E_INVALID, offset, "sub type %u does not match super type %u", index,
                       t->super);
}

/* Declared supertypes come first, so depths follow in order. */
static void set_depth(struct decoder *d, uint32_t index, uint32_t offset) {
    struct bc_type *t = &d->m->types[index];
    if (t->super == BC_NONE) return;
    if (t->super >= index) {
        bc_reader_fail(&d->r, ATOLL_E_INVALID, offset, "unknown type %u: a super type has to come before",
                       t->super);
        return;
    }
    t->depth = d->m->types[t->super].depth + 1;
    if (t->depth > BC_MAX_SUBTYPE_DEPTH)
        bc_reader_fail(&d->r, ATOLL_E_LIMIT, offset, "sub type %u is more than %u deep", index,
                       BC_MAX_SUBTYPE_DEPTH);
}

static void check_group(struct decoder *d, const uint32_t *offsets, struct group_slot *slots, size_t mask,
                        uint32_t first) {
    struct bc_type *types = d->m->types;
    uint32_t count = types[first].rec_count;
    for (uint32_t i = first; i < first + count && !d->r.status; i++) set_depth(d, i, offsets[i]);
    if (d->r.status) return;
    uint32_t canonical = intern_group(d->m, slots, mask, first);
    for (uint32_t i = 0; i < count; i++) types[first + i].canonical = canonical + i;
    for (uint32_t i = first; i < first + count && !d->r.status; i++)
        if (types[i].super != BC_NONE) check_super(d, i, offsets[i]);
}

void bc_types_check(struct decoder *d, const uint32_t *offsets, uint32_t n_groups) {
    if (d->r.status) return;
    size_t n_slots = 4;
    while (n_slots < 2 * (size_t)n_groups) n_slots *= 2;
    const struct atoll_alloc *alloc = d->m->arena.alloc;
    struct group_slot *slots = atoll_new(alloc, n_slots, sizeof *slots);
    if (!slots) {
        bc_reader_fail(&d->r, ATOLL_E_NOMEM, BC_NO_OFFSET, "out of memory");
        return;
    }
    for (uint32_t first = 0; first < d->m->n_types && !bc_reader_stopped(&d->r);
         first += d->m->types[first].rec_count)
        check_group(d, offsets, slots, n_slots - 1, first);
    atoll_free(alloc, slots, n_slots * sizeof *slots);
}
