/* sysvm/dev/pci/pci.h: bus 0 of a PCI Express root: configuration space by ECAM and by ports, memory BARs.
 *
 *   ECAM, ports CF8/CFC -> struct pci_root -> struct pci_function (256 bytes of config, a mask of what is writable)
 *                                                 BARs -> the memory bus, while decoding is on
 *
 * A guest may write any byte of configuration space in any width at any time: what the mask leaves is stored,
 * then BARs are mapped again where they now say. All under the machine lock.
 *
 * source  PCI Local Bus 3.0, chapter 6 "Configuration Space"; PCI Express Base, "Enhanced Configuration Access
 *         Mechanism" */
#ifndef ATOLL_SYSVM_PCI_H
#define ATOLL_SYSVM_PCI_H

#include <stdbool.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/bus.h"
#include "sysvm/irq.h"

#define PCI_CONFIG_BYTES 256 /* of a function; the rest of its 4 KiB reads as 0: no extended capabilities */
#define PCI_SLOTS        32

/* Offsets in configuration space, and bits of the command register. */
enum {
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2C,
    PCI_SUBSYSTEM = 0x2E,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3C,
    PCI_INTERRUPT_PIN = 0x3D
};
enum { PCI_COMMAND_MEMORY = 1 << 1, PCI_COMMAND_MASTER = 1 << 2, PCI_COMMAND_NO_INTX = 1 << 10 };
enum { PCI_STATUS_INTX = 1 << 3, PCI_STATUS_CAPABILITIES = 1 << 4 };

struct pci_function;
struct pci_root;

struct pci_function_ops {
    /* Any may be NULL but `free`. Before n bytes at `offset` are read, and after they were written. */
    void (*before_read)(struct pci_function *f, unsigned offset, unsigned n);
    void (*after_write)(struct pci_function *f, unsigned offset, unsigned n);
    /* The BAR answers at another address now; f->bar.mapped_at says where, 0 = nowhere. */
    void (*moved)(struct pci_function *f);
    void (*free)(struct pci_function *f);
};

/* A function of its kind begins with this and fills it before pci_root_add. */
struct pci_function {
    const struct pci_function_ops *ops;
    struct pci_root *root;
    unsigned slot;
    bool intx; /* asserts its pin, INTA */
    uint8_t config[PCI_CONFIG_BYTES], writable[PCI_CONFIG_BYTES];
    struct pci_bar {
        uint32_t size; /* of BAR 0, the only one: 32-bit memory; a power of two, at least 4 KiB; 0 = none */
        const struct vm_dev_ops *ops;
        uint64_t mapped_at;
    } bar;
};

struct pci_root_config {
    const struct atoll_alloc *alloc;
    struct vm_bus *ports, *memory; /* outlive the root */
    /* The guest wrote a reset to port CF9. May be NULL. */
    void (*reset)(void *context);
    void *reset_context;
};

/* Claims the ports and the ECAM region of layout.h; slot 0 holds the host bridge.
 * fails  E_NOMEM, E_USAGE (the addresses are taken) */
enum atoll_status pci_root_new(const struct pci_root_config *config, struct pci_root **out,
                               struct atoll_error *err);
/* Frees its functions, too. NULL is allowed. */
void pci_root_free(struct pci_root *root);
/* Puts a function into the next slot and gives its BAR an address, as firmware does; decoding is off until the
 * guest turns it on. Takes `f` over, on failure too.
 * fails  E_LIMIT (no slot, no addresses left) */
enum atoll_status pci_root_add(struct pci_root *root, struct pci_function *f, struct atoll_error *err);
/* The functions in their slots, 0 .. count - 1; slot 0 is the bridge. */
unsigned pci_root_count(const struct pci_root *root);

/* ---- for functions ---- */

/* Vendor, device, class (24 bits) and so on, the registers every function has. */
void pci_function_init(struct pci_function *f, const struct pci_function_ops *ops, uint16_t vendor,
                       uint16_t device, uint32_t class_code);
/* Adds a capability at `offset` (a multiple of 4 behind all added before) and links it; its first byte is the
 * id, the second is filled here. */
void pci_add_capability(struct pci_function *f, unsigned offset, const void *bytes, unsigned n);

/* Asserts the function's pin or lets it go. Functions share lines: one is up while any of them asserts it. */
void pci_set_intx(struct pci_function *f, const struct vm_irq *irq, bool asserted);

static inline uint16_t pci_u16(const struct pci_function *f, unsigned offset) {
    return (uint16_t)(f->config[offset] | f->config[offset + 1] << 8);
}
static inline uint32_t pci_u32(const struct pci_function *f, unsigned offset) {
    return pci_u16(f, offset) | (uint32_t)pci_u16(f, offset + 2) << 16;
}
static inline void pci_set_u16(struct pci_function *f, unsigned offset, uint16_t value) {
    f->config[offset] = (uint8_t)value;
    f->config[offset + 1] = (uint8_t)(value >> 8);
}
static inline void pci_set_u32(struct pci_function *f, unsigned offset, uint32_t value) {
    pci_set_u16(f, offset, (uint16_t)value);
    pci_set_u16(f, offset + 2, (uint16_t)(value >> 16));
}
/* Whether [a, a + n) and [b, b + m) have a byte in common. */
static inline bool pci_touches(unsigned a, unsigned n, unsigned b, unsigned m) {
    return a < b + m && b < a + n;
}

#endif
