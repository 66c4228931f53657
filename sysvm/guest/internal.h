/* sysvm/guest/internal.h: what this folder's files share. */
#ifndef ATOLL_SYSVM_GUEST_INTERNAL_H
#define ATOLL_SYSVM_GUEST_INTERNAL_H

#include <stdbool.h>
#include <string.h>
#include "sysvm/guest/guest.h"

/* ---- embed.c ---- */

extern const uint8_t guest_init[], guest_init_end[]; /* the program, an ELF file */

/* ---- cpio.c ---- */

/* Adds a file or a folder (bytes NULL). fails E_NOMEM */
enum atoll_status guest_cpio_add(const struct atoll_alloc *alloc, struct guest_archive *archive,
                                 const char *name, uint32_t mode, const void *bytes, size_t size,
                                 struct atoll_error *err);
enum atoll_status guest_cpio_device(const struct atoll_alloc *alloc, struct guest_archive *archive,
                                    const char *name, uint32_t mode, unsigned major, unsigned minor,
                                    struct atoll_error *err);
enum atoll_status guest_cpio_end(const struct atoll_alloc *alloc, struct guest_archive *archive,
                                 struct atoll_error *err);

/* ---- modules.c ---- */

/* Called for each module in the order they load; the bytes are not kept. */
typedef enum atoll_status guest_take_module(void *context, const char *name, const void *bytes, size_t size,
                                            struct atoll_error *err);
/* Finds the modules that are wanted, and what they need. fails as guest_archive_new, and what `take` says */
enum atoll_status guest_modules(const struct atoll_alloc *alloc, const struct guest_config *config,
                                guest_take_module *take, void *context, struct atoll_error *err);

#endif
