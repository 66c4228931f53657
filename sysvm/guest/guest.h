/* sysvm/guest/guest.h: an archive (cpio) for the kernel to start from: Atoll's init, the modules it needs, and what it
 * is to do. Nothing of it is ever a file on the host. What is said while the command runs: protocol.h. */
#ifndef ATOLL_SYSVM_GUEST_H
#define ATOLL_SYSVM_GUEST_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include <stddef.h>
#include <stdint.h>

struct guest_config {
    const struct atoll_alloc *alloc; /* NULL = default */
    const char *modules; /* the kernel's own folder (/lib/modules/RELEASE); NULL: all is built in */
    const char *const *module_names; /* needed, with all that they need in turn; '-' and '_' are one */
    size_t n_modules, n_optional;    /* n_optional: the last ones of them, which may not be there */
    const char *const *settings;     /* KEY=VALUE as protocol.h has them, but for module= */
    size_t n_settings;
};

struct guest_archive {
    uint8_t *bytes;
    size_t size, capacity;
};

/* owns   *out, for guest_archive_free
 * fails  E_IO (a file cannot be read), E_MALFORMED (a module is no module), E_LINK (a module is not there), E_NOMEM */
enum atoll_status guest_archive_new(const struct guest_config *config, struct guest_archive *out,
                                    struct atoll_error *err);
void guest_archive_free(const struct atoll_alloc *alloc, struct guest_archive *archive);

#endif
