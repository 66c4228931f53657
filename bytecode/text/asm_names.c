/* bytecode/text/asm_names.c: identifiers, indices, and the name section made of them. */
#include "bytecode/text/asm.h"
#include "bytecode/reader.h"
#include "bytecode/stress.h"

/* What a quoted string spells, in the assembler's arena. */
static bool spelled(struct assembler *a, const struct text_token *t, const char *quoted, size_t size,
                    struct asm_id *out) {
    struct bc_buf bytes;
    bc_buf_init(&bytes, a->alloc);
    text_string_bytes(quoted, size, &bytes);
    char *copy = asm_new(a, bytes.size, 1);
    if (bytes.failed) asm_nomem(a);
    if (copy && bytes.size) memcpy(copy, bytes.data, bytes.size);
    if (copy && !bc_utf8_valid((const uint8_t *)copy, bytes.size)) asm_fail(a, t, "malformed UTF-8 encoding");
    *out = (struct asm_id){copy, copy ? (uint32_t)bytes.size : 0};
    bc_buf_fini(&bytes);
    return copy != NULL;
}

bool asm_take_id(struct assembler *a, struct asm_id *out) {
    const struct text_token *t = asm_peek(a);
    *out = (struct asm_id){0};
    if (t->kind != TEXT_ID || a->i >= a->limit) return false;
    a->i++;
    if (t->begin[1] != '"') {
        *out = (struct asm_id){t->begin + 1, (uint32_t)t->size - 1};
        return true;
    }
    return spelled(a, t, t->begin + 1, t->size - 1, out);
}

void asm_annotated_name(struct assembler *a, struct asm_id *name) {
    size_t low = 0, high = a->n_annotated;
    if (!a->i) return;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (a->annotated[middle].token < a->i - 1)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == a->n_annotated || a->annotated[low].token != a->i - 1) return;
    const struct text_token *t = &a->annotated[low].string;
    spelled(a, t, t->begin, t->size, name);
}

/* ---- one hash table for all scopes ---- */

static uint64_t scope_of(enum asm_space space, uint32_t scope) { return (uint64_t)space << 32 | scope; }

static struct asm_entry *slot_of(const struct assembler *a, uint64_t scope, struct asm_id id) {
    uint64_t h = bc_hash_bytes(bc_hash_step(bc_hash_seed(a), scope), id.bytes, id.size);
    for (;; h++) {
        struct asm_entry *e = &a->ids[h & (a->id_slots - 1)];
        if (!e->used) return e;
        if (e->scope == scope && e->id.size == id.size && !memcmp(e->id.bytes, id.bytes, id.size)) return e;
    }
}

static bool make_room(struct assembler *a) {
    if (a->id_slots && 2 * (a->n_ids + 1) <= a->id_slots) return true;
    struct asm_entry *old = a->ids;
    uint32_t n_old = a->id_slots;
    uint32_t n_new = n_old ? 2 * n_old : ATOLL_LIMIT(64, 2);
    struct asm_entry *new = asm_new(a, n_new, sizeof *a->ids);
    if (!new) return false;
    a->id_slots = n_new;
    a->ids = new;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i].used) *slot_of(a, old[i].scope, old[i].id) = old[i];
    return true;
}

struct asm_entry *asm_entry_of(struct assembler *a, enum asm_space space, uint32_t scope, struct asm_id id) {
    if (!make_room(a)) return NULL;
    struct asm_entry *e = slot_of(a, scope_of(space, scope), id);
    if (!e->used) {
        *e = (struct asm_entry){scope_of(space, scope), id, BC_NONE, true};
        a->n_ids++;
    }
    return e;
}

static const char *const space_words[] = {"type",         "func",         "table", "memory", "global", "tag",
                                          "elem segment", "data segment", "local", "label",  "field"};

void asm_define(struct assembler *a, enum asm_space space, uint32_t scope, struct asm_id id, uint32_t value) {
    struct asm_id name = id;
    asm_annotated_name(a, &name);
    asm_add_name(a, space, scope, value, name);
    if (!id.bytes || asm_failed(a)) return;
    struct asm_entry *e = asm_entry_of(a, space, scope, id);
    if (!e) return;
    if (e->value != BC_NONE)
        asm_fail(a, &a->t[a->i ? a->i - 1 : 0], "duplicate %s", space_words[space]);
    else
        e->value = value;
}

