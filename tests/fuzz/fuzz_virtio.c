/* tests/fuzz/fuzz_virtio.c: a guest that does anything to a board of devices: ports, configuration space, the BAR of
 * a virtio function, rings and descriptors in its RAM.
 *
 *   input   u8 device (0 the probe below, 1 console, 2 rng, 3 balloon, 4 port), then operations until the bytes end
 *   b       u8 op; its arguments, little-endian:
 *   0 store in the BAR   u16 offset, u8 n, u64 value     1 load from the BAR   u16 offset, u8 n
 *   2 configure          u16 offset, u8 n, u64 value     3 read configuration  u16 offset, u8 n
 *   4 out                u16 port, u8 n, u32 value       5 in                  u16 port, u8 n
 *   6 write RAM          u16 offset, u8 n, n bytes       7 bring up            u8 size (log 2), u32 features
 *   8 notify             u8 queue                        9 complete            u8 which, u32 bytes (the probe's)
 *   10 settle: what was posted and rung runs             11 the other end has room / sends input: u8
 *
 * Whatever comes: what a queue hands out is RAM within its limits, and no more of it than the ring has entries. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sandbox/sandbox.h"
#include "sysvm/dev/pci/virtio_pci.h"
#include "sysvm/dev/platform/acpi_pm.h"
#include "sysvm/dev/platform/cmos.h"
#include "sysvm/dev/platform/i8042.h"
#include "sysvm/dev/platform/serial.h"
#include "sysvm/dev/virtio/balloon.h"
#include "sysvm/dev/virtio/console.h"
#include "sysvm/dev/virtio/rng.h"
#include "sysvm/dev/virtio/transport.h"
#include "sysvm/layout.h"
#include "tests/fuzz/fuzz.h"

#define RAM_BYTES   (UINT64_C(1) << 20)
#define MAX_OPS     2000
#define MAX_SETTLES 16
#define MAX_OUT     32 /* chains the probe keeps */
#define QUEUE_SIZE  64

struct guest {
    const uint8_t *data;
    size_t size;
    struct vm_loop *loop;
    struct vm_bus *ports, *bus;
    struct vm_memory *memory;
    struct pci_root *root;
    struct sandbox *sandbox;
    struct vm_irq irq;
    unsigned n_wires;
    struct vm_serial *serial;
    struct vm_cmos *cmos;
    struct vm_i8042 *i8042;
    struct vm_acpi_pm *pm;
    struct virtio_device *vdev; /* since the last start */
    const struct virtio_ops *ops;
    struct vm_stream_device stream;
    size_t room; /* of the stream's other end, which reads every byte */
    uint8_t sum;
    unsigned n_settles;
    sem_t reached;
    struct {
        struct vq *q;
        struct vq_chain chain;
    } out[MAX_OUT];
    unsigned n_out;
};

/* ---- input ---- */

static uint64_t take(struct guest *g, unsigned n) {
    uint64_t value = 0;
    if (n > g->size) n = (unsigned)g->size;
    memcpy(&value, g->data, n);
    g->data += n;
    g->size -= n;
    return value;
}

/* ---- the probe: pops what comes, checks it, keeps some ---- */

static void check_chain(struct guest *g, const struct vq_chain *chain) {
    const struct vm_ram *ram;
    FUZZ_CHECK(vm_memory_ranges(g->memory, &ram) == 1);
    FUZZ_CHECK((unsigned)chain->n_out + chain->n_in <= VQ_MAX_SEGMENTS);
    uint64_t sums[2] = {0};
    for (unsigned i = 0; i < (unsigned)chain->n_out + chain->n_in; i++) {
        const char *p = chain->iov[i].iov_base, *base = ram->host;
        FUZZ_CHECK(p >= base && chain->iov[i].iov_len &&
                   chain->iov[i].iov_len <= RAM_BYTES - (uint64_t)(p - base));
        sums[i >= chain->n_out] += chain->iov[i].iov_len;
    }
    FUZZ_CHECK(sums[0] == chain->out_bytes && sums[1] == chain->in_bytes);
}

static void use_chain(const struct vq_chain *chain) {
    uint8_t bytes[64];
    size_t n = vq_chain_read(chain, chain->out_bytes / 2, bytes, sizeof bytes);
    FUZZ_CHECK(n <= sizeof bytes && n <= chain->out_bytes - chain->out_bytes / 2);
    memset(bytes, 0x5A, sizeof bytes);
    n = vq_chain_write(chain, chain->in_bytes / 2, bytes, sizeof bytes);
    FUZZ_CHECK(n <= sizeof bytes && n <= chain->in_bytes - chain->in_bytes / 2);
}

