/* tests/sysvm/net/tap_test.c: a tap interface in a network namespace of the test's own. */
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include "tests/sysvm/net/wire.h"

#define TAP   "atap0"
#define HOST  "192.0.2.1"
#define GUEST "192.0.2.2"

/* Brings the interface up with an address; the back end has made it. */
static void configure(void) {
    struct ifreq r = {.ifr_name = TAP};
    struct sockaddr_in *a = (struct sockaddr_in *)&r.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(HOST)};
    assert_int_equal(ioctl(fd, SIOCSIFADDR, &r), 0);
    a->sin_addr.s_addr = htonl(0xFFFFFF00u);
    assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &r), 0);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
    r.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
    close(fd);
}

static void echo_requests_are_answered_by_the_kernel(void **state) {
    (void)state;
    struct wire *w = wire_open("tap=" TAP);
    configure();
    wire_put(w, arp_request(GUEST, HOST));
    struct frame f = icmp(HOST, 8);
    uint8_t *ip = f.bytes + ETH;
    inet_pton(AF_INET, GUEST, ip + 12);
    memset(ip + 10, 0, 2);
    uint16_t sum = raw_sum(0, ip, IP4);
    memcpy(ip + 10, &sum, 2);
    wire_put(w, f);
    struct wire_frame *reply = wire_take_ip4(w, IPPROTO_ICMP);
    assert_int_equal(reply->bytes[ETH + IP4], 0);
    assert_memory_equal(reply->bytes, guest_mac, 6);
    free(reply);
    wire_close(w);
}

static void frames_wait_in_the_kernel_while_the_guest_has_no_room(void **state) {
    (void)state;
    enum { N = 20 };
    struct wire *w = wire_open("tap=" TAP);
    w->full = true;
    configure();
    wire_put(w, arp_request(GUEST, HOST)); /* so that the kernel knows where to send */
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr(GUEST)};
    for (uint8_t i = 0; i < N; i++)
        assert_int_equal(sendto(fd, &i, 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    vm_loop_lock(w->loop);
    assert_int_equal(w->n_frames, 0);
    w->full = false;
    vnet_receive_ready(w->net);
    vm_loop_unlock(w->loop);
    for (uint8_t i = 0; i < N; i++) {
        struct wire_frame *f = wire_take_ip4(w, IPPROTO_UDP);
        assert_int_equal(f->bytes[ETH + IP4 + 8], i);
        free(f);
    }
    close(fd);
    wire_close(w);
}

static void an_interface_that_goes_is_a_cable_pulled(void **state) {
    (void)state;
    struct wire *w = wire_open("tap=" TAP);
    configure();
    assert_int_equal(system("ip link del " TAP " 2>/dev/null"), 0);
    for (int i = 0; i < 10; i++) wire_put(w, arp_request(GUEST, HOST));
    wire_close(w);
}

static void an_interface_in_use_is_refused(void **state) {
    (void)state;
    struct wire *w = wire_open("tap=" TAP), *second = wire_new();
    struct atoll_error err = {.text = ""};
    assert_int_equal(wire_try(second, "tap=" TAP, &err), ATOLL_E_IO);
    assert_string_equal(err.text, "tap '" TAP "': cannot attach: Device or resource busy");
    wire_close(second);
    wire_close(w);
}

int main(void) {
    if (unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK))
        return puts("no network namespace or no /dev/net/tun for us: skipped"), 77;
    bool has_ip = system("ip link >/dev/null 2>&1") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo_requests_are_answered_by_the_kernel),
        cmocka_unit_test(frames_wait_in_the_kernel_while_the_guest_has_no_room),
        cmocka_unit_test(an_interface_in_use_is_refused),
        cmocka_unit_test(an_interface_that_goes_is_a_cable_pulled),
    };
    return _cmocka_run_group_tests("tap", tests, has_ip ? 4 : 3, NULL, NULL);
}
