/* tests/jit/x86_test.c: what the assembler writes is what a disassembler reads, for every instruction the
 * compiler uses and every register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>
#include "jit/x86.h"

static const char *const names64[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const names32[] = {"eax", "ecx", "edx",  "ebx",  "esp",  "ebp",  "esi",  "edi",
                                      "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"};

static void reads(struct x86 *a, const char *expected) {
    ZydisDisassembledInstruction in;
    assert_false(a->failed);
    assert_true(ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, 0, a->bytes, a->size, &in)));
    if (in.info.length != a->size || strcmp(in.text, expected))
        fail_msg("%s, expected %s (%zu bytes, read %d)", in.text, expected, a->size, in.info.length);
    a->size = 0;
}

static const char *text(const char *format, ...) {
    static char out[160];
    va_list list;
    va_start(list, format);
    vsnprintf(out, sizeof out, format, list);
    va_end(list);
    return out;
}

static void integers_between_all_registers(void **state) {
    static const struct {
        uint32_t op;
        const char *name;
    } rows[] = {
        {X86_ADD, "add"},       {X86_OR, "or"},        {X86_ADC, "adc"},     {X86_SBB, "sbb"},
        {X86_AND, "and"},       {X86_SUB, "sub"},      {X86_XOR, "xor"},     {X86_CMP, "cmp"},
        {X86_IMUL, "imul"},     {X86_MOV_LOAD, "mov"}, {X86_LZCNT, "lzcnt"}, {X86_TZCNT, "tzcnt"},
        {X86_POPCNT, "popcnt"}, {X86_BSR, "bsr"},      {X86_BSF, "bsf"},     {X86_CMOV + CC_L, "cmovl"}};
    struct x86 a;
    (void)state;
    x86_init(&a, &atoll_default_alloc);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int x = 0; x < 16; x++)
            for (int y = 0; y < 16; y++) {
                x86_op(&a, rows[i].op, x, x86_reg(y));
                reads(&a, text("%s %s, %s", rows[i].name, names32[x], names32[y]));
                x86_op(&a, rows[i].op | X86_W, x, x86_reg(y));
                reads(&a, text("%s %s, %s", rows[i].name, names64[x], names64[y]));
            }
    x86_fini(&a);
}

static void bits_and_bytes_of_all_registers(void **state) {
    static const struct {
        uint32_t op;
        const char *name;
    } rows[] = {{X86_BT, "bt"}, {X86_BTS, "bts"}, {X86_BTR, "btr"}, {X86_BTC, "btc"}};
    struct x86 a;
    (void)state;
    x86_init(&a, &atoll_default_alloc);
    for (int x = 0; x < 16; x++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (int y = 0; y < 16; y++) {
                x86_op(&a, rows[i].op, x, x86_reg(y));
                reads(&a, text("%s %s, %s", rows[i].name, names32[y], names32[x]));
                x86_op(&a, rows[i].op | X86_W, x, x86_reg(y));
                reads(&a, text("%s %s, %s", rows[i].name, names64[y], names64[x]));
            }
        x86_bswap(&a, 0, x);
        reads(&a, text("bswap %s", names32[x]));
        x86_bswap(&a, X86_W, x);
        reads(&a, text("bswap %s", names64[x]));
    }
    x86_fini(&a);
}

static void addresses_of_all_forms(void **state) {
    static const int32_t displacements[] = {0, 1, -128, 127, 128, -129, INT32_MAX, INT32_MIN};
    struct x86 a;
    (void)state;
    x86_init(&a, &atoll_default_alloc);
    for (int base = 0; base < 16; base++)
        for (size_t d = 0; d < sizeof displacements / sizeof *displacements; d++) {
            int32_t n = displacements[d];
            char tail[32] = "";
            if (n)
                snprintf(tail, sizeof tail, "%c0x%02llX", n < 0 ? '-' : '+',
                         n < 0 ? -(long long)n : (long long)n);
            x86_op(&a, X86_MOV_LOAD | X86_W, base, x86_mem(base, n));
            reads(&a, text("mov %s, [%s%s]", names64[base], names64[base], tail));
            for (int index = 0; index < 16; index++) {
                if (index == RSP) continue; /* no index */
                for (unsigned scale = 0; scale < 4; scale++) {
                    char by[8];
                    snprintf(by, sizeof by, "*%d", 1 << scale);
                    x86_op(&a, X86_LEA | X86_W, R9, x86_mem_index(base, index, scale, n));
                    reads(&a, text("lea r9, [%s+%s%s%s]", names64[base], names64[index], by, tail));
                }
            }
        }
    x86_fini(&a);
}

