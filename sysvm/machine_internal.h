/* sysvm/machine_internal.h: a machine as machine.c, vcpus.c and devices.c see it. */
#ifndef ATOLL_SYSVM_MACHINE_INTERNAL_H
#define ATOLL_SYSVM_MACHINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include "sysvm/bus.h"
#include "sysvm/dev/pci/virtio_pci.h"
#include "sysvm/dev/platform/acpi_pm.h"
#include "sysvm/dev/platform/cmos.h"
#include "sysvm/dev/platform/i8042.h"
#include "sysvm/dev/platform/power.h"
#include "sysvm/dev/platform/serial.h"
#include "sysvm/dev/virtio/balloon.h"
#include "sysvm/dev/virtio/rng.h"
#include "sysvm/debug.h"
#include "sysvm/layout.h"
#include "sysvm/machine.h"

struct vm_vcpu {
    struct vm_machine *machine;
    void *vcpu; /* the engine's */
    unsigned index;
    pthread_t thread;
    bool is_running; /* the thread was made and not joined */
};

struct vm_machine {
    struct vm_machine_config config;
    struct vm_memory *memory;
    struct vm_loop *loop;
    struct vm_bus *ports, *mmio;
    void *engine;
    struct vm_irq irq;
    struct vm_power power;
    struct vm_debug *debug; /* NULL: no debugger will come */
    struct vm_vcpu *vcpus;  /* config.n_cpus of them; NULL until a kernel is loaded */

    struct vm_serial *serial;
    struct vm_cmos *cmos;
    struct vm_i8042 *i8042;
    struct vm_acpi_pm *acpi_pm;
    struct pci_root *pci; /* owns the virtio devices in its slots */
    struct vballoon *balloon;

    struct vm_timer *sweep; /* of memory; NULL: none is wanted */
    uint64_t sweep_ns;      /* until the next one */

    atomic_uint_fast64_t n_exits; /* of all processors */
    atomic_bool stopping;         /* processors leave; set with the end */
    pthread_mutex_t end_lock;
    enum vm_end end;              /* the first there was */
    struct atoll_error end_error; /* of VM_END_FAILED */
};

/* ---- machine.c ---- */

/* Any thread; text: of VM_END_FAILED, else NULL. */
void vm_machine_end(struct vm_machine *machine, enum vm_end end, const char *text);

/* ---- devices.c ---- */

enum atoll_status vm_devices_new(struct vm_machine *machine, struct atoll_error *err);
void vm_devices_free(struct vm_machine *machine); /* also after a failure half-way */

/* ---- debug.c ---- */

void vm_debug_free(struct vm_debug *debug); /* no thread of a processor is there; NULL is allowed */
/* By the thread of a processor, before each run: waits as long as it has to stand still. last: what it came back for.
 */
void vm_debug_before_run(struct vm_debug *debug, unsigned cpu, const struct vm_exit *last);
/* By the same, behind it: what a debugger is told of. False: the exit is to be served. */
bool vm_debug_takes(struct vm_debug *debug, unsigned cpu, const struct vm_exit *exit);
void vm_debug_wake(struct vm_debug *debug); /* machine->stopping is set: nobody waits any more */

/* ---- vcpus.c ---- */

enum atoll_status vm_vcpus_new(struct vm_machine *machine, const struct vm_cpu_state *first,
                               struct atoll_error *err);
void vm_vcpus_free(struct vm_machine *machine);
enum atoll_status vm_vcpus_start(struct vm_machine *machine, struct atoll_error *err);
/* Tells the loop of a thread that runs processors or serves their timers; machine: as below. Never fails. */
enum atoll_status vm_vcpus_thread_starts(void *machine, struct atoll_error *err);
/* Serves what a processor came back for, or asks for without coming back; machine: a struct vm_machine. */
void vm_vcpus_serve(void *machine, const struct vm_exit *exit);
void vm_vcpus_join(struct vm_machine *machine); /* machine->stopping is set */

#endif
