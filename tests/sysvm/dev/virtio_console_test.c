/* tests/sysvm/dev/virtio_console_test.c: bytes both ways, ends and guests that are slow, guests that lie. */
#include "sysvm/dev/virtio/console.h"
#include "tests/sysvm/dev/loop_thread.h"
#include "tests/sysvm/dev/stream_end.h"
#include "tests/sysvm/fake_driver.h"

enum { RECEIVE, TRANSMIT };

struct fixture {
    struct loop_thread thread;
    struct stream_end end;
    struct vcon *console;
    struct vm_stream_device device;
    struct fake_driver *d;
};

/* A test holds the machine lock, but while it lets the loop run. */
static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct virtio_ops *ops;
    loop_thread_start(&f->thread);
    vm_loop_lock(f->thread.loop);
    f->end.room = SIZE_MAX;
    struct vcon_config config = {.alloc = &atoll_default_alloc,
                                 .loop = f->thread.loop,
                                 .end = {&stream_end_ops, &f->end},
                                 .columns = 80,
                                 .rows = 25};
    assert_int_equal(vcon_new(&config, &ops, &f->console, NULL), 0);
    f->device = vcon_stream(f->console);
    f->d = fake_driver_new(1 << 20, ops, f->console);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_driver_free(f->d);
    vm_loop_unlock(f->thread.loop);
    loop_thread_stop(&f->thread);
    loop_thread_free(&f->thread);
    test_free(f);
    return 0;
}

static void settle(struct fixture *f) {
    vm_loop_unlock(f->thread.loop);
    loop_thread_settle(&f->thread);
    vm_loop_lock(f->thread.loop);
}

static void say(struct fixture *f, const char *text) {
    struct fake_segment segment = {fake_put(f->d, text, strlen(text)), (uint32_t)strlen(text), false};
    fake_offer(f->d, TRANSMIT, &segment, 1);
}
static size_t hear(struct fixture *f, const char *text) {
    return f->device.ops->receive(f->device.device, (const uint8_t *)text, strlen(text));
}

static void output_reaches_the_other_end(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    fake_start(f->d, UINT64_MAX);
    say(f, "hello, ");
    struct fake_segment two[] = {{fake_put(f->d, "wor", 3), 3, false}, {fake_put(f->d, "ld", 2), 2, false}};
    fake_offer_indirect(f->d, TRANSMIT, two, 2);
    fake_kick(f->d, TRANSMIT);
    assert_string_equal(f->end.text, "hello, world");
    assert_true(fake_take_used(f->d, TRANSMIT, &used));
    assert_true(fake_take_used(f->d, TRANSMIT, &used));
    assert_int_equal(used.n_bytes, 0);
    assert_int_equal(f->d->interrupts[TRANSMIT], 1);
}

static void a_slow_end_holds_the_request(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    fake_start(f->d, UINT64_MAX);
    f->end.room = 3;
    say(f, "hello");
    say(f, "!");
    fake_kick(f->d, TRANSMIT);
    assert_string_equal(f->end.text, "hel");
    fake_kick(f->d, TRANSMIT);
    assert_false(fake_take_used(f->d, TRANSMIT, &used));
    f->end.room = SIZE_MAX;
    f->device.ops->writable(f->device.device);
    assert_string_equal(f->end.text, "hello!");
    assert_true(fake_take_used(f->d, TRANSMIT, &used));
}

static void a_reset_drops_what_was_held(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    fake_start(f->d, UINT64_MAX);
    f->end.room = 1;
    say(f, "old");
    fake_kick(f->d, TRANSMIT);
    virtio_set_status(f->d->vdev, 0);
    f->end.room = SIZE_MAX;
    f->device.ops->writable(f->device.device);
    fake_start(f->d, UINT64_MAX);
    say(f, "new");
    fake_kick(f->d, TRANSMIT);
    assert_string_equal(f->end.text, "onew");
    assert_true(fake_take_used(f->d, TRANSMIT, &used));
    assert_false(fake_take_used(f->d, TRANSMIT, &used));
}

