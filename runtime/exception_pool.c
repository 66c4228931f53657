/* runtime/exception_pool.c: exceptions as references, in a store that has no managed heap: they are the only
 * objects in it then, and finding those that nobody refers to any more takes no more than this file.
 *
 *   block     | cells of one size, multiples of 16 bytes | a state for each: FREE, USED, MARKED |
 *   rt_exception_keep   takes a cell; when as much was taken as lived the last time, first:
 *     mark              from the store's roots and this thread's native stack, any word that is the address of
 *                       a cell in use keeps it, and those among its values
 *     sweep             the others become free, and blocks that are free as a whole go
 *
 * Objects do not move, so a word that only looks like a reference keeps too much at worst. Exceptions never change:
 * those made before the store's heap started refer to nothing in it. Objects in the heap may refer to them, though,
 * and are not looked at from here; so from then on nothing is freed before the store ends, and new exceptions
 * are made in the heap. Where the native stack cannot be found (a host's coroutine) nothing is freed either, up to the
 * limit. */
#include "bytecode/stress.h"
#include "runtime/internal.h"

/* Of a program, and not more than its managed heap might have: a collection takes a fraction of a second then. */
#define MAX_BYTES     (UINT64_C(256) << 20)
#define BLOCK_BYTES   ((size_t)16 << 10)
#define SMALL_BYTES   ((size_t)512)                            /* larger ones have a block of their own */
#define COLLECT_BYTES ATOLL_LIMIT((size_t)64 << 10, (size_t)1) /* taken: worth a collection */
#if defined(__clang__)
#define READS_ANY_STACK __attribute__((noinline, no_sanitize("address", "thread", "memory")))
#else
#define READS_ANY_STACK __attribute__((noinline, no_sanitize("address"), no_sanitize("thread")))
#endif

enum state { FREE, USED, MARKED };

struct block {
    uint8_t *cells, *states;
    uint32_t cell_bytes, n_cells;
    size_t bytes; /* of the allocation at `cells`, where states are the end */
};

struct rt_exception_pool {
    struct block *blocks; /* by address */
    size_t n_blocks, cap_blocks;
    void *free[SMALL_BYTES / 16 + 1]; /* by size / 16, linked by their first words */
    size_t taken, collect_at;         /* bytes since the last collection */
    struct rt_exception *gray; /* marked, values not looked at yet: linked by what is their layout later */
    uint64_t n_words;          /* looked at by this collection */
    union rt_slot *stale_end;  /* where the wasm stack in use ended as there was no room; NULL: there was */
};

static const struct rt_layout exception_form = {.form = RT_OBJECT_EXCEPTION};

static size_t bytes_of(const struct rt_tag *tag) {
    size_t bytes = sizeof(struct rt_exception) + (size_t)tag->type->param_slots * sizeof(union rt_slot);
    return (bytes + 15) & ~(size_t)15;
}

/* ---- blocks ---- */

/* The first block that does not end at or below the address. */
static size_t block_index(const struct rt_exception_pool *pool, uintptr_t address) {
    size_t low = 0, high = pool->n_blocks;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)pool->blocks[middle].states <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void link_free(struct rt_exception_pool *pool, const struct block *b, uint32_t cell) {
    void **at = (void **)(void *)(b->cells + (size_t)cell * b->cell_bytes),
         **list = &pool->free[b->cell_bytes / 16];
    *at = *list;
    *list = at;
}

static void free_block(struct rt_store *store, const struct block *b) {
    rt_budget_give(&store->budget->exception_bytes, b->bytes);
    atoll_free(rt_alloc(store), b->cells, b->bytes);
}

static bool pay(struct rt_store *store, size_t bytes) {
    uint64_t limit = rt_heap_limit(store->engine) < MAX_BYTES ? rt_heap_limit(store->engine) : MAX_BYTES;
    return rt_budget_take(&store->budget->exception_bytes, bytes, limit);
}

