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
