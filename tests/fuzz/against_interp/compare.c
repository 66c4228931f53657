/* tests/fuzz/against_interp/compare.c: runs a module in all tiers and compares their transcripts, which are text. */
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>
#include "interp/interp.h"
#include "jit/jit.h"
#include "tests/fuzz/against_interp/compare.h"

#define FUEL      300000 /* instructions of a call; one that needs more ends the comparison of its module */
#define SECONDS   60     /* for the machine code of a module, under a sanitizer on a busy machine, too */
#define MAX_SLOTS 256
#define RENEW     200 /* modules an engine: it keeps their types */

enum { INTERP, JIT, AUTO, TIERS }; /* AUTO: functions and running loops are compiled where they come by */
static const struct rt_tier *const tiers[TIERS] = {&interp_tier, &jit_tier, &auto_tier};

struct compare {
    struct rt_engine *engines[TIERS];
    bool fuel; /* compiled code counts it, too */
    struct compare_counts counts;
};
struct run {
    struct rt_store *store;
    struct rt_instance *instance;
    struct bc_buf *out;
    uint32_t n_calls, max_calls;
    bool leads; /* the interpreter: the others make the calls that it made */
    bool fuel;  /* all count it: it has to be the same */
    bool cut;   /* it came to a limit that machine code does not have at the same place */
};

/* ---- values ---- */

static uint64_t canonical(uint8_t kind, const union rt_slot *slot) {
    if (kind == BC_KIND_F32) return slot->f32 != slot->f32 ? 0x7FC00000 : slot->u32;
    if (kind == BC_KIND_F64) return slot->f64 != slot->f64 ? UINT64_C(0x7FF8000000000000) : slot->u64;
    if (kind == BC_KIND_REF) return slot->ref != NULL;
    return kind == BC_KIND_I32 ? slot->u32 : slot->u64;
}

static void put_values(struct bc_buf *out, const struct rt_valtype *types, uint32_t n,
                       const union rt_slot *slots) {
    for (uint32_t i = 0; i < n; i++) {
        uint8_t kind = types[i].kind;
        bc_buf_text(out, " %" PRIx64, canonical(kind, slots++));
        if (kind == BC_KIND_V128) bc_buf_text(out, ":%" PRIx64, (slots++)->u64);
    }
}

static void fill(const struct rt_valtype *types, uint32_t n, union rt_slot *slots, uint64_t seed) {
    static const uint64_t edges[] = {0, 1, 0xFFFFFFFF, 0x80000000, 65535, 7, 0x7FFFFFFF, 100};
    for (uint32_t i = 0; i < n; i++, slots++) {
        uint64_t random = fuzz_hash(seed + i, &seed, sizeof seed), edge = edges[random & 7];
        switch (types[i].kind) {
        case BC_KIND_I32: slots->u64 = (uint32_t)(random & 16 ? random >> 32 : edge); break;
        case BC_KIND_F32: slots->u64 = 0, slots->f32 = (float)(int32_t)edge / 4; break;
        case BC_KIND_F64: slots->f64 = (double)(int32_t)edge * 0.75; break;
        case BC_KIND_V128: slots->u64 = random, (++slots)->u64 = random * 0x10001; break;
        case BC_KIND_I64: slots->u64 = random & 32 ? random : edge; break;
        default: slots->u64 = 0;
        }
    }
}

/* ---- imports ---- */

static enum rt_trap imported(struct rt_store *store, struct rt_instance *caller, void *context,
                             union rt_slot *slots) {
    const struct rt_type *type = context;
    struct run *run = store->host_data;
    (void)caller;
    bc_buf_text(run->out, "import");
    put_values(run->out, type->params, type->n_params, slots);
    bc_buf_text(run->out, "\n");
    uint64_t seed = 0;
    if (type->n_params) seed = canonical(type->params[0].kind, slots);
    fill(type->results, type->n_results, slots, seed);
    return seed == 77 ? rt_store_trap_text(store, "wanted") : RT_TRAP_NONE;
}

static bool provide(void *context, const struct rt_module *module, const struct bc_import *import,
                    struct rt_extern *out) {
    struct run *run = context;
    out->kind = import->kind;
    if (import->kind != BC_EXTERN_FUNC) return false;
    const struct rt_type *type = module->types[module->bc->funcs[import->index].type];
    for (uint32_t i = 0; i < type->n_results; i++)
        if (type->results[i].kind == BC_KIND_REF && !type->results[i].nullable) return false;
    return !rt_host_func_new(run->store, type, imported, (void *)(uintptr_t)type, "import", &out->func);
}

