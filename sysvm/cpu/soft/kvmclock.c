/* sysvm/cpu/soft/kvmclock.c: what a guest of KVM's finds: a clock, of which a page of the guest's tells how the
 * time stamp counter becomes time, so that no kernel has to measure it against a timer; ports that need no delay;
 * and hypercalls, of which there are none.
 *
 * Source: Linux documentation, virt/kvm/x86/msr.rst, cpuid.rst and hypercalls.rst. */
#include <string.h>
#include <time.h>
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system_internal.h"

#define MSR_WALL_OLD UINT32_C(0x11)
#define MSR_TIME_OLD UINT32_C(0x12)
#define MSR_WALL     UINT32_C(0x4B564D00)
#define MSR_TIME     UINT32_C(0x4B564D01)
enum { FEATURE_OLD = 1 << 0, FEATURE_NO_DELAY = 1 << 1, FEATURE_NEW = 1 << 3, FEATURE_STABLE = 1 << 24 };
enum { TIME_ON = 1, TSC_STABLE = 1 };
#define SECOND UINT64_C(1000000000)

/* As the guest reads it; `version` is odd while it is written. */
struct system_time {
    uint32_t version, pad;
    uint64_t tsc, system_ns;
    uint32_t mul; /* time = ((tsc - then) << shift) * mul >> 32 */
    int8_t shift;
    uint8_t flags, pad2[2];
};
struct wall_clock {
    uint32_t version, seconds, nanoseconds;
};

void soft_kvmclock_cpuid(uint32_t leaf, struct soft_cpuid *out) {
    *out = (struct soft_cpuid){0};
    if (leaf == 0x40000000) {
        out->eax = 0x40000001;
        memcpy(&out->ebx, "KVMK", 4);
        memcpy(&out->ecx, "VMKV", 4);
        memcpy(&out->edx, "M\0\0\0", 4);
    } else if (leaf == 0x40000001) {
        out->eax = FEATURE_OLD | FEATURE_NO_DELAY | FEATURE_NEW | FEATURE_STABLE;
    }
}

/* All processors read one clock: two writes with the version between are enough, and none is ever due again. */
static void put_time(struct soft_cpu *cpu, uint64_t gpa) {
    uint64_t now = soft_clock_now(&cpu->engine->chips.clock);
    struct system_time time = {.version = 1,
                               .tsc = now + cpu->msrs.tsc_offset,
                               .system_ns = now,
                               .mul = UINT32_C(1) << 31, /* a tick a nanosecond */
                               .shift = 1,
                               .flags = TSC_STABLE};
    const struct vm_memory *memory = cpu->engine->config.memory;
    if (!vm_memory_write(memory, gpa, &time, sizeof time)) return;
    time.version = 2;
    vm_memory_write(memory, gpa, &time.version, sizeof time.version);
}

/* The time of day when the machine's clock stood at 0. */
static void put_wall(struct soft_cpu *cpu, uint64_t gpa) {
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    uint64_t now = (uint64_t)real.tv_sec * SECOND + (uint64_t)real.tv_nsec,
             since = soft_clock_now(&cpu->engine->chips.clock);
    uint64_t start = cpu->engine->counts ? VM_COUNTED_START_S * SECOND : now - since;
    struct wall_clock wall = {2, (uint32_t)(start / SECOND), (uint32_t)(start % SECOND)};
    vm_memory_write(cpu->engine->config.memory, gpa, &wall, sizeof wall);
}

bool soft_kvmclock_read(struct soft_cpu *cpu, uint32_t msr, uint64_t *out_value) {
    if (msr == MSR_TIME || msr == MSR_TIME_OLD)
        *out_value = cpu->kvmclock;
    else if (msr == MSR_WALL || msr == MSR_WALL_OLD)
        *out_value = cpu->kvmclock_wall;
    else
        return false;
    return true;
}

bool soft_kvmclock_write(struct soft_cpu *cpu, uint32_t msr, uint64_t value) {
    if (msr == MSR_TIME || msr == MSR_TIME_OLD) {
        cpu->kvmclock = value;
        if (value & TIME_ON) put_time(cpu, value & ~(uint64_t)TIME_ON);
        return true;
    }
    if (msr != MSR_WALL && msr != MSR_WALL_OLD) return false;
    cpu->kvmclock_wall = value;
    put_wall(cpu, value);
    return true;
}

/* vmcall and vmmcall, whichever a guest takes. */
enum soft_step soft_hypercall(struct soft_cpu *cpu, const struct soft_insn *insn) {
    enum { NOT_PERMITTED = 1, NO_SUCH_CALL = 1000 };
    (void)insn;
    if (!soft_is_protected(cpu)) return soft_raise_ud(cpu);
    cpu->gpr[VM_RAX] = (uint64_t) - (cpu->cpl ? NOT_PERMITTED : NO_SUCH_CALL);
    if (cpu->mode != SOFT_LONG64) cpu->gpr[VM_RAX] = (uint32_t)cpu->gpr[VM_RAX];
    return SOFT_NEXT;
}
