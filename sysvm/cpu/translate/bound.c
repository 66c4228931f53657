/* sysvm/cpu/translate/bound.c: what registers are at most, within a block: an index that was a byte, or was masked, keeps
 * its accesses in a table of known size. */
#include <Zydis/Mnemonic.h>
#include "sysvm/cpu/translate/internal.h"

#define ANYTHING UINT64_MAX

struct bounds {
    uint64_t most[16];
};

static uint64_t lower(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Of an operand that is read. */
static uint64_t most_of(const struct bounds *b, const struct soft_insn *insn, const struct soft_operand *o) {
    const uint64_t width = o->n_bytes < 8 ? (UINT64_C(1) << o->n_bytes * 8) - 1 : UINT64_MAX;
    if (o->kind == SOFT_IMM) return insn->immediate & (insn->operand_bytes == 8 ? UINT64_MAX : UINT32_MAX);
    return o->kind == SOFT_GPR ? lower(b->most[o->reg], width) : width;
}

/* What the first operand, a register of 4 or 8 bytes, has behind the instruction. Only what always writes all of the
 * register is known here. */
static uint64_t result(const struct bounds *b, const struct soft_insn *insn) {
    const struct soft_operand *o = insn->operands;
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVZX: return most_of(b, insn, o + 1);
    case ZYDIS_MNEMONIC_AND: return lower(most_of(b, insn, o), most_of(b, insn, o + 1));
    case ZYDIS_MNEMONIC_SHR: {
        const unsigned n =
            o[1].kind == SOFT_IMM ? (unsigned)insn->immediate & (o->n_bytes == 8 ? 63 : 31) : 0;
        return n ? most_of(b, insn, o) >> n : ANYTHING;
    }
    default: return ANYTHING;
    }
}

static void step(struct bounds *b, const struct piece *piece) {
    const struct soft_operand *o = piece->insn->operands;
    const bool is_set =
        piece->form != FORM_HANDLER && o->kind == SOFT_GPR && piece->gpr_written >> o->reg & 1;
    const uint64_t most = is_set && o->n_bytes >= 4 ? result(b, piece->insn) : ANYTHING;
    for (unsigned reg = 0; reg < 16; reg++)
        if (piece->form == FORM_HANDLER || piece->gpr_written >> reg & 1) b->most[reg] = ANYTHING;
    if (is_set) b->most[o->reg] = most;
}

/* Whether `reg` times `scale` spans so little that all of the operand may lie in a page. */
static bool is_narrow(const struct bounds *b, const struct piece *piece, unsigned reg, unsigned scale) {
    return reg < 16 && b->most[reg] <= VM_PAGE && b->most[reg] * scale + piece->memory_bytes <= VM_PAGE &&
           dbt_host((int)reg) != HOST_NONE;
}

static void find_table(const struct bounds *b, struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    if (!piece->memory_bytes || piece->stack || piece->form == FORM_HANDLER || insn->address_bytes != 8)
        return;
    if (insn->segment == VM_FS || insn->segment == VM_GS || insn->base == insn->index) return;
    if (is_narrow(b, piece, insn->index, insn->scale)) {
        piece->table = (struct table){insn->base, insn->index, insn->scale, 0};
    } else if (insn->scale == 1 && insn->index < 16 && is_narrow(b, piece, insn->base, 1)) {
        piece->table = (struct table){insn->index, insn->base, 1, 0};
    } else {
        return;
    }
    piece->table.n_bytes = (uint16_t)(b->most[piece->table.index] * piece->table.scale + piece->memory_bytes);
}

void dbt_find_tables(struct translation *t) {
    struct bounds b;
    for (unsigned reg = 0; reg < 16; reg++) b.most[reg] = ANYTHING;
    for (unsigned i = 0; i < t->n_pieces; i++) {
        find_table(&b, t->pieces + i);
        step(&b, t->pieces + i);
    }
}
