/* bytecode/names.h: the name section as the files of this folder see it. */
#ifndef ATOLL_BYTECODE_NAMES_H
#define ATOLL_BYTECODE_NAMES_H

#include "bytecode/internal.h"

#define BC_NAMES_MODULE    0
#define BC_NAMES_LOCAL     2
#define BC_NAMES_LABEL     3
#define BC_NAMES_FIELD     10
#define BC_NAMES_MAX_SPACE 11

struct bc_name_entry {
    const char *bytes;
    uint32_t size, index;
};
/* Names by index, ascending. */
struct bc_name_map {
    struct bc_name_entry *entries;
    uint32_t n_entries;
};
/* Maps by the index of what encloses them: function or type, ascending. */
struct bc_name_group {
    uint32_t outer;
    struct bc_name_map map;
};
struct bc_name_groups {
    struct bc_name_group *groups;
    uint32_t n_groups;
};

struct bc_names {
    const struct bc_custom *custom; /* where they were read from; NULL = no name section */
    struct bc_name module;
    struct bc_name_map maps[BC_NAMES_MAX_SPACE + 1]; /* by subsection id */
    struct bc_name_groups locals, labels, fields;
};

/* Reads the first name section of `m` into memory of `arena`; NULL = out of memory. */
struct bc_names *bc_names_read(const struct bc_module *m, struct bc_arena *arena);
/* The entry of `index`, or NULL. */
const struct bc_name_entry *bc_name_map_find(const struct bc_name_map *map, uint32_t index);
/* The map of `outer`; an empty one where there is none. */
struct bc_name_map bc_name_groups_find(const struct bc_name_groups *groups, uint32_t outer);

#endif