/* ---- calls ---- */

static void put_trap(struct run *run) {
    const struct rt_store *store = run->store;
    bc_buf_text(run->out, " trap: %s", rt_trap_text(store->trap));
    if (store->trap == RT_TRAP_HOST) return; /* a frame that ended by calling the host may be there or not */
    bc_buf_text(run->out, ", %" PRIu32 " frames", store->n_frames);
    for (uint32_t i = 0; i < store->n_frames && i < 6; i++) {
        const struct rt_frame *frame = rt_store_frame(store, i);
        bc_buf_text(run->out, ", %" PRIu32 "+%#" PRIx32, frame->func, frame->offset);
    }
}

static bool limited(const struct run *run) {
    switch (run->store->trap) {
    case RT_TRAP_OUT_OF_FUEL: return !run->fuel;
    case RT_TRAP_STACK_EXHAUSTED:
    case RT_TRAP_OUT_OF_MEMORY: return true;
    default: return false;
    }
}

static void call(struct run *run, uint32_t index, uint32_t round) {
    union rt_slot slots[MAX_SLOTS];
    struct rt_func *func = run->instance->funcs[index];
    const struct rt_type *type = func->type;
    for (uint32_t i = 0; i < type->n_params; i++)
        if (type->params[i].kind == BC_KIND_REF && !type->params[i].nullable) return;
    if (type->param_slots > MAX_SLOTS || type->result_slots > MAX_SLOTS) return;
    fill(type->params, type->n_params, slots, index * 97 + round);
    run->store->fuel = FUEL;
    size_t before = run->out->size;
    bc_buf_text(run->out, "call %" PRIu32, index);
    enum atoll_status status = rt_call(run->store, func, slots, NULL);
    run->n_calls++;
    if (status && run->leads && limited(run)) {
        run->out->size = before;
        run->n_calls--;
        run->cut = true;
        run->max_calls = 0;
        return;
    }
    bool stopped = status == ATOLL_E_INTERRUPTED && run->store->trap != RT_TRAP_OUT_OF_FUEL;
    if (stopped) run->max_calls = 0;
    bc_buf_text(run->out, "-> %" PRIu32, index);
    if (!status)
        put_values(run->out, type->results, type->n_results, slots);
    else if (stopped)
        bc_buf_text(run->out, " was stopped after %u seconds", SECONDS);
    else
        put_trap(run);
    if (run->fuel) bc_buf_text(run->out, ", fuel %" PRId64, run->store->fuel);
    bc_buf_text(run->out, "\n");
}

static void put_state(struct run *run) {
    const struct rt_instance *instance = run->instance;
    const struct bc_module *bc = instance->module->bc;
    for (uint32_t i = 0; i < bc->n_memories; i++) {
        const struct rt_memory *m = instance->memories[i];
        uint64_t size = atomic_load(&m->size_bytes), hash = FUZZ_HASH_START;
        for (uint64_t at = 0; at + 8 <= size; at += 8) {
            uint64_t word;
            memcpy(&word, m->base + at, sizeof word);
            if (word) hash = (hash ^ word ^ at) * UINT64_C(0x9E3779B97F4A7C15) ^ hash >> 31;
        }
        bc_buf_text(run->out, "memory %" PRIu32 ": %" PRIu64 " bytes %" PRIx64 "\n", i, size, hash);
    }
    for (uint32_t i = 0; i < bc->n_globals; i++) {
        const struct rt_global *global = instance->globals[i];
        bc_buf_text(run->out, "global %" PRIu32 ":", i);
        put_values(run->out, &global->type, 1, global->value);
        bc_buf_text(run->out, "\n");
    }
    for (uint32_t i = 0; i < bc->n_tables; i++) {
        const struct rt_table *table = instance->tables[i];
        uint64_t hash = table->size;
        for (uint64_t k = 0; k < table->size && k < 1000; k++)
            hash = hash * 3 + (table->elems[k].ref != NULL);
        bc_buf_text(run->out, "table %" PRIu32 ": %" PRIu64 " elements %" PRIx64 "\n", i, table->size, hash);
    }
}

/* ---- a run ---- */

static struct rt_store *running;
static void stop(int number) {
    (void)number;
    if (running) rt_store_interrupt(running, RT_INTERRUPT_CANCEL);
}

