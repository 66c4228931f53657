/* tests/sysvm/dev/virtio_pci_test.c: the modern transport as a driver sees it, and as one that lies sees it. */
#include "sysvm/dev/pci/msix.h"
#include "sysvm/dev/pci/virtio_pci.h"
#include "tests/sysvm/dev/board.h"
#include "tests/sysvm/dev/probe_device.h"

#define SLOT      1
#define NO_VECTOR 0xFFFF

enum {
    COMMON = 0x0000,
    ISR = 0x1000,
    DEVICE = 0x2000,
    NOTIFY = 0x3000,
    MSIX_TABLE = 0x4000,
    MSIX_PENDING = 0x5000
};
enum {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0C,
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    STATUS = 0x14,
    GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1A,
    QUEUE_ENABLE = 0x1C,
    QUEUE_NOTIFY_OFF = 0x1E,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
    COMMON_END = 0x3C
};

struct fixture {
    struct board *b;
    struct probe probe;
    struct virtio_device *vdev; /* once started */
    uint64_t bar;
};

/* The probe's start, with the device kept so that tests may push. */
static struct fixture *current;
static void start(void *dev, struct virtio_device *vdev, uint64_t features) {
    probe_start(dev, vdev, features);
    current->vdev = vdev;
}

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    static struct virtio_ops ops;
    ops = probe_ops;
    ops.start = start;
    current = *state = f;
    f->b = board_new();
    struct virtio_pci_config config = {.alloc = &atoll_default_alloc,
                                       .root = f->b->root,
                                       .memory = f->b->memory,
                                       .loop = f->b->loop,
                                       .irq = &f->b->irq};
    vm_loop_lock(f->b->loop);
    assert_int_equal(virtio_pci_new(&config, &ops, &f->probe, NULL), 0);
    vm_loop_unlock(f->b->loop);
    f->bar = board_config(f->b, SLOT, PCI_BAR0, 4);
    board_set_config(f->b, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    board_free(f->b);
    test_free(f);
    return 0;
}

static uint64_t get(struct fixture *f, unsigned offset, unsigned n) {
    return board_load(f->b, f->bar + offset, n);
}
static void set(struct fixture *f, unsigned offset, uint64_t value, unsigned n) {
    board_store(f->b, f->bar + offset, value, n);
}

static void negotiate(struct fixture *f, uint64_t features) {
    set(f, STATUS, 0, 1);
    set(f, STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 1);
    for (unsigned i = 0; i < 2; i++) {
        set(f, DRIVER_FEATURE_SELECT, i, 4);
        set(f, DRIVER_FEATURE, features >> 32 * i & UINT32_MAX, 4);
    }
    set(f, STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK, 1);
}

/* Rings at 0x1000, 0x2000, 0x3000 and 16 KiB further for each queue. */
static void set_up_queue(struct fixture *f, unsigned queue) {
    uint64_t base = 0x1000 + queue * 0x4000;
    set(f, QUEUE_SELECT, queue, 2);
    set(f, QUEUE_SIZE, 8, 2);
    set(f, QUEUE_DESC, base, 4);
    set(f, QUEUE_DESC + 4, 0, 4);
    set(f, QUEUE_DRIVER, base + 0x1000, 8);
    set(f, QUEUE_DEVICE, base + 0x2000, 8);
    set(f, QUEUE_VECTOR, queue + 1, 2);
    set(f, QUEUE_ENABLE, 1, 2);
}

static void bring_up(struct fixture *f) {
    negotiate(f, VIRTIO_F_VERSION_1);
    set_up_queue(f, 0);
    set_up_queue(f, 1);
    set(f, STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK, 1);
}

