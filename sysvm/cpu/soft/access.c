/* sysvm/cpu/soft/access.c: accesses that the TLB does not answer: misses, page borders, devices, pages of code. */
#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"

/* Where an access goes: RAM at `host`, or, where that is NULL, a device. */
struct place {
    uint8_t *host;
    uint64_t gpa;
};

/* ---- filling ---- */

/* The host's address of a page; NULL where it is no RAM, or covered by the processor's APIC. */
static uint8_t *page_of_ram(const struct soft_cpu *cpu, uint64_t gpa) {
    if (soft_apic_covers(cpu, gpa)) return NULL;
    return vm_memory_page(cpu->engine->config.memory, gpa);
}

static void remember(struct soft_cpu *cpu, enum soft_view v, uint64_t linear,
                     const struct soft_translation *page, uint8_t *host) {
    struct soft_tlb_view *view = &cpu->tlb.views[v];
    unsigned i = linear / VM_PAGE % SOFT_TLB_ENTRIES;
    uint64_t gpa = page->gpa & SOFT_PAGE_MASK;
    linear &= SOFT_PAGE_MASK;
    if (!(view->listed[i] & SOFT_TLB_USED)) view->used[view->n_used++] = (uint16_t)i;
    view->listed[i] |= SOFT_TLB_USED;
    if (!page->is_global && !(view->listed[i] & SOFT_TLB_LOCAL)) {
        view->local[view->n_local++] = (uint16_t)i;
        view->listed[i] |= SOFT_TLB_LOCAL;
    }
    view->size[i] = (uint8_t)(page->size | (page->is_global ? SOFT_TLB_GLOBAL : 0));
    view->linear[i] = linear;
    view->gpa[i] = gpa;
    if (page->size > 12) view->large |= UINT64_C(1) << (linear >> 21) % 64;
    if (page->size > 22) view->huge |= UINT64_C(1) << (linear >> 30) % 64;
    if (page->size == 22) view->large |= UINT64_C(1) << ((linear >> 21) ^ 1) % 64; /* 4 MiB are two of 2 */
    const uint64_t rest = (UINT64_C(1) << page->size) - 1;
    if (page->size > 12 && (linear & ~rest) < view->first_large) view->first_large = linear & ~rest;
    if (page->size > 12 && (linear | rest) > view->last_large) view->last_large = linear | rest;
    const bool watched = v == SOFT_VIEW_ALIGNED || (cpu->debugged && soft_debug_watches(cpu, linear));
    const bool may_write = !watched && page->is_dirty && soft_may(cpu, v, SOFT_ACCESS_WRITE, page) &&
                           !soft_code_has(cpu->engine->code, gpa) && soft_code_grant(cpu->engine->code, gpa);
    view->entries[i] = (struct soft_tlb_entry){
        .read = !watched && soft_may(cpu, v, SOFT_ACCESS_READ, page) ? linear : SOFT_TLB_NONE(i),
        .write = may_write ? linear : SOFT_TLB_NONE(i),
        .fetch = soft_may(cpu, v, SOFT_ACCESS_FETCH, page) ? linear : SOFT_TLB_NONE(i),
        .host = (uint64_t)(uintptr_t)host,
    };
}

static uint64_t tag_of(const struct soft_tlb_entry *entry, enum soft_access access) {
    return access == SOFT_ACCESS_READ    ? entry->read
           : access == SOFT_ACCESS_WRITE ? entry->write
                                         : entry->fetch;
}

/* False: a fault. */
static bool find(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, enum soft_access access,
                 struct place *out) {
    const struct soft_tlb_entry *entry = soft_tlb_entry(cpu, view, linear);
    if (tag_of(entry, access) == (linear & SOFT_PAGE_MASK)) {
        out->host = soft_tlb_host(entry, linear);
        out->gpa = cpu->tlb.views[view].gpa[linear / VM_PAGE % SOFT_TLB_ENTRIES] + linear % VM_PAGE;
        return true;
    }
    struct soft_translation page;
    if (!soft_walk(cpu, view, linear, access, &page)) return false;
    uint8_t *host = page_of_ram(cpu, page.gpa & SOFT_PAGE_MASK);
    if (host) remember(cpu, view, linear, &page, host);
    *out = (struct place){host ? host + linear % VM_PAGE : NULL, page.gpa};
    return true;
}

