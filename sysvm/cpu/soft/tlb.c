/* sysvm/cpu/soft/tlb.c: forgetting translations. */
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/translate/translate.h"

static struct soft_tlb_entry nothing(unsigned i) {
    return (struct soft_tlb_entry){SOFT_TLB_NONE(i), SOFT_TLB_NONE(i), SOFT_TLB_NONE(i), 0};
}

void soft_tlb_init(struct soft_cpu *cpu) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        struct soft_tlb_view *view = &cpu->tlb.views[v];
        for (unsigned i = 0; i < SOFT_TLB_ENTRIES; i++) {
            view->entries[i] = nothing(i);
            view->size[i] = 0;
        }
        view->n_used = 0;
        view->large = view->huge = 0;
    }
    soft_view_changed(cpu);
    cpu->tlb.version++;
}

void soft_view_changed(struct soft_cpu *cpu) {
    enum soft_view view = cpu->cpl == 3           ? SOFT_VIEW_USER
                          : cpu->rflags & SOFT_AC ? SOFT_VIEW_KERNEL_AC
                                                  : SOFT_VIEW_KERNEL;
    if (view == cpu->tlb.view) return;
    cpu->tlb.view = view;
}

/* Keeps the entries of which `keep` is true. */
static void flush_view(struct soft_tlb_view *view,
                       bool (*keep)(const struct soft_tlb_view *view, unsigned i, uint64_t linear),
                       uint64_t linear) {
    unsigned n = 0;
    for (unsigned k = 0; k < view->n_used; k++) {
        uint16_t i = view->used[k];
        if (keep(view, i, linear)) {
            view->used[n++] = i;
            continue;
        }
        view->entries[i] = nothing(i);
        view->size[i] = 0;
    }
    view->n_used = n;
    if (!n) view->large = view->huge = 0;
}

static bool keep_none(const struct soft_tlb_view *view, unsigned i, uint64_t linear) {
    (void)view;
    (void)i;
    (void)linear;
    return false;
}

static bool keep_global(const struct soft_tlb_view *view, unsigned i, uint64_t linear) {
    (void)linear;
    return view->size[i] & SOFT_TLB_GLOBAL;
}

/* Those of another page of the guest's; pages of one address may have had different sizes at different times. */
static bool keep_others(const struct soft_tlb_view *view, unsigned i, uint64_t linear) {
    return (view->linear[i] ^ linear) >> (view->size[i] & ~SOFT_TLB_GLOBAL);
}

void soft_tlb_flush(struct soft_cpu *cpu, bool global_too) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++)
        flush_view(&cpu->tlb.views[v], global_too ? keep_none : keep_global, 0);
    soft_view_changed(cpu);
    cpu->tlb.version++;
    soft_translations_moved(cpu, global_too);
}

void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t linear) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        struct soft_tlb_view *view = &cpu->tlb.views[v];
        unsigned i = linear / VM_PAGE % SOFT_TLB_ENTRIES;
        if ((view->large >> (linear >> 21) % 64 & 1) || (view->huge >> (linear >> 30) % 64 & 1))
            flush_view(view, keep_others, linear);
        else if (view->size[i] && view->linear[i] == (linear & SOFT_PAGE_MASK))
            view->entries[i] = nothing(i); /* still listed as used: the next fill, or flush, finds it so */
    }
    cpu->tlb.version++;
    soft_translations_page_moved(cpu, linear);
}

void soft_tlb_forget_writes(struct soft_cpu *cpu, uint64_t gpa) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        struct soft_tlb_view *view = &cpu->tlb.views[v];
        for (unsigned k = 0; k < view->n_used; k++)
            if (view->gpa[view->used[k]] == (gpa & SOFT_PAGE_MASK))
                view->entries[view->used[k]].write = SOFT_TLB_NONE(view->used[k]);
    }
}
