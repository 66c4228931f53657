/* sysvm/dev/virtio/fs/listing.c: directories, with or without what stands in them. */
#include <stdlib.h>
#include "sysvm/dev/virtio/fs/internal.h"

/* One entry as the host's kernel wrote it (linux_dirent64): inode u64, next u64, size u16, type u8, name. */
struct entry {
    uint64_t ino, next;
    uint8_t type;
    struct sb_path name;
};
#define ENTRY_NAME_AT 19

static bool next_entry(const uint8_t *list, size_t n, size_t *at, struct entry *out) {
    uint16_t size;
    if (n - *at <= ENTRY_NAME_AT) return false;
    const uint8_t *e = list + *at;
    memcpy(&out->ino, e, 8);
    memcpy(&out->next, e + 8, 8);
    memcpy(&size, e + 16, 2);
    if (size <= ENTRY_NAME_AT || size > n - *at) return false;
    out->type = e[18];
    out->name = (struct sb_path){(const char *)e + ENTRY_NAME_AT,
                                 strnlen((const char *)e + ENTRY_NAME_AT, size - ENTRY_NAME_AT)};
    *at += size;
    return true;
}

struct listing {
    struct fuse_request *r;
    struct sb_file *dir;
    dev_t dev;
    bool plus;
    size_t room, n; /* in scratch->answer */
};

static bool is_dots(struct sb_path name) {
    return (name.size == 1 && name.bytes[0] == '.') || (name.size == 2 && !memcmp(name.bytes, "..", 2));
}

/* What a lookup would tell, counted as one. All zero where it is not asked: the guest looks up what it needs. */
static void fill_plus(struct listing *l, const struct entry *e, struct fuse_entry_out *out) {
    struct sb_file *file;
    struct stat st;
    *out = (struct fuse_entry_out){0};
    if (is_dots(e->name) || fuse_nodes_are_scarce(l->r->session)) return;
    if (sb_node_lookup(l->dir, e->name, &file, &st)) return;
    if (fuse_fill_entry(l->r, file, &st, out)) *out = (struct fuse_entry_out){0};
}

/* False when it does not fit any more. */
static bool put_entry(struct listing *l, const struct entry *e) {
    uint8_t *to = l->r->scratch->answer + l->n;
    size_t before = l->plus ? sizeof(struct fuse_entry_out) : 0;
    size_t used = before + FUSE_NAME_OFFSET + e->name.size, size = FUSE_REC_ALIGN(used);
    if (size > l->room - l->n) return false;
    struct fuse_dirent dirent = {.ino = fuse_ino(l->r->session, l->dev, e->ino),
                                 .off = e->next,
                                 .namelen = (uint32_t)e->name.size,
                                 .type = e->type};
    struct fuse_entry_out out;
    if (l->plus) fill_plus(l, e, &out);
    if (l->plus) memcpy(to, &out, sizeof out);
    memcpy(to + before, &dirent, FUSE_NAME_OFFSET);
    memcpy(to + before + FUSE_NAME_OFFSET, e->name.bytes, e->name.size);
    memset(to + used, 0, size - used);
    l->n += size;
    return true;
}

static int list(struct listing *l, uint64_t cookie) {
    uint8_t *buffer = l->r->scratch->listing;
    size_t n, at = 0, size = sizeof l->r->scratch->listing;
    struct entry e;
    if (l->room < size)
        size = l->room < 512 ? 512 : l->room; /* 512: the longest name, with what stands around it */
    int error = sb_file_list(l->dir, cookie, buffer, size, &n);
    if (error) return error;
    while (next_entry(buffer, n, &at, &e))
        if (!put_entry(l, &e)) break;
    return n && !l->n ? EINVAL : fuse_put(l->r, l->r->scratch->answer, l->n);
}

static int read_directory(struct fuse_request *r, bool plus) {
    struct fuse_read_in in;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    struct sb_file *dir = fuse_handle_get(r->session, in.fh);
    if (!dir) return EBADF;
    struct listing l = {.r = r, .dir = dir, .plus = plus, .dev = fuse_node_dev(r->session, r->header.nodeid)};
    l.room = in.size < fuse_room(r) ? in.size : fuse_room(r);
    if (l.room > FUSE_ANSWER_MAX) l.room = FUSE_ANSWER_MAX;
    int error = in.offset > INT64_MAX ? EINVAL : list(&l, in.offset);
    sb_file_unref(dir);
    return error;
}

int fuse_do_readdir(struct fuse_request *r) { return read_directory(r, false); }
int fuse_do_readdirplus(struct fuse_request *r) { return read_directory(r, true); }
