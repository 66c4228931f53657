/* runtime/runtime.h: a program brought to life. The one header of this folder for the others.
 *
 *   struct rt_engine    configuration, the canonical type registry, the tier that executes    shared by threads
 *   struct rt_module    a validated bc_module plus what execution adds; immutable             shared by threads
 *   struct rt_store     all instances of one program, limits, the stack, the stop flag        one thread at a time
 *   struct rt_instance  one instantiated module
 *
 * The structs are open because interp/ and jit/ read their fields in every second instruction; others use the
 * functions. Values travel in 64-bit slots without tags (design.md D3): i32 and f32 in the low half (the
 * upper half is zero), v128 in two slots, low half first; a reference is a pointer, null is 0. */
#ifndef ATOLL_RUNTIME_H
#define ATOLL_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include "bytecode/bytecode.h"

union rt_slot {
    uint64_t u64;
    int64_t i64;
    uint32_t u32;
    int32_t i32;
    float f32;
    double f64;
    void *ref;
};

struct rt_store;
struct rt_instance;
struct rt_func;
struct rt_module;

/* ---- traps ---- */

/* One list: code, message. Messages are those the official tests compare with. */
#define RT_TRAP_LIST(X)                                                                                      \
    X(NONE, "")                                                                                              \
    X(UNREACHABLE, "unreachable")                                                                            \
    X(MEMORY_BOUNDS, "out of bounds memory access")                                                          \
    X(TABLE_BOUNDS, "out of bounds table access")                                                            \
    X(UNDEFINED_ELEMENT, "undefined element")                                                                \
    X(UNINITIALIZED_ELEMENT, "uninitialized element")                                                        \
    X(INDIRECT_TYPE, "indirect call type mismatch")                                                          \
    X(DIVIDE_BY_ZERO, "integer divide by zero")                                                              \
    X(INTEGER_OVERFLOW, "integer overflow")                                                                  \
    X(INVALID_CONVERSION, "invalid conversion to integer")                                                   \
    X(STACK_EXHAUSTED, "call stack exhausted")                                                               \
    X(NULL_REFERENCE, "null reference")                                                                      \
    X(NULL_FUNCTION, "null function reference")                                                              \
    X(NULL_EXCEPTION, "null exception reference")                                                            \
    X(NULL_I31, "null i31 reference")                                                                        \
    X(NULL_STRUCTURE, "null structure reference")                                                            \
    X(NULL_ARRAY, "null array reference")                                                                    \
    X(ARRAY_BOUNDS, "out of bounds array access")                                                            \
    X(CAST_FAILURE, "cast failure")                                                                          \
    X(UNALIGNED_ATOMIC, "unaligned atomic")                                                                  \
    X(EXPECTED_SHARED, "expected shared memory")                                                             \
    X(UNCAUGHT_EXCEPTION, "uncaught exception")                                                              \
    X(OUT_OF_MEMORY, "out of memory")                                                                        \
    X(INTERRUPTED, "interrupted")                                                                            \
    X(OUT_OF_FUEL, "all fuel consumed")                                                                      \
    X(TIMEOUT, "timeout")                                                                                    \
    X(UNKNOWN_IMPORT, "unknown import called")                                                               \
    X(UNSUPPORTED, "instruction not supported")                                                              \
    X(HOST, "host function failed") /* rt_store.trap_text says how */                                        \
    X(EXIT, "exit") /* not a trap for the user: the program asked to end with rt_store.exit_code */
enum rt_trap {
#define X(id, text) RT_TRAP_##id,
    RT_TRAP_LIST(X)
#undef X
        RT_TRAP_COUNT
};
const char *rt_trap_text(enum rt_trap trap);

struct rt_frame {                       /* of a backtrace, innermost first */
    const struct rt_instance *instance; /* lives as long as its store; NULL for a host function */
    uint32_t func;                      /* index in the module; BC_NONE for a host function */
    uint32_t offset;                    /* byte offset of the instruction in the module */
};
/* Frames kept: the innermost 48 and the outermost 16; rt_store.n_frames counts all. */
#define RT_BACKTRACE_MAX   64
#define RT_BACKTRACE_INNER 48

/* ---- engine ---- */

