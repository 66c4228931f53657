/* cli/files.c: whole files in. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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

static enum atoll_status reserve(struct cli_file *file, size_t *capacity, struct atoll_error *err) {
    if (file->size < *capacity) return ATOLL_OK;
    size_t larger = *capacity * 2;
    void *bytes = realloc(file->bytes, larger);
    if (!bytes) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    file->bytes = bytes;
    *capacity = larger;
    return ATOLL_OK;
}

/* Reads to the end, or as far as `begins` wants to. */
static enum atoll_status read_all(int fd, uint64_t max_bytes, size_t capacity, cli_file_begins *begins,
                                  struct cli_file *file, struct atoll_error *err) {
    bool asked = !begins;
    file->bytes = malloc(capacity);
    if (!file->bytes) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    for (;;) {
        enum atoll_status status = reserve(file, &capacity, err);
        if (status) return status;
        ssize_t n = read(fd, file->bytes + file->size, capacity - file->size);
        if (n < 0 && errno == EINTR && !cli_stopped()) continue;
        if (n < 0) return fail_errno(err, errno);
        if (n == 0) return ATOLL_OK;
        file->size += (size_t)n;
        if (max_bytes && file->size > max_bytes)
            return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %llu bytes",
                              (unsigned long long)max_bytes);
        if (asked || file->size < CLI_FILE_HEAD) continue;
        if (!begins(file->bytes)) return ATOLL_OK;
        asked = true;
    }
}

static enum atoll_status read_descriptor(int fd, uint64_t max_bytes, cli_file_begins *begins,
                                         struct cli_file *out, struct atoll_error *err) {
    struct stat stat;
    if (fstat(fd, &stat)) return fail_errno(err, errno);
    if (S_ISDIR(stat.st_mode)) return fail_errno(err, EISDIR);
    bool sized = S_ISREG(stat.st_mode) && stat.st_size > 0;
    if (sized && max_bytes && (uint64_t)stat.st_size > max_bytes)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %llu bytes",
                          (unsigned long long)max_bytes);
    enum atoll_status status =
        read_all(fd, max_bytes, sized ? (size_t)stat.st_size + 1 : FIRST_BYTES, begins, out, err);
    if (status) cli_file_close(out);
    return status;
}

enum atoll_status cli_file_read(const char *path, uint64_t max_bytes, cli_file_begins *begins,
                                struct cli_file *out, struct atoll_error *err) {
    *out = (struct cli_file){0};
    if (strcmp(path, "-") == 0) return read_descriptor(STDIN_FILENO, max_bytes, begins, out, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, errno);
    enum atoll_status status = read_descriptor(fd, max_bytes, begins, out, err);
    close(fd);
    return status;
}

void cli_file_close(struct cli_file *file) {
    free(file->bytes);
    *file = (struct cli_file){0};
}
