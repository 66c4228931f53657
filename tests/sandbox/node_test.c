/* tests/sandbox/node_test.c: handles as a guest's kernel holds them: one component at a time, no link followed, no
 * device opened, nothing outside reached, and nothing changed below a read-only grant. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "sandbox/node.h"
#include "tests/sandbox/fixture.h"

static const struct sb_new plain = {.mode = 0640, .uid = SB_KEEP_ID, .gid = SB_KEEP_ID};

static int set_up(void **state) {
    *state = fixture_new((struct sb_config){0});
    return 0;
}

static int tear_down(void **state) {
    fixture_free(*state);
    return 0;
}

static struct sb_file *find(struct sb_file *dir, const char *name) {
    struct sb_file *node = NULL;
    struct stat st;
    assert_int_equal(sb_node_lookup(dir, path_of(name), &node, &st), 0);
    return node;
}

static int try_find(struct sb_file *dir, struct sb_path name) {
    struct sb_file *node;
    struct stat st;
    int error = sb_node_lookup(dir, name, &node, &st);
    if (!error) sb_file_unref(node);
    return error;
}

static int try_open_node(struct sb_file *node, unsigned flags) {
    struct sb_file *file;
    int error = sb_node_open(node, flags, &file);
    if (!error) sb_file_unref(file);
    return error;
}

static void outside_is_untouched(const struct fixture *f) {
    host_holds(f, "secret", "secret");
    host_holds(f, "outside/treasure", "treasure");
    assert_false(host_has(f, "new"));
    assert_false(host_has(f, "outside/new"));
}

/* ---- names ---- */

static void every_act_refuses(struct fixture *f, struct sb_path name, int error) {
    struct sb_file *node, *file, *good = find(f->dir, "file");
    struct stat st;
    struct sb_path fresh = path_of("fresh"), existing = path_of("file");
    assert_int_equal(try_find(f->dir, name), error);
    assert_int_equal(sb_node_mkdir(f->dir, name, &plain, &node, &st), error);
    assert_int_equal(sb_node_mknod(f->dir, name, &plain, 0, &node, &st), error);
    assert_int_equal(sb_node_symlink(existing, f->dir, name, &plain, &node, &st), error);
    assert_int_equal(sb_node_create(f->dir, name, &plain, SB_OPEN_WRITE, &node, &st, &file), error);
    assert_int_equal(sb_node_link(good, f->dir, name), error);
    assert_int_equal(sb_node_rename(f->dir, name, f->dir, fresh, 0), error);
    assert_int_equal(sb_node_rename(f->dir, existing, f->dir, name, 0), error);
    assert_int_equal(sb_node_unlink(f->dir, name), error);
    assert_int_equal(sb_node_rmdir(f->dir, name), error);
    sb_file_unref(good);
    host_holds(f, "in/file", "hello");
    assert_false(host_has(f, "in/fresh"));
    outside_is_untouched(f);
}

static void names_that_are_no_component_are_refused(void **state) {
    static char big[NAME_MAX + 1];
    static const char *const bad[] = {".",         "..",   "/",      "/etc",  "../secret",
                                      "sub/inner", "sub/", "./file", "../new"};
    memset(big, 'a', sizeof big);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) every_act_refuses(*state, path_of(bad[i]), EINVAL);
    every_act_refuses(*state, (struct sb_path){"file\0x", 6}, EINVAL);
    every_act_refuses(*state, (struct sb_path){"", 0}, ENOENT);
    every_act_refuses(*state, (struct sb_path){big, sizeof big}, ENAMETOOLONG);
}

/* ---- links and special files ---- */

static void a_link_is_found_itself_and_not_followed(void **state) {
    struct fixture *f = *state;
    char target[64];
    size_t n;
    host_link(f, "../secret", "in/up");
    struct sb_file *link = find(f->dir, "up");
    assert_int_equal(sb_file_type(link), SB_TYPE_SYMLINK);
    assert_int_equal(sb_node_readlink(link, target, sizeof target, &n), 0);
    assert_int_equal(n, 9);
    assert_memory_equal(target, "../secret", 9);
    assert_int_equal(try_open_node(link, SB_OPEN_READ), ELOOP);
    assert_int_equal(try_open_node(link, SB_OPEN_WRITE | SB_OPEN_TRUNCATE), ELOOP);
    assert_int_equal(sb_node_set_mode(link, 0777), EOPNOTSUPP);
    /* Nothing is found through it either. */
    host_link(f, "../outside", "in/out");
    struct sb_file *dir = find(f->dir, "out");
    assert_int_equal(try_find(dir, path_of("treasure")), ENOTDIR);
    sb_file_unref(dir);
    sb_file_unref(link);
    outside_is_untouched(f);
}

