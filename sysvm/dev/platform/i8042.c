/* sysvm/dev/platform/i8042.c: see i8042.h. Port 60 holds data, port 64 status and commands; one byte waits at most
 * in either direction, so there is no index to lose. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include "sysvm/dev/platform/i8042.h"
#include "sysvm/layout.h"

#define DATA_PORT    VM_PORT_I8042
#define COMMAND_PORT (VM_PORT_I8042 + 4)

enum { STATUS_OUTPUT_FULL = 1, STATUS_SYSTEM = 4, STATUS_COMMAND = 8, STATUS_UNLOCKED = 16 };
enum { CONFIG_DEFAULT = 0x34 }; /* system flag, both clocks off */
enum { OUTPUT_NO_RESET = 1, OUTPUT_A20 = 2 };
enum {
    READ_CONFIG = 0x20,
    WRITE_CONFIG = 0x60,
    TEST_MOUSE = 0xA9,
    SELF_TEST = 0xAA,
    TEST_KEYBOARD = 0xAB,
    READ_OUTPUT = 0xD0,
    WRITE_OUTPUT = 0xD1,
    RETURN_AS_KEYBOARD = 0xD2,
    RETURN_AS_MOUSE = 0xD3,
    WRITE_MOUSE = 0xD4,
    PULSE = 0xF0, /* to FF: a 0 in the low bits pulls that line low for a moment */
    PULSE_RESET = 0x01
};

struct vm_i8042 {
    const struct atoll_alloc *alloc;
    struct vm_bus *ports;
    struct vm_power power;
    uint8_t config, output_port, data, command; /* command: the one that waits for its byte, or 0 */
    bool data_full, last_was_command;
};

static void give(struct vm_i8042 *k, uint8_t data) {
    k->data = data;
    k->data_full = true;
}

static void reset(struct vm_i8042 *k) {
    if (k->power.reset) k->power.reset(k->power.context);
}

static void run_command(struct vm_i8042 *k, uint8_t command) {
    k->command = 0;
    switch (command) {
    case READ_CONFIG: give(k, k->config); break;
    case SELF_TEST: give(k, 0x55); break;
    case TEST_KEYBOARD:
    case TEST_MOUSE: give(k, 1); break; /* the clock line is stuck: nobody is there */
    case READ_OUTPUT: give(k, k->output_port); break;
    case WRITE_CONFIG:
    case WRITE_OUTPUT:
    case RETURN_AS_KEYBOARD:
    case RETURN_AS_MOUSE:
    case WRITE_MOUSE: k->command = command; break;
    default:
        if (command >= PULSE && !(command & PULSE_RESET)) reset(k);
    }
}

static void take_data(struct vm_i8042 *k, uint8_t data) {
    uint8_t command = k->command;
    k->command = 0;
    switch (command) {
    case WRITE_CONFIG: k->config = data; break;
    case WRITE_OUTPUT:
        k->output_port = data;
        if (!(data & OUTPUT_NO_RESET)) reset(k);
        break;
    case RETURN_AS_KEYBOARD:
    case RETURN_AS_MOUSE: give(k, data); break;
    default: break; /* for a keyboard or mouse that does not answer */
    }
}

static uint8_t read_data(struct vm_i8042 *k) {
    k->data_full = false;
    return k->data;
}

static uint8_t status(const struct vm_i8042 *k) {
    return (uint8_t)(STATUS_UNLOCKED | (k->config & STATUS_SYSTEM) |
                     (k->last_was_command ? STATUS_COMMAND : 0) | (k->data_full ? STATUS_OUTPUT_FULL : 0));
}

static void data_read(void *dev, uint64_t offset, void *data, unsigned n) {
    (void)offset, (void)n;
    *(uint8_t *)data = read_data(dev);
}

static void data_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    struct vm_i8042 *k = dev;
    (void)offset, (void)n;
    k->last_was_command = false;
    take_data(k, *(const uint8_t *)data);
}

static void command_read(void *dev, uint64_t offset, void *data, unsigned n) {
    (void)offset, (void)n;
    *(uint8_t *)data = status(dev);
}

static void command_write(void *dev, uint64_t offset, const void *data, unsigned n) {
    struct vm_i8042 *k = dev;
    (void)offset, (void)n;
    k->last_was_command = true;
    run_command(k, *(const uint8_t *)data);
}

/* Regions of one port: the bus hands in single bytes. */
static const struct vm_dev_ops data_ops = {"i8042", data_read, data_write};
static const struct vm_dev_ops command_ops = {"i8042", command_read, command_write};

enum atoll_status vm_i8042_new(const struct atoll_alloc *alloc, struct vm_bus *ports,
                               const struct vm_power *power, struct vm_i8042 **out, struct atoll_error *err) {
    struct vm_i8042 *k = atoll_new(alloc, 1, sizeof *k);
    int error = k ? vm_bus_add(ports, DATA_PORT, 1, &data_ops, k) : ENOMEM;
    if (!error) {
        error = vm_bus_add(ports, COMMAND_PORT, 1, &command_ops, k);
        if (error) vm_bus_remove(ports, DATA_PORT);
    }
    if (error) {
        atoll_free(alloc, k, sizeof *k);
        return atoll_fail(err, error == ENOMEM ? ATOLL_E_NOMEM : ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                          "i8042 at %#x: %s", DATA_PORT, strerror(error));
    }
    *k = (struct vm_i8042){.alloc = alloc,
                           .ports = ports,
                           .power = *power,
                           .config = CONFIG_DEFAULT,
                           .output_port = OUTPUT_NO_RESET | OUTPUT_A20};
    *out = k;
    return ATOLL_OK;
}

void vm_i8042_free(struct vm_i8042 *k) {
    if (!k) return;
    vm_bus_remove(k->ports, DATA_PORT);
    vm_bus_remove(k->ports, COMMAND_PORT);
    atoll_free(k->alloc, k, sizeof *k);
}
