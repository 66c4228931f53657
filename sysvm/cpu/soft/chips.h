/* sysvm/cpu/soft/chips.h: what a PC has beside its processors to interrupt them: a clock with its timers, a local
 * APIC a processor, the I/O APIC, the two 8259 controllers, the 8254 timer.
 *
 *   device --line--> I/O APIC pin --message--> local APIC --request--> processor
 *          `-------> 8259 (pins 0 to 15) ----> local APIC 0, LINT0
 *   device --message-------------------------> local APIC
 *   local APIC timer, 8254 <-- clock
 *
 * One lock holds all of it together (chips->lock). Order: the machine lock may be held when it is taken; nobody who
 * holds it takes another lock or calls out, but for `request`, which only sets a flag and wakes a thread. The
 * functions here take it themselves; those of one chip (below) want it held.
 *
 * Sources: Intel SDM volume 3, chapter 11 (APIC); Intel 82093AA (I/O APIC), 8259A and 8254 data sheets. */
#ifndef ATOLL_SYSVM_CPU_SOFT_CHIPS_H
#define ATOLL_SYSVM_CPU_SOFT_CHIPS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct soft_chips;

/* ---- the clock (clock.c) ----
 *
 * Nanoseconds since the machine was made; the time stamp counter, the APIC timers and the 8254 are functions of it,
 * and no other part reads the host's clock: a clock that counts instructions can take its place. */
#define SOFT_TSC_HZ UINT64_C(1000000000) /* a tick a nanosecond */

struct soft_timer {
    void (*fire)(void *context); /* with the lock held, on the clock's thread; may set the timer again */
    void *context;
    uint64_t deadline_ns;
    struct soft_timer *next;
    bool is_set;
};
struct soft_clock {
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread, stopping;
    uint64_t start_ns; /* of the host's CLOCK_MONOTONIC */
    uint64_t *manual;  /* NULL, or where the time stands: then there is no thread, see soft_clock_run */
    struct soft_timer *first; /* by deadline */
};
uint64_t soft_clock_now(const struct soft_clock *clock); /* any thread, without the lock */
void soft_timer_set(struct soft_chips *chips, struct soft_timer *timer, uint64_t deadline_ns);
void soft_timer_stop(struct soft_chips *chips, struct soft_timer *timer);
/* Fires what is due. The clock's thread does it; tests that move the time by hand call it. */
void soft_clock_run(struct soft_chips *chips);

/* ---- local APIC (apic.c) ---- */

enum { SOFT_APIC_BSP = 1 << 8, SOFT_APIC_X2 = 1 << 10, SOFT_APIC_ON = 1 << 11 }; /* bits of IA32_APIC_BASE */
enum soft_apic_lvt {
    SOFT_LVT_TIMER,
    SOFT_LVT_THERMAL,
    SOFT_LVT_COUNTER,
    SOFT_LVT_LINT0,
    SOFT_LVT_LINT1,
    SOFT_LVT_ERROR,
    SOFT_N_LVTS
};
struct soft_apic {
    struct soft_chips *chips;
    unsigned id;
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending, lvt[SOFT_N_LVTS], divide, initial_count;
    uint64_t icr;
    uint32_t isr[8], tmr[8], irr[8];
    uint64_t count_start_ns, tsc_deadline;
    bool count_ended;    /* it is 0, whatever the mode becomes, until a new one is written */
    uint8_t sipi_vector; /* of the start-up message that came last */
    struct soft_timer timer;
    atomic_int pending; /* the vector a processor would get now; -1: none */
};

/* What a processor asks of its APIC, from its own thread; all take the lock. */
int soft_apic_acknowledge(
    struct soft_apic *apic); /* a vector, which is in service from now on; -1: it went away */
