/* tests/spec/spec_runner.c: runs .wast scripts and counts what holds.
 *
 *   spec_runner [--all-features] [--known-failures FILE] SCRIPT...
 *
 * Every command of a script is one check: modules instantiate, assertions hold. A file listed in the known
 * failures has to fail: when it passes whole, the run fails too, so that the list stays true. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "interp/interp.h"
#include "jit/jit.h"

static bc_features features; /* 0 = default: some official scripts want proposals to be malformed */

struct named {
    struct bc_name name; /* of the script, with its dollar sign, or a registered name */
    struct rt_instance *instance;
    struct rt_module *definition;
};

struct runner {
    struct rt_engine *engine;
    struct rt_store *store;
    const char *file;
    struct named *modules, *registered;
    size_t n_modules, cap_modules, n_registered, cap_registered;
    struct rt_instance *current;
    struct rt_module *last_definition;
    unsigned passed, failed;
    bool quiet;
};

static bool same_name(struct bc_name a, struct bc_name b) {
    return a.size == b.size && (!a.size || !memcmp(a.bytes, b.bytes, a.size));
}

static void report(struct runner *r, const struct bc_command *c, bool ok, const char *what,
                   const char *expected) {
    if (ok) {
        r->passed++;
        return;
    }
    r->failed++;
    if (!r->quiet)
        printf("%s:%u: %s%s%s\n", r->file, c->line, what, *expected ? "; expected " : "", expected);
}

/* ---- the host module "spectest" ---- */

static enum rt_trap print(struct rt_store *store, struct rt_instance *caller, void *context,
                          union rt_slot *args) {
    (void)store, (void)caller, (void)context, (void)args;
    return RT_TRAP_NONE;
}

static bool spectest_func(struct runner *r, struct bc_name name, struct rt_extern *out) {
    static const struct {
        const char *name, *params;
    } funcs[] = {{"print", ""},      {"print_i32", "i"},      {"print_i64", "I"},     {"print_f32", "f"},
                 {"print_f64", "F"}, {"print_i32_f32", "if"}, {"print_f64_f64", "FF"}};
    for (size_t i = 0; i < sizeof funcs / sizeof *funcs; i++) {
        if (strlen(funcs[i].name) != name.size || memcmp(funcs[i].name, name.bytes, name.size)) continue;
        struct rt_valtype params[2] = {{0}};
        uint32_t n = 0;
        for (const char *p = funcs[i].params; *p; p++)
            params[n++].kind = *p == 'i'   ? BC_KIND_I32
                               : *p == 'I' ? BC_KIND_I64
                               : *p == 'f' ? BC_KIND_F32
                                           : BC_KIND_F64;
        out->kind = BC_EXTERN_FUNC;
        return !rt_host_func_new(r->store, rt_func_type(r->engine, params, n, NULL, 0), print, NULL,
                                 funcs[i].name, &out->func);
    }
    return false;
}

static bool spectest_global(struct runner *r, struct bc_name name, struct rt_extern *out) {
    static const char *const names[] = {"global_i32", "global_i64", "global_f32", "global_f64"};
    union rt_slot value[2] = {{0}};
    for (unsigned i = 0; i < 4; i++) {
        if (name.size != 10 || memcmp(names[i], name.bytes, 10)) continue;
        if (i < 2) value[0].u64 = 666;
        if (i == 2) value[0].f32 = 666.6f;
        if (i == 3) value[0].f64 = 666.6;
        out->kind = BC_EXTERN_GLOBAL;
        struct rt_valtype type = {.kind = (uint8_t)(BC_KIND_I32 + i)};
        return !rt_global_new(r->store, type, false, value, &out->global);
    }
    return false;
}

