/* tests/sysvm/dev/virtio_device_test.c: status, features and queue registers: the right order works, every other one
 * changes nothing. */
#include "tests/sysvm/dev/probe_device.h"

#define RAM_BYTES (1u << 20)

struct fixture {
    struct probe probe;
    struct fake_driver *d;
    struct virtio_device *vdev;
};

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    f->d = fake_driver_new(RAM_BYTES, &probe_ops, &f->probe);
    f->vdev = f->d->vdev;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_driver_free(f->d);
    test_free(f);
    return 0;
}

static void the_right_order_starts_the_device(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, PROBE_FEATURE);
    assert_int_equal(f->probe.n_starts, 1);
    assert_true(f->probe.features == (PROBE_FEATURE | VIRTIO_F_VERSION_1));
    fake_kick(f->d, 1);
    assert_int_equal(f->probe.n_notifies, 1);
    assert_int_equal(f->probe.last_queue, 1);
    virtio_set_status(f->vdev, VIRTIO_DRIVER_OK); /* again: nothing new */
    assert_int_equal(f->probe.n_starts, 1);
}

static void features_that_were_not_offered_are_refused(void **state) {
    struct fixture *f = *state;
    virtio_set_status(f->vdev, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    virtio_set_driver_features(f->vdev, 1, 1);
    virtio_set_driver_features(f->vdev, 0, 1 << 4);
    virtio_set_status(f->vdev, VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
    assert_int_equal(virtio_status(f->vdev), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    assert_int_equal(f->probe.n_starts, 0);
    virtio_set_driver_features(f->vdev, 0, 1 << 3); /* thought better of it */
    virtio_set_driver_features(f->vdev, 2, UINT32_MAX);
    virtio_set_driver_features(f->vdev, UINT32_MAX, UINT32_MAX);
    virtio_set_status(f->vdev, VIRTIO_FEATURES_OK);
    assert_true(virtio_status(f->vdev) & VIRTIO_FEATURES_OK);
}

static void a_driver_without_version_1_is_refused(void **state) {
    struct fixture *f = *state;
    virtio_set_driver_features(f->vdev, 0, 1 << 3);
    virtio_set_status(f->vdev, VIRTIO_FEATURES_OK);
    assert_false(virtio_status(f->vdev) & VIRTIO_FEATURES_OK);
}

static void features_are_frozen_once_agreed(void **state) {
    struct fixture *f = *state;
    fake_negotiate(f->d, PROBE_FEATURE);
    virtio_set_driver_features(f->vdev, 0, UINT32_MAX);
    assert_true(virtio_driver_features(f->vdev) == (PROBE_FEATURE | VIRTIO_F_VERSION_1));
}

static void status_bits_only_grow_until_reset(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, 0);
    uint8_t before = virtio_status(f->vdev);
    virtio_set_status(f->vdev, VIRTIO_ACKNOWLEDGE);
    assert_int_equal(virtio_status(f->vdev), before);
    virtio_set_status(f->vdev, VIRTIO_NEEDS_RESET); /* not the driver's to set */
    assert_int_equal(virtio_status(f->vdev), before);
    virtio_set_status(f->vdev, VIRTIO_FAILED);
    assert_int_equal(virtio_status(f->vdev), before | VIRTIO_FAILED);
    unsigned n_resets = f->probe.n_resets;
    virtio_set_status(f->vdev, 0);
    assert_int_equal(virtio_status(f->vdev), 0);
    assert_int_equal(f->probe.n_resets, n_resets + 1);
    assert_false(virtio_queue_registers(f->vdev, 0).enabled);
    fake_start(f->d, 0);
    assert_int_equal(f->probe.n_starts, 2);
}

static void queue_registers_are_frozen_while_enabled(void **state) {
    struct fixture *f = *state;
    fake_negotiate(f->d, 0);
    fake_set_up_queue(f->d, 0, 8);
    struct vq_registers before = virtio_queue_registers(f->vdev, 0), other = {256, true, 0, 0x10, 0x20};
    virtio_set_queue_registers(f->vdev, 0, &other);
    struct vq_registers after = virtio_queue_registers(f->vdev, 0);
    assert_memory_equal(&after, &before, sizeof after);
    virtio_set_status(f->vdev, VIRTIO_DRIVER_OK);
    virtio_set_queue_registers(f->vdev, 1, &other); /* not enabled, but the device runs */
    virtio_enable_queue(f->vdev, 1);
    after = virtio_queue_registers(f->vdev, 1);
    assert_int_equal(after.descriptors, 0);
    assert_false(after.enabled);
}

static void a_size_that_lies_is_not_taken(void **state) {
    struct fixture *f = *state;
    fake_negotiate(f->d, 0);
    static const uint16_t sizes[] = {0, 3, 7, 100, 255, 257, 512, 0x8000, 0xFFFF};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct vq_registers to = {.size = sizes[i], .descriptors = 0x1000};
        virtio_set_queue_registers(f->vdev, 0, &to);
        assert_int_equal(virtio_queue_registers(f->vdev, 0).size, 256);
        assert_int_equal(virtio_queue_registers(f->vdev, 0).descriptors, 0x1000);
    }
    struct vq_registers to = {.size = 1};
    virtio_set_queue_registers(f->vdev, 0, &to);
    assert_int_equal(virtio_queue_registers(f->vdev, 0).size, 1);
}

static void a_ring_outside_ram_or_out_of_line_is_refused(void **state) {
    struct fixture *f = *state;
    static const struct vq_registers bad[] = {{8, false, RAM_BYTES, 0x1000, 0x2000},
                                              {8, false, 0x1000, RAM_BYTES, 0x2000},
                                              {8, false, 0x1000, 0x2000, RAM_BYTES},
                                              {8, false, RAM_BYTES - 64, 0x1000, 0x2000},
                                              {8, false, 0x1000, RAM_BYTES - 20, 0x2000},
                                              {8, false, 0x1000, 0x2000, RAM_BYTES - 64},
                                              {8, false, UINT64_MAX - 15, 0x1000, 0x2000},
                                              {8, false, 0x1000, UINT64_MAX - 1, 0x2000},
                                              {8, false, 0x1000, 0x2000, UINT64_MAX - 3},
                                              {8, false, 0x1008, 0x2000, 0x3000},
                                              {8, false, 0x1000, 0x2001, 0x3000},
                                              {8, false, 0x1000, 0x2000, 0x3002},
                                              {256, false, RAM_BYTES - 4080, 0x1000, 0x2000}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fake_negotiate(f->d, 0);
        virtio_set_queue_registers(f->vdev, 0, &bad[i]);
        virtio_enable_queue(f->vdev, 0);
        assert_true(fake_is_broken(f->d));
        assert_false(virtio_queue_registers(f->vdev, 0).enabled);
        virtio_set_status(f->vdev, VIRTIO_DRIVER_OK);
        fake_kick(f->d, 0);
        struct vq_chain chain;
        assert_int_equal(vq_pop(virtio_queue(f->vdev, 0), &chain), VQ_BROKEN);
    }
    assert_int_equal(f->probe.n_notifies, 0);
}

static void a_queue_is_not_enabled_before_features_are_agreed(void **state) {
    struct fixture *f = *state;
    struct vq_registers good = {8, false, 0x1000, 0x2000, 0x3000};
    virtio_set_queue_registers(f->vdev, 0, &good);
    virtio_enable_queue(f->vdev, 0);
    assert_false(virtio_queue_registers(f->vdev, 0).enabled);
    assert_false(fake_is_broken(f->d));
}

static void an_early_notification_comes_after_start(void **state) {
    struct fixture *f = *state;
    fake_negotiate(f->d, 0);
    fake_set_up_queue(f->d, 0, 8);
    fake_set_up_queue(f->d, 1, 8);
    fake_kick(f->d, 1);
    assert_int_equal(f->probe.n_notifies, 0);
    virtio_set_status(f->vdev, VIRTIO_DRIVER_OK);
    assert_int_equal(f->probe.n_notifies, 1);
    assert_int_equal(f->probe.last_queue, 1);
}

static void notifications_of_no_queue_are_ignored(void **state) {
    struct fixture *f = *state;
    fake_negotiate(f->d, 0);
    fake_set_up_queue(f->d, 0, 8);
    virtio_set_status(f->vdev, VIRTIO_DRIVER_OK);
    fake_kick(f->d, 1); /* not enabled */
    fake_kick(f->d, 2);
    fake_kick(f->d, 63);
    fake_kick(f->d, 0xFFFF);
    fake_kick(f->d, UINT32_MAX);
    assert_int_equal(f->probe.n_notifies, 0);
    struct vq_chain chain;
    assert_int_equal(vq_pop(virtio_queue(f->vdev, 1), &chain), VQ_EMPTY);
}

static void configuration_is_read_at_any_offset_and_width(void **state) {
    struct fixture *f = *state;
    memcpy(f->probe.config, "abcdef", 6);
    for (uint64_t offset = 0; offset < 10; offset++)
        for (unsigned n = 1; n <= 8; n++) {
            uint8_t data[8], expected[8] = {0};
            memset(data, 0xAA, sizeof data);
            for (unsigned i = 0; i < n && offset + i < 6; i++) expected[i] = (uint8_t)('a' + offset + i);
            virtio_config_read(f->vdev, offset, data, n);
            assert_memory_equal(data, expected, n);
        }
    uint8_t data[8] = "XYZXYZXY";
    virtio_config_write(f->vdev, 5, data, 8);
    virtio_config_write(f->vdev, 6, data, 8);
    virtio_config_write(f->vdev, UINT64_MAX, data, 8);
    virtio_config_read(f->vdev, UINT64_MAX - 3, data, 8);
    assert_memory_equal(f->probe.config, "abcdeX", 6);
}

static void a_change_of_configuration_is_told_to_a_driver_that_runs(void **state) {
    struct fixture *f = *state;
    virtio_config_changed(f->vdev);
    assert_int_equal(f->d->config_interrupts, 0);
    fake_start(f->d, 0);
    uint8_t before = virtio_config_generation(f->vdev);
    virtio_config_changed(f->vdev);
    assert_int_equal(f->d->config_interrupts, 1);
    assert_int_not_equal(virtio_config_generation(f->vdev), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_right_order_starts_the_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(features_that_were_not_offered_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_driver_without_version_1_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(features_are_frozen_once_agreed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(status_bits_only_grow_until_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queue_registers_are_frozen_while_enabled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_size_that_lies_is_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_ring_outside_ram_or_out_of_line_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_is_not_enabled_before_features_are_agreed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_early_notification_comes_after_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(notifications_of_no_queue_are_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(configuration_is_read_at_any_offset_and_width, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_change_of_configuration_is_told_to_a_driver_that_runs, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
