/* tests/sysvm/boot/boot_load_test.c: where a kernel, its initrd, command line and map come to lie, and that no
 * offset or length of a file leaves it. */
#include <stdlib.h>
#include <zlib.h>
#include "tests/sysvm/suite.h"
#include "tests/sysvm/boot/kernels.h"

#define MIB (UINT64_C(1) << 20)

struct fixture {
    struct vm_memory *memory;
    struct vm_boot_config config;
    struct vm_cpu_state state;
    struct atoll_error err;
    uint8_t elf[ELF_BYTES], bzimage[BZIMAGE_BYTES];
};

static void use_memory(struct fixture *f, uint64_t size) {
    vm_memory_free(f->memory);
    assert_int_equal(vm_memory_new(&atoll_default_alloc, size, &f->memory, NULL), ATOLL_OK);
    f->config.memory = f->memory;
}

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    f->config =
        (struct vm_boot_config){.alloc = &atoll_default_alloc, .n_cpus = 2, .cmdline = "quiet answer=42"};
    use_memory(f, 64 * MIB);
    make_elf(f->elf, false);
    make_bzimage(f->bzimage, "plain bytes", 12);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    vm_memory_free(f->memory);
    test_free(f);
    return 0;
}

static enum atoll_status load(struct fixture *f, const void *kernel, size_t n) {
    f->config.kernel = (struct vm_bytes){kernel, n};
    f->err = (struct atoll_error){.offset = ATOLL_NO_OFFSET};
    return vm_boot_load(&f->config, &f->state, &f->err);
}

static const uint8_t *params_of(struct fixture *f) { return vm_memory_at(f->memory, VM_BOOT_PARAMS, 4096); }

/* ---- kinds ---- */

static void an_elf_kernel_starts_in_64_bit_mode(void **state) {
    struct fixture *f = *state;
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_OK);
    assert_true(f->state.rip == 16 * MIB + ELF_CODE);
    assert_true(f->state.efer & 1 << 10);
    assert_true(f->state.gpr[VM_RSI] == VM_BOOT_PARAMS);
    assert_memory_equal(vm_memory_at(f->memory, 16 * MIB, ELF_BYTES), f->elf, ELF_BYTES);
    assert_memory_equal(params_of(f) + 0x202, "HdrS", 4);
}

static void an_elf_kernel_with_a_pvh_note_starts_in_32_bit_mode(void **state) {
    struct fixture *f = *state;
    uint8_t initrd[] = "initrd";
    make_elf(f->elf, true);
    f->config.initrd = (struct vm_bytes){initrd, sizeof initrd};
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_OK);
    assert_true(f->state.rip == 16 * MIB + ELF_CODE + 0x10);
    assert_int_equal(f->state.efer, 0);
    const uint8_t *info = vm_memory_at(f->memory, f->state.gpr[VM_RBX], 56);
    assert_int_equal(get_u32(info), 0x336EC578);
    assert_int_equal(get_u32(info + 12), 1);
    const uint8_t *module = vm_memory_at(f->memory, get_u64(info + 16), 32);
    assert_string_equal(vm_memory_at(f->memory, get_u64(module), sizeof initrd), "initrd");
    assert_int_equal(get_u64(module + 8), sizeof initrd);
    assert_string_equal(vm_memory_at(f->memory, get_u64(info + 24), 1), "quiet answer=42");
    assert_memory_equal(vm_memory_at(f->memory, get_u64(info + 32), 8), "RSD PTR ", 8);
    assert_in_range(get_u32(info + 48), 4, BOOT_REGIONS_MAX);
}

static void a_bzimage_unpacks_itself_where_its_packing_is_unknown(void **state) {
    struct fixture *f = *state;
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_OK);
    assert_true(f->state.rip == 16 * MIB + 0x200);
    assert_memory_equal(vm_memory_at(f->memory, 16 * MIB, 16), f->bzimage + BZIMAGE_SETUP, 16);
    assert_memory_equal(params_of(f) + 0x1F1, f->bzimage + 0x1F1, 0x1F);
    assert_int_equal(params_of(f)[0x210], 0xFF);
}

