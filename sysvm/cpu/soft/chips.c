/* sysvm/cpu/soft/chips.c: all chips together, and the ways in. */
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/cpu/soft/clock.h"
#include "sysvm/cpu/soft/ports.h"
#include "sysvm/layout.h"

enum atoll_status soft_chips_init(struct soft_chips *chips, const struct soft_chips_config *config,
                                  struct atoll_error *err) {
    *chips = (struct soft_chips){.alloc = config->alloc,
                                 .n_cpus = config->n_cpus,
                                 .request = config->request,
                                 .context = config->context};
    pthread_mutex_init(&chips->lock, NULL);
    for (unsigned i = 0; i < SOFT_IOAPIC_PINS; i++) chips->ioapic.pins[i] = 1 << 16; /* masked */
    for (unsigned i = 0; i < 2; i++) chips->pics[i] = (struct soft_pic){.imr = 0xFF, .lowest = 7};
    for (unsigned i = 0; i < 3; i++) chips->pit.channels[i].gate = i < 2;
    chips->apics = atoll_new(config->alloc, config->n_cpus, sizeof *chips->apics);
    for (unsigned i = 0; chips->apics && i < config->n_cpus; i++) {
        struct soft_apic *apic = chips->apics + i;
        apic->chips = chips;
        apic->id = i;
        apic->base = VM_LAPIC_BASE | SOFT_APIC_ON | (i ? 0 : SOFT_APIC_BSP);
        soft_apic_init(apic);
    }
    enum atoll_status status = soft_clock_init(chips, config, err);
    if (chips->apics) return status;
    return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

void soft_chips_fini(struct soft_chips *chips) {
    soft_clock_fini(chips);
    atoll_free(chips->alloc, chips->apics, chips->n_cpus * sizeof *chips->apics);
    pthread_mutex_destroy(&chips->lock);
}

void soft_chips_line(struct soft_chips *chips, unsigned gsi, bool level) {
    pthread_mutex_lock(&chips->lock);
    soft_ioapic_line(chips, gsi, level);
    soft_pic_line(chips, gsi, level);
    pthread_mutex_unlock(&chips->lock);
}

void soft_chips_message(struct soft_chips *chips, uint64_t address, uint32_t data) {
    if (address >> 20 != VM_LAPIC_BASE >> 20) return; /* not an interrupt: nobody is there */
    struct soft_message message = {.destination = address >> 12 & 0xFF,
                                   .vector = (uint8_t)data,
                                   .mode = data >> 8 & 7,
                                   .is_logical = address >> 2 & 1,
                                   .is_level = false}; /* no I/O APIC waits for the end of a message */
    pthread_mutex_lock(&chips->lock);
    soft_apic_send(chips, &message);
    pthread_mutex_unlock(&chips->lock);
}

static bool port_byte(struct soft_chips *chips, uint16_t port, bool is_write, uint8_t *value) {
    return soft_pic_port(chips, port, is_write, value) || soft_pit_port(chips, port, is_write, value);
}

bool soft_chips_port(struct soft_chips *chips, uint16_t port, unsigned n_bytes, bool is_write,
                     uint32_t *value) {
    bool any = false;
    if (port != 0x61 && (port & ~0x81) != 0x20 && (port & ~3) != 0x40 && (port & ~1) != 0x4D0) return false;
    pthread_mutex_lock(&chips->lock);
    for (unsigned i = 0; i < n_bytes && i < 4; i++) {
        uint8_t byte = (uint8_t)(is_write ? *value >> 8 * i : 0xFF);
        any |= port_byte(chips, (uint16_t)(port + i), is_write, &byte);
        if (!is_write) *value = (*value & ~(UINT32_C(0xFF) << 8 * i)) | (uint32_t)byte << 8 * i;
    }
    pthread_mutex_unlock(&chips->lock);
    return any;
}