static bool spectest_space(struct runner *r, struct bc_name name, struct rt_extern *out) {
    struct rt_valtype funcref = {.kind = BC_KIND_REF, .nullable = true, .heap = BC_HEAP_FUNC};
    struct bc_limits table = {.min = 10, .max = 20, .has_max = true};
    struct bc_limits memory = {.min = 1, .max = 2, .has_max = true, .page_size_log2 = 16};
    struct bc_name is = name;
#define IS(text) (is.size == sizeof(text) - 1 && !memcmp(is.bytes, text, is.size))
    if (IS("table") || IS("table64")) {
        table.is64 = IS("table64");
        out->kind = BC_EXTERN_TABLE;
        return !rt_table_new(r->store, funcref, &table, (union rt_slot){0}, &out->table, NULL);
    }
    if (IS("memory") || IS("shared_memory")) {
        memory.shared = IS("shared_memory");
        out->kind = BC_EXTERN_MEMORY;
        return !rt_memory_new(r->store, &memory, &out->memory, NULL);
    }
#undef IS
    return false;
}

/* One entity a name and file: two importers see the same memory. */
struct host_item {
    struct bc_name name;
    struct rt_extern item;
};
static struct host_item host_items[32];
static unsigned n_host_items;

static bool spectest(struct runner *r, struct bc_name name, struct rt_extern *out) {
    for (unsigned i = 0; i < n_host_items; i++)
        if (same_name(host_items[i].name, name)) {
            *out = host_items[i].item;
            return true;
        }
    if (!spectest_func(r, name, out) && !spectest_global(r, name, out) && !spectest_space(r, name, out))
        return false;
    if (n_host_items < 32) {
        char *copy = malloc(name.size + 1u);
        if (copy) {
            memcpy(copy, name.bytes, name.size);
            host_items[n_host_items++] = (struct host_item){{copy, name.size}, *out};
        }
    }
    return true;
}

static bool resolve(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out) {
    struct runner *r = context;
    (void)module;
    for (size_t i = r->n_registered; i-- > 0;)
        if (same_name(r->registered[i].name, import->module))
            return rt_instance_export(r->registered[i].instance, import->name.bytes, import->name.size, out);
    if (import->module.size != 8 || memcmp(import->module.bytes, "spectest", 8)) return false;
    return spectest(r, import->name, out);
}

/* ---- modules ---- */

static void remember(struct named **list, size_t *n, size_t *capacity, struct named item) {
    void *p = *list;
    if (atoll_grow(&atoll_default_alloc, &p, capacity, *n + 1, sizeof item)) abort();
    *list = p;
    (*list)[(*n)++] = item;
}

static const struct named *find_module(const struct runner *r, struct bc_name name, bool definition) {
    for (size_t i = r->n_modules; i-- > 0;)
        if (same_name(r->modules[i].name, name) &&
            (definition ? (void *)r->modules[i].definition : (void *)r->modules[i].instance))
            return &r->modules[i];
    return NULL;
}

static enum atoll_status load(struct runner *r, const struct bc_script *s, const struct bc_command *c,
                              struct rt_module **out, struct atoll_error *err) {
    struct bc_buf bytes;
    struct bc_module *bc;
    struct bc_config config = {.alloc = &atoll_default_alloc, .features = features};
    bc_buf_init(&bytes, config.alloc);
    enum atoll_status status = bc_script_module_bytes(s, c, &config, &bytes, err);
    if (!status) status = bc_module_decode(bytes.data, bytes.size, &config, &bc, err);
    if (status) {
        bc_buf_fini(&bytes);
        return status;
    }
    bc_module_own_bytes(bc, bytes.capacity);
    status = bc_module_validate(bc, &config, err);
    if (status) {
        bc_module_free(bc);
        return status;
    }
    return rt_module_new(r->engine, bc, NULL, r->file, out, err);
}

static enum atoll_status instantiate(struct runner *r, const struct bc_script *s, const struct bc_command *c,
                                     struct rt_instance **out, struct atoll_error *err) {
    struct rt_module *module;
    enum atoll_status status = load(r, s, c, &module, err);
    if (status) return status;
    status = rt_instantiate(r->store, module, resolve, r, out, err);
    rt_module_unref(module);
    return status;
}

