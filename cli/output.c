/* cli/output.c: files out, whole or not at all.
 *
 *   open -> a file without a name in the same folder -> write ... -> close: it gets the name, or goes
 *
 * so nothing is left, however atoll ends. Where the file system has no such files the one that is written has
 * another name until then, which a signal that ends atoll removes; handlers have no context argument, hence the
 * static. What is no regular file (a pipe, a device, standard output) is written in place. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"

/* ---- the file beside ---- */

static char temporary[PATH_MAX]; /* of the one output that is open; "" = nothing to remove */

static void on_end(int number) {
    if (temporary[0]) unlink(temporary);
    signal(number, SIG_DFL);
    raise(number);
}

static const int endings[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_ENDINGS = sizeof endings / sizeof *endings };

static void watch_endings(struct sigaction *before) {
    struct sigaction action = {.sa_handler = on_end};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_ENDINGS; i++) {
        sigaction(endings[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(endings[i], &action, NULL);
    }
}

/* Signals wait until the file's name is known. */
static int make_temporary(const char *path) {
    sigset_t ends, before;
    sigemptyset(&ends);
    for (int i = 0; i < N_ENDINGS; i++) sigaddset(&ends, endings[i]);
    sigprocmask(SIG_BLOCK, &ends, &before);
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int fd = -1;
    if (n < 0 || (size_t)n >= sizeof temporary)
        errno = ENAMETOOLONG;
    else
        fd = mkostemp(temporary, O_CLOEXEC);
    int error = errno;
    if (fd < 0) temporary[0] = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return fd;
}

/* ---- the file without a name ---- */

/* -1: there are none here, or none that could get a name. */
static int make_nameless(struct cli_output *out) {
    char folder[PATH_MAX];
    const char *slash = strrchr(out->target, '/');
    size_t size = slash ? (size_t)(slash - out->target) + (slash == out->target) : 1;
    if (size >= sizeof folder) return -1;
    memcpy(folder, slash ? out->target : ".", size);
    folder[size] = 0;
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    snprintf(out->by_fd, sizeof out->by_fd, "/proc/self/fd/%d", fd);
    struct stat by_fd, itself;
    if (stat(out->by_fd, &by_fd) == 0 && fstat(fd, &itself) == 0 && by_fd.st_ino == itself.st_ino &&
        by_fd.st_dev == itself.st_dev)
        return fd;
    out->by_fd[0] = 0; /* no /proc */
    close(fd);
    return -1;
}

/* Under a name of its own, then over the file: there is no call that does both. */
static int name_over(const char *by_fd, const char *target) {
    char name[PATH_MAX];
    for (int i = 0; i < 16; i++) {
        uint32_t random;
        if (getrandom(&random, sizeof random, 0) != sizeof random) return errno;
        int n = snprintf(name, sizeof name, "%s.%08x", target, random);
        if (n < 0 || (size_t)n >= sizeof name) return ENAMETOOLONG;
        if (linkat(AT_FDCWD, by_fd, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
            int error = rename(name, target) ? errno : 0;
            if (error) unlink(name);
            return error;
        }
        if (errno != EEXIST) return errno;
    }
    return EEXIST;
}

static int give_name(const struct cli_output *out) {
    if (linkat(AT_FDCWD, out->by_fd, AT_FDCWD, out->target, AT_SYMLINK_FOLLOW) == 0) return 0;
    if (errno != EEXIST) return errno;
    sigset_t ends, before;
    sigfillset(&ends);
    sigprocmask(SIG_BLOCK, &ends, &before);
    int error = name_over(out->by_fd, out->target);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* What the file's mode would be had it been made with open(2): the old file's, or by the umask. */
static mode_t mode_for(const char *path) {
    struct stat stat_buffer;
    if (stat(path, &stat_buffer) == 0) return stat_buffer.st_mode & 07777;
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

/* ---- open, write, close ---- */

static int fail(struct cli_output *out) {
    const char *name = out->path ? out->path : "standard output";
    if (out->error != EPIPE) cli_message("%s: %s", name, strerror(out->error));
    return CLI_INTERNAL;
}

static void open_beside(struct cli_output *out, bool exists) {
    char *real = exists ? realpath(out->path, NULL) : NULL; /* a link keeps pointing at the file */
    out->target = real ? real : strdup(out->path);
    out->fd = -1;
    if (!out->target || (out->fd = make_nameless(out)) >= 0) return;
    watch_endings(out->before);
    out->fd = make_temporary(out->target);
}

static void close_beside(struct cli_output *out) {
    for (int i = 0; i < N_ENDINGS && !out->by_fd[0]; i++) sigaction(endings[i], &out->before[i], NULL);
    free(out->target);
    out->target = NULL;
}

int cli_output_open(struct cli_output *out, const char *path) {
    *out = (struct cli_output){.path = path && strcmp(path, "-") != 0 ? path : NULL, .fd = STDOUT_FILENO};
    fflush(stdout);
    if (!out->path) return CLI_OK;
    struct stat stat_buffer;
    bool exists = stat(path, &stat_buffer) == 0;
    if (exists && !S_ISREG(stat_buffer.st_mode))
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
    else
        open_beside(out, exists);
    if (out->fd >= 0) return CLI_OK;
    out->error = errno;
    if (out->target) close_beside(out);
    return fail(out);
}

const char *cli_output_path(const struct cli_output *out) {
    return !out->target ? out->path : out->by_fd[0] ? out->by_fd : temporary;
}

bool cli_output_write(void *context, const void *bytes, size_t size) {
    struct cli_output *out = context;
    const char *at = bytes;
    while (size && !out->error) {
        ssize_t n = write(out->fd, at, size);
        if (n >= 0)
            at += n, size -= (size_t)n;
        else if (errno != EINTR)
            out->error = errno;
    }
    return !out->error;
}

static void rename_temporary(struct cli_output *out, bool keep) {
    if (keep && !out->error && rename(temporary, out->target)) out->error = errno;
    if (!keep || out->error) unlink(temporary);
    temporary[0] = 0;
}

int cli_output_close(struct cli_output *out, bool keep) {
    if (!out->path) return out->error ? fail(out) : CLI_OK;
    keep = keep && !out->error;
    if (keep && out->target && fchmod(out->fd, mode_for(out->target))) out->error = errno;
    if (keep && out->by_fd[0] && !out->error) out->error = give_name(out);
    if (close(out->fd) && keep && !out->error) out->error = errno;
    if (out->target) {
        if (!out->by_fd[0]) rename_temporary(out, keep);
        close_beside(out);
    }
    return out->error ? fail(out) : CLI_OK;
}

int cli_file_write(const char *path, const void *bytes, size_t size) {
    struct cli_output out;
    int status = cli_output_open(&out, path);
    if (status) return status;
    cli_output_write(&out, bytes, size);
    return cli_output_close(&out, true);
}
