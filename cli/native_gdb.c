/* cli/native_gdb.c: names of machine code for a gdb that looks at atoll itself, and how its frames are left, by gdb's
 * JIT interface: a list of object files in memory, and a function it stops at. The interface is one a process, hence
 * the statics.
 * source  GDB manual, "JIT Compilation Interface"; DWARF Debugging Information Format 5, "Structure of Call Frame
 *         Information" */
#include <elf.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "cli/perf.h"

struct jit_code_entry {
    struct jit_code_entry *next_entry, *prev_entry;
    const char *symfile_addr;
    uint64_t symfile_size;
};
struct jit_descriptor {
    uint32_t version, action_flag; /* action: 1 = registered, 2 = about to go */
    struct jit_code_entry *relevant_entry, *first_entry;
};
struct jit_descriptor __jit_debug_descriptor = {1, 0, NULL, NULL};
void __jit_debug_register_code(void);
__attribute__((noinline)) void __jit_debug_register_code(void) { __asm__ volatile("" ::: "memory"); }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_open;

static const char section_names[] = "\0.text\0.symtab\0.strtab\0.shstrtab\0.debug_frame";
enum { TEXT = 1, SYMTAB = 7, STRTAB = 15, SHSTRTAB = 23, FRAMES = 33, N_SECTIONS = 6 };

/* What unwinding begins with: DWARF's registers 7 and 16 are rsp and the return address. */
static const uint8_t cie[24] = {
    20,   0,    0,    0,            /* bytes behind these */
    0xFF, 0xFF, 0xFF, 0xFF,         /* a CIE */
    3,    0,                        /* version, no augmentation */
    1,    0x78,                     /* code in steps of 1, data of -8 */
    16,                             /* the return address */
    0x0C, 7,    8,    0x80 | 16, 1, /* the frame ends at rsp + 8, the return address is 8 below */
};
struct fde { /* followed by instructions */
    uint32_t n_bytes, cie;
    uint64_t start, size;
};

struct
    object { /* an ELF file from `header` on; symbols, of which the first is none, are followed by frames and their names */
    struct jit_code_entry entry;
    unsigned owner;
    Elf64_Ehdr header;
    Elf64_Shdr sections[N_SECTIONS]; /* none, .text, .symtab, .strtab, .shstrtab, .debug_frame */
    char section_names[sizeof section_names];
    Elf64_Sym symbols[];
};
enum { FILE_AT = offsetof(struct object, header) };

struct sizes { /* of the parts behind the object's head */
    size_t n, frames, strings;
};

static void describe_sections(struct object *o, const struct sizes *sizes, uint64_t first, uint64_t end) {
    const size_t frames = offsetof(struct object, symbols) + (sizes->n + 1) * sizeof *o->symbols,
                 strings = frames + sizes->frames;
    o->sections[1] = (Elf64_Shdr){.sh_name = TEXT,
                                  .sh_type = SHT_NOBITS,
                                  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                  .sh_addr = first,
                                  .sh_size = end - first,
                                  .sh_addralign = 16};
    o->sections[2] = (Elf64_Shdr){.sh_name = SYMTAB,
                                  .sh_type = SHT_SYMTAB,
                                  .sh_offset = offsetof(struct object, symbols) - FILE_AT,
                                  .sh_size = (sizes->n + 1) * sizeof *o->symbols,
                                  .sh_link = 3,
                                  .sh_info = 1,
                                  .sh_addralign = 8,
                                  .sh_entsize = sizeof *o->symbols};
    o->sections[3] = (Elf64_Shdr){.sh_name = STRTAB,
                                  .sh_type = SHT_STRTAB,
                                  .sh_offset = strings - FILE_AT,
                                  .sh_size = sizes->strings,
                                  .sh_addralign = 1};
    o->sections[4] = (Elf64_Shdr){.sh_name = SHSTRTAB,
                                  .sh_type = SHT_STRTAB,
                                  .sh_offset = offsetof(struct object, section_names) - FILE_AT,
                                  .sh_size = sizeof section_names,
                                  .sh_addralign = 1};
    o->sections[5] = (Elf64_Shdr){.sh_name = FRAMES,
                                  .sh_type = SHT_PROGBITS,
                                  .sh_offset = frames - FILE_AT,
                                  .sh_size = sizes->frames,
                                  .sh_addralign = 8};
}

static size_t fde_bytes(const struct native_name *name) {
    return name->unwind ? (sizeof(struct fde) + name->unwind_bytes + 7) & ~(size_t)7 : 0;
}

