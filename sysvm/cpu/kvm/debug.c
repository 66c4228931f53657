/* sysvm/cpu/kvm/debug.c: a processor of KVM under a debugger.
 *
 * The kernel keeps the debugger's debug registers apart from the guest's, which count for nothing meanwhile. An exception
 * it takes out that is none of the debugger's goes back in with the next run. */
#include <errno.h>
#include <string.h>
#include "sysvm/cpu/kvm/kvm.h"

enum { DEBUG_EXCEPTION = 1, BREAKPOINT_EXCEPTION = 3 };
enum { DR6_HITS = 0xF, DR6_STEP = 1 << 14, DR7_LOCAL_EXACT = 1 << 8, DR7_ONE = 1 << 10 };

/* ---- registers of the FPU ---- */

int kvm_vcpu_get_fp(void *object, struct vm_fp_state *out) {
    const struct kvm_vcpu *vcpu = object;
    struct kvm_xsave area;
    if (ioctl(vcpu->fd, KVM_GET_XSAVE, &area)) return errno;
    memcpy(out->bytes, area.region, sizeof out->bytes);
    return 0;
}

int kvm_vcpu_set_fp(void *object, const struct vm_fp_state *state) {
    const struct kvm_vcpu *vcpu = object;
    struct kvm_xsave area; /* with what lies behind */
    uint64_t present;
    if (ioctl(vcpu->fd, KVM_GET_XSAVE, &area)) return errno;
    memcpy(&present, (char *)area.region + VM_FP_HEADER, sizeof present);
    memcpy(area.region, state->bytes, VM_FP_HEADER);
    memcpy((char *)area.region + VM_FP_YMM_HIGH, state->bytes + VM_FP_YMM_HIGH, VM_FP_BYTES - VM_FP_YMM_HIGH);
    present |= 3; /* x87, SSE */
    memcpy((char *)area.region + VM_FP_HEADER, &present, sizeof present);
    return ioctl(vcpu->fd, KVM_SET_XSAVE, &area) ? errno : 0;
}

/* ---- arming ---- */

/* The kth breakpoint that takes a register; NULL: there are not so many. */
static const struct vm_breakpoint *in_register(const struct vm_debug_spec *spec, size_t k) {
    for (size_t i = 0; i < spec->n; i++)
        if (!spec->breakpoints[i].in_memory && k-- == 0) return spec->breakpoints + i;
    return NULL;
}

/* Condition and length, as they stand in DR7. */
static uint64_t how(const struct vm_breakpoint *b) {
    static const uint8_t lengths[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
    if (b->kind == VM_BREAK_CODE) return 0;
    return (b->kind == VM_BREAK_WRITE ? 1 : 3) | (uint64_t)lengths[b->n_bytes] << 2;
}

static void fill_registers(const struct vm_debug_spec *spec, struct kvm_guest_debug *out) {
    const struct vm_breakpoint *b;
    uint64_t dr7 = DR7_ONE | DR7_LOCAL_EXACT;
    for (unsigned i = 0; i < KVM_DEBUG_REGISTERS && (b = in_register(spec, i)); i++) {
        out->arch.debugreg[i] = b->address;
        dr7 |= UINT64_C(1) << 2 * i | how(b) << (16 + 4 * i);
        out->control |= KVM_GUESTDBG_USE_HW_BP;
    }
    out->arch.debugreg[7] = dr7;
}

static bool can_block_interrupts(const struct kvm_vcpu *vcpu) {
#ifdef KVM_GUESTDBG_BLOCKIRQ
    int known = ioctl(vcpu->kvm->device, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
    return known > 0 && known & KVM_GUESTDBG_BLOCKIRQ;
#else
    return (void)vcpu, false;
#endif
}

static int arm(struct kvm_vcpu *vcpu, uint32_t injected) {
    const struct vm_debug_spec *spec = &vcpu->debug;
    struct kvm_guest_debug debug = {0};
    bool in_memory = false;
    for (size_t i = 0; i < spec->n; i++) in_memory |= spec->breakpoints[i].in_memory;
    if (spec->n || spec->is_stepping || injected) {
        debug.control = KVM_GUESTDBG_ENABLE | injected;
        if (in_memory) debug.control |= KVM_GUESTDBG_USE_SW_BP;
        if (spec->is_stepping) debug.control |= KVM_GUESTDBG_SINGLESTEP;
#ifdef KVM_GUESTDBG_BLOCKIRQ
        if (spec->is_stepping && can_block_interrupts(vcpu)) debug.control |= KVM_GUESTDBG_BLOCKIRQ;
#endif
        fill_registers(spec, &debug);
    }
    if (!debug.control && !vcpu->is_debugged) return 0; /* not every KVM has this */
    vcpu->is_debugged = true;
    return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) ? errno : 0;
}

int kvm_vcpu_set_debug(void *object, const struct vm_debug_spec *spec) {
    struct kvm_vcpu *vcpu = object;
    if (in_register(spec, KVM_DEBUG_REGISTERS)) return ENOSPC;
    vcpu->debug = *spec;
    vcpu->is_injecting = false;
    return arm(vcpu, 0);
}

/* ---- coming back ---- */

static void inject(struct kvm_vcpu *vcpu, uint32_t what) { vcpu->is_injecting = arm(vcpu, what) == 0; }

void kvm_debug_injected(struct kvm_vcpu *vcpu) {
    vcpu->is_injecting = false;
    arm(vcpu, 0);
}

static void tell(struct vm_exit *exit, enum vm_stop stop, const struct vm_breakpoint *b) {
    exit->kind = VM_EXIT_DEBUG;
    exit->stop = stop;
    if (!b) return;
    exit->address = b->address;
    exit->data_kind = b->kind;
}

static const struct vm_breakpoint *that_was_hit(const struct kvm_vcpu *vcpu, uint64_t dr6) {
    const struct vm_breakpoint *b, *found = NULL;
    for (unsigned i = 0; i < KVM_DEBUG_REGISTERS && (b = in_register(&vcpu->debug, i)); i++)
        if (dr6 >> i & 1 && (!found || b->kind == VM_BREAK_CODE)) found = b;
    return found;
}

static const struct vm_breakpoint *in_memory_at(const struct kvm_vcpu *vcpu, uint64_t address) {
    for (size_t i = 0; i < vcpu->debug.n; i++)
        if (vcpu->debug.breakpoints[i].in_memory && vcpu->debug.breakpoints[i].address == address)
            return vcpu->debug.breakpoints + i;
    return NULL;
}

void kvm_debug_exit(struct kvm_vcpu *vcpu, struct vm_exit *exit) {
    const struct kvm_debug_exit_arch *debug = &vcpu->run->debug.arch;
    const struct vm_breakpoint *b;
    exit->kind = VM_EXIT_NONE;
    if (debug->exception == BREAKPOINT_EXCEPTION) {
        b = in_memory_at(vcpu, debug->pc);
        if (b)
            tell(exit, VM_STOP_CODE, b);
        else
            inject(vcpu, KVM_GUESTDBG_INJECT_BP);
        return;
    }
    b = that_was_hit(vcpu, debug->dr6 & DR6_HITS);
    if (b)
        tell(exit, b->kind == VM_BREAK_CODE ? VM_STOP_CODE : VM_STOP_DATA, b);
    else if (vcpu->debug.is_stepping && debug->dr6 & DR6_STEP)
        tell(exit, VM_STOP_STEP, NULL);
    else
        inject(vcpu, KVM_GUESTDBG_INJECT_DB);
}
