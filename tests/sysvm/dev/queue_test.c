/* tests/sysvm/dev/queue_test.c: the queue walker: what a good driver offers arrives, what a bad one writes into
 * rings and descriptors ends in NEEDS_RESET and nowhere else. */
#include <pthread.h>
#include <stdatomic.h>
#include "tests/sysvm/dev/probe_device.h"

#define RAM_BYTES (1u << 20)
#define ALL       UINT64_MAX
#define NO_EVENT  (~VIRTIO_F_EVENT_IDX)

struct fixture {
    struct probe probe;
    struct fake_driver *d;
    struct vq *q;
    struct vq_chain chain;
};

static struct fixture *start(uint64_t features, unsigned queue_size) {
    struct fixture *f = test_calloc(1, sizeof *f);
    f->d = fake_driver_new(RAM_BYTES, &probe_ops, &f->probe);
    f->d->queue_size = queue_size;
    fake_start(f->d, features);
    f->q = virtio_queue(f->d->vdev, 0);
    return f;
}

static void stop(struct fixture *f) {
    fake_driver_free(f->d);
    test_free(f);
}

/* One descriptor of the ring as a whole chain, made available. */
static void offer_raw(struct fixture *f, uint64_t gpa, uint32_t n_bytes, uint16_t flags, uint16_t next) {
    fake_set_descriptor(f->d, 0, 0, gpa, n_bytes, flags, next);
    fake_make_available(f->d, 0, 0);
}

/* The queue gives no chain, says so once by an interrupt, and stays that way. */
static void expect_broken(struct fixture *f) {
    assert_int_equal(vq_pop(f->q, &f->chain), VQ_BROKEN);
    assert_true(fake_is_broken(f->d));
    assert_int_equal(f->d->config_interrupts, 1);
    assert_int_equal(vq_pop(f->q, &f->chain), VQ_BROKEN);
    assert_int_equal(vq_pop(virtio_queue(f->d->vdev, 1), &f->chain), VQ_BROKEN);
    assert_int_equal(f->d->config_interrupts, 1);
    fake_kick(f->d, 0);
    assert_int_equal(f->probe.n_notifies, 0);
    stop(f);
}

static void expect_chain(struct fixture *f, unsigned n_out, unsigned n_in) {
    assert_int_equal(vq_pop(f->q, &f->chain), VQ_CHAIN);
    assert_int_equal(f->chain.n_out, n_out);
    assert_int_equal(f->chain.n_in, n_in);
}

/* ---- good drivers ---- */

static void a_chain_arrives_in_the_drivers_order(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    uint64_t a = fake_put(f->d, "head", 4), b = fake_put(f->d, "body!", 5), c = fake_put(f->d, NULL, 3),
             e = fake_put(f->d, NULL, 6);
    struct fake_segment segments[] = {{a, 4, false}, {b, 5, false}, {c, 3, true}, {e, 6, true}};
    uint16_t head = fake_offer(f->d, 0, segments, 4);
    expect_chain(f, 2, 2);
    assert_int_equal(f->chain.head, head);
    assert_int_equal(f->chain.out_bytes, 9);
    assert_int_equal(f->chain.in_bytes, 9);
    char text[16] = "";
    assert_int_equal(vq_chain_read(&f->chain, 0, text, sizeof text), 9);
    assert_string_equal(text, "headbody!");
    assert_int_equal(vq_chain_read(&f->chain, 3, text, 2), 2);
    assert_memory_equal(text, "db", 2);
    assert_int_equal(vq_chain_read(&f->chain, 9, text, 1), 0);
    assert_int_equal(vq_chain_read(&f->chain, SIZE_MAX, text, 1), 0);
    assert_int_equal(vq_chain_write(&f->chain, 1, "123456789", 9), 8);
    assert_memory_equal(fake_at(f->d, c, 3),
                        "\0"
                        "12",
                        3);
    assert_memory_equal(fake_at(f->d, e, 6), "345678", 6);
    assert_int_equal(vq_pop(f->q, &f->chain), VQ_EMPTY);
    stop(f);
}

