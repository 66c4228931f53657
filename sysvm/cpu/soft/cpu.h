/* sysvm/cpu/soft/cpu.h: one processor of the software CPU, all of its state that a guest can see.
 *
 *   bytes at rip -> decode.c -> struct soft_insn -> run.c -> a handler of the table semantics.def
 *                                                             -> mmu.h  memory as instructions see it
 *                                                             -> system.h  privileged state, exceptions
 *                                                             -> vector.h  x87, MMX, SSE, AVX
 *                  what runs often -> translate/, machine code of the host
 * A processor is used by its own thread alone; `requests` is the door for all others. */
#ifndef ATOLL_SYSVM_SOFT_CPU_H
#define ATOLL_SYSVM_SOFT_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "sysvm/cpu/engine.h"
#include "sysvm/cpu/soft/debug.h"
#include "sysvm/cpu/soft/msrs.h"
#include "sysvm/cpu/soft/tlb.h"

struct soft_cpu;
struct soft_insn;
struct soft_engine;
struct soft_apic;
struct soft_blocks;
struct soft_translator;

/* ---- bits of registers ---- */

enum soft_rflags {
    SOFT_CF = 1 << 0,
    SOFT_FLAG_ONE = 1 << 1, /* always set */
    SOFT_PF = 1 << 2,
    SOFT_AF = 1 << 4,
    SOFT_ZF = 1 << 6,
    SOFT_SF = 1 << 7,
    SOFT_TF = 1 << 8,
    SOFT_IF = 1 << 9,
    SOFT_DF = 1 << 10,
    SOFT_OF = 1 << 11,
    SOFT_IOPL = 3 << 12,
    SOFT_NT = 1 << 14,
    SOFT_RF = 1 << 16,
    SOFT_VM = 1 << 17,
    SOFT_AC = 1 << 18,
    SOFT_VIF = 1 << 19,
    SOFT_VIP = 1 << 20,
    SOFT_ID = 1 << 21,
    SOFT_ARITHMETIC = SOFT_CF | SOFT_PF | SOFT_AF | SOFT_ZF | SOFT_SF | SOFT_OF
};

enum soft_cr0 {
    SOFT_CR0_PE = 1 << 0,
    SOFT_CR0_MP = 1 << 1,
    SOFT_CR0_EM = 1 << 2,
    SOFT_CR0_TS = 1 << 3,
    SOFT_CR0_ET = 1 << 4,
    SOFT_CR0_NE = 1 << 5,
    SOFT_CR0_WP = 1 << 16,
    SOFT_CR0_AM = 1 << 18,
    SOFT_CR0_NW = 1 << 29,
    SOFT_CR0_CD = 1 << 30
};
#define SOFT_CR0_PG (UINT64_C(1) << 31)

enum soft_cr4 {
    SOFT_CR4_VME = 1 << 0,
    SOFT_CR4_PVI = 1 << 1,
    SOFT_CR4_TSD = 1 << 2,
    SOFT_CR4_DE = 1 << 3,
    SOFT_CR4_PSE = 1 << 4,
    SOFT_CR4_PAE = 1 << 5,
    SOFT_CR4_MCE = 1 << 6,
    SOFT_CR4_PGE = 1 << 7,
    SOFT_CR4_PCE = 1 << 8,
    SOFT_CR4_OSFXSR = 1 << 9,
    SOFT_CR4_OSXMMEXCPT = 1 << 10,
    SOFT_CR4_UMIP = 1 << 11,
    SOFT_CR4_FSGSBASE = 1 << 16,
    SOFT_CR4_PCIDE = 1 << 17,
    SOFT_CR4_OSXSAVE = 1 << 18,
    SOFT_CR4_SMEP = 1 << 20,
    SOFT_CR4_SMAP = 1 << 21
};

enum soft_efer {
    SOFT_EFER_SCE = 1 << 0,
    SOFT_EFER_LME = 1 << 8,
    SOFT_EFER_LMA = 1 << 10,
    SOFT_EFER_NXE = 1 << 11
};

enum soft_vector {
    SOFT_DE = 0,
    SOFT_DB = 1,
    SOFT_NMI = 2,
    SOFT_BP = 3,
    SOFT_OF_TRAP = 4,
    SOFT_BR = 5,
    SOFT_UD = 6,
    SOFT_NM = 7,
    SOFT_DOUBLE = 8,
    SOFT_TS = 10,
    SOFT_NP = 11,
    SOFT_STACK = 12,
    SOFT_GP = 13,
    SOFT_PAGE = 14,
    SOFT_MF = 16,
    SOFT_ALIGN = 17,
    SOFT_MC = 18,
    SOFT_XM = 19,
    SOFT_STOP = 0xFD,  /* no exception: soft_run returns cpu->debug.stop */
    SOFT_LEAVE = 0xFE, /* no exception: soft_run returns cpu->leave.exit, see soft_serve */
    SOFT_NO_FAULT = 0xFF
};

