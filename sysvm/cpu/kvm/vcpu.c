/* sysvm/cpu/kvm/vcpu.c: a processor of Linux KVM. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "sysvm/cpu/kvm/kvm.h"

/* ---- making one ---- */

#define MSR_KERNEL_GS_BASE UINT32_C(0xC0000102)

/* As the kernel calls them: how many registers were taken, 0 where this host's KVM has not that one; negative: errno. */
static int use_msr(int fd, unsigned long request, struct kvm_msr_entry *entry) {
    _Alignas(struct kvm_msrs) char room[sizeof(struct kvm_msrs) + sizeof *entry] = {0};
    struct kvm_msrs *msrs = (struct kvm_msrs *)room;
    msrs->nmsrs = 1;
    msrs->entries[0] = *entry;
    int n = ioctl(fd, request, msrs);
    entry->data = msrs->entries[0].data;
    return n;
}
static int set_msr(int fd, uint32_t index, uint64_t value) {
    return use_msr(fd, KVM_SET_MSRS, &(struct kvm_msr_entry){.index = index, .data = value});
}
static int get_msr(int fd, uint32_t index, uint64_t *out) {
    struct kvm_msr_entry entry = {.index = index};
    int n = use_msr(fd, KVM_GET_MSRS, &entry);
    *out = entry.data;
    return n;
}

/* MTRRs on, all memory write-back: what firmware leaves, and kernels take it over. */
static int set_msrs(int fd) {
    enum { MSR_MISC_ENABLE = 0x1A0, FAST_STRINGS = 1, MSR_MTRR_DEF_TYPE = 0x2FF, MTRR_ON_WRITE_BACK = 0x806 };
    if (set_msr(fd, MSR_MISC_ENABLE, FAST_STRINGS) < 0) return -1;
    return set_msr(fd, MSR_MTRR_DEF_TYPE, MTRR_ON_WRITE_BACK) < 0 ? -1 : 0;
}

static int set_cpuid(const struct kvm_vcpu *vcpu) {
    struct kvm *kvm = vcpu->kvm;
    struct kvm_cpuid2 *cpuid = atoll_new(kvm->alloc, 1, KVM_CPUID_BYTES);
    if (!cpuid) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(cpuid, kvm->cpuid, KVM_CPUID_BYTES);
    struct kvm_processor processor = {vcpu->index, kvm->n_cpus, kvm->has_tsc_deadline};
    kvm_cpuid_filter(cpuid, &processor);
    int result = ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
    int error = errno;
    atoll_free(kvm->alloc, cpuid, KVM_CPUID_BYTES);
    errno = error;
    return result;
}

static enum atoll_status set_up(struct kvm_vcpu *vcpu, struct atoll_error *err) {
    do vcpu->fd = ioctl(vcpu->kvm->vm, KVM_CREATE_VCPU, (unsigned long)vcpu->index);
    while (vcpu->fd < 0 && errno == EINTR);
    if (vcpu->fd < 0) return kvm_failed(err, "no processor");
    void *run = mmap(NULL, vcpu->kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED) return kvm_failed(err, "no shared area of a processor");
    vcpu->run = run;
    if (set_cpuid(vcpu)) return kvm_failed(err, "processor features");
    if (set_msrs(vcpu->fd)) return kvm_failed(err, "processor registers");
    return ATOLL_OK;
}

enum atoll_status kvm_vcpu_new(void *engine, unsigned index, void **out_vcpu, struct atoll_error *err) {
    struct kvm *kvm = engine;
    struct kvm_vcpu *vcpu = atoll_new(kvm->alloc, 1, sizeof *vcpu);
    if (!vcpu) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    vcpu->kvm = kvm;
    vcpu->fd = -1;
    vcpu->index = index;
    enum atoll_status status = set_up(vcpu, err);
    if (status != ATOLL_OK)
        kvm_vcpu_free(vcpu);
    else
        *out_vcpu = vcpu;
    return status;
}

