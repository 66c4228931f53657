/* bytecode/dwarf/info.c: units and their entries. Source: DWARF 5, 7.5 "Format of Debugging Information", 3.3
 * "Subroutine and Entry Point Entries". */
#include "bytecode/dwarf/dwarf.h"

#define TAG_INLINED    0x1D
#define TAG_SUBPROGRAM 0x2E

#define FORM_IMPLICIT_CONST 0x21

/* ---- abbreviations ---- */

static bool add_abbrev(struct bc_debug *d, const struct dw_abbrev *a) {
    void *p = d->abbrevs;
    if (atoll_grow(d->alloc, &p, &d->cap_abbrevs, d->n_abbrevs + 1, sizeof *a)) return false;
    d->abbrevs = p;
    d->abbrevs[d->n_abbrevs++] = *a;
    return true;
}

/* One attribute of an abbreviation: false behind the last. */
static bool next_spec(struct dw_cursor *c, uint64_t *attribute, uint64_t *form, int64_t *implicit) {
    *attribute = dw_uleb(c);
    *form = dw_uleb(c);
    *implicit = *form == FORM_IMPLICIT_CONST ? dw_sleb(c) : 0;
    return !c->failed && (*attribute || *form);
}

/* Reads the table at byte `at`, unless it is the one already there. What precedes a fault stays. */
static void load_abbrevs(struct bc_debug *d, uint64_t at) {
    if (d->abbrevs_at == at) return;
    struct dw_cursor c = dw_cursor_at(d, DW_ABBREV, at);
    d->n_abbrevs = 0;
    d->abbrevs_at = at;
    for (;;) {
        uint64_t attribute, form;
        int64_t implicit;
        struct dw_abbrev a = {.code = dw_uleb(&c)};
        if (c.failed || !a.code) return;
        a.tag = (uint32_t)dw_uleb(&c);
        a.children = dw_fixed(&c, 1);
        a.spec = (uint32_t)c.at;
        while (next_spec(&c, &attribute, &form, &implicit)) continue;
        if (c.failed || !a.tag || !add_abbrev(d, &a)) return;
    }
}

/* Compilers count codes from 1. */
static const struct dw_abbrev *find_abbrev(struct dw_cursor *c, uint64_t code) {
    struct bc_debug *d = c->d;
    if (code - 1 < d->n_abbrevs && d->abbrevs[code - 1].code == code) return d->abbrevs + (code - 1);
    for (size_t i = 0; i < d->n_abbrevs && dw_pay(c, 1); i++)
        if (d->abbrevs[i].code == code) return d->abbrevs + i;
    return NULL;
}

/* ---- entries ---- */

static int kept(uint64_t attribute) {
    static const uint8_t index_of[] = {
#define X(id, code) [code] = DW_AT_##id + 1,
        DW_ATTRIBUTE_LIST(X)
#undef X
    };
    return attribute < sizeof index_of ? index_of[attribute] - 1 : -1;
}

bool dw_entry_read(struct dw_cursor *c, const struct dw_unit *unit, struct dw_entry *out) {
    out->tag = 0;
    out->children = false;
    uint64_t code = dw_uleb(c);
    if (c->failed || !code) return !c->failed;
    load_abbrevs(c->d, unit->abbrevs_at);
    const struct dw_abbrev *a = find_abbrev(c, code);
    if (!a) return false;
    for (int i = 0; i < DW_AT_COUNT; i++) out->attributes[i].class = DW_ABSENT;
    out->tag = a->tag;
    out->children = a->children;
    struct dw_cursor spec = dw_cursor_at(c->d, DW_ABBREV, a->spec);
    uint64_t attribute, form;
    int64_t implicit;
    while (next_spec(&spec, &attribute, &form, &implicit) && !c->failed) {
        struct dw_value v;
        dw_value_read(c, unit, form, implicit, &v);
        if (kept(attribute) >= 0) out->attributes[kept(attribute)] = v;
    }
    return !c->failed && !spec.failed;
}

bool dw_entry_covers(struct bc_debug *d, const struct dw_unit *unit, const struct dw_entry *entry,
                     uint64_t address, bool *out_known) {
    const struct dw_value *low = &entry->attributes[DW_AT_LOW_PC], *high = &entry->attributes[DW_AT_HIGH_PC];
    const struct dw_value *ranges = &entry->attributes[DW_AT_RANGES];
    uint64_t from, to;
    *out_known = true;
    if (ranges->class == DW_CONSTANT || ranges->class == DW_RANGES_X)
        return dw_ranges_cover(d, unit, ranges, address);
    *out_known = high->class != DW_ABSENT && dw_address(d, unit, low, &from);
    if (!*out_known || address < from) return false;
    if (high->class == DW_CONSTANT) return address - from < high->number; /* a size */
    return dw_address(d, unit, high, &to) && address < to;
}

/* ---- units ---- */

enum { UNIT_COMPILE = 1, UNIT_TYPE, UNIT_PARTIAL, UNIT_SKELETON, UNIT_SPLIT_COMPILE, UNIT_SPLIT_TYPE };

