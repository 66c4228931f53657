/* sandbox/sandbox.h: what a program or a guest may touch. The one header of this folder for the others.
 *
 *   face (WASI, virtio-fs, ...) -> sb_file_*, sb_net_* -> sb_ask (the door) -> host kernel
 *                                                           |
 *                                                           +-> trace, later: policy, filters, audit
 *
 * A sandbox starts with nothing. Grants open it: directories, listening sockets, streams handed in. Whatever
 * a program does to the outside is a request put to sb_ask first; no other function of this project decides.
 * Files are reached from directory handles only, component by component in the kernel (openat2) or here,
 * never by comparing path strings, so a link, a rename or a race cannot lead out of a grant. Proc file
 * systems are outside of every grant, that of / too.
 *
 * Functions that act for the program return 0 or a Linux errno: what the program will see. Functions that set
 * a sandbox up return enum atoll_status. Setting up and sb_free are for one thread; what acts for the program
 * may be called by many at once, also on one file. Locks guard one file or nothing, and none is held while
 * another is taken. */
#ifndef ATOLL_SANDBOX_H
#define ATOLL_SANDBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct sandbox;
struct sb_file;

/* ---- requests ---- */

/* One list: id, word, what it does to the object (READS, WRITES: refused below a read-only grant), labels of
 * its numbers (NULL = none). */
