/* bench/guest/main.c: runs programs, each in a process of its own, and prints a line for each:
 *
 *     bench NAME NANOSECONDS CHECKSUM
 *
 * as the first process of a machine: those of bench=NAME,NAME on the kernel's command line (all without it), then
 * "bench end" (and "bench begin" before), and the machine is switched off, or reset where bench_off=reboot is there. Elsewhere: those of the
 * arguments, in the folder for their files that comes first; "--list" prints the names and groups of all. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

struct program {
    const char *name, *group, *size;
    int (*run)(int argc, char **argv);
};
static const struct program programs[] = {
#define PROGRAM(name, group, size) {#name, #group, size, bench_##name},
#include "programs.def"
#undef PROGRAM
};
enum { N_PROGRAMS = sizeof programs / sizeof *programs };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void child(const struct program *p, int out, uint64_t *ns) {
    char *argv[] = {(char *)p->name, (char *)p->size, NULL};
    dup2(out, 1);
    uint64_t start = now_ns();
    int status = p->run(2, argv);
    *ns = now_ns() - start;
    fflush(stdout);
    _exit(status);
}

static void run(const struct program *p) {
    static char text[256];
    int ends[2], status;
    uint64_t *ns = mmap(NULL, sizeof *ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ns == MAP_FAILED || pipe(ends)) return;
    pid_t pid = fork();
    if (!pid) child(p, ends[1], ns);
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n < sizeof text - 1 && (got = read(ends[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (pid < 0 || status)
        printf("bench %s failed %x\n", p->name, pid < 0 ? -1 : status);
    else
        printf("bench %s %llu %s\n", p->name, (unsigned long long)*ns, text);
    fflush(stdout);
    munmap(ns, sizeof *ns);
}

static bool is_named(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (!strncmp(at, name, n) && (at[n] == ',' || !at[n])) return true;
    }
    return false;
}

/* What a kernel leaves its first process without. */
static void as_first_process(void) {
    mkdir("/proc", 0755);
    mkdir("/dev", 0755);
    mkdir("/work", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("tmpfs", "/work", "tmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR);
    if (console >= 0) {
        for (int fd = 0; fd < 3; fd++) dup2(console, fd);
        if (console > 2) close(console);
    }
    if (chdir("/work")) printf("bench: /work: %s\n", strerror(errno));
    const char *list = getenv("bench"), *off = getenv("bench_off");
    printf("bench begin\n");
    fflush(stdout);
    for (int i = 0; i < N_PROGRAMS; i++)
        if (!list || is_named(list, programs[i].name)) run(&programs[i]);
    printf("bench end\n");
    fflush(stdout);
    tcdrain(1);
    reboot(off && !strcmp(off, "reboot") ? RB_AUTOBOOT : RB_POWER_OFF);
    for (;;) pause();
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--nothing")) return 0; /* what exec.c starts */
    if (getpid() == 1) as_first_process();
    if (argc > 1 && !strcmp(argv[1], "--list")) {
        for (int i = 0; i < N_PROGRAMS; i++) printf("%s %s\n", programs[i].name, programs[i].group);
        return 0;
    }
    if (argc < 2 || chdir(argv[1])) {
        fprintf(stderr, "usage: guest --list | FOLDER [NAME...]\n");
        return 2;
    }
    for (int i = 0; i < N_PROGRAMS; i++) {
        bool wanted = argc == 2;
        for (int k = 2; k < argc; k++) wanted |= !strcmp(argv[k], programs[i].name);
        if (wanted) run(&programs[i]);
    }
    return 0;
}
