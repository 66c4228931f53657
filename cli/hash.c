/* cli/hash.c: the hash by which a program is known again. Of many bytes it is a tree of two levels, whose leaves are
 * hashed by several threads, four at a time where the CPU can (hash_lanes.c). Source: "BLAKE2: simpler, smaller,
 * fast as MD5", section "Tree hashing". */
#include <blake2.h>
#include <stdatomic.h>
#include <string.h>
#include "bytecode/thread.h"
#include "cli/hash.h"

#define TREE_BYTES  (UINT64_C(1) << 20)  /* as few or fewer make no tree */
#define LEAF_BYTES  (UINT64_C(64) << 10) /* at least */
#define MAX_LEAVES  1024u
#define MAX_THREADS 8u

struct tree {
    const uint8_t *bytes;
    uint64_t n_bytes, leaf_bytes;
    uint32_t n_leaves;
    bool in_lanes;
    _Atomic uint32_t next; /* leaf that nobody has taken; HASH_LANES are taken at a time */
    uint8_t digests[MAX_LEAVES][SAVED_HASH_BYTES];
};

static blake2b_param param_of(const struct tree *t, uint32_t offset, uint8_t depth) {
    return (blake2b_param){.digest_length = SAVED_HASH_BYTES,
                           .fanout = 0, /* without limit */
                           .depth = 2,
                           .leaf_length = (uint32_t)t->leaf_bytes,
                           .node_offset = offset,
                           .node_depth = depth,
                           .inner_length = SAVED_HASH_BYTES};
}

static void hash_node(const struct tree *t, uint32_t offset, uint8_t depth, bool last, const uint8_t *bytes,
                      size_t n_bytes, uint8_t *out) {
    const blake2b_param param = param_of(t, offset, depth);
    blake2b_state state;
    blake2b_init_param(&state, &param);
    state.last_node = last;
    blake2b_update(&state, bytes, n_bytes);
    blake2b_final(&state, out, SAVED_HASH_BYTES);
}

static void hash_leaf(struct tree *t, uint32_t i) {
    uint64_t at = i * t->leaf_bytes, left = t->n_bytes - at;
    hash_node(t, i, 0, i + 1 == t->n_leaves, t->bytes + at, left < t->leaf_bytes ? left : t->leaf_bytes,
              t->digests[i]);
}

/* None of them is the last of all, so they are whole. */
static void hash_leaves_in_lanes(struct tree *t, uint32_t first) {
    uint8_t params[HASH_LANES][HASH_PARAM_BYTES], *out[HASH_LANES];
    const uint8_t *leaves[HASH_LANES];
    for (uint32_t i = 0; i < HASH_LANES; i++) {
        const blake2b_param param = param_of(t, first + i, 0);
        _Static_assert(sizeof param == HASH_PARAM_BYTES, "the block of RFC 7693");
        memcpy(params[i], &param, sizeof param);
        leaves[i] = t->bytes + (first + i) * t->leaf_bytes;
        out[i] = t->digests[first + i];
    }
    hash_in_lanes((const uint8_t(*)[HASH_PARAM_BYTES])params, leaves, t->leaf_bytes, out);
}

static void *hash_leaves(void *context) {
    struct tree *t = context;
    for (uint32_t i; (i = atomic_fetch_add(&t->next, HASH_LANES)) < t->n_leaves;) {
        if (t->in_lanes && t->n_leaves - i > HASH_LANES) {
            hash_leaves_in_lanes(t, i);
            continue;
        }
        for (uint32_t k = i; k < t->n_leaves && k < i + HASH_LANES; k++) hash_leaf(t, k);
    }
    return NULL;
}

static void hash_tree(const uint8_t *bytes, size_t n_bytes, uint8_t out[SAVED_HASH_BYTES]) {
    struct tree t = {
        .bytes = bytes, .n_bytes = n_bytes, .leaf_bytes = LEAF_BYTES, .in_lanes = hash_has_lanes()};
    pthread_t threads[MAX_THREADS];
    unsigned n = bc_thread_count(), n_started = 0;
    while ((n_bytes - 1) / t.leaf_bytes >= MAX_LEAVES) t.leaf_bytes *= 2;
    t.n_leaves = (uint32_t)((n_bytes - 1) / t.leaf_bytes + 1);
    if (n > MAX_THREADS) n = MAX_THREADS;
    while (n_started + 1 < n && bc_thread_start(threads + n_started, hash_leaves, &t)) n_started++;
    hash_leaves(&t);
    while (n_started) pthread_join(threads[--n_started], NULL);
    hash_node(&t, 0, 1, true, t.digests[0], (size_t)t.n_leaves * SAVED_HASH_BYTES, out);
}

void saved_hash(const uint8_t *bytes, size_t n_bytes, uint8_t out[SAVED_HASH_BYTES]) {
    if (n_bytes > TREE_BYTES)
        hash_tree(bytes, n_bytes, out);
    else
        blake2b(out, bytes, NULL, SAVED_HASH_BYTES, n_bytes, 0);
}
