/* sysvm/dev/virtio/fs/attributes.c: what the guest asks of a file and changes about it. */
#include "sysvm/dev/virtio/fs/internal.h"

/* ---- as the guest sees it ---- */

uint64_t fuse_ino(const struct fuse_session *s, dev_t dev, uint64_t ino) {
    return dev == s->root_dev ? ino : ino ^ (uint64_t)dev * UINT64_C(0x9E3779B97F4A7C15);
}

void fuse_fill_attr(const struct fuse_session *s, const struct stat *st, struct fuse_attr *out) {
    const struct fuse_config *c = &s->config;
    *out = (struct fuse_attr){.ino = fuse_ino(s, st->st_dev, st->st_ino),
                              .size = (uint64_t)st->st_size,
                              .blocks = (uint64_t)st->st_blocks,
                              .atime = (uint64_t)st->st_atim.tv_sec,
                              .mtime = (uint64_t)st->st_mtim.tv_sec,
                              .ctime = (uint64_t)st->st_ctim.tv_sec,
                              .atimensec = (uint32_t)st->st_atim.tv_nsec,
                              .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
                              .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
                              .mode = st->st_mode,
                              .nlink = (uint32_t)st->st_nlink,
                              .uid = c->map_owner && st->st_uid == c->uid ? 0 : st->st_uid,
                              .gid = c->map_owner && st->st_gid == c->gid ? 0 : st->st_gid,
                              /* stat's low 32 bits are what the kernel packs */
                              .rdev = (uint32_t)st->st_rdev,
                              .blksize = (uint32_t)st->st_blksize};
}

int fuse_fill_entry(struct fuse_request *r, struct sb_file *file, const struct stat *st,
                    struct fuse_entry_out *out) {
    *out = (struct fuse_entry_out){.entry_valid = FUSE_VALID_S, .attr_valid = FUSE_VALID_S};
    fuse_fill_attr(r->session, st, &out->attr);
    return fuse_node_add(r->session, file, st, &out->nodeid);
}

static int answer_attr(struct fuse_request *r, struct sb_file *node) {
    struct fuse_attr_out out = {.attr_valid = FUSE_VALID_S};
    struct stat st;
    int error = sb_file_stat(node, &st);
    if (error) return error;
    fuse_fill_attr(r->session, &st, &out.attr);
    return fuse_put(r, &out, sizeof out);
}

int fuse_do_getattr(struct fuse_request *r) {
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    int error = answer_attr(r, node);
    sb_file_unref(node);
    return error;
}

/* ---- changing ---- */

static int set_owner(struct fuse_session *s, struct sb_file *node, const struct fuse_setattr_in *in) {
    const struct fuse_config *c = &s->config;
    struct stat st;
    int error = sb_file_stat(node, &st);
    if (error) return error;
    uid_t uid = in->valid & FATTR_UID ? in->uid : SB_KEEP_ID;
    gid_t gid = in->valid & FATTR_GID ? in->gid : SB_KEEP_ID;
    if (c->map_owner && uid == 0) uid = st.st_uid == 0 ? 0 : c->uid;
    if (c->map_owner && gid == 0) gid = st.st_gid == 0 ? 0 : c->gid;
    if (uid == st.st_uid) uid = SB_KEEP_ID;
    if (gid == st.st_gid) gid = SB_KEEP_ID;
    return uid == SB_KEEP_ID && gid == SB_KEEP_ID ? 0 : sb_node_set_owner(node, uid, gid);
}

static int set_size(struct fuse_request *r, struct sb_file *node, const struct fuse_setattr_in *in) {
    struct sb_file *file = NULL;
    int error = 0;
    if (in->valid & FATTR_FH) {
        file = fuse_handle_get(r->session, in->fh);
        if (!file) error = EBADF;
    } else {
        error = sb_node_open(node, SB_OPEN_WRITE, &file);
    }
    if (!error) error = sb_file_truncate(file, in->size);
    if (file) sb_file_unref(file);
    return error;
}

static bool fill_time(struct timespec *out, uint32_t valid, uint32_t set, uint32_t now, uint64_t seconds,
                      uint32_t nanoseconds) {
    *out = (struct timespec){.tv_nsec = UTIME_OMIT};
    if (!(valid & set)) return true;
    if (!(valid & now) && nanoseconds > 999999999) return false; /* some of these mean something else */
    *out =
        (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = valid & now ? UTIME_NOW : (long)nanoseconds};
    return true;
}

