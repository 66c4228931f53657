/* sysvm/dev/virtio/fs/names.c: what the guest does with names in directories. */
#include <sys/sysmacros.h>
#include "sysvm/dev/virtio/fs/internal.h"

int fuse_do_forget(struct fuse_request *r) {
    struct fuse_forget_in in;
    if (fuse_take(r, &in, sizeof in)) fuse_node_forget(r->session, r->header.nodeid, in.nlookup);
    return 0;
}

int fuse_do_batch_forget(struct fuse_request *r) {
    struct fuse_batch_forget_in in;
    struct fuse_forget_one one;
    if (!fuse_take(r, &in, sizeof in)) return 0;
    for (uint32_t i = 0; i < in.count && fuse_take(r, &one, sizeof one); i++)
        fuse_node_forget(r->session, one.nodeid, one.nlookup);
    return 0;
}

/* Answers with a node that was found or made. Takes the reference over. */
static int answer_entry(struct fuse_request *r, struct sb_file *file, const struct stat *st) {
    struct fuse_entry_out out;
    int error = fuse_fill_entry(r, file, st, &out);
    return error ? error : fuse_put(r, &out, sizeof out);
}

int fuse_do_lookup(struct fuse_request *r) {
    static const struct fuse_entry_out nothing = {.entry_valid = FUSE_VALID_S};
    struct sb_path name;
    struct sb_file *file;
    struct stat st;
    if (!fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    if (!dir) return ESTALE;
    int error = sb_node_lookup(dir, name, &file, &st);
    sb_file_unref(dir);
    if (error == ENOENT) return fuse_put(r, &nothing, sizeof nothing); /* so that the guest may remember it */
    return error ? error : answer_entry(r, file, &st);
}

/* ---- making ---- */

static struct sb_new new_as(const struct fuse_request *r, uint32_t mode) {
    bool mapped = r->session->config.map_owner;
    return (struct sb_new){
        .mode = mode, .uid = mapped ? SB_KEEP_ID : r->header.uid, .gid = mapped ? SB_KEEP_ID : r->header.gid};
}

int fuse_do_mkdir(struct fuse_request *r) {
    struct fuse_mkdir_in in;
    struct sb_path name;
    struct sb_file *file;
    struct stat st;
    if (!fuse_take(r, &in, sizeof in) || !fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    if (!dir) return ESTALE;
    struct sb_new as = new_as(r, in.mode);
    int error = sb_node_mkdir(dir, name, &as, &file, &st);
    sb_file_unref(dir);
    return error ? error : answer_entry(r, file, &st);
}

/* A device number as the kernel packs it. */
static dev_t device_of(uint32_t rdev) {
    uint32_t major = (rdev & 0xFFF00) >> 8, minor = (rdev & 0xFF) | (rdev >> 12 & 0xFFF00);
    return makedev(major, minor);
}

int fuse_do_mknod(struct fuse_request *r) {
    struct fuse_mknod_in in;
    struct sb_path name;
    struct sb_file *file;
    struct stat st;
    if (!fuse_take(r, &in, sizeof in) || !fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    if (!dir) return ESTALE;
    struct sb_new as = new_as(r, in.mode);
    int error = sb_node_mknod(dir, name, &as, device_of(in.rdev), &file, &st);
    sb_file_unref(dir);
    return error ? error : answer_entry(r, file, &st);
}

int fuse_do_symlink(struct fuse_request *r) {
    struct sb_path name, target;
    struct sb_file *file;
    struct stat st;
    if (!fuse_take_name(r, &name) || !fuse_take_name(r, &target)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    if (!dir) return ESTALE;
    struct sb_new as = new_as(r, 0);
    int error = sb_node_symlink(target, dir, name, &as, &file, &st);
    sb_file_unref(dir);
    return error ? error : answer_entry(r, file, &st);
}

int fuse_do_create(struct fuse_request *r) {
    struct fuse_create_in in;
    struct fuse_entry_out entry;
    struct fuse_open_out opened;
    struct sb_path name;
    struct sb_file *node, *file;
    struct stat st;
    if (!fuse_take(r, &in, sizeof in) || !fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    if (!dir) return ESTALE;
    struct sb_new as = new_as(r, in.mode & 07777);
    int error = sb_node_create(dir, name, &as, fuse_open_flags(in.flags), &node, &st, &file);
    sb_file_unref(dir);
    if (error) return error;
    error = fuse_fill_entry(r, node, &st, &entry);
    if (error) {
        sb_file_unref(file);
        return error;
    }
    error = fuse_fill_open(r, entry.nodeid, file, &st, &opened);
    if (error) {
        fuse_node_forget(r->session, entry.nodeid, 1);
        return error;
    }
    error = fuse_put(r, &entry, sizeof entry);
    return error ? error : fuse_put(r, &opened, sizeof opened);
}

/* ---- moving and removing ---- */

int fuse_do_link(struct fuse_request *r) {
    struct fuse_link_in in;
    struct fuse_entry_out out = {.entry_valid = FUSE_VALID_S, .attr_valid = FUSE_VALID_S};
    struct sb_path name;
    struct stat st;
    if (!fuse_take(r, &in, sizeof in) || !fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    struct sb_file *node = fuse_node_get(r->session, in.oldnodeid);
    int error = dir && node ? sb_node_link(node, dir, name) : ESTALE;
    if (!error) error = sb_file_stat(node, &st);
    if (dir) sb_file_unref(dir);
    if (node) sb_file_unref(node);
    if (!error && !fuse_node_again(r->session, in.oldnodeid)) error = ESTALE;
    if (error) return error;
    out.nodeid = in.oldnodeid;
    fuse_fill_attr(r->session, &st, &out.attr);
    return fuse_put(r, &out, sizeof out);
}

static int rename_to(struct fuse_request *r, uint64_t new_dir_id, uint32_t flags) {
    struct sb_path name, new_name;
    if (!fuse_take_name(r, &name) || !fuse_take_name(r, &new_name)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    struct sb_file *new_dir = fuse_node_get(r->session, new_dir_id);
    int error = dir && new_dir ? sb_node_rename(dir, name, new_dir, new_name, flags) : ESTALE;
    if (dir) sb_file_unref(dir);
    if (new_dir) sb_file_unref(new_dir);
    return error;
}

int fuse_do_rename(struct fuse_request *r) {
    struct fuse_rename_in in;
    return fuse_take(r, &in, sizeof in) ? rename_to(r, in.newdir, 0) : EINVAL;
}

int fuse_do_rename2(struct fuse_request *r) {
    struct fuse_rename2_in in;
    return fuse_take(r, &in, sizeof in) ? rename_to(r, in.newdir, in.flags) : EINVAL;
}

static int remove_name(struct fuse_request *r, int (*act)(struct sb_file *dir, struct sb_path name)) {
    struct sb_path name;
    if (!fuse_take_name(r, &name)) return EINVAL;
    struct sb_file *dir = fuse_node_get(r->session, r->header.nodeid);
    if (!dir) return ESTALE;
    int error = act(dir, name);
    sb_file_unref(dir);
    return error;
}

int fuse_do_unlink(struct fuse_request *r) { return remove_name(r, sb_node_unlink); }
int fuse_do_rmdir(struct fuse_request *r) { return remove_name(r, sb_node_rmdir); }
