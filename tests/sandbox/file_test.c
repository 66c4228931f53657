/* tests/sandbox/file_test.c: what open files do, and the limits on them. */
#include <dirent.h>
#include <sys/socket.h>
#include "tests/sandbox/fixture.h"

#define READ       SB_OPEN_READ
#define WRITE      SB_OPEN_WRITE
#define READ_WRITE (SB_OPEN_READ | SB_OPEN_WRITE)

static void run_with(struct sb_config config, void (*test)(struct fixture *)) {
    struct fixture *f = fixture_new(config);
    test(f);
    fixture_free(f);
}

static int set_up(void **state) {
    *state = fixture_new((struct sb_config){0});
    return 0;
}

static int tear_down(void **state) {
    fixture_free(*state);
    return 0;
}

static struct sb_file *adopt(struct fixture *f, int fd, unsigned flags) {
    struct sb_file *file = NULL;
    assert_true(fd >= 0);
    assert_int_equal(sb_file_adopt(f->sb, fd, "stream", flags, true, &file), 0);
    return file;
}

/* ---- reading and writing ---- */

static void bytes_go_to_the_position_or_an_offset(void **state) {
    struct fixture *f = *state;
    uint64_t n, position;
    struct iovec piece = {"J", 1};
    struct sb_file *file = must_open(f->dir, "file", READ_WRITE);
    assert_int_equal(sb_file_write(file, &piece, 1, 0, &n), 0);
    reads(file, SB_ABSENT, "Jello");
    reads(file, SB_ABSENT, "");
    reads(file, 2, "llo");
    assert_int_equal(sb_file_seek(file, -1, SEEK_END, &position), 0);
    assert_int_equal(position, 4);
    reads(file, SB_ABSENT, "o");
    assert_int_equal(sb_file_seek(file, -1, SEEK_SET, &position), EINVAL);
    assert_int_equal(sb_file_read(file, &piece, 1, UINT64_MAX - 1, &n), EINVAL);
    sb_file_unref(file);
}

