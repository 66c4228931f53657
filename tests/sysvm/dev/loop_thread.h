/* tests/sysvm/dev/loop_thread.h: a loop that runs on a thread of its own, and a way to wait for what it has to do. */
#ifndef ATOLL_TESTS_LOOP_THREAD_H
#define ATOLL_TESTS_LOOP_THREAD_H

#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sysvm/loop.h"
#include "tests/sysvm/suite.h"

struct loop_thread {
    struct vm_loop *loop;
    pthread_t thread;
    sem_t reached;
    int settling; /* eventfd */
    struct vm_watch *watch;
};

static inline void *loop_thread_run(void *context) {
    vm_loop_run(((struct loop_thread *)context)->loop);
    return NULL;
}

static inline void loop_thread_reach(void *context, uint32_t events) {
    struct loop_thread *t = context;
    uint64_t count;
    (void)events;
    (void)!read(t->settling, &count, sizeof count);
    sem_post(&t->reached);
}

static inline void loop_thread_start(struct loop_thread *t) {
    assert_int_equal(vm_loop_new(&atoll_default_alloc, &t->loop, NULL), 0);
    sem_init(&t->reached, 0, 0);
    t->settling = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(t->settling >= 0);
    assert_int_equal(vm_loop_watch(t->loop, t->settling, EPOLLIN, loop_thread_reach, t, &t->watch), 0);
    assert_int_equal(pthread_create(&t->thread, NULL, loop_thread_run, t), 0);
}

/* No handler runs after this; what holds watches is freed between it and loop_thread_free. */
static inline void loop_thread_stop(struct loop_thread *t) {
    vm_loop_stop(t->loop);
    pthread_join(t->thread, NULL);
}

static inline void loop_thread_free(struct loop_thread *t) {
    vm_watch_free(t->watch);
    vm_loop_free(t->loop);
    close(t->settling);
    sem_destroy(&t->reached);
}

/* All events that are there now have been handled on return, and what their handlers post: descriptors are told in the
 * order in which they became ready. */
static inline void loop_thread_settle(struct loop_thread *t) {
    const uint64_t one = 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(write(t->settling, &one, sizeof one), sizeof one);
        while (sem_wait(&t->reached)) continue;
    }
}

#endif
