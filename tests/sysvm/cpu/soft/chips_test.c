/* tests/sysvm/cpu/soft/chips_test.c: interrupt controllers and timers without a processor: who is asked, in which
 * order, and when. The time is moved by hand. */
#include "tests/sysvm/suite.h"
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/layout.h"

enum { TPR = 0x80, EOI = 0xB0, LDR = 0xD0, SVR = 0xF0, ESR = 0x280, ICR = 0x300, ICR_HIGH = 0x310 };
enum {
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    LVT_ERROR = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3E0
};
enum { N_CPUS = 4, MASKED = 1 << 16 };

struct world {
    struct soft_chips chips;
    uint64_t now;
    unsigned wishes[N_CPUS][4];
};

static void count_wish(void *context, unsigned cpu, enum soft_wish wish) {
    struct world *w = context;
    w->wishes[cpu][wish]++;
}

static int set_up(void **state) {
    struct world *w = test_calloc(1, sizeof *w);
    struct soft_chips_config config = {.alloc = &atoll_default_alloc,
                                       .n_cpus = N_CPUS,
                                       .request = count_wish,
                                       .context = w,
                                       .manual_ns = &w->now};
    assert_int_equal(soft_chips_init(&w->chips, &config, NULL), ATOLL_OK);
    for (unsigned i = 0; i < N_CPUS; i++) soft_apic_write(w->chips.apics + i, SVR, 0x1FF);
    *state = w;
    return 0;
}
static int tear_down(void **state) {
    struct world *w = *state;
    soft_chips_fini(&w->chips);
    test_free(w);
    return 0;
}

static void move_to(struct world *w, uint64_t ns) {
    w->now = ns;
    pthread_mutex_lock(&w->chips.lock);
    soft_clock_run(&w->chips);
    pthread_mutex_unlock(&w->chips.lock);
}
static struct soft_apic *apic(struct world *w, unsigned i) { return w->chips.apics + i; }
static void io_write(struct world *w, unsigned index, uint32_t value) {
    soft_ioapic_write(&w->chips, 0, index);
    soft_ioapic_write(&w->chips, 0x10, value);
}
static uint32_t io_read(struct world *w, unsigned index) {
    soft_ioapic_write(&w->chips, 0, index);
    return soft_ioapic_read(&w->chips, 0x10);
}
static void set_pin(struct world *w, unsigned pin, unsigned cpu, uint32_t low) {
    io_write(w, 0x11 + 2 * pin, cpu << 24);
    io_write(w, 0x10 + 2 * pin, low);
}
static void out(struct world *w, uint16_t port, uint32_t value) {
    assert_true(soft_chips_port(&w->chips, port, 1, true, &value));
}
static uint32_t in(struct world *w, uint16_t port) {
    uint32_t value = 0;
    assert_true(soft_chips_port(&w->chips, port, 1, false, &value));
    return value & 0xFF;
}

/* ---- local APIC ---- */

static void the_highest_class_is_served_first_and_holds_back_its_own(void **state) {
    struct world *w = *state;
    soft_chips_message(&w->chips, VM_LAPIC_BASE, 0x31);
    soft_chips_message(&w->chips, VM_LAPIC_BASE, 0x52);
    soft_chips_message(&w->chips, VM_LAPIC_BASE, 0x51);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0x52);
    assert_false(soft_apic_is_pending(apic(w, 0))); /* 0x51 is of the same class */
    soft_chips_message(&w->chips, VM_LAPIC_BASE, 0x60);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0x60);
    soft_apic_write(apic(w, 0), EOI, 0);
    assert_false(soft_apic_is_pending(apic(w, 0)));
    soft_apic_write(apic(w, 0), EOI, 0);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0x51);
    soft_apic_write(apic(w, 0), EOI, 0);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0x31);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), -1);
}