/* Who looks at code as it is compiled. Called by whichever thread compiles, one function (or loop of it) at a time;
 * several threads may at once. */
struct rt_code_viewer {
    uint32_t stages; /* those wanted: bit n = stage n of the compiler's (jit/jit.h) */
    void *context;
    bool (*wants)(void *context, const struct rt_module *module, uint32_t func);
    /* The text of all wanted stages, fit for a terminal. loop: byte offset of the loop that the code is entered
     * at, or BC_NONE. */
    void (*show)(void *context, const struct rt_module *module, uint32_t func, uint32_t loop,
                 const char *text, size_t n_bytes);
};

/* Machine code that has its place. */
struct rt_placed_code {
    struct rt_module *module; /* of the function; NULL: a thunk, which has a name */
    const char *name;
    uint32_t func;
    bool loop; /* one loop of the function, not all of it */
    const void *code;
    size_t n_bytes;
    const uint8_t *unwind; /* DWARF's call frame instructions, for a CIE as in jit/unwind.c */
    size_t unwind_bytes;
};

struct rt_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    bc_features features;            /* 0 = default */
    const struct rt_tier *tier;      /* who executes: &interp_tier */
    const bc_stop *stop;             /* ends the loading of modules; NULL = nobody does */
    bool fuel;                       /* count instructions: stores start with fuel 0 */
    bool relaxed_deterministic;      /* relaxed SIMD by the deterministic profile */
    /* Told of compiled code that has its place, some pieces at a time, by the thread that compiles, before it runs; NULL:
     * nobody wants to know. */
    void (*code_placed)(const struct rt_placed_code *codes, size_t n);
    bool breakable_code;                 /* a debugger of this process may set breakpoints in compiled code */
    const struct rt_code_viewer *viewer; /* lives as long as the engine; NULL: nobody looks */
    bool keep_code;                      /* compiled code can be saved: it keeps what it takes to move it */
    bool probes;        /* code asks the store's observer before each instruction: for debuggers */
    bool hot_at_once;   /* a tier that compiles what is hot takes everything for hot, and waits: for tests */
    size_t stack_bytes; /* wasm stack of a store; 0 = 8 MiB */
    uint64_t
        max_gc_heap_bytes; /* managed heap of the process; 0 = 4 GiB; the most generous engine's counts */
};
struct rt_engine {
    const struct atoll_alloc *alloc;
    struct rt_config config;
    struct rt_types *types;      /* canonical types, locked */
    struct rt_heap_engine *heap; /* its layouts; NULL until the managed heap starts */
    void *jit_data;              /* jit/'s code memory; NULL: its tier has none */
    const void *bridge;          /* jit_code of functions without machine code of their own */
    atomic_uint refs;
};
/* The engine, holding one reference. fails E_NOMEM. */
enum atoll_status rt_engine_new(const struct rt_config *config, struct rt_engine **out,
                                struct atoll_error *err);
void rt_engine_ref(struct rt_engine *engine);
void rt_engine_unref(struct rt_engine *engine);

/* A type equal across modules is the same pointer in one engine, so signature checks compare pointers.
 * Immortal in its engine. */
struct rt_type {
    const struct rt_type *super;          /* declared supertype or NULL */
    uint32_t depth;                       /* display[depth] == this */
    const struct rt_type *const *display; /* depth + 1 entries, root first: subtype check in constant time */
    enum bc_type_form form;
    bool final;
    uint32_t n_params, n_results, param_slots, result_slots; /* FUNC */
    const struct rt_valtype *params, *results;
    uint32_t n_fields; /* STRUCT, ARRAY */
    const struct rt_field *fields;
    const struct rt_layout
        *_Atomic layout; /* of its objects, or of exceptions with these values; made on demand */
};
struct rt_valtype { /* a value type outside a module */
    uint8_t kind;   /* enum bc_kind */
    bool nullable;
    uint8_t heap;               /* enum bc_heap_kind when type == NULL */
    const struct rt_type *type; /* concrete heap type or NULL */
};
struct rt_field {
    struct rt_valtype type; /* BC_KIND_PACKED: heap holds 8 or 16 */
    bool mutable;
};
static inline bool rt_type_matches(const struct rt_type *sub, const struct rt_type *super) {
    return sub == super || (sub->depth > super->depth && sub->display[super->depth] == super);
}
bool rt_valtype_matches(const struct rt_valtype *sub, const struct rt_valtype *super);
/* The canonical function type with these parameters and results (host functions are declared with it); NULL =
 * out of memory. */
