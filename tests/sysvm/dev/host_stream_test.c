/* tests/sysvm/dev/host_stream_test.c: pipes, files and sockets as the other end; none of them is waited for. */
#include <fcntl.h>
#include <sys/socket.h>
#include "sysvm/dev/host_stream.h"
#include "tests/sysvm/dev/board.h"

/* A device with room for `room` bytes of input. */
struct sink {
    struct board *b;
    struct vm_stream_end end;
    char text[4096];
    size_t n, room;
    sem_t got, writable;
};

static size_t receive(void *device, const uint8_t *bytes, size_t n) {
    struct sink *k = device;
    if (n > k->room) n = k->room;
    memcpy(k->text + k->n, bytes, n);
    k->n += n;
    k->room -= n;
    for (size_t i = 0; i < n; i++) sem_post(&k->got);
    return n;
}
static void writable(void *device) { sem_post(&((struct sink *)device)->writable); }
static const struct vm_stream_device_ops sink_ops = {.receive = receive, .writable = writable};

struct fixture {
    struct board *b;
    struct vm_host_stream *stream;
    struct sink sink;
};

static struct fixture *start(int in, int out, size_t room,
                             size_t (*filter)(void *context, uint8_t *bytes, size_t n)) {
    struct fixture *f = calloc(1, sizeof *f);
    f->b = board_new();
    f->sink.room = room;
    sem_init(&f->sink.got, 0, 0);
    sem_init(&f->sink.writable, 0, 0);
    struct vm_host_stream_config config = {
        .alloc = &atoll_default_alloc, .loop = f->b->loop, .in = in, .out = out, .filter = filter};
    vm_loop_lock(f->b->loop);
    assert_int_equal(vm_host_stream_new(&config, &f->stream, NULL), 0);
    f->sink.end = vm_host_stream_end(f->stream);
    vm_host_stream_join(f->stream, (struct vm_stream_device){&sink_ops, &f->sink});
    vm_loop_unlock(f->b->loop);
    return f;
}

static void stop(struct fixture *f) {
    vm_loop_lock(f->b->loop);
    vm_host_stream_free(f->stream);
    vm_loop_unlock(f->b->loop);
    board_free(f->b);
    sem_destroy(&f->sink.got);
    sem_destroy(&f->sink.writable);
    free(f);
}

static size_t put(struct fixture *f, const char *bytes, size_t n) {
    vm_loop_lock(f->b->loop);
    size_t taken = f->sink.end.ops->write(f->sink.end.end, (const uint8_t *)bytes, n);
    vm_loop_unlock(f->b->loop);
    return taken;
}

static void want(struct fixture *f, size_t room) {
    vm_loop_lock(f->b->loop);
    f->sink.room = room;
    f->sink.end.ops->input_wanted(f->sink.end.end);
    vm_loop_unlock(f->b->loop);
}

static void await(sem_t *sem, size_t n) {
    while (n)
        if (!sem_wait(sem)) n--;
}

static void input_stops_while_the_device_has_no_room(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct fixture *f = start(fds[0], -1, 3, NULL);
    assert_int_equal(write(fds[1], "abcdefgh", 8), 8);
    await(&f->sink.got, 3);
    board_settle(f->b);
    assert_int_equal(f->sink.n, 3);
    want(f, 2);
    assert_int_equal(f->sink.n, 5);
    want(f, 100);
    assert_int_equal(write(fds[1], "ij", 2), 2);
    await(&f->sink.got, 7);
    assert_memory_equal(f->sink.text, "abcdefghij", 10);
    close(fds[1]); /* the end of input is no event that repeats */
    board_settle(f->b);
    board_settle(f->b);
    stop(f);
    close(fds[0]);
}

static void a_file_is_read_to_its_end(void **state) {
    (void)state;
    FILE *file = tmpfile();
    for (unsigned i = 0; i < 3000; i++) fputc('a' + i % 26, file);
    rewind(file);
    struct fixture *f = start(fileno(file), -1, 1700, NULL);
    await(&f->sink.got, 1700);
    board_settle(f->b);
    want(f, 4000);
    await(&f->sink.got, 1300);
    board_settle(f->b);
    assert_int_equal(f->sink.n, 3000);
    for (unsigned i = 0; i < 3000; i++) assert_int_equal(f->sink.text[i], 'a' + i % 26);
    stop(f);
    fclose(file);
}

static size_t without_x(void *context, uint8_t *bytes, size_t n) {
    size_t kept = 0;
    (void)context;
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 'x') bytes[kept++] = bytes[i];
    return kept;
}

static void a_filter_sees_input_first(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct fixture *f = start(fds[0], -1, 100, without_x);
    assert_int_equal(write(fds[1], "axbxxc", 6), 6);
    await(&f->sink.got, 3);
    assert_int_equal(write(fds[1], "xxx", 3), 3);
    assert_int_equal(write(fds[1], "d", 1), 1);
    await(&f->sink.got, 1);
    assert_memory_equal(f->sink.text, "abcd", 4);
    stop(f);
    close(fds[0]);
    close(fds[1]);
}

/* Fills what `out` has room for, drains it from `in`, and is told. */
static void fills_and_drains(int out, int in) {
    struct fixture *f = start(-1, out, 0, NULL);
    static char block[65536];
    memset(block, 'z', sizeof block);
    size_t total = 0, n;
    while ((n = put(f, block, sizeof block)) == sizeof block) total += n;
    total += n;
    assert_int_equal(put(f, block, 1), 0);
    assert_int_equal(sem_trywait(&f->sink.writable), -1);
    while (total) {
        ssize_t got = read(in, block, sizeof block);
        assert_true(got > 0);
        total -= (size_t)got;
    }
    await(&f->sink.writable, 1);
    assert_int_equal(put(f, "end", 3), 3);
    assert_int_equal(read(in, block, 3), 3);
    assert_memory_equal(block, "end", 3);
    stop(f);
    assert_int_equal(fcntl(out, F_GETFL) & O_NONBLOCK, 0);
}

static void a_full_pipe_is_not_waited_for(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fills_and_drains(fds[1], fds[0]);
    close(fds[0]);
    close(fds[1]);
}

static void a_full_socket_is_not_waited_for(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fills_and_drains(fds[1], fds[0]);
    close(fds[0]);
    close(fds[1]);
}

static void output_to_nobody_is_swallowed(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    close(fds[0]);
    struct fixture *f = start(-1, fds[1], 0, NULL);
    for (unsigned i = 0; i < 10; i++) assert_int_equal(put(f, "text", 4), 4);
    stop(f);
    close(fds[1]);
    f = start(-1, -1, 0, NULL);
    assert_int_equal(put(f, "text", 4), 4);
    stop(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_stops_while_the_device_has_no_room),
        cmocka_unit_test(a_file_is_read_to_its_end),
        cmocka_unit_test(a_filter_sees_input_first),
        cmocka_unit_test(a_full_pipe_is_not_waited_for),
        cmocka_unit_test(a_full_socket_is_not_waited_for),
        cmocka_unit_test(output_to_nobody_is_swallowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
