/* sysvm/cpu/soft/tlb.c: forgetting translations. */
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/translate/translate.h"

static struct soft_tlb_entry nothing(unsigned i) {
    return (struct soft_tlb_entry){SOFT_TLB_NONE(i), SOFT_TLB_NONE(i), SOFT_TLB_NONE(i), 0};
}

/* ---- where code leads ---- */

static void end_scope(struct soft_cpu *cpu, unsigned scope) {
    cpu->tlb.scopes[scope] = (struct soft_scope){.version = ++cpu->tlb.n_versions, .first = UINT64_MAX};
    soft_translations_moved(cpu, scope);
}

void soft_scope_note(struct soft_cpu *cpu, uint64_t linear) {
    const struct soft_tlb_view *view = &cpu->tlb.views[cpu->tlb.view];
    struct soft_scope *scope = &cpu->tlb.scopes[soft_scope_of(&cpu->tlb, cpu->tlb.view)];
    const unsigned i = linear / VM_PAGE % SOFT_TLB_ENTRIES, size = view->size[i] & ~SOFT_TLB_GLOBAL;
    const uint64_t rest = (UINT64_C(1) << size) - 1;
    if ((linear & ~rest) < scope->first) scope->first = linear & ~rest;
    if ((linear | rest) > scope->last) scope->last = linear | rest;
    scope->pages[linear / VM_PAGE / 64 % 16] |= UINT64_C(1) << linear / VM_PAGE % 64;
    if (size > 12) scope->large |= UINT64_C(1) << (linear >> 21) % 64;
    if (size > 22) scope->huge |= UINT64_C(1) << (linear >> 30) % 64;
    if (size == 22) scope->large |= UINT64_C(1) << ((linear >> 21) ^ 1) % 64; /* 4 MiB are two of 2 */
    if (view->size[i] & SOFT_TLB_GLOBAL)
        scope->has_global = true;
    else
        scope->has_local = true;
}

static bool may_have(const struct soft_scope *scope, uint64_t linear) {
    if (linear < scope->first || linear > scope->last) return false;
    return (scope->pages[linear / VM_PAGE / 64 % 16] >> linear / VM_PAGE % 64 & 1) ||
           (scope->large >> (linear >> 21) % 64 & 1) || (scope->huge >> (linear >> 30) % 64 & 1);
}

static void end_if_local(struct soft_cpu *cpu, unsigned scope) {
    if (cpu->tlb.scopes[scope].has_local) end_scope(cpu, scope);
}

/* ---- entries ---- */

static void forget_large(struct soft_tlb_view *view) {
    view->large = view->huge = view->last_large = 0;
    view->first_large = UINT64_MAX;
}

static bool may_have_large(const struct soft_tlb_view *view, uint64_t linear) {
    if (linear < view->first_large || linear > view->last_large) return false;
    return (view->large >> (linear >> 21) % 64 & 1) || (view->huge >> (linear >> 30) % 64 & 1);
}

static void forget_entry(struct soft_tlb_view *view, unsigned i) {
    view->entries[i] = nothing(i);
    view->size[i] = 0;
}

void soft_tlb_init(struct soft_cpu *cpu) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        struct soft_tlb_view *view = &cpu->tlb.views[v];
        for (unsigned i = 0; i < SOFT_TLB_ENTRIES; i++) {
            forget_entry(view, i);
            view->listed[i] = 0;
        }
        view->n_used = view->n_local = 0;
        forget_large(view);
    }
    for (unsigned i = 0; i < SOFT_SPACES; i++) cpu->tlb.spaces[i] = SOFT_NO_SPACE;
    cpu->tlb.space = 0;
    cpu->tlb.spaces[0] = 0;
    cpu->tlb.uses[0] = ++cpu->tlb.n_uses;
    for (unsigned i = 0; i < SOFT_N_SCOPES; i++) end_scope(cpu, i);
    soft_view_changed(cpu);
    soft_translations_enter(cpu);
}

void soft_view_changed(struct soft_cpu *cpu) {
    const bool ac = cpu->rflags & SOFT_AC, checks = ac && cpu->cr0 & SOFT_CR0_AM;
    enum soft_view view = ac ? SOFT_VIEW_KERNEL_AC : SOFT_VIEW_KERNEL;
    if (cpu->cpl == 3) view = checks ? SOFT_VIEW_ALIGNED : SOFT_VIEW_USER;
    if (view == cpu->tlb.view) return;
    cpu->tlb.view = view;
}

static void flush_all(struct soft_tlb_view *view) {
    for (unsigned k = 0; k < view->n_used; k++) {
        forget_entry(view, view->used[k]);
        view->listed[view->used[k]] = 0;
    }
    for (unsigned k = 0; k < view->n_local; k++) view->listed[view->local[k]] = 0;
    view->n_used = view->n_local = 0;
    forget_large(view);
}

/* Global ones stay. */
static void flush_local(struct soft_tlb_view *view) {
    for (unsigned k = 0; k < view->n_local; k++) {
        const unsigned i = view->local[k];
        view->listed[i] &= (uint8_t)~SOFT_TLB_LOCAL;
        if (!(view->size[i] & SOFT_TLB_GLOBAL)) forget_entry(view, i);
    }
    view->n_local = 0;
}

