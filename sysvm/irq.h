/* sysvm/irq.h: interrupts and doorbells, whatever engine runs the CPU. An engine fills the table; devices get a
 * struct vm_irq and never know which it is. All of it under the machine lock, but `msi`: any thread. */
#ifndef ATOLL_SYSVM_IRQ_H
#define ATOLL_SYSVM_IRQ_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

struct vm_irq_ops {
    /* Pin `gsi` of the I/O APIC (layout.h) is driven to a level; edges are level true, then false. */
    void (*line)(void *engine, unsigned gsi, bool level);
    /* A message as a device writes it: the address and data of its MSI-X entry, which are the guest's. */
    void (*msi)(void *engine, uint64_t address, uint32_t data);
    /* While `on`, a guest's write of n_bytes (0: of any width) at gpa adds to the eventfd instead of coming to
     * the bus. Returns 0 or an errno: without it the write comes to the bus. NULL = the engine cannot. */
    int (*doorbell)(void *engine, uint64_t gpa, unsigned n_bytes, int eventfd, bool on);
    /* A descriptor (an eventfd, the engine's) that sends the message whenever 8 bytes, a 1, are written to it: one system
     * call that needs no rights but on the descriptor. Or a negative errno, and `msi` is the way. NULL = the engine cannot. */
    int (*wire)(void *engine, uint64_t address, uint32_t data);
    /* Ends it: what was written before has been sent, and the descriptor is closed. */
    void (*unwire)(void *engine, int wire);
};

struct vm_irq {
    const struct vm_irq_ops *ops;
    void *engine;
};

static inline void vm_irq_line(const struct vm_irq *irq, unsigned gsi, bool level) {
    irq->ops->line(irq->engine, gsi, level);
}
static inline void vm_irq_msi(const struct vm_irq *irq, uint64_t address, uint32_t data) {
    irq->ops->msi(irq->engine, address, data);
}
static inline int vm_irq_doorbell(const struct vm_irq *irq, uint64_t gpa, unsigned n_bytes, int eventfd,
                                  bool on) {
    return irq->ops->doorbell ? irq->ops->doorbell(irq->engine, gpa, n_bytes, eventfd, on) : ENOTSUP;
}
static inline int vm_irq_wire(const struct vm_irq *irq, uint64_t address, uint32_t data) {
    return irq->ops->wire ? irq->ops->wire(irq->engine, address, data) : -ENOTSUP;
}
static inline void vm_irq_unwire(const struct vm_irq *irq, int wire) { irq->ops->unwire(irq->engine, wire); }

#endif