/* Address and data are the vector's own, unmasked. */
static void arm_vector(struct fixture *f, unsigned vector) {
    set(f, MSIX_TABLE + 16 * vector, 0xFEE00000 + 0x1000 * vector, 4);
    set(f, MSIX_TABLE + 16 * vector + 4, 0, 4);
    set(f, MSIX_TABLE + 16 * vector + 8, 0x40 + vector, 4);
    set(f, MSIX_TABLE + 16 * vector + 12, 0, 4);
}

static unsigned find_capability(struct fixture *f, unsigned id, unsigned type) {
    unsigned steps = 0, at = (unsigned)board_config(f->b, SLOT, PCI_CAPABILITIES, 1);
    for (; at && steps < 48; at = (unsigned)board_config(f->b, SLOT, at + 1, 1), steps++)
        if (board_config(f->b, SLOT, at, 1) == id && (id != 9 || board_config(f->b, SLOT, at + 3, 1) == type))
            return at;
    return 0;
}

static void enable_msix(struct fixture *f, uint16_t control) {
    board_set_config(f->b, SLOT, find_capability(f, 0x11, 0) + 2, control, 2);
}

/* Queue 0 gets a chain that is done at once, and the driver is told. */
static void complete_one(struct fixture *f) {
    static struct vq_chain chain;
    uint16_t *available = vm_memory_at(f->b->memory, 0x2000, 22);
    uint64_t descriptor[2] = {0x8000, 1 | UINT64_C(2) << 32};
    vm_memory_write(f->b->memory, 0x1000, descriptor, sizeof descriptor);
    vm_loop_lock(f->b->loop);
    available[1]++;
    struct vq *q = virtio_queue(f->vdev, 0);
    assert_int_equal(vq_pop(q, &chain), VQ_CHAIN);
    vq_push(q, &chain, 1);
    vq_interrupt(q);
    vm_loop_unlock(f->b->loop);
}

/* ---- a driver that is one ---- */

