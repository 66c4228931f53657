/* cli/ucl/tree.c: values, and what a second one of a key does. */
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include "cli/ucl/internal.h"

char *ucl_new_text(struct ucl_reading *all, size_t n) {
    char *text = bc_arena_new(&all->doc->arena, n + 1, 1);
    if (!text) ucl_out_of_memory(all);
    return text;
}

struct ucl_value *ucl_new_value(struct ucl_reader *r) {
    struct ucl_reading *all = r->all;
    if (++all->n_values > UCL_VALUES_MAX) return ucl_fail(r, "more than %d values", UCL_VALUES_MAX), NULL;
    struct ucl_value *value = bc_arena_new(&all->doc->arena, 1, sizeof *value);
    if (!value) return ucl_out_of_memory(all), NULL;
    value->id = ++all->last_id;
    value->priority = r->priority;
    value->line = r->line;
    value->file = r->file;
    value->after_comma = r->comma_line == r->line;
    return value;
}

/* ---- members ---- */

static int compare(const void *one, const void *other) {
    const struct ucl_value *a = one, *b = other;
    return a->owner != b->owner ? (a->owner > b->owner) - (a->owner < b->owner) : strcmp(a->key, b->key);
}

struct ucl_value *ucl_member(struct ucl_reading *all, const struct ucl_value *object, const char *key) {
    const struct ucl_value sought = {.owner = object->id, .key = key};
    struct ucl_value **found = tfind(&sought, &all->members, compare);
    return found ? *found : NULL;
}

static void leave(void *value) { (void)value; } /* they are the arena's */
void ucl_forget_members(struct ucl_reading *all) { tdestroy(all->members, leave); }

static void append(struct ucl_value *to, struct ucl_value *value) {
    if (to->last)
        to->last->next = value;
    else
        to->first = value;
    to->last = value;
}

struct ucl_value *ucl_new_element(struct ucl_reader *r, struct ucl_value *array) {
    struct ucl_value *value = ucl_new_value(r);
    if (value) append(array, value);
    return value;
}

/* The first of its key. */
static bool insert(struct ucl_reading *all, struct ucl_value *object, struct ucl_value *value) {
    value->owner = object->id;
    if (!tsearch(value, &all->members, compare)) return ucl_out_of_memory(all);
    append(object, value);
    return true;
}

static void add_again(struct ucl_value *old, struct ucl_value *value) {
    if (old->again_last)
        old->again_last->again = value;
    else
        old->again = value;
    old->again_last = value;
}

/* Members it had are found no more, because it has another id. */
void ucl_empty(struct ucl_reader *r, struct ucl_value *value) {
    value->id = ++r->all->last_id;
    value->first = value->last = NULL;
    value->line = r->line;
    value->file = r->file;
    value->after_comma = r->comma_line == r->line;
}

/* What it was is forgotten. */
static void clear(struct ucl_reader *r, struct ucl_value *value) {
    const struct ucl_value was = *value;
    *value = (struct ucl_value){.key = was.key, .owner = was.owner, .next = was.next};
    ucl_empty(r, value);
    value->priority = r->priority;
}

/* By their priorities; what was inherited gives way to all. */
static struct ucl_value *add_by_priority(struct ucl_reader *r, struct ucl_value *old, bool gives_way) {
    if (gives_way || old->priority < r->priority) {
        clear(r, old);
        return old;
    }
    struct ucl_value *value = ucl_new_value(r);
    if (!value) return NULL;
    value->key = old->key;
    if (old->priority == r->priority) add_again(old, value);
    return value;
}

struct ucl_value *ucl_new_member(struct ucl_reader *r, struct ucl_value *object, const char *key) {
    struct ucl_value *old = ucl_member(r->all, object, key);
    if (!old) {
        struct ucl_value *value = ucl_new_value(r);
        if (!value) return NULL;
        value->key = key;
        return insert(r->all, object, value) ? value : NULL;
    }
    switch (r->duplicates) {
    case UCL_APPEND: return add_by_priority(r, old, old->is_inherited);
    case UCL_MERGE: return old->kind >= UCL_ARRAY ? old : add_by_priority(r, old, false);
    case UCL_REWRITE: clear(r, old); return old;
    case UCL_ERROR: break;
    }
    return ucl_fail(r, "\"%s\" is there already", key), NULL;
}