static void changes_of_a_link_change_the_link(void **state) {
    struct fixture *f = *state;
    struct stat before, after;
    struct timespec times[2] = {{7, 0}, {8, 0}};
    host_link(f, "../secret", "in/up");
    assert_int_equal(lstat(host_path(f, "secret"), &before), 0);
    struct sb_file *link = find(f->dir, "up");
    assert_int_equal(sb_node_set_times(link, times), 0);
    assert_int_equal(sb_node_set_owner(link, getuid(), getgid()), 0);
    sb_node_set_xattr(link, path_of("user.x"), "1", 1, 0);
    assert_int_equal(sb_node_link(link, f->dir, path_of("again")), 0);
    sb_file_unref(link);
    assert_int_equal(lstat(host_path(f, "secret"), &after), 0);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    assert_int_equal(after.st_nlink, 1);
    assert_int_equal(lstat(host_path(f, "in/again"), &after), 0);
    assert_true(S_ISLNK(after.st_mode));
    assert_int_equal(after.st_mtim.tv_sec, 8);
}

static void only_files_and_directories_are_opened(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkfifo(host_path(f, "in/fifo"), 0600), 0);
    struct sb_file *fifo = find(f->dir, "fifo"), *sub = find(f->dir, "sub"), *file = find(f->dir, "file");
    assert_int_equal(try_open_node(fifo, SB_OPEN_READ), ENXIO);
    assert_int_equal(try_open_node(fifo, SB_OPEN_WRITE), ENXIO);
    assert_int_equal(try_open_node(sub, SB_OPEN_READ), 0);
    assert_int_equal(try_open_node(sub, SB_OPEN_READ | SB_OPEN_WRITE), EISDIR);
    assert_int_equal(try_open_node(file, SB_OPEN_READ | SB_OPEN_DIRECTORY), ENOTDIR);
    assert_int_equal(try_open_node(file, SB_OPEN_READ | SB_OPEN_WRITE), 0);
    /* A name taken by a FIFO is not opened by creating either. */
    struct sb_file *node, *opened;
    struct stat st;
    assert_int_equal(sb_node_create(f->dir, path_of("fifo"), &plain, SB_OPEN_READ, &node, &st, &opened),
                     ENXIO);
    sb_file_unref(fifo), sb_file_unref(sub), sb_file_unref(file);
}

static void devices_are_not_made(void **state) {
    struct fixture *f = *state;
    struct sb_file *node;
    struct stat st;
    struct sb_new as = plain;
    as.mode = S_IFCHR | 0666;
    assert_int_equal(sb_node_mknod(f->dir, path_of("null"), &as, makedev(1, 3), &node, &st), EPERM);
    as.mode = S_IFBLK | 0666;
    assert_int_equal(sb_node_mknod(f->dir, path_of("disk"), &as, 0, &node, &st), EPERM);
    as.mode = S_IFDIR | 0777;
    assert_int_equal(sb_node_mknod(f->dir, path_of("dir"), &as, 0, &node, &st), EINVAL);
    as.mode = S_IFIFO | 0622;
    assert_int_equal(sb_node_mknod(f->dir, path_of("pipe"), &as, 0, &node, &st), 0);
    assert_int_equal(st.st_mode, S_IFIFO | 0622);
    sb_file_unref(node);
    assert_false(host_has(f, "in/null") || host_has(f, "in/disk") || host_has(f, "in/dir"));
}

/* ---- handles ---- */

static void no_node_is_of_a_proc_file_system(void **state) {
    struct fixture *f = *state;
    struct sb_file *node;
    struct stat st;
    if (access("/proc/self/mem", F_OK)) skip();
    assert_int_equal(sb_grant_dir(f->sb, "/", "/", false, NULL), ATOLL_OK);
    struct sb_file *root = sb_grant_at(f->sb, 2)->file;
    assert_int_equal(sb_node_lookup(root, path_of("proc"), &node, &st), EPERM);
    assert_int_equal(sb_node_lookup(root, path_of("etc"), &node, &st), 0);
    sb_file_unref(node);
}

static void a_handle_stays_with_its_file(void **state) {
    struct fixture *f = *state;
    struct sb_file *node = find(f->dir, "file"), *file;
    assert_int_equal(rename(host_path(f, "in/file"), host_path(f, "in/moved")), 0);
    host_link(f, "../secret", "in/file");
    assert_int_equal(sb_node_open(node, SB_OPEN_READ, &file), 0);
    reads(file, 0, "hello");
    sb_file_unref(file);
    sb_file_unref(node);
}

