/* sysvm/cpu/translate/read.c: what the translator has to know of an instruction.
 * source  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 */
#include <Zydis/Decoder.h>
#include <Zydis/Register.h>
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/translate/internal.h"

struct decoded {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static enum form form_of(unsigned mnemonic) {
#define FORM(name, form) [ZYDIS_MNEMONIC_##name] = FORM_##form,
    static const uint8_t forms[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#include "sysvm/cpu/translate/forms.def"
    };
#undef FORM
    return forms[mnemonic];
}

/* ---- operands ---- */

enum { NO_GPR = -1, RSP_BIT = 1 << VM_RSP };

/* The number of a general register, whatever its width; NO_GPR: another kind of register. */
static int gpr_of(ZydisRegister reg, bool *out_high) {
    int id = ZydisRegisterGetId(reg);
    *out_high = false;
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8: /* al cl dl bl ah ch dh bh spl .. */
        *out_high = id >= 4 && id < 8;
        return id >= 4 ? id - 4 : id;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: return id;
    default: return NO_GPR;
    }
}

/* What is written under a condition keeps, else, what it was. */
static bool is_read(const ZydisDecodedOperand *o) {
    return o->actions & (ZYDIS_OPERAND_ACTION_MASK_READ | ZYDIS_OPERAND_ACTION_CONDWRITE);
}
static bool is_written(const ZydisDecodedOperand *o) { return o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE; }

/* False: the register is implied. */
static bool set_field(const ZydisDecodedOperand *o, const struct field *field, struct piece *out) {
    switch (o->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG: out->reg = *field; return true;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
    case ZYDIS_OPERAND_ENCODING_OPCODE: out->rm = *field; return true;
    case ZYDIS_OPERAND_ENCODING_NDSNDD: out->vvvv = *field; return true;
    default: return false;
    }
}

/* False: no form is for such a register. */
static bool read_register(const ZydisDecodedOperand *o, struct piece *out) {
    bool is_high;
    int reg = gpr_of(o->reg.value, &is_high);
    struct field field = {(int8_t)reg, is_high, false, is_read(o), is_written(o), (uint8_t)(o->size / 8)};
    if (reg == NO_GPR) {
        const ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);
        field.reg = ZydisRegisterGetId(o->reg.value);
        field.is_vector = class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM;
        if (!field.is_vector) return o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN; /* flags, rip */
        set_field(o, &field, out);
        return true;
    }
    if (is_read(o)) out->gpr_read |= 1u << reg;
    if (is_written(o)) out->gpr_written |= 1u << reg;
    if (!set_field(o, &field, out)) /* implied: only rcx and rdx are where the host has them */
        out->implies_other |= reg != VM_RCX && reg != VM_RDX;
    return true;
}

static void read_memory(const ZydisDecodedOperand *o, struct piece *out) {
    if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN) return; /* the stack, of push and call */
    out->memory_bytes = (uint8_t)(o->size / 8);
    out->memory_written = is_written(o);
}

static bool read_operands(const struct decoded *d, struct piece *out) {
    for (unsigned i = 0; i < d->insn.operand_count; i++) {
        const ZydisDecodedOperand *o = d->operands + i;
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            if (!read_register(o, out)) return false;
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            read_memory(o, out);
        } else if (o->type == ZYDIS_OPERAND_TYPE_POINTER) {
            return false;
        }
    }
    const struct soft_insn *insn = out->insn;
    if (insn->base < 16) out->gpr_read |= 1u << insn->base;
    if (insn->index < 16) out->gpr_read |= 1u << insn->index;
    return true;
}

/* ---- the opcode ---- */

static unsigned map_of(const ZydisDecodedInstruction *insn) {
    switch (insn->opcode_map) {
    case ZYDIS_OPCODE_MAP_0F: return 1;
    case ZYDIS_OPCODE_MAP_0F38: return 2;
    case ZYDIS_OPCODE_MAP_0F3A: return 3;
    default: return 0;
    }
}

/* 0: none; 1, 2, 3: 66, F3, F2. */
static unsigned prefix_of(const ZydisDecodedInstruction *insn) {
    unsigned prefix = 0;
    if (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) return insn->raw.vex.pp;
    for (unsigned i = 0; i < insn->raw.prefix_count; i++) {
        if (insn->raw.prefixes[i].type != ZYDIS_PREFIX_TYPE_MANDATORY) continue;
        unsigned value = insn->raw.prefixes[i].value;
        prefix = value == 0x66 ? 1 : value == 0xF3 ? 2 : 3;
    }
    return !prefix && insn->operand_width == 16 ? 1 : prefix;
}

