/* sysvm/machine.c: a machine from its first byte to its end, see machine.h. */
#include <string.h>
#include "sysvm/machine_internal.h"

/* ---- its end ---- */

void vm_machine_end(struct vm_machine *machine, enum vm_end end, const char *text) {
    pthread_mutex_lock(&machine->end_lock);
    if (machine->end == VM_END_NONE) {
        machine->end = end;
        if (text) atoll_fail(&machine->end_error, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", text);
    }
    pthread_mutex_unlock(&machine->end_lock);
    machine->stopping = true;
    vm_loop_stop(machine->loop);
}

void vm_machine_stop(struct vm_machine *machine) { vm_machine_end(machine, VM_END_STOPPED, NULL); }

static void on_reset(void *context) { vm_machine_end(context, VM_END_RESET, NULL); }
static void on_off(void *context) { vm_machine_end(context, VM_END_OFF, NULL); }

/* ---- huge pages for what processors touch by themselves ---- */

enum { SWEEP_BLOCKS = 4, SWEEP_FIRST_NS = 5000000, SWEEP_LAST_NS = 1000000000 };

/* Few at a time, as devices wait meanwhile; soon again while there are any, else later and later. */
static void on_sweep(void *context) {
    struct vm_machine *machine = context;
    if (vm_memory_sweep(machine->memory, SWEEP_BLOCKS))
        machine->sweep_ns = SWEEP_FIRST_NS;
    else if (machine->sweep_ns < SWEEP_LAST_NS)
        machine->sweep_ns += machine->sweep_ns / 4;
    vm_timer_set(machine->sweep, vm_now_ns() + machine->sweep_ns);
}

static enum atoll_status begin_sweeps(struct vm_machine *machine) {
    if (!vm_memory_wants_sweeps(machine->memory)) return ATOLL_OK;
    if (vm_timer_new(machine->loop, on_sweep, machine, &machine->sweep)) return ATOLL_E_NOMEM;
    machine->sweep_ns = SWEEP_FIRST_NS;
    on_sweep(machine);
    return ATOLL_OK;
}

/* ---- making one ---- */

static enum atoll_status no_memory(struct atoll_error *err) {
    return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

static enum atoll_status make_board(struct vm_machine *machine, struct atoll_error *err) {
    const struct vm_machine_config *config = &machine->config;
    enum atoll_status status =
        vm_memory_new_as(config->alloc, config->memory_bytes, config->memory_kind, &machine->memory, err);
    if (status != ATOLL_OK) return status;
    machine->ports = vm_bus_new(config->alloc);
    machine->mmio = vm_bus_new(config->alloc);
    if (!machine->ports || !machine->mmio) return no_memory(err);
    struct vm_engine_config engine = {.alloc = config->alloc,
                                      .memory = machine->memory,
                                      .n_cpus = config->n_cpus,
                                      .serve = vm_vcpus_serve,
                                      .thread_starts = vm_vcpus_thread_starts,
                                      .context = machine,
                                      .counts = config->counts,
                                      .code = config->code};
    status = config->engine->create(&engine, &machine->engine, err);
    machine->irq = (struct vm_irq){&config->engine->irq, machine->engine};
    return status;
}

enum atoll_status vm_machine_new(const struct vm_machine_config *config, struct vm_machine **out,
                                 struct atoll_error *err) {
    if (!config->n_cpus || config->n_cpus > VM_CPUS_MAX)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "a machine has 1 to %u processors",
                          VM_CPUS_MAX);
    struct vm_machine *machine = atoll_new(config->alloc, 1, sizeof *machine);
    if (!machine) return no_memory(err);
    machine->config = *config;
    machine->loop = config->loop;
    machine->power = (struct vm_power){on_reset, on_off, machine};
    pthread_mutex_init(&machine->end_lock, NULL);
    enum atoll_status status = make_board(machine, err);
    if (status == ATOLL_OK) status = vm_devices_new(machine, err);
    if (status == ATOLL_OK && begin_sweeps(machine) != ATOLL_OK) status = no_memory(err);
    if (status != ATOLL_OK)
        vm_machine_free(machine);
    else
        *out = machine;
    return status;
}

void vm_machine_free(struct vm_machine *machine) {
    if (!machine) return;
    vm_timer_free(machine->sweep);
    vm_debug_free(machine->debug);
    vm_vcpus_free(machine);
    vm_devices_free(machine);
    if (machine->engine) machine->config.engine->destroy(machine->engine);
    vm_bus_free(machine->mmio);
    vm_bus_free(machine->ports);
    vm_memory_free(machine->memory);
    pthread_mutex_destroy(&machine->end_lock);
    atoll_free(machine->config.alloc, machine, sizeof *machine);
}

/* ---- running it ---- */

enum atoll_status vm_machine_load(struct vm_machine *machine, const struct vm_machine_kernel *kernel,
                                  struct atoll_error *err) {
    struct vm_boot_config boot = {.alloc = machine->config.alloc,
                                  .memory = machine->memory,
                                  .n_cpus = machine->config.n_cpus,
                                  .kernel = kernel->kernel,
                                  .initrd = kernel->initrd,
                                  .cmdline = kernel->cmdline,
                                  .self_unpacking = kernel->self_unpacking};
    struct vm_cpu_state first;
    enum atoll_status status = vm_boot_load(&boot, &first, err);
    return status == ATOLL_OK ? vm_vcpus_new(machine, &first, err) : status;
}

enum atoll_status vm_machine_run(struct vm_machine *machine, enum vm_end *out_end, struct atoll_error *err) {
    enum atoll_status status = vm_vcpus_start(machine, err);
    if (status != ATOLL_OK) return status;
    int error = vm_loop_run(machine->loop);
    if (error) vm_machine_end(machine, VM_END_FAILED, strerror(error));
    vm_vcpus_join(machine);
    *out_end = machine->end;
    if (machine->end == VM_END_FAILED && err) *err = machine->end_error;
    return ATOLL_OK;
}

struct vm_stream_device vm_machine_serial(struct vm_machine *machine) {
    return vm_serial_stream(machine->serial);
}
size_t vm_machine_output_left(struct vm_machine *machine) {
    vm_loop_lock(machine->loop);
    vm_serial_flush(machine->serial);
    size_t left = vm_serial_output_bytes(machine->serial);
    vm_loop_unlock(machine->loop);
    return left;
}
void vm_machine_power_button(struct vm_machine *machine) { vm_acpi_pm_power_button(machine->acpi_pm); }

bool vm_machine_shares_memory(const struct vm_machine *machine) { return vm_memory_fd(machine->memory) >= 0; }

bool vm_machine_set_memory(struct vm_machine *machine, uint64_t n_bytes) {
    uint64_t all = vm_memory_size(machine->memory);
    if (!machine->balloon) return false;
    vballoon_set_target(machine->balloon, n_bytes < all ? (uint32_t)((all - n_bytes) / VBALLOON_PAGE) : 0);
    return true;
}

uint64_t vm_machine_balloon_bytes(const struct vm_machine *machine) {
    return machine->balloon ? vballoon_actual(machine->balloon) * VBALLOON_PAGE : 0;
}

uint64_t vm_machine_exits(const struct vm_machine *machine) { return machine->n_exits; }

bool vm_machine_count(const struct vm_machine *machine, size_t i, struct vm_machine_count *out) {
    for (int memory = 0; memory < 2; memory++) {
        const struct vm_bus *bus = memory ? machine->mmio : machine->ports;
        out->is_port = !memory;
        size_t n = 0;
        for (; vm_bus_count(bus, n, &out->device, &out->base, &out->n); n++)
            if (n == i) return true;
        i -= n;
    }
    return false;
}