static void describe_frames(uint8_t *out, const struct native_name *names, size_t n) {
    memcpy(out, cie, sizeof cie);
    out += sizeof cie;
    for (size_t i = 0; i < n; i++) {
        const size_t size = fde_bytes(names + i);
        const struct fde fde = {(uint32_t)size - 4, 0, (uintptr_t)names[i].code, names[i].n_bytes};
        if (!size) continue;
        memcpy(out, &fde, sizeof fde); /* what is left of it is zero, which says nothing */
        if (names[i].unwind_bytes) memcpy(out + sizeof fde, names[i].unwind, names[i].unwind_bytes);
        out += size;
    }
}

static void describe(struct object *o, const struct native_name *names, const struct sizes *sizes) {
    uint64_t first = UINT64_MAX, end = 0;
    const size_t n = sizes->n;
    uint8_t *frames = (uint8_t *)(o->symbols + n + 1);
    char *strings = (char *)(frames + sizes->frames);
    size_t at = 1;
    describe_frames(frames, names, n);
    for (size_t i = 0; i < n; i++) {
        const uint64_t start = (uintptr_t)names[i].code;
        if (start < first) first = start;
        if (start + names[i].n_bytes > end) end = start + names[i].n_bytes;
    }
    for (size_t i = 0; i < n; i++) {
        o->symbols[i + 1] = (Elf64_Sym){.st_name = (uint32_t)at,
                                        .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                        .st_shndx = 1,
                                        .st_value = (uintptr_t)names[i].code - first,
                                        .st_size = names[i].n_bytes};
        at += strlen(strcpy(strings + at, names[i].text)) + 1;
    }
    memcpy(o->section_names, section_names, sizeof section_names);
    o->header =
        (Elf64_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                     .e_type = ET_REL,
                     .e_machine = EM_X86_64,
                     .e_version = EV_CURRENT,
                     .e_shoff = offsetof(struct object, sections) - FILE_AT,
                     .e_ehsize = sizeof(Elf64_Ehdr),
                     .e_shentsize = sizeof(Elf64_Shdr),
                     .e_shnum = N_SECTIONS,
                     .e_shstrndx = 4};
    describe_sections(o, sizes, first, end);
}

void native_gdb_tell(unsigned owner, const struct native_name *names, size_t n) {
    struct sizes sizes = {n, sizeof cie, 1};
    for (size_t i = 0; i < n; i++) {
        sizes.strings += strlen(names[i].text) + 1;
        sizes.frames += fde_bytes(names + i);
    }
    const size_t size = sizeof(struct object) + (n + 1) * sizeof(Elf64_Sym) + sizes.frames + sizes.strings;
    struct object *o = calloc(1, size);
    if (!o) return;
    describe(o, names, &sizes);
    o->owner = owner;
    o->entry.symfile_addr = (const char *)&o->header;
    o->entry.symfile_size = size - FILE_AT;
    pthread_mutex_lock(&lock);
    o->entry.next_entry = __jit_debug_descriptor.first_entry;
    if (o->entry.next_entry) o->entry.next_entry->prev_entry = &o->entry;
    __jit_debug_descriptor.first_entry = &o->entry;
    __jit_debug_descriptor.relevant_entry = &o->entry;
    __jit_debug_descriptor.action_flag = 1;
    __jit_debug_register_code();
    pthread_mutex_unlock(&lock);
}

static void remove_entry(struct jit_code_entry *entry) {
    if (entry->prev_entry)
        entry->prev_entry->next_entry = entry->next_entry;
    else
        __jit_debug_descriptor.first_entry = entry->next_entry;
    if (entry->next_entry) entry->next_entry->prev_entry = entry->prev_entry;
    __jit_debug_descriptor.relevant_entry = entry;
    __jit_debug_descriptor.action_flag = 2;
    __jit_debug_register_code();
    free(entry);
}

void native_gdb_forget(unsigned owner) {
    pthread_mutex_lock(&lock);
    for (struct jit_code_entry *next, *entry = __jit_debug_descriptor.first_entry; entry; entry = next) {
        next = entry->next_entry;
        if (((struct object *)entry)->owner == owner) remove_entry(entry);
    }
    pthread_mutex_unlock(&lock);
}

void native_gdb_open(void) { is_open = true; }
bool native_gdb_is_open(void) { return is_open; }

void native_gdb_close(void) {
    while (__jit_debug_descriptor.first_entry) remove_entry(__jit_debug_descriptor.first_entry);
    is_open = false;
}
