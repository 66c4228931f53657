/* tests/fuzz/fuzz.h: what the fuzz targets share. A target is one function; libFuzzer or replay.c calls it.
 */
#ifndef ATOLL_TESTS_FUZZ_H
#define ATOLL_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bytecode/bytecode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* ---- memory that runs out ---- */

/* Counts allocations; the one after `left` more fails, and all behind it. */
struct fuzz_alloc {
    struct atoll_alloc alloc;
    uint64_t n_calls, left;
    int64_t n_bytes; /* in use */
};

static inline void *fuzz_resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct fuzz_alloc *f = context;
    if (new_size > old_size) {
        f->n_calls++;
        if (!f->left) return NULL;
        f->left--;
    }
    void *q = atoll_default_alloc.resize(atoll_default_alloc.context, p, old_size, new_size);
    if (q || !new_size) f->n_bytes += (int64_t)new_size - (int64_t)old_size;
    return q;
}

static inline void fuzz_alloc_init(struct fuzz_alloc *f, uint64_t left) {
    *f = (struct fuzz_alloc){.alloc = {fuzz_resize, f}, .left = left};
}

/* ---- decisions that depend on the input alone ---- */

static inline uint64_t fuzz_hash(uint64_t h, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001B3);
    return h ^ h >> 29;
}
#define FUZZ_HASH_START UINT64_C(0xCBF29CE484222325)

/* A fault reported for an input lies in it. */
static inline void fuzz_check_error(const struct atoll_error *err, enum atoll_status status, size_t size) {
    FUZZ_CHECK(err->code == status && err->text[0]);
    FUZZ_CHECK(err->offset == ATOLL_NO_OFFSET || err->offset <= size);
    for (const char *c = err->text; *c; c++) FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 0x7F);
}

/* ---- debugging sections as fuzz_dwarf's input: index of the name, u16 size, bytes; again and again ---- */

#define FUZZ_DEBUG_SECTIONS 9
static const char *const fuzz_debug_names[FUZZ_DEBUG_SECTIONS] = {
    ".debug_info", ".debug_abbrev",      ".debug_line",   ".debug_str",     ".debug_line_str",
    ".debug_addr", ".debug_str_offsets", ".debug_ranges", ".debug_rnglists"};

static inline void fuzz_put_debug_section(struct bc_buf *out, const struct bc_module *m,
                                          const struct bc_custom *custom) {
    for (uint8_t i = 0; i < FUZZ_DEBUG_SECTIONS; i++) {
        size_t size = strlen(fuzz_debug_names[i]);
        if (custom->name.size != size || memcmp(custom->name.bytes, fuzz_debug_names[i], size)) continue;
        bc_buf_u8(out, i);
        bc_buf_fixed(out, custom->payload.size, 2);
        bc_buf_bytes(out, m->bytes + custom->payload.offset, custom->payload.size);
    }
}

#endif
