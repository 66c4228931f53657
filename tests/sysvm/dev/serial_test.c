/* tests/sysvm/dev/serial_test.c: the port as drivers probe it, use it, and misuse it. */
#include "sysvm/dev/platform/serial.h"
#include "tests/sysvm/dev/board.h"
#include "tests/sysvm/dev/stream_end.h"

#define PORT VM_PORT_SERIAL
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct fixture {
    struct board *b;
    struct stream_end end;
    struct vm_serial *serial;
    struct vm_stream_device device;
};

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    f->b = board_new();
    f->end.room = SIZE_MAX;
    struct vm_serial_config config = {.alloc = &atoll_default_alloc,
                                      .loop = f->b->loop,
                                      .ports = f->b->ports,
                                      .irq = &f->b->irq,
                                      .port = PORT,
                                      .gsi = VM_GSI_SERIAL,
                                      .end = {&stream_end_ops, &f->end}};
    assert_int_equal(vm_serial_new(&config, &f->serial, NULL), 0);
    f->device = vm_serial_stream(f->serial);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    vm_loop_lock(f->b->loop);
    vm_serial_free(f->serial);
    vm_loop_unlock(f->b->loop);
    board_free(f->b);
    test_free(f);
    return 0;
}

static uint8_t get(struct fixture *f, unsigned r) { return (uint8_t)board_in(f->b, (uint16_t)(PORT + r), 1); }
static void set(struct fixture *f, unsigned r, uint8_t value) {
    board_out(f->b, (uint16_t)(PORT + r), value, 1);
}
static void say(struct fixture *f, const char *text) {
    for (; *text; text++) set(f, DATA, (uint8_t)*text);
}
static size_t hear(struct fixture *f, const char *text) {
    vm_loop_lock(f->b->loop);
    size_t n = f->device.ops->receive(f->device.device, (const uint8_t *)text, strlen(text));
    vm_loop_unlock(f->b->loop);
    return n;
}
static bool line(struct fixture *f) { return f->b->lines[VM_GSI_SERIAL]; }

static void output_arrives_by_lines(void **state) {
    struct fixture *f = *state;
    say(f, "one\ntwo\nrest");
    board_settle(f->b);
    assert_string_equal(f->end.text, "one\ntwo\nrest");
    assert_true(f->end.n_writes <= 12);
    assert_int_equal(get(f, LSR), 0x60);
}

static void a_driver_finds_a_16550a(void **state) {
    struct fixture *f = *state;
    set(f, IER, 0); /* what probing kernels do */
    assert_int_equal(get(f, IER), 0);
    set(f, IER, 0xFF);
    assert_int_equal(get(f, IER), 0x0F);
    set(f, IER, 0);
    set(f, MCR, 0x1A); /* loopback: RTS and OUT2 come back as CTS and DCD */
    assert_int_equal(get(f, MSR) & 0xF0, 0x90);
    set(f, MCR, 0x08);
    set(f, LCR, 0x80);
    set(f, DATA, 1);
    set(f, IER, 2);
    assert_int_equal(get(f, DATA), 1);
    assert_int_equal(get(f, IER), 2);
    set(f, LCR, 3);
    assert_int_equal(get(f, LCR), 3);
    assert_int_equal(get(f, IER), 0);
    set(f, SCR, 0xA5);
    assert_int_equal(get(f, SCR), 0xA5);
    assert_int_equal(get(f, IIR) >> 6, 0);
    set(f, IIR, 1);
    assert_int_equal(get(f, IIR) >> 6, 3);
    set(f, IIR, 0);
    assert_int_equal(get(f, IIR) >> 6, 0);
}

static void loopback_returns_what_is_sent(void **state) {
    struct fixture *f = *state;
    set(f, IIR, 1);
    set(f, MCR, 0x10);
    for (uint8_t i = 0; i < 16; i++) set(f, DATA, i);
    assert_int_equal(get(f, LSR), 0x61);
    assert_int_equal(hear(f, "x"), 0); /* the line is cut */
    set(f, DATA, 99);                  /* one too many */
    assert_int_equal(get(f, LSR), 0x63);
    assert_int_equal(get(f, LSR), 0x61);
    for (uint8_t i = 0; i < 16; i++) assert_int_equal(get(f, DATA), i);
    assert_int_equal(get(f, LSR), 0x60);
    board_settle(f->b);
    assert_int_equal(f->end.n, 0);
    assert_int_equal(f->end.n_wanted, 0);
    set(f, MCR, 0x08);
    assert_int_equal(f->end.n_wanted, 1);
}

