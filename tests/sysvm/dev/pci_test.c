/* tests/sysvm/dev/pci_test.c: configuration space by both ways, BARs that move and collide, the reset port. */
#include "tests/sysvm/dev/board.h"

#define ONES(n) ((n) == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * (n)) - 1)

static int set_up(void **state) {
    *state = board_new();
    return 0;
}

static int tear_down(void **state) {
    board_free(*state);
    return 0;
}

/* A function whose BAR reads as its tag. */
struct plain {
    struct pci_function function;
    uint8_t tag;
    unsigned n_moves;
};

static void plain_read(void *dev, uint64_t offset, void *data, unsigned n) {
    assert_true(offset + n <= ((struct pci_function *)dev)->bar.size);
    memset(data, ((struct plain *)dev)->tag, n);
}
static void plain_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    (void)dev, (void)offset, (void)data, (void)n;
}
static const struct vm_dev_ops plain_bar = {"plain", plain_read, plain_write};
static void plain_moved(struct pci_function *f) { ((struct plain *)f)->n_moves++; }
static void plain_free(struct pci_function *f) { free(f); }
static const struct pci_function_ops plain_ops = {.moved = plain_moved, .free = plain_free};

static struct plain *add_plain(struct board *b, uint8_t tag, uint32_t bar_size) {
    struct plain *p = calloc(1, sizeof *p);
    pci_function_init(&p->function, &plain_ops, 0x1234, 0x5678, 0x00FF00);
    p->function.bar = (struct pci_bar){.size = bar_size, .ops = &plain_bar};
    p->tag = tag;
    return pci_root_add(b->root, &p->function, NULL) ? NULL : p;
}

static uint64_t by_ports(struct board *b, unsigned slot, unsigned offset, unsigned n) {
    board_out(b, 0xCF8, 0x80000000 | slot << 11 | (offset & ~3u), 4);
    return board_in(b, (uint16_t)(0xCFC + offset % 4), n);
}

static void both_ways_show_the_same(void **state) {
    struct board *b = *state;
    add_plain(b, 1, 0x1000);
    assert_int_equal(board_config(b, 0, PCI_CLASS, 4) & 0xFFFFFF, 0x060000); /* the host bridge */
    for (unsigned slot = 0; slot < 2; slot++)
        for (unsigned offset = 0; offset < 256; offset += 4) {
            assert_int_equal(by_ports(b, slot, offset, 4), board_config(b, slot, offset, 4));
            for (unsigned i = 0; i < 4; i++)
                assert_int_equal(by_ports(b, slot, offset + i, 1), board_config(b, slot, offset + i, 1));
        }
}

static void what_is_not_there_reads_as_ones(void **state) {
    struct board *b = *state;
    static const uint64_t absent[] = {1 << 15, 31 << 15, 1 << 12, 7 << 12, 1 << 20, 255 << 20};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        for (unsigned n = 1; n <= 8; n *= 2) {
            board_store(b, VM_ECAM_BASE + absent[i], 0, n);
            assert_true(board_load(b, VM_ECAM_BASE + absent[i], n) == ONES(n));
        }
    assert_int_equal(by_ports(b, 1, 0, 4), ONES(4));
    board_out(b, 0xCF8, 0x00000000, 4); /* slot 0, not enabled */
    assert_int_equal(board_in(b, 0xCFC, 4), ONES(4));
    board_out(b, 0xCF8, 0x80010000, 4); /* bus 1 */
    assert_int_equal(board_in(b, 0xCFC, 4), ONES(4));
    board_out(b, 0xCF8, 0x80000100, 4); /* function 1 */
    assert_int_equal(board_in(b, 0xCFC, 4), ONES(4));
}

static void every_width_and_offset_is_bytes_of_the_same_space(void **state) {
    struct board *b = *state;
    add_plain(b, 1, 0x1000);
    for (unsigned offset = 0; offset < 0x110; offset++)
        for (unsigned n = 1; n <= 8; n++) {
            uint64_t expected = 0;
            for (unsigned i = 0; i < n; i++) expected |= board_config(b, 1, offset + i, 1) << 8 * i;
            assert_true(board_config(b, 1, offset, n) == expected);
        }
    assert_int_equal(board_config(b, 1, 0x100, 4), 0);
    assert_int_equal(board_config(b, 1, 0xFFC, 4), 0);
    assert_true(board_config(b, 1, 0xFFF, 1) == 0);
}

