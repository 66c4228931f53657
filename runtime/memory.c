/* runtime/memory.c: linear memories.
 *
 *   base                 base + size_bytes          base + max_bytes        base + reserved_bytes
 *    |  read and write    |  PROT_NONE: growth opens it  |  PROT_NONE guard      |
 *
 * A guarded memory reserves every address that a 32-bit index plus a 32-bit offset can form, so its accesses
 * need no check: they fault, and the fault becomes the trap. Others (64-bit, custom pages, or a host without
 * the address space) reserve their bound, and each access is compared with size_bytes. The base never moves,
 * fresh pages are the kernel's zeros, and everything goes back to the kernel with the store, so that nobody
 * meets another's data.
 *
 * A shared memory is counted by references, grows under a lock of its own, and is paid for by the budget of
 * the store that made it. Its bytes change at any time: programs reach them by single instructions and
 * atomics, the host by the copies at the end of this file and by system calls. */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include "runtime/internal.h"
#include "bytecode/stress.h"

#define MAX_BYTES_64 (UINT64_C(64) << 30) /* what a 64-bit memory may grow to */
/* Of a bulk operation between two looks at the stop flag. */
#define CHUNK_BYTES ATOLL_LIMIT(UINT64_C(1) << 20, UINT64_C(64))

static uint64_t bound_bytes(const struct bc_limits *type) {
    uint64_t bound = type->is64 ? MAX_BYTES_64 : UINT64_C(1) << 32;
    uint64_t max = type->has_max ? type->max : UINT64_MAX;
    return max > bound >> type->page_size_log2 ? bound : max << type->page_size_log2;
}

static uint8_t *reserve(uint64_t bytes) {
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* The whole range of a guarded memory where it can be had, else as much of the bound as can. */
static bool reserve_memory(struct rt_memory *m, uint64_t min_bytes, uint64_t bound) {
    if (!m->type.is64 && m->type.page_size_log2 == 16 && (m->base = reserve(RT_GUARDED_BYTES))) {
        m->guarded = true;
        m->reserved_bytes = RT_GUARDED_BYTES;
        m->max_bytes = bound;
        return true;
    }
    uint64_t least = rt_host_page_up(min_bytes ? min_bytes : 1);
    uint64_t want = rt_host_page_up(bound ? bound : 1);
    while (!(m->base = reserve(want)) && want > least)
        want = want / 2 > least ? rt_host_page_up(want / 2) : least;
    m->reserved_bytes = want;
    m->max_bytes = bound < want ? bound : want;
    return m->base != NULL;
}

/* Makes [old, new) accessible. */
static bool commit(struct rt_memory *m, uint64_t old_bytes, uint64_t new_bytes) {
    uint64_t from = rt_host_page_up(old_bytes), to = rt_host_page_up(new_bytes);
    return to <= from || !mprotect(m->base + from, to - from, PROT_READ | PROT_WRITE);
}

static enum atoll_status fail_nomem(struct atoll_error *err) {
    return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

/* Counts a memory of `bytes`, unless a limit is in the way. */
static enum atoll_status charge(struct rt_budget *budget, const struct bc_limits *type, uint64_t bytes,
                                struct atoll_error *err) {
    uint32_t max_memories = budget->limits.max_memories;
    uint64_t max_bytes = budget->limits.max_memory_bytes;
    if (!rt_budget_take(&budget->n_memories, 1, max_memories))
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "more than %" PRIu32 " memories",
                          max_memories);
    if (rt_budget_take(&budget->memory_bytes, bytes, max_bytes)) return ATOLL_OK;
    rt_budget_give(&budget->n_memories, 1);
    return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                      "memory of %" PRIu64 " pages exceeds the limit of %" PRIu64 " bytes", type->min,
                      max_bytes);
}

static void discharge(struct rt_budget *budget, uint64_t bytes) {
    rt_budget_give(&budget->memory_bytes, bytes);
    rt_budget_give(&budget->n_memories, 1);
}

static enum atoll_status link_memory(struct rt_store *store, struct rt_memory *m, struct atoll_error *err) {
    struct rt_memory_link *link = atoll_new(rt_alloc(store), 1, sizeof *link);
    if (!link) return fail_nomem(err);
    *link = (struct rt_memory_link){m, store->memories};
    store->memories = link;
    return ATOLL_OK;
}