static void the_task_priority_holds_back_until_it_falls(void **state) {
    struct world *w = *state;
    soft_apic_set_cr8(apic(w, 0), 4);
    assert_int_equal(soft_apic_read(apic(w, 0), TPR), 0x40);
    soft_chips_message(&w->chips, VM_LAPIC_BASE, 0x4F);
    assert_false(soft_apic_is_pending(apic(w, 0)));
    unsigned before = w->wishes[0][SOFT_WISH_INTERRUPT];
    soft_apic_set_cr8(apic(w, 0), 3);
    assert_true(soft_apic_is_pending(apic(w, 0)));
    assert_int_equal(w->wishes[0][SOFT_WISH_INTERRUPT], before + 1);
}

static void vectors_below_16_are_errors_and_raise_the_error_interrupt_once(void **state) {
    struct world *w = *state;
    soft_apic_write(apic(w, 0), LVT_ERROR, 0xFE);
    soft_apic_write(apic(w, 0), ICR, 1 << 18 | 5);
    soft_chips_message(&w->chips, VM_LAPIC_BASE, 3);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0xFE);
    soft_apic_write(apic(w, 0), ESR, 0);
    assert_int_equal(soft_apic_read(apic(w, 0), ESR), 1 << 5 | 1 << 6);
    soft_apic_write(apic(w, 0), ESR, 0);
    assert_int_equal(soft_apic_read(apic(w, 0), ESR), 0);
}

static void messages_between_processors_reach_whom_they_name(void **state) {
    struct world *w = *state;
    soft_apic_write(apic(w, 1), ICR_HIGH, 2u << 24);
    soft_apic_write(apic(w, 1), ICR, 0x40);
    assert_true(soft_apic_is_pending(apic(w, 2)));
    soft_apic_write(apic(w, 1), ICR, 3 << 18 | 0x41); /* all but itself */
    assert_false(soft_apic_is_pending(apic(w, 1)));
    assert_true(soft_apic_is_pending(apic(w, 0)) && soft_apic_is_pending(apic(w, 3)));
    soft_apic_write(apic(w, 1), ICR, 1 << 18 | 0x42); /* itself */
    assert_int_equal(soft_apic_acknowledge(apic(w, 1)), 0x42);
    soft_apic_write(apic(w, 0), ICR_HIGH, 3u << 24);
    soft_apic_write(apic(w, 0), ICR, 5 << 8 | 1 << 14);
    soft_apic_write(apic(w, 0), ICR, 6 << 8 | 0x9A);
    assert_int_equal(w->wishes[3][SOFT_WISH_INIT], 1);
    assert_int_equal(w->wishes[3][SOFT_WISH_SIPI], 1);
    assert_int_equal(apic(w, 3)->sipi_vector, 0x9A);
    soft_apic_write(apic(w, 0), ICR, 4 << 8);
    assert_int_equal(w->wishes[3][SOFT_WISH_NMI], 1);
}

static void logical_destinations_are_masks(void **state) {
    struct world *w = *state;
    for (unsigned i = 0; i < N_CPUS; i++) soft_apic_write(apic(w, i), LDR, 1u << (24 + i));
    soft_chips_message(&w->chips, VM_LAPIC_BASE | 0xA << 12 | 4, 0x70); /* processors 1 and 3 */
    assert_false(soft_apic_is_pending(apic(w, 0)) || soft_apic_is_pending(apic(w, 2)));
    assert_true(soft_apic_is_pending(apic(w, 1)) && soft_apic_is_pending(apic(w, 3)));
    soft_apic_acknowledge(apic(w, 1));
    soft_chips_message(&w->chips, VM_LAPIC_BASE | 0xA << 12 | 4,
                       0x80 | SOFT_SEND_LOWEST << 8); /* who is less busy */
    assert_false(soft_apic_is_pending(apic(w, 1)));
}

