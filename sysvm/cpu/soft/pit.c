/* sysvm/cpu/soft/pit.c: the 8254 timer: channel 0 interrupts, channel 2 is measured by kernels that want to know
 * how fast their processor counts (its output and gate are bits of port 61). Counts are functions of the clock.
 * Source: Intel 8254 data sheet. */
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/cpu/soft/ports.h"
#include "sysvm/layout.h"

#define PIT_HZ UINT64_C(1193182)
#define SECOND UINT64_C(1000000000)
/* A period below this is served as this one. */
#define SHORTEST_PERIOD_NS UINT64_C(50000)

enum { COUNTER_LATCH, LOW, HIGH, LOW_THEN_HIGH };
enum { TERMINAL_COUNT, ONE_SHOT, RATE, SQUARE, SOFTWARE_STROBE, HARDWARE_STROBE };

/* ---- time ---- */

static uint64_t to_ticks(uint64_t ns) { return ns / SECOND * PIT_HZ + ns % SECOND * PIT_HZ / SECOND; }
static uint64_t to_ns(uint64_t ticks) {
    return (ticks * SECOND + PIT_HZ - 1) / PIT_HZ;
} /* ticks below 2^24 */

static uint32_t reload_of(const struct soft_pit_channel *c) {
    if (!c->bcd) return c->reload ? c->reload : 0x10000;
    unsigned r = c->reload;
    unsigned value = (r >> 12) * 1000 + (r >> 8 & 15) * 100 + (r >> 4 & 15) * 10 + (r & 15);
    return value ? value : 10000;
}
static uint64_t ticks_of(const struct soft_chips *chips, const struct soft_pit_channel *c) {
    return to_ticks(soft_clock_now(&chips->clock) - c->start_ns);
}

static uint16_t count_of(const struct soft_chips *chips, const struct soft_pit_channel *c) {
    uint32_t reload = reload_of(c);
    uint64_t passed = c->is_loaded ? ticks_of(chips, c) : 0;
    uint32_t count;
    if (c->mode == SQUARE)
        count = reload - (uint32_t)(2 * passed % reload);
    else if (c->mode == RATE)
        count = reload - (uint32_t)(passed % reload);
    else
        count = (uint32_t)(reload - passed); /* goes on below zero */
    count &= 0xFFFF;
    if (!c->bcd) return (uint16_t)count;
    count %= 10000;
    return (uint16_t)((count / 1000) << 12 | (count / 100 % 10) << 8 | (count / 10 % 10) << 4 | count % 10);
}

static bool output_of(const struct soft_chips *chips, const struct soft_pit_channel *c) {
    if (!c->is_loaded) return c->mode != TERMINAL_COUNT;
    uint32_t reload = reload_of(c);
    uint64_t passed = ticks_of(chips, c);
    switch (c->mode) {
    case TERMINAL_COUNT:
    case ONE_SHOT: return passed >= reload;
    case RATE: return passed % reload != reload - 1;
    case SQUARE: return passed % reload < (reload + 1) / 2;
    default: return passed != reload;
    }
}

/* ---- channel 0's interrupts ---- */

static void pulse(struct soft_chips *chips) {
    for (int level = 1; level >= 0; level--) {
        soft_ioapic_line(chips, VM_GSI_TIMER, level);
        soft_pic_line(chips, 0, level);
    }
}

static void fire(void *context) {
    struct soft_chips *chips = context;
    struct soft_pit_channel *c = chips->pit.channels;
    struct soft_timer *timer = &chips->pit.timer;
    pulse(chips);
    if (c->mode != RATE && c->mode != SQUARE) return;
    uint64_t period = to_ns(reload_of(c)), now = soft_clock_now(&chips->clock);
    if (period < SHORTEST_PERIOD_NS) period = SHORTEST_PERIOD_NS;
    uint64_t next = timer->deadline_ns + period;
    soft_timer_set(chips, timer, next > now ? next : now + period);
}

static void start(struct soft_chips *chips, struct soft_pit_channel *c) {
    c->start_ns = soft_clock_now(&chips->clock);
    c->is_loaded = true;
    if (c != chips->pit.channels) return;
    chips->pit.timer.fire = fire;
    chips->pit.timer.context = chips;
    if (c->mode == ONE_SHOT || c->mode == HARDWARE_STROBE)
        soft_timer_stop(chips, &chips->pit.timer); /* they wait for a gate that channel 0 has not */
    else
        soft_timer_set(chips, &chips->pit.timer, c->start_ns + to_ns(reload_of(c)));
}

