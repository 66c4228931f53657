/* tests/fuzz/against_interp/reduce.c: takes pieces out of a module. Nothing is known of the operand stack: a change is
 * tried on the bytes, and the validator says whether what came out is a module. */
#include <time.h>
#include "tests/fuzz/against_interp/reduce.h"

#define MAX_SECONDS 60
#define MAX_TREE    20 /* instructions that a constant replaces at once */

struct reduce {
    struct bc_buf *module;
    reduce_test *fails;
    void *context;
    bool progress;
    time_t end; /* then what there is is small enough */
};

/* ---- trying ---- */

static struct bc_module *decode(const struct bc_buf *bytes) {
    struct bc_config config = {.features = BC_FEATURES_DEFAULT | UINT64_C(1) << BC_FEATURE_WIDE_ARITHMETIC};
    struct bc_module *m = NULL;
    if (bc_module_decode(bytes->data, bytes->size, &config, &m, NULL)) return NULL;
    if (!bc_module_validate(m, &config, NULL)) return m;
    bc_module_free(m);
    return NULL;
}

/* Takes the candidate over when it fails, too. */
static bool try(struct reduce *r, struct bc_buf *candidate) {
    struct bc_module *m = candidate->failed || time(NULL) > r->end ? NULL : decode(candidate);
    bool taken = m && r->fails(r->context, candidate->data, candidate->size);
    bc_module_free(m);
    if (taken) {
        struct bc_buf old = *r->module;
        *r->module = *candidate;
        *candidate = old;
        r->progress = true;
    }
    bc_buf_fini(candidate);
    return taken;
}

/* ---- sections ---- */

struct section {
    uint8_t id;
    uint32_t at, body, end;
};