/* 66 and another one: two prefixes that both say something. */
static bool has_two_prefixes(const struct decoded *d) {
    return d->insn.operand_width == 16 && prefix_of(&d->insn) > 1;
}

static bool has_byte(const struct field *field) {
    return field->reg >= 0 && !field->is_vector && field->n_bytes == 1;
}

static void read_opcode(const struct decoded *d, struct piece *out) {
    const ZydisDecodedInstruction *insn = &d->insn;
    out->op = X86_CODE(prefix_of(insn), map_of(insn), insn->opcode);
    if (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
        out->op |= X86_VEX | (insn->raw.vex.W ? X86_W : 0) | (insn->raw.vex.L ? X86_L : 0);
    } else {
        out->op |= insn->raw.rex.W ? X86_W : 0;
    }
    const bool is_alias = out->op == X86_CODE(0, 0, 0x82); /* of 80, in 32-bit code */
    if (is_alias) out->op = X86_CODE(0, 0, 0x80);
    if (has_byte(&out->reg)) out->op |= X86_BYTE;
    if (has_byte(&out->rm)) out->op |= X86_BYTE_RM;
    out->extension = insn->raw.modrm.reg;
    out->imm_bytes = (uint8_t)(insn->raw.imm[0].size / 8);
    out->imm = (int32_t)insn->raw.imm[0].value.u;
}

/* The short encodings of operations on the accumulator are written as the others. False: there is none. */
static bool read_accumulator(const struct decoded *d, struct piece *out) {
    const ZydisDecodedInstruction *insn = &d->insn;
    if (insn->attributes & ZYDIS_ATTRIB_HAS_MODRM) return true;
    if (insn->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) return out->form != FORM_SAME;
    const unsigned opcode = insn->opcode;
    const bool wide = opcode & 1;
    uint32_t flags = out->op & ~0xFFu;
    struct field rax = {
        .reg = VM_RAX, .read = true, .written = true, .n_bytes = (uint8_t)(d->operands[0].size / 8)};
    if (opcode < 0x40 && (opcode & 7) >= 4 && (opcode & 7) <= 5) {
        out->extension = (uint8_t)(opcode >> 3);
        out->op = flags | (wide ? 0x81 : 0x80);
        rax.written = out->extension != 7;
    } else if (opcode == 0xA8 || opcode == 0xA9) {
        out->extension = 0;
        out->op = flags | (wide ? 0xF7 : 0xF6);
        rax.written = false;
    } else if (opcode >= 0x40 && opcode < 0x50) { /* inc, dec of 32-bit code */
        out->extension = opcode >> 3 & 1;
        out->op = flags | 0xFF;
        return true;
    } else if (opcode > 0x90 && opcode < 0x98) { /* xchg */
        out->op = flags | 0x87;
        out->reg = rax;
        return true;
    } else {
        return out->form != FORM_SAME;
    }
    if (!wide) out->op |= X86_BYTE_RM;
    out->rm = rax;
    return true;
}

/* ---- flags ---- */

static void read_flags(const struct decoded *d, struct piece *out) {
    const ZydisAccessedFlags *flags = d->insn.cpu_flags;
    if (!flags) return;
    out->flags_read = (uint16_t)(flags->tested & SOFT_ARITHMETIC);
    out->flags_written =
        (uint16_t)((flags->modified | flags->set_0 | flags->set_1 | flags->undefined) & SOFT_ARITHMETIC);
    switch (d->insn.meta.category) {
    case ZYDIS_CATEGORY_SHIFT:
    case ZYDIS_CATEGORY_ROTATE: /* a count of 0 leaves all flags as they are */
        if (out->imm_bytes && out->insn->immediate & 0x1F) return;
        if (d->insn.opcode == 0xD0 || d->insn.opcode == 0xD1) return;
        if (!out->flags_written) return; /* sarx, rorx ... */
        out->flags_read |= out->flags_written;
        return;
    default: return;
    }
}

/* ---- vectors ---- */

/* Whatever native.h runs as it is, on xmm and ymm. */
static bool is_vector(const struct soft_insn *insn) {
    const struct native_form *form = insn->native;
    return insn->run == soft_native && form && !form->is_x87 && !form->is_mmx && form->is_vector;
}

