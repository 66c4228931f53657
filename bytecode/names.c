/* bytecode/names.c: the custom section "name", which is a hint and never an error. Source: core spec, "Custom
 * Sections / Name Section", and the extended name section proposal. */
#include "bytecode/names.h"
#include "bytecode/reader.h"

/* ---- order ---- */

/* Maps have to ascend; where a file's do not, a heap sort puts them in order without memory of its own. The
 * first of two entries of one index stays first, because names stand in the file in that order. */
static bool entry_before(const struct bc_name_entry *a, const struct bc_name_entry *b) {
    return a->index != b->index ? a->index < b->index : a->bytes < b->bytes;
}

static void sift_entry(struct bc_name_entry *e, uint32_t root, uint32_t n) {
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && entry_before(&e[child], &e[child + 1])) child++;
        if (!entry_before(&e[root], &e[child])) return;
        struct bc_name_entry t = e[root];
        e[root] = e[child];
        e[child] = t;
    }
}

static void sort_map(struct bc_name_map *map) {
    struct bc_name_entry *e = map->entries;
    uint32_t n = map->n_entries, i = 1;
    while (i < n && !entry_before(&e[i], &e[i - 1])) i++;
    if (i >= n) return;
    for (i = n / 2; i-- > 0;) sift_entry(e, i, n);
    for (i = n; i-- > 1;) {
        struct bc_name_entry t = e[0];
        e[0] = e[i];
        e[i] = t;
        sift_entry(e, 0, i);
    }
}

/* Drops the groups that do not ascend: the file is at fault, and a look-up by halves needs the order. */
static void keep_ascending(struct bc_name_groups *g) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->n_groups; i++)
        if (!kept || g->groups[i].outer > g->groups[kept - 1].outer) g->groups[kept++] = g->groups[i];
    g->n_groups = kept;
}

/* ---- reading ---- */

/* What was read before a fault stays. Returns false when out of memory. */
static bool read_map(struct bc_reader *r, struct bc_arena *arena, struct bc_name_map *out) {
    uint32_t n = bc_reader_count(r, 2, UINT32_MAX, "names");
    if (r->status || !n) return true;
    out->entries = bc_arena_new(arena, n, sizeof *out->entries);
    if (!out->entries) return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = bc_reader_u32(r);
        struct bc_name name = bc_reader_name(r);
        if (r->status) break;
        out->entries[out->n_entries++] = (struct bc_name_entry){name.bytes, name.size, index};
    }
    sort_map(out);
    return true;
}

static bool read_groups(struct bc_reader *r, struct bc_arena *arena, struct bc_name_groups *out) {
    uint32_t n = bc_reader_count(r, 2, UINT32_MAX, "names");
    if (r->status || !n) return true;
    out->groups = bc_arena_new(arena, n, sizeof *out->groups);
    if (!out->groups) return false;
    for (uint32_t i = 0; i < n && !r->status; i++) {
        struct bc_name_group *group = &out->groups[i];
        group->outer = bc_reader_u32(r);
        if (r->status) break;
        out->n_groups++;
        if (!read_map(r, arena, &group->map)) return false;
    }
    keep_ascending(out);
    return true;
}

static bool read_subsection(struct bc_reader *r, uint8_t id, struct bc_arena *arena, struct bc_names *names) {
    switch (id) {
    case BC_NAMES_MODULE:
        names->module = bc_reader_name(r);
        if (r->status) names->module = (struct bc_name){0};
        return true;
    case BC_NAMES_LOCAL: return names->locals.groups || read_groups(r, arena, &names->locals);
    case BC_NAMES_LABEL: return names->labels.groups || read_groups(r, arena, &names->labels);
    case BC_NAMES_FIELD: return names->fields.groups || read_groups(r, arena, &names->fields);
    default:
        if (id > BC_NAMES_MAX_SPACE || names->maps[id].entries) return true;
        return read_map(r, arena, &names->maps[id]);
    }
}

static bool read_payload(const struct bc_module *m, struct bc_arena *arena, struct bc_names *names) {
    struct bc_range payload = names->custom->payload;
    struct bc_reader r = {.bytes = m->bytes, .at = payload.offset, .end = payload.offset + payload.size};
    while (!r.status && r.at < r.end) {
        uint8_t id = bc_reader_u8(&r);
        struct bc_range range = bc_reader_range(&r);
        if (r.status) break;
        struct bc_reader sub = {.bytes = m->bytes, .at = range.offset, .end = range.offset + range.size};
        if (!read_subsection(&sub, id, arena, names)) return false;
        r.status = sub.status;
    }
    return true;
}

struct bc_names *bc_names_read(const struct bc_module *m, struct bc_arena *arena) {
    struct bc_names *names = bc_arena_new(arena, 1, sizeof *names);
    if (!names) return NULL;
    for (uint32_t i = 0; i < m->n_customs && !names->custom; i++) {
        struct bc_name name = m->customs[i].name;
        if (name.size == 4 && memcmp(name.bytes, "name", 4) == 0) names->custom = &m->customs[i];
    }
    if (names->custom && !read_payload(m, arena, names)) return NULL;
    return names;
}

enum atoll_status bc_names_load(struct bc_module *m) {
    if (m->names) return ATOLL_OK;
    m->names = bc_names_read(m, &m->arena);
    return m->names ? ATOLL_OK : ATOLL_E_NOMEM;
}

/* ---- looking up ---- */

const struct bc_name_entry *bc_name_map_find(const struct bc_name_map *map, uint32_t index) {
    uint32_t low = 0, high = map->n_entries;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (map->entries[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->n_entries && map->entries[low].index == index ? &map->entries[low] : NULL;
}

struct bc_name_map bc_name_groups_find(const struct bc_name_groups *g, uint32_t outer) {
    uint32_t low = 0, high = g->n_groups;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->groups[middle].outer < outer)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < g->n_groups && g->groups[low].outer == outer) return g->groups[low].map;
    return (struct bc_name_map){0};
}

static struct bc_name name_in(struct bc_name_map map, uint32_t index) {
    const struct bc_name_entry *e = bc_name_map_find(&map, index);
    return e && e->size ? (struct bc_name){e->bytes, e->size} : (struct bc_name){0};
}

struct bc_name bc_name_module(const struct bc_module *m) {
    return m->names ? m->names->module : (struct bc_name){0};
}

struct bc_name bc_name_of(const struct bc_module *m, enum bc_name_space space, uint32_t index) {
    if (!m->names || (unsigned)space > BC_NAMES_MAX_SPACE) return (struct bc_name){0};
    return name_in(m->names->maps[space], index);
}

struct bc_name bc_name_local(const struct bc_module *m, uint32_t func, uint32_t local) {
    if (!m->names) return (struct bc_name){0};
    return name_in(bc_name_groups_find(&m->names->locals, func), local);
}

struct bc_name bc_name_label(const struct bc_module *m, uint32_t func, uint32_t label) {
    if (!m->names) return (struct bc_name){0};
    return name_in(bc_name_groups_find(&m->names->labels, func), label);
}

struct bc_name bc_name_field(const struct bc_module *m, uint32_t type, uint32_t field) {
    if (!m->names) return (struct bc_name){0};
    return name_in(bc_name_groups_find(&m->names->fields, type), field);
}
