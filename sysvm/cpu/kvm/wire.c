/* sysvm/cpu/kvm/wire.c: messages that are sent by writing to a descriptor (irqfds).
 *
 *   eventfd --KVM_IRQFD--> GSI --KVM_SET_GSI_ROUTING--> the message, to local APICs
 *
 * GSIs below VM_GSI_COUNT are the pins of the interrupt controllers; each wire has one behind them. The kernel's table
 * is set as a whole, so the pins' part, which it begins with, is written down here again.
 *
 * source  Linux documentation, virt/kvm/api.rst, KVM_SET_GSI_ROUTING and KVM_IRQFD */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sysvm/cpu/kvm/kvm.h"
#include "sysvm/layout.h"

#define ISA_LINES  16 /* pins of the two 8259; the I/O APIC has them, too */
#define MAX_ROUTES (VM_GSI_COUNT + ISA_LINES + KVM_WIRES)

struct table {
    unsigned n;
    struct kvm_irq_routing_entry *entries;
};

static void add_pin(struct table *t, unsigned gsi, unsigned chip, unsigned pin) {
    t->entries[t->n++] = (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {.irqchip = chip, .pin = pin}};
}

static void add_pins(struct table *t) {
    for (unsigned gsi = 0; gsi < VM_GSI_COUNT; gsi++) {
        if (gsi < ISA_LINES)
            add_pin(t, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
        add_pin(t, gsi, KVM_IRQCHIP_IOAPIC, gsi);
    }
}

static void add_message(struct table *t, unsigned gsi, const struct kvm_wire *wire) {
    t->entries[t->n++] =
        (struct kvm_irq_routing_entry){.gsi = gsi,
                                       .type = KVM_IRQ_ROUTING_MSI,
                                       .u.msi = {.address_lo = (uint32_t)wire->address,
                                                 .address_hi = (uint32_t)(wire->address >> 32),
                                                 .data = wire->data}};
}

static int set_routes(const struct kvm *kvm) {
    _Alignas(struct kvm_irq_routing) char
        room[sizeof(struct kvm_irq_routing) + MAX_ROUTES * sizeof(struct kvm_irq_routing_entry)] = {0};
    struct kvm_irq_routing *routing = (struct kvm_irq_routing *)room;
    struct table t = {.entries = routing->entries};
    add_pins(&t);
    for (unsigned i = 0; i < KVM_WIRES; i++)
        if (kvm->wires[i].is_used) add_message(&t, VM_GSI_COUNT + i, kvm->wires + i);
    routing->nr = t.n;
    return ioctl(kvm->vm, KVM_SET_GSI_ROUTING, routing) ? errno : 0;
}

static int set_irqfd(const struct kvm *kvm, unsigned i, unsigned flags) {
    struct kvm_irqfd irqfd = {.fd = (uint32_t)kvm->wires[i].fd, .gsi = VM_GSI_COUNT + i, .flags = flags};
    return ioctl(kvm->vm, KVM_IRQFD, &irqfd) ? errno : 0;
}

static unsigned free_wire(const struct kvm *kvm) {
    unsigned i = 0;
    while (i < KVM_WIRES && kvm->wires[i].is_used) i++;
    return i;
}

bool kvm_has_wires(int device) {
    return ioctl(device, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD) > 0 &&
           ioctl(device, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING) >= MAX_ROUTES;
}

/* The route comes first: a descriptor is never bound to a message that its GSI had before. What is given back keeps its
 * route, which nobody rings, until the table is set again. */
int kvm_wire(void *engine, uint64_t address, uint32_t data) {
    struct kvm *kvm = engine;
    unsigned i = free_wire(kvm);
    if (!kvm->has_wires) return -ENOTSUP;
    if (i == KVM_WIRES) return -ENOSPC;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return -errno;
    kvm->wires[i] = (struct kvm_wire){.is_used = true, .fd = fd, .address = address, .data = data};
    int error = set_routes(kvm);
    if (!error) error = set_irqfd(kvm, i, 0);
    if (!error) return fd;
    kvm->wires[i].is_used = false;
    close(fd);
    return -error;
}

/* The kernel waits for what it has begun to send. */
void kvm_unwire(void *engine, int fd) {
    struct kvm *kvm = engine;
    for (unsigned i = 0; i < KVM_WIRES; i++) {
        if (!kvm->wires[i].is_used || kvm->wires[i].fd != fd) continue;
        set_irqfd(kvm, i, KVM_IRQFD_FLAG_DEASSIGN);
        kvm->wires[i].is_used = false;
        close(fd);
        return;
    }
}
