/* sysvm/boot/map.c: what the guest is told about its memory. */
#include "sysvm/boot/internal.h"

size_t boot_map(const struct vm_memory *memory, struct boot_region out[BOOT_REGIONS_MAX]) {
    const struct vm_ram *ram;
    size_t n_ram = vm_memory_ranges(memory, &ram), n = 0;
    out[n++] = (struct boot_region){0, VM_BIOS_BASE, BOOT_REGION_RAM};
    out[n++] = (struct boot_region){VM_BIOS_BASE, VM_BIOS_END - VM_BIOS_BASE, BOOT_REGION_RESERVED};
    if (ram[0].size_bytes > VM_BIOS_END)
        out[n++] = (struct boot_region){VM_BIOS_END, ram[0].size_bytes - VM_BIOS_END, BOOT_REGION_RAM};
    out[n++] = (struct boot_region){VM_ECAM_BASE, VM_ECAM_SIZE, BOOT_REGION_RESERVED};
    out[n++] = (struct boot_region){VM_KVM_IDENTITY, 4 * VM_PAGE, BOOT_REGION_RESERVED};
    if (n_ram > 1) out[n++] = (struct boot_region){ram[1].gpa, ram[1].size_bytes, BOOT_REGION_RAM};
    return n;
}
