/* tests/sysvm/fs/fuse_hostile_test.c: a guest that lies: messages cut anywhere, numbers that were never given, names
 * that are ways out, sizes that wrap, tables filled to the brim; and a host that changes the directory meanwhile. */
#include <pthread.h>
#include "tests/sysvm/fs/talk.h"

#define ROOT FUSE_ROOT_ID

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

static void outside_is_untouched(const struct fixture *f) {
    host_holds(f, "secret", "secret");
    host_holds(f, "outside/treasure", "treasure");
    assert_false(host_has(f, "new") || host_has(f, "outside/new"));
}

/* ---- messages ---- */

/* What succeeds (or is silent) with arguments that are all ones, or none. */
static bool needs_no_sense(uint32_t opcode) {
    static const uint32_t list[] = {FUSE_FORGET,  FUSE_BATCH_FORGET, FUSE_INTERRUPT, FUSE_GETATTR,
                                    FUSE_OPENDIR, FUSE_STATFS,       FUSE_SYNCFS,    FUSE_LISTXATTR};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i] == opcode) return true;
    return false;
}

static void messages_cut_anywhere_do_nothing(void **state) {
    struct talk *t = *state;
    uint8_t message[512];
    t->room = 200;
    for (uint32_t opcode = 0; opcode < 60; opcode++) {
        if (opcode == FUSE_INIT || opcode == FUSE_DESTROY) continue;
        for (size_t size = 0; size < 200; size++) {
            struct fuse_in_header header = {.len = 4000, .opcode = opcode, .unique = 1, .nodeid = ROOT};
            memset(message, 0xFF, sizeof message); /* no NUL: no name ends */
            memcpy(message, &header, sizeof header);
            int error = say_bytes(t, message, size);
            assert_true(error || size < sizeof header || needs_no_sense(opcode));
        }
    }
    host_holds(t->f, "in/file", "hello");
    outside_is_untouched(t->f);
}

static void unknown_opcodes_are_refused(void **state) {
    static const uint32_t opcodes[] = {0, 7, 19, 48, 49, 51, 52, 4096, 1048576, UINT32_MAX};
    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++)
        assert_int_equal(say(*state, opcodes[i], ROOT, NULL, 0, "x"), ENOSYS);
}

/* What cannot be told is not done: no node is counted, no file made. */
static void answers_without_room_are_not_begun(void **state) {
    struct talk *t = *state;
    struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = 0600};
    struct fuse_mkdir_in dir = {.mode = 0700};
    struct fuse_open_in open_in = {0};
    uint64_t node = look_up(t, ROOT, "file"), fh = open_with(t, FUSE_OPEN, node, O_RDONLY);
    for (t->room = 0; t->room < sizeof(struct fuse_open_out); t->room++) {
        assert_int_equal(say(t, FUSE_LOOKUP, ROOT, NULL, 0, "sub"), EINVAL);
        assert_int_equal(say(t, FUSE_CREATE, ROOT, &create, sizeof create, "new"), EINVAL);
        assert_int_equal(say(t, FUSE_MKDIR, ROOT, &dir, sizeof dir, "newdir"), EINVAL);
        assert_int_equal(say(t, FUSE_OPEN, node, &open_in, sizeof open_in, NULL), EINVAL);
        assert_int_equal(try_read(t, node, fh, 0, 100), 0); /* as much as fits */
        assert_int_equal(t->n, t->room < 5 ? t->room : 5);
    }
    assert_int_equal(fuse_session_nodes(t->session), 1);
    assert_int_equal(fuse_session_handles(t->session), 1);
    assert_false(host_has(t->f, "in/new") || host_has(t->f, "in/newdir"));
    /* No room for the header either. */
    uint8_t message[64] = {0}, answer[15];
    struct fuse_in_header header = {.len = 40, .opcode = FUSE_GETATTR, .nodeid = ROOT};
    memcpy(message, &header, sizeof header);
    struct iovec out = {message, sizeof message}, in = {answer, sizeof answer};
    assert_int_equal(fuse_serve(t->session, t->scratch, &out, 1, &in, 1), 0);
    assert_int_equal(fuse_serve(t->session, t->scratch, &out, 1, NULL, 0), 0);
    assert_int_equal(fuse_serve(t->session, t->scratch, NULL, 0, &in, 1), 0);
}

