/* sysvm/cpu/soft/blocks.h: decoded code of one processor, by physical address.
 *
 * A block is instructions in a row, up to one that always goes elsewhere, within a page: what crosses its end is never
 * kept. It lives while the generation of its page (code.h) is the one it was made under. */
#ifndef ATOLL_SYSVM_CPU_SOFT_BLOCKS_H
#define ATOLL_SYSVM_CPU_SOFT_BLOCKS_H

#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/insn.h"
#include "sysvm/cpu/soft/mmu.h"

struct soft_block {
    struct soft_block *next; /* of the same hash */
    struct soft_code_page *page;
    uint64_t gpa, generation;
    uint32_t n_bytes;
    uint16_t n_insns;
    uint8_t mode;          /* enum soft_mode */
    uint8_t view;          /* enum soft_view: whose rights its accesses have */
    uint8_t vectors;       /* what its code needs of cpu->vectors */
    uint8_t x87;           /* and of cpu->x87 */
    bool overwrites_flags; /* before anything that could tell what they were */
    bool goes_alone; /* its accesses share no way through the TLB: they crossed a page again and again */
    uint16_t n_crossed;
    uint8_t segments; /* of 32-bit code: what it needs of cpu->flat beside SOFT_FLAT */
    uint64_t crossed; /* the page where they did last */
    uint32_t heat;    /* how often it was interpreted */
    /* translate/: NULL, or the machine code; polled: the same with a look at requests first; leave: goes nowhere but
     * out, to where the block starts. */
    const uint8_t *code, *polled, *leave;
    uint32_t joined;                    /* the first of the jumps that lead to it; 0: none */
    struct soft_block *next_translated; /* of those whose pages have one hash */
    struct soft_insn insns[];
};

/* Where a linear address led last, as long as no translation was forgotten: the way from block to block. */
enum { SOFT_JUMPS = 1 << 12, SOFT_BLOCKS_TABLE = 1 << 14, SOFT_BLOCKS_CHUNKS = 24 };
struct soft_jump {
    uint64_t key, version; /* soft_jump_key, soft_scope_version */
    struct soft_block *block;
};

/* Instructions that no block has, or that run alone: the last ones, by their bytes. */
enum { SOFT_SINGLES = 256 };
struct soft_single {
    uint8_t mode; /* enum soft_mode */
    struct soft_insn insn;
};

struct soft_blocks {
    struct soft_jump jumps[SOFT_JUMPS];
    struct soft_single singles[SOFT_SINGLES];
    const struct atoll_alloc *alloc;
    struct soft_block *table[SOFT_BLOCKS_TABLE];
    char *chunks[SOFT_BLOCKS_CHUNKS]; /* filled one after the other; kept when the blocks go */
    unsigned n_chunks, chunk;         /* made, in use */
    size_t used;                      /* of the chunk in use */
};

/* Memory is bounded: when it is full, all blocks go, and all that was translated. fails: NULL */
struct soft_blocks *soft_blocks_new(const struct atoll_alloc *alloc);
void soft_blocks_free(struct soft_blocks *blocks); /* NULL is allowed */

/* The block at gpa, made where there is none that lives. NULL: there is none to keep: no RAM, an instruction that
 * crosses the page's end or is none, no memory; soft_step_one runs it. Valid until the next call. */
struct soft_block *soft_blocks_get(struct soft_cpu *cpu, uint64_t gpa);

static inline bool soft_block_lives(const struct soft_block *block) {
    return atomic_load_explicit(&block->page->generation, memory_order_acquire) == block->generation;
}

/* Address, rights and mode in one word: of a canonical address the upper bits are all alike. */
static inline uint64_t soft_jump_key(const struct soft_cpu *cpu, uint64_t linear) {
    return linear ^ ((uint64_t)cpu->tlb.view << 60 | (uint64_t)cpu->mode << 56);
}
/* Processes have the same addresses: their versions keep them apart. */
static inline struct soft_jump *soft_jump_at(struct soft_cpu *cpu, uint64_t linear) {
    return cpu->blocks->jumps + (linear ^ linear >> 12 ^ soft_scope_version(&cpu->tlb) * 61) % SOFT_JUMPS;
}
/* The block that `linear` led to; NULL: it has to be found by its physical address. */
static inline struct soft_block *soft_jump_find(struct soft_cpu *cpu, uint64_t linear) {
    const struct soft_jump *jump = soft_jump_at(cpu, linear);
    if (jump->key != soft_jump_key(cpu, linear) || jump->version != soft_scope_version(&cpu->tlb))
        return NULL;
    return jump->block && soft_block_lives(jump->block) ? jump->block : NULL;
}
/* Just found by its translation. */
static inline void soft_jump_keep(struct soft_cpu *cpu, uint64_t linear, struct soft_block *block) {
    soft_scope_note(cpu, linear);
    *soft_jump_at(cpu, linear) =
        (struct soft_jump){soft_jump_key(cpu, linear), soft_scope_version(&cpu->tlb), block};
}

#endif
