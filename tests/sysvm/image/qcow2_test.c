/* tests/sysvm/image/qcow2_test.c: a qcow2 image does what a plain array of bytes does, and its tables stay true
 * whatever happens: random requests, a disk that fills up, power failures at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "tests/sysvm/image/memory_file.h"
#include "sysvm/image/qcow2.h"

enum { SECTOR = 512, SECTORS_MAX = 1024, POSSIBLE_MAX = 24 };

/* A disk as it should be: each sector holds one number, over and over. */
struct model {
    struct memory_file *m;
    struct img *img;
    struct memory_file *below;
    uint32_t random, stamp;
    unsigned n_sectors, cluster_bits;
    uint32_t now[SECTORS_MAX];
    /* what each may be after a crash: what was flushed, and all since */
    uint32_t possible[SECTORS_MAX][POSSIBLE_MAX];
    unsigned n_possible[SECTORS_MAX];
    uint8_t bytes[SECTORS_MAX * SECTOR], after[SECTORS_MAX * SECTOR];
    unsigned n_failures;
};

static void fill(uint8_t *sector, uint32_t stamp) {
    for (unsigned i = 0; i < SECTOR; i += 4) memcpy(sector + i, &stamp, 4);
}

static uint32_t stamp_of(const uint8_t *sector) {
    uint32_t stamp, other;
    memcpy(&stamp, sector, 4);
    for (unsigned i = 4; i < SECTOR; i += 4) {
        memcpy(&other, sector + i, 4);
        assert_int_equal(other, stamp);
    }
    return stamp;
}

static void may_be(struct model *d, unsigned sector, uint32_t stamp) {
    if (d->n_possible[sector] < POSSIBLE_MAX) d->possible[sector][d->n_possible[sector]] = stamp;
    d->n_possible[sector]++; /* more than are kept: anything */
}

static void set_up_image(struct model *d, unsigned cluster_bits, unsigned n_sectors, size_t capacity,
                         bool backing) {
    struct img_create how = {
        .format = IMG_QCOW2, .size = (uint64_t)n_sectors * SECTOR, .cluster_bits = cluster_bits};
    struct atoll_error err;
    if (backing) {
        how.backing = "below";
        how.backing_format = IMG_RAW;
    }
    d->m = mf_new(capacity, true);
    d->n_sectors = n_sectors;
    d->cluster_bits = cluster_bits;
    assert_int_equal(img_qcow2_format(&d->m->file, &how, &err), ATOLL_OK);
    d->img = mf_image(d->m, false, false, &err);
    assert_non_null(d->img);
    for (unsigned i = 0; i < n_sectors; i++) d->now[i] = 0;
    if (backing) { /* shorter than the disk by a part of a cluster */
        unsigned n = n_sectors - 3;
        struct img *below = img_new(&atoll_default_alloc, "below");
        d->below = mf_new((size_t)n * SECTOR, false);
        for (unsigned i = 0; i < n; i++) fill(d->below->now + i * SECTOR, d->now[i] = 0x80000000u + i);
        d->below->size = d->below->file.size = (size_t)n * SECTOR;
        below->file = &d->below->file;
        below->readonly = true;
        assert_int_equal(img_raw_open(below, false, &err), ATOLL_OK);
        d->img->backing = below;
    }
    for (unsigned i = 0; i < n_sectors; i++) {
        d->n_possible[i] = 0;
        may_be(d, i, d->now[i]);
    }
}

static void tear_down_image(struct model *d) { assert_int_equal(img_close(d->img), 0); }

static void print_fault(void *context, const char *line) {
    (void)context;
    print_message("%s\n", line);
}

static void check_tables(struct img *img, bool leaks_allowed) {
    struct img_check found;
    struct atoll_error err;
    assert_int_equal(img_check(img, false, NULL, NULL, &found, &err), ATOLL_OK);
    if (found.n_corruptions || (found.n_leaks && !leaks_allowed))
        img_check(img, false, print_fault, NULL, &found, &err);
    assert_int_equal(found.n_corruptions, 0);
    if (!leaks_allowed) assert_int_equal(found.n_leaks, 0);
}

static void read_all(struct model *d, struct img *img) {
    struct iovec iov[3] = {{d->bytes, SECTOR + 100},
                           {d->bytes + SECTOR + 100, 333},
                           {d->bytes + SECTOR + 433, (size_t)d->n_sectors * SECTOR - SECTOR - 433}};
    assert_int_equal(img_readv(img, iov, 3, 0), 0);
}