const struct rt_type *rt_func_type(struct rt_engine *engine, const struct rt_valtype *params,
                                   uint32_t n_params, const struct rt_valtype *results, uint32_t n_results);
/* A module's value type in engine terms. */
struct rt_valtype rt_valtype_of(const struct rt_module *module, bc_valtype type);

/* ---- module ---- */

struct rt_module {
    struct rt_engine *engine; /* referenced */
    atomic_uint refs;
    struct bc_module *bc;             /* owned, validated */
    struct bc_source_map *source_map; /* owned; NULL unless assembled from text */
    const struct rt_type **types;     /* canonical, by type index */
    uint32_t *first_funcs;            /* by type index: first own function of the type, or BC_NONE */
    char *label;                      /* what messages call it: file name or "" */
    atomic_uint n_instantiations;     /* from the second on, start-up data comes from the image */
    pthread_mutex_t lock;             /* guards what is made on demand: image, names, export index */
    struct rt_image *image;           /* initial memory for copy-on-write mapping, or NULL */
    struct rt_export_index *exports;  /* hashed names, or NULL */
    bool image_tried, names_loaded;
    void *tier_data; /* what the interpreter keeps a module: lowered code */
    void *jit_data;  /* what jit/ keeps: compiled code */
};
/* Takes ownership of `bc` (also on failure) and of `map` (may be NULL). fails E_NOMEM, E_INVALID when not
 * validated. */
enum atoll_status rt_module_new(struct rt_engine *engine, struct bc_module *bc, struct bc_source_map *map,
                                const char *label, struct rt_module **out, struct atoll_error *err);
/* Decode (or assemble, when the bytes are text by bc_is_binary), validate, wrap: what `atoll run FILE` does
 * with its file. bytes   copied unless `borrow`, in which case they have to outlive the module */
enum atoll_status rt_module_load(struct rt_engine *engine, const uint8_t *bytes, size_t n_bytes, bool borrow,
                                 const char *label, struct rt_module **out, struct atoll_error *err);
/* The same with borrowed bytes; `bodies_are_valid`: an earlier load of them succeeded, in this build and with the features of
 * this engine. Whoever says so wrongly gives a program the run of the process. */
enum atoll_status rt_module_load_again(struct rt_engine *engine, const uint8_t *bytes, size_t n_bytes,
                                       bool bodies_are_valid, const char *label, struct rt_module **out,
                                       struct atoll_error *err);
void rt_module_ref(struct rt_module *module);
void rt_module_unref(struct rt_module *module);
/* A reader of the module's debugging sections (bc_debug_find), freed by the caller; NULL = it has none, or
 * was assembled from text, whose bytes are not those that the sections speak of. */
struct bc_debug *rt_module_debug(const struct rt_module *module);
/* The function's name from the name section, else an export's name, else empty. Loads names on first use. */
struct bc_name rt_module_func_name(struct rt_module *module, uint32_t func);
/* Appends the name, or its beginning, for people: what would drive a terminal, control characters and bytes that are no
 * UTF-8, as \xx. */
void rt_put_name(struct bc_buf *out, struct bc_name name);

/* ---- entities: what instances import, own and export ---- */

/* args_results[0 ..) holds the parameters in slots and receives the results. Returns RT_TRAP_NONE,
 * RT_TRAP_EXIT, or a trap; for RT_TRAP_HOST it sets the text with rt_store_trap_text first. `caller` is the
 * calling instance or NULL. */
typedef enum rt_trap rt_host_fn(struct rt_store *store, struct rt_instance *caller, void *context,
                                union rt_slot *args_results);

struct rt_func {
    const void *code; /* interp: lowered code to enter; its first word is a handler */
    const struct rt_type *type;
    struct rt_instance *instance; /* NULL: host function */
    uint32_t index;               /* in instance->module->bc; for imports of host functions unused */
    rt_host_fn *host;             /* host function or NULL */
    void *context;
    const void *jit_code; /* machine code, or the engine's bridge */
    union {
        const char *host_name; /* of a host function; not owned */
        /* The first own function of the instance that has this type: of two wasm functions it is the same where type and
         * instance are, and only there. A name is at none of their addresses. */
        const struct rt_func *kin;
    };
};