static void run_module(struct runner *r, const struct bc_script *s, const struct bc_command *c) {
    struct atoll_error err = {0};
    struct named item = {.name = c->name};
    enum atoll_status status;
    if (c->kind == BC_CMD_INSTANCE) {
        const struct named *def = c->name2.size ? find_module(r, c->name2, true) : NULL;
        struct rt_module *module = def ? def->definition : r->last_definition;
        status = module ? rt_instantiate(r->store, module, resolve, r, &item.instance, &err) : ATOLL_E_USAGE;
    } else if (c->definition) {
        status = load(r, s, c, &item.definition, &err);
        r->last_definition = status ? NULL : item.definition;
    } else {
        status = instantiate(r, s, c, &item.instance, &err);
    }
    if (!status) remember(&r->modules, &r->n_modules, &r->cap_modules, item);
    if (!c->definition) r->current = status ? NULL : item.instance;
    report(r, c, !status, err.text, "");
}

/* ---- actions ---- */

static void *extern_ref(uint64_t n) { return (void *)(uintptr_t)((n + 1) << 4); }

static unsigned put_arg(struct rt_store *store, union rt_slot *slot, const struct bc_const *c) {
    slot->u64 = c->bits[0];
    if (c->pattern == BC_PAT_REF_NULL) slot->u64 = 0;
    if (c->pattern == BC_PAT_REF_EXTERN) slot->ref = extern_ref(c->bits[0]);
    if (c->pattern == BC_PAT_REF_HOST) slot->ref = rt_ref_internalize(store, extern_ref(c->bits[0]));
    if (c->type == BC_V128) slot[1].u64 = c->bits[1];
    return c->type == BC_V128 ? 2 : 1;
}

struct outcome {
    enum atoll_status status;
    struct atoll_error err;
    union rt_slot slots[2048];
    const struct rt_valtype *types;
    struct rt_valtype single;
    uint32_t n;
};

static void act(struct runner *r, const struct bc_action *a, struct outcome *o) {
    const struct named *named = a->module.size ? find_module(r, a->module, false) : NULL;
    struct rt_instance *instance = a->module.size ? (named ? named->instance : NULL) : r->current;
    struct rt_extern e;
    memset(o, 0, sizeof *o);
    if (!instance || !rt_instance_export(instance, a->field.bytes, a->field.size, &e) ||
        e.kind != (a->is_get ? BC_EXTERN_GLOBAL : BC_EXTERN_FUNC)) {
        o->status = atoll_fail(&o->err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "no such export");
        return;
    }
    if (a->is_get) {
        memcpy(o->slots, e.global->value, sizeof e.global->value);
        o->single = e.global->type;
        o->types = &o->single;
        o->n = 1;
        return;
    }
    unsigned at = 0;
    for (uint32_t i = 0; i < a->n_args; i++) at += put_arg(r->store, o->slots + at, &a->args[i]);
    o->status = rt_call(r->store, e.func, o->slots, &o->err);
    o->types = e.func->type->results;
    o->n = e.func->type->n_results;
}

/* ---- comparing ---- */

static bool nan_matches(uint64_t bits, bool is64, enum bc_pattern pattern) {
    uint64_t quiet = is64 ? UINT64_C(0x7FF8000000000000) : 0x7FC00000u,
             sign = is64 ? UINT64_C(1) << 63 : 0x80000000u;
    return pattern == BC_PAT_NAN_CANONICAL ? (bits & ~sign) == quiet : (bits & quiet) == quiet;
}

static bool vector_matches(const union rt_slot *got, const struct bc_const *c) {
    for (unsigned k = 0; k < 16u / c->lane_bytes; k++) {
        uint64_t bits = 0, want = 0;
        memcpy(&bits, (const char *)got + k * c->lane_bytes, c->lane_bytes);
        memcpy(&want, (const char *)c->bits + k * c->lane_bytes, c->lane_bytes);
        enum bc_pattern pattern = k < 4 ? (enum bc_pattern)c->lane_pattern[k] : BC_PAT_VALUE;
        if (pattern == BC_PAT_VALUE ? bits != want : !nan_matches(bits, c->lane_bytes == 8, pattern))
            return false;
    }
    return true;
}

