/* tests/sysvm/fs/fuse_test.c: the file server as a well-behaved guest uses it. */
#include <dirent.h>
#include "tests/sysvm/fs/talk.h"

static int set_up(void **state) {
    struct talk *t = malloc(sizeof *t);
    talk_init(t, false);
    *state = t;
    return 0;
}

static int tear_down(void **state) {
    talk_fini(*state);
    free(*state);
    return 0;
}

#define ROOT FUSE_ROOT_ID

/* ---- beginning ---- */

static void the_protocol_is_agreed_on(void **state) {
    struct talk *t = *state;
    struct fuse_init_in in = {.major = 7, .minor = 41, .max_readahead = 4096, .flags = FUSE_MAX_PAGES};
    struct fuse_init_out out;
    assert_int_equal(say(t, FUSE_INIT, 0, &in, sizeof in, NULL), 0);
    memcpy(&out, t->answer, sizeof out);
    assert_int_equal(out.major, 7);
    assert_int_equal(out.minor, 31);
    assert_int_equal(out.flags, FUSE_MAX_PAGES); /* nothing that was not offered */
    assert_int_equal(out.max_readahead, 4096);
    assert_int_equal(out.max_write, out.max_pages * 4096U);
    in.minor = 30;
    assert_int_equal(say(t, FUSE_INIT, 0, &in, sizeof in, NULL), EPROTO);
    in.major = 8;
    assert_int_equal(say(t, FUSE_INIT, 0, &in, sizeof in, NULL), EPROTO);
}

static void a_new_mount_starts_with_nothing(void **state) {
    struct talk *t = *state;
    uint64_t file = look_up(t, ROOT, "file");
    open_with(t, FUSE_OPEN, file, O_RDONLY);
    assert_int_equal(say(t, FUSE_DESTROY, 0, NULL, 0, NULL), 0);
    assert_int_equal(fuse_session_nodes(t->session), 0);
    assert_int_equal(fuse_session_handles(t->session), 0);
    assert_int_equal(say(t, FUSE_LOOKUP, ROOT, NULL, 0, "file"), EIO); /* before INIT */
    talk_start(t);
    assert_int_equal(try_open_with(t, file, O_RDONLY), ESTALE);
    look_up(t, ROOT, "file");
}

/* ---- names ---- */

static void names_are_found_and_forgotten(void **state) {
    struct talk *t = *state;
    uint64_t sub = look_up(t, ROOT, "sub"), inner = look_up(t, sub, "inner");
    assert_int_equal(fuse_session_nodes(t->session), 2);
    assert_int_equal(look_up(t, sub, "inner"), inner); /* one file, one number */
    assert_int_equal(fuse_session_nodes(t->session), 2);
    assert_true(S_ISREG(attr_of(t, inner).mode));
    forget(t, inner, 1);
    attr_of(t, inner);
    forget(t, inner, 1);
    struct fuse_getattr_in in = {0};
    assert_int_equal(say(t, FUSE_GETATTR, inner, &in, sizeof in, NULL), ESTALE);
    assert_true(look_up(t, sub, "inner") != inner); /* numbers do not come again */
    assert_false(has_name(t, ROOT, "absent"));
    assert_int_equal(entry_of(t).entry_valid, 1);
}

static void many_are_forgotten_at_once(void **state) {
    struct talk *t = *state;
    struct {
        struct fuse_batch_forget_in in;
        struct fuse_forget_one ones[2];
    } batch = {.in = {.count = 2}};
    batch.ones[0] = (struct fuse_forget_one){look_up(t, ROOT, "file"), 1};
    batch.ones[1] = (struct fuse_forget_one){look_up(t, ROOT, "sub"), 1};
    say(t, FUSE_BATCH_FORGET, 0, &batch, sizeof batch, NULL);
    assert_false(t->answered);
    assert_int_equal(fuse_session_nodes(t->session), 0);
}