static void several_pieces_are_one_write(void **state) {
    struct fixture *f = *state;
    uint64_t n;
    struct iovec pieces[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
    struct sb_file *file = must_open(f->dir, "new", READ_WRITE | SB_OPEN_CREATE);
    assert_int_equal(sb_file_write(file, pieces, 3, SB_ABSENT, &n), 0);
    assert_int_equal(n, 5);
    assert_int_equal(sb_file_write(file, pieces, SB_MAX_IOV + 1, SB_ABSENT, &n), EINVAL);
    reads(file, 0, "abcde");
    sb_file_unref(file);
}

static void files_do_only_what_they_were_opened_for(void **state) {
    struct fixture *f = *state;
    uint64_t n;
    char byte;
    struct iovec iov = {&byte, 1};
    struct sb_file *in = must_open(f->dir, "file", READ), *out = must_open(f->dir, "file", WRITE);
    assert_int_equal(write_text(in, "x", &n), EBADF);
    assert_int_equal(sb_file_truncate(in, 0), EINVAL);
    assert_int_equal(sb_file_allocate(in, 0, 0, 10), EBADF);
    assert_int_equal(sb_file_read(out, &iov, 1, SB_ABSENT, &n), EBADF);
    assert_int_equal(try_open(f->dir, "sub", WRITE), EISDIR);
    assert_int_equal(try_open(f->dir, "file", READ | SB_OPEN_DIRECTORY), ENOTDIR);
    assert_int_equal(try_open(in, "x", READ), ENOTDIR);
    assert_int_equal(try_open(f->dir, "made", WRITE | SB_OPEN_CREATE | SB_OPEN_DIRECTORY), EINVAL);
    assert_false(host_has(f, "in/made"));
    sb_file_unref(in);
    sb_file_unref(out);
    host_holds(f, "in/file", "hello");
}

static void truncate_and_allocate_change_the_size(void **state) {
    struct fixture *f = *state;
    struct stat st;
    struct sb_file *file = must_open(f->dir, "file", READ_WRITE);
    assert_int_equal(sb_file_truncate(file, 2), 0);
    reads(file, 0, "he");
    assert_int_equal(sb_file_truncate(file, UINT64_MAX), EINVAL);
    int error = sb_file_allocate(file, 0, 0, 100); /* not every file system can */
    assert_true(error == 0 || error == EOPNOTSUPP);
    assert_int_equal(sb_file_stat(file, &st), 0);
    assert_int_equal(st.st_size, error ? 2 : 100);
    sb_file_unref(file);
}

static void append_can_be_set_later(void **state) {
    struct fixture *f = *state;
    uint64_t n;
    struct sb_file *file = must_open(f->dir, "file", WRITE);
    assert_int_equal(sb_file_set_flags(file, SB_OPEN_APPEND), 0);
    assert_int_equal(sb_file_flags(file), WRITE | SB_OPEN_APPEND);
    assert_int_equal(write_text(file, "!", &n), 0);
    assert_int_equal(sb_file_set_flags(file, 0), 0);
    sb_file_unref(file);
    host_holds(f, "in/file", "hello!");
}

static void times_are_set(void **state) {
    struct fixture *f = *state;
    struct stat st;
    struct timespec times[2] = {{5, 6}, {7, 8}};
    struct sb_file *file = must_open(f->dir, "file", WRITE);
    assert_int_equal(sb_file_set_times(file, times), 0);
    assert_int_equal(sb_file_stat(file, &st), 0);
    assert_int_equal(st.st_atim.tv_sec, 5);
    assert_int_equal(st.st_mtim.tv_nsec, 8);
    sb_file_unref(file);
}

/* ---- streams ---- */

static void an_empty_nonblocking_pipe_says_again(void **state) {
    struct fixture *f = *state;
    int ends[2];
    char byte;
    uint64_t n;
    struct iovec iov = {&byte, 1};
    assert_int_equal(pipe(ends), 0);
    struct sb_file *in = adopt(f, ends[0], READ | SB_OPEN_NONBLOCK), *out = adopt(f, ends[1], WRITE);
    assert_int_equal(sb_file_read(in, &iov, 1, SB_ABSENT, &n), EAGAIN);
    assert_int_equal(write_text(out, "x", &n), 0);
    reads(in, SB_ABSENT, "x");
    assert_int_equal(sb_file_read(in, &iov, 1, 0, &n), ESPIPE);
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0); /* others may share the descriptor */
    sb_file_unref(out);
    reads(in, SB_ABSENT, "");
    sb_file_unref(in);
}

static void a_stopped_program_does_not_wait(void **state) {
    struct fixture *f = *state;
    static _Atomic uint32_t stop = 1;
    int ends[2];
    char byte;
    uint64_t n;
    struct iovec iov = {&byte, 1};
    assert_int_equal(pipe(ends), 0);
    struct sb_file *in = adopt(f, ends[0], READ), *out = adopt(f, ends[1], WRITE);
    sb_set_stop(f->sb, &stop);
    assert_int_equal(sb_file_read(in, &iov, 1, SB_ABSENT, &n), EINTR);
    sb_file_unref(in);
    sb_file_unref(out);
}

static void opening_a_fifo_does_not_wait(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkfifo(host_path(f, "in/fifo"), 0600), 0);
    assert_int_equal(try_open(f->dir, "fifo", READ), 0);
    assert_int_equal(try_open(f->dir, "fifo", WRITE), ENXIO);
}

static void a_closed_socket_answers_without_a_signal(void **state) {
    struct fixture *f = *state;
    int ends[2];
    uint64_t n;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct sb_file *out = adopt(f, ends[0], READ_WRITE);
    assert_int_equal(sb_file_type(out), SB_TYPE_SOCKET_STREAM);
    close(ends[1]);
    assert_int_equal(write_text(out, "x", &n), EPIPE);
    sb_file_unref(out);
}

/* A file lent for reading stays as it is, whatever the host's descriptor could do. */
static void a_lent_stream_is_not_changed(void **state) {
    struct fixture *f = *state;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    int fd = open(host_path(f, "secret"), O_RDWR);
    struct sb_file *file = NULL;
    assert_int_equal(sb_file_adopt(f->sb, fd, "stdin", READ, false, &file), 0);
    assert_int_equal(sb_file_set_times(file, times), EPERM);
    assert_int_equal(sb_file_truncate(file, 0), EINVAL);
    assert_int_equal(sb_file_set_flags(file, SB_OPEN_APPEND), ENOTSUP);
    reads(file, SB_ABSENT, "secret");
    sb_file_unref(file);
    assert_int_equal(close(fd), 0);
}

