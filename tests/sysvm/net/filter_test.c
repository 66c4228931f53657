/* tests/sysvm/net/filter_test.c: what of a guest's frames reaches libslirp, and what the sandbox is asked. */
#include "tests/sysvm/net/packets.h"

#define GUEST "10.0.2.15"

struct world {
    struct sandbox *sb;
    struct vnet_filter filter;
    unsigned n_asked;
    char last[256];
};

static void keep_line(void *context, const char *line) {
    struct world *w = context;
    w->n_asked++;
    snprintf(w->last, sizeof w->last, "%s", line);
}

static int start(void **state) {
    struct world *w = test_calloc(1, sizeof *w);
    struct sb_config config = {.trace = keep_line, .trace_context = w};
    *state = w;
    if (sb_new(&config, &w->sb, NULL)) return 1;
    w->filter = (struct vnet_filter){.sandbox = w->sb, .ipv6 = true};
    static const char *const rules[] = {"tcp:host:8080", "udp:203.0.113.7:500", "icmp:203.0.113.7", "dns",
                                        "[2001:db8::]/32:443"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (sb_rule_connect(w->sb, true, rules[i], NULL)) return 1;
    return 0;
}

static int stop(void **state) {
    struct world *w = *state;
    sb_free(w->sb);
    test_free(w);
    return 0;
}

static enum vnet_verdict verdict(struct world *w, struct frame f) {
    size_t n_answer = 0;
    w->n_asked = 0;
    enum vnet_verdict v = vnet_filter_out(&w->filter, f.bytes, f.n, &n_answer);
    assert_true((v == VNET_REFUSE) == (n_answer > 0));
    return v;
}

static struct frame syn(const char *to, unsigned port) { return tcp4(GUEST, 40000, to, port, SYN, 1, 0); }

static void the_first_segment_of_a_connection_asks(void **state) {
    struct world *w = *state;
    assert_int_equal(verdict(w, syn("10.0.2.2", 8080)), VNET_PASS);
    assert_string_equal(w->last, "net.connect \"tcp 127.0.0.1:8080\" = ok");
    assert_int_equal(verdict(w, syn("10.0.2.2", 22)), VNET_REFUSE);
    assert_string_equal(w->last, "net.connect \"tcp 127.0.0.1:22\" = denied EACCES");
    assert_int_equal(verdict(w, syn("203.0.113.7", 80)), VNET_REFUSE);
    assert_int_equal(verdict(w, tcp4(GUEST, 40000, "203.0.113.7", 80, ACK, 2, 2)), VNET_PASS);
    assert_int_equal(w->n_asked, 0);
    assert_int_equal(verdict(w, tcp4(GUEST, 40000, "203.0.113.7", 80, SYN | ACK, 2, 2)), VNET_PASS);
    assert_int_equal(verdict(w, tcp4(GUEST, 40000, "203.0.113.7", 80, SYN | FIN, 2, 2)), VNET_REFUSE);
}

static void the_loopback_spelled_otherwise_is_the_loopback(void **state) {
    struct world *w = *state;
    static const char *const spelled[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(verdict(w, syn(spelled[i], 22)), VNET_REFUSE);
        assert_int_equal(verdict(w, syn(spelled[i], 8080)), VNET_PASS);
    }
    static const char *const spelled6[] = {"::1", "::", "::ffff:127.0.0.1", VNET_HOST6};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(verdict(w, tcp6(VNET_PREFIX6 "15", spelled6[i], 22, SYN)), VNET_REFUSE);
        assert_int_equal(verdict(w, tcp6(VNET_PREFIX6 "15", spelled6[i], 8080, SYN)), VNET_PASS);
    }
}

static void addresses_nobody_has_are_refused(void **state) {
    struct world *w = *state;
    assert_int_equal(sb_rule_connect(w->sb, true, "any", NULL), 0);
    static const char *const nobody[] = {"10.0.2.1", "10.0.2.15", "10.0.2.255", "255.255.255.255"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(verdict(w, syn(nobody[i], 8080)), VNET_REFUSE);
        assert_int_equal(verdict(w, udp4(GUEST, 4000, nobody[i], 500, "x", 1)), VNET_REFUSE);
        assert_int_equal(w->n_asked, 0);
    }
    assert_int_equal(verdict(w, tcp6(VNET_PREFIX6 "15", VNET_PREFIX6 "99", 8080, SYN)), VNET_REFUSE);
    assert_int_equal(verdict(w, tcp6(VNET_PREFIX6 "15", "ff02::1", 8080, SYN)), VNET_REFUSE);
}

static void the_name_server_has_one_port(void **state) {
    struct world *w = *state;
    assert_int_equal(verdict(w, udp4(GUEST, 4000, "10.0.2.3", 53, "x", 1)), VNET_PASS);
    assert_string_equal(w->last, "net.resolve = ok");
    assert_int_equal(verdict(w, syn("10.0.2.3", 53)), VNET_PASS);
    assert_int_equal(verdict(w, syn("10.0.2.3", 22)), VNET_REFUSE);
    assert_int_equal(verdict(w, udp4(GUEST, 4000, "10.0.2.3", 54, "x", 1)), VNET_REFUSE);
}

