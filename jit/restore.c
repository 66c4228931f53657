/* jit/restore.c: code that another process compiled (save.c). A little is put in its place before the module's first
 * instance runs. Of more, each function waits for its first call, so that a program of any size starts at once:
 *
 *   rt_func.jit_code = engine->first -> jit_first: read, checked, linked, put in place -> rt_func.jit_code = its place
 *   a direct call of a function that still waits -> its stub, which looks at rt_func.jit_code; for good
 *
 * A function whose bytes cannot be had any more, because somebody wrote into the file, is compiled again: by `jit` at its
 * first call, by `auto` when it is hot, until when it is interpreted. jit_module.saved_states is guarded by the module's
 * lock, which comes before that of jit_hot. */
#include <stddef.h>
#include <string.h>
#include "bytecode/stress.h"
#include "jit/saved.h"

#define AT_ONCE_BYTES                                                                                        \
    ATOLL_LIMIT((uint32_t)256 << 10, 64) /* of a body, up to which all of it gets its place at once */
#define STUB_BYTES 16u

enum state { NONE, WAITS, PLACED, BROKEN };

bool jit_saved_waits(const struct jit_module *jit, uint32_t own) {
    return jit->saved_states && jit->saved_states[own] == WAITS;
}
bool jit_saved_is_broken(const struct jit_module *jit, uint32_t own) {
    return jit->saved_states && jit->saved_states[own] == BROKEN;
}

/* ---- bytes ---- */

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

static const uint8_t *take(struct reader *r, size_t n) {
    const uint8_t *at = r->at;
    if ((size_t)(r->end - r->at) < n) {
        r->failed = true;
        return NULL;
    }
    r->at += n;
    return at;
}

static uint32_t take_u32(struct reader *r) {
    uint32_t value = 0;
    const uint8_t *at = take(r, 4);
    if (at) memcpy(&value, at, 4);
    return value;
}

/* ---- the head ---- */

/* It is of this build, this CPU and instances of this layout. */
static bool fits(struct reader *r, const struct rt_module *module) {
    struct bc_buf own;
    uint32_t words[JIT_SAVED_WORDS];
    bc_buf_init(&own, module->engine->alloc);
    bool same = jit_identity(&own);
    const uint8_t *theirs = take(r, own.size);
    same = same && theirs && !memcmp(theirs, own.data, own.size);
    bc_buf_fini(&own);
    jit_saved_words(module, words);
    for (unsigned i = 0; i < JIT_SAVED_WORDS; i++) same &= take_u32(r) == words[i];
    return same && !r->failed;
}

struct jit_saved_table { /* borrowed from the head */
    const uint8_t *entries;
    uint32_t n, body_bytes;
};

static struct jit_saved_entry entry_at(const struct jit_saved_table *t, uint32_t i) {
    struct jit_saved_entry entry;
    memcpy(&entry, t->entries + i * sizeof entry, sizeof entry);
    return entry;
}

/* Functions in their order, one behind the other, all of the body. */
static bool read_table(const struct rt_module *module, struct jit_saved_table *t) {
    const struct jit_module *jit = module->jit_data;
    struct reader r = {jit->saved.head, jit->saved.head + jit->saved.head_bytes, false};
    uint32_t next = 0;
    uint64_t at = 0;
    if (!fits(&r, module)) return false;
    t->body_bytes = take_u32(&r);
    t->n = take_u32(&r);
    t->entries = take(&r, t->n * sizeof(struct jit_saved_entry));
    if (r.failed || r.at != r.end || t->n > jit_n_own(module)) return false;
    for (uint32_t i = 0; i < t->n; i++) {
        struct jit_saved_entry entry = entry_at(t, i);
        if (entry.own < next || entry.own >= jit_n_own(module) || entry.at != at ||
            entry.code_bytes > entry.n_bytes)
            return false;
        next = entry.own + 1;
        at += entry.n_bytes;
    }
    return at == t->body_bytes;
}

