/* bytecode/text/print_names.c: identifiers. A name becomes one where it is unique in its space and names
 * something that is there; when all of the section can be made again from them, the text needs no other copy
 * of it. */
#include "bytecode/text/print.h"

/* ---- text ---- */

static bool plain_id(struct bc_name name) {
    for (uint32_t i = 0; i < name.size; i++) {
        uint8_t c = (uint8_t)name.bytes[i];
        if (c <= 0x20 || c >= 0x7F || strchr("\"(),;[]{}", c)) return false;
    }
    return name.size != 0;
}

/* C0, DEL, C1 (which drive terminals) and what delimits. Of a C1 character both bytes have to go. */
static bool needs_escape(const uint8_t *p, size_t i, size_t n, bool text) {
    if (p[i] < 0x20 || p[i] == 0x7F || p[i] == '"' || p[i] == '\\' || (!text && p[i] >= 0x80)) return true;
    return (p[i] == 0xC2 && i + 1 < n && p[i + 1] < 0xA0) || (p[i] < 0xA0 && i && p[i - 1] == 0xC2);
}

void print_string(struct bc_buf *out, const void *bytes, size_t n, bool text) {
    static const char hex[] = "0123456789abcdef";
    const uint8_t *p = bytes;
    bc_buf_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (needs_escape(p, i, n, text))
            bc_buf_bytes(out, (const char[]){'\\', hex[p[i] >> 4], hex[p[i] & 15]}, 3);
        else
            bc_buf_u8(out, p[i]);
    }
    bc_buf_u8(out, '"');
}

void print_id(struct bc_buf *out, struct bc_name name) {
    bc_buf_u8(out, '$');
    if (plain_id(name))
        bc_buf_bytes(out, name.bytes, name.size);
    else
        print_string(out, name.bytes, name.size, true);
}

struct bc_name print_name(const struct printer *p, enum bc_name_space space, uint32_t index) {
    const struct bc_name_entry *e = p->names ? bc_name_map_find(&p->names->maps[space], index) : NULL;
    return e ? (struct bc_name){e->bytes, e->size} : (struct bc_name){0};
}

void print_index(struct printer *p, enum bc_name_space space, uint32_t index) {
    struct bc_name name = print_name(p, space, index);
    if (name.size)
        print_id(p->out, name);
    else
        bc_buf_text(p->out, "%u", index);
}

void print_definition(struct printer *p, struct bc_name name, uint32_t index) {
    if (name.size) {
        bc_buf_u8(p->out, ' ');
        print_id(p->out, name);
    }
    bc_buf_text(p->out, " (;%u;)", index);
}

/* ---- which names can be identifiers ---- */

struct id_set { /* open addressing; entries of one map */
    const struct bc_name_entry **slots;
    size_t n_slots;
};

/* False when an equal name is there already. */
static bool add_id(struct id_set *set, const struct bc_name_entry *e) {
    uint64_t h = bc_hash_bytes(bc_hash_seed(set), e->bytes, e->size);
    for (;; h++) {
        const struct bc_name_entry **slot = &set->slots[h & (set->n_slots - 1)];
        if (!*slot) {
            *slot = e;
            return true;
        }
        if ((*slot)->size == e->size && !memcmp((*slot)->bytes, e->bytes, e->size)) return false;
    }
}

/* Keeps entries below `limit` that are not empty, first of their index, and, where `unique`, first of their
 * name. */
static void keep_ids(struct printer *p, struct bc_name_map *map, uint32_t limit, bool unique) {
    struct id_set set = {.n_slots = 16};
    uint32_t kept = 0;
    while (set.n_slots < 2 * (size_t)map->n_entries) set.n_slots *= 2;
    set.slots = unique ? atoll_new(p->out->alloc, set.n_slots, sizeof *set.slots) : NULL;
    if (unique && !set.slots) {
        print_nomem(p);
        return;
    }
    for (uint32_t i = 0; i < map->n_entries; i++) {
        struct bc_name_entry e = map->entries[i];
        if (!e.size || e.index >= limit || (kept && map->entries[kept - 1].index == e.index)) continue;
        map->entries[kept] = e;
        if (!unique || add_id(&set, &map->entries[kept])) kept++;
    }
    map->n_entries = kept;
    atoll_free(p->out->alloc, set.slots, set.n_slots * sizeof *set.slots);
}

static uint32_t count_labels(struct printer *p, const struct bc_func *f) {
    uint32_t n = 0, at = f->code_offset, end = f->body.offset + f->body.size;
    struct bc_instr in;
    for (; at < end && !bc_decode_instr(p->m, at, end, &in, NULL); at = in.next)
        n += in.op == BC_BLOCK || in.op == BC_LOOP || in.op == BC_IF || in.op == BC_TRY ||
             in.op == BC_TRY_TABLE;
    return n;
}

