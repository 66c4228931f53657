/* tests/sysvm/dev/virtio_balloon_test.c: pages go back to the host and come again as zeros; nothing but the
 * guest's own memory can be given away. */
#include <sys/mman.h>
#include "sysvm/dev/virtio/balloon.h"
#include "tests/sysvm/dev/loop_thread.h"
#include "tests/sysvm/fake_driver.h"

enum { INFLATE, DEFLATE, REPORTING };
#define RAM  (UINT64_C(4) << 20)
#define PAGE VBALLOON_PAGE

/* The device needs the fake driver's memory before that is there. */
struct fixture {
    struct loop_thread thread;
    struct vballoon *balloon;
    struct fake_driver *d;
};

static int set_up_as(void **state, enum vm_memory_kind kind) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct virtio_ops *ops;
    struct vm_memory *memory;
    loop_thread_start(&f->thread);
    vm_loop_lock(f->thread.loop);
    assert_int_equal(vm_memory_new_as(&atoll_default_alloc, RAM, kind, &memory, NULL), 0);
    struct vballoon_config config = {&atoll_default_alloc, f->thread.loop, memory};
    assert_int_equal(vballoon_new(&config, &ops, &f->balloon, NULL), 0);
    f->d = fake_driver_with(memory, ops, f->balloon);
    fake_start(f->d, UINT64_MAX);
    memset(fake_at(f->d, RAM / 2, RAM / 2), 0xAA, RAM / 2);
    *state = f;
    return 0;
}

static int set_up(void **state) { return set_up_as(state, VM_MEMORY_PRIVATE); }
static int set_up_shared(void **state) { return set_up_as(state, VM_MEMORY_SHARED); }

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_driver_free(f->d);
    vm_loop_unlock(f->thread.loop);
    loop_thread_stop(&f->thread);
    loop_thread_free(&f->thread);
    test_free(f);
    return 0;
}

static uint64_t resident(struct fixture *f) {
    unsigned char pages[RAM / PAGE];
    uint64_t n = 0;
    assert_int_equal(mincore(fake_at(f->d, 0, RAM), RAM, pages), 0);
    for (size_t i = 0; i < RAM / PAGE; i++) n += pages[i] & 1;
    return n * PAGE;
}

static void inflate(struct fixture *f, const uint32_t *pages, unsigned n) {
    struct fake_segment segment = {fake_put(f->d, pages, n * sizeof *pages), n * (uint32_t)sizeof *pages,
                                   false};
    struct fake_used used;
    fake_offer(f->d, INFLATE, &segment, 1);
    fake_kick(f->d, INFLATE);
    assert_true(fake_take_used(f->d, INFLATE, &used));
}

static uint8_t byte_at(struct fixture *f, uint64_t gpa) { return *(uint8_t *)fake_at(f->d, gpa, 1); }

static void pages_in_the_balloon_go_back_to_the_host(void **state) {
    struct fixture *f = *state;
    uint64_t before = resident(f);
    uint32_t first = (uint32_t)(RAM / 2 / PAGE);
    inflate(f, (uint32_t[]){first, first + 1, first + 2, first + 10}, 4);
    assert_int_equal(vballoon_returned_bytes(f->balloon), 4 * PAGE);
    assert_int_equal(before - resident(f), 4 * PAGE);
    assert_int_equal(byte_at(f, RAM / 2 + 2 * PAGE), 0);
    assert_int_equal(byte_at(f, RAM / 2 + 3 * PAGE), 0xAA);
    assert_int_equal(byte_at(f, RAM / 2 + 10 * PAGE), 0);
}

static void reported_pages_go_back_to_the_host(void **state) {
    struct fixture *f = *state;
    uint64_t before = resident(f);
    struct fake_segment segments[] = {{RAM / 2, 0x10000, true}, {RAM - 0x20000, 0x20000, true}};
    struct fake_used used;
    fake_offer_indirect(f->d, REPORTING, segments, 2);
    fake_kick(f->d, REPORTING);
    assert_true(fake_take_used(f->d, REPORTING, &used));
    assert_true(before - resident(f) >= 0x30000 - 2 * PAGE); /* the table's own page came meanwhile */
    assert_int_equal(vballoon_returned_bytes(f->balloon), 0x30000);
    assert_int_equal(byte_at(f, RAM / 2), 0);
    assert_int_equal(byte_at(f, RAM / 2 + 0x10000), 0xAA);
    assert_int_equal(byte_at(f, RAM - 1), 0);
}

