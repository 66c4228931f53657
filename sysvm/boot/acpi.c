/* sysvm/boot/acpi.c: the ACPI tables of a machine, all of them, as data.
 *
 *   RSDP -> XSDT -> FADT -> DSDT (PCI root, its interrupts, serial port, clock, S5), FACS
 *                   MADT (processors, I/O APIC)
 *                   MCFG (configuration space)
 *
 * source  ACPI specification 6.5, "ACPI Software Programming Model" and "ACPI Machine Language"; PCI Firmware
 *         Specification, "MCFG Table" */
#include "sysvm/boot/internal.h"
#include "sysvm/dev/platform/acpi_pm.h"
#include "sysvm/dev/platform/cmos.h"

struct writer {
    uint8_t *bytes;
    size_t n, cap;
    bool full;
};

static void put(struct writer *w, const void *bytes, size_t n) {
    if (n > w->cap - w->n) {
        w->full = true;
        return;
    }
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}
static void put_8(struct writer *w, uint8_t v) { put(w, &v, 1); }
static void put_16(struct writer *w, uint16_t v) { put(w, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8)}, 2); }
static void put_32(struct writer *w, uint32_t v) { put_16(w, (uint16_t)v), put_16(w, (uint16_t)(v >> 16)); }
static void put_64(struct writer *w, uint64_t v) { put_32(w, (uint32_t)v), put_32(w, (uint32_t)(v >> 32)); }
static void put_zeros(struct writer *w, size_t n) {
    while (n--) put_8(w, 0);
}
static void align(struct writer *w, size_t n) {
    while (w->n % n && !w->full) put_8(w, 0);
}
static uint64_t address(const struct writer *w) { return VM_ACPI_BASE + w->n; }

/* ---- tables ---- */