/* Cells of a block that there is room for; NULL: there is none. */
static struct block *add_block(struct rt_store *store, struct rt_exception_pool *pool, size_t cell_bytes) {
    uint32_t n = cell_bytes > SMALL_BYTES ? 1 : (uint32_t)(BLOCK_BYTES / (cell_bytes + 1));
    struct block b = {.cell_bytes = (uint32_t)cell_bytes, .n_cells = n, .bytes = n * (cell_bytes + 1)};
    void *blocks = pool->blocks;
    if (!pay(store, b.bytes)) return NULL;
    int full = atoll_grow(rt_alloc(store), &blocks, &pool->cap_blocks, pool->n_blocks + 1, sizeof b);
    pool->blocks = blocks;
    b.cells = full ? NULL : atoll_new(rt_alloc(store), 1, b.bytes);
    if (!b.cells) {
        rt_budget_give(&store->budget->exception_bytes, b.bytes);
        return NULL;
    }
    b.states = b.cells + n * cell_bytes;
    size_t at = block_index(pool, (uintptr_t)b.cells);
    struct block *to = pool->blocks + at;
    memmove(to + 1, to, (pool->n_blocks++ - at) * sizeof b);
    *to = b;
    return to;
}

/* ---- mark ---- */

static void mark(struct rt_exception_pool *pool, uintptr_t word) {
    size_t at = block_index(pool, word);
    const struct block *b = pool->blocks + at;
    if (at == pool->n_blocks || word < (uintptr_t)b->cells) return;
    size_t offset = word - (uintptr_t)b->cells;
    uint8_t *state = b->states + offset / b->cell_bytes;
    if (offset % b->cell_bytes || *state != USED) return;
    *state = MARKED;
    struct rt_exception *e = (struct rt_exception *)(void *)(b->cells + offset);
    e->layout = (const void *)pool->gray;
    pool->gray = e;
}

READS_ANY_STACK static void mark_words(void *context, void *from, void *to) {
    struct rt_exception_pool *pool = context;
    uintptr_t first = (uintptr_t)pool->blocks[0].cells;
    uintptr_t span = (uintptr_t)pool->blocks[pool->n_blocks - 1].states - first;
    for (const volatile uintptr_t *at = from, *end = to; at < end; at++) {
        uintptr_t word = *at;
        if (word - first < span) mark(pool, word);
    }
    pool->n_words += (uint64_t)((uintptr_t *)to - (uintptr_t *)from);
}

/* From a frame below the caller's, who has put all registers that outlive calls on the stack. */
READS_ANY_STACK static bool mark_native_stack(struct rt_exception_pool *pool) {
    void **here = __builtin_frame_address(0);
    uintptr_t base = rt_native_stack_base(here);
    if (base) mark_words(pool, here, (void *)base);
    return base != 0;
}

static void mark_values(struct rt_exception_pool *pool, const struct rt_exception *e) {
    const struct rt_type *type = e->tag->type;
    const union rt_slot *value = e->values;
    for (uint32_t i = 0; i < type->n_params; i++) {
        if (type->params[i].kind == BC_KIND_REF) mark(pool, (uintptr_t)value->ref);
        value += type->params[i].kind == BC_KIND_V128 ? 2 : 1;
    }
}

static void mark_gray(struct rt_exception_pool *pool) {
    while (pool->gray) {
        struct rt_exception *e = pool->gray;
        pool->gray = (struct rt_exception *)(uintptr_t)e->layout;
        e->layout = &exception_form;
        mark_values(pool, e);
    }
}

/* ---- sweep ---- */

/* Returns how many live on; in a block where none does, cells are not linked: it goes. */
static uint32_t sweep_block(struct rt_exception_pool *pool, const struct block *b) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_cells; i++) {
        b->states[i] = b->states[i] == MARKED ? USED : FREE;
        n += b->states[i] == USED;
    }
    for (uint32_t i = n ? b->n_cells : 0; i-- > 0;)
        if (b->states[i] == FREE) link_free(pool, b, i);
    return n;
}

