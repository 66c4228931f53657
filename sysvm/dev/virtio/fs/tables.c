/* sysvm/dev/virtio/fs/tables.c: the guest's numbers for what it has looked up and opened.
 *
 * A number is a slot and, in its upper half, the slot's serial, which changes each time the slot is given back. The
 * root is number 1 and never forgotten. Nodes are found by device and inode, too: names of one file are one node. An
 * inode cannot become another's while its node holds it. */
#include "sysvm/dev/virtio/fs/internal.h"

#define FIRST_NODE   2
#define FIRST_HANDLE 1
#define BUCKETS_MIN  256

static uint64_t number_of(uint32_t slot, uint32_t serial) { return (uint64_t)serial << 32 | slot; }

/* ---- nodes ---- */

static size_t bucket_of(const struct fuse_session *s, dev_t dev, ino_t ino) {
    uint64_t h = ((uint64_t)ino ^ (uint64_t)dev << 40) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(h >> 32) & (s->n_buckets - 1);
}

static void chain(struct fuse_session *s, uint32_t slot) {
    struct fuse_node *node = &s->nodes[slot];
    uint32_t *head = &s->buckets[bucket_of(s, node->dev, node->ino)];
    node->next = *head;
    *head = slot;
}

/* As many buckets as nodes, or it stays as it was: chains get longer then. */
static void grow_buckets(struct fuse_session *s) {
    if (s->n_nodes < s->n_buckets) return;
    size_t n = s->n_buckets ? s->n_buckets * 2 : BUCKETS_MIN;
    uint32_t *buckets = atoll_new(s->alloc, n, sizeof *buckets);
    if (!buckets) return;
    atoll_free(s->alloc, s->buckets, s->n_buckets * sizeof *s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
    for (uint32_t slot = FIRST_NODE; slot < s->n_node_slots; slot++)
        if (s->nodes[slot].file) chain(s, slot);
}

static struct fuse_node *node_at(struct fuse_session *s, uint64_t id) {
    uint32_t slot = (uint32_t)id;
    if (slot < FIRST_NODE || slot >= s->n_node_slots) return NULL;
    struct fuse_node *node = &s->nodes[slot];
    return node->file && node->serial == id >> 32 ? node : NULL;
}

struct sb_file *fuse_node_get(struct fuse_session *s, uint64_t id) {
    struct sb_file *file = id == FUSE_ROOT_ID ? s->root : NULL;
    pthread_mutex_lock(&s->lock);
    struct fuse_node *node = file ? NULL : node_at(s, id);
    if (node) file = node->file;
    if (file) sb_file_ref(file);
    pthread_mutex_unlock(&s->lock);
    return file;
}

static uint32_t find(struct fuse_session *s, dev_t dev, ino_t ino) {
    uint32_t slot = s->n_buckets ? s->buckets[bucket_of(s, dev, ino)] : 0;
    while (slot && (s->nodes[slot].dev != dev || s->nodes[slot].ino != ino)) slot = s->nodes[slot].next;
    return slot;
}

static int take_slot(struct fuse_session *s, uint32_t *out) {
    if (s->n_nodes >= s->config.max_nodes) return ENFILE;
    grow_buckets(s);
    if (!s->n_buckets) return ENOMEM;
    if (s->free_node) {
        *out = s->free_node;
        s->free_node = s->nodes[*out].next;
    } else {
        uint32_t slot = s->n_node_slots ? s->n_node_slots : FIRST_NODE;
        if (atoll_grow(s->alloc, (void **)&s->nodes, &s->cap_nodes, slot + 1, sizeof *s->nodes))
            return ENOMEM;
        s->n_node_slots = slot + 1;
        *out = slot;
    }
    return 0;
}

static int add(struct fuse_session *s, struct sb_file **file, const struct stat *st, uint64_t *out_id) {
    uint32_t slot = find(s, st->st_dev, st->st_ino);
    int error = slot ? 0 : take_slot(s, &slot);
    if (error) return error;
    struct fuse_node *node = &s->nodes[slot];
    if (!node->file) {
        uint32_t serial = node->serial;
        *node = (struct fuse_node){.file = *file, .dev = st->st_dev, .ino = st->st_ino, .serial = serial};
        *file = NULL;
        chain(s, slot);
        s->n_nodes++;
    }
    node->n_lookups++;
    *out_id = number_of(slot, node->serial);
    return 0;
}

int fuse_node_add(struct fuse_session *s, struct sb_file *file, const struct stat *st, uint64_t *out_id) {
    pthread_mutex_lock(&s->lock);
    int error = add(s, &file, st, out_id);
    pthread_mutex_unlock(&s->lock);
    if (file) sb_file_unref(file);
    return error;
}

bool fuse_node_again(struct fuse_session *s, uint64_t id) {
    pthread_mutex_lock(&s->lock);
    struct fuse_node *node = node_at(s, id);
    if (node) node->n_lookups++;
    pthread_mutex_unlock(&s->lock);
    return node || id == FUSE_ROOT_ID;
}

static struct sb_file *give_back(struct fuse_session *s, uint32_t slot) {
    struct fuse_node *node = &s->nodes[slot];
    struct sb_file *file = node->file;
    uint32_t *link = &s->buckets[bucket_of(s, node->dev, node->ino)];
    while (*link != slot) link = &s->nodes[*link].next;
    *link = node->next;
    node->file = NULL;
    node->serial++;
    node->next = s->free_node;
    s->free_node = slot;
    s->n_nodes--;
    return file;
}

void fuse_node_forget(struct fuse_session *s, uint64_t id, uint64_t n_lookups) {
    struct sb_file *file = NULL;
    pthread_mutex_lock(&s->lock);
    struct fuse_node *node = node_at(s, id);
    if (node) {
        node->n_lookups -= n_lookups < node->n_lookups ? n_lookups : node->n_lookups;
        if (!node->n_lookups) file = give_back(s, (uint32_t)id);
    }
    pthread_mutex_unlock(&s->lock);
    if (file) sb_file_unref(file);
}

static bool same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* A time stamp says nothing about the moment it was made in: a second change may have the same. */
static bool is_settled(const struct stat *st) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return st->st_ctim.tv_sec + 1 < now.tv_sec;
}

