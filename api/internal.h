/* api/internal.h: the library that other programs embed, on top of runtime, interp, stdlib and sandbox.
 *
 *   wasm.h    type.c vec.c        types and vectors: plain values without an engine
 *             store.c ref.c       configuration, engine, store; objects of a store
 *             trap.c module.c func.c entity.c instance.c
 *   atoll.h   config.c object.c exception.c world.c
 *
 * A handle (struct wasm_ref_t) stands for one entity of a store; the same entity has the same handle, which
 * is why a copy is a count. The store lives until its owner and all owners of its handles are gone. A handle
 * is pinned, kept to the end of its store, when it carries host info or went into a program as externref,
 * which cannot tell when it lets go. When the owner deletes the store, finalizers run, since what they own
 * may be handles that keep the store; host functions with a finalizer trap from then on. */
#ifndef ATOLL_API_INTERNAL_H
#define ATOLL_API_INTERNAL_H

#include <stddef.h>
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
    API_VALUE, /* a managed object or an i31 */
    API_WORD   /* an externref that is no object of the API: a native library's handle */
};

struct wasm_config_t {
    struct rt_config config;
};
struct wasm_engine_t {
    struct rt_engine *rt;
};

struct wasm_store_t {
    struct rt_store *rt;
    size_t refs;                 /* the owner's and one for each owned handle */
    bool closed;                 /* the owner has deleted it */
    struct wasm_ref_t **buckets; /* handles by entity */
    size_t n_buckets, n_handles;
    wasm_trap_t *pending;           /* owned: what a callback returned, on its way out */
    wasm_trap_t *spare;             /* what a call returns when memory for its trap is missing */
    struct api_callback *callbacks; /* of host functions; freed with the store */
    struct atoll_wasi_t *worlds;
};

struct wasm_ref_t {
    uint8_t kind;
    bool pinned;
    size_t refs; /* owners outside; 0 only when pinned */
    wasm_store_t *store;
    void *entity; /* rt_func, rt_global, managed object ...; of its own for TRAP and FOREIGN */
    void *host_info;
    void (*finalizer)(void *);
    struct wasm_ref_t *next; /* of the bucket */
    struct rt_root root;     /* VALUE; TRAP: an exception */
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
    wasm_store_t *store;
    struct wasm_instance_t *instance; /* owned; NULL for a host function */
    uint32_t func_index;
    size_t func_offset, module_offset;
};
struct wasm_trap_t {
    struct wasm_ref_t ref;
    wasm_byte_vec_t message;
    struct rt_frame *frames; /* innermost first; their instances live as long as the store */
    uint32_t n_frames, all_frames;
    enum rt_trap code;
    int exit_status;
    /* the exception that nobody caught: the root, or a tag and values that need none */
    struct rt_tag *tag;
    union rt_slot *values;
};

/* ---- alloc.c ---- */

/* Zeroed; NULL = out of memory. */
void *api_new(const struct atoll_alloc *alloc, size_t n_items, size_t item_size);
void api_free(void *p);
/* Where the block came from. */
const struct atoll_alloc *api_alloc_of(const void *p);
char *api_strdup(const struct atoll_alloc *alloc, const char *text);
static inline const struct atoll_alloc *api_alloc(const wasm_store_t *store) {
    return store->rt->engine->alloc;
}

/* ---- vec.c: room for n items, zeroed; empty when there is no memory ---- */

void api_byte_vec(const struct atoll_alloc *alloc, own wasm_byte_vec_t *out, size_t n);
void api_val_vec(const struct atoll_alloc *alloc, own wasm_val_vec_t *out, size_t n);
/* A copy; false = out of memory. */
bool api_bytes(const struct atoll_alloc *alloc, own wasm_byte_vec_t *out, size_t n, const void *bytes);
#define API_VEC(name)                                                                                        \
    void api_##name##_vec(const struct atoll_alloc *alloc, own wasm_##name##_vec_t *out, size_t n);          \
    bool api_##name##_vec_copy(const struct atoll_alloc *alloc, own wasm_##name##_vec_t *out,                \
                               const wasm_##name##_vec_t *from);
API_VEC(valtype)
API_VEC(functype)
API_VEC(globaltype)
API_VEC(tabletype)
API_VEC(memorytype)
API_VEC(externtype)
API_VEC(importtype)
API_VEC(exporttype)
API_VEC(frame)
API_VEC(extern)
#undef API_VEC

/* ---- store.c ---- */

void api_store_ref(wasm_store_t *store);
void api_store_unref(wasm_store_t *store);
/* Around whatever may run the host's or a program's code: the store stays, and a deletion meanwhile takes
 * effect behind the outermost of them. */
void api_enter(wasm_store_t *store);
void api_leave(wasm_store_t *store);

/* ---- func.c ---- */

