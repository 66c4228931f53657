/* tests/sysvm/net/packets.h: frames made by hand, valid unless a test spoils them. */
#ifndef ATOLL_TESTS_NET_PACKETS_H
#define ATOLL_TESTS_NET_PACKETS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include "sysvm/net/internal.h"
#include "tests/sysvm/suite.h"

enum { ETH = 14, IP4 = 20, IP6 = 40, FRAME_BYTES = 2048 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

struct frame {
    size_t n;
    uint8_t bytes[FRAME_BYTES];
};

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

static inline void put_ethernet(struct frame *f, unsigned type) {
    memset(f->bytes, 0xFF, 6);
    memcpy(f->bytes + 6, guest_mac, 6);
    vnet_put16(f->bytes + 12, type);
}

static inline uint16_t raw_sum(uint64_t sum, const void *bytes, size_t n) {
    return vnet_sum_fold(vnet_sum(sum, bytes, n));
}

/* The sum of a transport header at `at` of a packet whose addresses are at `addresses`. */
static inline void seal(uint8_t *at, size_t n, unsigned protocol, const uint8_t *addresses,
                        size_t n_addresses, size_t offset) {
    uint8_t pseudo[4] = {0, (uint8_t)protocol, (uint8_t)(n >> 8), (uint8_t)n};
    memset(at + offset, 0, 2);
    uint16_t sum = raw_sum(vnet_sum(vnet_sum(0, addresses, n_addresses), pseudo, sizeof pseudo), at, n);
    memcpy(at + offset, &sum, 2);
}

static inline uint8_t *put_ip4(struct frame *f, const char *from, const char *to, unsigned protocol,
                               size_t payload) {
    uint8_t *ip = f->bytes + ETH;
    put_ethernet(f, 0x0800);
    memset(ip, 0, IP4 + payload);
    ip[0] = 0x45, ip[8] = 64, ip[9] = (uint8_t)protocol;
    vnet_put16(ip + 2, (uint32_t)(IP4 + payload));
    inet_pton(AF_INET, from, ip + 12), inet_pton(AF_INET, to, ip + 16);
    uint16_t sum = raw_sum(0, ip, IP4);
    memcpy(ip + 10, &sum, 2);
    f->n = ETH + IP4 + payload;
    return ip + IP4;
}

static inline uint8_t *put_ip6(struct frame *f, const char *from, const char *to, unsigned protocol,
                               size_t payload) {
    uint8_t *ip = f->bytes + ETH;
    put_ethernet(f, 0x86DD);
    memset(ip, 0, IP6 + payload);
    ip[0] = 0x60, ip[6] = (uint8_t)protocol, ip[7] = 64;
    vnet_put16(ip + 4, (uint32_t)payload);
    inet_pton(AF_INET6, from, ip + 8), inet_pton(AF_INET6, to, ip + 24);
    f->n = ETH + IP6 + payload;
    return ip + IP6;
}

static inline struct frame udp4(const char *from, unsigned from_port, const char *to, unsigned to_port,
                                const void *data, size_t n) {
    struct frame f;
    uint8_t *udp = put_ip4(&f, from, to, IPPROTO_UDP, 8 + n);
    vnet_put16(udp, from_port), vnet_put16(udp + 2, to_port), vnet_put16(udp + 4, (uint32_t)(8 + n));
    if (n) memcpy(udp + 8, data, n);
    seal(udp, 8 + n, IPPROTO_UDP, f.bytes + ETH + 12, 8, 6);
    return f;
}

static inline struct frame tcp4(const char *from, unsigned from_port, const char *to, unsigned to_port,
                                unsigned flags, uint32_t sequence, uint32_t acknowledged) {
    struct frame f;
    uint8_t *tcp = put_ip4(&f, from, to, IPPROTO_TCP, 20);
    vnet_put16(tcp, from_port), vnet_put16(tcp + 2, to_port);
    vnet_put32(tcp + 4, sequence), vnet_put32(tcp + 8, acknowledged);
    tcp[12] = 0x50, tcp[13] = (uint8_t)flags;
    vnet_put16(tcp + 14, 65535);
    seal(tcp, 20, IPPROTO_TCP, f.bytes + ETH + 12, 8, 16);
    return f;
}

static inline struct frame tcp6(const char *from, const char *to, unsigned to_port, unsigned flags) {
    struct frame f;
    uint8_t *tcp = put_ip6(&f, from, to, IPPROTO_TCP, 20);
    vnet_put16(tcp, 40000), vnet_put16(tcp + 2, to_port);
    tcp[12] = 0x50, tcp[13] = (uint8_t)flags;
    seal(tcp, 20, IPPROTO_TCP, f.bytes + ETH + 8, 32, 16);
    return f;
}

static inline struct frame icmp(const char *to, unsigned type) {
    struct frame f;
    uint8_t *p = put_ip4(&f, "10.0.2.15", to, IPPROTO_ICMP, 16);
    p[0] = (uint8_t)type, p[5] = 7;
    uint16_t sum = raw_sum(0, p, 16);
    memcpy(p + 2, &sum, 2);
    return f;
}

static inline struct frame icmp6(const char *to, unsigned type) {
    struct frame f;
    uint8_t *p = put_ip6(&f, VNET_PREFIX6 "15", to, IPPROTO_ICMPV6, 24);
    p[0] = (uint8_t)type;
    seal(p, 24, IPPROTO_ICMPV6, f.bytes + ETH + 8, 32, 2);
    return f;
}

static inline struct frame arp_request(const char *from, const char *wanted) {
    struct frame f = {.n = 60};
    static const uint8_t start[] = {0, 1, 8, 0, 6, 4, 0, 1};
    put_ethernet(&f, 0x0806);
    memset(f.bytes + ETH, 0, 46);
    memcpy(f.bytes + ETH, start, sizeof start);
    memcpy(f.bytes + ETH + 8, guest_mac, 6);
    inet_pton(AF_INET, from, f.bytes + ETH + 14), inet_pton(AF_INET, wanted, f.bytes + ETH + 24);
    return f;
}

#endif
