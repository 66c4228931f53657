/* sysvm/cpu/kvm/kvm.h: the engine on Linux KVM, as its files share it.
 *
 *   kvm.c    a virtual machine: what the host can do, memory, interrupts, doorbells
 *   wire.c   messages that are sent by writing to a descriptor
 *   vcpu.c   a processor: its state, running it, why it came back
 *   debug.c  a processor under a debugger: registers of the FPU, breakpoints, steps
 *   cpuid.c  what a processor says about itself
 *
 * Interrupt controllers (two 8259, I/O APIC, local APICs) and the 8254 are the kernel's.
 * Source: Linux documentation, virt/kvm/api.rst. */
#ifndef ATOLL_SYSVM_KVM_H
#define ATOLL_SYSVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include "sysvm/cpu/engine.h"

enum { KVM_WIRES = 64 }; /* more interrupts than that are seldom busy */

struct kvm {
    const struct atoll_alloc *alloc;
    int device, vm; /* /dev/kvm, and the virtual machine made from it */
    unsigned n_cpus;
    size_t run_size;          /* bytes of the area shared with the kernel for each vCPU */
    struct kvm_cpuid2 *cpuid; /* what the host supports, with room for KVM_MAX_CPUID entries */
    bool has_tsc_deadline;    /* of the local APICs' timers; not told by the above */
    bool has_wires;           /* the kernel has irqfds and room for their routes */
    struct kvm_wire {
        bool is_used;
        int fd;
        uint64_t address;
        uint32_t data;
    } wires[KVM_WIRES]; /* under the machine lock; number i has GSI VM_GSI_COUNT + i */
};

struct kvm_vcpu {
    struct kvm *kvm;
    int fd;
    unsigned index;
    struct kvm_run *run;
    pthread_t thread;       /* of the last run */
    atomic_bool has_thread; /* the one above is set */
    struct vm_debug_spec debug;
    bool is_debugged;  /* the kernel was told of something to debug */
    bool is_injecting; /* the next run brings the guest an exception that was none of the debugger's */
};

#define KVM_MAX_CPUID   256
#define KVM_CPUID_BYTES (sizeof(struct kvm_cpuid2) + KVM_MAX_CPUID * sizeof(struct kvm_cpuid_entry2))

/* ---- wire.c: as struct vm_irq_ops ---- */

bool kvm_has_wires(int device);
int kvm_wire(void *engine, uint64_t address, uint32_t data);
void kvm_unwire(void *engine, int fd);

/* ---- vcpu.c ---- */

enum atoll_status kvm_vcpu_new(void *engine, unsigned index, void **out_vcpu, struct atoll_error *err);
void kvm_vcpu_free(void *vcpu);
void kvm_vcpu_run(void *vcpu, struct vm_exit *out_exit);
int kvm_vcpu_get_state(void *vcpu, struct vm_cpu_state *out);
int kvm_vcpu_set_state(void *vcpu, const struct vm_cpu_state *state);
void kvm_vcpu_kick(void *vcpu);
/* Kicks come as this signal: its handler does nothing, the system call it interrupts ends. */
int kvm_kick_signal(void);

/* ---- debug.c ---- */

enum { KVM_DEBUG_REGISTERS = 4 };
int kvm_vcpu_get_fp(void *vcpu, struct vm_fp_state *out);
int kvm_vcpu_set_fp(void *vcpu, const struct vm_fp_state *state);
int kvm_vcpu_set_debug(void *vcpu, const struct vm_debug_spec *spec);
/* Of KVM_EXIT_DEBUG: fills the exit, which has VM_EXIT_NONE where the exception is the guest's own. */
void kvm_debug_exit(struct kvm_vcpu *vcpu, struct vm_exit *exit);
/* After a run that brought the guest an exception. */
void kvm_debug_injected(struct kvm_vcpu *vcpu);

/* ---- cpuid.c ---- */

struct kvm_processor {
    unsigned index, n_cpus; /* it is number `index` of n_cpus */
    bool has_tsc_deadline;
};
/* Turns what the host supports into what a processor of the machine says; room for KVM_MAX_CPUID entries. */
void kvm_cpuid_filter(struct kvm_cpuid2 *cpuid, const struct kvm_processor *processor);

/* Fills err with E_IO, the errno and what was tried. */
enum atoll_status kvm_failed(struct atoll_error *err, const char *what);

#endif
