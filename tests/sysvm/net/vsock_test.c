/* tests/sysvm/net/vsock_test.c: virtio-vsock between packets of a driver and UNIX sockets of the host. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
/* suite.h first: cmocka */
#include "sandbox/sandbox.h"
#include "sysvm/loop.h"
#include "sysvm/net/vsock_internal.h"
#include "tests/sysvm/fake_driver.h"

enum { RX, TX, EVENT, ROOM = 4096, SECONDS = 30 };

struct packet {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
    uint8_t data[ROOM];
} __attribute__((packed));

struct fixture {
    char dir[64], path[80];
    struct sandbox *sb;
    struct vm_loop *loop;
    struct fake_driver *d;
    pthread_t thread;
    uint64_t rx_at[64]; /* by head */
};

static void *run(void *loop) { return (void *)(intptr_t)vm_loop_run(loop); }

static void give_room(struct fixture *f) {
    uint64_t at = fake_put(f->d, NULL, ROOM);
    uint16_t head = fake_offer(f->d, RX, &(struct fake_segment){at, ROOM, true}, 1);
    f->rx_at[head] = at;
}

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct virtio_ops *ops;
    void *dev;
    struct sb_config sb = {.alloc = NULL};
    strcpy(f->dir, "/tmp/atoll-vsock-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/v", f->dir);
    assert_int_equal(sb_new(&sb, &f->sb, NULL), 0);
    assert_int_equal(vm_loop_new(&atoll_default_alloc, &f->loop, NULL), 0);
    struct virtio_vsock_config config = {.loop = f->loop, .sandbox = f->sb, .spec = f->path};
    assert_int_equal(virtio_vsock_new(&config, &ops, &dev, NULL), 0);
    f->d = fake_driver_new(64 << 20, ops, dev);
    fake_start(f->d, UINT64_MAX);
    for (int i = 0; i < 32; i++) give_room(f);
    fake_kick(f->d, RX);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f->loop), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    vm_loop_stop(f->loop);
    pthread_join(f->thread, NULL);
    fake_driver_free(f->d);
    vm_loop_free(f->loop);
    sb_free(f->sb);
    bool gone = access(f->path, F_OK) != 0;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    test_free(f);
    return gone ? 0 : 1;
}

/* ---- the guest ---- */

static struct packet packet(uint16_t op, uint32_t from, uint32_t to) {
    return (struct packet){.src_cid = 3,
                           .dst_cid = 2,
                           .src_port = from,
                           .dst_port = to,
                           .type = 1,
                           .op = op,
                           .buf_alloc = 65536};
}

/* Sends header and `len` bytes, or as many as `claimed` has room for when less. */
static void guest_sends_part(struct fixture *f, const struct packet *p, uint32_t n_bytes) {
    struct fake_used used;
    vm_loop_lock(f->loop);
    uint64_t at = fake_put(f->d, p, VSOCK_HEADER_BYTES + n_bytes);
    fake_offer(f->d, TX, &(struct fake_segment){at, VSOCK_HEADER_BYTES + n_bytes, false}, 1);
    fake_kick(f->d, TX);
    assert_true(fake_take_used(f->d, TX, &used));
    vm_loop_unlock(f->loop);
}
static void guest_sends(struct fixture *f, struct packet p) { guest_sends_part(f, &p, p.len); }

static bool guest_looks(struct fixture *f, struct packet *out) {
    struct fake_used used;
    vm_loop_lock(f->loop);
    bool came = fake_take_used(f->d, RX, &used);
    if (came) {
        assert_in_range(used.n_bytes, VSOCK_HEADER_BYTES, ROOM);
        memcpy(out, fake_at(f->d, f->rx_at[used.head], ROOM), ROOM);
        assert_int_equal(out->len, used.n_bytes - VSOCK_HEADER_BYTES);
        give_room(f);
        fake_kick(f->d, RX);
    }
    vm_loop_unlock(f->loop);
    return came;
}

