/* sysvm/cpu/soft/walk.c: the page tables of a guest: 4-level, PAE and 32-bit paging.
 *
 * Entries stand in guest memory, where other processors write at the same time: each is read once, and A and D bits
 * are set by compare-and-exchange; where an entry changed in between the walk starts again.
 * Source: Intel SDM volume 3, "Paging": "32-Bit Paging", "PAE Paging", "4-Level Paging", "Access Rights",
 * "Page-Fault Exceptions". */
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"

enum {
    ENTRY_PRESENT = 1 << 0,
    ENTRY_WRITABLE = 1 << 1,
    ENTRY_USER = 1 << 2,
    ENTRY_ACCESSED = 1 << 5,
    ENTRY_DIRTY = 1 << 6,
    ENTRY_LARGE = 1 << 7,
    ENTRY_GLOBAL = 1 << 8
};
#define ENTRY_NO_EXECUTE (UINT64_C(1) << 63)
#define BITS(high, low)  ((UINT64_MAX >> (63 - (high))) & (UINT64_MAX << (low)))

enum { ERROR_P = 1, ERROR_W = 2, ERROR_U = 4, ERROR_RESERVED = 8, ERROR_FETCH = 16 };
enum { MAX_LEVELS = 4 };

struct entry {
    void *host; /* NULL: the table is no RAM */
    uint64_t value;
};

struct walk {
    struct soft_cpu *cpu;
    enum soft_view view;
    enum soft_access access;
    uint64_t linear;
    unsigned width; /* bytes of an entry: 4 or 8 */
    bool is_pae;    /* with a top level of four entries */
    unsigned n_levels, n_entries;
    struct entry path[MAX_LEVELS];
};

static bool fault(const struct walk *walk, uint32_t code) {
    struct soft_cpu *cpu = walk->cpu;
    bool tells_fetch =
        (cpu->cr4 & SOFT_CR4_SMEP) || ((cpu->cr4 & SOFT_CR4_PAE) && (cpu->efer & SOFT_EFER_NXE));
    if (walk->access == SOFT_ACCESS_WRITE) code |= ERROR_W;
    if (walk->view >= SOFT_VIEW_USER) code |= ERROR_U;
    if (walk->access == SOFT_ACCESS_FETCH && tells_fetch) code |= ERROR_FETCH;
    cpu->fault = (struct soft_fault){
        .vector = SOFT_PAGE, .has_error_code = true, .error_code = code, .cr2 = walk->linear};
    return false;
}

/* ---- entries ---- */

/* A table that is no RAM reads as an empty bus does: all ones. */
static struct entry load(const struct walk *walk, uint64_t gpa) {
    struct entry entry = {vm_memory_at(walk->cpu->engine->config.memory, gpa, walk->width), UINT64_MAX};
    if (!entry.host) return entry;
    entry.value = walk->width == 8 ? __atomic_load_n((uint64_t *)entry.host, __ATOMIC_RELAXED)
                                   : __atomic_load_n((uint32_t *)entry.host, __ATOMIC_RELAXED);
    return entry;
}

