/* bytecode/decode_module.c: the sections of a binary module, in their order. Source: core spec, "Binary
 * Format / Modules". */
#include "bytecode/decode.h"

/* ---- services for the sections ---- */

void *bc_decode_new(struct decoder *d, size_t n_items, size_t item_size) {
    if (bc_reader_stopped(&d->r)) return NULL;
    void *p = bc_arena_new(&d->m->arena, n_items, item_size);
    if (!p) bc_reader_fail(&d->r, ATOLL_E_NOMEM, BC_NO_OFFSET, "out of memory");
    return p;
}

void *bc_decode_extend(struct decoder *d, const void *old, uint32_t n_old, uint32_t n_new, size_t item_size) {
    void *p = bc_decode_new(d, n_new, item_size);
    if (p && n_old) memcpy(p, old, n_old * item_size);
    return p;
}

void bc_decode_declare(struct decoder *d, uint32_t func) {
    if (func < d->m->n_funcs) d->m->funcs[func].declared = true;
}

static bool opens_block(enum bc_op op) {
    return op == BC_BLOCK || op == BC_LOOP || op == BC_IF || op == BC_TRY || op == BC_TRY_TABLE;
}

struct bc_range bc_decode_expr(struct decoder *d) {
    struct bc_range range = {d->r.at, 0};
    uint32_t depth = 1;
    struct bc_instr instr;
    while (depth && bc_reader_instr(&d->r, &instr)) {
        if (instr.op == BC_END || instr.op == BC_DELEGATE) depth--;
        if (opens_block(instr.op)) depth++;
        if (instr.op == BC_REF_FUNC) bc_decode_declare(d, instr.index);
    }
    range.size = d->r.at - range.offset;
    return range;
}

struct bc_limits bc_decode_limits(struct decoder *d, bool is_memory) {
    struct bc_reader *r = &d->r;
    uint32_t start = r->at;
    uint8_t flags = bc_reader_u8(r), allowed = 1;
    if (is_memory && d->features >> BC_FEATURE_THREADS & 1) allowed |= 2;
    if (d->features >> BC_FEATURE_MEMORY64 & 1) allowed |= 4;
    if (is_memory && d->features >> BC_FEATURE_CUSTOM_PAGE_SIZES & 1) allowed |= 8;
    if (flags & ~allowed) bc_reader_fail(r, ATOLL_E_MALFORMED, start, "malformed limits flags");
    struct bc_limits limits = {.has_max = flags & 1, .shared = flags & 2, .is64 = flags & 4};
    limits.min = bc_reader_u64(r);
    limits.max = limits.has_max ? bc_reader_u64(r) : UINT64_MAX;
    limits.page_size_log2 = is_memory ? 16 : 0;
    if (flags & 8) {
        uint32_t at = r->at, log2 = bc_reader_u32(r);
        if (log2 >= 64) bc_reader_fail(r, ATOLL_E_MALFORMED, at, "invalid custom page size");
        limits.page_size_log2 = (uint8_t)log2;
    }
    return limits;
}

/* ---- sections ---- */

static void decode_start(struct decoder *d) {
    d->m->start_at = d->r.at;
    d->m->start = bc_reader_u32(&d->r);
}

static void decode_data_count(struct decoder *d) {
    d->data_count = bc_reader_u32(&d->r);
    d->m->has_data_count = true;
}

/* A custom section is kept as a range; only its name has to be well-formed. */
static void decode_custom(struct decoder *d, uint32_t at) {
    struct bc_name name = bc_reader_name(&d->r);
    if (d->r.status) return;
    void *customs = d->customs;
    if (atoll_grow(d->m->arena.alloc, &customs, &d->customs_capacity, d->n_customs + 1, sizeof *d->customs)) {
        bc_reader_fail(&d->r, ATOLL_E_NOMEM, BC_NO_OFFSET, "out of memory");
        return;
    }
    d->customs = customs;
    d->customs[d->n_customs++] = (struct bc_custom){name, {d->r.at, bc_reader_left(&d->r)}, at, d->last_id};
    d->r.at = d->r.end;
}

/* Decoders by section id, and each one's place in the required order. */
static const struct {
    void (*decode)(struct decoder *d);
    uint8_t order;
} sections[BC_SECTION_COUNT] = {
    [BC_SECTION_TYPE] = {bc_decode_types, 1},
    [BC_SECTION_IMPORT] = {bc_decode_imports, 2},
    [BC_SECTION_FUNCTION] = {bc_decode_funcs, 3},
    [BC_SECTION_TABLE] = {bc_decode_tables, 4},
    [BC_SECTION_MEMORY] = {bc_decode_memories, 5},
    [BC_SECTION_TAG] = {bc_decode_tags, 6},
    [BC_SECTION_GLOBAL] = {bc_decode_globals, 7},
    [BC_SECTION_EXPORT] = {bc_decode_exports, 8},
    [BC_SECTION_START] = {decode_start, 9},
    [BC_SECTION_ELEMENT] = {bc_decode_elems, 10},
    [BC_SECTION_DATA_COUNT] = {decode_data_count, 11},
    [BC_SECTION_CODE] = {bc_decode_code, 12},
    [BC_SECTION_DATA] = {bc_decode_datas, 13},
};

