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

/* Where a segment goes; NULL after a failure. */
static uint8_t *place_of(const struct vm_memory *memory, size_t size, const Elf64_Phdr *p, uint64_t at,
                         enum atoll_status *out_status, struct atoll_error *err) {
    uint8_t *to = NULL;
    if (!within(p->p_offset, p->p_filesz, size) || p->p_filesz > p->p_memsz)
        *out_status = atoll_fail(err, ATOLL_E_MALFORMED, at, "a segment of the kernel lies outside the file");
    else if (p->p_paddr < VM_KERNEL_BASE)
        *out_status = atoll_fail(err, ATOLL_E_UNSUPPORTED, at,
                                 "a segment of the kernel lies in the first megabyte (0x%llx)",
                                 (unsigned long long)p->p_paddr);
    else if (!(to = vm_memory_at(memory, p->p_paddr, p->p_memsz)))
        *out_status = atoll_fail(err, ATOLL_E_LIMIT, at,
                                 "guest memory has no room for the kernel's %llu bytes at 0x%llx",
                                 (unsigned long long)p->p_memsz, (unsigned long long)p->p_paddr);
    return to;
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

/* A file's program headers, copied out of it. */
struct program {
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENTS_MAX];
};

static bool is_loaded(const Elf64_Phdr *p) { return p->p_type == PT_LOAD && p->p_memsz; }

static enum atoll_status read_program(struct vm_bytes elf, struct program *out, struct atoll_error *err) {
    if (elf.size < sizeof out->header)
        return atoll_fail(err, ATOLL_E_MALFORMED, elf.size, "the kernel ends within its ELF header");
    memcpy(&out->header, elf.data, sizeof out->header);
    enum atoll_status status = check_header(&out->header, elf.size, err);
    if (status == ATOLL_OK)
        memcpy(out->segments, elf.data + out->header.e_phoff, out->header.e_phnum * sizeof *out->segments);
    return status;
}

/* Everything about it that is checked or told, before anything moves. */
static enum atoll_status look_at(const struct vm_memory *memory, struct vm_bytes elf, struct program *program,
                                 struct boot_elf *out, struct atoll_error *err) {
    enum atoll_status status = read_program(elf, program, err);
    if (status != ATOLL_OK) return status;
    bool entry_held = false, pvh_held = false;
    *out = (struct boot_elf){.entry = program->header.e_entry};
    for (size_t i = 0; i < program->header.e_phnum; i++) {
        const Elf64_Phdr *p = program->segments + i;
        if (p->p_type == PT_NOTE && !out->pvh_entry && within(p->p_offset, p->p_filesz, elf.size))
            out->pvh_entry = find_pvh((struct vm_bytes){elf.data + p->p_offset, p->p_filesz});
        if (!is_loaded(p)) continue;
        if (!place_of(memory, elf.size, p, program->header.e_phoff + i * sizeof *p, &status, err))
            return status;
        if (p->p_paddr + p->p_memsz > out->end) out->end = p->p_paddr + p->p_memsz;
    }
    for (size_t i = 0; i < program->header.e_phnum; i++) {
        entry_held |= holds(program->segments + i, out->entry);
        pvh_held |= holds(program->segments + i, out->pvh_entry);
    }
    if (out->pvh_entry ? !pvh_held : !entry_held)
        return atoll_fail(err, ATOLL_E_MALFORMED, 24, "the kernel's entry lies in none of its segments");
    return ATOLL_OK;
}

enum atoll_status boot_load_elf(const struct vm_memory *memory, struct vm_bytes elf, struct boot_elf *out,
                                struct atoll_error *err) {
    struct program program;
    enum atoll_status status = look_at(memory, elf, &program, out, err);
    for (size_t i = 0; status == ATOLL_OK && i < program.header.e_phnum; i++) {
        const Elf64_Phdr *p = program.segments + i;
        if (!is_loaded(p)) continue;
        vm_memory_expect(memory, p->p_paddr, p->p_memsz);
        /* the rest is zero: memory is fresh */
        memcpy(vm_memory_at(memory, p->p_paddr, p->p_memsz), elf.data + p->p_offset, p->p_filesz);
    }
    return status;
}

/* ---- in place ---- */

bool boot_elf_moves_down(struct vm_bytes elf, uint64_t base) {
    struct program program;
    uint64_t file_end = 0, end = 0; /* of the segment before */
    if (read_program(elf, &program, NULL) != ATOLL_OK) return true;
    for (size_t i = 0; i < program.header.e_phnum; i++) {
        const Elf64_Phdr *p = program.segments + i;
        if (!is_loaded(p)) continue;
        if (!within(p->p_offset, p->p_filesz, elf.size)) return true;
        if (p->p_offset < file_end || p->p_paddr < end || p->p_paddr > base + p->p_offset) return false;
        file_end = p->p_offset + p->p_filesz;
        end = p->p_paddr + p->p_filesz; /* no wrap: at most base + file_end */
    }
    return true;
}

enum atoll_status boot_move_elf(const struct vm_memory *memory, uint64_t base, size_t size,
                                struct boot_elf *out, struct atoll_error *err) {
    struct program program;
    uint8_t *file = vm_memory_at(memory, base, size), *zero = file;
    enum atoll_status status = look_at(memory, (struct vm_bytes){file, size}, &program, out, err);
    if (status != ATOLL_OK) return status;
    for (size_t i = 0; i < program.header.e_phnum; i++) {
        const Elf64_Phdr *p = program.segments + i;
        if (!is_loaded(p)) continue;
        uint8_t *to = vm_memory_at(memory, p->p_paddr, p->p_memsz);
        memmove(to, file + p->p_offset, p->p_filesz);
    }
    for (size_t i = 0; i < program.header.e_phnum; i++) {
        const Elf64_Phdr *p = program.segments + i;
        if (!is_loaded(p)) continue;
        uint8_t *to = vm_memory_at(memory, p->p_paddr, p->p_memsz);
        if (to > zero) memset(zero, 0, (size_t)(to - zero));
        if (to + p->p_filesz > zero) zero = to + p->p_filesz;
    }
    if (zero < file + size) memset(zero, 0, (size_t)(file + size - zero));
    return ATOLL_OK;
}