static uint32_t gzip(const void *in, size_t n, uint8_t *out, size_t room) {
    z_stream stream = {
        .next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return (uint32_t)stream.total_out;
}

static void a_bzimage_is_unpacked_on_the_host(void **state) {
    struct fixture *f = *state;
    uint8_t packed[0x1000];
    uint32_t n = gzip(f->elf, sizeof f->elf, packed, sizeof packed);
    make_bzimage(f->bzimage, packed, n);
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_OK);
    assert_true(f->state.rip == 16 * MIB + ELF_CODE);
    assert_memory_equal(vm_memory_at(f->memory, 16 * MIB, ELF_BYTES), f->elf, ELF_BYTES);
    use_memory(f, 64 * MIB);
    f->config.self_unpacking = true;
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_OK);
    assert_true(f->state.rip == 16 * MIB + 0x200);
}

static void a_packed_elf_kernel_is_unpacked(void **state) {
    struct fixture *f = *state;
    uint8_t packed[0x1000];
    uint32_t n = gzip(f->elf, sizeof f->elf, packed, sizeof packed);
    assert_int_equal(load(f, packed, n), ATOLL_OK);
    assert_true(f->state.rip == 16 * MIB + ELF_CODE);
    use_memory(f, 64 * MIB);
    assert_int_equal(load(f, packed, n - 20), ATOLL_E_MALFORMED);
    n = gzip("no kernel", 9, packed, sizeof packed);
    assert_int_equal(load(f, packed, n), ATOLL_E_UNSUPPORTED);
}

/* ---- packed kernels of several shapes ---- */

enum { SHAPE_BYTES = (2 << 20) + 0x6000 };
struct shape {
    uint64_t memory;
    struct {
        uint64_t offset, paddr, filesz, memsz;
    } segments[3];
};

/* Every byte of the file is another one than its neighbours, and none is zero. */
static uint8_t *make_shape(const struct shape *shape) {
    uint8_t *out = test_malloc(SHAPE_BYTES), head[ELF_BYTES];
    Elf64_Ehdr header;
    for (size_t i = 0; i < SHAPE_BYTES; i++) out[i] = (uint8_t)(1 + i % 251);
    make_elf(head, false);
    memcpy(&header, head, sizeof header);
    header.e_phnum = 3;
    header.e_entry = shape->segments[0].paddr;
    memcpy(out, &header, sizeof header);
    for (size_t i = 0; i < 3; i++) {
        Elf64_Phdr p = {.p_type = PT_LOAD,
                        .p_offset = shape->segments[i].offset,
                        .p_paddr = shape->segments[i].paddr,
                        .p_filesz = shape->segments[i].filesz,
                        .p_memsz = shape->segments[i].memsz};
        memcpy(out + header.e_phoff + i * sizeof p, &p, sizeof p);
    }
    return out;
}

