/* sysvm/debug.c: see debug.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "sysvm/machine_internal.h"

struct cpu {
    enum vm_debug_action action;
    bool is_still, is_told; /* is_told: of `stop` */
    struct vm_debug_stop stop;
    atomic_bool asks; /* has to look here before it runs */
};

/* What vm_breakpoint does not know. */
struct place {
    uint64_t gpa;
    bool is_hard, has_gpa;
    uint8_t before; /* the byte under an int3 */
};

enum { INT3 = 0xCC };

struct vm_debug {
    struct vm_machine *machine;
    void (*stopped)(void *context);
    void *context;
    pthread_mutex_t
        lock; /* taken under the machine lock or alone; nothing is taken under it but the loop's posts */
    pthread_cond_t changed;
    bool is_halting, is_attached;
    unsigned n_running, first; /* first: the processor that stopped the others */
    struct cpu *cpus;
    struct vm_breakpoint breakpoints[VM_DEBUG_BREAKPOINTS];
    struct place places[VM_DEBUG_BREAKPOINTS];
    size_t n;
};

/* ---- int3 in memory ---- */

static unsigned n_registers(const struct vm_debug *d) { return d->machine->config.engine->n_debug_registers; }

/* Registers that cannot be spared; those that are left go to other breakpoints before memory is changed. */
static unsigned n_needed(const struct vm_debug *d) {
    unsigned n = 0;
    for (size_t i = 0; i < d->n; i++) n += d->places[i].is_hard || !d->places[i].has_gpa;
    return n;
}

static void arm(struct vm_debug *d) {
    unsigned needed = n_needed(d), spare = n_registers(d) > needed ? n_registers(d) - needed : 0;
    const uint8_t int3 = INT3;
    if (!n_registers(d)) return;
    for (size_t i = 0; i < d->n; i++) {
        struct place *place = d->places + i;
        bool may = !place->is_hard && place->has_gpa;
        if (may && spare) {
            spare--;
            continue;
        }
        if (may && vm_memory_read(d->machine->memory, place->gpa, &place->before, 1))
            d->breakpoints[i].in_memory = vm_memory_write(d->machine->memory, place->gpa, &int3, 1);
    }
}

/* In reverse order: two may stand at one place, by different addresses. */
static void disarm(struct vm_debug *d) {
    for (size_t i = d->n; i--;) {
        if (!d->breakpoints[i].in_memory) continue;
        d->breakpoints[i].in_memory = false;
        vm_memory_write(d->machine->memory, d->places[i].gpa, &d->places[i].before, 1);
    }
}

/* ---- standing still; under the lock ---- */

static void announce(void *context) {
    struct vm_debug *d = context;
    if (vm_debug_is_still(d)) d->stopped(d->context);
}

/* Out of memory: nobody would ever hear of it. */
static void tell(struct vm_debug *d) {
    if (vm_loop_post(d->machine->loop, announce, d))
        vm_machine_end(d->machine, VM_END_FAILED, "out of memory for the debugger");
}

static void stand(struct vm_debug *d, struct cpu *cpu) {
    if (cpu->is_still) return;
    cpu->is_still = true;
    if (--d->n_running) return;
    disarm(d);
    d->is_halting = true;
    tell(d);
}

static void halt(struct vm_debug *d, unsigned first, const struct cpu *self) {
    struct vm_machine *machine = d->machine;
    if (d->is_halting) return;
    d->is_halting = true;
    d->first = first;
    for (unsigned i = 0; i < machine->config.n_cpus; i++) {
        struct cpu *cpu = d->cpus + i;
        if (cpu->is_still) continue;
        atomic_store(&cpu->asks, true);
        if (cpu != self && machine->vcpus[i].is_running) machine->config.engine->kick(machine->vcpus[i].vcpu);
    }
}

static void wait_for_turn(struct vm_debug *d, unsigned index) {
    struct cpu *cpu = d->cpus + index;
    while (!d->machine->stopping && (d->is_halting || cpu->action == VM_DEBUG_STAY)) {
        stand(d, cpu);
        pthread_cond_wait(&d->changed, &d->lock);
    }
}

