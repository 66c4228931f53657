/* sysvm/cpu/soft/apic.c: the local APIC of a processor: what is requested, what is in service, and who is asked
 * next; messages between processors; the timer.
 *
 * Source: Intel SDM volume 3, chapter 11. Registers are named by their offset in the page. */
#include <string.h>
#include "sysvm/cpu/soft/chips.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/layout.h"

enum { /* offsets; in x2APIC mode MSR 0x800 + offset / 16 */
       ID = 0x20,
       VERSION = 0x30,
       TPR = 0x80,
       PPR = 0xA0,
       EOI = 0xB0,
       LDR = 0xD0,
       DFR = 0xE0,
       SVR = 0xF0,
       ISR = 0x100,
       TMR = 0x180,
       IRR = 0x200,
       ESR = 0x280,
       ICR = 0x300,
       ICR_HIGH = 0x310,
       LVT = 0x320,
       INITIAL_COUNT = 0x380,
       COUNT = 0x390,
       DIVIDE = 0x3E0,
       SELF_IPI = 0x3F0
};
enum { SOFTWARE_ON = 1 << 8 };
enum { MASKED = 1 << 16, LVT_LEVEL = 1 << 15, LVT_BITS = 0x1FFFF, TIMER_MODE = 3 << 17 };
enum { ONE_SHOT, PERIODIC = 1 << 17, DEADLINE = 2 << 17 };
enum { ESR_SEND_VECTOR = 1 << 5, ESR_GOT_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7 };
enum { VERSION_VALUE = 0x14 | (SOFT_N_LVTS - 1) << 16 };
#define MSR_APIC_BASE    0x1B
#define MSR_TSC_DEADLINE 0x6E0
#define MSR_X2APIC       0x800

/* A guest that asks for a period below this gets this one: it could not serve them anyway. */
#define SHORTEST_PERIOD_NS UINT64_C(50000)

/* ---- bits ---- */

static void set_bit(uint32_t *bits, unsigned n) { bits[n / 32] |= UINT32_C(1) << n % 32; }
static void clear_bit(uint32_t *bits, unsigned n) { bits[n / 32] &= ~(UINT32_C(1) << n % 32); }
static int highest(const uint32_t *bits) {
    for (int i = 7; i >= 0; i--)
        if (bits[i]) return 32 * i + 31 - __builtin_clz(bits[i]);
    return -1;
}

static bool is_x2(const struct soft_apic *apic) { return apic->base & SOFT_APIC_X2; }
static bool is_on(const struct soft_apic *apic) { return apic->base & SOFT_APIC_ON; }
static bool is_software_on(const struct soft_apic *apic) { return is_on(apic) && apic->svr & SOFTWARE_ON; }

/* ---- who is next ---- */

static unsigned processor_priority(const struct soft_apic *apic) {
    int in_service = highest(apic->isr);
    unsigned served = in_service < 0 ? 0 : (unsigned)in_service & 0xF0;
    return (apic->tpr & 0xF0) >= served ? apic->tpr & 0xFF : served;
}

/* Whether the 8259s reach this processor: through LINT0, or past an APIC that is off. */
static bool hears_pic(const struct soft_apic *apic) {
    if (apic->id) return false;
    if (!is_on(apic)) return true;
    uint32_t lint0 = apic->lvt[SOFT_LVT_LINT0];
    return !(lint0 & MASKED) && (lint0 >> 8 & 7) == SOFT_SEND_EXTINT;
}

static int find_next(const struct soft_apic *apic) {
    int next = is_software_on(apic) ? highest(apic->irr) : -1;
    return next >= 0 && ((unsigned)next & 0xF0) > (processor_priority(apic) & 0xF0) ? next : -1;
}

void soft_apic_update(struct soft_apic *apic) {
    int next = find_next(apic);
    if (next < 0 && hears_pic(apic) && soft_pic_pending(apic->chips))
        next = 0; /* the 8259 says which, later */
    int before = atomic_exchange(&apic->pending, next);
    if (next >= 0 && next != before)
        apic->chips->request(apic->chips->context, apic->id, SOFT_WISH_INTERRUPT);
}

int soft_apic_acknowledge(struct soft_apic *apic) {
    pthread_mutex_lock(&apic->chips->lock);
    int vector = find_next(apic);
    if (vector >= 0) {
        clear_bit(apic->irr, (unsigned)vector);
        set_bit(apic->isr, (unsigned)vector);
    } else if (hears_pic(apic)) {
        vector = soft_pic_acknowledge(apic->chips);
    }
    soft_apic_update(apic);
    pthread_mutex_unlock(&apic->chips->lock);
    return vector;
}

