/* sysvm/dev/pci/virtio_pci.h: a virtio device as a PCI function: the modern transport of virtio 1.2.
 *
 *   BAR 0, 32 KiB   0000 common configuration   3000 notification, 4 bytes a queue
 *                   1000 interrupt status       4000 MSI-X table
 *                   2000 device configuration   5000 MSI-X pending bits
 *
 * A notification is an eventfd that the loop watches: the engine writes it without leaving the kernel where it
 * can, the bus otherwise. Interrupts are MSI-X, or the slot's INTA while the guest leaves MSI-X off.
 *
 * source  virtio 1.2, "Virtio Over PCI Bus" */
#ifndef ATOLL_SYSVM_VIRTIO_PCI_H
#define ATOLL_SYSVM_VIRTIO_PCI_H

#include "sysvm/dev/pci/pci.h"
#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/irq.h"
#include "sysvm/loop.h"
#include "sysvm/memory.h"

struct virtio_pci_config {
    const struct atoll_alloc *alloc;
    struct pci_root *root;
    const struct vm_memory *memory;
    struct vm_loop *loop;
    const struct vm_irq *irq; /* outlives the device, like all the above */
};

/* Puts `dev` into the root's next slot. Takes `dev` over, on failure too; pci_root_free frees it.
 * fails  E_NOMEM, E_IO (no eventfd), E_LIMIT (the bus is full), E_USAGE */
enum atoll_status virtio_pci_new(const struct virtio_pci_config *config, const struct virtio_ops *ops,
                                 void *dev, struct atoll_error *err);

#endif
