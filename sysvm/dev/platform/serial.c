/* sysvm/dev/platform/serial.c: see serial.h.
 *
 *   offset  read              write              with DLAB
 *   0       RBR received      THR to send        divisor, low
 *   1       IER interrupts enabled               divisor, high
 *   2       IIR why           FCR FIFO control
 *   3       LCR line control  4 MCR modem control
 *   5       LSR line status   6 MSR modem status   7 scratch
 *
 * A byte written is sent at once as far as drivers can tell: the transmitter is empty while the output buffer has
 * room for a whole FIFO. The buffer goes out at a line's end, or when the loop comes to it. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "sysvm/dev/platform/serial.h"

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { IER_RECEIVED = 1, IER_EMPTY = 2, IER_LINE = 4, IER_MODEM = 8, IER_BITS = 15 };
enum {
    IIR_NONE = 1,
    IIR_MODEM = 0,
    IIR_EMPTY = 2,
    IIR_RECEIVED = 4,
    IIR_LINE = 6,
    IIR_TIMEOUT = 12,
    IIR_FIFO = 0xC0
};
enum { FCR_ENABLE = 1, FCR_CLEAR_RECEIVED = 2 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_BITS = 31 };
enum { LSR_RECEIVED = 1, LSR_OVERRUN = 2, LSR_EMPTY = 0x20, LSR_IDLE = 0x40 };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

#define FIFO_BYTES   16
#define OUTPUT_BYTES 4096

struct vm_serial {
    struct vm_serial_config config;
    uint8_t ier, fcr, lcr, mcr, scratch, divisor[2];
    uint8_t modem_delta; /* low half of MSR */
    bool overrun, empty_pending, line_up;
    uint8_t received[FIFO_BYTES];
    unsigned n_received;
    bool input_refused; /* the other end waits for room */
    uint8_t output[OUTPUT_BYTES];
    bool polled[OUTPUT_BYTES]; /* of each byte: whether it was written without interrupts */
    size_t n_output;
    bool flush_posted;
};

/* ---- interrupts ---- */

static unsigned fifo_size(const struct vm_serial *s) { return s->fcr & FCR_ENABLE ? FIFO_BYTES : 1; }

