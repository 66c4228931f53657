/* sysvm/cpu/soft/decode.c: bytes -> struct soft_insn. Zydis knows the encodings; what stands here is its words put
 * into ours, and the row of the semantics table looked up. */
#include <Zydis/Decoder.h>
#include <Zydis/Register.h>
#include <string.h>
#include "sysvm/cpu/soft/insn.h"
#include "sysvm/cpu/soft/system.h"
#include "sysvm/cpu/soft/vector.h"

/* ---- the table ---- */

#define INSN(name, handler) [ZYDIS_MNEMONIC_##name] = handler,
#define NATIVE(name, form)  [ZYDIS_MNEMONIC_##name] = soft_native,
#define VARIANT(name, what, handler)
static soft_handler *const plain[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#include "sysvm/cpu/soft/semantics.def"
};
#undef INSN
#undef NATIVE
#undef VARIANT

#define INSN(name, handler)
#define NATIVE(name, form)
#define VARIANT(name, what, handler) {ZYDIS_MNEMONIC_##name, SOFT_VARIANT_##what, handler},
static const struct {
    uint16_t mnemonic;
    uint8_t variant;
    soft_handler *run;
} variants[] = {
#include "sysvm/cpu/soft/semantics.def"
};
#undef INSN
#undef NATIVE
#undef VARIANT

soft_handler *soft_handler_of(unsigned mnemonic, enum soft_variant variant) {
    for (size_t i = 0; variant && i < sizeof variants / sizeof *variants; i++)
        if (variants[i].mnemonic == mnemonic && variants[i].variant == variant) return variants[i].run;
    if (variant && variant != SOFT_VARIANT_STRING) return NULL;
    return mnemonic <= ZYDIS_MNEMONIC_MAX_VALUE ? plain[mnemonic] : NULL;
}

static enum soft_variant variant_of(const struct soft_insn *insn, const ZydisDecodedInstruction *decoded) {
    if (decoded->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return SOFT_VARIANT_FAR;
    if (decoded->meta.category == ZYDIS_CATEGORY_STRINGOP) return SOFT_VARIANT_STRING;
    for (unsigned i = 0; i < insn->n_operands; i++) {
        if (insn->operands[i].kind == SOFT_SEGMENT) return SOFT_VARIANT_SEGMENT;
        if (insn->operands[i].kind == SOFT_CR) return SOFT_VARIANT_CR;
        if (insn->operands[i].kind == SOFT_DR) return SOFT_VARIANT_DR;
    }
    return SOFT_PLAIN;
}

/* ---- operands ---- */

static bool set_register(struct soft_operand *out, ZydisRegister reg) {
    ZyanI8 id = ZydisRegisterGetId(reg);
    out->reg = (uint8_t)id;
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8: /* al cl dl bl ah ch dh bh spl bpl sil dil r8b .. */
        out->kind = id >= 4 && id < 8 ? SOFT_GPR_HIGH : SOFT_GPR;
        if (id >= 4) out->reg = (uint8_t)(id - 4);
        return true;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: out->kind = SOFT_GPR; return true;
    case ZYDIS_REGCLASS_X87: out->kind = SOFT_ST; return true;
    case ZYDIS_REGCLASS_MMX: out->kind = SOFT_MM; return true;
    case ZYDIS_REGCLASS_XMM: out->kind = SOFT_XMM; return true;
    case ZYDIS_REGCLASS_YMM: out->kind = SOFT_YMM; return true;
    case ZYDIS_REGCLASS_SEGMENT: out->kind = SOFT_SEGMENT; return true;
    case ZYDIS_REGCLASS_CONTROL: out->kind = SOFT_CR; return true;
    case ZYDIS_REGCLASS_DEBUG: out->kind = SOFT_DR; return true;
    default: return false;
    }
}

static uint8_t address_register(ZydisRegister reg) {
    if (reg == ZYDIS_REGISTER_NONE) return SOFT_NO_REG;
    if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_IP) return SOFT_RIP;
    return (uint8_t)ZydisRegisterGetId(reg);
}

static bool set_memory(struct soft_insn *insn, struct soft_operand *out,
                       const ZydisDecodedOperandMem *memory) {
    if (memory->type == ZYDIS_MEMOP_TYPE_VSIB) {
        /* The index is a vector: base, scale and displacement as ever, the register's number as index. */
        insn->index = (uint8_t)ZydisRegisterGetId(memory->index);
    } else {
        insn->index = address_register(memory->index);
    }
    out->kind = SOFT_MEM;
    insn->base = address_register(memory->base);
    insn->scale = memory->scale ? memory->scale : 1;
    insn->displacement = memory->disp.has_displacement ? memory->disp.value : 0;
    if (memory->segment != ZYDIS_REGISTER_NONE) insn->segment = (uint8_t)ZydisRegisterGetId(memory->segment);
    return true;
}

static void set_immediate(struct soft_insn *insn, struct soft_operand *out,
                          const ZydisDecodedOperandImm *imm) {
    out->kind = SOFT_IMM;
    if (insn->mnemonic == ZYDIS_MNEMONIC_ENTER && out == insn->operands + 1)
        insn->immediate |= imm->value.u << 16;
    else
        insn->immediate = imm->value.u;
}

