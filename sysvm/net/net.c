/* sysvm/net/net.c: chooses a back end by its text. */
#include <string.h>
#include "sysvm/net/internal.h"
#include "sysvm/net/slirp.h"

/* ---- none: a wire that ends in the air ---- */

static int none_send(void *backend, const struct vnet_header *header, const struct iovec *iov, int n_iov) {
    (void)backend, (void)header, (void)iov, (void)n_iov;
    return 0;
}

static void none_done(void *backend) { (void)backend; }

static const struct vnet_ops none_ops = {
    .name = "none", .send = none_send, .receive_ready = none_done, .close = none_done};

/* ---- any ---- */

enum kind { KIND_NONE, KIND_TAP, KIND_USER, KIND_UNKNOWN };

static enum kind kind_of(const char *spec, const char **out_rest) {
    *out_rest = "";
    if (strcmp(spec, "none") == 0) return KIND_NONE;
    if (strncmp(spec, "tap=", 4) == 0) return *out_rest = spec + 4, KIND_TAP;
    if (strcmp(spec, "user") == 0) return KIND_USER;
    if (strncmp(spec, "user:", 5) == 0) return *out_rest = spec + 5, KIND_USER;
    return KIND_UNKNOWN;
}

static enum atoll_status unknown(const char *spec, struct atoll_error *err) {
    return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                      "'%s' is no network: none, tap=INTERFACE or user[:OPTION,...]", spec);
}

static enum atoll_status read_spec(const char *spec, struct vnet_user_spec *user, struct atoll_error *err) {
    const char *rest;
    enum kind kind = kind_of(spec, &rest);
    if (kind == KIND_UNKNOWN) return unknown(spec, err);
    return kind == KIND_USER ? vnet_user_spec_parse(rest, user, err) : ATOLL_OK;
}

enum atoll_status vnet_spec_check(const char *spec, struct atoll_error *err) {
    struct vnet_user_spec user = {.rule = NULL};
    return read_spec(spec, &user, err);
}

static enum atoll_status add_rule(void *context, bool allow, const char *text, struct atoll_error *err) {
    return sb_rule_connect(context, allow, text, err);
}

enum atoll_status vnet_grant(struct sandbox *sandbox, const char *spec, struct atoll_error *err) {
    const char *rest;
    struct vnet_user_spec user = {.rule = add_rule, .rule_context = sandbox};
    struct vnet_slirp library; /* stays loaded */
    enum atoll_status status = read_spec(spec, &user, err);
    return status || kind_of(spec, &rest) != KIND_USER ? status : vnet_slirp_load(&library, err);
}

static enum atoll_status open_kind(struct vnet *net, struct atoll_error *err) {
    const char *rest;
    switch (kind_of(net->config.spec, &rest)) {
    case KIND_NONE: net->ops = &none_ops; return ATOLL_OK;
    case KIND_TAP: return vnet_tap_open(net, rest, err);
    case KIND_USER: return vnet_user_open(net, rest, err);
    default: return unknown(net->config.spec, err);
    }
}

enum atoll_status vnet_open(const struct vnet_config *config, struct vnet **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    struct vnet *net = atoll_new(alloc, 1, sizeof *net);
    if (!net) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    net->config = *config;
    net->config.alloc = alloc;
    enum atoll_status status = open_kind(net, err);
    if (status)
        atoll_free(alloc, net, sizeof *net);
    else
        *out = net;
    return status;
}

uint32_t vnet_offloads(const struct vnet *net) { return net->ops->offloads; }

void vnet_set_offloads(struct vnet *net, uint32_t offloads) {
    if (net->ops->set_offloads) net->ops->set_offloads(net->backend, offloads & net->ops->offloads);
}

int vnet_send(struct vnet *net, const struct vnet_header *header, const struct iovec *iov, int n_iov) {
    return net->ops->send(net->backend, header, iov, n_iov);
}

void vnet_receive_ready(struct vnet *net) { net->ops->receive_ready(net->backend); }

void vnet_close(struct vnet *net) {
    if (!net) return;
    net->ops->close(net->backend);
    atoll_free(net->config.alloc, net, sizeof *net);
}