#define SB_KIND_LIST(X)                                                                                      \
    X(FS_OPEN, "fs.open", READS, "flags", NULL)     /* file = start directory, name; flags: SB_OPEN_* */     \
    X(FS_READ, "fs.read", READS, "bytes", "offset") /* offset only for positioned reads */                   \
    X(FS_WRITE, "fs.write", WRITES, "bytes", "offset")                                                       \
    X(FS_SEEK, "fs.seek", READS, "offset", "whence")                                                         \
    X(FS_STAT, "fs.stat", READS, NULL, NULL)                                                                 \
    X(FS_LIST, "fs.list", READS, "cookie", NULL)                                                             \
    X(FS_SYNC, "fs.sync", READS, NULL, NULL)                                                                 \
    X(FS_ADVISE, "fs.advise", READS, "offset", "bytes")                                                      \
    X(FS_ALLOCATE, "fs.allocate", WRITES, "offset", "bytes")                                                 \
    X(FS_TRUNCATE, "fs.truncate", WRITES, "size", NULL)                                                      \
    X(FS_SET_TIMES, "fs.set-times", WRITES, NULL, NULL)                                                      \
    X(FS_SET_FLAGS, "fs.set-flags", READS, "flags", NULL)                                                    \
    X(FS_MKDIR, "fs.mkdir", WRITES, NULL, NULL)                                                              \
    X(FS_RMDIR, "fs.rmdir", WRITES, NULL, NULL)                                                              \
    X(FS_UNLINK, "fs.unlink", WRITES, NULL, NULL)                                                            \
    X(FS_RENAME, "fs.rename", WRITES, NULL, NULL)   /* file, name -> file2, name2 */                         \
    X(FS_LINK, "fs.link", WRITES, NULL, NULL)       /* file, name -> file2, name2 */                         \
    X(FS_SYMLINK, "fs.symlink", WRITES, NULL, NULL) /* file, name; name2 = target */                         \
    X(FS_READLINK, "fs.readlink", READS, NULL, NULL)                                                         \
    /* what node.h adds for guests */                                                                        \
    X(FS_LOOKUP, "fs.lookup", READS, NULL, NULL)                                                             \
    X(FS_MKNOD, "fs.mknod", WRITES, "mode", "device")                                                        \
    X(FS_SET_MODE, "fs.set-mode", WRITES, "mode", NULL)                                                      \
    X(FS_SET_OWNER, "fs.set-owner", WRITES, "uid", "gid")                                                    \
    X(FS_GET_XATTR, "fs.get-xattr", READS, NULL, NULL) /* name = the attribute's */                          \
    X(FS_SET_XATTR, "fs.set-xattr", WRITES, "bytes", NULL)                                                   \
    X(FS_LIST_XATTR, "fs.list-xattr", READS, NULL, NULL)                                                     \
    X(FS_REMOVE_XATTR, "fs.remove-xattr", WRITES, NULL, NULL)                                                \
    X(FS_STATFS, "fs.statfs", READS, NULL, NULL)                                                             \
    X(FS_COPY, "fs.copy", WRITES, "bytes", NULL) /* file -> file2 */                                         \
    X(FS_CLOSE, "fs.close", READS, NULL, NULL)                                                               \
    X(NET_ACCEPT, "net.accept", READS, NULL, NULL)                                                           \
    X(NET_RECV, "net.recv", READS, "bytes", NULL)                                                            \
    X(NET_SEND, "net.send", WRITES, "bytes", NULL)                                                           \
    X(NET_SHUTDOWN, "net.shutdown", READS, "how", NULL)                                                      \
    X(NET_CONNECT, "net.connect", READS, NULL, NULL) /* address */                                           \
    X(NET_VSOCK, "net.vsock", READS, "port", NULL)   /* a guest, to a socket of the host that was set up */  \
    X(NET_RESOLVE, "net.resolve", READS, NULL, NULL) /* a question to the host's name server */              \
    X(POLL, "poll", READS, "events", NULL)                                                                   \
    X(CLOCK, "clock", READS, "id", NULL)                                                                     \
    X(RANDOM, "random", READS, "bytes", NULL)                                                                \
    X(ARGS, "args", READS, NULL, NULL)                                                                       \
    X(ENV, "env", READS, NULL, NULL) /* name = the variable's */                                             \
    X(YIELD, "yield", READS, NULL, NULL)                                                                     \
    X(THREAD, "thread", READS, "max", NULL)                /* one more */                                    \
    X(NATIVE_OPEN, "native.open", READS, NULL, NULL)       /* name = the library's */                        \
    X(NATIVE_CALL, "native.call", READS, NULL, NULL)       /* name = the function's */                       \
    X(DISK_OPEN, "disk.open", READS, "flags", NULL)        /* name = as granted; flags: SB_OPEN_* */         \
    X(DISK_BACKING, "disk.backing", READS, NULL, NULL)     /* name = as an image's header has it */          \
    X(DISK_TEMPORARY, "disk.temporary", READS, NULL, NULL) /* name = the folder */                           \
    X(DISK_REMOVE, "disk.remove", READS, NULL, NULL)       /* name = as granted */                           \
    X(DISK_READ, "disk.read", READS, "bytes", "offset")    /* name = the disk's, here and below */           \
    X(DISK_WRITE, "disk.write", WRITES, "bytes", "offset")                                                   \
    X(DISK_FLUSH, "disk.flush", READS, NULL, NULL)                                                           \
    X(DISK_DISCARD, "disk.discard", WRITES, "bytes", "offset")                                               \
    X(DISK_ZERO, "disk.zero", WRITES, "bytes", "offset")                                                     \
    X(EXIT, "exit", READS, "status", NULL)
enum sb_kind {
#define X(id, word, effect, label0, label1) SB_##id,
    SB_KIND_LIST(X)
#undef X
        SB_KIND_COUNT
};

#define SB_ABSENT UINT64_MAX /* a number of a request that does not apply this time */

enum sb_protocol { SB_TCP, SB_UDP, SB_ICMP };
/* The far end of a connection or a flow, as the host's kernel will see it. */
struct sb_address {
    enum sb_protocol protocol;
    uint8_t ip[16]; /* IPv6; an IPv4 address as ::ffff:a.b.c.d */
    uint16_t port;  /* 0 for SB_ICMP */
};

