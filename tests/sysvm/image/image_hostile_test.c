/* tests/sysvm/image/hostile_test.c: images made to break their reader: every number of the header and of the
 * tables out of range, chains that loop, names that lead out. One clear refusal each, no crash, little memory. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/sysvm/image/memory_file.h"
#include "sysvm/image/qcow2.h"

/* ---- in memory: header and tables ---- */

static struct memory_file *fresh(void) {
    struct memory_file *m = mf_new(4 << 20, false);
    struct img_create how = {.format = IMG_QCOW2, .size = 8 << 20, .cluster_bits = 12};
    struct atoll_error err;
    uint8_t bytes[4096 * 3];
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(img_qcow2_format(&m->file, &how, &err), ATOLL_OK);
    struct img *img = mf_image(m, false, false, &err);
    assert_int_equal(img_writev(img, &(struct iovec){bytes, sizeof bytes}, 1, 4096), 0);
    assert_int_equal(img_flush(img), 0);
    struct memory_file *copy = mf_new(4 << 20, false);
    memcpy(copy->now, m->now, m->size);
    copy->size = m->size;
    img_close(img);
    return copy;
}

struct patch {
    unsigned offset, n_bytes;
    uint64_t value;
    enum atoll_status want;
};

static void patch(struct memory_file *m, struct patch p) {
    for (unsigned i = 0; i < p.n_bytes; i++)
        m->now[p.offset + i] = (uint8_t)(p.value >> 8 * (p.n_bytes - 1 - i));
}

static void a_header_out_of_range_is_refused(void **state) {
    (void)state;
    static const struct patch patches[] = {
        {0, 4, 0x51464900, ATOLL_E_MALFORMED},
        {4, 4, 1, ATOLL_E_UNSUPPORTED},
        {4, 4, 4, ATOLL_E_UNSUPPORTED},
        {4, 4, UINT32_MAX, ATOLL_E_UNSUPPORTED},
        {8, 8, UINT64_MAX, ATOLL_OK}, /* no size: no backing file */
        {16, 4, 100, ATOLL_E_MALFORMED},
        {16, 4, UINT32_MAX, ATOLL_E_MALFORMED},
        {20, 4, 0, ATOLL_E_MALFORMED}, /* a cluster of one byte */
        {20, 4, 8, ATOLL_E_MALFORMED},
        {20, 4, 22, ATOLL_E_MALFORMED},
        {20, 4, 64, ATOLL_E_MALFORMED},
        {20, 4, UINT32_MAX, ATOLL_E_MALFORMED},
        {24, 8, UINT64_MAX, ATOLL_E_MALFORMED},
        {24, 8, INT64_MAX, ATOLL_E_MALFORMED}, /* more than the L1 table knows */
        {24, 8, 1 << 30, ATOLL_E_MALFORMED},
        {32, 4, 1, ATOLL_E_UNSUPPORTED},
        {32, 4, 2, ATOLL_E_UNSUPPORTED},
        {36, 4, 0, ATOLL_E_MALFORMED},
        {36, 4, UINT32_MAX, ATOLL_E_LIMIT},
        {36, 4, QC_L1_MAX, ATOLL_E_MALFORMED}, /* longer than the file */
        {40, 8, 0, ATOLL_E_MALFORMED},
        {40, 8, 4097, ATOLL_E_MALFORMED},
        {40, 8, 4096, ATOLL_E_MALFORMED}, /* over the refcount table */
        {40, 8, UINT64_MAX & ~UINT64_C(4095), ATOLL_E_MALFORMED},
        {40, 8, UINT64_C(1) << 40, ATOLL_E_MALFORMED},
        {48, 8, 0, ATOLL_E_MALFORMED},
        {48, 8, 512, ATOLL_E_MALFORMED},
        {48, 8, UINT64_MAX & ~UINT64_C(4095), ATOLL_E_MALFORMED},
        {56, 4, 0, ATOLL_E_MALFORMED},
        {56, 4, UINT32_MAX, ATOLL_E_LIMIT},
        {60, 4, UINT32_MAX, ATOLL_E_LIMIT},
        {60, 4, 1, ATOLL_E_MALFORMED},
        {72, 8, QC_CORRUPT, ATOLL_E_MALFORMED},
        {72, 8, QC_DATA_FILE, ATOLL_E_UNSUPPORTED},
        {72, 8, QC_EXTENDED_L2, ATOLL_E_UNSUPPORTED},
        {72, 8, UINT64_C(1) << 63, ATOLL_E_UNSUPPORTED},
        {96, 4, 7, ATOLL_E_MALFORMED},
        {96, 4, UINT32_MAX, ATOLL_E_MALFORMED},
        {100, 4, 0, ATOLL_E_MALFORMED},
        {100, 4, 103, ATOLL_E_MALFORMED},
        {100, 4, 8192, ATOLL_E_MALFORMED},
        {100, 4, UINT32_MAX, ATOLL_E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        struct memory_file *m = fresh();
        struct atoll_error err = {.code = ATOLL_OK};
        patch(m, patches[i]);
        struct img *img = mf_image(m, false, false, &err);
        if (err.code != patches[i].want)
            print_message("%u <- %llx: %s\n", patches[i].offset, (unsigned long long)patches[i].value,
                          err.text);
        assert_int_equal(err.code, patches[i].want);
        assert_int_equal(img != NULL, patches[i].want == ATOLL_OK);
        if (img) img_close(img);
    }
}

static void a_data_file_is_never_opened(void **state) {
    (void)state;
    struct memory_file *m = fresh();
    struct atoll_error err;
    patch(m, (struct patch){72, 8, QC_DATA_FILE, 0});
    assert_null(mf_image(m, true, true, &err));
    assert_non_null(strstr(err.text, "data-file"));
}

static uint64_t l1_entry(const struct memory_file *m, uint64_t *out_l2) {
    uint64_t l1 = qc_get64(m->now + 40);
    *out_l2 = qc_get64(m->now + l1) & QC_OFFSET;
    return l1;
}

static void tables_that_are_no_tables_are_refused(void **state) {
    (void)state;
    static const uint64_t places[] = {512, 0x1000, 0x2000, 0x3000, UINT64_C(1) << 40, QC_OFFSET};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct memory_file *m = fresh();
        struct atoll_error err = {.code = ATOLL_OK};
        uint64_t l2, l1 = l1_entry(m, &l2);
        qc_put64(m->now + l1, places[i] | QC_COPIED);
        assert_null(mf_image(m, false, false, &err));
        assert_int_equal(err.code, ATOLL_E_MALFORMED);
        assert_true(err.offset == l1 || places[i] == 0x2000); /* where a refcount block is, too */
    }
    /* two entries, one table */
    struct memory_file *m = fresh();
    struct atoll_error err = {.code = ATOLL_OK};
    uint64_t l2, l1 = l1_entry(m, &l2);
    qc_put64(m->now + l1 + 8, l2 | QC_COPIED);
    assert_null(mf_image(m, false, false, &err));
    assert_int_equal(err.code, ATOLL_E_MALFORMED);
}

