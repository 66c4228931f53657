/* atoll/atoll.h: what the standard C API (wasm.h) lacks: configuration, limits, fuel, interruption, text
 * format, WASI behind the sandbox, and traps that tell more.
 *
 * Strings given are copied. Functions that return bool or a pointer say false or NULL when they fail; where a
 * `char *error` of `error_size` bytes is taken, it receives one line that tells why (always terminated). */
#ifndef ATOLL_ATOLL_H
#define ATOLL_ATOLL_H

#include "atoll/alloc.h"
#include "wasm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define own

/* Kinds beyond the standard's: types show them, values of them do not pass through the C API. */
enum atoll_kinds { ATOLL_V128 = 4, ATOLL_EXTERN_TAG = 4 };

/* ---- configuration: before wasm_engine_new_with_config ---- */

/* Switches a feature by its name ("simd", "gc", "custom-page-sizes" ...: `atoll features` lists them). False:
 * unknown. */
WASM_API_EXTERN bool atoll_config_feature(wasm_config_t *config, const char *name, bool on);
/* Counts instructions: stores start with no fuel and trap when it is used up. */
WASM_API_EXTERN void atoll_config_fuel(wasm_config_t *config, bool on);
/* The same results of relaxed SIMD on every machine. */
WASM_API_EXTERN void atoll_config_deterministic(wasm_config_t *config, bool on);
/* Bytes of a store's stack (0 = 8 MiB) and of the managed heap (0 = 4 GiB; one heap a process, the largest
 * counts). */
WASM_API_EXTERN void atoll_config_sizes(wasm_config_t *config, size_t stack_bytes,
                                        uint64_t max_gc_heap_bytes);
/* The engine's memory comes from here; the allocator outlives the engine. */
WASM_API_EXTERN void atoll_config_allocator(wasm_config_t *config, const struct atoll_alloc *alloc);

/* ---- stores ---- */

/* Bounds over all of the store; 0 = none. */
WASM_API_EXTERN void atoll_store_limits(wasm_store_t *store, uint64_t max_memory_bytes,
                                        uint64_t max_table_elems, uint32_t max_instances);
WASM_API_EXTERN void atoll_store_set_fuel(wasm_store_t *store, int64_t fuel);
WASM_API_EXTERN int64_t atoll_store_fuel(const wasm_store_t *store);
/* Ends what runs in the store with the trap ATOLL_TRAP_INTERRUPTED, within microseconds. Any thread, any
 * signal handler. */
WASM_API_EXTERN void atoll_store_interrupt(wasm_store_t *store);

/* ---- modules ---- */

/* Binary or text format; `name` is what traces call it (NULL = none). */
WASM_API_EXTERN own wasm_module_t *atoll_module_load(wasm_store_t *store, const wasm_byte_vec_t *bytes,
                                                     const char *name, char *error, size_t error_size);
/* Text to the binary format. */
WASM_API_EXTERN bool atoll_assemble(const char *text, size_t size, own wasm_byte_vec_t *out, char *error,
                                    size_t error_size);

/* ---- traps ---- */

enum atoll_trap_code {
    ATOLL_TRAP_PROGRAM,     /* the program did what it must not: the message says what */
    ATOLL_TRAP_HOST,        /* a host function returned a trap */
    ATOLL_TRAP_EXCEPTION,   /* nobody caught an exception */
    ATOLL_TRAP_INTERRUPTED, /* atoll_store_interrupt */
    ATOLL_TRAP_FUEL,
    ATOLL_TRAP_EXIT, /* WASI's proc_exit: no fault */
    ATOLL_TRAP_LINK  /* an import is missing or does not fit */
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

/* ---- WASI ---- */

/* A program's world: nothing but what is granted here. */
typedef struct atoll_wasi_t atoll_wasi_t;
WASM_API_EXTERN own atoll_wasi_t *atoll_wasi_new(void);
WASM_API_EXTERN void atoll_wasi_delete(own atoll_wasi_t *wasi);
WASM_API_EXTERN bool atoll_wasi_arg(atoll_wasi_t *wasi,
                                    const char *arg); /* the first is the program's name */
WASM_API_EXTERN bool atoll_wasi_env(atoll_wasi_t *wasi, const char *name_and_value);
/* "HOST[::GUEST][:ro]", as `atoll run --dir`. */
WASM_API_EXTERN bool atoll_wasi_dir(atoll_wasi_t *wasi, const char *grant, char *error, size_t error_size);
/* The host's descriptors 0, 1, 2 are the program's. */
WASM_API_EXTERN void atoll_wasi_inherit_stdio(atoll_wasi_t *wasi);
/* Instantiates a module whose imports are WASI's. One instance a world: `wasi` is consumed, and lives with
 * the store. */
WASM_API_EXTERN own wasm_instance_t *atoll_wasi_instantiate(wasm_store_t *store, const wasm_module_t *module,
                                                            own atoll_wasi_t *wasi, own wasm_trap_t **trap);

#undef own

#ifdef __cplusplus
}
#endif

#endif
