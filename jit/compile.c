/* jit/compile.c: a function from wasm to machine code.
 *
 *   wasm --build--> IR --number--> --sweep--> --hoist--> --split--> --select--> --alloc--> IR + registers
 *        build*.c      opt.c                  hoist.c    opt.c      select.c    live.c         |
 *        fold.c                               loops.c                           alloc.c        +--emit--> bytes + places
 *        idiom.c                                         frame.c                spill.c        emit*.c
 *        (calls of small functions become their bodies, build_inline.c; tests of loops go to their ends, build_loop.c;
 *         where code stands, emit_layout.c)
 *
 *   shown:       ir        number     sweep      hoist      split      select     alloc                code */
#include <cpuid.h>
#include <pthread.h>
#include "bytecode/stress.h"
#include "jit/build.h"
#include "jit/code.h"
#include "jit/dump.h"
#include "jit/emit.h"

/* ---- what the CPU has ---- */

static struct jit_cpu cpu;
static pthread_once_t cpu_once = PTHREAD_ONCE_INIT;

/* Skylake and what was made of it.
 * source  Intel: "Mitigations for Jump Conditional Code Erratum", 2019: affected processors */
static bool has_jump_erratum(void) {
    static const uint8_t models[] = {0x4E, 0x55, 0x5E, 0x8E, 0x9E, 0xA6, 0xAE};
    unsigned a, b, c, d;
    if (!__builtin_cpu_is("intel") || !__get_cpuid(1, &a, &b, &c, &d) || (a >> 8 & 15) != 6) return false;
    unsigned model = (a >> 4 & 15) | (a >> 12 & 0xF0);
    for (size_t i = 0; i < sizeof models; i++)
        if (models[i] == model) return true;
    return false;
}

static void look_at_cpu(void) {
    cpu.avx = __builtin_cpu_supports("avx");
    cpu.bmi1 = __builtin_cpu_supports("bmi");
    cpu.bmi2 = __builtin_cpu_supports("bmi2");
    cpu.jumps_want_place = has_jump_erratum();
    unsigned a, b, c, d;
    cpu.lzcnt = __get_cpuid(0x80000001, &a, &b, &c, &d) && c & bit_ABM;
}

const struct jit_cpu *jit_cpu(void) {
    pthread_once(&cpu_once, look_at_cpu);
    return &cpu;
}

/* ---- which instructions have code ---- */

bool jit_native(uint16_t op) {
    switch (op) {
    case BC_V128_LOAD:
    case BC_V128_LOAD8X8_S:
    case BC_V128_LOAD8X8_U:
    case BC_V128_LOAD16X4_S:
    case BC_V128_LOAD16X4_U:
    case BC_V128_LOAD32X2_S:
    case BC_V128_LOAD32X2_U:
    case BC_V128_LOAD32_SPLAT:
    case BC_V128_LOAD64_SPLAT:
    case BC_V128_LOAD32_ZERO:
    case BC_V128_LOAD64_ZERO:
    case BC_V128_LOAD8_SPLAT:
    case BC_V128_LOAD16_SPLAT:
    case BC_V128_LOAD8_LANE:
    case BC_V128_LOAD16_LANE:
    case BC_V128_LOAD32_LANE:
    case BC_V128_LOAD64_LANE:
    case BC_V128_STORE8_LANE:
    case BC_V128_STORE16_LANE:
    case BC_V128_STORE32_LANE:
    case BC_V128_STORE64_LANE:
    case BC_V128_STORE: return true;
    default: break;
    }
    if (op >= BC_I32_LOAD && op <= BC_I64_STORE32) return true;
    if (op >= BC_I32_EQZ && op <= BC_I64_EXTEND32_S) return true;
    if (op >= BC_I32_TRUNC_SAT_F32_S && op <= BC_I64_TRUNC_SAT_F64_U) return true;
    return jit_native_simd(op);
}

/* ---- the way ---- */

static void emit_all(struct ir_func *f, struct alloc *al, const struct jit_layout *layout,
                     struct jit_code *out, uint8_t **bytes, size_t *capacity) {
    struct moves *moves = emit_moves_new(f->alloc);
    struct emit e = {.f = f, .al = al, .out = out, .layout = layout, .moves = moves};
    x86_init(&e.a, f->alloc);
    e.a.avx = jit_cpu()->avx;
    if (moves)
        emit_function(&e);
    else
        e.a.failed = true;
    if (e.a.failed) f->failed = true;
    if (f->dump && !f->failed && !f->declined) jit_dump_code(&e);
    if (!f->failed && !f->declined) {
        *bytes = e.a.bytes;
        *capacity = e.a.capacity;
        out->size = (uint32_t)e.a.size;
        e.a.bytes = NULL;
        e.a.capacity = 0;
    }
    out->cap_pcs = e.cap_pcs;
    out->cap_relocs = e.cap_relocs;
    x86_fini(&e.a);
    emit_moves_free(f->alloc, moves);
    atoll_free(f->alloc, e.labels, e.cap_labels * sizeof *e.labels);
    atoll_free(f->alloc, e.stubs, e.cap_stubs * sizeof *e.stubs);
    atoll_free(f->alloc, e.notes, e.cap_notes * sizeof *e.notes);
}

/* Code that is entered at a loop takes the interpreter's frame and returns as the function does. */
static struct rt_type loop_type(const struct rt_type *type) {
    static const struct rt_valtype frame = {.kind = BC_KIND_I64};
    struct rt_type t = *type;
    t.n_params = t.param_slots = 1;
    t.params = &frame;
    return t;
}

