/* runtime/types.c: the engine's canonical types.
 *
 * Two types are equal when their recursion groups are equal member by member, references inside the group by
 * position and references to the outside by identity (core spec, "Type Equivalence"). So a group is spelled
 * as a word string in which inner references are positions and outer ones are canonical pointers; equal
 * strings are equal groups, and a hash table of strings makes every type unique in its engine.
 *
 *   word of a reference or value type:   63            8  7   6        5..4  3     2..0
 *                                       +---------------+---+---------+-----+------+------+
 *                                       | payload       | 0 | mutable | tag | null | kind |
 *                                       +---------------+---+---------+-----+------+------+
 *   tag ABSTRACT: payload is the heap kind (or packed width); INNER: position in the group; OUTER: pointer
 *
 *   words of a type: head (form, final, has super, counts), super if any, then parameters and results or
 *   fields. The module path, the host path (rt_func_type) and the builder all speak this one form. */
#include <string.h>
#include <sys/random.h>
#include "runtime/internal.h"

enum ref_tag { ABSTRACT, INNER, OUTER };

struct group {
    uint64_t hash;
    size_t n_words;
    uint64_t *words;
    struct rt_type *members;
};

struct rt_types {
    const struct atoll_alloc *alloc;
    pthread_mutex_t lock;  /* guards all below */
    struct bc_arena arena; /* types and their groups */
    struct group **slots;  /* open addressing, n_slots a power of two */
    size_t n_slots, n_groups;
    uint64_t *words; /* the string being spelled */
    size_t n_words, cap_words;
    uint64_t seed; /* so that a hostile module cannot choose colliding groups */
};

struct rt_types *rt_types_new(const struct atoll_alloc *alloc) {
    struct rt_types *types = atoll_new(alloc, 1, sizeof *types);
    if (!types) return NULL;
    types->alloc = alloc;
    pthread_mutex_init(&types->lock, NULL);
    bc_arena_init(&types->arena, alloc);
    if (getrandom(&types->seed, sizeof types->seed, GRND_NONBLOCK) < 0)
        types->seed = (uintptr_t)types * UINT64_C(0x9E3779B97F4A7C15);
    return types;
}

void rt_types_free(struct rt_types *types) {
    if (!types) return;
    atoll_free(types->alloc, types->slots, types->n_slots * sizeof *types->slots);
    atoll_free(types->alloc, types->words, types->cap_words * sizeof *types->words);
    bc_arena_fini(&types->arena);
    pthread_mutex_destroy(&types->lock);
    atoll_free(types->alloc, types, sizeof *types);
}

/* ---- spelling a group ---- */

static bool spell(struct rt_types *types, uint64_t word) {
    void *p = types->words;
    if (atoll_grow(types->alloc, &p, &types->cap_words, types->n_words + 1, sizeof word)) return false;
    types->words = p;
    types->words[types->n_words++] = word;
    return true;
}

static uint64_t value_word(unsigned kind, bool nullable, enum ref_tag tag, bool mutable, uint64_t payload) {
    return payload << 8 | (uint64_t) mutable << 6 | (uint64_t)tag << 4 | (uint64_t)nullable << 3 | kind;
}

static uint64_t head_word(enum bc_type_form form, bool final, bool has_super, uint32_t n_first,
                          uint32_t n_second) {
    return (uint64_t)n_second << 32 | (uint64_t)n_first << 8 | (uint64_t)has_super << 3 |
           (uint64_t) final << 2 | form;
}

/* A type index of the module, as seen from a group that begins at rec_first. */
static uint64_t index_word(const struct rt_module *module, const struct bc_type *from, uint32_t index,
                           bool nullable, bool mutable) {
    if (index >= from->rec_first && index - from->rec_first < from->rec_count)
        return value_word(BC_KIND_REF, nullable, INNER, mutable, index - from->rec_first);
    return value_word(BC_KIND_REF, nullable, OUTER, mutable, (uintptr_t)module->types[index]);
}