static void keep_groups(struct printer *p) {
    const struct bc_module *m = p->m;
    for (uint32_t i = 0; i < p->names->locals.n_groups; i++) {
        struct bc_name_group *g = &p->names->locals.groups[i];
        bool own = g->outer >= m->n_imported_funcs && g->outer < m->n_funcs;
        uint32_t limit = own ? m->types[m->funcs[g->outer].type].n_params + m->funcs[g->outer].n_locals : 0;
        keep_ids(p, &g->map, limit, true);
    }
    for (uint32_t i = 0; i < p->names->labels.n_groups; i++) {
        struct bc_name_group *g = &p->names->labels.groups[i];
        bool own = g->outer >= m->n_imported_funcs && g->outer < m->n_funcs;
        keep_ids(p, &g->map, own ? count_labels(p, &m->funcs[g->outer]) : 0, false);
    }
    for (uint32_t i = 0; i < p->names->fields.n_groups; i++) {
        struct bc_name_group *g = &p->names->fields.groups[i];
        bool is_struct = g->outer < m->n_types && m->types[g->outer].form == BC_TYPE_STRUCT;
        keep_ids(p, &g->map, is_struct ? m->types[g->outer].n_fields : 0, true);
    }
}

static void keep_maps(struct printer *p) {
    const struct bc_module *m = p->m;
    const uint32_t limits[BC_NAMES_MAX_SPACE + 1] = {
        [BC_NAMES_FUNC] = m->n_funcs,      [BC_NAMES_TYPE] = m->n_types,     [BC_NAMES_TABLE] = m->n_tables,
        [BC_NAMES_MEMORY] = m->n_memories, [BC_NAMES_GLOBAL] = m->n_globals, [BC_NAMES_ELEM] = m->n_elems,
        [BC_NAMES_DATA] = m->n_datas,      [BC_NAMES_TAG] = m->n_tags};
    for (unsigned i = 0; i <= BC_NAMES_MAX_SPACE; i++) keep_ids(p, &p->names->maps[i], limits[i], true);
}

/* ---- would the assembler make the same section from them? ---- */

static void put_map(struct bc_buf *out, const struct bc_name_map *map) {
    bc_buf_u32(out, map->n_entries);
    for (uint32_t i = 0; i < map->n_entries; i++) {
        bc_buf_u32(out, map->entries[i].index);
        bc_put_name(out, (struct bc_name){map->entries[i].bytes, map->entries[i].size});
    }
}

static void put_groups(struct bc_buf *out, const struct bc_name_groups *groups) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < groups->n_groups; i++) n += groups->groups[i].map.n_entries != 0;
    if (!n) return;
    bc_buf_u32(out, n);
    for (uint32_t i = 0; i < groups->n_groups; i++) {
        if (!groups->groups[i].map.n_entries) continue;
        bc_buf_u32(out, groups->groups[i].outer);
        put_map(out, &groups->groups[i].map);
    }
}

static void put_subsection(struct bc_buf *out, uint8_t id, struct bc_buf *content) {
    if (content->size) {
        bc_buf_u8(out, id);
        bc_buf_u32(out, (uint32_t)content->size);
        bc_buf_bytes(out, content->data, content->size);
    }
    out->failed |= content->failed;
    content->size = 0;
}

static void put_section(const struct bc_names *n, struct bc_buf *out) {
    struct bc_buf content;
    bc_buf_init(&content, out->alloc);
    if (n->module.size) bc_put_name(&content, n->module);
    put_subsection(out, BC_NAMES_MODULE, &content);
    for (unsigned id = 1; id <= BC_NAMES_MAX_SPACE; id++) {
        const struct bc_name_groups *groups = id == BC_NAMES_LOCAL   ? &n->locals
                                              : id == BC_NAMES_LABEL ? &n->labels
                                              : id == BC_NAMES_FIELD ? &n->fields
                                                                     : NULL;
        if (groups)
            put_groups(&content, groups);
        else if (n->maps[id].n_entries)
            put_map(&content, &n->maps[id]);
        put_subsection(out, (uint8_t)id, &content);
    }
    bc_buf_fini(&content);
}

static bool is_name_section(const struct bc_custom *c) {
    return c->name.size == 4 && !memcmp(c->name.bytes, "name", 4);
}

/* The one name section, behind all known sections, with the bytes that the identifiers stand for. */
static bool reproducible(struct printer *p) {
    const struct bc_custom *section = p->names->custom;
    uint8_t last = 0;
    if (!section) return false;
    for (uint32_t i = 0; i < p->m->n_customs; i++) {
        if (&p->m->customs[i] != section && is_name_section(&p->m->customs[i])) return false;
        last = p->m->customs[i].after; /* ascending in the file */
    }
    for (const struct bc_custom *c = section; c < p->m->customs + p->m->n_customs; c++)
        if (c->after != last) return false;
    if (section->payload.offset + section->payload.size < p->m->n_bytes) {
        /* a known section behind the last custom section is one behind this, too */
        const struct bc_custom *end = &p->m->customs[p->m->n_customs - 1];
        if (end->payload.offset + end->payload.size < p->m->n_bytes) return false;
    }
    struct bc_buf again;
    bc_buf_init(&again, p->out->alloc);
    put_section(p->names, &again);
    if (again.failed) print_nomem(p);
    bool same = again.size == section->payload.size &&
                (!again.size || !memcmp(again.data, p->m->bytes + section->payload.offset, again.size));
    bc_buf_fini(&again);
    return same;
}

void print_names_init(struct printer *p) {
    if (p->o.no_names) return;
    p->names = bc_names_read(p->m, &p->arena);
    if (!p->names) {
        print_nomem(p);
        return;
    }
    keep_maps(p);
    keep_groups(p);
    p->makes_names = print_ok(p) && reproducible(p);
}