static void same_as_model(struct model *d) {
    read_all(d, d->img);
    for (unsigned i = 0; i < d->n_sectors; i++) assert_int_equal(stamp_of(d->bytes + i * SECTOR), d->now[i]);
}

/* ---- random requests ---- */

static void choose_range(struct model *d, unsigned *from, unsigned *n) {
    *from = mf_random(&d->random) % d->n_sectors;
    unsigned most = d->n_sectors - *from;
    if (mf_random(&d->random) % 4 && most > 24) most = 24;
    *n = 1 + mf_random(&d->random) % most;
}

static int write_some(struct model *d) {
    unsigned from, n;
    choose_range(d, &from, &n);
    uint32_t stamp = ++d->stamp;
    for (unsigned i = 0; i < n; i++) fill(d->bytes + i * SECTOR, stamp);
    struct iovec iov[2] = {{d->bytes, 200}, {d->bytes + 200, (size_t)n * SECTOR - 200}};
    for (unsigned i = from; i < from + n; i++) {
        may_be(d, i, stamp);
        d->now[i] = stamp;
    }
    return img_writev(d->img, iov, 2, (uint64_t)from * SECTOR);
}

static int zero_some(struct model *d) {
    unsigned from, n;
    choose_range(d, &from, &n);
    for (unsigned i = from; i < from + n; i++) {
        may_be(d, i, 0);
        d->now[i] = 0;
    }
    return img_write_zeroes(d->img, (uint64_t)from * SECTOR, (uint64_t)n * SECTOR, mf_random(&d->random) % 2);
}

/* What a discarded sector reads as is whatever it reads as now, but not what somebody else wrote. */
static int discard_some(struct model *d) {
    unsigned from, n;
    choose_range(d, &from, &n);
    for (unsigned i = from; i < from + n; i++) may_be(d, i, 0);
    int error = img_discard(d->img, (uint64_t)from * SECTOR, (uint64_t)n * SECTOR);
    if (error) return error;
    read_all(d, d->img);
    for (unsigned i = from; i < from + n; i++) {
        uint32_t stamp = stamp_of(d->bytes + i * SECTOR);
        assert_true(stamp == 0 || stamp == d->now[i]);
        may_be(d, i, stamp);
        d->now[i] = stamp;
    }
    return 0;
}

static int flush_all(struct model *d) {
    int error = img_flush(d->img);
    if (error) return error;
    for (unsigned i = 0; i < d->n_sectors; i++) {
        d->n_possible[i] = 0;
        may_be(d, i, d->now[i]);
    }
    return 0;
}

static int act(struct model *d) {
    switch (mf_random(&d->random) % 8) {
    case 0: return zero_some(d);
    case 1: return discard_some(d);
    case 2: return flush_all(d);
    default: return write_some(d);
    }
}