static void sizes_that_lie_are_refused(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file"), fh = open_with(t, FUSE_OPEN, node, O_RDWR);
    struct fuse_write_in write_in = {.fh = fh, .size = 6};
    struct fuse_setxattr_in xattr = {.size = UINT32_MAX};
    struct fuse_getxattr_in get = {.size = UINT32_MAX};
    assert_int_equal(say_all(t, FUSE_WRITE, node, &write_in, sizeof write_in, NULL, "hello", 5), EINVAL);
    write_in.size = UINT32_MAX;
    assert_int_equal(say_all(t, FUSE_WRITE, node, &write_in, sizeof write_in, NULL, "hello", 5), EINVAL);
    write_in = (struct fuse_write_in){.fh = fh, .size = 5, .offset = UINT64_MAX};
    assert_int_equal(say_all(t, FUSE_WRITE, node, &write_in, sizeof write_in, NULL, "hello", 5), EINVAL);
    write_in.offset = INT64_MAX - 4;
    assert_int_equal(say_all(t, FUSE_WRITE, node, &write_in, sizeof write_in, NULL, "hello", 5), EINVAL);
    assert_int_equal(try_read(t, node, fh, UINT64_MAX, 10), EINVAL);
    assert_int_equal(try_read(t, node, fh, INT64_MAX, UINT32_MAX), EINVAL);
    assert_int_equal(try_read(t, node, fh, 0, UINT32_MAX), 0);
    assert_int_equal(t->n, 5);
    assert_int_equal(say_all(t, FUSE_SETXATTR, node, &xattr, 8, "user.x", "v", 1), EINVAL);
    assert_int_not_equal(say(t, FUSE_GETXATTR, node, &get, sizeof get, "user.x"), 0);
    struct fuse_setattr_in size = {.valid = FATTR_SIZE, .size = UINT64_MAX};
    assert_int_equal(say(t, FUSE_SETATTR, node, &size, sizeof size, NULL), EINVAL);
    struct fuse_batch_forget_in batch = {.count = UINT32_MAX};
    say(t, FUSE_BATCH_FORGET, 0, &batch, sizeof batch, NULL);
    host_holds(t->f, "in/file", "hello");
}

static void messages_too_long_are_refused(void **state) {
    struct talk *t = *state;
    size_t size = 200000;
    char *data = calloc(1, size);
    memset(data, 'a', size - 1);
    assert_int_equal(say_all(t, FUSE_LOOKUP, ROOT, NULL, 0, NULL, data, size), E2BIG);
    assert_int_equal(say_all(t, FUSE_LOOKUP, ROOT, NULL, 0, NULL, data + size - 5000, 5000), ENAMETOOLONG);
    free(data);
}

/* ---- numbers ---- */

static void numbers_never_given_lead_nowhere(void **state) {
    struct talk *t = *state;
    uint64_t node = look_up(t, ROOT, "file"), fh = open_with(t, FUSE_OPEN, node, O_RDWR);
    const uint64_t bad[] = {0,          3,          node + 1,  node | UINT64_C(1) << 32,
                            UINT32_MAX, UINT64_MAX, INT64_MAX, fh | UINT64_C(1) << 40};
    struct fuse_getattr_in in = {0};
    struct fuse_link_in link = {0};
    struct fuse_rename_in move = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(say(t, FUSE_GETATTR, bad[i], &in, sizeof in, NULL), ESTALE);
        assert_int_equal(say(t, FUSE_LOOKUP, bad[i], NULL, 0, "file"), ESTALE);
        assert_int_equal(try_open_with(t, bad[i], O_RDONLY), ESTALE);
        assert_int_equal(try_read(t, node, bad[i], 0, 5), EBADF);
        assert_int_equal(try_write(t, node, bad[i], 0, "x"), EBADF);
        assert_int_equal(release(t, node, bad[i]), EBADF);
        link.oldnodeid = move.newdir = bad[i];
        assert_int_equal(say(t, FUSE_LINK, ROOT, &link, sizeof link, "x"), ESTALE);
        assert_int_equal(say_all(t, FUSE_RENAME, ROOT, &move, sizeof move, "file", "x", 2), ESTALE);
        forget(t, bad[i], UINT64_MAX);
    }
    forget(t, ROOT, UINT64_MAX); /* stays */
    attr_of(t, ROOT);
    forget(t, node, UINT64_MAX);
    assert_int_equal(fuse_session_nodes(t->session), 0);
    assert_int_equal(try_read(t, node, fh, 0, 5), 0); /* a handle lives on */
    assert_memory_equal(t->answer, "hello", 5);
}

