/* sysvm/net/filter.c: the door in front of libslirp.
 *
 * libslirp connects wherever a guest's frame says and asks nobody: it has no callback for it, only a switch for
 * its own address of the host's loopback. So each frame is read here first, exactly as far as libslirp will
 * read it, and goes on only when the sandbox allows what it would cause. What both could read differently, or
 * what is seldom and has been broken before, does not pass at all: fragments, IP options, extension headers,
 * TFTP, sources outside the guest's network, addresses of that network that nobody has. A TCP connection is
 * asked for by its first segment, since libslirp makes none for any other; UDP and ICMP by flow.
 *
 * What cannot be seen here: where the host's name server asks further, and what an allowed far end does. */
#include <arpa/inet.h>
#include <string.h>
#include "sysvm/net/internal.h"

enum { ETH_BYTES = 14, TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_IPV6 = 0x86DD };
enum { IPV4_BYTES = 20, IPV6_BYTES = 40, TCP_BYTES = 20, UDP_BYTES = 8, ICMP_BYTES = 8, ARP_BYTES = 28 };
enum { PORT_DNS = 53, PORT_TFTP = 69, PORT_DHCP = 67, PORT_DHCP6 = 547 };
enum { TCP_SYN = 2, TCP_ACK = 16 };

/* A packet as far as it matters here. */
struct packet {
    bool v6;
    const uint8_t *ip; /* its header */
    size_t n_ip;       /* the whole packet, without what Ethernet pads */
    uint8_t protocol;  /* IPPROTO_TCP, UDP, ICMP; ICMPv6 counts as ICMP */
    const uint8_t *payload;
    size_t n_payload;
    uint8_t source[16], far[16]; /* IPv4 mapped */
    uint16_t guest_port, far_port;
};

static void map(uint8_t out[16], const uint8_t v4[4]) {
    memset(out, 0, 10);
    out[10] = out[11] = 0xFF;
    memcpy(out + 12, v4, 4);
}

static bool is_ip6(const uint8_t ip[16], const char *text) {
    uint8_t other[16];
    inet_pton(AF_INET6, text, other);
    return memcmp(ip, other, 16) == 0;
}

static bool in_prefix6(const uint8_t ip[16]) {
    uint8_t prefix[16];
    inet_pton(AF_INET6, VNET_PREFIX6, prefix);
    return memcmp(ip, prefix, 8) == 0;
}

/* ---- reading ---- */

static bool read_transport(struct packet *p) {
    size_t least = p->protocol == IPPROTO_TCP   ? TCP_BYTES
                   : p->protocol == IPPROTO_UDP ? UDP_BYTES
                                                : ICMP_BYTES;
    if (p->n_payload < least) return false;
    if (p->protocol == IPPROTO_ICMP) return true;
    p->guest_port = vnet_get16(p->payload);
    p->far_port = vnet_get16(p->payload + 2);
    return true;
}

static bool read_v4(const uint8_t *ip, size_t n, struct packet *p) {
    if (n < IPV4_BYTES || ip[0] != 0x45) return false; /* version 4, no options */
    size_t total = vnet_get16(ip + 2);
    bool fragment = vnet_get16(ip + 6) & 0x3FFF; /* its offset, or more to come */
    if (total < IPV4_BYTES || total > n || fragment) return false;
    *p = (struct packet){.ip = ip, .n_ip = total, .protocol = ip[9]};
    map(p->source, ip + 12), map(p->far, ip + 16);
    p->payload = ip + IPV4_BYTES, p->n_payload = total - IPV4_BYTES;
    bool known = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_ICMP;
    return known && read_transport(p);
}

static bool read_v6(const uint8_t *ip, size_t n, struct packet *p) {
    if (n < IPV6_BYTES || ip[0] >> 4 != 6) return false;
    size_t payload = vnet_get16(ip + 4);
    if (payload > n - IPV6_BYTES) return false;
    *p = (struct packet){.v6 = true, .ip = ip, .n_ip = IPV6_BYTES + payload, .protocol = ip[6]};
    memcpy(p->source, ip + 8, 16), memcpy(p->far, ip + 24, 16);
    p->payload = ip + IPV6_BYTES, p->n_payload = payload;
    bool known = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_ICMPV6;
    if (p->protocol == IPPROTO_ICMPV6) p->protocol = IPPROTO_ICMP;
    return known && read_transport(p);
}

