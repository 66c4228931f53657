/* tests/sysvm/cpu/soft/case_make.c: random states and instructions, with a liking for what is rare: special numbers,
 * edges of pages, unmasked exceptions. */
#include <Zydis/Decoder.h>
#include <Zydis/Register.h>
#include <stdlib.h>
#include <string.h>
#include "tests/sysvm/cpu/soft/native_case.h"

enum { X87_FLAGS = 0x3F, ES_AND_BUSY = 0x8080, FLAGS = 0xCD5, IF_AND_ONE = 0x202 };

/* Where this process has its own code, stack and libraries, and what displacements reach from there. */
#define OURS_FIRST UINT64_C(0x540000000000)
#define OURS_END   UINT64_C(0x800100000000)

uint64_t case_random(struct case_random *r) {
    uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static unsigned below(struct case_random *r, unsigned n) { return (unsigned)(case_random(r) >> 16) % n; }
static bool one_in(struct case_random *r, unsigned n) { return !below(r, n); }

/* ---- values ---- */

static uint64_t random_integer(struct case_random *r) {
    uint64_t bits = case_random(r);
    switch (below(r, 8)) {
    case 0: return bits & 0xFF;
    case 1: return (uint64_t)0 - (bits & 0xFF);
    case 2: return UINT64_C(1) << (bits & 63);
    case 3: return (UINT64_C(1) << (bits & 63)) - 1;
    case 4: return bits & 0xFFFFFFFF;
    default: return bits;
    }
}

static uint64_t random_address(struct case_random *r) {
    uint64_t at = CASE_DATA;
    switch (below(r, 8)) {
    case 0: at += CASE_WRITABLE - below(r, 64); break;   /* the last to be written */
    case 1: at += CASE_DATA_BYTES - below(r, 64); break; /* the last at all */
    case 2: at += CASE_PAGE - below(r, 64); break;
    case 3: at += below(r, CASE_DATA_BYTES + 64); break;
    default: at += below(r, CASE_WRITABLE - 1024); break;
    }
    return one_in(r, 3) ? at : at & ~(uint64_t)63;
}

static void put_float32(struct case_random *r, uint8_t *out) {
    static const uint32_t special[] = {0,          0x3F800000, 0x7F800000, 0x7FC00000,
                                       0x7F800001, 1,          0x007FFFFF, 0x00800000,
                                       0x7F7FFFFF, 0x4F000000, 0x33800000, 0x40490FDB};
    uint32_t value = special[below(r, sizeof special / sizeof *special)];
    if (one_in(r, 3)) value = (uint32_t)case_random(r);
    if (one_in(r, 3)) value = 0x3F000000 + (uint32_t)(case_random(r) & 0x1FFFFFF); /* near one */
    if (one_in(r, 2)) value ^= 0x80000000;
    memcpy(out, &value, sizeof value);
}

static void put_float64(struct case_random *r, uint8_t *out) {
    static const uint64_t special[] = {0,
                                       UINT64_C(0x3FF0000000000000),
                                       UINT64_C(0x7FF0000000000000),
                                       UINT64_C(0x7FF8000000000000),
                                       UINT64_C(0x7FF0000000000001),
                                       1,
                                       UINT64_C(0x000FFFFFFFFFFFFF),
                                       UINT64_C(0x0010000000000000),
                                       UINT64_C(0x7FEFFFFFFFFFFFFF),
                                       UINT64_C(0x41E0000000000000),
                                       UINT64_C(0x36A0000000000000)};
    uint64_t value = special[below(r, sizeof special / sizeof *special)];
    if (one_in(r, 3)) value = case_random(r);
    if (one_in(r, 3)) value = UINT64_C(0x3FE0000000000000) + (case_random(r) >> 10);
    if (one_in(r, 2)) value ^= UINT64_C(1) << 63;
    memcpy(out, &value, sizeof value);
}

static void put_float80(struct case_random *r, uint8_t *out) {
    uint64_t fraction = UINT64_C(1) << 63;
    uint16_t exponent = 0x3FFF;
    switch (below(r, 10)) {
    case 0: exponent = 0, fraction = 0; break;
    case 1: exponent = 0, fraction = case_random(r) >> 1; break; /* denormal */
    case 2: exponent = 0x7FFF; break;                            /* infinity */
    case 3: exponent = 0x7FFF, fraction |= case_random(r); break;
    case 4:
        exponent = (uint16_t)(case_random(r) & 0x7FFF), fraction = case_random(r);
        break; /* also none at all */
    case 5: exponent = (uint16_t)(0x3FFF + below(r, 64)), fraction |= case_random(r) << below(r, 64); break;
    default: exponent = (uint16_t)(0x3FF0 + below(r, 32)), fraction |= case_random(r); break;
    }
    exponent = (uint16_t)(exponent | (one_in(r, 2) ? 0x8000 : 0));
    memcpy(out, &fraction, 8);
    memcpy(out + 8, &exponent, 2);
}

/* 16 bytes as instructions take them: integers, single or double precision. */
static void put_vector(struct case_random *r, uint8_t *out) {
    unsigned kind = below(r, 3);
    for (unsigned at = 0; at < 16; at += kind == 1 ? 4 : 8) {
        uint64_t value = random_integer(r);
        if (kind == 0)
            memcpy(out + at, &value, 8);
        else if (kind == 1)
            put_float32(r, out + at);
        else
            put_float64(r, out + at);
    }
}

/* ---- the state ---- */

static void put16(uint8_t *at, unsigned value) {
    uint16_t narrow = (uint16_t)value;
    memcpy(at, &narrow, 2);
}

static void put32(uint8_t *at, uint32_t value) { memcpy(at, &value, 4); }

/* An image as XSAVE writes it, of a state that can be. */
static void put_fp(struct case_random *r, uint8_t *fp) {
    unsigned control = one_in(r, 3) ? case_random(r) & 0xF3F : 0x37F;
    unsigned status = case_random(r) & 0x7F7F;
    control |= 0x40;
    if (one_in(r, 2)) status &= ~(unsigned)X87_FLAGS;
    if (!one_in(r, 8)) status &= ~(~control & X87_FLAGS); /* seldom something is pending */
    status &= ~(unsigned)ES_AND_BUSY;
    if (status & ~control & X87_FLAGS) status |= ES_AND_BUSY;
    memset(fp, 0, CASE_FP_BYTES);
    put16(fp, control);
    put16(fp + 2, status);
    fp[4] = (uint8_t)(one_in(r, 2) ? 0xFF : case_random(r));
    put32(fp + 24, one_in(r, 3) ? (uint32_t)case_random(r) & 0xFFFF : 0x1F80);
    for (unsigned i = 0; i < 8; i++) put_float80(r, fp + 32 + i * 16);
    for (unsigned i = 0; i < 16; i++) put_vector(r, fp + 160 + i * 16);
    for (unsigned i = 0; i < 16; i++) put_vector(r, fp + CASE_YMM_HIGH + i * 16);
}

static void put_data(struct case_random *r, uint8_t *data) {
    for (unsigned at = 0; at < CASE_DATA_BYTES; at += 8) {
        uint64_t value = random_integer(r);
        memcpy(data + at, &value, 8);
    }
}

static void put_state(struct case_random *r, struct case_state *out) {
    out->rip = CASE_RIP;
    out->rflags = (case_random(r) & FLAGS) | IF_AND_ONE;
    for (unsigned i = 0; i < 16; i++) {
        out->gpr[i] = one_in(r, 2) ? random_address(r) : random_integer(r);
        if (out->gpr[i] >> 47 && one_in(r, 2)) out->gpr[i] &= UINT32_MAX;
        if (out->gpr[i] >= OURS_FIRST && out->gpr[i] < OURS_END) out->gpr[i] &= UINT32_MAX;
    }
    put_fp(r, out->fp);
    put_data(r, out->data);
}

/* ---- encodings ---- */

static unsigned put_opcode(const struct case_form *f, unsigned rex_bits, unsigned vvvv, uint8_t *out) {
    unsigned n = 0;
    static const uint8_t prefixes[] = {0, 0x66, 0xF3, 0xF2};
    if (f->vex) {
        out[n++] = 0xC4;
        out[n++] = (uint8_t)((~rex_bits & 7) << 5 | f->map);
        out[n++] = (uint8_t)(f->w << 7 | (~vvvv & 15) << 3 | f->l << 2 | f->prefix);
    } else {
        if (f->prefix) out[n++] = prefixes[f->prefix];
        if (rex_bits || f->w) out[n++] = (uint8_t)(0x40 | f->w << 3 | rex_bits);
        if (f->map) out[n++] = 0x0F;
        if (f->map > 1) out[n++] = f->map == 2 ? 0x38 : 0x3A;
    }
    out[n++] = f->opcode;
    return n;
}

static bool decode(unsigned bits, const uint8_t *bytes, unsigned n, ZydisDecodedInstruction *insn,
                   ZydisDecodedOperand *operands) {
    ZydisDecoder decoder;
    if (bits == 64)
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    if (operands) return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, insn, operands));
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, n, insn));
}

