/* sysvm/cpu/soft/native_form.c: from an instruction to its form.
 *
 *   0F 58 /r with xmm9, [rbx + 8]      becomes    40 0F 58 /r with xmm1, [rdi]
 * Prefixes that only form addresses go, REX or a three-byte VEX is always there, registers get the number of their
 * slot; opcode, immediate and what else selects the operation stay. Equal bytes, equal form.
 * source  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 */
#include <Zydis/Decoder.h>
#include <Zydis/Register.h>
#include <cpuid.h>
#include <string.h>
#include "sysvm/cpu/soft/native.h"

struct decoded {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* ---- what the host has ---- */

static bool host_bit(unsigned leaf, char reg, unsigned bit) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(leaf, 0, &a, &b, &c, &d)) return false;
    return (reg == 'b' ? b : reg == 'c' ? c : d) >> bit & 1;
}

/* The system has to have enabled AVX, too. */
bool native_host_has_avx(void) {
    if (!host_bit(1, 'c', 27) || !host_bit(1, 'c', 28)) return false;
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

static bool host_has(ZydisISASet set) {
    switch (set) {
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87: return host_bit(1, 'c', 0);
    case ZYDIS_ISA_SET_PCLMULQDQ: return host_bit(1, 'c', 1);
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX: return host_bit(1, 'c', 9);
    case ZYDIS_ISA_SET_SSE4: return host_bit(1, 'c', 19);
    case ZYDIS_ISA_SET_SSE42: return host_bit(1, 'c', 20);
    case ZYDIS_ISA_SET_AES: return host_bit(1, 'c', 25);
    case ZYDIS_ISA_SET_AVX: return native_host_has_avx();
    case ZYDIS_ISA_SET_AVXAES: return native_host_has_avx() && host_bit(1, 'c', 25);
    case ZYDIS_ISA_SET_FMA: return native_host_has_avx() && host_bit(1, 'c', 12);
    case ZYDIS_ISA_SET_F16C: return native_host_has_avx() && host_bit(1, 'c', 29);
    case ZYDIS_ISA_SET_AVX2: return native_host_has_avx() && host_bit(7, 'b', 5);
    case ZYDIS_ISA_SET_BMI1: return native_host_has_avx() && host_bit(7, 'b', 3);
    case ZYDIS_ISA_SET_BMI2: return native_host_has_avx() && host_bit(7, 'b', 8);
    case ZYDIS_ISA_SET_ADOX_ADCX: return host_bit(7, 'b', 19);
    case ZYDIS_ISA_SET_SHA: return host_bit(7, 'b', 29);
    case ZYDIS_ISA_SET_GFNI: return host_bit(7, 'c', 8);
    case ZYDIS_ISA_SET_AVX_GFNI: return native_host_has_avx() && host_bit(7, 'c', 8);
    case ZYDIS_ISA_SET_VAES: return native_host_has_avx() && host_bit(7, 'c', 9);
    case ZYDIS_ISA_SET_VPCLMULQDQ: return native_host_has_avx() && host_bit(7, 'c', 10);
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX: return true; /* x86-64 */
    default: return false;
    }
}

/* ---- operands ---- */

static uint8_t vector_slot(ZydisOperandEncoding encoding) {
    switch (encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG: return SLOT_REG;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM: return SLOT_RM;
    case ZYDIS_OPERAND_ENCODING_NDSNDD: return SLOT_VVVV;
    case ZYDIS_OPERAND_ENCODING_IS4: return SLOT_IS4;
    default: return SLOT_IMPLICIT;
    }
}

static bool gpr_slot(const ZydisDecodedOperand *from, uint8_t *out) {
    switch (from->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG: *out = GPR_REG; return true;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM: *out = GPR_RM; return true;
    case ZYDIS_OPERAND_ENCODING_NDSNDD: *out = GPR_VVVV; return true;
    default: break;
    }
    ZyanI8 id = ZydisRegisterGetId(from->reg.value);
    *out = (uint8_t)id; /* GPR_RAX .. GPR_RDX have the registers' numbers */
    return id >= 0 && id <= GPR_RDX;
}

static bool add_register(struct native_form *form, const ZydisDecodedOperand *from, uint8_t index) {
    struct native_operand operand = {
        .index = index, .n_bytes = (uint8_t)(from->size / 8), .slot = vector_slot(from->encoding)};
    operand.is_out = (from->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    operand.reg = (uint8_t)ZydisRegisterGetId(from->reg.value);
    switch (ZydisRegisterGetClass(from->reg.value)) {
    case ZYDIS_REGCLASS_XMM: operand.kind = SOFT_XMM, form->is_vector = true; break;
    case ZYDIS_REGCLASS_YMM: operand.kind = SOFT_YMM, form->is_vector = form->wide = true; break;
    case ZYDIS_REGCLASS_MMX: operand.kind = SOFT_MM, form->is_mmx = true; break;
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        operand.kind = SOFT_GPR;
        if (!gpr_slot(from, &operand.slot)) return false;
        break;
    case ZYDIS_REGCLASS_FLAGS: form->flags = true; return true;
    case ZYDIS_REGCLASS_X87: form->is_x87 = true; return true;
    default: return true; /* mxcsr, status and control word: the class of the instruction tells */
    }
    if (form->n_operands == NATIVE_OPERANDS_MAX) return false;
    form->operands[form->n_operands++] = operand;
    return true;
}

static bool add_memory(struct native_form *form, const ZydisDecodedOperand *from) {
    unsigned n_bytes = from->size / 8;
    if (form->memory_bytes || !n_bytes || n_bytes > 32) return false;
    form->memory_bytes = (uint8_t)n_bytes;
    form->memory_in = (from->actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
    form->memory_out = (from->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    return true;
}

static bool add_operands(struct native_form *form, const struct decoded *d) {
    for (uint8_t i = 0; i < d->insn.operand_count; i++) {
        const ZydisDecodedOperand *from = d->operands + i;
        bool hidden = from->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
        bool added = true;
        if (from->type == ZYDIS_OPERAND_TYPE_REGISTER)
            added = add_register(form, from, hidden ? NATIVE_HIDDEN : i);
        else if (from->type == ZYDIS_OPERAND_TYPE_MEMORY)
            added = !hidden && add_memory(form, from);
        if (!added) return false;
    }
    return true;
}

/* ---- bytes ---- */

static void put(struct native_form *form, unsigned byte) { form->key[form->n_key++] = (uint8_t)byte; }

/* The number that a register operand encoded at `encoding` has in the form, or -1: there is none. */
static int field_number(const struct decoded *d, ZydisOperandEncoding encoding) {
    for (uint8_t i = 0; i < d->insn.operand_count; i++) {
        const ZydisDecodedOperand *o = d->operands + i;
        if (o->encoding != encoding || o->type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
        ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);
        bool is_vector =
            class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM || class == ZYDIS_REGCLASS_MMX;
        uint8_t slot = vector_slot(encoding);
        if (is_vector) return slot;
        return slot == SLOT_REG ? 9 : slot == SLOT_RM ? 10 : 11;
    }
    return -1;
}

/* Outside 64-bit mode W does not make general registers wide. */
static bool effective_w(const struct soft_cpu *cpu, const struct decoded *d, bool w) {
    if (cpu->mode == SOFT_LONG64) return w;
    for (uint8_t i = 0; i < d->insn.operand_count_visible; i++)
        if (d->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(d->operands[i].reg.value) == ZYDIS_REGCLASS_GPR32)
            return false;
    const unsigned opcode = d->insn.opcode;
    bool is_moved = false;
    if (d->insn.opcode_map == ZYDIS_OPCODE_MAP_0F)
        is_moved = opcode == 0x6E || opcode == 0x7E || opcode == 0x2A;
    else if (d->insn.opcode_map == ZYDIS_OPCODE_MAP_0F3A) /* the lengths of strings are in eax and edx */
        is_moved = opcode == 0x16 || opcode == 0x22 || opcode == 0x60 || opcode == 0x61;
    return w && !is_moved;
}

struct fields {
    unsigned modrm, r, b, vvvv;
};

static struct fields fields_of(const struct decoded *d) {
    int reg = field_number(d, ZYDIS_OPERAND_ENCODING_MODRM_REG);
    int rm = field_number(d, ZYDIS_OPERAND_ENCODING_MODRM_RM);
    int vvvv = field_number(d, ZYDIS_OPERAND_ENCODING_NDSNDD);
    unsigned r = reg < 0 ? d->insn.raw.modrm.reg : (unsigned)reg;
    bool is_memory = d->insn.raw.modrm.mod != 3;
    unsigned m = is_memory ? 7 : rm < 0 ? d->insn.raw.modrm.rm : (unsigned)rm;
    return (struct fields){.modrm = (is_memory ? 0u : 0xC0u) | (r & 7) << 3 | (m & 7),
                           .r = r >> 3,
                           .b = is_memory ? 0 : m >> 3,
                           .vvvv = vvvv < 0 ? 0 : (unsigned)vvvv};
}

static void put_tail(struct native_form *form, const struct decoded *d, const struct fields *f) {
    const ZydisDecodedInstructionRaw *raw = &d->insn.raw;
    put(form, d->insn.opcode);
    if (d->insn.attributes & ZYDIS_ATTRIB_HAS_MODRM) put(form, f->modrm);
    if (field_number(d, ZYDIS_OPERAND_ENCODING_IS4) >= 0)
        put(form, SLOT_IS4 << 4 | (raw->imm[0].value.u & 0xF));
    else if (raw->imm[0].size)
        put(form, (unsigned)raw->imm[0].value.u);
}

static unsigned map_number(const struct decoded *d) {
    switch (d->insn.opcode_map) {
    case ZYDIS_OPCODE_MAP_0F: return 1;
    case ZYDIS_OPCODE_MAP_0F38: return 2;
    case ZYDIS_OPCODE_MAP_0F3A: return 3;
    default: return 0;
    }
}

static void put_vex(struct native_form *form, const struct soft_cpu *cpu, const struct decoded *d) {
    const ZydisDecodedInstructionRawVex *vex = &d->insn.raw.vex;
    struct fields f = fields_of(d);
    put(form, 0xC4);
    put(form, (f.r ? 0 : 0x80) | 0x40 | (f.b ? 0 : 0x20) | map_number(d));
    put(form,
        (effective_w(cpu, d, vex->W) ? 0x80u : 0) | (~f.vvvv & 0xF) << 3 | (unsigned)vex->L << 2 | vex->pp);
    put_tail(form, d, &f);
}

/* 66, and the last of F2 and F3, in so far as they belong to the operation. The code here is 64-bit, whatever the guest's
 * is: where the width of integers hangs on 66, the guest's own prefix says nothing of it. */
static void put_prefixes(struct native_form *form, const struct decoded *d) {
    bool has_66 = false;
    unsigned repeat = 0;
    for (unsigned i = 0; i < d->insn.raw.prefix_count; i++) {
        unsigned value = d->insn.raw.prefixes[i].value;
        if (value == 0x66) has_66 = true;
        if (value == 0xF2 || value == 0xF3) repeat = value;
    }
    if (d->insn.mnemonic == ZYDIS_MNEMONIC_CRC32 || d->insn.mnemonic == ZYDIS_MNEMONIC_TZCNT)
        has_66 = d->insn.operand_width == 16;
    if (has_66) put(form, 0x66);
    if (repeat) put(form, repeat);
}

static void put_legacy(struct native_form *form, const struct soft_cpu *cpu, const struct decoded *d) {
    struct fields f = fields_of(d);
    unsigned map = map_number(d);
    put_prefixes(form, d);
    put(form, 0x40u | (effective_w(cpu, d, d->insn.raw.rex.W) ? 8u : 0) | f.r << 2 | f.b);
    if (map) put(form, 0x0F);
    if (map > 1) put(form, map == 2 ? 0x38 : 0x3A);
    put_tail(form, d, &f);
}

static void put_x87(struct native_form *form, const struct decoded *d) {
    const ZydisDecodedInstructionRaw *raw = &d->insn.raw;
    put(form, d->insn.opcode);
    unsigned modrm = (unsigned)raw->modrm.mod << 6 | (unsigned)raw->modrm.reg << 3 | raw->modrm.rm;
    put(form, raw->modrm.mod == 3 ? modrm : (modrm & 0x38) | 7);
}

/* ---- what else there is to know ---- */

static bool is_unaligned(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM: return true;
    default: return false;
    }
}

static bool is_aligned_vex(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPD:
    case ZYDIS_MNEMONIC_VMOVDQA:
    case ZYDIS_MNEMONIC_VMOVNTPS:
    case ZYDIS_MNEMONIC_VMOVNTPD:
    case ZYDIS_MNEMONIC_VMOVNTDQ:
    case ZYDIS_MNEMONIC_VMOVNTDQA: return true;
    default: return false;
    }
}

/* Conversions between xmm and MMX or general registers, one of which may be in memory. */
static bool is_conversion(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_CVTPI2PS:
    case ZYDIS_MNEMONIC_CVTPI2PD:
    case ZYDIS_MNEMONIC_CVTPS2PI:
    case ZYDIS_MNEMONIC_CVTPD2PI:
    case ZYDIS_MNEMONIC_CVTTPS2PI:
    case ZYDIS_MNEMONIC_CVTTPD2PI:
    case ZYDIS_MNEMONIC_CVTSS2SI:
    case ZYDIS_MNEMONIC_CVTSD2SI:
    case ZYDIS_MNEMONIC_CVTTSS2SI:
    case ZYDIS_MNEMONIC_CVTTSD2SI:
    case ZYDIS_MNEMONIC_VCVTSS2SI:
    case ZYDIS_MNEMONIC_VCVTSD2SI:
    case ZYDIS_MNEMONIC_VCVTTSS2SI:
    case ZYDIS_MNEMONIC_VCVTTSD2SI: return true;
    default: return false;
    }
}

static bool raises_exceptions(const struct decoded *d) {
    switch (d->insn.meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_SSE1:
    case ZYDIS_EXCEPTION_CLASS_SSE4:
    case ZYDIS_EXCEPTION_CLASS_SSE5:
    case ZYDIS_EXCEPTION_CLASS_SSE7:
    case ZYDIS_EXCEPTION_CLASS_AVX1:
    case ZYDIS_EXCEPTION_CLASS_AVX4:
    case ZYDIS_EXCEPTION_CLASS_AVX5:
    case ZYDIS_EXCEPTION_CLASS_AVX6:
    case ZYDIS_EXCEPTION_CLASS_AVX7:
    case ZYDIS_EXCEPTION_CLASS_AVX8: return false;
    default: return true; /* the others do, or are not known not to */
    }
}

static bool is_control(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_FLDCW:
    case ZYDIS_MNEMONIC_FNSTCW:
    case ZYDIS_MNEMONIC_FNCLEX:
    case ZYDIS_MNEMONIC_FENI8087_NOP:
    case ZYDIS_MNEMONIC_FDISI8087_NOP:
    case ZYDIS_MNEMONIC_FSETPM287_NOP: return true;
    default: return false;
    }
}

