/* sysvm/cpu/translate/emit_branch.c: the stack, jumps, and the ways out of a block.
 *
 *   to an address of the same page      jmp target                         (patched in when it is known)
 *   to another page                     page and epoch are still those of the stamp? page_base += distance; jmp target
 *                                       else, of users, whose other address spaces may run it: by the table, too
 *   to an address in a register         a table by address, cpu->translated.targets
 * Until a target is known, and where one of these is not so, the way leads out, and run.c finds it. */
#include <Zydis/Mnemonic.h>
#include "sysvm/cpu/translate/internal.h"

enum { STACK = R9 }; /* where the guest's rsp is */

static int64_t behind(const struct piece *piece) { return piece->insn->offset + piece->insn->length; }

/* ---- the stack ---- */

static void move_stack(struct translation *t, int32_t distance) {
    x86_op(&t->a, X86_LEA | t->w, STACK, x86_mem(STACK, distance));
}

/* The stack's place for one value more, where an operand in memory was looked up before. */
static struct x86_rm second_reach(struct translation *t, const struct cold *cold) {
    x86_op(&t->a, X86_LEA | t->w, HOST_A, x86_mem(STACK, -t->width));
    dbt_check(t, t->width, true, cold);
    return x86_mem(HOST_A, 0);
}

static void push_memory(struct translation *t, const struct piece *piece) {
    dbt_spoil_flags(t, piece);
    struct cold *cold = dbt_cold(t, piece);
    dbt_linear(t, piece);
    dbt_check(t, t->width, false, cold);
    x86_op(&t->a, X86_MOV_LOAD | t->w, HOST_B, x86_mem(HOST_A, 0));
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_B, cpu_at(CPU_AT(spill)));
    struct x86_rm to = second_reach(t, cold);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(spill)));
    x86_op(&t->a, X86_MOV_STORE | t->w, HOST_B, to);
    move_stack(t, -t->width);
    dbt_cold_done(t, cold);
}

void dbt_push(struct translation *t, const struct piece *piece) {
    const struct soft_operand *o = piece->insn->operands;
    struct cold *cold;
    if (o->kind == SOFT_MEM) {
        push_memory(t, piece);
        return;
    }
    struct x86_rm to = dbt_reach(t, piece, &cold);
    if (o->kind == SOFT_IMM) {
        x86_op_imm(&t->a, X86_CODE(0, 0, 0xC7) | t->w, 0, to, (int32_t)piece->insn->immediate, 4);
    } else {
        int from = dbt_host(o->reg);
        if (from == HOST_NONE) dbt_get(t, from = HOST_B, o->reg);
        x86_op(&t->a, X86_MOV_STORE | t->w, from, to);
    }
    t->stack_lag -= t->width;
    if (!piece->group) dbt_stack_to_host(t); /* the handler, which does the same, comes back here */
    dbt_cold_done(t, cold);
}

void dbt_pop(struct translation *t, const struct piece *piece) {
    const unsigned reg = piece->insn->operands[0].reg;
    const int host = dbt_host((int)reg);
    struct cold *cold;
    x86_op(&t->a, X86_MOV_LOAD | t->w, host == HOST_NONE ? HOST_A : host, dbt_reach(t, piece, &cold));
    if (host == HOST_NONE) dbt_set(t, (int)reg, HOST_A);
    if (reg != VM_RSP) t->stack_lag += t->width;
    if (!piece->group) dbt_stack_to_host(t);
    dbt_cold_done(t, cold);
}

void dbt_leave(struct translation *t, const struct piece *piece) {
    struct cold *cold;
    struct x86_rm from = dbt_reach(t, piece, &cold);
    x86_op(&t->a, X86_LEA | t->w, STACK, x86_mem(RBP, t->width));
    x86_op(&t->a, X86_MOV_LOAD | t->w, RBP, from);
    dbt_cold_done(t, cold);
}

/* ---- ways out ---- */

/* The exit to an address relative to page_base; its code comes with dbt_exits. */
static struct exit *new_exit(struct translation *t, int64_t target) {
    struct exit *exit = t->exits + t->n_exits++;
    *exit = (struct exit){.target = target, .label = dbt_label(t)};
    return exit;
}