static struct jit_saved_entry entry_of(const struct jit_module *jit, uint32_t own) {
    uint32_t low = 0, high = jit->table->n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (entry_at(jit->table, middle).own <= own)
            low = middle;
        else
            high = middle;
    }
    return entry_at(jit->table, low);
}

/* ---- a function ---- */

static bool reloc_is_sound(const struct rt_module *module, const struct jit_code *code,
                           const struct jit_reloc *reloc, uint32_t n_slows) {
    const struct bc_module *bc = module->bc;
    uint32_t width = reloc->kind >= JIT_RELOC_TYPE ? 8 : 4, most = 1;
    if (reloc->kind == JIT_RELOC_FUNC)
        most = bc->n_funcs;
    else if (reloc->kind == JIT_RELOC_TRAP)
        most = RT_TRAP_COUNT;
    else if (reloc->kind == JIT_RELOC_TAIL)
        most = JIT_TAIL_CLASSES;
    else if (reloc->kind == JIT_RELOC_TYPE || reloc->kind == JIT_RELOC_LAYOUT)
        most = bc->n_types;
    else if (reloc->kind == JIT_RELOC_SLOW)
        most = n_slows;
    if (reloc->kind == JIT_RELOC_FUNC && reloc->target < bc->n_imported_funcs) return false;
    return reloc->kind < JIT_RELOC_COUNT && code->size >= width && reloc->at <= code->size - width &&
           reloc->target < (reloc->kind == JIT_RELOC_SELF ? UINT32_MAX : most);
}

static bool take_lists(struct reader *r, const struct rt_module *module, struct jit_code *code,
                       uint32_t n_slows) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    const uint8_t *pcs = take(r, (size_t)code->n_pcs * 8), *relocs = take(r, (size_t)code->n_relocs * 8);
    if (r->failed) return false;
    code->cap_pcs = code->n_pcs;
    code->cap_relocs = code->n_relocs;
    code->pcs = atoll_new(alloc, code->cap_pcs, sizeof *code->pcs);
    code->relocs = atoll_new(alloc, code->cap_relocs, sizeof *code->relocs);
    if ((code->n_pcs && !code->pcs) || (code->n_relocs && !code->relocs)) return false;
    if (code->n_pcs) memcpy(code->pcs, pcs, (size_t)code->n_pcs * 8);
    for (uint32_t i = 0; i < code->n_relocs; i++) {
        uint32_t words[2];
        memcpy(words, relocs + (size_t)i * 8, 8);
        code->relocs[i] = (struct jit_reloc){words[0], words[1] & (JIT_SAVED_MAX_TARGET - 1),
                                             (uint8_t)(words[1] >> JIT_SAVED_KIND_SHIFT)};
        if (!reloc_is_sound(module, code, code->relocs + i, n_slows)) return false;
    }
    return true;
}

static bool take_landings(struct reader *r, const struct rt_module *module, struct jit_code *code) {
    const size_t n_bytes = (size_t)code->n_landings * sizeof *code->landings;
    const uint8_t *from = take(r, n_bytes);
    if (r->failed) return false;
    code->cap_landings = code->n_landings;
    code->landings = atoll_new(module->engine->alloc, code->cap_landings, sizeof *code->landings);
    if (code->n_landings && !code->landings) return false;
    if (n_bytes) memcpy(code->landings, from, n_bytes);
    for (uint32_t i = 0; i < code->n_landings; i++) {
        const struct jit_landing *l = code->landings + i;
        if (l->target >= code->size || (l->tag != JIT_ANY_TAG && l->tag >= module->bc->n_tags)) return false;
    }
    return true;
}

/* Calls lead outwards. */
static bool take_inlined(struct reader *r, const struct rt_module *module, struct jit_code *code) {
    const size_t n_bytes = (size_t)code->n_inlined * sizeof *code->inlined;
    const uint8_t *from = take(r, n_bytes);
    if (r->failed) return false;
    code->cap_inlined = code->n_inlined;
    code->inlined = atoll_new(module->engine->alloc, code->cap_inlined, sizeof *code->inlined);
    if (code->n_inlined && !code->inlined) return false;
    if (n_bytes) memcpy(code->inlined, from, n_bytes);
    for (uint32_t i = 0; i < code->n_inlined; i++) {
        uint32_t outer = code->inlined[i].outer;
        if (outer & JIT_INLINED && (outer & JIT_PLACE) >= i) return false;
    }
    return true;
}

