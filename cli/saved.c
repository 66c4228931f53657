/* cli/saved.c: files of compiled code: how they are laid out, sealed and used. */
#include <blake2.h>
#include <stdio.h>
#include <string.h>
#include "cli/saved.h"
#include "jit/jit.h"

#define HEAD_BYTES     96
#define FEATURES_AT    24
#define HASH_AT        32
#define SEAL_AT        64
#define WORTH_WHILE    4096                  /* bytes of wasm that a later run need not compile: some 2 ms */
#define MAX_CODE_BYTES (UINT64_C(192) << 20) /* in an entry */

static const uint8_t magic[8] = {0x7F, 'a', 't', 'o', 'l', 'l', 'c', 3};

bool saved_begins(const uint8_t *head) { return memcmp(head, magic, CLI_FILE_HEAD) == 0; }

/* ---- the layout ---- */

static uint64_t read_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

bool saved_parse(uint8_t *bytes, size_t n_bytes, struct saved *out) {
    if (n_bytes < HEAD_BYTES || memcmp(bytes, magic, sizeof magic)) return false;
    uint64_t program = read_u64(bytes + 8), code = read_u64(bytes + 16), room = n_bytes - HEAD_BYTES;
    if (program > room || code != room - program) return false;
    *out = (struct saved){.program = bytes + HEAD_BYTES,
                          .code = bytes + HEAD_BYTES + program,
                          .program_bytes = program,
                          .code_bytes = code,
                          .features = read_u64(bytes + FEATURES_AT)};
    memcpy(out->hash, bytes + HASH_AT, SAVED_HASH_BYTES);
    return true;
}

bool saved_is_valid(const struct saved *s, bc_features features) {
    return features && s->features == features && jit_is_of_this_build(s->code, s->code_bytes);
}

static void seal(const uint8_t *bytes, size_t n_bytes, const uint8_t *key, uint8_t out[SAVED_HASH_BYTES]) {
    uint8_t rest[SAVED_HASH_BYTES];
    blake2b_state state;
    saved_hash(bytes + HEAD_BYTES, n_bytes - HEAD_BYTES, rest);
    blake2b_init_key(&state, SAVED_HASH_BYTES, key, SAVED_HASH_BYTES);
    blake2b_update(&state, bytes, SEAL_AT);
    blake2b_update(&state, rest, sizeof rest);
    blake2b_final(&state, out, SAVED_HASH_BYTES);
}

bool saved_is_sealed(const uint8_t *bytes, size_t n_bytes, const uint8_t key[SAVED_HASH_BYTES]) {
    uint8_t own[SAVED_HASH_BYTES], different = 0;
    if (n_bytes < HEAD_BYTES) return false;
    seal(bytes, n_bytes, key, own);
    for (unsigned i = 0; i < SAVED_HASH_BYTES; i++)
        different |= own[i] ^ bytes[SEAL_AT + i]; /* in constant time */
    return !different;
}

void saved_write(struct bc_buf *out, const uint8_t key[SAVED_HASH_BYTES],
                 const uint8_t hash[SAVED_HASH_BYTES], const struct saved *parts) {
    uint8_t empty[SAVED_HASH_BYTES] = {0};
    bc_buf_bytes(out, magic, sizeof magic);
    bc_buf_fixed(out, parts->program_bytes, 8);
    bc_buf_fixed(out, parts->code_bytes, 8);
    bc_buf_fixed(out, parts->features, 8);
    bc_buf_bytes(out, hash, SAVED_HASH_BYTES);
    bc_buf_bytes(out, empty, sizeof empty);
    if (parts->program_bytes) bc_buf_bytes(out, parts->program, parts->program_bytes);
    if (parts->code_bytes) bc_buf_bytes(out, parts->code, parts->code_bytes);
    if (!out->failed) seal(out->data, out->size, key, out->data + SEAL_AT);
}

/* ---- a run ---- */

/* Of the program, the features it may use, the build, the CPU and what changes the meaning of code. */
static bool name_entry(struct saved_run *s, const uint8_t *program, size_t n_bytes,
                       const struct rt_config *config) {
    uint8_t hash[SAVED_HASH_BYTES];
    struct bc_buf what;
    bc_buf_init(&what, &atoll_default_alloc);
    bool known = jit_identity(&what);
    if (known) saved_hash(program, n_bytes, hash);
    if (known) bc_buf_bytes(&what, hash, sizeof hash);
    bc_buf_fixed(&what, config->features, 8);
    bc_buf_u8(&what, config->relaxed_deterministic);
    known = known && !what.failed;
    if (known) saved_hash(what.data, what.size, s->hash);
    for (unsigned i = 0; known && i < SAVED_HASH_BYTES; i++)
        snprintf(s->name + 2 * (size_t)i, 3, "%02x", s->hash[i]);
    bc_buf_fini(&what);
    return known;
}

void saved_find(struct saved_run *s, const uint8_t *program, size_t n_bytes, const struct rt_config *config) {
    if (!name_entry(s, program, n_bytes, config) || !cache_read(&s->cache, s->name, &s->file)) return;
    s->is_valid = saved_parse(s->file.bytes, s->file.size, &s->entry) && !s->entry.program_bytes &&
                  !memcmp(s->entry.hash, s->hash, sizeof s->hash) &&
                  saved_is_sealed(s->file.bytes, s->file.size, s->cache.key);
    if (s->is_valid) return;
    cache_remove(&s->cache, s->name); /* it will be made again */
    saved_forget(s);
}

enum atoll_status saved_restore(const struct saved_run *s, struct rt_module *module,
                                struct atoll_error *err) {
    if (!s->is_valid || !s->entry.code_bytes) return ATOLL_OK;
    return jit_restore(module, s->entry.code, s->entry.code_bytes, err);
}

void saved_forget(struct saved_run *s) {
    cli_file_close(&s->file);
    s->entry = (struct saved){0};
}

/* Nothing where there is none, or where it would be too much to keep. */
static void gather_code(const struct rt_module *module, uint32_t n_compiled, struct bc_buf *out) {
    if (n_compiled && (jit_save(module, out, NULL) || out->size > MAX_CODE_BYTES)) {
        bc_buf_fini(out);
        bc_buf_init(out, &atoll_default_alloc);
    }
}

void saved_keep(const struct saved_run *s, const struct rt_module *module) {
    struct jit_stats stats;
    jit_module_stats(module, &stats);
    bool compiled =
        stats.n_compiled > stats.n_restored && stats.wasm_bytes - stats.restored_wasm_bytes >= WORTH_WHILE;
    bool validated = !s->is_valid && module->bc->n_bytes >= SAVED_LARGE_PROGRAM;
    if (!s->has_cache || !s->name[0] || (!compiled && !validated)) return;
    struct bc_buf code, file;
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_init(&file, &atoll_default_alloc);
    gather_code(module, stats.n_compiled, &code);
    if (code.size || validated) {
        struct saved parts = {.code = code.data, .code_bytes = code.size};
        saved_write(&file, s->cache.key, s->hash, &parts);
        if (!file.failed) cache_write(&s->cache, s->name, file.data, file.size);
    }
    bc_buf_fini(&file);
    bc_buf_fini(&code);
}