static uint64_t probe_features(void *dev) {
    (void)dev;
    return 1;
}
static void probe_config(void *dev, uint32_t offset, void *data, unsigned n) {
    FUZZ_CHECK(offset + n <= 7);
    memset(data, *(uint8_t *)dev, n);
}
static void probe_config_write(void *dev, uint32_t offset, const void *data, unsigned n) {
    (void)dev, (void)data;
    FUZZ_CHECK(offset + n <= 7);
}
static void probe_start(void *dev, struct virtio_device *vdev, uint64_t features) {
    (void)dev, (void)vdev;
    FUZZ_CHECK(features & VIRTIO_F_VERSION_1 && !(features & 2));
}
static void probe_notify(void *dev, unsigned queue) {
    struct guest *g = dev;
    FUZZ_CHECK(queue < 2 && virtio_status(g->vdev) & VIRTIO_DRIVER_OK);
    struct vq *q = virtio_queue(g->vdev, queue);
    for (unsigned i = 0; i < QUEUE_SIZE && g->n_out < MAX_OUT; i++) {
        g->out[g->n_out].q = q;
        if (vq_pop(q, &g->out[g->n_out].chain) != VQ_CHAIN) break;
        const struct vq_chain *chain = &g->out[g->n_out].chain;
        check_chain(g, chain);
        use_chain(chain);
        if (chain->head & 1)
            g->n_out++;
        else
            vq_push(q, chain, (uint32_t)chain->in_bytes);
    }
    vq_interrupt(q);
}
static void probe_reset(void *dev) { (void)dev; } /* keeps its chains, and pushes them later */
static void probe_free(void *dev) { (void)dev; }

static const struct virtio_ops probe_ops = {.name = "probe",
                                            .id = VIRTIO_BLOCK,
                                            .n_queues = 2,
                                            .queue_size_max = QUEUE_SIZE,
                                            .config_bytes = 7,
                                            .features = probe_features,
                                            .config_read = probe_config,
                                            .config_write = probe_config_write,
                                            .start = probe_start,
                                            .notify = probe_notify,
                                            .reset = probe_reset,
                                            .free = probe_free};

static void complete(struct guest *g) {
    unsigned i = (unsigned)take(g, 1);
    uint32_t n_bytes = (uint32_t)take(g, 4);
    if (!g->n_out) return;
    i %= g->n_out;
    vq_push(g->out[i].q, &g->out[i].chain, n_bytes);
    vq_interrupt(g->out[i].q);
    g->out[i] = g->out[--g->n_out];
}

/* ---- the engine, the streams' other ends ---- */

static void line(void *engine, unsigned gsi, bool level) {
    (void)engine, (void)level;
    FUZZ_CHECK(gsi < VM_GSI_COUNT);
}
static void msi(void *engine, uint64_t address, uint32_t data) { (void)engine, (void)address, (void)data; }
static int wire(void *engine, uint64_t address, uint32_t data) {
    (void)address, (void)data;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ((struct guest *)engine)->n_wires += fd >= 0;
    return fd < 0 ? -errno : fd;
}
static void unwire(void *engine, int fd) {
    ((struct guest *)engine)->n_wires--;
    FUZZ_CHECK(close(fd) == 0);
}
static const struct vm_irq_ops irq_ops = {line, msi, NULL, wire, unwire};

static size_t end_write(void *end, const uint8_t *bytes, size_t n) {
    struct guest *g = end;
    if (n > g->room) n = g->room;
    for (size_t i = 0; i < n; i++) g->sum ^= bytes[i];
    g->room -= n;
    return n;
}
static void end_wanted(void *end) { (void)end; }
static const struct vm_stream_ops end_ops = {end_write, end_wanted, NULL};

static void other_end(struct guest *g) {
    static const uint8_t zeros[64];
    unsigned n = (unsigned)take(g, 1);
    g->room += n;
    if (!g->stream.ops) return;
    g->stream.ops->writable(g->stream.device);
    FUZZ_CHECK(g->stream.ops->receive(g->stream.device, zeros, n % 64) <= n % 64);
    if (g->stream.ops->resize && n == 255) g->stream.ops->resize(g->stream.device, (uint16_t)g->size, 25);
}