/* Returns the bytes that live on. */
static size_t sweep(struct rt_store *store, struct rt_exception_pool *pool) {
    size_t n_blocks = 0, live = 0;
    memset(pool->free, 0, sizeof pool->free);
    for (size_t i = 0; i < pool->n_blocks; i++) {
        struct block b = pool->blocks[i];
        uint32_t n = sweep_block(pool, &b);
        live += (size_t)n * b.cell_bytes;
        if (n)
            pool->blocks[n_blocks++] = b;
        else
            free_block(store, &b);
    }
    pool->n_blocks = n_blocks;
    return live;
}

__attribute__((noinline)) static void collect(struct rt_store *store, struct rt_exception_pool *pool) {
    size_t live = pool->taken; /* as if: nobody knows unless the stack is found */
    __builtin_unwind_init();
    if (!pool->n_blocks) return;
    pool->n_words = 0;
    if (mark_native_stack(pool)) {
        rt_store_each_root(store, mark_words, pool);
        mark_gray(pool);
        live = sweep(store, pool);
    }
    pool->taken = 0;
    pool->collect_at = live > COLLECT_BYTES ? live : COLLECT_BYTES;
    /* a large table of references is not walked for a few exceptions */
    if (pool->collect_at < pool->n_words) pool->collect_at = (size_t)pool->n_words;
}

/* ---- keeping ---- */

static struct rt_exception_pool *pool_of(struct rt_store *store) {
    if (store->exceptions) return store->exceptions;
    struct rt_exception_pool *pool = atoll_new(rt_alloc(store), 1, sizeof *pool);
    if (pool) pool->collect_at = COLLECT_BYTES;
    return store->exceptions = pool;
}

static void *take(struct rt_exception_pool *pool, const struct block *b, void *cell) {
    b->states[(size_t)((uint8_t *)cell - b->cells) / b->cell_bytes] = USED;
    pool->taken += b->cell_bytes;
    return cell;
}

static void *take_free(struct rt_exception_pool *pool, size_t bytes) {
    void *cell = bytes <= SMALL_BYTES ? pool->free[bytes / 16] : NULL;
    if (!cell) return NULL;
    pool->free[bytes / 16] = *(void **)cell;
    return take(pool, pool->blocks + block_index(pool, (uintptr_t)cell), cell);
}

static void *take_new(struct rt_store *store, struct rt_exception_pool *pool, size_t bytes) {
    const struct block *b = add_block(store, pool, bytes);
    if (!b) return NULL;
    for (uint32_t i = b->n_cells; i-- > 1;) link_free(pool, b, i);
    return take(pool, b, b->cells);
}

struct rt_exception *rt_exception_keep(struct rt_store *store, struct rt_tag *tag) {
    struct rt_exception_pool *pool = pool_of(store);
    size_t bytes = bytes_of(tag);
    if (!pool) return NULL;
    if (pool->taken >= pool->collect_at) collect(store, pool);
    struct rt_exception *e = take_free(pool, bytes);
    if (!e) e = take_new(store, pool, bytes);
    if (!e) {
        collect(store, pool);
        e = take_free(pool, bytes);
        if (!e) e = take_new(store, pool, bytes);
        pool->stale_end = e ? NULL : store->scan_top;
    }
    if (e) e->layout = &exception_form;
    if (e) e->tag = tag;
    return e;
}

/* The next frames will lie where those of the trap lay, and not everything in them is written before a collection
 * reads it. */
void rt_exceptions_trapped(struct rt_store *store) {
    struct rt_exception_pool *pool = store->exceptions;
    if (!pool || !pool->stale_end) return;
    if (store->stack_top < pool->stale_end)
        memset(store->stack_top, 0, (size_t)(pool->stale_end - store->stack_top) * sizeof(union rt_slot));
    pool->stale_end = NULL;
}

void rt_exceptions_free(struct rt_store *store) {
    struct rt_exception_pool *pool = store->exceptions;
    if (!pool) return;
    for (size_t i = 0; i < pool->n_blocks; i++) free_block(store, pool->blocks + i);
    atoll_free(rt_alloc(store), pool->blocks, pool->cap_blocks * sizeof *pool->blocks);
    atoll_free(rt_alloc(store), pool, sizeof *pool);
}
