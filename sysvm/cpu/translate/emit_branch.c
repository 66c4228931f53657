/* sysvm/cpu/translate/emit_branch.c: the stack, jumps, and the ways out of a block.
 *
 *   to an address of the same page      jmp target                         (patched in when it is known)
 *   to another page                     the epoch is still that of the stamp? page_base += distance; jmp target
 *   to an address in a register         a table by address, cpu->translated.targets
 * Until a target is known, and where one of these is not so, the way leads out, and run.c finds it. */
#include <Zydis/Mnemonic.h>
#include "sysvm/cpu/translate/internal.h"

enum { STACK = R9 }; /* where the guest's rsp is */

static int64_t behind(const struct piece *piece) { return piece->insn->offset + piece->insn->length; }

/* ---- the stack ---- */

static void address_below_stack(struct translation *t, const struct cold *cold) {
    x86_op(&t->a, X86_LEA | X86_W, HOST_A, x86_mem(STACK, -8));
    dbt_check(t, 8, true, cold);
}

static void move_stack(struct translation *t, int32_t distance) {
    x86_op(&t->a, X86_LEA | X86_W, STACK, x86_mem(STACK, distance));
}

void dbt_push(struct translation *t, const struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    const unsigned kind = insn->operands[0].kind;
    if (insn->operand_bytes != 8 || (kind != SOFT_GPR && kind != SOFT_IMM && kind != SOFT_MEM)) {
        dbt_handler(t, piece);
        return;
    }
    dbt_spoil_flags(t, piece);
    struct cold *cold = dbt_cold(t, piece);
    if (kind == SOFT_MEM) {
        dbt_linear(t, piece);
        dbt_check(t, 8, false, cold);
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, x86_mem(HOST_A, 0));
        x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_B, cpu_at(CPU_AT(spill)));
    }
    address_below_stack(t, cold);
    if (kind == SOFT_IMM) {
        x86_op_imm(&t->a, X86_CODE(0, 0, 0xC7) | X86_W, 0, x86_mem(HOST_A, 0), (int32_t)insn->immediate, 4);
    } else {
        int from = HOST_B;
        if (kind == SOFT_MEM)
            x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(spill)));
        else if (dbt_host(insn->operands[0].reg) == HOST_NONE)
            dbt_get(t, HOST_B, insn->operands[0].reg);
        else
            from = dbt_host(insn->operands[0].reg);
        x86_op(&t->a, X86_MOV_STORE | X86_W, from, x86_mem(HOST_A, 0));
    }
    move_stack(t, -8);
    dbt_cold_done(t, cold);
}

void dbt_pop(struct translation *t, const struct piece *piece) {
    const struct soft_operand *to = piece->insn->operands;
    if (piece->insn->operand_bytes != 8 || to->kind != SOFT_GPR || to->reg == VM_RSP) {
        dbt_handler(t, piece);
        return;
    }
    const int host = dbt_host(to->reg);
    dbt_spoil_flags(t, piece);
    struct cold *cold = dbt_cold(t, piece);
    dbt_get(t, HOST_A, VM_RSP);
    dbt_check(t, 8, false, cold);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, host == HOST_NONE ? HOST_A : host, x86_mem(HOST_A, 0));
    if (host == HOST_NONE) dbt_set(t, to->reg, HOST_A);
    move_stack(t, 8);
    dbt_cold_done(t, cold);
}

void dbt_leave(struct translation *t, const struct piece *piece) {
    if (piece->insn->operand_bytes != 8) {
        dbt_handler(t, piece);
        return;
    }
    dbt_spoil_flags(t, piece);
    struct cold *cold = dbt_cold(t, piece);
    dbt_get(t, HOST_A, VM_RBP);
    dbt_check(t, 8, false, cold);
    x86_op(&t->a, X86_LEA | X86_W, STACK, x86_mem(RBP, 8));
    x86_op(&t->a, X86_MOV_LOAD | X86_W, RBP, x86_mem(HOST_A, 0));
    dbt_cold_done(t, cold);
}

/* ---- ways out ---- */

/* The exit to an address relative to page_base; its code comes with dbt_exits. */
static struct exit *new_exit(struct translation *t, int64_t target) {
    struct exit *exit = t->exits + t->n_exits++;
    *exit = (struct exit){.target = target, .label = dbt_label(t)};
    return exit;
}

