/* stdlib/native_handle.c: opaque handles. A guest holds a word made of a node here and its generation, never
 * the library's address. */
#include "stdlib/native.h"

/* ---- words ----
 *
 *   63       1: no address of the host's own, so other owners of externrefs can tell
 *   62 .. 48 generation, upper 15 bits
 *   47 .. 4  the node's address
 *   3, 2     generation, lower 2 bits
 *   1, 0     0: a reference of the host (runtime/object.h) */

#define GENERATIONS  (UINT32_C(1) << 17) /* then the node is not used any more */
#define ADDRESS_BITS UINT64_C(0x0000fffffffffff0)

_Static_assert(sizeof(struct native_handle) % 16 == 0, "nodes leave the low bits to the word");

void *native_handle_word(const struct native_handle *handle) {
    uint64_t g = handle->generation;
    return (void *)((uintptr_t)handle | UINT64_C(1) << 63 | g >> 2 << 48 | (g & 3) << 2);
}

static struct native_handle *node_at(const struct native_handles *h, uintptr_t address) {
    size_t left = h->n;
    for (unsigned i = 0; i < NATIVE_CHUNKS && left; i++) {
        size_t size = (size_t)NATIVE_FIRST_CHUNK << i, used = left < size ? left : size;
        uintptr_t at = address - (uintptr_t)h->chunks[i];
        if (at < used * sizeof(struct native_handle))
            return at % sizeof(struct native_handle) ? NULL
                                                     : &h->chunks[i][at / sizeof(struct native_handle)];
        left -= used;
    }
    return NULL;
}

struct native_handle *native_handle_check(const struct native_handles *h, const void *word, bool *out_dead) {
    struct native_handle *node = node_at(h, (uintptr_t)word & ADDRESS_BITS);
    *out_dead = false;
    if (!node || !((uintptr_t)word >> 63)) return NULL;
    if (node->pointer && native_handle_word(node) == word) return node;
    *out_dead = true;
    return NULL;
}

/* ---- nodes ---- */

static struct native_handle *new_node(struct native *n) {
    struct native_handles *h = &n->handles;
    struct native_handle *node = h->free;
    if (node) return h->free = node->next, node;
    size_t base = 0;
    for (unsigned i = 0; i < NATIVE_CHUNKS; i++) {
        size_t size = (size_t)NATIVE_FIRST_CHUNK << i;
        if (h->n < base + size) {
            if (!h->chunks[i]) h->chunks[i] = atoll_new(n->alloc, size, sizeof(struct native_handle));
            return h->chunks[i] ? &h->chunks[i][h->n++ - base] : NULL;
        }
        base += size;
    }
    return NULL;
}

