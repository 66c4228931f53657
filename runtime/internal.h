/* runtime/internal.h: what the files of this folder tell each other. */
#ifndef ATOLL_RUNTIME_INTERNAL_H
#define ATOLL_RUNTIME_INTERNAL_H

#include "runtime/runtime.h"

#define RT_HOST_PAGE UINT64_C(4096)

static inline uint64_t rt_host_page_up(uint64_t bytes) {
    return (bytes + RT_HOST_PAGE - 1) & ~(RT_HOST_PAGE - 1);
}
static inline const struct atoll_alloc *rt_alloc(const struct rt_store *store) {
    return store->engine->alloc;
}

/* ---- types.c ---- */

struct rt_types *rt_types_new(const struct atoll_alloc *alloc);
void rt_types_free(struct rt_types *types);
/* Fills module->types[0 .. n_types) with the engine's canonical types. fails E_NOMEM */
enum atoll_status rt_types_of_module(struct rt_types *types, struct rt_module *module);
bool rt_valtype_equal(const struct rt_valtype *a, const struct rt_valtype *b);

/* ---- extern_type.c: the type of an import or of what is offered for it ---- */

struct rt_extern_type {
    enum bc_extern kind;
    const struct rt_type *type; /* FUNC, TAG */
    struct rt_valtype valtype;  /* GLOBAL; TABLE: of the elements */
    struct bc_limits limits;    /* TABLE, MEMORY */
    bool mutable;               /* GLOBAL */
};
struct rt_extern_type rt_extern_type_wanted(const struct rt_module *module, const struct bc_import *import);
struct rt_extern_type rt_extern_type_found(const struct rt_extern *found);
/* The specification's "External Types / Matching". */
bool rt_extern_type_matches(const struct rt_extern_type *found, const struct rt_extern_type *wanted);
/* The text form, cut to fit; returns out. */
const char *rt_extern_type_text(const struct rt_extern_type *type, char *out, size_t size);

/* ---- module.c ---- */

/* The name section's name of anything. */
struct bc_name rt_module_name(struct rt_module *module, enum bc_name_space space, uint32_t index);
/* The export of that name, or NULL. */
const struct bc_export *rt_module_export(struct rt_module *module, const char *name, size_t size);

/* ---- image.c: initial memory contents, mapped copy-on-write ---- */

struct rt_image {
    uint32_t memory;      /* memory index it is for */
    uint32_t n_segments;  /* data segments [0 .. n_segments) are in it or passive */
    uint64_t start, size; /* bytes of the memory it covers; whole host pages */
    int fd;
};
/* The module's image, made on first call; NULL when data is too small or too scattered to pay. */
const struct rt_image *rt_image_of(struct rt_module *module);
/* Maps it into a fresh memory. Returns false when the system refuses; the memory is as before. */
bool rt_image_map(const struct rt_image *image, struct rt_memory *memory);
void rt_image_free(struct rt_image *image, const struct atoll_alloc *alloc);

/* ---- memory.c, table.c ---- */

void rt_memory_drop(struct rt_store *store); /* the newest it knows */
void rt_table_free(struct rt_table *table);  /* the newest of its store */
/* The trap for store->interrupt, or RT_TRAP_NONE. */
enum rt_trap rt_poll(const struct rt_store *store);

/* ---- budget.c ---- */

/* With one reference; NULL = out of memory. */
struct rt_budget *rt_budget_new(const struct atoll_alloc *alloc, const struct rt_limits *limits);
void rt_budget_ref(struct rt_budget *budget);
void rt_budget_unref(struct rt_budget *budget);
/* Adds `n` to a count when the sum stays within `limit`, 0 meaning none. */
bool rt_budget_take(_Atomic uint64_t *count, uint64_t n, uint64_t limit);
static inline void rt_budget_give(_Atomic uint64_t *count, uint64_t n) { atomic_fetch_sub(count, n); }
/* Moves the store's fuel to where its siblings find it too. */
void rt_fuel_give(struct rt_store *store);

/* ---- wait.c ---- */

/* Makes a thread that waits in the store look again: store->interrupt has changed. Async-signal-safe. */
void rt_unpark(struct rt_store *store);

/* ---- stack.c ---- */

/* Reserves the wasm stack of `bytes` with guards. Fails E_NOMEM. */
enum atoll_status rt_stack_new(struct rt_store *store, size_t bytes, struct atoll_error *err);
void rt_stack_free(struct rt_store *store);
bool rt_stack_guards(const struct rt_store *store, const void *address);
/* The native stack of this thread still has room for a nested call. */
bool rt_native_stack_left(void);
/* Where this thread's native stack begins, given an address in the part in use; 0: that is another stack, or
 * nobody knows. */
uintptr_t rt_native_stack_base(const void *in_use);

/* ---- roots.c ---- */

typedef void rt_visit_words(void *context, void *low, void *high);
/* Every place outside of native stacks where the store may hold references, as ranges of words, not empty. */
void rt_store_each_root(struct rt_store *store, rt_visit_words *visit, void *context);

/* ---- store.c ---- */

/* The managed globals that the host made, as ranges of memory. */
void rt_store_each_host_global(const struct rt_store *store, rt_visit_words *visit, void *context);

/* ---- heap.c ---- */

#define RT_DEFAULT_MAX_HEAP (UINT64_C(4) << 30)
static inline uint64_t rt_heap_limit(const struct rt_engine *engine) {
    uint64_t bytes = engine->config.max_gc_heap_bytes;
    return bytes ? bytes : RT_DEFAULT_MAX_HEAP;
}
struct rt_heap_engine;
const struct rt_layout *rt_host_layout_of(struct rt_engine *engine);
void rt_heap_free(struct rt_store *store);
void rt_heap_engine_free(struct rt_engine *engine);

/* ---- exception_pool.c: exceptions as references, in a store without a managed heap ---- */

/* The exception as an object that lives as long as anything of the store's refers to it; NULL = out of memory.
 * Its values are in store->thrown_values. */
struct rt_exception *rt_exception_keep(struct rt_store *store, struct rt_tag *tag);
/* A call of the host's has ended with a trap: what it left on the stack holds no exception any more. */
void rt_exceptions_trapped(struct rt_store *store);
void rt_exceptions_free(struct rt_store *store);

/* ---- exception.c ---- */

/* Names the exception in flight in store->trap_text. It stays in flight: a host function may throw it on. */
void rt_exception_describe(struct rt_store *store);

/* ---- instance.c ---- */

void rt_instance_free(struct rt_instance *instance);

/* ---- segment.c ---- */

/* Evaluates the items of element segments that table.init and array.new_elem may still want. */
enum rt_trap rt_elems_evaluate(struct rt_instance *instance);
/* Copies active segments in order; the first that does not fit traps and leaves earlier ones in place. */
enum rt_trap rt_elems_apply(struct rt_instance *instance);
enum rt_trap rt_datas_apply(struct rt_instance *instance, const struct rt_image *image);

/* ---- trap.c ---- */

/* Records the outcome in the store, fills err, returns the status rt_call documents. */
enum atoll_status rt_trap_report(struct rt_store *store, enum rt_trap trap, struct atoll_error *err);

/* ---- fault.c ---- */

/* Installs the process-wide handlers, once. fails E_IO */
enum atoll_status rt_faults_install(void);

#endif