static bool is_same_page(int64_t target) { return target >= 0 && target < (int64_t)VM_PAGE; }

/* Here goes a jump to a target of this page that is patched; it leads to `label` before. */
static uint32_t patchable_jump(struct translation *t, uint32_t label) {
    x86_jump(&t->a, label);
    return (uint32_t)t->a.size - 4;
}

/* With the flags as they are now. */
static void dbt_exit(struct translation *t, int64_t target) {
    struct exit *exit = new_exit(t, target);
    if (t->flags == FLAGS_HOST && is_same_page(target)) {
        exit->at_with_flags = patchable_jump(t, exit->label);
        exit->saves_flags = true;
        return;
    }
    dbt_flags_to_memory(t);
    if (is_same_page(target))
        exit->at = patchable_jump(t, exit->label);
    else
        x86_jump(&t->a, exit->label);
}

void dbt_fall(struct translation *t) {
    dbt_exit(t, behind(t->pieces + t->n_pieces - 1));
    t->ended = true;
}

static int64_t target_of(const struct piece *piece) {
    return behind(piece) + (int64_t)piece->insn->immediate;
}

void dbt_jcc(struct translation *t, const struct piece *piece) {
    const unsigned condition = piece->op & 15;
    const int64_t target = target_of(piece);
    const bool was_saved = t->flags == FLAGS_SAVED;
    if (piece->insn->operand_bytes == 2) {
        dbt_handler(t, piece);
        return;
    }
    dbt_flags_to_host(t);
    struct exit *exit = new_exit(t, target);
    x86_branch(&t->a, condition, exit->label);
    if (is_same_page(target)) exit->at_with_flags = (uint32_t)t->a.size - 4;
    /* What was in memory is there still: nothing has to be saved on the way. */
    exit->saves_flags = !was_saved;
    if (was_saved) t->flags = FLAGS_SAVED;
    if (was_saved && is_same_page(target)) {
        exit->at = exit->at_with_flags;
        exit->at_with_flags = 0;
    }
}

/* The exit's own code: what its jumps lead to before they are patched, and those to other pages always. */
static void exit_code(struct translation *t, struct exit *exit, uint32_t link, uint32_t stamp) {
    const uint32_t leave = dbt_label(t);
    dbt_here(t, exit->label);
    if (exit->saves_flags) dbt_save_flags(t);
    const int64_t distance = (int64_t)((uint64_t)exit->target & ~(VM_PAGE - 1));
    if (is_same_page(exit->target)) {
        if (exit->saves_flags) exit->at = patchable_jump(t, leave);
    } else if (distance == (int32_t)distance) {
        x86_op(&t->a, X86_MOV_LOAD, HOST_A,
               cpu_at(CPU_AT(translated.epochs) + t->block->view * (int32_t)sizeof(uint32_t)));
        x86_op(&t->a, X86_CMP, HOST_A,
               cpu_at(CPU_AT(translated.stamps) + (int32_t)(stamp * sizeof(uint32_t))));
        x86_branch(&t->a, CC_NE, leave);
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
        x86_op(&t->a, X86_LEA | X86_W, HOST_A, x86_mem(HOST_A, (int32_t)distance));
        x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
        exit->at = patchable_jump(t, leave);
    }
    dbt_here(t, leave);
    x86_const(&t->a, HOST_B, LEFT_LINK | link);
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.exit)));
}

void dbt_exits(struct translation *t) {
    struct soft_translator *translator = t->translator;
    for (unsigned i = 0; i < t->n_exits; i++) {
        uint32_t stamp = 0;
        if (!is_same_page(t->exits[i].target)) stamp = translator->n_stamps + t->n_new_stamps++;
        t->exits[i].stamp = stamp;
        exit_code(t, t->exits + i, (uint32_t)translator->n_links + i, stamp);
    }
}

/* ---- to an address in rax ---- */

/* Elsewhere, if the address in rax is not canonical; r11 and flags go. */
static void canonical_or(struct translation *t, uint32_t elsewhere) {
    enum { UNUSED = 64 - SOFT_LINEAR_BITS };
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, x86_reg(HOST_A));
    x86_shift_imm(&t->a, 4, X86_W, HOST_B, UNUSED);
    x86_shift_imm(&t->a, 7, X86_W, HOST_B, UNUSED);
    x86_op(&t->a, X86_CMP | X86_W, HOST_B, x86_reg(HOST_A));
    x86_branch(&t->a, CC_NE, elsewhere);
}

