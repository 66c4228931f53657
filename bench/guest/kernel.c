/* bench/guest/kernel.c: ways into the kernel and back. Checksums count what came back. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

int bench_getpid(int argc, char **argv) {
    uint64_t same = 0;
    long pid = getpid();
    for (long i = bench_size(argc, argv, 1000000); i > 0; i--) same += syscall(SYS_getpid) == pid;
    return bench_done(same);
}

/* Bytes one by one from a file of the page cache. */
int bench_read1(int argc, char **argv) {
    static unsigned char bytes[4096];
    uint64_t sum = 0, seed = 5;
    unsigned char byte;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(bench_random(&seed) >> 32);
    int fd = open("bytes", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, sizeof bytes) != sizeof bytes) return 1;
    for (long i = bench_size(argc, argv, 500000); i > 0; i--) {
        if (!(i & 4095)) lseek(fd, 0, SEEK_SET);
        if (read(fd, &byte, 1) == 1) sum = sum * 31 + byte;
    }
    close(fd);
    unlink("bytes");
    return bench_done(sum);
}

/* A byte to another process, and the next one back. */
int bench_pipe(int argc, char **argv) {
    int to[2], back[2];
    unsigned char byte = 0;
    if (pipe(to) || pipe(back)) return 1;
    pid_t pid = fork();
    if (pid < 0) return 1;
    if (!pid) {
        close(to[1]);
        while (read(to[0], &byte, 1) == 1) {
            byte++;
            if (write(back[1], &byte, 1) != 1) break;
        }
        _exit(0);
    }
    uint64_t sum = 0;
    for (long i = bench_size(argc, argv, 30000); i > 0; i--) {
        if (write(to[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return 1;
        sum = sum * 31 + byte;
    }
    close(to[1]);
    waitpid(pid, NULL, 0);
    return bench_done(sum);
}

/* Pages that are touched for the first time, and given back. */
int bench_faults(int argc, char **argv) {
    enum { N_PAGES = 64 };
    uint64_t sum = 0;
    for (long i = bench_size(argc, argv, 60000) / N_PAGES; i > 0; i--) {
        volatile unsigned char *p =
            mmap(NULL, N_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return 1;
        for (int k = 0; k < N_PAGES; k++) {
            sum += (uint64_t)p[k * 4096] + 1;
            p[k * 4096] = 1;
        }
        munmap((void *)(uintptr_t)p, N_PAGES * 4096);
    }
    return bench_done(sum);
}

static volatile sig_atomic_t n_signals;
static void count(int number) {
    (void)number;
    n_signals = n_signals + 1;
}

int bench_signals(int argc, char **argv) {
    struct sigaction action = {.sa_handler = count};
    sigaction(SIGUSR1, &action, NULL);
    for (long i = bench_size(argc, argv, 60000); i > 0; i--) kill(getpid(), SIGUSR1);
    return bench_done((uint64_t)n_signals);
}

int bench_fork(int argc, char **argv) {
    uint64_t sum = 0;
    for (long i = bench_size(argc, argv, 600); i > 0; i--) {
        int status;
        pid_t pid = fork();
        if (!pid) _exit((int)(i & 127));
        if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
        sum = sum * 31 + (uint64_t)WEXITSTATUS(status);
    }
    return bench_done(sum);
}

/* posix_spawn is vfork and exec. */
int bench_exec(int argc, char **argv) {
    char *nothing[] = {"guest", "--nothing", NULL}, *environment[] = {NULL};
    uint64_t sum = 0;
    for (long i = bench_size(argc, argv, 600); i > 0; i--) {
        int status;
        pid_t pid;
        if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, nothing, environment)) return 1;
        if (waitpid(pid, &status, 0) != pid) return 1;
        sum += !status;
    }
    return bench_done(sum);
}

int bench_files(int argc, char **argv) {
    uint64_t sum = 0;
    for (long i = bench_size(argc, argv, 20000); i > 0; i--) {
        int fd = open("file", O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0) return 1;
        close(fd);
        sum += !unlink("file");
    }
    return bench_done(sum);
}
