/* include/atoll/error.h: what a failing call of Atoll tells its caller.
 *
 * A fallible function returns an enum atoll_status and, where it takes a struct atoll_error, fills it once,
 * at the place that found the fault. ATOLL_OK leaves the error untouched. Nobody prints but cli/. */
#ifndef ATOLL_ERROR_H
#define ATOLL_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One list: enum value, the word a script sees (JSON output). */
#define ATOLL_STATUS_LIST(X)                                                                                 \
    X(OK, "ok")                                                                                              \
    X(E_NOMEM, "out-of-memory")     /* the host's memory, never the program's linear memory */               \
    X(E_MALFORMED, "malformed")     /* binary format broken; offset = byte in the file */                    \
    X(E_SYNTAX, "syntax")           /* text format broken; line and column */                                \
    X(E_INVALID, "invalid")         /* well-formed, but does not validate */                                 \
    X(E_LIMIT, "limit")             /* a limit of the implementation or of the configuration */              \
    X(E_LINK, "link")               /* an import is unknown or of another type */                            \
    X(E_TRAP, "trap")               /* the program trapped; the store holds the details */                   \
    X(E_EXIT, "exit")               /* the program asked to end (proc_exit); the store holds the code */     \
    X(E_INTERRUPTED, "interrupted") /* timeout, cancel, fuel; the store holds which */                       \
    X(E_DENIED, "denied")           /* the sandbox refused */                                                \
    X(E_IO, "io")                   /* the operating system refused; system_errno says why */                \
    X(E_USAGE, "usage")             /* the caller's arguments are wrong */                                   \
    X(E_UNSUPPORTED, "unsupported") /* valid, but this build or host cannot do it */

enum atoll_status {
#define X(id, word) ATOLL_##id,
    ATOLL_STATUS_LIST(X)
#undef X
};

#if defined(__GNUC__)
#define ATOLL_EXTERN __attribute__((visibility("default")))
#else
#define ATOLL_EXTERN
#endif

#define ATOLL_NO_OFFSET UINT64_MAX

struct atoll_error {
    enum atoll_status code;
    int system_errno;      /* 0 unless code is ATOLL_E_IO */
    uint64_t offset;       /* byte in the input, or ATOLL_NO_OFFSET */
    uint32_t line, column; /* text input, from 1; 0 = does not apply */
    char text[768];        /* one line, no newline, no trailing period; untrusted bytes are escaped */
};

/* Fills *err (NULL is allowed) and returns `code`, so that callers can write `return atoll_fail(...)`.
 * offset  byte in the input or ATOLL_NO_OFFSET
 * format  as printf; the result is cut to fit and control bytes in it become \xx */
ATOLL_EXTERN enum atoll_status atoll_fail(struct atoll_error *err, enum atoll_status code, uint64_t offset,
                                          const char *format, ...) __attribute__((format(printf, 4, 5)));
ATOLL_EXTERN enum atoll_status atoll_vfail(struct atoll_error *err, enum atoll_status code, uint64_t offset,
                                           const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

/* Text and place as one line: "3:14: unknown instruction", "0x1f: ...". Cut to fit, always terminated. */
ATOLL_EXTERN void atoll_error_line(const struct atoll_error *err, char *out, size_t size);

/* The list's word for a status ("malformed"); "?" for a value outside the list. */
ATOLL_EXTERN const char *atoll_status_word(enum atoll_status code);

#ifdef __cplusplus
}
#endif
#endif
