/* bytecode/alloc.c: the default allocator and the three calls through which components use any allocator. */
#include "atoll/alloc.h"
#include "bytecode/stress.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ITEMS ATOLL_LIMIT(8, 1)

#ifdef ATOLL_STRESS
/* Under stress every block that is resized moves and the old one is spoilt, so that a stale pointer shows. */
static void *resize_block(void *p, size_t old_size, size_t new_size) {
    char *q = malloc(new_size);
    if (!q || !p) return q;
    memcpy(q, p, old_size < new_size ? old_size : new_size);
    memset(p, 0xA5, old_size);
    free(p);
    return q;
}
#else
static void *resize_block(void *p, size_t old_size, size_t new_size) {
    (void)old_size;
    return realloc(p, new_size);
}
#endif

static void *default_resize(void *context, void *p, size_t old_size, size_t new_size) {
    (void)context;
    if (!new_size) {
        free(p);
        return NULL;
    }
    return resize_block(p, old_size, new_size);
}
const struct atoll_alloc atoll_default_alloc = {default_resize, NULL};

void *atoll_new(const struct atoll_alloc *a, size_t n_items, size_t item_size) {
    size_t size;
    if (__builtin_mul_overflow(n_items, item_size, &size)) return NULL;
    if (!size) size = 1;
    void *p = a->resize(a->context, NULL, 0, size);
    if (p) memset(p, 0, size);
    return p;
}

void atoll_free(const struct atoll_alloc *a, void *p, size_t size) {
    if (p) a->resize(a->context, p, size ? size : 1, 0);
}

int atoll_grow(const struct atoll_alloc *a, void **p, size_t *capacity, size_t want, size_t item_size) {
    if (want <= *capacity) return 0;
    size_t new_capacity = *capacity ? *capacity : FIRST_ITEMS;
    while (new_capacity < want)
        if (__builtin_mul_overflow(new_capacity, 2, &new_capacity)) return -1;
    size_t bytes;
    if (__builtin_mul_overflow(new_capacity, item_size, &bytes)) return -1;
    size_t old_bytes = *capacity * item_size;
    char *q = a->resize(a->context, *p, old_bytes, bytes);
    if (!q) return -1;
    memset(q + old_bytes, 0, bytes - old_bytes);
    *p = q;
    *capacity = new_capacity;
    return 0;
}
