/* sysvm/dev/platform/acpi_pm.h: ACPI's fixed hardware: the power button, sleep state S5, the PM timer. Always in
 * ACPI mode (SCI_EN reads as 1; the FADT has no SMI command). Reset is port CF9, value 6 (sysvm/dev/pci).
 *
 *   port  0  PM1 status   2 PM1 enable   4 PM1 control   8 PM timer, 24 bits
 *
 * source  ACPI 6.4, chapter 4.8 "ACPI Register Model" */
#ifndef ATOLL_SYSVM_ACPI_PM_H
#define ATOLL_SYSVM_ACPI_PM_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/bus.h"
#include "sysvm/dev/platform/power.h"
#include "sysvm/irq.h"
#include "sysvm/layout.h"

/* For the FADT and the DSDT. */
#define VM_ACPI_PM1_EVENT   (VM_PORT_ACPI_PM + 0) /* 4 bytes */
#define VM_ACPI_PM1_CONTROL (VM_PORT_ACPI_PM + 4) /* 2 bytes */
#define VM_ACPI_PM_TIMER    (VM_PORT_ACPI_PM + 8) /* 4 bytes */
#define VM_ACPI_PM_PORTS    12
#define VM_ACPI_S5          5 /* SLP_TYP of _S5 */
#define VM_ACPI_RESET_VALUE 6 /* to port VM_PORT_RESET */

struct vm_acpi_pm;

/* fails  E_NOMEM, E_USAGE (ports taken) */
enum atoll_status vm_acpi_pm_new(const struct atoll_alloc *alloc, struct vm_bus *ports,
                                 const struct vm_irq *irq, const struct vm_power *power,
                                 struct vm_acpi_pm **out, struct atoll_error *err);
/* Whose nanoseconds the PM timer counts, from now on; until then CLOCK_MONOTONIC. */
void vm_acpi_pm_use_clock(struct vm_acpi_pm *pm, uint64_t (*now_ns)(void *context), void *context);
void vm_acpi_pm_free(struct vm_acpi_pm *pm); /* NULL is allowed */
/* The power button is pressed: a guest that cares shuts down. Under the machine lock. */
void vm_acpi_pm_power_button(struct vm_acpi_pm *pm);

#endif
