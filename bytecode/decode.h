/* bytecode/decode.h: what the files of the binary decoder share. */
#ifndef ATOLL_BYTECODE_DECODE_H
#define ATOLL_BYTECODE_DECODE_H

#include "bytecode/internal.h"
#include "bytecode/reader.h"

enum bc_section {
    BC_SECTION_CUSTOM,
    BC_SECTION_TYPE,
    BC_SECTION_IMPORT,
    BC_SECTION_FUNCTION,
    BC_SECTION_TABLE,
    BC_SECTION_MEMORY,
    BC_SECTION_GLOBAL,
    BC_SECTION_EXPORT,
    BC_SECTION_START,
    BC_SECTION_ELEMENT,
    BC_SECTION_CODE,
    BC_SECTION_DATA,
    BC_SECTION_DATA_COUNT,
    BC_SECTION_TAG,
    BC_SECTION_COUNT
};

struct decoder {
    struct bc_module *m;
    struct bc_reader r; /* the current section */
    bc_features features;
    uint8_t order, last_id; /* position of the last known section in the order of sections; its id */
    bool has_code;
    uint32_t data_count;
    size_t customs_capacity; /* of the growing array of custom sections */
    struct bc_custom *customs;
    uint32_t n_customs;
};

/* Zeroed arena memory for the module; NULL and E_NOMEM in the reader's status. */
void *bc_decode_new(struct decoder *d, size_t n_items, size_t item_size);
/* An arena array of n_new items whose first n_old are `old`: an index space that grows behind its imports. */
void *bc_decode_extend(struct decoder *d, const void *old, uint32_t n_old, uint32_t n_new, size_t item_size);
/* Delimits a constant expression and notes the functions it names as declared. */
struct bc_range bc_decode_expr(struct decoder *d);
struct bc_limits bc_decode_limits(struct decoder *d, bool is_memory);
void bc_decode_declare(struct decoder *d, uint32_t func);
bool bc_decode_mutability(struct decoder *d);

/* One function a section; faults are in d->r.status. */
void bc_decode_types(struct decoder *d);
void bc_decode_imports(struct decoder *d);
void bc_decode_funcs(struct decoder *d);
void bc_decode_tables(struct decoder *d);
void bc_decode_memories(struct decoder *d);
void bc_decode_tags(struct decoder *d);
void bc_decode_globals(struct decoder *d);
void bc_decode_exports(struct decoder *d);
void bc_decode_elems(struct decoder *d);
void bc_decode_code(struct decoder *d);
void bc_decode_datas(struct decoder *d);

/* Canonical indices, subtype validity of all types. offsets[i] = byte offset of type i. */
void bc_types_check(struct decoder *d, const uint32_t *offsets, uint32_t n_groups);

#endif
