/* sysvm/vcpus.c: the processors of a machine: a thread each, which serves what the engine cannot. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "sysvm/machine_internal.h"

/* ---- serving ---- */

/* What the other end of the serial port takes its time for is no time of the guest's. */
static void wait_for_output(struct vm_machine *machine) {
    const struct timespec nap = {.tv_nsec = 1000000};
    for (;;) {
        vm_loop_lock(machine->loop);
        bool full = vm_serial_is_full(machine->serial);
        vm_loop_unlock(machine->loop);
        if (!full || machine->stopping) return;
        nanosleep(&nap, NULL);
    }
}

static void access_bus(struct vm_machine *machine, struct vm_bus *bus, const struct vm_exit *exit) {
    char *data = exit->data;
    vm_loop_lock(machine->loop);
    for (unsigned i = 0; i < exit->count && !machine->stopping; i++, data += exit->n_bytes) {
        if (exit->is_write)
            vm_bus_write(bus, exit->address, data, exit->n_bytes);
        else
            vm_bus_read(bus, exit->address, data, exit->n_bytes);
    }
    vm_loop_unlock(machine->loop);
    if (machine->config.counts) wait_for_output(machine);
}

void vm_vcpus_serve(void *context, const struct vm_exit *exit) {
    struct vm_machine *machine = context;
    if (exit->kind != VM_EXIT_NONE) atomic_fetch_add_explicit(&machine->n_exits, 1, memory_order_relaxed);
    switch (exit->kind) {
    case VM_EXIT_NONE:
    case VM_EXIT_DEBUG: return;
    case VM_EXIT_PORT: access_bus(machine, machine->ports, exit); return;
    case VM_EXIT_MEMORY: access_bus(machine, machine->mmio, exit); return;
    case VM_EXIT_HALTED:
    case VM_EXIT_RESET: vm_machine_end(machine, VM_END_CRASHED, NULL); return;
    case VM_EXIT_FAILED: vm_machine_end(machine, VM_END_FAILED, exit->text); return;
    }
}

enum atoll_status vm_vcpus_thread_starts(void *context, struct atoll_error *err) {
    (void)err; /* who watches threads lets them go on, or ends the process */
    vm_loop_thread_starts(((struct vm_machine *)context)->loop, VM_ROLE_VCPU);
    return ATOLL_OK;
}

static void *run(void *context) {
    struct vm_vcpu *vcpu = context;
    struct vm_machine *machine = vcpu->machine;
    struct vm_exit exit = {.kind = VM_EXIT_NONE};
    char name[16];
    snprintf(name, sizeof name, "vcpu%u", vcpu->index);
    pthread_setname_np(pthread_self(), name);
    vm_loop_thread_starts(machine->loop, VM_ROLE_VCPU);
    while (!machine->stopping) {
        if (machine->debug) vm_debug_before_run(machine->debug, vcpu->index, &exit);
        machine->config.engine->run(vcpu->vcpu, &exit);
        if (machine->debug && vm_debug_takes(machine->debug, vcpu->index, &exit)) continue;
        vm_vcpus_serve(machine, &exit);
    }
    return NULL;
}

/* ---- threads ---- */

/* Deep enough for builds with sanitizers, and less than a huge page, which the kernel may take for a larger stack. */
enum { STACK_BYTES = 1 << 20 };

/* Signals are the loop's, or the caller's; a processor's thread takes only the engine's kicks. */
static int make_thread(struct vm_vcpu *vcpu) {
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return error;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++) sigdelset(&all, number);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&vcpu->thread, &attributes, run, vcpu);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    vcpu->is_running = !error;
    return error;
}

enum atoll_status vm_vcpus_start(struct vm_machine *machine, struct atoll_error *err) {
    for (unsigned i = 0; i < machine->config.n_cpus; i++) {
        int error = make_thread(machine->vcpus + i);
        if (!error) continue;
        machine->stopping = true;
        vm_vcpus_join(machine);
        if (err) err->system_errno = error;
        return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "no thread for processor %u: %s", i,
                          strerror(error));
    }
    return ATOLL_OK;
}

void vm_vcpus_join(struct vm_machine *machine) {
    if (machine->debug) vm_debug_wake(machine->debug);
    for (unsigned i = 0; i < machine->config.n_cpus; i++)
        if (machine->vcpus[i].is_running) machine->config.engine->kick(machine->vcpus[i].vcpu);
    for (unsigned i = 0; i < machine->config.n_cpus; i++) {
        if (machine->vcpus[i].is_running) pthread_join(machine->vcpus[i].thread, NULL);
        machine->vcpus[i].is_running = false;
    }
}

/* ---- making them ---- */

enum atoll_status vm_vcpus_new(struct vm_machine *machine, const struct vm_cpu_state *first,
                               struct atoll_error *err) {
    const struct vm_machine_config *config = &machine->config;
    machine->vcpus = atoll_new(config->alloc, config->n_cpus, sizeof *machine->vcpus);
    if (!machine->vcpus) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    for (unsigned i = 0; i < config->n_cpus; i++) {
        struct vm_vcpu *vcpu = machine->vcpus + i;
        vcpu->machine = machine;
        vcpu->index = i;
        enum atoll_status status = config->engine->vcpu_new(machine->engine, i, &vcpu->vcpu, err);
        if (status != ATOLL_OK) return status;
    }
    int error = config->engine->set_state(machine->vcpus[0].vcpu, first);
    if (!error) return ATOLL_OK;
    if (err) err->system_errno = error;
    return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET,
                      "engine %s refuses the first state of a processor: %s", config->engine->name,
                      strerror(error));
}

void vm_vcpus_free(struct vm_machine *machine) {
    const struct vm_machine_config *config = &machine->config;
    if (!machine->vcpus) return;
    for (unsigned i = 0; i < config->n_cpus; i++)
        if (machine->vcpus[i].vcpu) config->engine->vcpu_free(machine->vcpus[i].vcpu);
    atoll_free(config->alloc, machine->vcpus, config->n_cpus * sizeof *machine->vcpus);
}
