/* cli/ucl/scalars.c: what a word is: null, a truth value, a number with or without its unit, or text. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "cli/ucl/internal.h"

static bool take_boolean(struct ucl_value *value, const char *text) {
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    for (size_t i = 0; i < 6; i++) {
        if (strcasecmp(text, words[i])) continue;
        value->kind = UCL_BOOL;
        value->is_true = i < 3;
        return true;
    }
    return false;
}

/* A thousand a step; where a "b" stands behind them 1024. */
static const struct {
    const char *name;
    double factor;
    enum ucl_kind kind; /* UCL_INT: keeps what the number is */
} units[] = {{"", 1, UCL_INT},
             {"k", 1e3, UCL_INT},
             {"m", 1e6, UCL_INT},
             {"g", 1e9, UCL_INT},
             {"kb", 1024, UCL_INT},
             {"mb", 1024 * 1024, UCL_INT},
             {"gb", 1024 * 1024 * 1024, UCL_INT},
             {"ms", 1e-3, UCL_TIME},
             {"s", 1, UCL_TIME},
             {"ks", 1e3, UCL_TIME},
             {"gs", 1e9, UCL_TIME},
             {"min", 60, UCL_TIME},
             {"h", 3600, UCL_TIME},
             {"d", 86400, UCL_TIME},
             {"w", 7 * 86400, UCL_TIME},
             {"y", 365 * 86400, UCL_TIME}};
enum { N_UNITS = sizeof units / sizeof *units, IS_TEXT = N_UNITS };

static size_t find_unit(const char *name) {
    size_t i = 0;
    while (i < N_UNITS && strcasecmp(name, units[i].name)) i++;
    return i;
}

/* Behind what is a number with a fraction or an exponent, or at `text`, where it is none. */
static const char *real_end(const char *text) {
    static const char decimal[] = "0123456789";
    const char *at = text + strspn(text, decimal);
    bool fraction = *at == '.';
    if (fraction) at += 1 + strspn(at + 1, decimal);
    if (*at != 'e' && *at != 'E') return fraction ? at : text;
    size_t sign = at[1] == '+' || at[1] == '-', n = strspn(at + 1 + sign, decimal);
    return n ? at + 1 + sign + n : text;
}

static const char out_of_range[] = "a number out of range (in quotes it is text)";

/* Sizes are whole. */
static const char *take_real(struct ucl_value *value, const char *text, size_t i) {
    errno = 0;
    double number = strtod(text, NULL) * units[i].factor;
    bool bytes = strchr(units[i].name, 'b');
    if (errno == ERANGE || !isfinite(number) || (bytes && fabs(number) >= 0x1p63)) return out_of_range;
    value->kind = units[i].kind == UCL_TIME ? UCL_TIME : bytes ? UCL_INT : UCL_FLOAT;
    if (bytes)
        value->integer = (int64_t)number;
    else
        value->number = number;
    return NULL;
}

static const char *take_whole(struct ucl_value *value, const char *text, int base, size_t i) {
    errno = 0;
    intmax_t number = strtoimax(text, NULL, base);
    if (errno == ERANGE) return out_of_range;
    if (units[i].kind == UCL_TIME) return take_real(value, text, i);
    value->kind = UCL_INT;
    if (__builtin_mul_overflow(number, (int64_t)units[i].factor, &value->integer)) return out_of_range;
    return NULL;
}

static const char *take_number(struct ucl_value *value, const char *text) {
    enum { LONGEST = 127 };
    size_t minus = *text == '-';
    const char *start = text + minus, *end = start + strspn(start, "0123456789");
    bool hex = start[0] == '0' && (start[1] == 'x' || start[1] == 'X');
    if (end == start || strlen(text) > LONGEST) return NULL;
    if (hex) end = start + 2 + strspn(start + 2, "0123456789abcdefABCDEF");
    const char *real = hex ? start : real_end(start);
    size_t i = find_unit(real > start ? real : end);
    if (i == IS_TEXT || (hex && end == start + 2)) return NULL;
    return real > start ? take_real(value, text, i) : take_whole(value, text, hex ? 16 : 10, i);
}

const char *ucl_classify(struct ucl_value *value, const char *text) {
    value->text = text;
    value->kind = UCL_STRING;
    if ((text[0] >= '0' && text[0] <= '9') || text[0] == '-') return take_number(value, text);
    if (strcmp(text, "null") == 0) {
        value->kind = UCL_NULL;
    } else if (strcmp(text, "nan") == 0 || strcmp(text, "inf") == 0) {
        value->kind = UCL_FLOAT;
        value->number = text[0] == 'n' ? (double)NAN : (double)INFINITY;
    } else {
        take_boolean(value, text);
    }
    return NULL;
}
