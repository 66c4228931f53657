/* sysvm/memory.c: guest RAM, see memory.h. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "sysvm/layout.h"
#include "sysvm/memory.h"

struct vm_memory {
    void (*wrote)(void *context, uint64_t gpa, uint64_t n_bytes); /* NULL: nobody wants to know */
    void *watcher;
    const struct atoll_alloc *alloc;
    uint64_t size_bytes;
    void *host;
    size_t n_ranges;
    struct vm_ram ranges[2];
};

static void lay_out(struct vm_memory *memory) {
    uint64_t low = memory->size_bytes < VM_HOLE_BASE ? memory->size_bytes : VM_HOLE_BASE;
    memory->ranges[0] = (struct vm_ram){.gpa = 0, .size_bytes = low, .host = memory->host};
    memory->n_ranges = 1;
    if (low == memory->size_bytes) return;
    memory->ranges[1] = (struct vm_ram){.gpa = VM_HOLE_END,
                                        .size_bytes = memory->size_bytes - low,
                                        .offset = low,
                                        .host = (char *)memory->host + low};
    memory->n_ranges = 2;
}

static enum atoll_status no_memory(uint64_t size_bytes, struct atoll_error *err) {
    if (err) err->system_errno = errno;
    return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "no %llu bytes of guest memory: %s",
                      (unsigned long long)size_bytes, strerror(errno));
}

/* Begins where a huge page may; what stands over on both sides goes back. */
static enum atoll_status map(struct vm_memory *memory, struct atoll_error *err) {
    uint64_t size = memory->size_bytes, room = size + VM_HUGE_PAGE;
    char *at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return no_memory(size, err);
    uint64_t before = -(uint64_t)(uintptr_t)at % VM_HUGE_PAGE;
    if (before) munmap(at, before);
    munmap(at + before + size, VM_HUGE_PAGE - before);
    memory->host = at + before;
    (void)madvise(memory->host, size, MADV_DONTDUMP); /* a core dump of ours is not the guest's */
    /* What boots no kernel touches few pages, and is not to clear 2 MiB for each. */
    (void)madvise(memory->host, size, size >= VM_BOOT_MEMORY_MIN ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return ATOLL_OK;
}

enum atoll_status vm_memory_new(const struct atoll_alloc *alloc, uint64_t size_bytes, struct vm_memory **out,
                                struct atoll_error *err) {
    if (size_bytes < VM_MEMORY_MIN || size_bytes > VM_MEMORY_MAX || size_bytes % VM_PAGE)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "guest memory of %llu bytes: it is 1 MiB to 1 TiB, in pages of 4 KiB",
                          (unsigned long long)size_bytes);
    struct vm_memory *memory = atoll_new(alloc, 1, sizeof *memory);
    if (!memory) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *memory = (struct vm_memory){.alloc = alloc, .size_bytes = size_bytes};
    enum atoll_status status = map(memory, err);
    if (status != ATOLL_OK) {
        vm_memory_free(memory);
        return status;
    }
    lay_out(memory);
    *out = memory;
    return ATOLL_OK;
}

void vm_memory_free(struct vm_memory *memory) {
    if (!memory) return;
    if (memory->host) munmap(memory->host, memory->size_bytes);
    atoll_free(memory->alloc, memory, sizeof *memory);
}

void *vm_memory_at(const struct vm_memory *memory, uint64_t gpa, uint64_t n_bytes) {
    for (size_t i = 0; i < memory->n_ranges; i++) {
        const struct vm_ram *ram = memory->ranges + i;
        if (gpa < ram->gpa || gpa - ram->gpa >= ram->size_bytes) continue;
        uint64_t offset = gpa - ram->gpa;
        return n_bytes <= ram->size_bytes - offset ? (char *)ram->host + offset : NULL;
    }
    return NULL;
}

bool vm_memory_read(const struct vm_memory *memory, uint64_t gpa, void *out, uint64_t n_bytes) {
    const void *at = vm_memory_at(memory, gpa, n_bytes);
    if (at) memcpy(out, at, n_bytes);
    return at;
}

bool vm_memory_write(const struct vm_memory *memory, uint64_t gpa, const void *bytes, uint64_t n_bytes) {
    void *at = vm_memory_at(memory, gpa, n_bytes);
    if (!at) return false;
    memcpy(at, bytes, n_bytes);
    vm_memory_wrote(memory, at, n_bytes);
    return true;
}

void vm_memory_set_watcher(struct vm_memory *memory,
                           void (*wrote)(void *context, uint64_t gpa, uint64_t n_bytes), void *context) {
    memory->wrote = wrote;
    memory->watcher = context;
}

void vm_memory_wrote(const struct vm_memory *memory, const void *host, uint64_t n_bytes) {
    if (!memory->wrote) return;
    for (size_t i = 0; i < memory->n_ranges; i++) {
        const struct vm_ram *ram = memory->ranges + i;
        uint64_t offset = (uint64_t)((const char *)host - (const char *)ram->host);
        if (offset < ram->size_bytes) memory->wrote(memory->watcher, ram->gpa + offset, n_bytes);
    }
}

size_t vm_memory_ranges(const struct vm_memory *memory, const struct vm_ram **out) {
    *out = memory->ranges;
    return memory->n_ranges;
}

uint64_t vm_memory_size(const struct vm_memory *memory) { return memory->size_bytes; }

bool vm_memory_give_back(const struct vm_memory *memory, uint64_t offset, uint64_t n_bytes) {
    if (offset % VM_PAGE || n_bytes % VM_PAGE || offset > memory->size_bytes ||
        n_bytes > memory->size_bytes - offset)
        return false;
    return madvise((char *)memory->host + offset, n_bytes, MADV_DONTNEED) == 0;
}
