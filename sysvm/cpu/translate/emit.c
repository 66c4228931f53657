/* sysvm/cpu/translate/emit.c: a block becomes code: piece by piece, then the ways out, then what is rarely run. */
#include "sysvm/cpu/translate/internal.h"

int dbt_host(int guest) {
    static const int8_t hosts[16] = {R8,  RCX,       RDX,       RBX,       R9,  RBP, RSI, RDI,
                                     R10, HOST_NONE, HOST_NONE, HOST_NONE, R12, R13, R14, R15};
    return hosts[guest];
}

/* ---- labels, registers ---- */

uint32_t dbt_label(struct translation *t) { return t->n_labels++; }
void dbt_here(struct translation *t, uint32_t label) { t->labels[label] = (uint32_t)t->a.size; }

void dbt_get(struct translation *t, int host, int guest) {
    int from = dbt_host(guest);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, host, from == HOST_NONE ? gpr_at(guest) : x86_reg(from));
}

void dbt_set(struct translation *t, int guest, int host) {
    int to = dbt_host(guest);
    x86_op(&t->a, X86_MOV_STORE | X86_W, host, to == HOST_NONE ? gpr_at(guest) : x86_reg(to));
}

void dbt_stack_to_host(struct translation *t) {
    if (t->stack_lag)
        x86_op(&t->a, X86_LEA | t->w, dbt_host(VM_RSP), x86_mem(dbt_host(VM_RSP), t->stack_lag));
    t->stack_lag = 0;
}

/* ---- flags ---- */

void dbt_save_flags(struct translation *t) {
    t->group_in_a = 0;
    x86_bytes(&t->a, 0x9F, 1); /* lahf */
    x86_op(&t->a, X86_SETCC | CC_O, 0, x86_reg(RAX));
    x86_op(&t->a, X86_MOV_STORE16, RAX, cpu_at(CPU_AT(flags)));
}

void dbt_load_flags(struct translation *t) {
    t->group_in_a = 0;
    x86_op(&t->a, X86_MOVZX16, RAX, cpu_at(CPU_AT(flags)));
    x86_bytes(&t->a, 0x7F04, 2); /* add al, 7F: overflows if al is 1 */
    x86_bytes(&t->a, 0x9E, 1);   /* sahf */
}

void dbt_flags_to_host(struct translation *t) {
    if (t->flags == FLAGS_HOST) return;
    if (t->flags == FLAGS_SAVED) dbt_load_flags(t);
    if (t->flags == FLAGS_REMADE) dbt_again(t, t->producer);
    if (t->flags == FLAGS_SAVED) t->producer = NULL;
    t->flags = FLAGS_HOST;
}

void dbt_flags_to_memory(struct translation *t) {
    if (t->flags == FLAGS_REMADE) dbt_again(t, t->producer);
    if (t->flags == FLAGS_REMADE || t->flags == FLAGS_HOST) dbt_save_flags(t);
    t->flags = FLAGS_SAVED;
}

void dbt_spoil_flags(struct translation *t, const struct piece *piece) {
    if (t->flags != FLAGS_HOST) return;
    if ((!piece->live && dbt_can_remake(t, t->producer, piece)) ||
        dbt_can_remake_for_all(t, t->producer, piece)) {
        t->flags = FLAGS_REMADE;
    } else if (piece->live || piece->shown) {
        dbt_save_flags(t);
        t->flags = FLAGS_SAVED;
    } else {
        t->flags = FLAGS_NONE;
    }
}

void dbt_flags_made(struct translation *t, const struct piece *piece) {
    if (!piece->flags_written) return;
    t->flags = FLAGS_HOST;
    t->producer = piece->flags_written == SOFT_ARITHMETIC ? piece : NULL;
}

/* ---- handlers ---- */

static void call_handler(struct translation *t, const struct piece *piece) {
    x86_const(&t->a, HOST_B, (uint64_t)(uintptr_t)piece->insn);
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 2, cpu_at(CPU_AT(translated.step)));
}

void dbt_handler(struct translation *t, const struct piece *piece) {
    dbt_flags_to_memory(t);
    call_handler(t, piece);
    t->producer = NULL;
}

struct cold *dbt_cold(struct translation *t, const struct piece *piece) {
    struct cold *cold = t->colds + t->n_colds++;
    *cold = (struct cold){.piece = piece,
                          .label = dbt_label(t),
                          .back = dbt_label(t),
                          .before = t->flags,
                          .producer = t->producer};
    return cold;
}

void dbt_cold_done(struct translation *t, struct cold *cold) {
    if (!cold) return;
    cold->after = t->flags;
    dbt_here(t, cold->back);
}

