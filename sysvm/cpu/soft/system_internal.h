/* sysvm/cpu/soft/system_internal.h: what the files of system.h share: descriptors, and stacks that are not, or not
 * yet, the processor's own. */
#ifndef ATOLL_SYSVM_SOFT_SYSTEM_INTERNAL_H
#define ATOLL_SYSVM_SOFT_SYSTEM_INTERNAL_H

#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/system.h"

static inline bool soft_is_protected(const struct soft_cpu *cpu) {
    return cpu->mode != SOFT_REAL && cpu->mode != SOFT_V86;
}
static inline bool soft_is_long(const struct soft_cpu *cpu) { return cpu->efer & SOFT_EFER_LMA; }
static inline unsigned soft_iopl(const struct soft_cpu *cpu) { return cpu->rflags >> 12 & 3; }

/* raise, for functions that return bool */
static inline bool soft_fail(struct soft_cpu *cpu, unsigned vector, uint32_t error) {
    soft_raise(cpu, vector, true, error);
    return false;
}

/* ---- descriptors ---- */

/* Of the access word of struct vm_segment. */
enum {
    SOFT_ACCESSED = 0x01,
    SOFT_TYPE_WRITE = 0x02, /* data: writable; code: readable */
    SOFT_TYPE_DOWN = 0x04,  /* data: expands down; code: conforming */
    SOFT_TYPE_CODE = 0x08,
    SOFT_NOT_SYSTEM = 0x10,
    SOFT_PRESENT = 0x80,
    SOFT_LONG = 0x2000,
    SOFT_BIG = 0x4000,
    SOFT_GRANULAR = 0x8000
};
enum soft_system_type {
    SOFT_TSS16 = 1,
    SOFT_TYPE_LDT = 2,
    SOFT_TSS16_BUSY = 3,
    SOFT_CALL_GATE16 = 4,
    SOFT_TASK_GATE = 5,
    SOFT_INTERRUPT_GATE16 = 6,
    SOFT_TRAP_GATE16 = 7,
    SOFT_TSS = 9,
    SOFT_TSS_BUSY = 0xB,
    SOFT_CALL_GATE = 0xC,
    SOFT_INTERRUPT_GATE = 0xE,
    SOFT_TRAP_GATE = 0xF
};
static inline unsigned soft_dpl(unsigned access) { return access >> 5 & 3; }
static inline bool soft_is_code(unsigned access) {
    return (access & SOFT_NOT_SYSTEM) && (access & SOFT_TYPE_CODE);
}
static inline bool soft_is_conforming(unsigned access) {
    return soft_is_code(access) && (access & SOFT_TYPE_DOWN);
}
static inline bool soft_is_writable_data(unsigned access) {
    return (access & (SOFT_NOT_SYSTEM | SOFT_TYPE_CODE | SOFT_TYPE_WRITE)) ==
           (SOFT_NOT_SYSTEM | SOFT_TYPE_WRITE);
}
static inline bool soft_is_null(uint16_t selector) { return selector < 4; }

struct soft_descriptor {
    uint64_t low, high; /* high: of system descriptors in long mode */
};
/* Its type, S, DPL and P: bits 0 .. 7 of an access word. */
static inline unsigned soft_descriptor_access(const struct soft_descriptor *d) { return d->low >> 40 & 0xFF; }

/* Copies the descriptor of a selector that is not null; n_bytes 8 or 16. Beyond the table: `vector` (#GP or #TS) with
 * the selector, and `external` in its bit 0. */
bool soft_descriptor_read(struct soft_cpu *cpu, uint16_t selector, unsigned n_bytes,
                          struct soft_descriptor *out, unsigned vector, unsigned external);
/* Sets the accessed bit in memory where it is not set. */
bool soft_descriptor_touch(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *d);
/* As a segment register holds it. */
struct vm_segment soft_descriptor_segment(const struct soft_descriptor *d, uint16_t selector);
/* Whether n_bytes at `offset` are within the segment. */
bool soft_within(const struct vm_segment *segment, uint64_t offset, unsigned n_bytes);

/* The checks of a stack segment for a privilege level: `vector` and #SS with selector | external. */
bool soft_stack_segment(struct soft_cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector,
                        unsigned external, struct vm_segment *out);
/* Stack of a privilege level as the TSS says: SS (null in long mode) and pointer. Faults are #TS. */
bool soft_tss_stack(struct soft_cpu *cpu, unsigned cpl, unsigned external, struct vm_segment *out_ss,
                    uint64_t *out_pointer);
/* ist: 1 .. 7, or 0 for that of the privilege level (RSP0 .. 2). */
bool soft_tss_pointer(struct soft_cpu *cpu, unsigned cpl, unsigned ist, unsigned external,
                      uint64_t *out_pointer);

/* A data segment register after a return to an outer level: null where the level may not use it. */
void soft_drop_segments(struct soft_cpu *cpu);

/* ---- stacks ---- */

/* A stack that grows, or shrinks, without the processor's registers changing before all of it worked. */
struct soft_stack {
    struct soft_cpu *cpu;
    struct vm_segment ss;
    uint64_t pointer, mask;
    enum soft_view view;
    bool is_flat;   /* 64-bit mode: no base, no limit */
    uint32_t error; /* of the #SS */
};
/* As it is now. */
struct soft_stack soft_stack_now(struct soft_cpu *cpu);
bool soft_stack_push(struct soft_stack *stack, uint64_t value, unsigned n_bytes);
bool soft_stack_pop(struct soft_stack *stack, uint64_t *out_value, unsigned n_bytes);
/* Puts the pointer into RSP, ESP or SP. */
void soft_stack_commit(const struct soft_stack *stack);

/* ---- returns (transfer.c, for iret.c) ---- */

/* The code segment that a far return or iret goes to, all checks made. */
bool soft_return_code(struct soft_cpu *cpu, uint16_t selector, uint64_t offset, struct soft_descriptor *out,
                      struct vm_segment *out_code);
/* The stack segment at the level it goes to; 64-bit code below level 3 may have none. */
bool soft_return_stack(struct soft_cpu *cpu, uint16_t selector, unsigned cpl, bool to_64,
                       struct vm_segment *out);

/* ---- events (deliver.c) ---- */

struct soft_arrival {
    unsigned vector;
    bool has_error, is_software /* int n, int3, into */, is_external /* bit 0 of error codes on the way */;
    uint32_t error;
    uint64_t rflags; /* as pushed */
};
/* Into the handler; false: a fault on the way, in cpu->fault, and nothing has changed. */
bool soft_enter_handler(struct soft_cpu *cpu, const struct soft_arrival *event);

/* ---- the task priority, which the APIC has (port.c) ---- */

uint8_t soft_cr8(struct soft_cpu *cpu);
void soft_set_cr8(struct soft_cpu *cpu, uint8_t priority); /* 0 .. 15 */

/* ---- operands of 2, 4 or 8 bytes: register or memory ---- */

bool soft_operand_read(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i, unsigned n_bytes,
                       uint64_t *out);
bool soft_operand_write(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned i, unsigned n_bytes,
                        uint64_t value);

/* ---- control_registers.c ---- */

/* Bits of debug registers that are always set. */
#define SOFT_DR6_ONES UINT64_C(0xFFFF0FF0)
#define SOFT_DR7_ONES UINT64_C(0x400)

bool soft_set_cr0(struct soft_cpu *cpu, uint64_t value);
bool soft_set_efer(struct soft_cpu *cpu, uint64_t value); /* as wrmsr does it; false: #GP */

#endif