static bool set_operand(struct soft_insn *insn, struct soft_operand *out, const ZydisDecodedOperand *from) {
    out->n_bytes = (uint16_t)(from->size / 8);
    switch (from->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER: return set_register(out, from->reg.value);
    case ZYDIS_OPERAND_TYPE_MEMORY: return set_memory(insn, out, &from->mem);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE: set_immediate(insn, out, &from->imm); return true;
    case ZYDIS_OPERAND_TYPE_POINTER:
        out->kind = SOFT_FAR;
        insn->immediate = from->ptr.offset | (uint64_t)from->ptr.segment << 32;
        return true;
    default: return false;
    }
}

/* A SIB byte without a base has none whatever REX.B says; the decoder thinks of r13 where addresses have 32 bits. */
static void drop_base(struct soft_insn *insn, const ZydisDecodedInstruction *decoded) {
    const ZydisDecodedInstructionRaw *raw = &decoded->raw;
    if (!(decoded->attributes & ZYDIS_ATTRIB_HAS_SIB) || raw->modrm.mod != 0 || raw->sib.base != 5) return;
    insn->base = SOFT_NO_REG;
    insn->displacement = raw->disp.value;
}

/* ---- the instruction ---- */

static uint8_t override_segment(ZydisInstructionAttributes attributes) {
    static const ZydisInstructionAttributes overrides[] = {
        [VM_ES] = ZYDIS_ATTRIB_HAS_SEGMENT_ES, [VM_CS] = ZYDIS_ATTRIB_HAS_SEGMENT_CS,
        [VM_SS] = ZYDIS_ATTRIB_HAS_SEGMENT_SS, [VM_DS] = ZYDIS_ATTRIB_HAS_SEGMENT_DS,
        [VM_FS] = ZYDIS_ATTRIB_HAS_SEGMENT_FS, [VM_GS] = ZYDIS_ATTRIB_HAS_SEGMENT_GS};
    for (uint8_t i = VM_ES; i <= VM_GS; i++)
        if (attributes & overrides[i]) return i;
    return VM_DS;
}

static void set_shape(struct soft_insn *out, const ZydisDecodedInstruction *from) {
    out->mnemonic = (uint16_t)from->mnemonic;
    out->length = from->length;
    out->operand_bytes = from->operand_width / 8;
    out->address_bytes = from->address_width / 8;
    out->n_operands = from->operand_count_visible;
    out->lock = (from->attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0;
    out->rep = (from->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)) != 0;
    out->repne = (from->attributes & ZYDIS_ATTRIB_HAS_REPNE) != 0;
    out->segment = override_segment(from->attributes);
    out->base = out->index = SOFT_NO_REG;
    out->scale = 1;
}

static void init_decoder(ZydisDecoder *decoder, enum soft_mode mode) {
    static const struct {
        uint8_t machine, stack;
    } modes[] = {[SOFT_REAL] = {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
                 [SOFT_V86] = {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
                 [SOFT_PROTECTED16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
                 [SOFT_PROTECTED32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
                 [SOFT_COMPAT16] = {ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16},
                 [SOFT_COMPAT32] = {ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32},
                 [SOFT_LONG64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64}};
    ZydisDecoderInit(decoder, modes[mode].machine, modes[mode].stack);
    /* Without MPX and CLDEMOTE their encodings are the nops they were made from. */
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

static enum soft_decoded refused(ZyanStatus status, unsigned n_bytes) {
    if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) return SOFT_DECODE_LONG;
    if (status != ZYDIS_STATUS_NO_MORE_DATA) return SOFT_DECODE_UD;
    return n_bytes < SOFT_INSN_MAX ? SOFT_DECODE_MORE : SOFT_DECODE_LONG;
}

enum soft_decoded soft_decode(enum soft_mode mode, const uint8_t *bytes, unsigned n_bytes,
                              struct soft_insn *out) {
    ZydisDecoder decoder;
    ZydisDecoderContext context;
    ZydisDecodedInstruction decoded;
    ZydisDecodedOperand operands[SOFT_OPERANDS_MAX];
    init_decoder(&decoder, mode);
    if (n_bytes > SOFT_INSN_MAX) n_bytes = SOFT_INSN_MAX;
    ZyanStatus status = ZydisDecoderDecodeInstruction(&decoder, &context, bytes, n_bytes, &decoded);
    if (!ZYAN_SUCCESS(status)) return refused(status, n_bytes);
    if (decoded.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        decoded.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        return SOFT_DECODE_UD;
    if (decoded.meta.isa_ext == ZYDIS_ISA_EXT_KNC) return SOFT_DECODE_UD; /* lzcnt and others with VEX */
    if (decoded.operand_count_visible > SOFT_OPERANDS_MAX) return SOFT_DECODE_UD;
    status =
        ZydisDecoderDecodeOperands(&decoder, &context, &decoded, operands, decoded.operand_count_visible);
    if (!ZYAN_SUCCESS(status)) return SOFT_DECODE_UD;
    memset(out, 0, sizeof *out);
    set_shape(out, &decoded);
    memcpy(out->bytes, bytes, out->length);
    for (unsigned i = 0; i < out->n_operands; i++)
        if (!set_operand(out, out->operands + i, operands + i)) return SOFT_DECODE_UD;
    drop_base(out, &decoded);
    soft_handler *handler = soft_handler_of(out->mnemonic, variant_of(out, &decoded));
    out->run = handler ? handler : soft_undefined;
    out->run = soft_alu_form(out);
    out->run = soft_move_form(out);
    return SOFT_DECODED;
}

enum soft_step soft_undefined(struct soft_cpu *cpu, const struct soft_insn *insn) {
    (void)insn;
    return soft_raise_ud(cpu);
}
