/* sysvm/cpu/kvm/kvm.c: a virtual machine of Linux KVM. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "sysvm/cpu/kvm/kvm.h"
#include "sysvm/layout.h"

/* What the engine cannot do without, and what it is for. */
static const struct {
    int capability;
    const char *name, *use;
} needed[] = {
    {KVM_CAP_USER_MEMORY, "USER_MEMORY", "guest memory"},
    {KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR", "real mode"},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, "SET_IDENTITY_MAP_ADDR", "real mode"},
    {KVM_CAP_EXT_CPUID, "EXT_CPUID", "a choice of processor features"},
    {KVM_CAP_IRQCHIP, "IRQCHIP", "interrupt controllers"},
    {KVM_CAP_PIT2, "PIT2", "the timer"},
    {KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI", "message-signalled interrupts"},
    {KVM_CAP_IOEVENTFD, "IOEVENTFD", "doorbells of devices"},
    {KVM_CAP_MP_STATE, "MP_STATE", "several processors"},
    {KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT", "stopping a processor"},
};

enum atoll_status kvm_failed(struct atoll_error *err, const char *what) {
    int error = errno;
    if (err) err->system_errno = error;
    return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "KVM: %s: %s", what, strerror(error));
}

/* ---- what the host can do ---- */

static enum atoll_status open_device(struct kvm *kvm, struct atoll_error *err) {
    kvm->device = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm->device >= 0) return ATOLL_OK;
    const char *why = errno == ENOENT || errno == ENODEV || errno == ENXIO
                          ? "KVM is not there (no such device; is the module kvm-intel or kvm-amd loaded?)"
                      : errno == EACCES ? "permission denied (is the user in the group of the device?)"
                                        : strerror(errno);
    return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "/dev/kvm: %s", why);
}

/* Names all that is missing, so that nobody has to ask twice. */
static enum atoll_status check_capabilities(const struct kvm *kvm, struct atoll_error *err) {
    char missing[512];
    size_t n = 0;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (ioctl(kvm->device, KVM_CHECK_EXTENSION, needed[i].capability) > 0 || n >= sizeof missing)
            continue;
        n += (size_t)snprintf(missing + n, sizeof missing - n, "%sKVM_CAP_%s, needed for %s", n ? "; " : "",
                              needed[i].name, needed[i].use);
    }
    return !n ? ATOLL_OK
              : atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "this host's KVM has no %s", missing);
}

static enum atoll_status check_host(const struct kvm *kvm, struct atoll_error *err) {
    int version = ioctl(kvm->device, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                          "/dev/kvm speaks version %d of its interface, not %d", version, KVM_API_VERSION);
    enum atoll_status status = check_capabilities(kvm, err);
    if (status) return status;
    int max = ioctl(kvm->device, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    if (max > 0 && kvm->n_cpus > (unsigned)max)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET,
                          "this host's KVM has at most %d processors a machine", max);
    return ATOLL_OK;
}

