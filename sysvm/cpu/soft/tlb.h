/* sysvm/cpu/soft/tlb.h: cached translations of one processor (mmu.h fills and reads them).
 *
 *   entry   read  write  fetch | host       where the page is in the host's memory
 *           three tags: the linear address of a page where that access needs no further check, else soft_tlb_none
 *
 * Direct-mapped by the number of the page. An access of n bytes is served where the page of its *last* byte equals the
 * tag that its first byte finds: one comparison also tells that it stays within the page. What is no RAM has no tag at
 * all; a page that holds decoded code, or is not dirty yet, has no write tag: the slow path sees such writes.
 *
 * Rights depend on who asks, so there is a table for each view; a change of privilege flushes nothing. A change of the
 * address space does: the tables hold translations of the current one, and global ones.
 *
 * What is kept beyond them is where code leads: blocks.h and translate/ remember it by linear address, for a scope:
 * one for each of the kernel's views, and one for each of the address spaces that users ran in last (process-context
 * identifiers). A scope ends when one of its addresses may lead elsewhere. */
#ifndef ATOLL_SYSVM_SOFT_TLB_H
#define ATOLL_SYSVM_SOFT_TLB_H

#include <stdbool.h>
#include <stdint.h>

enum soft_view {
    SOFT_VIEW_KERNEL, /* supervisor; with CR4.SMAP user pages are out of reach. Descriptor tables, whatever CPL is */
    SOFT_VIEW_KERNEL_AC, /* supervisor with RFLAGS.AC set: user pages are in reach */
    SOFT_VIEW_USER,
    /* Users whose accesses are checked for alignment (CR0.AM and RFLAGS.AC): no access has a tag, so that the slow path
     * sees all of them, and nothing is translated. Code leads where that of users does. */
    SOFT_VIEW_ALIGNED,
    SOFT_N_VIEWS
};

enum { SOFT_TLB_ENTRIES = 8192, SOFT_TLB_GLOBAL = 0x80 };

/* The tag that no access finds at entry i: a page far from all that this entry serves, so that neither the page of an
 * access nor its distance from the tag tells otherwise. */
#define SOFT_TLB_NONE(i) ((((uint64_t)(i) + SOFT_TLB_ENTRIES / 2) % SOFT_TLB_ENTRIES) << 12)

struct soft_tlb_entry {
    uint64_t read, write, fetch; /* tags */
    uint64_t host;
};

enum soft_tlb_listed { SOFT_TLB_USED = 1, SOFT_TLB_LOCAL = 2 };

struct soft_tlb_view {
    struct soft_tlb_entry entries[SOFT_TLB_ENTRIES];
    /* What only fills and flushes need. */
    uint64_t linear[SOFT_TLB_ENTRIES], gpa[SOFT_TLB_ENTRIES]; /* of the page of 4 KiB */
    uint8_t size[SOFT_TLB_ENTRIES]; /* log2 of the guest's page, SOFT_TLB_GLOBAL; 0: the entry is free */
    /* Lists, so that flushes touch no others: `used` has all that are not free, `local` those that are not global, both
     * perhaps more; `listed` tells what has which. */
    uint16_t used[SOFT_TLB_ENTRIES], local[SOFT_TLB_ENTRIES];
    uint8_t listed[SOFT_TLB_ENTRIES]; /* enum soft_tlb_listed */
    unsigned n_used, n_local;
    /* Filters: where a page of 2 MiB (or 4), or of 1 GiB, has entries, bit (linear >> 21 or 30) % 64 is set; the bounds
     * of all of them. */
    uint64_t large, huge, first_large, last_large;
};

/* Linux uses six identifiers. */
enum { SOFT_SPACES = 8, SOFT_N_SCOPES = SOFT_VIEW_USER + SOFT_SPACES, SOFT_NO_SPACE = 0xFFFF };

/* The pages that code was found in, by bounds and by filters: `pages` by the number of the page; larger ones as in
 * struct soft_tlb_view. What kernels do with other memory, and users' pages, are out of the bounds of their code. */
struct soft_scope {
    uint64_t version;     /* another one, ever, when addresses may lead elsewhere */
    uint64_t first, last; /* bytes */
    uint64_t pages[16], large, huge;
    bool has_local, has_global; /* pages that are not global; that are */
};

struct soft_tlb {
    enum soft_view view;                /* of the instructions that run now */
    unsigned space;                     /* whose entries the views have: an index of `spaces` */
    uint16_t spaces[SOFT_SPACES];       /* process-context identifiers, SOFT_NO_SPACE */
    uint64_t uses[SOFT_SPACES], n_uses; /* when each was entered last */
    uint64_t n_versions;
    struct soft_scope scopes[SOFT_N_SCOPES]; /* by view, those of users by view + space */
    struct soft_tlb_view views[SOFT_N_VIEWS];
};

/* The scope that code of a view has now. */
static inline unsigned soft_scope_of(const struct soft_tlb *tlb, enum soft_view view) {
    return view >= SOFT_VIEW_USER ? SOFT_VIEW_USER + tlb->space : (unsigned)view;
}
static inline uint64_t soft_scope_version(const struct soft_tlb *tlb) {
    return tlb->scopes[soft_scope_of(tlb, tlb->view)].version;
}

#endif