/* The next packet for the guest. */
static struct packet guest_gets(struct fixture *f, uint16_t op) {
    struct packet p;
    for (int i = 0; i < SECONDS * 1000; i++, usleep(1000)) {
        if (!guest_looks(f, &p)) continue;
        assert_int_equal(p.op, op);
        assert_int_equal(p.src_cid, 2);
        assert_int_equal(p.dst_cid, 3);
        return p;
    }
    fail_msg("no packet came");
    return p;
}

static void guest_gets_nothing(struct fixture *f) {
    struct packet p;
    assert_false(guest_looks(f, &p));
}

/* ---- the host ---- */

static int host_listens(struct fixture *f, unsigned port) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s_%u", f->path, port);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int host_connects(struct fixture *f, const char *greeting) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, f->path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(send(fd, greeting, strlen(greeting), MSG_NOSIGNAL), strlen(greeting));
    return fd;
}

static void host_reads(int fd, const char *expected) {
    char got[256] = "";
    size_t n = 0;
    while (n < strlen(expected)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, SECONDS * 1000), 1);
        ssize_t k = recv(fd, got + n, strlen(expected) - n, 0);
        assert_true(k > 0);
        n += (size_t)k;
    }
    assert_string_equal(got, expected);
}

static void host_sees_the_end(int fd) {
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, SECONDS * 1000), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
}

/* A connection of guest port 1000 to the host's 52. */
static int connected(struct fixture *f) {
    int server = host_listens(f, 52);
    guest_sends(f, packet(VSOCK_REQUEST, 1000, 52));
    int fd = accept(server, NULL, NULL);
    assert_true(fd >= 0);
    close(server);
    struct packet p = guest_gets(f, VSOCK_RESPONSE);
    assert_int_equal(p.src_port, 52);
    assert_int_equal(p.dst_port, 1000);
    assert_int_equal(p.buf_alloc, VSOCK_BUFFER);
    return fd;
}

static struct packet bytes(const char *text) {
    struct packet p = packet(VSOCK_RW, 1000, 52);
    p.len = (uint32_t)strlen(text);
    memcpy(p.data, text, p.len);
    return p;
}

/* ---- connections ---- */

static void a_guest_talks_to_a_socket_of_the_host(void **state) {
    struct fixture *f = *state;
    int fd = connected(f);
    guest_sends(f, bytes("hello, host"));
    host_reads(fd, "hello, host");
    assert_int_equal(send(fd, "hello, guest", 12, 0), 12);
    struct packet p = guest_gets(f, VSOCK_RW);
    assert_int_equal(p.len, 12);
    assert_memory_equal(p.data, "hello, guest", 12);
    assert_int_equal(p.fwd_cnt, 11);
    close(fd);
    p = guest_gets(f, VSOCK_SHUTDOWN);
    assert_int_equal(p.flags, VSOCK_NO_SEND);
    p = packet(VSOCK_SHUTDOWN, 1000, 52);
    p.flags = 3;
    guest_sends(f, p);
    guest_gets(f, VSOCK_RST);
    guest_gets_nothing(f);
}

static void a_port_without_a_socket_is_reset(void **state) {
    struct fixture *f = *state;
    guest_sends(f, packet(VSOCK_REQUEST, 1000, 53));
    struct packet p = guest_gets(f, VSOCK_RST);
    assert_int_equal(p.src_port, 53);
    assert_int_equal(p.dst_port, 1000);
}

