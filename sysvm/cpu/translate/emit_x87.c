/* sysvm/cpu/translate/emit_x87.c: x87 instructions as they are, on the host's unit, which has the guest's state: all
 * exceptions masked, none pending (dbt_x87_unit). A memory operand is at [rax].
 *
 * The pointers that fnstenv and fxsave show are the host's own while code runs, so the code notes the guest's:
 * x87_page once a block, x87_last for what may be the last before somebody asks, x87_operand with each operand.
 * source  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 8; volume 2, appendix B.17 */
#include <Zydis/Mnemonic.h>
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/translate/internal.h"

/* ---- reading ---- */

/* `op` is the opcode, `extension` ModRM.reg, `imm` all of ModRM where there is no memory operand. */
static void set_bytes(struct piece *out, unsigned opcode, unsigned modrm) {
    out->op = X86_CODE(0, 0, opcode);
    out->extension = modrm >> 3 & 7;
    out->imm = (int32_t)modrm;
}

static void read_native(const struct native_form *form, struct piece *out) {
    out->memory_bytes = form->memory_bytes;
    out->memory_written = form->memory_out;
    set_bytes(out, form->key[0], form->key[1]);
}

static void read_status(const struct soft_insn *insn, struct piece *out) {
    if (insn->operands[0].kind == SOFT_GPR) {
        out->gpr_read = out->gpr_written = 1u << VM_RAX;
        set_bytes(out, 0xDF, 0xE0);
    } else {
        out->memory_bytes = 2;
        out->memory_written = true;
        set_bytes(out, 0xDD, 7 << 3);
    }
}

bool dbt_read_x87(const struct soft_insn *insn, struct piece *out) {
    const struct native_form *form = insn->run == soft_native ? insn->native : NULL;
    if (insn->rep || insn->repne) return false;
    if (insn->base == SOFT_RIP && insn->displacement > INT32_MAX - 2 * (int64_t)VM_PAGE) return false;
    if (form && form->is_x87)
        read_native(form, out);
    else if (insn->run == soft_fnstsw)
        read_status(insn, out);
    else if (insn->run != soft_fwait)
        return false;
    out->form = FORM_X87;
    out->x87 = 1;
    out->observes = out->memory_bytes;
    return true;
}

/* ---- pointers ---- */

static bool has_pointers(const struct piece *piece) {
    const struct native_form *form = piece->insn->native;
    return piece->form == FORM_X87 && piece->insn->run == soft_native && !form->control;
}

/* Whether the block has put its page into x87_page before; a handler may have put another there since. */
static bool has_page(const struct translation *t, const struct piece *piece) {
    while (piece-- > t->pieces) {
        if (piece->form == FORM_HANDLER) return false;
        if (has_pointers(piece)) return true;
    }
    return false;
}

/* Whether the next instruction notes its own, and nobody asks in between. */
static bool is_noted_anew(const struct translation *t, const struct piece *piece) {
    const struct piece *next = piece + 1;
    return next < t->pieces + t->n_pieces && has_pointers(next) && !next->memory_bytes;
}

/* r11 goes; flags stay. */
static void note(struct translation *t, const struct piece *piece) {
    if (!has_pointers(piece)) return;
    if (!has_page(t, piece)) {
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(page_base)));
        x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_B, cpu_at(CPU_AT(x87_page)));
    }
    if (piece->memory_bytes) {
        x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, cpu_at(CPU_AT(x87_address)));
        x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_B, cpu_at(CPU_AT(x87_operand)));
    }
    if (is_noted_anew(t, piece)) return;
    const uint32_t opcode = fp_opcode(piece->insn);
    x86_op_imm(&t->a, X86_CODE(0, 0, 0xC7), 0, cpu_at(CPU_AT(x87_last)),
               (int32_t)(opcode << 16 | piece->insn->offset), 4);
}

/* The offset of the operand in its segment, from its linear address in rax; r11 and flags go. */
static void note_address(struct translation *t, const struct piece *piece) {
    const unsigned segment = piece->insn->segment;
    int address = HOST_A;
    if (!has_pointers(piece)) return;
    if (segment == VM_FS || segment == VM_GS) {
        x86_op(&t->a, X86_MOV_LOAD | X86_W, address = HOST_B, x86_reg(HOST_A));
        x86_op(&t->a, X86_SUB | t->w, HOST_B,
               cpu_at(CPU_AT(segments) +
                      (int32_t)(segment * sizeof(struct vm_segment) + offsetof(struct vm_segment, base))));
    }
    x86_op(&t->a, X86_MOV_STORE | X86_W, address, cpu_at(CPU_AT(x87_address)));
}

/* ---- code ---- */

static void on_registers(struct translation *t, const struct piece *piece) {
    if (piece->insn->run == soft_fwait) return;
    if (dbt_needs_flags(t, piece)) dbt_flags_to_host(t);
    note(t, piece);
    x86_bytes(&t->a, (piece->op & 0xFF) | (unsigned)piece->imm << 8, 2);
    if (piece->insn->run == soft_fnstsw) x86_op(&t->a, X86_MOV_STORE16, HOST_A, x86_reg(dbt_host(VM_RAX)));
    dbt_flags_made(t, piece);
}

/* A control word, from [rax], that leaves all exceptions masked; another is the handler's. It is read once: another
 * processor may write to that memory. */
static void load_control(struct translation *t, const struct cold *cold) {
    x86_op(&t->a, X86_MOVZX16, HOST_A, x86_mem(HOST_A, 0));
    x86_op(&t->a, X86_MOV_STORE16, HOST_A, cpu_at(CPU_AT(x87_control)));
    x86_alu_imm(&t->a, 4, 0, x86_reg(HOST_A), X87_FLAGS);
    x86_alu_imm(&t->a, 7, 0, x86_reg(HOST_A), X87_FLAGS);
    x86_branch(&t->a, CC_NE, cold->label);
    x86_op(&t->a, X86_CODE(0, 0, 0xD9), 5, cpu_at(CPU_AT(x87_control)));
}

void dbt_x87(struct translation *t, const struct piece *piece) {
    if (!piece->memory_bytes) {
        on_registers(t, piece);
        return;
    }
    dbt_spoil_flags(t, piece);
    struct cold *cold = dbt_cold(t, piece);
    dbt_linear(t, piece);
    note_address(t, piece);
    dbt_check(t, piece->memory_bytes, piece->memory_written, cold);
    note(t, piece);
    if (piece->insn->mnemonic == ZYDIS_MNEMONIC_FLDCW)
        load_control(t, cold);
    else
        x86_op(&t->a, piece->op, piece->extension, x86_mem(HOST_A, 0));
    dbt_cold_done(t, cold);
}