static void set_debug(struct vm_debug *d, unsigned index) {
    struct vm_machine *machine = d->machine;
    struct vm_debug_spec spec = {d->breakpoints, d->n, d->cpus[index].action == VM_DEBUG_STEP};
    int error = machine->config.engine->set_debug(machine->vcpus[index].vcpu, &spec);
    if (!error) return;
    char text[120];
    snprintf(text, sizeof text, "processor %u: its breakpoints cannot be set: %s", index, strerror(error));
    vm_machine_end(machine, VM_END_FAILED, text);
}

/* ---- by the threads of processors ---- */

/* One that left in the midst of an instruction, for a device, goes back to end it before it stands still. */
void vm_debug_before_run(struct vm_debug *d, unsigned index, const struct vm_exit *last) {
    struct cpu *cpu = d->cpus + index;
    if (!atomic_load(&cpu->asks)) return;
    if (last->kind == VM_EXIT_PORT || last->kind == VM_EXIT_MEMORY) {
        d->machine->config.engine->kick(d->machine->vcpus[index].vcpu);
        return;
    }
    pthread_mutex_lock(&d->lock);
    wait_for_turn(d, index);
    if (!d->machine->stopping) set_debug(d, index);
    atomic_store(&cpu->asks, false);
    pthread_mutex_unlock(&d->lock);
}

static void stop_at(struct vm_debug *d, unsigned index, struct vm_debug_stop stop) {
    struct cpu *cpu = d->cpus + index;
    cpu->stop = stop;
    cpu->is_told = false;
    halt(d, index, cpu);
    atomic_store(&cpu->asks, true);
}

static bool has_soft(const struct vm_debug *d, uint64_t address) {
    for (size_t i = 0; i < d->n; i++)
        if (d->breakpoints[i].kind == VM_BREAK_CODE && d->breakpoints[i].address == address &&
            !d->places[i].is_hard)
            return true;
    return false;
}

bool vm_debug_takes(struct vm_debug *d, unsigned index, const struct vm_exit *exit) {
    static const enum vm_debug_why whys[] = {
        [VM_STOP_STEP] = VM_DEBUG_STEPPED, [VM_STOP_CODE] = VM_DEBUG_CODE, [VM_STOP_DATA] = VM_DEBUG_DATA};
    bool is_debug = exit->kind == VM_EXIT_DEBUG,
         is_crash = exit->kind == VM_EXIT_RESET || exit->kind == VM_EXIT_HALTED;
    if (!is_debug && !is_crash) return false;
    pthread_mutex_lock(&d->lock);
    if (is_debug && d->is_attached)
        stop_at(d, index,
                (struct vm_debug_stop){whys[exit->stop], exit->address, exit->data_kind,
                                       !has_soft(d, exit->address)});
    if (is_crash && d->is_attached) {
        stop_at(d, index, (struct vm_debug_stop){.why = VM_DEBUG_CRASHED});
        wait_for_turn(d, index);
    }
    pthread_mutex_unlock(&d->lock);
    return is_debug;
}

