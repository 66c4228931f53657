/* jit/save.c: compiled code as bytes that another process can use, and back.
 *
 *   build id (32) | CPU | layout of instances | deterministic? | functions of the module | slow instructions
 *   | functions with code: all but the code | bytes of code | code
 *
 * All numbers are 32 bits wide, little-endian. Code is saved as it runs, in one piece (struct jit_region): what depends on
 * place and process is written anew, where the bytes are, when it gets its place (enum jit_reloc_kind). Whoever reads such
 * bytes runs them: they are checked for being whole and from this very build, not for being harmless. Where they come
 * from is the caller's business. */
#include <elf.h>
#include <link.h>
#include <string.h>
#include "jit/engine.h"

#define ID_BYTES     32
#define LAYOUT_WORDS 6
#define MAX_TARGET   (1u << 28)

/* ---- which build this is ---- */

struct id {
    uintptr_t code; /* an address in the object that is looked for */
    uint8_t bytes[ID_BYTES];
    uint32_t size;
};

static void read_notes(const uint8_t *at, size_t size, struct id *id) {
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        size_t name = (note.n_namesz + 3u) & ~(size_t)3,
               whole = sizeof note + name + ((note.n_descsz + 3u) & ~(size_t)3);
        if (whole > size) return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_descsz <= ID_BYTES && note.n_namesz == 4) {
            id->size = note.n_descsz;
            memcpy(id->bytes, at + sizeof note + name, note.n_descsz);
        }
        at += whole;
        size -= whole;
    }
}

static int look_for_id(struct dl_phdr_info *object, size_t size, void *context) {
    struct id *id = context;
    bool ours = false;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = object->dlpi_phdr + i;
        ours |= p->p_type == PT_LOAD && id->code - (object->dlpi_addr + p->p_vaddr) < p->p_memsz;
    }
    for (int i = 0; ours && i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = object->dlpi_phdr + i;
        if (p->p_type == PT_NOTE)
            read_notes((const uint8_t *)(object->dlpi_addr + p->p_vaddr), p->p_memsz, id);
    }
    return ours;
}

/* False: the linker left none. */
static bool build_id(uint8_t out[ID_BYTES]) {
    struct id id = {.code = (uintptr_t)jit_save};
    dl_iterate_phdr(look_for_id, &id);
    memcpy(out, id.bytes, ID_BYTES);
    return id.size > 0;
}

bool jit_identity(struct bc_buf *out) {
    uint8_t id[ID_BYTES];
    if (!build_id(id)) return false;
    bc_buf_bytes(out, id, sizeof id);
    bc_buf_bytes(out, jit_cpu(), sizeof *jit_cpu());
    return !out->failed;
}

bool jit_is_of_this_build(const uint8_t *bytes, size_t n_bytes) {
    struct bc_buf own;
    bc_buf_init(&own, &atoll_default_alloc);
    bool same = jit_identity(&own) && own.size <= n_bytes && !memcmp(bytes, own.data, own.size);
    bc_buf_fini(&own);
    return same;
}

/* ---- writing ---- */

static void put_u32(struct bc_buf *out, uint32_t value) { bc_buf_fixed(out, value, 4); }

static const int32_t *layout_words(const struct jit_layout *layout, int32_t words[LAYOUT_WORDS]) {
    const int32_t all[LAYOUT_WORDS] = {layout->funcs,    layout->globals,   layout->tables,
                                       layout->memories, layout->own_funcs, layout->own_globals};
    return memcpy(words, all, sizeof all);
}

/* What of the configuration is in the code. */
static uint32_t kind_of_code(const struct rt_module *module) {
    const struct rt_config *config = &module->engine->config;
    return (uint32_t)config->relaxed_deterministic | (uint32_t)config->fuel << 1;
}

static void put_function(struct bc_buf *out, uint32_t own, const struct jit_code *code) {
    const uint32_t head[] = {own,
                             code->size,
                             code->frame_bytes,
                             code->self_at,
                             code->n_pcs,
                             code->n_relocs,
                             code->n_landings,
                             code->used_saved,
                             code->n_inlined};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) put_u32(out, head[i]);
    for (uint32_t i = 0; i < code->n_pcs; i++) {
        put_u32(out, code->pcs[i].at);
        put_u32(out, code->pcs[i].where);
    }
    for (uint32_t i = 0; i < code->n_relocs; i++) {
        put_u32(out, code->relocs[i].at);
        put_u32(out, code->relocs[i].target | (uint32_t)code->relocs[i].kind << 28);
    }
    bc_buf_bytes(out, code->landings, code->n_landings * sizeof *code->landings);
    bc_buf_bytes(out, code->inlined, code->n_inlined * sizeof *code->inlined);
}