static int set_times(struct sb_file *node, const struct fuse_setattr_in *in) {
    struct timespec times[2];
    bool good = fill_time(&times[0], in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec);
    good &= fill_time(&times[1], in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec);
    return good ? sb_node_set_times(node, times) : EINVAL;
}

static int set_attributes(struct fuse_request *r, struct sb_file *node, const struct fuse_setattr_in *in) {
    int error = 0;
    if (in->valid & (FATTR_UID | FATTR_GID)) error = set_owner(r->session, node, in);
    if (!error && (in->valid & FATTR_MODE))
        error = sb_node_set_mode(node, in->mode & 07777); /* after: it clears bits */
    if (!error && (in->valid & FATTR_SIZE)) error = set_size(r, node, in);
    if (!error && (in->valid & (FATTR_ATIME | FATTR_MTIME))) error = set_times(node, in);
    return error;
}

int fuse_do_setattr(struct fuse_request *r) {
    struct fuse_setattr_in in;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    int error = set_attributes(r, node, &in);
    if (!error) error = answer_attr(r, node);
    sb_file_unref(node);
    return error;
}

/* ---- links, file systems ---- */

int fuse_do_readlink(struct fuse_request *r) {
    char target[PATH_MAX];
    size_t n;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    int error = sb_node_readlink(node, target, sizeof target, &n);
    sb_file_unref(node);
    return error ? error : fuse_put(r, target, n);
}

int fuse_do_statfs(struct fuse_request *r) {
    struct statvfs st;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    int error = sb_node_statfs(node, &st);
    sb_file_unref(node);
    if (error) return error;
    struct fuse_statfs_out out = {.st = {.blocks = st.f_blocks,
                                         .bfree = st.f_bfree,
                                         .bavail = st.f_bavail,
                                         .files = st.f_files,
                                         .ffree = st.f_ffree,
                                         .bsize = (uint32_t)st.f_bsize,
                                         .namelen = (uint32_t)st.f_namemax,
                                         .frsize = (uint32_t)st.f_frsize}};
    return fuse_put(r, &out, sizeof out);
}

/* ---- extended attributes ---- */

int fuse_do_setxattr(struct fuse_request *r) {
    struct fuse_setxattr_in in = {0};
    struct sb_path name;
    if (!fuse_take(r, &in, FUSE_COMPAT_SETXATTR_IN_SIZE) || !fuse_take_name(r, &name)) return EINVAL;
    if (in.size > r->n_args - r->at) return EINVAL;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    int error = sb_node_set_xattr(node, name, r->args + r->at, in.size, (int)in.flags);
    sb_file_unref(node);
    return error;
}

/* Size 0 asks for the size alone. */
static int answer_xattr(struct fuse_request *r, uint32_t size, size_t n) {
    struct fuse_getxattr_out out = {.size = (uint32_t)n};
    return size ? fuse_put(r, r->scratch->answer, n) : fuse_put(r, &out, sizeof out);
}

int fuse_do_getxattr(struct fuse_request *r) {
    struct fuse_getxattr_in in;
    struct sb_path name;
    size_t n;
    if (!fuse_take(r, &in, sizeof in) || !fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    size_t size = in.size < FUSE_ANSWER_MAX ? in.size : FUSE_ANSWER_MAX;
    int error = sb_node_get_xattr(node, name, r->scratch->answer, size, &n);
    sb_file_unref(node);
    return error ? error : answer_xattr(r, in.size, n);
}

int fuse_do_listxattr(struct fuse_request *r) {
    struct fuse_getxattr_in in;
    size_t n;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    size_t size = in.size < FUSE_ANSWER_MAX ? in.size : FUSE_ANSWER_MAX;
    int error = sb_node_list_xattr(node, (char *)r->scratch->answer, size, &n);
    sb_file_unref(node);
    return error ? error : answer_xattr(r, in.size, n);
}

int fuse_do_removexattr(struct fuse_request *r) {
    struct sb_path name;
    if (!fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    int error = sb_node_remove_xattr(node, name);
    sb_file_unref(node);
    return error;
}
