/* sysvm/cpu/engine.h: what runs the processors of a machine.
 *
 * An engine is a table of functions. `kvm` has the interrupt controllers and timers of a PC in the kernel;
 * an engine without such help brings its own, behind the same table. The machine handles an exit once,
 * whoever it came from. Calls of one vCPU come from its thread alone, except kick; while that thread is known not to be
 * in `run`, another may make them under a lock that both take. */
#ifndef ATOLL_SYSVM_ENGINE_H
#define ATOLL_SYSVM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/irq.h"
#include "sysvm/memory.h"

/* ---- the state of a processor that a loader sets and a test reads ---- */

enum vm_gpr { VM_RAX, VM_RCX, VM_RDX, VM_RBX, VM_RSP, VM_RBP, VM_RSI, VM_RDI }; /* r8 .. r15 follow */
enum vm_segment_name { VM_ES, VM_CS, VM_SS, VM_DS, VM_FS, VM_GS, VM_LDT, VM_TR, VM_N_SEGMENTS };

/* As the hidden part of a segment register. access: bits 0..3 type, 4 code or data, 5..6 privilege, 7 present,
 * 12 available, 13 long, 14 32-bit, 15 limit in pages: the second word of a descriptor, shifted by 8. */
struct vm_segment {
    uint64_t base;
    uint32_t limit; /* in bytes, whatever bit 15 says */
    uint16_t selector, access;
};

struct vm_cpu_state {
    uint64_t gpr[16], rip, rflags;
    struct vm_segment segments[VM_N_SEGMENTS];
    struct {
        uint64_t base;
        uint16_t limit;
    } gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, kernel_gs_base;
};

/* x87, MMX, SSE and AVX: XSAVE's standard layout: the FXSAVE image, the header, the high halves of ymm0 .. 15. */
enum { VM_FP_BYTES = 832, VM_FP_HEADER = 512, VM_FP_YMM_HIGH = 576 };
struct vm_fp_state {
    uint8_t bytes[VM_FP_BYTES];
};

/* ---- what a debugger arms ---- */

enum vm_break_kind { VM_BREAK_CODE, VM_BREAK_WRITE, VM_BREAK_READ, VM_BREAK_ACCESS };
struct vm_breakpoint {
    uint64_t address; /* linear */
    uint32_t n_bytes; /* of data; of code 1 */
    enum vm_break_kind kind;
    bool in_memory; /* code: an int3 (0xCC) stands there already */
};
struct vm_debug_spec {
    const struct vm_breakpoint *breakpoints;
    size_t n;
    bool is_stepping; /* one instruction; interrupts wait meanwhile, where the engine can have them wait */
};

/* ---- why a vCPU came back ---- */

enum vm_exit_kind {
    VM_EXIT_NONE,   /* nothing to do: it was kicked, or a signal came */
    VM_EXIT_PORT,   /* `count` accesses of n_bytes each at port `address`, data in order */
    VM_EXIT_MEMORY, /* one access of 1 to 8 bytes at `address`, where no RAM is */
    VM_EXIT_HALTED, /* nothing will wake it: halted with interrupts off and no controller of the engine's */
    VM_EXIT_RESET,  /* triple fault */
    VM_EXIT_DEBUG, /* `stop`: in front of an instruction with a breakpoint; behind a step, or an access to data */
    VM_EXIT_FAILED /* the engine cannot go on; text says why */
};

enum vm_stop { VM_STOP_STEP, VM_STOP_CODE, VM_STOP_DATA };

struct vm_exit {
    enum vm_exit_kind kind;
    enum vm_stop stop;
    enum vm_break_kind data_kind; /* of VM_STOP_DATA, whose breakpoint is the one at `address` */
    bool is_write;
    uint64_t address;
    unsigned n_bytes, count;
    void *data; /* a read's bytes are put here before the next run; valid until then */
    char text[160];
};

/* ---- the table ---- */

/* Machine code that an engine makes of a guest's: for who names it to a profiler, or to a debugger of the process. Called
 * on the thread of the processor, or of who makes and frees it. */
struct vm_code {
    unsigned cpu;
    bool is_common;  /* of no instructions of the guest's: the ways in and out of all the others */
    bool is_user;    /* the guest's users' */
    uint64_t linear; /* where the guest had the instructions when it was made */
    const void *start;
    size_t n_bytes;
};
struct vm_code_listener {
    void (*placed)(void *context, const struct vm_code *code); /* NULL: nobody listens */
    void (*gone)(void *context, unsigned cpu);                 /* all of that processor's */
    void *context;
};

struct vm_engine_config {
    const struct atoll_alloc *alloc;
    struct vm_memory *memory; /* an engine may set its watcher */
    unsigned n_cpus;
    /* Serves an access (VM_EXIT_PORT, VM_EXIT_MEMORY) at once, on the thread of the vCPU that makes it: what an engine that
     * interprets instructions calls from inside of one. NULL: it comes back with the exit, as kvm always does. */
    void (*serve)(void *context, const struct vm_exit *exit);
    /* On a thread of the engine's own before it does anything; not ATOLL_OK: create fails. NULL: nothing. */
    enum atoll_status (*thread_starts)(void *context, struct atoll_error *err);
    void *context; /* of both */
    /* The machine's time is a function of the instructions its one processor has run: a nanosecond each, and what it
     * waits goes by at once. Random numbers are a fixed sequence. create fails (E_UNSUPPORTED) where the engine
     * cannot. */
    bool counts;
    struct vm_code_listener code;
};
/* The time of day when a machine that counts begins: seconds since 1970, 2000-01-01. */
#define VM_COUNTED_START_S INT64_C(946684800)

