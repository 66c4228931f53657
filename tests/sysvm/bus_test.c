/* tests/sysvm/bus_test.c: who answers at an address, and what comes back where nobody does. */
#include "tests/sysvm/suite.h"
#include "sysvm/bus.h"

struct device {
    uint8_t bytes[64];
    unsigned n_accesses, widths; /* widths: bit n = an access of n bytes came */
};

static void dev_read(void *dev, uint64_t offset, void *data, unsigned n_bytes) {
    struct device *d = dev;
    assert_true(offset + n_bytes <= sizeof d->bytes);
    memcpy(data, d->bytes + offset, n_bytes);
    d->n_accesses++, d->widths |= 1u << n_bytes;
}

static void dev_write(void *dev, uint64_t offset, const void *data, unsigned n_bytes) {
    struct device *d = dev;
    assert_true(offset + n_bytes <= sizeof d->bytes);
    memcpy(d->bytes + offset, data, n_bytes);
    d->n_accesses++, d->widths |= 1u << n_bytes;
}

static const struct vm_dev_ops ops = {"test", dev_read, dev_write};

static void accesses_reach_their_device_as_they_are(void **state) {
    (void)state;
    struct vm_bus *bus = vm_bus_new(&atoll_default_alloc);
    struct device low = {0}, high = {0};
    assert_int_equal(vm_bus_add(bus, 0x2000, 64, &ops, &high), 0);
    assert_int_equal(vm_bus_add(bus, 0x1000, 64, &ops, &low), 0);
    uint64_t value = 0x1122334455667788, got = 0;
    for (unsigned n = 1; n <= 8; n *= 2) {
        vm_bus_write(bus, 0x2000 + n, &value, n);
        vm_bus_read(bus, 0x2000 + n, &got, n);
        assert_memory_equal(&got, &value, n);
    }
    assert_int_equal(high.n_accesses, 8);
    assert_int_equal(high.widths, 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8);
    assert_int_equal(low.n_accesses, 0);
    vm_bus_free(bus);
}

static void odd_widths_are_cut_into_even_ones(void **state) {
    (void)state;
    struct vm_bus *bus = vm_bus_new(&atoll_default_alloc);
    struct device dev = {0};
    assert_int_equal(vm_bus_add(bus, 0x1000, 64, &ops, &dev), 0);
    uint8_t bytes[40], got[40];
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i + 1);
    for (unsigned n = 0; n <= 40; n++) {
        memset(got, 0, sizeof got);
        vm_bus_write(bus, 0x1003, bytes, n);
        vm_bus_read(bus, 0x1003, got, n);
        assert_memory_equal(got, bytes, n);
    }
    assert_int_equal(dev.widths & ~(1u << 1 | 1u << 2 | 1u << 4 | 1u << 8), 0);
    vm_bus_free(bus);
}

static void what_nobody_claims_reads_as_ones(void **state) {
    (void)state;
    struct vm_bus *bus = vm_bus_new(&atoll_default_alloc);
    struct device dev = {0};
    uint64_t got = 0;
    vm_bus_read(bus, 0x1000, &got, 8);
    assert_true(got == UINT64_MAX);
    assert_int_equal(vm_bus_add(bus, 0x1000, 2, &ops, &dev), 0);
    vm_bus_read(bus, 0x0FFE, &got, 8); /* two before, two inside, four behind */
    assert_true(got == 0xFFFFFFFF0000FFFF);
    uint64_t zero = 0;
    vm_bus_write(bus, 0x0FFE, &zero, 8);
    vm_bus_write(bus, UINT64_MAX - 3, &zero, 8); /* over the end of addresses */
    vm_bus_read(bus, UINT64_MAX - 3, &got, 8);
    assert_true(got == UINT64_MAX);
    vm_bus_free(bus);
}

static void overlaps_and_empty_regions_are_refused(void **state) {
    (void)state;
    struct vm_bus *bus = vm_bus_new(&atoll_default_alloc);
    struct device dev = {0};
    assert_int_equal(vm_bus_add(bus, 0x1000, 0x10, &ops, &dev), 0);
    assert_int_equal(vm_bus_add(bus, 0x0FFF, 2, &ops, &dev), EEXIST);
    assert_int_equal(vm_bus_add(bus, 0x100F, 1, &ops, &dev), EEXIST);
    assert_int_equal(vm_bus_add(bus, 0, UINT64_MAX, &ops, &dev), EEXIST);
    assert_int_equal(vm_bus_add(bus, 0x2000, 0, &ops, &dev), EINVAL);
    assert_int_equal(vm_bus_add(bus, 0x2000, UINT64_MAX, &ops, &dev), EINVAL);
    assert_int_equal(vm_bus_add(bus, 0x1010, UINT64_MAX - 0x1010 + 1, &ops, &dev), 0);
    assert_int_equal(vm_bus_add(bus, 0x0FF0, 0x10, &ops, &dev), 0);
    vm_bus_free(bus);
}

static void a_removed_region_is_unclaimed(void **state) {
    (void)state;
    struct vm_bus *bus = vm_bus_new(&atoll_default_alloc);
    struct device dev[3] = {0};
    for (unsigned i = 0; i < 3; i++) assert_int_equal(vm_bus_add(bus, 0x1000 * i, 64, &ops, &dev[i]), 0);
    vm_bus_remove(bus, 0x1008); /* inside, not the start */
    vm_bus_remove(bus, 0x5000);
    vm_bus_remove(bus, 0x1000);
    uint32_t got;
    vm_bus_read(bus, 0x1000, &got, 4);
    assert_int_equal(got, 0xFFFFFFFF);
    vm_bus_read(bus, 0x2000, &got, 4);
    assert_int_equal(got, 0);
    assert_int_equal(vm_bus_add(bus, 0x1000, 64, &ops, &dev[1]), 0);
    vm_bus_free(bus);
}

static void accesses_are_counted(void **state) {
    (void)state;
    struct vm_bus *bus = vm_bus_new(&atoll_default_alloc);
    struct device dev = {0};
    const char *name;
    uint64_t base, n;
    uint32_t got;
    assert_int_equal(vm_bus_add(bus, 0x1000, 64, &ops, &dev), 0);
    for (int i = 0; i < 3; i++) vm_bus_read(bus, 0x1000, &got, 4);
    vm_bus_write(bus, 0x2000, &got, 1);
    assert_true(vm_bus_count(bus, 0, &name, &base, &n));
    assert_string_equal(name, "test");
    assert_int_equal(base, 0x1000);
    assert_int_equal(n, 3);
    assert_true(vm_bus_count(bus, 1, &name, &base, &n));
    assert_string_equal(name, "unclaimed");
    assert_int_equal(n, 1);
    assert_false(vm_bus_count(bus, 2, &name, &base, &n));
    vm_bus_free(bus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accesses_reach_their_device_as_they_are),
        cmocka_unit_test(odd_widths_are_cut_into_even_ones),
        cmocka_unit_test(what_nobody_claims_reads_as_ones),
        cmocka_unit_test(overlaps_and_empty_regions_are_refused),
        cmocka_unit_test(a_removed_region_is_unclaimed),
        cmocka_unit_test(accesses_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
