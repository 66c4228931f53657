/* tests/sandbox/escape_test.c: no path leads out of a grant, and nothing changes below a read-only one. Each
 * test runs with openat2 and with the component walk. */
#include <pthread.h>
#include <stdatomic.h>
#include "tests/sandbox/fixture.h"

#define READ   SB_OPEN_READ
#define WRITE  SB_OPEN_WRITE
#define CREATE (SB_OPEN_WRITE | SB_OPEN_CREATE)

static int set_up(void **state) {
    bool walk = *state != NULL;
    *state = fixture_new((struct sb_config){.no_openat2 = walk});
    return 0;
}

static int tear_down(void **state) {
    fixture_free(*state);
    return 0;
}

/* Nothing outside was changed. */
static void outside_is_untouched(const struct fixture *f) {
    host_holds(f, "secret", "secret");
    host_holds(f, "outside/treasure", "treasure");
    assert_false(host_has(f, "new"));
    assert_false(host_has(f, "outside/new"));
}

/* Every call that takes a path is refused with `error`. */
static void every_call_refuses(struct fixture *f, const char *text, int error) {
    struct sb_path path = path_of(text), good = path_of("file"), fresh = path_of("fresh");
    struct stat st;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    char buffer[64];
    size_t n;
    assert_int_equal(try_open(f->dir, text, READ), error);
    assert_int_equal(try_open(f->dir, text, CREATE | SB_OPEN_TRUNCATE), error);
    assert_int_equal(sb_path_stat(f->dir, path, true, &st), error);
    assert_int_equal(sb_path_stat(f->dir, path, false, &st), error);
    assert_int_equal(sb_path_set_times(f->dir, path, true, times), error);
    assert_int_equal(sb_path_readlink(f->dir, path, buffer, sizeof buffer, &n), error);
    assert_int_equal(sb_path_mkdir(f->dir, path), error);
    assert_int_equal(sb_path_rmdir(f->dir, path), error);
    assert_int_equal(sb_path_unlink(f->dir, path), error);
    assert_int_equal(sb_path_rename(f->dir, path, f->dir, fresh), error);
    assert_int_equal(sb_path_rename(f->dir, good, f->dir, path), error);
    assert_int_equal(sb_path_link(f->dir, path, f->dir, fresh), error);
    assert_int_equal(sb_path_link(f->dir, good, f->dir, path), error);
    assert_int_equal(sb_path_symlink(good, f->dir, path), error);
    assert_false(host_has(f, "in/fresh"));
    host_holds(f, "in/file", "hello");
    outside_is_untouched(f);
}

static void paths_that_climb_out_are_refused(void **state) {
    static const char *const paths[] = {"..",          "../secret",         "../new",
                                        "../in/file",  "sub/../../secret",  "sub/../../outside/treasure",
                                        "./../secret", "sub/./.././../new", "../outside/"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) every_call_refuses(*state, paths[i], EPERM);
}

static void absolute_paths_are_refused(void **state) {
    struct fixture *f = *state;
    every_call_refuses(f, "/", EPERM);
    every_call_refuses(f, "/etc/passwd", EPERM);
    every_call_refuses(f, host_path(f, "in/file"), EPERM);
    every_call_refuses(f, "//in/file", EPERM);
}

static void malformed_paths_are_refused(void **state) {
    struct fixture *f = *state;
    struct sb_file *file;
    static char big[PATH_MAX + 1];
    memset(big, 'a', sizeof big);
    assert_int_equal(sb_file_open(f->dir, (struct sb_path){"file\0x", 6}, READ, &file), EINVAL);
    assert_int_equal(sb_file_open(f->dir, (struct sb_path){"", 0}, READ, &file), ENOENT);
    assert_int_equal(sb_file_open(f->dir, (struct sb_path){big, PATH_MAX}, READ, &file), ENAMETOOLONG);
    assert_int_equal(sb_file_open(f->dir, (struct sb_path){big, NAME_MAX + 1}, READ, &file), ENAMETOOLONG);
}

static void dotdot_inside_the_grant_works(void **state) {
    struct fixture *f = *state;
    assert_int_equal(try_open(f->dir, "sub/../file", READ), 0);
    assert_int_equal(try_open(f->dir, "sub/../sub/./inner", READ), 0);
    assert_int_equal(try_open(f->dir, "sub/..", READ | SB_OPEN_DIRECTORY), 0);
    assert_int_equal(try_open(f->dir, ".", READ | SB_OPEN_DIRECTORY), 0);
}