/* ---- the board ---- */

/* The device's table with a start that remembers the virtio_device. One thread at a time is in here. */
static struct guest *current;
static struct virtio_ops wrapped;
static void (*inner_start)(void *dev, struct virtio_device *vdev, uint64_t features);
static void start(void *dev, struct virtio_device *vdev, uint64_t features) {
    current->vdev = vdev;
    inner_start(dev, vdev, features);
}

static void *make_device(struct guest *g, unsigned kind, const struct virtio_ops **out_ops) {
    const struct atoll_alloc *a = &atoll_default_alloc;
    void *dev = g;
    *out_ops = &probe_ops;
    if (kind == 1 || kind == 4) {
        struct vcon *console = NULL;
        FUZZ_CHECK(
            !vcon_new(&(struct vcon_config){a, g->loop, {&end_ops, g}, 80, 25, kind == 4 ? "port" : NULL},
                      out_ops, &console, NULL));
        g->stream = vcon_stream(console);
        dev = console;
    } else if (kind == 2) {
        FUZZ_CHECK(!vrng_new(&(struct vrng_config){a, g->loop, g->sandbox}, out_ops, &dev, NULL));
    } else if (kind == 3) {
        struct vballoon *balloon = NULL;
        FUZZ_CHECK(!vballoon_new(&(struct vballoon_config){a, g->loop, g->memory}, out_ops, &balloon, NULL));
        dev = balloon;
    }
    return dev;
}

static void plug_in(struct guest *g, unsigned kind) {
    const struct atoll_alloc *a = &atoll_default_alloc;
    struct vm_power power = {0};
    struct virtio_pci_config config = {a, g->root, g->memory, g->loop, &g->irq};
    const struct virtio_ops *ops;
    void *dev = make_device(g, kind, &ops);
    inner_start = ops->start;
    wrapped = *ops;
    wrapped.start = start;
    g->ops = &wrapped;
    FUZZ_CHECK(!virtio_pci_new(&config, &wrapped, dev, NULL));
    struct vm_serial_config serial = {
        a, g->loop, g->ports, &g->irq, VM_PORT_SERIAL, VM_GSI_SERIAL, {&end_ops, g}, false};
    FUZZ_CHECK(!vm_serial_new(&serial, &g->serial, NULL));
    if (!g->stream.ops) g->stream = vm_serial_stream(g->serial);
    struct vm_cmos_config cmos = {.alloc = a, .loop = g->loop, .ports = g->ports, .irq = &g->irq};
    FUZZ_CHECK(!vm_cmos_new(&cmos, &g->cmos, NULL));
    FUZZ_CHECK(!vm_i8042_new(a, g->ports, &power, &g->i8042, NULL));
    FUZZ_CHECK(!vm_acpi_pm_new(a, g->ports, &g->irq, &power, &g->pm, NULL));
}

static void set_up(struct guest *g) {
    const struct atoll_alloc *a = &atoll_default_alloc;
    g->irq = (struct vm_irq){&irq_ops, g};
    FUZZ_CHECK(!vm_loop_new(a, &g->loop, NULL) && !vm_memory_new(a, RAM_BYTES, &g->memory, NULL));
    FUZZ_CHECK(!sb_new(&(struct sb_config){0}, &g->sandbox, NULL));
    g->ports = vm_bus_new(a);
    g->bus = vm_bus_new(a);
    FUZZ_CHECK(g->ports && g->bus);
    FUZZ_CHECK(!pci_root_new(&(struct pci_root_config){.alloc = a, .ports = g->ports, .memory = g->bus},
                             &g->root, NULL));
    sem_init(&g->reached, 0, 0);
}

static void tear_down(struct guest *g) {
    vm_acpi_pm_free(g->pm);
    vm_i8042_free(g->i8042);
    vm_cmos_free(g->cmos);
    vm_serial_free(g->serial);
    pci_root_free(g->root);
    FUZZ_CHECK(!g->n_wires);
    vm_bus_free(g->bus);
    vm_bus_free(g->ports);
    sb_free(g->sandbox);
    vm_memory_free(g->memory);
    vm_loop_free(g->loop);
    sem_destroy(&g->reached);
}

/* ---- operations ---- */

