/* sysvm/dev/stream.h: bytes between a device (serial port, console) and whoever is at its other end: the
 * terminal, a script, a log. Neither side ever waits: each takes what it has room for and says when it has more.
 * Under the machine lock. */
#ifndef ATOLL_SYSVM_STREAM_H
#define ATOLL_SYSVM_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* The other end, as the device sees it. */
struct vm_stream_ops {
    /* Takes up to n bytes from the guest; returns how many. After fewer than n the device waits for
     * vm_stream.device->writable. */
    size_t (*write)(void *end, const uint8_t *bytes, size_t n);
    /* The device refused input before and has room now. */
    void (*input_wanted)(void *end);
    /* As write, of what a serial port's driver wrote while it took no interrupts for it. Kernels write their messages so,
     * and nothing of their programs'. NULL: write gets that, too. */
    size_t (*write_polled)(void *end, const uint8_t *bytes, size_t n);
};

/* The device, as the other end sees it. */
struct vm_stream_device_ops {
    /* Bytes for the guest; returns how many there was room for. After fewer than n wait for input_wanted. */
    size_t (*receive)(void *device, const uint8_t *bytes, size_t n);
    /* There is room again for what the guest writes. */
    void (*writable)(void *device);
    /* The window the guest's terminal is shown in has another size. NULL: the device cannot tell the guest. */
    void (*resize)(void *device, uint16_t columns, uint16_t rows);
};

/* What a device is given, by value; without an end (ops NULL) it swallows output and has no input. */
struct vm_stream_end {
    const struct vm_stream_ops *ops;
    void *end;
};

/* What a device gives. */
struct vm_stream_device {
    const struct vm_stream_device_ops *ops;
    void *device;
};

#endif