static void x2apic_registers_are_msrs_and_refuse_what_they_are_not(void **state) {
    struct world *w = *state;
    struct soft_apic *a = apic(w, 2);
    uint64_t value;
    assert_false(soft_apic_msr_read(a, 0x802, &value)); /* not in this mode yet */
    assert_true(soft_apic_msr_write(a, 0x1B, VM_LAPIC_BASE | SOFT_APIC_ON | SOFT_APIC_X2));
    assert_true(soft_apic_msr_read(a, 0x802, &value));
    assert_int_equal(value, 2);
    assert_false(soft_apic_msr_write(a, 0x802, 1));
    assert_false(soft_apic_msr_write(a, 0x80B, 1));
    assert_true(soft_apic_msr_write(a, 0x80B, 0));
    assert_false(soft_apic_msr_read(a, 0x80B, &value));
    assert_false(soft_apic_msr_write(a, 0x808, UINT64_C(1) << 32));
    assert_false(soft_apic_msr_read(a, 0x831, &value));
    assert_false(soft_apic_msr_read(a, 0x8FF, &value));
    assert_true(soft_apic_msr_write(a, 0x83F, 0x44)); /* to itself */
    assert_int_equal(soft_apic_acknowledge(a), 0x44);
    assert_true(soft_apic_msr_write(a, 0x830, UINT64_C(1) << 32 | 0x55));
    assert_int_equal(soft_apic_acknowledge(apic(w, 1)), 0x55);
    assert_false(
        soft_apic_msr_write(a, 0x1B, VM_LAPIC_BASE | SOFT_APIC_ON)); /* the way back leads through off */
    assert_true(soft_apic_msr_write(a, 0x1B, VM_LAPIC_BASE));
    assert_false(soft_apic_msr_write(a, 0x1B, VM_LAPIC_BASE | SOFT_APIC_X2));
}

static void its_page_may_be_moved_within_physical_memory(void **state) {
    struct world *w = *state;
    uint64_t value;
    assert_true(soft_apic_msr_write(apic(w, 2), 0x1B, 0xFED40000 | SOFT_APIC_ON));
    assert_true(soft_apic_msr_read(apic(w, 2), 0x1B, &value));
    assert_int_equal(value, 0xFED40000 | SOFT_APIC_ON);
    assert_false(soft_apic_msr_write(apic(w, 2), 0x1B, VM_LAPIC_BASE | SOFT_APIC_ON | UINT64_C(1) << 46));
    assert_false(soft_apic_msr_write(apic(w, 2), 0x1B, VM_LAPIC_BASE | SOFT_APIC_ON | 1));
}

static void any_register_may_be_written_with_anything(void **state) {
    struct world *w = *state;
    uint32_t seed = 1;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t offset = seed >> 8 & 0xFFF, value = seed * 2654435761u;
        switch (seed >> 28) {
        case 0: soft_apic_read(apic(w, i % N_CPUS), offset); break;
        case 1: soft_chips_line(&w->chips, offset % 40, value & 1); break;
        case 2: soft_chips_message(&w->chips, VM_LAPIC_BASE | (value & 0xFFFFF), value >> 3); break;
        case 3: soft_ioapic_write(&w->chips, offset & 0xF0, value); break;
        case 4: soft_apic_acknowledge(apic(w, i % N_CPUS)); break;
        case 5: move_to(w, w->now + offset * 100); break;
        case 6:
        case 7:
            soft_chips_port(&w->chips, (uint16_t)(offset & 0xF3), 1 + (value & 3), value & 4, &value);
            break;
        case 8: soft_apic_msr_write(apic(w, i % N_CPUS), 0x800 + (offset & 0xFF), value); break;
        case 9:
            soft_apic_msr_write(apic(w, i % N_CPUS), 0x1B, (VM_LAPIC_BASE | SOFT_APIC_ON) ^ (value & 0xC00));
            break;
        default: soft_apic_write(apic(w, i % N_CPUS), offset & 0xFF0, value); break;
        }
    }
    for (unsigned i = 0; i < N_CPUS; i++) assert_true(soft_apic_acknowledge(apic(w, i)) < 256);
}

