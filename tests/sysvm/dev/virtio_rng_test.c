/* tests/sysvm/dev/virtio_rng_test.c: random bytes, no more than asked for or allowed. */
#include "sysvm/dev/virtio/rng.h"
#include "tests/sysvm/dev/loop_thread.h"
#include "tests/sysvm/fake_driver.h"

struct fixture {
    struct loop_thread thread;
    struct sandbox *sandbox;
    struct fake_driver *d;
    char last_line[256];
    unsigned n_lines;
};

static void trace(void *context, const char *line) {
    struct fixture *f = context;
    f->n_lines++;
    strncpy(f->last_line, line, sizeof f->last_line - 1);
}

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct virtio_ops *ops;
    void *dev;
    loop_thread_start(&f->thread);
    vm_loop_lock(f->thread.loop);
    struct sb_config sandbox = {.trace = trace, .trace_context = f};
    assert_int_equal(sb_new(&sandbox, &f->sandbox, NULL), 0);
    struct vrng_config config = {&atoll_default_alloc, f->thread.loop, f->sandbox};
    assert_int_equal(vrng_new(&config, &ops, &dev, NULL), 0);
    f->d = fake_driver_new(1 << 20, ops, dev);
    fake_start(f->d, UINT64_MAX);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_driver_free(f->d);
    sb_free(f->sandbox);
    vm_loop_unlock(f->thread.loop);
    loop_thread_stop(&f->thread);
    loop_thread_free(&f->thread);
    test_free(f);
    return 0;
}

static void buffers_come_back_full_and_different(void **state) {
    struct fixture *f = *state;
    struct fake_segment segments[] = {{fake_put(f->d, NULL, 64), 40, true},
                                      {fake_put(f->d, NULL, 64), 24, true}};
    struct fake_used used;
    uint8_t first[64];
    fake_offer(f->d, 0, segments, 2);
    fake_kick(f->d, 0);
    assert_true(fake_take_used(f->d, 0, &used));
    assert_int_equal(used.n_bytes, 64);
    memcpy(first, fake_at(f->d, segments[0].gpa, 64), 64);
    static const uint8_t zeros[40];
    assert_memory_not_equal(first, zeros, 40);
    assert_memory_equal(first + 40, zeros, 24); /* not a byte behind the buffer */
    fake_offer(f->d, 0, segments, 2);
    fake_kick(f->d, 0);
    assert_memory_not_equal(first, fake_at(f->d, segments[0].gpa, 64), 40);
    assert_int_equal(f->d->interrupts[0], 1); /* the second was not asked for */
}

static void the_sandbox_is_asked(void **state) {
    struct fixture *f = *state;
    struct fake_segment segment = {fake_put(f->d, NULL, 64), 64, true};
    fake_offer(f->d, 0, &segment, 1);
    fake_kick(f->d, 0);
    assert_int_equal(f->n_lines, 1);
    assert_non_null(strstr(f->last_line, "random"));
    assert_non_null(strstr(f->last_line, "bytes=64"));
}

static void a_gigantic_request_gets_a_part(void **state) {
    struct fixture *f = *state;
    struct fake_segment segment = {0, 1 << 20, true};
    struct fake_used used;
    fake_negotiate(f->d, UINT64_MAX);
    f->d->next_free = 0x80000;
    fake_set_up_queue(f->d, 0, 8);
    virtio_set_status(f->d->vdev, VIRTIO_DRIVER_OK);
    fake_offer(f->d, 0, &segment, 1);
    fake_kick(f->d, 0);
    assert_true(fake_take_used(f->d, 0, &used));
    assert_int_equal(used.n_bytes, VRNG_MAX_BYTES);
    uint64_t word;
    memcpy(&word, fake_at(f->d, VRNG_MAX_BYTES, 8), 8);
    assert_int_equal(word, 0);
}

static void many_requests_are_served_in_turns(void **state) {
    struct fixture *f = *state;
    struct fake_segment segment = {fake_put(f->d, NULL, 16), 16, true};
    struct fake_used used;
    for (unsigned i = 0; i < 60; i++) fake_offer(f->d, 0, &segment, 1);
    fake_kick(f->d, 0);
    unsigned n = 0;
    while (fake_take_used(f->d, 0, &used)) n++;
    assert_true(n > 0 && n < 60);
    for (; n < 60; n += fake_take_used(f->d, 0, &used)) {
        vm_loop_unlock(f->thread.loop);
        loop_thread_settle(&f->thread);
        vm_loop_lock(f->thread.loop);
    }
    assert_int_equal(f->n_lines, 60);
}

static void requests_that_make_no_sense_get_nothing(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    struct fake_segment wrong_way = {fake_put(f->d, NULL, 16), 16, false}, empty = {wrong_way.gpa, 0, true};
    fake_offer(f->d, 0, &wrong_way, 1);
    fake_offer(f->d, 0, &empty, 1);
    fake_kick(f->d, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fake_take_used(f->d, 0, &used));
        assert_int_equal(used.n_bytes, 0);
    }
    assert_int_equal(f->n_lines, 0);
    virtio_set_status(f->d->vdev, 0);
    fake_kick(f->d, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(buffers_come_back_full_and_different),    TEST(the_sandbox_is_asked),
        TEST(a_gigantic_request_gets_a_part),          TEST(many_requests_are_served_in_turns),
        TEST(requests_that_make_no_sense_get_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
