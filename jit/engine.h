/* jit/engine.h: code memory of an engine, the thunks in it, and what belongs to a module. */
#ifndef ATOLL_JIT_ENGINE_H
#define ATOLL_JIT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include "jit/alloc.h"
#include "jit/code.h"
#include "jit/internal.h"
#include "jit/memory.h"

struct jit_place { /* of the index: code by address */
    const uint8_t *start;
    const struct jit_code *code;
};
/* engine->jit_data */
struct jit_engine {
    const struct atoll_alloc *alloc;
    pthread_mutex_t lock;
    struct jit_memory memory; /* under the lock */
    struct jit_place *places; /* by address */
    size_t n_places, cap_places;
    const uint8_t *traps; /* thunks: 16 bytes a trap */
    const uint8_t *leave, *bridge, *first, *throw, *throw_ref, *refuel;
    const uint8_t *tails[JIT_TAIL_CLASSES], *tail_backs;
    void (*leave_from_host)(enum rt_trap trap, struct rt_instance *instance) __attribute__((noreturn));
    void *disassembler;           /* dump_code.c: the library, once it was wanted */
    struct jit_hot *hot;          /* hot.c; NULL: everything is compiled in advance */
    _Atomic uint64_t n_published; /* jit_publish */
};

/* Code that another thread made is entered by compiled code, which finds its address in rt_func.jit_code by a plain
 * load. On x86 such a load is ordered before all that follows it, but the C memory model knows of no load there, nor
 * does ThreadSanitizer. So the thread that makes code counts it (jit_publish) when all of it is written and its
 * address is nowhere yet; and every way from compiled code into C begins with a look at that counter (jit_seen):
 * bridge, traps, throws, slow instructions, the return to who entered. What the code brought along (slow
 * instructions, layouts of the objects that it made, places, handlers) may be read behind it. */
static inline void jit_publish(struct jit_engine *engine) {
    atomic_fetch_add_explicit(&engine->n_published, 1, memory_order_release);
}
static inline void jit_seen(const struct rt_store *store) {
    const struct jit_engine *engine = store->engine->jit_data;
    atomic_load_explicit(&engine->n_published, memory_order_acquire);
}

/* ---- index.c ---- */

enum atoll_status jit_index_add(struct jit_engine *engine, const struct jit_code *code);
/* All code of the module. */
void jit_index_remove(struct jit_engine *engine, const struct rt_module *module);
const struct jit_code *jit_index_find(const struct jit_engine *engine, const uint8_t *pc);
void jit_index_fini(struct jit_engine *engine);

/* ---- thunk.c ---- */

struct jit_unwind;
/* rdi code, rsi slots, rdx instance, rcx store: the way into compiled code. */
typedef enum rt_trap jit_entry(const void *code, union rt_slot *slots, struct rt_instance *instance,
                               struct rt_store *store);
enum atoll_status jit_thunks_make(struct jit_engine *engine, const struct rt_config *config);
/* The entry for functions of this type, or for code that goes on at a loop in one of them, whose one argument is
 * the slots' address. False: out of memory. */
bool jit_entry_emit(const struct atoll_alloc *alloc, const struct rt_type *type, bool at_loop, struct x86 *a,
                    struct jit_unwind *unwind);

/* ---- unwind.c: what a debugger is told of a piece of code; until something else is said, the caller's frame ends at rsp
 * + 8 and its registers are as they were ---- */

struct jit_unwind {
    uint8_t bytes[256];
    uint32_t n, at; /* n: beyond the room where there was not enough */
};
/* From this offset in the code on it is as said next. */
void jit_unwind_at(struct jit_unwind *u, uint32_t at);
/* The caller's frame ends so many bytes above the register: there rsp was before the call. */
void jit_unwind_end(struct jit_unwind *u, int reg, uint32_t distance);
/* The caller's register is kept so far below the end; or nowhere. */
void jit_unwind_kept(struct jit_unwind *u, int reg, uint32_t below);
void jit_unwind_lost(struct jit_unwind *u, int reg);
void jit_unwind_function(struct jit_unwind *u, const struct jit_code *code);
/* Tells who wants to know of placed code. */
void jit_tell_thunk(const struct rt_config *config, const char *name, const uint8_t *code, size_t n_bytes,
                    const struct jit_unwind *u);

/* ---- run.c ---- */

struct jit_regs { /* what the bridge saves */
    uint64_t ints[6];
    uint8_t floats[8][16];
};
enum rt_trap jit_bridge(struct rt_func *func, struct jit_regs *regs, uint8_t *stack,
                        struct rt_instance *caller);
