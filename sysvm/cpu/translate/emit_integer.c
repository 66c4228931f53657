/* sysvm/cpu/translate/emit_integer.c: instructions on general registers: as they are, with the host's registers in
 * place of the guest's. */
#include <Zydis/Mnemonic.h>
#include "sysvm/cpu/translate/internal.h"

/* ---- the operands of an instruction that stays as it is ---- */

/* What stands in an instruction for a field: a register, or for ModRM.rm memory. */
struct place {
    struct x86_rm rm;
    int scratch; /* HOST_NONE, or a register that has it for now and is written back */
};

/* A high byte, or what has to be a register and is none, goes through `scratch`. */
static struct place enter_field(struct translation *t, const struct field *field, int scratch,
                                bool may_be_memory) {
    if (field->is_vector) return (struct place){x86_reg(XMM0 + field->reg), HOST_NONE};
    const int host = dbt_host(field->reg);
    if (field->is_high) { /* rotated, its byte is the lowest */
        struct x86_rm from = host == HOST_NONE ? gpr_at(field->reg) : x86_reg(host);
        x86_vex_imm(&t->a, X86_RORX | X86_W, scratch, 0, from, 8);
        return (struct place){x86_reg(scratch), scratch};
    }
    if (host != HOST_NONE) return (struct place){x86_reg(host), HOST_NONE};
    /* In memory a result of 32 bits would leave the upper half as it was. */
    if (may_be_memory && !(field->written && field->n_bytes == 4))
        return (struct place){gpr_at(field->reg), HOST_NONE};
    if (field->read || field->n_bytes < 4) dbt_get(t, scratch, field->reg);
    return (struct place){x86_reg(scratch), scratch};
}

static void leave_field(struct translation *t, const struct field *field, const struct place *place) {
    if (place->scratch == HOST_NONE || !field->written) return;
    const int host = dbt_host(field->reg);
    if (!field->is_high) {
        dbt_set(t, field->reg, place->scratch);
    } else if (host != HOST_NONE) {
        x86_vex_imm(&t->a, X86_RORX | X86_W, host, 0, x86_reg(place->scratch), 56);
    } else {
        x86_vex_imm(&t->a, X86_RORX | X86_W, place->scratch, 0, x86_reg(place->scratch), 56);
        dbt_set(t, field->reg, place->scratch);
    }
}

static void write_instruction(struct translation *t, const struct piece *piece, uint32_t op, int reg,
                              int vvvv, struct x86_rm rm) {
    const int32_t imm = piece->imm;
    if (piece->insn->lock) x86_bytes(&t->a, 0xF0, 1);
    if (op & X86_VEX && piece->imm_bytes)
        x86_vex_imm(&t->a, op, reg, vvvv, rm, imm);
    else if (op & X86_VEX)
        x86_vex(&t->a, op, reg, vvvv, rm);
    else if (piece->imm_bytes)
        x86_op_imm(&t->a, op, reg, rm, imm, piece->imm_bytes);
    else
        x86_op(&t->a, op, reg, rm);
}

bool dbt_needs_scratch(const struct field *field) {
    return field->reg >= 0 && !field->is_vector && (field->is_high || dbt_host(field->reg) == HOST_NONE);
}

