/* bench/vmm/stopwatch.c: starts a VMM and tells what it took until its guest wrote a word: milliseconds from before the
 * exec, KiB of memory beyond the guest's, all exits and those that left the kernel. Then the VMM is killed.
 * usage: stopwatch WORD GUEST_MIB CMD ARGS...
 * prints "MS KIB EXITS USER_EXITS"; exit status 1: the word did not come */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Reads up to the word; false: the stream ended before. What came is on standard error. */
static int await(int fd, const char *word) {
    static char seen[1 << 16];
    size_t n = 0;
    while (n < sizeof seen - 1) {
        ssize_t got = read(fd, seen + n, sizeof seen - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
        seen[n] = 0;
        if (strstr(seen, word)) return 1;
    }
    fputs(seen, stderr);
    return 0;
}

/* What is resident but the guest's memory: the mappings that are at least half as large as that. */
static unsigned long resident_kib(pid_t pid, unsigned long guest_mib) {
    char line[512];
    unsigned long from, to, kib, size = 0, sum = 0;
    snprintf(line, sizeof line, "/proc/%d/smaps", (int)pid);
    FILE *file = fopen(line, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) size = to - from;
        if (sscanf(line, "Rss: %lu kB", &kib) == 1 && size < guest_mib << 19) sum += kib;
    }
    if (file) fclose(file);
    return sum;
}

/* A counter of the machines that the process has made: --engine=auto measured in one. */
static unsigned long counter(pid_t pid, const char *name) {
    static const char folder[] = "/sys/kernel/debug/kvm";
    char prefix[32], path[600];
    unsigned long sum = 0, value;
    int n = snprintf(prefix, sizeof prefix, "%d-", (int)pid);
    DIR *dir = opendir(folder);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        if (strncmp(e->d_name, prefix, (size_t)n)) continue;
        snprintf(path, sizeof path, "%s/%s/%s", folder, e->d_name, name);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%lu", &value) == 1) sum += value;
        if (file) fclose(file);
    }
    if (dir) closedir(dir);
    return sum;
}

int main(int argc, char **argv) {
    int out[2], in[2]; /* nothing comes by `in`, and it does not end */
    if (argc < 4 || pipe(out) || pipe(in)) return 2;
    fcntl(out[0], F_SETFD, FD_CLOEXEC);
    fcntl(in[1], F_SETFD, FD_CLOEXEC);
    double start = now_ms();
    pid_t pid = fork();
    if (!pid) {
        dup2(in[0], 0), dup2(out[1], 1);
        close(in[0]), close(out[1]);
        execv(argv[3], argv + 3);
        _exit(127);
    }
    close(out[1]);
    int came = await(out[0], argv[1]);
    double ms = now_ms() - start;
    unsigned long user = counter(pid, "io_exits") + counter(pid, "mmio_exits");
    if (came)
        printf("%.0f %lu %lu %lu\n", ms, resident_kib(pid, strtoul(argv[2], NULL, 10)), counter(pid, "exits"),
               user);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return !came;
}
