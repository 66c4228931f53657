/* tests/sysvm/dev/virtio_console_test.c: bytes both ways, ends and guests that are slow, guests that lie. */
#include "sysvm/dev/virtio/console.h"
#include "tests/sysvm/dev/loop_thread.h"
#include "tests/sysvm/dev/stream_end.h"
#include "tests/sysvm/fake_driver.h"

enum { RECEIVE, TRANSMIT, CONTROL_RECEIVE, CONTROL_TRANSMIT };

struct fixture {
    struct loop_thread thread;
    struct stream_end end;
    struct vcon *console;
    struct vm_stream_device device;
    struct fake_driver *d;
};

/* A test holds the machine lock, but while it lets the loop run. */
static int set_up_named(void **state, const char *name) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct virtio_ops *ops;
    loop_thread_start(&f->thread);
    vm_loop_lock(f->thread.loop);
    f->end.room = SIZE_MAX;
    struct vcon_config config = {.alloc = &atoll_default_alloc,
                                 .loop = f->thread.loop,
                                 .end = {&stream_end_ops, &f->end},
                                 .columns = 80,
                                 .rows = 25,
                                 .name = name};
    assert_int_equal(vcon_new(&config, &ops, &f->console, NULL), 0);
    f->device = vcon_stream(f->console);
    f->d = fake_driver_new(1 << 20, ops, f->console);
    *state = f;
    return 0;
}

static int set_up(void **state) { return set_up_named(state, NULL); }
static int set_up_port(void **state) { return set_up_named(state, "org.example.port"); }

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

static void many_small_buffers_are_filled_without_a_notification(void **state) {
    struct fixture *f = *state;
    static char text[301];
    memset(text, 'q', 300);
    f->d->queue_size = 128;
    fake_start(f->d, UINT64_MAX);
    struct fake_segment buffer = {fake_put(f->d, NULL, 1), 1, true};
    for (unsigned i = 0; i < 128; i++) fake_offer(f->d, RECEIVE, &buffer, 1);
    assert_int_equal(hear(f, text), 128);
    for (unsigned i = 0; i < 128; i++)
        fake_offer(f->d, RECEIVE, &buffer, 1); /* the device has not seen an empty ring */
    settle(f);
    assert_int_equal(f->end.n_wanted, 1);
    assert_int_equal(hear(f, text), 128);
}

/* ---- a plain port ---- */

struct control {
    uint32_t port;
    uint16_t event, value;
};

static void control(struct fixture *f, uint32_t port, uint16_t event, uint16_t value) {
    struct control m = {port, event, value};
    struct fake_segment segment = {fake_put(f->d, &m, sizeof m), sizeof m, false};
    fake_offer(f->d, CONTROL_TRANSMIT, &segment, 1);
    fake_kick(f->d, CONTROL_TRANSMIT);
}

/* The next message of the device in buffers of 128 bytes from `buffers` on; returns its bytes. */
static uint32_t expect_control(struct fixture *f, uint64_t buffers, uint16_t event) {
    struct fake_used used;
    struct control m;
    assert_true(fake_take_used(f->d, CONTROL_RECEIVE, &used));
    memcpy(&m, fake_at(f->d, buffers + 128 * used.head, sizeof m), sizeof m);
    assert_int_equal(m.port, 0);
    assert_int_equal(m.event, event);
    assert_int_equal(m.value, 1);
    return used.n_bytes;
}

static void a_port_is_announced_by_name_and_opened(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    fake_start(f->d, UINT64_MAX);
    uint64_t buffers = fake_put(f->d, NULL, 4 * 128);
    control(f, 0xFFFFFFFF, 0, 1); /* the driver is ready, before there is a buffer for the answer */
    assert_false(fake_take_used(f->d, CONTROL_RECEIVE, &used));
    for (unsigned i = 0; i < 4; i++)
        fake_offer(f->d, CONTROL_RECEIVE, &(struct fake_segment){buffers + 128 * i, 128, true}, 1);
    fake_kick(f->d, CONTROL_RECEIVE);
    assert_int_equal(expect_control(f, buffers, 1), 8);
    control(f, 0, 3, 1);
    assert_int_equal(expect_control(f, buffers, 7), 8 + strlen("org.example.port"));
    assert_memory_equal(fake_at(f->d, buffers + 128 + 8, 16), "org.example.port", 16);
    assert_int_equal(expect_control(f, buffers, 6), 8);
    assert_false(fake_take_used(f->d, CONTROL_RECEIVE, &used));
}

static void a_port_has_input_while_the_guest_has_it_open(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, UINT64_MAX);
    struct fake_segment buffer = {fake_put(f->d, NULL, 4), 4, true};
    for (unsigned i = 0; i < 4; i++) fake_offer(f->d, RECEIVE, &buffer, 1);
    fake_kick(f->d, RECEIVE);
    assert_int_equal(hear(f, "a"), 0);
    control(f, 1, 6, 1); /* of another port */
    assert_int_equal(hear(f, "a"), 0);
    control(f, 0, 6, 1);
    assert_int_equal(f->end.n_wanted, 1);
    assert_int_equal(hear(f, "a"), 1);
    control(f, 0, 6, 0);
    assert_int_equal(hear(f, "a"), 0);
    say(f, "out");
    fake_kick(f->d, TRANSMIT);
    assert_string_equal(f->end.text, "out");
}

static void a_driver_that_knows_no_ports_has_a_console(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, 0);
    struct fake_segment buffer = {fake_put(f->d, NULL, 4), 4, true};
    fake_offer(f->d, RECEIVE, &buffer, 1);
    assert_int_equal(hear(f, "a"), 1);
}

static void control_messages_that_make_no_sense_do_nothing(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    fake_start(f->d, UINT64_MAX);
    uint64_t buffer = fake_put(f->d, NULL, 16);
    fake_offer(f->d, CONTROL_RECEIVE, &(struct fake_segment){buffer, 3, true}, 1); /* no room for a message */
    for (uint32_t event = 0; event < 300; event++)
        control(f, event % 3, (uint16_t)(event * 257), (uint16_t)event);
    struct fake_segment part = {buffer, 7, false};
    fake_offer(f->d, CONTROL_TRANSMIT, &part, 1);
    fake_kick(f->d, CONTROL_TRANSMIT);
    control(f, 0, 0, 1);
    assert_true(fake_take_used(f->d, CONTROL_RECEIVE, &used));
    assert_int_equal(used.n_bytes, 3);
    assert_false(fake_is_broken(f->d));
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_PORT(name) cmocka_unit_test_setup_teardown(name, set_up_port, tear_down)

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
        TEST(many_small_buffers_are_filled_without_a_notification),
        TEST_PORT(a_port_is_announced_by_name_and_opened),
        TEST_PORT(a_port_has_input_while_the_guest_has_it_open),
        TEST_PORT(a_driver_that_knows_no_ports_has_a_console),
        TEST_PORT(control_messages_that_make_no_sense_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