static bool read_packet(const uint8_t *frame, size_t n_bytes, bool ipv6, struct packet *out) {
    unsigned type = vnet_get16(frame + 12);
    if (type == TYPE_IPV4) return read_v4(frame + ETH_BYTES, n_bytes - ETH_BYTES, out);
    return type == TYPE_IPV6 && ipv6 && read_v6(frame + ETH_BYTES, n_bytes - ETH_BYTES, out);
}

/* ---- flows ---- */

static struct vnet_flow flow_of(const struct packet *p) {
    struct vnet_flow flow = {.protocol = p->protocol, .guest_port = p->guest_port, .far_port = p->far_port};
    memcpy(flow.guest, p->source, 16);
    memcpy(flow.far, p->far, 16);
    return flow;
}

static struct vnet_flow *flow_slot(struct vnet_filter *filter, const struct vnet_flow *key) {
    uint32_t h = key->protocol * 31u + key->guest_port;
    h = h * 65599u + key->far_port;
    for (int i = 0; i < 16; i++) h = h * 65599u + key->far[i];
    return &filter->flows[(h ^ h >> 16) % VNET_FLOWS];
}

static bool same_flow(const struct vnet_flow *a, const struct vnet_flow *b) {
    return a->protocol == b->protocol && a->guest_port == b->guest_port && a->far_port == b->far_port &&
           memcmp(a->guest, b->guest, 16) == 0 && memcmp(a->far, b->far, 16) == 0;
}

/* ---- whose end it is ---- */

enum place { PLACE_NOWHERE, PLACE_WORLD, PLACE_HOST, PLACE_NAMESERVER };

static enum place place_of(const struct packet *p) {
    if (p->v6) {
        if (is_ip6(p->far, VNET_HOST6)) return PLACE_HOST;
        if (is_ip6(p->far, VNET_NAMESERVER6)) return PLACE_NAMESERVER;
        bool group = p->far[0] == 0xFF; /* libslirp takes all-nodes for the host */
        return in_prefix6(p->far) || group ? PLACE_NOWHERE : PLACE_WORLD;
    }
    uint32_t far = vnet_get32(p->far + 12);
    if (far == VNET_HOST4) return PLACE_HOST;
    if (far == VNET_NAMESERVER4) return PLACE_NAMESERVER;
    return (far & VNET_MASK4) == VNET_NET4 || far == UINT32_MAX ? PLACE_NOWHERE : PLACE_WORLD;
}

static bool may_resolve(struct vnet_filter *filter, const struct packet *p) {
    return p->protocol != IPPROTO_ICMP && p->far_port == PORT_DNS && sb_net_may_resolve(filter->sandbox) == 0;
}

static bool ask(struct vnet_filter *filter, const struct packet *p) {
    enum place place = place_of(p);
    if (place == PLACE_NAMESERVER) return may_resolve(filter, p);
    if (place == PLACE_NOWHERE) return false;
    struct sb_address address = {.port = p->far_port};
    address.protocol = p->protocol == IPPROTO_TCP ? SB_TCP : p->protocol == IPPROTO_UDP ? SB_UDP : SB_ICMP;
    memcpy(address.ip, p->far, 16);
    if (place == PLACE_HOST) inet_pton(AF_INET6, p->v6 ? "::1" : "::ffff:127.0.0.1", address.ip);
    return sb_net_may_connect(filter->sandbox, &address) == 0;
}

static bool flow_allowed(struct vnet_filter *filter, const struct packet *p) {
    struct vnet_flow key = flow_of(p), *slot = flow_slot(filter, &key);
    if (same_flow(slot, &key)) return slot->allowed;
    key.allowed = ask(filter, p);
    *slot = key;
    return key.allowed;
}

/* ---- what libslirp answers itself ---- */

