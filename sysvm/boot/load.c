/* sysvm/boot/load.c: which kind of kernel it is, and what every kind needs besides: initrd, command line, map. */
#include "sysvm/boot/internal.h"

/* ---- initrd and command line ---- */

/* As high as it may lie, in whole pages, above the kernel. */
static enum atoll_status place_initrd(const struct vm_boot_config *config, uint64_t kernel_end, uint64_t max,
                                      uint64_t *out_base, struct atoll_error *err) {
    const struct vm_ram *ram;
    vm_memory_ranges(config->memory, &ram);
    uint64_t size = config->initrd.size, top = ram[0].size_bytes;
    *out_base = 0;
    if (!size) return ATOLL_OK;
    if (max < UINT64_MAX && top > max + 1) top = max + 1;
    uint64_t base = size <= top ? (top - size) & ~(VM_PAGE - 1) : 0;
    vm_memory_expect(config->memory, base, size);
    if (base < kernel_end || !vm_memory_write(config->memory, base, config->initrd.data, size))
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          "guest memory has no room for an initrd of %llu bytes above the kernel",
                          (unsigned long long)size);
    *out_base = base;
    return ATOLL_OK;
}

static enum atoll_status put_cmdline(const struct vm_boot_config *config, uint64_t max,
                                     struct atoll_error *err) {
    uint64_t n = strlen(config->cmdline);
    if (max > VM_CMDLINE_MAX - 1) max = VM_CMDLINE_MAX - 1;
    if (n > max)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          "the command line has %llu bytes; the kernel takes %llu", (unsigned long long)n,
                          (unsigned long long)max);
    vm_memory_write(config->memory, VM_BOOT_CMDLINE, config->cmdline, n + 1);
    return ATOLL_OK;
}

/* ---- boot parameters ---- */

enum {
    RSDP = 0x070,
    N_E820 = 0x1E8,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21C,
    CMD_LINE_PTR = 0x228,
    E820 = 0x2D0
};

static void put_map(const struct vm_memory *memory, uint8_t *params) {
    struct boot_region regions[BOOT_REGIONS_MAX];
    size_t n = boot_map(memory, regions);
    params[N_E820] = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        uint8_t *at = params + E820 + i * 20;
        put_u64(at, regions[i].base);
        put_u64(at + 8, regions[i].size);
        put_u32(at + 16, regions[i].type);
    }
}

static enum atoll_status finish_linux(const struct vm_boot_config *config, struct boot_linux *linux_,
                                      struct vm_cpu_state *out, struct atoll_error *err) {
    uint64_t initrd;
    enum atoll_status status = place_initrd(config, linux_->end, linux_->initrd_max, &initrd, err);
    if (status == ATOLL_OK) status = put_cmdline(config, linux_->cmdline_max, err);
    if (status != ATOLL_OK) return status;
    uint8_t *params = linux_->params;
    put_u64(params + RSDP, VM_ACPI_BASE);
    put_u32(params + RAMDISK_IMAGE, (uint32_t)initrd);
    put_u32(params + RAMDISK_SIZE, (uint32_t)config->initrd.size);
    put_u32(params + CMD_LINE_PTR, (uint32_t)VM_BOOT_CMDLINE);
    put_map(config->memory, params);
    vm_memory_write(config->memory, VM_BOOT_PARAMS, params, BOOT_PARAMS_BYTES);
    vm_state_long(out, config->memory, linux_->entry);
    out->gpr[VM_RSI] = VM_BOOT_PARAMS;
    out->gpr[VM_RSP] = VM_BOOT_STACK;
    return ATOLL_OK;
}

/* ---- PVH ---- */

static void put_pvh_map(const struct vm_memory *memory, uint8_t *info, uint8_t *map, uint64_t map_gpa) {
    struct boot_region regions[BOOT_REGIONS_MAX];
    size_t n = boot_map(memory, regions);
    put_u64(info + 40, map_gpa);
    put_u32(info + 48, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        put_u64(map + i * 24, regions[i].base);
        put_u64(map + i * 24 + 8, regions[i].size);
        put_u32(map + i * 24 + 16, regions[i].type);
    }
}