/* The instruction itself; memory: what ModRM.rm is where it is no register. */
static void same(struct translation *t, const struct piece *piece, uint32_t op, struct x86_rm memory) {
    struct place reg = {.scratch = HOST_NONE}, rm = {memory, HOST_NONE}, vvvv = {.scratch = HOST_NONE};
    int reg_number = piece->extension, vvvv_number = 0;
    /* With a bit number in a register, an operand in memory would be any memory. */
    const bool may_be_memory = piece->form != FORM_BIT || piece->reg.reg < 0;
    if (piece->rm.reg >= 0) rm = enter_field(t, &piece->rm, HOST_A, may_be_memory);
    if (piece->vvvv.reg >= 0) {
        vvvv = enter_field(t, &piece->vvvv, HOST_B, false);
        vvvv_number = vvvv.rm.base;
    }
    if (piece->reg.reg >= 0) { /* written only where vvvv has the same scratch: mulx has a second result */
        reg = vvvv.scratch == HOST_B ? (struct place){x86_reg(HOST_A), HOST_A}
                                     : enter_field(t, &piece->reg, HOST_B, false);
        if (vvvv.scratch == HOST_B && !dbt_needs_scratch(&piece->reg))
            reg = enter_field(t, &piece->reg, HOST_A, false);
        reg_number = reg.rm.base;
    }
    write_instruction(t, piece, op, reg_number, vvvv_number, rm.rm);
    if (piece->vvvv.reg >= 0) leave_field(t, &piece->vvvv, &vvvv);
    if (piece->reg.reg >= 0) leave_field(t, &piece->reg, &reg);
    if (piece->rm.reg >= 0) leave_field(t, &piece->rm, &rm);
}

/* Whether making the flags again, if it comes to that, takes r11, where the address of an access waits meanwhile. */
static bool is_remade_by_scratch(const struct translation *t) {
    const bool may_be = t->producer && (t->flags == FLAGS_HOST || t->flags == FLAGS_REMADE);
    return may_be && (dbt_needs_scratch(&t->producer->reg) || dbt_needs_scratch(&t->producer->rm));
}

void dbt_same(struct translation *t, const struct piece *piece) {
    const bool asks = dbt_needs_flags(t, piece), is_led = piece->group && !piece->leads;
    if (!piece->memory_bytes) {
        if (asks) dbt_flags_to_host(t);
        same(t, piece, piece->op, x86_reg(0));
        dbt_flags_made(t, piece);
        return;
    }
    struct cold *cold;
    if (asks && is_led) dbt_flags_to_host(t);
    if (asks && !is_led && is_remade_by_scratch(t)) dbt_flags_to_memory(t);
    struct x86_rm memory = dbt_reach(t, piece, &cold);
    if (asks && t->flags != FLAGS_HOST) { /* which takes rax */
        x86_op(&t->a, X86_MOV_LOAD | X86_W, memory.base = HOST_B, x86_reg(HOST_A));
        dbt_flags_to_host(t);
    }
    same(t, piece, piece->op, memory);
    dbt_flags_made(t, piece);
    dbt_cold_done(t, cold);
}

void dbt_vector(struct translation *t, const struct piece *piece) {
    struct cold *cold;
    if (!piece->memory_bytes) {
        dbt_same(t, piece);
        return;
    }
    struct x86_rm memory = dbt_reach(t, piece, &cold);
    same(t, piece, piece->op, memory);
    dbt_flags_made(t, piece);
    dbt_cold_done(t, cold);
}

void dbt_again(struct translation *t, const struct piece *piece) {
    struct piece copy = *piece;
    t->group_in_a = 0;
    switch (piece->insn->mnemonic) {
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST: same(t, &copy, copy.op, x86_reg(0)); return;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB: {
        /* Undone, and done again: 28 and 00 in the opcode, or 5 and 0 in its extension, tell one from the other. */
        const uint32_t other = copy.imm_bytes ? copy.op : copy.op ^ 0x28;
        if (copy.imm_bytes) copy.extension ^= 5;
        same(t, &copy, other, x86_reg(0));
        copy.extension = piece->extension;
        same(t, &copy, copy.op, x86_reg(0));
        return;
    }
    default: { /* logic: what its result says, which is in the register written */
        const struct field *result = copy.reg.written ? &copy.reg : &copy.rm;
        copy.rm = copy.reg = *result;
        copy.rm.written = copy.reg.written = false;
        copy.rm.read = copy.reg.read = true;
        copy.imm_bytes = 0;
        copy.op =
            (copy.op & ~0xFFu & ~(uint32_t)(X86_BYTE | X86_BYTE_RM)) | (result->n_bytes == 1 ? 0x84 : 0x85);
        if (result->n_bytes == 1) copy.op |= X86_BYTE | X86_BYTE_RM;
        same(t, &copy, copy.op, x86_reg(0));
    }
    }
}

