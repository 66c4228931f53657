/* cli/stop.c: what ends a running program from outside. Signal handlers have no context argument, hence the
 * statics. */
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>
#include "cli/run.h"

static struct rt_store *_Atomic watched;
static volatile sig_atomic_t signal_seen;
static bc_stop stopped; /* a signal or the timer came */

static void on_stop(int number) {
    if (signal_seen) _exit(CLI_SIGNAL + number);
    signal_seen = number;
    stopped = 1;
    struct rt_store *store = watched;
    if (store) rt_store_interrupt(store, RT_INTERRUPT_CANCEL);
}

static void on_alarm(int number) {
    (void)number;
    stopped = 1;
    struct rt_store *store = watched;
    if (store) rt_store_interrupt(store, RT_INTERRUPT_TIMEOUT);
}

/* A signal that was ignored when atoll started (nohup, background jobs) stays ignored. */
static void handle(int number, void (*handler)(int)) {
    struct sigaction old, action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN && number != SIGALRM) return;
    sigaction(number, &action, NULL);
}

/* It strikes again and again: the first may come between a check and the call that then blocks. */
static void set_timer(uint64_t ns) {
    uint64_t us = (ns + 999) / 1000;
    struct itimerval timer = {.it_value = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (long)(us % 1000000)},
                              .it_interval = {.tv_usec = us ? 100000 : 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

void cli_stop_watch(struct rt_store *store, uint64_t timeout_ns) {
    watched = store;
    handle(SIGINT, on_stop);
    handle(SIGTERM, on_stop);
    if (!timeout_ns) return;
    handle(SIGALRM, on_alarm);
    set_timer(timeout_ns);
}

void cli_stop_unwatch(void) {
    watched = NULL;
    set_timer(0);
}

bool cli_stopped(void) { return stopped; }
const bc_stop *cli_stop_flag(void) { return &stopped; }
int cli_stop_signal(void) { return signal_seen; }