static void a_program_of_the_host_connects_to_the_guest(void **state) {
    struct fixture *f = *state;
    int fd = host_connects(f, "CONNECT 22\nearly");
    struct packet p = guest_gets(f, VSOCK_REQUEST);
    assert_int_equal(p.dst_port, 22);
    struct packet answer = packet(VSOCK_RESPONSE, 22, p.src_port);
    guest_sends(f, answer);
    char expected[40];
    snprintf(expected, sizeof expected, "OK %u\n", p.src_port);
    host_reads(fd, expected);
    p = guest_gets(f, VSOCK_RW);
    assert_int_equal(p.len, 5);
    assert_memory_equal(p.data, "early", 5);
    /* The guest has no more to say, and later all of it is over. */
    answer.op = VSOCK_SHUTDOWN, answer.flags = VSOCK_NO_SEND;
    guest_sends(f, answer);
    host_sees_the_end(fd);
    assert_int_equal(send(fd, "late", 4, 0), 4);
    guest_gets(f, VSOCK_RW);
    answer.op = VSOCK_RST;
    guest_sends(f, answer);
    assert_true(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
    close(fd);
}

static void greetings_that_are_none_are_hung_up_on(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {"CONNECT \n",           "CONNECT -1\n",
                                      "CONNECT 4294967295\n", "CONNECT 1 \n",
                                      "GET / HTTP/1.1\r\n",   "CONNECT 99999999999999999999999\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = host_connects(f, bad[i]);
        host_sees_the_end(fd);
        close(fd);
    }
    guest_gets_nothing(f);
}

static void a_guest_that_refuses_ends_the_program_of_the_host(void **state) {
    struct fixture *f = *state;
    int fd = host_connects(f, "CONNECT 22\n");
    struct packet p = guest_gets(f, VSOCK_REQUEST);
    guest_sends(f, packet(VSOCK_RST, 22, p.src_port));
    host_sees_the_end(fd);
    close(fd);
}

/* ---- credit ---- */

static void the_guests_credit_is_kept_to(void **state) {
    struct fixture *f = *state;
    static char big[100000];
    int fd = connected(f), size = sizeof big;
    struct packet p = packet(VSOCK_CREDIT_UPDATE, 1000, 52);
    p.buf_alloc = 10000;
    guest_sends(f, p);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    assert_int_equal(send(fd, big, 50000, 0), 50000);
    uint32_t got = 0;
    while (got < 10000) got += guest_gets(f, VSOCK_RW).len;
    assert_int_equal(got, 10000);
    usleep(20000);
    guest_gets_nothing(f);
    p.fwd_cnt = 10000, p.buf_alloc = 20000;
    guest_sends(f, p);
    while (got < 30000) got += guest_gets(f, VSOCK_RW).len;
    assert_int_equal(got, 30000);
    /* More taken than was sent: nonsense that gives no credit. */
    p.fwd_cnt = 30001, p.buf_alloc = 20000;
    guest_sends(f, p);
    guest_gets_nothing(f);
    close(fd);
}

static void a_slow_host_program_stops_the_guest(void **state) {
    struct fixture *f = *state;
    int fd = connected(f);
    struct packet p = packet(VSOCK_RW, 1000, 52);
    uint32_t sent = 0, told = 0;
    p.len = 4000;
    /* A guest that keeps to its credit fills the kernel's socket and our buffer, and then waits. */
    for (struct packet in; sent - told + p.len <= VSOCK_BUFFER; sent += p.len) {
        memset(p.data, (int)(sent / 4000 & 0xFF), p.len);
        guest_sends(f, p);
        while (guest_looks(f, &in)) {
            assert_int_equal(in.op, VSOCK_CREDIT_UPDATE);
            told = in.fwd_cnt;
        }
    }
    assert_in_range(sent, VSOCK_BUFFER, 4 << 20);
    /* All of it arrives, and in order. */
    uint8_t got[4000];
    for (uint32_t i = 0; i < sent / 4000; i++) {
        assert_int_equal(recv(fd, got, sizeof got, MSG_WAITALL), sizeof got);
        assert_int_equal(got[0], i & 0xFF);
        assert_int_equal(got[3999], i & 0xFF);
    }
    guest_gets(f, VSOCK_CREDIT_UPDATE);
    close(fd);
}

static void a_guest_that_oversteps_its_credit_is_reset(void **state) {
    struct fixture *f = *state;
    int fd = connected(f), resets = 0;
    struct packet p = packet(VSOCK_RW, 1000, 52), in;
    p.len = 4000;
    for (int i = 0; i < 2000 && !resets; i++) {
        guest_sends(f, p);
        while (guest_looks(f, &in)) resets += in.op == VSOCK_RST;
    }
    assert_int_equal(resets, 1);
    close(fd);
}

/* ---- hostile packets ---- */

static void lengths_beyond_the_packet_reset_and_nothing_is_read(void **state) {
    struct fixture *f = *state;
    static const uint32_t lengths[] = {1, 4096, 65536, 65537, 0x7FFFFFFF, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int fd = connected(f);
        struct packet p = packet(VSOCK_RW, 1000, 52);
        p.len = lengths[i];
        guest_sends_part(f, &p, 0);
        guest_gets(f, VSOCK_RST);
        host_sees_the_end(fd);
        close(fd);
        char path[100];
        snprintf(path, sizeof path, "%s_52", f->path);
        unlink(path);
    }
}

static void packets_that_belong_to_nobody_are_answered_once(void **state) {
    struct fixture *f = *state;
    for (uint16_t op = 0; op < 10; op++) {
        if (op == VSOCK_REQUEST) continue;
        guest_sends(f, packet(op, 7, 8));
        if (op != VSOCK_RST) guest_gets(f, VSOCK_RST);
        guest_gets_nothing(f);
    }
    struct packet p = packet(VSOCK_REQUEST, 7, 8);
    p.type = 2; /* SEQPACKET was not offered */
    guest_sends(f, p);
    assert_int_equal(guest_gets(f, VSOCK_RST).type, 2);
    p = packet(VSOCK_REQUEST, 7, 8);
    p.src_cid = 4;
    guest_sends(f, p);
    p.src_cid = 3, p.dst_cid = 1;
    guest_sends(f, p);
    guest_gets_nothing(f);
    /* Half a header. */
    struct fake_used used;
    vm_loop_lock(f->loop);
    uint64_t at = fake_put(f->d, &p, 43);
    fake_offer(f->d, TX, &(struct fake_segment){at, 43, false}, 1);
    fake_kick(f->d, TX);
    assert_true(fake_take_used(f->d, TX, &used));
    assert_false(fake_is_broken(f->d));
    vm_loop_unlock(f->loop);
    guest_gets_nothing(f);
}

static void steps_out_of_turn_reset(void **state) {
    struct fixture *f = *state;
    static const uint16_t wrong[] = {0, VSOCK_REQUEST, VSOCK_RESPONSE, 8, 65535};
    char path[100];
    snprintf(path, sizeof path, "%s_52", f->path);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int fd = connected(f);
        guest_sends(f, packet(wrong[i], 1000, 52));
        guest_gets(f, VSOCK_RST);
        host_sees_the_end(fd);
        close(fd);
        unlink(path);
    }
    int fd = host_connects(f, "CONNECT 22\n");
    struct packet asked = guest_gets(f, VSOCK_REQUEST), p = packet(VSOCK_RW, 22, asked.src_port);
    p.len = 1;
    guest_sends(f, p); /* bytes before the answer */
    guest_gets(f, VSOCK_RST);
    host_sees_the_end(fd);
    close(fd);
}

