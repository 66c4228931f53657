/* sysvm/loop.h: the event loop of a machine, and the machine lock.
 *
 * One thread runs the loop and calls handlers; it holds the machine lock while it does. vCPU threads take the
 * lock to reach a device. So nothing of a device runs twice at once. Nobody waits under the lock: what may
 * block runs on a worker thread and comes back by vm_loop_post.
 *
 * All functions but vm_loop_post, vm_loop_stop, vm_loop_lock and vm_loop_unlock are called under the lock, or
 * while the loop is not running. */
#ifndef ATOLL_SYSVM_LOOP_H
#define ATOLL_SYSVM_LOOP_H

#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct vm_loop;
struct vm_watch;
struct vm_timer;

/* alloc  is called from all threads that post
 * fails  E_NOMEM, E_IO */
enum atoll_status vm_loop_new(const struct atoll_alloc *alloc, struct vm_loop **out, struct atoll_error *err);
/* Watches and timers have to be gone; what was posted and not run is dropped. NULL is allowed. */
void vm_loop_free(struct vm_loop *loop);

/* Calls `ready` on the loop thread while one of the events (EPOLLIN, EPOLLOUT, ...) is there: level triggered.
 * The descriptor stays the caller's and has to be open until vm_watch_free. Returns 0 or an errno (EPERM: a
 * regular file cannot be waited for). */
int vm_loop_watch(struct vm_loop *loop, int fd, uint32_t epoll_events,
                  void (*ready)(void *context, uint32_t events), void *context, struct vm_watch **out);
void vm_watch_set(struct vm_watch *watch, uint32_t epoll_events); /* 0: only errors and hang-ups are told */
/* Also from inside its own handler; no call comes after it. NULL is allowed. */
void vm_watch_free(struct vm_watch *watch);

/* Returns 0 or ENOMEM; the timer is off. */
int vm_timer_new(struct vm_loop *loop, void (*fire)(void *context), void *context, struct vm_timer **out);
/* Fires once when CLOCK_MONOTONIC has reached deadline_ns; UINT64_MAX: never. Replaces what was set before. */
void vm_timer_set(struct vm_timer *timer, uint64_t deadline_ns);
void vm_timer_free(struct vm_timer *timer); /* also from inside its own handler; NULL is allowed */
uint64_t vm_now_ns(void);                   /* CLOCK_MONOTONIC */

/* Any thread: `run` is called on the loop thread, in the order of posting. Returns 0 or ENOMEM. */
int vm_loop_post(struct vm_loop *loop, void (*run)(void *context), void *context);
/* Drops what was posted for `context` and has not run: before it is freed, when its workers are done. */
void vm_loop_forget(struct vm_loop *loop, void *context);

/* Calls handlers until vm_loop_stop, also one that came before. Returns 0 or an errno of epoll_wait. */
int vm_loop_run(struct vm_loop *loop);
void vm_loop_stop(struct vm_loop *loop); /* any thread, any signal handler */

/* What threads beside the loop's are for. */
enum vm_role { VM_ROLE_VCPU, VM_ROLE_DISK, VM_ROLE_FOLDER };
/* Calls `starts` on each of them before it does anything for a guest; set before there are any. It cannot refuse:
 * who must not let a thread go on ends the process. */
void vm_loop_watch_threads(struct vm_loop *loop, void (*starts)(void *context, enum vm_role role),
                           void *context);
void vm_loop_thread_starts(const struct vm_loop *loop, enum vm_role role); /* by that thread */

/* The machine lock; not recursive. */
void vm_loop_lock(struct vm_loop *loop);
void vm_loop_unlock(struct vm_loop *loop);

#endif
