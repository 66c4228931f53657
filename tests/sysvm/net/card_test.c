/* tests/sysvm/net/card_test.c: virtio-net between a driver's queues, filled by hand, and a back end. */
#include <stdio.h>
#include "tests/sysvm/suite.h"
/* suite.h first: cmocka */
#include "tests/sysvm/net/fake_back_end.h"

enum { RX, TX, CONTROL };
#define ALL_FEATURES UINT64_MAX
#define MRG          (UINT64_C(1) << 15)
static const uint8_t mac[6] = {2, 1, 2, 3, 4, 5};

struct fixture {
    struct vm_loop *loop;
    struct fake_driver *d;
    struct fake_back_end *net;
};

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct virtio_ops *ops;
    void *dev;
    if (vm_loop_new(&atoll_default_alloc, &f->loop, NULL)) return 1;
    struct virtio_net_config config = {.loop = f->loop, .mac = mac, .open = fake_back_end_open};
    if (virtio_net_new(&config, &ops, &dev, NULL)) return 1;
    f->net = fake_back_end_made;
    f->d = fake_driver_new(8 << 20, ops, dev);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_driver_free(f->d);
    vm_loop_free(f->loop);
    test_free(f);
    return 0;
}

/* ---- sending ---- */

struct header {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

static void offer_frame(struct fixture *f, const struct header *header, const void *bytes, size_t n) {
    uint64_t h = fake_put(f->d, header, sizeof *header), frame = fake_put(f->d, bytes, n);
    struct fake_segment segments[] = {{h, sizeof *header, false}, {frame, (uint32_t)n, false}};
    fake_offer(f->d, TX, segments, 2);
}

/* Whether the frame reached the back end; the chain comes back in any case. */
static bool sends(struct fixture *f, struct header header, size_t n) {
    static uint8_t bytes[VNET_FRAME_MAX + 100];
    unsigned before = f->net->n_sent;
    struct fake_used used;
    offer_frame(f, &header, bytes, n);
    fake_kick(f->d, TX);
    assert_true(fake_take_used(f->d, TX, &used));
    assert_int_equal(used.n_bytes, 0);
    return f->net->n_sent > before;
}

static void a_frame_goes_out_as_it_was_written(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, ALL_FEATURES);
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    struct header h = {.flags = 1, .csum_start = 34, .csum_offset = 6};
    /* In every way to cut header and frame into two. */
    for (uint32_t cut = 1; cut < sizeof h + sizeof bytes; cut++) {
        uint8_t all[sizeof h + sizeof bytes];
        memcpy(all, &h, sizeof h), memcpy(all + sizeof h, bytes, sizeof bytes);
        uint64_t at = fake_put(f->d, all, sizeof all);
        struct fake_segment segments[] = {{at, cut, false}, {at + cut, (uint32_t)sizeof all - cut, false}};
        fake_offer(f->d, TX, segments, 2);
        fake_kick(f->d, TX);
        struct fake_used used;
        assert_true(fake_take_used(f->d, TX, &used));
        assert_int_equal(f->net->n_sent, cut);
        assert_int_equal(f->net->n_bytes, sizeof bytes);
        assert_memory_equal(f->net->bytes, bytes, sizeof bytes);
        assert_int_equal(f->net->header.csum_start, 34);
    }
}

static void frames_of_impossible_lengths_are_dropped(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, ALL_FEATURES);
    struct header h = {.flags = 0};
    assert_false(sends(f, h, 1));
    assert_false(sends(f, h, 13));
    assert_true(sends(f, h, 14));
    assert_true(sends(f, h, VNET_FRAME_MAX));
    assert_false(sends(f, h, VNET_FRAME_MAX + 1));
    /* A header cut short, and no header at all. */
    uint64_t at = fake_put(f->d, NULL, 64);
    struct fake_segment cut = {at, 11, false}, none = {at, 64, true}, bare = {at, 12, false};
    struct fake_used used;
    fake_offer(f->d, TX, &cut, 1), fake_offer(f->d, TX, &none, 1), fake_offer(f->d, TX, &bare, 1);
    unsigned before = f->net->n_sent;
    fake_kick(f->d, TX);
    for (int i = 0; i < 3; i++) assert_true(fake_take_used(f->d, TX, &used));
    assert_int_equal(f->net->n_sent, before);
    assert_false(fake_is_broken(f->d));
}