struct sb_request {
    enum sb_kind kind;
    const struct sb_file *file; /* the object, or the directory `name` starts at; NULL where there is none */
    const char *name;           /* as the program gave it: untrusted bytes, not NUL-terminated; NULL = none */
    size_t name_size;
    const struct sb_file *file2;
    const char *name2;
    size_t name2_size;
    uint64_t numbers[2];              /* as the list labels them; SB_ABSENT = left out */
    const struct sb_address *address; /* of NET_CONNECT */
};

/* The door. 0 = allowed; else the errno the program gets: refused by a grant, a limit or the policy. A
 * refusal is traced here; an allowed request is traced by sb_answer, which has to follow. */
int sb_ask(struct sandbox *sb, const struct sb_request *request);
/* Tells trace (later: audit) how an allowed request ended: errno (0 = done) and the value it gave. Returns
 * `error`. */
int sb_answer(struct sandbox *sb, const struct sb_request *request, int error, uint64_t value);
const char *sb_kind_word(enum sb_kind kind);

/* ---- a sandbox ---- */

struct sb_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    uint32_t max_fds;                /* files, directories and sockets open at once; 0 = SB_MAX_FDS_DEFAULT */
    uint64_t
        max_output_bytes; /* all bytes written to streams, files, sockets; 0 = no limit. Beyond: ENOSPC */
    bool no_openat2;      /* walk components here even where the kernel could (tests) */
    /* One line a request, without newline, unprintable bytes as \xx; NULL = no trace. On any thread. */
    void (*trace)(void *context, const char *line);
    void *trace_context;
};
#define SB_MAX_FDS_DEFAULT 1024

/* fails  E_NOMEM, E_IO (no eventfd) */
enum atoll_status sb_new(const struct sb_config *config, struct sandbox **out, struct atoll_error *err);
/* Closes the grants. Files still referenced by others have to be gone before. NULL is allowed. */
void sb_free(struct sandbox *sb);

/* Bytes written so far; true in *out_exceeded (NULL allowed) once max_output_bytes has refused something. */
uint64_t sb_output_bytes(const struct sandbox *sb, bool *out_exceeded);

/* ---- grants ---- */

/* Host directory `host` appears to the program as `guest`. What it holds of proc file systems does not: they
 * are neither granted nor entered, since they hold the memory of this process.
 * fails  E_IO (system_errno; text names the directory), E_NOMEM */
enum atoll_status sb_grant_dir(struct sandbox *sb, const char *host, const char *guest, bool readonly,
                               struct atoll_error *err);
/* The same from a flag's text: HOST[::GUEST][:ro]; GUEST defaults to HOST. fails also E_USAGE */
enum atoll_status sb_grant_dir_text(struct sandbox *sb, const char *text, struct atoll_error *err);
/* A listening stream socket bound to HOST:PORT ([V6]:PORT; a bare PORT means 127.0.0.1) that the program may
 * accept from. fails E_USAGE (text), E_IO */
enum atoll_status sb_grant_listen(struct sandbox *sb, const char *address, struct atoll_error *err);
/* The same with a socket the caller already listens on (systemd's LISTEN_FDS); the sandbox takes the
 * descriptor over on success. */
enum atoll_status sb_grant_listen_fd(struct sandbox *sb, int fd, const char *name, struct atoll_error *err);

struct sb_grant {
    const char *guest;    /* name the program sees */
    struct sb_file *file; /* the directory or the listening socket; owned by the sandbox */
};
size_t sb_grant_count(const struct sandbox *sb);
/* In the order they were granted; i < sb_grant_count. */
const struct sb_grant *sb_grant_at(const struct sandbox *sb, size_t i);

/* ---- stopping ---- */

/* Calls that would block return EINTR while *stop is not 0. `stop` has to outlive its use; NULL = never. */
void sb_set_stop(struct sandbox *sb, const _Atomic uint32_t *stop);
/* Makes a blocked call look at *stop now. Any thread, any signal handler. */
void sb_wake(struct sandbox *sb);

/* ---- files ---- */