static void the_empty_transmitter_interrupts_once(void **state) {
    struct fixture *f = *state;
    assert_false(line(f));
    set(f, IER, 2);
    assert_true(line(f)); /* enabling asks for it */
    assert_int_equal(get(f, IIR) & 15, 2);
    assert_false(line(f));
    assert_int_equal(get(f, IIR) & 15, 1);
    set(f, DATA, 'x');
    assert_true(line(f));
    set(f, IER, 0);
    assert_false(line(f));
    set(f, IER, 2);
    assert_int_equal(get(f, IIR) & 15, 2);
    set(f, IER, 2); /* no change, no interrupt */
    assert_int_equal(get(f, IIR) & 15, 1);
}

static void input_interrupts_and_waits_for_room(void **state) {
    struct fixture *f = *state;
    set(f, IER, 1);
    set(f, IIR, 0x81); /* FIFO, level 8 */
    assert_int_equal(hear(f, "abc"), 3);
    assert_true(line(f));
    assert_int_equal(get(f, IIR) & 15, 12);
    assert_int_equal(hear(f, "0123456789ABCDEF"), 13);
    assert_int_equal(get(f, IIR) & 15, 4);
    assert_int_equal(hear(f, "!"), 0);
    char text[17] = "";
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(f->end.n_wanted, 0);
        assert_int_equal(get(f, LSR) & 1, 1);
        text[i] = (char)get(f, DATA);
    }
    assert_string_equal(text, "abc0123456789ABC");
    assert_int_equal(f->end.n_wanted, 1);
    assert_false(line(f));
    assert_int_equal(get(f, DATA), 0); /* nothing there */
    set(f, IIR, 0);
    assert_int_equal(hear(f, "xy"), 1); /* without FIFO: one */
}

static void the_most_urgent_reason_comes_first(void **state) {
    struct fixture *f = *state;
    set(f, IIR, 1);
    set(f, MCR, 0x10);
    get(f, MSR);
    set(f, IER, 0x0F);
    for (unsigned i = 0; i < 17; i++) set(f, DATA, 'x');
    set(f, MCR, 0x12);
    assert_int_equal(get(f, IIR) & 15, 6);
    get(f, LSR);
    assert_int_equal(get(f, IIR) & 15, 4);
    set(f, IIR, 3);
    assert_int_equal(get(f, IIR) & 15, 2);
    assert_int_equal(get(f, IIR) & 15, 0);
    assert_int_equal(get(f, MSR) & 15, 1);
    assert_int_equal(get(f, IIR) & 15, 1);
    assert_false(line(f));
}

static void a_slow_terminal_fills_the_transmitter_and_no_more(void **state) {
    struct fixture *f = *state;
    f->end.room = 0;
    unsigned n = 0;
    while (get(f, LSR) & 0x20) {
        set(f, DATA, (uint8_t)('a' + n++ % 26));
        assert_true(n < 10000);
    }
    assert_true(n > 1000);
    set(f, IER, 2);
    assert_false(line(f));
    for (unsigned i = 0; i < 100000; i++) set(f, DATA, '!'); /* a guest that does not look */
    f->end.room = SIZE_MAX;
    vm_loop_lock(f->b->loop);
    f->device.ops->writable(f->device.device);
    vm_loop_unlock(f->b->loop);
    assert_true(line(f));
    assert_int_equal(get(f, IIR) & 15, 2);
    assert_int_equal(get(f, LSR), 0x60);
    assert_true(f->end.n >= n && f->end.n <= n + 16);
    for (unsigned i = 0; i < n; i++) assert_int_equal(f->end.text[i], 'a' + i % 26);
}