/* Gives back the room that a list does not need: it stays as long as its function. */
static void trim(const struct atoll_alloc *alloc, void **list, size_t *capacity, size_t n, size_t item_size) {
    if (n >= *capacity) return;
    void *p = alloc->resize(alloc->context, *list, *capacity * item_size, n * item_size);
    if (!p && n) return;
    *list = p;
    *capacity = n;
}

static void trim_lists(const struct atoll_alloc *alloc, struct jit_code *code) {
    trim(alloc, (void **)&code->pcs, &code->cap_pcs, code->n_pcs, sizeof *code->pcs);
    trim(alloc, (void **)&code->relocs, &code->cap_relocs, code->n_relocs, sizeof *code->relocs);
    trim(alloc, (void **)&code->landings, &code->cap_landings, code->n_landings, sizeof *code->landings);
    trim(alloc, (void **)&code->inlined, &code->cap_inlined, code->n_inlined, sizeof *code->inlined);
}

/* What a function is compiled from, and for. */
struct task {
    struct rt_module *module;
    uint32_t func, loop_offset;
    const struct jit_layout *layout;
    const _Atomic uint32_t *stop;
    bool inlines; /* calls of small functions */
};

/* *again: with less it might be compiled. */
static enum atoll_status compile(const struct task *t, struct jit_code *out, uint8_t **bytes,
                                 size_t *capacity, bool *again) {
    struct ir_func f;
    struct alloc al = {.f = &f};
    struct interp_loop loop = {0};
    struct bc_buf dump;
    struct rt_module *module = t->module;
    ir_init(&f, module, t->func);
    const struct rt_type type = loop_type(f.type);
    f.stop = t->stop;
    f.inline_bytes = t->inlines ? build_inline_room(&f) : 0;
    *out = (struct jit_code){.func = t->func, .module = module};
    *bytes = NULL;
    if (!f.failed && t->loop_offset != JIT_WHOLE) {
        bool guarded = !jit_is_checked(module);
        f.failed = interp_loop_at(module, t->func, guarded, t->loop_offset, &loop) != ATOLL_OK;
        f.loop = &loop;
        f.loop_offset = t->loop_offset;
        f.type = &type;
    }
    jit_dump_begin(&f, &dump);
    if (!f.failed) ir_build(&f);
    ir_show(&f, JIT_STAGE_IR);
    ATOLL_ASSERT(f.failed || f.declined || ir_sound(&f));
    if (!f.failed && !f.declined) ir_optimize(&f);
    ATOLL_ASSERT(f.failed || f.declined || ir_sound(&f));
    if (!f.failed && !f.declined) ir_select(&f);
    ATOLL_ASSERT(f.failed || f.declined || ir_sound(&f));
    ir_show(&f, JIT_STAGE_SELECT);
    if (!f.failed && !f.declined) alloc_run(&al, &f);
    ir_show(&f, JIT_STAGE_ALLOC);
    if (!f.failed && !f.declined) emit_all(&f, &al, t->layout, out, bytes, capacity);
    enum atoll_status status = f.failed ? ATOLL_E_NOMEM : f.declined ? ATOLL_E_UNSUPPORTED : ATOLL_OK;
    out->n_inlined_calls = f.n_inlined;
    out->declined = f.failed ? "out of memory" : f.declined;
    *again = !f.failed && f.declined && f.n_places && !ir_stopped(&f);
    jit_dump_end(&f, out->declined, !*again);
    if (status)
        jit_code_fini(module->engine->alloc, out);
    else
        trim_lists(module->engine->alloc, out);
    alloc_fini(&al);
    ir_fini(&f);
    if (f.loop) interp_loop_fini(module->engine->alloc, &loop);
    return status;
}

/* What is declined with others inlined may be compiled without. */
enum atoll_status jit_compile(struct rt_module *module, uint32_t func, uint32_t loop_offset,
                              const struct jit_layout *layout, const _Atomic uint32_t *stop,
                              struct jit_code *out, uint8_t **bytes, size_t *capacity) {
    struct task t = {module, func, loop_offset, layout, stop, true};
    bool again;
    enum atoll_status status = compile(&t, out, bytes, capacity, &again);
    if (!again) return status;
    t.inlines = false;
    return compile(&t, out, bytes, capacity, &again);
}

size_t jit_code_table_bytes(const struct jit_code *code) {
    return sizeof *code + code->cap_pcs * sizeof *code->pcs + code->cap_relocs * sizeof *code->relocs +
           code->cap_landings * sizeof *code->landings + code->cap_inlined * sizeof *code->inlined;
}

void jit_code_fini(const struct atoll_alloc *alloc, struct jit_code *code) {
    atoll_free(alloc, code->pcs, code->cap_pcs * sizeof *code->pcs);
    atoll_free(alloc, code->relocs, code->cap_relocs * sizeof *code->relocs);
    atoll_free(alloc, code->landings, code->cap_landings * sizeof *code->landings);
    atoll_free(alloc, code->inlined, code->cap_inlined * sizeof *code->inlined);
    code->pcs = NULL;
    code->landings = NULL;
    code->inlined = NULL;
    code->relocs = NULL;
    code->cap_pcs = code->cap_relocs = code->cap_landings = code->cap_inlined = 0;
    /* What was given up half-way has no code. */
    code->size = code->n_pcs = code->n_relocs = code->n_landings = code->n_inlined = code->n_inlined_calls =
        0;
}
