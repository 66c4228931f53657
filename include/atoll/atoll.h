/* atoll/atoll.h: what the standard C API (wasm.h) lacks: configuration, limits, fuel, interruption, errors
 * that say what and where, text format, traps with backtraces, exceptions, managed objects, WASI behind the
 * sandbox.
 *
 * Strings given are copied. What returns bool or a pointer says false or NULL when it fails; where a
 * `struct atoll_error *error` is taken (NULL = not wanted), a failure fills it: code, one line of text, place
 * in the input (atoll/error.h). Names and texts of results are vectors of bytes that the caller owns. */
#ifndef ATOLL_ATOLL_H
#define ATOLL_ATOLL_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "wasm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define own

/* Kinds beyond the standard's. */
enum atoll_kinds { ATOLL_V128 = 4, ATOLL_EXTERN_TAG = 4 };

/* A value of 128 bits, of the kind ATOLL_V128, wherever values pass: parameters and results of both sides, globals,
 * exceptions, fields. Its bytes are in the order of linear memory; a wasm_val_t has no room for them and holds a pointer,
 * so such a value is copied by wasm_val_copy and ended by wasm_val_delete, as references are. False: out of
 * memory. */
WASM_API_EXTERN bool atoll_v128_new(const uint8_t bytes[16], own wasm_val_t *out);
/* False: it is none. */
WASM_API_EXTERN bool atoll_v128_get(const wasm_val_t *value, uint8_t out[16]);

/* "0.1.0" */
WASM_API_EXTERN const char *atoll_version(void);

/* ---- configuration: before wasm_engine_new_with_config ---- */

/* Switches a feature by its name ("simd", "gc", "custom-page-sizes" ...: `atoll features` lists them). False:
 * unknown. */
WASM_API_EXTERN bool atoll_config_feature(wasm_config_t *config, const char *name, bool on);
/* How programs run: "auto" (the default: interpreted at first; a thread of the engine's, which sleeps when no program
 * needs it and blocks all signals, compiles what runs often), "jit" (machine code made before a module's first instance
 * runs) or "interp". What has no machine code, and everything while fuel is counted, is interpreted. An allocator of the
 * host's is called from that thread, too. False: unknown. */
WASM_API_EXTERN bool atoll_config_tier(wasm_config_t *config, const char *name);
/* Counts instructions: stores start with no fuel and trap when it is used up. */
WASM_API_EXTERN void atoll_config_fuel(wasm_config_t *config, bool on);
/* The same results of relaxed SIMD on every machine. */
WASM_API_EXTERN void atoll_config_deterministic(wasm_config_t *config, bool on);
/* Bytes of a store's stack (0 = 8 MiB) and of the managed heap (0 = 4 GiB; one heap a process, the largest
 * counts). */
WASM_API_EXTERN void atoll_config_sizes(wasm_config_t *config, size_t stack_bytes,
                                        uint64_t max_gc_heap_bytes);
/* The memory of the engine and of all that is made in it comes from here; the allocator outlives them. Other
 * memory is: what is mapped (linear memories, stacks, large tables), the managed heap, and values made
 * without an engine (types, vectors), which use the C library's. */
WASM_API_EXTERN void atoll_config_allocator(wasm_config_t *config, const struct atoll_alloc *alloc);

/* ---- stores ---- */

/* Bounds over all of the store; 0 = none. */
WASM_API_EXTERN void atoll_store_limits(wasm_store_t *store, uint64_t max_memory_bytes,
                                        uint64_t max_table_elems, uint32_t max_instances);
WASM_API_EXTERN void atoll_store_set_fuel(wasm_store_t *store, int64_t fuel);
WASM_API_EXTERN int64_t atoll_store_fuel(const wasm_store_t *store);
/* Ends what runs in the store with the trap ATOLL_TRAP_INTERRUPTED, within microseconds. Any thread, any
 * signal handler. When nothing runs, the next call ends so. */
WASM_API_EXTERN void atoll_store_interrupt(wasm_store_t *store);

/* ---- modules ---- */