static void accesses_over_the_edge_of_the_data_port_reach_nothing(void **state) {
    struct board *b = *state;
    board_out(b, 0xCF8, 0x80000000, 4);
    uint64_t before = board_config(b, 0, 0, 8);
    assert_int_equal(board_in(b, 0xCFC, 4), before & ONES(4));
    for (unsigned port = 0xCF4; port < 0xD04; port++)
        for (unsigned n = 1; n <= 4; n++) {
            if (port == 0xCF8 && n == 4) continue;
            board_in(b, (uint16_t)port, n);
            board_out(b, (uint16_t)port, 0, n);
        }
    assert_true(board_config(b, 0, 0, 8) == before);
}

static void identification_cannot_be_written(void **state) {
    struct board *b = *state;
    add_plain(b, 1, 0);
    uint8_t before[64];
    for (unsigned i = 0; i < 64; i++) before[i] = (uint8_t)board_config(b, 1, i, 1);
    for (unsigned i = 0; i < 64; i += 8) board_set_config(b, 1, i, UINT64_MAX, 8);
    for (unsigned i = 0; i < 64; i++)
        if (i != PCI_COMMAND && i != PCI_COMMAND + 1 && i != PCI_INTERRUPT_LINE)
            assert_int_equal(board_config(b, 1, i, 1), before[i]);
    assert_int_equal(board_config(b, 1, PCI_COMMAND, 2),
                     PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
}

static void a_bar_tells_its_size_and_answers_where_it_is_put(void **state) {
    struct board *b = *state;
    struct plain *p = add_plain(b, 0x5A, 0x4000);
    uint64_t first = board_config(b, 1, PCI_BAR0, 4);
    assert_int_equal(first % 0x4000, 0);
    assert_true(first >= VM_PCI_MEMORY_BASE && first < VM_PCI_MEMORY_BASE + VM_PCI_MEMORY_SIZE);
    assert_int_equal(board_load(b, first, 1), 0xFF); /* decoding is off */
    board_set_config(b, 1, PCI_BAR0, UINT32_MAX, 4);
    assert_int_equal(board_config(b, 1, PCI_BAR0, 4), 0xFFFFC000);
    board_set_config(b, 1, PCI_BAR0, first, 4);
    board_set_config(b, 1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(board_load(b, first + 0x3FFF, 1), 0x5A);
    assert_int_equal(board_load(b, first + 0x4000, 1), 0xFF);
    board_set_config(b, 1, PCI_BAR0 + 3, 0xD1, 1); /* one byte of it */
    uint64_t second = board_config(b, 1, PCI_BAR0, 4);
    assert_int_equal(second >> 24, 0xD1);
    assert_int_equal(board_load(b, first, 1), 0xFF);
    assert_int_equal(board_load(b, second, 1), 0x5A);
    board_set_config(b, 1, PCI_COMMAND, 0, 2);
    assert_int_equal(board_load(b, second, 1), 0xFF);
    assert_int_equal(p->n_moves, 3);
}

static void bars_that_collide_leave_the_later_one_nowhere(void **state) {
    struct board *b = *state;
    add_plain(b, 1, 0x4000);
    struct plain *second = add_plain(b, 2, 0x1000);
    uint64_t at = board_config(b, 1, PCI_BAR0, 4), own = board_config(b, 2, PCI_BAR0, 4);
    assert_int_equal(own, at + 0x4000);
    board_set_config(b, 1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    board_set_config(b, 2, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    board_set_config(b, 2, PCI_BAR0, at + 0x1000, 4);
    assert_int_equal(second->function.bar.mapped_at, 0);
    assert_int_equal(board_load(b, at + 0x1000, 1), 1);
    board_set_config(b, 2, PCI_BAR0, own, 4);
    assert_int_equal(board_load(b, own, 1), 2);
    /* over configuration space itself, at 0, at the end of addresses */
    static const uint32_t bad[] = {0xE0000000, 0xE0008000, 0xE00FF000, 0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        board_set_config(b, 2, PCI_BAR0, bad[i], 4);
        assert_int_equal(second->function.bar.mapped_at, 0);
        assert_int_equal(board_config(b, 2, PCI_VENDOR, 2), 0x1234);
    }
    board_set_config(b, 2, PCI_BAR0, 0xFFFFF000, 4);
    assert_int_equal(board_load(b, 0xFFFFFFFF, 1), 2);
}

static void a_line_is_up_while_any_function_asserts_it(void **state) {
    struct board *b = *state;
    struct plain *p[6];
    for (unsigned i = 0; i < 6; i++) p[i] = add_plain(b, 1, 0);
    unsigned gsi = vm_pci_gsi(1, 0);
    assert_int_equal(vm_pci_gsi(5, 0), gsi); /* four slots on */
    pci_set_intx(&p[0]->function, &b->irq, true);
    assert_true(b->lines[gsi]);
    pci_set_intx(&p[4]->function, &b->irq, true);
    pci_set_intx(&p[4]->function, &b->irq, true);
    pci_set_intx(&p[0]->function, &b->irq, false);
    assert_true(b->lines[gsi]);
    pci_set_intx(&p[1]->function, &b->irq, true);
    pci_set_intx(&p[4]->function, &b->irq, false);
    assert_false(b->lines[gsi]);
    assert_true(b->lines[vm_pci_gsi(2, 0)]);
    assert_int_equal(b->n_edges, 3);
}

static void a_full_bus_refuses_more(void **state) {
    struct board *b = *state;
    for (unsigned i = 1; i < PCI_SLOTS; i++) assert_non_null(add_plain(b, 1, 0x1000));
    struct atoll_error err = {0};
    struct plain *p = calloc(1, sizeof *p);
    pci_function_init(&p->function, &plain_ops, 1, 2, 3);
    assert_int_equal(pci_root_add(b->root, &p->function, &err), ATOLL_E_LIMIT);
    assert_string_equal(err.text, "no room on the PCI bus for more than 31 devices");
}

static void addresses_for_bars_run_out_cleanly(void **state) {
    struct board *b = *state;
    assert_non_null(add_plain(b, 1, 0x10000000));
    assert_non_null(add_plain(b, 1, 0x1000));
    assert_null(add_plain(b, 1, 0x10000000));
    assert_non_null(add_plain(b, 1, 0x1000));
}

static void the_reset_port_resets_when_its_bit_rises(void **state) {
    struct board *b = *state;
    board_out(b, 0xCF9, 0x02, 1);
    assert_int_equal(b->n_resets, 0);
    board_out(b, 0xCF9, 0x06, 1);
    assert_int_equal(b->n_resets, 1);
    board_out(b, 0xCF9, 0x0E, 1); /* it is up already */
    assert_int_equal(b->n_resets, 1);
    assert_int_equal(board_in(b, 0xCF9, 1), 0x0E);
    board_out(b, 0xCF8, 0x80000600, 4); /* an address, not a reset */
    assert_int_equal(b->n_resets, 1);
}

static void taken_addresses_are_an_error_and_stay_their_owners(void **state) {
    struct board *b = *state;
    struct pci_root *second = NULL;
    struct atoll_error err = {0};
    struct pci_root_config config = {.alloc = &atoll_default_alloc, .ports = b->ports, .memory = b->bus};
    assert_int_equal(pci_root_new(&config, &second, &err), ATOLL_E_USAGE);
    assert_non_null(strstr(err.text, "pci-ports at 0xcf8"));
    assert_int_equal(board_config(b, 0, PCI_CLASS, 4) & 0xFFFFFF, 0x060000);
    assert_int_equal(by_ports(b, 0, PCI_CLASS, 1), 0);
    assert_int_equal(by_ports(b, 0, PCI_CLASS + 2, 1), 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(both_ways_show_the_same),
        TEST(what_is_not_there_reads_as_ones),
        TEST(every_width_and_offset_is_bytes_of_the_same_space),
        TEST(accesses_over_the_edge_of_the_data_port_reach_nothing),
        TEST(identification_cannot_be_written),
        TEST(a_bar_tells_its_size_and_answers_where_it_is_put),
        TEST(bars_that_collide_leave_the_later_one_nowhere),
        TEST(a_line_is_up_while_any_function_asserts_it),
        TEST(a_full_bus_refuses_more),
        TEST(addresses_for_bars_run_out_cleanly),
        TEST(the_reset_port_resets_when_its_bit_rises),
        TEST(taken_addresses_are_an_error_and_stay_their_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
