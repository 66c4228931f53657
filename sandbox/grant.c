/* sandbox/grant.c: what was opened for the program before it starts. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "sandbox/internal.h"

static enum atoll_status fail_io(struct atoll_error *err, int system_errno, const char *what,
                                 const char *name) {
    if (system_errno == ENOMEM) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s '%s': %s", what, name, strerror(system_errno));
    if (err) err->system_errno = system_errno;
    return ATOLL_E_IO;
}

/* Takes the reference to `file` over, also when it fails. */
static enum atoll_status add_grant(struct sandbox *sb, struct sb_file *file, struct atoll_error *err) {
    if (atoll_grow(sb->alloc, (void **)&sb->grants, &sb->cap_grants, sb->n_grants + 1, sizeof *sb->grants)) {
        sb_file_unref(file);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    sb->grants[sb->n_grants++] = (struct sb_grant){.guest = file->name, .file = file};
    return ATOLL_OK;
}

enum atoll_status sb_grant_dir(struct sandbox *sb, const char *host, const char *guest, bool readonly,
                               struct atoll_error *err) {
    int fd = open(host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A directory that may be searched but not listed still serves. */
    if (fd < 0 && errno == EACCES) fd = open(host, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_io(err, errno, "cannot open directory", host);
    if (sb_is_procfs(fd)) {
        close(fd);
        atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET,
                   "cannot grant directory '%s': a proc file system holds the memory of processes", host);
        if (err) err->system_errno = EPERM;
        return ATOLL_E_IO;
    }
    struct sb_file *file;
    int error = sb_file_new(sb, fd, true, guest, NULL, SB_OPEN_READ, &file);
    if (error) return fail_io(err, error, "cannot open directory", host);
    file->readonly = readonly;
    return add_grant(sb, file, err);
}

enum atoll_status sb_grant_dir_text(struct sandbox *sb, const char *text, struct atoll_error *err) {
    size_t size = strlen(text);
    bool readonly = size >= 3 && strcmp(text + size - 3, ":ro") == 0;
    if (readonly) size -= 3;
    const char *separator = strstr(text, "::");
    if (separator && separator >= text + size) separator = NULL;
    size_t host_size = separator ? (size_t)(separator - text) : size;
    const char *guest_at = separator ? separator + 2 : text;
    size_t guest_size = separator ? size - host_size - 2 : size;
    if (host_size == 0 || guest_size == 0 || host_size >= PATH_MAX || guest_size >= PATH_MAX)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' is not HOST[::GUEST][:ro]", text);
    char host[PATH_MAX], guest[PATH_MAX];
    memcpy(host, text, host_size), host[host_size] = 0;
    memcpy(guest, guest_at, guest_size), guest[guest_size] = 0;
    return sb_grant_dir(sb, host, guest, readonly, err);
}

enum atoll_status sb_grant_listen_fd(struct sandbox *sb, int fd, const char *name, struct atoll_error *err) {
    int listening = 0, error;
    socklen_t size = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size))
        return fail_io(err, errno, "cannot use socket", name);
    if (!listening)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "socket '%s' does not listen", name);
    /* Accepting must not block where sb_wake cannot reach. */
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK)) return fail_io(err, errno, "socket", name);
    struct sb_file *file;
    /* Adopted first and owned last, so that on failure the descriptor stays the caller's. */
    if ((error = sb_file_new(sb, fd, false, name, NULL, SB_OPEN_READ, &file)))
        return fail_io(err, error, "cannot use socket", name);
    enum atoll_status status = add_grant(sb, file, err);
    if (status == ATOLL_OK) file->own = true;
    return status;
}

/* Splits HOST:PORT, [V6]:PORT or PORT. False when it is none of them. */
static bool split_address(const char *text, char *host, size_t host_size, const char **out_port) {
    const char *colon = strrchr(text, ':');
    const char *begin = text, *end = colon ? colon : text;
    if (colon && text[0] == '[') {
        if (colon[-1] != ']') return false;
        begin++, end--;
    }
    *out_port = colon ? colon + 1 : text;
    size_t size = (size_t)(end - begin);
    if (size >= host_size || (*out_port)[0] == 0) return false;
    memcpy(host, begin, size);
    host[size] = 0;
    if (!colon) strcpy(host, "127.0.0.1");
    size_t n_digits = strlen(*out_port);
    bool number = n_digits <= 5 && strspn(*out_port, "0123456789") == n_digits;
    return host[0] != 0 && number && atoi(*out_port) <= UINT16_MAX;
}

/* A listening socket on one of the addresses, or -errno of the last. */
static int listen_on(const struct addrinfo *addresses) {
    int error = ENOENT;
    for (const struct addrinfo *a = addresses; a; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        int one = 1;
        if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) &&
            !bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, 128))
            return fd;
        error = errno;
        if (fd >= 0) close(fd);
    }
    return -error;
}

enum atoll_status sb_grant_listen(struct sandbox *sb, const char *address, struct atoll_error *err) {
    char host[256];
    const char *port;
    if (!split_address(address, host, sizeof host, &port))
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' is not HOST:PORT", address);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "cannot listen on '%s': %s", address,
                          gai_strerror(failed));
    int fd = listen_on(found);
    freeaddrinfo(found);
    if (fd < 0) return fail_io(err, -fd, "cannot listen on", address);
    enum atoll_status status = sb_grant_listen_fd(sb, fd, address, err);
    if (status != ATOLL_OK) close(fd);
    return status;
}

size_t sb_grant_count(const struct sandbox *sb) { return sb->n_grants; }

const struct sb_grant *sb_grant_at(const struct sandbox *sb, size_t i) { return &sb->grants[i]; }