static void dbt_colds(struct translation *t) {
    for (unsigned i = 0; i < t->n_colds; i++) {
        const struct cold *cold = t->colds + i;
        dbt_here(t, cold->label);
        t->flags = cold->before;
        t->producer = cold->producer;
        if (t->flags == FLAGS_REMADE) dbt_flags_to_memory(t);
        if (cold->rest) {
            x86_const(&t->a, HOST_B, (uint64_t)(uintptr_t)cold->piece->insn);
            x86_const(&t->a, HOST_A, (uint64_t)(uintptr_t)t->block);
            x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.rest)));
            continue;
        }
        call_handler(t, cold->piece);
        if (cold->after == FLAGS_HOST) dbt_load_flags(t);
        x86_jump(&t->a, cold->back);
    }
}

/* ---- a block ---- */

static void form(struct translation *t, const struct piece *piece) {
    switch ((enum form)piece->form) {
    case FORM_HANDLER: dbt_handler(t, piece); return;
    case FORM_BIT:
    case FORM_SAME: dbt_same(t, piece); return;
    case FORM_BSWAP: dbt_bswap(t, piece); return;
    case FORM_CALL: dbt_call(t, piece); return;
    case FORM_CLI: dbt_cli(t, piece); return;
    case FORM_CMPXCHG: dbt_cmpxchg(t, piece); return;
    case FORM_DIV:
    case FORM_IDIV: dbt_div(t, piece); return;
    case FORM_EXTEND: dbt_extend(t, piece); return;
    case FORM_FENCE:
        for (unsigned i = 0; i < piece->insn->length; i++) x86_bytes(&t->a, piece->insn->bytes[i], 1);
        return;
    case FORM_FLAG: dbt_flag(t, piece); return;
    case FORM_JCC: dbt_jcc(t, piece); return;
    case FORM_JMP: dbt_jmp(t, piece); return;
    case FORM_LEA: dbt_lea(t, piece); return;
    case FORM_LEAVE: dbt_leave(t, piece); return;
    case FORM_MOV: dbt_mov(t, piece); return;
    case FORM_MUL: dbt_mul(t, piece); return;
    case FORM_NOTHING: return;
    case FORM_POP: dbt_pop(t, piece); return;
    case FORM_PUSH: dbt_push(t, piece); return;
    case FORM_RET: dbt_ret(t, piece); return;
    case FORM_STI: dbt_sti(t, piece); return;
    case FORM_SWAPGS: dbt_swapgs(t, piece); return;
    case FORM_VECTOR: dbt_vector(t, piece); return;
    case FORM_X87: dbt_x87(t, piece); return;
    case FORM_ZEROUPPER: x86_bytes(&t->a, 0x77F8C5, 3); return;
    }
}

static bool is_led(const struct piece *piece) { return piece->group && !piece->leads; }

static bool is_stack(const struct field *field) { return field->reg == VM_RSP && !field->is_vector; }

/* Whether it does not matter to a piece that the guest's rsp is elsewhere, or it sees to that: it never leaves before
 * its end, and has no use for it but in the address of an access that another piece has looked up. */
static bool stands_lag(const struct piece *piece) {
    const struct soft_operand *o = piece->insn->operands;
    if (piece->stack || piece->memory_bytes) {
        if (!is_led(piece) || (piece->stack && piece->memory_bytes)) return false;
    } else if ((piece->gpr_read | piece->gpr_written) & 1u << VM_RSP) {
        return false;
    }
    switch ((enum form)piece->form) {
    case FORM_BSWAP:
    case FORM_EXTEND:
    case FORM_LEA:
    case FORM_NOTHING: return true;
    case FORM_JMP: return o->kind == SOFT_IMM;
    case FORM_MOV:
    case FORM_SAME: return !is_stack(&piece->reg) && !is_stack(&piece->rm) && !is_stack(&piece->vvvv);
    case FORM_PUSH:
    case FORM_POP: return o->kind != SOFT_GPR || o->reg != VM_RSP;
    case FORM_CALL: return o->kind == SOFT_IMM;
    case FORM_RET: return true;
    default: return false;
    }
}

/* Whether rax has behind a piece what its access, if it has one, left there; else what it had before. What goes through
 * flags says so itself. */