/* Here goes a jump to a target of this page that is patched; it leads to `label` before. */
static uint32_t patchable_jump(struct translation *t, uint32_t label) {
    x86_jump(&t->a, label);
    return (uint32_t)t->a.size - 4;
}

/* With the flags as they are now. */
static void go_out(struct translation *t, int64_t target) {
    struct exit *exit = new_exit(t, target);
    if ((t->flags == FLAGS_HOST || t->flags == FLAGS_REMADE) && dbt_is_same_page(target)) {
        exit->at_with_flags = patchable_jump(t, exit->label);
        exit->saves_flags = true;
        if (t->flags == FLAGS_REMADE) exit->producer = t->producer;
        return;
    }
    dbt_flags_to_memory(t);
    if (dbt_is_same_page(target))
        exit->at = patchable_jump(t, exit->label);
    else
        x86_jump(&t->a, exit->label);
}

void dbt_fall(struct translation *t) {
    dbt_stack_to_host(t);
    go_out(t, behind(t->pieces + t->n_pieces - 1));
    t->ended = true;
}

int64_t dbt_target_of(const struct piece *piece) { return behind(piece) + (int64_t)piece->insn->immediate; }

void dbt_jcc(struct translation *t, const struct piece *piece) {
    const unsigned condition = piece->op & 15;
    const int64_t target = dbt_target_of(piece);
    if (t->n_streams && piece == t->pieces + t->n_round) {
        dbt_loop_jump(t, piece);
        t->group_in_a = 0;
        return;
    }
    const bool was_saved = t->flags == FLAGS_SAVED;
    dbt_flags_to_host(t);
    struct exit *exit = new_exit(t, target);
    x86_branch(&t->a, condition, exit->label);
    if (dbt_is_same_page(target)) exit->at_with_flags = (uint32_t)t->a.size - 4;
    /* What was in memory is there still: nothing has to be saved on the way. */
    exit->saves_flags = !was_saved;
    if (was_saved) t->flags = FLAGS_SAVED;
    if (was_saved && dbt_is_same_page(target)) {
        exit->at = exit->at_with_flags;
        exit->at_with_flags = 0;
    }
}

/* The exit's own code: what its jumps lead to before they are patched, and those to other pages always. */
static void exit_code(struct translation *t, struct exit *exit, uint32_t link, uint32_t stamp) {
    const uint32_t leave = dbt_label(t);
    dbt_here(t, exit->label);
    if (exit->producer) dbt_again(t, exit->producer);
    if (exit->saves_flags) dbt_save_flags(t);
    const int64_t distance = (int64_t)((uint64_t)exit->target & ~(VM_PAGE - 1));
    if (dbt_is_same_page(exit->target)) {
        if (exit->saves_flags) exit->at = patchable_jump(t, leave);
    } else if (distance == (int32_t)distance) {
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B,
               cpu_at(CPU_AT(translated.epochs) + t->block->view * (int32_t)sizeof(uint64_t)));
        x86_op(&t->a, X86_ADD | X86_W, HOST_B, x86_reg(HOST_A));
        x86_op(&t->a, X86_CMP | X86_W, HOST_B,
               cpu_at(CPU_AT(translated.stamps) + (int32_t)(stamp * sizeof(uint64_t))));
        x86_branch(&t->a, CC_NE, leave);
        x86_op(&t->a, X86_LEA | t->w, HOST_A, x86_mem(HOST_A, (int32_t)distance));
        x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
        exit->at = patchable_jump(t, leave);
    }
    dbt_here(t, leave);
    x86_const(&t->a, HOST_B, LEFT_LINK | link);
    bool finds =
        exit->at && stamp && t->block->view == SOFT_VIEW_USER && exit->target == (int32_t)exit->target;
    if (finds) {
        x86_op_imm(&t->a, X86_CODE(0, 0, 0xC7), 0, cpu_at(CPU_AT(translated.stamp)),
                   (int32_t)(stamp * sizeof(uint64_t)), 4);
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
        x86_op(&t->a, X86_LEA | t->w, HOST_A, x86_mem(HOST_A, (int32_t)exit->target));
    }
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4, cpu_at(finds ? CPU_AT(translated.find) : CPU_AT(translated.exit)));
}

