/* tests/sysvm/dev/virtio_block_test.c: a disk behind virtio-blk, with a driver that may be out of its mind. Every
 * test runs with io_uring and with threads, on raw and on qcow2. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sysvm/dev/virtio/block/block.h"
#include "sysvm/image/queue.h"
#include "tests/sysvm/dev/loop_thread.h"
#include "tests/sysvm/fake_driver.h"

enum { SECTOR = 512, DISK_SECTORS = 4096 };
enum type { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK, S_IOERR, S_UNSUPP, S_NONE = 0xaa };

struct fixture {
    struct loop_thread thread;
    struct sandbox *sandbox;
    struct img *img;
    struct fake_driver *d;
    char path[64], last_line[256];
    _Atomic unsigned n_flushes;
};

/* What a test runs with. */
static struct { bool qcow2, no_uring, readonly; } way;

static void trace(void *context, const char *line) {
    struct fixture *f = context;
    if (strncmp(line, "disk.flush", 10) == 0) f->n_flushes++;
    strncpy(f->last_line, line, sizeof f->last_line - 1);
}

static struct fixture *begin(void) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct virtio_ops *ops;
    void *dev;
    struct atoll_error err;
    snprintf(f->path, sizeof f->path, "/tmp/atoll-block-%d.%s", (int)getpid(), way.qcow2 ? "qcow2" : "img");
    unlink(f->path);
    struct sb_config sandbox = {.trace = trace, .trace_context = f};
    assert_int_equal(sb_new(&sandbox, &f->sandbox, NULL), 0);
    assert_int_equal(sb_grant_disk(f->sandbox, f->path, false, NULL), 0);
    struct img_options o = {.sb = f->sandbox, .readonly = way.readonly};
    struct img_create how = {.size = DISK_SECTORS * SECTOR};
    assert_int_equal(img_create(f->path, &how, &o, &err), 0);
    assert_int_equal(img_open(f->path, &o, &f->img, &err), 0);
    loop_thread_start(&f->thread);
    vm_loop_lock(f->thread.loop);
    struct vblk_config config = {.alloc = &atoll_default_alloc,
                                 .loop = f->thread.loop,
                                 .sandbox = f->sandbox,
                                 .img = f->img,
                                 .name = "disk0",
                                 .serial = "a serial number of 20+",
                                 .no_uring = way.no_uring};
    assert_int_equal(vblk_new(&config, &ops, &dev, &err), 0);
    f->d = fake_driver_new(8 << 20, ops, dev);
    fake_start(f->d, UINT64_MAX);
    return f;
}

static void finish(struct fixture *f) {
    fake_driver_free(f->d);
    vm_loop_unlock(f->thread.loop);
    loop_thread_stop(&f->thread);
    loop_thread_free(&f->thread);
    assert_int_equal(img_close(f->img), 0);
    sb_free(f->sandbox);
    unlink(f->path);
    test_free(f);
}

/* ---- requests ---- */

struct sent {
    uint64_t header, data, status;
    uint32_t n_data;
    bool reads;
};

static struct sent offer(struct fixture *f, uint32_t type, uint64_t sector, uint32_t n_data, bool reads) {
    uint8_t header[16] = {0};
    memcpy(header, &type, 4);
    memcpy(header + 8, &sector, 8);
    struct sent s = {.n_data = n_data, .reads = reads};
    uint8_t none = S_NONE;
    s.header = fake_put(f->d, header, sizeof header);
    s.data = n_data ? fake_put(f->d, NULL, n_data) : 0;
    s.status = fake_put(f->d, &none, 1);
    struct fake_segment segments[3] = {{s.header, 16, false}, {s.data, n_data, reads}, {s.status, 1, true}};
    if (!n_data) segments[1] = segments[2];
    fake_offer(f->d, 0, segments, n_data ? 3 : 2);
    return s;
}

static uint8_t status_of(struct fixture *f, struct sent s) { return *(uint8_t *)fake_at(f->d, s.status, 1); }
static uint8_t *data_of(struct fixture *f, struct sent s) { return fake_at(f->d, s.data, s.n_data); }

