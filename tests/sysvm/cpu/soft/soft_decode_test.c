/* tests/sysvm/cpu/soft/soft_decode_test.c: bytes become instructions as each mode reads them, and what the processor claims
 * to have has a row in semantics.def. */
#include <Zydis/Zydis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include "sysvm/cpu/soft/insn.h"

#define DECODE(mode, ...) decode(mode, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
static struct soft_insn insn;
static enum soft_decoded decode(enum soft_mode mode, const uint8_t *bytes, unsigned n) {
    return soft_decode(mode, bytes, n, &insn);
}

static void the_mode_decides_sizes(void **state) {
    (void)state;
    static const struct {
        enum soft_mode mode;
        uint8_t operand, address;
    } modes[] = {{SOFT_REAL, 2, 2},        {SOFT_V86, 2, 2},      {SOFT_PROTECTED16, 2, 2},
                 {SOFT_PROTECTED32, 4, 4}, {SOFT_COMPAT16, 2, 2}, {SOFT_COMPAT32, 4, 4},
                 {SOFT_LONG64, 4, 8}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(DECODE(modes[i].mode, 0x01, 0x07),
                         SOFT_DECODED); /* add [bx or edi or rdi], ax or eax */
        assert_int_equal(insn.operand_bytes, modes[i].operand);
        assert_int_equal(insn.address_bytes, modes[i].address);
        assert_int_equal(insn.base, modes[i].address == 2 ? VM_RBX : VM_RDI);
        assert_int_equal(DECODE(modes[i].mode, 0x66, 0x01, 0x07), SOFT_DECODED);
        assert_int_equal(insn.operand_bytes, modes[i].operand == 2 ? 4 : 2);
    }
}

static void operands_are_told_apart(void **state) {
    (void)state;
    assert_int_equal(DECODE(SOFT_LONG64, 0x88, 0xE7), SOFT_DECODED); /* mov bh, ah */
    assert_int_equal(insn.operands[0].kind, SOFT_GPR_HIGH);
    assert_int_equal(insn.operands[0].reg, VM_RBX);
    assert_int_equal(insn.operands[1].reg, VM_RAX);
    assert_int_equal(DECODE(SOFT_LONG64, 0x40, 0x88, 0xE7), SOFT_DECODED); /* mov dil, spl */
    assert_int_equal(insn.operands[0].kind, SOFT_GPR);
    assert_int_equal(insn.operands[0].reg, VM_RDI);
    assert_int_equal(insn.operands[1].reg, VM_RSP);
    assert_int_equal(DECODE(SOFT_LONG64, 0x48, 0x83, 0xC0, 0xFF), SOFT_DECODED); /* add rax, -1 */
    assert_true(insn.immediate == UINT64_MAX);
    assert_int_equal(DECODE(SOFT_LONG64, 0x48, 0x8B, 0x05, 0xFC, 0xFF, 0xFF, 0xFF), SOFT_DECODED);
    assert_int_equal(insn.base, SOFT_RIP);
    assert_int_equal(insn.displacement, -4);
    assert_int_equal(DECODE(SOFT_LONG64, 0xC8, 0x34, 0x12, 0x1F), SOFT_DECODED); /* enter 0x1234, 31 */
    assert_true(insn.immediate == 0x1F1234);
    assert_int_equal(DECODE(SOFT_PROTECTED32, 0xEA, 4, 3, 2, 1, 0x33, 0),
                     SOFT_DECODED); /* jmp 0x33:0x1020304 */
    assert_int_equal(insn.operands[0].kind, SOFT_FAR);
    assert_true(insn.immediate == UINT64_C(0x3301020304));
    assert_int_equal(DECODE(SOFT_LONG64, 0x64, 0xF3, 0xA4), SOFT_DECODED); /* rep movsb from fs */
    assert_int_equal(insn.segment, VM_FS);
    assert_true(insn.rep);
}

