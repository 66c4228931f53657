/* sysvm/guest/command.c: see command.h. */
#include <string.h>
#include "sysvm/guest/command.h"
#include "sysvm/guest/protocol.h"

struct buffer {
    uint8_t bytes[GUEST_OUTPUT_WINDOW];
    size_t from, n;
};

struct guest_command {
    struct guest_command_config config;
    struct vm_stream_device port; /* ops NULL: not joined yet */
    struct vm_stream_end input;
    bool runs, over; /* over: ended or failed was called, or will be when the output is out */
    bool told;
    int status;
    /* from the guest */
    uint8_t message[GUEST_HEADER_BYTES + GUEST_PAYLOAD_MAX];
    size_t n_message;
    struct buffer outputs[2];
    uint32_t output_room; /* what the guest may still send */
    /* to the guest: what waits to become a message, and messages the port has not taken yet */
    uint32_t credit_owed, input_room;
    uint32_t signals;             /* bit n: signal n */
    unsigned closed, closed_told; /* bit: output */
    bool window_changed, input_ends, input_refused;
    uint16_t columns, rows;
    uint8_t send[2 * (GUEST_HEADER_BYTES + GUEST_PAYLOAD_MAX)];
    size_t send_from, send_end;
};

/* ---- to the guest ---- */

static size_t send_room(const struct guest_command *c) { return sizeof c->send - c->send_end; }

static bool put(struct guest_command *c, int kind, const void *bytes, size_t n) {
    if (send_room(c) < GUEST_HEADER_BYTES + n) return false;
    uint8_t *at = c->send + c->send_end;
    at[0] = (uint8_t)kind, at[1] = 0, at[2] = (uint8_t)n, at[3] = (uint8_t)(n >> 8);
    if (n) memcpy(at + GUEST_HEADER_BYTES, bytes, n);
    c->send_end += GUEST_HEADER_BYTES + n;
    return true;
}

static void put_signals(struct guest_command *c) {
    for (uint8_t number = 1; number < 32; number++) {
        if (!(c->signals >> number & 1)) continue;
        if (!put(c, GUEST_SIGNAL, &number, 1)) return;
        c->signals &= ~(UINT32_C(1) << number);
    }
}

static void put_closed(struct guest_command *c) {
    for (unsigned i = 0; i < 2; i++) {
        uint8_t which = (uint8_t)(i + 1);
        unsigned bit = 1U << i;
        if ((c->closed & ~c->closed_told & bit) && put(c, GUEST_CLOSED, &which, 1)) c->closed_told |= bit;
    }
}

/* What waits becomes messages as there is room. Nothing goes to an init that does not listen yet. */
static void put_waiting(struct guest_command *c) {
    uint32_t owed = c->credit_owed;
    uint8_t credit[4] = {(uint8_t)owed, (uint8_t)(owed >> 8), (uint8_t)(owed >> 16), (uint8_t)(owed >> 24)};
    uint8_t window[4] = {(uint8_t)c->columns, (uint8_t)(c->columns >> 8), (uint8_t)c->rows,
                         (uint8_t)(c->rows >> 8)};
    if (owed && put(c, GUEST_CREDIT, credit, sizeof credit)) c->credit_owed = 0;
    if (c->window_changed && put(c, GUEST_WINDOW, window, sizeof window)) c->window_changed = false;
    put_signals(c);
    put_closed(c);
    if (c->input_ends && put(c, GUEST_INPUT, NULL, 0)) c->input_ends = false;
}

static void flush(struct guest_command *c) {
    if (!c->port.ops || !c->runs) return;
    for (;;) {
        if (c->send_end == c->send_from)
            put_waiting(c); /* so that a signal waits once, however often it comes */
        size_t n = c->send_end - c->send_from;
        if (!n) return;
        size_t taken = c->port.ops->receive(c->port.device, c->send + c->send_from, n);
        c->send_from += taken;
        if (taken < n) break;
        c->send_from = c->send_end = 0;
    }
    memmove(c->send, c->send + c->send_from, c->send_end - c->send_from);
    c->send_end -= c->send_from;
    c->send_from = 0;
}

static void want_input(struct guest_command *c) {
    if (!c->input_refused || !c->input_room || !c->runs) return;
    c->input_refused = false;
    if (c->input.ops) c->input.ops->input_wanted(c->input.end);
}

static size_t take_input(void *device, const uint8_t *bytes, size_t n) {
    struct guest_command *c = device;
    size_t taken = 0;
    while (c->runs && taken < n && c->input_room) {
        size_t piece = n - taken;
        if (piece > c->input_room) piece = c->input_room;
        if (piece > GUEST_PAYLOAD_MAX) piece = GUEST_PAYLOAD_MAX;
        if (!put(c, GUEST_INPUT, bytes + taken, piece)) break;
        taken += piece;
        c->input_room -= (uint32_t)piece;
        flush(c);
    }
    if (taken < n) c->input_refused = true;
    return taken;
}

void guest_command_end_input(struct guest_command *c) {
    c->input_ends = true;
    flush(c);
}

void guest_command_signal(struct guest_command *c, int number) {
    if (number < 1 || number > 31) return;
    c->signals |= UINT32_C(1) << number;
    flush(c);
}

void guest_command_window(struct guest_command *c, uint16_t columns, uint16_t rows) {
    c->columns = columns, c->rows = rows;
    c->window_changed = true;
    flush(c);
}

/* ---- from the guest ---- */

static void tell_end(struct guest_command *c) {
    if (!c->over || c->told || c->outputs[0].n || c->outputs[1].n) return;
    c->told = true;
    c->config.ended(c->config.context, c->status);
}

