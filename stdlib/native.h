/* stdlib/native.h: what the files of native libraries share.
 *
 *   native_parse.c   FILE.ffi -> struct native      native_handle.c    handles as externrefs
 *   native.c         symbols, libffi, linking       native_call.c      a call and its buffers
 *   native_value.c   scalars and structs, both      native_callback.c  C calls the program
 *                    as the host and as wasm have them
 *
 * A program with a 64-bit memory has 64-bit addresses, long and size_t: "wide". Every function exists in both
 * widths, and a module gets that of its memory 0. */
#ifndef ATOLL_NATIVE_H
#define ATOLL_NATIVE_H

#include <ffi.h>
#include <stdlib.h>
#include <string.h>
#include "stdlib/stdlib.h"

enum {
    NATIVE_NAME = 128,
    NATIVE_PARAMS = 24,
    NATIVE_FACTORS = 4,
    NATIVE_STRUCT_BYTES = 1024, /* of one struct */
    NATIVE_SCRATCH = 8192       /* of all copies of one call */
};

/* ---- types ---- */

struct native_scalar { /* a C type as the host, wasm32 and wasm64 have it */
    const char *name;
    ffi_type *ffi;
    uint8_t host_size, guest_size[2];
    bool is_signed, is_float, is_bool;
};
struct native_field { /* inner structs are flat: these are scalars, `count` in a row */
    const struct native_scalar *scalar;
    uint32_t count, host_at, guest_at[2];
};
struct native_struct {
    struct native_struct *next;
    char name[NATIVE_NAME];
    struct native_field *fields; /* owned */
    size_t n_fields, cap_fields;
    uint32_t host_size, host_align, guest_size[2], guest_align[2];
    ffi_type ffi;
    ffi_type **elements; /* owned, ends with NULL */
    size_t n_elements, cap_elements;
};
struct native_handle_type {
    struct native_handle_type *next;
    char name[NATIVE_NAME];
};

enum native_kind {
    NATIVE_VOID,
    NATIVE_SCALAR,
    NATIVE_BUFFER,     /* address; passed in place */
    NATIVE_STRING,     /* address of a terminated string; as a result: copied out */
    NATIVE_CELL,       /* address of one scalar, converted */
    NATIVE_STRUCT,     /* by value, as clang's ABI has it: its only scalar, or the address of the struct */
    NATIVE_STRUCT_PTR, /* address of one struct, converted */
    NATIVE_HANDLE,
    NATIVE_HANDLE_OUT, /* T **: becomes a result */
    NATIVE_CALLBACK,
    NATIVE_DATA,   /* the guest's own word, carried through C to a callback */
    NATIVE_INSIDE, /* in callbacks: a pointer into a buffer that C was given */
    NATIVE_NULL    /* C gets NULL, the program gives nothing */
};
enum { NATIVE_IN = 1, NATIVE_OUT = 2 };

struct native_factor { /* of a buffer's length */
    int param;         /* index, or -1: the constant */
    bool deref;        /* *param: the cell's value before the call */
    uint64_t constant;
};
struct native_param {
    char name[NATIVE_NAME];
    enum native_kind kind;
    const struct native_scalar *scalar;
    struct native_struct *st;
    const struct native_handle_type *handle;
    struct native_func *callback;
    uint8_t direction;
    bool nullable, destroy, persistent;
    bool conditional; /* destroys only when the function returns destroy_when */
    int64_t destroy_when;
    int owner;           /* of a new handle: the parameter whose end is its end too; -1 = none */
    uint32_t element;    /* bytes of a buffer's element */
    uint32_t scratch_at; /* of its copy in struct native_call's scratch */
    uint32_t n_factors;
    struct native_factor factors[NATIVE_FACTORS];
};
struct native_binding { /* a function in one width, as a program imports it */
    struct native_func *of;
    bool wide;
    const struct rt_type *type;
    struct rt_func *func;
};
struct native_func {
    struct native_func *next;
    struct native *native;
    char symbol_name[NATIVE_NAME], name[NATIVE_NAME]; /* in the library; as the guest imports it */
    uint32_t line, column;
    struct native_param params[NATIVE_PARAMS], result;
    uint32_t n_params, n_fixed, scratch_bytes;
    bool variadic, gives_errno;
    ffi_cif cif;
    ffi_type *ffi_params[NATIVE_PARAMS];
    void (*symbol)(void);
    struct native_binding bindings[2]; /* by width */
};

/* ---- handles ---- */

/* What stands behind an externref, whose word is the address with a generation in bits no address has: a node
 * that died is used again, and what referred to the dead one does not know the new one. */
struct native_handle {
    const struct native_handle_type *type;
    void *pointer;                                        /* NULL: dead */
    struct native_handle *next;                           /* of the bucket, or of the free nodes */
    struct native_handle *owner, *child, *before, *after; /* children of one owner are a list */
    uint32_t in_use; /* calls under way that were given it: a callback must not destroy it */
    uint32_t generation;
};
enum { NATIVE_CHUNKS = 24, NATIVE_FIRST_CHUNK = 64 };
struct native_handles {
    struct native_handle *chunks[NATIVE_CHUNKS]; /* chunk i has NATIVE_FIRST_CHUNK << i */
    size_t n;
    struct native_handle *free;
    struct native_handle **buckets; /* live ones by address */
    size_t n_buckets, n_live;
};

/* ---- callbacks ---- */

/* One a callback type and funcref. It lies in libffi's memory with all that a late call of C's reads: one
 * that C may keep (persistent) outlives its library, disarmed, when others keep the library loaded. */
