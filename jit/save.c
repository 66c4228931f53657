/* jit/save.c: compiled code as bytes that another process can use. restore.c reads them. They have two parts:
 *
 *   head    build id (32) | CPU | what of the configuration is in the code | layout of instances
 *           | functions of the module | bytes of the body | functions with code | a struct jit_saved_entry for each of them
 *   body    for each of them: lengths of its lists | the lists | its slow instructions | machine code
 *
 * All numbers are 32 bits wide, little-endian. The head is wanted at once, of the body only what is called. Code is
 * saved as it runs: what depends on place and process is written anew, where the bytes are, when it gets its place
 * (enum jit_reloc_kind); the target of JIT_RELOC_SLOW is the number of the slow instruction in the function. Whoever
 * reads such bytes runs them: they are checked for being whole and from this very build, not for being harmless.
 * Where they come from is the caller's business. */
#include <elf.h>
#include <link.h>
#include <string.h>
#include "jit/engine.h"
#include "jit/saved.h"

#define ID_BYTES 32

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

const char *jit_saved_misfit(const uint8_t *head, size_t head_bytes, const struct rt_config *config) {
    const size_t at = ID_BYTES + sizeof(struct jit_cpu);
    uint32_t words[JIT_SAVED_WORDS];
    if (head_bytes < at + sizeof words) return NULL;
    memcpy(words, head + at, sizeof words);
    if (words[JIT_SAVED_FUEL] != config->fuel)
        return config->fuel ? "it was compiled without --fuel" : "it was compiled with --fuel";
    if (words[JIT_SAVED_RELAXED] != config->relaxed_deterministic)
        return config->relaxed_deterministic ? "it was compiled without --relaxed-deterministic"
                                             : "it was compiled with --relaxed-deterministic";
    return NULL;
}

/* ---- writing ---- */

static void put_u32(struct bc_buf *out, uint32_t value) { bc_buf_fixed(out, value, 4); }

void jit_saved_words(const struct rt_module *module, uint32_t words[JIT_SAVED_WORDS]) {
    const struct rt_config *config = &module->engine->config;
    const struct jit_layout *layout = &((const struct jit_module *)module->jit_data)->layout;
    const uint32_t all[JIT_SAVED_WORDS] = {[JIT_SAVED_FUEL] = config->fuel,
                                           [JIT_SAVED_RELAXED] = config->relaxed_deterministic,
                                           [JIT_SAVED_CHECKED] = jit_is_checked(module),
                                           [JIT_SAVED_LAYOUT] = (uint32_t)layout->funcs,
                                           (uint32_t)layout->globals,
                                           (uint32_t)layout->tables,
                                           (uint32_t)layout->table_elems,
                                           (uint32_t)layout->memories,
                                           (uint32_t)layout->own_funcs,
                                           (uint32_t)layout->own_globals,
                                           jit_n_own(module)};
    memcpy(words, all, sizeof all);
}

static void put_relocs(struct bc_buf *out, const struct jit_code *code) {
    uint32_t n_slows = 0;
    for (uint32_t i = 0; i < code->n_relocs; i++) {
        const struct jit_reloc *reloc = code->relocs + i;
        uint32_t target = reloc->kind == JIT_RELOC_SLOW ? n_slows++ : reloc->target;
        put_u32(out, reloc->at);
        put_u32(out, target | (uint32_t)reloc->kind << JIT_SAVED_KIND_SHIFT);
    }
}

static uint32_t count_slows(const struct jit_code *code) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < code->n_relocs; i++) n += code->relocs[i].kind == JIT_RELOC_SLOW;
    return n;
}

static void put_function(struct bc_buf *out, const struct rt_module *module, const struct jit_code *code) {
    const uint32_t head[JIT_SAVED_COUNTS] = {code->frame_bytes, code->pushes_at, code->self_at,
                                             code->n_pcs,       code->n_relocs,  code->n_landings,
                                             code->used_saved,  code->n_inlined, count_slows(code)};
    for (size_t i = 0; i < JIT_SAVED_COUNTS; i++) put_u32(out, head[i]);
    for (uint32_t i = 0; i < code->n_pcs; i++) {
        put_u32(out, code->pcs[i].at);
        put_u32(out, code->pcs[i].where);
    }
    put_relocs(out, code);
    bc_buf_bytes(out, code->landings, code->n_landings * sizeof *code->landings);
    bc_buf_bytes(out, code->inlined, code->n_inlined * sizeof *code->inlined);
    for (uint32_t i = 0; i < code->n_relocs; i++)
        if (code->relocs[i].kind == JIT_RELOC_SLOW)
            jit_slow_put(jit_slow_of(module->jit_data, code->relocs[i].target), out);
    bc_buf_bytes(out, code->start, code->size);
}

/* Whether what it takes to move the function has been kept. */
static bool is_whole(const struct jit_code *code) {
    if (code->size && code->n_relocs && !code->relocs) return false;
    for (uint32_t i = 0; i < code->n_relocs; i++)
        if (code->relocs[i].target >= JIT_SAVED_MAX_TARGET) return false;
    return true;
}

/* The code of one function, or what an earlier process left of it. False: there is none. The caller holds the locks. */
static bool put_own(struct bc_buf *body, const struct rt_module *module, uint32_t own,
                    struct jit_saved_entry *entry) {
    const struct jit_module *jit = module->jit_data;
    const struct jit_code *code = jit->codes + own;
    *entry = (struct jit_saved_entry){.own = own, .at = (uint32_t)body->size, .code_bytes = code->size};
    if (jit_saved_waits(jit, own)) return jit_saved_copy(module, own, body, entry);
    if (!jit_is_ready(jit, own) || !is_whole(code) || (!code->size && jit_saved_is_broken(jit, own)))
        return false;
    put_function(body, module, code);
    entry->n_bytes = (uint32_t)(body->size - entry->at);
    return true;
}

/* The caller holds the locks. */
static void put_functions(struct bc_buf *head, struct bc_buf *body, const struct rt_module *module) {
    size_t sizes_at = head->size;
    uint32_t n = 0;
    put_u32(head, 0);
    put_u32(head, 0);
    for (uint32_t i = 0; i < jit_n_own(module) && !head->failed && !body->failed; i++) {
        struct jit_saved_entry entry;
        if (!put_own(body, module, i, &entry)) continue;
        bc_buf_bytes(head, &entry, sizeof entry);
        head->failed |= body->size > UINT32_MAX;
        n++;
    }
    const uint32_t sizes[] = {(uint32_t)body->size, n};
    if (!head->failed) memcpy(head->data + sizes_at, sizes, sizeof sizes);
}

enum atoll_status jit_save(const struct rt_module *module, struct bc_buf *head, struct bc_buf *body,
                           struct atoll_error *err) {
    struct jit_module *jit = module->jit_data;
    const struct jit_engine *engine = module->engine->jit_data;
    uint32_t words[JIT_SAVED_WORDS];
    if (!jit || !jit->laid_out || !module->engine->config.keep_code)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "there is no code to save");
    if (!jit_identity(head))
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "this build has no id");
    jit_saved_words(module, words);
    for (unsigned i = 0; i < JIT_SAVED_WORDS; i++) put_u32(head, words[i]);
    pthread_mutex_lock(&jit->lock);
    jit_hot_lock(engine);
    put_functions(head, body, module);
    jit_hot_unlock(engine);
    pthread_mutex_unlock(&jit->lock);
    if (head->failed || body->failed) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return ATOLL_OK;
}
