/* tests/sysvm/fs/virtio_fs_test.c: virtio-fs through its queues: requests, more of them than it takes at once, resets
 * while it works, and rings that lie. */
#include <linux/fuse.h>
#include <pthread.h>
#include "sysvm/dev/virtio/fs/fs.h"
#include "tests/sandbox/fixture.h"
#include "tests/sysvm/fake_driver.h"

/* The loop has a thread of its own; the test takes the machine lock as a vCPU does. */
struct machine {
    struct fixture *f;
    struct vm_loop *loop;
    pthread_t thread;
    struct fake_driver *d;
    struct fake_used used[300];
    unsigned n_used;
};

static void *run_loop(void *context) {
    vm_loop_run(((struct machine *)context)->loop);
    return NULL;
}

static void kick(struct machine *m, unsigned queue) {
    vm_loop_lock(m->loop);
    fake_kick(m->d, queue);
    vm_loop_unlock(m->loop);
}

/* Waits until `n` more requests are done. */
static void run_until(struct machine *m, unsigned n) {
    uint64_t deadline = vm_now_ns() + UINT64_C(60000000000);
    struct timespec pause = {.tv_nsec = 200000};
    for (m->n_used = 0; m->n_used < n && vm_now_ns() < deadline; nanosleep(&pause, NULL)) {
        vm_loop_lock(m->loop);
        while (m->n_used < 300 && fake_take_used(m->d, 1, &m->used[m->n_used])) m->n_used++;
        vm_loop_unlock(m->loop);
    }
    assert_int_equal(m->n_used, n);
}

static int set_up(void **state) {
    struct machine *m = calloc(1, sizeof *m);
    const struct virtio_ops *ops;
    void *dev;
    m->f = fixture_new((struct sb_config){0});
    assert_int_equal(vm_loop_new(&atoll_default_alloc, &m->loop, NULL), ATOLL_OK);
    struct vfs_config config = {.loop = m->loop, .tag = "shared", .fuse = {.root = m->f->dir}};
    assert_int_equal(vfs_new(&config, &ops, &dev, NULL), ATOLL_OK);
    m->d = fake_driver_new(4 << 20, ops, dev);
    m->d->queue_size = 256;
    fake_start(m->d, UINT64_MAX);
    assert_int_equal(pthread_create(&m->thread, NULL, run_loop, m), 0);
    *state = m;
    return 0;
}

static int tear_down(void **state) {
    struct machine *m = *state;
    vm_loop_stop(m->loop);
    pthread_join(m->thread, NULL);
    fake_driver_free(m->d);
    vm_loop_free(m->loop);
    fixture_free(m->f);
    free(m);
    return 0;
}

/* Offers a message and `room` bytes for its answer; returns where that is. */
static uint64_t offer(struct machine *m, unsigned queue, uint32_t opcode, uint64_t node, const void *args,
                      size_t n_args, uint32_t room) {
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof header + n_args), .opcode = opcode, .unique = 77, .nodeid = node};
    uint64_t at = fake_put(m->d, &header, sizeof header), answer = fake_put(m->d, NULL, room);
    uint64_t args_at = fake_put(m->d, args, n_args);
    struct fake_segment segments[] = {
        {at, sizeof header, false}, {args_at, (uint32_t)n_args, false}, {answer, room, true}};
    if (!n_args) segments[1] = segments[2];
    fake_offer(m->d, queue, segments, (n_args ? 2 : 1) + (room > 0));
    return answer;
}

static struct fuse_out_header header_at(struct machine *m, uint64_t answer) {
    struct fuse_out_header header;
    memcpy(&header, fake_at(m->d, answer, sizeof header), sizeof header);
    return header;
}

static void mount(struct machine *m) {
    struct fuse_init_in in = {.major = 7, .minor = 31};
    uint64_t answer = offer(m, 1, FUSE_INIT, 0, &in, sizeof in,
                            sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out));
    kick(m, 1);
    run_until(m, 1);
    assert_int_equal(header_at(m, answer).error, 0);
    assert_int_equal(header_at(m, answer).unique, 77);
    assert_int_equal(m->used[0].n_bytes, header_at(m, answer).len);
}

#define ENTRY_ROOM (sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out))

static void the_configuration_names_the_tag(void **state) {
    struct machine *m = *state;
    char tag[36];
    uint32_t n;
    virtio_config_read(m->d->vdev, 0, tag, 8);
    assert_memory_equal(tag, "shared\0\0", 8);
    virtio_config_read(m->d->vdev, 36, &n, 4);
    assert_int_equal(n, 1);
}

static void requests_are_answered(void **state) {
    struct machine *m = *state;
    struct fuse_entry_out entry;
    mount(m);
    uint64_t answer = offer(m, 1, FUSE_LOOKUP, FUSE_ROOT_ID, "file", 5, ENTRY_ROOM);
    kick(m, 1);
    run_until(m, 1);
    assert_int_equal(header_at(m, answer).error, 0);
    memcpy(&entry, fake_at(m->d, answer + sizeof(struct fuse_out_header), sizeof entry), sizeof entry);
    assert_int_equal(entry.attr.size, 5);
    assert_true(m->d->interrupts[1] > 0);
}

