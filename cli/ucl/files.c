/* cli/ucl/files.c: the files that macros reach, from the system. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/ucl/ucl.h"

static enum atoll_status fail_errno(struct atoll_error *err, int error) {
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", strerror(error));
    if (err) err->system_errno = error;
    return ATOLL_E_IO;
}

/* One byte more than may come tells that it is too much. */
static enum atoll_status read_all(int fd, size_t max_bytes, struct ucl_bytes *out, struct atoll_error *err) {
    struct stat stat;
    if (fstat(fd, &stat)) return fail_errno(err, errno);
    if (S_ISDIR(stat.st_mode)) return fail_errno(err, EISDIR);
    size_t room =
        S_ISREG(stat.st_mode) && (size_t)stat.st_size < max_bytes ? (size_t)stat.st_size + 1 : max_bytes + 1;
    out->bytes = malloc(room);
    if (!out->bytes) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    while (out->n < room) {
        ssize_t n = read(fd, out->bytes + out->n, room - out->n);
        if (n < 0) return fail_errno(err, errno);
        if (n == 0) return ATOLL_OK;
        out->n += (size_t)n;
    }
    if (out->n <= max_bytes) return ATOLL_OK; /* it has grown meanwhile: what it was counts */
    return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "larger than %zu bytes", max_bytes);
}

static enum atoll_status system_read(void *context, const char *path, size_t max_bytes, struct ucl_bytes *out,
                                     struct atoll_error *err) {
    (void)context;
    *out = (struct ucl_bytes){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, errno);
    enum atoll_status status = read_all(fd, max_bytes, out, err);
    close(fd);
    if (status == ATOLL_OK && !(out->path = realpath(path, NULL))) status = fail_errno(err, errno);
    if (status != ATOLL_OK) {
        free(out->bytes);
        *out = (struct ucl_bytes){0};
    }
    return status;
}

static enum atoll_status system_match(void *context, const char *pattern,
                                      bool (*each)(void *to, const char *path), void *to,
                                      struct atoll_error *err) {
    (void)context;
    glob_t found = {0};
    int result = glob(pattern, 0, NULL, &found);
    if (result == GLOB_NOSPACE) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    for (size_t i = 0; !result && i < found.gl_pathc; i++)
        if (!each(to, found.gl_pathv[i])) break;
    globfree(&found);
    return ATOLL_OK;
}

const struct ucl_files ucl_system_files = {.read = system_read, .match = system_match};
