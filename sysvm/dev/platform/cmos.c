/* sysvm/dev/platform/cmos.c: see cmos.h. The time is computed when it is read: an update never is in progress.
 * While alarm or update interrupts are on, a timer fires at each full second. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include "sysvm/dev/platform/cmos.h"
#include "sysvm/layout.h"

#define NS UINT64_C(1000000000)

enum { SECOND, SECOND_ALARM, MINUTE, MINUTE_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D };
#define N_BYTES 128

enum { A_DEFAULT = 0x26, A_BITS = 0x7F };
enum { B_SET = 0x80, B_ALARM = 0x20, B_UPDATE = 0x10, B_BINARY = 4, B_24_HOURS = 2, B_BITS = 0xB7 };
enum { C_REQUEST = 0x80, C_ALARM = 0x20, C_UPDATE = 0x10 };
enum { D_VALID = 0x80 };
enum { HOUR_PM = 0x80, ALARM_ANY = 0xC0 };

struct vm_cmos {
    struct vm_cmos_config config;
    struct vm_timer *tick;
    uint8_t index;
    uint8_t bytes[N_BYTES]; /* of the clock's: alarms, A to C; the time itself only while B_SET stops it */
    int64_t offset_s;       /* the guest's clock minus the host's */
};

/* ---- the time as the registers show it ---- */

static int64_t host_now_ns(void *context) {
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)NS + now.tv_nsec;
}

static int64_t now_s(const struct vm_cmos *m) {
    return m->config.now_ns(m->config.context) / (int64_t)NS + m->offset_s;
}

static uint8_t encode(const struct vm_cmos *m, int value) {
    return (uint8_t)(m->bytes[B] & B_BINARY ? value : value / 10 * 16 + value % 10);
}