static void things_are_made_moved_and_removed(void **state) {
    struct talk *t = *state;
    struct fuse_mkdir_in mkdir_in = {.mode = 0750};
    struct fuse_mknod_in mknod_in = {.mode = S_IFIFO | 0600};
    assert_int_equal(say(t, FUSE_MKDIR, ROOT, &mkdir_in, sizeof mkdir_in, "d"), 0);
    uint64_t d = entry_of(t).nodeid;
    assert_int_equal(entry_of(t).attr.mode, S_IFDIR | 0750);
    assert_int_equal(say(t, FUSE_MKNOD, d, &mknod_in, sizeof mknod_in, "pipe"), 0);
    assert_int_equal(entry_of(t).attr.mode, S_IFIFO | 0600);
    assert_int_equal(say_all(t, FUSE_SYMLINK, d, NULL, 0, "link", "/etc/passwd", 12), 0);
    uint64_t link = entry_of(t).nodeid;
    assert_int_equal(say(t, FUSE_READLINK, link, NULL, 0, NULL), 0);
    assert_int_equal(t->n, 11);
    assert_memory_equal(t->answer, "/etc/passwd", 11);
    uint64_t file = look_up(t, ROOT, "file");
    struct fuse_link_in link_in = {.oldnodeid = file};
    assert_int_equal(say(t, FUSE_LINK, d, &link_in, sizeof link_in, "hard"), 0);
    assert_int_equal(entry_of(t).nodeid, file);
    assert_int_equal(entry_of(t).attr.nlink, 2);
    struct fuse_rename_in rename_in = {.newdir = ROOT};
    assert_int_equal(say_all(t, FUSE_RENAME, d, &rename_in, sizeof rename_in, "hard", "moved", 6), 0);
    host_holds(t->f, "in/moved", "hello");
    struct fuse_rename2_in rename2_in = {.newdir = ROOT, .flags = RENAME_NOREPLACE};
    assert_int_equal(say_all(t, FUSE_RENAME2, ROOT, &rename2_in, sizeof rename2_in, "moved", "file", 5),
                     EEXIST);
    assert_int_equal(say(t, FUSE_RMDIR, ROOT, NULL, 0, "d"), ENOTEMPTY);
    assert_int_equal(say(t, FUSE_UNLINK, d, NULL, 0, "pipe"), 0);
    assert_int_equal(say(t, FUSE_UNLINK, d, NULL, 0, "link"), 0);
    assert_int_equal(say(t, FUSE_RMDIR, ROOT, NULL, 0, "d"), 0);
    assert_false(host_has(t->f, "in/d"));
}

/* ---- bytes ---- */

static void files_are_made_written_and_read(void **state) {
    struct talk *t = *state;
    struct fuse_create_in in = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0640};
    struct fuse_open_out opened;
    assert_int_equal(say(t, FUSE_CREATE, ROOT, &in, sizeof in, "made"), 0);
    assert_int_equal(t->n, sizeof(struct fuse_entry_out) + sizeof opened);
    uint64_t node = entry_of(t).nodeid;
    memcpy(&opened, t->answer + sizeof(struct fuse_entry_out), sizeof opened);
    assert_int_equal(try_write(t, node, opened.fh, 3, "text"), 0);
    assert_int_equal(try_read(t, node, opened.fh, 0, 4096), 0);
    assert_int_equal(t->n, 7);
    assert_memory_equal(t->answer, "\0\0\0text", 7);
    assert_int_equal(try_read(t, node, opened.fh, 5, 1), 0);
    assert_memory_equal(t->answer, "x", 1);
    assert_int_equal(try_read(t, node, opened.fh, 100, 10), 0);
    assert_int_equal(t->n, 0);
    struct fuse_fsync_in sync = {.fh = opened.fh};
    assert_int_equal(say(t, FUSE_FSYNC, node, &sync, sizeof sync, NULL), 0);
    assert_int_equal(release(t, node, opened.fh), 0);
    assert_int_equal(release(t, node, opened.fh), EBADF);
    assert_int_equal(fuse_session_handles(t->session), 0);
}

