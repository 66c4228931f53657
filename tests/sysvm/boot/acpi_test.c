/* tests/sysvm/boot/acpi_test.c: the tables a kernel walks from the RSDP on; with iasl (acpica-tools), the compiler's
 * own reader takes the DSDT. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
#include "sysvm/boot/internal.h"
#include "sysvm/dev/platform/acpi_pm.h"

static struct vm_memory *memory_with_tables(unsigned n_cpus) {
    struct vm_memory *memory = NULL;
    assert_int_equal(vm_memory_new(&atoll_default_alloc, 16 << 20, &memory, NULL), ATOLL_OK);
    assert_true(boot_write_acpi(memory, n_cpus));
    return memory;
}

static uint8_t sum_of(const uint8_t *bytes, size_t n) {
    uint8_t sum = 0;
    while (n--) sum = (uint8_t)(sum + *bytes++);
    return sum;
}

/* Checked as a kernel checks it. */
static const uint8_t *table_at(struct vm_memory *memory, uint64_t gpa, const char *signature) {
    assert_in_range(gpa, VM_ACPI_BASE, VM_BIOS_END - 1);
    const uint8_t *table = vm_memory_at(memory, gpa, 36);
    assert_memory_equal(table, signature, 4);
    uint32_t n = get_u32(table + 4);
    assert_true(gpa + n <= VM_BIOS_END);
    assert_int_equal(sum_of(table, n), 0);
    return table;
}

static const uint8_t *find_table(struct vm_memory *memory, const char *signature) {
    const uint8_t *rsdp = vm_memory_at(memory, VM_ACPI_BASE, 36);
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(sum_of(rsdp, 20), 0);
    assert_int_equal(sum_of(rsdp, 36), 0);
    const uint8_t *xsdt = table_at(memory, get_u64(rsdp + 24), "XSDT");
    for (uint32_t at = 36; at + 8 <= get_u32(xsdt + 4); at += 8) {
        const uint8_t *table = vm_memory_at(memory, get_u64(xsdt + at), 4);
        if (memcmp(table, signature, 4) == 0) return table_at(memory, get_u64(xsdt + at), signature);
    }
    fail_msg("no table %s", signature);
    return NULL;
}

static void the_fadt_describes_the_power_hardware(void **state) {
    (void)state;
    struct vm_memory *memory = memory_with_tables(1);
    const uint8_t *fadt = find_table(memory, "FACP");
    assert_int_equal(get_u32(fadt + 4), 276);
    assert_int_equal(get_u16(fadt + 46), VM_GSI_ACPI);
    assert_int_equal(get_u32(fadt + 56), VM_ACPI_PM1_EVENT);
    assert_int_equal(get_u32(fadt + 64), VM_ACPI_PM1_CONTROL);
    assert_int_equal(get_u64(fadt + 148 + 4), VM_ACPI_PM1_EVENT);
    assert_int_equal(get_u64(fadt + 116 + 4), VM_PORT_RESET);
    assert_int_equal(fadt[128], VM_ACPI_RESET_VALUE);
    assert_int_equal(get_u32(fadt + 40), get_u64(fadt + 140));
    table_at(memory, get_u64(fadt + 140), "DSDT");
    assert_memory_equal(vm_memory_at(memory, get_u32(fadt + 36), 4), "FACS", 4);
    assert_int_equal(get_u32(fadt + 36) % 64, 0);
    vm_memory_free(memory);
}

static void the_madt_lists_every_processor(void **state) {
    (void)state;
    static const unsigned counts[] = {1, 2, 8, VM_CPUS_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct vm_memory *memory = memory_with_tables(counts[i]);
        const uint8_t *madt = find_table(memory, "APIC");
        unsigned n_cpus = 0, n_ioapics = 0;
        uint32_t at = 44;
        while (at < get_u32(madt + 4)) {
            if (madt[at] == 0) assert_int_equal(madt[at + 3], n_cpus++);
            if (madt[at] == 1) assert_int_equal(get_u32(madt + at + 4), VM_IOAPIC_BASE), n_ioapics++;
            assert_in_range(madt[at + 1], 2, 16);
            at += madt[at + 1];
        }
        assert_int_equal(at, get_u32(madt + 4));
        assert_int_equal(n_cpus, counts[i]);
        assert_int_equal(n_ioapics, 1);
        vm_memory_free(memory);
    }
}

static void the_mcfg_names_configuration_space(void **state) {
    (void)state;
    struct vm_memory *memory = memory_with_tables(1);
    const uint8_t *mcfg = find_table(memory, "MCFG");
    assert_int_equal(get_u64(mcfg + 44), VM_ECAM_BASE);
    assert_int_equal(mcfg[55], 0); /* the last bus */
    vm_memory_free(memory);
}

/* Lines of iasl's listing that a machine cannot do without. */
static void a_compiler_reads_the_dsdt(void **state) {
    (void)state;
    static const char *const lines[] = {"Device (PCI0)", "PNP0A08", "_PRT",       "Device (COM1)", "PNP0501",
                                        "0xE0000000",    "_S5",     "0xC0000000", "0x03F8"};
    if (system("command -v iasl >/dev/null")) skip();
    struct vm_memory *memory = memory_with_tables(1);
    const uint8_t *fadt = find_table(memory, "FACP"), *dsdt = table_at(memory, get_u64(fadt + 140), "DSDT");
    char directory[] = "/tmp/atoll-acpi-XXXXXX", path[64], command[256];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/dsdt.dat", directory);
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(dsdt, 1, get_u32(dsdt + 4), file), get_u32(dsdt + 4));
    fclose(file);
    snprintf(command, sizeof command, "cd %s && iasl -d dsdt.dat >log 2>&1 && iasl dsdt.dsl >>log 2>&1",
             directory);
    int result = system(command); /* read, and what was read compiles again */
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        snprintf(command, sizeof command, "grep -q '%s' %s/dsdt.dsl", lines[i], directory);
        assert_int_equal(system(command), 0);
    }
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
    assert_int_equal(result, 0);
    vm_memory_free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fadt_describes_the_power_hardware),
        cmocka_unit_test(the_madt_lists_every_processor),
        cmocka_unit_test(the_mcfg_names_configuration_space),
        cmocka_unit_test(a_compiler_reads_the_dsdt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