/* What is not canonical is never found; the stack moves by `pops` when it is certain that nothing faults. */
static void indirect(struct translation *t, int32_t pops, const struct cold *cold) {
    _Static_assert(sizeof(struct soft_target) == 16, "an index becomes a distance by a shift");
    const uint32_t miss = dbt_label(t);
    const int32_t at =
        CPU_AT(translated.targets) + (int32_t)(t->block->view * sizeof(struct soft_target) * SOFT_TARGETS);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, x86_reg(HOST_A));
    x86_shift_imm(&t->a, 5, X86_W, HOST_B, 11);
    x86_op(&t->a, X86_XOR, HOST_B, x86_reg(HOST_A));
    x86_alu_imm(&t->a, 4, 0, x86_reg(HOST_B), SOFT_TARGETS - 1);
    x86_shift_imm(&t->a, 4, 0, HOST_B, 4);
    x86_op(&t->a, X86_CMP | X86_W, HOST_A,
           x86_mem_index(RSP, HOST_B, 0, at + (int32_t)offsetof(struct soft_target, linear)));
    x86_branch(&t->a, CC_NE, miss);
    x86_alu_imm(&t->a, 4, X86_W, x86_reg(HOST_A), -(int32_t)VM_PAGE);
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
    if (pops) move_stack(t, pops);
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4,
           x86_mem_index(RSP, HOST_B, 0, at + (int32_t)offsetof(struct soft_target, code)));
    dbt_here(t, miss);
    if (cold) canonical_or(t, cold->label);
    if (pops) move_stack(t, pops);
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.indirect)));
    t->ended = true;
}

/* The target of an indirect jump or call, into rax. */
static void load_target(struct translation *t, const struct piece *piece, const struct cold *cold) {
    if (!piece->memory_bytes) {
        dbt_get(t, HOST_A, piece->rm.reg);
        return;
    }
    dbt_linear(t, piece);
    dbt_check(t, 8, false, cold);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, x86_mem(HOST_A, 0));
}

static bool is_direct(const struct piece *piece) { return piece->insn->operands[0].kind == SOFT_IMM; }

void dbt_jmp(struct translation *t, const struct piece *piece) {
    if (is_direct(piece) && piece->insn->operand_bytes != 2) {
        dbt_exit(t, target_of(piece));
        t->ended = true;
        return;
    }
    if (piece->insn->operand_bytes != 8) {
        dbt_handler(t, piece);
        return;
    }
    dbt_flags_to_memory(t);
    struct cold *cold = dbt_cold(t, piece);
    load_target(t, piece, cold);
    indirect(t, 0, cold);
    dbt_cold_done(t, cold); /* the handler of a jump never comes back here */
}

void dbt_call(struct translation *t, const struct piece *piece) {
    const bool direct = is_direct(piece);
    if (piece->insn->operand_bytes == 2 || (!direct && piece->insn->operand_bytes != 8)) {
        dbt_handler(t, piece);
        return;
    }
    dbt_flags_to_memory(t);
    struct cold *cold = dbt_cold(t, piece);
    if (!direct) {
        load_target(t, piece, cold);
        canonical_or(t, cold->label); /* before anything is pushed */
        x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(spill)));
    }
    address_below_stack(t, cold);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(page_base)));
    x86_op(&t->a, X86_LEA | X86_W, HOST_B, x86_mem(HOST_B, (int32_t)behind(piece)));
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_B, x86_mem(HOST_A, 0));
    move_stack(t, -8);
    if (direct) {
        dbt_exit(t, target_of(piece));
        t->ended = true;
    } else {
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, cpu_at(CPU_AT(spill)));
        indirect(t, 0, NULL);
    }
    dbt_cold_done(t, cold);
}

void dbt_ret(struct translation *t, const struct piece *piece) {
    if (piece->insn->operand_bytes != 8) {
        dbt_handler(t, piece);
        return;
    }
    dbt_flags_to_memory(t);
    struct cold *cold = dbt_cold(t, piece);
    dbt_get(t, HOST_A, VM_RSP);
    dbt_check(t, 8, false, cold);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, x86_mem(HOST_A, 0));
    indirect(t, 8 + (piece->insn->n_operands ? (int32_t)(piece->insn->immediate & 0xFFFF) : 0), cold);
    dbt_cold_done(t, cold);
}
