/* cli/perf.c: names of compiled functions for perf (a map file) and for a gdb that looks at atoll itself (its JIT
 * interface: a list of object files in memory, and a function it stops at). Both belong to the process, hence the
 * statics, and both are told by whichever thread compiles. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/run.h"

#define NAME_BYTES 128

/* "wasm:NAME", letters that would break a line of the map replaced. */
static void name_of(struct rt_module *module, uint32_t func, bool loop, char out[NAME_BYTES]) {
    struct bc_name name = rt_module_func_name(module, func);
    int most = name.size < 100 ? (int)name.size : 100;
    const char *suffix = loop ? " (loop)" : "";
    if (name.size)
        snprintf(out, NAME_BYTES, "wasm:%.*s%s", most, name.bytes, suffix);
    else
        snprintf(out, NAME_BYTES, "wasm:func[%" PRIu32 "]%s", func, suffix);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = '?';
}

/* ---- perf ---- */

static int map = -1;

/* source  Linux, tools/perf/Documentation/jit-interface.txt */
bool perf_open(const char **why) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    unlink(path); /* of a process that had our number */
    map = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0644);
    *why = map < 0 ? strerror(errno) : NULL;
    return map >= 0;
}

void perf_close(void) {
    if (map >= 0) close(map);
    map = -1;
}

/* ---- gdb ---- */

/* source  GDB manual, "JIT Compilation Interface" */
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
static bool for_gdb;

struct object { /* an ELF file of one function */
    struct jit_code_entry entry;
    Elf64_Ehdr header;
    Elf64_Shdr sections[5]; /* none, .text, .symtab, .strtab, .shstrtab */
    Elf64_Sym symbols[2];
    char strings[1 + NAME_BYTES], section_names[40];
};

static void describe(struct object *o, const void *code, size_t n_bytes, const char *name) {
    static const char names[] = "\0.text\0.symtab\0.strtab\0.shstrtab";
    const size_t base = offsetof(struct object, header);
    memcpy(o->section_names, names, sizeof names);
    snprintf(o->strings + 1, NAME_BYTES, "%s", name);
    o->header =
        (Elf64_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                     .e_type = ET_REL,
                     .e_machine = EM_X86_64,
                     .e_version = EV_CURRENT,
                     .e_shoff = offsetof(struct object, sections) - base,
                     .e_ehsize = sizeof(Elf64_Ehdr),
                     .e_shentsize = sizeof(Elf64_Shdr),
                     .e_shnum = 5,
                     .e_shstrndx = 4};
    o->sections[1] = (Elf64_Shdr){.sh_name = 1,
                                  .sh_type = SHT_NOBITS,
                                  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                  .sh_addr = (uintptr_t)code,
                                  .sh_size = n_bytes,
                                  .sh_addralign = 16};
    o->sections[2] = (Elf64_Shdr){.sh_name = 7,
                                  .sh_type = SHT_SYMTAB,
                                  .sh_offset = offsetof(struct object, symbols) - base,
                                  .sh_size = sizeof o->symbols,
                                  .sh_link = 3,
                                  .sh_info = 1,
                                  .sh_addralign = 8,
                                  .sh_entsize = sizeof(Elf64_Sym)};
    o->sections[3] = (Elf64_Shdr){.sh_name = 15,
                                  .sh_type = SHT_STRTAB,
                                  .sh_offset = offsetof(struct object, strings) - base,
                                  .sh_size = sizeof o->strings,
                                  .sh_addralign = 1};
    o->sections[4] = (Elf64_Shdr){.sh_name = 23,
                                  .sh_type = SHT_STRTAB,
                                  .sh_offset = offsetof(struct object, section_names) - base,
                                  .sh_size = sizeof names,
                                  .sh_addralign = 1};
    o->symbols[1] = (Elf64_Sym){
        .st_name = 1, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = 1, .st_size = n_bytes};
}

static void tell_gdb(const void *code, size_t n_bytes, const char *name) {
    struct object *o = calloc(1, sizeof *o);
    if (!o) return;
    describe(o, code, n_bytes, name);
    o->entry.symfile_addr = (const char *)&o->header;
    o->entry.symfile_size = sizeof *o - offsetof(struct object, header);
    pthread_mutex_lock(&lock);
    o->entry.next_entry = __jit_debug_descriptor.first_entry;
    if (o->entry.next_entry) o->entry.next_entry->prev_entry = &o->entry;
    __jit_debug_descriptor.first_entry = &o->entry;
    __jit_debug_descriptor.relevant_entry = &o->entry;
    __jit_debug_descriptor.action_flag = 1;
    __jit_debug_register_code();
    pthread_mutex_unlock(&lock);
}

void native_gdb_open(void) { for_gdb = true; }

void native_gdb_close(void) {
    while (__jit_debug_descriptor.first_entry) {
        struct jit_code_entry *entry = __jit_debug_descriptor.first_entry;
        __jit_debug_descriptor.relevant_entry = entry;
        __jit_debug_descriptor.action_flag = 2;
        __jit_debug_register_code();
        __jit_debug_descriptor.first_entry = entry->next_entry;
        free(entry);
    }
    for_gdb = false;
}

/* ---- both ---- */

void perf_code_placed(struct rt_module *module, uint32_t func, bool loop, const void *code, size_t n_bytes) {
    char name[NAME_BYTES];
    name_of(module, func, loop, name);
    if (map >= 0) dprintf(map, "%" PRIxPTR " %zx %s\n", (uintptr_t)code, n_bytes, name);
    if (for_gdb) tell_gdb(code, n_bytes, name);
}
