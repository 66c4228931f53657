/* sysvm/dev/pci/msix.c: see msix.h. */
#include <string.h>
#include <unistd.h>
#include "sysvm/dev/pci/msix.h"

#define CAPABILITY_ID    0x11
#define CONTROL          2 /* of the capability: table size - 1, mask, enable */
#define CONTROL_ENABLE   0x8000
#define CONTROL_MASK     0x4000
#define CONTROL_OF(v)    ((v)*MSIX_ENTRY_BYTES + 12) /* of a vector in the table */
#define VECTOR_IS_MASKED 1

static uint16_t control(const struct msix *m) { return pci_u16(m->function, m->capability + CONTROL); }

bool msix_enabled(const struct msix *m) { return control(m) & CONTROL_ENABLE; }

void msix_init(struct msix *m, struct pci_function *f, const struct vm_irq *irq, unsigned capability_offset,
               unsigned n_vectors, uint32_t table_offset, uint32_t pending_offset) {
    *m = (struct msix){.function = f, .irq = irq, .capability = capability_offset, .n_vectors = n_vectors};
    for (unsigned v = 0; v < n_vectors; v++) m->table[CONTROL_OF(v)] = VECTOR_IS_MASKED;
    uint8_t bytes[12] = {CAPABILITY_ID, 0, (uint8_t)(n_vectors - 1), (uint8_t)((n_vectors - 1) >> 8)};
    memcpy(bytes + 4, &table_offset, 4); /* the low bits name the BAR: 0 */
    memcpy(bytes + 8, &pending_offset, 4);
    pci_add_capability(f, capability_offset, bytes, sizeof bytes);
    f->writable[capability_offset + CONTROL + 1] = (CONTROL_ENABLE | CONTROL_MASK) >> 8;
}

static bool is_masked(const struct msix *m, unsigned vector) {
    return control(m) & CONTROL_MASK || m->table[CONTROL_OF(vector)] & VECTOR_IS_MASKED;
}

/* ---- sending ---- */

static void unwire(struct msix *m, unsigned vector) {
    struct msix_wire *w = m->wires + vector;
    if (w->is_wired) vm_irq_unwire(m->irq, w->wire);
    *w = (struct msix_wire){.is_wired = false};
}

void msix_settle(struct msix *m) {
    for (unsigned v = 0; v < m->n_vectors; v++) unwire(m, v);
}

/* Where there is none to be had, the next try is as many messages later. */
static void try_wire(struct msix *m, struct msix_wire *w, uint64_t address, uint32_t data) {
    w->n_sent = 0;
    w->wire = vm_irq_wire(m->irq, address, data);
    w->is_wired = w->wire >= 0;
}

static bool send_by_wire(const struct msix_wire *w) {
    uint64_t one = 1;
    return w->is_wired && write(w->wire, &one, sizeof one) == sizeof one;
}

static void send(struct msix *m, unsigned vector) {
    struct msix_wire *w = m->wires + vector;
    uint64_t address;
    uint32_t data;
    if (send_by_wire(w)) return;
    memcpy(&address, m->table + vector * MSIX_ENTRY_BYTES, sizeof address);
    memcpy(&data, m->table + vector * MSIX_ENTRY_BYTES + 8, sizeof data);
    vm_irq_msi(m->irq, address, data);
    if (!w->is_wired && ++w->n_sent == MSIX_WIRED_AFTER) try_wire(m, w, address, data);
}

void msix_notify(struct msix *m, unsigned vector) {
    if (vector >= m->n_vectors || !msix_enabled(m)) return;
    if (is_masked(m, vector))
        m->pending[vector / 8] |= (uint8_t)(1 << vector % 8);
    else
        send(m, vector);
}

static void send_pending(struct msix *m) {
    for (unsigned v = 0; v < m->n_vectors && msix_enabled(m); v++) {
        uint8_t bit = (uint8_t)(1 << v % 8);
        if (!(m->pending[v / 8] & bit) || is_masked(m, v)) continue;
        m->pending[v / 8] &= (uint8_t)~bit;
        send(m, v);
    }
}

void msix_after_write(struct msix *m, unsigned offset, unsigned n) {
    if (!pci_touches(offset, n, m->capability + CONTROL, 2)) return;
    msix_settle(m);
    send_pending(m);
}

static void read_bytes(const uint8_t *from, uint64_t size, uint64_t offset, void *data, unsigned n) {
    memset(data, 0, n);
    if (offset >= size) return;
    memcpy(data, from + offset, size - offset < n ? size - offset : n);
}

void msix_table_read(const struct msix *m, uint64_t offset, void *data, unsigned n) {
    read_bytes(m->table, m->n_vectors * MSIX_ENTRY_BYTES, offset, data, n);
}

void msix_pending_read(const struct msix *m, uint64_t offset, void *data, unsigned n) {
    read_bytes(m->pending, (m->n_vectors + 63) / 64 * 8, offset, data, n);
}

void msix_table_write(struct msix *m, uint64_t offset, const void *data, unsigned n) {
    uint64_t size = m->n_vectors * MSIX_ENTRY_BYTES;
    if (offset >= size) return;
    if (size - offset < n) n = (unsigned)(size - offset);
    for (uint64_t v = offset / MSIX_ENTRY_BYTES; v * MSIX_ENTRY_BYTES < offset + n; v++)
        unwire(m, (unsigned)v);
    memcpy(m->table + offset, data, n);
    send_pending(m);
}