struct rt_memory {
    uint8_t *base;               /* never moves */
    _Atomic uint64_t size_bytes; /* now; shared memories change it from other threads, and never shrink */
    uint64_t max_bytes;          /* the type's and the configuration's bound */
    uint64_t reserved_bytes;     /* address space behind base, guard included */
    struct bc_limits type;
    bool guarded; /* 32-bit index, whole 4 GiB + offset range reserved: plain accesses need no check */
    struct rt_store *store;   /* the only one that uses it; NULL: shared, any number of stores */
    struct rt_budget *budget; /* pays for it; referenced */
    struct rt_engine *engine; /* SHARED: referenced */
    atomic_uint refs;         /* SHARED: stores that know it and others who hold it */
    pthread_mutex_t growing;  /* SHARED */
};
/* Whether a table of this type has this very size, and its elements their place, as long as it lives. */
static inline bool rt_table_is_fixed(const struct bc_limits *type) {
    return type->has_max && type->min == type->max;
}
/* What a store knows of memories: its own, and shared ones that its instances import. */
struct rt_memory_link {
    struct rt_memory *memory;
    struct rt_memory_link *next;
};
/* Bytes reserved behind the base of a guarded memory: 4 GiB of index + 4 GiB of static offset + 64 KiB for
 * the widest access. */
#define RT_GUARDED_BYTES ((UINT64_C(8) << 30) + 65536)

struct rt_table {
    union rt_slot *elems;
    uint64_t size, capacity; /* elems moves when the table grows */
    uint64_t stale_end;      /* elements behind size and below this may not be null: a growth was stopped */
    struct rt_valtype elem_type;
    struct bc_limits type;
    struct rt_store *store;
    struct rt_table *next; /* of the store */
    bool mapped;           /* elems came from mmap: large tables cost nothing until used */
};
struct rt_global {
    union rt_slot value[2];
    struct rt_valtype type;
    bool mutable;
};
struct rt_tag {
    const struct rt_type *type;
};
struct rt_extern {
    enum bc_extern kind;
    union {
        struct rt_func *func;
        struct rt_table *table;
        struct rt_memory *memory;
        struct rt_global *global;
        struct rt_tag *tag;
        void *any;
    };
};

/* ---- store ---- */

struct rt_limits {             /* 0 = no limit but the specification's */
    uint64_t max_memory_bytes; /* sum over all memories; a shared one counts once, where it was made */
    uint64_t max_table_elems;  /* sum over all tables */
    uint32_t max_instances, max_memories, max_tables;
};

/* What the stores of one program, each on its thread, use together, and their limits. Counts never pass a
 * limit, whatever threads do at the same moment. Limits are set while the program does not run. */
struct rt_budget {
    const struct atoll_alloc *alloc;
    atomic_uint refs; /* stores, and memories it pays for */
    struct rt_limits limits;
    _Atomic uint64_t memory_bytes, table_elems, n_instances, n_memories, n_tables;
    _Atomic uint64_t exception_bytes; /* of exceptions as references, outside of the managed heap */
    _Atomic int64_t fuel;             /* instructions that no store has taken yet (rt_fuel_take) */
};

enum rt_interrupt { RT_INTERRUPT_NONE, RT_INTERRUPT_CANCEL, RT_INTERRUPT_TIMEOUT };

/* Looks at the runs of a store from inside: a core dump, a debugger. What it finds there: interp.h. */
struct rt_observer {
    /* A trap was raised, store->trap says which, and its frames still stand. NULL: not wanted. */
    void (*trapped)(struct rt_observer *observer, struct rt_store *store);
    /* Before the instruction at byte `offset` of the module, in code made with rt_config.probes, unless
     * `quiet` says for how many more instructions nothing is asked. RT_TRAP_NONE, or a trap that ends the
     * run. */
    enum rt_trap (*probe)(struct rt_observer *observer, struct rt_store *store, struct rt_instance *instance,
                          uint32_t offset);
    uint32_t quiet;
};

