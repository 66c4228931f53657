/* bytecode/text/asm_number.c: literals to bits. Source: core spec, "Text Format / Values". */
#include "bytecode/text/asm.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

static unsigned digit_of(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

bool asm_parse_nat(const char *p, const char *end, uint64_t *out) {
    uint64_t value = 0, base = 10;
    if (end - p > 2 && p[0] == '0' && p[1] == 'x') base = 16, p += 2;
    for (; p < end; p++) {
        if (*p == '_') continue;
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit_of(*p), &value))
            return false;
    }
    *out = value;
    return true;
}

uint64_t asm_int(struct assembler *a, unsigned bits) {
    const struct text_token *t = asm_peek(a);
    if (t->kind != TEXT_NAT && t->kind != TEXT_INT) {
        asm_unexpected(a);
        return 0;
    }
    bool negative = *t->begin == '-';
    uint64_t value = 0, top = UINT64_C(1) << (bits - 1);
    bool fits = asm_parse_nat(t->begin + (t->kind == TEXT_INT), t->begin + t->size, &value);
    uint64_t max = negative ? top : top - 1 + top;
    if (!fits || value > max) asm_fail(a, t, "constant out of range for i%u", bits);
    a->i++;
    if (negative) value = 0 - value;
    return bits == 64 ? value : value & ((UINT64_C(1) << bits) - 1);
}

uint64_t asm_nat(struct assembler *a, unsigned bits, const char *what) {
    const struct text_token *t = asm_peek(a);
    uint64_t value = 0;
    if (t->kind != TEXT_NAT) {
        asm_unexpected(a);
        return 0;
    }
    bool fits = asm_parse_nat(t->begin, t->begin + t->size, &value);
    if (!fits || (bits < 64 && value >> bits)) asm_fail(a, t, "%s out of range", what);
    a->i++;
    return value;
}

/* ---- floats ---- */

/* A NaN's payload behind "nan:0x": 1 <= payload < 2^bits. */
static uint64_t payload(struct assembler *a, const struct text_token *t, const char *digits, unsigned bits) {
    uint64_t value = 0;
    bool fits = asm_parse_nat(digits, t->begin + t->size, &value);
    if (!fits || !value || value >> bits) asm_fail(a, t, "constant out of range");
    return value;
}

/* inf, nan, nan:0x...: true and the magnitude's bits. */
static bool special(struct assembler *a, const struct text_token *t, unsigned mantissa_bits,
                    uint64_t exponent, uint64_t *out) {
    const char *p = t->begin + (*t->begin == '+' || *t->begin == '-'), *end = t->begin + t->size;
    if (*p == 'i') {
        *out = exponent;
    } else if (*p == 'n') {
        bool plain = end - p == 3;
        *out = exponent | (plain ? UINT64_C(1) << (mantissa_bits - 1) : payload(a, t, p + 4, mantissa_bits));
    } else {
        return false;
    }
    return true;
}

/* The token without underscores, NUL-terminated, from the arena. */
static char *clean_copy(struct assembler *a, const struct text_token *t) {
    char *copy = asm_new(a, t->size + 1, 1);
    size_t n = 0;
    for (size_t i = 0; copy && i < t->size; i++)
        if (t->begin[i] != '_') copy[n++] = t->begin[i];
    return copy;
}

static bool number_token(struct assembler *a, const struct text_token *t) {
    if (t->kind == TEXT_NAT || t->kind == TEXT_INT || t->kind == TEXT_FLOAT) return true;
    asm_unexpected(a);
    return false;
}

/* strtod in the C locale, whatever the process has set; correctly rounded, hexadecimal notation included. */
static void convert(struct assembler *a, const struct text_token *t, float *out32, double *out64) {
    char *text = clean_copy(a, t);
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!text || !c) {
        asm_nomem(a);
    } else if (out32) {
        *out32 = strtof_l(text, NULL, c);
        if (isinf(*out32)) asm_fail(a, t, "constant out of range for f32");
    } else {
        *out64 = strtod_l(text, NULL, c);
        if (isinf(*out64)) asm_fail(a, t, "constant out of range for f64");
    }
    if (c) freelocale(c);
}

uint32_t asm_f32(struct assembler *a) {
    const struct text_token *t = asm_peek(a);
    uint64_t bits = 0;
    if (!number_token(a, t)) return 0;
    a->i++;
    if (special(a, t, 23, 0x7F800000u, &bits)) return (uint32_t)(bits | (*t->begin == '-' ? 0x80000000u : 0));
    float value = 0;
    convert(a, t, &value, NULL);
    uint32_t out;
    memcpy(&out, &value, 4);
    return out;
}

uint64_t asm_f64(struct assembler *a) {
    const struct text_token *t = asm_peek(a);
    uint64_t bits = 0;
    if (!number_token(a, t)) return 0;
    a->i++;
    if (special(a, t, 52, UINT64_C(0x7FF0000000000000), &bits))
        return bits | (*t->begin == '-' ? UINT64_C(1) << 63 : 0);
    double value = 0;
    convert(a, t, NULL, &value);
    memcpy(&bits, &value, 8);
    return bits;
}
