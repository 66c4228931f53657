/* bytecode/bytecode.h: what a program is. The one header of this folder for the others.
 *
 *   .wat -> bc_text_assemble -> bytes -> bc_module_decode -> struct bc_module -> bc_module_validate -> (runtime, ...)
 *                               ^                                   |
 *                               +---------- bc_text_print <---------+
 *
 * atoll dis prints; its output assembles to the same bytes.
 *
 * A module keeps the bytes it was decoded from; function bodies and constant expressions stay byte ranges in
 * them, and every consumer walks them with bc_decode_instr. After validation a module never changes and any
 * thread may read it. */
#ifndef ATOLL_BYTECODE_H
#define ATOLL_BYTECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

/* ---- arena: memory that dies as a whole ---- */

struct bc_arena {
    const struct atoll_alloc *alloc;
    struct bc_arena_chunk *chunks; /* newest first */
    size_t used, capacity;         /* of the newest chunk */
    size_t total_bytes;            /* handed out so far, for accounting */
};
void bc_arena_init(struct bc_arena *arena, const struct atoll_alloc *alloc);
void bc_arena_fini(struct bc_arena *arena);
/* n_items * item_size bytes, zeroed, aligned to 16; NULL when out of memory or on overflow. */
void *bc_arena_new(struct bc_arena *arena, size_t n_items, size_t item_size);

/* ---- byte buffer: what writers write into ---- */

/* Takes bytes that were written; false = it cannot, and the writer shall stop. */
typedef bool bc_sink(void *context, const void *bytes, size_t n_bytes);
struct bc_buf {
    const struct atoll_alloc *alloc;
    uint8_t *data; /* owned */
    size_t size, capacity;
    bool failed; /* out of memory at some append, or the sink's answer; sticky: writers check once at their
                    end */
    bc_sink *sink;
    void *sink_context;
};
void bc_buf_init(struct bc_buf *buf, const struct atoll_alloc *alloc);
/* From here on bytes go to the sink in pieces, and the buffer stays small whatever is written. Nobody may
 * look back at what was appended. */
