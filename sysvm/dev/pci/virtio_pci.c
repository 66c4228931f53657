/* sysvm/dev/pci/virtio_pci.c: see virtio_pci.h. Registers take any width and offset to be read; a write has to
 * hit a register exactly (or half of a 64-bit one) and is ignored otherwise. What a register may become is
 * decided in sysvm/dev/virtio/device.c. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sysvm/dev/pci/msix.h"
#include "sysvm/dev/pci/virtio_pci.h"
#include "sysvm/dev/virtio/transport.h"

#define VENDOR      0x1AF4
#define DEVICE_BASE 0x1040 /* + the virtio id */
#define REVISION    1
#define NO_VECTOR   0xFFFF

/* Regions of BAR 0, 4 KiB each. */
enum { AT_COMMON, AT_ISR, AT_DEVICE, AT_NOTIFY, AT_MSIX_TABLE, AT_MSIX_PENDING };
#define REGION_BITS 12
#define REGION_SIZE (1u << REGION_BITS)
#define BAR_SIZE    (8 * REGION_SIZE)
#define NOTIFY_STEP 4 /* bytes between two queues' notification addresses */

/* Capabilities in configuration space. */
enum {
    CAP_MSIX = 0x40,
    CAP_COMMON = 0x50,
    CAP_ISR = 0x60,
    CAP_DEVICE = 0x70,
    CAP_NOTIFY = 0x80,
    CAP_WINDOW = 0x98, /* VIRTIO_PCI_CAP_PCI_CFG: BAR 0 through configuration space */
    WINDOW_BAR = CAP_WINDOW + 4,
    WINDOW_OFFSET = CAP_WINDOW + 8,
    WINDOW_LENGTH = CAP_WINDOW + 12,
    WINDOW_DATA = CAP_WINDOW + 16
};
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_WINDOW = 5 };

/* "Common configuration structure layout" */
struct common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t config_vector, num_queues;
    uint8_t status, config_generation;
    uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_notify_off;
    uint32_t queue_desc[2], queue_driver[2], queue_device[2];
    uint16_t queue_notify_data, queue_reset;
};

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

struct doorbell {
    struct virtio_pci *owner;
    unsigned queue;
    int fd;
    struct vm_watch *watch;
    uint64_t rings_at; /* guest address the engine watches; 0 = none */
};

struct virtio_pci {
    struct pci_function function; /* first */
    struct virtio_pci_config config;
    struct virtio_device *vdev;
    struct msix msix;
    uint32_t device_feature_select, driver_feature_select;
    uint16_t config_vector, queue_select;
    uint8_t isr;
    uint16_t vectors[VIRTIO_MAX_QUEUES];
    unsigned n_queues;
    struct doorbell doorbells[VIRTIO_MAX_QUEUES];
};

/* ---- interrupts ---- */

static void set_intx(struct virtio_pci *p) {
    uint16_t command = pci_u16(&p->function, PCI_COMMAND);
    bool level = p->isr && !msix_enabled(&p->msix) && !(command & PCI_COMMAND_NO_INTX);
    if (p->isr)
        p->function.config[PCI_STATUS] |= PCI_STATUS_INTX;
    else
        p->function.config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
    if (p->function.root) pci_set_intx(&p->function, p->config.irq, level); /* it has a slot */
}

static void interrupt(struct virtio_pci *p, uint16_t vector, uint8_t isr) {
    if (msix_enabled(&p->msix)) {
        msix_notify(&p->msix, vector);
    } else {
        p->isr |= isr;
        set_intx(p);
    }
}

static void queue_interrupt(void *transport, unsigned queue) {
    struct virtio_pci *p = transport;
    interrupt(p, p->vectors[queue], ISR_QUEUE);
}

static void config_interrupt(void *transport) {
    struct virtio_pci *p = transport;
    interrupt(p, p->config_vector, ISR_CONFIG);
}

/* ---- notifications ---- */

static void ring(struct doorbell *bell) {
    uint64_t one = 1;
    (void)!write(bell->fd, &one, sizeof one); /* full means rung already */
}

static void rung(void *context, uint32_t events) {
    struct doorbell *bell = context;
    uint64_t count;
    (void)events;
    if (read(bell->fd, &count, sizeof count) != sizeof count) return;
    virtio_notify(bell->owner->vdev, bell->queue);
}

static void notify_later(void *transport, unsigned queue) {
    ring(&((struct virtio_pci *)transport)->doorbells[queue]);
}

static const struct virtio_transport_ops transport_ops = {queue_interrupt, config_interrupt, notify_later};

