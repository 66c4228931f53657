/* sysvm/cpu/soft/cpuid.c: what the processor says about itself: what is implemented, less what the host lacks where
 * instructions run on its registers (vector.h), with the topology of this machine: one package, a core a processor.
 *
 * The vendor is the one whose syscall, sysret and null segments are implemented; the model is one that kernels know no
 * errata of, and know to run nothing ahead of time, as it is here: they then leave out what they do against that at
 * each indirect jump, which costs more in software than in hardware.
 * Source: Intel SDM volume 2, CPUID; Linux documentation, virt/kvm/x86/cpuid.rst. */
#include <cpuid.h>
#include <string.h>
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"
#include "sysvm/cpu/soft/vector.h"

#define BIT(n) (UINT32_C(1) << (n))

enum { MAX_BASIC = 0x16, FAMILY_MODEL = 0x00030661 };
#define MAX_EXTENDED   0x80000008u
#define HYPERVISOR     0x40000000u
#define HYPERVISOR_MAX 0x40000001u

/* ---- features: those that are the engine's own, and those that the host has to have ---- */

enum {
    /* leaf 1, ecx: SSE3, PCLMUL, SSSE3, FMA, SSE4.1, SSE4.2, AES, AVX, F16C */
    C1_HOST = 1 << 0 | 1 << 1 | 1 << 9 | 1 << 12 | 1 << 19 | 1 << 20 | 1 << 25 | 1 << 28 | 1 << 29,
    /* CX16, PCID, x2APIC, MOVBE, POPCNT, TSC deadline, XSAVE, RDRAND */
    C1_OWN = 1 << 13 | 1 << 17 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 26 | 1 << 30,
    /* leaf 1, edx: FPU, MMX, FXSR, SSE, SSE2 */
    D1_HOST = 1 << 0 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26,
    /* DE, PSE, TSC, MSR, PAE, CX8, APIC, SEP, MTRR, PGE, CMOV, PAT, PSE36, CLFLUSH */
    D1_OWN = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11 | 1 << 12 | 1 << 13 |
             1 << 15 | 1 << 16 | 1 << 17 | 1 << 19,
    /* leaf 7, ebx: BMI1, AVX2, BMI2, ADX, SHA */
    B7_HOST = 1 << 3 | 1 << 5 | 1 << 8 | 1 << 19 | 1 << 29,
    /* FSGSBASE, SMEP, ERMS, INVPCID, RDSEED, SMAP, CLFLUSHOPT, CLWB */
    B7_OWN = 1 << 0 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 18 | 1 << 20 | 1 << 23 | 1 << 24,
    C7_HOST = 1 << 8 | 1 << 9 | 1 << 10, /* leaf 7, ecx: GFNI, VAES, VPCLMULQDQ */
    C7_OWN = 1 << 2 | 1 << 22,           /* UMIP, RDPID */
    D7_OWN = 1 << 29,                    /* leaf 7, edx: ARCH_CAPABILITIES */
    CX_OWN = 1 << 0 | 1 << 5 | 1 << 8,   /* 0x80000001, ecx: LAHF, LZCNT, PREFETCHW */
    DX_OWN = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 |
             1 << 29 /* edx: SYSCALL, NX, pages of 1 GiB, RDTSCP, long mode */
};

void soft_host_ask(struct soft_host *out) {
    uint32_t unused[2];
    *out = (struct soft_host){0};
    __get_cpuid(1, &unused[0], &unused[1], &out->ecx_1, &out->edx_1);
    __get_cpuid_count(7, 0, &unused[0], &out->ebx_7, &out->ecx_7, &unused[1]);
    if (native_host_has_avx()) return;
    /* Its kernel keeps no wide registers: what is encoded as they are cannot run. */
    out->ecx_1 &= ~(BIT(12) | BIT(28) | BIT(29)); /* FMA, AVX, F16C */
    out->ecx_7 &= ~(BIT(9) | BIT(10));            /* VAES, VPCLMULQDQ */
    out->ebx_7 &= ~(BIT(3) | BIT(5) | BIT(8));    /* BMI1, AVX2, BMI2 */
}

