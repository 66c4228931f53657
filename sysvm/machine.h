/* sysvm/machine.h: a machine: memory, buses, processors, devices and the loop that serves them.
 *
 *   vm_machine_new   memory -> engine -> devices (devices.c, one list)
 *   vm_machine_load  a kernel into memory -> processors
 *   vm_machine_run   a thread a processor; the caller's thread is the loop's, until somebody ends it
 *   vm_machine_free  processors, devices, engine, memory, in this order
 *
 * Everything hangs from the machine: a process can have several. */
#ifndef ATOLL_SYSVM_MACHINE_H
#define ATOLL_SYSVM_MACHINE_H

#include "sysvm/boot/boot.h"
#include "sysvm/cpu/engine.h"
#include "sysvm/dev/stream.h"
#include "sysvm/dev/virtio/virtio.h"
#include "sysvm/loop.h"
#include "sysvm/memory.h"

struct vm_machine;

struct vm_machine_config {
    const struct atoll_alloc *alloc;    /* called from all threads */
    const struct vm_engine_ops *engine; /* see vm_engine_choose */
    uint64_t memory_bytes;
    enum vm_memory_kind memory_kind;
    unsigned n_cpus;
    bool counts;                  /* time is a function of instructions, see struct vm_engine_config */
    struct vm_code_listener code; /* empty: nobody asks */
    struct vm_stream_end serial;  /* the other end of the serial port; outlives the machine */
    struct vm_loop *loop;         /* of this machine alone; outlives it */
    struct sandbox *sandbox;      /* asked for what devices do outside; outlives it */
};

/* fails  E_USAGE (memory, processors), E_UNSUPPORTED (the engine), E_LIMIT, E_IO, E_NOMEM */
enum atoll_status vm_machine_new(const struct vm_machine_config *config, struct vm_machine **out,
                                 struct atoll_error *err);
void vm_machine_free(struct vm_machine *machine); /* not while it runs; NULL is allowed */

/* Puts a virtio device on the bus, in the order of calls, before vm_machine_load. Takes `dev` over, on failure too.
 * fails  E_LIMIT (the bus is full), E_IO, E_NOMEM */
enum atoll_status vm_machine_add_virtio(struct vm_machine *machine, const struct virtio_ops *ops, void *dev,
                                        struct atoll_error *err);

struct vm_machine_kernel {
    struct vm_bytes kernel, initrd; /* not kept */
    const char *cmdline;
    bool self_unpacking; /* see boot.h */
};
/* Once a machine, before it runs. fails  as vm_boot_load, and E_IO of the engine */
enum atoll_status vm_machine_load(struct vm_machine *machine, const struct vm_machine_kernel *kernel,
                                  struct atoll_error *err);

/* What the serial port takes for the guest. */
struct vm_stream_device vm_machine_serial(struct vm_machine *machine);

enum vm_end {
    VM_END_NONE,
    VM_END_OFF,     /* the guest powered off */
    VM_END_RESET,   /* the guest asked for a reset: a machine made anew is that */
    VM_END_CRASHED, /* triple fault, or no processor will ever run again */
    VM_END_STOPPED, /* vm_machine_stop */
    VM_END_FAILED   /* the engine gave up, or the host failed; the error says why */
};

/* Once a machine. Returns when it has ended and no thread of its processors runs any more.
 * fails  E_IO (a thread, the loop): then nothing ran; VM_END_FAILED fills *err, too, and is ATOLL_OK */
enum atoll_status vm_machine_run(struct vm_machine *machine, enum vm_end *out_end, struct atoll_error *err);
/* Any thread. What ended the machine first counts. */
void vm_machine_stop(struct vm_machine *machine);
/* Hands on what the serial port still has, when the machine has ended; returns how many bytes the other end did not
 * take. */
size_t vm_machine_output_left(struct vm_machine *machine);
/* As the button of a PC: a guest that cares shuts down. Under the machine lock, or on the loop. */
void vm_machine_power_button(struct vm_machine *machine);

/* Whether its memory is a memfd. */
bool vm_machine_shares_memory(const struct vm_machine *machine);
/* Asks the guest by its balloon to do with `n_bytes` of its memory; it takes its time, or does not listen. Under the
 * machine lock. Returns false where there is no balloon (config.counts). */
bool vm_machine_set_memory(struct vm_machine *machine, uint64_t n_bytes);
/* What the guest says it has put into the balloon. Under the machine lock. */
uint64_t vm_machine_balloon_bytes(const struct vm_machine *machine);

/* How often processors came back to be served, in all. Not while it runs. */
uint64_t vm_machine_exits(const struct vm_machine *machine);
/* How often a device's registers were accessed; false: there is no row `i`. Not while it runs. */
struct vm_machine_count {
    const char *device;
    uint64_t base, n;
    bool is_port;
};
bool vm_machine_count(const struct vm_machine *machine, size_t i, struct vm_machine_count *out);

#endif