/* ---- moves ---- */

static void move_constant(struct translation *t, const struct piece *piece) {
    const int to = dbt_host(piece->rm.reg);
    const unsigned n_bytes = piece->insn->operands[0].n_bytes;
    uint64_t value = piece->insn->immediate;
    if (n_bytes == 4) value = (uint32_t)value;
    x86_const(&t->a, to == HOST_NONE ? HOST_A : to, value);
    if (to == HOST_NONE) dbt_set(t, piece->rm.reg, HOST_A);
}

static bool is_encoded_constant(const struct piece *piece) {
    return piece->insn->operands[1].kind == SOFT_IMM && piece->insn->operands[0].kind == SOFT_GPR &&
           piece->insn->operands[0].n_bytes >= 4;
}

/* The encodings without ModRM: rax and an address of 8 bytes; a byte or word constant into a register. */
static void make_modrm(struct piece *copy) {
    const unsigned opcode = copy->op & 0xFF;
    const uint32_t flags = copy->op & ~0xFFu;
    if (opcode >= 0xA0 && opcode <= 0xA3) {
        copy->reg = (struct field){.reg = VM_RAX,
                                   .read = opcode >= 0xA2,
                                   .written = opcode < 0xA2,
                                   .n_bytes = (uint8_t)copy->insn->operands[opcode < 0xA2 ? 0 : 1].n_bytes};
        copy->op = flags | (opcode < 0xA2 ? 0x8A : 0x88) | (opcode & 1);
        if (copy->reg.n_bytes == 1) copy->op |= X86_BYTE;
        copy->imm_bytes = 0;
    } else if (opcode >= 0xB0 && opcode <= 0xBF) {
        copy->op = flags | (opcode < 0xB8 ? 0xC6 : 0xC7);
        copy->extension = 0;
    }
}

void dbt_mov(struct translation *t, const struct piece *piece) {
    struct piece copy = *piece;
    if (is_encoded_constant(piece)) {
        move_constant(t, piece);
        return;
    }
    make_modrm(&copy);
    if (!copy.memory_bytes) {
        same(t, &copy, copy.op, x86_reg(0));
        return;
    }
    struct cold *cold;
    struct x86_rm memory = dbt_reach(t, piece, &cold);
    same(t, &copy, copy.op, memory);
    dbt_cold_done(t, cold);
}

/* ---- forms of their own ---- */

void dbt_bswap(struct translation *t, const struct piece *piece) {
    const int host = dbt_host(piece->rm.reg), at = host == HOST_NONE ? HOST_A : host;
    if (host == HOST_NONE) dbt_get(t, at, piece->rm.reg);
    x86_bytes(&t->a, (piece->op & X86_W ? 0x48u : 0x40u) | (at >= 8), 1);
    x86_bytes(&t->a, 0x0F | (0xC8u | (at & 7)) << 8, 2);
    if (host == HOST_NONE) dbt_set(t, piece->rm.reg, at);
}

/* rax from rax, or rdx from it. */
void dbt_extend(struct translation *t, const struct piece *piece) {
    const int rax = dbt_host(VM_RAX);
    switch (piece->insn->mnemonic) {
    case ZYDIS_MNEMONIC_CBW: x86_op(&t->a, X86_CODE(1, 1, 0xBE) | X86_BYTE_RM, rax, x86_reg(rax)); return;
    case ZYDIS_MNEMONIC_CWDE: x86_op(&t->a, X86_MOVSX16, rax, x86_reg(rax)); return;
    case ZYDIS_MNEMONIC_CDQE: x86_op(&t->a, X86_MOVSXD, rax, x86_reg(rax)); return;
    case ZYDIS_MNEMONIC_CDQ:
        dbt_get(t, HOST_A, VM_RAX);
        x86_bytes(&t->a, 0x99, 1);
        return;
    default:
        dbt_get(t, HOST_A, VM_RAX);
        x86_bytes(&t->a, 0x9948, 2);
        return;
    }
}