static struct fake_used wait_used(struct fixture *f) {
    struct fake_used used;
    while (!fake_take_used(f->d, 0, &used)) {
        vm_loop_unlock(f->thread.loop);
        usleep(100);
        vm_loop_lock(f->thread.loop);
    }
    return used;
}

static uint8_t run(struct fixture *f, struct sent s, uint32_t want_written) {
    fake_kick(f->d, 0);
    struct fake_used used = wait_used(f);
    assert_int_equal(used.n_bytes, want_written);
    return status_of(f, s);
}

static void write_sectors(struct fixture *f, uint64_t sector, unsigned n, int byte) {
    struct sent s = offer(f, T_OUT, sector, n * SECTOR, false);
    memset(data_of(f, s), byte, n * SECTOR);
    assert_int_equal(run(f, s, 1), S_OK);
}

static void sectors_hold(struct fixture *f, uint64_t sector, unsigned n, int byte) {
    struct sent s = offer(f, T_IN, sector, n * SECTOR, true);
    memset(data_of(f, s), 0x5a, n * SECTOR);
    assert_int_equal(run(f, s, n * SECTOR + 1), S_OK);
    for (unsigned i = 0; i < n * SECTOR; i++) assert_int_equal(data_of(f, s)[i], byte);
}

static uint8_t clear(struct fixture *f, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags) {
    struct sent s = offer(f, type, 0, 16, false);
    uint8_t *range = data_of(f, s);
    memcpy(range, &sector, 8);
    memcpy(range + 8, &n, 4);
    memcpy(range + 12, &flags, 4);
    return run(f, s, 1);
}

/* ---- the tests ---- */

static void what_is_written_is_read(struct fixture *f) {
    write_sectors(f, 0, 8, 'a');
    write_sectors(f, DISK_SECTORS - 300, 300, 'z');
    write_sectors(f, 3, 1, 'b');
    sectors_hold(f, 0, 3, 'a');
    sectors_hold(f, 3, 1, 'b');
    sectors_hold(f, 4, 4, 'a');
    sectors_hold(f, 8, 100, 0);
    sectors_hold(f, DISK_SECTORS - 300, 300, 'z');
    assert_non_null(strstr(f->last_line, "disk.read \"disk0\" bytes=153600"));
    struct sent flush = offer(f, T_FLUSH, 0, 0, false);
    assert_int_equal(run(f, flush, 1), S_OK);
    assert_non_null(strstr(f->last_line, "disk.flush"));
}

static void many_at_once_all_end(struct fixture *f) {
    struct sent sent[20];
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < 20; i++) {
            sent[i] = offer(f, T_OUT, (round * 20 + i) * 8, 8 * SECTOR, false);
            memset(data_of(f, sent[i]), (int)(round * 20 + i), 8 * SECTOR);
        }
        fake_kick(f->d, 0);
        for (unsigned i = 0; i < 20; i++) assert_int_equal(wait_used(f).n_bytes, 1);
        for (unsigned i = 0; i < 20; i++) assert_int_equal(status_of(f, sent[i]), S_OK);
    }
    for (unsigned i = 0; i < 160; i += 7) sectors_hold(f, i * 8, 8, (int)i);
    assert_true(f->d->interrupts[0] > 0);
}

