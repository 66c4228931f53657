/* bytecode/error.c: the error object, which every component needs and which therefore lives leftmost. */
#include "atoll/error.h"

#include <inttypes.h>
#include <stdio.h>

/* Copies `raw` into out, control bytes as \xx: a name from a hostile file must not steer a terminal. */
static void copy_escaped(char *out, size_t size, const char *raw) {
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)raw; *p; p++) {
        if (*p < 0x20 || *p == 0x7F) {
            if (n + 4 > size) break;
            out[n++] = '\\';
            out[n++] = hex[*p >> 4];
            out[n++] = hex[*p & 15];
        } else {
            if (n + 2 > size) break;
            out[n++] = (char)*p;
        }
    }
    out[n] = 0;
}

enum atoll_status atoll_vfail(struct atoll_error *err, enum atoll_status code, uint64_t offset,
                              const char *format, va_list args) {
    if (!err) return code;
    char raw[sizeof err->text];
    vsnprintf(raw, sizeof raw, format, args);
    err->code = code;
    err->system_errno = 0;
    err->offset = offset;
    err->line = err->column = 0;
    copy_escaped(err->text, sizeof err->text, raw);
    return code;
}

enum atoll_status atoll_fail(struct atoll_error *err, enum atoll_status code, uint64_t offset,
                             const char *format, ...) {
    va_list args;
    va_start(args, format);
    atoll_vfail(err, code, offset, format, args);
    va_end(args);
    return code;
}

void atoll_error_line(const struct atoll_error *err, char *out, size_t size) {
    if (err->line)
        snprintf(out, size, "%" PRIu32 ":%" PRIu32 ": %s", err->line, err->column, err->text);
    else if (err->offset != ATOLL_NO_OFFSET)
        snprintf(out, size, "0x%" PRIx64 ": %s", err->offset, err->text);
    else
        snprintf(out, size, "%s", err->text);
}

const char *atoll_status_word(enum atoll_status code) {
    static const char *const words[] = {
#define X(id, word) word,
        ATOLL_STATUS_LIST(X)
#undef X
    };
    return (unsigned)code < sizeof words / sizeof *words ? words[code] : "?";
}