static void end_of_interrupt(struct soft_apic *apic) {
    int vector = highest(apic->isr);
    if (vector < 0) return;
    clear_bit(apic->isr, (unsigned)vector);
    if (soft_bit(apic->tmr, (unsigned)vector)) soft_ioapic_end(apic->chips, (uint8_t)vector);
    soft_apic_update(apic);
}

/* ---- messages ---- */

static void accept(struct soft_apic *apic, uint8_t vector, bool is_level);

static void report_error(struct soft_apic *apic, uint32_t bit) {
    if (apic->esr_pending & bit) return;
    apic->esr_pending |= bit;
    uint32_t lvt = apic->lvt[SOFT_LVT_ERROR];
    if (!(lvt & MASKED) && (lvt & 0xFF) >= 16) accept(apic, (uint8_t)lvt, false);
}

static void accept(struct soft_apic *apic, uint8_t vector, bool is_level) {
    if (!is_software_on(apic)) return;
    if (vector < 16) {
        report_error(apic, ESR_GOT_VECTOR);
        return;
    }
    set_bit(apic->irr, vector);
    if (is_level)
        set_bit(apic->tmr, vector);
    else
        clear_bit(apic->tmr, vector);
    soft_apic_update(apic);
}

static void take(struct soft_apic *apic, const struct soft_message *message) {
    struct soft_chips *chips = apic->chips;
    switch ((enum soft_delivery)message->mode) {
    case SOFT_SEND_FIXED:
    case SOFT_SEND_LOWEST: accept(apic, message->vector, message->is_level); return;
    case SOFT_SEND_NMI: chips->request(chips->context, apic->id, SOFT_WISH_NMI); return;
    case SOFT_SEND_INIT: chips->request(chips->context, apic->id, SOFT_WISH_INIT); return;
    case SOFT_SEND_SIPI:
        apic->sipi_vector = message->vector;
        chips->request(chips->context, apic->id, SOFT_WISH_SIPI);
        return;
    case SOFT_SEND_SMI:    /* there is no system management mode */
    case SOFT_SEND_EXTINT: /* wired, in a PC: see hears_pic */
    default: return;
    }
}

static uint32_t logical_id(const struct soft_apic *apic) {
    return is_x2(apic) ? (uint32_t)(apic->id >> 4) << 16 | UINT32_C(1) << (apic->id & 15) : apic->ldr;
}

static bool matches_logical(const struct soft_apic *apic, uint32_t destination) {
    uint32_t own = logical_id(apic);
    if (is_x2(apic)) {
        if (destination == UINT32_MAX) return true;
        return own >> 16 == destination >> 16 && own & destination & 0xFFFF;
    }
    own >>= 24;
    if (apic->dfr >> 28 == 0xF) return own & destination;
    return destination == 0xFF || (own >> 4 == (destination >> 4 & 0xF) && own & destination & 0xF);
}

static bool matches(const struct soft_apic *apic, const struct soft_message *message) {
    if (message->is_logical) return matches_logical(apic, message->destination);
    uint32_t everybody = is_x2(apic) ? UINT32_MAX : 0xFF;
    return message->destination == apic->id || message->destination == everybody;
}

void soft_apic_send(struct soft_chips *chips, const struct soft_message *message) {
    struct soft_apic *lowest = NULL;
    for (unsigned i = 0; i < chips->n_cpus; i++) {
        struct soft_apic *apic = chips->apics + i;
        if (!matches(apic, message)) continue;
        if (message->mode != SOFT_SEND_LOWEST)
            take(apic, message);
        else if (is_software_on(apic) && (!lowest || processor_priority(apic) < processor_priority(lowest)))
            lowest = apic;
    }
    if (lowest) take(lowest, message);
}

static void send_between(struct soft_apic *apic) {
    enum { SELF = 1, ALL, OTHERS };
    uint32_t low = (uint32_t)apic->icr, shorthand = low >> 18 & 3;
    struct soft_message message = {.destination = (uint32_t)(apic->icr >> (is_x2(apic) ? 32 : 56)),
                                   .vector = (uint8_t)low,
                                   .mode = low >> 8 & 7,
                                   .is_logical = low >> 11 & 1};
    bool deasserts =
        message.mode == SOFT_SEND_INIT && (low & (1 << 14)) == 0; /* of old processors; does nothing */
    if (deasserts) return;
    if ((message.mode == SOFT_SEND_FIXED || message.mode == SOFT_SEND_LOWEST) && message.vector < 16) {
        report_error(apic, ESR_SEND_VECTOR);
        return;
    }
    if (!shorthand) {
        soft_apic_send(apic->chips, &message);
        return;
    }
    for (unsigned i = 0; i < apic->chips->n_cpus; i++) {
        bool own = i == apic->id;
        if (shorthand == ALL || own == (shorthand == SELF)) take(apic->chips->apics + i, &message);
    }
}