static uint32_t read_u32(const uint8_t *bytes, uint32_t *at) {
    uint32_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        value |= (uint32_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
}

static bool next_section(const struct bc_buf *module, uint32_t *at, struct section *out) {
    if (*at >= module->size) return false;
    out->at = *at;
    out->id = module->data[(*at)++];
    uint32_t size = read_u32(module->data, at);
    out->body = *at;
    out->end = *at += size;
    return true;
}

/* The module with the body of section `id` replaced; NULL: without it. */
static void with_section(const struct bc_buf *module, uint8_t id, const struct bc_buf *body,
                         struct bc_buf *out) {
    struct section s;
    uint32_t at = 8;
    bc_buf_init(out, &atoll_default_alloc);
    bc_buf_bytes(out, module->data, 8);
    while (next_section(module, &at, &s)) {
        if (s.id != id) {
            bc_buf_bytes(out, module->data + s.at, s.end - s.at);
        } else if (body) {
            bc_buf_u8(out, id);
            bc_buf_u32(out, (uint32_t)body->size);
            bc_buf_bytes(out, body->data, body->size);
        }
    }
}

static void drop_sections(struct reduce *r) {
    static const uint8_t ids[] = {0, 12, 11, 9, 8, 13, 4, 6, 5};
    for (size_t i = 0; i < sizeof ids; i++) {
        struct bc_buf candidate;
        with_section(r->module, ids[i], NULL, &candidate);
        if (candidate.size < r->module->size)
            try(r, &candidate);
        else
            bc_buf_fini(&candidate);
    }
}

static void drop_exports(struct reduce *r) {
    struct bc_module *m = decode(r->module);
    uint32_t n = m ? m->n_exports : 0;
    bc_module_free(m);
    for (uint32_t gone = n; gone-- > 0;) {
        struct bc_buf body, candidate;
        m = decode(r->module);
        bc_buf_init(&body, &atoll_default_alloc);
        bc_buf_u32(&body, m->n_exports - 1);
        for (uint32_t i = 0; i < m->n_exports; i++) {
            if (i == gone) continue;
            bc_buf_u32(&body, m->exports[i].name.size);
            bc_buf_bytes(&body, m->exports[i].name.bytes, m->exports[i].name.size);
            bc_buf_u8(&body, (uint8_t)m->exports[i].kind);
            bc_buf_u32(&body, m->exports[i].index);
        }
        with_section(r->module, 7, &body, &candidate);
        bc_module_free(m);
        bc_buf_fini(&body);
        try(r, &candidate);
    }
}

/* ---- code ---- */

/* Tries bytes [from, to) of own function `func`'s instructions as `with`. */
static bool replace(struct reduce *r, const struct bc_module *m, uint32_t func, uint32_t from, uint32_t to,
                    const struct bc_buf *with) {
    struct bc_buf body, candidate;
    bc_buf_init(&body, &atoll_default_alloc);
    bc_buf_u32(&body, m->n_funcs - m->n_imported_funcs);
    for (uint32_t i = m->n_imported_funcs; i < m->n_funcs; i++) {
        struct bc_range old = m->funcs[i].body;
        if (i != func) {
            bc_buf_u32(&body, old.size);
            bc_buf_bytes(&body, m->bytes + old.offset, old.size);
            continue;
        }
        bc_buf_u32(&body, old.size - (to - from) + (uint32_t)with->size);
        bc_buf_bytes(&body, m->bytes + old.offset, from - old.offset);
        bc_buf_bytes(&body, with->data, with->size);
        bc_buf_bytes(&body, m->bytes + to, old.offset + old.size - to);
    }
    with_section(r->module, 10, &body, &candidate);
    bc_buf_fini(&body);
    return try(r, &candidate);
}

static void put_zero(struct bc_buf *out, bc_valtype type) {
    static const uint8_t zeros[][3] = {{0x41, 0}, {0x42, 0}, {0x43}, {0x44}, {0xFD, 0x0C}, {0xD0, 0x70}};
    static const uint8_t sizes[] = {2, 2, 5, 9, 18, 2}, heads[] = {2, 2, 1, 1, 2, 2};
    unsigned i = bc_valtype_kind(type) - BC_KIND_I32;
    if (i > 5) return;
    bc_buf_bytes(out, zeros[i], heads[i]);
    for (unsigned k = heads[i]; k < sizes[i]; k++) bc_buf_u8(out, 0);
}

/* The function does nothing but return zeros. */
static void empty_functions(struct reduce *r) {
    struct bc_module *m = decode(r->module);
    for (uint32_t i = m ? m->n_imported_funcs : 0; m && i < m->n_funcs; i++) {
        const struct bc_func *func = m->funcs + i;
        const struct bc_type *type = m->types + func->type;
        struct bc_buf zeros;
        bc_buf_init(&zeros, &atoll_default_alloc);
        for (uint32_t k = 0; k < type->n_results; k++) put_zero(&zeros, type->results[k]);
        bc_buf_u8(&zeros, 0x0B);
        uint32_t end = func->body.offset + func->body.size;
        if (zeros.size < end - func->code_offset && replace(r, m, i, func->code_offset, end, &zeros)) {
            bc_module_free(m);
            m = decode(r->module);
        }
        bc_buf_fini(&zeros);
    }
    bc_module_free(m);
}

/* Offsets of a function's instructions and of its end; owned by the caller. */
static uint32_t *instructions(const struct bc_module *m, uint32_t func, uint32_t *n) {
    uint32_t at = m->funcs[func].code_offset, end = m->funcs[func].body.offset + m->funcs[func].body.size;
    uint32_t *offsets = malloc((end - at + 1) * sizeof *offsets);
    FUZZ_CHECK(offsets);
    struct bc_instr in;
    for (*n = 0; at < end; at = in.next) {
        offsets[(*n)++] = at;
        FUZZ_CHECK(!bc_decode_instr(m, at, end, &in, NULL));
    }
    offsets[*n] = end;
    return offsets;
}

/* One range that can go or become a constant, from `*place` on, which counts instructions times sizes. */
static bool step(struct reduce *r, uint32_t func, uint32_t size, uint32_t *at) {
    const bc_valtype kinds[] = {BC_I32, BC_I64, BC_F32, BC_F64, BC_V128, BC_FUNCREF};
    struct bc_module *m = decode(r->module);
    uint32_t n;
    uint32_t *offsets = instructions(m, func, &n);
    bool taken = false;
    while (!taken && *at + size < n) { /* the last end stays */
        struct bc_buf with;
        bc_buf_init(&with, &atoll_default_alloc);
        taken = replace(r, m, func, offsets[*at], offsets[*at + size], &with);
        for (unsigned k = 0; k < 6 && !taken && size <= MAX_TREE; k++) {
            with.size = 0;
            put_zero(&with, kinds[k]);
            bool smaller = with.size < offsets[*at + size] - offsets[*at] ||
                           (size == 1 && k < 2 && m->bytes[offsets[*at]] == 0x20);
            if (smaller) taken = replace(r, m, func, offsets[*at], offsets[*at + size], &with);
        }
        bc_buf_fini(&with);
        if (!taken) (*at)++;
    }
    free(offsets);
    bc_module_free(m);
    return taken;
}

static void shorten_functions(struct reduce *r) {
    struct bc_module *m = decode(r->module);
    uint32_t first = m->n_imported_funcs, end = m->n_funcs;
    bc_module_free(m);
    for (uint32_t func = first; func < end; func++) {
        uint32_t n;
        m = decode(r->module);
        free(instructions(m, func, &n));
        bc_module_free(m);
        for (uint32_t size = n; size > 0; size = size > 6 ? size * 2 / 3 : size - 1) {
            uint32_t at = 0;
            while (step(r, func, size, &at)) continue;
        }
    }
}

void reduce_module(struct bc_buf *module, reduce_test *fails, void *context) {
    struct reduce r = {.module = module,
                       .fails = fails,
                       .context = context,
                       .progress = true,
                       .end = time(NULL) + MAX_SECONDS};
    while (r.progress) {
        r.progress = false;
        empty_functions(&r);
        drop_exports(&r);
        shorten_functions(&r);
        drop_sections(&r);
    }
}
