/* sysvm/cpu/choose.c: which engine, by measuring. */
#include <stdio.h>
#include <string.h>
#include "sysvm/cpu/engine.h"
#include "sysvm/layout.h"
#include "sysvm/loop.h"

enum { LOOPS = 10000, PORT = 0x80 };
#define LONG_ENOUGH_NS UINT64_C(100000000) /* several runs on the slowest hosts */

/* mov ecx, LOOPS; 1: dec ecx; jnz 1b; out 0x80, al; jmp start */
static const uint8_t program[] = {0xB9, LOOPS & 0xFF, LOOPS >> 8, 0,    0,    0xFF, 0xC9,
                                  0x75, 0xFC,         0xE6,       PORT, 0xEB, 0xF3};

/* Runs to the next output; false: the guest did something else. */
static bool run_once(const struct vm_engine_ops *ops, void *vcpu, struct vm_exit *exit) {
    do ops->run(vcpu, exit);
    while (exit->kind == VM_EXIT_NONE);
    return exit->kind == VM_EXIT_PORT && exit->address == PORT && exit->is_write;
}

/* Runs until one was fast, since what else is busy, here or a level further out, makes runs slow. */
static enum atoll_status measure(const struct vm_engine_ops *ops, void *vcpu, uint64_t *out_rate,
                                 struct atoll_error *err) {
    uint64_t best_ns = UINT64_MAX, begin = vm_now_ns(), now = begin;
    for (int i = 0; i < 2 || now - begin < LONG_ENOUGH_NS; i++) {
        struct vm_exit exit;
        uint64_t start = now;
        if (!run_once(ops, vcpu, &exit))
            return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "engine %s cannot run a loop: %s",
                              ops->name, exit.kind == VM_EXIT_FAILED ? exit.text : "the guest crashed");
        now = vm_now_ns();
        uint64_t ns = now - start + 1;
        if (ns < best_ns) best_ns = ns;
        if (i && UINT64_C(2000000000) * LOOPS / best_ns >= VM_ENGINE_FAST) break; /* the first one warms up */
    }
    *out_rate = UINT64_C(2000000000) * LOOPS / best_ns;
    return ATOLL_OK;
}

struct vm_probe {
    const struct atoll_alloc *alloc;
    const struct vm_engine_ops *ops;
    struct vm_memory *memory;
    void *engine, *vcpu;
};

void vm_probe_free(struct vm_probe *p) {
    if (!p) return;
    if (p->vcpu) p->ops->vcpu_free(p->vcpu);
    if (p->engine) p->ops->destroy(p->engine);
    vm_memory_free(p->memory);
    atoll_free(p->alloc, p, sizeof *p);
}

static enum atoll_status make_probe(struct vm_probe *p, struct atoll_error *err) {
    struct vm_cpu_state state;
    enum atoll_status status = vm_memory_new(p->alloc, 2 * VM_MEMORY_MIN, &p->memory, err);
    if (status != ATOLL_OK) return status;
    struct vm_engine_config config = {.alloc = p->alloc, .memory = p->memory, .n_cpus = 1};
    status = p->ops->create(&config, &p->engine, err);
    if (status == ATOLL_OK) status = p->ops->vcpu_new(p->engine, 0, &p->vcpu, err);
    if (status != ATOLL_OK) return status;
    if (!vm_memory_write(p->memory, VM_KERNEL_BASE, program, sizeof program) ||
        !vm_state_long(&state, p->memory, VM_KERNEL_BASE) || p->ops->set_state(p->vcpu, &state))
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET, "engine %s refuses 64-bit mode",
                          p->ops->name);
    return ATOLL_OK;
}

enum atoll_status vm_engine_measure(const struct atoll_alloc *alloc, const struct vm_engine_ops *ops,
                                    uint64_t *out_rate, struct vm_probe **out_probe,
                                    struct atoll_error *err) {
    struct vm_probe *p = *out_probe = atoll_new(alloc, 1, sizeof *p);
    if (!p) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *p = (struct vm_probe){.alloc = alloc, .ops = ops};
    enum atoll_status status = make_probe(p, err);
    return status == ATOLL_OK ? measure(ops, p->vcpu, out_rate, err) : status;
}

/* kvm where it runs and is fast; else why[]. fails E_NOMEM alone */
static enum atoll_status try_kvm(const struct atoll_alloc *alloc, bool *out_fast, char why[VM_ENGINE_WHY],
                                 struct vm_probe **out_probe, struct atoll_error *err) {
    struct atoll_error failed = {0};
    uint64_t rate = 0;
    enum atoll_status status = vm_engine_measure(alloc, &vm_engine_kvm, &rate, out_probe, &failed);
    *out_fast = status == ATOLL_OK && rate >= VM_ENGINE_FAST;
    if (status == ATOLL_E_NOMEM) return atoll_fail(err, status, ATOLL_NO_OFFSET, "%s", failed.text);
    if (status == ATOLL_OK)
        snprintf(why, VM_ENGINE_WHY, "KVM %s here, %.1f million instructions a second",
                 *out_fast ? "is fast" : "only emulates", (double)rate / 1e6);
    else
        snprintf(why, VM_ENGINE_WHY, "%.*s", VM_ENGINE_WHY - 1, failed.text);
    return ATOLL_OK;
}

enum atoll_status vm_engine_choose(const struct atoll_alloc *alloc, enum vm_engine_choice choice,
                                   const struct vm_engine_ops **out, char why[VM_ENGINE_WHY],
                                   struct vm_probe **out_probe, struct atoll_error *err) {
    *out_probe = NULL;
    bool kvm_is_fast = choice == VM_ENGINE_KVM;
    snprintf(why, VM_ENGINE_WHY, "as asked for");
    if (choice == VM_ENGINE_AUTO) {
        enum atoll_status status = try_kvm(alloc, &kvm_is_fast, why, out_probe, err);
        if (status != ATOLL_OK) return status;
    }
    *out = kvm_is_fast ? &vm_engine_kvm : &vm_engine_soft;
    return ATOLL_OK;
}