static void a_packed_kernel_leaves_memory_as_a_plain_one(void **state) {
    enum { TEXT = 2 << 20 };
    static const struct shape shapes[] = {
        /* in place, behind that, and down by a page, with zeros behind it; the file's end is not loaded */
        {32 * MIB,
         {{TEXT, 16 * MIB, 0x2000, 0x2000},
          {TEXT + 0x2000, 16 * MIB + 0x2000, 0x800, 0x800},
          {TEXT + 0x4000, 16 * MIB + 0x3000, 0x1000, 0x5000}}},
        /* all of it lower than where it is unpacked */
        {32 * MIB,
         {{0, 2 * MIB, 0x2000, 0x2000},
          {TEXT, 4 * MIB, 0x1000, 0x1000},
          {TEXT + 0x1000, 14 * MIB, 0x2000, 0x2000}}},
        /* up; not in order, of the file and of memory; one over the other */
        {32 * MIB,
         {{0, 16 * MIB, 0x2000, 0x2000},
          {TEXT, 20 * MIB, 0x1000, 0x1000},
          {TEXT + 0x1000, 24 * MIB, 0x1000, 0x1000}}},
        {32 * MIB,
         {{TEXT + 0x1000, 15 * MIB, 0x1000, 0x1000},
          {TEXT, 16 * MIB, 0x1000, 0x1000},
          {0, 2 * MIB, 0, 0x1000}}},
        {32 * MIB,
         {{0, 3 * MIB, 0x1000, 0x1000},
          {TEXT, 2 * MIB, 0x1000, 0x1000},
          {TEXT + 0x1000, 4 * MIB, 0x1000, 0x1000}}},
        {32 * MIB,
         {{TEXT, 16 * MIB, 0x2000, 0x4000},
          {TEXT + 0x2000, 16 * MIB + 0x1000, 0x2000, 0x2000},
          {TEXT + 0x4000, 16 * MIB + 0x3000, 0x1000, 0x1000}}},
        /* zeros of one reach into the next */
        {32 * MIB,
         {{TEXT, 16 * MIB, 0x1000, 0x8000},
          {TEXT + 0x2000, 16 * MIB + 0x2000, 0x1000, 0x1000},
          {TEXT + 0x4000, 16 * MIB + 0x3000, 0x1000, 0x2000}}},
        /* no room to unpack it there */
        {16 * MIB,
         {{0, 2 * MIB, 0x2000, 0x2000},
          {TEXT, 4 * MIB, 0x1000, 0x1000},
          {TEXT + 0x1000, 6 * MIB, 0x2000, 0x2000}}}};
    struct fixture *f = *state;
    uint8_t *packed = test_malloc(SHAPE_BYTES);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        uint8_t *kernel = make_shape(shapes + i), *plain = test_malloc(shapes[i].memory);
        uint32_t n = gzip(kernel, SHAPE_BYTES, packed, SHAPE_BYTES);
        use_memory(f, shapes[i].memory);
        assert_int_equal(load(f, kernel, SHAPE_BYTES), ATOLL_OK);
        assert_true(vm_memory_read(f->memory, 0, plain, shapes[i].memory));
        use_memory(f, shapes[i].memory);
        assert_int_equal(load(f, packed, n), ATOLL_OK);
        assert_true(f->state.rip == shapes[i].segments[0].paddr);
        if (memcmp(vm_memory_at(f->memory, 0, shapes[i].memory), plain, shapes[i].memory))
            fail_msg("shape %zu is loaded otherwise when it is packed", i);
        test_free(plain);
        test_free(kernel);
    }
    test_free(packed);
}

/* ---- what every kind needs ---- */

static void the_initrd_lies_high_and_whole(void **state) {
    struct fixture *f = *state;
    static uint8_t initrd[10000];
    memset(initrd, 0xAB, sizeof initrd);
    f->config.initrd = (struct vm_bytes){initrd, sizeof initrd};
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_OK);
    uint32_t at = get_u32(params_of(f) + 0x218);
    assert_int_equal(at, 64 * MIB - 3 * VM_PAGE);
    assert_int_equal(get_u32(params_of(f) + 0x21C), sizeof initrd);
    assert_memory_equal(vm_memory_at(f->memory, at, sizeof initrd), initrd, sizeof initrd);
    put_u32(f->bzimage + 0x22C, 32 * MIB - 1);
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_OK);
    assert_int_equal(get_u32(params_of(f) + 0x218), 32 * MIB - 3 * VM_PAGE);
}

static void an_initrd_too_large_is_refused(void **state) {
    struct fixture *f = *state;
    uint8_t *initrd = calloc(1, 48 * MIB);
    f->config.initrd = (struct vm_bytes){initrd, 48 * MIB - 3 * ELF_BYTES};
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_OK);
    f->config.initrd.size++;
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_E_LIMIT);
    assert_non_null(strstr(f->err.text, "initrd"));
    f->config.initrd.size = SIZE_MAX;
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_E_LIMIT);
    free(initrd);
}

static void the_command_line_is_whole_or_refused(void **state) {
    struct fixture *f = *state;
    char text[2049];
    memset(text, 'x', sizeof text);
    text[2047] = 0;
    f->config.cmdline = text;
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_OK);
    assert_int_equal(get_u32(params_of(f) + 0x228), VM_BOOT_CMDLINE);
    assert_string_equal(vm_memory_at(f->memory, VM_BOOT_CMDLINE, sizeof text), text);
    text[2047] = 'x', text[2048] = 0;
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_E_LIMIT);
    assert_non_null(strstr(f->err.text, "command line has 2048 bytes"));
}