static void pieces_of_any_size_are_one_request(struct fixture *f) {
    uint32_t type = T_OUT;
    uint8_t bytes[2 * SECTOR];
    uint64_t sector = 7;
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    uint8_t header[16] = {0}, none = S_NONE;
    memcpy(header, &type, 4);
    memcpy(header + 8, &sector, 8);
    /* header and data share a piece, and data ends in a piece of one byte */
    uint8_t joined[16 + 100];
    memcpy(joined, header, 16);
    memcpy(joined + 16, bytes, 100);
    struct fake_segment out[] = {{fake_put(f->d, joined, 5), 5, false},
                                 {fake_put(f->d, joined + 5, sizeof joined - 5), sizeof joined - 5, false},
                                 {fake_put(f->d, bytes + 100, 923), 923, false},
                                 {fake_put(f->d, bytes + 1023, 1), 1, false},
                                 {fake_put(f->d, &none, 1), 1, true}};
    fake_offer(f->d, 0, out, 5);
    fake_kick(f->d, 0);
    assert_int_equal(wait_used(f).n_bytes, 1);
    assert_int_equal(*(uint8_t *)fake_at(f->d, out[4].gpa, 1), S_OK);
    /* and the status shares a piece with the data */
    type = T_IN;
    memcpy(header, &type, 4);
    struct fake_segment in[] = {{fake_put(f->d, header, 16), 16, false},
                                {fake_put(f->d, NULL, 3), 3, true},
                                {fake_put(f->d, NULL, 2 * SECTOR - 2), 2 * SECTOR - 2, true}};
    *(uint8_t *)fake_at(f->d, in[2].gpa + 2 * SECTOR - 3, 1) = S_NONE;
    fake_offer_indirect(f->d, 0, in, 3);
    fake_kick(f->d, 0);
    assert_int_equal(wait_used(f).n_bytes, 2 * SECTOR + 1);
    assert_memory_equal(fake_at(f->d, in[1].gpa, 3), bytes, 3);
    assert_memory_equal(fake_at(f->d, in[2].gpa, 2 * SECTOR - 3), bytes + 3, 2 * SECTOR - 3);
    assert_int_equal(*(uint8_t *)fake_at(f->d, in[2].gpa + 2 * SECTOR - 3, 1), S_OK);
}

static void cleared_sectors_are_zero(struct fixture *f) {
    write_sectors(f, 0, 512, 'x');
    assert_int_equal(clear(f, T_WRITE_ZEROES, 100, 200, 0), S_OK);
    assert_int_equal(clear(f, T_WRITE_ZEROES, 301, 1, 1), S_OK);
    sectors_hold(f, 99, 1, 'x');
    sectors_hold(f, 100, 200, 0);
    sectors_hold(f, 300, 1, 'x');
    sectors_hold(f, 301, 1, 0);
    assert_int_equal(clear(f, T_DISCARD, 0, 512, 0), S_OK);
    /* many ranges in one */
    write_sectors(f, 0, 64, 'y');
    struct sent s = offer(f, T_WRITE_ZEROES, 0, 16 * VBLK_RANGES_MAX, false);
    for (unsigned i = 0; i < VBLK_RANGES_MAX; i++) {
        uint64_t sector = i * 2;
        uint32_t n = 1;
        memcpy(data_of(f, s) + i * 16, &sector, 8);
        memcpy(data_of(f, s) + i * 16 + 8, &n, 4);
    }
    assert_int_equal(run(f, s, 1), S_OK);
    for (unsigned i = 0; i < 2 * VBLK_RANGES_MAX; i++) sectors_hold(f, i, 1, i % 2 ? 'y' : 0);
}

static void the_serial_number_is_cut(struct fixture *f) {
    struct sent s = offer(f, T_GET_ID, 0, 20, true);
    assert_int_equal(run(f, s, 21), S_OK);
    assert_memory_equal(data_of(f, s), "a serial number of 20+", 20);
    s = offer(f, T_GET_ID, 0, 3, true);
    assert_int_equal(run(f, s, 4), S_OK);
    assert_memory_equal(data_of(f, s), "a s", 3);
}

static void the_configuration_is_readable_in_any_way(struct fixture *f) {
    uint8_t whole[60], part[60];
    virtio_config_read(f->d->vdev, 0, whole, 60);
    uint64_t n_sectors;
    memcpy(&n_sectors, whole, 8);
    assert_int_equal(n_sectors, DISK_SECTORS);
    for (uint32_t at = 0; at < 60; at++)
        for (unsigned n = 1; n <= 8 && at + n <= 60; n++) {
            virtio_config_read(f->d->vdev, at, part, n);
            assert_memory_equal(part, whole + at, n);
        }
}

