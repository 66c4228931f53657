/* sysvm/boot/unpack.h: compressed kernels, and modules of kernels. */
#ifndef ATOLL_SYSVM_BOOT_UNPACK_H
#define ATOLL_SYSVM_BOOT_UNPACK_H

#include "sysvm/boot/boot.h"

enum boot_packing { BOOT_PLAIN, BOOT_GZIP, BOOT_XZ, BOOT_LZMA, BOOT_ZSTD, BOOT_LZ4 };
/* By the first bytes. BOOT_PLAIN: none that is known. */
enum boot_packing boot_packing_of(struct vm_bytes bytes);

#define BOOT_UNPACKED_MAX ((size_t)1 << 30)

struct boot_unpacked {
    uint8_t *data; /* a mapping of room bytes, size of them used */
    size_t size, room;
};
/* One stream of `packing`; what follows it is ignored.
 * in     max_bytes: more output, or more than BOOT_UNPACKED_MAX, is E_LIMIT; memory is taken as it is filled
 * owns   *out, for boot_unpacked_free
 * fails  E_MALFORMED, E_LIMIT, E_NOMEM */
enum atoll_status boot_unpack(enum boot_packing packing, struct vm_bytes packed, size_t max_bytes,
                              struct boot_unpacked *out, struct atoll_error *err);
/* The same into `room` bytes at `to`; more is E_LIMIT. After a failure what has been unpacked is there. */
enum atoll_status boot_unpack_to(enum boot_packing packing, struct vm_bytes packed, uint8_t *to, size_t room,
                                 size_t *out_size, struct atoll_error *err);
/* An empty one, of `room` bytes. fails E_NOMEM */
enum atoll_status boot_unpacked_new(size_t room, struct boot_unpacked *out, struct atoll_error *err);
void boot_unpacked_free(struct boot_unpacked *unpacked);

#endif