struct rt_store {
    /* -- read by running code; keep in front -- */
    _Atomic uint32_t interrupt; /* enum rt_interrupt; any thread or signal handler may set it; polled at
                                   function entries and loop heads */
    _Atomic uint32_t
        attention;        /* what the interpreter polls: not 0 = look at `interrupt`, or tell the tier where
                                   the program is (rt_tier.hot) */
    int64_t fuel;         /* RT fuel mode: instructions left; below zero = stop */
    union rt_slot *stack; /* wasm stack, low end; guard pages on both sides */
    union rt_slot *stack_end; /* frames have to end at or below it */
    union rt_slot *stack_top; /* first free slot while the host runs: where a nested call begins */
    uint32_t host_depth;      /* nested host -> wasm calls, bounded so that the native stack holds */
    /* -- the rest -- */
    _Atomic uint32_t parked; /* futex word of a thread in memory.atomic.wait: not 0 = look again */
    struct rt_engine *engine;
    struct rt_budget *budget;        /* referenced */
    struct rt_memory_link *memories; /* all it knows, newest first; the fault handler reads it */
    struct rt_table *tables;
    struct rt_instance **instances;
    size_t n_instances, cap_instances;
    struct rt_activation
        *activation; /* innermost run of the tier: the signal handler and the stack walk start here */
    /* compiled code runs on the native stack */
    _Atomic uintptr_t
        native_limit;       /* where it has to stop; above everything while the program is interrupted */
    uintptr_t native_sp;    /* the stack pointer of the compiled code that called the host last */
    uintptr_t native_entry; /* that of the entry into compiled code, where a trap leaves to */
    uintptr_t native_call;  /* the same at its call of compiled code */
    struct rt_func *tail;   /* RT_TAIL_CALL: whom */
    struct rt_observer *observer; /* not owned; NULL: nobody looks */
    /* what ended the last call */
    enum rt_trap trap;
    int exit_code;
    char trap_text[512];
    struct rt_frame frames[RT_BACKTRACE_MAX]; /* read with rt_store_frame: the outermost 16 are a ring */
    uint32_t n_frames;                        /* all frames there were */
    void *host_data;                          /* stdlib/ hangs its state here */
    /* Ends a host call that blocks: rt_store_interrupt calls it behind setting `interrupt`.
     * Async-signal-safe; NULL = nothing can block. */
    void (*_Atomic wake)(struct rt_store *store);
    struct rt_owned *owned; /* externs created for the host: freed with the store */
    struct rt_host_global *host_globals;
    /* managed objects (object.h) */
    struct rt_heap *heap;                 /* NULL: nothing managed so far */
    struct rt_root *roots;                /* what the host holds */
    struct rt_exception_pool *exceptions; /* as references, made while there was no heap; or NULL */
    union rt_slot *scan_top; /* end of the wasm stack's part in use while this store's thread allocates or is
                                in a host call, else NULL */
    struct rt_instance *instantiating; /* not in `instances` yet */
    /* the exception in flight: between its throw and the landing at its handler */
    struct rt_tag *thrown_tag;    /* NULL: none */
    struct rt_exception *thrown;  /* it as a reference, or NULL: then its values are here */
    union rt_slot *thrown_values; /* owned, room for the largest tag so far */
    size_t n_thrown_values;
};
enum atoll_status rt_store_new(struct rt_engine *engine, const struct rt_limits *limits,
                               struct rt_store **out, struct atoll_error *err);
/* Another store of the same program, for a thread of its own: same engine, limits and fuel in common. Called
 * by the thread that uses `sibling`. fails E_NOMEM, E_LIMIT */
enum atoll_status rt_store_new_sibling(struct rt_store *sibling, struct rt_store **out,
                                       struct atoll_error *err);
void rt_store_free(struct rt_store *store);
/* Async-signal-safe, any thread: the running program stops at its next poll, within microseconds of wasm
 * time. A thread in memory.atomic.wait is woken, host calls that block through store->wake. */
void rt_store_interrupt(struct rt_store *store, enum rt_interrupt why);
/* The interpreter has paid attention. Returns whether there is an interrupt, which stays. */
bool rt_store_attend(struct rt_store *store);
/* printf into store->trap_text and returns RT_TRAP_HOST, for `return rt_store_trap_text(...)` in host
 * functions. */