static uint8_t checksum(const uint8_t *bytes, size_t n) {
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

/* Signature, length, revision, checksum, then who made it. Length and checksum are filled at the end. */
static size_t begin_table(struct writer *w, const char *signature, uint8_t revision) {
    align(w, 16);
    size_t start = w->n;
    put(w, signature, 4);
    put_32(w, 0);
    put_8(w, revision);
    put_8(w, 0);
    put(w, "ATOLL ATOLLVM ", 14);
    put_32(w, 1);
    put(w, "ATLL", 4);
    put_32(w, 1);
    return start;
}

static void end_table(struct writer *w, size_t start) {
    if (w->full) return;
    put_u32(w->bytes + start + 4, (uint32_t)(w->n - start));
    w->bytes[start + 9] = checksum(w->bytes + start, w->n - start);
}

/* ---- machine language ---- */

/* A package length of three bytes: 4 bits in the first, 16 in the others. It counts itself. */
static size_t begin_package(struct writer *w) {
    size_t start = w->n;
    put_zeros(w, 3);
    return start;
}

static void end_package(struct writer *w, size_t start) {
    if (w->full) return;
    size_t n = w->n - start;
    w->bytes[start] = (uint8_t)(0x80 | (n & 0xF));
    put_u16(w->bytes + start + 1, (uint16_t)(n >> 4));
}

enum {
    AML_ZERO = 0,
    AML_NAME = 0x08,
    AML_BYTE = 0x0A,
    AML_DWORD = 0x0C,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_EXTENDED = 0x5B,
    AML_DEVICE = 0x82
};

static void put_name(struct writer *w, const char *name) { put_8(w, AML_NAME), put(w, name, 4); }
static void put_integer(struct writer *w, uint32_t v) { put_8(w, AML_DWORD), put_32(w, v); }

static size_t begin_device(struct writer *w, const char *name) {
    put_8(w, AML_EXTENDED);
    put_8(w, AML_DEVICE);
    size_t start = begin_package(w);
    put(w, name, 4);
    return start;
}

/* "PNP0A08": three letters of 5 bits and four hexadecimal digits, most significant first. */
static void put_id(struct writer *w, const char *name, const char *id) {
    uint16_t letters = (uint16_t)((id[0] - 0x40) << 10 | (id[1] - 0x40) << 5 | (id[2] - 0x40));
    uint16_t digits = 0;
    for (int i = 3; i < 7; i++)
        digits = (uint16_t)(digits << 4 | (id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10));
    put_name(w, name);
    put_8(w, AML_DWORD);
    put(w, (uint8_t[]){(uint8_t)(letters >> 8), (uint8_t)letters, (uint8_t)(digits >> 8), (uint8_t)digits},
        4);
}

/* ---- resources: a buffer named _CRS ---- */

struct resources {
    size_t package, size_at, start;
};

static struct resources begin_resources(struct writer *w) {
    struct resources r;
    put_name(w, "_CRS");
    put_8(w, AML_BUFFER);
    r.package = begin_package(w);
    put_8(w, AML_DWORD);
    r.size_at = w->n;
    put_32(w, 0);
    r.start = w->n;
    return r;
}

static void end_resources(struct writer *w, struct resources r) {
    put_8(w, 0x79); /* end tag; a checksum of 0 is not checked */
    put_8(w, 0);
    if (!w->full) put_u32(w->bytes + r.size_at, (uint32_t)(w->n - r.start));
    end_package(w, r.package);
}

static void put_ports(struct writer *w, uint16_t base, uint8_t n) {
    put_8(w, 0x47);
    put_8(w, 1); /* 16 bits are decoded */
    put_16(w, base), put_16(w, base);
    put_8(w, 1), put_8(w, n);
}

static void put_irq(struct writer *w, unsigned gsi) { put_8(w, 0x22), put_16(w, (uint16_t)(1u << gsi)); }

static void put_fixed_memory(struct writer *w, uint64_t base, uint64_t size) {
    put_8(w, 0x86), put_16(w, 9);
    put_8(w, 1); /* writable */
    put_32(w, (uint32_t)base), put_32(w, (uint32_t)size);
}

/* Both ends fixed; the bridge produces the range, it does not consume it. */
enum { WINDOW_MEMORY = 0, WINDOW_PORTS = 1, WINDOW_BUSES = 2 };
static void put_window_16(struct writer *w, uint8_t type, uint16_t first, uint16_t last) {
    put_8(w, 0x88), put_16(w, 13);
    put_8(w, type), put_8(w, 0x0C), put_8(w, type == WINDOW_PORTS ? 3 : 0);
    put_16(w, 0), put_16(w, first), put_16(w, last), put_16(w, 0), put_16(w, (uint16_t)(last - first + 1));
}
static void put_window_32(struct writer *w, uint64_t base, uint64_t size) {
    put_8(w, 0x87), put_16(w, 23);
    put_8(w, WINDOW_MEMORY), put_8(w, 0x0C), put_8(w, 1);
    put_32(w, 0), put_32(w, (uint32_t)base), put_32(w, (uint32_t)(base + size - 1)), put_32(w, 0),
        put_32(w, (uint32_t)size);
}

/* ---- devices of the DSDT ---- */

/* Which line each pin of each slot drives. */
static void put_routes(struct writer *w) {
    enum { SLOTS = 32, PINS = 4 };
    put_name(w, "_PRT");
    put_8(w, AML_PACKAGE);
    size_t all = begin_package(w);
    put_8(w, SLOTS * PINS);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        for (unsigned pin = 0; pin < PINS; pin++) {
            put_8(w, AML_PACKAGE);
            size_t row = begin_package(w);
            put_8(w, 4);
            put_integer(w, slot << 16 | 0xFFFF);
            put_8(w, AML_BYTE), put_8(w, (uint8_t)pin);
            put_8(w, AML_ZERO); /* no link device: the line itself follows */
            put_8(w, AML_BYTE), put_8(w, (uint8_t)vm_pci_gsi(slot, pin));
            end_package(w, row);
        }
    }
    end_package(w, all);
}

static void put_pci_root(struct writer *w) {
    size_t device = begin_device(w, "PCI0");
    put_id(w, "_HID", "PNP0A08");
    put_id(w, "_CID", "PNP0A03");
    put_name(w, "_UID"), put_8(w, AML_ZERO);
    struct resources r = begin_resources(w);
    put_window_16(w, WINDOW_BUSES, 0, VM_ECAM_SIZE / (1 << 20) - 1);
    put_ports(w, VM_PORT_PCI_CONFIG, 8);
    put_window_16(w, WINDOW_PORTS, VM_PCI_IO_BASE, VM_PCI_IO_BASE + VM_PCI_IO_SIZE - 1);
    put_window_32(w, VM_PCI_MEMORY_BASE, VM_PCI_MEMORY_SIZE);
    end_resources(w, r);
    put_routes(w);
    end_package(w, device);
}

