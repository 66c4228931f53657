/* tests/sysvm/cpu/cpuid_test.c: what the processors of a machine say about themselves. */
#include <stdlib.h>
#include "tests/sysvm/suite.h"
#include "sysvm/cpu/kvm/kvm.h"

static struct kvm_cpuid2 *filtered(const struct kvm_cpuid_entry2 *entries, uint32_t n, unsigned index,
                                   unsigned n_cpus) {
    struct kvm_cpuid2 *cpuid = calloc(1, KVM_CPUID_BYTES);
    cpuid->nent = n;
    memcpy(cpuid->entries, entries, n * sizeof *entries);
    kvm_cpuid_filter(cpuid, &(struct kvm_processor){index, n_cpus, true});
    return cpuid;
}

static const struct kvm_cpuid_entry2 *entry_of(const struct kvm_cpuid2 *cpuid, uint32_t function,
                                               uint32_t index) {
    for (uint32_t i = 0; i < cpuid->nent; i++)
        if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
            return cpuid->entries + i;
    return NULL;
}

#define ALL_ONES .eax = UINT32_MAX, .ebx = UINT32_MAX, .ecx = UINT32_MAX, .edx = UINT32_MAX
static const struct kvm_cpuid_entry2 everything[] = {
    {.function = 0, .eax = 0x1F},
    {.function = 1, ALL_ONES},
    {.function = 4, .index = 0, .eax = 0xFC000121 | 0x3FFu << 14},
    {.function = 4, .index = 3, .eax = 0xFC000163 | 0x3FFu << 14},
    {.function = 0xA, ALL_ONES},
    {.function = 0xB, .index = 0, ALL_ONES},
    {.function = 0xB, .index = 1, ALL_ONES},
    {.function = 0x1F, .index = 0, ALL_ONES},
    {.function = 0x80000001, ALL_ONES},
    {.function = 0x80000008, ALL_ONES},
    {.function = 0x8000000A, ALL_ONES},
    {.function = 0x8000001E, ALL_ONES},
};
#define N_EVERYTHING (sizeof everything / sizeof *everything)

static void no_guest_sees_nested_virtualization_or_counters(void **state) {
    (void)state;
    struct kvm_cpuid2 *cpuid = filtered(everything, N_EVERYTHING, 0, 1);
    assert_false(entry_of(cpuid, 1, 0)->ecx & 1u << 5);
    assert_false(entry_of(cpuid, 0x80000001, 0)->ecx & 1u << 2);
    assert_int_equal(entry_of(cpuid, 0x8000000A, 0)->eax, 0);
    assert_int_equal(entry_of(cpuid, 0xA, 0)->eax, 0);
    free(cpuid);
}

static void a_guest_knows_its_hypervisor_and_timer(void **state) {
    (void)state;
    struct kvm_cpuid2 *cpuid = filtered((struct kvm_cpuid_entry2[]){{.function = 1}}, 1, 0, 1);
    assert_true(entry_of(cpuid, 1, 0)->ecx & 1u << 31);
    assert_true(entry_of(cpuid, 1, 0)->ecx & 1u << 24);
    free(cpuid);
}

static void every_processor_has_its_own_id(void **state) {
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        struct kvm_cpuid2 *cpuid = filtered(everything, N_EVERYTHING, i, 6);
        assert_int_equal(entry_of(cpuid, 1, 0)->ebx >> 24, i);
        assert_int_equal(entry_of(cpuid, 0xB, 0)->edx, i);
        assert_int_equal(entry_of(cpuid, 0xB, 1)->edx, i);
        assert_int_equal(entry_of(cpuid, 0x8000001E, 0)->eax, i);
        free(cpuid);
    }
}

static void topology_is_one_package_of_cores(void **state) {
    (void)state;
    struct kvm_cpuid2 *cpuid = filtered(everything, N_EVERYTHING, 1, 6);
    assert_int_equal(entry_of(cpuid, 0xB, 0)->ebx, 1);
    assert_int_equal(entry_of(cpuid, 0xB, 1)->ebx, 6);
    assert_int_equal(entry_of(cpuid, 0xB, 1)->eax, 3); /* 6 processors need 3 bits */
    assert_int_equal(entry_of(cpuid, 0xB, 2)->ebx, 0);
    assert_null(entry_of(cpuid, 0x1F, 0));
    assert_int_equal(entry_of(cpuid, 0x80000008, 0)->ecx & 0xFF, 5);
    assert_int_equal(entry_of(cpuid, 4, 0)->eax >> 14 & 0xFFF, 0); /* first level: its own */
    assert_int_equal(entry_of(cpuid, 4, 3)->eax >> 14 & 0xFFF, 7); /* third level: shared */
    assert_true(entry_of(cpuid, 1, 0)->edx & 1u << 28);
    free(cpuid);
    cpuid = filtered(everything, N_EVERYTHING, 0, 1);
    assert_false(entry_of(cpuid, 1, 0)->edx & 1u << 28);
    assert_int_equal(entry_of(cpuid, 0xB, 1)->eax, 0);
    free(cpuid);
}

static void a_full_table_does_not_overflow(void **state) {
    (void)state;
    struct kvm_cpuid_entry2 *entries = calloc(KVM_MAX_CPUID, sizeof *entries);
    entries[0] = (struct kvm_cpuid_entry2){.function = 0, .eax = 0xB};
    for (uint32_t i = 1; i < KVM_MAX_CPUID; i++) entries[i].function = 0x40000000 + i;
    struct kvm_cpuid2 *cpuid = filtered(entries, KVM_MAX_CPUID, 0, 2);
    assert_int_equal(cpuid->nent, KVM_MAX_CPUID);
    free(cpuid);
    free(entries);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_guest_sees_nested_virtualization_or_counters),
        cmocka_unit_test(a_guest_knows_its_hypervisor_and_timer),
        cmocka_unit_test(every_processor_has_its_own_id),
        cmocka_unit_test(topology_is_one_package_of_cores),
        cmocka_unit_test(a_full_table_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
