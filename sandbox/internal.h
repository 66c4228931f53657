/* sandbox/internal.h: what this folder's files share. */
#ifndef ATOLL_SANDBOX_INTERNAL_H
#define ATOLL_SANDBOX_INTERNAL_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "sandbox/sandbox.h"

enum openat2_state { OPENAT2_UNTRIED, OPENAT2_WORKS, OPENAT2_REFUSED };

struct sandbox {
    const struct atoll_alloc *alloc;
    struct sb_config config;
    _Atomic uint32_t n_files;      /* alive, grants included */
    _Atomic uint64_t output_bytes; /* written, or taken by a write under way */
    atomic_bool output_exceeded;
    _Atomic enum openat2_state openat2;
    _Atomic size_t n_places; /* of all files: kept by list.c */
    int wake_fd;
    _Atomic int proc_fd; /* /proc/self/fd, opened when it is needed first; -1 before */
    const _Atomic uint32_t *stop;
    struct sb_grant *grants;
    size_t n_grants, cap_grants;
    struct sb_rule *rules; /* in the order they were given */
    size_t n_rules, cap_rules;
    struct sb_disk_grant **disks;
    size_t n_disks, cap_disks;
};

struct sb_file {
    struct sandbox *sb;
    atomic_uint refs;
    int fd;            /* of a stream of the host's: /dev/null, which answers all but reads and writes */
    sb_stream *stream; /* or NULL */
    void *stream_context;
    enum sb_type type;
    _Atomic unsigned flags; /* SB_OPEN_READ, SB_OPEN_WRITE, status flags */
    bool own;               /* fd is closed with the file */
    bool readonly;
    atomic_bool no_nowait;    /* the kernel knows no RWF_NOWAIT for this one: poll before each call */
    pthread_mutex_t turns[2]; /* to read, to write: of host streams and, so that what poll promised is not
                                 taken by another, of no_nowait */
    pthread_mutex_t lock; /* the position while a directory is listed; the status flags while they change */
    uint64_t *places; /* of a directory: what stands behind each entry that was listed (list.c); under lock */
    size_t n_places, places_capacity;
    size_t name_size; /* without the NUL */
    char name[];
};

/* ---- resolve.c ---- */

/* Checks a program's path and copies it as a C string. Errors: see struct sb_path. */
int sb_path_copy(struct sb_path path, char out[PATH_MAX]);
/* open(2) of `path` below `dir_fd`; `flags` are O_*. Returns a descriptor or -errno. Never leaves the
 * directory, never enters a proc file system: -EPERM. A trailing slash and O_NOFOLLOW mean what they mean to
 * the kernel. */
int sb_resolve(struct sandbox *sb, int dir_fd, const char *path, int flags, mode_t mode);
/* Whether a descriptor is of a proc file system, or of one that cannot be told. */
bool sb_is_procfs(int fd);
/* The same for `fd`, reached from `dir_fd`, which is of none. File systems are asked only where the devices
 * leave room for doubt, because one on a network has to ask in its turn. */
bool sb_leads_into_procfs(int dir_fd, int fd);

/* The directory that holds the last component of a path, and that component, which a following *at call hands
 * to the kernel: it does not follow links there and takes "." and ".." for errors. */
struct sb_parent {
    int fd;
    bool own;
    char name[PATH_MAX]; /* with one trailing slash when the path had any */
};
int sb_parent_open(struct sb_file *dir, struct sb_path path, struct sb_parent *out);
void sb_parent_close(struct sb_parent *parent);

/* ---- path.c ---- */

/* utimensat of the thing behind a descriptor, O_PATH too. Returns 0 or an errno. */
int sb_set_times_of(int fd, const struct timespec times[2]);

/* ---- file.c ---- */

/* Makes a file of `fd`, which it owns; on failure too when `own`. `name` and `sub_name` (NULL allowed) make
 * its name. */
int sb_file_new(struct sandbox *sb, int fd, bool own, const char *name, const char *sub_name, unsigned flags,
                struct sb_file **out);
/* O_* of SB_OPEN_*. */
int sb_host_flags(unsigned flags);
/* Takes room for a write of `want` bytes under max_output_bytes: how many of them may go out. What is not
 * written after all goes back. */
uint64_t sb_output_take(struct sandbox *sb, uint64_t want);
void sb_output_give(struct sandbox *sb, uint64_t unused);

/* ---- node.c ---- */

/* Checks a guest's name (node.h) and copies it. */
int sb_name_copy(struct sb_path name, char out[NAME_MAX + 1]);
/* A descriptor of /proc/self/fd, the sandbox's, or -errno. */
int sb_proc_fd(struct sandbox *sb);
/* Makes a node in `dir` of an O_PATH descriptor, which it takes over, or of a name that was checked. */
int sb_node_new(struct sb_file *dir, int fd, const char *name, struct sb_file **out, struct stat *out_stat);
int sb_node_find(struct sb_file *dir, const char *name, struct sb_file **out, struct stat *out_stat);
/* EPERM for set-ID bits in `mode` that the thing had not. */
int sb_mode_check(mode_t mode, bool directory, mode_t had);
/* chmod of the thing behind any descriptor; 0 or an errno. */
int sb_chmod_of(struct sandbox *sb, int fd, mode_t mode);
/* ---- connect.c ---- */

struct sb_rule {
    bool allow;
    enum { SB_RULE_NETWORK, SB_RULE_PUBLIC, SB_RULE_DNS } where;
    int protocol; /* enum sb_protocol, or -1: all */
    uint8_t ip[16];
    unsigned bits; /* of ip that count */
    uint16_t first_port, last_port;
};
/* The rules' answer to NET_CONNECT and NET_RESOLVE: 0 or EACCES. */
int sb_rules_decide(const struct sandbox *sb, const struct sb_request *request);

/* ---- disk.c ---- */

/* The door's answer to SB_DISK_OPEN. */
int sb_disk_decide(const struct sandbox *sb, const struct sb_request *request);
void sb_disks_free(struct sandbox *sb);

/* ---- list.c ---- */

#define SB_PLACES_MAX ((size_t)1 << 19) /* 4 MiB */
void sb_places_free(struct sb_file *dir);

/* ---- poll.c ---- */

static inline bool sb_stopped(const struct sandbox *sb) {
    return sb->stop && atomic_load_explicit(sb->stop, memory_order_seq_cst) != 0;
}
/* Waits for one file; 0 when ready, EINTR when stopped, EAGAIN when the file is non-blocking and not ready.
 */
int sb_wait(struct sb_file *file, short events);
/* The same for a descriptor that is no file yet. */
int sb_wait_ms(struct sandbox *sb, int fd, short events, int timeout_ms);

static inline struct sb_request sb_request_file(enum sb_kind kind, const struct sb_file *file, uint64_t first,
                                                uint64_t second) {
    return (struct sb_request){.kind = kind, .file = file, .numbers = {first, second}};
}
static inline struct sb_request sb_request_path(enum sb_kind kind, const struct sb_file *dir,
                                                struct sb_path path) {
    return (struct sb_request){.kind = kind,
                               .file = dir,
                               .name = path.bytes,
                               .name_size = path.size,
                               .numbers = {SB_ABSENT, SB_ABSENT}};
}

#endif