/* Configuration space belongs to the board: a kernel uses ECAM only when somebody reserves it. */
static void put_board(struct writer *w) {
    size_t device = begin_device(w, "MBRD");
    put_id(w, "_HID", "PNP0C02");
    struct resources r = begin_resources(w);
    put_fixed_memory(w, VM_ECAM_BASE, VM_ECAM_SIZE);
    end_resources(w, r);
    end_package(w, device);
}

static void put_legacy(struct writer *w, const char *name, const char *id, uint16_t ports, uint8_t n,
                       unsigned gsi) {
    size_t device = begin_device(w, name);
    put_id(w, "_HID", id);
    put_name(w, "_UID"), put_8(w, AML_ZERO);
    struct resources r = begin_resources(w);
    put_ports(w, ports, n);
    put_irq(w, gsi);
    end_resources(w, r);
    end_package(w, device);
}

static uint64_t put_dsdt(struct writer *w) {
    size_t table = begin_table(w, "DSDT", 2);
    uint64_t at = VM_ACPI_BASE + table;
    put_8(w, AML_SCOPE);
    size_t scope = begin_package(w);
    put(w, "\\_SB_", 5);
    put_pci_root(w);
    put_board(w);
    put_legacy(w, "COM1", "PNP0501", VM_PORT_SERIAL, 8, VM_GSI_SERIAL);
    put_legacy(w, "RTC_", "PNP0B00", VM_PORT_CMOS, 2, VM_GSI_CMOS);
    end_package(w, scope);
    put_name(w, "_S5_");
    put_8(w, AML_PACKAGE);
    size_t package = begin_package(w);
    put_8(w, 2);
    put_8(w, AML_BYTE), put_8(w, VM_ACPI_S5);
    put_8(w, AML_ZERO);
    end_package(w, package);
    end_table(w, table);
    return at;
}

/* ---- the other tables ---- */

static uint64_t put_facs(struct writer *w) {
    align(w, 64);
    uint64_t at = address(w);
    put(w, "FACS", 4);
    put_32(w, 64);
    put_zeros(w, 24);
    put_8(w, 2); /* version */
    put_zeros(w, 31);
    return at;
}

/* A register in port space, `bits` wide. */
static void put_register(uint8_t *at, uint16_t port, uint8_t bits) {
    at[0] = 1;
    at[1] = bits;
    at[3] = bits == 8 ? 1 : bits == 16 ? 2 : 3; /* access size */
    put_u64(at + 4, port);
}

static uint64_t put_fadt(struct writer *w, uint64_t facs, uint64_t dsdt) {
    enum { HEADER = 36, SIZE = 276 };
    enum {
        WBINVD = 1 << 0,
        C1 = 1 << 2,
        NO_SLEEP_BUTTON = 1 << 5,
        TIMER_32 = 1 << 8,
        RESET_REGISTER = 1 << 10
    };
    enum { LEGACY_DEVICES = 1 << 0, NO_VGA = 1 << 2 };
    size_t table = begin_table(w, "FACP", 6);
    uint64_t at = VM_ACPI_BASE + table;
    put_zeros(w, SIZE - HEADER);
    if (w->full) return at;
    uint8_t *f = w->bytes + table;
    put_u32(f + 36, (uint32_t)facs);
    put_u32(f + 40, (uint32_t)dsdt);
    put_u16(f + 46, VM_GSI_ACPI);
    put_u32(f + 56, VM_ACPI_PM1_EVENT);               /* event block */
    put_u32(f + 64, VM_ACPI_PM1_CONTROL);             /* control block */
    put_u32(f + 76, VM_ACPI_PM_TIMER);                /* timer */
    f[88] = 4, f[89] = 2, f[91] = 4;                  /* their lengths */
    put_u16(f + 96, 0xFFFF), put_u16(f + 98, 0xFFFF); /* no C2, no C3 */
    f[108] = VM_CMOS_CENTURY;
    put_u16(f + 109, LEGACY_DEVICES | NO_VGA);
    put_u32(f + 112, WBINVD | C1 | NO_SLEEP_BUTTON | RESET_REGISTER);
    put_register(f + 116, VM_PORT_RESET, 8);
    f[128] = VM_ACPI_RESET_VALUE;
    f[131] = 5; /* minor version */
    put_u64(f + 140, dsdt);
    put_register(f + 148, VM_ACPI_PM1_EVENT, 32);
    put_register(f + 172, VM_ACPI_PM1_CONTROL, 16);
    put_register(f + 208, VM_ACPI_PM_TIMER, 32);
    end_table(w, table);
    return at;
}