void dbt_flag(struct translation *t, const struct piece *piece) {
    if (dbt_needs_flags(t, piece)) dbt_flags_to_host(t);
    x86_bytes(&t->a, piece->insn->bytes[piece->insn->length - 1], 1);
    dbt_flags_made(t, piece);
}

/* ---- what has rax in it: the guest's takes the place of the free one ---- */

/* The one explicit operand of a multiplication or division into r11. */
static void load_operand(struct translation *t, const struct piece *piece, struct cold **out_cold) {
    if (piece->memory_bytes)
        x86_op(&t->a, X86_MOV_LOAD | (piece->op & X86_W), HOST_B, dbt_reach(t, piece, out_cold));
    else
        dbt_get(t, HOST_B, piece->rm.reg);
}

static void operate(struct translation *t, const struct piece *piece) {
    dbt_get(t, HOST_A, VM_RAX);
    x86_op(&t->a, X86_CODE(0, 0, 0xF7) | (piece->op & X86_W), piece->extension, x86_reg(HOST_B));
    dbt_set(t, VM_RAX, HOST_A);
}

void dbt_mul(struct translation *t, const struct piece *piece) {
    struct cold *cold = NULL;
    load_operand(t, piece, &cold);
    operate(t, piece);
    dbt_flags_made(t, piece);
    dbt_cold_done(t, cold);
}

/* Only what certainly raises nothing: the quotient has to fit. */
static void guard_unsigned(struct translation *t, uint32_t w, const struct cold *cold) {
    x86_op(&t->a, X86_CMP | w, RDX, x86_reg(HOST_B));
    x86_branch(&t->a, CC_AE, cold->label);
}
static void guard_signed(struct translation *t, uint32_t w, const struct cold *cold) {
    dbt_get(t, HOST_A, VM_RAX);
    x86_shift_imm(&t->a, 7, w, HOST_A, w ? 63 : 31);
    x86_op(&t->a, X86_CMP | w, HOST_A, x86_reg(RDX));
    x86_branch(&t->a, CC_NE, cold->label);
    x86_op(&t->a, X86_LEA | w, HOST_A, x86_mem(HOST_B, 1));
    x86_alu_imm(&t->a, 7, w, x86_reg(HOST_A), 1);
    x86_branch(&t->a, CC_BE, cold->label); /* divisors 0 and -1 */
}

void dbt_div(struct translation *t, const struct piece *piece) {
    const uint32_t w = piece->op & X86_W;
    struct cold *cold = NULL;
    load_operand(t, piece, &cold);
    /* What raises an exception, or may, goes another way than what has no address. */
    dbt_spoil_flags(t, piece);
    struct cold *raises = dbt_cold(t, piece);
    if (piece->form == FORM_DIV)
        guard_unsigned(t, w, raises);
    else
        guard_signed(t, w, raises);
    operate(t, piece);
    dbt_flags_made(t, piece);
    dbt_cold_done(t, raises);
    dbt_cold_done(t, cold);
}

void dbt_cmpxchg(struct translation *t, const struct piece *piece) {
    const int reg = dbt_host(piece->reg.reg);
    struct cold *cold = NULL;
    struct x86_rm rm = x86_mem(HOST_B, 0);
    struct place place = {.scratch = HOST_NONE};
    if (piece->memory_bytes) {
        rm = dbt_reach(t, piece, &cold);
        x86_op(&t->a, X86_MOV_LOAD | X86_W, rm.base = HOST_B, x86_reg(HOST_A));
    } else {
        place = enter_field(t, &piece->rm, HOST_B, true);
        rm = place.rm;
    }
    dbt_get(t, HOST_A, VM_RAX);
    write_instruction(t, piece, piece->op, reg, 0, rm);
    if (!piece->memory_bytes) leave_field(t, &piece->rm, &place);
    /* A register operand that is rax has its new value already. */
    if (piece->memory_bytes || piece->rm.reg != VM_RAX) dbt_set(t, VM_RAX, HOST_A);
    dbt_flags_made(t, piece);
    dbt_cold_done(t, cold);
}
