/* tests/jit/declined.h: functions that the compiler declines. */
#ifndef ATOLL_TESTS_JIT_DECLINED_H
#define ATOLL_TESTS_JIT_DECLINED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECLINED "an instruction with too many operands"

/* In a program's text '@' is code that is never reached and whose function is interpreted in all tiers: it has too many
 * operands. '#' is the type that it wants; the function's first parameter is an i64. The caller frees the result. */
#define OPERANDS 1001
static inline char *expand(const char *text) {
    static const char operand[] = "(i32.const 0)", type[] = "(type $big (array i8))";
    size_t room = strlen(text) + 1, n = 0;
    for (const char *at = text; *at; at++) room += *at == '@' ? 200 + OPERANDS * sizeof operand : sizeof type;
    char *out = malloc(room);
    if (!out) abort();
    for (const char *at = text; *at; at++) {
        if (*at != '@' && *at != '#') {
            out[n++] = *at;
            continue;
        }
        n += (size_t)snprintf(out + n, room - n, "%s",
                              *at == '#' ? type
                                         : "(if (i64.eq (local.get 0) (i64.const -1))"
                                           " (then (drop (array.new_fixed $big 1001 ");
        for (int i = 0; *at == '@' && i < OPERANDS; i++)
            n += (size_t)snprintf(out + n, room - n, "%s", operand);
        if (*at == '@') n += (size_t)snprintf(out + n, room - n, "))))");
    }
    out[n] = 0;
    return out;
}

#endif