/* ---- how instructions are decoded and addresses formed ---- */

enum soft_mode {
    SOFT_REAL,
    SOFT_V86,
    SOFT_PROTECTED16,
    SOFT_PROTECTED32,
    SOFT_COMPAT16,
    SOFT_COMPAT32,
    SOFT_LONG64
};

/* ---- what an instruction's handler tells the loop ---- */

enum soft_step {
    SOFT_NEXT,   /* done: rip += length */
    SOFT_JUMPED, /* done: rip is set */
    SOFT_FAULT,  /* nothing changed, cpu->fault says what; rip still of this instruction */
    SOFT_AGAIN,  /* rep: a part is done; look at requests, then run this instruction again */
    SOFT_HALT,   /* done: rip += length, then wait for an interrupt */
    SOFT_END     /* done: rip += length, and what decoding or translation depends on may have changed */
};

struct soft_fault {
    uint8_t vector; /* enum soft_vector */
    bool has_error_code;
    bool is_trap; /* of `int n`, int3, into: delivered with rip behind the instruction (system) */
    uint32_t error_code;
    uint64_t cr2; /* of SOFT_PAGE: goes to CR2 when delivered */
    uint64_t dr6; /* of SOFT_DB: bits that are set in DR6 when delivered */
};

/* What 32-bit code may take for granted of segments: all of 4 GiB, present, and writable where they are of data. */
enum soft_flat {
    SOFT_FLAT = 1,    /* CS, SS (a stack pointer of 32 bits) and DS; they begin at 0 */
    SOFT_FLAT_FS = 2, /* FS, GS: wherever they begin */
    SOFT_FLAT_GS = 4
};

/* What other threads want; set with atomic_fetch_or, looked at between blocks. */
enum soft_request {
    SOFT_REQUEST_KICK = 1 << 0,      /* soft_run returns VM_EXIT_NONE */
    SOFT_REQUEST_INTERRUPT = 1 << 1, /* look at the APIC */
    SOFT_REQUEST_NMI = 1 << 2,
    SOFT_REQUEST_INIT = 1 << 3,
    SOFT_REQUEST_SIPI = 1 << 4,
    SOFT_REQUEST_TLB = 1 << 5,  /* forget translations: code was found in a page, or another vCPU says so */
    SOFT_REQUEST_STOP = 1 << 6, /* cpu->stop says why: reset or failure found on this vCPU's own thread */
    SOFT_REQUEST_CODE = 1 << 7  /* code was written to: what was translated from it must not run any more */
};

/* XSAVE's standard layout: legacy 512, header 64, AVX (high halves of ymm0..15) at 576. */
enum { SOFT_FP_BYTES = 832, SOFT_FP_HEADER = 512, SOFT_FP_YMM_HIGH = 576 };

/* Accesses of the instruction under way that soft_run came back for, in order, with their answers. */
enum { SOFT_LEAVE_MAX = 8 };
struct soft_leave {
    struct vm_exit exit;
    uint8_t data[8]; /* of exit */
    bool is_out;     /* the caller of soft_run has the exit */
    unsigned n_done, n_used;
    uint8_t answers[SOFT_LEAVE_MAX][8];
};

/* What translated code reaches from its stack pointer; see translate/. */
enum { SOFT_NATIVE_STACK = 1 << 15, SOFT_STAMPS = 1 << 16, SOFT_TARGETS = 1 << 12, SOFT_EPOCHS = 1 << 12 };
struct soft_target { /* of indirect jumps: where the code for a linear address stands */
    uint64_t linear;
    const void *code;
};
struct soft_translated {
    const void *step, *rest, *exit, *indirect, *find; /* common pieces of code */
    uint64_t host_stack;
    uint32_t outcome; /* enum soft_step of an instruction that ended a run of translated code */
    /* Of each view's scope (tlb.h): a number less than SOFT_EPOCHS, another one when linear addresses of code may lead
     * elsewhere; SOFT_TARGETS places. */
    uint64_t epochs[SOFT_N_VIEWS];
    struct soft_target *targets[SOFT_N_VIEWS];
    /* Of jumps to other pages: the page that they were in, and the epoch, when they were right. */
    uint64_t stamps[SOFT_STAMPS];
    uint32_t stamp; /* of a jump that looks for its target: its place from the beginning of `stamps` */
    uint8_t lives[SOFT_EPOCHS]; /* by epoch: it is one of an address space that users' code is kept for */
};