static size_t bucket_of(const struct native_handles *h, const void *pointer) {
    return (size_t)(((uintptr_t)pointer * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (h->n_buckets - 1);
}

static bool grow_buckets(struct native *n) {
    struct native_handles *h = &n->handles;
    if (h->n_live < h->n_buckets) return true;
    size_t old_n = h->n_buckets;
    struct native_handle **old = h->buckets;
    struct native_handle **fresh = atoll_new(n->alloc, old_n ? old_n * 2 : 64, sizeof(void *));
    if (!fresh) return false;
    h->buckets = fresh;
    h->n_buckets = old_n ? old_n * 2 : 64;
    for (size_t i = 0; i < old_n; i++)
        for (struct native_handle *p = old[i], *next; p; p = next) {
            next = p->next;
            size_t b = bucket_of(h, p->pointer);
            p->next = fresh[b];
            fresh[b] = p;
        }
    atoll_free(n->alloc, old, old_n * sizeof(void *));
    return true;
}

static bool is_below(const struct native_handle *node, const struct native_handle *ancestor) {
    while (node && node != ancestor) node = node->owner;
    return node != NULL;
}

/* A handle keeps the owner it has; nothing owns what owns it. */
static void adopt(struct native_handle *child, struct native_handle *owner) {
    if (!owner || child->owner || is_below(owner, child)) return;
    child->owner = owner;
    child->before = NULL;
    child->after = owner->child;
    if (owner->child) owner->child->before = child;
    owner->child = child;
}

static void leave_owner(struct native_handle *child) {
    if (!child->owner) return;
    if (child->before)
        child->before->after = child->after;
    else
        child->owner->child = child->after;
    if (child->after) child->after->before = child->before;
    child->owner = child->before = child->after = NULL;
}

struct native_handle *native_handle_for(struct native *n, const struct native_handle_type *type,
                                        void *pointer, struct native_handle *owner) {
    struct native_handles *h = &n->handles;
    if (!grow_buckets(n)) return NULL;
    struct native_handle **bucket = &h->buckets[bucket_of(h, pointer)], *p = *bucket;
    while (p && !(p->pointer == pointer && p->type == type)) p = p->next;
    if (!p) {
        p = new_node(n);
        if (!p) return NULL;
        *p = (struct native_handle){
            .type = type, .pointer = pointer, .next = *bucket, .generation = p->generation};
        *bucket = p;
        h->n_live++;
    }
    adopt(p, owner);
    return p;
}

/* ---- use and end ---- */

static struct native_handle *first_of(const struct native_handles *h, const void *pointer) {
    struct native_handle *p = pointer && h->n_buckets ? h->buckets[bucket_of(h, pointer)] : NULL;
    while (p && p->pointer != pointer) p = p->next;
    return p;
}
static struct native_handle *next_of(const struct native_handle *node) {
    struct native_handle *p = node->next;
    while (p && p->pointer != node->pointer) p = p->next;
    return p;
}

static bool pointer_in_use(const struct native_handles *h, const void *pointer) {
    for (const struct native_handle *p = first_of(h, pointer); p; p = next_of(p))
        if (p->in_use) return true;
    return false;
}

/* The next below `top`, children before siblings; NULL = that was the last. No stack: owners may be chains of
 * any length. */
static const struct native_handle *next_below(const struct native_handle *node,
                                              const struct native_handle *top) {
    if (node->child) return node->child;
    while (node != top && !node->after) node = node->owner;
    return node == top ? NULL : node->after;
}

bool native_handle_in_use(const struct native_handles *h, const void *pointer) {
    for (const struct native_handle *top = first_of(h, pointer); top; top = next_of(top))
        for (const struct native_handle *p = top; p; p = next_below(p, top))
            if (pointer_in_use(h, p->pointer)) return true;
    return false;
}

/* Takes all handles of the pointer out of the table, onto the list. */
static void take_out(struct native_handles *h, const void *pointer, struct native_handle **list) {
    struct native_handle **p = &h->buckets[bucket_of(h, pointer)];
    while (*p) {
        struct native_handle *node = *p;
        if (node->pointer != pointer) {
            p = &node->next;
            continue;
        }
        *p = node->next;
        node->pointer = NULL;
        node->generation++;
        node->next = *list;
        *list = node;
        h->n_live--;
    }
}

void native_handle_kill(struct native_handles *h, void *pointer) {
    struct native_handle *dying = NULL;
    if (!first_of(h, pointer)) return;
    take_out(h, pointer, &dying);
    while (dying) {
        struct native_handle *node = dying;
        dying = node->next;
        while (node->child) {
            struct native_handle *child = node->child;
            leave_owner(child);
            if (child->pointer) take_out(h, child->pointer, &dying);
        }
        leave_owner(node);
        if (node->generation == GENERATIONS) continue;
        node->next = h->free;
        h->free = node;
    }
}

void native_handles_free(struct native *n) {
    struct native_handles *h = &n->handles;
    for (unsigned i = 0; i < NATIVE_CHUNKS; i++)
        atoll_free(n->alloc, h->chunks[i], ((size_t)NATIVE_FIRST_CHUNK << i) * sizeof(struct native_handle));
    atoll_free(n->alloc, h->buckets, h->n_buckets * sizeof(void *));
}