void bc_buf_stream(struct bc_buf *buf, bc_sink *sink, void *context);
void bc_buf_flush(struct bc_buf *buf); /* the last piece */
void bc_buf_fini(struct bc_buf *buf);
void bc_buf_bytes(struct bc_buf *buf, const void *bytes, size_t n_bytes);
void bc_buf_u8(struct bc_buf *buf, uint8_t byte);
void bc_buf_u32(struct bc_buf *buf, uint32_t value); /* LEB128, shortest form */
void bc_buf_u64(struct bc_buf *buf, uint64_t value); /* LEB128, shortest form */
void bc_buf_s64(struct bc_buf *buf, int64_t value); /* signed LEB128, shortest form; serves s32 and s33 too */
void bc_buf_fixed(struct bc_buf *buf, uint64_t value, unsigned n_bytes); /* little-endian */
void bc_buf_text(struct bc_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- types ---- */

/* A value type, packed:
 *
 *   31                     4   3    2..0
 *   +-----------------------+------+------+
 *   | heap type (REF only)  | null | kind |
 *   +-----------------------+------+------+
 *
 * A heap type is a type index of the module (< BC_HEAP_ABSTRACT) or BC_HEAP_ABSTRACT + enum bc_heap_kind. Two
 * packed value types of one module are equal as types when their packed words are equal after
 * bc_type_canonical; compare with bc_valtype_equal or bc_valtype_matches, never with ==, unless the kind is
 * known not to be REF. */
typedef uint32_t bc_valtype;

enum bc_kind {
    BC_KIND_BOTTOM, /* operand of any type, in unreachable code; never in a module */
    BC_KIND_I32,
    BC_KIND_I64,
    BC_KIND_F32,
    BC_KIND_F64,
    BC_KIND_V128,
    BC_KIND_REF,
    BC_KIND_PACKED /* field storage only: heap part 8 or 16 = i8, i16 */
};
#define BC_HEAP_ABSTRACT                                                                                     \
    0x07000000u     /* so small that a packed reference leaves bit 31 to BC_BLOCK_TYPE_INDEX */
enum bc_heap_kind { /* abstract heap types */
                    BC_HEAP_ANY,
                    BC_HEAP_EQ,
                    BC_HEAP_I31,
                    BC_HEAP_STRUCT,
                    BC_HEAP_ARRAY,
                    BC_HEAP_NONE,
                    BC_HEAP_FUNC,
                    BC_HEAP_NOFUNC,
                    BC_HEAP_EXTERN,
                    BC_HEAP_NOEXTERN,
                    BC_HEAP_EXN,
                    BC_HEAP_NOEXN,
                    BC_HEAP_BOTTOM /* validator only: (ref bot), below every heap type */
};
#define BC_I32    ((bc_valtype)BC_KIND_I32)
#define BC_I64    ((bc_valtype)BC_KIND_I64)
#define BC_F32    ((bc_valtype)BC_KIND_F32)
#define BC_F64    ((bc_valtype)BC_KIND_F64)
#define BC_V128   ((bc_valtype)BC_KIND_V128)
#define BC_I8     ((bc_valtype)(8u << 4 | BC_KIND_PACKED))
#define BC_I16    ((bc_valtype)(16u << 4 | BC_KIND_PACKED))
#define BC_BOTTOM ((bc_valtype)BC_KIND_BOTTOM)
#define BC_NONE   UINT32_MAX /* "no index" wherever an index is optional */

static inline bc_valtype bc_ref(bool nullable, uint32_t heap) {
    return heap << 4 | (uint32_t)nullable << 3 | BC_KIND_REF;
}
static inline bc_valtype bc_ref_abstract(bool nullable, enum bc_heap_kind heap) {
    return bc_ref(nullable, BC_HEAP_ABSTRACT + heap);
}
#define BC_FUNCREF   bc_ref_abstract(true, BC_HEAP_FUNC)
#define BC_EXTERNREF bc_ref_abstract(true, BC_HEAP_EXTERN)
static inline enum bc_kind bc_valtype_kind(bc_valtype t) { return (enum bc_kind)(t & 7); }
static inline bool bc_valtype_nullable(bc_valtype t) { return t >> 3 & 1; }
static inline uint32_t bc_valtype_heap(bc_valtype t) { return t >> 4; }
static inline bool bc_valtype_is_ref(bc_valtype t) { return (t & 7) == BC_KIND_REF; }
/* 64-bit slots a value of this type takes (design.md D3): v128 two, all else one. */
static inline unsigned bc_valtype_slots(bc_valtype t) { return (t & 7) == BC_KIND_V128 ? 2 : 1; }
/* Has a default value (zero or null): all but non-nullable references. */
static inline bool bc_valtype_defaultable(bc_valtype t) {
    return !bc_valtype_is_ref(t) || bc_valtype_nullable(t);
}

enum bc_type_form { BC_TYPE_FUNC, BC_TYPE_STRUCT, BC_TYPE_ARRAY };
struct bc_field {
    bc_valtype type; /* storage type: may be BC_I8, BC_I16 */
    bool mutable;
};
/* One defined type: a member of a recursion group. */
struct bc_type {
    enum bc_type_form form;
    bool final;
    bool grouped;   /* written in a recursion group, be it alone in it: kept for printer and writer */
    uint32_t super; /* declared supertype's index, or BC_NONE */
    uint32_t depth; /* number of supertypes above it */
    uint32_t rec_first, rec_count; /* its recursion group: types[rec_first .. rec_first + rec_count) */
    uint32_t canonical;            /* the lowest type index of this module that denotes an equal type */
    uint32_t n_params, n_results;  /* FUNC */
    uint32_t param_slots, result_slots;
    const bc_valtype *params, *results;
    uint32_t n_fields; /* STRUCT; ARRAY has one */
    const struct bc_field *fields;
    bool defaultable; /* every field has a default value */
};

struct bc_limits {
    uint64_t min, max; /* pages or elements; max is UINT64_MAX when absent */
    bool has_max, shared, is64;
    uint8_t page_size_log2; /* memories: 16 (0 by custom page sizes = 1 byte); tables: 0 */
};

/* ---- module ---- */

enum bc_extern { BC_EXTERN_FUNC, BC_EXTERN_TABLE, BC_EXTERN_MEMORY, BC_EXTERN_GLOBAL, BC_EXTERN_TAG };
#define BC_EXTERN_COUNT 5

bool bc_utf8_valid(const uint8_t *bytes, size_t n);
struct bc_name { /* UTF-8, validated, not NUL-terminated, may hold NUL; bytes belong to the module */
    const char *bytes;
    uint32_t size;
};
/* Byte range in the module's bytes. */
struct bc_range {
    uint32_t offset, size;
};

struct bc_func {
    uint32_t type; /* index of a BC_TYPE_FUNC */
    bool declared; /* occurs in an element segment, export or global: ref.func may name it */
    /* all below: own functions only */
    struct bc_range
        body; /* the code entry behind its size: local declarations, then instructions, final end included */
    uint32_t code_offset; /* first instruction's byte offset in the module */
    uint32_t n_locals;    /* without parameters */
    uint32_t n_local_runs;
    const struct bc_local_run *local_runs; /* as declared: {count, type} */
};
struct bc_local_run {
    uint32_t count;
    bc_valtype type;
};
struct bc_table {
    bc_valtype type;
    struct bc_limits limits;
    struct bc_range init; /* constant expression incl. its end; size 0 = null */
    uint32_t at;
};
struct bc_memory {
    struct bc_limits limits;
    uint32_t at; /* byte offset of its description, here and in the next ones */
};
struct bc_global {
    bc_valtype type;
    bool mutable;
    struct bc_range init; /* own globals */
};
struct bc_tag {
    uint32_t type, at;
};
struct bc_import {
    struct bc_name module, name;
    enum bc_extern kind;
    uint32_t index; /* in its index space */
    uint32_t offset;
};
struct bc_export {
    struct bc_name name;
    enum bc_extern kind;
    uint32_t index;
    uint32_t offset;
};
enum bc_segment_mode { BC_SEGMENT_ACTIVE, BC_SEGMENT_PASSIVE, BC_SEGMENT_DECLARED };
struct bc_elem {
    enum bc_segment_mode mode;
    bc_valtype type;
    uint32_t table;         /* ACTIVE */
    struct bc_range offset; /* ACTIVE: constant expression */
    uint32_t n_items;
    const uint32_t *funcs;        /* items as function indices, or NULL ... */
    const struct bc_range *exprs; /* ... then as constant expressions */
    uint32_t flags,
        at; /* encoding's flag word (the printer and writer keep the form); byte offset of the segment */
};
struct bc_data {
    enum bc_segment_mode mode;
    uint32_t memory;
    struct bc_range offset; /* ACTIVE */
    struct bc_range bytes;
    uint32_t flags, at;
};
struct bc_custom {
    struct bc_name name;
    struct bc_range payload; /* behind the name */
    uint32_t at;             /* byte offset of the section */
    uint8_t after;           /* id of the known section it follows, 0 = at the start */
};

struct bc_module {
    struct bc_arena arena; /* everything below lives in it, but for borrowed bytes */
    const uint8_t *bytes;
    size_t n_bytes;
    size_t n_bytes_allocated; /* when owned */
    bool owns_bytes;
    bool validated;

    uint32_t n_types, n_funcs, n_tables, n_memories, n_globals, n_tags; /* index spaces, imports first */
    uint32_t n_imported_funcs, n_imported_tables, n_imported_memories, n_imported_globals, n_imported_tags;
    struct bc_type *types;
    struct bc_func *funcs;
    struct bc_table *tables;
    struct bc_memory *memories;
    struct bc_global *globals;
    struct bc_tag *tags;
    uint32_t n_imports, n_exports, n_elems, n_datas, n_customs;
    struct bc_import *imports; /* in the order of the file */
    struct bc_export *exports;
    struct bc_elem *elems;
    struct bc_data *datas;
    struct bc_custom *customs;
    uint32_t start, start_at; /* function index or BC_NONE; its byte offset */
    bool has_data_count;
    bool uses_gc; /* declares a struct or array type, or mentions an i31/any-hierarchy type: needs the managed
                     heap */
    struct bc_names *names; /* decoded lazily, see bc_names_* */
};

/* ---- features and limits ---- */

#define BC_FEATURE_LIST(X)                                                                                   \
    X(MVP, "mvp")                                                                                            \
    X(MUTABLE_GLOBALS, "mutable-globals")                                                                    \
    X(SIGN_EXTENSION, "sign-extension")                                                                      \
    X(SATURATING_FLOAT, "saturating-float-to-int")                                                           \
    X(MULTI_VALUE, "multi-value")                                                                            \
    X(BULK_MEMORY, "bulk-memory")                                                                            \
    X(REFERENCE_TYPES, "reference-types")                                                                    \
    X(SIMD, "simd")                                                                                          \
    X(RELAXED_SIMD, "relaxed-simd")                                                                          \
    X(TAIL_CALL, "tail-call")                                                                                \
    X(EXTENDED_CONST, "extended-const")                                                                      \
    X(FUNCTION_REFERENCES, "function-references")                                                            \
    X(GC, "gc")                                                                                              \
    X(EXCEPTIONS, "exceptions")                                                                              \
    X(LEGACY_EXCEPTIONS, "legacy-exceptions")                                                                \
    X(MULTI_MEMORY, "multi-memory")                                                                          \
    X(MEMORY64, "memory64")                                                                                  \
    X(THREADS, "threads")                                                                                    \
    X(CUSTOM_PAGE_SIZES, "custom-page-sizes")                                                                \
    X(WIDE_ARITHMETIC, "wide-arithmetic")
enum bc_feature {
#define X(id, word) BC_FEATURE_##id,
    BC_FEATURE_LIST(X)
#undef X
        BC_FEATURE_COUNT
};
typedef uint64_t bc_features; /* bit set of enum bc_feature */
/* Everything of WebAssembly 3.0 plus threads and legacy exceptions. */
#define BC_FEATURES_DEFAULT                                                                                  \
    ((UINT64_C(1) << BC_FEATURE_COUNT) - 1 - (UINT64_C(1) << BC_FEATURE_CUSTOM_PAGE_SIZES) -                 \
     (UINT64_C(1) << BC_FEATURE_WIDE_ARITHMETIC))

/* A bit of no feature: with it, "none at all" is not taken for "default". */
#define BC_FEATURES_GIVEN (UINT64_C(1) << 63)

/* Limits of the WebAssembly JavaScript interface, "Implementation-defined Limits"; the stress preset shrinks
 * some. */
#define BC_MAX_MODULE_BYTES    (1u << 30)
#define BC_MAX_TYPES           1000000u
#define BC_MAX_REC_GROUPS      1000000u
#define BC_MAX_REC_GROUP_SIZE  1000000u
#define BC_MAX_SUBTYPE_DEPTH   63u
#define BC_MAX_FUNCS           1000000u
#define BC_MAX_IMPORTS         1000000u
#define BC_MAX_EXPORTS         1000000u
#define BC_MAX_GLOBALS         1000000u
#define BC_MAX_TAGS            1000000u
#define BC_MAX_DATA_SEGMENTS   100000u
#define BC_MAX_ELEM_SEGMENTS   10000000u
#define BC_MAX_TABLES          100000u
#define BC_MAX_TABLE_ELEMS     10000000u
#define BC_MAX_MEMORIES        100u
#define BC_MAX_PARAMS          1000u
#define BC_MAX_RESULTS         1000u
#define BC_MAX_FUNC_BYTES      16000000u
#define BC_MAX_LOCALS          50000u   /* parameters included */
#define BC_MAX_OPERANDS        1000000u /* on the stack at once; no frame of more fits the usual stack */
#define BC_MAX_STRUCT_FIELDS   10000u
#define BC_MAX_ARRAY_NEW_FIXED 10000u
#define BC_MAX_BR_TABLE        65520u
#define BC_MAX_PAGES32         65536u
#define BC_MAX_PAGES64         (UINT64_C(1) << 48)

/* ---- decoding and validation ---- */

/* Any thread or signal handler may make it other than 0: what reads a program then ends soon, with
 * E_INTERRUPTED. */
typedef _Atomic uint32_t bc_stop;
struct bc_config {
    const struct atoll_alloc *alloc; /* NULL = atoll_default_alloc */
    bc_features features;            /* 0 = BC_FEATURES_DEFAULT */
    const bc_stop *stop;             /* NULL = nobody stops it */
    bool
        bodies_are_valid; /* the caller knows it of these very bytes and features: validation does not look at them */
};

/* Whether a program file is in the binary format, be it broken: it begins with a zero byte, which no text
 * holds, or has no bytes at all. */
static inline bool bc_is_binary(const uint8_t *bytes, size_t n_bytes) { return !n_bytes || !bytes[0]; }

/* Decodes a binary module: sections, types (with canonical recursion groups), segment and body ranges. Bodies
 * are delimited and their local declarations checked; their instructions are checked by validation. in bytes[0
 * .. n_bytes); kept by reference: they have to outlive the module (bc_module_own_bytes changes that)
 * out     *out_module, owned by the caller (bc_module_free)
 * fails   ATOLL_E_MALFORMED, E_LIMIT, E_INVALID (types), E_NOMEM; err->offset is the byte; texts begin with
 *         the official tests' wording ("unexpected end", "integer too large", ...); E_INTERRUPTED
 * bounds  time and memory linear in n_bytes; no recursion on input; counts allocate nothing before their items
 *         are seen
 * source  core spec, "Binary Format" */
enum atoll_status bc_module_decode(const uint8_t *bytes, size_t n_bytes, const struct bc_config *config,
                                   struct bc_module **out_module, struct atoll_error *err);
/* Hands the module the ownership of its bytes, which came from config->alloc and have capacity n_allocated.
 */
void bc_module_own_bytes(struct bc_module *module, size_t n_allocated);
void bc_module_free(struct bc_module *module); /* NULL is allowed */

/* Validates everything: types, all function bodies (unless config->bodies_are_valid), constant expressions, segments,
 * exports (3.0, "Validation").
 * fails   ATOLL_E_INVALID with the official wording first ("type mismatch", "unknown local 7", ...);
 *         E_MALFORMED for faults of the instruction encoding, which only show here; E_LIMIT; E_NOMEM;
 *         E_INTERRUPTED. On success module->validated is true. */
enum atoll_status bc_module_validate(struct bc_module *module, const struct bc_config *config,
                                     struct atoll_error *err);

/* ---- type relations ---- */

/* Both within one module. "matches" is the subtype relation <= of the specification ("Matching"); constant or
 * O(depth). */
bool bc_valtype_equal(const struct bc_module *m, bc_valtype a, bc_valtype b);
bool bc_valtype_matches(const struct bc_module *m, bc_valtype sub, bc_valtype super);
bool bc_heaptype_matches(const struct bc_module *m, uint32_t sub, uint32_t super);
/* Writes the text form ("(ref null 3)", "i32") into out[size], always NUL-terminated; returns out. */
const char *bc_valtype_text(bc_valtype type, char *out, size_t size);

/* ---- instructions ---- */

enum bc_op {
#define OP(id, ...) BC_##id,
#include "bytecode/opcodes.def"
#undef OP
    BC_OP_COUNT
};

/* Layout of the immediates that follow an opcode, and the field of struct bc_instr that receives each. */
#define BC_IMM_LIST(X)                                                                                       \
    X(NONE)     /* nothing */                                                                                \
    X(BLOCK)    /* s33 block type -> block_type (value type, or type index) */                               \
    X(LABEL)    /* u32 depth -> index */                                                                     \
    X(BR_TABLE) /* vec(u32) then u32 default -> count = entries without the default, at = first entry */     \
    X(FUNC)     /* u32 -> index */                                                                           \
    X(CALL_INDIRECT) /* u32 type -> index, u32 table -> index2 */                                            \
    X(TYPE)          /* u32 -> index */                                                                      \
    X(TAG)           /* u32 -> index */                                                                      \
    X(SELECT)        /* vec(valtype) -> count, at; a count other than 1 is invalid -> valtype = the one */   \
    X(TRY_TABLE)     /* s33 block type -> block_type, vec(catch) -> count, at */                             \
    X(LOCAL)         /* u32 -> index */                                                                      \
    X(GLOBAL)        /* u32 -> index */                                                                      \
    X(TABLE)         /* u32 -> index */                                                                      \
    X(TABLE_TABLE)   /* u32 destination -> index, u32 source -> index2 */                                    \
    X(ELEM_TABLE)    /* u32 segment -> index, u32 table -> index2 */                                         \
    X(ELEM)          /* u32 -> index */                                                                      \
    X(DATA)          /* u32 -> index */                                                                      \
    X(DATA_MEMORY)   /* u32 segment -> index, u32 memory -> index2 */                                        \
    X(MEMORY)        /* u32 -> index */                                                                      \
    X(MEMORY_MEMORY) /* u32 destination -> index, u32 source -> index2 */                                    \
    X(MEMARG)        /* u32 align (bit 6: a memory index follows) -> align, u32 -> index, u64 -> offset */   \
    X(MEMARG_LANE)   /* as MEMARG, then a byte -> lane */                                                    \
    X(LANE)          /* byte -> lane */                                                                      \
    X(SHUFFLE)       /* 16 bytes -> v128 */                                                                  \
    X(V128)          /* 16 bytes -> v128 */                                                                  \
    X(I32)           /* s32 -> i32 */                                                                        \
    X(I64)           /* s64 -> i64 */                                                                        \
    X(F32)           /* 4 bytes -> f32_bits */                                                               \
    X(F64)           /* 8 bytes -> f64_bits */                                                               \
    X(HEAP_TYPE)     /* s33 heap type -> heap_type */                                                        \
    X(BR_CAST)    /* byte flags, u32 label -> index, heap types -> heap_type, heap_type2; flags -> lane */   \
    X(TYPE_FIELD) /* u32 type -> index, u32 field -> index2 */                                               \
    X(TYPE_COUNT) /* u32 type -> index, u32 count -> index2 */                                               \
    X(TYPE_TYPE)  /* u32 destination type -> index, u32 source type -> index2 */                             \
    X(TYPE_DATA)  /* u32 type -> index, u32 segment -> index2 */                                             \
    X(TYPE_ELEM)  /* u32 type -> index, u32 segment -> index2 */                                             \
    X(FENCE)      /* byte 0 */
enum bc_imm {
#define X(id) BC_IMM_##id,
    BC_IMM_LIST(X)
#undef X
};

struct bc_op_info {
    const char *text;
    const char *signature; /* NULL = SPECIAL */
    uint8_t prefix;
    uint16_t code;
    uint8_t immediates; /* enum bc_imm */
    uint8_t access;     /* bytes */
    uint8_t feature;    /* enum bc_feature */
};
extern const struct bc_op_info bc_op_infos[BC_OP_COUNT];

#define BC_BLOCK_EMPTY UINT32_MAX /* block_type: no parameters, no results */
#define BC_BLOCK_TYPE_INDEX                                                                                  \
    0x80000000u /* block_type: flag, low bits are a type index; else a bc_valtype (one result) */

struct bc_instr {
    enum bc_op op;
    uint32_t offset; /* byte offset of the opcode in the module */
    uint32_t next;   /* byte offset behind the instruction */
    uint32_t index, index2;
    union {
        uint64_t memarg_offset;
        int32_t i32;
        int64_t i64;
        uint32_t f32_bits;
        uint64_t f64_bits;
        uint8_t v128[16];
        struct {
            uint32_t count, at; /* vectors: items and the byte offset of the first */
        };
        struct {
            uint32_t heap_type, heap_type2;
        };
    };
    uint32_t block_type;
    bc_valtype valtype; /* SELECT */
    uint8_t align;      /* log2 */
    uint8_t lane;
};

/* Decodes the instruction at byte offset `at`, reading below `end` only. Every LEB128 is checked for length
 * and unused bits. Features are checked by the validator. fails ATOLL_E_MALFORMED (err->offset); a validated
 * body never fails. */
enum atoll_status bc_decode_instr(const struct bc_module *m, uint32_t at, uint32_t end, struct bc_instr *out,
                                  struct atoll_error *err);
/* Reads one u32 of a br_table vector at *at and advances it (validated bodies). */
uint32_t bc_read_u32(const struct bc_module *m, uint32_t *at);
/* One catch clause of a try_table at *at, advanced (validated bodies). kind: 0 catch, 1 catch_ref, 2
 * catch_all, 3 catch_all_ref */
struct bc_catch {
    uint8_t kind;
    uint32_t tag, label;
};
struct bc_catch bc_read_catch(const struct bc_module *m, uint32_t *at);
/* The type of local `index` (parameters first) of own function `func`; O(log runs). */
bc_valtype bc_local_type(const struct bc_module *m, uint32_t func, uint32_t index);
/* Parameters and results of a block type: fills counts and pointers (`scratch` holds the one result of a
 * short form). */
struct bc_block_sig {
    uint32_t n_params, n_results;
    const bc_valtype *params, *results;
    bc_valtype scratch;
};
void bc_block_signature(const struct bc_module *m, uint32_t block_type, struct bc_block_sig *out);

/* ---- names ---- */

enum bc_name_space {
    BC_NAMES_FUNC = 1, /* values are the name section's subsection ids */
    BC_NAMES_TYPE = 4,
    BC_NAMES_TABLE,
    BC_NAMES_MEMORY,
    BC_NAMES_GLOBAL,
    BC_NAMES_ELEM,
    BC_NAMES_DATA,
    BC_NAMES_TAG = 11
};
/* The custom section "name", decoded forgivingly: a broken subsection ends the reading, what was read stays.
 * Call once, before the module is shared; the lookups then read only. */
enum atoll_status bc_names_load(struct bc_module *m);
/* An empty name (size 0, bytes NULL) where there is none. */
struct bc_name bc_name_module(const struct bc_module *m);
struct bc_name bc_name_of(const struct bc_module *m, enum bc_name_space space, uint32_t index);
struct bc_name bc_name_local(const struct bc_module *m, uint32_t func, uint32_t local);
struct bc_name bc_name_label(const struct bc_module *m, uint32_t func, uint32_t label);
struct bc_name bc_name_field(const struct bc_module *m, uint32_t type, uint32_t field);

/* ---- source positions (DWARF) ---- */

/* Where an instruction came from. Strings stand in the module's bytes and are whatever the file holds: escape
 * them before printing. */
struct bc_source {
    struct bc_name function;        /* as the source calls it; empty = unknown */
    struct bc_name directory, file; /* directory: empty = where the compiler ran; file: empty = unknown */
    uint32_t line, column;          /* from 1; 0 = unknown */
};
/* A reader of the module's debugging sections (.debug_line and friends, DWARF 2 to 5); NULL = the module
 * carries none, or out of memory. It reads only when asked, allocates little, and is used by one thread. The
 * module outlives it. hostile  the sections are never trusted: what is broken stays unknown, and all
 * questions together do bounded work */
struct bc_debug *bc_debug_new(const struct bc_module *m, const struct atoll_alloc *alloc);
void bc_debug_free(struct bc_debug *debug); /* NULL is allowed */
/* The source of the instruction at byte `offset` of the module: out[0] is the innermost function inlined
 * there, each next one the function it was inlined into, at the place of its call. Returns how many were
 * written, at most `max`; 0 = nothing is known (so for debug == NULL). */
uint32_t bc_debug_find(struct bc_debug *debug, uint32_t offset, struct bc_source *out, uint32_t max);

/* ---- text format ---- */

/* What bc_text_assemble and bc_text_print agree on beyond the specification, so that bytes survive the text:
 * names       ids make a name section (subsections ascending by id, maps by index) that stands behind custom
 *             sections placed (after data) and before those placed (after last), the default; none is made
 *             when the text itself holds (@custom "name" ...)
 * labels      the nth block, loop, if, try or try_table of a function is its label n, from 0, in the name
 *             section
 * data count  written when a function names a data segment, or when the module holds (@datacount)
 * segments    (table x) and (memory x) written out select the encoding with an index, even for 0; items given
 *             as `func x ...` the one with function indices, items given as expressions the one with them
 * blocks      (type x) written out selects the index form; otherwise the short form where there is one
 * if          a written else is encoded, even an empty one
 * locals      neighbours of one type share a run */

/* Where bytes of an assembled module came from: sorted by offset, one entry an instruction, definition, type, import,
 * export or segment. */
struct bc_source_map {
    struct bc_source_map_entry {
        uint32_t offset, line, column;
    } * entries;
    size_t n_entries, capacity;
};
void bc_source_map_fini(struct bc_source_map *map, const struct atoll_alloc *alloc);
/* The entry with the greatest offset <= `offset`, or NULL. */
const struct bc_source_map_entry *bc_source_map_find(const struct bc_source_map *map, uint32_t offset);
/* The user wrote text: a fault found in the bytes made from it gets its place there instead of an offset. NULL map:
 * the bytes are the user's own, nothing changes. */
void bc_source_map_place(const struct bc_source_map *map, struct atoll_error *err);

/* Assembles one module in text format ("(module ...)" or the bare fields) to the binary format. Identifiers
 * go to the name section (the text keeps its names). The result decodes; it may still be invalid.
 * in      text[0 .. n_bytes): UTF-8, checked
 * out     appended to *out_bytes; *map (NULL allowed) receives source positions
 * fails   ATOLL_E_SYNTAX with line and column and the official wording; E_LIMIT, E_NOMEM, E_INTERRUPTED
 * bounds  no recursion on input; time linear but for name look-up (hashed)
 * source  core spec, "Text Format" */
enum atoll_status bc_text_assemble(const char *text, size_t n_bytes, const struct bc_config *config,
                                   struct bc_buf *out_bytes, struct bc_source_map *map,
                                   struct atoll_error *err);

struct bc_print_options {
    bool fold;     /* folded expressions instead of one instruction a line */
    bool offsets;  /* byte offsets as comments */
    bool no_names; /* ignore the name section */
};
/* Prints a decoded module as text that assembles to the same bytes (for modules in canonical encoding:
 * shortest LEB128).
 * fails   ATOLL_E_MALFORMED where a body does not decode, E_NOMEM */
enum atoll_status bc_text_print(const struct bc_module *m, const struct bc_print_options *options,
                                struct bc_buf *out, struct atoll_error *err);
/* Sections by id, as the text format names places of custom sections; 0, custom, has no word. */
extern const char *const bc_section_words[14];
/* Appends the text of one instruction of a validated body: keyword and immediates, functions and all else by index. */
void bc_instr_print(const struct bc_module *m, const struct bc_instr *in, struct bc_buf *out);
/* The section-by-section listing of `atoll objdump`. */
struct bc_dump_options {
    bool headers, details, disassemble, full_contents;
    const char
        *section; /* only those of this name ("type", "code", "custom" or a custom one's own); NULL = all */
};
bool bc_module_has_section(const struct bc_module *m, const char *name); /* a name as above */
enum atoll_status bc_module_dump(const struct bc_module *m, const struct bc_dump_options *options,
                                 struct bc_buf *out, struct atoll_error *err);
/* Writes a decoded module back to the binary format in canonical encoding. */
enum atoll_status bc_module_write(const struct bc_module *m, struct bc_buf *out, struct atoll_error *err);

/* ---- scripts (.wast) ---- */

/* The reference interpreter's script format, parsed to a list; the modules in it are assembled only when
 * asked for, because assert_malformed wants some of them to fail. Source: the specification repository,
 * interpreter/README, "Scripts". */
struct bc_script;
enum bc_command_kind {
    BC_CMD_MODULE,            /* module (any form); `definition` = define only; name optional */
    BC_CMD_INSTANCE,          /* (module instance $name $definition) */
    BC_CMD_REGISTER,          /* text = name to register, name = module or empty */
    BC_CMD_ACTION,            /* action without assertion */
    BC_CMD_ASSERT_RETURN,     /* action, expected values */
    BC_CMD_ASSERT_TRAP,       /* action, text; or module instantiation when has_module */
    BC_CMD_ASSERT_EXHAUSTION, /* action, text */
    BC_CMD_ASSERT_EXCEPTION,  /* action */
    BC_CMD_ASSERT_MALFORMED,  /* module, text */
    BC_CMD_ASSERT_MALFORMED_CUSTOM,
    BC_CMD_ASSERT_INVALID, /* module, text */
    BC_CMD_ASSERT_INVALID_CUSTOM,
    BC_CMD_ASSERT_UNLINKABLE /* module, text */
};
enum bc_module_source { BC_SOURCE_TEXT, BC_SOURCE_BINARY, BC_SOURCE_QUOTE };
enum bc_pattern {
    BC_PAT_VALUE, /* exact bits */
    BC_PAT_NAN_CANONICAL,
    BC_PAT_NAN_ARITHMETIC,
    BC_PAT_REF_NULL,   /* any null */
    BC_PAT_REF,        /* any non-null reference of class `heap` */
    BC_PAT_REF_EXTERN, /* (ref.extern N): value; bare (ref.extern): BC_PAT_REF */
    BC_PAT_REF_HOST,   /* (ref.host N) */
    BC_PAT_VECTOR,     /* lanes[] by their own patterns */
    BC_PAT_EITHER      /* alternatives[] */
};
struct bc_const {    /* an argument or an expected value */
    bc_valtype type; /* BC_BOTTOM where a bare pattern leaves it open */
    enum bc_pattern pattern;
    uint64_t bits[2];        /* little-endian value; v128 takes both */
    uint8_t lane_bytes;      /* VECTOR: 1, 2, 4, 8 */
    uint8_t lane_pattern[4]; /* VECTOR of f32/f64: enum bc_pattern a lane */
    enum bc_heap_kind heap;  /* REF */
    uint32_t n_alternatives;
    const struct bc_const *alternatives; /* EITHER */
};
struct bc_action {
    bool is_get;           /* (get ...) instead of (invoke ...) */
    struct bc_name module; /* $name or empty = latest */
    struct bc_name field;
    uint32_t n_args;
    const struct bc_const *args;
};
struct bc_command {
    enum bc_command_kind kind;
    uint32_t line;
    bool has_module, definition;
    struct bc_name name, name2; /* $names without the dollar sign's meaning: bytes as written */
    struct bc_name text;        /* expected message, or the name to register */
    struct bc_action action;
    uint32_t n_expected;
    const struct bc_const *expected;
    enum bc_module_source source;
    const char *module_text; /* TEXT: the span of the s-expression; BINARY, QUOTE: the decoded string bytes */
    size_t module_text_size;
};
enum atoll_status bc_script_parse(const char *text, size_t n_bytes, const struct atoll_alloc *alloc,
                                  struct bc_script **out, struct atoll_error *err);
size_t bc_script_count(const struct bc_script *s);
const struct bc_command *bc_script_command(const struct bc_script *s, size_t i);
/* The module of a command as bytes (assembled, or taken as they are) appended to *out. */
enum atoll_status bc_script_module_bytes(const struct bc_script *s, const struct bc_command *c,
                                         const struct bc_config *config, struct bc_buf *out,
                                         struct atoll_error *err);
void bc_script_free(struct bc_script *s);

#endif