static void the_map_names_all_memory_once(void **state) {
    struct fixture *f = *state;
    static const uint64_t sizes[] = {16 * MIB, 64 * MIB, 3072 * MIB, 5120 * MIB};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct boot_region regions[BOOT_REGIONS_MAX];
        uint64_t ram = 0, at = 0;
        use_memory(f, sizes[k]);
        size_t n = boot_map(f->memory, regions);
        for (size_t i = 0; i < n; i++) {
            assert_true(regions[i].base >= at);
            at = regions[i].base + regions[i].size;
            if (regions[i].type != BOOT_REGION_RAM) continue;
            ram += regions[i].size;
            assert_non_null(vm_memory_at(f->memory, regions[i].base, regions[i].size));
        }
        assert_true(ram == sizes[k] - (VM_BIOS_END - VM_BIOS_BASE));
    }
}

/* ---- hostile files ---- */

static void what_is_no_kernel_is_refused(void **state) {
    struct fixture *f = *state;
    assert_int_equal(load(f, "", 0), ATOLL_E_UNSUPPORTED);
    assert_int_equal(load(f, "#!/bin/sh\n", 10), ATOLL_E_UNSUPPORTED);
    f->elf[EI_CLASS] = ELFCLASS32;
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_E_UNSUPPORTED);
    put_u16(f->bzimage + 0x206, 0x0204);
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_E_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "boot protocol is 2.04"));
    put_u16(f->bzimage + 0x206, 0x20F);
    put_u16(f->bzimage + 0x236, 0);
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_E_UNSUPPORTED);
}

/* Every prefix of a kernel is one that ends too early; it is loaded or refused, and its end is not passed. */
static void kernels_cut_anywhere_end_well(void **state) {
    struct fixture *f = *state;
    const uint8_t *files[] = {f->elf, f->bzimage};
    const size_t sizes[] = {sizeof f->elf, sizeof f->bzimage};
    for (size_t k = 0; k < 2; k++) {
        for (size_t n = 0; n < sizes[k]; n += n < 0x400 ? 1 : 61) {
            uint8_t *exact = malloc(n ? n : 1); /* a read behind it is seen by sanitizers */
            memcpy(exact, files[k], n);
            enum atoll_status status = load(f, exact, n);
            if (k == 0) assert_int_not_equal(status, ATOLL_OK);
            if (status != ATOLL_OK) assert_true(f->err.text[0]);
            free(exact);
        }
    }
}

/* offset of a field of the ELF file, its width, a value that no kernel has, what it is refused as */
static void elf_fields_out_of_range_are_refused(void **state) {
    struct fixture *f = *state;
    enum {
        PHOFF = 32,
        PHENTSIZE = 54,
        PHNUM = 56,
        ENTRY = 24,
        P_OFFSET = 64 + 8,
        P_PADDR = 64 + 24,
        P_FILESZ = 64 + 32,
        P_MEMSZ = 64 + 40
    };
    static const struct {
        size_t offset, width;
        uint64_t value;
        enum atoll_status status;
    } rows[] = {
        {PHOFF, 8, UINT64_MAX, ATOLL_E_MALFORMED},
        {PHOFF, 8, ELF_BYTES - 111, ATOLL_E_MALFORMED},
        {PHENTSIZE, 2, 0, ATOLL_E_MALFORMED},
        {PHENTSIZE, 2, 0xFFFF, ATOLL_E_MALFORMED},
        {PHNUM, 2, 0, ATOLL_E_MALFORMED},
        {PHNUM, 2, 0xFFFF, ATOLL_E_LIMIT},
        {ENTRY, 8, 0, ATOLL_E_MALFORMED},
        {ENTRY, 8, UINT64_MAX, ATOLL_E_MALFORMED},
        {ENTRY, 8, 16 * MIB - 1, ATOLL_E_MALFORMED},
        {ENTRY, 8, 16 * MIB + 3 * ELF_BYTES, ATOLL_E_MALFORMED},
        {P_OFFSET, 8, UINT64_MAX, ATOLL_E_MALFORMED},
        {P_OFFSET, 8, 1, ATOLL_E_MALFORMED},
        {P_FILESZ, 8, UINT64_MAX, ATOLL_E_MALFORMED},
        {P_FILESZ, 8, ELF_BYTES + 1, ATOLL_E_MALFORMED},
        {P_MEMSZ, 8, UINT64_MAX, ATOLL_E_LIMIT},
        {P_MEMSZ, 8, 48 * MIB + 1, ATOLL_E_LIMIT},
        {P_MEMSZ, 8, ELF_BYTES - 1, ATOLL_E_MALFORMED},
        {P_PADDR, 8, 0, ATOLL_E_UNSUPPORTED},
        {P_PADDR, 8, 0xE0000, ATOLL_E_UNSUPPORTED},
        {P_PADDR, 8, UINT64_MAX - 0xFFF, ATOLL_E_LIMIT},
        {P_PADDR, 8, 64 * MIB - ELF_BYTES, ATOLL_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        make_elf(f->elf, false);
        memcpy(f->elf + rows[i].offset, &rows[i].value, rows[i].width);
        assert_int_equal(load(f, f->elf, sizeof f->elf), rows[i].status);
        assert_true(f->err.offset <= sizeof f->elf);
    }
}

static void hostile_notes_are_passed_over(void **state) {
    struct fixture *f = *state;
    static const uint32_t values[] = {0, 1, 3, 5, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFD, UINT32_MAX};
    for (size_t i = 0; i < 4 * 8; i++) { /* sizes of name and value of both notes */
        static const size_t fields[] = {0, 4, 16, 20};
        make_elf(f->elf, true);
        put_u32(f->elf + ELF_NOTE + fields[i / 8], values[i % 8]);
        enum atoll_status status = load(f, f->elf, sizeof f->elf);
        assert_true(status == ATOLL_OK || status == ATOLL_E_MALFORMED);
    }
    make_elf(f->elf, true);
    put_u32(f->elf + ELF_NOTE + 32, 0x1000); /* an entry outside the kernel */
    assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_E_MALFORMED);
}

