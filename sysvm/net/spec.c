/* sysvm/net/spec.c: the options of `--net user`. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "sysvm/net/internal.h"

static enum atoll_status bad(struct atoll_error *err, const char *option, const char *why) {
    return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "network option '%s': %s", option, why);
}

/* Cuts "[ADDRESS]:PORT" at the start of *text; *text goes to what follows. */
static bool take_end(const char **text, struct in_addr *address, uint16_t *port) {
    char copy[INET_ADDRSTRLEN] = "";
    size_t n = strcspn(*text, ":");
    if ((*text)[n] != ':' || n >= sizeof copy) return false;
    memcpy(copy, *text, n);
    if (n && inet_pton(AF_INET, copy, address) != 1) return false;
    *text += n + 1;
    n = strspn(*text, "0123456789");
    unsigned number = n >= 1 && n <= 5 ? (unsigned)atoi(*text) : 0;
    *text += n;
    *port = (uint16_t)number;
    return number >= 1 && number <= UINT16_MAX;
}

/* [tcp:|udp:][HOST]:PORT-[GUEST]:PORT */
static bool parse_forward(const char *text, struct vnet_forward *out) {
    *out = (struct vnet_forward){.host.s_addr = htonl(INADDR_LOOPBACK), .guest.s_addr = htonl(VNET_GUEST4)};
    out->udp = strncmp(text, "udp:", 4) == 0;
    if (out->udp || strncmp(text, "tcp:", 4) == 0) text += 4;
    if (!take_end(&text, &out->host, &out->host_port) || *text++ != '-') return false;
    if (!take_end(&text, &out->guest, &out->guest_port) || *text) return false;
    return (ntohl(out->guest.s_addr) & VNET_MASK4) == VNET_NET4;
}

static enum atoll_status take_forward(struct vnet_user_spec *spec, const char *option, const char *value,
                                      struct atoll_error *err) {
    if (spec->n_forwards == VNET_FORWARDS_MAX) return bad(err, option, "there are 64 forwards already");
    if (!parse_forward(value, &spec->forwards[spec->n_forwards++]))
        return bad(err, option, "it is not hostfwd=[tcp:|udp:][HOST]:PORT-[GUEST]:PORT");
    return ATOLL_OK;
}

static enum atoll_status take_rule(struct vnet_user_spec *spec, bool allow, const char *value,
                                   struct atoll_error *err) {
    spec->any_allow |= allow;
    return spec->rule ? spec->rule(spec->rule_context, allow, value, err) : ATOLL_OK;
}

static enum atoll_status take_option(struct vnet_user_spec *spec, const char *option,
                                     struct atoll_error *err) {
    if (strncmp(option, "hostfwd=", 8) == 0) return take_forward(spec, option, option + 8, err);
    if (strncmp(option, "allow=", 6) == 0) return take_rule(spec, true, option + 6, err);
    if (strncmp(option, "deny=", 5) == 0) return take_rule(spec, false, option + 5, err);
    if (strcmp(option, "ipv6=on") == 0 || strcmp(option, "ipv6=off") == 0)
        return spec->ipv6 = option[6] == 'n', ATOLL_OK;
    return bad(err, option, "there are hostfwd=, allow=, deny= and ipv6=on|off");
}

enum atoll_status vnet_user_spec_parse(const char *text, struct vnet_user_spec *out,
                                       struct atoll_error *err) {
    enum atoll_status status = ATOLL_OK;
    size_t n_options = 0;
    while (*text && !status) {
        char option[VNET_RULE_BYTES];
        size_t n = strcspn(text, ",");
        if (n >= sizeof option) return bad(err, text, "it is too long");
        if (++n_options > VNET_FORWARDS_MAX + VNET_RULES_MAX) return bad(err, text, "there are too many");
        memcpy(option, text, n), option[n] = 0;
        text += n + (text[n] == ',');
        status = take_option(out, option, err);
    }
    static const char *const usual[] = {"public", "dns"};
    bool add = !out->any_allow;
    for (size_t i = 0; i < 2 && add && !status; i++) status = take_rule(out, true, usual[i], err);
    return status;
}