static const struct {
    unsigned cluster_bits, n_sectors;
    bool backing;
} shapes[] = {{9, 700, false}, {9, 700, true},   {10, 1024, true}, {12, 1024, false},
              {12, 999, true}, {16, 1024, true}, {16, 777, false}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void random_requests_do_what_an_array_does(void **state) {
    (void)state;
    struct model *d = calloc(1, sizeof *d);
    for (unsigned s = 0; s < N_SHAPES; s++) {
        *d = (struct model){.random = 77 + s};
        set_up_image(d, shapes[s].cluster_bits, shapes[s].n_sectors, 4 << 20, shapes[s].backing);
        for (unsigned i = 0; i < 400; i++) {
            assert_int_equal(act(d), 0);
            if (i % 8 == 0) same_as_model(d);
        }
        same_as_model(d);
        assert_int_equal(img_flush(d->img), 0);
        check_tables(d->img, false);
        tear_down_image(d);
    }
    free(d);
}

/* ---- power ---- */

static void after_power_failure(void *context) {
    struct model *d = context;
    if (mf_random(&d->random) % 4) return;
    d->n_failures++;
    struct memory_file *after = mf_crash(d->m, &d->random);
    struct atoll_error err = {.text = ""};
    struct img *img = mf_image(after, false, false, &err);
    if (!img) print_message("%s\n", err.text);
    assert_non_null(img);
    check_tables(img, true);
    img->backing = d->img->backing;
    struct iovec iov = {d->after, (size_t)d->n_sectors * SECTOR};
    assert_int_equal(img_readv(img, &iov, 1, 0), 0);
    for (unsigned i = 0; i < d->n_sectors; i++) {
        uint32_t stamp;
        memcpy(&stamp, d->after + i * SECTOR, 4);
        bool known = d->n_possible[i] > POSSIBLE_MAX;
        for (unsigned k = 0; !known && k < d->n_possible[i]; k++) known = d->possible[i][k] == stamp;
        if (!known) print_message("sector %u is %x, should be %x\n", i, stamp, d->now[i]);
        assert_true(known);
    }
    img->backing = NULL;
    img_close(img);
}

static void a_power_failure_loses_nothing_that_was_flushed(void **state) {
    (void)state;
    struct model *d = calloc(1, sizeof *d);
    for (unsigned s = 0; s < N_SHAPES; s++) {
        *d = (struct model){.random = 4711 + s};
        set_up_image(d, shapes[s].cluster_bits, shapes[s].n_sectors, 4 << 20, shapes[s].backing);
        assert_int_equal(flush_all(d), 0);
        d->m->moment = after_power_failure;
        d->m->context = d;
        for (unsigned i = 0; i < 200; i++) assert_int_equal(act(d), 0);
        d->m->moment = NULL;
        assert_true(d->n_failures > 30);
        tear_down_image(d);
    }
    free(d);
}

/* ---- a full disk ---- */

/* From the n-th write on the host has no room, until it has some again: nothing that was flushed is lost, and
 * the image goes on. */
static void a_full_disk_leaves_a_whole_image(void **state) {
    (void)state;
    struct model *d = calloc(1, sizeof *d);
    for (unsigned n = 0; n < 120; n++) {
        *d = (struct model){.random = 99};
        set_up_image(d, n % 2 ? 9 : 12, 1000, 4 << 20, n % 3 == 0);
        for (unsigned i = 0; i < 30; i++) assert_int_equal(act(d), 0);
        assert_int_equal(flush_all(d), 0);
        d->m->n_left = n;
        d->m->error = ENOSPC;
        int error = 0;
        for (unsigned i = 0; i < 200 && !error; i++) error = act(d);
        assert_int_equal(error, ENOSPC);
        d->m->n_left = UINT64_MAX;
        read_all(d, d->img);
        for (unsigned i = 0; i < d->n_sectors; i++) {
            uint32_t stamp;
            memcpy(&stamp, d->bytes + i * SECTOR, 4);
            bool known = d->n_possible[i] > POSSIBLE_MAX;
            for (unsigned k = 0; !known && k < d->n_possible[i]; k++) known = d->possible[i][k] == stamp;
            assert_true(known);
            d->now[i] = stamp;
        }
        assert_int_equal(write_some(d), 0);
        assert_int_equal(img_flush(d->img), 0);
        check_tables(d->img, true);
        tear_down_image(d);
    }
    free(d);
}

/* ---- growth ---- */

/* Clusters of 512 bytes make a refcount block count 256 of them and a table of one cluster 64 blocks: the
 * image outgrows both. */
static void counts_grow_with_the_image(void **state) {
    (void)state;
    struct memory_file *m = mf_new(64 << 20, false);
    struct img_create how = {.format = IMG_QCOW2, .size = 24 << 20, .cluster_bits = 9};
    struct atoll_error err;
    static uint8_t bytes[1 << 20];
    assert_int_equal(img_qcow2_format(&m->file, &how, &err), ATOLL_OK);
    struct img *img = mf_image(m, false, false, &err);
    assert_non_null(img);
    for (unsigned i = 0; i < 24; i++) {
        memset(bytes, 'a' + i, sizeof bytes);
        assert_int_equal(img_writev(img, &(struct iovec){bytes, sizeof bytes}, 1, (uint64_t)i << 20), 0);
    }
    assert_int_equal(img_flush(img), 0);
    assert_true(((struct qcow2 *)img->state)->header.reftable_clusters > 1);
    check_tables(img, false);
    for (unsigned i = 0; i < 24; i++) {
        assert_int_equal(img_readv(img, &(struct iovec){bytes, sizeof bytes}, 1, (uint64_t)i << 20), 0);
        assert_true(bytes[0] == 'a' + i && bytes[sizeof bytes - 1] == 'a' + i);
    }
    /* and again from what is in the file */
    assert_int_equal(img_discard(img, 0, 12 << 20), 0);
    assert_int_equal(img_flush(img), 0);
    check_tables(img, false);
    assert_int_equal(img_close(img), 0);
}

static void a_disk_grows_and_shrinks(void **state) {
    (void)state;
    struct model *d = calloc(1, sizeof *d);
    struct atoll_error err;
    for (unsigned s = 0; s < N_SHAPES; s++) {
        *d = (struct model){.random = 5 + s};
        set_up_image(d, shapes[s].cluster_bits, 600, 4 << 20, shapes[s].backing);
        for (unsigned i = 0; i < 50; i++) assert_int_equal(act(d), 0);
        assert_int_equal(img_resize(d->img, 100 * SECTOR, false, &err), ATOLL_E_USAGE);
        assert_int_equal(img_resize(d->img, 100 * SECTOR, true, &err), ATOLL_OK);
        assert_int_equal(img_size(d->img), 100 * SECTOR);
        assert_int_equal(img_resize(d->img, 1000 * SECTOR, false, &err), ATOLL_OK);
        for (unsigned i = 100; i < 1000; i++) d->now[i] = 0; /* the backing file's data stay hidden */
        d->n_sectors = 1000;
        same_as_model(d);
        for (unsigned i = 0; i < 50; i++) assert_int_equal(act(d), 0);
        same_as_model(d);
        assert_int_equal(img_flush(d->img), 0);
        check_tables(d->img, false);
        tear_down_image(d);
    }
    free(d);
}

/* An L1 table of more clusters than lie between two refcount blocks. */
static void small_clusters_grow_to_a_large_disk(void **state) {
    (void)state;
    static const struct {
        uint64_t from, to;
    } sizes[] = {{1 << 20, UINT64_C(1) << 30}, {1 << 20, UINT64_C(16) << 30}, {0, UINT64_C(520) << 20}};
    struct atoll_error err;
    for (size_t i = 0; i < 3; i++) {
        struct memory_file *m = mf_new(64 << 20, false);
        struct img_create how = {.format = IMG_QCOW2, .size = sizes[i].from, .cluster_bits = 9};
        uint8_t byte = 'x', got[2];
        assert_int_equal(img_qcow2_format(&m->file, &how, &err), ATOLL_OK);
        struct img *img = mf_image(m, false, false, &err);
        assert_non_null(img);
        if (sizes[i].from) assert_int_equal(img_writev(img, &(struct iovec){&byte, 1}, 1, 77), 0);
        assert_int_equal(img_resize(img, sizes[i].to, false, &err), ATOLL_OK);
        assert_int_equal(img_writev(img, &(struct iovec){&byte, 1}, 1, sizes[i].to - 1), 0);
        assert_int_equal(img_flush(img), 0);
        check_tables(img, false);
        assert_true(m->file.size < 16 << 20);
        assert_int_equal(img_readv(img, &(struct iovec){got, 2}, 1, sizes[i].to - 2), 0);
        assert_true(got[0] == 0 && got[1] == 'x');
        assert_int_equal(img_readv(img, &(struct iovec){got, 2}, 1, 77), 0);
        assert_true(got[0] == (sizes[i].from ? 'x' : 0) && got[1] == 0);
        assert_int_equal(img_close(img), 0);
    }
}

/* ---- repair ---- */

static void leaks_and_wrong_counts_are_found_and_mended(void **state) {
    (void)state;
    struct model *d = calloc(1, sizeof *d);
    struct img_check found;
    struct atoll_error err;
    *d = (struct model){.random = 3};
    set_up_image(d, 12, 1000, 4 << 20, false);
    for (unsigned i = 0; i < 60; i++) assert_int_equal(act(d), 0);
    assert_int_equal(img_flush(d->img), 0);
    struct qcow2 *q = d->img->state;
    uint8_t *block = d->m->now + q->reftable[0];
    qc_cache_drop(&q->blocks, q->reftable[0]);
    unsigned used = 0;
    for (unsigned i = 0; i < 2048; i++)
        if (qc_get16(block + 2 * i) == 1) used = i;
    qc_put16(block + 2 * used, 0);        /* in use, counted as free */
    qc_put16(block + 2 * (used + 1), 1);  /* free, counted as used */
    qc_put16(block + 2 * (used + 2), 77); /* and more often */
    assert_int_equal(img_check(d->img, false, NULL, NULL, &found, &err), ATOLL_OK);
    assert_true(found.n_corruptions >= 1);
    assert_int_equal(found.n_leaks, 2);
    assert_int_equal(img_check(d->img, true, NULL, NULL, &found, &err), ATOLL_OK);
    assert_int_equal(found.n_fixed, found.n_corruptions + found.n_leaks);
    check_tables(d->img, false);
    same_as_model(d);
    tear_down_image(d);
    free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_requests_do_what_an_array_does),
        cmocka_unit_test(a_power_failure_loses_nothing_that_was_flushed),
        cmocka_unit_test(a_full_disk_leaves_a_whole_image),
        cmocka_unit_test(counts_grow_with_the_image),
        cmocka_unit_test(a_disk_grows_and_shrinks),
        cmocka_unit_test(small_clusters_grow_to_a_large_disk),
        cmocka_unit_test(leaks_and_wrong_counts_are_found_and_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