/* The page after the one of `linear`: addresses wrap as the mode says. */
static uint64_t next_page(const struct soft_cpu *cpu, uint64_t linear) {
    uint64_t next = (linear & SOFT_PAGE_MASK) + VM_PAGE;
    return cpu->mode == SOFT_LONG64 ? next : (uint32_t)next;
}

/* ---- reading and writing ---- */

/* False here: the processor has to leave first, see soft_serve. */
static bool access_device(struct soft_cpu *cpu, uint64_t gpa, void *data, unsigned n_bytes, bool write) {
    for (unsigned done = 0, n; done < n_bytes; done += n) {
        n = n_bytes - done < 8 ? n_bytes - done : 8;
        if (!soft_device(cpu, gpa + done, (char *)data + done, n, write)) return false;
    }
    return true;
}

static bool read_place(struct soft_cpu *cpu, const struct place *place, void *out, unsigned n_bytes) {
    if (!place->host) return access_device(cpu, place->gpa, out, n_bytes, false);
    soft_copy(out, place->host, n_bytes);
    return true;
}

static bool write_place(struct soft_cpu *cpu, const struct place *place, const void *bytes,
                        unsigned n_bytes) {
    if (!place->host) {
        char copy[VM_PAGE]; /* a device takes what it is given as its own */
        memcpy(copy, bytes, n_bytes);
        return access_device(cpu, place->gpa, copy, n_bytes, true);
    }
    soft_copy(place->host, bytes, n_bytes);
    /* Whoever decodes marks the page first and reads then: one of both sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (soft_code_has(cpu->engine->code, place->gpa)) soft_code_written(cpu->engine, place->gpa, n_bytes);
    return true;
}

/* The one or two pieces of an access, all checked before anything is done. */
struct pieces {
    struct place place[2];
    unsigned n_bytes[2];
};

/* Source: Intel SDM volume 3, "Alignment Check Exception": integers and floating point numbers by their size, what x87
 * has of 80 bits as 64, its environment as 32. Larger ones are the instructions' own business. */
static bool is_aligned(uint64_t linear, unsigned n_bytes) {
    enum { EXTENDED = 10, ENVIRONMENT = 28, STATE = 108 };
    switch (n_bytes) {
    case 2:
    case 4:
    case 8: return !(linear % n_bytes);
    case EXTENDED: return !(linear % 8);
    case ENVIRONMENT:
    case STATE: return !(linear % 4);
    default: return true;
    }
}

static bool find_all(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, unsigned n_bytes,
                     enum soft_access access, struct pieces *out) {
    if (view == SOFT_VIEW_ALIGNED && !is_aligned(linear, n_bytes)) {
        soft_raise(cpu, SOFT_ALIGN, true, 0); /* also where there is no page */
        return false;
    }
    unsigned room = (unsigned)(VM_PAGE - linear % VM_PAGE);
    out->n_bytes[0] = n_bytes < room ? n_bytes : room;
    out->n_bytes[1] = n_bytes - out->n_bytes[0];
    return find(cpu, view, linear, access, &out->place[0]) &&
           (!out->n_bytes[1] || find(cpu, view, next_page(cpu, linear), access, &out->place[1]));
}

bool soft_read_slow(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, void *out, unsigned n_bytes) {
    struct pieces pieces;
    if (!find_all(cpu, view, linear, n_bytes, SOFT_ACCESS_READ, &pieces)) return false;
    if (cpu->debugged) soft_debug_access(cpu, linear, n_bytes, false);
    return read_place(cpu, &pieces.place[0], out, pieces.n_bytes[0]) &&
           (!pieces.n_bytes[1] ||
            read_place(cpu, &pieces.place[1], (char *)out + pieces.n_bytes[0], pieces.n_bytes[1]));
}

bool soft_write_slow(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, const void *bytes,
                     unsigned n_bytes) {
    struct pieces pieces;
    if (!find_all(cpu, view, linear, n_bytes, SOFT_ACCESS_WRITE, &pieces)) return false;
    if (cpu->debugged) soft_debug_access(cpu, linear, n_bytes, true);
    return write_place(cpu, &pieces.place[0], bytes, pieces.n_bytes[0]) &&
           (!pieces.n_bytes[1] ||
            write_place(cpu, &pieces.place[1], (const char *)bytes + pieces.n_bytes[0], pieces.n_bytes[1]));
}

void *soft_writable(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes) {
    const struct soft_tlb_entry *entry = soft_tlb_entry(cpu, cpu->tlb.view, linear);
    if (((linear + n_bytes - 1) & SOFT_PAGE_MASK) == entry->write) return soft_tlb_host(entry, linear);
    struct pieces pieces;
    if (!find_all(cpu, cpu->tlb.view, linear, n_bytes, SOFT_ACCESS_WRITE, &pieces)) return NULL;
    if (pieces.n_bytes[1] || !pieces.place[0].host) {
        cpu->fault.vector = SOFT_NO_FAULT;
        return NULL;
    }
    if (cpu->debugged) {
        soft_debug_access(cpu, linear, n_bytes, false);
        soft_debug_access(cpu, linear, n_bytes, true);
    }
    /* The bytes are written behind the marks' end: who decodes meanwhile has to wait for this instruction. */
    if (!soft_code_grant(cpu->engine->code, pieces.place[0].gpa))
        soft_code_written(cpu->engine, pieces.place[0].gpa, n_bytes);
    return pieces.place[0].host;
}

bool soft_probe(struct soft_cpu *cpu, uint64_t linear, unsigned n_bytes, bool write, bool user) {
    struct pieces pieces;
    const bool is_other = user && cpu->tlb.view < SOFT_VIEW_USER;
    return find_all(cpu, is_other ? SOFT_VIEW_USER : cpu->tlb.view, linear, n_bytes,
                    write ? SOFT_ACCESS_WRITE : SOFT_ACCESS_READ, &pieces);
}

/* ---- code ---- */

bool soft_code_address(struct soft_cpu *cpu, uint64_t linear, uint64_t *out_gpa) {
    struct place place;
    if (!soft_is_canonical(linear)) {
        soft_raise_gp(cpu, 0);
        return false;
    }
    if (!find(cpu, cpu->tlb.view, linear, SOFT_ACCESS_FETCH, &place)) return false;
    *out_gpa = place.gpa;
    return true;
}

static void fetch_place(const struct place *place, uint8_t *out, unsigned n_bytes) {
    if (place->host)
        memcpy(out, place->host, n_bytes);
    else
        memset(out, 0xFF, n_bytes);
}

bool soft_fetch(struct soft_cpu *cpu, uint64_t linear, uint8_t *out, unsigned *in_out_n) {
    unsigned room = (unsigned)(VM_PAGE - linear % VM_PAGE), n = *in_out_n, first = n < room ? n : room;
    struct place place;
    if (!soft_is_canonical(linear)) {
        soft_raise_gp(cpu, 0);
        return false;
    }
    if (!find(cpu, cpu->tlb.view, linear, SOFT_ACCESS_FETCH, &place)) return false;
    fetch_place(&place, out, first);
    *in_out_n = first;
    uint64_t next = next_page(cpu, linear);
    if (first == n || !soft_is_canonical(next)) return true;
    if (!find(cpu, cpu->tlb.view, next, SOFT_ACCESS_FETCH, &place)) return true;
    fetch_place(&place, out + first, n - first);
    *in_out_n = n;
    return true;
}