/* The engine watches the addresses of queues that are enabled, where the BAR is now. */
static void place_doorbells(struct virtio_pci *p) {
    for (unsigned i = 0; i < p->n_queues; i++) {
        struct doorbell *bell = &p->doorbells[i];
        uint64_t at = p->function.bar.mapped_at + AT_NOTIFY * REGION_SIZE + i * NOTIFY_STEP;
        if (!p->function.bar.mapped_at || !virtio_queue_registers(p->vdev, i).enabled) at = 0;
        if (at == bell->rings_at) continue;
        if (bell->rings_at) vm_irq_doorbell(p->config.irq, bell->rings_at, 0, bell->fd, false);
        bell->rings_at = at && !vm_irq_doorbell(p->config.irq, at, 0, bell->fd, true) ? at : 0;
    }
}

/* ---- common configuration ---- */

static struct common common_image(const struct virtio_pci *p) {
    unsigned select = p->device_feature_select;
    uint64_t offered = virtio_offered_features(p->vdev), accepted = virtio_driver_features(p->vdev);
    struct common c = {.device_feature_select = select,
                       .device_feature = select < 2 ? (uint32_t)(offered >> 32 * select) : 0,
                       .driver_feature_select = p->driver_feature_select,
                       .driver_feature = p->driver_feature_select < 2
                                             ? (uint32_t)(accepted >> 32 * p->driver_feature_select)
                                             : 0,
                       .config_vector = p->config_vector,
                       .num_queues = (uint16_t)p->n_queues,
                       .status = virtio_status(p->vdev),
                       .config_generation = virtio_config_generation(p->vdev),
                       .queue_select = p->queue_select};
    if (p->queue_select >= p->n_queues) return c;
    struct vq_registers r = virtio_queue_registers(p->vdev, p->queue_select);
    c.queue_size = r.size;
    c.queue_vector = p->vectors[p->queue_select];
    c.queue_enable = r.enabled;
    c.queue_notify_off = p->queue_select;
    memcpy(c.queue_desc, &r.descriptors, 8);
    memcpy(c.queue_driver, &r.driver, 8);
    memcpy(c.queue_device, &r.device, 8);
    return c;
}

static void common_read(const struct virtio_pci *p, unsigned offset, uint8_t *data, unsigned n) {
    struct common image = common_image(p);
    memset(data, 0, n);
    if (offset >= sizeof image) return;
    memcpy(data, (uint8_t *)&image + offset, sizeof image - offset < n ? sizeof image - offset : n);
}

/* A vector there is, or none at all. */
static uint16_t checked_vector(const struct virtio_pci *p, uint16_t vector) {
    return vector < p->msix.n_vectors ? vector : NO_VECTOR;
}

static void reset_registers(struct virtio_pci *p) {
    p->device_feature_select = p->driver_feature_select = 0;
    p->queue_select = 0;
    p->config_vector = NO_VECTOR;
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) p->vectors[i] = NO_VECTOR;
    p->isr = 0;
    set_intx(p);
}

static void write_status(struct virtio_pci *p, uint8_t status) {
    virtio_set_status(p->vdev, status);
    if (!status) {
        msix_settle(&p->msix);
        reset_registers(p);
    }
    place_doorbells(p);
}

/* Writes n bytes to a 64-bit register's low half, high half or both. */
static void write_address(struct virtio_pci *p, unsigned offset, uint64_t value, unsigned n) {
    struct vq_registers r = virtio_queue_registers(p->vdev, p->queue_select);
    unsigned first = offsetof(struct common, queue_desc), half = offset % 8;
    uint64_t *addresses[] = {&r.descriptors, &r.driver, &r.device};
    uint64_t *address = addresses[(offset - first) / 8];
    if (n == 8)
        *address = value;
    else
        *address = half ? (*address & UINT32_MAX) | value << 32 : (*address & ~(uint64_t)UINT32_MAX) | value;
    virtio_set_queue_registers(p->vdev, p->queue_select, &r);
}

static void write_queue(struct virtio_pci *p, unsigned offset, uint64_t value, unsigned n) {
    if (p->queue_select >= p->n_queues) return;
    struct vq_registers r = virtio_queue_registers(p->vdev, p->queue_select);
    unsigned first = offsetof(struct common, queue_desc), end = offsetof(struct common, queue_notify_data);
    if (offset >= first && offset < end) {
        bool is_register = (n == 8 && offset % 8 == 0) || (n == 4 && offset % 4 == 0);
        if (is_register) write_address(p, offset, value, n);
    } else if (n == 2 && offset == offsetof(struct common, queue_size)) {
        r.size = (uint16_t)value;
        virtio_set_queue_registers(p->vdev, p->queue_select, &r);
    } else if (n == 2 && offset == offsetof(struct common, queue_vector)) {
        p->vectors[p->queue_select] = checked_vector(p, (uint16_t)value);
    } else if (n == 2 && offset == offsetof(struct common, queue_enable) && value == 1) {
        virtio_enable_queue(p->vdev, p->queue_select);
        place_doorbells(p);
    }
}

