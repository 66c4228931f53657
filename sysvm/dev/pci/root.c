/* sysvm/dev/pci/root.c: configuration space of bus 0, see pci.h. */
#include <errno.h>
#include <string.h>
#include "sysvm/dev/pci/pci.h"
#include "sysvm/layout.h"

#define BRIDGE_VENDOR 0x1B36 /* a generic PCI Express host bridge that no kernel has a quirk for */
#define BRIDGE_DEVICE 0x0008
#define BRIDGE_CLASS  0x060000

#define ADDRESS_ENABLE   0x80000000u /* of port CF8 */
#define RESET_PORT       (VM_PORT_RESET - VM_PORT_PCI_CONFIG)
#define RESET_NOW        0x04 /* a change of this bit to 1 resets */
#define RESET_PORT_STAYS 0x0A /* what can be read back */

struct pci_root {
    struct pci_root_config config;
    struct pci_function *functions[PCI_SLOTS];
    unsigned n_functions;
    bool has_ports, has_ecam;
    unsigned n_asserted[VM_GSI_COUNT]; /* functions that assert a line */
    uint64_t next_bar;                 /* the first address no BAR was given */
    uint32_t address;                  /* port CF8 */
    uint8_t reset_control;             /* port CF9 */
};

/* ---- BARs ---- */

static uint64_t wanted_address(const struct pci_function *f) {
    return pci_u16(f, PCI_COMMAND) & PCI_COMMAND_MEMORY ? pci_u32(f, PCI_BAR0) & ~UINT32_C(15) : 0;
}

/* A place that is taken (by another BAR, by what a PC has there) leaves the BAR nowhere. */
static void map_bar(struct pci_function *f) {
    uint64_t wanted = f->bar.size ? wanted_address(f) : 0;
    struct vm_bus *bus = f->root->config.memory;
    if (wanted == f->bar.mapped_at) return;
    if (f->bar.mapped_at) vm_bus_remove(bus, f->bar.mapped_at);
    f->bar.mapped_at = wanted && !vm_bus_add(bus, wanted, f->bar.size, f->bar.ops, f) ? wanted : 0;
    if (f->ops->moved) f->ops->moved(f);
}

static bool place_bar(struct pci_root *root, struct pci_function *f) {
    uint64_t size = f->bar.size, base = (root->next_bar + size - 1) & ~(size - 1);
    if (!size) return true;
    if (base + size > VM_PCI_MEMORY_BASE + VM_PCI_MEMORY_SIZE) return false;
    root->next_bar = base + size;
    pci_set_u32(f, PCI_BAR0, (uint32_t)base);
    uint32_t mask = ~(f->bar.size - 1);
    memcpy(f->writable + PCI_BAR0, &mask, sizeof mask);
    return true;
}

/* ---- configuration space ---- */

static struct pci_function *function_at(const struct pci_root *root, uint32_t bus, uint32_t slot,
                                        uint32_t function) {
    return bus || function || slot >= root->n_functions ? NULL : root->functions[slot];
}

static void config_read(struct pci_function *f, unsigned offset, uint8_t *data, unsigned n) {
    memset(data, f ? 0 : 0xFF, n);
    if (!f) return;
    if (f->ops->before_read) f->ops->before_read(f, offset, n);
    for (unsigned i = 0; i < n && offset + i < PCI_CONFIG_BYTES; i++) data[i] = f->config[offset + i];
}

static void config_write(struct pci_function *f, unsigned offset, const uint8_t *data, unsigned n) {
    if (!f) return;
    for (unsigned i = 0; i < n && offset + i < PCI_CONFIG_BYTES; i++) {
        uint8_t mask = f->writable[offset + i], *byte = &f->config[offset + i];
        *byte = (uint8_t)((*byte & ~mask) | (data[i] & mask));
    }
    map_bar(f);
    if (f->ops->after_write) f->ops->after_write(f, offset, n);
}

/* ECAM: bus 20..27, slot 15..19, function 12..14, register 0..11. An access never leaves a function. */
static struct pci_function *ecam_function(const struct pci_root *root, uint64_t offset, unsigned n) {
    if ((offset & 0xFFF) + n > 0x1000) return NULL;
    return function_at(root, (uint32_t)(offset >> 20), offset >> 15 & 31, offset >> 12 & 7);
}

static void ecam_read(void *dev, uint64_t offset, void *data, unsigned n) {
    config_read(ecam_function(dev, offset, n), offset & 0xFFF, data, n);
}

static void ecam_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    config_write(ecam_function(dev, offset, n), offset & 0xFFF, data, n);
}

static const struct vm_dev_ops ecam_ops = {"pci-ecam", ecam_read, ecam_write};

/* ---- ports ---- */

/* What the address register names; NULL for accesses that pass the data port's end. */
static struct pci_function *port_function(const struct pci_root *root, uint64_t offset, unsigned n) {
    uint32_t a = root->address;
    if (offset < 4 || offset + n > 8 || !(a & ADDRESS_ENABLE)) return NULL;
    return function_at(root, a >> 16 & 0xFF, a >> 11 & 31, a >> 8 & 7);
}

static unsigned port_register(const struct pci_root *root, uint64_t offset) {
    return (root->address & 0xFC) + (unsigned)(offset & 3);
}

