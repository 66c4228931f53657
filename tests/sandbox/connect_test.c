/* tests/sandbox/connect_test.c: which far ends rules let through, spelled in every way a guest may try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants the four above */
#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "sandbox/sandbox.h"

struct world {
    struct sandbox *sb;
    char last[256]; /* the last trace line */
};

static void keep_line(void *context, const char *line) {
    struct world *w = context;
    snprintf(w->last, sizeof w->last, "%s", line);
}

static int start(void **state) {
    static struct world w;
    memset(&w, 0, sizeof w);
    struct sb_config config = {.trace = keep_line, .trace_context = &w};
    *state = &w;
    return sb_new(&config, &w.sb, NULL);
}

static int stop(void **state) {
    struct world *w = *state;
    sb_free(w->sb);
    return 0;
}

static void rule(struct world *w, bool allow, const char *text) {
    struct atoll_error err = {.text = ""};
    if (sb_rule_connect(w->sb, allow, text, &err)) fail_msg("%s", err.text);
}

static bool reaches(struct world *w, enum sb_protocol protocol, const char *ip, uint16_t port) {
    struct sb_address a = {.protocol = protocol, .port = port};
    char mapped[80];
    snprintf(mapped, sizeof mapped, "%s%s", strchr(ip, ':') ? "" : "::ffff:", ip);
    assert_int_equal(inet_pton(AF_INET6, mapped, a.ip), 1);
    int error = sb_net_may_connect(w->sb, &a);
    assert_true(error == 0 || error == EACCES);
    return error == 0;
}

static void nothing_is_reached_without_a_rule(void **state) {
    struct world *w = *state;
    assert_false(reaches(w, SB_TCP, "203.0.113.1", 80));
    assert_string_equal(w->last, "net.connect \"tcp 203.0.113.1:80\" = denied EACCES");
    assert_false(reaches(w, SB_ICMP, "2001:db8::1", 0));
    assert_string_equal(w->last, "net.connect \"icmp [2001:db8::1]\" = denied EACCES");
    assert_int_equal(sb_net_may_resolve(w->sb), EACCES);
    assert_string_equal(w->last, "net.resolve = denied EACCES");
    assert_false(sb_rules_reach_host(w->sb));
}

static void public_is_not_this_machine_nor_its_links(void **state) {
    struct world *w = *state;
    rule(w, true, "public");
    assert_true(reaches(w, SB_TCP, "203.0.113.1", 80));
    assert_string_equal(w->last, "net.connect \"tcp 203.0.113.1:80\" = ok");
    assert_true(reaches(w, SB_UDP, "2001:db8::1", 53));
    static const char *const inner[] = {
        "127.0.0.1", "127.9.8.7", "::1",         "0.0.0.0",         "0.1.2.3",   "::",     "169.254.169.254",
        "fe80::1",   "febf::1",   "224.0.0.251", "255.255.255.255", "240.0.0.1", "ff02::1"};
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
        if (reaches(w, SB_TCP, inner[i], 80)) fail_msg("%s is reached", inner[i]);
    assert_int_equal(sb_net_may_resolve(w->sb), EACCES);
    assert_false(sb_rules_reach_host(w->sb));
}

static void public_is_no_address_of_this_machine(void **state) {
    struct world *w = *state;
    struct ifaddrs *all;
    rule(w, true, "public");
    assert_int_equal(getifaddrs(&all), 0);
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET) continue;
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &((const struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof text);
        if (reaches(w, SB_TCP, text, 80)) fail_msg("%s is reached", text);
    }
    freeifaddrs(all);
}

static void the_first_rule_that_fits_decides(void **state) {
    struct world *w = *state;
    rule(w, true, "tcp:10.1.2.3:8000-8001");
    rule(w, false, "10.0.0.0/8");
    rule(w, true, "any:80");
    assert_true(reaches(w, SB_TCP, "10.1.2.3", 8000));
    assert_true(reaches(w, SB_TCP, "10.1.2.3", 8001));
    assert_false(reaches(w, SB_TCP, "10.1.2.3", 8002));
    assert_false(reaches(w, SB_UDP, "10.1.2.3", 8000));
    assert_false(reaches(w, SB_TCP, "10.1.2.4", 80));
    assert_true(reaches(w, SB_TCP, "11.1.2.4", 80));
    assert_false(reaches(w, SB_TCP, "11.1.2.4", 81));
    assert_true(sb_rules_reach_host(w->sb));
}

