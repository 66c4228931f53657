/* sandbox/connect.c: which far ends a program or a guest may reach.
 *
 * An address is always 16 bytes, IPv4 in its mapped form, so that one comparison serves both families and the
 * mapped spelling of a loopback address is no way around a rule. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "sandbox/internal.h"

#define MAPPED_BITS 96 /* ::ffff:0:0/96 */

/* ---- addresses ---- */

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static bool is_mapped(const uint8_t ip[16]) { return memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0; }

static void map_v4(uint8_t out[16], const void *v4) {
    memcpy(out, mapped_prefix, sizeof mapped_prefix);
    memcpy(out + sizeof mapped_prefix, v4, 4);
}

static bool same_network(const uint8_t a[16], const uint8_t b[16], unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole)) return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool in_network(const uint8_t ip[16], const char *text, unsigned bits) {
    uint8_t network[16];
    inet_pton(AF_INET6, text, network);
    return same_network(ip, network, bits);
}

/* The kernel takes the unspecified address for the loopback's: so do the rules. */
static void normalise(uint8_t ip[16]) {
    if (in_network(ip, "::", 128)) ip[15] = 1;
    if (in_network(ip, "::ffff:0.0.0.0", 128)) ip[12] = 127, ip[15] = 1;
}

static bool is_loopback(const uint8_t ip[16]) {
    return in_network(ip, "::ffff:127.0.0.0", 104) || in_network(ip, "::1", 128);
}

/* One hop away, to all, to a group, or to nobody. */
static bool is_special(const uint8_t ip[16]) {
    return in_network(ip, "::ffff:169.254.0.0", 112) || in_network(ip, "::ffff:224.0.0.0", 99) ||
           in_network(ip, "::ffff:0.0.0.0", 104) || in_network(ip, "fe80::", 10) ||
           in_network(ip, "ff00::", 8);
}

/* Whether the kernel would reach itself at the address: it then answers from the same one. */
static bool is_own(const uint8_t ip[16]) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(9)}, own4;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)}, own6;
    bool mapped = is_mapped(ip);
    memcpy(&v4.sin_addr, ip + 12, 4);
    memcpy(&v6.sin6_addr, ip, 16);
    int fd = socket(mapped ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return true; /* not known, so not allowed */
    socklen_t size = mapped ? sizeof v4 : sizeof v6;
    const struct sockaddr *to = mapped ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    struct sockaddr *from = mapped ? (struct sockaddr *)&own4 : (struct sockaddr *)&own6;
    bool routed = !connect(fd, to, size) && !getsockname(fd, from, &size);
    close(fd);
    if (!routed) return false;
    return mapped ? own4.sin_addr.s_addr == v4.sin_addr.s_addr
                  : memcmp(&own6.sin6_addr, &v6.sin6_addr, 16) == 0;
}

void sb_address_text(const struct sb_address *address, char out[SB_ADDRESS_TEXT]) {
    static const char *const words[] = {"tcp", "udp", "icmp"};
    char ip[INET6_ADDRSTRLEN] = "?";
    bool mapped = is_mapped(address->ip);
    inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? address->ip + 12 : address->ip, ip, sizeof ip);
    int n = snprintf(out, SB_ADDRESS_TEXT, mapped ? "%s %s" : "%s [%s]", words[address->protocol], ip);
    if (address->protocol != SB_ICMP && n > 0 && n < SB_ADDRESS_TEXT)
        snprintf(out + n, SB_ADDRESS_TEXT - (size_t)n, ":%u", address->port);
}

/* ---- the decision ---- */

static bool rule_fits(const struct sb_rule *rule, const struct sb_address *a, const uint8_t ip[16]) {
    if (rule->where == SB_RULE_DNS) return false;
    if (rule->protocol >= 0 && rule->protocol != (int)a->protocol) return false;
    if (a->port < rule->first_port || a->port > rule->last_port) return false;
    if (rule->where == SB_RULE_NETWORK) return same_network(ip, rule->ip, rule->bits);
    return !is_loopback(ip) && !is_special(ip) && !is_own(ip);
}