/* SIB without a base, REX.B set, 32-bit addresses: or dword [edx * 4 + disp32], imm32 */
static void no_base_stays_none(void **state) {
    (void)state;
    assert_int_equal(DECODE(SOFT_LONG64, 0x67, 0x45, 0x81, 0x0C, 0x95, 0x22, 0, 0, 0x80, 1, 0, 0, 0),
                     SOFT_DECODED);
    assert_int_equal(insn.base, SOFT_NO_REG);
    assert_int_equal(insn.index, VM_RDX);
    assert_int_equal((int32_t)insn.displacement, (int32_t)0x80000022);
    assert_int_equal(DECODE(SOFT_LONG64, 0x41, 0x81, 0x4C, 0x95, 0x22, 1, 0, 0, 0),
                     SOFT_DECODED); /* r13 it is */
    assert_int_equal(insn.base, 13);
}

static soft_handler *handler_of(const uint8_t *bytes, unsigned n) {
    return soft_decode(SOFT_LONG64, bytes, n, &insn) == SOFT_DECODED ? insn.run : NULL;
}
#define HANDLER(...) handler_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void one_mnemonic_may_have_several_meanings(void **state) {
    (void)state;
    assert_ptr_equal(HANDLER(0xEB, 0), soft_jmp);
    assert_ptr_equal(HANDLER(0xFF, 0x28), soft_far_jump); /* jmp far [rax] */
    assert_ptr_equal(HANDLER(0xC3), soft_ret);
    assert_ptr_equal(HANDLER(0xCB), soft_far_return);
    assert_ptr_equal(HANDLER(0x8E, 0xD8), soft_move_segment);
    assert_ptr_equal(HANDLER(0x0F, 0x22, 0xD8), soft_move_control);
    assert_ptr_equal(HANDLER(0x0F, 0x23, 0xF8), soft_move_debug);
    assert_ptr_equal(HANDLER(0xA5), soft_movs);                    /* movsd */
    assert_ptr_not_equal(HANDLER(0xF2, 0x0F, 0x10, 0), soft_movs); /* movsd xmm0, [rax] */
    assert_ptr_equal(HANDLER(0x0F, 0x0B), soft_undefined);
}

/* 0F 0D of memory is a hint whatever the rest of its opcode is. */
static void every_prefetch_is_a_hint(void **state) {
    (void)state;
    for (unsigned reg = 0; reg < 8; reg++) {
        const uint8_t bytes[] = {0x0F, 0x0D, (uint8_t)(0x42 | reg << 3), 0x12};
        assert_ptr_not_equal(handler_of(bytes, sizeof bytes), NULL);
        assert_ptr_not_equal(handler_of(bytes, sizeof bytes), soft_undefined);
    }
}

static void what_is_no_instruction_is_refused(void **state) {
    (void)state;
    assert_int_equal(DECODE(SOFT_LONG64, 0x06), SOFT_DECODE_UD);             /* push es */
    assert_int_equal(DECODE(SOFT_LONG64, 0xF0, 0x01, 0xC0), SOFT_DECODE_UD); /* lock add eax, eax */
    assert_int_equal(DECODE(SOFT_LONG64, 0x0F, 0x22, 0xC8), SOFT_DECODE_UD); /* mov cr1, rax */
    assert_int_equal(DECODE(SOFT_LONG64, 0x62, 0xF1, 0x74, 0x48, 0x58, 0xC2), SOFT_DECODE_UD); /* AVX-512 */
    assert_int_equal(DECODE(SOFT_LONG64, 0x48, 0xB8, 1, 2, 3), SOFT_DECODE_MORE);
    assert_int_equal(DECODE(SOFT_LONG64, 0x66), SOFT_DECODE_MORE);
    assert_int_equal(DECODE(SOFT_LONG64, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                            0x66, 0x66, 0x66, 0x66, 0x90),
                     SOFT_DECODE_LONG);
}