/* Any byte: what is no number in BCD is one all the same. */
static int decode(const struct vm_cmos *m, uint8_t value) {
    return m->bytes[B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct vm_cmos *m, int hour) {
    if (m->bytes[B] & B_24_HOURS) return encode(m, hour);
    return (uint8_t)(encode(m, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static int decode_hour(const struct vm_cmos *m, uint8_t value) {
    if (m->bytes[B] & B_24_HOURS) return decode(m, value);
    return decode(m, value & 0x7F) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Puts the time into the registers. */
static void show(struct vm_cmos *m) {
    time_t t = (time_t)now_s(m);
    struct tm tm;
    if (!gmtime_r(&t, &tm)) return;
    m->bytes[SECOND] = encode(m, tm.tm_sec);
    m->bytes[MINUTE] = encode(m, tm.tm_min);
    m->bytes[HOUR] = encode_hour(m, tm.tm_hour);
    m->bytes[WEEKDAY] = encode(m, tm.tm_wday + 1);
    m->bytes[DAY] = encode(m, tm.tm_mday);
    m->bytes[MONTH] = encode(m, tm.tm_mon + 1);
    m->bytes[YEAR] = encode(m, tm.tm_year % 100);
    m->bytes[VM_CMOS_CENTURY] = encode(m, (tm.tm_year / 100 + 19) % 100);
}

/* The clock goes on from what the registers say. Months or days that no calendar has are carried over, as timegm
 * does. */
static void set(struct vm_cmos *m) {
    struct tm tm = {.tm_sec = decode(m, m->bytes[SECOND]),
                    .tm_min = decode(m, m->bytes[MINUTE]),
                    .tm_hour = decode_hour(m, m->bytes[HOUR]),
                    .tm_mday = decode(m, m->bytes[DAY]),
                    .tm_mon = decode(m, m->bytes[MONTH]) - 1,
                    .tm_year = (decode(m, m->bytes[VM_CMOS_CENTURY]) - 19) * 100 + decode(m, m->bytes[YEAR])};
    m->offset_s = 0;
    m->offset_s = (int64_t)timegm(&tm) - now_s(m);
}

/* ---- interrupts ---- */

static void raise_flags(struct vm_cmos *m, uint8_t flags) {
    m->bytes[C] |= flags;
    if (!(m->bytes[C] & m->bytes[B] & (B_ALARM | B_UPDATE)) || m->bytes[C] & C_REQUEST) return;
    m->bytes[C] |= C_REQUEST;
    vm_irq_line(m->config.irq, VM_GSI_CMOS, true);
}

static uint8_t read_flags(struct vm_cmos *m) {
    uint8_t flags = m->bytes[C];
    m->bytes[C] = 0;
    if (flags & C_REQUEST) vm_irq_line(m->config.irq, VM_GSI_CMOS, false);
    return flags;
}

static bool matches(uint8_t alarm, uint8_t value) { return alarm >= ALARM_ANY || alarm == value; }

static void set_tick(struct vm_cmos *m) {
    uint64_t deadline = UINT64_MAX;
    if (m->bytes[B] & (B_ALARM | B_UPDATE) && !(m->bytes[B] & B_SET)) {
        uint64_t into_second = (uint64_t)m->config.now_ns(m->config.context) % NS;
        deadline = vm_now_ns() + NS - into_second;
    }
    vm_timer_set(m->tick, deadline);
}

static void tick(void *context) {
    struct vm_cmos *m = context;
    show(m);
    bool is_alarm = matches(m->bytes[SECOND_ALARM], m->bytes[SECOND]) &&
                    matches(m->bytes[MINUTE_ALARM], m->bytes[MINUTE]) &&
                    matches(m->bytes[HOUR_ALARM], m->bytes[HOUR]);
    raise_flags(m, (uint8_t)(C_UPDATE | (is_alarm ? C_ALARM : 0)));
    set_tick(m);
}

/* ---- registers ---- */

static bool is_time(unsigned i) {
    return i == SECOND || i == MINUTE || i == HOUR || (i >= WEEKDAY && i <= YEAR) || i == VM_CMOS_CENTURY;
}

/* Setting stops the clock's show with B_SET; ending it starts the clock from there. */
static void write_b(struct vm_cmos *m, uint8_t value) {
    bool ends_setting = m->bytes[B] & ~value & B_SET;
    if (value & ~m->bytes[B] & B_SET) show(m);
    m->bytes[B] = value & B_BITS;
    if (ends_setting) set(m);
    raise_flags(m, 0);
    set_tick(m);
}

static void write_byte(struct vm_cmos *m, uint8_t value) {
    unsigned i = m->index;
    bool runs = !(m->bytes[B] & B_SET);
    if (i == B) {
        write_b(m, value);
    } else if (i == A) {
        m->bytes[A] = value & A_BITS;
    } else if (i != C && i != D) {
        if (is_time(i) && runs) show(m);
        m->bytes[i] = value;
        if (is_time(i) && runs) set(m);
    }
}

static uint8_t read_byte(struct vm_cmos *m) {
    unsigned i = m->index;
    if (i == C) return read_flags(m);
    if (is_time(i) && !(m->bytes[B] & B_SET)) show(m);
    return m->bytes[i];
}

static void port_read(void *dev, uint64_t offset, void *data, unsigned n) {
    memset(data, 0xFF, n);
    if (offset == 1 && n == 1) *(uint8_t *)data = read_byte(dev);
}

/* The high bit of the index masks NMI, of which there are none. */
static void port_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    struct vm_cmos *m = dev;
    const uint8_t *bytes = data;
    if (offset == 0) m->index = bytes[0] % N_BYTES;
    if (offset + n == 2) write_byte(m, bytes[n - 1]);
}

static const struct vm_dev_ops port_ops = {"cmos", port_read, port_write};

enum atoll_status vm_cmos_new(const struct vm_cmos_config *config, struct vm_cmos **out,
                              struct atoll_error *err) {
    struct vm_cmos *m = atoll_new(config->alloc, 1, sizeof *m);
    int error = m ? vm_timer_new(config->loop, tick, m, &m->tick) : ENOMEM;
    if (!error) error = vm_bus_add(config->ports, VM_PORT_CMOS, 2, &port_ops, m);
    if (error) {
        if (m) vm_timer_free(m->tick);
        atoll_free(config->alloc, m, sizeof *m);
        return atoll_fail(err, error == ENOMEM ? ATOLL_E_NOMEM : ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "cmos at %#x: %s", VM_PORT_CMOS, strerror(error));
    }
    tzset(); /* else the first gmtime_r looks for the zone's file, on a thread that the jail allows no files */
    m->config = *config;
    if (!m->config.now_ns) m->config.now_ns = host_now_ns;
    m->bytes[A] = A_DEFAULT;
    m->bytes[B] = B_24_HOURS;
    m->bytes[D] = D_VALID;
    *out = m;
    return ATOLL_OK;
}

void vm_cmos_free(struct vm_cmos *m) {
    if (!m) return;
    vm_bus_remove(m->config.ports, VM_PORT_CMOS);
    vm_timer_free(m->tick);
    atoll_free(m->config.alloc, m, sizeof *m);
}