/* A class of the any hierarchy is looked for in the value, another in the type. */
static bool ref_matches(const void *ref, const struct rt_valtype *type, enum bc_heap_kind heap) {
    struct rt_valtype wanted = {.kind = BC_KIND_REF, .nullable = true, .heap = (uint8_t)heap};
    bool any = rt_valtype_managed(type) && (type->type || type->heap <= BC_HEAP_NONE);
    return any ? heap <= BC_HEAP_NONE && rt_ref_matches(ref, &wanted) : rt_valtype_matches(type, &wanted);
}

static bool matches(const union rt_slot *got, const struct rt_valtype *type, const struct bc_const *c) {
    switch (c->pattern) {
    case BC_PAT_EITHER:
        for (uint32_t i = 0; i < c->n_alternatives; i++)
            if (matches(got, type, &c->alternatives[i])) return true;
        return false;
    case BC_PAT_NAN_CANONICAL:
    case BC_PAT_NAN_ARITHMETIC:
        return type->kind == bc_valtype_kind(c->type) &&
               nan_matches(type->kind == BC_KIND_F32 ? got->u32 : got->u64, type->kind == BC_KIND_F64,
                           c->pattern);
    case BC_PAT_VECTOR: return type->kind == BC_KIND_V128 && vector_matches(got, c);
    case BC_PAT_REF_NULL: return type->kind == BC_KIND_REF && !got->u64;
    case BC_PAT_REF: return type->kind == BC_KIND_REF && got->u64 && ref_matches(got->ref, type, c->heap);
    case BC_PAT_REF_EXTERN: return type->kind == BC_KIND_REF && got->ref == extern_ref(c->bits[0]);
    case BC_PAT_REF_HOST:
        return type->kind == BC_KIND_REF && rt_ref_externalize(got->ref) == extern_ref(c->bits[0]);
    case BC_PAT_VALUE: break;
    }
    if (type->kind != bc_valtype_kind(c->type)) return false;
    if (type->kind == BC_KIND_V128) return got[0].u64 == c->bits[0] && got[1].u64 == c->bits[1];
    bool narrow = type->kind == BC_KIND_I32 || type->kind == BC_KIND_F32;
    return narrow ? got->u32 == (uint32_t)c->bits[0] : got->u64 == c->bits[0];
}

static bool results_match(const struct outcome *o, const struct bc_command *c) {
    const union rt_slot *at = o->slots;
    if (o->n != c->n_expected) return false;
    for (uint32_t i = 0; i < o->n; i++) {
        if (!matches(at, &o->types[i], &c->expected[i])) return false;
        at += o->types[i].kind == BC_KIND_V128 ? 2 : 1;
    }
    return true;
}

static bool begins(const char *got, const char *expected, size_t n) {
    return strlen(got) >= n && !memcmp(got, expected, n);
}

/* Messages for one fault seen at different moments. */
static const struct {
    const char *expected, *ours;
} equivalents[] = {
    /* how the reference goes on is its own way of telling types */
    {"type mismatch: instruction requires", "type mismatch"},
    /* a body without its end: the reference reads on and takes the next section's id for it */
    {"section size mismatch", "unexpected end of section or function"},
    /* numbers that are longer than the sections around them say: we believe the sections */
    {"integer representation too long", "unexpected end of section or function"},
    {"integer representation too long", "malformed section id"},
    {"integer too large", "unexpected end of section or function"},
    {"integer too large", "malformed section id"},
    {"type mismatch: block requires", "type mismatch"},
    /* two code sections: counting the first one's bodies comes before looking at the second */
    {"unexpected content after last section", "function and code section have inconsistent lengths"},
};

/* The messages of the suite are the reference interpreter's; ours begin with them and may say more. Where the
 * suite itself says more than the trap's class (an index, say), ours being its beginning is enough. */
static bool text_matches(const char *got, struct bc_name expected) {
    size_t n = strlen(got);
    if (n < expected.size ? n && !memcmp(got, expected.bytes, n) : begins(got, expected.bytes, expected.size))
        return true;
    for (size_t i = 0; i < sizeof equivalents / sizeof *equivalents; i++) {
        size_t common = strlen(equivalents[i].expected);
        if (common > expected.size) common = expected.size;
        if (!memcmp(equivalents[i].expected, expected.bytes, common) &&
            begins(got, equivalents[i].ours, strlen(equivalents[i].ours)))
            return true;
    }
    return false;
}

