/* cli/saved.h: what runs leave for later ones: the files of `atoll compile`, and the cache of `atoll run`. */
#ifndef ATOLL_CLI_SAVED_H
#define ATOLL_CLI_SAVED_H

#include "cli/cli.h"
#include "jit/jit.h"
#include "runtime/runtime.h"

/* ---- cache.c: a folder that nobody else may write ---- */

enum { SAVED_HASH_BYTES = 32 };
struct cache {
    int folder;
    uint8_t key[SAVED_HASH_BYTES]; /* of this user on this machine */
};
/* The folder ($XDG_CACHE_HOME/atoll or ~/.cache/atoll) and its key, made where they are not there. False: there
 * can be none, or somebody else may write it; `why` (may be NULL) says so. */
bool cache_open(struct cache *cache, const char **why);
void cache_close(struct cache *cache);
/* Reads an entry, as cli_file_read_part with saved_wanted; false = there is none that may be trusted. */
bool cache_read(const struct cache *cache, const char *name, struct cli_file *out, int *out_fd);
/* Writes an entry, whole or not at all, and makes room by removing those unused for longest. */
void cache_write(const struct cache *cache, const char *name, const void *bytes, size_t n_bytes);
void cache_remove(const struct cache *cache, const char *name);

/* ---- saved.c: a file of compiled code ---- */

/*   magic (8) | bytes of the program (8) | bytes of the index (8) | features (8) | hash (32) | seal (32)
 *   | bytes of the body (8) | program | index: what jit_save gives as head; a digest of each piece of the body | body
 *
 * The seal is a keyed hash of all but the body, whose digests are under it: who cannot read the key cannot make a
 * file whose code would run. So a run needs to read no more of the body than it calls, and checks each piece when
 * it reads it. A file of `atoll compile` holds its program, and the hash is of that; the program is valid with
 * those features, or 0. An entry of the cache holds none; its hash is of the program and all that its validity and
 * its code depend on, and names it. There may be no code in it: that there is an entry says that the program is
 * valid. */

/* Code of which pieces are read when they are wanted; one thread at a time. */
struct saved_body {
    const uint8_t *bytes; /* NULL: behind `fd`, which is borrowed */
    int fd;
    uint64_t file_at, n_bytes;
    const uint8_t *digests; /* a piece's, SAVED_HASH_BYTES each */
    const char *told_as;    /* the file's name, for a message about changes, or NULL */
    bool broken;            /* a piece was not what was sealed */
    uint8_t *piece;         /* owned: the one that was read last, or NULL */
    uint64_t piece_number;
};
struct saved {
    const uint8_t *bytes, *program, *head;
    size_t program_bytes, head_bytes, sealed_bytes; /* head_bytes 0: no code */
    bc_features features;
    uint8_t hash[SAVED_HASH_BYTES];
    struct saved_body body;
};
/* Whether a file begins as one (CLI_FILE_HEAD bytes). */
bool saved_begins(const uint8_t *head);
/* A cli_file_wanted of such a file: little of it whole, more without its body. */
uint64_t saved_wanted(const uint8_t *bytes, size_t n);
/* Finds the parts. `fd`: the file, if not all of it is in `bytes`; else -1. False: it is broken. The seal has not
 * been looked at. What *out owns goes with saved_fini. */
bool saved_parse(const uint8_t *bytes, size_t n_bytes, int fd, struct saved *out);
void saved_fini(struct saved *s);
/* Whether the program in a file that is sealed needs no validation with these features: this build has validated
 * it with the same. */
bool saved_is_valid(const struct saved *s, bc_features features);
/* Whether it was sealed with the key; and a little body is as it was then. */
bool saved_is_sealed(struct saved *s, const uint8_t key[SAVED_HASH_BYTES]);
/* What jit_restore wants, of one that is sealed. */
struct jit_saved saved_code(struct saved *s);
void saved_write(struct bc_buf *out, const uint8_t key[SAVED_HASH_BYTES],
                 const uint8_t hash[SAVED_HASH_BYTES], const struct bc_module *program, bc_features features,
                 const struct bc_buf *head, const struct bc_buf *body);
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
    int fd;             /* of the rest of it, or -1 */
    struct saved entry; /* points into it */
};
/* Programs from here on are worth an entry that says that they are valid, and no more. */
#define SAVED_LARGE_PROGRAM (UINT64_C(1) << 20)
/* Looks for the entry of a program in the cache, which is open. One that was changed, cut, or made elsewhere is
 * removed. */
void saved_find(struct saved_run *s, const uint8_t *program, size_t n_bytes, const struct rt_config *config);
/* Gives the module, which has no instance yet, the code there is of it in the entry. */
enum atoll_status saved_restore(struct saved_run *s, struct rt_module *module, struct atoll_error *err);
void saved_forget(struct saved_run *s); /* the entry, when the module is gone */
/* Keeps that the module is valid, and what code was compiled in this run, when that took long enough. */
void saved_keep(const struct saved_run *s, const struct rt_module *module);

#endif