void dbt_exits(struct translation *t) {
    struct soft_translator *translator = t->translator;
    for (unsigned i = 0; i < t->n_exits; i++) {
        uint32_t stamp = 0;
        if (!dbt_is_same_page(t->exits[i].target)) stamp = translator->n_stamps + t->n_new_stamps++;
        t->exits[i].stamp = stamp;
        exit_code(t, t->exits + i, (uint32_t)translator->n_links + i, stamp);
    }
}

/* ---- to an address in rax ---- */

/* Elsewhere, if the address in rax is not canonical, as 32 bits always are; r11 and flags go. */
static void canonical_or(struct translation *t, uint32_t elsewhere) {
    enum { UNUSED = 64 - SOFT_LINEAR_BITS };
    if (!t->w) return;
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, x86_reg(HOST_A));
    x86_shift_imm(&t->a, 4, X86_W, HOST_B, UNUSED);
    x86_shift_imm(&t->a, 7, X86_W, HOST_B, UNUSED);
    x86_op(&t->a, X86_CMP | X86_W, HOST_B, x86_reg(HOST_A));
    x86_branch(&t->a, CC_NE, elsewhere);
}

/* Where the place of the address in rax is in the table of targets, in r11; else to `miss`. Flags go. */
void dbt_find_target(struct x86 *a, enum soft_view view, uint32_t miss) {
    _Static_assert(sizeof(struct soft_target) == 16, "an index becomes a distance by a shift");
    x86_op(a, X86_MOV_LOAD | X86_W, HOST_B, x86_reg(HOST_A));
    x86_shift_imm(a, 5, X86_W, HOST_B, 11);
    x86_op(a, X86_XOR, HOST_B, x86_reg(HOST_A));
    x86_alu_imm(a, 4, 0, x86_reg(HOST_B), SOFT_TARGETS - 1);
    x86_shift_imm(a, 4, 0, HOST_B, 4);
    x86_op(a, X86_ADD | X86_W, HOST_B,
           cpu_at(CPU_AT(translated.targets) + (int32_t)(view * sizeof(struct soft_target *))));
    x86_op(a, X86_CMP | X86_W, HOST_A, x86_mem(HOST_B, offsetof(struct soft_target, linear)));
    x86_branch(a, CC_NE, miss);
}

/* What is not canonical is never found; the stack moves by `pops` when it is certain that nothing faults. */
static void indirect(struct translation *t, int32_t pops, const struct cold *cold) {
    const uint32_t miss = dbt_label(t);
    dbt_find_target(&t->a, t->block->view, miss);
    x86_alu_imm(&t->a, 4, X86_W, x86_reg(HOST_A), -(int32_t)VM_PAGE);
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
    if (pops + t->stack_lag) move_stack(t, pops + t->stack_lag);
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4, x86_mem(HOST_B, offsetof(struct soft_target, code)));
    dbt_here(t, miss);
    dbt_stack_to_host(t);
    if (cold) canonical_or(t, cold->label);
    if (pops) move_stack(t, pops);
    x86_op(&t->a, X86_CODE(0, 0, 0xFF), 4, cpu_at(CPU_AT(translated.indirect)));
    t->ended = true;
}

/* A register of the guest's into rax, as an address. */
static void get_target(struct translation *t, int guest) {
    const int host = dbt_host(guest);
    x86_op(&t->a, X86_MOV_LOAD | t->w, HOST_A, host == HOST_NONE ? gpr_at(guest) : x86_reg(host));
}

/* The way of a piece whose target may be none; NULL: every one is one. */
static struct cold *faulting(struct translation *t, const struct piece *piece) {
    return t->w ? dbt_cold(t, piece) : NULL;
}

static bool is_direct(const struct piece *piece) { return piece->insn->operands[0].kind == SOFT_IMM; }

