/* sysvm/script/pattern.h: finds a text or a regular expression in a stream that comes byte by byte.
 *
 * A set of states moves on with each byte (Thompson's construction), so a byte costs at most as many steps as the
 * pattern has, whatever the guest writes; nothing is ever read twice. A match is found as soon as one ends.
 *
 *   .  [a-z] [^a-z]  \d \s \w  \r \n \t \e \xHH  (a|b)  * + ? {m} {m,} {m,n}  ^ $
 *
 * ^ is where a line begins; $ is the end of a line, \r*\n, and part of the match. [^...] and . are any byte else, but .
 * is not \n. There are no references back. */
#ifndef ATOLL_SYSVM_SCRIPT_PATTERN_H
#define ATOLL_SYSVM_SCRIPT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"

struct pattern;

enum {
    PATTERN_STEPS_MAX = 4096,  /* what a pattern is compiled to */
    PATTERN_REPEATS_MAX = 255, /* in {m,n} */
    PATTERN_DEPTH_MAX = 32     /* of parentheses */
};

/* in     text[0 .. n): not kept; any bytes when `literal`
 * owns   *out, for pattern_free
 * fails  E_SYNTAX (column in the text, from 1), E_LIMIT (see above), E_NOMEM; also where nothing at all would match */
enum atoll_status pattern_new(const struct atoll_alloc *alloc, const char *text, size_t n, bool literal,
                              bool fold_case, struct pattern **out, struct atoll_error *err);
void pattern_free(struct pattern *pattern); /* NULL is allowed */

/* From now on; `at_line_start`: the byte before was the end of a line, or there was none. */
void pattern_start(struct pattern *pattern, bool at_line_start);
/* Whether a match ends with this byte. After one, only pattern_start. */
bool pattern_step(struct pattern *pattern, uint8_t byte);

#endif