/* For the thunk: rt_func.jit_code is not the thunk any more afterwards (restore.c). */
void jit_first(struct rt_func *func, struct rt_instance *caller);
enum rt_trap jit_trap(enum rt_trap trap, uintptr_t sp, struct rt_instance *instance);
struct jit_resume {              /* how a compiled function goes on at a handler */
    uint64_t saved[JIT_N_SAVED]; /* as jit_saved_registers lists them; before: as they are at the throw */
    const uint8_t *pc;
    uintptr_t sp;
    struct rt_instance *instance;
    uint64_t unused; /* the stack stays aligned */
};
/* For thunks: `sp` as it was before the call that threw, in a frame of `instance`. jit_throw: a tag of the instance, whose
 * values stand at sp; jit_throw_ref: an exception that was caught before; jit_raise: a callee without code ended with
 * `trap`. RT_TRAP_NONE: a handler was found in this run's compiled frames and *resume filled; else the trap to leave
 * with. */
enum rt_trap jit_throw(struct rt_instance *instance, uintptr_t sp, uint64_t tag, struct jit_resume *resume);
enum rt_trap jit_throw_ref(struct rt_instance *instance, uintptr_t sp, uint64_t exception,
                           struct jit_resume *resume);
enum rt_trap jit_raise(struct rt_instance *instance, uintptr_t sp, uint64_t trap, struct jit_resume *resume);
/* For the thunk: the store's fuel is below zero. Whether there is more. */
bool jit_refuel(struct rt_instance *instance);
enum rt_trap jit_enter(struct rt_store *store, struct rt_func *func, union rt_slot *args_results);
/* rt_tier.call_compiled */
enum rt_trap jit_enter_from_interpreter(struct rt_store *store, struct rt_func *func,
                                        union rt_slot *args_results);
/* rt_tier.call_loop */
enum rt_trap jit_enter_loop(struct rt_store *store, struct rt_func *func, const void *code,
                            union rt_slot *frame);

/* The host takes over from the innermost compiled frame: what the walk needs is kept. */
void jit_run_stands(struct rt_store *store, struct rt_instance *instance);
/* Whether pc, a return address, leads to a frame of the tail thunks: its room for arguments. The instance of who called
 * stands 8 bytes behind that, the caller's return address JIT_TAIL_FRAME behind it. */
#define JIT_TAIL_FRAME  24
#define JIT_TAIL_STRIDE 128
static inline bool jit_is_tail_frame(const struct jit_engine *engine, const uint8_t *pc, uint32_t *room) {
    uintptr_t at = (uintptr_t)pc - (uintptr_t)engine->tail_backs;
    if (at >= JIT_TAIL_CLASSES * JIT_TAIL_STRIDE) return false;
    *room = jit_tail_room((unsigned)(at / JIT_TAIL_STRIDE));
    return true;
}

/* ---- module.c ---- */

/* CPU time of this thread. */
double jit_cpu_seconds(void);
struct jit_module;
void jit_slows_free(struct rt_module *module);
/* Appends what jit_slow_new needs to make it again: function, place, number of operands, their types. */
void jit_slow_put(const struct jit_slow *slow, struct bc_buf *out);
const struct jit_slow *jit_slow_of(struct jit_module *jit, uint32_t number);