static void requests_out_of_range_are_refused(struct fixture *f) {
    static const uint64_t sectors[] = {DISK_SECTORS,        DISK_SECTORS + 1,        UINT64_MAX,
                                       UINT64_MAX / SECTOR, UINT64_MAX / SECTOR + 1, UINT64_C(1) << 63};
    write_sectors(f, 0, 1, 'k');
    for (size_t i = 0; i < sizeof sectors / sizeof *sectors; i++) {
        assert_int_equal(run(f, offer(f, T_IN, sectors[i], SECTOR, true), 1), S_IOERR);
        assert_int_equal(run(f, offer(f, T_OUT, sectors[i], SECTOR, false), 1), S_IOERR);
        assert_int_equal(clear(f, T_WRITE_ZEROES, sectors[i], 1, 0), S_IOERR);
        assert_int_equal(clear(f, T_DISCARD, sectors[i], 1, 0), S_IOERR);
    }
    assert_int_equal(run(f, offer(f, T_IN, DISK_SECTORS - 1, 2 * SECTOR, true), 1), S_IOERR);
    assert_int_equal(run(f, offer(f, T_OUT, 0, SECTOR + 1, false), 1), S_IOERR);
    assert_int_equal(run(f, offer(f, T_IN, 0, SECTOR - 1, true), 1), S_IOERR);
    assert_int_equal(clear(f, T_WRITE_ZEROES, 0, UINT32_MAX, 0), S_IOERR);
    assert_int_equal(clear(f, T_DISCARD, 0, 1, 1), S_UNSUPP);
    assert_int_equal(clear(f, T_WRITE_ZEROES, 0, 1, 2), S_UNSUPP);
    assert_int_equal(run(f, offer(f, T_DISCARD, 0, 15, false), 1), S_IOERR);
    assert_int_equal(run(f, offer(f, T_DISCARD, 0, 16 * (VBLK_RANGES_MAX + 1), false), 1), S_IOERR);
    assert_int_equal(run(f, offer(f, T_WRITE_ZEROES, 0, 0, false), 1), S_IOERR);
    assert_int_equal(run(f, offer(f, 2, 0, SECTOR, true), 1), S_UNSUPP);
    assert_int_equal(run(f, offer(f, UINT32_MAX, 0, 0, false), 1), S_UNSUPP);
    sectors_hold(f, 0, 1, 'k');
}

static void requests_without_header_or_status_do_no_harm(struct fixture *f) {
    uint8_t none = S_NONE;
    struct fake_segment segment = {fake_put(f->d, &none, 1), 1, true};
    fake_offer(f->d, 0, &segment, 1); /* a status alone */
    fake_kick(f->d, 0);
    assert_int_equal(wait_used(f).n_bytes, 1);
    assert_int_equal(*(uint8_t *)fake_at(f->d, segment.gpa, 1), S_IOERR);
    assert_int_equal(run(f, offer(f, T_OUT, 0, 0, false), 1), S_OK); /* nothing to write */
    assert_int_equal(run(f, offer(f, T_IN, 0, 0, false), 1), S_OK);
    struct fake_segment header = {fake_put(f->d, NULL, 16), 16, false};
    fake_offer(f->d, 0, &header, 1); /* nowhere to put a status */
    fake_kick(f->d, 0);
    assert_true(fake_is_broken(f->d));
    fake_start(f->d, UINT64_MAX);
    sectors_hold(f, 0, 1, 0);
}

/* Completions must not reach memory that is the guest's again. */
static void a_reset_waits_for_what_is_under_way(struct fixture *f) {
    for (unsigned round = 0; round < 20; round++) {
        struct sent sent[8];
        for (unsigned i = 0; i < 8; i++)
            sent[i] = offer(f, i % 2 ? T_OUT : T_IN, i * 64, 64 * SECTOR, !(i % 2));
        fake_kick(f->d, 0);
        fake_start(f->d, UINT64_MAX); /* resets first */
        for (unsigned i = 0; i < 8; i++) {
            *(uint8_t *)fake_at(f->d, sent[i].status, 1) = S_NONE;
            memset(data_of(f, sent[i]), 0x77, 64 * SECTOR);
        }
        vm_loop_unlock(f->thread.loop);
        loop_thread_settle(&f->thread);
        vm_loop_lock(f->thread.loop);
        struct fake_used used;
        assert_false(fake_take_used(f->d, 0, &used));
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal(status_of(f, sent[i]), S_NONE);
            for (unsigned k = 0; k < 64 * SECTOR; k += 13) assert_int_equal(data_of(f, sent[i])[k], 0x77);
        }
        f->d->next_free = 0x10000 + (round + 1) * 0x100; /* the same memory again, for the rings too */
        fake_start(f->d, UINT64_MAX);
    }
    write_sectors(f, 0, 1, 'r');
    sectors_hold(f, 0, 1, 'r');
}

