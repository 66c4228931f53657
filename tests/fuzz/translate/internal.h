/* tests/fuzz/translate/internal.h: what the guest's files share. */
#ifndef ATOLL_TESTS_FUZZ_TRANSLATE_INTERNAL_H
#define ATOLL_TESTS_FUZZ_TRANSLATE_INTERNAL_H

#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "tests/fuzz/translate/guest.h"
#include "tests/sysvm/cpu/soft/native_case.h"

extern const struct vm_engine_ops vm_engine_soft;

enum { GUEST_BYTES = 0x40000, GUEST_SYSCALL = 0x100 };

/* Whatever a guest can ask for, without padding. */
struct guest_state {
    uint64_t gpr[16], rip, rflags;
    struct vm_segment segments[VM_N_SEGMENTS];
    uint64_t gdt_base, idt_base, cr0, cr2, cr3, cr4, efer, xcr0, dr[8];
    struct soft_msrs msrs;
    uint16_t gdt_limit, idt_limit;
    uint8_t cpl, interrupt_shadow, nmi_blocked, halted;
    uint8_t fp[SOFT_FP_BYTES];
};

enum guest_end { GUEST_FAULTED, GUEST_HALTED, GUEST_SHUT_DOWN, GUEST_WENT_ON };

struct guest_outcome {
    enum guest_end end;
    struct guest_state state;
    struct soft_fault fault; /* of GUEST_FAULTED */
    uint64_t devices;
    uint8_t memory[GUEST_BYTES];
};

struct guest {
    struct vm_memory *memory;
    struct soft_engine *engine;
    struct soft_cpu *cpu; /* NULL: none is open */
    struct guest_header header;
    uint8_t code[GUEST_CODE_MAX];
    size_t n_code, start;
    uint64_t seed, devices;
    struct guest_state reset, first; /* as a processor is made, as the input says */
    uint8_t first_memory[GUEST_BYTES];
    bool is_spoilt;      /* what no run can put back was changed: a chip, say */
    bool is_repeatable;  /* the interpreted run met nothing but what follows from the input */
    uint64_t open_flags; /* of the interpreted run: which have values that the manual leaves open */
    bool is_told;        /* somebody read one of these */
    unsigned n_instructions;
    struct guest_outcome interpreted, translated;
};
struct guest *guest_get(void);

/* The linear address of a place in the code's pages. */
uint64_t guest_code_at(const struct guest *g, uint64_t offset);
void guest_take_state(const struct soft_cpu *cpu, struct guest_state *out);

#endif