static bool decode_again(const struct soft_cpu *cpu, const struct soft_insn *insn, struct decoded *out) {
    static const uint8_t machines[] = {
        [SOFT_REAL] = ZYDIS_MACHINE_MODE_REAL_16,          [SOFT_V86] = ZYDIS_MACHINE_MODE_REAL_16,
        [SOFT_PROTECTED16] = ZYDIS_MACHINE_MODE_LEGACY_16, [SOFT_PROTECTED32] = ZYDIS_MACHINE_MODE_LEGACY_32,
        [SOFT_COMPAT16] = ZYDIS_MACHINE_MODE_LEGACY_16,    [SOFT_COMPAT32] = ZYDIS_MACHINE_MODE_LEGACY_32,
        [SOFT_LONG64] = ZYDIS_MACHINE_MODE_LONG_64};
    ZydisDecoder decoder;
    ZydisMachineMode machine = machines[cpu->mode];
    ZydisStackWidth stack = machine == ZYDIS_MACHINE_MODE_LONG_64     ? ZYDIS_STACK_WIDTH_64
                            : machine == ZYDIS_MACHINE_MODE_LEGACY_32 ? ZYDIS_STACK_WIDTH_32
                                                                      : ZYDIS_STACK_WIDTH_16;
    return ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine, stack)) &&
           ZYAN_SUCCESS(
               ZydisDecoderDecodeFull(&decoder, insn->bytes, insn->length, &out->insn, out->operands));
}