/* False: somebody else changed the entry. */
static bool set_bits(const struct walk *walk, struct entry *entry, uint64_t bits) {
    if (!entry->host || (entry->value & bits) == bits) return true;
    bool done;
    if (walk->width == 8) {
        uint64_t expected = entry->value;
        done = __atomic_compare_exchange_n((uint64_t *)entry->host, &expected, expected | bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    } else {
        uint32_t expected = (uint32_t)entry->value;
        done = __atomic_compare_exchange_n((uint32_t *)entry->host, &expected, expected | (uint32_t)bits,
                                           false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    entry->value |= bits;
    return done;
}

/* ---- formats ---- */

/* Level 1 is the last; the number of the lowest address bit that it translates. */
static unsigned shift_of(const struct walk *walk, unsigned level) {
    return 12 + (level - 1) * (walk->width == 8 ? 9 : 10);
}

static bool is_pointer_of_pae(const struct walk *walk, unsigned level) { return walk->is_pae && level == 3; }

static bool is_leaf(const struct walk *walk, unsigned level, uint64_t value) {
    if (level == 1) return true;
    if (!(value & ENTRY_LARGE) || level > 3 || is_pointer_of_pae(walk, level)) return false;
    return walk->width == 8 || (walk->cpu->cr4 & SOFT_CR4_PSE);
}

static uint64_t reserved_in(const struct walk *walk, unsigned level, uint64_t value) {
    if (walk->width == 4) /* a page of 4 MiB has address bits 32 to 39 at 13 to 20 */
        return is_leaf(walk, level, value) && level == 2 ? BITS(21, 21) : 0;
    if (is_pointer_of_pae(walk, level)) return 0; /* checked when CR3 was loaded */
    uint64_t reserved = BITS(walk->is_pae ? 62 : 51, SOFT_PHYSICAL_BITS);
    if (!(walk->cpu->efer & SOFT_EFER_NXE)) reserved |= ENTRY_NO_EXECUTE;
    if (level == 4) reserved |= ENTRY_LARGE;
    if (level == 3 && is_leaf(walk, level, value)) reserved |= BITS(29, 13);
    if (level == 2 && is_leaf(walk, level, value)) reserved |= BITS(20, 13);
    return reserved;
}

static uint64_t address_in(const struct walk *walk, unsigned level, uint64_t value) {
    if (walk->width == 8) {
        uint64_t low = is_leaf(walk, level, value) ? shift_of(walk, level) : 12;
        return value & BITS(SOFT_PHYSICAL_BITS - 1, low);
    }
    if (level == 2 && is_leaf(walk, level, value))
        return (value & BITS(31, 22)) | (value & BITS(20, 13)) << 19;
    return value & BITS(31, 12);
}

bool soft_pae_is_valid(const struct soft_cpu *cpu, uint64_t cr3) {
    const struct walk walk = {.cpu = (struct soft_cpu *)(uintptr_t)cpu, .width = 8};
    uint64_t reserved = BITS(63, SOFT_PHYSICAL_BITS) | BITS(8, 5) | BITS(2, 1);
    for (uint64_t i = 0; i < 4; i++) {
        struct entry entry = load(&walk, (cr3 & BITS(31, 5)) + i * 8);
        if ((entry.value & ENTRY_PRESENT) && (entry.value & reserved)) return false;
    }
    return true;
}

/* ---- the walk ---- */

bool soft_may(const struct soft_cpu *cpu, enum soft_view view, enum soft_access access,
              const struct soft_translation *page) {
    if (access == SOFT_ACCESS_FETCH && !page->is_executable) return false;
    if (view >= SOFT_VIEW_USER) return page->is_user && (access != SOFT_ACCESS_WRITE || page->is_writable);
    if (page->is_user && access == SOFT_ACCESS_FETCH) return !(cpu->cr4 & SOFT_CR4_SMEP);
    if (page->is_user && view == SOFT_VIEW_KERNEL && (cpu->cr4 & SOFT_CR4_SMAP)) return false;
    return access != SOFT_ACCESS_WRITE || page->is_writable || !(cpu->cr0 & SOFT_CR0_WP);
}

static void add_rights(const struct walk *walk, unsigned level, uint64_t value,
                       struct soft_translation *out) {
    if (is_pointer_of_pae(walk, level)) return;
    out->is_writable &= !!(value & ENTRY_WRITABLE);
    out->is_user &= !!(value & ENTRY_USER);
    if (walk->width == 8 && (value & ENTRY_NO_EXECUTE)) out->is_executable = false;
}

/* Fills path and *out; false: a fault. */
static bool descend(struct walk *walk, struct soft_translation *out) {
    uint64_t table = walk->cpu->cr3 & (walk->is_pae       ? BITS(31, 5)
                                       : walk->width == 4 ? BITS(31, 12)
                                                          : BITS(SOFT_PHYSICAL_BITS - 1, 12));
    for (unsigned level = walk->n_levels;; level--) {
        unsigned shift = shift_of(walk, level);
        uint64_t index_mask = is_pointer_of_pae(walk, level) ? 3 : walk->width == 8 ? 0x1FF : 0x3FF;
        struct entry entry = load(walk, table + (walk->linear >> shift & index_mask) * walk->width);
        if (walk->width == 4) entry.value = (uint32_t)entry.value;
        walk->path[walk->n_entries++] = entry;
        if (!(entry.value & ENTRY_PRESENT)) return fault(walk, 0);
        if (entry.value & reserved_in(walk, level, entry.value)) return fault(walk, ERROR_P | ERROR_RESERVED);
        add_rights(walk, level, entry.value, out);
        table = address_in(walk, level, entry.value);
        if (!is_leaf(walk, level, entry.value)) continue;
        out->size = shift;
        out->gpa = table | (walk->linear & ((UINT64_C(1) << shift) - 1));
        out->is_global = (entry.value & ENTRY_GLOBAL) && (walk->cpu->cr4 & SOFT_CR4_PGE);
        return true;
    }
}

/* False: an entry changed meanwhile. */
static bool set_accessed(struct walk *walk, struct soft_translation *out) {
    for (unsigned i = 0; i < walk->n_entries; i++) {
        bool is_last = i == walk->n_entries - 1;
        if (walk->is_pae && i == 0) continue;
        uint64_t bits = ENTRY_ACCESSED;
        if (is_last && walk->access == SOFT_ACCESS_WRITE) bits |= ENTRY_DIRTY;
        if (!set_bits(walk, &walk->path[i], bits)) return false;
        out->is_dirty = !!(walk->path[i].value & ENTRY_DIRTY);
    }
    return true;
}

bool soft_walk(struct soft_cpu *cpu, enum soft_view view, uint64_t linear, enum soft_access access,
               struct soft_translation *out) {
    if (!(cpu->cr0 & SOFT_CR0_PG)) {
        *out = (struct soft_translation){linear, 12, view >= SOFT_VIEW_USER, true, true, true, false};
        return true;
    }
    struct walk walk = {.cpu = cpu, .view = view, .access = access, .linear = linear};
    bool is_long = cpu->efer & SOFT_EFER_LMA;
    walk.is_pae = !is_long && (cpu->cr4 & SOFT_CR4_PAE);
    walk.width = is_long || walk.is_pae ? 8 : 4;
    walk.n_levels = is_long ? 4 : walk.is_pae ? 3 : 2;
    do {
        walk.n_entries = 0;
        *out = (struct soft_translation){.is_user = true, .is_writable = true, .is_executable = true};
        if (!descend(&walk, out)) return false;
        if (!soft_may(cpu, view, access, out)) return fault(&walk, ERROR_P);
    } while (!set_accessed(&walk, out));
    return true;
}
