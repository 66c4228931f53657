/* sysvm/cpu/translate/: the software CPU's blocks as machine code of the host (dynamic binary translation).
 *
 *   soft_block -> read.c    each instruction: form (forms.def), operands as encoded, flags read and written
 *              -> bound.c   indices that are small
 *              -> group.c   accesses that share a look at the TLB
 *              -> flow.c    which arithmetic flags matter where
 *              -> emit*.c   host code: guest registers in host registers, flags in flags, memory through the TLB
 *              -> cache.c   placed, found by address, joined with others, dropped when guest memory changes
 *   run.c      into the code and out of it; thunks.c the code that does so
 *
 * Guest and host are the same instruction set, so most instructions stay as they are, with other registers. What has
 * no form, or misses the TLB, is done by the interpreter's handler, and translated code goes on behind it.
 *
 * Where the host has what in translated code:
 *   rsp               cpu->page_base, so that everything of struct soft_cpu is at a constant distance
 *   rax, r11          free
 *   rcx rdx rbx rbp rsi rdi r12 .. r15   the guest's registers of these names
 *   r8, r9, r10       the guest's rax, rsp, r8; its r9, r10, r11 stay in memory
 *   xmm0 .. ymm15     the guest's, if cpu->vectors says so: a block that uses them asks for it, C code finds them saved
 *   st(0) .. st(7)    the same by cpu->x87, with control and status word
 * A processor has its own translations, and only its own thread touches them. */
#ifndef ATOLL_SYSVM_CPU_TRANSLATE_H
#define ATOLL_SYSVM_CPU_TRANSLATE_H

#include "sysvm/cpu/soft/blocks.h"

/* Prepares a processor. NULL: no memory, or a host that lacks what translated code needs: it is interpreted. */
struct soft_translator *soft_translator_new(const struct atoll_alloc *alloc, struct soft_cpu *cpu);
void soft_translator_free(struct soft_translator *translator); /* NULL is allowed */

/* Whether the block is hot, or became so now, and has code: then soft_translated_run runs it. Else it is to be
 * interpreted. */
bool soft_translated_ready(struct soft_cpu *cpu, struct soft_block *block);
/* Runs from the block on, which starts at cpu->rip, until something is not translated, a request has come, or an
 * instruction ends otherwise than with SOFT_NEXT or SOFT_JUMPED. As soft_step_one, of the last instruction. */
enum soft_step soft_translated_run(struct soft_cpu *cpu, struct soft_block *block);

/* All blocks go: so do all translations. Never called while translated code runs. */
void soft_translations_drop(struct soft_cpu *cpu);
/* SOFT_REQUEST_CODE: those whose pages have changed will not run again. */
void soft_translations_check(struct soft_cpu *cpu);
/* Linear addresses of code in a scope (tlb.h) may lead elsewhere. */
void soft_translations_moved(struct soft_cpu *cpu, unsigned scope);
/* Users' code is of another address space. */
void soft_translations_enter(struct soft_cpu *cpu);

#endif
