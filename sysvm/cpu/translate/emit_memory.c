/* sysvm/cpu/translate/emit_memory.c: addresses, and the way through the TLB. */
#include "sysvm/cpu/translate/internal.h"

/* ---- addresses ---- */

static uint32_t address_width(const struct piece *piece) {
    return piece->insn->address_bytes == 8 ? X86_W : 0;
}

/* base + index * scale + displacement + more, of which base and index may be none, into `to` (rax or another that is none of
 * both), as wide as w says; r11 may go. Flags stay. */
static void effective(struct translation *t, const struct piece *piece, int to, uint32_t w, int64_t more) {
    const struct soft_insn *insn = piece->insn;
    int64_t displacement = insn->displacement + more;
    int base = HOST_NONE, index = HOST_NONE;
    if (insn->base == SOFT_RIP) {
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, cpu_at(CPU_AT(page_base)));
        displacement += insn->offset + insn->length;
        base = HOST_A;
    } else if (insn->base != SOFT_NO_REG) {
        base = dbt_host(insn->base);
        if (base == HOST_NONE) dbt_get(t, base = HOST_A, insn->base);
    }
    if (insn->index != SOFT_NO_REG) {
        index = dbt_host(insn->index);
        if (index == HOST_NONE) dbt_get(t, index = HOST_B, insn->index);
    }
    if (base == HOST_NONE && index == HOST_NONE)
        x86_const(&t->a, to, w ? (uint64_t)displacement : (uint32_t)displacement);
    else if (index == HOST_NONE && !displacement && (base != to || !w))
        x86_op(&t->a, X86_MOV_LOAD | w, to, x86_reg(base));
    else if (index != HOST_NONE || displacement)
        x86_op(&t->a, X86_LEA | w, to,
               (struct x86_rm){(int8_t)base, (int8_t)index, (uint8_t)__builtin_ctz(insn->scale), true,
                               (int32_t)displacement});
}

struct piece dbt_without_index(const struct piece *piece, struct soft_insn *insn) {
    struct piece copy = *piece;
    *insn = *piece->insn;
    insn->base = piece->table.base;
    insn->index = SOFT_NO_REG;
    insn->scale = 1;
    copy.insn = insn;
    return copy;
}

/* In 32-bit code: a segment ends at 4 GiB, wherever it begins; an operand over its end is the handler's. */
static void stay_in_segment(struct translation *t, const struct piece *piece) {
    if (piece->insn->base == SOFT_NO_REG && piece->insn->index == SOFT_NO_REG) return; /* seen by read.c */
    x86_alu_imm(&t->a, 7, 0, x86_reg(HOST_A), -(int32_t)piece->memory_bytes);
    x86_branch(&t->a, CC_A, t->colds[t->n_colds - 1].label);
}

void dbt_linear_and(struct translation *t, const struct piece *piece, int64_t more) {
    const unsigned segment = piece->insn->segment;
    effective(t, piece, HOST_A, address_width(piece), more);
    if (segment != VM_FS && segment != VM_GS) return;
    if (!t->w) stay_in_segment(t, piece);
    x86_op(&t->a, X86_ADD | t->w, HOST_A,
           cpu_at(CPU_AT(segments) +
                  (int32_t)(segment * sizeof(struct vm_segment) + offsetof(struct vm_segment, base))));
}

void dbt_linear(struct translation *t, const struct piece *piece) { dbt_linear_and(t, piece, 0); }

void dbt_lea(struct translation *t, const struct piece *piece) {
    const int to = dbt_host(piece->reg.reg);
    /* What is cut to 32 bits twice is cut once. */
    effective(t, piece, to == HOST_NONE ? HOST_A : to, piece->op & address_width(piece), 0);
    if (to == HOST_NONE) dbt_set(t, piece->reg.reg, HOST_A);
}

/* ---- the TLB ---- */

