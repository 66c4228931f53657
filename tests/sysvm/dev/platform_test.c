/* tests/sysvm/dev/platform_test.c: clock, keyboard controller and ACPI registers: what kernels do with them, and any
 * access at all. */
#include "sysvm/dev/platform/acpi_pm.h"
#include "sysvm/dev/platform/cmos.h"
#include "sysvm/dev/platform/i8042.h"
#include "tests/sysvm/dev/board.h"

#define NS INT64_C(1000000000)

struct fixture {
    struct board *b;
    struct vm_cmos *cmos;
    struct vm_i8042 *i8042;
    struct vm_acpi_pm *pm;
    unsigned n_resets, n_offs;
    int64_t now_ns;
};

static void reset(void *context) { ((struct fixture *)context)->n_resets++; }
static void off(void *context) { ((struct fixture *)context)->n_offs++; }
static int64_t now_ns(void *context) { return ((struct fixture *)context)->now_ns; }

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    const struct atoll_alloc *a = &atoll_default_alloc;
    f->b = board_new();
    f->now_ns = 1792481285 * NS + NS / 2; /* Tue 20 Oct 2026 07:28:05.5 */
    struct vm_power power = {reset, off, f};
    struct vm_cmos_config cmos = {.alloc = a,
                                  .loop = f->b->loop,
                                  .ports = f->b->ports,
                                  .irq = &f->b->irq,
                                  .now_ns = now_ns,
                                  .context = f};
    vm_loop_lock(f->b->loop);
    assert_int_equal(vm_cmos_new(&cmos, &f->cmos, NULL), 0);
    assert_int_equal(vm_i8042_new(a, f->b->ports, &power, &f->i8042, NULL), 0);
    assert_int_equal(vm_acpi_pm_new(a, f->b->ports, &f->b->irq, &power, &f->pm, NULL), 0);
    vm_loop_unlock(f->b->loop);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    vm_loop_lock(f->b->loop);
    vm_cmos_free(f->cmos);
    vm_i8042_free(f->i8042);
    vm_acpi_pm_free(f->pm);
    vm_loop_unlock(f->b->loop);
    board_free(f->b);
    test_free(f);
    return 0;
}

static uint32_t in(struct fixture *f, unsigned port, unsigned n) {
    return (uint32_t)board_in(f->b, (uint16_t)port, n);
}
static void out(struct fixture *f, unsigned port, uint32_t value, unsigned n) {
    board_out(f->b, (uint16_t)port, value, n);
}

/* ---- CMOS ---- */

static uint8_t get(struct fixture *f, uint8_t index) {
    out(f, 0x70, index, 1);
    return (uint8_t)in(f, 0x71, 1);
}
static void set(struct fixture *f, uint8_t index, uint8_t value) {
    out(f, 0x70, index, 1);
    out(f, 0x71, value, 1);
}

static void expect_time(struct fixture *f, const uint8_t expected[8]) {
    static const uint8_t order[8] = {VM_CMOS_CENTURY, 9, 8, 7, 6, 4, 2, 0};
    for (unsigned i = 0; i < 8; i++) assert_int_equal(get(f, order[i]), expected[i]);
}

static void the_clock_shows_utc(void **state) {
    struct fixture *f = *state;
    assert_int_equal(get(f, 10) & 0x80, 0); /* no update in progress, ever */
    assert_int_equal(get(f, 13), 0x80);
    expect_time(f, (uint8_t[]){0x20, 0x26, 0x10, 0x20, 3, 0x07, 0x28, 0x05});
    f->now_ns += 3600 * 12 * NS;
    set(f, 11, 0x06); /* binary */
    expect_time(f, (uint8_t[]){20, 26, 10, 20, 3, 19, 28, 5});
    set(f, 11, 0x04); /* 12 hours */
    assert_int_equal(get(f, 4), 0x87);
    f->now_ns += 3600 * 5 * NS;
    assert_int_equal(get(f, 4), 12);
}

