/* sysvm/cpu/soft/code.h: which guest memory holds decoded code, so that writes to it are noticed.
 *
 * Shared by all processors of an engine. A page's generation grows when a chunk of it that was decoded is written;
 * blocks remember the generation they were made under and are dead when it differs. */
#ifndef ATOLL_SYSVM_SOFT_CODE_H
#define ATOLL_SYSVM_SOFT_CODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "sysvm/memory.h"

struct soft_engine;
struct soft_code;

struct soft_code_page {
    _Atomic uint64_t chunks; /* bit n: bytes 64 n .. 64 n + 63 hold decoded code */
    _Atomic uint64_t generation;
    /* How often a processor was let write to the page without a look at marks; one more than that was when they had all
     * been stopped last. */
    _Atomic uint64_t grants, closed;
};

/* NULL: no memory. One struct soft_code_page for every page of RAM, host memory only where there is code. */
struct soft_code *soft_code_new(const struct atoll_alloc *alloc, const struct vm_memory *memory);
void soft_code_free(struct soft_code *code); /* NULL is allowed */

/* The page of a guest address; NULL where no RAM is, or never was code near it. */
struct soft_code_page *soft_code_page(const struct soft_code *code, uint64_t gpa);
/* The same, made where there is none yet; NULL where no RAM is, or no memory. */
struct soft_code_page *soft_code_make_page(struct soft_code *code, uint64_t gpa);
/* n_bytes from `offset` on, all within the page, are about to be decoded: marks them, and adds the marks to *in_out_marks.
 * Processors may still write to it in their fast paths, unless soft_code_is_closed says otherwise from then on. */
void soft_code_mark(struct soft_code_page *page, uint64_t offset, uint64_t n_bytes, uint64_t *in_out_marks);
/* *out_grants: for soft_code_closed, once none can write to it any more that could when this was asked. */
static inline bool soft_code_is_closed(const struct soft_code_page *page, uint64_t *out_grants) {
    *out_grants = atomic_load(&page->grants);
    return atomic_load(&page->closed) == *out_grants + 1;
}
static inline void soft_code_closed(struct soft_code_page *page, uint64_t grants) {
    atomic_store(&page->closed, grants + 1);
}

/* Whether the page holds code: then no processor's fast path may write to it. */
static inline bool soft_code_has(const struct soft_code *code, uint64_t gpa) {
    struct soft_code_page *page = soft_code_page(code, gpa);
    return page && atomic_load_explicit(&page->chunks, memory_order_acquire) != 0;
}

/* A processor is about to write to the page without a look at marks, once or from now on. True: it holds no code. Who
 * marks and who asks: one of both sees the other. */
static inline bool soft_code_grant(const struct soft_code *code, uint64_t gpa) {
    struct soft_code_page *page = soft_code_page(code, gpa);
    if (!page) return true;
    atomic_fetch_add(&page->grants, 1);
    return !atomic_load(&page->chunks);
}

/* gpa .. gpa + n_bytes was, or is about to be, written by anybody: blocks decoded from there die, and all processors are
 * asked to look (SOFT_REQUEST_CODE). Any thread; to be called after the bytes have changed. */
void soft_code_written(struct soft_engine *engine, uint64_t gpa, uint64_t n_bytes);

/* The pages whose generations grew since *in_out_seen (0 at first), which becomes now: their number, or -1: they are
 * more than SOFT_CODE_CHANGES. Any thread. */
enum { SOFT_CODE_CHANGES = 64 };
int soft_code_changes(struct soft_code *code, uint64_t *in_out_seen,
                      struct soft_code_page *out[SOFT_CODE_CHANGES]);

#endif