/* ---- commands ---- */

static void check_fault(struct runner *r, const struct bc_command *c, enum atoll_status status,
                        bool right_kind, const struct atoll_error *err) {
    char expected[200];
    snprintf(expected, sizeof expected, "%.*s", (int)(c->text.size < 150 ? c->text.size : 150),
             c->text.bytes);
    bool ok = status && right_kind && text_matches(err->text, c->text);
    report(r, c, ok, status ? err->text : "nothing failed", expected);
}

static bool loads(enum atoll_status s) {
    return s == ATOLL_E_TRAP || s == ATOLL_E_INTERRUPTED || s == ATOLL_E_EXIT;
}

static void run_assertion(struct runner *r, const struct bc_script *s, const struct bc_command *c) {
    static struct outcome o;
    struct rt_instance *instance;
    struct atoll_error err = {0};
    struct rt_module *module = NULL;
    enum atoll_status status;
    switch (c->kind) {
    case BC_CMD_ASSERT_RETURN:
        act(r, &c->action, &o);
        report(r, c, !o.status && results_match(&o, c), o.status ? o.err.text : "wrong result", "");
        break;
    case BC_CMD_ASSERT_TRAP:
    case BC_CMD_ASSERT_EXHAUSTION:
        if (c->has_module) {
            status = instantiate(r, s, c, &instance, &err);
            check_fault(r, c, status, loads(status), &err);
            break;
        }
        act(r, &c->action, &o);
        check_fault(r, c, o.status, loads(o.status), &o.err);
        break;
    case BC_CMD_ASSERT_EXCEPTION:
        act(r, &c->action, &o);
        report(r, c, o.status == ATOLL_E_TRAP && r->store->trap == RT_TRAP_UNCAUGHT_EXCEPTION, "no exception",
               "");
        break;
    case BC_CMD_ASSERT_UNLINKABLE:
        status = instantiate(r, s, c, &instance, &err);
        check_fault(r, c, status, status == ATOLL_E_LINK, &err);
        break;
    default:
        status = load(r, s, c, &module, &err);
        bool malformed = c->kind == BC_CMD_ASSERT_MALFORMED || c->kind == BC_CMD_ASSERT_MALFORMED_CUSTOM;
        bool kind = malformed
                        ? status == ATOLL_E_MALFORMED || status == ATOLL_E_SYNTAX || status == ATOLL_E_LIMIT
                        : status == ATOLL_E_INVALID || status == ATOLL_E_LIMIT;
        check_fault(r, c, status, kind, &err);
        rt_module_unref(module);
    }
}

static void run_command(struct runner *r, const struct bc_script *s, const struct bc_command *c) {
    static struct outcome o;
    const struct named *named;
    switch (c->kind) {
    case BC_CMD_MODULE:
    case BC_CMD_INSTANCE: run_module(r, s, c); break;
    case BC_CMD_REGISTER:
        named = c->name.size ? find_module(r, c->name, false) : NULL;
        struct named item = {.name = c->text, .instance = named ? named->instance : r->current};
        if (item.instance) remember(&r->registered, &r->n_registered, &r->cap_registered, item);
        report(r, c, item.instance != NULL, "no module to register", "");
        break;
    case BC_CMD_ACTION:
        act(r, &c->action, &o);
        report(r, c, !o.status, o.err.text, "");
        break;
    default: run_assertion(r, s, c);
    }
}

/* ---- files ---- */

static char *read_file(const char *path, size_t *out_size) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    *out_size = text ? fread(text, 1, (size_t)size, f) : 0;
    fclose(f);
    return text;
}

static const struct rt_tier *tier = &interp_tier;

/* ---- --observed: every now and then the program stands still and is looked at ---- */

static bool observed;
static struct interp_values values;

static bool look(void *context, const struct interp_frame *frame) {
    const bool *at_probe = context;
    uint32_t offset = frame->at.offset;
    const struct bc_func *func = &frame->at.instance->module->bc->funcs[frame->at.func];
    if (offset < func->code_offset || offset >= func->body.offset + func->body.size) abort();
    if (interp_frame_values(frame, true, &values)) abort();
    for (uint32_t i = 0; *at_probe && i < values.n_locals + values.n_operands; i++)
        if (!values.items[i].known) abort(); /* between two instructions everything has its place */
    return frame->index < 8;
}