static void large_reads_come_whole(void **state) {
    struct talk *t = *state;
    static char big[600000];
    for (size_t i = 0; i < sizeof big - 1; i++) big[i] = (char)('a' + i % 23);
    host_write(t->f, "in/big", big);
    uint64_t node = look_up(t, ROOT, "big"), fh = open_with(t, FUSE_OPEN, node, O_RDONLY);
    assert_int_equal(try_read(t, node, fh, 0, 524288), 0);
    assert_int_equal(t->n, 524288);
    assert_memory_equal(t->answer, big, 524288);
    assert_int_equal(try_read(t, node, fh, 524288, 524288), 0);
    assert_int_equal(t->n, sizeof big - 1 - 524288);
    assert_memory_equal(t->answer, big + 524288, t->n);
}

static void what_is_removed_stays_while_it_is_held(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file"), fh = open_with(t, FUSE_OPEN, node, O_RDWR);
    assert_int_equal(say(t, FUSE_UNLINK, ROOT, NULL, 0, "file"), 0);
    assert_int_equal(attr_of(t, node).nlink, 0);
    assert_int_equal(try_write(t, node, fh, 0, "H"), 0);
    assert_int_equal(try_read(t, node, fh, 0, 10), 0);
    assert_memory_equal(t->answer, "Hello", 5);
}

static void appending_goes_to_the_end(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file"), fh = open_with(t, FUSE_OPEN, node, O_WRONLY | O_APPEND);
    host_write(t->f, "in/file", "hello, host"); /* longer than the guest knows */
    assert_int_equal(try_write(t, node, fh, 5, "!"), 0);
    host_holds(t->f, "in/file", "hello, host!");
}

static void space_is_reserved_searched_and_copied(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file"), fh = open_with(t, FUSE_OPEN, node, O_RDWR);
    struct fuse_fallocate_in reserve = {.fh = fh, .length = 100};
    int error = say(t, FUSE_FALLOCATE, node, &reserve, sizeof reserve, NULL);
    assert_true(error == 0 || error == EOPNOTSUPP); /* not every file system can */
    if (!error) assert_int_equal(attr_of(t, node).size, 100);
    reserve.mode = 0x40;
    assert_int_equal(say(t, FUSE_FALLOCATE, node, &reserve, sizeof reserve, NULL), EOPNOTSUPP);
    struct fuse_lseek_in seek = {.fh = fh, .offset = 0, .whence = SEEK_HOLE};
    assert_int_equal(say(t, FUSE_LSEEK, node, &seek, sizeof seek, NULL), 0);
    struct fuse_copy_file_range_in copy = {.fh_in = fh, .fh_out = fh, .off_out = 200, .len = 5};
    assert_int_equal(say(t, FUSE_COPY_FILE_RANGE, node, &copy, sizeof copy, NULL), 0);
    assert_int_equal(try_read(t, node, fh, 200, 10), 0);
    assert_memory_equal(t->answer, "hello", 5);
    struct fuse_syncfs_in sync = {0};
    assert_int_equal(say(t, FUSE_SYNCFS, ROOT, &sync, sizeof sync, NULL), 0);
}

/* ---- caching ---- */

static bool opens_with_cache(struct talk *t, uint64_t node) {
    struct fuse_open_out out;
    uint64_t fh = open_with(t, FUSE_OPEN, node, O_RDONLY);
    memcpy(&out, t->answer, sizeof out);
    assert_int_equal(release(t, node, fh), 0);
    return out.open_flags & FOPEN_KEEP_CACHE;
}

static void a_cache_is_kept_until_the_file_changes(void **state) {
    struct talk *t = *state;
    struct timespec now, pause = {.tv_nsec = 100000000};
    struct stat st;
    uint64_t node = look_up(t, ROOT, "file");
    assert_false(opens_with_cache(t, node));
    do { /* what changed a moment ago may change again under the same time stamp */
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_REALTIME, &now);
        assert_int_equal(stat(host_path(t->f, "in/file"), &st), 0);
    } while (now.tv_sec - st.st_ctim.tv_sec < 3);
    assert_false(opens_with_cache(t, node)); /* the one before came too early to be believed */
    assert_true(opens_with_cache(t, node));
    host_write(t->f, "in/file", "other");
    assert_false(opens_with_cache(t, node));
    assert_false(opens_with_cache(t, node));
}