/* ---- its timer ---- */

static void a_count_ends_once_or_again_and_again(void **state) {
    struct world *w = *state;
    soft_apic_write(apic(w, 1), DIVIDE, 0xB); /* by 1 */
    soft_apic_write(apic(w, 1), LVT_TIMER, 0xEC);
    soft_apic_write(apic(w, 1), INITIAL, 1000000);
    move_to(w, 400000);
    assert_int_equal(soft_apic_read(apic(w, 1), CURRENT), 600000);
    assert_false(soft_apic_is_pending(apic(w, 1)));
    move_to(w, 1000000);
    assert_int_equal(soft_apic_acknowledge(apic(w, 1)), 0xEC);
    soft_apic_write(apic(w, 1), EOI, 0);
    assert_int_equal(soft_apic_read(apic(w, 1), CURRENT), 0);
    soft_apic_write(apic(w, 1), LVT_TIMER, 1 << 17 | 0xED);
    soft_apic_write(apic(w, 1), INITIAL, 1000000);
    for (unsigned i = 1; i <= 3; i++) {
        move_to(w, 1000000 + i * 1000000);
        assert_int_equal(soft_apic_acknowledge(apic(w, 1)), 0xED);
        soft_apic_write(apic(w, 1), EOI, 0);
    }
    soft_apic_write(apic(w, 1), LVT_TIMER, MASKED | 1 << 17 | 0xED);
    move_to(w, 9000000);
    assert_false(soft_apic_is_pending(apic(w, 1)));
}

static void a_deadline_of_the_time_stamp_counter_fires_also_when_it_has_passed(void **state) {
    struct world *w = *state;
    uint64_t value;
    soft_apic_write(apic(w, 0), LVT_TIMER, 2 << 17 | 0xEC);
    assert_true(soft_apic_msr_write(apic(w, 0), 0x6E0, 5000));
    assert_true(soft_apic_msr_read(apic(w, 0), 0x6E0, &value));
    assert_int_equal(value, 5000);
    move_to(w, 4999);
    assert_false(soft_apic_is_pending(apic(w, 0)));
    move_to(w, 5000);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0xEC);
    soft_apic_write(apic(w, 0), EOI, 0);
    assert_true(soft_apic_msr_read(apic(w, 0), 0x6E0, &value));
    assert_int_equal(value, 0);
    assert_true(soft_apic_msr_write(apic(w, 0), 0x6E0, 17)); /* at once */
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0xEC);
    assert_true(soft_apic_msr_read(apic(w, 0), 0x6E0, &value));
    assert_int_equal(value, 0);
}

static void a_count_goes_on_when_its_mode_changes(void **state) {
    struct world *w = *state;
    struct soft_apic *a = apic(w, 1);
    soft_apic_write(a, DIVIDE, 0xB);
    soft_apic_write(a, LVT_TIMER, 0xEC);
    soft_apic_write(a, INITIAL, 1000000);
    move_to(w, 600000);
    soft_apic_write(a, LVT_TIMER, 1 << 17 | 0xEC); /* again and again */
    assert_int_equal(soft_apic_read(a, INITIAL), 1000000);
    assert_int_equal(soft_apic_read(a, CURRENT), 400000);
    move_to(w, 1100000);
    assert_int_equal(soft_apic_acknowledge(a), 0xEC);
    soft_apic_write(a, EOI, 0);
    assert_int_equal(soft_apic_read(a, CURRENT), 900000);
    move_to(w, 2700000);
    assert_int_equal(soft_apic_acknowledge(a), 0xEC);
    soft_apic_write(a, EOI, 0);
    soft_apic_write(a, LVT_TIMER, 0xEC); /* once more only */
    assert_int_equal(soft_apic_read(a, CURRENT), 300000);
    move_to(w, 3000000);
    assert_int_equal(soft_apic_acknowledge(a), 0xEC);
    soft_apic_write(a, EOI, 0);
    soft_apic_write(a, LVT_TIMER, 1 << 17 | 0xEC); /* what has ended does not begin again */
    move_to(w, 4500000);
    assert_int_equal(soft_apic_read(a, CURRENT), 0);
    assert_false(soft_apic_is_pending(a));
    soft_apic_write(a, LVT_TIMER, 2 << 17 | 0xEC); /* a deadline disarms */
    assert_int_equal(soft_apic_read(a, INITIAL), 0);
}