static void fail(struct guest_command *c, int status, const char *text) {
    c->over = true;
    if (c->told) return;
    c->told = true;
    c->config.failed(c->config.context, status, text);
}

static void drain(struct guest_command *c, unsigned which) {
    struct buffer *b = &c->outputs[which];
    const struct vm_stream_end *end = &c->config.outputs[which];
    size_t taken = b->n;
    if (end->ops && b->n) taken = end->ops->write(end->end, b->bytes + b->from, b->n);
    b->from += taken;
    b->n -= taken;
    if (!b->n) b->from = 0;
    c->output_room += (uint32_t)taken;
    c->credit_owed += (uint32_t)taken;
    if (c->config.is_closed && c->config.is_closed(c->config.context, which)) c->closed |= 1U << which;
    flush(c);
    tell_end(c);
}

static void take_output(struct guest_command *c, unsigned which, const uint8_t *bytes, size_t n) {
    struct buffer *b = &c->outputs[which];
    if (n > c->output_room) {
        fail(c, 125, "the guest sends more than it may");
        return;
    }
    c->output_room -= (uint32_t)n;
    if (b->from) memmove(b->bytes, b->bytes + b->from, b->n);
    b->from = 0;
    memcpy(b->bytes + b->n, bytes, n); /* fits: all there is, is less than the window */
    b->n += n;
    drain(c, which);
}

static void take_failure(struct guest_command *c, const uint8_t *bytes, size_t n) {
    char text[512];
    size_t size = n - 1 < sizeof text - 1 ? n - 1 : sizeof text - 1;
    memcpy(text, bytes + 1, size);
    text[size] = 0;
    fail(c, bytes[0], text);
}

static void take_message(struct guest_command *c, int kind, const uint8_t *bytes, size_t n) {
    if (kind == GUEST_READY) {
        c->runs = true;
        flush(c);
        want_input(c);
    } else if (kind == GUEST_OUTPUT || kind == GUEST_ERRORS) {
        take_output(c, kind == GUEST_ERRORS, bytes, n);
    } else if (kind == GUEST_CREDIT && n == 4) {
        uint32_t more =
            bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
        c->input_room = more > GUEST_INPUT_WINDOW - c->input_room ? GUEST_INPUT_WINDOW : c->input_room + more;
        want_input(c);
    } else if (kind == GUEST_EXIT && n == 1) {
        c->runs = false;
        c->over = true;
        c->status = bytes[0];
        tell_end(c);
    } else if (kind == GUEST_FAILED && n >= 1) {
        take_failure(c, bytes, n);
    } else {
        fail(c, 125, "the guest sends what is no message");
    }
}

/* All is taken at once: what may be sent is bounded, and the guest waits with its hands full. */
static size_t port_write(void *end, const uint8_t *bytes, size_t n) {
    struct guest_command *c = end;
    for (size_t at = 0; at < n && !c->over;) {
        size_t want = GUEST_HEADER_BYTES;
        if (c->n_message >= want) want += (size_t)(c->message[2] | c->message[3] << 8);
        if (want > sizeof c->message) {
            fail(c, 125, "the guest sends what is no message");
            break;
        }
        size_t piece = want - c->n_message < n - at ? want - c->n_message : n - at;
        memcpy(c->message + c->n_message, bytes + at, piece);
        c->n_message += piece;
        at += piece;
        if (c->n_message < GUEST_HEADER_BYTES) continue;
        size_t size = (size_t)(c->message[2] | c->message[3] << 8);
        if (c->n_message < GUEST_HEADER_BYTES + size) continue;
        c->n_message = 0;
        take_message(c, c->message[0], c->message + GUEST_HEADER_BYTES, size);
    }
    return n;
}

static void port_input_wanted(void *end) {
    struct guest_command *c = end;
    flush(c);
    want_input(c);
}

/* ---- streams ---- */

static void output_writable(void *device) {
    struct guest_command *c = device;
    drain(c, 0);
    if (c->config.outputs[1].end == c->config.outputs[0].end) drain(c, 1);
}
static void errors_writable(void *device) { drain(device, 1); }
static size_t no_input(void *device, const uint8_t *bytes, size_t n) {
    (void)device, (void)bytes;
    return n;
}

struct vm_stream_end guest_command_port_end(struct guest_command *c) {
    static const struct vm_stream_ops ops = {port_write, port_input_wanted, NULL};
    return (struct vm_stream_end){&ops, c};
}

void guest_command_join(struct guest_command *c, struct vm_stream_device port) { c->port = port; }

struct vm_stream_device guest_command_input(struct guest_command *c, struct vm_stream_end input) {
    static const struct vm_stream_device_ops ops = {take_input, output_writable, NULL};
    c->input = input;
    return (struct vm_stream_device){&ops, c};
}

struct vm_stream_device guest_command_errors(struct guest_command *c) {
    static const struct vm_stream_device_ops ops = {no_input, errors_writable, NULL};
    return (struct vm_stream_device){&ops, c};
}

bool guest_command_runs(const struct guest_command *c) { return c->runs && !c->over; }

enum atoll_status guest_command_new(const struct guest_command_config *config, struct guest_command **out,
                                    struct atoll_error *err) {
    struct guest_command *c = atoll_new(config->alloc, 1, sizeof *c);
    if (!c) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    c->config = *config;
    c->output_room = GUEST_OUTPUT_WINDOW;
    c->input_room = GUEST_INPUT_WINDOW;
    *out = c;
    return ATOLL_OK;
}

void guest_command_free(struct guest_command *c) {
    if (c) atoll_free(c->config.alloc, c, sizeof *c);
}
