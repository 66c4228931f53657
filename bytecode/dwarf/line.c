/* bytecode/dwarf/line.c: line programs, versions 2 to 5. Source: DWARF 5, 6.2 "Line Number Information". */
#include "bytecode/dwarf/dwarf.h"

struct header {
    struct dw_unit unit; /* version, offset_size, address_size, end: what forms need */
    uint64_t tables;     /* where directories and files begin */
    uint64_t program, end;
    uint64_t lengths; /* operands of the standard opcodes, a byte each */
    uint8_t min_length, line_range, opcode_base;
    int8_t line_base;
};

static bool read_header(struct dw_cursor *c, struct header *h) {
    *h = (struct header){0};
    h->end = dw_unit_length(c, &h->unit.offset_size);
    h->unit.version = (uint16_t)dw_fixed(c, 2);
    h->unit.address_size = 4;
    if (c->failed || h->unit.version < 2 || h->unit.version > 5) return false;
    c->end = h->end;
    h->unit.end = h->end;
    if (h->unit.version >= 5) {
        h->unit.address_size = (uint8_t)dw_fixed(c, 1);
        dw_skip(c, 1); /* size of segment selectors */
    }
    uint64_t length = dw_fixed(c, h->unit.offset_size);
    if (c->failed || length > c->end - c->at) return false;
    h->program = c->at + length;
    h->min_length = (uint8_t)dw_fixed(c, 1);
    if (h->unit.version >= 4) dw_skip(c, 1); /* operations an instruction: wasm has one */
    dw_skip(c, 1);                           /* whether rows are statements at first */
    h->line_base = (int8_t)dw_fixed(c, 1);
    h->line_range = (uint8_t)dw_fixed(c, 1);
    h->opcode_base = (uint8_t)dw_fixed(c, 1);
    h->lengths = c->at;
    if (h->opcode_base) dw_skip(c, h->opcode_base - 1u);
    h->tables = c->at;
    bool size_ok = h->unit.address_size >= 1 && h->unit.address_size <= 8;
    return !c->failed && h->line_range && h->opcode_base && size_ok;
}

/* ---- the program ---- */

struct state {
    uint64_t address, file;
    uint32_t line, column;
};
struct search {
    uint64_t wanted, first; /* address of the sequence's first row */
    struct state previous;  /* the row before */
    bool in_sequence, found;
};

/* A row says where the code up to the next row comes from. A sequence that starts at 0 belongs to a function
 * that the linker dropped: the Code section starts with the number of functions. */
static void row(struct search *s, const struct state *now, bool ends) {
    if (!s->in_sequence) s->first = now->address;
    if (s->in_sequence && s->first && s->wanted >= s->previous.address && s->wanted < now->address)
        s->found = true;
    if (s->found) return;
    s->previous = *now;
    s->in_sequence = !ends;
}

static void extended(struct dw_cursor *c, struct state *now, struct search *s) {
    uint64_t size = dw_uleb(c), start = c->at;
    if (c->failed || !size || size > c->end - c->at) {
        dw_fail(c);
        return;
    }
    switch (dw_fixed(c, 1)) {
    case 1:
        row(s, now, true);
        *now = (struct state){.file = 1, .line = 1};
        break;
    case 2: now->address = size <= 9 ? dw_fixed(c, (unsigned)size - 1) : 0; break;
    default: break; /* define_file, set_discriminator, a vendor's */
    }
    if (c->failed) return;
    c->at = start + size;
}

static void standard(struct dw_cursor *c, const struct header *h, uint8_t opcode, struct state *now,
                     struct search *s) {
    switch (opcode) {
    case 1: row(s, now, false); break;
    case 2: now->address += dw_uleb(c) * h->min_length; break;
    case 3: now->line += (uint32_t)dw_sleb(c); break;
    case 4: now->file = dw_uleb(c); break;
    case 5: now->column = (uint32_t)dw_uleb(c); break;
    case 8: now->address += (uint64_t)((255 - h->opcode_base) / h->line_range) * h->min_length; break;
    case 9: now->address += dw_fixed(c, 2); break;
    default: /* flags of a row without operands, and what later versions add */
        for (uint8_t n = c->bytes[h->lengths + opcode - 1]; n-- && !c->failed;) dw_uleb(c);
    }
}

static void special(const struct header *h, uint8_t opcode, struct state *now, struct search *s) {
    unsigned adjusted = opcode - h->opcode_base;
    now->address += (uint64_t)(adjusted / h->line_range) * h->min_length;
    now->line += (uint32_t)(h->line_base + (int)(adjusted % h->line_range));
    row(s, now, false);
}