static void freed_with_requests_under_way(struct fixture *f) {
    for (unsigned i = 0; i < 16; i++) offer(f, i % 2 ? T_OUT : T_IN, i * 64, 64 * SECTOR, !(i % 2));
    fake_kick(f->d, 0);
}

static void a_driver_without_flush_gets_safe_writes(struct fixture *f) {
    fake_start(f->d, ~(UINT64_C(1) << 9));
    unsigned before = f->n_flushes;
    write_sectors(f, 0, 1, 'w');
    assert_int_equal(f->n_flushes, before + 1);
    sectors_hold(f, 0, 1, 'w');
    assert_int_equal(f->n_flushes, before + 1);
    assert_int_equal(clear(f, T_WRITE_ZEROES, 0, 1, 0), S_OK);
    assert_int_equal(f->n_flushes, before + 2);
}

static void nothing_is_written_to_a_disk_to_be_read(struct fixture *f) {
    sectors_hold(f, 0, 8, 0);
    assert_int_equal(run(f, offer(f, T_OUT, 0, SECTOR, false), 1), S_IOERR);
    assert_int_equal(clear(f, T_WRITE_ZEROES, 0, 1, 0), S_IOERR);
    assert_int_equal(clear(f, T_DISCARD, 0, 1, 0), S_IOERR);
    assert_int_equal(run(f, offer(f, T_FLUSH, 0, 0, false), 1), S_OK);
    sectors_hold(f, 0, 8, 0);
}

/* ---- every test every way ---- */

static void every_way(void (*test)(struct fixture *)) {
    for (unsigned i = 0; i < 4; i++) {
        way.qcow2 = i & 1;
        way.no_uring = i & 2;
        struct fixture *f = begin();
        test(f);
        finish(f);
    }
}
#define EVERY_WAY(name)                                                                                      \
    static void name##_every_way(void **state) {                                                             \
        (void)state;                                                                                         \
        every_way(name);                                                                                     \
    }
EVERY_WAY(what_is_written_is_read)
EVERY_WAY(many_at_once_all_end)
EVERY_WAY(pieces_of_any_size_are_one_request)
EVERY_WAY(cleared_sectors_are_zero)
EVERY_WAY(the_serial_number_is_cut)
EVERY_WAY(the_configuration_is_readable_in_any_way)
EVERY_WAY(requests_out_of_range_are_refused)
EVERY_WAY(requests_without_header_or_status_do_no_harm)
EVERY_WAY(a_reset_waits_for_what_is_under_way)
EVERY_WAY(freed_with_requests_under_way)
EVERY_WAY(a_driver_without_flush_gets_safe_writes)

static void read_only_every_way(void **state) {
    (void)state;
    way.readonly = true;
    every_way(nothing_is_written_to_a_disk_to_be_read);
    way.readonly = false;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_every_way),
        cmocka_unit_test(many_at_once_all_end_every_way),
        cmocka_unit_test(pieces_of_any_size_are_one_request_every_way),
        cmocka_unit_test(cleared_sectors_are_zero_every_way),
        cmocka_unit_test(the_serial_number_is_cut_every_way),
        cmocka_unit_test(the_configuration_is_readable_in_any_way_every_way),
        cmocka_unit_test(requests_out_of_range_are_refused_every_way),
        cmocka_unit_test(requests_without_header_or_status_do_no_harm_every_way),
        cmocka_unit_test(a_reset_waits_for_what_is_under_way_every_way),
        cmocka_unit_test(freed_with_requests_under_way_every_way),
        cmocka_unit_test(a_driver_without_flush_gets_safe_writes_every_way),
        cmocka_unit_test(read_only_every_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
