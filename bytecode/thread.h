/* bytecode/thread.h: threads of the library's own. Signals are for the host's: ours block them all. */
#ifndef ATOLL_BYTECODE_THREAD_H
#define ATOLL_BYTECODE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Whether it runs; the caller joins it. */
bool bc_thread_start(pthread_t *out, void *(*run)(void *context), void *context);
/* Processors this process may use; at least 1. */
unsigned bc_thread_count(void);

#endif