static void decode_known(struct decoder *d, uint8_t id, uint32_t at) {
    if (sections[id].order <= d->order) {
        bc_reader_fail(&d->r, ATOLL_E_MALFORMED, at, "unexpected content after last section: section %u", id);
        return;
    }
    d->order = sections[id].order;
    d->last_id = id;
    sections[id].decode(d);
    if (!d->r.status && d->r.at != d->r.end)
        bc_reader_fail(&d->r, ATOLL_E_MALFORMED, d->r.at, "section size mismatch");
}

static void decode_section(struct decoder *d) {
    struct bc_reader *r = &d->r;
    uint32_t at = r->at;
    uint8_t id = bc_reader_u8(r);
    if (id >= BC_SECTION_COUNT) {
        bc_reader_fail(r, ATOLL_E_MALFORMED, at, "malformed section id %u", id);
        return;
    }
    uint32_t size = bc_reader_u32(r);
    if (r->status) return;
    if (size > bc_reader_left(r)) {
        bc_reader_fail(r, ATOLL_E_MALFORMED, r->at, "length out of bounds: a section of %u bytes", size);
        return;
    }
    uint32_t file_end = r->end;
    r->end = r->at + size;
    if (id == BC_SECTION_CUSTOM)
        decode_custom(d, at);
    else
        decode_known(d, id, at);
    r->end = file_end;
}

static void decode_header(struct decoder *d) {
    static const uint8_t magic[4] = {0, 'a', 's', 'm'}, version[4] = {1, 0, 0, 0};
    struct bc_reader *r = &d->r;
    uint8_t bytes[4];
    bc_reader_copy(r, bytes, 4);
    if (!r->status && memcmp(bytes, magic, 4))
        bc_reader_fail(r, ATOLL_E_MALFORMED, 0, "magic header not detected");
    bc_reader_copy(r, bytes, 4);
    if (!r->status && memcmp(bytes, version, 4))
        bc_reader_fail(r, ATOLL_E_MALFORMED, 4, "unknown binary version");
}

/* What only shows once all sections are read. */
static void check_counts(struct decoder *d) {
    struct bc_reader *r = &d->r;
    if (r->status) return;
    if (!d->has_code && d->m->n_funcs > d->m->n_imported_funcs)
        bc_reader_fail(r, ATOLL_E_MALFORMED, r->end, "function and code section have inconsistent lengths");
    if (d->m->has_data_count && d->data_count != d->m->n_datas)
        bc_reader_fail(r, ATOLL_E_MALFORMED, r->end, "data count and data section have inconsistent lengths");
}

static void keep_customs(struct decoder *d) {
    if (d->r.status || !d->n_customs) return;
    d->m->customs = bc_decode_extend(d, d->customs, d->n_customs, d->n_customs, sizeof *d->customs);
    if (d->m->customs) d->m->n_customs = d->n_customs;
}

static enum atoll_status decode_bytes(struct decoder *d) {
    decode_header(d);
    while (!bc_reader_stopped(&d->r) && d->r.at < d->r.end) decode_section(d);
    check_counts(d);
    keep_customs(d);
    atoll_free(d->m->arena.alloc, d->customs, d->customs_capacity * sizeof *d->customs);
    d->m->uses_gc |= d->r.saw_gc;
    return d->r.status;
}

enum atoll_status bc_module_decode(const uint8_t *bytes, size_t n_bytes, const struct bc_config *config,
                                   struct bc_module **out_module, struct atoll_error *err) {
    const struct atoll_alloc *alloc = config && config->alloc ? config->alloc : &atoll_default_alloc;
    if (n_bytes > BC_MAX_MODULE_BYTES)
        return atoll_fail(err, ATOLL_E_LIMIT, BC_MAX_MODULE_BYTES, "module too large: %zu bytes", n_bytes);
    struct bc_module *m = atoll_new(alloc, 1, sizeof *m);
    if (!m) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    bc_arena_init(&m->arena, alloc);
    m->bytes = bytes;
    m->n_bytes = n_bytes;
    m->start = BC_NONE;
    struct decoder d = {.m = m, .features = bc_config_features(config)};
    d.r = (struct bc_reader){.bytes = bytes,
                             .end = (uint32_t)n_bytes,
                             .features = d.features,
                             .err = err,
                             .stop = bc_config_stop(config)};
    enum atoll_status status = decode_bytes(&d);
    if (status)
        bc_module_free(m);
    else
        *out_module = m;
    return status;
}
