/* sysvm/guest/cpio.c: archives in the "newc" format.
 * source  Linux documentation, driver-api/early-userspace/buffer-format.rst */
#include <stdio.h>
#include "sysvm/guest/internal.h"

#define HEADER_BYTES 110

static uint8_t *room_for(const struct atoll_alloc *alloc, struct guest_archive *a, size_t n) {
    if (atoll_grow(alloc, (void **)&a->bytes, &a->capacity, a->size + n, 1)) return NULL;
    uint8_t *at = a->bytes + a->size;
    memset(at, 0, n);
    a->size += n;
    return at;
}

static size_t padding(size_t size) { return (4 - size % 4) % 4; }

static enum atoll_status add(const struct atoll_alloc *alloc, struct guest_archive *a, const char *name,
                             uint32_t mode, const void *bytes, size_t size, unsigned major, unsigned minor,
                             struct atoll_error *err) {
    char header[HEADER_BYTES + 1];
    size_t name_size = strlen(name) + 1, head = HEADER_BYTES + name_size, whole = head + padding(head) + size;
    if (size > UINT32_MAX) return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "'%s' is too large", name);
    uint8_t *at = room_for(alloc, a, whole + padding(whole));
    if (!at) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    /* magic, inode, mode, uid, gid, links, time, size, device (2), device it is (2), name's size, checksum */
    snprintf(header, sizeof header, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 0, mode, 0,
             0, 1, 0, (unsigned)size, 0, 0, major, minor, (unsigned)name_size, 0);
    memcpy(at, header, HEADER_BYTES);
    memcpy(at + HEADER_BYTES, name, name_size);
    if (size) memcpy(at + head + padding(head), bytes, size);
    return ATOLL_OK;
}

enum atoll_status guest_cpio_add(const struct atoll_alloc *alloc, struct guest_archive *archive,
                                 const char *name, uint32_t mode, const void *bytes, size_t size,
                                 struct atoll_error *err) {
    return add(alloc, archive, name, mode, bytes, size, 0, 0, err);
}

enum atoll_status guest_cpio_device(const struct atoll_alloc *alloc, struct guest_archive *archive,
                                    const char *name, uint32_t mode, unsigned major, unsigned minor,
                                    struct atoll_error *err) {
    return add(alloc, archive, name, mode, NULL, 0, major, minor, err);
}

enum atoll_status guest_cpio_end(const struct atoll_alloc *alloc, struct guest_archive *archive,
                                 struct atoll_error *err) {
    return add(alloc, archive, "TRAILER!!!", 0, NULL, 0, 0, 0, err);
}