static void a_guest_without_receive_buffers_is_not_listened_to(void **state) {
    struct fixture *f = *state;
    struct packet p = packet(VSOCK_RW, 7, 8);
    struct fake_used used;
    unsigned n_used = 0;
    vm_loop_lock(f->loop);
    fake_start(f->d, UINT64_MAX); /* and gives none */
    uint64_t at = fake_put(f->d, &p, VSOCK_HEADER_BYTES);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 32; i++)
            fake_offer(f->d, TX, &(struct fake_segment){at, VSOCK_HEADER_BYTES, false}, 1);
        fake_kick(f->d, TX);
        while (fake_take_used(f->d, TX, &used)) n_used++;
        if (n_used == VSOCK_RESETS) break;
    }
    assert_int_equal(n_used, VSOCK_RESETS);
    assert_false(fake_is_broken(f->d));
    vm_loop_unlock(f->loop);
}

static void connections_are_bounded(void **state) {
    struct fixture *f = *state;
    int server = host_listens(f, 52);
    unsigned n_answers = 0, n_resets = 0;
    for (uint32_t i = 0; i < VSOCK_CONNECTIONS + 10; i++) {
        guest_sends(f, packet(VSOCK_REQUEST, 1000 + i, 52));
        int fd = i < VSOCK_CONNECTIONS ? accept(server, NULL, NULL) : -1;
        struct packet p = {0};
        while (p.dst_port != 1000 + i) /* others are of ends that went before */
            if (!guest_looks(f, &p)) usleep(100);
        n_answers += p.op == VSOCK_RESPONSE, n_resets += p.op == VSOCK_RST;
        if (fd >= 0) close(fd);
        while (guest_looks(f, &p)) {} /* the host's end is gone */
    }
    assert_int_equal(n_answers, VSOCK_CONNECTIONS);
    assert_int_equal(n_resets, 10);
    close(server);
}

