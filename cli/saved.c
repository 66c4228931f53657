/* cli/saved.c: files of compiled code: how they are laid out, sealed and used. */
#include <blake2.h>
#include <stdio.h>
#include <string.h>
#include "cli/saved.h"
#include "jit/jit.h"

#define HEAD_BYTES  88
#define SEAL_AT     56
#define WORTH_WHILE 0.002 /* seconds of compilation that a file saves */

static const uint8_t magic[8] = {0x7F, 'a', 't', 'o', 'l', 'l', 'c', 1};

bool saved_begins(const uint8_t *head) { return memcmp(head, magic, CLI_FILE_HEAD) == 0; }

void saved_hash(const uint8_t *bytes, size_t n_bytes, uint8_t out[SAVED_HASH_BYTES]) {
    blake2b(out, bytes, NULL, SAVED_HASH_BYTES, n_bytes, 0);
}

/* ---- the layout ---- */

static uint64_t read_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

bool saved_parse(const uint8_t *bytes, size_t n_bytes, struct saved *out) {
    if (n_bytes < HEAD_BYTES || memcmp(bytes, magic, sizeof magic)) return false;
    uint64_t program = read_u64(bytes + 8), code = read_u64(bytes + 16), room = n_bytes - HEAD_BYTES;
    if (program > room || code != room - program) return false;
    *out = (struct saved){.program = bytes + HEAD_BYTES,
                          .code = bytes + HEAD_BYTES + program,
                          .program_bytes = program,
                          .code_bytes = code};
    memcpy(out->hash, bytes + 24, SAVED_HASH_BYTES);
    return true;
}

static void seal(const uint8_t *bytes, size_t n_bytes, const uint8_t *key, uint8_t out[SAVED_HASH_BYTES]) {
    blake2b_state state;
    blake2b_init_key(&state, SAVED_HASH_BYTES, key, SAVED_HASH_BYTES);
    blake2b_update(&state, bytes, SEAL_AT);
    blake2b_update(&state, bytes + HEAD_BYTES, n_bytes - HEAD_BYTES);
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
    bc_buf_bytes(out, hash, SAVED_HASH_BYTES);
    bc_buf_bytes(out, empty, sizeof empty);
    if (parts->program_bytes) bc_buf_bytes(out, parts->program, parts->program_bytes);
    bc_buf_bytes(out, parts->code, parts->code_bytes);
    if (!out->failed) seal(out->data, out->size, key, out->data + SEAL_AT);
}

/* ---- a run ---- */

/* Of the program, the build, the CPU and what changes the meaning of code. */
static bool name_entry(struct saved_run *s, const struct rt_module *module) {
    const struct rt_config *config = &module->engine->config;
    uint8_t hash[SAVED_HASH_BYTES];
    struct bc_buf what;
    bc_buf_init(&what, &atoll_default_alloc);
    saved_hash(module->bc->bytes, module->bc->n_bytes, s->hash);
    bc_buf_bytes(&what, s->hash, sizeof s->hash);
    bool known = jit_identity(&what);
    bc_buf_u8(&what, config->relaxed_deterministic);
    if (known && !what.failed) saved_hash(what.data, what.size, hash);
    for (unsigned i = 0; known && i < SAVED_HASH_BYTES; i++)
        snprintf(s->name + 2 * (size_t)i, 3, "%02x", hash[i]);
    known = known && !what.failed;
    bc_buf_fini(&what);
    return known;
}

enum atoll_status saved_restore(struct saved_run *s, struct rt_module *module, const struct saved *sealed,
                                struct atoll_error *err) {
    struct cli_file file = {0};
    struct saved entry;
    if (sealed) return jit_restore(module, sealed->code, sealed->code_bytes, err);
    if (!s->has_cache) return ATOLL_OK;
    s->has_cache = name_entry(s, module);
    if (!s->has_cache || !cache_read(&s->cache, s->name, &file)) return ATOLL_OK;
    enum atoll_status status = ATOLL_OK;
    if (saved_parse(file.bytes, file.size, &entry) && !memcmp(entry.hash, s->hash, sizeof s->hash) &&
        saved_is_sealed(file.bytes, file.size, s->cache.key))
        status = jit_restore(module, entry.code, entry.code_bytes, err);
    else
        cache_remove(&s->cache, s->name); /* it will be made again */
    cli_file_close(&file);
    return status;
}

void saved_keep(const struct saved_run *s, const struct rt_module *module) {
    struct jit_stats stats;
    jit_module_stats(module, &stats);
    if (!s->has_cache || !s->name[0] || stats.n_compiled <= stats.n_restored || stats.seconds < WORTH_WHILE)
        return;
    struct bc_buf code, file;
    bc_buf_init(&code, &atoll_default_alloc);
    bc_buf_init(&file, &atoll_default_alloc);
    if (!jit_save(module, &code, NULL)) {
        struct saved parts = {.code = code.data, .code_bytes = code.size};
        saved_write(&file, s->cache.key, s->hash, &parts);
        if (!file.failed) cache_write(&s->cache, s->name, file.data, file.size);
    }
    bc_buf_fini(&file);
    bc_buf_fini(&code);
}
