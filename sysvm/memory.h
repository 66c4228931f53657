/* sysvm/memory.h: guest RAM. One mapping, in huge pages where the host has some, for as long as the machine lives: of a
 * memfd, shared, which another process can map or read by /proc/PID/fd, or private where somebody wants that.
 *
 *   guest physical   0 ........ low_bytes | hole for devices | 4 GiB ........
 *   offset           0 ........ low_bytes                     low_bytes .......    in the memfd, if there is one
 *   host             one mapping in the order of offsets
 *
 * A guest address becomes a pointer here and nowhere else. What stands in guest RAM may change at any moment
 * (other vCPUs): copy once, then check the copy. */
#ifndef ATOLL_SYSVM_MEMORY_H
#define ATOLL_SYSVM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct vm_memory;

struct vm_ram {
    uint64_t gpa, size_bytes, offset;
    void *host;
};

enum vm_memory_kind {
    VM_MEMORY_DEFAULT, /* a memfd; private where the host refuses one or has no huge pages for it */
    VM_MEMORY_SHARED,  /* a memfd, or an error */
    VM_MEMORY_PRIVATE
};

/* in     size_bytes: a multiple of 4 KiB from VM_MEMORY_MIN to VM_MEMORY_MAX; the host gives pages when they are
 *        touched
 * owns   *out, for vm_memory_free; no vCPU or worker may use it then
 * fails  E_USAGE (size), E_NOMEM, E_IO */
enum atoll_status vm_memory_new_as(const struct atoll_alloc *alloc, uint64_t size_bytes,
                                   enum vm_memory_kind kind, struct vm_memory **out, struct atoll_error *err);
/* VM_MEMORY_DEFAULT */
enum atoll_status vm_memory_new(const struct atoll_alloc *alloc, uint64_t size_bytes, struct vm_memory **out,
                                struct atoll_error *err);
void vm_memory_free(struct vm_memory *memory); /* NULL is allowed */
#define VM_MEMORY_MIN (UINT64_C(1) << 20)
#define VM_MEMORY_MAX (UINT64_C(1) << 40)

/* The host address of guest bytes gpa .. gpa + n_bytes; NULL unless all of it is RAM in one piece. n_bytes 0:
 * NULL unless gpa is RAM. Any thread. */
void *vm_memory_at(const struct vm_memory *memory, uint64_t gpa, uint64_t n_bytes);
/* The same for the page of gpa, which a processor is about to use: what lies around it becomes a huge page first. */
void *vm_memory_page(const struct vm_memory *memory, uint64_t gpa);
/* gpa .. gpa + n_bytes is about to be used, nearly all of it: it becomes huge pages now, which costs less than page by
 * page. What of it is no RAM does not matter. */
void vm_memory_expect(const struct vm_memory *memory, uint64_t gpa, uint64_t n_bytes);
/* Whether guest memory that was touched without a word of ours is to be looked for, and made huge pages: some 2 MiB
 * each, n_max at most; returns how many there were. One thread at a time. */
bool vm_memory_wants_sweeps(const struct vm_memory *memory);
size_t vm_memory_sweep(struct vm_memory *memory, size_t n_max);

/* Copies; false, and nothing copied, unless all of it is RAM in one piece. */
bool vm_memory_read(const struct vm_memory *memory, uint64_t gpa, void *out, uint64_t n_bytes);
bool vm_memory_write(const struct vm_memory *memory, uint64_t gpa, const void *bytes, uint64_t n_bytes);

/* An engine that keeps something derived from guest memory (decoded code) is told of what others write there, after they
 * did: devices through vm_memory_wrote, and vm_memory_write. Set before anybody writes; NULL: nobody is told. */
void vm_memory_set_watcher(struct vm_memory *memory,
                           void (*wrote)(void *context, uint64_t gpa, uint64_t n_bytes), void *context);
/* host .. host + n_bytes, which vm_memory_at gave, has been written. Any thread. */
void vm_memory_wrote(const struct vm_memory *memory, const void *host, uint64_t n_bytes);

/* The pieces in ascending order: below the hole under 4 GiB, and above 4 GiB where there is that much. */
size_t vm_memory_ranges(const struct vm_memory *memory, const struct vm_ram **out);
uint64_t vm_memory_size(const struct vm_memory *memory);
int vm_memory_fd(const struct vm_memory *memory); /* of shared memory, borrowed; -1: it is private */
/* Gives whole pages back to the host; when they are touched again they are zeros. False: not pages of it, or the host
 * refuses. Any thread. */
bool vm_memory_give_back(const struct vm_memory *memory, uint64_t offset, uint64_t n_bytes);

#endif