static void an_indirect_chain_is_the_same_chain(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 2);
    uint64_t a = fake_put(f->d, "0123456789", 10);
    struct fake_segment segments[] = {{a, 1, false}, {a + 1, 2, false}, {a + 3, 3, false}, {a + 6, 4, true}};
    fake_offer_indirect(f->d, 0, segments, 4);
    expect_chain(f, 3, 1);
    char text[6];
    assert_int_equal(vq_chain_read(&f->chain, 0, text, 6), 6);
    assert_memory_equal(text, "012345", 6);
    stop(f);
}

static void an_indirect_table_may_follow_plain_descriptors(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    uint64_t a = fake_put(f->d, "ab", 2);
    struct fake_segment inner = {a + 1, 1, true};
    uint16_t head = fake_offer_indirect(f->d, 0, &inner, 1);
    expect_chain(f, 0, 1);
    fake_set_descriptor(f->d, 0, 5, a, 1, FAKE_NEXT, head);
    fake_make_available(f->d, 0, 5);
    expect_chain(f, 1, 1);
    stop(f);
}

static void empty_segments_are_left_out(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    uint64_t a = fake_put(f->d, "ab", 2);
    struct fake_segment segments[] = {{UINT64_MAX, 0, false}, {a, 2, false}, {0, 0, true}};
    fake_offer(f->d, 0, segments, 3);
    expect_chain(f, 1, 0);
    fake_offer(f->d, 0, segments, 1);
    expect_chain(f, 0, 0);
    stop(f);
}

static void a_chain_may_have_as_many_segments_as_the_limit(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 256);
    uint64_t a = fake_put(f->d, NULL, VQ_MAX_SEGMENTS);
    struct fake_segment segments[VQ_MAX_SEGMENTS + 1];
    for (unsigned i = 0; i <= VQ_MAX_SEGMENTS; i++) segments[i] = (struct fake_segment){a, 1, i % 256 > 99};
    fake_offer(f->d, 0, segments, VQ_MAX_SEGMENTS);
    expect_chain(f, 100, 156);
    fake_offer_indirect(f->d, 0, segments, VQ_MAX_SEGMENTS);
    expect_chain(f, 100, 156);
    segments[VQ_MAX_SEGMENTS].in = true;
    fake_offer_indirect(f->d, 0, segments, VQ_MAX_SEGMENTS + 1);
    expect_broken(f);
}

static void indexes_wrap_at_65536(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {fake_put(f->d, NULL, 8), 8, true};
    struct fake_used used;
    for (unsigned i = 0; i < 70000; i++) {
        uint16_t head = fake_offer(f->d, 0, &segment, 1);
        expect_chain(f, 0, 1);
        vq_push(f->q, &f->chain, i % 9);
        assert_true(fake_take_used(f->d, 0, &used));
        assert_int_equal(used.head, head);
        assert_int_equal(used.n_bytes, i % 9);
    }
    assert_false(fake_take_used(f->d, 0, &used));
    stop(f);
}

static void chains_complete_in_any_order(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {fake_put(f->d, NULL, 8), 8, true};
    static struct vq_chain chains[4];
    for (unsigned i = 0; i < 4; i++) fake_offer(f->d, 0, &segment, 1);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(vq_pop(f->q, &chains[i]), VQ_CHAIN);
    struct fake_used used;
    for (unsigned i = 4; i-- > 0;) {
        vq_push(f->q, &chains[i], i);
        assert_true(fake_take_used(f->d, 0, &used));
        assert_int_equal(used.head, i);
        assert_int_equal(used.n_bytes, i);
    }
    stop(f);
}

static void a_chain_given_back_comes_again(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {fake_put(f->d, NULL, 8), 8, true};
    uint16_t head = fake_offer(f->d, 0, &segment, 1);
    for (unsigned i = 0; i < 10; i++) {
        expect_chain(f, 0, 1);
        assert_int_equal(f->chain.head, head);
        vq_unpop(f->q, &f->chain);
    }
    expect_chain(f, 0, 1);
    assert_int_equal(vq_pop(f->q, &f->chain), VQ_EMPTY);
    stop(f);
}

/* ---- notifications ---- */

