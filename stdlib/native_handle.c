/* stdlib/native_handle.c: opaque handles. A guest holds the address of a node here, never the library's. */
#include "stdlib/native.h"

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

static struct native_handle *new_node(struct native *n) {
    struct native_handles *h = &n->handles;
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

struct native_handle *native_handle_for(struct native *n, const struct native_handle_type *type,
                                        void *pointer) {
    struct native_handles *h = &n->handles;
    if (!grow_buckets(n)) return NULL;
    struct native_handle **bucket = &h->buckets[bucket_of(h, pointer)];
    for (struct native_handle *p = *bucket; p; p = p->next)
        if (p->pointer == pointer && p->type == type) return p;
    struct native_handle *fresh = new_node(n);
    if (!fresh) return NULL;
    *fresh = (struct native_handle){.type = type, .pointer = pointer, .next = *bucket};
    *bucket = fresh;
    h->n_live++;
    return fresh;
}

struct native_handle *native_handle_check(const struct native_handles *h, const void *word) {
    size_t left = h->n;
    for (unsigned i = 0; i < NATIVE_CHUNKS && left; i++) {
        size_t size = (size_t)NATIVE_FIRST_CHUNK << i, used = left < size ? left : size;
        uintptr_t at = (uintptr_t)word - (uintptr_t)h->chunks[i];
        if (at < used * sizeof(struct native_handle))
            return at % sizeof(struct native_handle) ? NULL
                                                     : &h->chunks[i][at / sizeof(struct native_handle)];
        left -= used;
    }
    return NULL;
}

bool native_handle_in_use(const struct native_handles *h, const void *pointer) {
    const struct native_handle *p = h->n_buckets ? h->buckets[bucket_of(h, pointer)] : NULL;
    while (p && !(p->pointer == pointer && p->in_use)) p = p->next;
    return p != NULL;
}

void native_handle_kill(struct native_handles *h, void *pointer) {
    struct native_handle **p = pointer && h->n_buckets ? &h->buckets[bucket_of(h, pointer)] : NULL;
    while (p && *p) {
        struct native_handle *handle = *p;
        if (handle->pointer != pointer) {
            p = &handle->next;
            continue;
        }
        *p = handle->next;
        handle->pointer = NULL;
        h->n_live--;
    }
}

void native_handles_free(struct native *n) {
    struct native_handles *h = &n->handles;
    for (unsigned i = 0; i < NATIVE_CHUNKS; i++)
        atoll_free(n->alloc, h->chunks[i], ((size_t)NATIVE_FIRST_CHUNK << i) * sizeof(struct native_handle));
    atoll_free(n->alloc, h->buckets, h->n_buckets * sizeof(void *));
}
