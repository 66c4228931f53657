/* tests/fuzz/against_v8/run_modules.c: runs generated modules and writes down what could be seen of them, for
 * against_v8.mjs, which runs them under V8 and compares.
 * usage  run_modules FOLDER < names
 *
 *   module NAME
 *   sigs PARAMS>RESULTS ...      of each function, a letter a value; "-": a function not to be called
 *   imported LETTERS             of imported globals
 *   globals LETTERS              of exported globals
 *   ...                          the transcript: calls, what the program logged, results, traps
 *   end                          or "limit": the host's limits decided something, do not compare
 *
 *   letters    i l f d   numbers        a  any, eq, i31, struct, array ...  e  extern  c  func
 *              n         a parameter that only null fits          -  a type that JavaScript cannot see
 *
 * The collector runs at some of the program's calls of the host, so that a reference it misses is missed
 * here. */
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>
#include "interp/interp.h"
#include "jit/jit.h"
#include "tests/fuzz/fuzz.h"

#define MAX_VALUES     64
#define MAX_SIGS       (1 << 16)
#define MAX_HOST_CALLS 2000
#define N_KEPT         8
#define FUEL           50000000

enum import_kind {
    IMPORT_LOG,
    IMPORT_LOG_VECTOR,
    IMPORT_THROW,
    IMPORT_TABLE_GET,
    IMPORT_TABLE_SET,
    IMPORT_CALL_EXPORT,
    IMPORT_CALL_EXPORT_CATCH,
    IMPORT_CALL_REF,
    IMPORT_CALL_REF_CATCH,
    IMPORT_SLEEP,
    IMPORT_OTHER /* of the passes that instrument: gives zero, null */
};
struct import {
    struct run *run;
    enum import_kind kind;
    const struct rt_type *type;
};

struct run {
    struct rt_store *store;
    struct rt_module *module;
    struct rt_instance *instance; /* NULL until it is there */
    struct rt_tag *wasm_tag, *js_tag, *foreign_tag;
    struct rt_root kept[N_KEPT]; /* what the program gave to table-set */
    struct import imports[256];
    unsigned n_imports;
    const char *sigs[MAX_SIGS];
    unsigned n_host_calls, n_calls, depth;
    bool limit, skipped;
};