static void read_vector(const struct soft_insn *insn, struct piece *out) {
    const struct native_form *form = insn->native;
    out->form = FORM_VECTOR;
    out->vectors = form->vex ? 2 : 1;
    if (form->aligned) out->alignment = form->memory_bytes;
}

/* ---- what has no form after all ---- */

/* An instruction that this host lacks may be there by another name. */
static bool host_has(const struct soft_translator *translator, const ZydisDecodedInstruction *insn) {
    switch (insn->meta.isa_set) {
    case ZYDIS_ISA_SET_BMI1: return translator->has_bmi1;
    case ZYDIS_ISA_SET_BMI2: return translator->has_bmi2;
    case ZYDIS_ISA_SET_ADOX_ADCX: return translator->has_adx;
    case ZYDIS_ISA_SET_MOVBE: return translator->has_movbe;
    case ZYDIS_ISA_SET_POPCNT: return translator->has_popcnt;
    case ZYDIS_ISA_SET_LZCNT: return translator->has_lzcnt;
    default: return true;
    }
}

static bool is_divide(unsigned form) { return form == FORM_DIV || form == FORM_IDIV; }

static bool is_privileged(unsigned form) {
    return form == FORM_CLI || form == FORM_STI || form == FORM_SWAPGS;
}

static bool is_in_place(const struct field *field) {
    return field->reg < 0 || field->is_vector || (!field->is_high && dbt_host(field->reg) != HOST_NONE);
}

/* Beside a memory operand, whose address needs a register, and flags that have to be loaded, which need another. */
static bool has_registers(const struct piece *piece) {
    const bool asks = piece->flags_read || (piece->flags_written && piece->flags_written != SOFT_ARITHMETIC);
    if (piece->form == FORM_CMPXCHG) return is_in_place(&piece->reg);
    return !piece->memory_bytes || !asks || is_in_place(&piece->reg);
}

/* What 32-bit code has of its own: other segments than those that are known, addresses of 16 bits, encodings that mean
 * another register or width in 64-bit mode. */
static bool is_served_32(const struct decoded *d, const struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    if (d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && d->insn.raw.vex.W) return false;
    for (unsigned i = 0; i < d->insn.operand_count; i++)
        if (d->operands[i].encoding == ZYDIS_OPERAND_ENCODING_IS4) return false;
    if (piece->form == FORM_ZEROUPPER) return false; /* of eight registers */
    if (piece->form == FORM_LEA) return insn->address_bytes == 4;
    if (!piece->memory_bytes || piece->form == FORM_NOTHING) return true;
    if (insn->address_bytes != 4 || insn->segment == VM_ES || insn->segment == VM_CS) return false;
    return insn->segment < VM_FS || insn->base != SOFT_NO_REG || insn->index != SOFT_NO_REG ||
           (uint32_t)insn->displacement <= UINT32_MAX - piece->memory_bytes + 1;
}

