/* include/atoll/alloc.h: where an engine's memory comes from.
 *
 * Every allocation of a component goes through the struct atoll_alloc it was given, so that accounting,
 * limits and allocation-failure tests need no hooks. Sizes are told back on free, as lua_Alloc does. An
 * allocator is called by all threads that use what it serves: an engine's, by those of its stores and by threads of
 * the engine's own, which check large modules and compile. */
#ifndef ATOLL_ALLOC_H
#define ATOLL_ALLOC_H

#include <stddef.h>

#if defined(__GNUC__)
#define ATOLL_EXTERN __attribute__((visibility("default")))
#else
#define ATOLL_EXTERN
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct atoll_alloc {
    /* old_size 0: allocate; new_size 0: free, returns NULL; else resize, keeping min(old, new) bytes. NULL =
     * failed, and then `p` is still valid. Results are aligned for max_align_t. */
    void *(*resize)(void *context, void *p, size_t old_size, size_t new_size);
    void *context;
};

/* realloc and free of the C library. */
ATOLL_EXTERN extern const struct atoll_alloc atoll_default_alloc;

/* n_items * item_size bytes, zeroed; NULL when out of memory or when the product overflows. */
ATOLL_EXTERN void *atoll_new(const struct atoll_alloc *a, size_t n_items, size_t item_size);
/* Frees what atoll_new or atoll_grow returned; `size` is the size in bytes it had. NULL is allowed. */
ATOLL_EXTERN void atoll_free(const struct atoll_alloc *a, void *p, size_t size);
/* Makes room for `want` items in a growing array (amortised doubling): on success *p and *capacity are
 * updated; new bytes are zero. Returns 0, or -1 when out of memory (*p stays valid). */
ATOLL_EXTERN int atoll_grow(const struct atoll_alloc *a, void **p, size_t *capacity, size_t want,
                            size_t item_size);

#ifdef __cplusplus
}
#endif
#endif