struct native_closure {
    ffi_closure ffi; /* first */
    ffi_cif cif;
    ffi_type *args[NATIVE_PARAMS];
    struct native *_Atomic native; /* NULL: disarmed */
    struct native_closure *next;
    struct native_binding *type;
    struct rt_func *target;
    struct rt_instance *caller;
    void *code;
    uint32_t active; /* calls under way that passed it */
    bool persistent;
};

/* ---- a library, a call ---- */

struct native {
    const struct atoll_alloc *alloc;
    struct rt_store *store;
    struct sandbox *sandbox;
    char library[NATIVE_NAME], module[NATIVE_NAME];
    bool threads; /* the file says that the library may be called on several at once */
    void *dl;
    struct native_struct *structs;
    struct native_handle_type *handle_types;
    struct native_func *funcs, *callbacks; /* newest first */
    struct native_handles handles;
    struct native_closure *closures;
    enum rt_trap pending; /* a callback trapped; raised when C returns */
};

union native_word {
    uint64_t u64;
    int64_t i64;
    float f32;
    double f64;
    void *pointer;
};
struct native_copy { /* of a string, or of a buffer in a shared memory */
    struct native_copy *next;
    size_t size;
    uint64_t back; /* where the program wants what C wrote; UINT64_MAX: nowhere */
    _Alignas(16) char bytes[];
};
struct native_call {           /* only what the parameters need is initialized */
    struct native_call *outer; /* of this thread: libraries that are being called */
    const struct native_func *f;
    struct native *n;
    struct rt_instance *caller;
    struct rt_memory *memory; /* NULL: the caller has none */
    bool wide;
    struct native_copy *copies; /* freed behind the call */
    union native_word words[NATIVE_PARAMS];
    void *values[NATIVE_PARAMS]; /* as libffi takes them */
    uint64_t addresses[NATIVE_PARAMS];
    struct native_handle *handles[NATIVE_PARAMS];
    struct native_closure *closures[NATIVE_PARAMS];
    _Alignas(16) uint8_t scratch[NATIVE_SCRATCH]; /* the result, then copies of cells and structs */
};

/* ---- native_parse.c ---- */

enum atoll_status native_parse(struct native *n, const char *text, size_t size, struct atoll_error *err);

/* ---- native_value.c ---- */

/* By its C name; NULL when there is none. */
const struct native_scalar *native_scalar_named(const char *name);
/* Adds `count` scalars or structs (the other is NULL) as C lays them out. fails E_LIMIT (too large), E_NOMEM
 */
enum atoll_status native_struct_add(struct native *n, struct native_struct *s,
                                    const struct native_scalar *scalar, const struct native_struct *inner,
                                    uint32_t count);
/* Behind the last field: sizes become multiples of alignments. */
void native_struct_end(struct native_struct *s);
/* The only scalar of a struct, which clang passes in its place; NULL when there are more. */
const struct native_scalar *native_struct_single(const struct native_struct *s);
/* Whether bytes can stay in place: the layout is the same in the host and in both widths of wasm. */
bool native_struct_in_place(const struct native_struct *s);
int64_t native_extend(uint64_t bits, unsigned size, bool is_signed);
/* False: the value does not fit the other side. */
bool native_scalar_in(const struct native_scalar *s, bool wide, union rt_slot slot, union native_word *out);
bool native_scalar_out(const struct native_scalar *s, bool wide, union native_word word, union rt_slot *out);
void native_scalar_load(const struct native_scalar *s, bool wide, const uint8_t *guest, uint8_t *host);
bool native_scalar_store(const struct native_scalar *s, bool wide, const uint8_t *host, uint8_t *guest);
void native_struct_load(const struct native_struct *s, bool wide, const uint8_t *guest, uint8_t *host);
bool native_struct_store(const struct native_struct *s, bool wide, const uint8_t *host, uint8_t *guest);

/* ---- native_handle.c ---- */

/* The handle for a pointer: the live one there is, or a new one, which `owner` (NULL = none) owns. NULL = out
 * of memory. */
struct native_handle *native_handle_for(struct native *n, const struct native_handle_type *type,
                                        void *pointer, struct native_handle *owner);
void *native_handle_word(const struct native_handle *handle);
/* The handle behind any word a guest may hold: NULL when it is none of ours; *out_dead when it was. */
struct native_handle *native_handle_check(const struct native_handles *h, const void *word, bool *out_dead);
/* Whether a call under way was given the pointer, whatever the type of its handle, or anything it owns. */
bool native_handle_in_use(const struct native_handles *h, const void *pointer);
/* Ends all handles of the pointer (a library may give one object under two types) and all they own. NULL is
 * allowed. */
void native_handle_kill(struct native_handles *h, void *pointer);
void native_handles_free(struct native *n);

/* ---- native_call.c ---- */

/* rt_host_fn with the struct native_binding as context */
enum rt_trap native_call(struct rt_store *store, struct rt_instance *caller, void *context,
                         union rt_slot *args_results);
enum rt_trap native_refuse(const struct native_func *f, const char *param, const char *why);

/* ---- native_callback.c ---- */

/* The calls of native libraries under way on this thread, innermost first. */
void native_calls_push(struct native_call *call);
void native_calls_pop(struct native_call *call);
/* The closure for a funcref of this call. NULL = out of memory. */
struct native_closure *native_closure_for(struct native_call *call, struct native_func *type,
                                          struct rt_func *target);
/* Ends all closures. `unloaded`: C cannot call them any more. Otherwise those that C may keep stay, disarmed:
 * called, they do nothing and give zero. */
void native_closures_free(struct native *n, bool unloaded);

#endif
