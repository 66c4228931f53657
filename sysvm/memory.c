/* sysvm/memory.c: guest RAM, see memory.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "sysvm/layout.h"
#include "sysvm/memory.h"
#include "sysvm/memory_huge.h"

struct vm_memory {
    void (*wrote)(void *context, uint64_t gpa, uint64_t n_bytes); /* NULL: nobody wants to know */
    void *watcher;
    const struct atoll_alloc *alloc;
    uint64_t size_bytes;
    void *host;
    int fd;                  /* of shared memory; -1: private */
    struct memory_huge huge; /* of shared memory from VM_BOOT_MEMORY_MIN on */
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

static enum atoll_status no_memory(uint64_t size_bytes, const char *kind, struct atoll_error *err) {
    int error = errno;
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "no %llu bytes of %sguest memory: %s",
               (unsigned long long)size_bytes, kind, strerror(error));
    if (err) err->system_errno = error;
    return ATOLL_E_IO;
}

/* ---- mapping ---- */

enum { PRIVATE_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };

/* Its size stays, so no access of ours can meet an end that somebody else has set. */
static int make_file(uint64_t size_bytes) {
    enum { NOEXEC_SEAL = 8 }; /* MFD_NOEXEC_SEAL, Linux 6.3 */
    static const char name[] = "atoll-guest";
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -1;
    if (ftruncate(fd, (off_t)size_bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Begins where a huge page may; what stands over on both sides goes back. */
static void *map_private(uint64_t size) {
    char *at = mmap(NULL, size + VM_HUGE_PAGE, PROT_READ | PROT_WRITE, PRIVATE_FLAGS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    uint64_t before = -(uint64_t)(uintptr_t)at % VM_HUGE_PAGE;
    if (before) munmap(at, before);
    munmap(at + before + size, VM_HUGE_PAGE - before);
    return at + before;
}

static bool map_at(void *host, uint64_t size, int flags, int fd) {
    return mmap(host, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) != MAP_FAILED;
}

/* What boots no kernel touches few pages, and is not to clear 2 MiB for each. */
static bool wants_huge(const struct vm_memory *memory) { return memory->size_bytes >= VM_BOOT_MEMORY_MIN; }

static void advise(const struct vm_memory *memory) {
    (void)madvise(memory->host, memory->size_bytes,
                  MADV_DONTDUMP); /* a core dump of ours is not the guest's */
    (void)madvise(memory->host, memory->size_bytes, wants_huge(memory) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

/* Puts a file in the place of private memory; false, and memory is as it was, where the host has none for us. */
static bool share(struct vm_memory *memory, bool must_be_huge) {
    uint64_t size = memory->size_bytes;
    int fd = make_file(size);
    if (fd < 0) return false;
    if (map_at(memory->host, size, MAP_SHARED, fd)) {
        advise(memory);
        memory->fd = fd;
        bool is_huge =
            wants_huge(memory) && memory_huge_new(&memory->huge, memory->alloc, memory->host, size, fd);
        if (is_huge || !must_be_huge) return true;
        memory->fd = -1;
    }
    int error = errno;
    close(fd);
    errno = map_at(memory->host, size, PRIVATE_FLAGS, -1) ? error : ENOMEM;
    return false;
}

static enum atoll_status map(struct vm_memory *memory, enum vm_memory_kind kind, struct atoll_error *err) {
    memory->host = map_private(memory->size_bytes);
    if (!memory->host) return no_memory(memory->size_bytes, "", err);
    bool may_be_small = kind == VM_MEMORY_SHARED || !wants_huge(memory);
    if (kind != VM_MEMORY_PRIVATE && share(memory, !may_be_small)) return ATOLL_OK;
    if (kind == VM_MEMORY_SHARED) return no_memory(memory->size_bytes, "shared ", err);
    advise(memory);
    return ATOLL_OK;
}

enum atoll_status vm_memory_new_as(const struct atoll_alloc *alloc, uint64_t size_bytes,
                                   enum vm_memory_kind kind, struct vm_memory **out,
                                   struct atoll_error *err) {
    if (size_bytes < VM_MEMORY_MIN || size_bytes > VM_MEMORY_MAX || size_bytes % VM_PAGE)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "guest memory of %llu bytes: it is 1 MiB to 1 TiB, in pages of 4 KiB",
                          (unsigned long long)size_bytes);
    struct vm_memory *memory = atoll_new(alloc, 1, sizeof *memory);
    if (!memory) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *memory = (struct vm_memory){.alloc = alloc, .size_bytes = size_bytes, .fd = -1};
    enum atoll_status status = map(memory, kind, err);
    if (status != ATOLL_OK) {
        vm_memory_free(memory);
        return status;
    }
    lay_out(memory);
    *out = memory;
    return ATOLL_OK;
}

enum atoll_status vm_memory_new(const struct atoll_alloc *alloc, uint64_t size_bytes, struct vm_memory **out,
                                struct atoll_error *err) {
    return vm_memory_new_as(alloc, size_bytes, VM_MEMORY_DEFAULT, out, err);
}

void vm_memory_free(struct vm_memory *memory) {
    if (!memory) return;
    memory_huge_free(&memory->huge);
    if (memory->host) munmap(memory->host, memory->size_bytes);
    if (memory->fd >= 0) close(memory->fd);
    atoll_free(memory->alloc, memory, sizeof *memory);
}

/* The piece of RAM in which an address lies; NULL: none is there. */
static const struct vm_ram *ram_of(const struct vm_memory *memory, uint64_t gpa) {
    for (size_t i = 0; i < memory->n_ranges; i++) {
        const struct vm_ram *ram = memory->ranges + i;
        if (gpa >= ram->gpa && gpa - ram->gpa < ram->size_bytes) return ram;
    }
    return NULL;
}

void *vm_memory_at(const struct vm_memory *memory, uint64_t gpa, uint64_t n_bytes) {
    const struct vm_ram *ram = ram_of(memory, gpa);
    if (!ram || n_bytes > ram->size_bytes - (gpa - ram->gpa)) return NULL;
    return (char *)ram->host + (gpa - ram->gpa);
}

void *vm_memory_page(const struct vm_memory *memory, uint64_t gpa) {
    const struct vm_ram *ram = ram_of(memory, gpa);
    if (!ram) return NULL;
    uint64_t offset = ram->offset + (gpa - ram->gpa);
    memory_huge_touch(&memory->huge, offset);
    return (char *)memory->host + offset;
}

void vm_memory_expect(const struct vm_memory *memory, uint64_t gpa, uint64_t n_bytes) {
    const struct vm_ram *ram = ram_of(memory, gpa);
    if (!ram) return;
    uint64_t offset = gpa - ram->gpa, left = ram->size_bytes - offset;
    memory_huge_gather(&memory->huge, ram->offset + offset, n_bytes < left ? n_bytes : left);
}

bool vm_memory_wants_sweeps(const struct vm_memory *memory) { return memory->huge.state; }
size_t vm_memory_sweep(struct vm_memory *memory, size_t n_max) {
    return memory_huge_sweep(&memory->huge, n_max);
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
int vm_memory_fd(const struct vm_memory *memory) { return memory->fd; }

bool vm_memory_give_back(const struct vm_memory *memory, uint64_t offset, uint64_t n_bytes) {
    if (offset % VM_PAGE || n_bytes % VM_PAGE || offset > memory->size_bytes ||
        n_bytes > memory->size_bytes - offset)
        return false;
    if (memory->fd < 0) return madvise((char *)memory->host + offset, n_bytes, MADV_DONTNEED) == 0;
    if (!n_bytes) return true; /* which a file's hole cannot have */
    int failed;
    do
        failed =
            fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)n_bytes);
    while (failed && errno == EINTR);
    if (!failed) memory_huge_lost(&memory->huge, offset, n_bytes);
    return !failed;
}
