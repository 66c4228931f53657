/* sysvm/dev/virtio/fs/dispatch.c: from a message to the function that does it, and its answer. */
#include "sysvm/dev/virtio/fs/internal.h"

/* ---- messages ---- */

unsigned fuse_slice(const struct iovec *iov, unsigned n, size_t skip, size_t size,
                    struct iovec out[FUSE_MAX_IOV]) {
    unsigned n_out = 0;
    for (unsigned i = 0; i < n && i < FUSE_MAX_IOV && size; i++) {
        size_t length = iov[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        length -= skip;
        if (length > size) length = size;
        out[n_out++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, length};
        size -= length;
        skip = 0;
    }
    return n_out;
}

static size_t total_of(const struct iovec *iov, unsigned n) {
    size_t total = 0;
    for (unsigned i = 0; i < n; i++) total += iov[i].iov_len;
    return total;
}

static size_t gather(const struct iovec *iov, unsigned n, size_t skip, void *out, size_t size) {
    struct iovec pieces[FUSE_MAX_IOV];
    size_t at = 0;
    unsigned n_pieces = fuse_slice(iov, n, skip, size, pieces);
    for (unsigned i = 0; i < n_pieces; at += pieces[i++].iov_len)
        memcpy((uint8_t *)out + at, pieces[i].iov_base, pieces[i].iov_len);
    return at;
}

static void scatter(const struct iovec *iov, unsigned n, size_t skip, const void *bytes, size_t size) {
    struct iovec pieces[FUSE_MAX_IOV];
    size_t at = 0;
    unsigned n_pieces = fuse_slice(iov, n, skip, size, pieces);
    for (unsigned i = 0; i < n_pieces; at += pieces[i++].iov_len)
        memcpy(pieces[i].iov_base, (const uint8_t *)bytes + at, pieces[i].iov_len);
}

bool fuse_take(struct fuse_request *r, void *out, size_t n) {
    if (r->n_args - r->at < n) return false;
    memcpy(out, r->args + r->at, n);
    r->at += n;
    return true;
}

bool fuse_take_name(struct fuse_request *r, struct sb_path *out) {
    const uint8_t *begin = r->args + r->at, *end = memchr(begin, 0, r->n_args - r->at);
    if (!end) return false;
    *out = (struct sb_path){(const char *)begin, (size_t)(end - begin)};
    r->at += out->size + 1;
    return true;
}

int fuse_put(struct fuse_request *r, const void *bytes, size_t n) {
    if (fuse_room(r) - r->n_answer < n) return EINVAL;
    scatter(r->in, r->n_in, sizeof(struct fuse_out_header) + r->n_answer, bytes, n);
    r->n_answer += n;
    return 0;
}

/* ---- beginning and end ---- */

#define OFFERED                                                                                              \
    (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |  \
     FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS)

/* Guests that know later protocols speak this one: what came after it is asked for by flags. */
static int do_init(struct fuse_request *r) {
    struct fuse_init_in in = {0};
    if (!fuse_take(r, &in, 16)) return EINVAL; /* up to the flags; what follows has to do with others */
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                                .minor = 31,
                                .max_readahead = in.max_readahead,
                                .flags = in.flags & OFFERED,
                                .max_background = 64,
                                .congestion_threshold = 48,
                                .max_write = FUSE_DATA_MAX,
                                .time_gran = 1,
                                .max_pages = FUSE_MAX_PAGES_N};
    if (in.major != FUSE_KERNEL_VERSION || in.minor < 31) return EPROTO;
    fuse_tables_clear(r->session); /* a guest that mounts again starts with nothing */
    r->session->ready = true;
    return fuse_put(r, &out, sizeof out);
}

static int do_destroy(struct fuse_request *r) {
    r->session->ready = false;
    fuse_tables_clear(r->session);
    return 0;
}

static int do_nothing(struct fuse_request *r) {
    (void)r;
    return 0;
}

/* ---- the table ---- */

#define SILENT 1 /* no answer, whatever happens */
#define DATA   2 /* the message goes on with data that stays where it is */

/* answer_bytes: the room an answer of fixed size needs; looked at first, so that nothing is done that could not be
 * told. What is not in the list is ENOSYS, which makes a guest do without: FLUSH (nothing is held back here),
 * ACCESS (the guest checks modes itself), locks (kept in the guest), POLL, IOCTL, STATX. */