static const struct sb_rule *first_fit(const struct sandbox *sb, const struct sb_request *r) {
    uint8_t ip[16];
    if (r->address) memcpy(ip, r->address->ip, sizeof ip), normalise(ip);
    for (size_t i = 0; i < sb->n_rules; i++) {
        const struct sb_rule *rule = &sb->rules[i];
        if (r->kind == SB_NET_RESOLVE ? rule->where == SB_RULE_DNS : rule_fits(rule, r->address, ip))
            return rule;
    }
    return NULL;
}

int sb_rules_decide(const struct sandbox *sb, const struct sb_request *request) {
    const struct sb_rule *rule = first_fit(sb, request);
    return rule && rule->allow ? 0 : EACCES;
}

bool sb_rules_reach_host(const struct sandbox *sb) {
    for (size_t i = 0; i < sb->n_rules; i++) {
        const struct sb_rule *rule = &sb->rules[i];
        uint8_t v4[16], v6[16] = {[15] = 1};
        inet_pton(AF_INET6, "::ffff:127.0.0.1", v4);
        unsigned bits4 = rule->bits < 104 ? rule->bits : 104; /* some address of 127/8 */
        if (rule->allow && rule->where == SB_RULE_NETWORK &&
            (same_network(rule->ip, v4, bits4) || same_network(rule->ip, v6, rule->bits)))
            return true;
    }
    return false;
}

int sb_net_may_connect(struct sandbox *sb, const struct sb_address *address) {
    struct sb_request request = {
        .kind = SB_NET_CONNECT, .numbers = {SB_ABSENT, SB_ABSENT}, .address = address};
    int error = sb_ask(sb, &request);
    return error ? error : sb_answer(sb, &request, 0, SB_ABSENT);
}

int sb_net_may_resolve(struct sandbox *sb) {
    struct sb_request request = {.kind = SB_NET_RESOLVE, .numbers = {SB_ABSENT, SB_ABSENT}};
    int error = sb_ask(sb, &request);
    return error ? error : sb_answer(sb, &request, 0, SB_ABSENT);
}

int sb_net_vsock(struct sandbox *sb, uint32_t port) {
    struct sb_request request = {.kind = SB_NET_VSOCK, .numbers = {port, SB_ABSENT}};
    int error = sb_ask(sb, &request);
    return error ? error : sb_answer(sb, &request, 0, SB_ABSENT);
}

/* ---- a rule's text ---- */

#define WHERE_BYTES 256

static enum atoll_status add_rule(struct sandbox *sb, const struct sb_rule *rule, struct atoll_error *err) {
    if (atoll_grow(sb->alloc, (void **)&sb->rules, &sb->cap_rules, sb->n_rules + 1, sizeof *sb->rules))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    sb->rules[sb->n_rules++] = *rule;
    return ATOLL_OK;
}

static enum atoll_status bad_rule(struct atoll_error *err, const char *text, const char *why) {
    return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "'%s' is no rule of connections: %s", text, why);
}

static bool take_number(const char **text, unsigned max, unsigned *out) {
    size_t n = strspn(*text, "0123456789");
    if (n == 0 || n > 5) return false;
    *out = (unsigned)atoi(*text);
    *text += n;
    return *out <= max;
}

/* PORT, PORT-PORT or "*". */
static bool parse_ports(const char *text, struct sb_rule *rule) {
    unsigned first, last;
    if (strcmp(text, "*") == 0) return true;
    if (!take_number(&text, UINT16_MAX, &first)) return false;
    last = first;
    if (*text == '-' && (text++, !take_number(&text, UINT16_MAX, &last))) return false;
    rule->first_port = (uint16_t)first, rule->last_port = (uint16_t)last;
    return *text == 0 && first <= last;
}

static const char *parse_protocol(const char *text, struct sb_rule *rule) {
    static const char *const words[] = {"tcp:", "udp:", "icmp:"};
    rule->protocol = -1;
    for (int i = 0; i < 3; i++)
        if (strncmp(text, words[i], strlen(words[i])) == 0) {
            rule->protocol = i;
            return text + strlen(words[i]);
        }
    return text;
}

