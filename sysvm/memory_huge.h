/* sysvm/memory_huge.h: huge pages for shared memory.
 *
 * The host gives private memory a huge page at the first touch (MADV_HUGEPAGE), and shared memory only where
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled says so, which most hosts leave at "never". Pages that are there it
 * puts together in any case, when it is asked to (MADV_COLLAPSE, Linux 6.1): one page of 2 MiB is touched, the rest is
 * holes, and the whole is one huge page. So it comes to the same: before memory is used where that is known, shortly
 * afterwards where a processor with hardware virtualization touches it without a word.
 *
 * All functions but new and free: any thread. */
#ifndef ATOLL_SYSVM_MEMORY_HUGE_H
#define ATOLL_SYSVM_MEMORY_HUGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "sysvm/layout.h"

struct memory_huge {
    const struct atoll_alloc *alloc;
    char *host;
    int fd;
    size_t n_blocks;               /* of VM_HUGE_PAGE; what stands over behind the last one stays small */
    size_t next;                   /* the block at which the next sweep begins */
    _Atomic(unsigned char) *state; /* of each block; NULL: the host does it by itself, or there is no memfd */
};

/* in     host, size_bytes: the mapping of fd, at a multiple of VM_HUGE_PAGE, of which nothing is in use
 * fails  false: this host has no huge pages for shared memory in either way, or there is no memory for the states */
bool memory_huge_new(struct memory_huge *huge, const struct atoll_alloc *alloc, void *host,
                     uint64_t size_bytes, int fd);
void memory_huge_free(struct memory_huge *huge);

/* Makes the blocks in which offset .. offset + n_bytes lie huge pages, if they have not been looked at yet; what
 * stands in them stays. */
void memory_huge_gather(const struct memory_huge *huge, uint64_t offset, uint64_t n_bytes);
/* The same for blocks that somebody has touched; returns how many, at most n_max. Looks at a part of the memory each
 * time. One thread at a time. */
size_t memory_huge_sweep(struct memory_huge *huge, size_t n_max);
/* These pages are gone. A block that lost some of its pages keeps small ones: a huge page would take them back. */
void memory_huge_lost(const struct memory_huge *huge, uint64_t offset, uint64_t n_bytes);

/* gather for an access, which mostly finds that it has been done. */
static inline void memory_huge_touch(const struct memory_huge *huge, uint64_t offset) {
    size_t block = offset / VM_HUGE_PAGE;
    if (huge->state && block < huge->n_blocks &&
        !atomic_load_explicit(&huge->state[block], memory_order_relaxed))
        memory_huge_gather(huge, offset, 1);
}

#endif