static void a_flow_asks_once(void **state) {
    struct world *w = *state;
    struct frame f = udp4(GUEST, 4000, "203.0.113.7", 500, "x", 1);
    assert_int_equal(verdict(w, f), VNET_PASS);
    assert_int_equal(w->n_asked, 1);
    assert_int_equal(verdict(w, f), VNET_PASS);
    assert_int_equal(w->n_asked, 0);
    assert_int_equal(verdict(w, udp4(GUEST, 4000, "203.0.113.7", 501, "x", 1)), VNET_REFUSE);
    assert_int_equal(w->n_asked, 1);
    assert_int_equal(verdict(w, udp4(GUEST, 4000, "203.0.113.7", 501, "x", 1)), VNET_REFUSE);
    assert_int_equal(w->n_asked, 0);
}

static void only_echo_requests_go_out(void **state) {
    struct world *w = *state;
    assert_int_equal(verdict(w, icmp("203.0.113.7", 8)), VNET_PASS);
    assert_string_equal(w->last, "net.connect \"icmp 203.0.113.7\" = ok");
    assert_int_equal(verdict(w, icmp("203.0.113.8", 8)), VNET_REFUSE);
    assert_int_equal(verdict(w, icmp("10.0.2.2", 8)), VNET_PASS);
    static const unsigned others[] = {0, 3, 5, 13, 17, 255};
    for (size_t i = 0; i < 6; i++) assert_int_equal(verdict(w, icmp("203.0.113.7", others[i])), VNET_DROP);
    assert_int_equal(verdict(w, icmp6(VNET_HOST6, 128)), VNET_PASS);
    assert_int_equal(verdict(w, icmp6("2001:db8::1", 128)), VNET_DROP);
    assert_int_equal(verdict(w, icmp6("ff02::1:ff00:2", 135)), VNET_PASS);
    assert_int_equal(verdict(w, icmp6("ff02::1", 134)), VNET_DROP); /* a guest is no router */
}

static void what_hides_its_ports_does_not_pass(void **state) {
    struct world *w = *state;
    struct frame f = syn("10.0.2.2", 8080);
    vnet_put16(f.bytes + ETH + 6, 0x2000); /* more fragments */
    assert_int_equal(verdict(w, f), VNET_DROP);
    vnet_put16(f.bytes + ETH + 6, 1); /* the second */
    assert_int_equal(verdict(w, f), VNET_DROP);
    vnet_put16(f.bytes + ETH + 6, 0x4000); /* do not fragment */
    assert_int_equal(verdict(w, f), VNET_PASS);
    f.bytes[ETH] = 0x46; /* an option */
    assert_int_equal(verdict(w, f), VNET_DROP);
    f = tcp6(VNET_PREFIX6 "15", "2001:db8::1", 443, SYN);
    assert_int_equal(verdict(w, f), VNET_PASS);
    static const uint8_t extensions[] = {0, 43, 44, 50, 51, 60, 135};
    for (size_t i = 0; i < sizeof extensions; i++) {
        f.bytes[ETH + 6] = extensions[i];
        assert_int_equal(verdict(w, f), VNET_DROP);
    }
}

static void sources_that_are_not_the_guest_do_not_pass(void **state) {
    struct world *w = *state;
    assert_int_equal(verdict(w, tcp4("192.0.2.1", 1, "10.0.2.2", 8080, SYN, 1, 0)), VNET_DROP);
    assert_int_equal(verdict(w, udp4("0.0.0.0", 1, "203.0.113.7", 500, "", 0)), VNET_DROP);
    assert_int_equal(verdict(w, tcp6("2001:db8::5", "2001:db8::1", 443, SYN)), VNET_DROP);
    assert_int_equal(verdict(w, udp4("0.0.0.0", 68, "255.255.255.255", 67, "", 0)), VNET_PASS); /* DHCP */
    assert_int_equal(verdict(w, udp4(GUEST, 4000, "10.0.2.2", 69, "", 0)), VNET_DROP);          /* TFTP */
}

static void lengths_that_lie_do_not_pass(void **state) {
    struct world *w = *state;
    struct frame whole = syn("10.0.2.2", 8080), f;
    for (size_t n = 0; n < whole.n; n++) {
        f = whole;
        f.n = n;
        assert_int_equal(verdict(w, f), VNET_DROP);
    }
    f = whole;
    f.n += 6; /* what Ethernet pads is not the packet's */
    assert_int_equal(verdict(w, f), VNET_PASS);
    static const unsigned totals[] = {0, 19, 20, 39, 41, 65535};
    for (size_t i = 0; i < 6; i++) {
        f = whole;
        vnet_put16(f.bytes + ETH + 2, totals[i]);
        assert_int_equal(verdict(w, f), VNET_DROP);
    }
    whole = tcp6(VNET_PREFIX6 "15", "2001:db8::1", 443, SYN);
    for (size_t n = 0; n < whole.n; n++) {
        f = whole;
        f.n = n;
        assert_int_equal(verdict(w, f), VNET_DROP);
    }
    f = arp_request(GUEST, "10.0.2.2");
    assert_int_equal(verdict(w, f), VNET_PASS);
    f.n = 41;
    assert_int_equal(verdict(w, f), VNET_DROP);
    put_ethernet(&f, 0x88F8); /* NC-SI */
    f.n = 60;
    assert_int_equal(verdict(w, f), VNET_DROP);
}

