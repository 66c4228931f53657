/* stdlib/wasi.h: what the files of WASI share. Numbers and layouts: the WASI repository, "witx" documents. */
#ifndef ATOLL_STDLIB_WASI_H
#define ATOLL_STDLIB_WASI_H

#include "stdlib/stdlib.h"

#include <string.h>

/* errno values of WASI that the functions give by themselves; the rest comes from the host's by wasi_errno.
 */
enum {
    WASI_OK = 0,
    WASI_E2BIG = 1,
    WASI_EAGAIN = 6,
    WASI_EBADF = 8,
    WASI_EFAULT = 21,
    WASI_EINTR = 27,
    WASI_EINVAL = 28,
    WASI_EMFILE = 33,
    WASI_ENAMETOOLONG = 37,
    WASI_ENOMEM = 48,
    WASI_ENOTDIR = 54,
    WASI_ENOTSOCK = 57,
    WASI_ENOTSUP = 58,
    WASI_EOVERFLOW = 61,
    WASI_ENOTCAPABLE = 76
};

/* Rights: bit a name, in the order of the specification. */
/* clang-format off */
#define WASI_RIGHTS_LIST(X)                                                                                  \
    X(FD_DATASYNC) X(FD_READ) X(FD_SEEK) X(FD_FDSTAT_SET_FLAGS) X(FD_SYNC) X(FD_TELL) X(FD_WRITE)            \
    X(FD_ADVISE) X(FD_ALLOCATE) X(PATH_CREATE_DIRECTORY) X(PATH_CREATE_FILE) X(PATH_LINK_SOURCE)             \
    X(PATH_LINK_TARGET) X(PATH_OPEN) X(FD_READDIR) X(PATH_READLINK) X(PATH_RENAME_SOURCE)                    \
    X(PATH_RENAME_TARGET) X(PATH_FILESTAT_GET) X(PATH_FILESTAT_SET_SIZE) X(PATH_FILESTAT_SET_TIMES)          \
    X(FD_FILESTAT_GET) X(FD_FILESTAT_SET_SIZE) X(FD_FILESTAT_SET_TIMES) X(PATH_SYMLINK)                      \
    X(PATH_REMOVE_DIRECTORY) X(PATH_UNLINK_FILE) X(POLL_FD_READWRITE) X(SOCK_SHUTDOWN) X(SOCK_ACCEPT)
/* clang-format on */
enum wasi_right_bit {
#define X(id) WASI_BIT_##id,
    WASI_RIGHTS_LIST(X)
#undef X
        WASI_RIGHT_COUNT
};
#define RIGHT(id)       (UINT64_C(1) << WASI_BIT_##id)
#define WASI_RIGHTS_ALL ((UINT64_C(1) << WASI_RIGHT_COUNT) - 1)
/* What makes sense on a directory itself, on a file, on a socket. */
#define WASI_RIGHTS_DIRECTORY                                                                                \
    (WASI_RIGHTS_ALL & ~(RIGHT(FD_READ) | RIGHT(FD_WRITE) | RIGHT(FD_SEEK) | RIGHT(FD_TELL) |                \
                         RIGHT(FD_ADVISE) | RIGHT(FD_ALLOCATE) | RIGHT(FD_FILESTAT_SET_SIZE) |               \
                         RIGHT(POLL_FD_READWRITE) | RIGHT(SOCK_SHUTDOWN) | RIGHT(SOCK_ACCEPT)))
#define WASI_RIGHTS_FILE                                                                                     \
    (RIGHT(FD_DATASYNC) | RIGHT(FD_READ) | RIGHT(FD_SEEK) | RIGHT(FD_FDSTAT_SET_FLAGS) | RIGHT(FD_SYNC) |    \
     RIGHT(FD_TELL) | RIGHT(FD_WRITE) | RIGHT(FD_ADVISE) | RIGHT(FD_ALLOCATE) | RIGHT(FD_FILESTAT_GET) |     \
     RIGHT(FD_FILESTAT_SET_SIZE) | RIGHT(FD_FILESTAT_SET_TIMES) | RIGHT(POLL_FD_READWRITE))
#define WASI_RIGHTS_SOCKET                                                                                   \
    (RIGHT(FD_READ) | RIGHT(FD_WRITE) | RIGHT(FD_FDSTAT_SET_FLAGS) | RIGHT(FD_FILESTAT_GET) |                \
     RIGHT(POLL_FD_READWRITE) | RIGHT(SOCK_SHUTDOWN) | RIGHT(SOCK_ACCEPT))

struct wasi_fd {
    struct sb_file *file; /* one reference; NULL = free */
    uint64_t base, inheriting;
    const char *preopen; /* guest name of a granted directory, else NULL; the sandbox's */
};

/* Used by all threads of a program. */
struct wasi {
    const struct atoll_alloc *alloc;
    struct rt_store *store; /* the program's first */
    struct sandbox *sandbox;
    const _Atomic uint32_t *stop; /* not 0: the program ends; the store's interrupt, or with threads ... */
    _Atomic uint32_t ending;      /* ... this, which any store's interrupt sets for good */
    pthread_mutex_t lock;         /* guards fds; nothing is called under it that waits or locks */
    char **args, **env;           /* NULL-free arrays of owned strings */
    uint32_t n_args, n_env;
    struct wasi_fd *fds;
    size_t n_fds, fds_capacity;
    struct wasi_binding {
        struct wasi *wasi;
        struct rt_func *func; /* made when first imported */
        uint8_t row;
        bool unstable;
    } * bindings;
};