static enum atoll_status finish_pvh(const struct vm_boot_config *config, const struct boot_elf *elf,
                                    struct vm_cpu_state *out, struct atoll_error *err) {
    enum { MODULES = 0x100, MAP = 0x200 };
    uint64_t initrd;
    uint8_t info[VM_PAGE] = {0};
    enum atoll_status status = place_initrd(config, elf->end, UINT64_MAX, &initrd, err);
    if (status == ATOLL_OK) status = put_cmdline(config, UINT64_MAX, err);
    if (status != ATOLL_OK) return status;
    put_u32(info, 0x336EC578);
    put_u32(info + 4, 1); /* version: there is a memory map */
    if (config->initrd.size) {
        put_u32(info + 12, 1);
        put_u64(info + 16, VM_BOOT_PARAMS + MODULES);
        put_u64(info + MODULES, initrd);
        put_u64(info + MODULES + 8, config->initrd.size);
    }
    put_u64(info + 24, VM_BOOT_CMDLINE);
    put_u64(info + 32, VM_ACPI_BASE);
    put_pvh_map(config->memory, info, info + MAP, VM_BOOT_PARAMS + MAP);
    vm_memory_write(config->memory, VM_BOOT_PARAMS, info, sizeof info);
    vm_state_flat32(out, elf->pvh_entry);
    out->gpr[VM_RBX] = VM_BOOT_PARAMS;
    return ATOLL_OK;
}

/* ---- memory that every Linux uses early ---- */

/* From the top down: an entry for each page, which is 1/64 of all, and the first tables and stacks. A machine with much
 * memory comes to the most of it later, some of it never. */
static void expect_use(const struct vm_memory *memory) {
    enum { TABLES = 4 << 20, MOST = 64 << 20 };
    const struct vm_ram *ram;
    size_t n_pieces = vm_memory_ranges(memory, &ram);
    const struct vm_ram *last = ram + n_pieces - 1;
    uint64_t n = vm_memory_size(memory) / 64 + TABLES;
    if (n > MOST) n = MOST;
    if (n > last->size_bytes) n = last->size_bytes;
    vm_memory_expect(memory, last->gpa + last->size_bytes - n, n);
    vm_memory_expect(memory, 0, VM_HUGE_PAGE);
}

/* ---- kinds ---- */

static enum atoll_status load_elf(const struct vm_boot_config *config, bool packed, struct vm_cpu_state *out,
                                  struct atoll_error *err) {
    struct boot_elf elf;
    enum atoll_status status = packed ? boot_load_packed_elf(config->memory, config->kernel, &elf, err)
                                      : boot_load_elf(config->memory, config->kernel, &elf, err);
    if (status != ATOLL_OK) return status;
    if (elf.pvh_entry) return finish_pvh(config, &elf, out, err);
    struct boot_linux linux_;
    boot_linux_of_elf(&elf, &linux_);
    return finish_linux(config, &linux_, out, err);
}

static enum atoll_status load_bzimage(const struct vm_boot_config *config, struct vm_cpu_state *out,
                                      struct atoll_error *err) {
    struct boot_linux linux_;
    enum atoll_status status = boot_load_bzimage(config, &linux_, err);
    return status == ATOLL_OK ? finish_linux(config, &linux_, out, err) : status;
}

enum atoll_status vm_boot_load(const struct vm_boot_config *config, struct vm_cpu_state *out,
                               struct atoll_error *err) {
    if (vm_memory_size(config->memory) < VM_BOOT_MEMORY_MIN)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          "guest memory of less than %llu MiB boots no kernel",
                          (unsigned long long)(VM_BOOT_MEMORY_MIN >> 20));
    if (!boot_write_acpi(config->memory, config->n_cpus))
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "a machine has 1 to %u processors",
                          VM_CPUS_MAX);
    expect_use(config->memory);
    if (boot_is_bzimage(config->kernel)) return load_bzimage(config, out, err);
    if (boot_is_elf(config->kernel)) return load_elf(config, false, out, err);
    if (boot_packing_of(config->kernel) != BOOT_PLAIN) return load_elf(config, true, out, err);
    return atoll_fail(err, ATOLL_E_UNSUPPORTED, 0, "no kernel for x86-64: neither bzImage nor ELF file");
}
