/* sysvm/bus.h: what answers at an address. A machine has two: ports and memory.
 *
 * A device owns a region and is called with offsets into it. It sees accesses of 1, 2, 4 or 8 bytes that lie
 * inside its region, aligned or not (ports: at most 4); any other access is cut into such pieces first. What
 * nobody claims reads as all ones and swallows writes, as a PC's bus does. Called under the machine lock. */
#ifndef ATOLL_SYSVM_BUS_H
#define ATOLL_SYSVM_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"

struct vm_dev_ops {
    const char *name;
    void (*read)(void *dev, uint64_t offset, void *data, unsigned n_bytes); /* fills all n_bytes */
    void (*write)(void *dev, uint64_t offset, const void *data, unsigned n_bytes);
};

struct vm_bus;

/* Returns NULL when out of memory. */
struct vm_bus *vm_bus_new(const struct atoll_alloc *alloc);
void vm_bus_free(struct vm_bus *bus); /* the devices stay their owners'; NULL is allowed */

/* Returns 0, EEXIST (overlaps a region), EINVAL (size 0, or past the end of addresses) or ENOMEM. */
int vm_bus_add(struct vm_bus *bus, uint64_t base, uint64_t size, const struct vm_dev_ops *ops, void *dev);
/* The region that begins at `base`; nothing happens where none does. Also from inside an access to it. */
void vm_bus_remove(struct vm_bus *bus, uint64_t base);

/* How often a region was accessed, in order of addresses; false: there is no region `i`. The one behind the last
 * stands for what nobody claimed, with the name "unclaimed". */
bool vm_bus_count(const struct vm_bus *bus, size_t i, const char **out_name, uint64_t *out_base,
                  uint64_t *out_n);

/* n_bytes: any; addresses wrap at 2^64 */
void vm_bus_read(struct vm_bus *bus, uint64_t address, void *data, unsigned n_bytes);
void vm_bus_write(struct vm_bus *bus, uint64_t address, const void *data, unsigned n_bytes);

#endif