static uint64_t put_madt(struct writer *w, unsigned n_cpus) {
    enum { PC_AT = 1, ENABLED = 1, ACTIVE_HIGH_LEVEL = 0xD, ALL_PROCESSORS = 0xFF };
    size_t table = begin_table(w, "APIC", 5);
    put_32(w, (uint32_t)VM_LAPIC_BASE);
    put_32(w, PC_AT); /* there are 8259s, too */
    for (unsigned i = 0; i < n_cpus; i++) {
        put_8(w, 0), put_8(w, 8);
        put_8(w, (uint8_t)i), put_8(w, (uint8_t)i), put_32(w, ENABLED);
    }
    put_8(w, 1), put_8(w, 12); /* I/O APIC 0, lines from 0 */
    put_8(w, 0), put_8(w, 0), put_32(w, (uint32_t)VM_IOAPIC_BASE), put_32(w, 0);
    put_8(w, 2), put_8(w, 10); /* ISA interrupt 9 is no edge */
    put_8(w, 0), put_8(w, VM_GSI_ACPI), put_32(w, VM_GSI_ACPI), put_16(w, ACTIVE_HIGH_LEVEL);
    put_8(w, 4), put_8(w, 6); /* LINT1 is the NMI */
    put_8(w, ALL_PROCESSORS), put_16(w, 0), put_8(w, 1);
    end_table(w, table);
    return VM_ACPI_BASE + table;
}

static uint64_t put_mcfg(struct writer *w) {
    size_t table = begin_table(w, "MCFG", 1);
    put_zeros(w, 8);
    put_64(w, VM_ECAM_BASE);
    put_16(w, 0);                                                   /* segment */
    put_8(w, 0), put_8(w, (uint8_t)(VM_ECAM_SIZE / (1 << 20) - 1)); /* buses */
    put_32(w, 0);
    end_table(w, table);
    return VM_ACPI_BASE + table;
}

static uint64_t put_xsdt(struct writer *w, const uint64_t *tables, size_t n) {
    size_t table = begin_table(w, "XSDT", 1);
    for (size_t i = 0; i < n; i++) put_64(w, tables[i]);
    end_table(w, table);
    return VM_ACPI_BASE + table;
}

static void fill_rsdp(uint8_t *at, uint64_t xsdt) {
    memcpy(at, "RSD PTR ", 8);
    memcpy(at + 9, "ATOLL ", 6);
    at[15] = 2; /* revision */
    put_u32(at + 20, 36);
    put_u64(at + 24, xsdt);
    at[8] = checksum(at, 20);
    at[32] = checksum(at, 36);
}

bool boot_write_acpi(const struct vm_memory *memory, unsigned n_cpus) {
    enum { RSDP_SIZE = 36 };
    struct writer w = {.bytes = vm_memory_at(memory, VM_ACPI_BASE, VM_BIOS_END - VM_ACPI_BASE),
                       .cap = VM_BIOS_END - VM_ACPI_BASE};
    if (!w.bytes || !n_cpus || n_cpus > VM_CPUS_MAX) return false;
    put_zeros(&w, RSDP_SIZE);
    uint64_t facs = put_facs(&w), dsdt = put_dsdt(&w);
    uint64_t tables[] = {put_fadt(&w, facs, dsdt), put_madt(&w, n_cpus), put_mcfg(&w)};
    fill_rsdp(w.bytes, put_xsdt(&w, tables, 3));
    return !w.full;
}
