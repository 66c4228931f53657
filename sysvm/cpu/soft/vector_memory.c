/* sysvm/cpu/soft/vector_memory.c: vector instructions that reach memory element by element, where only some elements are
 * accessed and each may fault: masked moves, gathers; and what clears registers, orders or hints memory. */
#include <Zydis/Mnemonic.h>
#include <stdatomic.h>
#include <string.h>
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/soft/system.h"

/* ---- vmaskmovps, vmaskmovpd, vpmaskmovd, vpmaskmovq ---- */

static unsigned masked_element(const struct soft_insn *insn) {
    return insn->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPS || insn->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVD ? 4 : 8;
}

static bool is_on(const uint8_t *mask, unsigned at, unsigned element) {
    return mask[at + element - 1] & 0x80;
}

/* Elements that are off are read as zero, or left as they are in memory, and never fault. */
static bool move_masked(struct soft_cpu *cpu, const struct soft_insn *insn, const uint8_t *mask, unsigned n,
                        uint8_t *data, bool write) {
    unsigned element = masked_element(insn);
    for (int pass = write ? 0 : 1; pass < 2;
         pass++) { /* a store is all or nothing: first, whether it can be */
        for (unsigned at = 0; at < n; at += element) {
            uint64_t linear;
            if (!is_on(mask, at, element)) continue;
            if (!soft_linear_at(cpu, insn->segment, soft_effective(cpu, insn) + at, element, write, &linear))
                return false;
            bool done = !pass   ? soft_probe(cpu, linear, element, true, cpu->cpl == 3)
                        : write ? soft_write(cpu, linear, data + at, element)
                                : soft_read(cpu, linear, data + at, element);
            if (!done) return false;
        }
    }
    return true;
}

enum soft_step soft_vmaskmov(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t mask[32], data[32] = {0};
    bool write = insn->operands[0].kind == SOFT_MEM;
    const struct soft_operand *vector = insn->operands + (write ? 2 : 0);
    unsigned n = vector->kind == SOFT_YMM ? 32 : 16;
    if (!fp_check_avx(cpu)) return SOFT_FAULT;
    fp_read_vector(cpu, insn->operands[1].reg, n, mask);
    if (write) fp_read_vector(cpu, vector->reg, n, data);
    if (!move_masked(cpu, insn, mask, n, data, write)) return SOFT_FAULT;
    if (write) return SOFT_NEXT;
    fp_write_vector(cpu, vector->reg, n, data);
    if (n == 16) fp_clear_upper(cpu, vector->reg);
    return SOFT_NEXT;
}

/* ---- maskmovdqu, maskmovq: bytes at [rdi] ---- */

static bool bytes_masked(struct soft_cpu *cpu, const struct soft_insn *insn, const uint8_t *mask,
                         const uint8_t *data, unsigned n) {
    uint64_t offset = cpu->gpr[VM_RDI];
    if (insn->address_bytes < 8) offset &= insn->address_bytes == 4 ? UINT32_MAX : UINT16_MAX;
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < n; i++) {
            uint64_t linear;
            if (!(mask[i] & 0x80)) continue;
            if (!soft_linear_at(cpu, insn->segment, offset + i, 1, true, &linear)) return false;
            if (!(pass ? soft_write(cpu, linear, data + i, 1)
                       : soft_probe(cpu, linear, 1, true, cpu->cpl == 3)))
                return false;
        }
    }
    return true;
}

enum soft_step soft_maskmovdqu(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t mask[16], data[16];
    bool is_vex = insn->mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU;
    const struct soft_operand *operands = insn->operands + (insn->operands[0].kind == SOFT_MEM);
    if (!(is_vex ? fp_check_avx(cpu) : fp_check_sse(cpu))) return SOFT_FAULT;
    fp_read_vector(cpu, operands[0].reg, 16, data);
    fp_read_vector(cpu, operands[1].reg, 16, mask);
    return bytes_masked(cpu, insn, mask, data, 16) ? SOFT_NEXT : SOFT_FAULT;
}

enum soft_step soft_maskmovq(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const struct soft_operand *operands = insn->operands + (insn->operands[0].kind == SOFT_MEM);
    if (!fp_check_mmx(cpu)) return SOFT_FAULT;
    fp_enter_mmx(cpu); /* also in front of a fault */
    const uint8_t *data = fp_mmx(cpu, operands[0].reg), *mask = fp_mmx(cpu, operands[1].reg);
    return bytes_masked(cpu, insn, mask, data, 8) ? SOFT_NEXT : SOFT_FAULT;
}

/* ---- gathers ---- */

struct gather {
    unsigned element, index, n;  /* bytes, bytes, how many */
    unsigned data_bytes, widest; /* of what is gathered; of the registers */
};

