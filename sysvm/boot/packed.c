/* sysvm/boot/packed.c: an ELF kernel that is packed. It is unpacked into guest memory itself, so that its first and
 * largest segments lie where they belong already, and the others move down a little:
 *
 *   IN_PLACE   file header | 16 MiB: text | data |   | processors' data | init       | symbols     as unpacked
 *              zero        |         text | data | processors' data | init | zero                  as it starts
 *
 * A kernel of another shape, or one that leaves guest memory no room for this, is unpacked beside it. */
#include "sysvm/boot/internal.h"

#define IN_PLACE                                                                                             \
    (UINT64_C(14) << 20) /* Linux is linked to 16 MiB, and its first segment is 2 MiB from the file's start */

static enum atoll_status no_elf(struct atoll_error *err) {
    return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                      "what is packed in the kernel is no ELF file");
}

static enum atoll_status load_from(const struct vm_memory *memory, struct vm_bytes elf, struct boot_elf *out,
                                   struct atoll_error *err) {
    return boot_is_elf(elf) ? boot_load_elf(memory, elf, out, err) : no_elf(err);
}

static enum atoll_status load_beside(const struct vm_memory *memory, struct vm_bytes packed,
                                     struct boot_elf *out, struct atoll_error *err) {
    struct boot_unpacked file;
    enum atoll_status status =
        boot_unpack(boot_packing_of(packed), packed, vm_memory_size(memory), &file, err);
    if (status != ATOLL_OK) return status;
    status = load_from(memory, (struct vm_bytes){file.data, file.size}, out, err);
    boot_unpacked_free(&file);
    return status;
}

/* What was unpacked in guest memory, taken out of it again. */
static enum atoll_status load_copy(const struct vm_memory *memory, uint8_t *bytes, size_t size,
                                   struct boot_elf *out, struct atoll_error *err) {
    struct boot_unpacked file;
    enum atoll_status status = boot_unpacked_new(size, &file, err);
    if (status != ATOLL_OK) return status;
    memcpy(file.data, bytes, size);
    memset(bytes, 0, size);
    status = load_from(memory, (struct vm_bytes){file.data, size}, out, err);
    boot_unpacked_free(&file);
    return status;
}

static enum atoll_status load_in_place(const struct vm_memory *memory, struct vm_bytes packed, uint8_t *room,
                                       size_t n_room, struct boot_elf *out, struct atoll_error *err) {
    size_t size = 0;
    enum atoll_status status = boot_unpack_to(boot_packing_of(packed), packed, room, n_room, &size, err);
    if (status == ATOLL_E_LIMIT && n_room < BOOT_UNPACKED_MAX) {
        memset(room, 0, n_room);
        return load_beside(memory, packed, out, err);
    }
    if (status != ATOLL_OK) return status;
    struct vm_bytes elf = {room, size};
    if (!boot_is_elf(elf)) return no_elf(err);
    if (!boot_elf_moves_down(elf, IN_PLACE)) return load_copy(memory, room, size, out, err);
    return boot_move_elf(memory, IN_PLACE, size, out, err);
}

enum atoll_status boot_load_packed_elf(const struct vm_memory *memory, struct vm_bytes packed,
                                       struct boot_elf *out, struct atoll_error *err) {
    const struct vm_ram *ram;
    vm_memory_ranges(memory, &ram);
    uint64_t n_room = ram[0].size_bytes > IN_PLACE ? ram[0].size_bytes - IN_PLACE : 0;
    uint8_t *room = n_room ? vm_memory_at(memory, IN_PLACE, n_room) : NULL;
    enum atoll_status status =
        room ? load_in_place(memory, packed, room, n_room, out, err) : load_beside(memory, packed, out, err);
    if (status != ATOLL_OK && err) err->offset = ATOLL_NO_OFFSET; /* it counted in the unpacked file */
    return status;
}
