/* tests/sysvm/cpu/soft/case_forms.c: every encoding that decodes, has a row in semantics.def, and means the same in user
 * mode on this machine and in the guest. */
#include <Zydis/Decoder.h>
#include <stdlib.h>
#include <string.h>
#include "sysvm/cpu/soft/insn.h"
#include "tests/sysvm/cpu/soft/native_case.h"

/* Depend on what a process and the guest have not in common: selectors, descriptor tables, clocks, the system. */
static bool is_left_out(const ZydisDecodedInstruction *insn) {
    if (insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return true;
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_VMCALL:
    case ZYDIS_MNEMONIC_VMMCALL:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
    case ZYDIS_MNEMONIC_MONITOR:
    case ZYDIS_MNEMONIC_MWAIT:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSEXIT: return true;
    default: return false;
    }
}

static bool touches_segment(const ZydisDecodedInstruction *insn) {
    bool is_mov = insn->mnemonic == ZYDIS_MNEMONIC_MOV && (insn->opcode == 0x8C || insn->opcode == 0x8E);
    bool is_short = insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && insn->opcode < 0x20;
    bool is_stack = (insn->mnemonic == ZYDIS_MNEMONIC_PUSH || insn->mnemonic == ZYDIS_MNEMONIC_POP) &&
                    (insn->opcode_map == ZYDIS_OPCODE_MAP_0F || is_short);
    return (is_mov && insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) || is_stack;
}

static bool has_row(unsigned bits, const uint8_t bytes[15]) {
    struct soft_insn insn;
    return soft_decode(bits == 64 ? SOFT_LONG64 : SOFT_COMPAT32, bytes, 15, &insn) == SOFT_DECODED &&
           insn.run != soft_undefined;
}

/* The mnemonic of the form's encoding with this ModRM, or 0. */
static unsigned mnemonic_of(const ZydisDecoder *decoder, const struct case_form *f, unsigned modrm) {
    static const uint8_t prefixes[] = {0, 0x66, 0xF3, 0xF2};
    ZydisDecodedInstruction insn;
    for (unsigned vvvv = 0; vvvv < 2; vvvv++) { /* 1111 is what most that do not use it ask for */
        uint8_t bytes[15] = {0};
        unsigned n = 0;
        if (f->vex) {
            bytes[n++] = 0xC4;
            bytes[n++] = (uint8_t)(0xE0 | f->map);
            bytes[n++] = (uint8_t)(f->w << 7 | (vvvv ? 14 : 15) << 3 | f->l << 2 | f->prefix);
        } else {
            if (f->prefix) bytes[n++] = prefixes[f->prefix];
            if (f->w) bytes[n++] = 0x48;
            if (f->map) bytes[n++] = 0x0F;
            if (f->map > 1) bytes[n++] = f->map == 2 ? 0x38 : 0x3A;
        }
        bytes[n++] = f->opcode;
        bytes[n++] = (uint8_t)modrm;
        if (modrm == 4) bytes[n] = 0x08; /* an index that a gather can have: not the others' register */
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, bytes, 15, &insn))) continue;
        bool wanted =
            insn.encoding == (f->vex ? ZYDIS_INSTRUCTION_ENCODING_VEX : ZYDIS_INSTRUCTION_ENCODING_LEGACY) &&
            insn.opcode == f->opcode &&
            insn.raw.prefix_count == (unsigned)(f->prefix && !f->vex) + (f->w && !f->vex);
        if (!wanted || !has_row(f->bits, bytes) || is_left_out(&insn) || touches_segment(&insn)) return 0;
        return insn.mnemonic;
    }
    return 0;
}

struct list {
    struct case_form *forms;
    unsigned n, capacity;
};

static void add(struct list *list, struct case_form form, unsigned mnemonic) {
    if (list->n == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 4096;
        list->forms = realloc(list->forms, list->capacity * sizeof *list->forms);
        if (!list->forms) abort();
    }
    form.mnemonic = (uint16_t)mnemonic;
    list->forms[list->n++] = form;
}

/* One form for all values of ModRM.reg and rm, or one for each that is an instruction of its own. */
static void add_forms(struct list *list, const ZydisDecoder *decoder, struct case_form form) {
    unsigned first_modrm = form.is_memory ? 4 : 0xC0, per_reg[8];
    bool by_reg = false, by_rm = false;
    for (unsigned reg = 0; reg < 8; reg++) {
        per_reg[reg] = mnemonic_of(decoder, &form, first_modrm | reg << 3);
        if (per_reg[reg] != per_reg[0]) by_reg = true;
        for (unsigned rm = 1; rm < 8 && !form.is_memory; rm++)
            if (mnemonic_of(decoder, &form, 0xC0 | reg << 3 | rm) != per_reg[reg]) by_rm = true;
    }
    form.reg = 8;
    if (by_rm) {
        for (form.modrm = 0xC0;; form.modrm++) {
            unsigned mnemonic = mnemonic_of(decoder, &form, form.modrm);
            if (mnemonic) add(list, form, mnemonic);
            if (form.modrm == 0xFF) return;
        }
    }
    if (!by_reg) {
        if (per_reg[0]) add(list, form, per_reg[0]);
        return;
    }
    for (unsigned reg = 0; reg < 8; reg++) {
        form.reg = (uint8_t)reg;
        if (per_reg[reg]) add(list, form, per_reg[reg]);
    }
}

struct case_form *case_forms(unsigned bits, unsigned *out_n) {
    struct list list = {0};
    ZydisDecoder decoder;
    if (bits == 64)
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    for (unsigned key = 0; key < 0x8000; key++) { /* opcode, prefix, W, L, map */
        struct case_form form = {.opcode = (uint8_t)key,
                                 .prefix = key >> 8 & 3,
                                 .w = key >> 10 & 1,
                                 .l = key >> 11 & 1,
                                 .map = key >> 12 & 3,
                                 .vex = key >> 14 & 1,
                                 .bits = (uint8_t)bits};
        if (form.vex ? !form.map : form.l || (form.w && bits == 32)) continue;
        for (unsigned is_memory = 0; is_memory < 2; is_memory++) {
            form.is_memory = is_memory;
            add_forms(&list, &decoder, form);
        }
    }
    *out_n = list.n;
    return list.forms;
}