static void offsets_outside_the_frame_are_dropped(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, ALL_FEATURES);
    assert_true(sends(f, (struct header){.flags = 1, .csum_start = 40, .csum_offset = 18}, 60));
    assert_false(sends(f, (struct header){.flags = 1, .csum_start = 40, .csum_offset = 19}, 60));
    assert_false(sends(f, (struct header){.flags = 1, .csum_start = 0xFFFF, .csum_offset = 0xFFFF}, 60));
    struct header gso = {
        .flags = 1, .gso_type = 1, .gso_size = 1448, .hdr_len = 54, .csum_start = 34, .csum_offset = 16};
    assert_true(sends(f, gso, 4000));
    gso.gso_size = 0;
    assert_false(sends(f, gso, 4000));
    gso.gso_size = 1, gso.hdr_len = 4001;
    assert_false(sends(f, gso, 4000));
    gso.hdr_len = 54, gso.gso_type = 3; /* UDP fragmentation, never offered */
    assert_false(sends(f, gso, 4000));
}

static void offloads_nobody_agreed_on_are_dropped(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, 0);
    assert_int_equal(f->net->offloads, 0);
    assert_true(sends(f, (struct header){.flags = 0}, 60));
    assert_false(sends(f, (struct header){.flags = 1, .csum_start = 34, .csum_offset = 16}, 60));
    assert_false(sends(f, (struct header){.gso_type = 1, .gso_size = 1, .hdr_len = 54}, 60));
}

static void a_slow_back_end_leaves_frames_with_the_driver(void **state) {
    struct fixture *f = *state;
    struct header h = {.flags = 0};
    struct fake_used used;
    uint8_t bytes[60];
    fake_start(f->d, ALL_FEATURES);
    f->net->busy = true;
    for (uint8_t i = 0; i < 20; i++) {
        memset(bytes, i, sizeof bytes);
        offer_frame(f, &h, bytes, sizeof bytes);
        fake_kick(f->d, TX);
    }
    assert_int_equal(f->net->n_sent, 0);
    assert_false(fake_take_used(f->d, TX, &used));
    f->net->busy = false;
    f->net->net.config.writable(f->net->net.config.context);
    assert_int_equal(f->net->n_sent, 20);
    assert_int_equal(f->net->bytes[0], 19);
    for (int i = 0; i < 20; i++) assert_true(fake_take_used(f->d, TX, &used));
}

static void a_frame_that_comes_while_one_is_sent_mixes_up_nothing(void **state) {
    struct fixture *f = *state;
    struct header h = {.flags = 0};
    struct fake_used used;
    uint16_t heads[5];
    uint8_t bytes[60] = {0};
    fake_start(f->d, ALL_FEATURES);
    f->net->answers = true;
    uint64_t rooms = fake_put(f->d, NULL, 2048);
    for (uint32_t i = 0; i < 10; i++)
        fake_offer(f->d, RX, &(struct fake_segment){rooms + i * 40, 40, true}, 1);
    for (int i = 0; i < 5; i++) {
        heads[i] = f->d->queues[TX].next_descriptor;
        offer_frame(f, &h, bytes, sizeof bytes);
    }
    fake_kick(f->d, TX);
    for (int i = 0; i < 5; i++) {
        assert_true(fake_take_used(f->d, TX, &used));
        assert_int_equal(used.head, heads[i]);
    }
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(fake_take_used(f->d, RX, &used));
        assert_int_equal(used.head, i);
        assert_int_equal(used.n_bytes, i % 2 ? 32 : 40);
    }
}

static void a_reset_ends_what_waited(void **state) {
    struct fixture *f = *state;
    struct header h = {.flags = 0};
    uint8_t bytes[60] = {0};
    fake_start(f->d, ALL_FEATURES);
    f->net->busy = true;
    offer_frame(f, &h, bytes, sizeof bytes);
    fake_kick(f->d, TX);
    virtio_set_status(f->d->vdev, 0);
    f->net->busy = false;
    f->net->net.config.writable(f->net->net.config.context);
    assert_int_equal(f->net->n_sent, 0);
    assert_true(fake_back_end_frame(f->net, &(struct vnet_header){0}, bytes, sizeof bytes)); /* swallowed */
    fake_start(f->d, ALL_FEATURES);
    assert_true(sends(f, h, 60));
}

/* ---- receiving ---- */

static uint64_t offer_room(struct fixture *f, uint32_t n) {
    uint64_t at = fake_put(f->d, NULL, n);
    fake_offer(f->d, RX, &(struct fake_segment){at, n, true}, 1);
    return at;
}