bool fuse_node_unchanged(struct fuse_session *s, uint64_t id, const struct stat *st) {
    bool settled = is_settled(st), same = false;
    pthread_mutex_lock(&s->lock);
    struct fuse_node *node = node_at(s, id);
    if (node) {
        const struct fuse_stamp *was = &node->stamp;
        same = node->stamped && same_time(was->changed, st->st_ctim) &&
               same_time(was->modified, st->st_mtim) && was->size == st->st_size;
        node->stamped = settled;
        node->stamp = (struct fuse_stamp){st->st_ctim, st->st_mtim, st->st_size};
    }
    pthread_mutex_unlock(&s->lock);
    return same;
}

dev_t fuse_node_dev(struct fuse_session *s, uint64_t id) {
    pthread_mutex_lock(&s->lock);
    struct fuse_node *node = node_at(s, id);
    dev_t dev = node ? node->dev : s->root_dev;
    pthread_mutex_unlock(&s->lock);
    return dev;
}

bool fuse_nodes_are_scarce(struct fuse_session *s) {
    pthread_mutex_lock(&s->lock);
    bool scarce = s->n_nodes >= s->config.max_nodes / 2;
    pthread_mutex_unlock(&s->lock);
    return scarce;
}

/* ---- handles ---- */

static struct fuse_handle *handle_at(struct fuse_session *s, uint64_t number) {
    uint32_t slot = (uint32_t)number;
    if (slot < FIRST_HANDLE || slot >= s->n_handle_slots) return NULL;
    struct fuse_handle *handle = &s->handles[slot];
    return handle->file && handle->serial == number >> 32 ? handle : NULL;
}

static int add_handle(struct fuse_session *s, struct sb_file *file, uint64_t *out) {
    uint32_t slot = s->free_handle;
    if (s->n_handles >= s->config.max_handles) return ENFILE;
    if (slot) {
        s->free_handle = s->handles[slot].next;
    } else {
        slot = s->n_handle_slots ? s->n_handle_slots : FIRST_HANDLE;
        if (atoll_grow(s->alloc, (void **)&s->handles, &s->cap_handles, slot + 1, sizeof *s->handles))
            return ENOMEM;
        s->n_handle_slots = slot + 1;
    }
    s->handles[slot].file = file;
    s->n_handles++;
    *out = number_of(slot, s->handles[slot].serial);
    return 0;
}