static void without_event_index_the_flag_decides(void **state) {
    (void)state;
    struct fixture *f = start(NO_EVENT, 4);
    struct fake_segment segment = {fake_put(f->d, NULL, 8), 8, true};
    vq_interrupt(f->q);
    assert_int_equal(f->d->interrupts[0], 0);
    for (uint16_t flags = 0; flags < 2; flags++) {
        *(uint16_t *)fake_at(f->d, f->d->queues[0].driver, 2) = flags;
        fake_offer(f->d, 0, &segment, 1);
        expect_chain(f, 0, 1);
        vq_push(f->q, &f->chain, 0);
        vq_interrupt(f->q);
        vq_interrupt(f->q);
        assert_int_equal(f->d->interrupts[0], 1);
    }
    stop(f);
}

static void with_event_index_the_driver_names_the_entry(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    struct fake_segment segment = {fake_put(f->d, NULL, 8), 8, true};
    fake_set_used_event(f->d, 0, 2);
    for (unsigned i = 0; i < 6; i++) {
        fake_offer(f->d, 0, &segment, 1);
        expect_chain(f, 0, 1);
        vq_push(f->q, &f->chain, 0);
        vq_interrupt(f->q);
        assert_int_equal(f->d->interrupts[0], i >= 2);
    }
    fake_set_used_event(f->d, 0, 7);
    for (unsigned i = 0; i < 4; i++) { /* a batch that passes the entry */
        fake_offer(f->d, 0, &segment, 1);
        expect_chain(f, 0, 1);
        vq_push(f->q, &f->chain, 0);
    }
    vq_interrupt(f->q);
    assert_int_equal(f->d->interrupts[0], 2);
    stop(f);
}

static void an_empty_queue_asks_for_the_next_notification(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    struct fake_segment segment = {fake_put(f->d, NULL, 8), 8, true};
    assert_int_equal(vq_pop(f->q, &f->chain), VQ_EMPTY);
    assert_int_equal(fake_available_event(f->d, 0), 0);
    for (unsigned i = 0; i < 3; i++) fake_offer(f->d, 0, &segment, 1);
    for (unsigned i = 0; i < 3; i++) {
        expect_chain(f, 0, 1);
        assert_int_equal(fake_available_event(f->d, 0), 0); /* no need to notify while we look */
    }
    assert_int_equal(vq_pop(f->q, &f->chain), VQ_EMPTY);
    assert_int_equal(fake_available_event(f->d, 0), 3);
    stop(f);
}

/* ---- hostile drivers ---- */

static void a_buffer_outside_ram_breaks_the_queue(void **state) {
    (void)state;
    static const struct {
        uint64_t gpa;
        uint32_t n_bytes;
    } bad[] = {{RAM_BYTES, 1},
               {RAM_BYTES - 1, 2},
               {0, RAM_BYTES + 1},
               {0x1000, UINT32_MAX},
               {UINT64_MAX, 1},
               {UINT64_MAX - 15, 16},
               {UINT64_MAX - 0xFFF, UINT32_MAX},
               {UINT64_C(0xFFFFFFFFFFFF0000), 0x20000},
               {UINT64_C(1) << 63, 16},
               {UINT64_C(0xE0000000), 4}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (uint16_t flags = 0; flags <= FAKE_WRITE; flags += FAKE_WRITE) {
            struct fixture *f = start(ALL, 8);
            offer_raw(f, bad[i].gpa, bad[i].n_bytes, flags, 0);
            expect_broken(f);
        }
}

static void the_last_byte_of_ram_is_a_buffer(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    offer_raw(f, RAM_BYTES - 1, 1, 0, 0);
    expect_chain(f, 1, 0);
    stop(f);
}

static void a_head_outside_the_ring_breaks_the_queue(void **state) {
    (void)state;
    static const uint16_t heads[] = {8, 9, 255, 0x8000, 0xFFFF};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct fixture *f = start(ALL, 8);
        fake_make_available(f->d, 0, heads[i]);
        expect_broken(f);
    }
}

static void a_next_outside_the_ring_breaks_the_queue(void **state) {
    (void)state;
    static const uint16_t nexts[] = {8, 9, 0x8000, 0xFFFF};
    for (size_t i = 0; i < sizeof nexts / sizeof *nexts; i++) {
        struct fixture *f = start(ALL, 8);
        offer_raw(f, 0x1000, 1, FAKE_NEXT, nexts[i]);
        expect_broken(f);
    }
}