static void release(struct rt_memory *m, const struct atoll_alloc *alloc) {
    struct rt_engine *engine = m->engine;
    if (m->base) munmap(m->base, m->reserved_bytes);
    rt_budget_unref(m->budget);
    if (m->type.shared) pthread_mutex_destroy(&m->growing);
    atoll_free(alloc, m, sizeof *m);
    rt_engine_unref(engine); /* NULL unless shared */
}

/* Races on the bytes of a shared memory are the program's own: the thread sanitizer looks for the host's. */
static void leave_races_to_the_program(const struct rt_memory *m) {
#if defined(__SANITIZE_THREAD__)
    void AnnotateBenignRaceSized(const char *file, int line, const volatile void *at, size_t size,
                                 const char *what);
    AnnotateBenignRaceSized(__FILE__, __LINE__, m->base, m->reserved_bytes, "shared memory of a program");
#else
    (void)m;
#endif
}

/* A memory without a store yet, and not counted. */
static struct rt_memory *new_memory(struct rt_store *store, const struct bc_limits *type, uint64_t min_bytes,
                                    uint64_t bound) {
    struct rt_memory *m = atoll_new(rt_alloc(store), 1, sizeof *m);
    if (!m) return NULL;
    m->type = *type;
    m->budget = store->budget;
    rt_budget_ref(m->budget);
    if (type->shared) {
        m->engine = store->engine;
        rt_engine_ref(m->engine);
        atomic_init(&m->refs, 1);
        pthread_mutex_init(&m->growing, NULL);
    } else {
        m->store = store;
    }
    atomic_init(&m->size_bytes, min_bytes);
    if (reserve_memory(m, min_bytes, bound) && commit(m, 0, min_bytes)) {
        if (type->shared) leave_races_to_the_program(m);
        return m;
    }
    release(m, rt_alloc(store));
    return NULL;
}

enum atoll_status rt_memory_new(struct rt_store *store, const struct bc_limits *type, struct rt_memory **out,
                                struct atoll_error *err) {
    uint64_t bound = bound_bytes(type), min_bytes = type->min << type->page_size_log2;
    if (type->min > bound >> type->page_size_log2)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "memory of %" PRIu64 " pages is too large",
                          type->min);
    enum atoll_status status = charge(store->budget, type, min_bytes, err);
    if (status) return status;
    struct rt_memory *m = new_memory(store, type, min_bytes, bound);
    if (!m)
        status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET,
                            "cannot reserve a memory of %" PRIu64 " pages", type->min);
    else if ((status = link_memory(store, m, err)))
        release(m, rt_alloc(store));
    if (status) {
        discharge(store->budget, min_bytes);
        return status;
    }
    *out = m;
    return ATOLL_OK;
}

static void free_memory(struct rt_memory *m, const struct atoll_alloc *alloc) {
    discharge(m->budget, atomic_load(&m->size_bytes));
    release(m, alloc);
}

void rt_memory_drop(struct rt_store *store) {
    struct rt_memory_link *link = store->memories;
    store->memories = link->next;
    if (link->memory->type.shared)
        rt_memory_unref(link->memory);
    else
        free_memory(link->memory, rt_alloc(store));
    atoll_free(rt_alloc(store), link, sizeof *link);
}

/* ---- shared memories ---- */

void rt_memory_ref(struct rt_memory *m) {
    if (m->type.shared) atomic_fetch_add(&m->refs, 1);
}

void rt_memory_unref(struct rt_memory *m) {
    if (m && m->type.shared && atomic_fetch_sub(&m->refs, 1) == 1) free_memory(m, m->engine->alloc);
}

enum atoll_status rt_memory_attach(struct rt_store *store, struct rt_memory *m, struct atoll_error *err) {
    if (m->store == store) return ATOLL_OK;
    if (!m->type.shared)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "the memory is not shared and belongs to another store");
    if (m->engine != store->engine)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the memory belongs to another engine");
    for (const struct rt_memory_link *link = store->memories; link; link = link->next)
        if (link->memory == m) return ATOLL_OK;
    enum atoll_status status = link_memory(store, m, err);
    if (!status) rt_memory_ref(m);
    return status;
}

/* ---- growth ---- */

static void grow(struct rt_memory *m, uint64_t delta_pages, uint64_t *out_old) {
    unsigned shift = m->type.page_size_log2;
    uint64_t size = atomic_load_explicit(&m->size_bytes, memory_order_relaxed);
    if (delta_pages > (m->max_bytes - size) >> shift) return;
    uint64_t more = delta_pages << shift;
    struct rt_budget *budget = m->budget;
    if (!rt_budget_take(&budget->memory_bytes, more, budget->limits.max_memory_bytes)) return;
    if (!commit(m, size, size + more)) {
        rt_budget_give(&budget->memory_bytes, more);
        return;
    }
    /* the bytes are there before anybody can learn of them */
    atomic_store(&m->size_bytes, size + more);
    *out_old = size >> shift;
}