uint32_t asm_find(const struct assembler *a, enum asm_space space, uint32_t scope, struct asm_id id) {
    if (!a->id_slots) return BC_NONE;
    const struct asm_entry *e = slot_of(a, scope_of(space, scope), id);
    return e->used ? e->value : BC_NONE;
}

bool asm_at_index(const struct assembler *a) {
    return a->i < a->limit && (asm_peek(a)->kind == TEXT_NAT || asm_peek(a)->kind == TEXT_ID);
}

uint32_t asm_index(struct assembler *a, enum asm_space space, uint32_t scope) {
    const struct text_token *t = asm_peek(a);
    struct asm_id id;
    if (t->kind != TEXT_ID) return (uint32_t)asm_nat(a, 32, "i32 constant");
    if (!asm_take_id(a, &id)) return 0;
    uint32_t value = asm_find(a, space, scope, id);
    if (value == BC_NONE)
        asm_fail(a, t, "unknown %s %.*s", space == SPACE_FUNC ? "function" : space_words[space],
                 (int)(t->size < 100 ? t->size : 100), t->begin);
    return value;
}

/* ---- the name section ---- */

void asm_add_name(struct assembler *a, enum asm_space space, uint32_t outer, uint32_t index,
                  struct asm_id id) {
    struct asm_names *n = &a->names[space];
    void *p = n->items;
    if (!id.bytes) return;
    if (atoll_grow(a->alloc, &p, &n->capacity, n->n + 1, sizeof *n->items)) {
        asm_nomem(a);
        return;
    }
    n->items = p;
    n->items[n->n++] = (struct asm_name){outer, index, id};
}

static void put_map(struct bc_buf *out, const struct asm_name *items, size_t n) {
    bc_buf_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        bc_buf_u32(out, items[i].index);
        bc_buf_u32(out, items[i].id.size);
        bc_buf_bytes(out, items[i].id.bytes, items[i].id.size);
    }
}

static size_t run_length(const struct asm_names *n, size_t from) {
    size_t end = from;
    while (end < n->n && n->items[end].outer == n->items[from].outer) end++;
    return end - from;
}

static void put_indirect(struct bc_buf *out, const struct asm_names *n) {
    uint32_t groups = 0;
    for (size_t i = 0; i < n->n; i += run_length(n, i)) groups++;
    bc_buf_u32(out, groups);
    for (size_t i = 0, k; i < n->n; i += k) {
        k = run_length(n, i);
        bc_buf_u32(out, n->items[i].outer);
        put_map(out, n->items + i, k);
    }
}

static void put_subsection(struct bc_buf *out, uint8_t id, struct bc_buf *content) {
    bc_buf_u8(out, id);
    bc_buf_u32(out, (uint32_t)content->size);
    bc_buf_bytes(out, content->data, content->size);
    out->failed |= content->failed;
    content->size = 0;
}

void asm_write_names(struct assembler *a, struct bc_buf *out) {
    static const struct {
        uint8_t id;
        enum asm_space space;
        bool indirect;
    } parts[] = {{1, SPACE_FUNC, false},   {2, SPACE_LOCAL, true},  {3, SPACE_LABEL, true},
                 {4, SPACE_TYPE, false},   {5, SPACE_TABLE, false}, {6, SPACE_MEMORY, false},
                 {7, SPACE_GLOBAL, false}, {8, SPACE_ELEM, false},  {9, SPACE_DATA, false},
                 {10, SPACE_FIELD, true},  {11, SPACE_TAG, false}};
    struct bc_buf content;
    bc_buf_init(&content, a->alloc);
    if (a->module_name.bytes) {
        bc_buf_u32(&content, a->module_name.size);
        bc_buf_bytes(&content, a->module_name.bytes, a->module_name.size);
        put_subsection(out, 0, &content);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const struct asm_names *n = &a->names[parts[i].space];
        if (!n->n) continue;
        if (parts[i].indirect)
            put_indirect(&content, n);
        else
            put_map(&content, n->items, n->n);
        put_subsection(out, parts[i].id, &content);
    }
    bc_buf_fini(&content);
}