/* The number that the module's next slow instruction gets; UINT32_MAX: it is broken, or there is no memory. */
static uint32_t take_slow(struct reader *r, struct rt_module *module) {
    const struct bc_module *bc = module->bc;
    uint32_t func = take_u32(r), at = take_u32(r), n_args = take_u32(r);
    const uint8_t *types = take(r, n_args);
    if (r->failed || func < bc->n_imported_funcs || func >= bc->n_funcs || at < bc->funcs[func].code_offset ||
        at >= bc->funcs[func].body.offset + bc->funcs[func].body.size)
        return UINT32_MAX;
    for (uint32_t k = 0; k < n_args; k++)
        if (types[k] < IR_I32 || types[k] > IR_V128) return UINT32_MAX;
    return jit_slow_new(module, func, at, n_args, types);
}

/* They stand in the order of the relocations that name them. */
static bool take_slows(struct reader *r, struct rt_module *module, struct jit_code *code, uint32_t n) {
    uint32_t next = 0;
    for (uint32_t i = 0; i < code->n_relocs; i++) {
        struct jit_reloc *reloc = code->relocs + i;
        if (reloc->kind != JIT_RELOC_SLOW) continue;
        if (reloc->target != next++) return false;
        reloc->target = take_slow(r, module);
        if (reloc->target == UINT32_MAX) return false;
    }
    return next == n;
}

static void drop(const struct rt_module *module, struct jit_code *code) {
    jit_code_fini(module->engine->alloc, code);
    code->module = NULL;
}

/* Fills all of *code but its start from the function's bytes; *bytes: the machine code among them. */
static bool take_function(struct rt_module *module, const struct jit_saved_entry *entry, uint8_t *from,
                          uint8_t **bytes) {
    struct jit_code *code = ((struct jit_module *)module->jit_data)->codes + entry->own;
    struct reader r = {from, from + entry->n_bytes, false};
    code->func = entry->own + module->bc->n_imported_funcs;
    code->module = module;
    code->size = entry->code_bytes;
    code->frame_bytes = take_u32(&r);
    code->pushes_at = take_u32(&r);
    code->self_at = take_u32(&r);
    code->n_pcs = take_u32(&r);
    code->n_relocs = take_u32(&r);
    code->n_landings = take_u32(&r);
    code->used_saved = take_u32(&r);
    code->n_inlined = take_u32(&r);
    uint32_t n_slows = take_u32(&r);
    bool ok = !r.failed && take_lists(&r, module, code, n_slows) && take_landings(&r, module, code) &&
              take_inlined(&r, module, code) && take_slows(&r, module, code, n_slows);
    *bytes = from + (entry->n_bytes - entry->code_bytes);
    ok = ok && take(&r, entry->code_bytes) && r.at == r.end && *bytes == r.end - entry->code_bytes;
    if (!ok) drop(module, code);
    return ok;
}

static const char was_declined[] = "it was declined when the code was saved";

/* ---- all at once ---- */

/* Direct calls lead to functions that are there. */
static bool calls_are_known(const struct rt_module *module) {
    const struct jit_module *jit = module->jit_data;
    for (uint32_t i = 0; i < jit_n_own(module); i++)
        for (uint32_t k = 0; k < jit->codes[i].n_relocs; k++) {
            const struct jit_reloc *reloc = jit->codes[i].relocs + k;
            if (reloc->kind == JIT_RELOC_FUNC &&
                !jit->codes[reloc->target - module->bc->n_imported_funcs].module)
                return false;
        }
    return true;
}

