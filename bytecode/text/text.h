/* bytecode/text/text.h: what the files of the text format reader share. */
#ifndef ATOLL_BYTECODE_TEXT_H
#define ATOLL_BYTECODE_TEXT_H

#include "bytecode/bytecode.h"

enum text_token_kind {
    TEXT_EOF, /* also after a fault, so that every loop ends */
    TEXT_LPAREN,
    TEXT_RPAREN,
    TEXT_STRING,
    TEXT_ID,
    TEXT_KEYWORD,
    TEXT_NAT, /* number without sign */
    TEXT_INT, /* with sign */
    TEXT_FLOAT,
    TEXT_RESERVED,  /* token-like, but of no kind */
    TEXT_ANNOTATION /* "(@custom", "(@name" or "(@datacount": `begin` is the identifier */
};
struct text_token {
    enum text_token_kind kind;
    const char *begin; /* in the text; strings with their quotes, identifiers with their dollar sign */
    size_t size;
    uint32_t line, column;
};
/* A reading position. Copying the struct saves it; assigning the copy back returns to it. */
struct text_lexer {
    const char *at, *end, *line_start;
    uint32_t line;
    enum atoll_status status; /* sticky */
    struct atoll_error *err;
    const bc_stop *stop;
    const struct atoll_alloc *alloc; /* for identifiers of annotations; NULL: their UTF-8 is not checked */
};

/* Whether a whole text can be read: not too long, valid UTF-8.
 * fails   E_LIMIT; E_SYNTAX with the place */
enum atoll_status text_check(const char *text, size_t n_bytes, struct atoll_error *err);
/* The text has to be valid UTF-8. Annotations that nobody here reads are skipped as white space. */
void text_lexer_init(struct text_lexer *lexer, const char *text, size_t n_bytes, struct atoll_error *err);
struct text_token text_lexer_next(struct text_lexer *lexer);
/* Whether reading has to end; E_INTERRUPTED when somebody asks for that. */
bool text_lexer_stopped(struct text_lexer *lexer);
/* Fails at a token's place with ATOLL_E_SYNTAX; only the first fault is kept. */
void text_lexer_fail(struct text_lexer *lexer, const struct text_token *token, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends the bytes that a quoted string (escapes checked by the lexer) stands for. */
void text_string_bytes(const char *quoted, size_t size, struct bc_buf *out);

#endif