static void more_are_answered_than_are_taken_at_once(void **state) {
    struct machine *m = *state;
    uint64_t answers[60];
    mount(m);
    for (unsigned i = 0; i < 60; i++)
        answers[i] =
            offer(m, 1, FUSE_LOOKUP, FUSE_ROOT_ID, i % 2 ? "file" : "sub", i % 2 ? 5 : 4, ENTRY_ROOM);
    kick(m, 1);
    run_until(m, 60);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(header_at(m, answers[i]).error, 0);
        assert_int_equal(m->used[i].n_bytes, ENTRY_ROOM);
    }
}

static void forgets_have_a_queue_of_their_own(void **state) {
    struct machine *m = *state;
    struct fuse_forget_in in = {1};
    struct fake_used used;
    mount(m);
    offer(m, 0, FUSE_FORGET, 2, &in, sizeof in, 0);
    kick(m, 0);
    bool done = false;
    for (unsigned i = 0; i < 2000 && !done; i++) {
        mount(m); /* time goes by */
        vm_loop_lock(m->loop);
        done = fake_take_used(m->d, 0, &used);
        vm_loop_unlock(m->loop);
    }
    assert_true(done);
    assert_int_equal(used.n_bytes, 0);
}

static void chains_that_are_no_message_come_back_empty(void **state) {
    struct machine *m = *state;
    mount(m);
    uint64_t at = fake_put(m->d, NULL, 64);
    fake_offer(m->d, 1, (struct fake_segment[]){{at, 10, false}}, 1);
    fake_offer(m->d, 1, (struct fake_segment[]){{at, 40, true}}, 1);
    fake_offer(m->d, 1, (struct fake_segment[]){{at, 40, false}, {at, 3, true}}, 2);
    kick(m, 1);
    run_until(m, 3);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(m->used[i].n_bytes, 0);
}

static void a_message_and_its_answer_in_one_place_do_no_harm(void **state) {
    struct machine *m = *state;
    mount(m);
    struct fuse_in_header header = {.len = 45, .opcode = FUSE_LOOKUP, .nodeid = FUSE_ROOT_ID};
    uint8_t message[256] = {0};
    memcpy(message, &header, sizeof header);
    memcpy(message + sizeof header, "file", 5);
    uint64_t at = fake_put(m->d, message, sizeof message);
    fake_offer(m->d, 1, (struct fake_segment[]){{at, 45, false}, {at, ENTRY_ROOM, true}}, 2);
    kick(m, 1);
    run_until(m, 1);
    assert_int_equal(m->used[0].n_bytes, ENTRY_ROOM);
}

/* Nothing of the time before comes to the rings after, and the session starts anew. */
static void a_reset_while_it_works_drops_what_is_under_way(void **state) {
    struct machine *m = *state;
    for (unsigned round = 0; round < 30; round++) {
        mount(m);
        for (unsigned i = 0; i < 40; i++) offer(m, 1, FUSE_LOOKUP, FUSE_ROOT_ID, "file", 5, ENTRY_ROOM);
        vm_loop_lock(m->loop);
        fake_kick(m->d, 1);
        fake_start(m->d, UINT64_MAX); /* workers have some, and none can be pushed */
        vm_loop_unlock(m->loop);
        uint64_t answer = offer(m, 1, FUSE_LOOKUP, FUSE_ROOT_ID, "file", 5, ENTRY_ROOM);
        kick(m, 1);
        run_until(m, 1);
        assert_int_equal(header_at(m, answer).error, -EIO); /* no INIT yet */
    }
    assert_false(fake_is_broken(m->d));
}

static void a_device_is_freed_while_it_works(void **state) {
    struct machine *m = *state;
    mount(m);
    for (unsigned i = 0; i < 40; i++) offer(m, 1, FUSE_LOOKUP, FUSE_ROOT_ID, "file", 5, ENTRY_ROOM);
    kick(m, 1); /* the rest is tear_down's */
}

static void tags_of_no_or_too_many_bytes_are_refused(void **state) {
    struct machine *m = *state;
    const struct virtio_ops *ops;
    void *dev;
    struct atoll_error err;
    struct vfs_config config = {.loop = m->loop, .tag = "", .fuse = {.root = m->f->dir}};
    assert_int_equal(vfs_new(&config, &ops, &dev, &err), ATOLL_E_USAGE);
    config.tag = "0123456789012345678901234567890123456";
    assert_int_equal(vfs_new(&config, &ops, &dev, &err), ATOLL_E_USAGE);
    assert_non_null(strstr(err.text, "36"));
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(the_configuration_names_the_tag),
                                       T(requests_are_answered),
                                       T(more_are_answered_than_are_taken_at_once),
                                       T(forgets_have_a_queue_of_their_own),
                                       T(chains_that_are_no_message_come_back_empty),
                                       T(a_message_and_its_answer_in_one_place_do_no_harm),
                                       T(a_reset_while_it_works_drops_what_is_under_way),
                                       T(a_device_is_freed_while_it_works),
                                       T(tags_of_no_or_too_many_bytes_are_refused)};
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