static bool take_all(struct rt_module *module, const struct jit_saved_table *t, uint8_t *body,
                     struct jit_region *region) {
    struct jit_module *jit = module->jit_data;
    for (uint32_t i = 0; i < t->n; i++) {
        struct jit_saved_entry entry = entry_at(t, i);
        struct jit_code *code = jit->codes + entry.own;
        uint8_t *bytes;
        if (!take_function(module, &entry, body + entry.at, &bytes)) return false;
        if (!code->size) code->declined = was_declined;
        code->start = (uint8_t *)jit_region_next(region);
        jit_region_append_function(region, module, code, bytes);
    }
    return !region->failed && calls_are_known(module);
}

static void forget(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    for (uint32_t i = 0; i < jit_n_own(module); i++) {
        jit_code_fini(module->engine->alloc, jit->codes + i);
        jit->codes[i] = (struct jit_code){0};
    }
    jit_slows_free(module);
}

static bool place_all(struct rt_module *module, const struct jit_saved_table *t) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    const struct jit_saved *saved = &((struct jit_module *)module->jit_data)->saved;
    struct jit_region region = {0};
    uint8_t *body = atoll_new(alloc, t->body_bytes + 1u, 1);
    bool ok = body && saved->read(saved->context, 0, t->body_bytes, body) &&
              take_all(module, t, body, &region) &&
              (!region.size || jit_region_publish(module, &region) == ATOLL_OK);
    if (!ok) forget(module);
    atoll_free(alloc, region.bytes, region.capacity);
    atoll_free(alloc, body, t->body_bytes + 1u);
    return ok;
}

/* ---- one by one ---- */

/* lea rax, [r14 + func]; jmp [rax + jit_code] */
static void write_stub(const struct jit_module *jit, uint32_t own, uint8_t stub[STUB_BYTES]) {
    static const uint8_t form[STUB_BYTES] = {0x49, 0x8D, 0x86, 0,    0,    0,    0,    0xFF,
                                             0x60, 0,    0xCC, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC};
    int32_t func_at = jit->layout.own_funcs + (int32_t)(own * sizeof(struct rt_func));
    _Static_assert(offsetof(struct rt_func, jit_code) < 128, "it is a distance of one byte");
    memcpy(stub, form, sizeof form);
    memcpy(stub + 3, &func_at, 4);
    stub[9] = (uint8_t)offsetof(struct rt_func, jit_code);
}

static bool make_stubs(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    struct jit_engine *engine = module->engine->jit_data;
    size_t n_bytes = (size_t)jit_n_own(module) * STUB_BYTES;
    uint8_t *bytes = atoll_new(module->engine->alloc, n_bytes, 1), *at = NULL;
    for (uint32_t i = 0; bytes && i < jit_n_own(module); i++)
        write_stub(jit, i, bytes + (size_t)i * STUB_BYTES);
    pthread_mutex_lock(&engine->lock);
    if (bytes) at = jit_memory_take(&engine->memory, n_bytes);
    if (at && jit_memory_write(&engine->memory, at, bytes, n_bytes)) {
        jit_memory_give_back(&engine->memory, at, n_bytes);
        at = NULL;
    }
    pthread_mutex_unlock(&engine->lock);
    atoll_free(module->engine->alloc, bytes, n_bytes);
    jit->stubs = at;
    return at;
}

const uint8_t *jit_saved_stub(const struct jit_module *jit, uint32_t own) {
    return jit->stubs + (size_t)own * STUB_BYTES;
}

/* Lets all functions wait. */
static bool place_none(struct rt_module *module, const struct jit_saved_table *t) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = module->jit_data;
    struct jit_saved_table *table = atoll_new(alloc, 1, sizeof *table);
    uint8_t *states = atoll_new(alloc, jit_n_own(module), 1);
    if (!table || !states || !make_stubs(module)) {
        atoll_free(alloc, table, sizeof *table);
        atoll_free(alloc, states, jit_n_own(module));
        return false;
    }
    *table = *t;
    for (uint32_t i = 0; i < t->n; i++) {
        struct jit_saved_entry entry = entry_at(t, i);
        states[entry.own] = entry.code_bytes ? WAITS : NONE;
        if (entry.code_bytes) continue;
        jit->codes[entry.own].module = module;
        jit->codes[entry.own].func = entry.own + module->bc->n_imported_funcs;
        jit->codes[entry.own].declined = was_declined;
    }
    jit->table = table;
    jit->saved_states = states;
    return true;
}