/* One call from a program: its arguments, and the memory its pointers mean. */
struct wasi_call {
    struct wasi *wasi;
    struct rt_store *store; /* of the calling thread */
    struct rt_memory *memory;
    const union rt_slot *args;
    bool unstable;
    enum rt_trap trap;      /* set by what ends the program */
    struct wasi_fd held[2]; /* what wasi_fd_get gave; let go behind the call */
    unsigned n_held;
};

static inline uint32_t wasi_u32(const struct wasi_call *c, unsigned i) { return c->args[i].u32; }
static inline uint64_t wasi_u64(const struct wasi_call *c, unsigned i) { return c->args[i].u64; }

/* The one place where a program's pointer becomes a host's; NULL = not all of [at, at + n) is its memory. For
 * the kernel to read and write, and to see that a result will find its place: other threads may change the
 * bytes at any time, so the host takes copies. */
static inline void *wasi_at(const struct wasi_call *c, uint32_t at, uint64_t n) {
    return rt_memory_at(c->memory, at, n);
}
/* A copy of the program's bytes; false = EFAULT. Any alignment, as with the results below. */
static inline bool wasi_take(const struct wasi_call *c, uint32_t at, void *out, size_t n) {
    return rt_memory_read(c->memory, at, out, n);
}
/* Stores a result; false = EFAULT. */
static inline bool wasi_put(const struct wasi_call *c, uint32_t at, const void *value, size_t n) {
    return rt_memory_write(c->memory, at, value, n);
}
static inline bool wasi_put_u32(const struct wasi_call *c, uint32_t at, uint32_t value) {
    return wasi_put(c, at, &value, 4);
}
static inline bool wasi_put_u64(const struct wasi_call *c, uint32_t at, uint64_t value) {
    return wasi_put(c, at, &value, 8);
}

/* ---- wasi.c ---- */

/* What rt_store_interrupt calls for a store of the program, whose host_data is the struct wasi. */
void wasi_wake_store(struct rt_store *store);

/* ---- wasi_table.c: the descriptor table ---- */

/* The descriptor as it is now, when it is open and has all of `rights`; NULL and *out_errno (EBADF,
 * ENOTCAPABLE) otherwise. It stays open to the end of the call, whatever other threads close; at most two a
 * call. */
const struct wasi_fd *wasi_fd_get(struct wasi_call *c, uint32_t fd, uint64_t rights, uint32_t *out_errno);
/* The same into *out, whose file is the caller's reference. Returns an errno. */
uint32_t wasi_fd_take(struct wasi *w, uint32_t fd, uint64_t rights, struct wasi_fd *out);
/* Puts a file (its reference passes on) at the lowest free number. fails EMFILE, ENOMEM: the reference stays.
 */
uint32_t wasi_fd_add(struct wasi *w, struct sb_file *file, uint64_t base, uint64_t inheriting,
                     const char *preopen, uint32_t *out_fd);
/* Puts an entry behind the last: for the numbers that a program starts with. False = out of memory. */
bool wasi_fd_append(struct wasi *w, struct wasi_fd entry);
/* Each returns an errno. */
uint32_t wasi_fd_close(struct wasi *w, uint32_t fd);
uint32_t wasi_fd_move(struct wasi *w, uint32_t from, uint32_t to);
uint32_t wasi_fd_lose_rights(struct wasi *w, uint32_t fd, uint64_t base, uint64_t inheriting);
void wasi_fds_free(struct wasi *w);

/* ---- shared translations ---- */

/* Whether the program is to end, which its calls then do not survive. */
static inline bool wasi_stopped(const struct wasi_call *c) {
    return atomic_load(&c->store->interrupt) || atomic_load(c->wasi->stop);
}
/* Linux errno -> WASI errno; 0 stays 0. */
uint32_t wasi_errno(int host_errno);
/* File type byte of WASI. */
uint8_t wasi_filetype(enum sb_type type);
/* Writes a filestat in the module's layout. False = EFAULT. */
bool wasi_put_filestat(const struct wasi_call *c, uint32_t at, const struct stat *st);
/* The times of *_set_times; false = both "given" and "now" asked for one of them. */
bool wasi_times(uint64_t access_ns, uint64_t modify_ns, uint32_t flags, struct timespec out[2]);
/* fdflags <-> SB_OPEN_* status flags. */
unsigned wasi_status_flags(uint32_t fdflags);

/* Scatter list of a call: up to SB_MAX_IOV pieces of guest memory, more are left for the next call (I/O may
 * be short). Returns an errno. */
uint32_t wasi_iovecs(const struct wasi_call *c, uint32_t at, uint32_t count, struct iovec out[SB_MAX_IOV],
                     int *out_n);

#define FN(name, parameters, modules) uint32_t wasi_fn_##name(struct wasi_call *c);
#include "stdlib/wasi.def"
#undef FN

#endif
