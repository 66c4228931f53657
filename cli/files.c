/* cli/files.c: whole files in, whole files out. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "atoll/alloc.h"
#include "cli/cli.h"

static enum atoll_status fail_errno(struct atoll_error *err, int error) {
    if (error == EINTR && cli_stopped())
        return atoll_fail(err, ATOLL_E_INTERRUPTED, ATOLL_NO_OFFSET, "interrupted");
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", strerror(error));
    err->system_errno = error;
    return ATOLL_E_IO;
}

/* ---- in ---- */

static enum atoll_status read_stream(int fd, uint64_t max_bytes, struct cli_file *out,
                                     struct atoll_error *err) {
    void *bytes = NULL;
    size_t size = 0, capacity = 0;
    enum atoll_status status = ATOLL_OK;
    for (;;) {
        if (max_bytes && size > max_bytes)
            status = atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %llu bytes",
                                (unsigned long long)max_bytes);
        else if (atoll_grow(&atoll_default_alloc, &bytes, &capacity, size + 65536, 1))
            status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
        if (status) break;
        ssize_t n = read(fd, (char *)bytes + size, capacity - size);
        if (n > 0)
            size += (size_t)n;
        else if (n == 0)
            break;
        else if (errno != EINTR || cli_stopped()) {
            status = fail_errno(err, errno);
            break;
        }
    }
    if (status)
        free(bytes);
    else
        *out = (struct cli_file){.bytes = bytes, .size = size};
    return status;
}

static enum atoll_status map_file(int fd, size_t size, struct cli_file *out, struct atoll_error *err) {
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) return fail_errno(err, errno);
    *out = (struct cli_file){.bytes = bytes, .size = size, .mapped = size};
    lseek(fd, (off_t)size, SEEK_SET); /* standard input has been read, as a pipe would have been */
    return ATOLL_OK;
}

static enum atoll_status read_descriptor(int fd, uint64_t max_bytes, struct cli_file *out,
                                         struct atoll_error *err) {
    struct stat stat;
    if (fstat(fd, &stat)) return fail_errno(err, errno);
    if (S_ISDIR(stat.st_mode)) return fail_errno(err, EISDIR);
    if (!S_ISREG(stat.st_mode) || stat.st_size == 0 || lseek(fd, 0, SEEK_CUR) != 0)
        return read_stream(fd, max_bytes, out, err);
    if (max_bytes && (uint64_t)stat.st_size > max_bytes)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %llu bytes",
                          (unsigned long long)max_bytes);
    return map_file(fd, (size_t)stat.st_size, out, err);
}

enum atoll_status cli_file_read(const char *path, uint64_t max_bytes, struct cli_file *out,
                                struct atoll_error *err) {
    *out = (struct cli_file){0};
    if (strcmp(path, "-") == 0) return read_descriptor(STDIN_FILENO, max_bytes, out, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, errno);
    enum atoll_status status = read_descriptor(fd, max_bytes, out, err);
    close(fd);
    return status;
}

void cli_file_close(struct cli_file *file) {
    if (file->mapped)
        munmap((void *)file->bytes, file->mapped);
    else
        free((void *)file->bytes);
    *file = (struct cli_file){0};
}

/* ---- out ---- */

static int write_all(int fd, const uint8_t *bytes, size_t size) {
    while (size) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        bytes += n, size -= (size_t)n;
    }
    return 0;
}

/* What the file's mode would be had it been made with open(2): the old file's, or by the umask. */
static mode_t mode_for(const char *path) {
    struct stat stat_buffer;
    if (stat(path, &stat_buffer) == 0) return stat_buffer.st_mode & 07777;
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

static int write_beside_and_rename_unstopped(const char *path, const void *bytes, size_t size) {
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary) return ENAMETOOLONG;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) return errno;
    int error = write_all(fd, bytes, size);
    if (!error && fchmod(fd, mode_for(path))) error = errno;
    if (close(fd) && !error) error = errno;
    if (!error && rename(temporary, path)) error = errno;
    if (error) unlink(temporary);
    return error;
}

/* A signal waits until nothing temporary is left behind. */
static int write_beside_and_rename(const char *path, const void *bytes, size_t size) {
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGHUP);
    sigprocmask(SIG_BLOCK, &stops, &before);
    int error = write_beside_and_rename_unstopped(path, bytes, size);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Devices, pipes and the like cannot be renamed over. */
static int write_in_place(const char *path, const void *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = write_all(fd, bytes, size);
    if (close(fd) && !error) error = errno;
    return error;
}

static int write_path(const char *path, const void *bytes, size_t size) {
    struct stat stat_buffer;
    if (stat(path, &stat_buffer)) return write_beside_and_rename(path, bytes, size);
    if (!S_ISREG(stat_buffer.st_mode)) return write_in_place(path, bytes, size);
    char real[PATH_MAX]; /* a link keeps pointing at the file */
    if (!realpath(path, real)) return errno;
    return write_beside_and_rename(real, bytes, size);
}

int cli_file_write(const char *path, const void *bytes, size_t size) {
    bool to_stdout = !path || strcmp(path, "-") == 0;
    fflush(stdout);
    int error = to_stdout ? write_all(STDOUT_FILENO, bytes, size) : write_path(path, bytes, size);
    if (!error) return CLI_OK;
    if (error != EPIPE) cli_message("%s: %s", to_stdout ? "standard output" : path, strerror(error));
    return CLI_FAILED;
}