void vm_debug_wake(struct vm_debug *d) {
    pthread_mutex_lock(&d->lock);
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

/* ---- by the loop's thread ---- */

bool vm_debug_is_still(struct vm_debug *d) {
    pthread_mutex_lock(&d->lock);
    bool still = d->is_halting && !d->n_running;
    pthread_mutex_unlock(&d->lock);
    return still;
}

void vm_debug_interrupt(struct vm_debug *d) {
    pthread_mutex_lock(&d->lock);
    d->is_attached = true;
    if (!d->is_halting) d->cpus[0].stop = (struct vm_debug_stop){.why = VM_DEBUG_ASKED};
    if (d->is_halting && !d->n_running)
        tell(d);
    else
        halt(d, 0, NULL);
    pthread_mutex_unlock(&d->lock);
}

/* Breakpoints will be met again, data was written once. */
static bool has_more_to_tell(struct vm_debug *d, const enum vm_debug_action *actions) {
    for (unsigned i = 0; i < d->machine->config.n_cpus; i++) {
        struct cpu *cpu = d->cpus + i;
        bool tells = cpu->stop.why == VM_DEBUG_DATA || cpu->stop.why == VM_DEBUG_CRASHED;
        if (!tells || cpu->is_told || actions[i] == VM_DEBUG_STAY) continue;
        d->first = i;
        return true;
    }
    return false;
}

static void go(struct vm_debug *d, const enum vm_debug_action *actions) {
    arm(d);
    d->is_halting = false;
    for (unsigned i = 0; i < d->machine->config.n_cpus; i++) {
        struct cpu *cpu = d->cpus + i;
        cpu->stop = (struct vm_debug_stop){.why = VM_DEBUG_OTHER};
        cpu->action = actions[i];
        if (cpu->action == VM_DEBUG_STAY) continue;
        atomic_store(&cpu->asks, true);
        d->n_running += cpu->is_still;
        cpu->is_still = false;
    }
    pthread_cond_broadcast(&d->changed);
}

void vm_debug_resume(struct vm_debug *d, const enum vm_debug_action *actions) {
    pthread_mutex_lock(&d->lock);
    d->is_attached = true;
    if (has_more_to_tell(d, actions))
        tell(d);
    else
        go(d, actions);
    pthread_mutex_unlock(&d->lock);
}

void vm_debug_release(struct vm_debug *d) {
    enum vm_debug_action actions[VM_CPUS_MAX];
    for (unsigned i = 0; i < VM_CPUS_MAX; i++) actions[i] = VM_DEBUG_RUN;
    pthread_mutex_lock(&d->lock);
    d->is_attached = false;
    d->n = 0;
    go(d, actions);
    pthread_mutex_unlock(&d->lock);
}

unsigned vm_debug_n_cpus(const struct vm_debug *d) { return d->machine->config.n_cpus; }

unsigned vm_debug_stopped(struct vm_debug *d) {
    pthread_mutex_lock(&d->lock);
    unsigned first = d->first;
    d->cpus[first].is_told = true;
    pthread_mutex_unlock(&d->lock);
    return first;
}

struct vm_debug_stop vm_debug_stop_of(struct vm_debug *d, unsigned cpu) {
    pthread_mutex_lock(&d->lock);
    struct vm_debug_stop stop = d->cpus[cpu].stop;
    pthread_mutex_unlock(&d->lock);
    return stop;
}

/* ---- what a processor holds ---- */

/* The lock orders what its thread did before it stood still. */
#define USE_VCPU(name, type)                                                                                 \
    int vm_debug_##name(struct vm_debug *d, unsigned cpu, type state) {                                      \
        pthread_mutex_lock(&d->lock);                                                                        \
        int error = d->machine->config.engine->name(d->machine->vcpus[cpu].vcpu, state);                     \
        pthread_mutex_unlock(&d->lock);                                                                      \
        return error;                                                                                        \
    }
USE_VCPU(get_state, struct vm_cpu_state *)
USE_VCPU(set_state, const struct vm_cpu_state *)
USE_VCPU(get_fp, struct vm_fp_state *)
USE_VCPU(set_fp, const struct vm_fp_state *)

/* ---- memory ---- */

/* Bytes from `linear` to the end of its page. */
static size_t in_page(uint64_t linear, size_t n) {
    size_t room = VM_PAGE - linear % VM_PAGE;
    return n < room ? n : room;
}

size_t vm_debug_read(struct vm_debug *d, unsigned cpu, uint64_t linear, void *out, size_t n_bytes) {
    struct vm_cpu_state state;
    uint64_t gpa;
    if (vm_debug_get_state(d, cpu, &state)) return 0;
    for (size_t done = 0, n; done < n_bytes; done += n) {
        n = in_page(linear + done, n_bytes - done);
        if (!vm_linear_to_physical(&state, d->machine->memory, linear + done, &gpa) ||
            !vm_memory_read(d->machine->memory, gpa, (char *)out + done, n))
            return done;
    }
    return n_bytes;
}

