/* stdlib/native.h: what the files of native libraries share.
 *
 *   native_parse.c   FILE.ffi -> struct native      native_handle.c  handles as externrefs
 *   native.c         symbols, libffi, linking       native_call.c    a call, its buffers, its callbacks */
#ifndef ATOLL_NATIVE_H
#define ATOLL_NATIVE_H

#include <ffi.h>
#include <stdlib.h>
#include <string.h>
#include "stdlib/stdlib.h"

enum { NATIVE_NAME = 128, NATIVE_PARAMS = 24, NATIVE_FIELDS = 32, NATIVE_FACTORS = 4 };

struct native_scalar { /* a C type as the host and as wasm32 have it */
    const char *name;
    ffi_type *ffi;
    uint8_t host_size, guest_size;
    bool is_signed, is_float;
};

struct native_field {
    char name[NATIVE_NAME];
    const struct native_scalar *scalar;
    uint32_t host_at, guest_at;
};
struct native_struct {
    struct native_struct *next;
    char name[NATIVE_NAME];
    struct native_field fields[NATIVE_FIELDS];
    uint32_t n_fields, host_size, guest_size, guest_align;
    ffi_type ffi;
    ffi_type *elements[NATIVE_FIELDS + 1];
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
    NATIVE_STRUCT,     /* by value: address of the wasm32 layout, as clang's ABI has it */
    NATIVE_STRUCT_PTR, /* address of one struct, converted */
    NATIVE_HANDLE,
    NATIVE_HANDLE_OUT, /* T **: becomes a result */
    NATIVE_CALLBACK,
    NATIVE_DATA,  /* the guest's own word, carried through C to a callback */
    NATIVE_INSIDE /* in callbacks: a pointer into a buffer that C was given */
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
    uint32_t element; /* bytes of a buffer's element */
    uint32_t n_factors;
    struct native_factor factors[NATIVE_FACTORS];
};
struct native_func {
    struct native_func *next;
    struct native *native;
    char symbol_name[NATIVE_NAME], name[NATIVE_NAME]; /* in the library; as the guest imports it */
    uint32_t line, column;
    struct native_param params[NATIVE_PARAMS], result;
    uint32_t n_params, n_fixed;
    bool variadic, gives_errno;
    ffi_cif cif;
    ffi_type *ffi_params[NATIVE_PARAMS];
    void (*symbol)(void);
    const struct rt_type *type;
    struct rt_func *func;
};

struct native_handle { /* what an externref points to; never reused, so that a dead one stays dead */
    const struct native_handle_type *type;
    void *pointer; /* NULL: dead */
    struct native_handle *next;
    uint32_t in_use; /* calls under way that were given it: a callback must not destroy it */
};
enum { NATIVE_CHUNKS = 24, NATIVE_FIRST_CHUNK = 64 };
struct native_handles {
    struct native_handle *chunks[NATIVE_CHUNKS]; /* chunk i has NATIVE_FIRST_CHUNK << i */
    size_t n;
    struct native_handle **buckets; /* live ones by address */
    size_t n_buckets, n_live;
};

struct native_closure { /* one a callback type and funcref; kept, since C may call it at any later time */
    struct native_closure *next;
    struct native *native;
    struct native_func *type;
    struct rt_func *target;
    struct rt_instance *caller;
    ffi_closure *closure;
    void *code;
    uint32_t active; /* calls under way that passed it */
    bool persistent;
};

struct native {
    const struct atoll_alloc *alloc;
    struct rt_store *store;
    struct sandbox *sandbox;
    char library[NATIVE_NAME], module[NATIVE_NAME];
    void *dl;
    struct native_struct *structs;
    struct native_handle_type *handle_types;
    struct native_func *funcs, *callbacks; /* newest first */
    struct native_handles handles;
    struct native_closure *closures;
    pthread_t thread; /* that of the outermost call under way */
    uint32_t depth;
    enum rt_trap pending; /* a callback trapped; raised when C returns */
};

enum atoll_status native_parse(struct native *n, const char *text, size_t size, struct atoll_error *err);

/* The handle for a pointer: the live one there is, or a new one. NULL = out of memory. */
struct native_handle *native_handle_for(struct native *n, const struct native_handle_type *type,
                                        void *pointer);
/* Whether any word a guest may hold is one of ours. */
struct native_handle *native_handle_check(const struct native_handles *h, const void *word);
/* Whether a call under way was given the pointer, whatever the type of its handle. */
bool native_handle_in_use(const struct native_handles *h, const void *pointer);
/* Ends all handles of the pointer: a library may give one object under two types. NULL is allowed. */
void native_handle_kill(struct native_handles *h, void *pointer);
void native_handles_free(struct native *n);

/* rt_host_fn with the struct native_func as context */
enum rt_trap native_call(struct rt_store *store, struct rt_instance *caller, void *context,
                         union rt_slot *args_results);
/* What libffi calls for a callback. */
void native_callback(ffi_cif *cif, void *result, void **args, void *context);

#endif
