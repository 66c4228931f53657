/* runtime/table.c: tables. Small ones live on the heap; large ones are mapped, so that the kernel gives pages
 * only to the elements that are used, and growth moves page tables instead of elements. */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include "runtime/internal.h"
#include "bytecode/stress.h"

#define MAP_FROM_ELEMS ATOLL_LIMIT(UINT64_C(4096), UINT64_C(16))
#define CHUNK_ELEMS    UINT64_C(65536) /* of a bulk operation between two looks at the stop flag */

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t max_elems(const struct rt_table *t) {
    return t->type.has_max ? min_u64(t->type.max, BC_MAX_TABLE_ELEMS) : BC_MAX_TABLE_ELEMS;
}

static union rt_slot *map_elems(uint64_t capacity) {
    void *p = mmap(NULL, capacity * sizeof(union rt_slot), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void release(struct rt_table *t) {
    if (t->mapped)
        munmap(t->elems, t->capacity * sizeof *t->elems);
    else
        atoll_free(rt_alloc(t->store), t->elems, t->capacity * sizeof *t->elems);
}

/* Moves the elements to an array of `capacity`; those behind size are null, or stale as before. */
static bool move_elems(struct rt_table *t, uint64_t capacity) {
    bool map = capacity >= MAP_FROM_ELEMS;
    union rt_slot *elems;
    if (t->mapped) {
        void *p = mremap(t->elems, t->capacity * sizeof *elems, capacity * sizeof *elems, MREMAP_MAYMOVE);
        if (p == MAP_FAILED) return false;
        elems = p;
    } else {
        elems = map ? map_elems(capacity) : atoll_new(rt_alloc(t->store), capacity, sizeof *elems);
        if (!elems) return false;
        if (t->size) memcpy(elems, t->elems, t->size * sizeof *elems);
        release(t);
        t->stale_end = 0;
    }
    t->elems = elems;
    t->capacity = capacity;
    t->mapped = map;
    return true;
}

static bool resize(struct rt_table *t, uint64_t capacity) {
    bool paused = rt_heap_pause(t->store);
    bool done = move_elems(t, capacity);
    rt_heap_resume(paused);
    return done;
}

/* Room for `want` elements, doubling so that growing one by one stays linear. */
static bool make_room(struct rt_table *t, uint64_t want) {
    if (want <= t->capacity) return true;
    uint64_t doubled = min_u64(t->capacity * 2, max_elems(t));
    return resize(t, want > doubled ? want : doubled);
}

/* Writes elements behind the size, which are null but for what a stopped growth left there. When it is
 * stopped they stay as they are: to clear them would take as long as to fill them. */
static enum rt_trap fill_fresh(struct rt_table *t, uint64_t from, uint64_t to, union rt_slot init) {
    uint64_t end = init.u64 ? to : min_u64(to, t->stale_end);
    if (end > t->stale_end) t->stale_end = end;
    for (uint64_t i = from; i < end; i++) {
        t->elems[i] = init;
        enum rt_trap trap = (i + 1) % CHUNK_ELEMS ? RT_TRAP_NONE : rt_poll(t->store);
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}

/* Counts a table of type->min elements, unless a limit is in the way. */
static enum atoll_status charge(struct rt_budget *budget, const struct bc_limits *type,
                                struct atoll_error *err) {
    uint32_t max_tables = budget->limits.max_tables;
    uint64_t max = budget->limits.max_table_elems;
    if (type->min > BC_MAX_TABLE_ELEMS)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "table of %" PRIu64 " elements is too large",
                          type->min);
    if (!rt_budget_take(&budget->n_tables, 1, max_tables))
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "more than %" PRIu32 " tables", max_tables);
    if (rt_budget_take(&budget->table_elems, type->min, max)) return ATOLL_OK;
    rt_budget_give(&budget->n_tables, 1);
    return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                      "table of %" PRIu64 " elements exceeds the limit of %" PRIu64, type->min, max);
}

static void discharge(struct rt_budget *budget, uint64_t n_elems) {
    rt_budget_give(&budget->table_elems, n_elems);
    rt_budget_give(&budget->n_tables, 1);
}

