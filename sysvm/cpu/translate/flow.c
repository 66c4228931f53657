/* sysvm/cpu/translate/flow.c: where the arithmetic flags matter. Most instructions set them for nobody. */
#include <Zydis/Mnemonic.h>
#include "sysvm/cpu/translate/internal.h"

enum { ALL = SOFT_ARITHMETIC };

/* What is asked of the flags before a piece, when that is asked behind it. */
static void step(struct piece *piece, uint16_t live, uint16_t shown) {
    if (piece->form == FORM_HANDLER || piece->form == FORM_JCC) {
        piece->live = ALL;
        piece->shown = ALL;
        return;
    }
    piece->live = (uint16_t)((live & ~piece->flags_written) | piece->flags_read);
    piece->shown = (uint16_t)((shown & ~piece->flags_written) | (piece->observes ? ALL : 0));
}

uint16_t dbt_flow(struct piece *pieces, unsigned n_pieces) {
    uint16_t live = ALL, shown = ALL;
    for (unsigned i = n_pieces; i-- > 0;) {
        step(pieces + i, live, shown);
        live = pieces[i].live;
        shown = pieces[i].shown;
    }
    return live | shown;
}

/* ---- flags that are made only when an exception shows them ---- */

/* Operations whose flags follow from registers that they leave: compared ones, results of logic. */
static bool can_run_again(const struct piece *piece) {
    if (piece->form != FORM_SAME || piece->memory_bytes || piece->flags_written != ALL) return false;
    if (piece->reg.is_high || piece->rm.is_high || piece->op & X86_VEX) return false;
    switch (piece->insn->mnemonic) {
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR: return true;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB: return piece->imm_bytes || piece->reg.reg != piece->rm.reg;
    default: return false;
    }
}

/* The registers that dbt_again uses. */
static uint32_t registers_of(const struct piece *piece) {
    switch (piece->insn->mnemonic) {
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR: return piece->gpr_written;
    default: return piece->gpr_read | piece->gpr_written;
    }
}

bool dbt_can_remake(const struct translation *t, const struct piece *producer, const struct piece *from) {
    if (!producer || !can_run_again(producer)) return false;
    const uint32_t registers = registers_of(producer);
    const struct piece *end = t->pieces + t->n_pieces;
    for (const struct piece *piece = producer + 1; piece < from; piece++)
        if (piece->gpr_written & registers) return false;
    for (const struct piece *piece = from; piece + 1 < end && piece[1].shown; piece++) {
        if (piece->gpr_written & registers) return false;
        if (piece->flags_written == ALL) return true;
    }
    return true;
}

/* Whether a block goes on to code of its page, which may have no use for its flags. */
static bool ends_in_page(const struct translation *t) {
    const struct piece *last = t->pieces + t->n_pieces - 1;
    switch ((enum form)last->form) {
    case FORM_JMP:
    case FORM_CALL: return last->insn->operands[0].kind == SOFT_IMM && dbt_is_same_page(dbt_target_of(last));
    case FORM_RET: return false;
    default: return dbt_is_same_page(last->insn->offset + last->insn->length);
    }
}

bool dbt_can_remake_for_all(const struct translation *t, const struct piece *producer,
                            const struct piece *from) {
    if (!producer || !can_run_again(producer)) return false;
    if (dbt_needs_scratch(&producer->reg) || dbt_needs_scratch(&producer->rm)) return false;
    const uint32_t registers = registers_of(producer);
    const struct piece *end = t->pieces + t->n_pieces;
    for (const struct piece *piece = producer + 1; piece < from; piece++)
        if (piece->gpr_written & registers) return false;
    for (const struct piece *piece = from; piece < end; piece++) {
        if (piece->form == FORM_HANDLER || piece->flags_written == ALL) return true;
        if (piece->gpr_written & registers) return false;
    }
    return ends_in_page(t);
}

bool dbt_needs_flags(const struct translation *t, const struct piece *piece) {
    const struct piece *next = piece + 1;
    const bool is_last = next == t->pieces + t->n_pieces;
    if (piece->flags_read) return true;
    if (!piece->flags_written || piece->flags_written == ALL) return false;
    return ALL & ~piece->flags_written & (is_last ? ALL : next->live | next->shown);
}