/* The caller holds the module's lock. */
static bool place_one(struct rt_module *module, uint32_t own) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = module->jit_data;
    const struct jit_saved_entry entry = entry_of(jit, own);
    struct jit_code *code = jit->codes + own;
    uint8_t *from = atoll_new(alloc, entry.n_bytes, 1), *bytes;
    bool ok = from && jit->saved.read(jit->saved.context, entry.at, entry.n_bytes, from) &&
              take_function(module, &entry, from, &bytes);
    if (ok && jit_place_code(module, code, bytes)) {
        drop(module, code);
        ok = false;
    }
    atoll_free(alloc, from, entry.n_bytes);
    if (!ok) return false;
    jit_hot_lock(module->engine->jit_data);
    jit->stats.table_bytes += jit_code_table_bytes(code) - sizeof *code; /* that was counted */
    jit_hot_unlock(module->engine->jit_data);
    jit_publish(module->engine->jit_data);
    return true;
}

/* It is interpreted from now on, by instances that have not called it, unless it is compiled again. The caller holds the
 * module's lock. */
static void give_up(struct rt_module *module, uint32_t own) {
    struct jit_module *jit = module->jit_data;
    const struct jit_saved_entry entry = entry_of(jit, own);
    uint32_t wasm_bytes = module->bc->funcs[own + module->bc->n_imported_funcs].body.size;
    jit->codes[own].declined = "its saved code is broken";
    jit_hot_lock(module->engine->jit_data);
    jit->stats.n_compiled--;
    jit->stats.n_restored--;
    jit->stats.n_declined += !jit->heat;
    jit->stats.code_bytes -= entry.code_bytes;
    jit->stats.wasm_bytes -= wasm_bytes;
    jit->stats.restored_wasm_bytes -= wasm_bytes;
    jit_hot_cool(jit, own);
    jit_hot_unlock(module->engine->jit_data);
}

/* Where all code is made before it runs it is made now, at the first call. The caller holds the module's lock. */
static bool compile_again(struct rt_module *module, uint32_t own, const _Atomic uint32_t *stop) {
    struct jit_module *jit = module->jit_data;
    const uint32_t func = own + module->bc->n_imported_funcs;
    struct jit_code *code = jit->codes + own;
    uint8_t *bytes;
    size_t capacity;
    double start = jit_cpu_seconds();
    enum atoll_status status =
        jit_compile(module, func, JIT_WHOLE, &jit->layout, stop, code, &bytes, &capacity);
    if (!status) {
        status = jit_place_code(module, code, bytes);
        atoll_free(module->engine->alloc, bytes, capacity);
        if (status) drop(module, code);
    }
    jit->stats.seconds += jit_cpu_seconds() - start;
    if (status) return false;
    jit->stats.n_declined--;
    jit->stats.n_compiled++;
    jit->stats.n_inlined += code->n_inlined_calls;
    jit->stats.code_bytes += code->size;
    jit->stats.wasm_bytes += module->bc->funcs[func].body.size;
    jit->stats.table_bytes += jit_code_table_bytes(code) - sizeof *code;
    return true;
}

/* Whether the code is in its place; under the module's lock. */
static bool place(struct rt_module *module, uint32_t own, const _Atomic uint32_t *stop) {
    struct jit_module *jit = module->jit_data;
    if (jit->saved_states[own] == WAITS) {
        bool ok = place_one(module, own);
        if (!ok) {
            give_up(module, own);
            ok = !jit->heat && compile_again(module, own, stop);
        }
        jit->saved_states[own] = ok ? PLACED : BROKEN;
    }
    return jit->saved_states[own] == PLACED;
}