static bool is_by_parts(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_FBSTP:
    case ZYDIS_MNEMONIC_FSTP: /* of ten bytes */
    case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD:
    case ZYDIS_MNEMONIC_POPA:
    case ZYDIS_MNEMONIC_POPAD:
    case ZYDIS_MNEMONIC_BOUND:
    case ZYDIS_MNEMONIC_VMASKMOVPS:
    case ZYDIS_MNEMONIC_VMASKMOVPD:
    case ZYDIS_MNEMONIC_VPMASKMOVD:
    case ZYDIS_MNEMONIC_VPMASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU: return true;
    default: return false;
    }
}

struct case_traits case_traits(unsigned bits, const uint8_t *bytes, unsigned n) {
    ZydisDecodedInstruction insn;
    struct case_traits traits = {0};
    if (!decode(bits, bytes, n, &insn, NULL)) return traits;
    if (insn.cpu_flags) traits.undefined_flags = insn.cpu_flags->undefined;
    traits.is_repeated =
        insn.meta.category == ZYDIS_CATEGORY_STRINGOP &&
        insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
    traits.may_fault = insn.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ||
                       insn.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
                       insn.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU;
    traits.by_stages = insn.mnemonic == ZYDIS_MNEMONIC_DPPS || insn.mnemonic == ZYDIS_MNEMONIC_DPPD ||
                       insn.mnemonic == ZYDIS_MNEMONIC_VDPPS || insn.mnemonic == ZYDIS_MNEMONIC_VDPPD ||
                       insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH; /* it converts, then stores */
    traits.by_parts = is_by_parts(insn.mnemonic);
    return traits;
}