static inline bool soft_apic_is_pending(struct soft_apic *apic) {
    return atomic_load_explicit(&apic->pending, memory_order_acquire) >= 0;
}
/* Registers of the page at the APIC's base. Only accesses of 4 bytes at multiples of 16 reach one; others read 0. */
uint32_t soft_apic_read(struct soft_apic *apic, uint32_t offset);
void soft_apic_write(struct soft_apic *apic, uint32_t offset, uint32_t value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE (0x6E0), and 0x800 .. 0x8FF in x2APIC mode. False: #GP. */
bool soft_apic_msr_read(struct soft_apic *apic, uint32_t msr, uint64_t *out_value);
bool soft_apic_msr_write(struct soft_apic *apic, uint32_t msr, uint64_t value);
uint8_t soft_apic_cr8(struct soft_apic *apic);
void soft_apic_set_cr8(struct soft_apic *apic, uint8_t priority); /* 0 .. 15 */
void soft_apic_init(struct soft_apic *apic);                      /* as an INIT message leaves it */

struct soft_message { /* an interrupt on its way to local APICs */
    uint32_t destination;
    uint8_t vector, mode; /* enum soft_delivery */
    bool is_logical, is_level;
};
enum soft_delivery {
    SOFT_SEND_FIXED,
    SOFT_SEND_LOWEST,
    SOFT_SEND_SMI,
    SOFT_SEND_NMI = 4,
    SOFT_SEND_INIT,
    SOFT_SEND_SIPI,
    SOFT_SEND_EXTINT
};
void soft_apic_send(struct soft_chips *chips, const struct soft_message *message); /* lock held */
void soft_apic_update(
    struct soft_apic *apic); /* lock held: `pending` anew, and a request where there is one */

/* ---- I/O APIC (ioapic.c) ---- */

enum { SOFT_IOAPIC_PINS = 24 };
struct soft_ioapic {
    uint8_t index, id;
    uint64_t pins[SOFT_IOAPIC_PINS]; /* redirection entries */
    uint32_t levels;                 /* of the lines, a bit a pin */
};
void soft_ioapic_line(struct soft_chips *chips, unsigned pin, bool level); /* lock held */
void soft_ioapic_end(struct soft_chips *chips, uint8_t vector); /* lock held: a level interrupt was served */
uint32_t soft_ioapic_read(struct soft_chips *chips, uint32_t offset);
void soft_ioapic_write(struct soft_chips *chips, uint32_t offset, uint32_t value);

/* ---- 8259 (pic.c), 8254 (pit.c) ---- */

struct soft_pic {
    uint8_t irr, imr, isr, vector_base, lines, edge_level, lowest;
    uint8_t init_step; /* 0: ready; else the number of the initialization word that comes next */
    bool wants_icw4, auto_end, rotates, special_mask, reads_isr, polls, special_nested;
};
bool soft_pic_pending(const struct soft_chips *chips); /* lock held, and in the next two */
int soft_pic_acknowledge(struct soft_chips *chips);
void soft_pic_line(struct soft_chips *chips, unsigned irq, bool level);

struct soft_pit_channel {
    uint16_t reload, latched;
    uint8_t mode, access, latched_bytes; /* of the value: 0 .. 2 still to read */
    uint8_t status;
    bool status_latched, high_next_read, high_next_write, bcd, gate, is_loaded;
    uint8_t low_byte;
    uint64_t start_ns;
};
struct soft_pit {
    struct soft_pit_channel channels[3];
    bool speaker_data, irq_level;
    struct soft_timer timer; /* channel 0 */
};

/* ---- all of it ---- */

enum soft_wish { SOFT_WISH_INTERRUPT, SOFT_WISH_NMI, SOFT_WISH_INIT, SOFT_WISH_SIPI };
struct soft_chips {
    pthread_mutex_t lock;
    const struct atoll_alloc *alloc;
    unsigned n_cpus;
    void (*request)(void *context, unsigned cpu,
                    enum soft_wish wish); /* with the lock held, from any thread */
    void *context;
    struct soft_clock clock;
    struct soft_ioapic ioapic;
    struct soft_pic pics[2];
    struct soft_pit pit;
    struct soft_apic *apics; /* n_cpus */
};

struct soft_chips_config {
    const struct atoll_alloc *alloc;
    unsigned n_cpus; /* ids 0 .. n_cpus - 1 */
    void (*request)(void *context, unsigned cpu, enum soft_wish wish);
    void *context;
    uint64_t *manual_ns; /* NULL: the host's clock, and a thread that serves the timers */
    /* As in struct vm_engine_config, for that thread. */
    enum atoll_status (*thread_starts)(void *context, struct atoll_error *err);
    void *thread_context;
};
/* fails E_NOMEM, E_IO (no thread) */
enum atoll_status soft_chips_init(struct soft_chips *chips, const struct soft_chips_config *config,
                                  struct atoll_error *err);
void soft_chips_fini(struct soft_chips *chips); /* after init, also one that failed */

/* A line of a device: pin `gsi` of the I/O APIC, and of the 8259s below 16. Any thread. */
void soft_chips_line(struct soft_chips *chips, unsigned gsi, bool level);
/* A message as a device writes it to the APICs' addresses (PCI). Any thread. */
void soft_chips_message(struct soft_chips *chips, uint64_t address, uint32_t data);
/* Ports of the 8259s (20, 21, A0, A1, 4D0, 4D1), the 8254 (40 .. 43) and its gate (61). False: none of these. */
bool soft_chips_port(struct soft_chips *chips, uint16_t port, unsigned n_bytes, bool is_write,
                     uint32_t *value);

static inline bool soft_bit(const uint32_t *bits, unsigned n) { return bits[n / 32] >> n % 32 & 1; }

#endif
