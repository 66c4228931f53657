/* sysvm/jail/landlock.c: which files can be opened by name, by Landlock's plain system calls.
 * source  Linux, Documentation/userspace-api/landlock.rst. The structures are written here, since the C library's
 * headers are older than the kernels this runs on. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sysvm/jail/internal.h"

enum {
    EXECUTE = 1 << 0,
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIR = 1 << 3,
    REMOVE_DIR = 1 << 4,
    REMOVE_FILE = 1 << 5,
    MAKE_CHAR = 1 << 6,
    MAKE_DIR = 1 << 7,
    MAKE_REG = 1 << 8,
    MAKE_SOCK = 1 << 9,
    MAKE_FIFO = 1 << 10,
    MAKE_BLOCK = 1 << 11,
    MAKE_SYM = 1 << 12,
    REFER = 1 << 13,     /* version 2 */
    TRUNCATE = 1 << 14,  /* 3 */
    IOCTL_DEV = 1 << 15, /* 5 */
    OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
};
enum { BIND_TCP = 1, CONNECT_TCP = 2, ABSTRACT_SOCKETS = 1, SIGNALS = 2 };

struct ruleset {
    uint64_t files, net, scoped; /* net: version 4, scoped: 6 */
};
struct beneath {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

static uint64_t known_rights(long version) {
    uint64_t rights = MAKE_SYM | (MAKE_SYM - 1);
    if (version >= 2) rights |= REFER;
    if (version >= 3) rights |= TRUNCATE;
    if (version >= 5) rights |= IOCTL_DEV;
    return rights;
}

static uint64_t rights_of(const struct jail_path *path, bool is_folder) {
    uint64_t rights = 0;
    if (path->rights & JAIL_READ) rights |= READ_FILE | READ_DIR;
    if (path->rights & JAIL_WRITE)
        rights |= WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_CHAR | MAKE_DIR | MAKE_REG |
                  MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER;
    if (path->rights & JAIL_DEVICE) rights |= IOCTL_DEV;
    if (path->rights & JAIL_SOCKETS) rights |= MAKE_SOCK | REMOVE_FILE | READ_DIR;
    if (path->rights & JAIL_SCRATCH) rights |= READ_FILE | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE;
    return is_folder ? rights : rights & OF_FILES;
}

static enum atoll_status fail(struct atoll_error *err, const char *what, const char *path) {
    int system_errno = errno;
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "jail: %s%s%s: %s", what, path ? " " : "", path ? path : "",
               strerror(system_errno));
    if (err) err->system_errno = system_errno;
    return ATOLL_E_IO;
}

static enum atoll_status add_path(int ruleset, const struct jail_path *path, uint64_t known,
                                  size_t *n_granted, struct atoll_error *err) {
    enum { PATH_BENEATH = 1 };
    struct stat st;
    int fd = path->path ? open(path->path, O_PATH | O_CLOEXEC) : path->fd;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return ATOLL_OK;
    if (!path->path && fstat(fd, &st)) return ATOLL_OK; /* closed */
    if (fd < 0 || fstat(fd, &st)) return fail(err, "cannot look at", path->path);
    struct beneath rule = {rights_of(path, S_ISDIR(st.st_mode)) & known, fd};
    long failed = rule.allowed ? syscall(SYS_landlock_add_rule, ruleset, PATH_BENEATH, &rule, 0) : 0;
    /* EBADFD: a pipe, a socket or memory, which lies below no path and is not kept from anybody */
    enum atoll_status status = failed && errno != EBADFD ? fail(err, "cannot grant", path->path) : ATOLL_OK;
    if (path->path) close(fd);
    if (!failed) *n_granted += 1;
    return status;
}

enum atoll_status jail_keep_to_paths(struct jail *jail, struct atoll_error *err) {
    enum { VERSION = 1 };
    static const struct jail_path of_sanitizers = {.path = "/proc/self", .rights = JAIL_READ};
    const struct jail_config *config = &jail->config;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION);
    if (version < 1) return ATOLL_OK; /* not built in, or switched off */
    struct ruleset attributes = {.files = known_rights(version)};
    size_t size = version >= 6 ? sizeof attributes : version >= 4 ? 16 : 8;
    if (version >= 4 && !config->tcp) attributes.net = BIND_TCP | CONNECT_TCP;
    if (version >= 6) attributes.scoped = ABSTRACT_SOCKETS | SIGNALS;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (ruleset < 0) return fail(err, "no Landlock ruleset", NULL);
    enum atoll_status status = ATOLL_OK;
    size_t n_granted = 0;
    if (JAIL_SANITIZED) status = add_path(ruleset, &of_sanitizers, attributes.files, &n_granted, err);
    for (size_t i = 0; i < config->n_paths && !status; i++)
        status = add_path(ruleset, &config->paths[i], attributes.files, &n_granted, err);
    if (!status && syscall(SYS_landlock_restrict_self, ruleset, 0)) status = fail(err, "Landlock", NULL);
    close(ruleset);
    jail->holds.landlock = (unsigned)version;
    jail->holds.n_paths = n_granted;
    return status;
}