static bool source_is_guest(const struct packet *p) {
    if (!p->v6) return (vnet_get32(p->source + 12) & VNET_MASK4) == VNET_NET4;
    bool link_local = p->source[0] == 0xFE && (p->source[1] & 0xC0) == 0x80;
    return in_prefix6(p->source) || link_local;
}

static bool is_dhcp(const struct packet *p) {
    if (p->protocol != IPPROTO_UDP) return false;
    if (p->v6)
        return p->far_port == PORT_DHCP6 && (is_ip6(p->far, "ff02::1:2") || is_ip6(p->far, VNET_HOST6));
    uint32_t far = vnet_get32(p->far + 12);
    return p->far_port == PORT_DHCP && (far == VNET_HOST4 || far == UINT32_MAX);
}

/* Echo requests go out, and to libslirp's own addresses; of ICMPv6 only those, and what finds neighbours. */
static enum vnet_verdict icmp_verdict(struct vnet_filter *filter, const struct packet *p) {
    enum { ECHO4 = 8, ECHO6 = 128, ROUTER_SOLICIT = 133, NEIGHBOUR_SOLICIT = 135, NEIGHBOUR_ADVERT = 136 };
    unsigned type = p->payload[0];
    enum place place = place_of(p);
    if (p->v6) {
        bool neighbours = type == ROUTER_SOLICIT || type == NEIGHBOUR_SOLICIT || type == NEIGHBOUR_ADVERT;
        return neighbours || (type == ECHO6 && place == PLACE_HOST) ? VNET_PASS : VNET_DROP;
    }
    if (type != ECHO4 || !source_is_guest(p)) return VNET_DROP;
    if (place == PLACE_HOST || place == PLACE_NAMESERVER) return VNET_PASS;
    if (filter->no_ping || !flow_allowed(filter, p)) return VNET_REFUSE;
    return filter->full ? VNET_DROP : VNET_PASS; /* each makes a socket */
}

static enum vnet_verdict tcp_verdict(struct vnet_filter *filter, const struct packet *p) {
    unsigned flags = p->payload[13];
    if (!source_is_guest(p)) return VNET_DROP;
    if ((flags & (TCP_SYN | TCP_ACK)) != TCP_SYN) return VNET_PASS; /* of a connection there is, or reset */
    if (!ask(filter, p)) return VNET_REFUSE;
    return filter->full ? VNET_DROP : VNET_PASS;
}

static enum vnet_verdict udp_verdict(struct vnet_filter *filter, const struct packet *p) {
    if (is_dhcp(p)) return VNET_PASS; /* the source may not have an address yet */
    if (!source_is_guest(p)) return VNET_DROP;
    if (place_of(p) == PLACE_HOST && p->far_port == PORT_TFTP) return VNET_DROP;
    struct vnet_flow key = flow_of(p);
    if (filter->full && !same_flow(flow_slot(filter, &key), &key)) return VNET_DROP;
    return flow_allowed(filter, p) ? VNET_PASS : VNET_REFUSE;
}

/* ---- the answer to a refused packet: "administratively prohibited" ---- */

enum { QUOTE_BYTES = 48 }; /* an IPv6 header and the ports behind it */

static size_t answer_v4(uint8_t *ip, const struct packet *p) {
    size_t quoted = IPV4_BYTES + 8, total = IPV4_BYTES + ICMP_BYTES + quoted;
    uint8_t *icmp = ip + IPV4_BYTES;
    memset(ip, 0, IPV4_BYTES + ICMP_BYTES);
    ip[0] = 0x45, ip[8] = 64, ip[9] = IPPROTO_ICMP;
    vnet_put16(ip + 2, (uint32_t)total);
    vnet_put32(ip + 12, VNET_HOST4);
    memcpy(ip + 16, p->ip + 12, 4);
    icmp[0] = 3, icmp[1] = 13; /* RFC 1812, 5.2.7.1 */
    memcpy(icmp + ICMP_BYTES, p->ip, quoted);
    uint16_t sum = vnet_sum_fold(vnet_sum(0, ip, IPV4_BYTES));
    memcpy(ip + 10, &sum, sizeof sum);
    sum = vnet_sum_fold(vnet_sum(0, icmp, ICMP_BYTES + quoted));
    memcpy(icmp + 2, &sum, sizeof sum);
    return total;
}

