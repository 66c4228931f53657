/* tests/sysvm/net/header_test.c: what a guest may write in front of a frame. */
#include "tests/sysvm/net/packets.h"

enum { ALL = VNET_TX_CSUM | VNET_TX_TSO4 | VNET_TX_TSO6 | VNET_TX_ECN };

static bool fits(struct vnet_header h, uint32_t offloads, size_t n) {
    return vnet_header_fits(&h, offloads, n);
}

static void a_frame_has_a_least_and_a_greatest_length(void **state) {
    (void)state;
    struct vnet_header h = {.flags = 0};
    assert_false(fits(h, 0, 0));
    assert_false(fits(h, 0, 13));
    assert_true(fits(h, 0, 14));
    assert_true(fits(h, 0, VNET_FRAME_MAX));
    assert_false(fits(h, 0, VNET_FRAME_MAX + 1));
    assert_false(fits(h, 0, SIZE_MAX));
}

static void sums_lie_in_the_frame(void **state) {
    (void)state;
    struct vnet_header h = {.flags = VNET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
    assert_false(fits(h, 0, 60)); /* not agreed on */
    assert_true(fits(h, ALL, 52));
    assert_false(fits(h, ALL, 51));
    h.csum_start = 65535, h.csum_offset = 65535;
    assert_false(fits(h, ALL, VNET_FRAME_MAX));
    h.csum_start = 0, h.csum_offset = 0;
    assert_true(fits(h, ALL, 14));
}

static void segments_are_what_was_agreed_on(void **state) {
    (void)state;
    struct vnet_header h = {.flags = VNET_NEEDS_CSUM,
                            .gso_type = VNET_GSO_TCPV4,
                            .gso_size = 1,
                            .hdr_len = 60,
                            .csum_start = 34,
                            .csum_offset = 16};
    assert_true(fits(h, ALL, 60));
    assert_false(fits(h, ALL, 59)); /* a header longer than the frame */
    assert_false(fits(h, VNET_TX_CSUM | VNET_TX_TSO6, 60));
    h.gso_size = 0;
    assert_false(fits(h, ALL, 60));
    h.gso_size = 1, h.flags = 0;
    assert_false(fits(h, ALL, 60)); /* segments without sums */
    h.flags = VNET_NEEDS_CSUM, h.gso_type |= VNET_GSO_ECN;
    assert_true(fits(h, ALL, 60));
    assert_false(fits(h, ALL & ~VNET_TX_ECN, 60));
    h.gso_type = VNET_GSO_ECN;
    assert_false(fits(h, ALL, 60));
    static const uint8_t unknown[] = {2, 3, 5, 6, 7, 8, 0x7F, 0x83, 0xFF};
    for (size_t i = 0; i < sizeof unknown; i++) {
        h.gso_type = unknown[i];
        assert_false(fits(h, ALL, 60));
    }
}

static void a_sum_left_to_do_is_the_sum(void **state) {
    (void)state;
    for (size_t n = 0; n < 9; n++) {
        struct frame whole = udp4("10.0.2.15", 1, "10.0.2.2", 2, "abcdefgh", n), f = whole;
        uint8_t *udp = f.bytes + ETH + IP4, pseudo[4] = {0, IPPROTO_UDP, 0, (uint8_t)(8 + n)};
        uint16_t start = (uint16_t)~raw_sum(vnet_sum(0, f.bytes + ETH + 12, 8), pseudo, 4);
        memcpy(udp + 6, &start, 2);
        struct vnet_header h = {.flags = VNET_NEEDS_CSUM, .csum_start = ETH + IP4, .csum_offset = 6};
        vnet_checksum(&h, f.bytes, f.n);
        assert_memory_equal(f.bytes, whole.bytes, f.n);
        h.flags = 0;
        memset(udp + 6, 0x55, 2);
        vnet_checksum(&h, f.bytes, f.n); /* nothing was asked for */
        assert_int_equal(udp[6], 0x55);
    }
}

static void a_sum_of_zero_is_written_as_all_ones(void **state) {
    (void)state;
    uint8_t frame[32] = {[14] = 0xFF, [15] = 0xFF};
    struct vnet_header h = {.flags = VNET_NEEDS_CSUM, .csum_start = 14, .csum_offset = 4};
    vnet_checksum(&h, frame, sizeof frame);
    assert_int_equal(vnet_get16(frame + 18), 0xFFFF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_has_a_least_and_a_greatest_length),
        cmocka_unit_test(sums_lie_in_the_frame),
        cmocka_unit_test(segments_are_what_was_agreed_on),
        cmocka_unit_test(a_sum_left_to_do_is_the_sum),
        cmocka_unit_test(a_sum_of_zero_is_written_as_all_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