static void out(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void out(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

/* ---- types ---- */

static bool of_func(const struct rt_valtype *t) {
    return t->type ? t->type->form == BC_TYPE_FUNC : t->heap == BC_HEAP_FUNC || t->heap == BC_HEAP_NOFUNC;
}

static char letter(const struct rt_valtype *t) {
    switch (t->kind) {
    case BC_KIND_I32: return 'i';
    case BC_KIND_I64: return 'l';
    case BC_KIND_F32: return 'f';
    case BC_KIND_F64: return 'd';
    case BC_KIND_REF: break;
    default: return '-';
    }
    if (of_func(t)) return 'c';
    if (t->type) return 'a';
    switch (t->heap) {
    case BC_HEAP_EXTERN:
    case BC_HEAP_NOEXTERN: return 'e';
    case BC_HEAP_EXN:
    case BC_HEAP_NOEXN: return '-';
    default: return 'a';
    }
}

/* What is passed: null, but where an i31 or a reference of the host does. */
static char parameter_letter(const struct rt_valtype *t) {
    char c = letter(t);
    if (c == 'e' && t->heap == BC_HEAP_EXTERN) return c;
    if (c == 'a' && !t->type && (t->heap == BC_HEAP_ANY || t->heap == BC_HEAP_EQ || t->heap == BC_HEAP_I31))
        return c;
    if (c == 'a' || c == 'e' || c == 'c') return t->nullable ? 'n' : '-';
    return c;
}

/* "PARAMS>RESULTS", or "-". Owned by the caller; NULL only when out of memory. */
static char *signature(const struct rt_type *type) {
    char text[2 * MAX_VALUES + 2], *at = text;
    if (type->n_params > MAX_VALUES || type->n_results > MAX_VALUES) return strdup("-");
    for (uint32_t i = 0; i < type->n_params; i++) *at++ = parameter_letter(type->params + i);
    *at++ = '>';
    for (uint32_t i = 0; i < type->n_results; i++) *at++ = letter(type->results + i);
    *at = 0;
    return strdup(strchr(text, '-') ? "-" : text);
}

/* ---- values ---- */

#define HOST(n) ((void *)(uintptr_t)(((n) + 1) * 16)) /* the host's own reference n */

static void put_host(const void *host) { out("host %" PRIuPTR, (uintptr_t)host / 16 - 1); }

static void put_ref(char kind, const void *ref) {
    if (!ref)
        out("null");
    else if (kind == 'c')
        out("function");
    else if (rt_ref_is_i31(ref))
        out("i31 %" PRIi32, rt_i31_get_s(ref));
    else if (kind == 'e' ? !((uintptr_t)ref & RT_EXTERN_TAG) : false)
        put_host(ref);
    else if (kind == 'a' && rt_ref_layout(ref)->form == RT_OBJECT_HOST)
        put_host(((const struct rt_host_box *)ref)->host);
    else
        out("object");
}

static void put_float(double value) {
    union rt_slot bits = {.f64 = value};
    if (value != value)
        out("nan");
    else
        out("%016" PRIx64, bits.u64);
}

static void put_value(char kind, const union rt_slot *value) {
    switch (kind) {
    case 'i': out("%" PRIi32, value->i32); break;
    case 'l': out("%" PRIi64, value->i64); break;
    case 'f': put_float((double)value->f32); break;
    case 'd': put_float(value->f64); break;
    default: put_ref(kind, value->ref); break;
    }
}

static void fill_parameters(const char *sig, unsigned n_call, union rt_slot *slots) {
    static const int32_t ints[] = {0, 1, -1, INT32_MAX, INT32_MIN, 3, 65536, 100};
    static const double floats[] = {0, 1.5, -1, 1e300, -0.0, 1e-300, 4294967296.0, 77};
    for (unsigned i = 0; sig[i] != '>'; i++) {
        unsigned k = (n_call * 5 + i * 3) % 8;
        slots[i].u64 = 0;
        switch (sig[i]) {
        case 'i': slots[i].u32 = (uint32_t)ints[k]; break;
        case 'l': slots[i].i64 = ints[k]; break;
        case 'f': slots[i].f32 = (float)floats[k]; break;
        case 'd': slots[i].f64 = floats[k]; break;
        case 'a': slots[i].ref = rt_i31_new(k); break;
        case 'e': slots[i].ref = HOST(k); break;
        default: break;
        }
    }
}

/* ---- calls ---- */

static const char *trap_kind(enum rt_trap trap) {
    switch (trap) {
    case RT_TRAP_UNREACHABLE: return "unreachable";
    case RT_TRAP_MEMORY_BOUNDS:
    case RT_TRAP_TABLE_BOUNDS:
    case RT_TRAP_UNDEFINED_ELEMENT:
    case RT_TRAP_ARRAY_BOUNDS: return "bounds";
    case RT_TRAP_DIVIDE_BY_ZERO: return "zero";
    case RT_TRAP_INTEGER_OVERFLOW:
    case RT_TRAP_INVALID_CONVERSION: return "overflow"; /* V8 draws the line elsewhere */
    case RT_TRAP_UNINITIALIZED_ELEMENT: /* so for these: an empty element is a mismatch, or null */
    case RT_TRAP_INDIRECT_TYPE:
    case RT_TRAP_NULL_REFERENCE:
    case RT_TRAP_NULL_FUNCTION:
    case RT_TRAP_NULL_EXCEPTION:
    case RT_TRAP_NULL_I31:
    case RT_TRAP_NULL_STRUCTURE:
    case RT_TRAP_NULL_ARRAY: return "null";
    case RT_TRAP_CAST_FAILURE: return "cast";
    case RT_TRAP_UNCAUGHT_EXCEPTION: return "exception";
    case RT_TRAP_HOST: return "host";
    default: return "limit"; /* stack, memory, fuel: engines differ */
    }
}

static void put_end(struct run *run, enum atoll_status status) {
    const struct rt_store *store = run->store;
    const char *kind = trap_kind(store->trap);
    if (status != ATOLL_E_TRAP || !strcmp(kind, "limit")) run->limit = true;
    if (store->trap == RT_TRAP_UNCAUGHT_EXCEPTION && store->thrown_tag == run->wasm_tag)
        out("exception %" PRIi32 "\n", rt_exception_values(store)[0].i32);
    else if (store->trap == RT_TRAP_UNCAUGHT_EXCEPTION && store->thrown_tag == run->js_tag)
        out("exception "), put_ref('e', rt_exception_values(store)[0].ref), out("\n");
    else
        out("trap %s\n", kind);
}

/* Calls with made-up parameters and writes down the results. */
static enum rt_trap call(struct run *run, struct rt_func *func, const char *sig) {
    union rt_slot slots[2 * MAX_VALUES];
    fill_parameters(sig, run->n_calls++, slots);
    enum atoll_status status = rt_call(run->store, func, slots, NULL);
    if (status) {
        put_end(run, status);
        return run->store->trap;
    }
    const char *results = strchr(sig, '>') + 1;
    for (unsigned i = 0; results[i]; i++) {
        out(i ? ", " : "result ");
        put_value(results[i], slots + i);
    }
    out(results[0] ? "\n" : "done\n");
    return RT_TRAP_NONE;
}

/* ---- what programs import ---- */

static const struct {
    const char *name;
    enum import_kind kind;
} imports[] = {
    {"log-i32", IMPORT_LOG},
    {"log-i64", IMPORT_LOG},
    {"log-f32", IMPORT_LOG},
    {"log-f64", IMPORT_LOG},
    {"log-anyref", IMPORT_LOG},
    {"log-funcref", IMPORT_LOG},
    {"log-externref", IMPORT_LOG},
    {"log-v128", IMPORT_LOG_VECTOR},
    {"throw", IMPORT_THROW},
    {"table-get", IMPORT_TABLE_GET},
    {"table-set", IMPORT_TABLE_SET},
    {"call-export", IMPORT_CALL_EXPORT},
    {"call-export-catch", IMPORT_CALL_EXPORT_CATCH},
    {"call-ref", IMPORT_CALL_REF},
    {"call-ref-catch", IMPORT_CALL_REF_CATCH},
    {"sleep", IMPORT_SLEEP},
};

/* The n-th function among the exports, counted round. */
static uint32_t exported_func(const struct run *run, uint32_t n) {
    const struct bc_module *bc = run->module->bc;
    uint32_t n_funcs = 0;
    for (uint32_t i = 0; i < bc->n_exports; i++) n_funcs += bc->exports[i].kind == BC_EXTERN_FUNC;
    if (!n_funcs) return BC_NONE;
    n %= n_funcs;
    for (uint32_t i = 0; i < bc->n_exports; i++)
        if (bc->exports[i].kind == BC_EXTERN_FUNC && !n--) return bc->exports[i].index;
    return BC_NONE;
}

static uint32_t index_of(const struct run *run, const struct rt_func *func) {
    for (uint32_t i = 0; func && i < run->module->bc->n_funcs; i++)
        if (run->instance->funcs[i] == func) return i;
    return BC_NONE;
}

static enum rt_trap call_nested(struct run *run, uint32_t index, bool catch, union rt_slot *slots) {
    enum rt_trap trap = RT_TRAP_NONE;
    if (index != BC_NONE && run->sigs[index][0] != '-') {
        out("nested %" PRIu32 "\n", index);
        run->depth++;
        trap = call(run, run->instance->funcs[index], run->sigs[index]);
        run->depth--;
    }
    if (trap && (!catch || run->limit || trap == RT_TRAP_HOST)) return trap;
    if (trap) rt_exception_caught(run->store);
    if (catch) slots[0].u64 = trap != RT_TRAP_NONE;
    return RT_TRAP_NONE;
}

static enum rt_trap log_value(const struct import *in, const union rt_slot *slots) {
    char kind = letter(in->type->params);
    out("log ");
    put_value(kind, slots);
    out("\n");
    return RT_TRAP_NONE;
}

static enum rt_trap throw_value(const struct run *run, int32_t value) {
    union rt_slot payload = {.u64 = (uint32_t)value};
    if (value) return rt_throw(run->store, run->wasm_tag, &payload);
    payload.ref = HOST(7);
    return rt_throw(run->store, run->js_tag, &payload);
}

static enum rt_trap imported(struct rt_store *store, struct rt_instance *caller, void *context,
                             union rt_slot *slots) {
    const struct import *in = context;
    struct run *run = in->run;
    (void)caller;
    if (in->kind == IMPORT_LOG_VECTOR)
        return rt_throw(store, run->foreign_tag, NULL); /* no JavaScript value */
    if (run->n_host_calls++ >= MAX_HOST_CALLS) return rt_store_trap_text(store, "too many calls");
    if (run->n_host_calls % 16 == 0) rt_heap_collect();
    switch (in->kind) {
    case IMPORT_LOG: return log_value(in, slots);
    case IMPORT_THROW: return throw_value(run, slots[0].i32);
    case IMPORT_TABLE_GET: slots[0].ref = run->kept[slots[0].u32 % N_KEPT].ref; break;
    case IMPORT_TABLE_SET: run->kept[slots[0].u32 % N_KEPT].ref = slots[1].ref; break;
    case IMPORT_SLEEP: slots[0] = slots[1]; break;
    case IMPORT_OTHER:
        for (uint32_t i = 0; i < in->type->n_results; i++) slots[i].u64 = 0;
        break;
    default:
        if (!run->instance || run->depth > 20) {
            if (in->type->n_results) slots[0].u64 = 0;
            break;
        }
        return call_nested(run,
                           in->kind <= IMPORT_CALL_EXPORT_CATCH ? exported_func(run, slots[0].u32)
                                                                : index_of(run, slots[0].ref),
                           in->kind == IMPORT_CALL_EXPORT_CATCH || in->kind == IMPORT_CALL_REF_CATCH, slots);
    }
    return RT_TRAP_NONE;
}

/* ---- linking ---- */

static bool named(struct bc_name name, const char *text) {
    return name.size == strlen(text) && !memcmp(name.bytes, text, name.size);
}

/* False for what cannot be had: results that null is not. */
static bool kind_of(struct bc_name name, const struct rt_type *type, enum import_kind *kind) {
    for (unsigned i = 0; i < sizeof imports / sizeof *imports; i++)
        if (named(name, imports[i].name)) return *kind = imports[i].kind, true;
    *kind = IMPORT_OTHER;
    for (uint32_t i = 0; i < type->n_params; i++)
        if (letter(type->params + i) == '-') return false;
    for (uint32_t i = 0; i < type->n_results; i++)
        if (parameter_letter(type->results + i) == '-') return false;
    return true;
}

static bool provide_func(struct run *run, const struct bc_import *import, struct rt_extern *found) {
    const struct rt_type *type = run->module->types[run->module->bc->funcs[import->index].type];
    FUZZ_CHECK(run->n_imports < sizeof run->imports / sizeof *run->imports);
    struct import *in = run->imports + run->n_imports++;
    *in = (struct import){run, IMPORT_OTHER, type};
    return kind_of(import->name, type, &in->kind) &&
           !rt_host_func_new(run->store, type, imported, in, "import", &found->func);
}

static bool provide_global(struct run *run, const struct bc_import *import, struct rt_extern *found) {
    const struct bc_global *global = &run->module->bc->globals[import->index];
    struct rt_valtype type = rt_valtype_of(run->module, global->type);
    char sig[3] = {parameter_letter(&type), '>', 0};
    union rt_slot value[2] = {{0}, {0}};
    if (sig[0] == '-' || global->mutable) return false;
    fill_parameters(sig, import->index, value);
    return !rt_global_new(run->store, type, false, value, &found->global);
}

static bool provide(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *found) {
    struct run *run = context;
    (void)module;
    found->kind = import->kind;
    found->tag = named(import->name, "wasmtag") ? run->wasm_tag : run->js_tag;
    bool ok = import->kind == BC_EXTERN_TAG ||
              (import->kind == BC_EXTERN_FUNC && provide_func(run, import, found)) ||
              (import->kind == BC_EXTERN_GLOBAL && provide_global(run, import, found));
    if (!ok) run->skipped = true;
    return ok;
}

static struct rt_tag *new_tag(struct run *run, const struct rt_valtype *param) {
    struct rt_tag *tag;
    const struct rt_type *type = rt_func_type(run->module->engine, param, param != NULL, NULL, 0);
    FUZZ_CHECK(type && !rt_tag_new(run->store, type, &tag));
    return tag;
}

static void make_tags(struct run *run) {
    static const struct rt_valtype i32 = {.kind = BC_KIND_I32};
    static const struct rt_valtype external = {.kind = BC_KIND_REF, .nullable = true, .heap = BC_HEAP_EXTERN};
    run->wasm_tag = new_tag(run, &i32);
    run->js_tag = new_tag(run, &external);
    run->foreign_tag = new_tag(run, NULL);
}

/* ---- a module ---- */

static void put_signatures(struct run *run) {
    const struct bc_module *bc = run->module->bc;
    FUZZ_CHECK(bc->n_funcs <= MAX_SIGS);
    out("sigs");
    for (uint32_t i = 0; i < bc->n_funcs; i++) {
        run->sigs[i] = signature(run->module->types[bc->funcs[i].type]);
        FUZZ_CHECK(run->sigs[i]);
        out(" %s", run->sigs[i]);
    }
    out("\nimported ");
    for (uint32_t i = 0; i < bc->n_imported_globals; i++) {
        struct rt_valtype type = rt_valtype_of(run->module, bc->globals[i].type);
        out("%c", parameter_letter(&type));
    }
    out("\nglobals ");
    for (uint32_t i = 0; i < bc->n_exports; i++) {
        if (bc->exports[i].kind != BC_EXTERN_GLOBAL) continue;
        struct rt_valtype type = rt_valtype_of(run->module, bc->globals[bc->exports[i].index].type);
        out("%c", letter(&type));
    }
    out("\n");
}

static void call_exports(struct run *run) {
    const struct bc_module *bc = run->module->bc;
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0; i < bc->n_exports && !run->limit; i++) {
            uint32_t index = bc->exports[i].index;
            if (bc->exports[i].kind != BC_EXTERN_FUNC || run->sigs[index][0] == '-') continue;
            out("call %.*s\n", (int)bc->exports[i].name.size, bc->exports[i].name.bytes);
            run->store->fuel = FUEL;
            call(run, run->instance->funcs[index], run->sigs[index]);
        }
}

static void put_state(struct run *run) {
    const struct bc_module *bc = run->module->bc;
    for (uint32_t i = 0; i < bc->n_exports; i++) {
        if (bc->exports[i].kind == BC_EXTERN_TABLE)
            out("table %" PRIu64 "\n", run->instance->tables[bc->exports[i].index]->size);
        if (bc->exports[i].kind != BC_EXTERN_GLOBAL) continue;
        const struct rt_global *global = run->instance->globals[bc->exports[i].index];
        char kind = letter(&global->type);
        if (kind == '-') continue;
        out("global ");
        put_value(kind, global->value);
        out("\n");
    }
}

/* Compiled code is tried without fuel: with ATOLL_FUZZ_TIER=jit or auto (everything is hot at once) modules are bounded by time,
 * and what was stopped is not compared. */
static struct rt_store *running;
static bool by_time, at_once;
static void stop(int number) {
    (void)number;
    rt_store_interrupt(running, RT_INTERRUPT_CANCEL);
}

static void run_in_store(struct run *run) {
    struct atoll_error err = {0};
    FUZZ_CHECK(!rt_store_new(run->module->engine, NULL, &run->store, NULL));
    run->store->fuel = FUEL;
    running = run->store;
    if (by_time) alarm(5);
    make_tags(run);
    for (unsigned i = 0; i < N_KEPT; i++) rt_root_add(run->store, run->kept + i);
    enum atoll_status status = rt_instantiate(run->store, run->module, provide, run, &run->instance, &err);
    if (run->skipped) {
        run->limit = true;
    } else if (status) {
        out("start ");
        put_end(run, status);
        run->instance = NULL;
    } else {
        call_exports(run);
        put_state(run);
    }
    if (by_time) alarm(0);
    for (unsigned i = 0; i < N_KEPT; i++) rt_root_remove(run->kept + i);
    rt_store_free(run->store);
}

static void run_module(struct rt_engine *engine, const uint8_t *bytes, size_t size) {
    static struct run run;
    struct atoll_error err = {0};
    memset(&run, 0, sizeof run);
    if (rt_module_load(engine, bytes, size, true, "generated", &run.module, &err)) {
        out("invalid %s\nend\n", err.text);
        return;
    }
    put_signatures(&run);
    run_in_store(&run);
    for (uint32_t i = 0; i < run.module->bc->n_funcs; i++) free((void *)(uintptr_t)run.sigs[i]);
    rt_module_unref(run.module);
    out(run.limit ? "limit\n" : "end\n");
}

static void run_file(const char *path, const char *name) {
    struct rt_config config = {.tier = at_once   ? &auto_tier
                                       : by_time ? &jit_tier
                                                 : &interp_tier,
                               .hot_at_once = at_once,
                               .fuel = !by_time,
                               .stack_bytes = 1 << 20,
                               .max_gc_heap_bytes = 256 << 20};
    struct rt_engine *engine;
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t size = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f) fclose(f);
    FUZZ_CHECK(size && size < sizeof bytes);
    uint8_t *exact = malloc(size); /* so that the sanitizer sees a read behind it */
    FUZZ_CHECK(exact && !rt_engine_new(&config, &engine, NULL));
    memcpy(exact, bytes, size);
    out("module %s\n", name);
    fflush(stdout); /* a crash has a name */
    run_module(engine, exact, size);
    rt_engine_unref(engine);
    free(exact);
}

int main(int argc, char **argv) {
    char name[256], path[4096];
    const char *tier = getenv("ATOLL_FUZZ_TIER");
    by_time = tier != NULL;
    at_once = tier && strcmp(tier, "auto") == 0;
    signal(SIGALRM, stop);
    if (argc != 2) return fprintf(stderr, "usage: run_modules FOLDER < names\n"), 2;
    while (fgets(name, sizeof name, stdin)) {
        name[strcspn(name, "\n")] = 0;
        snprintf(path, sizeof path, "%s/%s", argv[1], name);
        run_file(path, name);
    }
    return 0;
}