static void input_fills_the_guests_buffers_and_waits_for_more(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    assert_int_equal(hear(f, "early"), 0);
    fake_start(f->d, UINT64_MAX);
    assert_int_equal(f->end.n_wanted, 0);
    struct fake_segment buffer = {fake_put(f->d, NULL, 4), 4, true};
    fake_offer(f->d, RECEIVE, &buffer, 1);
    fake_kick(f->d, RECEIVE);
    assert_int_equal(f->end.n_wanted, 1);
    assert_int_equal(hear(f, "abcdef"), 4);
    assert_memory_equal(fake_at(f->d, buffer.gpa, 4), "abcd", 4);
    assert_true(fake_take_used(f->d, RECEIVE, &used));
    assert_int_equal(used.n_bytes, 4);
    fake_kick(f->d, RECEIVE);
    assert_int_equal(f->end.n_wanted, 2);
    fake_kick(f->d, RECEIVE);
    assert_int_equal(f->end.n_wanted, 2);
}

static void a_new_window_size_is_told(void **state) {
    struct fixture *f = *state;
    uint16_t size[2];
    fake_start(f->d, UINT64_MAX);
    virtio_config_read(f->d->vdev, 0, size, 4);
    assert_true(size[0] == 80 && size[1] == 25);
    f->device.ops->resize(f->device.device, 132, 50);
    assert_int_equal(f->d->config_interrupts, 1);
    virtio_config_read(f->d->vdev, 0, size, 4);
    assert_true(size[0] == 132 && size[1] == 50);
}

static void an_emergency_character_needs_no_queue(void **state) {
    struct fixture *f = *state;
    uint32_t character = 'E';
    virtio_config_write(f->d->vdev, 8, &character, 4);
    virtio_config_write(f->d->vdev, 4, &character, 4);
    virtio_config_write(f->d->vdev, 9, &character, 2);
    assert_string_equal(f->end.text, "E");
}

/* The bytes are the same few again and again; what they cost is bounded a turn, and others have theirs. */
static void a_gigantic_request_does_not_hold_the_loop(void **state) {
    struct fixture *f = *state;
    struct fake_segment segments[32];
    for (unsigned i = 0; i < 32; i++) segments[i] = (struct fake_segment){0x1000, 0x10000, false};
    fake_start(f->d, UINT64_MAX);
    f->end.room = SIZE_MAX;
    fake_offer_indirect(f->d, TRANSMIT, segments, 32);
    fake_kick(f->d, TRANSMIT);
    assert_true(f->end.n > 0 && f->end.n < sizeof f->end.text);
    unsigned n_writes = f->end.n_writes;
    assert_true(n_writes <= 64);
    f->end.n = 0;
    settle(f);
    assert_true(f->end.n_writes > n_writes);
}

static void requests_that_make_no_sense_are_answered(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    fake_start(f->d, UINT64_MAX);
    struct fake_segment wrong_way = {fake_put(f->d, "x", 1), 1, true}, other_way = {wrong_way.gpa, 1, false};
    fake_offer(f->d, TRANSMIT, &wrong_way, 1);
    fake_kick(f->d, TRANSMIT);
    assert_true(fake_take_used(f->d, TRANSMIT, &used));
    assert_int_equal(f->end.n, 0);
    for (unsigned i = 0; i < 40; i++) fake_offer(f->d, RECEIVE, &other_way, 1);
    assert_int_equal(hear(f, "a"), 0);
    assert_true(fake_take_used(f->d, RECEIVE, &used));
    assert_int_equal(used.n_bytes, 0);
    fake_make_available(f->d, TRANSMIT, 999);
    fake_kick(f->d, TRANSMIT);
    assert_true(fake_is_broken(f->d));
    assert_int_equal(hear(f, "a"), 0);
    f->device.ops->writable(f->device.device);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(output_reaches_the_other_end),
        TEST(a_slow_end_holds_the_request),
        TEST(a_reset_drops_what_was_held),
        TEST(input_fills_the_guests_buffers_and_waits_for_more),
        TEST(a_new_window_size_is_told),
        TEST(an_emergency_character_needs_no_queue),
        TEST(a_gigantic_request_does_not_hold_the_loop),
        TEST(requests_that_make_no_sense_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
