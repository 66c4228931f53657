/* cli/saved.h: what runs leave for later ones: the files of `atoll compile`, and the cache of `atoll run`. */
#ifndef ATOLL_CLI_SAVED_H
#define ATOLL_CLI_SAVED_H

#include "cli/cli.h"
#include "runtime/runtime.h"

/* ---- cache.c: a folder that nobody else may write ---- */

enum { SAVED_HASH_BYTES = 32 };
struct cache {
    int folder;
    uint8_t key[SAVED_HASH_BYTES]; /* of this user on this machine */
};
/* The folder ($XDG_CACHE_HOME/atoll or ~/.cache/atoll) and its key, made where they are not there. False: there can be
 * none, or somebody else may write it; `why` (may be NULL) says so. */
bool cache_open(struct cache *cache, const char **why);
void cache_close(struct cache *cache);
/* Reads an entry; false = there is none that may be trusted. */
bool cache_read(const struct cache *cache, const char *name, struct cli_file *out);
/* Writes an entry, whole or not at all, and makes room by removing those unused for longest. */
void cache_write(const struct cache *cache, const char *name, const void *bytes, size_t n_bytes);
void cache_remove(const struct cache *cache, const char *name);

/* ---- saved.c: a file of compiled code ---- */

/*   magic (8) | bytes of the program (8) | bytes of code (8) | features (8) | hash (32) | seal (32) | program | code
 *
 * The seal is a keyed hash of all the rest: who cannot read the key cannot make a file whose code would run. A file of
 * `atoll compile` holds its program, and the hash is of that; the program is valid with those features, or 0. An entry
 * of the cache holds none; its hash is of the program and all that its validity and its code depend on, and names it. There
 * may be no code in it: that there is an entry says that the program is valid. */
struct saved {
    const uint8_t *program;
    uint8_t *code; /* jit_restore writes there */
    size_t program_bytes, code_bytes;
    bc_features features;
    uint8_t hash[SAVED_HASH_BYTES];
};
/* Whether a file begins as one (CLI_FILE_HEAD bytes). */
bool saved_begins(const uint8_t *head);
/* Finds the parts. False: it is broken. Their seal has not been looked at. */
bool saved_parse(uint8_t *bytes, size_t n_bytes, struct saved *out);
/* Whether the program in a file that is sealed needs no validation with these features: this build has validated it with
 * the same. */
bool saved_is_valid(const struct saved *s, bc_features features);
/* Whether it was sealed with the key. */
bool saved_is_sealed(const uint8_t *bytes, size_t n_bytes, const uint8_t key[SAVED_HASH_BYTES]);
void saved_write(struct bc_buf *out, const uint8_t key[SAVED_HASH_BYTES],
                 const uint8_t hash[SAVED_HASH_BYTES], const struct saved *parts);
/* hash.c: BLAKE2b of 256 bits; of more than a megabyte a tree, on as many threads as there are processors. */
void saved_hash(const uint8_t *bytes, size_t n_bytes, uint8_t out[SAVED_HASH_BYTES]);

/* A program that is to run, and what an earlier run left of it. */
struct saved_run {
    struct cache cache;
    bool has_cache;                      /* open */
    uint8_t hash[SAVED_HASH_BYTES];      /* of the entry */
    char name[2 * SAVED_HASH_BYTES + 1]; /* the same; "" = there is none to read or to write */
    bool is_valid; /* the entry is there: a run with the same features validated the program */
    struct cli_file file;
    struct saved entry; /* points into it */
};
/* Programs from here on are worth an entry that says that they are valid, and no more. */
#define SAVED_LARGE_PROGRAM (UINT64_C(1) << 20)
/* Looks for the entry of a program in the cache, which is open. One that was changed, cut, or made elsewhere is removed. */
void saved_find(struct saved_run *s, const uint8_t *program, size_t n_bytes, const struct rt_config *config);
/* Gives the module, which has no instance yet, the code there is of it in the entry. */
enum atoll_status saved_restore(const struct saved_run *s, struct rt_module *module, struct atoll_error *err);
void saved_forget(struct saved_run *s); /* the entry's bytes: nobody needs them any more */
/* Keeps that the module is valid, and what code was compiled in this run, when that took long enough. */
void saved_keep(const struct saved_run *s, const struct rt_module *module);

#endif