/* ---- attributes ---- */

static int set(struct talk *t, uint64_t node, struct fuse_setattr_in in) {
    return say(t, FUSE_SETATTR, node, &in, sizeof in, NULL);
}

static void attributes_are_changed(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file");
    assert_int_equal(set(t, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = S_IFREG | 0604}), 0);
    assert_int_equal(set(t, node, (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 4}), 0);
    assert_int_equal(
        set(t, node, (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtime = 1000, .mtimensec = 5}), 0);
    struct fuse_attr attr = attr_of(t, node);
    assert_int_equal(attr.mode, S_IFREG | 0604);
    assert_int_equal(attr.size, 4);
    assert_int_equal(attr.mtime, 1000);
    assert_int_equal(attr.mtimensec, 5);
    host_holds(t->f, "in/file", "hell");
    uint64_t fh = open_with(t, FUSE_OPEN, node, O_WRONLY);
    assert_int_equal(
        set(t, node, (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 1}), 0);
    host_holds(t->f, "in/file", "h");
    assert_int_equal(set(t, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 04755}), EPERM);
    assert_int_equal(set(t, node, (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtimensec = 1000000000}),
                     EINVAL);
    assert_int_equal(set(t, node, (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .fh = fh + 1}),
                     EBADF);
}

static void owners_are_mapped(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file");
    assert_int_equal(attr_of(t, node).uid, 0); /* the host user's */
    assert_int_equal(attr_of(t, node).gid, 0);
    assert_int_equal(set(t, node, (struct fuse_setattr_in){.valid = FATTR_UID | FATTR_GID}), 0);
    t->uid = t->gid = 1234; /* whoever makes it */
    struct fuse_mkdir_in in = {.mode = 0700};
    assert_int_equal(say(t, FUSE_MKDIR, ROOT, &in, sizeof in, "d"), 0);
    assert_int_equal(entry_of(t).attr.uid, 0);
}

static void owners_pass_where_the_host_user_may(void **state) {
    (void)state;
    if (geteuid() != 0) skip();
    struct talk t;
    talk_init_config(&t, (struct sb_config){0}, (struct fuse_config){0}, false);
    struct fuse_mkdir_in in = {.mode = 02775};
    t.uid = 1234, t.gid = 5678;
    assert_int_equal(say(&t, FUSE_MKDIR, ROOT, &in, sizeof in, "d"), 0);
    uint64_t d = entry_of(&t).nodeid;
    assert_int_equal(entry_of(&t).attr.uid, 1234);
    assert_int_equal(entry_of(&t).attr.gid, 5678);
    assert_int_equal(entry_of(&t).attr.mode, S_IFDIR | 02775);
    t.gid = 99; /* the directory's group goes on to what is made in it */
    in.mode = 0700;
    assert_int_equal(say(&t, FUSE_MKDIR, d, &in, sizeof in, "e"), 0);
    assert_int_equal(entry_of(&t).attr.gid, 5678);
    assert_int_equal(entry_of(&t).attr.mode, S_IFDIR | 02700);
    assert_int_equal(set(&t, d, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 1}), 0);
    assert_int_equal(attr_of(&t, d).uid, 1);
    talk_fini(&t);
}