static unsigned trigger_level(const struct vm_serial *s) {
    static const uint8_t levels[] = {1, 4, 8, 14};
    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* The most urgent reason. A FIFO below its level would tell after a pause of four characters; here, at once. */
static uint8_t reason(const struct vm_serial *s) {
    if (s->ier & IER_LINE && s->overrun) return IIR_LINE;
    if (s->ier & IER_RECEIVED && s->n_received)
        return s->n_received >= trigger_level(s) ? IIR_RECEIVED : IIR_TIMEOUT;
    if (s->ier & IER_EMPTY && s->empty_pending) return IIR_EMPTY;
    if (s->ier & IER_MODEM && s->modem_delta) return IIR_MODEM;
    return IIR_NONE;
}

static void set_line(struct vm_serial *s) {
    bool up = reason(s) != IIR_NONE;
    if (up == s->line_up) return;
    s->line_up = up;
    vm_irq_line(s->config.irq, s->config.gsi, up);
}

/* ---- output ---- */

bool vm_serial_is_full(const struct vm_serial *s) { return OUTPUT_BYTES - s->n_output < FIFO_BYTES; }
static bool is_empty(const struct vm_serial *s) { return s->config.is_waited_for || !vm_serial_is_full(s); }

/* Bytes of one kind in a row; false when the other end does not take all of them. */
static bool hand_over(const struct vm_serial *s, size_t *at) {
    const struct vm_stream_end *to = &s->config.end;
    bool polled = s->polled[*at];
    size_t n = 0;
    while (*at + n < s->n_output && s->polled[*at + n] == polled) n++;
    size_t (*write)(void *, const uint8_t *, size_t) =
        polled && to->ops->write_polled ? to->ops->write_polled : to->ops->write;
    size_t taken = write(to->end, s->output + *at, n);
    *at += taken;
    return taken == n;
}

void vm_serial_flush(struct vm_serial *s) {
    size_t taken = 0;
    if (!s->n_output) return;
    bool was_empty = is_empty(s);
    if (s->config.end.ops)
        while (taken < s->n_output && hand_over(s, &taken)) continue;
    else
        taken = s->n_output;
    s->n_output -= taken;
    memmove(s->output, s->output + taken, s->n_output);
    memmove(s->polled, s->polled + taken, s->n_output);
    if (!was_empty && is_empty(s)) s->empty_pending = true;
    set_line(s);
}

size_t vm_serial_output_bytes(const struct vm_serial *s) { return s->n_output; }

static void flush_now(void *context) {
    struct vm_serial *s = context;
    s->flush_posted = false;
    vm_serial_flush(s);
}

/* One call of the other end for a line, not for a byte; what is no line goes out when the loop has time. */
static void send(struct vm_serial *s, uint8_t byte) {
    if (s->n_output < OUTPUT_BYTES) {
        s->polled[s->n_output] = !(s->ier & IER_EMPTY);
        s->output[s->n_output++] = byte;
    }
    if (byte == '\n' || vm_serial_is_full(s))
        vm_serial_flush(s);
    else if (!s->flush_posted)
        s->flush_posted = !vm_loop_post(s->config.loop, flush_now, s);
    s->empty_pending = is_empty(s);
}

/* ---- input ---- */

static bool take(struct vm_serial *s, uint8_t byte) {
    if (s->n_received >= fifo_size(s)) return false;
    s->received[s->n_received++] = byte;
    return true;
}

static size_t receive(void *device, const uint8_t *bytes, size_t n) {
    struct vm_serial *s = device;
    size_t taken = 0;
    bool cut = s->mcr & MCR_LOOP;
    while (!cut && taken < n && take(s, bytes[taken])) taken++;
    if (taken < n) s->input_refused = true;
    set_line(s);
    return taken;
}

static void want_input(struct vm_serial *s) {
    if (!s->input_refused || s->n_received || s->mcr & MCR_LOOP) return;
    s->input_refused = false;
    if (s->config.end.ops) s->config.end.ops->input_wanted(s->config.end.end);
}

static uint8_t read_received(struct vm_serial *s) {
    uint8_t byte = s->received[0];
    if (!s->n_received) return 0;
    memmove(s->received, s->received + 1, --s->n_received);
    return byte;
}

/* ---- modem lines ---- */

static uint8_t modem_lines(const struct vm_serial *s) {
    if (!(s->mcr & MCR_LOOP)) return MSR_CTS | MSR_DSR | MSR_DCD; /* somebody is there and ready */
    return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                     (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* Changes are told in the low half of MSR; the ring line only when it falls. */
static void write_mcr(struct vm_serial *s, uint8_t value) {
    uint8_t before = modem_lines(s);
    s->mcr = value & MCR_BITS;
    uint8_t after = modem_lines(s), changed = before ^ after;
    if (after & MSR_RI) changed &= (uint8_t)~MSR_RI;
    s->modem_delta |= changed >> 4;
}

/* ---- registers ---- */

static void write_fcr(struct vm_serial *s, uint8_t value) {
    if ((value ^ s->fcr) & FCR_ENABLE || value & FCR_CLEAR_RECEIVED) s->n_received = 0;
    s->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | 0xC0) : 0;
}

static void write_data(struct vm_serial *s, uint8_t value) {
    if (!(s->mcr & MCR_LOOP)) {
        send(s, value);
    } else {
        if (!take(s, value)) s->overrun = true;
        s->empty_pending = true;
    }
}

static void write_ier(struct vm_serial *s, uint8_t value) {
    bool enables_empty = value & ~s->ier & IER_EMPTY;
    s->ier = value & IER_BITS;
    if (enables_empty) s->empty_pending = is_empty(s);
}

static void write_register(struct vm_serial *s, unsigned r, uint8_t value) {
    bool dlab = s->lcr & LCR_DLAB;
    switch (r) {
    case DATA:
        if (dlab)
            s->divisor[0] = value;
        else
            write_data(s, value);
        break;
    case IER:
        if (dlab)
            s->divisor[1] = value;
        else
            write_ier(s, value);
        break;
    case IIR_FCR: write_fcr(s, value); break;
    case LCR: s->lcr = value; break;
    case MCR: write_mcr(s, value); break;
    case SCR: s->scratch = value; break;
    default: break; /* status is not written */
    }
}

static uint8_t read_iir(struct vm_serial *s) {
    uint8_t why = reason(s);
    if (why == IIR_EMPTY) s->empty_pending = false;
    return (uint8_t)(why | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct vm_serial *s) {
    uint8_t value = (uint8_t)((s->n_received ? LSR_RECEIVED : 0) | (s->overrun ? LSR_OVERRUN : 0) |
                              (is_empty(s) ? LSR_EMPTY | LSR_IDLE : 0));
    s->overrun = false;
    return value;
}

static uint8_t read_msr(struct vm_serial *s) {
    uint8_t value = modem_lines(s) | s->modem_delta;
    s->modem_delta = 0;
    return value;
}

static uint8_t read_register(struct vm_serial *s, unsigned r) {
    bool dlab = s->lcr & LCR_DLAB;
    switch (r) {
    case DATA: return dlab ? s->divisor[0] : read_received(s);
    case IER: return dlab ? s->divisor[1] : s->ier;
    case IIR_FCR: return read_iir(s);
    case LCR: return s->lcr;
    case MCR: return s->mcr;
    case LSR: return read_lsr(s);
    case MSR: return read_msr(s);
    default: return s->scratch;
    }
}

/* The registers are bytes; a wider access is one of each. */
static void port_read(void *dev, uint64_t offset, void *data, unsigned n) {
    struct vm_serial *s = dev;
    for (unsigned i = 0; i < n; i++) ((uint8_t *)data)[i] = read_register(s, (unsigned)offset + i);
    set_line(s);
    want_input(s);
}

static void port_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    struct vm_serial *s = dev;
    for (unsigned i = 0; i < n; i++) write_register(s, (unsigned)offset + i, ((const uint8_t *)data)[i]);
    set_line(s);
    want_input(s);
}

static const struct vm_dev_ops port_ops = {"serial", port_read, port_write};

/* ---- a port ---- */

enum atoll_status vm_serial_new(const struct vm_serial_config *config, struct vm_serial **out,
                                struct atoll_error *err) {
    struct vm_serial *s = atoll_new(config->alloc, 1, sizeof *s);
    int error = s ? vm_bus_add(config->ports, config->port, 8, &port_ops, s) : ENOMEM;
    if (error) {
        atoll_free(config->alloc, s, sizeof *s);
        return atoll_fail(err, error == ENOMEM ? ATOLL_E_NOMEM : ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "serial at %#x: %s", config->port, strerror(error));
    }
    s->config = *config;
    s->divisor[0] = 12; /* 9600 */
    s->mcr = MCR_OUT2;
    *out = s;
    return ATOLL_OK;
}

void vm_serial_free(struct vm_serial *s) {
    if (!s) return;
    vm_serial_flush(s);
    vm_loop_forget(s->config.loop, s);
    vm_bus_remove(s->config.ports, s->config.port);
    atoll_free(s->config.alloc, s, sizeof *s);
}

static void writable(void *device) { vm_serial_flush(device); }

static const struct vm_stream_device_ops stream_ops = {.receive = receive, .writable = writable};

struct vm_stream_device vm_serial_stream(struct vm_serial *s) {
    return (struct vm_stream_device){&stream_ops, s};
}
