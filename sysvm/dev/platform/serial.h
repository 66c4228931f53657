/* sysvm/dev/platform/serial.h: a 16550A serial port, as far as drivers can tell.
 *
 * Output waits in a buffer of fixed size. While the other end is slow the transmitter is not empty, as with a slow
 * line; a guest that writes all the same loses those bytes, as on the line. Input is taken when the receive FIFO
 * has room, so it never overruns.
 *
 * source  the PC16550D data sheet's register descriptions */
#ifndef ATOLL_SYSVM_SERIAL_H
#define ATOLL_SYSVM_SERIAL_H

#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/bus.h"
#include "sysvm/dev/stream.h"
#include "sysvm/irq.h"
#include "sysvm/loop.h"

struct vm_serial;

struct vm_serial_config {
    const struct atoll_alloc *alloc;
    struct vm_loop *loop; /* these three outlive the port */
    struct vm_bus *ports;
    const struct vm_irq *irq;
    uint16_t port; /* 8 of them */
    unsigned gsi;
    struct vm_stream_end end;
    /* The transmitter is always empty for the guest: who runs it waits while vm_serial_is_full. */
    bool is_waited_for;
};

/* fails  E_NOMEM, E_USAGE (ports taken) */
enum atoll_status vm_serial_new(const struct vm_serial_config *config, struct vm_serial **out,
                                struct atoll_error *err);
/* Hands what output is left to the other end first. NULL is allowed. */
void vm_serial_free(struct vm_serial *serial);
/* The port's own end of the stream. */
struct vm_stream_device vm_serial_stream(struct vm_serial *serial);
/* Whether the next byte might find no room. Under the machine lock. */
bool vm_serial_is_full(const struct vm_serial *serial);
/* Hands all output there is to the other end now, as much as it takes. */
void vm_serial_flush(struct vm_serial *serial);
/* What of it is left. */
size_t vm_serial_output_bytes(const struct vm_serial *serial);

#endif
