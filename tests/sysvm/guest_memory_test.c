/* tests/sysvm/guest_memory_test.c: guest addresses become pointers only where RAM is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
#include "sysvm/layout.h"
#include "sysvm/memory.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct vm_memory *memory_of(uint64_t size_bytes) {
    struct vm_memory *memory = NULL;
    assert_int_equal(vm_memory_new(&atoll_default_alloc, size_bytes, &memory, NULL), ATOLL_OK);
    return memory;
}

static void sizes_no_machine_has_are_refused(void **state) {
    (void)state;
    static const uint64_t sizes[] = {0, 4096, MIB - 4096, MIB + 1, 1024 * GIB + 4096, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct vm_memory *memory = NULL;
        struct atoll_error err = {0};
        assert_int_equal(vm_memory_new(&atoll_default_alloc, sizes[i], &memory, &err), ATOLL_E_USAGE);
        assert_null(memory);
        assert_non_null(strstr(err.text, "guest memory"));
    }
}

static void memory_beyond_the_hole_continues_at_4_gib(void **state) {
    (void)state;
    struct vm_memory *memory = memory_of(5 * GIB);
    const struct vm_ram *ram;
    assert_int_equal(vm_memory_ranges(memory, &ram), 2);
    assert_int_equal(ram[0].size_bytes, VM_HOLE_BASE);
    assert_int_equal(ram[1].gpa, 4 * GIB);
    assert_int_equal(ram[1].offset, VM_HOLE_BASE);
    assert_int_equal(ram[0].size_bytes + ram[1].size_bytes, vm_memory_size(memory));
    assert_true((uintptr_t)ram[0].host % VM_HUGE_PAGE == 0);
    uint32_t word = 0x12345678, got = 0;
    assert_true(vm_memory_write(memory, 6 * GIB - 4, &word, 4));
    memcpy(&got, (char *)ram[0].host + 5 * GIB - 4, 4);
    assert_int_equal(got, word);
    vm_memory_free(memory);
}

static void small_memory_is_one_piece(void **state) {
    (void)state;
    struct vm_memory *memory = memory_of(MIB);
    const struct vm_ram *ram;
    assert_int_equal(vm_memory_ranges(memory, &ram), 1);
    assert_ptr_equal(vm_memory_at(memory, 0, MIB), ram[0].host);
    vm_memory_free(memory);
}

static void only_whole_ranges_of_ram_have_pointers(void **state) {
    (void)state;
    struct vm_memory *memory = memory_of(4 * GIB);
    static const struct {
        uint64_t gpa, n;
        bool is_ram;
    } rows[] = {
        {0, 0, true},
        {0, VM_HOLE_BASE, true},
        {0, VM_HOLE_BASE + 1, false},
        {VM_HOLE_BASE - 1, 1, true},
        {VM_HOLE_BASE - 1, 2, false},
        {VM_HOLE_BASE, 0, false},
        {VM_HOLE_BASE, 1, false},
        {4 * GIB - 1, 2, false},
        {4 * GIB, GIB, true},
        {5 * GIB - 8, 8, true},
        {5 * GIB - 8, 9, false},
        {5 * GIB, 0, false},
        {UINT64_MAX, 1, false},
        {UINT64_MAX, UINT64_MAX, false},
        {8, UINT64_MAX, false},
        {8, UINT64_MAX - 7, false},
        {4 * GIB + 8, UINT64_MAX - 4 * GIB, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(vm_memory_at(memory, rows[i].gpa, rows[i].n) != NULL, rows[i].is_ram);
    vm_memory_free(memory);
}

static void a_copy_is_whole_or_not_at_all(void **state) {
    (void)state;
    struct vm_memory *memory = memory_of(MIB);
    char bytes[8] = "abcdefg", untouched[8] = "1234567";
    assert_true(vm_memory_write(memory, MIB - 8, bytes, 8));
    assert_false(vm_memory_write(memory, MIB - 4, "xxxxxxx", 8));
    assert_false(vm_memory_read(memory, MIB - 4, untouched, 8));
    assert_string_equal(untouched, "1234567");
    char got[8];
    assert_true(vm_memory_read(memory, MIB - 8, got, 8));
    assert_string_equal(got, "abcdefg");
    vm_memory_free(memory);
}

static const enum vm_memory_kind kinds[] = {VM_MEMORY_PRIVATE, VM_MEMORY_SHARED};

static struct vm_memory *memory_as(uint64_t size_bytes, enum vm_memory_kind kind) {
    struct vm_memory *memory = NULL;
    assert_int_equal(vm_memory_new_as(&atoll_default_alloc, size_bytes, kind, &memory, NULL), ATOLL_OK);
    assert_true((vm_memory_fd(memory) >= 0) == (kind == VM_MEMORY_SHARED));
    return memory;
}

static void pages_given_back_are_zeros(void **state) {
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        struct vm_memory *memory = memory_as(64 * MIB, kinds[kind]);
        uint64_t word = 0x12345678, got;
        for (uint64_t at = 0; at < 64 * MIB; at += MIB) assert_true(vm_memory_write(memory, at, &word, 8));
        assert_true(vm_memory_give_back(memory, 2 * MIB, 30 * MIB));
        assert_true(vm_memory_give_back(memory, 63 * MIB, VM_PAGE));
        assert_true(vm_memory_give_back(memory, 40 * MIB, 0));
        for (uint64_t at = 0; at < 64 * MIB; at += MIB) {
            bool is_given = (at >= 2 * MIB && at < 32 * MIB) || at == 63 * MIB;
            assert_true(vm_memory_read(memory, at, &got, 8));
            assert_int_equal(got, is_given ? 0 : word);
        }
        static const uint64_t bad[][2] = {{1, VM_PAGE},           {0, 1},
                                          {64 * MIB, VM_PAGE},    {63 * MIB, 2 * MIB},
                                          {128 * MIB, VM_PAGE},   {VM_PAGE, UINT64_MAX - VM_PAGE + 1},
                                          {-VM_PAGE, 2 * VM_PAGE}};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            assert_false(vm_memory_give_back(memory, bad[i][0], bad[i][1]));
        assert_true(vm_memory_read(memory, 0, &got, 8));
        assert_int_equal(got, word);
        vm_memory_free(memory);
    }
}

/* ---- shared ---- */

