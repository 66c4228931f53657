/* bytecode/dwarf/dwarf.c: from a byte of the module to where it came from in the source. */
#include <string.h>
#include "bytecode/dwarf/dwarf.h"
#include "bytecode/reader.h"

/* Steps for all questions to one module: more than a compiler's sections need, and an end for those made to
 * waste time. */
#define WORK_FLOOR    (UINT64_C(1) << 16)
#define WORK_PER_BYTE 64
#define WORK_CEILING  (UINT64_C(1) << 28)

#define SECTION_CODE 10

static bool find_code(struct bc_debug *d) {
    struct bc_reader r = {.bytes = d->module->bytes, .at = 8, .end = (uint32_t)d->module->n_bytes};
    while (!r.status && r.at < r.end) {
        uint8_t id = bc_reader_u8(&r);
        struct bc_range range = bc_reader_range(&r);
        if (r.status || id != SECTION_CODE) continue;
        d->code_start = range.offset;
        d->code_end = range.offset + range.size;
        return true;
    }
    return false;
}

static void find_sections(struct bc_debug *d) {
    static const char *const names[] = {
#define X(id, name) name,
        DW_SECTION_LIST(X)
#undef X
    };
    const struct bc_module *m = d->module;
    uint64_t total = 0;
    for (uint32_t i = 0; i < m->n_customs; i++) {
        struct bc_name name = m->customs[i].name;
        if (name.size < 7 || memcmp(name.bytes, ".debug_", 7) != 0) continue;
        for (int s = 0; s < DW_SECTION_COUNT; s++)
            if (!d->sections[s].size && name.size == strlen(names[s]) &&
                !memcmp(name.bytes, names[s], name.size)) {
                d->sections[s] = m->customs[i].payload;
                total += d->sections[s].size;
            }
    }
    d->work = WORK_FLOOR + WORK_PER_BYTE * total;
    if (d->work > WORK_CEILING) d->work = WORK_CEILING;
}

struct bc_debug *bc_debug_new(const struct bc_module *m, const struct atoll_alloc *alloc) {
    struct bc_debug d = {.module = m, .alloc = alloc, .abbrevs_at = UINT64_MAX};
    find_sections(&d);
    if (!d.sections[DW_LINE].size || !find_code(&d)) return NULL;
    struct bc_debug *out = atoll_new(alloc, 1, sizeof *out);
    if (out) *out = d;
    return out;
}

void bc_debug_free(struct bc_debug *d) {
    if (!d) return;
    atoll_free(d->alloc, d->abbrevs, d->cap_abbrevs * sizeof *d->abbrevs);
    atoll_free(d->alloc, d, sizeof *d);
}

/* The chain's functions innermost first: the first stands at the row, each other where it calls the one
 * before. */
static uint32_t answer(struct bc_debug *d, uint64_t lines, const struct dw_row *row,
                       const struct dw_call *chain, uint32_t n, struct bc_source *out, uint32_t max) {
    uint32_t n_out = n ? n : 1;
    if (n_out > max) n_out = max;
    for (uint32_t i = 0; i < n_out; i++) {
        const struct dw_call *callee = i ? &chain[n - i] : NULL;
        out[i] = (struct bc_source){.line = callee ? callee->call_line : row->line,
                                    .column = callee ? callee->call_column : row->column};
        if (n) out[i].function = chain[n - 1 - i].name;
        dw_line_file(d, lines, callee ? callee->call_file : row->file, &out[i].directory, &out[i].file);
    }
    return n_out;
}

/* Asks one unit; 0 when it has nothing for the address. */
static uint32_t ask_unit(struct bc_debug *d, struct dw_unit *unit, uint64_t address, struct bc_source *out,
                         uint32_t max) {
    struct dw_entry root;
    struct dw_row row;
    uint64_t next;
    bool known;
    if (!dw_unit_root(d, unit, &root)) return 0;
    const struct dw_value *lines = &root.attributes[DW_AT_STMT_LIST];
    if (lines->class != DW_CONSTANT) return 0;
    if (!dw_entry_covers(d, unit, &root, address, &known) && known) return 0;
    if (!dw_line_find(d, lines->number, address, &row, &next)) return 0;
    struct dw_call chain[DW_CHAIN_MAX];
    uint32_t n = dw_chain(d, unit, address, chain);
    return answer(d, lines->number, &row, chain, n, out, max);
}

/* Without .debug_info the line programs themselves are looked through. */
static uint32_t ask_lines(struct bc_debug *d, uint64_t address, struct bc_source *out, uint32_t max) {
    uint64_t at = 0, next = 0;
    struct dw_row row;
    do {
        if (dw_line_find(d, at, address, &row, &next)) return answer(d, at, &row, NULL, 0, out, max);
        at = next;
    } while (at);
    return 0;
}

uint32_t bc_debug_find(struct bc_debug *d, uint32_t offset, struct bc_source *out, uint32_t max) {
    if (!d || !max || offset < d->code_start || offset >= d->code_end) return 0;
    uint64_t address = offset - d->code_start;
    if (!d->sections[DW_INFO].size) return ask_lines(d, address, out, max);
    struct dw_cursor units = dw_cursor_at(d, DW_INFO, 0);
    struct dw_unit unit;
    uint32_t n = 0;
    while (!n && dw_unit_next(&units, &unit)) n = ask_unit(d, &unit, address, out, max);
    return n;
}
