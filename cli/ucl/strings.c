/* cli/ucl/strings.c: the ways to write text: "escaped", 'as it is', <<LINES, words, keys; and variables in it. Each
 * finds its end first, so that its memory is asked for once. */
#include <string.h>
#include "cli/ucl/internal.h"

/* ---- "..." ---- */

static int digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_hex(struct ucl_reader *r, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int d = ucl_at_end(r) ? -1 : digit(*r->at);
        if (d < 0) return ucl_fail(r, "four hexadecimal digits are expected");
        *out = *out << 4 | (uint32_t)d;
    }
    return true;
}

/* At most four bytes for what took six or twelve. */
static char *put_character(char *out, uint32_t c) {
    if (c < 0x80) return *out++ = (char)c, out;
    if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *out++ = (char)(0x80 | (c & 0x3F));
    return out;
}

/* Behind \u. Two halves of a pair are one character. */
static bool take_unicode(struct ucl_reader *r, char **out) {
    uint32_t c, low;
    if (!take_hex(r, &c)) return false;
    if (c >= 0xD800 && c < 0xDC00 && r->end - r->at >= 2 && r->at[0] == '\\' && r->at[1] == 'u') {
        r->at += 2;
        if (!take_hex(r, &low)) return false;
        if (low >= 0xDC00 && low < 0xE000) c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    if (!c || (c >= 0xD800 && c < 0xE000)) return ucl_fail(r, "no character");
    *out = put_character(*out, c);
    return true;
}

/* Behind the backslash: what has no meaning is itself. */
static bool take_escape(struct ucl_reader *r, char **out) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = *r->at++;
    if (c == 'u') return take_unicode(r, out);
    const char *found = strchr(from, c);
    *(*out)++ = found && c ? to[found - from] : c;
    return true;
}

/* The end of a string that begins at r->at: its quotation mark; NULL: it has none, on this line where not `lines`. */
static const char *find_end(const struct ucl_reader *r, char mark, bool lines) {
    for (const char *at = r->at + 1; at < r->end; at++) {
        if (*at == mark) return at;
        if (*at == '\n' && !lines) return NULL;
        if (*at == '\\' && at + 1 < r->end && (lines || at[1] != '\n')) at++;
    }
    return NULL;
}

static char *begin_string(struct ucl_reader *r, const char *end) {
    if (!end) {
        ucl_fail(r, *r->at == '"' ? "a string has no end on its line" : "a string has no end");
        return NULL;
    }
    const char *zero = memchr(r->at, 0, (size_t)(end - r->at));
    if (zero) {
        ucl_fail_at(r, zero, "a zero byte");
        return NULL;
    }
    return ucl_new_text(r->all, (size_t)(end - r->at));
}

const char *ucl_take_quoted(struct ucl_reader *r) {
    const char *end = find_end(r, '"', false);
    char *text = begin_string(r, end), *out = text;
    if (!text) return NULL;
    for (r->at++; r->at < end;)
        if (*r->at != '\\')
            *out++ = *r->at++;
        else if (r->at++, !take_escape(r, &out))
            return NULL;
    r->at = end + 1;
    *out = 0;
    return text;
}

/* ---- '...' ---- */

static void put_plain(struct ucl_reader *r, char **out) {
    *(*out)++ = *r->at;
    if (*r->at == '\n')
        ucl_end_line(r);
    else
        r->at++;
}

/* Only \' is not itself, and an end of a line behind a backslash, which goes with it. */
const char *ucl_take_single_quoted(struct ucl_reader *r) {
    const char *end = find_end(r, '\'', true);
    char *text = begin_string(r, end), *out = text;
    if (!text) return NULL;
    for (r->at++; r->at < end;) {
        if (*r->at == '\\') {
            const char *next = r->at + 1;
            if (*next == '\r' && next[1] == '\n') next++;
            r->at = next;
            if (*next == '\n') {
                ucl_end_line(r);
                continue;
            }
            if (*next != '\'') *out++ = '\\';
        }
        put_plain(r, &out);
    }
    r->at = end + 1;
    *out = 0;
    return text;
}

