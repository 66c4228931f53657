/* bytecode/dwarf/dwarf.h: what the files of this folder share: a reader of debugging sections.
 *
 *   dwarf.c    which unit covers an address, and what it says -> struct bc_source
 *   info.c     units, abbreviations, entries (.debug_info, .debug_abbrev), the chain of inlined functions
 *   form.c     attribute values: numbers, strings, references, ranges
 *   line.c     line programs (.debug_line)
 *
 * Debugging sections are hostile. Every read goes through a cursor that knows its section's end and fails for
 * good at the first byte that is missing; nothing recurses; each step is paid from one account, since offsets
 * in the sections can make a small file ask for any amount of work. A fault means that something stays
 * unknown. Source: DWARF 5 standard, and versions 2 to 4 where they differ; addresses as in "DWARF for
 * WebAssembly": they count from the Code section's payload. */
#ifndef ATOLL_BYTECODE_DWARF_H
#define ATOLL_BYTECODE_DWARF_H

#include "bytecode/bytecode.h"

#define DW_SECTION_LIST(X)                                                                                   \
    X(INFO, ".debug_info")                                                                                   \
    X(ABBREV, ".debug_abbrev")                                                                               \
    X(LINE, ".debug_line")                                                                                   \
    X(STR, ".debug_str")                                                                                     \
    X(LINE_STR, ".debug_line_str")                                                                           \
    X(STR_OFFSETS, ".debug_str_offsets")                                                                     \
    X(ADDR, ".debug_addr")                                                                                   \
    X(RANGES, ".debug_ranges")                                                                               \
    X(RNGLISTS, ".debug_rnglists")
enum dw_section {
#define X(id, name) DW_##id,
    DW_SECTION_LIST(X)
#undef X
        DW_SECTION_COUNT
};

struct dw_abbrev {
    uint64_t code;
    uint32_t tag, spec; /* spec: where its attributes begin in .debug_abbrev */
    bool children;
};

struct bc_debug {
    const struct bc_module *module;
    const struct atoll_alloc *alloc;
    struct bc_range sections[DW_SECTION_COUNT]; /* in the module's bytes */
    uint32_t code_start, code_end;              /* the Code section's payload */
    uint64_t work;                              /* steps left */
    struct dw_abbrev *abbrevs;                  /* the table at abbrevs_at, in the order of the section */
    size_t n_abbrevs, cap_abbrevs;
    uint64_t abbrevs_at; /* UINT64_MAX: none yet */
};

/* ---- cursors (form.c) ---- */

struct dw_cursor {
    struct bc_debug *d;
    const uint8_t *bytes; /* of the section */
    uint64_t at, end;
    bool failed; /* sticky; at == end then */
};
/* At byte `at` of a section, whose size bounds it; failed when it does not reach there. */
struct dw_cursor dw_cursor_at(struct bc_debug *d, enum dw_section section, uint64_t at);
/* Pays for `steps`; false, and the cursor fails, when the account is empty. */
bool dw_pay(struct dw_cursor *c, uint64_t steps);
void dw_fail(struct dw_cursor *c);
uint64_t dw_fixed(struct dw_cursor *c, unsigned n_bytes); /* little-endian, n_bytes <= 8 */
uint64_t dw_uleb(struct dw_cursor *c);
int64_t dw_sleb(struct dw_cursor *c);
void dw_skip(struct dw_cursor *c, uint64_t n_bytes);
/* Up to the terminating zero, which is consumed. */
struct bc_name dw_string(struct dw_cursor *c);
/* The length at a unit's start: returns the unit's end, and the width of offsets in it (4 or 8). */
uint64_t dw_unit_length(struct dw_cursor *c, uint8_t *out_offset_size);

/* ---- units and entries (info.c) ---- */

struct dw_unit {
    uint64_t start, end, first_entry; /* in .debug_info */
    uint64_t abbrevs_at;
    uint16_t version;
    uint8_t offset_size, address_size;
    /* from its root entry */
    uint64_t str_offsets_base, addr_base, rnglists_base, low_pc;
};