/* Neither reads nor writes go where the image keeps itself. */
static void data_in_the_tables_is_refused(void **state) {
    (void)state;
    uint8_t bytes[4096] = {1};
    struct iovec iov = {bytes, sizeof bytes};
    for (uint64_t place = 0x200; place < 0x10000; place += place == 0x200 ? 0xe00 : 0x1000) {
        struct memory_file *m = fresh(), *before = mf_new(4 << 20, false);
        struct atoll_error err;
        uint64_t l2;
        l1_entry(m, &l2);
        uint64_t data = qc_get64(m->now + l2 + 8) & QC_OFFSET;
        bool allowed = place >= data && place < data + 3 * 4096;
        qc_put64(m->now + l2 + 8, place | QC_COPIED);
        memcpy(before->now, m->now, m->size);
        size_t size = m->size;
        struct img *img = mf_image(m, false, false, &err);
        assert_non_null(img);
        int error = img_writev(img, &iov, 1, 4096);
        if (!allowed) {
            assert_int_equal(error, EUCLEAN);
            assert_int_equal(img_readv(img, &iov, 1, 4096), EUCLEAN);
            assert_true(img_fault(img, &err));
            assert_memory_equal(before->now, m->now, size);
        }
        img_close(img);
        mf_close(&before->file);
    }
}

