/* bytecode/thread.c: threads of the library's own. */
#include "bytecode/thread.h"

#include <sched.h>
#include <signal.h>

bool bc_thread_start(pthread_t *out, void *(*run)(void *context), void *context) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool started = !pthread_create(out, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

unsigned bc_thread_count(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return n > 0 ? (unsigned)n : 1;
}
