/* bytecode/text/asm_place.c: where in the text the bytes of each section came from. A section's places are counted
 * from its buffer while it is filled, in ascending order, and from the module's start once the section stands in
 * it. */
#include "bytecode/text/asm.h"

#include <string.h>

void asm_place(struct assembler *a, unsigned section, size_t at, uint32_t token) {
    struct bc_source_map *places = &a->places[section];
    void *p = places->entries;
    if (!a->map || asm_failed(a)) return;
    if (atoll_grow(a->alloc, &p, &places->capacity, places->n_entries + 1, sizeof *places->entries)) {
        asm_nomem(a);
        return;
    }
    places->entries = p;
    const struct text_token *t = &a->t[token];
    places->entries[places->n_entries++] = (struct bc_source_map_entry){(uint32_t)at, t->line, t->column};
}

void asm_place_item(struct assembler *a, unsigned section) {
    asm_place(a, section, a->section[section].size, a->i - 1);
}

void asm_place_instrs(struct assembler *a, unsigned section, size_t at) {
    for (size_t i = 0; i < a->n_marks; i++) asm_place(a, section, at + a->marks[i].at, a->marks[i].token);
}

void asm_move_places(struct assembler *a, unsigned section, size_t from, size_t to, size_t by) {
    for (size_t i = from; i < to; i++) a->places[section].entries[i].offset += (uint32_t)by;
}

void asm_map_section(struct assembler *a, unsigned section, size_t at) {
    struct bc_source_map *places = &a->places[section], *map = a->map;
    if (!map || !places->n_entries || asm_failed(a)) return;
    void *p = map->entries;
    if (atoll_grow(a->alloc, &p, &map->capacity, map->n_entries + places->n_entries, sizeof *map->entries)) {
        asm_nomem(a);
        return;
    }
    map->entries = p;
    asm_move_places(a, section, 0, places->n_entries, at);
    memcpy(map->entries + map->n_entries, places->entries, places->n_entries * sizeof *map->entries);
    map->n_entries += places->n_entries;
}
