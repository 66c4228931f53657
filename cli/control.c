/* cli/control.c: see control.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "cli/control.h"

static enum atoll_status fail_errno(struct atoll_error *err, const char *path) {
    int system_errno = errno;
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s: %s", path, strerror(system_errno));
    if (err) err->system_errno = system_errno;
    return ATOLL_E_IO;
}

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool control_name_valid(const char *name) {
    size_t n = strlen(name);
    if (!n || n > CONTROL_NAME_MAX || !is_plain(name[0])) return false;
    for (size_t i = 0; i < n; i++)
        if (!is_plain(name[i]) && !strchr("-_.", name[i])) return false;
    return true;
}

/* ---- the folder ---- */

static enum atoll_status check_folder(struct control_folder *folder, struct atoll_error *err) {
    struct stat st;
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder->fd < 0 || fstat(folder->fd, &st)) return fail_errno(err, folder->path);
    if (st.st_uid == geteuid() && !(st.st_mode & 077)) return ATOLL_OK;
    return atoll_fail(err, ATOLL_E_DENIED, ATOLL_NO_OFFSET, "%s: not this user's own folder with mode 0700",
                      folder->path);
}

enum atoll_status control_folder_open(struct control_folder *folder, struct atoll_error *err) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    bool given = runtime && runtime[0] == '/';
    int n = given ? snprintf(folder->path, sizeof folder->path, "%s/atoll", runtime)
                  : snprintf(folder->path, sizeof folder->path, "/tmp/atoll-%lu", (unsigned long)geteuid());
    folder->fd = -1;
    /* "at /proc/self/fd/N" would do for any length, but not in every container */
    size_t room = sizeof((struct sockaddr_un *)0)->sun_path - sizeof "/.sock" - CONTROL_NAME_MAX;
    if (n < 0 || (size_t)n > room || (size_t)n >= sizeof folder->path)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "XDG_RUNTIME_DIR is longer than %zu bytes",
                          room - sizeof "/atoll" + 1);
    if (mkdir(folder->path, 0700) && errno != EEXIST) return fail_errno(err, folder->path);
    enum atoll_status status = check_folder(folder, err);
    if (status != ATOLL_OK) control_folder_close(folder);
    return status;
}

void control_folder_close(struct control_folder *folder) {
    if (folder->fd >= 0) close(folder->fd);
    folder->fd = -1;
}

/* ---- locks ---- */

static void file_name(const char *name, const char *kind, char out[CONTROL_NAME_MAX + 6]) {
    snprintf(out, CONTROL_NAME_MAX + 6, "%s.%s", name, kind);
}

void control_remove(const struct control_folder *folder, const char *name) {
    char file[CONTROL_NAME_MAX + 6];
    file_name(name, "sock", file);
    unlinkat(folder->fd, file, 0);
    file_name(name, "lock", file); /* last: who has it locked is alone until here */
    unlinkat(folder->fd, file, 0);
}

/* Whether the locked file still is the one of that name: it may have been removed between open and lock. */
static bool is_current(const struct control_folder *folder, const char *file, int fd) {
    struct stat locked, named;
    return !fstat(fd, &locked) && !fstatat(folder->fd, file, &named, AT_SYMLINK_NOFOLLOW) &&
           locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
}

/* The locked file, or -1 with errno. */
static int take_lock(const struct control_folder *folder, const char *name, int flags) {
    char file[CONTROL_NAME_MAX + 6];
    file_name(name, "lock", file);
    for (;;) {
        int fd = openat(folder->fd, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
        if (fd < 0) return -1;
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            int error = errno;
            close(fd);
            errno = error;
            return -1;
        }
        if (is_current(folder, file, fd)) return fd;
        close(fd);
    }
}

enum atoll_status control_lock(const struct control_folder *folder, const char *name, int *out_fd,
                               struct atoll_error *err) {
    char file[CONTROL_NAME_MAX + 6];
    *out_fd = take_lock(folder, name, O_CREAT);
    if (*out_fd < 0 && errno == EWOULDBLOCK)
        return atoll_fail(err, ATOLL_E_DENIED, ATOLL_NO_OFFSET, "a machine \"%s\" runs already", name);
    if (*out_fd < 0) return fail_errno(err, folder->path);
    file_name(name, "sock", file);
    unlinkat(folder->fd, file, 0);
    return ATOLL_OK;
}

bool control_is_alive(const struct control_folder *folder, const char *name) {
    int fd = take_lock(folder, name, 0);
    if (fd < 0) return errno == EWOULDBLOCK;
    control_remove(folder, name);
    close(fd);
    return false;
}

/* ---- sockets ---- */

static int make_socket(const struct control_folder *folder, const char *name, struct sockaddr_un *out) {
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(out->sun_path, sizeof out->sun_path, "%s/%s.sock", folder->path, name);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static enum atoll_status finish_socket(int fd, bool done, const struct sockaddr_un *address, int *out_fd,
                                       struct atoll_error *err) {
    *out_fd = fd;
    if (fd >= 0 && done) return ATOLL_OK;
    enum atoll_status status = fail_errno(err, address->sun_path);
    if (fd >= 0) close(fd);
    *out_fd = -1;
    return status;
}

enum atoll_status control_listen(const struct control_folder *folder, const char *name, int *out_fd,
                                 struct atoll_error *err) {
    struct sockaddr_un address;
    int fd = make_socket(folder, name, &address);
    bool done = fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 8);
    return finish_socket(fd, done, &address, out_fd, err);
}

enum atoll_status control_connect(const struct control_folder *folder, const char *name, int *out_fd,
                                  struct atoll_error *err) {
    struct sockaddr_un address;
    int fd = make_socket(folder, name, &address);
    bool done = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address);
    return finish_socket(fd, done, &address, out_fd, err);
}

bool control_peer_allowed(int fd) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && (peer.uid == geteuid() || !peer.uid);
}