bool dw_line_find(struct bc_debug *d, uint64_t at, uint64_t address, struct dw_row *out, uint64_t *out_next) {
    struct header h;
    struct dw_cursor c = dw_cursor_at(d, DW_LINE, at);
    bool readable = read_header(&c, &h);
    *out_next = h.end > at && h.end < d->sections[DW_LINE].size ? h.end : 0;
    if (!readable) return false;
    c.at = h.program;
    struct state now = {.file = 1, .line = 1};
    struct search s = {.wanted = address};
    while (c.at < c.end && !c.failed && !s.found) {
        uint8_t opcode = (uint8_t)dw_fixed(&c, 1);
        if (opcode >= h.opcode_base)
            special(&h, opcode, &now, &s);
        else if (opcode)
            standard(&c, &h, opcode, &now, &s);
        else
            extended(&c, &now, &s);
    }
    if (!s.found) return false;
    *out = (struct dw_row){s.previous.file, s.previous.line, s.previous.column};
    return true;
}

/* ---- file names ---- */

/* Versions 2 to 4: directories and files from 1; directory 0 is the compiler's. */
static void old_file(struct dw_cursor *c, uint64_t index, struct bc_name *out_directory,
                     struct bc_name *out_file) {
    uint64_t directories = c->at;
    while (dw_string(c).size) continue;
    struct bc_name name = dw_string(c);
    uint64_t directory = dw_uleb(c);
    for (uint64_t i = 1; i < index && name.size; i++) {
        dw_uleb(c); /* time, size */
        dw_uleb(c);
        name = dw_string(c);
        directory = dw_uleb(c);
    }
    if (c->failed || !name.size || !index) return;
    *out_file = name;
    c->at = directories;
    for (uint64_t i = 1; i <= directory; i++) {
        name = dw_string(c);
        if (!name.size) return;
    }
    if (directory) *out_directory = name;
}

#define CONTENT_PATH      1
#define CONTENT_DIRECTORY 2

/* One entry of a version 5 table, whose fields are described at `formats`. */
static void read_path(struct dw_cursor *c, const struct header *h, uint64_t formats, uint64_t n_formats,
                      struct dw_value *out_path, uint64_t *out_directory) {
    struct dw_cursor f = *c;
    f.at = formats;
    for (uint64_t i = 0; i < n_formats && !c->failed; i++) {
        struct dw_value v;
        uint64_t content = dw_uleb(&f), form = dw_uleb(&f);
        dw_value_read(c, &h->unit, form, 0, &v);
        if (content == CONTENT_PATH) *out_path = v;
        if (content == CONTENT_DIRECTORY && v.class == DW_CONSTANT) *out_directory = v.number;
    }
    if (f.failed) dw_fail(c);
}

/* Entry `index` of the table at the cursor, which moves behind the table unless the entry was found. */
static bool table_entry(struct dw_cursor *c, const struct header *h, uint64_t index,
                        struct dw_value *out_path, uint64_t *out_directory) {
    uint64_t n_formats = dw_fixed(c, 1), formats = c->at;
    for (uint64_t i = 0; i < n_formats; i++) {
        dw_uleb(c);
        dw_uleb(c);
    }
    uint64_t n = dw_uleb(c);
    for (uint64_t i = 0; i < n && !c->failed && dw_pay(c, 1); i++) {
        *out_path = (struct dw_value){.class = DW_ABSENT};
        *out_directory = 0;
        read_path(c, h, formats, n_formats, out_path, out_directory);
        if (i == index) return !c->failed;
    }
    return false;
}

/* Version 5: both tables from 0; directory 0 is the compiler's. */
static void new_file(struct dw_cursor *c, const struct header *h, uint64_t index,
                     struct bc_name *out_directory, struct bc_name *out_file) {
    struct dw_value path;
    uint64_t directory = 0, ignored;
    struct dw_cursor directories = *c;
    table_entry(c, h, UINT64_MAX, &path, &ignored);
    if (!table_entry(c, h, index, &path, &directory)) return;
    *out_file = dw_text(c->d, &h->unit, &path);
    if (directory && table_entry(&directories, h, directory, &path, &ignored))
        *out_directory = dw_text(c->d, &h->unit, &path);
}

void dw_line_file(struct bc_debug *d, uint64_t at, uint64_t index, struct bc_name *out_directory,
                  struct bc_name *out_file) {
    struct header h;
    struct dw_cursor c = dw_cursor_at(d, DW_LINE, at);
    *out_directory = *out_file = (struct bc_name){NULL, 0};
    if (!read_header(&c, &h)) return;
    c.at = h.tables;
    c.end = h.program; /* a table does not run into the program */
    if (c.at > c.end) return;
    if (h.unit.version < 5)
        old_file(&c, index, out_directory, out_file);
    else
        new_file(&c, &h, index, out_directory, out_file);
}