void kvm_vcpu_free(void *object) {
    struct kvm_vcpu *vcpu = object;
    if (vcpu->run) munmap(vcpu->run, vcpu->kvm->run_size);
    if (vcpu->fd >= 0) close(vcpu->fd);
    atoll_free(vcpu->kvm->alloc, vcpu, sizeof *vcpu);
}

/* ---- state ---- */

static struct kvm_segment to_kvm(const struct vm_segment *segment) {
    unsigned access = segment->access;
    return (struct kvm_segment){.base = segment->base,
                                .limit = segment->limit,
                                .selector = segment->selector,
                                .type = access & 0xF,
                                .s = access >> 4 & 1,
                                .dpl = access >> 5 & 3,
                                .present = access >> 7 & 1,
                                .avl = access >> 12 & 1,
                                .l = access >> 13 & 1,
                                .db = access >> 14 & 1,
                                .g = access >> 15 & 1,
                                .unusable = !(access >> 7 & 1)};
}

static struct vm_segment from_kvm(const struct kvm_segment *segment) {
    unsigned access = segment->type | segment->s << 4 | segment->dpl << 5 |
                      (unsigned)!segment->unusable << 7 | segment->avl << 12 | segment->l << 13 |
                      segment->db << 14 | segment->g << 15;
    return (struct vm_segment){segment->base, segment->limit, segment->selector, (uint16_t)access};
}

/* The list of segment registers on both sides. */
#define SEGMENTS(X) X(ES, es) X(CS, cs) X(SS, ss) X(DS, ds) X(FS, fs) X(GS, gs) X(LDT, ldt) X(TR, tr)

int kvm_vcpu_set_state(void *object, const struct vm_cpu_state *state) {
    struct kvm_vcpu *vcpu = object;
    struct kvm_sregs sregs;
    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs)) return errno; /* keeps the address of the local APIC */
#define X(id, name) sregs.name = to_kvm(&state->segments[VM_##id]);
    SEGMENTS(X)
#undef X
    sregs.gdt = (struct kvm_dtable){.base = state->gdt.base, .limit = state->gdt.limit};
    sregs.idt = (struct kvm_dtable){.base = state->idt.base, .limit = state->idt.limit};
    sregs.cr0 = state->cr0, sregs.cr2 = state->cr2, sregs.cr3 = state->cr3, sregs.cr4 = state->cr4;
    sregs.cr8 = state->cr8, sregs.efer = state->efer;
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs)) return errno;
    const uint64_t *r = state->gpr;
    struct kvm_regs regs = {r[VM_RAX], r[VM_RBX], r[VM_RCX], r[VM_RDX], r[VM_RSI],  r[VM_RDI],
                            r[VM_RSP], r[VM_RBP], r[8],      r[9],      r[10],      r[11],
                            r[12],     r[13],     r[14],     r[15],     state->rip, state->rflags};
    if (ioctl(vcpu->fd, KVM_SET_REGS, &regs)) return errno;
    return set_msr(vcpu->fd, MSR_KERNEL_GS_BASE, state->kernel_gs_base) < 0 ? errno : 0;
}

int kvm_vcpu_get_state(void *object, struct vm_cpu_state *out) {
    struct kvm_vcpu *vcpu = object;
    struct kvm_sregs sregs;
    struct kvm_regs k;
    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) || ioctl(vcpu->fd, KVM_GET_REGS, &k)) return errno;
    *out = (struct vm_cpu_state){.gpr = {k.rax, k.rcx, k.rdx, k.rbx, k.rsp, k.rbp, k.rsi, k.rdi, k.r8, k.r9,
                                         k.r10, k.r11, k.r12, k.r13, k.r14, k.r15},
                                 .rip = k.rip,
                                 .rflags = k.rflags,
                                 .gdt = {sregs.gdt.base, sregs.gdt.limit},
                                 .idt = {sregs.idt.base, sregs.idt.limit},
                                 .cr0 = sregs.cr0,
                                 .cr2 = sregs.cr2,
                                 .cr3 = sregs.cr3,
                                 .cr4 = sregs.cr4,
                                 .cr8 = sregs.cr8,
                                 .efer = sregs.efer};
