/* sysvm/memory_huge.c: huge pages for shared memory, see memory_huge.h. */
#include <sys/mman.h>
#include <unistd.h>
#include "sysvm/memory_huge.h"

enum { COLLAPSE = 25 }; /* MADV_COLLAPSE, Linux 6.1 */

/* What is known of a block. */
enum { UNTOUCHED, DONE, SMALL };

/* ---- blocks in a row ---- */

struct run {
    size_t first, end;
};

/* Nobody looks at a block twice: it is huge then, or the host has none to give just now. */
static bool take(const struct memory_huge *huge, size_t block) {
    unsigned char untouched = UNTOUCHED;
    return atomic_compare_exchange_strong(&huge->state[block], &untouched, DONE);
}

/* A block without any page is not put together, so each gets its first one. */
static int collapse(const struct memory_huge *huge, struct run run) {
    if (run.first == run.end) return 0;
    for (size_t block = run.first; block < run.end; block++)
        (void)*(volatile char *)(huge->host + block * VM_HUGE_PAGE);
    return madvise(huge->host + run.first * VM_HUGE_PAGE, (run.end - run.first) * VM_HUGE_PAGE, COLLAPSE);
}

/* One call for blocks in a row: each call makes all processors of the host empty their lists of pages. */
static void append(const struct memory_huge *huge, struct run *run, size_t block) {
    if (block != run->end) {
        collapse(huge, *run);
        run->first = block;
    }
    run->end = block + 1;
}

void memory_huge_gather(const struct memory_huge *huge, uint64_t offset, uint64_t n_bytes) {
    if (!huge->state || !n_bytes) return;
    struct run run = {0};
    size_t end = (offset + n_bytes - 1) / VM_HUGE_PAGE + 1;
    if (end > huge->n_blocks) end = huge->n_blocks;
    for (size_t block = offset / VM_HUGE_PAGE; block < end; block++)
        if (take(huge, block)) append(huge, &run, block);
    collapse(huge, run);
}

/* ---- what was touched meanwhile ---- */

static size_t next_untouched(const struct memory_huge *huge, size_t block) {
    while (block < huge->n_blocks &&
           atomic_load_explicit(&huge->state[block], memory_order_relaxed) != UNTOUCHED)
        block++;
    return block;
}

size_t memory_huge_sweep(struct memory_huge *huge, size_t n_max) {
    enum { LOOKS = 64 }; /* so that much memory used here and there does not take long */
    struct run run = {0};
    size_t n = 0;
    if (!huge->state) return 0;
    for (int i = 0; i < LOOKS && n < n_max; i++) {
        size_t block = next_untouched(huge, huge->next);
        off_t page = block < huge->n_blocks ? lseek(huge->fd, (off_t)(block * VM_HUGE_PAGE), SEEK_DATA) : -1;
        huge->next = 0; /* from the start again where the rest is holes */
        if (page < 0) break;
        huge->next = (size_t)page / VM_HUGE_PAGE;
        if (huge->next != block) continue;
        huge->next++;
        if (!take(huge, block)) continue;
        append(huge, &run, block);
        n++;
    }
    collapse(huge, run);
    return n;
}

void memory_huge_lost(const struct memory_huge *huge, uint64_t offset, uint64_t n_bytes) {
    if (!huge->state || !n_bytes) return;
    uint64_t end = offset + n_bytes;
    for (size_t block = offset / VM_HUGE_PAGE; block < huge->n_blocks && block * VM_HUGE_PAGE < end;
         block++) {
        bool whole = block * VM_HUGE_PAGE >= offset && (block + 1) * VM_HUGE_PAGE <= end;
        atomic_store(&huge->state[block], whole ? UNTOUCHED : SMALL);
    }
}

/* ---- whether there are any ---- */

bool memory_huge_new(struct memory_huge *huge, const struct atoll_alloc *alloc, void *host,
                     uint64_t size_bytes, int fd) {
    *huge =
        (struct memory_huge){.alloc = alloc, .host = host, .fd = fd, .n_blocks = size_bytes / VM_HUGE_PAGE};
    if (!huge->n_blocks) return false;
    (void)*(volatile char *)host;
    if (lseek(fd, 0, SEEK_HOLE) >= (off_t)VM_HUGE_PAGE) return true; /* that touch gave a huge page */
    if (collapse(huge, (struct run){0, 1})) return false;
    huge->state = atoll_new(alloc, huge->n_blocks, sizeof *huge->state);
    if (!huge->state) return false;
    huge->state[0] = DONE;
    return true;
}

void memory_huge_free(struct memory_huge *huge) {
    if (huge->state) atoll_free(huge->alloc, (void *)huge->state, huge->n_blocks * sizeof *huge->state);
    huge->state = NULL;
}
