/* bytecode/decode_types.c: the type section. Source: core spec, "Binary Format / Types" and "Type Section".
 */
#include "bytecode/decode.h"

/* Types and their places, grown while the section is read because a recursion group's size is only known at
 * its start. */
struct type_list {
    struct bc_type *types;
    uint32_t *offsets;
    size_t types_capacity, offsets_capacity;
    uint32_t n, n_groups;
};

static bool reserve_types(struct decoder *d, struct type_list *list, uint32_t want) {
    const struct atoll_alloc *alloc = d->m->arena.alloc;
    void *types = list->types, *offsets = list->offsets;
    int failed = atoll_grow(alloc, &types, &list->types_capacity, want, sizeof *list->types) ||
                 atoll_grow(alloc, &offsets, &list->offsets_capacity, want, sizeof *list->offsets);
    list->types = types;
    list->offsets = offsets;
    if (failed) bc_reader_fail(&d->r, ATOLL_E_NOMEM, BC_NO_OFFSET, "out of memory");
    return !failed;
}

static const bc_valtype *read_valtypes(struct decoder *d, uint32_t n, uint32_t *out_slots) {
    bc_valtype *types = n ? bc_decode_new(d, n, sizeof *types) : NULL;
    for (uint32_t i = 0; i < n && !d->r.status; i++) {
        types[i] = bc_reader_valtype(&d->r);
        *out_slots += bc_valtype_slots(types[i]);
    }
    return types;
}

static void read_func_type(struct decoder *d, struct bc_type *t) {
    t->form = BC_TYPE_FUNC;
    t->n_params = bc_reader_count(&d->r, 1, BC_MAX_PARAMS, "parameters");
    t->params = read_valtypes(d, t->n_params, &t->param_slots);
    uint32_t at = d->r.at;
    t->n_results = bc_reader_count(&d->r, 1, BC_MAX_RESULTS, "results");
    t->results = read_valtypes(d, t->n_results, &t->result_slots);
    if (t->n_results > 1) bc_reader_need(&d->r, BC_FEATURE_MULTI_VALUE, at, "a function of several results");
}

static void read_fields(struct decoder *d, struct bc_type *t, uint32_t n) {
    struct bc_field *fields = n ? bc_decode_new(d, n, sizeof *fields) : NULL;
    t->fields = fields;
    t->n_fields = n;
    t->defaultable = true;
    for (uint32_t i = 0; i < n && !d->r.status; i++) {
        fields[i].type = bc_reader_storagetype(&d->r);
        fields[i].mutable = bc_decode_mutability(d);
        t->defaultable &= bc_valtype_defaultable(fields[i].type);
    }
}

static void read_composite(struct decoder *d, struct bc_type *t, uint8_t form, uint32_t at) {
    struct bc_reader *r = &d->r;
    if (form == 0x60) {
        read_func_type(d, t);
    } else if (form == 0x5F || form == 0x5E) {
        bc_reader_need(r, BC_FEATURE_GC, at, "a struct or array type");
        t->form = form == 0x5F ? BC_TYPE_STRUCT : BC_TYPE_ARRAY;
        r->saw_gc = true;
        read_fields(d, t, form == 0x5E ? 1 : bc_reader_count(r, 2, BC_MAX_STRUCT_FIELDS, "fields"));
    } else {
        bc_reader_fail(r, ATOLL_E_MALFORMED, at, /* a LEB128 of one byte */
                       form & 0x80 ? "integer representation too long" : "malformed definition type");
    }
}

static void read_super(struct decoder *d, struct bc_type *t) {
    struct bc_reader *r = &d->r;
    uint32_t at = r->at, n = bc_reader_count(r, 1, UINT32_MAX, "supertypes");
    if (n > 1) bc_reader_fail(r, ATOLL_E_INVALID, at, "sub type has %u supertypes, one is allowed", n);
    if (n == 1) t->super = bc_reader_u32(r);
}

static void read_subtype(struct decoder *d, struct bc_type *t) {
    struct bc_reader *r = &d->r;
    uint32_t at = r->at;
    uint8_t form = bc_reader_u8(r);
    t->final = true;
    t->super = BC_NONE;
    if (form == 0x50 || form == 0x4F) {
        bc_reader_need(r, BC_FEATURE_GC, at, "a sub type");
        t->final = form == 0x4F;
        read_super(d, t);
        at = r->at;
        form = bc_reader_u8(r);
    }
    if (!r->status) read_composite(d, t, form, at);
}

static uint32_t read_group_size(struct decoder *d, uint32_t n_before) {
    struct bc_reader *r = &d->r;
    uint32_t at = r->at;
    if (at >= r->end || r->bytes[at] != 0x4E) return 1;
    r->at++;
    bc_reader_need(r, BC_FEATURE_GC, at, "a recursion group");
    uint32_t n = bc_reader_count(r, 1, BC_MAX_REC_GROUP_SIZE, "types of a recursion group");
    if (n > BC_MAX_TYPES - n_before) bc_reader_fail(r, ATOLL_E_LIMIT, at, "too many types");
    return n;
}

static void read_group(struct decoder *d, struct type_list *list) {
    bool grouped = bc_reader_left(&d->r) && d->r.bytes[d->r.at] == 0x4E;
    uint32_t first = list->n, count = read_group_size(d, first);
    if (d->r.status || !reserve_types(d, list, first + count)) return;
    d->r.n_types = first + count;
    for (; list->n < first + count && !d->r.status; list->n++) {
        struct bc_type *t = &list->types[list->n];
        list->offsets[list->n] = d->r.at;
        read_subtype(d, t);
        t->rec_first = first;
        t->rec_count = count;
        t->grouped = grouped;
    }
    list->n_groups += count > 0;
}

void bc_decode_types(struct decoder *d) {
    struct type_list list = {0};
    uint32_t n = bc_reader_count(&d->r, 1, BC_MAX_REC_GROUPS, "recursion groups");
    for (uint32_t i = 0; i < n && !d->r.status; i++) {
        if (list.n >= BC_MAX_TYPES)
            bc_reader_fail(&d->r, ATOLL_E_LIMIT, d->r.at, "too many types");
        else
            read_group(d, &list);
    }
    if (!d->r.status && list.n) {
        d->m->types = bc_decode_extend(d, list.types, list.n, list.n, sizeof *list.types);
        if (d->m->types) d->m->n_types = d->r.n_types = list.n;
        bc_types_check(d, list.offsets, list.n_groups);
    }
    atoll_free(d->m->arena.alloc, list.types, list.types_capacity * sizeof *list.types);
    atoll_free(d->m->arena.alloc, list.offsets, list.offsets_capacity * sizeof *list.offsets);
}