#define X(id, name) out->segments[VM_##id] = from_kvm(&sregs.name);
    SEGMENTS(X)
#undef X
    return get_msr(vcpu->fd, MSR_KERNEL_GS_BASE, &out->kernel_gs_base) < 0 ? errno : 0;
}

/* ---- running ---- */

int kvm_kick_signal(void) { return SIGRTMIN + 1; }

void kvm_vcpu_kick(void *object) {
    struct kvm_vcpu *vcpu = object;
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (vcpu->has_thread) pthread_kill(vcpu->thread, kvm_kick_signal());
}

static void failed(struct vm_exit *exit, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void failed(struct vm_exit *exit, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(exit->text, sizeof exit->text, format, args);
    va_end(args);
    exit->kind = VM_EXIT_FAILED;
}

static void internal_error(const struct kvm_vcpu *vcpu, struct vm_exit *exit) {
    static const char *const names[] = {[KVM_INTERNAL_ERROR_EMULATION] = "an instruction KVM cannot emulate",
                                        [KVM_INTERNAL_ERROR_SIMUL_EX] = "an exception in an exception",
                                        [KVM_INTERNAL_ERROR_DELIVERY_EV] =
                                            "an event that cannot be delivered"};
    unsigned error = vcpu->run->internal.suberror;
    const char *name = error < sizeof names / sizeof *names ? names[error] : NULL;
    struct kvm_regs regs = {0};
    ioctl(vcpu->fd, KVM_GET_REGS, &regs);
    failed(exit, "processor %u: %s (%u) at 0x%llx", vcpu->index, name ? name : "KVM gave up", error,
           (unsigned long long)regs.rip);
}

static void translate(struct kvm_vcpu *vcpu, struct vm_exit *exit) {
    struct kvm_run *run = vcpu->run;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exit->kind = VM_EXIT_PORT;
        exit->is_write = run->io.direction == KVM_EXIT_IO_OUT;
        exit->address = run->io.port;
        exit->n_bytes = run->io.size;
        exit->count = run->io.count;
        exit->data = (char *)run + run->io.data_offset;
        return;
    case KVM_EXIT_MMIO:
        exit->kind = VM_EXIT_MEMORY;
        exit->is_write = run->mmio.is_write;
        exit->address = run->mmio.phys_addr;
        exit->n_bytes = run->mmio.len;
        exit->count = 1;
        exit->data = run->mmio.data;
        return;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN: exit->kind = VM_EXIT_NONE; return;
    case KVM_EXIT_DEBUG: kvm_debug_exit(vcpu, exit); return;
    case KVM_EXIT_HLT: exit->kind = VM_EXIT_HALTED; return;
    case KVM_EXIT_SHUTDOWN: exit->kind = VM_EXIT_RESET; return;
    case KVM_EXIT_INTERNAL_ERROR: internal_error(vcpu, exit); return;
    case KVM_EXIT_FAIL_ENTRY:
        failed(exit, "processor %u: the hardware refuses to enter the guest (0x%llx)", vcpu->index,
               (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        return;
    default:
        failed(exit, "processor %u: KVM came back for a reason unknown here (%u)", vcpu->index,
               run->exit_reason);
    }
}

void kvm_vcpu_run(void *object, struct vm_exit *out_exit) {
    struct kvm_vcpu *vcpu = object;
    if (!vcpu->has_thread) {
        vcpu->thread = pthread_self();
        vcpu->has_thread = true;
    }
    *out_exit = (struct vm_exit){.kind = VM_EXIT_NONE};
    int result = ioctl(vcpu->fd, KVM_RUN, 0), error = errno;
    if (vcpu->is_injecting) kvm_debug_injected(vcpu);
    if (result == 0) {
        translate(vcpu, out_exit);
    } else if (error == EINTR || error == EAGAIN) {
        __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    } else {
        failed(out_exit, "processor %u: KVM cannot run it: %s", vcpu->index, strerror(error));
    }
}