static void a_clock_that_is_set_runs_on_from_there(void **state) {
    struct fixture *f = *state;
    static const uint8_t order[7] = {VM_CMOS_CENTURY, 9, 8, 7, 4, 2, 0},
                         values[7] = {0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59};
    set(f, 11, 0x82);
    for (unsigned i = 0; i < 7; i++) set(f, order[i], values[i]);
    f->now_ns += 100 * NS; /* stopped meanwhile */
    assert_int_equal(get(f, 0), 0x59);
    set(f, 11, 0x02);
    expect_time(f, (uint8_t[]){0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59});
    f->now_ns += NS;
    expect_time(f, (uint8_t[]){0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00});
}

static void an_alarm_interrupts_once_until_its_flags_are_read(void **state) {
    struct fixture *f = *state;
    set(f, 1, 0xFF);
    set(f, 3, 0xFF);
    set(f, 5, 0xFF);
    set(f, 11, 0x22); /* any second will do; the next begins at once */
    for (bool up = false; !up;) {
        board_settle(f->b);
        vm_loop_lock(f->b->loop);
        up = f->b->lines[VM_GSI_CMOS];
        vm_loop_unlock(f->b->loop);
    }
    assert_int_equal(get(f, 12), 0xB0);
    assert_false(f->b->lines[VM_GSI_CMOS]);
    set(f, 11, 0x02);
    assert_int_equal(get(f, 12) & 0x80, 0);
}

static void other_bytes_are_memory(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 14; i < 128; i++)
        if (i != VM_CMOS_CENTURY) set(f, (uint8_t)(0x80 | i), (uint8_t)(i * 7));
    for (unsigned i = 14; i < 128; i++)
        if (i != VM_CMOS_CENTURY) assert_int_equal(get(f, (uint8_t)i), (uint8_t)(i * 7));
    set(f, 12, 0xFF);
    set(f, 13, 0xFF);
    assert_int_equal(get(f, 13), 0x80);
    assert_int_equal(get(f, 12), 0);
}

static void any_bytes_are_a_time(void **state) {
    struct fixture *f = *state;
    for (unsigned mode = 0; mode < 8; mode++)
        for (unsigned value = 0; value < 256; value += 5) {
            set(f, 11, (uint8_t)(0x80 | mode));
            for (uint8_t i = 0; i < 10; i++) set(f, i, (uint8_t)value);
            set(f, VM_CMOS_CENTURY, (uint8_t)value);
            set(f, 11, (uint8_t)mode);
            for (uint8_t i = 0; i < 14; i++) get(f, i);
        }
}

/* ---- i8042 ---- */

static void the_keyboard_controller_answers_a_kernels_probe(void **state) {
    struct fixture *f = *state;
    assert_int_equal(in(f, 0x64, 1) & 1, 0);
    out(f, 0x64, 0xAA, 1);
    assert_int_equal(in(f, 0x64, 1) & 1, 1);
    assert_int_equal(in(f, 0x60, 1), 0x55);
    assert_int_equal(in(f, 0x64, 1) & 1, 0);
    out(f, 0x64, 0x60, 1);
    out(f, 0x60, 0x47, 1);
    out(f, 0x64, 0x20, 1);
    assert_int_equal(in(f, 0x60, 1), 0x47);
    out(f, 0x64, 0xD3, 1);
    out(f, 0x60, 0x5A, 1);
    assert_int_equal(in(f, 0x60, 1), 0x5A);
    out(f, 0x64, 0xAB, 1);
    assert_int_equal(in(f, 0x60, 1), 1); /* nothing is plugged in */
    out(f, 0x60, 0xED, 1);
    assert_int_equal(in(f, 0x64, 1) & 1, 0);
    assert_int_equal(f->n_resets, 0);
}

