/* tests/sysvm/loop_test.c: descriptors, timers and posts come back on the loop's thread, in order, and not
 * after they were freed. */
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
#include "sysvm/loop.h"

struct fixture {
    struct vm_loop *loop;
    struct vm_watch *watches[2];
    struct vm_timer *timers[3];
    int pipes[2][2];
    int n_calls, order[8];
    pthread_t thread;
};

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    *state = f;
    if (pipe(f->pipes[0]) || pipe(f->pipes[1])) return -1;
    return vm_loop_new(&atoll_default_alloc, &f->loop, NULL);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    vm_loop_free(f->loop);
    for (int i = 0; i < 4; i++) close(f->pipes[i / 2][i % 2]);
    test_free(f);
    return 0;
}

static void called(struct fixture *f, int what) {
    assert_in_range(f->n_calls, 0, 7);
    f->order[f->n_calls++] = what;
}

/* ---- descriptors ---- */

static void read_and_stop(void *context, uint32_t events) {
    struct fixture *f = context;
    char byte;
    assert_true(events & EPOLLIN);
    assert_int_equal(read(f->pipes[0][0], &byte, 1), 1);
    called(f, byte);
    if (byte == 'z') vm_loop_stop(f->loop);
}

static void a_descriptor_is_told_while_it_is_ready(void **state) {
    struct fixture *f = *state;
    assert_int_equal(vm_loop_watch(f->loop, f->pipes[0][0], EPOLLIN, read_and_stop, f, &f->watches[0]), 0);
    assert_int_equal(write(f->pipes[0][1], "abz", 3), 3);
    assert_int_equal(vm_loop_run(f->loop), 0);
    assert_int_equal(f->n_calls, 3);
    assert_int_equal(f->order[0], 'a');
    assert_int_equal(f->order[2], 'z');
    vm_watch_free(f->watches[0]);
}

static void free_both(void *context, uint32_t events) {
    struct fixture *f = context;
    (void)events;
    called(f, 0);
    vm_watch_free(f->watches[0]);
    vm_watch_free(f->watches[1]);
    vm_loop_stop(f->loop);
}

static void a_freed_watch_is_never_called(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(write(f->pipes[i][1], "x", 1), 1);
        assert_int_equal(vm_loop_watch(f->loop, f->pipes[i][0], EPOLLIN, free_both, f, &f->watches[i]), 0);
    }
    assert_int_equal(vm_loop_run(f->loop), 0);
    assert_int_equal(f->n_calls, 1);
}

static void a_regular_file_cannot_be_watched(void **state) {
    struct fixture *f = *state;
    FILE *file = tmpfile();
    assert_int_equal(vm_loop_watch(f->loop, fileno(file), EPOLLIN, free_both, f, &f->watches[0]), EPERM);
    fclose(file);
}

/* ---- timers ---- */

static void fire_0(void *context) { called(context, 0); }
static void fire_1(void *context) { called(context, 1); }
static void fire_last(void *context) {
    struct fixture *f = context;
    called(f, 2);
    vm_loop_stop(f->loop);
}

static void timers_fire_once_and_not_when_off(void **state) {
    struct fixture *f = *state;
    uint64_t now = vm_now_ns();
    assert_int_equal(vm_timer_new(f->loop, fire_0, f, &f->timers[0]), 0);
    assert_int_equal(vm_timer_new(f->loop, fire_1, f, &f->timers[1]), 0);
    assert_int_equal(vm_timer_new(f->loop, fire_last, f, &f->timers[2]), 0);
    vm_timer_set(f->timers[2], now + 3000000);
    vm_timer_set(f->timers[1], now);
    vm_timer_set(f->timers[1], UINT64_MAX);
    vm_timer_set(f->timers[0], 0);
    assert_int_equal(vm_loop_run(f->loop), 0);
    assert_true(vm_now_ns() >= now + 3000000);
    assert_int_equal(f->n_calls, 2);
    assert_int_equal(f->order[0], 0);
    assert_int_equal(f->order[1], 2);
    for (int i = 0; i < 3; i++) vm_timer_free(f->timers[i]);
}

static void set_again(void *context) {
    struct fixture *f = context;
    called(f, 0);
    if (f->n_calls < 3)
        vm_timer_set(f->timers[0], 1); /* long past */
    else
        vm_timer_free(f->timers[0]), vm_loop_stop(f->loop);
}