static void broken_compression_is_refused(void **state) {
    (void)state;
    static const uint64_t entries[] = {QC_COMPRESSED | 0x5000, QC_COMPRESSED | UINT64_C(0x3fffffffffffffff),
                                       QC_COMPRESSED, QC_COMPRESSED | (UINT64_C(15) << 58) | 0x5007,
                                       QC_COMPRESSED | (UINT64_C(1) << 50)};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        for (unsigned zstd = 0; zstd < 2; zstd++) {
            struct memory_file *m = fresh();
            struct atoll_error err;
            uint64_t l2;
            uint8_t bytes[100];
            l1_entry(m, &l2);
            qc_put64(m->now + l2 + 8, entries[i]);
            if (zstd) patch(m, (struct patch){72, 8, QC_COMPRESSION_TYPE, 0});
            m->now[104] = (uint8_t)zstd;
            struct img *img = mf_image(m, false, false, &err);
            assert_non_null(img);
            assert_int_equal(img_readv(img, &(struct iovec){bytes, sizeof bytes}, 1, 5000), EUCLEAN);
            /* giving it back takes no table along */
            assert_int_equal(img_discard(img, 4096, 4096), 0);
            img_flush(img);
            assert_int_equal(img_readv(img, &(struct iovec){bytes, sizeof bytes}, 1, 5000), 0);
            img_close(img);
        }
    }
}

/* The counts say that the place of a table is free: it is not given to the guest. */
static void a_table_counted_as_free_is_not_given_away(void **state) {
    (void)state;
    struct memory_file *m = fresh();
    struct atoll_error err;
    uint64_t table = qc_get64(m->now + 48), block = qc_get64(m->now + table);
    uint8_t bytes[4096] = {0};
    memset(m->now + block, 0, 4096);
    struct img *img = mf_image(m, false, false, &err);
    assert_non_null(img);
    assert_int_equal(img_writev(img, &(struct iovec){bytes, sizeof bytes}, 1, 1 << 20), EUCLEAN);
    img_close(img);
}

/* ---- files: sparse bombs, chains, names ---- */

static char root[64];

