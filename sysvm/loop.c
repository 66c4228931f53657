/* sysvm/loop.c: the event loop, see loop.h. One epoll, one eventfd to wake it, one timerfd for all timers. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "sysvm/loop.h"

struct vm_watch {
    struct vm_loop *loop;
    struct vm_watch *next_dead;
    int fd;
    bool dead;
    void (*ready)(void *context, uint32_t events);
    void *context;
};

struct vm_timer {
    struct vm_loop *loop;
    struct vm_timer *next;
    uint64_t deadline_ns, round;
    void (*fire)(void *context);
    void *context;
};

struct post {
    struct post *next;
    void (*run)(void *context);
    void *context;
};

struct vm_loop {
    const struct atoll_alloc *alloc;
    pthread_mutex_t lock;
    int epoll, wake, clock;
    atomic_bool stopped;
    bool running;          /* events of freed watches may still be in the batch */
    struct vm_watch *dead; /* freed in this batch */
    struct vm_timer *timers;
    uint64_t round;                                          /* of firing timers: each fires once a round */
    void (*thread_starts)(void *context, enum vm_role role); /* or NULL */
    void *thread_context;
    pthread_mutex_t posts_lock;
    struct post *first_post, **last_post;
};

enum { BATCH = 64 };

uint64_t vm_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int add(struct vm_loop *loop, int fd, uint32_t events, void *key) {
    struct epoll_event event = {.events = events, .data.ptr = key};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) ? errno : 0;
}

enum atoll_status vm_loop_new(const struct atoll_alloc *alloc, struct vm_loop **out,
                              struct atoll_error *err) {
    struct vm_loop *loop = atoll_new(alloc, 1, sizeof *loop);
    if (!loop) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    loop->alloc = alloc;
    loop->last_post = &loop->first_post;
    pthread_mutex_init(&loop->lock, NULL);
    pthread_mutex_init(&loop->posts_lock, NULL);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0 || loop->clock < 0 || add(loop, loop->wake, EPOLLIN, &loop->wake) ||
        add(loop, loop->clock, EPOLLIN, &loop->clock)) {
        int error = errno;
        vm_loop_free(loop);
        if (err) err->system_errno = error;
        return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "no event loop: %s", strerror(error));
    }
    *out = loop;
    return ATOLL_OK;
}

static void drop_posts(struct vm_loop *loop) {
    for (struct post *post = loop->first_post, *next; post; post = next) {
        next = post->next;
        atoll_free(loop->alloc, post, sizeof *post);
    }
}

void vm_loop_free(struct vm_loop *loop) {
    if (!loop) return;
    drop_posts(loop);
    if (loop->clock >= 0) close(loop->clock);
    if (loop->wake >= 0) close(loop->wake);
    if (loop->epoll >= 0) close(loop->epoll);
    pthread_mutex_destroy(&loop->posts_lock);
    pthread_mutex_destroy(&loop->lock);
    atoll_free(loop->alloc, loop, sizeof *loop);
}

void vm_loop_lock(struct vm_loop *loop) { pthread_mutex_lock(&loop->lock); }
void vm_loop_unlock(struct vm_loop *loop) { pthread_mutex_unlock(&loop->lock); }

/* A full eventfd has woken the loop already; nothing else can fail. */
static void wake(struct vm_loop *loop) {
    uint64_t one = 1;
    int before = errno;
    (void)!write(loop->wake, &one, sizeof one);
    errno = before;
}

/* ---- threads ---- */

void vm_loop_watch_threads(struct vm_loop *loop, void (*starts)(void *context, enum vm_role role),
                           void *context) {
    loop->thread_starts = starts;
    loop->thread_context = context;
}

void vm_loop_thread_starts(const struct vm_loop *loop, enum vm_role role) {
    if (loop->thread_starts) loop->thread_starts(loop->thread_context, role);
}

/* ---- watches ---- */

int vm_loop_watch(struct vm_loop *loop, int fd, uint32_t epoll_events,
                  void (*ready)(void *context, uint32_t events), void *context, struct vm_watch **out) {
    struct vm_watch *watch = atoll_new(loop->alloc, 1, sizeof *watch);
    if (!watch) return ENOMEM;
    *watch = (struct vm_watch){.loop = loop, .fd = fd, .ready = ready, .context = context};
    int error = add(loop, fd, epoll_events, watch);
    if (error) {
        atoll_free(loop->alloc, watch, sizeof *watch);
        return error;
    }
    *out = watch;
    return 0;
}

