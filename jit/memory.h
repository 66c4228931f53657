/* jit/memory.h: memory for machine code, never writable and executable at once. The one owner of such memory for
 * whatever makes machine code: the wasm JIT, the software CPU. */
#ifndef ATOLL_JIT_MEMORY_H
#define ATOLL_JIT_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct jit_hole { /* unused bytes below the end of what is in use */
    size_t at, size;
};
/* One range of addresses; whoever owns it lets one thread at a time call the functions below. */
struct jit_memory {
    const struct atoll_alloc *alloc;
    int fd;
    uint8_t *base; /* readable and executable, never writable */
    size_t size, used;
    size_t unit; /* of what is taken: what lies in one is written at once, or never changed again */
    struct jit_hole *holes;
    size_t n_holes, cap_holes;
};

#define JIT_MEMORY_BYTES ((size_t)1 << 30) /* as far as a 32-bit distance reaches both ways */

/* Reserves `size` bytes of addresses; the host gives pages when they are written.
 * fails   E_NOMEM; errno says why: EFBIG, beyond `ulimit -f` */
enum atoll_status jit_memory_open(struct jit_memory *memory, const struct atoll_alloc *alloc, size_t size);
/* For memory that was just opened: a debugger can write breakpoints into it, which it cannot where the file's pages are
 * shared. So they are this mapping's own as soon as they are written by it, and no two pieces lie in one page.
 * fails   E_NOMEM */
enum atoll_status jit_memory_make_breakable(struct jit_memory *memory);
void jit_memory_close(struct jit_memory *memory); /* one that failed to open, or all zero, is allowed */
/* A place for n bytes, or NULL when the memory is full. */
uint8_t *jit_memory_take(struct jit_memory *memory, size_t n);
void jit_memory_give_back(struct jit_memory *memory, const uint8_t *at, size_t n);
/* Copies code to its place by writing to the file behind it: no mapping is ever writable. */
enum atoll_status jit_memory_write(struct jit_memory *memory, uint8_t *at, const uint8_t *bytes, size_t n);

#endif