static bool spell_valtype(struct rt_types *types, const struct rt_module *module, const struct bc_type *from,
                          bc_valtype type, bool mutable) {
    enum bc_kind kind = bc_valtype_kind(type);
    uint32_t heap = bc_valtype_heap(type);
    if (kind == BC_KIND_REF && heap < BC_HEAP_ABSTRACT)
        return spell(types, index_word(module, from, heap, bc_valtype_nullable(type), mutable));
    uint64_t payload = kind == BC_KIND_REF ? heap - BC_HEAP_ABSTRACT : heap;
    return spell(types, value_word(kind, kind == BC_KIND_REF && bc_valtype_nullable(type), ABSTRACT, mutable,
                                   payload));
}

static bool spell_type(struct rt_types *types, const struct rt_module *module, const struct bc_type *type) {
    bool is_func = type->form == BC_TYPE_FUNC, has_super = type->super != BC_NONE;
    bool ok =
        spell(types, head_word(type->form, type->final, has_super, is_func ? type->n_params : type->n_fields,
                               is_func ? type->n_results : 0));
    if (has_super) ok = ok && spell(types, index_word(module, type, type->super, false, false));
    if (!is_func) {
        for (uint32_t i = 0; i < type->n_fields; i++)
            ok = ok && spell_valtype(types, module, type, type->fields[i].type, type->fields[i].mutable);
        return ok;
    }
    for (uint32_t i = 0; i < type->n_params; i++)
        ok = ok && spell_valtype(types, module, type, type->params[i], false);
    for (uint32_t i = 0; i < type->n_results; i++)
        ok = ok && spell_valtype(types, module, type, type->results[i], false);
    return ok;
}

static bool spell_host_valtype(struct rt_types *types, const struct rt_valtype *type) {
    if (type->type)
        return spell(types, value_word(type->kind, type->nullable, OUTER, false, (uintptr_t)type->type));
    bool is_ref = type->kind == BC_KIND_REF;
    return spell(types,
                 value_word(type->kind, is_ref && type->nullable, ABSTRACT, false, is_ref ? type->heap : 0));
}

/* ---- building a group from its words ---- */

static struct rt_valtype valtype_of_word(uint64_t word, const struct rt_type *members) {
    struct rt_valtype t = {.kind = word & 7, .nullable = word >> 3 & 1};
    enum ref_tag tag = (enum ref_tag)(word >> 4 & 3);
    if (tag == INNER)
        t.type = members + (word >> 8);
    else if (tag == OUTER)
        t.type = (const struct rt_type *)(uintptr_t)(word >> 8);
    else
        t.heap = (uint8_t)(word >> 8);
    return t;
}

static bool build_valtypes(struct bc_arena *arena, const uint64_t *words, uint32_t n,
                           const struct rt_type *members, const struct rt_valtype **out,
                           uint32_t *out_slots) {
    struct rt_valtype *list = bc_arena_new(arena, n, sizeof *list);
    if (!list) return false;
    uint32_t slots = 0;
    for (uint32_t i = 0; i < n; i++) {
        list[i] = valtype_of_word(words[i], members);
        slots += list[i].kind == BC_KIND_V128 ? 2 : 1;
    }
    *out = list;
    *out_slots = slots;
    return true;
}

static bool build_fields(struct bc_arena *arena, const uint64_t *words, uint32_t n,
                         const struct rt_type *members, const struct rt_field **out) {
    struct rt_field *list = bc_arena_new(arena, n, sizeof *list);
    if (!list) return false;
    for (uint32_t i = 0; i < n; i++) {
        list[i].type = valtype_of_word(words[i], members);
        list[i].mutable = words[i] >> 6 & 1;
    }
    *out = list;
    return true;
}

static bool build_display(struct bc_arena *arena, struct rt_type *type) {
    type->depth = type->super ? type->super->depth + 1 : 0;
    const struct rt_type **display = bc_arena_new(arena, type->depth + 1u, sizeof *display);
    if (!display) return false;
    if (type->super) memcpy(display, type->super->display, type->depth * sizeof *display);
    display[type->depth] = type;
    type->display = display;
    return true;
}