static void port_read(void *dev, uint64_t offset, void *data, unsigned n) {
    struct pci_root *root = dev;
    memset(data, 0xFF, n);
    if (offset == 0 && n == 4)
        memcpy(data, &root->address, 4);
    else if (offset == RESET_PORT && n == 1)
        memcpy(data, &root->reset_control, 1);
    else if (offset >= 4)
        config_read(port_function(root, offset, n), port_register(root, offset), data, n);
}

static void reset_write(struct pci_root *root, uint8_t value) {
    bool rises = value & ~root->reset_control & RESET_NOW;
    root->reset_control = value & (RESET_PORT_STAYS | RESET_NOW);
    if (rises && root->config.reset) root->config.reset(root->config.reset_context);
}

static void port_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    struct pci_root *root = dev;
    if (offset == 0 && n == 4)
        memcpy(&root->address, data, 4);
    else if (offset == RESET_PORT && n == 1)
        reset_write(root, *(const uint8_t *)data);
    else if (offset >= 4)
        config_write(port_function(root, offset, n), port_register(root, offset), data, n);
}

static const struct vm_dev_ops port_ops = {"pci-ports", port_read, port_write};

/* ---- functions ---- */

void pci_function_init(struct pci_function *f, const struct pci_function_ops *ops, uint16_t vendor,
                       uint16_t device, uint32_t class_code) {
    *f = (struct pci_function){.ops = ops};
    pci_set_u16(f, PCI_VENDOR, vendor);
    pci_set_u16(f, PCI_DEVICE, device);
    pci_set_u32(f, PCI_REVISION, class_code << 8);
    uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX;
    f->writable[PCI_COMMAND] = (uint8_t)command;
    f->writable[PCI_COMMAND + 1] = (uint8_t)(command >> 8);
    f->writable[PCI_INTERRUPT_LINE] = 0xFF;
}

void pci_add_capability(struct pci_function *f, unsigned offset, const void *bytes, unsigned n) {
    unsigned link = PCI_CAPABILITIES;
    while (f->config[link]) link = f->config[link] + 1u;
    memcpy(f->config + offset, bytes, n);
    f->config[offset + 1] = 0;
    f->config[link] = (uint8_t)offset;
    f->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
}

void pci_set_intx(struct pci_function *f, const struct vm_irq *irq, bool asserted) {
    unsigned gsi = vm_pci_gsi(f->slot, 0), *n = &f->root->n_asserted[gsi];
    if (asserted == f->intx) return;
    f->intx = asserted;
    bool was_up = *n;
    *n = asserted ? *n + 1 : *n - 1;
    if (was_up != (*n > 0)) vm_irq_line(irq, gsi, asserted);
}

enum atoll_status pci_root_add(struct pci_root *root, struct pci_function *f, struct atoll_error *err) {
    f->root = root;
    f->slot = root->n_functions;
    if (f->slot >= PCI_SLOTS || !place_bar(root, f)) {
        f->ops->free(f);
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          "no room on the PCI bus for more than %u devices", root->n_functions - 1);
    }
    root->functions[root->n_functions++] = f;
    return ATOLL_OK;
}

unsigned pci_root_count(const struct pci_root *root) { return root->n_functions; }

static void bridge_free(struct pci_function *f) { atoll_free(f->root->config.alloc, f, sizeof *f); }
static const struct pci_function_ops bridge_ops = {.free = bridge_free};

static enum atoll_status add_bridge(struct pci_root *root, struct atoll_error *err) {
    struct pci_function *bridge = atoll_new(root->config.alloc, 1, sizeof *bridge);
    if (!bridge) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    pci_function_init(bridge, &bridge_ops, BRIDGE_VENDOR, BRIDGE_DEVICE, BRIDGE_CLASS);
    return pci_root_add(root, bridge, err);
}

/* ---- a root ---- */

static enum atoll_status claim(struct vm_bus *bus, uint64_t base, uint64_t size, const struct vm_dev_ops *ops,
                               struct pci_root *root, struct atoll_error *err) {
    int error = vm_bus_add(bus, base, size, ops, root);
    if (!error) return ATOLL_OK;
    return atoll_fail(err, error == ENOMEM ? ATOLL_E_NOMEM : ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                      "%s at %#llx: %s", ops->name, (unsigned long long)base, strerror(error));
}

enum atoll_status pci_root_new(const struct pci_root_config *config, struct pci_root **out,
                               struct atoll_error *err) {
    struct pci_root *root = atoll_new(config->alloc, 1, sizeof *root);
    if (!root) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    root->config = *config;
    root->next_bar = VM_PCI_MEMORY_BASE;
    enum atoll_status status = add_bridge(root, err);
    if (!status) status = claim(config->ports, VM_PORT_PCI_CONFIG, 8, &port_ops, root, err);
    root->has_ports = !status;
    if (!status) status = claim(config->memory, VM_ECAM_BASE, VM_ECAM_SIZE, &ecam_ops, root, err);
    root->has_ecam = !status;
    if (status) {
        pci_root_free(root);
        return status;
    }
    *out = root;
    return ATOLL_OK;
}

void pci_root_free(struct pci_root *root) {
    if (!root) return;
    for (unsigned i = root->n_functions; i-- > 0;) {
        struct pci_function *f = root->functions[i];
        if (f->bar.mapped_at) vm_bus_remove(root->config.memory, f->bar.mapped_at);
        f->ops->free(f);
    }
    if (root->has_ports) vm_bus_remove(root->config.ports, VM_PORT_PCI_CONFIG);
    if (root->has_ecam) vm_bus_remove(root->config.memory, VM_ECAM_BASE);
    atoll_free(root->config.alloc, root, sizeof *root);
}
