/* tests/sandbox/disk_test.c: which files may become a guest's disks. */
#include <sys/stat.h>
#include "tests/sandbox/fixture.h"

static char last_line[1200];

static void remember(void *context, const char *line) {
    (void)context;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static int set_up(void **state) {
    *state = fixture_new((struct sb_config){.trace = remember});
    return 0;
}

static int tear_down(void **state) {
    fixture_free(*state);
    return 0;
}

static int try_disk(struct fixture *f, const char *path, unsigned flags) {
    struct sb_disk disk;
    int error = sb_disk_open(f->sb, path, flags, &disk);
    if (!error) sb_disk_close(&disk);
    return error;
}

static int try_backing(struct fixture *f, const struct sb_disk *image, const char *path) {
    struct sb_disk disk;
    int error = sb_disk_open_backing(f->sb, image, path, &disk);
    if (!error) sb_disk_close(&disk);
    return error;
}

static void grant(struct fixture *f, const char *path, bool readonly) {
    assert_int_equal(sb_grant_disk(f->sb, path, readonly, NULL), ATOLL_OK);
}

static void what_was_not_granted_is_not_opened(void **state) {
    struct fixture *f = *state;
    assert_int_equal(try_disk(f, host_path(f, "secret"), SB_OPEN_READ), EPERM);
    assert_non_null(strstr(last_line, "disk.open"));
    assert_non_null(strstr(last_line, "denied EPERM"));
    grant(f, host_path(f, "in/file"), false);
    assert_int_equal(try_disk(f, host_path(f, "secret"), SB_OPEN_READ), EPERM);
    assert_int_equal(try_disk(f, host_path(f, "in/fil"), SB_OPEN_READ), EPERM);
    assert_int_equal(sb_disk_remove(f->sb, host_path(f, "secret")), EPERM);
    assert_true(host_has(f, "secret"));
}

static void a_grant_to_read_is_none_to_write(void **state) {
    struct fixture *f = *state;
    grant(f, host_path(f, "in/file"), true);
    assert_int_equal(try_disk(f, host_path(f, "in/file"), SB_OPEN_READ), 0);
    assert_string_equal(strrchr(last_line, '='), "= ok");
    assert_int_equal(try_disk(f, host_path(f, "in/file"), SB_OPEN_READ | SB_OPEN_WRITE), EROFS);
    assert_int_equal(try_disk(f, host_path(f, "in/file"), SB_OPEN_READ | SB_OPEN_TRUNCATE), EROFS);
    assert_int_equal(sb_disk_remove(f->sb, host_path(f, "in/file")), EROFS);
    host_holds(f, "in/file", "hello");
    grant(f, host_path(f, "in/file"), false);
    assert_int_equal(try_disk(f, host_path(f, "in/file"), SB_OPEN_READ | SB_OPEN_WRITE), 0);
}

static void only_files_and_block_devices_are_disks(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkfifo(host_path(f, "in/fifo"), 0600), 0);
    static const char *const names[] = {"in/fifo", "in/sub"};
    for (int i = 0; i < 2; i++) {
        grant(f, host_path(f, names[i]), false);
        assert_int_not_equal(try_disk(f, host_path(f, names[i]), SB_OPEN_READ), 0);
    }
    grant(f, "/dev/zero", false);
    assert_int_equal(try_disk(f, "/dev/zero", SB_OPEN_READ), ENOTBLK);
}

