/* api/internal.h: the library that other programs embed, on top of runtime, interp, stdlib and sandbox.
 *
 *   wasm.h    type.c vec.c        types and vectors: plain values without an engine
 *             store.c ref.c       configuration, engine, store; objects of a store
 *             trap.c module.c func.c entity.c instance.c
 *   atoll.h   atoll.c             what the standard interface lacks
 *
 * A handle (struct wasm_ref_t) stands for one entity of a store; the same entity has the same handle, which
 * is why a copy is a count. The store lives until its owner and all owners of its handles are gone. A handle
 * is pinned, kept to the end of its store, when it carries host info or went into a program, which cannot
 * tell when it lets go. */
#ifndef ATOLL_API_INTERNAL_H
#define ATOLL_API_INTERNAL_H

#include "interp/interp.h"
#include "runtime/runtime.h"

#include "atoll/atoll.h"

#define own

enum api_kind {
    API_FUNC,
    API_GLOBAL,
    API_TABLE,
    API_MEMORY,
    API_TAG,
    API_INSTANCE,
    API_MODULE,
    API_TRAP,
    API_FOREIGN,
    API_VALUE /* a managed object or an i31 */
};

struct wasm_config_t {
    struct rt_config config;
};
struct wasm_engine_t {
    struct rt_engine *rt;
};

#define API_BUCKETS 256
struct wasm_store_t {
    struct rt_store *rt;
    size_t refs;                             /* the owner's and one for each owned handle */
    struct wasm_ref_t *buckets[API_BUCKETS]; /* handles by entity */
    wasm_trap_t *pending;                    /* owned: what a callback returned, on its way out */
};

struct wasm_ref_t {
    uint8_t kind;
    bool pinned;
    size_t refs; /* owners outside; 0 only when pinned */
    wasm_store_t *store;
    void *entity; /* rt_func, rt_global ...; of its own for TRAP and FOREIGN */
    void *host_info;
    void (*finalizer)(void *);
    struct wasm_ref_t *next; /* of the bucket */
    struct rt_root root;     /* VALUE */
};

/* The concrete handles are the base and nothing else, but for traps. */
struct wasm_func_t {
    struct wasm_ref_t ref;
};
struct wasm_global_t {
    struct wasm_ref_t ref;
};
struct wasm_table_t {
    struct wasm_ref_t ref;
};
struct wasm_memory_t {
    struct wasm_ref_t ref;
};
struct wasm_extern_t {
    struct wasm_ref_t ref;
};
struct wasm_instance_t {
    struct wasm_ref_t ref;
};
struct wasm_module_t {
    struct wasm_ref_t ref;
};
struct wasm_foreign_t {
    struct wasm_ref_t ref;
};
struct wasm_frame_t {
    struct wasm_instance_t *instance; /* owned, but for a trap's own frames; or NULL */
    uint32_t func_index;
    size_t func_offset, module_offset;
};
struct wasm_trap_t {
    struct wasm_ref_t ref;
    wasm_byte_vec_t message;
    /* innermost first; their instances are pinned, not owned: a trap kept by a program must not keep the
     * store */
    struct wasm_frame_t *frames;
    size_t n_frames;
    enum rt_trap code;
    int exit_status;
};

/* ---- store.c ---- */

void api_store_ref(wasm_store_t *store);
void api_store_unref(wasm_store_t *store);

/* ---- ref.c ---- */

/* The handle of an entity, owned by the caller; NULL = out of memory. `entity` NULL: a new object of its own.
 */
struct wasm_ref_t *api_ref(wasm_store_t *store, enum api_kind kind, void *entity, size_t size);
/* The handle that the entity has already, not counted; or NULL. */
struct wasm_ref_t *api_ref_known(const wasm_store_t *store, enum api_kind kind, const void *entity);
void api_ref_delete(struct wasm_ref_t *ref);
struct wasm_ref_t *api_ref_copy(const struct wasm_ref_t *ref);
/* Frees all that is left, with finalizers. */
void api_refs_end(wasm_store_t *store);
/* Between values of the interface and slots. False: the value is not of the type. */
bool api_to_slot(wasm_store_t *store, const wasm_val_t *v, const struct rt_valtype *type, union rt_slot *out);
bool api_to_slots(wasm_store_t *store, const wasm_val_vec_t *values, const struct rt_valtype *types,
                  uint32_t n, union rt_slot *out);
bool api_from_slot(wasm_store_t *store, union rt_slot slot, const struct rt_valtype *type,
                   own wasm_val_t *out);
bool api_ref_to_slot(wasm_store_t *store, struct wasm_ref_t *ref, const struct rt_valtype *type,
                     union rt_slot *out);
own struct wasm_ref_t *api_ref_from_slot(wasm_store_t *store, union rt_slot slot,
                                         const struct rt_valtype *type);

/* ---- type.c ---- */

wasm_valkind_t api_kind_of(const struct rt_valtype *type);
struct rt_valtype api_valtype(const wasm_valtype_t *type);
own wasm_functype_t *api_functype(const struct rt_type *type);
own wasm_externtype_t *api_externtype_of_import(const struct rt_module *module,
                                                const struct bc_import *import);
own wasm_externtype_t *api_externtype_of(const struct rt_module *module, enum bc_extern kind, uint32_t index);
own wasm_globaltype_t *api_globaltype(const struct rt_valtype *type, bool mutable);
own wasm_tabletype_t *api_tabletype(const struct rt_valtype *type, const struct bc_limits *limits);
own wasm_memorytype_t *api_memorytype(const struct bc_limits *limits);

/* ---- trap.c ---- */

/* What the failed call left in the store as a trap. */
own wasm_trap_t *api_trap(wasm_store_t *store, enum atoll_status status, const struct atoll_error *err);
own wasm_trap_t *api_trap_text(wasm_store_t *store, const char *text);

#endif