static uint64_t allocated(const struct vm_memory *memory) {
    struct stat st;
    assert_int_equal(fstat(vm_memory_fd(memory), &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void what_is_given_back_leaves_the_file(void **state) {
    (void)state;
    struct vm_memory *memory = memory_as(8 * MIB, VM_MEMORY_SHARED);
    assert_int_equal(allocated(memory), 0);
    memset(vm_memory_at(memory, 0, 8 * MIB), 0xAA, 8 * MIB);
    assert_int_equal(allocated(memory), 8 * MIB);
    assert_true(vm_memory_give_back(memory, 2 * MIB, 4 * MIB));
    assert_int_equal(allocated(memory), 4 * MIB);
    assert_int_equal(*(uint8_t *)vm_memory_at(memory, 2 * MIB, 1), 0);
    vm_memory_free(memory);
}

/* Another mapping, as in another process: offsets are those that vm_memory_ranges tells. */
static void the_file_is_the_memory(void **state) {
    (void)state;
    struct vm_memory *memory = memory_as(5 * GIB, VM_MEMORY_SHARED);
    const struct vm_ram *ram;
    size_t n = vm_memory_ranges(memory, &ram);
    assert_int_equal(n, 2);
    assert_true((uintptr_t)ram[0].host % VM_HUGE_PAGE == 0);
    for (size_t i = 0; i < n; i++) {
        char *seen = mmap(NULL, VM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm_memory_fd(memory),
                          (off_t)(ram[i].offset + MIB));
        assert_ptr_not_equal(seen, MAP_FAILED);
        assert_true(vm_memory_write(memory, ram[i].gpa + MIB, "guest", 6));
        assert_string_equal(seen, "guest");
        strcpy(seen, "host");
        char got[6];
        assert_true(vm_memory_read(memory, ram[i].gpa + MIB, got, 6));
        assert_string_equal(got, "host");
        munmap(seen, VM_PAGE);
    }
    vm_memory_free(memory);
}

/* An access behind an end that somebody has set would end the process. */
static void nobody_can_shorten_the_file(void **state) {
    (void)state;
    struct vm_memory *memory = memory_as(2 * MIB, VM_MEMORY_SHARED);
    int fd = vm_memory_fd(memory);
    assert_int_equal(ftruncate(fd, MIB), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 4 * MIB), -1);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    vm_memory_free(memory);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void memory_too_small_for_huge_pages_is_shared_unless_told(void **state) {
    (void)state;
    struct vm_memory *small = memory_of(MIB);
    assert_true(vm_memory_fd(small) >= 0);
    vm_memory_free(small);
    vm_memory_free(memory_as(MIB, VM_MEMORY_PRIVATE));
    vm_memory_free(memory_as(VM_BOOT_MEMORY_MIN, VM_MEMORY_PRIVATE));
}

/* ---- huge pages ---- */

/* Memory as it is without a word; skips where this host has no huge pages for shared memory, or makes them itself. */
static struct vm_memory *gathered_memory(void) {
    struct vm_memory *memory = memory_of(64 * MIB);
    if (vm_memory_wants_sweeps(memory)) {
        assert_true(vm_memory_fd(memory) >= 0);
        return memory;
    }
    vm_memory_free(memory);
    skip();
    return NULL;
}

static uint64_t word_at(const struct vm_memory *memory, uint64_t gpa) {
    uint64_t word;
    assert_true(vm_memory_read(memory, gpa, &word, sizeof word));
    return word;
}

static void what_is_expected_becomes_huge_pages_and_stays_what_it_was(void **state) {
    (void)state;
    struct vm_memory *memory = gathered_memory();
    uint64_t word = 0x12345678, before = allocated(memory);
    assert_true(vm_memory_write(memory, 9 * MIB, &word, sizeof word));
    vm_memory_expect(memory, 9 * MIB, 4 * MIB);
    assert_int_equal(allocated(memory), before + 6 * MIB);
    assert_int_equal(word_at(memory, 9 * MIB), word);
    assert_int_equal(word_at(memory, 10 * MIB), 0);
    vm_memory_expect(memory, 64 * MIB, MIB);
    vm_memory_expect(memory, 62 * MIB, UINT64_MAX);
    assert_int_equal(allocated(memory), before + 8 * MIB);
    vm_memory_free(memory);
}

static void the_page_that_a_processor_takes_is_part_of_a_huge_one(void **state) {
    (void)state;
    struct vm_memory *memory = gathered_memory();
    uint64_t before = allocated(memory);
    uint8_t *page = vm_memory_page(memory, 33 * MIB);
    assert_ptr_equal(page, vm_memory_at(memory, 33 * MIB, VM_PAGE));
    assert_int_equal(allocated(memory), before + 2 * MIB);
    assert_null(vm_memory_page(memory, 64 * MIB));
    vm_memory_free(memory);
}

static void a_sweep_finds_what_was_touched(void **state) {
    (void)state;
    struct vm_memory *memory = gathered_memory();
    static const uint64_t places[] = {63 * MIB, 20 * MIB, 5 * MIB, 22 * MIB};
    uint64_t before = allocated(memory);
    assert_int_equal(vm_memory_sweep(memory, 8), 0);
    for (uint64_t i = 0; i < 4; i++) assert_true(vm_memory_write(memory, places[i], places + i, 8));
    assert_int_equal(vm_memory_sweep(memory, 3), 3);
    assert_int_equal(vm_memory_sweep(memory, 3), 1);
    assert_int_equal(vm_memory_sweep(memory, 3), 0);
    assert_int_equal(allocated(memory), before + 8 * MIB);
    for (uint64_t i = 0; i < 4; i++) assert_int_equal(word_at(memory, places[i]), places[i]);
    vm_memory_free(memory);
}

/* A huge page in its place would take back what the balloon gave. */
static void where_single_pages_were_given_back_pages_stay_small(void **state) {
    (void)state;
    struct vm_memory *memory = gathered_memory();
    uint64_t before = allocated(memory);
    vm_memory_expect(memory, 8 * MIB, 4 * MIB);
    assert_true(vm_memory_give_back(memory, 9 * MIB, VM_PAGE));
    assert_non_null(vm_memory_page(memory, 8 * MIB));
    vm_memory_expect(memory, 8 * MIB, 4 * MIB);
    assert_int_equal(vm_memory_sweep(memory, 8), 0);
    assert_int_equal(allocated(memory), before + 4 * MIB - VM_PAGE);
    assert_true(vm_memory_give_back(memory, 8 * MIB, 4 * MIB));
    vm_memory_expect(memory, 8 * MIB, MIB);
    assert_int_equal(allocated(memory), before + 2 * MIB);
    vm_memory_free(memory);
}

static void without_files_of_its_size_memory_is_private_or_an_error(void **state) {
    (void)state;
    struct rlimit before, none = {0};
    struct vm_memory *memory = NULL;
    struct atoll_error err = {0};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    enum atoll_status asked = vm_memory_new_as(&atoll_default_alloc, MIB, VM_MEMORY_SHARED, &memory, &err);
    enum atoll_status possible =
        vm_memory_new_as(&atoll_default_alloc, 32 * MIB, VM_MEMORY_DEFAULT, &memory, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(asked, ATOLL_E_IO);
    assert_int_equal(err.system_errno, EFBIG);
    assert_non_null(strstr(err.text, "shared guest memory"));
    assert_int_equal(possible, ATOLL_OK);
    assert_int_equal(vm_memory_fd(memory), -1);
    vm_memory_free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_no_machine_has_are_refused),
        cmocka_unit_test(memory_beyond_the_hole_continues_at_4_gib),
        cmocka_unit_test(small_memory_is_one_piece),
        cmocka_unit_test(only_whole_ranges_of_ram_have_pointers),
        cmocka_unit_test(pages_given_back_are_zeros),
        cmocka_unit_test(a_copy_is_whole_or_not_at_all),
        cmocka_unit_test(what_is_given_back_leaves_the_file),
        cmocka_unit_test(the_file_is_the_memory),
        cmocka_unit_test(nobody_can_shorten_the_file),
        cmocka_unit_test(memory_too_small_for_huge_pages_is_shared_unless_told),
        cmocka_unit_test(what_is_expected_becomes_huge_pages_and_stays_what_it_was),
        cmocka_unit_test(the_page_that_a_processor_takes_is_part_of_a_huge_one),
        cmocka_unit_test(a_sweep_finds_what_was_touched),
        cmocka_unit_test(where_single_pages_were_given_back_pages_stay_small),
        cmocka_unit_test(without_files_of_its_size_memory_is_private_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