static bool read_unit(struct dw_cursor *c, struct dw_unit *u) {
    u->start = c->at;
    u->end = dw_unit_length(c, &u->offset_size);
    u->version = (uint16_t)dw_fixed(c, 2);
    uint8_t type = UNIT_COMPILE;
    if (u->version >= 5) {
        type = (uint8_t)dw_fixed(c, 1);
        u->address_size = (uint8_t)dw_fixed(c, 1);
        u->abbrevs_at = dw_fixed(c, u->offset_size);
    } else {
        u->abbrevs_at = dw_fixed(c, u->offset_size);
        u->address_size = (uint8_t)dw_fixed(c, 1);
    }
    if (type == UNIT_SKELETON || type == UNIT_SPLIT_COMPILE) dw_skip(c, 8); /* its identity */
    u->first_entry = c->at;
    bool has_code = type != UNIT_TYPE && type != UNIT_SPLIT_TYPE && u->version >= 2 && u->version <= 5;
    return has_code && !c->failed && c->at < u->end && u->address_size >= 1 && u->address_size <= 8;
}

bool dw_unit_next(struct dw_cursor *c, struct dw_unit *out) {
    while (c->at < c->end && !c->failed) {
        *out = (struct dw_unit){0};
        bool usable = read_unit(c, out);
        if (c->failed || out->end <= out->start) return false;
        c->at = out->end;
        if (usable) return true;
    }
    return false;
}

static struct dw_cursor unit_cursor(struct bc_debug *d, const struct dw_unit *unit, uint64_t at) {
    struct dw_cursor c = dw_cursor_at(d, DW_INFO, at);
    if (!c.failed) c.end = unit->end;
    return c;
}

bool dw_unit_root(struct bc_debug *d, struct dw_unit *unit, struct dw_entry *out) {
    struct dw_cursor c = unit_cursor(d, unit, unit->first_entry);
    if (!dw_entry_read(&c, unit, out) || !out->tag) return false;
    const struct dw_value *a = out->attributes;
    unit->str_offsets_base = a[DW_AT_STR_OFFSETS_BASE].number;
    unit->addr_base = a[DW_AT_ADDR_BASE].number;
    unit->rnglists_base = a[DW_AT_RNGLISTS_BASE].number;
    if (!dw_address(d, unit, &a[DW_AT_LOW_PC], &unit->low_pc)) unit->low_pc = 0;
    return true;
}

/* ---- functions ---- */

/* The unit that holds byte `at` of .debug_info: mostly the one at hand. */
static bool unit_holding(struct bc_debug *d, uint64_t at, struct dw_unit *unit) {
    if (at >= unit->first_entry && at < unit->end) return true;
    struct dw_cursor c = dw_cursor_at(d, DW_INFO, 0);
    while (dw_unit_next(&c, unit)) {
        struct dw_entry root;
        if (at >= unit->first_entry && at < unit->end) return dw_unit_root(d, unit, &root);
    }
    return false;
}

#define NAME_HOPS 4 /* inlined -> abstract -> declaration, and one to spare */

/* An entry's own name, or that of what it is an instance of. */
static struct bc_name name_of(struct bc_debug *d, struct dw_unit unit, const struct dw_entry *entry) {
    struct dw_entry e = *entry;
    for (int hop = 0; hop < NAME_HOPS; hop++) {
        if (e.attributes[DW_AT_NAME].class != DW_ABSENT) return dw_text(d, &unit, &e.attributes[DW_AT_NAME]);
        const struct dw_value *origin = &e.attributes[DW_AT_ABSTRACT_ORIGIN];
        if (origin->class != DW_ENTRY) origin = &e.attributes[DW_AT_SPECIFICATION];
        uint64_t at = origin->number;
        if (origin->class != DW_ENTRY || !unit_holding(d, at, &unit)) break;
        struct dw_cursor c = unit_cursor(d, &unit, at);
        if (!dw_entry_read(&c, &unit, &e) || !e.tag) break;
    }
    return (struct bc_name){NULL, 0};
}

static uint32_t number_of(const struct dw_entry *e, enum dw_attribute attribute) {
    const struct dw_value *v = &e->attributes[attribute];
    return v->class == DW_CONSTANT && v->number <= UINT32_MAX ? (uint32_t)v->number : 0;
}

/* A function that the linker dropped starts at 0. */
static bool is_dropped(const struct dw_entry *e) {
    return e->attributes[DW_AT_LOW_PC].class == DW_ADDRESS && e->attributes[DW_AT_LOW_PC].number == 0 &&
           e->attributes[DW_AT_HIGH_PC].class != DW_ABSENT;
}

uint32_t dw_chain(struct bc_debug *d, const struct dw_unit *unit, uint64_t address,
                  struct dw_call chain[DW_CHAIN_MAX]) {
    struct dw_cursor c = unit_cursor(d, unit, unit->first_entry);
    uint32_t n = 0;
    uint64_t depth = 0, inside = 0; /* depth of the entries below the newest member of the chain */
    struct dw_entry e;
    while (c.at < c.end && dw_entry_read(&c, unit, &e)) {
        if (!e.tag && (!depth || (--depth < inside && n))) break; /* its entries are over */
        if (!e.tag) continue;
        bool known, function = e.tag == (n ? TAG_INLINED : TAG_SUBPROGRAM);
        bool member =
            function && n < DW_CHAIN_MAX && !is_dropped(&e) && dw_entry_covers(d, unit, &e, address, &known);
        if (e.children) depth++;
        if (!member) continue;
        chain[n] = (struct dw_call){.name = name_of(d, *unit, &e),
                                    .call_file = number_of(&e, DW_AT_CALL_FILE),
                                    .call_line = number_of(&e, DW_AT_CALL_LINE),
                                    .call_column = number_of(&e, DW_AT_CALL_COLUMN)};
        n++;
        inside = depth;
        if (!e.children) break;
    }
    return n;
}
