/* bytecode/text/lexer.c: text to tokens. Source: core spec, "Text Format / Lexical Format"; annotations. */
#include "bytecode/text/text.h"
#include "bytecode/internal.h"

#include <stdarg.h>
#include <string.h>

/* The place is looked for only behind a failed check of the whole, so that good texts are read fast. */
static enum atoll_status malformed_utf8(const char *text, size_t n_bytes, struct atoll_error *err) {
    const uint8_t *line_start = (const uint8_t *)text, *end = line_start + n_bytes;
    enum atoll_status status = atoll_fail(err, ATOLL_E_SYNTAX, ATOLL_NO_OFFSET, "malformed UTF-8 encoding");
    if (!err) return status;
    err->line = 1;
    for (const uint8_t *at = line_start; at < end;) {
        size_t size = 1, left = (size_t)(end - at);
        while (size <= 4 && size <= left && !bc_utf8_valid(at, size)) size++;
        err->column = (uint32_t)(at - line_start) + 1;
        if (size > 4 || size > left) break;
        err->line += *at == '\n';
        if (*at == '\n') line_start = at + 1;
        at += size;
    }
    return status;
}

enum atoll_status text_check(const char *text, size_t n_bytes, struct atoll_error *err) {
    if (n_bytes > BC_MAX_MODULE_BYTES)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "text is too long");
    if (!bc_utf8_valid((const uint8_t *)text, n_bytes)) return malformed_utf8(text, n_bytes, err);
    return ATOLL_OK;
}

void text_lexer_init(struct text_lexer *lexer, const char *text, size_t n_bytes, struct atoll_error *err) {
    *lexer =
        (struct text_lexer){.at = text, .end = text + n_bytes, .line_start = text, .line = 1, .err = err};
}

void text_lexer_fail(struct text_lexer *x, const struct text_token *token, const char *format, ...) {
    if (x->status) return;
    va_list args;
    va_start(args, format);
    x->status = atoll_vfail(x->err, ATOLL_E_SYNTAX, ATOLL_NO_OFFSET, format, args);
    va_end(args);
    if (!x->err) return;
    x->err->line = token->line;
    x->err->column = token->column;
}

bool text_lexer_stopped(struct text_lexer *x) {
    if (!x->status && bc_stop_asked(x->stop))
        x->status = atoll_fail(x->err, ATOLL_E_INTERRUPTED, ATOLL_NO_OFFSET, "interrupted");
    return x->status != ATOLL_OK;
}

static struct text_token token_here(const struct text_lexer *x, enum text_token_kind kind) {
    return (struct text_token){
        .kind = kind, .begin = x->at, .line = x->line, .column = (uint32_t)(x->at - x->line_start) + 1};
}

static void fail_here(struct text_lexer *x, const char *message) {
    struct text_token here = token_here(x, TEXT_EOF);
    text_lexer_fail(x, &here, "%s", message);
}

/* ---- characters ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }
static unsigned hex_value(char c) {
    return is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}
static bool is_id_char(char c) { return c > ' ' && c < 0x7F && !strchr("\"(),;[]{}", c); }
static bool starts(const struct text_lexer *x, const char two[2]) {
    return x->end - x->at >= 2 && x->at[0] == two[0] && x->at[1] == two[1];
}
static void skip_char(struct text_lexer *x) {
    if (*x->at++ == '\n') x->line++, x->line_start = x->at;
}

/* ---- strings ---- */

static bool skip_unicode_escape(struct text_lexer *x) { /* at the brace of \u{...} */
    uint32_t value = 0;
    const char *p = x->at + 1, *first = p;
    bool digit = false;
    for (; p < x->end && (is_hex(*p) || (*p == '_' && digit)); p++) {
        digit = *p != '_';
        if (digit) value = value * 16 + hex_value(*p);
        if (value > 0x10FFFF) return false;
    }
    if (p == first || !digit || p == x->end || *p != '}' || (value >= 0xD800 && value < 0xE000)) return false;
    x->at = p + 1;
    return true;
}

static bool skip_escape(struct text_lexer *x) { /* behind the backslash */
    if (x->at == x->end) return false;
    if (strchr("tnr\"'\\", *x->at) && *x->at) return x->at++, true;
    if (starts(x, "u{")) return x->at++, skip_unicode_escape(x);
    if (x->end - x->at < 2 || !is_hex(x->at[0]) || !is_hex(x->at[1])) return false;
    x->at += 2;
    return true;
}

