/* bytecode/decode_segments.c: element segments, data segments and function bodies. Source: core spec, "Binary
 * Format / Modules". */
#include "bytecode/decode.h"

/* ---- element segments ---- */

/* Bits of an element segment's flag word. */
enum { ELEM_NOT_ACTIVE = 1, ELEM_EXPLICIT = 2, ELEM_EXPRESSIONS = 4 };

static void read_elem_kind(struct decoder *d) {
    uint32_t at = d->r.at;
    if (bc_reader_u8(&d->r)) bc_reader_fail(&d->r, ATOLL_E_MALFORMED, at, "malformed element kind");
}

static void read_elem_type(struct decoder *d, struct bc_elem *e) {
    bool named = e->flags & (ELEM_NOT_ACTIVE | ELEM_EXPLICIT);
    if (e->flags & ELEM_EXPRESSIONS) {
        e->type = named ? bc_reader_reftype(&d->r) : BC_FUNCREF;
    } else {
        if (named) read_elem_kind(d);
        e->type = bc_ref_abstract(false, BC_HEAP_FUNC);
    }
}

static void read_elem_funcs(struct decoder *d, struct bc_elem *e) {
    uint32_t *funcs = bc_decode_new(d, e->n_items, sizeof *funcs);
    if (!funcs) return;
    e->funcs = funcs;
    for (uint32_t i = 0; i < e->n_items && !d->r.status; i++) {
        funcs[i] = bc_reader_u32(&d->r);
        bc_decode_declare(d, funcs[i]);
    }
}

static void read_elem_exprs(struct decoder *d, struct bc_elem *e) {
    struct bc_range *exprs = bc_decode_new(d, e->n_items, sizeof *exprs);
    if (!exprs) return;
    e->exprs = exprs;
    for (uint32_t i = 0; i < e->n_items && !d->r.status; i++) exprs[i] = bc_decode_expr(d);
}

static void read_elem(struct decoder *d, struct bc_elem *e) {
    struct bc_reader *r = &d->r;
    e->at = r->at;
    e->flags = bc_reader_u32(r);
    if (e->flags > 7) bc_reader_fail(r, ATOLL_E_MALFORMED, e->at, "malformed elements segment kind");
    if (e->flags) bc_reader_need(r, BC_FEATURE_BULK_MEMORY, e->at, "an element segment of this kind");
    if (!(e->flags & ELEM_NOT_ACTIVE)) {
        e->mode = BC_SEGMENT_ACTIVE;
        if (e->flags & ELEM_EXPLICIT) e->table = bc_reader_u32(r);
        e->offset = bc_decode_expr(d);
    } else {
        e->mode = e->flags & ELEM_EXPLICIT ? BC_SEGMENT_DECLARED : BC_SEGMENT_PASSIVE;
    }
    read_elem_type(d, e);
    e->n_items = bc_reader_count(r, 1, BC_MAX_TABLE_ELEMS, "elements");
    if (r->status) return;
    if (e->flags & ELEM_EXPRESSIONS)
        read_elem_exprs(d, e);
    else
        read_elem_funcs(d, e);
}

void bc_decode_elems(struct decoder *d) {
    uint32_t n = bc_reader_count(&d->r, 1, BC_MAX_ELEM_SEGMENTS, "element segments");
    struct bc_elem *elems = bc_decode_new(d, n, sizeof *elems);
    if (!elems) return;
    d->m->elems = elems;
    for (uint32_t i = 0; i < n && !d->r.status; i++) read_elem(d, &elems[d->m->n_elems++]);
}

/* ---- data segments ---- */

static void read_data(struct decoder *d, struct bc_data *data) {
    struct bc_reader *r = &d->r;
    data->at = r->at;
    data->flags = bc_reader_u32(r);
    if (data->flags > 2) bc_reader_fail(r, ATOLL_E_MALFORMED, data->at, "malformed data segment kind");
    if (data->flags) bc_reader_need(r, BC_FEATURE_BULK_MEMORY, data->at, "a data segment of this kind");
    data->mode = data->flags == 1 ? BC_SEGMENT_PASSIVE : BC_SEGMENT_ACTIVE;
    if (data->flags == 2) data->memory = bc_reader_u32(r);
    if (data->mode == BC_SEGMENT_ACTIVE) data->offset = bc_decode_expr(d);
    data->bytes = bc_reader_range(r);
}

void bc_decode_datas(struct decoder *d) {
    uint32_t n = bc_reader_count(&d->r, 1, BC_MAX_DATA_SEGMENTS, "data segments");
    struct bc_data *datas = bc_decode_new(d, n, sizeof *datas);
    if (!datas) return;
    d->m->datas = datas;
    for (uint32_t i = 0; i < n && !d->r.status; i++) read_data(d, &datas[d->m->n_datas++]);
}

/* ---- function bodies ---- */

/* The running sums stand behind the runs (bc_run_ends). */
static void read_runs(struct decoder *d, struct bc_func *f, uint32_t n) {
    struct bc_local_run *runs = bc_decode_new(d, n, sizeof *runs + sizeof(uint32_t));
    if (!runs) return;
    uint32_t *ends = (uint32_t *)(void *)(runs + n);
    uint64_t sum = 0, n_params = d->m->types[f->type].n_params;
    uint32_t at = d->r.at;
    for (uint32_t i = 0; i < n && !d->r.status; i++) {
        at = d->r.at;
        runs[i].count = bc_reader_u32(&d->r);
        sum += runs[i].count;
        if (sum + n_params > UINT32_MAX) bc_reader_fail(&d->r, ATOLL_E_MALFORMED, at, "too many locals");
        runs[i].type = bc_reader_valtype(&d->r);
        ends[i] = (uint32_t)sum;
    }
    f->local_runs = runs;
    f->n_local_runs = n;
    f->n_locals = (uint32_t)sum;
    if (sum + n_params > BC_MAX_LOCALS)
        bc_reader_fail(&d->r, ATOLL_E_LIMIT, at, "too many locals: %llu, the limit is %u",
                       (unsigned long long)(sum + n_params), BC_MAX_LOCALS);
}

static void read_body(struct decoder *d, struct bc_func *f) {
    struct bc_reader *r = &d->r;
    uint32_t at = r->at;
    f->body = bc_reader_range(r);
    if (r->status) return;
    if (f->body.size > BC_MAX_FUNC_BYTES) {
        bc_reader_fail(r, ATOLL_E_LIMIT, at, "function body too large: %u bytes", f->body.size);
        return;
    }
    uint32_t section_end = r->end;
    r->at = f->body.offset;
    r->end = f->body.offset + f->body.size;
    uint32_t n = bc_reader_count(r, 2, UINT32_MAX, "runs of locals");
    if (n && !r->status) read_runs(d, f, n);
    f->code_offset = r->at;
    if (!r->status) r->at = r->end;
    r->end = section_end;
}

void bc_decode_code(struct decoder *d) {
    struct bc_module *m = d->m;
    uint32_t at = d->r.at, n = bc_reader_u32(&d->r);
    d->has_code = true;
    if (!d->r.status && n != m->n_funcs - m->n_imported_funcs)
        bc_reader_fail(&d->r, ATOLL_E_MALFORMED, at, "function and code section have inconsistent lengths");
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs && !bc_reader_stopped(&d->r); i++)
        read_body(d, &m->funcs[i]);
}
