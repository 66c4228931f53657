/* tests/cli/ucl_json.c: see ucl_json.h. */
#include <inttypes.h>
#include "tests/cli/ucl_json.h"

static void print_string(FILE *out, const char *text) {
    putc('"', out);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*text);
        else
            putc(*text, out);
    putc('"', out);
}

static void print_all(FILE *out, const struct ucl_value *value);

static void print_parts(FILE *out, const struct ucl_value *value) {
    bool object = value->kind == UCL_OBJECT;
    putc(object ? '{' : '[', out);
    for (const struct ucl_value *part = value->first; part; part = part->next) {
        if (part != value->first) putc(',', out);
        if (object) print_string(out, part->key), putc(':', out);
        print_all(out, part);
    }
    putc(object ? '}' : ']', out);
}

static void print_one(FILE *out, const struct ucl_value *value) {
    switch (value->kind) {
    case UCL_NULL: fputs("null", out); break;
    case UCL_BOOL: fputs(value->is_true ? "true" : "false", out); break;
    case UCL_INT: fprintf(out, "%" PRId64, value->integer); break;
    case UCL_FLOAT:
    case UCL_TIME: fprintf(out, "%.15g", value->number); break;
    case UCL_STRING: print_string(out, value->text); break;
    case UCL_ARRAY:
    case UCL_OBJECT: print_parts(out, value); break;
    }
}

static void print_all(FILE *out, const struct ucl_value *value) {
    if (!value->again) {
        print_one(out, value);
        return;
    }
    for (char separator = '['; value; value = value->again, separator = ',') {
        putc(separator, out);
        print_one(out, value);
    }
    putc(']', out);
}

void ucl_json_print(FILE *out, const struct ucl_value *value) { print_all(out, value); }