/* Binary or text format; `name` is what traces call it (NULL = none). */
WASM_API_EXTERN own wasm_module_t *atoll_module_load(wasm_store_t *store, const wasm_byte_vec_t *bytes,
                                                     const char *name, struct atoll_error *error);
/* Text to the binary format. */
WASM_API_EXTERN bool atoll_assemble(const char *text, size_t size, own wasm_byte_vec_t *out,
                                    struct atoll_error *error);

/* ---- traps ---- */

enum atoll_trap_code {
    ATOLL_TRAP_PROGRAM,     /* the program did what it must not: the message says what */
    ATOLL_TRAP_HOST,        /* a host function returned a trap */
    ATOLL_TRAP_EXCEPTION,   /* nobody caught an exception */
    ATOLL_TRAP_INTERRUPTED, /* atoll_store_interrupt */
    ATOLL_TRAP_FUEL,
    ATOLL_TRAP_EXIT,  /* WASI's proc_exit: no fault */
    ATOLL_TRAP_LINK,  /* nothing ran: an import is missing or does not fit, a limit is reached */
    ATOLL_TRAP_MEMORY /* the host's memory or the managed heap is used up */
};
WASM_API_EXTERN enum atoll_trap_code atoll_trap_code(const wasm_trap_t *trap);
WASM_API_EXTERN int atoll_trap_exit_status(const wasm_trap_t *trap); /* of ATOLL_TRAP_EXIT */
/* A place in the source of a program that carries debugging sections (DWARF). Strings are the program's own
 * words, whatever they hold, and live as long as the frame's instance. */
struct atoll_source {
    const char *function;         /* as the source calls it, or NULL */
    const char *directory, *file; /* directory NULL = where the compiler ran; file NULL = unknown */
    uint32_t line, column;        /* from 1; 0 = unknown */
};
/* Where the frame's instruction came from: out[0] is the innermost function inlined there, each next one what
 * it was inlined into, at the place of its call. Returns how many were written, at most `max`; 0 = nothing is
 * known. */
WASM_API_EXTERN size_t atoll_frame_source(const wasm_frame_t *frame, struct atoll_source *out, size_t max);
/* Lines as `atoll run` prints them, innermost first: number, function + offset, place in the file. Empty when
 * no function was running. */
WASM_API_EXTERN bool atoll_trap_backtrace(const wasm_trap_t *trap, own wasm_byte_vec_t *out);
/* The function's name by the name section or an export; empty when it has none, or is the host's. */
WASM_API_EXTERN bool atoll_frame_func_name(const wasm_frame_t *frame, own wasm_name_t *out);
/* What atoll_module_load was given as the module's name. */
WASM_API_EXTERN bool atoll_frame_module_name(const wasm_frame_t *frame, own wasm_name_t *out);

/* ---- exceptions ---- */

/* A tag, to import or to throw with: an extern of kind ATOLL_EXTERN_TAG. The type has no results. */
WASM_API_EXTERN own wasm_extern_t *atoll_tag_new(wasm_store_t *store, const wasm_functype_t *type);
/* The parameters of a tag as a function type; NULL when it is none. */
WASM_API_EXTERN const wasm_functype_t *atoll_externtype_as_tagtype(const wasm_externtype_t *type);

/* An exception; NULL when the values do not fit the tag. Programs take it as exnref. */
WASM_API_EXTERN own wasm_ref_t *atoll_exception_new(const wasm_extern_t *tag, const wasm_val_vec_t *values);
/* NULL and false when `ref` is no exception. */
WASM_API_EXTERN own wasm_extern_t *atoll_exception_tag(const wasm_ref_t *ref);
WASM_API_EXTERN bool atoll_exception_values(const wasm_ref_t *ref, own wasm_val_vec_t *out);

/* A host function throws by returning this: the program may catch it. */
WASM_API_EXTERN own wasm_trap_t *atoll_throw(const wasm_ref_t *exception);
/* A host catches what a call returned: the exception of ATOLL_TRAP_EXCEPTION, else NULL. Deleting the trap
 * ends it, returning the trap from a host function lets it go on. */
WASM_API_EXTERN own wasm_ref_t *atoll_trap_exception(const wasm_trap_t *trap);