/* Bits of an APIC id that number the processors. */
static unsigned id_bits(const struct soft_cpu *cpu) {
    unsigned bits = 0;
    while ((1u << bits) < cpu->engine->config.n_cpus) bits++;
    return bits;
}

/* The components that XCR0 may turn on: x87, SSE, and AVX where the host has it. */
static uint32_t components(const struct soft_cpu *cpu) { return cpu->engine->host.ecx_1 & BIT(28) ? 7 : 3; }

/* ---- leaves ---- */

static struct soft_cpuid leaf_1(const struct soft_cpu *cpu) {
    enum { CLFLUSH_64 = 8 << 8 };
    struct soft_cpuid out = {.eax = FAMILY_MODEL};
    const struct soft_host *has = &cpu->engine->host;
    unsigned ids = 1u << id_bits(cpu);
    out.ebx = CLFLUSH_64 | (ids > 255 ? 255 : ids) << 16 | (uint32_t)cpu->index << 24;
    out.ecx = (has->ecx_1 & C1_HOST) | C1_OWN | BIT(31);
    out.edx = (has->edx_1 & D1_HOST) | D1_OWN;
    if (!(has->ecx_1 & BIT(30))) out.ecx &= ~BIT(30); /* random numbers are the host's */
    if (cpu->cr4 & SOFT_CR4_OSXSAVE) out.ecx |= BIT(27);
    if (cpu->apic && !(cpu->apic->base & SOFT_APIC_ON)) out.edx &= ~BIT(9);
    if (cpu->engine->config.n_cpus > 1) out.edx |= BIT(28);
    return out;
}

/* Caches, by subleaf: size in KiB, associativity, level, type (1 data, 2 instructions, 3 both). The last one is shared
 * by all. What they are is of no consequence; kernels and C libraries want to read something. */
static struct soft_cpuid leaf_4(const struct soft_cpu *cpu, uint32_t subleaf) {
    static const struct {
        uint32_t kib, ways, level, type;
    } caches[] = {{32, 8, 1, 1}, {32, 8, 1, 2}, {1024, 16, 2, 3}, {16384, 16, 3, 3}};
    if (subleaf >= sizeof caches / sizeof *caches) return (struct soft_cpuid){0};
    uint32_t sharing = caches[subleaf].level == 3 ? (1u << id_bits(cpu)) - 1 : 0;
    uint32_t ways = caches[subleaf].ways;
    return (struct soft_cpuid){
        .eax = caches[subleaf].type | caches[subleaf].level << 5 | BIT(8) | sharing << 14 |
               (((1u << id_bits(cpu)) - 1) & 0x3F) << 26,
        .ebx = (64 - 1) | (ways - 1) << 22,
        .ecx = caches[subleaf].kib * 1024 / 64 / ways - 1,
    };
}

static struct soft_cpuid leaf_7(const struct soft_cpu *cpu, uint32_t subleaf) {
    struct soft_cpuid out = {0};
    uint32_t has = cpu->engine->host.ebx_7;
    if (subleaf) return out;
    out.ebx = (has & B7_HOST) | B7_OWN;
    if (!(has & BIT(18))) out.ebx &= ~BIT(18); /* RDSEED is the host's */
    out.ecx = (cpu->engine->host.ecx_7 & C7_HOST) | C7_OWN;
    out.edx = D7_OWN;
    return out;
}

/* Threads (one), cores, end. */
static struct soft_cpuid leaf_b(const struct soft_cpu *cpu, uint32_t subleaf) {
    enum { THREAD = 1 << 8, CORE = 2 << 8 };
    struct soft_cpuid out = {.ecx = subleaf & 0xFF, .edx = cpu->index};
    if (subleaf == 0) {
        out.ebx = 1;
        out.ecx |= THREAD;
    } else if (subleaf == 1) {
        out.eax = id_bits(cpu);
        out.ebx = cpu->engine->config.n_cpus;
        out.ecx |= CORE;
    }
    return out;
}