static enum rt_trap on_probe(struct rt_observer *observer, struct rt_store *store,
                             struct rt_instance *instance, uint32_t offset) {
    bool at_probe = true;
    (void)instance, (void)offset;
    observer->quiet = 97;
    interp_each_frame(store, look, &at_probe);
    return RT_TRAP_NONE;
}

static void on_trap(struct rt_observer *observer, struct rt_store *store) {
    bool at_probe = false;
    (void)observer;
    interp_each_frame(store, look, &at_probe);
}

static void run_script(struct runner *r, const struct bc_script *s) {
    struct rt_config config = {
        .tier = tier, .hot_at_once = tier == &auto_tier, .features = features, .probes = observed};
    struct rt_observer observer = {.trapped = on_trap, .probe = on_probe};
    if (rt_engine_new(&config, &r->engine, NULL) || rt_store_new(r->engine, NULL, &r->store, NULL)) abort();
    if (observed) r->store->observer = &observer;
    for (size_t i = 0; i < bc_script_count(s); i++) run_command(r, s, bc_script_command(s, i));
    for (size_t i = 0; i < r->n_modules; i++) rt_module_unref(r->modules[i].definition);
    rt_store_free(r->store);
    rt_engine_unref(r->engine);
    for (unsigned i = 0; i < n_host_items; i++) free((void *)(uintptr_t)host_items[i].name.bytes);
    n_host_items = 0;
    atoll_free(&atoll_default_alloc, r->modules, r->cap_modules * sizeof *r->modules);
    atoll_free(&atoll_default_alloc, r->registered, r->cap_registered * sizeof *r->registered);
}

static bool is_known(const char *list, const char *file) {
    const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    size_t n = strlen(name);
    for (const char *p = list; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (!strncmp(p, name, n) && p[n] == ':') return true;
    return false;
}

int main(int argc, char **argv) {
    unsigned passed = 0, failed = 0, bad_files = 0, known_files = 0, n_files = 0;
    char *list = NULL;
    int first = 1;
    size_t size;
    if (argc > first && !strcmp(argv[first], "--all-features")) {
        features = ~UINT64_C(0);
        first++;
    }
    if (argc > first && !strcmp(argv[first], "--jit")) {
        tier = &jit_tier;
        first++;
    }
    if (argc > first && !strcmp(argv[first], "--auto")) {
        tier = &auto_tier;
        first++;
    }
    if (argc > first && !strcmp(argv[first], "--observed")) {
        observed = true;
        first++;
    }
    if (argc > first + 1 && !strcmp(argv[first], "--known-failures")) {
        list = read_file(argv[first + 1], &size);
        if (list) list[size] = 0;
        first += 2;
    }
    for (int i = first; i < argc; i++) {
        struct runner r = {.file = argv[i], .quiet = is_known(list, argv[i])};
        struct bc_script *s = NULL;
        struct atoll_error err = {0};
        char *text = read_file(argv[i], &size);
        if (!text || bc_script_parse(text, size, NULL, &s, &err)) {
            printf("%s:%u:%u: %s\n", argv[i], err.line, err.column, text ? err.text : "cannot be read");
            r.failed++;
        } else {
            run_script(&r, s);
        }
        printf("%s: %u of %u%s\n", argv[i], r.passed, r.passed + r.failed, r.quiet ? " (known to fail)" : "");
        if (r.quiet && !r.failed) printf("%s: passes, but is in the list of known failures\n", argv[i]);
        bad_files += r.quiet ? !r.failed : r.failed != 0;
        known_files += r.quiet;
        passed += r.passed;
        failed += r.quiet ? 0 : r.failed;
        n_files++;
        bc_script_free(s);
        free(text);
    }
    printf("%u files, %u known to fail; %u passed, %u failed\n", n_files, known_files, passed, failed);
    interp_values_fini(&values, &atoll_default_alloc);
    free(list);
    return bad_files != 0;
}