static bool keeps_a(const struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    switch ((enum form)piece->form) {
    case FORM_NOTHING:
    case FORM_CALL:
    case FORM_JMP:
    case FORM_RET:
    case FORM_JCC: return true; /* where the block goes on */
    case FORM_PUSH: return !piece->memory_bytes;
    case FORM_POP: return dbt_host(insn->operands[0].reg) != HOST_NONE;
    case FORM_LEA:
        return dbt_host(piece->reg.reg) != HOST_NONE && insn->base < 16 && dbt_host(insn->base) != HOST_NONE;
    case FORM_MOV:
    case FORM_SAME:
        if (piece->vvvv.reg >= 0) return false;
        if (piece->memory_bytes) return is_led(piece) || piece->leads;
        return !dbt_needs_scratch(&piece->reg) && !dbt_needs_scratch(&piece->rm);
    default: return false;
    }
}

void dbt_piece(struct translation *t, const struct piece *piece) {
    if (!stands_lag(piece)) dbt_stack_to_host(t);
    form(t, piece);
    if (!keeps_a(piece)) t->group_in_a = 0;
}

/* A way out to where the block starts. */
static void leave_before(struct translation *t, uint32_t label, uint32_t why) {
    dbt_here(t, label);
    x86_const(&t->a, HOST_B, why | t->block->insns[0].offset);
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.exit)));
}

/* Two ways in: with a look at requests, for jumps that may close a loop, and behind it. In front of both the way out to
 * where the block starts. */
static void dbt_all(struct translation *t) {
    const uint32_t leave = dbt_label(t), vectors = dbt_label(t);
    t->to_leave = leave;
    t->to_polled = dbt_label(t);
    t->to_start = dbt_label(t);
    if (t->block->vectors || t->block->x87 || t->block->segments) leave_before(t, vectors, LEFT_VECTORS);
    t->leave = (uint32_t)t->a.size;
    leave_before(t, leave, LEFT_BEFORE);
    t->polled = (uint32_t)t->a.size;
    dbt_here(t, t->to_polled);
    x86_alu_imm(&t->a, 7, 0, cpu_at(CPU_AT(requests)), 0);
    x86_branch(&t->a, CC_NE, leave);
    t->start = (uint32_t)t->a.size;
    dbt_here(t, t->to_start);
    if (t->block->vectors) {
        x86_op_imm(&t->a, X86_CODE(0, 0, 0x80), 7, cpu_at(CPU_AT(vectors)), t->block->vectors, 1);
        x86_branch(&t->a, CC_B, vectors);
    }
    if (t->block->x87) {
        x86_op_imm(&t->a, X86_CODE(0, 0, 0x80), 7, cpu_at(CPU_AT(x87)), 0, 1);
        x86_branch(&t->a, CC_E, vectors);
    }
    for (unsigned bit = SOFT_FLAT_FS; bit <= SOFT_FLAT_GS; bit *= 2) {
        if (!(t->block->segments & bit)) continue;
        x86_op_imm(&t->a, X86_CODE(0, 0, 0xF6), 0, cpu_at(CPU_AT(flat)), (int32_t)bit, 1);
        x86_branch(&t->a, CC_E, vectors);
    }
    t->flags = FLAGS_SAVED;
    for (unsigned i = 0; i < t->n_pieces; i++) dbt_piece(t, t->pieces + i);
    if (!t->ended) dbt_fall(t);
    if (t->n_streams) dbt_loop(t);
    dbt_exits(t);
    dbt_colds(t);
}

void dbt_block(struct soft_translator *translator, struct soft_block *block) {
    struct translation *t = &translator->work;
    *t = (struct translation){.translator = translator, .block = block, .n_pieces = block->n_insns};
    t->width = block->mode == SOFT_LONG64 ? 8 : 4;
    t->w = block->mode == SOFT_LONG64 ? X86_W : 0;
    x86_init(&t->a, translator->alloc);
    block->vectors = block->x87 = block->segments = 0;
    for (unsigned i = 0; i < t->n_pieces; i++) {
        dbt_read(translator, block->mode, block->insns + i, t->pieces + i);
        if (t->pieces[i].form == FORM_STI && i + 1 == t->n_pieces) t->pieces[i].form = FORM_HANDLER;
        if (t->pieces[i].vectors > block->vectors) block->vectors = t->pieces[i].vectors;
        block->x87 |= t->pieces[i].x87;
        block->segments |= t->pieces[i].segments;
    }
    dbt_find_tables(t);
    if (!block->goes_alone) dbt_group(t);
    block->overwrites_flags = !dbt_flow(t->pieces, t->n_pieces);
    dbt_find_streams(t);
    dbt_all(t);
    if (x86_finish(&t->a, t->labels)) dbt_place(t, block);
    x86_fini(&t->a);
    if (!block->code) block->heat = 0; /* there was no room: all translations went, or memory is short */
}