/* Makes the address of the memory operand fall into the data, most of the time: changes its base, or the displacement
 * in the bytes where there is none. */
static void aim(struct case_random *r, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o,
                uint8_t *bytes, struct case_state *state) {
    uint64_t target = random_address(r), index = 0;
    if (one_in(r, 10)) return;
    if (o->mem.index != ZYDIS_REGISTER_NONE && o->mem.type != ZYDIS_MEMOP_TYPE_VSIB)
        index = state->gpr[ZydisRegisterGetId(o->mem.index)] * o->mem.scale;
    uint64_t displacement = o->mem.disp.has_displacement ? (uint64_t)o->mem.disp.value : 0;
    if (o->mem.base == ZYDIS_REGISTER_NONE || o->mem.base == ZYDIS_REGISTER_RIP ||
        o->mem.base == ZYDIS_REGISTER_EIP) {
        uint64_t from = o->mem.base == ZYDIS_REGISTER_NONE ? index : (uint64_t)CASE_RIP + insn->length;
        if (insn->raw.disp.size == 32) put32(bytes + insn->raw.disp.offset, (uint32_t)(target - from));
        return;
    }
    uint64_t *base = state->gpr + ZydisRegisterGetId(o->mem.base);
    if (o->mem.base == o->mem.index)
        *base = (target - displacement) / (o->mem.scale + 1u);
    else
        *base = target - displacement - index;
}

/* Indices of a gather that stay near, so that some elements are read. */
static void aim_gather(struct case_random *r, const ZydisDecodedOperand *o, struct case_state *state) {
    unsigned reg = (unsigned)ZydisRegisterGetId(o->mem.index);
    for (unsigned at = 0; at < 32; at += 4) {
        uint8_t *half = at < 16 ? state->fp + 160 : state->fp + CASE_YMM_HIGH;
        put32(half + reg * 16 + at % 16, one_in(r, 20) ? (uint32_t)case_random(r) : below(r, 64));
    }
}

static uint8_t *data_at(struct case_state *state, uint64_t address, unsigned n) {
    if (address < CASE_DATA || address > CASE_DATA + CASE_DATA_BYTES - n) return NULL;
    return state->data + (address - CASE_DATA);
}

/* What is loaded as a whole would seldom be valid by chance. */
static void fill_image(struct case_random *r, const ZydisDecodedInstruction *insn,
                       const ZydisDecodedOperand *o, struct case_state *state) {
    if (o->mem.base == ZYDIS_REGISTER_NONE || o->mem.index != ZYDIS_REGISTER_NONE) return;
    if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) return;
    uint64_t at = state->gpr[ZydisRegisterGetId(o->mem.base)];
    if (o->mem.disp.has_displacement) at += (uint64_t)o->mem.disp.value;
    uint8_t *image = data_at(state, at, CASE_FP_BYTES);
    if (!image || one_in(r, 8)) return;
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_LDMXCSR:
    case ZYDIS_MNEMONIC_VLDMXCSR: put32(image, (uint32_t)case_random(r) & 0xFFFF); return;
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
        put_fp(r, image);
        image[512] = (uint8_t)below(r, 8);
        return;
    default: return;
    }
}