/* ---- references to managed objects ---- */

enum atoll_ref_kind {
    ATOLL_REF_FUNC,
    ATOLL_REF_I31,
    ATOLL_REF_STRUCT,
    ATOLL_REF_ARRAY,
    ATOLL_REF_EXCEPTION,
    ATOLL_REF_HOST /* any other object of the C API, passed as externref */
};
WASM_API_EXTERN enum atoll_ref_kind atoll_ref_kind(const wasm_ref_t *ref);

/* A struct or array type of an engine; lives as long as it, is the same pointer for equal types. */
typedef struct atoll_heaptype_t atoll_heaptype_t;
/* The module's type of that index; NULL when it is no struct or array. */
WASM_API_EXTERN const atoll_heaptype_t *atoll_module_heaptype(const wasm_module_t *module, uint32_t index);
/* NULL when `ref` is no struct or array. */
WASM_API_EXTERN const atoll_heaptype_t *atoll_ref_heaptype(const wasm_ref_t *ref);
/* Whether it is of the type or of a subtype. */
WASM_API_EXTERN bool atoll_ref_is_a(const wasm_ref_t *ref, const atoll_heaptype_t *type);

/* The low 31 bits. */
WASM_API_EXTERN own wasm_ref_t *atoll_i31_new(wasm_store_t *store, int32_t value);
/* Sign-extended. False: it is no i31. */
WASM_API_EXTERN bool atoll_i31_get(const wasm_ref_t *ref, int32_t *out);

/* `fields` NULL: every field its default. Packed fields take and give i32, unsigned. NULL: a value is not of
 * its field's type, a type without default, or out of memory. */
WASM_API_EXTERN own wasm_ref_t *atoll_struct_new(wasm_store_t *store, const atoll_heaptype_t *type,
                                                 const wasm_val_vec_t *fields);
/* n elements like `value` (NULL: the default). */
WASM_API_EXTERN own wasm_ref_t *atoll_array_new(wasm_store_t *store, const atoll_heaptype_t *type,
                                                const wasm_val_t *value, uint32_t n);
/* Fields of a struct, elements of an array; 0 for others. */
WASM_API_EXTERN uint32_t atoll_object_size(const wasm_ref_t *ref);
/* False: no such field or element, or out of memory. */
WASM_API_EXTERN bool atoll_object_get(const wasm_ref_t *ref, uint32_t index, own wasm_val_t *out);
/* False also when it is immutable or the value of another type. */
WASM_API_EXTERN bool atoll_object_set(const wasm_ref_t *ref, uint32_t index, const wasm_val_t *value);

/* ---- shared memories ---- */

/* A memory that stores of one engine use at once, each on its thread. Its bytes may change at any time while
 * a program runs that has it: a host reads them once, or with atomics. */
typedef struct atoll_shared_memory_t atoll_shared_memory_t;
/* A new one in a store, for modules that import (memory MIN MAX shared); NULL: no memory, or beyond a limit.
 * It counts against the limits of this store for as long as it lives. */
WASM_API_EXTERN own wasm_memory_t *atoll_memory_new_shared(wasm_store_t *store, const wasm_limits_t *limits);
/* To hand it to another thread; NULL: the memory is not a shared one. It may outlive the store. */
WASM_API_EXTERN own atoll_shared_memory_t *atoll_memory_share(const wasm_memory_t *memory);
/* The same memory in another store, to be imported; any number of times. NULL: no memory, another engine's.
 */
WASM_API_EXTERN own wasm_memory_t *atoll_memory_obtain(wasm_store_t *store,
                                                       const atoll_shared_memory_t *shared);
WASM_API_EXTERN void atoll_shared_memory_delete(own atoll_shared_memory_t *shared);

/* ---- WASI ---- */

/* A program's world: nothing but what is granted here. */
typedef struct atoll_wasi_t atoll_wasi_t;
struct atoll_wasi_config {
    uint32_t max_fds;          /* open at once, grants included; 0 = 1024 */
    uint64_t max_output_bytes; /* written to streams, files and sockets; 0 = no limit, beyond it ENOSPC */
    /* Called with one line a request to the outside, allowed or refused; NULL = none. */
    void (*trace)(void *context, const char *line);
    void *trace_context;
};
/* `config` NULL: as all zero. */
WASM_API_EXTERN own atoll_wasi_t *atoll_wasi_new(wasm_engine_t *engine,
                                                 const struct atoll_wasi_config *config);