static void extended_attributes_come_and_go(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file");
    struct fuse_setxattr_in in = {.size = 5};
    struct fuse_getxattr_in get = {.size = 100};
    struct fuse_getxattr_out size;
    int error = say_all(t, FUSE_SETXATTR, node, &in, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.note", "value", 5);
    if (error == EOPNOTSUPP) skip(); /* not every file system can */
    assert_int_equal(error, 0);
    assert_int_equal(say(t, FUSE_GETXATTR, node, &get, sizeof get, "user.note"), 0);
    assert_int_equal(t->n, 5);
    assert_memory_equal(t->answer, "value", 5);
    assert_int_equal(say(t, FUSE_LISTXATTR, node, &get, sizeof get, NULL), 0);
    assert_int_equal(t->n, 10);
    assert_memory_equal(t->answer, "user.note", 10);
    get.size = 0;
    assert_int_equal(say(t, FUSE_GETXATTR, node, &get, sizeof get, "user.note"), 0);
    memcpy(&size, t->answer, sizeof size);
    assert_int_equal(size.size, 5);
    assert_int_equal(say(t, FUSE_REMOVEXATTR, node, NULL, 0, "user.note"), 0);
    assert_int_equal(say(t, FUSE_GETXATTR, node, &get, sizeof get, "user.note"), ENODATA);
    assert_int_equal(say(t, FUSE_GETXATTR, node, &get, sizeof get, "trusted.x"), EOPNOTSUPP);
}

static void the_file_system_tells_its_size(void **state) {
    struct talk *t = *state;
    struct fuse_statfs_out out;
    assert_int_equal(say(t, FUSE_STATFS, ROOT, NULL, 0, NULL), 0);
    memcpy(&out, t->answer, sizeof out);
    assert_true(out.st.bsize > 0 && out.st.blocks > 0 && out.st.namelen >= 255);
}

/* ---- directories ---- */

struct seen {
    unsigned n, n_plus;
    bool file, sub, dots;
    uint64_t last;
};

static int list_some(struct talk *t, uint32_t opcode, uint64_t fh, uint64_t offset, uint32_t size,
                     struct seen *seen) {
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    size_t before = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
    int error = say(t, opcode, ROOT, &in, sizeof in, NULL);
    for (size_t at = 0; !error && at < t->n;) {
        struct fuse_entry_out entry = {0};
        struct fuse_dirent e;
        memcpy(&entry, t->answer + at, before);
        memcpy(&e, t->answer + at + before, FUSE_NAME_OFFSET);
        const char *name = (char *)t->answer + at + before + FUSE_NAME_OFFSET;
        seen->n++;
        seen->n_plus += entry.nodeid != 0;
        seen->file |= e.namelen == 4 && !memcmp(name, "file", 4) && e.type == DT_REG;
        seen->sub |= e.namelen == 3 && !memcmp(name, "sub", 3) && e.type == DT_DIR;
        seen->dots |= e.namelen == 2 && !memcmp(name, "..", 2);
        seen->last = e.off;
        at += FUSE_REC_ALIGN(before + FUSE_NAME_OFFSET + e.namelen);
    }
    return error;
}

static void directories_are_listed(void **state) {
    struct talk *t = *state;
    uint64_t fh = open_with(t, FUSE_OPENDIR, ROOT, 0);
    struct seen seen = {0}, plus = {0}, small = {0};
    assert_int_equal(list_some(t, FUSE_READDIR, fh, 0, 4096, &seen), 0);
    assert_true(seen.n == 4 && seen.file && seen.sub && seen.dots);
    assert_int_equal(list_some(t, FUSE_READDIR, fh, seen.last, 4096, &seen), 0);
    assert_int_equal(seen.n, 4); /* the end */
    assert_int_equal(list_some(t, FUSE_READDIRPLUS, fh, 0, 4096, &plus), 0);
    assert_true(plus.n == 4 && plus.n_plus == 2 && plus.file && plus.sub);
    assert_int_equal(fuse_session_nodes(t->session), 2);
    /* entry by entry */
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(list_some(t, FUSE_READDIR, fh, small.last, 32, &small), 0);
    assert_true(small.n == 4 && small.file && small.sub);
    assert_int_equal(list_some(t, FUSE_READDIR, fh, 0, 8, &small), EINVAL);
    assert_int_equal(try_read(t, ROOT, fh, 0, 10), EISDIR);
    assert_int_equal(release(t, ROOT, fh), 0);
}

static void a_table_that_fills_leaves_lookups_to_the_guest(void **state) {
    (void)state;
    struct talk t;
    talk_init_config(&t, (struct sb_config){0}, (struct fuse_config){.max_nodes = 2}, false);
    uint64_t fh = open_with(&t, FUSE_OPENDIR, ROOT, 0);
    struct seen plus = {0};
    assert_int_equal(list_some(&t, FUSE_READDIRPLUS, fh, 0, 4096, &plus), 0);
    assert_true(plus.n == 4 && plus.n_plus == 1);
    uint64_t sub = look_up(&t, ROOT, "sub");
    look_up(&t, ROOT, "file");
    assert_int_equal(say(&t, FUSE_LOOKUP, sub, NULL, 0, "inner"), ENFILE);
    forget(&t, look_up(&t, ROOT, "file"), 9);
    look_up(&t, sub, "inner");
    talk_fini(&t);
}

/* ---- read-only ---- */

static void nothing_changes_through_a_readonly_grant(void **state) {
    (void)state;
    struct talk t;
    talk_init(&t, true);
    struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = 0600};
    struct fuse_mkdir_in dir = {.mode = 0700};
    struct fuse_rename_in move = {.newdir = ROOT};
    uint64_t node = look_up(&t, ROOT, "file"), fh = open_with(&t, FUSE_OPEN, node, O_RDONLY);
    struct fuse_link_in link = {.oldnodeid = node};
    struct fuse_fallocate_in reserve = {.fh = fh, .length = 100};
    assert_int_equal(try_read(&t, node, fh, 0, 100), 0);
    assert_memory_equal(t.answer, "hello", 5);
    assert_int_equal(try_open_with(&t, node, O_WRONLY), EROFS);
    assert_int_equal(try_open_with(&t, node, O_RDONLY | O_TRUNC), EROFS);
    assert_int_equal(try_write(&t, node, fh, 0, "x"), EROFS);
    assert_int_equal(say(&t, FUSE_FALLOCATE, node, &reserve, sizeof reserve, NULL), EROFS);
    assert_int_equal(say(&t, FUSE_CREATE, ROOT, &create, sizeof create, "file"), EROFS);
    assert_int_equal(say(&t, FUSE_MKDIR, ROOT, &dir, sizeof dir, "d"), EROFS);
    assert_int_equal(say_all(&t, FUSE_SYMLINK, ROOT, NULL, 0, "l", "file", 5), EROFS);
    assert_int_equal(say_all(&t, FUSE_RENAME, ROOT, &move, sizeof move, "file", "f", 2), EROFS);
    assert_int_equal(say(&t, FUSE_LINK, ROOT, &link, sizeof link, "f"), EROFS);
    assert_int_equal(say(&t, FUSE_UNLINK, ROOT, NULL, 0, "file"), EROFS);
    assert_int_equal(say(&t, FUSE_RMDIR, ROOT, NULL, 0, "sub"), EROFS);
    assert_int_equal(set(&t, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0}), EROFS);
    assert_int_equal(set(&t, node, (struct fuse_setattr_in){.valid = FATTR_SIZE}), EROFS);
    assert_int_equal(set(&t, node, (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .fh = fh}),
                     EROFS);
    assert_int_equal(set(&t, node, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 5}), EROFS);
    assert_int_equal(set(&t, node, (struct fuse_setattr_in){.valid = FATTR_MTIME | FATTR_MTIME_NOW}), EROFS);
    host_holds(t.f, "in/file", "hello");
    talk_fini(&t);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(the_protocol_is_agreed_on),
                                       T(a_new_mount_starts_with_nothing),
                                       T(names_are_found_and_forgotten),
                                       T(many_are_forgotten_at_once),
                                       T(things_are_made_moved_and_removed),
                                       T(files_are_made_written_and_read),
                                       T(large_reads_come_whole),
                                       T(what_is_removed_stays_while_it_is_held),
                                       T(appending_goes_to_the_end),
                                       T(space_is_reserved_searched_and_copied),
                                       T(a_cache_is_kept_until_the_file_changes),
                                       T(attributes_are_changed),
                                       T(owners_are_mapped),
                                       cmocka_unit_test(owners_pass_where_the_host_user_may),
                                       T(extended_attributes_come_and_go),
                                       T(the_file_system_tells_its_size),
                                       T(directories_are_listed),
                                       cmocka_unit_test(a_table_that_fills_leaves_lookups_to_the_guest),
                                       cmocka_unit_test(nothing_changes_through_a_readonly_grant)};
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