static bool is_x87(const struct decoded *d) {
    return d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
           d->insn.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (d->insn.opcode & 0xF8) == 0xD8;
}

bool native_form_of(const struct soft_cpu *cpu, const struct soft_insn *insn, struct native_form *out) {
    struct decoded d;
    memset(out, 0, sizeof *out);
    if (!decode_again(cpu, insn, &d) || !host_has(d.insn.meta.isa_set)) return false;
    if (!add_operands(out, &d)) return false;
    out->vex = d.insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    if (out->vex && (cpu->mode == SOFT_REAL || cpu->mode == SOFT_V86)) return false;
    out->is_x87 = is_x87(&d);
    if (out->is_x87) {
        out->control = is_control(d.insn.mnemonic);
        out->waits = !out->control || d.insn.mnemonic == ZYDIS_MNEMONIC_FLDCW;
        put_x87(out, &d);
        return true;
    }
    out->halves = d.insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH;
    if (is_conversion(d.insn.mnemonic)) out->is_vector = true;
    out->mxcsr = out->is_vector && raises_exceptions(&d);
    out->aligned =
        out->memory_bytes && (out->vex ? is_aligned_vex(d.insn.mnemonic)
                                       : out->memory_bytes == 16 && !is_unaligned(d.insn.mnemonic));
    if (out->vex)
        put_vex(out, cpu, &d);
    else
        put_legacy(out, cpu, &d);
    return true;
}
