/* cli/files.c: whole files in. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"

static enum atoll_status fail_errno(struct atoll_error *err, int error) {
    if (error == EINTR && cli_stopped())
        return atoll_fail(err, ATOLL_E_INTERRUPTED, ATOLL_NO_OFFSET, "interrupted");
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", strerror(error));
    err->system_errno = error;
    return ATOLL_E_IO;
}

enum { FIRST_BYTES = 65536 };
#define HUGE_BYTES ((size_t)2 << 20) /* a huge page */

/* Many bytes on huge pages where the system gives them: a fault for each page would take longer than reading it. */
static void *new_bytes(size_t n) {
    void *bytes;
    if (n < 2 * HUGE_BYTES) return malloc(n);
    if (n > SIZE_MAX - HUGE_BYTES) return NULL;
    n = (n + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    if (posix_memalign(&bytes, HUGE_BYTES, n)) return NULL;
    madvise(bytes, n, MADV_HUGEPAGE);
    return bytes;
}

static enum atoll_status reserve(struct cli_file *file, size_t *capacity, struct atoll_error *err) {
    if (file->size < *capacity) return ATOLL_OK;
    size_t larger = *capacity * 2;
    void *bytes = realloc(file->bytes, larger);
    if (!bytes) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    file->bytes = bytes;
    *capacity = larger;
    return ATOLL_OK;
}

/* Reads to the end, or as far as is wanted. */
static enum atoll_status read_all(int fd, uint64_t max_bytes, size_t capacity, cli_file_wanted *wanted,
                                  struct cli_file *file, struct atoll_error *err) {
    uint64_t end = wanted ? FIRST_BYTES : UINT64_MAX;
    file->bytes = new_bytes(capacity);
    if (!file->bytes) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    for (;;) {
        enum atoll_status status = reserve(file, &capacity, err);
        if (status) return status;
        size_t room = capacity - file->size;
        if (room > end - file->size) room = (size_t)(end - file->size);
        ssize_t n = room ? read(fd, file->bytes + file->size, room) : 0;
        if (n < 0 && errno == EINTR && !cli_stopped()) continue;
        if (n < 0) return fail_errno(err, errno);
        if (n == 0) return ATOLL_OK;
        file->size += (size_t)n;
        if (max_bytes && file->size > max_bytes)
            return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %llu bytes",
                              (unsigned long long)max_bytes);
        if (!wanted || file->size < CLI_FILE_HEAD) continue;
        end = wanted(file->bytes, file->size);
        if (end <= file->size) return ATOLL_OK;
        wanted = NULL;
    }
}

enum atoll_status cli_descriptor_read(int fd, uint64_t max_bytes, cli_file_wanted *wanted,
                                      struct cli_file *out, struct atoll_error *err) {
    struct stat stat;
    *out = (struct cli_file){0};
    if (fstat(fd, &stat)) return fail_errno(err, errno);
    if (S_ISDIR(stat.st_mode)) return fail_errno(err, EISDIR);
    bool sized = S_ISREG(stat.st_mode) && stat.st_size > 0;
    if (sized && max_bytes && (uint64_t)stat.st_size > max_bytes)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %llu bytes",
                          (unsigned long long)max_bytes);
    enum atoll_status status =
        read_all(fd, max_bytes, sized ? (size_t)stat.st_size + 1 : FIRST_BYTES, wanted, out, err);
    if (status) cli_file_close(out);
    return status;
}

bool cli_descriptor_has_more(int fd, const struct cli_file *file) {
    struct stat stat;
    return !fstat(fd, &stat) && S_ISREG(stat.st_mode) && (uint64_t)stat.st_size > file->size;
}

enum atoll_status cli_file_read_part(const char *path, uint64_t max_bytes, cli_file_wanted *wanted,
                                     struct cli_file *out, int *out_fd, struct atoll_error *err) {
    *out = (struct cli_file){0};
    *out_fd = -1;
    if (strcmp(path, "-") == 0) return cli_descriptor_read(STDIN_FILENO, max_bytes, NULL, out, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, errno);
    enum atoll_status status = cli_descriptor_read(fd, max_bytes, wanted, out, err);
    if (!status && cli_descriptor_has_more(fd, out))
        *out_fd = fd;
    else
        close(fd);
    return status;
}

enum atoll_status cli_file_read(const char *path, uint64_t max_bytes, cli_file_wanted *wanted,
                                struct cli_file *out, struct atoll_error *err) {
    int fd;
    enum atoll_status status = cli_file_read_part(path, max_bytes, wanted, out, &fd, err);
    if (fd >= 0) close(fd);
    return status;
}

void cli_file_close(struct cli_file *file) {
    free(file->bytes);
    *file = (struct cli_file){0};
}