/* ---- <<WORD ---- */

static const char *line_end(const struct ucl_reader *r, const char *at) {
    const char *end = memchr(at, '\n', (size_t)(r->end - at));
    return end ? end : r->end;
}

/* Whether this line is the word that ends the text: nothing stands around it, but what separates values. */
static bool is_last(const struct ucl_reader *r, const char *word, size_t n, const char *end) {
    if (end > r->at && end[-1] == '\r') end--;
    return (size_t)(end - r->at) >= n && memcmp(r->at, word, n) == 0 &&
           (r->at + n == end || r->at[n] == ';' || r->at[n] == ',');
}

static char *copy_lines(struct ucl_reader *r, const char *start, const char *end) {
    size_t n = end > start ? (size_t)(end - start) - 1 : 0; /* the last line's end is not part of it */
    char *text = ucl_new_text(r->all, n);
    if (text) memcpy(text, start, n);
    return text;
}

/* The lines up to one that is the word; r->at goes behind it. */
static const char *take_lines_to(struct ucl_reader *r, const struct ucl_reader *begin, const char *word,
                                 size_t n) {
    const char *start = r->at;
    while (!ucl_at_end(r)) {
        const char *end = line_end(r, r->at), *zero = memchr(r->at, 0, (size_t)(end - r->at));
        if (zero) return ucl_fail_at(r, zero, "a zero byte"), NULL;
        if (is_last(r, word, n, end)) {
            const char *text = copy_lines(r, start, r->at);
            r->at += n;
            return text;
        }
        r->at = end;
        if (!ucl_at_end(r)) ucl_end_line(r);
    }
    *r = *begin;
    return ucl_fail(r, "these lines have no end"), NULL;
}

/* Behind <<WORD; NULL: there is none, or more on its line than a comment. */
static const char *word_end(const struct ucl_reader *r) {
    const char *at = r->at + 2;
    if (r->end - r->at <= 2 || r->at[0] != '<' || r->at[1] != '<') return NULL;
    while (at < r->end && *at >= 'A' && *at <= 'Z') at++;
    const char *end = at;
    while (at < r->end && ucl_is_blank(*at)) at++;
    bool ends = at == r->end || *at == '\n' || (at > end && *at == '#');
    return ends && end > r->at + 2 ? end : NULL;
}

bool ucl_begins_lines(const struct ucl_reader *r) { return word_end(r); }

const char *ucl_take_lines(struct ucl_reader *r) {
    const struct ucl_reader begin = *r;
    const char *word = r->at + 2, *end = word_end(r);
    r->at = line_end(r, end);
    if (!ucl_at_end(r)) ucl_end_line(r);
    return take_lines_to(r, &begin, word, (size_t)(end - word));
}

/* ---- words and keys ---- */

enum { N_BRACES = 3 };
static const char opening[] = "{[(", closing[] = "}])";

/* Whether the word ends here, by what it has opened. */
static bool is_closed(const struct ucl_reader *r, unsigned opened[N_BRACES], char c) {
    for (size_t i = 0; i < (r->in_arguments ? N_BRACES : N_BRACES - 1); i++) {
        if (c == opening[i]) opened[i]++;
        if (c != closing[i]) continue;
        if (!opened[i]) return true;
        opened[i]--;
    }
    return c == '\n' || c == ';' || c == ',';
}

/* A backslash is itself, but in front of what would end a word. */
static bool escapes(const char *at, const char *end) {
    return *at == '\\' && at + 1 < end && at[1] && strchr(";,[]{}()#", at[1]);
}

/* r->at goes to what ends the word. */
static bool find_word_end(struct ucl_reader *r) {
    unsigned opened[N_BRACES] = {0};
    for (const char *start = r->at; !ucl_at_end(r); r->at++) {
        if (!*r->at) return ucl_fail(r, "a zero byte");
        if (escapes(r->at, r->end))
            r->at++;
        else if (is_closed(r, opened, *r->at) ||
                 (r->at > start && ucl_is_blank(r->at[-1]) && ucl_begins_comment(r)))
            return true;
    }
    return true;
}