enum rt_trap rt_store_trap_text(struct rt_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- instance ---- */

struct rt_instance {
    uint8_t *memory0_base; /* memories[0]->base, or an address whose every use faults in a guard when there is
                              none */
    struct rt_store *store;
    struct rt_func **funcs; /* by function index, imports first */
    struct rt_global **globals;
    struct rt_table **tables;
    union rt_slot **table_elems; /* by table: elems of those that never grow; of others unused */
    struct rt_memory **memories;
    struct rt_tag **tags;
    struct rt_module *module; /* referenced */
    struct rt_func *own_funcs;
    struct rt_global *own_globals;
    struct rt_tag *own_tags;
    size_t block_bytes;                     /* the instance and its arrays are one allocation */
    uint8_t *dropped_elems, *dropped_datas; /* a byte a segment */
    union rt_slot **elem_items; /* evaluated items of each element segment; NULL when dropped or empty */
    char *name;                 /* registered name, or NULL */
    uint32_t id;
    void *tier_data; /* what a tier keeps of it (rt_tier.instance_free), or NULL */
};
/* Where a linker finds imports: asked once an import, in order. Returns false when there is no such name. */
typedef bool rt_resolver(void *context, const struct rt_module *module, const struct bc_import *import,
                         struct rt_extern *out);

/* Whether all imports are found and fit: what rt_instantiate looks at first. fails E_LINK */
enum atoll_status rt_link_check(const struct rt_module *module, rt_resolver *resolve, void *context,
                                struct atoll_error *err);
/* Instantiates: resolves and checks imports, allocates, evaluates constant expressions, copies active
 * segments, runs start.
 * fails   E_LINK ("unknown import", "incompatible import type" + which), E_LIMIT, E_NOMEM, E_TRAP / E_EXIT /
 *         E_INTERRUPTED (store->trap ...) The instance belongs to the store and lives as long as it, also
 *         after a trap, since its functions may be in others' tables. */
enum atoll_status rt_instantiate(struct rt_store *store, struct rt_module *module, rt_resolver *resolve,
                                 void *context, struct rt_instance **out, struct atoll_error *err);
/* Where the arrays of all the module's instances stand: as if *out was the instance; they are not there.
 * False: it would be too large. */
bool rt_instance_measure(const struct rt_module *module, struct rt_instance *out);
/* False when there is no such export. `name` need not be NUL-terminated. */
bool rt_instance_export(const struct rt_instance *instance, const char *name, size_t size,
                        struct rt_extern *out);

/* Host-made entities; they belong to the store. */
enum atoll_status rt_host_func_new(struct rt_store *store, const struct rt_type *type, rt_host_fn *fn,
                                   void *context, const char *name, struct rt_func **out);
enum atoll_status rt_memory_new(struct rt_store *store, const struct bc_limits *type, struct rt_memory **out,
                                struct atoll_error *err);
/* A shared memory (type.shared) may be used by stores on any threads. Who holds it otherwise, for instance to
 * hand it over, counts: ref, unref from any thread; it ends with the last. Those of a store are its own
 * business (do nothing). */
void rt_memory_ref(struct rt_memory *memory);
void rt_memory_unref(struct rt_memory *memory);
/* Lets the instances of `store` import the memory, which stays at least as long as the store; rt_instantiate
 * does it for what a resolver offers, as long as that is referenced by somebody meanwhile.
 * fails  E_USAGE (of another store and not shared; of another engine), E_NOMEM */
enum atoll_status rt_memory_attach(struct rt_store *store, struct rt_memory *memory, struct atoll_error *err);
enum atoll_status rt_table_new(struct rt_store *store, struct rt_valtype elem, const struct bc_limits *type,
                               union rt_slot init, struct rt_table **out, struct atoll_error *err);
enum atoll_status rt_global_new(struct rt_store *store, struct rt_valtype type, bool mutable,
                                const union rt_slot value[2], struct rt_global **out);
enum atoll_status rt_tag_new(struct rt_store *store, const struct rt_type *type, struct rt_tag **out);

/* Calls a function from the host. args_results has room for max(param_slots, result_slots) slots.
 * fails   E_TRAP, E_EXIT, E_INTERRUPTED with the details in the store (trap, trap_text, exit_code, frames);
 * err->text holds the message */
enum atoll_status rt_call(struct rt_store *store, struct rt_func *func, union rt_slot *args_results,
                          struct atoll_error *err);

/* ---- operations that interpreter, JIT and host share; each returns RT_TRAP_NONE or the trap ---- */

/* Grows by delta pages; *out_old = pages before, or -1 (as UINT64_MAX) when refused. The base never moves.
 * Any thread when it is shared. */
void rt_memory_grow(struct rt_memory *memory, uint64_t delta_pages, uint64_t *out_old);
/* `store`: the one that runs, which may be stopped in between. */
enum rt_trap rt_memory_fill(struct rt_store *store, struct rt_memory *memory, uint64_t at, uint8_t byte,
                            uint64_t n);
enum rt_trap rt_memory_copy(struct rt_store *store, struct rt_memory *dst, uint64_t dst_at,
                            struct rt_memory *src, uint64_t src_at, uint64_t n);
enum rt_trap rt_memory_init(struct rt_instance *instance, struct rt_memory *dst, uint32_t segment,
                            uint64_t dst_at, uint32_t src_at, uint32_t n);
void rt_data_drop(struct rt_instance *instance, uint32_t segment);
/* memory.atomic.wait32 and wait64 (size 4, 8) at the effective address: *out = 0 woken, 1 another value than
 * `expected` is there, 2 timed out (timeout_ns < 0: never). Returns also when the store is stopped. */
enum rt_trap rt_memory_wait(struct rt_store *store, struct rt_memory *memory, uint64_t at, unsigned size,
                            uint64_t expected, int64_t timeout_ns, uint32_t *out);
/* Wakes up to `count` of those who wait at the address, longest waiting first; *out = how many. */
enum rt_trap rt_memory_notify(struct rt_memory *memory, uint64_t at, uint32_t count, uint32_t *out);
/* store->fuel fell below zero: takes more from the program's. False when there is none left. */
bool rt_fuel_take(struct rt_store *store);
void rt_table_grow(struct rt_table *table, uint64_t delta, union rt_slot init, uint64_t *out_old);
enum rt_trap rt_table_fill(struct rt_table *table, uint64_t at, union rt_slot value, uint64_t n);
enum rt_trap rt_table_copy(struct rt_table *dst, uint64_t dst_at, struct rt_table *src, uint64_t src_at,
                           uint64_t n);
enum rt_trap rt_table_init(struct rt_instance *instance, struct rt_table *dst, uint32_t segment,
                           uint64_t dst_at, uint32_t src_at, uint32_t n);
void rt_elem_drop(struct rt_instance *instance, uint32_t segment);
/* Guest range -> host pointer: the one place where a guest address becomes one (hostile-inputs 17). NULL when
 * [at, at + n) is not inside the memory now; n = 0 is inside when at <= size. */
static inline void *rt_memory_at(struct rt_memory *memory, uint64_t at, uint64_t n) {
    uint64_t size = atomic_load_explicit(&memory->size_bytes, memory_order_relaxed);
    if (at > size || n > size - at) return NULL;
    return memory->base + at;
}
/* The host's way into a memory that other threads may change meanwhile: bytes are read once, into the host's
 * own memory, and what is checked is the copy. False, and nothing done, when the range is not inside. */
bool rt_memory_read(struct rt_memory *memory, uint64_t at, void *out, uint64_t n);
bool rt_memory_write(struct rt_memory *memory, uint64_t at, const void *bytes, uint64_t n);
/* Evaluates a validated constant expression. */
enum rt_trap rt_const_eval(struct rt_instance *instance, struct bc_range expr, union rt_slot out[2]);

/* ---- what a tier provides ---- */

/* No trap: compiled code that the interpreter entered ended with a tail call of a function that has none. The
 * interpreter makes the call: store->tail, with its arguments at store->stack_top, where its frame has room. So
 * functions of both kinds call each other in tail position in constant stack. */
#define RT_TAIL_CALL ((enum rt_trap)(RT_TRAP_COUNT + 1))

struct rt_tier {
    const char *name;
    /* Called once an instance, before it runs: sets funcs' `code`. What takes long looks at the store's interrupt
     * and fails E_INTERRUPTED. */
    enum atoll_status (*prepare)(struct rt_instance *instance, struct atoll_error *err);
    /* Runs func with arguments in slots at args_results (on the wasm stack or not); results replace them. On
     * a trap the tier has called rt_store_capture (or filled frames) before it unwound. Never called for host
     * functions. */
    enum rt_trap (*call)(struct rt_store *store, struct rt_func *func, union rt_slot *args_results);
    void (*module_free)(struct rt_module *module); /* frees module->tier_data and module->jit_data */
    enum atoll_status (*engine_new)(
        struct rt_engine *engine); /* makes engine->jit_data and bridge; NULL: none */
    void (*engine_free)(struct rt_engine *engine);
    /* Runs a function that has machine code, for the interpreter; as `call`, or RT_TAIL_CALL. NULL: there are none. */
    enum rt_trap (*call_compiled)(struct rt_store *store, struct rt_func *func, union rt_slot *args_results);
    /* A tier that compiles what is hot; NULL: it does not. The interpreter is at func's start (loop = BC_NONE), or
     * goes back to the head of the loop at byte `loop` of the module. Returns machine code that goes on at the
     * loop's head, for call_loop, or NULL. */
    const void *(*hot)(struct rt_store *store, struct rt_func *func, uint32_t loop);
    /* Runs `code` on the frame whose parameters begin at `frame`; results replace them. As call_compiled. */
    enum rt_trap (*call_loop)(struct rt_store *store, struct rt_func *func, const void *code,
                              union rt_slot *frame);
    void (*instance_free)(struct rt_instance *instance); /* frees instance->tier_data */
};

/* ---- faults become traps ---- */

/* An activation is one host -> wasm entry of a tier, on the native stack, linked from the store. The tier
 * pushes it around its run. The process-wide SIGSEGV/SIGBUS handler (installed by rt_engine_new, chained to
 * the previous one, on an alternate stack) asks the innermost activation of the current thread: when the
 * fault address lies in a reservation of a memory of this store (or in the wasm stack's guards) and the pc in
 * [code_begin, code_end), it calls on_fault in signal context, which rewrites the ucontext (registers) so
 * that execution goes on in the tier's landing code, and returns true. Every other fault goes to the previous
 * handler: a crash stays a crash. */
struct rt_activation {
    struct rt_activation *previous; /* of this thread */
    struct rt_store *store;
    const void *code_begin, *code_end;
    bool (*on_fault)(struct rt_activation *activation, void *ucontext, const void *fault_address,
                     enum rt_trap trap);
    /* Records the frames of this run, innermost first, with rt_store_add_frame. */
    void (*walk)(struct rt_activation *activation);
};
void rt_activation_push(struct rt_activation *activation); /* thread-local list; also store->activation */
void rt_activation_pop(struct rt_activation *activation);
/* Makes sure that the calling thread has an alternate signal stack; rt_activation_push does it. fails
 * E_NOMEM, E_IO */
enum atoll_status rt_thread_prepare(void);

/* The address below which programs may not use this thread's native stack: the host keeps room for itself. */
uintptr_t rt_native_stack_limit(void);

/* Begins the record of a trap: forgets older frames and asks the store's activations for new
 * ones. A tier calls it where a trap arises, before it unwinds; not again where a trap of a nested call
 * passes through. */
void rt_store_capture(struct rt_store *store);
/* Records a frame of a backtrace, innermost first, keeping the first 48 and the last 16. */
void rt_store_add_frame(struct rt_store *store, const struct rt_instance *instance, uint32_t func,
                        uint32_t offset);
/* The i-th innermost frame of the last trap, i < n_frames; NULL for one of those that were not kept. */
const struct rt_frame *rt_store_frame(const struct rt_store *store, uint32_t i);
/* The backtrace of the last trap as text lines ("    0: fib+0x3a (fib.wasm:0x5c)"; with debugging sections
 * " at fib.c:7:12" behind), appended to out. */
void rt_store_backtrace(const struct rt_store *store, struct bc_buf *out);

#include "runtime/object.h"

#endif