static void a_loop_breaks_the_queue(void **state) {
    (void)state;
    for (uint32_t n_bytes = 0; n_bytes < 2; n_bytes++) { /* empty segments count as steps */
        struct fixture *f = start(ALL, 8);
        offer_raw(f, 0x1000, n_bytes, FAKE_NEXT, 0);
        expect_broken(f);
        f = start(ALL, 8);
        fake_set_descriptor(f->d, 0, 1, 0x1000, n_bytes, FAKE_NEXT, 2);
        fake_set_descriptor(f->d, 0, 2, 0x1000, n_bytes, FAKE_NEXT, 1);
        offer_raw(f, 0x1000, n_bytes, FAKE_NEXT, 1);
        expect_broken(f);
    }
}

static void reading_after_writing_breaks_the_queue(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    fake_set_descriptor(f->d, 0, 1, 0x1000, 1, 0, 0);
    offer_raw(f, 0x1000, 1, FAKE_WRITE | FAKE_NEXT, 1);
    expect_broken(f);
}

/* An indirect table of `n_bytes` at `gpa` behind a descriptor with `flags`. */
static void expect_indirect_broken(uint64_t features, uint64_t gpa, uint32_t n_bytes, uint16_t flags) {
    struct fixture *f = start(features, 8);
    offer_raw(f, gpa, n_bytes, flags, 1);
    expect_broken(f);
}

static void a_bad_indirect_table_breaks_the_queue(void **state) {
    (void)state;
    expect_indirect_broken(~VIRTIO_F_INDIRECT_DESC, 0x1000, 16, FAKE_INDIRECT); /* not negotiated */
    expect_indirect_broken(ALL, 0x1000, 0, FAKE_INDIRECT);
    expect_indirect_broken(ALL, 0x1000, 15, FAKE_INDIRECT);
    expect_indirect_broken(ALL, 0x1000, 24, FAKE_INDIRECT);
    expect_indirect_broken(ALL, 0x1000, UINT32_MAX, FAKE_INDIRECT);
    expect_indirect_broken(ALL, 0x1000, 0xFFFFFFF0, FAKE_INDIRECT);
    expect_indirect_broken(ALL, RAM_BYTES - 8, 16, FAKE_INDIRECT);
    expect_indirect_broken(ALL, UINT64_MAX - 15, 32, FAKE_INDIRECT);
    expect_indirect_broken(ALL, 0x1000, 16, FAKE_INDIRECT | FAKE_NEXT);
}

static void what_an_indirect_table_says_is_checked_too(void **state) {
    (void)state;
    static const struct {
        uint64_t gpa;
        uint32_t n_bytes;
        uint16_t flags, next;
    } bad[] = {
        {0x1000, 16, FAKE_INDIRECT, 0}, /* indirect inside indirect */
        {0x1000, 16, FAKE_NEXT, 2},     /* behind the table's end, inside the ring */
        {0x1000, 16, FAKE_NEXT, 0},     /* a loop */
        {0x1000, 0, FAKE_NEXT, 0},      {RAM_BYTES, 16, 0, 0}, {UINT64_MAX, UINT32_MAX, FAKE_WRITE, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fixture *f = start(ALL, 8);
        struct {
            uint64_t gpa;
            uint32_t n_bytes;
            uint16_t flags, next;
        } table[2] = {{bad[i].gpa, bad[i].n_bytes, bad[i].flags, bad[i].next}};
        offer_raw(f, fake_put(f->d, table, sizeof table), sizeof table, FAKE_INDIRECT, 0);
        expect_broken(f);
    }
}

static void an_available_index_that_jumps_breaks_the_queue(void **state) {
    (void)state;
    static const uint16_t jumps[] = {9, 100, 0x7FFF, 0x8000, 0xFFFF};
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct fixture *f = start(ALL, 8);
        f->d->queues[0].next_available = (uint16_t)(jumps[i] - 1);
        fake_make_available(f->d, 0, 0);
        expect_broken(f);
    }
}

static void no_more_chains_are_out_than_the_ring_has_entries(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {0x1000, 1, true};
    for (unsigned i = 0; i < 4; i++) {
        fake_offer(f->d, 0, &segment, 1);
        expect_chain(f, 0, 1);
    }
    fake_offer(f->d, 0, &segment, 1); /* nothing was given back */
    expect_broken(f);
}

