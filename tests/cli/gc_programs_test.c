/* tests/cli/gc_programs_test.c: programs that live by managed objects, as a user runs them: they give what V8
 * gives, in a heap and a process as small as what they hold at a time.
 * usage  gc_programs_test ATOLL FOLDER [slow] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/sanitized.h"

extern char **environ;

struct program {
    const char *name, *size, *result; /* the result V8 gives; gc_v8_test.sh asks it again */
    const char *max_gc_heap;
    long max_resident_kb;
};

static const struct program programs[] = {
    {"trees", "14", "3156655", "16M", 16 << 10},
    {"scheduler", "20", "1218763465971138228", "4M", 8 << 10},
    {"hashmap", "200000", "-5302566283262099197", "32M", 24 << 10},
    {"strings", "50000", "2915130004223865553", "16M", 16 << 10},
    {"cycles", "100000", "-5806224641301570448", "4M", 8 << 10},
    {"churn", "3000000", "4500000999500", "4M", 8 << 10},
    {"shapes", "300", "6067373992660959232", "16M", 16 << 10},
};
/* A hundred million objects, 2.4 GB, of which a thousand are needed at a time. */
static const struct program slow[] = {{"churn", "100000000", "5000000049499500", "4M", 8 << 10}};

/* Runs the command: its standard output in `text`, its wait status and peak resident size. */
static int run(char *const argv[], char *text, size_t size, struct rusage *usage) {
    int pipe_ends[2], status;
    pid_t child;
    posix_spawn_file_actions_t actions;
    if (pipe(pipe_ends)) return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, pipe_ends[0]);
    int failed = posix_spawn(&child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_ends[1]);
    size_t n = 0;
    for (ssize_t got; !failed && n + 1 < size && (got = read(pipe_ends[0], text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    close(pipe_ends[0]);
    while (!failed && wait4(child, &status, 0, usage) < 0)
        if (errno != EINTR) failed = -1;
    return failed ? -1 : status;
}

static int check(const char *atoll, const char *folder, const struct program *p) {
    char path[4096], text[256];
    struct rusage usage;
    snprintf(path, sizeof path, "%s/%s.wat", folder, p->name);
    char *argv[] = {(char *)(size_t)atoll,
                    (char[]){"run"},
                    (char[]){"--max-gc-heap"},
                    (char *)(size_t)p->max_gc_heap,
                    (char[]){"--invoke"},
                    (char[]){"run"},
                    path,
                    (char *)(size_t)p->size,
                    NULL};
    int status = run(argv, text, sizeof text, &usage);
    text[strcspn(text, "\n")] = 0;
    printf("%s %s: %s, %ld kB at most\n", p->name, p->size, text, usage.ru_maxrss);
    if (status || strcmp(text, p->result) != 0) {
        printf("  expected %s, wait status %d\n", p->result, status);
        return 1;
    }
    if (SANITIZED || usage.ru_maxrss <= p->max_resident_kb) return 0; /* shadow memory counts as resident */
    printf("  expected %ld kB at most\n", p->max_resident_kb);
    return 1;
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc == 4) return check(argv[1], argv[2], slow);
    if (argc != 3) return fprintf(stderr, "usage: gc_programs_test ATOLL FOLDER [slow]\n"), 2;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        failed |= check(argv[1], argv[2], programs + i);
    return failed;
}
