/* cli/values.c: numbers with units, as flags give them. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static bool find_unit(const struct unit *units, const char *name, uint64_t *out_factor) {
    for (; units->name; units++)
        if (strcasecmp(units->name, name) == 0) {
            *out_factor = units->factor;
            return true;
        }
    return false;
}

/* Reads the number in front; out_unit points behind it. */
static bool parse_number(const char *text, double *out, const char **out_unit) {
    if (!isdigit((unsigned char)text[0])) return false;
    char *end;
    *out = strtod(text, &end);
    *out_unit = end;
    return isfinite(*out);
}

static bool scale(double number, uint64_t factor, uint64_t *out) {
    double scaled = number * (double)factor;
    if (scaled >= 0x1p63) return false;
    *out = (uint64_t)scaled;
    return true;
}

bool cli_parse_count(const char *text, uint64_t *out) {
    char digits[32];
    size_t n = 0;
    for (; *text && n < sizeof digits - 1; text++)
        if (*text != '_') digits[n++] = *text;
    digits[n] = 0;
    if (*text || !isdigit((unsigned char)digits[0])) return false;
    char *end;
    errno = 0;
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    *out = strtoull(digits, &end, hex ? 16 : 10); /* 010 is ten */
    return !*end && errno == 0;
}

bool cli_parse_size(const char *text, uint64_t *out_bytes) {
    static const struct unit units[] = {{"", 1},
                                        {"b", 1},
                                        {"k", 1u << 10},
                                        {"kb", 1u << 10},
                                        {"kib", 1u << 10},
                                        {"m", 1u << 20},
                                        {"mb", 1u << 20},
                                        {"mib", 1u << 20},
                                        {"g", 1u << 30},
                                        {"gb", 1u << 30},
                                        {"gib", 1u << 30},
                                        {"t", UINT64_C(1) << 40},
                                        {"tb", UINT64_C(1) << 40},
                                        {"tib", UINT64_C(1) << 40},
                                        {NULL, 0}};
    double number;
    const char *unit;
    uint64_t factor;
    return parse_number(text, &number, &unit) && find_unit(units, unit, &factor) &&
           scale(number, factor, out_bytes);
}

bool cli_parse_duration(const char *text, uint64_t *out_ns) {
    static const struct unit units[] = {{"", 1000000000},
                                        {"s", 1000000000},
                                        {"ms", 1000000},
                                        {"us", 1000},
                                        {"ns", 1},
                                        {"m", 60000000000},
                                        {"min", 60000000000},
                                        {"h", 3600000000000},
                                        {"d", 86400000000000},
                                        {"w", 604800000000000},
                                        {"y", 31536000000000000},
                                        {NULL, 0}};
    double number;
    const char *unit;
    uint64_t factor;
    return parse_number(text, &number, &unit) && find_unit(units, unit, &factor) &&
           scale(number, factor, out_ns);
}