/* Builds one member from the words at `w`; returns the words behind it, or NULL when out of memory. */
static const uint64_t *build_type(struct bc_arena *arena, const uint64_t *w, struct rt_type *type,
                                  const struct rt_type *members) {
    uint64_t head = *w++;
    uint32_t n_first = head >> 8 & 0xFFFFFF, n_second = (uint32_t)(head >> 32);
    type->form = (enum bc_type_form)(head & 3);
    type->final = head >> 2 & 1;
    if (head >> 3 & 1) type->super = valtype_of_word(*w++, members).type;
    bool ok = build_display(arena, type);
    if (type->form == BC_TYPE_FUNC) {
        type->n_params = n_first;
        type->n_results = n_second;
        ok = ok && build_valtypes(arena, w, n_first, members, &type->params, &type->param_slots) &&
             build_valtypes(arena, w + n_first, n_second, members, &type->results, &type->result_slots);
    } else {
        type->n_fields = n_first;
        ok = ok && build_fields(arena, w, n_first, members, &type->fields);
    }
    return ok ? w + n_first + n_second : NULL;
}

static struct group *build_group(struct rt_types *types, uint64_t hash, uint32_t n_members) {
    struct group *g = bc_arena_new(&types->arena, 1, sizeof *g);
    uint64_t *words = bc_arena_new(&types->arena, types->n_words, sizeof *words);
    struct rt_type *members = bc_arena_new(&types->arena, n_members, sizeof *members);
    if (!g || !words || !members) return NULL;
    memcpy(words, types->words, types->n_words * sizeof *words);
    *g = (struct group){hash, types->n_words, words, members};
    const uint64_t *w = words;
    for (uint32_t i = 0; i < n_members && w; i++) w = build_type(&types->arena, w, members + i, members);
    return w ? g : NULL;
}

/* ---- the table ---- */

static uint64_t hash_words(uint64_t seed, const uint64_t *words, size_t n) {
    uint64_t h = seed ^ n;
    for (size_t i = 0; i < n; i++) {
        unsigned __int128 product = (unsigned __int128)(h ^ words[i]) * (seed | 1);
        h = (uint64_t)product ^ (uint64_t)(product >> 64) ^ UINT64_C(0x9E3779B97F4A7C15);
    }
    return h;
}

static bool grow_table(struct rt_types *types) {
    if (types->n_groups + 1 <= types->n_slots / 2) return true;
    size_t n_slots = types->n_slots ? types->n_slots * 2 : 64;
    struct group **slots = atoll_new(types->alloc, n_slots, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < types->n_slots; i++) {
        struct group *g = types->slots[i];
        if (!g) continue;
        size_t at = g->hash & (n_slots - 1);
        while (slots[at]) at = (at + 1) & (n_slots - 1);
        slots[at] = g;
    }
    atoll_free(types->alloc, types->slots, types->n_slots * sizeof *slots);
    types->slots = slots;
    types->n_slots = n_slots;
    return true;
}

/* The group spelled in types->words; its members, or NULL when out of memory. */
static const struct rt_type *intern(struct rt_types *types, uint32_t n_members) {
    if (!grow_table(types)) return NULL;
    uint64_t hash = hash_words(types->seed, types->words, types->n_words);
    size_t mask = types->n_slots - 1, at = hash & mask;
    for (struct group *g; (g = types->slots[at]); at = (at + 1) & mask)
        if (g->hash == hash && g->n_words == types->n_words &&
            !memcmp(g->words, types->words, types->n_words * sizeof *g->words))
            return g->members;
    struct group *g = build_group(types, hash, n_members);
    if (!g) return NULL;
    types->slots[at] = g;
    types->n_groups++;
    return g->members;
}

static bool intern_rec_group(struct rt_types *types, struct rt_module *module, uint32_t first) {
    const struct bc_type *group = module->bc->types + first;
    bool ok = true;
    types->n_words = 0;
    for (uint32_t i = 0; i < group->rec_count && ok; i++) ok = spell_type(types, module, group + i);
    const struct rt_type *members = ok ? intern(types, group->rec_count) : NULL;
    if (!members) return false;
    for (uint32_t i = 0; i < group->rec_count; i++) module->types[first + i] = members + i;
    return true;
}

enum atoll_status rt_types_of_module(struct rt_types *types, struct rt_module *module) {
    const struct bc_module *bc = module->bc;
    bool ok = true;
    pthread_mutex_lock(&types->lock);
    for (uint32_t i = 0; i < bc->n_types && ok; i += bc->types[i].rec_count)
        ok = intern_rec_group(types, module, i);
    pthread_mutex_unlock(&types->lock);
    return ok ? ATOLL_OK : ATOLL_E_NOMEM;
}