static void the_capabilities_lead_to_every_structure(void **state) {
    struct fixture *f = *state;
    assert_int_equal(board_config(f->b, SLOT, PCI_VENDOR, 4), 0x10441AF4);
    assert_int_equal(board_config(f->b, SLOT, PCI_REVISION, 1), 1);
    assert_true(board_config(f->b, SLOT, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
    static const uint32_t offsets[] = {0, COMMON, NOTIFY, ISR, DEVICE, 0};
    for (unsigned type = 1; type <= 5; type++) {
        unsigned at = find_capability(f, 9, type);
        assert_int_not_equal(at, 0);
        assert_int_equal(board_config(f->b, SLOT, at + 2, 1), type == 2 || type == 5 ? 20 : 16);
        assert_int_equal(board_config(f->b, SLOT, at + 4, 1), 0);
        assert_int_equal(board_config(f->b, SLOT, at + 8, 4), offsets[type]);
    }
    assert_int_equal(board_config(f->b, SLOT, find_capability(f, 9, 4) + 12, 4), 6);
    unsigned msix = find_capability(f, 0x11, 0);
    assert_int_equal(board_config(f->b, SLOT, msix + 2, 2), 2); /* three vectors */
    assert_int_equal(board_config(f->b, SLOT, msix + 4, 4), MSIX_TABLE);
    assert_int_equal(board_config(f->b, SLOT, msix + 8, 4), MSIX_PENDING);
}

static void a_driver_brings_the_device_up(void **state) {
    struct fixture *f = *state;
    uint64_t offered = 0;
    for (unsigned i = 0; i < 2; i++) {
        set(f, DEVICE_FEATURE_SELECT, i, 4);
        offered |= get(f, DEVICE_FEATURE, 4) << 32 * i;
    }
    assert_true(offered ==
                (PROBE_FEATURE | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC));
    assert_int_equal(get(f, NUM_QUEUES, 2), 2);
    bring_up(f);
    assert_int_equal(f->probe.n_starts, 1);
    assert_int_equal(get(f, STATUS, 1), 15);
    set(f, QUEUE_SELECT, 1, 2);
    assert_int_equal(get(f, QUEUE_SIZE, 2), 8);
    assert_int_equal(get(f, QUEUE_ENABLE, 2), 1);
    assert_int_equal(get(f, QUEUE_NOTIFY_OFF, 2), 1);
    assert_true(get(f, QUEUE_DRIVER, 8) == 0x6000);
    struct vq_registers r = virtio_queue_registers(f->vdev, 1);
    assert_true(r.descriptors == 0x5000 && r.driver == 0x6000 && r.device == 0x7000);
}

static void a_notification_reaches_the_device_on_the_loop(void **state) {
    struct fixture *f = *state;
    for (unsigned without = 0; without < 2; without++) {
        f->b->no_doorbells = without;
        bring_up(f);
        f->probe.n_notifies = 0;
        set(f, NOTIFY + 4, 1, 2);
        board_settle(f->b);
        assert_int_equal(f->probe.n_notifies, 1);
        assert_int_equal(f->probe.last_queue, 1);
        set(f, STATUS, 0, 1);
    }
}

static void notifications_before_driver_ok_come_after_it(void **state) {
    struct fixture *f = *state;
    negotiate(f, VIRTIO_F_VERSION_1);
    set_up_queue(f, 1);
    set(f, NOTIFY + 4, 1, 2);
    board_settle(f->b);
    assert_int_equal(f->probe.n_notifies, 0);
    set(f, STATUS, VIRTIO_DRIVER_OK, 1);
    board_settle(f->b);
    assert_int_equal(f->probe.n_notifies, 1);
}

static void the_engine_watches_the_notify_addresses_of_enabled_queues(void **state) {
    struct fixture *f = *state;
    negotiate(f, VIRTIO_F_VERSION_1);
    assert_int_equal(f->b->doorbells[0].gpa, 0);
    set_up_queue(f, 1);
    assert_int_equal(f->b->doorbells[0].gpa, f->bar + NOTIFY + 4);
    set_up_queue(f, 0);
    assert_int_equal(f->b->doorbells[1].gpa, f->bar + NOTIFY);
    board_set_config(f->b, SLOT, PCI_BAR0, 0xD0000000, 4); /* they move with the BAR */
    assert_int_equal(f->b->doorbells[0].gpa + f->b->doorbells[1].gpa,
                     2 * (UINT64_C(0xD0000000) + NOTIFY) + 4);
    board_set_config(f->b, SLOT, PCI_COMMAND, 0, 2); /* and stop without it */
    assert_int_equal(f->b->doorbells[0].gpa | f->b->doorbells[1].gpa, 0);
    board_set_config(f->b, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    f->bar = 0xD0000000;
    assert_int_not_equal(f->b->doorbells[1].gpa, 0);
    set(f, STATUS, 0, 1);
    assert_int_equal(f->b->doorbells[0].gpa | f->b->doorbells[1].gpa, 0);
}

/* ---- interrupts ---- */

static void a_used_buffer_sends_the_queues_message(void **state) {
    struct fixture *f = *state;
    enable_msix(f, 0x8000);
    bring_up(f);
    arm_vector(f, 0);
    arm_vector(f, 1);
    complete_one(f);
    assert_int_equal(f->b->n_messages, 1);
    assert_true(f->b->last_address == 0xFEE01000);
    assert_int_equal(f->b->last_data, 0x41);
    set(f, CONFIG_VECTOR, 0, 2);
    vm_loop_lock(f->b->loop);
    virtio_config_changed(f->vdev);
    vm_loop_unlock(f->b->loop);
    assert_int_equal(f->b->n_messages, 2);
    assert_int_equal(f->b->last_data, 0x40);
    assert_int_equal(get(f, ISR, 1), 0);
    assert_int_equal(f->b->n_edges, 0);
}

static void a_masked_message_is_pending_until_unmasked(void **state) {
    struct fixture *f = *state;
    enable_msix(f, 0x8000);
    bring_up(f);
    arm_vector(f, 1);
    set(f, MSIX_TABLE + 16 + 12, 1, 4);
    complete_one(f);
    assert_int_equal(f->b->n_messages, 0);
    assert_int_equal(get(f, MSIX_PENDING, 8), 2);
    set(f, MSIX_TABLE + 16 + 12, 0, 4);
    assert_int_equal(f->b->n_messages, 1);
    assert_int_equal(get(f, MSIX_PENDING, 8), 0);
    enable_msix(f, 0xC000); /* the whole function masked */
    complete_one(f);
    complete_one(f);
    assert_int_equal(f->b->n_messages, 1);
    assert_int_equal(get(f, MSIX_PENDING, 4), 2);
    enable_msix(f, 0x8000);
    assert_int_equal(f->b->n_messages, 2); /* a bit, not a count */
}

/* Vector 1 sends until it has a wire; the board's book starts anew. */
static void wire_vector_1(struct fixture *f) {
    f->b->n_messages = 0;
    enable_msix(f, 0x8000);
    vm_memory_write(f->b->memory, 0x2000, (uint16_t[2]){0, 0}, 4); /* nothing is available */
    bring_up(f);
    arm_vector(f, 1);
    for (unsigned i = 0; i < MSIX_WIRED_AFTER; i++) {
        assert_int_equal(f->b->n_wires, 0);
        complete_one(f);
    }
    assert_int_equal(f->b->n_messages, MSIX_WIRED_AFTER);
    assert_int_equal(f->b->n_wires, 1);
    f->b->n_messages = 0;
}

static void a_busy_vector_is_given_a_wire(void **state) {
    struct fixture *f = *state;
    wire_vector_1(f);
    assert_true(f->b->wires[0].address == 0xFEE01000);
    assert_int_equal(f->b->wires[0].data, 0x41);
    assert_true(board_wire_count(f->b, 0) == 0); /* nothing twice */
    complete_one(f);
    complete_one(f);
    assert_true(board_wire_count(f->b, 0) == 2);
    assert_int_equal(f->b->n_messages, 0);
}

static void a_wire_ends_with_its_message_and_with_masks(void **state) {
    struct fixture *f = *state;
    wire_vector_1(f);
    set(f, MSIX_TABLE + 16 + 12, 1, 4); /* masked */
    assert_int_equal(f->b->n_wires, 0);
    complete_one(f);
    assert_int_equal(f->b->n_messages, 0);
    set(f, MSIX_TABLE + 16 + 12, 0, 4);
    assert_int_equal(f->b->n_messages, 1);

    set(f, STATUS, 0, 1);
    wire_vector_1(f);
    set(f, MSIX_TABLE + 16 + 8, 0x77, 4); /* another message */
    assert_int_equal(f->b->n_wires, 0);
    complete_one(f);
    assert_int_equal(f->b->n_messages, 1);
    assert_int_equal(f->b->last_data, 0x77);

    static const uint16_t controls[] = {0xC000, 0x0000}; /* the function masked; no messages at all */
    for (unsigned i = 0; i < 2; i++) {
        set(f, STATUS, 0, 1);
        wire_vector_1(f);
        enable_msix(f, controls[i]);
        assert_int_equal(f->b->n_wires, 0);
        complete_one(f);
        assert_int_equal(f->b->n_messages, 0);
        enable_msix(f, 0x8000);
        assert_int_equal(f->b->n_messages, i == 0);
    }
}

static void a_wire_ends_with_a_reset_and_with_the_device(void **state) {
    struct fixture *f = *state;
    wire_vector_1(f);
    set(f, STATUS, 0, 1);
    assert_int_equal(f->b->n_wires, 0);
    wire_vector_1(f);
    /* other vectors leave it alone, across the border of entries, too; board_free sees its end */
    set(f, MSIX_TABLE, 0xFEE00000, 4);
    set(f, MSIX_TABLE + 12, 0, 4);
    set(f, MSIX_TABLE + 32, 0xFEE02000, 8);
    set(f, MSIX_TABLE + 48, 1, 8); /* behind the table */
    assert_int_equal(f->b->n_wires, 1);
    assert_int_equal(f->b->n_unwired, 1);
    set(f, MSIX_TABLE + 12, 0, 8); /* reaches into it */
    assert_int_equal(f->b->n_wires, 0);
    arm_vector(f, 1);
    for (unsigned i = 0; i < MSIX_WIRED_AFTER; i++) complete_one(f);
    assert_int_equal(f->b->n_wires, 1);
}

static void without_wires_messages_go_on(void **state) {
    struct fixture *f = *state;
    f->b->no_wires = true;
    enable_msix(f, 0x8000);
    bring_up(f);
    arm_vector(f, 1);
    for (unsigned i = 0; i < MSIX_WIRED_AFTER + 5; i++) complete_one(f);
    assert_int_equal(f->b->n_messages, MSIX_WIRED_AFTER + 5);
    f->b->no_wires = false; /* tried again some time */
    for (unsigned i = 0; i < MSIX_WIRED_AFTER - 5; i++) complete_one(f);
    assert_int_equal(f->b->n_messages, 2 * MSIX_WIRED_AFTER);
    assert_int_equal(f->b->n_wires, 1);
}

static void without_msix_the_line_is_up_until_the_status_is_read(void **state) {
    struct fixture *f = *state;
    unsigned gsi = vm_pci_gsi(SLOT, 0);
    bring_up(f);
    complete_one(f);
    assert_true(f->b->lines[gsi]);
    assert_true(board_config(f->b, SLOT, PCI_STATUS, 2) & PCI_STATUS_INTX);
    assert_int_equal(get(f, ISR, 1), 1);
    assert_false(f->b->lines[gsi]);
    assert_int_equal(get(f, ISR, 1), 0);
    complete_one(f);
    board_set_config(f->b, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_NO_INTX, 2);
    assert_false(f->b->lines[gsi]);
    board_set_config(f->b, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_true(f->b->lines[gsi]);
    set(f, STATUS, 0, 1);
    assert_false(f->b->lines[gsi]);
    assert_int_equal(f->b->n_messages, 0);
}

static void a_vector_that_is_not_there_is_refused(void **state) {
    struct fixture *f = *state;
    enable_msix(f, 0x8000);
    bring_up(f);
    set(f, QUEUE_SELECT, 0, 2);
    static const uint16_t bad[] = {3, 4, 64, 65, 0x7FF, 0xFFFE, 0xFFFF};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set(f, QUEUE_VECTOR, bad[i], 2);
        assert_int_equal(get(f, QUEUE_VECTOR, 2), NO_VECTOR);
        set(f, CONFIG_VECTOR, bad[i], 2);
        assert_int_equal(get(f, CONFIG_VECTOR, 2), NO_VECTOR);
    }
    complete_one(f);
    assert_int_equal(f->b->n_messages, 0);
    set(f, QUEUE_VECTOR, 2, 2);
    assert_int_equal(get(f, QUEUE_VECTOR, 2), 2);
}

/* ---- drivers that lie ---- */

static void registers_are_frozen_while_the_queue_is_enabled(void **state) {
    struct fixture *f = *state;
    bring_up(f);
    set(f, QUEUE_SELECT, 0, 2);
    set(f, QUEUE_SIZE, 256, 2);
    set(f, QUEUE_DESC, 0x9000, 8);
    set(f, QUEUE_DRIVER, 0x9000, 4);
    set(f, QUEUE_DEVICE + 4, 0xFFFFFFFF, 4);
    set(f, QUEUE_ENABLE, 0, 2);
    set(f, QUEUE_ENABLE, 1, 2);
    struct vq_registers r = virtio_queue_registers(f->vdev, 0);
    assert_true(r.enabled && r.size == 8 && r.descriptors == 0x1000 && r.driver == 0x2000 &&
                r.device == 0x3000);
    set(f, DRIVER_FEATURE_SELECT, 0, 4);
    set(f, DRIVER_FEATURE, UINT32_MAX, 4);
    assert_int_equal(get(f, DRIVER_FEATURE, 4), 0);
}

static void a_queue_that_is_not_there_reads_as_zero_and_takes_nothing(void **state) {
    struct fixture *f = *state;
    negotiate(f, VIRTIO_F_VERSION_1);
    static const uint16_t bad[] = {2, 63, 64, 65, 0x8000, 0xFFFF};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set(f, QUEUE_SELECT, bad[i], 2);
        assert_int_equal(get(f, QUEUE_SELECT, 2), bad[i]);
        set(f, QUEUE_SIZE, 8, 2);
        set(f, QUEUE_VECTOR, 1, 2);
        set(f, QUEUE_DESC, 0x1000, 8);
        set(f, QUEUE_ENABLE, 1, 2);
        for (unsigned offset = QUEUE_SIZE; offset < COMMON_END; offset += 2)
            assert_int_equal(get(f, offset, 2), 0);
    }
    for (unsigned offset = 8; offset < 0x1000; offset += 4) set(f, NOTIFY + offset, 1, 2);
    board_settle(f->b);
    assert_int_equal(f->probe.n_notifies, 0);
}

static void a_ring_that_is_not_ram_needs_a_reset(void **state) {
    struct fixture *f = *state;
    negotiate(f, VIRTIO_F_VERSION_1);
    set(f, QUEUE_SELECT, 0, 2);
    set(f, QUEUE_DESC, f->bar, 8); /* the device's own registers */
    set(f, QUEUE_DRIVER, 0x2000, 8);
    set(f, QUEUE_DEVICE, 0x3000, 8);
    set(f, QUEUE_ENABLE, 1, 2);
    assert_int_equal(get(f, QUEUE_ENABLE, 2), 0);
    assert_true(get(f, STATUS, 1) & VIRTIO_NEEDS_RESET);
    bring_up(f); /* begins with a reset */
    assert_int_equal(get(f, STATUS, 1), 15);
}

static void registers_are_read_in_any_width_and_written_in_their_own(void **state) {
    struct fixture *f = *state;
    bring_up(f);
    for (unsigned region = COMMON; region <= MSIX_PENDING + 0x1000; region += 0x1000)
        for (unsigned offset = 0; offset < 0x48; offset++)
            for (unsigned n = 1; n <= 8; n++) {
                uint64_t expected = 0;
                if (region == NOTIFY) continue;
                for (unsigned i = 0; i < n; i++) expected |= get(f, region + offset + i, 1) << 8 * i;
                assert_true(get(f, region + offset, n) == expected);
            }
    uint8_t before[COMMON_END], after[COMMON_END];
    for (unsigned i = 0; i < COMMON_END; i++) before[i] = (uint8_t)get(f, i, 1);
    for (unsigned offset = 0; offset < COMMON_END + 8; offset++)
        for (unsigned n = 1; n <= 8; n++) {
            bool is_register =
                (n == 4 && (offset == 0 || offset == 8 || offset == 12)) ||
                (n == 2 && (offset == CONFIG_VECTOR || offset == QUEUE_SELECT || offset == QUEUE_VECTOR)) ||
                (n == 1 && offset == STATUS) || n == 3 || n > 4; /* cut into such by the bus */
            if (!is_register) set(f, offset, UINT64_MAX, n);
        }
    for (unsigned i = 0; i < COMMON_END; i++) after[i] = (uint8_t)get(f, i, 1);
    assert_memory_equal(after, before, COMMON_END);
}

static void device_configuration_ends_where_it_ends(void **state) {
    struct fixture *f = *state;
    memcpy(f->probe.config, "abcdef", 6);
    assert_true(get(f, DEVICE + 3, 8) == 0x666564);
    assert_true(get(f, DEVICE + 6, 8) == 0);
    set(f, DEVICE + 4, 0x5A5A5A5A5A5A5A5A, 8);
    assert_memory_equal(f->probe.config, "abcdZZ", 6);
    set(f, DEVICE + 0xFF8, UINT64_MAX, 8);
    assert_memory_equal(f->probe.config, "abcdZZ", 6);
}

static void the_window_in_configuration_space_reaches_the_bar(void **state) {
    struct fixture *f = *state;
    unsigned at = find_capability(f, 9, 5);
    board_set_config(f->b, SLOT, at + 8, NUM_QUEUES, 4);
    board_set_config(f->b, SLOT, at + 12, 2, 4);
    assert_int_equal(board_config(f->b, SLOT, at + 16, 2), 2);
    board_set_config(f->b, SLOT, at + 8, STATUS, 4);
    board_set_config(f->b, SLOT, at + 12, 1, 4);
    board_set_config(f->b, SLOT, at + 16, VIRTIO_ACKNOWLEDGE, 1);
    assert_int_equal(get(f, STATUS, 1), VIRTIO_ACKNOWLEDGE);
    board_set_config(f->b, SLOT, PCI_COMMAND, 0, 2); /* works without decoding, too */
    assert_int_equal(board_config(f->b, SLOT, at + 16, 1), VIRTIO_ACKNOWLEDGE);
}

static void a_window_that_lies_reaches_nothing(void **state) {
    struct fixture *f = *state;
    unsigned at = find_capability(f, 9, 5);
    static const struct {
        uint32_t bar, offset, length;
    } bad[] = {{1, STATUS, 1},     {255, STATUS, 1},        {0, STATUS, 0},     {0, STATUS, 3},
               {0, STATUS, 8},     {0, STATUS, 0xFFFFFFFF}, {0, STATUS + 1, 2}, {0, 0x8000, 4},
               {0, 0xFFFFFFFC, 4}, {0, 0xFFFFFFFF, 1},      {0, 0x80000000, 4}, {0, 0x7FFE, 4}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        board_set_config(f->b, SLOT, at + 4, bad[i].bar, 1);
        board_set_config(f->b, SLOT, at + 8, bad[i].offset, 4);
        board_set_config(f->b, SLOT, at + 12, bad[i].length, 4);
        board_set_config(f->b, SLOT, at + 16, 0x0F0F0F0F, 4);
        board_config(f->b, SLOT, at + 16, 4);
        board_config(f->b, SLOT, at + 13, 8);
        assert_int_equal(get(f, STATUS, 1), 0);
    }
}

static void any_access_anywhere_leaves_the_machine_whole(void **state) {
    struct fixture *f = *state;
    uint64_t x = 88172645463325252u;
    for (unsigned i = 0; i < 200000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        unsigned n = 1 + (x >> 8) % 8, where = (x >> 16) % 4;
        uint64_t value = x >> 32 & 1 ? x >> 33 : x >> 33 & 0xFF;
        if (where == 0) board_set_config(f->b, SLOT, (unsigned)(x >> 20) % 300, value, n);
        if (where == 1) set(f, (unsigned)(x >> 20) % 0x40, value, n);
        if (where == 2) set(f, (unsigned)(x >> 20) % 0x8008, value, n);
        if (where == 3) get(f, (unsigned)(x >> 20) % 0x8008, n);
        if (i % 1000 == 0) {
            board_set_config(f->b, SLOT, PCI_BAR0, f->bar, 4);
            board_set_config(f->b, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
            set(f, MSIX_TABLE + 12, 1, 4);
        }
        if (i % 5000 == 0) bring_up(f);
    }
    board_set_config(f->b, SLOT, PCI_BAR0, f->bar, 4);
    board_set_config(f->b, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    bring_up(f);
    assert_int_equal(get(f, STATUS, 1), 15);
}

/* ---- lack of memory ---- */

/* Gives `left` allocations and then none. */
struct scarce {
    unsigned left;
    int64_t n_bytes; /* in use */
};

static void *scarce_resize(void *context, void *p, size_t old_size, size_t new_size) {
    struct scarce *s = context;
    if (new_size > old_size && !s->left) return NULL;
    if (new_size > old_size) s->left--;
    s->n_bytes += (int64_t)new_size - (int64_t)old_size;
    return atoll_default_alloc.resize(atoll_default_alloc.context, p, old_size, new_size);
}

static unsigned n_freed;
static void counting_free(void *dev) {
    (void)dev;
    n_freed++;
}

/* Wherever memory ends, the device is freed once and nothing else stays. */
static void a_device_without_memory_is_refused(void **state) {
    struct fixture *f = *state;
    struct virtio_ops ops = probe_ops;
    ops.free = counting_free;
    enum atoll_status status = ATOLL_E_NOMEM;
    unsigned n_failed = 0;
    vm_loop_lock(f->b->loop);
    for (unsigned left = 0; status == ATOLL_E_NOMEM; left++) {
        struct scarce scarce = {.left = left};
        struct atoll_alloc alloc = {scarce_resize, &scarce};
        struct vm_bus *ports = vm_bus_new(&atoll_default_alloc), *bus = vm_bus_new(&atoll_default_alloc);
        struct pci_root *root = NULL;
        struct pci_root_config root_config = {.alloc = &alloc, .ports = ports, .memory = bus};
        status = pci_root_new(&root_config, &root, NULL);
        struct virtio_pci_config config = {
            .alloc = &alloc, .root = root, .memory = f->b->memory, .loop = f->b->loop, .irq = &f->b->irq};
        n_freed = 0;
        if (status == ATOLL_OK) {
            status = virtio_pci_new(&config, &ops, &f->probe, NULL);
            assert_int_equal(n_freed, status != ATOLL_OK);
        }
        pci_root_free(root);
        vm_bus_free(ports);
        vm_bus_free(bus);
        assert_int_equal(scarce.n_bytes, 0);
        n_failed += status == ATOLL_E_NOMEM;
    }
    vm_loop_unlock(f->b->loop);
    assert_int_equal(status, ATOLL_OK);
    assert_int_equal(n_failed, 4); /* the root, its bridge, the function, the device */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_capabilities_lead_to_every_structure),
        TEST(a_driver_brings_the_device_up),
        TEST(a_notification_reaches_the_device_on_the_loop),
        TEST(notifications_before_driver_ok_come_after_it),
        TEST(the_engine_watches_the_notify_addresses_of_enabled_queues),
        TEST(a_used_buffer_sends_the_queues_message),
        TEST(a_masked_message_is_pending_until_unmasked),
        TEST(a_busy_vector_is_given_a_wire),
        TEST(a_wire_ends_with_its_message_and_with_masks),
        TEST(a_wire_ends_with_a_reset_and_with_the_device),
        TEST(without_wires_messages_go_on),
        TEST(without_msix_the_line_is_up_until_the_status_is_read),
        TEST(a_vector_that_is_not_there_is_refused),
        TEST(registers_are_frozen_while_the_queue_is_enabled),
        TEST(a_queue_that_is_not_there_reads_as_zero_and_takes_nothing),
        TEST(a_ring_that_is_not_ram_needs_a_reset),
        TEST(registers_are_read_in_any_width_and_written_in_their_own),
        TEST(device_configuration_ends_where_it_ends),
        TEST(the_window_in_configuration_space_reaches_the_bar),
        TEST(a_window_that_lies_reaches_nothing),
        TEST(any_access_anywhere_leaves_the_machine_whole),
        TEST(a_device_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
