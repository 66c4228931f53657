/* sysvm/cpu/soft/blocks.h: decoded code of one processor, by physical address.
 *
 * A block is instructions in a row, up to one that always goes elsewhere, within a page: what crosses its end is never
 * kept. It lives while the generation of its page (code.h) is the one it was made under. */
#ifndef ATOLL_SYSVM_CPU_SOFT_BLOCKS_H
#define ATOLL_SYSVM_CPU_SOFT_BLOCKS_H

#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/insn.h"

struct soft_blocks;

struct soft_block {
    struct soft_block *next; /* of the same hash */
    struct soft_code_page *page;
    uint64_t gpa, generation;
    uint32_t n_bytes;
    uint16_t n_insns;
    uint8_t mode; /* enum soft_mode */
    struct soft_insn insns[];
};

/* Memory is bounded: when it is full, all blocks go. fails: NULL */
struct soft_blocks *soft_blocks_new(const struct atoll_alloc *alloc);
void soft_blocks_free(struct soft_blocks *blocks); /* NULL is allowed */

/* The block at gpa, made where there is none that lives. NULL: there is none to keep: no RAM, an instruction that
 * crosses the page's end or is none, no memory; soft_step_one runs it. Valid until the next call. */
const struct soft_block *soft_blocks_get(struct soft_cpu *cpu, uint64_t gpa);

static inline bool soft_block_lives(const struct soft_block *block) {
    return atomic_load_explicit(&block->page->generation, memory_order_acquire) == block->generation;
}

#endif