enum sb_open_flags {
    SB_OPEN_READ = 1 << 0,
    SB_OPEN_WRITE = 1 << 1,
    SB_OPEN_CREATE = 1 << 2,
    SB_OPEN_EXCLUSIVE = 1 << 3,
    SB_OPEN_TRUNCATE = 1 << 4,
    SB_OPEN_DIRECTORY = 1 << 5,
    SB_OPEN_NOFOLLOW = 1 << 6,
    /* status flags; sb_file_set_flags changes APPEND and NONBLOCK too */
    SB_OPEN_APPEND = 1 << 8,
    SB_OPEN_NONBLOCK = 1 << 9,
    SB_OPEN_SYNC = 1 << 10,
    SB_OPEN_DSYNC = 1 << 11,
    SB_OPEN_RSYNC = 1 << 12,
    SB_OPEN_DIRECT = 1 << 13 /* disks only: not through the host's cache */
};
#define SB_STATUS_FLAGS (SB_OPEN_APPEND | SB_OPEN_NONBLOCK | SB_OPEN_SYNC | SB_OPEN_DSYNC | SB_OPEN_RSYNC)

enum sb_type {
    SB_TYPE_UNKNOWN,
    SB_TYPE_REGULAR,
    SB_TYPE_DIRECTORY,
    SB_TYPE_SYMLINK,
    SB_TYPE_CHARACTER,
    SB_TYPE_BLOCK,
    SB_TYPE_FIFO,
    SB_TYPE_SOCKET_STREAM,
    SB_TYPE_SOCKET_DATAGRAM
};
enum sb_type sb_type_of_mode(mode_t mode); /* sockets: stream */

/* A path as the program gave it: any bytes. Refused: embedded NUL EINVAL, empty ENOENT, PATH_MAX and longer
 * ENAMETOOLONG, absolute or leaving its directory EPERM. */
struct sb_path {
    const char *bytes;
    size_t size;
};

/* Wraps a host descriptor (stdin, stdout, --stdout FILE) as a file of the program.
 * flags  SB_OPEN_READ | SB_OPEN_WRITE as allowed, status flags as they are
 * owns   the descriptor when `own`; on failure it stays the caller's
 * fails  EMFILE (max_fds), ENOMEM, EBADF */
int sb_file_adopt(struct sandbox *sb, int fd, const char *name, unsigned flags, bool own,
                  struct sb_file **out);
/* A stream that the host serves itself: called for each piece read or written, on the thread of the caller,
 * by one at a time. The bytes are the program's: where it has threads, they may change meanwhile. Returns the
 * bytes done, 0 at the end of input, or -errno; it never sees more than `size`. */
typedef int64_t sb_stream(void *context, void *bytes, size_t size);
/* flags  SB_OPEN_READ or SB_OPEN_WRITE
 * fails  EMFILE (max_fds), ENOMEM, or what opening /dev/null says */
int sb_file_stream(struct sandbox *sb, const char *name, unsigned flags, sb_stream *stream, void *context,
                   struct sb_file **out);
void sb_file_ref(struct sb_file *file); /* who has one may make another, on any thread */
/* The last reference closes it. */
void sb_file_unref(struct sb_file *file);

enum sb_type sb_file_type(const struct sb_file *file);
unsigned sb_file_flags(const struct sb_file *file);   /* SB_OPEN_READ, WRITE and the status flags */
const char *sb_file_name(const struct sb_file *file); /* how the program came to it, for messages */
bool sb_file_readonly(const struct sb_file *file);    /* below a read-only grant */
bool sb_file_is_terminal(const struct sb_file *file);
int sb_file_fd(const struct sb_file *file); /* for polling, and to tell the kernel which directory is meant */

/* Opens `path` from directory `dir`. out: a new reference. */
int sb_file_open(struct sb_file *dir, struct sb_path path, unsigned flags, struct sb_file **out);
/* offset SB_ABSENT = at the file's position. Short counts as the kernel gives them. n_iov at most SB_MAX_IOV.
 */
