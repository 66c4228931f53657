/* cli/saved.c: files of compiled code: how they are laid out, sealed and used. */
#include <blake2.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/saved.h"
#include "jit/jit.h"

#define PROGRAM_AT     8
#define INDEX_AT       16
#define FEATURES_AT    24
#define HASH_AT        32
#define SEAL_AT        64
#define BODY_AT        96
#define HEAD_BYTES     104
#define PIECE_BYTES    UINT64_C(4096)
#define LITTLE_BODY    (UINT64_C(256) << 10) /* is checked before anything runs */
#define WORTH_WHILE    4096                  /* bytes of wasm that a later run need not compile: some 2 ms */
#define MAX_CODE_BYTES (UINT64_C(192) << 20) /* in an entry */

static const uint8_t magic[8] = {0x7F, 'a', 't', 'o', 'l', 'l', 'c', 4};

bool saved_begins(const uint8_t *head) { return memcmp(head, magic, CLI_FILE_HEAD) == 0; }

/* ---- the layout ---- */

static uint64_t read_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t pieces_of(uint64_t body_bytes) {
    return body_bytes / PIECE_BYTES + (body_bytes % PIECE_BYTES != 0);
}

uint64_t saved_wanted(const uint8_t *bytes, size_t n) {
    if (n < HEAD_BYTES || memcmp(bytes, magic, sizeof magic) || read_u64(bytes + BODY_AT) <= LITTLE_BODY)
        return UINT64_MAX;
    uint64_t program = read_u64(bytes + PROGRAM_AT), index = read_u64(bytes + INDEX_AT), all;
    bool too_large =
        __builtin_add_overflow(program, index, &all) || __builtin_add_overflow(all, HEAD_BYTES, &all);
    return too_large ? UINT64_MAX : all;
}

static bool size_of(int fd, uint64_t *out) {
    struct stat s;
    if (fstat(fd, &s) || s.st_size < 0) return false;
    *out = (uint64_t)s.st_size;
    return true;
}

bool saved_parse(const uint8_t *bytes, size_t n_bytes, int fd, struct saved *out) {
    uint64_t all = n_bytes;
    if (n_bytes < HEAD_BYTES || memcmp(bytes, magic, sizeof magic) || (fd >= 0 && !size_of(fd, &all)))
        return false;
    uint64_t program = read_u64(bytes + PROGRAM_AT), index = read_u64(bytes + INDEX_AT),
             body = read_u64(bytes + BODY_AT), room = n_bytes - HEAD_BYTES;
    if (program > room || index > room - program) return false;
    uint64_t sealed = HEAD_BYTES + program + index, digests = pieces_of(body) * SAVED_HASH_BYTES;
    if (all < sealed || body != all - sealed || digests > index || (fd < 0 && n_bytes != all)) return false;
    *out = (struct saved){.bytes = bytes,
                          .program = bytes + HEAD_BYTES,
                          .program_bytes = program,
                          .head = bytes + HEAD_BYTES + program,
                          .head_bytes = index - digests,
                          .sealed_bytes = sealed,
                          .features = read_u64(bytes + FEATURES_AT),
                          .body = {.bytes = fd < 0 ? bytes + sealed : NULL,
                                   .fd = fd,
                                   .file_at = sealed,
                                   .n_bytes = body,
                                   .digests = bytes + sealed - digests}};
    memcpy(out->hash, bytes + HASH_AT, SAVED_HASH_BYTES);
    return true;
}

void saved_fini(struct saved *s) {
    free(s->body.piece);
    *s = (struct saved){0};
}

bool saved_is_valid(const struct saved *s, bc_features features) {
    return features && s->features == features && jit_is_of_this_build(s->head, s->head_bytes);
}

/* ---- the body ---- */