static void kinds_of_numbers_are_not_mixed(void **state) {
    struct talk *t = *state;
    uint64_t file = look_up(t, ROOT, "file"), sub = look_up(t, ROOT, "sub");
    uint64_t dir_fh = open_with(t, FUSE_OPENDIR, sub, 0), file_fh = open_with(t, FUSE_OPEN, file, O_RDWR);
    struct fuse_read_in in = {.fh = file_fh, .size = 4096};
    struct fuse_mkdir_in dir = {.mode = 0700};
    struct fuse_lseek_in seek = {.fh = dir_fh, .whence = 4};
    assert_int_equal(say(t, FUSE_READDIR, file, &in, sizeof in, NULL), ENOTDIR);
    assert_int_equal(say(t, FUSE_READDIRPLUS, file, &in, sizeof in, NULL), ENOTDIR);
    assert_int_equal(try_read(t, sub, dir_fh, 0, 10), EISDIR);
    assert_int_equal(try_write(t, sub, dir_fh, 0, "x"), EBADF);
    assert_int_equal(say(t, FUSE_OPENDIR, file, NULL, 0, NULL), ENOTDIR);
    assert_int_equal(say(t, FUSE_MKDIR, file, &dir, sizeof dir, "new"), ENOTDIR);
    assert_int_equal(say(t, FUSE_LOOKUP, file, NULL, 0, "x"), ENOTDIR);
    assert_int_equal(say(t, FUSE_LSEEK, sub, &seek, sizeof seek, NULL), ENXIO);
    seek = (struct fuse_lseek_in){.fh = file_fh, .whence = 0};
    assert_int_equal(say(t, FUSE_LSEEK, file, &seek, sizeof seek, NULL), EINVAL);
    assert_int_equal(say(t, FUSE_READLINK, file, NULL, 0, NULL), EINVAL);
}

/* ---- ways out ---- */

static void names_that_lead_out_are_refused(void **state) {
    struct talk *t = *state;
    static const char *const bad[] = {"..",        ".",      "",          "/",      "/etc/passwd",
                                      "../secret", "sub/..", "sub/inner", "../new", "//"};
    struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = 0600};
    struct fuse_mkdir_in dir = {.mode = 0700};
    struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0600};
    struct fuse_rename_in move = {.newdir = ROOT};
    struct fuse_link_in link = {.oldnodeid = look_up(t, ROOT, "file")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *name = bad[i];
        /* An empty name is no entry: found to be absent, as any other. */
        int error = say(t, FUSE_LOOKUP, ROOT, NULL, 0, name);
        assert_true(error == EINVAL || (!*name && !error && entry_of(t).nodeid == 0));
        assert_int_not_equal(say(t, FUSE_CREATE, ROOT, &create, sizeof create, name), 0);
        assert_int_not_equal(say(t, FUSE_MKDIR, ROOT, &dir, sizeof dir, name), 0);
        assert_int_not_equal(say(t, FUSE_MKNOD, ROOT, &mknod_in, sizeof mknod_in, name), 0);
        assert_int_not_equal(say_all(t, FUSE_SYMLINK, ROOT, NULL, 0, name, "x", 2), 0);
        assert_int_not_equal(say(t, FUSE_LINK, ROOT, &link, sizeof link, name), 0);
        assert_int_not_equal(say_all(t, FUSE_RENAME, ROOT, &move, sizeof move, name, "x", 2), 0);
        assert_int_not_equal(
            say_all(t, FUSE_RENAME, ROOT, &move, sizeof move, "file", name, strlen(name) + 1), 0);
        assert_int_not_equal(say(t, FUSE_UNLINK, ROOT, NULL, 0, name), 0);
        assert_int_not_equal(say(t, FUSE_RMDIR, ROOT, NULL, 0, name), 0);
    }
    host_holds(t->f, "in/file", "hello");
    outside_is_untouched(t->f);
}

static void planted_links_are_told_and_never_followed(void **state) {
    struct talk *t = *state;
    static const char *const targets[] = {"../secret", "../outside", "/", "/proc/self/root",
                                          "/proc/self/fd/0"};
    struct fuse_create_in create = {.flags = O_RDWR | O_CREAT | O_TRUNC, .mode = 0600};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        host_link(t->f, targets[i], "in/link");
        uint64_t link = look_up(t, ROOT, "link");
        assert_true(S_ISLNK(entry_of(t).attr.mode));
        assert_int_equal(try_open_with(t, link, O_RDONLY), ELOOP);
        assert_int_equal(try_open_with(t, link, O_RDWR | O_TRUNC), ELOOP);
        assert_int_equal(say(t, FUSE_OPENDIR, link, NULL, 0, NULL), ELOOP);
        assert_int_equal(say(t, FUSE_LOOKUP, link, NULL, 0, "secret"), ENOTDIR);
        assert_int_equal(say(t, FUSE_CREATE, ROOT, &create, sizeof create, "link"), ELOOP);
        assert_int_equal(say(t, FUSE_CREATE, link, &create, sizeof create, "new"), ENOTDIR);
        struct fuse_setattr_in size = {.valid = FATTR_SIZE};
        assert_int_equal(say(t, FUSE_SETATTR, link, &size, sizeof size, NULL), ELOOP);
        assert_int_equal(say(t, FUSE_READLINK, link, NULL, 0, NULL), 0);
        assert_int_equal(t->n, strlen(targets[i]));
        forget(t, link, 1);
        assert_int_equal(unlink(host_path(t->f, "in/link")), 0);
    }
    outside_is_untouched(t->f);
}