/* Up to the end of the line, or what ends a value; blanks at its end are not part of it. */
const char *ucl_take_word(struct ucl_reader *r) {
    const char *at = r->at;
    if (!find_word_end(r)) return NULL;
    const char *last = r->at;
    while (last > at && ucl_is_blank(last[-1])) last--;
    if (last == at) return ucl_fail_at(r, at, "a value is missing"), NULL;
    char *text = ucl_new_text(r->all, (size_t)(last - at)), *out = text;
    for (; text && at < last; at++) {
        if (escapes(at, last)) at++;
        *out++ = *at;
    }
    if (text) *out = 0;
    return text;
}

static bool begins_key(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '_' || (unsigned char)c >= 0x80;
}

size_t ucl_key_size(const char *at, const char *end) {
    const char *start = at;
    if (at == end || !begins_key(*at)) return 0;
    while (at < end && (begins_key(*at) || *at == '-' || *at == '.')) at++;
    return (size_t)(at - start);
}

const char *ucl_take_key(struct ucl_reader *r) {
    const char *start = r->at;
    if (ucl_next_is(r, '"')) {
        const char *key = ucl_take_quoted(r);
        return !key || *key ? key : (ucl_fail_at(r, start, "an empty name"), NULL);
    }
    size_t n = ucl_key_size(r->at, r->end);
    if (!n) return ucl_fail(r, "a name is expected"), NULL;
    char *key = ucl_new_text(r->all, n);
    if (key) memcpy(key, start, n);
    r->at += n;
    return key;
}

/* ---- variables ---- */

/* What $NAME or ${NAME} at `at` stands for, and its size; NULL: there is none. */
static const char *variable_at(const struct ucl_reader *r, const char *at, size_t *out_size) {
    const struct ucl_variable own[] = {{"CURDIR", r->folder}, {"FILENAME", r->path}, {0}},
                              *rest = r->all->options->variables;
    const struct ucl_variable *const lists[] = {own, rest};
    bool braces = at[1] == '{';
    for (size_t i = 0; i < 2; i++)
        for (const struct ucl_variable *v = lists[i]; v && v->name; v++) {
            size_t n = strlen(v->name);
            if (!v->value || strncmp(at + 1 + braces, v->name, n) || (braces && at[2 + n] != '}')) continue;
            *out_size = 1 + n + 2 * (size_t)braces;
            return v->value;
        }
    return NULL;
}

/* Size of `text` with variables put in, or more than `max`; *out_found: there was one. out: NULL, or for the text. */
static size_t put_variables(const struct ucl_reader *r, const char *text, size_t max, bool *out_found,
                            char *out) {
    size_t size = 0;
    while (*text && (size <= max || !*out_found)) {
        size_t n = 1;
        const char *value = *text == '$' ? variable_at(r, text, &n) : NULL;
        *out_found |= value != NULL;
        size_t n_put = value ? strlen(value) : 1;
        if (out) memcpy(out + size, value ? value : text, n_put);
        if (!value && text[0] == '$' && text[1] == '$') n = 2;
        text += n;
        size += n_put;
    }
    return size;
}

/* Without a variable in it text stays as it is; with one $$ is a $. */
const char *ucl_expand(struct ucl_reader *r, const char *text) {
    bool found = false;
    if (!text || !strchr(text, '$')) return text;
    size_t room = UCL_BYTES_MAX - r->all->n_expanded, n = put_variables(r, text, room, &found, NULL);
    if (!found) return text;
    if (n > room) return ucl_fail(r, "more than %zu bytes by variables", UCL_BYTES_MAX), NULL;
    char *out = ucl_new_text(r->all, n);
    if (out) put_variables(r, text, room, &found, out);
    r->all->n_expanded += n;
    return out;
}
