/* bytecode/text/source_map.c: from byte offsets of an assembled module back to lines of its text. */
#include "bytecode/bytecode.h"

void bc_source_map_fini(struct bc_source_map *map, const struct atoll_alloc *alloc) {
    atoll_free(alloc, map->entries, map->capacity * sizeof *map->entries);
    *map = (struct bc_source_map){0};
}

const struct bc_source_map_entry *bc_source_map_find(const struct bc_source_map *map, uint32_t offset) {
    size_t low = 0, high = map->n_entries; /* the first entry behind `offset` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->entries[middle].offset > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low ? &map->entries[low - 1] : NULL;
}

void bc_source_map_place(const struct bc_source_map *map, struct atoll_error *err) {
    if (!map || !err || err->line || err->offset == ATOLL_NO_OFFSET) return;
    const struct bc_source_map_entry *entry =
        err->offset <= UINT32_MAX ? bc_source_map_find(map, (uint32_t)err->offset) : NULL;
    err->offset = ATOLL_NO_OFFSET;
    if (!entry) return;
    err->line = entry->line;
    err->column = entry->column;
}
