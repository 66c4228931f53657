/* sysvm/devices.c: the devices of a machine, one list, read from top to bottom. */
#include "sysvm/dev/pci/virtio_pci.h"
#include "sysvm/layout.h"
#include "sysvm/machine_internal.h"

static enum atoll_status add_serial(struct vm_machine *m, struct atoll_error *err) {
    struct vm_serial_config config = {.alloc = m->config.alloc,
                                      .loop = m->loop,
                                      .ports = m->ports,
                                      .irq = &m->irq,
                                      .port = VM_PORT_SERIAL,
                                      .gsi = VM_GSI_SERIAL,
                                      .end = m->config.serial,
                                      .is_waited_for = m->config.counts};
    return vm_serial_new(&config, &m->serial, err);
}

static uint64_t now_ns(void *context) {
    const struct vm_machine *m = context;
    const struct vm_engine_ops *engine = m->config.engine;
    return engine->clock_ns ? engine->clock_ns(m->engine) : vm_now_ns();
}

static int64_t counted_now_ns(void *context) {
    return VM_COUNTED_START_S * 1000000000 + (int64_t)now_ns(context);
}

static enum atoll_status add_cmos(struct vm_machine *m, struct atoll_error *err) {
    struct vm_cmos_config config = {
        .alloc = m->config.alloc, .loop = m->loop, .ports = m->ports, .irq = &m->irq, .context = m};
    if (m->config.counts) config.now_ns = counted_now_ns;
    return vm_cmos_new(&config, &m->cmos, err);
}

static enum atoll_status add_i8042(struct vm_machine *m, struct atoll_error *err) {
    return vm_i8042_new(m->config.alloc, m->ports, &m->power, &m->i8042, err);
}

static enum atoll_status add_acpi_pm(struct vm_machine *m, struct atoll_error *err) {
    enum atoll_status status =
        vm_acpi_pm_new(m->config.alloc, m->ports, &m->irq, &m->power, &m->acpi_pm, err);
    if (status == ATOLL_OK) vm_acpi_pm_use_clock(m->acpi_pm, now_ns, m);
    return status;
}

static enum atoll_status add_pci(struct vm_machine *m, struct atoll_error *err) {
    struct pci_root_config config = {.alloc = m->config.alloc,
                                     .ports = m->ports,
                                     .memory = m->mmio,
                                     .reset = m->power.reset,
                                     .reset_context = m->power.context};
    return pci_root_new(&config, &m->pci, err);
}

enum atoll_status vm_machine_add_virtio(struct vm_machine *m, const struct virtio_ops *ops, void *dev,
                                        struct atoll_error *err) {
    struct virtio_pci_config config = {
        .alloc = m->config.alloc, .root = m->pci, .memory = m->memory, .loop = m->loop, .irq = &m->irq};
    return virtio_pci_new(&config, ops, dev, err);
}

/* Answers by the host's time: not where time is counted. Nor is the balloon. */
static enum atoll_status add_rng(struct vm_machine *m, struct atoll_error *err) {
    if (m->config.counts) return ATOLL_OK;
    struct vrng_config config = {.alloc = m->config.alloc, .loop = m->loop, .sandbox = m->config.sandbox};
    const struct virtio_ops *ops;
    void *dev;
    enum atoll_status status = vrng_new(&config, &ops, &dev, err);
    return status == ATOLL_OK ? vm_machine_add_virtio(m, ops, dev, err) : status;
}

static enum atoll_status add_balloon(struct vm_machine *m, struct atoll_error *err) {
    if (m->config.counts) return ATOLL_OK;
    struct vballoon_config config = {.alloc = m->config.alloc, .loop = m->loop, .memory = m->memory};
    const struct virtio_ops *ops;
    enum atoll_status status = vballoon_new(&config, &ops, &m->balloon, err);
    return status == ATOLL_OK ? vm_machine_add_virtio(m, ops, m->balloon, err) : status;
}

static enum atoll_status (*const devices[])(struct vm_machine *, struct atoll_error *) = {
    add_serial, add_cmos, add_i8042, add_acpi_pm, add_pci, add_rng, add_balloon,
};

enum atoll_status vm_devices_new(struct vm_machine *machine, struct atoll_error *err) {
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        enum atoll_status status = devices[i](machine, err);
        if (status != ATOLL_OK) return status;
    }
    return ATOLL_OK;
}

void vm_devices_free(struct vm_machine *machine) {
    pci_root_free(machine->pci);
    vm_acpi_pm_free(machine->acpi_pm);
    vm_i8042_free(machine->i8042);
    vm_cmos_free(machine->cmos);
    vm_serial_free(machine->serial);
}
