/* sysvm/cpu/soft/blocks.c: see blocks.h. */
#include <Zydis/Zydis.h>
#include <string.h>
#include "sysvm/cpu/soft/blocks.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/vector.h"
#include "sysvm/cpu/translate/translate.h"

enum { INSNS_MAX = 48, CHUNK_BYTES = 1 << 20 };

struct soft_blocks *soft_blocks_new(const struct atoll_alloc *alloc) {
    struct soft_blocks *blocks = atoll_new(alloc, 1, sizeof *blocks);
    if (blocks) blocks->alloc = alloc;
    return blocks;
}

void soft_blocks_free(struct soft_blocks *blocks) {
    if (!blocks) return;
    for (unsigned i = 0; i < blocks->n_chunks; i++) atoll_free(blocks->alloc, blocks->chunks[i], CHUNK_BYTES);
    atoll_free(blocks->alloc, blocks, sizeof *blocks);
}

/* ---- room ---- */

static void forget_all(struct soft_cpu *cpu) {
    struct soft_blocks *blocks = cpu->blocks;
    soft_translations_drop(cpu);
    memset(blocks->table, 0, sizeof blocks->table);
    memset(blocks->jumps, 0, sizeof blocks->jumps);
    blocks->chunk = 0;
    blocks->used = 0;
}

/* Room for the largest block; what it does not need is given back by soft_blocks_get. */
static struct soft_block *room(struct soft_cpu *cpu) {
    struct soft_blocks *blocks = cpu->blocks;
    enum { MOST = sizeof(struct soft_block) + INSNS_MAX * sizeof(struct soft_insn) };
    if (blocks->n_chunks && blocks->used + MOST > CHUNK_BYTES) {
        blocks->chunk++;
        blocks->used = 0;
    }
    if (blocks->chunk == SOFT_BLOCKS_CHUNKS) forget_all(cpu);
    if (blocks->chunk == blocks->n_chunks) {
        char *chunk = atoll_new(blocks->alloc, 1, CHUNK_BYTES);
        if (!chunk && !blocks->n_chunks) return NULL;
        if (chunk)
            blocks->chunks[blocks->n_chunks++] = chunk;
        else
            forget_all(cpu);
    }
    return (struct soft_block *)(blocks->chunks[blocks->chunk] + blocks->used);
}

/* ---- making ---- */

/* Whether what stands behind the instruction is reached from elsewhere alone. */
static bool ends_block(const struct soft_insn *insn) {
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_RET:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2: return true;
    default: return insn->run == soft_undefined;
    }
}

/* Also where another processor has marked the page, which may wait for the same writers still. */
static void stop_writers(struct soft_cpu *cpu, const struct soft_block *block) {
    uint64_t grants;
    if (soft_code_is_closed(block->page, &grants)) return;
    soft_stop_writers(cpu, block->gpa & SOFT_PAGE_MASK);
    soft_code_closed(block->page, grants);
}

/* False: an instruction that is none, or that the page does not hold whole. */
static bool add_insn(struct soft_cpu *cpu, struct soft_block *block, const uint8_t *page, uint64_t offset,
                     uint64_t *in_out_marks) {
    uint8_t bytes[SOFT_INSN_MAX];
    unsigned n = VM_PAGE - offset < sizeof bytes ? (unsigned)(VM_PAGE - offset) : sizeof bytes;
    struct soft_insn *insn = block->insns + block->n_insns;
    if (!n) return false;
    soft_code_mark(block->page, offset, n, in_out_marks);
    stop_writers(cpu, block);
    if (!block->n_insns) block->generation = atomic_load(&block->page->generation);
    memcpy(bytes, page + offset, n);
    if (soft_decode(cpu->mode, bytes, n, insn) != SOFT_DECODED) return false;
    soft_native_prepare(cpu, insn);
    insn->offset = (uint16_t)offset;
    block->n_insns++;
    block->n_bytes += insn->length;
    return true;
}

/* Calls that a block goes on into, which it comes back from. */
enum { CALLS_MAX = 8 };
struct calls {
    uint16_t returns[CALLS_MAX];
    unsigned n;
};

/* False: the block ends with the instruction. Else where it goes on: where a direct jump forward, or a call, leads in its
 * page, and where a return comes back to from such a call. */
static bool goes_on(const struct soft_block *block, struct calls *calls, uint64_t *out_offset) {
    const struct soft_insn *insn = block->insns + block->n_insns - 1;
    const uint64_t behind = insn->offset + insn->length, target = behind + insn->immediate;
    *out_offset = behind;
    if (!ends_block(insn)) return true;
    if (!soft_is_wide(block->mode) || insn->operand_bytes < 4) return false;
    if (insn->mnemonic == ZYDIS_MNEMONIC_RET) {
        if (!calls->n) return false;
        *out_offset = calls->returns[--calls->n];
        return true;
    }
    if (insn->operands[0].kind != SOFT_IMM || target >= VM_PAGE) return false;
    *out_offset = target;
    if (insn->mnemonic == ZYDIS_MNEMONIC_JMP) return target > insn->offset;
    if (insn->mnemonic != ZYDIS_MNEMONIC_CALL || calls->n == CALLS_MAX || behind >= VM_PAGE) return false;
    calls->returns[calls->n++] = (uint16_t)behind;
    return true;
}

static bool fill(struct soft_cpu *cpu, struct soft_block *block, const uint8_t *page) {
    uint64_t marks = 0, offset = block->gpa % VM_PAGE;
    struct calls calls = {.n = 0};
    while (block->n_insns < INSNS_MAX && add_insn(cpu, block, page, offset, &marks))
        if (!goes_on(block, &calls, &offset)) break;
    /* Marks that are lost were lost to a write: what was read may be old, and later writes would go unseen. */
    return block->n_insns && (atomic_load(&block->page->chunks) & marks) == marks;
}

static struct soft_block *make(struct soft_cpu *cpu, uint64_t gpa, struct soft_block **at) {
    struct soft_blocks *blocks = cpu->blocks;
    const uint8_t *page = vm_memory_at(cpu->engine->config.memory, gpa & SOFT_PAGE_MASK, VM_PAGE);
    struct soft_code_page *code = page ? soft_code_make_page(cpu->engine->code, gpa) : NULL;
    struct soft_block *block = code ? room(cpu) : NULL;
    if (!block) return NULL;
    *block = (struct soft_block){
        .page = code, .gpa = gpa, .mode = (uint8_t)cpu->mode, .view = (uint8_t)cpu->tlb.view};
    if (!fill(cpu, block, page)) return NULL;
    blocks->used += (sizeof *block + block->n_insns * sizeof *block->insns + 15) & ~(size_t)15;
    block->next = *at;
    *at = block;
    return block;
}

struct soft_block *soft_blocks_get(struct soft_cpu *cpu, uint64_t gpa) {
    struct soft_block **first =
        cpu->blocks->table + ((gpa ^ gpa >> 13) + cpu->mode * 977u + cpu->tlb.view * 31u) % SOFT_BLOCKS_TABLE;
    for (struct soft_block **at = first; *at; at = &(*at)->next) {
        struct soft_block *block = *at;
        if (block->gpa != gpa || block->mode != cpu->mode || block->view != cpu->tlb.view) continue;
        if (soft_block_lives(block)) return block;
        *at = block->next;
        break;
    }
    return make(cpu, gpa, first);
}