bool jit_saved_use(struct rt_func *func) {
    struct rt_module *module = func->instance->module;
    struct jit_module *jit = module->jit_data;
    const struct jit_engine *engine = module->engine->jit_data;
    uint32_t own = func->index - module->bc->n_imported_funcs;
    pthread_mutex_lock(&jit->lock);
    bool there = place(module, own, &func->instance->store->interrupt);
    jit_hot_lock(engine);
    there |= jit->heat && jit_is_ready(jit, own); /* compiled again meanwhile */
    if (there)
        jit_use(func, jit->codes + own);
    else
        jit_use_none(func);
    jit_hot_unlock(engine);
    pthread_mutex_unlock(&jit->lock);
    return there;
}

void jit_first(struct rt_func *func, struct rt_instance *caller) {
    jit_seen(caller->store);
    jit_run_stands(caller->store, caller);
    jit_saved_use(func);
}

bool jit_saved_copy(const struct rt_module *module, uint32_t own, struct bc_buf *body,
                    struct jit_saved_entry *entry) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    const struct jit_module *jit = module->jit_data;
    const struct jit_saved_entry old = entry_of(jit, own);
    uint8_t *bytes = atoll_new(alloc, old.n_bytes, 1);
    bool ok = bytes && jit->saved.read(jit->saved.context, old.at, old.n_bytes, bytes);
    entry->n_bytes = old.n_bytes;
    entry->code_bytes = old.code_bytes;
    if (ok) bc_buf_bytes(body, bytes, old.n_bytes);
    atoll_free(alloc, bytes, old.n_bytes);
    return ok;
}

/* ---- a module ---- */

static void count(struct rt_module *module, const struct jit_saved_table *t) {
    struct jit_module *jit = module->jit_data;
    struct jit_stats *stats = &jit->stats;
    for (uint32_t i = 0; i < t->n; i++) {
        struct jit_saved_entry entry = entry_at(t, i);
        stats->table_bytes += jit_code_table_bytes(jit->codes + entry.own); /* of what has its place */
        stats->n_compiled += entry.code_bytes != 0;
        stats->n_declined += entry.code_bytes == 0;
        stats->n_restored += entry.code_bytes != 0;
        stats->code_bytes += entry.code_bytes;
        stats->wasm_bytes += module->bc->funcs[entry.own + module->bc->n_imported_funcs].body.size;
    }
    stats->restored_wasm_bytes = stats->wasm_bytes;
}

bool jit_restore_saved(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    struct jit_saved_table table;
    if (!jit->saved.head || jit->restored) return false;
    jit->restored = true;
    bool ok = read_table(module, &table);
    /* what is compiled in advance is whole or of no use */
    if (!((const struct jit_engine *)module->engine->jit_data)->hot) ok = ok && table.n == jit_n_own(module);
    ok = ok && (table.body_bytes <= AT_ONCE_BYTES ? place_all(module, &table) : place_none(module, &table));
    if (ok) count(module, &table);
    return ok;
}

enum atoll_status jit_restore(struct rt_module *module, const struct jit_saved *saved,
                              struct atoll_error *err) {
    enum atoll_status status = jit_module_data(module);
    struct jit_module *jit = module->jit_data;
    if (!status && jit->laid_out)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the module has been instantiated already");
    if (!status && !jit->saved.head) jit->saved = *saved;
    return status ? atoll_fail(err, status, ATOLL_NO_OFFSET, "out of memory") : ATOLL_OK;
}

void jit_saved_fini(struct rt_module *module) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct jit_module *jit = module->jit_data;
    struct jit_engine *engine = module->engine->jit_data;
    if (jit->stubs) jit_memory_give_back(&engine->memory, jit->stubs, (size_t)jit_n_own(module) * STUB_BYTES);
    atoll_free(alloc, jit->table, sizeof *jit->table);
    atoll_free(alloc, jit->saved_states, jit_n_own(module));
    jit->stubs = NULL;
    jit->table = NULL;
    jit->saved_states = NULL;
}