int sb_file_read(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t *out_n);
int sb_file_write(struct sb_file *file, const struct iovec *iov, int n_iov, uint64_t offset, uint64_t *out_n);
#define SB_MAX_IOV 1024
int sb_file_seek(struct sb_file *file, int64_t offset, int whence, uint64_t *out_position); /* SEEK_* */
int sb_file_sync(struct sb_file *file, bool data_only);
int sb_file_advise(struct sb_file *file, uint64_t offset, uint64_t n_bytes, int advice); /* POSIX_FADV_* */
/* mode: FALLOC_FL_KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE; others EOPNOTSUPP */
int sb_file_allocate(struct sb_file *file, int mode, uint64_t offset, uint64_t n_bytes);
int sb_file_truncate(struct sb_file *file, uint64_t size);
/* All status flags as they shall be. fails: EINVAL when SYNC, DSYNC or RSYNC would change (the kernel fixes
 * them at open), ENOTSUP when APPEND would change on a borrowed descriptor (other processes share it). */
int sb_file_set_flags(struct sb_file *file, unsigned status_flags);
int sb_file_stat(struct sb_file *file, struct stat *out);
int sb_file_set_times(struct sb_file *file,
                      const struct timespec times[2]); /* access, modification; UTIME_* */
/* Entries behind `cookie` (0 = start) in the kernel's linux_dirent64 layout, "." and ".." among them ("..":
 * inode of the directory itself). *out_n = 0: no more. A buffer too small for one entry: EINVAL. */
int sb_file_list(struct sb_file *dir, uint64_t cookie, void *buffer, size_t size, size_t *out_n);
/* The same with cookies that count entries, for programs that keep 32 bits of them. Each directory knows those
 * it gave (others: EINVAL); behind half a million of them the kernel's come, with bit 63 set. */
int sb_file_list_numbered(struct sb_file *dir, uint64_t cookie, void *buffer, size_t size, size_t *out_n);

int sb_path_stat(struct sb_file *dir, struct sb_path path, bool follow, struct stat *out);
int sb_path_set_times(struct sb_file *dir, struct sb_path path, bool follow, const struct timespec times[2]);
int sb_path_mkdir(struct sb_file *dir, struct sb_path path);
int sb_path_rmdir(struct sb_file *dir, struct sb_path path);
int sb_path_unlink(struct sb_file *dir, struct sb_path path);
int sb_path_rename(struct sb_file *dir, struct sb_path path, struct sb_file *new_dir,
                   struct sb_path new_path);
/* Hard link; a symbolic link at the end of `path` is linked itself. */
int sb_path_link(struct sb_file *dir, struct sb_path path, struct sb_file *new_dir, struct sb_path new_path);
/* Absolute targets EPERM; relative ones may say anything, since following is what is checked. */
int sb_path_symlink(struct sb_path target, struct sb_file *dir, struct sb_path path);
/* Up to `size` bytes of the target; *out_n is how many. */
int sb_path_readlink(struct sb_file *dir, struct sb_path path, char *buffer, size_t size, size_t *out_n);

/* ---- sockets ---- */

int sb_net_accept(struct sb_file *listener, unsigned status_flags, struct sb_file **out);
/* flags: MSG_PEEK, MSG_WAITALL. *out_truncated as MSG_TRUNC. */
int sb_net_recv(struct sb_file *socket, const struct iovec *iov, int n_iov, int flags, uint64_t *out_n,
                bool *out_truncated);
int sb_net_send(struct sb_file *socket, const struct iovec *iov, int n_iov, uint64_t *out_n);
int sb_net_shutdown(struct sb_file *socket, int how); /* SHUT_* */

/* ---- outgoing connections ---- */