struct soft_cpu {
    /* While translated code runs, the host's stack pointer stands at page_base: signals of the host find room here. */
    _Alignas(64) uint8_t native_stack[SOFT_NATIVE_STACK];
    uint64_t page_base; /* translated code: the linear address of the page that it is in */
    uint16_t flags;     /* translated code: al and ah after `lahf; seto al`: the arithmetic flags */
    uint8_t vectors;    /* translated code: the host has the guest's vector registers: 0 no, 1 xmm, 2 ymm */
    uint8_t wide;       /* of 2: some upper halves are not 0 */
    _Atomic uint32_t requests;
    uint32_t mxcsr, host_mxcsr; /* translated code: the host's, to be loaded; the one that C code has */
    uint64_t spill;
    uint64_t gpr[16];
    uint64_t groups[16]; /* translated code: where accesses that share a look at the TLB lie on the host */
    /* Of a loop whose accesses are known to stay in their pages: rounds that are left; those until one is tried. */
    uint32_t loop_rounds, loop_wait;
    /* Translated code on the x87 unit: of its last instruction that is no control instruction the page, the offset in
     * it | opcode << 16, the address of the last operand; an operand's, and a control word, on their way. */
    uint64_t x87_page, x87_operand, x87_address;
    uint32_t x87_last;
    uint16_t x87_control;
    uint8_t x87;     /* the host has the guest's x87 unit, and xmm registers with it */
    uint8_t flat;    /* translated code of 32 bits: enum soft_flat */
    uint64_t rip;    /* of the instruction that runs, until it retires */
    uint64_t rflags; /* exact between instructions */
    /* Bases as loaded; those of ES, CS, SS, DS count for nothing in 64-bit mode. */
    struct vm_segment segments[VM_N_SEGMENTS];
    struct {
        uint64_t base;
        uint16_t limit;
    } gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0; /* CR8 is the task priority of the APIC */
    uint64_t dr[8];
    bool debugged; /* instructions run one at a time: debug.h */
    struct soft_debug debug;
    enum soft_mode mode; /* soft_mode_changed derives it */
    uint8_t cpl;         /* 0 in real mode, 3 in V86; set by whoever loads CS (system) or the whole state */
    /* shadow: after sti, mov ss, pop ss nothing is delivered before the next instruction has retired. */
    bool interrupt_shadow, nmi_blocked, halted;
    bool redelivers;       /* `fault` did not reach its handler when requests came: it goes first */
    bool interrupt_waits;  /* for IF; set by run.c while it is clear */
    bool waits_for_sipi;   /* after INIT, and from the beginning all but the first: runs nothing */
    _Atomic uint32_t nmis; /* that came and are not taken yet, two at most; SOFT_REQUEST_NMI tells of them */
    _Atomic uint32_t sleeps; /* its thread waits for requests */
    _Atomic uint32_t runs;   /* its thread is in soft_run */
    struct soft_leave leave;
    uint64_t kvmclock, kvmclock_wall; /* MSRs of kvmclock.c */
    struct soft_fault fault;
    struct soft_msrs msrs;
    unsigned index;
    struct soft_engine *engine;
    struct soft_apic *apic;
    struct soft_blocks *blocks;         /* run.c: decoded code */
    struct soft_translator *translator; /* NULL: there is none, everything is interpreted */
    uint64_t n_instructions;            /* retired */
    _Alignas(64) uint8_t fp[SOFT_FP_BYTES];
    struct soft_tlb tlb;
    struct soft_translated translated;
};

/* To be called after every change of CR0, EFER, CS or RFLAGS.VM: derives cpu->mode. */
void soft_mode_changed(struct soft_cpu *cpu);

/* The width of a stack pointer: 8 in 64-bit mode, else as SS says (its B bit). */
static inline unsigned soft_stack_bytes(const struct soft_cpu *cpu) {
    if (cpu->mode == SOFT_LONG64) return 8;
    return cpu->segments[VM_SS].access & 0x4000 ? 4 : 2;
}

/* Instructions on a general register: 32-bit results clear the upper half, narrower ones keep the rest. */
static inline uint64_t soft_gpr_get(const struct soft_cpu *cpu, unsigned reg, unsigned n_bytes) {
    uint64_t value = cpu->gpr[reg];
    return n_bytes == 8 ? value : value & ((UINT64_C(1) << n_bytes * 8) - 1);
}
static inline void soft_gpr_set(struct soft_cpu *cpu, unsigned reg, unsigned n_bytes, uint64_t value) {
    switch (n_bytes) {
    case 1: cpu->gpr[reg] = (cpu->gpr[reg] & ~UINT64_C(0xFF)) | (value & 0xFF); return;
    case 2: cpu->gpr[reg] = (cpu->gpr[reg] & ~UINT64_C(0xFFFF)) | (value & 0xFFFF); return;
    case 4: cpu->gpr[reg] = (uint32_t)value; return;
    default: cpu->gpr[reg] = value; return;
    }
}

#endif