/* The element's size and the index's stand in the name: VPGATHER + index + element. */
static struct gather gather_of(const struct soft_insn *insn) {
    bool wide_index = false, wide_element = false;
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VGATHERDPD: wide_element = true; break;
    case ZYDIS_MNEMONIC_VPGATHERQD:
    case ZYDIS_MNEMONIC_VGATHERQPS: wide_index = true; break;
    case ZYDIS_MNEMONIC_VPGATHERQQ:
    case ZYDIS_MNEMONIC_VGATHERQPD: wide_index = wide_element = true; break;
    default: break;
    }
    bool is_256 = false;
    for (unsigned i = 0; i + 2 < insn->length; i++) /* behind prefixes */
        if (insn->bytes[i] == 0xC4) {
            is_256 = insn->bytes[i + 2] & 4;
            break;
        }
    struct gather g = {.element = wide_element ? 8 : 4, .index = wide_index ? 8 : 4};
    unsigned widest = g.element > g.index ? g.element : g.index;
    g.n = (is_256 ? 32 : 16) / widest;
    g.data_bytes = g.n * g.element;
    g.widest = is_256 ? 32 : 16;
    return g;
}

static uint64_t gather_offset(const struct soft_cpu *cpu, const struct soft_insn *insn, const uint8_t *index,
                              unsigned n_bytes) {
    int64_t value = 0;
    if (n_bytes == 4) {
        int32_t narrow;
        memcpy(&narrow, index, sizeof narrow);
        value = narrow;
    } else {
        memcpy(&value, index, sizeof value);
    }
    uint64_t offset = (uint64_t)insn->displacement + (uint64_t)value * insn->scale;
    if (insn->base != SOFT_NO_REG) offset += cpu->gpr[insn->base];
    return insn->address_bytes == 8 ? offset : insn->address_bytes == 4 ? (uint32_t)offset : (uint16_t)offset;
}

/* All elements of the mask become all ones or zeros, also those that no element is gathered for. */
static void widen_mask(uint8_t mask[32], unsigned n_bytes, unsigned element) {
    for (unsigned at = 0; at < n_bytes; at += element)
        memset(mask + at, is_on(mask, at, element) ? 0xFF : 0, element);
    memset(mask + n_bytes, 0, 32 - n_bytes);
}

/* Elements in order; those that are done, and their masks, stay done when one faults. */
enum soft_step soft_gather(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint8_t data[32], mask[32], index[32];
    unsigned to = insn->operands[0].reg, by = insn->operands[2].reg;
    struct gather g = gather_of(insn);
    if (!fp_check_avx(cpu)) return SOFT_FAULT;
    if (to == by || to == insn->index || by == insn->index) return soft_raise_ud(cpu);
    fp_read_vector(cpu, to, 32, data);
    fp_read_vector(cpu, by, 32, mask);
    fp_read_vector(cpu, insn->index, 32, index);
    widen_mask(mask, g.widest, g.element);
    bool any = false;
    enum soft_step step = SOFT_NEXT;
    for (unsigned i = 0; i < g.n && step == SOFT_NEXT; i++) {
        uint64_t linear, offset = gather_offset(cpu, insn, index + i * g.index, g.index);
        if (!mask[i * g.element]) continue;
        if (soft_linear_at(cpu, insn->segment, offset, g.element, false, &linear) &&
            soft_read(cpu, linear, data + i * g.element, g.element))
            memset(mask + i * g.element, 0, g.element), any = true;
        else
            step = SOFT_FAULT;
    }
    if (any && g.widest < 32) memset(data + g.widest, 0, sizeof data - g.widest);
    if (step == SOFT_NEXT) {
        memset(data + g.data_bytes, 0, sizeof data - g.data_bytes);
        memset(mask, 0, sizeof mask);
    }
    fp_write_vector(cpu, to, 32, data);
    fp_write_vector(cpu, by, 32, mask);
    return step;
}

/* ---- upper halves, order, hints ---- */

static enum soft_step zero_registers(struct soft_cpu *cpu, bool low_too) {
    unsigned n = cpu->mode == SOFT_LONG64 ? 256 : 128;
    if (!fp_check_avx(cpu)) return SOFT_FAULT;
    memset(cpu->fp + SOFT_FP_YMM_HIGH, 0, n);
    if (low_too) memset(cpu->fp + FP_XMM, 0, n);
    return SOFT_NEXT;
}

enum soft_step soft_vzeroupper(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return zero_registers(cpu, false);
}

enum soft_step soft_vzeroall(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return zero_registers(cpu, true);
}

enum soft_step soft_fence(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)cpu;
    (void)insn;
    atomic_thread_fence(memory_order_seq_cst);
    return SOFT_NEXT;
}

enum soft_step soft_hint(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)cpu;
    (void)insn;
    return SOFT_NEXT;
}

/* Caches are coherent with all that a guest can see: only the address counts, as for a load. */
enum soft_step soft_clflush(struct soft_cpu *cpu, const struct soft_insn *insn) {
    uint64_t linear;
    uint8_t byte;
    return soft_linear(cpu, insn, &linear, 1, false) && soft_read(cpu, linear, &byte, 1) ? SOFT_NEXT
                                                                                         : SOFT_FAULT;
}