/* A directory the guest holds goes elsewhere on the host: it sees that directory, not what is above it. */
static void a_directory_moved_away_is_no_way_up(void **state) {
    struct talk *t = *state;
    uint64_t sub = look_up(t, ROOT, "sub");
    assert_int_equal(rename(host_path(t->f, "in/sub"), host_path(t->f, "outside/sub")), 0);
    assert_int_equal(say(t, FUSE_LOOKUP, sub, NULL, 0, ".."), EINVAL);
    assert_int_equal(say(t, FUSE_LOOKUP, sub, NULL, 0, "../treasure"), EINVAL);
    struct fuse_read_in in = {.fh = open_with(t, FUSE_OPENDIR, sub, 0), .size = 4096};
    assert_int_equal(say(t, FUSE_READDIRPLUS, sub, &in, sizeof in, NULL), 0);
    assert_int_equal(fuse_session_nodes(t->session), 2); /* sub, inner: nothing for ".." */
    assert_int_equal(rename(host_path(t->f, "outside/sub"), host_path(t->f, "in/sub")), 0);
    outside_is_untouched(t->f);
}

/* ---- bounds ---- */

static void handles_are_bounded(void **state) {
    (void)state;
    struct talk t;
    talk_init_config(&t, (struct sb_config){0}, (struct fuse_config){.max_handles = 3}, false);
    uint64_t node = look_up(&t, ROOT, "file"), first = open_with(&t, FUSE_OPEN, node, O_RDONLY);
    struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = 0600};
    open_with(&t, FUSE_OPEN, node, O_RDONLY);
    open_with(&t, FUSE_OPEN, node, O_RDONLY);
    assert_int_equal(try_open_with(&t, node, O_RDONLY), ENFILE);
    assert_int_equal(say(&t, FUSE_CREATE, ROOT, &create, sizeof create, "made"), ENFILE);
    assert_int_equal(fuse_session_nodes(t.session), 1);
    assert_int_equal(release(&t, node, first), 0);
    uint64_t again = open_with(&t, FUSE_OPEN, node, O_RDONLY);
    assert_int_not_equal(again, first);
    assert_int_equal(try_read(&t, node, first, 0, 5), EBADF);
    talk_fini(&t);
}

static void the_sandbox_bounds_both(void **state) {
    (void)state;
    struct talk t;
    talk_init_config(&t, (struct sb_config){.max_fds = 4}, (struct fuse_config){0}, false);
    uint64_t node = look_up(&t, ROOT, "file");
    open_with(&t, FUSE_OPEN, node, O_RDONLY);
    assert_int_equal(try_open_with(&t, node, O_RDONLY), EMFILE);
    assert_int_equal(say(&t, FUSE_LOOKUP, ROOT, NULL, 0, "sub"), EMFILE);
    talk_fini(&t);
}

static unsigned allocations_left;

static void *failing_resize(void *context, void *p, size_t old_size, size_t new_size) {
    if (new_size > old_size && !allocations_left) return NULL;
    if (new_size > old_size) allocations_left--;
    return atoll_default_alloc.resize(context, p, old_size, new_size);
}

static void memory_that_runs_out_is_told(void **state) {
    (void)state;
    static const struct atoll_alloc alloc = {failing_resize, NULL};
    for (unsigned n = 0; n < 12; n++) {
        struct fixture *f = fixture_new((struct sb_config){0});
        struct talk t = {
            .f = f, .room = TALK_ROOM, .answer = malloc(TALK_ROOM), .scratch = fuse_scratch_new(NULL)};
        struct fuse_config config = {.alloc = &alloc, .root = f->dir};
        struct fuse_open_in in = {0};
        allocations_left = n;
        if (fuse_session_new(&config, &t.session, NULL) == ATOLL_OK) {
            talk_start(&t);
            int error = say(&t, FUSE_LOOKUP, ROOT, NULL, 0, "file");
            assert_true(error == 0 || error == ENOMEM);
            if (!error) error = say(&t, FUSE_OPEN, entry_of(&t).nodeid, &in, sizeof in, NULL);
            assert_true(error == 0 || error == ENOMEM);
        } else {
            assert_int_equal(n, 0);
        }
        talk_fini(&t);
    }
}