/* ---- listing ---- */

static void listing_hides_the_parent_and_goes_on_at_a_cookie(void **state) {
    struct fixture *f = *state;
    char buffer[32];
    size_t n;
    uint64_t cookie = 0;
    unsigned n_entries = 0, n_known = 0;
    struct stat own;
    struct sb_file *dir = must_open(f->dir, ".", READ | SB_OPEN_DIRECTORY);
    assert_int_equal(sb_file_stat(dir, &own), 0);
    for (;; n_entries++) {
        struct dirent64 entry;
        assert_int_equal(sb_file_list(dir, cookie, buffer, sizeof buffer, &n), 0);
        if (n == 0) break;
        memcpy(&entry, buffer, sizeof buffer);
        cookie = (uint64_t)entry.d_off;
        const char *name = buffer + offsetof(struct dirent64, d_name);
        if (strcmp(name, "..") == 0) assert_int_equal(entry.d_ino, own.st_ino);
        n_known += !strcmp(name, "file") || !strcmp(name, "sub");
    }
    assert_int_equal(n_entries, 4);
    assert_int_equal(n_known, 2);
    assert_int_equal(sb_file_list(dir, 0, buffer, 8, &n), EINVAL);
    sb_file_unref(dir);
    struct sb_file *file = must_open(f->dir, "file", READ);
    assert_int_equal(sb_file_list(file, 0, buffer, sizeof buffer, &n), ENOTDIR);
    sb_file_unref(file);
}

/* Cookies count entries, and each is the way back to its place, also when others are gone meanwhile. */
static void a_numbered_listing_goes_on_anywhere(void **state) {
    struct fixture *f = *state;
    char buffer[32], names[40][16];
    struct dirent64 entry;
    size_t n;
    uint64_t cookie = 0;
    for (int i = 0; i < 36; i++) {
        char name[32];
        snprintf(name, sizeof name, "in/sub/%d", i);
        host_write(f, name, "");
    }
    struct sb_file *dir = must_open(f->dir, "sub", READ | SB_OPEN_DIRECTORY);
    assert_int_equal(sb_file_list_numbered(dir, 1, buffer, sizeof buffer, &n), EINVAL);
    while (!sb_file_list_numbered(dir, cookie, buffer, sizeof buffer, &n) && n) {
        memcpy(&entry, buffer, sizeof buffer);
        assert_int_equal(entry.d_off, cookie + 1);
        assert_true(cookie < 40);
        snprintf(names[cookie++], sizeof names[0], "%.15s", buffer + offsetof(struct dirent64, d_name));
    }
    assert_int_equal(cookie, 39); /* with . and .. and inner */
    for (unsigned i = 39; i-- > 0;) {
        if (i % 3 == 0 && strchr(names[i], '.') == NULL) {
            assert_int_equal(sb_path_unlink(dir, path_of(names[i])), 0);
            continue;
        }
        assert_int_equal(sb_file_list_numbered(dir, i, buffer, sizeof buffer, &n), 0);
        assert_string_equal(buffer + offsetof(struct dirent64, d_name), names[i]);
    }
    assert_int_equal(sb_file_list_numbered(dir, 40, buffer, sizeof buffer, &n), EINVAL);
    sb_file_unref(dir);
}

/* ---- limits ---- */

static void beyond_max_fds(struct fixture *f) {
    struct sb_file *first = must_open(f->dir, "file", READ), *second;
    assert_int_equal(sb_file_open(f->dir, path_of("new"), WRITE | SB_OPEN_CREATE, &second), EMFILE);
    assert_int_equal(sb_file_open(f->dir, path_of("file"), WRITE | SB_OPEN_TRUNCATE, &second), EMFILE);
    assert_int_equal(sb_file_adopt(f->sb, 0, "stdin", READ, false, &second), EMFILE);
    assert_false(host_has(f, "in/new"));
    host_holds(f, "in/file", "hello");
    sb_file_ref(first);
    sb_file_unref(first);
    assert_int_equal(try_open(f->dir, "file", READ), EMFILE);
    sb_file_unref(first);
    assert_int_equal(try_open(f->dir, "file", READ), 0);
}