/* ---- rows ---- */

/* Issue's list, as the decoder names instruction sets. */
static bool is_claimed(unsigned set) {
    switch (set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I286REAL:
    case ZYDIS_ISA_SET_I286PROTECTED:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_LONGMODE:
    case ZYDIS_ISA_SET_LAHF:
    case ZYDIS_ISA_SET_CMOV:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_PREFETCH_NOP:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FXSAVE:
    case ZYDIS_ISA_SET_FXSAVE64:
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_SSE_PREFETCH:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
    case ZYDIS_ISA_SET_POPCNT:
    case ZYDIS_ISA_SET_LZCNT:
    case ZYDIS_ISA_SET_MOVBE:
    case ZYDIS_ISA_SET_CMPXCHG16B:
    case ZYDIS_ISA_SET_CLFSH:
    case ZYDIS_ISA_SET_BMI1:
    case ZYDIS_ISA_SET_BMI2:
    case ZYDIS_ISA_SET_ADOX_ADCX:
    case ZYDIS_ISA_SET_AES:
    case ZYDIS_ISA_SET_PCLMULQDQ:
    case ZYDIS_ISA_SET_SHA:
    case ZYDIS_ISA_SET_RDRAND:
    case ZYDIS_ISA_SET_RDSEED:
    case ZYDIS_ISA_SET_RDTSCP:
    case ZYDIS_ISA_SET_RDPMC:
    case ZYDIS_ISA_SET_RDWRFSGS:
    case ZYDIS_ISA_SET_SMAP:
    case ZYDIS_ISA_SET_INVPCID:
    case ZYDIS_ISA_SET_XSAVE:
    case ZYDIS_ISA_SET_XSAVEOPT:
    case ZYDIS_ISA_SET_AVX:
    case ZYDIS_ISA_SET_AVXAES:
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_AVX2GATHER:
    case ZYDIS_ISA_SET_FMA:
    case ZYDIS_ISA_SET_F16C: return true;
    default: return false;
    }
}

/* Without a row on purpose: they are #UD by their own definition, or this processor has them not (CPUID says so). */
static bool is_left_out(unsigned mnemonic) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_RSM: return true; /* outside of system management mode */
    default: return false;
    }
}

struct survey {
    ZydisDecoder decoder;
    enum soft_mode mode;
    bool missing[ZYDIS_MNEMONIC_MAX_VALUE + 1];
    unsigned n_seen, n_missing;
};

static void look_at(struct survey *s, const uint8_t bytes[15]) {
    ZydisDecodedInstruction decoded;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&s->decoder, NULL, bytes, 15, &decoded))) return;
    if (decoded.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        decoded.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
        return;
    if (!is_claimed(decoded.meta.isa_set) || is_left_out(decoded.mnemonic)) return;
    s->n_seen++;
    if (soft_decode(s->mode, bytes, 15, &insn) != SOFT_DECODED || insn.run != soft_undefined) return;
    if (s->missing[decoded.mnemonic]) return;
    s->missing[decoded.mnemonic] = true;
    s->n_missing++;
    printf("no row: %s (%s)\n", ZydisMnemonicGetString(decoded.mnemonic),
           ZydisISASetGetString(decoded.meta.isa_set));
}

/* Every opcode of a map with every ModRM byte behind one prefix; `head` stands before the opcode. */
static void look_at_map(struct survey *s, const uint8_t *head, unsigned n_head) {
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned modrm = 0; modrm < 256; modrm++) {
            uint8_t bytes[15] = {0};
            memcpy(bytes, head, n_head);
            bytes[n_head] = (uint8_t)opcode;
            bytes[n_head + 1] = (uint8_t)modrm;
            look_at(s, bytes);
        }
}