/* Whether what it takes to move the function has been kept. */
static bool is_whole(const struct jit_code *code) {
    if (code->size && code->n_relocs && !code->relocs) return false;
    for (uint32_t i = 0; i < code->n_relocs; i++)
        if (code->relocs[i].target >= MAX_TARGET) return false;
    return true;
}

/* What jit_region_publish wants to see: the caller holds the lock. */
static void put_code(struct bc_buf *out, const struct rt_module *module) {
    const struct jit_module *jit = module->jit_data;
    struct jit_region r = {0};
    for (uint32_t i = 0; i < jit_n_own(module); i++)
        if (jit_is_ready(jit, i) && is_whole(jit->codes + i))
            jit_region_append_function(&r, module, jit->codes + i, jit->codes[i].start);
    put_u32(out, (uint32_t)r.size);
    bc_buf_bytes(out, r.bytes, r.size);
    out->failed |= r.failed || r.size > UINT32_MAX;
    atoll_free(module->engine->alloc, r.bytes, r.capacity);
}

enum atoll_status jit_save(const struct rt_module *module, struct bc_buf *out, struct atoll_error *err) {
    const struct jit_module *jit = module->jit_data;
    const struct jit_engine *engine = module->engine->jit_data;
    int32_t words[LAYOUT_WORDS];
    if (!jit || !jit->laid_out || !module->engine->config.keep_code)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "there is no code to save");
    if (!jit_identity(out))
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "this build has no id");
    layout_words(&jit->layout, words);
    for (unsigned i = 0; i < LAYOUT_WORDS; i++) put_u32(out, (uint32_t)words[i]);
    put_u32(out, kind_of_code(module));
    put_u32(out, jit_n_own(module));
    jit_hot_lock(engine);
    put_u32(out, (uint32_t)jit->n_slows);
    for (size_t i = 0; i < jit->n_slows; i++) jit_slow_put(jit->slows[i], out);
    size_t count_at = out->size;
    uint32_t n = 0;
    put_u32(out, 0);
    for (uint32_t i = 0; i < jit_n_own(module) && !out->failed; i++) {
        const struct jit_code *code = jit->codes + i;
        if (!jit_is_ready(jit, i) || !is_whole(code)) continue;
        put_function(out, i, code);
        n++;
    }
    if (!out->failed) put_code(out, module);
    jit_hot_unlock(engine);
    if (out->failed) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    memcpy(out->data + count_at, &n, 4);
    return ATOLL_OK;
}

/* ---- reading ---- */

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

/* The bytes are of this build, this CPU and instances of this layout. */
static bool fits(struct reader *r, const struct rt_module *module) {
    const struct jit_module *jit = module->jit_data;
    struct bc_buf own;
    int32_t words[LAYOUT_WORDS];
    bc_buf_init(&own, module->engine->alloc);
    bool same = jit_identity(&own);
    const uint8_t *theirs = take(r, own.size);
    same = same && theirs && !memcmp(theirs, own.data, own.size);
    bc_buf_fini(&own);
    layout_words(&jit->layout, words);
    for (unsigned i = 0; i < LAYOUT_WORDS; i++) same &= take_u32(r) == (uint32_t)words[i];
    same &= take_u32(r) == kind_of_code(module);
    return (take_u32(r) == jit_n_own(module)) & same && !r->failed;
}

static bool reloc_is_sound(const struct rt_module *module, const struct jit_code *code,
                           const struct jit_reloc *reloc) {
    const struct jit_module *jit = module->jit_data;
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
        most = (uint32_t)jit->n_slows;
    if (reloc->kind == JIT_RELOC_FUNC && reloc->target < bc->n_imported_funcs) return false;
    return reloc->kind < JIT_RELOC_COUNT && code->size >= width && reloc->at <= code->size - width &&
           reloc->target < (reloc->kind == JIT_RELOC_SELF ? UINT32_MAX : most);
}