/* Adds a rule; of all that fit a request the first one decides, and what no rule fits is refused.
 *   [tcp:|udp:|icmp:]WHERE[:PORT[-PORT]]
 * WHERE is an address (V4 or [V6], /BITS behind it for a network), a name (looked up now, all its addresses),
 * or a word: any; public, which is any but this machine, its links (169.254/16, fe80::/10) and groups; host,
 * the loopback of this machine; dns, its name server, which takes no port.
 * fails  E_USAGE (text), E_NOMEM */
enum atoll_status sb_rule_connect(struct sandbox *sb, bool allow, const char *text, struct atoll_error *err);
/* Whether some rule could let a program reach the loopback of this machine. */
bool sb_rules_reach_host(const struct sandbox *sb);
/* Asks and answers at once, for faces where the connection is made by another: 0 or EACCES. */
int sb_net_may_connect(struct sandbox *sb, const struct sb_address *address);
int sb_net_may_resolve(struct sandbox *sb);
int sb_net_vsock(struct sandbox *sb, uint32_t port); /* the grant is the device: never refused by rules */
/* "tcp 127.0.0.1:80", "icmp [fe80::1]". */
#define SB_ADDRESS_TEXT 64
void sb_address_text(const struct sb_address *address, char out[SB_ADDRESS_TEXT]);

/* ---- disks of guests ---- */

/* A disk image that is open, and the folder where it lies. */
struct sb_disk {
    int fd, folder_fd; /* -1 = none */
};

/* The image at host path `path` may be opened by this very text; it need not be there yet. An image's header
 * may name it as a backing file, too, in whatever words. fails E_USAGE, E_NOMEM */
enum atoll_status sb_grant_disk(struct sandbox *sb, const char *path, bool readonly, struct atoll_error *err);
/* Opens a granted image, a regular file or a block device.
 * flags  SB_OPEN_READ, WRITE, CREATE, EXCLUSIVE, TRUNCATE, DIRECT
 * out    *out, for sb_disk_close
 * fails  EPERM: not granted; EROFS: granted to be read; EBUSY: a block device in use; ENOTBLK: no disk */
int sb_disk_open(struct sandbox *sb, const char *path, unsigned flags, struct sb_disk *out);
/* Makes a granted image that is not there, without a name where the file system has that, so that nothing is left of one
 * that is not finished, however this process ends. What it is called then sb_disk_finish says, which has to follow
 * before sb_disk_close. fails  EEXIST; as sb_disk_open */
int sb_disk_create(struct sandbox *sb, const char *path, struct sb_disk *out);
/* keep: it gets its name, `path`, as it was created. fails  EEXIST: something else has it by now; as linkat */
int sb_disk_finish(struct sandbox *sb, const char *path, const struct sb_disk *disk, bool keep);
/* Opens, to be read, what the header of `image` names as its backing file: below the image's folder, or the
 * same file as a granted one. fails EPERM: neither; ENOTBLK, and what opening says */
int sb_disk_open_backing(struct sandbox *sb, const struct sb_disk *image, const char *path,
                         struct sb_disk *out);
/* A file without a name in `folder`: gone with its descriptor. fails what opening says */
int sb_disk_temporary(struct sandbox *sb, const char *folder, struct sb_disk *out);
/* Unlinks a granted image that was begun and not finished. Not for devices. fails as sb_disk_open */
int sb_disk_remove(struct sandbox *sb, const char *path);
void sb_disk_close(struct sb_disk *disk);

/* ---- waiting ---- */

struct sb_poll {
    struct sb_file *file;
    short events;  /* POLLIN, POLLOUT */
    short revents; /* out, as poll(2) */
};
/* Waits until a file is ready, `deadline_ns` of CLOCK_MONOTONIC has come (0 = do not wait, UINT64_MAX = for
 * ever) or *stop is set (EINTR). Regular files are always ready. *out_ready counts files with revents. */
int sb_poll(struct sandbox *sb, struct sb_poll *polls, size_t n_polls, uint64_t deadline_ns,
            size_t *out_ready);

#endif