static void a_frame_fills_as_many_buffers_as_it_takes(void **state) {
    struct fixture *f = *state;
    uint8_t frame[1000];
    uint64_t at[11];
    struct fake_used used;
    for (size_t i = 0; i < sizeof frame; i++) frame[i] = (uint8_t)(i * 3 + i / 256);
    fake_start(f->d, ALL_FEATURES);
    for (int i = 0; i < 10; i++) at[i] = offer_room(f, 100);
    struct vnet_header h = {.flags = VNET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
    /* 1012 bytes need an eleventh; nothing is used until it is there. */
    assert_false(fake_back_end_frame(f->net, &h, frame, sizeof frame));
    assert_false(fake_take_used(f->d, RX, &used));
    at[10] = offer_room(f, 100);
    unsigned ready = f->net->n_ready;
    fake_kick(f->d, RX);
    assert_int_equal(f->net->n_ready, ready + 1);
    assert_true(fake_back_end_frame(f->net, &h, frame, sizeof frame));
    struct header got;
    memcpy(&got, fake_at(f->d, at[0], 12), 12);
    assert_int_equal(got.num_buffers, 11);
    assert_int_equal(got.csum_start, 34);
    uint8_t whole[1100];
    size_t n = 0;
    for (int i = 0; i < 11; i++) {
        assert_true(fake_take_used(f->d, RX, &used));
        memcpy(whole + n, fake_at(f->d, at[i], used.n_bytes), used.n_bytes);
        n += used.n_bytes;
    }
    assert_int_equal(n, 12 + sizeof frame);
    assert_memory_equal(whole + 12, frame, sizeof frame);
    assert_false(fake_take_used(f->d, RX, &used));
    assert_int_equal(f->d->interrupts[RX], 1);
}

static void without_merging_a_frame_needs_one_buffer(void **state) {
    struct fixture *f = *state;
    uint8_t frame[500] = {1};
    struct fake_used used;
    fake_start(f->d, ALL_FEATURES & ~MRG);
    offer_room(f, 511);
    assert_true(fake_back_end_frame(f->net, &(struct vnet_header){0}, frame, sizeof frame)); /* lost */
    assert_true(fake_take_used(f->d, RX, &used));
    assert_int_equal(used.n_bytes, 0);
    uint64_t at = offer_room(f, 512);
    assert_true(fake_back_end_frame(f->net, &(struct vnet_header){0}, frame, sizeof frame));
    assert_true(fake_take_used(f->d, RX, &used));
    assert_int_equal(used.n_bytes, 512);
    assert_int_equal(((uint8_t *)fake_at(f->d, at + 10, 2))[0], 1);
}

static void buffers_of_no_use_are_given_back(void **state) {
    struct fixture *f = *state;
    uint8_t frame[100] = {1};
    struct fake_used used;
    fake_start(f->d, ALL_FEATURES);
    uint64_t at = fake_put(f->d, NULL, 64);
    fake_offer(f->d, RX, &(struct fake_segment){at, 64, false}, 1); /* nothing the device may write */
    assert_true(fake_back_end_frame(f->net, &(struct vnet_header){0}, frame, sizeof frame));
    assert_true(fake_take_used(f->d, RX, &used));
    assert_int_equal(used.n_bytes, 0);
    offer_room(f, 11); /* not even the header */
    assert_true(fake_back_end_frame(f->net, &(struct vnet_header){0}, frame, sizeof frame));
    assert_true(fake_take_used(f->d, RX, &used));
    assert_int_equal(used.n_bytes, 0);
}

static void a_frame_larger_than_all_buffers_waits(void **state) {
    struct fixture *f = *state;
    static uint8_t frame[VNET_FRAME_MAX];
    struct fake_used used;
    f->d->queue_size = 256;
    fake_start(f->d, ALL_FEATURES);
    for (int i = 0; i < 256; i++) offer_room(f, 13);
    assert_false(fake_back_end_frame(f->net, &(struct vnet_header){0}, frame, sizeof frame));
    assert_false(fake_take_used(f->d, RX, &used));
    assert_true(fake_back_end_frame(f->net, &(struct vnet_header){0}, frame, 13 * 256 - 12));
    for (int i = 0; i < 256; i++) assert_true(fake_take_used(f->d, RX, &used));
    assert_false(fake_is_broken(f->d));
}

/* ---- control ---- */

static uint8_t command(struct fixture *f, const void *bytes, uint32_t n) {
    uint64_t at = fake_put(f->d, bytes, n), ack = fake_put(f->d, "\xEE", 1);
    struct fake_segment segments[] = {{at, n, false}, {ack, 1, true}};
    struct fake_used used;
    fake_offer(f->d, CONTROL, segments, 2);
    fake_kick(f->d, CONTROL);
    assert_true(fake_take_used(f->d, CONTROL, &used));
    return *(uint8_t *)fake_at(f->d, ack, 1);
}

static void commands_are_obeyed_or_refused(void **state) {
    struct fixture *f = *state;
    fake_start(f->d, ALL_FEATURES);
    assert_int_equal(command(f, "\0\0\1", 3), 0);                /* promiscuous */
    assert_int_equal(command(f, "\0\6\1", 3), 1);                /* no such mode */
    assert_int_equal(command(f, "\0\0", 2), 1);                  /* on or off? */
    assert_int_equal(command(f, "\0", 1), 1);                    /* half a command */
    assert_int_equal(command(f, "\1\1\2\7\7\7\7\7", 8), 0);      /* another address */
    assert_int_equal(command(f, "\1\1\2\7\7\7\7", 7), 1);        /* five bytes of one */
    assert_int_equal(command(f, "\1\0\0\0\0\0\0\0\0\0", 10), 0); /* empty tables */
    assert_int_equal(command(f, "\4\0\1\0", 4), 1);              /* queue pairs */
    assert_int_equal(command(f, "\377\377\377", 3), 1);
    uint8_t config[8];
    virtio_config_read(f->d->vdev, 0, config, 8);
    assert_memory_equal(config, "\2\7\7\7\7\7\1\0", 8);
}

static void offloads_change_within_what_was_agreed_on(void **state) {
    struct fixture *f = *state;
    uint8_t set[10] = {5, 0};
    fake_start(f->d, ALL_FEATURES);
    assert_int_equal(f->net->offloads, 0xFF);
    assert_int_equal(command(f, set, 10), 0); /* none */
    assert_int_equal(f->net->offloads, VNET_TX_CSUM | VNET_TX_TSO4 | VNET_TX_TSO6 | VNET_TX_ECN);
    set[2] = 1 << 1; /* sums */
    assert_int_equal(command(f, set, 10), 0);
    assert_true(f->net->offloads & VNET_RX_CSUM);
    assert_int_equal(command(f, set, 9), 1);
    set[2] |= 1; /* a feature of sending */
    assert_int_equal(command(f, set, 10), 1);
    fake_start(f->d, ALL_FEATURES & ~(UINT64_C(1) << 1));
    set[2] = 1 << 1;
    assert_int_equal(command(f, set, 10), 1);
}

static void a_command_without_room_for_its_answer_is_done_all_the_same(void **state) {
    struct fixture *f = *state;
    struct fake_used used;
    fake_start(f->d, ALL_FEATURES);
    uint64_t at = fake_put(f->d, "\0\0\1", 3);
    fake_offer(f->d, CONTROL, &(struct fake_segment){at, 3, false}, 1);
    fake_kick(f->d, CONTROL);
    assert_true(fake_take_used(f->d, CONTROL, &used));
    assert_int_equal(used.n_bytes, 0);
}

static void the_card_has_an_address_and_a_link(void **state) {
    struct fixture *f = *state;
    uint8_t config[8];
    virtio_config_read(f->d->vdev, 0, config, 8);
    assert_memory_equal(config, mac, 6);
    assert_int_equal(config[6], 1);
    struct virtio_net_config again = {.loop = f->loop, .spec = "none"};
    const struct virtio_ops *ops;
    void *dev;
    assert_int_equal(virtio_net_new(&again, &ops, &dev, NULL), 0);
    ops->config_read(dev, 0, config, 6);
    assert_int_equal(config[0] & 3, 2); /* unicast, locally administered */
    ops->reset(dev);
    ops->free(dev);
    again.spec = "nonsense";
    struct atoll_error err;
    assert_int_equal(virtio_net_new(&again, &ops, &dev, &err), ATOLL_E_USAGE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {T(a_frame_goes_out_as_it_was_written),
                                       T(frames_of_impossible_lengths_are_dropped),
                                       T(offsets_outside_the_frame_are_dropped),
                                       T(offloads_nobody_agreed_on_are_dropped),
                                       T(a_slow_back_end_leaves_frames_with_the_driver),
                                       T(a_frame_that_comes_while_one_is_sent_mixes_up_nothing),
                                       T(a_reset_ends_what_waited),
                                       T(a_frame_fills_as_many_buffers_as_it_takes),
                                       T(without_merging_a_frame_needs_one_buffer),
                                       T(buffers_of_no_use_are_given_back),
                                       T(a_frame_larger_than_all_buffers_waits),
                                       T(commands_are_obeyed_or_refused),
                                       T(offloads_change_within_what_was_agreed_on),
                                       T(a_command_without_room_for_its_answer_is_done_all_the_same),
                                       T(the_card_has_an_address_and_a_link)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
