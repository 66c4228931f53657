/* sysvm/cpu/linear.c: where a linear address leads, as whoever looks from outside sees it: nothing is checked but that
 * the page is there, and no bit is set.
 * Source: Intel SDM volume 3, "Paging". */
#include "sysvm/cpu/engine.h"

enum { PRESENT = 1, LARGE = 1 << 7, CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_LA57 = 1 << 12 };
#define CR0_PG          (UINT64_C(1) << 31)
#define EFER_LMA        (UINT64_C(1) << 10)
#define BITS(high, low) ((UINT64_MAX >> (63 - (high))) & (UINT64_MAX << (low)))

struct format {
    unsigned n_levels, entry_bytes, index_bits;
    uint64_t root;
};

static struct format format_of(const struct vm_cpu_state *s) {
    if (s->efer & EFER_LMA) return (struct format){s->cr4 & CR4_LA57 ? 5 : 4, 8, 9, s->cr3 & BITS(51, 12)};
    if (s->cr4 & CR4_PAE) return (struct format){3, 8, 9, s->cr3 & BITS(31, 5)};
    return (struct format){2, 4, 10, s->cr3 & BITS(31, 12)};
}

static uint64_t address_in(uint64_t entry, const struct format *f, unsigned shift, bool is_leaf) {
    if (f->entry_bytes == 8) return entry & BITS(51, is_leaf ? shift : 12);
    if (is_leaf && shift > 12) return (entry & BITS(31, 22)) | (entry & BITS(20, 13)) << 19;
    return entry & BITS(31, 12);
}

bool vm_linear_to_physical(const struct vm_cpu_state *state, const struct vm_memory *memory, uint64_t linear,
                           uint64_t *out_gpa) {
    *out_gpa = state->efer & EFER_LMA ? linear : (uint32_t)linear;
    if (!(state->cr0 & CR0_PG)) return true;
    const struct format f = format_of(state);
    uint64_t table = f.root;
    for (unsigned level = f.n_levels; level; level--) {
        unsigned shift = 12 + (level - 1) * f.index_bits;
        unsigned index_bits = f.n_levels == 3 && level == 3 ? 2 : f.index_bits;
        uint64_t index = linear >> shift & ((UINT64_C(1) << index_bits) - 1), entry = 0;
        if (!vm_memory_read(memory, table + index * f.entry_bytes, &entry, f.entry_bytes)) return false;
        if (!(entry & PRESENT)) return false;
        bool may_be_large = f.entry_bytes == 4 ? state->cr4 & CR4_PSE : !(f.n_levels == 3 && level == 3);
        bool is_leaf = level == 1 || (level <= 3 && entry & LARGE && may_be_large);
        table = address_in(entry, &f, shift, is_leaf);
        if (!is_leaf) continue;
        *out_gpa = table | (linear & ((UINT64_C(1) << shift) - 1));
        return true;
    }
    return false;
}