/* Only of a world that was not instantiated. */
WASM_API_EXTERN void atoll_wasi_delete(own atoll_wasi_t *wasi);

/* The first argument is the program's name. */
WASM_API_EXTERN bool atoll_wasi_arg(atoll_wasi_t *wasi, const char *arg);
WASM_API_EXTERN bool atoll_wasi_env(atoll_wasi_t *wasi, const char *name_and_value);
/* "HOST[::GUEST][:ro]", as `atoll run --dir`. */
WASM_API_EXTERN bool atoll_wasi_dir(atoll_wasi_t *wasi, const char *grant, struct atoll_error *error);
/* A listening socket "HOST:PORT" that the program may accept from. */
WASM_API_EXTERN bool atoll_wasi_listen(atoll_wasi_t *wasi, const char *address, struct atoll_error *error);
/* The same with a descriptor that listens already; the world closes it, on success. */
WASM_API_EXTERN bool atoll_wasi_listen_fd(atoll_wasi_t *wasi, int fd, const char *name,
                                          struct atoll_error *error);
/* A native library: the text of a prototypes file (docs/native.md). `module` NULL = as the file says. Faults
 * of the file are told when the world is instantiated. */
WASM_API_EXTERN bool atoll_wasi_native(atoll_wasi_t *wasi, const char *module, const char *text, size_t size);

/* Standard streams: 0, 1, 2. Each is closed until one of these says otherwise. */
WASM_API_EXTERN void atoll_wasi_inherit_stdio(atoll_wasi_t *wasi);
/* A host descriptor; stays the caller's, and open as long as the store. */
WASM_API_EXTERN bool atoll_wasi_stdio_fd(atoll_wasi_t *wasi, int stream, int fd);
/* A host file: read from (0), or made or emptied and written to (1, 2). */
WASM_API_EXTERN bool atoll_wasi_stdio_file(atoll_wasi_t *wasi, int stream, const char *path,
                                           struct atoll_error *error);
/* At its end (0), or swallows what is written. */
WASM_API_EXTERN bool atoll_wasi_stdio_null(atoll_wasi_t *wasi, int stream);
/* Standard input is these bytes, copied. */
WASM_API_EXTERN bool atoll_wasi_stdin_bytes(atoll_wasi_t *wasi, const void *bytes, size_t size);
/* Keeps what is written to stream 1 or 2, up to max_bytes: then ENOSPC. */
WASM_API_EXTERN bool atoll_wasi_stdout_bytes(atoll_wasi_t *wasi, int stream, size_t max_bytes);
/* What was kept so far; the world lives with its store. */
WASM_API_EXTERN bool atoll_wasi_output(const atoll_wasi_t *wasi, int stream, own wasm_byte_vec_t *out);
/* A callback for each read (0) or write (1, 2), on the thread that runs the program. It returns the bytes
 * done, 0 at the end of the input, or -errno. `context` is the caller's. */
typedef int64_t atoll_stream_callback_t(void *context, void *bytes, size_t size);
WASM_API_EXTERN bool atoll_wasi_stdio_callback(atoll_wasi_t *wasi, int stream,
                                               atoll_stream_callback_t *callback, void *context);

/* Instantiates a module with WASI's and the native libraries' functions. `imports` (NULL = none) are by
 * position, as for wasm_instance_new; NULL among them is looked for in the world. One instance a world:
 * `wasi` is consumed, and lives with the store. NULL: *trap says why. */
WASM_API_EXTERN own wasm_instance_t *atoll_wasi_instantiate(wasm_store_t *store, const wasm_module_t *module,
                                                            own atoll_wasi_t *wasi,
                                                            const wasm_extern_vec_t *imports,
                                                            own wasm_trap_t **trap);

#undef own

#ifdef __cplusplus
}
#endif

#endif
