/* jit/memory.c: memory for machine code. One range of addresses an owner, so that any code reaches any other
 * by a 32-bit distance; its pages are readable and executable. They are written as the file that they are: no
 * mapping of them is ever writable. */
#include <errno.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "jit/memory.h"

#define PAGE      ((size_t)4096)
#define ALIGNMENT ((size_t)32)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* since Linux 6.3 */
#endif

/* A file that is no program: where the administrator allows no others (vm.memfd_noexec), and where nobody cares. */
static int open_file(void) {
    int fd = memfd_create("atoll-code", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    return fd < 0 && errno == EINVAL ? memfd_create("atoll-code", MFD_CLOEXEC) : fd;
}

enum atoll_status jit_memory_open(struct jit_memory *memory, const struct atoll_alloc *alloc, size_t size) {
    *memory = (struct jit_memory){.alloc = alloc, .fd = open_file(), .unit = ALIGNMENT};
    if (memory->fd < 0) return ATOLL_E_NOMEM;
    if (ftruncate(memory->fd, (off_t)size)) goto failed;
    void *base = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, memory->fd, 0);
    if (base == MAP_FAILED) goto failed;
    memory->base = base;
    memory->size = size;
    return ATOLL_OK;
failed:;
    int error = errno;
    close(memory->fd);
    errno = error;
    return ATOLL_E_NOMEM;
}

enum atoll_status jit_memory_make_breakable(struct jit_memory *memory) {
    void *base = mmap(memory->base, memory->size, PROT_READ | PROT_EXEC,
                      MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, memory->fd, 0);
    if (base == MAP_FAILED) return ATOLL_E_NOMEM;
    memory->unit = PAGE;
    return ATOLL_OK;
}

void jit_memory_close(struct jit_memory *memory) {
    if (!memory->base) return;
    munmap(memory->base, memory->size);
    close(memory->fd);
    atoll_free(memory->alloc, memory->holes, memory->cap_holes * sizeof *memory->holes);
}

static size_t rounded(const struct jit_memory *memory, size_t n) {
    return (n + memory->unit - 1) & ~(memory->unit - 1);
}

uint8_t *jit_memory_take(struct jit_memory *memory, size_t n) {
    n = rounded(memory, n);
    for (size_t i = 0; i < memory->n_holes; i++) {
        struct jit_hole *hole = memory->holes + i;
        if (hole->size < n) continue;
        uint8_t *at = memory->base + hole->at;
        hole->at += n;
        hole->size -= n;
        if (!hole->size) *hole = memory->holes[--memory->n_holes];
        return at;
    }
    if (memory->size - memory->used < n) return NULL;
    memory->used += n;
    return memory->base + memory->used - n;
}

void jit_memory_give_back(struct jit_memory *memory, const uint8_t *at, size_t n) {
    struct jit_hole hole = {(size_t)(at - memory->base), rounded(memory, n)};
    const struct jit_hole given = hole;
    for (size_t i = 0; i < memory->n_holes;) { /* join with neighbours */
        struct jit_hole *other = memory->holes + i;
        if (other->at + other->size == hole.at) {
            hole = (struct jit_hole){other->at, other->size + hole.size};
        } else if (hole.at + hole.size == other->at) {
            hole.size += other->size;
        } else {
            i++;
            continue;
        }
        *other = memory->holes[--memory->n_holes];
    }
    if (hole.at + hole.size == memory->used) {
        memory->used = hole.at;
    } else if (memory->n_holes < memory->cap_holes ||
               !atoll_grow(memory->alloc, (void **)&memory->holes, &memory->cap_holes, memory->n_holes + 1,
                           sizeof *memory->holes)) {
        memory->holes[memory->n_holes++] = hole;
    } /* else the addresses are lost until the engine goes */
    /* whole pages that became free now */
    size_t from = (hole.at + PAGE - 1) & ~(PAGE - 1), to = (hole.at + hole.size) & ~(PAGE - 1);
    if (from < (given.at & ~(PAGE - 1))) from = given.at & ~(PAGE - 1);
    if (to > ((given.at + given.size + PAGE - 1) & ~(PAGE - 1)))
        to = (given.at + given.size + PAGE - 1) & ~(PAGE - 1);
    if (to > from)
        fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
}

enum atoll_status jit_memory_write(struct jit_memory *memory, uint8_t *at, const uint8_t *bytes, size_t n) {
    off_t offset = at - memory->base;
    const size_t n_bytes = n;
    for (ssize_t done; n; n -= (size_t)done, bytes += done, offset += done) {
        done = pwrite(memory->fd, bytes, n, offset);
        if (done < 0) return ATOLL_E_NOMEM;
    }
    /* pages with breakpoints of what was there before */
    if (memory->unit == PAGE && n_bytes) madvise(at, rounded(memory, n_bytes), MADV_DONTNEED);
    return ATOLL_OK;
}
