/* sysvm/dev/virtio/fs/data.c: open files and their bytes. */
#include <fcntl.h>
#include <unistd.h>
#include "sysvm/dev/virtio/fs/internal.h"

/* ---- opening ---- */

unsigned fuse_open_flags(uint32_t flags) {
    unsigned out = 0;
    switch (flags & O_ACCMODE) {
    case O_RDONLY: out = SB_OPEN_READ; break;
    case O_WRONLY: out = SB_OPEN_WRITE; break;
    default: out = SB_OPEN_READ | SB_OPEN_WRITE; break;
    }
    if (flags & O_EXCL) out |= SB_OPEN_EXCLUSIVE;
    if (flags & O_TRUNC) out |= SB_OPEN_TRUNCATE;
    if (flags & O_DIRECTORY) out |= SB_OPEN_DIRECTORY;
    if (flags & O_APPEND) out |= SB_OPEN_APPEND;
    if ((flags & O_SYNC) == O_SYNC)
        out |= SB_OPEN_SYNC;
    else if (flags & O_DSYNC)
        out |= SB_OPEN_DSYNC;
    return out;
}

int fuse_fill_open(struct fuse_request *r, uint64_t node, struct sb_file *file, const struct stat *st,
                   struct fuse_open_out *out) {
    bool keeps = S_ISREG(st->st_mode) && fuse_node_unchanged(r->session, node, st);
    *out = (struct fuse_open_out){.open_flags = keeps ? FOPEN_KEEP_CACHE : 0};
    return fuse_handle_add(r->session, file, &out->fh);
}

static int open_node(struct fuse_request *r, unsigned flags) {
    struct fuse_open_out out;
    struct sb_file *file;
    struct stat st;
    struct sb_file *node = fuse_node_get(r->session, r->header.nodeid);
    if (!node) return ESTALE;
    int error = sb_node_open(node, flags, &file);
    sb_file_unref(node);
    if (error) return error;
    if (fstat(sb_file_fd(file), &st)) {
        sb_file_unref(file);
        return EIO;
    }
    error = fuse_fill_open(r, r->header.nodeid, file, &st, &out);
    return error ? error : fuse_put(r, &out, sizeof out);
}

int fuse_do_open(struct fuse_request *r) {
    struct fuse_open_in in;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    return open_node(r, fuse_open_flags(in.flags) & ~(unsigned)SB_OPEN_EXCLUSIVE);
}

int fuse_do_opendir(struct fuse_request *r) { return open_node(r, SB_OPEN_READ | SB_OPEN_DIRECTORY); }

int fuse_do_release(struct fuse_request *r) {
    struct fuse_release_in in;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    return fuse_handle_close(r->session, in.fh) ? 0 : EBADF;
}

/* ---- bytes ---- */

typedef int transfer(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset,
                     uint64_t *out_n);

/* A short answer means the end of the file to a guest, so the host is asked until there is none. */
static int transfer_all(transfer *act, struct sb_file *file, const struct iovec *iov, unsigned n_iov,
                        size_t skip, size_t size, uint64_t offset, size_t *out_n) {
    struct iovec pieces[FUSE_MAX_IOV];
    size_t done = 0;
    uint64_t n = 1;
    int error = 0;
    *out_n = 0;
    if (offset > (uint64_t)INT64_MAX - size) return EINVAL;
    while (!error && n && done < size) {
        unsigned n_pieces = fuse_slice(iov, n_iov, skip + done, size - done, pieces);
        error = act(file, pieces, (int)n_pieces, offset + done, &n);
        done += n;
    }
    *out_n = done;
    return done ? 0 : error;
}

int fuse_do_read(struct fuse_request *r) {
    struct fuse_read_in in;
    size_t n;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    struct sb_file *file = fuse_handle_get(r->session, in.fh);
    if (!file) return EBADF;
    size_t size = in.size < fuse_room(r) ? in.size : fuse_room(r);
    int error = EISDIR;
    if (sb_file_type(file) == SB_TYPE_REGULAR)
        error = transfer_all(sb_file_read, file, r->in, r->n_in, sizeof(struct fuse_out_header), size,
                             in.offset, &n);
    sb_file_unref(file);
    if (!error) r->n_answer = n;
    return error;
}

int fuse_do_write(struct fuse_request *r) {
    const size_t header = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in);
    struct fuse_write_in in;
    size_t n;
    if (!fuse_take(r, &in, sizeof in) || in.size > r->out_bytes - header) return EINVAL;
    struct sb_file *file = fuse_handle_get(r->session, in.fh);
    if (!file) return EBADF;
    int error = transfer_all(sb_file_write, file, r->out, r->n_out, header, in.size, in.offset, &n);
    sb_file_unref(file);
    struct fuse_write_out out = {.size = (uint32_t)n};
    return error ? error : fuse_put(r, &out, sizeof out);
}

int fuse_do_fsync(struct fuse_request *r) {
    struct fuse_fsync_in in;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    struct sb_file *file = fuse_handle_get(r->session, in.fh);
    if (!file) return EBADF;
    int error = sb_file_sync(file, in.fsync_flags & FUSE_FSYNC_FDATASYNC);
    sb_file_unref(file);
    return error;
}

/* What was written is in the host's hands; a guest that syncs wants it on the disk. */
int fuse_do_syncfs(struct fuse_request *r) {
    struct sb_file *root;
    int error = sb_node_open(r->session->root, SB_OPEN_READ | SB_OPEN_DIRECTORY, &root);
    if (error) return error;
    error = sb_file_sync_all(root);
    sb_file_unref(root);
    return error;
}

int fuse_do_fallocate(struct fuse_request *r) {
    struct fuse_fallocate_in in;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    struct sb_file *file = fuse_handle_get(r->session, in.fh);
    if (!file) return EBADF;
    int error = sb_file_allocate(file, (int)in.mode, in.offset, in.length);
    sb_file_unref(file);
    return error;
}

int fuse_do_lseek(struct fuse_request *r) {
    struct fuse_lseek_in in;
    struct fuse_lseek_out out;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX) return EINVAL;
    struct sb_file *file = fuse_handle_get(r->session, in.fh);
    if (!file) return EBADF;
    int error = ENXIO; /* a directory's position is where it is listed */
    if (sb_file_type(file) == SB_TYPE_REGULAR)
        error = sb_file_seek(file, (int64_t)in.offset, (int)in.whence, &out.offset);
    sb_file_unref(file);
    return error ? error : fuse_put(r, &out, sizeof out);
}

int fuse_do_copy_file_range(struct fuse_request *r) {
    struct fuse_copy_file_range_in in;
    uint64_t n = 0;
    if (!fuse_take(r, &in, sizeof in)) return EINVAL;
    if (in.flags) return EINVAL;
    struct sb_file *from = fuse_handle_get(r->session, in.fh_in),
                   *to = fuse_handle_get(r->session, in.fh_out);
    int error = from && to ? sb_file_copy(from, in.off_in, to, in.off_out, in.len, &n) : EBADF;
    if (from) sb_file_unref(from);
    if (to) sb_file_unref(to);
    struct fuse_write_out out = {.size = (uint32_t)n};
    return error ? error : fuse_put(r, &out, sizeof out);
}