static void common_write(struct virtio_pci *p, unsigned offset, uint64_t value, unsigned n) {
    if (n == 4 && offset == offsetof(struct common, device_feature_select))
        p->device_feature_select = (uint32_t)value;
    else if (n == 4 && offset == offsetof(struct common, driver_feature_select))
        p->driver_feature_select = (uint32_t)value;
    else if (n == 4 && offset == offsetof(struct common, driver_feature))
        virtio_set_driver_features(p->vdev, p->driver_feature_select, (uint32_t)value);
    else if (n == 2 && offset == offsetof(struct common, config_vector))
        p->config_vector = checked_vector(p, (uint16_t)value);
    else if (n == 1 && offset == offsetof(struct common, status))
        write_status(p, (uint8_t)value);
    else if (n == 2 && offset == offsetof(struct common, queue_select))
        p->queue_select = (uint16_t)value;
    else
        write_queue(p, offset, value, n);
}

/* ---- BAR 0 ---- */

static void isr_read(struct virtio_pci *p, unsigned offset, uint8_t *data, unsigned n) {
    memset(data, 0, n);
    if (offset) return;
    data[0] = p->isr;
    p->isr = 0;
    set_intx(p);
}

static void bar_read(void *dev, uint64_t offset, void *data, unsigned n) {
    struct virtio_pci *p = dev;
    unsigned within = offset & (REGION_SIZE - 1);
    switch (offset >> REGION_BITS) {
    case AT_COMMON: common_read(p, within, data, n); break;
    case AT_ISR: isr_read(p, within, data, n); break;
    case AT_DEVICE: virtio_config_read(p->vdev, within, data, n); break;
    case AT_MSIX_TABLE: msix_table_read(&p->msix, within, data, n); break;
    case AT_MSIX_PENDING: msix_pending_read(&p->msix, within, data, n); break;
    default: memset(data, 0, n);
    }
}

static void bar_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    struct virtio_pci *p = dev;
    unsigned within = offset & (REGION_SIZE - 1);
    uint64_t value = 0;
    memcpy(&value, data, n);
    switch (offset >> REGION_BITS) {
    case AT_COMMON: common_write(p, within, value, n); break;
    case AT_DEVICE: virtio_config_write(p->vdev, within, data, n); break;
    case AT_NOTIFY:
        if (within / NOTIFY_STEP < p->n_queues) ring(&p->doorbells[within / NOTIFY_STEP]);
        break;
    case AT_MSIX_TABLE: msix_table_write(&p->msix, within, data, n); break;
    default: break;
    }
}

static const struct vm_dev_ops bar_ops = {"virtio-pci", bar_read, bar_write};

/* ---- configuration space ---- */

/* How many bytes the window reaches, and where; 0 when it says nonsense. */
static unsigned window(const struct virtio_pci *p, uint32_t *out_offset) {
    uint32_t offset = pci_u32(&p->function, WINDOW_OFFSET), length = pci_u32(&p->function, WINDOW_LENGTH);
    *out_offset = offset;
    bool is_good = p->function.config[WINDOW_BAR] == 0 && (length == 1 || length == 2 || length == 4) &&
                   offset % length == 0 && offset < BAR_SIZE;
    return is_good ? length : 0;
}

static void before_read(struct pci_function *f, unsigned offset, unsigned n) {
    struct virtio_pci *p = (struct virtio_pci *)f;
    uint32_t at;
    if (!pci_touches(offset, n, WINDOW_DATA, 4)) return;
    unsigned length = window(p, &at);
    if (length) bar_read(p, at, f->config + WINDOW_DATA, length);
}

static void after_write(struct pci_function *f, unsigned offset, unsigned n) {
    struct virtio_pci *p = (struct virtio_pci *)f;
    uint32_t at;
    if (pci_touches(offset, n, WINDOW_DATA, 4)) {
        unsigned length = window(p, &at);
        if (length) bar_write(p, at, f->config + WINDOW_DATA, length);
    }
    msix_after_write(&p->msix, offset, n);
    set_intx(p);
}

static void moved(struct pci_function *f) { place_doorbells((struct virtio_pci *)f); }

static void add_region(struct virtio_pci *p, unsigned at, uint8_t type, unsigned region, uint32_t length) {
    struct {
        uint8_t id, next, bytes, type, bar, padding[3];
        uint32_t offset, length, extra; /* extra: the notification's step, the window's data */
    } cap = {.id = 9, .type = type, .offset = region * REGION_SIZE, .length = length};
    bool has_extra = type == CFG_NOTIFY || type == CFG_WINDOW;
    cap.bytes = has_extra ? 20 : 16;
    if (type == CFG_NOTIFY) cap.extra = NOTIFY_STEP;
    pci_add_capability(&p->function, at, &cap, cap.bytes);
}

