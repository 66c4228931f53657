/* sysvm/cpu/soft/clock.c: one clock, and the timers that hang on it, earliest first. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include "sysvm/cpu/soft/clock.h"
#include "sysvm/loop.h"

#define SECOND UINT64_C(1000000000)

uint64_t soft_clock_now(const struct soft_clock *clock) {
    return clock->manual ? *clock->manual : vm_now_ns() - clock->start_ns;
}

static void unlink_timer(struct soft_clock *clock, struct soft_timer *timer) {
    struct soft_timer **at = &clock->first;
    while (*at != timer) at = &(*at)->next;
    *at = timer->next;
    timer->is_set = false;
}

void soft_timer_stop(struct soft_chips *chips, struct soft_timer *timer) {
    if (timer->is_set) unlink_timer(&chips->clock, timer);
}

void soft_timer_set(struct soft_chips *chips, struct soft_timer *timer, uint64_t deadline_ns) {
    struct soft_clock *clock = &chips->clock;
    soft_timer_stop(chips, timer);
    struct soft_timer **at = &clock->first;
    while (*at && (*at)->deadline_ns <= deadline_ns) at = &(*at)->next;
    timer->deadline_ns = deadline_ns;
    timer->next = *at;
    timer->is_set = true;
    *at = timer;
    if (clock->first == timer && clock->has_thread) pthread_cond_signal(&clock->changed);
}

/* What is due when it begins, each once: a timer that sets itself to the past does not keep it here. */
void soft_clock_run(struct soft_chips *chips) {
    struct soft_clock *clock = &chips->clock;
    uint64_t now = soft_clock_now(clock);
    while (clock->first && clock->first->deadline_ns <= now) {
        struct soft_timer *timer = clock->first;
        unlink_timer(clock, timer);
        timer->fire(timer->context);
        if (timer->is_set && timer->deadline_ns <= now) return;
    }
}

/* ---- the thread ---- */

static void wait_for_next(struct soft_chips *chips) {
    struct soft_clock *clock = &chips->clock;
    if (!clock->first) {
        pthread_cond_wait(&clock->changed, &chips->lock);
        return;
    }
    uint64_t at = clock->first->deadline_ns;
    if (at <= soft_clock_now(clock)) return;
    at = at > UINT64_MAX / 4 ? UINT64_MAX / 4 : at + clock->start_ns;
    struct timespec until = {(time_t)(at / SECOND), (long)(at % SECOND)};
    pthread_cond_timedwait(&clock->changed, &chips->lock, &until);
}

struct start {
    struct soft_chips *chips;
    const struct soft_chips_config *config;
    enum atoll_status status;
    struct atoll_error *err;
    bool is_done;
};

/* Tells who waits for it how the start went; *start is gone afterwards. */
static bool tell_start(struct start *start) {
    const struct soft_chips_config *config = start->config;
    enum atoll_status status =
        config->thread_starts ? config->thread_starts(config->thread_context, start->err) : ATOLL_OK;
    pthread_mutex_lock(&start->chips->lock);
    start->status = status;
    start->is_done = true;
    pthread_cond_signal(&start->chips->clock.changed);
    return status == ATOLL_OK;
}

static void *serve(void *context) {
    struct start *start = context;
    struct soft_chips *chips = start->chips;
    pthread_setname_np(pthread_self(), "clock");
    if (!tell_start(start)) chips->clock.stopping = true; /* with the lock, as below */
    while (!chips->clock.stopping) {
        soft_clock_run(chips);
        if (!chips->clock.stopping) wait_for_next(chips);
    }
    pthread_mutex_unlock(&chips->lock);
    return NULL;
}

static enum atoll_status start_thread(struct soft_chips *chips, const struct soft_chips_config *config,
                                      struct atoll_error *err) {
    struct start start = {.chips = chips, .config = config, .err = err};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&chips->clock.thread, NULL, serve, &start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    chips->clock.has_thread = !error;
    if (error) {
        if (err) err->system_errno = error;
        return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "no thread for the timers of the processors: %s",
                          strerror(error));
    }
    pthread_mutex_lock(&chips->lock);
    while (!start.is_done) pthread_cond_wait(&chips->clock.changed, &chips->lock);
    pthread_mutex_unlock(&chips->lock);
    return start.status;
}

enum atoll_status soft_clock_init(struct soft_chips *chips, const struct soft_chips_config *config,
                                  struct atoll_error *err) {
    struct soft_clock *clock = &chips->clock;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&clock->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    clock->manual = config->manual_ns;
    clock->start_ns = vm_now_ns();
    return clock->manual ? ATOLL_OK : start_thread(chips, config, err);
}

void soft_clock_fini(struct soft_chips *chips) {
    struct soft_clock *clock = &chips->clock;
    if (clock->has_thread) {
        pthread_mutex_lock(&chips->lock);
        clock->stopping = true;
        pthread_cond_signal(&clock->changed);
        pthread_mutex_unlock(&chips->lock);
        pthread_join(clock->thread, NULL);
    }
    pthread_cond_destroy(&clock->changed);
}