static void a_backing_file_lies_below_or_is_granted(void **state) {
    struct fixture *f = *state;
    struct sb_disk image;
    host_link(f, "../secret", "in/up");
    host_link(f, "sub/inner", "in/inside");
    assert_int_equal(mkfifo(host_path(f, "in/fifo"), 0600), 0);
    grant(f, host_path(f, "in/file"), true);
    assert_int_equal(sb_disk_open(f->sb, host_path(f, "in/file"), SB_OPEN_READ, &image), 0);
    assert_int_equal(try_backing(f, &image, "sub/inner"), 0);
    assert_int_equal(try_backing(f, &image, "inside"), 0);
    assert_int_equal(try_backing(f, &image, "missing"), ENOENT);
    assert_int_equal(try_backing(f, &image, "sub"), EISDIR);
    assert_int_equal(try_backing(f, &image, "fifo"), ENOTBLK);
    assert_int_equal(try_backing(f, &image, "../secret"), EPERM);
    assert_int_equal(try_backing(f, &image, "up"), EPERM);
    assert_int_equal(try_backing(f, &image, "sub/../../secret"), EPERM);
    assert_int_equal(try_backing(f, &image, host_path(f, "secret")), EPERM);
    assert_int_equal(try_backing(f, &image, "/proc/self/environ"), EPERM);
    assert_int_equal(try_backing(f, &image, ""), ENAMETOOLONG);
    assert_non_null(strstr(last_line, "disk.backing"));
    grant(f, host_path(f, "secret"), true); /* whatever it is called then */
    assert_int_equal(try_backing(f, &image, "../secret"), 0);
    assert_int_equal(try_backing(f, &image, host_path(f, "in/../secret")), 0);
    assert_int_equal(try_backing(f, &image, "../outside/treasure"), EPERM);
    sb_disk_close(&image);
}

static void a_new_image_has_its_name_when_it_is_finished(void **state) {
    struct fixture *f = *state;
    struct sb_disk disk;
    assert_int_equal(sb_disk_create(f->sb, host_path(f, "in/new"), &disk), EPERM);
    grant(f, host_path(f, "in/new"), false);
    assert_int_equal(sb_disk_create(f->sb, host_path(f, "in/new"), &disk), 0);
    assert_int_equal(write(disk.fd, "hello", 5), 5);
    assert_int_equal(sb_disk_finish(f->sb, host_path(f, "in/new"), &disk, false), 0);
    sb_disk_close(&disk);
    assert_false(host_has(f, "in/new"));
    assert_int_equal(sb_disk_create(f->sb, host_path(f, "in/new"), &disk), 0);
    assert_int_equal(write(disk.fd, "hello", 5), 5);
    assert_int_equal(sb_disk_finish(f->sb, host_path(f, "in/new"), &disk, true), 0);
    host_holds(f, "in/new", "hello");
    sb_disk_close(&disk);
    assert_int_equal(sb_disk_create(f->sb, host_path(f, "in/new"), &disk), EEXIST);
    grant(f, host_path(f, "in/file"), true);
    assert_int_equal(sb_disk_create(f->sb, host_path(f, "in/file"), &disk), EROFS);
}

static void a_new_image_takes_nobodys_place(void **state) {
    struct fixture *f = *state;
    struct sb_disk disk;
    grant(f, host_path(f, "in/late"), false);
    assert_int_equal(sb_disk_create(f->sb, host_path(f, "in/late"), &disk), 0);
    if (host_has(f, "in/late")) skip(); /* no files without a name here */
    host_link(f, "nowhere", "in/late"); /* somebody else was faster */
    assert_int_equal(sb_disk_finish(f->sb, host_path(f, "in/late"), &disk, true), EEXIST);
    sb_disk_close(&disk);
    assert_false(host_has(f, "in/nowhere"));
    grant(f, host_path(f, "in/late"), false);
    assert_int_equal(sb_disk_create(f->sb, host_path(f, "in/late"), &disk), EEXIST);
}

static void a_throw_away_file_has_no_name(void **state) {
    struct fixture *f = *state;
    struct sb_disk disk;
    assert_int_equal(sb_disk_temporary(f->sb, host_path(f, "outside"), &disk), 0);
    assert_int_equal(write(disk.fd, "x", 1), 1);
    sb_disk_close(&disk);
    assert_int_equal(rmdir(host_path(f, "in/sub")), -1);
    assert_int_equal(unlink(host_path(f, "outside/treasure")), 0);
    assert_int_equal(rmdir(host_path(f, "outside")), 0); /* it was the only file */
    assert_int_equal(sb_disk_temporary(f->sb, host_path(f, "missing"), &disk), ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_not_granted_is_not_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_grant_to_read_is_none_to_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_files_and_block_devices_are_disks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_backing_file_lies_below_or_is_granted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_image_has_its_name_when_it_is_finished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_image_takes_nobodys_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_throw_away_file_has_no_name, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
