/* sysvm/dev/platform/acpi_pm.c: see acpi_pm.h. Registers may be read and written by bytes or across their edges:
 * each access is taken as single bytes of the 12. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "sysvm/dev/platform/acpi_pm.h"
#include "sysvm/loop.h"

enum { STATUS = 0, ENABLE = 2, CONTROL = 4, TIMER = 8 };
enum { POWER_BUTTON = 0x0100 };
enum { ENABLE_BITS = 0x0721 };
enum {
    SCI_ENABLE = 1,
    SLEEP_TYPE = 0x1C00,
    SLEEP_SHIFT = 10,
    SLEEP_ENABLE = 0x2000,
    CONTROL_BITS = SLEEP_TYPE | 2
};

#define TIMER_HZ   UINT64_C(3579545)
#define TIMER_MASK 0xFFFFFF

struct vm_acpi_pm {
    const struct atoll_alloc *alloc;
    struct vm_bus *ports;
    const struct vm_irq *irq;
    struct vm_power power;
    uint64_t (*now_ns)(void *context); /* NULL: the host's */
    void *context;
    uint64_t start_ns;
    uint16_t status, enable, control;
    bool line_up;
};

static void set_line(struct vm_acpi_pm *pm) {
    bool up = pm->status & pm->enable;
    if (up == pm->line_up) return;
    pm->line_up = up;
    vm_irq_line(pm->irq, VM_GSI_ACPI, up);
}

static uint64_t now_ns(const struct vm_acpi_pm *pm) {
    return pm->now_ns ? pm->now_ns(pm->context) : vm_now_ns();
}

/* seconds and the rest apart, so that nothing overflows in a machine's life */
static uint32_t timer(const struct vm_acpi_pm *pm) {
    uint64_t ns = now_ns(pm) - pm->start_ns, second = UINT64_C(1000000000);
    return (uint32_t)(ns / second * TIMER_HZ + ns % second * TIMER_HZ / second) & TIMER_MASK;
}

static void port_read(void *dev, uint64_t offset, void *data, unsigned n) {
    struct vm_acpi_pm *pm = dev;
    uint32_t ticks = timer(pm);
    uint16_t control = pm->control | SCI_ENABLE;
    uint8_t image[VM_ACPI_PM_PORTS] = {0};
    memcpy(image + STATUS, &pm->status, 2);
    memcpy(image + ENABLE, &pm->enable, 2);
    memcpy(image + CONTROL, &control, 2);
    memcpy(image + TIMER, &ticks, 4);
    memcpy(data, image + offset, n);
}

static uint16_t with_byte(uint16_t value, unsigned index, uint8_t byte) {
    unsigned shift = 8 * index;
    return (uint16_t)((value & ~(0xFF << shift)) | byte << shift);
}

static void write_control(struct vm_acpi_pm *pm, unsigned index, uint8_t byte) {
    uint16_t value = with_byte(pm->control, index, byte);
    pm->control = value & CONTROL_BITS;
    if (!(value & SLEEP_ENABLE) || (value & SLEEP_TYPE) >> SLEEP_SHIFT != VM_ACPI_S5) return;
    if (pm->power.off) pm->power.off(pm->power.context);
}

static void port_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    struct vm_acpi_pm *pm = dev;
    for (unsigned i = 0; i < n; i++) {
        unsigned at = (unsigned)offset + i;
        uint8_t byte = ((const uint8_t *)data)[i];
        if (at < ENABLE)
            pm->status &= (uint16_t) ~(byte << 8 * at); /* ones clear */
        else if (at < CONTROL)
            pm->enable = with_byte(pm->enable, at - ENABLE, byte) & ENABLE_BITS;
        else if (at < CONTROL + 2)
            write_control(pm, at - CONTROL, byte);
    }
    set_line(pm);
}

static const struct vm_dev_ops port_ops = {"acpi-pm", port_read, port_write};

void vm_acpi_pm_power_button(struct vm_acpi_pm *pm) {
    pm->status |= POWER_BUTTON;
    set_line(pm);
}

enum atoll_status vm_acpi_pm_new(const struct atoll_alloc *alloc, struct vm_bus *ports,
                                 const struct vm_irq *irq, const struct vm_power *power,
                                 struct vm_acpi_pm **out, struct atoll_error *err) {
    struct vm_acpi_pm *pm = atoll_new(alloc, 1, sizeof *pm);
    int error = pm ? vm_bus_add(ports, VM_PORT_ACPI_PM, VM_ACPI_PM_PORTS, &port_ops, pm) : ENOMEM;
    if (error) {
        atoll_free(alloc, pm, sizeof *pm);
        return atoll_fail(err, error == ENOMEM ? ATOLL_E_NOMEM : ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "acpi-pm at %#x: %s", VM_PORT_ACPI_PM, strerror(error));
    }
    *pm = (struct vm_acpi_pm){
        .alloc = alloc, .ports = ports, .irq = irq, .power = *power, .start_ns = vm_now_ns()};
    *out = pm;
    return ATOLL_OK;
}

void vm_acpi_pm_use_clock(struct vm_acpi_pm *pm, uint64_t (*now)(void *context), void *context) {
    pm->now_ns = now;
    pm->context = context;
    pm->start_ns = now(context);
}

void vm_acpi_pm_free(struct vm_acpi_pm *pm) {
    if (!pm) return;
    vm_bus_remove(pm->ports, VM_PORT_ACPI_PM);
    atoll_free(pm->alloc, pm, sizeof *pm);
}