/* Attributes that somebody here looks at. */
#define DW_ATTRIBUTE_LIST(X)                                                                                 \
    X(NAME, 0x03)                                                                                            \
    X(STMT_LIST, 0x10)                                                                                       \
    X(LOW_PC, 0x11)                                                                                          \
    X(HIGH_PC, 0x12)                                                                                         \
    X(ABSTRACT_ORIGIN, 0x31)                                                                                 \
    X(SPECIFICATION, 0x47)                                                                                   \
    X(RANGES, 0x55)                                                                                          \
    X(CALL_COLUMN, 0x57)                                                                                     \
    X(CALL_FILE, 0x58)                                                                                       \
    X(CALL_LINE, 0x59)                                                                                       \
    X(STR_OFFSETS_BASE, 0x72)                                                                                \
    X(ADDR_BASE, 0x73)                                                                                       \
    X(RNGLISTS_BASE, 0x74)
enum dw_attribute {
#define X(id, code) DW_AT_##id,
    DW_ATTRIBUTE_LIST(X)
#undef X
        DW_AT_COUNT
};

enum dw_class {
    DW_ABSENT,
    DW_CONSTANT,  /* numbers, flags, offsets into other sections */
    DW_ADDRESS,   /* number = the address */
    DW_ADDRESS_X, /* number = index into .debug_addr */
    DW_TEXT,      /* text */
    DW_TEXT_AT,   /* number = offset into .debug_str */
    DW_LINE_TEXT, /* number = offset into .debug_line_str */
    DW_TEXT_X,    /* number = index into .debug_str_offsets */
    DW_ENTRY,     /* number = offset into .debug_info */
    DW_RANGES_X,  /* number = index into .debug_rnglists */
    DW_UNREAD     /* something else, stepped over */
};
struct dw_value {
    enum dw_class class;
    uint64_t number;
    struct bc_name text;
};
struct dw_entry {
    uint32_t tag; /* 0: the end of a row of siblings */
    bool children;
    struct dw_value attributes[DW_AT_COUNT];
};

/* The unit whose header the cursor stands at; the cursor moves to the next. False: the section is over or
 * broken. */
bool dw_unit_next(struct dw_cursor *c, struct dw_unit *out);
/* The entry at the cursor, which moves behind it; false when it cannot be read. */
bool dw_entry_read(struct dw_cursor *c, const struct dw_unit *unit, struct dw_entry *out);
/* The root entry; what forms depend on goes to *unit. */
bool dw_unit_root(struct bc_debug *d, struct dw_unit *unit, struct dw_entry *out);
/* Whether the entry's code contains the address; *out_known: whether it says where its code is at all. */
bool dw_entry_covers(struct bc_debug *d, const struct dw_unit *unit, const struct dw_entry *entry,
                     uint64_t address, bool *out_known);

#define DW_CHAIN_MAX 32
struct dw_call { /* a function in the chain of those whose code contains an address, outermost first */
    struct bc_name name;
    uint64_t call_file; /* where the one before it calls it; of all but the first */
    uint32_t call_line, call_column;
};
/* Fills chain[]; returns its length. */
uint32_t dw_chain(struct bc_debug *d, const struct dw_unit *unit, uint64_t address,
                  struct dw_call chain[DW_CHAIN_MAX]);

/* ---- attribute values (form.c) ---- */

/* The value at the cursor in a form; `implicit` is the abbreviation's constant. */
void dw_value_read(struct dw_cursor *c, const struct dw_unit *unit, uint64_t form, int64_t implicit,
                   struct dw_value *out);
struct bc_name dw_text(struct bc_debug *d, const struct dw_unit *unit, const struct dw_value *v);
/* An address, direct or by index; false when there is none. */
bool dw_address(struct bc_debug *d, const struct dw_unit *unit, const struct dw_value *v, uint64_t *out);
bool dw_ranges_cover(struct bc_debug *d, const struct dw_unit *unit, const struct dw_value *ranges,
                     uint64_t address);

/* ---- line programs (line.c) ---- */

struct dw_row {
    uint64_t file; /* index in the program's table */
    uint32_t line, column;
};
/* The row for an address in the program at byte `at` of .debug_line. *out_next is where the next program
 * begins, 0 = nothing follows. */
bool dw_line_find(struct bc_debug *d, uint64_t at, uint64_t address, struct dw_row *out, uint64_t *out_next);
/* The name of file `index` of that program, and of its directory unless that is the compiler's own. */
void dw_line_file(struct bc_debug *d, uint64_t at, uint64_t index, struct bc_name *out_directory,
                  struct bc_name *out_file);

#endif
