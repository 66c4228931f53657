/* tests/sysvm/dev/board.h: a machine without a CPU: RAM, buses, a loop that runs, a PCI root, and an interrupt
 * engine that writes down what it is told. What the guest would do, a test does by the functions below. */
#ifndef ATOLL_TESTS_BOARD_H
#define ATOLL_TESTS_BOARD_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "sysvm/bus.h"
#include "sysvm/dev/pci/pci.h"
#include "sysvm/irq.h"
#include "sysvm/layout.h"
#include "sysvm/memory.h"
#include "tests/sysvm/dev/loop_thread.h"

#define BOARD_RAM       (UINT64_C(1) << 20)
#define BOARD_DOORBELLS 16
#define BOARD_WIRES     2

struct board {
    struct loop_thread thread;
    struct vm_loop *loop;
    struct vm_bus *ports, *bus;
    struct vm_memory *memory;
    struct pci_root *root;
    struct vm_irq irq;
    unsigned n_resets;
    /* the engine's book */
    bool no_doorbells;
    struct {
        uint64_t gpa;
        int fd;
    } doorbells[BOARD_DOORBELLS];
    unsigned n_messages;
    uint64_t last_address;
    uint32_t last_data;
    bool no_wires;
    struct {
        int fd; /* 0: none */
        uint64_t address;
        uint32_t data;
    } wires[BOARD_WIRES];
    unsigned n_wires, n_unwired; /* there are, there were */
    bool lines[VM_GSI_COUNT];
    unsigned n_edges; /* changes of any line */
};

static inline void board_line(void *engine, unsigned gsi, bool level) {
    struct board *b = engine;
    assert_true(gsi < VM_GSI_COUNT);
    b->n_edges += b->lines[gsi] != level;
    b->lines[gsi] = level;
}

static inline void board_msi(void *engine, uint64_t address, uint32_t data) {
    struct board *b = engine;
    b->n_messages++;
    b->last_address = address;
    b->last_data = data;
}

static inline int board_doorbell(void *engine, uint64_t gpa, unsigned n_bytes, int eventfd, bool on) {
    struct board *b = engine;
    (void)n_bytes;
    if (b->no_doorbells) return ENOTSUP;
    for (unsigned i = 0; i < BOARD_DOORBELLS; i++) {
        if (b->doorbells[i].gpa != (on ? 0 : gpa)) continue;
        b->doorbells[i].gpa = on ? gpa : 0;
        b->doorbells[i].fd = eventfd;
        return 0;
    }
    return on ? ENOSPC : ENOENT;
}

static inline int board_wire(void *engine, uint64_t address, uint32_t data) {
    struct board *b = engine;
    if (b->no_wires) return -ENOTSUP;
    for (unsigned i = 0; i < BOARD_WIRES; i++) {
        if (b->wires[i].fd) continue;
        b->wires[i].fd = eventfd(0, EFD_NONBLOCK);
        b->wires[i].address = address;
        b->wires[i].data = data;
        b->n_wires++;
        return b->wires[i].fd;
    }
    return -ENOSPC;
}

static inline void board_unwire(void *engine, int wire) {
    struct board *b = engine;
    unsigned i = 0;
    while (i < BOARD_WIRES && b->wires[i].fd != wire) i++;
    assert_true(i < BOARD_WIRES);
    close(wire);
    b->wires[i].fd = 0;
    b->n_wires--;
    b->n_unwired++;
}

/* How often a wire was written to since the last look. */
static inline uint64_t board_wire_count(const struct board *b, unsigned i) {
    uint64_t n = 0;
    return read(b->wires[i].fd, &n, sizeof n) == sizeof n ? n : 0;
}

static const struct vm_irq_ops board_irq_ops = {board_line, board_msi, board_doorbell, board_wire,
                                                board_unwire};

static inline void board_reset(void *context) { ((struct board *)context)->n_resets++; }

static inline struct board *board_new(void) {
    struct board *b = test_calloc(1, sizeof *b);
    const struct atoll_alloc *a = &atoll_default_alloc;
    b->irq = (struct vm_irq){&board_irq_ops, b};
    loop_thread_start(&b->thread);
    b->loop = b->thread.loop;
    assert_int_equal(vm_memory_new(a, BOARD_RAM, &b->memory, NULL), 0);
    b->ports = vm_bus_new(a);
    b->bus = vm_bus_new(a);
    struct pci_root_config config = {
        .alloc = a, .ports = b->ports, .memory = b->bus, .reset = board_reset, .reset_context = b};
    assert_int_equal(pci_root_new(&config, &b->root, NULL), 0);
    return b;
}

static inline void board_free(struct board *b) {
    loop_thread_stop(&b->thread);
    pci_root_free(b->root);
    for (unsigned i = 0; i < BOARD_DOORBELLS; i++) assert_int_equal(b->doorbells[i].gpa, 0);
    assert_int_equal(b->n_wires, 0);
    vm_bus_free(b->bus);
    vm_bus_free(b->ports);
    vm_memory_free(b->memory);
    loop_thread_free(&b->thread);
    test_free(b);
}

static inline void board_settle(struct board *b) { loop_thread_settle(&b->thread); }

/* ---- what a guest does ---- */

static inline uint64_t board_read_bus(struct board *b, struct vm_bus *bus, uint64_t address, unsigned n) {
    uint64_t value = 0;
    vm_loop_lock(b->loop);
    vm_bus_read(bus, address, &value, n);
    vm_loop_unlock(b->loop);
    return value;
}

static inline void board_write_bus(struct board *b, struct vm_bus *bus, uint64_t address, uint64_t value,
                                   unsigned n) {
    vm_loop_lock(b->loop);
    vm_bus_write(bus, address, &value, n);
    vm_loop_unlock(b->loop);
}

static inline uint64_t board_load(struct board *b, uint64_t gpa, unsigned n) {
    return board_read_bus(b, b->bus, gpa, n);
}

static inline void board_store(struct board *b, uint64_t gpa, uint64_t value, unsigned n) {
    for (unsigned i = 0; i < BOARD_DOORBELLS; i++) {
        uint64_t one = 1;
        if (!gpa || b->doorbells[i].gpa != gpa) continue;
        assert_int_equal(write(b->doorbells[i].fd, &one, sizeof one), sizeof one);
        return;
    }
    board_write_bus(b, b->bus, gpa, value, n);
}

static inline uint64_t board_in(struct board *b, uint16_t port, unsigned n) {
    return board_read_bus(b, b->ports, port, n);
}
static inline void board_out(struct board *b, uint16_t port, uint64_t value, unsigned n) {
    board_write_bus(b, b->ports, port, value, n);
}

/* Configuration space of a slot's function 0, by ECAM. */
static inline uint64_t board_config(struct board *b, unsigned slot, unsigned offset, unsigned n) {
    return board_load(b, VM_ECAM_BASE + slot * 0x8000 + offset, n);
}
static inline void board_set_config(struct board *b, unsigned slot, unsigned offset, uint64_t value,
                                    unsigned n) {
    board_store(b, VM_ECAM_BASE + slot * 0x8000 + offset, value, n);
}

#endif
