/* sysvm/boot/internal.h: what the files of boot/ share. */
#ifndef ATOLL_SYSVM_BOOT_INTERNAL_H
#define ATOLL_SYSVM_BOOT_INTERNAL_H

#include <string.h>
#include "sysvm/boot/boot.h"
#include "sysvm/boot/unpack.h"
#include "sysvm/layout.h"

/* Little-endian fields of hostile bytes; the caller has checked that they are there. */
static inline uint16_t get_u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static inline uint32_t get_u32(const uint8_t *at) { return get_u16(at) | (uint32_t)get_u16(at + 2) << 16; }
static inline uint64_t get_u64(const uint8_t *at) { return get_u32(at) | (uint64_t)get_u32(at + 4) << 32; }
static inline void put_u16(uint8_t *at, uint16_t v) { at[0] = (uint8_t)v, at[1] = (uint8_t)(v >> 8); }
static inline void put_u32(uint8_t *at, uint32_t v) {
    put_u16(at, (uint16_t)v), put_u16(at + 2, (uint16_t)(v >> 16));
}
static inline void put_u64(uint8_t *at, uint64_t v) {
    put_u32(at, (uint32_t)v), put_u32(at + 4, (uint32_t)(v >> 32));
}

/* Whether n bytes at `offset` lie within `size`. */
static inline bool within(uint64_t offset, uint64_t n, uint64_t size) {
    return offset <= size && n <= size - offset;
}

/* ---- elf.c ---- */

struct boot_elf {
    uint64_t entry;     /* a guest physical address inside a segment */
    uint64_t end;       /* of the highest segment */
    uint32_t pvh_entry; /* 0: no such note */
};
bool boot_is_elf(struct vm_bytes bytes);
/* Copies the loadable segments to their physical addresses. fails E_MALFORMED, E_UNSUPPORTED, E_LIMIT */
enum atoll_status boot_load_elf(const struct vm_memory *memory, struct vm_bytes elf, struct boot_elf *out,
                                struct atoll_error *err);

/* Whether all that is loaded of an ELF file which lies at guest address `base` is to lie there or lower, in the order
 * of the file; what is wrong with a file otherwise is for boot_load_elf and boot_move_elf to find. */
bool boot_elf_moves_down(struct vm_bytes elf, uint64_t base);
/* As boot_load_elf for such a file, whose `size` bytes lie in guest memory itself; what of them is not loaded becomes
 * zero. */
enum atoll_status boot_move_elf(const struct vm_memory *memory, uint64_t base, size_t size,
                                struct boot_elf *out, struct atoll_error *err);

/* ---- packed.c ---- */

/* An ELF kernel packed in any way that boot_packing_of knows. fails as boot_unpack, boot_load_elf */
enum atoll_status boot_load_packed_elf(const struct vm_memory *memory, struct vm_bytes packed,
                                       struct boot_elf *out, struct atoll_error *err);

/* ---- bzimage.c ---- */

enum { BOOT_PARAMS_BYTES = 4096 };
/* A kernel that waits for boot parameters. */
struct boot_linux {
    uint64_t entry, end;  /* 64-bit entry; the first byte the kernel does not use while it starts */
    uint64_t initrd_max;  /* the initrd ends below */
    uint64_t cmdline_max; /* bytes, without the zero */
    uint8_t params[BOOT_PARAMS_BYTES]; /* as far as the file says */
};
bool boot_is_bzimage(struct vm_bytes bytes);
/* fails E_MALFORMED, E_UNSUPPORTED, E_LIMIT, E_NOMEM */
enum atoll_status boot_load_bzimage(const struct vm_boot_config *config, struct boot_linux *out,
                                    struct atoll_error *err);
/* The parameters of a kernel that came without any. */
void boot_linux_of_elf(const struct boot_elf *elf, struct boot_linux *out);

/* ---- map.c: the memory map ---- */

enum boot_region_type { BOOT_REGION_RAM = 1, BOOT_REGION_RESERVED = 2 };
struct boot_region {
    uint64_t base, size;
    enum boot_region_type type;
};
enum { BOOT_REGIONS_MAX = 8 };
/* Ascending; returns how many. */
size_t boot_map(const struct vm_memory *memory, struct boot_region out[BOOT_REGIONS_MAX]);

/* ---- acpi.c ---- */

/* Writes all tables to VM_ACPI_BASE, the RSDP first. False: more processors than fit (VM_CPUS_MAX do). */
bool boot_write_acpi(const struct vm_memory *memory, unsigned n_cpus);

#endif
