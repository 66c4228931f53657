/* tests/sysvm/image/kill_test.c: a writer is killed at random moments; what it had flushed is there, and the image
 * is whole. usage: kill_test [ROUNDS]
 *
 * The writer notes in shared memory, before a write, which number a sector will hold, and after a flush, which
 * numbers were written before it. Three threads write, each to sectors of its own; one flushes. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "sysvm/image/internal.h"

enum {
    SECTOR = 512,
    N_THREADS = 3,
    SECTORS_EACH = 4096,
    N_SECTORS = N_THREADS * SECTORS_EACH,
    RUN_MAX = 200
};

/* Of each sector: the number that is on the disk for sure, and the last one that was begun. 0 = zeroes; a
 * discard counts as a number that reads as itself or as zeroes. */
struct notes {
    _Atomic uint32_t flushed[N_SECTORS], begun[N_SECTORS], done[N_SECTORS];
    _Atomic uint32_t n_flushes, n_writes;
};

static char path[64];
static unsigned n_rounds = 60;

struct writer {
    struct notes *notes;
    struct img *img;
    unsigned index;
    uint32_t random;
};

static uint32_t next(uint32_t *state) {
    *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
    return *state;
}

static void put(struct writer *w, unsigned first, unsigned n) {
    static _Thread_local uint32_t words[RUN_MAX * SECTOR / 4];
    for (unsigned i = 0; i < n; i++) {
        uint32_t number = w->notes->begun[first + i] + 1;
        w->notes->begun[first + i] = number;
        for (unsigned k = 0; k < SECTOR / 4; k++) words[i * SECTOR / 4 + k] = number;
    }
    struct iovec iov = {words, (size_t)n * SECTOR};
    if (img_writev(w->img, &iov, 1, (uint64_t)first * SECTOR)) _exit(1);
    for (unsigned i = first; i < first + n; i++) w->notes->done[i] = w->notes->begun[i];
    w->notes->n_writes++;
}

static void *write_on(void *context) {
    struct writer *w = context;
    for (;;) {
        unsigned first = next(&w->random) % SECTORS_EACH, n = 1 + next(&w->random) % RUN_MAX;
        if (n > SECTORS_EACH - first) n = SECTORS_EACH - first;
        first += w->index * SECTORS_EACH;
        if (next(&w->random) % 6 == 0 && img_discard(w->img, (uint64_t)first * SECTOR, (uint64_t)n * SECTOR))
            _exit(2);
        put(w, first, n);
    }
    return NULL;
}

static void flush_on(struct img *img, struct notes *notes) {
    static uint32_t before[N_SECTORS];
    for (;;) {
        for (unsigned i = 0; i < N_SECTORS; i++) before[i] = notes->done[i];
        if (img_flush(img)) _exit(3);
        for (unsigned i = 0; i < N_SECTORS; i++) notes->flushed[i] = before[i];
        notes->n_flushes++;
    }
}

static struct img *open_image(struct sandbox **out_sb, bool readonly) {
    struct atoll_error err;
    struct img *img;
    assert_int_equal(sb_new(&(struct sb_config){0}, out_sb, NULL), ATOLL_OK);
    assert_int_equal(sb_grant_disk(*out_sb, path, false, NULL), ATOLL_OK);
    struct img_options o = {.sb = *out_sb, .format = IMG_QCOW2, .readonly = readonly};
    enum atoll_status status = img_open(path, &o, &img, &err);
    if (status) print_message("%s\n", err.text);
    assert_int_equal(status, ATOLL_OK);
    return img;
}

static void child(struct notes *notes, uint32_t seed) {
    static struct writer writers[N_THREADS];
    struct sandbox *sb;
    struct img *img = open_image(&sb, false);
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_t thread;
        writers[i] = (struct writer){notes, img, i, seed * 7919 + i + 1};
        if (pthread_create(&thread, NULL, write_on, &writers[i])) _exit(4);
    }
    flush_on(img, notes);
}

static void print_fault(void *context, const char *line) {
    (void)context;
    if (strncmp(line, "leaked", 6) != 0) print_message("%s\n", line);
}

/* Leaks are mended, so that they do not add up over the rounds. */
static void check_image(struct img *img) {
    struct img_check found;
    struct atoll_error err;
    assert_int_equal(img_check(img, true, print_fault, NULL, &found, &err), ATOLL_OK);
    assert_int_equal(found.n_corruptions, 0);
    assert_int_equal(found.n_fixed, found.n_leaks);
}

/* *n_lost: sectors that had something and are zero now. A discard is followed by a write of the same sectors at
 * once, so it can be only what the threads had under way. */
static void check_sectors(struct img *img, struct notes *notes, unsigned *n_lost) {
    static uint32_t words[SECTOR / 4 * 64];
    for (unsigned first = 0; first < N_SECTORS; first += 64) {
        struct iovec iov = {words, sizeof words};
        assert_int_equal(img_readv(img, &iov, 1, (uint64_t)first * SECTOR), 0);
        for (unsigned i = 0; i < 64; i++) {
            uint32_t number = words[i * SECTOR / 4], flushed = notes->flushed[first + i];
            for (unsigned k = 1; k < SECTOR / 4; k++) assert_int_equal(words[i * SECTOR / 4 + k], number);
            /* zeroes may be there where a discard was under way behind what was flushed */
            if (number != 0) {
                assert_in_range(number, flushed, notes->begun[first + i]);
                notes->begun[first + i] = number; /* what the next round goes on from */
            }
            *n_lost += number == 0 && flushed != 0;
            notes->flushed[first + i] = notes->done[first + i] = number;
        }
    }
}

static void a_killed_writer_loses_nothing_that_was_flushed(void **state) {
    (void)state;
    struct notes *notes =
        mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t random = 12345;
    assert_true(notes != MAP_FAILED);
    for (unsigned round = 0; round < n_rounds; round++) {
        uint32_t n_flushes = notes->n_flushes, wanted = next(&random) % 4;
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) child(notes, round + 1);
        /* some flushes, then any moment of what follows */
        while (notes->n_flushes - n_flushes < wanted && waitpid(pid, NULL, WNOHANG) == 0) usleep(200);
        usleep(next(&random) % 6000);
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        struct sandbox *sb;
        struct img *img = open_image(&sb, false);
        check_image(img);
        unsigned n_lost = 0;
        check_sectors(img, notes, &n_lost);
        assert_true(n_lost <= N_THREADS * RUN_MAX);
        assert_int_equal(img_close(img), 0);
        sb_free(sb);
    }
    print_message("%u writes and %u flushes in %u rounds\n", notes->n_writes, notes->n_flushes, n_rounds);
    munmap(notes, sizeof *notes);
}

static int set_up(void **state) {
    (void)state;
    struct sandbox *sb;
    struct atoll_error err;
    struct img_create how = {.format = IMG_QCOW2, .size = N_SECTORS * SECTOR, .cluster_bits = 12};
    snprintf(path, sizeof path, "/tmp/atoll-kill-%d.qcow2", (int)getpid());
    unlink(path);
    if (sb_new(&(struct sb_config){0}, &sb, NULL) || sb_grant_disk(sb, path, false, NULL)) return -1;
    int failed = img_create(path, &how, &(struct img_options){.sb = sb}, &err) != ATOLL_OK;
    sb_free(sb);
    return failed ? -1 : 0;
}

static int tear_down(void **state) {
    (void)state;
    return unlink(path);
}

int main(int argc, char **argv) {
    if (argc > 1) n_rounds = (unsigned)atoi(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_writer_loses_nothing_that_was_flushed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