/* Runs the finalizers of host functions; those trap from now on. */
void api_callbacks_close(wasm_store_t *store);
void api_callbacks_free(wasm_store_t *store);
/* The engine's function type; NULL = out of memory. */
const struct rt_type *api_rt_functype(wasm_store_t *store, const wasm_functype_t *type);

/* ---- world.c ---- */

void api_worlds_free(wasm_store_t *store);

/* ---- ref.c ---- */

/* The handle of an entity, owned by the caller; NULL = out of memory. `entity` NULL: a new object of its own.
 */
struct wasm_ref_t *api_ref(wasm_store_t *store, enum api_kind kind, void *entity, size_t size);
void api_ref_delete(struct wasm_ref_t *ref);
struct wasm_ref_t *api_ref_copy(const struct wasm_ref_t *ref);
/* Runs the finalizers of host info. */
void api_refs_close(wasm_store_t *store);
/* Frees all that is left. */
void api_refs_free(wasm_store_t *store);
/* The handle of a managed object or i31. */
own struct wasm_ref_t *api_ref_of_object(wasm_store_t *store, void *object);
/* Slots that a value of the type takes. */
static inline uint32_t api_slots_of(const struct rt_valtype *type) {
    return type->kind == BC_KIND_V128 ? 2 : 1;
}
/* Between values of the interface and slots, one or two a value. False: the value is not of the type, or out of memory.
 */
bool api_to_slot(wasm_store_t *store, const wasm_val_t *v, const struct rt_valtype *type, union rt_slot *out);
bool api_to_slots(wasm_store_t *store, const wasm_val_vec_t *values, const struct rt_valtype *types,
                  uint32_t n, union rt_slot *out);
bool api_from_slot(wasm_store_t *store, const union rt_slot *slot, const struct rt_valtype *type,
                   own wasm_val_t *out);
bool api_ref_to_slot(wasm_store_t *store, struct wasm_ref_t *ref, const struct rt_valtype *type,
                     union rt_slot *out);
own struct wasm_ref_t *api_ref_from_slot(wasm_store_t *store, union rt_slot slot,
                                         const struct rt_valtype *type);

/* ---- type.c ---- */

wasm_valkind_t api_kind_of(const struct rt_valtype *type);
struct rt_valtype api_valtype(const wasm_valtype_t *type);
/* Types in the memory of `alloc`; NULL = out of memory. */
own wasm_functype_t *api_functype(const struct atoll_alloc *alloc, const struct rt_type *type,
                                  wasm_externkind_t kind);
own wasm_externtype_t *api_externtype_of(const struct rt_module *module, enum bc_extern kind, uint32_t index);
own wasm_globaltype_t *api_globaltype(const struct atoll_alloc *alloc, const struct rt_valtype *type,
                                      bool mutable);
own wasm_tabletype_t *api_tabletype(const struct atoll_alloc *alloc, const struct rt_valtype *type,
                                    const struct bc_limits *limits);
own wasm_memorytype_t *api_memorytype(const struct atoll_alloc *alloc, const struct bc_limits *limits);
own wasm_importtype_t *api_importtype(const struct rt_module *module, const struct bc_import *import);
own wasm_exporttype_t *api_exporttype(const struct rt_module *module, const struct bc_export *export);

/* ---- trap.c: never NULL, since NULL means success: the spare one when memory is missing ---- */

/* What the failed call left in the store as a trap. */
own wasm_trap_t *api_trap(wasm_store_t *store, enum atoll_status status, const struct atoll_error *err);
own wasm_trap_t *api_trap_text(wasm_store_t *store, const char *text);
own wasm_trap_t *api_trap_memory(wasm_store_t *store);
/* A trap of the store's own, made with it; NULL = out of memory. */
wasm_trap_t *api_trap_spare(wasm_store_t *store);
void api_trap_free(wasm_trap_t *trap); /* its parts */
/* Gives the trap to a caller who may not want it. */
void api_trap_give(own wasm_trap_t *trap, wasm_trap_t **out);

/* ---- exception.c ---- */

/* Takes the exception in flight into the trap; false = out of memory. */
bool api_trap_take_exception(wasm_trap_t *trap);
/* A host function returned this trap: throws what it carries; RT_TRAP_NONE when it carries nothing. */
enum rt_trap api_trap_throw(const wasm_trap_t *trap);

/* ---- instance.c ---- */

struct api_imports { /* by position; `externs` NULL = none */
    wasm_store_t *store;
    const wasm_extern_vec_t *externs;
};
/* rt_resolver with a struct api_imports. */
bool api_import_by_position(void *context, const struct rt_module *module, const struct bc_import *import,
                            struct rt_extern *out);
own wasm_instance_t *api_instantiate(wasm_store_t *store, const wasm_module_t *module, rt_resolver *resolve,
                                     void *context, own wasm_trap_t **trap);

#endif