static void a_timer_sets_and_frees_itself(void **state) {
    struct fixture *f = *state;
    assert_int_equal(vm_timer_new(f->loop, set_again, f, &f->timers[0]), 0);
    vm_timer_set(f->timers[0], 1);
    assert_int_equal(vm_loop_run(f->loop), 0);
    assert_int_equal(f->n_calls, 3);
}

/* ---- posts ---- */

static void post_stop(void *context) {
    struct fixture *f = context;
    vm_loop_stop(f->loop);
}

static void on_loop_thread(void *context) {
    struct fixture *f = context;
    assert_true(pthread_equal(pthread_self(), f->thread));
    called(f, 1);
}

static void *poster(void *context) {
    struct fixture *f = context;
    assert_int_equal(vm_loop_post(f->loop, fire_0, f), 0);
    assert_int_equal(vm_loop_post(f->loop, on_loop_thread, f), 0);
    assert_int_equal(vm_loop_post(f->loop, post_stop, f), 0);
    return NULL;
}

static void posts_of_a_thread_run_in_order_on_the_loop(void **state) {
    struct fixture *f = *state;
    pthread_t thread;
    f->thread = pthread_self();
    assert_int_equal(pthread_create(&thread, NULL, poster, f), 0);
    assert_int_equal(vm_loop_run(f->loop), 0);
    pthread_join(thread, NULL);
    assert_int_equal(f->n_calls, 2);
    assert_int_equal(f->order[0], 0);
    assert_int_equal(f->order[1], 1);
}

static void count(void *context) { ++*(int *)context; }

static void more_posts_than_one_batch_all_run(void **state) {
    struct fixture *f = *state;
    int n = 0;
    for (int i = 0; i < 1000; i++) assert_int_equal(vm_loop_post(f->loop, count, &n), 0);
    assert_int_equal(vm_loop_post(f->loop, post_stop, f), 0);
    assert_int_equal(vm_loop_run(f->loop), 0);
    assert_int_equal(n, 1000);
}

static void forgotten_posts_do_not_run(void **state) {
    struct fixture *f = *state;
    int kept = 0, forgotten = 0;
    assert_int_equal(vm_loop_post(f->loop, count, &forgotten), 0);
    assert_int_equal(vm_loop_post(f->loop, count, &kept), 0);
    assert_int_equal(vm_loop_post(f->loop, count, &forgotten), 0);
    vm_loop_forget(f->loop, &forgotten);
    assert_int_equal(vm_loop_post(f->loop, post_stop, f), 0);
    assert_int_equal(vm_loop_run(f->loop), 0);
    assert_int_equal(kept, 1);
    assert_int_equal(forgotten, 0);
}

static void a_stop_before_the_run_counts(void **state) {
    struct fixture *f = *state;
    vm_loop_stop(f->loop);
    assert_int_equal(vm_loop_run(f->loop), 0);
}

/* ---- the lock ---- */

static void take_lock(void *context) {
    struct fixture *f = context;
    called(f, 0);
    vm_loop_stop(f->loop);
}

static void *run_loop(void *context) {
    struct fixture *f = context;
    assert_int_equal(vm_loop_run(f->loop), 0);
    return NULL;
}

static void no_handler_runs_under_anothers_lock(void **state) {
    struct fixture *f = *state;
    pthread_t thread;
    vm_loop_lock(f->loop);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, f), 0);
    assert_int_equal(vm_loop_post(f->loop, take_lock, f), 0);
    usleep(2000); /* whatever happens in this time, the handler must not */
    assert_int_equal(f->n_calls, 0);
    vm_loop_unlock(f->loop);
    pthread_join(thread, NULL);
    assert_int_equal(f->n_calls, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_is_told_while_it_is_ready), TEST(a_freed_watch_is_never_called),
        TEST(a_regular_file_cannot_be_watched),       TEST(timers_fire_once_and_not_when_off),
        TEST(a_timer_sets_and_frees_itself),          TEST(posts_of_a_thread_run_in_order_on_the_loop),
        TEST(more_posts_than_one_batch_all_run),      TEST(forgotten_posts_do_not_run),
        TEST(a_stop_before_the_run_counts),           TEST(no_handler_runs_under_anothers_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