/* XSAVE: components and sizes; XSAVEOPT and the rest where vector.h has them. */
static struct soft_cpuid leaf_d(const struct soft_cpu *cpu, uint32_t subleaf) {
    uint32_t mask = components(cpu);
    if (subleaf == 0)
        return (struct soft_cpuid){
            .eax = mask, .ebx = soft_xsave_bytes(cpu->xcr0), .ecx = soft_xsave_bytes(mask)};
    if (subleaf == 1) return (struct soft_cpuid){.eax = BIT(0)};
    if (subleaf == 2 && (mask & BIT(2)))
        return (struct soft_cpuid){.eax = SOFT_FP_BYTES - SOFT_FP_YMM_HIGH, .ebx = SOFT_FP_YMM_HIGH};
    return (struct soft_cpuid){0};
}

static struct soft_cpuid basic(const struct soft_cpu *cpu, uint32_t leaf, uint32_t subleaf) {
    switch (leaf) {
    case 0: return (struct soft_cpuid){MAX_BASIC, 0x756E6547, 0x6C65746E, 0x49656E69};
    case 1: return leaf_1(cpu);
    case 2: return (struct soft_cpuid){.eax = 0x00FEFF01}; /* caches: leaf 4; translations: leaf 0x18 */
    case 4: return leaf_4(cpu, subleaf);
    case 6: return (struct soft_cpuid){.eax = BIT(2)}; /* the APIC's timer always runs */
    case 7: return leaf_7(cpu, subleaf);
    case 0xB: return leaf_b(cpu, subleaf);
    case 0xD: return leaf_d(cpu, subleaf);
    case 0x15: /* the counter's ticks a second, by a crystal of 25 MHz */
        return (struct soft_cpuid){1, (uint32_t)(SOFT_TSC_HZ / 25000000), 25000000, 0};
    case 0x16:
        return (struct soft_cpuid){(uint32_t)(SOFT_TSC_HZ / 1000000), (uint32_t)(SOFT_TSC_HZ / 1000000), 100,
                                   0};
    default: return (struct soft_cpuid){0};
    }
}

static struct soft_cpuid extended(const struct soft_cpu *cpu, uint32_t leaf) {
    static const char brand[48] = "Atoll software processor";
    struct soft_cpuid out = {0};
    switch (leaf) {
    case 0x80000000: out.eax = MAX_EXTENDED; break;
    case 0x80000001:
        out.ecx = CX_OWN;
        out.edx = DX_OWN;
        if (cpu->mode != SOFT_LONG64) out.edx &= ~BIT(11); /* syscall is of 64-bit mode */
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: memcpy(&out, brand + 16 * (leaf - 0x80000002), 16); break;
    case 0x80000006: out.ecx = 1024 << 16 | 8 << 12 | 64; break; /* second-level cache */
    case 0x80000007: out.edx = BIT(8); break;                    /* the counter never stops or changes pace */
    case 0x80000008: out.eax = SOFT_PHYSICAL_BITS | SOFT_LINEAR_BITS << 8; break;
    default: break;
    }
    return out;
}

struct soft_cpuid soft_cpuid(struct soft_cpu *cpu, uint32_t leaf, uint32_t subleaf) {
    struct soft_cpuid out = {0};
    if (leaf >= HYPERVISOR && leaf <= HYPERVISOR_MAX) {
        soft_kvmclock_cpuid(leaf, &out);
        return out;
    }
    if (leaf >= 0x80000000 && leaf <= MAX_EXTENDED) return extended(cpu, leaf);
    return basic(cpu, leaf > MAX_BASIC ? MAX_BASIC : leaf, subleaf); /* as Intel's do beyond the last leaf */
}

enum soft_step soft_do_cpuid(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    struct soft_cpuid out = soft_cpuid(cpu, (uint32_t)cpu->gpr[VM_RAX], (uint32_t)cpu->gpr[VM_RCX]);
    cpu->gpr[VM_RAX] = out.eax;
    cpu->gpr[VM_RBX] = out.ebx;
    cpu->gpr[VM_RCX] = out.ecx;
    cpu->gpr[VM_RDX] = out.edx;
    return SOFT_NEXT;
}