static void when_sockets_are_out_nothing_new_starts(void **state) {
    struct world *w = *state;
    struct frame known = udp4(GUEST, 4000, "203.0.113.7", 500, "x", 1);
    assert_int_equal(verdict(w, known), VNET_PASS);
    w->filter.full = true;
    assert_int_equal(verdict(w, known), VNET_PASS);
    assert_int_equal(verdict(w, udp4(GUEST, 4001, "203.0.113.7", 500, "x", 1)), VNET_DROP);
    assert_int_equal(verdict(w, syn("10.0.2.2", 8080)), VNET_DROP);
    assert_int_equal(verdict(w, icmp("203.0.113.7", 8)), VNET_DROP);
}

static void a_refusal_tells_the_guest(void **state) {
    struct world *w = *state;
    struct frame f = syn("203.0.113.9", 80);
    size_t n = 0;
    assert_int_equal(vnet_filter_out(&w->filter, f.bytes, f.n, &n), VNET_REFUSE);
    const uint8_t *a = w->filter.answer;
    assert_int_equal(n, ETH + 20 + 8 + 28);
    assert_memory_equal(a, guest_mac, 6);
    assert_int_equal(raw_sum(0, a + ETH, 20), 0);
    assert_int_equal(raw_sum(0, a + ETH + 20, 36), 0);
    assert_int_equal(a[ETH + 20], 3);
    assert_int_equal(a[ETH + 21], 13);
    assert_memory_equal(a + ETH + 28, f.bytes + ETH, 28);
    f = tcp6(VNET_PREFIX6 "15", "2001:dead::1", 80, SYN);
    assert_int_equal(vnet_filter_out(&w->filter, f.bytes, f.n, &n), VNET_REFUSE);
    uint8_t pseudo[4] = {0, IPPROTO_ICMPV6, 0, 56};
    assert_int_equal(n, ETH + 40 + 8 + 48);
    assert_int_equal(raw_sum(vnet_sum(vnet_sum(0, a + ETH + 8, 32), pseudo, 4), a + ETH + 40, 56), 0);
}

static void who_writes_to_a_forwarded_port_may_be_answered(void **state) {
    struct world *w = *state;
    struct vnet_forward forward = {.udp = true, .guest.s_addr = inet_addr(GUEST), .guest_port = 53};
    struct frame answer = udp4(GUEST, 53, "10.0.2.2", 5555, "x", 1);
    w->filter.forwards = &forward, w->filter.n_forwards = 1;
    assert_int_equal(verdict(w, answer), VNET_REFUSE);
    struct frame question = udp4("10.0.2.2", 5555, GUEST, 53, "x", 1),
                 other = udp4("10.0.2.2", 5556, GUEST, 54, "x", 1);
    vnet_filter_in(&w->filter, question.bytes, question.n);
    vnet_filter_in(&w->filter, other.bytes, other.n);
    assert_int_equal(verdict(w, answer), VNET_PASS);
    assert_int_equal(verdict(w, udp4(GUEST, 53, "10.0.2.2", 5557, "x", 1)), VNET_REFUSE);
    assert_int_equal(verdict(w, udp4(GUEST, 54, "10.0.2.2", 5556, "x", 1)), VNET_REFUSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_segment_of_a_connection_asks, start, stop),
        cmocka_unit_test_setup_teardown(the_loopback_spelled_otherwise_is_the_loopback, start, stop),
        cmocka_unit_test_setup_teardown(addresses_nobody_has_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(the_name_server_has_one_port, start, stop),
        cmocka_unit_test_setup_teardown(a_flow_asks_once, start, stop),
        cmocka_unit_test_setup_teardown(only_echo_requests_go_out, start, stop),
        cmocka_unit_test_setup_teardown(what_hides_its_ports_does_not_pass, start, stop),
        cmocka_unit_test_setup_teardown(sources_that_are_not_the_guest_do_not_pass, start, stop),
        cmocka_unit_test_setup_teardown(lengths_that_lie_do_not_pass, start, stop),
        cmocka_unit_test_setup_teardown(when_sockets_are_out_nothing_new_starts, start, stop),
        cmocka_unit_test_setup_teardown(a_refusal_tells_the_guest, start, stop),
        cmocka_unit_test_setup_teardown(who_writes_to_a_forwarded_port_may_be_answered, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