static void the_drivers_used_index_is_not_believed(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {0x1000, 1, true};
    fake_offer(f->d, 0, &segment, 1);
    expect_chain(f, 0, 1);
    *(uint16_t *)fake_at(f->d, f->d->queues[0].device + 2, 2) = 0xFFF0;
    vq_push(f->q, &f->chain, 1);
    struct fake_used used;
    assert_int_equal(*(uint16_t *)fake_at(f->d, f->d->queues[0].device + 2, 2), 1);
    assert_true(fake_take_used(f->d, 0, &used));
    stop(f);
}

static void written_bytes_are_never_more_than_there_were(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {0x1000, 3, true};
    fake_offer(f->d, 0, &segment, 1);
    expect_chain(f, 0, 1);
    vq_push(f->q, &f->chain, UINT32_MAX);
    struct fake_used used;
    assert_true(fake_take_used(f->d, 0, &used));
    assert_int_equal(used.n_bytes, 3);
    stop(f);
}

static void a_chain_from_before_a_reset_is_dropped(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {0x1000, 3, true};
    struct fake_used used;
    static struct vq_chain old;
    fake_offer(f->d, 0, &segment, 1);
    assert_int_equal(vq_pop(f->q, &old), VQ_CHAIN);
    virtio_set_status(f->d->vdev, 0);
    vq_push(f->q, &old, 3); /* the queue is off */
    vq_interrupt(f->q);
    assert_false(fake_take_used(f->d, 0, &used));
    fake_start(f->d, ALL);
    fake_offer(f->d, 0, &segment, 1);
    expect_chain(f, 0, 1);
    vq_push(f->q, &old, 3); /* the queue is another one */
    vq_unpop(f->q, &old);
    assert_false(fake_take_used(f->d, 0, &used));
    vq_push(f->q, &f->chain, 3);
    assert_true(fake_take_used(f->d, 0, &used));
    assert_int_equal(f->d->interrupts[0], 0);
    stop(f);
}

static void a_chain_is_pushed_once(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 4);
    struct fake_segment segment = {0x1000, 3, true};
    struct fake_used used;
    fake_offer(f->d, 0, &segment, 1);
    expect_chain(f, 0, 1);
    vq_push(f->q, &f->chain, 3);
    vq_push(f->q, &f->chain, 3);
    assert_true(fake_take_used(f->d, 0, &used));
    assert_false(fake_take_used(f->d, 0, &used));
    stop(f);
}

static void buffers_may_lie_over_the_rings_themselves(void **state) {
    (void)state;
    struct fixture *f = start(ALL, 8);
    const struct fake_queue *q = &f->d->queues[0];
    struct fake_segment segment = {q->descriptors, 16 * 8, true};
    fake_offer(f->d, 0, &segment, 1);
    expect_chain(f, 0, 1);
    uint8_t ones[16 * 8];
    memset(ones, 0xFF, sizeof ones);
    assert_int_equal(vq_chain_write(&f->chain, 0, ones, sizeof ones), sizeof ones);
    vq_push(f->q, &f->chain, sizeof ones);
    struct fake_used used;
    assert_true(fake_take_used(f->d, 0, &used));
    fake_make_available(f->d, 0, 3); /* all ones now */
    expect_broken(f);
}

/* ---- another processor writes meanwhile ---- */

struct liar {
    uint8_t *table; /* two indirect descriptors */
    atomic_bool done;
};

/* Puts good and bad values into a descriptor, field by field, in turn. The race is the guest's, and meant. */
__attribute__((no_sanitize("thread"))) static void *lie(void *context) {
    static const struct {
        uint64_t gpa;
        uint32_t n_bytes;
        uint16_t flags, next;
    } faces[] = {{0x1000, 64, FAKE_NEXT, 1},
                 {RAM_BYTES - 1, 1, 0, 0},
                 {RAM_BYTES - 64, UINT32_MAX, FAKE_WRITE, 0xFFFF},
                 {UINT64_MAX, 2, FAKE_NEXT | FAKE_INDIRECT, 0},
                 {0, 0x80000000, FAKE_NEXT | FAKE_WRITE, 1}};
    struct liar *liar = context;
    for (unsigned i = 0; !atomic_load(&liar->done); i++) {
        volatile struct {
            uint64_t gpa;
            uint32_t n_bytes;
            uint16_t flags, next;
        } *d = (void *)(liar->table + 16 * (size_t)(i / 5 % 2));
        d->gpa = faces[i % 5].gpa;
        d->n_bytes = faces[i % 5].n_bytes;
        d->flags = faces[i % 5].flags;
        d->next = faces[i % 5].next;
    }
    return NULL;
}