static void a_reset_closes_all(void **state) {
    struct fixture *f = *state;
    int fd = connected(f);
    vm_loop_lock(f->loop);
    virtio_set_status(f->d->vdev, 0);
    vm_loop_unlock(f->loop);
    host_sees_the_end(fd);
    close(fd);
    int early = host_connects(f, "CONNECT 22\n"); /* nobody is there */
    host_sees_the_end(early);
    close(early);
}

/* ---- its path ---- */

static void the_socket_is_the_owners_and_a_stale_one_is_replaced(void **state) {
    struct fixture *f = *state;
    struct stat st;
    const struct virtio_ops *ops;
    void *dev;
    struct atoll_error err;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct virtio_vsock_config config = {.loop = f->loop, .sandbox = f->sb, .spec = f->path};
    vm_loop_lock(f->loop);
    assert_int_equal(virtio_vsock_new(&config, &ops, &dev, &err), ATOLL_E_IO); /* in use */
    assert_int_equal(stat(f->path, &st), 0);
    char other[100];
    snprintf(other, sizeof other, "%s/stale", f->dir);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, other);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(fd);
    config.spec = other;
    assert_int_equal(virtio_vsock_new(&config, &ops, &dev, &err), ATOLL_OK);
    ops->reset(dev);
    ops->free(dev);
    FILE *file = fopen(other, "w"); /* not a socket: not ours to remove */
    fclose(file);
    assert_int_equal(virtio_vsock_new(&config, &ops, &dev, &err), ATOLL_E_IO);
    assert_int_equal(stat(other, &st), 0);
    vm_loop_unlock(f->loop);
}

static void specs_that_say_nothing_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",         ",cid=3",   "p,",
                                      "p,cid=",   "p,cid=2",  "p,cid=4294967295",
                                      "p,cid=3x", "p,cid=-3", "p,cid=33333333333",
                                      "p,dic=3"};
    struct atoll_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (virtio_vsock_check(bad[i], &err) != ATOLL_E_USAGE) fail_msg("\"%s\" is taken", bad[i]);
    char is_long[120];
    memset(is_long, 'p', sizeof is_long - 1), is_long[sizeof is_long - 1] = 0;
    assert_int_equal(virtio_vsock_check(is_long, &err), ATOLL_E_USAGE);
    assert_int_equal(virtio_vsock_check("/tmp/p,cid=4294967294", &err), ATOLL_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {T(a_guest_talks_to_a_socket_of_the_host),
                                       T(a_port_without_a_socket_is_reset),
                                       T(a_program_of_the_host_connects_to_the_guest),
                                       T(greetings_that_are_none_are_hung_up_on),
                                       T(a_guest_that_refuses_ends_the_program_of_the_host),
                                       T(the_guests_credit_is_kept_to),
                                       T(a_slow_host_program_stops_the_guest),
                                       T(a_guest_that_oversteps_its_credit_is_reset),
                                       T(lengths_beyond_the_packet_reset_and_nothing_is_read),
                                       T(packets_that_belong_to_nobody_are_answered_once),
                                       T(steps_out_of_turn_reset),
                                       T(a_guest_without_receive_buffers_is_not_listened_to),
                                       T(connections_are_bounded),
                                       T(a_reset_closes_all),
                                       T(the_socket_is_the_owners_and_a_stale_one_is_replaced),
                                       cmocka_unit_test(specs_that_say_nothing_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
