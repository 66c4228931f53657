/* jit/code.h: compiled functions, and the memory that holds them. */
#ifndef ATOLL_JIT_CODE_H
#define ATOLL_JIT_CODE_H

#include "runtime/runtime.h"

struct jit_pc { /* machine code offset <-> byte offset in the module; sorted */
    uint32_t at, where;
};
#define JIT_NO_FRAME 0x80000000u /* in jit_pc.where: in front of the function's frame */
#define JIT_FAR      0x40000000u /* behind a call into another instance: ours is in the frame */
#define JIT_INLINED  0x20000000u /* the rest is no byte offset but the number of a struct jit_inlined */
#define JIT_PLACE    (JIT_INLINED - 1)
struct jit_inlined { /* a place in a function that stands in its caller's code (build_inline.c) */
    uint32_t at;     /* byte offset in the module, which tells the function */
    uint32_t
        outer; /* where it is called: a byte offset in the function whose code this is; or one with a smaller
                        number, marked JIT_INLINED */
};
enum jit_reloc_kind { /* what code has of its place, its module and its process; the rest is the same everywhere */
                      JIT_RELOC_FUNC,
                      JIT_RELOC_SELF,
                      JIT_RELOC_TRAP,
                      JIT_RELOC_LEAVE,
                      JIT_RELOC_TAIL,  /* target: class of the frame. Up to REFUEL four bytes: the distance */
                      JIT_RELOC_THROW, /* the thunks of exceptions */
                      JIT_RELOC_THROW_REF,
                      JIT_RELOC_REFUEL,
                      JIT_RELOC_TYPE,   /* eight bytes, from here on: an address. target: index of the type */
                      JIT_RELOC_LAYOUT, /* of the type's objects */
                      JIT_RELOC_SLOW,   /* target: number of the slow instruction */
                      JIT_RELOC_SLOW_RUN, /* jit_slow_run */
                      JIT_RELOC_COUNT
};
struct jit_landing { /* where an exception goes on that comes out of the call before `at` */
    uint32_t at, target;
    uint32_t tag;      /* JIT_ANY_TAG */
    uint32_t with_ref; /* the exception itself is wanted behind the tag's values */
};
#define JIT_ANY_TAG UINT32_MAX
struct jit_reloc {
    uint32_t at, target;
    uint8_t kind;
};
struct jit_code { /* of one function */
    uint32_t func;
    uint8_t *start;             /* where it runs; NULL: it has no place yet */
    uint32_t size, frame_bytes; /* frame: from rsp inside the function up to its return address */
    uint32_t pushes_at; /* where the frame begins to stand: in front of its first push, or its subtraction */
    uint32_t n_pcs, n_relocs;
    struct jit_pc *pcs;
    struct jit_reloc *relocs;
    size_t cap_pcs, cap_relocs;
    uint32_t n_landings;
    uint32_t used_saved;          /* registers that the frame keeps for its caller: bit a register */
    struct jit_landing *landings; /* by `at`; of one call the innermost handler first */
    size_t cap_landings;
    uint32_t n_inlined, n_inlined_calls;
    struct jit_inlined *inlined;
    size_t cap_inlined;
    uint32_t self_at;     /* from rsp: the instance, while a call is under way into another one */
    const char *declined; /* why it stays interpreted */
    const struct rt_module *module;
};
/* Where the function's code is, as any thread may ask; NULL: nowhere yet. */
static inline const uint8_t *jit_start_of(const struct jit_code *code) {
    return __atomic_load_n(&code->start, __ATOMIC_ACQUIRE);
}
/* Byte offsets from a struct rt_instance to what its block holds behind it: the same in all instances of a
 * module. */
struct jit_layout {
    /* by own function: those with a start are called directly, others through their rt_func; NULL: all are compiled
     * together */
    const struct jit_code *codes;
    int32_t funcs, globals, tables, table_elems, memories, own_funcs, own_globals;
};

/* ---- compile.c ---- */

#define JIT_WHOLE UINT32_MAX
/* Compiles one function; or, with the byte offset of one of its loops, what goes on at the loop's head with the
 * interpreter's frame (build_osr.c). bytes: owned by the caller afterwards. fails E_NOMEM; E_UNSUPPORTED with
 * out->declined */
enum atoll_status jit_compile(struct rt_module *module, uint32_t func, uint32_t loop,
                              const struct jit_layout *layout, const _Atomic uint32_t *stop,
                              struct jit_code *out, uint8_t **bytes, size_t *capacity);

void jit_code_fini(const struct atoll_alloc *alloc, struct jit_code *code);
/* What is kept of it beside the machine code. */
size_t jit_code_table_bytes(const struct jit_code *code);

#endif