static void only_whole_pages_go(void **state) {
    struct fixture *f = *state;
    struct fake_segment segments[] = {{RAM / 2 + 1, 2 * PAGE, true},
                                      {RAM / 2 + 16 * PAGE + 8, PAGE - 8, true}};
    struct fake_used used;
    fake_offer(f->d, REPORTING, segments, 2);
    fake_kick(f->d, REPORTING);
    assert_true(fake_take_used(f->d, REPORTING, &used));
    assert_int_equal(vballoon_returned_bytes(f->balloon), PAGE);
    assert_int_equal(byte_at(f, RAM / 2), 0xAA);
    assert_int_equal(byte_at(f, RAM / 2 + PAGE), 0);
    assert_int_equal(byte_at(f, RAM / 2 + 2 * PAGE), 0xAA);
    assert_int_equal(byte_at(f, RAM / 2 + 16 * PAGE + 8), 0xAA);
}

static void page_numbers_that_are_no_ram_are_passed_over(void **state) {
    struct fixture *f = *state;
    uint32_t last = (uint32_t)(RAM / PAGE) - 1;
    inflate(f, (uint32_t[]){UINT32_MAX, UINT32_MAX - 1, 0xC0000, 0xFEE00, last + 1, UINT32_MAX, 0}, 7);
    assert_int_equal(vballoon_returned_bytes(f->balloon), PAGE); /* page 0 is RAM */
    inflate(f, (uint32_t[]){last, last + 1}, 2);                 /* a run that leaves RAM: none of it */
    assert_int_equal(vballoon_returned_bytes(f->balloon), PAGE);
    assert_int_equal(byte_at(f, RAM - 1), 0xAA);
    assert_false(fake_is_broken(f->d));
}

static void a_list_that_ends_within_a_number_loses_that(void **state) {
    struct fixture *f = *state;
    uint32_t page = (uint32_t)(RAM / 2 / PAGE);
    struct fake_segment segment = {fake_put(f->d, (uint32_t[]){page, page + 1}, 8), 7, false};
    fake_offer(f->d, INFLATE, &segment, 1);
    fake_kick(f->d, INFLATE);
    assert_int_equal(vballoon_returned_bytes(f->balloon), PAGE);
}

/* Four gigabytes of page numbers, all of them zero. */
static void an_endless_list_costs_a_bounded_time(void **state) {
    struct fixture *f = *state;
    static struct fake_segment segments[200];
    for (unsigned i = 0; i < 200; i++) segments[i] = (struct fake_segment){0, (uint32_t)RAM, false};
    struct fake_used used;
    fake_offer_indirect(f->d, INFLATE, segments, 200);
    fake_kick(f->d, INFLATE);
    assert_true(fake_take_used(f->d, INFLATE, &used));
    assert_true(vballoon_returned_bytes(f->balloon) <= 1024 * PAGE);
}

static void deflating_is_answered(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    struct fake_segment segment = {fake_put(f->d, (uint32_t[]){5}, 4), 4, false};
    fake_offer(f->d, DEFLATE, &segment, 1);
    fake_kick(f->d, DEFLATE);
    assert_true(fake_take_used(f->d, DEFLATE, &used));
    assert_int_equal(vballoon_returned_bytes(f->balloon), 0);
}

static void target_and_actual_pass_through_the_configuration(void **state) {
    struct fixture *f = *state;
    uint32_t n = 0, actual = 77;
    vballoon_set_target(f->balloon, 1234);
    assert_int_equal(f->d->config_interrupts, 1);
    virtio_config_read(f->d->vdev, 0, &n, 4);
    assert_int_equal(n, 1234);
    virtio_config_write(f->d->vdev, 4, &actual, 4);
    assert_int_equal(vballoon_actual(f->balloon), 77);
    virtio_config_write(f->d->vdev, 0, &actual, 4); /* not the guest's to say */
    virtio_config_read(f->d->vdev, 0, &n, 4);
    assert_int_equal(n, 1234);
    virtio_set_status(f->d->vdev, 0);
    assert_int_equal(vballoon_actual(f->balloon), 0);
}

#define TEST(name)        cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_SHARED(name) cmocka_unit_test_setup_teardown(name, set_up_shared, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(pages_in_the_balloon_go_back_to_the_host),
        TEST(reported_pages_go_back_to_the_host),
        TEST_SHARED(pages_in_the_balloon_go_back_to_the_host),
        TEST_SHARED(reported_pages_go_back_to_the_host),
        TEST(only_whole_pages_go),
        TEST_SHARED(only_whole_pages_go),
        TEST(page_numbers_that_are_no_ram_are_passed_over),
        TEST(a_list_that_ends_within_a_number_loses_that),
        TEST(an_endless_list_costs_a_bounded_time),
        TEST(deflating_is_answered),
        TEST(target_and_actual_pass_through_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
