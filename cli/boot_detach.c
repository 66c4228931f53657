/* cli/boot_detach.c: `atoll boot --detach`: a process of its own, before there is any thread. The one that was called
 * waits until the machine runs, or has failed to. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/boot.h"

struct pipes {
    int told[2], messages[2];
};

static int tell_errno(const char *what) {
    cli_message("boot: %s: %s", what, strerror(errno));
    return CLI_INTERNAL;
}

/* The new process: standard streams lead nowhere, but messages to whoever waits for the start, later into the log. */
static int leave(const struct pipes *p, const char *log_path, struct boot_background *out) {
    setsid();
    if (log_path) out->log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0600);
    if (log_path && out->log < 0) return tell_errno(log_path);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return tell_errno("/dev/null");
    dup2(p->messages[1], STDERR_FILENO);
    close(null);
    close(p->told[0]);
    close(p->messages[0]);
    close(p->messages[1]);
    out->told = p->told[1];
    return CLI_OK;
}

/* False when there is nothing more for now. */
static bool pass_on(int from) {
    char bytes[4096];
    ssize_t n = read(from, bytes, sizeof bytes);
    if (n <= 0) return n < 0 && errno == EINTR;
    for (ssize_t done = 0; done < n;) {
        ssize_t wrote = write(STDERR_FILENO, bytes + done, (size_t)(n - done));
        if (wrote < 0 && errno != EINTR) break;
        if (wrote > 0) done += wrote;
    }
    return true;
}

static int status_of(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return tell_errno("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_SIGNAL + WTERMSIG(status);
}

static int wait_for_start(const struct pipes *p, pid_t pid, const char *name) {
    struct pollfd fds[2] = {{.fd = p->told[0], .events = POLLIN}, {.fd = p->messages[0], .events = POLLIN}};
    char runs = 0;
    fcntl(p->messages[0], F_SETFL, O_NONBLOCK);
    while (!fds[0].revents) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) return tell_errno("poll");
        if (fds[1].revents && !pass_on(p->messages[0])) fds[1].fd = -1;
    }
    ssize_t n = read(p->told[0], &runs, 1);
    while (pass_on(p->messages[0])) continue;
    if (n <= 0) return status_of(pid);
    printf("%s\n", name);
    return CLI_OK;
}

int boot_detach(const char *name, const char *log_path, struct boot_background *out, bool *out_stays) {
    struct pipes p;
    *out = (struct boot_background){-1, -1};
    *out_stays = true;
    if (pipe2(p.told, O_CLOEXEC)) return tell_errno("pipe");
    if (pipe2(p.messages, O_CLOEXEC)) return tell_errno("pipe");
    pid_t pid = fork();
    if (pid < 0) return tell_errno("fork");
    if (!pid) {
        *out_stays = false;
        return leave(&p, log_path, out);
    }
    close(p.told[1]);
    close(p.messages[1]);
    int status = wait_for_start(&p, pid, name);
    close(p.told[0]);
    close(p.messages[0]);
    return status;
}

bool boot_detach_running(struct boot_background *b) {
    if (b->log >= 0) {
        dup3(b->log, STDERR_FILENO, 0); /* dup2 is not a machine's */
        close(b->log);
        b->log = -1;
    }
    if (b->told < 0) return true;
    ssize_t n;
    while ((n = write(b->told, "", 1)) < 0 && errno == EINTR) continue;
    close(b->told);
    b->told = -1;
    return n == 1;
}