struct vm_engine_ops {
    const char *name;
    struct vm_irq_ops irq;
    /* fails  E_UNSUPPORTED (text: what of this host is missing), E_IO, E_NOMEM, E_LIMIT (n_cpus)
     * owns   *out_engine, for destroy, after its vCPUs */
    enum atoll_status (*create)(const struct vm_engine_config *config, void **out_engine,
                                struct atoll_error *err);
    void (*destroy)(void *engine);
    /* vCPU 0 starts at once, as set_state says; others wait for the guest to start them.
     * owns  *out_vcpu, for vcpu_free. fails E_IO, E_NOMEM */
    enum atoll_status (*vcpu_new)(void *engine, unsigned index, void **out_vcpu, struct atoll_error *err);
    void (*vcpu_free)(void *vcpu);
    void (*run)(void *vcpu, struct vm_exit *out_exit);
    int (*get_state)(void *vcpu, struct vm_cpu_state *out); /* 0 or an errno */
    /* A processor that waits (hlt, a start) goes on waiting; one that is halted runs when `state` has another rip. */
    int (*set_state)(void *vcpu, const struct vm_cpu_state *state);
    int (*get_fp)(void *vcpu, struct vm_fp_state *out);
    int (*set_fp)(void *vcpu, const struct vm_fp_state *state);
    /* What run comes back for with VM_EXIT_DEBUG from now on. The list is borrowed until the next call.
     * 0 or an errno (ENOSPC: see n_debug_registers). */
    int (*set_debug)(void *vcpu, const struct vm_debug_spec *spec);
    /* How many breakpoints that are not in_memory there can be, of 1, 2, 4 or 8 bytes at a multiple of that, none of
     * them VM_BREAK_READ. 0: any number of any kind. */
    unsigned n_debug_registers;
    /* The machine's time, from any beginning; any thread. NULL: the host's CLOCK_MONOTONIC. */
    uint64_t (*clock_ns)(void *engine);
    /* Makes the run under way, or the next one, come back soon. Any thread, while the vCPU's thread has not
     * been joined. */
    void (*kick)(void *vcpu);
};

extern const struct vm_engine_ops vm_engine_kvm, vm_engine_soft;

/* ---- the choice ---- */

enum vm_engine_choice { VM_ENGINE_AUTO, VM_ENGINE_KVM, VM_ENGINE_SOFT };
/* auto takes kvm where a measured run of it is fast: there are hosts whose KVM only emulates. Else soft, which runs
 * everywhere.
 * out   why: a line for people, of at most VM_ENGINE_WHY bytes; *out_probe (also after a failure, or NULL): the machine
 *       that was measured in, for vm_probe_free, which waits for the kernel a while: not before a guest is to run
 * fails E_NOMEM */
enum { VM_ENGINE_WHY = 200 };
struct vm_probe;
enum atoll_status vm_engine_choose(const struct atoll_alloc *alloc, enum vm_engine_choice choice,
                                   const struct vm_engine_ops **out, char why[VM_ENGINE_WHY],
                                   struct vm_probe **out_probe, struct atoll_error *err);
void vm_probe_free(struct vm_probe *probe); /* NULL is allowed */
/* Instructions a second of a small loop in 64-bit mode: the best of short runs, for 0.1 s or until one was
 * fast. *out_probe as above. fails as create */
enum atoll_status vm_engine_measure(const struct atoll_alloc *alloc, const struct vm_engine_ops *ops,
                                    uint64_t *out_rate, struct vm_probe **out_probe, struct atoll_error *err);
#define VM_ENGINE_FAST                                                                                       \
    UINT64_C(20000000) /* real hardware does a billion, one inside an emulator 50 million */

/* ---- looking from outside (linear.c) ---- */

/* Where a linear address leads by the page tables of `state`. False: nowhere. */
bool vm_linear_to_physical(const struct vm_cpu_state *state, const struct vm_memory *memory, uint64_t linear,
                           uint64_t *out_gpa);

/* ---- states a loader starts from (states.c) ---- */

/* As after a processor's reset, but at cs:ip with flat data segments of 64 KiB: real mode. */
void vm_state_real(struct vm_cpu_state *out, uint16_t cs, uint16_t ip);
/* 32-bit protected mode without paging, flat 4 GiB segments, as PVH wants it. */
void vm_state_flat32(struct vm_cpu_state *out, uint32_t entry);
/* 64-bit mode, the first 4 GiB mapped to themselves; writes GDT and page tables into guest memory (layout.h).
 * False where that is no RAM. */
bool vm_state_long(struct vm_cpu_state *out, const struct vm_memory *memory, uint64_t entry);

#endif