/* The entries of a kind, by type index; made on demand. */
struct jit_entries {
    jit_entry **code;
    uint32_t *bytes;
};
/* module->jit_data */
struct jit_module {
    pthread_mutex_t lock;
    struct jit_layout layout; /* known from the first instance on */
    bool laid_out;
    bool checked;    /* from the first instance on: its memory 0 has no guard pages */
    bool compiled;   /* all of it, in advance */
    uint8_t *region; /* code of all functions, then stubs; NULL: each function has a place of its own */
    size_t region_bytes;
    struct jit_code *codes; /* by own function; complete once `start` is set */
    struct jit_entries entries, loop_entries;
    struct jit_slow **slows; /* all of the module, by number */
    size_t n_slows, cap_slows;
    pthread_mutex_t slow_lock; /* guards them; innermost of all */
    struct jit_stats stats;
    /* restore.c, under the lock */
    struct jit_saved saved;        /* borrowed; no head: there is none */
    bool restored;                 /* it has been looked at */
    struct jit_saved_table *table; /* NULL: nothing waits for its first call */
    uint8_t *saved_states;         /* by own function; NULL: the same */
    uint8_t *stubs;                /* for direct calls of what waits */
    /* hot.c */
    struct jit_heat *heat;  /* by own function; NULL: compiled in advance */
    struct jit_loop *loops; /* entered while they ran */
};
static inline struct jit_engine *jit_engine_of(const struct rt_store *store) {
    return store->engine->jit_data;
}
static inline uint32_t jit_n_own(const struct rt_module *module) {
    return module->bc->n_funcs - module->bc->n_imported_funcs;
}
jit_entry *jit_entry_of(struct rt_func *func, bool at_loop);
/* module->jit_data; with an instance, the layout of all its instances, too. fails E_NOMEM */
enum atoll_status jit_module_data(struct rt_module *module);
enum atoll_status jit_module_open(struct rt_instance *instance);
/* Code of many functions, before it has its place. */
struct jit_region {
    uint8_t *bytes;
    size_t size, capacity;
    bool failed;
};
#define JIT_FUNCTION_ALIGNMENT ((size_t)64) /* what loops in it are aligned to */
static inline size_t jit_region_next(const struct jit_region *r) {
    return (r->size + JIT_FUNCTION_ALIGNMENT - 1) & ~(JIT_FUNCTION_ALIGNMENT - 1);
}
/* The function's code; or, when it has none, the stub that direct calls of it go to. */
void jit_region_append_function(struct jit_region *r, const struct rt_module *module,
                                const struct jit_code *code, const uint8_t *bytes);
#define JIT_STUB_BYTES 12
/* Gives it its place, links, and makes it run: the codes that have a module, whose `start` is an offset until then. */
enum atoll_status jit_region_publish(struct rt_module *module, struct jit_region *r);
/* Gives one function, or one loop, its place; code->start says where. `bytes` are changed. */
enum atoll_status jit_place_code(struct rt_module *module, struct jit_code *code, uint8_t *bytes);
/* Calls of the instance's function run its code from now on. */
void jit_use(struct rt_func *func, const struct jit_code *code);
/* Calls of it find no code any more and are interpreted. */
void jit_use_none(struct rt_func *func);
/* Calls of all functions of the instance that have code, or wait for it, run it; the caller holds the module's lock.
 * Where there is jit_hot, its lock, too. */
void jit_use_all(struct rt_instance *instance);
/* Of all functions that have a place of their own; the caller holds the engine's lock. */
void jit_give_back_functions(struct jit_engine *engine, const struct rt_module *module);

/* ---- hot.c: what is compiled while the program runs ---- */

enum atoll_status jit_hot_new(struct rt_engine *engine);
void jit_hot_free(struct jit_engine *engine);
/* The module is going: its work is given up, its loops are freed. */
void jit_hot_forget(struct rt_module *module);
enum atoll_status jit_hot_prepare(struct rt_instance *instance);
void jit_hot_instance_free(struct rt_instance *instance);
const void *jit_hot(struct rt_store *store, struct rt_func *func, uint32_t loop);
/* Whether the function was found running; for the thread that compiles. */
bool jit_was_seen(const struct rt_module *module, uint32_t func);
/* Modules' counts and states are whole in between. */
void jit_hot_lock(const struct jit_engine *engine);
void jit_hot_unlock(const struct jit_engine *engine);
/* The function's code is there; the caller holds the lock. */
bool jit_is_ready(const struct jit_module *jit, uint32_t own);
/* It is, or the function stays interpreted: no thread is at it. The caller holds the lock. */
bool jit_is_decided(const struct jit_module *jit, uint32_t own);
/* The function may be compiled after all, where that is done while the program runs. The caller holds the lock. */
void jit_hot_cool(struct jit_module *jit, uint32_t own);

/* ---- dump_code.c ---- */

void jit_disassembler_close(struct jit_engine *engine);

/* ---- restore.c; the caller holds the module's lock, unless it says otherwise ---- */

/* Puts the code of jit_restore in place, or lets functions wait for it, once the layout of instances is known. False:
 * there is none, or it is no good, or that was done before. */
bool jit_restore_saved(struct rt_module *module);
void jit_saved_fini(struct rt_module *module); /* the caller holds the engine's lock instead */
/* The function gets its code when it is called first; it was to, but its code was broken. */
bool jit_saved_waits(const struct jit_module *jit, uint32_t own);
bool jit_saved_is_broken(const struct jit_module *jit, uint32_t own);
/* The function, which waits or waited, gets its code now; false: it is interpreted. Takes the lock. */
bool jit_saved_use(struct rt_func *func);
/* Where direct calls of a function lead that waits; any thread may ask. */
const uint8_t *jit_saved_stub(const struct jit_module *jit, uint32_t own);

#endif