/* Bits that a processor has and this test does not mean: TF, AC, NT and the like would reach its own code. */
static void tame(const ZydisDecodedInstruction *insn, struct case_state *state) {
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ: {
        uint8_t *at = data_at(state, state->gpr[4], 2), *more = data_at(state, state->gpr[4], 4);
        if (at) put16(at, (at[0] | at[1] << 8) & FLAGS);
        if (more) put16(more + 2, 0);
        return;
    }
    case ZYDIS_MNEMONIC_XSAVE: /* components that the guest does not have */
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64: state->gpr[0] &= 7, state->gpr[2] = 0; return;
    default: return;
    }
}

/* A jump to the instruction itself never ends. */
static bool is_endless(const ZydisDecodedInstruction *insn) {
    if (insn->meta.branch_type == ZYDIS_BRANCH_TYPE_NONE || !insn->raw.imm[0].is_relative) return false;
    int64_t to = insn->length + insn->raw.imm[0].value.s;
    return to >= 0 && to < insn->length;
}

/* What goes over 4 GiB a processor does in its own way: addresses near it are left out. */
static bool is_near_end(uint64_t address) { return (uint32_t)(address + CASE_PAGE) < 2 * CASE_PAGE; }

static bool may_wrap(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                     const struct case_state *state) {
    for (unsigned i = 0; i < insn->operand_count; i++) {
        const ZydisDecodedOperand *o = operands + i;
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
        uint64_t at = o->mem.disp.has_displacement ? (uint64_t)o->mem.disp.value : 0;
        if (o->mem.base != ZYDIS_REGISTER_NONE) at += state->gpr[ZydisRegisterGetId(o->mem.base)];
        if (o->mem.index != ZYDIS_REGISTER_NONE && o->mem.type != ZYDIS_MEMOP_TYPE_VSIB)
            at += state->gpr[ZydisRegisterGetId(o->mem.index)] * o->mem.scale;
        if (is_near_end(at)) return true;
    }
    return is_near_end(state->gpr[4]) || is_near_end(state->gpr[5]);
}

unsigned case_make(struct case_random *r, const struct case_form *form, uint8_t bytes[15],
                   struct case_state *out) {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint8_t made[32];
    unsigned n = 0, prefixes = 0;
    if (one_in(r, 12)) made[n++] = 0x67;
    if (!form->vex && form->is_memory && one_in(r, 12)) made[n++] = 0xF0;
    prefixes = n;
    unsigned modrm = (unsigned)case_random(r) & 0xFF;
    modrm = form->is_memory ? modrm % 0xC0 : modrm | 0xC0;
    if (form->reg < 8) modrm = (modrm & 0xC7) | form->reg << 3;
    if (form->modrm) modrm = form->modrm;
    const unsigned registers = form->bits == 64 ? 15 : 7;
    n += put_opcode(form, (unsigned)case_random(r) & registers >> 1,
                    one_in(r, 2) ? 0 : (unsigned)case_random(r) & registers, made + prefixes);
    made[n++] = (uint8_t)modrm;
    for (unsigned i = n; i < sizeof made; i++) made[i] = (uint8_t)case_random(r);
    if (!decode(form->bits, made, 15, &insn, operands) || insn.mnemonic != form->mnemonic ||
        is_endless(&insn))
        return 0;
    put_state(r, out);
    out->bits = form->bits;
    for (unsigned i = 0; i < insn.operand_count; i++) {
        const ZydisDecodedOperand *o = operands + i;
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
        if (o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_GS) return 0;
        aim(r, &insn, o, made, out);
        if (o->mem.type == ZYDIS_MEMOP_TYPE_VSIB) aim_gather(r, o, out);
        fill_image(r, &insn, o, out);
    }
    tame(&insn, out);
    if (form->bits == 32) {
        for (unsigned i = 0; i < 8; i++) out->gpr[i] &= UINT32_MAX;
        if (may_wrap(&insn, operands, out)) return 0;
    }
    memcpy(bytes, made, insn.length);
    return insn.length;
}

/* The prefix of DS, which changes nothing, takes the place of REX. */
void case_drop_rex(uint8_t *bytes, unsigned n) {
    ZydisDecodedInstruction insn;
    if (!decode(64, bytes, n, &insn, NULL)) return;
    if (insn.attributes & ZYDIS_ATTRIB_HAS_REX) bytes[insn.raw.rex.offset] = 0x3E;
    if (insn.attributes & ZYDIS_ATTRIB_HAS_VEX) bytes[insn.raw.vex.offset + 1] |= 0xE0;
}
