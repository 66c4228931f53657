/* tests/sysvm/boot/kernels.h: kernel files made by hand, for tests and fuzz seeds. */
#ifndef ATOLL_TESTS_SYSVM_KERNELS_H
#define ATOLL_TESTS_SYSVM_KERNELS_H

#include <elf.h>
#include <stdint.h>
#include <string.h>
#include "sysvm/boot/internal.h"

enum { ELF_BYTES = 0x1000, ELF_CODE = 0x200, ELF_NOTE = 0x180 };

/* One segment, the whole file, at 16 MiB; entry at ELF_CODE in it; a PVH note where asked. */
static inline void make_elf(uint8_t out[ELF_BYTES], bool pvh) {
    const uint64_t base = UINT64_C(16) << 20;
    Elf64_Ehdr header = {.e_ident = {0x7F, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                         .e_type = ET_EXEC,
                         .e_machine = EM_X86_64,
                         .e_entry = base + ELF_CODE,
                         .e_phoff = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = 2};
    Elf64_Phdr segments[2] = {
        {.p_type = PT_LOAD, .p_paddr = base, .p_filesz = ELF_BYTES, .p_memsz = 3 * ELF_BYTES},
        {.p_type = pvh ? PT_NOTE : PT_NULL, .p_offset = ELF_NOTE, .p_filesz = 40}};
    memset(out, 0, ELF_BYTES);
    memcpy(out, &header, sizeof header);
    memcpy(out + sizeof header, segments, sizeof segments);
    uint8_t *note = out + ELF_NOTE; /* another one first, then the entry */
    put_u32(note, 4), put_u32(note + 4, 0), put_u32(note + 8, 1), memcpy(note + 12, "GNU", 4);
    put_u32(note + 16, 4), put_u32(note + 20, 4), put_u32(note + 24, 18), memcpy(note + 28, "Xen", 4);
    put_u32(note + 32, (uint32_t)base + ELF_CODE + 0x10);
    memset(out + ELF_CODE, 0xF4, 64); /* hlt */
}

enum { BZIMAGE_SETUP = 1024, BZIMAGE_BYTES = BZIMAGE_SETUP + 0x3000, BZIMAGE_PAYLOAD = 0x1000 };

/* One sector of setup code; the payload behind BZIMAGE_PAYLOAD bytes of code. */
static inline void make_bzimage(uint8_t out[BZIMAGE_BYTES], const void *payload, uint32_t n) {
    memset(out, 0, BZIMAGE_BYTES);
    out[0x1F1] = 1;
    put_u16(out + 0x1FE, 0xAA55);
    out[0x200] = 0xEB, out[0x201] = 0x66;
    memcpy(out + 0x202, "HdrS", 4);
    put_u16(out + 0x206, 0x20F);
    put_u32(out + 0x22C, 0x7FFFFFFF); /* initrd_addr_max */
    put_u32(out + 0x230, 0x200000);   /* alignment */
    out[0x234] = 1;                   /* relocatable */
    put_u16(out + 0x236, 1);          /* 64-bit entry */
    put_u32(out + 0x238, 2047);       /* command line */
    put_u32(out + 0x248, BZIMAGE_PAYLOAD);
    put_u32(out + 0x24C, n);
    put_u64(out + 0x258, UINT64_C(16) << 20); /* preferred address */
    put_u32(out + 0x260, 0x20000);            /* memory it needs at first */
    memset(out + BZIMAGE_SETUP, 0x90, BZIMAGE_PAYLOAD);
    memcpy(out + BZIMAGE_SETUP + BZIMAGE_PAYLOAD, payload, n);
}

#endif
