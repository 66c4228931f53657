/* sysvm/image/qcow2_cache.c: tables in memory, and the order in which they reach the disk. */
#include "sysvm/image/qcow2.h"

enum { SLOTS_MIN = 4, SLOTS_MAX = 256 };

/* ---- a cache ---- */

int qc_cache_init(struct qcow2 *q, struct qc_cache *cache, uint64_t bytes) {
    uint64_t n = bytes >> q->cluster_bits;
    cache->n_slots = n < SLOTS_MIN ? SLOTS_MIN : n > SLOTS_MAX ? SLOTS_MAX : (unsigned)n;
    cache->slots = atoll_new(q->alloc, cache->n_slots, sizeof *cache->slots);
    return cache->slots ? 0 : ENOMEM;
}

void qc_cache_fini(struct qcow2 *q, struct qc_cache *cache) {
    if (!cache->slots) return;
    for (unsigned i = 0; i < cache->n_slots; i++)
        atoll_free(q->alloc, cache->slots[i].bytes, q->cluster_size);
    atoll_free(q->alloc, cache->slots, cache->n_slots * sizeof *cache->slots);
    cache->slots = NULL;
}

struct qc_slot *qc_cache_find(struct qc_cache *cache, uint64_t offset) {
    for (unsigned i = 0; i < cache->n_slots; i++)
        if (cache->slots[i].offset == offset) {
            cache->slots[i].used = ++cache->clock;
            return &cache->slots[i];
        }
    return NULL;
}

/* The one used longest ago, a clean one if there is any. */
static struct qc_slot *choose(struct qc_cache *cache) {
    struct qc_slot *best = &cache->slots[0];
    for (unsigned i = 1; i < cache->n_slots; i++) {
        struct qc_slot *s = &cache->slots[i];
        if (s->dirty != best->dirty ? best->dirty : s->used < best->used) best = s;
    }
    return best;
}

static int clean(struct qcow2 *q, struct qc_cache *cache, struct qc_slot *slot) {
    if (!slot->dirty) return 0;
    if (cache == &q->l2) return qc_sync(q);
    /* Counts alone may be written at any time: what lowers one waited for the tables already. */
    return qc_cache_write(q, cache);
}

int qc_cache_get(struct qcow2 *q, struct qc_cache *cache, uint64_t offset, bool fresh, struct qc_slot **out) {
    struct qc_slot *slot = qc_cache_find(cache, offset);
    int error = 0;
    if (!slot) {
        slot = choose(cache);
        if ((error = clean(q, cache, slot))) return error;
        if (!slot->bytes) slot->bytes = atoll_new(q->alloc, 1, q->cluster_size);
        if (!slot->bytes) return ENOMEM;
        slot->offset = 0; /* until it holds what it says */
        if (!fresh) error = img_file_read(q->file, slot->bytes, q->cluster_size, offset);
        if (error) return error;
        slot->offset = offset;
        slot->used = ++cache->clock;
    }
    if (fresh) memset(slot->bytes, 0, q->cluster_size);
    *out = slot;
    return 0;
}

void qc_cache_dirty(struct qc_cache *cache, struct qc_slot *slot) {
    if (!slot->dirty) cache->n_dirty++;
    slot->dirty = true;
}

static void set_clean(struct qc_cache *cache, struct qc_slot *slot) {
    if (slot->dirty) cache->n_dirty--;
    slot->dirty = false;
}

void qc_cache_drop(struct qc_cache *cache, uint64_t offset) {
    for (unsigned i = 0; i < cache->n_slots; i++) {
        if (cache->slots[i].offset != offset) continue;
        set_clean(cache, &cache->slots[i]);
        cache->slots[i].offset = cache->slots[i].used = 0;
    }
}

int qc_cache_write(struct qcow2 *q, struct qc_cache *cache) {
    for (unsigned i = 0; cache->n_dirty && i < cache->n_slots; i++) {
        struct qc_slot *slot = &cache->slots[i];
        if (!slot->dirty) continue;
        int error = img_file_write(q->file, slot->bytes, q->cluster_size, slot->offset);
        if (error) return error;
        set_clean(cache, slot);
    }
    return 0;
}

/* ---- the order ---- */

static int write_l1(struct qcow2 *q) {
    uint8_t bytes[512];
    while (q->l1_dirty_from < q->l1_dirty_to) {
        uint64_t from = q->l1_dirty_from, n = q->l1_dirty_to - from;
        if (n > sizeof bytes / 8) n = sizeof bytes / 8;
        for (uint64_t i = 0; i < n; i++) qc_put64(bytes + i * 8, q->l1[from + i]);
        int error = img_file_write(q->file, bytes, n * 8, q->header.l1_offset + from * 8);
        if (error) return error;
        q->l1_dirty_from += n;
    }
    q->l1_dirty_from = q->l1_dirty_to = 0;
    return 0;
}

int qc_sync(struct qcow2 *q) {
    int error = qc_cache_write(q, &q->blocks);
    if (error) return error;
    if (q->l2.n_dirty || q->l1_dirty_to) {
        error = q->file->ops->sync(q->file);
        if (!error) error = qc_cache_write(q, &q->l2);
        if (!error) error = write_l1(q);
        if (error) return error;
    }
    if ((error = q->file->ops->sync(q->file))) return error;
    return qc_apply_released(q);
}

/* ---- the set ---- */

static size_t home(const struct qc_set *set, uint64_t key) {
    return (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (set->capacity - 1);
}

bool qc_set_has(const struct qc_set *set, uint64_t cluster) {
    if (!set->capacity) return false;
    for (size_t i = home(set, cluster + 1);; i = (i + 1) & (set->capacity - 1)) {
        if (set->keys[i] == cluster + 1) return true;
        if (!set->keys[i]) return false;
    }
}

static void put(struct qc_set *set, uint64_t key) {
    size_t i = home(set, key);
    while (set->keys[i]) i = (i + 1) & (set->capacity - 1);
    set->keys[i] = key;
    set->n++;
}

static bool grow(struct qcow2 *q, struct qc_set *set) {
    struct qc_set larger = {.capacity = set->capacity ? set->capacity * 2 : 256};
    larger.keys = atoll_new(q->alloc, larger.capacity, sizeof *larger.keys);
    if (!larger.keys) return false;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->keys[i]) put(&larger, set->keys[i]);
    qc_set_fini(q, set);
    *set = larger;
    return true;
}

int qc_set_add(struct qcow2 *q, struct qc_set *set, uint64_t cluster) {
    if (qc_set_has(set, cluster)) return EEXIST;
    if (set->n * 2 >= set->capacity && !grow(q, set)) return ENOMEM;
    put(set, cluster + 1);
    return 0;
}

void qc_set_remove(struct qc_set *set, uint64_t cluster) {
    if (!qc_set_has(set, cluster)) return;
    size_t mask = set->capacity - 1, i = home(set, cluster + 1);
    while (set->keys[i] != cluster + 1) i = (i + 1) & mask;
    set->keys[i] = 0;
    set->n--;
    /* Those behind it in the row find their place anew. */
    for (i = (i + 1) & mask; set->keys[i]; i = (i + 1) & mask) {
        uint64_t key = set->keys[i];
        set->keys[i] = 0;
        set->n--;
        put(set, key);
    }
}

void qc_set_fini(struct qcow2 *q, struct qc_set *set) {
    atoll_free(q->alloc, set->keys, set->capacity * sizeof *set->keys);
    *set = (struct qc_set){0};
}
