/* runtime/wait.c: memory.atomic.wait and notify: threads that wait, in queues by the host address.
 *
 * A waiter compares and queues under the lock of the address's bucket, and a notifier takes it out under the
 * same lock: nobody can change the value and notify in between without finding the waiter. It sleeps on a
 * word of its store, which runs one thread: so whoever stops the store wakes it with a system call and no
 * lock. The buckets are the process's, as host addresses are. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "bytecode/stress.h"
#include "runtime/internal.h"

/* Bits of rt_store.parked; none: asleep, or about to be. */
enum { NOTIFIED = 1, LOOK_AGAIN = 2 };

struct waiter {
    struct waiter *next, *previous;
    const void *address;
    struct rt_store *store;
    bool queued;
};
struct bucket {
    _Alignas(64) pthread_mutex_t lock;
    struct waiter *first, *last; /* longest waiting first */
};
#define N_BUCKETS ATOLL_LIMIT(256, 1)
static struct bucket buckets[N_BUCKETS] = {[0 ... N_BUCKETS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static struct bucket *bucket_of(const void *address) {
    return &buckets[((uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15) >> 32) % N_BUCKETS];
}

static void enqueue(struct bucket *b, struct waiter *w) {
    w->previous = b->last;
    *(b->last ? &b->last->next : &b->first) = w;
    b->last = w;
    w->queued = true;
}

static void dequeue(struct bucket *b, struct waiter *w) {
    *(w->previous ? &w->previous->next : &b->first) = w->next;
    *(w->next ? &w->next->previous : &b->last) = w->previous;
    w->queued = false;
}

/* ---- sleeping ---- */

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *deadline) {
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, deadline, NULL,
                   FUTEX_BITSET_MATCH_ANY);
}

static void wake(struct rt_store *store, uint32_t why) {
    atomic_fetch_or(&store->parked, why);
    futex(&store->parked, FUTEX_WAKE_BITSET, 1, NULL);
}

void rt_unpark(struct rt_store *store) {
    int saved = errno; /* of the code that a signal handler interrupted */
    wake(store, LOOK_AGAIN);
    errno = saved;
}

/* The end of the wait by CLOCK_MONOTONIC; NULL = never. */
static const struct timespec *deadline_of(int64_t timeout_ns, struct timespec *out) {
    const int64_t second = 1000000000;
    if (timeout_ns < 0) return NULL;
    clock_gettime(CLOCK_MONOTONIC, out);
    out->tv_sec += timeout_ns / second;
    out->tv_nsec += timeout_ns % second;
    if (out->tv_nsec >= second) {
        out->tv_sec++;
        out->tv_nsec -= second;
    }
    return out;
}

/* Until somebody notified, the deadline has come or the store is stopped. */
static void sleep_until(struct rt_store *store, const struct timespec *deadline) {
    while (!rt_poll(store)) {
        uint32_t seen = atomic_fetch_and(&store->parked, ~(uint32_t)LOOK_AGAIN);
        if (seen & NOTIFIED) return;
        if (seen) continue; /* the mark of a stop: of one now, or of one that is over */
        if (futex(&store->parked, FUTEX_WAIT_BITSET, 0, deadline) && errno == ETIMEDOUT) return;
    }
}

/* ---- the two instructions ---- */

static enum rt_trap check(struct rt_memory *m, uint64_t at, unsigned size, void **out) {
    if (at % size) return RT_TRAP_UNALIGNED_ATOMIC;
    *out = rt_memory_at(m, at, size);
    return *out ? RT_TRAP_NONE : RT_TRAP_MEMORY_BOUNDS;
}

static uint64_t load(const void *address, unsigned size) {
    return size == 8 ? __atomic_load_n((const uint64_t *)address, __ATOMIC_SEQ_CST)
                     : __atomic_load_n((const uint32_t *)address, __ATOMIC_SEQ_CST);
}

enum rt_trap rt_memory_wait(struct rt_store *store, struct rt_memory *m, uint64_t at, unsigned size,
                            uint64_t expected, int64_t timeout_ns, uint32_t *out) {
    enum { WOKEN, NOT_EQUAL, TIMED_OUT };
    struct timespec end;
    void *address;
    enum rt_trap trap = check(m, at, size, &address);
    if (trap) return trap;
    if (!m->type.shared) return RT_TRAP_EXPECTED_SHARED;
    const struct timespec *deadline = deadline_of(timeout_ns, &end);
    struct bucket *b = bucket_of(address);
    struct waiter self = {.address = address, .store = store};
    pthread_mutex_lock(&b->lock);
    if (load(address, size) != expected) {
        pthread_mutex_unlock(&b->lock);
        *out = NOT_EQUAL;
        return RT_TRAP_NONE;
    }
    atomic_store(&store->parked, 0);
    enqueue(b, &self);
    pthread_mutex_unlock(&b->lock);
    sleep_until(store, deadline);
    pthread_mutex_lock(&b->lock); /* also behind a notifier, which may still be about to wake this thread */
    bool woken = !self.queued;
    if (!woken) dequeue(b, &self);
    pthread_mutex_unlock(&b->lock);
    *out = woken ? WOKEN : TIMED_OUT;
    return woken ? RT_TRAP_NONE : rt_poll(store);
}

enum rt_trap rt_memory_notify(struct rt_memory *m, uint64_t at, uint32_t count, uint32_t *out) {
    void *address;
    enum rt_trap trap = check(m, at, 4, &address);
    *out = 0;
    if (trap || !m->type.shared) return trap;
    struct bucket *b = bucket_of(address);
    pthread_mutex_lock(&b->lock);
    for (struct waiter *w = b->first, *next; w && *out < count; w = next) {
        next = w->next;
        if (w->address != address) continue;
        dequeue(b, w);
        wake(w->store, NOTIFIED);
        ++*out;
    }
    pthread_mutex_unlock(&b->lock);
    return RT_TRAP_NONE;
}