static void networks_end_at_their_last_bit(void **state) {
    struct world *w = *state;
    rule(w, true, "192.0.2.128/25");
    rule(w, true, "[2001:db8:8000::]/33:443");
    assert_true(reaches(w, SB_TCP, "192.0.2.128", 1));
    assert_true(reaches(w, SB_TCP, "192.0.2.255", 1));
    assert_false(reaches(w, SB_TCP, "192.0.2.127", 1));
    assert_false(reaches(w, SB_TCP, "192.0.3.128", 1));
    assert_true(reaches(w, SB_TCP, "2001:db8:ffff::1", 443));
    assert_false(reaches(w, SB_TCP, "2001:db8:7fff::1", 443));
    assert_false(sb_rules_reach_host(w->sb));
}

static void the_loopback_has_many_spellings_and_one_rule(void **state) {
    struct world *w = *state;
    rule(w, true, "tcp:host:8080");
    static const char *const spelled[] = {"127.0.0.1", "127.1.1.1", "0.0.0.0", "::", "::1"};
    for (size_t i = 0; i < sizeof spelled / sizeof *spelled; i++) {
        assert_true(reaches(w, SB_TCP, spelled[i], 8080));
        assert_false(reaches(w, SB_TCP, spelled[i], 8081));
        assert_false(reaches(w, SB_UDP, spelled[i], 8080));
    }
    assert_true(sb_rules_reach_host(w->sb));
}

static void a_denied_port_of_the_loopback_stays_denied_however_it_is_spelled(void **state) {
    struct world *w = *state;
    rule(w, false, "127.0.0.1:22");
    rule(w, true, "any");
    assert_false(reaches(w, SB_TCP, "127.0.0.1", 22));
    assert_false(reaches(w, SB_TCP, "0.0.0.0", 22));
    assert_true(reaches(w, SB_TCP, "127.0.0.1", 23));
}

static void names_are_looked_up_once(void **state) {
    struct world *w = *state;
    rule(w, true, "localhost:80");
    assert_true(reaches(w, SB_TCP, "127.0.0.1", 80));
    assert_false(reaches(w, SB_TCP, "127.0.0.2", 80));
}

static void dns_is_a_rule_of_its_own(void **state) {
    struct world *w = *state;
    rule(w, true, "any");
    assert_int_equal(sb_net_may_resolve(w->sb), EACCES);
    rule(w, true, "dns");
    assert_int_equal(sb_net_may_resolve(w->sb), 0);
    assert_string_equal(w->last, "net.resolve = ok");
}

static void rules_that_say_nothing_are_refused(void **state) {
    struct world *w = *state;
    static const char *const bad[] = {"",          ":80",         "tcp:",       "any:",       "any:65536",
                                      "any:9-8",   "any:80x",     "any:1-",     "icmp:any:1", "10.0.0.0/33",
                                      "10.0.0.0/", "10.0.0.0/8x", "public/8",   "[::1",       "[::1]x",
                                      "[::]/129",  "dns:53",      "tcp:dns",    "fe80::1",    "any:-1",
                                      "[]",        "1.2.3.4/8/8", "any:123456", "[any"};
    struct atoll_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.text[0] = 0;
        if (sb_rule_connect(w->sb, true, bad[i], &err) != ATOLL_E_USAGE) fail_msg("\"%s\" is taken", bad[i]);
        assert_non_null(strstr(err.text, "is no rule of connections"));
    }
    char is_long[1000];
    memset(is_long, 'a', sizeof is_long - 1), is_long[sizeof is_long - 1] = 0;
    assert_int_equal(sb_rule_connect(w->sb, true, is_long, &err), ATOLL_E_USAGE);
    assert_false(reaches(w, SB_TCP, "203.0.113.1", 80));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_reached_without_a_rule, start, stop),
        cmocka_unit_test_setup_teardown(public_is_not_this_machine_nor_its_links, start, stop),
        cmocka_unit_test_setup_teardown(public_is_no_address_of_this_machine, start, stop),
        cmocka_unit_test_setup_teardown(the_first_rule_that_fits_decides, start, stop),
        cmocka_unit_test_setup_teardown(networks_end_at_their_last_bit, start, stop),
        cmocka_unit_test_setup_teardown(the_loopback_has_many_spellings_and_one_rule, start, stop),
        cmocka_unit_test_setup_teardown(a_denied_port_of_the_loopback_stays_denied_however_it_is_spelled,
                                        start, stop),
        cmocka_unit_test_setup_teardown(names_are_looked_up_once, start, stop),
        cmocka_unit_test_setup_teardown(dns_is_a_rule_of_its_own, start, stop),
        cmocka_unit_test_setup_teardown(rules_that_say_nothing_are_refused, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
