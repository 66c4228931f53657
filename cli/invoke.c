/* cli/invoke.c: values as text, for --invoke. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/run.h"

/* ---- text to value ---- */

/* Signed and unsigned decimal and hexadecimal, -2^(bits-1) .. 2^bits - 1. */
static bool parse_integer(const char *text, unsigned bits, uint64_t *out) {
    bool negative = text[0] == '-';
    const char *digits = text + (negative || text[0] == '+');
    if (!isdigit((unsigned char)digits[0])) return false;
    char *end;
    errno = 0;
    unsigned long long magnitude = strtoull(digits, &end, digits[0] == '0' && digits[1] ? 16 : 10);
    if (digits[0] == '0' && digits[1] && digits[1] != 'x' && digits[1] != 'X') {
        errno = 0;
        magnitude = strtoull(digits, &end, 10);
    }
    uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    uint64_t bound = negative ? UINT64_C(1) << (bits - 1) : mask;
    if (*end || errno || magnitude > bound) return false;
    *out = (negative ? 0 - (uint64_t)magnitude : (uint64_t)magnitude) & mask;
    return true;
}

static bool parse_f64(const char *text, union rt_slot *out) {
    char *end;
    out->f64 = strtod(text, &end);
    return end != text && !*end && !isspace((unsigned char)text[0]);
}

static bool parse_f32(const char *text, union rt_slot *out) {
    char *end;
    out->u64 = 0;
    out->f32 = strtof(text, &end);
    return end != text && !*end && !isspace((unsigned char)text[0]);
}

/* 0x and 32 hexadecimal digits, the highest byte first, as results are printed. */
static bool parse_v128(const char *text, union rt_slot *out) {
    if (strlen(text) != 34 || text[0] != '0' || text[1] != 'x') return false;
    if (strspn(text + 2, "0123456789abcdefABCDEF") != 32) return false;
    char half[17] = {0};
    memcpy(half, text + 2, 16);
    out[1].u64 = strtoull(half, NULL, 16);
    out[0].u64 = strtoull(text + 18, NULL, 16);
    return true;
}

static bool parse_value(const struct rt_valtype *type, const char *text, union rt_slot *out) {
    switch (type->kind) {
    case BC_KIND_I32: return parse_integer(text, 32, &out->u64);
    case BC_KIND_I64: return parse_integer(text, 64, &out->u64);
    case BC_KIND_F32: return parse_f32(text, out);
    case BC_KIND_F64: return parse_f64(text, out);
    case BC_KIND_V128: return parse_v128(text, out);
    default: out->u64 = 0; return type->nullable && strcmp(text, "null") == 0;
    }
}

static const char *type_word(const struct rt_valtype *type) {
    static const char *const words[] = {
        [BC_KIND_I32] = "i32", [BC_KIND_I64] = "i64",   [BC_KIND_F32] = "f32",
        [BC_KIND_F64] = "f64", [BC_KIND_V128] = "v128", [BC_KIND_REF] = "reference (null)"};
    return type->kind <= BC_KIND_REF && words[type->kind] ? words[type->kind] : "?";
}

/* ---- value to text ---- */

/* As the text format writes it: the sign, and the payload unless it is the canonical one. */
static void print_nan(bool negative, uint64_t payload, uint64_t canonical) {
    printf("%snan", negative ? "-" : "");
    if (payload != canonical) printf(":0x%" PRIx64, payload);
    putchar('\n');
}

/* The shortest decimal that reads back to the same bits. */
static void print_float(double value, bool single) {
    char text[40];
    for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value) break;
    }
    puts(text);
}

static void print_value(const struct rt_valtype *type, const union rt_slot *slot) {
    switch (type->kind) {
    case BC_KIND_I32: printf("%" PRId32 "\n", slot->i32); break;
    case BC_KIND_I64: printf("%" PRId64 "\n", slot->i64); break;
    case BC_KIND_F32:
        if (isnan(slot->f32))
            print_nan(slot->u32 >> 31, slot->u32 & 0x7FFFFF, UINT64_C(1) << 22);
        else
            print_float((double)slot->f32, true);
        break;
    case BC_KIND_F64:
        if (isnan(slot->f64))
            print_nan(slot->u64 >> 63, slot->u64 & ((UINT64_C(1) << 52) - 1), UINT64_C(1) << 51);
        else
            print_float(slot->f64, false);
        break;
    case BC_KIND_V128: printf("0x%016" PRIx64 "%016" PRIx64 "\n", slot[1].u64, slot[0].u64); break;
    default: puts(slot->ref ? "reference" : "null"); break;
    }
}

static unsigned slots_of(const struct rt_valtype *type) { return type->kind == BC_KIND_V128 ? 2 : 1; }

static enum atoll_status parse_arguments(const struct rt_type *type, const char *name, char *const *args,
                                         size_t n_args, union rt_slot *slots, struct atoll_error *err) {
    if (n_args != type->n_params)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "%s takes %u arguments, not %zu", name,
                          type->n_params, n_args);
    for (uint32_t i = 0; i < type->n_params; i++) {
        if (!parse_value(&type->params[i], args[i], slots))
            return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "%s: argument %u, \"%s\", is no %s", name,
                              i + 1, args[i], type_word(&type->params[i]));
        slots += slots_of(&type->params[i]);
    }
    return ATOLL_OK;
}

enum atoll_status cli_invoke(struct rt_store *store, struct rt_instance *instance, const char *name,
                             char *const *args, size_t n_args, struct atoll_error *err) {
    struct rt_extern found;
    if (!rt_instance_export(instance, name, strlen(name), &found) || found.kind != BC_EXTERN_FUNC)
        return atoll_fail(err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "no function \"%s\" is exported", name);
    const struct rt_type *type = found.func->type;
    size_t n_slots = (type->param_slots > type->result_slots ? type->param_slots : type->result_slots) + 1;
    union rt_slot *slots = atoll_new(&atoll_default_alloc, n_slots, sizeof *slots);
    if (!slots) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    enum atoll_status status = parse_arguments(type, name, args, n_args, slots, err);
    if (!status) status = rt_call(store, found.func, slots, err);
    const union rt_slot *slot = slots;
    for (uint32_t i = 0; !status && i < type->n_results; i++) {
        print_value(&type->results[i], slot);
        slot += slots_of(&type->results[i]);
    }
    atoll_free(&atoll_default_alloc, slots, n_slots * sizeof *slots);
    return status;
}