static bool skip_string(struct text_lexer *x) {
    for (x->at++; x->at < x->end && *x->at != '\n';) {
        char c = *x->at;
        if (c == '"') return x->at++, true;
        if (c == 0x7F || (c >= 0 && c < ' '))
            return fail_here(x, "illegal control character in string"), false;
        x->at++;
        if (c == '\\' && !skip_escape(x)) return fail_here(x, "illegal escape"), false;
    }
    fail_here(x, "unclosed string");
    return false;
}

static void put_utf8(struct bc_buf *out, uint32_t c) {
    if (c < 0x80) return bc_buf_u8(out, (uint8_t)c);
    int n = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    bc_buf_u8(out, (uint8_t)(lead[n] | c >> (6 * n)));
    while (n--) bc_buf_u8(out, (uint8_t)(0x80 | (c >> (6 * n) & 0x3F)));
}

static const char *put_escape(const char *p, struct bc_buf *out) { /* behind the backslash */
    switch (*p) {
    case 't': bc_buf_u8(out, '\t'); return p + 1;
    case 'n': bc_buf_u8(out, '\n'); return p + 1;
    case 'r': bc_buf_u8(out, '\r'); return p + 1;
    case '"':
    case '\'':
    case '\\': bc_buf_u8(out, (uint8_t)*p); return p + 1;
    case 'u': break;
    default: bc_buf_u8(out, (uint8_t)(hex_value(p[0]) << 4 | hex_value(p[1]))); return p + 2;
    }
    uint32_t value = 0;
    for (p += 2; *p != '}'; p++)
        if (*p != '_') value = value * 16 + hex_value(*p);
    put_utf8(out, value);
    return p + 1;
}

void text_string_bytes(const char *quoted, size_t size, struct bc_buf *out) {
    const char *p = quoted + 1, *end = quoted + size - 1;
    while (p < end) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        bc_buf_bytes(out, p, (size_t)((escape ? escape : end) - p));
        p = escape ? put_escape(escape + 1, out) : end;
    }
}

/* ---- white space, comments, annotations ---- */

static bool skip_block_comment(struct text_lexer *x) {
    struct text_token start = token_here(x, TEXT_EOF);
    size_t depth = 0;
    while (x->at < x->end) {
        if (starts(x, "(;"))
            depth++, x->at += 2;
        else if (starts(x, ";)")) {
            x->at += 2;
            if (!--depth) return true;
        } else
            skip_char(x);
    }
    text_lexer_fail(x, &start, "unclosed comment");
    return false;
}

static bool skip_space(struct text_lexer *x) {
    while (x->at < x->end) {
        if (strchr(" \t\r\n", *x->at) && *x->at)
            skip_char(x);
        else if (starts(x, ";;"))
            while (x->at < x->end && *x->at != '\n' && *x->at != '\r') x->at++;
        else if (!starts(x, "(;"))
            return true;
        else if (!skip_block_comment(x))
            return false;
    }
    return true;
}

/* ---- numbers ---- */

/* Digits with single underscores between them. */
static const char *skip_digits(const char *p, const char *end, bool hex) {
    const char *start = p;
    while (p < end && (hex ? is_hex(*p) : is_digit(*p))) {
        p++;
        if (p + 1 < end && *p == '_' && (hex ? is_hex(p[1]) : is_digit(p[1]))) p++;
    }
    return p == start ? NULL : p;
}

static enum text_token_kind classify_number(const char *p, const char *end) {
    enum text_token_kind kind = TEXT_NAT;
    if (*p == '+' || *p == '-') p++, kind = TEXT_INT;
    size_t left = (size_t)(end - p);
    if (left == 3 && (!memcmp(p, "inf", 3) || !memcmp(p, "nan", 3))) return TEXT_FLOAT;
    if (left > 6 && !memcmp(p, "nan:0x", 6))
        return skip_digits(p + 6, end, true) == end ? TEXT_FLOAT : TEXT_RESERVED;
    bool hex = left > 2 && p[0] == '0' && p[1] == 'x';
    p = skip_digits(hex ? p + 2 : p, end, hex);
    if (!p) return TEXT_RESERVED;
    if (p == end) return kind;
    if (*p == '.') {
        const char *fraction = skip_digits(++p, end, hex);
        if (fraction) p = fraction;
    }
    if (p < end && (*p | 0x20) == (hex ? 'p' : 'e')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        p = skip_digits(p, end, false);
    }
    return p == end ? TEXT_FLOAT : TEXT_RESERVED;
}

/* ---- tokens ---- */

static enum text_token_kind classify(const char *p, const char *end, unsigned n_strings) {
    if (n_strings) {
        bool last_is_only = n_strings == 1 && end[-1] == '"';
        if (last_is_only && *p == '"') return TEXT_STRING;
        return last_is_only && p[0] == '$' && p[1] == '"' ? TEXT_ID : TEXT_RESERVED;
    }
    if (*p == '$') return end - p > 1 ? TEXT_ID : TEXT_RESERVED;
    enum text_token_kind number = classify_number(p, end);
    if (number != TEXT_RESERVED) return number;
    return *p >= 'a' && *p <= 'z' ? TEXT_KEYWORD : TEXT_RESERVED;
}