static bool run_module(struct rt_module *module, struct run *run, struct compare_counts *counts) {
    static const struct rt_limits limits = {.max_memory_bytes = 16 << 20, .max_table_elems = 100000};
    struct atoll_error err = {0};
    if (rt_store_new(module->engine, &limits, &run->store, NULL)) return false;
    run->store->fuel = FUEL;
    run->store->host_data = run;
    running = run->store;
    if (!run->leads) alarm(SECONDS);
    enum atoll_status status = rt_instantiate(run->store, module, provide, run, &run->instance, &err);
    bool linked = status != ATOLL_E_LINK && status != ATOLL_E_NOMEM && status != ATOLL_E_LIMIT;
    if (status) bc_buf_text(run->out, "start: %s\n", err.text);
    const struct bc_module *bc = module->bc;
    for (uint32_t round = 0; round < 2 && !status; round++)
        for (uint32_t i = 0; i < bc->n_exports && run->n_calls < run->max_calls; i++)
            if (bc->exports[i].kind == BC_EXTERN_FUNC) call(run, bc->exports[i].index, round);
    if (!status && !run->cut) put_state(run);
    if (!run->leads) {
        alarm(0);
        counts->calls += run->n_calls;
    }
    running = NULL;
    rt_store_free(run->store);
    return linked;
}

static bool read_code(void *context, uint64_t at, size_t n, uint8_t *out) {
    const struct bc_buf *body = context;
    FUZZ_CHECK(n <= body->size && at <= body->size - n);
    if (n) memcpy(out, body->data + at, n);
    return true;
}

/* A module that takes over the code of another one of the same bytes; `head` and `body` hold it. */
static struct rt_module *restored(struct rt_module *module, const uint8_t *bytes, size_t n_bytes,
                                  struct bc_buf *head, struct bc_buf *body) {
    struct rt_module *copy;
    FUZZ_CHECK(!jit_save(module, head, body, NULL));
    FUZZ_CHECK(!rt_module_load(module->engine, bytes, n_bytes, true, "generated", &copy, NULL));
    const struct jit_saved saved = {head->data, head->size, read_code, body};
    FUZZ_CHECK(!jit_restore(copy, &saved, NULL));
    return copy;
}

/* ---- all ---- */

static struct rt_engine *new_engine(const struct rt_tier *tier, bool fuel) {
    struct rt_engine *engine;
    struct rt_config config = {.tier = tier,
                               .features = BC_FEATURES_DEFAULT | UINT64_C(1) << BC_FEATURE_WIDE_ARITHMETIC,
                               .fuel = fuel,
                               .keep_code = true,
                               .hot_at_once = true,
                               .stack_bytes = 2 << 20,
                               .max_gc_heap_bytes = 64 << 20};
    FUZZ_CHECK(!rt_engine_new(&config, &engine, NULL));
    return engine;
}

static void free_engines(struct compare *c) {
    for (int i = 0; i < TIERS; i++)
        if (c->engines[i]) rt_engine_unref(c->engines[i]);
    memset(c->engines, 0, sizeof c->engines);
}

struct compare *compare_new(void) {
    struct compare *c = calloc(1, sizeof *c);
    FUZZ_CHECK(c);
    signal(SIGALRM, stop);
    return c;
}

void compare_free(struct compare *c) {
    free_engines(c);
    free(c);
}

const struct compare_counts *compare_counted(const struct compare *c) { return &c->counts; }

/* The first line that is not the same. */
static void put_difference(struct bc_buf *report, const char *name, const struct bc_buf *x,
                           const struct bc_buf *y) {
    size_t at = 0, line = 0;
    while (at < x->size && at < y->size && x->data[at] == y->data[at])
        if (x->data[at++] == '\n') line = at;
    const struct bc_buf *sides[] = {x, y};
    for (int i = 0; i < 2; i++) {
        size_t end = line;
        while (end < sides[i]->size && sides[i]->data[end] != '\n') end++;
        bc_buf_text(report, "%-6s: %.*s\n", i ? name : "interp", (int)(end - line),
                    (const char *)sides[i]->data + line);
    }
}

static bool same(const struct bc_buf *x, const struct bc_buf *y) {
    return x->size == y->size && (!x->size || !memcmp(x->data, y->data, x->size));
}