static void handles_count_as_open_files(void **state) {
    struct fixture *f = fixture_new((struct sb_config){.max_fds = 3});
    (void)state;
    struct sb_file *one = find(f->dir, "file"), *node, *file;
    struct stat st;
    assert_int_equal(try_find(f->dir, path_of("sub")), EMFILE);
    assert_int_equal(try_open_node(one, SB_OPEN_READ), EMFILE);
    assert_int_equal(sb_node_mkdir(f->dir, path_of("new"), &plain, &node, &st), EMFILE);
    assert_int_equal(sb_node_create(f->dir, path_of("new"), &plain, SB_OPEN_WRITE, &node, &st, &file),
                     EMFILE);
    assert_false(host_has(f, "in/new"));
    sb_file_unref(one);
    fixture_free(f);
}

/* ---- making ---- */

static void what_is_made_has_the_mode_asked_for(void **state) {
    struct fixture *f = *state;
    struct sb_file *node, *file;
    struct stat st;
    struct sb_new as = plain;
    mode_t old = umask(077);
    as.mode = 01777;
    assert_int_equal(sb_node_mkdir(f->dir, path_of("d"), &as, &node, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 01777);
    sb_file_unref(node);
    as.mode = 0466;
    assert_int_equal(sb_node_create(f->dir, path_of("c"), &as, SB_OPEN_WRITE, &node, &st, &file), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0466);
    uint64_t n;
    assert_int_equal(write_text(file, "made", &n), 0);
    sb_file_unref(node), sb_file_unref(file);
    umask(old);
    host_holds(f, "in/c", "made");
    assert_int_equal(
        sb_node_create(f->dir, path_of("c"), &as, SB_OPEN_WRITE | SB_OPEN_EXCLUSIVE, &node, &st, &file),
        EEXIST);
    assert_int_equal(
        sb_node_create(f->dir, path_of("c"), &as, SB_OPEN_WRITE | SB_OPEN_TRUNCATE, &node, &st, &file), 0);
    assert_int_equal(st.st_size, 0);
    sb_file_unref(node), sb_file_unref(file);
}

static void set_id_bits_never_come(void **state) {
    struct fixture *f = *state;
    struct sb_file *node, *file = find(f->dir, "file"), *opened;
    struct stat st;
    struct sb_new as = {.mode = 04755, .uid = SB_KEEP_ID, .gid = SB_KEEP_ID};
    assert_int_equal(sb_node_create(f->dir, path_of("x"), &as, SB_OPEN_WRITE, &node, &st, &opened), EPERM);
    assert_int_equal(sb_node_mknod(f->dir, path_of("x"), &as, 0, &node, &st), EPERM);
    assert_int_equal(sb_node_mkdir(f->dir, path_of("x"), &as, &node, &st), EPERM);
    assert_false(host_has(f, "in/x"));
    assert_int_equal(sb_node_set_mode(file, 04755), EPERM);
    assert_int_equal(sb_node_set_mode(file, 02755), EPERM);
    assert_int_equal(sb_node_set_mode(file, 0751), 0);
    assert_int_equal(chmod(host_path(f, "in/file"), 06755), 0);
    assert_int_equal(sb_node_set_mode(file, 06711), 0); /* was there */
    assert_int_equal(sb_node_set_mode(file, 0711), 0);
    assert_int_equal(sb_node_set_mode(file, 04711), EPERM);
    as.mode = 02775;
    assert_int_equal(sb_node_mkdir(f->dir, path_of("shared"), &as, &node, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 02775);
    sb_file_unref(node);
    sb_file_unref(file);
}

static void links_may_say_anything(void **state) {
    struct fixture *f = *state;
    struct sb_file *node;
    struct stat st;
    static char big[PATH_MAX];
    memset(big, 'a', sizeof big);
    assert_int_equal(sb_node_symlink(path_of("/etc/passwd"), f->dir, path_of("abs"), &plain, &node, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(try_open_node(node, SB_OPEN_READ), ELOOP);
    sb_file_unref(node);
    assert_int_equal(sb_node_symlink(path_of(""), f->dir, path_of("none"), &plain, &node, &st), ENOENT);
    assert_int_equal(
        sb_node_symlink((struct sb_path){big, sizeof big}, f->dir, path_of("none"), &plain, &node, &st),
        ENAMETOOLONG);
    assert_int_equal(
        sb_node_symlink((struct sb_path){"a\0b", 3}, f->dir, path_of("none"), &plain, &node, &st), EINVAL);
    assert_false(host_has(f, "in/none"));
    /* What WASI opens later is still checked. */
    assert_int_equal(try_open(f->dir, "abs", SB_OPEN_READ), EPERM);
}

/* ---- moving, copying, attributes ---- */

static void renames_keep_to_their_flags(void **state) {
    struct fixture *f = *state;
    struct sb_file *sub = find(f->dir, "sub");
    assert_int_equal(sb_node_rename(f->dir, path_of("file"), sub, path_of("inner"), RENAME_NOREPLACE),
                     EEXIST);
    assert_int_equal(sb_node_rename(f->dir, path_of("file"), sub, path_of("inner"), RENAME_WHITEOUT), EINVAL);
    assert_int_equal(sb_node_rename(f->dir, path_of("file"), sub, path_of("inner"), RENAME_EXCHANGE), 0);
    host_holds(f, "in/file", "inner");
    host_holds(f, "in/sub/inner", "hello");
    assert_int_equal(sb_node_rename(f->dir, path_of("file"), sub, path_of("inner"), 0), 0);
    host_holds(f, "in/sub/inner", "inner");
    assert_int_equal(sb_node_unlink(f->dir, path_of("sub")), EISDIR);
    assert_int_equal(sb_node_unlink(sub, path_of("inner")), 0);
    assert_int_equal(sb_node_rmdir(f->dir, path_of("sub")), 0);
    sb_file_unref(sub);
}

static void copies_stay_between_open_files(void **state) {
    struct fixture *f = *state;
    struct sb_file *from = must_open(f->dir, "file", SB_OPEN_READ);
    struct sb_file *to = must_open(f->dir, "copy", SB_OPEN_READ | SB_OPEN_WRITE | SB_OPEN_CREATE);
    uint64_t n;
    assert_int_equal(sb_file_copy(from, 1, to, 0, 100, &n), 0);
    assert_int_equal(n, 4);
    reads(to, 0, "ello");
    assert_int_equal(sb_file_copy(to, 0, from, 0, 1, &n), EBADF);
    assert_int_equal(sb_file_copy(from, UINT64_MAX, to, 0, 1, &n), EINVAL);
    struct sb_file *locked = must_open(f->readonly, "file", SB_OPEN_READ);
    assert_int_equal(sb_file_copy(from, 0, locked, 0, 1, &n), EROFS);
    assert_int_equal(sb_file_copy(locked, 0, to, 0, 5, &n), 0);
    reads(to, 0, "hello");
    sb_file_unref(locked), sb_file_unref(from), sb_file_unref(to);
}

static void only_user_attributes_are_the_guests(void **state) {
    struct fixture *f = *state;
    struct sb_file *node = find(f->dir, "file");
    char buffer[64];
    size_t n;
    assert_int_equal(sb_node_get_xattr(node, path_of("trusted.overlay.opaque"), buffer, 64, &n), EOPNOTSUPP);
    assert_int_equal(sb_node_get_xattr(node, path_of("system.posix_acl_access"), buffer, 64, &n), EOPNOTSUPP);
    assert_int_equal(sb_node_set_xattr(node, path_of("security.capability"), "x", 1, 0), EPERM);
    assert_int_equal(sb_node_set_xattr(node, path_of("security.selinux"), "x", 1, 0), EOPNOTSUPP);
    assert_int_equal(sb_node_remove_xattr(node, path_of("security.capability")), EPERM);
    assert_int_equal(sb_node_get_xattr(node, (struct sb_path){"user.a\0b", 8}, buffer, 64, &n), EINVAL);
    assert_int_equal(sb_node_get_xattr(node, path_of("user."), buffer, 64, &n), EOPNOTSUPP);
    int error = sb_node_set_xattr(node, path_of("user.note"), "text", 4, XATTR_CREATE);
    if (error == EOPNOTSUPP) print_message("this file system has no attributes\n");
    if (!error) {
        assert_int_equal(sb_node_get_xattr(node, path_of("user.note"), NULL, 0, &n), 0);
        assert_int_equal(n, 4);
        assert_int_equal(sb_node_get_xattr(node, path_of("user.note"), buffer, 3, &n), ERANGE);
        assert_int_equal(sb_node_list_xattr(node, NULL, 0, &n), 0);
        assert_int_equal(n, 10);
        assert_int_equal(sb_node_list_xattr(node, buffer, 9, &n), ERANGE);
        assert_int_equal(sb_node_list_xattr(node, buffer, 10, &n), 0);
        assert_string_equal(buffer, "user.note");
        assert_int_equal(sb_node_set_xattr(node, path_of("user.note"), "t", 1, XATTR_CREATE), EEXIST);
        assert_int_equal(sb_node_remove_xattr(node, path_of("user.note")), 0);
        assert_int_equal(sb_node_get_xattr(node, path_of("user.note"), buffer, 64, &n), ENODATA);
    }
    sb_file_unref(node);
}

static void nothing_changes_below_a_readonly_grant(void **state) {
    struct fixture *f = *state;
    struct sb_file *node = find(f->readonly, "file"), *made, *file, *own = find(f->dir, "file");
    struct stat st;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    struct sb_path name = path_of("fresh"), there = path_of("file");
    assert_int_equal(try_open_node(node, SB_OPEN_READ), 0);
    assert_int_equal(try_open_node(node, SB_OPEN_WRITE), EROFS);
    assert_int_equal(try_open_node(node, SB_OPEN_READ | SB_OPEN_TRUNCATE), EROFS);
    assert_int_equal(sb_node_mkdir(f->readonly, name, &plain, &made, &st), EROFS);
    assert_int_equal(sb_node_mknod(f->readonly, name, &plain, 0, &made, &st), EROFS);
    assert_int_equal(sb_node_symlink(there, f->readonly, name, &plain, &made, &st), EROFS);
    assert_int_equal(sb_node_create(f->readonly, there, &plain, SB_OPEN_READ, &made, &st, &file), EROFS);
    assert_int_equal(sb_node_link(own, f->readonly, name), EROFS);
    assert_int_equal(sb_node_link(node, f->dir, name), EROFS);
    assert_int_equal(sb_node_rename(f->readonly, there, f->dir, name, 0), EROFS);
    assert_int_equal(sb_node_rename(f->dir, there, f->readonly, name, 0), EROFS);
    assert_int_equal(sb_node_unlink(f->readonly, there), EROFS);
    assert_int_equal(sb_node_rmdir(f->readonly, path_of("sub")), EROFS);
    assert_int_equal(sb_node_set_mode(node, 0600), EROFS);
    assert_int_equal(sb_node_set_owner(node, 0, 0), EROFS);
    assert_int_equal(sb_node_set_times(node, times), EROFS);
    assert_int_equal(sb_node_set_xattr(node, path_of("user.x"), "1", 1, 0), EROFS);
    assert_int_equal(sb_node_remove_xattr(node, path_of("user.x")), EROFS);
    sb_file_unref(node), sb_file_unref(own);
    host_holds(f, "in/file", "hello");
}

/* ---- races ---- */

struct swapper {
    struct fixture *f;
    atomic_bool stop;
};

/* A name that is a file, a link out and a FIFO in turn; or what the test made there in between. */
static void *swap_for_ever(void *context) {
    struct swapper *s = context;
    for (unsigned i = 0; !s->stop; i++) {
        const char *name = host_path(s->f, "in/swap");
        unlink(name);
        if (i % 3 == 0) host_write(s->f, "in/swap", "inside");
        if (i % 3 == 1 && symlink("../secret", name)) continue;
        if (i % 3 == 2 && mkfifo(name, 0600)) continue;
    }
    return NULL;
}

static void a_name_swapped_meanwhile_leads_nowhere(void **state) {
    struct swapper s = {.f = *state};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, swap_for_ever, &s), 0);
    for (unsigned i = 0; i < 3000; i++) {
        struct sb_file *node, *file;
        struct stat st;
        char text[16];
        struct iovec iov = {text, sizeof text};
        uint64_t n;
        int error = sb_node_create(s.f->dir, path_of("swap"), &plain, SB_OPEN_READ, &node, &st, &file);
        if (error) continue;
        assert_true(S_ISREG(st.st_mode));
        assert_int_equal(sb_file_read(file, &iov, 1, 0, &n), 0);
        assert_true(n == 0 || memcmp(text, "secret", 6) != 0);
        sb_file_unref(node), sb_file_unref(file);
    }
    s.stop = true;
    pthread_join(thread, NULL);
    outside_is_untouched(s.f);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(names_that_are_no_component_are_refused),
                                       T(a_link_is_found_itself_and_not_followed),
                                       T(changes_of_a_link_change_the_link),
                                       T(only_files_and_directories_are_opened),
                                       T(devices_are_not_made),
                                       T(no_node_is_of_a_proc_file_system),
                                       T(a_handle_stays_with_its_file),
                                       cmocka_unit_test(handles_count_as_open_files),
                                       T(what_is_made_has_the_mode_asked_for),
                                       T(set_id_bits_never_come),
                                       T(links_may_say_anything),
                                       T(renames_keep_to_their_flags),
                                       T(copies_stay_between_open_files),
                                       T(only_user_attributes_are_the_guests),
                                       T(nothing_changes_below_a_readonly_grant),
                                       T(a_name_swapped_meanwhile_leads_nowhere)};
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
