/* tests/sysvm/net/user_test.c: a guest's frames through libslirp to sockets of this machine's loopback. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "tests/sysvm/net/wire.h"

#define GUEST "10.0.2.15"

static struct wire *open_user(const char *format, unsigned port) {
    char spec[200];
    snprintf(spec, sizeof spec, format, port);
    struct wire *w = wire_open(spec);
    wire_put(w, arp_request(GUEST, "10.0.2.2"));
    struct wire_frame *f = wire_take(w); /* libslirp knows now where the guest is */
    assert_int_equal(vnet_get16(f->bytes + 12), 0x0806);
    free(f);
    return w;
}

static void the_guest_gets_an_address(void **state) {
    (void)state;
    struct wire *w = wire_open("user");
    uint8_t request[300] = {1, 1, 6, 0, 1, 2, 3, 4};
    static const uint8_t options[] = {99, 130, 83, 99, 53, 1, 1, 255};
    memcpy(request + 28, guest_mac, 6), memcpy(request + 236, options, sizeof options);
    wire_put(w, udp4("0.0.0.0", 68, "255.255.255.255", 67, request, sizeof request));
    struct wire_frame *f = wire_take_ip4(w, IPPROTO_UDP);
    const uint8_t *reply = f->bytes + ETH + IP4 + 8;
    assert_int_equal(reply[0], 2);
    assert_int_equal(vnet_get32(reply + 16), VNET_GUEST4);
    free(f);
    wire_close(w);
}

static void a_granted_udp_port_answers(void **state) {
    (void)state;
    uint16_t port;
    int server = host_socket(SOCK_DGRAM, &port);
    struct wire *w = open_user("user:allow=udp:host:%u", port);
    wire_put(w, udp4(GUEST, 4000, "10.0.2.2", port, "ping", 4));
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char text[16];
    host_wait(server);
    assert_int_equal(recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &size), 4);
    assert_int_equal(sendto(server, "pong!", 5, 0, (struct sockaddr *)&from, size), 5);
    struct wire_frame *f = wire_take_ip4(w, IPPROTO_UDP);
    const uint8_t *udp = f->bytes + ETH + IP4;
    assert_int_equal(vnet_get32(f->bytes + ETH + 12), VNET_HOST4);
    assert_int_equal(vnet_get16(udp), port);
    assert_int_equal(vnet_get16(udp + 2), 4000);
    assert_memory_equal(udp + 8, "pong!", 5);
    free(f);
    wire_close(w);
    close(server);
}