void dbt_find_entry(struct translation *t) {
    enum { BITS = 12 - 5 };
    _Static_assert(sizeof(struct soft_tlb_entry) == 32, "an index becomes a distance by one shift");
    if (t->translator->has_bmi2) {
        x86_vex_imm(&t->a, X86_RORX | X86_W, HOST_B, 0, x86_reg(HOST_A), BITS);
    } else {
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, x86_reg(HOST_A));
        x86_shift_imm(&t->a, 5, X86_W, HOST_B, BITS);
    }
    x86_alu_imm(&t->a, 4, 0, x86_reg(HOST_B), (SOFT_TLB_ENTRIES - 1) << 5);
}

struct x86_rm dbt_entry_at(const struct translation *t, size_t field) {
    const int32_t view = CPU_AT(tlb.views) + (int32_t)(t->block->view * sizeof(struct soft_tlb_view));
    return x86_mem_index(RSP, HOST_B, 0, view + (int32_t)(offsetof(struct soft_tlb_view, entries) + field));
}

/* The distance from the tag is that within the page, if it is its page; then all of the access is in the page. */
void dbt_check(struct translation *t, unsigned n_bytes, bool write, const struct cold *cold) {
    dbt_find_entry(t);
    x86_op(&t->a, X86_SUB | X86_W, HOST_A,
           dbt_entry_at(t, write ? offsetof(struct soft_tlb_entry, write)
                                 : offsetof(struct soft_tlb_entry, read)));
    x86_alu_imm(&t->a, 7, X86_W, x86_reg(HOST_A), (int32_t)(VM_PAGE - n_bytes));
    x86_branch(&t->a, CC_A, cold->label);
    x86_op(&t->a, X86_ADD | X86_W, HOST_A, dbt_entry_at(t, offsetof(struct soft_tlb_entry, host)));
}

/* ---- an access ---- */

/* Where a piece's access begins and `more`, in rax. */
static void access_and(struct translation *t, const struct piece *piece, int64_t more) {
    const int stack = dbt_host(VM_RSP);
    switch ((enum stack_access)piece->stack) {
    case STACK_PUSH: x86_op(&t->a, X86_LEA | t->w, HOST_A, x86_mem(stack, (int32_t)more - t->width)); return;
    case STACK_POP: x86_op(&t->a, X86_LEA | t->w, HOST_A, x86_mem(stack, (int32_t)more)); return;
    case STACK_FRAME: x86_op(&t->a, X86_LEA | t->w, HOST_A, x86_mem(RBP, (int32_t)more)); return;
    case STACK_NONE: dbt_linear_and(t, piece, more); return;
    }
}

struct x86_rm dbt_reach(struct translation *t, const struct piece *piece, struct cold **out_cold) {
    const unsigned n_bytes = piece->stack ? t->width : piece->memory_bytes;
    const bool write = piece->stack ? piece->stack == STACK_PUSH : piece->memory_written;
    const int32_t slot = CPU_AT(groups) + (piece->group - 1) * 8;
    *out_cold = NULL;
    if (t->in_loop) return dbt_stream_at(t, piece);
    if (piece->group && !piece->leads) {
        if (t->group_in_a != piece->group) x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, cpu_at(slot));
        t->group_in_a = piece->group;
        return x86_mem(HOST_A, piece->distance);
    }
    dbt_spoil_flags(t, piece);
    t->group_in_a = piece->group;
    struct cold *cold = *out_cold = dbt_cold(t, piece);
    cold->rest = piece->leads;
    access_and(t, piece, -piece->distance);
    if (piece->alignment) { /* of the access itself; that of the group's first byte may be another */
        if (piece->distance % piece->alignment)
            x86_op(&t->a, X86_LEA | X86_W, HOST_B, x86_mem(HOST_A, piece->distance));
        const int at = piece->distance % piece->alignment ? HOST_B : HOST_A;
        x86_op_imm(&t->a, X86_CODE(0, 0, 0xF6) | X86_BYTE_RM, 0, x86_reg(at), piece->alignment - 1, 1);
        x86_branch(&t->a, CC_NE, cold->label);
    }
    if (!piece->group) {
        dbt_check(t, n_bytes, write, cold);
        return x86_mem(HOST_A, 0);
    }
    const struct group *group = t->groups + piece->group - 1;
    dbt_check(t, group->n_bytes, group->written, cold);
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, cpu_at(slot));
    return x86_mem(HOST_A, piece->distance);
}
