/* jit/engine.h: code memory of an engine, the thunks in it, and what belongs to a module. */
#ifndef ATOLL_JIT_ENGINE_H
#define ATOLL_JIT_ENGINE_H

#include <pthread.h>
#include "jit/alloc.h"
#include "jit/code.h"
#include "jit/internal.h"

struct jit_hole { /* unused bytes below the end of what is in use */
    size_t at, size;
};
struct jit_place { /* of the index: code by address */
    const uint8_t *start;
    const struct jit_code *code;
};
/* engine->jit_data */
struct jit_engine {
    const struct atoll_alloc *alloc;
    pthread_mutex_t lock;
    int fd;
    uint8_t *base; /* readable and executable, never writable */
    size_t size, used;
    struct jit_hole *holes;
    size_t n_holes, cap_holes;
    struct jit_place *places; /* by address once sorted */
    size_t n_places, cap_places;
    bool sorted;
    const uint8_t *traps; /* thunks: 16 bytes a trap */
    const uint8_t *leave, *bridge, *far_tail, *far_tail_end;
    void (*leave_from_host)(enum rt_trap trap, struct rt_instance *instance) __attribute__((noreturn));
};

/* ---- memory.c ---- */

enum atoll_status jit_memory_open(struct jit_engine *engine);
void jit_memory_close(struct jit_engine *engine);
/* A place for n bytes, or NULL when code memory is full. The caller holds the lock. */
uint8_t *jit_memory_take(struct jit_engine *engine, size_t n);
void jit_memory_give_back(struct jit_engine *engine, const uint8_t *at, size_t n);
/* Copies code to its place through a mapping that is gone afterwards: no page is ever writable and
 * executable. */
enum atoll_status jit_memory_write(struct jit_engine *engine, uint8_t *at, const uint8_t *bytes, size_t n);
enum atoll_status jit_index_add(struct jit_engine *engine, const struct jit_code *code);
void jit_index_remove(struct jit_engine *engine, const uint8_t *start, size_t n);
const struct jit_code *jit_index_find(struct jit_engine *engine, const uint8_t *pc);

/* ---- thunk.c ---- */

/* rdi code, rsi slots, rdx instance, rcx store: the way into compiled code. */
typedef enum rt_trap jit_entry(const void *code, union rt_slot *slots, struct rt_instance *instance,
                               struct rt_store *store);
enum atoll_status jit_thunks_make(struct jit_engine *engine);
/* The entry for functions of this type; written into *at, which has room for `room` bytes. Bytes needed, 0 =
 * no memory. */
bool jit_entry_emit(const struct atoll_alloc *alloc, const struct rt_type *type, struct x86 *a);

/* ---- run.c ---- */

struct jit_regs { /* what the bridge saves */
    uint64_t ints[6];
    uint8_t floats[8][16];
};
enum rt_trap jit_bridge(struct rt_func *func, struct jit_regs *regs, uint8_t *stack,
                        struct rt_instance *caller);
enum rt_trap jit_trap(enum rt_trap trap, uintptr_t sp, struct rt_instance *instance);
enum rt_trap jit_enter(struct rt_store *store, struct rt_func *func, union rt_slot *args_results);

/* The host takes over from the innermost compiled frame: what the walk needs is kept. */
void jit_run_stands(struct rt_store *store, struct rt_instance *instance);
#define JIT_FAR_TAIL_BYTES 24 /* frame of the far_tail thunk; the instance stands at 8 */

/* ---- module.c ---- */

void jit_slows_free(struct rt_module *module);

/* module->jit_data */
struct jit_module {
    pthread_mutex_t lock;
    struct jit_layout layout;
    bool compiled;   /* tried */
    uint8_t *region; /* code of all functions, then stubs */
    size_t region_bytes;
    struct jit_code *codes; /* by own function */
    jit_entry **entries;    /* by type index; made on demand */
    uint32_t *entry_bytes;
    struct jit_slow *slows; /* all of the module, linked */
    struct jit_stats stats;
};
static inline struct jit_engine *jit_engine_of(const struct rt_store *store) {
    return store->engine->jit_data;
}
jit_entry *jit_entry_of(struct rt_func *func);

#endif