/* The guest may have moved the BAR; it knows where it is. */
static uint64_t bar(struct guest *g) {
    uint32_t at = 0;
    vm_bus_read(g->bus, VM_ECAM_BASE + 0x8000 + PCI_BAR0, &at, 4);
    return at & ~15u;
}

static void store(struct guest *g, uint64_t offset, uint64_t value, unsigned n) {
    vm_bus_write(g->bus, bar(g) + offset, &value, n);
}

static void access_bus(struct guest *g, struct vm_bus *bus, uint64_t base, bool is_write,
                       unsigned value_bytes) {
    uint64_t offset = take(g, 2), value;
    unsigned n = 1 + (unsigned)take(g, 1) % 8;
    if (is_write) {
        value = take(g, value_bytes);
        vm_bus_write(bus, base + offset, &value, n);
    } else {
        vm_bus_read(bus, base + offset, &value, n);
    }
}

static void write_ram(struct guest *g) {
    uint64_t at = take(g, 2);
    size_t n = (size_t)take(g, 1);
    if (n > g->size) n = g->size;
    FUZZ_CHECK(vm_memory_write(g->memory, at, g->data, n));
    g->data += n;
    g->size -= n;
}

/* What a good driver does, so that inputs come to the rings soon: queue i at 0x1000 + 0x3000 * i. */
static void bring_up(struct guest *g) {
    uint64_t size = UINT64_C(1) << take(g, 1) % 8, features = take(g, 4) | VIRTIO_F_VERSION_1;
    uint32_t command = PCI_COMMAND_MEMORY;
    vm_bus_write(g->bus, VM_ECAM_BASE + 0x8000 + PCI_COMMAND, &command, 2);
    store(g, 0x14, 0, 1);
    for (unsigned i = 0; i < 2; i++) {
        store(g, 0x08, i, 4);
        store(g, 0x0C, features >> 32 * i & UINT32_MAX, 4);
    }
    store(g, 0x14, 11, 1);
    for (unsigned i = 0; i < g->ops->n_queues; i++) {
        uint64_t at = 0x1000 + 0x3000 * i;
        store(g, 0x16, i, 2);
        store(g, 0x18, size, 2);
        store(g, 0x20, at, 8);
        store(g, 0x28, at + 0x1000, 8);
        store(g, 0x30, at + 0x2000, 8);
        store(g, 0x1C, 1, 2);
    }
    store(g, 0x14, 15, 1);
}

static void reach(void *context) { sem_post(&((struct guest *)context)->reached); }

static void *run_loop(void *context) {
    vm_loop_run(((struct guest *)context)->loop);
    return NULL;
}

/* The loop's thread works only here: everywhere else the lock is ours, so an input always does the same. */
static void settle(struct guest *g) {
    if (g->n_settles++ >= MAX_SETTLES) return;
    vm_loop_unlock(g->loop);
    for (int i = 0; i < 2; i++) {
        FUZZ_CHECK(!vm_loop_post(g->loop, reach, g));
        while (sem_wait(&g->reached)) continue;
    }
    vm_loop_lock(g->loop);
}

static void step(struct guest *g) {
    switch (take(g, 1) % 12) {
    case 0: access_bus(g, g->bus, bar(g), true, 8); break;
    case 1: access_bus(g, g->bus, bar(g), false, 8); break;
    case 2: access_bus(g, g->bus, VM_ECAM_BASE, true, 8); break;
    case 3: access_bus(g, g->bus, VM_ECAM_BASE, false, 8); break;
    case 4: access_bus(g, g->ports, 0, true, 4); break;
    case 5: access_bus(g, g->ports, 0, false, 4); break;
    case 6: write_ram(g); break;
    case 7: bring_up(g); break;
    case 8:
        if (g->vdev) virtio_notify(g->vdev, (unsigned)take(g, 1));
        break;
    case 9: complete(g); break;
    case 10: settle(g); break;
    default: other_end(g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct guest guest;
    struct guest *g = current = &guest;
    pthread_t thread;
    guest = (struct guest){.data = data, .size = size, .room = 100};
    set_up(g);
    plug_in(g, (unsigned)take(g, 1) % 5);
    vm_loop_lock(g->loop);
    FUZZ_CHECK(!pthread_create(&thread, NULL, run_loop, g));
    for (unsigned i = 0; i < MAX_OPS && g->size; i++) step(g);
    vm_loop_unlock(g->loop);
    vm_loop_stop(g->loop);
    pthread_join(thread, NULL);
    tear_down(g);
    return 0;
}
