/* sysvm/bus.c: regions sorted by address, see bus.h. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "sysvm/bus.h"

struct region {
    uint64_t base, size;
    const struct vm_dev_ops *ops;
    void *dev;
    uint64_t n_accesses;
};

struct vm_bus {
    const struct atoll_alloc *alloc;
    struct region *regions; /* ascending, none overlaps another */
    size_t n_regions, cap_regions;
    uint64_t n_unclaimed;
};

struct vm_bus *vm_bus_new(const struct atoll_alloc *alloc) {
    struct vm_bus *bus = atoll_new(alloc, 1, sizeof *bus);
    if (bus) bus->alloc = alloc;
    return bus;
}

void vm_bus_free(struct vm_bus *bus) {
    if (!bus) return;
    atoll_free(bus->alloc, bus->regions, bus->cap_regions * sizeof *bus->regions);
    atoll_free(bus->alloc, bus, sizeof *bus);
}

/* The first region that ends behind `address`. */
static size_t find(const struct vm_bus *bus, uint64_t address) {
    size_t low = 0, high = bus->n_regions;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct region *region = bus->regions + middle;
        if (region->base + (region->size - 1) < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int vm_bus_add(struct vm_bus *bus, uint64_t base, uint64_t size, const struct vm_dev_ops *ops, void *dev) {
    if (!size || size - 1 > UINT64_MAX - base) return EINVAL;
    size_t at = find(bus, base);
    if (at < bus->n_regions && bus->regions[at].base <= base + (size - 1)) return EEXIST;
    if (atoll_grow(bus->alloc, (void **)&bus->regions, &bus->cap_regions, bus->n_regions + 1,
                   sizeof *bus->regions))
        return ENOMEM;
    memmove(bus->regions + at + 1, bus->regions + at, (bus->n_regions - at) * sizeof *bus->regions);
    bus->regions[at] = (struct region){base, size, ops, dev, 0};
    bus->n_regions++;
    return 0;
}

void vm_bus_remove(struct vm_bus *bus, uint64_t base) {
    size_t at = find(bus, base);
    if (at == bus->n_regions || bus->regions[at].base != base) return;
    bus->n_regions--;
    memmove(bus->regions + at, bus->regions + at + 1, (bus->n_regions - at) * sizeof *bus->regions);
}

/* The region that holds all of an access; NULL = none does. */
static struct region *holder(const struct vm_bus *bus, uint64_t address, unsigned n_bytes) {
    size_t at = find(bus, address);
    if (at == bus->n_regions) return NULL;
    struct region *region = bus->regions + at;
    if (address < region->base || n_bytes - 1 > region->size - 1 - (address - region->base)) return NULL;
    return region;
}

static bool is_width(unsigned n_bytes) {
    return n_bytes == 1 || n_bytes == 2 || n_bytes == 4 || n_bytes == 8;
}

/* How much of an access is passed on as it is: all of it where one region holds it, else the largest part that
 * is aligned by itself, as a bridge cuts accesses. */
static unsigned piece(const struct vm_bus *bus, uint64_t address, unsigned n_bytes) {
    if (is_width(n_bytes) && holder(bus, address, n_bytes)) return n_bytes;
    unsigned n = n_bytes > 8 ? 8 : n_bytes > 4 ? 4 : n_bytes > 2 ? 2 : 1;
    while (n > 1 && (address % n || !holder(bus, address, n))) n /= 2;
    return n;
}

void vm_bus_read(struct vm_bus *bus, uint64_t address, void *data, unsigned n_bytes) {
    char *out = data;
    while (n_bytes) {
        unsigned n = piece(bus, address, n_bytes);
        struct region *region = holder(bus, address, n);
        ++*(region ? &region->n_accesses : &bus->n_unclaimed);
        if (region)
            region->ops->read(region->dev, address - region->base, out, n);
        else
            memset(out, 0xFF, n);
        address += n, out += n, n_bytes -= n;
    }
}

void vm_bus_write(struct vm_bus *bus, uint64_t address, const void *data, unsigned n_bytes) {
    const char *in = data;
    while (n_bytes) {
        unsigned n = piece(bus, address, n_bytes);
        struct region *region = holder(bus, address, n);
        ++*(region ? &region->n_accesses : &bus->n_unclaimed);
        if (region) region->ops->write(region->dev, address - region->base, in, n);
        address += n, in += n, n_bytes -= n;
    }
}

bool vm_bus_count(const struct vm_bus *bus, size_t i, const char **out_name, uint64_t *out_base,
                  uint64_t *out_n) {
    if (i > bus->n_regions) return false;
    const struct region *region = i < bus->n_regions ? bus->regions + i : NULL;
    *out_name = region ? region->ops->name : "unclaimed";
    *out_base = region ? region->base : UINT64_MAX;
    *out_n = region ? region->n_accesses : bus->n_unclaimed;
    return true;
}