void rt_memory_grow(struct rt_memory *m, uint64_t delta_pages, uint64_t *out_old) {
    *out_old = UINT64_MAX;
    if (m->type.shared) pthread_mutex_lock(&m->growing);
    grow(m, delta_pages, out_old);
    if (m->type.shared) pthread_mutex_unlock(&m->growing);
}

/* ---- bulk operations: bounds first, then bytes, in pieces between which the store may be stopped ---- */

enum rt_trap rt_poll(const struct rt_store *store) {
    uint32_t why = atomic_load_explicit(&store->interrupt, memory_order_relaxed);
    if (__builtin_expect(why == RT_INTERRUPT_NONE, 1)) return RT_TRAP_NONE;
    return why == RT_INTERRUPT_TIMEOUT ? RT_TRAP_TIMEOUT : RT_TRAP_INTERRUPTED;
}

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

enum rt_trap rt_memory_fill(struct rt_store *store, struct rt_memory *m, uint64_t at, uint8_t byte,
                            uint64_t n) {
    uint8_t *p = rt_memory_at(m, at, n);
    if (!p) return RT_TRAP_MEMORY_BOUNDS;
    while (n > CHUNK_BYTES) {
        memset(p, byte, CHUNK_BYTES);
        p += CHUNK_BYTES;
        n -= CHUNK_BYTES;
        enum rt_trap trap = rt_poll(store);
        if (trap) return trap;
    }
    memset(p, byte, n);
    return RT_TRAP_NONE;
}

/* As memmove, from the end that is safe when the ranges overlap. */
static enum rt_trap copy_in_chunks(const struct rt_store *store, uint8_t *dst, const uint8_t *src,
                                   uint64_t n) {
    bool backwards = dst > src && dst < src + n;
    for (uint64_t done = 0; done < n;) {
        uint64_t chunk = min_u64(n - done, CHUNK_BYTES);
        uint64_t at = backwards ? n - done - chunk : done;
        memmove(dst + at, src + at, chunk);
        done += chunk;
        enum rt_trap trap = done < n ? rt_poll(store) : RT_TRAP_NONE;
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}

enum rt_trap rt_memory_copy(struct rt_store *store, struct rt_memory *dst, uint64_t dst_at,
                            struct rt_memory *src, uint64_t src_at, uint64_t n) {
    uint8_t *to = rt_memory_at(dst, dst_at, n);
    const uint8_t *from = rt_memory_at(src, src_at, n);
    if (!to || !from) return RT_TRAP_MEMORY_BOUNDS;
    if (n > CHUNK_BYTES) return copy_in_chunks(store, to, from, n);
    memmove(to, from, n);
    return RT_TRAP_NONE;
}

enum rt_trap rt_memory_init(struct rt_instance *instance, struct rt_memory *dst, uint32_t segment,
                            uint64_t dst_at, uint32_t src_at, uint32_t n) {
    const struct bc_module *bc = instance->module->bc;
    struct bc_range bytes = bc->datas[segment].bytes;
    if (instance->dropped_datas[segment]) bytes.size = 0;
    uint8_t *to = rt_memory_at(dst, dst_at, n);
    if (!to || src_at > bytes.size || n > bytes.size - src_at) return RT_TRAP_MEMORY_BOUNDS;
    return copy_in_chunks(instance->store, to, bc->bytes + bytes.offset + src_at, n);
}

void rt_data_drop(struct rt_instance *instance, uint32_t segment) { instance->dropped_datas[segment] = 1; }

/* ---- the host's reads and writes ---- */

/* The barrier keeps the compiler from reading the program's bytes again instead of the copy. */
bool rt_memory_read(struct rt_memory *m, uint64_t at, void *out, uint64_t n) {
    const void *p = rt_memory_at(m, at, n);
    if (!p) return false;
    memcpy(out, p, n);
    __asm__ volatile("" : : : "memory");
    return true;
}

bool rt_memory_write(struct rt_memory *m, uint64_t at, const void *bytes, uint64_t n) {
    void *p = rt_memory_at(m, at, n);
    if (!p) return false;
    memcpy(p, bytes, n);
    __asm__ volatile("" : : : "memory");
    return true;
}
