/* sysvm/net/slirp.c: finds libslirp when a guest wants it. It brings GLib along, which every other run of atoll
 * would pay for in start time and memory, so it is loaded here and not linked. */
#include <dlfcn.h>
#include "sysvm/net/slirp.h"

enum atoll_status vnet_slirp_load(struct vnet_slirp *out, struct atoll_error *err) {
    /* Never unloaded: GLib registers what cannot be taken back. */
    void *library = dlopen("libslirp.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                          "network 'user' needs libslirp (Debian: libslirp0): %s", dlerror());
    const struct {
        void **at;
        const char *name;
    } wanted[] = {{(void **)&out->create, "slirp_new"},
                  {(void **)&out->cleanup, "slirp_cleanup"},
                  {(void **)&out->pollfds_fill, "slirp_pollfds_fill"},
                  {(void **)&out->pollfds_poll, "slirp_pollfds_poll"},
                  {(void **)&out->input, "slirp_input"},
                  {(void **)&out->handle_timer, "slirp_handle_timer"},
                  {(void **)&out->add_hostfwd, "slirp_add_hostfwd"}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!(*wanted[i].at = dlsym(library, wanted[i].name)))
            return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                              "network 'user' needs libslirp 4.7, here is one without %s", wanted[i].name);
    return ATOLL_OK;
}
