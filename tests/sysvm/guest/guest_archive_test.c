/* tests/sysvm/guest/guest_archive_test.c: the archive a guest with a command starts from: what stands in it and in what
 * order, modules found with what they need, packed or not; and module folders that lie. */
#include <elf.h>
#include <ftw.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sysvm/guest/guest.h"
#include "tests/sysvm/suite.h"

static char root[64];

static const char *at(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_bytes(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static int set_up(void **state) {
    (void)state;
    strcpy(root, "/tmp/atoll-guest-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(mkdir(at("kernel"), 0700), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- modules ---- */

struct module {
    Elf64_Ehdr header;
    Elf64_Shdr sections[3];
    char names[32], info[200];
};

/* An ELF file with nothing but a .modinfo. */
static struct module module_of(const char *depends) {
    struct module m = {.names = "\0.shstrtab\0.modinfo"};
    int n = snprintf(m.info, sizeof m.info, "license=GPL%cdepends=%s%cname=x", 0, depends, 0);
    memcpy(m.header.e_ident, ELFMAG "\2\1\1", 7);
    m.header.e_shoff = offsetof(struct module, sections);
    m.header.e_shentsize = sizeof(Elf64_Shdr);
    m.header.e_shnum = 3;
    m.header.e_shstrndx = 1;
    m.sections[1] = (Elf64_Shdr){.sh_name = 1,
                                 .sh_type = SHT_STRTAB,
                                 .sh_offset = offsetof(struct module, names),
                                 .sh_size = sizeof m.names};
    m.sections[2] = (Elf64_Shdr){.sh_name = 11,
                                 .sh_type = SHT_PROGBITS,
                                 .sh_offset = offsetof(struct module, info),
                                 .sh_size = (size_t)n + 1};
    return m;
}

static void put_module(const char *name, const char *depends) {
    struct module m = module_of(depends);
    write_bytes(name, &m, sizeof m);
}

static void put_packed_module(const char *name, const char *depends) {
    struct module m = module_of(depends);
    uint8_t packed[4096];
    size_t n = 0;
    assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, (uint8_t *)&m, sizeof m, packed, &n,
                                             sizeof packed),
                     LZMA_OK);
    write_bytes(name, packed, n);
}

static enum atoll_status make(const char *wanted, struct guest_archive *out, struct atoll_error *err) {
    static const char *const settings[] = {"root=atoll0", "arg=ls"};
    struct guest_config config = {
        .modules = root, .module_names = &wanted, .n_modules = 1, .settings = settings, .n_settings = 2};
    return guest_archive_new(&config, out, err);
}

/* ---- archives ---- */

static unsigned long field(const uint8_t *header, unsigned i) {
    char text[9] = "";
    memcpy(text, header + 6 + (size_t)8 * i, 8);
    return strtoul(text, NULL, 16);
}

/* Walks the archive; the contents of `wanted`, and all names in order. */
static const uint8_t *find(const struct guest_archive *a, const char *wanted, size_t *out_size,
                           char names[1024]) {
    const uint8_t *found = NULL;
    names[0] = 0;
    for (size_t at_byte = 0; at_byte < a->size;) {
        const uint8_t *h = a->bytes + at_byte;
        assert_memory_equal(h, "070701", 6);
        size_t size = field(h, 6), name_size = field(h, 11);
        const char *name = (const char *)h + 110;
        assert_int_equal(strlen(name) + 1, name_size);
        size_t data = (at_byte + 110 + name_size + 3) / 4 * 4;
        assert_true(data + size <= a->size);
        snprintf(names + strlen(names), 1024 - strlen(names), "%s ", name);
        if (!strcmp(name, wanted)) found = a->bytes + data, *out_size = size;
        at_byte = (data + size + 3) / 4 * 4;
    }
    return found;
}

static void modules_come_after_what_they_need(void **state) {
    (void)state;
    static const char order[] =
        "kernel/fuse.ko\nkernel/virtiofs.ko\nkernel/virtio_ring.ko\nkernel/virtio.ko\nkernel/x.ko\n";
    struct guest_archive a;
    struct atoll_error err;
    char names[1024];
    size_t size;
    write_bytes("modules.order", order, sizeof order - 1);
    write_bytes("modules.builtin", "kernel/built-in.ko\n", 19);
    put_packed_module("kernel/fuse.ko.xz", "");
    put_module("kernel/virtiofs.ko", "virtio,fuse,built_in,virtio_ring");
    put_module("kernel/virtio.ko", "virtio-ring");
    put_packed_module("kernel/virtio_ring.ko.xz", "virtio"); /* in a circle */
    assert_int_equal(make("virtiofs", &a, &err), ATOLL_OK);
    const char *text = (const char *)find(&a, "settings", &size, names);
    assert_string_equal(
        names, "dev dev/console init modules modules/virtio_ring.ko modules/virtio.ko modules/fuse.ko "
               "modules/virtiofs.ko settings TRAILER!!! ");
    static const char expected[] =
        "module=/modules/virtio_ring.ko\0module=/modules/virtio.ko\0module=/modules/fuse.ko\0"
        "module=/modules/virtiofs.ko\0root=atoll0\0arg=ls";
    assert_int_equal(size, sizeof expected);
    assert_memory_equal(text, expected, sizeof expected);
    const uint8_t *fuse = find(&a, "modules/fuse.ko", &size, names);
    struct module m = module_of("");
    assert_int_equal(size, sizeof m); /* unpacked */
    assert_memory_equal(fuse, &m, sizeof m);
    const uint8_t *init = find(&a, "init", &size, names);
    assert_memory_equal(init, ELFMAG, SELFMAG);
    assert_true(size > 4096 && size < 65536);
    guest_archive_free(NULL, &a);
}

static void modules_dep_serves_as_a_list(void **state) {
    (void)state;
    struct guest_archive a;
    char names[1024];
    size_t size;
    write_bytes("modules.dep", "kernel/virtiofs.ko.xz: kernel/fuse.ko.xz\n", 41);
    put_packed_module("kernel/virtiofs.ko.xz", "");
    assert_int_equal(make("virtiofs", &a, NULL), ATOLL_OK);
    assert_non_null(find(&a, "modules/virtiofs.ko", &size, names));
    guest_archive_free(NULL, &a);
}

static void a_kernel_without_modules_needs_no_folder(void **state) {
    (void)state;
    struct guest_archive a;
    struct guest_config config = {0};
    char names[1024];
    size_t size;
    assert_int_equal(guest_archive_new(&config, &a, NULL), ATOLL_OK);
    assert_non_null(find(&a, "init", &size, names));
    guest_archive_free(NULL, &a);
}

static void says(enum atoll_status status, const char *text) {
    struct guest_archive a;
    struct atoll_error err = {.text = ""};
    assert_int_equal(make("virtiofs", &a, &err), status);
    assert_null(a.bytes);
    if (!strstr(err.text, text)) fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void folders_that_lie_are_told(void **state) {
    (void)state;
    struct module m = module_of("");
    char deep[64];
    says(ATOLL_E_IO, "modules.dep: No such file");
    write_bytes("modules.order", "kernel/other.ko\n\n\nnothing", 25);
    says(ATOLL_E_LINK, "has no module 'virtiofs'");
    write_bytes("modules.order", "kernel/virtiofs.ko\n", 19);
    says(ATOLL_E_IO, "kernel/virtiofs.ko: No such file");
    write_bytes("kernel/virtiofs.ko", "", 0);
    says(ATOLL_E_MALFORMED, "no kernel module");
    /* The section table anywhere, sections beyond the end, no names */
    for (size_t size = 0; size < sizeof m; size += 7) {
        write_bytes("kernel/virtiofs.ko", &m, size);
        struct guest_archive a;
        if (make("virtiofs", &a, NULL) == ATOLL_OK) guest_archive_free(NULL, &a);
    }
    m.header.e_shoff = UINT64_MAX - 10;
    write_bytes("kernel/virtiofs.ko", &m, sizeof m);
    says(ATOLL_E_MALFORMED, "no kernel module");
    m = module_of("");
    m.sections[2].sh_offset = UINT64_MAX;
    write_bytes("kernel/virtiofs.ko", &m, sizeof m);
    says(ATOLL_E_MALFORMED, "no kernel module");
    write_bytes("kernel/virtiofs.ko",
                "\xFD"
                "7zXZ\0garbage",
                13);
    says(ATOLL_E_MALFORMED, "");
    /* A chain without end */
    char order[4096] = "kernel/virtiofs.ko\n";
    put_module("kernel/virtiofs.ko", "m0");
    for (unsigned i = 0; i < 40; i++) {
        char need[16];
        snprintf(order + strlen(order), sizeof order - strlen(order), "kernel/m%u.ko\n", i);
        snprintf(deep, sizeof deep, "kernel/m%u.ko", i);
        snprintf(need, sizeof need, "m%u", i + 1);
        put_module(deep, need);
    }
    write_bytes("modules.order", order, strlen(order));
    says(ATOLL_E_LIMIT, "too many");
}

static void a_module_that_may_be_missing_is_left_out(void **state) {
    (void)state;
    static const char *const wanted[] = {"virtiofs", "virtio_balloon"};
    struct guest_config config = {.modules = root, .module_names = wanted, .n_modules = 2, .n_optional = 1};
    struct guest_archive a;
    char names[1024];
    size_t size;
    write_bytes("modules.order", "kernel/virtiofs.ko\n", 19);
    put_module("kernel/virtiofs.ko", "");
    assert_int_equal(guest_archive_new(&config, &a, NULL), ATOLL_OK);
    assert_non_null(find(&a, "modules/virtiofs.ko", &size, names));
    assert_null(strstr(names, "balloon"));
    guest_archive_free(NULL, &a);
    config.n_optional = 0;
    assert_int_equal(guest_archive_new(&config, &a, NULL), ATOLL_E_LINK);
    config.n_optional = 1;
    write_bytes("modules.order", "kernel/virtio_balloon.ko\n", 25);
    assert_int_equal(guest_archive_new(&config, &a, NULL), ATOLL_E_LINK); /* the other one may not */
}

static unsigned left;
static void *failing_resize(void *context, void *p, size_t old_size, size_t new_size) {
    if (new_size > old_size && !left) return NULL;
    if (new_size > old_size) left--;
    return atoll_default_alloc.resize(context, p, old_size, new_size);
}

static void memory_that_runs_out_is_told(void **state) {
    (void)state;
    static const struct atoll_alloc alloc = {failing_resize, NULL};
    static const char *const wanted[] = {"virtiofs"};
    struct guest_config config = {.alloc = &alloc, .modules = root, .module_names = wanted, .n_modules = 1};
    struct guest_archive a;
    enum atoll_status status = ATOLL_E_NOMEM;
    write_bytes("modules.order", "kernel/virtiofs.ko\n", 19);
    put_module("kernel/virtiofs.ko", "");
    for (unsigned n = 0; status != ATOLL_OK; n++) {
        left = n;
        status = guest_archive_new(&config, &a, NULL);
        assert_true(status == ATOLL_OK || status == ATOLL_E_NOMEM);
        assert_true(n < 1000);
    }
    guest_archive_free(&alloc, &a);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(modules_come_after_what_they_need),        T(modules_dep_serves_as_a_list),
        T(a_kernel_without_modules_needs_no_folder), T(folders_that_lie_are_told),
        T(a_module_that_may_be_missing_is_left_out), T(memory_that_runs_out_is_told)};
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
