/* sysvm/cpu/soft/ioapic.c: the I/O APIC: lines become messages. Source: Intel 82093AA data sheet. */
#include "sysvm/cpu/soft/chips.h"

enum { SELECT = 0x00, WINDOW = 0x10, END = 0x40 };
enum { ID = 0, VERSION = 1, ARBITRATION = 2, FIRST_PIN = 0x10 };
enum { VERSION_VALUE = 0x20 | (SOFT_IOAPIC_PINS - 1) << 16 }; /* 0x20: with a register for ends */
/* Bits of a redirection entry, all in its lower half. */
enum { LOGICAL = 1 << 11, PENDING = 1 << 12, REMOTE_IRR = 1 << 14, LEVEL = 1 << 15, MASKED = 1 << 16 };

static void send(struct soft_chips *chips, unsigned pin) {
    uint64_t *entry = chips->ioapic.pins + pin;
    bool is_level = *entry & LEVEL;
    if (*entry & MASKED || (is_level && *entry & REMOTE_IRR)) return;
    if (is_level) *entry |= REMOTE_IRR;
    struct soft_message message = {.destination = (uint32_t)(*entry >> 56),
                                   .vector = (uint8_t)*entry,
                                   .mode = *entry >> 8 & 7,
                                   .is_logical = *entry & LOGICAL,
                                   .is_level = is_level};
    soft_apic_send(chips, &message);
}

void soft_ioapic_line(struct soft_chips *chips, unsigned pin, bool level) {
    struct soft_ioapic *io = &chips->ioapic;
    if (pin >= SOFT_IOAPIC_PINS) return;
    bool before = io->levels >> pin & 1;
    io->levels = (io->levels & ~(UINT32_C(1) << pin)) | (uint32_t)level << pin;
    if (level && (io->pins[pin] & LEVEL || !before)) send(chips, pin);
}

void soft_ioapic_end(struct soft_chips *chips, uint8_t vector) {
    struct soft_ioapic *io = &chips->ioapic;
    for (unsigned pin = 0; pin < SOFT_IOAPIC_PINS; pin++) {
        if ((uint8_t)io->pins[pin] != vector || !(io->pins[pin] & LEVEL)) continue;
        io->pins[pin] &= ~(uint64_t)REMOTE_IRR;
        if (io->levels >> pin & 1) send(chips, pin);
    }
}

/* ---- registers ---- */

static uint32_t read_indexed(const struct soft_ioapic *io) {
    if (io->index == ID || io->index == ARBITRATION) return (uint32_t)io->id << 24;
    if (io->index == VERSION) return VERSION_VALUE;
    unsigned pin = (io->index - FIRST_PIN) / 2u;
    if (io->index < FIRST_PIN || pin >= SOFT_IOAPIC_PINS) return 0;
    return (uint32_t)(io->index & 1 ? io->pins[pin] >> 32 : io->pins[pin]);
}

static void write_pin(struct soft_chips *chips, unsigned pin, bool is_high, uint32_t value) {
    struct soft_ioapic *io = &chips->ioapic;
    uint64_t *entry = io->pins + pin, kept = *entry & (PENDING | REMOTE_IRR);
    if (is_high) {
        *entry = (*entry & 0xFFFFFFFF) | (uint64_t)(value & 0xFF000000) << 32;
        return;
    }
    *entry = (*entry & ~UINT64_C(0xFFFFFFFF)) | (value & 0x1AFFF) | kept;
    if (!(*entry & LEVEL)) *entry &= ~(uint64_t)REMOTE_IRR; /* kernels clear it so */
    if (*entry & LEVEL && io->levels >> pin & 1) send(chips, pin);
}

static void write_indexed(struct soft_chips *chips, uint32_t value) {
    struct soft_ioapic *io = &chips->ioapic;
    if (io->index == ID) io->id = value >> 24 & 0xF;
    unsigned pin = (io->index - FIRST_PIN) / 2u;
    if (io->index >= FIRST_PIN && pin < SOFT_IOAPIC_PINS) write_pin(chips, pin, io->index & 1, value);
}

uint32_t soft_ioapic_read(struct soft_chips *chips, uint32_t offset) {
    pthread_mutex_lock(&chips->lock);
    uint32_t value = offset == SELECT   ? chips->ioapic.index
                     : offset == WINDOW ? read_indexed(&chips->ioapic)
                                        : 0;
    pthread_mutex_unlock(&chips->lock);
    return value;
}

void soft_ioapic_write(struct soft_chips *chips, uint32_t offset, uint32_t value) {
    pthread_mutex_lock(&chips->lock);
    if (offset == SELECT) chips->ioapic.index = (uint8_t)value;
    if (offset == WINDOW) write_indexed(chips, value);
    if (offset == END) soft_ioapic_end(chips, (uint8_t)value);
    pthread_mutex_unlock(&chips->lock);
}