static bool fill_piece(struct saved_body *b, uint64_t at, size_t n) {
    if (b->bytes) {
        memcpy(b->piece, b->bytes + at, n);
        return true;
    }
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(b->fd, b->piece + done, n - done, (off_t)(b->file_at + at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

/* What has been checked is a copy of ours: the file may change at any time. */
static bool load_piece(struct saved_body *b, uint64_t number) {
    uint8_t digest[SAVED_HASH_BYTES];
    uint64_t at = number * PIECE_BYTES, left = b->n_bytes - at;
    size_t n = (size_t)(left < PIECE_BYTES ? left : PIECE_BYTES);
    if (b->piece && b->piece_number == number) return true;
    if (!b->piece && !(b->piece = malloc(PIECE_BYTES))) return false;
    b->piece_number = UINT64_MAX;
    if (!fill_piece(b, at, n)) return false;
    blake2b(digest, b->piece, NULL, SAVED_HASH_BYTES, n, 0);
    if (memcmp(digest, b->digests + number * SAVED_HASH_BYTES, SAVED_HASH_BYTES)) return false;
    b->piece_number = number;
    return true;
}

/* Of struct jit_saved. */
static bool read_body(void *context, uint64_t at, size_t n, uint8_t *out) {
    struct saved_body *b = context;
    bool ok = n <= b->n_bytes && at <= b->n_bytes - n;
    while (ok && n) {
        size_t skipped = (size_t)(at % PIECE_BYTES), here = (size_t)PIECE_BYTES - skipped;
        if (here > n) here = n;
        ok = load_piece(b, at / PIECE_BYTES);
        if (ok) memcpy(out, b->piece + skipped, here);
        out += here;
        at += here;
        n -= here;
    }
    if (!ok && !b->broken && b->told_as)
        cli_message("%s: some of its machine code is not used: it was changed", cli_file_name(b->told_as));
    b->broken |= !ok;
    return ok;
}

struct jit_saved saved_code(struct saved *s) {
    return (struct jit_saved){s->head, s->head_bytes, read_body, &s->body};
}

static bool is_whole(struct saved_body *b) {
    for (uint64_t i = 0; i < pieces_of(b->n_bytes); i++)
        if (!load_piece(b, i)) return false;
    return true;
}

/* ---- the seal ---- */

static void seal(const uint8_t *bytes, size_t n_bytes, const uint8_t *key, uint8_t out[SAVED_HASH_BYTES]) {
    uint8_t rest[SAVED_HASH_BYTES];
    blake2b_state state;
    saved_hash(bytes + BODY_AT, n_bytes - BODY_AT, rest);
    blake2b_init_key(&state, SAVED_HASH_BYTES, key, SAVED_HASH_BYTES);
    blake2b_update(&state, bytes, SEAL_AT);
    blake2b_update(&state, rest, sizeof rest);
    blake2b_final(&state, out, SAVED_HASH_BYTES);
}

bool saved_is_sealed(struct saved *s, const uint8_t key[SAVED_HASH_BYTES]) {
    uint8_t own[SAVED_HASH_BYTES], different = 0;
    seal(s->bytes, s->sealed_bytes, key, own);
    for (unsigned i = 0; i < SAVED_HASH_BYTES; i++)
        different |= own[i] ^ s->bytes[SEAL_AT + i]; /* in constant time */
    return !different && (s->body.n_bytes > LITTLE_BODY || is_whole(&s->body));
}

static void put_digests(struct bc_buf *out, const struct bc_buf *body) {
    for (size_t at = 0; at < body->size; at += PIECE_BYTES) {
        uint8_t digest[SAVED_HASH_BYTES];
        size_t left = body->size - at;
        blake2b(digest, body->data + at, NULL, SAVED_HASH_BYTES, left < PIECE_BYTES ? left : PIECE_BYTES, 0);
        bc_buf_bytes(out, digest, sizeof digest);
    }
}

void saved_write(struct bc_buf *out, const uint8_t key[SAVED_HASH_BYTES],
                 const uint8_t hash[SAVED_HASH_BYTES], const struct bc_module *program, bc_features features,
                 const struct bc_buf *head, const struct bc_buf *body) {
    uint8_t empty[SAVED_HASH_BYTES] = {0};
    size_t program_bytes = program ? program->n_bytes : 0;
    bc_buf_bytes(out, magic, sizeof magic);
    bc_buf_fixed(out, program_bytes, 8);
    bc_buf_fixed(out, head->size + pieces_of(body->size) * SAVED_HASH_BYTES, 8);
    bc_buf_fixed(out, features, 8);
    bc_buf_bytes(out, hash, SAVED_HASH_BYTES);
    bc_buf_bytes(out, empty, sizeof empty);
    bc_buf_fixed(out, body->size, 8);
    if (program_bytes) bc_buf_bytes(out, program->bytes, program_bytes);
    if (head->size) bc_buf_bytes(out, head->data, head->size);
    put_digests(out, body);
    if (!out->failed) seal(out->data, out->size, key, out->data + SEAL_AT);
    if (body->size) bc_buf_bytes(out, body->data, body->size);
}

/* ---- a run ---- */

/* Of the program, the features it may use, the build, the CPU and what changes the meaning of code. */
static bool name_entry(struct saved_run *s, const uint8_t program[SAVED_HASH_BYTES],
                       const struct rt_config *config, bool fuel) {
    struct bc_buf what;
    bc_buf_init(&what, &atoll_default_alloc);
    bool known = jit_identity(&what);
    bc_buf_bytes(&what, program, SAVED_HASH_BYTES);
    bc_buf_fixed(&what, config->features, 8);
    bc_buf_u8(&what, config->relaxed_deterministic);
    bc_buf_u8(&what, fuel);
    known = known && !what.failed;
    if (known) saved_hash(what.data, what.size, s->hash);
    for (unsigned i = 0; known && i < SAVED_HASH_BYTES; i++)
        snprintf(s->name + 2 * (size_t)i, 3, "%02x", s->hash[i]);
    bc_buf_fini(&what);
    return known;
}

static bool read_entry(struct saved_run *s) {
    if (!cache_read(&s->cache, s->name, &s->file, &s->fd)) return false;
    if (saved_parse(s->file.bytes, s->file.size, s->fd, &s->entry) && !s->entry.program_bytes &&
        !memcmp(s->entry.hash, s->hash, sizeof s->hash) && saved_is_sealed(&s->entry, s->cache.key))
        return true;
    cache_remove(&s->cache, s->name); /* it will be made again */
    saved_forget(s);
    return false;
}

void saved_find(struct saved_run *s, const uint8_t *program, size_t n_bytes, const struct rt_config *config) {
    uint8_t hash[SAVED_HASH_BYTES];
    saved_hash(program, n_bytes, hash);
    if (!name_entry(s, hash, config, config->fuel)) return;
    s->is_valid = read_entry(s);
    if (s->is_valid || !config->fuel) return;
    /* that the program is valid is known from runs without fuel, too */
    struct saved_run other = {.cache = s->cache, .fd = -1};
    s->is_valid = name_entry(&other, hash, config, false) && read_entry(&other);
    saved_forget(&other);
}

enum atoll_status saved_restore(struct saved_run *s, struct rt_module *module, struct atoll_error *err) {
    const struct jit_saved code = saved_code(&s->entry);
    if (!s->is_valid || !s->entry.head_bytes) return ATOLL_OK;
    return jit_restore(module, &code, err);
}

void saved_forget(struct saved_run *s) {
    saved_fini(&s->entry);
    cli_file_close(&s->file);
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

static void empty(struct bc_buf *buf) {
    bc_buf_fini(buf);
    bc_buf_init(buf, &atoll_default_alloc);
}

/* Nothing where there is none, or where it would be too much to keep. */
static void gather_code(const struct rt_module *module, uint32_t n_compiled, struct bc_buf *head,
                        struct bc_buf *body) {
    if (n_compiled && !jit_save(module, head, body, NULL) && body->size <= MAX_CODE_BYTES) return;
    empty(head);
    empty(body);
}

void saved_keep(const struct saved_run *s, const struct rt_module *module) {
    struct jit_stats stats;
    jit_module_stats(module, &stats);
    bool compiled =
        stats.n_compiled > stats.n_restored && stats.wasm_bytes - stats.restored_wasm_bytes >= WORTH_WHILE;
    bool validated = !s->is_valid && module->bc->n_bytes >= SAVED_LARGE_PROGRAM;
    bool broken = s->entry.body.broken;
    if (!s->has_cache || !s->name[0] || (!compiled && !validated && !broken)) return;
    struct bc_buf head, body, file;
    bc_buf_init(&head, &atoll_default_alloc);
    bc_buf_init(&body, &atoll_default_alloc);
    bc_buf_init(&file, &atoll_default_alloc);
    gather_code(module, stats.n_compiled, &head, &body);
    if (body.size || validated || broken) {
        saved_write(&file, s->cache.key, s->hash, NULL, 0, &head, &body);
        if (!file.failed) cache_write(&s->cache, s->name, file.data, file.size);
    }
    bc_buf_fini(&file);
    bc_buf_fini(&body);
    bc_buf_fini(&head);
}