static bool take_lists(struct reader *r, const struct rt_module *module, struct jit_code *code) {
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
        code->relocs[i] =
            (struct jit_reloc){words[0], words[1] & (MAX_TARGET - 1), (uint8_t)(words[1] >> 28)};
        if (!reloc_is_sound(module, code, code->relocs + i)) return false;
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

static bool take_function(struct reader *r, struct rt_module *module, uint32_t *next) {
    struct jit_module *jit = module->jit_data;
    uint32_t own = take_u32(r);
    if (r->failed || own < *next || own >= jit_n_own(module)) return false;
    struct jit_code *code = jit->codes + own;
    *next = own + 1;
    *code = (struct jit_code){.func = own + module->bc->n_imported_funcs, .module = module};
    code->size = take_u32(r);
    code->frame_bytes = take_u32(r);
    code->self_at = take_u32(r);
    code->n_pcs = take_u32(r);
    code->n_relocs = take_u32(r);
    code->n_landings = take_u32(r);
    code->used_saved = take_u32(r);
    code->n_inlined = take_u32(r);
    if (r->failed || !take_lists(r, module, code) || !take_landings(r, module, code)) return false;
    if (!take_inlined(r, module, code)) return false;
    if (!code->size) code->declined = "it was declined when the code was saved";
    return !r->failed;
}

static bool take_slows(struct reader *r, struct rt_module *module) {
    const struct jit_module *jit = module->jit_data;
    uint32_t n = take_u32(r);
    for (uint32_t i = 0; i < n && !r->failed; i++) {
        uint32_t func = take_u32(r), at = take_u32(r), n_args = take_u32(r);
        const uint8_t *types = take(r, n_args);
        const struct bc_module *bc = module->bc;
        for (uint32_t k = 0; types && k < n_args; k++)
            if (types[k] < IR_I32 || types[k] > IR_V128) return false;
        if (!types || func < bc->n_imported_funcs || func >= bc->n_funcs ||
            at < bc->funcs[func].code_offset || at >= bc->funcs[func].body.offset + bc->funcs[func].body.size)
            return false;
        if (jit_slow_new(module, func, at, n_args, types) != i) return false;
    }
    return !r->failed && jit->n_slows == n;
}

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

/* What is compiled in advance is whole or of no use. */
static bool is_complete(const struct rt_module *module) {
    const struct jit_module *jit = module->jit_data;
    for (uint32_t i = 0; i < jit_n_own(module); i++)
        if (!jit->codes[i].module) return false;
    return true;
}

/* Where each function is in the region that was saved. */
static bool take_code(struct reader *r, const struct rt_module *module, struct jit_region *region) {
    struct jit_module *jit = module->jit_data;
    for (uint32_t i = 0; i < jit_n_own(module); i++) {
        struct jit_code *code = jit->codes + i;
        if (!code->module) continue;
        code->start = (uint8_t *)jit_region_next(region);
        region->size = (uintptr_t)code->start + (code->size ? code->size : JIT_STUB_BYTES);
    }
    bool same = take_u32(r) == region->size;
    region->bytes = (uint8_t *)(uintptr_t)take(r, region->size);
    return same && region->bytes;
}

static bool take_all(struct reader *r, struct rt_module *module, struct jit_region *region) {
    uint32_t next = 0;
    if (!fits(r, module) || !take_slows(r, module)) return false;
    for (uint32_t n = take_u32(r); n > 0; n--)
        if (!take_function(r, module, &next)) return false;
    if (!take_code(r, module, region)) return false;
    bool enough = ((const struct jit_engine *)module->engine->jit_data)->hot || is_complete(module);
    return !r->failed && r->at == r->end && enough && calls_are_known(module);
}

/* ---- putting in place ---- */

static void forget(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    for (uint32_t i = 0; i < jit_n_own(module); i++) {
        jit_code_fini(module->engine->alloc, jit->codes + i);
        jit->codes[i] = (struct jit_code){0};
    }
    jit_slows_free(module);
}

static void count(struct rt_module *module, uint64_t code_bytes) {
    struct jit_module *jit = module->jit_data;
    for (uint32_t i = 0; i < jit_n_own(module); i++) {
        const struct jit_code *code = jit->codes + i;
        if (!code->module) continue;
        jit->stats.n_compiled += code->size != 0;
        jit->stats.n_declined += code->size == 0;
        jit->stats.n_restored += code->size != 0;
        jit->stats.table_bytes += jit_code_table_bytes(code);
        jit->stats.wasm_bytes += module->bc->funcs[code->func].body.size;
    }
    jit->stats.restored_wasm_bytes = jit->stats.wasm_bytes;
    jit->stats.code_bytes = code_bytes;
}

bool jit_restore_saved(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    if (!jit->saved) return false;
    struct reader r = {jit->saved, jit->saved + jit->saved_bytes, false};
    struct jit_region region = {0};
    bool ok = jit->n_slows == 0 && take_all(&r, module, &region);
    if (ok && region.size) ok = jit_region_publish(module, &region) == ATOLL_OK;
    if (ok)
        count(module, region.size);
    else
        forget(module);
    jit->saved = NULL;
    return ok;
}

enum atoll_status jit_restore(struct rt_module *module, uint8_t *bytes, size_t n_bytes,
                              struct atoll_error *err) {
    enum atoll_status status = jit_module_data(module);
    struct jit_module *jit = module->jit_data;
    if (!status && jit->laid_out)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "the module has been instantiated already");
    if (!status && !jit->saved && n_bytes) {
        jit->saved = bytes;
        jit->saved_bytes = n_bytes;
    }
    return status ? atoll_fail(err, status, ATOLL_NO_OFFSET, "out of memory") : ATOLL_OK;
}
