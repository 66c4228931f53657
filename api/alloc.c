/* api/alloc.c: memory of this folder. wasm_*_delete is told neither the engine nor the size, so every block
 * begins with both. */
#include "api/internal.h"

struct block {
    const struct atoll_alloc *alloc;
    size_t size;
    _Alignas(max_align_t) char payload[];
};

static struct block *block_of(const void *p) {
    return (struct block *)((uintptr_t)p - offsetof(struct block, payload));
}

void *api_new(const struct atoll_alloc *alloc, size_t n_items, size_t item_size) {
    size_t size;
    if (__builtin_mul_overflow(n_items, item_size, &size) ||
        __builtin_add_overflow(size, sizeof(struct block), &size))
        return NULL;
    struct block *b = atoll_new(alloc, 1, size);
    if (!b) return NULL;
    b->alloc = alloc;
    b->size = size;
    return b->payload;
}

void api_free(void *p) {
    if (p) atoll_free(block_of(p)->alloc, block_of(p), block_of(p)->size);
}

const struct atoll_alloc *api_alloc_of(const void *p) { return block_of(p)->alloc; }

char *api_strdup(const struct atoll_alloc *alloc, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = api_new(alloc, size, 1);
    return copy ? memcpy(copy, text, size) : NULL;
}