/* The guest reads 0 before the clock's thread has run. */
static void a_count_that_has_ended_does_not_begin_again_in_a_new_mode(void **state) {
    struct world *w = *state;
    struct soft_apic *a = apic(w, 1);
    soft_apic_write(a, DIVIDE, 0xB);
    soft_apic_write(a, LVT_TIMER, 0xEC);
    soft_apic_write(a, INITIAL, 1000000);
    w->now = 1000000;
    assert_int_equal(soft_apic_read(a, CURRENT), 0);
    soft_apic_write(a, LVT_TIMER, 1 << 17 | 0xED);
    assert_int_equal(soft_apic_acknowledge(a), 0xEC); /* as it was when the count ended */
    soft_apic_write(a, EOI, 0);
    move_to(w, 2500000);
    assert_int_equal(soft_apic_read(a, CURRENT), 0);
    assert_false(soft_apic_is_pending(a));
}

/* ---- I/O APIC ---- */

static void an_edge_interrupts_once_and_a_level_until_it_is_gone(void **state) {
    struct world *w = *state;
    set_pin(w, 4, 1, 0x34);
    soft_chips_line(&w->chips, 4, true);
    assert_int_equal(soft_apic_acknowledge(apic(w, 1)), 0x34);
    soft_apic_write(apic(w, 1), EOI, 0);
    assert_false(soft_apic_is_pending(apic(w, 1)));
    soft_chips_line(&w->chips, 4, true); /* no edge */
    assert_false(soft_apic_is_pending(apic(w, 1)));

    set_pin(w, 17, 2, 1 << 15 | 0x45);
    soft_chips_line(&w->chips, 17, true);
    assert_int_equal(soft_apic_acknowledge(apic(w, 2)), 0x45);
    assert_true(io_read(w, 0x10 + 34) & 1 << 14);
    soft_apic_write(apic(w, 2), EOI, 0);
    assert_int_equal(soft_apic_acknowledge(apic(w, 2)), 0x45);
    soft_chips_line(&w->chips, 17, false);
    soft_apic_write(apic(w, 2), EOI, 0);
    assert_false(soft_apic_is_pending(apic(w, 2)));
    assert_false(io_read(w, 0x10 + 34) & 1 << 14);
}

static void a_masked_level_waits_for_its_pin(void **state) {
    struct world *w = *state;
    set_pin(w, 18, 0, MASKED | 1 << 15 | 0x46);
    soft_chips_line(&w->chips, 18, true);
    assert_false(soft_apic_is_pending(apic(w, 0)));
    set_pin(w, 18, 0, 1 << 15 | 0x46);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0x46);
    assert_int_equal(io_read(w, 1) >> 16, SOFT_IOAPIC_PINS - 1);
    assert_int_equal(io_read(w, 0xFF), 0);
}

/* ---- 8259 and 8254 ---- */

static void start_pics(struct world *w) {
    static const uint8_t words[2][4] = {{0x11, 0x20, 0x04, 0x01}, {0x11, 0x28, 0x02, 0x01}};
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < 4; k++) out(w, (uint16_t)((i ? 0xA0 : 0x20) + (k > 0)), words[i][k]);
    out(w, 0x21, 0), out(w, 0xA1, 0);
}