bool ucl_become(struct ucl_reader *r, struct ucl_value *value, enum ucl_kind kind) {
    if (value->kind >= UCL_ARRAY && value->kind != kind)
        return ucl_fail(r, "an object and an array do not merge");
    value->kind = kind;
    return true;
}

bool ucl_to_array(struct ucl_reader *r, struct ucl_value *value) {
    struct ucl_value *moved = ucl_new_value(r);
    if (!moved) return false;
    struct ucl_value was = *value;
    clear(r, value); /* its members are the moved one's, which has its id */
    *moved = was;
    moved->key = NULL;
    moved->next = moved->again = moved->again_last = NULL;
    value->kind = UCL_ARRAY;
    append(value, moved);
    for (struct ucl_value *more = was.again, *next; more; more = next) {
        next = more->again;
        more->key = NULL;
        more->again = NULL;
        append(value, more);
    }
    return true;
}

/* ---- copies ---- */

static struct ucl_value *copy(struct ucl_reader *r, const struct ucl_value *from);

static bool copy_parts(struct ucl_reader *r, struct ucl_value *to, const struct ucl_value *from) {
    for (const struct ucl_value *part = from->first; part; part = part->next) {
        struct ucl_value *value = copy(r, part);
        if (!value) return false;
        if (to->kind == UCL_ARRAY)
            append(to, value);
        else if (!insert(r->all, to, value))
            return false;
    }
    return true;
}

/* Without what else its key has. */
static struct ucl_value *copy_one(struct ucl_reader *r, const struct ucl_value *from) {
    struct ucl_value *value = ucl_new_value(r);
    if (!value) return NULL;
    uint32_t id = value->id;
    *value = *from;
    value->id = id;
    value->first = value->last = value->next = value->again = value->again_last = NULL;
    if (++r->all->depth > UCL_DEPTH_MAX)
        return ucl_fail(r, "more than %d values in each other", UCL_DEPTH_MAX), NULL;
    bool whole = copy_parts(r, value, from);
    r->all->depth--;
    return whole ? value : NULL;
}

static struct ucl_value *copy(struct ucl_reader *r, const struct ucl_value *from) {
    struct ucl_value *first = copy_one(r, from);
    for (from = from->again; first && from; from = from->again) {
        struct ucl_value *more = copy_one(r, from);
        if (!more) return NULL;
        add_again(first, more);
    }
    return first;
}

bool ucl_inherit(struct ucl_reader *r, struct ucl_value *object, const struct ucl_value *parent, bool all) {
    if (object == parent) return true;
    for (const struct ucl_value *part = parent->first; part; part = part->next) {
        struct ucl_value *old = ucl_member(r->all, object, part->key), *value;
        if (++r->all->n_values > UCL_VALUES_MAX) /* it is work, even where it makes none */
            return ucl_fail(r, "more than %d values", UCL_VALUES_MAX);
        if (old && !all) continue;
        if (!(value = copy(r, part))) return false;
        value->is_inherited = !all;
        if (!old ? !insert(r->all, object, value) : (add_again(old, value), false)) return false;
    }
    return true;
}

/* ---- for those who read it ---- */

const struct ucl_value *ucl_find(const struct ucl_value *object, const char *key) {
    if (object->kind != UCL_OBJECT) return NULL;
    for (const struct ucl_value *member = object->first; member; member = member->next)
        if (strcmp(member->key, key) == 0) return member;
    return NULL;
}

const char *ucl_text(const struct ucl_value *object, const char *key) {
    const struct ucl_value *value = ucl_find(object, key);
    return value ? value->text : NULL;
}