static void what_is_left_goes_out_at_the_end(void **state) {
    struct fixture *f = *state;
    f->end.room = 2;
    say(f, "hello");
    board_settle(f->b);
    assert_string_equal(f->end.text, "he");
    f->end.room = SIZE_MAX;
    vm_loop_lock(f->b->loop);
    vm_serial_free(f->serial);
    f->serial = NULL;
    vm_loop_unlock(f->b->loop);
    assert_string_equal(f->end.text, "hello");
    assert_int_equal(get(f, LSR), 0xFF);
}

/* What is written without interrupts, in capitals. */
static size_t write_polled(void *end, const uint8_t *bytes, size_t n) {
    struct stream_end *e = end;
    size_t from = e->n, taken = stream_end_write(end, bytes, n);
    for (size_t i = from; i < from + taken; i++) e->text[i] = (char)(e->text[i] - 'a' + 'A');
    return taken;
}

static void output_without_interrupts_is_told_apart(void **state) {
    struct fixture *f = *state;
    static const struct vm_stream_ops ops = {stream_end_write, stream_end_wanted, write_polled};
    struct vm_serial_config config = {.alloc = &atoll_default_alloc,
                                      .loop = f->b->loop,
                                      .ports = f->b->ports,
                                      .irq = &f->b->irq,
                                      .port = PORT - 0x100,
                                      .gsi = VM_GSI_SERIAL,
                                      .end = {&ops, &f->end}};
    struct vm_serial *second;
    assert_int_equal(vm_serial_new(&config, &second, NULL), 0);
    f->end.room = 4;
    for (const char *c = "kernel"; *c; c++) board_out(f->b, PORT - 0x100, (uint8_t)*c, 1);
    board_out(f->b, PORT - 0x100 + IER, 2, 1);
    for (const char *c = "shell"; *c; c++) board_out(f->b, PORT - 0x100, (uint8_t)*c, 1);
    board_out(f->b, PORT - 0x100 + IER, 0, 1);
    board_out(f->b, PORT - 0x100, 'k', 1);
    board_settle(f->b);
    assert_string_equal(f->end.text, "KERN");
    f->end.room = SIZE_MAX;
    vm_loop_lock(f->b->loop);
    vm_serial_free(second);
    vm_loop_unlock(f->b->loop);
    assert_string_equal(f->end.text, "KERNELshellK");
}

static void wide_accesses_are_one_for_each_register(void **state) {
    struct fixture *f = *state;
    board_out(f->b, PORT + MCR, 0x5A0000 | 0x0B, 4);
    assert_int_equal(get(f, MCR), 0x0B);
    assert_int_equal(get(f, SCR), 0);
    assert_int_equal(board_in(f->b, PORT + LCR, 4) >> 8 & 0xFF, 0x0B);
    board_in(f->b, PORT + SCR, 4);
    board_in(f->b, PORT - 1, 4);
    board_out(f->b, PORT + MSR, UINT64_MAX, 4);
}

static void taken_ports_are_an_error(void **state) {
    struct fixture *f = *state;
    struct vm_serial *second = NULL;
    struct atoll_error err = {0};
    struct vm_serial_config config = {.alloc = &atoll_default_alloc,
                                      .loop = f->b->loop,
                                      .ports = f->b->ports,
                                      .irq = &f->b->irq,
                                      .port = PORT + 4};
    assert_int_equal(vm_serial_new(&config, &second, &err), ATOLL_E_USAGE);
    assert_non_null(strstr(err.text, "serial at 0x3fc"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(output_arrives_by_lines),
        TEST(a_driver_finds_a_16550a),
        TEST(loopback_returns_what_is_sent),
        TEST(the_empty_transmitter_interrupts_once),
        TEST(input_interrupts_and_waits_for_room),
        TEST(the_most_urgent_reason_comes_first),
        TEST(a_slow_terminal_fills_the_transmitter_and_no_more),
        TEST(what_is_left_goes_out_at_the_end),
        TEST(output_without_interrupts_is_told_apart),
        TEST(wide_accesses_are_one_for_each_register),
        TEST(taken_ports_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