/* ---- the timer ---- */

static unsigned divisor(const struct soft_apic *apic) {
    unsigned code = (apic->divide & 3) | (apic->divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}
static uint64_t period_ns(const struct soft_apic *apic) {
    return (uint64_t)apic->initial_count * divisor(apic); /* a tick of the bus is a nanosecond */
}
static uint32_t timer_mode(const struct soft_apic *apic) { return apic->lvt[SOFT_LVT_TIMER] & TIMER_MODE; }

static uint32_t current_count(const struct soft_apic *apic) {
    uint64_t period = period_ns(apic);
    if (!period || apic->count_ended || timer_mode(apic) == DEADLINE) return 0;
    uint64_t passed = soft_clock_now(&apic->chips->clock) - apic->count_start_ns;
    if (passed >= period && timer_mode(apic) != PERIODIC) return 0;
    return (uint32_t)((period - passed % period) / divisor(apic));
}

static void fire(void *context) {
    struct soft_apic *apic = context;
    uint32_t lvt = apic->lvt[SOFT_LVT_TIMER];
    if (!(lvt & MASKED)) accept(apic, (uint8_t)lvt, false);
    if (timer_mode(apic) == DEADLINE) apic->tsc_deadline = 0;
    if (timer_mode(apic) == ONE_SHOT) apic->count_ended = true;
    if (timer_mode(apic) != PERIODIC || !apic->initial_count) return;
    uint64_t period = period_ns(apic), now = soft_clock_now(&apic->chips->clock);
    if (period < SHORTEST_PERIOD_NS) period = SHORTEST_PERIOD_NS;
    uint64_t next = apic->timer.deadline_ns + period;
    soft_timer_set(apic->chips, &apic->timer, next > now ? next : now + period);
}

static void start_count(struct soft_apic *apic) {
    apic->count_start_ns = soft_clock_now(&apic->chips->clock);
    apic->count_ended = false;
    if (apic->initial_count && timer_mode(apic) != DEADLINE)
        soft_timer_set(apic->chips, &apic->timer, apic->count_start_ns + period_ns(apic));
    else
        soft_timer_stop(apic->chips, &apic->timer);
}

static void set_deadline(struct soft_apic *apic, uint64_t value) {
    if (timer_mode(apic) != DEADLINE) return;
    apic->tsc_deadline = value;
    soft_timer_stop(apic->chips, &apic->timer);
    if (value && value <= soft_clock_now(&apic->chips->clock))
        fire(apic); /* before the next instruction, not when the clock's thread comes to it */
    else if (value)
        soft_timer_set(apic->chips, &apic->timer, value);
}

static void set_timer_lvt(struct soft_apic *apic, uint32_t value) {
    const uint32_t before = timer_mode(apic);
    /* A count that has come to 0 ended in the old mode, also where the clock's thread has not come to it yet. */
    if (before == ONE_SHOT && apic->timer.is_set &&
        apic->timer.deadline_ns <= soft_clock_now(&apic->chips->clock)) {
        soft_timer_stop(apic->chips, &apic->timer);
        fire(apic);
    }
    apic->lvt[SOFT_LVT_TIMER] = value & (0xFF | MASKED | TIMER_MODE);
    const uint32_t mode = timer_mode(apic);
    if (mode == before) return;
    if (mode != DEADLINE && before != DEADLINE) { /* the count goes on to 0, where the new mode counts */
        if (apic->timer.is_set) apic->count_start_ns = apic->timer.deadline_ns - period_ns(apic);
        return;
    }
    apic->initial_count = 0; /* a change from or to a deadline disarms */
    apic->tsc_deadline = 0;
    soft_timer_stop(apic->chips, &apic->timer);
}

/* ---- registers ---- */

static uint32_t read_register(const struct soft_apic *apic, uint32_t offset) {
    if (offset >= LVT && offset < LVT + 16 * SOFT_N_LVTS) return apic->lvt[(offset - LVT) / 16];
    if (offset >= ISR && offset < TMR) return apic->isr[(offset - ISR) / 16];
    if (offset >= TMR && offset < IRR) return apic->tmr[(offset - TMR) / 16];
    if (offset >= IRR && offset < ESR) return apic->irr[(offset - IRR) / 16];
    switch (offset) {
    case ID: return is_x2(apic) ? apic->id : (uint32_t)apic->id << 24;
    case VERSION: return VERSION_VALUE;
    case TPR: return apic->tpr;
    case PPR: return processor_priority(apic);
    case LDR: return logical_id(apic);
    case DFR: return apic->dfr;
    case SVR: return apic->svr;
    case ESR: return apic->esr;
    case ICR: return (uint32_t)apic->icr;
    case ICR_HIGH: return (uint32_t)(apic->icr >> 32);
    case INITIAL_COUNT: return apic->initial_count;
    case COUNT: return current_count(apic);
    case DIVIDE: return apic->divide;
    default: return 0;
    }
}

static void set_svr(struct soft_apic *apic, uint32_t value) {
    apic->svr = value & 0x3FF;
    if (apic->svr & SOFTWARE_ON) return;
    for (unsigned i = 0; i < SOFT_N_LVTS; i++) apic->lvt[i] |= MASKED;
}

static void set_lvt(struct soft_apic *apic, unsigned index, uint32_t value) {
    if (!(apic->svr & SOFTWARE_ON)) value |= MASKED;
    if (index == SOFT_LVT_TIMER)
        set_timer_lvt(apic, value);
    else
        apic->lvt[index] = value & (LVT_BITS & ~(1 << 12));
}

static void write_register(struct soft_apic *apic, uint32_t offset, uint32_t value) {
    if (offset >= LVT && offset < LVT + 16 * SOFT_N_LVTS) {
        set_lvt(apic, (offset - LVT) / 16, value);
        soft_apic_update(apic);
        return;
    }
    switch (offset) {
    case TPR: apic->tpr = value & 0xFF; break;
    case EOI: end_of_interrupt(apic); break;
    case LDR: apic->ldr = value & 0xFF000000; break;
    case DFR: apic->dfr = value | 0x0FFFFFFF; break;
    case SVR: set_svr(apic, value); break;
    case ESR:
        apic->esr = apic->esr_pending;
        apic->esr_pending = 0;
        break;
    case ICR:
        apic->icr = (apic->icr & ~UINT64_C(0xFFFFFFFF)) | (value & ~(UINT32_C(1) << 12));
        send_between(apic);
        break;
    case ICR_HIGH: apic->icr = (apic->icr & 0xFFFFFFFF) | (uint64_t)value << 32; break;
    case INITIAL_COUNT:
        apic->initial_count = timer_mode(apic) == DEADLINE ? 0 : value;
        if (timer_mode(apic) != DEADLINE) start_count(apic);
        break;
    case DIVIDE:
        apic->divide = value & 0xB;
        if (timer_mode(apic) != DEADLINE) start_count(apic);
        break;
    default: break;
    }
    soft_apic_update(apic);
}

uint32_t soft_apic_read(struct soft_apic *apic, uint32_t offset) {
    if (offset & 15) return 0;
    pthread_mutex_lock(&apic->chips->lock);
    uint32_t value = read_register(apic, offset);
    pthread_mutex_unlock(&apic->chips->lock);
    return value;
}

void soft_apic_write(struct soft_apic *apic, uint32_t offset, uint32_t value) {
    if (offset & 15) return;
    pthread_mutex_lock(&apic->chips->lock);
    write_register(apic, offset, value);
    pthread_mutex_unlock(&apic->chips->lock);
}

/* ---- as MSRs ---- */

static bool x2_has(uint32_t offset, bool is_write) {
    if (offset >= LVT && offset < LVT + 16 * SOFT_N_LVTS) return true;
    if (offset >= ISR && offset < ESR) return !is_write;
    switch (offset) {
    case TPR:
    case SVR:
    case ESR:
    case ICR:
    case INITIAL_COUNT:
    case DIVIDE: return true;
    case ID:
    case VERSION:
    case PPR:
    case LDR:
    case COUNT: return !is_write;
    case EOI:
    case SELF_IPI: return is_write;
    default: return false;
    }
}

static bool read_msr(struct soft_apic *apic, uint32_t msr, uint64_t *out_value) {
    if (msr == MSR_APIC_BASE) *out_value = apic->base;
    if (msr == MSR_TSC_DEADLINE) *out_value = timer_mode(apic) == DEADLINE ? apic->tsc_deadline : 0;
    if (msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE) return true;
    uint32_t offset = (msr - MSR_X2APIC) * 16;
    if (msr < MSR_X2APIC || !is_x2(apic) || !x2_has(offset, false)) return false;
    *out_value = offset == ICR ? apic->icr : read_register(apic, offset);
    return true;
}

/* Off, on, x2APIC: the SDM's figure 11-9. From x2APIC the only way on leads through off. */
static bool set_base(struct soft_apic *apic, uint64_t value) {
    const uint64_t page = ((UINT64_C(1) << SOFT_PHYSICAL_BITS) - 1) & ~UINT64_C(0xFFF);
    const uint64_t known = page | SOFT_APIC_BSP | SOFT_APIC_X2 | SOFT_APIC_ON;
    bool on = value & SOFT_APIC_ON, x2 = value & SOFT_APIC_X2;
    if (value & ~known || (x2 && !on) || (x2 && !is_on(apic)) || (is_x2(apic) && on && !x2)) return false;
    bool switched_off = is_on(apic) && !on;
    apic->base = (value & ~(uint64_t)SOFT_APIC_BSP) | (apic->base & SOFT_APIC_BSP);
    if (switched_off) soft_apic_init(apic);
    return true;
}

static bool write_msr(struct soft_apic *apic, uint32_t msr, uint64_t value) {
    if (msr == MSR_APIC_BASE) return set_base(apic, value);
    if (msr == MSR_TSC_DEADLINE) {
        set_deadline(apic, value);
        return true;
    }
    uint32_t offset = (msr - MSR_X2APIC) * 16;
    if (msr < MSR_X2APIC || !is_x2(apic) || !x2_has(offset, true)) return false;
    if (offset != ICR && value >> 32) return false;
    if ((offset == EOI || offset == ESR) && value) return false;
    if (offset == ICR) apic->icr = value & ~UINT64_C(0xFFFFFFFF);
    if (offset == SELF_IPI) {
        apic->icr = 1 << 18 | (value & 0xFF);
        send_between(apic);
    } else {
        write_register(apic, offset, (uint32_t)value);
    }
    return true;
}

bool soft_apic_msr_read(struct soft_apic *apic, uint32_t msr, uint64_t *out_value) {
    pthread_mutex_lock(&apic->chips->lock);
    bool ok = read_msr(apic, msr, out_value);
    pthread_mutex_unlock(&apic->chips->lock);
    return ok;
}

bool soft_apic_msr_write(struct soft_apic *apic, uint32_t msr, uint64_t value) {
    pthread_mutex_lock(&apic->chips->lock);
    bool ok = write_msr(apic, msr, value);
    if (ok) soft_apic_update(apic);
    pthread_mutex_unlock(&apic->chips->lock);
    return ok;
}

uint8_t soft_apic_cr8(struct soft_apic *apic) { return (uint8_t)(soft_apic_read(apic, TPR) >> 4); }
void soft_apic_set_cr8(struct soft_apic *apic, uint8_t priority) {
    soft_apic_write(apic, TPR, (uint32_t)priority << 4);
}

/* ---- reset ---- */

static void init(struct soft_apic *apic) {
    soft_timer_stop(apic->chips, &apic->timer);
    apic->tpr = apic->ldr = apic->esr = apic->esr_pending = apic->divide = apic->initial_count = 0;
    apic->dfr = UINT32_MAX;
    apic->svr = 0xFF;
    apic->icr = apic->tsc_deadline = 0;
    apic->count_ended = false;
    memset(apic->isr, 0, sizeof apic->isr);
    memset(apic->tmr, 0, sizeof apic->tmr);
    memset(apic->irr, 0, sizeof apic->irr);
    for (unsigned i = 0; i < SOFT_N_LVTS; i++) apic->lvt[i] = MASKED;
    /* As firmware leaves the first processor: the 8259s come through, NMI too ("virtual wire"). */
    if (apic->base & SOFT_APIC_BSP) {
        apic->svr |= SOFTWARE_ON;
        apic->lvt[SOFT_LVT_LINT0] = SOFT_SEND_EXTINT << 8;
        apic->lvt[SOFT_LVT_LINT1] = SOFT_SEND_NMI << 8;
    }
    apic->timer.fire = fire;
    apic->timer.context = apic;
    atomic_store(&apic->pending, -1);
}

void soft_apic_init(struct soft_apic *apic) { init(apic); }