/* A handle below the grant is a start of its own: ".." does not rise above it. */
static void a_subdirectory_handle_is_its_own_bound(void **state) {
    struct fixture *f = *state;
    struct sb_file *sub = must_open(f->dir, "sub", READ | SB_OPEN_DIRECTORY);
    assert_int_equal(try_open(sub, "inner", READ), 0);
    assert_int_equal(try_open(sub, "../file", READ), EPERM);
    sb_file_unref(sub);
}

/* What lies above a directory may change while it is open: its handle stays its bound. */
static void a_directory_moved_away_is_no_way_up(void **state) {
    struct fixture *f = *state;
    struct sb_file *sub = must_open(f->dir, "sub", READ | SB_OPEN_DIRECTORY);
    assert_int_equal(rename(host_path(f, "in/sub"), host_path(f, "outside/sub")), 0);
    assert_int_equal(try_open(sub, "inner", READ), 0);
    assert_int_equal(try_open(sub, "../treasure", READ), EPERM);
    assert_int_equal(try_open(sub, "../../secret", READ), EPERM);
    assert_int_equal(try_open(f->dir, "sub/inner", READ), ENOENT);
    sb_file_unref(sub);
}

static void planted_links_do_not_lead_out(void **state) {
    struct fixture *f = *state;
    host_link(f, "../secret", "in/up");
    host_link(f, host_path(f, "secret"), "in/absolute");
    host_link(f, "sub/../../outside", "in/dir");
    host_link(f, "dir", "in/chain");
    host_link(f, "/", "in/sub/root");
    static const char *const paths[] = {
        "up",      "absolute", "dir/treasure", "chain/treasure", "sub/root/etc/passwd", "dir/../secret",
        "dir/new", "dir/",     "chain"};
    struct stat st;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(try_open(f->dir, paths[i], READ), EPERM);
        assert_int_equal(sb_path_stat(f->dir, path_of(paths[i]), true, &st), EPERM);
    }
    assert_int_equal(try_open(f->dir, "up", WRITE | SB_OPEN_TRUNCATE), EPERM);
    assert_int_equal(sb_path_unlink(f->dir, path_of("dir/treasure")), EPERM);
    assert_int_equal(sb_path_mkdir(f->dir, path_of("chain/new")), EPERM);
    assert_int_equal(sb_path_rename(f->dir, path_of("file"), f->dir, path_of("dir/new")), EPERM);
    assert_int_equal(sb_path_link(f->dir, path_of("dir/treasure"), f->dir, path_of("mine")), EPERM);
    assert_int_equal(sb_path_link(f->dir, path_of("dir/"), f->dir, path_of("mine")), EPERM);
    outside_is_untouched(f);
}

static void creating_through_a_dangling_link_stays_inside(void **state) {
    struct fixture *f = *state;
    host_link(f, "../new", "in/out");
    host_link(f, host_path(f, "new"), "in/absolute");
    host_link(f, "sub/made", "in/good");
    assert_int_equal(try_open(f->dir, "out", CREATE), EPERM);
    assert_int_equal(try_open(f->dir, "absolute", CREATE), EPERM);
    assert_int_equal(try_open(f->dir, "out", CREATE | SB_OPEN_EXCLUSIVE), EEXIST);
    outside_is_untouched(f);
    assert_int_equal(try_open(f->dir, "good", CREATE), 0);
    assert_true(host_has(f, "in/sub/made"));
}

static void links_inside_the_grant_are_followed(void **state) {
    struct fixture *f = *state;
    host_link(f, "sub", "in/alias");
    host_link(f, "../file", "in/sub/back");
    assert_int_equal(try_open(f->dir, "alias/inner", READ), 0);
    assert_int_equal(try_open(f->dir, "alias/back", READ), 0);
    assert_int_equal(try_open(f->dir, "alias", READ | SB_OPEN_NOFOLLOW), ELOOP);
    /* From a handle on sub the same link leads out. */
    struct sb_file *sub = must_open(f->dir, "sub", READ | SB_OPEN_DIRECTORY);
    assert_int_equal(try_open(sub, "back", READ), EPERM);
    sb_file_unref(sub);
}

static void link_loops_end(void **state) {
    struct fixture *f = *state;
    host_link(f, "b", "in/a");
    host_link(f, "a", "in/b");
    assert_int_equal(try_open(f->dir, "a", READ), ELOOP);
    assert_int_equal(try_open(f->dir, "a/x", READ), ELOOP);
}