static void expect_inside_ram(const struct fixture *f) {
    const uint8_t *ram = fake_at(f->d, 0, RAM_BYTES);
    uint64_t sum = 0;
    for (unsigned i = 0; i < (unsigned)f->chain.n_out + f->chain.n_in; i++) {
        const uint8_t *from = f->chain.iov[i].iov_base;
        assert_true(from >= ram && from < ram + RAM_BYTES);
        assert_true(f->chain.iov[i].iov_len <= (size_t)(ram + RAM_BYTES - from));
        sum += f->chain.iov[i].iov_len;
    }
    assert_int_equal(sum, f->chain.out_bytes + f->chain.in_bytes);
}

/* Whatever is read when: what was checked is what is used, so a chain that comes lies in RAM. */
static void descriptors_that_change_while_they_are_read_lead_nowhere_else(void **state) {
    (void)state;
    enum { POPS = 2000 };
    struct fixture *f = start(ALL, 2);
    pthread_t thread;
    uint64_t table = fake_put(f->d, NULL, 32);
    struct liar liar = {.table = fake_at(f->d, table, 32)};
    assert_int_equal(pthread_create(&thread, NULL, lie, &liar), 0);
    for (unsigned i = 0; i < POPS; i++) {
        offer_raw(f, table, 32, FAKE_INDIRECT, 0);
        if (vq_pop(f->q, &f->chain) == VQ_CHAIN) {
            expect_inside_ram(f);
            vq_push(f->q, &f->chain, 0);
            continue;
        }
        f->d->next_free = table + 32; /* the places of the last rings */
        fake_start(f->d, ALL);
    }
    atomic_store(&liar.done, true);
    pthread_join(thread, NULL);
    stop(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_arrives_in_the_drivers_order),
        cmocka_unit_test(an_indirect_chain_is_the_same_chain),
        cmocka_unit_test(an_indirect_table_may_follow_plain_descriptors),
        cmocka_unit_test(empty_segments_are_left_out),
        cmocka_unit_test(a_chain_may_have_as_many_segments_as_the_limit),
        cmocka_unit_test(indexes_wrap_at_65536),
        cmocka_unit_test(chains_complete_in_any_order),
        cmocka_unit_test(a_chain_given_back_comes_again),
        cmocka_unit_test(without_event_index_the_flag_decides),
        cmocka_unit_test(with_event_index_the_driver_names_the_entry),
        cmocka_unit_test(an_empty_queue_asks_for_the_next_notification),
        cmocka_unit_test(a_buffer_outside_ram_breaks_the_queue),
        cmocka_unit_test(the_last_byte_of_ram_is_a_buffer),
        cmocka_unit_test(a_head_outside_the_ring_breaks_the_queue),
        cmocka_unit_test(a_next_outside_the_ring_breaks_the_queue),
        cmocka_unit_test(a_loop_breaks_the_queue),
        cmocka_unit_test(reading_after_writing_breaks_the_queue),
        cmocka_unit_test(a_bad_indirect_table_breaks_the_queue),
        cmocka_unit_test(what_an_indirect_table_says_is_checked_too),
        cmocka_unit_test(an_available_index_that_jumps_breaks_the_queue),
        cmocka_unit_test(no_more_chains_are_out_than_the_ring_has_entries),
        cmocka_unit_test(the_drivers_used_index_is_not_believed),
        cmocka_unit_test(written_bytes_are_never_more_than_there_were),
        cmocka_unit_test(a_chain_from_before_a_reset_is_dropped),
        cmocka_unit_test(a_chain_is_pushed_once),
        cmocka_unit_test(buffers_may_lie_over_the_rings_themselves),
        cmocka_unit_test(descriptors_that_change_while_they_are_read_lead_nowhere_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
