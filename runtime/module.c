/* runtime/module.c: a validated module with what execution adds to it: canonical types, and, made on demand
 * under the module's lock, function names and the index of its exports. */
#include <string.h>
#include "runtime/internal.h"
#include "bytecode/stress.h"

struct rt_export_index { /* open addressing; entries are export index + 1 */
    uint32_t n_slots;    /* power of two */
    uint32_t slots[];
};
#define INDEX_FROM ATOLL_LIMIT(16, 1) /* exports; fewer are found faster by looking at each */

static size_t index_bytes(uint32_t n_slots) {
    return sizeof(struct rt_export_index) + n_slots * sizeof(uint32_t);
}

static void free_source_map(struct bc_source_map *map, const struct atoll_alloc *alloc) {
    if (!map) return;
    bc_source_map_fini(map, alloc);
    atoll_free(alloc, map, sizeof *map);
}

static void free_module(struct rt_module *module) {
    struct rt_engine *engine = module->engine;
    const struct atoll_alloc *alloc = engine->alloc;
    if (module->tier_data || module->jit_data) engine->config.tier->module_free(module);
    rt_image_free(module->image, alloc);
    if (module->exports) atoll_free(alloc, module->exports, index_bytes(module->exports->n_slots));
    if (module->label) atoll_free(alloc, module->label, strlen(module->label) + 1);
    atoll_free(alloc, module->types, module->bc->n_types * sizeof *module->types);
    atoll_free(alloc, module->first_funcs, module->bc->n_types * sizeof *module->first_funcs);
    free_source_map(module->source_map, alloc);
    bc_module_free(module->bc);
    pthread_mutex_destroy(&module->lock);
    atoll_free(alloc, module, sizeof *module);
    rt_engine_unref(engine);
}

static char *copy_label(const struct atoll_alloc *alloc, const char *label) {
    size_t size = strlen(label) + 1;
    char *copy = atoll_new(alloc, size, 1);
    return copy ? memcpy(copy, label, size) : NULL;
}

/* same[i] <- the first type index of the same type. `slots`: open addressing, all zero; entries are index + 1. */
static void find_same_types(const struct rt_module *module, uint32_t *same, uint32_t *slots,
                            uint32_t n_slots) {
    for (uint32_t i = 0; i < module->bc->n_types; i++) {
        uint64_t hash = (uintptr_t)module->types[i] * UINT64_C(0x9E3779B97F4A7C15);
        uint32_t at = (uint32_t)(hash >> 32) & (n_slots - 1);
        while (slots[at] && module->types[slots[at] - 1] != module->types[i]) at = (at + 1) & (n_slots - 1);
        if (!slots[at]) slots[at] = i + 1;
        same[i] = slots[at] - 1;
    }
}

/* False: out of memory. */
static bool find_first_funcs(struct rt_module *module) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    const struct bc_module *bc = module->bc;
    uint32_t n = bc->n_types, n_own = bc->n_funcs - bc->n_imported_funcs, n_slots = 4;
    while (n_slots < 2 * (uint64_t)n) n_slots *= 2;
    uint32_t *first = atoll_new(alloc, n, sizeof *first), *same = atoll_new(alloc, n, sizeof *same),
             *slots = atoll_new(alloc, n_slots, sizeof *slots);
    if (first && same && slots) {
        find_same_types(module, same, slots, n_slots);
        memset(first, 0xFF, n * sizeof *first);
        for (uint32_t i = n_own; i-- > 0;) first[same[bc->funcs[bc->n_imported_funcs + i].type]] = i;
        for (uint32_t i = 0; i < n; i++) first[i] = first[same[i]];
        module->first_funcs = first;
        first = NULL;
    }
    atoll_free(alloc, first, n * sizeof *first);
    atoll_free(alloc, same, n * sizeof *same);
    atoll_free(alloc, slots, n_slots * sizeof *slots);
    return module->first_funcs;
}