/* All of the guest's page at `linear`; pages of one address may have had different sizes at different times. */
static void flush_large(struct soft_tlb_view *view, uint64_t linear) {
    unsigned n = 0;
    for (unsigned k = 0; k < view->n_used; k++) {
        const uint16_t i = view->used[k];
        if (!((view->linear[i] ^ linear) >> (view->size[i] & ~SOFT_TLB_GLOBAL))) forget_entry(view, i);
        if (view->size[i])
            view->used[n++] = i;
        else
            view->listed[i] &= (uint8_t)~SOFT_TLB_USED;
    }
    view->n_used = n;
    if (!n) forget_large(view);
}

/* ---- flushes ---- */

void soft_tlb_flush(struct soft_cpu *cpu, bool global_too) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++)
        global_too ? flush_all(&cpu->tlb.views[v]) : flush_local(&cpu->tlb.views[v]);
    for (unsigned i = 0; i < SOFT_N_SCOPES; i++) {
        const struct soft_scope *scope = cpu->tlb.scopes + i;
        if (scope->has_local || (global_too && scope->has_global)) end_scope(cpu, i);
    }
    soft_view_changed(cpu);
}

void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t linear) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        struct soft_tlb_view *view = &cpu->tlb.views[v];
        unsigned i = linear / VM_PAGE % SOFT_TLB_ENTRIES;
        if (may_have_large(view, linear))
            flush_large(view, linear);
        else if (view->size[i] && view->linear[i] == (linear & SOFT_PAGE_MASK))
            view->entries[i] = nothing(i); /* still listed as used: the next fill, or flush, finds it so */
    }
    for (unsigned i = 0; i < SOFT_N_SCOPES; i++) {
        const bool is_current = i < SOFT_VIEW_USER || i == SOFT_VIEW_USER + cpu->tlb.space;
        if ((is_current || cpu->tlb.scopes[i].has_global) && may_have(cpu->tlb.scopes + i, linear))
            end_scope(cpu, i);
    }
}

/* ---- address spaces ---- */

/* SOFT_SPACES: nothing is kept of it. */
static unsigned find_space(const struct soft_cpu *cpu, uint16_t pcid) {
    unsigned i = 0;
    while (i < SOFT_SPACES && cpu->tlb.spaces[i] != pcid) i++;
    return i;
}

/* The one that was entered longest ago makes room. */
static unsigned make_space(struct soft_cpu *cpu, uint16_t pcid) {
    struct soft_tlb *tlb = &cpu->tlb;
    unsigned at = 0;
    for (unsigned i = 1; i < SOFT_SPACES; i++)
        if (tlb->uses[i] < tlb->uses[at]) at = i;
    end_scope(cpu, SOFT_VIEW_USER + at);
    tlb->spaces[at] = pcid;
    return at;
}

/* What is not global, of the current address space and of views that have no scope for each. */
static void leave_space(struct soft_cpu *cpu) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) flush_local(&cpu->tlb.views[v]);
    for (unsigned v = 0; v < SOFT_VIEW_USER; v++) end_if_local(cpu, v);
}

void soft_tlb_enter_space(struct soft_cpu *cpu, uint16_t pcid, bool keeps) {
    struct soft_tlb *tlb = &cpu->tlb;
    unsigned space = find_space(cpu, pcid);
    if (keeps && space == tlb->space) return;
    leave_space(cpu);
    if (space == SOFT_SPACES) space = make_space(cpu, pcid);
    tlb->space = space;
    tlb->uses[space] = ++tlb->n_uses;
    if (!keeps) end_if_local(cpu, SOFT_VIEW_USER + space);
    soft_translations_enter(cpu);
}

void soft_tlb_flush_space(struct soft_cpu *cpu, uint16_t pcid) {
    const unsigned space = find_space(cpu, pcid);
    if (space == cpu->tlb.space) leave_space(cpu);
    if (space < SOFT_SPACES) end_if_local(cpu, SOFT_VIEW_USER + space);
}

void soft_tlb_flush_page_of(struct soft_cpu *cpu, uint16_t pcid, uint64_t linear) {
    const unsigned space = find_space(cpu, pcid);
    if (space == cpu->tlb.space)
        soft_tlb_flush_page(cpu, linear);
    else if (space < SOFT_SPACES && may_have(cpu->tlb.scopes + SOFT_VIEW_USER + space, linear))
        end_scope(cpu, SOFT_VIEW_USER + space);
}

void soft_tlb_forget_writes(struct soft_cpu *cpu, uint64_t gpa) {
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        struct soft_tlb_view *view = &cpu->tlb.views[v];
        for (unsigned k = 0; k < view->n_used; k++)
            if (view->gpa[view->used[k]] == (gpa & SOFT_PAGE_MASK))
                view->entries[view->used[k]].write = SOFT_TLB_NONE(view->used[k]);
    }
}