static void look_at_legacy(struct survey *s, uint8_t prefix, bool wide) {
    static const struct {
        uint8_t bytes[2], n;
    } maps[] = {{{0}, 0}, {{0x0F}, 1}, {{0x0F, 0x38}, 2}, {{0x0F, 0x3A}, 2}};
    for (unsigned map = 0; map < 4; map++) {
        uint8_t head[8];
        unsigned n = 0;
        if (prefix) head[n++] = prefix;
        if (wide) head[n++] = 0x48;
        memcpy(head + n, maps[map].bytes, maps[map].n);
        look_at_map(s, head, n + maps[map].n);
    }
}

static void look_at_vex(struct survey *s, unsigned prefix, bool wide) {
    for (unsigned map = 1; map < 4; map++)
        for (unsigned length = 0; length < 2; length++) {
            const uint8_t head[] = {0xC4, (uint8_t)(0xE0 | map),
                                    (uint8_t)(wide << 7 | 15 << 3 | length << 2 | prefix)};
            const uint8_t other[] = {0xC4, head[1], (uint8_t)(head[2] & ~(1 << 3))};
            look_at_map(s, head, 3);
            look_at_map(s, other, 3);
        }
}

static void survey(struct survey *s, enum soft_mode mode, ZydisMachineMode machine, ZydisStackWidth stack) {
    static const uint8_t prefixes[] = {0, 0x66, 0xF3, 0xF2};
    ZydisDecoderInit(&s->decoder, machine, stack);
    ZydisDecoderEnableMode(&s->decoder, ZYDIS_DECODER_MODE_KNC, ZYAN_FALSE);
    s->mode = mode;
    for (unsigned prefix = 0; prefix < 4; prefix++)
        for (unsigned wide = 0; wide < (mode == SOFT_LONG64 ? 2u : 1u); wide++) {
            look_at_legacy(s, prefixes[prefix], wide);
            if (mode == SOFT_LONG64) look_at_vex(s, prefix, wide);
        }
}

static void what_is_claimed_has_a_row(void **state) {
    (void)state;
    static struct survey s;
    survey(&s, SOFT_LONG64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    survey(&s, SOFT_PROTECTED32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    assert_true(s.n_seen > 100000);
    assert_int_equal(s.n_missing, 0);
}

/* Anything may stand in guest memory: each answer has to be one of those that callers know. */
static void any_bytes_are_taken(void **state) {
    (void)state;
    uint64_t random = 88172645463325252;
    for (unsigned i = 0; i < 300000; i++) {
        uint8_t bytes[16];
        for (unsigned j = 0; j < sizeof bytes; j += 8) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            memcpy(bytes + j, &random, 8);
        }
        unsigned n = 1 + bytes[15] % SOFT_INSN_MAX;
        enum soft_decoded result = soft_decode(bytes[14] % (SOFT_LONG64 + 1), bytes, n, &insn);
        assert_in_range(result, SOFT_DECODED, SOFT_DECODE_LONG);
        if (result != SOFT_DECODED) continue;
        assert_in_range(insn.length, 1, n);
        assert_non_null(insn.run);
        assert_in_range(insn.n_operands, 0, SOFT_OPERANDS_MAX);
        for (unsigned k = 0; k < insn.n_operands; k++)
            if (insn.operands[k].kind == SOFT_GPR) assert_in_range(insn.operands[k].reg, 0, 15);
        if (insn.base != SOFT_NO_REG && insn.base != SOFT_RIP) assert_in_range(insn.base, 0, 15);
        if (insn.index != SOFT_NO_REG) assert_in_range(insn.index, 0, 15);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mode_decides_sizes),    cmocka_unit_test(operands_are_told_apart),
        cmocka_unit_test(no_base_stays_none),        cmocka_unit_test(one_mnemonic_may_have_several_meanings),
        cmocka_unit_test(every_prefetch_is_a_hint),  cmocka_unit_test(what_is_no_instruction_is_refused),
        cmocka_unit_test(what_is_claimed_has_a_row), cmocka_unit_test(any_bytes_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