static void bzimage_fields_out_of_range_are_refused(void **state) {
    struct fixture *f = *state;
    f->bzimage[0x1F1] = 255; /* more setup code than file */
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_E_MALFORMED);
    make_bzimage(f->bzimage, "x", 1);
    put_u32(f->bzimage + 0x260, UINT32_MAX); /* needs 4 GiB at first */
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_E_LIMIT);
    make_bzimage(f->bzimage, "x", 1);
    put_u64(f->bzimage + 0x258, UINT64_MAX & ~UINT64_C(0xFFF)); /* wants to be at the end of addresses */
    assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_E_LIMIT);
    static const uint32_t payloads[][2] = {
        {UINT32_MAX, UINT32_MAX}, {0x1000, UINT32_MAX}, {0x2FFF, 2}, {UINT32_MAX, 1}};
    for (size_t i = 0; i < 4; i++) { /* no such payload: it unpacks itself, or fails to */
        make_bzimage(f->bzimage, "\x1F\x8B", 2);
        put_u32(f->bzimage + 0x248, payloads[i][0]);
        put_u32(f->bzimage + 0x24C, payloads[i][1]);
        assert_int_equal(load(f, f->bzimage, sizeof f->bzimage), ATOLL_OK);
        assert_true(f->state.rip == 16 * MIB + 0x200);
    }
}

static void processors_without_end_are_refused(void **state) {
    struct fixture *f = *state;
    static const unsigned counts[] = {0, VM_CPUS_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        f->config.n_cpus = counts[i];
        assert_int_equal(load(f, f->elf, sizeof f->elf), ATOLL_E_LIMIT);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_elf_kernel_starts_in_64_bit_mode),
        TEST(an_elf_kernel_with_a_pvh_note_starts_in_32_bit_mode),
        TEST(a_bzimage_unpacks_itself_where_its_packing_is_unknown),
        TEST(a_bzimage_is_unpacked_on_the_host),
        TEST(a_packed_elf_kernel_is_unpacked),
        TEST(a_packed_kernel_leaves_memory_as_a_plain_one),
        TEST(the_initrd_lies_high_and_whole),
        TEST(an_initrd_too_large_is_refused),
        TEST(the_command_line_is_whole_or_refused),
        TEST(the_map_names_all_memory_once),
        TEST(what_is_no_kernel_is_refused),
        TEST(kernels_cut_anywhere_end_well),
        TEST(elf_fields_out_of_range_are_refused),
        TEST(hostile_notes_are_passed_over),
        TEST(bzimage_fields_out_of_range_are_refused),
        TEST(processors_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