static void max_fds_counts_what_is_open(void **state) {
    (void)state;
    run_with((struct sb_config){.max_fds = 3}, beyond_max_fds); /* two are grants */
}

static void beyond_max_output(struct fixture *f) {
    bool exceeded = true;
    uint64_t n;
    struct iovec pieces[2] = {{"ab", 2}, {"cdef", 4}};
    struct sb_file *file = must_open(f->dir, "new", WRITE | SB_OPEN_CREATE);
    assert_int_equal(write_text(file, "12345", &n), 0);
    assert_int_equal(sb_output_bytes(f->sb, &exceeded), 5);
    assert_false(exceeded);
    assert_int_equal(sb_file_allocate(file, 0, 0, 1000), ENOSPC);
    assert_int_equal(sb_file_write(file, pieces, 2, SB_ABSENT, &n), 0);
    assert_int_equal(n, 3); /* what fits */
    assert_int_equal(write_text(file, "x", &n), ENOSPC);
    assert_int_equal(write_text(file, "", &n), 0);
    assert_int_equal(sb_output_bytes(f->sb, &exceeded), 8);
    assert_true(exceeded);
    sb_file_unref(file);
    host_holds(f, "in/new", "12345abc");
}

static void max_output_cuts_and_then_refuses(void **state) {
    (void)state;
    run_with((struct sb_config){.max_output_bytes = 8}, beyond_max_output);
}

static void names_stay_bounded(void **state) {
    struct fixture *f = *state;
    char text[2001];
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = "./"[i % 2];
    text[sizeof text - 1] = 0;
    struct sb_file *dir = f->dir;
    sb_file_ref(dir);
    for (unsigned i = 0; i < 20; i++) {
        struct sb_file *next = must_open(dir, text, READ | SB_OPEN_DIRECTORY);
        sb_file_unref(dir);
        dir = next;
        assert_true(strlen(sb_file_name(dir)) < 2 * PATH_MAX);
    }
    sb_file_unref(dir);
}

/* ---- trace ---- */

static void keep_line(void *context, const char *line) { strcpy(context, line); }

static void requests_are_traced(void **state) {
    char line[1100] = "";
    (void)state;
    struct fixture *f = fixture_new((struct sb_config){.trace = keep_line, .trace_context = line});
    (void)try_open(f->readonly, "fi\nle", WRITE | SB_OPEN_CREATE);
    assert_string_equal(line, "fs.open \"/ro\" \"fi\\0ale\" flags=write,create = denied EROFS");
    struct sb_file *file = must_open(f->dir, "file", READ);
    assert_string_equal(line, "fs.open \"/in\" \"file\" flags=read = ok");
    reads(file, 1, "ello");
    assert_string_equal(line, "fs.read \"/in/file\" bytes=63 offset=1 = 4");
    sb_file_unref(file);
    assert_string_equal(line, "fs.close \"/in/file\" = ok");
    (void)try_open(f->dir, "../x", READ);
    assert_string_equal(line, "fs.open \"/in\" \"../x\" flags=read = EPERM");
    fixture_free(f);
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FIXTURE(bytes_go_to_the_position_or_an_offset),
        IN_FIXTURE(several_pieces_are_one_write),
        IN_FIXTURE(files_do_only_what_they_were_opened_for),
        IN_FIXTURE(truncate_and_allocate_change_the_size),
        IN_FIXTURE(append_can_be_set_later),
        IN_FIXTURE(times_are_set),
        IN_FIXTURE(an_empty_nonblocking_pipe_says_again),
        IN_FIXTURE(a_stopped_program_does_not_wait),
        IN_FIXTURE(opening_a_fifo_does_not_wait),
        IN_FIXTURE(a_closed_socket_answers_without_a_signal),
        IN_FIXTURE(a_lent_stream_is_not_changed),
        IN_FIXTURE(listing_hides_the_parent_and_goes_on_at_a_cookie),
        IN_FIXTURE(a_numbered_listing_goes_on_anywhere),
        cmocka_unit_test(max_fds_counts_what_is_open),
        cmocka_unit_test(max_output_cuts_and_then_refuses),
        IN_FIXTURE(names_stay_bounded),
        cmocka_unit_test(requests_are_traced),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
