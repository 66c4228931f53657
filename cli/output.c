/* cli/output.c: files out, whole or not at all.
 *
 *   open -> beside the file, under another name -> write ... -> close: renamed over the file, or removed
 *
 * What is no regular file (a pipe, a device, standard output) is written in place. A signal that ends atoll
 * in between removes what was begun; handlers have no context argument, hence the static. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    if (!out->target) return;
    watch_endings(out->before);
    out->fd = make_temporary(out->target);
}

static void close_beside(struct cli_output *out) {
    for (int i = 0; i < N_ENDINGS; i++) sigaction(endings[i], &out->before[i], NULL);
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

const char *cli_output_path(const struct cli_output *out) { return out->target ? temporary : out->path; }

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

int cli_output_close(struct cli_output *out, bool keep) {
    if (!out->path) return out->error ? fail(out) : CLI_OK;
    keep = keep && !out->error;
    if (keep && out->target && fchmod(out->fd, mode_for(out->target))) out->error = errno;
    if (close(out->fd) && keep && !out->error) out->error = errno;
    if (out->target) {
        if (keep && !out->error && rename(temporary, out->target)) out->error = errno;
        if (!keep || out->error) unlink(temporary);
        temporary[0] = 0;
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