int fuse_handle_add(struct fuse_session *s, struct sb_file *file, uint64_t *out_handle) {
    pthread_mutex_lock(&s->lock);
    int error = add_handle(s, file, out_handle);
    pthread_mutex_unlock(&s->lock);
    if (error) sb_file_unref(file);
    return error;
}

struct sb_file *fuse_handle_get(struct fuse_session *s, uint64_t number) {
    pthread_mutex_lock(&s->lock);
    struct fuse_handle *handle = handle_at(s, number);
    struct sb_file *file = handle ? handle->file : NULL;
    if (file) sb_file_ref(file);
    pthread_mutex_unlock(&s->lock);
    return file;
}

bool fuse_handle_close(struct fuse_session *s, uint64_t number) {
    struct sb_file *file = NULL;
    pthread_mutex_lock(&s->lock);
    struct fuse_handle *handle = handle_at(s, number);
    if (handle) {
        file = handle->file;
        handle->file = NULL;
        handle->serial++;
        handle->next = s->free_handle;
        s->free_handle = (uint32_t)number;
        s->n_handles--;
    }
    pthread_mutex_unlock(&s->lock);
    if (file) sb_file_unref(file);
    return handle != NULL;
}

/* ---- all ---- */

/* One at a time, so that closing (which may wait for the host) is done without the lock. */
void fuse_tables_clear(struct fuse_session *s) {
    for (uint32_t slot = FIRST_NODE;; slot++) {
        pthread_mutex_lock(&s->lock);
        bool more = slot < s->n_node_slots;
        struct sb_file *file = more && s->nodes[slot].file ? give_back(s, slot) : NULL;
        pthread_mutex_unlock(&s->lock);
        if (file) sb_file_unref(file);
        if (!more) break;
    }
    for (uint32_t slot = FIRST_HANDLE;; slot++) {
        pthread_mutex_lock(&s->lock);
        bool more = slot < s->n_handle_slots;
        uint64_t number = more ? number_of(slot, s->handles[slot].serial) : 0;
        pthread_mutex_unlock(&s->lock);
        if (!more) break;
        fuse_handle_close(s, number);
    }
}

uint32_t fuse_session_nodes(struct fuse_session *s) {
    pthread_mutex_lock(&s->lock);
    uint32_t n = s->n_nodes;
    pthread_mutex_unlock(&s->lock);
    return n;
}

uint32_t fuse_session_handles(struct fuse_session *s) {
    pthread_mutex_lock(&s->lock);
    uint32_t n = s->n_handles;
    pthread_mutex_unlock(&s->lock);
    return n;
}

enum atoll_status fuse_session_new(const struct fuse_config *config, struct fuse_session **out,
                                   struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    struct fuse_session *s = atoll_new(alloc, 1, sizeof *s);
    struct stat st;
    if (!s) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    s->alloc = alloc;
    s->config = *config;
    if (!s->config.max_nodes) s->config.max_nodes = FUSE_MAX_NODES;
    if (!s->config.max_handles) s->config.max_handles = FUSE_MAX_HANDLES;
    s->root = config->root;
    sb_file_ref(s->root);
    if (!fstat(sb_file_fd(s->root), &st)) s->root_dev = st.st_dev;
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return ATOLL_OK;
}

void fuse_session_free(struct fuse_session *s) {
    if (!s) return;
    fuse_tables_clear(s);
    sb_file_unref(s->root);
    pthread_mutex_destroy(&s->lock);
    atoll_free(s->alloc, s->nodes, s->cap_nodes * sizeof *s->nodes);
    atoll_free(s->alloc, s->buckets, s->n_buckets * sizeof *s->buckets);
    atoll_free(s->alloc, s->handles, s->cap_handles * sizeof *s->handles);
    atoll_free(s->alloc, s, sizeof *s);
}