static void both_ways_of_the_keyboard_controller_reset(void **state) {
    struct fixture *f = *state;
    out(f, 0x64, 0xFE, 1);
    assert_int_equal(f->n_resets, 1);
    out(f, 0x64, 0xFF, 1); /* pulses nothing */
    assert_int_equal(f->n_resets, 1);
    out(f, 0x64, 0xD1, 1);
    out(f, 0x60, 0xFE, 1);
    assert_int_equal(f->n_resets, 2);
    out(f, 0x60, 0xFE, 1); /* no command waits */
    assert_int_equal(f->n_resets, 2);
    out(f, 0x64, 0xD0, 1);
    assert_int_equal(in(f, 0x60, 1), 0xFE);
}

/* ---- ACPI ---- */

static void the_power_button_raises_the_sci_until_cleared(void **state) {
    struct fixture *f = *state;
    vm_loop_lock(f->b->loop);
    vm_acpi_pm_power_button(f->pm);
    vm_loop_unlock(f->b->loop);
    assert_false(f->b->lines[VM_GSI_ACPI]);
    out(f, 0x602, 0x0120, 2);
    assert_true(f->b->lines[VM_GSI_ACPI]);
    assert_int_equal(in(f, 0x600, 4), 0x01200100);
    out(f, 0x600, 0x0001, 2);
    assert_true(f->b->lines[VM_GSI_ACPI]);
    out(f, 0x601, 0x01, 1);
    assert_false(f->b->lines[VM_GSI_ACPI]);
    assert_int_equal(in(f, 0x600, 2), 0);
}

static void sleeping_in_s5_is_off(void **state) {
    struct fixture *f = *state;
    assert_int_equal(in(f, 0x604, 2), 1); /* ACPI mode */
    out(f, 0x604, VM_ACPI_S5 << 10, 2);
    assert_int_equal(f->n_offs, 0);
    out(f, 0x604, 1 << 13 | 3 << 10, 2); /* another state: there is none */
    assert_int_equal(f->n_offs, 0);
    out(f, 0x604, 1 << 13 | VM_ACPI_S5 << 10, 2);
    assert_int_equal(f->n_offs, 1);
    out(f, 0x605, 0x20 | VM_ACPI_S5 << 2, 1);
    assert_int_equal(f->n_offs, 2);
}

static void the_pm_timer_counts_24_bits_at_its_rate(void **state) {
    struct fixture *f = *state;
    uint64_t before_ns = vm_now_ns();
    uint32_t first = in(f, 0x608, 4);
    uint64_t middle_ns = vm_now_ns(), after_ns;
    while (vm_now_ns() - middle_ns < 20000000) continue;
    uint32_t second = in(f, 0x608, 4);
    after_ns = vm_now_ns();
    assert_true(first < 1 << 24 && second < 1 << 24);
    uint64_t ticks = (second - first) & 0xFFFFFF;
    assert_true(ticks >= 20000000 * UINT64_C(3579545) / NS - 1);
    assert_true(ticks <= (after_ns - before_ns) * UINT64_C(3579545) / NS + 1);
}

static void any_access_leaves_the_platform_whole(void **state) {
    struct fixture *f = *state;
    static const uint16_t ports[] = {0x5E, 0x62, 0x6E, 0x5FE, 0x606};
    uint32_t x = 2463534242;
    for (unsigned i = 0; i < 100000; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        unsigned port = ports[x % 5] + (x >> 8) % 8, n = 1 + (x >> 16) % 4;
        if (x >> 31)
            in(f, port, n);
        else
            out(f, port, x * 2654435761u, n);
    }
    out(f, 0x64, 0xAA, 1);
    assert_int_equal(in(f, 0x60, 1), 0x55);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_clock_shows_utc),
        TEST(a_clock_that_is_set_runs_on_from_there),
        TEST(an_alarm_interrupts_once_until_its_flags_are_read),
        TEST(other_bytes_are_memory),
        TEST(any_bytes_are_a_time),
        TEST(the_keyboard_controller_answers_a_kernels_probe),
        TEST(both_ways_of_the_keyboard_controller_reset),
        TEST(the_power_button_raises_the_sci_until_cleared),
        TEST(sleeping_in_s5_is_off),
        TEST(the_pm_timer_counts_24_bits_at_its_rate),
        TEST(any_access_leaves_the_platform_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