const struct rt_type *rt_func_type(struct rt_engine *engine, const struct rt_valtype *params,
                                   uint32_t n_params, const struct rt_valtype *results, uint32_t n_results) {
    struct rt_types *types = engine->types;
    pthread_mutex_lock(&types->lock);
    types->n_words = 0;
    bool ok = spell(types, head_word(BC_TYPE_FUNC, true, false, n_params, n_results));
    for (uint32_t i = 0; i < n_params; i++) ok = ok && spell_host_valtype(types, params + i);
    for (uint32_t i = 0; i < n_results; i++) ok = ok && spell_host_valtype(types, results + i);
    const struct rt_type *type = ok ? intern(types, 1) : NULL;
    pthread_mutex_unlock(&types->lock);
    return type;
}

struct rt_valtype rt_valtype_of(const struct rt_module *module, bc_valtype type) {
    struct rt_valtype t = {.kind = (uint8_t)bc_valtype_kind(type)};
    uint32_t heap = bc_valtype_heap(type);
    if (t.kind == BC_KIND_PACKED) t.heap = (uint8_t)heap;
    if (t.kind != BC_KIND_REF) return t;
    t.nullable = bc_valtype_nullable(type);
    if (heap < BC_HEAP_ABSTRACT)
        t.type = module->types[heap];
    else
        t.heap = (uint8_t)(heap - BC_HEAP_ABSTRACT);
    return t;
}

/* ---- matching ---- */

/* The abstract heap types that contain each one, as bits; itself included. */
#define H(id) (1u << BC_HEAP_##id)
static const uint16_t heap_supers[] = {
    [BC_HEAP_ANY] = H(ANY),
    [BC_HEAP_EQ] = H(EQ) | H(ANY),
    [BC_HEAP_I31] = H(I31) | H(EQ) | H(ANY),
    [BC_HEAP_STRUCT] = H(STRUCT) | H(EQ) | H(ANY),
    [BC_HEAP_ARRAY] = H(ARRAY) | H(EQ) | H(ANY),
    [BC_HEAP_NONE] = H(NONE) | H(I31) | H(STRUCT) | H(ARRAY) | H(EQ) | H(ANY),
    [BC_HEAP_FUNC] = H(FUNC),
    [BC_HEAP_NOFUNC] = H(NOFUNC) | H(FUNC),
    [BC_HEAP_EXTERN] = H(EXTERN),
    [BC_HEAP_NOEXTERN] = H(NOEXTERN) | H(EXTERN),
    [BC_HEAP_EXN] = H(EXN),
    [BC_HEAP_NOEXN] = H(NOEXN) | H(EXN),
    [BC_HEAP_BOTTOM] = UINT16_MAX,
};
#undef H

static enum bc_heap_kind heap_of_form(enum bc_type_form form) {
    return form == BC_TYPE_FUNC ? BC_HEAP_FUNC : form == BC_TYPE_STRUCT ? BC_HEAP_STRUCT : BC_HEAP_ARRAY;
}

static bool heap_matches(const struct rt_valtype *sub, const struct rt_valtype *super) {
    if (sub->type && super->type) return rt_type_matches(sub->type, super->type);
    if (sub->type) return heap_supers[heap_of_form(sub->type->form)] >> super->heap & 1;
    if (!super->type) return heap_supers[sub->heap] >> super->heap & 1;
    if (super->type->form == BC_TYPE_FUNC) return sub->heap == BC_HEAP_NOFUNC || sub->heap == BC_HEAP_BOTTOM;
    return sub->heap == BC_HEAP_NONE || sub->heap == BC_HEAP_BOTTOM;
}

bool rt_valtype_matches(const struct rt_valtype *sub, const struct rt_valtype *super) {
    if (sub->kind != super->kind) return false;
    if (sub->kind == BC_KIND_PACKED) return sub->heap == super->heap;
    if (sub->kind != BC_KIND_REF) return true;
    return (super->nullable || !sub->nullable) && heap_matches(sub, super);
}

bool rt_valtype_equal(const struct rt_valtype *a, const struct rt_valtype *b) {
    return rt_valtype_matches(a, b) && rt_valtype_matches(b, a);
}