/* ---- many at once ---- */

struct crowd {
    struct talk *t;
    unsigned seed;
};

/* Looks up, opens, reads, forgets: with numbers that the others close and forget meanwhile. */
static void *wander(void *context) {
    struct crowd *c = context;
    struct talk t = *c->t;
    uint64_t nodes[4] = {ROOT, ROOT, 2, 3}, handles[4] = {1, 2, 3, 4};
    static const char *const names[] = {"file", "sub", "inner", "made"};
    uint8_t message[256], answer[8192];
    t.scratch = fuse_scratch_new(NULL);
    for (unsigned i = 0; i < 4000; i++) {
        c->seed = c->seed * 1103515245 + 12345;
        unsigned r = c->seed >> 16, slot = r & 3;
        static const uint32_t opcodes[] = {FUSE_LOOKUP,  FUSE_OPEN,   FUSE_READ,   FUSE_FORGET,
                                           FUSE_RELEASE, FUSE_CREATE, FUSE_UNLINK, FUSE_READDIRPLUS};
        struct fuse_in_header header = {.opcode = opcodes[r >> 2 & 7], .nodeid = nodes[r >> 5 & 3]};
        size_t size = sizeof header;
        memset(message, 0, sizeof message);
        memcpy(message, &header, sizeof header);
        if (header.opcode == FUSE_LOOKUP || header.opcode == FUSE_UNLINK) {
            strcpy((char *)message + size, names[slot]);
            size += strlen(names[slot]) + 1;
        } else if (header.opcode == FUSE_CREATE) {
            struct fuse_create_in in = {.flags = O_RDWR | O_CREAT, .mode = 0600};
            memcpy(message + size, &in, sizeof in);
            strcpy((char *)message + size + sizeof in, "made");
            size += sizeof in + 5;
        } else if (header.opcode == FUSE_FORGET) {
            struct fuse_forget_in in = {1};
            memcpy(message + size, &in, sizeof in);
            size += sizeof in;
        } else {
            struct fuse_read_in in = {.fh = handles[slot], .size = 4096};
            if (header.opcode == FUSE_OPEN) in.fh = O_RDWR;
            memcpy(message + size, &in, sizeof in);
            size += sizeof in;
        }
        struct iovec out = {message, size}, in = {answer, sizeof answer};
        size_t n = fuse_serve(t.session, t.scratch, &out, 1, &in, 1);
        struct fuse_out_header told;
        if (n < sizeof told) continue;
        memcpy(&told, answer, sizeof told);
        if (told.error || n < sizeof told + 8) continue;
        uint64_t number;
        memcpy(&number, answer + sizeof told, sizeof number);
        if (header.opcode == FUSE_LOOKUP || header.opcode == FUSE_CREATE)
            nodes[slot] = number ? number : ROOT;
        if (header.opcode == FUSE_OPEN) handles[slot] = number;
    }
    fuse_scratch_free(NULL, t.scratch);
    return NULL;
}

static void many_serve_at_once(void **state) {
    (void)state;
    struct talk t;
    talk_init_config(&t, (struct sb_config){.max_fds = 64},
                     (struct fuse_config){.max_nodes = 8, .max_handles = 16}, false);
    pthread_t threads[4];
    struct crowd crowds[4];
    for (unsigned i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){&t, i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, wander, &crowds[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_true(fuse_session_nodes(t.session) <= 8);
    assert_true(fuse_session_handles(t.session) <= 16);
    outside_is_untouched(t.f);
    talk_fini(&t);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(messages_cut_anywhere_do_nothing),
                                       T(unknown_opcodes_are_refused),
                                       T(answers_without_room_are_not_begun),
                                       T(sizes_that_lie_are_refused),
                                       T(messages_too_long_are_refused),
                                       T(numbers_never_given_lead_nowhere),
                                       T(kinds_of_numbers_are_not_mixed),
                                       T(names_that_lead_out_are_refused),
                                       T(planted_links_are_told_and_never_followed),
                                       T(a_directory_moved_away_is_no_way_up),
                                       cmocka_unit_test(handles_are_bounded),
                                       cmocka_unit_test(the_sandbox_bounds_both),
                                       cmocka_unit_test(memory_that_runs_out_is_told),
                                       cmocka_unit_test(many_serve_at_once)};
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