void vm_watch_set(struct vm_watch *watch, uint32_t epoll_events) {
    struct epoll_event event = {.events = epoll_events, .data.ptr = watch};
    epoll_ctl(watch->loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void vm_watch_free(struct vm_watch *watch) {
    if (!watch) return;
    struct vm_loop *loop = watch->loop;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->dead = true;
    if (loop->running) {
        watch->next_dead = loop->dead;
        loop->dead = watch;
    } else {
        atoll_free(loop->alloc, watch, sizeof *watch);
    }
}

static void bury(struct vm_loop *loop) {
    while (loop->dead) {
        struct vm_watch *watch = loop->dead;
        loop->dead = watch->next_dead;
        atoll_free(loop->alloc, watch, sizeof *watch);
    }
}

/* ---- timers ---- */

static void set_clock(struct vm_loop *loop) {
    uint64_t first = UINT64_MAX;
    for (struct vm_timer *timer = loop->timers; timer; timer = timer->next)
        if (timer->deadline_ns < first) first = timer->deadline_ns;
    struct itimerspec when = {0};
    if (first != UINT64_MAX) {
        if (!first) first = 1; /* zero means off to the kernel */
        when.it_value.tv_sec = (time_t)(first / 1000000000u);
        when.it_value.tv_nsec = (long)(first % 1000000000u);
    }
    timerfd_settime(loop->clock, TFD_TIMER_ABSTIME, &when, NULL);
}

int vm_timer_new(struct vm_loop *loop, void (*fire)(void *context), void *context, struct vm_timer **out) {
    struct vm_timer *timer = atoll_new(loop->alloc, 1, sizeof *timer);
    if (!timer) return ENOMEM;
    *timer = (struct vm_timer){.loop = loop,
                               .next = loop->timers,
                               .deadline_ns = UINT64_MAX,
                               .round = loop->round,
                               .fire = fire,
                               .context = context};
    loop->timers = timer;
    *out = timer;
    return 0;
}

void vm_timer_set(struct vm_timer *timer, uint64_t deadline_ns) {
    timer->deadline_ns = deadline_ns;
    set_clock(timer->loop);
}

void vm_timer_free(struct vm_timer *timer) {
    if (!timer) return;
    struct vm_loop *loop = timer->loop;
    struct vm_timer **link = &loop->timers;
    while (*link != timer) link = &(*link)->next;
    *link = timer->next;
    atoll_free(loop->alloc, timer, sizeof *timer);
    set_clock(loop);
}

static struct vm_timer *due(struct vm_loop *loop, uint64_t now) {
    for (struct vm_timer *timer = loop->timers; timer; timer = timer->next)
        if (timer->deadline_ns <= now && timer->round != loop->round) return timer;
    return NULL;
}

/* A handler may set, make or free any timer, hence the search from the start. */
static void fire_timers(struct vm_loop *loop) {
    uint64_t n_expirations, now = vm_now_ns();
    (void)!read(loop->clock, &n_expirations, sizeof n_expirations);
    loop->round++;
    for (struct vm_timer *timer; (timer = due(loop, now));) {
        timer->round = loop->round;
        timer->deadline_ns = UINT64_MAX;
        timer->fire(timer->context);
    }
    set_clock(loop);
}

/* ---- posts ---- */

int vm_loop_post(struct vm_loop *loop, void (*run)(void *context), void *context) {
    struct post *post = atoll_new(loop->alloc, 1, sizeof *post);
    if (!post) return ENOMEM;
    *post = (struct post){.run = run, .context = context};
    pthread_mutex_lock(&loop->posts_lock);
    bool was_empty = !loop->first_post;
    *loop->last_post = post;
    loop->last_post = &post->next;
    pthread_mutex_unlock(&loop->posts_lock);
    if (was_empty) wake(loop);
    return 0;
}

void vm_loop_forget(struct vm_loop *loop, void *context) {
    pthread_mutex_lock(&loop->posts_lock);
    struct post **link = &loop->first_post;
    while (*link) {
        struct post *post = *link;
        if (post->context == context) {
            *link = post->next;
            atoll_free(loop->alloc, post, sizeof *post);
        } else {
            link = &post->next;
        }
    }
    loop->last_post = link;
    pthread_mutex_unlock(&loop->posts_lock);
}

static struct post *take_post(struct vm_loop *loop) {
    pthread_mutex_lock(&loop->posts_lock);
    struct post *post = loop->first_post;
    if (post) {
        loop->first_post = post->next;
        if (!loop->first_post) loop->last_post = &loop->first_post;
    }
    pthread_mutex_unlock(&loop->posts_lock);
    return post;
}

/* One at a time, so that what is posted and forgotten meanwhile counts; a bounded number, so that descriptors
 * and timers have their turn. */
static void run_posts(struct vm_loop *loop) {
    uint64_t count;
    (void)!read(loop->wake, &count, sizeof count);
    struct post *post = NULL;
    for (int i = 0; i < BATCH && !loop->stopped && (post = take_post(loop)); i++) {
        struct post copy = *post;
        atoll_free(loop->alloc, post, sizeof *post);
        copy.run(copy.context);
    }
    if (post) wake(loop); /* there may be more */
}

/* ---- running ---- */

static void handle(struct vm_loop *loop, const struct epoll_event *event) {
    if (event->data.ptr == &loop->wake) {
        run_posts(loop);
    } else if (event->data.ptr == &loop->clock) {
        fire_timers(loop);
    } else {
        struct vm_watch *watch = event->data.ptr;
        if (!watch->dead) watch->ready(watch->context, event->events);
    }
}

static void set_running(struct vm_loop *loop, bool running) {
    vm_loop_lock(loop);
    loop->running = running;
    bury(loop);
    vm_loop_unlock(loop);
}

/* A watch that is freed while the loop runs, by a handler or by another thread that got the lock between the wait
 * and the handlers, may be among the events: it is kept until they are handled. */
int vm_loop_run(struct vm_loop *loop) {
    struct epoll_event events[BATCH];
    int error = 0;
    set_running(loop, true);
    while (!loop->stopped && !error) {
        int n = epoll_wait(loop->epoll, events, BATCH, -1);
        if (n < 0 && errno != EINTR) error = errno;
        vm_loop_lock(loop);
        for (int i = 0; i < n && !loop->stopped; i++) handle(loop, events + i);
        bury(loop);
        vm_loop_unlock(loop);
    }
    set_running(loop, false);
    return error;
}

void vm_loop_stop(struct vm_loop *loop) {
    loop->stopped = true;
    wake(loop);
}
