/* tests/sandbox/shared_test.c: one sandbox, one file, many threads: limits hold, listings are whole, a stop
 * reaches everybody. What a thread finds is looked at behind its end. */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include "tests/sandbox/fixture.h"

enum { THREADS = 6, ENTRIES = 60 };

struct worker {
    struct fixture *f;
    struct sb_file *file;
    pthread_t thread;
    uint64_t n;
    int error;
};

static void run_all(struct worker workers[THREADS], struct fixture *f, struct sb_file *file,
                    void *(*run)(void *)) {
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.f = f, .file = file};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
}
static uint64_t join_all(struct worker workers[THREADS]) {
    uint64_t sum = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        sum += workers[i].n;
    }
    return sum;
}

/* ---- directories ---- */

/* A buffer for few entries, so that a listing is many calls between which others come. */
static void *list_all(void *p) {
    struct worker *w = p;
    _Alignas(8) char buffer[128];
    uint64_t cookie = 0;
    size_t n = 1;
    while (!w->error && n) {
        w->error = sb_file_list(w->file, cookie, buffer, sizeof buffer, &n);
        for (size_t at = 0; !w->error && at < n;) {
            uint16_t size;
            memcpy(&cookie, buffer + at + 8, 8);
            memcpy(&size, buffer + at + 16, 2);
            w->n++;
            at += size;
        }
    }
    return NULL;
}

static void threads_list_a_directory_and_miss_nothing(void **state) {
    struct fixture *f = fixture_new((struct sb_config){0});
    struct worker workers[THREADS];
    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        char name[32];
        snprintf(name, sizeof name, "in/sub/entry-%d", i);
        host_write(f, name, "");
    }
    struct sb_file *dir = must_open(f->dir, "sub", SB_OPEN_READ | SB_OPEN_DIRECTORY);
    run_all(workers, f, dir, list_all);
    join_all(workers);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].error, 0);
        assert_int_equal(workers[i].n, ENTRIES + 3); /* "inner", ".", ".." */
    }
    sb_file_unref(dir);
    fixture_free(f);
}

/* ---- limits ---- */

static void *write_all(void *p) {
    struct worker *w = p;
    uint64_t n;
    while (!(w->error = write_text(w->file, "seven b", &n))) w->n += n;
    return NULL;
}

static void threads_write_no_more_than_max_output(void **state) {
    struct fixture *f = fixture_new((struct sb_config){.max_output_bytes = 10000});
    struct worker workers[THREADS];
    bool exceeded = false;
    struct stat st;
    (void)state;
    struct sb_file *file = must_open(f->dir, "log", SB_OPEN_WRITE | SB_OPEN_CREATE | SB_OPEN_APPEND);
    run_all(workers, f, file, write_all);
    uint64_t written = join_all(workers);
    for (int i = 0; i < THREADS; i++) assert_int_equal(workers[i].error, ENOSPC);
    assert_in_range(written, 10000 - 7 * THREADS, 10000);
    assert_int_equal(sb_output_bytes(f->sb, &exceeded), written);
    assert_true(exceeded);
    assert_int_equal(sb_file_stat(file, &st), 0);
    assert_int_equal(st.st_size, written);
    sb_file_unref(file);
    fixture_free(f);
}

static void *open_and_close(void *p) {
    struct worker *w = p;
    struct sb_file *held[16];
    for (int round = 0; round < 50; round++) {
        uint64_t n = 0;
        for (; n < 16 && !sb_file_open(w->f->dir, path_of("file"), SB_OPEN_READ, &held[n]); n++)
            sb_file_ref(held[n]);
        if (n > w->n) w->n = n;
        while (n) {
            sb_file_unref(held[--n]);
            sb_file_unref(held[n]);
        }
    }
    return NULL;
}

static void threads_open_no_more_than_max_fds(void **state) {
    struct fixture *f = fixture_new((struct sb_config){.max_fds = 2 + 10});
    struct worker workers[THREADS];
    struct sb_file *files[11];
    (void)state;
    run_all(workers, f, NULL, open_and_close);
    join_all(workers);
    for (int i = 0; i < THREADS; i++) assert_in_range(workers[i].n, 0, 10);
    /* every place came back, and no more */
    for (int i = 0; i < 10; i++) files[i] = must_open(f->dir, "file", SB_OPEN_READ);
    assert_int_equal(sb_file_open(f->dir, path_of("file"), SB_OPEN_READ, &files[10]), EMFILE);
    for (int i = 0; i < 10; i++) sb_file_unref(files[i]);
    fixture_free(f);
}

static void *change_flags(void *p) {
    struct worker *w = p;
    for (int i = 0; i < 500; i++) {
        unsigned flags = i % 2 ? SB_OPEN_APPEND : SB_OPEN_NONBLOCK;
        w->error |= sb_file_set_flags(w->file, flags);
        w->error |= (sb_file_flags(w->file) & (SB_OPEN_READ | SB_OPEN_WRITE)) != SB_OPEN_WRITE;
    }
    return NULL;
}

/* What the kernel has and what the file says it has stay the same. */
static void threads_change_flags_of_one_file(void **state) {
    struct fixture *f = fixture_new((struct sb_config){0});
    struct worker workers[THREADS];
    (void)state;
    struct sb_file *file = must_open(f->dir, "file", SB_OPEN_WRITE);
    run_all(workers, f, file, change_flags);
    join_all(workers);
    for (int i = 0; i < THREADS; i++) assert_int_equal(workers[i].error, 0);
    bool says = sb_file_flags(file) & SB_OPEN_APPEND, has = fcntl(sb_file_fd(file), F_GETFL) & O_APPEND;
    assert_int_equal(says, has);
    sb_file_unref(file);
    fixture_free(f);
}

/* ---- stops ---- */

static void *sleep_for_ever(void *p) {
    struct worker *w = p;
    size_t ready;
    w->error = sb_poll(w->f->sb, NULL, 0, UINT64_MAX, &ready);
    return NULL;
}
static void *read_for_ever(void *p) {
    struct worker *w = p;
    char byte;
    struct iovec iov = {&byte, 1};
    w->error = sb_file_read(w->file, &iov, 1, SB_ABSENT, &w->n);
    return NULL;
}

static void a_stop_reaches_all_threads(void **state) {
    (void)state;
    for (int round = 0; round < 40; round++) {
        struct fixture *f = fixture_new((struct sb_config){0});
        struct worker workers[THREADS];
        _Atomic uint32_t stop = 0;
        int pipe_fds[2];
        struct sb_file *file;
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(sb_file_adopt(f->sb, pipe_fds[0], "pipe", SB_OPEN_READ, true, &file), 0);
        sb_set_stop(f->sb, &stop);
        sb_wake(f->sb); /* an old one, which every sleeper wants to forget */
        run_all(workers, f, file, round % 2 ? sleep_for_ever : read_for_ever);
        if (round % 4 > 1) usleep(1000);
        stop = 1;
        sb_wake(f->sb);
        join_all(workers);
        for (int i = 0; i < THREADS; i++) assert_int_equal(workers[i].error, EINTR);
        close(pipe_fds[1]);
        sb_file_unref(file);
        fixture_free(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_list_a_directory_and_miss_nothing),
        cmocka_unit_test(threads_write_no_more_than_max_output),
        cmocka_unit_test(threads_open_no_more_than_max_fds),
        cmocka_unit_test(threads_change_flags_of_one_file),
        cmocka_unit_test(a_stop_reaches_all_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