/* Whether the block goes on where the jump, call or return leads. */
static bool is_within(const struct translation *t, const struct piece *piece) {
    return piece + 1 < t->pieces + t->n_pieces;
}

void dbt_jmp(struct translation *t, const struct piece *piece) {
    if (is_within(t, piece)) return;
    if (is_direct(piece)) {
        dbt_stack_to_host(t);
        go_out(t, dbt_target_of(piece));
        t->ended = true;
        return;
    }
    dbt_flags_to_memory(t);
    struct cold *cold = NULL;
    if (piece->memory_bytes)
        x86_op(&t->a, X86_MOV_LOAD | t->w, HOST_A, dbt_reach(t, piece, &cold));
    else
        get_target(t, piece->rm.reg);
    struct cold *faults = faulting(t, piece);
    indirect(t, 0, faults);
    dbt_cold_done(t, cold); /* the handler of a jump never comes back here */
    dbt_cold_done(t, faults);
}

static void store_return(struct translation *t, const struct piece *piece, struct x86_rm to) {
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(page_base)));
    x86_op(&t->a, X86_LEA | t->w, HOST_B, x86_mem(HOST_B, (int32_t)behind(piece)));
    x86_op(&t->a, X86_MOV_STORE | t->w, HOST_B, to);
    t->stack_lag -= t->width;
}

static void call_indirect(struct translation *t, const struct piece *piece) {
    struct cold *cold = dbt_cold(t, piece);
    if (piece->memory_bytes) {
        dbt_linear(t, piece);
        dbt_check(t, t->width, false, cold);
        x86_op(&t->a, X86_MOV_LOAD | t->w, HOST_A, x86_mem(HOST_A, 0));
    } else {
        get_target(t, piece->rm.reg);
    }
    canonical_or(t, cold->label); /* before anything is pushed */
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(CPU_AT(spill)));
    store_return(t, piece, second_reach(t, cold));
    dbt_stack_to_host(t);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, cpu_at(CPU_AT(spill)));
    indirect(t, 0, NULL);
    dbt_cold_done(t, cold);
}

void dbt_call(struct translation *t, const struct piece *piece) {
    struct cold *cold;
    if (!is_direct(piece)) {
        dbt_flags_to_memory(t);
        call_indirect(t, piece);
        return;
    }
    store_return(t, piece, dbt_reach(t, piece, &cold));
    if (is_within(t, piece)) { /* a handler does not come back here */
        dbt_cold_done(t, cold);
        return;
    }
    dbt_stack_to_host(t);
    go_out(t, dbt_target_of(piece));
    t->ended = true;
    dbt_cold_done(t, cold);
}

int32_t dbt_pops_of(const struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    return insn->operand_bytes + (insn->n_operands ? (int32_t)(insn->immediate & 0xFFFF) : 0);
}

/* Back from a call of the block, unless the address was changed. */
static void return_within(struct translation *t, const struct piece *piece) {
    struct cold *cold;
    dbt_stack_to_host(t);
    dbt_spoil_flags(t, piece);
    const struct x86_rm place = dbt_reach(t, piece, &cold);
    if (!cold) cold = dbt_cold(t, piece);
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(page_base)));
    x86_op(&t->a, X86_LEA | t->w, HOST_B, x86_mem(HOST_B, piece[1].insn->offset));
    x86_op(&t->a, X86_CMP | t->w, HOST_B, place);
    x86_branch(&t->a, CC_NE, cold->label);
    t->stack_lag += dbt_pops_of(piece);
    dbt_cold_done(t, cold);
}

void dbt_ret(struct translation *t, const struct piece *piece) {
    struct cold *cold;
    if (is_within(t, piece)) {
        return_within(t, piece);
        return;
    }
    dbt_flags_to_memory(t);
    x86_op(&t->a, X86_MOV_LOAD | t->w, HOST_A, dbt_reach(t, piece, &cold));
    struct cold *faults = faulting(t, piece);
    indirect(t, dbt_pops_of(piece), faults);
    dbt_cold_done(t, cold);
    dbt_cold_done(t, faults);
}