static uint64_t count_traps(const struct bc_buf *out) {
    uint64_t n = 0;
    for (size_t i = 0; i + 6 < out->size; i++) n += !memcmp(out->data + i, " trap:", 6);
    return n;
}

/* Saved code, put in place again, does the same. */
static bool compare_restored(struct compare *c, struct rt_module *compiled, const uint8_t *bytes,
                             size_t n_bytes, const struct run *before, struct bc_buf *report) {
    struct bc_buf out, head, body;
    struct jit_stats then, now;
    bc_buf_init(&out, &atoll_default_alloc);
    bc_buf_init(&head, &atoll_default_alloc);
    bc_buf_init(&body, &atoll_default_alloc);
    struct rt_module *copy = restored(compiled, bytes, n_bytes, &head, &body);
    struct run run = {.out = &out, .max_calls = before->n_calls, .fuel = before->fuel, .cut = before->cut};
    run_module(copy, &run, &c->counts);
    jit_module_stats(compiled, &then);
    jit_module_stats(copy, &now);
    bool ok =
        same(before->out, &out) && now.n_restored == then.n_compiled && now.n_compiled == then.n_compiled;
    if (!ok && report) {
        bc_buf_text(report, "restored code, %" PRIu32 " of %" PRIu32 " functions:\n", now.n_restored,
                    then.n_compiled);
        put_difference(report, "again", before->out, &out);
    }
    rt_module_unref(copy);
    bc_buf_fini(&out);
    bc_buf_fini(&body);
    bc_buf_fini(&head);
    return ok;
}

static bool load_all(struct compare *c, const uint8_t *bytes, size_t n_bytes, struct rt_module **modules,
                     struct bc_buf *report) {
    struct atoll_error err = {0};
    for (int i = 0; i < TIERS; i++) {
        if (!c->engines[i]) c->engines[i] = new_engine(tiers[i], i == INTERP || c->fuel);
        if (!rt_module_load(c->engines[i], bytes, n_bytes, true, "generated", modules + i, &err)) continue;
        if (report) bc_buf_text(report, "not valid: %s at %#" PRIx64 "\n", err.text, err.offset);
        return false;
    }
    return true;
}

static void count(struct compare_counts *counts, struct rt_module *const *modules, const struct run *lead) {
    struct jit_stats stats, hot;
    jit_module_stats(modules[JIT], &stats);
    jit_module_stats(modules[AUTO], &hot);
    counts->functions += modules[0]->bc->n_funcs - modules[0]->bc->n_imported_funcs;
    counts->compiled += stats.n_compiled;
    counts->loops += hot.n_loops;
    counts->traps += count_traps(lead->out);
    counts->cut += lead->cut;
}

enum compare_result compare_module(struct compare *c, const uint8_t *bytes, size_t n_bytes,
                                   struct bc_buf *report) {
    struct rt_module *modules[TIERS] = {NULL};
    struct bc_buf outs[TIERS];
    struct run runs[TIERS] = {{0}};
    if (c->counts.modules++ % RENEW == 0) {
        free_engines(c);
        c->fuel = !c->fuel;
    }
    for (int i = 0; i < TIERS; i++) bc_buf_init(outs + i, &atoll_default_alloc);
    bool ok = load_all(c, bytes, n_bytes, modules, report);
    for (int i = 0; i < TIERS && ok; i++) {
        runs[i].out = outs + i;
        runs[i].leads = i == INTERP;
        runs[i].fuel = c->fuel;
        runs[i].max_calls = i ? runs[INTERP].n_calls : UINT32_MAX;
        runs[i].cut = runs[INTERP].cut; /* then the state at the end is not the same */
        ok = run_module(modules[i], runs + i, &c->counts);
    }
    enum compare_result result = ok ? COMPARE_SAME : COMPARE_INVALID;
    for (int i = 1; i < TIERS && result == COMPARE_SAME; i++) {
        if (same(outs, outs + i)) continue;
        result = COMPARE_DIFFERENT;
        if (report) put_difference(report, tiers[i]->name, outs, outs + i);
    }
    if (result == COMPARE_SAME && c->counts.modules % 4 == 1 &&
        !compare_restored(c, modules[JIT], bytes, n_bytes, runs + JIT, report))
        result = COMPARE_DIFFERENT;
    if (ok) count(&c->counts, modules, runs);
    for (int i = 0; i < TIERS; i++) {
        if (modules[i]) rt_module_unref(modules[i]);
        bc_buf_fini(outs + i);
    }
    return result;
}