static uint32_t class_of(uint16_t id) {
    switch (id) {
    case VIRTIO_NET: return 0x020000;
    case VIRTIO_BLOCK: return 0x010000;
    case VIRTIO_CONSOLE: return 0x078000;
    case VIRTIO_VSOCK: return 0x028000;
    case VIRTIO_FS: return 0x018000;
    default: return 0xFF0000;
    }
}

static const struct pci_function_ops function_ops;

static void fill_config_space(struct virtio_pci *p, const struct virtio_ops *ops) {
    struct pci_function *f = &p->function;
    pci_function_init(f, &function_ops, VENDOR, (uint16_t)(DEVICE_BASE + ops->id), class_of(ops->id));
    f->config[PCI_REVISION] = REVISION;
    pci_set_u16(f, PCI_SUBSYSTEM_VENDOR, VENDOR);
    pci_set_u16(f, PCI_SUBSYSTEM, (uint16_t)(DEVICE_BASE + ops->id));
    f->config[PCI_INTERRUPT_PIN] = 1;
    f->bar = (struct pci_bar){.size = BAR_SIZE, .ops = &bar_ops};
    msix_init(&p->msix, f, p->config.irq, CAP_MSIX, p->n_queues + 1, AT_MSIX_TABLE * REGION_SIZE,
              AT_MSIX_PENDING * REGION_SIZE);
    add_region(p, CAP_COMMON, CFG_COMMON, AT_COMMON, sizeof(struct common));
    add_region(p, CAP_ISR, CFG_ISR, AT_ISR, 1);
    if (ops->config_bytes) add_region(p, CAP_DEVICE, CFG_DEVICE, AT_DEVICE, ops->config_bytes);
    add_region(p, CAP_NOTIFY, CFG_NOTIFY, AT_NOTIFY, p->n_queues * NOTIFY_STEP);
    add_region(p, CAP_WINDOW, CFG_WINDOW, 0, 0);
    f->writable[WINDOW_BAR] = 0xFF;
    memset(f->writable + WINDOW_OFFSET, 0xFF, WINDOW_DATA + 4 - WINDOW_OFFSET);
}

/* ---- a device ---- */

static void function_free(struct pci_function *f) {
    struct virtio_pci *p = (struct virtio_pci *)f;
    for (unsigned i = 0; i < p->n_queues; i++) {
        struct doorbell *bell = &p->doorbells[i];
        if (bell->rings_at) vm_irq_doorbell(p->config.irq, bell->rings_at, 0, bell->fd, false);
        vm_watch_free(bell->watch);
        if (bell->fd >= 0) close(bell->fd);
    }
    virtio_device_free(p->vdev);
    msix_settle(&p->msix);
    atoll_free(p->config.alloc, p, sizeof *p);
}

static const struct pci_function_ops function_ops = {before_read, after_write, moved, function_free};

static enum atoll_status open_doorbell(struct virtio_pci *p, unsigned queue, struct atoll_error *err) {
    struct doorbell *bell = &p->doorbells[queue];
    *bell = (struct doorbell){.owner = p, .queue = queue, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    int error =
        bell->fd < 0 ? errno : vm_loop_watch(p->config.loop, bell->fd, EPOLLIN, rung, bell, &bell->watch);
    if (!error) return ATOLL_OK;
    if (err) err->system_errno = error;
    return atoll_fail(err, error == ENOMEM ? ATOLL_E_NOMEM : ATOLL_E_IO, ATOLL_NO_OFFSET,
                      "%s: no eventfd for its notifications: %s", virtio_device_ops(p->vdev)->name,
                      strerror(error));
}

enum atoll_status virtio_pci_new(const struct virtio_pci_config *config, const struct virtio_ops *ops,
                                 void *dev, struct atoll_error *err) {
    struct virtio_pci *p = atoll_new(config->alloc, 1, sizeof *p);
    if (!p) {
        ops->free(dev);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "%s: out of memory", ops->name);
    }
    p->config = *config;
    enum atoll_status status =
        virtio_device_new(config->alloc, config->memory, ops, dev, &transport_ops, p, &p->vdev, err);
    if (status) {
        atoll_free(config->alloc, p, sizeof *p);
        return status;
    }
    for (; !status && p->n_queues < ops->n_queues; p->n_queues++) status = open_doorbell(p, p->n_queues, err);
    if (status) {
        function_free(&p->function);
        return status;
    }
    fill_config_space(p, ops);
    reset_registers(p);
    return pci_root_add(config->root, &p->function, err);
}