static const char *at(const char *name) {
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static int set_up(void **state) {
    (void)state;
    strcpy(root, "/tmp/atoll-image-XXXXXX");
    return mkdtemp(root) && !mkdir(at("in"), 0755) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct sandbox *sandbox(void) {
    struct sandbox *sb;
    assert_int_equal(sb_new(&(struct sb_config){0}, &sb, NULL), ATOLL_OK);
    return sb;
}

static enum atoll_status make(struct sandbox *sb, const char *path, uint64_t size, const char *backing,
                              enum img_format backing_format) {
    struct atoll_error err;
    struct img_create how = {
        .format = IMG_QCOW2, .size = size, .backing = backing, .backing_format = backing_format};
    assert_int_equal(sb_grant_disk(sb, path, false, NULL), ATOLL_OK);
    return img_create(path, &how, &(struct img_options){.sb = sb}, &err);
}

static enum atoll_status try_open(struct sandbox *sb, const char *path, bool readonly,
                                  struct atoll_error *err) {
    struct img *img = NULL;
    struct img_options o = {.sb = sb, .readonly = readonly};
    assert_int_equal(sb_grant_disk(sb, path, readonly, NULL), ATOLL_OK);
    enum atoll_status status = img_open(path, &o, &img, err);
    if (!status) assert_int_equal(img_close(img), 0);
    return status;
}

static void write_text(const char *path, const void *bytes, size_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

static void contents_never_decide_the_format(void **state) {
    (void)state;
    struct sandbox *sb = sandbox();
    struct atoll_error err;
    struct img *img;
    struct img_info info;
    /* a guest wrote a qcow2 header into its raw disk that names a file of the host */
    write_text(at("in/secret"), "secret", 6);
    assert_int_equal(make(sb, at("in/guest.qcow2"), 1 << 20, "secret", IMG_RAW), ATOLL_OK);
    assert_int_equal(rename(at("in/guest.qcow2"), at("in/guest.img")), 0);
    assert_int_equal(sb_grant_disk(sb, at("in/guest.img"), false, NULL), ATOLL_OK);
    assert_int_equal(img_open(at("in/guest.img"), &(struct img_options){.sb = sb}, &img, &err), ATOLL_OK);
    img_info(img, &info);
    assert_int_equal(info.format, IMG_RAW);
    img_close(img);
    /* the same below an overlay that says nothing of the format */
    assert_int_equal(make(sb, at("in/over.qcow2"), UINT64_MAX, "guest.img", IMG_BY_NAME), ATOLL_OK);
    assert_int_equal(sb_grant_disk(sb, at("in/over.qcow2"), false, NULL), ATOLL_OK);
    assert_int_equal(img_open(at("in/over.qcow2"), &(struct img_options){.sb = sb}, &img, &err), ATOLL_OK);
    assert_int_equal(img->backing->size, info.size);
    assert_null(img->backing->backing);
    img_close(img);
    sb_free(sb);
}

static void backing_files_outside_of_the_folder_are_refused(void **state) {
    (void)state;
    struct sandbox *sb = sandbox();
    struct atoll_error err;
    write_text(at("secret"), "secret", 6);
    assert_int_equal(symlink("../secret", at("in/link")), 0);
    assert_int_equal(mkfifo(at("in/fifo"), 0644), 0);
    static const char *const names[] = {"../secret", "/etc/passwd", "link", "/proc/self/mem",
                                        "./../in/../secret"};
    struct img_create how = {.format = IMG_QCOW2, .size = 1 << 20};
    assert_int_equal(sb_grant_disk(sb, at("in/x.qcow2"), false, NULL), ATOLL_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        how.backing = names[i];
        assert_int_equal(img_create(at("in/x.qcow2"), &how, &(struct img_options){.sb = sb}, &err),
                         ATOLL_E_DENIED);
        assert_int_equal(access(at("in/x.qcow2"), F_OK), -1);
    }
    how.backing = "fifo";
    assert_int_equal(img_create(at("in/x.qcow2"), &how, &(struct img_options){.sb = sb}, &err),
                     ATOLL_E_UNSUPPORTED);
    /* what the user names himself is allowed, in whatever words the header has it */
    how.backing = "../in/../secret";
    assert_int_equal(sb_grant_disk(sb, at("secret"), true, NULL), ATOLL_OK);
    assert_int_equal(img_create(at("in/x.qcow2"), &how, &(struct img_options){.sb = sb}, &err), ATOLL_OK);
    assert_int_equal(try_open(sb, at("in/x.qcow2"), true, &err), ATOLL_OK);
    sb_free(sb);
    sb = sandbox(); /* and nobody else */
    assert_int_equal(try_open(sb, at("in/x.qcow2"), true, &err), ATOLL_E_DENIED);
    assert_non_null(strstr(err.text, "not below the image's folder"));
    sb_free(sb);
}

static void chains_that_loop_or_have_no_end_are_refused(void **state) {
    (void)state;
    struct sandbox *sb = sandbox();
    struct atoll_error err;
    char name[64], below[64];
    assert_int_equal(make(sb, at("in/self.qcow2"), 1 << 20, NULL, IMG_BY_NAME), ATOLL_OK);
    assert_int_equal(make(sb, at("in/a.qcow2"), 1 << 20, "self.qcow2", IMG_QCOW2), ATOLL_OK);
    assert_int_equal(unlink(at("in/self.qcow2")), 0);
    assert_int_equal(link(at("in/a.qcow2"), at("in/self.qcow2")), 0);
    assert_int_equal(try_open(sb, at("in/a.qcow2"), true, &err), ATOLL_E_MALFORMED);
    assert_non_null(strstr(err.text, "comes back"));
    assert_int_equal(make(sb, at("in/0.qcow2"), 1 << 20, NULL, IMG_BY_NAME), ATOLL_OK);
    unsigned n = 1;
    for (; n < 100; n++) {
        snprintf(name, sizeof name, "in/%u.qcow2", n);
        snprintf(below, sizeof below, "%u.qcow2", n - 1);
        if (make(sb, at(name), 1 << 20, below, IMG_QCOW2)) break;
        assert_true(n <= IMG_CHAIN_MAX);
        enum atoll_status status = try_open(sb, at(name), true, &err);
        if (n < IMG_CHAIN_MAX) assert_int_equal(status, ATOLL_OK);
        if (n >= IMG_CHAIN_MAX) assert_int_equal(status, ATOLL_E_LIMIT);
    }
    assert_true(n > IMG_CHAIN_MAX);
    sb_free(sb);
}

struct counting {
    struct atoll_alloc alloc;
    size_t now, most;
};
static void *count(void *context, void *p, size_t old_size, size_t new_size) {
    struct counting *c = context;
    void *q = atoll_default_alloc.resize(atoll_default_alloc.context, p, old_size, new_size);
    if (q || !new_size) c->now += new_size - old_size;
    if (c->now > c->most) c->most = c->now;
    return q;
}

/* A file of holes that claims to be a disk of exabytes. */
static void a_sparse_bomb_takes_little_memory(void **state) {
    (void)state;
    struct sandbox *sb = sandbox();
    struct atoll_error err;
    struct img *img;
    struct img_check found;
    struct counting c = {.alloc = {count, &c}};
    assert_int_equal(make(sb, at("in/bomb.qcow2"), UINT64_C(1) << 47, NULL, IMG_BY_NAME), ATOLL_OK);
    assert_int_equal(truncate(at("in/bomb.qcow2"), INT64_C(1) << 43), 0);
    struct img_options o = {.sb = sb, .alloc = &c.alloc, .check = true};
    assert_int_equal(sb_grant_disk(sb, at("in/bomb.qcow2"), false, NULL), ATOLL_OK);
    assert_int_equal(img_open(at("in/bomb.qcow2"), &o, &img, &err), ATOLL_OK);
    assert_int_equal(img_check(img, false, NULL, NULL, &found, &err), ATOLL_OK);
    assert_int_equal(img_discard(img, 0, UINT64_C(1) << 47), 0);
    assert_int_equal(img_write_zeroes(img, 0, UINT64_C(1) << 47, true), 0);
    assert_int_equal(img_close(img), 0);
    assert_true(c.most < 16 << 20);
    assert_int_equal(c.now, 0);
    sb_free(sb);
}

static void two_writers_are_kept_apart(void **state) {
    (void)state;
    struct sandbox *sb = sandbox();
    struct atoll_error err;
    struct img *img;
    const char *path = at("in/lock.img");
    write_text(path, "x", 1);
    assert_int_equal(sb_grant_disk(sb, path, false, NULL), ATOLL_OK);
    assert_int_equal(img_open(path, &(struct img_options){.sb = sb}, &img, &err), ATOLL_OK);
    assert_int_equal(try_open(sb, path, false, &err), ATOLL_E_DENIED);
    assert_int_equal(try_open(sb, path, true, &err), ATOLL_E_DENIED);
    img_close(img);
    assert_int_equal(img_open(path, &(struct img_options){.sb = sb, .readonly = true}, &img, &err), ATOLL_OK);
    assert_int_equal(try_open(sb, path, false, &err), ATOLL_E_DENIED);
    assert_int_equal(try_open(sb, path, true, &err), ATOLL_OK);
    img_close(img);
    assert_int_equal(try_open(sb, path, false, &err), ATOLL_OK);
    sb_free(sb);
}

/* Where there is no room for tables, what a guest has thrown away anyway is no fault. */
static void a_throw_away_image_ends_without_a_fault(void **state) {
    (void)state;
    struct sandbox *sb = sandbox();
    struct atoll_error err;
    struct rlimit before, small;
    for (int kept = 0; kept < 2; kept++) {
        struct img *base, *img;
        const char *path = kept ? at("in/kept.qcow2") : at("in/base.img");
        uint8_t bytes[512] = "x";
        struct iovec iov = {bytes, sizeof bytes};
        if (kept)
            assert_int_equal(make(sb, path, 1 << 20, NULL, IMG_RAW), ATOLL_OK);
        else
            write_text(path, bytes, sizeof bytes);
        assert_int_equal(sb_grant_disk(sb, path, false, NULL), ATOLL_OK);
        assert_int_equal(img_open(path, &(struct img_options){.sb = sb, .readonly = !kept}, &base, &err),
                         ATOLL_OK);
        img = base;
        if (!kept) assert_int_equal(img_open_snapshot(base, sb, root, &img, &err), ATOLL_OK);
        assert_int_equal(img_writev(img, &iov, 1, 0), 0);
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = (struct rlimit){0, before.rlim_max}; /* as a full disk, to tables */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int closed = img_close(img);
        setrlimit(RLIMIT_FSIZE, &before);
        assert_int_equal(closed, kept ? EFBIG : 0);
    }
    sb_free(sb);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_out_of_range_is_refused),
        cmocka_unit_test(a_data_file_is_never_opened),
        cmocka_unit_test(tables_that_are_no_tables_are_refused),
        cmocka_unit_test(data_in_the_tables_is_refused),
        cmocka_unit_test(broken_compression_is_refused),
        cmocka_unit_test(a_table_counted_as_free_is_not_given_away),
        cmocka_unit_test_setup_teardown(contents_never_decide_the_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(backing_files_outside_of_the_folder_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chains_that_loop_or_have_no_end_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sparse_bomb_takes_little_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_throw_away_image_ends_without_a_fault, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_writers_are_kept_apart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
