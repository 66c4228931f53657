/* sysvm/layout.h: every address, port and interrupt line of a machine.
 *
 * Guest physical memory:
 *
 *   0000_0000  real-mode leftovers, boot data (below), RAM to 9_FC00
 *   0009_FC00  reserved, as a PC's BIOS area; the ACPI tables stand in it
 *   0010_0000  RAM, the kernel from here on
 *   C000_0000  hole: memory of PCI devices
 *   E000_0000  hole: PCI configuration space (ECAM) of bus 0
 *   FEC0_0000  hole: I/O APIC;  FEE0_0000 local APIC;  FFFB_C000 pages KVM needs for itself
 * 1_0000_0000  RAM that did not fit below
 */
#ifndef ATOLL_SYSVM_LAYOUT_H
#define ATOLL_SYSVM_LAYOUT_H

#include <stdint.h>

#define VM_PAGE      UINT64_C(4096)
#define VM_HUGE_PAGE (UINT64_C(2) << 20)

/* ---- memory ---- */

#define VM_HOLE_BASE UINT64_C(0xC0000000)
#define VM_HOLE_END  UINT64_C(0x100000000)

#define VM_PCI_MEMORY_BASE UINT64_C(0xC0000000) /* BARs */
#define VM_PCI_MEMORY_SIZE UINT64_C(0x20000000)
#define VM_ECAM_BASE       UINT64_C(0xE0000000) /* 1 MiB a bus */
#define VM_ECAM_SIZE       UINT64_C(0x00100000) /* one bus: kernels try all slots of every bus named here */
#define VM_IOAPIC_BASE     UINT64_C(0xFEC00000)
#define VM_LAPIC_BASE      UINT64_C(0xFEE00000)
#define VM_KVM_IDENTITY    UINT64_C(0xFFFBC000) /* one page for KVM's real mode on old processors */
#define VM_KVM_TSS         UINT64_C(0xFFFBD000) /* three pages, likewise */

#define VM_BIOS_BASE   UINT64_C(0x9FC00)  /* reserved from here ... */
#define VM_BIOS_END    UINT64_C(0x100000) /* ... to here */
#define VM_ACPI_BASE   UINT64_C(0xE0000)  /* RSDP first: kernels look for it from here on, every 16 bytes */
#define VM_KERNEL_BASE UINT64_C(0x100000)

/* What the loader leaves for the kernel, below 640 KiB. */
#define VM_BOOT_GDT     UINT64_C(0x1000)
#define VM_BOOT_PARAMS  UINT64_C(0x7000) /* the "zero page" of a bzImage, or PVH's start info; one page */
#define VM_BOOT_TABLES  UINT64_C(0x9000) /* page tables: 6 pages */
#define VM_BOOT_STACK   UINT64_C(0x8FF0)
#define VM_BOOT_CMDLINE UINT64_C(0x20000)
#define VM_CMDLINE_MAX  UINT64_C(0x10000) /* bytes, the zero included */

/* ---- ports ---- */

#define VM_PORT_I8042      0x60   /* and 0x64 */
#define VM_PORT_CMOS       0x70   /* 2 ports */
#define VM_PORT_SERIAL     0x3F8  /* 8 ports: COM1 */
#define VM_PORT_ACPI_PM    0x600  /* 12 ports: PM1 event block (4), PM1 control (2, at 4), timer (4, at 8) */
#define VM_PORT_PCI_CONFIG 0xCF8  /* 8 ports: address, data */
#define VM_PORT_RESET      0xCF9  /* 6 written here resets; FADT says so */
#define VM_PCI_IO_BASE     0x1000 /* BARs in port space */
#define VM_PCI_IO_SIZE     0xF000

/* ---- interrupt lines (global system interrupts = I/O APIC pins) ---- */

#define VM_GSI_TIMER  0
#define VM_GSI_SERIAL 4
#define VM_GSI_CMOS   8
#define VM_GSI_ACPI   9  /* SCI: level, active high */
#define VM_GSI_PCI    16 /* INTA..INTD of the root bus: 16 .. 19, level, active low in ACPI's words */
#define VM_GSI_COUNT  24

/* Where the pin of a device on the root bus goes (`pin` 0 = INTA): neighbours share no line. */
static inline unsigned vm_pci_gsi(unsigned device, unsigned pin) { return VM_GSI_PCI + (device + pin) % 4; }

/* ---- processors ---- */

#define VM_CPUS_MAX        128 /* local APIC ids of 8 bits, and tables that fit */
#define VM_BOOT_MEMORY_MIN (UINT64_C(16) << 20)

#endif