static enum atoll_status get_cpuid(struct kvm *kvm, struct atoll_error *err) {
    kvm->cpuid = atoll_new(kvm->alloc, 1, KVM_CPUID_BYTES);
    if (!kvm->cpuid) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    kvm->cpuid->nent = KVM_MAX_CPUID;
    if (ioctl(kvm->device, KVM_GET_SUPPORTED_CPUID, kvm->cpuid)) return kvm_failed(err, "processor features");
    kvm->has_tsc_deadline = ioctl(kvm->device, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    return ATOLL_OK;
}

/* ---- the virtual machine ---- */

static enum atoll_status create_vm(struct kvm *kvm, struct atoll_error *err) {
    do kvm->vm = ioctl(kvm->device, KVM_CREATE_VM, 0);
    while (kvm->vm < 0 && errno == EINTR);
    if (kvm->vm < 0) return kvm_failed(err, "no virtual machine");
    uint64_t identity = VM_KVM_IDENTITY;
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    if (ioctl(kvm->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) || ioctl(kvm->vm, KVM_SET_TSS_ADDR, VM_KVM_TSS))
        return kvm_failed(err, "pages for real mode");
    if (ioctl(kvm->vm, KVM_CREATE_IRQCHIP, 0)) return kvm_failed(err, "no interrupt controllers");
    if (ioctl(kvm->vm, KVM_CREATE_PIT2, &pit)) return kvm_failed(err, "no timer");
    return ATOLL_OK;
}

static enum atoll_status map_memory(struct kvm *kvm, const struct vm_memory *memory,
                                    struct atoll_error *err) {
    const struct vm_ram *ranges;
    size_t n = vm_memory_ranges(memory, &ranges);
    for (size_t i = 0; i < n; i++) {
        struct kvm_userspace_memory_region region = {.slot = (uint32_t)i,
                                                     .guest_phys_addr = ranges[i].gpa,
                                                     .memory_size = ranges[i].size_bytes,
                                                     .userspace_addr = (uint64_t)(uintptr_t)ranges[i].host};
        if (ioctl(kvm->vm, KVM_SET_USER_MEMORY_REGION, &region)) return kvm_failed(err, "guest memory");
    }
    return ATOLL_OK;
}

static void do_nothing(int number) { (void)number; }

/* The default action of the signal would end the process; whoever set another keeps it. */
static void handle_kicks(void) {
    struct sigaction before, action = {.sa_handler = do_nothing};
    sigemptyset(&action.sa_mask);
    if (sigaction(kvm_kick_signal(), NULL, &before) == 0 && before.sa_handler == SIG_DFL)
        sigaction(kvm_kick_signal(), &action, NULL);
}

static void destroy(void *engine) {
    struct kvm *kvm = engine;
    atoll_free(kvm->alloc, kvm->cpuid, KVM_CPUID_BYTES);
    if (kvm->vm >= 0) close(kvm->vm);
    if (kvm->device >= 0) close(kvm->device);
    atoll_free(kvm->alloc, kvm, sizeof *kvm);
}

static enum atoll_status set_up(struct kvm *kvm, const struct vm_memory *memory, struct atoll_error *err) {
    enum atoll_status status = open_device(kvm, err);
    if (status == ATOLL_OK) status = check_host(kvm, err);
    if (status == ATOLL_OK) status = get_cpuid(kvm, err);
    if (status == ATOLL_OK) status = create_vm(kvm, err);
    if (status == ATOLL_OK) status = map_memory(kvm, memory, err);
    kvm->has_wires = status == ATOLL_OK && kvm_has_wires(kvm->device);
    if (status != ATOLL_OK) return status;
    int run_size = ioctl(kvm->device, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run)) return kvm_failed(err, "no shared area for processors");
    kvm->run_size = (size_t)run_size;
    handle_kicks();
    return ATOLL_OK;
}

static enum atoll_status create(const struct vm_engine_config *config, void **out_engine,
                                struct atoll_error *err) {
    if (config->counts)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "KVM does not count instructions");
    struct kvm *kvm = atoll_new(config->alloc, 1, sizeof *kvm);
    if (!kvm) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *kvm = (struct kvm){.alloc = config->alloc, .device = -1, .vm = -1, .n_cpus = config->n_cpus};
    enum atoll_status status = set_up(kvm, config->memory, err);
    if (status != ATOLL_OK)
        destroy(kvm);
    else
        *out_engine = kvm;
    return status;
}

/* ---- interrupts and doorbells ---- */

static void line(void *engine, unsigned gsi, bool level) {
    struct kvm *kvm = engine;
    struct kvm_irq_level irq = {.irq = gsi, .level = level};
    ioctl(kvm->vm, KVM_IRQ_LINE, &irq);
}

/* The guest chose address and data; nonsense reaches no processor, which is the guest's loss. */
static void msi(void *engine, uint64_t address, uint32_t data) {
    struct kvm *kvm = engine;
    struct kvm_msi message = {
        .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};
    ioctl(kvm->vm, KVM_SIGNAL_MSI, &message);
}

static int doorbell(void *engine, uint64_t gpa, unsigned n_bytes, int eventfd, bool on) {
    struct kvm *kvm = engine;
    struct kvm_ioeventfd bell = {
        .addr = gpa, .len = n_bytes, .fd = eventfd, .flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN};
    return ioctl(kvm->vm, KVM_IOEVENTFD, &bell) ? errno : 0;
}

const struct vm_engine_ops vm_engine_kvm = {.name = "kvm",
                                            .irq = {line, msi, doorbell, kvm_wire, kvm_unwire},
                                            .create = create,
                                            .destroy = destroy,
                                            .vcpu_new = kvm_vcpu_new,
                                            .vcpu_free = kvm_vcpu_free,
                                            .run = kvm_vcpu_run,
                                            .get_state = kvm_vcpu_get_state,
                                            .set_state = kvm_vcpu_set_state,
                                            .get_fp = kvm_vcpu_get_fp,
                                            .set_fp = kvm_vcpu_set_fp,
                                            .set_debug = kvm_vcpu_set_debug,
                                            .n_debug_registers = KVM_DEBUG_REGISTERS,
                                            .kick = kvm_vcpu_kick};