/* fails  E_NOMEM, E_INTERRUPTED */
static enum atoll_status make(struct rt_table *t, union rt_slot init, struct atoll_error *err) {
    if (!make_room(t, t->type.min))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory for a table of %" PRIu64,
                          t->type.min);
    enum rt_trap trap = fill_fresh(t, 0, t->type.min, init);
    if (!trap) return ATOLL_OK;
    release(t);
    t->store->n_frames = 0; /* no function did it */
    return rt_trap_report(t->store, trap, err);
}

enum atoll_status rt_table_new(struct rt_store *store, struct rt_valtype elem, const struct bc_limits *type,
                               union rt_slot init, struct rt_table **out, struct atoll_error *err) {
    enum atoll_status status = charge(store->budget, type, err);
    if (status) return status;
    struct rt_table *t = atoll_new(rt_alloc(store), 1, sizeof *t);
    if (t) *t = (struct rt_table){.elem_type = elem, .type = *type, .store = store};
    status = t ? make(t, init, err) : atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (status) {
        atoll_free(rt_alloc(store), t, sizeof *t);
        discharge(store->budget, type->min);
        return status;
    }
    t->size = type->min;
    t->next = store->tables;
    atomic_signal_fence(memory_order_seq_cst); /* whole before the collector of another thread can meet it */
    store->tables = t;
    *out = t;
    return ATOLL_OK;
}

void rt_table_free(struct rt_table *t) {
    struct rt_store *store = t->store;
    store->tables = t->next;
    discharge(store->budget, t->size);
    release(t);
    atoll_free(rt_alloc(store), t, sizeof *t);
}

void rt_table_grow(struct rt_table *t, uint64_t delta, union rt_slot init, uint64_t *out_old) {
    uint64_t max = max_elems(t), old = t->size;
    struct rt_budget *budget = t->store->budget;
    *out_old = UINT64_MAX;
    if (max < old || delta > max - old) return;
    if (!rt_budget_take(&budget->table_elems, delta, budget->limits.max_table_elems)) return;
    /* stopped while filling: growth fails, and the program stops at its next poll */
    if (!make_room(t, old + delta) || fill_fresh(t, old, old + delta, init)) {
        rt_budget_give(&budget->table_elems, delta);
        return;
    }
    t->size += delta;
    *out_old = old;
}

static bool inside(uint64_t at, uint64_t n, uint64_t size) { return at <= size && n <= size - at; }

enum rt_trap rt_table_fill(struct rt_table *t, uint64_t at, union rt_slot value, uint64_t n) {
    if (!inside(at, n, t->size)) return RT_TRAP_TABLE_BOUNDS;
    for (uint64_t i = 0; i < n; i++) {
        t->elems[at + i] = value;
        enum rt_trap trap = (i + 1) % CHUNK_ELEMS ? RT_TRAP_NONE : rt_poll(t->store);
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}

static enum rt_trap copy_in_chunks(const struct rt_store *store, union rt_slot *dst, const union rt_slot *src,
                                   uint64_t n) {
    bool backwards = dst > src && dst < src + n;
    for (uint64_t done = 0; done < n;) {
        uint64_t chunk = min_u64(n - done, CHUNK_ELEMS);
        uint64_t at = backwards ? n - done - chunk : done;
        memmove(dst + at, src + at, chunk * sizeof *dst);
        done += chunk;
        enum rt_trap trap = done < n ? rt_poll(store) : RT_TRAP_NONE;
        if (trap) return trap;
    }
    return RT_TRAP_NONE;
}

enum rt_trap rt_table_copy(struct rt_table *dst, uint64_t dst_at, struct rt_table *src, uint64_t src_at,
                           uint64_t n) {
    if (!inside(dst_at, n, dst->size) || !inside(src_at, n, src->size)) return RT_TRAP_TABLE_BOUNDS;
    if (!n) return RT_TRAP_NONE;
    return copy_in_chunks(dst->store, dst->elems + dst_at, src->elems + src_at, n);
}

enum rt_trap rt_table_init(struct rt_instance *instance, struct rt_table *dst, uint32_t segment,
                           uint64_t dst_at, uint32_t src_at, uint32_t n) {
    uint32_t size = instance->dropped_elems[segment] ? 0 : instance->module->bc->elems[segment].n_items;
    if (!inside(dst_at, n, dst->size) || !inside(src_at, n, size)) return RT_TRAP_TABLE_BOUNDS;
    if (!n) return RT_TRAP_NONE;
    return copy_in_chunks(dst->store, dst->elems + dst_at, instance->elem_items[segment] + src_at, n);
}