bool vm_debug_write(struct vm_debug *d, unsigned cpu, uint64_t linear, const void *bytes, size_t n_bytes) {
    struct vm_cpu_state state;
    uint64_t gpa;
    if (vm_debug_get_state(d, cpu, &state)) return false;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t done = 0, n; done < n_bytes; done += n) {
            n = in_page(linear + done, n_bytes - done);
            if (!vm_linear_to_physical(&state, d->machine->memory, linear + done, &gpa)) return false;
            bool is_ram = pass ? vm_memory_write(d->machine->memory, gpa, (const char *)bytes + done, n)
                               : vm_memory_at(d->machine->memory, gpa, n) != NULL;
            if (!is_ram) return false;
        }
    }
    return true;
}

/* ---- breakpoints ---- */

static size_t find(const struct vm_debug *d, const struct vm_breakpoint *b, bool is_hard) {
    size_t i = 0;
    while (i < d->n && (d->breakpoints[i].address != b->address || d->breakpoints[i].kind != b->kind ||
                        d->breakpoints[i].n_bytes != b->n_bytes || d->places[i].is_hard != is_hard))
        i++;
    return i;
}

static int check(const struct vm_debug *d, const struct vm_breakpoint *b) {
    uint32_t n = b->n_bytes;
    if (b->kind == VM_BREAK_CODE) return 0;
    if (!n || n > VM_DEBUG_DATA_MAX) return EINVAL;
    if (!n_registers(d)) return 0;
    if (b->kind == VM_BREAK_READ) return ENOTSUP;
    return (n != 1 && n != 2 && n != 4 && n != 8) || b->address % n ? EINVAL : 0;
}

int vm_debug_set(struct vm_debug *d, unsigned cpu, const struct vm_breakpoint *b, bool is_hard) {
    struct vm_cpu_state state;
    int error = check(d, b);
    if (!error) error = vm_debug_get_state(d, cpu, &state);
    if (error || find(d, b, is_hard) < d->n) return error;
    if (d->n == VM_DEBUG_BREAKPOINTS) return ENOSPC;
    struct place *place = d->places + d->n;
    *place = (struct place){.is_hard = is_hard || b->kind != VM_BREAK_CODE};
    place->has_gpa = !place->is_hard &&
                     vm_linear_to_physical(&state, d->machine->memory, b->address, &place->gpa) &&
                     vm_memory_at(d->machine->memory, place->gpa, 1);
    d->breakpoints[d->n++] = *b;
    if (!n_registers(d) || n_needed(d) <= n_registers(d)) return 0;
    d->n--;
    return ENOSPC;
}

void vm_debug_clear(struct vm_debug *d, const struct vm_breakpoint *b, bool is_hard) {
    size_t i = find(d, b, is_hard);
    if (i == d->n) return;
    d->n--;
    memmove(d->breakpoints + i, d->breakpoints + i + 1, (d->n - i) * sizeof *d->breakpoints);
    memmove(d->places + i, d->places + i + 1, (d->n - i) * sizeof *d->places);
}

/* ---- begin and end ---- */

enum atoll_status vm_debug_new(struct vm_machine *machine, bool runs, void (*stopped)(void *context),
                               void *context, struct vm_debug **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = machine->config.alloc;
    struct vm_debug *d = atoll_new(alloc, 1, sizeof *d);
    struct cpu *cpus = d ? atoll_new(alloc, machine->config.n_cpus, sizeof *cpus) : NULL;
    if (!cpus) {
        atoll_free(alloc, d, sizeof *d);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    *d = (struct vm_debug){.machine = machine,
                           .stopped = stopped,
                           .context = context,
                           .is_halting = !runs,
                           .is_attached = !runs,
                           .n_running = machine->config.n_cpus,
                           .cpus = cpus};
    for (unsigned i = 0; i < machine->config.n_cpus; i++) {
        cpus[i].action = VM_DEBUG_RUN;
        atomic_store(&cpus[i].asks, true);
    }
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    *out = machine->debug = d;
    return ATOLL_OK;
}

void vm_debug_free(struct vm_debug *d) {
    if (!d) return;
    const struct vm_machine *machine = d->machine;
    vm_loop_forget(machine->loop, d);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    atoll_free(machine->config.alloc, d->cpus, machine->config.n_cpus * sizeof *d->cpus);
    atoll_free(machine->config.alloc, d, sizeof *d);
}