static void the_8259s_reach_processor_0_by_priority(void **state) {
    struct world *w = *state;
    soft_apic_write(apic(w, 0), LVT_LINT0, SOFT_SEND_EXTINT << 8);
    start_pics(w);
    soft_chips_line(&w->chips, 8, true);
    soft_chips_line(&w->chips, 4, true);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0x28); /* line 2, so ahead of 4 */
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), -1);   /* in service */
    out(w, 0xA0, 0x20), out(w, 0x20, 0x20);
    assert_int_equal(soft_apic_acknowledge(apic(w, 0)), 0x24);
    out(w, 0x20, 0x0B);
    assert_int_equal(in(w, 0x20), 1 << 4);
    out(w, 0x20, 0x20);
    assert_int_equal(in(w, 0x20), 0);
    out(w, 0x21, 0x10);
    assert_int_equal(in(w, 0x21), 0x10);
    soft_chips_line(&w->chips, 4, false), soft_chips_line(&w->chips, 4, true);
    assert_false(soft_apic_is_pending(apic(w, 0)));
    soft_apic_write(apic(w, 0), LVT_LINT0, MASKED | SOFT_SEND_EXTINT << 8);
    out(w, 0x21, 0);
    assert_false(soft_apic_is_pending(apic(w, 0)));
}

static void channel_0_interrupts_at_its_rate(void **state) {
    struct world *w = *state;
    set_pin(w, VM_GSI_TIMER, 0, 0x30);
    out(w, 0x43, 0x34), out(w, 0x40, 11932 & 0xFF), out(w, 0x40, 11932 >> 8); /* 100 a second */
    unsigned n = 0;
    for (unsigned ms = 1; ms <= 1000; ms++) {
        move_to(w, ms * UINT64_C(1000000));
        if (soft_apic_acknowledge(apic(w, 0)) != 0x30) continue;
        soft_apic_write(apic(w, 0), EOI, 0);
        n++;
    }
    assert_in_range(n, 99, 100);
}

static void channel_2_is_measured_through_its_gate(void **state) {
    struct world *w = *state;
    out(w, 0x61, 0);
    out(w, 0x43, 0xB0), out(w, 0x42, 0x9C), out(w, 0x42, 0x2E); /* mode 0, 11,932 ticks = 10 ms */
    out(w, 0x61, 1);
    move_to(w, 9900000);
    assert_false(in(w, 0x61) & 0x20);
    move_to(w, 10100000);
    assert_true(in(w, 0x61) & 0x20);
    out(w, 0x43, 0x80); /* latched, the count stays as it was */
    uint32_t low = in(w, 0x42);
    move_to(w, 20000000);
    uint32_t count = low | in(w, 0x42) << 8;
    assert_true(count > 0xFF00); /* it went on below zero */
    out(w, 0x43, 0xE8);          /* status of channel 2 */
    assert_int_equal(in(w, 0x42) & 0xBF, 0x80 | 3 << 4);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(the_highest_class_is_served_first_and_holds_back_its_own),
                                       T(the_task_priority_holds_back_until_it_falls),
                                       T(vectors_below_16_are_errors_and_raise_the_error_interrupt_once),
                                       T(messages_between_processors_reach_whom_they_name),
                                       T(logical_destinations_are_masks),
                                       T(x2apic_registers_are_msrs_and_refuse_what_they_are_not),
                                       T(its_page_may_be_moved_within_physical_memory),
                                       T(any_register_may_be_written_with_anything),
                                       T(a_count_ends_once_or_again_and_again),
                                       T(a_deadline_of_the_time_stamp_counter_fires_also_when_it_has_passed),
                                       T(a_count_goes_on_when_its_mode_changes),
                                       T(a_count_that_has_ended_does_not_begin_again_in_a_new_mode),
                                       T(an_edge_interrupts_once_and_a_level_until_it_is_gone),
                                       T(a_masked_level_waits_for_its_pin),
                                       T(the_8259s_reach_processor_0_by_priority),
                                       T(channel_0_interrupts_at_its_rate),
                                       T(channel_2_is_measured_through_its_gate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