static size_t answer_v6(uint8_t *ip, const struct packet *p) {
    size_t payload = ICMP_BYTES + QUOTE_BYTES;
    uint8_t *icmp = ip + IPV6_BYTES, pseudo[8] = {[7] = IPPROTO_ICMPV6};
    memset(ip, 0, IPV6_BYTES + ICMP_BYTES);
    ip[0] = 0x60, ip[6] = IPPROTO_ICMPV6, ip[7] = 64;
    vnet_put16(ip + 4, (uint32_t)payload);
    inet_pton(AF_INET6, VNET_HOST6, ip + 8);
    memcpy(ip + 24, p->source, 16);
    icmp[0] = 1, icmp[1] = 1; /* RFC 4443, 3.1 */
    memcpy(icmp + ICMP_BYTES, p->ip, QUOTE_BYTES);
    vnet_put32(pseudo, (uint32_t)payload);
    uint64_t sum = vnet_sum(vnet_sum(0, ip + 8, 32), pseudo, sizeof pseudo);
    uint16_t folded = vnet_sum_fold(vnet_sum(sum, icmp, payload));
    memcpy(icmp + 2, &folded, sizeof folded);
    return IPV6_BYTES + payload;
}

static size_t make_answer(struct vnet_filter *filter, const uint8_t *frame, const struct packet *p) {
    uint8_t *out = filter->answer;
    _Static_assert(sizeof filter->answer >= ETH_BYTES + IPV6_BYTES + ICMP_BYTES + QUOTE_BYTES, "fits");
    memcpy(out, frame + 6, 6);
    vnet_put16(out + 6, 0x5255); /* the address libslirp has */
    vnet_put32(out + 8, VNET_HOST4);
    memcpy(out + 12, frame + 12, 2);
    return ETH_BYTES + (p->v6 ? answer_v6 : answer_v4)(out + ETH_BYTES, p);
}

/* ---- both ways ---- */

enum vnet_verdict vnet_filter_out(struct vnet_filter *filter, const uint8_t *frame, size_t n_bytes,
                                  size_t *n_answer) {
    struct packet p;
    if (n_bytes < ETH_BYTES) return VNET_DROP;
    if (vnet_get16(frame + 12) == TYPE_ARP) return n_bytes >= ETH_BYTES + ARP_BYTES ? VNET_PASS : VNET_DROP;
    if (!read_packet(frame, n_bytes, filter->ipv6, &p)) return VNET_DROP;
    enum vnet_verdict verdict = p.protocol == IPPROTO_TCP   ? tcp_verdict(filter, &p)
                                : p.protocol == IPPROTO_UDP ? udp_verdict(filter, &p)
                                                            : icmp_verdict(filter, &p);
    if (verdict == VNET_REFUSE) *n_answer = make_answer(filter, frame, &p);
    return verdict;
}

void vnet_filter_in(struct vnet_filter *filter, const uint8_t *frame, size_t n_bytes) {
    struct packet p;
    if (n_bytes < ETH_BYTES || filter->n_forwards == 0) return;
    if (vnet_get16(frame + 12) != TYPE_IPV4 || !read_v4(frame + ETH_BYTES, n_bytes - ETH_BYTES, &p)) return;
    bool forwarded = false;
    for (size_t i = 0; i < filter->n_forwards; i++) {
        const struct vnet_forward *f = &filter->forwards[i];
        forwarded |= f->udp && f->guest_port == p.far_port && memcmp(&f->guest, p.far + 12, 4) == 0;
    }
    if (p.protocol != IPPROTO_UDP || !forwarded) return;
    struct vnet_flow back = {
        .protocol = IPPROTO_UDP, .allowed = true, .guest_port = p.far_port, .far_port = p.guest_port};
    memcpy(back.guest, p.far, 16), memcpy(back.far, p.source, 16);
    *flow_slot(filter, &back) = back;
}