/* A string in a token; a bad one behind a dollar sign leaves the identifier empty. */
static bool skip_quoted(struct text_lexer *x, const struct text_token *t) {
    const char *line_end = x->at + 1;
    while (line_end < x->end && (uint8_t)*line_end >= 0x20 && *line_end != '"') line_end++;
    bool broken = line_end < x->end && (uint8_t)*line_end < 0x20;
    if (broken && x->at == t->begin + 1 && *t->begin == '$') text_lexer_fail(x, t, "empty identifier");
    return skip_string(x);
}

/* One token, an annotation's parenthesis included as a plain one. */
static struct text_token lex_plain(struct text_lexer *x) {
    struct text_token t = token_here(x, TEXT_EOF);
    if (x->at == x->end) return t;
    unsigned n_strings = 0;
    if (strchr("(),;[]{}", *x->at) && *x->at) {
        t.kind = *x->at == '(' ? TEXT_LPAREN : *x->at == ')' ? TEXT_RPAREN : TEXT_RESERVED;
        t.size = 1;
        x->at++;
        return t;
    }
    while (x->at < x->end && (*x->at == '"' || is_id_char(*x->at))) {
        if (*x->at != '"')
            x->at++;
        else if (n_strings++, !skip_quoted(x, &t))
            return t;
    }
    t.size = (size_t)(x->at - t.begin);
    if (!t.size) return fail_here(x, "illegal character"), t;
    t.kind = classify(t.begin, x->at, n_strings);
    bool empty = t.begin[0] == '$' && (t.size == 1 || (t.size == 3 && t.begin[1] == '"'));
    if (empty) text_lexer_fail(x, &t, "empty identifier"), t.kind = TEXT_EOF;
    return t;
}

static bool is_read_here(const struct text_token *t) {
    static const char *const names[] = {"custom", "name", "datacount"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (t->size == strlen(names[i]) && !memcmp(t->begin, names[i], t->size)) return true;
    return false;
}

/* Escapes can spell bytes that are no UTF-8. */
static void check_utf8(struct text_lexer *x, const struct text_token *quoted) {
    struct bc_buf bytes;
    if (!x->alloc) return;
    bc_buf_init(&bytes, x->alloc);
    text_string_bytes(quoted->begin, quoted->size, &bytes);
    if (!bytes.failed && !bc_utf8_valid(bytes.data, bytes.size))
        text_lexer_fail(x, quoted, "malformed UTF-8 encoding");
    bc_buf_fini(&bytes);
}

/* At "(@": reads the identifier, quoted or not. */
static struct text_token annotation_id(struct text_lexer *x) {
    x->at += 2;
    struct text_token t = token_here(x, TEXT_ANNOTATION);
    if (x->at < x->end && *x->at == '"') {
        const char *quote = memchr(x->at + 1, '"', (size_t)(x->end - x->at - 1));
        const char *newline = memchr(x->at, '\n', (size_t)(x->end - x->at));
        bool broken = newline && (!quote || newline < quote); /* not a string, so not an identifier */
        if (!broken && skip_string(x)) t.size = (size_t)(x->at - t.begin);
        if (t.size == 2) t.size = 0;
    } else {
        while (x->at < x->end && is_id_char(*x->at)) x->at++;
        t.size = (size_t)(x->at - t.begin);
    }
    if (!t.size) text_lexer_fail(x, &t, "empty annotation id");
    if (t.size && *t.begin == '"') check_utf8(x, &t);
    return t;
}

static void skip_annotation(struct text_lexer *x, const struct text_token *start) {
    for (size_t depth = 1; depth && !text_lexer_stopped(x);) {
        if (!skip_space(x)) return;
        struct text_token t = lex_plain(x);
        if (t.kind == TEXT_LPAREN) depth++;
        if (t.kind == TEXT_RPAREN) depth--;
        if (t.kind == TEXT_EOF) text_lexer_fail(x, start, "unclosed annotation");
    }
}

struct text_token text_lexer_next(struct text_lexer *x) {
    while (!text_lexer_stopped(x) && skip_space(x)) {
        if (!starts(x, "(@")) {
            struct text_token t = lex_plain(x);
            if (!x->status) return t;
            break;
        }
        struct text_token id = annotation_id(x);
        if (x->status) break;
        if (is_read_here(&id)) return id;
        skip_annotation(x, &id);
    }
    return token_here(x, TEXT_EOF);
}
