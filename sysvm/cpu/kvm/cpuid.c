/* sysvm/cpu/kvm/cpuid.c: what a processor of a machine says about itself: what the host's KVM supports, less
 * what makes no sense for a guest (nested virtualization, performance counters, power management, tracing),
 * with the topology of this machine: one package, a core a processor, no threads.
 *
 * Source: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux documentation, virt/kvm/x86/cpuid.rst */
#include <string.h>
#include "sysvm/cpu/kvm/kvm.h"

/* Bits that are cleared in a leaf: eax, ebx, ecx, edx. */
struct mask {
    uint32_t function, index;
    uint32_t clear[4];
};

#define BIT(n) (UINT32_C(1) << (n))
#define ALL    UINT32_MAX
static const struct mask masks[] = {
    /* ecx: DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, xTPR, PDCM, DCA. edx: DS, ACPI, TM, PBE */
    {1,
     0,
     {0, 0, BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(14) | BIT(15) | BIT(18),
      BIT(21) | BIT(22) | BIT(29) | BIT(31)}},
    {5, 0, {ALL, ALL, ALL, ALL}},             /* MONITOR/MWAIT */
    {6, 0, {~BIT(2), ALL, ALL, ALL}},         /* power; the timer that always runs stays */
    {7, 0, {0, BIT(2) | BIT(25), BIT(5), 0}}, /* SGX, processor trace; WAITPKG */
    {0xA, 0, {ALL, ALL, ALL, ALL}},           /* performance counters */
    {0x12, 0, {ALL, ALL, ALL, ALL}},          /* SGX */
    {0x14, 0, {ALL, ALL, ALL, ALL}},          /* processor trace */
    /* ecx: SVM, IBS, SKINIT, WDT, NodeId, core and NB performance counters, data breakpoints, L2I counters */
    {0x80000001,
     0,
     {0, 0, BIT(2) | BIT(10) | BIT(12) | BIT(13) | BIT(19) | BIT(23) | BIT(24) | BIT(26) | BIT(28), 0}},
    {0x8000000A, 0, {ALL, ALL, ALL, ALL}}, /* SVM */
    {0x8000001F, 0, {ALL, ALL, ALL, ALL}}, /* encrypted memory */
    {0x80000022, 0, {ALL, ALL, ALL, ALL}}, /* performance counters */
};

static void clear_bits(struct kvm_cpuid_entry2 *entry) {
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        const struct mask *mask = masks + i;
        if (mask->function != entry->function || mask->index != entry->index) continue;
        entry->eax &= ~mask->clear[0];
        entry->ebx &= ~mask->clear[1];
        entry->ecx &= ~mask->clear[2];
        entry->edx &= ~mask->clear[3];
    }
}

/* Bits of an APIC id that number the processors. */
static unsigned id_bits(const struct kvm_processor *p) {
    unsigned bits = 0;
    while ((1u << bits) < p->n_cpus) bits++;
    return bits;
}

/* Leaf 1: APIC id, number of ids; hypervisor, TSC deadline; several processors. */
static void set_identity(struct kvm_cpuid_entry2 *entry, const struct kvm_processor *p) {
    unsigned ids = 1u << id_bits(p);
    entry->ebx = (entry->ebx & 0xFFFF) | (ids > 255 ? 255 : ids) << 16 | (p->index & 0xFF) << 24;
    entry->ecx |= BIT(31);
    if (p->has_tsc_deadline) entry->ecx |= BIT(24);
    entry->edx = p->n_cpus > 1 ? entry->edx | BIT(28) : entry->edx & ~BIT(28);
}

/* Leaf 4 and 0x8000001D: caches; the last level is shared by all, the others by none. */
static void set_cache(struct kvm_cpuid_entry2 *entry, const struct kvm_processor *p) {
    unsigned level = entry->eax >> 5 & 7;
    uint32_t sharing = level >= 3 ? (1u << id_bits(p)) - 1 : 0;
    entry->eax = (entry->eax & 0x3FFF) | (sharing & 0xFFF) << 14;
    if (entry->function == 4) entry->eax |= (((1u << id_bits(p)) - 1) & 0x3F) << 26;
}

static void set_amd_topology(struct kvm_cpuid_entry2 *entry, const struct kvm_processor *p) {
    if (entry->function == 0x80000008) {
        entry->ecx = p->n_cpus > 1 ? id_bits(p) << 12 | ((p->n_cpus - 1) & 0xFF) : 0;
    } else { /* 0x8000001E: id, core, node */
        entry->eax = p->index;
        entry->ebx = p->index & 0xFF;
        entry->ecx = entry->edx = 0;
    }
}

static void set_entry(struct kvm_cpuid_entry2 *entry, const struct kvm_processor *p) {
    clear_bits(entry);
    switch (entry->function) {
    case 1: set_identity(entry, p); break;
    case 4:
    case 0x8000001D: set_cache(entry, p); break;
    case 0x80000008:
    case 0x8000001E: set_amd_topology(entry, p); break;
    default: break;
    }
}

static bool is_topology(const struct kvm_cpuid_entry2 *entry) {
    return entry->function == 0xB || entry->function == 0x1F;
}

/* Leaf 0xB: threads (one), cores, end. */
static void add_topology(struct kvm_cpuid2 *cpuid, const struct kvm_processor *p) {
    enum { LEVEL_THREAD = 1, LEVEL_CORE = 2 };
    const struct kvm_cpuid_entry2 levels[] = {
        {.eax = 0, .ebx = 1, .ecx = 0 | LEVEL_THREAD << 8},
        {.eax = id_bits(p), .ebx = p->n_cpus, .ecx = 1 | LEVEL_CORE << 8},
        {.ecx = 2},
    };
    for (uint32_t i = 0; i < 3 && cpuid->nent < KVM_MAX_CPUID; i++) {
        struct kvm_cpuid_entry2 *entry = cpuid->entries + cpuid->nent++;
        *entry = levels[i];
        entry->function = 0xB;
        entry->index = i;
        entry->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        entry->edx = p->index;
    }
}

void kvm_cpuid_filter(struct kvm_cpuid2 *cpuid, const struct kvm_processor *p) {
    uint32_t n = 0, max = 0;
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *entry = cpuid->entries + i;
        if (entry->function == 0) max = entry->eax;
        if (is_topology(entry)) continue;
        set_entry(entry, p);
        cpuid->entries[n++] = *entry;
    }
    cpuid->nent = n;
    if (max >= 0xB) add_topology(cpuid, p);
}