enum atoll_status rt_module_new(struct rt_engine *engine, struct bc_module *bc, struct bc_source_map *map,
                                const char *label, struct rt_module **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = engine->alloc;
    struct rt_module *module = bc->validated ? atoll_new(alloc, 1, sizeof *module) : NULL;
    if (!module) {
        bool validated = bc->validated;
        free_source_map(map, alloc);
        bc_module_free(bc);
        if (!validated) return atoll_fail(err, ATOLL_E_INVALID, ATOLL_NO_OFFSET, "module is not validated");
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    rt_engine_ref(engine);
    *module = (struct rt_module){.engine = engine, .refs = 1, .bc = bc, .source_map = map};
    pthread_mutex_init(&module->lock, NULL);
    module->label = copy_label(alloc, label ? label : "");
    module->types = atoll_new(alloc, bc->n_types, sizeof *module->types);
    if (!module->label || !module->types || rt_types_of_module(engine->types, module) ||
        !find_first_funcs(module)) {
        free_module(module);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    *out = module;
    return ATOLL_OK;
}

void rt_module_ref(struct rt_module *module) { atomic_fetch_add(&module->refs, 1); }

void rt_module_unref(struct rt_module *module) {
    if (module && atomic_fetch_sub(&module->refs, 1) == 1) free_module(module);
}

/* ---- from bytes ---- */

/* Assembles text into *bytes and a source map of its own. */
static enum atoll_status assemble(const struct bc_config *config, const uint8_t *text, size_t n_bytes,
                                  struct bc_buf *bytes, struct bc_source_map **out_map,
                                  struct atoll_error *err) {
    struct bc_source_map *map = atoll_new(config->alloc, 1, sizeof *map);
    if (!map) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *out_map = map;
    enum atoll_status status = bc_text_assemble((const char *)text, n_bytes, config, bytes, map, err);
    if (!status && bytes->failed) status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    return status;
}

/* Decodes and validates. `buf` holds the bytes when the module is to own them (it is emptied then). */
static enum atoll_status decode(const struct bc_config *config, const uint8_t *bytes, size_t n_bytes,
                                struct bc_buf *buf, struct bc_module **out, struct atoll_error *err) {
    enum atoll_status status = bc_module_decode(bytes, n_bytes, config, out, err);
    if (status) return status;
    if (buf->data) {
        bc_module_own_bytes(*out, buf->capacity);
        bc_buf_init(buf, config->alloc);
    }
    status = bc_module_validate(*out, config, err);
    if (status) {
        bc_module_free(*out);
        *out = NULL;
    }
    return status;
}

static enum atoll_status load(struct rt_engine *engine, const uint8_t *bytes, size_t n_bytes, bool borrow,
                              bool bodies_are_valid, const char *label, struct rt_module **out,
                              struct atoll_error *err) {
    struct bc_config config = {.alloc = engine->alloc,
                               .features = engine->config.features,
                               .stop = engine->config.stop,
                               .bodies_are_valid = bodies_are_valid};
    bool binary = bc_is_binary(bytes, n_bytes);
    struct bc_source_map *map = NULL;
    struct bc_module *bc = NULL;
    struct bc_buf buf;
    bc_buf_init(&buf, engine->alloc);
    enum atoll_status status = ATOLL_OK;
    if (!binary) {
        status = assemble(&config, bytes, n_bytes, &buf, &map, err);
    } else if (!borrow) {
        bc_buf_bytes(&buf, bytes, n_bytes);
        if (buf.failed) status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    if (!status) {
        bool owned = buf.data != NULL;
        status = decode(&config, owned ? buf.data : bytes, owned ? buf.size : n_bytes, &buf, &bc, err);
        if (status) bc_source_map_place(map, err);
    }
    bc_buf_fini(&buf);
    if (!status) return rt_module_new(engine, bc, map, label, out, err);
    free_source_map(map, engine->alloc);
    return status;
}

enum atoll_status rt_module_load(struct rt_engine *engine, const uint8_t *bytes, size_t n_bytes, bool borrow,
                                 const char *label, struct rt_module **out, struct atoll_error *err) {
    return load(engine, bytes, n_bytes, borrow, false, label, out, err);
}

enum atoll_status rt_module_load_again(struct rt_engine *engine, const uint8_t *bytes, size_t n_bytes,
                                       bool bodies_are_valid, const char *label, struct rt_module **out,
                                       struct atoll_error *err) {
    return load(engine, bytes, n_bytes, true, bodies_are_valid, label, out, err);
}

struct bc_debug *rt_module_debug(const struct rt_module *module) {
    return module->source_map ? NULL : bc_debug_new(module->bc, module->engine->alloc);
}

/* ---- names ---- */

static struct bc_name export_naming(const struct bc_module *bc, uint32_t func) {
    for (uint32_t i = 0; i < bc->n_exports; i++)
        if (bc->exports[i].kind == BC_EXTERN_FUNC && bc->exports[i].index == func) return bc->exports[i].name;
    return (struct bc_name){NULL, 0};
}

struct bc_name rt_module_name(struct rt_module *module, enum bc_name_space space, uint32_t index) {
    pthread_mutex_lock(&module->lock);
    if (!module->names_loaded) {
        module->names_loaded = true;
        bc_names_load(module->bc); /* a failure only means fewer names */
    }
    struct bc_name name = bc_name_of(module->bc, space, index);
    pthread_mutex_unlock(&module->lock);
    return name;
}

struct bc_name rt_module_func_name(struct rt_module *module, uint32_t func) {
    struct bc_name name = rt_module_name(module, BC_NAMES_FUNC, func);
    return name.size ? name : export_naming(module->bc, func);
}

static bool name_is(const struct bc_name *name, const char *bytes, size_t size) {
    return name->size == size && (!size || !memcmp(name->bytes, bytes, size));
}

static uint64_t hash_name(const char *bytes, size_t size, uint64_t seed) {
    uint64_t h = seed ^ size;
    for (size_t i = 0; i < size; i++) {
        unsigned __int128 product = (unsigned __int128)(h ^ (uint8_t)bytes[i]) * UINT64_C(0x9FB21C651E98DF25);
        h = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return h;
}

static uint64_t seed_of(const struct rt_module *module) { return (uintptr_t)module * 0x9E3779B97F4A7C15; }

/* Export names are unique in a valid module, so nothing is compared here. */
static void make_export_index(struct rt_module *module) {
    const struct bc_module *bc = module->bc;
    uint32_t n_slots = 32;
    while (n_slots < 2 * bc->n_exports) n_slots *= 2;
    struct rt_export_index *index = atoll_new(module->engine->alloc, 1, index_bytes(n_slots));
    if (!index) return;
    index->n_slots = n_slots;
    for (uint32_t i = 0; i < bc->n_exports; i++) {
        const struct bc_name *name = &bc->exports[i].name;
        uint64_t at = hash_name(name->bytes, name->size, seed_of(module));
        while (index->slots[at & (n_slots - 1)]) at++;
        index->slots[at & (n_slots - 1)] = i + 1;
    }
    module->exports = index;
}

const struct bc_export *rt_module_export(struct rt_module *module, const char *name, size_t size) {
    const struct bc_module *bc = module->bc;
    const struct rt_export_index *index = NULL;
    if (bc->n_exports >= INDEX_FROM) {
        pthread_mutex_lock(&module->lock);
        if (!module->exports) make_export_index(module);
        index = module->exports;
        pthread_mutex_unlock(&module->lock);
    }
    if (!index) {
        for (uint32_t i = 0; i < bc->n_exports; i++)
            if (name_is(&bc->exports[i].name, name, size)) return bc->exports + i;
        return NULL;
    }
    for (uint64_t at = hash_name(name, size, seed_of(module));; at++) {
        uint32_t entry = index->slots[at & (index->n_slots - 1)];
        if (!entry) return NULL;
        if (name_is(&bc->exports[entry - 1].name, name, size)) return bc->exports + entry - 1;
    }
}