/* Cuts "[V6]/BITS:PORT" and "V4/BITS:PORT" into where, bits (NULL = none) and ports (NULL = none). */
static bool cut(const char *text, char where[WHERE_BYTES], const char **out_bits, const char **out_ports) {
    if (strlen(text) >= WHERE_BYTES) return false;
    bool bracketed = text[0] == '[';
    strcpy(where, text + bracketed);
    char *end = bracketed ? strchr(where, ']') : where + strcspn(where, "/:");
    if (!end) return false;
    if (bracketed) *end++ = 0;
    char *bits = *end == '/' ? end + 1 : NULL, *colon = strchr(end, ':');
    if (*end && !bits && *end != ':') return false;
    *end = 0;
    if (colon) *colon = 0;
    *out_bits = bits;
    *out_ports = colon ? colon + 1 : NULL;
    return where[0] != 0;
}

/* An address in digits: true, and its bits narrowed by `bits`. */
static bool parse_network(const char *where, const char *bits, struct sb_rule *rule, bool *out_bad) {
    uint8_t v4[4];
    bool is_v4 = inet_pton(AF_INET, where, v4) == 1;
    if (is_v4)
        map_v4(rule->ip, v4);
    else if (inet_pton(AF_INET6, where, rule->ip) != 1)
        return false;
    unsigned n = is_v4 ? 32 : 128;
    *out_bad = bits && (!take_number(&bits, n, &n) || *bits);
    rule->bits = is_v4 ? n + MAPPED_BITS : n;
    if (rule->bits == 128) normalise(rule->ip);
    return true;
}

/* One rule for each address of a name. */
static enum atoll_status add_name(struct sandbox *sb, const char *name, struct sb_rule *rule,
                                  const char *text, struct atoll_error *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int failed = getaddrinfo(name, NULL, &hints, &found);
    if (failed) return bad_rule(err, text, gai_strerror(failed));
    enum atoll_status status = ATOLL_OK;
    rule->bits = 128;
    for (const struct addrinfo *a = found; a && !status; a = a->ai_next) {
        if (a->ai_family == AF_INET)
            map_v4(rule->ip, &((const struct sockaddr_in *)a->ai_addr)->sin_addr);
        else if (a->ai_family == AF_INET6)
            memcpy(rule->ip, &((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr, 16);
        else
            continue;
        status = add_rule(sb, rule, err);
    }
    freeaddrinfo(found);
    return status;
}

static enum atoll_status add_host(struct sandbox *sb, struct sb_rule *rule, struct atoll_error *err) {
    inet_pton(AF_INET6, "::ffff:127.0.0.0", rule->ip), rule->bits = 104;
    enum atoll_status status = add_rule(sb, rule, err);
    inet_pton(AF_INET6, "::1", rule->ip), rule->bits = 128;
    return status ? status : add_rule(sb, rule, err);
}

enum atoll_status sb_rule_connect(struct sandbox *sb, bool allow, const char *text, struct atoll_error *err) {
    struct sb_rule rule = {.allow = allow, .last_port = UINT16_MAX};
    char where[WHERE_BYTES];
    const char *bits, *ports;
    bool bad = false;
    if (!cut(parse_protocol(text, &rule), where, &bits, &ports))
        return bad_rule(err, text, "it is not [tcp:|udp:|icmp:]WHERE[:PORT[-PORT]]");
    if (ports && (rule.protocol == SB_ICMP || !parse_ports(ports, &rule)))
        return bad_rule(err, text, "its port is none");
    if (parse_network(where, bits, &rule, &bad))
        return bad ? bad_rule(err, text, "its network is none") : add_rule(sb, &rule, err);
    if (bits) return bad_rule(err, text, "its network is none");
    if (strcmp(where, "any") == 0) return add_rule(sb, &rule, err); /* all addresses share no bits */
    if (strcmp(where, "host") == 0) return add_host(sb, &rule, err);
    if (strcmp(where, "public") == 0 || strcmp(where, "dns") == 0) {
        rule.where = where[0] == 'd' ? SB_RULE_DNS : SB_RULE_PUBLIC;
        if (rule.where == SB_RULE_DNS && (ports || rule.protocol >= 0))
            return bad_rule(err, text, "dns takes neither protocol nor port");
        return add_rule(sb, &rule, err);
    }
    return add_name(sb, where, &rule, text, err);
}