static const struct operation {
    int (*run)(struct fuse_request *r);
    unsigned args_max; /* bytes behind the header that are looked at; 0 = FUSE_ARGS_MAX */
    unsigned answer_bytes;
    unsigned flags;
} operations[] = {
    [FUSE_LOOKUP] = {fuse_do_lookup, 0, sizeof(struct fuse_entry_out), 0},
    [FUSE_FORGET] = {fuse_do_forget, 0, 0, SILENT},
    [FUSE_GETATTR] = {fuse_do_getattr, 0, sizeof(struct fuse_attr_out), 0},
    [FUSE_SETATTR] = {fuse_do_setattr, 0, sizeof(struct fuse_attr_out), 0},
    [FUSE_READLINK] = {fuse_do_readlink, 0, 0, 0},
    [FUSE_SYMLINK] = {fuse_do_symlink, 0, sizeof(struct fuse_entry_out), 0},
    [FUSE_MKNOD] = {fuse_do_mknod, 0, sizeof(struct fuse_entry_out), 0},
    [FUSE_MKDIR] = {fuse_do_mkdir, 0, sizeof(struct fuse_entry_out), 0},
    [FUSE_UNLINK] = {fuse_do_unlink, 0, 0, 0},
    [FUSE_RMDIR] = {fuse_do_rmdir, 0, 0, 0},
    [FUSE_RENAME] = {fuse_do_rename, 0, 0, 0},
    [FUSE_LINK] = {fuse_do_link, 0, sizeof(struct fuse_entry_out), 0},
    [FUSE_OPEN] = {fuse_do_open, 0, sizeof(struct fuse_open_out), 0},
    [FUSE_READ] = {fuse_do_read, 0, 0, 0},
    [FUSE_WRITE] = {fuse_do_write, sizeof(struct fuse_write_in), sizeof(struct fuse_write_out), DATA},
    [FUSE_STATFS] = {fuse_do_statfs, 0, sizeof(struct fuse_statfs_out), 0},
    [FUSE_RELEASE] = {fuse_do_release, 0, 0, 0},
    [FUSE_FSYNC] = {fuse_do_fsync, 0, 0, 0},
    [FUSE_SETXATTR] = {fuse_do_setxattr, 0, 0, 0},
    [FUSE_GETXATTR] = {fuse_do_getxattr, 0, 0, 0},
    [FUSE_LISTXATTR] = {fuse_do_listxattr, 0, 0, 0},
    [FUSE_REMOVEXATTR] = {fuse_do_removexattr, 0, 0, 0},
    [FUSE_INIT] = {do_init, 0, sizeof(struct fuse_init_out), 0},
    [FUSE_OPENDIR] = {fuse_do_opendir, 0, sizeof(struct fuse_open_out), 0},
    [FUSE_READDIR] = {fuse_do_readdir, 0, 0, 0},
    [FUSE_RELEASEDIR] = {fuse_do_release, 0, 0, 0},
    [FUSE_FSYNCDIR] = {fuse_do_fsync, 0, 0, 0},
    [FUSE_CREATE] = {fuse_do_create, 0, sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out), 0},
    [FUSE_INTERRUPT] = {do_nothing, 0, 0, SILENT},
    [FUSE_DESTROY] = {do_destroy, 0, 0, 0},
    [FUSE_BATCH_FORGET] = {fuse_do_batch_forget, 0, 0, SILENT},
    [FUSE_FALLOCATE] = {fuse_do_fallocate, 0, 0, 0},
    [FUSE_READDIRPLUS] = {fuse_do_readdirplus, 0, 0, 0},
    [FUSE_RENAME2] = {fuse_do_rename2, 0, 0, 0},
    [FUSE_LSEEK] = {fuse_do_lseek, 0, sizeof(struct fuse_lseek_out), 0},
    [FUSE_COPY_FILE_RANGE] = {fuse_do_copy_file_range, 0, sizeof(struct fuse_write_out), 0},
    [FUSE_SYNCFS] = {fuse_do_syncfs, 0, 0, 0},
};

static int run(struct fuse_request *r, const struct operation *op) {
    size_t max = op->args_max ? op->args_max : FUSE_ARGS_MAX;
    size_t rest = r->out_bytes - sizeof r->header;
    if (!op->run) return ENOSYS;
    if (!r->session->ready && op->run != do_init) return EIO;
    if (!(op->flags & SILENT) && fuse_room(r) < op->answer_bytes) return EINVAL;
    if (rest > max && !(op->flags & DATA)) return E2BIG;
    r->args = r->scratch->args;
    r->n_args = gather(r->out, r->n_out, sizeof r->header, r->scratch->args, rest < max ? rest : max);
    return op->run(r);
}

size_t fuse_serve(struct fuse_session *session, struct fuse_scratch *scratch, const struct iovec *out,
                  unsigned n_out, const struct iovec *in, unsigned n_in) {
    static const struct operation unknown = {NULL, 0, 0, 0};
    struct fuse_request r = {
        .session = session, .scratch = scratch, .out = out, .in = in, .n_out = n_out, .n_in = n_in};
    struct fuse_out_header header;
    r.out_bytes = total_of(out, n_out);
    r.in_bytes = total_of(in, n_in);
    if (gather(out, n_out, 0, &r.header, sizeof r.header) < sizeof r.header) return 0;
    const struct operation *op = &unknown;
    if (r.header.opcode < sizeof operations / sizeof *operations) op = &operations[r.header.opcode];
    if (!(op->flags & SILENT) && r.in_bytes < sizeof header) return 0; /* not even an error can be told */
    int error = run(&r, op);
    if (op->flags & SILENT) return 0;
    size_t size = sizeof header + (error ? 0 : r.n_answer);
    header = (struct fuse_out_header){.len = (uint32_t)size, .error = -error, .unique = r.header.unique};
    scatter(in, n_in, 0, &header, sizeof header);
    return size;
}

struct fuse_scratch *fuse_scratch_new(const struct atoll_alloc *alloc) {
    return atoll_new(alloc ? alloc : &atoll_default_alloc, 1, sizeof(struct fuse_scratch));
}

void fuse_scratch_free(const struct atoll_alloc *alloc, struct fuse_scratch *scratch) {
    atoll_free(alloc ? alloc : &atoll_default_alloc, scratch, sizeof *scratch);
}