static void a_program_cannot_make_absolute_links(void **state) {
    struct fixture *f = *state;
    char target[64] = "";
    size_t n;
    assert_int_equal(sb_path_symlink(path_of("/etc"), f->dir, path_of("etc")), EPERM);
    assert_false(host_has(f, "in/etc"));
    assert_int_equal(sb_path_symlink(path_of("../secret"), f->dir, path_of("up")), 0);
    assert_int_equal(try_open(f->dir, "up", READ), EPERM);
    assert_int_equal(sb_path_readlink(f->dir, path_of("up"), target, 4, &n), 0);
    assert_int_equal(n, 4);
    assert_string_equal(target, "../s");
    assert_int_equal(sb_path_readlink(f->dir, path_of("file"), target, 4, &n), EINVAL);
}

static void trailing_slashes_ask_for_a_directory(void **state) {
    struct fixture *f = *state;
    struct stat st;
    host_link(f, "sub", "in/alias");
    host_link(f, "../outside", "in/out");
    assert_int_equal(try_open(f->dir, "file/", READ), ENOTDIR);
    assert_int_equal(try_open(f->dir, "sub/", READ), 0);
    assert_int_equal(try_open(f->dir, "alias//", READ | SB_OPEN_NOFOLLOW), 0);
    assert_int_equal(try_open(f->dir, "fresh/", CREATE), EISDIR);
    assert_int_equal(try_open(f->dir, "out/", READ | SB_OPEN_NOFOLLOW), EPERM);
    assert_int_equal(sb_path_stat(f->dir, path_of("alias/"), false, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(sb_path_unlink(f->dir, path_of("file/")), ENOTDIR);
    assert_int_equal(sb_path_rename(f->dir, path_of("file"), f->dir, path_of("moved/")), ENOTDIR);
    assert_int_equal(sb_path_link(f->dir, path_of("file/"), f->dir, path_of("other")), ENOTDIR);
    assert_int_equal(sb_path_link(f->dir, path_of("sub/"), f->dir, path_of("other")), EPERM);
    assert_int_equal(sb_path_mkdir(f->dir, path_of("made///")), 0);
    assert_int_equal(sb_path_rename(f->dir, path_of("made/"), f->dir, path_of("moved/")), 0);
    assert_int_equal(sb_path_rmdir(f->dir, path_of("moved/")), 0);
    outside_is_untouched(f);
}

static void the_last_link_is_acted_on_itself(void **state) {
    struct fixture *f = *state;
    struct stat st;
    struct timespec times[2] = {{7, 0}, {7, 0}};
    host_link(f, "../secret", "in/up");
    assert_int_equal(sb_path_stat(f->dir, path_of("up"), false, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(sb_path_set_times(f->dir, path_of("up"), false, times), 0);
    assert_int_equal(sb_path_stat(f->dir, path_of("up"), false, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 7);
    assert_int_equal(stat(host_path(f, "secret"), &st), 0);
    assert_int_not_equal(st.st_mtim.tv_sec, 7);
    assert_int_equal(sb_path_link(f->dir, path_of("up"), f->dir, path_of("up2")), 0);
    assert_int_equal(lstat(host_path(f, "in/up2"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(sb_path_rename(f->dir, path_of("up2"), f->dir, path_of("up3")), 0);
    assert_int_equal(sb_path_unlink(f->dir, path_of("up3")), 0);
    outside_is_untouched(f);
}

/* ---- /proc ---- */

/* A grant of / reaches everything but proc file systems, which hold the memory of this process. */
static void no_path_ends_in_a_proc_file_system(void **state) {
    struct fixture *f = *state;
    static const char *const paths[] = {"proc",
                                        "proc/",
                                        "proc/.",
                                        "proc/self",
                                        "proc/cpuinfo",
                                        "proc/self/mem",
                                        "proc/self/maps",
                                        "proc/self/task",
                                        "proc/self/status",
                                        "etc/../proc/self/../self/mem"};
    struct stat st;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    char target[64];
    size_t n;
    if (access("/proc/self/mem", F_OK)) skip();
    assert_int_equal(sb_grant_dir(f->sb, "/", "/", false, NULL), ATOLL_OK);
    struct sb_file *root = sb_grant_at(f->sb, 2)->file;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(try_open(root, paths[i], READ), EPERM);
        int written = try_open(root, paths[i], READ | WRITE);
        assert_true(written == EPERM || written == EISDIR || written == EACCES);
        assert_int_equal(sb_path_stat(root, path_of(paths[i]), true, &st), EPERM);
        assert_int_equal(sb_path_set_times(root, path_of(paths[i]), true, times), EPERM);
        assert_int_not_equal(sb_path_readlink(root, path_of(paths[i]), target, sizeof target, &n), 0);
    }
    assert_int_equal(sb_path_mkdir(root, path_of("proc/new")), EPERM);
    assert_int_equal(sb_path_link(root, path_of("proc/self/mem"), f->dir, path_of("mem")), EPERM);
    assert_int_equal(sb_path_rename(root, path_of("proc/self/mem"), f->dir, path_of("mem")), EPERM);
    assert_int_equal(try_open(root, "proc/../etc/passwd", READ), 0);
}

static void a_link_into_a_proc_file_system_is_refused(void **state) {
    struct fixture *f = *state;
    if (access("/proc/self/mem", F_OK)) skip();
    host_link(f, "../../../proc/self/mem", "in/mem");
    host_link(f, "../../../proc", "in/proc");
    assert_int_equal(sb_grant_dir(f->sb, "/", "/", false, NULL), ATOLL_OK);
    struct sb_file *root = sb_grant_at(f->sb, 2)->file;
    assert_int_equal(try_open(root, host_path(f, "in/mem") + 1, READ | WRITE), EPERM);
    assert_int_equal(try_open(root, host_path(f, "in/proc/self/maps") + 1, READ), EPERM);
    assert_int_equal(try_open(root, host_path(f, "in/file") + 1, READ), 0);
}

static void a_proc_file_system_cannot_be_granted(void **state) {
    struct fixture *f = *state;
    struct atoll_error err = {0};
    if (access("/proc/self/mem", F_OK)) skip();
    assert_int_equal(sb_grant_dir(f->sb, "/proc", "/proc", true, &err), ATOLL_E_IO);
    assert_string_equal(err.text,
                        "cannot grant directory '/proc': a proc file system holds the memory of processes");
    assert_int_equal(sb_grant_dir(f->sb, "/proc/self/task", "/x", true, &err), ATOLL_E_IO);
    assert_int_equal(sb_grant_count(f->sb), 2);
}

/* ---- read-only grants ---- */

static void a_readonly_grant_is_read(void **state) {
    struct fixture *f = *state;
    struct stat st;
    struct sb_file *file = must_open(f->readonly, "sub/inner", READ);
    assert_true(sb_file_readonly(file));
    reads(file, SB_ABSENT, "inner");
    sb_file_unref(file);
    assert_int_equal(sb_path_stat(f->readonly, path_of("file"), true, &st), 0);
}

static void a_readonly_grant_is_not_changed(void **state) {
    struct fixture *f = *state;
    struct sb_file *ro = f->readonly;
    struct sb_path file = path_of("file"), fresh = path_of("fresh");
    struct timespec times[2] = {{1, 0}, {1, 0}};
    assert_int_equal(try_open(ro, "file", WRITE), EROFS);
    assert_int_equal(try_open(ro, "fresh", READ | SB_OPEN_CREATE), EROFS);
    assert_int_equal(try_open(ro, "file", READ | SB_OPEN_TRUNCATE), EROFS);
    assert_int_equal(sb_path_mkdir(ro, fresh), EROFS);
    assert_int_equal(sb_path_rmdir(ro, path_of("sub")), EROFS);
    assert_int_equal(sb_path_unlink(ro, file), EROFS);
    assert_int_equal(sb_path_symlink(file, ro, fresh), EROFS);
    assert_int_equal(sb_path_set_times(ro, file, true, times), EROFS);
    assert_int_equal(sb_path_rename(ro, file, ro, fresh), EROFS);
    assert_int_equal(sb_path_link(ro, file, ro, fresh), EROFS);
    assert_false(host_has(f, "in/fresh"));
    host_holds(f, "in/file", "hello");
}

/* A link or a rename to a writable grant would make the file writable there. */
static void files_do_not_cross_between_readonly_and_writable(void **state) {
    struct fixture *f = *state;
    struct sb_path file = path_of("file"), fresh = path_of("fresh");
    assert_int_equal(sb_path_link(f->readonly, file, f->dir, fresh), EROFS);
    assert_int_equal(sb_path_link(f->readonly, path_of("sub/"), f->dir, fresh), EROFS);
    assert_int_equal(sb_path_rename(f->readonly, file, f->dir, fresh), EROFS);
    assert_int_equal(sb_path_link(f->dir, file, f->readonly, fresh), EROFS);
    assert_int_equal(sb_path_rename(f->dir, file, f->readonly, fresh), EROFS);
    assert_false(host_has(f, "in/fresh"));
    assert_true(host_has(f, "in/file"));
}

static void readonly_is_inherited_by_what_is_opened(void **state) {
    struct fixture *f = *state;
    uint64_t n;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    struct sb_file *sub = must_open(f->readonly, "sub", READ | SB_OPEN_DIRECTORY);
    struct sb_file *file = must_open(sub, "inner", READ);
    assert_int_equal(try_open(sub, "inner", WRITE), EROFS);
    assert_int_equal(sb_file_truncate(file, 0), EROFS);
    assert_int_equal(sb_file_allocate(file, 0, 0, 100), EROFS);
    assert_int_equal(sb_file_set_times(file, times), EROFS);
    assert_int_equal(write_text(file, "x", &n), EROFS);
    sb_file_unref(file);
    sb_file_unref(sub);
    host_holds(f, "in/sub/inner", "inner");
}

/* ---- races ---- */

struct swapper {
    char dir[PATH_MAX], link[PATH_MAX];
    atomic_bool stop;
};

/* The host exchanges in/sub with a link to ../outside as fast as it can. */
static void *swap_forever(void *context) {
    struct swapper *s = context;
    while (!atomic_load(&s->stop)) renameat2(AT_FDCWD, s->dir, AT_FDCWD, s->link, RENAME_EXCHANGE);
    return NULL;
}

static void a_directory_swapped_with_a_link_does_not_lead_out(void **state) {
    struct fixture *f = *state;
    struct swapper s = {.stop = false};
    strcpy(s.dir, host_path(f, "in/sub"));
    strcpy(s.link, host_path(f, "in/swap"));
    host_link(f, "../outside", "in/swap");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, swap_forever, &s), 0);
    unsigned escaped = 0;
    for (unsigned i = 0; i < 3000; i++) {
        escaped += try_open(f->dir, "sub/treasure", READ) == 0;
        escaped += try_open(f->dir, "sub/../../secret", READ) == 0;
        (void)try_open(f->dir, "sub/new", CREATE);
        (void)sb_path_unlink(f->dir, path_of("sub/treasure"));
        (void)sb_path_rename(f->dir, path_of("sub/treasure"), f->dir, path_of("mine"));
        (void)sb_path_mkdir(f->dir, path_of("sub/new2"));
        (void)sb_path_rmdir(f->dir, path_of("sub/new2"));
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(escaped, 0);
    assert_false(host_has(f, "in/mine"));
    assert_false(host_has(f, "outside/new2"));
    outside_is_untouched(f);
}

#define BOTH_WAYS(test)                                                                                      \
    {#test " (openat2)", test, set_up, tear_down, NULL}, { #test " (walk)", test, set_up, tear_down, walks }

int main(void) {
    static char walks[] = "walk";
    const struct CMUnitTest tests[] = {
        BOTH_WAYS(paths_that_climb_out_are_refused),
        BOTH_WAYS(absolute_paths_are_refused),
        BOTH_WAYS(malformed_paths_are_refused),
        BOTH_WAYS(dotdot_inside_the_grant_works),
        BOTH_WAYS(a_subdirectory_handle_is_its_own_bound),
        BOTH_WAYS(a_directory_moved_away_is_no_way_up),
        BOTH_WAYS(planted_links_do_not_lead_out),
        BOTH_WAYS(creating_through_a_dangling_link_stays_inside),
        BOTH_WAYS(links_inside_the_grant_are_followed),
        BOTH_WAYS(link_loops_end),
        BOTH_WAYS(a_program_cannot_make_absolute_links),
        BOTH_WAYS(trailing_slashes_ask_for_a_directory),
        BOTH_WAYS(the_last_link_is_acted_on_itself),
        BOTH_WAYS(no_path_ends_in_a_proc_file_system),
        BOTH_WAYS(a_link_into_a_proc_file_system_is_refused),
        BOTH_WAYS(a_proc_file_system_cannot_be_granted),
        BOTH_WAYS(a_readonly_grant_is_read),
        BOTH_WAYS(a_readonly_grant_is_not_changed),
        BOTH_WAYS(files_do_not_cross_between_readonly_and_writable),
        BOTH_WAYS(readonly_is_inherited_by_what_is_opened),
        BOTH_WAYS(a_directory_swapped_with_a_link_does_not_lead_out),
    };
    return cmocka_run_group_tests_name("escapes", tests, NULL, NULL);
}