/* ---- ports ---- */

static void latch(const struct soft_chips *chips, struct soft_pit_channel *c) {
    if (c->latched_bytes) return;
    c->latched = count_of(chips, c);
    c->latched_bytes = c->access == LOW_THEN_HIGH ? 2 : 1;
}

static void latch_status(const struct soft_chips *chips, struct soft_pit_channel *c) {
    if (c->status_latched) return;
    c->status =
        (uint8_t)(output_of(chips, c) << 7 | !c->is_loaded << 6 | c->access << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void read_back(struct soft_chips *chips, uint8_t value) {
    enum { NO_COUNT = 0x20, NO_STATUS = 0x10 };
    for (unsigned i = 0; i < 3; i++) {
        if (!(value >> (i + 1) & 1)) continue;
        if (!(value & NO_COUNT)) latch(chips, chips->pit.channels + i);
        if (!(value & NO_STATUS)) latch_status(chips, chips->pit.channels + i);
    }
}

static void control(struct soft_chips *chips, uint8_t value) {
    unsigned which = value >> 6, access = value >> 4 & 3;
    if (which == 3) {
        read_back(chips, value);
        return;
    }
    struct soft_pit_channel *c = chips->pit.channels + which;
    if (access == COUNTER_LATCH) {
        latch(chips, c);
        return;
    }
    bool gate = c->gate;
    unsigned mode = value >> 1 & 7;
    *c = (struct soft_pit_channel){.access = (uint8_t)access,
                                   .mode = (uint8_t)(mode > 5 ? mode - 4 : mode),
                                   .bcd = value & 1,
                                   .gate = gate};
    if (which == 0) soft_timer_stop(chips, &chips->pit.timer);
}

static void write_count(struct soft_chips *chips, struct soft_pit_channel *c, uint8_t value) {
    if (c->access == LOW_THEN_HIGH && !c->high_next_write) {
        c->low_byte = value;
        c->high_next_write = true;
        return;
    }
    c->high_next_write = false;
    if (c->access == LOW_THEN_HIGH)
        c->reload = (uint16_t)(value << 8 | c->low_byte);
    else
        c->reload = (uint16_t)(c->access == HIGH ? value << 8 : value);
    if (c->mode != ONE_SHOT && c->mode != HARDWARE_STROBE) start(chips, c);
}

static uint8_t read_count(struct soft_chips *chips, struct soft_pit_channel *c) {
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched_bytes) {
        bool high = c->access == HIGH || (c->access == LOW_THEN_HIGH && c->latched_bytes == 1);
        c->latched_bytes--;
        return (uint8_t)(high ? c->latched >> 8 : c->latched);
    }
    uint16_t count = count_of(chips, c);
    bool high = c->access == HIGH || (c->access == LOW_THEN_HIGH && c->high_next_read);
    if (c->access == LOW_THEN_HIGH) c->high_next_read = !c->high_next_read;
    return (uint8_t)(high ? count >> 8 : count);
}

/* Port 61: the gate of channel 2 and the speaker; the refresh bit toggles, as programs that wait by it expect. */
static void write_gate(struct soft_chips *chips, uint8_t value) {
    struct soft_pit_channel *c = chips->pit.channels + 2;
    bool rises = value & 1 && !c->gate;
    c->gate = value & 1;
    chips->pit.speaker_data = value & 2;
    if (rises && (c->is_loaded || c->mode == ONE_SHOT || c->mode == HARDWARE_STROBE)) start(chips, c);
}
static uint8_t read_gate(const struct soft_chips *chips) {
    const struct soft_pit_channel *c = chips->pit.channels + 2;
    bool refresh = soft_clock_now(&chips->clock) / 15000 & 1;
    return (uint8_t)(c->gate | chips->pit.speaker_data << 1 | refresh << 4 | output_of(chips, c) << 5);
}

bool soft_pit_port(struct soft_chips *chips, uint16_t port, bool is_write, uint8_t *value) {
    if (port == 0x61) {
        if (is_write)
            write_gate(chips, *value);
        else
            *value = read_gate(chips);
        return true;
    }
    if (port < 0x40 || port > 0x43) return false;
    if (port == 0x43 && is_write)
        control(chips, *value);
    else if (port == 0x43)
        *value = 0xFF;
    else if (is_write)
        write_count(chips, chips->pit.channels + (port & 3), *value);
    else
        *value = read_count(chips, chips->pit.channels + (port & 3));
    return true;
}