static void a_port_nobody_granted_is_refused_and_not_touched(void **state) {
    (void)state;
    uint16_t port;
    int server = host_socket(SOCK_STREAM, &port);
    struct wire *w = open_user("user", 0);
    static const char *const spelled[] = {"10.0.2.2", "127.0.0.1", "0.0.0.0"};
    for (size_t i = 0; i < 3; i++) {
        wire_put(w, tcp4(GUEST, 40000, spelled[i], port, SYN, 1, 0));
        struct wire_frame *f = wire_take_ip4(w, IPPROTO_ICMP);
        assert_int_equal(vnet_get16(f->bytes + ETH + IP4), 0x030D);
        free(f);
    }
    struct pollfd p = {.fd = server, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    wire_close(w);
    close(server);
}

/* The guest's end of a connection to `port` of the host; returns the host's. */
static int shake_hands(struct wire *w, int server, uint16_t port, uint32_t *out_sequence) {
    wire_put(w, tcp4(GUEST, 40000, "10.0.2.2", port, SYN, 1000, 0));
    struct wire_frame *f = wire_take_ip4(w, IPPROTO_TCP);
    const uint8_t *tcp = f->bytes + ETH + IP4;
    assert_int_equal(tcp[13] & (SYN | ACK | RST), SYN | ACK);
    assert_int_equal(vnet_get32(tcp + 8), 1001);
    *out_sequence = vnet_get32(tcp + 4) + 1;
    free(f);
    wire_put(w, tcp4(GUEST, 40000, "10.0.2.2", port, ACK, 1001, *out_sequence));
    host_wait(server);
    int fd = accept(server, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void a_large_segment_goes_as_one_frame(void **state) {
    (void)state;
    enum { N = 30000 };
    uint16_t port;
    uint32_t sequence;
    int server = host_socket(SOCK_STREAM, &port);
    struct wire *w = open_user("user:allow=tcp:host:%u", port);
    int fd = shake_hands(w, server, port, &sequence);
    struct frame head = tcp4(GUEST, 40000, "10.0.2.2", port, ACK, 1001, sequence);
    uint8_t *big = calloc(1, head.n + N), *ip = big + ETH, *tcp = ip + IP4, got[4096];
    memcpy(big, head.bytes, head.n);
    for (size_t i = 0; i < N; i++) big[head.n + i] = (uint8_t)(i * 7 + i / 251);
    vnet_put16(ip + 2, IP4 + 20 + N);
    memset(ip + 10, 0, 2);
    uint16_t sum = raw_sum(0, ip, IP4);
    memcpy(ip + 10, &sum, 2);
    /* As a driver leaves it: the sum of the addresses, the rest to do. */
    uint8_t pseudo[4] = {0, IPPROTO_TCP, (20 + N) >> 8, (20 + N) & 0xFF};
    sum = (uint16_t)~raw_sum(vnet_sum(0, ip + 12, 8), pseudo, 4);
    memcpy(tcp + 16, &sum, 2);
    struct vnet_header header = {.flags = VNET_NEEDS_CSUM,
                                 .gso_type = VNET_GSO_TCPV4,
                                 .gso_size = 1460,
                                 .hdr_len = ETH + IP4 + 20,
                                 .csum_start = ETH + IP4,
                                 .csum_offset = 16};
    assert_true(vnet_header_fits(&header, vnet_offloads(w->net), head.n + N));
    assert_int_equal(wire_send(w, &header, big, head.n + N), 0);
    for (size_t n = 0; n < N;) {
        host_wait(fd);
        ssize_t k = recv(fd, got, sizeof got, 0);
        assert_true(k > 0);
        assert_memory_equal(got, big + head.n + n, (size_t)k);
        n += (size_t)k;
    }
    free(big);
    close(fd);
    wire_close(w);
    close(server);
}

static void a_forwarded_port_reaches_the_guest(void **state) {
    (void)state;
    uint16_t port;
    int probe = host_socket(SOCK_STREAM, &port);
    close(probe);
    struct wire *w = open_user("user:hostfwd=tcp::%u-:22", port);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct wire_frame *f = wire_take_ip4(w, IPPROTO_TCP);
    const uint8_t *tcp = f->bytes + ETH + IP4;
    assert_int_equal(vnet_get32(f->bytes + ETH + 12), VNET_HOST4);
    assert_int_equal(vnet_get16(tcp + 2), 22);
    assert_int_equal(tcp[13] & (SYN | ACK), SYN);
    /* The guest takes the connection and hangs up at once. */
    unsigned far_port = vnet_get16(tcp);
    uint32_t next = vnet_get32(tcp + 4) + 1;
    free(f);
    wire_put(w, tcp4(GUEST, 22, "10.0.2.2", far_port, RST | ACK, 0, next));
    char byte;
    host_wait(fd);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    wire_close(w);
}

static void a_port_in_use_cannot_be_forwarded(void **state) {
    (void)state;
    uint16_t port;
    int server = host_socket(SOCK_STREAM, &port);
    struct wire *w = wire_new();
    struct atoll_error err = {.text = ""};
    char spec[100], expected[100];
    snprintf(spec, sizeof spec, "user:hostfwd=tcp::%u-:22", port);
    snprintf(expected, sizeof expected, "cannot forward tcp port 127.0.0.1:%u: Address already in use", port);
    assert_int_equal(wire_try(w, spec, &err), ATOLL_E_IO);
    assert_string_equal(err.text, expected);
    wire_close(w);
    close(server);
}

static void frames_wait_for_room_but_not_all(void **state) {
    (void)state;
    enum { SENT = 3000 };
    struct wire *w = open_user("user", 0);
    w->full = true;
    for (int i = 0; i < SENT; i++) {
        struct frame f = icmp("10.0.2.2", 8);
        f.n += 1000; /* padding, which libslirp takes off */
        memset(f.bytes + f.n - 1000, 0, 1000);
        vnet_put16(f.bytes + ETH + 2, 20 + 1016);
        memset(f.bytes + ETH + 10, 0, 2);
        uint16_t sum = raw_sum(0, f.bytes + ETH, IP4);
        memcpy(f.bytes + ETH + 10, &sum, 2);
        wire_put(w, f);
    }
    vm_loop_lock(w->loop);
    w->full = false;
    vnet_receive_ready(w->net);
    vm_loop_unlock(w->loop);
    assert_in_range(w->n_frames, 100, 700); /* of 512 KiB */
    wire_close(w);
}

static size_t n_descriptors(void) {
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

static void a_guest_cannot_use_up_the_descriptors(void **state) {
    (void)state;
    uint16_t port;
    int server = host_socket(SOCK_DGRAM, &port);
    struct wire *w = open_user("user:allow=udp:host:%u", port);
    size_t before = n_descriptors();
    for (unsigned i = 0; i < 3000; i++) wire_put(w, udp4(GUEST, 1000 + i, "10.0.2.2", port, "x", 1));
    assert_in_range(n_descriptors() - before, 256, 512);
    wire_close(w);
    assert_true(n_descriptors() < before);
    close(server);
}

/* Who connects is on the host's side, and may be anybody there. */
static void a_forwarded_port_cannot_use_up_the_descriptors(void **state) {
    (void)state;
    enum { SEEN = 500, CLIENTS = 700 };
    struct rlimit limit;
    uint16_t port;
    int clients[CLIENTS], probe = host_socket(SOCK_STREAM, &port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(probe);
    struct wire *w = open_user("user:hostfwd=tcp::%u-:22", port);
    size_t before = n_descriptors();
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(clients[i] >= 0);
        connect(clients[i], (struct sockaddr *)&to, sizeof to);
        if (i < SEEN) free(wire_take_ip4(w, IPPROTO_TCP)); /* it came to the guest */
        assert_true(n_descriptors() - before <= i + 1 + 512);
    }
    free(wire_take_ip4(w, IPPROTO_TCP)); /* those that came are tried again, and the others wait outside */
    assert_true(n_descriptors() - before <= CLIENTS + 512);
    for (unsigned i = 0; i < CLIENTS; i++) close(clients[i]);
    wire_close(w);
}

static void specs_that_say_nothing_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "users",
                                      "user,",
                                      "tap",
                                      "user:what",
                                      "user:hostfwd=",
                                      "user:hostfwd=80-:80",
                                      "user:hostfwd=:80:80",
                                      "user:hostfwd=:0-:80",
                                      "user:hostfwd=:80-:65536",
                                      "user:hostfwd=sctp::80-:80",
                                      "user:hostfwd=:80-192.0.2.1:80",
                                      "user:hostfwd=1.2.3.4.5:80-:80",
                                      "user:hostfwd=:80-:80x",
                                      "user:ipv6=maybe",
                                      "user:ipv6=on,,"};
    struct atoll_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (vnet_spec_check(bad[i], &err) != ATOLL_E_USAGE) fail_msg("\"%s\" is taken", bad[i]);
    struct wire *w = wire_new();
    assert_int_equal(wire_try(w, "user:allow=any:x", &err), ATOLL_E_USAGE);
    assert_int_equal(wire_try(w, "tap=", &err), ATOLL_E_USAGE);
    assert_int_equal(wire_try(w, "tap=a/b", &err), ATOLL_E_USAGE);
    assert_int_equal(wire_try(w, "tap=sixteen-letters-", &err), ATOLL_E_USAGE);
    wire_close(w);
    char many[65 * 24] = "user:";
    for (unsigned i = 0; i < 65; i++)
        snprintf(many + strlen(many), 24, "%shostfwd=:%u-:80", i ? "," : "", 1000 + i);
    assert_int_equal(vnet_spec_check(many, &err), ATOLL_E_USAGE);
    assert_non_null(strstr(err.text, "64 forwards"));
}

int main(void) {
    if (!dlopen("libslirp.so.0", RTLD_LAZY)) return puts("no libslirp here: skipped"), 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guest_gets_an_address),
        cmocka_unit_test(a_granted_udp_port_answers),
        cmocka_unit_test(a_port_nobody_granted_is_refused_and_not_touched),
        cmocka_unit_test(a_large_segment_goes_as_one_frame),
        cmocka_unit_test(a_forwarded_port_reaches_the_guest),
        cmocka_unit_test(a_port_in_use_cannot_be_forwarded),
        cmocka_unit_test(frames_wait_for_room_but_not_all),
        cmocka_unit_test(a_guest_cannot_use_up_the_descriptors),
        cmocka_unit_test(a_forwarded_port_cannot_use_up_the_descriptors),
        cmocka_unit_test(specs_that_say_nothing_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