static bool is_served(const struct soft_translator *translator, unsigned width, const struct decoded *d,
                      const struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    const struct field *fields[] = {&piece->reg, &piece->rm, &piece->vvvv};
    bool has_high = false;
    for (unsigned i = 0; i < 3; i++) has_high |= fields[i]->reg >= 0 && fields[i]->is_high;
    if (d->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        d->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        return false;
    if (insn->run == soft_undefined) return false;
    if (insn->rep || insn->repne) {
        if (piece->form != FORM_RET && piece->form != FORM_NOTHING && piece->form != FORM_JCC &&
            piece->form != FORM_JMP && piece->form != FORM_CALL)
            return false;
    }
    if (d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || has_two_prefixes(d)) return false;
    /* Both written, and one of them not in place: which comes last, is the question. */
    if (piece->reg.reg >= 0 && !piece->reg.is_vector && piece->reg.reg == piece->rm.reg &&
        piece->reg.written && piece->rm.written && (has_high || dbt_host(piece->rm.reg) == HOST_NONE))
        return false;
    if (!has_registers(piece) || (has_high && !translator->has_bmi2)) return false;
    if (has_high && piece->form != FORM_SAME && piece->form != FORM_MOV) return false;
    if (has_high && piece->memory_bytes && piece->reg.written && piece->memory_written) return false;
    if (insn->base == SOFT_RIP && insn->displacement > INT32_MAX - 2 * (int64_t)VM_PAGE) return false;
    if (piece->form == FORM_LEA) return insn->operand_bytes >= 4;
    switch ((enum form)piece->form) {
    case FORM_PUSH:
    case FORM_POP: {
        const struct soft_operand *o = insn->operands;
        const bool memory = o->kind == SOFT_MEM && piece->form == FORM_PUSH;
        if (insn->operand_bytes != width || (o->kind != SOFT_GPR && o->kind != SOFT_IMM && !memory))
            return false;
        return true;
    }
    case FORM_LEAVE:
    case FORM_RET: return insn->operand_bytes == width;
    case FORM_JMP:
    case FORM_CALL:
        return insn->operand_bytes == width ||
               (insn->operands[0].kind == SOFT_IMM && insn->operand_bytes == 4);
    case FORM_JCC: return insn->operand_bytes != 2;
    case FORM_BIT: return !piece->memory_bytes || piece->reg.reg < 0;
    case FORM_BSWAP: return insn->operand_bytes >= 4;
    case FORM_MOV: return d->insn.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
    default: break;
    }
    if (is_divide(piece->form) || piece->form == FORM_MUL) return insn->operand_bytes >= 4;
    return true;
}

static void leave_to_handler(struct piece *out) {
    out->form = FORM_HANDLER;
    out->vectors = out->x87 = 0;
    out->observes = true;
}

/* Of 32-bit code. */
static uint8_t segments_of(const struct piece *piece) {
    if (!piece->memory_bytes || piece->form == FORM_HANDLER || piece->form == FORM_LEA ||
        piece->form == FORM_NOTHING)
        return 0;
    return piece->insn->segment == VM_FS ? SOFT_FLAT_FS : piece->insn->segment == VM_GS ? SOFT_FLAT_GS : 0;
}

static bool decode(enum soft_mode mode, const struct soft_insn *insn, struct decoded *out) {
    ZydisDecoder decoder;
    if (mode == SOFT_LONG64)
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else if (mode == SOFT_COMPAT32)
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
    else
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    return ZYAN_SUCCESS(
        ZydisDecoderDecodeFull(&decoder, insn->bytes, insn->length, &out->insn, out->operands));
}

void dbt_read(const struct soft_translator *translator, enum soft_mode mode, const struct soft_insn *insn,
              struct piece *out) {
    static const struct field none = {.reg = -1};
    const unsigned width = mode == SOFT_LONG64 ? 8 : 4;
    struct decoded d;
    *out = (struct piece){.insn = insn, .observes = true, .reg = none, .rm = none, .vvvv = none};
    if (!decode(mode, insn, &d)) return;
    if (dbt_read_x87(insn, out)) {
        read_flags(&d, out);
        if (width == 4 && !is_served_32(&d, out)) leave_to_handler(out);
        if (width == 4) out->segments = segments_of(out);
        return;
    }
    out->form = (uint8_t)form_of(d.insn.mnemonic);
    if (out->form == FORM_HANDLER && is_vector(insn)) read_vector(insn, out);
    if (out->form == FORM_ZEROUPPER) out->vectors = 2;
    if (out->form == FORM_HANDLER) return;
    bool served = read_operands(&d, out);
    read_opcode(&d, out);
    read_flags(&d, out);
    if (out->form == FORM_SAME && d.insn.mnemonic == ZYDIS_MNEMONIC_IMUL && d.insn.operand_count_visible == 1)
        out->form = FORM_MUL;
    if (out->form == FORM_VECTOR && out->implies_other) served = false;
    if (width == 4 && !is_served_32(&d, out)) served = false;
    if (!served || !read_accumulator(&d, out) || !is_served(translator, width, &d, out) ||
        !host_has(translator, &d.insn)) {
        leave_to_handler(out);
        return;
    }
    if (d.insn.mnemonic == ZYDIS_MNEMONIC_BSF || d.insn.mnemonic == ZYDIS_MNEMONIC_BSR)
        out->reg.read = true; /* of 0 there is no result */
    switch ((enum form)out->form) {
    case FORM_PUSH:
    case FORM_CALL: out->stack = STACK_PUSH; break;
    case FORM_POP:
    case FORM_RET: out->stack = STACK_POP; break;
    case FORM_LEAVE: out->stack = STACK_FRAME; break;
    default: break;
    }
    if (width == 4) out->segments = segments_of(out);
    if (out->form == FORM_NOTHING || out->form == FORM_LEA) out->memory_bytes = 0;
    out->observes = out->memory_bytes || out->stack || is_divide(out->form) || is_privileged(out->form);
}
