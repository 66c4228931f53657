/* sysvm/boot/bzimage.c: Linux' own file format, with a 64-bit entry (boot protocol 2.12 and later).
 *
 *   0      boot sector, setup code for real mode (not used), in it the header from 0x1F1
 *   setup  (setup_sects + 1) * 512: protected-mode code: it unpacks the payload, which is an ELF vmlinux
 */
#include "sysvm/boot/internal.h"

/* Offsets of the header's fields, in the file as in the boot parameters. */
enum {
    HEADER = 0x1F1,
    SETUP_SECTS = 0x1F1,
    BOOT_FLAG = 0x1FE,
    JUMP_LENGTH = 0x201,
    MAGIC = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    INITRD_ADDR_MAX = 0x22C,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PAYLOAD_OFFSET = 0x248,
    PAYLOAD_LENGTH = 0x24C,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_END = 0x264, /* of what is read here */
    HEADER_ROOM = 0x290 /* where other parameters begin */
};
enum { XLF_KERNEL_64 = 1, LOADED_HIGH = 1, ENTRY_64 = 0x200, UNKNOWN_LOADER = 0xFF };
#define INITRD_MAX_DEFAULT UINT64_C(0x7FFFFFFF)
#define CMDLINE_DEFAULT    2047

bool boot_is_bzimage(struct vm_bytes bytes) {
    return bytes.size > MAGIC + 4 && memcmp(bytes.data + MAGIC, "HdrS", 4) == 0 &&
           get_u16(bytes.data + BOOT_FLAG) == 0xAA55;
}

static enum atoll_status check_header(struct vm_bytes file, struct atoll_error *err) {
    if (file.size < HEADER_END)
        return atoll_fail(err, ATOLL_E_MALFORMED, file.size, "the kernel ends within its header");
    unsigned version = get_u16(file.data + VERSION);
    if (version < 0x20C)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, VERSION,
                          "the kernel's boot protocol is %u.%02u; 2.12 is needed", version >> 8,
                          version & 0xFF);
    if (!(get_u16(file.data + XLOADFLAGS) & XLF_KERNEL_64))
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, XLOADFLAGS, "the kernel has no 64-bit entry");
    return ATOLL_OK;
}

/* The part behind the real-mode code. */
static enum atoll_status find_code(struct vm_bytes file, struct vm_bytes *out, struct atoll_error *err) {
    unsigned sectors = file.data[SETUP_SECTS] ? file.data[SETUP_SECTS] : 4;
    size_t setup = (sectors + 1) * (size_t)512;
    if (setup + ENTRY_64 >= file.size)
        return atoll_fail(err, ATOLL_E_MALFORMED, SETUP_SECTS, "the kernel ends before its code at 0x%zx",
                          setup);
    *out = (struct vm_bytes){file.data + setup, file.size - setup};
    return ATOLL_OK;
}

static void take_header(struct vm_bytes file, struct boot_linux *out) {
    size_t end = MAGIC + (size_t)file.data[JUMP_LENGTH];
    if (end > HEADER_ROOM) end = HEADER_ROOM;
    if (end > file.size) end = file.size;
    if (end > HEADER) memcpy(out->params + HEADER, file.data + HEADER, end - HEADER);
    out->params[TYPE_OF_LOADER] = UNKNOWN_LOADER;
    out->initrd_max = get_u32(file.data + INITRD_ADDR_MAX);
    out->cmdline_max = get_u32(file.data + CMDLINE_SIZE);
}

/* ---- the payload, unpacked here ---- */

static enum atoll_status load_payload(const struct vm_boot_config *config, struct vm_bytes payload,
                                      struct boot_linux *out, struct atoll_error *err) {
    struct boot_elf loaded;
    enum atoll_status status = boot_load_packed_elf(config->memory, payload, &loaded, err);
    if (status != ATOLL_OK) return status;
    out->entry = loaded.entry;
    out->end = loaded.end;
    return ATOLL_OK;
}

/* The payload where its packing is known here; else size 0. */
static struct vm_bytes find_payload(struct vm_bytes file, struct vm_bytes code) {
    uint64_t offset = get_u32(file.data + PAYLOAD_OFFSET), n = get_u32(file.data + PAYLOAD_LENGTH);
    if (!offset || !within(offset, n, code.size)) return (struct vm_bytes){0};
    struct vm_bytes payload = {code.data + offset, n};
    return boot_packing_of(payload) == BOOT_PLAIN ? (struct vm_bytes){0} : payload;
}

/* ---- the whole, which unpacks itself ---- */

static enum atoll_status load_whole(const struct vm_memory *memory, struct vm_bytes file,
                                    struct vm_bytes code, struct boot_linux *out, struct atoll_error *err) {
    uint64_t base = get_u64(file.data + PREF_ADDRESS), init_size = get_u32(file.data + INIT_SIZE);
    if (init_size < code.size) init_size = code.size;
    if (base < VM_KERNEL_BASE || base % VM_PAGE) base = VM_KERNEL_BASE;
    uint8_t *to = vm_memory_at(memory, base, init_size);
    if (!to)
        return atoll_fail(err, ATOLL_E_LIMIT, INIT_SIZE,
                          "guest memory has no room for the kernel's %llu bytes at 0x%llx",
                          (unsigned long long)init_size, (unsigned long long)base);
    memcpy(to, code.data, code.size);
    out->entry = base + ENTRY_64;
    out->end = base + init_size;
    return ATOLL_OK;
}

enum atoll_status boot_load_bzimage(const struct vm_boot_config *config, struct boot_linux *out,
                                    struct atoll_error *err) {
    struct vm_bytes file = config->kernel, code = {0};
    enum atoll_status status = check_header(file, err);
    if (status == ATOLL_OK) status = find_code(file, &code, err);
    if (status != ATOLL_OK) return status;
    *out = (struct boot_linux){0};
    take_header(file, out);
    struct vm_bytes payload = find_payload(file, code);
    uint64_t base = get_u64(file.data + PREF_ADDRESS);
    if (base >= VM_HUGE_PAGE) /* the page before takes what stands before the first segment */
        vm_memory_expect(config->memory, base - VM_HUGE_PAGE, VM_HUGE_PAGE + get_u32(file.data + INIT_SIZE));
    if (payload.size && !config->self_unpacking) return load_payload(config, payload, out, err);
    return load_whole(config->memory, file, code, out, err);
}

void boot_linux_of_elf(const struct boot_elf *elf, struct boot_linux *out) {
    *out = (struct boot_linux){.entry = elf->entry,
                               .end = elf->end,
                               .initrd_max = INITRD_MAX_DEFAULT,
                               .cmdline_max = CMDLINE_DEFAULT};
    memcpy(out->params + MAGIC, "HdrS", 4);
    put_u16(out->params + BOOT_FLAG, 0xAA55);
    put_u16(out->params + VERSION, 0x20F);
    out->params[TYPE_OF_LOADER] = UNKNOWN_LOADER;
    out->params[LOADFLAGS] = LOADED_HIGH;
    put_u32(out->params + KERNEL_ALIGNMENT, 0x1000000);
}
