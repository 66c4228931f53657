/* sysvm/dev/pci/msix.h: interrupts as messages. The table and the pending bits are guest-writable and
 * guest-readable memory in a BAR; who owns the BAR passes accesses on. A vector that sends the same message again and
 * again is given a wire (sysvm/irq.h), until its message or a mask changes: making one takes the kernel longer than some
 * dozens of messages.
 *
 * source  PCI Local Bus 3.0, 6.8.2 "MSI-X Capability and Table Structure" */
#ifndef ATOLL_SYSVM_MSIX_H
#define ATOLL_SYSVM_MSIX_H

#include "sysvm/dev/pci/pci.h"
#include "sysvm/irq.h"

#define MSIX_MAX_VECTORS 65
#define MSIX_ENTRY_BYTES 16
#define MSIX_WIRED_AFTER 64 /* messages without a wire */

struct msix {
    struct pci_function *function;
    const struct vm_irq *irq;
    unsigned capability; /* its offset */
    unsigned n_vectors;
    uint8_t table[MSIX_MAX_VECTORS * MSIX_ENTRY_BYTES]; /* address, data, control: bit 0 masks */
    uint8_t pending[(MSIX_MAX_VECTORS + 63) / 64 * 8];
    struct msix_wire {
        bool is_wired;
        int wire;
        uint32_t n_sent; /* without a wire, since there was none */
    } wires[MSIX_MAX_VECTORS];
};

/* Adds the capability at `capability_offset`; table and pending bits lie in BAR 0. n_vectors <= MSIX_MAX_VECTORS;
 * all masked. */
void msix_init(struct msix *m, struct pci_function *f, const struct vm_irq *irq, unsigned capability_offset,
               unsigned n_vectors, uint32_t table_offset, uint32_t pending_offset);
/* Nothing is under way any more, and no vector has a wire: a reset, the device's end. Before msix_init on zeroed memory,
 * too. */
void msix_settle(struct msix *m);
bool msix_enabled(const struct msix *m);
/* Sends the vector's message, or keeps it pending while masked. Other vectors than there are do nothing. */
void msix_notify(struct msix *m, unsigned vector);
/* To be called after configuration space was written: unmasking sends what is pending. */
void msix_after_write(struct msix *m, unsigned offset, unsigned n);

/* Any offset and n; what lies outside reads as 0. */
void msix_table_read(const struct msix *m, uint64_t offset, void *data, unsigned n);
void msix_table_write(struct msix *m, uint64_t offset, const void *data, unsigned n);
void msix_pending_read(const struct msix *m, uint64_t offset, void *data, unsigned n);

#endif