static void vectors_in_both_encodings(void **state) {
    static const struct {
        uint32_t op;
        const char *name;
    } rows[] = {{X86_ADDSD, "addsd"},
                {X86_SUBSS, "subss"},
                {X86_MULSD, "mulsd"},
                {X86_DIVSS, "divss"},
                {X86_XORPS, "xorps"},
                {X86_CODE(1, 1, 0xFE), "paddd"},
                {X86_CODE(1, 2, 0x40), "pmulld"}};
    struct x86 a;
    (void)state;
    x86_init(&a, &atoll_default_alloc);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int x = 0; x < 16; x++)
            for (int y = 0; y < 16; y++) {
                x86_op(&a, rows[i].op, XMM0 + x, x86_reg(XMM0 + y));
                reads(&a, text("%s xmm%d, xmm%d", rows[i].name, x, y));
                x86_vex(&a, rows[i].op, XMM0 + x, 5, x86_reg(XMM0 + y));
                reads(&a, text("v%s xmm%d, xmm5, xmm%d", rows[i].name, x, y));
            }
    x86_fini(&a);
}

static void bytes_of_all_registers(void **state) {
    static const char *const names8[] = {"al",  "cl",  "dl",   "bl",   "spl",  "bpl",  "sil",  "dil",
                                         "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"};
    struct x86 a;
    (void)state;
    x86_init(&a, &atoll_default_alloc);
    for (int x = 0; x < 16; x++) {
        x86_op(&a, X86_MOV_STORE8, x, x86_mem(RBX, 0));
        reads(&a, text("mov [rbx], %s", names8[x]));
        x86_op(&a, X86_SETCC + CC_NE, 0, x86_reg(x));
        reads(&a, text("setnz %s", names8[x]));
        x86_op(&a, X86_MOVZX8 | X86_BYTE_RM, RAX, x86_reg(x));
        reads(&a, text("movzx eax, %s", names8[x]));
    }
    x86_fini(&a);
}

static void shifts_and_constants(void **state) {
    struct x86 a;
    (void)state;
    x86_init(&a, &atoll_default_alloc);
    for (int x = 0; x < 16; x++) {
        x86_vex(&a, X86_SHLX | X86_W, x, R10, x86_reg(R8));
        reads(&a, text("shlx %s, r8, r10", names64[x]));
        x86_vex_imm(&a, X86_RORX, x, 0, x86_reg(RBP), 7);
        reads(&a, text("rorx %s, ebp, 0x07", names32[x]));
        x86_shift_imm(&a, 7, X86_W, x, 63);
        reads(&a, text("sar %s, 0x3F", names64[x]));
        x86_alu_imm(&a, 5, 0, x86_reg(x), 1000);
        reads(&a, text("sub %s, 0x3E8", names32[x]));
        x86_const(&a, x, 5);
        reads(&a, text("mov %s, 0x05", names32[x]));
        x86_const(&a, x, UINT64_C(0x123456789ABCDEF0));
        reads(&a, text("mov %s, 0x123456789ABCDEF0", names64[x]));
        x86_const(&a, x, (uint64_t)-2);
        reads(&a, text("mov %s, 0xFFFFFFFFFFFFFFFE", names64[x]));
    }
    x86_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_between_all_registers), cmocka_unit_test(bits_and_bytes_of_all_registers),
        cmocka_unit_test(addresses_of_all_forms),         cmocka_unit_test(vectors_in_both_encodings),
        cmocka_unit_test(bytes_of_all_registers),         cmocka_unit_test(shifts_and_constants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
