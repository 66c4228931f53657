/* sysvm/boot/elf.c: an ELF kernel, to where its program headers want it. */
#include <elf.h>
#include "sysvm/boot/internal.h"

enum { SEGMENTS_MAX = 128, NOTE_PVH_ENTRY = 18 };

bool boot_is_elf(struct vm_bytes bytes) {
    return bytes.size >= SELFMAG && memcmp(bytes.data, ELFMAG, SELFMAG) == 0;
}

static enum atoll_status check_header(const Elf64_Ehdr *header, size_t size, struct atoll_error *err) {
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, EI_CLASS, "the kernel is no 64-bit ELF file for x86-64");
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return atoll_fail(err, ATOLL_E_MALFORMED, 16, "the kernel is no executable ELF file (type %u)",
                          header->e_type);
    if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum)
        return atoll_fail(err, ATOLL_E_MALFORMED, 54, "the kernel has no program headers");
    if (header->e_phnum > SEGMENTS_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, 56, "the kernel has %u program headers; at most %u are read",
                          header->e_phnum, SEGMENTS_MAX);
    if (!within(header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr), size))
        return atoll_fail(err, ATOLL_E_MALFORMED, 32, "the kernel's program headers lie outside the file");
    return ATOLL_OK;
}

static enum atoll_status load_segment(const struct vm_memory *memory, struct vm_bytes elf,
                                      const Elf64_Phdr *p, uint64_t at, struct atoll_error *err) {
    if (!within(p->p_offset, p->p_filesz, elf.size) || p->p_filesz > p->p_memsz)
        return atoll_fail(err, ATOLL_E_MALFORMED, at, "a segment of the kernel lies outside the file");
    if (p->p_paddr < VM_KERNEL_BASE)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, at,
                          "a segment of the kernel lies in the first megabyte (0x%llx)",
                          (unsigned long long)p->p_paddr);
    uint8_t *to = vm_memory_at(memory, p->p_paddr, p->p_memsz);
    if (!to)
        return atoll_fail(err, ATOLL_E_LIMIT, at,
                          "guest memory has no room for the kernel's %llu bytes at 0x%llx",
                          (unsigned long long)p->p_memsz, (unsigned long long)p->p_paddr);
    memcpy(to, elf.data + p->p_offset, p->p_filesz); /* the rest is zero: memory is fresh */
    return ATOLL_OK;
}

/* Name size, descriptor size, type; then both, each padded to 4 bytes. Every step goes on by 12 at least. */
static uint32_t find_pvh(struct vm_bytes notes) {
    size_t at = 0;
    while (within(at, 12, notes.size)) {
        uint64_t name_size = get_u32(notes.data + at), n = get_u32(notes.data + at + 4);
        uint32_t type = get_u32(notes.data + at + 8);
        uint64_t name = at + 12, value = name + ((name_size + 3) & ~UINT64_C(3));
        uint64_t end = value + ((n + 3) & ~UINT64_C(3));
        if (end > notes.size + 3) break; /* the last one may go without its padding */
        if (type == NOTE_PVH_ENTRY && name_size == 4 && n >= 4 && within(value, n, notes.size) &&
            memcmp(notes.data + name, "Xen", 4) == 0)
            return get_u32(notes.data + value);
        at = end;
    }
    return 0;
}

static bool holds(const Elf64_Phdr *p, uint64_t address) {
    return p->p_type == PT_LOAD && address >= p->p_paddr && address - p->p_paddr < p->p_memsz;
}

enum atoll_status boot_load_elf(const struct vm_memory *memory, struct vm_bytes elf, struct boot_elf *out,
                                struct atoll_error *err) {
    Elf64_Ehdr header;
    if (elf.size < sizeof header)
        return atoll_fail(err, ATOLL_E_MALFORMED, elf.size, "the kernel ends within its ELF header");
    memcpy(&header, elf.data, sizeof header);
    enum atoll_status status = check_header(&header, elf.size, err);
    if (status != ATOLL_OK) return status;
    bool entry_held = false, pvh_held = false;
    *out = (struct boot_elf){.entry = header.e_entry};
    Elf64_Phdr segments[SEGMENTS_MAX];
    memcpy(segments, elf.data + header.e_phoff, header.e_phnum * sizeof *segments);
    for (size_t i = 0; i < header.e_phnum; i++) {
        const Elf64_Phdr *p = segments + i;
        if (p->p_type == PT_NOTE && !out->pvh_entry && within(p->p_offset, p->p_filesz, elf.size))
            out->pvh_entry = find_pvh((struct vm_bytes){elf.data + p->p_offset, p->p_filesz});
        if (p->p_type != PT_LOAD || !p->p_memsz) continue;
        status = load_segment(memory, elf, p, header.e_phoff + i * sizeof *p, err);
        if (status != ATOLL_OK) return status;
        if (p->p_paddr + p->p_memsz > out->end) out->end = p->p_paddr + p->p_memsz;
    }
    for (size_t i = 0; i < header.e_phnum; i++) {
        entry_held |= holds(segments + i, out->entry);
        pvh_held |= holds(segments + i, out->pvh_entry);
    }
    if (out->pvh_entry ? !pvh_held : !entry_held)
        return atoll_fail(err, ATOLL_E_MALFORMED, 24, "the kernel's entry lies in none of its segments");
    return ATOLL_OK;
}
